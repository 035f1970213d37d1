//! `faceswap measure jitter`: how much a clip's faces tremble before and after they are held still.

use std::{collections::BTreeMap, fmt, path::Path};

use super::{
    Survey,
    canvas::{COLOURS, Canvas, Colour},
    truth::{Accuracy, Truth},
    write_png,
};
use crate::{
    Error, Result,
    face::mesh,
    frame::{Face, FramePx},
    measure::jitter::Jitter,
    progress::Watch,
    video::DamagedFrames,
};

/// What is measured of a clip.
#[derive(Debug, serde::Serialize)]
pub struct JitterReport {
    /// Frames of the clip.
    pub n_frames: usize,
    /// Frames with at least one face.
    pub n_with_face: usize,
    /// Over all faces.
    pub all: Tremor,
    /// Each track.
    pub tracks: Vec<TrackTremor>,
    /// What is left of blinks.
    pub blinks: Kept,
    /// What is left of the mouth's openings.
    pub mouth: Kept,
    /// Distance of the points to the truth as measured, where it is known.
    pub raw_accuracy: Option<Accuracy>,
    /// The same of the points that are held still.
    pub held_accuracy: Option<Accuracy>,
    /// Frames of the clip that don't show what was filmed.
    pub damage: Vec<DamagedFrames>,
    #[serde(skip)]
    series: Vec<[Option<f64>; 2]>,
}

/// Jitter J: the mean of |p(t+1) - 2 p(t) + p(t-1)| over points and frames, percent of the distance between the eyes.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Tremor {
    /// Of the points as measured.
    pub raw_percent: f64,
    /// Of the points that are held still.
    pub held_percent: f64,
}

/// One track's.
#[derive(Debug, serde::Serialize)]
pub struct TrackTremor {
    /// Its number.
    pub track: u32,
    /// Frames that it is in.
    pub n_frames: usize,
    /// Frames in which nothing was seen and the points were put between their neighbours.
    pub n_filled: usize,
    /// Its jitter.
    #[serde(flatten)]
    pub tremor: Tremor,
}

/// What is left of quick motions when the points are held still.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Kept {
    /// Motions that were found.
    pub n_peaks: usize,
    /// Mean height of their peaks over that of the measured points, percent.
    pub height_percent: f64,
    /// Mean distance of their peaks in time, frames; below 0 is early.
    pub shift_frames: f64,
}

/// What is gathered of one track.
#[derive(Default)]
struct Gathered {
    n_frames: usize,
    n_filled: usize,
    /// The last two frames' numbers, points as measured, points held still.
    last: Vec<(u64, [Vec<FramePx>; 2])>,
    jitter: [Jitter; 2],
    /// Opening of the eyes and of the mouth, as measured and held still.
    curves: [[Vec<f64>; 2]; 2],
}

/// Measures the clip `input`, against `truth` where it is known.
///
/// # Errors
/// Those of [`Survey::run`]; [`Error::BadInput`] when no face follows for three frames.
pub fn jitter(
    input: &Path,
    truth: Option<&Truth>,
    survey: &Survey<'_>,
    watch: &mut Watch<'_>,
) -> Result<JitterReport> {
    let mut tracks: BTreeMap<u32, Gathered> = BTreeMap::new();
    let (mut series, mut n_with_face) = (Vec::new(), 0);
    let mut clip: [Vec<Option<Vec<FramePx>>>; 2] = Default::default();
    let damage = survey.run(input, watch, |tracked| {
        n_with_face += usize::from(!tracked.faces.is_empty());
        // A frame's own jitter is told by its successor.
        let mut of_frame = [Jitter::default(); 2];
        for face in &tracked.faces {
            tracks.entry(face.track).or_default().add(tracked.frame.idx, face, &mut of_frame);
        }
        series.push(of_frame.map(|jitter| jitter.mean().map(|j| 100.0 * j)));
        if truth.is_some() {
            let largest = tracked.faces.first();
            clip[0].push(largest.map(|face| face.measured.clone()));
            clip[1].push(largest.map(|face| face.points.clone()));
        }
        Ok(())
    })?;
    let percent = |jitter: Jitter| 100.0 * jitter.mean().unwrap_or(0.0);
    let mut all = [Jitter::default(); 2];
    tracks.values().for_each(|track| (0..2).for_each(|k| all[k].merge(track.jitter[k])));
    if all[0].mean().is_none() {
        return Err(Error::input(input, "shows no face in three frames in a row, so nothing can tremble"));
    }
    let [blinks, mouth] = [0, 1].map(|curve| {
        let each = tracks.values().map(|track| {
            let [raw, held] = &track.curves[curve];
            if curve == 0 { peaks(raw, held, -1.0, 0.05) } else { peaks(raw, held, 1.0, 0.06) }
        });
        Kept::over(each.flatten())
    });
    Ok(JitterReport {
        n_frames: series.len(),
        n_with_face,
        all: Tremor { raw_percent: percent(all[0]), held_percent: percent(all[1]) },
        tracks: tracks.iter().map(|(id, track)| track.told(*id)).collect(),
        blinks,
        mouth,
        raw_accuracy: truth.and_then(|truth| truth.accuracy(&clip[0])),
        held_accuracy: truth.and_then(|truth| truth.accuracy(&clip[1])),
        damage,
        series,
    })
}

