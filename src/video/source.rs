//! The frames of a run: a video or numbered pictures, made whole, cut to the wanted part, at the wanted rate.

use std::path::Path;

use serde::Serialize;

use super::{
    damage::DamagedFrames,
    decode::{DecodeSettings, Decoder},
    deinterlace::Deinterlacer,
    mend::OnDamage,
    pattern::Pattern,
    probe::Probe,
    rate::Resampler,
    sequence::Sequence,
    skip::Wanted,
    trim::{Cut, Place, SLACK_S, Trim},
};
use crate::{Error, Result, frame::Frame};

/// What becomes of the input's frames before anything else is done with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SourceSettings {
    /// Which part is wanted.
    pub trim: Trim,
    /// Frames per second of the output, as a fraction; `None` keeps every frame at its time.
    pub rate: Option<(i32, i32)>,
    /// Makes whole frames of woven fields, which are refused otherwise.
    pub deinterlace: bool,
    /// Frames per second of numbered pictures; `None` for 25.
    pub sequence_rate: Option<(i32, i32)>,
}

/// Frames of numbered pictures that come without a rate.
const SEQUENCE_RATE: (i32, i32) = (25, 1);

/// Gives the frames that the output is made of, numbered from 0. Opened twice, it gives the same frames twice.
pub struct Source {
    input: Input,
    settings: SourceSettings,
    /// What the frames that come out look like.
    probe: Probe,
    tick_s: f64,
    deinterlacer: Deinterlacer,
    resampler: Option<Resampler>,
    /// Time of the input's first frame, and of the first that is wanted.
    first_pts: Option<i64>,
    start_pts: Option<i64>,
    /// Number of the first that is wanted, as the input counts, and in the name of its picture.
    start_idx: u64,
    start_number: Option<u64>,
    /// Frames that would have been given and were passed over.
    n_skipped: u64,
    /// What becomes of frames that can't be decoded.
    on_damage: OnDamage,
    /// The end of the last wanted frame, on the input's clock.
    end_pts: i64,
    reached_end: bool,
    n_out: u64,
    ended: bool,
}

enum Input {
    Video(Box<Decoder>),
    Pictures(Box<Sequence>),
}

/// What `settings` make of a probed input.
fn checked(mut probe: Probe, settings: &SourceSettings) -> Result<Probe> {
    if probe.interlaced && !settings.deinterlace {
        return Err(interlaced(&probe.path));
    }
    if settings.deinterlace {
        probe.interlaced = false;
    }
    if let Some(rate) = settings.rate {
        (probe.time_base, probe.frame_rate) = (Resampler::grid(rate).1, rate);
        probe.n_frames_hint = probe.duration_s.map(|s| (s * f64::from(rate.0) / f64::from(rate.1)) as u64);
    }
    if let (Some(end), None) = (settings.trim.end_frame, settings.rate) {
        let wanted = end - settings.trim.start_frame.unwrap_or(0);
        probe.n_frames_hint = probe.n_frames_hint.map(|n| n.min(wanted));
    }
    Ok(probe)
}

fn interlaced(path: &Path) -> Error {
    let reason = "interlaced: its frames are woven from two fields; --deinterlace makes whole frames of them";
    Error::Refused { path: path.into(), reason: reason.into() }
}

impl Source {
    /// Opens a video, or numbered pictures when `path` is a [`Pattern`].
    ///
    /// # Errors
    /// As [`probe`](super::probe()); [`Error::Refused`] for woven fields that nobody asked to take apart.
    pub fn open(path: &Path, decode: &DecodeSettings, settings: &SourceSettings) -> Result<Self> {
        let (input, probe) = match Pattern::parse(path) {
            None => {
                let decoder = Decoder::open(path, decode)?;
                let probe = decoder.probe().clone();
                (Input::Video(Box::new(decoder)), probe)
            }
            Some(pattern) => {
                let rate = settings.sequence_rate.unwrap_or(SEQUENCE_RATE);
                let (sequence, probe) = Sequence::open(path, pattern, rate, decode)?;
                (Input::Pictures(Box::new(sequence)), probe)
            }
        };
        let base = probe.time_base;
        Ok(Self {
            input,
            settings: *settings,
            probe: checked(probe, settings)?,
            tick_s: f64::from(base.0) / f64::from(base.1),
            deinterlacer: Deinterlacer::default(),
            resampler: settings.rate.map(|rate| Resampler::new(base, rate)),
            first_pts: None,
            start_pts: None,
            start_idx: 0,
            start_number: None,
            n_skipped: 0,
            on_damage: decode.on_damage.unwrap_or_default(),
            end_pts: 0,
            reached_end: false,
            n_out: 0,
            ended: false,
        })
    }

    /// What the frames that come out look like.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Frames of the input, as it presents them, that aren't shown as they were filmed; complete after the last frame.
    pub fn damage(&self) -> &[DamagedFrames] {
        match &self.input {
            Input::Video(decoder) => decoder.damage(),
            Input::Pictures(sequence) => sequence.damage(),
        }
    }

    /// What is odd about the input and yet no damage.
    pub fn notes(&self) -> &[String] {
        match &self.input {
            Input::Video(decoder) => decoder.notes(),
            Input::Pictures(_) => &[],
        }
    }

