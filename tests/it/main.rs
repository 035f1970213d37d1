//! The program from outside. Each module says what belongs there.

mod blend;
mod eval;
mod media;
mod pictures;
mod program;
mod round_trip;
mod tidy;
mod video;
mod video_refused;
