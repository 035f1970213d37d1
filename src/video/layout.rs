//! How the samples of a pixel format lie in memory and what their numbers mean.

use ffmpeg_next::{
    ffi::{
        AV_PIX_FMT_FLAG_ALPHA, AV_PIX_FMT_FLAG_BAYER, AV_PIX_FMT_FLAG_BE, AV_PIX_FMT_FLAG_BITSTREAM,
        AV_PIX_FMT_FLAG_FLOAT, AV_PIX_FMT_FLAG_HWACCEL, AV_PIX_FMT_FLAG_PAL, AV_PIX_FMT_FLAG_RGB,
        AVChromaLocation, AVColorRange, AVColorSpace, AVPixFmtDescriptor, AVPixelFormat, FF_LOSS_ALPHA,
        FF_LOSS_CHROMA, FF_LOSS_COLORQUANT, FF_LOSS_COLORSPACE, FF_LOSS_DEPTH, FF_LOSS_RESOLUTION,
        av_get_pix_fmt, av_get_pix_fmt_loss, av_pix_fmt_desc_get,
    },
    frame::Video,
};

/// Where the samples of one channel are, and what they mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Channel {
    /// Plane of the frame.
    pub plane: usize,
    /// Samples from one pixel to the next within a row (1 when planar).
    pub step: usize,
    /// Samples before the first pixel of a row.
    pub offset: usize,
    /// Pixels in a row are `width >> shift_x` rounded up.
    pub shift_x: usize,
    /// Rows are `height >> shift_y` rounded up.
    pub shift_y: usize,
    /// The code that stands for 0.
    pub zero: f32,
    /// Codes from 0 to 1 (luma, RGB) or from -0.5 to 0.5 (chroma).
    pub gain: f32,
    /// The lowest code that the standard allows for this channel.
    pub lowest: f32,
    /// The highest.
    pub highest: f32,
}

/// The layout of a frame whose samples are read and written in place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    /// Luma and both chroma channels, or R, G, B, or one gray channel three times.
    pub channels: [Channel; 3],
    /// Where alpha is, which is never touched, if there is any.
    pub alpha: Option<Channel>,
    /// 1 for gray, else 3.
    pub n_channels: usize,
    /// The channels are R, G, B already.
    pub is_rgb: bool,
    /// Samples are 16-bit little endian, else bytes.
    pub wide: bool,
    /// Bits of a sample.
    pub depth: u32,
    /// From the channels to RGB, row by row.
    pub to_rgb: [[f32; 3]; 3],
    /// From RGB to the channels.
    pub from_rgb: [[f32; 3]; 3],
    /// Where a chroma sample sits, in luma pixels right of and below the centre of its first luma pixel.
    pub siting: (f32, f32),
}

impl Layout {
    /// The layout of a frame, or `None` when its pixel format isn't one that is handled in place.
    pub(super) fn of(frame: &Video) -> Option<Self> {
        let format = AVPixelFormat::from(frame.format());
        let desc = descriptor(format)?;
        if !handled_desc(desc) {
            return None;
        }
        // SAFETY: the frame is alive, its fields are plain numbers.
        let (space, range, location) = unsafe {
            let raw = &*frame.as_ptr();
            (raw.colorspace, raw.color_range, raw.chroma_location)
        };
        let rgb = desc.flags & AV_PIX_FMT_FLAG_RGB as u64 != 0;
        let gray = desc.nb_components < 3;
        let has_alpha = desc.flags & AV_PIX_FMT_FLAG_ALPHA as u64 != 0;
        let full = is_full(format, range);
        let depth = desc.comp[0].depth as u32;
        let (shift_x, shift_y) = (desc.log2_chroma_w as usize, desc.log2_chroma_h as usize);
        let at = |i: usize, chroma: bool| {
            let comp = &desc.comp[i];
            let bytes = if depth > 8 { 2 } else { 1 };
            let is_alpha = has_alpha && i == usize::from(desc.nb_components) - 1;
            let (zero, gain, lowest, highest) = codes(depth, full || is_alpha, chroma);
            let (shift_x, shift_y) = if chroma { (shift_x, shift_y) } else { (0, 0) };
            let (step, offset) = (comp.step as usize / bytes, comp.offset as usize / bytes);
            Channel {
                plane: comp.plane as usize,
                step,
                offset,
                shift_x,
                shift_y,
                zero,
                gain,
                lowest,
                highest,
            }
        };
        let (to_rgb, from_rgb) = match (rgb, gray) {
            (true, _) => (IDENTITY, IDENTITY),
            (_, true) => ([[1.0, 0.0, 0.0]; 3], matrices(AVColorSpace::AVCOL_SPC_BT470BG, 0).1),
            _ => matrices(space, frame.height()),
        };
        Some(Self {
            channels: [0, 1, 2].map(|i| if gray { at(0, false) } else { at(i, !rgb && i > 0) }),
            alpha: has_alpha.then(|| at(usize::from(desc.nb_components) - 1, false)),
            n_channels: if gray { 1 } else { 3 },
            is_rgb: rgb,
            wide: depth > 8,
            depth,
            to_rgb,
            from_rgb,
            siting: siting(location, is_yuvj(format), shift_x, shift_y),
        })
    }
}

