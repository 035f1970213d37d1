//! Faces with something in front of them, and where that is: drawn, so the label is exact.

use ndarray::{Array2, Array3, Zip};
use rand::{Rng, rngs::SmallRng};

use super::{
    Labelled,
    degrade::degrade,
    plane::{Move, blurred, lay_over},
    shapes::Shape,
};

/// How much a pixel outside the face counts.
const OUTSIDE: f32 = 0.2;

/// A face with none to three things in front of it. `stranger` is another picture, whose patches serve as texture.
pub fn occluded(
    face: &Array3<f32>,
    mask: &Array2<f32>,
    stranger: &Array3<f32>,
    rng: &mut SmallRng,
) -> Labelled {
    let mut picture = face.clone();
    let mut covered = Array2::<f32>::zeros(mask.dim());
    if rng.random_bool(0.3) {
        cast_shadow(&mut picture, rng);
    }
    let n_things = [0, 1, 1, 1, 1, 2, 2, 3][rng.random_range(0..8)];
    for _ in 0..n_things {
        let alpha = put(&mut picture, face, stranger, rng);
        Zip::from(&mut covered).and(&alpha).for_each(|c, a| *c = 1.0 - (1.0 - *c) * (1.0 - a));
    }
    covered.mapv_inplace(|c| c.clamp(0.0, 1.0));
    degrade(&mut picture, rng);
    Labelled { picture, weight: mask.mapv(|m| OUTSIDE + (1.0 - OUTSIDE) * m), map: covered, score: None }
}

/// A shadow that something outside the picture throws: darker, but not covered.
fn cast_shadow(picture: &mut Array3<f32>, rng: &mut SmallRng) {
    let side = picture.dim().1;
    let strength = rng.random_range(0.1..0.7);
    let distances = Shape::draw(rng).distances(side);
    let edge = rng.random_range(0.01..0.1);
    let shade = distances.mapv(|d| 1.0 - strength * (0.5 - d / edge).clamp(0.0, 1.0));
    picture.outer_iter_mut().for_each(|mut channel| channel *= &shade);
}

/// Draws one thing over the picture, and gives how much of each pixel it covers.
fn put(
    picture: &mut Array3<f32>,
    face: &Array3<f32>,
    stranger: &Array3<f32>,
    rng: &mut SmallRng,
) -> Array2<f32> {
    let side = picture.dim().1;
    let shape = Shape::draw(rng);
    let distances = shape.distances(side);
    let softness_px = rng.random_range(0.7..3.0_f32);
    let mut alpha = distances.mapv(|d| (0.5 - d * side as f32 / softness_px).clamp(0.0, 1.0));
    if rng.random_bool(0.15) {
        alpha = blurred(alpha.view(), rng.random_range(0.7..3.0)); // in motion or out of focus
    }
    let texture = textured(&shape, &distances, face, stranger, rng);
    if rng.random_bool(0.6) {
        let shift = [rng.random_range(-0.04..0.04), rng.random_range(-0.02..0.06)];
        let thrown = Move { scale: 1.0, angle: 0.0, shift }.apply(alpha.view());
        let soft = blurred(thrown.view(), side as f32 * rng.random_range(0.005..0.04));
        let strength = rng.random_range(0.1..0.6);
        let shade = soft.mapv(|s| 1.0 - strength * s);
        picture.outer_iter_mut().for_each(|mut channel| channel *= &shade);
    }
    lay_over(picture, &texture, &alpha);
    alpha
}

