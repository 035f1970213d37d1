//! The finest detail of the composite, matched to the target's: grain, sharpness, motion blur.
//!
//! A network gives a picture of some 128 pixels. On a larger face it has no detail that is as fine as the frame's
//! pixels, and beside a sharp and grainy neck a smooth face is found at once; on a soft or smeared frame a sharp one is.
//! In each band that is finer than the network's own pixels the composite gets the target's own band, as much of it as
//! the new face lacks: that is its grain, its pores, its focus and its motion blur in one. In bands a little coarser than
//! them the new face has edges of its own, but skin like wax; there it gets both.
//!
//! Grain is everywhere, the edges of the target's features are not, and they must not come along, or its lips and lids
//! would be seen beside the new ones. So grain is what the quieter parts of the face have; where the band is stronger
//! than that it fades, and single values are cut off.
//!
//! Bands that the network has, but more weakly than the target, are its own edges, blurred: they are amplified, which
//! sharpens them. In bands in which the new face has more than the target it is softened.
//!
//! Where both faces are mixed, detail that is another in each cancels: halfway between two grains only 0.71 of either is left,
//! which the eye sees as a soft ring around a sharp face. So what is mixed gets back what mixing takes from it.
//!
//! Only lightness is looked at: eyes don't see finest detail in colours, and video doesn't store it.

use std::mem;

use super::{
    pyramid::{Floors, inner},
    resample::{Filter, Taps},
    sample::subtract,
};
use crate::dispatch::dispatched;

/// Bands that are looked at; the coarsest of them has cells of 1/64 of the crop's side or more.
const N_BANDS: usize = 5;
/// No cell is larger than this many of the network's pixels.
const COARSEST_PX: f64 = 4.5;
/// Cells that are smaller than this many of the network's pixels hold nothing of it.
const FINEST_PX: f64 = 0.7;
/// Grain is added in bands whose cells are smaller than this many of the network's pixels; beyond, what the target has
/// are folds, beards and the rims of glasses.
const GRAIN_PX: f64 = 3.0;
/// Strength is measured in blocks of this side, cells of the band.
const BLOCK: usize = 6;
/// Where a block stands among those of the face to count as grain alone, share from the quietest.
const QUIET: f32 = 0.3;
/// Blocks this many times stronger than grain begin to fade.
const FADES: f32 = 1.25;
/// What stands further out than this many times the mean is cut off.
const CUT: f32 = 3.0;
/// Bands that differ by less than this share of theirs are one.
const LEAST_UNLIKE: f32 = 1e-3;
/// A face isn't softened to less than this..
const LEAST: f32 = 0.25;
/// ..nor sharpened to more than this.
const MOST: f32 = 1.7;

/// What is to be added to each of the finest bands of all three channels of the difference `new - target`.
///
/// `network_px` is how many pixels of the frame one of the network's is wide.
pub fn matched(
    difference: &[f32],
    target: &[f32],
    mask: &[f32],
    floors: &Floors,
    network_px: f64,
) -> Vec<Vec<f32>> {
    let n_bands =
        (0..N_BANDS).take_while(|k| floors.cell_px(*k) <= COARSEST_PX * network_px.max(1.0)).count();
    let mut targets = pictures(lightness(target, mask.len()), floors, n_bands);
    let mut changes = pictures(lightness(difference, mask.len()), floors, n_bands);
    let masks = floors.gaussian(mask, n_bands.saturating_sub(1));
    let mut details = Vec::with_capacity(n_bands);
    for k in 0..n_bands {
        let (mut old, mut new) = (mem::take(&mut targets[k]), mem::take(&mut changes[k]));
        let (mask, width) = (if k == 0 { mask } else { &masks[k - 1] }, floors.width(k));
        let (of_target, of_new) = split(&mut old, &mut new, (&targets[k + 1], &changes[k + 1]), floors, k);
        let (wanted, had) = (of_target.quiet(mask, width), of_new.quiet(mask, width));
        // How much stronger the network's own detail gets.
        let cell_px = floors.cell_px(k) / network_px;
        let strength = if cell_px < FINEST_PX && had < wanted {
            0.0
        } else {
            let (wanted, had) = (of_target.mean(mask, width), of_new.mean(mask, width));
            if had > 0.0 { (wanted / had).clamp(LEAST, MOST) - 1.0 } else { 0.0 }
        };
        let mut change = new.clone();
        scale(&mut change, strength);
        let had = had * (1.0 + strength);
        if cell_px < GRAIN_PX && had < wanted {
            let gain = (1.0 - (had / wanted).powi(2)).sqrt();
            let mut grain = old.clone();
            of_target.keep_grain(&mut grain, width, wanted, gain);
            add(&mut change, &grain);
        }
        // The finest band fades as the mask does, the others to its inside.
        let faded = |m: f32| if k == 0 { m } else { inner(m) };
        add(&mut new, &change);
        refresh(&mut change, (&old, &new), mask, (CUT * wanted, faded));
        details.push(change);
    }
    details
}

