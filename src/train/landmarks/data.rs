//! Faces with room around them, and looks at them as a swap might take them.

use std::path::PathBuf;

use ndarray::{Array2, Array3, Array4, Axis};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    Error, Result,
    face::{Region, landmark, mesh, mesh_network, mirror},
    face_set::FaceSet,
    frame::FramePx,
    train::{data::mixed, dense::degrade},
    video::Picture,
};

/// How far a region may lie from where it ought to, shares of its side; what a swap measures a second time lies further.
const SHIFT: f64 = 0.07;
/// How much larger or smaller it may be, as a logarithm.
const ZOOM: f64 = 0.15;
/// How far it may be turned, radians.
const TURN: f64 = 0.13;

/// Share of the looks that miss the face, whose points don't count: presence has to stay what it is.
const MISSES: f64 = 0.1;

/// Side of the crop in template extents that leaves room for all these.
const LEAST_MARGIN: f64 = 1.8;

/// The faces of all sets.
pub struct Faces(Vec<Face>);

struct Face {
    image: Vec<u8>,
    side_px: usize,
    points: Vec<FramePx>,
}

/// Looks at faces.
pub struct Looks {
    /// `[batch, 3, side, side]`, RGB 0..=1.
    pub pictures: Array4<f32>,
    /// `[batch, 2 points]`: x and y of each in turn, pixels of the picture.
    pub points: Array2<f32>,
    /// 1 for a face whose points count, else 0, `[batch, 1]`.
    pub counts: Array2<f32>,
}

/// One look: picture, points, and whether they count.
type Look = (Array3<f32>, Vec<f32>, bool);

impl Faces {
    /// Reads the sets in `dirs` into memory.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a set that can't be read or has no room around its faces, or when all are empty.
    pub fn read(dirs: &[PathBuf]) -> Result<Self> {
        let mut faces = Vec::new();
        for dir in dirs {
            let set = FaceSet::open(dir)?;
            let (side_px, margin) = (set.header.side_px, set.header.margin);
            if margin < LEAST_MARGIN {
                let reason = format!(
                    "was cut with a margin of {margin}, which leaves too little around the faces; cut it anew with \
                     `faceswap extract --margin 2 --side 384 --landmark-samples 9`"
                );
                return Err(Error::input(dir, reason));
            }
            for entry in set.entries.iter().filter(|entry| entry.points.len() == mesh::N_POINTS) {
                let points = entry.points.iter().map(|[x, y]| FramePx { x: f64::from(*x), y: f64::from(*y) });
                faces.push(Face {
                    image: set.rgb(&entry.image)?.into_raw(),
                    side_px,
                    points: points.collect(),
                });
            }
        }
        match (&faces[..], dirs) {
            ([], [dir, ..]) => Err(Error::input(dir, "holds no faces")),
            ([], []) => Err(Error::setting("--faces", "", "give at least one face set")),
            _ => Ok(Self(faces)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A step's looks: the same for the same seed and step.
    pub fn batch(&self, n: usize, step: u64, seed: u64) -> Looks {
        let draw = |i: usize| {
            let mut rng = SmallRng::seed_from_u64(mixed(&[seed, step, i as u64]));
            let face = &self.0[rng.random_range(0..self.0.len())];
            face.look(1.0, rng.random_bool(MISSES), &mut rng)
        };
        Looks::of(&(0..n).map(draw).collect::<Vec<_>>())
    }

    /// `n` looks at one face, in regions that lie as near as those of a swap do, a tenth of what is learnt with.
    pub fn looks(&self, face: usize, n: usize, seed: u64) -> Looks {
        let draw = |i: usize| {
            let mut rng = SmallRng::seed_from_u64(mixed(&[seed, face as u64, i as u64]));
            self.0[face].look(0.1, false, &mut rng)
        };
        Looks::of(&(0..n).map(draw).collect::<Vec<_>>())
    }
}

impl Face {
    /// A look at it, within `reach` of what there is, through some camera and codec.
    fn look(&self, reach: f64, is_miss: bool, rng: &mut SmallRng) -> Look {
        let picture = Picture::from_rgb8(self.side_px, self.side_px, &self.image);
        let right = Region::from_points(&self.points);
        let mut near = |most: f64| reach * rng.random_range(-most..=most);
        let (dx, dy, zoom, turn) = if is_miss {
            (near(0.9), near(0.9), near(0.9), near(0.8))
        } else {
            (near(SHIFT), near(SHIFT), near(ZOOM), near(TURN))
        };
        let centre = FramePx { x: right.centre.x + dx * right.side, y: right.centre.y + dy * right.side };
        let region = Region { centre, side: right.side * zoom.exp(), angle: right.angle + turn };
        let is_mirrored = rng.random_bool(0.5);
        let mut pixels = landmark::look(&picture, &region, is_mirrored);
        degrade(&mut pixels, rng);
        let to_look = region.alignment_to(mesh_network::SIDE);
        let side = mesh_network::SIDE as f32;
        let at = |i: usize| {
            let p = to_look.to_crop(self.points[i]);
            [p.x as f32, p.y as f32]
        };
        let points = (0..mesh::N_POINTS).flat_map(|i| {
            if is_mirrored {
                let [x, y] = at(usize::from(mirror::PARTNERS[i]));
                [side - x, y]
            } else {
                at(i)
            }
        });
        (pixels, points.collect(), !is_miss)
    }
}

impl Looks {
    fn of(all: &[Look]) -> Self {
        let side = mesh_network::SIDE;
        let mut pictures = Array4::zeros([all.len(), 3, side, side]);
        pictures.axis_iter_mut(Axis(0)).zip(all).for_each(|(mut to, (pixels, ..))| to.assign(pixels));
        Self {
            pictures,
            points: Array2::from_shape_fn((all.len(), 2 * mesh::N_POINTS), |(i, k)| all[i].1[k]),
            counts: Array2::from_shape_fn((all.len(), 1), |(i, _)| f32::from(u8::from(all[i].2))),
        }
    }
}
