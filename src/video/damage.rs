//! What is wrong with a file and yet no reason to stop.

use std::{fmt, fs, path::Path};

use ffmpeg_next::{
    Stream,
    ffi::{avformat_index_get_entries_count, avformat_index_get_entry},
};
use serde::{Deserialize, Serialize};

/// Ranges that are kept one by one; what comes after them is drawn together into the last.
const MAX_RANGES: usize = 10_000;

/// Frames of the output that don't show what was filmed, and why. Numbers count the output's frames from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedFrames {
    /// The first of them.
    pub first: u64,
    /// The last of them; `None` when nobody knows how many are missing behind `first`.
    pub last: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for DamagedFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, reason) = (self.first, &self.reason);
        match self.last {
            Some(last) if last == first => write!(f, "frame {first}: {reason}"),
            Some(last) => write!(f, "frames {first} to {last}: {reason}"),
            None => write!(f, "from frame {first} on: {reason}"),
        }
    }
}

/// All that is wrong with a file.
#[derive(Debug, Default)]
pub(super) struct Damage(Vec<DamagedFrames>);

impl Damage {
    /// Frame number `frame` is damaged.
    pub(super) fn note(&mut self, frame: u64, reason: impl Into<String>) {
        let full = self.0.len() >= MAX_RANGES;
        let reason = reason.into();
        match self.0.last_mut() {
            Some(range) if range.last.is_some_and(|l| full || (l + 1 >= frame && range.reason == reason)) => {
                range.last = Some(frame);
            }
            _ => self.0.push(DamagedFrames { first: frame, last: Some(frame), reason }),
        }
    }

    /// Everything from frame number `frame` on is missing.
    pub(super) fn end(&mut self, frame: u64, n_missing: Option<u64>, reason: impl Into<String>) {
        let last = n_missing.map(|n| frame + n.max(1) - 1);
        self.0.push(DamagedFrames { first: frame, last, reason: reason.into() });
    }

    /// The ranges in the order of the frames.
    pub(super) fn ranges(&self) -> &[DamagedFrames] {
        &self.0
    }
}

/// How the end of a stream is known before it is reached.
#[derive(Debug, Clone, Copy)]
pub(super) enum Promise {
    /// By the index: this many frames lie beyond the end of the file.
    Missing(u64),
    /// By the header or a tag: seconds.
    End(f64),
    /// Not at all.
    Unknown,
}

impl Promise {
    /// What a container promises of a stream.
    pub(super) fn of(stream: &Stream, container: &str, path: &Path) -> Self {
        if container.contains("mov") {
            return Self::Missing(n_beyond_end(stream, path));
        }
        if container == "avi" && stream.duration() > 0 {
            return Self::End(
                (stream.start_time().max(0) + stream.duration()) as f64 * f64::from(stream.time_base()),
            );
        }
        stream.metadata().get("DURATION").and_then(seconds).map_or(Self::Unknown, Self::End)
    }

    /// What is missing behind the last frame, which ends at `end_s`: frames, if known, and words.
    pub(super) fn broken(self, end_s: f64) -> Option<(Option<u64>, String)> {
        match self {
            Self::Missing(n) if n > 0 => Some((Some(n), "missing: the file is cut off".into())),
            // Half a second, for tags that take the sound's length for the stream's.
            Self::End(promised) if promised - end_s > 0.5 => {
                Some((None, format!("missing: the file is cut off by {:.1} s", promised - end_s)))
            }
            _ => None,
        }
    }
}

/// Frames that the index puts beyond the end of the file.
fn n_beyond_end(stream: &Stream, path: &Path) -> u64 {
    let Ok(length) = fs::metadata(path).map(|m| m.len()) else { return 0 };
    // SAFETY: the stream is alive; entries are read one at a time, each before the next call.
    unsafe {
        let raw = stream.as_ptr().cast_mut();
        (0..avformat_index_get_entries_count(raw))
            .filter_map(|i| avformat_index_get_entry(raw, i).as_ref())
            .filter(|entry| {
                entry.pos >= 0 && entry.pos as u64 + u64::from(entry.size().unsigned_abs()) > length
            })
            .count() as u64
    }
}

/// `HH:MM:SS.fraction` in seconds.
fn seconds(tag: &str) -> Option<f64> {
    let parts: Option<Vec<f64>> =
        tag.trim_end_matches('\0').split(':').map(|part| part.parse().ok()).collect();
    match parts?[..] {
        [hours, minutes, seconds] => Some(hours * 3600.0 + minutes * 60.0 + seconds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_with_one_reason_are_one_range() {
        let mut damage = Damage::default();
        [3, 4, 5, 9].into_iter().for_each(|frame| damage.note(frame, "torn"));
        damage.note(10, "lost");
        damage.end(20, None, "cut");
        let told: Vec<String> = damage.ranges().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["frames 3 to 5: torn", "frame 9: torn", "frame 10: lost", "from frame 20 on: cut"]);
    }

    #[test]
    fn a_file_of_nothing_but_damage_has_a_bounded_list() {
        let mut damage = Damage::default();
        (0..50_000).for_each(|i| damage.note(2 * i, "torn"));
        assert_eq!(damage.ranges().len(), MAX_RANGES);
        assert_eq!(damage.ranges().last().and_then(|range| range.last), Some(99_998));
    }

    #[test]
    fn durations_of_matroska_are_read() {
        assert_eq!(seconds("01:02:03.500000000"), Some(3723.5));
        assert_eq!(seconds("soon"), None);
        assert!(Promise::End(10.0).broken(8.0).is_some() && Promise::End(10.0).broken(9.9).is_none());
    }
}
