//! What a student's phases make small. Unlike quantities are compared by the share of the teacher's variance that the
//! student misses, so that no level drowns another.

use burn::tensor::{Tensor, backend::Backend};

use crate::train::model::colours;

/// Below this much variance a quantity counts as constant.
const LEAST_VARIANCE: f32 = 1e-6;

/// How much the picture counts beside the activations.
const WEIGHT_PICTURE: f32 = 4.0;

/// How much the mask counts.
const WEIGHT_MASK: f32 = 0.3;

/// The parts of a loss by name, each of one value.
pub type Parts<B> = Vec<(&'static str, Tensor<B, 1>)>;

/// Share of the variance of `wanted` that `own` misses: the mean squared error over the mean squared distance of
/// `wanted` from its channels' means. 0 is the same, 1 is no better than a constant.
///
/// # Shapes
/// both `[batch, channels, h, w]`
pub fn missed<B: Backend>(own: Tensor<B, 4>, wanted: Tensor<B, 4>) -> Tensor<B, 1> {
    let [n, _, h, w] = wanted.dims();
    let weight = Tensor::ones([n, 1, h, w], &wanted.device());
    missed_by_weight(own, wanted, &weight)
}

/// The same, each pixel counted by `weight`, `[batch, 1, h, w]`.
pub fn missed_by_weight<B: Backend>(
    own: Tensor<B, 4>,
    wanted: Tensor<B, 4>,
    weight: &Tensor<B, 4>,
) -> Tensor<B, 1> {
    let mean = wanted.clone().mean_dim(0).mean_dim(2).mean_dim(3);
    let weighed =
        |x: Tensor<B, 4>| (x.clone() * x).mean_dim(1).mul(weight.clone()).sum() / weight.clone().sum();
    let variance = weighed(wanted.clone() - mean).detach() + LEAST_VARIANCE;
    weighed(own - wanted) / variance
}

/// Mean of [`missed`] over levels.
pub fn missed_at_levels<B: Backend>(
    levels: impl Iterator<Item = (Tensor<B, 4>, Tensor<B, 4>)>,
) -> Tensor<B, 1> {
    let parts: Vec<Tensor<B, 1>> = levels.map(|(own, wanted)| missed(own, wanted)).collect();
    Tensor::cat(parts, 0).mean()
}

/// Picture and mask beside the teacher's, `[batch, 4, side, side]`; `weight` counts the picture's pixels.
pub fn picture<B: Backend>(own: &Tensor<B, 4>, wanted: &Tensor<B, 4>, weight: &Tensor<B, 4>) -> Parts<B> {
    let [n, _, h, w] = own.dims();
    let mask = |x: &Tensor<B, 4>| x.clone().slice([0..n, 3..4, 0..h, 0..w]);
    vec![
        ("picture", missed_by_weight(colours(own), colours(wanted), weight)),
        ("mask", missed(mask(own), mask(wanted))),
    ]
}

/// The whole of a loss.
pub fn total<B: Backend>(parts: &Parts<B>) -> Tensor<B, 1> {
    let weighed = |(name, part): &(&'static str, Tensor<B, 1>)| {
        let weight = match *name {
            "picture" => WEIGHT_PICTURE,
            "mask" => WEIGHT_MASK,
            _ => 1.0,
        };
        part.clone() * weight
    };
    Tensor::cat(parts.iter().map(weighed).collect(), 0).sum()
}

#[cfg(test)]
mod tests {
    use burn::{
        backend::{Flex, flex::FlexDevice},
        tensor::Distribution,
    };

    use super::*;

    fn noise(spread: f64) -> Tensor<Flex, 4> {
        Tensor::random([4, 2, 16, 16], Distribution::Normal(0.0, spread), &FlexDevice)
    }

    fn value(part: Tensor<Flex, 1>) -> f32 {
        part.into_scalar()
    }

    #[test]
    fn what_is_missed_is_a_share_whatever_the_scale() {
        for scale in [1e-1_f32, 1.0, 50.0] {
            let wanted = noise(1.0) * scale + 7.0;
            assert_eq!(value(missed(wanted.clone(), wanted.clone())), 0.0);
            let mean = wanted.clone().mean_dim(0).mean_dim(2).mean_dim(3);
            let constant = Tensor::zeros_like(&wanted) + mean;
            assert!((value(missed(constant, wanted.clone())) - 1.0).abs() < 1e-3);
            // An independent error of a third of the spread misses a ninth of the variance.
            let near = wanted.clone() + noise(1.0 / 3.0) * scale;
            let share = value(missed(near, wanted));
            assert!((share - 1.0 / 9.0).abs() < 0.02, "{share}");
        }
    }

    #[test]
    fn pixels_without_weight_do_not_count() {
        let wanted = noise(1.0);
        let left = Tensor::ones([4, 1, 16, 8], &FlexDevice);
        let weight = Tensor::cat(vec![left.clone(), left.zeros_like()], 3);
        let change = Tensor::cat(
            vec![Tensor::zeros([4, 2, 16, 8], &FlexDevice), noise(1.0).slice([0..4, 0..2, 0..16, 0..8])],
            3,
        );
        let own = wanted.clone() + change;
        assert_eq!(value(missed_by_weight(own.clone(), wanted.clone(), &weight)), 0.0);
        assert!(value(missed(own, wanted)) > 0.3);
    }

    #[test]
    fn the_picture_counts_most() {
        let part = |v: f32| Tensor::<Flex, 1>::from_floats([v], &FlexDevice);
        let parts = vec![("picture", part(0.5)), ("mask", part(1.0)), ("code", part(0.25))];
        assert!((value(total(&parts)) - 2.55).abs() < 1e-6);
    }
}
