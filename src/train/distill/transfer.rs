//! The transfer set: faces of anybody. The teacher's answer is the label of each; some have a truth beside it.

use std::path::Path;

use ndarray::{Array2, Array3, Axis, concatenate};

use super::DistillSettings;
use crate::{
    Error, Result,
    face_set::{FaceEntry, FaceSet},
    frame::FramePx,
    train::{
        Augmentation,
        data::{Alignment, Batch, Identity},
    },
};

/// One face in so many of each set is kept for the report.
const HELD_OUT: usize = 10;

/// How much more often rare poses and expressions are drawn, as in training.
const BALANCE: f64 = 0.5;

/// Faces that the report looks at, at most.
const MAX_MEASURED: usize = 60;

/// The faces of a distillation.
pub struct Transfer {
    /// Faces whose truth is known.
    with_truth: Identity,
    /// The others.
    without: Identity,
    /// Whether the networks are shown the meshes.
    guides: bool,
    /// Faces that are never trained on.
    held_out: Vec<(FaceSet, Vec<FaceEntry>, Truth)>,
}

/// What the swap of a set's faces ought to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The face itself: they are of the identity's own person.
    Itself,
    /// The picture beside it, where there is one.
    Beside,
}

/// A face that was never trained on.
pub struct HeldFace {
    /// What the networks see, `[3, side, side]`.
    pub input: Array3<f32>,
    /// The same as it was cut, `[3, side, side]`.
    pub face: Array3<f32>,
    /// What they ought to give.
    pub truth: Option<Array3<f32>>,
    /// Where the face is, `[side, side]`.
    pub mask: Array2<f32>,
    /// Its mesh, pixels of the crop.
    pub points: Vec<FramePx>,
}

impl Transfer {
    /// Reads the face sets of the settings, which must be cut as `alignment` says.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when there is none, [`Error::BadInput`] for sets that are empty, can't be read or are cut
    /// otherwise.
    pub fn read(settings: &DistillSettings, alignment: &Alignment) -> Result<Self> {
        let mut transfer = Self {
            with_truth: Identity::new("the transfer set", alignment.guides),
            without: Identity::new("the transfer set", alignment.guides),
            guides: alignment.guides,
            held_out: Vec::new(),
        };
        let keeps_own = settings.held_out.is_empty();
        let all = settings.faces.iter().map(|dir| (dir, Truth::Beside));
        for (dir, truth) in all.chain(settings.own.iter().map(|dir| (dir, Truth::Itself))) {
            let mut set = opened(dir, alignment)?;
            if keeps_own {
                let mut held = split(&mut set);
                let entries = std::mem::take(&mut held.entries);
                transfer.held_out.push((held, entries, truth));
            }
            transfer.add(&set, truth, alignment)?;
        }
        if transfer.n_faces() == 0 {
            let reason = "the transfer set is empty; give --faces FOLDER with faces that `extract` cut";
            return Err(Error::setting("--faces", "", reason));
        }
        for dir in &settings.held_out {
            let mut set = opened(dir, alignment)?;
            let held = std::mem::take(&mut set.entries);
            transfer.held_out.push((set, held, Truth::Beside));
        }
        if transfer.held_out.iter().all(|(_, held, _)| held.is_empty()) {
            let reason = format!(
                "the sets are too small to keep one face in {HELD_OUT} for the report; give --held-out FOLDER"
            );
            return Err(Error::setting("--faces", "", reason));
        }
        Ok(transfer)
    }

    fn add(&mut self, set: &FaceSet, truth: Truth, alignment: &Alignment) -> Result<()> {
        let has_truth = |entry: &&FaceEntry| truth == Truth::Itself || entry.target.is_some();
        let (with, without): (Vec<&FaceEntry>, Vec<_>) = set.entries.iter().partition(has_truth);
        let mut cut = Some(alignment.clone());
        for (identity, entries) in [(&mut self.with_truth, with), (&mut self.without, without)] {
            if !entries.is_empty() {
                identity.add(&copy(set, entries.into_iter().cloned().collect()), &mut cut)?;
            }
        }
        Ok(())
    }

    /// Whether the truth of any face is known.
    pub fn has_truth(&self) -> bool {
        self.with_truth.n_faces() > 0
    }

    /// Faces to train on.
    pub fn n_faces(&self) -> usize {
        self.with_truth.n_faces() + self.without.n_faces()
    }

    /// The batch of a step, and how many of it, from the first on, have a truth as their target: half of them, where
    /// there are both kinds. With `truth_only` all.
    pub fn batch(
        &self,
        step: u64,
        seed: u64,
        n: usize,
        side_px: usize,
        augmentation: &Augmentation,
        truth_only: bool,
    ) -> (Batch, usize) {
        let is_mixed = self.has_truth() && self.without.n_faces() > 0 && !truth_only;
        // How many of them have a truth, and how many of all those that the steps before have drawn.
        let n_before = step.wrapping_mul(n as u64);
        let (n_with, before_with) = match (self.has_truth(), is_mixed) {
            (false, _) => (0, 0),
            (true, false) => (n, n_before),
            // An odd one goes to each kind in turn.
            (true, true) => (n / 2 + (n & step as usize & 1), n_before / 2),
        };
        let draw = |identity: &Identity, who: usize, before: u64, n: usize| {
            identity.batch_from(before, (who, step, seed), (n, side_px), (augmentation, BALANCE))
        };
        let with = || draw(&self.with_truth, 0, before_with, n_with);
        let without = || draw(&self.without, 1, n_before - before_with, n - n_with);
        let batch = match n_with {
            0 => without(),
            _ if n_with == n => with(),
            _ => joined(&with(), &without()),
        };
        (batch, n_with)
    }

