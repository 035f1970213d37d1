//! What belongs to a person: MediaPipe's selfie segmentation.

use super::{Map, decided, plane};
use crate::{
    Error, Result,
    face::{landmark::Region, look::look},
    frame::FramePx,
    nn::{Network, Runtime},
    video::Picture,
};

pub(super) const NAME: &str = "selfie_segmentation_256.onnx";
pub(super) const NETWORK: &[u8] = include_bytes!("../../../models/selfie_segmentation_256.onnx");

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
        let outputs = look(&mut self.network, picture, &alignment, SIDE)?;
        let values = plane(&outputs, SIDE)
            .ok_or_else(|| Error::model(NAME, "has not the output of models/README.md"))?
            .mapv(|v| decided(v, 0.5, 0.6));
        Ok(Map { values, alignment })
    }
}
