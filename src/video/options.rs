//! Speed and quality in each encoder's own words.

use std::ffi::CString;

use ffmpeg_next::{
    codec,
    ffi::{AV_OPT_SEARCH_CHILDREN, FF_QP2LAMBDA, av_opt_set},
};

use super::{
    encode::{EncodeSettings, Refusal},
    hdr::Hdr,
    layout,
};
use crate::Error;

/// Sets speed and quality by the encoder's own options.
pub(super) fn set_options(
    context: &mut codec::context::Context,
    name: &str,
    settings: &EncodeSettings,
    hdr: &Hdr,
) -> Result<(), Refusal> {
    // SAFETY: the context is ours and alive; plain numbers are read.
    let (n_pixels, format) = unsafe {
        let raw = &*context.as_ptr();
        (i64::from(raw.width) * i64::from(raw.height), raw.pix_fmt)
    };
    let n_bytes = n_pixels as usize * usize::from(layout::name_and_depth(format).1.div_ceil(8));
    let preset = settings.preset.as_deref().or_else(|| usual_preset(name));
    let ahead = look_ahead(name, preset, n_bytes);
    let mut set = |key: &str, value: &str| {
        let (key, value) = (CString::new(key).unwrap_or_default(), CString::new(value).unwrap_or_default());
        // SAFETY: the context is ours and not yet open; both strings outlive the call.
        unsafe {
            av_opt_set(context.as_mut_ptr().cast(), key.as_ptr(), value.as_ptr(), AV_OPT_SEARCH_CHILDREN)
        }
    };
    for (key, mut value) in quality_options(name, settings.quality) {
        if key == "x265-params" {
            value += &hdr.x265_params();
            value += &ahead.map_or(String::new(), |n| format!(":rc-lookahead={n}"));
        }
        if set(key, &value) < 0 {
            return Err(Refusal::Unfit(format!("this build doesn't know {key}={value}")));
        }
    }
    if let Some(n) = ahead.filter(|_| name.starts_with("libx264")) {
        // Where it is cut to the least, a thread of its own for it would hold as many frames once more.
        let also = if n == FEWEST_AHEAD { set("x264-params", "sync-lookahead=0") } else { 0 };
        if set("rc-lookahead", &n.to_string()) < 0 || also < 0 {
            return Err(Refusal::Unfit("this build doesn't know rc-lookahead".into()));
        }
    }
    let key = match name {
        "libvpx" | "libvpx-vp9" | "libaom-av1" => "cpu-used",
        _ => "preset",
    };
    let Some(preset) = preset else { return Ok(()) };
    let refuse = |reason| Err(Refusal::Setting(Error::setting("--output-video-preset", preset, reason)));
    // These two take any word here and complain, on the terminal, when they start.
    if name.starts_with("libx26") && !X26_PRESETS.contains(&preset) {
        return refuse(format!("{name} knows {}", X26_PRESETS.join(", ")));
    }
    if set(key, preset) < 0 { refuse(format!("{name} doesn't know it")) } else { Ok(()) }
}

/// The preset where the user names none; `None` leaves it to the encoder.
///
/// At the quality of a copy that the eye can't tell from its source, libx264 finds little in its slower ones: CRF 14 of
/// veryfast is as near to the source as CRF 16 of medium, in a third of the time (docs/video.md). libx265 gains from its
/// own medium.
fn usual_preset(name: &str) -> Option<&'static str> {
    match name {
        "libx264" | "libx264rgb" => Some("veryfast"),
        "libsvtav1" => Some("8"),
        "libaom-av1" => Some("6"),
        "libvpx" | "libvpx-vp9" => Some("2"),
        _ => None,
    }
}

/// Looking ahead over fewer frames than this would harm the choice of B-frames.
const FEWEST_AHEAD: usize = 6;

