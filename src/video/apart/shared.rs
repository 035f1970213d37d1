//! Samples in memory that two processes share.
//!
//! The memory is a row of equal slots, each with room for one frame and a flag that says whether the frame is in use. The
//! process that decodes fills a free slot, or a new one behind the last; its owner wraps the slot as a frame of FFmpeg's,
//! and clears the flag when the last reference to it is gone. The owner keeps the memory from shrinking, so that what it
//! holds stays there whatever the other one does; the worst that one can do is to change the picture.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd},
    ptr::{self, NonNull},
    slice,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use ffmpeg_next::{
    ffi::{
        AVChromaLocation, AVColorPrimaries, AVColorRange, AVColorSpace, AVColorTransferCharacteristic,
        AVFrameSideDataType, AVPixelFormat, av_buffer_create, av_frame_new_side_data, av_image_copy,
        av_image_fill_linesizes, av_image_fill_plane_sizes,
    },
    format::Pixel,
    frame::Video,
};

use super::wire::Shown;
use crate::video::{layout, picture::Picture};

/// Rows and planes begin at multiples of this, as the widest vector instructions like it.
const ALIGN: usize = 64;

/// Rows that a plane has more than it needs, and bytes that a slot has: filters read a little beyond the edge.
const MORE_ROWS: usize = 32;

/// Slots begin at multiples of this: pages, on all machines.
const PAGE: usize = 64 << 10;

/// Side data that is plain bytes and that encoders know what to do with.
const BESIDE: [AVFrameSideDataType; 9] = {
    use AVFrameSideDataType as S;
    [
        S::AV_FRAME_DATA_A53_CC,
        S::AV_FRAME_DATA_AFD,
        S::AV_FRAME_DATA_STEREO3D,
        S::AV_FRAME_DATA_MASTERING_DISPLAY_METADATA,
        S::AV_FRAME_DATA_CONTENT_LIGHT_LEVEL,
        S::AV_FRAME_DATA_ICC_PROFILE,
        S::AV_FRAME_DATA_S12M_TIMECODE,
        S::AV_FRAME_DATA_DYNAMIC_HDR_PLUS,
        S::AV_FRAME_DATA_SEI_UNREGISTERED,
    ]
};

/// Where the planes of a frame lie in its slot.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Plan {
    format: AVPixelFormat,
    size: (u32, u32),
    strides: [i32; 4],
    /// From the slot's begin; 0 for planes that the format hasn't got.
    offsets: [usize; 4],
    slot_bytes: usize,
}

impl Plan {
    /// `None` for what no picture has.
    fn of(format: AVPixelFormat, (width, height): (u32, u32)) -> Option<Self> {
        let (w, h) = (i32::try_from(width).ok()?, i32::try_from(height).ok()?);
        let mut strides = [0_i32; 4];
        let mut sizes = [0_usize; 4];
        // SAFETY: both functions fill arrays of four, and refuse formats and sizes that make no sense.
        unsafe {
            if w == 0 || h == 0 || av_image_fill_linesizes(strides.as_mut_ptr(), format, w) < 0 {
                return None;
            }
            for stride in &mut strides {
                let bytes = u32::try_from(*stride).ok()?.checked_next_multiple_of(ALIGN as u32)?;
                *stride = i32::try_from(bytes).ok()?;
            }
            let wide = strides.map(|stride| stride as isize);
            let rows = h.checked_add(MORE_ROWS as i32)?;
            if av_image_fill_plane_sizes(sizes.as_mut_ptr(), format, rows, wide.as_ptr()) < 0 {
                return None;
            }
        }
        let (mut offsets, mut end) = ([0; 4], ALIGN);
        for (offset, size) in offsets.iter_mut().zip(sizes).filter(|(_, size)| *size > 0) {
            *offset = end;
            end = end.checked_add(size)?.checked_next_multiple_of(ALIGN)?;
        }
        let slot_bytes = end.checked_add(ALIGN)?.checked_next_multiple_of(PAGE)?;
        Some(Self { format, size: (width, height), strides, offsets, slot_bytes })
    }
}

