//! `faceswap eval`: a swapped clip scored against what it ought to look like, beside baselines.
//!
//! Four clips run side by side: the swap, its target, the truth and, if given, the region where the truth is exact.
//! Scores are means over every Nth frame; motion is measured between those and the frames after them.

mod reels;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use ndarray::{Array2, Array3, s};
use reels::{Reel, Reels, Step};
use serde::Serialize;

use crate::{
    Error, Result,
    blend::{BlendMode, BlendSettings, blend},
    face::{self, Finder, FinderSettings},
    frame::{Face, FoundFace, Frame, FramePx, Rect, Similarity, Tracked},
    line::Stage,
    measure::{
        flicker::{Flow, flow, flow_difference},
        identity::{Embedder, Embedding, mean_distance, mean_distance_within},
        jitter::Jitter,
        psnr::psnr,
        ssim::ssim,
    },
    nn::Runtime,
    swap::{Bundle, Swapper},
};

/// Equal pictures score this much instead of infinity, which JSON doesn't know.
const MAX_PSNR_DB: f64 = 100.0;

/// Pixels around the region that are cut out with it, so that windows and flow have something to look at.
const MARGIN: usize = 32;

/// What is compared with what. All clips have the same frames.
#[derive(Debug, Clone)]
pub struct EvalSettings {
    /// The swapped clip.
    pub output: PathBuf,
    /// The clip that was swapped.
    pub target: PathBuf,
    /// What the swap ought to look like.
    pub truth: PathBuf,
    /// Where to score: a grey clip, white inside. `None`: the largest face's mesh in the target, brow to chin.
    pub region: Option<PathBuf>,
    /// Footage of the wanted person. `None`: the truth.
    pub reference: Option<PathBuf>,
    /// Every how many frames; at least 1.
    pub every: usize,
}

/// The scores of one clip; `None` where there was nothing to measure.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scores {
    /// PSNR to the truth inside the region, mean over frames, dB; at most 100.
    pub psnr_face_db: Option<f64>,
    /// SSIM to the truth inside the region, -1..=1.
    pub ssim_face: Option<f64>,
    /// Distance of face embeddings to the wanted person (L2, mean over pairs of frames; one person is below 0.52).
    pub identity_distance: Option<f64>,
    /// Distance of face embeddings to the person who was replaced.
    pub identity_distance_to_target: Option<f64>,
    /// Tremble of the face's points, share of the distance between the eyes.
    pub jitter: Option<f64>,
    /// Difference of the optical flow to the target's inside the region (tOF), pixels a frame.
    pub flicker_px: Option<f64>,
    /// Scored frames in which a face was found.
    pub n_faces: usize,
}

/// What [`eval`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// Frames of each clip.
    pub n_frames: u64,
    /// Frames that were scored.
    pub n_scored: u64,
    /// The swapped clip.
    pub output: Scores,
    /// Baseline: the target as it is.
    pub unchanged: Scores,
    /// Baseline: the network's faces without any blending, when the identity is known.
    pub hard_paste: Option<Scores>,
    /// The truth itself: the identity distances that a perfect swap would have.
    pub truth: Scores,
}

/// Scores a swapped clip and its baselines; `bundle` is the identity of the swap, for the hard paste.
///
/// # Errors
/// [`Error::BadInput`] when the clips differ in size or number of frames, or the region is empty; what decoding and
/// the networks fail with.
pub fn eval(settings: &EvalSettings, runtime: &Runtime, bundle: Option<&Bundle>) -> Result<EvalReport> {
    let mut reels = Reels::open(settings)?;
    let mut paster = match bundle {
        Some(bundle) => Some(Swapper::new(runtime, bundle, 1)?),
        None => None,
    };
    let upright = FinderSettings::default().upright(reels.target.decoder.probe().quarter_turns);
    let mut look = Look { finder: Finder::new(runtime, &upright)?, embedder: Embedder::new(runtime)? };
    let n_rows = if paster.is_some() { 4 } else { 3 };
    let mut rows: Vec<Row> = (0..n_rows).map(|_| Row::default()).collect();
    let (mut pending, mut n_scored): (Option<Pending>, u64) = (None, 0);
    let every = settings.every.max(1) as u64;
    while let Some(Step { idx, output, target, truth, region }) = reels.next()? {
        let phase = idx % every;
        if phase > 2 {
            continue;
        }
        let target_face = look.largest(&target)?;
        // The order of the rows: target, output, truth, hard paste.
        let mut frames = vec![target.clone(), output, truth];
        if let Some(swapper) = &mut paster {
            frames.push(hard_paste(swapper, target, target_face.clone())?);
        }
        if let Some(pending) = pending.take() {
            pending.finish(&frames, &mut rows)?;
        }
        let mut faces = vec![target_face];
        for frame in &frames[1..] {
            faces.push(look.largest(frame)?);
        }
        for (row, face) in rows.iter_mut().zip(&faces) {
            row.follow(face.as_ref(), phase == 0 && every > 3);
        }
        if phase > 0 {
            continue;
        }
        for ((row, frame), face) in rows.iter_mut().zip(&frames).zip(&faces) {
            row.faces.extend(look.embedding(frame, face.as_ref())?);
        }
        let inside = match region {
            Some(region) => grey_of(&region),
            None => hull_of(&frames[0], faces[0].as_ref()),
        };
        let Some(area) = Area::around(&inside) else { continue };
        let pictures: Vec<Array3<f32>> = frames.iter().map(|f| f.picture.rgb_rect(area.rect)).collect();
        for (row, picture) in rows.iter_mut().zip(&pictures) {
            row.compare(picture, &pictures[2], &area.inside);
        }
        n_scored += 1;
        pending = Some(Pending { area, before: pictures });
    }
    if n_scored == 0 {
        let reason = "nothing to score: the region is empty, or no face was found in the scored frames";
        return Err(Error::input(settings.region.as_ref().unwrap_or(&settings.target), reason));
    }
    let wanted = match &settings.reference {
        Some(path) => Some(look.people(path, every)?),
        None => None,
    };
    report(&rows, wanted.as_deref(), reels.target.n_frames, n_scored, settings)
}

