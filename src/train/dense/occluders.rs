//! Faces with something in front of them, and where that is: drawn, so the label is exact.
//!
//! What is no thing must be learnt as well: shadows, glare and beards are drawn without a label.

use ndarray::{Array2, Array3, Zip};
use rand::{Rng, rngs::SmallRng};

use super::{
    Labelled,
    degrade::degrade,
    materials::{cloud, textured},
    plane::{Move, blurred, lay_over},
    shapes::{self, Shape},
};

/// How much a pixel outside the face counts.
const OUTSIDE: f32 = 0.15;
/// What is covered counts up to this many times more where what covers it is thinner..
const WEIGHT_THIN: f32 = 4.0;
/// ..than this, share of the side.
const THIN: f32 = 0.03;

/// A face with none to three things in front of it. `stranger` is another picture, whose patches serve as texture.
pub fn occluded(
    face: &Array3<f32>,
    mask: &Array2<f32>,
    stranger: &Array3<f32>,
    rng: &mut SmallRng,
) -> Labelled {
    let mut picture = face.clone();
    let mut covered = Array2::<f32>::zeros(mask.dim());
    if rng.random_bool(0.12) {
        grow_beard(&mut picture, mask, rng);
    }
    if rng.random_bool(0.4) {
        relight(&mut picture, rng);
    }
    let mut things = Vec::new();
    if rng.random_bool(0.25) {
        let glasses = shapes::glasses(rng);
        glaze(&mut picture, &glasses, rng);
        things.push(glasses);
    }
    let n_things = [0, 0, 1, 1, 1, 1, 2, 2, 2, 3][rng.random_range(0..10)];
    things.extend((0..n_things).map(|_| Shape::draw(rng)));
    for thing in &things {
        let alpha = put(&mut picture, thing, (face, stranger), rng);
        Zip::from(&mut covered).and(&alpha).for_each(|c, a| *c = 1.0 - (1.0 - *c) * (1.0 - a));
    }
    covered.mapv_inplace(|c| c.clamp(0.0, 1.0));
    degrade(&mut picture, rng);
    Labelled { picture, weight: weight(mask, &covered), map: covered, score: None }
}

/// How much each pixel counts: in the face more than outside, and most where what covers it is thin, since all of a
/// spectacle frame is fewer pixels than the edge of a hand.
pub(super) fn weight(mask: &Array2<f32>, covered: &Array2<f32>) -> Array2<f32> {
    let around = blurred(covered.view(), THIN * covered.nrows() as f32);
    Zip::from(mask).and(covered).and(&around).map_collect(|m, c, around| {
        (OUTSIDE + (1.0 - OUTSIDE) * m) * (1.0 + WEIGHT_THIN * (c - around).max(0.0))
    })
}

/// What clear lenses do to what is seen through them: a tint, and here and there a reflection. None of it covers.
fn glaze(picture: &mut Array3<f32>, glasses: &Shape, rng: &mut SmallRng) {
    let side = picture.dim().1;
    let tint = [0; 3].map(|_| rng.random_range(0.85..1.02_f32));
    let glare = if rng.random_bool(0.5) { rng.random_range(0.05..0.5_f32) } else { 0.0 };
    let (mirrored, lens) = (cloud(side, rng), glasses.lenses(side));
    for (mut channel, tint) in picture.outer_iter_mut().zip(tint) {
        Zip::from(&mut channel).and(&mirrored).and(&lens).for_each(|v, m, d| {
            let inside = (0.5 - d * side as f32).clamp(0.0, 1.0);
            let light = glare * (6.0 * (m - 0.5)).clamp(0.0, 1.0);
            let seen = *v * tint * (1.0 - light) + light;
            *v += inside * (seen - *v);
        });
    }
}