/// One mapped slot: a flag (not 0: in use), then samples.
struct Slot {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a slot is memory that stays where it is; who may write the samples is settled by its flag, which is atomic.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

impl Slot {
    /// Maps slot number `index` of `memory`, which must be long enough and must never become shorter.
    fn map(memory: &File, index: u32, length: usize) -> io::Result<Self> {
        let offset =
            (index as usize).checked_mul(length).and_then(|offset| libc::off_t::try_from(offset).ok());
        let offset = offset.ok_or_else(|| io::Error::other("too many frames"))?;
        // SAFETY: a new mapping, at an address that the system chooses.
        let start = unsafe {
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), length, rights, libc::MAP_SHARED, memory.as_raw_fd(), offset)
        };
        match NonNull::new(start.cast()).filter(|_| start != libc::MAP_FAILED) {
            Some(start) => Ok(Self { start, length }),
            None => Err(io::Error::last_os_error()),
        }
    }

    fn flag(&self) -> &AtomicU32 {
        // SAFETY: a slot begins with its flag, at the begin of a page, and lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().cast()) }
    }

    /// The begin of a plane.
    fn plane(&self, plan: &Plan, plane: usize) -> *mut u8 {
        match plan.offsets[plane] {
            0 => ptr::null_mut(),
            // SAFETY: the plan's planes lie within the slot, whose length is the plan's.
            offset => unsafe { self.start.as_ptr().add(offset) },
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nobody holds a reference into it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// The slots, as the process that decodes sees them.
pub(super) struct Studio {
    memory: File,
    plan: Option<Plan>,
    slots: Vec<Slot>,
}

impl Studio {
    pub(super) fn new(memory: File) -> Self {
        Self { memory, plan: None, slots: Vec::new() }
    }

    /// Copies a picture into a free slot.
    pub(super) fn show(&mut self, picture: Picture) -> io::Result<Shown> {
        let (pts, duration, is_sure) = (picture.pts(), picture.duration(), picture.is_sure());
        let format = picture.pixel_format().to_owned();
        let frame = picture.into_frame();
        let size = (frame.width(), frame.height());
        let plan = self.plan.or_else(|| Plan::of(frame.format().into(), size));
        let plan = *self.plan.insert(plan.ok_or_else(|| io::Error::other("a picture of no size"))?);
        if plan.size != size || plan.format != frame.format().into() {
            return Err(io::Error::other("a picture of another shape"));
        }
        let slot = self.free_slot(plan.slot_bytes)?;
        let place = &self.slots[slot as usize];
        let mut planes = [0, 1, 2, 3].map(|plane| place.plane(&plan, plane));
        let mut strides = plan.strides;
        // SAFETY: the frame is alive and of this format and size, and so is the slot's room for it.
        let raw = unsafe { &*frame.as_ptr() };
        let mut from = [0, 1, 2, 3].map(|plane| raw.data[plane].cast_const());
        // SAFETY: as above; both arrays have four entries.
        unsafe {
            av_image_copy(
                planes.as_mut_ptr(),
                strides.as_mut_ptr(),
                from.as_mut_ptr(),
                raw.linesize.as_ptr(),
                plan.format,
                size.0 as i32,
                size.1 as i32,
            );
        }
        Ok(Shown {
            slot,
            format,
            width: size.0,
            height: size.1,
            pts,
            duration,
            is_sure,
            aspect: (raw.sample_aspect_ratio.num, raw.sample_aspect_ratio.den),
            colour: [
                raw.color_range as u32,
                raw.colorspace as u32,
                raw.color_primaries as u32,
                raw.color_trc as u32,
                raw.chroma_location as u32,
            ],
            is_woven: frame.is_interlaced(),
            top_first: frame.is_top_first(),
            beside: beside(&frame),
        })
    }

    /// A slot that nobody uses, marked as in use.
    fn free_slot(&mut self, length: usize) -> io::Result<u32> {
        let free = self.slots.iter().position(|slot| slot.flag().load(Ordering::Acquire) == 0);
        let index = free.unwrap_or(self.slots.len());
        if free.is_none() {
            self.memory.set_len(((index + 1) * length) as u64)?;
            self.slots.push(Slot::map(&self.memory, index as u32, length)?);
        }
        self.slots[index].flag().store(1, Ordering::Relaxed);
        Ok(index as u32)
    }
}

/// The side data of a frame that goes with it.
fn beside(frame: &Video) -> Vec<(u32, Vec<u8>)> {
    // SAFETY: the frame is alive; it has so many entries, each with so many bytes.
    unsafe {
        let raw = &*frame.as_ptr();
        let all = (0..raw.nb_side_data.max(0) as usize).map(|i| &**raw.side_data.add(i));
        all.filter(|data| BESIDE.contains(&data.type_) && !data.data.is_null())
            .map(|data| (data.type_ as u32, slice::from_raw_parts(data.data, data.size).to_vec()))
            .collect()
    }
}

/// The slots, as their owner sees them.
pub(super) struct Gallery {
    memory: File,
    plan: Option<Plan>,
    slots: Vec<Arc<Slot>>,
}

impl Gallery {
    /// Makes the memory. Gives it a second time for the other process.
    pub(super) fn new() -> io::Result<(Self, File)> {
        // SAFETY: the name is a constant string; a descriptor that was just made is owned by nobody else.
        let memory = unsafe {
            let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
            let descriptor = libc::memfd_create(c"faceswap frames".as_ptr(), flags);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(descriptor)
        };
        // SAFETY: sets a property of an open file.
        let sealed = unsafe {
            libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL)
        };
        if sealed < 0 {
            return Err(io::Error::last_os_error());
        }
        let theirs = memory.try_clone()?;
        Ok((Self { memory, plan: None, slots: Vec::new() }, theirs))
    }

    /// What the other process shows, as a frame whose samples are where they are.
    ///
    /// # Errors
    /// Why it can't be believed, or mapped.
    pub(super) fn frame(&mut self, shown: &Shown) -> Result<Video, String> {
        let lie = || {
            format!(
                "the process that decodes tells of an impossible frame ({} {} x {})",
                shown.format, shown.width, shown.height
            )
        };
        let format = layout::by_name(&shown.format).ok_or_else(lie)?;
        let plan = Plan::of(format, (shown.width, shown.height)).ok_or_else(lie)?;
        // All frames of a decoder have one shape.
        if *self.plan.get_or_insert(plan) != plan {
            return Err(lie());
        }
        let slot = Arc::clone(self.slot(shown.slot, plan.slot_bytes).map_err(|e| e.to_string())?);
        let mut frame = Video::empty();
        frame.set_format(Pixel::from(format));
        frame.set_width(shown.width);
        frame.set_height(shown.height);
        frame.set_pts(Some(shown.pts));
        let (start, length) = (slot.start.as_ptr(), slot.length);
        let planes = [0, 1, 2, 3].map(|plane| slot.plane(&plan, plane));
        // SAFETY: the frame was just made and holds no buffers. Its buffer is the slot, which lives until the buffer is
        // freed, and isn't given away before. Plain fields are set.
        unsafe {
            let raw = &mut *frame.as_mut_ptr();
            let owner = Arc::into_raw(slot).cast_mut().cast();
            raw.buf[0] = av_buffer_create(start, length, Some(release), owner, 0);
            if raw.buf[0].is_null() {
                release(owner, start);
                return Err("no memory is left".into());
            }
            for (plane, start) in planes.into_iter().enumerate() {
                (raw.data[plane], raw.linesize[plane]) = (start, plan.strides[plane]);
            }
            (raw.sample_aspect_ratio.num, raw.sample_aspect_ratio.den) = shown.aspect;
            (raw.interlaced_frame, raw.top_field_first) = (shown.is_woven.into(), shown.top_first.into());
            let [range, space, primaries, transfer, location] = shown.colour;
            set(&raw mut raw.color_range, range, AVColorRange::AVCOL_RANGE_NB as u32);
            set(&raw mut raw.colorspace, space, AVColorSpace::AVCOL_SPC_NB as u32);
            set(&raw mut raw.color_primaries, primaries, AVColorPrimaries::AVCOL_PRI_NB as u32);
            set(&raw mut raw.color_trc, transfer, AVColorTransferCharacteristic::AVCOL_TRC_NB as u32);
            set(&raw mut raw.chroma_location, location, AVChromaLocation::AVCHROMA_LOC_NB as u32);
            for (kind, bytes) in &shown.beside {
                let Some(kind) = BESIDE.into_iter().find(|known| *known as u32 == *kind) else { continue };
                let room = av_frame_new_side_data(raw, kind, bytes.len());
                if !room.is_null() {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), (*room).data, bytes.len());
                }
            }
        }
        Ok(frame)
    }

    /// Slot number `index`, mapped once.
    fn slot(&mut self, index: u32, length: usize) -> io::Result<&Arc<Slot>> {
        let end = (index as u64 + 1) * length as u64;
        if index as usize > self.slots.len() || self.memory.metadata()?.len() < end {
            return Err(io::Error::other("the process that decodes tells of a frame that isn't there"));
        }
        if index as usize == self.slots.len() {
            self.slots.push(Arc::new(Slot::map(&self.memory, index, length)?));
        }
        Ok(&self.slots[index as usize])
    }
}

