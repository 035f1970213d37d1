//! What measures.

use std::path::PathBuf;

use clap::Args;

use super::{AnalysisArgs, ModelArgs, RuntimeArgs};

/// `faceswap eval --output swapped.mp4 --target target.mp4 --truth hybrid.mp4`
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The swapped video [default: the swap is made here, with --identity]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The video that was swapped
    #[arg(long, value_name = "FILE")]
    pub target: PathBuf,
    /// What the swap ought to look like
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Where to score: a grey video, white inside
    #[arg(long, value_name = "FILE")]
    pub region: Option<PathBuf>,
    /// Footage of the wanted person, a file or a folder [default: the truth]
    #[arg(long, value_name = "PATH")]
    pub reference: Option<PathBuf>,
    /// Footage of other people, among whom the wanted person must be found
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub others: Vec<PathBuf>,
    /// The wanted person in the target's place and pose, frame by frame (rendered truth): stands in for the network,
    /// which isolates the composite
    #[arg(long, value_name = "FILE")]
    pub rendered: Option<PathBuf>,
    /// Score all ways to make a composite as well
    #[arg(long)]
    pub strategies: bool,
    /// A network of `faceswap train-labels seam` for S4, in place of the program's own
    #[arg(long, value_name = "FILE")]
    pub seam_network: Option<PathBuf>,
    /// Write a page with numbers, plots and the worst frames, in place of an older page at most
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// The identity of the swap: its seam is looked for where it is, and its baselines are scored as well
    #[arg(short, long, value_name = "NAME")]
    pub identity: Option<String>,
    /// Take every Nth frame
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub every: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where identities lie
    #[command(flatten)]
    pub models: ModelArgs,
    /// Device
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// `faceswap bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A clip to measure on [default: one that is made here, at 720p, 1080p and 2160p]
    #[arg(value_name = "CLIP")]
    pub clip: Option<PathBuf>,
    /// Whose face goes in
    #[arg(short, long, value_name = "NAME", default_value = "B")]
    pub identity: String,
    /// Faces
    #[command(flatten)]
    pub analysis: AnalysisArgs,
    /// Frames of each made clip
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub frames: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where identities lie
    #[command(flatten)]
    pub models: ModelArgs,
    /// Device
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}
