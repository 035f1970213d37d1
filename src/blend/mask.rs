//! Where the new face goes, softened to the inside only: what is outside the face's outline is never touched.

use std::borrow::Cow;

use ndarray::Array2;

use super::resample::{Filter, resize};
use crate::{
    curve::smooth_step,
    dispatch::dispatched,
    face::{hull_mask, mesh},
    frame::{CropPx, NewFace},
};

/// Distances are measured on a grid of at most this side: the mask is smooth, and its frame of reference is not the
/// pixel.
const MAX_DISTANCE_SIDE: usize = 256;

/// Where a new face is seen, a square of `side` over its crop, 0..=1 with antialiased edges: where its points lie, the
/// network sees its face, and nothing is in front of the old one.
pub(super) fn outline(face: &NewFace, side: usize) -> Vec<f32> {
    let mut outline = contour(face, side);
    multiply(&mut outline, side, face.visible.as_ref());
    outline
}

/// How much of the contour's height and width is left to the target on each side, shares 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Padding {
    /// Above.
    pub top: f64,
    /// On the right side of an upright face in the picture.
    pub right: f64,
    /// Below.
    pub bottom: f64,
    /// On the left side.
    pub left: f64,
}

/// Half of the width of what is thin in front of a face, share of the crop's side: wires, strands, the edges of things.
const THIN: f64 = 1.0 / 64.0;

/// Where a new face goes, squares of the same side, 0..=1.
pub(super) struct Placed {
    /// Its place without what is in front of it, thin things aside.
    pub mask: Vec<f32>,
    /// What thin things in front of it leave of that; `None` where there are none. They lie over the finished picture: bands
    /// that are wider than they are would fade around them.
    pub beside_thin: Option<Vec<f32>>,
}

/// Where a new face goes: its contour without the `padding`, softened over `feather` as by [`feathered`] around the
/// face's features, without what is in front of it.
///
/// Unlike the face's own edge, that of a hand is where it is seen: softened inwards, it would leave a rim of the old
/// face around the hand.
pub(super) fn placed(face: &NewFace, side: usize, feather: f64, padding: &Padding) -> Placed {
    let mut contour = contour(face, side);
    padding.cut(&mut contour, side);
    let alignment = face.alignment_at(side);
    let features: Vec<CropPx> = mesh::features()
        .filter_map(|i| face.face.points.get(i))
        .map(|point| alignment.to_crop(*point))
        .collect();
    let mut mask = feathered(&contour, side, feather, &features);
    let Some(visible) = &face.visible else { return Placed { mask, beside_thin: None } };
    let (visible, beside) = apart(visible);
    multiply(&mut mask, side, Some(&visible));
    let beside_thin = beside.map(|beside| {
        let mut all = vec![1.0; mask.len()];
        multiply(&mut all, side, Some(&beside));
        all
    });
    Placed { mask, beside_thin }
}

/// What is in view without thin things, and what these leave of it, if there are any.
fn apart(visible: &Array2<f32>) -> (Cow<'_, Array2<f32>>, Option<Array2<f32>>) {
    let (height, width) = visible.dim();
    let Some(flat) = visible.as_slice().filter(|flat| height == width && flat.iter().any(|v| *v < 1.0))
    else {
        return (Cow::Borrowed(visible), None);
    };
    let reach = (THIN * width as f64).round().max(1.0) as usize;
    // A closing: what is narrower than twice the reach goes, and the edges of what is wider stay.
    let wide = extreme(&extreme(flat, width, reach, raise), width, reach, lower);
    let left = |(v, wide): (&f32, &f32)| if *wide > 0.0 { (v / wide).min(1.0) } else { 1.0 };
    let beside: Vec<f32> = flat.iter().zip(&wide).map(left).collect();
    if beside.iter().all(|v| *v > 0.99) {
        return (Cow::Borrowed(visible), None);
    }
    let square = |values| Array2::from_shape_vec((height, width), values).ok();
    match (square(wide), square(beside)) {
        (Some(wide), Some(beside)) => (Cow::Owned(wide), Some(beside)),
        _ => (Cow::Borrowed(visible), None),
    }
}

/// The least of the values within a square around each one, up to `reach` away.
pub(crate) fn least_around(plane: &[f32], width: usize, reach: usize) -> Vec<f32> {
    extreme(plane, width, reach, lower)
}