/// Sets one of FFmpeg's numbers where it is below `end`.
///
/// # Safety
/// `T` must be an enumeration in 32 bits, and the place be valid.
unsafe fn set<T>(place: *mut T, number: u32, end: u32) {
    const { assert!(size_of::<T>() == 4, "an enumeration of C") };
    if number < end {
        // SAFETY: as above; a number in this range is one that a codec could have left here.
        unsafe { place.cast::<u32>().write(number) };
    }
}

/// Called by FFmpeg when the last reference to a frame is gone: the slot is free.
unsafe extern "C" fn release(owner: *mut libc::c_void, _start: *mut u8) {
    // SAFETY: `owner` was made from an `Arc` of a slot, for this one call.
    let slot = unsafe { Arc::from_raw(owner.cast::<Slot>()) };
    slot.flag().store(0, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Studio, Gallery) {
        let (gallery, theirs) = Gallery::new().expect("shared memory");
        (Studio::new(theirs), gallery)
    }

    fn picture(pts: i64, level: u8) -> Picture {
        Picture::from_rgb8(5, 3, &[level; 45]).at(pts, 2)
    }

    #[test]
    fn a_frame_comes_through_and_its_slot_is_used_again() {
        let (mut studio, mut gallery) = pair();
        let mut held = Vec::new();
        for (level, slot) in [(10, 0), (20, 1), (30, 2)] {
            let shown = studio.show(picture(level.into(), level)).expect("shown");
            assert_eq!(shown.slot, slot);
            let frame = gallery.frame(&shown).expect("true");
            held.push(Picture::from_frame(frame, shown.pts, shown.duration).ok().expect("handled"));
        }
        held.remove(1);
        assert_eq!(studio.show(picture(40, 40)).expect("shown").slot, 1);
        for (picture, level) in held.iter().zip([10, 30]) {
            assert_eq!((picture.pts(), picture.duration()), (level.into(), 2));
            assert_eq!(picture.row::<u8>(0, 2, 5), [level; 5]);
        }
        // Frames outlive the other process and the gallery.
        drop((studio, gallery));
        assert_eq!(held[1].row::<u8>(2, 0, 5), [30; 5]);
    }

    #[test]
    fn lies_are_not_believed() {
        let (mut studio, mut gallery) = pair();
        let mut shown = studio.show(picture(0, 1)).expect("shown");
        assert!(gallery.frame(&shown).is_ok());
        for (format, width, height, slot) in [
            ("gbrp", 5, 3, 1),
            ("gbrp", 5, 3, u32::MAX),
            ("gbrp", 5000, 3000, 0),
            ("gbrp", u32::MAX, 3, 0),
            ("gbrp", 0, 0, 0),
            ("vaapi", 5, 3, 0),
            ("nothing", 5, 3, 0),
        ] {
            (shown.format, shown.width, shown.height, shown.slot) = (format.into(), width, height, slot);
            assert!(gallery.frame(&shown).is_err(), "{format} {width} x {height} in {slot}");
        }
        // What is held can't be taken away.
        assert!(studio.memory.set_len(0).is_err());
    }
}
