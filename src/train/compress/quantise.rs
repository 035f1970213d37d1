//! Numbers in 8 bits: what `QuantizeLinear` and `DequantizeLinear` compute, and the scales that they need.
//!
//! Activations are unsigned, with one scale and one zero for a whole tensor. Weights are signed and symmetric, with a
//! scale for each output channel (as in Jacob et al., "Quantization and training of neural networks for efficient
//! integer-arithmetic-only inference", 2018).

use crate::train::filters::Filter;

/// Largest step of a weight. Processors without VNNI add two products of an activation, up to 255, and a weight into 16
/// bits that stick at 32 767: with 2 x 255 x 64 nothing ever sticks. (With 127, all convolutions of the shipped B's
/// encoder in 8 bits are 14 dB further from fp32 on such a processor.)
const MAX_STEP: f32 = 64.0;

/// Largest step of an activation.
const MAX_ACTIVATION: f32 = 255.0;

/// Largest step of a bias: half of what fits, so that the sum with the products does too.
const MAX_BIAS: f32 = (1 << 30) as f32;

/// The values that a tensor takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The least, at most 0.
    pub low: f32,
    /// The greatest, at least 0.
    pub high: f32,
}

impl Default for Range {
    /// Nothing but 0, which every range has: it is what stands around a picture.
    fn default() -> Self {
        Self { low: 0.0, high: 0.0 }
    }
}

impl Range {
    /// The least range that holds this one and `values`. What is no number is passed over.
    #[must_use]
    pub fn with<'a>(self, values: impl IntoIterator<Item = &'a f32>) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        finite.fold(self, |Self { low, high }, v| Self { low: low.min(*v), high: high.max(*v) })
    }
}

/// How a tensor's values are counted: `value = scale * (step - zero)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps {
    /// The length of a step.
    pub scale: f32,
    /// The step that means 0.
    pub zero: u8,
}

impl Steps {
    /// 256 steps over a range, one of them at 0 exactly.
    pub fn over(range: Range) -> Self {
        // A tensor that is always 0 still needs a scale to divide by.
        let scale = ((range.high - range.low) / MAX_ACTIVATION).max(f32::MIN_POSITIVE);
        let zero = (-range.low / scale).round_ties_even().clamp(0.0, MAX_ACTIVATION);
        Self { scale, zero: zero as u8 }
    }
}

/// A convolution in whole numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeFilter {
    /// `[out, in, k, k]`, at most 64 away from 0.
    pub weight: Vec<i8>,
    /// The length of a weight's step, one for each output channel.
    pub scales: Vec<f32>,
    /// One for each output channel.
    pub bias: Vec<i32>,
    /// The length of a bias's step: that of a product.
    pub bias_scales: Vec<f32>,
}

impl WholeFilter {
    /// The nearest to `filter` for an input that is counted in steps of `input_scale`.
    pub fn of(filter: &Filter, input_scale: f32) -> Self {
        let n = filter.weight.len() / filter.dims[0].max(1);
        let channels = filter.weight.chunks_exact(n.max(1)).zip(&filter.bias);
        let scales: Vec<f32> = channels.clone().map(|(own, bias)| scale(own, *bias, input_scale)).collect();
        let bias_scales: Vec<f32> = scales.iter().map(|scale| scale * input_scale).collect();
        let steps = |v: f32, scale: f32| (v / scale).round_ties_even();
        let weight = channels.zip(&scales).flat_map(|((own, _), scale)| {
            own.iter().map(move |v| steps(*v, *scale).clamp(-MAX_STEP, MAX_STEP) as i8)
        });
        Self {
            weight: weight.collect(),
            bias: filter.bias.iter().zip(&bias_scales).map(|(v, scale)| steps(*v, *scale) as i32).collect(),
            scales,
            bias_scales,
        }
    }
}

/// The length of a step for a channel's weights. A channel of next to nothing but its bias takes longer ones, so that
/// the bias fits into 32 bits.
fn scale(weights: &[f32], bias: f32, input_scale: f32) -> f32 {
    let largest = weights.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
    let least = (bias.abs() / MAX_BIAS / input_scale).max(f32::MIN_POSITIVE / input_scale.min(1.0));
    (largest / MAX_STEP).max(least)
}

#[cfg(test)]
#[path = "quantise_tests.rs"]
mod tests;
