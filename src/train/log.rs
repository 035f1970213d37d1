//! The log of a training: a line of JSON for each line that a person reads.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{Error, Result};

/// Its name in the training's folder.
pub const FILE_NAME: &str = "log.jsonl";

/// A log that is being written.
pub struct Log {
    path: PathBuf,
    file: File,
    is_broken: bool,
}

impl Log {
    /// That of the training in `dir`, or a new one.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be opened.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io(&path))?;
        Ok(Self { path, file, is_broken: false })
    }

    /// Adds a line. A full disk must not end a night of training for its sake: what is wrong with the first one that can't
    /// be written is given, in words.
    pub fn add(&mut self, value: &impl Serialize) -> Option<String> {
        let line = serde_json::to_string(value).unwrap_or_default();
        let e = writeln!(self.file, "{line}").err()?;
        let is_new = !std::mem::replace(&mut self.is_broken, true);
        is_new.then(|| format!("{}: {e}; training goes on", self.path.display()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_cannot_be_written_says_so_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::os::unix::fs::symlink("/dev/full", dir.path().join(FILE_NAME)).expect("made");
        let mut log = Log::open(dir.path()).expect("opened");
        assert!(log.add(&1).is_some_and(|text| text.contains(FILE_NAME) && text.contains("goes on")));
        assert_eq!(log.add(&2), None);
    }
}
