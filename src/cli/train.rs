//! What trains, and what is made of it.

use std::path::PathBuf;

use clap::Args;

use super::{ProgressArgs, RuntimeArgs};

/// `faceswap train --faces A=faces/A --faces B=faces/B -o models/my.train`
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// An identity and a face set of it; several sets of one identity are joined
    #[arg(long = "faces", required = true, value_name = "NAME=DIR")]
    pub faces: Vec<String>,
    /// Folder of the training; one that exists is resumed
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// What is trained: tiny (a test in seconds), light (128 px, two cores), laptop (256 px), studio (512 px, a GPU) or
    /// cinema (1024 px, a large GPU) [default: as the folder's training before, else light]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub preset: Option<String>,
    /// What is trained, as a file: the train.toml that every training writes into its folder, changed
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Side of the finished network, pixels
    #[arg(long, value_name = "PX")]
    pub side: Option<usize>,
    /// Side at which training starts; it doubles until --side is reached [default: the preset's, or the side of --init]
    #[arg(long, value_name = "PX")]
    pub start_side: Option<usize>,
    /// The sides and the steps at each, in place of --side, --start-side and --steps, e.g. 32:4000,64:4000,128:8000
    #[arg(long, value_name = "SIDE:STEPS", value_delimiter = ',')]
    #[arg(conflicts_with_all = ["side", "start_side", "steps"])]
    pub levels: Vec<String>,
    /// Begin with the networks of the identities in this folder instead of chance; an identity that isn't there
    /// begins as a copy of the first
    #[arg(long, value_name = "DIR")]
    pub init: Option<PathBuf>,
    /// Samples of each identity in a batch
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Batches whose gradients make one step: a large batch in little memory
    #[arg(long, value_name = "N")]
    pub accumulate: Option<usize>,
    /// Steps in all
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// The time that there is, e.g. 8h, 90m or 1h30m: a new training's steps are planned into it, and this run ends after
    /// it; the same command goes on later
    #[arg(long = "for", value_name = "TIME", conflicts_with = "minutes")]
    pub budget: Option<String>,
    /// Stop after this many minutes, whatever was planned; the same command goes on later
    #[arg(long, value_name = "MIN")]
    pub minutes: Option<f64>,
    /// Adam's learning rate
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// The encoder's rate as a share of --learning-rate, 0 to 1; 0 keeps the encoder of --init as it is
    #[arg(long, value_name = "SHARE")]
    pub encoder_rate: Option<f64>,
    /// How often a face is mirrored, 0 to 1; 0 keeps what is different on the left and on the right
    #[arg(long, value_name = "SHARE")]
    pub flip: Option<f64>,
    /// How far the encoder's input is bent, share of its side, 0 to 0.1; 0 is sharpest, for faces with exact targets
    #[arg(long, value_name = "SHARE")]
    pub warp: Option<f64>,
    /// How much more often rare poses and expressions are drawn: 0 as often as they are, 1 as often as any other
    #[arg(long, value_name = "SHARE")]
    pub balance: Option<f64>,
    /// Show the encoder each face's mesh, painted over a blurred crop, in place of the face: for identities trained on
    /// few people or on rendered ones, whose encoder would read strangers badly [default: as --init or the folder was]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub guides: Option<bool>,
    /// Weight of the adversarial loss at the last side: a critic of each identity learns to tell its true pictures from
    /// the trained ones, which are made sharp by it, e.g. 0.05; slower by a half [default: as the configuration, 0]
    #[arg(long, value_name = "WEIGHT")]
    pub adversarial: Option<f64>,
    /// Seed of everything random; a training that goes on keeps its own
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Time between two checkpoints, e.g. 3m or 30s
    #[arg(long, value_name = "TIME", default_value = "3m")]
    pub save_every: String,
    /// Checkpoints to keep, beside the best one
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub keep: usize,
    /// Batches that are worked on at once [default: all cores on the cpu, else 1]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// A face set that is never trained on, shown in the preview
    #[arg(long, value_name = "DIR")]
    pub preview: Option<PathBuf>,
    /// Device: cpu, libtorch, libtorch-cuda, cuda (as far as compiled in)
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `faceswap export models/my.train --identity B -o models/identities/B --subject .. --consent ..`, or
/// `faceswap export models/identities/B --precision int8 --calibrate faces/B -o models/identities/B.int8`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of a training; or of an identity that exists, to write a smaller or quicker copy of it
    #[arg(value_name = "TRAINING|IDENTITY")]
    pub source: PathBuf,
    /// Which of a training's checkpoints: last, best (least loss on a few fixed faces), or a step [default: last]
    #[arg(long, value_name = "WHICH")]
    pub checkpoint: Option<String>,
    /// Which of a training's identities; or what the copy of an identity is called [default: as its folder]
    #[arg(short, long, value_name = "NAME")]
    pub identity: Option<String>,
    /// Folder of the bundle
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Whose face it is; a copy keeps what is told already
    #[arg(long, value_name = "WHO")]
    pub subject: Option<String>,
    /// On what ground it may be used: self, written, licence, synthetic, public-domain
    #[arg(long, value_name = "BASIS")]
    pub consent: Option<String>,
    /// Date of the consent [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<String>,
    /// Licence of the bundle [default: LicenseRef-Proprietary]
    #[arg(long, value_name = "SPDX")]
    pub licence: Option<String>,
    /// Go this share of the way back, 0 to 1, to the identities in --towards, from which the training went on: keeps what
    /// they know of faces that the training hadn't, and most of what it has won, e.g. 0.35
    #[arg(long, value_name = "SHARE", requires = "towards")]
    pub draw_back: Option<f64>,
    /// The folder of identities for --draw-back, as it was given to --init
    #[arg(long, value_name = "DIR", requires = "draw_back")]
    pub towards: Option<PathBuf>,
    /// Numbers of the networks: fp32; fp16, half the size and as fast; int8, a quarter, quicker on most processors
    /// (needs --calibrate)
    #[arg(long, value_name = "KIND", default_value = "fp16")]
    pub precision: String,
    /// The same as --precision fp32
    #[arg(long, hide = true, conflicts_with = "precision")]
    pub full_precision: bool,
    /// Leave out this share of the channels, 0 to 0.9: those that weigh least (needs --calibrate)
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub prune: f64,
    /// Steps of the fine-tune after --prune; it can be stopped, and the same command goes on
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub tune_steps: u64,
    /// Device of the fine-tune: cpu, libtorch, libtorch-cuda, cuda (as far as compiled in)
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// A face set that int8 and --prune are fitted to, best of the faces that will be swapped; give several for more
    #[arg(long, value_name = "DIR")]
    pub calibrate: Vec<PathBuf>,
    /// A face set to measure on [default: the last tenth of each --calibrate]
    #[arg(long, value_name = "DIR")]
    pub held_out: Vec<PathBuf>,
    /// Replace a bundle that exists
    #[arg(long)]
    pub overwrite: bool,
    /// ONNX Runtime, to fit and to measure
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Progress
    #[command(flatten)]
    pub progress: ProgressArgs,
}