/// The colours of a thing: a material, and light that falls on its round edges.
fn textured(
    shape: &Shape,
    distances: &Array2<f32>,
    face: &Array3<f32>,
    stranger: &Array3<f32>,
    rng: &mut SmallRng,
) -> Array3<f32> {
    let side = distances.nrows();
    let is_skin = rng.random_bool(if shape.is_hand { 0.75 } else { 0.15 });
    let mut texture = if is_skin {
        let own = rng.random_bool(0.6);
        skin(if own { face } else { stranger }, side, rng)
    } else {
        match rng.random_range(0..4) {
            0 => patch(stranger, rng),
            1 => patch(face, rng),
            2 => plain(side, rng),
            _ => cloudy(side, rng),
        }
    };
    let roundness = rng.random_range(0.01..0.12_f32);
    let light: f32 = rng.random_range(-3.1..3.1);
    let (towards, ambient) = ([light.cos(), light.sin()], rng.random_range(0.0..0.6_f32));
    let shade = Array2::from_shape_fn(distances.dim(), |(y, x)| {
        let at = |y: usize, x: usize| distances[[y.min(side - 1), x.min(side - 1)]];
        let slope = [at(y, x + 1) - at(y, x.saturating_sub(1)), at(y + 1, x) - at(y.saturating_sub(1), x)];
        // 1 at the edge, 0 in the middle: how far the surface turns away from the viewer.
        let turn = (1.0 + distances[[y, x]] / roundness).clamp(0.0, 1.0);
        let facing = (slope[0] * towards[0] + slope[1] * towards[1]) * side as f32 / 2.0;
        1.0 + (1.0 - ambient) * 0.6 * turn * turn * facing.clamp(-1.0, 0.6)
    });
    texture.outer_iter_mut().for_each(|mut channel| channel *= &shade);
    texture.mapv_inplace(|v| v.clamp(0.0, 1.0));
    texture
}

/// Skin of the colour in the middle of a face, a little darker or lighter, with the mottling of skin.
fn skin(face: &Array3<f32>, side: usize, rng: &mut SmallRng) -> Array3<f32> {
    let (from, to) = (side * 2 / 5, side * 3 / 5);
    let level = rng.random_range(0.55..1.35_f32);
    let mottling = cloud(side, rng);
    let mut out = Array3::zeros((3, side, side));
    for (mut to_channel, channel) in out.outer_iter_mut().zip(face.outer_iter()) {
        let mean = channel.slice(ndarray::s![from..to, from..to]).mean().unwrap_or(0.5);
        let own = level * rng.random_range(0.92..1.08) * mean;
        to_channel.assign(&mottling.mapv(|m| own * (1.0 + 0.25 * (m - 0.5))));
    }
    out
}

/// A piece of another picture, turned and enlarged.
fn patch(picture: &Array3<f32>, rng: &mut SmallRng) -> Array3<f32> {
    let mut shift = || rng.random_range(-0.5..0.5);
    let shift = [shift(), shift()];
    let (scale, angle) = (rng.random_range(0.8..2.5), rng.random_range(-3.1..3.1));
    let level = rng.random_range(0.5..1.3);
    Move { scale, angle, shift }.apply_picture(picture) * level
}

/// One colour that gets lighter to one side.
fn plain(side: usize, rng: &mut SmallRng) -> Array3<f32> {
    let colour = [0; 3].map(|_| rng.random::<f32>().powf(1.5));
    let (dx, dy) = (rng.random_range(-0.4..0.4_f32), rng.random_range(-0.4..0.4_f32));
    let grain = cloud(side, rng);
    Array3::from_shape_fn((3, side, side), |(c, y, x)| {
        let ramp = 1.0 + dx * (x as f32 / side as f32 - 0.5) + dy * (y as f32 / side as f32 - 0.5);
        colour[c] * ramp + 0.06 * (grain[[y, x]] - 0.5)
    })
}

/// Two colours mixed by clouds, sharp or soft: cloth, wood, stone.
fn cloudy(side: usize, rng: &mut SmallRng) -> Array3<f32> {
    let (one, other) = ([0; 3].map(|_| rng.random::<f32>()), [0; 3].map(|_| rng.random::<f32>()));
    let contrast = rng.random_range(1.0..8.0);
    let mix = cloud(side, rng).mapv(|v| ((v - 0.5) * contrast + 0.5).clamp(0.0, 1.0));
    Array3::from_shape_fn((3, side, side), |(c, y, x)| one[c] + (other[c] - one[c]) * mix[[y, x]])
}

/// Noise with a random mixture of finenesses, 0..=1 around 0.5.
fn cloud(side: usize, rng: &mut SmallRng) -> Array2<f32> {
    let mut sum = Array2::<f32>::zeros([side, side]);
    let mut total = 0.0;
    for cells in [3, 7, 17, 41] {
        let grid = Array2::from_shape_fn([cells + 2, cells + 2], |_| rng.random::<f32>());
        let weight: f32 = rng.random_range(0.1..1.0);
        total += weight;
        let step = cells as f32 / side as f32;
        sum.indexed_iter_mut().for_each(|((y, x), v)| {
            *v += weight * super::plane::sampled(&grid.view(), x as f32 * step, y as f32 * step);
        });
    }
    sum / total
}
