//! The types on the arrows: what is known about a frame after each stage.
//!
//! [`Frame`] (decoded) → [`Found`] (faces found) → [`Tracked`] (faces followed and held still) → [`Swapped`] (new faces computed,
//! not yet in the picture) → [`Frame`] (blended, ready for the encoder).
//!
//! # Coordinates
//! Points are continuous pixels: pixel (i, j) covers `[i, i+1) x [j, j+1)`, its centre is at `(i + 0.5, j + 0.5)`,
//! the origin is the top left, y grows downwards. Frame coordinates are those of the *stored* picture, before any
//! rotation that the container asks players for. [`FramePx`] and [`CropPx`] keep the two systems apart.
//!
//! # Pictures
//! Crops are planar `ndarray` arrays in the order `[channel, row, column]`, RGB, `f32`, 0..=1 as displayed
//! (gamma-encoded). Masks are `[row, column]`, 0..=1.

use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use crate::{
    blend::Grade,
    face::{Detection, Memory, Rims},
    video::Picture,
};

/// A point in the pixels of the stored frame.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct FramePx {
    /// To the right.
    pub x: f64,
    /// Downwards.
    pub y: f64,
}

impl FramePx {
    /// The point at `part` (0..=1) of the way to another.
    #[must_use]
    pub fn towards(self, other: Self, part: f64) -> Self {
        Self { x: self.x + part * (other.x - self.x), y: self.y + part * (other.y - self.y) }
    }
}

/// A point in the pixels of an aligned crop.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CropPx {
    /// To the right.
    pub x: f64,
    /// Downwards.
    pub y: f64,
}

/// A similarity transform (4 degrees of freedom) from frame to crop: `(x, y) -> (a x - b y + tx, b x + a y + ty)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// `scale * cos(angle)`.
    pub a: f64,
    /// `scale * sin(angle)`.
    pub b: f64,
    /// Shift to the right, crop pixels.
    pub tx: f64,
    /// Shift downwards, crop pixels.
    pub ty: f64,
}

impl Similarity {
    /// Crop pixels per frame pixel.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// A frame point in the crop.
    pub fn to_crop(&self, p: FramePx) -> CropPx {
        CropPx { x: self.a * p.x - self.b * p.y + self.tx, y: self.b * p.x + self.a * p.y + self.ty }
    }

    /// A crop point in the frame.
    pub fn to_frame(&self, p: CropPx) -> FramePx {
        let (x, y, s2) = (p.x - self.tx, p.y - self.ty, self.a * self.a + self.b * self.b);
        FramePx { x: (self.a * x + self.b * y) / s2, y: (self.a * y - self.b * x) / s2 }
    }

    /// From the crop of `first` to that of this one.
    #[must_use]
    pub fn after(&self, first: &Self) -> Self {
        let s2 = first.a * first.a + first.b * first.b;
        let (a, b) = ((self.a * first.a + self.b * first.b) / s2, (self.b * first.a - self.a * first.b) / s2);
        let (tx, ty) = (a * first.tx - b * first.ty, b * first.tx + a * first.ty);
        Self { a, b, tx: self.tx - tx, ty: self.ty - ty }
    }

    /// The same alignment into a crop whose side is `factor` times as long.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { a: self.a * factor, b: self.b * factor, tx: self.tx * factor, ty: self.ty * factor }
    }
}

/// A rectangle of whole frame pixels, `x0 <= x < x1`, `y0 <= y < y1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rect {
    /// Left edge, inside.
    pub x0: usize,
    /// Top edge, inside.
    pub y0: usize,
    /// Right edge, outside.
    pub x1: usize,
    /// Bottom edge, outside.
    pub y1: usize,
}

impl Rect {
    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.x1 - self.x0
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.y1 - self.y0
    }
}

/// The place of a frame in the line, and its picture. Frames are numbered from 0 as they are presented.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Number of the frame in the order of presentation.
    pub idx: u64,
    /// The picture in the source's own pixel format, with its timestamp.
    pub picture: Picture,
}

/// A face as the networks found it in one frame, still trembling and without a name.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundFace {
    /// The 478 points of the face mesh, in frame pixels.
    pub points: Vec<FramePx>,
    /// Probability that there is a face, 0..=1.
    pub presence: f32,
}