/// The greatest or the least of the values within a square around each one, up to `reach` away; `pick` does it for a row
/// and another.
fn extreme(plane: &[f32], width: usize, reach: usize, pick: fn(&mut [f32], &[f32])) -> Vec<f32> {
    let height = plane.len() / width;
    let mut tall = plane.to_vec();
    for (y, row) in tall.chunks_exact_mut(width).enumerate() {
        for near in y.saturating_sub(reach)..(y + reach + 1).min(height) {
            pick(row, &plane[near * width..][..width]);
        }
    }
    let mut out = tall.clone();
    for (out, row) in out.chunks_exact_mut(width).zip(tall.chunks_exact(width)) {
        for off in 1..=reach.min(width - 1) {
            pick(&mut out[off..], row);
            pick(out, &row[off..]);
        }
    }
    out
}

dispatched! {
    /// The greater of each two values.
    fn raise as raise_plain(values: &mut [f32], others: &[f32]) {
        values.iter_mut().zip(others).for_each(|(v, other)| *v = v.max(*other));
    }
}

dispatched! {
    /// The lesser of each two values.
    fn lower as lower_plain(values: &mut [f32], others: &[f32]) {
        values.iter_mut().zip(others).for_each(|(v, other)| *v = v.min(*other));
    }
}

impl Padding {
    /// Takes the padding off a mask of `side`, with antialiased edges.
    fn cut(&self, mask: &mut [f32], side: usize) {
        if *self == Self::default() {
            return;
        }
        let is_inside = |at: &usize| mask[*at] > 0.5;
        let span = |place: fn(usize, usize) -> usize| {
            let inside = || (0..mask.len()).filter(is_inside).map(|at| place(at, side));
            inside().min().zip(inside().max()).map(|(first, last)| (first as f64, (last + 1) as f64))
        };
        let (Some((x0, x1)), Some((y0, y1))) = (span(|at, side| at % side), span(|at, side| at / side))
        else {
            return;
        };
        let left = x0 + self.left * (x1 - x0);
        let right = x1 - self.right * (x1 - x0);
        let top = y0 + self.top * (y1 - y0);
        let bottom = y1 - self.bottom * (y1 - y0);
        // How much of the pixel that begins at `at` lies between two edges.
        let part = |at: usize, from: f64, to: f64| {
            let at = at as f64;
            (to.min(at + 1.0) - from.max(at)).clamp(0.0, 1.0) as f32
        };
        for (at, m) in mask.iter_mut().enumerate() {
            *m *= part(at % side, left, right) * part(at / side, top, bottom);
        }
    }
}

/// Where a face's points lie and the network sees it.
fn contour(face: &NewFace, side: usize) -> Vec<f32> {
    let alignment = face.alignment_at(side);
    let (hull, _) = hull_mask(&face.face.points, &alignment, side).into_raw_vec_and_offset();
    let Some(seen) = &face.mask else { return hull };
    let mut contour = hull.clone();
    multiply(&mut contour, side, Some(seen));
    fill_holes(&mut contour, &hull, side);
    contour
}

/// Below this share of the hull a network sees no face..
const UNSEEN: f32 = 0.5;
/// ..and from this one on it is sure of one.
const SEEN: f32 = 0.95;

/// Closes the holes of a `contour` that lie wholly within the `hull`. A network is unsure of what it has hardly learnt,
/// and that is eyes first: the old face's would look out of the new one.
fn fill_holes(contour: &mut [f32], hull: &[f32], side: usize) {
    let is_inside = |at: usize| hull[at] > 0.5;
    let is_unseen = |contour: &[f32], at: usize| is_inside(at) && contour[at] < UNSEEN * hull[at];
    let unseen: Vec<usize> = (0..contour.len()).filter(|at| is_unseen(contour, *at)).collect();
    let is_at_edge = |at: &usize| neighbours(*at, side).count() < 4 || !neighbours(*at, side).all(is_inside);
    let mut is_outer = vec![false; contour.len()];
    flood(&mut is_outer, side, unseen.iter().copied().filter(is_at_edge), |at| is_unseen(contour, at));
    let holes: Vec<usize> = unseen.into_iter().filter(|at| !is_outer[*at]).collect();
    if holes.is_empty() {
        return;
    }
    let mut is_hole = vec![false; contour.len()];
    flood(&mut is_hole, side, holes.into_iter(), |at| {
        is_inside(at) && !is_outer[at] && contour[at] < SEEN * hull[at]
    });
    let of_all = contour.iter_mut().zip(hull).zip(is_hole);
    of_all.filter(|(_, is_hole)| *is_hole).for_each(|((c, whole), _)| *c = *whole);
}

