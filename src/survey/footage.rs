//! What a survey looks at: a picture, a clip as it is decoded, or the very frames that a swap takes.

use std::{path::Path, sync::atomic::AtomicBool};

use crate::{
    Result,
    frame::Frame,
    pipeline::until_stopped,
    video::{self, DamagedFrames, DecodeSettings, Decoder, Probe, Source, SourceSettings},
};

/// The frames of an input that was opened.
pub(super) enum Footage {
    /// One that nothing follows.
    Picture(Option<Box<Frame>>),
    /// All frames, woven ones as they are.
    Clip(Box<Decoder>),
    /// Those that a swap with the same settings takes.
    Source(Box<Source>),
}

impl Footage {
    /// Opens `input`; with `part` as a swap would.
    ///
    /// # Errors
    /// [`crate::Error::BadInput`] and [`crate::Error::Refused`] for an input that can't be read or is too large.
    pub(super) fn open(input: &Path, decode: &DecodeSettings, part: Option<&SourceSettings>) -> Result<Self> {
        if video::is_picture(input) {
            let frame = video::read_picture_within(input, decode.max_pixels)?;
            return Ok(Self::Picture(Some(Box::new(frame))));
        }
        Ok(match part {
            None => Self::Clip(Box::new(Decoder::open(input, decode)?)),
            Some(part) => Self::Source(Box::new(Source::open(input, decode, part)?)),
        })
    }

    /// What the frames look like; `None` for a picture.
    pub(super) fn probe(&self) -> Option<&Probe> {
        match self {
            Self::Picture(_) => None,
            Self::Clip(decoder) => Some(decoder.probe()),
            Self::Source(source) => Some(source.probe()),
        }
    }

    /// Frames that aren't shown as they were filmed; complete after the last frame.
    pub(super) fn damage(&self) -> &[DamagedFrames] {
        match self {
            Self::Picture(_) => &[],
            Self::Clip(decoder) => decoder.damage(),
            Self::Source(source) => source.damage(),
        }
    }

    /// The frames, which end with [`crate::Error::Cancelled`] once `stop` is set.
    pub(super) fn frames<'a>(
        &'a mut self,
        stop: &'a AtomicBool,
    ) -> impl Iterator<Item = Result<Frame>> + Send + 'a {
        until_stopped(self, stop)
    }
}

impl Iterator for Footage {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Picture(frame) => frame.take().map(|frame| Ok(*frame)),
            Self::Clip(decoder) => decoder.next(),
            Self::Source(source) => source.next(),
        }
    }
}
