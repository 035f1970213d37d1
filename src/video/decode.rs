//! Frames out of a file, wherever they are decoded.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    clock::Join,
    damage::DamagedFrames,
    mend::OnDamage,
    probe::{DEFAULT_MAX_PIXELS, Probe},
    reel::Reel,
    skip::Wanted,
};
use crate::{Result, frame::Frame};

/// How to decode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodeSettings {
    /// Threads of the decoder; 0 for one a core.
    pub threads: usize,
    /// Larger pictures are refused before they are decoded.
    pub max_pixels: usize,
    /// What is shown in the place of frames that can't be decoded; `None` repeats in videos, and stops in numbered
    /// pictures.
    pub on_damage: Option<OnDamage>,
    /// This program, to be started once more as the process that decodes, see `video::serve_frames`; `None`
    /// decodes in this process.
    #[serde(skip)]
    pub program: Option<PathBuf>,
}

impl Default for DecodeSettings {
    fn default() -> Self {
        Self { threads: 0, max_pixels: DEFAULT_MAX_PIXELS, on_damage: None, program: None }
    }
}

/// Gives the frames that a player would present, each with its time and duration in the stream's time base.
///
/// All frames have the size and pixel format of the first; a stream that changes them on the way is scaled to it,
/// which [`Decoder::notes`] tells. Frames that can't be decoded, and those that are built on them, are told by
/// [`Decoder::damage`] and mended as [`DecodeSettings::on_damage`] says: what is shown is no guess, unless nothing in the
/// file is whole. A tail that is cut off is the end of the stream. An error ends the iteration.
pub struct Decoder(Box<dyn Footage>);

/// What a decoder is, wherever its codec runs.
pub(super) trait Footage: Iterator<Item = Result<Frame>> + Send {
    fn probe(&self) -> &Probe;
    fn skip_to(&mut self, wanted: Wanted) -> Result<u64>;
    fn damage(&self) -> &[DamagedFrames];
    fn is_cut(&self) -> bool;
    fn notes(&self) -> &[String];
    fn joins(&self) -> &[Join];
}

impl Decoder {
    /// Opens a video.
    ///
    /// # Errors
    /// As [`probe`](super::probe()); [`Error::Device`](crate::Error::Device) when the process that decodes can't be
    /// started.
    pub fn open(path: &Path, settings: &DecodeSettings) -> Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(program) = settings.program.as_ref().filter(|_| super::apart::is_possible()) {
            return Ok(Self(Box::new(super::apart::Apart::open(program, path, settings)?)));
        }
        Ok(Self(Box::new(Reel::open(path, settings)?)))
    }

    /// What is known of the video.
    pub fn probe(&self) -> &Probe {
        self.0.probe()
    }

    /// Goes on with the frame that is `wanted`, or with one before it, and doesn't decode what lies between. Stays
    /// where it is unless what follows is known to come out as ever. Gives the number of the next frame.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub(super) fn skip_to(&mut self, wanted: Wanted) -> Result<u64> {
        self.0.skip_to(wanted)
    }

    /// Frames that aren't shown as they were filmed, so far; complete after the last frame.
    pub fn damage(&self) -> &[DamagedFrames] {
        self.0.damage()
    }

    /// Whether the file ends before its picture does; known after the last frame. Sound behind the picture is to be
    /// cut off then.
    pub fn is_cut(&self) -> bool {
        self.0.is_cut()
    }

    /// What is odd about the file and yet no damage.
    pub fn notes(&self) -> &[String] {
        self.0.notes()
    }

    /// Where recordings are joined, so far.
    pub(super) fn joins(&self) -> &[Join] {
        self.0.joins()
    }
}

impl Iterator for Decoder {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
