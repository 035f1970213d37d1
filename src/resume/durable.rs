//! Small files that survive a crash at any moment: there is always the old one or the new one, whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result, digest::sha256};

/// Reads a value back that [`store`] wrote; `None` when there is no such file.
///
/// # Errors
/// [`Error::BadInput`] for a damaged file, [`Error::Io`] when it can't be read.
pub(crate) fn load<T: DeserializeOwned>(path: &Path, magic: &str) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::io(path))?,
    };
    let value = parse(&bytes, magic);
    value.map(Some).map_err(|reason| {
        Error::input(path, format!("what an interrupted run noted: {reason}; --no-resume starts again"))
    })
}

/// Puts a value in the place of the old one; a crash leaves one of them whole.
///
/// # Errors
/// [`Error::Io`] when the disk is full or the like; the old one is still there then.
pub(crate) fn store(path: &Path, magic: &str, value: &impl Serialize) -> Result<()> {
    replace(&mut RealDisk, path, &to_bytes(value, magic)).map_err(Error::io(path))
}

/// Puts plain bytes in the place of a file; a crash leaves the old one or the new one, whole. A link goes on leading to
/// the file, and a device or a pipe is written to.
///
/// # Errors
/// [`Error::Io`] when the disk is full or the like; the old one is still there then.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    if fs::metadata(&place).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return fs::write(&place, bytes).map_err(Error::io(path));
    }
    replace(&mut RealDisk, &place, bytes).map_err(|e| {
        // Nobody takes half a file up again.
        let _ = fs::remove_file(temporary(&place));
        Error::io(path)(e)
    })
}

/// A line with `magic` and the checksum of what follows, and the value as JSON.
pub(super) fn to_bytes(value: &impl Serialize, magic: &str) -> Vec<u8> {
    let rest = serde_json::to_vec_pretty(value).unwrap_or_default();
    let mut bytes = format!("{magic} {}\n", sha256(&rest)).into_bytes();
    bytes.extend(rest);
    bytes
}

/// The other way.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], magic: &str) -> Result<T, String> {
    let damaged = || "the checksum doesn't fit: it is damaged".to_owned();
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let (first, rest) = (&bytes[..end], &bytes[end + 1..]);
    if first != format!("{magic} {}", sha256(rest)).as_bytes() {
        return Err(damaged());
    }
    serde_json::from_slice(rest).map_err(|e| format!("written by another version of this program ({e})"))
}

/// The steps that a file system does one after the other; what was not synced may be lost with the power.
trait Disk {
    /// A file with these bytes, in place of an old one of that name.
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Brings a file's bytes to the disk.
    fn sync(&mut self, path: &Path) -> io::Result<()>;
    /// Gives a file a new name, in place of an old one of that name.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Brings the names in a folder to the disk.
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
}

/// The file system of this machine.
struct RealDisk;

impl Disk for RealDisk {
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        File::create(path)?.write_all(bytes)
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// Puts `bytes` in place of what `path` holds. After a crash `path` holds the old bytes or the new ones, and after
/// `Ok` the new ones.
fn replace(disk: &mut impl Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    disk.write(&temporary, bytes)?;
    disk.sync(&temporary)?;
    disk.rename(&temporary, path)?;
    disk.sync_folder(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A disk that loses its power after some steps, and with it as much as a disk may lose.
    #[derive(Default, Clone)]
    struct FrailDisk {
        /// What the machine sees.
        seen: BTreeMap<PathBuf, Vec<u8>>,
        /// What is left after the power was gone: whole names, and bytes of synced files.
        kept: BTreeMap<PathBuf, Vec<u8>>,
        synced: BTreeMap<PathBuf, Vec<u8>>,
        steps: Vec<String>,
        steps_left: usize,
    }

    impl FrailDisk {
        fn step(&mut self, what: &str, path: &Path) -> io::Result<()> {
            if self.steps_left == 0 {
                return Err(io::Error::other("the power is gone"));
            }
            self.steps_left -= 1;
            self.steps.push(format!("{what} {}", path.display()));
            Ok(())
        }
    }

    impl Disk for FrailDisk {
        fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.step("write", path)?;
            self.seen.insert(path.into(), bytes.into());
            // A name without its bytes may well be on the disk already.
            self.kept.insert(path.into(), bytes[..bytes.len() / 2].into());
            Ok(())
        }

        fn sync(&mut self, path: &Path) -> io::Result<()> {
            self.step("sync", path)?;
            self.synced.insert(path.into(), self.seen[path].clone());
            self.kept.insert(path.into(), self.seen[path].clone());
            Ok(())
        }

        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.step("rename", from)?;
            let bytes = self.seen.remove(from).expect("there");
            self.seen.insert(to.into(), bytes);
            // The new name may be on the disk at once: with what was synced, or with nothing.
            let bytes = self.synced.remove(from).unwrap_or_default();
            self.synced.insert(to.into(), bytes.clone());
            self.kept.remove(from);
            self.kept.insert(to.into(), bytes);
            Ok(())
        }

        fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
            self.step("sync", folder)
        }
    }

    #[test]
    fn a_crash_between_any_two_steps_leaves_the_old_or_the_new() {
        let path = Path::new("work/journal");
        let mut disk = FrailDisk { steps_left: 4, ..Default::default() };
        replace(&mut disk, path, b"the old one").expect("enough power");
        assert_eq!(
            disk.steps,
            ["write work/journal.new", "sync work/journal.new", "rename work/journal.new", "sync work"]
        );
        for steps_left in 0..=4 {
            let mut disk = FrailDisk { steps_left, ..disk.clone() };
            let done = replace(&mut disk, path, b"the new one").is_ok();
            assert_eq!(done, steps_left == 4);
            for state in [&disk.seen[path], &disk.kept[path]] {
                let whole: [&[u8]; 2] = [b"the old one", b"the new one"];
                assert!(
                    whole[usize::from(done)..].contains(&&state[..]),
                    "after {steps_left} steps: {state:?}"
                );
            }
        }
    }
}