impl Gathered {
    fn add(&mut self, idx: u64, face: &Face, of_frame: &mut [Jitter; 2]) {
        self.n_frames += 1;
        self.n_filled += usize::from(face.origin == crate::frame::Origin::Filled);
        let points = [face.measured.clone(), face.points.clone()];
        if self.last.last().is_some_and(|(last, _)| last + 1 != idx) {
            self.last.clear();
        }
        if let [(_, a), (_, b)] = &self.last[..] {
            for k in 0..2 {
                self.jitter[k].add(&a[k], &b[k], &points[k]);
                of_frame[k].add(&a[k], &b[k], &points[k]);
            }
            self.last.remove(0);
        }
        for (k, points) in points.iter().enumerate() {
            self.curves[0][k].push(eye_opening(points));
            self.curves[1][k].push(mouth_opening(points));
        }
        self.last.push((idx, points));
    }

    fn told(&self, track: u32) -> TrackTremor {
        let percent = |k: usize| 100.0 * self.jitter[k].mean().unwrap_or(0.0);
        let tremor = Tremor { raw_percent: percent(0), held_percent: percent(1) };
        TrackTremor { track, n_frames: self.n_frames, n_filled: self.n_filled, tremor }
    }
}

/// Distance of two points in distances between the eyes.
fn apart(points: &[FramePx], a: usize, b: usize) -> f64 {
    if points.len() < mesh::N_SKIN {
        return 0.0;
    }
    (points[a].x - points[b].x).hypot(points[a].y - points[b].y) / mesh::interocular_px(points).max(1e-9)
}

fn eye_opening(points: &[FramePx]) -> f64 {
    0.5 * (apart(points, 159, 145) + apart(points, 386, 374))
}

fn mouth_opening(points: &[FramePx]) -> f64 {
    apart(points, 13, 14)
}

/// The peaks of `raw` (valleys for a `sign` of -1) that stand out by `least` from the level around them: what is left
/// of their heights in `held`, and by how many frames they moved.
fn peaks(raw: &[f64], held: &[f64], sign: f64, least: f64) -> Vec<(f64, f64)> {
    /// Frames around a peak that it must top.
    const REACH: usize = 6;
    let mut found = Vec::new();
    for t in REACH..raw.len().saturating_sub(REACH) {
        let around = t - REACH..=t + REACH;
        let top = sign * raw[t];
        if raw[around.clone()]
            .iter()
            .enumerate()
            .any(|(i, v)| sign * v > top || (i < REACH && sign * v == top))
        {
            continue;
        }
        let mut level = raw[around].to_vec();
        level.sort_by(f64::total_cmp);
        let base = level[REACH];
        let height = top - sign * base;
        if height < least {
            continue;
        }
        let near = t - 2..=t + 2;
        let Some(at) = near.max_by(|a, b| (sign * held[*a]).total_cmp(&(sign * held[*b]))) else { continue };
        found.push(((sign * held[at] - sign * base) / height, at as f64 - t as f64));
    }
    found
}

impl Kept {
    fn over(peaks: impl Iterator<Item = (f64, f64)>) -> Self {
        let (n, height, shift) = peaks.fold((0, 0.0, 0.0), |(n, h, s), peak| (n + 1, h + peak.0, s + peak.1));
        let mean = |sum: f64| if n == 0 { 0.0 } else { sum / n as f64 };
        Self { n_peaks: n, height_percent: 100.0 * mean(height), shift_frames: mean(shift) }
    }
}

