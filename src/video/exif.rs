//! A line of text in a picture's EXIF: the description of its first directory (TIFF 6.0, section 2).

/// Tag 270, `ImageDescription`: what the picture shows.
const DESCRIPTION: u16 = 0x010e;
/// Type 2: bytes of text that end with a zero.
const ASCII: u16 = 2;
/// Tags of where a thumbnail lies, and of how long it is: as JPEG, or in one strip.
const THUMBNAIL_AT: [u16; 2] = [0x0201, 0x0111];
const THUMBNAIL_LEN: [u16; 2] = [0x0202, 0x0117];
/// Bytes of one entry of a directory.
const ENTRY_LEN: usize = 12;

/// EXIF data that says `label` as well, with everything else that `existing` says but its thumbnail, which shows the old
/// face; what can't be read is left out.
///
/// The old directory is written anew at the end, so that no other offset moves.
pub(super) fn labelled(existing: Option<Vec<u8>>, label: &str) -> Vec<u8> {
    existing.and_then(|exif| with_description(exif, label)).unwrap_or_else(|| {
        let empty = [b"II*\0", &8_u32.to_le_bytes()[..], &0_u16.to_le_bytes(), &0_u32.to_le_bytes()].concat();
        with_description(empty, label).unwrap_or_default()
    })
}

