//! The networks that measure a face, and what one says of a picture.

use ndarray::{Array2, Array3, Array4, Ix2, Ix3};

use super::mesh;
use crate::{
    Error, Result,
    nn::{Network, Runtime},
};

pub(crate) const NAME: &str = "face_mesh_v2_256.onnx";
pub(crate) const NETWORK: &[u8] = include_bytes!("../../models/face_mesh_v2_256.onnx");

const FAST_NAME: &str = "face_mesh_fast_256.onnx";
const FAST_NETWORK: &[u8] = include_bytes!("../../models/face_mesh_fast_256.onnx");

/// Side of a network's picture, pixels.
pub(crate) const SIDE: usize = 256;

/// The network that measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum LandmarkNetwork {
    /// MediaPipe's own.
    Full,
    /// The same layers, taught by its means over many samples and by points that a renderer knows: a single sample is as near
    /// to the truth as nine of the other's.
    #[default]
    Fast,
}

impl LandmarkNetwork {
    /// The network called `name`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the known names.
    pub fn by_name(name: &str) -> Result<Self> {
        match name {
            "full" => Ok(Self::Full),
            "fast" => Ok(Self::Fast),
            _ => Err(Error::setting("--landmarks", name, "must be full or fast")),
        }
    }

    /// What looks first at regions that a detector gives; `None` for the network itself. The taught one knows regions that lie
    /// right, MediaPipe's own finds its way from those that don't.
    pub(crate) fn scout(self) -> Option<Self> {
        (self == Self::Fast).then_some(Self::Full)
    }

    /// Its file's name, and the file.
    pub(crate) fn file(self) -> (&'static str, &'static [u8]) {
        match self {
            Self::Full => (NAME, NETWORK),
            Self::Fast => (FAST_NAME, FAST_NETWORK),
        }
    }
}

/// A mesh network with its session.
#[derive(Debug)]
pub(super) struct MeshNetwork {
    network: Network,
    /// Its file.
    name: &'static str,
}

impl MeshNetwork {
    /// # Errors
    /// As [`Runtime::network`].
    pub(super) fn new(runtime: &Runtime, network: LandmarkNetwork) -> Result<Self> {
        let (name, bytes) = network.file();
        Ok(Self { network: runtime.network(name, bytes)?, name })
    }

    /// What the network says of pictures `[N, 3, SIDE, SIDE]`: points `[N, 478, 3]`, and presences before the sigmoid.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails, [`Error::BadModel`] when it is another one.
    pub(super) fn answers(&mut self, input: &Array4<f32>) -> Result<(Array3<f32>, Array2<f32>)> {
        let outputs = self.network.run(&[("input", input.view().into_dyn())])?;
        let wrong_outputs =
            || Error::model(self.name, "has not the outputs points and presence of models/README.md");
        let mut outputs = outputs.into_iter();
        let (Some(points), Some(presence), None) = (outputs.next(), outputs.next(), outputs.next()) else {
            return Err(wrong_outputs());
        };
        let points = points.into_dimensionality::<Ix3>().map_err(|_| wrong_outputs())?;
        if points.dim() != (input.dim().0, mesh::N_POINTS, 3) {
            return Err(wrong_outputs());
        }
        Ok((points, presence.into_dimensionality::<Ix2>().map_err(|_| wrong_outputs())?))
    }
}
