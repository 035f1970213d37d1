//! Finding faces in a picture: BlazeFace, full range.
//!
//! The network looks at the whole picture in 192 x 192 pixels. It was made for faces at a distance and misses those
//! that fill the frame, so a second look at the picture inside a grey border of half its side follows when the first
//! one finds nothing or only a face that is large already: with the border every one of 1800 synthetic close-ups and
//! half-figures was found, without it 90 %. The other way round it finds faces from 14 to 16 of its 192 pixels on, a
//! twelfth of the frame's long side: smaller ones are looked for in overlapping tiles of larger pictures
//! ([`super::search`] says when). It finds a head that leans by up to 60 degrees; beyond that the picture is turned by
//! quarters. An upside-down head is now and then taken for an upright one (40 % of 69 people turned by 135 to 225
//! degrees), but with a lower score (0.51 to 0.70) than the right way round (0.57 to 0.93): where turns differ, the score
//! decides.

use ndarray::{Array3, Array4, ArrayView2, Axis, Ix3, Zip, s};

use super::{
    landmark::Region,
    mesh,
    resample::{self, Interpolation},
    search::{Angles, Effort, SmallFaces, levels},
};
use crate::{
    Error, Result,
    frame::{CropPx, Found, Frame, FramePx, Seen, Similarity},
    nn::{Network, Runtime},
    video::Picture,
};

pub(super) const NAME: &str = "blazeface_full_192.onnx";
pub(super) const NETWORK: &[u8] = include_bytes!("../../models/blazeface_full_192.onnx");

/// Side of the network's picture.
pub(super) const SIDE: usize = 192;
/// Anchors to a side; one lies in the middle of every cell of 4 x 4 pixels.
const GRID: usize = 48;
/// Two boxes that overlap more than this show the same face.
const SAME_FACE_IOU: f64 = 0.3;
/// Share of the frame's long side from which on a face may hide a better answer of the second look.
const LARGE: f64 = 0.4;
/// Tiles that the network is given at once, so that a large frame takes no more memory than a small one.
const BATCH: usize = 8;
/// Side of the square that is searched around a known face, in sides of its region: the face is a third of it.
const AROUND: f64 = 2.0;

/// A face as a box with six points.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Left, top, right and bottom of the upright picture's box. In a turned picture the sides change places.
    pub bounds: [f64; 4],
    /// Right eye, left eye, tip of the nose, mouth, right ear, left ear.
    pub points: [FramePx; 6],
    /// Probability that it is a face, 0..=1.
    pub score: f64,
}

/// BlazeFace with its session.
#[derive(Debug)]
pub struct Detector {
    network: Network,
    settings: DetectorSettings,
}

/// What is taken for a face, and where it is looked for.
#[derive(Debug, Clone)]
pub struct DetectorSettings {
    /// Least score, 0..1; 0.5 is the network's own.
    pub threshold: f64,
    /// Clockwise quarter turns that show the stored picture upright, 0..=3.
    pub quarter_turns: u8,
    /// How heads may stand in the upright picture.
    pub angles: Angles,
    /// When to look for small faces.
    pub small_faces: SmallFaces,
}

/// How a part of a picture was put into the network's square.
#[derive(Debug, Clone, Copy)]
enum Placed {
    /// Reduced and shifted: `frame = (network - offset) * scale`.
    Tile { offset: [f64; 2], scale: [f64; 2] },
    /// Cut out, possibly turned.
    Cut(Similarity),
}

impl Placed {
    /// A point of the network's square in the frame.
    fn to_frame(self, x: f64, y: f64) -> FramePx {
        match self {
            Self::Tile { offset, scale } => {
                FramePx { x: (x - offset[0]) * scale[0], y: (y - offset[1]) * scale[1] }
            }
            Self::Cut(alignment) => alignment.to_frame(CropPx { x, y }),
        }
    }

    /// Frame pixels per pixel of the network's square, along both sides.
    fn scale(self) -> [f64; 2] {
        match self {
            Self::Tile { scale, .. } => scale,
            Self::Cut(alignment) => [1.0 / alignment.scale(); 2],
        }
    }
}

