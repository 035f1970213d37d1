//! Dark hair that hangs into the face: strands over the temples and beside the cheeks stay the target's.
//!
//! Without a network: hair is much darker than the skin of its side of the face, and it hangs in from the outside. So only
//! a rim of the outline above the mouth is looked at, without brows and eyes. What is wrongly taken for hair there, such as
//! a deep shadow, costs nothing but a little of the rim. Fair hair isn't told from skin.

use ndarray::{Array2, Array3};

use super::{Map, cut_out, decided, luma};
use crate::{
    face::{
        hull::{convex_hull, coverage, scaled},
        hull_mask,
        mesh::{self, BROWS_BOTTOM, BROWS_TOP, CHEEKS, EYE_CORNERS, LIDS, LOWER_LIP, UPPER_LIP},
    },
    frame::{CropPx, FramePx, Similarity},
    video::Picture,
};

/// Least side of the crop that is looked at, pixels; one of less than twice as much is taken as it is.
const LEAST_SIDE: usize = 96;
/// Hair has less than this share of the skin's luma..
const DARK: f32 = 0.62;
/// ..and what has this much more or less of it is in doubt.
const DOUBT: f32 = 0.24;
/// The inside of the outline in which there is none, over the outline.
const INSIDE: f64 = 0.74;
/// Brows are left alone up to this many times their size, the wider one's for both: at the far side of a turned head
/// a feature is narrow, and what surrounds it isn't..
const BROW_ROOM: f64 = 1.4;
/// ..and eyes to this: lashes and what is drawn at their corners are no hair. Nor is the shadow between eye and brow..
const EYE_ROOM: f64 = 2.0;
/// ..nor the corners of the mouth, up to this many times its size: they lie in the rim when the head is turned.
const MOUTH_ROOM: f64 = 1.4;
/// What is hair by more than this belongs together.
const SURE: f32 = 0.1;

/// What is no hair: 1 where the face is in view, over the face of `points`; `None` for points that are no mesh.
pub(super) fn look_in(picture: &Picture, points: &[FramePx]) -> Option<Map> {
    let (pixels, alignment) = cut_out(picture, points, LEAST_SIDE)?;
    look(&pixels, &alignment, points)
}

/// The same where the face is cut out already: `[3, side, side]`, by `alignment`.
pub(super) fn look(pixels: &Array3<f32>, alignment: &Similarity, points: &[FramePx]) -> Option<Map> {
    let factor = (pixels.dim().2 / LEAST_SIDE).max(1);
    let side = pixels.dim().2 / factor;
    if points.len() < mesh::N_POINTS || side == 0 {
        return None;
    }
    let alignment = alignment.scaled(1.0 / factor as f64);
    let luma = luma(pixels, factor);
    let place = |index: usize| alignment.to_crop(points[index]);
    let skin = CHEEKS.map(|cheek| (place(cheek).x, around(&luma, place(cheek))));
    let [right, left] = mesh::MOUTH_CORNERS.map(&place);
    let mouth = 0.5 * (right.y + left.y);

    let outline = hull_mask(points, &alignment, side);
    let mut rim = outline.clone();
    let mut without = |polygon: Vec<CropPx>| {
        let kept = coverage(&convex_hull(&polygon), side);
        rim.zip_mut_with(&kept, |rim, kept| *rim *= 1.0 - kept);
    };
    let places = |points: &[usize]| points.iter().map(|i| place(*i)).collect::<Vec<CropPx>>();
    without(scaled(&places(&mesh::OVAL_BELOW_BROWS), INSIDE));
    let eyes = [0, 1].map(|eye| places(&[&LIDS[eye][..], &EYE_CORNERS[eye]].concat()));
    let brows = [0, 1].map(|eye| places(&[BROWS_TOP[eye], BROWS_BOTTOM[eye]].concat()));
    for (eye, brow) in eyes.iter().zip(&brows) {
        without([&eye[..], brow].concat());
    }
    let brows = enlarged(brows, BROW_ROOM);
    for polygon in enlarged(eyes, EYE_ROOM).into_iter().chain(brows.clone()) {
        without(polygon);
    }
    without(scaled(&places(&[&UPPER_LIP[..], &LOWER_LIP].concat()), MOUTH_ROOM));
    // Where there is a rim, it becomes hair; below the mouth there is none.
    for (y, (mut row, luma)) in rim.outer_iter_mut().zip(luma.outer_iter()).enumerate() {
        if y as f64 > mouth {
            row.fill(0.0);
        }
        for (x, (rim, luma)) in row.iter_mut().zip(luma).enumerate().filter(|(_, (rim, _))| **rim != 0.0) {
            *rim *= 1.0 - decided(luma / between(skin, x as f64).max(0.02), DARK, DOUBT);
        }
    }
    hanging_in(&mut rim, &outline);
    for brow in &brows {
        without_top(&mut rim, &coverage(&convex_hull(brow), side).mapv(|share| share > 0.5));
    }
    Some(Map { values: softened(&rim).mapv(|hair| 1.0 - hair), alignment })
}

