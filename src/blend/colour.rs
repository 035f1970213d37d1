//! The new face's colours brought to the target's: transfers in CIE L*a*b* with the statistics of its skin.
//!
//! Whatever the method, its result is a table of displacements over the RGB cube, so that one look-up carries out all of
//! them and tables of neighbouring frames can be averaged.

use std::sync::LazyLock;

use wide::f32x4;

use super::{
    lab,
    matrix::{Matrix, add, dot, of_eigenvalues, product, subtract, times, turn, with_diagonal},
};
use crate::dispatch::dispatched;

/// How the colours of the new face are brought to the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum ColorTransfer {
    /// Not at all.
    None,
    /// The mean colour.
    Mean,
    /// Mean and spread of L, a and b, each by itself (Reinhard, Ashikhmin, Gooch and Shirley, "Color Transfer between
    /// Images", 2001).
    Reinhard,
    /// Mean and covariance by the linear map that moves least (Pitie and Kokaram, "The Linear Monge-Kantorovitch Linear
    /// Colour Mapping for Example-Based Colour Transfer", 2007).
    #[default]
    Mkl,
    /// The whole distribution by sliced optimal transport (Pitie, Kokaram and Dahyot, "N-Dimensional Probability Density
    /// Function Transfer and its Application to Color Transfer", 2005).
    Sot,
}

/// Nodes of the table along each side of the RGB cube.
const N_NODES: usize = 9;

/// Spreads are scaled by this much at most: a flat or a noisy face isn't a measure.
const MAX_SCALE: f32 = 1.6;

/// A displacement of RGB colours, 0..=1, at every node of the cube; red runs fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Table(pub(super) Vec<f32>);

/// The nodes' colours in L*a*b*, and on the way back from there.
static NODES: LazyLock<Vec<([f32; 3], [f32; 3])>> = LazyLock::new(|| {
    let there_and_back = |i: usize| {
        let at = lab::from_rgb(node(i));
        (at, lab::to_rgb(at))
    };
    (0..N_NODES * N_NODES * N_NODES).map(there_and_back).collect()
});

impl Table {
    /// The table that brings `new` to `target`, both L*a*b* samples of the same places.
    ///
    /// # Panics
    /// If there are not as many of the one as of the other.
    pub fn between(new: &[[f32; 3]], target: &[[f32; 3]], transfer: ColorTransfer) -> Self {
        assert_eq!(new.len(), target.len(), "samples of the same places");
        if new.len() < 8 || transfer == ColorTransfer::None {
            return Self::still();
        }
        match transfer {
            ColorTransfer::None => Self::still(),
            ColorTransfer::Mean => {
                let shift = subtract(mean(target), mean(new));
                Self::of(|c| add(c, shift))
            }
            ColorTransfer::Reinhard => Self::linear(new, target, scales),
            ColorTransfer::Mkl => Self::linear(new, target, least_map),
            ColorTransfer::Sot => Self::interpolated(new, &transported(new, target)),
        }
    }

    /// The table that moves nothing.
    pub fn still() -> Self {
        Self(vec![0.0; 3 * N_NODES * N_NODES * N_NODES])
    }

    /// The table of a map of L*a*b* colours.
    fn of(map: impl Fn([f32; 3]) -> [f32; 3]) -> Self {
        // The same way back for both, so that the map that moves nothing gives exactly 0.
        let moved = |(at, back): &([f32; 3], [f32; 3])| subtract(lab::to_rgb(map(*at)), *back);
        Self(NODES.iter().flat_map(moved).collect())
    }

    /// The table that moves the mean of `new` to that of `target`, and what differs from it by a matrix that `map` makes
    /// of both covariances.
    fn linear(new: &[[f32; 3]], target: &[[f32; 3]], map: impl Fn(Matrix, Matrix) -> Matrix) -> Self {
        let (from, to) = (mean(new), mean(target));
        let had = covariance(new, from);
        let (map, near) = (map(had, covariance(target, to)), Near::of(had));
        Self::of(|c| {
            let (d, shift) = near.parts(subtract(c, from), subtract(to, from));
            add(c, add(shift, subtract(times(map, d), d)))
        })
    }

