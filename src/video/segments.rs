//! The encoded picture in segments on the disk, each made by a fresh encoder, and their join.

use std::collections::BTreeMap;

use ffmpeg_next::Packet;

use super::{
    coder::{Coder, Sink},
    mux::Muxer,
    packets::{DecodeClock, PacketReader, PacketWriter, reorder},
    picture::Picture,
};
use crate::{
    Error, Result,
    face::Memory,
    frame::Blended,
    report::Tally,
    resume::{End, Seams, Segment, Work},
};

/// What frames become, a segment at a time: packets, of which a later run can make the whole, or tell that it is there.
pub(super) trait Press {
    /// Gets ready for a segment that needs none before it.
    ///
    /// # Errors
    /// When there is no encoder any more.
    fn open_segment(&mut self) -> Result<()>;

    /// Takes frame number `idx` of the clip.
    ///
    /// # Errors
    /// As [`Coder::encode`].
    fn press(&mut self, idx: u64, picture: Picture, sink: Sink<'_>) -> Result<()>;

    /// Gives all that is still held; what the packets stand for is on the disk then.
    ///
    /// # Errors
    /// As [`Coder::encode`].
    fn close_segment(&mut self, sink: Sink<'_>) -> Result<()>;

    /// What went wrong at the frame in hand.
    fn error(&self, reason: String) -> Error;
}

/// Frames that are to be made in one go.
#[derive(Debug)]
pub struct Stretch {
    /// The first one that is wanted.
    pub first: u64,
    /// The one after the last, where it isn't the end of the clip.
    pub end: Option<u64>,
    /// The frame to begin with, so that the first one comes out as in one go.
    pub start: u64,
    /// What the tracker knew there.
    pub memory: Option<Box<Memory>>,
}

/// Where a frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the middle of a segment: what was encoded of it would be lost.
    Within,
    /// At its end, or where nothing was encoded yet.
    Seam,
    /// At the end of the stretch: no more frames are wanted.
    End,
}

/// Writes the segments of one job.
pub(super) struct Segments {
    pub(super) work: Work,
    seams: Seams,
    /// Frames from the first to the one after the last, of the stretch in hand.
    stretch: (u64, Option<u64>),
    open: Option<Open>,
    /// What the tracker knew, by the frame before which it did.
    memories: BTreeMap<u64, Box<Memory>>,
}

/// The segment that is being written.
struct Open {
    number: u64,
    file: PacketWriter,
    /// Times of presentation in the order of the packets.
    times: Vec<i64>,
    n_frames: u64,
    n_swapped: u64,
    /// Nothing in the input was doubtful up to the last frame.
    is_sure: bool,
    tally: Tally,
}

impl Segments {
    pub(super) fn new(work: Work, seams: Seams) -> Self {
        Self { work, seams, stretch: (0, None), open: None, memories: BTreeMap::new() }
    }

    pub(super) fn seams(&self) -> Seams {
        self.seams
    }

    /// Learns how the frames are encoded: whether they may be cut, and that the header is that of the segments that are
    /// there.
    pub(super) fn begin(&mut self, in_one_piece: bool, header: &[u8]) -> Result<(), String> {
        if in_one_piece {
            self.seams = Seams::never();
        }
        self.work.check_header(header)
    }

    /// Forgets the segments with a packet for which `is_there` isn't true: what it stands for is lost.
    pub(super) fn keep_if(&mut self, is_there: impl Fn(&Packet) -> bool) -> Result<()> {
        let numbers: Vec<u64> = self.work.journal().segments.keys().copied().collect();
        for number in numbers {
            let mut packets = PacketReader::open(&self.work.segment_path(number))?;
            while let Some(packet) = packets.next()? {
                if !is_there(&packet) {
                    self.work.forget(number);
                    break;
                }
            }
        }
        Ok(())
    }

    /// What is to be made next; `None` when all is there.
    pub(super) fn next_stretch(&mut self) -> Result<Option<Stretch>> {
        let Some((segment, end)) = self.work.journal().missing() else { return Ok(None) };
        let end = end.filter(|n| self.work.journal().segments.contains_key(n));
        let (first, end) = (self.seams.first_frame(segment), end.map(|n| self.seams.first_frame(n)));
        self.stretch = (first, end);
        self.memories.clear();
        let warm_up = self.seams.warm_up(segment);
        let memory = if warm_up == 0 { None } else { self.memory(segment - 1)? };
        let start = match &memory {
            Some(memory) => warm_up.saturating_sub(memory.n_waiting()),
            None if warm_up == 0 => 0,
            // Nobody follows faces, so that nothing has to be remembered.
            None => first,
        };
        Ok(Some(Stretch { first, end, start, memory }))
    }

