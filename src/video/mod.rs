//! Media in and out: pictures in their own pixel format, decoding, encoding, copying of all that is not the picture.
//!
//! The only folder that names FFmpeg. Nothing is printed: FFmpeg's own log is off, and what went wrong comes back
//! as an [`Error`](crate::Error).

#[cfg(target_os = "linux")]
mod apart;
mod clock;
mod coder;
mod convert;
mod damage;
mod decode;
mod deinterlace;
mod encode;
mod exif;
mod feed;
mod hdr;
mod lane;
mod layout;
mod log;
mod loops;
mod mend;
mod mux;
mod open;
mod openexr;
mod options;
mod output;
mod packets;
mod pages;
mod paint;
mod palette;
mod pattern;
mod picture;
mod picture_writer;
#[cfg(test)]
mod picture_tests;
mod probe;
mod rate;
mod read;
mod reel;
mod repeat;
mod scale;
mod segments;
mod sequence;
mod skip;
mod sound;
mod source;
mod still;
mod streams;
mod sync;
mod tracks;
mod traits;
mod trim;
mod turn;
mod write;

#[cfg(target_os = "linux")]
pub use apart::{SERVE_FRAMES, serve_frames};
pub use clock::Join;
pub use damage::DamagedFrames;
pub use decode::{DecodeSettings, Decoder};
pub use encode::{EncodeSettings, encoders};
pub use mend::OnDamage;
pub use mux::ending_in_place_of_its_own;
pub use output::{check_output, same_file};
pub(crate) use pages::MORE_PICTURES;
pub use pages::holds_more;
pub use pattern::Pattern;
pub use picture::Picture;
pub use probe::{DEFAULT_MAX_PIXELS, Probe, probe, probe_within};
pub use rate::parse_rate;
pub use scale::Scale;
pub use segments::{Place, Stretch};
pub use source::{Source, SourceSettings};
pub use still::{holds_label, is_picture, read_picture, read_picture_within, write_picture};
pub use sync::max_skew_ms;
pub use tracks::{OnUnsupported, Track, Tracks};
pub use trim::{Cut, Trim, parse_time};
pub use write::{ClipWriter, Writer, Written};

use std::sync::Once;

/// What is told when a format can't say what it shows.
pub(crate) const NO_ROOM_FOR_LABEL: &str =
    "the format has no room for the label that says that its face is AI-generated: say so where it is shown";

/// Gets FFmpeg ready, once in a process: error texts, no log, a bound on single allocations.
fn init() {
    /// A header that claims more than this for one table or one plane lies, or is past any use of ours.
    const MAX_ALLOCATION: usize = 2 << 30;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The one error that `init` could give is gone since FFmpeg 4.
        let _ = ffmpeg_next::init();
        log::install();
        // SAFETY: sets a number inside the library; called once, before any other use.
        unsafe { ffmpeg_next::ffi::av_max_alloc(MAX_ALLOCATION) };
    });
}

/// The version of the FFmpeg that is in use, by its own name.
pub fn ffmpeg_version() -> String {
    // SAFETY: gives a constant C string.
    unsafe { std::ffi::CStr::from_ptr(ffmpeg_next::ffi::av_version_info()) }.to_string_lossy().into_owned()
}
