//! Who is swapped: faces picked by size, by place, by number, or by a picture of the person.
//!
//! A pick holds on to a track, so that it doesn't jump between people. It looks at the frames that the tracker holds:
//! those that went out a moment ago and those that are still to come ([`LOOK_AHEAD`] of them), never at the whole
//! clip. What it learns of a person stays for as long as the clip lasts.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

use super::{association::middle, memory::Held, mesh, reference::Reference, witness::Gallery};
use crate::{
    Error, Result,
    frame::{Face, FramePx},
};

/// Frames that are held back while a pick depends on what comes.
pub const LOOK_AHEAD: usize = 8;
/// How much larger another face must be before the largest is a new one.
const TAKE_OVER: f64 = 1.15;
/// How far beyond the limit a distance must be before a decision that was told is taken back.
const DOUBT: f64 = 0.03;
/// Frames for which a person may be away from the scene and keep their place in it.
const MAX_AWAY: u64 = 50;
/// Tracks that are remembered, so that a long clip takes no more memory than a short one.
const N_REMEMBERED: usize = 64;
/// People that an error message lists.
const N_LISTED: usize = 12;

/// Which faces of a clip are replaced.
#[derive(Debug, Clone)]
pub enum Pick {
    /// Every one.
    All,
    /// The largest; another one only when it is clearly larger.
    Largest,
    /// The face at this place from the left, from 1, when the scene begins; then the same person for the scene.
    LeftToRight(usize),
    /// The same from the right.
    RightToLeft(usize),
    /// The face that the tracker gave this number, see `faceswap faces`.
    Track(u32),
    /// The person of a picture.
    Person(Reference),
}

impl Pick {
    /// `all`, `largest`, `left-to-right:1`, `right-to-left:2`, `track:3`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the choices.
    pub fn parse(option: &str, text: &str) -> Result<Self> {
        let (kind, number) = text.split_once(':').map_or((text, None), |(kind, n)| (kind, Some(n)));
        let place = || number.map_or(Some(1), |n| n.parse().ok().filter(|n| (1..=99).contains(n)));
        let track = || number.and_then(|n| n.parse().ok());
        let pick = match kind {
            "all" if number.is_none() => Some(Self::All),
            "largest" if number.is_none() => Some(Self::Largest),
            "left-to-right" => place().map(Self::LeftToRight),
            "right-to-left" => place().map(Self::RightToLeft),
            "track" => track().map(Self::Track),
            _ => None,
        };
        pick.ok_or_else(|| {
            Error::setting(
                option,
                text,
                "the choices are all, largest, left-to-right:N, right-to-left:N (N from 1) and track:N (numbers as \
                 `faceswap faces CLIP` lists them)",
            )
        })
    }

    /// Whether what comes later can change who is meant now.
    pub fn needs_future(&self) -> bool {
        !matches!(self, Self::All | Self::Track(_))
    }
}

/// As a user would type it.
impl std::fmt::Display for Pick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Largest => f.write_str("largest"),
            Self::LeftToRight(n) => write!(f, "left-to-right:{n}"),
            Self::RightToLeft(n) => write!(f, "right-to-left:{n}"),
            Self::Track(n) => write!(f, "track:{n}"),
            Self::Person(reference) => f.write_str(&reference.name),
        }
    }
}

/// Gives faces their roles. Its state can be written down and read again in the middle of a clip.
#[derive(Debug, Clone)]
pub struct Chooser {
    picks: Vec<Pick>,
    /// Clockwise quarter turns that show the stored picture upright, 0..=3.
    pub quarter_turns: u8,
    /// What it remembers.
    pub state: Choices,
}

/// What a chooser remembers of a clip.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// For each pick by size or place, the track that has it and the frame in which it was last there.
    holders: Vec<Option<(u32, u64)>>,
    /// Faces of each pick so far.
    n_chosen: Vec<u64>,
    /// Tracks by number.
    people: BTreeMap<u32, Seen>,
}

/// What is known of one track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Seen {
    first_frame: u64,
    last_frame: u64,
    height_px: f64,
    /// For each pick by picture: the distance, and whether this is the person.
    matches: Vec<Option<(f64, bool)>>,
}

/// A track in the frames around one: mean place and size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Its number.
    pub track: u32,
    /// How far to the right the middle of the face is in the upright picture, pixels from anywhere.
    pub x: f64,
    /// Height of the face, pixels.
    pub height_px: f64,
}

