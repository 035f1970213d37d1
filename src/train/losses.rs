//! What training makes small: how unlike a picture is to its target in structure (MS-SSIM, or SSIM where that doesn't
//! fit), L1 and gradient L1 of the picture, L1 of the mask, all weighted by pixel. The adversarial part is `critic`'s.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use super::model::{colours, halved};

/// Standard deviation of SSIM's Gaussian window, pixels (Wang et al. 2004).
const SSIM_SIGMA: f32 = 1.5;

/// Side of SSIM's window, pixels (Wang et al. 2004); pictures smaller than that have the widest odd one that fits.
const SSIM_WINDOW: usize = 11;

/// SSIM's constants for values in 0..=1 (Wang et al. 2004).
const C1: f32 = 0.01 * 0.01;
/// See [`C1`].
const C2: f32 = 0.03 * 0.03;

/// How much each scale of MS-SSIM counts, the finest first (Wang, Simoncelli, Bovik 2003).
const SCALE_POWERS: [f32; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Side from which on the window fits into the coarsest of these scales.
const MS_SSIM_FROM_PX: usize = SSIM_WINDOW << (SCALE_POWERS.len() - 1);

/// Least that a scale's mean is taken for before it is raised to its power: below, the slope would run away.
const SCALE_FLOOR: f32 = 0.01;

/// Largest side at which colour alone counts: 4 and 8 pixels have no structure to speak of.
const COLOUR_ALONE_PX: usize = 8;

/// How much each part of the loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// 1 - SSIM, from 176 px on 1 - MS-SSIM.
    pub dssim: f64,
    /// Mean absolute difference.
    pub l1: f64,
    /// Mean absolute difference of the gradients.
    pub gradient: f64,
    /// Mean absolute difference of the mask.
    pub mask: f64,
    /// What a critic of the identity finds wrong (see the module `critic`); 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub adversarial: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero<T: Default + PartialEq>(x: &T) -> bool {
    *x == T::default()
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { dssim: 1.0, l1: 2.0, gradient: 1.0, mask: 0.3, adversarial: 0.0 }
    }
}

/// The parts of one loss, for the log.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct LossParts {
    /// The whole: the parts by their weights.
    pub total: f32,
    /// 1 - SSIM, from 176 px on 1 - MS-SSIM; 0 up to 8 px.
    pub dssim: f32,
    /// Mean absolute difference.
    pub l1: f32,
    /// Mean absolute difference of the gradients; 0 up to 8 px.
    pub gradient: f32,
    /// Mean absolute difference of the mask.
    pub mask: f32,
    /// What the critic finds wrong; 0 without one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub adversarial: f32,
}

/// The loss of a decoder's output, and with it the values of a [`LossParts`] as a tensor without a graph.
///
/// # Shapes
/// - output: `[batch, 4, side, side]`: RGB and mask
/// - target: `[batch, 3, side, side]`; mask, weight: `[batch, 1, side, side]`
pub fn loss<B: Backend>(
    output: Tensor<B, 4>,
    target: &Tensor<B, 4>,
    mask: Tensor<B, 4>,
    weight: &Tensor<B, 4>,
    weights: &LossWeights,
) -> (Tensor<B, 1>, Tensor<B, 1>) {
    let [n, _, h, w] = output.dims();
    let rgb = colours(&output);
    let own_mask = output.slice([0..n, 3..4, 0..h, 0..w]);
    let difference = rgb.clone() - target.clone();
    let l1 = weighted_mean(difference.clone().abs(), weight.clone());
    let mask = (own_mask - mask).abs().mean();
    let (dssim, gradient) = if h <= COLOUR_ALONE_PX {
        (l1.zeros_like(), l1.zeros_like())
    } else {
        (dissimilarity(rgb, target, weight), gradient_l1(&difference, weight))
    };
    let total = dssim.clone() * weights.dssim
        + l1.clone() * weights.l1
        + gradient.clone() * weights.gradient
        + mask.clone() * weights.mask;
    let parts = [total.clone(), dssim, l1, gradient, mask].map(Tensor::detach);
    (total, Tensor::cat(parts.to_vec(), 0))
}

