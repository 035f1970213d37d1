//! The rims of glasses: thin lines that go once around each eye.
//!
//! A network that sees a face in 128 pixels doesn't see a wire of half a pixel. But what a rim looks like is known: along
//! all of it, it is darker or brighter than what lies on both sides. So the surroundings of each eye are unrolled to a band,
//! angle by distance, in which a rim is a ridge from one end to the other; the way through the band with the most ridge
//! is found by dynamic programming. There is such a way in every face, along brows, lashes and folds; but only a rim is
//! a ridge along three quarters of its length, around both eyes. How faint that part is at most says how sure it is.
//!
//! Bridge and arms are found in the same way, in bands that lead from rim to rim and outwards.

use ndarray::{Array2, Array3};

use super::{decided, luma};
use crate::{
    face::{
        DEFAULT_MARGIN, Template, align, crop,
        hull::{convex_hull, coverage},
        mesh::{self, BROWS_BOTTOM, BROWS_TOP, EYE_CORNERS, OVAL},
    },
    frame::{CropPx, FramePx, Similarity},
    video::Picture,
};

/// Side of the crop that is looked at, pixels, and of the map.
const SIDE: usize = 256;
/// Directions around an eye.
const N_ANGLES: usize = 128;
/// How near and how far a rim is, widths of the eye; it is lower than wide, and its middle a little below the eye's.
const NEAR: f64 = 0.56;
const FAR: f64 = 1.8;
const FLAT: f64 = 0.8;
const LOWERED: f64 = 0.12;
/// How far from a line the pixels are that it is compared with.
const HALF_WIDTHS: [usize; 3] = [1, 2, 3];
/// Directions, or pixels along a line, on both sides that count with each one: what is no line but grain becomes small.
const ALONG: isize = 3;
/// Slopes of a line in a band.
const SLOPES: [f64; 3] = [-0.6, 0.0, 0.6];
/// A ridge counts up to this share of the skin's luma: a rim that goes on is better than strong hair beside none.
const ENOUGH: f32 = 0.07;
/// What a way loses for each pixel above the brows or outside of the face, for each on a brow, whose hairs are lines as well, and
/// for each that it goes 0, 1 or 2 aside. The same shares.
const OUTSIDE: f32 = 0.03;
const ON_BROW: f32 = 0.03;
const ASIDE: [f32; 3] = [0.0, 0.008, 0.025];
/// The part of a rim that may be fainter than what is said of it.
const FAINT_PART: f64 = 0.25;
/// How strong the ridge of a rim is, luma 0..=1, that is one for certain in half of the cases, and the range of doubt.
const SURE: f32 = 0.017;
const DOUBT: f32 = 0.006;
/// Below that it is none, whatever the frames around say.
const LEAST: f32 = 0.004;
/// Ridge from which a line is wholly seen.
const SEEN: f32 = 0.016;
/// Where bridge and arms may lie above and below the line between their ends, and the length of an arm, widths of the eye.
const BESIDE: f64 = 0.45;
const ARM: f64 = 0.8;

/// Lines in front of a face that may be the rims of glasses.
#[derive(Debug, Clone)]
pub struct Rims {
    /// What of the face is in view beside them, 0..=1, `[256, 256]`.
    visible: Array2<f32>,
    /// From the frame to its pixels.
    alignment: Similarity,
    /// How strong the ridges are, luma 0..=1.
    strength: f32,
}

impl Rims {
    /// How sure it is that these are rims, 0..=1, for the strengths of theirs and of others in the frames around.
    pub(super) fn sureness(strengths: Vec<f32>) -> f32 {
        decided(nth(strengths, 0.5), SURE, DOUBT)
    }

    /// How strong the ridges are, luma 0..=1.
    pub(super) fn strength(&self) -> f32 {
        self.strength
    }

    /// What of the face is in view where the lines are rims to this share.
    pub(super) fn map(&self, sureness: f32) -> super::Map {
        super::Map { values: self.visible.mapv(|v| 1.0 - sureness * (1.0 - v)), alignment: self.alignment }
    }
}

