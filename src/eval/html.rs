//! The report as one page that needs nothing but itself: numbers beside baselines, plots over time, the worst frames,
//! before and after.

use std::fmt::Write;

use image::{ImageFormat, RgbImage, imageops};
use ndarray::{Array2, Array3};

use super::{
    EvalReport, EvalSettings, FIRST_COMPOSITE, Gathered, OUTPUT, UNCHANGED, row::FrameScores, table,
};
use crate::{
    frame::{Frame, Rect},
    measure::seam::worst_place,
    page::{data_url, escaped},
};

/// Worst frames that are shown.
const N_WORST: usize = 4;
/// Largest width of the pictures before and after, pixels.
const MAX_WIDTH: u32 = 1280;
/// Side of the piece of the seam that is enlarged, and by how much.
const PIECE_PX: u32 = 48;
const ENLARGED: u32 = 6;

/// Pictures that are kept while the clips run.
pub(super) struct Album {
    is_open: bool,
    worst: Vec<Shot>,
    /// The frame with the largest face so far, before and after.
    pair: Option<(usize, u64, RgbImage, RgbImage)>,
}

/// A frame that is worth a look.
struct Shot {
    idx: u64,
    step: f64,
    target: RgbImage,
    output: RgbImage,
    /// Where the seam is seen most, pixels of the pictures.
    place: (u32, u32),
}

impl Album {
    /// `is_open` when pictures are wanted at all.
    pub(super) fn new(is_open: bool) -> Self {
        Self { is_open, worst: Vec::new(), pair: None }
    }

