//! Layers on LibTorch with LibTorch's own gradients, on its CPU kernels as on its GPU's.
//!
//! The framework knows LibTorch's operations, but puts gradients together from operations of its own. Here an operation
//! runs with LibTorch's recording on, and the step back is the one that LibTorch has written for it.

use burn::{
    backend::{
        Autodiff, LibTorch,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        libtorch::TchTensor,
    },
    nn::{BatchNorm, PaddingConfig2d, conv::Conv2d},
    tensor::{Tensor, backend::Backend, ops::FloatTensor},
};
use tch::Kind;

use super::{primitive, same, tensor};

type Graph = Autodiff<LibTorch>;

/// `conv` of `x`; `None` when `B` isn't the graph on LibTorch, or the layer's padding is one-sided.
pub(super) fn convolved<B: Backend>(conv: &Conv2d<B>, x: &Tensor<B, 4>) -> Option<Tensor<B, 4>> {
    let wide = |two: [usize; 2]| two.map(|n| n as i64);
    let padding = match conv.padding {
        PaddingConfig2d::Valid => [0, 0],
        PaddingConfig2d::Explicit(top, left, bottom, right) if (top, left) == (bottom, right) => [top, left],
        _ => return None,
    };
    let (stride, padding, dilation) = (wide(conv.stride), wide(padding), wide(conv.dilation));
    let groups = conv.groups as i64;
    let convolve = |x: &tch::Tensor, weight: &tch::Tensor, bias: Option<&tch::Tensor>| {
        x.conv2d(weight, bias, stride, padding, dilation, groups)
    };
    let weight = conv.weight.val();
    let out = match &conv.bias {
        Some(bias) => taped(operands(x, [weight], [bias.val()])?, |[x, w, bias]| convolve(x, w, Some(bias))),
        None => taped(operands(x, [weight], [])?, |[x, w]| convolve(x, w, None)),
    };
    Some(tensor(same(out)?))
}

/// `x` with the mean and the variance of the batch taken out by `norm`, which follows both; `None` when `B` isn't the
/// graph on LibTorch.
pub(super) fn normalised<B: Backend>(norm: &BatchNorm<B>, x: &Tensor<B, 4>) -> Option<Tensor<B, 4>> {
    let operands = operands(x, [], [norm.gamma.val(), norm.beta.val()])?;
    let (momentum, epsilon) = (norm.momentum, norm.epsilon);
    let mut of_batch = None;
    let out = taped(operands, |[x, gamma, beta]| {
        let (none, gamma, beta) = (None::<&tch::Tensor>, Some(gamma), Some(beta));
        let (out, mean, deviation) = x.native_batch_norm(gamma, beta, none, none, true, momentum, epsilon);
        // LibTorch needs its mean again on the way back, where the framework would write over it; the second is one over
        // the root of variance and epsilon.
        of_batch = Some((mean.detach().copy(), deviation.detach().pow_tensor_scalar(-2) - epsilon));
        out
    });
    let (mean, variance) = of_batch?;
    let constant = |of_batch: tch::Tensor| -> Option<Tensor<B, 1>> {
        let value: Tensor<Graph, 1> = Tensor::from_inner(tensor(TchTensor::new(of_batch)));
        Some(tensor(same(primitive(value))?))
    };
    for (followed, now) in [(&norm.running_mean, constant(mean)?), (&norm.running_var, constant(variance)?)] {
        followed.update((followed.value_sync() * (1.0 - momentum) + now * momentum).detach());
    }
    Some(tensor(same(out)?))
}

/// Inputs of an operation on the graph on LibTorch, a picture first; `None` when `B` isn't that.
fn operands<B: Backend, const M: usize, const V: usize, const N: usize>(
    x: &Tensor<B, 4>,
    filters: [Tensor<B, 4>; M],
    vectors: [Tensor<B, 1>; V],
) -> Option<[FloatTensor<Graph>; N]> {
    let all = [primitive(x.clone())]
        .into_iter()
        .chain(filters.map(primitive))
        .chain(vectors.map(primitive))
        .map(same)
        .collect::<Option<Vec<_>>>()?;
    all.try_into().ok()
}

/// An operation's output as LibTorch recorded it, and what went in.
#[derive(Debug, Clone)]
struct Tape<const N: usize> {
    out: TchTensor,
    leaves: [TchTensor; N],
}

/// The step back of [`taped`].
#[derive(Debug)]
struct Taped;

/// `operation` as a step of the graph.
fn taped<const N: usize>(
    inputs: [FloatTensor<Graph>; N],
    operation: impl FnOnce([&tch::Tensor; N]) -> tch::Tensor,
) -> FloatTensor<Graph> {
    let nodes = inputs.each_ref().map(|input| input.node.clone());
    match Taped.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let leaves = inputs.map(|input| {
                let TchTensor { tensor, storage } = input.primitive;
                // With the storage shared, the framework won't write over what LibTorch has recorded.
                TchTensor::from_existing(tensor.detach().set_requires_grad(true), storage)
            });
            let out = operation(leaves.each_ref().map(|leaf| &leaf.tensor));
            let shown = TchTensor::new(out.detach());
            prepared.finish(Tape { out: TchTensor::new(out), leaves }, shown)
        }
        OpsKind::UnTracked(prepared) => {
            let out = operation(inputs.each_ref().map(|input| &input.primitive.tensor));
            prepared.finish(TchTensor::new(out))
        }
    }
}

