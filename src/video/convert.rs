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
use std::ptr;

use super::palette;

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
        Self { context: ptr::null_mut() }
    }

    /// The frame in another shape, all its properties kept. Between RGB and YUV, `space` and limited range are
    /// what the YUV side has.
    ///
    /// # Errors
    /// What failed, in words.
    pub(super) fn convert(&mut self, frame: &Video, to: Shape) -> Result<Video, String> {
        if to.format == Pixel::PAL8 {
            return self.indexed(frame, to);
        }
        let from = Shape::of(frame);
        let (from_rgb, to_rgb) = (is_rgb(from.format), is_rgb(to.format));
        // SAFETY: both frames are alive; the context is made for their shapes right here; the buffers of the new
        // frame are allocated before they are written.
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
            let mut out = Video::empty();
            av_frame_copy_props(out.as_mut_ptr(), frame.as_ptr());
            out.set_format(to.format);
            out.set_width(to.width);
            out.set_height(to.height);
            let made = &mut *out.as_mut_ptr();
            if from_rgb != to_rgb {
                let (space, range) = if to_rgb {
                    (AVColorSpace::AVCOL_SPC_RGB, AVColorRange::AVCOL_RANGE_JPEG)
                } else {
                    (AVColorSpace::AVCOL_SPC_BT709, AVColorRange::AVCOL_RANGE_MPEG)
                };
                (made.colorspace, made.color_range) = (space, range);
            }
            let full = |range, rgb| i32::from(rgb || range == AVColorRange::AVCOL_RANGE_JPEG);
            let table = |space: AVColorSpace| sws_getCoefficients(space as i32);
            // Within one family the matrix is the same on both sides, so that only the packing changes. The call
            // says no for pairs that have no matrix, which is no harm.
            let _ = sws_setColorspaceDetails(
                self.context,
                table(source.colorspace),
                full(source.color_range, from_rgb),
                table(made.colorspace),
                full(made.color_range, to_rgb),
                0,
                1 << 16,
                1 << 16,
            );
            if av_frame_get_buffer(made, 0) < 0 {
                return Err(format!("no memory for a picture of {} x {}", to.width, to.height));
            }
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
        let mut out = Video::empty();
        // SAFETY: both frames are alive; the new one gets its buffers here: a byte for each pixel, and a palette of 256
        // colours of 4 bytes in the second plane.
        unsafe {
            let raw = &mut *out.as_mut_ptr();
            av_frame_copy_props(raw, frame.as_ptr());
            raw.format = AVPixelFormat::AV_PIX_FMT_PAL8 as i32;
            (raw.width, raw.height) = (to.width as i32, to.height as i32);
            (raw.colorspace, raw.color_range) = (AVColorSpace::AVCOL_SPC_RGB, AVColorRange::AVCOL_RANGE_JPEG);
            if av_frame_get_buffer(raw, 0) < 0 {
                return Err(format!("no memory for a picture of {width} x {height}"));
            }
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
    super::layout::is_rgb(format.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::picture::Picture;

    /// A frame of one packed plane with counted bytes, and the planes that `to` makes of it.
    fn planes(format: Pixel, bytes_per_row: usize, to: Pixel) -> (Vec<u8>, Picture) {
        let mut frame = Video::new(format, 8, 2);
        let mut all = Vec::new();
        for y in 0..2 {
            let row: Vec<u8> = (0..bytes_per_row).map(|i| (40 + 61 * y + 5 * i) as u8).collect();
            let stride = frame.stride(0);
            frame.data_mut(0)[y * stride..][..bytes_per_row].copy_from_slice(&row);
            all.extend(row);
        }
        let made =
            Converter::new().convert(&frame, Shape { format: to, width: 8, height: 2 }).expect("converts");
        (all, Picture::from_frame(made, 0, 0).ok().expect("handled"))
    }

    #[test]
    fn unpacking_moves_bytes_and_changes_none() {
        let (packed, made) = planes(Pixel::YUYV422, 16, Pixel::YUV422P);
        for y in 0..2 {
            let row = &packed[16 * y..][..16];
            let every = |first, step| row.iter().copied().skip(first).step_by(step).collect::<Vec<u8>>();
            assert_eq!(made.row::<u8>(0, y, 8), every(0, 2));
            assert_eq!(made.row::<u8>(1, y, 4), every(1, 4));
            assert_eq!(made.row::<u8>(2, y, 4), every(3, 4));
        }
        for (format, step, order) in
            [(Pixel::RGB24, 3, [0, 1, 2]), (Pixel::BGR24, 3, [2, 1, 0]), (Pixel::BGRZ, 4, [2, 1, 0])]
        {
            let (packed, made) = planes(format, 8 * step, Pixel::GBRP);
            for (plane, channel) in [(2, 0), (0, 1), (1, 2)] {
                for y in 0..2 {
                    let row = packed[8 * step * y..][..8 * step].iter().copied();
                    let wanted: Vec<u8> = row.skip(order[channel]).step_by(step).collect();
                    assert_eq!(made.row::<u8>(plane, y, 8), wanted, "{format:?}, channel {channel}");
                }
            }
        }
    }

    #[test]
    fn shifted_samples_keep_their_numbers() {
        let mut frame = Video::new(Pixel::P010LE, 4, 2);
        for plane in 0..2 {
            frame.data_mut(plane).chunks_exact_mut(2).enumerate().for_each(|(i, sample)| {
                sample.copy_from_slice(&(((i as u16 * 37 + 11) % 1024) << 6).to_le_bytes());
            });
        }
        let shape = Shape { format: Pixel::YUV420P10LE, width: 4, height: 2 };
        let made = Converter::new().convert(&frame, shape).expect("converts");
        let made = Picture::from_frame(made, 0, 0).ok().expect("handled");
        assert_eq!(made.row::<u16>(0, 0, 4), [11, 48, 85, 122]);
        assert_eq!((made.row::<u16>(1, 0, 2), made.row::<u16>(2, 0, 2)), (&[11, 85][..], &[48, 122][..]));
    }
}
