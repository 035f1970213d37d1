//! Frames out of a file, in the order of presentation.

use std::path::{Path, PathBuf};

use ffmpeg_next::{
    self as ff, Packet, codec,
    ffi::{FF_THREAD_FRAME, FF_THREAD_SLICE},
    format::{Pixel, context::Input},
    frame::Video,
    picture,
};

use super::{
    convert::{Converter, Shape},
    damage::{Damage, DamagedFrames, Promise},
    layout,
    log::Journal,
    open,
    picture::Picture,
    probe::{self, DEFAULT_MAX_PIXELS, Probe},
};
use crate::{Error, Result, frame::Frame};

/// How to decode.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct DecodeSettings {
    /// Threads of the decoder; 0 for one a core.
    pub threads: usize,
    /// Larger pictures are refused before they are decoded.
    pub max_pixels: usize,
    /// Damage in the middle is told by [`Decoder::damage`] and the decoder goes on with what it can make of the
    /// frames, instead of ending with an error.
    pub keep_damaged: bool,
}

impl Default for DecodeSettings {
    fn default() -> Self {
        Self { threads: 0, max_pixels: DEFAULT_MAX_PIXELS, keep_damaged: false }
    }
}

/// Gives the frames that a player would present, each with its time and duration in the stream's time base.
///
/// All frames have the size and pixel format of the first; a stream that changes them on the way is scaled to it,
/// which [`Decoder::damage`] tells. An error ends the iteration. A tail that is cut off or can't be decoded is the
/// end of the stream, with a note in `damage`; so is what comes before the first frame that can be decoded.
pub struct Decoder {
    path: PathBuf,
    probe: Probe,
    input: Input,
    codec: ff::decoder::Video,
    /// What the decoder complains of; declared after it, since it must live longer.
    journal: Journal,
    packet: Packet,
    phase: Phase,
    settings: DecodeSettings,
    converter: Converter,
    shape: Option<Shape>,
    /// The last size that wasn't the first one's.
    odd_size: Option<(u32, u32)>,
    n_frames: u64,
    last_pts: Option<i64>,
    last_ticks: i64,
    /// Added to all times since the stream's clock jumped back.
    shift: i64,
    /// Ticks from frame to frame for streams without timestamps.
    usual_ticks: i64,
    last_sent_dts: i64,
    held: Option<Held>,
    promise: Promise,
    damage: Damage,
    notes: Vec<String>,
}

/// A clock that goes back by more than this was set anew; by less, it stumbled. Seconds.
pub(super) const CLOCK_JUMP_S: f64 = 1.0;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Reading,
    Draining,
    Ended,
}

/// Damage that is an error if any frame comes after it, and a cut tail if none does.
struct Held {
    after_dts: i64,
    reason: String,
    n_dropped: u64,
}

impl Decoder {
    /// Opens a video.
    ///
    /// # Errors
    /// As [`probe`](super::probe()).
    pub fn open(path: &Path, settings: &DecodeSettings) -> Result<Self> {
        let mut input = open::open(path, settings.max_pixels)?;
        let index = open::video_stream(&input, path)?;
        let probe = probe::describe(&input, index, path)?;
        open::read_only(&mut input, |stream| stream == index);
        let stream = input.stream(index).ok_or_else(|| Error::input(path, "no video stream"))?;
        let base = stream.time_base();
        let mut context =
            codec::context::Context::from_parameters(stream.parameters()).map_err(|e| bad_stream(path, e))?;
        let journal = Journal::default();
        // SAFETY: the context is ours and not yet open; plain numbers are set. The journal is dropped after it.
        unsafe {
            journal.attach(&mut context);
            let raw = &mut *context.as_mut_ptr();
            raw.thread_count = settings.threads as i32;
            raw.thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
            raw.max_pixels = settings.max_pixels as i64;
        }
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(base);
        let decoder = match alpha_decoder(&stream) {
            None => decoder.video(),
            Some(name) => match ff::decoder::find_by_name(name) {
                Some(codec) => decoder.open_as(codec).and_then(codec::decoder::Opened::video),
                None => {
                    return Err(Error::input(path, format!("has an alpha channel; only {name} decodes it")));
                }
            },
        };
        let codec = decoder.map_err(|e| bad_stream(path, e))?;
        let promise = Promise::of(&stream, &probe.container, path);
        let (num, den) = probe.frame_rate;
        let usual_ticks = if num > 0 {
            (f64::from(den) / f64::from(num) / f64::from(base)).round().max(1.0) as i64
        } else {
            1
        };
        Ok(Self {
            path: path.into(),
            probe,
            input,
            codec,
            journal,
            packet: Packet::empty(),
            phase: Phase::Reading,
            settings: settings.clone(),
            converter: Converter::new(),
            shape: None,
            odd_size: None,
            n_frames: 0,
            last_pts: None,
            last_ticks: 0,
            shift: 0,
            usual_ticks,
            last_sent_dts: i64::MIN,
            held: None,
            promise,
            damage: Damage::default(),
            notes: Vec::new(),
        })
    }

