//! Finding palms: MediaPipe's palm detector.

use ndarray::{Axis, Ix3};

use crate::{
    Error, Result,
    face::{landmark::Region, look::look},
    frame::{CropPx, FramePx},
    nn::{Network, Runtime},
    video::Picture,
};

pub(super) const NAME: &str = "palm_detection_192.onnx";
pub(super) const NETWORK: &[u8] = include_bytes!("../../../models/palm_detection_192.onnx");

/// Side of the network's picture.
const SIDE: usize = 192;
/// Cells to a side and anchors in each: strides of 8 and of 16 pixels.
const GRIDS: [(usize, usize); 2] = [(24, 2), (12, 6)];
/// Least score; the network's own.
const THRESHOLD: f32 = 0.5;
/// A hand's square over the palm's box, and how far it is moved towards the fingers: as in MediaPipe's hand graph.
const ENLARGE: f64 = 2.6;
const TOWARDS_FINGERS: f64 = 0.5;

/// The palm detector with its session.
#[derive(Debug)]
pub struct Palms {
    network: Network,
}

impl Palms {
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime) -> Result<Self> {
        Ok(Self { network: runtime.network(NAME, NETWORK)? })
    }

    /// The squares of the hands within `region`, fingers up, each hand once.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn find(&mut self, picture: &Picture, region: &Region) -> Result<Vec<Region>> {
        let alignment = region.alignment_to(SIDE);
        let outputs = look(&mut self.network, picture, &alignment, SIDE)?;
        let wrong = || Error::model(NAME, "has not the outputs of models/README.md");
        let [boxes, logits] = &outputs[..] else { return Err(wrong()) };
        let boxes = boxes.view().into_dimensionality::<Ix3>().map_err(|_| wrong())?;
        let logits = logits.view().into_dimensionality::<Ix3>().map_err(|_| wrong())?;
        if boxes.dim() != (1, anchors().count(), 18) || logits.len() != anchors().count() {
            return Err(wrong());
        }
        let mut palms: Vec<(f32, Region)> = Vec::new();
        for ((anchor, numbers), logit) in
            anchors().zip(boxes.index_axis(Axis(0), 0).outer_iter()).zip(logits.iter())
        {
            let score = 1.0 / (1.0 + (-logit.clamp(-80.0, 80.0)).exp());
            if score < THRESHOLD {
                continue;
            }
            let at = |k: usize| CropPx {
                x: f64::from(numbers[k]) + anchor.0,
                y: f64::from(numbers[k + 1]) + anchor.1,
            };
            let side = f64::from(numbers[2].max(numbers[3])) / alignment.scale();
            let [centre, wrist, knuckle] = [at(0), at(4), at(8)].map(|p| alignment.to_frame(p));
            palms.push((score, hand_square(centre, side, wrist, knuckle)));
        }
        Ok(each_once(palms))
    }
}

/// The middles of the anchors' cells, network pixels, in the network's order.
fn anchors() -> impl Iterator<Item = (f64, f64)> {
    GRIDS.into_iter().flat_map(|(grid, n_each)| {
        let cell = SIDE as f64 / grid as f64;
        (0..grid * grid * n_each).map(move |i| {
            let i = i / n_each;
            (((i % grid) as f64 + 0.5) * cell, ((i / grid) as f64 + 0.5) * cell)
        })
    })
}

/// The square of a whole hand from its palm's box and the way from the wrist to the middle finger's knuckle.
fn hand_square(centre: FramePx, side: f64, wrist: FramePx, knuckle: FramePx) -> Region {
    let (dx, dy) = (knuckle.x - wrist.x, knuckle.y - wrist.y);
    let length = dx.hypot(dy).max(1e-9);
    let step = TOWARDS_FINGERS * side / length;
    Region {
        centre: FramePx { x: centre.x + step * dx, y: centre.y + step * dy },
        side: ENLARGE * side,
        // The fingers point up, so the upper edge runs a quarter turn clockwise from them.
        angle: dx.atan2(-dy),
    }
}

/// The best of squares that lie on each other.
fn each_once(mut palms: Vec<(f32, Region)>) -> Vec<Region> {
    palms.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut kept: Vec<Region> = Vec::new();
    for (_, palm) in palms {
        let is_new = |other: &Region| {
            let apart = (palm.centre.x - other.centre.x).hypot(palm.centre.y - other.centre.y);
            apart > 0.35 * palm.side.max(other.side)
        };
        if kept.iter().all(is_new) {
            kept.push(palm);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_anchor_for_every_answer() {
        let all: Vec<_> = anchors().collect();
        assert_eq!(all.len(), 2016);
        assert_eq!((all[0], all[1], all[2]), ((4.0, 4.0), (4.0, 4.0), (12.0, 4.0)));
        assert_eq!((all[1152], all[2015]), ((8.0, 8.0), (184.0, 184.0)));
    }

    #[test]
    fn the_fingers_of_a_hand_point_up_in_its_square() {
        // A hand that points to the right.
        let at = |x: f64, y: f64| FramePx { x, y };
        let square = hand_square(at(100.0, 50.0), 20.0, at(90.0, 50.0), at(110.0, 50.0));
        assert!((square.centre.x - 110.0).abs() < 1e-9 && (square.side - 52.0).abs() < 1e-9);
        let alignment = square.alignment_to(224);
        let (wrist, knuckle) = (alignment.to_crop(at(90.0, 50.0)), alignment.to_crop(at(110.0, 50.0)));
        assert!((wrist.x - knuckle.x).abs() < 1e-9 && knuckle.y < wrist.y, "{wrist:?} {knuckle:?}");
        let twice = vec![(0.6, square), (0.9, Region { side: 50.0, ..square })];
        assert_eq!(each_once(twice), [Region { side: 50.0, ..square }]);
    }
}
