//! Blending in bands (Burt and Adelson, "A Multiresolution Spline With Application to Image Mosaics", 1983).
//!
//! # What the bands are
//! The pyramid stands on the frame's own pixels: the floors of a face are grids of 1, 2, 4.. pixels over the rectangle
//! that is blended, down to about 1/64 of the face's crop; from there on they are grids of 1/64, 1/32, 1/16, 1/8 and 1/4
//! of the crop's side, whatever that is in pixels, over a square around the middle of the crop. So "the two smallest
//! bands" always means structures of at least 1/8 of the side, and a face that comes nearer, or whose outline changes,
//! doesn't change its look. Bands overlap: of waves with 1, 2, 4 and 8 periods in the side, the new face gives 17, 46, 84
//! and 99.6 % when the two smallest bands are the target's.
//!
//! The residual counts as a band. Counting from a grid of 8 instead (so that the two smallest were 16 and 8) took so
//! much of the new face's form away that an embedding no longer knew her: on a rendered swap, 0.58 from the wanted
//! person in place of 0.48, where one person ends at 0.52 and the network's own picture has 0.46.
//!
//! # The filter
//! Halving weighs four samples 1 3 3 1 (of 8), enlarging 1 3 and 3 1 (of 4): the quadratic B-spline. The usual five
//! samples 1 4 6 4 1 put the coarse samples onto every second fine one, so an even side is cut off on one side and a
//! mirrored picture gives another result than the mirror of the result. Four samples lie in the middle of two.
//! Borders are mirrored at the edge.
//!
//! # One pyramid
//! Blending is linear: with the new face y, the target x and masks M_k, the sum of `M_k L_k(y) + (1 - M_k) L_k(x)` is
//! x plus the sum of `M_k L_k(y - x)`. So one pyramid of the difference is enough, and what must be exact is exact:
//! y = x and M = 0 give x to the bit.

use std::{borrow::Cow, ops::Range};

use super::resample::{Filter, Taps, resampled};
use crate::{
    dispatch::dispatched,
    frame::{FramePx, Rect},
};

/// Sides of the grids that are the same for every face, over a square of 1.5 sides of the crop, which holds the face
/// however it is turned. The last is the residual's.
const COMMON: [usize; 5] = [96, 48, 24, 12, 6];

/// Cells of the first of them along a side of the crop.
const FIRST_COMMON: f64 = 64.0;

/// The grids on which one face's bands are computed, finest first.
#[derive(Debug)]
pub struct Floors {
    /// Width and height of those over the rectangle.
    fine: Vec<(usize, usize)>,
    /// From the last of them to the first common one, columns and rows.
    down: [Taps; 2],
    /// And back.
    up: [Taps; 2],
    /// The width of a cell of that, pixels of the frame.
    common_px: f64,
}

impl Floors {
    /// The rectangle's edges must be multiples of this many pixels for a crop whose side is `crop_px` in the frame.
    pub fn step(crop_px: f64) -> usize {
        // A factor of 1.4 at least to the first common floor.
        let octaves = (crop_px / FIRST_COMMON).log2().round() - 1.0;
        1 << octaves.clamp(0.0, 6.0) as u32
    }

    /// The floors over `rect` for a crop around `centre` whose side is `crop_px`, pixels of the frame.
    ///
    /// # Panics
    /// If the rectangle's sides aren't multiples of [`Floors::step`].
    pub fn new(rect: Rect, centre: FramePx, crop_px: f64) -> Self {
        let step = Self::step(crop_px);
        assert!(
            rect.width().is_multiple_of(step) && rect.height().is_multiple_of(step),
            "{rect:?} by {step}"
        );
        let fine: Vec<(usize, usize)> =
            (0..=step.ilog2()).map(|k| (rect.width() >> k, rect.height() >> k)).collect();
        let last = fine[fine.len() - 1];
        let (cell, common) = (step as f64, crop_px / FIRST_COMMON);
        let side = COMMON[0];
        let axis = |n: usize, start: usize, centre: f64| {
            let from_centre = centre - 0.5 * side as f64 * common - start as f64;
            let down = Taps::placed(n, side, (from_centre / cell, common / cell), Filter::Linear);
            let up = Taps::placed(side, n, (-from_centre / common, cell / common), Filter::Linear);
            (down, up)
        };
        let (columns, rows) = (axis(last.0, rect.x0, centre.x), axis(last.1, rect.y0, centre.y));
        Self { fine, down: [columns.0, rows.0], up: [columns.1, rows.1], common_px: common }
    }

