//! Single pictures: read upright, written in the format of their name.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::Path,
};

use ffmpeg_next::format::Pixel;
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat, ImageReader,
    Limits,
    codecs::{bmp::BmpEncoder, jpeg::JpegEncoder, png::PngEncoder, tiff::TiffEncoder, webp::WebPEncoder},
    metadata::Orientation,
};

use super::{
    exif::labelled,
    layout::Channel,
    openexr,
    output::Partial,
    picture::{Picture, Sample},
    probe::DEFAULT_MAX_PIXELS,
};
use crate::{Error, Result, frame::Frame};

/// JPEG quality of what is written: the eye can't tell it from the source.
const JPEG_QUALITY: u8 = 95;

/// Whether a file is a picture that [`read_picture`] reads, by its first bytes whatever its name. Animations in PNG
/// and GIF are videos.
pub fn is_picture(path: &Path) -> bool {
    // Opening a pipe would wait for somebody to write into it.
    if !path.is_file() {
        return false;
    }
    let mut head = Vec::new();
    // An animated PNG says so before its first picture; what comes before is small.
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    read.is_ok() && format_of(&head).is_some()
}

fn format_of(head: &[u8]) -> Option<ImageFormat> {
    let has = |what: &[u8]| head.windows(what.len()).any(|w| w == what);
    match head {
        [0xff, 0xd8, 0xff, ..] => Some(ImageFormat::Jpeg),
        [0x89, b'P', b'N', b'G', ..] => (!has(b"acTL")).then_some(ImageFormat::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageFormat::WebP),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(ImageFormat::Bmp),
        [a, b, c, d, ..] if [*a, *b, *c, *d] == openexr::MAGIC => Some(ImageFormat::OpenExr),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some(ImageFormat::Tiff),
        _ => None,
    }
}

/// Reads a picture as frame 0, turned upright by its EXIF orientation, at its own depth (8 or 16 bits) and with its
/// own alpha. Larger ones than [`DEFAULT_MAX_PIXELS`] are refused before they are decoded.
///
/// # Errors
/// [`Error::BadInput`] when it isn't a picture, [`Error::Io`] when it can't be read, [`Error::Refused`] when it is
/// too large.
pub fn read_picture(path: &Path) -> Result<Frame> {
    read_picture_within(path, DEFAULT_MAX_PIXELS)
}

/// The same with another limit.
///
/// # Errors
/// As [`read_picture`].
pub fn read_picture_within(path: &Path, max_pixels: usize) -> Result<Frame> {
    if head(path)?.starts_with(&openexr::MAGIC) {
        return Ok(Frame { idx: 0, picture: openexr::read_within(path, max_pixels)? });
    }
    let (mut decoder, _) = open(path, max_pixels)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| bad_picture(path, e))?;
    image.apply_orientation(orientation);
    Ok(Frame { idx: 0, picture: from_image(path, image)? })
}

/// Writes a picture under `output`, in the format that its ending names: JPEG at quality 95, others without loss.
/// Colour profile and EXIF of `source` are kept, its orientation being done already; `label` becomes the EXIF's
/// description (TIFF and BMP have no room for it). The name appears only when the file is whole.
///
/// # Errors
/// [`Error::BadSetting`] for an ending that is no picture's, or that can't hold transparency which the picture has;
/// [`Error::Io`] when it can't be written.
pub fn write_picture(output: &Path, picture: &Picture, source: &Path, label: Option<&str>) -> Result<()> {
    write_through(&|| Partial::create(output), output, picture, source, label)
}

/// As [`write_picture`]; until it is whole it lies in the folder `work`, as [`Partial::within`] has it.
///
/// # Errors
/// As [`write_picture`].
pub(super) fn write_picture_within(
    work: &Path,
    output: &Path,
    picture: &Picture,
    source: &Path,
    label: Option<&str>,
) -> Result<()> {
    write_through(&|| Partial::within(work, output), output, picture, source, label)
}

