//! Training: a comb autoencoder grown level by level, checkpoints, a preview, and export.
//!
//! [`train`] reads as the loop it is: draw a batch of every identity, run, step, average, tell, save. What is drawn
//! follows from seed and step alone, so a resumed run on the CPU does what an uninterrupted one would have done. What is
//! trained is data ([`TrainConfig`]), and lies beside the weights.

mod augment;
mod average;
mod balance;
mod base;
mod begin;
mod checkpoint;
mod comb;
mod compress;
mod config;
mod critic;
mod data;
mod dense;
mod device;
mod distill;
mod export;
mod filters;
mod landmarks;
mod log;
mod losses;
mod memory;
mod model;
pub(crate) mod onnx;
mod optimizer;
mod pass;
mod plan;
mod plot;
mod preview;
mod quick;
mod schedule;
mod seam;
mod seeded;
pub mod soft_targets;
mod step;
mod tone;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

pub use augment::Augmentation;
pub use compress::{CompressReport, CompressSettings, Compression, Precision, Source, compress, is_bundle};
pub use config::{Overrides, Preset, TrainConfig};
pub use dense::{LabelProgress, LabelSettings, Task, train_labels};
pub use device::Device;
pub use distill::{
    Convolution, DistillEvent, DistillProgress, DistillSettings, Ending, Phase, Projection, Report,
    StudentConfig, distill,
};
pub use export::{Checkpoint, ExportSettings, export};
pub use landmarks::{LandmarkProgress, LandmarkReport, LandmarkSettings, distill_landmarks};
pub use losses::{LossParts, LossWeights};
pub use model::{Comb, CombConfig, Stage};
pub use schedule::{Level, SideSteps};
pub use seam::{SeamReport, SeamRow, SeamSettings, compare_seam_students};

use self::{
    data::{Alignment, Identity},
    log::Log,
};
use crate::{Error, Result, face_set::FaceSet, resume::Lock};

/// What is trained on, where, and for how long. What is trained says [`TrainConfig`].
#[derive(Debug, Clone)]
pub struct TrainSettings {
    /// Identities and their face sets; sets of one name are joined.
    pub faces: Vec<(String, PathBuf)>,
    /// Folder of the training; one that exists is resumed.
    pub out: PathBuf,
    /// Folder of exported identities whose networks a new training begins with.
    pub init: Option<PathBuf>,
    /// A file that says what is trained.
    pub config: Option<PathBuf>,
    /// What is trained, where there is no such file.
    pub preset: Option<Preset>,
    /// What was typed instead of what either of them says.
    pub overrides: Overrides,
    /// Minutes that the levels of a new training are planned into.
    pub plan_minutes: Option<f64>,
    /// Minutes after which this run ends; the next one goes on.
    pub max_minutes: Option<f64>,
    /// Where it runs.
    pub device: Device,
    /// Batches that are worked on at once; 1 for a GPU.
    pub n_threads: usize,
    /// Faces that are never trained on, for the preview.
    pub preview: Option<PathBuf>,
    /// Minutes between two checkpoints, each with a preview.
    pub save_every_minutes: f64,
    /// Checkpoints that are kept beside the best one, at least 1.
    pub n_kept: usize,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            faces: Vec::new(),
            out: PathBuf::new(),
            init: None,
            config: None,
            preset: None,
            overrides: Overrides::default(),
            plan_minutes: None,
            max_minutes: None,
            device: Device::Cpu,
            n_threads: 1,
            preview: None,
            save_every_minutes: 3.0,
            n_kept: 2,
        }
    }
}

/// Something that happened; its `Display` is for a person, its JSON for a program.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum TrainEvent {
    /// The training begins, or goes on.
    Config {
        /// What is trained, in words.
        text: String,
        /// Steps done before.
        step: u64,
    },
    /// Something that a person should know.
    Note {
        /// In words.
        text: String,
    },
    /// Where it stands.
    Step(TrainProgress),
    /// A checkpoint was written.
    Saved {
        /// Steps done.
        step: u64,
        /// Loss of the averaged weights on a few fixed faces.
        score: f32,
    },
    /// This run ends.
    Done {
        /// Steps done.
        step: u64,
        /// Steps in all.
        n_steps: u64,
        /// Minutes of training so far.
        minutes: f64,
    },
}

