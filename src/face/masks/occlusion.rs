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
        hull::{convex_hull, coverage, scaled},
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

/// How much larger than eye and brow together their region is, and than the lips that of the mouth.
const BROW_ROOM: f64 = 1.25;
const MOUTH_ROOM: f64 = 1.6;

/// What is covered by more than this belongs together with its neighbours.
const LINKED: f32 = 0.5;

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
        if covered.iter().any(|covered| *covered > 0.0) {
            let points: Vec<CropPx> = points.iter().map(|point| alignment.to_crop(*point)).collect();
            uncover(&mut covered, &features(&points));
        }
        Ok(Map { values: covered.mapv(|covered| 1.0 - covered), alignment })
    }
}

/// Where what belongs to each eye with its brow, and to the mouth, may lie: maps of the network's size. None where the
/// points are no mesh.
fn features(points: &[CropPx]) -> Vec<Array2<bool>> {
    if points.len() < mesh::N_POINTS {
        return Vec::new();
    }
    let within = |indices: &[usize], size: f64| {
        let polygon: Vec<CropPx> = indices.iter().map(|i| points[*i]).collect();
        coverage(&convex_hull(&scaled(&polygon, size)), SIDE).mapv(|share| share > 0.5)
    };
    let of_eye = |eye: usize| {
        let [top, bottom] = [mesh::BROWS_TOP[eye], mesh::BROWS_BOTTOM[eye]];
        let mut region = within(&[&top[..], &bottom, &mesh::LIDS[eye]].concat(), BROW_ROOM);
        if let Some(belongs) = around(mesh::EYE_CORNERS[eye].map(|corner| points[corner])) {
            region.indexed_iter_mut().for_each(|((y, x), here)| *here |= belongs(x as u32, y as u32));
        }
        region
    };
    let lips = [&mesh::UPPER_LIP[..], &mesh::LOWER_LIP].concat();
    vec![of_eye(0), of_eye(1), within(&lips, MOUTH_ROOM)]
}

/// Takes away what lies within one of the `regions` and nowhere else: strong lashes look like the rim of glasses, but
/// that goes on to a bridge or a temple; a dark brow looks like a strand of hair, teeth and the inside of a wide mouth like
/// a thing in front of it, but hair, hands and things come from outside.
fn uncover(covered: &mut Array2<f32>, regions: &[Array2<bool>]) {
    let (height, width) = covered.dim();
    let things = GrayImage::from_fn(width as u32, height as u32, |x, y| {
        Luma([u8::from(covered[[y as usize, x as usize]] > LINKED)])
    });
    let things = connected_components(&things, Connectivity::Eight, Luma([0]));
    let thing = |y: usize, x: usize| things.get_pixel(x as u32, y as u32)[0] as usize;
    let n_things = things.pixels().map(|thing| thing[0] as usize + 1).max().unwrap_or(1);
    for region in regions {
        // What is 0 is no thing, and so reaches nowhere.
        let mut reaches_out = vec![false; n_things];
        for ((y, x), _) in region.indexed_iter().filter(|(_, is_inside)| !**is_inside) {
            reaches_out[thing(y, x)] |= thing(y, x) > 0;
        }
        // The faint rim of a thing goes with it.
        let goes_on = |y: usize, x: usize| {
            let near = |at: usize, end: usize| at.saturating_sub(1)..(at + 2).min(end);
            near(y, height).any(|y| near(x, width).any(|x| reaches_out[thing(y, x)]))
        };
        for ((y, x), _) in region.indexed_iter().filter(|(_, is_inside)| **is_inside) {
            if covered[[y, x]] > 0.0 && !goes_on(y, x) {
                covered[[y, x]] = 0.0;
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

    /// What is left of a bar from one column to another, in the rows of the upper lid, where it lies around the eye with
    /// these corners.
    fn left_of(columns: std::ops::Range<usize>, corners: [CropPx; 2]) -> f32 {
        let mut covered = Array2::zeros([SIDE, SIDE]);
        covered.slice_mut(ndarray::s![56..59, columns]).fill(1.0);
        let mut region = Array2::from_elem([SIDE, SIDE], false);
        if let Some(belongs) = around(corners) {
            region.indexed_iter_mut().for_each(|((y, x), here)| *here = belongs(x as u32, y as u32));
        }
        uncover(&mut covered, &[region]);
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

    #[test]
    fn what_hangs_on_by_a_faint_pixel_does_not_reach_out_and_a_rim_goes_with_its_thing() {
        let mut region = Array2::from_elem([SIDE, SIDE], false);
        region.slice_mut(ndarray::s![40..60, 20..60]).fill(true);
        // A brow, whose end is joined to the hair by one pixel of doubt.
        let mut covered = Array2::zeros([SIDE, SIDE]);
        covered.slice_mut(ndarray::s![45..50, 30..55]).fill(0.9);
        covered.slice_mut(ndarray::s![45..50, 55..62]).fill(0.3);
        covered.slice_mut(ndarray::s![45..50, 62..80]).fill(1.0);
        uncover(&mut covered, std::slice::from_ref(&region));
        assert_eq!((covered[[47, 40]], covered[[47, 57]], covered[[47, 70]]), (0.0, 0.0, 1.0));
        // A finger with a soft edge that comes in from the right.
        let mut covered = Array2::zeros([SIDE, SIDE]);
        covered.slice_mut(ndarray::s![44..51, 39..80]).fill(0.4);
        covered.slice_mut(ndarray::s![45..50, 40..80]).fill(1.0);
        let whole = covered.clone();
        uncover(&mut covered, &[region]);
        assert_eq!(covered, whole);
    }

    #[test]
    fn each_feature_has_a_region_around_it() {
        // A mesh whose features are where they use to be in a crop: brows, eyes, mouth.
        let mut points = vec![CropPx { x: 64.0, y: 64.0 }; mesh::N_POINTS];
        let mut put = |indices: &[usize], x0: f64, x1: f64, y: f64| {
            for (i, index) in indices.iter().enumerate() {
                let t = i as f64 / (indices.len() - 1) as f64;
                points[*index] = CropPx { x: x0 + t * (x1 - x0), y: y + (t * 7.0).sin() };
            }
        };
        for (eye, x) in [(0, 40.0), (1, 80.0)] {
            put(&mesh::BROWS_TOP[eye], x, x + 20.0, 38.0);
            put(&mesh::BROWS_BOTTOM[eye], x, x + 20.0, 42.0);
            put(&mesh::LIDS[eye], x + 2.0, x + 16.0, 50.0);
            put(&mesh::EYE_CORNERS[eye], x + 2.0, x + 16.0, 50.0);
        }
        put(&mesh::UPPER_LIP, 50.0, 80.0, 90.0);
        put(&mesh::LOWER_LIP, 80.0, 50.0, 98.0);
        let regions = features(&points);
        let inside = |x: usize, y: usize| regions.iter().map(|r| r[[y, x]]).collect::<Vec<bool>>();
        assert_eq!(inside(50, 40), [true, false, false], "a brow");
        assert_eq!(inside(89, 50), [false, true, false], "the other eye");
        assert_eq!(inside(46, 94), [false, false, true], "beside the mouth");
        assert_eq!(inside(70, 45), [false; 3], "the bridge of the nose");
        assert_eq!(inside(20, 94), [false; 3], "the cheek");
        assert!(features(&points[..68]).is_empty());
    }
}
