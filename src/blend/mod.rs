//! New faces into old frames: pure pixels.
//!
//! [`paste`] is the way of one face: cut the target out ([`crate::face::crop`]), bring the network's picture to the
//! same grid ([`resample`]), make the [`mask`], match the [`contrast`], blend in bands ([`pyramid`]), and carry the
//! difference back into the frame ([`warp`]). What a frame is given is always a *difference* that is exactly 0 where
//! the mask is, so every sample that nobody paints over keeps its bits.
//!
//! Squares are slices of `side * side` values, row by row; pictures are three such planes in one slice.

pub mod paste;

pub mod contrast;
pub mod mask;
pub mod pyramid;
pub mod resample;
pub mod warp;

pub use paste::{BlendMode, BlendSettings, blend};
