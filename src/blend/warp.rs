//! From the crop into the frame.

use crate::frame::{CropPx, FramePx, Rect, Similarity};

/// Border pixels around the crop that repeat its edge, so that the filter never leaves the memory: two for its taps, one
/// for rounding.
const PAD: usize = 3;

/// A square picture of four values a pixel, so that all are computed at once: red, green, blue and nothing.
#[derive(Debug, Clone)]
pub struct Quads {
    pixels: Vec<[f32; 4]>,
    side: usize,
}

impl Quads {
    /// From three planes of `side`.
    ///
    /// # Panics
    /// If there are fewer values than that.
    pub fn from_planes(planes: &[f32], side: usize) -> Self {
        let (n, stride) = (side * side, side + 2 * PAD);
        let mut quads = Self { pixels: vec![[0.0; 4]; stride * stride], side };
        for y in 0..side {
            let row = &mut quads.pixels[(y + PAD) * stride + PAD..][..side];
            for (c, plane) in planes[..3 * n].chunks_exact(n).enumerate() {
                row.iter_mut().zip(&plane[y * side..]).for_each(|(out, v)| out[c] = *v);
            }
        }
        quads.repeat_edges();
        quads
    }

    fn repeat_edges(&mut self) {
        let stride = self.side + 2 * PAD;
        for row in self.pixels.chunks_exact_mut(stride).skip(PAD).take(self.side) {
            let (first, last) = (row[PAD], row[PAD + self.side - 1]);
            row[..PAD].fill(first);
            row[PAD + self.side..].fill(last);
        }
        for y in 0..PAD {
            self.pixels.copy_within(PAD * stride..(PAD + 1) * stride, y * stride);
            let last = (PAD + self.side - 1) * stride;
            self.pixels.copy_within(last..last + stride, (PAD + self.side + y) * stride);
        }
    }

    /// Blurs for a picture that is going to be `reduction` times smaller, so that nothing folds back.
    ///
    /// Half a pixel's Gaussian is what sampling allows for; repeated passes of `a 1-2a a` add the missing variance.
    pub fn blur_for(&mut self, reduction: f64) {
        let mut variance = 0.25 * (reduction * reduction - 1.0);
        while variance > 0.02 {
            let part = variance.min(0.5);
            self.blur((part / 2.0) as f32);
            self.repeat_edges();
            variance -= part;
        }
    }

    fn blur(&mut self, a: f32) {
        let stride = self.side + 2 * PAD;
        let b = 1.0 - 2.0 * a;
        let mix =
            |p: &[f32; 4], q: &[f32; 4], r: &[f32; 4]| [0, 1, 2, 3].map(|c| a * (p[c] + r[c]) + b * q[c]);
        let mut before = vec![[0.0; 4]; stride];
        for row in self.pixels.chunks_exact_mut(stride) {
            before.copy_from_slice(row);
            for (out, w) in row[PAD..PAD + self.side].iter_mut().zip(before[PAD - 1..].windows(3)) {
                *out = mix(&w[0], &w[1], &w[2]);
            }
        }
        before.copy_from_slice(&self.pixels[..stride]);
        for y in PAD..PAD + self.side {
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
    /// If the planes haven't the rectangle's size.
    pub fn to_frame(&self, alignment: &Similarity, rect: Rect, planes: &mut [f32]) {
        let (n, stride) = (rect.width() * rect.height(), self.side + 2 * PAD);
        assert_eq!(planes.len(), 3 * n, "three planes of the rectangle's size");
        let (red, rest) = planes.split_at_mut(n);
        let (green, blue) = rest.split_at_mut(n);
        for y in 0..rect.height() {
            let Some((first, last)) = seen(alignment, rect, y, self.side) else { continue };
            let start = alignment.to_crop(FramePx { x: rect.x0 as f64 + 0.5, y: (rect.y0 + y) as f64 + 0.5 });
            let (u0, v0) = (start.x - 0.5 + PAD as f64, start.y - 0.5 + PAD as f64);
            let row = y * rect.width() + first..y * rect.width() + last;
            let pixels = red[row.clone()].iter_mut().zip(&mut green[row.clone()]).zip(&mut blue[row]);
            for (x, ((r, g), b)) in (first..).zip(pixels) {
                let u = (u0 + alignment.a * x as f64) as f32;
                let v = (v0 + alignment.b * x as f64) as f32;
                [*r, *g, *b, _] = self.at(u, v, stride);
            }
        }
    }

    /// Catmull-Rom at a position of the padded square, in pixels from its first centre.
    #[inline]
    fn at(&self, u: f32, v: f32, stride: usize) -> [f32; 4] {
        let (left, top) = (u as usize, v as usize);
        let (wx, wy) = (weights(u - left as f32), weights(v - top as f32));
        let mut sum = [0.0; 4];
        for (i, wy) in wy.iter().enumerate() {
            let taps = &self.pixels[(top + i - 1) * stride + left - 1..][..4];
            for c in 0..4 {
                let row =
                    (wx[0] * taps[0][c] + wx[1] * taps[1][c]) + (wx[2] * taps[2][c] + wx[3] * taps[3][c]);
                sum[c] += wy * row;
            }
        }
        sum
    }
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

/// A mask of the crop, a square of `side`, on the frame's pixels `rect`: linear between its pixels, 0 outside the crop
/// and wherever all pixels around are 0.
///
/// # Panics
/// If `mask` isn't a square of `side`.
pub fn mask_to_frame(mask: &[f32], side: usize, alignment: &Similarity, rect: Rect) -> Vec<f32> {
    assert_eq!(mask.len(), side * side, "a mask of the crop's side");
    let mut out = vec![0.0; rect.width() * rect.height()];
    let last = (side - 1) as f32;
    for (y, row) in out.chunks_exact_mut(rect.width()).enumerate() {
        let Some((first, end)) = seen(alignment, rect, y, side) else { continue };
        let start = alignment.to_crop(FramePx { x: rect.x0 as f64 + 0.5, y: (rect.y0 + y) as f64 + 0.5 });
        let (u0, v0) = (start.x - 0.5, start.y - 0.5);
        for (x, out) in (first..end).zip(&mut row[first..end]) {
            let u = ((u0 + alignment.a * x as f64) as f32).clamp(0.0, last);
            let v = ((v0 + alignment.b * x as f64) as f32).clamp(0.0, last);
            let (left, top) = (u as usize, v as usize);
            let (right, bottom) = ((left + 1).min(side - 1), (top + 1).min(side - 1));
            let (fx, fy) = (u - left as f32, v - top as f32);
            let row = |y: usize| {
                let (a, b) = (mask[y * side + left], mask[y * side + right]);
                a + fx * (b - a)
            };
            let (a, b) = (row(top), row(bottom));
            *out = a + fy * (b - a);
        }
    }
    out
}

/// The weights of the four samples around a point that lies `t` after the second.
fn weights(t: f32) -> [f32; 4] {
    let s = 1.0 - t;
    [-0.5 * t * s * s, 1.0 + t * t * (1.5 * t - 2.5), 1.0 + s * s * (1.5 * s - 2.5), -0.5 * s * t * t]
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
