//! Square pictures brought to another side, with separable filters whose supports grow when the picture shrinks.

use crate::dispatch::dispatched;

/// The filter between two grids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Two samples a side: soft, never outside the range of what comes in; for masks and pyramids.
    Linear,
    /// Four samples a side, Catmull-Rom: sharp, overshoots a little at edges; for pictures that are looked at.
    CatmullRom,
}

impl Filter {
    fn radius(self) -> f64 {
        match self {
            Self::Linear => 1.0,
            Self::CatmullRom => 2.0,
        }
    }

    /// The weight of a sample at the distance `x`, in samples of the coarser grid.
    pub(crate) fn at(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Linear => (1.0 - x).max(0.0),
            Self::CatmullRom if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::CatmullRom if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::CatmullRom => 0.0,
        }
    }
}

/// `planes` of side `from` brought to side `to`. The grids cover the same square, so nothing moves.
///
/// Beyond the border the picture is mirrored at its edge.
///
/// # Panics
/// If a side is 0 or `planes` isn't a whole number of squares of side `from`.
pub fn resize(planes: &[f32], from: usize, to: usize, filter: Filter) -> Vec<f32> {
    assert!(from > 0 && to > 0 && planes.len().is_multiple_of(from * from), "whole squares");
    if from == to {
        return planes.to_vec();
    }
    let taps = Taps::new(from, to, filter);
    // Whole rows are quicker to add than a row's samples, so they come first where that leaves fewer of them.
    let rows_first = to < from;
    let mut out = vec![0.0; planes.len() / (from * from) * to * to];
    let mut half = vec![0.0; from * to];
    for (plane, out) in planes.chunks_exact(from * from).zip(out.chunks_exact_mut(to * to)) {
        if rows_first {
            taps.across(plane, &mut half);
            half.chunks_exact(from).zip(out.chunks_exact_mut(to)).for_each(|(row, out)| taps.along(row, out));
        } else {
            plane
                .chunks_exact(from)
                .zip(half.chunks_exact_mut(to))
                .for_each(|(row, out)| taps.along(row, out));
            taps.across(&half, out);
        }
    }
    out
}

/// For each sample of a new grid the samples of the old one that it is made of, along one axis.
#[derive(Debug, Clone)]
pub(super) struct Taps {
    /// Samples that each new one is made of.
    n: usize,
    /// The first of them.
    first: Vec<usize>,
    /// `n` weights for each, with sum 1.
    weights: Vec<f32>,
}

impl Taps {
    /// Between grids that cover the same stretch.
    pub(super) fn new(from: usize, to: usize, filter: Filter) -> Self {
        Self::placed(from, to, (0.0, from as f64 / to as f64), filter)
    }

    /// The new grid begins at `origin` and has cells of `step`, both in cells of the old one.
    pub(super) fn placed(from: usize, to: usize, (origin, step): (f64, f64), filter: Filter) -> Self {
        let stretch = step.max(1.0);
        let radius = filter.radius() * stretch;
        let n = ((2.0 * radius).ceil() as usize).min(from);
        let (mut first, mut weights) = (Vec::with_capacity(to), vec![0.0; n * to]);
        for (i, weights) in weights.chunks_exact_mut(n).enumerate() {
            let centre = origin + (i as f64 + 0.5) * step - 0.5;
            let start = (centre - radius).floor() as isize + 1;
            let begin = start.clamp(0, (from - n) as isize) as usize;
            first.push(begin);
            // What lies outside is mirrored onto the inside, where a tap of the window takes its weight.
            let window = start..start + (2.0 * radius).ceil() as isize;
            let sum: f64 = window.clone().map(|j| filter.at((j as f64 - centre) / stretch)).sum();
            for j in window {
                let at = mirrored(j, from).clamp(begin, begin + n - 1) - begin;
                weights[at] += (filter.at((j as f64 - centre) / stretch) / sum) as f32;
            }
        }
        Self { n, first, weights }
    }

    /// One row.
    fn along(&self, row: &[f32], out: &mut [f32]) {
        // The usual cases, unrolled: enlarging by either filter.
        match self.n {
            2 => self.along_few(row, out, |w: &[f32; 2], s| w[0] * s[0] + w[1] * s[1]),
            4 => self.along_few(row, out, |w: &[f32; 4], s| {
                (w[0] * s[0] + w[1] * s[1]) + (w[2] * s[2] + w[3] * s[3])
            }),
            n => {
                for ((out, &first), w) in out.iter_mut().zip(&self.first).zip(self.weights.chunks_exact(n)) {
                    *out = w.iter().zip(&row[first..first + n]).map(|(w, s)| w * s).sum();
                }
            }
        }
    }

    fn along_few<const N: usize>(
        &self,
        row: &[f32],
        out: &mut [f32],
        sum: impl Fn(&[f32; N], &[f32; N]) -> f32,
    ) {
        for ((out, &first), w) in out.iter_mut().zip(&self.first).zip(self.weights.as_chunks().0) {
            *out = sum(w, row[first..].first_chunk().expect("as many samples as weights"));
        }
    }

