//! How new faces are put into the picture.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How a face meets the picture around it.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum BlendHow {
    /// Cut out and pasted.
    Paste,
    /// One soft edge for all.
    Feather,
    /// The new face's gradients on the target's rim.
    Poisson,
    /// Each band of detail over its own width.
    Multiband,
}

/// How colours are transferred, with the statistics of the face's inside in L*a*b*.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum ColorTransferHow {
    /// Not at all.
    None,
    /// The mean.
    Mean,
    /// Mean and spread of each channel.
    Reinhard,
    /// Mean and covariance (Monge-Kantorovitch).
    Mkl,
    /// The whole distribution (sliced optimal transport).
    Sot,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Whose gaze new eyes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GazeHow {
    /// New eyes look where the target's look.
    Target,
    /// They look as the identity's network draws them.
    Network,
}

/// The composite.
#[derive(Debug, Args)]
pub struct BlendArgs {
    /// Where new eyes look: with the target's, or as the identity's network draws them
    #[arg(long, value_enum, value_name = "WHOSE", default_value = "target")]
    pub gaze: GazeHow,
    /// What limits the place of a new face: hull (the outline of its points, always), hair (leaves out dark
    /// hair that hangs into it), occlusion (leaves out what lies in front of the face), glasses
    /// (leaves out the rims of glasses), lids (leaves out eyes that are shut: the target's lids stay), mouth (leaves out
    /// the inside of an open mouth where the new face shows a dark gap: the target's teeth and tongue stay), person
    /// (leaves out what no person fills), hands (leaves out hands whose joints are found) [default:
    /// hull,hair,occlusion,glasses,lids,mouth]
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1..)]
    pub face_mask_types: Vec<String>,
    /// A network of `faceswap train-labels occlusion` for the mask occlusion, in place of the program's own
    #[arg(long, value_name = "FILE")]
    pub occlusion_network: Option<PathBuf>,
    /// Write the matte in place of the picture: white where a face is new, black elsewhere, for a composite of your own;
    /// beside the input, clip.mp4 with identity B becomes clip_B_matte.mp4
    #[arg(long)]
    pub matte: bool,
    /// Softness of the mask's inner edge, share of the face crop's side, 0 to 0.5
    #[arg(long, value_name = "SHARE")]
    pub face_mask_blur: Option<f64>,
    /// What of the face's outline is left to the target at its top, right, bottom and left, percent of its height and
    /// width [default: 0,0,0,0]
    #[arg(long, value_name = "T,R,B,L", value_delimiter = ',', num_args = 1..)]
    pub face_mask_padding: Vec<f64>,
    /// How many of the coarsest bands of detail keep the target's content: 2 gives all of its light and shade, the old
    /// face's own included [default: 0]
    #[arg(long, value_name = "N")]
    pub target_bands: Option<usize>,
    /// How the new face meets the picture around it; all but multiband are there to compare with
    #[arg(long, value_enum, value_name = "HOW", default_value = "multiband")]
    pub blend: BlendHow,
    /// How the new face's colours are brought to the target's
    #[arg(long, value_enum, value_name = "HOW", default_value = "mkl")]
    pub color_transfer: ColorTransferHow,
    /// Whether its contrast is brought to the target's
    #[arg(long, value_enum, value_name = "ON|OFF", default_value = "on")]
    pub match_contrast: Switch,
    /// Whether its sharpness and grain are brought to the target's
    #[arg(long, value_enum, value_name = "ON|OFF", default_value = "on")]
    pub match_detail: Switch,
}