/// Where the tracks are that show in most of some frames, whose faces these are; `quarter_turns` show these upright.
fn places(frames: &[&[Face]], quarter_turns: u8) -> Vec<Place> {
    let mut sums: Vec<(Place, usize)> = Vec::new();
    for face in frames.iter().copied().flatten() {
        let FramePx { x, y } = middle(&face.points);
        let x = match quarter_turns % 4 {
            0 => x,
            1 => -y,
            2 => -x,
            _ => y,
        };
        let height_px = mesh::height_px(&face.points);
        match sums.iter_mut().find(|(place, _)| place.track == face.track) {
            Some((place, n)) => {
                (place.x, place.height_px, *n) = (place.x + x, place.height_px + height_px, *n + 1);
            }
            None => sums.push((Place { track: face.track, x, height_px }, 1)),
        }
    }
    let often = |(_, n): &(Place, usize)| 2 * n > frames.len();
    let mean = |(place, n): (Place, usize)| {
        let n = n as f64;
        Place { x: place.x / n, height_px: place.height_px / n, ..place }
    };
    sums.into_iter().filter(often).map(mean).collect()
}

impl Chooser {
    /// A chooser for one clip.
    pub fn new(picks: Vec<Pick>) -> Self {
        let state = Choices {
            holders: vec![None; picks.len()],
            n_chosen: vec![0; picks.len()],
            people: BTreeMap::new(),
        };
        Self { picks, quarter_turns: 0, state }
    }

    /// For a clip that players turn clockwise by `quarter_turns`.
    #[must_use]
    pub fn turned(self, quarter_turns: u8) -> Self {
        Self { quarter_turns, ..self }
    }

    /// Whether a pick asks for the person of a picture.
    pub fn needs_identity(&self) -> bool {
        self.picks.iter().any(|pick| matches!(pick, Pick::Person(_)))
    }

    /// Frames that it wants to see before it decides on one.
    pub fn look_ahead(&self) -> usize {
        if self.picks.iter().any(Pick::needs_future) { LOOK_AHEAD } else { 0 }
    }

