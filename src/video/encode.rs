//! The encoder of the output: which, in which pixel format, how good.

use std::mem::ManuallyDrop;

use ffmpeg_next::{
    self as ff, Packet, Rational, codec,
    ffi::{
        AV_CODEC_FLAG_GLOBAL_HEADER, AVChromaLocation, AVColorPrimaries, AVColorRange, AVColorSpace,
        AVColorTransferCharacteristic, AVPixelFormat, FF_THREAD_FRAME, FF_THREAD_SLICE,
    },
    format::Pixel,
    frame::Video,
};

use super::{
    hdr::Hdr, layout, log::Journal, options::set_options, probe::Probe, scale::Scale, tracks::OnUnsupported,
};
use crate::{Error, Result};

/// How the picture is encoded.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct EncodeSettings {
    /// FFmpeg's name of the encoder; `None` takes the input's family of codecs (h264: libx264, hevc: libx265, ..),
    /// or what the container prefers when it can't hold that.
    pub encoder: Option<String>,
    /// 0 (worst) to 100 (lossless where the codec can); `None` is visually lossless (libx264 at CRF 14 and its kin).
    pub quality: Option<u8>,
    /// The encoder's own word for speed (`veryfast`, `slow`, a number for AV1); `None` for one that
    /// is quick at that quality.
    pub preset: Option<String>,
    /// Threads of the encoder; 0 for one a core.
    pub threads: usize,
    /// The output's size; `None` for the input's.
    pub scale: Option<Scale>,
    /// What becomes of tracks that the container can't hold; `None` fails for sound and leaves out the rest.
    pub on_unsupported: Option<OnUnsupported>,
    /// Number of the first of numbered pictures; `None` for the input's own, or 1.
    pub start_number: Option<u64>,
    /// What the file says of itself in its tag `comment`, after what the input says there.
    pub label: Option<String>,
}

impl EncodeSettings {
    /// The size of the output of frames of this size.
    pub fn scaled_px(&self, (width, height): (usize, usize)) -> (usize, usize) {
        self.scale.map_or((width, height), |scale| {
            let (width, height) = scale.size((width as u32, height as u32));
            (width as usize, height as usize)
        })
    }
}

/// What an encoder must know of the frames to come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub format: Pixel,
    pub width: u32,
    pub height: u32,
    pub aspect: (i32, i32),
    pub range: AVColorRange,
    pub space: AVColorSpace,
    pub primaries: AVColorPrimaries,
    pub transfer: AVColorTransferCharacteristic,
    pub location: AVChromaLocation,
    pub hdr: Hdr,
}

impl Look {
    pub(super) fn of(frame: &Video) -> Self {
        // SAFETY: the frame is alive, plain numbers are read.
        let raw = unsafe { &*frame.as_ptr() };
        Self {
            format: frame.format(),
            width: frame.width(),
            height: frame.height(),
            aspect: (raw.sample_aspect_ratio.num, raw.sample_aspect_ratio.den),
            range: raw.color_range,
            space: raw.colorspace,
            primaries: raw.color_primaries,
            transfer: raw.color_trc,
            location: raw.chroma_location,
            hdr: Hdr::of(frame),
        }
    }

    /// The same in another size.
    pub(super) fn scaled(mut self, scale: Option<Scale>) -> Self {
        if let Some(scale) = scale {
            let size = (self.width, self.height);
            self.aspect = scale.aspect(self.aspect, size);
            (self.width, self.height) = scale.size(size);
        }
        self
    }

    /// What the frames of a probed video will look like, colour aside.
    pub(super) fn expected(probe: &Probe) -> Option<Self> {
        let target = layout::lossless_target(layout::by_name(&probe.pixel_format)?)?;
        let (width, height) = probe.size_px;
        Some(Self::plain(Pixel::from(target), width, height))
    }

    pub(super) fn plain(format: Pixel, width: usize, height: usize) -> Self {
        Self {
            format,
            width: width as u32,
            height: height as u32,
            aspect: (0, 1),
            range: AVColorRange::AVCOL_RANGE_UNSPECIFIED,
            space: AVColorSpace::AVCOL_SPC_UNSPECIFIED,
            primaries: AVColorPrimaries::AVCOL_PRI_UNSPECIFIED,
            transfer: AVColorTransferCharacteristic::AVCOL_TRC_UNSPECIFIED,
            location: AVChromaLocation::AVCHROMA_LOC_UNSPECIFIED,
            hdr: Hdr::default(),
        }
    }
}

/// What the output asks of an encoder.
pub(super) struct Demand<'a> {
    pub settings: &'a EncodeSettings,
    /// The input's codec; `None` for a clip that is made from nothing.
    pub source_codec: Option<&'a str>,
    /// Whether the container holds a codec, and the one it likes best.
    pub container_holds: &'a dyn Fn(codec::Id) -> bool,
    pub container_likes: codec::Id,
    /// Parameter sets go into the container's header.
    pub global_header: bool,
    pub time_base: (i32, i32),
    pub frame_rate: (i32, i32),
}