fn write_through(
    partial: &dyn Fn() -> Result<Partial>,
    output: &Path,
    picture: &Picture,
    source: &Path,
    label: Option<&str>,
) -> Result<()> {
    let wrong = |reason: &str| Error::setting("--output", output.display(), reason);
    let format = ImageFormat::from_path(output).map_err(|_| wrong("the ending must be a picture's"))?;
    if format == ImageFormat::OpenExr {
        return write_exr(partial, output, picture, label);
    }
    let mut samples = interleaved(picture)?;
    if samples.has_alpha && matches!(format, ImageFormat::Jpeg | ImageFormat::Bmp) {
        if !samples.is_opaque() {
            return Err(wrong("this format can't hold the picture's transparency; .png can"));
        }
        samples.drop_alpha();
    }
    if samples.depth == 16 && !matches!(format, ImageFormat::Png | ImageFormat::Tiff) {
        samples.reduce_depth();
    }
    let (profile, mut exif) = metadata(source);
    if let Some(label) = label {
        exif = Some(labelled(exif, label));
    }
    // A profile of another kind of colours, as a CMYK picture has, means nothing for those that are written.
    let kind = if samples.n_channels < 3 { b"GRAY" } else { b"RGB " };
    let profile = profile.filter(|profile| profile.get(16..20) == Some(kind));
    let (bytes, colour) = samples.bytes();
    let size = (samples.width as u32, samples.height as u32);
    written_whole(partial, output, |file| {
        let written = match format {
            ImageFormat::Jpeg => encode(
                JpegEncoder::new_with_quality(&mut *file, JPEG_QUALITY),
                &bytes,
                size,
                colour,
                profile,
                exif,
            ),
            ImageFormat::Png => encode(PngEncoder::new(&mut *file), &bytes, size, colour, profile, exif),
            ImageFormat::Tiff => encode(TiffEncoder::new(&mut *file), &bytes, size, colour, profile, None),
            ImageFormat::WebP => {
                encode(WebPEncoder::new_lossless(&mut *file), &bytes, size, colour, profile, exif)
            }
            ImageFormat::Bmp => encode(BmpEncoder::new(&mut *file), &bytes, size, colour, None, None),
            _ => return Err(wrong("pictures are written as .png, .jpg, .webp, .tiff, .bmp or .exr")),
        };
        written.map_err(|e| match e {
            ImageError::IoError(e) => Error::io(output)(e),
            e => Error::io(output)(std::io::Error::other(e.to_string())),
        })
    })
}

/// Whether a picture of this name has room for a label.
pub fn holds_label(output: &Path) -> bool {
    let format = ImageFormat::from_path(output);
    !matches!(format, Ok(ImageFormat::Tiff | ImageFormat::Bmp))
}

/// A picture of 8 bits becomes one of 16 first.
fn write_exr(
    partial: &dyn Fn() -> Result<Partial>,
    output: &Path,
    picture: &Picture,
    label: Option<&str>,
) -> Result<()> {
    let layout = picture.layout();
    let is_full = layout.channels[0].zero == 0.0;
    let is_rgb16 = layout.depth == 16 && layout.is_rgb && layout.n_channels == 3 && is_full;
    let wide = if is_rgb16 { None } else { Some(interleaved(picture)?.as_rgb16()) };
    written_whole(partial, output, |file| {
        let written = openexr::write(file, wide.as_ref().unwrap_or(picture), label);
        written.map_err(|reason| Error::io(output)(std::io::Error::other(reason)))
    })
}

/// A file that has its name only when `write` has written it to its end.
fn written_whole(
    partial: &dyn Fn() -> Result<Partial>,
    output: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let partial = partial()?;
    let mut file = BufWriter::new(File::create(partial.path()).map_err(Error::io(output))?);
    write(&mut file)?;
    file.flush().map_err(Error::io(output))?;
    drop(file);
    partial.commit().map(drop)
}

fn encode(
    mut encoder: impl ImageEncoder,
    bytes: &[u8],
    (width, height): (u32, u32),
    colour: ExtendedColorType,
    profile: Option<Vec<u8>>,
    exif: Option<Vec<u8>>,
) -> image::ImageResult<()> {
    // Formats that have no room for them do without.
    let _ = profile.map(|profile| encoder.set_icc_profile(profile));
    let _ = exif.map(|exif| encoder.set_exif_metadata(exif));
    encoder.write_image(bytes, width, height, colour)
}

/// A file's first bytes.
fn head(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(4096).read_to_end(&mut head).map_err(Error::io(path))?;
    Ok(head)
}

fn open(path: &Path, max_pixels: usize) -> Result<(impl ImageDecoder, ImageFormat)> {
    let head = head(path)?;
    if head.is_empty() {
        return Err(Error::input(path, "empty file"));
    }
    let format = format_of(&head).ok_or_else(|| Error::input(path, "not a picture"))?;
    // The extended header of WebP has a bit for animation.
    if head.get(12..16) == Some(b"VP8X") && head.get(20).is_some_and(|flags| flags & 2 != 0) {
        return Err(Error::input(path, "an animated WebP: convert it to a video first"));
    }
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let mut reader = ImageReader::with_format(file, format);
    let mut limits = Limits::no_limits();
    // A sample of 16 bits for each of four channels, twice: as decoded and as turned.
    limits.max_alloc = Some(max_pixels as u64 * 16 + (64 << 20));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| bad_picture(path, e))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > max_pixels as u64 {
        let reason = format!("{width} x {height} pixels, the limit is {max_pixels} (--max-pixels)");
        return Err(Error::Refused { path: path.into(), reason });
    }
    Ok((decoder, format))
}

