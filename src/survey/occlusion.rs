//! `faceswap measure mask`: how well the masks tell what lies in front of a face, against the truth, and how calm they are.

use std::{fmt, path::Path};

use image::{RgbImage, imageops};
use ndarray::{Array2, Array3, Axis, Zip};
use serde::Serialize;

use super::Survey;
use crate::{
    Error, Result,
    face::{self, MaskSettings, Masker, Template, masks::steadied},
    face_set::rgb8_from_crop,
    frame::Frame,
    progress::Watch,
    video::{DamagedFrames, Decoder},
};

/// Side of the aligned crops that are compared, pixels.
const SIDE_PX: usize = 256;
/// Crops in a row of the sheet, and how many there are at most.
const N_COLUMNS: usize = 6;
const N_SHOWN: usize = 36;
/// Frames in which this much of the face is covered show something; below, what is masked is a false alarm.
const COVERED: f64 = 0.005;

/// What is measured of a clip's largest face, inside its outline from brows to chin.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MaskReport {
    /// Frames with a face.
    pub n_frames: u64,
    /// Intersection over union of what is masked and what is truly covered, over all frames.
    pub iou: Option<f64>,
    /// Share of what is covered that is masked.
    pub recall: Option<f64>,
    /// Share of what is masked that is covered.
    pub precision: Option<f64>,
    /// Share of the face that is masked, mean over the frames in which nothing covers it; over all without a truth.
    pub masked_bare: Option<f64>,
    /// The highest such share of a frame, and the frame.
    pub most_masked_bare: Option<(f64, u64)>,
    /// Mean change of the mask from frame to frame, share of the face; the truth's own beside it.
    pub change: Option<f64>,
    /// The same of the truth.
    pub true_change: Option<f64>,
    /// Frames of the clip that don't show what was filmed.
    pub damage: Vec<DamagedFrames>,
}

/// What is gathered.
#[derive(Default)]
struct Gathered {
    report: MaskReport,
    both: f64,
    said: f64,
    meant: f64,
    bare: (f64, f64),
    /// Sums and numbers of the changes of mask and truth.
    changes: [(f64, f64); 2],
    last: Option<Look>,
    shown: Spread<RgbImage>,
}

/// One frame's face.
struct Look {
    idx: u64,
    crop: Array3<f32>,
    hull: Array2<f32>,
    visible: Array2<f32>,
    covered: Option<Array2<f32>>,
}

/// Measures `masks` on the largest face of each frame of `input`. `truth` is a grey video of the same
/// frames, white where something covers what is behind it. The sheet shows every Nth face with what is masked in red
/// and, where it is known, the outline of what is covered in green.
///
/// # Errors
/// Those of [`Survey::run`]; [`Error::BadInput`] when there is no face, or the truth is shorter or of another size.
pub fn mask(
    input: &Path,
    truth: Option<&Path>,
    masks: &MaskSettings,
    survey: &Survey<'_>,
    watch: &mut Watch<'_>,
) -> Result<(MaskReport, RgbImage)> {
    let mut masker = Masker::new(survey.runtime, masks)?;
    let mut reel = truth.map(|path| Decoder::open(path, &survey.decode)).transpose()?;
    let mut gathered = Gathered::default();
    // The newest two looks: the middle one of three is steadied.
    let mut window: Vec<Look> = Vec::new();
    let mut before: Option<Array2<f32>> = None;
    let damage = survey.run(input, watch, |tracked| {
        let frame = &tracked.frame;
        let truth =
            reel.as_mut().zip(truth).map(|(reel, path)| next(reel, path, frame, input)).transpose()?;
        let Some(face) = tracked.faces.first() else { return Ok(()) };
        let alignment = face::align(&face.points, &Template::default(), face::DEFAULT_MARGIN, SIDE_PX);
        let cut = |frame: &Frame| face::crop(&frame.picture, &alignment, SIDE_PX);
        let visible = masker.visible(&frame.picture, &face.points, &alignment)?;
        window.push(Look {
            idx: frame.idx,
            crop: cut(frame),
            hull: face::hull_mask(&face.points, &alignment, SIDE_PX),
            visible: visible.unwrap_or_else(|| Array2::ones([SIDE_PX, SIDE_PX])),
            covered: truth.map(|truth| cut(&truth).index_axis_move(Axis(0), 0)),
        });
        if window.len() > 1 {
            let now = window.remove(0);
            gathered.add(before.replace(now.visible.clone()).as_ref(), now, Some(&window[0].visible));
        }
        Ok(())
    })?;
    for now in window {
        gathered.add(before.take().as_ref(), now, None);
    }
    if gathered.report.n_frames == 0 {
        return Err(Error::input(input, "no face was found"));
    }
    gathered.report.damage = damage;
    Ok((gathered.concluded(), gathered.sheet()))
}

