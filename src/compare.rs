//! Two videos shown to a person, who says which looks more real: the A/B test, on a page of one's own machine.
//!
//! Blind, each trial shows the same moment of both in random places, and nothing that the page loads says which is
//! which (two-alternative forced choice). The answers are written after every trial, so none is lost.

mod http;
mod trials;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
pub use trials::Verdict;
use trials::{Choice, Trials};

use self::http::{Answer, Request};
use crate::{Error, Result, resume::durable, video};

/// The page; it loads nothing from elsewhere.
const PAGE: &str = include_str!("compare/page.html");

/// Codecs that browsers play.
const PLAYABLE: [&str; 4] = ["h264", "vp8", "vp9", "av1"];

/// Containers that browsers play, by FFmpeg's names, and what they are served as.
const CONTAINERS: [(&str, &str); 2] = [("mp4", "video/mp4"), ("webm", "video/webm")];

/// Two lengths are the same within this many seconds.
const SAME_LENGTH_S: f64 = 0.1;

/// What is shown, and how.
#[derive(Debug, Clone)]
pub struct CompareSettings {
    /// The two videos.
    pub videos: [PathBuf; 2],
    /// Hide which is which. Otherwise the page is for looking, and names them.
    pub blind: bool,
    /// What is asked.
    pub question: String,
    /// How often.
    pub n_trials: usize,
    /// Seconds of a clip that one trial shows.
    pub seconds: f64,
    /// Where the answers are written.
    pub output: PathBuf,
    /// Port of the page on this machine; 0 for any that is free.
    pub port: u16,
    /// Seed of the places; the clock where none is given.
    pub seed: Option<u64>,
}

/// Shows the page until all trials are answered or `stop` is set. `tell` gets the page's address once it is there.
///
/// # Errors
/// [`Error::BadInput`] for videos that a browser can't play or that differ in length, [`Error::BadSetting`] for a port
/// that is taken, [`Error::Cancelled`] when it was stopped before the last answer, [`Error::Io`] when the answers can't
/// be written.
pub fn compare(settings: &CompareSettings, tell: &dyn Fn(&str), stop: &AtomicBool) -> Result<Verdict> {
    let media = [Media::open(&settings.videos[0])?, Media::open(&settings.videos[1])?];
    let length_s = same_length(&media)?;
    let seed = settings.seed.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    });
    let trials = Trials::new(settings.n_trials, length_s, settings.seconds.min(length_s), seed);
    let listener = TcpListener::bind(("127.0.0.1", settings.port)).map_err(|e| {
        Error::setting("--port", settings.port, format!("can't be had: {e}; give another, or 0 for any"))
    })?;
    let address =
        listener.local_addr().map_err(|e| Error::Device(format!("no address for the page: {e}")))?;
    tell(&format!("http://{address}/"));
    let mut desk = Desk { settings, media, trials, failed: None };
    http::serve(&listener, &mut |request| desk.answer(request), &mut |answered| {
        stop.load(Ordering::Relaxed) || answered
    })?;
    if let Some(failed) = desk.failed {
        return Err(failed);
    }
    if desk.trials.is_done() { Ok(desk.trials.verdict()) } else { Err(Error::Cancelled) }
}

/// A video that a browser can play.
struct Media {
    path: PathBuf,
    kind: &'static str,
    length_s: f64,
}

impl Media {
    fn open(path: &Path) -> Result<Self> {
        let probe = video::probe(path)?;
        let container = CONTAINERS.iter().find(|(name, _)| probe.container.split(',').any(|n| n == *name));
        let (Some((_, kind)), true) = (container, PLAYABLE.contains(&&*probe.codec)) else {
            let reason = format!(
                "{} in {} isn't played by browsers; make a copy that is: ffmpeg -i IN -c:v libx264 -crf 12 OUT.mp4",
                probe.codec, probe.container
            );
            return Err(Error::input(path, reason));
        };
        let length_s = probe.duration_s.filter(|s| *s > 0.0);
        let length_s = length_s.ok_or_else(|| Error::input(path, "doesn't say how long it is"))?;
        Ok(Self { path: path.into(), kind, length_s })
    }
}

fn same_length([a, b]: &[Media; 2]) -> Result<f64> {
    if (a.length_s - b.length_s).abs() > SAME_LENGTH_S {
        let reason = format!(
            "lasts {:.2} s, {} {:.2} s; two versions of one clip are needed",
            b.length_s,
            a.path.display(),
            a.length_s
        );
        return Err(Error::input(&b.path, reason));
    }
    Ok(a.length_s.min(b.length_s))
}

/// What answers the page's requests.
struct Desk<'a> {
    settings: &'a CompareSettings,
    media: [Media; 2],
    trials: Trials,
    failed: Option<Error>,
}

impl Desk<'_> {
    /// What a request gets, and whether it was the last that matters.
    fn answer(&mut self, request: &Request) -> (Answer, bool) {
        let mut parts = request.path.trim_start_matches('/').split('/');
        match (&*request.method, parts.next(), parts.next(), parts.next()) {
            ("GET", Some(""), None, None) => (Answer::text("text/html; charset=utf-8", PAGE), false),
            ("GET", Some("trial"), None, None) => (Answer::json(&self.trial()), false),
            ("GET", Some("clip"), Some(nth), Some(side @ ("left" | "right"))) => {
                (self.clip(nth, side == "left", request), false)
            }
            ("POST", Some("choice"), Some(nth), Some(choice)) => self.choose(nth, choice),
            _ => (Answer::status(404), false),
        }
    }

    fn trial(&self) -> serde_json::Value {
        let Some(trial) = self.trials.current() else {
            return json!({"done": true, "verdict": self.trials.verdict(), "output": self.settings.output});
        };
        let names = (!self.settings.blind).then(|| self.settings.videos.clone());
        json!({"done": false, "nth": trial.nth, "of": self.settings.n_trials, "start": trial.start_s,
            "seconds": self.trials.seconds, "question": self.settings.question, "names": names})
    }

    /// A part of the file that stands at a place of a trial.
    fn clip(&self, nth: &str, is_left: bool, request: &Request) -> Answer {
        let Some(trial) = nth.parse().ok().and_then(|nth| self.trials.nth(nth)) else {
            return Answer::status(404);
        };
        // Who only looks sees them in the order in which they were named.
        let first_is_left = !self.settings.blind || trial.first_is_left;
        let media = &self.media[usize::from(first_is_left != is_left)];
        Answer::part_of_file(&media.path, media.kind, request.range_from)
    }

    fn choose(&mut self, nth: &str, choice: &str) -> (Answer, bool) {
        let (Ok(nth), Some(choice)) = (nth.parse::<usize>(), Choice::by_name(choice)) else {
            return (Answer::status(400), false);
        };
        let first_is_left = !self.settings.blind;
        if !self.trials.answer(nth, choice, first_is_left) {
            return (Answer::status(409), false); // answered before, by a page that was open twice
        }
        if let Err(e) = self.write() {
            self.failed = Some(e);
            return (Answer::status(500), true);
        }
        (Answer::json(&self.trial()), self.trials.is_done())
    }

    /// The answers so far, in place of those before.
    fn write(&self) -> Result<()> {
        let result = json!({
            "schema": "faceswap-compare-1", "videos": self.settings.videos, "blind": self.settings.blind,
            "question": self.settings.question, "seed": self.trials.seed, "verdict": self.trials.verdict(),
            "trials": self.trials.answered(),
        });
        let text = serde_json::to_vec_pretty(&result).unwrap_or_default();
        durable::replace_file(&self.settings.output, &text)
    }
}

#[cfg(test)]
mod tests;
