//! What may be typed. No logic: [`crate::settings`] says what was meant.

mod audit;
mod blend;
mod compare;
mod face_sets;
#[cfg(feature = "train")]
mod distill;
mod measure;
mod part;
#[cfg(feature = "train")]
mod train;

use std::path::PathBuf;

pub use audit::{AuditArgs, MaskArgs};
pub use blend::{BlendArgs, BlendHow, ColorTransferHow, GazeHow, Switch};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use compare::CompareArgs;
#[cfg(feature = "train")]
pub use distill::{
    ConvolutionChoice, DistillArgs, DistillLandmarksArgs, DistillSeamArgs, FinestChoice, StartChoice,
};
pub use face_sets::{FaceSetCommand, ReportArgs, SortArgs};
pub use measure::{BenchArgs, EvalArgs};
pub use part::{DamageChoice, PartArgs, UnsupportedChoice};
#[cfg(feature = "train")]
pub use train::{ExportArgs, TrainArgs};

/// Swaps the face in a video for a trained identity, and keeps everything else as it was.
#[derive(Debug, Parser)]
#[command(name = "faceswap", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true, arg_required_else_help = true)]
pub struct Cli {
    /// Another job than swapping.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What is to be swapped.
    #[command(flatten)]
    pub swap: SwapArgs,
}

/// The jobs beside swapping.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Cut aligned faces out of videos and pictures: the material to train on.
    Extract(ExtractArgs),
    /// Train one encoder and a decoder for each identity (needs the cargo feature `train`).
    #[cfg(feature = "train")]
    Train(TrainArgs),
    /// Train a small network that labels pixels: what covers a face, or where it was blended in (needs the cargo
    /// feature `train`).
    #[cfg(feature = "train")]
    TrainLabels(TrainLabelsArgs),
    /// Write one identity of a training as a bundle that can swap (needs the cargo feature `train`).
    #[cfg(feature = "train")]
    Export(ExportArgs),
    /// Teach a small network what an identity does, so that it swaps faster (needs the cargo feature `train`).
    #[cfg(feature = "train")]
    Distill(DistillArgs),
    /// Teach small detectors of seams by a larger one in five ways, and print one table (needs the cargo feature
    /// `train`).
    #[cfg(feature = "train")]
    DistillSeam(DistillSeamArgs),
    /// Teach the landmark network to give at one look what it gives as the mean of many (needs the cargo feature `train`).
    #[cfg(feature = "train")]
    DistillLandmarks(DistillLandmarksArgs),
    /// List the people in a clip, with a contact sheet, to pick who is swapped.
    Faces(FacesArgs),
    /// Measure how a clip's faces are found and held still.
    #[command(subcommand)]
    Measure(MeasureCommand),
    /// Look for faces that were put in: a score for each, a heat map of the seams; needs no original.
    Audit(AuditArgs),
    /// Score a swapped video against the exact truth, beside two baselines.
    Eval(EvalArgs),
    /// Ask a person which of two videos looks more real, on a page of this machine.
    Compare(CompareArgs),
    /// Measure frames and megapixels per second, stage by stage.
    Bench(BenchArgs),
    /// List the identities that are installed.
    Identities(ModelArgs),
    /// Say which libraries and providers were found, and what to do about what is missing.
    Doctor(RuntimeArgs),
}

/// How progress is told.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum ProgressStyle {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// Plain lines.
    Plain,
    /// JSON lines on standard output.
    Json,
}

/// The identity that changes no face.
pub const NO_IDENTITY: &str = "none";

/// ONNX Runtime and the device that it runs on.
#[derive(Debug, Args)]
pub struct RuntimeArgs {
    /// Devices to try, in this order, of cpu, cuda, tensorrt; one that is missing is an error [default: the best that works]
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1..)]
    pub execution_providers: Vec<String>,
    /// Threads for one network [default: half of the machine's]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// The ONNX Runtime library to load
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Keep all rights while files are read; by default the process may only read its inputs, write beside its outputs,
    /// and not use TCP, where the kernel can enforce it
    #[arg(long)]
    pub no_sandbox: bool,
}

/// Where identities lie.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// A folder of identities, searched before the others
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,
}

