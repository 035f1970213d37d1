//! The program from outside. Each module says what belongs there.

mod blend;
mod eval;
mod faults;
mod field_probes;
mod media;
mod parts;
mod pictures;
mod program;
mod resume;
mod round_trip;
mod tidy;
#[cfg(feature = "train")]
mod train;
mod video;
mod video_refused;
