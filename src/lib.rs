//! Face swapping for video.

pub mod error;
pub mod frame;
pub mod line;

pub mod video;

pub use error::{Error, Result};
