//! One picture in the pixel format that it came in.

use std::{fmt, path::Path, slice, sync::Arc};

use ffmpeg_next::{
    ffi::{AVColorRange, AVColorSpace, av_frame_get_buffer, av_frame_make_writable, av_frame_ref},
    format::Pixel,
    frame::Video,
};

use super::{
    layout::{self, Layout},
    openexr::Original,
};

/// One decoded picture, in its own pixel format: never converted as a whole, so that what nobody paints over stays
/// bit-exact. Cloning shares the samples; they are copied when one of the clones is painted on.
pub struct Picture {
    frame: Video,
    layout: Layout,
    pts: i64,
    duration: i64,
    is_sure: bool,
    /// The file that it was read from, where that holds more than its samples.
    original: Option<Arc<Original>>,
    /// The name of the file whose only picture it is.
    file: Option<Arc<Path>>,
}

impl Picture {
    /// Stored width and height, before any rotation.
    pub fn size_px(&self) -> (usize, usize) {
        (self.frame.width() as usize, self.frame.height() as usize)
    }

    /// When it is presented, in the stream's time base.
    pub fn pts(&self) -> i64 {
        self.pts
    }

    /// For how long, in the stream's time base; 0 when the container doesn't say.
    pub fn duration(&self) -> i64 {
        self.duration
    }

    /// Whether nothing in its file was doubtful up to here: the picture is what was filmed, and so are all before it.
    pub fn is_sure(&self) -> bool {
        self.is_sure
    }

    pub(super) fn set_sure(&mut self, is_sure: bool) {
        self.is_sure = is_sure;
    }

    pub(super) fn keep_original(&mut self, original: Original) {
        self.original = Some(Arc::new(original));
    }

    /// The file that it was read from, where that holds more than its samples.
    pub(super) fn original(&self) -> Option<&Arc<Original>> {
        self.original.as_ref()
    }

    /// Of the file `path` it is the only picture.
    #[must_use]
    pub(super) fn of_file(mut self, path: &Path) -> Self {
        self.file = Some(path.into());
        self
    }

    /// What it was read from: the file that holds more than its samples, and the name of the file.
    pub(super) fn origin(&self) -> (Option<Arc<Original>>, Option<Arc<Path>>) {
        (self.original.clone(), self.file.clone())
    }

    /// The same picture as one that was read from there.
    #[must_use]
    pub(super) fn with_origin(
        mut self,
        (original, file): (Option<Arc<Original>>, Option<Arc<Path>>),
    ) -> Self {
        (self.original, self.file) = (original, file);
        self
    }

    /// Bits of a sample.
    pub fn bit_depth(&self) -> u8 {
        self.layout.depth as u8
    }

