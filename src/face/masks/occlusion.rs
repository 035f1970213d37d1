//! What lies in front of a face, whatever it is: a network of our own that was trained on drawn things.

use super::{Map, decided, plane};
use crate::{
    Error, Result,
    face::{
        align::{DEFAULT_MARGIN, Template, align},
        look::look,
    },
    frame::FramePx,
    nn::{Network, Runtime},
    video::Picture,
};

pub(super) const NAME: &str = "occlusion_64.onnx";
pub(super) const NETWORK: &[u8] = include_bytes!("../../../models/occlusion_64.onnx");

/// Side of the network's picture, the aligned crop of a face, and of its map.
const SIDE: usize = 64;

/// The network with its session.
#[derive(Debug)]
pub struct Occlusion {
    network: Network,
}

impl Occlusion {
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime) -> Result<Self> {
        Ok(Self { network: runtime.network(NAME, NETWORK)? })
    }

    /// What of a face isn't covered.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn look(&mut self, picture: &Picture, points: &[FramePx]) -> Result<Map> {
        let alignment = align(points, &Template::default(), DEFAULT_MARGIN, SIDE);
        let outputs = look(&mut self.network, picture, &alignment, SIDE)?;
        let values = plane(&outputs, SIDE)
            .ok_or_else(|| Error::model(NAME, "has not the outputs of models/README.md"))?
            .mapv(|covered| 1.0 - decided(covered, 0.5, 0.6));
        Ok(Map { values, alignment })
    }
}
