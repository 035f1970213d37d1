//! Packets into the codec, frames out of it, and what each frame is worth.
//!
//! A codec that works on several frames at once complains of one while it gives another. So a file is read in one of
//! two ways: quickly, until the first complaint; and then once more from its start, carefully, one packet at a time, so
//! that each complaint is of the packet that was handed over last.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
};

use ffmpeg_next::{
    self as ff, Packet, codec,
    ffi::{AV_NOPTS_VALUE, AV_PKT_FLAG_DISCARD, FF_THREAD_FRAME, FF_THREAD_SLICE},
    format::context::Input,
    frame::Video,
    packet::Ref,
};

use super::{decode::DecodeSettings, log::Journal, open, skip::Landing};
use crate::{Error, Result};

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// With all threads, until the first complaint.
    Quick,
    /// With one thread; every complaint is put to its frame.
    Careful,
    /// With one thread; all that the codec gives is taken for whole, for files in which nothing is.
    Credulous,
}

/// What comes out of the codec, in the order of presentation.
pub(super) enum Shown {
    /// A frame as it was filmed.
    Whole(Video),
    /// A frame that can't be decoded, or that is built on one that can't.
    Spoilt { pts: Option<i64>, duration: i64, reason: String },
}

/// The next thing that a feed has to say.
pub(super) enum Next {
    Shown(Shown),
    /// Something is wrong; only a careful reading can tell with what. Quick reading ends here.
    Doubt,
    /// Nothing comes any more; with what the container says if it was cut off.
    End {
        cut: Option<String>,
    },
}

/// The video stream of a file, being decoded.
pub(super) struct Feed {
    path: PathBuf,
    input: Input,
    stream: usize,
    codec: ff::decoder::Video,
    /// What the codec complains of; declared after it, since it must live longer.
    journal: Journal,
    care: Care,
    waiting: Waiting,
    /// Packets that were read already.
    ahead: VecDeque<Packet>,
    /// What is presented before it isn't shown.
    begin: Option<i64>,
    ready: VecDeque<Shown>,
    /// Set when reading has ended.
    end: Option<End>,
    doubt: bool,
}

/// How reading has ended.
struct End {
    /// What the container said, where the file is cut off.
    cut: Option<String>,
}

impl Feed {
    /// Opens the codec of stream number `stream`.
    ///
    /// # Errors
    /// [`Error::BadInput`] when there is no such codec.
    pub(super) fn open(
        path: &Path,
        mut input: Input,
        stream: usize,
        settings: &DecodeSettings,
        care: Care,
    ) -> Result<Self> {
        open::read_only(&mut input, |index| index == stream);
        let journal = Journal::default();
        let codec = open_codec(path, &input, stream, settings, care, &journal)?;
        let starts_anywhere = starts_anywhere(input.format().name());
        Ok(Self {
            path: path.into(),
            input,
            stream,
            codec,
            journal,
            care,
            waiting: Waiting { starts_anywhere, ..Waiting::default() },
            ahead: VecDeque::new(),
            begin: None,
            ready: VecDeque::new(),
            end: None,
            doubt: false,
        })
    }

    /// Begins with the packets of `landing`; all packets before them were read.
    pub(super) fn beginning_at(mut self, landing: Landing) -> Self {
        (self.ahead, self.begin) = (landing.packets, Some(landing.pts));
        self
    }

    /// The next frame, doubt, or the end.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be read.
    pub(super) fn next(&mut self) -> Result<Next> {
        loop {
            if let Some(shown) = self.ready.pop_front() {
                return Ok(Next::Shown(shown));
            }
            if self.doubt {
                return Ok(Next::Doubt);
            }
            if let Some(End { cut }) = &self.end {
                return Ok(Next::End { cut: cut.clone() });
            }
            self.step()?;
        }
    }

