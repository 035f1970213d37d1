//! Faces in memory, and the batches of labelled pictures that are drawn from them.

use std::path::PathBuf;

use ndarray::{Array3, Array4, Axis};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{Labelled, MaskedFace, Task};
use crate::{
    Error, Result,
    face_set::FaceSet,
    train::{
        augment::{Augmentation, sample_rgb, sample_weight},
        data::mixed,
    },
};

/// How the faces vary before anything is drawn on them.
const VARIATION: Augmentation = Augmentation {
    rotation_deg: 12.0,
    scale: 0.12,
    shift: 0.04,
    flip: 0.5,
    warp: 0.0,
    light: 0.25,
    shade: 0.0,
    colour: 0.0,
    noise: 0.0,
    jpeg: 0.0,
};

/// The faces of all sets.
pub struct Faces(Vec<Face>);

struct Face {
    image: Vec<u8>,
    mask: Vec<u8>,
    side_px: usize,
}

/// One step's pictures and labels.
pub struct Batch {
    /// `[batch, 3, side, side]`.
    pub pictures: Array4<f32>,
    /// `[batch, 1, map, map]`.
    pub maps: Array4<f32>,
    /// `[batch, 1, map, map]`.
    pub weights: Array4<f32>,
    /// `[batch, 1, 1, 1]`; empty where the task has no score.
    pub scores: Option<Array4<f32>>,
}

impl Faces {
    /// Reads the sets in `dirs` into memory.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a set that can't be read, or when all are empty.
    pub fn read(dirs: &[PathBuf]) -> Result<Self> {
        let mut faces = Vec::new();
        for dir in dirs {
            let set = FaceSet::open(dir)?;
            for entry in &set.entries {
                let (image, mask) = (set.rgb(&entry.image)?.into_raw(), set.gray(&entry.mask)?.into_raw());
                faces.push(Face { image, mask, side_px: set.header.side_px });
            }
        }
        match (&faces[..], dirs) {
            ([], [dir, ..]) => Err(Error::input(dir, "holds no faces")),
            ([], []) => Err(Error::setting("--faces", "", "give at least one face set")),
            _ => Ok(Self(faces)),
        }
    }

    /// The batch of a step: the same for the same seed and step.
    pub fn batch(&self, task: Task, n: usize, step: u64, seed: u64) -> Batch {
        let side_px = task.config().side_px;
        let draw = |i: usize| {
            let mut rng = SmallRng::seed_from_u64(mixed(&[seed, step, i as u64]));
            task.draw(&mut |rng| self.face(side_px, rng), &mut rng)
        };
        Batch::of(&(0..n).map(draw).collect::<Vec<_>>())
    }

    fn face(&self, side_px: usize, rng: &mut SmallRng) -> MaskedFace {
        let face = &self.0[rng.random_range(0..self.0.len())];
        let (geometry, _, light, _) = VARIATION.draw(rng, face.side_px, side_px);
        let mut picture = Array3::zeros((3, side_px, side_px));
        sample_rgb(&face.image, face.side_px, &geometry, &[&light], picture.view_mut());
        let mut mask = Array3::zeros((1, side_px, side_px));
        sample_weight(&face.mask, face.side_px, &geometry, 255.0, mask.view_mut());
        (picture, mask.index_axis_move(Axis(0), 0))
    }
}

impl Batch {
    fn of(all: &[Labelled]) -> Self {
        let stack = |pick: &dyn Fn(&Labelled) -> Array3<f32>| {
            let arrays: Vec<_> = all.iter().map(pick).collect();
            let mut out =
                Array4::zeros([&[arrays.len()], arrays[0].shape()].concat().try_into().unwrap_or([0; 4]));
            out.outer_iter_mut().zip(&arrays).for_each(|(mut to, from)| to.assign(from));
            out
        };
        let scores: Option<Vec<f32>> = all.iter().map(|labelled| labelled.score).collect();
        Self {
            pictures: stack(&|labelled| labelled.picture.clone()),
            maps: stack(&|labelled| labelled.map.clone().insert_axis(Axis(0))),
            weights: stack(&|labelled| labelled.weight.clone().insert_axis(Axis(0))),
            scores: scores.map(|scores| Array4::from_shape_fn((scores.len(), 1, 1, 1), |(i, ..)| scores[i])),
        }
    }
}
