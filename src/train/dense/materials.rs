//! What things in front of a face are made of, and how light falls on them.

use ndarray::{Array2, Array3, s};
use rand::{Rng, rngs::SmallRng};

use super::{
    plane::{Move, sampled},
    shapes::Surface,
};

/// The colours of a thing whose surface lies `distances` (negative inside, shares of the side) from its edge.
/// `stranger` is another picture, whose patches serve as texture like those of `face` itself.
pub fn textured(
    surface: Surface,
    distances: &Array2<f32>,
    face: &Array3<f32>,
    stranger: &Array3<f32>,
    rng: &mut SmallRng,
) -> Array3<f32> {
    let side = distances.nrows();
    let (of_skin, of_frames) = match surface {
        Surface::Hand => (0.75, 0.0),
        Surface::Glasses => (0.0, 0.8),
        Surface::Any => (0.3, 0.0),
    };
    let mut texture = if rng.random_bool(of_frames) {
        frames(side, rng)
    } else if rng.random_bool(of_skin) {
        let own = rng.random_bool(0.7);
        skin(if own { face } else { stranger }, side, rng)
    } else {
        match rng.random_range(0..4) {
            0 => patch(stranger, rng),
            1 => patch(face, rng),
            2 => plain(side, rng),
            _ => cloudy(side, rng),
        }
    };
    let shade = relief(distances, rng);
    texture.outer_iter_mut().for_each(|mut channel| channel *= &shade);
    texture.mapv_inplace(|v| v.clamp(0.0, 1.0));
    texture
}

/// The light on a surface that is round at its edge and level further in, by Lambert's law; 1 where it is level.
fn relief(distances: &Array2<f32>, rng: &mut SmallRng) -> Array2<f32> {
    let side = distances.nrows();
    let roundness = rng.random_range(0.01..0.25_f32);
    let (azimuth, elevation) = (rng.random_range(-3.1..3.1_f32), rng.random_range(0.35..1.4_f32));
    let ambient = rng.random_range(0.15..0.8_f32);
    // Over the light's part that a level surface gets.
    let across = [azimuth.cos() / elevation.tan(), azimuth.sin() / elevation.tan()];
    Array2::from_shape_fn(distances.dim(), |(y, x)| {
        let at = |y: usize, x: usize| distances[[y.min(side - 1), x.min(side - 1)]];
        let slope = [at(y, x + 1) - at(y, x.saturating_sub(1)), at(y + 1, x) - at(y.saturating_sub(1), x)];
        // 1 at the edge, 0 where the surface is level: the sine of the angle at which it turns away.
        let turn = (1.0 + distances[[y, x]] / roundness).clamp(0.0, 1.0);
        let facing = (slope[0] * across[0] + slope[1] * across[1]) * side as f32 / 2.0;
        let diffuse = turn * facing + (1.0 - turn * turn).sqrt();
        ambient + (1.0 - ambient) * diffuse.clamp(0.0, 1.8)
    })
}

/// Skin of the colour in the middle of a face, darker or lighter, paler or ruddier, with the mottling of skin.
fn skin(face: &Array3<f32>, side: usize, rng: &mut SmallRng) -> Array3<f32> {
    let (from, to) = (face.dim().1 * 2 / 5, face.dim().1 * 3 / 5);
    let (level, saturation) = (rng.random_range(0.55..1.6_f32), rng.random_range(0.3..1.4_f32));
    let middle = face.slice(s![.., from..to, from..to]);
    let mean: Vec<f32> = middle.outer_iter().map(|channel| channel.mean().unwrap_or(0.5)).collect();
    let luma = 0.299 * mean[0] + 0.587 * mean[1] + 0.114 * mean[2];
    let contrast = rng.random_range(0.02..0.5_f32);
    let mottling = cloud(side, rng);
    let mut out = Array3::zeros((3, side, side));
    for (mut channel, mean) in out.outer_iter_mut().zip(mean) {
        let own = level * rng.random_range(0.92..1.08) * (luma + saturation * (mean - luma));
        channel.assign(&mottling.mapv(|m| own * (1.0 + contrast * (m - 0.5))));
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

/// Black, grey, silver, gold or tortoiseshell, lighter where it catches the light.
fn frames(side: usize, rng: &mut SmallRng) -> Array3<f32> {
    let level = [0.05, 0.12, 0.3, 0.55, 0.8][rng.random_range(0..5)] * rng.random_range(0.6..1.4_f32);
    let warmth = rng.random_range(-0.05..0.35_f32);
    let colour = [level * (1.0 + warmth), level, level * (1.0 - warmth)];
    let (gloss, lit) = (rng.random_range(0.0..1.0_f32), cloud(side, rng));
    Array3::from_shape_fn((3, side, side), |(c, y, x)| {
        let light = gloss * (5.0 * (lit[[y, x]] - 0.55)).clamp(0.0, 1.0);
        colour[c] + light * (1.0 - colour[c])
    })
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
pub fn cloud(side: usize, rng: &mut SmallRng) -> Array2<f32> {
    let mut sum = Array2::<f32>::zeros([side, side]);
    let mut total = 0.0;
    for cells in [3, 7, 17, 41] {
        let grid = Array2::from_shape_fn([cells + 2, cells + 2], |_| rng.random::<f32>());
        let weight: f32 = rng.random_range(0.1..1.0);
        total += weight;
        let step = cells as f32 / side as f32;
        sum.indexed_iter_mut().for_each(|((y, x), v)| {
            *v += weight * sampled(&grid.view(), x as f32 * step, y as f32 * step);
        });
    }
    sum / total
}