/// The truth of a frame.
fn next(reel: &mut Decoder, path: &Path, frame: &Frame, input: &Path) -> Result<Frame> {
    let truth = reel.next().unwrap_or_else(|| {
        Err(Error::input(path, format!("ends before frame {} of {}", frame.idx, input.display())))
    })?;
    let (of_truth, of_input) = (truth.picture.size_px(), frame.picture.size_px());
    if of_truth == of_input {
        return Ok(truth);
    }
    let reason =
        format!("is {} x {}, {} is {} x {}", of_truth.0, of_truth.1, input.display(), of_input.0, of_input.1);
    Err(Error::input(path, reason))
}

impl Gathered {
    fn add(&mut self, before: Option<&Array2<f32>>, mut now: Look, after: Option<&Array2<f32>>) {
        now.visible = steadied(before, &now.visible, after);
        self.report.n_frames += 1;
        let (mut both, mut said, mut meant, mut area) = (0.0, 0.0, 0.0, 0.0);
        for (at, hull) in now.hull.indexed_iter().filter(|(_, hull)| **hull > 0.5) {
            let is_said = now.visible[at] < 0.5;
            let is_meant = now.covered.as_ref().is_some_and(|covered| covered[at] > 0.5);
            both += f64::from(u8::from(is_said && is_meant));
            said += f64::from(u8::from(is_said));
            meant += f64::from(u8::from(is_meant));
            area += f64::from(*hull > 0.5);
        }
        (self.both, self.said, self.meant) = (self.both + both, self.said + said, self.meant + meant);
        if area > 0.0 && meant <= COVERED * area {
            let share = (said - both) / area;
            self.bare = (self.bare.0 + share, self.bare.1 + 1.0);
            if self.report.most_masked_bare.is_none_or(|(most, _)| share > most) {
                self.report.most_masked_bare = Some((share, now.idx));
            }
        }
        if let Some(last) = self.last.take().filter(|last| last.idx + 1 == now.idx) {
            let change = |a: &Array2<f32>, b: &Array2<f32>| {
                let sum =
                    Zip::from(a).and(b).and(&now.hull).fold(0.0, |sum, a, b, h| sum + h * (a - b).abs());
                f64::from(sum) / area.max(1.0)
            };
            let grids =
                [Some((&last.visible, &now.visible)), last.covered.as_ref().zip(now.covered.as_ref())];
            for (sum, (a, b)) in
                self.changes.iter_mut().zip(grids).filter_map(|(sum, pair)| Some((sum, pair?)))
            {
                *sum = (sum.0 + change(a, b), sum.1 + 1.0);
            }
        }
        self.shown.add(|| picture(&now));
        self.last = Some(now);
    }

    fn concluded(&self) -> MaskReport {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let has_truth = self.last.as_ref().is_some_and(|last| last.covered.is_some());
        let known = |value: Option<f64>| value.filter(|_| has_truth);
        MaskReport {
            iou: known(share(self.both, self.said + self.meant - self.both)),
            recall: known(share(self.both, self.meant)),
            precision: known(share(self.both, self.said)),
            masked_bare: share(self.bare.0, self.bare.1),
            change: share(self.changes[0].0, self.changes[0].1),
            true_change: share(self.changes[1].0, self.changes[1].1),
            ..self.report.clone()
        }
    }

    /// Faces from all over the clip.
    fn sheet(&self) -> RgbImage {
        let shown = self.shown.some(N_SHOWN);
        let side = SIDE_PX as u32;
        let (n_columns, n_rows) = (N_COLUMNS.min(shown.len()) as u32, shown.len().div_ceil(N_COLUMNS) as u32);
        let mut sheet = RgbImage::new(side * n_columns, side * n_rows);
        for (i, crop) in shown.into_iter().enumerate() {
            let (x, y) = (i % N_COLUMNS * SIDE_PX, i / N_COLUMNS * SIDE_PX);
            imageops::replace(&mut sheet, crop, x as i64, y as i64);
        }
        sheet
    }
}

/// Some of what comes, spread evenly over all of it: every Nth, where N doubles when there are too many, so that a long clip
/// takes no more memory than a short one.
struct Spread<T> {
    kept: Vec<T>,
    n_seen: usize,
    every: usize,
}

impl<T> Default for Spread<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), n_seen: 0, every: 1 }
    }
}

