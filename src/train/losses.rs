//! What training makes small: 1 - SSIM, L1 and gradient L1 of the picture, L1 of the mask, all weighted by pixel.

use burn::tensor::{
    Tensor, TensorData,
    backend::Backend,
    module::conv2d,
    ops::{ConvOptions, PaddedConvOptions},
};

/// Standard deviation of SSIM's Gaussian window, pixels (Wang et al. 2004).
const SSIM_SIGMA: f32 = 1.5;

/// SSIM's constants for values in 0..=1 (Wang et al. 2004).
const C1: f32 = 0.01 * 0.01;
/// See [`C1`].
const C2: f32 = 0.03 * 0.03;

/// The parts of one loss, for the log.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct LossParts {
    /// 1 - SSIM.
    pub dssim: f32,
    /// Mean absolute difference.
    pub l1: f32,
    /// Mean absolute difference of the gradients.
    pub gradient: f32,
    /// Mean absolute difference of the mask.
    pub mask: f32,
}

/// How much each part counts.
const WEIGHT_DSSIM: f32 = 1.0;
/// See [`WEIGHT_DSSIM`].
const WEIGHT_L1: f32 = 2.0;
/// See [`WEIGHT_DSSIM`].
const WEIGHT_GRADIENT: f32 = 1.0;
/// See [`WEIGHT_DSSIM`].
const WEIGHT_MASK: f32 = 0.3;

/// The loss of a decoder's output, and its parts (dssim, l1, gradient, mask) as tensors of one value.
///
/// # Shapes
/// - output: `[batch, 4, side, side]`: RGB and mask
/// - target: `[batch, 3, side, side]`; mask, weight: `[batch, 1, side, side]`
pub fn loss<B: Backend>(
    output: Tensor<B, 4>,
    target: &Tensor<B, 4>,
    mask: Tensor<B, 4>,
    weight: &Tensor<B, 4>,
) -> (Tensor<B, 1>, Tensor<B, 1>) {
    let [n, _, h, w] = output.dims();
    let rgb = output.clone().slice([0..n, 0..3, 0..h, 0..w]);
    let own_mask = output.slice([0..n, 3..4, 0..h, 0..w]);
    let difference = rgb.clone() - target.clone();
    let l1 = weighted_mean(difference.clone().abs(), weight.clone());
    let gradient = gradient_l1(&difference, weight);
    let (ssim, margin) = ssim_map(&rgb, target);
    let inner = weight.clone().slice([0..n, 0..1, margin..h - margin, margin..w - margin]);
    let dssim = weighted_mean(ssim.neg() + 1.0, inner);
    let mask = (own_mask - mask).abs().mean();
    let total = dssim.clone() * WEIGHT_DSSIM
        + l1.clone() * WEIGHT_L1
        + gradient.clone() * WEIGHT_GRADIENT
        + mask.clone() * WEIGHT_MASK;
    (total, Tensor::cat(vec![dssim, l1, gradient, mask], 0))
}

impl LossParts {
    /// From the four values that `loss` gives.
    pub fn from_values(values: &[f32]) -> Self {
        let at = |i: usize| values.get(i).copied().unwrap_or(f32::NAN);
        Self { dssim: at(0), l1: at(1), gradient: at(2), mask: at(3) }
    }

    /// Adds another loss, part by part.
    pub fn add(&mut self, other: &Self) {
        self.dssim += other.dssim;
        self.l1 += other.l1;
        self.gradient += other.gradient;
        self.mask += other.mask;
    }

    /// Each part divided by `n`.
    #[must_use]
    pub fn over(&self, n: f32) -> Self {
        Self { dssim: self.dssim / n, l1: self.l1 / n, gradient: self.gradient / n, mask: self.mask / n }
    }

