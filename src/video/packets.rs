//! Encoded packets in a file of our own, exactly as the encoder gave them.
//!
//! No container keeps all of a packet of every codec: Matroska rounds times to milliseconds, fragmented MP4 shifts
//! negative ones, doesn't hold every codec and rewrites headers, NUT has no durations. This one keeps times, duration,
//! flags, side data and bytes of each, so that what is joined is what would have been written in one go.
//!
//! All numbers are little-endian. A packet is `P`, the times of presentation and decoding, the duration, the flags,
//! the side data and the bytes; the first number of side data and bytes is their count. The last record is `E` with
//! whatever else the writer wants to keep.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
};

use ffmpeg_next::{
    Packet,
    ffi::{AV_NOPTS_VALUE, AVPacketSideDataType, av_packet_new_side_data},
    packet::{Mut, Ref},
};
use sha2::{Digest, Sha256};

use crate::{Error, Result, digest};

const MAGIC: &[u8; 20] = b"faceswap packets 1\r\n";

/// A file of packets that grows.
pub(super) struct PacketWriter {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    n_bytes: u64,
}

impl PacketWriter {
    /// A new file in place of whatever has the name.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = BufWriter::new(File::create(path).map_err(Error::io(path))?);
        let mut writer = Self { path: path.into(), file, hash: Sha256::new(), n_bytes: 0 };
        writer.put(MAGIC).map_err(Error::io(path))?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.n_bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn put_block(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(&(bytes.len() as u64).to_le_bytes())?;
        self.put(bytes)
    }

    /// Adds a packet.
    pub(super) fn write(&mut self, packet: &Packet) -> Result<()> {
        let path = self.path.clone();
        self.write_packet(packet).map_err(Error::io(path))
    }

    fn write_packet(&mut self, packet: &Packet) -> io::Result<()> {
        self.put(b"P")?;
        for time in [packet.pts(), packet.dts()] {
            self.put(&time.unwrap_or(AV_NOPTS_VALUE).to_le_bytes())?;
        }
        self.put(&packet.duration().to_le_bytes())?;
        // SAFETY: the packet is alive, a plain number is read.
        self.put(&unsafe { (*packet.as_ptr()).flags }.to_le_bytes())?;
        let side: Vec<_> = packet.side_data().collect();
        self.put(&(side.len() as u32).to_le_bytes())?;
        for data in side {
            self.put(&(AVPacketSideDataType::from(data.kind()) as u32).to_le_bytes())?;
            self.put_block(data.data())?;
        }
        self.put_block(packet.data().unwrap_or_default())
    }

    /// Ends the file with `rest` and brings it to the disk. Gives its length and its SHA-256.
    pub(super) fn finish(mut self, rest: &[u8]) -> Result<(u64, String)> {
        let path = self.path.clone();
        let mut end = || {
            self.put(b"E")?;
            self.put_block(rest)?;
            self.file.flush()?;
            self.file.get_ref().sync_all()
        };
        end().map_err(Error::io(path))?;
        let sum = digest::hex(&self.hash.finalize());
        Ok((self.n_bytes, sum))
    }
}

/// Reads what a [`PacketWriter`] wrote.
pub(super) struct PacketReader {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
}

/// A packet's times, and where its bytes are.
struct Head {
    pts: i64,
    dts: i64,
    duration: i64,
    flags: i32,
    n_side: u32,
}