impl LossParts {
    /// From the five values that `loss` gives.
    pub fn from_values(values: &[f32]) -> Self {
        let at = |i: usize| values.get(i).copied().unwrap_or(f32::NAN);
        Self { total: at(0), dssim: at(1), l1: at(2), gradient: at(3), mask: at(4), adversarial: 0.0 }
    }

    /// Adds another loss, part by part.
    pub fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.dssim += other.dssim;
        self.l1 += other.l1;
        self.gradient += other.gradient;
        self.mask += other.mask;
        self.adversarial += other.adversarial;
    }

    /// Each part divided by `n`.
    #[must_use]
    pub fn over(&self, n: f32) -> Self {
        Self {
            total: self.total / n,
            dssim: self.dssim / n,
            l1: self.l1 / n,
            gradient: self.gradient / n,
            mask: self.mask / n,
            adversarial: self.adversarial / n,
        }
    }
}

/// Mean of `x` (`[n, c, h, w]`) weighted by `weight` (`[n, 1, h, w]`).
fn weighted_mean<B: Backend>(x: Tensor<B, 4>, weight: Tensor<B, 4>) -> Tensor<B, 1> {
    (x.mean_dim(1) * weight.clone()).sum() / weight.sum()
}

fn gradient_l1<B: Backend>(difference: &Tensor<B, 4>, weight: &Tensor<B, 4>) -> Tensor<B, 1> {
    let [n, c, h, w] = difference.dims();
    let cut = |x: &Tensor<B, 4>, c: usize, y: usize, x0: usize, hh: usize, ww: usize| {
        x.clone().slice([0..n, 0..c, y..y + hh, x0..x0 + ww])
    };
    let right = cut(difference, c, 0, 1, h, w - 1) - cut(difference, c, 0, 0, h, w - 1);
    let down = cut(difference, c, 1, 0, h - 1, w) - cut(difference, c, 0, 0, h - 1, w);
    weighted_mean(right.abs(), cut(weight, 1, 0, 0, h, w - 1))
        + weighted_mean(down.abs(), cut(weight, 1, 0, 0, h - 1, w))
}

/// 1 - SSIM, or 1 - MS-SSIM where its scales fit.
fn dissimilarity<B: Backend>(x: Tensor<B, 4>, y: &Tensor<B, 4>, weight: &Tensor<B, 4>) -> Tensor<B, 1> {
    if x.dims()[2] >= MS_SSIM_FROM_PX {
        return ms_ssim(x, y.clone(), weight.clone()).neg() + 1.0;
    }
    let SsimMaps { luminance, structure, margin } = ssim_maps(&x, y);
    weighted_mean((luminance * structure).neg() + 1.0, without_margin(weight, margin))
}

/// MS-SSIM (Wang, Simoncelli, Bovik 2003): the mean of structure at each scale, at the coarsest that of SSIM, multiplied
/// with their powers plane by plane; the mean over all planes.
fn ms_ssim<B: Backend>(mut x: Tensor<B, 4>, mut y: Tensor<B, 4>, mut weight: Tensor<B, 4>) -> Tensor<B, 1> {
    let (coarsest, finer) = (SCALE_POWERS.len() - 1, &SCALE_POWERS[1..]);
    let factor = |map: Tensor<B, 4>, weight: Tensor<B, 4>, power: f32| {
        let mean = (map * weight.clone()).sum_dim(3).sum_dim(2) / weight.sum_dim(3).sum_dim(2);
        mean.clamp_min(SCALE_FLOOR).powf_scalar(power)
    };
    let maps = ssim_maps(&x, &y);
    let mut product = factor(maps.structure, without_margin(&weight, maps.margin), SCALE_POWERS[0]);
    for (i, power) in finer.iter().enumerate() {
        (x, y, weight) = (halved(x), halved(y), halved(weight));
        let SsimMaps { luminance, structure, margin } = ssim_maps(&x, &y);
        let map = if i + 1 == coarsest { luminance * structure } else { structure };
        product = product * factor(map, without_margin(&weight, margin), *power);
    }
    product.mean()
}

/// The two factors of SSIM at every place where the window fits.
struct SsimMaps<B: Backend> {
    luminance: Tensor<B, 4>,
    /// Contrast times structure.
    structure: Tensor<B, 4>,
    /// Pixels that the window leaves out on each side.
    margin: usize,
}

