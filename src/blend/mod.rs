//! New faces into old frames: pure pixels.
//!
//! [`grade`] brings each new face's colours and contrast to the target's, held steady over time. [`mod@paste`] is the way
//! of one face into its frame: make the [`mask`], bring the network's picture onto the frame's own pixels ([`warp`]),
//! match the finest detail, blend in bands ([`pyramid`]). What a frame is given is always a *difference* that is
//! exactly 0 where the mask is, so every sample that nobody paints over keeps its bits.
//!
//! Pictures are three planes in one slice, row by row.

pub mod grade;
pub mod paste;

pub mod colour;
pub mod contrast;
pub mod detail;
pub mod lab;
pub mod mask;
mod matrix;
mod poisson;
pub mod pyramid;
pub mod resample;
pub(crate) mod sample;
pub mod warp;

pub use colour::ColorTransfer;
pub use grade::{Grade, GradeSettings, Grader};
pub use mask::Padding;
pub use paste::{BlendMode, BlendSettings, Shows, alpha, blend};
