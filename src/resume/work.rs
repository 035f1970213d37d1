//! The hidden folder beside an output in which its segments and its journal lie until it is whole.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{
    End, Journal, Segment, Task,
    lock::{Lock, Locked},
};
use crate::{
    Error, Result,
    digest::{sha256, sha256_file},
    video::{self, Pattern},
};

/// What to do about the work of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum Resume {
    /// Go on with it.
    #[default]
    GoOn,
    /// Throw it away.
    Anew,
}

/// The work on one output, held by this process alone.
///
/// Dropped, it keeps the folder as long as there is something in it to go on with.
#[derive(Debug)]
pub struct Work {
    dir: PathBuf,
    journal: Journal,
    /// Frames that an earlier run left.
    n_kept: u64,
    notes: Vec<String>,
    /// What the folder holds was understood: it may be removed when it is worth nothing.
    is_known: bool,
    _lock: Lock,
}

impl Work {
    /// Opens or makes the folder of the output `dest`, for the job `task`.
    ///
    /// # Errors
    /// [`Error::Refused`] while another process works on it; [`Error::BadSetting`] when an earlier run had another
    /// input or other settings; [`Error::BadInput`] for a damaged journal; [`Error::Io`].
    pub fn open(dest: &Path, task: &Task, resume: Resume) -> Result<Self> {
        if let Some(pattern) = Pattern::parse(dest) {
            fs::create_dir_all(pattern.folder()).map_err(Error::io(pattern.folder()))?;
        }
        video::check_output(dest)?;
        let dir = folder(dest);
        let lock = enter(&dir).map_err(|locked| match locked {
            Locked::Io(e) => Error::io(&dir)(e),
            locked @ Locked::By(_) => Error::Refused { path: dest.into(), reason: locked.to_string() },
        })?;
        if resume == Resume::Anew {
            empty(&dir).map_err(Error::io(&dir))?;
        }
        let path = dir.join("journal");
        let fresh = || Journal { task: task.clone(), ..Journal::default() };
        let mut work =
            Self { journal: fresh(), dir, n_kept: 0, notes: Vec::new(), is_known: false, _lock: lock };
        if let Some(journal) = Journal::load(&path)? {
            let differences = journal.task.differences(task);
            work.journal = journal;
            if !differences.is_empty() {
                return Err(work.another_job(dest, &differences));
            }
            work.check_segments()?;
        }
        work.is_known = true;
        work.n_kept = work.journal.n_frames();
        if work.n_kept > 0 {
            work.notes.insert(0, format!("goes on where it stopped: {} frames are done", work.n_kept));
        }
        Ok(work)
    }

    fn another_job(&self, dest: &Path, differences: &[String]) -> Error {
        let shown = differences.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = if differences.len() > 3 { ", .." } else { "" };
        let reason = format!(
            "an interrupted run has left {} frames of it in {}, and it was another job ({shown}{more}); repeat that \
             command to go on with it, or start again with --no-resume",
            self.journal.n_frames(),
            self.dir.display()
        );
        Error::setting("--output", dest.display(), reason)
    }

