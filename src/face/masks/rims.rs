//! The rims of glasses: thin lines that go once around each eye.
//!
//! A network that sees a face in 128 pixels doesn't see a wire of half a pixel. But what a rim looks like is known: along
//! all of it, it is darker or brighter than what lies on both sides. So the surroundings of each eye are unrolled to a band,
//! angle by distance, in which a rim is a ridge from one end to the other; the way through the band with the most ridge
//! is found by dynamic programming. There is such a way in every face, along brows, lashes and folds; but only a rim is
//! a ridge along three quarters of its length, around both eyes. How faint that part is at most says how sure it is.
//!
//! Bridge and arms are found in the same way, in bands that lead from rim to rim and outwards.

use ndarray::{Array2, Array3};

use super::{
    Map, cut_out, decided, luma,
    ridge::{Band, Ground, Line, at, nth},
};
use crate::{
    face::{
        hull::{convex_hull, coverage},
        mesh::{self, BROWS_BOTTOM, BROWS_TOP, EYE_CORNERS, OVAL},
    },
    frame::{CropPx, FramePx, Similarity},
    video::Picture,
};

/// Side of the crop that is looked at, pixels, and of the map.
const SIDE: usize = 256;
/// Directions around an eye.
const N_ANGLES: usize = 128;
/// How near and how far a rim is, widths of the eye; it is lower than wide, and its middle a little below the eye's.
const NEAR: f64 = 0.56;
const FAR: f64 = 1.8;
const FLAT: f64 = 0.8;
const LOWERED: f64 = 0.12;
/// How strong the ridge of a rim is, luma 0..=1, that is one for certain in half of the cases, and the range of doubt.
const SURE: f32 = 0.017;
const DOUBT: f32 = 0.006;
/// Below that it is none, whatever the frames around say.
const LEAST: f32 = 0.004;
/// Where bridge and arms may lie above and below the line between their ends, and the length of an arm, widths of the eye.
const BESIDE: f64 = 0.45;
const ARM: f64 = 0.8;

/// Lines in front of a face that may be the rims of glasses.
#[derive(Debug, Clone)]
pub struct Rims {
    /// What of the face is in view beside them, 0..=1, `[256, 256]`.
    visible: Array2<f32>,
    /// From the frame to its pixels.
    alignment: Similarity,
    /// How strong the ridges are, luma 0..=1.
    strength: f32,
}

impl Rims {
    /// How sure it is that these are rims, 0..=1, for the strengths of theirs and of others in the frames around.
    pub(super) fn sureness(strengths: Vec<f32>) -> f32 {
        decided(nth(strengths, 0.5), SURE, DOUBT)
    }

    /// How strong the ridges are, luma 0..=1.
    pub(super) fn strength(&self) -> f32 {
        self.strength
    }

    /// What of the face is in view where the lines are rims to this share.
    pub(super) fn map(&self, sureness: f32) -> Map {
        Map { values: self.visible.mapv(|v| 1.0 - sureness * (1.0 - v)), alignment: self.alignment }
    }
}

/// The lines in front of the face with these points; `None` where they are far from being rims.
pub(super) fn look_in(picture: &Picture, points: &[FramePx]) -> Option<Rims> {
    let (pixels, alignment) = cut_out(picture, points, SIDE)?;
    trace(&luma(&pixels, 1), &alignment, points)
}

/// The same where the face is cut out already: `[3, side, side]`, by `alignment`.
pub(super) fn look(
    picture: &Picture,
    (pixels, alignment): (&Array3<f32>, &Similarity),
    points: &[FramePx],
) -> Option<Rims> {
    let side = pixels.dim().2;
    if side == 0 || !side.is_multiple_of(SIDE) || points.len() < mesh::N_POINTS {
        return look_in(picture, points);
    }
    let factor = side / SIDE;
    trace(&luma(pixels, factor), &alignment.scaled(1.0 / factor as f64), points)
}

fn trace(luma: &Array2<f32>, alignment: &Similarity, points: &[FramePx]) -> Option<Rims> {
    let points: Vec<CropPx> = points.iter().map(|point| alignment.to_crop(*point)).collect();
    let eyes = Eye::both(&points)?;
    let face = coverage(&convex_hull(&OVAL.map(|i| points[i])), SIDE);
    let mut brows = Array2::zeros([SIDE, SIDE]);
    for (top, bottom) in BROWS_TOP.iter().zip(&BROWS_BOTTOM) {
        let brow: Vec<CropPx> = top.iter().chain(bottom).map(|i| points[*i]).collect();
        brows += &coverage(&convex_hull(&brow), SIDE);
    }
    let rims = eyes.each_ref().map(|eye| {
        let band = Band::sampled(luma, N_ANGLES, eye.n_steps(), true, |angle, step| eye.place(angle, step));
        band.best(|place| {
            if at(&face, place) < 0.5 || !eye.is_below_brow(place) {
                Ground::Outside
            } else if at(&brows, place) > 0.5 {
                Ground::Brow
            } else {
                Ground::Skin
            }
        })
    });
    let strength = rims.iter().map(Line::strength).fold(f32::INFINITY, f32::min);
    if strength < LEAST {
        return None;
    }
    let mut visible = Array2::ones([SIDE, SIDE]);
    for line in rims.iter().chain(&joints(luma, &eyes, &rims)) {
        line.draw(&mut visible);
    }
    Some(Rims { visible, alignment: *alignment, strength })
}

