//! Rows of pixels from between the pixels of another picture, a block at a time: places first, then values.

use std::array;

use wide::f32x4;

use crate::dispatch::dispatched;

/// Where the pixels of a row lie among those that are kept, with their border: 0 is the middle of the first one.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) start: (f64, f64),
    pub(crate) step: (f64, f64),
}

/// Pixels whose places are computed together.
const BLOCK: usize = 64;

/// Where a block of pixels lies: the whole numbers and what is left of them.
struct Places {
    left: [i32; BLOCK],
    top: [i32; BLOCK],
    right_of: [f32; BLOCK],
    below: [f32; BLOCK],
}

impl Places {
    const fn new() -> Self {
        Self { left: [0; BLOCK], top: [0; BLOCK], right_of: [0.0; BLOCK], below: [0.0; BLOCK] }
    }
}

impl Way {
    /// The places of a block of pixels from pixel `first` on, kept within `least..=most`, where each has a neighbour. The
    /// limits are those to the right and downwards.
    #[expect(clippy::inline_always, reason = "compiled for what its callers have")]
    #[inline(always)]
    fn places(self, first: usize, least: f32, most: [f32; 2], to: &mut Places) {
        let axis = |start: f64, step: f64, most: f32, whole: &mut [i32; BLOCK], part: &mut [f32; BLOCK]| {
            let start = f32x4::splat((start + step * first as f64) as f32);
            let (step, least) = (f32x4::splat(step as f32), f32x4::splat(least));
            let (most, last) = (f32x4::splat(most), f32x4::splat(most - 1.0));
            let mut number = f32x4::new([0.0, 1.0, 2.0, 3.0]);
            for (whole, part) in whole.as_chunks_mut::<4>().0.iter_mut().zip(part.as_chunks_mut::<4>().0) {
                let at = (start + step * number).fast_max(least).fast_min(most);
                // What lies on the last pixel is counted from the one before it.
                let below = at.fast_trunc_int().round_float().fast_min(last);
                (*whole, *part) = (below.fast_trunc_int().to_array(), (at - below).to_array());
                number += f32x4::splat(4.0);
            }
        };
        axis(self.start.0, self.step.0, most[0], &mut to.left, &mut to.right_of);
        axis(self.start.1, self.step.1, most[1], &mut to.top, &mut to.below);
    }
}

/// Two columns of four values each, side by side, as processors with eight lanes like it.
type Pair = [f32; 8];

dispatched! {
    /// Catmull-Rom at every pixel of a row, into its red, green and blue. What lies less than a pixel from the picture's
    /// edge, or outside, is taken from there. The picture has at least 4 x 4 pixels.
    pub(crate) fn along as along_plain(pixels: &[[f32; 4]], stride: usize, way: Way, out: [&mut [f32]; 3]) {
        let most = [stride as f32 - 2.0, (pixels.len() / stride) as f32 - 2.0];
        let [red, green, blue] = out;
        let blocks = red.chunks_mut(BLOCK).zip(green.chunks_mut(BLOCK)).zip(blue.chunks_mut(BLOCK));
        let mut places = Places::new();
        let (mut wx, mut wy, mut sums) = ([[0.0; BLOCK]; 4], [[0.0; BLOCK]; 4], [[0.0; 8]; BLOCK]);
        for (block, ((red, green), blue)) in blocks.enumerate() {
            way.places(block * BLOCK, 1.0, most, &mut places);
            weights(&places.right_of, &mut wx);
            weights(&places.below, &mut wy);
            for (x, sum) in sums[..red.len()].iter_mut().enumerate() {
                let first = (places.top[x] as usize - 1) * stride + places.left[x] as usize - 1;
                let row = |i: usize| -> &[f32; 16] {
                    pixels[first + i * stride..].as_flattened().first_chunk().expect("the border is wide enough")
                };
                let (rows, wy) = ([row(0), row(1), row(2), row(3)], [0, 1, 2, 3].map(|i| wy[i][x]));
                let pair = |c: usize| -> Pair {
                    array::from_fn(|l| {
                        let tap = |i: usize| wy[i] * rows[i][4 * c + l];
                        wx[c + l / 4][x] * ((tap(0) + tap(1)) + (tap(2) + tap(3)))
                    })
                };
                let (outer, inner) = (pair(0), pair(2));
                *sum = array::from_fn(|l| outer[l] + inner[l]);
            }
            for (((sum, r), g), b) in sums.iter().zip(red).zip(green).zip(blue) {
                (*r, *g, *b) = (sum[0] + sum[4], sum[1] + sum[5], sum[2] + sum[6]);
            }
        }
    }
}