/// Takes what is dark without a way to the outline out of the hair: shadows below the eyes and between the brows, moles.
fn hanging_in(hair: &mut Array2<f32>, outline: &Array2<f32>) {
    /// Pixels of the outline's inside that count as its edge.
    const EDGE: isize = 2;
    let (height, width) = hair.dim();
    let near = |at: usize, d: isize, end: usize| at.checked_add_signed(d).filter(|at| *at < end);
    let is_outside = |y: Option<usize>, x: Option<usize>| match (y, x) {
        (Some(y), Some(x)) => outline[[y, x]] < 0.5,
        _ => true,
    };
    let is_edge = |y: usize, x: usize| {
        [-EDGE, EDGE]
            .into_iter()
            .any(|d| is_outside(near(y, d, height), Some(x)) || is_outside(Some(y), near(x, d, width)))
    };
    let mut is_reached = Array2::from_elem([height, width], false);
    let edge = hair.indexed_iter().filter(|((y, x), hair)| **hair > SURE && is_edge(*y, *x));
    let mut open: Vec<(usize, usize)> = edge.map(|(place, _)| place).collect();
    open.iter().for_each(|place| is_reached[*place] = true);
    while let Some((y, x)) = open.pop() {
        for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
            let (Some(y), Some(x)) = (near(y, dy, height), near(x, dx, width)) else { continue };
            if hair[[y, x]] > SURE && !std::mem::replace(&mut is_reached[[y, x]], true) {
                open.push((y, x));
            }
        }
    }
    hair.zip_mut_with(&is_reached, |hair, is_reached| {
        if !is_reached {
            *hair = 0.0;
        }
    });
}

/// Takes what is dark right above a brow's region out of the hair, if there is skin above that again: a raised brow goes
/// beyond its points, and hair hangs down on it from the outline.
fn without_top(hair: &mut Array2<f32>, brow: &Array2<bool>) {
    let heights =
        brow.columns().into_iter().map(|column| column.iter().filter(|is_inside| **is_inside).count());
    let most = heights.max().unwrap_or(0);
    for (x, column) in brow.columns().into_iter().enumerate() {
        let Some(top) = column.iter().position(|is_inside| *is_inside) else { continue };
        let n_dark = (0..top).rev().take_while(|y| hair[[*y, x]] > SURE).count();
        if n_dark <= most {
            (top - n_dark..top).for_each(|y| hair[[y, x]] = 0.0);
        }
    }
}