    /// The name that FFmpeg gives to its pixel format, e.g. `yuv420p10le`.
    pub fn pixel_format(&self) -> &'static str {
        self.frame.format().descriptor().map_or("none", |d| d.name())
    }

    /// A picture of 8-bit planar RGB. `pixels` holds R, G, B of each pixel in turn, row by row.
    ///
    /// # Panics
    /// If `pixels` isn't `3 * width * height` long or a side is 0.
    pub fn from_rgb8(width: usize, height: usize, pixels: &[u8]) -> Self {
        assert_eq!(pixels.len(), 3 * width * height, "three bytes a pixel");
        let mut picture = Self::blank(Pixel::GBRP, width, height);
        for (i, channel) in picture.layout.channels.into_iter().enumerate() {
            for (y, source) in pixels.chunks_exact(3 * width).enumerate() {
                let row = picture.row_mut::<u8>(channel.plane, y, width);
                row.iter_mut().zip(source.chunks_exact(3)).for_each(|(to, from)| *to = from[i]);
            }
        }
        picture
    }

    /// The same picture at another time.
    #[must_use]
    pub fn at(mut self, pts: i64, duration: i64) -> Self {
        (self.pts, self.duration) = (pts, duration);
        self
    }

    /// An unpainted picture. Samples are whatever was in memory for formats of one plane, so paint all of it.
    ///
    /// # Panics
    /// If a side is 0, memory is short, or the format isn't handled in place.
    pub(super) fn blank(format: Pixel, width: usize, height: usize) -> Self {
        super::init();
        let mut frame = Video::empty();
        frame.set_format(format);
        frame.set_width(width as u32);
        frame.set_height(height as u32);
        // SAFETY: the frame was just made and holds no buffers; plain fields are set before it is shared.
        let code = unsafe {
            let raw = &mut *frame.as_mut_ptr();
            if layout::is_rgb(format.into()) {
                raw.colorspace = AVColorSpace::AVCOL_SPC_RGB;
            }
            // Said aloud, since not everybody takes gray for full where nothing is said.
            if layout::is_full(format.into(), raw.color_range) {
                raw.color_range = AVColorRange::AVCOL_RANGE_JPEG;
            }
            av_frame_get_buffer(raw, 0)
        };
        assert!(code >= 0, "no memory for a picture of {width} x {height}");
        Self::from_frame(frame, 0, 0).ok().expect("callers name a format that is handled in place")
    }

    /// Takes a decoded frame; gives it back when its samples can't be handled in place.
    pub(super) fn from_frame(frame: Video, pts: i64, duration: i64) -> Result<Self, Video> {
        let Some(layout) = Layout::of(&frame) else { return Err(frame) };
        let picture = Self { frame, layout, pts, duration, is_sure: true, original: None, file: None };
        if picture.is_sound() { Ok(picture) } else { Err(picture.frame) }
    }

    /// The frame, for the encoder.
    pub(super) fn into_frame(self) -> Video {
        self.frame
    }

    /// Whether the upper of two woven fields was filmed first; `None` for a whole frame.
    pub(super) fn top_field_first(&self) -> Option<bool> {
        self.frame.is_interlaced().then(|| self.frame.is_top_first())
    }

    /// The frame is whole now.
    pub(super) fn set_progressive(&mut self) {
        // SAFETY: the frame is alive and held exclusively; a plain number is set.
        unsafe { (*self.frame.as_mut_ptr()).interlaced_frame = 0 };
    }

    /// The frame is woven from two fields.
    #[cfg(test)]
    pub(super) fn set_woven(&mut self, top_first: bool) {
        // SAFETY: the frame is alive and held exclusively; plain numbers are set.
        unsafe {
            let raw = &mut *self.frame.as_mut_ptr();
            (raw.interlaced_frame, raw.top_field_first) = (1, top_first.into());
        }
    }

    /// Each plane once: its number, samples in a row, rows.
    pub(super) fn planes(&self) -> Vec<(usize, usize, usize)> {
        let (width, height) = self.size_px();
        let channels = self.layout.channels[..self.layout.n_channels].iter().chain(&self.layout.alpha);
        let mut planes: Vec<_> = channels
            .map(|c| (c.plane, width.div_ceil(1 << c.shift_x) * c.step, height.div_ceil(1 << c.shift_y)))
            .collect();
        planes.sort_unstable();
        planes.dedup();
        planes
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Rows of all channels lie within their planes and are aligned: what `row` relies on.
    fn is_sound(&self) -> bool {
        let (width, height) = self.size_px();
        let bytes = if self.layout.wide { 2 } else { 1 };
        // SAFETY: the frame is alive, its fields are plain numbers and pointers.
        let raw = unsafe { &*self.frame.as_ptr() };
        width > 0
            && height > 0
            && self.layout.channels.iter().chain(&self.layout.alpha).all(|c| {
                let samples = (width.div_ceil(1 << c.shift_x) * c.step).max(c.offset + 1);
                let stride = raw.linesize[c.plane];
                !raw.data[c.plane].is_null()
                    && (raw.data[c.plane] as usize).is_multiple_of(bytes)
                    && stride % bytes as i32 == 0
                    && stride.unsigned_abs() as usize >= samples * bytes
            })
    }

    /// `n` samples of a row of a plane, from its left edge.
    ///
    /// # Panics
    /// If the row, the type or the length doesn't belong to the plane.
    pub(super) fn row<T: Sample>(&self, plane: usize, y: usize, n: usize) -> &[T] {
        self.check_row::<T>(plane, y, n);
        // SAFETY: `check_row` found the row within the plane, whose rows are `linesize` bytes apart (negative when
        // stored upside down) and aligned for `T` (`is_sound`); any bits are a valid sample. The borrow of
        // `self` keeps writers out: samples are only written through `row_mut` of a frame made writable.
        unsafe {
            let raw = &*self.frame.as_ptr();
            let start = raw.data[plane].offset(y as isize * raw.linesize[plane] as isize);
            slice::from_raw_parts(start.cast::<T>(), n)
        }
    }

    /// The same for writing. Call [`Picture::make_writable`] first, or the samples of clones change with it.
    pub(super) fn row_mut<T: Sample>(&mut self, plane: usize, y: usize, n: usize) -> &mut [T] {
        self.check_row::<T>(plane, y, n);
        // SAFETY: as for `row`; the borrow of `self` is exclusive, and `make_writable` made the buffers ours.
        unsafe {
            let raw = &mut *self.frame.as_mut_ptr();
            let start = raw.data[plane].offset(y as isize * raw.linesize[plane] as isize);
            slice::from_raw_parts_mut(start.cast::<T>(), n)
        }
    }

    fn check_row<T: Sample>(&self, plane: usize, y: usize, n: usize) {
        let mut channels = self.layout.channels.iter().chain(&self.layout.alpha);
        let channel = channels.find(|c| c.plane == plane).expect("a plane of the layout");
        let (width, height) = self.size_px();
        assert_eq!(size_of::<T>(), if self.layout.wide { 2 } else { 1 }, "sample type");
        assert!(y < height.div_ceil(1 << channel.shift_y), "row {y} of plane {plane}");
        assert!(n <= width.div_ceil(1 << channel.shift_x) * channel.step, "{n} samples in a row");
    }

    /// Makes the samples this picture's own, by copying them when they are shared.
    ///
    /// # Panics
    /// If there is no memory for the copy.
    pub(super) fn make_writable(&mut self) {
        // SAFETY: the frame is alive and held exclusively.
        let code = unsafe { av_frame_make_writable(self.frame.as_mut_ptr()) };
        assert!(code >= 0, "no memory to copy a picture of {:?}", self.size_px());
    }
}