    /// All rows of a plane whose rows have their final length.
    fn across(&self, plane: &[f32], out: &mut [f32]) {
        let width = out.len() / self.first.len();
        out.chunks_exact_mut(width).enumerate().for_each(|(y, out)| self.row(plane, y, out));
    }

    /// Row `y` of them.
    pub(super) fn row(&self, plane: &[f32], y: usize, out: &mut [f32]) {
        let weights = &self.weights[y * self.n..(y + 1) * self.n];
        weighed(&plane[self.first[y] * out.len()..], weights, out);
    }

    /// All rows of a plane of rows of `width`, brought to their final length.
    pub(super) fn widened(&self, plane: &[f32], width: usize) -> Vec<f32> {
        let to = self.first.len();
        let mut wide = vec![0.0; plane.len() / width * to];
        for (row, out) in plane.chunks_exact(width).zip(wide.chunks_exact_mut(to)) {
            self.along(row, out);
        }
        wide
    }
}

dispatched! {
    /// The weighed sum of the first rows of a plane, as many as there are weights, each as long as `out`.
    fn weighed as weighed_plain(plane: &[f32], weights: &[f32], out: &mut [f32]) {
        let width = out.len();
        let row = |i: usize| &plane[i * width..][..width];
        if let [a, b, c, d] = weights {
            let quads = row(0).iter().zip(row(1)).zip(row(2).iter().zip(row(3)));
            for (out, ((r, s), (t, u))) in out.iter_mut().zip(quads) {
                *out = (a * r + b * s) + (c * t + d * u);
            }
            return;
        }
        // Four rows at a time, so that the sum isn't fetched and put back for each.
        out.fill(0.0);
        let (fours, rest) = weights.as_chunks::<4>();
        for (i, [a, b, c, d]) in (0..).step_by(4).zip(fours) {
            let quads = row(i).iter().zip(row(i + 1)).zip(row(i + 2).iter().zip(row(i + 3)));
            for (out, ((r, s), (t, u))) in out.iter_mut().zip(quads) {
                *out = (((*out + a * r) + b * s) + c * t) + d * u;
            }
        }
        for (i, w) in (4 * fours.len()..).zip(rest) {
            out.iter_mut().zip(row(i)).for_each(|(out, s)| *out += w * s);
        }
    }
}

/// A plane of rows of `width` brought to another grid.
pub(super) fn resampled(plane: &[f32], width: usize, (columns, rows): (&Taps, &Taps)) -> Vec<f32> {
    let wide = columns.widened(plane, width);
    let mut out = vec![0.0; columns.first.len() * rows.first.len()];
    rows.across(&wide, &mut out);
    out
}

/// The sample of a row of `n` that stands at `i` when the row is mirrored at its edges.
fn mirrored(i: isize, n: usize) -> usize {
    let period = 2 * n as isize;
    let i = i.rem_euclid(period);
    (if i < n as isize { i } else { period - 1 - i }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(side: usize) -> Vec<f32> {
        (0..side * side).map(|i| (i % side) as f32 + 0.5).collect()
    }

    #[test]
    fn a_constant_stays_and_a_ramp_keeps_its_place() {
        for (from, to) in [(16, 40), (40, 16), (65, 64), (3, 100), (100, 3), (7, 7)] {
            for filter in [Filter::Linear, Filter::CatmullRom] {
                let flat = resize(&vec![0.7; from * from], from, to, filter);
                assert!(flat.iter().all(|v| (v - 0.7).abs() < 1e-5), "{from} {to} {filter:?}");
                let ramp = resize(&ramp(from), from, to, filter);
                let scale = from as f32 / to as f32;
                let middle = to / 2;
                let want = (middle as f32 + 0.5) * scale;
                assert!((ramp[middle * to + middle] - want).abs() < 0.02 * scale.max(1.0), "{from} {to}");
            }
        }
    }

    #[test]
    fn fine_stripes_vanish_when_shrunk_and_come_back_when_enlarged() {
        let stripes: Vec<f32> = (0..64 * 64).map(|i| (i % 2) as f32).collect();
        let small = resize(&stripes, 64, 16, Filter::CatmullRom);
        assert!(small[5 * 16 + 2..6 * 16 - 2].iter().all(|v| (v - 0.5).abs() < 0.02), "{:?}", &small[80..96]);
        let smooth: Vec<f32> = (0..32 * 32).map(|i| ((i % 32) as f32 * 0.3).sin()).collect();
        let there = resize(&smooth, 32, 80, Filter::CatmullRom);
        let back = resize(&there, 80, 32, Filter::CatmullRom);
        let inner = 10 * 32 + 4..10 * 32 + 28;
        let worst = smooth[inner.clone()].iter().zip(&back[inner]).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 0.02);
    }

    #[test]
    fn rows_and_columns_are_filtered_alike() {
        let picture: Vec<f32> = (0..24 * 24).map(|i| ((i * 7919) % 101) as f32 / 101.0).collect();
        let transposed =
            |v: &[f32], n: usize| -> Vec<f32> { (0..n * n).map(|i| v[(i % n) * n + i / n]).collect() };
        for to in [10, 24, 31] {
            let a = transposed(&resize(&picture, 24, to, Filter::CatmullRom), to);
            let b = resize(&transposed(&picture, 24), 24, to, Filter::CatmullRom);
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