    /// The table of displacements that are known at samples alone: near ones count most, far from all of them the mean.
    fn interpolated(samples: &[[f32; 3]], moved: &[[f32; 3]]) -> Self {
        const REACH: f32 = 6.0;
        let shift = subtract(mean(moved), mean(samples));
        Self::of(|c| {
            let (mut sum, mut total) = (shift.map(|v| 0.05 * v), 0.05);
            for (s, m) in samples.iter().zip(moved) {
                let d = subtract(c, *s);
                let weight = (-0.5 * dot(d, d) / (REACH * REACH)).exp();
                sum = add(sum, subtract(*m, *s).map(|v| weight * v));
                total += weight;
            }
            add(c, sum.map(|v| v / total))
        })
    }

    /// Moves the colours of three planes of `n` pixels: the plain form of `Nodes::apply`.
    pub fn apply(&self, planes: &mut [f32], n: usize) {
        let (red, rest) = planes.split_at_mut(n);
        let (green, blue) = rest.split_at_mut(n);
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            let [dr, dg, db] = self.at([*r, *g, *b]);
            (*r, *g, *b) = (*r + dr, *g + dg, *b + db);
        }
    }

    /// The displacement of a colour, linear between the nodes.
    fn at(&self, rgb: [f32; 3]) -> [f32; 3] {
        let place = rgb.map(|v| v.clamp(0.0, 1.0) * (N_NODES - 1) as f32);
        let low = place.map(|p| (p as usize).min(N_NODES - 2));
        let part = [0, 1, 2].map(|i| place[i] - low[i] as f32);
        let mut sum = [0.0; 3];
        for z in 0..2 {
            for y in 0..2 {
                let first = 3 * (((low[2] + z) * N_NODES + low[1] + y) * N_NODES + low[0]);
                let weight = side(part[2], z) * side(part[1], y);
                let nodes = &self.0[first..first + 6];
                for c in 0..3 {
                    sum[c] += weight * ((1.0 - part[0]) * nodes[c] + part[0] * nodes[c + 3]);
                }
            }
        }
        sum
    }
}

/// A table made ready to be looked up for many pixels.
#[derive(Debug, Clone)]
pub(super) struct Nodes(Vec<[f32; 4]>);

impl Nodes {
    /// `None` for a table that moves nothing.
    pub(super) fn of(table: &Table) -> Option<Self> {
        let moves = table.0.iter().any(|v| *v != 0.0);
        moves.then(|| Self(table.0.chunks_exact(3).map(|n| [n[0], n[1], n[2], 0.0]).collect()))
    }

    /// Moves the colours of pixels: red, green, blue and whatever else.
    pub(super) fn apply(&self, pixels: &mut [[f32; 4]]) {
        moved(&self.0, pixels);
    }
}

/// From a node to the one that is next to it in all three directions, both counted.
const CELL: usize = N_NODES * N_NODES + N_NODES + 2;

dispatched! {
    /// Linear between the eight nodes around.
    fn moved as moved_plain(nodes: &[[f32; 4]], pixels: &mut [[f32; 4]]) {
        let (zero, one, last) = (f32x4::splat(0.0), f32x4::splat(1.0), f32x4::splat((N_NODES - 1) as f32));
        for pixel in pixels {
            let colour = f32x4::new(*pixel);
            let place = colour.fast_max(zero).fast_min(one) * last;
            let low = place.trunc_int().to_array().map(|p| p.min(N_NODES as i32 - 2));
            let part = (place - f32x4::new(low.map(|p| p as f32))).to_array().map(f32x4::splat);
            let first = (low[2] as usize * N_NODES + low[1] as usize) * N_NODES + low[0] as usize;
            let cell: &[[f32; 4]; CELL] = nodes[first..].first_chunk().expect("a node of the table");
            let mix = |a: f32x4, b: f32x4, t: f32x4| a + t * (b - a);
            let red = |i: usize| mix(f32x4::new(cell[i]), f32x4::new(cell[i + 1]), part[0]);
            let green = |i: usize| mix(red(i), red(i + N_NODES), part[1]);
            let shift = mix(green(0), green(N_NODES * N_NODES), part[2]);
            *pixel = (colour + shift).to_array();
        }
    }
}

fn side(part: f32, upper: usize) -> f32 {
    if upper == 1 { part } else { 1.0 - part }
}

fn node(i: usize) -> [f32; 3] {
    [i % N_NODES, i / N_NODES % N_NODES, i / (N_NODES * N_NODES)].map(|v| v as f32 / (N_NODES - 1) as f32)
}

/// The mean colour.
pub(super) fn mean(samples: &[[f32; 3]]) -> [f32; 3] {
    let sum = samples.iter().fold([0.0; 3], |sum, s| add(sum, *s));
    sum.map(|v| v / samples.len().max(1) as f32)
}

