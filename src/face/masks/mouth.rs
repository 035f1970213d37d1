//! The inside of an open mouth: teeth and tongue stay the target's, where the new face shows none.
//!
//! A network that has seen few teeth draws a dark gap, and how far the lips are apart, which is nearly all that it has to
//! go by, doesn't say where the tongue is. Both belong to what is being said, and stand in the light of the scene. Where
//! they are needs no search: the inner edge of the lips is among the face's points. Only the dark gap is filled. So teeth
//! that a network draws stay, and lips that it draws elsewhere than the old ones aren't painted over.

use ndarray::{Array2, Array3};

use super::{Map, SIDE, decided, luma};
use crate::{
    blend::mask::least_around,
    face::{
        hull::{coverage, scaled},
        mesh::{self, CHEEKS, MOUTH},
    },
    frame::{CropPx, FramePx, NewFace, Similarity},
};

/// Places in [`MOUTH`] of its corners, and of the middles of its upper and lower edge.
const ENDS: [usize; 4] = [0, 10, 5, 15];
/// A mouth is shut when its height is a smaller share of its width than this..
const SHUT: f32 = 0.08;
/// ..and open from this on.
const OPEN: f32 = 0.2;
/// Sizes of the outline between which the old mouth fades: lips aren't found to the pixel, and their edge would be seen in
/// the gap.
const SIZES: [f64; 4] = [0.95, 0.85, 0.75, 0.65];
/// How far a gap is filled beyond its edge, share of the crop's side: old teeth that stand a little higher or lower than
/// the new lips leave room for would else be cut to a thread.
const BEYOND: f32 = 0.012;
/// A gap has less than this share of the cheeks' luma; lips have 0.45 and more..
const DARK: f32 = 0.3;
/// ..and what has this much more or less of it is in doubt.
const DOUBT: f32 = 0.2;
/// Where the gap is a smaller share of the old mouth's inside, the new one shows something else, or lies elsewhere, and pieces
/// of teeth beside it would be seen..
const EMPTY: f32 = 0.55;
/// ..and what is this much more or less is in doubt.
const UNSURE: f32 = 0.3;

/// What is left to a new face over its crop beside the old one's mouth; `None` where it is all.
pub(super) fn look(face: &NewFace) -> Option<Map> {
    let points = &face.face.points;
    if points.len() < mesh::N_POINTS {
        return None;
    }
    let alignment = face.alignment_at(SIDE);
    let mut filled = inside(points, &alignment)?;
    let whole = filled.sum();
    gap(&face.pixels, &face.alignment, points)?.multiply(&mut filled, &alignment);
    let emptiness = decided(filled.sum() / whole, EMPTY, UNSURE);
    (emptiness > 0.0).then(|| Map { values: filled.mapv_into(|filled| 1.0 - emptiness * filled), alignment })
}

/// How much of each pixel of the crop of `alignment` is inside of an open mouth; `None` when it is shut.
fn inside(points: &[FramePx], alignment: &Similarity) -> Option<Array2<f32>> {
    let ring = MOUTH.map(|point| alignment.to_crop(points[point]));
    let openness = openness(&ring);
    if openness == 0.0 {
        return None;
    }
    let mut inside = Array2::<f32>::zeros([SIDE, SIDE]);
    for size in SIZES {
        inside += &coverage(&scaled(&ring, size), SIDE);
    }
    Some(inside * (openness / SIZES.len() as f32))
}

/// Whether a mouth is open: 0 for a shut one, 1 for an open one.
fn openness(ring: &[CropPx; MOUTH.len()]) -> f32 {
    let [right, left, top, bottom] = ENDS.map(|i| ring[i]);
    let apart = |a: CropPx, b: CropPx| (a.x - b.x).hypot(a.y - b.y);
    let ratio = (apart(top, bottom) / apart(right, left)) as f32;
    if ratio.is_finite() { decided(ratio, 0.5 * (SHUT + OPEN), OPEN - SHUT) } else { 0.0 }
}

