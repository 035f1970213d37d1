//! How often moving pictures are played.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// What goes before the number in GIF: an extension that Netscape made, whose first block says it.
const NETSCAPE: &[u8] = b"NETSCAPE2.0\x03\x01";
/// Where it is looked for: before the first picture, behind a palette.
const GIF_HEAD: u64 = 4096;

/// How often the file's pictures are played, 0 for ever; `None` for what is neither GIF nor APNG.
///
/// FFmpeg reads them once and doesn't tell.
pub(super) fn of(path: &Path) -> Option<u16> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let mut magic = [0; 8];
    file.read_exact(&mut magic).ok()?;
    if magic.starts_with(b"GIF8") {
        let mut head = Vec::new();
        file.take(GIF_HEAD).read_to_end(&mut head).ok()?;
        let at = head.windows(NETSCAPE.len()).position(|w| w == NETSCAPE);
        let again = at.and_then(|at| head.get(at + NETSCAPE.len()..at + NETSCAPE.len() + 2));
        // Played once where nothing is said; for ever, or so many times again.
        return Some(again.map_or(1, |again| match u16::from_le_bytes([again[0], again[1]]) {
            0 => 0,
            again => again.saturating_add(1),
        }));
    }
    if magic != *b"\x89PNG\r\n\x1a\n" {
        return None;
    }
    // The chunk of animations stands before the first one of pixels.
    loop {
        let mut chunk = [0; 8];
        file.read_exact(&mut chunk).ok()?;
        let length = u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        match &chunk[4..] {
            b"acTL" => {
                let mut numbers = [0; 8];
                file.read_exact(&mut numbers).ok()?;
                let plays = u32::from_be_bytes([numbers[4], numbers[5], numbers[6], numbers[7]]);
                return Some(plays.min(u32::from(u16::MAX)) as u16);
            }
            b"IDAT" => return None,
            _ => file.seek(SeekFrom::Current(i64::from(length) + 4)).ok()?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_pictures_say_how_often_they_are_played() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            of(&path)
        };
        let gif = |again: &[u8]| [b"GIF89a\x10\0\x10\0\0\0\0!\xff\x0b", NETSCAPE, again, b"\0,"].concat();
        assert_eq!(
            (read(&gif(&[0, 0])), read(&gif(&[2, 0])), read(b"GIF89a\x10\0\x10\0\0\0\0,")),
            (Some(0), Some(3), Some(1))
        );
        let png = |chunk: &[u8]| [b"\x89PNG\r\n\x1a\n", &b"\0\0\0\x01abcdX1234"[..], chunk].concat();
        assert_eq!(read(&png(b"\0\0\0\x08acTL\0\0\0\x05\0\0\0\x07")), Some(7));
        assert_eq!(
            (read(&png(b"\0\0\0\x08IDAT")), read(&png(b"")), read(b"RIFF1234"), read(b"")),
            (None, None, None, None)
        );
    }
}