impl PacketReader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let read = || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            let mut file = BufReader::new(file);
            let mut magic = [0; MAGIC.len()];
            file.read_exact(&mut magic)?;
            if magic == *MAGIC { Ok((file, length)) } else { Err(io::ErrorKind::InvalidData.into()) }
        };
        let (file, length) = read().map_err(Error::io(path))?;
        Ok(Self { path: path.into(), file, length })
    }

    /// The next packet, or `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Packet>> {
        let path = self.path.clone();
        self.read_packet().map_err(Error::io(path))
    }

    /// Times of presentation in the order of the packets, from the next on.
    pub(super) fn times(mut self) -> Result<Vec<i64>> {
        let mut times = Vec::new();
        let mut read = || {
            while let Some(head) = self.head()? {
                times.push(head.pts);
                for _ in 0..head.n_side {
                    self.number::<4>()?;
                    self.skip_block()?;
                }
                self.skip_block()?;
            }
            Ok(())
        };
        read().map_err(Error::io(&self.path))?;
        Ok(times)
    }

    /// What was kept behind the packets.
    pub(super) fn rest(path: &Path) -> Result<Vec<u8>> {
        let mut reader = Self::open(path)?;
        let mut read = || {
            while let Some(head) = reader.head()? {
                for _ in 0..head.n_side {
                    reader.number::<4>()?;
                    reader.skip_block()?;
                }
                reader.skip_block()?;
            }
            reader.block()
        };
        read().map_err(Error::io(path))
    }

    fn head(&mut self) -> io::Result<Option<Head>> {
        match &self.number::<1>()? {
            b"P" => Ok(Some(Head {
                pts: i64::from_le_bytes(self.number()?),
                dts: i64::from_le_bytes(self.number()?),
                duration: i64::from_le_bytes(self.number()?),
                flags: i32::from_le_bytes(self.number()?),
                n_side: u32::from_le_bytes(self.number()?),
            })),
            b"E" => Ok(None),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn read_packet(&mut self) -> io::Result<Option<Packet>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let mut side = Vec::new();
        for _ in 0..head.n_side {
            side.push((u32::from_le_bytes(self.number()?), self.block()?));
        }
        let mut packet = Packet::copy(&self.block()?);
        packet.set_pts((head.pts != AV_NOPTS_VALUE).then_some(head.pts));
        packet.set_dts((head.dts != AV_NOPTS_VALUE).then_some(head.dts));
        packet.set_duration(head.duration);
        for (kind, bytes) in side {
            if kind >= AVPacketSideDataType::AV_PKT_DATA_NB as u32 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // SAFETY: the number is one of the enumeration's, which was checked, and stands for the same in every run
            // of one version of FFmpeg; the bytes are copied into memory that is asked for in their size.
            unsafe {
                let kind = std::mem::transmute::<u32, AVPacketSideDataType>(kind);
                let room = av_packet_new_side_data(packet.as_mut_ptr(), kind, bytes.len());
                if room.is_null() {
                    return Err(io::ErrorKind::OutOfMemory.into());
                }
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
            }
        }
        // SAFETY: the packet is alive, a plain number is set.
        unsafe { (*packet.as_mut_ptr()).flags = head.flags };
        Ok(Some(packet))
    }

    fn number<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The length of a block, which can't be more than that of the file.
    fn block_length(&mut self) -> io::Result<u64> {
        let length = u64::from_le_bytes(self.number()?);
        if length > self.length { Err(io::ErrorKind::InvalidData.into()) } else { Ok(length) }
    }

    fn block(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.block_length()? as usize];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip_block(&mut self) -> io::Result<()> {
        let length = self.block_length()?;
        let to = self.file.stream_position()?.saturating_add(length);
        if to > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.seek_relative(length as i64)
    }
}

/// The order of decoding, made anew for all segments together.
///
/// An encoder counts it from the first frame that it gets, so that two segments may overlap where frames have unequal
/// lengths. Here it is what one encoder would have given: the times of presentation in their order, late by as many
/// frames as decoding runs ahead ([`reorder`]), and the first few as long before the first frame.
pub(super) struct DecodeClock {
    reorder: usize,
    lead: Option<i64>,
    /// Times of presentation in rising order that aren't used yet.
    times: std::collections::VecDeque<i64>,
    n_given: usize,
}

impl DecodeClock {
    pub(super) fn new(reorder: usize) -> Self {
        Self { reorder, lead: None, times: std::collections::VecDeque::new(), n_given: 0 }
    }