impl<const N: usize> Backward<LibTorch, N> for Taped {
    type State = Tape<N>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let Tape { out, leaves } = ops.state;
        let gradient = gradients.consume::<LibTorch>(&ops.node);
        let wanted: Vec<_> =
            ops.parents.iter().zip(&leaves).filter_map(|(node, leaf)| Some((node.as_ref()?, leaf))).collect();
        // A number whose gradient by the output is the output's gradient.
        let number = (out.tensor * gradient.tensor).sum(Kind::Float);
        let inputs: Vec<&tch::Tensor> = wanted.iter().map(|(_, leaf)| &leaf.tensor).collect();
        let found = tch::Tensor::run_backward(&[number], &inputs, false, false);
        for ((node, _), gradient) in wanted.into_iter().zip(found) {
            gradients.register::<LibTorch>(node.id, TchTensor::new(gradient));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{BatchNormConfig, conv::Conv2dConfig},
        tensor::Distribution,
    };

    use super::*;

    /// What a layer makes of `x`, with the gradients of `x` and of the layer's parameters.
    fn both(
        x: &Tensor<Graph, 4>,
        out: Tensor<Graph, 4>,
        filters: &[Tensor<Graph, 4>],
        vectors: &[Tensor<Graph, 1>],
    ) -> Vec<Tensor<LibTorch, 1>> {
        let flat = |t: Tensor<LibTorch, 4>| -> Tensor<LibTorch, 1> { t.flatten(0, 3) };
        let gradients = (out.clone() * out.clone().detach().powi_scalar(2)).sum().backward();
        let of_filters = [x].into_iter().chain(filters).map(|t| flat(t.grad(&gradients).expect("tracked")));
        let of_vectors = vectors.iter().map(|t| t.grad(&gradients).expect("tracked"));
        [flat(out.inner())].into_iter().chain(of_filters).chain(of_vectors).collect()
    }

    fn assert_same(ours: Vec<Tensor<LibTorch, 1>>, theirs: Vec<Tensor<LibTorch, 1>>) {
        assert_eq!(ours.len(), theirs.len());
        for (what, (a, b)) in ours.into_iter().zip(theirs).enumerate() {
            let error: f32 = ((a - b.clone()).abs().max() / b.abs().max()).into_scalar();
            assert!(error < 1e-4, "tensor {what}: {error}");
        }
    }

    #[test]
    fn convolutions_are_those_of_the_framework() {
        let device = Default::default();
        for (kernel, stride, groups, padding, has_bias) in [
            (1, 1, 1, 0, true),
            (3, 1, 1, 1, true),
            (3, 2, 1, 1, true),
            (3, 1, 6, 1, true),
            (3, 1, 6, 1, false),
            (4, 1, 1, 0, true),
        ] {
            let padding = PaddingConfig2d::Explicit(padding, padding, padding, padding);
            let conv = Conv2dConfig::new([6, 6], [kernel, kernel])
                .with_stride([stride, stride])
                .with_groups(groups)
                .with_padding(padding)
                .with_bias(has_bias)
                .init::<Graph>(&device);
            let x = Tensor::<Graph, 4>::random([2, 6, 8, 9], Distribution::Default, &device).require_grad();
            let (filter, bias) = ([conv.weight.val()], conv.bias.iter().map(|b| b.val()).collect::<Vec<_>>());
            let ours = convolved(&conv, &x).expect("on LibTorch");
            let ours = both(&x, ours, &filter, &bias);
            assert_same(ours, both(&x, conv.forward(x.clone()), &filter, &bias));
        }
    }

    #[test]
    fn normalisation_and_what_it_follows_are_those_of_the_framework() {
        let device = Default::default();
        let [ours, theirs] = [(); 2].map(|()| BatchNormConfig::new(5).init::<Graph>(&device));
        let x =
            Tensor::<Graph, 4>::random([3, 5, 4, 6], Distribution::Normal(0.3, 2.0), &device).require_grad();
        let of = |norm: &BatchNorm<Graph>| [norm.gamma.val(), norm.beta.val()];
        let out = normalised(&ours, &x).expect("on LibTorch");
        let ours_back = both(&x, out, &[], &of(&ours));
        assert_same(ours_back, both(&x, theirs.forward(x.clone()), &[], &of(&theirs)));
        let followed = |norm: &BatchNorm<Graph>| {
            [&norm.running_mean, &norm.running_var].map(|state| state.value_sync().inner()).to_vec()
        };
        assert_same(followed(&ours), followed(&theirs));
    }
}