    /// What the other tracks have to lose; known after the last frame.
    pub fn cut(&self) -> Cut {
        let is_cut = self.reached_end || matches!(&self.input, Input::Video(decoder) if decoder.is_cut());
        let seconds = |ticks: i64| ticks as f64 * self.tick_s;
        Cut {
            start_s: self.start_pts.filter(|_| self.settings.trim.cuts_start()).map(seconds),
            end_s: is_cut.then(|| seconds(self.end_pts)),
            joins: match &self.input {
                Input::Video(decoder) => decoder.joins().to_vec(),
                Input::Pictures(_) => Vec::new(),
            },
        }
    }

    /// The number of the first frame that was given among the input's own pictures; known after it was.
    pub fn first_number(&self) -> Option<u64> {
        self.start_number
    }

    /// After the first frame: goes on with frame number `frame` or one before it, without decoding those between where
    /// they aren't needed to tell what follows. Nothing in the input may have been doubtful up to there.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn skip_to(&mut self, frame: u64) -> Result<()> {
        if self.resampler.is_some() || self.settings.deinterlace || self.ended || self.n_out == 0 {
            return Ok(());
        }
        let wanted = self.start_idx + frame;
        let next = match &mut self.input {
            Input::Video(decoder) => decoder.skip_to(Wanted { frame: wanted, pts: i64::MIN })?,
            Input::Pictures(sequence) => sequence.skip_to(wanted),
        } - self.start_idx;
        self.n_skipped += next - self.n_out;
        self.n_out = next;
        Ok(())
    }

    /// Frames that [`Source::skip_to`] passed over.
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped
    }

    /// Passes over frames before the wanted part, unless what is wrong with them changes the numbers of the others.
    fn skip_start(&mut self, first_pts: i64) -> Result<()> {
        let Input::Video(decoder) = &mut self.input else { return Ok(()) };
        if self.settings.deinterlace || self.on_damage == OnDamage::Skip {
            return Ok(());
        }
        let Trim { start_frame, from_s, .. } = self.settings.trim;
        let pts = from_s
            .map_or(i64::MIN, |from_s| first_pts + ((from_s - 2.0 * SLACK_S) / self.tick_s).floor() as i64);
        decoder.skip_to(Wanted { frame: start_frame.unwrap_or(0), pts }).map(drop)
    }

    fn decoded(&mut self) -> Option<Result<Frame>> {
        match &mut self.input {
            Input::Video(decoder) => decoder.next(),
            Input::Pictures(sequence) => sequence.next(),
        }
    }

    fn whole(&mut self) -> Option<Result<Frame>> {
        loop {
            let frame = match self.decoded() {
                None => return self.deinterlacer.finish().map(Ok),
                Some(Err(e)) => return Some(Err(e)),
                Some(Ok(frame)) => frame,
            };
            if !self.settings.deinterlace {
                let woven = frame.picture.top_field_first().is_some();
                return Some(if woven { Err(interlaced(&self.probe.path)) } else { Ok(frame) });
            }
            if let Some(frame) = self.deinterlacer.push(frame) {
                return Some(Ok(frame));
            }
        }
    }

    fn wanted(&mut self) -> Option<Result<Frame>> {
        while !self.reached_end {
            let frame = match self.whole()? {
                Ok(frame) => frame,
                Err(e) => return Some(Err(e)),
            };
            let (pts, duration) = (frame.picture.pts(), frame.picture.duration());
            let is_first = self.first_pts.is_none();
            let first = *self.first_pts.get_or_insert(pts);
            match self.settings.trim.place(&frame, (pts - first) as f64 * self.tick_s) {
                Place::Before => match is_first.then(|| self.skip_start(first)) {
                    Some(Err(e)) => return Some(Err(e)),
                    _ => continue,
                },
                Place::Behind => {
                    self.reached_end = true;
                    // A frame lasts until the next one.
                    self.end_pts = pts;
                    break;
                }
                Place::Within => {}
            }
            if self.start_pts.is_none() {
                self.start_idx = frame.idx;
                self.start_number = match &self.input {
                    Input::Video(_) => None,
                    Input::Pictures(sequence) => Some(sequence.number()),
                };
            }
            let start = *self.start_pts.get_or_insert(pts);
            self.end_pts = pts + duration;
            let shift = if self.settings.trim.cuts_start() { start } else { 0 };
            let picture = frame.picture.at(pts - shift, duration);
            return Some(Ok(Frame { idx: frame.idx, picture }));
        }
        None
    }

    fn resampled(&mut self) -> Option<Result<Frame>> {
        let Some(mut resampler) = self.resampler.take() else { return self.wanted() };
        let frame = resampler.pull(&mut || self.wanted());
        self.resampler = Some(resampler);
        frame
    }
}

impl Iterator for Source {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.resampled() {
            Some(Ok(frame)) => {
                self.n_out += 1;
                Some(Ok(Frame { idx: self.n_out - 1, picture: frame.picture }))
            }
            None if self.n_out == 0 && self.first_pts.is_some() => {
                self.ended = true;
                let reason = "no frame lies in the part that --from, --to and --trim-frame-.. leave";
                Some(Err(Error::input(&self.probe.path, reason)))
            }
            other => {
                self.ended = true;
                other
            }
        }
    }
}
