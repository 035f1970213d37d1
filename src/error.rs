//! What can go wrong, one variant per reaction of the caller.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, named for what the caller does about it. Every message says the file or value and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user asked to stop (Ctrl-C). Nothing is told; the exit code is 130.
    #[error("interrupted")]
    Cancelled,
    /// A setting has no meaning as given: the user types something else.
    #[error("{name}{}: {reason}", given(value))]
    BadSetting {
        /// The option as the user typed it, e.g. `--faces`.
        name: String,
        /// The value that was refused; empty where none was given.
        value: String,
        /// Why, with the allowed range or the known choices.
        reason: String,
    },
    /// An input file can't be used: the user gives another file.
    #[error("{}: {reason}", path.display())]
    BadInput {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// A network, a bundle or a checkpoint can't be used: the user installs or exports it again.
    #[error("{}: {reason}", path.display())]
    BadModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// A file can't be read or written: the user looks at disk and permissions.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Decoding or encoding failed in the middle of a file.
    #[error("{}, frame {frame}: {reason}", path.display())]
    Media {
        /// The file.
        path: PathBuf,
        /// Frames that went well before it.
        frame: u64,
        /// What the codec said.
        reason: String,
    },
    /// A library, an execution provider or a device is missing or failed: the user installs it or picks another.
    #[error("{0}")]
    Device(String),
    /// The program won't do it (consent, limits), whatever the machine could do.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file that it is about.
        path: PathBuf,
        /// Why, and what would have to be true.
        reason: String,
    },
    /// A folder was worked through, and some of its files failed; each was told when it happened.
    #[error("{n_failed} of {n_files} files failed")]
    SomeFailed {
        /// Files that failed.
        n_failed: usize,
        /// Files that were tried.
        n_files: usize,
    },
}

/// A value behind the name of its option.
fn given(value: &str) -> String {
    if value.is_empty() { String::new() } else { format!(" = {value}") }
}

impl Error {
    /// An [`Error::BadSetting`].
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over numbers, texts and displays alike")]
    pub fn setting(name: &str, value: impl ToString, reason: impl Into<String>) -> Self {
        Self::BadSetting { name: name.into(), value: value.to_string(), reason: reason.into() }
    }

    /// An [`Error::BadInput`].
    pub fn input(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::BadInput { path: path.as_ref().into(), reason: reason.into() }
    }

    /// An [`Error::BadModel`].
    pub fn model(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::BadModel { path: path.as_ref().into(), reason: reason.into() }
    }

    /// An [`Error::Io`], for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}