/// The lines in front of the face with these points; `None` where they are far from being rims.
pub(super) fn look_in(picture: &Picture, points: &[FramePx]) -> Option<Rims> {
    if points.len() < mesh::N_POINTS {
        return None;
    }
    let alignment = align(points, &Template::default(), DEFAULT_MARGIN, SIDE);
    let is_sound = alignment.scale() > 1e-4 && alignment.tx.is_finite() && alignment.ty.is_finite();
    is_sound.then(|| trace(&luma(&crop(picture, &alignment, SIDE), 1), &alignment, points)).flatten()
}

/// The same where the face is cut out already: `[3, side, side]`, by `alignment`.
pub(super) fn look(
    picture: &Picture,
    (pixels, alignment): (&Array3<f32>, &Similarity),
    points: &[FramePx],
) -> Option<Rims> {
    let side = pixels.dim().2;
    if side == 0 || !side.is_multiple_of(SIDE) || points.len() < mesh::N_POINTS {
        return look_in(picture, points);
    }
    let factor = side / SIDE;
    trace(&luma(pixels, factor), &alignment.scaled(1.0 / factor as f64), points)
}

fn trace(luma: &Array2<f32>, alignment: &Similarity, points: &[FramePx]) -> Option<Rims> {
    let points: Vec<CropPx> = points.iter().map(|point| alignment.to_crop(*point)).collect();
    let eyes = Eye::both(&points)?;
    let face = coverage(&convex_hull(&OVAL.map(|i| points[i])), SIDE);
    let mut brows = Array2::zeros([SIDE, SIDE]);
    for (top, bottom) in BROWS_TOP.iter().zip(&BROWS_BOTTOM) {
        let brow: Vec<CropPx> = top.iter().chain(bottom).map(|i| points[*i]).collect();
        brows += &coverage(&convex_hull(&brow), SIDE);
    }
    let rims = eyes.each_ref().map(|eye| {
        let band = Band::sampled(luma, N_ANGLES, eye.n_steps(), true, |angle, step| eye.place(angle, step));
        band.best(|place| match () {
            () if at(&face, place) < 0.5 || !eye.is_below_brow(place) => Ground::Outside,
            () if at(&brows, place) > 0.5 => Ground::Brow,
            () => Ground::Skin,
        })
    });
    let strength = rims.iter().map(Line::strength).fold(f32::INFINITY, f32::min);
    if strength < LEAST {
        return None;
    }
    let mut visible = Array2::ones([SIDE, SIDE]);
    for line in rims.iter().chain(&joints(luma, &eyes, &rims)) {
        line.draw(&mut visible);
    }
    Some(Rims { visible, alignment: *alignment, strength })
}

/// The bridge between two rims and the arms beyond them, as far as they are seen.
fn joints(luma: &Array2<f32>, eyes: &[Eye; 2], rims: &[Line; 2]) -> Vec<Line> {
    let [right, left] = eyes;
    let (dx, dy) = (left.middle.x - right.middle.x, left.middle.y - right.middle.y);
    let apart = dx.hypot(dy).max(1.0);
    let across = (dx / apart, dy / apart);
    let ends = [-1.0, 1.0].map(|sign| (sign * across.0, sign * across.1));
    // The point of a rim that is furthest in a direction.
    let furthest = |rim: &Line, (x, y): (f64, f64)| {
        rim.places.iter().copied().max_by(|a, b| (a.x * x + a.y * y).total_cmp(&(b.x * x + b.y * y)))
    };
    let inner = [furthest(&rims[0], ends[1]), furthest(&rims[1], ends[0])];
    let outer = [0, 1].map(|eye| {
        let from = furthest(&rims[eye], ends[eye])?;
        let length = ARM * eyes[eye].width;
        let to = CropPx { x: from.x + length * ends[eye].0, y: from.y + length * ends[eye].1 };
        Some([from, to])
    });
    let bridge = inner[0].zip(inner[1]).map(|(a, b)| [a, b]);
    let room = BESIDE * right.width.max(left.width);
    let line = |[a, b]: [CropPx; 2]| {
        let (x, y) = (b.x - a.x, b.y - a.y);
        let length = x.hypot(y).max(1.0);
        let (n_along, n_beside) = (length.ceil() as usize + 1, room.ceil() as usize);
        let band = Band::sampled(luma, n_along, 2 * n_beside + 1, false, |along, beside| {
            let (t, off) = (along as f64 / length, beside as f64 - n_beside as f64);
            CropPx { x: a.x + t * x - off * y / length, y: a.y + t * y + off * x / length }
        });
        band.best(|_| Ground::Skin)
    };
    let lines = [outer[0], bridge, outer[1]].into_iter().flatten().map(line);
    lines.filter(|line| line.strength() > 0.5 * SURE).collect()
}

