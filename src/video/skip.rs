//! Passing over frames that nobody wants, where what follows comes out as if they had been decoded.
//!
//! Nothing is sought in the file. Its packets are read from the first on, so that the container gives each of them the
//! times that it always gives, and they are dropped up to a key frame behind which the codec refers to nothing before
//! it. Reading is a hundred times cheaper than decoding, and what can't be proved by looking at the packets is decoded.

use std::collections::VecDeque;

use ffmpeg_next::{
    self as ff, Packet, Stream, codec,
    ffi::{AV_CODEC_PROP_INTRA_ONLY, AV_PKT_FLAG_DISCARD, AVPacketSideDataType, avcodec_descriptor_get},
    format::context::Input,
    packet::Ref,
};
use serde::{Deserialize, Serialize};

/// Compressed bytes between two key frames that are kept; more of them are decoded from the start.
const MAX_BYTES: usize = 256 << 20;

/// Packets whose times are compared: no codec reorders more.
const N_RECENT: usize = 64;

/// The first frame that is wanted: neither before this number nor before this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// In the order of presentation, from 0.
    pub frame: u64,
    /// In the stream's ticks.
    pub pts: i64,
}

/// Where decoding begins.
pub(super) struct Landing {
    /// The first packets that are decoded; the others are still to be read.
    pub packets: VecDeque<Packet>,
    /// Frames that are presented before.
    pub n_frames: u64,
    /// Time of the first frame; what comes out before it is one of those.
    pub pts: i64,
}

/// Reads `input`, which is just open, up to the last key frame that isn't behind `wanted` and from which all comes out
/// as ever. `None` where that can't be known, and `input` is of no more use then.
pub(super) fn land(input: &mut Input, stream: usize, wanted: Wanted) -> Option<Landing> {
    let mut scan = Scan::new(Grammar::of(&input.stream(stream)?)?, wanted);
    loop {
        let mut packet = Packet::empty();
        match packet.read(input) {
            Ok(()) if packet.stream() != stream => {}
            Ok(()) => match scan.take(packet)? {
                Step::Further => {}
                Step::Done => return scan.landing(),
            },
            Err(ff::Error::Other { errno: libc::EAGAIN }) => {}
            Err(ff::Error::Eof) => {
                scan.settle();
                return scan.landing();
            }
            Err(_) => return None,
        }
    }
}

/// How a codec's packets say that nothing before them is needed.
#[derive(Debug, Clone, Copy)]
enum Grammar {
    /// Units with a length in front (of so many bytes), or behind a start code (0).
    H264(usize),
    Hevc(usize),
    /// Every packet that is marked as a key is one.
    Marked,
}

/// What a packet's picture is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing that is presented after it needs anything before it.
    Fresh,
    /// The same, and pictures behind it that lean on what is before it are never presented.
    Cut,
    /// Presented only if what it leans on, before the last key frame, was decoded.
    Leaning,
    Other,
}

impl Grammar {
    fn of(stream: &Stream) -> Option<Self> {
        let parameters = stream.parameters();
        // SAFETY: parameters live as long as the stream, and their header is as long as they say; the table of
        // descriptors is constant.
        let (header, is_intra_only) = unsafe {
            let raw = &*parameters.as_ptr();
            let header = if raw.extradata.is_null() || raw.extradata_size <= 0 {
                &[]
            } else {
                std::slice::from_raw_parts(raw.extradata, raw.extradata_size as usize)
            };
            let descriptor = avcodec_descriptor_get(raw.codec_id).as_ref();
            (header, descriptor.is_some_and(|d| d.props & AV_CODEC_PROP_INTRA_ONLY != 0))
        };
        // ISO/IEC 14496-15: a header of MP4 and Matroska begins with its version, 1; one of units begins with 0.
        let length_at = |at: usize| match header {
            [1, ..] => header.get(at).map(|byte| usize::from(byte & 3) + 1),
            _ => Some(0),
        };
        match parameters.id() {
            codec::Id::H264 => length_at(4).map(Self::H264),
            codec::Id::HEVC => length_at(21).map(Self::Hevc),
            codec::Id::FFV1 => Some(Self::Marked),
            _ if is_intra_only => Some(Self::Marked),
            _ => None,
        }
    }