/// Lightness of three planes of `n` values.
fn lightness(planes: &[f32], n: usize) -> Vec<f32> {
    let mut out = vec![0.0; n];
    weighed(&planes[..n], &planes[n..2 * n], &planes[2 * n..3 * n], &mut out);
    out
}

dispatched! {
    /// Red, green and blue, weighed as luma.
    fn weighed as weighed_plain(red: &[f32], green: &[f32], blue: &[f32], out: &mut [f32]) {
        for (((out, r), g), b) in out.iter_mut().zip(red).zip(green).zip(blue) {
            *out = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        }
    }
}

dispatched! {
    /// Adds `other` to `values`.
    fn add as add_plain(values: &mut [f32], other: &[f32]) {
        values.iter_mut().zip(other).for_each(|(v, o)| *v += o);
    }
}

dispatched! {
    /// Scales values.
    fn scale as scale_plain(values: &mut [f32], factor: f32) {
        values.iter_mut().for_each(|v| *v *= factor);
    }
}

dispatched! {
    /// Of each value what is within the limit, times its own share.
    fn cut as cut_plain(values: &mut [f32], shares: &[f32], gain: f32, limit: f32) {
        for (v, share) in values.iter_mut().zip(shares) {
            *v = gain * share * v.max(-limit).min(limit);
        }
    }
}

dispatched! {
    /// Adds up absolute values in blocks of `width` along a row.
    fn add_blocks as add_blocks_plain(row: &[f32], width: usize, part: f32, sums: &mut [f32]) {
        if width == BLOCK {
            for (sum, block) in sums.iter_mut().zip(row.as_chunks::<BLOCK>().0) {
                *sum += part * block.iter().map(|v| v.abs()).sum::<f32>();
            }
        } else {
            for (sum, block) in sums.iter_mut().zip(row.chunks(width)) {
                *sum += part * block.iter().map(|v| v.abs()).sum::<f32>();
            }
        }
    }
}

/// Adds to the `change` of a band what mixing the target's band and the new face's, `old` and `new`, takes from it: where
/// both have a share, their sum is weaker than either by as much as they differ (the weights' root of squares, as in
/// Heitz and Neyret, "High-Performance By-Example Noise using a Histogram-Preserving Blending Operator", 2018; two
/// bands that are alike cancel nothing).
///
/// No value is changed by more than `limit`: edges in the rim, of hair or a jaw, need no more contrast than they have.
fn refresh(
    change: &mut [f32],
    (old, new): (&[f32], &[f32]),
    mask: &[f32],
    (limit, faded): (f32, impl Fn(f32) -> f32),
) {
    let mixed = |m: &f32| Some(faded(*m)).filter(|m| *m > 0.0 && *m < 1.0);
    let (mut both, mut of_old, mut of_new) = (0.0, 0.0, 0.0);
    for ((m, o), n) in mask.iter().zip(old).zip(new) {
        if let Some(m) = mixed(m) {
            let weight = f64::from(m * (1.0 - m));
            let (o, n) = (f64::from(*o), f64::from(*n));
            (both, of_old, of_new) =
                (both + weight * o * n, of_old + weight * o * o, of_new + weight * n * n);
        }
    }
    let alike = both / (of_old * of_new).sqrt().max(f64::MIN_POSITIVE);
    let unlike = (1.0 - alike.max(0.0)) as f32;
    // A frame that holds no numbers has no bands to compare.
    if unlike.is_nan() || unlike < LEAST_UNLIKE {
        return;
    }
    for (((v, m), o), n) in change.iter_mut().zip(mask).zip(old).zip(new) {
        if let Some(m) = mixed(m) {
            // (1 / sqrt(left) - 1) / m, which the mask is multiplied with, without a division by a small mask.
            let left = 1.0 - 2.0 * m * (1.0 - m) * unlike;
            let gain = 2.0 * (1.0 - m) * unlike / (left.sqrt() + left);
            *v += (gain * ((1.0 - m) * o + m * n)).max(-limit).min(limit);
        }
    }
}

