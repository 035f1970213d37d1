//! Pixel formats that aren't handled in place, made into ones that are, and back for encoders.

use ffmpeg_next::{
    ffi::{
        AVColorRange, AVColorSpace, AVPixelFormat, SWS_ACCURATE_RND, SWS_BICUBIC, SWS_FULL_CHR_H_INP,
        SWS_FULL_CHR_H_INT, SWS_LANCZOS, SwsContext, av_frame_copy_props, av_frame_get_buffer,
        sws_freeContext, sws_getCachedContext, sws_getCoefficients, sws_scale_frame,
        sws_setColorspaceDetails,
    },
    format::Pixel,
    frame::Video,
};
use std::{ptr, slice};

use super::{layout, palette, picture::Picture};

/// What a frame shall become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub format: Pixel,
    pub width: u32,
    pub height: u32,
}

impl Shape {
    pub(super) fn of(frame: &Video) -> Self {
        Self { format: frame.format(), width: frame.width(), height: frame.height() }
    }
}

/// Converts frames, and keeps what it needs for it from one to the next.
pub(super) struct Converter {
    context: *mut SwsContext,
    /// For the first of two steps.
    first: Option<Box<Converter>>,
}

// SAFETY: the context is owned, and used by one thread at a time.
unsafe impl Send for Converter {}

impl Default for Converter {
    fn default() -> Self {
        Self::new()
    }
}

impl Converter {
    pub(super) fn new() -> Self {
        Self { context: ptr::null_mut(), first: None }
    }

    /// The frame in another shape, all its properties kept. RGB that is made of YUV has the colours that [`layout`]
    /// reads; YUV that is made of RGB is limited and by BT.709, and says so.
    ///
    /// # Errors
    /// What failed, in words.
    pub(super) fn convert(&mut self, frame: &Video, to: Shape) -> Result<Video, String> {
        if to.format == Pixel::PAL8 {
            return self.indexed(frame, to);
        }
        let from = Shape::of(frame);
        if let Some(format) = between(frame, to.format) {
            let step = self.first.get_or_insert_default().convert(frame, Shape { format, ..from })?;
            return self.convert(&step, to);
        }
        if let Some(order) = byte_order(from.format).filter(|_| to.format == Pixel::GBRAP) {
            let made = unpacked(frame, order)?;
            return if Shape::of(&made) == to { Ok(made) } else { self.convert(&made, to) };
        }
        let (from_rgb, to_rgb) = (is_rgb(from.format), is_rgb(to.format));
        let mut out = like(frame, to)?;
        // SAFETY: both frames are alive, and the new one has its buffers; the context is made for their shapes right
        // here.
        unsafe {
            let source = &*frame.as_ptr();
            let resized = (from.width, from.height) != (to.width, to.height);
            let kernel = if resized { SWS_LANCZOS } else { SWS_BICUBIC };
            let flags = kernel | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_FULL_CHR_H_INT;
            let (format, new_format) = (AVPixelFormat::from(from.format), AVPixelFormat::from(to.format));
            self.context = sws_getCachedContext(
                self.context,
                from.width as i32,
                from.height as i32,
                format,
                to.width as i32,
                to.height as i32,
                new_format,
                flags,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            if self.context.is_null() {
                return Err(format!("can't convert {:?} to {:?}", from.format, to.format));
            }
            let made = &mut *out.as_mut_ptr();
            if from_rgb != to_rgb {
                let (space, range) = if to_rgb {
                    (AVColorSpace::AVCOL_SPC_RGB, AVColorRange::AVCOL_RANGE_JPEG)
                } else {
                    (AVColorSpace::AVCOL_SPC_BT709, AVColorRange::AVCOL_RANGE_MPEG)
                };
                (made.colorspace, made.color_range) = (space, range);
            }
            let from_full = is_full(from.format, source.color_range);
            // A range that is told holds on both sides. Where none is, gray is read as full and YUV isn't.
            let is_told = from_rgb == to_rgb && source.color_range != AVColorRange::AVCOL_RANGE_UNSPECIFIED;
            let to_full = if is_told { from_full } else { is_full(to.format, made.color_range) };
            let table = |space| sws_getCoefficients(layout::known_space(space, from.height) as i32);
            // Within one family the matrix is the same on both sides, so that only the packing changes. The call
            // says no for pairs that have no matrix, which is no harm.
            let _ = sws_setColorspaceDetails(
                self.context,
                table(source.colorspace),
                from_full.into(),
                table(made.colorspace),
                to_full.into(),
                0,
                1 << 16,
                1 << 16,
            );
            let code = sws_scale_frame(self.context, made, source);
            if code < 0 {
                let error = ffmpeg_next::Error::from(code);
                return Err(format!("can't convert {:?} to {:?}: {error}", from.format, to.format));
            }
            Ok(out)
        }
    }
}

impl Converter {
    /// The frame with a palette of its own.
    fn indexed(&mut self, frame: &Video, to: Shape) -> Result<Video, String> {
        let colours = self.convert(frame, Shape { format: Pixel::BGRA, ..to })?;
        let (width, height) = (to.width as usize, to.height as usize);
        let (stride, data) = (colours.stride(0), colours.data(0));
        let rows = (0..height).flat_map(|y| data[y * stride..][..4 * width].chunks_exact(4));
        let made = palette::index(&rows.map(|p| [p[0], p[1], p[2], p[3]]).collect::<Vec<_>>());
        let mut out = like(frame, to)?;
        // SAFETY: the new frame is ours, and has its buffers: a byte for each pixel, and a palette of 256 colours of 4
        // bytes in the second plane.
        unsafe {
            let raw = &mut *out.as_mut_ptr();
            (raw.colorspace, raw.color_range) = (AVColorSpace::AVCOL_SPC_RGB, AVColorRange::AVCOL_RANGE_JPEG);
            for (y, row) in made.pixels.chunks_exact(width).enumerate() {
                let start = raw.data[0].offset(y as isize * raw.linesize[0] as isize);
                ptr::copy_nonoverlapping(row.as_ptr(), start, width);
            }
            // What is left of the palette repeats a colour: a transparent one would make the encoder use it.
            let rest = made.colours.last().copied().unwrap_or([0, 0, 0, 255]);
            for (i, colour) in made.colours.iter().chain(std::iter::repeat(&rest)).take(256).enumerate() {
                // Stored as a number, opacity in its highest byte.
                let number = u32::from_le_bytes(*colour).to_ne_bytes();
                ptr::copy_nonoverlapping(number.as_ptr(), raw.data[1].add(i * number.len()), number.len());
            }
        }
        Ok(out)
    }
}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: the context is ours, or null, which is allowed.
        unsafe { sws_freeContext(self.context) };
    }
}

