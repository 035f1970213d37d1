//! A night's work is never lost: a run that was interrupted goes on where it stopped.
//!
//! [`Seams`] says at which frames the picture is cut into segments.

mod seams;

pub use seams::{Seams, WARM_UP_FRAMES};
