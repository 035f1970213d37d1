//! Finding faces in a picture: BlazeFace, full range.
//!
//! The network looks at the whole picture in 192 x 192 pixels. It was made for faces at a distance and misses those
//! that fill the frame, so a second look at the picture inside a grey border of half its side follows when the first
//! one finds nothing or only a face that is large already: with the border every one of 1800 synthetic close-ups and
//! half-figures was found, without it 90 %. The other way round it misses faces below 18 of its 192 pixels (a tenth of
//! the frame's long side): for these it looks at overlapping tiles of the picture, see [`SmallFaces`].

use ndarray::{Array3, Array4, ArrayView2, Axis, Ix3, s};

use super::mesh;
use crate::{
    Error, Result,
    frame::FramePx,
    nn::{Network, Runtime},
    video::Picture,
};

pub(super) const NAME: &str = "blazeface_full_192.onnx";
pub(super) const NETWORK: &[u8] = include_bytes!("../../models/blazeface_full_192.onnx");

/// Side of the network's picture.
const SIDE: usize = 192;
/// Anchors to a side; one lies in the middle of every cell of 4 x 4 pixels.
const GRID: usize = 48;
/// Two boxes that overlap more than this show the same face.
const SAME_FACE_IOU: f64 = 0.3;
/// Share of the frame's long side from which on a face may hide a better answer of the second look.
const LARGE: f64 = 0.4;

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

/// When to look for faces between a twentieth and a tenth of the frame's long side; it costs about six times a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum SmallFaces {
    /// Never.
    Never,
    /// In frames that show no larger face.
    #[default]
    WhenAlone,
    /// In every frame.
    Always,
}

/// BlazeFace with its session.
#[derive(Debug)]
pub struct Detector {
    network: Network,
    threshold: f64,
    small_faces: SmallFaces,
}

/// How a picture was put into the network's square: `frame = (network - offset) * scale`.
#[derive(Debug, Clone, Copy)]
struct Letterbox {
    offset: [f64; 2],
    scale: [f64; 2],
}

impl Detector {
    /// `threshold` is the least score, 0..1; 0.5 is the network's own.
    ///
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime, threshold: f64, small_faces: SmallFaces) -> Result<Self> {
        Ok(Self { network: runtime.network(NAME, NETWORK)?, threshold, small_faces })
    }

    /// The faces in a picture that shows upright after `quarter_turns` clockwise turns; the results are in the pixels
    /// of the stored picture, the most certain face first.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub fn detect(&mut self, picture: &Picture, quarter_turns: u8) -> Result<Vec<Detection>> {
        let stored = picture.size_px();
        let size_px = if quarter_turns % 2 == 1 { (stored.1, stored.0) } else { stored };
        let long_side = size_px.0.max(size_px.1) as f64;
        let upright = |side: usize| turned(picture.rgb_reduced(side), quarter_turns);
        let mut found = self.look(&upright(SIDE), size_px, 0.0)?;
        let largest = found.iter().map(|d| d.bounds[3] - d.bounds[1]).fold(0.0, f64::max);
        if largest == 0.0 || largest > LARGE * long_side {
            found.extend(self.look(&upright(SIDE / 2), size_px, 0.5)?);
        }
        let is_alone = found.is_empty() && self.small_faces == SmallFaces::WhenAlone;
        if (is_alone || self.small_faces == SmallFaces::Always) && long_side > SIDE as f64 {
            found.extend(self.look(&upright(2 * SIDE), size_px, 0.0)?);
        }
        let mut faces = merged(found);
        for face in &mut faces {
            face.turn_back(quarter_turns, size_px);
        }
        Ok(faces)
    }

    /// One run on an upright picture of a frame of `size_px`: in the middle of one square filled up with grey of level
    /// `border`, or, when it is larger than the square, in tiles that overlap by half.
    fn look(
        &mut self,
        upright: &Array3<f32>,
        size_px: (usize, usize),
        border: f32,
    ) -> Result<Vec<Detection>> {
        let (_, h, w) = upright.dim();
        let tiles: Vec<(isize, isize)> =
            starts(h).flat_map(|top| starts(w).map(move |left| (left, top))).collect();
        let mut input = Array4::from_elem([tiles.len(), 3, SIDE, SIDE], 2.0 * border - 1.0);
        for (mut square, (left, top)) in input.outer_iter_mut().zip(&tiles) {
            let (from_x, to_x, width) = shared(*left, w);
            let (from_y, to_y, height) = shared(*top, h);
            let part = upright.slice(s![.., from_y..from_y + height, from_x..from_x + width]);
            let target = s![.., to_y..to_y + height, to_x..to_x + width];
            square.slice_mut(target).assign(&part.mapv(|v| 2.0 * v - 1.0));
        }
        let outputs = self.network.run(&[("input", input.view().into_dyn())])?;
        let [boxes, logits] = &outputs[..] else { return Err(wrong_outputs()) };
        let boxes = boxes.view().into_dimensionality::<Ix3>().map_err(|_| wrong_outputs())?;
        let logits = logits.view().into_dimensionality::<Ix3>().map_err(|_| wrong_outputs())?;
        let scale = [size_px.0 as f64 / w as f64, size_px.1 as f64 / h as f64];
        let answers =
            boxes.outer_iter().zip(logits.outer_iter()).zip(&tiles).flat_map(|((boxes, logits), tile)| {
                let letterbox = Letterbox { offset: [-tile.0 as f64, -tile.1 as f64], scale };
                decoded(&boxes, &logits, self.threshold, letterbox)
            });
        Ok(answers.collect())
    }
}

