//! Whether a picture's file holds more pictures than the one that is read.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// What is told of a file with more.
pub(crate) const MORE_PICTURES: &str =
    "the file holds more pictures than one: the first alone is read, the others are left out";

/// Whether the file `path` holds pages behind the first (TIFF), or moves (WebP). Smaller copies of the picture don't count;
/// of files that can't be read nothing is known.
pub fn holds_more(path: &Path) -> bool {
    let looked = || {
        let mut file = BufReader::new(File::open(path)?);
        let mut head = Vec::new();
        file.by_ref().take(21).read_to_end(&mut head)?;
        Ok::<_, io::Error>(match &head[..] {
            [b'I', b'I', 42, 0, rest @ ..] if rest.len() >= 4 => {
                has_pages(&mut file, &head, u32::from_le_bytes)?
            }
            [b'M', b'M', 0, 42, rest @ ..] if rest.len() >= 4 => {
                has_pages(&mut file, &head, u32::from_be_bytes)?
            }
            // The header of an extended WebP has a bit for it.
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                b'V',
                b'P',
                b'8',
                b'X',
                _,
                _,
                _,
                _,
                flags,
            ] => flags & 0x02 != 0,
            _ => false,
        })
    };
    looked().unwrap_or(false)
}

/// Whether a directory behind a TIFF's first one is of a picture in its own right (TIFF 6.0, section 2).
fn has_pages(file: &mut (impl Read + Seek), head: &[u8], number: fn([u8; 4]) -> u32) -> io::Result<bool> {
    /// Directories that are looked at: a chain may lead back into itself.
    const MAX: usize = 64;
    let mut at = number([head[4], head[5], head[6], head[7]]);
    for i in 0..MAX {
        if at == 0 {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(at.into()))?;
        let short = |bytes: [u8; 2]| {
            let [a, b] = bytes;
            // Two bytes of a number of four, at the end at which their order puts them.
            if number([1, 0, 0, 0]) == 1 { number([a, b, 0, 0]) } else { number([0, 0, a, b]) }
        };
        let mut n_entries = [0; 2];
        file.read_exact(&mut n_entries)?;
        let mut is_copy = false;
        for _ in 0..short(n_entries) {
            let mut entry = [0; 12];
            file.read_exact(&mut entry)?;
            // NewSubfileType, whose first bit says that the picture is a smaller copy of another.
            if short([entry[0], entry[1]]) == 254 {
                is_copy = number([entry[8], entry[9], entry[10], entry[11]]) & 1 == 1;
            }
        }
        if i > 0 && !is_copy {
            return Ok(true);
        }
        let mut next = [0; 4];
        file.read_exact(&mut next)?;
        at = number(next);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TIFF of directories with one entry each: NewSubfileType.
    fn tiff(kinds: &[u32], is_big: bool) -> Vec<u8> {
        let (long, short) = if is_big {
            (u32::to_be_bytes as fn(u32) -> [u8; 4], u16::to_be_bytes as fn(u16) -> [u8; 2])
        } else {
            (u32::to_le_bytes as fn(u32) -> [u8; 4], u16::to_le_bytes as fn(u16) -> [u8; 2])
        };
        let mut bytes = if is_big { b"MM\0\x2a".to_vec() } else { b"II\x2a\0".to_vec() };
        bytes.extend(long(8));
        for (i, kind) in kinds.iter().enumerate() {
            let next = if i + 1 == kinds.len() { 0 } else { bytes.len() as u32 + 18 };
            bytes.extend(
                [&short(1)[..], &short(254), &short(4), &long(1), &long(*kind), &long(next)].concat(),
            );
        }
        bytes
    }

    #[test]
    fn pages_and_moving_pictures_are_told_from_copies() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.tif");
        let more = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            holds_more(&path)
        };
        for is_big in [false, true] {
            assert!(!more(&tiff(&[0], is_big)));
            assert!(!more(&tiff(&[0, 1, 1], is_big)), "smaller copies");
            assert!(more(&tiff(&[0, 1, 2], is_big)));
            assert!(more(&tiff(&[0, 0], is_big)));
            // One that leads back into itself is no endless work.
            let mut ring = tiff(&[0, 1], is_big);
            let end = ring.len() - 4;
            let back = if is_big { 8u32.to_be_bytes() } else { 8u32.to_le_bytes() };
            ring[end..].copy_from_slice(&back);
            assert!(more(&ring));
            let whole = tiff(&[0, 0], is_big);
            (0..whole.len() - 16).for_each(|n| assert!(!more(&whole[..n]), "cut after {n} bytes"));
        }
        let webp = |flags: u8| [b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0", &[flags, 0, 0, 0][..]].concat();
        assert!(more(&webp(0x12)) && !more(&webp(0x10)) && !more(b"RIFF\x20\0\0\0WEBPVP8 "));
        assert!(!more(b"") && !holds_more(&dir.path().join("missing")));
    }
}