impl Detector {
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime, settings: DetectorSettings) -> Result<Self> {
        Ok(Self { network: runtime.network(NAME, NETWORK)?, settings })
    }

    /// The detector as a worker of the line that searches every frame whose number `every` divides.
    pub fn into_worker(mut self, every: u64) -> impl FnMut(Frame) -> Result<Found> + Send {
        let thorough =
            if self.settings.small_faces == SmallFaces::Auto { Effort::Wide } else { Effort::Careful };
        move |frame| {
            if !frame.idx.is_multiple_of(every.max(1)) {
                return Ok(Found { frame, seen: Seen::Nothing, is_thorough: false });
            }
            let effort = Effort::at(frame.idx, every);
            let seen = Seen::Detections(self.detect(&frame.picture, effort)?);
            Ok(Found { frame, seen, is_thorough: effort >= thorough })
        }
    }

    /// The faces in a picture, in the pixels of the stored picture, the most certain one first.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn detect(&mut self, picture: &Picture, effort: Effort) -> Result<Vec<Detection>> {
        let heads = match &self.settings.angles {
            Angles::Auto => vec![0],
            Angles::Given(heads) => heads.clone(),
        };
        let mut found = Vec::new();
        for head in &heads {
            found.extend(self.detect_whole(picture, *head, true)?);
        }
        let is_wanted = match effort {
            Effort::Quick => false,
            Effort::Careful | Effort::Wide => found.is_empty(),
            Effort::Whole => true,
        };
        if is_wanted && self.settings.angles == Angles::Auto {
            for head in 1..4 {
                found.extend(self.detect_whole(picture, head, effort == Effort::Whole)?);
            }
        }
        for head in heads {
            self.add_small(picture, head, effort, &mut found)?;
        }
        Ok(apart(found))
    }

    /// The faces around one that a neighbouring frame shows in `region`, which is level with its eyes.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn detect_around(&mut self, picture: &Picture, region: &Region) -> Result<Vec<Detection>> {
        let alignment = region.enlarged(AROUND).alignment_to(SIDE);
        let square = resample::cut(picture, &alignment, SIDE, Interpolation::Bilinear);
        let input = square.mapv(|v| 2.0 * v - 1.0).insert_axis(Axis(0));
        Ok(merged(self.run(&input, &[Placed::Cut(alignment)])?))
    }

    /// The faces of heads that lean about `head` clockwise quarter turns in the upright picture, as far as the whole
    /// frame shows them; close-ups only if they are wanted.
    fn detect_whole(&mut self, picture: &Picture, head: u8, close_ups: bool) -> Result<Vec<Detection>> {
        let turn = self.turn(picture, head);
        let mut found = self.look(&turn.reduced(picture, SIDE), turn.size_px, 0.0, 0)?;
        if close_ups && (found.is_empty() || largest(&found) > LARGE * turn.long_side()) {
            found.extend(self.look(&turn.reduced(picture, SIDE / 2), turn.size_px, 0.5, 0)?);
        }
        Ok(turn.back(merged(found)))
    }

    /// Adds those that only tiles of a larger picture show, where no face is so large that nobody misses them.
    fn add_small(
        &mut self,
        picture: &Picture,
        head: u8,
        effort: Effort,
        found: &mut Vec<Detection>,
    ) -> Result<()> {
        let turn = self.turn(picture, head);
        let long_side = turn.long_side();
        for level in levels(long_side as usize, effort, self.settings.small_faces) {
            if level.is_wanted(largest(found) / long_side) {
                let upright = turn.reduced(picture, level.long_side);
                let small = self.look(&upright, turn.size_px, 0.0, level.overlap)?;
                found.extend(turn.back(merged(small)));
            }
        }
        Ok(())
    }

    /// Turning the picture back by as much as a head is turned makes that one upright.
    fn turn(&self, picture: &Picture, head: u8) -> Turn {
        let quarters = (self.settings.quarter_turns + 4 - head % 4) % 4;
        let (w, h) = picture.size_px();
        Turn { quarters, size_px: if quarters % 2 == 1 { (h, w) } else { (w, h) } }
    }

    /// One run on an upright picture of a frame of `size_px`: in the middle of one square filled up with grey of level
    /// `border`, or, when it is larger than the square, in tiles that overlap by at least `overlap` pixels.
    fn look(
        &mut self,
        upright: &Array3<f32>,
        size_px: (usize, usize),
        border: f32,
        overlap: usize,
    ) -> Result<Vec<Detection>> {
        let (_, h, w) = upright.dim();
        let scale = [size_px.0 as f64 / w as f64, size_px.1 as f64 / h as f64];
        let tiles: Vec<(isize, isize)> =
            starts(h, overlap).flat_map(|top| starts(w, overlap).map(move |left| (left, top))).collect();
        let mut found = Vec::new();
        for tiles in tiles.chunks(BATCH) {
            let mut input = Array4::from_elem([tiles.len(), 3, SIDE, SIDE], 2.0 * border - 1.0);
            for (mut square, (left, top)) in input.outer_iter_mut().zip(tiles) {
                let (from_x, to_x, width) = shared(*left, w);
                let (from_y, to_y, height) = shared(*top, h);
                let part = upright.slice(s![.., from_y..from_y + height, from_x..from_x + width]);
                let target = s![.., to_y..to_y + height, to_x..to_x + width];
                Zip::from(square.slice_mut(target)).and(part).for_each(|to, v| *to = 2.0 * v - 1.0);
            }
            let place =
                |tile: &(isize, isize)| Placed::Tile { offset: [-tile.0 as f64, -tile.1 as f64], scale };
            let places: Vec<Placed> = tiles.iter().map(place).collect();
            found.extend(self.run(&input, &places)?);
        }
        Ok(found)
    }

    /// The network on squares `[N, 3, 192, 192]`, -1..=1, that show `places`.
    fn run(&mut self, squares: &Array4<f32>, places: &[Placed]) -> Result<Vec<Detection>> {
        let outputs = self.network.run(&[("input", squares.view().into_dyn())])?;
        let [boxes, logits] = &outputs[..] else { return Err(wrong_outputs()) };
        let boxes = boxes.view().into_dimensionality::<Ix3>().map_err(|_| wrong_outputs())?;
        let logits = logits.view().into_dimensionality::<Ix3>().map_err(|_| wrong_outputs())?;
        let answers = boxes.outer_iter().zip(logits.outer_iter()).zip(places);
        let threshold = self.settings.threshold;
        Ok(answers.flat_map(|((boxes, logits), place)| decoded(&boxes, &logits, threshold, *place)).collect())
    }
}