/// Median luma of a few pixels around a place.
fn around(luma: &Array2<f32>, place: CropPx) -> f32 {
    const REACH: isize = 4;
    let side = luma.dim().0 as isize;
    let inside = |v: f64, d: isize| (v as isize + d).clamp(0, side - 1) as usize;
    let mut values: Vec<f32> = (-REACH..=REACH)
        .flat_map(|dy| (-REACH..=REACH).map(move |dx| (dx, dy)))
        .map(|(dx, dy)| luma[[inside(place.y, dy), inside(place.x, dx)]])
        .collect();
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

/// The skin's luma at `x`: a straight line between both cheeks, level beyond them.
fn between([(x0, a), (x1, b)]: [(f64, f32); 2], x: f64) -> f32 {
    let part = if (x1 - x0).abs() < 1.0 { 0.5 } else { ((x - x0) / (x1 - x0)).clamp(0.0, 1.0) };
    a + part as f32 * (b - a)
}

/// Two polygons with as much room around each as the larger of the two has at `factor` times its size.
fn enlarged(both: [Vec<CropPx>; 2], factor: f64) -> [Vec<CropPx>; 2] {
    let extent = |along: fn(&CropPx) -> f64| {
        let of = |polygon: &Vec<CropPx>| {
            let range =
                polygon.iter().map(along).fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
            range.1 - range.0
        };
        both.iter().map(of).fold(0.0, f64::max)
    };
    let (dx, dy) = (0.5 * (factor - 1.0) * extent(|p| p.x), 0.5 * (factor - 1.0) * extent(|p| p.y));
    let corners = [(-dx, -dy), (-dx, dy), (dx, -dy), (dx, dy)];
    both.map(|polygon| {
        let around = |p: &CropPx| corners.map(|(dx, dy)| CropPx { x: p.x + dx, y: p.y + dy });
        polygon.iter().flat_map(around).collect()
    })
}

/// The mean over 3 x 3 pixels, the border going on outside.
fn softened(plane: &Array2<f32>) -> Array2<f32> {
    let side = plane.dim().0;
    let mut out = Array2::zeros([side, side]);
    // Rows with a pixel more at both ends.
    let mut rows = vec![vec![0.0; side + 2]; 3];
    for (y, mut out) in out.outer_iter_mut().enumerate() {
        for (row, y) in rows.iter_mut().zip([y.saturating_sub(1), y, (y + 1).min(side - 1)]) {
            let from = plane.row(y);
            row[1..=side].iter_mut().zip(from).for_each(|(to, v)| *to = *v);
            (row[0], row[side + 1]) = (row[1], row[side]);
        }
        for row in &rows {
            for (out, near) in out.iter_mut().zip(row.windows(3)) {
                near.iter().for_each(|v| *out += v);
            }
        }
        out.mapv_inplace(|sum| sum / 9.0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hair_hangs_in_from_the_outline_and_shadows_within_the_face_are_none() {
        let outline = Array2::from_shape_fn([64, 64], |(y, x)| {
            let (dy, dx) = (y as f32 - 31.5, x as f32 - 31.5);
            if dy * dy + dx * dx < 28.0 * 28.0 { 1.0 } else { 0.0 }
        });
        let dark = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
            let mut hair = Array2::zeros([64, 64]);
            hair.slice_mut(ndarray::s![rows, columns]).fill(0.8_f32);
            &hair * &outline
        };
        let left = |mut hair: Array2<f32>| {
            let before = hair.sum();
            hanging_in(&mut hair, &outline);
            hair.sum() / before
        };
        assert_eq!(left(dark(34..38, 18..28)), 0.0, "a shadow below an eye");
        assert_eq!(left(dark(0..30, 30..32)), 1.0, "a strand from above");
        assert_eq!(left(dark(20..44, 0..9)), 1.0, "hair beside a cheek");
        let both = dark(34..38, 18..28) + dark(0..20, 40..44);
        let strand = dark(0..20, 40..44).sum() / both.sum();
        assert!((left(both) - strand).abs() < 1e-6, "one of each");
    }

    #[test]
    fn the_top_of_a_raised_brow_is_no_hair_but_what_hangs_down_on_it_is() {
        let mut brow = Array2::from_elem([64, 64], false);
        brow.slice_mut(ndarray::s![30..36, 20..40]).fill(true);
        let after = |dark: &[(std::ops::Range<usize>, std::ops::Range<usize>)]| {
            let mut hair = Array2::zeros([64, 64]);
            for (rows, columns) in dark {
                hair.slice_mut(ndarray::s![rows.clone(), columns.clone()]).fill(0.8_f32);
            }
            let before = hair.sum();
            without_top(&mut hair, &brow);
            (before, hair.sum())
        };
        let (before, left) = after(&[(26..30, 22..38), (0..64, 39..48)]);
        assert!(
            (before - left - 0.8 * 4.0 * 16.0).abs() < 1e-3,
            "the brow's top, and not the hair beside it: {left}"
        );
        for (what, dark) in [
            ("a strand", (0..30, 25..28)),
            ("the hair line", (0..12, 0..64)),
            ("beside it", (26..30, 44..50)),
        ] {
            let (before, left) = after(&[dark]);
            assert_eq!(before, left, "{what}");
        }
    }
}
