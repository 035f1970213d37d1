//! Whose face is it? A network that describes faces, so that two of one person are near each other.
//!
//! The network is dlib's ResNet (`models/README.md`): faces of one person lie within 0.52 of each other (L2), those of
//! two mostly further apart.

use ndarray::{Array3, Axis};
use serde::{Deserialize, Serialize};

use super::{align::crop, mesh};
use crate::{
    Result,
    frame::{FramePx, Similarity},
    nn::{Network, Runtime},
    video::Picture,
};

pub(super) const NAME: &str = "face_id_dlib_150.onnx";
pub(super) const NETWORK: &[u8] = include_bytes!("../../models/face_id_dlib_150.onnx");

/// Length of an embedding.
pub const N_VALUES: usize = 128;

/// Largest distance at which two faces pass for one person's.
pub const SAME_PERSON: f64 = 0.52;

/// Side of the network's input.
const SIDE: usize = 150;

/// A face as the network describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// How far apart two faces are, L2.
    pub fn distance(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    }

    /// Its values.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// From its values, 128 of them where the network made it.
    pub fn from_values(values: Vec<f32>) -> Self {
        Self(values)
    }
}

/// The network that describes faces.
#[derive(Debug)]
pub struct Embedder {
    network: Network,
}

impl Embedder {
    /// Loads the network, which lies in the program.
    ///
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime) -> Result<Self> {
        Ok(Self { network: runtime.network(NAME, NETWORK)? })
    }

    /// The embedding of the face with these mesh points; `None` when they aren't a mesh with two eyes.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the network fails.
    pub fn embed(&mut self, picture: &Picture, points: &[FramePx]) -> Result<Option<Embedding>> {
        let Some(alignment) = alignment(points) else { return Ok(None) };
        let crop = crop(picture, &alignment, SIDE);
        self.embed_crop(&crop).map(Some)
    }

    /// The embedding of an aligned crop `[3, 150, 150]`, RGB 0..=1.
    fn embed_crop(&mut self, crop: &Array3<f32>) -> Result<Embedding> {
        let input = (crop * 255.0).insert_axis(Axis(0));
        let output = self.network.run(&[("input", input.view().into_dyn())])?;
        Ok(Embedding(
            output.into_iter().next().map(|values| values.iter().copied().collect()).unwrap_or_default(),
        ))
    }
}

/// The crop that the network was made for: upright, around a point 0.55 eye distances below the middle of the eyes,
/// 3.1 eye distances wide.
fn alignment(points: &[FramePx]) -> Option<Similarity> {
    if points.len() < mesh::N_SKIN {
        return None;
    }
    let (right, left) = (mesh::eye_centre(points, 0), mesh::eye_centre(points, 1));
    let (dx, dy) = (left.x - right.x, left.y - right.y);
    let distance = dx.hypot(dy);
    if distance <= 0.0 || !distance.is_finite() {
        return None;
    }
    let scale = SIDE as f64 / (3.1 * distance);
    // From the frame to the crop: back by the angle of the eyes.
    let (a, b) = (scale * dx / distance, -scale * dy / distance);
    let (x, y) = (0.5 * (right.x + left.x) - 0.55 * dy, 0.5 * (right.y + left.y) + 0.55 * dx);
    let middle = SIDE as f64 / 2.0;
    Some(Similarity { a, b, tx: middle - (a * x - b * y), ty: middle - (b * x + a * y) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crop_is_upright_and_holds_the_eyes_where_the_network_wants_them() {
        let mut points = vec![FramePx::default(); mesh::N_POINTS];
        // Eyes 60 px apart on a line that falls by 3:4.
        for (eye, (x, y)) in [(0, (100.0, 200.0)), (1, (148.0, 236.0))] {
            for (i, step) in mesh::EYE_CORNERS[eye].iter().zip([-8.0, 8.0]) {
                points[*i] = FramePx { x: x + step, y: y + step };
            }
        }
        let alignment = alignment(&points).expect("two eyes");
        let unit = 150.0 / 3.1;
        for (eye, x) in [(0, 75.0 - 0.5 * unit), (1, 75.0 + 0.5 * unit)] {
            let p = alignment.to_crop(mesh::eye_centre(&points, eye));
            assert!((p.x - x).abs() < 1e-9 && (p.y - (75.0 - 0.55 * unit)).abs() < 1e-9, "{p:?}");
        }
    }

    #[test]
    fn no_eyes_no_crop() {
        assert_eq!(alignment(&[]), None);
        assert_eq!(alignment(&[FramePx::default(); mesh::N_POINTS]), None);
    }
}
