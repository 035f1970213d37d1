//! One run at a time on a job.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::Error;

/// Held by one process; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum Locked {
    /// Another process has it; its number, when it says so.
    By(Option<u32>),
    /// The file can't be made or locked.
    Io(io::Error),
}

/// In words that fit behind a name.
impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(Some(pid)) => write!(f, "process {pid} is working on it"),
            Self::By(None) => f.write_str("another process is working on it"),
            Self::Io(e) => write!(f, "can't be locked: {e}"),
        }
    }
}

impl Lock {
    /// Its file in the folder of a job.
    pub const FILE_NAME: &str = "lock";

    /// The lock on `job`, whose file lies in `folder`, which is made.
    ///
    /// # Errors
    /// [`Error::Refused`] with the number of the process that has it; [`Error::Io`].
    pub fn on(job: &Path, folder: &Path) -> crate::Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        Self::take(&folder.join(Self::FILE_NAME)).map_err(|locked| match locked {
            Locked::Io(e) => Error::io(folder)(e),
            locked @ Locked::By(_) => Error::Refused { path: job.into(), reason: locked.to_string() },
        })
    }

    /// Takes the lock whose file is `path` and leaves this process' number in it.
    ///
    /// # Errors
    /// See [`Locked`].
    pub fn take(path: &Path) -> Result<Self, Locked> {
        loop {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let mut file = options.map_err(Locked::Io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Locked::By(owner(&mut file))),
                Err(TryLockError::Error(e)) => return Err(Locked::Io(e)),
            }
            // The one before may have removed the file after it was opened here, and a third made a new one.
            let is_same = match (file.metadata(), path.metadata()) {
                (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
                _ => false,
            };
            if is_same {
                let told = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                told.map_err(Locked::Io)?;
                return Ok(Self { _file: file });
            }
        }
    }
}

/// The number that the holder wrote, if it got that far.
fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is_and_a_stale_file_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lock");
        fs::write(&path, "4194305\n").expect("written");
        let first = Lock::take(&path).expect("nobody holds it");
        assert!(matches!(Lock::take(&path), Err(Locked::By(Some(pid))) if pid == std::process::id()));
        drop(first);
        let second = Lock::take(&path).expect("free again");
        fs::remove_file(&path).expect("removed");
        let third = Lock::take(&path).expect("another file");
        drop((second, third));
    }
}