/// Where an eye is in the crop.
struct Eye {
    middle: CropPx,
    width: f64,
    /// From the middle to the side, as long as the eye is wide, and downwards, as long as the wider eye; to the middle of
    /// a rim.
    side: (f64, f64),
    down: (f64, f64),
    /// How far down from the middle, pixels, the brow's upper edge is; negative.
    brow: f64,
}

impl Eye {
    fn both(points: &[CropPx]) -> Option<[Self; 2]> {
        let corners = EYE_CORNERS.map(|corners| corners.map(|corner| points[corner]));
        let widths = corners.map(|[a, b]| (b.x - a.x).hypot(b.y - a.y));
        if widths.iter().any(|width| !(4.0..SIDE as f64).contains(width)) {
            return None;
        }
        let wider = widths[0].max(widths[1]);
        Some([0, 1].map(|eye| {
            let ([a, b], width) = (corners[eye], widths[eye]);
            let (x, y) = ((b.x - a.x) / width, (b.y - a.y) / width);
            // Corners may be given from right to left.
            let down = if x < 0.0 { (y, -x) } else { (-y, x) };
            let middle = CropPx {
                x: 0.5 * (a.x + b.x) + LOWERED * wider * down.0,
                y: 0.5 * (a.y + b.y) + LOWERED * wider * down.1,
            };
            let height = |i: usize| (points[i].x - middle.x) * down.0 + (points[i].y - middle.y) * down.1;
            Self {
                middle,
                width,
                side: (width * x, width * y),
                down: (FLAT * wider * down.0, FLAT * wider * down.1),
                brow: BROWS_TOP[eye].into_iter().map(height).fold(f64::INFINITY, f64::min),
            }
        }))
    }

    /// Steps of a pixel from the nearest place of a rim to the farthest.
    fn n_steps(&self) -> usize {
        (((FAR - NEAR) * self.width).round() as usize).max(24)
    }

    fn place(&self, angle: usize, step: usize) -> CropPx {
        let (sin, cos) = (std::f64::consts::TAU * angle as f64 / N_ANGLES as f64).sin_cos();
        let far = NEAR + (FAR - NEAR) * step as f64 / self.n_steps() as f64;
        CropPx {
            x: self.middle.x + far * (cos * self.side.0 + sin * self.down.0),
            y: self.middle.y + far * (cos * self.side.1 + sin * self.down.1),
        }
    }

    fn is_below_brow(&self, place: CropPx) -> bool {
        let length = self.down.0.hypot(self.down.1);
        let down =
            ((place.x - self.middle.x) * self.down.0 + (place.y - self.middle.y) * self.down.1) / length;
        down >= self.brow
    }
}

/// A strip of a picture along which a line may lie.
struct Band {
    /// `[along, across]`: luma.
    values: Array2<f32>,
    /// Where they lie in the crop.
    places: Array2<CropPx>,
    /// Its end is its beginning.
    is_closed: bool,
}

/// What a line would lie on.
enum Ground {
    Skin,
    Brow,
    /// Above the brows or beside the face: no rim is there.
    Outside,
}

/// A line in the crop.
struct Line {
    places: Vec<CropPx>,
    /// How strong its ridge is at each place, luma 0..=1.
    ridge: Vec<f32>,
    /// What grain alone makes of a place, the same.
    grain: f32,
    /// Half of its width, pixels.
    half_width: f64,
    is_closed: bool,
}

impl Band {
    fn sampled(
        luma: &Array2<f32>,
        n_along: usize,
        n_across: usize,
        is_closed: bool,
        place: impl Fn(usize, usize) -> CropPx,
    ) -> Self {
        let places = Array2::from_shape_fn([n_along, n_across], |(along, across)| place(along, across));
        Self { values: places.mapv(|place| at(luma, place)), places, is_closed }
    }