/// A shadow that something outside the picture throws, or a lamp's light on a part of the face: not covered.
fn relight(picture: &mut Array3<f32>, rng: &mut SmallRng) {
    let distances = Shape::draw(rng).distances(picture.dim().1);
    let edge = rng.random_range(0.01..0.15);
    let strength =
        if rng.random_bool(0.7) { rng.random_range(-0.75..-0.1) } else { rng.random_range(0.1..0.9) };
    let tone = [0; 3].map(|_| rng.random_range(0.8..1.2_f32));
    for (mut channel, tone) in picture.outer_iter_mut().zip(tone) {
        Zip::from(&mut channel).and(&distances).for_each(|v, d| {
            *v = (*v * (1.0 + tone * strength * (0.5 - d / edge).clamp(0.0, 1.0))).clamp(0.0, 1.0);
        });
    }
}

/// Hair on the lower face, dense or thin, around the mouth of an aligned crop.
fn grow_beard(picture: &mut Array3<f32>, mask: &Array2<f32>, rng: &mut SmallRng) {
    let side = picture.dim().1;
    let (top, rise) = (rng.random_range(0.56..0.66_f32), rng.random_range(0.3..0.9_f32));
    let (density, softness) = (rng.random_range(0.3..0.95_f32), rng.random_range(0.03..0.12_f32));
    let level = rng.random_range(0.03..0.35_f32);
    let colour = [1.25, 1.0, 0.8].map(|c| level * c);
    let patches = cloud(side, rng);
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        let (u, v) = ((x as f32 + 0.5) / side as f32 - 0.5, (y as f32 + 0.5) / side as f32);
        let from_mouth = (u / 0.12).hypot((v - 0.69) / 0.05) - 1.0;
        let below = (v - top + rise * u * u) / softness;
        let hair = density * below.clamp(0.0, 1.0) * (2.0 * from_mouth).clamp(0.0, 1.0) * mask[[y, x]];
        let alpha = hair * (0.4 + 0.6 * patches[[y, x]] + 0.3 * (rng.random::<f32>() - 0.5)).clamp(0.0, 1.0);
        for (c, colour) in colour.iter().enumerate() {
            picture[[c, y, x]] += alpha * (colour - picture[[c, y, x]]);
        }
    }
}

/// Draws a thing over the picture, and gives how much of each pixel it covers.
fn put(
    picture: &mut Array3<f32>,
    shape: &Shape,
    (face, stranger): (&Array3<f32>, &Array3<f32>),
    rng: &mut SmallRng,
) -> Array2<f32> {
    let side = picture.dim().1;
    let distances = shape.distances(side);
    let softness_px = rng.random_range(0.7..2.0_f32);
    let mut alpha = distances.mapv(|d| (0.5 - d * side as f32 / softness_px).clamp(0.0, 1.0));
    if rng.random_bool(0.15) {
        alpha = blurred(alpha.view(), side as f32 * rng.random_range(0.01..0.03)); // in motion or out of focus
    }
    let texture = textured(shape.surface, &distances, face, stranger, rng);
    if rng.random_bool(0.6) {
        let shade = thrown_shadow(&alpha, rng);
        picture.outer_iter_mut().for_each(|mut channel| channel *= &shade);
    }
    lay_over(picture, &texture, &alpha);
    alpha
}

/// What is left of the light around a thing that touches the face, or is held before it.
fn thrown_shadow(alpha: &Array2<f32>, rng: &mut SmallRng) -> Array2<f32> {
    let side = alpha.nrows() as f32;
    let reach = if rng.random_bool(0.7) { 0.04 } else { 0.2 };
    let shift = [rng.random_range(-reach..reach), rng.random_range(-0.5 * reach..1.2 * reach)];
    let thrown = Move { scale: 1.0, angle: 0.0, shift }.apply(alpha.view());
    let soft = blurred(thrown.view(), side * rng.random_range(0.005..0.04));
    let strength = rng.random_range(0.1..0.7);
    soft.mapv(|s| 1.0 - strength * s)
}
