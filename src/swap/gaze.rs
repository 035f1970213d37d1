//! New eyes that look where the old ones look.
//!
//! A network that was shown few glances to the side draws eyes that look where the head points. Where an iris lies in its
//! eye is told by the mesh, in the old face and in the new one alike; so the new irises are moved along their eyes to where
//! the old ones lie in theirs, the white on both sides stretched and squeezed, the lids left where they are. It is a
//! change of the network's picture alone, before anything else looks at that.

use std::collections::VecDeque;

use ndarray::{Array3, Axis};

use crate::{
    Result,
    blend::resample::{Filter, resize},
    curve::smooth_step,
    face::{LandmarkNetwork, Landmarker, guides, mesh},
    frame::{CropPx, NewFace, Swapped},
    line::Stage,
    nn::Runtime,
};

/// Whose gaze new eyes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum GazeOf {
    /// The target's: they look where the old eyes look.
    #[default]
    Target,
    /// As the identity's network draws them.
    Network,
}

/// Farthest place of an iris, widths of the eye from its middle. Beyond, the white beside it is squeezed to nothing and
/// its edge tears.
const FARTHEST: f64 = 0.24;
/// Frames over which it is averaged where the network draws an iris: that hardly moves, and is measured with a tremor.
const N_FRAMES: usize = 5;
/// Least presence of a face in the new picture.
const PRESENCE: f32 = 0.5;
/// Gap between the lids over the eye's width: nothing is moved up to the first, all from the second on.
const OPEN: [f64; 2] = [0.1, 0.18];
/// The same of an eye's width over that of the wider one: of a head in profile the far eye is guessed.
const WIDE: [f64; 2] = [0.45, 0.65];
/// The same of the distance between the old and the new eye's middles, widths of the eye, the other way round: farther apart
/// one of them is measured wrongly.
const APART: [f64; 2] = [0.3, 0.5];
/// Half the length of what is moved, in widths of the eye: a little beyond its corners.
const END: f64 = 0.6;
/// Up to this height, in halves of the opening from its middle, the eye moves as a whole; what lies higher than the second,
/// lashes and skin, stays.
const HEIGHTS: [f64; 2] = [0.9, 1.5];

/// Shifts below this, widths of the eye, aren't seen.
const LEAST_SHIFT: f64 = 1e-3;

/// Measures new faces: at one look, as it was taught to.
const NETWORK: LandmarkNetwork = LandmarkNetwork::Fast;

/// The stage that turns the eyes of new faces.
#[derive(Debug)]
pub struct Gaze {
    landmarker: Landmarker,
    /// Where irises were drawn in the frames before, the newest first: track, and one place for each eye.
    drawn: VecDeque<Vec<(u32, [f64; 2])>>,
}

impl Gaze {
    /// With a mesh network of its own.
    ///
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime) -> Result<Self> {
        let landmarker = Landmarker::of_crops(runtime, NETWORK)?;
        Ok(Self { landmarker, drawn: VecDeque::new() })
    }

    /// The name of its network's file, and the file.
    pub(crate) fn network() -> (&'static str, &'static [u8]) {
        NETWORK.file()
    }

    /// Turns the eyes of one face, and tells where they were drawn; `None` where there are no two eyes to see.
    fn turn(&mut self, face: &mut NewFace) -> Result<Option<[f64; 2]>> {
        let points = &face.face.points;
        if points.len() < mesh::N_POINTS {
            return Ok(None);
        }
        let old: Vec<CropPx> = points.iter().map(|point| face.alignment.to_crop(*point)).collect();
        let old = [0, 1].map(|eye| Eye::of(&old, eye));
        if old.iter().all(|eye| share(eye.gap, OPEN) == 0.0) {
            return Ok(None);
        }
        let Some(new) = self.new_eyes(&face.pixels)? else { return Ok(None) };
        let track = face.face.track;
        let before =
            self.drawn.iter().flatten().filter(|(other, _)| *other == track).map(|(_, drawn)| *drawn);
        let drawn = [0, 1].map(|eye| new[eye].iris);
        let all: Vec<[f64; 2]> = before.chain([drawn]).collect();
        let shifts = [0, 1].map(|eye| {
            let mean = all.iter().map(|drawn| drawn[eye]).sum::<f64>() / all.len() as f64;
            let strength = strength([&old[eye], &old[1 - eye]], &new[eye]);
            // What the network itself draws farther out isn't taken back.
            let farthest = mean.abs().max(FARTHEST);
            (mean, strength * (old[eye].iris.clamp(-farthest, farthest) - mean))
        });
        if shifts.iter().any(|(_, shift)| shift.abs() > LEAST_SHIFT) {
            let untouched = face.pixels.clone();
            for (eye, (mean, shift)) in new.iter().zip(shifts) {
                if shift.abs() > LEAST_SHIFT {
                    eye.move_iris(mean, shift, &untouched, &mut face.pixels);
                }
            }
        }
        Ok(Some(drawn))
    }

    /// The eyes of a new face, `[3, side, side]`.
    fn new_eyes(&mut self, pixels: &Array3<f32>) -> Result<Option<[Eye; 2]>> {
        let side = pixels.dim().2;
        let own = Landmarker::SIDE;
        let flat = pixels.as_standard_layout();
        let seen = flat.as_slice().map(|flat| resize(flat, side, own, Filter::Linear));
        let Some(seen) = seen.and_then(|seen| Array3::from_shape_vec((3, own, own), seen).ok()) else {
            return Ok(None);
        };
        let (mut points, presence) = self.landmarker.points_in(seen)?;
        if presence < PRESENCE || points.iter().any(|p| !(p.x.is_finite() && p.y.is_finite())) {
            return Ok(None);
        }
        let scale = side as f64 / own as f64;
        points.iter_mut().for_each(|p| (p.x, p.y) = (scale * p.x, scale * p.y));
        Ok(Some([0, 1].map(|eye| Eye::of(&points, eye))))
    }
}

