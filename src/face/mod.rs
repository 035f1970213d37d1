//! Faces: found, measured, followed, and cut out.
//!
//! A frame goes through [`detect`] (boxes; [`search`] says where and how often they are looked for) and [`landmark`]
//! (478 points in each, by the networks of [`mesh_network`]), both behind [`finder`], or, between two such searches, through [`follow`]. Then [`track`] gives the faces numbers, [`stabilise`] holds the points still,
//! and [`choose`] keeps the faces that are to be swapped; [`association`] and [`witness`] tell people apart.
//! [`analysis`] puts all this into a line. [`mod@align`] is the geometry between the frame and the aligned square crop
//! that networks see, the same in training and in swapping.

pub mod finder;

pub mod detect;
pub mod landmark;
pub mod mesh_network;
pub mod search;

pub mod analysis;

pub mod association;
pub mod embedding;
pub mod follow;
mod look;
mod pose;
pub mod scene;
pub mod stabilise;
pub mod memory;
pub mod track;
pub mod witness;

pub mod choose;
pub mod reference;

pub mod align;
pub mod guides;
mod hull;
pub mod masks;
pub mod forgery;
pub mod mesh;
pub(crate) mod mirror;
mod resample;
mod template;

pub use align::{DEFAULT_MARGIN, HullTop, Template, align, crop, fit_similarity, hull_mask, hull_mask_to};
pub use analysis::{Analysis, AnalysisSettings};
pub use choose::Pick;
pub use detect::{Detection, Detector};
pub use embedding::SAME_PERSON;
pub use finder::{Finder, FinderSettings};
pub use follow::DetectEvery;
pub(crate) use landmark::Landmarker;
pub use landmark::{LandmarkSettings, Refine, Region};
pub use masks::{MaskSettings, MaskType, Masker, Rims, Steadier};
pub use memory::Memory;
pub use mesh_network::LandmarkNetwork;
pub use pose::Look;
pub use reference::Reference;
pub use search::{Angles, SmallFaces};
pub use track::{Tracker, TrackerSettings};

/// The networks in the program that a swap with these masks looks at faces with, by the names of their files.
pub(crate) fn networks(
    landmarks: LandmarkNetwork,
    masks: &MaskSettings,
) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let scout = landmarks.scout().map(LandmarkNetwork::file);
    let always = [(detect::NAME, detect::NETWORK), landmarks.file(), (embedding::NAME, embedding::NETWORK)];
    always.into_iter().chain(scout).chain(masks.networks())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

    use std::{fmt::Write, fs, path::Path};

    use sha2::{Digest, Sha256};

    /// The table in `models/README.md` says of every network where it comes from; a file that changes must say so.
    #[test]
    fn every_network_is_the_one_in_the_list() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let list = fs::read_to_string(folder.join("README.md")).unwrap();
        let networks = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut n_networks = 0;
        for path in networks.filter(|path| path.extension().is_some_and(|end| end == "onnx")) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let row = list.lines().find(|line| line.starts_with(&format!("| {name} |"))).expect(name);
            let mut sum = String::new();
            for byte in Sha256::digest(fs::read(&path).unwrap()) {
                write!(sum, "{byte:02x}").unwrap();
            }
            assert!(row.ends_with(&format!("| {sum} |")), "{name} is {sum}");
            n_networks += 1;
        }
        assert_eq!(n_networks, list.lines().filter(|line| line.contains(".onnx |")).count());
    }
}
