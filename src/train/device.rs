//! Which of the framework's backends trains: the only place that knows them by name.

use std::{fmt, sync::atomic::AtomicBool};

use burn::backend::{Autodiff, Flex};

use super::{
    TrainSettings,
    dense::{self, LabelProgress, LabelSettings},
    distill::{self, DistillEvent, DistillSettings},
    landmarks::{self, LandmarkProgress, LandmarkReport, LandmarkSettings},
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
    /// LibTorch's kernels for an NVIDIA GPU (feature `train-libtorch`).
    LibTorchCuda,
    /// The framework's own kernels for an NVIDIA GPU (feature `train-cuda`).
    Cuda,
}

impl Device {
    const ALL: [Self; 4] = [Self::Cpu, Self::LibTorch, Self::LibTorchCuda, Self::Cuda];

    /// Whether it is no CPU.
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::LibTorchCuda | Self::Cuda)
    }

    /// The device called `name`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the known names.
    pub fn by_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|device| device.to_string() == name)
            .ok_or_else(|| Error::setting("--device", name, "must be cpu, libtorch, libtorch-cuda or cuda"))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::LibTorch => "libtorch",
            Self::LibTorchCuda => "libtorch-cuda",
            Self::Cuda => "cuda",
        })
    }
}

/// `$run` with `$graph` as the backend of `$device` and `$place` as that backend's device.
macro_rules! on_backend {
    ($device:expr, |$graph:ident, $place:ident| $run:expr) => {
        match $device {
            Device::Cpu => {
                type $graph = Autodiff<Flex>;
                let $place = Default::default();
                $run
            }
            #[cfg(feature = "train-libtorch")]
            Device::LibTorch => {
                type $graph = Autodiff<burn::backend::LibTorch>;
                let $place = Default::default();
                $run
            }
            #[cfg(feature = "train-libtorch")]
            Device::LibTorchCuda => {
                type $graph = Autodiff<burn::backend::LibTorch>;
                let $place = first_gpu()?;
                $run
            }
            #[cfg(feature = "train-cuda")]
            Device::Cuda => {
                type $graph = Autodiff<burn::backend::Cuda>;
                let $place = Default::default();
                $run
            }
            #[allow(unreachable_patterns, reason = "with every feature on, nothing is left")]
            missing => Err(not_compiled_in(missing)),
        }
    };
}

/// Trains on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in or isn't there, else those of [`Trainer::run`].
pub fn train_on(
    settings: &TrainSettings,
    material: &Material<'_>,
    tell: Tell<'_>,
    stop: &AtomicBool,
) -> Result<()> {
    on_backend!(settings.device, |Graph, place| {
        Trainer::<Graph>::start(settings, material, place, tell)?.run(tell, stop)
    })
}

/// Trains a network that labels pixels on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in or isn't there, else those of [`dense::run`].
pub fn label_on(
    settings: &LabelSettings,
    faces: &dense::Faces,
    tell: &mut dyn FnMut(&LabelProgress),
    stop: &AtomicBool,
) -> Result<()> {
    on_backend!(settings.device, |Graph, place| dense::run::<Graph>(settings, faces, &place, tell, stop))
}

/// Trains a student, or its control, on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in or isn't there, else those of [`distill::train_student`].
pub fn distill_on(
    settings: &DistillSettings,
    material: &distill::Material<'_>,
    goal: distill::Goal,
    tell: &mut dyn FnMut(&DistillEvent),
    stop: &AtomicBool,
) -> Result<Option<distill::Done>> {
    on_backend!(settings.device, |Graph, place| {
        distill::train_student::<Graph>(settings, material, goal, place, tell, stop)
    })
}

/// Teaches the landmark network on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in or isn't there, else those of [`landmarks::run`].
pub fn landmarks_on(
    settings: &LandmarkSettings,
    lesson: &landmarks::Faces,
    exam: Option<&landmarks::Faces>,
    tell: &mut dyn FnMut(&LandmarkProgress),
    stop: &AtomicBool,
) -> Result<Option<LandmarkReport>> {
    on_backend!(settings.device, |Graph, place| {
        landmarks::run::<Graph>(settings, lesson, exam, &place, tell, stop)
    })
}

/// Compares detectors of seams on the device of the settings.
///
/// # Errors
/// [`Error::Device`] for a device that isn't compiled in or isn't there, else those of [`seam::run`].
pub fn seams_on(
    settings: &SeamSettings,
    lesson: &seam::Patches,
    exam: &seam::Patches,
    tell: &mut dyn FnMut(&str),
    stop: &AtomicBool,
) -> Result<SeamReport> {
    on_backend!(settings.device, |Graph, place| {
        seam::run::<Graph>(settings, lesson, exam, &place, tell, stop)
    })
}

/// LibTorch's first GPU.
#[cfg(feature = "train-libtorch")]
fn first_gpu() -> Result<burn::backend::libtorch::LibTorchDevice> {
    if !tch::Cuda::is_available() {
        let reason = "LibTorch finds no NVIDIA GPU; build with a LibTorch for CUDA under $LIBTORCH, or train with \
                      --device libtorch";
        return Err(Error::Device(reason.into()));
    }
    // A level has few shapes, so trying all of cuDNN's kernels once pays.
    tch::Cuda::cudnn_set_benchmark(true);
    Ok(burn::backend::libtorch::LibTorchDevice::Cuda(0))
}

fn not_compiled_in(device: Device) -> Error {
    let feature = match device {
        Device::Cpu | Device::Cuda => "train-cuda",
        Device::LibTorch | Device::LibTorchCuda => "train-libtorch",
    };
    Error::Device(format!(
        "--device {device} isn't compiled in; build with `cargo build --release --features {feature}`"
    ))
}