    /// The way through it with the most ridge.
    fn best(&self, ground: impl Fn(CropPx) -> Ground) -> Line {
        let of_width = HALF_WIDTHS.map(|half| self.ridges(half));
        let mut ridges =
            of_width.iter().fold(Array2::zeros(self.values.dim()), |mut all: Array2<f32>, one| {
                all.zip_mut_with(one, |all, one| *all = all.max(*one));
                all
            });
        let skin = nth(self.values.iter().copied().collect(), 0.5).max(1e-3);
        let grain = nth(ridges.iter().copied().collect(), 0.5);
        let mut gains = ridges.mapv(|ridge| (ridge / skin).min(ENOUGH));
        for ((at, ridge), gain) in ridges.indexed_iter_mut().zip(&mut gains) {
            match ground(self.places[at]) {
                Ground::Skin => {}
                Ground::Brow => *gain -= ON_BROW,
                Ground::Outside => (*ridge, *gain) = (0.0, -OUTSIDE),
            }
        }
        let way = best_way(&gains, self.is_closed);
        let along_way = |plane: &Array2<f32>| -> Vec<f32> {
            way.iter().enumerate().map(|(along, across)| plane[[along, *across]]).collect()
        };
        let sums = of_width.each_ref().map(|ridges| along_way(ridges).iter().sum::<f32>());
        let enough = 0.75 * sums.iter().copied().fold(0.0, f32::max);
        let half_width =
            sums.iter().zip(HALF_WIDTHS).find(|(sum, _)| **sum >= enough).map_or(1, |(_, half)| half);
        Line {
            places: way.iter().enumerate().map(|(along, across)| self.places[[along, *across]]).collect(),
            ridge: along_way(&ridges),
            grain,
            // What it is compared with lies beyond its soft edge.
            half_width: 0.75 * half_width as f64 + 0.25,
            is_closed: self.is_closed,
        }
    }

    /// By how much each value differs from those `half` before and behind it across the band, if it does so in one
    /// direction from both; 0 elsewhere. Of means along the slopes in which that is most.
    fn ridges(&self, half: usize) -> Array2<f32> {
        let (n_along, n_across) = self.values.dim();
        let mut ridges = Array2::zeros([n_along, n_across]);
        if n_across <= 2 * half {
            return ridges;
        }
        let mut mean = vec![0.0_f32; n_across];
        for slope in SLOPES {
            for along in 0..n_along {
                mean.fill(0.0);
                for off in -ALONG..=ALONG {
                    let row = self.values.row(self.row(along as isize + off));
                    let shift = (slope * off as f64).round() as isize;
                    for (across, mean) in mean.iter_mut().enumerate() {
                        *mean += row[(across as isize + shift).clamp(0, n_across as isize - 1) as usize];
                    }
                }
                let n = (2 * ALONG + 1) as f32;
                for across in half..n_across - half {
                    let (low, here, high) = (mean[across - half], mean[across], mean[across + half]);
                    let ridge = (low.min(high) - here).max(here - low.max(high)) / n;
                    let best: &mut f32 = &mut ridges[[along, across]];
                    *best = best.max(ridge);
                }
            }
        }
        ridges
    }

    /// The row for a place along the band that may lie beyond its ends.
    fn row(&self, along: isize) -> usize {
        let n = self.values.dim().0 as isize;
        (if self.is_closed { along.rem_euclid(n) } else { along.clamp(0, n - 1) }) as usize
    }
}

impl Line {
    /// The least ridge that all but a part of it has, above what grain makes of any place.
    fn strength(&self) -> f32 {
        nth(self.ridge.clone(), FAINT_PART) - self.grain
    }

