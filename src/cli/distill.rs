//! What may be typed about students.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ProgressArgs, RuntimeArgs};

/// The student's 3x3 convolutions.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum ConvolutionChoice {
    /// As the teacher's.
    Full,
    /// Depthwise-separable: channel by channel, then pixel by pixel.
    Dws,
    /// Depthwise-separable but for the coarser levels.
    Mixed,
}

/// What the student's finest level works on.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum FinestChoice {
    /// Pixels, as the teacher's.
    Pixels,
    /// Patches of 2x2 pixels.
    Patches,
}

/// What the student begins with.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum StartChoice {
    /// What fits of the teacher's weights.
    Teacher,
    /// Chance.
    Chance,
}

/// `faceswap distill --teacher models/identities/B --faces faces/crowd -o models/identities/B.fast`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are bools")]
pub struct DistillArgs {
    /// Folder of the identity that teaches
    #[arg(long, value_name = "DIR")]
    pub teacher: PathBuf,
    /// Face sets of anybody, which both networks swap; what they ought to look like isn't needed, and is used where
    /// `extract --truth` cut it as well
    #[arg(long = "faces", value_name = "DIR", num_args = 1.., required_unless_present = "own")]
    pub faces: Vec<PathBuf>,
    /// Face sets of the teacher's own person: their truth is the face itself
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub own: Vec<PathBuf>,
    /// Face sets that are never trained on, for the report [default: the last tenth of each set]
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub held_out: Vec<PathBuf>,
    /// Folder of the student's bundle; it ends in the student's name
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Folder of the checkpoints and the report; one that exists is resumed [default: OUTPUT.distill]
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// Channels as a share of the teacher's, rounded up to whole blocks of eight
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub student_width: f64,
    /// A student with half of an encoder: it reads faces for this one identity, where the teacher's encoder may have
    /// learnt to read for many
    #[arg(long)]
    pub specialist: bool,
    /// The student's 3x3 convolutions [default: mixed, with --student-width full]
    #[arg(long, value_enum, value_name = "KIND")]
    pub student_conv: Option<ConvolutionChoice>,
    /// What the student's finest level works on [default: patches, with --student-width or --student-conv pixels]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub student_finest: Option<FinestChoice>,
    /// What the student begins with
    #[arg(long, value_enum, value_name = "WHAT", default_value = "teacher")]
    pub student_start: StartChoice,
    /// What is put between the student's activations and the teacher's while it learns: 3x3, 1x1, 1x1-lrelu or
    /// 1x1-sine
    #[arg(long, value_name = "KIND", default_value = "3x3")]
    pub projection: String,
    /// What it learns, in this order: projection, perceptual, truth [default: all for which there are faces]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub stages: Vec<String>,
    /// Train a second network of the student's size without the teacher, from the truth, in as many steps, and
    /// report it too
    #[arg(long)]
    pub control: bool,
    /// Other bundles to stand in the report's table, for example other students
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub beside: Vec<PathBuf>,
    /// Faces in a step
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub batch: usize,
    /// Steps in all
    #[arg(long, value_name = "N", default_value_t = 6_000)]
    pub steps: u64,
    /// Stop after this many minutes; the same command goes on later
    #[arg(long, value_name = "MIN")]
    pub minutes: Option<f64>,
    /// Adam's learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// Weight of an image discriminator in the stages perceptual and truth, e.g. 0.05: it learns to tell the student's
    /// pictures from those that the student ought to give, which makes them sharp; slower by a half
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    pub adversarial: f64,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Device to train on: cpu, libtorch, libtorch-cuda, cuda (as far as compiled in)
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// Store the weights in 32 bits instead of 16
    #[arg(long)]
    pub full_precision: bool,
    /// Replace a bundle that exists
    #[arg(long)]
    pub overwrite: bool,
    /// ONNX Runtime, for the report
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `faceswap distill-landmarks --faces faces/wide -o face_mesh_fast_256.onnx`
#[derive(Debug, Args)]
pub struct DistillLandmarksArgs {
    /// Face sets that `extract --margin 2 --side 384 --landmark-samples 9` cut
    #[arg(long, required = true, value_name = "DIR", num_args = 1..)]
    pub faces: Vec<PathBuf>,
    /// Face sets of other people, for the figures
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub held_out: Vec<PathBuf>,
    /// The ONNX file
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// A network of an earlier training to go on from
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// Faces in a step
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub batch: usize,
    /// Steps
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub steps: u64,
    /// Adam's learning rate, as a share of each layer's size
    #[arg(long, value_name = "RATE", default_value_t = 2.5e-4)]
    pub learning_rate: f64,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Device to train on: cpu, libtorch, libtorch-cuda, cuda (as far as compiled in)
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// Replace a file that exists
    #[arg(long)]
    pub overwrite: bool,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `faceswap distill-seam --faces faces/crowd --held-out faces/others`
#[derive(Debug, Args)]
pub struct DistillSeamArgs {
    /// Face sets that patches are cut from
    #[arg(long, required = true, value_name = "DIR", num_args = 1..)]
    pub faces: Vec<PathBuf>,
    /// Face sets of other people, for the score
    #[arg(long, required = true, value_name = "DIR", num_args = 1..)]
    pub held_out: Vec<PathBuf>,
    /// Patches to learn from
    #[arg(long, value_name = "N", default_value_t = 4000)]
    pub patches: usize,
    /// Patches for the score
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub tests: usize,
    /// Steps of each network
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub steps: u64,
    /// Patches in a step
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// How often everything is tried, each time with other numbers that are random
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub seeds: u64,
    /// Device to train on: cpu, libtorch, libtorch-cuda, cuda (as far as compiled in)
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// Print JSON in place of a table
    #[arg(long)]
    pub json: bool,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}
