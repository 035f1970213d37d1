//! Masks held steady over time: what is said of a pixel in a single frame, and by neither of its neighbours, is a
//! slip of a network.
//!
//! Each pixel gets the median of three frames, on the grid that moves with the face. Unlike a mean, a median lets the
//! edge of a thing that passes keep its place and its moment: where a pixel is covered and stays so, the middle of the
//! three is its own value.

use std::collections::VecDeque;

use ndarray::{Array2, Zip};

use crate::{
    Result,
    frame::{NewFace, Swapped},
    line::Stage,
};

/// Each value the median of itself and its two neighbours in time; `now` where there aren't two of its size.
pub fn steadied(before: Option<&Array2<f32>>, now: &Array2<f32>, after: Option<&Array2<f32>>) -> Array2<f32> {
    let alike = |other: &&Array2<f32>| other.dim() == now.dim();
    let (Some(before), Some(after)) = (before.filter(alike), after.filter(alike)) else { return now.clone() };
    let median = |a: f32, b: f32, c: f32| a.min(b).max(a.max(b).min(c));
    Zip::from(before).and(now).and(after).map_collect(|a, b, c| median(*a, *b, *c))
}

/// A face's mask, as its frame alone has it.
type Seen = (u32, Option<Array2<f32>>);

/// Steadies what is in view of all new faces, track by track. It holds one frame back.
#[derive(Debug, Default)]
pub struct Steadier {
    /// The masks of the frame before the first one that waits.
    before: Vec<Seen>,
    /// Frames that wait, with their masks.
    waiting: VecDeque<(Swapped, Vec<Seen>)>,
}

impl Steadier {
    fn ready(&mut self, is_end: bool) -> Option<Swapped> {
        if self.waiting.len() < 2 && !is_end {
            return None;
        }
        let (mut swapped, seen) = self.waiting.pop_front()?;
        let after = self.waiting.front().map(|(_, seen)| &seen[..]).unwrap_or_default();
        for (face, (track, now)) in swapped.faces.iter_mut().zip(&seen) {
            let of_track = |all: &'_ [Seen]| {
                all.iter().position(|(other, _)| other == track).and_then(|i| all[i].1.clone())
            };
            face.visible = now
                .as_ref()
                .map(|now| steadied(of_track(&self.before).as_ref(), now, of_track(after).as_ref()));
        }
        self.before = seen;
        Some(swapped)
    }
}

impl Stage for Steadier {
    type In = Swapped;
    type Out = Swapped;

    fn push(&mut self, swapped: Swapped) -> Result<Option<Swapped>> {
        let seen = |face: &NewFace| (face.face.track, face.visible.clone());
        let seen = swapped.faces.iter().map(seen).collect();
        self.waiting.push_back((swapped, seen));
        Ok(self.ready(false))
    }

    fn finish(&mut self) -> Result<Option<Swapped>> {
        Ok(self.ready(true))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn a_slip_of_one_frame_goes_and_an_edge_keeps_its_moment() {
        let (open, covered) = (arr2(&[[1.0_f32, 1.0]]), arr2(&[[0.0_f32, 1.0]]));
        assert_eq!(steadied(Some(&open), &covered, Some(&open)), open, "covered for one frame alone");
        assert_eq!(steadied(Some(&open), &covered, Some(&covered)), covered, "the first frame of a thing");
        assert_eq!(steadied(Some(&covered), &covered, Some(&open)), covered, "its last frame");
        assert_eq!(steadied(None, &covered, Some(&open)), covered, "the first frame of a track");
        assert_eq!(steadied(Some(&open), &covered, Some(&Array2::ones((4, 4)))), covered, "another grid");
    }
}