/// Where the squares start along a side of `length`: one in the middle of a short side (below 0 then), else enough
/// to overlap by half.
fn starts(length: usize) -> impl Iterator<Item = isize> + Clone {
    let spare = length as isize - SIDE as isize;
    let n_steps = (spare.max(0) as usize).div_ceil(SIDE / 2) as isize;
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
    Letterbox { offset, scale }: Letterbox,
) -> Vec<Detection> {
    let mut found = Vec::new();
    for (i, (numbers, logit)) in boxes.outer_iter().zip(logits.iter()).enumerate() {
        let score = 1.0 / (1.0 + f64::from(-logit).exp());
        if score <= threshold || numbers.len() != 16 {
            continue;
        }
        let cell = SIDE as f64 / GRID as f64;
        let anchor = [((i % GRID) as f64 + 0.5) * cell, ((i / GRID) as f64 + 0.5) * cell];
        let x = |k: usize| (f64::from(numbers[k]) + anchor[0] - offset[0]) * scale[0];
        let y = |k: usize| (f64::from(numbers[k]) + anchor[1] - offset[1]) * scale[1];
        let (half_w, half_h) =
            (0.5 * f64::from(numbers[2]) * scale[0], 0.5 * f64::from(numbers[3]) * scale[1]);
        found.push(Detection {
            bounds: [x(0) - half_w, y(1) - half_h, x(0) + half_w, y(1) + half_h],
            points: std::array::from_fn(|k| FramePx { x: x(4 + 2 * k), y: y(5 + 2 * k) }),
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

impl Detection {
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
mod tests {
    use super::*;

    #[test]
    fn pictures_and_points_turn_alike() {
        // A 5 x 3 picture with one bright pixel, as stored.
        let (w, h, bright) = (5, 3, (3, 1));
        let mut stored = Array3::<f32>::zeros([3, h, w]);
        stored[[0, bright.1, bright.0]] = 1.0;
        for quarter_turns in 0..4 {
            let upright = turned(stored.clone(), quarter_turns);
            let (_, uh, uw) = upright.dim();
            assert_eq!((uw, uh), if quarter_turns % 2 == 1 { (h, w) } else { (w, h) });
            let (at, _) = upright.indexed_iter().find(|(_, v)| **v > 0.5).expect("the bright pixel is kept");
            let p = FramePx { x: at.2 as f64 + 0.5, y: at.1 as f64 + 0.5 };
            let back = turned_back(p, quarter_turns, (uw, uh));
            assert_eq!(
                back,
                FramePx { x: bright.0 as f64 + 0.5, y: bright.1 as f64 + 0.5 },
                "{quarter_turns} turns"
            );
        }
        // One clockwise turn brings the stored left edge to the top.
        let once = turned(stored, 1);
        assert!(once[[0, bright.0, h - 1 - bright.1]] > 0.5);
    }

    #[test]
    fn tiles_cover_a_side_and_overlap() {
        for length in [1, 2, 96, 191, 192, 193, 216, 288, 384] {
            let starts: Vec<isize> = starts(length).collect();
            let mut covered = vec![false; length];
            for start in &starts {
                let (from, to, n) = shared(*start, length);
                assert!(to + n <= SIDE && n > 0, "{length} {start}");
                covered[from..from + n].fill(true);
            }
            assert!(covered.iter().all(|is| *is), "{length}: {starts:?}");
            assert!(
                starts.windows(2).all(|pair| pair[1] - pair[0] <= SIDE as isize / 2),
                "{length}: {starts:?}"
            );
            assert_eq!(starts.len() == 1, length <= SIDE);
        }
    }

    fn detection(x: f64, score: f64) -> Detection {
        Detection { bounds: [x, 0.0, x + 10.0, 10.0], points: [FramePx { x, y: 1.0 }; 6], score }
    }

    #[test]
    fn overlapping_answers_become_their_weighted_mean() {
        let faces = merged(vec![detection(0.0, 0.6), detection(1.0, 0.9), detection(50.0, 0.7)]);
        assert_eq!(faces.len(), 2);
        assert!((faces[0].bounds[0] - 0.6).abs() < 1e-12 && (faces[0].points[0].x - 0.6).abs() < 1e-12);
        assert_eq!((faces[0].score, faces[1].score), (0.9, 0.7));
        assert_eq!(merged(vec![]), vec![]);
    }

    #[test]
    fn answers_without_extent_end() {
        let point = Detection { bounds: [1.0; 4], ..detection(1.0, 0.8) };
        assert_eq!(merged(vec![point.clone(), point]).len(), 1);
    }
}
