//! The geometry between a frame and the aligned square crop of a face, the same in training and in swapping.

use ndarray::{Array2, Array3};

pub use super::template::Template;
use super::{
    hull, mesh,
    resample::{self, Interpolation},
    template::MESH_INNER_V1,
};
use crate::{
    Error, Result,
    frame::{CropPx, FramePx, Similarity},
    video::Picture,
};

/// Side of an aligned crop over the larger side of the frontal mesh's bounding box.
pub const DEFAULT_MARGIN: f64 = 1.3;

impl Template {
    /// The name that identity bundles store.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The template that a bundle names.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for a name that this version doesn't know.
    pub fn by_name(name: &str) -> Result<Self> {
        if name == MESH_INNER_V1.name {
            return Ok(MESH_INNER_V1);
        }
        Err(Error::setting("template", name, format!("the only template is {}", MESH_INNER_V1.name)))
    }
}

impl Default for Template {
    fn default() -> Self {
        MESH_INNER_V1
    }
}

/// The similarity that brings a face upright into the middle of a square crop of `side_px`.
///
/// Weighted least squares over the template's points (Umeyama 1991; in the plane and without reflection it has a
/// closed form). `margin` is the crop's side over the larger side of the template's whole-mesh box, so 1 cuts at the
/// contour of a frontal face. Missing points count nothing; a face without extent gets an upright crop around it.
pub fn align(points: &[FramePx], template: &Template, margin: f64, side_px: usize) -> Similarity {
    let side = side_px as f64;
    let pairs = || {
        template.points.iter().filter_map(|&(index, x, y, weight)| {
            let p = points.get(usize::from(index))?;
            let to = FramePx { x: side * (0.5 + x / margin), y: side * (0.5 + y / margin) };
            Some((*p, to, weight))
        })
    };
    fit_similarity(pairs())
}

/// The similarity that brings points nearest to their partners: the least weighted sum of squared distances.
///
/// The identity's scale is kept when all points are one.
pub fn fit_similarity(pairs: impl Iterator<Item = (FramePx, FramePx, f64)> + Clone) -> Similarity {
    let (mut weight, mut from, mut to) = (0.0, FramePx::default(), FramePx::default());
    for (p, q, w) in pairs.clone() {
        weight += w;
        (from.x, from.y) = (from.x + w * p.x, from.y + w * p.y);
        (to.x, to.y) = (to.x + w * q.x, to.y + w * q.y);
    }
    let weight = if weight > 0.0 { weight } else { 1.0 };
    let [px, py, qx, qy] = [from.x, from.y, to.x, to.y].map(|sum| sum / weight);
    let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
    for (p, q, w) in pairs {
        let (px, py, qx, qy) = (p.x - px, p.y - py, q.x - qx, q.y - qy);
        along += w * (px * qx + py * qy);
        across += w * (px * qy - py * qx);
        spread += w * (px * px + py * py);
    }
    let (a, b) = if spread > 0.0 { (along / spread, across / spread) } else { (1.0, 0.0) };
    Similarity { a, b, tx: qx - (a * px - b * py), ty: qy - (b * px + a * py) }
}

/// The aligned crop `[3, side_px, side_px]`: RGB, 0..=1, bicubic, pre-filtered where it is smaller than the face in
/// the frame; outside the frame its border pixels go on.
pub fn crop(picture: &Picture, alignment: &Similarity, side_px: usize) -> Array3<f32> {
    resample::cut(picture, alignment, side_px, Interpolation::Bicubic)
}

/// How far up a face goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HullTop {
    /// To a little above the brows.
    #[default]
    Brows,
    /// Over the forehead, to the upper edge of the mesh.
    Forehead,
}

/// The face from brow to chin in an aligned crop, `[side_px, side_px]`, 0..=1 with antialiased edges.
pub fn hull_mask(points: &[FramePx], alignment: &Similarity, side_px: usize) -> Array2<f32> {
    hull_mask_to(points, alignment, side_px, HullTop::Brows)
}

/// The convex hull of the face's contour up to `top` in an aligned crop, `[side_px, side_px]`, 0..=1 with antialiased
/// edges.
pub fn hull_mask_to(points: &[FramePx], alignment: &Similarity, side_px: usize, top: HullTop) -> Array2<f32> {
    if points.len() < mesh::N_SKIN {
        return Array2::zeros([side_px, side_px]);
    }
    let contour: Vec<FramePx> = match top {
        HullTop::Forehead => mesh::OVAL.iter().map(|i| points[*i]).collect(),
        HullTop::Brows => {
            mesh::OVAL_BELOW_BROWS.iter().map(|i| points[*i]).chain(above_brows(points)).collect()
        }
    };
    let contour: Vec<CropPx> = contour.into_iter().map(|p| alignment.to_crop(p)).collect();
    hull::coverage(&hull::convex_hull(&contour), side_px)
}

/// The upper edges of the brows, moved away from the eyes by most of their distance to them, so that the mask's soft
/// inner edge lies on the forehead and not in the brows.
fn above_brows(points: &[FramePx]) -> impl Iterator<Item = FramePx> {
    const RAISE: f64 = 0.8;
    (0..2).flat_map(move |side| {
        let brow = mesh::BROWS_TOP[side].map(|i| points[i]);
        let middle = brow[2];
        let eye = mesh::eye_centre(points, side);
        let (dx, dy) = (RAISE * (middle.x - eye.x), RAISE * (middle.y - eye.y));
        brow.map(|p| FramePx { x: p.x + dx, y: p.y + dy })
    })
}

#[cfg(test)]
#[path = "align_tests.rs"]
mod tests;
