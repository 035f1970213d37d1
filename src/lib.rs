//! Face swapping for video: one shared encoder, a decoder for each identity, in a streaming pipeline.
//!
//! # The map
//! The modules are the journey of a frame, in order. Read [`pipeline`] first, [`frame`] second.
//!
//! | module | what it does |
//! |---|---|
//! | [`pipeline`] | the whole line on one screen: a video in, a swapped video out |
//! | [`frame`] | the types on the arrows, and the coordinates |
//! | [`mod@line`] | threads, bounded channels, order, shutdown; nothing else knows them |
//! | [`video`] | probe, decode, encode, copy of all other tracks, pictures |
//! | [`resume`] | what is kept of a run that was interrupted |
//! | [`nn`] | networks through ONNX Runtime |
//! | [`face`] | find, follow, hold still, align |
//! | [`cast`] | who is replaced by whom |
//! | [`swap`] | identity bundles, and the network's run |
//! | [`blend`] | the new face into the picture |
//! | [`measure`] | truth, identity, jitter, flicker: functions of images |
//! | [`eval`] | a swapped video against the truth |
//! | [`compare`] | two videos shown to a person, blind |
//! | [`batch`] | files and folders |
//! | [`report`] | what happened to one file |
//! | [`mod@bench`] | frames and megapixels per second |
//! | [`survey`] | who is in a clip, how still they are held |
//! | [`extract`] | footage into sets of faces |
//! | [`face_set`] | the files of a set of faces |
//! | [`train`] | comb autoencoder, growth, export (feature `train`) |
//! | [`sandbox`] | what a run may reach, and nothing else |
//! | [`crash`] | what is said when a library crashes |
//! | [`doctor`] | what is installed and what is missing |
//! | [`progress`] | how far a run has come |
//! | [`settings`] | what was meant, checked |
//! | [`cli`] | what may be typed |
//! | [`run`] | from one to the other |
//! | [`digest`] | SHA-256 sums |
//! | `dispatch` | loops that use what the processor has |
//! | `curve` | curves that several places share |
//! | `page` | pages that need nothing but themselves |
//! | [`error`] | what can go wrong, by what the caller does about it |
//!
//! # The life of a frame
//! [`video::Decoder`] makes a [`frame::Frame`] in the source's own pixel format. [`face::Finder`] finds the faces
//! ([`frame::Found`]); [`face::Tracker`] gives each a number and, looking a few frames ahead, a place that doesn't
//! tremble ([`frame::Tracked`]). [`swap::Swapper`] aligns each face into a square crop and runs the networks
//! ([`frame::Swapped`]). [`blend::Grader`] brings their colours to the
//! target's, held steady over time, and [`blend::blend`] paints the new faces into the untouched frame, which
//! [`video::Writer`] encodes at the old timestamp.
//!
//! # Invariants
//! 1. Each heavy crate has one home, and threads live in [`mod@line`] alone. Videos are decoded in another process.
//! 2. No mutable globals but the name that [`crash`] may have to say. Constructors never print, ask, download or exit.
//! 3. Frames in = frames out; timestamps are unchanged and rise; audio, subtitles and chapters are copied packets.
//! 4. A frame without a face, and every pixel outside the mask, goes to the encoder bit-exact.
//! 5. Memory doesn't grow with the length of the clip.
//! 6. A file under its final name is whole; a failed run leaves none, and a non-zero exit code.
//! 7. Same input, same models, same version, CPU: same bytes.
//! 8. What swapping needs to know of a network stands in its bundle's manifest. Code never asks which model it is.
//! 9. What training writes is what swapping reads: the framework's output is ONNX Runtime's output.
//!
//! `tests/it/tidy.rs` and the property tests hold them.

pub mod pipeline;
pub mod frame;
pub mod line;
pub mod video;
pub mod resume;
pub mod nn;
pub mod face;
pub mod cast;
pub mod swap;
pub mod blend;
pub mod measure;
pub mod eval;
pub mod compare;
pub mod batch;
pub mod report;
pub mod bench;
pub mod survey;
pub mod extract;
pub mod face_set;
#[cfg(feature = "train")]
pub mod train;
pub mod sandbox;
pub mod crash;
pub mod doctor;
pub mod progress;
pub mod settings;
pub mod cli;
pub mod run;
pub mod digest;
mod curve;
mod dispatch;
mod page;
pub mod error;

pub use batch::Outcome;
pub use error::{Error, Result};
