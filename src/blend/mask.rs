//! Where the new face goes, softened to the inside only: what is outside the face's outline is never touched.

use std::borrow::Cow;

use ndarray::Array2;

use super::resample::{Filter, resize};
use crate::{face::hull_mask, frame::NewFace};

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

/// Where a new face goes: its contour without the `padding`, softened over `feather` as by [`feathered`], without what
/// is in front of it.
///
/// Unlike the face's own edge, that of a hand is where it is seen: softened inwards, it would leave a rim of the old
/// face around the hand.
pub(super) fn placed(face: &NewFace, side: usize, feather: f64, padding: &Padding) -> Vec<f32> {
    let mut contour = contour(face, side);
    padding.cut(&mut contour, side);
    let mut mask = feathered(&contour, side, feather);
    multiply(&mut mask, side, face.visible.as_ref());
    mask
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
    let alignment = face.alignment.scaled(side as f64 / face.pixels.dim().1 as f64);
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
/// # Panics
/// If `mask` isn't a square of `side`.
pub fn feathered(mask: &[f32], side: usize, feather: f64) -> Vec<f32> {
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
    for (out, mask) in out.iter_mut().zip(mask) {
        if *mask <= 0.0 {
            *out = 0.0;
        }
    }
    out
}

/// 0 below 0, 1 above 1, and a step without corners between.
fn smooth_step(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
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
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;

    fn disc(side: usize, radius: f64) -> Vec<f32> {
        let c = side as f64 / 2.0;
        let at = |i: usize| (i as f64 + 0.5 - c).powi(2);
        (0..side * side)
            .map(|i| (radius - (at(i % side) + at(i / side)).sqrt() + 0.5).clamp(0.0, 1.0) as f32)
            .collect()
    }

    #[test]
    fn the_distance_is_that_of_the_nearest_outside_pixel() {
        let side = 23;
        let mask: Vec<f32> = (0..side * side).map(|i| f32::from(i * 2_654_435_761 % 97 > 4)).collect();
        let outside: Vec<(isize, isize)> = (-1..=side as isize)
            .flat_map(|y| (-1..=side as isize).map(move |x| (x, y)))
            .filter(|&(x, y)| {
                let inside = (0..side as isize).contains(&x) && (0..side as isize).contains(&y);
                !inside || mask[y as usize * side + x as usize] < 0.5
            })
            .collect();
        let found = distances(&mask, side);
        for (i, d) in found.iter().enumerate() {
            let (x, y) = ((i % side) as isize, (i / side) as isize);
            let nearest = outside.iter().map(|(a, b)| (a - x).pow(2) + (b - y).pow(2)).min().unwrap_or(0);
            let want = ((nearest as f32).sqrt() - 0.5).max(0.0);
            assert!((d - want).abs() < 1e-4, "({x}, {y}): {d}, not {want}");
        }
    }

    #[test]
    fn a_disc_is_soft_inside_and_untouched_outside() {
        for side in [200, 256, 512, 700] {
            let radius = 0.35 * side as f64;
            let soft = feathered(&disc(side, radius), side, 0.1);
            let middle = &soft[side / 2 * side..][..side];
            for (x, v) in middle.iter().enumerate() {
                let inwards = (radius - (x as f64 + 0.5 - side as f64 / 2.0).abs()) / side as f64;
                assert!(inwards > 0.0 || *v == 0.0, "{side}: {v} at {inwards} outside");
                assert!(inwards < 0.105 || *v > 0.999, "{side}: {v} at {inwards} inside");
                assert!((0.0..=1.0001).contains(v));
            }
            let steepest = middle.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            assert!(steepest < 40.0 / side as f32, "{side}: a step of {steepest}");
            let half = middle.iter().position(|v| *v > 0.5).unwrap_or(0) as f64 / side as f64;
            assert!((half - 0.15 - 0.05).abs() < 0.012, "{side}: half way at {half}");
        }
    }

    #[test]
    fn padding_is_measured_on_the_face_and_not_on_the_crop() {
        // A face of 40 x 60 pixels from (10, 20) on.
        let side = 100;
        let is_face = |at: usize| (10..50).contains(&(at % side)) && (20..80).contains(&(at / side));
        let face: Vec<f32> = (0..side * side).map(|at| f32::from(u8::from(is_face(at)))).collect();
        let mut cut = face.clone();
        Padding { top: 0.1, right: 0.25, bottom: 0.5, left: 0.05 }.cut(&mut cut, side);
        for (at, m) in cut.iter().enumerate() {
            let is_left = (12..40).contains(&(at % side)) && (26..50).contains(&(at / side));
            assert!((m - f32::from(u8::from(is_left))).abs() < 1e-5, "({}, {})", at % side, at / side);
        }
        let mut whole = face.clone();
        Padding::default().cut(&mut whole, side);
        assert_eq!(whole, face);
        Padding { top: 0.6, bottom: 0.6, ..Padding::default() }.cut(&mut whole, side);
        assert!(whole.iter().all(|m| *m == 0.0), "nothing is left");
    }

    #[test]
    fn holes_within_the_hull_are_closed_and_bays_are_left() {
        let side = 40;
        let place = |at: usize| (at % side, at / side);
        let within = |(x, y): (usize, usize), columns: Range<usize>, rows: Range<usize>| {
            columns.contains(&x) && rows.contains(&y)
        };
        let hull: Vec<f32> =
            (0..side * side).map(|at| f32::from(u8::from(within(place(at), 4..36, 4..36)))).collect();
        // An eye with a soft rim, and a lock of hair that hangs in from above.
        let is_bay = |at| within(place(at), 24..30, 4..20);
        let seen = |at: usize| match place(at) {
            p if within(p, 11..15, 15..18) => 0.0,
            p if within(p, 10..16, 14..19) => 0.7,
            _ if is_bay(at) => 0.1,
            _ => 1.0,
        };
        let mut contour: Vec<f32> = (0..side * side).map(|at| hull[at] * seen(at)).collect();
        fill_holes(&mut contour, &hull, side);
        for (at, c) in contour.iter().enumerate() {
            let want = if is_bay(at) { 0.1 } else { hull[at] };
            assert!((c - want).abs() < 1e-6, "{:?}: {c}, not {want}", place(at));
        }
    }

    #[test]
    fn nothing_comes_from_nothing_and_a_full_square_ends_at_its_border() {
        assert!(feathered(&[0.0; 64 * 64], 64, 0.1).iter().all(|v| *v == 0.0));
        let full = feathered(&[1.0; 64 * 64], 64, 0.1);
        assert!(full[..64].iter().all(|v| *v == 0.0) && full[32 * 64 + 32] > 0.9999);
        let hard = disc(64, 20.0);
        assert_eq!(feathered(&hard, 64, 0.0), hard);
    }

    proptest! {
        #[test]
        fn outside_stays_outside(holes in prop::collection::vec((0_usize..96, 0_usize..96, 1_usize..30), 1..6)) {
            let mut mask = vec![1.0; 96 * 96];
            for (x, y, size) in holes {
                for i in y..(y + size).min(96) {
                    mask[i * 96 + x..i * 96 + (x + size).min(96)].fill(0.0);
                }
            }
            let soft = feathered(&mask, 96, 0.08);
            prop_assert!(soft.iter().zip(&mask).all(|(s, m)| (0.0..=1.0001).contains(s) && (*m > 0.0 || *s == 0.0)));
        }
    }
}
