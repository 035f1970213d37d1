//! Hands in front of a face: 21 joints of each (MediaPipe's hand landmarks), drawn as flesh around bones.

use std::ops::Range;

use ndarray::{Array2, s};

use super::palm::Palms;
use crate::{
    Error, Result,
    face::{landmark::Region, look::look},
    frame::{CropPx, FramePx, Similarity},
    nn::{Network, Runtime},
    video::Picture,
};

pub(super) const NAME: &str = "hand_landmark_224.onnx";
pub(super) const NETWORK: &[u8] = include_bytes!("../../../models/hand_landmark_224.onnx");

/// Side of the network's picture.
const SIDE: usize = 224;
/// Joints of a hand.
const N_JOINTS: usize = 21;
/// Least probability that there is a hand.
const PRESENCE: f32 = 0.5;
/// How much more than a face's region is searched.
const ENLARGE: f64 = 1.8;

/// The bones, from joint to joint.
const BONES: [(usize, usize); 20] = [
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 4),
    (0, 5),
    (5, 6),
    (6, 7),
    (7, 8),
    (0, 9),
    (9, 10),
    (10, 11),
    (11, 12),
    (0, 13),
    (13, 14),
    (14, 15),
    (15, 16),
    (0, 17),
    (17, 18),
    (18, 19),
    (19, 20),
];
/// The edge of the palm.
const PALM: [usize; 6] = [0, 1, 5, 9, 13, 17];
/// Flesh around the bones, and half the width of the arm, in lengths of the palm (wrist to middle knuckle).
const FLESH: f64 = 0.13;
const ARM: f64 = 0.3;
/// How far the arm is drawn beyond the wrist, in the same unit.
const ARM_LENGTH: f64 = 1.2;

/// The two hand networks with their sessions.
#[derive(Debug)]
pub struct Hands {
    palms: Palms,
    joints: Network,
}

/// The joints of one hand, frame pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Hand(Vec<FramePx>);

impl Hands {
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime) -> Result<Self> {
        Ok(Self { palms: Palms::new(runtime)?, joints: runtime.network(NAME, NETWORK)? })
    }

    /// The hands around a face.
    ///
    /// # Errors
    /// [`Error::Device`] when a network fails.
    pub fn look(&mut self, picture: &Picture, points: &[FramePx]) -> Result<Vec<Hand>> {
        let around = Region::from_points(points).enlarged(ENLARGE);
        let mut hands = Vec::new();
        for square in self.palms.find(picture, &around)? {
            hands.extend(self.hand(picture, &square)?);
        }
        Ok(hands)
    }

    fn hand(&mut self, picture: &Picture, square: &Region) -> Result<Option<Hand>> {
        let alignment = square.alignment_to(SIDE);
        let outputs = look(&mut self.joints, picture, &alignment, SIDE)?;
        let [joints, presence, ..] = &outputs[..] else { return Err(wrong_outputs()) };
        let joints: Vec<f32> = joints.iter().copied().collect();
        if joints.len() != 3 * N_JOINTS {
            return Err(wrong_outputs());
        }
        let is_there = presence.iter().next().is_some_and(|p| *p > PRESENCE);
        let to_frame = |p: &[f32]| alignment.to_frame(CropPx { x: f64::from(p[0]), y: f64::from(p[1]) });
        Ok(is_there.then(|| Hand(joints.chunks_exact(3).map(to_frame).collect())))
    }
}

fn wrong_outputs() -> Error {
    Error::model(NAME, "has not the outputs of models/README.md")
}

impl Hand {
    /// Takes the hand out of what is in view over the crop of `alignment`.
    pub fn cover(&self, visible: &mut Array2<f32>, alignment: &Similarity) {
        let joints: Vec<CropPx> = self.0.iter().map(|p| alignment.to_crop(*p)).collect();
        let (wrist, knuckle) = (joints[0], joints[9]);
        let unit = (knuckle.x - wrist.x).hypot(knuckle.y - wrist.y);
        if !unit.is_normal() {
            return;
        }
        let elbow = CropPx {
            x: wrist.x - ARM_LENGTH * (knuckle.x - wrist.x),
            y: wrist.y - ARM_LENGTH * (knuckle.y - wrist.y),
        };
        let palm = PALM.map(|i| joints[i]);
        let mut limbs: Vec<(CropPx, CropPx, f64)> =
            BONES.iter().map(|(a, b)| (joints[*a], joints[*b], FLESH * unit)).collect();
        limbs.extend((0..palm.len()).map(|i| (palm[i], palm[(i + 1) % palm.len()], FLESH * unit)));
        limbs.push((wrist, elbow, ARM * unit));
        let (height, width) = visible.dim();
        let (rows, columns) = (reach(&limbs, |p| p.y, height), reach(&limbs, |p| p.x, width));
        for ((y, x), to) in visible.slice_mut(s![rows.clone(), columns.clone()]).indexed_iter_mut() {
            let (y, x) = (y + rows.start, x + columns.start);
            let p = CropPx { x: x as f64 + 0.5, y: y as f64 + 0.5 };
            // How deep the pixel lies in the hand, pixels; below 0 outside.
            let depth = if is_inside(p, &palm) {
                f64::INFINITY
            } else {
                limbs
                    .iter()
                    .map(|(a, b, flesh)| flesh - distance(p, *a, *b))
                    .fold(f64::NEG_INFINITY, f64::max)
            };
            let covered = (0.5 + depth / 2.0).clamp(0.0, 1.0);
            *to *= 1.0 - covered as f32;
        }
    }
}