/// Marks what can be reached from `seeds` through pixels that let it pass.
fn flood(
    reached: &mut [bool],
    side: usize,
    seeds: impl Iterator<Item = usize>,
    passes: impl Fn(usize) -> bool,
) {
    let mut open: Vec<usize> = seeds.collect();
    open.iter().for_each(|at| reached[*at] = true);
    while let Some(at) = open.pop() {
        for next in neighbours(at, side).filter(|next| passes(*next)) {
            if !std::mem::replace(&mut reached[next], true) {
                open.push(next);
            }
        }
    }
}

/// The up to four pixels that share an edge with one.
fn neighbours(at: usize, side: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (at % side, at / side);
    let all = [(x > 0, -1), (x + 1 < side, 1), (y > 0, -(side as isize)), (y + 1 < side, side as isize)];
    all.into_iter().filter(|(is_there, _)| *is_there).map(move |(_, step)| at.wrapping_add_signed(step))
}

fn multiply(mask: &mut [f32], side: usize, seen: Option<&Array2<f32>>) {
    let Some(seen) = seen else { return };
    let (from, seen) = (seen.dim().0, seen.as_standard_layout());
    let flat = seen.as_slice().unwrap_or_default();
    let resized =
        if from == side { Cow::Borrowed(flat) } else { resize(flat, from, side, Filter::Linear).into() };
    mask.iter_mut().zip(&*resized).for_each(|(m, s)| *m *= s.clamp(0.0, 1.0));
}

/// `mask` (0..=1, of `side`), softened over `feather` (share of the side) from its edge inwards.
///
/// The edge is where `mask` is 0.5. The result is exactly 0 outside it and near it, 1 from `feather` inwards, and
/// rises as a smooth step in between. The border of the square counts as an edge: beyond it there is nothing to
/// paste. With a `feather` that is smaller than three pixels of the distance grid, the mask is returned as it is.
///
/// Near `features` (pixels of the mask) that lie within the soft rim the edge is as hard as it comes, so that they are
/// covered: at the far side of a turned head the old eye's corner would look out of the new one.
///
/// # Panics
/// If `mask` isn't a square of `side`.
pub fn feathered(mask: &[f32], side: usize, feather: f64, features: &[CropPx]) -> Vec<f32> {
    assert_eq!(mask.len(), side * side, "a mask of the crop's side");
    let grid = side.min(MAX_DISTANCE_SIDE);
    let feather_px = (feather * grid as f64) as f32;
    if feather_px < 3.0 {
        return mask.to_vec();
    }
    let coarse = resize(mask, side, grid, Filter::Linear);
    // Each smoothing pass reaches one pixel further, enlarging another one: the step keeps away from the edge by that.
    let n_passes = ((feather_px / 6.0) as usize).clamp(1, 8);
    let start = n_passes as f32 + 1.0;
    let end = (feather_px - n_passes as f32).max(start + 1.0);
    let mut soft = distances(&coarse, grid);
    for d in &mut soft {
        *d = smooth_step((*d - start) / (end - start));
    }
    for _ in 0..n_passes {
        smooth(&mut soft, grid);
    }
    let mut out = resize(&soft, grid, side, Filter::Linear);
    let to_grid = grid as f64 / side as f64;
    let features = features.iter().map(|p| CropPx { x: p.x * to_grid, y: p.y * to_grid });
    if let Some(hardness) = hardness(&soft, grid, features) {
        let hardness = resize(&hardness, grid, side, Filter::Linear);
        for ((out, mask), hardness) in out.iter_mut().zip(mask).zip(hardness) {
            *out += (mask - *out).max(0.0) * hardness;
        }
    }
    for (out, mask) in out.iter_mut().zip(mask) {
        if *mask <= 0.0 {
            *out = 0.0;
        }
    }
    out
}

/// How far around a feature the edge gets hard: the standard deviation of a bump, share of the side. Lashes go as far.
const FEATURE_REACH: f32 = 0.03;

/// How hard the edge of a mask must be for the sake of features that lie within its soft rim, 0..=1: around each a bump
/// as high as the `soft` mask misses there. `None` when none does.
fn hardness(soft: &[f32], side: usize, features: impl Iterator<Item = CropPx>) -> Option<Vec<f32>> {
    let reach = FEATURE_REACH * side as f32;
    let mut hardness: Option<Vec<f32>> = None;
    for feature in features {
        let [x, y] = [feature.x, feature.y].map(|v| v as isize);
        let range = |at: isize| {
            let room = (3.0 * reach).ceil() as isize;
            let clamped = |v: isize| v.clamp(0, side as isize) as usize;
            clamped(at.saturating_sub(room))..clamped(at.saturating_add(room + 1))
        };
        let is_inside = [x, y].iter().all(|v| (0..side as isize).contains(v));
        let missed = 1.0 - if is_inside { soft[y as usize * side + x as usize] } else { 0.0 };
        if missed < 0.01 {
            continue;
        }
        let hardness = hardness.get_or_insert_with(|| vec![0.0; soft.len()]);
        for row in range(y) {
            for column in range(x) {
                let (dx, dy) = ((column as isize - x) as f32, (row as isize - y) as f32);
                let here = &mut hardness[row * side + column];
                *here = here.max(missed * (-0.5 * (dx * dx + dy * dy) / (reach * reach)).exp());
            }
        }
    }
    hardness
}