fn report(
    rows: &[Row],
    wanted: Option<&[Embedding]>,
    n_frames: u64,
    n_scored: u64,
    settings: &EvalSettings,
) -> Result<EvalReport> {
    let people = wanted.unwrap_or(&rows[2].faces);
    if people.is_empty() {
        let path = settings.reference.as_ref().unwrap_or(&settings.truth);
        return Err(Error::input(
            path,
            "no face was found; give footage of the wanted person as the reference",
        ));
    }
    let scores = |i: usize| {
        let row = &rows[i];
        let to_wanted = if i == 2 && wanted.is_none() {
            mean_distance_within(&row.faces)
        } else {
            mean_distance(&row.faces, people)
        };
        let to_target =
            if i == 0 { mean_distance_within(&row.faces) } else { mean_distance(&row.faces, &rows[0].faces) };
        let mean = |(sum, n): (f64, f64)| (n > 0.0).then(|| sum / n);
        Scores {
            psnr_face_db: mean(row.psnr_db),
            ssim_face: mean(row.ssim),
            identity_distance: to_wanted,
            identity_distance_to_target: to_target,
            jitter: row.jitter.mean(),
            flicker_px: mean(row.flow),
            n_faces: row.faces.len(),
        }
    };
    Ok(EvalReport {
        n_frames,
        n_scored,
        output: scores(1),
        unchanged: scores(0),
        hard_paste: (rows.len() > 3).then(|| scores(3)),
        truth: scores(2),
    })
}

/// Finds and describes faces.
struct Look {
    finder: Finder,
    embedder: Embedder,
}

impl Look {
    fn largest(&mut self, frame: &Frame) -> Result<Option<FoundFace>> {
        Ok(self.finder.find(frame)?.into_iter().next())
    }

    fn embedding(&mut self, frame: &Frame, face: Option<&FoundFace>) -> Result<Option<Embedding>> {
        face.map_or(Ok(None), |face| self.embedder.embed(&frame.picture, &face.points))
    }

    /// The largest face of every `every`th frame of a clip.
    fn people(&mut self, path: &Path, every: u64) -> Result<Vec<Embedding>> {
        let (mut reel, mut people) = (Reel::open(path)?, Vec::new());
        while let Some(frame) = reel.next()? {
            if frame.idx % every == 0 {
                let face = self.largest(&frame)?;
                people.extend(self.embedding(&frame, face.as_ref())?);
            }
        }
        Ok(people)
    }
}

/// What is gathered of one clip. Pairs are a sum and a number.
#[derive(Default)]
struct Row {
    psnr_db: (f64, f64),
    ssim: (f64, f64),
    flow: (f64, f64),
    faces: Vec<Embedding>,
    jitter: Jitter,
    /// The points of up to two frames before.
    points: Vec<Vec<FramePx>>,
}

impl Row {
    /// Takes the face of a frame; `anew` when it doesn't follow the one before.
    fn follow(&mut self, face: Option<&FoundFace>, anew: bool) {
        let Some(face) = face else { return self.points.clear() };
        if anew {
            self.points.clear();
        }
        if let [before, now] = &self.points[..] {
            self.jitter.add(before, now, &face.points);
            self.points.remove(0);
        }
        self.points.push(face.points.clone());
    }

