//! From the crop back into the frame.

use crate::frame::{CropPx, FramePx, Rect, Similarity};

/// Zero pixels around the crop, so that the filter never leaves the memory: two for its taps, one for rounding.
const PAD: usize = 3;

/// A square of four values a pixel (three colours and a mask), zero beyond its border.
#[derive(Debug, Clone)]
pub struct Quads {
    pixels: Vec<[f32; 4]>,
    side: usize,
}

impl Quads {
    /// A square of `side`, all zero.
    pub fn zero(side: usize) -> Self {
        let stride = side + 2 * PAD;
        Self { pixels: vec![[0.0; 4]; stride * stride], side }
    }

    /// Row `y`.
    ///
    /// # Panics
    /// If `y` isn't below the side.
    pub fn row_mut(&mut self, y: usize) -> &mut [[f32; 4]] {
        assert!(y < self.side, "row {y} of {}", self.side);
        let stride = self.side + 2 * PAD;
        &mut self.pixels[(y + PAD) * stride + PAD..][..self.side]
    }

    /// Blurs for a picture that is going to be `reduction` times smaller, so that nothing folds back.
    ///
    /// Half a pixel's Gaussian is what sampling allows for; repeated passes of `a 1-2a a` add the missing variance.
    pub fn blur_for(&mut self, reduction: f64) {
        let mut variance = 0.25 * (reduction * reduction - 1.0);
        while variance > 0.02 {
            let part = variance.min(0.5);
            self.blur((part / 2.0) as f32);
            variance -= part;
        }
    }