    /// The picture in a packet, and whether there are parameters that all packets after it need. Types of units: ITU-T
    /// H.264, table 7-1; H.265, table 7-1.
    fn content(self, packet: &Packet) -> (Kind, bool) {
        let data = packet.data().unwrap_or_default();
        let (mut kind, mut has_parameters) = (Kind::Other, false);
        match self {
            Self::Marked => kind = Kind::Fresh,
            Self::H264(length) => {
                for unit in unit_heads(data, length).map(|head| head & 0x1f) {
                    match unit {
                        5 => kind = Kind::Fresh,
                        7 | 8 => has_parameters = true,
                        _ => {}
                    }
                }
            }
            Self::Hevc(length) => {
                for unit in unit_heads(data, length).map(|head| head >> 1 & 0x3f) {
                    match unit {
                        8 | 9 => kind = Kind::Leaning,
                        16..=18 => kind = Kind::Cut,
                        19..=21 => kind = Kind::Fresh,
                        32..=34 => has_parameters = true,
                        _ => {}
                    }
                }
            }
        }
        let is_unmarked_key = matches!(kind, Kind::Fresh | Kind::Cut) && !packet.is_key();
        (if is_unmarked_key { Kind::Other } else { kind }, has_parameters)
    }
}

/// The first byte of each unit in a packet.
fn unit_heads(data: &[u8], length: usize) -> Box<dyn Iterator<Item = u8> + '_> {
    if length == 0 {
        let starts = data.windows(4).filter(|bytes| bytes[..3] == [0, 0, 1]);
        return Box::new(starts.map(|bytes| bytes[3]));
    }
    let mut rest = data;
    Box::new(std::iter::from_fn(move || {
        let (size, behind) = rest.split_at_checked(length)?;
        let size = size.iter().fold(0_usize, |size, byte| size << 8 | usize::from(*byte));
        let (unit, behind) = behind.split_at_checked(size)?;
        rest = behind;
        unit.first().copied()
    }))
}

enum Step {
    Further,
    Done,
}

/// A key frame at which decoding may begin.
#[derive(Clone, Copy)]
struct Place {
    /// Its packet among those that are held.
    at: usize,
    pts: i64,
    /// Frames that are presented before it.
    n_frames: u64,
}

/// What is known of the packets so far.
struct Scan {
    grammar: Grammar,
    wanted: Wanted,
    /// From the landing on.
    held: VecDeque<Packet>,
    n_bytes: usize,
    landing: Option<Place>,
    /// A later one, of which it isn't known yet how many frames come before it.
    next: Option<Place>,
    n_shown: u64,
    last_dts: Option<i64>,
    recent: VecDeque<i64>,
    has_parameters: bool,
    /// Pictures that lean on what comes before the last key frame aren't presented.
    is_cut: bool,
}

impl Scan {
    fn new(grammar: Grammar, wanted: Wanted) -> Self {
        Self {
            grammar,
            wanted,
            held: VecDeque::new(),
            n_bytes: 0,
            landing: None,
            next: None,
            n_shown: 0,
            last_dts: None,
            recent: VecDeque::new(),
            has_parameters: false,
            is_cut: true,
        }
    }

    /// `None` when it can't be known how this file is decoded.
    fn take(&mut self, packet: Packet) -> Option<Step> {
        let pts = packet.pts()?;
        // Matroska stores no times of decoding; where there are some, they must rise.
        let is_late = packet.dts().zip(self.last_dts).is_some_and(|(dts, last)| dts <= last);
        if packet.is_corrupt() || changes_codec(&packet) || is_late {
            return None;
        }
        self.last_dts = packet.dts().or(self.last_dts);
        // SAFETY: the packet is alive, a plain number is read.
        let is_shown = unsafe { (*packet.as_ptr()).flags } & AV_PKT_FLAG_DISCARD == 0;
        let (kind, has_parameters) = self.grammar.content(&packet);
        if is_shown && !self.is_new_time(pts) || kind == Kind::Leaning && self.is_cut {
            return None;
        }
        let is_first = self.landing.is_none();
        if matches!(kind, Kind::Fresh | Kind::Cut) {
            self.settle();
            if !is_first && self.n_shown > self.wanted.frame && pts > self.wanted.pts {
                self.hold(packet)?;
                return Some(Step::Done);
            }
            self.is_cut = kind == Kind::Cut || is_first;
            // Parameters that are dropped must come again with the key frame.
            if is_first {
                self.landing = Some(Place { at: 0, pts, n_frames: self.n_shown });
            } else if has_parameters || !self.has_parameters {
                self.next = Some(Place { at: self.held.len(), pts, n_frames: self.n_shown });
            }
        } else if is_first {
            return None;
        } else if let Some(place) = &mut self.next {
            if pts > place.pts {
                self.settle();
            } else {
                place.n_frames += u64::from(is_shown);
            }
        } else if self.landing.is_some_and(|place| pts < place.pts) && !self.is_leading_of_first() {
            // Shown before the key frame, and yet not right behind it.
            return None;
        }
        self.has_parameters |= has_parameters;
        self.n_shown += u64::from(is_shown);
        self.hold(packet)?;
        Some(Step::Further)
    }

    /// Pictures of the file's own first key frame may come before it in any way: there decoding begins in any case.
    fn is_leading_of_first(&self) -> bool {
        self.landing.is_some_and(|place| place.n_frames == 0)
    }

