//! Thin lines in a strip of a picture: ridges, and the way along which there is most of them.

use ndarray::Array2;

use crate::frame::CropPx;

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
/// Ridge from which a line is wholly seen.
const SEEN: f32 = 0.016;

/// A strip of a picture along which a line may lie.
pub(super) struct Band {
    /// `[along, across]`: luma.
    values: Array2<f32>,
    /// Where they lie in the crop.
    places: Array2<CropPx>,
    /// Its end is its beginning.
    is_closed: bool,
}

/// What a line would lie on.
pub(super) enum Ground {
    Skin,
    Brow,
    /// Above the brows or beside the face: no rim is there.
    Outside,
}

/// A line in the crop.
pub(super) struct Line {
    pub places: Vec<CropPx>,
    /// How strong its ridge is at each place, luma 0..=1.
    ridge: Vec<f32>,
    /// What grain alone makes of a place, the same.
    grain: f32,
    /// Half of its width, pixels.
    half_width: f64,
    is_closed: bool,
}

impl Band {
    pub(super) fn sampled(
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
    pub(super) fn best(&self, ground: impl Fn(CropPx) -> Ground) -> Line {
        let of_width = self.ridges();
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

    /// For each half width by how much each value differs from those as far before and behind it across the band, if it
    /// does so in one direction from both; 0 elsewhere. Of means along the slopes in which that is most.
    fn ridges(&self) -> [Array2<f32>; HALF_WIDTHS.len()] {
        let (n_along, n_across) = self.values.dim();
        let mut all = HALF_WIDTHS.map(|_| Array2::zeros([n_along, n_across]));
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
                for (ridges, half) in all.iter_mut().zip(HALF_WIDTHS) {
                    for across in half..n_across.saturating_sub(half) {
                        let (low, here, high) = (mean[across - half], mean[across], mean[across + half]);
                        let ridge = (low.min(high) - here).max(here - low.max(high)) / n;
                        let best: &mut f32 = &mut ridges[[along, across]];
                        *best = best.max(ridge);
                    }
                }
            }
        }
        all
    }

    /// The row for a place along the band that may lie beyond its ends.
    fn row(&self, along: isize) -> usize {
        let n = self.values.dim().0 as isize;
        (if self.is_closed { along.rem_euclid(n) } else { along.clamp(0, n - 1) }) as usize
    }
}

impl Line {
    /// The least ridge that all but a part of it has, above what grain makes of any place.
    pub(super) fn strength(&self) -> f32 {
        nth(self.ridge.clone(), FAINT_PART) - self.grain
    }

    /// Takes the line out of a map, where it is seen.
    pub(super) fn draw(&self, visible: &mut Array2<f32>) {
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
pub(super) fn at(plane: &Array2<f32>, place: CropPx) -> f32 {
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
pub(super) fn nth(mut values: Vec<f32>, part: f64) -> f32 {
    let nth = (part * values.len() as f64) as usize;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(nth, f32::total_cmp).1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_way_around_ends_where_it_begins() {
        let mut gains = Array2::from_elem([12, 9], 0.0_f32);
        let ring = [4, 4, 5, 6, 6, 6, 5, 4, 3, 3, 3, 4];
        for (row, column) in ring.iter().enumerate() {
            gains[[row, *column]] = 0.05;
        }
        assert_eq!(best_way(&gains, true), ring);
        assert_eq!(best_way(&gains, false), ring);
        // A bright spot aside isn't worth the detour.
        gains[[6, 0]] = 0.07;
        assert_eq!(best_way(&gains, true), ring);
        assert!(best_way(&Array2::zeros([0, 4]), true).is_empty());
    }
}
