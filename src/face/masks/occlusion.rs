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

/// Side of the network's picture, the aligned crop of a face, and of its map.
const SIDE: usize = 128;

/// The network with its session.
#[derive(Debug)]
pub struct Occlusion {
    network: Network,
}

impl Occlusion {
    /// With the network in the file `path`.
    ///
    /// # Errors
    /// [`Error::BadModel`] when it is none.
    pub fn new(runtime: &Runtime, path: &Path) -> Result<Self> {
        Ok(Self { network: open(runtime, path, "occlusion", SIDE, SIDE)? })
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
            .mapv(|covered| 1.0 - decided(covered, 0.5, 0.6));
        Ok(Map { values, alignment })
    }
}