    /// Where the tracks are in most of the first frame that `waiting` holds and those of its scene that are looked ahead at.
    pub(super) fn around<'a>(&self, mut waiting: impl Iterator<Item = &'a Held>) -> Vec<Place> {
        let first = waiting.next();
        let scene = waiting.take_while(|held| !held.is_cut).take(self.look_ahead());
        let frames: Vec<&[Face]> = first.into_iter().chain(scene).map(|held| &held.faces[..]).collect();
        places(&frames, self.quarter_turns)
    }

    /// A new scene begins: places are given anew.
    pub fn cut(&mut self) {
        self.state.holders.fill(None);
    }

    /// The faces of frame `idx` that are picked, with their roles.
    ///
    /// `around` holds the tracks that show in most of the frames from this one on; `galleries` what they look like.
    pub fn choose(
        &mut self,
        idx: u64,
        faces: Vec<Face>,
        around: &[Place],
        galleries: &BTreeMap<u32, Gallery>,
    ) -> Vec<Face> {
        for face in &faces {
            self.note(idx, face, galleries.get(&face.track));
        }
        let mut roles: Vec<Option<usize>> =
            faces.iter().map(|face| self.nearest_person(face.track)).collect();
        for (r, pick) in self.picks.iter().enumerate() {
            let free = |i: usize, roles: &[Option<usize>]| roles[i].is_none();
            match pick {
                Pick::Person(_) => {}
                Pick::All => roles.iter_mut().for_each(|role| *role = role.or(Some(r))),
                Pick::Track(id) => {
                    if let Some(i) = faces.iter().position(|face| face.track == *id)
                        && free(i, &roles)
                    {
                        roles[i] = Some(r);
                    }
                }
                Pick::Largest | Pick::LeftToRight(_) | Pick::RightToLeft(_) => {
                    let places: Vec<Place> = around
                        .iter()
                        .copied()
                        .filter(|place| {
                            let here = faces.iter().position(|face| face.track == place.track);
                            here.is_none_or(|i| free(i, &roles))
                        })
                        .collect();
                    let held = holder(pick, self.state.holders[r], idx, &places);
                    let here = held.and_then(|track| faces.iter().position(|face| face.track == track));
                    match (held, here) {
                        (Some(track), Some(i)) => {
                            self.state.holders[r] = Some((track, idx));
                            roles[i] = Some(r);
                        }
                        (None, _) => self.state.holders[r] = None,
                        (Some(_), None) => {}
                    }
                }
            }
        }
        let chosen = faces.into_iter().zip(roles);
        let chosen: Vec<Face> =
            chosen.filter_map(|(face, role)| role.map(|role| Face { role, ..face })).collect();
        chosen.iter().for_each(|face| self.state.n_chosen[face.role] += 1);
        chosen
    }

    /// Remembers that a track was there, and decides who it is.
    fn note(&mut self, idx: u64, face: &Face, gallery: Option<&Gallery>) {
        let people = &mut self.state.people;
        if people.len() > N_REMEMBERED {
            // Who was there for the shortest time, and isn't any more, is the least loss.
            let gone = people.iter().filter(|(_, seen)| seen.last_frame + MAX_AWAY < idx);
            let shortest = gone.min_by_key(|(_, seen)| seen.last_frame - seen.first_frame).map(|(id, _)| *id);
            shortest.map(|id| people.remove(&id));
        }
        let seen = people.entry(face.track).or_insert_with(|| Seen {
            first_frame: idx,
            last_frame: idx,
            height_px: 0.0,
            matches: vec![None; self.picks.len()],
        });
        seen.last_frame = idx;
        seen.height_px = seen.height_px.max(mesh::height_px(&face.points));
        for (pick, decision) in self.picks.iter().zip(&mut seen.matches) {
            let Pick::Person(reference) = pick else { continue };
            let Some(distance) = gallery.and_then(|gallery| reference.distance(gallery)) else { continue };
            let limit = reference.max_distance
                + decision.map_or(0.0, |(_, is_person)| if is_person { DOUBT } else { -DOUBT });
            *decision = Some((distance, distance <= limit));
        }
    }

    /// The pick by picture that a track matches best.
    fn nearest_person(&self, track: u32) -> Option<usize> {
        let matches = &self.state.people.get(&track)?.matches;
        let distances = matches.iter().enumerate().filter_map(|(r, decision)| {
            decision.filter(|(_, is_person)| *is_person).map(|(distance, _)| (distance, r))
        });
        distances.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, r)| r)
    }

    /// Says at the end of a clip whether every pick was there.
    ///
    /// # Errors
    /// [`Error::BadSetting`] naming the first one that wasn't, with the people of the clip.
    pub fn verdict(&self) -> Result<()> {
        let missing = |(pick, n): &(&Pick, &u64)| **n == 0 && !matches!(pick, Pick::All | Pick::Largest);
        let Some((pick, _)) = self.picks.iter().zip(&self.state.n_chosen).find(missing) else {
            return Ok(());
        };
        let r = self.picks.iter().position(|other| std::ptr::eq(other, pick)).unwrap_or(0);
        let mut reason = String::from("nobody in this clip; there are:");
        for (track, seen) in self.state.people.iter().take(N_LISTED) {
            let _ = write!(
                reason,
                "\n    track:{track}  frames {} to {}  face {:.0} px",
                seen.first_frame, seen.last_frame, seen.height_px
            );
            if let Some((distance, _)) = seen.matches[r] {
                let _ = write!(reason, "  distance {distance:.2}");
            }
        }
        match self.state.people.len() {
            0 => reason = "there is no face in this clip".into(),
            n if n > N_LISTED => {
                let _ = write!(reason, "\n    and {} more", n - N_LISTED);
            }
            _ => {}
        }
        let option = match pick {
            Pick::Person(reference) => {
                let _ = write!(reason, "\nthe limit is {:.2} (--reference-distance)", reference.max_distance);
                "--reference"
            }
            _ => "--faces",
        };
        // Several picks can only have been typed there.
        let option = if self.picks.len() > 1 { "--map" } else { option };
        Err(Error::setting(option, pick, reason))
    }
}

/// The track that has a pick by size or place in frame `idx`.
fn holder(pick: &Pick, last: Option<(u32, u64)>, idx: u64, places: &[Place]) -> Option<u32> {
    let holding = last.and_then(|(track, _)| places.iter().find(|place| place.track == track));
    if let Pick::Largest = pick {
        let largest = places.iter().max_by(|a, b| a.height_px.total_cmp(&b.height_px))?;
        let stays = holding.filter(|held| largest.height_px <= TAKE_OVER * held.height_px);
        return Some(stays.unwrap_or(largest).track);
    }
    if let Some((track, seen)) = last
        && (holding.is_some() || idx.saturating_sub(seen) <= MAX_AWAY)
    {
        return Some(track);
    }
    let mut row = places.to_vec();
    row.sort_by(|a, b| a.x.total_cmp(&b.x));
    let place = match pick {
        Pick::LeftToRight(n) => n.checked_sub(1),
        Pick::RightToLeft(n) => row.len().checked_sub(*n),
        _ => None,
    };
    place.and_then(|i| row.get(i)).map(|place| place.track)
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
