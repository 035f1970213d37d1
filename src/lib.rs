//! Face swapping for video.

pub mod error;
pub mod frame;
pub mod line;

pub mod video;

pub mod nn;

pub mod face;

pub mod face_set;

pub mod swap;

pub mod blend;

pub mod measure;

#[cfg(feature = "train")]
pub mod train;

pub use error::{Error, Result};
