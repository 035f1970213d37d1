//! A night's work is never lost: a run that was interrupted goes on where it stopped.
//!
//! The picture is encoded in segments of a fixed number of frames ([`Seams`]), each by a fresh encoder, so that none
//! needs another. Whole ones are noted in a [`Journal`], which is replaced and never half written; both lie in a hidden
//! folder beside the output ([`Work`]) that one process at a time may use. When all are there, their packets are joined
//! with the copied tracks, the output gets its name, and the folder goes.
//!
//! The same command ([`Task`]) finds the folder and makes what is missing. The frames before it are passed over,
//! or decoded again where it isn't known that this gives the same; the tracker gets the memory that it had there, see
//! [`crate::face::Memory`]. A segment comes out as it would have without an interruption, byte by byte where the encoder
//! always gives the same bytes for the same frames.

pub(crate) mod durable;
mod journal;
mod lock;
mod seams;
mod task;
mod work;

pub use journal::{End, Journal, Segment};
pub use lock::{Lock, Locked};
pub use seams::{Seams, WARM_UP_FRAMES};
pub use task::Task;
pub use work::{Resume, Work, is_begun, kept};
