//! `faceswap eval`: a swapped clip scored beside its target, against what it ought to look like, and beside baselines.
//!
//! The clips run side by side, and the swap is made again from the target, so that the seam is looked for where it is
//! and other composites of the same faces stand beside it. Scores are means over every Nth frame; motion is measured
//! between those and the frames after them.

mod html;
mod reels;
mod row;
mod scenes;
mod strategies;
mod table;

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3};
use reels::{Reel, Role};
pub use row::Scores;
use row::{Area, Beside, Look, Pending, Row, Seen, grey_of, hull_of, part};
use scenes::{Scene, Scenes};
use serde::Serialize;
use strategies::Composite;

use crate::{
    Error, Result,
    blend::{BlendSettings, GradeSettings, alpha, blend},
    frame::Frame,
    measure::identity::{Embedding, mean_distance, mean_distance_within, retrieval},
    nn::Runtime,
    progress::Watch,
    resume::durable,
    swap::Bundle,
    video::DecodeSettings,
};

/// What is compared with what. All clips have the same frames.
#[derive(Debug, Clone, Default)]
pub struct EvalSettings {
    /// The swapped clip. `None`: the swap is made here.
    pub output: Option<PathBuf>,
    /// The clip that was swapped.
    pub target: PathBuf,
    /// How clips are read.
    pub decode: DecodeSettings,
    /// What the swap ought to look like.
    pub truth: Option<PathBuf>,
    /// Where to score: a grey clip, white inside. `None`: the largest face's mesh in the target, brow to chin.
    pub region: Option<PathBuf>,
    /// A clip of the wanted person in the target's place and pose, frame by frame: its faces stand in for the network's,
    /// which isolates the composite.
    pub rendered: Option<PathBuf>,
    /// Footage of the wanted person, a file or a folder. `None`: the truth.
    pub reference: Option<PathBuf>,
    /// Footage of other people, among whom the wanted person must be found.
    pub others: Vec<PathBuf>,
    /// Every how many frames; at least 1.
    pub every: usize,
    /// How new faces are put into the picture when the swap is made here.
    pub blend: BlendSettings,
    /// How they are graded.
    pub grade: GradeSettings,
    /// Whether all ways to make a composite are scored as well.
    pub all_strategies: bool,
    /// The file of a network of `faceswap train-labels seam` for S4, in place of the program's.
    pub seam_network: Option<PathBuf>,
    /// A page to write, see [`eval`].
    pub html: Option<PathBuf>,
}

/// The scores of what the swap is compared with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baselines {
    /// The target as it is.
    pub unchanged: Scores,
    /// The new faces cut out and pasted, when they are known.
    pub hard_paste: Option<Scores>,
    /// The new faces behind one soft edge.
    pub feather: Option<Scores>,
}

/// A way to make a composite, and its scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Strategy {
    /// Its name.
    pub name: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Scores,
}

/// What [`eval`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// Frames of each clip.
    pub n_frames: u64,
    /// Frames that were scored.
    pub n_scored: u64,
    /// The swapped clip.
    #[serde(flatten)]
    pub output: Scores,
    /// What it is compared with.
    pub baselines: Baselines,
    /// The truth itself: what a perfect swap would have.
    pub truth: Option<Scores>,
    /// All ways to make a composite, if they were asked for.
    pub strategies: Vec<Strategy>,
}

impl EvalReport {
    /// Every row of the table with its name.
    fn rows(&self) -> Vec<(&str, &Scores)> {
        let baselines = &self.baselines;
        let mut rows = vec![("output", &self.output), ("unchanged", &baselines.unchanged)];
        rows.extend(baselines.hard_paste.as_ref().map(|scores| ("hard paste", scores)));
        rows.extend(baselines.feather.as_ref().map(|scores| ("feather", scores)));
        rows.extend(self.truth.as_ref().map(|scores| ("truth", scores)));
        rows.extend(self.strategies.iter().map(|s| (&s.name[..], &s.scores)));
        rows
    }
}