fn with_description(mut exif: Vec<u8>, label: &str) -> Option<Vec<u8>> {
    let little = match exif.get(..2)? {
        b"II" => true,
        b"MM" => false,
        _ => return None,
    };
    let u16_at = |data: &[u8], at: usize| {
        let bytes = data.get(at..at + 2)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |data: &[u8], at: usize| {
        let bytes = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize)
    };
    let put_u16 = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let put_u32 = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
    let start = u32_at(&exif, 4)?;
    let n_entries = usize::from(u16_at(&exif, start)?);
    let end = start + 2 + n_entries * ENTRY_LEN;
    // The second directory is the thumbnail's: nothing leads there any more, and its picture is wiped out.
    if let Some(second) = u32_at(&exif, end).filter(|at| *at > 0) {
        let n = u16_at(&exif, second).map_or(0, usize::from);
        let places = (0..n).map(|i| second + 2 + i * ENTRY_LEN);
        let value = |tags: [u16; 2]| {
            let at = places.clone().find(|at| u16_at(&exif, *at).is_some_and(|tag| tags.contains(&tag)))?;
            u32_at(&exif, at + 8)
        };
        if let (Some(from), Some(len)) = (value(THUMBNAIL_AT), value(THUMBNAIL_LEN))
            && let Some(picture) = from.checked_add(len).and_then(|to| exif.get_mut(from..to))
        {
            picture.fill(0);
        }
    }

    let mut places = (0..n_entries).map(|i| start + 2 + i * ENTRY_LEN);
    let is_text = |at: usize| u16_at(&exif, at) == Some(DESCRIPTION) && u16_at(&exif, at + 2) == Some(ASCII);
    let said = places.find(|at| is_text(*at)).and_then(|at| {
        let n = u32_at(&exif, at + 4)?;
        let from = if n <= 4 { at + 8 } else { u32_at(&exif, at + 8)? };
        let text = exif.get(from..from.checked_add(n)?)?;
        Some(String::from_utf8_lossy(text).trim_end_matches(['\0', ' ']).to_owned())
    });
    let text = match said {
        Some(said) if said.contains(label) => said,
        Some(said) if !said.is_empty() => format!("{said}; {label}"),
        _ => label.to_owned(),
    };
    let mut text: Vec<u8> = text.bytes().filter(|b| *b != 0).collect();
    text.push(0);
    let text_at = u32::try_from(exif.len()).ok()?;
    let mut ours = [put_u16(DESCRIPTION), put_u16(ASCII)].concat();
    ours.extend(put_u32(text.len() as u32));
    ours.extend(put_u32(text_at));

    let mut entries: Vec<Vec<u8>> =
        exif.get(start + 2..end)?.chunks_exact(ENTRY_LEN).map(<[u8]>::to_vec).collect();
    entries.retain(|entry| u16_at(entry, 0) != Some(DESCRIPTION));
    entries.push(ours);
    // Directories are in the order of their tags.
    entries.sort_by_key(|entry| u16_at(entry, 0));

    exif.extend(text);
    if exif.len() % 2 == 1 {
        exif.push(0); // Directories begin at even offsets.
    }
    let directory_at = u32::try_from(exif.len()).ok()?;
    exif.extend(put_u16(entries.len() as u16));
    exif.extend(entries.concat());
    exif.extend(put_u32(0));
    exif[4..8].copy_from_slice(&put_u32(directory_at));
    Some(exif)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The description as a reader would find it: through the header's offset.
    fn description(exif: &[u8]) -> String {
        assert_eq!(&exif[..2], b"II");
        let u16_at = |at: usize| usize::from(u16::from_le_bytes([exif[at], exif[at + 1]]));
        let u32_at = |at: usize| u32::from_le_bytes(exif[at..at + 4].try_into().expect("4 bytes")) as usize;
        let start = u32_at(4);
        let entry = (0..u16_at(start)).map(|i| start + 2 + i * ENTRY_LEN).find(|at| u16_at(*at) == 0x010e);
        let entry = entry.expect("a description");
        let (n, at) = (u32_at(entry + 4), u32_at(entry + 8));
        String::from_utf8(exif[at..at + n - 1].to_vec()).expect("text")
    }

    #[test]
    fn a_label_is_found_again_and_stands_behind_what_was_said_before() {
        let once = labelled(None, "first, a longer one");
        assert_eq!(description(&once), "first, a longer one");
        let twice = labelled(Some(once), "second");
        assert_eq!(description(&twice), "first, a longer one; second");
        let thrice = labelled(Some(twice), "second");
        assert_eq!(description(&thrice), "first, a longer one; second");
    }

    #[test]
    fn a_thumbnail_of_the_old_face_is_wiped_out() {
        // An empty first directory, a second one with a JPEG of 8 bytes behind it.
        let mut exif = b"II*\0\x08\0\0\0\0\0\x0e\0\0\0\x02\0".to_vec();
        exif.extend(b"\x01\x02\x04\0\x01\0\0\0\x2c\0\0\0");
        exif.extend(b"\x02\x02\x04\0\x01\0\0\0\x08\0\0\0");
        exif.extend([0; 4]);
        assert_eq!(exif.len(), 0x2c);
        exif.extend(b"OLD FACE");
        let made = labelled(Some(exif.clone()), "x");
        assert_eq!(description(&made), "x");
        assert!(!made.windows(8).any(|w| w == b"OLD FACE"));
        let start = u32::from_le_bytes(made[4..8].try_into().expect("4 bytes")) as usize;
        assert_eq!(made[start + 2 + ENTRY_LEN..][..4], [0; 4], "no second directory");
        // A length beyond the end is no harm.
        exif[0x24..0x28].fill(0xff);
        assert_eq!(description(&labelled(Some(exif), "x")), "x");
    }

    #[test]
    fn other_entries_stay_and_rubbish_is_left_out() {
        // One entry: tag 0x0112 (orientation), SHORT, 1 value, 3.
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0".to_vec();
        exif = labelled(Some(exif), "x");
        assert_eq!(description(&exif), "x");
        assert!(exif.windows(12).filter(|w| *w == b"\x12\x01\x03\0\x01\0\0\0\x03\0\0\0").count() >= 2);
        for rubbish in
            [&b""[..], b"II", b"XX*\0\0\0\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"]
        {
            assert_eq!(description(&labelled(Some(rubbish.to_vec()), "y")), "y");
        }
    }
}