    /// Hands one more packet to the codec, or the end, and takes all frames that it has then.
    fn step(&mut self) -> Result<()> {
        if let Some(packet) = self.ahead.pop_front() {
            return self.decode(&packet);
        }
        let mut packet = Packet::empty();
        match packet.read(&mut self.input) {
            Ok(()) if packet.stream() == self.stream => self.decode(&packet)?,
            Ok(()) | Err(ff::Error::Other { errno: libc::EAGAIN }) => {}
            Err(ff::Error::Other { errno }) if errno != libc::EINVAL => {
                return Err(Error::io(&self.path)(std::io::Error::from_raw_os_error(errno)));
            }
            Err(end) => self.finish((end != ff::Error::Eof).then(|| end.to_string()))?,
        }
        Ok(())
    }

    fn decode(&mut self, packet: &Packet) -> Result<()> {
        self.waiting.sent(packet);
        // Transport streams mark every packet before a gap; whether it is whole shows when it is decoded.
        let torn = packet.is_corrupt() && !self.waiting.starts_anywhere;
        let mut complaint = torn.then(|| "cut off".to_owned());
        if let Err(e) = self.codec.send_packet(packet) {
            self.check_memory(e)?;
            complaint.get_or_insert(e.to_string());
        }
        let frames = self.receive(&mut complaint)?;
        self.judge(complaint, frames);
        Ok(())
    }

    fn finish(&mut self, cut: Option<String>) -> Result<()> {
        let mut complaint = None;
        // Only fails when the end was told before.
        let _ = self.codec.send_eof();
        let frames = self.receive(&mut complaint)?;
        self.judge(complaint, frames);
        if !self.doubt && self.care != Care::Credulous {
            let rest = self.waiting.lost_before(i64::MAX);
            if !rest.is_empty() && self.care == Care::Quick {
                self.doubt = true;
            } else {
                self.ready.extend(rest);
            }
        }
        self.end = Some(End { cut });
        Ok(())
    }

    /// Short memory is no damage of the file, and what comes next would be wrong.
    fn check_memory(&self, error: ff::Error) -> Result<()> {
        match error {
            ff::Error::Other { errno: libc::ENOMEM } => Err(Error::Device(format!(
                "{}: no memory left for decoding; what is done is kept, and the same command goes on",
                self.path.display()
            ))),
            _ => Ok(()),
        }
    }

    fn receive(&mut self, complaint: &mut Option<String>) -> Result<Vec<Video>> {
        let mut frames = Vec::new();
        // A broken decoder that gives the same error for ever must not hold the line.
        for _ in 0..MAX_ERRORS {
            let mut frame = Video::empty();
            match self.codec.receive_frame(&mut frame) {
                Ok(()) => frames.push(frame),
                Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => break,
                Err(e) => {
                    self.check_memory(e)?;
                    complaint.get_or_insert(e.to_string());
                }
            }
        }
        Ok(frames)
    }

    /// Puts complaints to their frames, and shows what came out.
    fn judge(&mut self, mut complaint: Option<String>, frames: Vec<Video>) {
        if self.care == Care::Credulous {
            self.journal.take();
            self.ready.extend(frames.into_iter().map(Shown::Whole));
            return;
        }
        let lines: Vec<String> = self.journal.take().into_iter().filter(|line| !is_harmless(line)).collect();
        if !lines.is_empty() {
            complaint = Some(lines.join(", "));
        }
        if let Some(reason) = complaint {
            self.waiting.complain(&reason);
            self.doubt = self.care == Care::Quick;
        }
        for frame in frames {
            if self.begin.is_some_and(|begin| frame.pts().is_some_and(|pts| pts < begin)) {
                continue;
            }
            let torn = frame.is_corrupt() || frame.has_decode_errors();
            let skipped_start = self.waiting.begins_with_loss(&frame);
            if self.care == Care::Quick && (self.doubt || torn || skipped_start) {
                // From here on nothing is certain.
                self.doubt = true;
                return;
            }
            if self.care == Care::Careful && torn {
                self.waiting.tear(&frame);
            }
            let pts = frame.pts();
            self.ready.extend(self.waiting.lost_before(pts.unwrap_or(i64::MIN)));
            let own = self.waiting.came(&frame);
            self.ready.push_back(match own {
                Some(reason) => Shown::Spoilt {
                    pts: frame.timestamp().or(pts),
                    duration: frame.packet().duration,
                    reason,
                },
                None => Shown::Whole(frame),
            });
        }
    }
}

