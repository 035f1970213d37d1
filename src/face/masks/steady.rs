//! Masks held steady over time: what is said of a pixel in a single frame, and by neither of its neighbours, is a
//! slip of a network.
//!
//! Each pixel gets the median of three frames, on the grid that moves with the face. Unlike a mean, a median lets the
//! edge of a thing that passes keep its place and its moment: where a pixel is covered and stays so, the middle of the
//! three is its own value.
//!
//! Glasses don't come and go: whether lines are their rims is decided over half a second or so, by the middle one of all
//! frames. Where they are is said anew in each, since a thin line that moves by its own width has no median.

use std::collections::VecDeque;

use ndarray::{Array2, Zip};

use super::{Rims, SIDE, without_rims};
use crate::{
    Result,
    frame::{NewFace, Swapped},
    line::Stage,
};

/// Frames before each one whose lines count as well.
const LOOK_BACK: usize = 14;

/// Each value the median of itself and its two neighbours in time; `now` where there aren't two of its size.
pub fn steadied(before: Option<&Array2<f32>>, now: &Array2<f32>, after: Option<&Array2<f32>>) -> Array2<f32> {
    let alike = |other: &&Array2<f32>| other.dim() == now.dim();
    let (Some(before), Some(after)) = (before.filter(alike), after.filter(alike)) else { return now.clone() };
    let median = |a: f32, b: f32, c: f32| a.min(b).max(a.max(b).min(c));
    Zip::from(before).and(now).and(after).map_collect(|a, b, c| median(*a, *b, *c))
}

/// What a frame alone says of a face.
#[derive(Debug)]
struct Seen {
    track: u32,
    /// Its mask.
    visible: Option<Array2<f32>>,
    /// How strong the lines are that may be rims.
    rims: f32,
}

/// What one frame alone says of a track.
fn mask_of(all: &[Seen], track: u32) -> Option<&Array2<f32>> {
    all.iter().find(|seen| seen.track == track)?.visible.as_ref()
}

/// Steadies what is in view of all new faces, track by track. It holds one frame back.
#[derive(Debug, Default)]
pub struct Steadier {
    /// The frame before the first one that waits.
    before: Vec<Seen>,
    /// The lines in the frames before that, the newest first.
    lines: VecDeque<Vec<(u32, f32)>>,
    /// Frames that wait.
    waiting: VecDeque<(Swapped, Vec<Seen>)>,
}

impl Steadier {
    fn ready(&mut self, is_end: bool) -> Option<Swapped> {
        if self.waiting.len() < 2 && !is_end {
            return None;
        }
        let (mut swapped, seen) = self.waiting.pop_front()?;
        let after = self.waiting.front().map(|(_, seen)| &seen[..]).unwrap_or_default();
        for (face, now) in swapped.faces.iter_mut().zip(&seen) {
            let steady = |mask| steadied(mask_of(&self.before, now.track), mask, mask_of(after, now.track));
            let around = self.before.iter().chain(after).chain([now]).map(|seen| (seen.track, seen.rims));
            let all = around.chain(self.lines.iter().flatten().copied());
            let strengths = all.filter(|(track, _)| *track == now.track).map(|(_, rims)| rims).collect();
            let alignment = face.alignment_at(SIDE);
            let visible = now.visible.as_ref().map(steady);
            face.visible = without_rims(visible, face.rims.take().as_ref(), strengths, &alignment);
        }
        let older = std::mem::replace(&mut self.before, seen);
        self.lines.push_front(older.into_iter().map(|seen| (seen.track, seen.rims)).collect());
        self.lines.truncate(LOOK_BACK - 1);
        Some(swapped)
    }
}

impl Stage for Steadier {
    type In = Swapped;
    type Out = Swapped;

    fn push(&mut self, mut swapped: Swapped) -> Result<Option<Swapped>> {
        let seen = |face: &mut NewFace| Seen {
            track: face.face.track,
            visible: face.visible.take(),
            rims: face.rims.as_ref().map_or(0.0, Rims::strength),
        };
        let seen = swapped.faces.iter_mut().map(seen).collect();
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
