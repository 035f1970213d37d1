//! The finest detail of the composite, matched to the target's: grain, sharpness, motion blur.
//!
//! A network gives a picture of some 128 pixels. On a larger face it has no detail that is as fine as the frame's
//! pixels, and beside a sharp and grainy neck a smooth face is found at once; on a soft or smeared frame a sharp one is.
//! In each band that is finer than the network's own pixels the composite gets the target's own band, as much of it as
//! the new face lacks: that is its grain, its pores, its focus and its motion blur in one.
//!
//! Grain is everywhere, the edges of the target's features are not, and they must not come along, or its lips and lids
//! would be seen beside the new ones. So grain is what the quieter parts of the face have; where the band is stronger
//! than that it fades, and single values are cut off.
//!
//! Bands that the network has, but more weakly than the target, are its own edges, blurred: they are amplified, which
//! sharpens them. In bands in which the new face has more than the target it is softened.
//!
//! Only lightness is looked at: eyes don't see finest detail in colours, and video doesn't store it.

use super::{
    pyramid::Floors,
    resample::{Filter, Taps, resampled},
};
use crate::dispatch::dispatched;

/// Bands that are looked at; the coarsest of them has cells of 1/64 of the crop's side or more.
const N_BANDS: usize = 5;
/// No cell is larger than this many of the network's pixels.
const COARSEST_PX: f64 = 4.5;
/// Cells that are smaller than this many of the network's pixels hold nothing of it.
const FINEST_PX: f64 = 0.7;
/// Strength is measured in blocks of this side, cells of the band.
const BLOCK: usize = 6;
/// Where a block stands among those of the face to count as grain alone, share from the quietest.
const QUIET: f32 = 0.3;
/// Blocks this many times stronger than grain begin to fade.
const FADES: f32 = 1.25;
/// What stands further out than this many times the mean is cut off.
const CUT: f32 = 3.0;
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
    let target = bands(lightness(target, mask.len()), floors, n_bands);
    let change = bands(lightness(difference, mask.len()), floors, n_bands);
    let masks = floors.gaussian(mask, n_bands.saturating_sub(1));
    let mut details = Vec::with_capacity(n_bands);
    for (k, (mut old, mut new)) in target.into_iter().zip(change).enumerate() {
        add(&mut new, &old);
        let (mask, width) = (if k == 0 { mask } else { &masks[k - 1] }, floors.width(k));
        let (of_target, of_new) = (Blocks::of(&old, width), Blocks::of(&new, width));
        if floors.cell_px(k) < FINEST_PX * network_px {
            let (wanted, had) = (of_target.quiet(mask, width), of_new.quiet(mask, width));
            if had < wanted {
                let gain = (1.0 - (had / wanted).powi(2)).sqrt();
                let (share, limit) =
                    (of_target.share_of_grain(wanted, old.len() / width, width), CUT * wanted);
                cut(&mut old, &share, gain, limit);
                details.push(old);
                continue;
            }
        }
        let (wanted, had) = (of_target.mean(mask, width), of_new.mean(mask, width));
        let strength = if had > 0.0 { (wanted / had).clamp(LEAST, MOST) - 1.0 } else { 0.0 };
        scale(&mut new, strength);
        details.push(new);
    }
    details
}

fn lightness(planes: &[f32], n: usize) -> Vec<f32> {
    let mut out = vec![0.0; n];
    weighed(&planes[..n], &planes[n..2 * n], &planes[2 * n..], &mut out);
    out
}

dispatched! {
    /// Lightness of red, green and blue.
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

/// The finest bands of a plane.
fn bands(plane: Vec<f32>, floors: &Floors, n: usize) -> Vec<Vec<f32>> {
    let mut pictures = vec![plane];
    for k in 0..n {
        let next = floors.reduced(&pictures[k], k);
        pictures.push(next);
    }
    for k in 0..n {
        let (upper, lower) = pictures.split_at_mut(k + 1);
        floors.take(&mut upper[k], &lower[0], k);
    }
    pictures.truncate(n);
    pictures
}

/// Mean absolute values of a band in blocks.
struct Blocks {
    means: Vec<f32>,
    columns: usize,
}

impl Blocks {
    fn of(band: &[f32], width: usize) -> Self {
        let columns = (width / BLOCK).max(1);
        let rows = (band.len() / width / BLOCK).max(1);
        let (block_width, block_height) = (BLOCK.min(width), BLOCK.min(band.len() / width));
        let mut means = vec![0.0; columns * rows];
        let part = 1.0 / (block_width * block_height) as f32;
        for (means, lines) in means.chunks_exact_mut(columns).zip(band.chunks(width * block_height)) {
            for line in lines.chunks_exact(width) {
                add_blocks(line, block_width, part, means);
            }
        }
        Self { means, columns }
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

    /// How much of each value is grain, 0..=1, when blocks of grain have the strength `grain`.
    fn share_of_grain(&self, grain: f32, height: usize, width: usize) -> Vec<f32> {
        let share = |mean: &f32| (FADES * grain / mean.max(1e-9)).powi(2).min(1.0);
        let shares: Vec<f32> = self.means.iter().map(share).collect();
        let rows = self.means.len() / self.columns;
        let step = 1.0 / BLOCK as f64;
        let (x, y) = (
            Taps::placed(self.columns, width, (0.0, step), Filter::Linear),
            Taps::placed(rows, height, (0.0, step), Filter::Linear),
        );
        resampled(&shares, self.columns, (&x, &y))
    }
}

#[cfg(test)]
#[path = "detail_tests.rs"]
mod tests;
