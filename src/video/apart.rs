//! Decoding in a process of its own.
//!
//! Codecs are a million lines of C that read what strangers made. Here they run in a process that may read the one file
//! and nothing else, and whose crash is an error of this one. It is this same program, started once more with
//! [`SERVE_FRAMES`]. Questions and answers go over a socket that is its standard input; samples lie in memory that both
//! share, which is its standard output, so that they are copied once, by the other process.
//!
//! Whatever comes from there is as doubtful as the file itself: sizes and formats are checked before they are believed.

mod serve;
mod shared;
mod wire;

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
};

pub use serve::serve_frames;

use self::{
    shared::Gallery,
    wire::{Answer, Ask, Told},
};
use super::{
    clock::Join,
    damage::DamagedFrames,
    decode::{DecodeSettings, Footage},
    picture::Picture,
    probe::Probe,
    skip::Wanted,
};
use crate::{Error, Result, frame::Frame};

/// The one argument of a process that decodes for another.
pub const SERVE_FRAMES: &str = "--serve-frames";

/// Whether memory can be shared: it counts as a file, whose size may be limited (`ulimit -f`).
pub(super) fn is_possible() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the structure that it is given.
    let code = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    code == 0 && limit.rlim_cur == libc::RLIM_INFINITY
}

/// A decoder in another process, as its owner sees it.
pub(super) struct Apart {
    path: PathBuf,
    child: Child,
    socket: UnixStream,
    gallery: Gallery,
    probe: Probe,
    told: Told,
    n_frames: u64,
    ended: bool,
}

impl Apart {
    /// Starts `program` and lets it open a video.
    ///
    /// # Errors
    /// As [`super::Decoder::open`].
    pub(super) fn open(program: &Path, path: &Path, settings: &DecodeSettings) -> Result<Self> {
        super::init();
        let start = || -> io::Result<_> {
            let (socket, theirs) = UnixStream::pair()?;
            let (gallery, memory) = Gallery::new()?;
            let mut command = Command::new(program);
            command.arg(SERVE_FRAMES).stdin(OwnedFd::from(theirs)).stdout(memory);
            Ok((command.spawn()?, socket, gallery))
        };
        let (child, socket, gallery) = start().map_err(|e| {
            let program = program.display();
            Error::Device(format!("{program} can't be started to decode ({e}); --no-sandbox goes on without"))
        })?;
        let mut apart = Self {
            path: path.into(),
            child,
            socket,
            gallery,
            probe: Probe::default(),
            told: Told::default(),
            n_frames: 0,
            ended: false,
        };
        match apart.ask(&Ask::open(path, settings))? {
            Answer::Opened(probe) => apart.probe = Probe { path: path.into(), ..*probe },
            answer => return Err(apart.unexpected(answer)),
        }
        Ok(apart)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        match self.ask(&Ask::Next)? {
            Answer::Frame(shown, news) => {
                self.told.take(news);
                let (idx, is_sure, pts, duration) = (self.n_frames, shown.is_sure, shown.pts, shown.duration);
                let frame = self.gallery.frame(&shown).map_err(|reason| self.lost(&reason))?;
                let mut picture = Picture::from_frame(frame, pts, duration)
                    .map_err(|_| self.lost("a frame whose samples can't be read"))?;
                picture.set_sure(is_sure);
                self.n_frames += 1;
                Ok(Some(Frame { idx, picture }))
            }
            Answer::End(news) => {
                self.told.take(news);
                Ok(None)
            }
            answer => Err(self.unexpected(answer)),
        }
    }

    /// One question, one answer.
    fn ask(&mut self, ask: &Ask) -> Result<Answer> {
        let answer = wire::send(&self.socket, ask).and_then(|()| wire::receive(&self.socket));
        answer.map_err(|e| self.gone(&e))
    }

    /// The error that an answer is, or the one that it isn't what was asked for.
    fn unexpected(&mut self, answer: Answer) -> Error {
        match answer {
            Answer::Failed(fault, news) => {
                self.told.take(news);
                fault.into_error(&self.path)
            }
            _ => self.lost("the process that decodes answers something else than it was asked"),
        }
    }

    /// Why there is no answer any more.
    fn gone(&mut self, error: &io::Error) -> Error {
        // It has ended, or else is of no more use.
        let _ = self.child.kill();
        let status = self.child.wait().ok();
        match status.and_then(|status| status.signal()) {
            Some(signal @ (libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGABRT)) => {
                self.lost(&format!(
                    "the decoder crashed (signal {signal}); --trim-frame-end {} keeps what comes before",
                    self.n_frames
                ))
            }
            Some(signal) if error.kind() == io::ErrorKind::UnexpectedEof => self
                .lost(&format!("the process that decodes was stopped (signal {signal}); is memory short?")),
            _ => self.lost(&format!("the process that decodes has ended ({error})")),
        }
    }

    fn lost(&self, reason: &str) -> Error {
        Error::Media { path: self.path.clone(), frame: self.n_frames, reason: reason.into() }
    }
}

impl Footage for Apart {
    fn probe(&self) -> &Probe {
        &self.probe
    }

    fn skip_to(&mut self, wanted: Wanted) -> Result<u64> {
        if self.ended {
            return Ok(self.n_frames);
        }
        match self.ask(&Ask::SkipTo(wanted))? {
            Answer::Skipped(next) if next >= self.n_frames => self.n_frames = next,
            answer => return Err(self.unexpected(answer)),
        }
        Ok(self.n_frames)
    }

    fn damage(&self) -> &[DamagedFrames] {
        &self.told.damage
    }

    fn is_cut(&self) -> bool {
        self.told.is_cut
    }

    fn notes(&self) -> &[String] {
        &self.told.notes
    }

    fn joins(&self) -> &[Join] {
        &self.told.joins
    }
}

impl Iterator for Apart {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_frame().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It only reads: nothing is lost. Without the wait it would stay in the table of processes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