    /// What is known of the video.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// What was wrong with the file and yet no error, so far; complete after the last frame.
    pub fn damage(&self) -> &[DamagedFrames] {
        self.damage.ranges()
    }

    /// What is odd about the file and yet no damage.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The next frame as the codec gives it, or `None` at the end.
    fn next_decoded(&mut self) -> Result<Option<Video>> {
        let mut frame = Video::empty();
        loop {
            match self.codec.receive_frame(&mut frame) {
                Ok(()) => return Ok(Some(frame)),
                Err(ff::Error::Eof) => return Ok(None),
                Err(ff::Error::Other { errno: libc::EAGAIN }) => self.feed()?,
                Err(e) => self.hold_undecodable(e),
            }
        }
    }

    /// Hands one more packet to the decoder, or the end.
    fn feed(&mut self) -> Result<()> {
        if self.phase == Phase::Draining {
            // A decoder that neither gives a frame nor ends when told that nothing comes any more.
            return Err(self.media_error("the decoder doesn't end"));
        }
        // Reading overwrites a packet and forgets what it held: begin with an empty one.
        self.packet = Packet::empty();
        match self.packet.read(&mut self.input) {
            Ok(()) if self.packet.stream() == self.probe.stream => {
                if let Some(dts) = self.packet.dts().or(self.packet.pts()) {
                    self.last_sent_dts = self.last_sent_dts.max(dts);
                }
                if let Err(e) = self.codec.send_packet(&self.packet) {
                    self.hold_undecodable(e);
                }
            }
            Ok(()) | Err(ff::Error::Other { errno: libc::EAGAIN }) => {}
            Err(ff::Error::Other { errno }) if errno != libc::EINVAL => {
                return Err(Error::io(&self.path)(std::io::Error::from_raw_os_error(errno)));
            }
            Err(end) => {
                if end != ff::Error::Eof {
                    self.hold(&format!("the file is cut off: {end}"), i64::MAX);
                }
                self.phase = Phase::Draining;
                // Only fails when the end was told before.
                let _ = self.codec.send_eof();
            }
        }
        Ok(())
    }

    /// Remembers damage until it is known whether anything comes after it.
    fn hold(&mut self, reason: &str, after_dts: i64) {
        self.held.get_or_insert_with(|| Held { after_dts, reason: reason.into(), n_dropped: 0 });
    }

    fn hold_undecodable(&mut self, error: ff::Error) {
        let lines = self.journal.take();
        let said = if lines.is_empty() { error.to_string() } else { lines.join(", ") };
        self.hold(&format!("can't be decoded ({said})"), self.last_sent_dts);
    }

    fn media_error(&self, reason: impl Into<String>) -> Error {
        Error::Media { path: self.path.clone(), frame: self.n_frames, reason: reason.into() }
    }

    /// The next frame that is presented, whole or allowed to be damaged.
    fn next_sound(&mut self) -> Result<Option<Video>> {
        loop {
            let Some(frame) = self.next_decoded()? else {
                self.tell_tail()?;
                return Ok(None);
            };
            // SAFETY: the frame is alive, a plain number is read.
            let dts = unsafe { (*frame.as_ptr()).pkt_dts };
            let bad = frame.is_corrupt() || frame.has_decode_errors();
            if self.settings.keep_damaged {
                if bad {
                    self.damage.note(self.n_frames, "damaged");
                }
                if let Some(held) = self.held.take_if(|held| dts > held.after_dts) {
                    self.damage.note(self.n_frames, held.reason);
                }
                return Ok(Some(frame));
            }
            if bad {
                self.hold("a damaged frame", dts);
                self.held.iter_mut().for_each(|held| held.n_dropped += 1);
                continue;
            }
            let Some(held) = self.held.take_if(|held| dts > held.after_dts || held.n_dropped > 0) else {
                return Ok(Some(frame));
            };
            if self.n_frames > 0 {
                return Err(self.media_error(format!("damaged: {}", held.reason)));
            }
            self.notes.push(format!("what comes before the first whole frame is left out ({})", held.reason));
            return Ok(Some(frame));
        }
    }