/// Where a new face, `[3, side, side]`, is as dark as a gap between lips; `None` when its cheeks aren't lit or no numbers.
fn gap(pixels: &Array3<f32>, alignment: &Similarity, points: &[FramePx]) -> Option<Map> {
    let factor = (pixels.dim().2 / SIDE).max(1);
    let (luma, alignment) = (luma(pixels, factor), alignment.scaled(1.0 / factor as f64));
    let at = |point: usize| {
        let place = alignment.to_crop(points[point]);
        luma.get((place.y.max(0.0) as usize, place.x.max(0.0) as usize)).copied().unwrap_or(0.0)
    };
    let skin = 0.5 * (at(CHEEKS[0]) + at(CHEEKS[1]));
    if skin.is_nan() || skin < 0.02 {
        return None;
    }
    let side = luma.dim().1;
    let around = least_around(luma.as_slice()?, side, (BEYOND * side as f32).round() as usize);
    let is_dark = |luma: f32| 1.0 - decided(luma / skin, DARK, DOUBT);
    let values = Array2::from_shape_vec([side, side], around).ok()?.mapv_into(is_dark);
    Some(Map { values, alignment })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Face;

    const WHOLE: Similarity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    /// A face whose mouth, 60 wide, has its middle at (100, 100) and is `height` high there. The new one is light but for
    /// a gap to the left of column 110.
    fn face(height: f64) -> NewFace {
        let mut points = vec![FramePx { x: 100.0, y: 60.0 }; mesh::N_POINTS];
        for (i, point) in MOUTH.iter().enumerate() {
            let (sin, cos) = (std::f64::consts::PI * i as f64 / 10.0).sin_cos();
            points[*point] = FramePx { x: 100.0 - 30.0 * cos, y: 100.0 - 0.5 * height * sin };
        }
        let shade = |(_, y, x): (usize, usize, usize)| {
            if (85..115).contains(&y) && x < 110 { 0.03 } else { 0.6 }
        };
        let pixels = Array3::from_shape_fn((3, SIDE, SIDE), shade);
        NewFace {
            face: Face::new(0, points, 1.0),
            alignment: WHOLE,
            target: pixels.clone(),
            pixels,
            mask: None,
            visible: None,
            rims: None,
            grade: None,
        }
    }

    fn left(face: &NewFace) -> Option<Array2<f32>> {
        look(face).map(|map| map.values)
    }

    #[test]
    fn a_gap_is_filled_inside_of_the_old_lips_alone() {
        let left = left(&face(24.0)).expect("an open mouth");
        assert!(left[[99, 99]] < 1e-3, "its middle is left to the target: {}", left[[99, 99]]);
        for ((y, x), v) in left.indexed_iter() {
            let (dx, dy) = ((x as f64 + 0.5 - 100.0) / 30.0, (y as f64 + 0.5 - 100.0) / 12.0);
            assert!((0.0..=1.0).contains(v) && (*v > 0.999 || dx.hypot(dy) < 1.05), "{v} at ({x}, {y})");
            assert!(x < 116 || *v > 0.999, "what the new face shows there stays: {v} at ({x}, {y})");
        }
        // Downwards from the middle it fades to the lips without a step.
        let down: Vec<f32> = (99..115).map(|y| left[[y, 99]]).collect();
        assert!(down.windows(2).all(|w| w[1] >= w[0] && w[1] - w[0] < 0.35), "{down:?}");
    }

    #[test]
    fn a_shut_mouth_is_left_to_the_new_face_and_opens_without_a_jump() {
        assert_eq!(left(&face(3.0)), None);
        let of = |height: i32| left(&face(f64::from(height))).map_or(1.0, |left| left[[100, 99]]);
        let middle: Vec<f32> = (4..=14).map(of).collect();
        assert!(middle.windows(2).all(|w| w[1] <= w[0] && w[0] - w[1] < 0.3), "{middle:?}");
        assert!(middle[0] == 1.0 && middle[10] < 0.01, "{middle:?}");
    }

    #[test]
    fn what_is_no_face_has_no_mouth() {
        let with = |points| left(&NewFace { face: Face::new(0, points, 1.0), ..face(24.0) });
        assert_eq!(with(vec![FramePx::default(); 4]), None);
        assert_eq!(with(vec![FramePx { x: 3.0, y: 3.0 }; mesh::N_POINTS]), None);
        assert_eq!(with(vec![FramePx { x: f64::NAN, y: 3.0 }; mesh::N_POINTS]), None);
        for light in [0.01, f32::NAN] {
            let face = face(24.0);
            assert_eq!(left(&NewFace { pixels: &face.pixels * light, ..face }), None);
        }
    }
}
