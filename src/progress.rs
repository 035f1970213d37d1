//! How far a run has come, told to a person (a bar, or plain lines) or to a program (JSON lines).

use std::{
    io::{IsTerminal, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{report::Report, resume::Work, video::Probe};

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// A bar when standard error is a terminal, plain lines otherwise.
    #[default]
    Auto,
    /// A line every few seconds on standard error.
    Plain,
    /// One JSON object a line on standard output: `start`, `frame`, `done`.
    Json,
    /// Nothing but errors.
    Quiet,
}

/// Plain and JSON lines come no faster than this.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What a run reports to while it works, and where it looks whether it shall stop.
#[derive(Debug)]
pub struct Watch<'a> {
    /// Set from outside: the run ends with [`crate::Error::Cancelled`] after the frame in hand.
    pub stop: &'a AtomicBool,
    /// That a wish to stop was heard has been told.
    is_stopping: bool,
    style: Style,
    bar: Option<ProgressBar>,
    name: String,
    frame_mp: f64,
    n_frames_hint: Option<u64>,
    /// Frames that an earlier run left.
    n_kept: u64,
    start: Instant,
    last_line: Instant,
}

impl<'a> Watch<'a> {
    /// A watch that tells in `style`.
    pub fn new(style: Style, stop: &'a AtomicBool) -> Self {
        let now = Instant::now();
        Self {
            stop,
            is_stopping: false,
            style,
            bar: None,
            name: String::new(),
            frame_mp: 0.0,
            n_frames_hint: None,
            n_kept: 0,
            start: now,
            last_line: now,
        }
    }

    /// A watch for one of several files at once, which share no bar.
    #[must_use]
    pub fn beside(&self) -> Self {
        let style = if self.style == Style::Auto { Style::Plain } else { self.style };
        Self::new(style, self.stop)
    }

    /// A video begins.
    pub fn start(&mut self, input: &Path, probe: &Probe) {
        let (w, h) = probe.size_px;
        self.begin(input, probe.n_frames_hint, w * h);
        if self.style == Style::Json {
            emit(&json!({"event": "start", "input": input.to_string_lossy(), "frames": probe.n_frames_hint,
                "width": w, "height": h, "codec": probe.codec, "pixel_format": probe.pixel_format}));
        }
    }

    /// Work on `n_items` frames of `n_pixels` each begins.
    pub fn begin(&mut self, input: &Path, n_items: Option<u64>, n_pixels: usize) {
        self.name = input.file_name().unwrap_or(input.as_os_str()).to_string_lossy().into_owned();
        self.frame_mp = n_pixels as f64 / 1e6;
        self.n_frames_hint = n_items;
        self.n_kept = 0;
        self.start = Instant::now();
        self.last_line = self.start;
        if self.style == Style::Auto && std::io::stderr().is_terminal() {
            let bar = n_items.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let template = "{prefix} {wide_bar} {pos}/{len} frames  {msg}  ETA {eta}";
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_prefix(self.name.clone());
            self.bar = Some(bar);
        }
    }

    /// Frame number `n_done` (from 1) is written, `n_faces` faces in it are new.
    pub fn frame(&mut self, n_done: u64, n_faces: usize) {
        // A run that goes on begins before the first frame that is missing, so that the line warms up.
        let n_done = n_done.max(self.n_kept);
        let fps = self.fps(n_done);
        if let Some(bar) = &self.bar {
            bar.set_position(n_done);
            bar.set_message(format!("{fps:.1} fps  {:.1} MP/s", fps * self.frame_mp));
            return;
        }
        if self.style == Style::Quiet || self.last_line.elapsed() < LINE_EVERY {
            return;
        }
        self.last_line = Instant::now();
        let eta_s = self.n_frames_hint.filter(|_| fps > 0.0).map(|n| n.saturating_sub(n_done) as f64 / fps);
        if self.style == Style::Json {
            emit(&json!({"event": "frame", "done": n_done, "frames": self.n_frames_hint, "faces": n_faces,
                "fps": fps, "mp_per_s": fps * self.frame_mp, "eta_s": eta_s}));
        } else {
            let of = self.n_frames_hint.map_or(String::new(), |n| format!("/{n}"));
            let eta = eta_s.map_or(String::new(), |s| format!(", {} left", clock(s)));
            let mp_per_s = fps * self.frame_mp;
            self.line(&format!("{}: frame {n_done}{of}, {fps:.1} fps, {mp_per_s:.1} MP/s{eta}", self.name));
        }
    }