fn is_rgb(format: Pixel) -> bool {
    layout::is_rgb(format.into())
}

/// Whether codes are those of the full range for swscale, which knows no other RGB.
fn is_full(format: Pixel, range: AVColorRange) -> bool {
    is_rgb(format) || layout::is_full(format.into(), range)
}

/// The format by way of which swscale is exact where it isn't by itself. Straight to planes, a palette's colours are
/// off by a code, and white of 15 or 16 bits becomes 248; straight to packed colours, limited gray stays as it is.
fn between(frame: &Video, to: Pixel) -> Option<Pixel> {
    use Pixel as P;
    let is_planar = layout::is_handled(to.into());
    match frame.format() {
        P::PAL8 if is_planar => Some(P::BGRA),
        P::RGB555LE
        | P::RGB555BE
        | P::BGR555LE
        | P::BGR555BE
        | P::RGB565LE
        | P::RGB565BE
        | P::BGR565LE
        | P::BGR565BE
            if is_planar =>
        {
            Some(P::RGB24)
        }
        P::GRAY8 if !is_planar && is_rgb(to) => {
            // SAFETY: the frame is alive, a plain number is read.
            let range = unsafe { (*frame.as_ptr()).color_range };
            (!is_full(P::GRAY8, range)).then_some(P::GBRP)
        }
        _ => None,
    }
}

/// Where red, green, blue and opacity are among the bytes of a pixel.
fn byte_order(format: Pixel) -> Option<[usize; 4]> {
    match format {
        Pixel::RGBA => Some([0, 1, 2, 3]),
        Pixel::BGRA => Some([2, 1, 0, 3]),
        Pixel::ARGB => Some([1, 2, 3, 0]),
        Pixel::ABGR => Some([3, 2, 1, 0]),
        _ => None,
    }
}

/// Packed bytes in planes. Done here since swscale adds 1 to every opacity from 128 to 254.
fn unpacked(frame: &Video, [red, green, blue, opacity]: [usize; 4]) -> Result<Video, String> {
    let made = like(frame, Shape { format: Pixel::GBRAP, ..Shape::of(frame) })?;
    let mut made = Picture::from_frame(made, 0, 0).map_err(|_| "a picture of no size".to_owned())?;
    let (width, height) = made.size_px();
    for y in 0..height {
        // SAFETY: the frame is alive; its rows hold 4 bytes for each pixel and are `linesize` bytes apart (negative when
        // stored upside down).
        let row = unsafe {
            let raw = &*frame.as_ptr();
            let start = raw.data[0].offset(y as isize * raw.linesize[0] as isize);
            slice::from_raw_parts(start, 4 * width)
        };
        for (plane, byte) in [green, blue, red, opacity].into_iter().enumerate() {
            let to = made.row_mut::<u8>(plane, y, width).iter_mut();
            to.zip(row.chunks_exact(4)).for_each(|(to, pixel)| *to = pixel[byte]);
        }
    }
    Ok(made.into_frame())
}

/// A frame of this shape with the properties of another; its samples are whatever was in memory.
fn like(frame: &Video, shape: Shape) -> Result<Video, String> {
    let mut out = Video::empty();
    out.set_format(shape.format);
    out.set_width(shape.width);
    out.set_height(shape.height);
    // SAFETY: both frames are alive; the new one is ours and holds no buffers yet, and properties hold no samples.
    let code = unsafe {
        av_frame_copy_props(out.as_mut_ptr(), frame.as_ptr());
        av_frame_get_buffer(out.as_mut_ptr(), 0)
    };
    if code < 0 {
        return Err(format!("no memory for a picture of {} x {}", shape.width, shape.height));
    }
    Ok(out)
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