/// The bridge between two rims and the arms beyond them, as far as they are seen.
fn joints(luma: &Array2<f32>, eyes: &[Eye; 2], rims: &[Line; 2]) -> Vec<Line> {
    let [right, left] = eyes;
    let (dx, dy) = (left.middle.x - right.middle.x, left.middle.y - right.middle.y);
    let apart = dx.hypot(dy).max(1.0);
    let across = (dx / apart, dy / apart);
    let ends = [-1.0, 1.0].map(|sign| (sign * across.0, sign * across.1));
    // The point of a rim that is furthest in a direction.
    let furthest = |rim: &Line, (x, y): (f64, f64)| {
        rim.places.iter().copied().max_by(|a, b| (a.x * x + a.y * y).total_cmp(&(b.x * x + b.y * y)))
    };
    let inner = [furthest(&rims[0], ends[1]), furthest(&rims[1], ends[0])];
    let outer = [0, 1].map(|eye| {
        let from = furthest(&rims[eye], ends[eye])?;
        let length = ARM * eyes[eye].width;
        let to = CropPx { x: from.x + length * ends[eye].0, y: from.y + length * ends[eye].1 };
        Some([from, to])
    });
    let bridge = inner[0].zip(inner[1]).map(|(a, b)| [a, b]);
    let room = BESIDE * right.width.max(left.width);
    let line = |[a, b]: [CropPx; 2]| {
        let (x, y) = (b.x - a.x, b.y - a.y);
        let length = x.hypot(y).max(1.0);
        let (n_along, n_beside) = (length.ceil() as usize + 1, room.ceil() as usize);
        let band = Band::sampled(luma, n_along, 2 * n_beside + 1, false, |along, beside| {
            let (t, off) = (along as f64 / length, beside as f64 - n_beside as f64);
            CropPx { x: a.x + t * x - off * y / length, y: a.y + t * y + off * x / length }
        });
        band.best(|_| Ground::Skin)
    };
    let lines = [outer[0], bridge, outer[1]].into_iter().flatten().map(line);
    lines.filter(|line| line.strength() > 0.5 * SURE).collect()
}

/// Where an eye is in the crop.
struct Eye {
    middle: CropPx,
    width: f64,
    /// From the middle to the side, as long as the eye is wide, and downwards, as long as the wider eye; to the middle of
    /// a rim.
    side: (f64, f64),
    down: (f64, f64),
    /// How far down from the middle, pixels, the brow's upper edge is; negative.
    brow: f64,
}

impl Eye {
    fn both(points: &[CropPx]) -> Option<[Self; 2]> {
        let corners = EYE_CORNERS.map(|corners| corners.map(|corner| points[corner]));
        let widths = corners.map(|[a, b]| (b.x - a.x).hypot(b.y - a.y));
        if widths.iter().any(|width| !(4.0..SIDE as f64).contains(width)) {
            return None;
        }
        let wider = widths[0].max(widths[1]);
        Some([0, 1].map(|eye| {
            let ([a, b], width) = (corners[eye], widths[eye]);
            let (x, y) = ((b.x - a.x) / width, (b.y - a.y) / width);
            // Corners may be given from right to left.
            let down = if x < 0.0 { (y, -x) } else { (-y, x) };
            let middle = CropPx {
                x: 0.5 * (a.x + b.x) + LOWERED * wider * down.0,
                y: 0.5 * (a.y + b.y) + LOWERED * wider * down.1,
            };
            let height = |i: usize| (points[i].x - middle.x) * down.0 + (points[i].y - middle.y) * down.1;
            Self {
                middle,
                width,
                side: (width * x, width * y),
                down: (FLAT * wider * down.0, FLAT * wider * down.1),
                brow: BROWS_TOP[eye].into_iter().map(height).fold(f64::INFINITY, f64::min),
            }
        }))
    }

    /// Steps of a pixel from the nearest place of a rim to the farthest.
    fn n_steps(&self) -> usize {
        (((FAR - NEAR) * self.width).round() as usize).max(24)
    }

    fn place(&self, angle: usize, step: usize) -> CropPx {
        let (sin, cos) = (std::f64::consts::TAU * angle as f64 / N_ANGLES as f64).sin_cos();
        let far = NEAR + (FAR - NEAR) * step as f64 / self.n_steps() as f64;
        CropPx {
            x: self.middle.x + far * (cos * self.side.0 + sin * self.down.0),
            y: self.middle.y + far * (cos * self.side.1 + sin * self.down.1),
        }
    }

    fn is_below_brow(&self, place: CropPx) -> bool {
        let length = self.down.0.hypot(self.down.1);
        let down =
            ((place.x - self.middle.x) * self.down.0 + (place.y - self.middle.y) * self.down.1) / length;
        down >= self.brow
    }
}

#[cfg(test)]
#[path = "rims_tests.rs"]
mod tests;