/// How progress is told, and how much.
#[derive(Debug, Args)]
pub struct ProgressArgs {
    /// How progress is told
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW")]
    pub progress: ProgressStyle,
    /// Say nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `faceswap INPUT --identity NAME`
#[derive(Debug, Args)]
pub struct SwapArgs {
    /// A video, a picture, numbered pictures (frames/%05d.png or frames/#####.png), or a folder of videos and pictures;
    /// of several videos and pictures the output is a folder
    #[arg(required = true, value_name = "INPUT")]
    pub input: Vec<PathBuf>,
    /// Whose face goes in: a name that `faceswap identities` lists, or a bundle's folder; `none` passes every
    /// frame as it is, to check the way there and back
    #[arg(short, long, required_unless_present = "map", conflicts_with = "map", value_name = "NAME")]
    pub identity: Option<String>,
    /// Who is replaced
    #[command(flatten)]
    pub who: WhoArgs,
    /// Output file, or folder [default: beside the input, clip.mp4 with identity B becomes clip_B.mp4, and the folder clips
    /// becomes clips_B]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Replace an output that exists
    #[arg(long)]
    pub overwrite: bool,
    /// Files of a folder that are worked on at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: usize,
    /// Take files of a folder that are symbolic links, too, which are left out otherwise
    #[arg(long)]
    pub follow_symlinks: bool,
    /// Start again instead of going on where an interrupted run stopped
    #[arg(long)]
    pub no_resume: bool,
    /// Frames of a segment: what an interruption can cost at most. Short ones make the file larger
    #[arg(long, value_name = "N", default_value_t = 250)]
    pub segment_frames: usize,
    /// Faces
    #[command(flatten)]
    pub analysis: AnalysisArgs,
    /// The composite
    #[command(flatten)]
    pub blend: BlendArgs,
    /// Encoder, e.g. libx264, libx265, ffv1 [default: the input's codec family]
    #[arg(long, value_name = "NAME")]
    pub output_video_encoder: Option<String>,
    /// Write a second video of the same frames with boxes, numbers, points, axes and tremor of all faces drawn in; that of
    /// a part has no sound
    #[arg(long, value_name = "FILE")]
    pub debug_overlay: Option<PathBuf>,
    /// Quality, from 0, the worst, to 100, the best, whatever the encoder: 73 is CRF 14 of libx264 [default: visually
    /// lossless]
    #[arg(long, value_name = "N")]
    pub output_video_quality: Option<u8>,
    /// Preset of the encoder, e.g. fast, medium, slow [default: veryfast for libx264, the encoder's own for others]
    #[arg(long, value_name = "NAME")]
    pub output_video_preset: Option<String>,
    /// Write what happened as JSON: frames, times, tracks, damage, sums of all files. A report that exists is replaced,
    /// anything else only with --overwrite
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Size of the output: a factor, e.g. 0.5, or WIDTHxHEIGHT; single pictures keep theirs
    #[arg(long, value_name = "SCALE")]
    pub output_video_scale: Option<String>,
    /// Number of the first picture, where the output is numbered pictures [default: that of the input's first one, or 1]
    #[arg(long, value_name = "N")]
    pub start_number: Option<u64>,
    /// What becomes of tracks that the output's container can't hold; convert encodes sound anew [default: fail for
    /// sound, drop the rest]
    #[arg(long, value_enum, value_name = "HOW")]
    pub on_unsupported: Option<UnsupportedChoice>,
    /// Which part
    #[command(flatten)]
    pub part: PartArgs,
    /// What is shown in the place of frames that can't be decoded: the last good frame once more, none, or the
    /// run ends with an error [default: repeat in videos, stop in numbered pictures]
    #[arg(long, value_enum, value_name = "HOW")]
    pub on_damage: Option<DamageChoice>,
    /// Refuse larger pictures before they are decoded, pixels
    #[arg(long, value_name = "N", default_value_t = 67_108_864)]
    pub max_pixels: usize,
    /// Faces that the network takes at once
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub batch: usize,
    /// Where identities lie
    #[command(flatten)]
    pub models: ModelArgs,
    /// Device
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Who is replaced.
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// Whose faces are replaced: all, largest, left-to-right:N, right-to-left:N, or track:N with a number that
    /// `faceswap faces` lists [default: all]
    #[arg(long, alias = "face-selector-mode", value_name = "WHO", conflicts_with_all = ["reference", "map"])]
    pub faces: Option<String>,
    /// A picture of the person to be replaced; give several for a surer choice
    #[arg(long, visible_alias = "reference-face", value_name = "PICTURE", conflicts_with = "map")]
    pub reference: Vec<PathBuf>,
    /// Replace several people at once: a picture of each (or a choice as for --faces) and whose face goes in
    #[arg(long, value_name = "WHO=NAME")]
    pub map: Vec<String>,
    /// Largest distance from a picture at which a face passes for that person, 0 to 2; two faces of one person lie
    /// 0.2 to 0.5 apart, those of two people 0.5 to 1
    #[arg(long, alias = "reference-face-distance", value_name = "DISTANCE", default_value_t = 0.5)]
    pub reference_distance: f64,
}

/// How faces are found and measured.
#[derive(Debug, Args)]
pub struct AnalysisArgs {
    /// Search whole frames for faces in every Nth alone, and follow them in between; `auto` is 6
    #[arg(long, value_name = "N", default_value = "auto")]
    pub detect_every: String,
    /// How heads stand in the picture: some of 0, 90, 180, 270 (degrees clockwise, e.g. 0,180), looked for in every
    /// search; `auto` is upright, and any way where nobody is found
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub face_detector_angles: String,
    /// When to look for faces below a twelfth of the picture's long side: never, always, or, for `auto`, now and then
    /// where there is none much larger
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub small_faces: String,
    /// The network that measures faces: fast, which was taught to give in one measurement what others give in many, or
    /// full, MediaPipe's own
    #[arg(long, value_name = "NETWORK", default_value = "fast")]
    pub landmarks: String,
    /// Measurements that each face's points are the mean of, every other one in a mirror, 1 to 16: 1 is fastest, 5
    /// and more are calmest
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub landmark_samples: usize,
}

/// `faceswap extract FOOTAGE -o faces/A`
#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// Videos, pictures, or folders of them
    #[arg(required = true, value_name = "FOOTAGE")]
    pub footage: Vec<PathBuf>,
    /// Folder of the face set; faces are added when it exists
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Side of a face picture, pixels
    #[arg(long, value_name = "PX", default_value_t = 256)]
    pub side: usize,
    /// Side of a face picture in extents of the face's inner points, 1 to 4
    #[arg(long, value_name = "FACTOR", default_value_t = crate::face::DEFAULT_MARGIN)]
    pub margin: f64,
    /// Measurements that each face's points are the mean of, 1 to 16; as in a swap
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub landmark_samples: usize,
    /// Take every Nth frame
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub every: usize,
    /// Footage that shows, frame by frame, what the swap of FOOTAGE shall look like (rendered truth): its
    /// crops become the targets of the training
    #[arg(long, value_name = "FILE")]
    pub truth: Vec<PathBuf>,
    /// For each file of FOOTAGE, where its face's points really are, if that is known: a line of JSON for each frame,
    /// {"points": [[x, y], null, ..]}, all 478 in pixels of the frame, or null for one that isn't known. They take the place of
    /// those that are measured: labels for `distill-landmarks`
    #[arg(long, value_name = "FILE")]
    pub true_points: Vec<PathBuf>,
    /// Device
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `faceswap train-labels occlusion --faces faces/crowd -o occlusion.onnx`
#[cfg(feature = "train")]
#[derive(Debug, Args)]
pub struct TrainLabelsArgs {
    /// What is labelled: occlusion (what is in front of a face) or seam (where a face was blended in)
    #[arg(value_name = "TASK")]
    pub task: String,
    /// A face set; the labels are made, so any faces will do
    #[arg(long = "faces", required = true, value_name = "DIR")]
    pub faces: Vec<PathBuf>,
    /// The ONNX file; a picture beside it shows what the network says
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// A network of an earlier training to go on from
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// Pictures in a step
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub batch: usize,
    /// Steps
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    pub steps: u64,
    /// Adam's learning rate
    #[arg(long, value_name = "RATE", default_value_t = 2e-3)]
    pub learning_rate: f64,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Device: cpu, libtorch, libtorch-cuda, cuda (as far as compiled in)
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// Replace a network that exists, and the picture beside it
    #[arg(long)]
    pub overwrite: bool,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `faceswap faces CLIP`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct FacesArgs {
    /// What is done with face sets
    #[command(subcommand)]
    pub command: Option<FaceSetCommand>,
    /// A video or a picture
    #[arg(required = true, value_name = "CLIP")]
    pub input: Option<PathBuf>,
    /// The contact sheet, a PNG; its JSON gets the same name [default: CLIP_faces.png beside the clip]
    #[arg(short, long, value_name = "PNG")]
    pub output: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    pub overwrite: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Faces
    #[command(flatten)]
    pub analysis: AnalysisArgs,
    /// Device
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum MeasureCommand {
    /// How much the points of a clip's faces tremble, as measured and held still.
    Jitter(JitterArgs),
    /// How well the masks tell what lies in front of a face, and how calm they are.
    Mask(MaskArgs),
}

/// `faceswap measure jitter CLIP`
#[derive(Debug, Args)]
pub struct JitterArgs {
    /// A video
    #[arg(value_name = "CLIP")]
    pub input: PathBuf,
    /// True points of each frame (JSON lines with `lm68`), to measure the error and the lag
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Write a plot of the jitter by frame, a PNG
    #[arg(long, value_name = "PNG")]
    pub plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Faces
    #[command(flatten)]
    pub analysis: AnalysisArgs,
    /// Device
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}