/// What is known of a frame's faces before anybody follows them.
#[derive(Debug, Clone)]
pub enum Seen {
    /// Nobody searched the frame, see [`crate::face::DetectEvery`].
    Nothing,
    /// Where the detector sees faces. Nobody measured them: those that are followed are measured where they were.
    Detections(Vec<Detection>),
    /// Faces that were measured, the largest first.
    Faces(Vec<FoundFace>),
}

/// A frame with what was seen in it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The untouched frame.
    pub frame: Frame,
    /// Its faces.
    pub seen: Seen,
    /// Whether the search was such that a face of a later frame wasn't to be seen here when nobody was.
    pub is_thorough: bool,
}

/// How the points of a face came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The detector found it and the mesh network measured it.
    Found,
    /// The mesh network measured it where a neighbouring frame shows it.
    Followed,
    /// Nothing was seen: the points lie on the straight way between the frames around the gap.
    Filled,
}

/// A face that is followed through the clip and held still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// Stable number of the person within the clip.
    pub track: u32,
    /// Which of the cast's roles it plays; 0 where there is one.
    pub role: usize,
    /// The 478 points of the face mesh, in frame pixels, held still.
    pub points: Vec<FramePx>,
    /// The points as they were measured, trembling.
    pub measured: Vec<FramePx>,
    /// How they came about.
    pub origin: Origin,
    /// Probability that there is a face, 0..=1.
    pub presence: f32,
}

impl Face {
    /// What there is to tell of it once it is replaced.
    pub fn replaced(&self) -> Replaced {
        Replaced { role: self.role, track: self.track }
    }

    /// A face of the first role that was found as it is.
    pub fn new(track: u32, points: Vec<FramePx>, presence: f32) -> Self {
        Self { track, role: 0, measured: points.clone(), points, origin: Origin::Found, presence }
    }
}

/// A frame with the faces in it, followed and held still.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// The untouched frame.
    pub frame: Frame,
    /// Its faces, the largest first.
    pub faces: Vec<Face>,
    /// What the tracker knew before it took this frame in, with the few frames where a later run may begin.
    pub memory: Option<Box<Memory>>,
}

/// A new face that is not in the picture yet.
#[derive(Debug, Clone)]
pub struct NewFace {
    /// The face that it replaces.
    pub face: Face,
    /// From the frame to a crop of `pixels`' side.
    pub alignment: Similarity,
    /// The network's picture, `[3, side, side]`.
    pub pixels: Array3<f32>,
    /// What the frame shows in its place, of the same shape: what the network was given.
    pub target: Array3<f32>,
    /// The network's own idea of where its face is, `[side, side]`, or `None` when it has none.
    pub mask: Option<Array2<f32>>,
    /// What of the old face is in view, 0 where a hand or a cup lies in front of it: a square of any side over the
    /// same crop, or `None` when nobody looked.
    pub visible: Option<Array2<f32>>,
    /// What may be the rims of glasses in front of the old face; `None` where nothing may.
    pub rims: Option<Rims>,
    /// How its colours and contrast are to be corrected; `None` as long as nobody has looked at the frames around.
    pub grade: Option<Grade>,
}

impl NewFace {
    /// From the frame to the same crop with another side, pixels.
    pub fn alignment_at(&self, side: usize) -> Similarity {
        self.alignment.scaled(side as f64 / self.pixels.dim().1 as f64)
    }
}

/// A face that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// Which of the cast's roles it played.
    pub role: usize,
    /// Number of the person within the clip.
    pub track: u32,
}

/// A frame with its new faces in it, ready for the encoder.
#[derive(Debug, Clone)]
pub struct Blended {
    /// The finished frame.
    pub frame: Frame,
    /// The faces that are new in it.
    pub replaced: Vec<Replaced>,
    /// As in [`Tracked`].
    pub memory: Option<Box<Memory>>,
}

/// A frame with the faces that shall be put into it.
#[derive(Debug, Clone)]
pub struct Swapped {
    /// The untouched frame.
    pub frame: Frame,
    /// What goes in, in the order of painting.
    pub faces: Vec<NewFace>,
    /// As in [`Tracked`].
    pub memory: Option<Box<Memory>>,
}
