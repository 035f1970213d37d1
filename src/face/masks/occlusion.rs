//! What lies in front of a face, whatever it is: a network that was trained on drawn things.

use std::path::Path;

use super::{Map, decided, plane};
use crate::{
    Error, Result,
    face::{
        align::{DEFAULT_MARGIN, Template, align},
        look::{look, open},
    },
    frame::FramePx,
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
        let network = match path {
            Some(path) => open(runtime, path, "occlusion", SIDE, SIDE)?,
            None => runtime.network(NAME, NETWORK)?,
        };
        Ok(Self { network })
    }

    /// What of a face isn't covered.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn look(&mut self, picture: &Picture, points: &[FramePx]) -> Result<Map> {
        let alignment = align(points, &Template::default(), DEFAULT_MARGIN, SIDE);
        let outputs = look(&mut self.network, picture, &alignment, SIDE)?;
        let values = plane(&outputs, SIDE)
            .ok_or_else(|| Error::model("the occlusion network", "gave no map"))?
            .mapv(|covered| 1.0 - decided(covered, SURE, WIDTH));
        Ok(Map { values, alignment })
    }
}
