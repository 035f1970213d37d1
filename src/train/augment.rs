//! What training does to a face before the encoder sees it.
//!
//! Geometry, light and shade are changed for input and target alike, so that the decoder learns to follow them; the
//! input alone is also warped, recoloured, blurred, made noisy and compressed, so that the encoder learns to look through
//! that.

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut3};
use rand::{Rng, rngs::SmallRng};
use serde::{Deserialize, Serialize};

use super::tone::{Shade, Tone};
use crate::curve::smooth_step;

/// Points per side of the grid whose shifts make a random warp.
const GRID: usize = 5;
/// How strong each change is. All ranges are symmetric around "none".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Rotation, degrees.
    pub rotation_deg: f64,
    /// Scale, as a share.
    pub scale: f64,
    /// Shift, share of the side.
    pub shift: f64,
    /// Probability of a flip.
    pub flip: f64,
    /// Standard deviation of the warp grid's shifts, share of the side (input only).
    pub warp: f64,
    /// Light shared by input and target: gain and gamma as a share.
    pub light: f64,
    /// Shade shared by input and target, as if light came from a side: the most that the logarithm of a value's gain may
    /// differ from none.
    pub shade: f64,
    /// Colour of the input alone, as a share.
    pub colour: f64,
    /// Most noise of the input alone, standard deviation.
    pub noise: f64,
    /// Probability that the input alone goes through JPEG.
    pub jpeg: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            rotation_deg: 6.0,
            scale: 0.05,
            shift: 0.03,
            flip: 0.5,
            warp: 0.012,
            light: 0.3,
            shade: 0.5,
            colour: 0.1,
            noise: 0.03,
            jpeg: 0.3,
        }
    }
}

/// Where each output pixel comes from, in pixels of the source.
#[derive(Debug, Clone)]
pub struct Geometry {
    /// Output side, pixels.
    side_px: usize,
    /// Row-major 2x3 matrix from output to source pixels.
    matrix: [f64; 6],
    /// Shifts of the warp grid, source pixels; all zero without a warp.
    grid: Option<[[f32; 2]; GRID * GRID]>,
}

impl Augmentation {
    /// Leaves everything as it is.
    pub fn none() -> Self {
        Self {
            rotation_deg: 0.0,
            scale: 0.0,
            shift: 0.0,
            flip: 0.0,
            warp: 0.0,
            light: 0.0,
            shade: 0.0,
            colour: 0.0,
            noise: 0.0,
            jpeg: 0.0,
        }
    }

    /// Draws the geometry of the target, that of the input, the tone of both and that of the input alone.
    pub fn draw(&self, rng: &mut SmallRng, from_px: usize, to_px: usize) -> (Geometry, Geometry, Tone, Tone) {
        let mut even = |reach: f64| if reach > 0.0 { rng.random_range(-reach..=reach) } else { 0.0 };
        let angle = even(self.rotation_deg).to_radians();
        let zoom = (1.0 + even(self.scale)) * from_px as f64 / to_px as f64;
        let (dx, dy) = (even(self.shift) * from_px as f64, even(self.shift) * from_px as f64);
        let light = [even(self.light), even(self.light), even(self.light / 3.0), even(self.light / 3.0)];
        let colour = [0; 5].map(|_| even(self.colour));
        let mirror = if self.flip > 0.0 && rng.random_bool(self.flip) { -1.0 } else { 1.0 };

        let (sin, cos) = angle.sin_cos();
        let (a, b) = (zoom * cos, zoom * sin);
        let (half_to, half_from) = (to_px as f64 / 2.0, from_px as f64 / 2.0);
        let matrix = [
            a * mirror,
            -b,
            half_from + dx - a * mirror * half_to + b * half_to,
            b * mirror,
            a,
            half_from + dy - b * mirror * half_to - a * half_to,
        ];
        let plain = Geometry { side_px: to_px, matrix, grid: None };
        let sigma = (self.warp * from_px as f64) as f32;
        let grid = (sigma > 0.0)
            .then(|| [[0.0; 2]; GRID * GRID].map(|_| [normal(rng) * sigma, normal(rng) * sigma]));
        let both = Tone {
            gain: [1.0 + light[0] + light[2], 1.0 + light[0], 1.0 + light[0] + light[3]].map(|g| g as f32),
            gamma: (light[1] * 0.8).exp() as f32,
            shade: (self.shade > 0.0).then(|| Shade::draw(self.shade as f32, rng)),
            ..Tone::NONE
        };
        let strong = self.noise > 0.0;
        let input = Tone {
            gain: [1.0 + colour[0], 1.0 + colour[1], 1.0 + colour[2]].map(|g| g as f32),
            gamma: (2.5 * colour[3]).exp() as f32,
            shade: None,
            saturation: (1.0 + 3.0 * colour[4]) as f32,
            blur: if strong && rng.random_bool(0.3) { rng.random_range(1..=2) } else { 0 },
            noise: if strong && rng.random_bool(0.5) {
                rng.random_range(0.0..=self.noise) as f32
            } else {
                0.0
            },
            noise_seed: rng.random_range(1..u32::MAX),
            jpeg: (self.jpeg > 0.0 && rng.random_bool(self.jpeg)).then(|| rng.random_range(40..95)),
        };
        (plain.clone(), Geometry { grid, ..plain }, both, input)
    }
}

