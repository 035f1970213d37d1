//! What training does to a face's values: light, shade, colour, noise, blur and compression.

use std::f32::consts::TAU;

use ndarray::ArrayViewMut3;
use rand::{Rng, rngs::SmallRng};

use super::dense::compress;

/// Waves that a shade is made of, and how many of their periods a side holds at least and at most: from an even slope to
/// the shadow of a nose or a hat.
const WAVES: usize = 3;
pub(super) const PERIODS: [f32; 2] = [0.2, 1.0];

/// What is done to a value: `shade * gain * v^gamma` by channel, saturation and noise, then blur and JPEG.
#[derive(Debug, Clone)]
pub struct Tone {
    pub(super) gain: [f32; 3],
    pub(super) gamma: f32,
    pub(super) shade: Option<Shade>,
    pub(super) saturation: f32,
    pub(super) blur: usize,
    pub(super) noise: f32,
    pub(super) noise_seed: u32,
    pub(super) jpeg: Option<u8>,
}

/// A gain that changes slowly over a picture: `exp(tint * sum of amplitude * cos(TAU * (u x + v y) + phase))`, x and y in
/// sides.
#[derive(Debug, Clone)]
pub struct Shade {
    waves: [Wave; WAVES],
    /// How strongly each channel follows: lamps have colours.
    tint: [f32; 3],
}

#[derive(Debug, Clone)]
struct Wave {
    amplitude: f32,
    /// Periods in a side, along x and y.
    periods: [f32; 2],
    phase: f32,
}

impl Tone {
    pub(super) const NONE: Self = Self {
        gain: [1.0; 3],
        gamma: 1.0,
        shade: None,
        saturation: 1.0,
        blur: 0,
        noise: 0.0,
        noise_seed: 1,
        jpeg: None,
    };
}

impl Shade {
    /// With a reach of up to `most`, half of the time of less than half of it.
    pub(super) fn draw(most: f32, rng: &mut SmallRng) -> Self {
        let reach = rng.random_range(0.0..=most);
        let parts = [0; WAVES].map(|_| rng.random_range(0.1..=1.0));
        let all: f32 = parts.iter().sum();
        let waves = parts.map(|part: f32| {
            let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
            let n = rng.random_range(PERIODS[0]..=PERIODS[1]);
            let periods = [n * cos, n * sin];
            Wave { amplitude: reach * part / all, periods, phase: rng.random_range(0.0..TAU) }
        });
        Self { waves, tint: [0; 3].map(|_| rng.random_range(0.8..=1.2)) }
    }

    /// The logarithm of the gain at every pixel of a picture of `w` x `h`, before it is tinted.
    fn logarithms(&self, w: usize, h: usize) -> Vec<f32> {
        let mut out = vec![0.0; w * h];
        for Wave { amplitude, periods: [u, v], phase } in &self.waves {
            // cos(a + b) = cos a cos b - sin a sin b: a cosine for each row and column instead of each pixel.
            let across: Vec<(f32, f32)> =
                (0..w).map(|x| (TAU * u * (x as f32 + 0.5) / w as f32).sin_cos()).collect();
            for (y, row) in out.chunks_exact_mut(w).enumerate() {
                let (sin, cos) = (TAU * v * (y as f32 + 0.5) / h as f32 + phase).sin_cos();
                let (sin, cos) = (amplitude * sin, amplitude * cos);
                row.iter_mut().zip(&across).for_each(|(to, (s, c))| *to += c * cos - s * sin);
            }
        }
        out
    }
}

impl Tone {
    pub(super) fn apply(&self, to: &mut ArrayViewMut3<'_, f32>) {
        let (_, h, w) = to.dim();
        let (n, gamma) = (h * w, self.gamma);
        let shade = self.shade.as_ref().map(|shade| (shade.logarithms(w, h), shade.tint));
        let mut state = self.noise_seed;
        let Some(values) = to.as_slice_mut() else { return };
        for i in 0..n {
            let rgb = [0, 1, 2].map(|c| {
                let v = values[c * n + i];
                let shade = shade.as_ref().map_or(1.0, |(logarithms, tint)| (tint[c] * logarithms[i]).exp());
                shade * self.gain[c] * if (gamma - 1.0).abs() > 1e-3 { v.powf(gamma) } else { v }
            });
            let luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
            for c in 0..3 {
                let mut v = luma + self.saturation * (rgb[c] - luma);
                if self.noise > 0.0 {
                    v += self.noise * rough_normal(&mut state);
                }
                values[c * n + i] = v.clamp(0.0, 1.0);
            }
        }
        for _ in 0..self.blur {
            values.chunks_exact_mut(n).for_each(|plane| soften(plane, w));
        }
        if let Some(quality) = self.jpeg {
            compress(to, quality);
        }
    }
}

/// A cheap value of about unit variance: the sum of four bytes of a xorshift (Marsaglia 2003).
fn rough_normal(state: &mut u32) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    let sum: u32 = state.to_le_bytes().iter().map(|b| u32::from(*b)).sum();
    (sum as f32 - 510.0) / 147.8
}

/// A 1-2-1 blur in both directions, in place; the border keeps its values.
fn soften(plane: &mut [f32], w: usize) {
    for row in plane.chunks_exact_mut(w) {
        let mut before = row[0];
        for i in 1..w - 1 {
            let here = row[i];
            row[i] = 0.25 * before + 0.5 * here + 0.25 * row[i + 1];
            before = here;
        }
    }
    let mut above = plane[..w].to_vec();
    for j in 1..plane.len() / w - 1 {
        for (i, before) in above.iter_mut().enumerate() {
            let here = plane[j * w + i];
            plane[j * w + i] = 0.25 * *before + 0.5 * here + 0.25 * plane[(j + 1) * w + i];
            *before = here;
        }
    }
}
