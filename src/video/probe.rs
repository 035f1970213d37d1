//! What is known of a video before any of it is decoded.

use std::{
    f64::consts::FRAC_PI_2,
    path::{Path, PathBuf},
};

use ffmpeg_next::{
    Stream,
    ffi::{AV_NOPTS_VALUE, AVFieldOrder, AVPacketSideDataType, AVPixelFormat, av_stream_get_side_data},
    format::context::Input,
    media,
};
use serde::{Deserialize, Serialize};

use super::{layout, open};
use crate::{Error, Result};

/// The largest picture that is decoded unless a caller says otherwise, pixels.
pub const DEFAULT_MAX_PIXELS: usize = 8192 * 8192;

/// A video, as its container tells it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Probe {
    /// The file.
    pub path: PathBuf,
    /// Stored width and height.
    pub size_px: (usize, usize),
    /// Width and height as a player shows it: pixels made square, then rotated.
    pub display_size_px: (usize, usize),
    /// Clockwise quarter turns, 0..=3, that show the stored picture upright.
    pub quarter_turns: u8,
    /// Players mirror the stored picture, left to right, before they turn it.
    pub is_mirrored: bool,
    /// A tick of the timestamps, seconds as a fraction.
    pub time_base: (i32, i32),
    /// Mean frames per second as a fraction; (0, 1) when unknown.
    pub frame_rate: (i32, i32),
    /// How many frames there should be, when the container says or hints at it.
    pub n_frames_hint: Option<u64>,
    /// Length in seconds, when the container says.
    pub duration_s: Option<f64>,
    /// FFmpeg's name of the container, e.g. `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// FFmpeg's name of the codec, e.g. `h264`.
    pub codec: String,
    /// FFmpeg's name of the stored pixel format, e.g. `yuv420p10le`.
    pub pixel_format: String,
    /// Bits of a sample.
    pub bit_depth: u8,
    /// The container or codec says that frames are woven from two fields.
    pub interlaced: bool,
    /// Number of the stream that is the picture.
    pub stream: usize,
    /// Other video streams, covers not counted.
    pub n_other_video: usize,
    /// Audio streams.
    pub n_audio: usize,
    /// Subtitle streams.
    pub n_subtitle: usize,
}

impl Probe {
    /// The container of numbered pictures.
    pub(crate) const SEQUENCE: &'static str = "image sequence";

    /// Whether the pictures lie in files of their own, with nothing beside them.
    pub fn is_sequence(&self) -> bool {
        self.container == Self::SEQUENCE
    }
}

/// Looks at a video, refusing pictures of more than [`DEFAULT_MAX_PIXELS`].
///
/// # Errors
/// [`Error::BadInput`] when it isn't a video that can be decoded, [`Error::Io`] when it can't be read,
/// [`Error::Refused`] when its pictures are too large.
pub fn probe(path: &Path) -> Result<Probe> {
    probe_within(path, DEFAULT_MAX_PIXELS)
}

/// The same with another limit.
///
/// # Errors
/// As [`probe`].
pub fn probe_within(path: &Path, max_pixels: usize) -> Result<Probe> {
    let input = open::open(path, max_pixels)?;
    let stream = open::video_stream(&input, path)?;
    describe(&input, stream, path)
}

