//! Which outputs of a folder are whole, and of what they were made: on the disk, so that a second run does only what is
//! missing.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    resume::{Lock, Resume, Task, durable},
};

/// The first word of the file.
const MAGIC: &str = "faceswap-ledger-1";

/// The ledger of an output folder, held by this process alone. It lies in `.faceswap` in the folder.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    _lock: Lock,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// What it is made of: the sum of a [`Task`].
    task: String,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// A run has begun it. Where nothing had its name then, whatever has it now is that run's, and whole.
    Begun { was_free: bool },
    /// It was made, and this is what it looked like.
    Whole { bytes: u64, modified: (i64, i64), is_damaged: bool },
}

impl Ledger {
    /// Opens the ledger of the folder `dir`, or begins one.
    ///
    /// # Errors
    /// [`Error::Refused`] while another process works on the folder; [`Error::BadInput`] for a damaged ledger;
    /// [`Error::Io`].
    pub(super) fn open(dir: &Path, resume: Resume) -> Result<Self> {
        let hidden = dir.join(".faceswap");
        let lock = Lock::on(dir, &hidden)?;
        let path = hidden.join("ledger");
        let entries = match resume {
            Resume::Anew => BTreeMap::new(),
            Resume::GoOn => durable::load(&path, MAGIC)?.unwrap_or_default(),
        };
        Ok(Self { path, entries, _lock: lock })
    }

    /// Whether `output` is there, whole, and made of just this: then whether its input was damaged.
    pub(super) fn whole(&self, output: &Path, task: &Task) -> Option<bool> {
        let entry = self.entries.get(&key(output)).filter(|entry| entry.task == task.sha256())?;
        let (found_bytes, found_modified) = look(output)?;
        match entry.state {
            State::Begun { was_free } => was_free.then_some(false),
            State::Whole { bytes, modified, is_damaged } => {
                ((bytes, modified) == (found_bytes, found_modified)).then_some(is_damaged)
            }
        }
    }

    /// Notes that `output` is being made.
    ///
    /// # Errors
    /// [`Error::Io`] when the ledger can't be written.
    pub(super) fn begin(&mut self, output: &Path, task: &Task) -> Result<()> {
        let was_free = output.symlink_metadata().is_err();
        self.note(output, task, State::Begun { was_free })
    }

    /// Notes that `output` is whole.
    ///
    /// # Errors
    /// [`Error::Io`] when the ledger can't be written.
    pub(super) fn finish(&mut self, output: &Path, task: &Task, is_damaged: bool) -> Result<()> {
        let Some((bytes, modified)) = look(output) else { return Ok(()) };
        self.note(output, task, State::Whole { bytes, modified, is_damaged })
    }

    fn note(&mut self, output: &Path, task: &Task, state: State) -> Result<()> {
        self.entries.insert(key(output), Entry { task: task.sha256(), state });
        durable::store(&self.path, MAGIC, &self.entries)
    }
}

/// A file's name, with whatever is no UTF-8 in it escaped.
fn key(output: &Path) -> String {
    output.file_name().unwrap_or_default().as_encoded_bytes().escape_ascii().to_string()
}

fn look(path: &Path) -> Option<(u64, (i64, i64))> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), (metadata.mtime(), metadata.mtime_nsec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_of_the_same_and_never_touched_is_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let output = dir.path().join("out.mp4");
        let open = || Ledger::open(dir.path(), Resume::GoOn).expect("opened");
        let (task, mut ledger) = (Task::default(), open());
        assert_eq!(ledger.whole(&output, &task), None);
        ledger.begin(&output, &task).expect("noted");
        fs::write(&output, b"made, and then the power was gone").expect("written");
        assert!(matches!(Ledger::open(dir.path(), Resume::GoOn), Err(crate::Error::Refused { .. })));
        drop(ledger);
        let mut ledger = open();
        assert_eq!(ledger.whole(&output, &task), Some(false));
        ledger.finish(&output, &task, true).expect("noted");
        drop(ledger);
        let ledger = open();
        assert_eq!(ledger.whole(&output, &task), Some(true));
        fs::write(&output, b"somebody else's").expect("written");
        assert_eq!(ledger.whole(&output, &task), None);
        drop(ledger);
        assert_eq!(Ledger::open(dir.path(), Resume::Anew).expect("opened").whole(&output, &task), None);
    }
}
