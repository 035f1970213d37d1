//! Was this face put into its picture? A network that looks for the seam.
//!
//! It is trained on faces that were blended into themselves and on faces that weren't (`faceswap train-labels seam`),
//! the idea of Face X-ray (Li et al. 2020): it has never seen a swap, and needs neither the target nor a mask.

use std::path::Path;

use ndarray::{Array2, ArrayD};

use super::{
    align::{DEFAULT_MARGIN, Template, align},
    look::{look, open},
};
use crate::{
    Error, Result,
    frame::{CropPx, FramePx, Similarity},
    nn::{Network, Runtime},
    video::Picture,
};

const NAME: &str = "seam_128.onnx";
const NETWORK: &[u8] = include_bytes!("../../models/seam_128.onnx");

/// Side of the network's picture, the aligned crop of a face.
const SIDE: usize = 128;
/// Side of its map.
const MAP_SIDE: usize = 64;

/// The network with its session.
#[derive(Debug)]
pub struct SeamDetector {
    network: Network,
}

/// What it says of a face.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// S4: how sure it is that the face was put in, 0..=1.
    pub score: f64,
    /// Where the seam runs, 0..=1: 1 where new and old are mixed half and half.
    map: Array2<f32>,
    /// From the frame to pixels of the map.
    alignment: Similarity,
}

impl SeamDetector {
    /// With the network in the file `path`, or the program's.
    ///
    /// # Errors
    /// [`Error::BadModel`] when the file holds none.
    pub fn new(runtime: &Runtime, path: Option<&Path>) -> Result<Self> {
        Ok(Self { network: open(runtime, path, (NAME, NETWORK), "seam", (SIDE, MAP_SIDE))? })
    }

    /// Looks at the face with these mesh points.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn look(&mut self, picture: &Picture, points: &[FramePx]) -> Result<Verdict> {
        let alignment = align(points, &Template::default(), DEFAULT_MARGIN, SIDE);
        let outputs = look(&mut self.network, picture, &alignment, SIDE)?;
        let wrong = || Error::model("the seam network", "gave no map and no score");
        let [map, score] = &outputs[..] else { return Err(wrong()) };
        let score = score.iter().next().copied().map(f64::from).ok_or_else(wrong)?;
        let plane = |map: &ArrayD<f32>| Some(map.to_shape((MAP_SIDE, MAP_SIDE)).ok()?.to_owned());
        let map = plane(map).ok_or_else(wrong)?;
        Ok(Verdict { score, map, alignment: alignment.scaled(MAP_SIDE as f64 / SIDE as f64) })
    }
}

impl Verdict {
    /// How much of a seam there is at a point of the frame, 0..=1; 0 outside what was looked at.
    pub fn at(&self, p: FramePx) -> f32 {
        let CropPx { x, y } = self.alignment.to_crop(p);
        let (x, y) = (x - 0.5, y - 0.5);
        let last = (MAP_SIDE - 1) as f64;
        if !(0.0..=last).contains(&x) || !(0.0..=last).contains(&y) {
            return 0.0;
        }
        let (i, j) = ((x as usize).min(MAP_SIDE - 2), (y as usize).min(MAP_SIDE - 2));
        let (u, v) = ((x - i as f64) as f32, (y - j as f64) as f32);
        let row = |j: usize| self.map[[j, i]] * (1.0 - u) + self.map[[j, i + 1]] * u;
        row(j) * (1.0 - v) + row(j + 1) * v
    }

    /// The corners of the square of the frame that was looked at.
    pub fn corners(&self) -> [FramePx; 4] {
        let side = MAP_SIDE as f64;
        [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)]
            .map(|(x, y)| self.alignment.to_frame(CropPx { x, y }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_lies_where_the_face_is() {
        let map = Array2::from_shape_fn([MAP_SIDE, MAP_SIDE], |(_, x)| if x < 32 { 0.0 } else { 1.0 });
        let alignment = Similarity { a: 0.5, b: 0.0, tx: -50.0, ty: -20.0 };
        let verdict = Verdict { score: 0.7, map, alignment };
        let at = |x: f64, y: f64| verdict.at(FramePx { x, y });
        assert_eq!((at(110.0, 60.0), at(220.0, 60.0)), (0.0, 1.0));
        assert!((at(164.0, 60.0) - 0.5).abs() < 1e-6, "between the two halves");
        assert_eq!((at(90.0, 60.0), at(150.0, 300.0)), (0.0, 0.0), "outside");
        let corners = verdict.corners().map(|p| (p.x, p.y));
        assert_eq!(corners, [(100.0, 40.0), (228.0, 40.0), (228.0, 168.0), (100.0, 168.0)]);
    }
}