impl Stage for Gaze {
    type In = Swapped;
    type Out = Swapped;

    fn push(&mut self, mut swapped: Swapped) -> Result<Option<Swapped>> {
        let mut drawn = Vec::new();
        for face in &mut swapped.faces {
            drawn.extend(self.turn(face)?.map(|drawn| (face.face.track, drawn)));
        }
        self.drawn.push_front(drawn);
        self.drawn.truncate(N_FRAMES - 1);
        Ok(Some(swapped))
    }

    fn finish(&mut self) -> Result<Option<Swapped>> {
        Ok(None)
    }
}

/// How much of the way an eye is moved, 0..=1: `old` is the old eye and the other one beside it.
fn strength(old: [&Eye; 2], new: &Eye) -> f64 {
    let width = old[0].width;
    let apart = (old[0].middle.x - new.middle.x).hypot(old[0].middle.y - new.middle.y) / width;
    let strength = share(old[0].gap.min(new.gap), OPEN)
        * share(width / width.max(old[1].width), WIDE)
        * (1.0 - share(apart, APART));
    if strength.is_finite() { strength } else { 0.0 }
}

/// From 0 at the first limit to 1 at the second, without a corner.
fn share(value: f64, [from, to]: [f64; 2]) -> f64 {
    smooth_step((value - from) / (to - from))
}

/// An eye in its crop. Places in it are in widths of the eye: along the line of its corners, from the middle to the right,
/// and across, downwards.
#[derive(Debug)]
struct Eye {
    middle: CropPx,
    /// Pixels between its corners.
    width: f64,
    /// The direction of that line.
    along: [f64; 2],
    /// Both lids from corner to corner, the upper first: places, sorted along the eye.
    lids: [Vec<[f64; 2]>; 2],
    /// Mean gap between the lids.
    gap: f64,
    /// Where the middle of its iris lies along it, and the radius of that.
    iris: f64,
    radius: f64,
}

impl Eye {
    /// The right (0) or left (1) eye of the points of a mesh.
    fn of(points: &[CropPx], eye: usize) -> Self {
        let corners = mesh::EYE_CORNERS[eye].map(|i| points[i]);
        let [a, b] = if corners[0].x <= corners[1].x { corners } else { [corners[1], corners[0]] };
        let width = (b.x - a.x).hypot(b.y - a.y).max(1e-6);
        let mut it = Self {
            middle: CropPx { x: 0.5 * (a.x + b.x), y: 0.5 * (a.y + b.y) },
            width,
            along: [(b.x - a.x) / width, (b.y - a.y) / width],
            lids: [Vec::new(), Vec::new()],
            gap: 0.0,
            iris: 0.0,
            radius: 0.0,
        };
        let lids = mesh::LIDS[eye].map(|i| points[i]);
        it.gap = guides::lid_gap(corners, &lids);
        let (upper, lower) = lids.split_at(lids.len() / 2);
        it.lids = [upper, lower].map(|lid| {
            let mut places: Vec<[f64; 2]> = lid.iter().map(|p| it.place(p.x, p.y)).collect();
            places.extend([[-END, 0.0], [END, 0.0]]);
            places.sort_by(|p, q| p[0].total_cmp(&q[0]));
            places
        });
        let (iris, radius) = guides::iris(points, eye);
        (it.iris, it.radius) = (it.place(iris.x, iris.y)[0], radius / width);
        it
    }