/// A picture turned by clockwise quarters.
#[derive(Debug, Clone, Copy)]
struct Turn {
    quarters: u8,
    /// Width and height after the turn.
    size_px: (usize, usize),
}

impl Turn {
    fn long_side(self) -> f64 {
        self.size_px.0.max(self.size_px.1) as f64
    }

    /// The picture, reduced to a long side of `side`, after the turn.
    fn reduced(self, picture: &Picture, side: usize) -> Array3<f32> {
        turned(picture.rgb_reduced(side), self.quarters)
    }

    /// From the turned to the stored picture.
    fn back(self, mut found: Vec<Detection>) -> Vec<Detection> {
        found.iter_mut().for_each(|face| face.turn_back(self.quarters, self.size_px));
        found
    }
}

/// The longer side of the largest face, pixels; 0 without one.
fn largest(found: &[Detection]) -> f64 {
    found.iter().map(Detection::side).fold(0.0, f64::max)
}

/// Where the squares start along a side of `length`: one in the middle of a short side (below 0 then), else enough
/// to overlap by `overlap`.
fn starts(length: usize, overlap: usize) -> impl Iterator<Item = isize> + Clone {
    let spare = length as isize - SIDE as isize;
    let n_steps = (spare.max(0) as usize).div_ceil(SIDE - overlap) as isize;
    (0..=n_steps).map(move |i| if n_steps == 0 { spare.div_euclid(2) } else { spare * i / n_steps })
}

/// What a square from `start` on and a side of `length` share: start on the side, start in the square, length.
fn shared(start: isize, length: usize) -> (usize, usize, usize) {
    let (from, to) = (start.max(0) as usize, (-start).max(0) as usize);
    (from, to, (length - from).min(SIDE - to))
}

fn wrong_outputs() -> Error {
    Error::model(NAME, "has not the outputs boxes and logits of models/README.md")
}