/// Frames that libx264 and libx265 look ahead in order to share bits out, where their preset's number would take too
/// much memory for frames whose luma has `n_bytes`; `None` leaves it to the preset.
fn look_ahead(name: &str, preset: Option<&str>, n_bytes: usize) -> Option<usize> {
    /// Luma of all frames that wait: 16 frames of 1080p at 8 bits. In the encoder each takes four times as much.
    const MAX_BYTES: usize = 16 * 1920 * 1080;
    // By presets from the fastest on, as the libraries' documentation lists them.
    let usual: [usize; 10] = match name {
        "libx264" | "libx264rgb" => [0, 0, 10, 20, 30, 40, 50, 60, 60, 60],
        "libx265" => [5, 10, 15, 15, 15, 20, 25, 40, 40, 60],
        _ => return None,
    };
    let at = X26_PRESETS.iter().position(|known| *known == preset.unwrap_or("medium"))?;
    let most = (MAX_BYTES / n_bytes.max(1)).max(FEWEST_AHEAD);
    (usual[at] > most).then_some(most)
}

const X26_PRESETS: [&str; 10] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// An encoder's options for a quality of 0..=100, or for one that the eye can't tell from the source.
fn quality_options(name: &str, quality: Option<u8>) -> Vec<(&'static str, String)> {
    // 100 is the best of a scale that ends with 0, 0 its worst.
    let scaled = |usual: u8, worst: u8| {
        let value = quality.map_or(f64::from(usual), |q| f64::from(100 - q) * f64::from(worst) / 100.0);
        value.round().to_string()
    };
    let lossless = quality == Some(100);
    let qscale = |usual: u8| {
        // 1..=31 in units of lambda.
        let value = quality.map_or(f64::from(usual), |q| 1.0 + f64::from(100 - q) * 0.3);
        vec![
            ("flags", "+qscale".into()),
            ("global_quality", (value * f64::from(FF_QP2LAMBDA)).round().to_string()),
        ]
    };
    match name {
        "libx264" | "libx264rgb" if lossless => vec![("qp", "0".into())],
        "libx264" | "libx264rgb" => vec![("crf", scaled(14, 51))],
        // The library writes to the terminal by itself unless told.
        "libx265" if lossless => vec![("x265-params", "log-level=none:lossless=1".into())],
        "libx265" => vec![("crf", scaled(18, 51)), ("x265-params", "log-level=none".into())],
        "libvpx-vp9" | "libaom-av1" if !lossless => {
            vec![("crf", scaled(16, 63)), ("b", "0".into()), ("row-mt", "1".into())]
        }
        // VP8 has no quality without a bitrate; this one is out of its reach.
        "libvpx" => vec![("crf", scaled(4, 63)), ("b", "200M".into()), ("qmin", "0".into())],
        "libvpx-vp9" => vec![("lossless", "1".into()), ("row-mt", "1".into())],
        "libaom-av1" => vec![("aom-params", "lossless=1".into()), ("row-mt", "1".into())],
        "libsvtav1" => vec![("crf", scaled(18, 63))],
        "h264_nvenc" | "hevc_nvenc" | "av1_nvenc" => {
            vec![("rc", "vbr".into()), ("cq", scaled(19, 51)), ("b", "0".into())]
        }
        "mjpeg" | "mpeg4" | "mpeg2video" => {
            let mut options = qscale(2);
            options.push(("qmin", "1".into()));
            options
        }
        // Each frame as a whole: what is left out of a frame is put back by the colours of the one before.
        "gif" => vec![("gifflags", "0".into())],
        "ffv1" => vec![("level", "3".into()), ("slicecrc", "1".into())],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_frames_are_looked_at_less_far_ahead() {
        let (hd, uhd) = (1920 * 1080, 3840 * 2160);
        assert_eq!(look_ahead("libx264", None, 854 * 480), None);
        assert_eq!(look_ahead("libx264", Some("medium"), hd), Some(16));
        assert_eq!(look_ahead("libx264", usual_preset("libx264"), hd), None);
        assert_eq!(look_ahead("libx264", Some("veryfast"), uhd), Some(6));
        assert_eq!(look_ahead("libx265", Some("slower"), 2 * hd), Some(8));
        assert_eq!(look_ahead("libvpx-vp9", None, uhd), None);
    }
}