/// A standard normal value, as the sum of twelve even ones (Irwin-Hall).
fn normal(rng: &mut SmallRng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

impl Geometry {
    /// Calls `put(row, column, x, y)` with the source position of every output pixel's centre.
    fn each(&self, mut put: impl FnMut(usize, usize, f32, f32)) {
        let [a, b, c, d, e, f] = self.matrix;
        let step = (GRID - 1) as f32 / self.side_px as f32;
        for row in 0..self.side_px {
            let y = row as f64 + 0.5;
            for column in 0..self.side_px {
                let x = column as f64 + 0.5;
                let (mut sx, mut sy) = ((a * x + b * y + c) as f32, (d * x + e * y + f) as f32);
                if let Some(grid) = &self.grid {
                    let (gx, gy) = (x as f32 * step, y as f32 * step);
                    let (i, j) = ((gx as usize).min(GRID - 2), (gy as usize).min(GRID - 2));
                    let (u, v) = (smooth_step(gx - i as f32), smooth_step(gy - j as f32));
                    let at = |i: usize, j: usize| grid[j * GRID + i];
                    let mix = |k: usize| {
                        let top = at(i, j)[k] * (1.0 - u) + at(i + 1, j)[k] * u;
                        let bottom = at(i, j + 1)[k] * (1.0 - u) + at(i + 1, j + 1)[k] * u;
                        top * (1.0 - v) + bottom * v
                    };
                    sx += mix(0);
                    sy += mix(1);
                }
                put(row, column, sx - 0.5, sy - 0.5);
            }
        }
    }
}

/// Bilinear taps: the left and upper index, and the share of the right and lower one; the border is repeated.
fn taps(x: f32, y: f32, side_px: usize) -> (usize, usize, f32, f32) {
    let most = (side_px - 1) as f32;
    let (x, y) = (x.clamp(0.0, most), y.clamp(0.0, most));
    let (i, j) = ((x as usize).min(side_px - 2), (y as usize).min(side_px - 2));
    (i, j, x - i as f32, y - j as f32)
}

/// Writes an 8-bit RGB picture through `geometry` and `tones` to `[3, side, side]`, 0..=1.
pub fn sample_rgb(
    pixels: &[u8],
    from_px: usize,
    geometry: &Geometry,
    tones: &[&Tone],
    mut to: ArrayViewMut3<'_, f32>,
) {
    let row_len = from_px * 3;
    geometry.each(|row, column, x, y| {
        let (i, j, u, v) = taps(x, y, from_px);
        let at = j * row_len + i * 3;
        for c in 0..3 {
            let p = |offset: usize| f32::from(pixels[at + offset + c]);
            let top = p(0) * (1.0 - u) + p(3) * u;
            let bottom = p(row_len) * (1.0 - u) + p(row_len + 3) * u;
            to[[c, row, column]] = (top * (1.0 - v) + bottom * v) / 255.0;
        }
    });
    tones.iter().for_each(|tone| tone.apply(&mut to));
}

/// Writes an 8-bit map through `geometry` to `[1, side, side]`, divided by `scale`.
pub fn sample_weight(
    map: &[u8],
    from_px: usize,
    geometry: &Geometry,
    scale: f32,
    mut to: ArrayViewMut3<'_, f32>,
) {
    geometry.each(|row, column, x, y| {
        let (i, j, u, v) = taps(x, y, from_px);
        let p = |offset: usize| f32::from(map[j * from_px + i + offset]);
        let top = p(0) * (1.0 - u) + p(1) * u;
        let bottom = p(from_px) * (1.0 - u) + p(from_px + 1) * u;
        to[[0, row, column]] = (top * (1.0 - v) + bottom * v) / scale;
    });
}

/// Puts the pixels of `from` back over `to`, as much as `share`, `[side, side]`, 0..=1, says: what is painted over a face
/// keeps its colour whatever becomes of the face.
pub fn keep(share: &ArrayView2<'_, f32>, from: &ArrayView3<'_, f32>, to: &mut ArrayViewMut3<'_, f32>) {
    for (mut to, from) in to.outer_iter_mut().zip(from.outer_iter()) {
        ndarray::Zip::from(&mut to).and(&from).and(share).for_each(|to, from, share| {
            *to += share * (from - *to);
        });
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use rand::SeedableRng;

    use std::f32::consts::TAU;

    use super::*;
    use crate::train::tone::PERIODS;

    fn picture(side_px: usize) -> Vec<u8> {
        (0..side_px * side_px).flat_map(|i| [(i % side_px * 7) as u8, (i / side_px * 5) as u8, 99]).collect()
    }

    #[test]
    fn no_augmentation_gives_the_picture() {
        let (geometry, warped, both, input) =
            Augmentation::none().draw(&mut SmallRng::seed_from_u64(3), 16, 16);
        let mut out = Array3::zeros((3, 16, 16));
        for geometry in [geometry, warped] {
            sample_rgb(&picture(16), 16, &geometry, &[&both, &input], out.view_mut());
            for (i, v) in picture(16).chunks_exact(3).enumerate() {
                for c in 0..3 {
                    assert!((out[[c, i / 16, i % 16]] * 255.0 - f32::from(v[c])).abs() < 1e-3);
                }
            }
        }
    }

    #[test]
    fn a_shade_is_smooth_as_strong_as_it_may_be_and_the_same_for_input_and_target() {
        const SIDE: usize = 64;
        let shaded = Augmentation { shade: 0.5, ..Augmentation::none() };
        let grey = vec![60; SIDE * SIDE * 3];
        let mut most = 0.0_f32;
        for seed in 0..40 {
            let (geometry, warped, both, input) = shaded.draw(&mut SmallRng::seed_from_u64(seed), SIDE, SIDE);
            let [target, input] =
                [(geometry, vec![&both]), (warped, vec![&both, &input])].map(|(at, tones)| {
                    let mut out = Array3::zeros((3, SIDE, SIDE));
                    sample_rgb(&grey, SIDE, &at, &tones, out.view_mut());
                    out
                });
            assert_eq!(target, input);
            let log = target.mapv(|v| (v * 255.0 / 60.0).ln());
            let strongest = log.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            // A tint follows by a fifth more at most.
            assert!(strongest <= 0.5 * 1.2 + 1e-3, "{seed}: {strongest}");
            most = most.max(strongest);
            for plane in log.outer_iter() {
                let steps = plane.outer_iter().flat_map(|row| {
                    row.to_vec().windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect::<Vec<_>>()
                });
                let steepest = steps.fold(0.0, f32::max);
                assert!(steepest <= strongest.max(0.1) * TAU * PERIODS[1] / SIDE as f32 * 2.0, "{seed}");
            }
        }
        assert!(most > 0.3, "{most}");
    }

    #[test]
    fn paint_keeps_its_colour_and_the_face_does_not() {
        let paint = Array3::from_shape_fn((3, 8, 8), |(c, ..)| [0.2, 0.9, 0.4][c]);
        let share = ndarray::Array2::from_shape_fn([8, 8], |(y, x)| if y == x { 1.0 } else { 0.25 });
        let mut out = Array3::zeros((3, 8, 8));
        keep(&share.view(), &paint.view(), &mut out.view_mut());
        assert_eq!([0, 1, 2].map(|c| out[[c, 3, 3]]), [0.2, 0.9, 0.4]);
        assert!((out[[1, 3, 4]] - 0.225).abs() < 1e-6);
    }

    #[test]
    fn jpeg_is_the_inputs_alone_and_leaves_it_near() {
        let side = 32;
        let through = Augmentation { jpeg: 1.0, ..Augmentation::none() };
        let (geometry, _, both, input) = through.draw(&mut SmallRng::seed_from_u64(5), side, side);
        let [plain, coded] = [vec![&both], vec![&both, &input]].map(|tones| {
            let mut out = Array3::zeros((3, side, side));
            sample_rgb(&picture(side), side, &geometry, &tones, out.view_mut());
            out
        });
        let difference = (&plain - &coded).mapv(f32::abs).mean().unwrap_or(1.0);
        assert!((1e-4..0.1).contains(&difference), "{difference}");
    }

    #[test]
    fn a_flip_mirrors_exactly() {
        let flip = Augmentation { flip: 1.0, ..Augmentation::none() };
        let (geometry, ..) = flip.draw(&mut SmallRng::seed_from_u64(3), 16, 16);
        let mut out = Array3::zeros((3, 16, 16));
        sample_rgb(&picture(16), 16, &geometry, &[], out.view_mut());
        assert!((out[[0, 4, 0]] * 255.0 - 105.0).abs() < 1e-3 && (out[[0, 4, 15]] * 255.0).abs() < 1e-3);
    }
}