fn covariance(samples: &[[f32; 3]], mean: [f32; 3]) -> Matrix {
    let mut sum = [[0.0; 3]; 3];
    for s in samples {
        let d = subtract(*s, mean);
        for i in 0..3 {
            for j in 0..3 {
                sum[i][j] += d[i] * d[j];
            }
        }
    }
    sum.map(|row| row.map(|v| v / samples.len().max(1) as f32))
}

/// Colours that the samples speak of. What is made of skin knows nothing of irises and lips: a tan would make blue eyes
/// grey, and a spread of lightness dark ones black.
struct Near {
    /// Of the covariance.
    inverse: Matrix,
}

impl Near {
    /// Standard deviations..
    const REACH: f32 = 2.0;
    /// ..on top of this variance: nodes of the table that lie around the samples must get all of the shift.
    const AROUND: f32 = 64.0;

    fn of(covariance: Matrix) -> Self {
        Self { inverse: of_eigenvalues(with_diagonal(covariance, Self::AROUND), |v| 1.0 / v) }
    }

    /// A colour's difference to the mean, cut off where the samples end, and what it has of the mean's shift: all of the
    /// lightness, and the less of the hue the further out it lies.
    fn parts(&self, d: [f32; 3], shift: [f32; 3]) -> ([f32; 3], [f32; 3]) {
        let distance = dot(d, times(self.inverse, d)).max(0.0).sqrt();
        let factor = Self::REACH / distance.max(Self::REACH);
        (d.map(|v| factor * v), [shift[0], factor * shift[1], factor * shift[2]])
    }
}

/// A floor under variances, of a unit of L*a*b*, so that a grey face isn't stretched into colours.
const FLOOR: f32 = 1.0;

/// The map that brings the spread of each of L, a and b to that of the other.
fn scales(a: Matrix, b: Matrix) -> Matrix {
    let (a, b) = (with_diagonal(a, FLOOR), with_diagonal(b, FLOOR));
    let mut map = [[0.0; 3]; 3];
    (0..3).for_each(|i| map[i][i] = (b[i][i] / a[i][i]).sqrt().clamp(1.0 / MAX_SCALE, MAX_SCALE));
    map
}

/// The symmetric map that brings one covariance to the other: A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2.
fn least_map(a: Matrix, b: Matrix) -> Matrix {
    let (a, b) = (with_diagonal(a, FLOOR), with_diagonal(b, FLOOR));
    let root = of_eigenvalues(a, f32::sqrt);
    let back = of_eigenvalues(a, |v| 1.0 / v.sqrt());
    let middle = of_eigenvalues(product(product(root, b), root), |v| v.max(0.0).sqrt());
    let map = product(product(back, middle), back);
    of_eigenvalues(map, |v| v.clamp(1.0 / MAX_SCALE, MAX_SCALE))
}

/// `new` moved onto `target`'s distribution: along one axis after the other, the nth of the one to the nth of the other.
fn transported(new: &[[f32; 3]], target: &[[f32; 3]]) -> Vec<[f32; 3]> {
    const N_ROUNDS: usize = 8;
    let mut moved = new.to_vec();
    for round in 0..N_ROUNDS {
        for axis in axes(round) {
            let sorted = |samples: &[[f32; 3]]| {
                let mut along: Vec<(f32, usize)> =
                    samples.iter().enumerate().map(|(i, s)| (dot(*s, axis), i)).collect();
                along.sort_by(|a, b| a.0.total_cmp(&b.0));
                along
            };
            for ((from, i), (to, _)) in sorted(&moved).into_iter().zip(sorted(target)) {
                moved[i] = add(moved[i], axis.map(|v| (to - from) * v));
            }
        }
    }
    moved
}

