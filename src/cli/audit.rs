//! What looks for swapped faces, and for what lies in front of faces.

use std::path::PathBuf;

use clap::Args;

use super::{AnalysisArgs, ProgressArgs, RuntimeArgs};

/// `faceswap audit CLIP`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// A video or a picture
    #[arg(value_name = "CLIP")]
    pub input: PathBuf,
    /// A network of `faceswap train-labels seam`, in place of the program's own
    #[arg(long, value_name = "FILE")]
    pub seam_network: Option<PathBuf>,
    /// Write the clip with every seam that is found glowing, and each face's score
    #[arg(long, value_name = "FILE")]
    pub heatmap: Option<PathBuf>,
    /// Write the scores of the clip, its tracks and its frames as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Leave with exit code 5 when the clip's worst track has a higher mean score (seam>X), or a single face in one
    /// frame (peak>X); X from 0 to 1. Quote it for the shell
    #[arg(long, value_name = "LIMIT")]
    pub fail_if: Option<String>,
    /// Replace files that exist
    #[arg(long)]
    pub overwrite: bool,
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

/// `faceswap measure mask CLIP`
#[derive(Debug, Args)]
pub struct MaskArgs {
    /// A video
    #[arg(value_name = "CLIP")]
    pub input: PathBuf,
    /// A grey video of the same frames, white where something covers what is behind it
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// The masks, as for a swap
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1.., required = true)]
    pub face_mask_types: Vec<String>,
    /// A network of `faceswap train-labels occlusion` for the mask occlusion, in place of the program's own
    #[arg(long, value_name = "FILE")]
    pub occlusion_network: Option<PathBuf>,
    /// Write faces of the clip with what is masked in red and the truth's outline in green, a PNG
    #[arg(long, value_name = "PNG")]
    pub sheet: Option<PathBuf>,
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
