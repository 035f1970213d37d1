//! Small networks that label every pixel of a face: what covers it, and where it was blended in.
//!
//! Their labels are exact by construction: what covers a face is drawn over it ([`occluders`]), and a seam is where a
//! face was blended into itself ([`seams`]). Both see the same aligned crop as a swap does.

mod data;
mod degrade;
mod materials;
mod occluders;
mod plane;
mod seams;
mod shapes;
mod step;
mod unet;

use std::{fmt, path::PathBuf, str::FromStr, sync::atomic::AtomicBool};

use ndarray::{Array2, Array3};
use rand::rngs::SmallRng;

pub(super) use self::degrade::{compress, degrade};
pub use self::{
    data::Faces,
    step::run,
    unet::{Layer, sharpened},
};
use self::{plane::reduced, unet::UnetConfig};
use super::{device, device::Device};
use crate::{Error, Result};

/// What a network labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// What is in front of a face: hands, cups, glasses, hair. Map `covered`, at the picture's side.
    Occlusion,
    /// Where a face was blended in. Map `seam`, `4 M (1 - M)` of the blending mask, at half the picture's side.
    Seam,
}

impl Task {
    /// Its map's name in the ONNX file.
    fn map_name(self) -> &'static str {
        match self {
            Self::Occlusion => "covered",
            Self::Seam => "seam",
        }
    }

    fn config(self) -> UnetConfig {
        match self {
            Self::Occlusion => {
                UnetConfig { side_px: 128, widths: vec![8, 16, 32, 48, 64], map_level: 0, sharpening: 0.0 }
            }
            // A seam shows in the grain before it shows in the colours.
            Self::Seam => {
                UnetConfig { side_px: 128, widths: vec![8, 16, 24, 32, 48], map_level: 1, sharpening: 6.0 }
            }
        }
    }

    /// A labelled picture, made of faces with their masks as `next` gives them.
    fn draw(self, next: &mut dyn FnMut(&mut SmallRng) -> MaskedFace, rng: &mut SmallRng) -> Labelled {
        let (face, mask) = next(rng);
        let labelled = match self {
            Self::Occlusion => {
                let (stranger, _) = next(rng);
                occluders::occluded(&face, &mask, &stranger, rng)
            }
            Self::Seam => seams::blended(&face, &mask, rng),
        };
        let level = self.config().map_level;
        Labelled { map: reduced(&labelled.map, level), weight: reduced(&labelled.weight, level), ..labelled }
    }
}

/// A face, `[3, side, side]`, and where it is, `[side, side]`.
type MaskedFace = (Array3<f32>, Array2<f32>);

impl FromStr for Task {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "occlusion" => Ok(Self::Occlusion),
            "seam" => Ok(Self::Seam),
            _ => Err(Error::setting("TASK", name, "must be occlusion or seam")),
        }
    }
}

/// A picture with its labels.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// RGB 0..=1, `[3, side, side]`.
    picture: Array3<f32>,
    /// What the map shall be, 0..=1, `[map, map]`.
    map: Array2<f32>,
    /// How much each pixel of the map counts.
    weight: Array2<f32>,
    /// What the score shall be, where the task has one.
    score: Option<f32>,
}

/// What is trained, on what, and for how long.
#[derive(Debug, Clone)]
pub struct LabelSettings {
    /// What the network labels.
    pub task: Task,
    /// Face sets.
    pub faces: Vec<PathBuf>,
    /// The ONNX file; `NAME.png` beside it shows pictures, labels and what the network says.
    pub out: PathBuf,
    /// A network of an earlier training to go on from.
    pub init: Option<PathBuf>,
    /// Pictures in a step.
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
pub struct LabelProgress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub n_steps: u64,
    /// Pictures a second.
    pub samples_per_s: f64,
    /// Mean cross-entropy of the map.
    pub loss: f32,
    /// Intersection over union of map and label, both cut at one half.
    pub iou: f32,
    /// Mean cross-entropy of the score.
    pub score_loss: f32,
}

impl fmt::Display for LabelProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, n_steps, samples_per_s, loss, iou, score_loss } = self;
        write!(
            f,
            "step {step}/{n_steps}, {samples_per_s:.1} samples/s, loss {loss:.4}, iou {iou:.3}, score {score_loss:.4}"
        )
    }
}

/// Trains until the steps are done or `stop` is set, and writes the network in both cases.
///
/// # Errors
/// [`Error::BadInput`] for face sets that can't be read, [`Error::BadModel`] for an `init` of another shape,
/// [`Error::Io`] when the network can't be written, [`Error::Device`] for a device that isn't compiled in, and when the loss
/// is not a number: what was written until then stays.
pub fn train_labels(
    settings: &LabelSettings,
    tell: &mut dyn FnMut(&LabelProgress),
    stop: &AtomicBool,
) -> Result<()> {
    crate::video::check_output(&settings.out)?;
    let faces = Faces::read(&settings.faces)?;
    device::label_on(settings, &faces, tell, stop)
}

#[cfg(test)]
mod tests;
