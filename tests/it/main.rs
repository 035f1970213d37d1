//! The program from outside. Each module says what belongs there.

mod apart;
mod bad_pictures;
mod blend;
mod eval;
mod faults;
mod field_probes;
mod gaze;
mod inputs;
mod labels;
mod media;
mod mutation;
mod outputs;
mod parsers;
mod parts;
mod pictures;
mod plates;
mod program;
mod resume;
mod round_trip;
mod sandbox;
mod skip;
mod tidy;
#[cfg(feature = "train")]
mod train;
mod video;
mod video_refused;
