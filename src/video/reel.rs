//! The decoding itself: frames out of a file, in the order of presentation.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use ffmpeg_next::{format::Pixel, frame::Video, picture};

use super::{
    clock::{Clock, Join, Tick},
    convert::{Converter, Shape},
    damage::{Damage, DamagedFrames, Promise},
    decode::{DecodeSettings, Footage},
    feed::{Care, Feed, Next},
    layout,
    mend::{Mender, OnDamage, Stopped},
    open,
    picture::Picture,
    probe::{self, Probe},
    skip::{self, Wanted},
};
use crate::{Error, Result, frame::Frame};

/// Notes that are kept.
const MAX_NOTES: usize = 1000;

/// Gives the frames that a player would present, each with its time and duration in the stream's time base.
///
/// All frames have the size and pixel format of the first; a stream that changes them on the way is scaled to it,
/// which [`Footage::notes`] tells. Frames that can't be decoded, and those that are built on them, are told by
/// [`Footage::damage`] and mended as [`DecodeSettings::on_damage`] says: what is shown is no guess, unless nothing in the
/// file is whole. A tail that is cut off is the end of the stream. An error ends the iteration.
pub(super) struct Reel {
    path: PathBuf,
    settings: DecodeSettings,
    probe: Probe,
    promise: Promise,
    care: Care,
    feed: Feed,
    mender: Mender,
    queue: VecDeque<Video>,
    /// Frames to come that were given before the reading began anew.
    n_known: u64,
    clock: Clock,
    shaper: Shaper,
    n_frames: u64,
    damage: Damage,
    notes: Vec<String>,
    is_cut: bool,
    ended: bool,
}

impl Reel {
    /// Opens a video.
    ///
    /// # Errors
    /// As [`probe`](super::probe()).
    pub(super) fn open(path: &Path, settings: &DecodeSettings) -> Result<Self> {
        let input = open::open(path, settings.max_pixels)?;
        let index = open::video_stream(&input, path)?;
        let probe = probe::describe(&input, index, path)?;
        let stream = input.stream(index).ok_or_else(|| Error::input(path, "no video stream"))?;
        let promise = Promise::of(&stream, &probe.container, path);
        let clock = Clock::new(probe.time_base, probe.frame_rate);
        Ok(Self {
            care: Care::Quick,
            feed: Feed::open(path, input, index, settings, Care::Quick)?,
            path: path.into(),
            settings: settings.clone(),
            probe,
            promise,
            mender: Mender::new(settings.on_damage.unwrap_or_default(), false),
            queue: VecDeque::new(),
            n_known: 0,
            clock,
            shaper: Shaper::default(),
            n_frames: 0,
            damage: Damage::default(),
            notes: Vec::new(),
            is_cut: false,
            ended: false,
        })
    }

    /// Nothing was doubtful so far.
    fn is_sure(&self) -> bool {
        self.care == Care::Quick && self.damage.ranges().is_empty() && self.notes.is_empty()
    }

    /// The next frame that is presented.
    fn next_frame(&mut self) -> Result<Option<Video>> {
        loop {
            while let Some(frame) = self.queue.pop_front() {
                if self.n_known == 0 {
                    return Ok(Some(frame));
                }
                self.n_known -= 1;
            }
            if self.ended {
                return Ok(None);
            }
            match self.feed.next()? {
                Next::Shown(shown) => {
                    self.mender.take(shown, &mut self.damage, &mut self.queue).map_err(
                        |Stopped(n, why)| {
                            self.media_error(n, format!("damaged: {why} (--on-damage=repeat goes on)"))
                        },
                    )?;
                }
                Next::Doubt => self.read_again(Care::Careful)?,
                Next::End { cut } => self.end(cut)?,
            }
        }
    }

    /// Begins anew, one packet at a time. What was given so far is known to be whole.
    fn read_again(&mut self, care: Care) -> Result<()> {
        let input = open::open(&self.path, self.settings.max_pixels)?;
        self.feed = Feed::open(&self.path, input, self.probe.stream, &self.settings, care)?;
        self.care = care;
        self.mender = Mender::new(self.on_damage(), true);
        self.queue.clear();
        (self.n_known, self.damage) = (self.n_frames, Damage::default());
        Ok(())
    }

    /// After the last frame: tells what is missing behind it.
    fn end(&mut self, cut: Option<String>) -> Result<()> {
        let nothing = self.n_frames == 0 && self.queue.is_empty();
        if nothing && self.care == Care::Careful && self.on_damage() == OnDamage::Repeat {
            // Not one frame is whole: what the codec guesses is more than nothing, and is told to be that.
            return self.read_again(Care::Credulous);
        }
        self.ended = true;
        let broken = self.promise.broken(self.clock.end_s());
        self.is_cut = cut.is_some() || broken.is_some();
        if nothing {
            let why = self.mender.reason().unwrap_or("no frames");
            return Err(Error::input(&self.path, format!("no picture can be decoded ({why})")));
        }
        let (first, n_spoilt) = self.mender.finish(self.is_cut, &mut self.damage, &mut self.queue);
        if self.is_cut {
            let (n_missing, reason) = broken.unwrap_or((None, "missing: the file is cut off".into()));
            let reason = cut.map_or(reason.clone(), |cut| format!("{reason} ({cut})"));
            let n_missing = n_missing.map(|n| n.max(n_spoilt)).or(Some(n_spoilt).filter(|n| *n > 0));
            self.damage.end(first, n_missing, reason);
            if self.on_damage() == OnDamage::Stop {
                let reason = "the file is cut off (--on-damage=repeat keeps what is there)";
                return Err(self.media_error(first, reason));
            }
        }
        Ok(())
    }