/// An open encoder.
pub(super) struct Encoder {
    pub context: ManuallyDrop<ff::encoder::video::Encoder>,
    /// It has got a frame.
    pub fed: bool,
    pub name: String,
    /// What frames have to be converted to.
    pub format: Pixel,
    /// What the conversion loses, in words, if anything.
    pub note: Option<String>,
    /// What the encoder complains of; declared after it, since it must live longer.
    pub journal: Journal,
}

impl Encoder {
    /// What stands in the container's header of the codec.
    pub(super) fn header(&self) -> &[u8] {
        // SAFETY: the context is alive, and its header as long as it says.
        unsafe {
            let raw = &*self.context.as_ptr();
            match usize::try_from(raw.extradata_size) {
                Ok(size) if size > 0 && !raw.extradata.is_null() => {
                    std::slice::from_raw_parts(raw.extradata, size)
                }
                _ => &[],
            }
        }
    }

    /// By how many packets the encoder says that decoding runs ahead of presentation.
    pub(super) fn delay(&self) -> usize {
        // SAFETY: the context is alive, a plain number is read.
        unsafe { (*self.context.as_ptr()).has_b_frames }.max(0) as usize
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if self.name == SVT {
            // This one waits forever when it is closed before it has given out all that it was going to, and when it
            // is asked for that without ever having got a frame.
            if !self.fed {
                return;
            }
            let mut packet = Packet::empty();
            let _ = self.context.send_eof();
            while self.context.receive_packet(&mut packet).is_ok() {}
        }
        // SAFETY: the context is dropped once, here, and not used after.
        unsafe { ManuallyDrop::drop(&mut self.context) };
    }
}

/// Writes to the terminal by itself, too, and so is only used when it is asked for.
pub(super) const SVT: &str = "libsvtav1";

/// Opens the first encoder that takes the frames as they are, as near as possible to what is asked.
///
/// # Errors
/// [`Error::BadSetting`] with what each candidate lacked.
pub(super) fn open(demand: &Demand, look: &Look) -> Result<Encoder> {
    let settings = demand.settings;
    if let Some(quality) = settings.quality.filter(|q| *q > 100) {
        return Err(Error::setting("--output-video-quality", quality, "must be 0 to 100"));
    }
    let names = match &settings.encoder {
        Some(name) => vec![name.clone()],
        None => candidates(demand, look.format),
    };
    let mut reasons = Vec::new();
    for name in &names {
        match try_open(name, demand, look) {
            Ok(encoder) => return Ok(encoder),
            Err(Refusal::Setting(error)) => return Err(error),
            Err(Refusal::Unfit(reason)) => reasons.push(format!("{name}: {reason}")),
        }
    }
    let value = settings.encoder.clone().unwrap_or_else(|| "automatic".into());
    Err(Error::setting(
        "--output-video-encoder",
        value,
        format!("{}; try another encoder or .mkv", reasons.join("; ")),
    ))
}

/// The encoders that doctor lists and `--encoder` is likely to name.
pub fn encoders() -> Vec<(&'static str, bool)> {
    const NAMES: [&str; 14] = [
        "libx264",
        "libx265",
        "libvpx-vp9",
        "libsvtav1",
        "libaom-av1",
        "prores_ks",
        "ffv1",
        "mjpeg",
        "h264_nvenc",
        "hevc_nvenc",
        "av1_nvenc",
        "h264_vaapi",
        "h264_qsv",
        "h264_videotoolbox",
    ];
    super::init();
    NAMES.map(|name| (name, ff::encoder::find_by_name(name).is_some())).into()
}

pub(super) enum Refusal {
    /// This one won't do; another may.
    Unfit(String),
    /// A setting that no other candidate will like better.
    Setting(Error),
}

fn candidates(demand: &Demand, format: Pixel) -> Vec<String> {
    let rgb = layout::is_rgb(format.into());
    let family: &[&str] = match demand.source_codec {
        Some("h264") if rgb => &["libx264rgb", "libx264"],
        Some("h264") => &["libx264"],
        Some("hevc") => &["libx265"],
        Some("vp8") => &["libvpx", "libvpx-vp9"],
        Some("vp9") => &["libvpx-vp9"],
        Some("av1") => &["libaom-av1"],
        Some("prores") => &["prores_ks"],
        Some("theora") => &["libtheora"],
        // Without loss in, without loss out.
        Some("rawvideo" | "v210" | "v308" | "v408" | "v410" | "magicyuv" | "lagarith") => &["ffv1"],
        Some(
            name @ ("mjpeg" | "mpeg4" | "mpeg2video" | "ffv1" | "png" | "apng" | "qtrle" | "huffyuv"
            | "ffvhuff" | "utvideo" | "gif"),
        ) => &[name],
        _ => &[],
    };
    let mut names: Vec<String> = family.iter().map(|&name| name.to_owned()).collect();
    names.push("libx264".into());
    names.push("libx265".into());
    names.extend(ff::encoder::find(demand.container_likes).map(|codec| codec.name().to_owned()));
    // What holds everything, for pictures that lose with all others (alpha, 16 bits).
    names.push("ffv1".into());
    let mut seen = Vec::new();
    names.retain(|name| !seen.contains(name) && (seen.push(name.clone()), true).1);
    names
}