fn ssim_maps<B: Backend>(x: &Tensor<B, 4>, y: &Tensor<B, 4>) -> SsimMaps<B> {
    let [n, c, h, _] = x.dims();
    let window = SSIM_WINDOW.min((h - 1) / 2 * 2 + 1);
    // The means of y need no graph. Of the squares the sum alone is asked for.
    let my = blurred(y.clone(), window);
    let squares = x.clone() * x.clone() + y.clone() * y.clone();
    let means = blurred(Tensor::cat(vec![x.clone(), squares, x.clone() * y.clone()], 0), window);
    let [_, _, hh, ww] = means.dims();
    let part = |i: usize| means.clone().slice([i * n..(i + 1) * n, 0..c, 0..hh, 0..ww]);
    let mx = part(0);
    let (mxy, mxx_myy) = (mx.clone() * my.clone(), mx.clone() * mx + my.clone() * my);
    let covariance = part(2) - mxy.clone();
    let variances = part(1) - mxx_myy.clone();
    SsimMaps {
        luminance: (mxy * 2.0 + C1) / (mxx_myy + C1),
        structure: (covariance * 2.0 + C2) / (variances + C2),
        margin: window / 2,
    }
}

fn without_margin<B: Backend>(weight: &Tensor<B, 4>, margin: usize) -> Tensor<B, 4> {
    let [n, c, h, w] = weight.dims();
    weight.clone().slice([0..n, 0..c, margin..h - margin, margin..w - margin])
}

/// Outputs of a blur that are computed by one matrix product.
const STRIP_PX: usize = 128;

/// A Gaussian blur where the window fits, `[n, c, h, w]` to `[n, c, h + 1 - window, w + 1 - window]`.
///
/// It is two products with banded matrices, strip by strip. That is more arithmetic than a convolution channel by
/// channel, and much faster: matrix products, and their gradients, are what every backend does best.
fn blurred<B: Backend>(x: Tensor<B, 4>, window: usize) -> Tensor<B, 4> {
    let ([n, c, h, w], device) = (x.dims(), x.device());
    let planes = x.reshape([n * c, h, w]);
    let of_columns = |strip: Range<usize>| {
        let (len, n_out) = (strip.len(), strip.len() + 1 - window);
        let columns = planes.clone().slice([0..n * c, 0..h, strip]).reshape([n * c * h, len]);
        columns.matmul(band(len, window, &device)).reshape([n * c, h, n_out])
    };
    let rows = Tensor::cat(strips(w, window).map(of_columns).collect(), 2);
    let ww = w + 1 - window;
    let of_rows = |strip: Range<usize>| {
        let band = band::<B>(strip.len(), window, &device).transpose().unsqueeze::<3>();
        band.matmul(rows.clone().slice([0..n * c, strip, 0..ww]))
    };
    let both: Tensor<B, 3> = Tensor::cat(strips(h, window).map(of_rows).collect(), 1);
    both.reshape([n, c, h + 1 - window, ww])
}

/// What each matrix product of a blur over `side_px` pixels takes.
fn strips(side_px: usize, window: usize) -> impl Iterator<Item = Range<usize>> {
    let n_out = side_px + 1 - window;
    (0..n_out).step_by(STRIP_PX).map(move |first| first..(first + STRIP_PX).min(n_out) + window - 1)
}

/// The matrix `[len, len + 1 - window]` that blurs what stands on its left.
fn band<B: Backend>(len: usize, window: usize, device: &B::Device) -> Tensor<B, 2> {
    let middle = (window / 2) as f32;
    let kernel: Vec<f32> =
        (0..window).map(|i| (-(i as f32 - middle).powi(2) / (2.0 * SSIM_SIGMA * SSIM_SIGMA)).exp()).collect();
    let sum: f32 = kernel.iter().sum();
    let n_out = len + 1 - window;
    let mut values = vec![0.0; len * n_out];
    for to in 0..n_out {
        kernel.iter().enumerate().for_each(|(i, k)| values[(to + i) * n_out + to] = k / sum);
    }
    Tensor::from_data(TensorData::new(values, [len, n_out]), device)
}

#[cfg(test)]
#[path = "losses_tests.rs"]
mod tests;
