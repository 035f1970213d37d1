//! The journal of a job: which segments are whole, and what they hold.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{Task, durable};
use crate::{
    Result,
    report::Tally,
    video::{Cut, DamagedFrames},
};

/// The first word of the file; the checksum of all that follows comes behind it.
const MAGIC: &str = "faceswap-journal-2";

/// What is known of the work that is done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// The job.
    pub task: Task,
    /// SHA-256 of the codec's header, which all segments share.
    pub header: Option<String>,
    /// Whole segments by their numbers.
    pub segments: BTreeMap<u64, Segment>,
    /// Known once the last frame was decoded.
    pub end: Option<End>,
}

/// A stretch of the encoded picture that begins with a keyframe and needs no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Frames in it.
    pub frames: u64,
    /// Frames in it in which a face is new.
    pub swapped: u64,
    /// Who was replaced in it.
    pub tally: Tally,
    /// Time of its first frame, in ticks of the picture's time base.
    pub first_pts: i64,
    /// Time of its last frame.
    pub last_pts: i64,
    /// By how many packets the order of decoding runs ahead of the order of presentation.
    pub reorder: usize,
    /// Nothing in the input was doubtful up to its last frame.
    #[serde(default)]
    pub sure: bool,
    /// Length of its file.
    pub bytes: u64,
    /// SHA-256 of its file.
    pub sha256: String,
}

/// The end of the clip.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Segments in all.
    pub segments: u64,
    /// Frames of the input that were damaged.
    pub damage: Vec<DamagedFrames>,
    /// What else there is to tell of the input.
    pub notes: Vec<String>,
    /// What the other tracks have to lose.
    pub cut: Cut,
}

impl Journal {
    /// A journal as it is stored.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        durable::parse(bytes, MAGIC)
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        durable::to_bytes(self, MAGIC)
    }

    /// Reads `path`; `None` when there is no journal yet.
    ///
    /// # Errors
    /// [`crate::Error::BadInput`] for a damaged one, [`crate::Error::Io`] when it can't be read.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        durable::load(path, MAGIC)
    }

    /// Puts this journal in the place of the old one; a crash leaves one of them whole.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the disk is full or the like; the old one is still there then.
    pub fn store(&self, path: &Path) -> Result<()> {
        durable::store(path, MAGIC, self)
    }

    /// Frames in whole segments.
    pub fn n_frames(&self) -> u64 {
        self.segments.values().map(|segment| segment.frames).fold(0, u64::saturating_add)
    }

    /// The first segments that are missing, up to the next that is there, or to the end of the clip (`None`) where it
    /// isn't known or there is none. `None` for a job that is done.
    pub fn missing(&self) -> Option<(u64, Option<u64>)> {
        let first = (0..=self.segments.len() as u64).find(|n| !self.segments.contains_key(n))?;
        let next = self.segments.range(first..).next().map(|(n, _)| *n);
        let known = self.end.as_ref().map(|end| end.segments);
        (known != Some(first)).then_some((first, next.or(known)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{digest::sha256, video::Join};

    fn segment(n: u64) -> Segment {
        Segment {
            frames: 250,
            swapped: n,
            tally: Tally::default(),
            first_pts: -1024 + n as i64 * 1000,
            last_pts: n as i64 * 1000,
            reorder: 2,
            sure: true,
            bytes: 1 << 40,
            sha256: sha256(&n.to_le_bytes()),
        }
    }

    fn journal(segments: impl IntoIterator<Item = u64>, end: Option<u64>) -> Journal {
        let join = Join { after: 1 << 40, at: (1 << 40) + 188, shift_s: 1.5 };
        let cut = Cut { joins: vec![join], ..Cut::default() };
        let end = end.map(|segments| End { segments, damage: Vec::new(), notes: Vec::new(), cut });
        let segments = segments.into_iter().map(|n| (n, segment(n))).collect();
        Journal { end, segments, header: Some(sha256(b"header")), ..Default::default() }
    }

    #[test]
    fn missing_segments_are_found() {
        assert_eq!(journal([], None).missing(), Some((0, None)));
        assert_eq!(journal([0, 1], None).missing(), Some((2, None)));
        assert_eq!(journal([0, 1, 4, 5], None).missing(), Some((2, Some(4))));
        assert_eq!(journal([0, 1, 4, 5], Some(6)).missing(), Some((2, Some(4))));
        assert_eq!(journal([0, 1], Some(3)).missing(), Some((2, Some(3))));
        assert_eq!(journal([0, 1, 2], Some(3)).missing(), None);
    }

    #[test]
    fn a_journal_comes_back_and_a_damaged_one_is_told() {
        let whole = journal([0, 1, 3], Some(4));
        let bytes = whole.to_bytes();
        assert_eq!(Journal::parse(&bytes).expect("whole"), whole);
        for cut in 0..bytes.len() {
            assert!(Journal::parse(&bytes[..cut]).is_err(), "cut after {cut} bytes");
        }
        for i in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[i] ^= 1;
            assert!(Journal::parse(&flipped).is_err(), "byte {i} flipped");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Journal::parse(&bytes);
            let mut framed = format!("{MAGIC} {}\n", sha256(&bytes)).into_bytes();
            framed.extend(&bytes);
            prop_assert!(Journal::parse(&framed).is_err());
        }
    }
}