/// What `input` says of its stream.
pub(super) fn describe(input: &Input, stream: usize, path: &Path) -> Result<Probe> {
    let count = |kind| input.streams().filter(|s| s.parameters().medium() == kind).count();
    let n_moving = input
        .streams()
        .filter(|s| s.parameters().medium() == media::Type::Video)
        .filter(|s| !s.disposition().contains(ffmpeg_next::format::stream::Disposition::ATTACHED_PIC))
        .count();
    let container = input.format().name().to_owned();
    // Matroska counts from 0 to the end, others from the first frame.
    // SAFETY: the context is alive, a plain number is read.
    let start = unsafe { (*input.as_ptr()).start_time };
    let start = if container.contains("matroska") && start != AV_NOPTS_VALUE { start.max(0) } else { 0 };
    let whole_s = (input.duration() > start).then(|| (input.duration() - start) as f64 / 1e6);
    let stream = input.stream(stream).ok_or_else(|| Error::input(path, "no video stream"))?;
    // SAFETY: parameters live as long as `input`; plain numbers are read.
    let (width, height, format, field_order, aspect) = unsafe {
        let (parameters, raw) = (stream.parameters(), &*stream.as_ptr());
        let par = &*parameters.as_ptr();
        let aspect =
            if raw.sample_aspect_ratio.num > 0 { raw.sample_aspect_ratio } else { par.sample_aspect_ratio };
        (par.width, par.height, par.format, par.field_order, aspect)
    };
    let codec = stream.parameters().id();
    if ffmpeg_next::decoder::find(codec).is_none() {
        return Err(Error::input(path, format!("this FFmpeg has no decoder for {}", codec.name())));
    }
    if width <= 0 || height <= 0 || format < 0 {
        return Err(Error::input(
            path,
            format!("a {} stream without a picture: cut off or damaged", codec.name()),
        ));
    }
    // SAFETY: formats in codec parameters are values of the enumeration of the same library.
    let format = unsafe { std::mem::transmute::<i32, AVPixelFormat>(format) };
    let (pixel_format, bit_depth) = layout::name_and_depth(format);
    let base = stream.time_base();
    let rate = [stream.avg_frame_rate(), stream.rate()]
        .into_iter()
        .find(|r| r.numerator() > 0 && r.denominator() > 0);
    let own_s = (stream.duration() != AV_NOPTS_VALUE && stream.duration() > 0)
        .then(|| stream.duration() as f64 * f64::from(base));
    let duration_s = own_s.or(whole_s);
    let n_frames_hint = u64::try_from(stream.frames()).ok().filter(|n| *n > 0).or_else(|| {
        let frames = duration_s? * f64::from(rate?);
        Some(frames.round() as u64)
    });
    let (is_mirrored, quarter_turns) = display_matrix(&stream).map_or((false, 0), |matrix| turn(&matrix));
    Ok(Probe {
        path: path.into(),
        size_px: (width as usize, height as usize),
        display_size_px: display_size((width, height), (aspect.num, aspect.den), quarter_turns),
        quarter_turns,
        is_mirrored,
        time_base: (base.numerator(), base.denominator()),
        frame_rate: rate.map_or((0, 1), |r| (r.numerator(), r.denominator())),
        n_frames_hint,
        duration_s,
        container,
        codec: codec.name().to_owned(),
        pixel_format: pixel_format.to_owned(),
        bit_depth,
        interlaced: !matches!(
            field_order,
            AVFieldOrder::AV_FIELD_UNKNOWN | AVFieldOrder::AV_FIELD_PROGRESSIVE
        ),
        stream: stream.index(),
        n_other_video: n_moving.saturating_sub(1),
        n_audio: count(media::Type::Audio),
        n_subtitle: count(media::Type::Subtitle),
    })
}

fn display_size((width, height): (i32, i32), (num, den): (i32, i32), quarter_turns: u8) -> (usize, usize) {
    let aspect = if num > 0 && den > 0 { f64::from(num) / f64::from(den) } else { 1.0 };
    let size = (((f64::from(width) * aspect).round() as usize).max(1), height as usize);
    if quarter_turns % 2 == 1 { (size.1, size.0) } else { size }
}

/// How players are asked to place a picture, if they are.
fn display_matrix(stream: &Stream) -> Option<[i32; 9]> {
    // SAFETY: the side data lives as long as the stream; a display matrix is nine 32-bit numbers, which is checked.
    unsafe {
        let mut size = 0;
        let kind = AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
        let data = av_stream_get_side_data(stream.as_ptr(), kind, &raw mut size);
        (!data.is_null() && size >= 9 * 4).then(|| data.cast::<[i32; 9]>().read_unaligned())
    }
}

/// Whether a display matrix mirrors, and the clockwise turn after that, to the nearest quarter.
fn turn(matrix: &[i32; 9]) -> (bool, u8) {
    // A step to the right in the stored picture goes to (a, b) in the shown one, a step down to (c, d).
    let [a, b, c, d] = [0, 1, 3, 4].map(|i| f64::from(matrix[i]));
    let is_mirrored = a * d - b * c < 0.0;
    let angle = if is_mirrored { (-b).atan2(-a) } else { b.atan2(a) };
    (is_mirrored, (angle / FRAC_PI_2).round().rem_euclid(4.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_and_turns_are_told_apart() {
        let told =
            |a: i32, b: i32, c: i32, d: i32| turn(&[a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]);
        for (matrix, wanted) in [
            ([1, 0, 0, 1], (false, 0)),
            ([0, 1, -1, 0], (false, 1)),
            ([-1, 0, 0, -1], (false, 2)),
            ([0, -1, 1, 0], (false, 3)),
            // Left and right change places, top and bottom, and both diagonals.
            ([-1, 0, 0, 1], (true, 0)),
            ([1, 0, 0, -1], (true, 2)),
            ([0, 1, 1, 0], (true, 3)),
            ([0, -1, -1, 0], (true, 1)),
            ([0, 0, 0, 0], (false, 0)),
        ] {
            let [a, b, c, d] = matrix;
            assert_eq!(told(a, b, c, d), wanted, "{matrix:?}");
        }
    }
}