    /// Where a pixel of the crop lies.
    fn place(&self, x: f64, y: f64) -> [f64; 2] {
        let (x, y) = ((x - self.middle.x) / self.width, (y - self.middle.y) / self.width);
        let [ux, uy] = self.along;
        [x * ux + y * uy, y * ux - x * uy]
    }

    /// The heights of the lids at a place along the eye.
    fn opening(&self, t: f64) -> [f64; 2] {
        let height = |lid: &Vec<[f64; 2]>| {
            let i = lid.partition_point(|p| p[0] < t).clamp(1, lid.len() - 1);
            let ([t0, h0], [t1, h1]) = (lid[i - 1], lid[i]);
            h0 + (h1 - h0) * ((t - t0) / (t1 - t0).max(1e-6)).clamp(0.0, 1.0)
        };
        [height(&self.lids[0]), height(&self.lids[1])]
    }

    /// How far what comes to lie at a place is moved along the eye, in its widths, when the iris goes from `from` on by
    /// `shift`: an iris as a whole, the white on both sides the less, the nearer it is to a corner.
    fn moved(&self, [t, h]: [f64; 2], from: f64, shift: f64) -> f64 {
        let to = from + shift;
        let core = 0.8 * self.radius.clamp(0.14, 0.24);
        // Even ramps: a smooth one is steeper in its middle, and a long way would fold the white over.
        let ramp = |from: f64, to: f64| ((t - from) / (to - from)).clamp(0.0, 1.0);
        let bump = ramp(-END, (to - core).max(0.05 - END)).min(ramp(END, (to + core).min(END - 0.05)));
        let [upper, lower] = self.opening(t);
        let half = (0.5 * (lower - upper)).max(0.08);
        let height = (h - 0.5 * (upper + lower)).abs() / half;
        shift * bump * (1.0 - share(height, HEIGHTS))
    }

    /// Writes the eye of `picture`, `[3, side, side]`, to `out`, with its iris moved along it.
    fn move_iris(&self, from: f64, shift: f64, picture: &Array3<f32>, out: &mut Array3<f32>) {
        let side = picture.dim().2;
        let reach = (END + 0.1) * self.width;
        let pixels = |middle: f64| {
            let range =
                (middle - reach).max(0.0) as usize..((middle + reach).max(0.0) as usize + 1).min(side);
            range.start.min(side)..range.end
        };
        for y in pixels(self.middle.y) {
            for x in pixels(self.middle.x) {
                let (px, py) = (x as f64 + 0.5, y as f64 + 0.5);
                let moved = self.width * self.moved(self.place(px, py), from, shift);
                if moved == 0.0 {
                    continue;
                }
                let taps = Taps::at(px - moved * self.along[0], py - moved * self.along[1], side);
                for (plane, mut out) in picture.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
                    out[[y, x]] = taps.sum(|y, x| plane[[y, x]]).clamp(0.0, 1.0);
                }
            }
        }
    }
}

/// The 4 x 4 pixels around a place, weighed by Catmull and Rom; the border is repeated.
struct Taps {
    columns: [(usize, f32); 4],
    rows: [(usize, f32); 4],
}

impl Taps {
    /// For a place in pixels, whose middles lie at halves.
    fn at(x: f64, y: f64, side: usize) -> Self {
        let axis = |at: f64| {
            let at = at - 0.5;
            [-1.0, 0.0, 1.0, 2.0].map(|k| {
                let pixel = at.floor() + k;
                (pixel.clamp(0.0, side as f64 - 1.0) as usize, Filter::CatmullRom.at(at - pixel) as f32)
            })
        };
        Self { columns: axis(x), rows: axis(y) }
    }

    fn sum(&self, at: impl Fn(usize, usize) -> f32) -> f32 {
        let row = |y: usize| self.columns.iter().map(|(x, weight)| weight * at(y, *x)).sum::<f32>();
        self.rows.iter().map(|(y, weight)| weight * row(*y)).sum()
    }
}

#[cfg(test)]
#[path = "tests/gaze.rs"]
mod tests;
