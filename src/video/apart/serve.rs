//! The process that decodes.

use std::{
    io,
    os::fd::AsFd,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use super::{
    shared::Studio,
    wire::{self, Answer, Ask, Fault, News, Told},
};
use crate::{
    frame::Frame,
    sandbox::Sandbox,
    video::{
        decode::{DecodeSettings, Footage},
        reel::Reel,
    },
};

/// Decodes for the process that started this one, see [`DecodeSettings::program`], and
/// ends with it. Standard input is the socket, standard output the memory that is shared.
///
/// # Errors
/// What went wrong between the two processes. Whatever is wrong with the file is answered, not returned.
pub fn serve_frames() -> io::Result<()> {
    settle();
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let memory = io::stdout().as_fd().try_clone_to_owned()?.into();
    let Ask::Open(path, settings) = wire::receive(&socket)? else {
        return Err(io::Error::other("the first question must be to open a file"));
    };
    let path = Ask::path(path);
    // From here on strangers have a say.
    Sandbox::nothing().reading(&path).enter()?;
    match Server::open(&path, &settings, Studio::new(memory)) {
        Ok((mut server, opened)) => {
            wire::send(&socket, &opened)?;
            server.serve(&socket)
        }
        Err(failed) => wire::send(&socket, &failed),
    }
}

/// A name in the list of processes, and no ear for what is meant for the other one: it decides when this one ends.
fn settle() {
    // SAFETY: the name is a constant string; no handler is installed, signals are ignored.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"faceswap decode".as_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}

/// What a decoder gives.
type Ahead = Box<Option<crate::Result<Frame>>>;

struct Server {
    reel: Reel,
    studio: Studio,
    told: Told,
    /// The next frame, decoded while the other process works on the one before.
    ahead: Option<Ahead>,
    n_asked: u64,
}

impl Server {
    /// Opens the file, or says why not.
    fn open(path: &Path, settings: &DecodeSettings, studio: Studio) -> Result<(Self, Answer), Answer> {
        let reel = Reel::open(path, settings)
            .map_err(|e| Answer::Failed(Box::new(Fault::of(&e)), News::default()))?;
        let mut probe = reel.probe().clone();
        probe.path = PathBuf::new();
        let opened = Answer::Opened(Box::new(probe));
        Ok((Self { reel, studio, told: Told::default(), ahead: None, n_asked: 0 }, opened))
    }

    fn serve(&mut self, socket: &UnixStream) -> io::Result<()> {
        loop {
            let ask = match wire::receive(socket) {
                // The other process wants no more, or is gone.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                ask => ask?,
            };
            let answer = match ask {
                Ask::Next => self.next()?,
                Ask::SkipTo(wanted) => match &self.ahead {
                    // What is decoded already would be lost.
                    Some(_) => Answer::Skipped(self.n_asked),
                    None => match self.reel.skip_to(wanted) {
                        Ok(next) => {
                            self.n_asked = next;
                            Answer::Skipped(next)
                        }
                        Err(e) => self.failed(&e),
                    },
                },
                Ask::Open(..) => return Err(io::Error::other("a file is open already")),
            };
            wire::send(socket, &answer)?;
            // Nobody skips after the second frame.
            if self.n_asked > 1 && matches!(answer, Answer::Frame(..)) {
                self.ahead = Some(Box::new(self.reel.next()));
            }
        }
    }

    fn next(&mut self) -> io::Result<Answer> {
        let next = self.ahead.take().map_or_else(|| self.reel.next(), |ahead| *ahead);
        Ok(match next {
            Some(Ok(frame)) => {
                self.n_asked += 1;
                let shown = self.studio.show(frame.picture)?;
                Answer::Frame(Box::new(shown), self.news())
            }
            Some(Err(e)) => self.failed(&e),
            None => Answer::End(self.news()),
        })
    }

    fn failed(&mut self, error: &crate::Error) -> Answer {
        Answer::Failed(Box::new(Fault::of(error)), self.news())
    }

    fn news(&mut self) -> News {
        self.told.news(self.reel.damage(), self.reel.notes(), self.reel.joins(), self.reel.is_cut())
    }
}
