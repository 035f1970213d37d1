//! What lies in front of a face, whatever it is: a network that was trained on drawn things.

use std::path::Path;

use image::{GrayImage, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};
use ndarray::Array2;

use super::{Map, decided, plane};
use crate::{
    Error, Result,
    face::{
        align::{DEFAULT_MARGIN, Template, align},
        look::{look, open},
        mesh,
    },
    frame::{CropPx, FramePx},
    nn::{Network, Runtime},
    video::Picture,
};

pub(super) const NAME: &str = "occlusion_128.onnx";
pub(super) const NETWORK: &[u8] = include_bytes!("../../../models/occlusion_128.onnx");

/// Side of the network's picture, the aligned crop of a face, and of its map.
const SIDE: usize = 128;

/// From what a pixel counts as covered, and over how much below and above that it does so more and more. Lower, more of thin
/// rims is found, but strong lashes are taken for them.
const SURE: f32 = 0.5;
const WIDTH: f32 = 0.4;

/// Half of the width and of the height of what belongs to an eye, its lashes and what is painted on its lid, in widths of the
/// eye; a little above its middle.
const AROUND_EYE: (f64, f64) = (0.95, 0.75);
const LIFTED: f64 = 0.15;

/// The network with its session.
#[derive(Debug)]
pub struct Occlusion {
    network: Network,
}

impl Occlusion {
    /// With the network in the file `path`, or the program's.
    ///
    /// # Errors
    /// [`Error::BadModel`] when the file holds none.
    pub fn new(runtime: &Runtime, path: Option<&Path>) -> Result<Self> {
        Ok(Self { network: open(runtime, path, (NAME, NETWORK), "occlusion", (SIDE, SIDE))? })
    }

    /// What of a face isn't covered.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn look(&mut self, picture: &Picture, points: &[FramePx]) -> Result<Map> {
        let alignment = align(points, &Template::default(), DEFAULT_MARGIN, SIDE);
        let outputs = look(&mut self.network, picture, &alignment, SIDE)?;
        let mut covered = plane(&outputs, SIDE)
            .ok_or_else(|| Error::model("the occlusion network", "gave no map"))?
            .mapv(|covered| decided(covered, SURE, WIDTH));
        let eyes = mesh::EYE_CORNERS.map(|eye| eye.map(|corner| alignment.to_crop(points[corner])));
        uncover_lashes(&mut covered, &eyes);
        Ok(Map { values: covered.mapv(|covered| 1.0 - covered), alignment })
    }
}

/// Takes away what lies around one of the eyes with these corners and nowhere else: strong lashes look like the rim of
/// glasses, but that goes on to a bridge or a temple, and a hand or a strand of hair comes from outside.
fn uncover_lashes(covered: &mut Array2<f32>, eyes: &[[CropPx; 2]]) {
    if covered.iter().all(|covered| *covered == 0.0) {
        return;
    }
    let (height, width) = covered.dim();
    let things = GrayImage::from_fn(width as u32, height as u32, |x, y| {
        Luma([u8::from(covered[[y as usize, x as usize]] > 0.0)])
    });
    let things = connected_components(&things, Connectivity::Eight, Luma([0]));
    let n_things = things.pixels().map(|thing| thing[0] as usize + 1).max().unwrap_or(1);
    for belongs in eyes.iter().filter_map(|eye| around(*eye)) {
        let mut reaches_out = vec![false; n_things];
        for (x, y, thing) in things.enumerate_pixels() {
            reaches_out[thing[0] as usize] |= !belongs(x, y);
        }
        for (x, y, thing) in things.enumerate_pixels() {
            if !reaches_out[thing[0] as usize] {
                covered[[y as usize, x as usize]] = 0.0;
            }
        }
    }
}

/// Whether a pixel belongs to the eye with these corners; `None` for an eye that isn't seen.
fn around([a, b]: [CropPx; 2]) -> Option<impl Fn(u32, u32) -> bool> {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let width = dx.hypot(dy);
    if width.is_nan() || width < 1.0 {
        return None;
    }
    let (dx, dy) = (dx / width, dy / width);
    // Along the eye and across it; corners may be given from right to left, but the lifted side is the upper one.
    let up = if dx < 0.0 { LIFTED } else { -LIFTED };
    Some(move |x: u32, y: u32| {
        let (x, y) = (f64::from(x) + 0.5 - 0.5 * (a.x + b.x), f64::from(y) + 0.5 - 0.5 * (a.y + b.y));
        let (along, across) = ((x * dx + y * dy) / width, (y * dx - x * dy) / width - up);
        (along / AROUND_EYE.0).hypot(across / AROUND_EYE.1) < 1.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a bar from one column to another, in the rows of the upper lid.
    fn left_of(columns: std::ops::Range<usize>, corners: [CropPx; 2]) -> f32 {
        let mut covered = Array2::zeros([SIDE, SIDE]);
        covered.slice_mut(ndarray::s![56..59, columns]).fill(1.0);
        uncover_lashes(&mut covered, &[corners]);
        covered.sum()
    }

    #[test]
    fn lashes_are_no_glasses() {
        let corners = [CropPx { x: 32.0, y: 62.0 }, CropPx { x: 48.0, y: 60.0 }];
        for corners in [corners, [corners[1], corners[0]]] {
            assert_eq!(left_of(30..50, corners), 0.0, "lashes");
            assert_eq!(left_of(30..60, corners), 90.0, "a rim that goes on to the bridge");
            assert_eq!(left_of(10..40, corners), 90.0, "a rim and its temple");
            assert_eq!(left_of(80..100, corners), 60.0, "something elsewhere");
        }
        let nowhere = CropPx { x: f64::NAN, y: 0.0 };
        assert_eq!(left_of(30..50, [nowhere, corners[0]]), 60.0);
    }
}