fn try_open(name: &str, demand: &Demand, look: &Look) -> Result<Encoder, Refusal> {
    let unfit = |reason: String| Refusal::Unfit(reason);
    let codec = ff::encoder::find_by_name(name).ok_or_else(|| unfit("not in this FFmpeg".into()))?;
    if codec.medium() != ff::media::Type::Video {
        return Err(unfit("encodes no video".into()));
    }
    if !(demand.container_holds)(codec.id()) {
        return Err(unfit(format!("the container doesn't hold {}", codec.id().name())));
    }
    let (format, note) = pixel_format(codec, demand, look).map_err(unfit)?;
    let journal = Journal::default();
    let mut context = codec::context::Context::new_with_codec(codec);
    // SAFETY: the context is ours and not yet open; plain fields are set. The journal is dropped after it, being older.
    unsafe {
        journal.attach(&mut context);
        let raw = &mut *context.as_mut_ptr();
        raw.width = look.width as i32;
        raw.height = look.height as i32;
        raw.pix_fmt = format.into();
        raw.sample_aspect_ratio = Rational(look.aspect.0, look.aspect.1.max(1)).into();
        raw.time_base = Rational(demand.time_base.0, demand.time_base.1).into();
        raw.framerate = Rational(demand.frame_rate.0, demand.frame_rate.1.max(1)).into();
        raw.color_range = look.range;
        raw.colorspace = look.space;
        raw.color_primaries = look.primaries;
        raw.color_trc = look.transfer;
        raw.chroma_sample_location = look.location;
        raw.thread_count = demand.settings.threads as i32;
        raw.thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
        if demand.global_header {
            raw.flags |= AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        }
    }
    set_options(&mut context, name, demand.settings, &look.hdr)?;
    let context = context.encoder().video().and_then(codec::encoder::video::Video::open).map_err(|e| {
        let lines = journal.take();
        let is_mute = name.starts_with("libx26") && e == ff::Error::External && lines.is_empty();
        if is_mute || e == (ff::Error::Other { errno: libc::ENOMEM }) {
            // One that dislikes its settings says so. Another would fail, too, or wait for ever for threads that never
            // came to be, as libx265 does (seen in version 199).
            return Refusal::Setting(Error::Device(format!(
                "{name} can't be started, and doesn't say why ({e}): there is probably not enough memory for {} x {}",
                look.width, look.height
            )));
        }
        let said = if lines.is_empty() { e.to_string() } else { lines.join(", ") };
        let (format, (num, den)) = (layout::name_and_depth(format.into()).0, demand.frame_rate);
        let (width, height) = (look.width, look.height);
        unfit(format!("won't take {width} x {height} {format} at {num}/{den} frames a second ({said})"))
    })?;
    let context = ManuallyDrop::new(context);
    Ok(Encoder { context, fed: false, name: name.into(), format, note, journal })
}

/// The encoder's format that is nearest to the frames', and what it loses; refuses to lose depth, alpha or colours.
fn pixel_format(codec: ff::Codec, demand: &Demand, look: &Look) -> Result<(Pixel, Option<String>), String> {
    let mut known = Vec::new();
    // SAFETY: the codec is constant, its list of formats ends with NONE.
    unsafe {
        let mut format = (*codec.as_ptr()).pix_fmts;
        while let Some(&found) = format.as_ref().filter(|f| **f != AVPixelFormat::AV_PIX_FMT_NONE) {
            known.push(found);
            format = format.add(1);
        }
    }
    if codec.id() == codec::Id::GIF {
        return Ok((Pixel::PAL8, None));
    }
    let source = AVPixelFormat::from(look.format);
    // An encoder without a list takes what it gets.
    if known.is_empty() || known.contains(&source) {
        return Ok((look.format, None));
    }
    let (best, loss) = layout::nearest(source, &known).ok_or("takes no pixels")?;
    let best_name = layout::name_and_depth(best).0;
    if demand.source_codec.is_none() && !loss.is_none() && layout::is_rgb(source) {
        // A clip that we paint ourselves: in the format that everything plays.
        let even = look.width.is_multiple_of(2) && look.height.is_multiple_of(2);
        let common = if even { AVPixelFormat::AV_PIX_FMT_YUV420P } else { AVPixelFormat::AV_PIX_FMT_YUV444P };
        return Ok((Pixel::from(if known.contains(&common) { common } else { best }), None));
    }
    // ProRes is decoded to 12 bits whatever went in, and encoded from 10.
    let nominal = codec.id() == codec::Id::PRORES && demand.source_codec == Some("prores");
    if loss.is_grave() && !nominal {
        return Err(format!("would lose {} ({best_name})", loss.words()));
    }
    let note = (!loss.is_none()).then(|| format!("{} loses {} ({best_name})", codec.name(), loss.words()));
    Ok((Pixel::from(best), note))
}