impl JitterReport {
    /// Draws the jitter of each frame, measured and held still, and writes it as PNG.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be written.
    pub fn plot(&self, path: &Path) -> Result<()> {
        const SIZE: (usize, usize) = (960, 360);
        const BORDER: f64 = 44.0;
        const COLOUR: [Colour; 2] = [[230, 120, 90], COLOURS[2]];
        let mut canvas = Canvas::new(SIZE.0, SIZE.1, [16, 16, 20]);
        let (right, bottom) = (SIZE.0 as f64 - 16.0, SIZE.1 as f64 - BORDER);
        let mut sorted: Vec<f64> = self.series.iter().flatten().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        // A single jolt must not flatten the rest.
        let top = sorted.get(sorted.len().saturating_sub(1) * 99 / 100).map_or(1.0, |v| 1.15 * v.max(1e-3));
        let at = |frame: usize, value: f64| FramePx {
            x: BORDER + (right - BORDER) * frame as f64 / self.series.len().max(2) as f64,
            y: bottom - (bottom - 28.0) * (value / top).min(1.0),
        };
        for k in 0..=4 {
            let value = top * f64::from(k) / 4.0;
            canvas.line(at(0, value), FramePx { x: right, ..at(0, value) }, 1, [56, 56, 64]);
            canvas.text(&format!("{value:.2}"), 4.0, at(0, value).y - 4.0, 1, [170; 3]);
        }
        for (k, colour) in COLOUR.into_iter().enumerate() {
            let points =
                self.series.iter().enumerate().map(|(t, j)| j[k].map(|j| at(t, j))).collect::<Vec<_>>();
            for pair in points.windows(2) {
                if let [Some(a), Some(b)] = pair {
                    canvas.line(*a, *b, 2, colour);
                }
            }
        }
        canvas.text("jitter, % of eye distance, by frame", BORDER, 8.0, 1, [200; 3]);
        let Tremor { raw_percent, held_percent } = self.all;
        canvas.text(&format!("measured {raw_percent:.3}"), 420.0, 8.0, 1, COLOUR[0]);
        canvas.text(&format!("held still {held_percent:.3}"), 600.0, 8.0, 1, COLOUR[1]);
        canvas.text(&format!("0 to {} frames", self.series.len()), BORDER, bottom + 14.0, 1, [170; 3]);
        write_png(path, &canvas.image)
    }
}

impl Tremor {
    /// What is left of the measured jitter.
    pub fn ratio(&self) -> f64 {
        self.held_percent / self.raw_percent.max(1e-12)
    }
}

impl fmt::Display for JitterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} frames with a face ({:.1} %), {} track(s)",
            self.n_with_face,
            self.n_frames,
            100.0 * self.n_with_face as f64 / self.n_frames.max(1) as f64,
            self.tracks.len()
        )?;
        writeln!(f, "jitter, % of the eye distance   measured  held still  ratio")?;
        let mut row = |name: &str, t: &Tremor| {
            writeln!(f, "  {name:28} {:>9.3} {:>11.3} {:>6.2}", t.raw_percent, t.held_percent, t.ratio())
        };
        row("all", &self.all)?;
        for t in &self.tracks {
            row(&format!("track:{}  {} frames, {} filled", t.track, t.n_frames, t.n_filled), &t.tremor)?;
        }
        for (name, kept) in [("blinks", self.blinks), ("mouth openings", self.mouth)] {
            if kept.n_peaks > 0 {
                writeln!(
                    f,
                    "{name}: {} peaks keep {:.1} % of their height, shifted by {:.2} frames",
                    kept.n_peaks, kept.height_percent, kept.shift_frames
                )?;
            }
        }
        for (name, accuracy) in [("measured", self.raw_accuracy), ("held still", self.held_accuracy)] {
            if let Some(a) = accuracy {
                writeln!(
                    f,
                    "{name}: {:.2} % of the outer eye distance from the truth, lag {} frames ({} frames)",
                    a.error_percent, a.lag_frames, a.n_frames
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_that_was_halved_or_moved_is_told() {
        let bump = |t: i32, at: i32, height: f64| height * f64::from((3 - (t - at).abs()).max(0)) / 3.0;
        let curve = |at: i32, height: f64| (0..40).map(|t| 0.3 + bump(t, at, height)).collect::<Vec<_>>();
        assert_eq!(peaks(&curve(20, 0.2), &curve(20, 0.2), 1.0, 0.06), [(1.0, 0.0)]);
        let kept = Kept::over(peaks(&curve(20, 0.2), &curve(21, 0.1), 1.0, 0.06).into_iter());
        assert!((kept.height_percent - 50.0).abs() < 1e-6 && kept.shift_frames == 1.0, "{kept:?}");
        assert!(peaks(&curve(20, 0.05), &curve(20, 0.05), 1.0, 0.06).is_empty(), "too small to count");
        let valleys: Vec<f64> = curve(20, 0.2).iter().map(|v| -v).collect();
        assert_eq!(peaks(&valleys, &valleys, -1.0, 0.06).len(), 1);
    }
}