/// Distance from each pixel's centre to the edge of `mask`, pixels; 0 outside.
///
/// Exact to half a pixel: the lower envelope of parabolas (Felzenszwalb and Huttenlocher 2012), columns, then rows.
fn distances(mask: &[f32], side: usize) -> Vec<f32> {
    // Down the columns: steps to the nearest outside pixel of the column; the square's border is outside.
    let mut field: Vec<f32> = vec![0.0; mask.len()];
    let mut near = vec![0.0; side];
    for (row, mask) in field.chunks_exact_mut(side).zip(mask.chunks_exact(side)) {
        for ((d, near), m) in row.iter_mut().zip(&mut near).zip(mask) {
            *near = if *m < 0.5 { 0.0 } else { *near + 1.0 };
            *d = *near;
        }
    }
    near.fill(0.0);
    for row in field.chunks_exact_mut(side).rev() {
        for (d, near) in row.iter_mut().zip(&mut near) {
            *near = d.min(*near + 1.0);
            *d = *near;
        }
    }
    // Along the rows, from the last outside pixel before the inside to the first behind it, whatever lies beyond; the
    // row has such a pixel at both ends.
    let (mut squares, mut sites, mut bounds) = (Vec::new(), vec![0; side + 2], vec![0.0; side + 3]);
    for row in field.chunks_exact_mut(side) {
        let Some(first) = row.iter().position(|d| *d > 0.0) else { continue };
        let last = row.iter().rposition(|d| *d > 0.0).unwrap_or(first);
        let row = &mut row[first..=last];
        squares.clear();
        squares.push(0.0);
        squares.extend(row.iter().map(|d| d * d));
        squares.push(0.0);
        let mut n = envelope(&squares, &mut sites, &mut bounds);
        for x in (1..=row.len()).rev() {
            while bounds[n - 1] > x as f32 {
                n -= 1;
            }
            let step = x as f32 - sites[n - 1] as f32;
            // The edge runs half a pixel before the centre of the nearest outside pixel.
            row[x - 1] = ((step * step + squares[sites[n - 1]]).sqrt() - 0.5).max(0.0);
        }
    }
    field
}

/// The parabolas `(x - site)^2 + squares[site]` that are lowest somewhere, in rising order; parabola i is lowest
/// from `bounds[i]` to `bounds[i + 1]`. Returns how many there are, at least 1.
fn envelope(squares: &[f32], sites: &mut [usize], bounds: &mut [f32]) -> usize {
    let mut n = 0;
    for site in 0..squares.len() {
        let value = |site: usize| squares[site] + (site * site) as f32;
        let mut from = f32::NEG_INFINITY;
        while n > 0 {
            let last = sites[n - 1];
            from = (value(site) - value(last)) / (2 * (site - last)) as f32;
            if from > bounds[n - 1] {
                break;
            }
            n -= 1;
            from = f32::NEG_INFINITY;
        }
        (sites[n], bounds[n]) = (site, from);
        n += 1;
    }
    n
}

/// One pass of 1 2 1 along rows and columns, the border pixels going on outside.
fn smooth(plane: &mut [f32], side: usize) {
    let mut before = vec![0.0; side];
    for row in plane.chunks_exact_mut(side) {
        before.copy_from_slice(row);
        for (out, w) in row[1..].iter_mut().zip(before.windows(3)) {
            *out = 0.25 * (w[0] + w[2]) + 0.5 * w[1];
        }
    }
    for y in 1..side.saturating_sub(1) {
        let (head, tail) = plane.split_at_mut(y * side);
        let (row, below) = tail.split_at_mut(side);
        if y == 1 {
            before.copy_from_slice(&head[..side]);
        }
        for ((row, above), below) in row.iter_mut().zip(&mut before).zip(&below[..side]) {
            let old = *row;
            *row = 0.25 * (*above + below) + 0.5 * old;
            *above = old;
        }
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