    /// The whole loss.
    pub fn total(&self) -> f32 {
        self.dssim * WEIGHT_DSSIM
            + self.l1 * WEIGHT_L1
            + self.gradient * WEIGHT_GRADIENT
            + self.mask * WEIGHT_MASK
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

/// SSIM at every place where the window fits, and how many pixels that leaves out on each side. The window is 11
/// pixels wide, or the widest odd number below the side.
fn ssim_map<B: Backend>(x: &Tensor<B, 4>, y: &Tensor<B, 4>) -> (Tensor<B, 4>, usize) {
    let [n, c, h, _] = x.dims();
    let window = 11.min((h - 1) / 2 * 2 + 1);
    let stacked = Tensor::cat(
        vec![x.clone(), y.clone(), x.clone() * x.clone(), y.clone() * y.clone(), x.clone() * y.clone()],
        0,
    );
    let means = blurred(stacked, window);
    let [_, _, hh, ww] = means.dims();
    let part = |i: usize| means.clone().slice([i * n..(i + 1) * n, 0..c, 0..hh, 0..ww]);
    let (mx, my) = (part(0), part(1));
    let (mxx, myy, mxy) = (mx.clone() * mx.clone(), my.clone() * my.clone(), mx * my);
    let covariance = part(4) - mxy.clone();
    let variances = part(2) - mxx.clone() + part(3) - myy.clone();
    let ssim = ((mxy * 2.0 + C1) * (covariance * 2.0 + C2)) / ((mxx + myy + C1) * (variances + C2));
    (ssim, window / 2)
}

/// A Gaussian blur where the window fits, as two convolutions by channel.
fn blurred<B: Backend>(x: Tensor<B, 4>, window: usize) -> Tensor<B, 4> {
    let [_, c, _, _] = x.dims();
    let middle = (window / 2) as f32;
    let kernel: Vec<f32> =
        (0..window).map(|i| (-(i as f32 - middle).powi(2) / (2.0 * SSIM_SIGMA * SSIM_SIGMA)).exp()).collect();
    let sum: f32 = kernel.iter().sum();
    let kernel: Vec<f32> = kernel.iter().cycle().take(window * c).map(|k| k / sum).collect();
    let device = x.device();
    let weights =
        |shape: [usize; 4]| Tensor::<B, 4>::from_data(TensorData::new(kernel.clone(), shape), &device);
    let options = || PaddedConvOptions::from(ConvOptions::new([1, 1], [0, 0], [1, 1], c));
    let rows = conv2d(x, weights([c, 1, 1, window]), None, options());
    conv2d(rows, weights([c, 1, window, 1]), None, options())
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    fn constant(value: f32, channels: usize) -> Tensor<Flex, 4> {
        Tensor::full([1, channels, 16, 16], value, &Default::default())
    }

    #[test]
    fn the_loss_of_the_target_itself_is_zero() {
        let output = Tensor::cat(vec![constant(0.4, 3), constant(1.0, 1)], 1);
        let (total, parts) = loss(output, &constant(0.4, 3), constant(1.0, 1), &constant(1.0, 1));
        assert!(total.into_scalar().abs() < 1e-5);
        assert!(parts.into_data().to_vec::<f32>().expect("f32").iter().all(|p| p.abs() < 1e-5));
    }

    #[test]
    fn known_differences_have_known_losses() {
        let output = Tensor::cat(vec![constant(0.5, 3), constant(0.25, 1)], 1);
        let (_, parts) = loss(output, &constant(0.3, 3), constant(1.0, 1), &constant(2.0, 1));
        let parts = LossParts::from_values(&parts.into_data().to_vec::<f32>().expect("f32"));
        // Constant pictures differ in luminance alone: SSIM = (2 a b + C1) / (a^2 + b^2 + C1).
        let ssim = (2.0 * 0.5 * 0.3 + C1) / (0.25 + 0.09 + C1);
        assert!((parts.dssim - (1.0 - ssim)).abs() < 1e-3, "{parts:?}");
        assert!(
            (parts.l1 - 0.2).abs() < 1e-5 && parts.gradient.abs() < 1e-5 && (parts.mask - 0.75).abs() < 1e-5,
            "{parts:?}"
        );
    }
}