const IDENTITY: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// The code of 0, codes per unit, and the range of codes (ITU-T H.273, clause 8.3).
fn codes(depth: u32, full: bool, chroma: bool) -> (f32, f32, f32, f32) {
    let unit = (1_u32 << (depth - 8)) as f32;
    let max = (1_u32 << depth) as f32 - 1.0;
    match (full, chroma) {
        (true, false) => (0.0, max, 0.0, max),
        (true, true) => (128.0 * unit, max, 0.0, max),
        (false, false) => (16.0 * unit, 219.0 * unit, 16.0 * unit, 235.0 * unit),
        (false, true) => (128.0 * unit, 224.0 * unit, 16.0 * unit, 240.0 * unit),
    }
}

/// Whether the codes of a format span all that their bits hold. Unspecified means so for RGB and gray, and not for YUV.
pub(super) fn is_full(format: AVPixelFormat, range: AVColorRange) -> bool {
    match range {
        AVColorRange::AVCOL_RANGE_JPEG => true,
        AVColorRange::AVCOL_RANGE_MPEG => is_yuvj(format),
        _ => is_yuvj(format) || is_rgb(format) || descriptor(format).is_some_and(|d| d.nb_components < 3),
    }
}

/// The matrix of YUV that is tagged as `space`, one of those that are known here. Unspecified means BT.601 up to
/// 576 rows and BT.709 above, as players do.
pub(super) fn known_space(space: AVColorSpace, height: u32) -> AVColorSpace {
    use AVColorSpace as S;
    match space {
        S::AVCOL_SPC_YCGCO
        | S::AVCOL_SPC_BT709
        | S::AVCOL_SPC_BT470BG
        | S::AVCOL_SPC_SMPTE170M
        | S::AVCOL_SPC_FCC
        | S::AVCOL_SPC_SMPTE240M
        | S::AVCOL_SPC_BT2020_NCL => space,
        // The kin of BT.2020 that aren't linear in R'G'B' differ little from it within a face.
        S::AVCOL_SPC_BT2020_CL | S::AVCOL_SPC_ICTCP | S::AVCOL_SPC_SMPTE2085 => S::AVCOL_SPC_BT2020_NCL,
        _ if height <= 576 => S::AVCOL_SPC_SMPTE170M,
        _ => S::AVCOL_SPC_BT709,
    }
}

