//! What is wrong with a file and yet no reason to stop.

use std::{fs, path::Path};

use ffmpeg_next::{
    Stream,
    ffi::{avformat_index_get_entries_count, avformat_index_get_entry},
};

/// Notes that are kept one by one; the rest are counted.
const MAX_NOTES: usize = 12;

/// Notes on a damaged file, without end only in their number.
#[derive(Debug, Default)]
pub(super) struct Damage {
    notes: Vec<String>,
    n_more: usize,
}

impl Damage {
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES { self.notes.push(note) } else { self.n_more += 1 }
    }

    /// All of it in one line.
    pub(super) fn told(&self) -> Option<String> {
        let more = if self.n_more > 0 { format!("; and {} more", self.n_more) } else { String::new() };
        (!self.notes.is_empty()).then(|| self.notes.join("; ") + &more)
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

    /// What is missing behind the last frame, which ends at `end_s`, in words.
    pub(super) fn broken(self, end_s: f64) -> Option<String> {
        match self {
            Self::Missing(n) if n > 0 => {
                Some(format!("the file is cut off: about {n} frames are missing at the end"))
            }
            // Half a second, for tags that take the sound's length for the stream's.
            Self::End(promised) if promised - end_s > 0.5 => Some(format!(
                "the file is cut off: {:.1} s of video are missing at the end",
                promised - end_s
            )),
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
    fn notes_are_counted_when_there_are_many() {
        let mut damage = Damage::default();
        assert_eq!(damage.told(), None);
        (0..20).for_each(|i| damage.note(format!("n{i}")));
        assert_eq!(damage.told().expect("notes").split("; ").count(), MAX_NOTES + 1);
        assert!(damage.told().expect("notes").ends_with("and 8 more"));
    }

    #[test]
    fn durations_of_matroska_are_read() {
        assert_eq!(seconds("01:02:03.500000000"), Some(3723.5));
        assert_eq!(seconds("soon"), None);
        assert!(Promise::End(10.0).broken(8.0).is_some() && Promise::End(10.0).broken(9.9).is_none());
    }
}
