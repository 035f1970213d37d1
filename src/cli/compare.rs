//! What compares.

use std::path::PathBuf;

use clap::Args;

/// `faceswap compare a.mp4 b.mp4 --blind`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Two versions of one clip, as browsers play them (H.264, VP9 or AV1 in MP4 or WebM)
    #[arg(required = true, num_args = 2, value_names = ["A", "B"])]
    pub videos: Vec<PathBuf>,
    /// Hide which is which: random places, and the verdict at the end
    #[arg(long)]
    pub blind: bool,
    /// What is asked
    #[arg(long, value_name = "TEXT", default_value = "Which looks more real?")]
    pub question: String,
    /// How often it is asked; below 20 hardly any difference can be shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub trials: usize,
    /// Seconds of the clip that are shown, again and again
    #[arg(long, value_name = "S", default_value_t = 4.0)]
    pub seconds: f64,
    /// The answers, as JSON [default: A_or_B.json beside A]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace answers that exist
    #[arg(long)]
    pub overwrite: bool,
    /// Port of the page on this machine; 0 for any that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// Seed of the places and moments [default: the clock]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}
