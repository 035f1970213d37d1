//! Identities and how they get onto a face: the bundle on disk, and the stage that runs its networks.
//!
//! [`bundle`] is the folder of an identity: a manifest, an encoder, a decoder, and the consent of whose face it is.
//! [`inspect`] looks into a network's bytes before ONNX Runtime may. [`swapper`] is the stage of the line that makes
//! new faces, [`gaze`] the one that turns their eyes.

pub mod bundle;
pub mod gaze;
pub mod inspect;
pub mod manifest;
pub mod swapper;

pub use bundle::{Bundle, Installed, find, installed};
pub use gaze::{Gaze, GazeOf};
pub use manifest::{Basis, Consent, Manifest};
pub use swapper::Swapper;

#[cfg(test)]
mod tests;
