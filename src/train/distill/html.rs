//! The report as one page that needs nothing but itself: the table, and the same faces from everybody.

use std::fmt::Write;

use image::{ImageFormat, RgbImage, imageops};
use ndarray::{Array3, Axis};

use super::{
    measure::Measured,
    report::{COLUMNS, Report},
    transfer::HeldFace,
};
use crate::{
    face_set::rgb8_from_crop,
    page::{data_url, escaped},
};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:1400px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2em .6em;text-align:right;\
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}img{max-width:100%}";

/// Faces that are shown.
const N_SHOWN: usize = 8;

/// The page.
pub fn page(report: &Report, measured: &Measured, faces: &[HeldFace]) -> String {
    let title = escaped(&format!("{}, distilled: {}", report.teacher, report.student));
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>faceswap distill</title><style>{STYLE}</style>\
         <h1>{title}</h1><p>Stages: {}. {} faces to learn from; measured on {} that were never trained on, {} of \
         them with a truth.</p>",
        report.stages.join(", "),
        report.n_faces,
        report.n_held_out,
        report.n_with_truth
    );
    page.push_str(&table(report));
    page.push_str("<h2>Side by side</h2>");
    page.push_str(&pictures(report, measured, faces));
    page.push_str("</html>\n");
    page
}

fn table(report: &Report) -> String {
    let mut out = String::from("<table><tr><th>");
    for (heading, _) in COLUMNS {
        let _ = write!(out, "<th>{heading}");
    }
    for row in &report.rows {
        let _ = write!(out, "<tr><td>{}", escaped(&row.name));
        for (_, cell) in COLUMNS {
            let _ = write!(out, "<td>{}", cell(row));
        }
    }
    out.push_str(
        "</table><p>One face through ONNX Runtime, the middle of 31 runs, all networks in turn. PSNR (dB) and SSIM \
         in the face. identity: distance of face embeddings to the truth's, one person is below 0.52. expression: \
         mean difference of 52 coefficients to those of the face that was swapped.</p>",
    );
    out
}

/// A row for each face: what went in, the truth where there is one, then everybody's answer.
fn pictures(report: &Report, measured: &Measured, faces: &[HeldFace]) -> String {
    let mut out = String::from("<table><tr><th>face<th>truth");
    for row in &report.rows {
        let _ = write!(out, "<th>{}", escaped(&row.name));
    }
    let n = faces.len().min(N_SHOWN);
    for nth in 0..n {
        let k = nth * faces.len() / n;
        let truth = faces[k].truth.as_ref().map_or_else(String::new, cell);
        let _ = write!(out, "<tr><td>{}<td>{truth}", cell(&faces[k].face));
        for pictures in &measured.pictures {
            let _ = write!(out, "<td>{}", cell(&pictures.index_axis(Axis(0), k).to_owned()));
        }
    }
    out.push_str("</table>");
    out
}

/// A face at a size that a person can judge.
fn cell(crop: &Array3<f32>) -> String {
    let picture = rgb8_from_crop(crop);
    let (w, h) = picture.dimensions();
    let larger: RgbImage = if w < 160 {
        imageops::resize(&picture, 2 * w, 2 * h, imageops::FilterType::CatmullRom)
    } else {
        picture
    };
    format!("<img src=\"{}\" alt=\"\">", data_url(&larger, ImageFormat::Jpeg))
}
