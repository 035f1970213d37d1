//! Numbered pictures: `frames/%05d.png`, or `frames/#####.png`, stands for `frames/00001.png`, `frames/00002.png`, ..

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// The names of a sequence of pictures. Names are bytes; nothing in them but the one place for the number has a
/// meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    folder: PathBuf,
    before: Vec<u8>,
    /// Digits at least, filled with zeros.
    width: usize,
    after: Vec<u8>,
}

/// More digits than a number can have.
const MAX_WIDTH: usize = 18;

impl Pattern {
    /// Reads a pattern: a path whose last part holds `%d`, `%0Nd` or several `#` exactly once and ends like a picture. A file or
    /// folder of that very name is itself and no pattern.
    pub fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.as_bytes();
        if path.symlink_metadata().is_ok() || !ends_like_a_picture(path) {
            return None;
        }
        let mut places = (0..name.len()).filter_map(|at| place(name, at));
        let (start, end, width) = places.next()?;
        if places.next().is_some() {
            return None;
        }
        Some(Self {
            folder: path.parent().map(Path::to_path_buf).unwrap_or_default(),
            before: name[..start].into(),
            width,
            after: name[end..].into(),
        })
    }

    /// The folder of the pictures.
    pub fn folder(&self) -> &Path {
        if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder }
    }

    /// The path of picture number `n`.
    pub fn path(&self, n: u64) -> PathBuf {
        let digits = format!("{n:0width$}", width = self.width);
        let name = [&self.before, digits.as_bytes(), &self.after].concat();
        self.folder.join(OsString::from_vec(name))
    }

    /// The number that a file's name has in this pattern.
    pub fn number(&self, name: &OsStr) -> Option<u64> {
        let digits = name.as_bytes().strip_prefix(&self.before[..])?.strip_suffix(&self.after[..])?;
        // One number has one name: no missing and no surplus zeros.
        let plain = digits.len() == self.width || (digits.len() > self.width && digits[0] != b'0');
        if !plain || digits.len() > MAX_WIDTH || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The numbers of the pictures that there are, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be read, [`Error::BadInput`] when there are none.
    pub fn numbers(&self) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.folder()).map_err(Error::io(self.folder()))? {
            let entry = entry.map_err(Error::io(self.folder()))?;
            numbers.extend(self.number(&entry.file_name()));
        }
        numbers.sort_unstable();
        if numbers.is_empty() {
            let example = self.path(1);
            let reason = format!("no picture of this sequence, e.g. {}", example.display());
            return Err(Error::input(self.folder(), reason));
        }
        Ok(numbers)
    }
}

/// A place for a number that begins at `at`: its begin, its end, and how many digits it has at least.
fn place(name: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    if name[at] == b'#' && (at == 0 || name[at - 1] != b'#') {
        let width = name[at..].iter().take_while(|b| **b == b'#').count();
        // A single one is part of many a name.
        return (2..=MAX_WIDTH).contains(&width).then_some((at, at + width, width));
    }
    let rest = name[at..].strip_prefix(b"%")?;
    let n_digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if rest.get(n_digits) != Some(&b'd') {
        return None;
    }
    let width = match &rest[..n_digits] {
        [] => 1,
        [b'0', digits @ ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => return None,
    };
    (1..=MAX_WIDTH).contains(&width).then_some((at, at + n_digits + 2, width))
}

fn ends_like_a_picture(path: &Path) -> bool {
    let ending = path.extension().map(OsStr::to_ascii_lowercase).unwrap_or_default();
    ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "exr"].iter().any(|known| ending == *known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_and_other_names() {
        let pattern = Pattern::parse(Path::new("no/such/a%05db.png")).expect("a pattern");
        assert_eq!(pattern.path(42), Path::new("no/such/a00042b.png"));
        assert_eq!(pattern.path(1_234_567), Path::new("no/such/a1234567b.png"));
        assert_eq!(pattern.number(OsStr::new("a00042b.png")), Some(42));
        for other in ["a42b.png", "a0000042b.png", "a+0042b.png", "a00042b.PNG", "00042b.png", "a0004xb.png"]
        {
            assert_eq!(pattern.number(OsStr::new(other)), None, "{other}");
        }
        for name in ["a.png", "%d%05d.png", "%5d.png", "%s.png", "%05d.mp4", "%099d.png", "%", "%0d.png"] {
            assert_eq!(Pattern::parse(Path::new(name)), None, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the bytes of a name are, a number finds its way there and back, or it is no pattern.
        #[test]
        fn any_name_is_read_without_harm(name in prop::collection::vec(any::<u8>(), 0..24), n in any::<u32>()) {
            let mut bytes = b"/nowhere/".to_vec();
            bytes.extend(name.iter().filter(|b| **b != b'/' && **b != 0));
            bytes.extend(b"%03d.png");
            let path = PathBuf::from(OsString::from_vec(bytes));
            if let Some(pattern) = Pattern::parse(&path) {
                let made = pattern.path(n.into());
                prop_assert_eq!(pattern.number(made.file_name().expect("a name")), Some(n.into()));
            }
        }
    }
}