impl<T> Spread<T> {
    /// Takes what comes next, if it is one to be kept.
    fn add(&mut self, make: impl FnOnce() -> T) {
        if self.n_seen.is_multiple_of(self.every) {
            self.kept.push(make());
        }
        self.n_seen += 1;
        if self.kept.len() == 4 * N_SHOWN {
            let mut nth = 0;
            self.kept.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// At most `n` of what was kept.
    fn some(&self, n: usize) -> Vec<&T> {
        self.kept.iter().step_by(self.kept.len().div_ceil(n).max(1)).collect()
    }
}

/// The crop with what is masked in red and the truth's outline in green.
fn picture(look: &Look) -> RgbImage {
    let mut image = rgb8_from_crop(&look.crop);
    let is_covered = |x: usize, y: usize| look.covered.as_ref().is_some_and(|covered| covered[[y, x]] > 0.5);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (x, y) = (x as usize, y as usize);
        let part = 0.6 * look.hull[[y, x]] * (1.0 - look.visible[[y, x]]);
        for (value, tint) in pixel.0.iter_mut().zip([255.0, 40.0, 40.0]) {
            *value = (f32::from(*value) * (1.0 - part) + tint * part) as u8;
        }
        let (right, below) = ((x + 1).min(SIDE_PX - 1), (y + 1).min(SIDE_PX - 1));
        if is_covered(x, y) != is_covered(right, y) || is_covered(x, y) != is_covered(x, below) {
            pixel.0 = [40, 255, 80];
        }
    }
    image
}

impl fmt::Display for MaskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faces", self.n_frames)?;
        let mut tell =
            |name: &str, value: Option<f64>| value.map_or(Ok(()), |v| write!(f, ", {name} {v:.3}"));
        tell("IoU", self.iou)?;
        tell("recall", self.recall)?;
        tell("precision", self.precision)?;
        let percent = |value: Option<f64>| value.map(|v| 100.0 * v);
        let mut tell = |text: &str, value: Option<f64>| {
            percent(value).map_or(Ok(()), |v| write!(f, "\n{text}: {v:.2} % of the face"))
        };
        tell("masked where nothing covers it", self.masked_bare)?;
        tell("  at most", self.most_masked_bare.map(|(share, _)| share))?;
        tell("change of the mask from frame to frame", self.change)?;
        tell("  of the truth", self.true_change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_long_clip_is_spread_over_it_and_no_more_than_of_a_short_one() {
        for n in [1, 36, 37, 143, 144, 1000, 100_000] {
            let mut spread = Spread::default();
            (0..n).for_each(|i| spread.add(|| i));
            assert!(spread.kept.len() < 4 * N_SHOWN);
            let shown = spread.some(N_SHOWN);
            assert!(shown.len() <= N_SHOWN && shown.len() >= n.min(N_SHOWN / 2), "{n}: {}", shown.len());
            let steps: Vec<usize> = shown.windows(2).map(|w| w[1] - w[0]).collect();
            assert!(steps.iter().all(|step| *step == steps[0]) && *shown[0] == 0, "{n}: {shown:?}");
        }
    }

    /// A face that fills the crop, whose left columns are masked and covered.
    fn look(idx: u64, masked: usize, covered: usize) -> Look {
        let left = |n: usize| Array2::from_shape_fn([SIDE_PX, SIDE_PX], |(_, x)| f32::from(u8::from(x < n)));
        Look {
            idx,
            crop: Array3::zeros([3, SIDE_PX, SIDE_PX]),
            hull: Array2::ones([SIDE_PX, SIDE_PX]),
            visible: 1.0 - left(masked),
            covered: Some(left(covered)),
        }
    }

    #[test]
    fn overlap_false_alarms_and_change_are_told_apart() {
        let mut gathered = Gathered::default();
        for look in [look(4, 64, 128), look(5, 96, 128), look(6, 32, 0)] {
            gathered.add(None, look, None);
        }
        let report = gathered.concluded();
        let near = |value: Option<f64>, wanted: f64| (value.expect("known") - wanted).abs() < 1e-6;
        assert!(near(report.iou, 160.0 / 288.0) && near(report.recall, 160.0 / 256.0), "{report:?}");
        assert!(near(report.precision, 160.0 / 192.0) && near(report.masked_bare, 0.125), "{report:?}");
        assert_eq!(report.most_masked_bare, Some((0.125, 6)));
        assert!(near(report.change, 48.0 / 256.0) && near(report.true_change, 0.25), "{report:?}");
        assert_eq!(gathered.sheet().dimensions(), (3 * SIDE_PX as u32, SIDE_PX as u32));
    }
}