/// To RGB and from RGB.
fn matrices(space: AVColorSpace, height: u32) -> ([[f32; 3]; 3], [[f32; 3]; 3]) {
    use AVColorSpace as S;
    let (kr, kb) = match known_space(space, height) {
        S::AVCOL_SPC_YCGCO => return YCGCO,
        S::AVCOL_SPC_BT709 => BT709,
        S::AVCOL_SPC_FCC => (0.30, 0.11),
        S::AVCOL_SPC_SMPTE240M => (0.212, 0.087),
        S::AVCOL_SPC_BT2020_NCL => (0.2627, 0.0593),
        // That of both television systems of 525 and 625 lines.
        _ => BT601,
    };
    let kg = 1.0 - kr - kb;
    let (cr_to_r, cb_to_b) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
    let to_rgb = [[1.0, 0.0, cr_to_r], [1.0, -kb * cb_to_b / kg, -kr * cr_to_r / kg], [1.0, cb_to_b, 0.0]];
    let from_rgb = [
        [kr, kg, kb],
        [-kr / cb_to_b, -kg / cb_to_b, (1.0 - kb) / cb_to_b],
        [(1.0 - kr) / cr_to_r, -kg / cr_to_r, -kb / cr_to_r],
    ];
    (to_rgb, from_rgb)
}

const BT601: (f32, f32) = (0.299, 0.114);
const BT709: (f32, f32) = (0.2126, 0.0722);
const YCGCO: ([[f32; 3]; 3], [[f32; 3]; 3]) = (
    [[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]],
    [[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]],
);

/// Where chroma sits. Unspecified means left as in MPEG-2 and later, and the centre for pictures of the JPEG kind.
fn siting(location: AVChromaLocation, jpeg: bool, shift_x: usize, shift_y: usize) -> (f32, f32) {
    use AVChromaLocation as L;
    let span = |shift: usize| ((1 << shift) - 1) as f32;
    let (middle_x, middle_y) = (span(shift_x) / 2.0, span(shift_y) / 2.0);
    match location {
        L::AVCHROMA_LOC_CENTER => (middle_x, middle_y),
        L::AVCHROMA_LOC_TOPLEFT => (0.0, 0.0),
        L::AVCHROMA_LOC_TOP => (middle_x, 0.0),
        L::AVCHROMA_LOC_BOTTOMLEFT => (0.0, span(shift_y)),
        L::AVCHROMA_LOC_BOTTOM => (middle_x, span(shift_y)),
        _ if jpeg => (middle_x, middle_y),
        _ => (0.0, middle_y),
    }
}

/// What FFmpeg knows of a pixel format.
pub(super) fn descriptor(format: AVPixelFormat) -> Option<&'static AVPixFmtDescriptor> {
    // SAFETY: the table that is pointed into is constant and lives as long as the program.
    unsafe { av_pix_fmt_desc_get(format).as_ref() }
}

/// Whether samples of this format are read and written in place.
pub(super) fn is_handled(format: AVPixelFormat) -> bool {
    descriptor(format).is_some_and(handled_desc)
}

fn handled_desc(desc: &'static AVPixFmtDescriptor) -> bool {
    const NEVER: i32 = AV_PIX_FMT_FLAG_PAL
        | AV_PIX_FMT_FLAG_BITSTREAM
        | AV_PIX_FMT_FLAG_HWACCEL
        | AV_PIX_FMT_FLAG_BAYER
        | AV_PIX_FMT_FLAG_FLOAT;
    let depth = desc.comp[0].depth;
    let comps = &desc.comp[..usize::from(desc.nb_components)];
    let bytes = if depth > 8 { 2 } else { 1 };
    desc.flags & NEVER as u64 == 0
        && (depth == 8 || desc.flags & AV_PIX_FMT_FLAG_BE as u64 == 0)
        && (8..=16).contains(&depth)
        && !name(desc).starts_with("xyz")
        // Alpha, which is never touched, may be packed as it likes; packed colour (rgb24, yuyv422) is unpacked on
        // decode, except for the pairs of gray and alpha and of both chroma channels.
        && comps.iter().all(|c| c.shift == 0 && c.depth == depth && c.step <= 2 * bytes && c.offset % bytes == 0)
}

pub(super) fn is_yuvj(format: AVPixelFormat) -> bool {
    use AVPixelFormat as P;
    matches!(
        format,
        P::AV_PIX_FMT_YUVJ411P
            | P::AV_PIX_FMT_YUVJ420P
            | P::AV_PIX_FMT_YUVJ422P
            | P::AV_PIX_FMT_YUVJ440P
            | P::AV_PIX_FMT_YUVJ444P
    )
}

