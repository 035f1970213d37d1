//! From the crop into the frame.

use std::ops::Range;

use super::{
    grade::Grade,
    sample::{Way, along, interleave, linear, repeat_edges, subtract},
};
use crate::frame::{CropPx, FramePx, Rect, Similarity};

/// Border pixels around the pixels that are kept, which repeat their edge, so that the filter never leaves the memory:
/// two for its taps, one for rounding.
const PAD: usize = 3;

/// A picture of four values a pixel, so that all are computed at once: red, green, blue and nothing. Of a square crop it
/// keeps the part that is looked at.
#[derive(Debug, Clone)]
pub struct Quads {
    pixels: Vec<[f32; 4]>,
    /// The part of the crop, pixels of it.
    part: Rect,
    /// Of the crop.
    side: usize,
}

impl Quads {
    /// From three planes of `side`.
    ///
    /// # Panics
    /// If there are fewer values than that.
    pub fn from_planes(planes: &[f32], side: usize) -> Self {
        Self::graded(planes, side, Rect { x0: 0, y0: 0, x1: side, y1: side }, None)
    }

    /// The `part` of three planes of `side`, with its colours corrected.
    ///
    /// # Panics
    /// If there are fewer values than that, or the part isn't inside.
    pub fn graded(planes: &[f32], side: usize, part: Rect, grade: Option<&Grade>) -> Self {
        let (n, stride) = (side * side, part.width() + 2 * PAD);
        let (red, green, blue) = (&planes[..n], &planes[n..2 * n], &planes[2 * n..3 * n]);
        let mut quads = Self { pixels: vec![[0.0; 4]; stride * (part.height() + 2 * PAD)], part, side };
        let correction = grade.map(Grade::correction);
        for y in part.y0..part.y1 {
            let row = &mut quads.pixels[(y - part.y0 + PAD) * stride + PAD..][..part.width()];
            let at = y * side + part.x0..y * side + part.x1;
            interleave(&red[at.clone()], &green[at.clone()], &blue[at], row);
            if let Some(correction) = &correction {
                correction.apply(row);
            }
        }
        quads.repeat_edges();
        quads
    }

    fn stride(&self) -> usize {
        self.part.width() + 2 * PAD
    }

    fn repeat_edges(&mut self) {
        let stride = self.stride();
        repeat_edges(&mut self.pixels, stride, PAD);
    }

    /// Blurs for a picture that is going to be `reduction` times smaller, so that nothing folds back.
    ///
    /// Half a pixel's Gaussian is what sampling allows for; repeated passes of `a 1-2a a` add the missing variance.
    pub fn blur_for(&mut self, reduction: f64) {
        let mut variance = missing_variance(reduction);
        while variance > 0.02 {
            let part = variance.min(PASS_VARIANCE);
            self.blur((part / 2.0) as f32);
            self.repeat_edges();
            variance -= part;
        }
    }

    fn blur(&mut self, a: f32) {
        let (stride, (width, height)) = (self.stride(), (self.part.width(), self.part.height()));
        let b = 1.0 - 2.0 * a;
        let mix =
            |p: &[f32; 4], q: &[f32; 4], r: &[f32; 4]| [0, 1, 2, 3].map(|c| a * (p[c] + r[c]) + b * q[c]);
        let mut before = vec![[0.0; 4]; stride];
        for row in self.pixels.chunks_exact_mut(stride) {
            before.copy_from_slice(row);
            for (out, w) in row[PAD..PAD + width].iter_mut().zip(before[PAD - 1..].windows(3)) {
                *out = mix(&w[0], &w[1], &w[2]);
            }
        }
        before.copy_from_slice(&self.pixels[(PAD - 1) * stride..PAD * stride]);
        for y in PAD..PAD + height {
            let (head, below) = self.pixels.split_at_mut((y + 1) * stride);
            let row = &mut head[y * stride..];
            for ((row, above), below) in row.iter_mut().zip(&mut before).zip(&below[..stride]) {
                let old = *row;
                *row = mix(above, &old, below);
                *above = old;
            }
        }
    }