/// Calls of a decoder for one packet.
const MAX_ERRORS: usize = 4096;

/// Lines at the level of errors after which the picture is none the worse.
fn is_harmless(line: &str) -> bool {
    // Marking of frames that are gone already, hints for encoders' statistics, and padding at the end.
    const HARMLESS: [&str; 6] = [
        "mmco: unref short failure",
        "co located POCs unavailable",
        "SEI type",
        "EOI missing, emulating",
        "overread",
        "non-existing SPS",
    ];
    HARMLESS.iter().any(|known| line.contains(known))
}

/// Containers of streams that may be joined at any time: what comes before the first key frame is not theirs.
fn starts_anywhere(container: &str) -> bool {
    ["mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v", "obu", "vc1", "dv", "mjpeg"].contains(&container)
}

/// Packets whose frames have not come out yet, by their times.
#[derive(Default)]
struct Waiting {
    fates: BTreeMap<i64, Fate>,
    n_sent: u64,
    /// Number of the last key packet.
    last_key: Option<u64>,
    last_sent: Option<i64>,
    /// Why frames that build on the last ones are spoilt, until a key frame comes.
    spoilt: Option<String>,
    /// The same for frames that are shown before the last key frame but come after it.
    leading: Option<(i64, String)>,
    /// For streams without times: why the next frame is spoilt.
    loose: Option<String>,
    any_shown: bool,
    starts_anywhere: bool,
}

struct Fate {
    number: u64,
    is_key: bool,
    duration: i64,
    reason: Option<String>,
    before_any_key: bool,
}

const BUILT_ON: &str = "built on a damaged frame";

impl Waiting {
    fn sent(&mut self, packet: &Packet) {
        // SAFETY: the packet is alive, a plain number is read.
        let discard = unsafe { (*packet.as_ptr()).flags } & AV_PKT_FLAG_DISCARD != 0;
        let (pts, is_key) = (packet.pts(), packet.is_key());
        if is_key {
            self.leading = pts.zip(self.spoilt.take());
            self.last_key = Some(self.n_sent);
        }
        if let Some(pts) = pts.filter(|_| !discard) {
            let led = self.leading.as_ref().filter(|(key, _)| pts < *key).map(|(_, reason)| reason);
            let reason = led.or(self.spoilt.as_ref()).cloned();
            let before_any_key = self.last_key.is_none();
            let (number, duration) = (self.n_sent, packet.duration());
            self.fates.insert(pts, Fate { number, is_key, duration, reason, before_any_key });
        }
        self.last_sent = pts;
        self.n_sent += 1;
    }

    /// The codec complained of the last packet.
    fn complain(&mut self, reason: &str) {
        self.spoilt = Some(BUILT_ON.into());
        match self.last_sent.and_then(|pts| self.fates.get_mut(&pts)) {
            Some(fate) => fate.reason = Some(reason.into()),
            None => self.loose = Some(reason.into()),
        }
    }

    /// A frame came out torn without a word: what was built on it is spoilt, too.
    fn tear(&mut self, frame: &Video) {
        let Some(pts) = frame.pts() else {
            self.loose = Some("damaged".into());
            return;
        };
        let torn = self.fates.get_mut(&pts).map_or(0, |fate| {
            fate.reason.get_or_insert("damaged".into());
            fate.number
        });
        let next_key = self.fates.values().filter(|f| f.is_key && f.number > torn).map(|f| f.number).min();
        for fate in self.fates.values_mut() {
            if fate.number > torn && next_key.is_none_or(|key| fate.number < key) {
                fate.reason.get_or_insert(BUILT_ON.into());
            }
        }
        if self.last_key.is_none_or(|key| key <= torn) {
            self.spoilt = Some(BUILT_ON.into());
        }
    }