/// The weights of the four samples around points that lie `t` after the second.
#[expect(clippy::inline_always, reason = "compiled for what its callers have")]
#[inline(always)]
fn weights(t: &[f32; BLOCK], to: &mut [[f32; BLOCK]; 4]) {
    for (i, &t) in t.iter().enumerate() {
        let s = 1.0 - t;
        to[0][i] = -0.5 * t * s * s;
        to[1][i] = 1.0 + t * t * (1.5 * t - 2.5);
        to[2][i] = 1.0 + s * s * (1.5 * s - 2.5);
        to[3][i] = -0.5 * s * t * t;
    }
}

dispatched! {
    /// Linear between the pixels of a square at every pixel of a row.
    pub(crate) fn linear as linear_plain(square: &[f32], side: usize, way: Way, out: &mut [f32]) {
        if side < 2 {
            return out.fill(square[0]);
        }
        let mut places = Places::new();
        let (mut upper, mut lower) = ([[0.0; 2]; BLOCK], [[0.0; 2]; BLOCK]);
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            way.places(block * BLOCK, 0.0, [(side - 1) as f32; 2], &mut places);
            let corners = upper.iter_mut().zip(&mut lower).zip(places.top.iter().zip(&places.left));
            for ((upper, lower), (top, left)) in corners.take(out.len()) {
                let first = *top as usize * side + *left as usize;
                let pair = |at: usize| square[at..].first_chunk().expect("a neighbour");
                (*upper, *lower) = (*pair(first), *pair(first + side));
            }
            for (x, out) in out.iter_mut().enumerate() {
                let (fx, fy) = (places.right_of[x], places.below[x]);
                let a = upper[x][0] + fx * (upper[x][1] - upper[x][0]);
                let b = lower[x][0] + fx * (lower[x][1] - lower[x][0]);
                *out = a + fy * (b - a);
            }
        }
    }
}

dispatched! {
    /// Linear between the pixels at every pixel of a row, into its red, green and blue. What lies outside of the picture is
    /// taken from its edge. It has at least 2 x 2 pixels.
    pub(crate) fn between as between_plain(pixels: &[[f32; 4]], stride: usize, way: Way, out: [&mut [f32]; 3]) {
        let most = [stride as f32 - 1.0, (pixels.len() / stride) as f32 - 1.0];
        let [red, green, blue] = out;
        let blocks = red.chunks_mut(BLOCK).zip(green.chunks_mut(BLOCK)).zip(blue.chunks_mut(BLOCK));
        let (mut places, mut sums) = (Places::new(), [[0.0; 4]; BLOCK]);
        for (block, ((red, green), blue)) in blocks.enumerate() {
            way.places(block * BLOCK, 0.0, most, &mut places);
            for (x, sum) in sums[..red.len()].iter_mut().enumerate() {
                let first = places.top[x] as usize * stride + places.left[x] as usize;
                let [a, b] = pixels[first..].first_chunk().expect("a neighbour");
                let [c, d] = pixels[first + stride..].first_chunk().expect("a neighbour");
                let (fx, fy) = (places.right_of[x], places.below[x]);
                for k in 0..4 {
                    let above = a[k] + fx * (b[k] - a[k]);
                    let below = c[k] + fx * (d[k] - c[k]);
                    sum[k] = above + fy * (below - above);
                }
            }
            for (((sum, r), g), b) in sums.iter().zip(red).zip(green).zip(blue) {
                (*r, *g, *b) = (sum[0], sum[1], sum[2]);
            }
        }
    }
}

dispatched! {
    /// `row` less `other`.
    pub(super) fn subtract as subtract_plain(row: &mut [f32], other: &[f32]) {
        row.iter_mut().zip(other).for_each(|(v, o)| *v -= o);
    }
}

/// Fills the border of a picture, `pad` pixels on all sides of at least one, with the pixels of its edge.
pub(crate) fn repeat_edges(pixels: &mut [[f32; 4]], stride: usize, pad: usize) {
    let (width, height) = (stride - 2 * pad, pixels.len() / stride - 2 * pad);
    for row in pixels.chunks_exact_mut(stride).skip(pad).take(height) {
        let (first, last) = (row[pad], row[pad + width - 1]);
        row[..pad].fill(first);
        row[pad + width..].fill(last);
    }
    for y in 0..pad {
        pixels.copy_within(pad * stride..(pad + 1) * stride, y * stride);
        let last = (pad + height - 1) * stride;
        pixels.copy_within(last..last + stride, (pad + height + y) * stride);
    }
}

dispatched! {
    /// Pixels of four values from three rows.
    pub(crate) fn interleave as interleave_plain(red: &[f32], green: &[f32], blue: &[f32], out: &mut [[f32; 4]]) {
        for (((out, r), g), b) in out.iter_mut().zip(red).zip(green).zip(blue) {
            *out = [*r, *g, *b, 0.0];
        }
    }
}
