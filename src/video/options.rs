//! Speed and quality in each encoder's own words.

use std::ffi::CString;

use ffmpeg_next::{
    codec,
    ffi::{AV_OPT_SEARCH_CHILDREN, FF_QP2LAMBDA, av_opt_set},
};

use super::{
    encode::{EncodeSettings, Refusal},
    hdr::Hdr,
};
use crate::Error;

/// Sets speed and quality by the encoder's own options.
pub(super) fn set_options(
    context: &mut codec::context::Context,
    name: &str,
    settings: &EncodeSettings,
    hdr: &Hdr,
) -> Result<(), Refusal> {
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
        }
        if set(key, &value) < 0 {
            return Err(Refusal::Unfit(format!("this build doesn't know {key}={value}")));
        }
    }
    let key = match name {
        "libvpx" | "libvpx-vp9" | "libaom-av1" => "cpu-used",
        _ => "preset",
    };
    let usual = match name {
        "libsvtav1" => Some("8"),
        "libaom-av1" => Some("6"),
        "libvpx" | "libvpx-vp9" => Some("2"),
        _ => None,
    };
    let Some(preset) = settings.preset.as_deref().or(usual) else { return Ok(()) };
    let refuse = |reason| Err(Refusal::Setting(Error::setting("--output-video-preset", preset, reason)));
    // These two take any word here and complain, on the terminal, when they start.
    if name.starts_with("libx26") && !X26_PRESETS.contains(&preset) {
        return refuse(format!("{name} knows {}", X26_PRESETS.join(", ")));
    }
    if set(key, preset) < 0 { refuse(format!("{name} doesn't know it")) } else { Ok(()) }
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
        "libx264" | "libx264rgb" => vec![("crf", scaled(16, 51))],
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
