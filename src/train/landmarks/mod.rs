//! The landmark network, taught by what it says itself when it looks often.
//!
//! The mean of many looks at a face lies nearer to the truth than a single look, and trembles less
//! (docs/faces.md). A face set that `extract --landmark-samples 9` cut holds such means, held still over time besides;
//! the network learns to give them at one look, wherever its region lies, whatever camera and codec did to the picture.
//! It begins as it is. Its finer layers stay as they are, which is most of what it knows of faces; so do depth and
//! presence, whose labels are what it said before.

mod data;
mod graph;
mod step;

use std::{fmt, path::PathBuf, sync::atomic::AtomicBool};

pub use self::{data::Faces, step::run};
use super::{device, device::Device};
use crate::Result;

/// What is learnt from, and for how long.
#[derive(Debug, Clone)]
pub struct LandmarkSettings {
    /// Face sets with room around the faces.
    pub faces: Vec<PathBuf>,
    /// Face sets of other people, for the figures.
    pub held_out: Vec<PathBuf>,
    /// The ONNX file.
    pub out: PathBuf,
    /// A network of an earlier training to go on from.
    pub init: Option<PathBuf>,
    /// Faces in a step.
    pub batch: usize,
    /// Steps.
    pub n_steps: u64,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Where it runs.
    pub device: Device,
}

/// Where a training stands.
#[derive(Debug, Clone)]
pub struct LandmarkProgress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub n_steps: u64,
    /// Faces a second.
    pub samples_per_s: f64,
    /// Mean distance of the student's points to their labels, pixels of the network's picture.
    pub student_px: f64,
    /// The same of the network as it was.
    pub teacher_px: f64,
}

impl fmt::Display for LandmarkProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, n_steps, samples_per_s, student_px, teacher_px } = self;
        write!(
            f,
            "step {step}/{n_steps}, {samples_per_s:.1} samples/s, {student_px:.3} px from the labels, {teacher_px:.3} before"
        )
    }
}

/// How two networks do on faces that none has learnt from, pixels of their picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LandmarkReport {
    /// Mean distance to the labels: student, and the network as it was.
    pub error_px: [f64; 2],
    /// Mean distance of looks at one face, in regions and pictures that differ a little, to their mean.
    pub spread_px: [f64; 2],
}

impl fmt::Display for LandmarkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error_px: [error, error_before], spread_px: [spread, spread_before] } = self;
        write!(
            f,
            "| network | px from the labels | spread of a face's looks, px |\n|---|---|---|\n| student | {error:.3} | \
             {spread:.3} |\n| before | {error_before:.3} | {spread_before:.3} |"
        )
    }
}

/// Trains until the steps are done or `stop` is set, writes the network in both cases, and measures it on the faces that
/// are held out, if there are any.
///
/// # Errors
/// [`Error::BadInput`](crate::Error::BadInput) for face sets that can't be read, have no faces, or no room around them;
/// [`Error::BadModel`](crate::Error::BadModel) for an `init` of
/// another kind, [`Error::Io`](crate::Error::Io) when the network can't be written, [`Error::Device`](crate::Error::Device) for a device
/// that isn't compiled in, and when the loss is not a number: what was written until then stays.
pub fn distill_landmarks(
    settings: &LandmarkSettings,
    tell: &mut dyn FnMut(&LandmarkProgress),
    stop: &AtomicBool,
) -> Result<Option<LandmarkReport>> {
    crate::video::check_output(&settings.out)?;
    let lesson = Faces::read(&settings.faces)?;
    let exam = if settings.held_out.is_empty() { None } else { Some(Faces::read(&settings.held_out)?) };
    device::landmarks_on(settings, &lesson, exam.as_ref(), tell, stop)
}

#[cfg(test)]
mod tests;
