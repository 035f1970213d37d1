//! What a distillation reports: a table as text, JSON and a page.

use std::fmt;

use serde::Serialize;

use super::{
    DistillSettings, bundle, html,
    measure::{Bench, Contestant, Parts, Row},
    step::{Done, Material},
};
use crate::{Error, Result, resume::durable, swap::Bundle, train::onnx::Weights};

/// The format of the JSON.
const SCHEMA: &str = "faceswap-distillation-report-1";

/// Teacher, control and student on the same faces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Format of the file.
    pub schema: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// The teacher's name.
    pub teacher: String,
    /// SHA-256 of the teacher's encoder and decoder.
    pub teacher_sha256: [String; 2],
    /// What makes the student smaller.
    pub student: String,
    /// What it learnt, in this order.
    pub stages: Vec<String>,
    /// Faces that were trained on.
    pub n_faces: usize,
    /// Faces that were measured, never trained on.
    pub n_held_out: usize,
    /// Those of them whose truth is known.
    pub n_with_truth: usize,
    /// The table; the teacher comes first.
    pub rows: Vec<Row>,
}

/// Measures the finished student `bundle` beside its teacher, the control and `beside`, and writes `report.json` and
/// `report.html` into the settings' work folder.
///
/// # Errors
/// Those of [`Bench::measure`]; [`Error::Io`] when a file can't be written.
pub fn write(
    settings: &DistillSettings,
    material: &Material<'_>,
    bundle: &Bundle,
    (student, control): (&Done, Option<&Done>),
    beside: &[Bundle],
    bench: &Bench,
) -> Result<Report> {
    let faces = material.transfer.held_faces(material.config.side_px())?;
    let mut contestants = vec![of_bundle(&material.teacher.bundle)];
    contestants.extend(control.map(|control| of_control(settings, control)));
    contestants.push(Contestant {
        steps: Some(student.state.step),
        minutes: Some(student.state.minutes),
        ..of_bundle(bundle)
    });
    contestants.extend(beside.iter().map(of_bundle));
    let measured = bench.measure(&contestants, &faces)?;
    let report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        teacher: material.teacher.bundle.name.clone(),
        teacher_sha256: material.teacher.sha256(),
        student: settings.student.to_string(),
        stages: material.plan.phases.iter().map(ToString::to_string).collect(),
        n_faces: material.transfer.n_faces(),
        n_held_out: faces.len(),
        n_with_truth: faces.iter().filter(|face| face.truth.is_some()).count(),
        rows: measured.rows.clone(),
    };
    let path = settings.work.join("report.json");
    let json = serde_json::to_string_pretty(&report).map_err(|e| Error::model(&path, e.to_string()))?;
    durable::replace_file(&path, json.as_bytes())?;
    let page = html::page(&report, &measured, &faces);
    durable::replace_file(&settings.work.join("report.html"), page.as_bytes())?;
    Ok(report)
}

fn of_bundle(bundle: &Bundle) -> Contestant {
    let training = bundle.manifest.training.as_ref();
    Contestant {
        name: bundle.name.clone(),
        networks: Parts { encoder: bundle.encoder.clone(), decoder: bundle.decoder.clone() },
        steps: training.map(|training| training.steps),
        minutes: training.map(|training| training.minutes),
    }
}

fn of_control(settings: &DistillSettings, control: &Done) -> Contestant {
    let weights = if settings.half { Weights::Half } else { Weights::Full };
    let [encoder, decoder] = bundle::networks(control, weights);
    Contestant {
        name: "from scratch".into(),
        networks: Parts { encoder, decoder },
        steps: Some(control.state.step),
        minutes: Some(control.state.minutes),
    }
}

/// A column of the table: its heading, and a cell.
pub type Column = (&'static str, fn(&Row) -> String);

/// The columns after the name.
pub const COLUMNS: [Column; 13] = [
    ("steps", |row| row.steps.map_or_else(String::new, |n| n.to_string())),
    ("minutes", |row| number(row.minutes, 1)),
    ("parameters", |row| row.n_parameters.to_string()),
    ("MMAC enc + dec", |row| pair(row.mmac, 1)),
    ("ms, 1 thread", |row| pair(row.ms_one_thread, 2)),
    ("ms, 2 threads", |row| pair(row.ms_two_threads, 2)),
    ("speed", |row| format!("{:.2}x", row.speed_up)),
    ("PSNR teacher", |row| number(row.psnr_teacher_db, 2)),
    ("SSIM teacher", |row| number(row.ssim_teacher, 4)),
    ("PSNR truth", |row| number(row.psnr_truth_db, 2)),
    ("SSIM truth", |row| number(row.ssim_truth, 4)),
    ("identity", |row| number(row.identity_distance, 3)),
    ("expression", |row| number(row.expression_l1, 4)),
];

fn pair(parts: Parts<f64>, digits: usize) -> String {
    format!("{:.digits$} + {:.digits$}", parts.encoder, parts.decoder)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

/// The table in Markdown, as the documents show it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {}; {} faces to learn from, {} to measure, {} of them with a truth",
            self.teacher, self.student, self.n_faces, self.n_held_out, self.n_with_truth
        )?;
        write!(f, "\n| |")?;
        COLUMNS.iter().try_for_each(|(heading, _)| write!(f, " {heading} |"))?;
        write!(f, "\n|---|")?;
        COLUMNS.iter().try_for_each(|_| write!(f, "---|"))?;
        for row in &self.rows {
            write!(f, "\n| {} |", row.name)?;
            COLUMNS.iter().try_for_each(|(_, cell)| write!(f, " {} |", cell(row)))?;
        }
        Ok(())
    }
}
