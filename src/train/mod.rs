//! Training: a comb autoencoder grown level by level, checkpoints, a preview, and export.
//!
//! [`train`] reads as the loop it is: draw a batch of every identity, run, step, average, tell, save. What is drawn
//! follows from seed and step alone, so a resumed run on the CPU does what an uninterrupted one would have done.

mod augment;
mod average;
mod base;
mod checkpoint;
mod data;
mod dense;
mod device;
mod distill;
mod export;
mod filters;
mod losses;
mod model;
pub(crate) mod onnx;
mod plan;
mod preview;
mod schedule;
pub mod soft_targets;
mod step;

use std::{fmt, fs, io::Write, path::PathBuf, sync::atomic::AtomicBool};

pub use augment::Augmentation;
pub use dense::{LabelProgress, LabelSettings, Task, train_labels};
pub use device::Device;
pub use distill::{
    Convolution, DistillProgress, DistillSettings, Ending, Phase, Projection, Report, StudentConfig, distill,
};
pub use export::{ExportSettings, export};
pub use losses::LossParts;
pub use model::{Comb, CombConfig, Stage};
pub use schedule::Level;

use self::data::{Alignment, Identity};
use crate::{Error, Result, face_set::FaceSet};

/// What is trained, and for how long.
#[derive(Debug, Clone)]
pub struct TrainSettings {
    /// Identities and their face sets; sets of one name are joined.
    pub faces: Vec<(String, PathBuf)>,
    /// Folder of the training; one that exists is resumed.
    pub out: PathBuf,
    /// Folder of exported identities whose networks a new training begins with.
    pub init: Option<PathBuf>,
    /// Side of the finished network, pixels.
    pub side_px: usize,
    /// Side at which it starts, pixels; 64, or the side of `init`, where none is given.
    pub start_side_px: Option<usize>,
    /// The sides and their steps, one by one; empty to have them follow from the two sides and `max_steps`.
    pub levels: Vec<Level>,
    /// Samples of every identity in a step.
    pub batch_per_identity: usize,
    /// Steps in all.
    pub max_steps: u64,
    /// Minutes after which this run ends; the next one goes on.
    pub max_minutes: Option<f64>,
    /// Adam's rate.
    pub learning_rate: f64,
    /// The encoder's rate as a share of it, 0..=1; at 0 the encoder stays as it is.
    pub encoder_rate: f64,
    /// What is done to a face before the encoder sees it.
    pub augmentation: Augmentation,
    /// Seed of everything random.
    pub seed: u64,
    /// Where it runs.
    pub device: Device,
    /// Faces that are never trained on, for the preview.
    pub preview: Option<PathBuf>,
    /// Minutes between two checkpoints, each with a preview.
    pub save_every_minutes: f64,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            faces: Vec::new(),
            out: PathBuf::new(),
            init: None,
            side_px: 128,
            start_side_px: None,
            levels: Vec::new(),
            batch_per_identity: 8,
            max_steps: 30_000,
            max_minutes: None,
            learning_rate: 2e-4,
            encoder_rate: 1.0,
            augmentation: Augmentation::default(),
            seed: 1,
            device: Device::Cpu,
            preview: None,
            save_every_minutes: 3.0,
        }
    }
}

/// Where a training stands; its `Display` is a line for a person, its JSON a line of `log.jsonl`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TrainProgress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub n_steps: u64,
    /// Minutes of training so far.
    pub minutes: f64,
    /// Side that is trained, pixels.
    pub side_px: usize,
    /// How far its level has faded in.
    pub alpha: f64,
    /// Adam's rate.
    pub rate: f64,
    /// Samples a second, all identities together.
    pub samples_per_s: f64,
    /// Losses by identity, means since the line before.
    pub losses: Vec<(String, LossParts)>,
}

impl fmt::Display for TrainProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}/{}, {:.1} min, {} px", self.step, self.n_steps, self.minutes, self.side_px)?;
        if self.alpha < 1.0 {
            write!(f, " ({:.0} % in)", self.alpha * 100.0)?;
        }
        write!(f, ", {:.1} samples/s", self.samples_per_s)?;
        for (name, parts) in &self.losses {
            write!(f, ", {name} {:.4} (dssim {:.4}, l1 {:.4})", parts.total(), parts.dssim, parts.l1)?;
        }
        Ok(())
    }
}

/// Trains until the steps or the minutes are done, or `stop` is set; in each case with a checkpoint at the end.
///
/// # Errors
/// [`Error::BadSetting`] and [`Error::BadInput`] for settings and face sets that can't be, [`Error::Io`] when the
/// training's folder can't be written, [`Error::Device`] when the loss stays not a number.
pub fn train(
    settings: &TrainSettings,
    tell: &mut dyn FnMut(&TrainProgress),
    stop: &AtomicBool,
) -> Result<()> {
    let (identities, alignment) = read_faces(&settings.faces)?;
    let strangers = settings.preview.as_ref().map(|dir| read_strangers(dir)).transpose()?;
    fs::create_dir_all(&settings.out).map_err(Error::io(&settings.out))?;
    let log_path = settings.out.join("log.jsonl");
    let mut log =
        fs::OpenOptions::new().create(true).append(true).open(&log_path).map_err(Error::io(&log_path))?;
    let mut tell_and_log = |progress: &TrainProgress| -> Result<()> {
        tell(progress);
        let line = serde_json::to_string(progress).map_err(|e| Error::model(&log_path, e.to_string()))?;
        writeln!(log, "{line}").map_err(Error::io(&log_path))
    };
    let material = step::Material { identities: &identities, alignment, strangers: strangers.as_ref() };
    device::train_on(settings, &material, &mut tell_and_log, stop)
}

/// The identities in the order in which they are named first, and how their faces were cut.
fn read_faces(faces: &[(String, PathBuf)]) -> Result<(Vec<Identity>, Alignment)> {
    let (mut identities, mut alignment) = (Vec::<Identity>::new(), None);
    for (name, dir) in faces {
        let at = identities.iter().position(|i| i.name == *name).unwrap_or_else(|| {
            identities.push(Identity::new(name));
            identities.len() - 1
        });
        identities[at].add(&FaceSet::open(dir)?, &mut alignment)?;
    }
    let alignment =
        alignment.ok_or_else(|| Error::setting("--faces", "", "give at least one NAME=FOLDER"))?;
    Ok((identities, alignment))
}

fn read_strangers(dir: &std::path::Path) -> Result<Identity> {
    let mut strangers = Identity::new("strangers");
    strangers.add(&FaceSet::open(dir)?, &mut None)?;
    Ok(strangers)
}

#[cfg(test)]
mod tests;
