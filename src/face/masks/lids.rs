//! Shut eyes: the target's lids stay.
//!
//! Few pictures of a training show shut eyes, and a network that has seen a face look keeps it looking: on real people new
//! faces blinked by a tenth of what the old ones did. A shut lid tells next to nothing of who somebody is. So while an eye
//! of the target is shut its lids are seen, as far around as the new eye reaches.

use ndarray::Array2;

use super::{Map, SIDE, decided};
use crate::{
    face::{
        guides::{LIDS_SHUT, lid_gap},
        hull::{coverage, scaled},
        mesh::{self, BROWS_BOTTOM, EYE_CORNERS, LIDS},
    },
    frame::{CropPx, FramePx, Similarity},
};

/// The gap between the lids, over the width of the eye, from which on nothing is left to the target: eyes that look down
/// or squint have 0.1 to 0.17, and are the new face's.
const OPEN: f64 = 0.13;
/// How far what is left to the target reaches to the sides, up and down from its middle, in widths of the eye.
const REACH: [f64; 3] = [0.72, 0.42, 0.34];
/// Share of the way up to the brow that it takes at most: in a wink the brow comes down to the lids..
const TO_BROW: f64 = 0.75;
/// ..which stay to this height, in widths of the eye.
const LEAST_ABOVE: f64 = 0.15;
/// How far its middle lies above the lower lid: where the new eye is open.
const ABOVE: f64 = 0.1;
/// Sizes of the region between which it fades.
const SIZES: [f64; 5] = [1.0, 0.92, 0.84, 0.76, 0.68];
/// Points of its outline.
const N_POINTS: usize = 24;

/// What is left to a new face beside the old one's shut eyes, over the crop of `alignment` whose side is [`SIDE`]; `None`
/// where both are open.
pub(super) fn look(points: &[FramePx], alignment: &Similarity) -> Option<Map> {
    if points.len() < mesh::N_POINTS {
        return None;
    }
    let at = |point: usize| alignment.to_crop(points[point]);
    let eyes = [0, 1].map(|eye| (EYE_CORNERS[eye].map(at), LIDS[eye].map(at), BROWS_BOTTOM[eye].map(at)));
    let gaps = eyes.map(|(corners, lids, _)| lid_gap(corners, &lids));
    let mut left = Array2::<f32>::ones([SIDE, SIDE]);
    let mut is_shut = false;
    for ((corners, lids, brow), gap) in eyes.into_iter().zip(gaps) {
        // In a blink both close, and one that is measured a little later than the other would wink.
        let gap = gap.min(0.5 * (gaps[0] + gaps[1])) as f32;
        let (shut, open) = (LIDS_SHUT as f32, OPEN as f32);
        let share = 1.0 - decided(gap, 0.5 * (shut + open), open - shut);
        if share.is_nan() || share <= 0.0 {
            continue;
        }
        is_shut = true;
        let outline = outline(corners, &lids[lids.len() / 2..], &brow);
        let mut inside = Array2::<f32>::zeros([SIDE, SIDE]);
        SIZES.iter().for_each(|size| inside += &coverage(&scaled(&outline, *size), SIDE));
        left.zip_mut_with(&inside, |left, inside| *left *= 1.0 - share * inside / SIZES.len() as f32);
    }
    is_shut.then_some(Map { values: left, alignment: *alignment })
}