    /// How many bands there are, the residual included.
    pub fn n_bands(&self) -> usize {
        self.fine.len() + COMMON.len()
    }

    /// The width of a cell of floor `k`, pixels of the frame.
    pub(super) fn cell_px(&self, k: usize) -> f64 {
        match k.checked_sub(self.fine.len()) {
            None => (1_u64 << k) as f64,
            Some(below) => self.common_px * (1_u64 << below) as f64,
        }
    }

    /// Cells in a row of floor `k`.
    pub(super) fn width(&self, k: usize) -> usize {
        self.fine.get(k).map_or_else(|| COMMON[k - self.fine.len()], |size| size.0)
    }

    /// The floor below a plane on floor `k`.
    pub(super) fn reduced(&self, plane: &[f32], k: usize) -> Vec<f32> {
        if k + 1 == self.fine.len() {
            return resampled(plane, self.width(k), (&self.down[0], &self.down[1]));
        }
        halved(plane, self.width(k))
    }

    /// In some rows `floor` becomes `mask * (floor + detail - enlarged below) + enlarged kept`; each of them is then
    /// handed on with the place of its first value.
    fn collapse(
        &self,
        floor: &mut [f32],
        (below, kept): (&[f32], &[f32]),
        (mask, detail): (&[f32], Option<&[f32]>),
        (k, rows): (usize, Range<usize>),
        mut finish: impl FnMut(usize, &mut [f32]),
    ) {
        let width = self.width(k);
        let (mut low, mut add) = (self.enlarging(below, k), self.enlarging(kept, k));
        for y in rows {
            let at = y * width..(y + 1) * width;
            let (row, mask) = (&mut floor[at.clone()], &mask[at.clone()]);
            if let Some(detail) = detail {
                keep_with(row, mask, low.row(y), &detail[at.clone()], add.row(y));
            } else {
                keep(row, mask, low.row(y), add.row(y));
            }
            finish(at.start, row);
        }
    }

    /// A plane on the floor below floor `k`, enlarged to that row by row.
    pub(super) fn enlarging<'a>(&self, plane: &'a [f32], k: usize) -> Enlarging<'a> {
        let width = self.width(k);
        if k + 1 == self.fine.len() {
            let whole = resampled(plane, COMMON[0], (&self.up[0], &self.up[1]));
            return Enlarging { plane: Cow::Owned(whole), tall: Vec::new(), row: vec![0.0; width] };
        }
        Enlarging { plane: Cow::Borrowed(plane), tall: vec![0.0; width / 2], row: vec![0.0; width] }
    }

    /// The first `n` floors below a plane on floor 0.
    pub(super) fn gaussian(&self, plane: &[f32], n: usize) -> Vec<Vec<f32>> {
        let mut floors: Vec<Vec<f32>> = Vec::with_capacity(n);
        for k in 0..n {
            let next = self.reduced(floors.last().map_or(plane, |last| last), k);
            floors.push(next);
        }
        floors
    }
}

/// Keeps of `difference` (new minus target, planes over the rectangle) what the composite has of it: each band times
/// the mask of its own fineness, the `n_small` smallest bands not at all. To the finest bands `detail` is added first.
///
/// `n_small` = 0 is the classic blend; as many as there are bands, or more, gives 0. Add the result to the target and
/// clip once.
///
/// # Panics
/// If the planes haven't the rectangle's size.
pub fn multi_band(
    difference: &mut [f32],
    mask: &[f32],
    floors: &Floors,
    n_small: usize,
    detail: &[Vec<f32>],
) {
    let rows = 0..floors.fine[0].1;
    Blending { mask, floors, n_small, detail }.carry_out(difference, rows, |_, _| ());
}