    /// Takes the next key frame for the landing, if it isn't too late.
    fn settle(&mut self) {
        let Some(place) = self.next.take() else { return };
        if place.n_frames <= self.wanted.frame || place.pts <= self.wanted.pts {
            let dropped = self.held.drain(..place.at);
            self.n_bytes -= dropped.map(|packet| packet.size()).sum::<usize>();
            self.landing = Some(Place { at: 0, ..place });
        }
    }

    fn hold(&mut self, packet: Packet) -> Option<()> {
        self.n_bytes += packet.size();
        self.held.push_back(packet);
        (self.n_bytes <= MAX_BYTES).then_some(())
    }

    fn is_new_time(&mut self, pts: i64) -> bool {
        let is_new = !self.recent.contains(&pts);
        self.recent.push_back(pts);
        if self.recent.len() > N_RECENT {
            self.recent.pop_front();
        }
        is_new
    }

    fn landing(self) -> Option<Landing> {
        let Place { pts, n_frames, .. } = self.landing?;
        Some(Landing { packets: self.held, n_frames, pts })
    }
}

/// Whether a packet tells the decoder something that those after it need.
fn changes_codec(packet: &Packet) -> bool {
    packet.side_data().any(|data| {
        matches!(
            AVPacketSideDataType::from(data.kind()),
            AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA | AVPacketSideDataType::AV_PKT_DATA_PARAM_CHANGE
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(data: &[u8], pts: i64, dts: i64, is_key: bool) -> Packet {
        let mut packet = Packet::copy(data);
        packet.set_pts(Some(pts));
        packet.set_dts(Some(dts));
        if is_key {
            packet.set_flags(ff::packet::Flags::KEY);
        }
        packet
    }

    /// Units of H.265 behind start codes, and where decoding begins for frame `wanted`.
    fn landed(stream: &[(u8, i64)], wanted: u64) -> Option<(u64, i64, usize)> {
        let mut scan = Scan::new(Grammar::Hevc(0), Wanted { frame: wanted, pts: i64::MIN });
        for (dts, (kind, pts)) in stream.iter().enumerate() {
            let unit = [0, 0, 1, kind << 1, 1, 2, 3];
            let packet = packet(&unit, *pts, dts as i64 - 4, matches!(kind, 16..=21));
            if matches!(scan.take(packet)?, Step::Done) {
                break;
            }
        }
        scan.settle();
        scan.landing().map(|landing| (landing.n_frames, landing.pts, landing.packets.len()))
    }

    #[test]
    fn leading_pictures_come_before_their_key_frame() {
        // IDR, three that follow; a CRA with two that lean on what was before it, two behind; another CRA.
        let stream = [
            (19, 0),
            (1, 3),
            (1, 1),
            (1, 2),
            (21, 6),
            (9, 4),
            (8, 5),
            (1, 8),
            (1, 7),
            (21, 11),
            (9, 9),
            (8, 10),
            (1, 12),
        ];
        assert_eq!(landed(&stream, 0).map(|l| (l.0, l.1)), Some((0, 0)));
        assert_eq!(landed(&stream, 5).map(|l| (l.0, l.1)), Some((0, 0)));
        assert_eq!(landed(&stream, 6).map(|l| (l.0, l.1)), Some((6, 6)));
        assert_eq!(landed(&stream, 10).map(|l| (l.0, l.1)), Some((6, 6)));
        assert_eq!(landed(&stream, 12), Some((11, 11, 4)));
    }

    #[test]
    fn what_is_not_sure_is_not_skipped() {
        let behind = [(19, 5), (1, 6), (19, 7), (1, 8)];
        // Pictures that lean on a beginning that is cut off are never presented: how many frames are there?
        assert_eq!(landed(&[&[(21, 2), (9, 0), (9, 1)][..], &behind].concat(), 4), None);
        // No key frame at the begin; two frames at one time.
        assert_eq!(landed(&[&[(1, 0)][..], &behind].concat(), 4), None);
        assert_eq!(landed(&[&[(19, 0), (1, 1), (1, 1)][..], &behind].concat(), 4), None);
        assert!(landed(&[&[(19, 0), (1, 1), (1, 2)][..], &behind].concat(), 4).is_some());
    }

    #[test]
    fn units_are_found_in_both_spellings() {
        let heads = |data: &[u8], length| unit_heads(data, length).collect::<Vec<_>>();
        assert_eq!(heads(&[0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x65, 7], 0), [0x67, 0x65]);
        assert_eq!(heads(&[0, 0, 0, 2, 0x06, 9, 0, 0, 0, 1, 0x65], 4), [0x06, 0x65]);
        assert!(heads(&[0, 9, 0x65], 2).is_empty(), "cut off");
    }
}