/// Scores a swapped clip and its baselines; `bundle` is the identity of the swap, for the baselines and the seam's exact
/// place. Without it the seam is looked for where the program's own mask would be.
///
/// # Errors
/// [`Error::BadInput`] when the clips differ in size or number of frames, or the region is empty;
/// [`Error::BadSetting`] when there is nothing to score; [`Error::Io`] for a page that can't be written; what
/// decoding and the networks fail with; [`Error::Cancelled`] once `watch` is told to stop.
pub fn eval(
    settings: &EvalSettings,
    runtime: &Runtime,
    bundle: Option<&Bundle>,
    watch: &Watch<'_>,
) -> Result<EvalReport> {
    let has_faces = bundle.is_some() || settings.rendered.is_some();
    if settings.output.is_none() && !has_faces {
        return Err(Error::setting("--output", "", "give a swapped video, or an --identity to make it with"));
    }
    let composites = strategies::all(settings, has_faces);
    let mut grades: Vec<GradeSettings> = Vec::new();
    for composite in &composites {
        if !grades.contains(&composite.grade) {
            grades.push(composite.grade.clone());
        }
    }
    let mut scenes = Scenes::open(settings, runtime, bundle, &grades)?;
    let mut gathered =
        Gathered::new(settings, composites, grades, Look::new(runtime, settings.seam_network.as_deref())?);
    while let Some(scene) = scenes.next(watch)? {
        if watch.is_stopped() {
            return Err(Error::Cancelled);
        }
        gathered.add(&scene, &mut scenes)?;
    }
    if gathered.n_scored == 0 {
        let reason = "nothing to score: the region is empty, or no face was found in the scored frames";
        return Err(Error::input(settings.region.as_ref().unwrap_or(&settings.target), reason));
    }
    let wanted = match &settings.reference {
        Some(path) => Some(gathered.people(path, &mut scenes, watch)?),
        None => gathered.rows.get(TRUTH).filter(|_| settings.truth.is_some()).map(|row| row.faces.clone()),
    };
    if wanted.as_ref().is_some_and(Vec::is_empty) {
        let path = settings.reference.as_ref().or(settings.truth.as_ref()).unwrap_or(&settings.target);
        let reason = "no face was found; give footage of the wanted person as the reference";
        return Err(Error::input(path, reason));
    }
    let mut others = Vec::new();
    for path in &settings.others {
        others.push(gathered.people(path, &mut scenes, watch)?);
    }
    let report = gathered.report(wanted.as_deref(), &others, scenes.reels.target.n_frames);
    if let Some(path) = &settings.html {
        durable::replace_file(path, html::page(&report, &gathered, settings).as_bytes())?;
    }
    Ok(report)
}

/// The rows that stand first; the composites' follow.
const UNCHANGED: usize = 0;
const OUTPUT: usize = 1;
const TRUTH: usize = 2;
const FIRST_COMPOSITE: usize = 3;

/// What is gathered while the clips run.
struct Gathered<'a> {
    settings: &'a EvalSettings,
    composites: Vec<Composite>,
    grades: Vec<GradeSettings>,
    look: Look,
    rows: Vec<Row>,
    pending: Option<Pending>,
    n_scored: u64,
    album: html::Album,
}

impl<'a> Gathered<'a> {
    fn new(
        settings: &'a EvalSettings,
        composites: Vec<Composite>,
        grades: Vec<GradeSettings>,
        look: Look,
    ) -> Self {
        let rows = (0..FIRST_COMPOSITE + composites.len()).map(|_| Row::default()).collect();
        let album = html::Album::new(settings.html.is_some());
        Self { settings, composites, grades, look, rows, pending: None, n_scored: 0, album }
    }

    fn every(&self) -> u64 {
        self.settings.every.max(1) as u64
    }

    fn add(&mut self, scene: &Scene, scenes: &mut Scenes) -> Result<()> {
        let idx = scene.step.target.idx;
        let phase = idx % self.every();
        if phase > 2 {
            return Ok(());
        }
        let frames = self.frames(scene)?;
        if let Some(pending) = self.pending.take() {
            pending.finish(&frames, &mut self.rows)?;
        }
        let mut faces = vec![scene.target_face.clone()];
        for frame in &frames[1..] {
            faces.push(scenes.largest(frame)?);
        }
        let anew = phase == 0 && self.every() > 3;
        for (row, face) in self.rows.iter_mut().zip(&faces) {
            row.follow(face.as_ref(), anew);
        }
        if phase > 0 {
            return Ok(());
        }
        let mut seen: Vec<Seen> = Vec::new();
        for (frame, face) in frames.iter().zip(&faces) {
            seen.push(self.look.at(frame, face.as_ref())?);
        }
        let masks = self.masks(scene);
        let inside = match scene.step.get(Role::Region) {
            Some(region) => grey_of(region),
            None => hull_of(&scene.step.target, scene.target_face.as_ref()),
        };
        let Some(area) = Area::around(&inside, &masks) else { return Ok(()) };
        for (row, seen) in self.rows.iter_mut().zip(&seen) {
            row.faces.extend(seen.embedding.clone());
        }
        let pictures: Vec<Array3<f32>> = frames.iter().map(|frame| area.picture(frame)).collect();
        let beside = Beside {
            idx,
            area: &area,
            target: &pictures[UNCHANGED],
            target_seen: &seen[UNCHANGED],
            truth: self.settings.truth.as_ref().map(|_| &pictures[TRUTH]),
        };
        for (i, row) in self.rows.iter_mut().enumerate() {
            let alpha = part(&masks[i.saturating_sub(FIRST_COMPOSITE)], area.rect);
            row.frames.push(beside.scores(&pictures[i], &seen[i], &alpha));
        }
        if let Some(last) = self.rows[OUTPUT].frames.last() {
            self.album.add(last, &frames, &pictures, &part(&masks[0], area.rect));
        }
        self.n_scored += 1;
        self.pending = Some(Pending { area, before: pictures });
        Ok(())
    }