    /// Writes the values at the centres of the frame's pixels `rect` into three planes: Catmull-Rom between the crop's
    /// pixels. Pixels that the crop doesn't show are left as they are.
    ///
    /// # Panics
    /// If the planes haven't the rectangle's size, or the rectangle shows more of the crop than was kept.
    pub fn to_frame(&self, alignment: &Similarity, rect: Rect, planes: &mut [f32]) {
        let n = rect.width() * rect.height();
        assert_eq!(planes.len(), 3 * n, "three planes of the rectangle's size");
        let (red, rest) = planes.split_at_mut(n);
        let (green, blue) = rest.split_at_mut(n);
        for y in 0..rect.height() {
            let Some((row, way)) = self.way(alignment, rect, y) else { continue };
            let out = [&mut red[row.clone()], &mut green[row.clone()], &mut blue[row]];
            along(&self.pixels, self.stride(), way, out);
        }
    }

    /// As [`Quads::to_frame`] does, less what three planes of the frame show in their place, and 0 where the crop
    /// shows nothing.
    ///
    /// # Panics
    /// As [`Quads::to_frame`].
    pub fn difference(&self, alignment: &Similarity, rect: Rect, target: &[f32]) -> Vec<f32> {
        let n = rect.width() * rect.height();
        assert_eq!(target.len(), 3 * n, "three planes of the rectangle's size");
        let mut planes = vec![0.0; 3 * n];
        let (red, rest) = planes.split_at_mut(n);
        let (green, blue) = rest.split_at_mut(n);
        for y in 0..rect.height() {
            let Some((row, way)) = self.way(alignment, rect, y) else { continue };
            let mut out = [&mut red[row.clone()], &mut green[row.clone()], &mut blue[row.clone()]];
            along(&self.pixels, self.stride(), way, out.each_mut().map(|plane| &mut **plane));
            for (plane, target) in out.into_iter().zip(target.chunks_exact(n)) {
                subtract(plane, &target[row.clone()]);
            }
        }
        planes
    }

    /// The pixels of row `y` of `rect` that the crop shows, as places in a plane, and their way through the crop.
    fn way(&self, alignment: &Similarity, rect: Rect, y: usize) -> Option<(Range<usize>, Way)> {
        let (first, last) = seen(alignment, rect, y, self.side)?;
        let x = (rect.x0 + first) as f64 + 0.5;
        let start = alignment.to_crop(FramePx { x, y: (rect.y0 + y) as f64 + 0.5 });
        let place = |at: f64, origin: usize| at - 0.5 + PAD as f64 - origin as f64;
        let start = (place(start.x, self.part.x0), place(start.y, self.part.y0));
        let row = y * rect.width() + first..y * rect.width() + last;
        Some((row, Way { start, step: (alignment.a, alignment.b) }))
    }
}

/// Variance that one pass of the blur adds at most, pixels squared.
const PASS_VARIANCE: f64 = 0.5;

fn missing_variance(reduction: f64) -> f64 {
    (0.25 * (reduction * reduction - 1.0)).max(0.0)
}

/// The pixels of a crop of `side` that `rect` of the frame shows, with those that [`Quads::blur_for`] and the filter need
/// around them.
pub(super) fn shown(alignment: &Similarity, rect: Rect, side: usize) -> Rect {
    let room = 3.0 + (missing_variance(alignment.scale()) / PASS_VARIANCE).ceil();
    let corner = |x: usize, y: usize| alignment.to_crop(FramePx { x: x as f64, y: y as f64 });
    let corners = [(rect.x0, rect.y0), (rect.x1, rect.y0), (rect.x0, rect.y1), (rect.x1, rect.y1)]
        .map(|(x, y)| corner(x, y));
    let range = |values: [f64; 4]| {
        let low = values.iter().fold(f64::INFINITY, |a, b| a.min(*b)) - room;
        let high = values.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b)) + room;
        // At least one pixel, wherever the rectangle lies.
        let first = (low.max(0.0) as usize).min(side - 1);
        (first, (high.max(0.0).ceil() as usize).clamp(first + 1, side))
    };
    let ((x0, x1), (y0, y1)) = (range(corners.map(|p| p.x)), range(corners.map(|p| p.y)));
    Rect { x0, y0, x1, y1 }
}