    /// Whether frames are missing before this one, which is the first to come out.
    fn begins_with_loss(&self, frame: &Video) -> bool {
        let (false, false, Some(pts)) = (self.any_shown, self.starts_anywhere, frame.pts()) else {
            return false;
        };
        self.fates.range(..pts).any(|(_, fate)| fate.before_any_key)
    }

    /// Takes out what should have come before `pts`; what is spoilt of it is shown as such.
    fn lost_before(&mut self, pts: i64) -> Vec<Shown> {
        let later = self.fates.split_off(&pts);
        let earlier = std::mem::replace(&mut self.fates, later);
        let joined_late = self.starts_anywhere && !self.any_shown;
        earlier
            .into_iter()
            .filter(|_| !joined_late)
            .filter_map(|(pts, fate)| {
                let no_key = (fate.before_any_key && !self.any_shown)
                    .then(|| "no key frame before it to build on".to_owned());
                let reason = fate.reason.or(no_key)?;
                Some(Shown::Spoilt { pts: Some(pts), duration: fate.duration, reason })
            })
            .collect()
    }

    /// A frame came out; tells why it is spoilt.
    fn came(&mut self, frame: &Video) -> Option<String> {
        self.any_shown = true;
        // SAFETY: the frame is alive, a plain number is read.
        let pts = unsafe { (*frame.as_ptr()).pts };
        if pts != AV_NOPTS_VALUE {
            return self.fates.remove(&pts)?.reason;
        }
        if frame.is_key() {
            self.spoilt = None;
        }
        self.loose.take().or_else(|| self.spoilt.clone())
    }
}

fn open_codec(
    path: &Path,
    input: &Input,
    stream: usize,
    settings: &DecodeSettings,
    care: Care,
    journal: &Journal,
) -> Result<ff::decoder::Video> {
    let bad = |e: ff::Error| Error::input(path, format!("the video stream can't be decoded: {e}"));
    let stream = input.stream(stream).ok_or_else(|| Error::input(path, "no video stream"))?;
    let mut context = codec::context::Context::from_parameters(stream.parameters()).map_err(bad)?;
    // SAFETY: the context is ours and not yet open; plain numbers are set. Callers keep the journal beyond the codec.
    unsafe {
        journal.attach(&mut context);
        let raw = &mut *context.as_mut_ptr();
        raw.thread_count = if care == Care::Quick { settings.threads as i32 } else { 1 };
        raw.thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
        // Codecs count the edges that they add; what is shown was checked before.
        raw.max_pixels = (settings.max_pixels + settings.max_pixels / 4) as i64 + (1 << 16);
    }
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(stream.time_base());
    let decoder = match alpha_decoder(&stream) {
        None => decoder.video(),
        Some(name) => match ff::decoder::find_by_name(name) {
            Some(codec) => decoder.open_as(codec).and_then(codec::decoder::Opened::video),
            None => return Err(Error::input(path, format!("has an alpha channel; only {name} decodes it"))),
        },
    };
    decoder.map_err(bad)
}

/// The decoder that VP8 and VP9 with an alpha channel need; FFmpeg's own drop it without a word.
fn alpha_decoder(stream: &ff::Stream) -> Option<&'static str> {
    let has_alpha = stream.metadata().get("alpha_mode") == Some("1");
    match stream.parameters().id() {
        codec::Id::VP8 if has_alpha => Some("libvpx"),
        codec::Id::VP9 if has_alpha => Some("libvpx-vp9"),
        _ => None,
    }
}