    /// One frame of every row. Where there is no truth, its row repeats the target; where no output, it is the first
    /// composite's.
    fn frames(&self, scene: &Scene) -> Result<Vec<Frame>> {
        let composed = self
            .composites
            .iter()
            .map(|composite| blend(scene.swapped[self.grade(composite)].clone(), &composite.blend))
            .collect::<Result<Vec<Frame>>>()?;
        let output = scene.step.get(Role::Output).unwrap_or(&composed[0]).clone();
        let truth = scene.step.get(Role::Truth).unwrap_or(&scene.step.target).clone();
        let mut frames = vec![scene.step.target.clone(), output, truth];
        frames.extend(composed);
        Ok(frames)
    }

    /// The masks of the composites.
    fn masks(&self, scene: &Scene) -> Vec<Array2<f32>> {
        let mask = |composite: &Composite| alpha(&scene.swapped[self.grade(composite)], &composite.blend);
        self.composites.iter().map(mask).collect()
    }

    fn grade(&self, composite: &Composite) -> usize {
        self.grades.iter().position(|grade| *grade == composite.grade).unwrap_or(0)
    }

    /// The largest face of every Nth frame of a clip, or of all that a folder holds.
    fn people(&mut self, path: &Path, scenes: &mut Scenes, watch: &Watch<'_>) -> Result<Vec<Embedding>> {
        let mut people = Vec::new();
        for path in strategies::footage(path, watch)? {
            let (mut reel, every) = (Reel::open(&path, self.settings)?, self.every());
            while let Some(frame) = reel.next()? {
                if watch.is_stopped() {
                    return Err(Error::Cancelled);
                }
                if frame.idx % every == 0 {
                    let face = scenes.largest(&frame)?;
                    people.extend(self.look.at(&frame, face.as_ref())?.embedding);
                }
            }
        }
        Ok(people)
    }

    fn report(&self, wanted: Option<&[Embedding]>, others: &[Vec<Embedding>], n_frames: u64) -> EvalReport {
        let target = &self.rows[UNCHANGED];
        let has_reference = self.settings.reference.is_some();
        let scores = |i: usize| {
            let row = &self.rows[i];
            let within = mean_distance_within(&row.faces);
            Scores {
                identity_distance: match wanted {
                    Some(_) if i == TRUTH && !has_reference => within,
                    Some(wanted) => mean_distance(&row.faces, wanted),
                    None => None,
                },
                identity_distance_to_target: if i == UNCHANGED {
                    within
                } else {
                    mean_distance(&row.faces, &target.faces)
                },
                identity_retrieval: wanted.and_then(|wanted| {
                    let others = std::iter::once(&target.faces).chain(others).map(|people| &people[..]);
                    retrieval(&row.faces, wanted, others)
                }),
                jitter_in: target.jitter.mean(),
                warp_error_ratio: row
                    .mean(|f| f.warp)
                    .zip(target.mean(|f| f.warp))
                    .filter(|(_, of_target)| *of_target > 0.0)
                    .map(|(own, of_target)| own / of_target),
                ..row.scores()
            }
        };
        let named = |name: &str| {
            self.composites.iter().position(|c| c.name == name).map(|i| scores(FIRST_COMPOSITE + i))
        };
        let strategies = self.composites.iter().enumerate().filter(|(_, c)| c.is_listed);
        EvalReport {
            n_frames,
            n_scored: self.n_scored,
            output: scores(OUTPUT),
            baselines: Baselines {
                unchanged: scores(UNCHANGED),
                hard_paste: named(strategies::HARD_PASTE),
                feather: named(strategies::FEATHER),
            },
            truth: self.settings.truth.as_ref().map(|_| scores(TRUTH)),
            strategies: strategies
                .map(|(i, c)| Strategy { name: c.name.clone(), scores: scores(FIRST_COMPOSITE + i) })
                .collect(),
        }
    }
}

#[cfg(test)]
#[path = "eval/tests.rs"]
mod tests;