    /// After the last frame: notes what is missing behind it.
    fn tell_tail(&mut self) -> Result<()> {
        if let Some(held) = self.held.take() {
            let n_missing = Some(held.n_dropped).filter(|n| *n > 0);
            self.damage.end(self.n_frames, n_missing, held.reason);
        } else if let Some((n_missing, reason)) = self.promise.broken(self.end_s()) {
            self.damage.end(self.n_frames, n_missing, reason);
        }
        if self.n_frames == 0 {
            let why = self.damage().first().map_or("no frames".into(), |range| range.reason.clone());
            return Err(Error::input(&self.path, format!("no picture can be decoded ({why})")));
        }
        Ok(())
    }

    /// The end of the last frame, seconds.
    fn end_s(&self) -> f64 {
        let ticks = if self.last_ticks > 0 { self.last_ticks } else { self.usual_ticks };
        self.last_pts.map_or(0.0, |pts| (pts + ticks) as f64 * self.tick_s())
    }

    fn tick_s(&self) -> f64 {
        f64::from(self.probe.time_base.0) / f64::from(self.probe.time_base.1)
    }

    /// From a decoded frame to one of the line.
    fn deliver(&mut self, mut frame: Video) -> Result<Frame> {
        self.note_complaints();
        let pts = self.rising(frame.timestamp().or(frame.pts()));
        let duration = frame.packet().duration.max(0);
        // The encoder shall choose its own kinds of frames.
        frame.set_kind(picture::Type::None);
        frame.set_pts(Some(pts));
        let frame = self.shaped(frame)?;
        let picture = Picture::from_frame(frame, pts, duration)
            .map_err(|_| self.media_error("a frame whose samples can't be read"))?;
        (self.last_pts, self.last_ticks) = (Some(pts), duration);
        self.n_frames += 1;
        Ok(Frame { idx: self.n_frames - 1, picture })
    }

    /// A time that is after the last one: the frame's own, if it is.
    fn rising(&mut self, told: Option<i64>) -> i64 {
        let Some(last) = self.last_pts else { return told.unwrap_or(0) };
        let next = last + if self.last_ticks > 0 { self.last_ticks } else { self.usual_ticks };
        let Some(pts) = told.map(|pts| pts + self.shift) else { return next };
        if pts > last {
            return pts;
        }
        let back_s = (last - pts) as f64 * self.tick_s();
        if back_s < CLOCK_JUMP_S {
            self.damage.note(self.n_frames, "its time is before that of the frame before it; moved");
            return last + 1;
        }
        self.notes.push(format!("the clock jumps back by {back_s:.3} s at frame {}; joined", self.n_frames));
        // Recordings that were joined end to end: go on from here.
        self.shift += next - pts;
        next
    }

    /// What the decoder said of frames that it gave nevertheless. Before the first frame it only says that it is
    /// looking for a place to start.
    fn note_complaints(&mut self) {
        let lines = self.journal.take();
        if self.n_frames > 0 && !lines.is_empty() {
            self.damage.note(self.n_frames, lines.join(", "));
        }
    }

    /// The frame in the shape of the first one, which itself is made into a format that is handled in place.
    fn shaped(&mut self, frame: Video) -> Result<Video> {
        let (path, own) = (&self.path, Shape::of(&frame));
        let wanted = if let Some(wanted) = self.shape {
            wanted
        } else {
            let target = layout::lossless_target(own.format.into()).ok_or_else(|| {
                Error::input(path, format!("pixels of the kind {:?} aren't supported", own.format))
            })?;
            *self.shape.insert(Shape { format: Pixel::from(target), ..own })
        };
        if own == wanted {
            return Ok(frame);
        }
        if (own.width, own.height) != (wanted.width, wanted.height) {
            if self.odd_size != Some((own.width, own.height)) {
                self.notes.push(format!(
                    "from frame {} on the picture is {} x {}, scaled to the first size {} x {}",
                    self.n_frames, own.width, own.height, wanted.width, wanted.height
                ));
            }
            self.odd_size = Some((own.width, own.height));
        }
        self.converter.convert(&frame, wanted).map_err(|reason| self.media_error(reason))
    }
}

impl Iterator for Decoder {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.phase == Phase::Ended {
            return None;
        }
        let next = match self.next_sound() {
            Ok(Some(frame)) => self.deliver(frame),
            Ok(None) => {
                self.phase = Phase::Ended;
                return None;
            }
            Err(e) => Err(e),
        };
        if next.is_err() {
            self.phase = Phase::Ended;
        }
        Some(next)
    }
}

fn bad_stream(path: &Path, error: ff::Error) -> Error {
    Error::input(path, format!("the video stream can't be decoded: {error}"))
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
