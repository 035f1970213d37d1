//! What may be typed about the input's frames and tracks.

use clap::{Args, ValueEnum};

/// What is shown in the place of frames that can't be decoded.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum DamageChoice {
    /// The last good frame once more, so that length and sync hold.
    Repeat,
    /// Nothing: they are left out.
    Skip,
    /// The run ends with an error.
    Stop,
}

/// What becomes of tracks that the output's container can't hold.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum UnsupportedChoice {
    /// They are left out.
    Drop,
    /// Sound is encoded anew, the rest is left out.
    Convert,
    /// The run ends with an error before it begins.
    Fail,
}

/// Which part of the input is wanted, and at which rate.
#[derive(Debug, Args)]
pub struct PartArgs {
    /// The first frame, counted from 0
    #[arg(long, value_name = "N")]
    pub trim_frame_start: Option<u64>,
    /// The first frame that is not wanted any more
    #[arg(long, value_name = "N")]
    pub trim_frame_end: Option<u64>,
    /// Begin at this time after the first frame: seconds, MM:SS or H:MM:SS
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// End before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Frames per second of the output: frames are left out or shown twice, the clip lasts as long as before
    #[arg(long, value_name = "FPS")]
    pub output_video_fps: Option<String>,
    /// Make whole frames of interlaced ones, which are refused otherwise
    #[arg(long)]
    pub deinterlace: bool,
    /// Frames per second of numbered pictures [default: 25]
    #[arg(long, value_name = "FPS")]
    pub input_fps: Option<String>,
}