/// What [`multi_band`] goes by.
pub(super) struct Blending<'a> {
    pub(super) mask: &'a [f32],
    pub(super) floors: &'a Floors,
    pub(super) n_small: usize,
    pub(super) detail: &'a [Vec<f32>],
}

impl Blending<'_> {
    /// [`multi_band`] in some `rows` of the rectangle; the others are left undefined. Each row of each plane is handed
    /// on as soon as it is done, with the place of its first value in `difference`.
    pub(super) fn carry_out(
        &self,
        difference: &mut [f32],
        rows: Range<usize>,
        mut finish: impl FnMut(usize, &mut [f32]),
    ) {
        let Self { mask, floors, n_small, detail } = *self;
        assert_eq!(mask.len(), floors.fine[0].0 * floors.fine[0].1, "a mask of the rectangle's size");
        assert!(difference.len().is_multiple_of(mask.len()), "whole planes");
        let n_used = floors.n_bands().saturating_sub(n_small);
        if n_used == 0 {
            difference.fill(0.0);
            return;
        }
        // A band is the difference to the next floor, so one floor below the last used band is needed.
        let n_below = n_used.min(floors.n_bands() - 1);
        let mut masks = floors.gaussian(mask, n_used - 1);
        // To the inside only: where a blurred mask has its middle, the mask itself has its edge.
        masks.iter_mut().flatten().for_each(|m| *m = inner(*m));
        let mask_of = |k: usize| if k == 0 { mask } else { &masks[k - 1] };
        let detail_of = |k: usize| detail.get(k).map(|detail| &detail[..]);
        for (plane, start) in difference.chunks_exact_mut(mask.len()).zip((0..).step_by(mask.len())) {
            let below = floors.gaussian(plane, n_below);
            // On the floor under the last used band nothing is kept, unless that is the residual, which has none.
            let mut kept = below.last().map_or(Vec::new(), |last| vec![0.0; last.len()]);
            if n_used > n_below {
                kept = below.last().map_or(Vec::new(), Clone::clone);
                kept.iter_mut().zip(mask_of(n_below)).for_each(|(v, m)| *v *= m);
            }
            for k in (1..n_below).rev() {
                // The floor above needs this one as it was as well.
                let mut floor = below[k - 1].clone();
                let all = 0..floor.len() / floors.width(k);
                floors.collapse(
                    &mut floor,
                    (&below[k], &kept),
                    (mask_of(k), detail_of(k)),
                    (k, all),
                    |_, _| (),
                );
                kept = floor;
            }
            let finish = |at, row: &mut [f32]| finish(start + at, row);
            floors.collapse(plane, (&below[0], &kept), (mask, detail_of(0)), (0, rows.clone()), finish);
        }
    }
}

/// A blurred mask drawn in, so that it ends where the mask itself does: in every band the new face fades to its inside,
/// the coarser the wider.
pub(super) fn inner(m: f32) -> f32 {
    (2.0 * m - 1.0).max(0.0)
}

/// The rows of a plane on its way to the floor above.
pub(super) struct Enlarging<'a> {
    /// Twice as wide and high in the end, or already as large.
    plane: Cow<'a, [f32]>,
    /// A row of the plane between two of its own; empty when it is as large already.
    tall: Vec<f32>,
    row: Vec<f32>,
}

impl Enlarging<'_> {
    /// Row `y` of the floor above.
    pub(super) fn row(&mut self, y: usize) -> &[f32] {
        if self.tall.is_empty() {
            return &self.plane[y * self.row.len()..][..self.row.len()];
        }
        doubled_row(&self.plane, y, &mut self.tall, &mut self.row);
        &self.row
    }
}

