//! Patches of faces with and without a seam.

use ndarray::{Array3, Array4, ArrayView2, Axis, s};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::train::{
    data::mixed,
    dense::{Faces, Task},
};

/// Side of a patch, pixels of the 128-px crop.
pub(super) const SIDE_PX: usize = 32;

/// Pixels of a picture for one of its map of seams.
const REDUCED: usize = 2;

/// The map's greatest value in the middle of a patch with a seam is above the first, all over one without below the
/// second; what lies between is neither.
const SEAM_ABOVE: f32 = 0.6;
const NONE_BELOW: f32 = 0.05;

/// Pictures that are drawn at once.
const AT_ONCE: usize = 16;

/// Places that are tried in a picture.
const N_TRIES: usize = 40;

/// Pixels and labels.
pub(crate) struct Patches {
    /// RGB 0..=1, `[patch, 3, SIDE_PX, SIDE_PX]`.
    pub pixels: Array4<f32>,
    /// 1 for a seam, 0 for none.
    pub labels: Vec<usize>,
}

impl Patches {
    /// `n` patches, as many with a seam as without. Those without come from whole faces and from composites alike, and
    /// each from a place where a seam was found in another picture: neither face nor place tells the answer.
    pub(crate) fn cut(faces: &Faces, n: usize, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(mixed(&[seed, 77]));
        let mut found: [Vec<Array3<f32>>; 2] = [Vec::new(), Vec::new()];
        let wanted = [n / 2, n - n / 2];
        let mut places = vec![[32, 32]];
        let mut step = 0;
        while found.iter().zip(wanted).any(|(found, wanted)| found.len() < wanted) {
            let batch = faces.batch(Task::Seam, AT_ONCE, step, seed);
            step += 1;
            for (picture, map) in batch.pictures.outer_iter().zip(batch.maps.outer_iter()) {
                let map = map.index_axis_move(Axis(0), 0);
                let side = picture.shape()[1] - SIDE_PX;
                let cut =
                    |[y, x]: [usize; 2]| picture.slice(s![.., y..y + SIDE_PX, x..x + SIDE_PX]).to_owned();
                let anywhere = |rng: &mut SmallRng| [rng.random_range(0..=side), rng.random_range(0..=side)];
                let seam = (0..N_TRIES).map(|_| anywhere(&mut rng)).find(|at| look(&map, *at) == Some(1));
                if let Some(at) = seam.filter(|_| found[1].len() < wanted[1]) {
                    found[1].push(cut(at));
                    places.push(at);
                }
                let place = |rng: &mut SmallRng| places[rng.random_range(0..places.len())];
                let none = (0..N_TRIES).map(|_| place(&mut rng)).find(|at| look(&map, *at) == Some(0));
                if let Some(at) = none.filter(|_| found[0].len() < wanted[0]) {
                    found[0].push(cut(at));
                }
            }
        }
        let mut all: Vec<(usize, Array3<f32>)> = found
            .into_iter()
            .enumerate()
            .flat_map(|(label, patches)| patches.into_iter().map(move |patch| (label, patch)))
            .collect();
        for i in (1..all.len()).rev() {
            all.swap(i, rng.random_range(0..=i));
        }
        let mut pixels = Array4::zeros((all.len(), 3, SIDE_PX, SIDE_PX));
        pixels.outer_iter_mut().zip(&all).for_each(|(mut to, (_, patch))| to.assign(patch));
        Self { pixels, labels: all.into_iter().map(|(label, _)| label).collect() }
    }

    /// Those with these numbers.
    pub(super) fn some(&self, indices: &[usize]) -> (Array4<f32>, Vec<usize>) {
        (self.pixels.select(Axis(0), indices), indices.iter().map(|i| self.labels[*i]).collect())
    }
}

/// What a patch at `[y, x]` shows, by the map of seams; `None` for what is neither.
fn look(map: &ArrayView2<f32>, [y, x]: [usize; 2]) -> Option<usize> {
    let (y, x, side) = (y / REDUCED, x / REDUCED, SIDE_PX / REDUCED);
    let greatest = |margin: usize| {
        let part = map.slice(s![y + margin..y + side - margin, x + margin..x + side - margin]);
        part.iter().copied().fold(0.0, f32::max)
    };
    if greatest(side / 4) > SEAM_ABOVE {
        Some(1)
    } else if greatest(0) < NONE_BELOW {
        Some(0)
    } else {
        None
    }
}
