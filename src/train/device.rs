//! Which of the framework's backends trains: the only place that knows them by name.

use std::{fmt, sync::atomic::AtomicBool};

use burn::backend::{Autodiff, Flex};

use super::{
    TrainSettings,
    dense::{self, LabelProgress, LabelSettings},
    distill::{self, DistillProgress, DistillSettings},
    seam::{self, SeamReport, SeamSettings},
    step::{Material, Tell, Trainer},
};
use crate::{Error, Result};

/// A device to train on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The framework's own CPU kernels.
    Cpu,
    /// LibTorch's CPU kernels (feature `train-libtorch`).
    LibTorch,
    /// An NVIDIA GPU (feature `train-cuda`).
    Cuda,
}

impl Device {
    const ALL: [Self; 3] = [Self::Cpu, Self::LibTorch, Self::Cuda];

    /// The device called `name`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the known names.
    pub fn by_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|device| device.to_string() == name)
            .ok_or_else(|| Error::setting("--device", name, "must be cpu, libtorch or cuda"))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::LibTorch => "libtorch",
            Self::Cuda => "cuda",
        })
    }
}

/// Trains on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in, else those of [`Trainer::run`].
pub fn train_on(
    settings: &TrainSettings,
    material: &Material<'_>,
    tell: Tell<'_>,
    stop: &AtomicBool,
) -> Result<()> {
    match settings.device {
        Device::Cpu => {
            Trainer::<Autodiff<Flex>>::start(settings, material, Default::default(), tell)?.run(tell, stop)
        }
        #[cfg(feature = "train-libtorch")]
        Device::LibTorch => {
            type LibTorch = Autodiff<burn::backend::LibTorch>;
            Trainer::<LibTorch>::start(settings, material, Default::default(), tell)?.run(tell, stop)
        }
        #[cfg(feature = "train-cuda")]
        Device::Cuda => {
            type Cuda = Autodiff<burn::backend::Cuda>;
            Trainer::<Cuda>::start(settings, material, Default::default(), tell)?.run(tell, stop)
        }
        #[allow(unreachable_patterns, reason = "with every feature on, nothing is left")]
        missing => Err(not_compiled_in(missing)),
    }
}

/// Trains a network that labels pixels on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in, else those of [`dense::run`].
pub fn label_on(
    settings: &LabelSettings,
    faces: &dense::Faces,
    tell: &mut dyn FnMut(&LabelProgress),
    stop: &AtomicBool,
) -> Result<()> {
    match settings.device {
        Device::Cpu => dense::run::<Autodiff<Flex>>(settings, faces, &Default::default(), tell, stop),
        #[cfg(feature = "train-libtorch")]
        Device::LibTorch => {
            type LibTorch = Autodiff<burn::backend::LibTorch>;
            dense::run::<LibTorch>(settings, faces, &Default::default(), tell, stop)
        }
        #[cfg(feature = "train-cuda")]
        Device::Cuda => {
            type Cuda = Autodiff<burn::backend::Cuda>;
            dense::run::<Cuda>(settings, faces, &Default::default(), tell, stop)
        }
        #[allow(unreachable_patterns, reason = "with every feature on, nothing is left")]
        missing => Err(not_compiled_in(missing)),
    }
}

/// Trains a student, or its control, on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in, else those of [`distill::train_student`].
pub fn distill_on(
    settings: &DistillSettings,
    material: &distill::Material<'_>,
    goal: distill::Goal,
    tell: &mut dyn FnMut(&DistillProgress) -> Result<()>,
    stop: &AtomicBool,
) -> Result<Option<distill::Done>> {
    match settings.device {
        Device::Cpu => {
            distill::train_student::<Autodiff<Flex>>(settings, material, goal, Default::default(), tell, stop)
        }
        #[cfg(feature = "train-libtorch")]
        Device::LibTorch => {
            type LibTorch = Autodiff<burn::backend::LibTorch>;
            distill::train_student::<LibTorch>(settings, material, goal, Default::default(), tell, stop)
        }
        #[cfg(feature = "train-cuda")]
        Device::Cuda => {
            type Cuda = Autodiff<burn::backend::Cuda>;
            distill::train_student::<Cuda>(settings, material, goal, Default::default(), tell, stop)
        }
        #[allow(unreachable_patterns, reason = "with every feature on, nothing is left")]
        missing => Err(not_compiled_in(missing)),
    }
}

/// Compares detectors of seams on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in, else those of [`seam::run`].
pub fn seams_on(
    settings: &SeamSettings,
    lesson: &seam::Patches,
    exam: &seam::Patches,
    tell: &mut dyn FnMut(&str),
    stop: &AtomicBool,
) -> Result<SeamReport> {
    match settings.device {
        Device::Cpu => seam::run::<Autodiff<Flex>>(settings, lesson, exam, &Default::default(), tell, stop),
        #[cfg(feature = "train-libtorch")]
        Device::LibTorch => {
            type LibTorch = Autodiff<burn::backend::LibTorch>;
            seam::run::<LibTorch>(settings, lesson, exam, &Default::default(), tell, stop)
        }
        #[cfg(feature = "train-cuda")]
        Device::Cuda => {
            type Cuda = Autodiff<burn::backend::Cuda>;
            seam::run::<Cuda>(settings, lesson, exam, &Default::default(), tell, stop)
        }
        #[allow(unreachable_patterns, reason = "with every feature on, nothing is left")]
        missing => Err(not_compiled_in(missing)),
    }
}

fn not_compiled_in(device: Device) -> Error {
    Error::Device(format!(
        "--device {device} isn't compiled in; build with `cargo build --release --features train-{device}`"
    ))
}
