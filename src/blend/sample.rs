//! Rows of pixels from between the pixels of another picture, a block at a time: places first, then values.

use wide::f32x4;

use crate::dispatch::dispatched;

/// Where the pixels of a row lie among those that are kept, with their border.
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
    /// The places of a block of pixels from pixel `first` on, kept within 0..=`most`.
    #[expect(clippy::inline_always, reason = "compiled for what its callers have")]
    #[inline(always)]
    fn places(self, first: usize, most: f32, to: &mut Places) {
        let axis = |start: f64, step: f64, whole: &mut [i32; BLOCK], part: &mut [f32; BLOCK]| {
            let start = start + step * first as f64;
            for (i, (whole, part)) in whole.iter_mut().zip(part).enumerate() {
                let at = ((start + step * i as i32 as f64) as f32).max(0.0).min(most);
                // By way of 32 bits, for which processors have an instruction.
                *whole = at as i32;
                *part = at - *whole as f32;
            }
        };
        axis(self.start.0, self.step.0, &mut to.left, &mut to.right_of);
        axis(self.start.1, self.step.1, &mut to.top, &mut to.below);
    }
}

dispatched! {
    /// Catmull-Rom at every pixel of a row, into its red, green and blue.
    pub(super) fn along as along_plain(pixels: &[[f32; 4]], stride: usize, way: Way, out: [&mut [f32]; 3]) {
        let [red, green, blue] = out;
        let blocks = red.chunks_mut(BLOCK).zip(green.chunks_mut(BLOCK)).zip(blue.chunks_mut(BLOCK));
        let mut places = Places::new();
        let (mut wx, mut wy) = ([[0.0; BLOCK]; 4], [[0.0; BLOCK]; 4]);
        for (block, ((red, green), blue)) in blocks.enumerate() {
            way.places(block * BLOCK, pixels.len() as f32, &mut places);
            weights(&places.right_of, &mut wx);
            weights(&places.below, &mut wy);
            for (x, ((r, g), b)) in red.iter_mut().zip(green).zip(blue).enumerate() {
                let first = (places.top[x] as usize - 1) * stride + places.left[x] as usize - 1;
                let row = |i: usize| -> &[[f32; 4]; 4] {
                    pixels[first + i * stride..].first_chunk().expect("the border is wide enough")
                };
                let rows = [row(0), row(1), row(2), row(3)];
                let (wx, wy) = ([0, 1, 2, 3].map(|i| f32x4::splat(wx[i][x])), [0, 1, 2, 3].map(|i| f32x4::splat(wy[i][x])));
                let column = |c: usize| {
                    let tap = |i: usize| wy[i] * f32x4::new(rows[i][c]);
                    (tap(0) + tap(1)) + (tap(2) + tap(3))
                };
                let sum = (wx[0] * column(0) + wx[1] * column(1)) + (wx[2] * column(2) + wx[3] * column(3));
                [*r, *g, *b, _] = sum.to_array();
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
        let mut places = Places::new();
        let mut corners = [[0.0; BLOCK]; 4];
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            way.places(block * BLOCK, (side - 1) as f32, &mut places);
            for x in 0..out.len() {
                let (left, top) = (places.left[x] as usize, places.top[x] as usize);
                let (right, bottom) = ((left + 1).min(side - 1), (top + 1).min(side - 1));
                for (corner, (y, x_of)) in
                    corners.iter_mut().zip([(top, left), (top, right), (bottom, left), (bottom, right)])
                {
                    corner[x] = square[y * side + x_of];
                }
            }
            for (x, out) in out.iter_mut().enumerate() {
                let (fx, fy) = (places.right_of[x], places.below[x]);
                let a = corners[0][x] + fx * (corners[1][x] - corners[0][x]);
                let b = corners[2][x] + fx * (corners[3][x] - corners[2][x]);
                *out = a + fy * (b - a);
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