    /// Takes the line out of a map, where it is seen.
    fn draw(&self, visible: &mut Array2<f32>) {
        let (height, width) = visible.dim();
        let n = self.places.len();
        let place = |i: isize| {
            if self.is_closed { i.rem_euclid(n as isize) } else { i.clamp(0, n as isize - 1) }
        };
        // No line is dotted.
        let near = |i: usize| {
            let around = (-2..=2).map(|off| self.ridge[place(i as isize + off) as usize]);
            around.sum::<f32>() / 5.0
        };
        let n_pieces = if self.is_closed { n } else { n.saturating_sub(1) };
        for i in 0..n_pieces {
            let (a, b) = (self.places[i], self.places[(i + 1) % n]);
            let share = (near(i) / SEEN).min(1.0);
            let room = self.half_width + 1.0;
            let span = |a: f64, b: f64, end: usize| {
                let low = (a.min(b) - room).max(0.0) as usize;
                low..((a.max(b) + room).max(0.0).ceil() as usize).min(end)
            };
            for y in span(a.y, b.y, height) {
                for x in span(a.x, b.x, width) {
                    let off = distance(CropPx { x: x as f64 + 0.5, y: y as f64 + 0.5 }, a, b);
                    let covered = share * (self.half_width + 0.5 - off).clamp(0.0, 1.0) as f32;
                    visible[[y, x]] = visible[[y, x]].min(1.0 - covered);
                }
            }
        }
    }
}

/// For each row the column of the way with the greatest sum; of a closed one its end fits its beginning.
fn best_way(gains: &Array2<f32>, is_closed: bool) -> Vec<usize> {
    let (n_rows, n_columns) = gains.dim();
    if n_rows == 0 || n_columns == 0 {
        return Vec::new();
    }
    // Three rounds: the one in the middle has forgotten where the first began, and where the last ends.
    let n_rounds = if is_closed { 3 } else { 1 };
    let mut sums: Vec<f32> = gains.row(0).to_vec();
    let mut from = Array2::<i8>::zeros([n_rounds * n_rows, n_columns]);
    for i in 1..n_rounds * n_rows {
        let before = std::mem::take(&mut sums);
        let gains = gains.row(i % n_rows);
        sums.extend((0..n_columns).map(|column| {
            let mut best = (before[column], 0_i8);
            for aside in [-1_i8, 1, -2, 2] {
                let Some(other) = column.checked_add_signed(isize::from(aside)) else { continue };
                let Some(sum) = before.get(other).map(|sum| sum - ASIDE[usize::from(aside.unsigned_abs())])
                else {
                    continue;
                };
                if sum > best.0 {
                    best = (sum, aside);
                }
            }
            from[[i, column]] = best.1;
            gains[column] + best.0
        }));
    }
    let mut column = (0..n_columns).max_by(|a, b| sums[*a].total_cmp(&sums[*b])).unwrap_or(0);
    let mut way = vec![column; n_rounds * n_rows];
    for i in (1..n_rounds * n_rows).rev() {
        column = column.saturating_add_signed(isize::from(from[[i, column]]));
        way[i - 1] = column;
    }
    let first = if is_closed { n_rows } else { 0 };
    way[first..first + n_rows].to_vec()
}

/// A plane's value at a place, bilinear; its border goes on outside.
fn at(plane: &Array2<f32>, place: CropPx) -> f32 {
    let (height, width) = plane.dim();
    let (x, y) =
        ((place.x - 0.5).clamp(0.0, width as f64 - 1.0), (place.y - 0.5).clamp(0.0, height as f64 - 1.0));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (part_x, part_y) = ((x - left as f64) as f32, (y - top as f64) as f32);
    let row = |y: usize| plane[[y, left]] + part_x * (plane[[y, right]] - plane[[y, left]]);
    row(top) + part_y * (row(bottom) - row(top))
}

/// From a point to the piece of a line between `a` and `b`.
fn distance(p: CropPx, a: CropPx, b: CropPx) -> f64 {
    let (x, y) = (b.x - a.x, b.y - a.y);
    let t = (((p.x - a.x) * x + (p.y - a.y) * y) / (x * x + y * y).max(1e-12)).clamp(0.0, 1.0);
    (p.x - a.x - t * x).hypot(p.y - a.y - t * y)
}

/// The value that this part of all is below, 0 of none.
fn nth(mut values: Vec<f32>, part: f64) -> f32 {
    let nth = (part * values.len() as f64) as usize;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(nth, f32::total_cmp).1 }
}

#[cfg(test)]
#[path = "rims_tests.rs"]
mod tests;