/// Colour profile, and EXIF without its orientation.
fn metadata(source: &Path) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let Ok((mut decoder, _)) = open(source, usize::MAX >> 8) else { return (None, None) };
    let mut exif = decoder.exif_metadata().ok().flatten();
    let _ = exif.as_mut().map(|exif| Orientation::remove_from_exif_chunk(exif));
    (decoder.icc_profile().ok().flatten(), exif)
}

fn bad_picture(path: &Path, error: ImageError) -> Error {
    match error {
        ImageError::IoError(e) if e.raw_os_error().is_some() => Error::io(path)(e),
        ImageError::Limits(e) => Error::Refused { path: path.into(), reason: format!("{e} (--max-pixels)") },
        e => Error::input(path, format!("damaged or cut off: {e}")),
    }
}

fn from_image(path: &Path, image: DynamicImage) -> Result<Picture> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let fill = |format: Pixel| Picture::blank(format, width, height);
    Ok(match image {
        DynamicImage::ImageLuma8(i) => filled::<u8>(fill(Pixel::GRAY8), &i, &[0]),
        DynamicImage::ImageLuma16(i) => filled::<u16>(fill(Pixel::GRAY16LE), &i, &[0]),
        DynamicImage::ImageRgb8(i) => filled::<u8>(fill(Pixel::GBRP), &i, RGB),
        DynamicImage::ImageRgb16(i) => filled::<u16>(fill(Pixel::GBRP16LE), &i, RGB),
        DynamicImage::ImageLumaA8(_) => filled::<u8>(fill(Pixel::GBRAP), &image.into_rgba8(), RGBA),
        DynamicImage::ImageRgba8(i) => filled::<u8>(fill(Pixel::GBRAP), &i, RGBA),
        DynamicImage::ImageLumaA16(_) => filled::<u16>(fill(Pixel::GBRAP16LE), &image.into_rgba16(), RGBA),
        DynamicImage::ImageRgba16(i) => filled::<u16>(fill(Pixel::GBRAP16LE), &i, RGBA),
        _ => return Err(Error::input(path, "floating-point pixels: convert it to 16-bit PNG first")),
    })
}

/// Planes of GBR(A) frames in the order R, G, B, A.
const RGBA: &[usize] = &[2, 0, 1, 3];
const RGB: &[usize] = &[2, 0, 1];

/// Deals interleaved samples out to planes.
fn filled<T: Sample>(mut picture: Picture, samples: &[T], planes: &[usize]) -> Picture {
    let width = picture.size_px().0;
    for (i, plane) in planes.iter().enumerate() {
        for (y, source) in samples.chunks_exact(width * planes.len()).enumerate() {
            let source = source.iter().skip(i).step_by(planes.len());
            picture.row_mut::<T>(*plane, y, width).iter_mut().zip(source).for_each(|(to, from)| *to = *from);
        }
    }
    picture
}

/// Interleaved samples of a picture, in full range.
struct Samples {
    width: usize,
    height: usize,
    n_channels: usize,
    has_alpha: bool,
    depth: u32,
    values: Vec<u16>,
}

fn interleaved(picture: &Picture) -> Result<Samples> {
    let (width, height) = picture.size_px();
    let layout = picture.layout();
    let channels: Vec<Channel> =
        layout.channels[..layout.n_channels].iter().copied().chain(layout.alpha).collect();
    if !matches!(layout.depth, 8 | 16) || !(layout.is_rgb || layout.n_channels == 1) {
        let reason = format!("{} can't be written as a picture", picture.pixel_format());
        return Err(Error::setting("pixel format", picture.pixel_format(), reason));
    }
    let n_channels = channels.len();
    let mut values = vec![0; width * height * n_channels];
    for (i, c) in channels.iter().enumerate() {
        for (y, row) in values.chunks_exact_mut(width * n_channels).enumerate() {
            let to = row.iter_mut().skip(i).step_by(n_channels);
            if layout.wide {
                to.zip(picture.row::<u16>(c.plane, y, width * c.step)[c.offset..].iter().step_by(c.step))
                    .for_each(|(to, from)| *to = *from);
            } else {
                to.zip(picture.row::<u8>(c.plane, y, width * c.step)[c.offset..].iter().step_by(c.step))
                    .for_each(|(to, from)| *to = u16::from(*from));
            }
            if c.zero != 0.0 {
                row.iter_mut().skip(i).step_by(n_channels).for_each(|v| *v = c.stretched(*v, layout.depth));
            }
        }
    }
    Ok(Samples { width, height, n_channels, has_alpha: layout.alpha.is_some(), depth: layout.depth, values })
}