    /// Whether the input was found to be whole up to the begin of the stretch in hand.
    pub(super) fn is_sure(&self) -> bool {
        let before = self.seams.segment_of(self.stretch.0).checked_sub(1);
        before.and_then(|n| self.work.journal().segments.get(&n)).is_some_and(|segment| segment.sure)
    }

    /// What the tracker knew before the warm-up of the segment after number `segment`.
    fn memory(&self, segment: u64) -> Result<Option<Box<Memory>>> {
        let path = self.work.segment_path(segment);
        let rest = PacketReader::rest(&path)?;
        if rest.is_empty() {
            return Ok(None);
        }
        let memory = postcard::from_bytes(&rest);
        memory.map(Some).map_err(|e| Error::input(&path, format!("{e}; --no-resume starts again")))
    }

    /// Encodes a frame of the stretch; those before it only bring their memory.
    pub(super) fn add(&mut self, blended: Blended, press: &mut dyn Press) -> Result<Place> {
        let Blended { frame, replaced, memory } = blended;
        let (first, end) = self.stretch;
        if let Some(memory) = memory {
            self.memories.insert(frame.idx, memory);
        }
        if frame.idx < first {
            return Ok(Place::Seam);
        }
        if end.is_some_and(|end| frame.idx >= end) {
            return Ok(Place::End);
        }
        let number = self.seams.segment_of(frame.idx);
        if self.open.is_none() {
            press.open_segment()?;
            let file = PacketWriter::create(&self.work.segment_path(number))?;
            let (times, tally) = (Vec::new(), Tally::default());
            self.open = Some(Open { number, file, times, n_frames: 0, n_swapped: 0, is_sure: true, tally });
        }
        let Some(open) = &mut self.open else { return Ok(Place::Seam) };
        if frame.idx != self.seams.first_frame(open.number) + open.n_frames {
            return Err(press.error(format!("frame {} came out of turn", frame.idx)));
        }
        open.is_sure = frame.picture.is_sure();
        open.n_frames += 1;
        open.n_swapped += u64::from(!replaced.is_empty());
        open.tally.add(&replaced);
        let idx = frame.idx;
        press.press(idx, frame.picture, &mut |packet| open.write(packet))?;
        if self.seams.segment_of(idx + 1) == number {
            return Ok(if self.seams.is_never() { Place::Seam } else { Place::Within });
        }
        self.close(press)?;
        Ok(if end == Some(idx + 1) { Place::End } else { Place::Seam })
    }

    /// Ends the segment in hand and notes it in the journal.
    fn close(&mut self, press: &mut dyn Press) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        press.close_segment(&mut |packet| open.write(packet))?;
        let next = self.seams.warm_up(open.number + 1);
        let memory = self.memories.get(&next).map(postcard::to_stdvec).transpose();
        let memory = memory.map_err(|e| press.error(e.to_string()))?.unwrap_or_default();
        self.memories.retain(|frame, _| *frame > next);
        let n_packets = open.times.len() as u64;
        if n_packets < open.n_frames {
            let reason = format!("the encoder gave {n_packets} packets for {} frames", open.n_frames);
            return Err(press.error(reason));
        }
        let (bytes, sha256) = open.file.finish(&memory)?;
        let times = || open.times.iter().copied();
        let segment = Segment {
            frames: open.n_frames,
            swapped: open.n_swapped,
            tally: open.tally,
            first_pts: times().min().unwrap_or(0),
            last_pts: times().max().unwrap_or(0),
            reorder: reorder(&open.times),
            sure: open.is_sure,
            bytes,
            sha256,
        };
        self.work.add(open.number, segment)
    }

    /// The clip has ended.
    pub(super) fn end(&mut self, end: End, press: &mut dyn Press) -> Result<()> {
        self.close(press)?;
        let segments = self.work.journal().segments.len() as u64;
        self.work.end(End { segments, ..end })
    }

    /// Hands the packets of all segments to the container, in their order and with one order of decoding.
    pub(super) fn join(&self, coder: &Coder, muxer: &mut Muxer) -> Result<()> {
        let depth = self.work.journal().segments.values().map(|segment| segment.reorder).max();
        let told = coder.encoder().map_or(0, |(encoder, _)| encoder.delay());
        let mut clock = DecodeClock::new(depth.unwrap_or(0).max(told));
        for number in self.work.journal().segments.keys() {
            let path = self.work.segment_path(*number);
            clock.add(PacketReader::open(&path)?.times()?);
            let mut packets = PacketReader::open(&path)?;
            while let Some(mut packet) = packets.next()? {
                packet.set_dts(clock.next());
                muxer.write_video(&mut packet, coder.time_base)?;
            }
        }
        Ok(())
    }
}

impl Open {
    fn write(&mut self, packet: &Packet) -> Result<()> {
        self.times.push(packet.pts().or(packet.dts()).unwrap_or(0));
        self.file.write(packet)
    }
}
