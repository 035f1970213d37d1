//! What the two processes say to each other.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::{ffi::OsStringExt, net::UnixStream},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::super::{clock::Join, damage::DamagedFrames, decode::DecodeSettings, probe::Probe, skip::Wanted};
use crate::Error;

/// No message is longer: the longest are lists of damage, which are bounded.
const MAX_BYTES: usize = 64 << 20;

/// From the owner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// The first of all: the path's bytes, which needn't be text.
    Open(Vec<u8>, DecodeSettings),
    Next,
    SkipTo(Wanted),
}

impl Ask {
    pub(super) fn open(path: &Path, settings: &DecodeSettings) -> Self {
        Self::Open(path.as_os_str().as_encoded_bytes().to_vec(), settings.clone())
    }

    /// The path in its bytes.
    pub(super) fn path(bytes: Vec<u8>) -> PathBuf {
        OsString::from_vec(bytes).into()
    }
}

/// From the process that decodes. Paths are left out: there is but one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Opened(Box<Probe>),
    Frame(Box<Shown>, News),
    Skipped(u64),
    End(News),
    Failed(Box<Fault>, News),
}

/// A frame, its samples aside.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    /// Number of the place where its samples lie.
    pub slot: u32,
    /// FFmpeg's name of the pixel format.
    pub format: String,
    pub width: u32,
    pub height: u32,
    pub pts: i64,
    pub duration: i64,
    pub is_sure: bool,
    pub aspect: (i32, i32),
    /// Range, matrix, primaries, transfer and chroma location, as FFmpeg numbers them.
    pub colour: [u32; 5],
    /// Whether it is woven from two fields, and the upper one was filmed first.
    pub is_woven: bool,
    pub top_first: bool,
    /// Side data: FFmpeg's number of the kind, bytes.
    pub beside: Vec<(u32, Vec<u8>)>,
}

/// All that was told of a file's faults.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub damage: Vec<DamagedFrames>,
    pub notes: Vec<String>,
    pub joins: Vec<Join>,
    pub is_cut: bool,
}

/// What is new of it: everything behind the first so many entries.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct News {
    damage: (usize, Vec<DamagedFrames>),
    notes: (usize, Vec<String>),
    joins: (usize, Vec<Join>),
    is_cut: bool,
}

impl Told {
    /// Learns what is new.
    pub(super) fn take(&mut self, news: News) {
        self.damage.truncate(news.damage.0);
        self.damage.extend(news.damage.1);
        self.notes.truncate(news.notes.0);
        self.notes.extend(news.notes.1);
        self.joins.truncate(news.joins.0);
        self.joins.extend(news.joins.1);
        self.is_cut = news.is_cut;
    }

    /// What the other side, which knows as much as `self`, has to learn.
    pub(super) fn news(
        &mut self,
        damage: &[DamagedFrames],
        notes: &[String],
        joins: &[Join],
        is_cut: bool,
    ) -> News {
        fn tail<T: PartialEq + Clone>(known: &[T], now: &[T]) -> (usize, Vec<T>) {
            let n_same = known.iter().zip(now).take_while(|(known, now)| known == now).count();
            (n_same, now[n_same..].to_vec())
        }
        let news = || News {
            damage: tail(&self.damage, damage),
            notes: tail(&self.notes, notes),
            joins: tail(&self.joins, joins),
            is_cut,
        };
        let (told, news) = (news(), news());
        self.take(told);
        news
    }
}

/// An error without its path.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Fault {
    BadInput(String),
    Refused(String),
    Media(u64, String),
    System(i32),
    Other(String),
}

impl Fault {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::BadInput { reason, .. } => Self::BadInput(reason.clone()),
            Error::Refused { reason, .. } => Self::Refused(reason.clone()),
            Error::Media { frame, reason, .. } => Self::Media(*frame, reason.clone()),
            Error::Io { source, .. } => match source.raw_os_error() {
                Some(code) => Self::System(code),
                None => Self::Other(source.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }

    pub(super) fn into_error(self, path: &Path) -> Error {
        match self {
            Self::BadInput(reason) => Error::input(path, reason),
            Self::Refused(reason) => Error::Refused { path: path.into(), reason },
            Self::Media(frame, reason) => Error::Media { path: path.into(), frame, reason },
            Self::System(code) => Error::io(path)(io::Error::from_raw_os_error(code)),
            Self::Other(reason) => Error::io(path)(io::Error::other(reason)),
        }
    }
}

/// Sends one message: its length as four bytes, least first, and itself.
pub(super) fn send(mut to: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_le_bytes()[..], &body].concat())
}

/// Waits for one.
pub(super) fn receive<T: DeserializeOwned>(mut from: &UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_BYTES {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_learns_only_what_is_new() {
        let at = |first: u64, last: u64| DamagedFrames { first, last: Some(last), reason: "torn".into() };
        let (mut here, mut there) = (Told::default(), Told::default());
        let joins = [Join { after: 1, at: 2, shift_s: 0.5 }];
        for (damage, n_sent) in [
            (vec![at(1, 1)], 1),
            (vec![at(1, 1), at(5, 5)], 1),
            (vec![at(1, 1), at(5, 6)], 1),
            (vec![at(1, 1), at(5, 6)], 0),
            (vec![], 0),
        ] {
            let news = there.news(&damage, &["odd".into()], &joins, damage.is_empty());
            assert_eq!(news.damage.1.len(), n_sent);
            here.take(news);
            assert_eq!((&here.damage, here.notes.len(), here.is_cut), (&damage, 1, damage.is_empty()));
            assert_eq!(here.joins, joins);
        }
    }

    #[test]
    fn errors_keep_their_kind_and_their_path() {
        let path = Path::new("a.mp4");
        for error in [
            Error::input(path, "no video"),
            Error::Refused { path: path.into(), reason: "too large".into() },
            Error::Media { path: path.into(), frame: 7, reason: "torn".into() },
            Error::io(path)(io::Error::from_raw_os_error(libc::EACCES)),
        ] {
            let again = Fault::of(&error).into_error(path);
            assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&error));
            assert_eq!(again.to_string(), error.to_string());
        }
    }

    #[test]
    fn a_message_that_lies_about_its_length_is_no_message() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.write_all(&u32::MAX.to_le_bytes()).expect("sent");
        assert!(receive::<Ask>(&ours).is_err());
        send(&theirs, &Ask::Next).expect("sent");
        assert!(matches!(receive(&ours), Ok(Ask::Next)));
    }
}
