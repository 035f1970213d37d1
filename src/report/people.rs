//! Who was replaced: for each part of the cast its tracks and their frames.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{cast::Cast, frame::Replaced};

/// Frames of each part, as they are counted while a clip is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(BTreeMap<usize, Counted>);

/// Frames of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    /// In which it was played, be it by one face or several.
    frames: u64,
    /// Of each track.
    tracks: BTreeMap<u32, u64>,
}

impl Tally {
    /// Counts the faces that are new in one frame.
    pub fn add(&mut self, replaced: &[Replaced]) {
        let mut seen = Vec::new();
        for Replaced { role, track } in replaced {
            let counted = self.0.entry(*role).or_default();
            counted.frames += u64::from(!seen.contains(role));
            *counted.tracks.entry(*track).or_default() += 1;
            seen.push(*role);
        }
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (role, theirs) in &other.0 {
            let counted = self.0.entry(*role).or_default();
            counted.frames += theirs.frames;
            for (track, frames) in &theirs.tracks {
                *counted.tracks.entry(*track).or_default() += frames;
            }
        }
    }

    /// One entry for each part of `cast`, in its order, played or not.
    pub fn people(&self, cast: Option<&Cast>) -> Vec<Person> {
        let roles = cast.iter().flat_map(|cast| cast.roles()).enumerate();
        let person = |(i, role): (usize, &crate::cast::Role)| {
            let counted = self.0.get(&i).cloned().unwrap_or_default();
            let track = |(track, frames)| TrackFrames { track, frames };
            Person {
                who: role.pick.to_string(),
                identity: role.bundle.name.clone(),
                frames: counted.frames,
                tracks: counted.tracks.into_iter().map(track).collect(),
            }
        };
        roles.map(person).collect()
    }
}

/// One part: who was picked, whose face went in, where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The pick as it was typed: a picture's name, or a choice such as `largest`.
    pub who: String,
    /// Whose face went in.
    pub identity: String,
    /// Frames in which it did.
    pub frames: u64,
    /// The tracks that were replaced.
    pub tracks: Vec<TrackFrames>,
}

/// The share of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TrackFrames {
    /// Its number, as `faceswap faces` lists it.
    pub track: u32,
    /// Frames in which its face was replaced.
    pub frames: u64,
}

/// A line for the terminal: `anna.jpg -> B: 240 frames (track 0: 200, 3: 40)`.
impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Tracks that a line has room for.
        const N_SHOWN: usize = 8;
        write!(f, "{} -> {}: {} frames", self.who, self.identity, self.frames)?;
        let shown: Vec<String> =
            self.tracks.iter().take(N_SHOWN).map(|t| format!("{}: {}", t.track, t.frames)).collect();
        match self.tracks.len() {
            0 => Ok(()),
            n if n > N_SHOWN => write!(f, " (track {}, and {} more)", shown.join(", "), n - N_SHOWN),
            _ => write!(f, " (track {})", shown.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(frames: &[&[(usize, u32)]]) -> Tally {
        let mut tally = Tally::default();
        for frame in frames {
            let replaced: Vec<Replaced> =
                frame.iter().map(|(role, track)| Replaced { role: *role, track: *track }).collect();
            tally.add(&replaced);
        }
        tally
    }

    #[test]
    fn frames_are_counted_once_for_a_part_and_once_for_each_track() {
        let counted = tally(&[&[(0, 3), (0, 4)], &[], &[(0, 3), (1, 5)]]);
        assert_eq!(counted.0[&0].frames, 2);
        assert_eq!(counted.0[&0].tracks, BTreeMap::from([(3, 2), (4, 1)]));
        assert_eq!(counted.0[&1].frames, 1);
    }

    #[test]
    fn two_halves_of_a_clip_are_the_whole() {
        let mut first = tally(&[&[(0, 3)], &[(0, 3), (1, 4)]]);
        first.merge(&tally(&[&[(1, 4)], &[(1, 6), (0, 3)]]));
        assert_eq!(first, tally(&[&[(0, 3)], &[(0, 3), (1, 4)], &[(1, 4)], &[(1, 6), (0, 3)]]));
    }

    #[test]
    fn a_line_names_the_person_the_identity_and_the_tracks() {
        let track = |track| TrackFrames { track, frames: 10 + u64::from(track) };
        let person = |n| Person {
            who: "anna.jpg".into(),
            identity: "B".into(),
            frames: 42,
            tracks: (0..n).map(track).collect(),
        };
        assert_eq!(person(0).to_string(), "anna.jpg -> B: 42 frames");
        assert_eq!(person(2).to_string(), "anna.jpg -> B: 42 frames (track 0: 10, 1: 11)");
        assert!(person(11).to_string().ends_with("7: 17, and 3 more)"));
    }
}