/// What a conversion between pixel formats loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loss(i32);

impl Loss {
    /// Every sample survives.
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// More than a change of how the same colours are written: never done without being asked.
    pub(super) fn is_grave(self) -> bool {
        self.0 & (FF_LOSS_DEPTH | FF_LOSS_COLORQUANT | FF_LOSS_ALPHA | FF_LOSS_CHROMA) != 0
    }

    /// In words, for messages.
    pub(super) fn words(self) -> String {
        let words = [
            (FF_LOSS_DEPTH, "bits of depth"),
            (FF_LOSS_COLORQUANT, "colours of the palette"),
            (FF_LOSS_ALPHA, "the alpha channel"),
            (FF_LOSS_CHROMA, "all colour"),
            (FF_LOSS_RESOLUTION, "resolution of the colour"),
            (FF_LOSS_COLORSPACE, "exact RGB"),
        ];
        let lost: Vec<&str> =
            words.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, word)| *word).collect();
        lost.join(" and ")
    }
}

/// The format among `candidates` that loses least of `source`, and what it loses.
pub(super) fn nearest(source: AVPixelFormat, candidates: &[AVPixelFormat]) -> Option<(AVPixelFormat, Loss)> {
    const ORDER: [i32; 6] = [
        FF_LOSS_CHROMA,
        FF_LOSS_COLORQUANT,
        FF_LOSS_DEPTH,
        FF_LOSS_ALPHA,
        FF_LOSS_RESOLUTION,
        FF_LOSS_COLORSPACE,
    ];
    let bits = |format| {
        descriptor(format).map_or(u32::MAX, |d| {
            d.comp[..usize::from(d.nb_components)].iter().map(|c| c.depth as u32).sum::<u32>() * 8
                / (1 << (d.log2_chroma_w + d.log2_chroma_h))
        })
    };
    let judged = candidates.iter().map(|&candidate| {
        // SAFETY: a function of three numbers.
        let loss = unsafe { av_get_pix_fmt_loss(candidate, source, 1) };
        let rank = ORDER.iter().fold(0, |rank, bit| rank * 2 + i32::from(loss & bit != 0));
        (rank, bits(candidate), candidate, Loss(loss))
    });
    judged.min_by_key(|&(rank, bits, ..)| (rank, bits)).map(|(.., format, loss)| (format, loss))
}

/// The handled format that holds all of `format`, or `None` when there is none (floating point, Bayer, XYZ).
pub(super) fn lossless_target(format: AVPixelFormat) -> Option<AVPixelFormat> {
    // Bayer has as many bits as gray of its depth, yet is another thing.
    const NEVER: i32 = AV_PIX_FMT_FLAG_BAYER | AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_FLOAT;
    if is_handled(format) {
        return Some(format);
    }
    descriptor(format).filter(|d| d.flags & NEVER as u64 == 0)?;
    nearest(format, TARGETS).filter(|(_, loss)| loss.is_none()).map(|(target, _)| target)
}

/// The smallest handled format that holds all of `format` and that `fits`.
pub(super) fn lossless_where(
    format: AVPixelFormat,
    fits: impl Fn(AVPixelFormat) -> bool,
) -> Option<AVPixelFormat> {
    let candidates: Vec<_> = TARGETS.iter().copied().filter(|target| fits(*target)).collect();
    nearest(format, &candidates).filter(|(_, loss)| loss.is_none()).map(|(target, _)| target)
}