    /// Takes the times of one more segment.
    pub(super) fn add(&mut self, mut times: Vec<i64>) {
        times.sort_unstable();
        if self.lead.is_none()
            && let (Some(first), Some(last)) = (times.first(), times.get(self.reorder).or(times.last()))
        {
            self.lead = Some(last - first);
        }
        self.times.extend(times);
    }

    /// When the next packet is decoded.
    pub(super) fn next(&mut self) -> Option<i64> {
        self.n_given += 1;
        if self.n_given <= self.reorder {
            return self.times.get(self.n_given - 1).map(|time| time - self.lead.unwrap_or(0));
        }
        self.times.pop_front()
    }
}

/// By how many packets decoding runs ahead of presentation, for times in the order of decoding.
pub(super) fn reorder(times: &[i64]) -> usize {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = |time: &i64| sorted.partition_point(|other| other < time);
    times.iter().enumerate().map(|(i, time)| i.saturating_sub(rank(time))).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_runs_ahead_and_never_late() {
        // Two segments of a variable rate, each in the order of decoding.
        let segments: [&[i64]; 2] = [&[0, 40, 20, 10, 30, 70], &[80, 300, 90, 100, 301]];
        let depth = segments.iter().map(|times| reorder(times)).max().expect("two");
        assert_eq!((depth, reorder(&[5]), reorder(&[])), (2, 0, 0));
        let mut clock = DecodeClock::new(depth);
        let mut last = i64::MIN;
        for times in segments {
            clock.add(times.to_vec());
            for pts in times {
                let dts = clock.next().expect("one for each");
                assert!(dts > last && dts <= *pts, "{dts} after {last} for {pts}");
                last = dts;
            }
        }
        let mut one = DecodeClock::new(2);
        one.add(vec![7]);
        assert_eq!(one.next(), Some(7));
    }

    #[test]
    fn packets_come_back_with_all_that_they_carry() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("packets");
        let mut writer = PacketWriter::create(&path).expect("made");
        let mut packet = Packet::copy(&[1, 2, 3, 250]);
        packet.set_pts(Some(-77));
        packet.set_duration(1 << 40);
        packet.set_flags(ffmpeg_next::packet::Flags::KEY);
        // SAFETY: room for one byte is asked for and filled.
        unsafe {
            let kind = AVPacketSideDataType::AV_PKT_DATA_QUALITY_STATS;
            *av_packet_new_side_data(packet.as_mut_ptr(), kind, 1) = 9;
        }
        writer.write(&packet).expect("written");
        writer.write(&Packet::copy(&[])).expect("written");
        let (bytes, sum) = writer.finish(b"the rest").expect("on the disk");
        let stored = std::fs::read(&path).expect("there");
        assert_eq!((bytes, sum), (stored.len() as u64, digest::sha256(&stored)));
        let mut reader = PacketReader::open(&path).expect("whole");
        let again = reader.next().expect("whole").expect("a packet");
        assert_eq!((again.pts(), again.dts(), again.duration()), (Some(-77), None, 1 << 40));
        assert_eq!((again.data(), again.flags()), (Some(&[1, 2, 3, 250][..]), packet.flags()));
        let side: Vec<_> = again.side_data().map(|data| (data.kind(), data.data().to_vec())).collect();
        assert_eq!(side, [(ffmpeg_next::packet::side_data::Type::QualityStats, vec![9])]);
        assert_eq!(reader.next().expect("whole").expect("a packet").size(), 0);
        assert!(reader.next().expect("whole").is_none());
        assert_eq!(PacketReader::rest(&path).expect("whole"), b"the rest");
        assert_eq!(PacketReader::open(&path).expect("whole").times().expect("whole"), [-77, AV_NOPTS_VALUE]);
        for cut in 0..stored.len() {
            std::fs::write(&path, &stored[..cut]).expect("written");
            assert!(PacketReader::rest(&path).is_err(), "cut after {cut} bytes");
        }
    }
}
