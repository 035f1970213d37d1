//! Faces that were blended into themselves, and where: what a bad composite looks like, without anybody's swap.
//!
//! The idea is Face X-ray's (Li et al. 2020) and that of self-blended images (Shiohara and Yamasaki 2022): a network
//! that has seen seams alone, and no method of swapping, finds the seams of any method.

use ndarray::{Array2, Array3, Axis, Zip};
use rand::{Rng, rngs::SmallRng};

use super::{
    Labelled,
    degrade::{degrade, grain, tint},
    plane::{Move, blurred, blurred_picture, lay_over},
};

/// The label's softness, share of the side: a hard edge is a line of this width.
const LABEL_SIGMA: f32 = 0.012;

/// A seam between pictures that differ by this much around it, the mean of the channels, counts in full; one between
/// pictures that differ less counts less: where nothing changes there is nothing to be found.
const SEEN: f32 = 0.04;

/// The radius in which they are compared, share of the side.
const AROUND: f32 = 0.02;

/// Extra weight of pixels on a seam, which are few.
const ON_SEAM: f32 = 4.0;

/// A face, half the time blended into itself. The map is `4 M (1 - M)` of the mask that blended, as far as it shows.
pub fn blended(face: &Array3<f32>, mask: &Array2<f32>, rng: &mut SmallRng) -> Labelled {
    let mut picture = face.clone();
    let mut map = Array2::zeros(mask.dim());
    let is_blended = rng.random_bool(0.5);
    if is_blended {
        let alpha = mask_of_blend(mask, rng);
        let over = foreground(face, rng);
        let over = matched(&over, face, rng);
        lay_over(&mut picture, &over, &alpha);
        let side = mask.nrows() as f32;
        map = blurred(alpha.view(), LABEL_SIGMA * side).mapv(|m| (4.0 * m * (1.0 - m)).clamp(0.0, 1.0));
        map *= &shown(face, &over, AROUND * side);
    } else if rng.random_bool(0.5) {
        // What a foreground goes through is no sign of a fake when the whole picture went through it.
        picture = foreground(face, rng);
    }
    if rng.random_bool(0.6) {
        degrade(&mut picture, rng);
    }
    let score = map.iter().copied().fold(0.0, f32::max);
    Labelled { weight: map.mapv(|m| 1.0 + ON_SEAM * m), picture, map, score: Some(score) }
}

/// How well a seam between two pictures shows, 0..=1.
fn shown(a: &Array3<f32>, b: &Array3<f32>, sigma: f32) -> Array2<f32> {
    let difference = (a - b).mapv(f32::abs).mean_axis(Axis(0)).unwrap_or_default();
    blurred(difference.view(), sigma).mapv(|d| (d / SEEN).clamp(0.0, 1.0))
}

/// The face's outline, moved and made larger or smaller, with an edge of any softness.
fn mask_of_blend(mask: &Array2<f32>, rng: &mut SmallRng) -> Array2<f32> {
    let side = mask.nrows() as f32;
    let moved = Move {
        scale: rng.random_range(0.7..1.08),
        angle: rng.random_range(-0.15..0.15),
        shift: [rng.random_range(-0.04..0.04), rng.random_range(-0.05..0.05)],
    };
    let mut alpha = moved.apply(mask.view());
    if rng.random_bool(0.5) {
        // Blurred and cut again at another level: larger or smaller, with rounder corners.
        let level = rng.random_range(0.25..0.75);
        alpha = blurred(alpha.view(), side * rng.random_range(0.01..0.05))
            .mapv(|a| ((a - level) * side * 0.15 + 0.5).clamp(0.0, 1.0));
    }
    if rng.random_bool(0.7) {
        alpha = blurred(alpha.view(), side * rng.random_range(0.003..0.035));
    }
    alpha
}

/// The face as a swap might give it: of other colour, sharpness, size or noise.
fn foreground(face: &Array3<f32>, rng: &mut SmallRng) -> Array3<f32> {
    let mut over = face.clone();
    let reach = if rng.random_bool(0.7) { 0.2 } else { 0.06 };
    tint(&mut over, rng, reach);
    if rng.random_bool(0.5) {
        let moved = Move {
            scale: rng.random_range(0.96..1.04),
            angle: rng.random_range(-0.03..0.03),
            shift: [rng.random_range(-0.015..0.015), rng.random_range(-0.015..0.015)],
        };
        over = moved.apply_picture(&over);
    }
    match rng.random_range(0..5) {
        0 | 1 => over = blurred_picture(&over, rng.random_range(0.7..3.5)),
        2 => {
            let soft = blurred_picture(&over, rng.random_range(1.0..2.0));
            let amount = rng.random_range(0.3..1.2);
            Zip::from(&mut over).and(&soft).for_each(|v, s| *v = (*v + amount * (*v - s)).clamp(0.0, 1.0));
        }
        _ => {}
    }
    if rng.random_bool(0.4) {
        grain(&mut over, rng.random_range(0.005..0.05), rng);
    }
    over
}

/// The foreground with the coarse bands of what it is laid on: none (a paste), all above some pixels (multi-band), or
/// only the very coarse ones (as a solver of Poisson's equation leaves it).
fn matched(over: &Array3<f32>, face: &Array3<f32>, rng: &mut SmallRng) -> Array3<f32> {
    let side = face.dim().1 as f32;
    let sigma = match rng.random_range(0..3) {
        0 => return over.clone(),
        1 => side * rng.random_range(0.02..0.07),
        _ => side * rng.random_range(0.1..0.2),
    };
    let coarse = blurred_picture(&(face - over), sigma);
    (over + &coarse).mapv(|v| v.clamp(0.0, 1.0))
}