/// The pixels, of `length` in a row or column, that limbs can reach along an axis.
fn reach(limbs: &[(CropPx, CropPx, f64)], axis: impl Fn(&CropPx) -> f64, length: usize) -> Range<usize> {
    let ends = |(a, b, flesh): &(CropPx, CropPx, f64)| {
        (axis(a).min(axis(b)) - flesh - 1.0, axis(a).max(axis(b)) + flesh + 1.0)
    };
    let (low, high) = limbs
        .iter()
        .map(ends)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |all, of| (all.0.min(of.0), all.1.max(of.1)));
    let end = (high.max(0.0).ceil() as usize).min(length);
    (low.max(0.0) as usize).min(end)..end
}

/// Distance of a point to the way from `a` to `b`.
fn distance(p: CropPx, a: CropPx, b: CropPx) -> f64 {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let square = dx * dx + dy * dy;
    let t = if square > 0.0 { (((p.x - a.x) * dx + (p.y - a.y) * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
    (p.x - a.x - t * dx).hypot(p.y - a.y - t * dy)
}

/// Whether a point lies in a polygon: an odd number of its edges to the right.
fn is_inside(p: CropPx, polygon: &[CropPx]) -> bool {
    let mut is_inside = false;
    for (i, a) in polygon.iter().enumerate() {
        let b = &polygon[(i + 1) % polygon.len()];
        if (a.y <= p.y) != (b.y <= p.y) && p.x < a.x + (p.y - a.y) / (b.y - a.y) * (b.x - a.x) {
            is_inside = !is_inside;
        }
    }
    is_inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_covers_its_fingers_its_palm_and_its_arm() {
        // A flat hand with its wrist at (50, 80), fingers up, the palm 30 px long.
        let mut joints = vec![FramePx { x: 50.0, y: 80.0 }; N_JOINTS];
        for finger in 0..5 {
            let x = 34.0 + 8.0 * f64::from(finger);
            for joint in 0..4 {
                joints[1 + 4 * finger as usize + joint] = FramePx { x, y: 50.0 - 8.0 * joint as f64 };
            }
        }
        let alignment = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
        let mut visible = Array2::ones([128, 128]);
        Hand(joints).cover(&mut visible, &alignment);
        let at = |x: usize, y: usize| visible[[y, x]];
        assert_eq!((at(50, 60), at(50, 30), at(50, 105)), (0.0, 0.0, 0.0), "palm, finger, arm");
        assert_eq!((at(10, 60), at(50, 8), at(90, 60), at(20, 110)), (1.0, 1.0, 1.0, 1.0));
    }

    #[test]
    fn limbs_reach_as_far_as_their_flesh() {
        let at = |x: f64, y: f64| CropPx { x, y };
        let limbs = [(at(10.0, 5.0), at(20.0, -5.0), 3.0), (at(18.0, 2.0), at(30.0, 90.0), 2.0)];
        assert_eq!((reach(&limbs, |p| p.x, 128), reach(&limbs, |p| p.y, 64)), (6..33, 0..64));
        assert_eq!(reach(&limbs, |p| p.x - 100.0, 128), 0..0, "left of the grid");
        assert!(reach(&limbs, |p| p.x + 500.0, 128).is_empty(), "right of the grid");
    }

    #[test]
    fn points_are_told_apart_by_a_polygon() {
        let at = |x: f64, y: f64| CropPx { x, y };
        let triangle = [at(0.0, 0.0), at(10.0, 0.0), at(0.0, 10.0)];
        assert!(is_inside(at(2.0, 2.0), &triangle) && !is_inside(at(8.0, 8.0), &triangle));
        assert!((distance(at(5.0, 5.0), at(0.0, 0.0), at(10.0, 0.0)) - 5.0).abs() < 1e-9);
        assert!((distance(at(13.0, 4.0), at(0.0, 0.0), at(10.0, 0.0)) - 5.0).abs() < 1e-9);
    }
}