    /// The video goes on with what an earlier run has left.
    pub fn resume(&mut self, work: &Work) {
        self.n_kept = work.n_kept();
        work.notes().iter().for_each(|note| self.line(&format!("{}: {note}", self.name)));
    }

    /// Whether the user wishes to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The run, which has written `n_done` frames, will stop after `n_frames` more, or at its end; told once.
    pub fn stopping(&mut self, n_done: u64, n_frames: u64) {
        if self.is_stopping {
            return;
        }
        self.is_stopping = true;
        let left = self.n_frames_hint.map(|all| all.saturating_sub(n_done)).filter(|left| *left > 0);
        let n_frames = left.map_or(n_frames, |left| left.min(n_frames));
        let fps = self.fps(n_done);
        let time = if fps > 0.0 { format!(" ({})", clock(n_frames as f64 / fps)) } else { String::new() };
        self.line(&format!(
            "{}: stopping after {n_frames} more frames{time}, so that none is lost; once more stops at once",
            self.name
        ));
    }

    /// Frames a second of this run, of which `n_done` are written.
    fn fps(&self, n_done: u64) -> f64 {
        let seconds = self.start.elapsed().as_secs_f64().max(1e-9);
        n_done.saturating_sub(self.n_kept) as f64 / seconds
    }

    /// A file is done: the short form of its report.
    pub fn done(&mut self, output: &Path, report: &Report) {
        self.clear();
        if self.style == Style::Json {
            emit(&json!({"event": "done", "output": output.to_string_lossy(), "report": report,
                "fps": report.fps(), "mp_per_s": report.mp_per_s()}));
            return;
        }
        self.line(&format!(
            "{}: {} frames, {} with a new face, {:.1} s, {:.1} fps, {:.1} MP/s",
            output.display(),
            report.frames.written,
            report.frames.swapped,
            report.seconds,
            report.fps(),
            report.mp_per_s()
        ));
        for note in &report.notes {
            self.line(&format!("note: {note}"));
        }
        self.line(&report.to_string());
    }

    /// Tells how many symbolic links of a folder are left out, if any are.
    pub fn links_left_out(&self, folder: &Path, n: usize) {
        if n > 0 {
            self.line(&format!("{}: {n} symbolic links are left out", folder.display()));
        }
    }

    /// Tells a line to a person; a program that reads JSON gets it as a `message`.
    pub fn line(&self, text: &str) {
        match self.style {
            Style::Quiet => {}
            Style::Json => emit(&json!({"event": "message", "text": text})),
            Style::Auto | Style::Plain => {
                // Who closed standard error doesn't want to read it.
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        }
    }

    /// Tells an event: a program gets it as JSON, a person in words.
    pub fn event(&self, event: &(impl serde::Serialize + std::fmt::Display)) {
        match self.style {
            Style::Json => emit(&json!(event)),
            _ => self.line(&event.to_string()),
        }
    }

    /// Takes the bar away, so that what is printed next stands on a line of its own.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn emit(value: &serde_json::Value) {
    // A reader that hung up is no reason to lose the video.
    let _ = writeln!(std::io::stdout(), "{value}");
}

/// Seconds as `1:02:03` or `2:03`.
fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn clock_reads_like_a_clock() {
        assert_eq!(clock(7.4), "0:07");
        assert_eq!(clock(125.0), "2:05");
        assert_eq!(clock(3723.0), "1:02:03");
    }
}