    /// Looks at a scored frame: the frames and cut-out pictures of all rows.
    pub(super) fn add(
        &mut self,
        scores: &FrameScores,
        frames: &[Frame],
        pictures: &[Array3<f32>],
        alpha: &Array2<f32>,
    ) {
        if !self.is_open {
            return;
        }
        let n_pixels = alpha.iter().filter(|a| **a > 0.5).count();
        if self.pair.as_ref().is_none_or(|(n, ..)| n_pixels > n + n / 8) {
            let [before, after] = [UNCHANGED, OUTPUT].map(|i| whole(&frames[i]));
            self.pair = Some((n_pixels, scores.idx, before, after));
        }
        let Some(step) = scores.s2 else { return };
        let (target, output) = (&pictures[UNCHANGED], &pictures[OUTPUT]);
        let (x, y) = worst_place(output, target, alpha).unwrap_or_default();
        let place = (x as u32, y as u32);
        self.worst.push(Shot { idx: scores.idx, step, target: rgb(target), output: rgb(output), place });
        self.worst.sort_by(|a, b| b.step.total_cmp(&a.step));
        self.worst.truncate(N_WORST);
    }
}

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2em .6em;text-align:right;\
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}tr.own{background:#eef6ee}\
figure{display:inline-block;margin:.5em 1em .5em 0}figcaption{color:#555}img{max-width:100%}\
.pair{position:relative;display:inline-block}.pair img+img{position:absolute;left:0;top:0;clip-path:inset(0 50% 0 0)}\
.pair+input{display:block;width:100%}svg{background:#fafafa;border:1px solid #ddd;margin:.3em}\
.enlarged{image-rendering:pixelated}";

/// Colours of the rows in plots: output, unchanged, hard paste, feather.
const COLOURS: [&str; 4] = ["#c22", "#888", "#36c", "#393"];

/// The page.
pub(super) fn page(report: &EvalReport, gathered: &Gathered<'_>, settings: &EvalSettings) -> String {
    let name = |path: &std::path::Path| escaped(&path.display().to_string());
    let output = settings.output.as_deref().map_or("the swap made here".into(), name);
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>faceswap eval</title><style>{STYLE}</style>\
         <h1>{output}</h1><p>beside {}; {} of {} frames scored.</p>",
        name(&settings.target),
        report.n_scored,
        report.n_frames
    );
    page.push_str(&numbers(report));
    page.push_str(&before_and_after(&gathered.album));
    page.push_str("<h2>Over time</h2>");
    page.push_str(&plots(gathered));
    page.push_str(&worst(&gathered.album));
    page.push_str("</html>\n");
    page
}

fn numbers(report: &EvalReport) -> String {
    let mut out = String::from("<table><tr><th>");
    for (heading, ..) in table::COLUMNS {
        let _ = write!(out, "<th>{heading}");
    }
    for (i, (name, scores)) in report.rows().into_iter().enumerate() {
        let _ = write!(out, "<tr{}><td>{}", if i == 0 { " class=own" } else { "" }, escaped(name));
        for (_, score, _, digits) in table::COLUMNS {
            match score(scores) {
                Some(value) => _ = write!(out, "<td>{value:.digits$}"),
                None => out.push_str("<td>"),
            }
        }
    }
    out.push_str(
        "</table><p>id: distance of face embeddings, one person is below 0.52. mesh, jitter: share of the distance \
         between the eyes. warp, S1: 1 is good. S2, S3, S4: 0 is good.</p>",
    );
    out
}

fn before_and_after(album: &Album) -> String {
    let Some((_, idx, before, after)) = &album.pair else { return String::new() };
    format!(
        "<h2>Before and after, frame {idx}</h2><div class=pair><img src=\"{}\" alt=after><img src=\"{}\" alt=before>\
         </div><input type=range min=0 max=100 value=50 aria-label=\"before and after\" oninput=\"\
         this.previousElementSibling.lastElementChild.style.clipPath='inset(0 '+(100-this.value)+'% 0 0)'\">",
        data_url(after, ImageFormat::Jpeg),
        data_url(before, ImageFormat::Jpeg)
    )
}

fn plots(gathered: &Gathered<'_>) -> String {
    type Score = fn(&FrameScores) -> Option<f64>;
    let scores: [(&str, Score); 8] = [
        ("PSNR in the face, dB", |f| f.psnr_db),
        ("SSIM in the face", |f| f.ssim),
        ("S1, 1 is good", |f| f.s1),
        ("S2, 0 is good", |f| f.s2),
        ("S3, 0 is good", |f| f.s3),
        ("S4, 0 is good", |f| f.s4),
        ("tOF, pixels", |f| f.tof),
        ("warp error", |f| f.warp),
    ];
    let rows = [OUTPUT, UNCHANGED, FIRST_COMPOSITE + 1, FIRST_COMPOSITE + 2];
    let names = ["output", "unchanged", "hard paste", "feather"];
    let mut out = String::from("<p>");
    for (i, name) in names.iter().enumerate().filter(|(i, _)| rows[*i] < gathered.rows.len()) {
        let _ = write!(out, "<span style=\"color:{}\">&#9632; {name}</span> ", COLOURS[i]);
    }
    out.push_str("</p>");
    for (title, score) in scores {
        let lines: Vec<Vec<(u64, f64)>> = rows
            .iter()
            .filter_map(|i| gathered.rows.get(*i))
            .map(|row| row.frames.iter().filter_map(|f| Some((f.idx, score(f)?))).collect())
            .collect();
        if lines.iter().any(|line| line.len() > 1) {
            out.push_str(&plot(title, &lines));
        }
    }
    out
}

/// One plot: a line for each row.
fn plot(title: &str, lines: &[Vec<(u64, f64)>]) -> String {
    const SIZE: (f64, f64) = (560.0, 190.0);
    const LEFT: f64 = 44.0;
    const TOP: f64 = 24.0;
    let points = || lines.iter().flatten().filter(|(_, v)| v.is_finite());
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (first, last) = range(&mut points().map(|(i, _)| *i as f64));
    let (low, high) = range(&mut points().map(|(_, v)| *v));
    let (span_x, span_y) = ((last - first).max(1.0), (high - low).max(1e-6));
    let x = |i: u64| LEFT + (i as f64 - first) / span_x * (SIZE.0 - LEFT - 8.0);
    let y = |v: f64| TOP + (high - v) / span_y * (SIZE.1 - TOP - 18.0);
    let mut out = format!(
        "<svg width={} height={} role=img><text x=8 y=16 font-size=13>{title}</text>\
         <text x=4 y={:.0} font-size=11>{high:.2}</text><text x=4 y={:.0} font-size=11>{low:.2}</text>\
         <text x={LEFT} y={:.0} font-size=11>frame {first}</text>\
         <text x={:.0} y={:.0} font-size=11 text-anchor=end>{last}</text>",
        SIZE.0,
        SIZE.1,
        y(high) + 10.0,
        y(low),
        SIZE.1 - 3.0,
        SIZE.0 - 8.0,
        SIZE.1 - 3.0,
    );
    for (line, colour) in lines.iter().zip(COLOURS) {
        let _ = write!(out, "<polyline fill=none stroke=\"{colour}\" points=\"");
        for (i, v) in line.iter().filter(|(_, v)| v.is_finite()) {
            let _ = write!(out, "{:.1},{:.1} ", x(*i), y(*v));
        }
        out.push_str("\"/>");
    }
    out.push_str("</svg>");
    out
}

fn worst(album: &Album) -> String {
    if album.worst.is_empty() {
        return String::new();
    }
    let mut out = String::from("<h2>The worst seams</h2>");
    for shot in &album.worst {
        let _ = write!(out, "<h3>Frame {}, S2 {:.1}</h3>", shot.idx, shot.step);
        let pieces = [("target", &shot.target), ("output", &shot.output)];
        for (name, picture) in pieces {
            let url = data_url(picture, ImageFormat::Png);
            let _ =
                write!(out, "<figure><img src=\"{url}\" alt=\"\"><figcaption>{name}</figcaption></figure>");
        }
        for (name, picture) in pieces {
            let url = data_url(&piece(picture, shot.place), ImageFormat::Png);
            let _ = write!(
                out,
                "<figure><img class=enlarged src=\"{url}\" alt=\"\"><figcaption>{name}, its seam x {ENLARGED}</figcaption></figure>"
            );
        }
    }
    out
}

/// The surroundings of a place, enlarged.
fn piece(picture: &RgbImage, (x, y): (u32, u32)) -> RgbImage {
    let (w, h) = (PIECE_PX.min(picture.width()), PIECE_PX.min(picture.height()));
    let (x, y) =
        (x.saturating_sub(w / 2).min(picture.width() - w), y.saturating_sub(h / 2).min(picture.height() - h));
    let cut = imageops::crop_imm(picture, x, y, w, h).to_image();
    imageops::resize(&cut, w * ENLARGED, h * ENLARGED, imageops::FilterType::Nearest)
}

/// A frame, at most [`MAX_WIDTH`] wide.
fn whole(frame: &Frame) -> RgbImage {
    let (x1, y1) = frame.picture.size_px();
    let picture = rgb(&frame.picture.rgb_rect(Rect { x0: 0, y0: 0, x1, y1 }));
    if picture.width() <= MAX_WIDTH {
        return picture;
    }
    let height = (picture.height() * MAX_WIDTH / picture.width()).max(1);
    imageops::resize(&picture, MAX_WIDTH, height, imageops::FilterType::Triangle)
}

fn rgb(picture: &Array3<f32>) -> RgbImage {
    let (_, h, w) = picture.dim();
    RgbImage::from_fn(w as u32, h as u32, |x, y| {
        image::Rgb(
            [0, 1, 2].map(|c| (picture[[c, y as usize, x as usize]] * 255.0).round().clamp(0.0, 255.0) as u8),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_holds_a_line_for_each_row_inside_its_frame() {
        let plot = plot("S1", &[vec![(0, 1.0), (4, 3.0)], vec![(0, 2.0), (4, f64::NAN), (8, 2.5)]]);
        assert_eq!(plot.matches("<polyline").count(), 2);
        assert!(plot.contains("44.0,172.0") && !plot.contains("NaN"), "{plot}");
    }

    #[test]
    fn a_picture_in_the_page_is_the_picture() {
        let picture = RgbImage::from_fn(7, 5, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let piece = piece(&picture, (6, 4));
        assert_eq!((piece.dimensions(), piece.get_pixel(41, 29).0), ((42, 30), [6, 4, 9]));
    }
}
