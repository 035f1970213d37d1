//! Measures: functions of images and points, used by `eval`, by reports and by tests alike.
//!
//! Pictures are `[3, h, w]` RGB 0..=1, regions `[h, w]` with more than 0.5 inside.

pub mod psnr;
pub mod ssim;

pub mod expression;
pub mod flicker;
pub mod identity;
pub mod jitter;
pub mod seam;

pub use flicker::opencv_version;