/// A plane and the `n` floors below it.
fn pictures(plane: Vec<f32>, floors: &Floors, n: usize) -> Vec<Vec<f32>> {
    let below = floors.gaussian(&plane, n);
    std::iter::once(plane).chain(below).collect()
}

/// Pictures of the target and of the change on floor `k` become the bands of the target and of the new face; what lies
/// `below` is the next floor of both. With the strengths of the two.
fn split(
    old: &mut [f32],
    new: &mut [f32],
    below: (&[f32], &[f32]),
    floors: &Floors,
    k: usize,
) -> (Blocks, Blocks) {
    let width = floors.width(k);
    let (mut low_old, mut low_new) = (floors.enlarging(below.0, k), floors.enlarging(below.1, k));
    let (mut of_old, mut of_new) =
        (Blocks::new(width, old.len() / width), Blocks::new(width, old.len() / width));
    for (y, (old, new)) in old.chunks_exact_mut(width).zip(new.chunks_exact_mut(width)).enumerate() {
        subtract(old, low_old.row(y));
        subtract(new, low_new.row(y));
        add(new, old);
        of_old.add(old, y);
        of_new.add(new, y);
    }
    (of_old, of_new)
}

/// Mean absolute values of a band in blocks.
struct Blocks {
    means: Vec<f32>,
    columns: usize,
    /// Width and height of a block.
    size: (usize, usize),
}

impl Blocks {
    fn new(width: usize, height: usize) -> Self {
        let (columns, rows) = ((width / BLOCK).max(1), (height / BLOCK).max(1));
        Self { means: vec![0.0; columns * rows], columns, size: (BLOCK.min(width), BLOCK.min(height)) }
    }

    /// Counts in row `y` of the band.
    fn add(&mut self, row: &[f32], y: usize) {
        let (width, height) = self.size;
        if let Some(means) = self.means.chunks_exact_mut(self.columns).nth(y / height) {
            add_blocks(row, width, 1.0 / (width * height) as f32, means);
        }
    }

    /// The strengths of the blocks inside the mask.
    fn inside(&self, mask: &[f32], width: usize) -> Vec<f32> {
        let height = mask.len() / width;
        let middle = |i: usize| {
            let (x, y) = (i % self.columns * BLOCK + BLOCK / 2, i / self.columns * BLOCK + BLOCK / 2);
            mask[y.min(height - 1) * width + x.min(width - 1)]
        };
        let inside = self.means.iter().enumerate().filter(|(i, _)| middle(*i) > 0.9);
        inside.map(|(_, mean)| *mean).collect()
    }

    /// The strength of the quieter blocks inside the mask; 0 when there are too few to say.
    fn quiet(&self, mask: &[f32], width: usize) -> f32 {
        let mut means = self.inside(mask, width);
        if means.len() < 8 {
            return 0.0;
        }
        let at = (QUIET * means.len() as f32) as usize;
        *means.select_nth_unstable_by(at, f32::total_cmp).1
    }

    /// The mean strength inside the mask; 0 when there are too few blocks to say.
    fn mean(&self, mask: &[f32], width: usize) -> f32 {
        let means = self.inside(mask, width);
        if means.len() < 8 { 0.0 } else { means.iter().sum::<f32>() / means.len() as f32 }
    }

    /// Of the band of these blocks leaves what is grain alone, when blocks of grain have the strength `grain`, `gain`
    /// times.
    fn keep_grain(&self, band: &mut [f32], width: usize, grain: f32, gain: f32) {
        let share = |mean: &f32| (FADES * grain / mean.max(1e-9)).powi(2).min(1.0);
        let shares: Vec<f32> = self.means.iter().map(share).collect();
        let (step, height) = (1.0 / BLOCK as f64, band.len() / width);
        let (x, y) = (
            Taps::placed(self.columns, width, (0.0, step), Filter::Linear),
            Taps::placed(self.means.len() / self.columns, height, (0.0, step), Filter::Linear),
        );
        let wide = x.widened(&shares, self.columns);
        let mut shares = vec![0.0; width];
        for (i, row) in band.chunks_exact_mut(width).enumerate() {
            y.row(&wide, i, &mut shares);
            cut(row, &shares, gain, CUT * grain);
        }
    }
}

#[cfg(test)]
#[path = "detail_tests.rs"]
mod tests;
