//! What a compression cost and what it brought: a table, and a warning where it brought nothing.

use std::fmt;

use super::{Precision, faces::Faces};
use crate::{
    nn::Runtime,
    train::distill::{Contestant, Parts, Row},
};

/// How much slower is told: two measurements of one network differ by less on a quiet machine.
const NOTABLE: f64 = 1.05;

/// What was made beside what it was made from.
#[derive(Debug, Clone)]
pub struct CompressReport {
    /// What the table calls the result.
    pub what: String,
    /// The table; what it was made from comes first, in fp32.
    pub rows: Vec<Row>,
    /// Bytes of both files of each.
    pub n_bytes: Vec<usize>,
    /// Faces that it was fitted to.
    pub n_calibration: usize,
    /// Faces that were measured.
    pub n_held_out: usize,
    /// What measured.
    pub runtime: String,
}

impl CompressReport {
    /// Of measured `rows`, one for each of the contestants.
    pub(super) fn new(
        what: &str,
        contestants: &[Contestant],
        rows: Vec<Row>,
        faces: &Faces,
        runtime: &Runtime,
    ) -> Self {
        let size = |Contestant { networks, .. }: &Contestant| networks.encoder.len() + networks.decoder.len();
        Self {
            what: what.into(),
            n_bytes: contestants.iter().map(size).collect(),
            rows,
            n_calibration: faces.n_calibration(),
            n_held_out: faces.held_out.len(),
            runtime: format!("ONNX Runtime {} on this machine's {}", runtime.version(), runtime.provider()),
        }
    }

    /// The result's line.
    fn made(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == self.what)
    }

    /// PSNR of the result's pictures to those that it was made from, dB.
    pub fn psnr_db(&self) -> Option<f64> {
        self.made().and_then(|row| row.psnr_teacher_db)
    }

    /// What somebody who chose this should know: where it is slower than fp32.
    pub fn warnings(&self) -> Vec<String> {
        // Widened as it is loaded, fp16 is the network that fp32 is.
        let (same, fp16) = (["fp32", "fp16"], Precision::Fp16.to_string());
        let Some(made) = self.made().filter(|made| made.name != fp16) else { return Vec::new() };
        let on = |n: &str, of: fn(&Row) -> Parts<f64>| {
            let sum = |row: &Row| of(row).encoder + of(row).decoder;
            // Measured twice under two names, it says how restless the machine is, too.
            let twice = self.rows.iter().filter(|row| same.contains(&row.name.as_str())).map(sum);
            let (whole, made) = (twice.fold(0.0, f64::max), sum(made));
            (made > whole * NOTABLE).then(|| {
                format!(
                    "{} is slower than fp32 with {}: {made:.1} ms for a face on {n}, fp32 takes {whole:.1} ms; it saves \
                     nothing but space here",
                    self.what, self.runtime
                )
            })
        };
        let one = on("one thread", |row| row.ms_one_thread);
        let two = on("two threads", |row| row.ms_two_threads);
        one.into_iter().chain(two).collect()
    }

    /// How much further from the truth a row is than fp32, dB.
    fn loss_db(&self, row: &Row) -> Option<f64> {
        Some(self.rows.first()?.psnr_truth_db? - row.psnr_truth_db?)
    }
}

/// The table in Markdown.
impl fmt::Display for CompressReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_calibration, n_held_out, runtime, .. } = self;
        writeln!(f, "{n_calibration} faces to fit to, {n_held_out} others to measure on; {runtime}\n")?;
        writeln!(
            f,
            "| | MB | parameters | ms, 1 thread | ms, 2 threads | speed, 1 and 2 threads | PSNR to fp32 | PSNR truth | loss, dB |"
        )?;
        write!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for (row, n_bytes) in self.rows.iter().zip(&self.n_bytes) {
            let ms = |parts: Parts<f64>| format!("{:.2} + {:.2}", parts.encoder, parts.decoder);
            let speed = |of: fn(&Row) -> Parts<f64>| {
                let sum = |row: &Row| of(row).encoder + of(row).decoder;
                self.rows.first().map_or(1.0, sum) / sum(row)
            };
            let number = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.2}"));
            write!(
                f,
                "\n| {} | {:.2} | {} | {} | {} | {:.2}x, {:.2}x | {} | {} | {} |",
                row.name,
                *n_bytes as f64 / 1e6,
                row.n_parameters,
                ms(row.ms_one_thread),
                ms(row.ms_two_threads),
                speed(|row| row.ms_one_thread),
                speed(|row| row.ms_two_threads),
                number(row.psnr_teacher_db),
                number(row.psnr_truth_db),
                number(self.loss_db(row)),
            )?;
        }
        Ok(())
    }
}