    fn on_damage(&self) -> OnDamage {
        self.settings.on_damage.unwrap_or_default()
    }

    /// Notes something; of a file that is strange in each frame not all.
    fn tell(&mut self, note: String) {
        match self.notes.len() {
            0..MAX_NOTES => self.notes.push(note),
            MAX_NOTES => self.notes.push("and more of the like".into()),
            _ => {}
        }
    }

    fn media_error(&self, frame: u64, reason: impl Into<String>) -> Error {
        Error::Media { path: self.path.clone(), frame, reason: reason.into() }
    }

    /// From a decoded frame to one of the line.
    fn deliver(&mut self, mut frame: Video) -> Result<Frame> {
        let (number, packet) = (self.n_frames, frame.packet());
        let duration = packet.duration.max(0);
        let told = frame.timestamp().or(frame.pts());
        // Where an index leads to the packets, they may lie in any order.
        let position = if self.probe.container.contains("mov") { -1 } else { packet.position };
        let (pts, tick) = self.clock.next(told, duration, position);
        if self.care == Care::Credulous {
            self.damage.note(number, "no frame of the file is whole: shown as the decoder guesses it");
        }
        match tick {
            Tick::True => {}
            Tick::Moved => self.damage.note(number, "its time is not after that of the frame before; moved"),
            Tick::Joined(back_s) => {
                self.tell(format!("the clock jumps back by {back_s:.3} s at frame {number}; joined"));
            }
        }
        // The encoder shall choose its own kinds of frames.
        frame.set_kind(picture::Type::None);
        frame.set_pts(Some(pts));
        let (frame, note) = self.shaper.shaped(frame).map_err(|e| match e {
            Misfit::Unsupported(reason) => Error::input(&self.path, reason),
            Misfit::Failed(reason) => self.media_error(number, reason),
        })?;
        if let Some(note) = note {
            self.tell(format!("from frame {number} on {note}"));
        }
        let mut picture = Picture::from_frame(frame, pts, duration)
            .map_err(|_| self.media_error(number, "a frame whose samples can't be read"))?;
        picture.set_sure(self.is_sure());
        self.n_frames += 1;
        Ok(Frame { idx: number, picture })
    }
}

impl Footage for Reel {
    fn probe(&self) -> &Probe {
        &self.probe
    }

    fn skip_to(&mut self, wanted: Wanted) -> Result<u64> {
        if !self.is_sure() || self.ended {
            return Ok(self.n_frames);
        }
        let mut input = open::open(&self.path, self.settings.max_pixels)?;
        open::read_only(&mut input, |index| index == self.probe.stream);
        let landing = skip::land(&mut input, self.probe.stream, wanted);
        if let Some(landing) = landing.filter(|landing| landing.n_frames > self.n_frames) {
            self.n_frames = landing.n_frames;
            let feed = Feed::open(&self.path, input, self.probe.stream, &self.settings, Care::Quick)?;
            self.feed = feed.beginning_at(landing);
            self.clock = Clock::new(self.probe.time_base, self.probe.frame_rate);
            self.queue.clear();
        }
        Ok(self.n_frames)
    }

    fn damage(&self) -> &[DamagedFrames] {
        self.damage.ranges()
    }

    fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn joins(&self) -> &[Join] {
        self.clock.joins()
    }
}

impl Iterator for Reel {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_frame().and_then(|frame| frame.map(|frame| self.deliver(frame)).transpose());
        if next.is_err() {
            self.ended = true;
            self.queue.clear();
        }
        next.transpose()
    }
}

/// Brings all frames into the shape of the first, which itself is made into a format that is handled in place.
#[derive(Default)]
pub(super) struct Shaper {
    converter: Converter,
    shape: Option<Shape>,
    /// The last size that wasn't the first one's.
    odd_size: Option<(u32, u32)>,
}

pub(super) enum Misfit {
    Unsupported(String),
    Failed(String),
}

impl Shaper {
    /// The frame in its shape, and what there is to say of it.
    pub(super) fn shaped(&mut self, frame: Video) -> Result<(Video, Option<String>), Misfit> {
        let own = Shape::of(&frame);
        let wanted = if let Some(wanted) = self.shape {
            wanted
        } else {
            let target = layout::lossless_target(own.format.into()).ok_or_else(|| {
                Misfit::Unsupported(format!("pixels of the kind {:?} aren't supported", own.format))
            })?;
            *self.shape.insert(Shape { format: Pixel::from(target), ..own })
        };
        if own == wanted {
            return Ok((frame, None));
        }
        let mut note = None;
        let size = (own.width, own.height);
        if size != (wanted.width, wanted.height) && self.odd_size != Some(size) {
            note = Some(format!(
                "the picture is {} x {}, scaled to the first size {} x {}",
                own.width, own.height, wanted.width, wanted.height
            ));
            self.odd_size = Some(size);
        }
        Ok((self.converter.convert(&frame, wanted).map_err(Misfit::Failed)?, note))
    }
}