impl Channel {
    /// The code of the full range, which pictures have, for one of a limited range.
    fn stretched(&self, code: u16, depth: u32) -> u16 {
        let most = f64::from((1_u32 << depth) - 1);
        let value = (f64::from(code) - f64::from(self.zero)) / f64::from(self.gain);
        (most * value).round().clamp(0.0, most) as u16
    }
}

impl Samples {
    fn is_opaque(&self) -> bool {
        // The most of 10 bits, made into 16 by a shift, lacks the lowest six.
        let full = if self.depth == 8 { u16::from(u8::MAX) } else { u16::MAX << 6 };
        self.values.iter().skip(self.n_channels - 1).step_by(self.n_channels).all(|a| *a >= full)
    }

    /// The same as planar RGB, or RGBA, of 16 bits.
    fn as_rgb16(&self) -> Picture {
        let (n, step) = (self.n_channels, if self.depth == 8 { 257 } else { 1 });
        let format = if self.has_alpha { Pixel::GBRAP16LE } else { Pixel::GBRP16LE };
        let planes = if self.has_alpha { RGBA } else { RGB };
        // Gray stands for all three colours.
        let source = |i: usize| match i {
            3 => n - 1,
            _ if n < 3 => 0,
            _ => i,
        };
        let pixels = self.values.chunks_exact(n);
        let samples: Vec<u16> =
            pixels.flat_map(|pixel| (0..planes.len()).map(|i| pixel[source(i)] * step)).collect();
        filled(Picture::blank(format, self.width, self.height), &samples, planes)
    }

    fn drop_alpha(&mut self) {
        let n = self.n_channels;
        let kept = self.values.iter().enumerate().filter(|(i, _)| i % n != n - 1);
        self.values = kept.map(|(_, v)| *v).collect();
        (self.n_channels, self.has_alpha) = (n - 1, false);
    }

    fn reduce_depth(&mut self) {
        self.values.iter_mut().for_each(|v| *v = ((u32::from(*v) + 128) / 257) as u16);
        self.depth = 8;
    }

    /// As encoders want them: bytes, or 16 bits in the machine's order.
    fn bytes(&self) -> (Vec<u8>, ExtendedColorType) {
        use ExtendedColorType as E;
        let bytes = match self.depth {
            8 => self.values.iter().map(|v| *v as u8).collect(),
            _ => self.values.iter().flat_map(|v| v.to_ne_bytes()).collect(),
        };
        let colour = match (self.n_channels, self.depth) {
            (1, 8) => E::L8,
            (1, _) => E::L16,
            (2, 8) => E::La8,
            (2, _) => E::La16,
            (3, 8) => E::Rgb8,
            (3, _) => E::Rgb16,
            (_, 8) => E::Rgba8,
            _ => E::Rgba16,
        };
        (bytes, colour)
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::ffi::AVColorRange;

    use super::*;

    /// A row of codes of limited range, in all planes.
    fn limited<T: Sample>(format: Pixel, codes: &[T]) -> Picture {
        let mut frame = Picture::blank(format, codes.len(), 1).into_frame();
        // SAFETY: a plain field of a frame that is ours.
        unsafe { (*frame.as_mut_ptr()).color_range = AVColorRange::AVCOL_RANGE_MPEG };
        let mut picture = Picture::from_frame(frame, 0, 0).ok().expect("handled");
        for (plane, width, _) in picture.planes() {
            picture.row_mut::<T>(plane, 0, width).copy_from_slice(codes);
        }
        picture
    }

    /// What is wanted follows from ITU-T H.273, clause 8.3: at 8 bits 219 codes from 16 on are the 255 of the full
    /// range, at 16 bits 56064 codes from 4096 on are the 65535.
    #[test]
    fn limited_codes_are_written_in_full() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.png");
        let back = |picture: &Picture| {
            write_picture(&path, picture, Path::new(""), None).expect("written");
            read_picture(&path).expect("read").picture
        };
        let codes = [0_u8, 16, 60, 126, 235, 255];
        for format in [Pixel::GRAY8, Pixel::GBRP] {
            let made = back(&limited(format, &codes));
            assert_eq!(made.pixel_format(), limited(format, &codes).pixel_format());
            for (plane, width, _) in made.planes() {
                assert_eq!(made.row::<u8>(plane, 0, width), [0, 0, 51, 128, 255, 255], "{format:?}");
            }
        }
        let made = back(&limited(Pixel::GRAY16LE, &[0_u16, 4096, 30_000, 30_001, 60_160, 65_535]));
        assert_eq!(made.row::<u16>(0, 0, 6), [0, 0, 30_280, 30_281, 65_535, 65_535]);
    }
}
