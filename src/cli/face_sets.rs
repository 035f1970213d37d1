//! What is done with face sets.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::RuntimeArgs;

/// What is done with face sets.
#[derive(Debug, Subcommand)]
pub enum FaceSetCommand {
    /// Say what there is to learn from in face sets, and what is missing.
    Report(ReportArgs),
    /// Put the faces of a set into an order, and leave out what teaches nothing. Pictures are never touched.
    Sort(SortArgs),
}

/// `faceswap faces report anna=faces/anna ben=faces/ben`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Face sets, with the names of their people where several are one person's
    #[arg(required = true, value_name = "[NAME=]DIR")]
    pub sets: Vec<String>,
    /// Write a page with pictures and histograms
    #[arg(short, long, value_name = "HTML")]
    pub output: Option<PathBuf>,
    /// Replace a page that exists
    #[arg(long)]
    pub overwrite: bool,
    /// Device
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// `faceswap faces sort faces/anna --by blur`
#[derive(Debug, Args)]
pub struct SortArgs {
    /// A face set
    #[arg(value_name = "DIR")]
    pub set: PathBuf,
    /// The order: blur (sharp first; what is much softer than the others is left out), similarity (like beside like; what
    /// is all but the same as another is left out) or pose (from left to right)
    #[arg(long, value_name = "ORDER", required_unless_present = "restore", conflicts_with = "restore")]
    pub by: Option<String>,
    /// Where faces begin to be left out: below this share of the median's sharpness, or below this difference in grey
    /// [default: 0.3 and 0.012]
    #[arg(long, value_name = "X", conflicts_with = "restore")]
    pub limit: Option<f64>,
    /// Take all faces back, in the order in which they were cut
    #[arg(long)]
    pub restore: bool,
}
