//! A file under its final name is whole: it is written under another name in the same folder, and renamed at the end.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// A file that isn't whole yet. Dropped before [`Partial::commit`], it is removed.
#[derive(Debug)]
pub(super) struct Partial {
    temporary: PathBuf,
    dest: PathBuf,
    renamed: bool,
}

impl Partial {
    /// Makes an empty `.NAME.partial-PID.EXTENSION` beside `dest`.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder is missing or not writable, or when something else than a file has the name.
    pub(super) fn create(dest: &Path) -> Result<Self> {
        let folder = check_output(dest)?;
        for attempt in 0..100 {
            let temporary = folder.join(temporary_name(dest, attempt));
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(_) => return Ok(Self { temporary, dest: dest.into(), renamed: false }),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io(dest)(e)),
            }
        }
        Err(fail(&folder, ErrorKind::AlreadyExists, "is full of unfinished files (.*.partial-*)"))
    }

    /// The same in the folder `work`, which lies on the same file system and is held by this process alone.
    ///
    /// # Errors
    /// As [`Partial::create`].
    pub(super) fn within(work: &Path, dest: &Path) -> Result<Self> {
        check_output(dest)?;
        let mut name = OsString::from("output");
        if let Some(extension) = dest.extension() {
            name.push(".");
            name.push(extension);
        }
        let temporary = work.join(name);
        File::create(&temporary).map_err(Error::io(dest))?;
        Ok(Self { temporary, dest: dest.into(), renamed: false })
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    /// The name that it will get.
    pub(super) fn dest(&self) -> &Path {
        &self.dest
    }

    /// Brings the bytes to the disk, gives the file its name, and makes that last, too. Returns its length.
    ///
    /// # Errors
    /// [`Error::Io`]; the file is removed then.
    pub(super) fn commit(mut self) -> Result<u64> {
        let sync = || {
            let file = File::open(&self.temporary)?;
            file.sync_all()?;
            let length = file.metadata()?.len();
            fs::rename(&self.temporary, &self.dest)?;
            Ok(length)
        };
        let length = sync().map_err(Error::io(&self.dest))?;
        self.renamed = true;
        // Some file systems can't sync folders; the file is whole in any case.
        let _ = File::open(folder(&self.dest)).and_then(|folder| folder.sync_all());
        Ok(length)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Whether a file could be made under the name `dest`. Gives its folder.
///
/// # Errors
/// [`Error::Io`] for a folder, a device, or a folder that is missing.
pub fn check_output(dest: &Path) -> Result<PathBuf> {
    if dest.file_name().is_none() {
        return Err(fail(dest, ErrorKind::InvalidInput, "is no name for a file"));
    }
    match fs::metadata(dest) {
        Ok(m) if m.is_dir() => return Err(fail(dest, ErrorKind::IsADirectory, "is a folder")),
        Ok(m) if !m.is_file() => {
            return Err(fail(dest, ErrorKind::InvalidInput, "is a device, not a file"));
        }
        _ => {}
    }
    let folder = folder(dest);
    if folder.is_dir() { Ok(folder) } else { Err(fail(&folder, ErrorKind::NotFound, "no such folder")) }
}

fn fail(path: &Path, kind: ErrorKind, reason: &str) -> Error {
    Error::io(path)(io::Error::new(kind, reason.to_owned()))
}

/// Whether two paths lead to the same file, through whatever links. False when one doesn't exist.
pub fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

fn folder(dest: &Path) -> PathBuf {
    match dest.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.into(),
        _ => PathBuf::from("."),
    }
}

/// The ending stays last, since it is what tells the container; the whole stays within the 255 bytes of a name.
fn temporary_name(dest: &Path, attempt: u32) -> OsString {
    let extension = dest.extension().map(|e| [b".", e.as_bytes()].concat()).unwrap_or_default();
    let again = if attempt == 0 { String::new() } else { format!("-{attempt}") };
    let tail = [format!(".partial-{}{again}", std::process::id()).as_bytes(), &extension].concat();
    let stem = dest.file_stem().unwrap_or_default().as_bytes();
    let keep = stem.len().min(254_usize.saturating_sub(tail.len()));
    OsString::from_vec([b".", &stem[..keep], &tail].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_short_enough_and_keeps_the_ending() {
        let long = format!("/x/{}.mp4", "a".repeat(250));
        let name = temporary_name(Path::new(&long), 3);
        assert!(name.len() <= 255 && name.as_bytes().ends_with(b".mp4"), "{name:?}");
        let pid = std::process::id();
        assert_eq!(
            temporary_name(Path::new("/x/clip.mkv"), 0),
            OsString::from(format!(".clip.partial-{pid}.mkv"))
        );
    }

    #[test]
    fn only_commit_leaves_a_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dest = dir.path().join("out.bin");
        let names = || fs::read_dir(dir.path()).expect("readable").count();
        let partial = Partial::create(&dest).expect("made");
        fs::write(partial.path(), b"half").expect("written");
        assert_eq!((names(), dest.exists()), (1, false));
        drop(partial);
        assert_eq!(names(), 0);
        let (first, second) = (Partial::create(&dest).expect("made"), Partial::create(&dest).expect("made"));
        fs::write(second.path(), b"whole").expect("written");
        assert_eq!(second.commit().expect("renamed"), 5);
        drop(first);
        assert_eq!((names(), fs::read(&dest).expect("there")), (1, b"whole".to_vec()));
    }

    #[test]
    fn a_hard_link_is_the_same_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
        fs::write(&a, b"1").expect("written");
        fs::hard_link(&a, &b).expect("linked");
        std::os::unix::fs::symlink(&a, &c).expect("linked");
        assert!(same_file(&a, &b) && same_file(&a, &c) && !same_file(&a, &dir.path().join("d")));
    }
}