    /// The faces for the report, spread evenly, at a side of `side_px`.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a picture that can't be read.
    pub fn held_faces(&self, side_px: usize) -> Result<Vec<HeldFace>> {
        let all: Vec<_> = self
            .held_out
            .iter()
            .flat_map(|(set, held, truth)| held.iter().map(move |entry| (set, entry, *truth)))
            .collect();
        let n = all.len().min(MAX_MEASURED);
        (0..n)
            .map(|i| {
                let (set, entry, truth) = all[i * all.len() / n];
                held_face(set, entry, truth, side_px, self.guides)
            })
            .collect()
    }
}

/// A set in `dir` that was cut as `alignment` says.
///
/// # Errors
/// [`Error::BadInput`] for one that is empty, can't be read or is cut otherwise.
pub fn opened(dir: &Path, alignment: &Alignment) -> Result<FaceSet> {
    let set = FaceSet::open(dir)?;
    let cut = Alignment::of(&set, alignment.guides);
    if cut != *alignment {
        let reason =
            format!("was cut with {cut:?}, the identity's faces with {alignment:?}; extract it again");
        return Err(Error::input(dir, reason));
    }
    if set.entries.is_empty() {
        return Err(Error::input(dir, "holds no faces"));
    }
    Ok(set)
}

/// The last tenth of a set, which it loses: neighbours of frames that were trained on would tell nothing.
pub fn split(set: &mut FaceSet) -> FaceSet {
    // In the order in which they were cut: `faces sort` leaves neighbours far apart.
    set.entries.sort_by(|a, b| a.image.cmp(&b.image));
    let n_kept = set.entries.len() - set.entries.len() / HELD_OUT;
    let held = set.entries.split_off(n_kept);
    copy(set, held)
}

/// A set with other entries.
fn copy(set: &FaceSet, entries: Vec<FaceEntry>) -> FaceSet {
    FaceSet { dir: set.dir.clone(), header: set.header.clone(), entries, excluded: set.excluded.clone() }
}

/// Two batches of one side as one.
fn joined(a: &Batch, b: &Batch) -> Batch {
    let join = |a: &ndarray::Array4<f32>, b: &ndarray::Array4<f32>| {
        concatenate(Axis(0), &[a.view(), b.view()]).unwrap_or_else(|_| a.clone())
    };
    Batch {
        input: join(&a.input, &b.input),
        target: join(&a.target, &b.target),
        mask: join(&a.mask, &b.mask),
        weight: join(&a.weight, &b.weight),
    }
}

/// A face of `set` at a side of `side_px`, as networks that are shown the mesh, or aren't, see it.
///
/// # Errors
/// [`Error::BadInput`] for a picture that can't be read.
pub fn held_face(
    set: &FaceSet,
    entry: &FaceEntry,
    truth: Truth,
    side_px: usize,
    guides: bool,
) -> Result<HeldFace> {
    let plain = |guides: bool| {
        let mut one = Identity::new("held out", guides);
        one.add(&copy(set, vec![entry.clone()]), &mut None)?;
        Ok(one.plain(1, side_px))
    };
    let batch = plain(false)?;
    let scale = side_px as f64 / set.header.side_px as f64;
    let point = |p: &[f32; 2]| FramePx { x: f64::from(p[0]) * scale, y: f64::from(p[1]) * scale };
    let has_truth = truth == Truth::Itself || entry.target.is_some();
    let first = |array: &ndarray::Array4<f32>| array.index_axis(Axis(0), 0).to_owned();
    Ok(HeldFace {
        truth: has_truth.then(|| first(&batch.target)),
        mask: first(&batch.mask).index_axis_move(Axis(0), 0),
        input: if guides { first(&plain(true)?.input) } else { first(&batch.input) },
        face: first(&batch.input),
        points: entry.points.iter().map(point).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::faces_for_tests::{SIDE_PX, face_set, record};

    /// Grey levels of what `n_steps` steps of `batch` faces draw from `n_sets` sets of either kind, each of its own grey.
    fn drawn(n_sets: usize, batch: usize, n_steps: u64) -> Vec<usize> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let alignment = Alignment { template: "mesh-inner-v1".into(), margin: 1.3, guides: false };
        let empty = || Identity::new("the transfer set", false);
        let mut transfer =
            Transfer { with_truth: empty(), without: empty(), guides: false, held_out: Vec::new() };
        for nth in 0..2 * n_sets {
            let grey = Array3::from_elem((3, SIDE_PX, SIDE_PX), (nth + 1) as f32 / 10.0);
            let set = face_set(&dir.path().join(nth.to_string()), 1.3, [record(0, grey)]);
            let truth = if nth < n_sets { Truth::Itself } else { Truth::Beside };
            transfer.add(&FaceSet::open(&set).expect("read"), truth, &alignment).expect("cut alike");
        }
        let greys = |step| -> Vec<usize> {
            let (drawn, _) = transfer.batch(step, 1, batch, 8, &Augmentation::none(), false);
            drawn.input.outer_iter().map(|face| (face[[0, 4, 4]] * 10.0).round() as usize).collect()
        };
        (0..n_steps).flat_map(greys).collect()
    }

    #[test]
    fn every_set_has_its_turn_however_small_and_odd_a_batch_is() {
        for (n_sets, batch, n_steps) in [(2, 1, 4), (4, 3, 8), (3, 1, 6), (2, 4, 3)] {
            let drawn = drawn(n_sets, batch, n_steps);
            let times: Vec<usize> =
                (1..=2 * n_sets).map(|grey| drawn.iter().filter(|is| **is == grey).count()).collect();
            assert!(times.iter().all(|n| *n == times[0] && *n > 0), "batches of {batch}: {times:?}");
        }
    }
}