/// The pixels `first..last` of row `y` of `rect` whose centres lie in a crop of `side`, or `None` when there are none.
fn seen(alignment: &Similarity, rect: Rect, y: usize, side: usize) -> Option<(usize, usize)> {
    let start = alignment.to_crop(FramePx { x: rect.x0 as f64 + 0.5, y: (rect.y0 + y) as f64 + 0.5 });
    let (mut low, mut high) = (0.0_f64, rect.width() as f64);
    for (at, slope) in [(start.x, alignment.a), (start.y, alignment.b)] {
        if slope.abs() < 1e-12 {
            if !(0.0..=side as f64).contains(&at) {
                return None;
            }
            continue;
        }
        let (a, b) = ((0.0 - at) / slope, (side as f64 - at) / slope);
        (low, high) = (low.max(a.min(b)), high.min(a.max(b) + 1.0));
    }
    let (low, high) = (low.ceil(), high.floor());
    (low < high).then_some((low as usize, (high as usize).min(rect.width())))
}

/// The pixels of row `y` of `rect` whose centres lie in a square of `side`, and their way through it.
pub(crate) fn way_through(
    alignment: &Similarity,
    rect: Rect,
    y: usize,
    side: usize,
) -> Option<(Range<usize>, Way)> {
    let (first, end) = seen(alignment, rect, y, side)?;
    let x = (rect.x0 + first) as f64 + 0.5;
    let start = alignment.to_crop(FramePx { x, y: (rect.y0 + y) as f64 + 0.5 });
    Some((first..end, Way { start: (start.x - 0.5, start.y - 0.5), step: (alignment.a, alignment.b) }))
}

/// A mask of the crop, a square of `side`, on the frame's pixels `rect`: linear between its pixels, 0 outside the crop
/// and wherever all pixels around are 0. Only the pixels of the frame in `reached` are looked at, see [`reach`].
///
/// # Panics
/// If `mask` isn't a square of `side`.
pub fn mask_to_frame(
    mask: &[f32],
    side: usize,
    alignment: &Similarity,
    rect: Rect,
    reached: Rect,
) -> Vec<f32> {
    assert_eq!(mask.len(), side * side, "a mask of the crop's side");
    let mut out = vec![0.0; rect.width() * rect.height()];
    let rows = reached.y0.max(rect.y0)..reached.y1.min(rect.y1);
    let (low, high) = (reached.x0.max(rect.x0) - rect.x0, reached.x1.min(rect.x1).saturating_sub(rect.x0));
    for y in rows {
        let Some((first, end)) = seen(alignment, rect, y - rect.y0, side) else { continue };
        let (first, end) = (first.max(low), end.min(high));
        if first < end {
            let start = alignment.to_crop(FramePx { x: (rect.x0 + first) as f64 + 0.5, y: y as f64 + 0.5 });
            let way = Way { start: (start.x - 0.5, start.y - 0.5), step: (alignment.a, alignment.b) };
            linear(mask, side, way, &mut out[(y - rect.y0) * rect.width()..][first..end]);
        }
    }
    out
}

/// The pixels of a frame of `size_px` that a mask in crop space can reach, or `None` when there are none.
///
/// # Panics
/// If `mask` isn't a square of `side`.
pub fn reach(mask: &[f32], side: usize, alignment: &Similarity, size_px: (usize, usize)) -> Option<Rect> {
    assert_eq!(mask.len(), side * side, "a mask of the crop's side");
    let (mut x0, mut x1, mut y0, mut y1) = (side, 0, side, 0);
    for (y, row) in mask.chunks_exact(side).enumerate() {
        let Some(first) = row.iter().position(|m| *m > 0.0) else { continue };
        let last = row.iter().rposition(|m| *m > 0.0).unwrap_or(first);
        (x0, x1) = (x0.min(first), x1.max(last + 1));
        (y0, y1) = (y0.min(y), y + 1);
    }
    if x0 >= x1 {
        return None;
    }
    // The filter reaches two pixels of the crop further.
    let (x0, y0, x1, y1) = (x0 as f64 - 2.0, y0 as f64 - 2.0, x1 as f64 + 2.0, y1 as f64 + 2.0);
    let corners = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)].map(|(x, y)| alignment.to_frame(CropPx { x, y }));
    let range = |values: [f64; 4], length: usize| {
        let low = values.iter().fold(f64::INFINITY, |a, b| a.min(*b)).floor().max(0.0) as usize;
        let high = values.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b)).ceil().max(0.0) as usize;
        (low < high.min(length)).then_some((low, high.min(length)))
    };
    let (x0, x1) = range(corners.map(|p| p.x), size_px.0)?;
    let (y0, y1) = range(corners.map(|p| p.y), size_px.1)?;
    Some(Rect { x0, y0, x1, y1 })
}

#[cfg(test)]
#[path = "warp_tests.rs"]
mod tests;