/// An ellipse along the corners of an eye, a little above its lower lid, whose upper half ends below the brow.
fn outline(corners: [CropPx; 2], lower: &[CropPx], brow: &[CropPx]) -> Vec<CropPx> {
    // To the right in the picture: both eyes' corners are listed from there to here or the other way round.
    let [a, b] = if corners[0].x < corners[1].x { corners } else { [corners[1], corners[0]] };
    let (along_x, along_y) = (b.x - a.x, b.y - a.y);
    let n = lower.len().max(1) as f64;
    let (x, y) = lower.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.x / n, sum.1 + p.y / n));
    let (x, y) = (x + ABOVE * along_y, y - ABOVE * along_x);
    let square = (along_x * along_x + along_y * along_y).max(1e-12);
    let heights = brow.iter().map(|p| ((x - p.x) * -along_y + (y - p.y) * along_x) / square);
    let up = (TO_BROW * heights.fold(f64::INFINITY, f64::min)).clamp(LEAST_ABOVE, REACH[1]);
    let point = |i: usize| {
        let (sin, cos) = (std::f64::consts::TAU * i as f64 / N_POINTS as f64).sin_cos();
        let (right, down) = (REACH[0] * cos, sin * if sin < 0.0 { up } else { REACH[2] });
        CropPx { x: x + right * along_x - down * along_y, y: y + right * along_y + down * along_x }
    };
    (0..N_POINTS).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Similarity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    /// A face whose eyes, 40 wide, lie 60 from each other around (128, 100), open by `gaps` of their width.
    fn face(gaps: [f64; 2]) -> Vec<FramePx> {
        let mut points = vec![FramePx { x: 128.0, y: 150.0 }; mesh::N_POINTS];
        for (eye, middle) in [68.0, 188.0].into_iter().enumerate() {
            for (corner, x) in EYE_CORNERS[eye].iter().zip([middle - 20.0, middle + 20.0]) {
                points[*corner] = FramePx { x, y: 100.0 };
            }
            // From corner to corner and back; the first list begins at the outer corner, the second one, too.
            let side = if eye == 0 { 1.0 } else { -1.0 };
            for (i, point) in LIDS[eye].iter().enumerate() {
                let (step, is_upper) = if i < 7 { (i as f64 - 3.0, true) } else { (10.0 - i as f64, false) };
                let up = if is_upper { 40.0 * gaps[eye] } else { 0.0 };
                points[*point] = FramePx { x: middle + side * 5.0 * step, y: 100.0 - up };
            }
            for (i, point) in BROWS_BOTTOM[eye].iter().enumerate() {
                points[*point] = FramePx { x: middle - 16.0 + 8.0 * i as f64, y: 68.0 };
            }
        }
        points
    }

    fn left(gaps: [f64; 2]) -> Option<Array2<f32>> {
        look(&face(gaps), &WHOLE).map(|map| map.values)
    }

    #[test]
    fn a_shut_eye_is_left_to_the_target_and_an_open_one_to_the_new_face() {
        assert_eq!(left([0.3, 0.2]), None);
        let wink = left([0.05, 0.3]).expect("a shut eye");
        assert!(wink[[96, 68]] < 1e-3 && wink[[96, 188]] == 1.0);
        for ((y, x), v) in wink.indexed_iter() {
            let (dx, dy) = ((x as f64 + 0.5 - 68.0) / 28.8, (y as f64 + 0.5 - 96.0) / 16.8);
            assert!((0.0..=1.0).contains(v) && (*v > 0.999 || dx.hypot(dy) < 1.06), "{v} at ({x}, {y})");
        }
        let up: Vec<f32> = (76..97).rev().map(|y| wink[[y, 68]]).collect();
        assert!(up.windows(2).all(|w| w[1] >= w[0] && w[1] - w[0] < 0.25), "it fades without a step: {up:?}");
    }

    #[test]
    fn a_brow_that_comes_down_stays_out() {
        let at = |height: f64, y: usize| {
            let mut points = face([0.05, 0.3]);
            for (i, point) in BROWS_BOTTOM[0].iter().enumerate() {
                points[*point] = FramePx { x: 52.0 + 8.0 * i as f64, y: 100.0 - 40.0 * height };
            }
            look(&points, &WHOLE).expect("a shut eye").values[[y, 68]]
        };
        assert!(at(0.8, 85) < 0.6 && at(0.3, 85) == 1.0, "{} {}", at(0.8, 85), at(0.3, 85));
        // The lids stay, wherever the brow is.
        assert!([0.8, 0.3, 0.1, -0.5].into_iter().all(|height| at(height, 97) < 1e-3));
    }

    #[test]
    fn both_eyes_blink_together_and_one_winks_alone() {
        let at = |gaps: [f64; 2]| left(gaps).map_or([1.0; 2], |left| [left[[96, 68]], left[[96, 188]]]);
        let [right, left] = at([0.13, 0.08]);
        assert!(right < 0.7 && left < 0.1, "{right} {left}");
        let [right, left] = at([0.32, 0.05]);
        assert!(right == 1.0 && left < 1e-3, "{right} {left}");
    }

    #[test]
    fn an_eye_closes_without_a_jump() {
        let of = |i: u32| left([0.16 - 0.005 * f64::from(i), 0.3]).map_or(1.0, |left| left[[96, 68]]);
        let middle: Vec<f32> = (0..=16).map(of).collect();
        assert!(middle.windows(2).all(|w| w[1] <= w[0] && w[0] - w[1] < 0.25), "{middle:?}");
        assert!(middle[0] == 1.0 && middle[16] < 0.01, "{middle:?}");
    }

    #[test]
    fn what_is_no_face_has_no_eyes() {
        assert!(look(&[FramePx::default(); 4], &WHOLE).is_none());
        for x in [f64::NAN, f64::INFINITY] {
            assert!(look(&vec![FramePx { x, y: 3.0 }; mesh::N_POINTS], &WHOLE).is_none());
        }
        if let Some(map) = look(&vec![FramePx { x: 3.0, y: 3.0 }; mesh::N_POINTS], &WHOLE) {
            assert!(map.values.iter().all(|v| *v == 1.0), "eyes without extent hide nothing");
        }
    }
}