    fn blur(&mut self, a: f32) {
        let stride = self.side + 2 * PAD;
        let b = 1.0 - 2.0 * a;
        let mix =
            |p: &[f32; 4], q: &[f32; 4], r: &[f32; 4]| [0, 1, 2, 3].map(|c| a * (p[c] + r[c]) + b * q[c]);
        let mut before = vec![[0.0; 4]; stride];
        for y in 0..self.side {
            let row = &mut self.pixels[(y + PAD) * stride..][..stride];
            before.copy_from_slice(row);
            for (out, w) in row[PAD..PAD + self.side].iter_mut().zip(before[PAD - 1..].windows(3)) {
                *out = mix(&w[0], &w[1], &w[2]);
            }
        }
        before.fill([0.0; 4]);
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

    /// The values at the centre of the frame's pixels `rect`, row by row: Catmull-Rom between the crop's pixels, 0
    /// outside the crop.
    pub fn to_frame(&self, alignment: &Similarity, rect: Rect) -> Vec<[f32; 4]> {
        let mut out = vec![[0.0; 4]; rect.width() * rect.height()];
        if out.is_empty() {
            return out;
        }
        let stride = self.side + 2 * PAD;
        // Positions in the padded square at which the four taps of both directions are inside it.
        let limit = 1.0..(stride - 3) as f32;
        for (y, row) in out.chunks_exact_mut(rect.width()).enumerate() {
            let start = alignment.to_crop(FramePx { x: rect.x0 as f64 + 0.5, y: (rect.y0 + y) as f64 + 0.5 });
            let (u0, v0) = (start.x - 0.5 + PAD as f64, start.y - 0.5 + PAD as f64);
            for (x, out) in row.iter_mut().enumerate() {
                let u = (u0 + alignment.a * x as f64) as f32;
                let v = (v0 + alignment.b * x as f64) as f32;
                if limit.contains(&u) && limit.contains(&v) {
                    *out = self.at(u, v, stride);
                }
            }
        }
        out
    }

    /// Catmull-Rom at a position of the padded square, in pixels from its first centre.
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
mod tests {
    use super::*;

    /// A smooth picture, the same whatever the grid: `p` in 0..1.
    fn wave(x: f64, y: f64) -> [f32; 4] {
        let window = (x * (1.0 - x) * y * (1.0 - y)).max(0.0) * 16.0;
        let window = (window * window) as f32;
        [0, 1, 2, 3].map(|c| window * (6.0 * x + f64::from(c) * y * 4.0).sin() as f32)
    }

    fn waves(side: usize) -> Quads {
        let mut quads = Quads::zero(side);
        let at = |i: usize| (i as f64 + 0.5) / side as f64;
        for y in 0..side {
            quads.row_mut(y).iter_mut().enumerate().for_each(|(x, out)| *out = wave(at(x), at(y)));
        }
        quads
    }

    #[test]
    fn a_picture_lands_where_the_alignment_says() {
        let side = 120;
        // Turned by 0.3 and 1.7 times larger than in the frame, or smaller.
        for scale in [1.7_f64, 1.0, 0.6] {
            let (a, b) = (scale * 0.3_f64.cos(), scale * 0.3_f64.sin());
            let alignment = Similarity { a, b, tx: -10.0 * scale, ty: -40.0 * scale };
            let rect = Rect { x0: 3, y0: 5, x1: 203, y1: 255 };
            let mut quads = waves(side);
            quads.blur_for(scale);
            let out = quads.to_frame(&alignment, rect);
            let mut worst = 0.0_f32;
            for (i, out) in out.iter().enumerate() {
                let p = FramePx { x: 3.5 + (i % 200) as f64, y: 5.5 + (i / 200) as f64 };
                let c = alignment.to_crop(p);
                let want = if (0.0..=120.0).contains(&c.x) && (0.0..=120.0).contains(&c.y) {
                    wave(c.x / side as f64, c.y / side as f64)
                } else {
                    [0.0; 4]
                };
                worst = out.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
            }
            assert!(worst < 0.005, "scale {scale}: {worst}");
        }
    }

    #[test]
    fn a_strong_reduction_folds_nothing_back() {
        let side = 256;
        let mut quads = Quads::zero(side);
        for y in 0..side {
            quads.row_mut(y).iter_mut().enumerate().for_each(|(x, out)| *out = [(x % 2) as f32; 4]);
        }
        quads.blur_for(3.0);
        let alignment = Similarity { a: 3.03, b: 0.0, tx: 0.0, ty: 0.0 };
        let out = quads.to_frame(&alignment, Rect { x0: 10, y0: 10, x1: 70, y1: 12 });
        assert!(out.iter().all(|v| (v[0] - 0.5).abs() < 0.02), "{out:?}");
    }

    #[test]
    fn the_reach_is_the_masks_box_clamped_to_the_frame() {
        let mut mask = vec![0.0; 100 * 100];
        mask[40 * 100 + 30] = 0.5;
        mask[59 * 100 + 69] = 0.5;
        let alignment = Similarity { a: 2.0, b: 0.0, tx: 0.0, ty: -20.0 };
        let rect = reach(&mask, 100, &alignment, (1000, 38));
        assert_eq!(rect, Some(Rect { x0: 14, y0: 29, x1: 36, y1: 38 }));
        assert_eq!(reach(&mask, 100, &alignment, (14, 38)), None, "all of it is right of the frame");
        assert_eq!(reach(&[0.0; 100], 10, &alignment, (50, 50)), None);
    }

    #[test]
    fn the_rect_holds_all_that_is_painted() {
        let mut quads = Quads::zero(64);
        let mut mask = vec![0.0; 64 * 64];
        for y in 20..41 {
            quads.row_mut(y)[11..50].fill([1.0; 4]);
            mask[y * 64 + 11..y * 64 + 50].fill(1.0);
        }
        let alignment = Similarity { a: 0.8, b: -0.5, tx: 4.0, ty: 31.0 };
        let rect = reach(&mask, 64, &alignment, (300, 300)).unwrap_or_default();
        let all = Rect { x0: 0, y0: 0, x1: 300, y1: 300 };
        for (i, out) in quads.to_frame(&alignment, all).iter().enumerate() {
            let (x, y) = (i % 300, i / 300);
            let inside = (rect.x0..rect.x1).contains(&x) && (rect.y0..rect.y1).contains(&y);
            assert!(inside || out.iter().all(|v| *v == 0.0), "({x}, {y}) of {rect:?}");
        }
    }
}