impl Clone for Picture {
    fn clone(&self) -> Self {
        let mut frame = Video::empty();
        // SAFETY: a new frame takes references to the buffers of a live one.
        let code = unsafe { av_frame_ref(frame.as_mut_ptr(), self.frame.as_ptr()) };
        assert!(code >= 0, "no memory for a reference to a picture");
        let Self { layout, pts, duration, is_sure, .. } = *self;
        Self {
            frame,
            layout,
            pts,
            duration,
            is_sure,
            original: self.original.clone(),
            file: self.file.clone(),
        }
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size_px();
        write!(f, "Picture({width}x{height} {}, pts {})", self.pixel_format(), self.pts)
    }
}

/// A number in a plane: a byte, or 16 bits in the machine's (little-endian) order.
pub(super) trait Sample: Copy + Into<u32> {
    /// As a number for arithmetic.
    fn code(self) -> f32;
    /// From a number that was rounded and clipped to the type's range.
    fn from_code(code: f32) -> Self;
}

impl Sample for u8 {
    fn code(self) -> f32 {
        f32::from(self)
    }

    fn from_code(code: f32) -> Self {
        // By way of 32 bits, for which processors have an instruction on many numbers at once.
        code as i32 as Self
    }
}

impl Sample for u16 {
    fn code(self) -> f32 {
        f32::from(self)
    }

    fn from_code(code: f32) -> Self {
        // By way of 32 bits, for which processors have an instruction on many numbers at once.
        code as i32 as Self
    }
}