/// Three axes at right angles, other ones in each round.
fn axes(round: usize) -> Matrix {
    let angle = round as f32;
    let turn = |speed: f32, axes| turn((speed * angle).sin_cos(), axes);
    product(product(turn(2.4, (0, 1)), turn(1.1, (1, 2))), turn(0.7, (0, 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cloud of skin colours around `middle`, spread by `spread`, its lightness and redness tied to each other.
    fn cloud(middle: [f32; 3], spread: [f32; 3], tie: f32) -> Vec<[f32; 3]> {
        let noise = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 8) & 0xffff) as f32 / 32768.0 - 1.0;
        (0..600)
            .map(|i| {
                let [l, a, b] = [noise(3 * i), noise(3 * i + 1), noise(3 * i + 2)];
                add(middle, [spread[0] * l, spread[1] * (a + tie * l), spread[2] * b])
            })
            .collect()
    }

    fn moved(table: &Table, samples: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let n = samples.len();
        let rgb: Vec<[f32; 3]> = samples.iter().map(|s| lab::to_rgb(*s)).collect();
        let mut planes: Vec<f32> = (0..3).flat_map(|c| rgb.iter().map(move |v| v[c])).collect();
        table.apply(&mut planes, n);
        (0..n).map(|i| lab::from_rgb([planes[i], planes[n + i], planes[2 * n + i]])).collect()
    }

    #[test]
    fn each_transfer_brings_what_it_says() {
        let new = cloud([70.0, 8.0, 12.0], [8.0, 3.0, 3.0], 0.0);
        let target = cloud([48.0, 14.0, 20.0], [11.0, 3.0, 4.0], 0.7);
        for transfer in [ColorTransfer::Mean, ColorTransfer::Reinhard, ColorTransfer::Mkl, ColorTransfer::Sot]
        {
            let found = moved(&Table::between(&new, &target, transfer), &new);
            let off = subtract(mean(&found), mean(&target));
            assert!(dot(off, off).sqrt() < 1.5, "{transfer:?}: the mean is off by {off:?}");
            let (had, wanted) = (covariance(&found, mean(&found)), covariance(&target, mean(&target)));
            let spread = (had[0][0] / wanted[0][0]).sqrt();
            let tie = had[0][1] / wanted[0][1];
            // The table is too coarse for all that the transport does to two channels at once.
            let (keeps_spread, least_tie) = match transfer {
                ColorTransfer::Mean | ColorTransfer::None => (false, -0.3),
                ColorTransfer::Reinhard => (true, -0.3),
                ColorTransfer::Mkl => (true, 0.8),
                ColorTransfer::Sot => (true, 0.3),
            };
            assert_eq!((spread - 1.0).abs() < 0.2, keeps_spread, "{transfer:?}: spread {spread}");
            assert!((least_tie..1.2).contains(&tie), "{transfer:?}: tie {tie}");
        }
    }

    #[test]
    fn equal_colours_move_nothing() {
        let new = cloud([60.0, 10.0, 14.0], [8.0, 3.0, 3.0], 0.4);
        for transfer in [ColorTransfer::None, ColorTransfer::Mean] {
            assert_eq!(Table::between(&new, &new, transfer), Table::still(), "{transfer:?}");
        }
        for transfer in [ColorTransfer::Reinhard, ColorTransfer::Mkl, ColorTransfer::Sot] {
            let table = Table::between(&new, &new, transfer);
            assert!(table.0.iter().all(|v| v.abs() < 1e-5), "{transfer:?}");
        }
        assert_eq!(Table::between(&[], &[], ColorTransfer::Sot), Table::still());
    }

    #[test]
    fn quads_are_moved_as_planes_are_and_alike_on_every_machine() {
        let (new, target) =
            (cloud([70.0, 8.0, 12.0], [9.0; 3], 0.2), cloud([40.0, 14.0, 20.0], [5.0; 3], 0.7));
        let table = Table::between(&new, &target, ColorTransfer::Mkl);
        let colours: Vec<[f32; 4]> =
            (0..1331).map(|i| [i % 11, i / 11 % 11, i / 121, 3].map(|v| v as f32 * 0.113 - 0.07)).collect();
        let mut planes: Vec<f32> = (0..3).flat_map(|c| colours.iter().map(move |v| v[c])).collect();
        table.apply(&mut planes, colours.len());
        let nodes = Nodes::of(&table).expect("it moves something");
        let (mut quads, mut plain) = (colours.clone(), colours);
        nodes.apply(&mut quads);
        moved_plain(&nodes.0, &mut plain);
        for (i, quad) in quads.iter().enumerate() {
            let off = (0..3).map(|c| (quad[c] - planes[c * quads.len() + i]).abs()).fold(0.0, f32::max);
            assert!(off < 1e-5, "colour {i}: {off}");
        }
        assert_eq!(quads, plain);
        assert!(Nodes::of(&Table::still()).is_none());
    }

    #[test]
    fn a_function_of_a_matrix_is_that_of_its_eigenvalues() {
        let a = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]];
        let root = of_eigenvalues(a, f32::sqrt);
        let back = product(root, root);
        assert!(a.as_flattened().iter().zip(back.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
