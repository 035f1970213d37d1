//! What becomes of everything in a file that is not the picture.

use ffmpeg_next::media;
use serde::Serialize;

/// What to do about a track that the output's container can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnsupported {
    /// Leaves it out, and says so.
    Drop,
    /// Sound is encoded anew in a codec that the container holds; other tracks are left out.
    Convert,
    /// Ends with an error before the work begins.
    Fail,
}

impl OnUnsupported {
    /// What is done unless something is asked: sound is never lost, other tracks are left out.
    pub(super) fn usual(kind: &str) -> Self {
        if kind == Track::SOUND { Self::Fail } else { Self::Drop }
    }
}

/// What became of the input's tracks beside the picture.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tracks {
    /// Packet by packet the same.
    pub copied: Vec<Track>,
    /// In another codec, since the container can't hold the old one.
    pub converted: Vec<Track>,
    /// Left out, since the container can't hold them.
    pub dropped: Vec<Track>,
}

/// A track of the input.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Track {
    /// Its number in the input, from 0.
    pub stream: usize,
    /// What it is: `sound`, `subtitles`, `cover`, ..
    pub kind: &'static str,
    /// FFmpeg's name of its codec in the input.
    pub codec: String,
    /// Its number in the output.
    pub to: Option<usize>,
    /// Presentation times of its first and last packet, seconds, as they ought to be in the output.
    pub times_s: Option<(f64, f64)>,
    /// Packets whose times stepped back and were moved to just behind the one before.
    pub n_moved: u64,
    /// FFmpeg's name of its codec in the output where that is another one.
    pub converted_to: Option<String>,
    /// Why it isn't copied.
    pub reason: Option<String>,
}

impl Track {
    /// The kind of a track that is heard.
    pub(super) const SOUND: &'static str = "sound";
    /// The kind of a track that is read.
    pub(super) const SUBTITLES: &'static str = "subtitles";
    /// The kind of a picture that stands for the file.
    pub(super) const COVER: &'static str = "cover";
}

impl Tracks {
    /// What is left out, or has other times, in words.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let dropped = self.dropped.iter().map(|track| {
            let Track { stream, kind, codec, reason, .. } = track;
            format!(
                "stream {stream} ({kind}, {codec}) is left out: {}",
                reason.as_deref().unwrap_or_default()
            )
        });
        let moved = self.copied.iter().chain(&self.converted).filter(|track| track.n_moved > 0);
        dropped.chain(moved.map(|Track { stream, kind, n_moved, .. }| {
            format!("stream {stream} ({kind}): the times of {n_moved} packets step back; moved behind those before them")
        }))
    }
}

/// What a track is, in a word.
pub(super) fn kind_of(kind: media::Type, is_cover: bool) -> &'static str {
    match kind {
        media::Type::Audio => Track::SOUND,
        media::Type::Subtitle => Track::SUBTITLES,
        media::Type::Video if is_cover => Track::COVER,
        media::Type::Video => "another video",
        media::Type::Attachment => "attachment",
        _ => "data",
    }
}