/// What frames in other formats are turned into.
const TARGETS: &[AVPixelFormat] = {
    use AVPixelFormat as P;
    &[
        P::AV_PIX_FMT_GRAY8,
        P::AV_PIX_FMT_GRAY10LE,
        P::AV_PIX_FMT_GRAY12LE,
        P::AV_PIX_FMT_GRAY16LE,
        P::AV_PIX_FMT_YUV420P,
        P::AV_PIX_FMT_YUV422P,
        P::AV_PIX_FMT_YUV440P,
        P::AV_PIX_FMT_YUV411P,
        P::AV_PIX_FMT_YUV444P,
        P::AV_PIX_FMT_YUV420P10LE,
        P::AV_PIX_FMT_YUV422P10LE,
        P::AV_PIX_FMT_YUV444P10LE,
        P::AV_PIX_FMT_YUV420P12LE,
        P::AV_PIX_FMT_YUV422P12LE,
        P::AV_PIX_FMT_YUV444P12LE,
        P::AV_PIX_FMT_YUV420P16LE,
        P::AV_PIX_FMT_YUV422P16LE,
        P::AV_PIX_FMT_YUV444P16LE,
        P::AV_PIX_FMT_YUVA444P,
        P::AV_PIX_FMT_YUVA444P16LE,
        P::AV_PIX_FMT_GBRP,
        P::AV_PIX_FMT_GBRP10LE,
        P::AV_PIX_FMT_GBRP12LE,
        P::AV_PIX_FMT_GBRP14LE,
        P::AV_PIX_FMT_GBRP16LE,
        P::AV_PIX_FMT_GBRAP,
        P::AV_PIX_FMT_GBRAP10LE,
        P::AV_PIX_FMT_GBRAP12LE,
        P::AV_PIX_FMT_GBRAP16LE,
    ]
};

/// FFmpeg's name for a format, and the bits of its samples.
pub(super) fn name_and_depth(format: AVPixelFormat) -> (&'static str, u8) {
    descriptor(format).map_or(("none", 8), |desc| (name(desc), desc.comp[0].depth as u8))
}

/// Whether samples are red, green and blue, a palette of them included.
pub(super) fn is_rgb(format: AVPixelFormat) -> bool {
    const RGB: u64 = (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL) as u64;
    descriptor(format).is_some_and(|d| d.flags & RGB != 0)
}

fn name(desc: &'static AVPixFmtDescriptor) -> &'static str {
    // SAFETY: names in the table are constant C strings.
    unsafe { std::ffi::CStr::from_ptr(desc.name) }.to_str().unwrap_or("none")
}

/// The format that FFmpeg calls by this name.
pub(super) fn by_name(name: &str) -> Option<AVPixelFormat> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: the string outlives the call.
    let format = unsafe { av_get_pix_fmt(name.as_ptr()) };
    (format != AVPixelFormat::AV_PIX_FMT_NONE).then_some(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_leaves_open_is_what_players_take_it_for() {
        use AVColorSpace as S;
        use AVPixelFormat as P;

        // Luma's share of red, by the standards.
        for (space, height, red) in [
            (S::AVCOL_SPC_UNSPECIFIED, 576, 0.299),
            (S::AVCOL_SPC_UNSPECIFIED, 577, 0.2126),
            (S::AVCOL_SPC_RESERVED, 480, 0.299),
            (S::AVCOL_SPC_RESERVED, 720, 0.2126),
            (S::AVCOL_SPC_BT709, 480, 0.2126),
            (S::AVCOL_SPC_BT470BG, 1080, 0.299),
            (S::AVCOL_SPC_SMPTE170M, 1080, 0.299),
            (S::AVCOL_SPC_SMPTE240M, 480, 0.212),
            (S::AVCOL_SPC_FCC, 1080, 0.30),
            (S::AVCOL_SPC_BT2020_NCL, 480, 0.2627),
            (S::AVCOL_SPC_BT2020_CL, 480, 0.2627),
        ] {
            let (_, from_rgb) = matrices(space, height);
            assert!((from_rgb[0][0] - red).abs() < 1e-6, "{space:?}, {height} rows: {}", from_rgb[0][0]);
        }
        let open = AVColorRange::AVCOL_RANGE_UNSPECIFIED;
        for format in [P::AV_PIX_FMT_GRAY8, P::AV_PIX_FMT_GRAY16LE, P::AV_PIX_FMT_YA8, P::AV_PIX_FMT_GBRP] {
            assert!(is_full(format, open), "{format:?}");
            assert!(!is_full(format, AVColorRange::AVCOL_RANGE_MPEG), "{format:?}");
        }
        assert!(!is_full(P::AV_PIX_FMT_YUV420P, open) && is_full(P::AV_PIX_FMT_YUVJ420P, open));
    }
}
