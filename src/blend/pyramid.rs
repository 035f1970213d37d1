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

use super::resample::{Filter, Taps, resampled};
use crate::frame::{FramePx, Rect};

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

    /// Takes the enlarged floor below from a plane on floor `k`: what is left is the band.
    pub(super) fn take(&self, plane: &mut [f32], below: &[f32], k: usize) {
        self.collapse(plane, below, &vec![0.0; below.len()], None, None, k);
    }

    /// `floor` becomes `mask * (floor + detail - enlarged below) + enlarged kept`.
    fn collapse(
        &self,
        floor: &mut [f32],
        below: &[f32],
        kept: &[f32],
        detail: Option<&[f32]>,
        mask: Option<&[f32]>,
        k: usize,
    ) {
        let width = self.width(k);
        let (mut low, mut add) = (vec![0.0; width], vec![0.0; width]);
        let resized = (k + 1 == self.fine.len()).then(|| {
            let up = |plane: &[f32]| resampled(plane, COMMON[0], (&self.up[0], &self.up[1]));
            (up(below), up(kept))
        });
        let mut scratch = vec![0.0; width / 2];
        for (y, row) in floor.chunks_exact_mut(width).enumerate() {
            let at = y * width..(y + 1) * width;
            let mask = mask.map(|mask| &mask[at.clone()]);
            if let Some((below, kept)) = &resized {
                low.copy_from_slice(&below[at.clone()]);
                add.copy_from_slice(&kept[at.clone()]);
            } else {
                doubled_row(below, y, &mut scratch, &mut low);
                doubled_row(kept, y, &mut scratch, &mut add);
            }
            if let Some(detail) = detail {
                low.iter_mut().zip(&detail[at]).for_each(|(low, d)| *low -= d);
            }
            match mask {
                Some(mask) => {
                    for (((v, m), l), a) in row.iter_mut().zip(mask).zip(&low).zip(&add) {
                        *v = m * (*v - l) + a;
                    }
                }
                None => row.iter_mut().zip(&low).for_each(|(v, l)| *v -= l),
            }
        }
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
    for plane in difference.chunks_exact_mut(mask.len()) {
        let below = floors.gaussian(plane, n_below);
        // On the floor under the last used band nothing is kept, unless that is the residual, which has none.
        let mut kept = below.last().map_or(Vec::new(), |last| vec![0.0; last.len()]);
        if n_used > n_below {
            kept = below.last().map_or(Vec::new(), Clone::clone);
            kept.iter_mut().zip(mask_of(n_below)).for_each(|(v, m)| *v *= m);
        }
        for k in (1..n_below).rev() {
            let mut floor = below[k - 1].clone();
            let detail = detail.get(k).map(|d| &d[..]);
            floors.collapse(&mut floor, &below[k], &kept, detail, Some(mask_of(k)), k);
            kept = floor;
        }
        floors.collapse(plane, &below[0], &kept, detail.first().map(|d| &d[..]), Some(mask), 0);
    }
}

/// A blurred mask drawn in, so that it ends where the mask itself does: in every band the new face fades to its inside,
/// the coarser the wider.
fn inner(m: f32) -> f32 {
    (2.0 * m - 1.0).max(0.0)
}

/// Row `y` of a plane enlarged to twice its width and height. `scratch` is as wide as the plane.
fn doubled_row(plane: &[f32], y: usize, scratch: &mut [f32], out: &mut [f32]) {
    let half = scratch.len();
    let height = plane.len() / half;
    let near = y / 2;
    let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(height - 1) };
    let (near, far) = (&plane[near * half..][..half], &plane[far * half..][..half]);
    for ((s, n), f) in scratch.iter_mut().zip(near).zip(far) {
        *s = 0.75 * n + 0.25 * f;
    }
    let n = half - 1;
    out[0] = scratch[0];
    out[2 * n + 1] = scratch[n];
    for (pair, s) in out[1..=2 * n].chunks_exact_mut(2).zip(scratch.windows(2)) {
        pair[0] = 0.75 * s[0] + 0.25 * s[1];
        pair[1] = 0.25 * s[0] + 0.75 * s[1];
    }
}

/// A plane of even sides halved.
fn halved(plane: &[f32], width: usize) -> Vec<f32> {
    let (half, height) = (width / 2, plane.len() / width);
    let mut out = vec![0.0; half * (height / 2)];
    let mut tall = vec![0.0; width];
    for (y, out) in out.chunks_exact_mut(half).enumerate() {
        let row = |y: usize| &plane[y * width..][..width];
        let outer = (row((2 * y).saturating_sub(1)), row((2 * y + 2).min(height - 1)));
        let inner = (row(2 * y), row(2 * y + 1));
        let rows = outer.0.iter().zip(inner.0).zip(inner.1.iter().zip(outer.1));
        for (t, ((a, b), (c, d))) in tall.iter_mut().zip(rows) {
            *t = 0.125 * (a + d) + 0.375 * (b + c);
        }
        let at = |i: usize| tall[i];
        out[0] = 0.125 * (at(0) + at(2.min(width - 1))) + 0.375 * (at(0) + at(1));
        out[half - 1] =
            0.125 * (at(width.saturating_sub(3)) + at(width - 1)) + 0.375 * (at(width - 2) + at(width - 1));
        if half > 2 {
            let right = tall[3..].chunks_exact(2);
            for ((o, l), r) in out[1..half - 1].iter_mut().zip(tall[1..].chunks_exact(2)).zip(right) {
                *o = 0.125 * (l[0] + r[1]) + 0.375 * (l[1] + r[0]);
            }
        }
    }
    out
}

#[cfg(test)]
#[path = "pyramid_tests.rs"]
mod tests;