dispatched! {
    /// `row` becomes `mask * (row - low) + add`.
    fn keep as keep_plain(row: &mut [f32], mask: &[f32], low: &[f32], add: &[f32]) {
        for (((v, m), l), a) in row.iter_mut().zip(mask).zip(low).zip(add) {
            *v = m * (*v - l) + a;
        }
    }
}

dispatched! {
    /// `row` becomes `mask * (row + detail - low) + add`.
    fn keep_with as keep_with_plain(row: &mut [f32], mask: &[f32], low: &[f32], detail: &[f32], add: &[f32]) {
        for ((((v, m), l), d), a) in row.iter_mut().zip(mask).zip(low).zip(detail).zip(add) {
            *v = m * (*v - (l - d)) + a;
        }
    }
}

/// Row `y` of a plane enlarged to twice its width and height. `tall` is as wide as the plane.
fn doubled_row(plane: &[f32], y: usize, tall: &mut [f32], out: &mut [f32]) {
    let half = tall.len();
    let height = plane.len() / half;
    let near = y / 2;
    let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(height - 1) };
    doubled(&plane[near * half..][..half], &plane[far * half..][..half], tall, out);
}

dispatched! {
    /// The row between a near and a far one, twice as wide.
    fn doubled as doubled_plain(near: &[f32], far: &[f32], tall: &mut [f32], out: &mut [f32]) {
        for ((s, n), f) in tall.iter_mut().zip(near).zip(far) {
            *s = 0.75 * n + 0.25 * f;
        }
        let n = tall.len() - 1;
        out[0] = tall[0];
        out[2 * n + 1] = tall[n];
        let pairs = out[1..=2 * n].as_chunks_mut::<2>().0;
        for ((pair, left), right) in pairs.iter_mut().zip(&tall[..n]).zip(&tall[1..]) {
            *pair = [0.75 * left + 0.25 * right, 0.25 * left + 0.75 * right];
        }
    }
}

/// A plane of even sides halved.
fn halved(plane: &[f32], width: usize) -> Vec<f32> {
    let (half, height) = (width / 2, plane.len() / width);
    let mut out = vec![0.0; half * (height / 2)];
    let mut tall = vec![0.0; width];
    for (y, out) in out.chunks_exact_mut(half).enumerate() {
        let row = |y: usize| &plane[y * width..][..width];
        let rows =
            [row((2 * y).saturating_sub(1)), row(2 * y), row(2 * y + 1), row((2 * y + 2).min(height - 1))];
        halved_row(rows, &mut tall, out);
    }
    out
}

dispatched! {
    /// The row between the inner two of four, half as wide. `tall` is as wide as they are.
    fn halved_row as halved_row_plain(rows: [&[f32]; 4], tall: &mut [f32], out: &mut [f32]) {
        let quads = rows[0].iter().zip(rows[1]).zip(rows[2].iter().zip(rows[3]));
        for (t, ((a, b), (c, d))) in tall.iter_mut().zip(quads) {
            *t = 0.125 * (a + d) + 0.375 * (b + c);
        }
        let (width, half) = (tall.len(), out.len());
        let at = |i: usize| tall[i];
        out[0] = 0.125 * (at(0) + at(2.min(width - 1))) + 0.375 * (at(0) + at(1));
        out[half - 1] =
            0.125 * (at(width.saturating_sub(3)) + at(width - 1)) + 0.375 * (at(width - 2) + at(width - 1));
        if half > 2 {
            let left = tall[1..].as_chunks::<2>().0;
            let right = tall[3..].as_chunks::<2>().0;
            for ((o, l), r) in out[1..half - 1].iter_mut().zip(left).zip(right) {
                *o = 0.125 * (l[0] + r[1]) + 0.375 * (l[1] + r[0]);
            }
        }
    }
}

#[cfg(test)]
#[path = "pyramid_tests.rs"]
mod tests;