/// The picture after clockwise quarter turns.
fn turned(picture: Array3<f32>, quarter_turns: u8) -> Array3<f32> {
    let mut view = picture.view();
    match quarter_turns % 4 {
        0 => return picture,
        1 => {
            view.swap_axes(1, 2);
            view.invert_axis(Axis(2));
        }
        2 => {
            view.invert_axis(Axis(1));
            view.invert_axis(Axis(2));
        }
        _ => {
            view.swap_axes(1, 2);
            view.invert_axis(Axis(1));
        }
    }
    view.to_owned()
}

/// A point of the upright picture, whose size is `size_px`, in the stored picture.
fn turned_back(p: FramePx, quarter_turns: u8, size_px: (usize, usize)) -> FramePx {
    let (w, h) = (size_px.0 as f64, size_px.1 as f64);
    match quarter_turns % 4 {
        0 => p,
        1 => FramePx { x: p.y, y: w - p.x },
        2 => FramePx { x: w - p.x, y: h - p.y },
        _ => FramePx { x: h - p.y, y: p.x },
    }
}

/// Reads the network's boxes `[2304, 16]` and scores `[2304, 1]`.
///
/// Numbers are pixels of the network's picture; centre and points are relative to the middle of the anchor's cell.
fn decoded(
    boxes: &ArrayView2<'_, f32>,
    logits: &ArrayView2<'_, f32>,
    threshold: f64,
    place: Placed,
) -> Vec<Detection> {
    let scale = place.scale();
    let mut found = Vec::new();
    for (i, (numbers, logit)) in boxes.outer_iter().zip(logits.iter()).enumerate() {
        let score = 1.0 / (1.0 + f64::from(-logit).exp());
        if score <= threshold || numbers.len() != 16 {
            continue;
        }
        let cell = SIDE as f64 / GRID as f64;
        let anchor = [((i % GRID) as f64 + 0.5) * cell, ((i / GRID) as f64 + 0.5) * cell];
        let at = |k: usize| {
            place.to_frame(f64::from(numbers[k]) + anchor[0], f64::from(numbers[k + 1]) + anchor[1])
        };
        let half = |k: usize| 0.5 * f64::from(numbers[2 + k]) * scale[k];
        let (centre, half_w, half_h) = (at(0), half(0), half(1));
        found.push(Detection {
            bounds: [centre.x - half_w, centre.y - half_h, centre.x + half_w, centre.y + half_h],
            points: std::array::from_fn(|k| at(4 + 2 * k)),
            score,
        });
    }
    found
}

/// Weighted non-maximum suppression: overlapping answers become their mean, weighted by their scores.
fn merged(mut found: Vec<Detection>) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces = Vec::new();
    while let Some(best) = found.first().cloned() {
        let (same, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|d| mesh::iou(&d.bounds, &best.bounds) > SAME_FACE_IOU || *d == best);
        let total: f64 = same.iter().map(|d| d.score).sum();
        let mean =
            |value: &dyn Fn(&Detection) -> f64| same.iter().map(|d| d.score * value(d)).sum::<f64>() / total;
        faces.push(Detection {
            bounds: std::array::from_fn(|i| mean(&|d| d.bounds[i])),
            points: std::array::from_fn(|i| FramePx {
                x: mean(&|d| d.points[i].x),
                y: mean(&|d| d.points[i].y),
            }),
            score: best.score,
        });
        found = others;
    }
    faces
}

/// Of overlapping faces that were seen in different turns of the picture the most certain one.
fn apart(mut found: Vec<Detection>) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces: Vec<Detection> = Vec::new();
    for face in found {
        if faces.iter().all(|other| mesh::iou(&face.bounds, &other.bounds) <= SAME_FACE_IOU) {
            faces.push(face);
        }
    }
    faces
}

impl Detection {
    /// The longer side of its box, pixels.
    pub fn side(&self) -> f64 {
        let [x0, y0, x1, y1] = self.bounds;
        (x1 - x0).max(y1 - y0)
    }

    /// From the upright to the stored picture.
    fn turn_back(&mut self, quarter_turns: u8, size_px: (usize, usize)) {
        self.points = self.points.map(|p| turned_back(p, quarter_turns, size_px));
        let corner = |x: usize, y: usize| {
            turned_back(FramePx { x: self.bounds[x], y: self.bounds[y] }, quarter_turns, size_px)
        };
        let (a, b) = (corner(0, 1), corner(2, 3));
        self.bounds = [a.x.min(b.x), a.y.min(b.y), a.x.max(b.x), a.y.max(b.y)];
    }
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
