//! What belongs to a person: MediaPipe's selfie segmentation.

use ndarray::{Array4, Axis, Ix3};

use super::{Map, decided};
use crate::{
    Error, Result,
    face::{
        landmark::Region,
        resample::{self, Interpolation},
    },
    frame::FramePx,
    nn::{Network, Runtime},
    video::Picture,
};

const NAME: &str = "selfie_segmentation_256.onnx";
const NETWORK: &[u8] = include_bytes!("../../../models/selfie_segmentation_256.onnx");

/// Side of the network's picture.
const SIDE: usize = 256;
/// How much more than a face's region the network sees: it was made for heads with shoulders.
const ENLARGE: f64 = 1.8;

/// The segmentation with its session.
#[derive(Debug)]
pub struct Person {
    network: Network,
}

impl Person {
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime) -> Result<Self> {
        Ok(Self { network: runtime.network(NAME, NETWORK)? })
    }

    /// What belongs to a person around a face.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn look(&mut self, picture: &Picture, points: &[FramePx]) -> Result<Map> {
        let region = Region::from_points(points).enlarged(ENLARGE);
        let alignment = region.alignment_to(SIDE);
        let mut input = Array4::zeros([1, 3, SIDE, SIDE]);
        input.index_axis_mut(Axis(0), 0).assign(&resample::cut(
            picture,
            &alignment,
            SIDE,
            Interpolation::Bilinear,
        ));
        let outputs = self.network.run(&[("input", input.view().into_dyn())])?;
        let values = outputs.into_iter().next().and_then(|map| map.into_dimensionality::<Ix3>().ok());
        let values = values
            .filter(|map| map.dim() == (1, SIDE, SIDE))
            .ok_or_else(|| Error::model(NAME, "has not the output of models/README.md"))?;
        let values = values.index_axis(Axis(0), 0).mapv(|v| decided(v, 0.5, 0.6));
        Ok(Map { values, alignment })
    }
}