    fn compare(&mut self, picture: &Array3<f32>, truth: &Array3<f32>, inside: &Array2<f32>) {
        let add = |to: &mut (f64, f64), value: Option<f64>| {
            if let Some(value) = value {
                *to = (to.0 + value, to.1 + 1.0);
            }
        };
        add(&mut self.psnr_db, psnr(picture, truth, Some(inside)).map(|db| db.min(MAX_PSNR_DB)));
        add(&mut self.ssim, ssim(picture, truth, Some(inside)));
    }
}

/// The part of the frame that is scored.
struct Area {
    rect: Rect,
    /// In it, more than 0.5 inside.
    inside: Array2<f32>,
}

impl Area {
    /// The box of what is inside, with a margin; `None` when nothing is.
    fn around(inside: &Array2<f32>) -> Option<Self> {
        let (h, w) = inside.dim();
        let (mut x0, mut x1, mut y0, mut y1) = (w, 0, h, 0);
        for ((y, x), _) in inside.indexed_iter().filter(|(_, v)| **v > 0.5) {
            (x0, x1, y0, y1) = (x0.min(x), x1.max(x + 1), y0.min(y), y1.max(y + 1));
        }
        if x0 >= x1 {
            return None;
        }
        let (x0, y0) = (x0.saturating_sub(MARGIN), y0.saturating_sub(MARGIN));
        let rect = Rect { x0, y0, x1: (x1 + MARGIN).min(w), y1: (y1 + MARGIN).min(h) };
        Some(Self { rect, inside: inside.slice(s![rect.y0..rect.y1, rect.x0..rect.x1]).to_owned() })
    }
}

fn grey_of(region: &Frame) -> Array2<f32> {
    let (x1, y1) = region.picture.size_px();
    region.picture.rgb_rect(Rect { x0: 0, y0: 0, x1, y1 }).index_axis_move(ndarray::Axis(0), 0)
}

fn hull_of(frame: &Frame, face: Option<&FoundFace>) -> Array2<f32> {
    let (w, h) = frame.picture.size_px();
    let in_place = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
    let points = face.map_or(&[][..], |face| &face.points);
    face::hull_mask(points, &in_place, w.max(h)).slice(s![..h, ..w]).to_owned()
}

/// A scored frame whose motion is known when the next one comes.
struct Pending {
    area: Area,
    before: Vec<Array3<f32>>,
}

impl Pending {
    fn finish(self, frames: &[Frame], rows: &mut [Row]) -> Result<()> {
        let after = |i: usize| frames[i].picture.rgb_rect(self.area.rect);
        let wanted: Flow = flow(&self.before[0], &after(0))?;
        for (i, row) in rows.iter_mut().enumerate().skip(1) {
            let (sum, n) =
                flow_difference(&flow(&self.before[i], &after(i))?, &wanted, Some(&self.area.inside));
            row.flow = (row.flow.0 + sum, row.flow.1 + n);
        }
        // The target moves as itself.
        rows[0].flow.1 += 1.0;
        Ok(())
    }
}

/// The frame with the network's face cut out and pasted.
fn hard_paste(swapper: &mut Swapper, frame: Frame, face: Option<FoundFace>) -> Result<Frame> {
    let as_tracked = |face: FoundFace| Face::new(0, face.points, face.presence);
    let faces = face.into_iter().map(as_tracked).collect();
    let tracked = Tracked { frame: frame.clone(), faces, memory: None };
    let swapped = match swapper.push(tracked)? {
        Some(swapped) => Some(swapped),
        None => swapper.finish()?,
    };
    let hard = BlendSettings { mode: BlendMode::HardPaste, ..BlendSettings::default() };
    swapped.map_or(Ok(frame), |swapped| blend(swapped, &hard))
}

impl fmt::Display for EvalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} frames scored", self.n_scored, self.n_frames)?;
        writeln!(f, "            PSNR dB    SSIM  id wanted  id target   jitter  tOF px")?;
        let hard_paste = self.hard_paste.as_ref().map(|scores| ("hard paste", scores));
        let rows = [("output", &self.output), ("unchanged", &self.unchanged)];
        for (name, scores) in rows.into_iter().chain(hard_paste).chain([("truth", &self.truth)]) {
            let cell = |value: Option<f64>, width: usize, digits: usize| {
                value.map_or(format!("{:>width$}", "-"), |v| format!("{v:width$.digits$}"))
            };
            writeln!(
                f,
                "{name:<10} {} {}    {}    {}  {} {}",
                cell(scores.psnr_face_db, 8, 2),
                cell(scores.ssim_face, 7, 3),
                cell(scores.identity_distance, 7, 3),
                cell(scores.identity_distance_to_target, 7, 3),
                cell(scores.jitter, 7, 4),
                cell(scores.flicker_px, 7, 3),
            )?;
        }
        write!(
            f,
            "id: distance of face embeddings, one person is below 0.52; jitter: of the distance between the eyes"
        )
    }
}

#[cfg(test)]
#[path = "eval/tests.rs"]
mod tests;