impl fmt::Display for TrainEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { text, step: 0 } | Self::Note { text } => f.write_str(text),
            Self::Config { text, step } => write!(f, "{text}\ngoing on from step {step}"),
            Self::Step(progress) => progress.fmt(f),
            Self::Saved { step, score } => write!(f, "checkpoint at step {step}, score {score:.4}"),
            Self::Done { step, n_steps, minutes } if step >= n_steps => {
                write!(f, "done: {step} steps, {minutes:.1} min")
            }
            Self::Done { step, n_steps, minutes } => {
                write!(f, "stopped at step {step} of {n_steps}, {minutes:.1} min; the same command goes on")
            }
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
    /// Share of the time in which the training waited for its batches.
    pub waited: f64,
    /// Losses by identity, means since the line before.
    pub losses: Vec<(String, LossParts)>,
}

/// Waiting that is worth a word: below, the loader keeps up.
const MUCH_WAITING: f64 = 0.02;

impl fmt::Display for TrainProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}/{}, {:.1} min, {} px", self.step, self.n_steps, self.minutes, self.side_px)?;
        if self.alpha < 1.0 {
            write!(f, " ({:.0} % in)", self.alpha * 100.0)?;
        }
        write!(f, ", {:.1} samples/s", self.samples_per_s)?;
        if self.waited > MUCH_WAITING {
            write!(f, " ({:.0} % waiting for faces)", self.waited * 100.0)?;
        }
        for (name, parts) in &self.losses {
            write!(f, ", {name} {:.4} (dssim {:.4}, l1 {:.4}", parts.total, parts.dssim, parts.l1)?;
            match parts.adversarial {
                0.0 => f.write_str(")")?,
                adversarial => write!(f, ", adversarial {adversarial:.3})")?,
            }
        }
        Ok(())
    }
}

/// Trains until the steps or the minutes are done, or `stop` is set; in each case with a checkpoint at the end.
///
/// # Errors
/// [`Error::BadSetting`] and [`Error::BadInput`] for settings and face sets that can't be, [`Error::Io`] when the
/// training's folder can't be written, [`Error::Refused`] while another process trains in it, [`Error::Device`] when the
/// loss stays not a number.
pub fn train(settings: &TrainSettings, tell: &mut dyn FnMut(&TrainEvent), stop: &AtomicBool) -> Result<()> {
    let guides = plan::wants_guides(settings)?;
    let (identities, alignment) = read_faces(&settings.faces, guides)?;
    let strangers = settings.preview.as_ref().map(|dir| read_strangers(dir, &alignment)).transpose()?;
    let _lock = Lock::on(&settings.out, &settings.out)?;
    let mut log = Log::open(&settings.out)?;
    let mut tell_and_log = |event: &TrainEvent| {
        tell(event);
        if let TrainEvent::Step(progress) = event
            && let Some(text) = log.add(progress)
        {
            tell(&TrainEvent::Note { text });
        }
    };
    let material = step::Material { identities: &identities, alignment, strangers: strangers.as_ref() };
    device::train_on(settings, &material, &mut tell_and_log, stop)
}

/// The identities in the order in which they are named first, and how their faces were cut.
fn read_faces(faces: &[(String, PathBuf)], guides: bool) -> Result<(Vec<Identity>, Alignment)> {
    let (mut identities, mut alignment) = (Vec::<Identity>::new(), None);
    for (name, dir) in faces {
        let at = identities.iter().position(|i| i.name == *name).unwrap_or_else(|| {
            identities.push(Identity::new(name, guides));
            identities.len() - 1
        });
        identities[at].add(&FaceSet::open(dir)?, &mut alignment)?;
    }
    let alignment =
        alignment.ok_or_else(|| Error::setting("--faces", "", "give at least one NAME=FOLDER"))?;
    Ok((identities, alignment))
}

/// The faces of `--preview`, which must be cut as the others are: the networks know no other ones.
fn read_strangers(dir: &Path, alignment: &Alignment) -> Result<Identity> {
    let mut strangers = Identity::new("strangers", alignment.guides);
    strangers.add(&FaceSet::open(dir)?, &mut Some(alignment.clone()))?;
    Ok(strangers)
}

/// The folder beside `dir` whose name ends in `ending` as well, however `dir` is typed: `models/B/` has no other one than
/// `models/B`.
fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.components().collect::<PathBuf>().into_os_string();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod faces_for_tests;
#[cfg(test)]
mod tests;
