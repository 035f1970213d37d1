//! The faces that a compression is fitted to, and those that it is measured on.

use std::path::PathBuf;

use ndarray::Array3;

use super::CompressSettings;
use crate::{
    Error, Result,
    face_set::{FaceEntry, FaceSet},
    train::{
        data::Alignment,
        distill::{HeldFace, Truth, held_face, opened, split},
    },
};

/// Faces that ranges are taken from, at most.
const MAX_CALIBRATION: usize = 128;

/// Faces that are measured, at most.
const MAX_MEASURED: usize = 60;

/// The faces of a compression.
pub struct Faces {
    /// To fit to, as the encoder sees them, each `[3, side, side]`.
    pub calibration: Vec<Array3<f32>>,
    /// To measure on.
    pub held_out: Vec<HeldFace>,
}

impl Faces {
    /// Reads the face sets of the settings, which must be cut as `alignment` says; `None` where they name none.
    ///
    /// # Errors
    /// [`Error::BadInput`] for sets that are empty, can't be read or are cut otherwise; [`Error::BadSetting`] where none
    /// is left to measure on.
    pub fn read(settings: &CompressSettings, alignment: &Alignment, side_px: usize) -> Result<Option<Self>> {
        let (calibrate, held_out) = (&settings.calibrate, &settings.held_out);
        if calibrate.is_empty() && held_out.is_empty() {
            return Ok(None);
        }
        let open = |dir: &PathBuf| opened(dir, alignment);
        let mut to_fit = calibrate.iter().map(open).collect::<Result<Vec<_>>>()?;
        let mut to_measure = held_out.iter().map(open).collect::<Result<Vec<_>>>()?;
        if to_measure.is_empty() {
            to_measure = to_fit.iter_mut().map(split).collect();
        }
        let read = |sets: &[FaceSet], n: usize| -> Result<Vec<HeldFace>> {
            let spread = spread(sets, n);
            spread.map(|(set, face)| held_face(set, face, Truth::Beside, side_px, alignment.guides)).collect()
        };
        let held_out = read(&to_measure, MAX_MEASURED)?;
        if held_out.is_empty() {
            let reason =
                "the sets are too small to keep one face in ten for the measuring; give --held-out FOLDER";
            return Err(Error::setting("--calibrate", "", reason));
        }
        let calibration = read(&to_fit, MAX_CALIBRATION)?.into_iter().map(|face| face.input).collect();
        Ok(Some(Self { calibration, held_out }))
    }

    /// Faces to fit to.
    pub fn n_calibration(&self) -> usize {
        self.calibration.len()
    }
}

/// At most `n` faces, spread evenly over all sets.
fn spread(sets: &[FaceSet], n: usize) -> impl Iterator<Item = (&FaceSet, &FaceEntry)> {
    let all: Vec<_> = sets.iter().flat_map(|set| set.entries.iter().map(move |entry| (set, entry))).collect();
    let n = n.min(all.len());
    (0..n).map(move |i| all[i * all.len() / n])
}