    /// Takes segments whose files aren't what the journal says out of it.
    fn check_segments(&mut self) -> Result<()> {
        let mut broken = Vec::new();
        for (n, segment) in &self.journal.segments {
            let path = self.segment_path(*n);
            match sha256_file(&path) {
                Ok(found) if found == segment.sha256 => {}
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&path)(e)),
                _ => broken.push((*n, path)),
            }
        }
        for (n, path) in broken {
            self.notes.push(format!("{}: the checksum doesn't fit; this part is done again", path.display()));
            self.journal.segments.remove(&n);
        }
        Ok(())
    }

    /// Takes a segment out of it of which something else is missing than its file.
    pub fn forget(&mut self, n: u64) {
        if let Some(segment) = self.journal.segments.remove(&n) {
            self.n_kept = self.n_kept.saturating_sub(segment.frames);
            self.notes
                .push(format!("{} frames of it are gone or changed; they are done again", segment.frames));
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is done.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Frames that an earlier run left.
    pub fn n_kept(&self) -> u64 {
        self.n_kept
    }

    /// What the user ought to know of the work that was found.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Where a segment lies.
    pub fn segment_path(&self, n: u64) -> PathBuf {
        self.dir.join(format!("{n:06}.segment"))
    }

    /// Checks that the codec's header is that of the segments that are there.
    ///
    /// # Errors
    /// Why they don't go together.
    pub fn check_header(&mut self, header: &[u8]) -> Result<(), String> {
        let sum = sha256(header);
        match &self.journal.header {
            Some(old) if *old != sum => {
                Err("the encoder begins with another header than in the part that is done; \
                --no-resume starts again"
                    .into())
            }
            _ => {
                self.journal.header = Some(sum);
                Ok(())
            }
        }
    }

    /// Notes a segment whose file is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when the journal can't be written.
    pub fn add(&mut self, n: u64, segment: Segment) -> Result<()> {
        self.journal.segments.insert(n, segment);
        self.store().inspect_err(|_| drop(self.journal.segments.remove(&n)))
    }

    /// Notes that there are no more frames.
    ///
    /// # Errors
    /// [`Error::Io`] when the journal can't be written.
    pub fn end(&mut self, end: End) -> Result<()> {
        self.journal.end = Some(end);
        self.store()
    }

    fn store(&self) -> Result<()> {
        self.journal.store(&self.dir.join("journal"))
    }

    /// Removes the folder: the output is whole.
    pub fn remove(mut self) {
        self.journal.segments.clear();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.is_known && self.journal.segments.is_empty() {
            // What can't be removed is empty of meaning, and no reason to fail.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Makes the folder if it isn't there, and locks it.
fn enter(dir: &Path) -> Result<Lock, Locked> {
    loop {
        match fs::create_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(Locked::Io)?,
        }
        match Lock::take(&dir.join(Lock::FILE_NAME)) {
            // The one before removed it in this moment.
            Err(Locked::Io(e)) if e.kind() == io::ErrorKind::NotFound => {}
            Err(Locked::Io(e)) => {
                // Only if it is empty, and so was just made.
                let _ = fs::remove_dir(dir);
                return Err(Locked::Io(e));
            }
            taken => return taken,
        }
    }
}

/// Whether a run on the output `dest` was begun and neither ended nor left without anything done.
pub fn is_begun(dest: &Path) -> bool {
    folder(dest).is_dir()
}

/// What an earlier run left of the output `dest`, in words.
pub fn kept(dest: &Path) -> Option<String> {
    let dir = folder(dest);
    let n_frames = Journal::load(&dir.join("journal")).ok()??.n_frames();
    (n_frames > 0).then(|| {
        format!("{n_frames} frames are kept in {}; the same command goes on from there", dir.display())
    })
}

/// `.NAME.faceswap` beside the output; of a very long name only the beginning, and a sum of it all.
fn folder(dest: &Path) -> PathBuf {
    const MAX_BYTES: usize = 200;
    let name = dest.file_name().unwrap_or_default().as_bytes();
    let name = if name.len() <= MAX_BYTES {
        name.to_vec()
    } else {
        [&name[..MAX_BYTES], b"-", &sha256(name).as_bytes()[..16]].concat()
    };
    dest.with_file_name(OsString::from_vec([b".", &name[..], b".faceswap"].concat()))
}

/// Removes everything in the folder but the lock.
fn empty(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != "lock") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(work: &mut Work, n: u64, bytes: &[u8]) {
        fs::write(work.segment_path(n), bytes).expect("written");
        let segment = Segment {
            frames: 10,
            swapped: 3,
            tally: crate::report::Tally::default(),
            first_pts: 0,
            last_pts: 9,
            reorder: 0,
            sure: true,
            bytes: bytes.len() as u64,
            sha256: sha256(bytes),
        };
        work.add(n, segment).expect("noted");
    }

    #[test]
    fn work_is_kept_checked_and_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let dest = dir.path().join("out.mp4");
        let open = |resume| Work::open(&dest, &Task::default(), resume);
        let left = || fs::read_dir(dir.path()).expect("readable").count();
        drop(open(Resume::GoOn).expect("opened"));
        assert_eq!(left(), 0, "nothing was done, nothing is left");

        let mut work = open(Resume::GoOn).expect("opened");
        let told = open(Resume::GoOn).expect_err("held").to_string();
        assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
        (0..3).for_each(|n| add(&mut work, n, &[n as u8; 100]));
        drop(work);
        assert_eq!(left(), 1);
        assert!(kept(&dest).expect("kept").contains("30 frames"));

        let work = open(Resume::GoOn).expect("opened");
        assert_eq!((work.n_kept(), work.journal().missing()), (30, Some((3, None))));
        fs::write(work.segment_path(1), b"something else").expect("written");
        drop(work);
        let work = open(Resume::GoOn).expect("opened");
        assert_eq!((work.n_kept(), work.journal().missing()), (20, Some((1, Some(2)))));
        assert!(work.notes()[1].contains("000001.segment"), "{:?}", work.notes());
        drop(work);

        let journal = dir.path().join(".out.mp4.faceswap/journal");
        let mut bytes = fs::read(&journal).expect("there");
        bytes[90] ^= 4;
        fs::write(&journal, bytes).expect("written");
        let told = open(Resume::GoOn).expect_err("damaged").to_string();
        assert!(told.contains("journal") && told.contains("--no-resume"), "{told}");
        let work = open(Resume::Anew).expect("opened");
        assert_eq!(work.journal().missing(), Some((0, None)));
        work.remove();
        assert_eq!(left(), 0);
    }

    #[test]
    fn names_of_any_length_have_a_folder() {
        let name = folder(Path::new(&format!("/x/{}.mp4", "a".repeat(250))));
        assert!(name.file_name().expect("a name").len() <= 255);
        assert_eq!(folder(Path::new("out.mp4")), Path::new(".out.mp4.faceswap"));
    }
}
