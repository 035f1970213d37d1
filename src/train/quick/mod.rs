//! Layers with gradients that are quick to compute.
//!
//! The framework takes the gradient of a filter for a convolution of its own, whose kernel is the whole picture, and the
//! gradient of the input for a transposed one. A training step spends most of its time on these two. Of a convolution that
//! keeps the side (1x1, or 3x3 with zeros around), the first is a matrix product for each place of the filter, and the
//! second is an ordinary convolution. The leaky rectifier it puts together from masks, which take six passes over memory
//! on the way back where a product with the slope will do. LibTorch has gradients of its own for these (`torch.rs`).

#[cfg(feature = "train-libtorch")]
mod torch;

use std::any::{Any, TypeId};

use burn::{
    backend::{
        Autodiff, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
    },
    nn::{BatchNorm, PaddingConfig2d, conv::Conv2d},
    tensor::{
        Tensor, TensorPrimitive,
        activation::leaky_relu,
        backend::Backend,
        module::conv2d,
        ops::{ConvOptions, FloatTensor, PaddedConvOptions},
    },
};

/// `conv` of `x`, `[batch, in, h, w]` to `[batch, out, h', w']`: what the framework gives, with quicker gradients.
pub fn convolved<B: Backend>(conv: &Conv2d<B>, x: Tensor<B, 4>) -> Tensor<B, 4> {
    // Other backends' kernels are best left alone, and without a graph there is no gradient.
    let out = convolved_on::<B, Flex>(conv, &x);
    #[cfg(feature = "train-libtorch")]
    let out = out.or_else(|| torch::convolved(conv, &x));
    out.unwrap_or_else(|| conv.forward(x))
}

/// `x` where it is above 0, else `slope` times `x`, with a quicker gradient; `slope` is 0..1.
pub fn rectified<B: Backend>(x: Tensor<B, 4>, slope: f64) -> Tensor<B, 4> {
    let out = rectified_on::<B, Flex>(&x, slope);
    #[cfg(feature = "train-libtorch")]
    let out = out.or_else(|| rectified_on::<B, burn::backend::LibTorch>(&x, slope));
    out.unwrap_or_else(|| leaky_relu(x, slope))
}

/// `x` with the batch's mean and variance taken out by `norm`.
pub fn normalised<B: Backend>(norm: &BatchNorm<B>, x: Tensor<B, 4>) -> Tensor<B, 4> {
    #[cfg(feature = "train-libtorch")]
    if let Some(out) = torch::normalised(norm, &x) {
        return out;
    }
    norm.forward(x)
}

fn is_graph_on<B: Backend, I: Backend>() -> bool {
    TypeId::of::<B>() == TypeId::of::<Autodiff<I>>()
}

/// `None` when the convolution doesn't keep the side, or `B` isn't the graph on `I`.
fn convolved_on<B: Backend, I: Backend>(conv: &Conv2d<B>, x: &Tensor<B, 4>) -> Option<Tensor<B, 4>> {
    if !is_graph_on::<B, I>() {
        return None;
    }
    let (weight, bias) = (conv.weight.val(), conv.bias.as_ref()?.val());
    let [_, _, kh, kw] = weight.dims();
    let pad = kh / 2;
    let is_plain = conv.stride == [1, 1] && conv.dilation == [1, 1] && conv.groups == 1;
    let is_padded = matches!(conv.padding, PaddingConfig2d::Explicit(a, b, c, d) if [a, b, c, d] == [pad; 4]);
    if !(is_plain && is_padded && kh == kw && matches!(kh, 1 | 3)) {
        return None;
    }
    let operands = [same(primitive(x.clone()))?, same(primitive(weight))?, same(primitive(bias))?];
    Some(tensor(same(kept_side::<I>(operands))?))
}

/// `None` when `B` isn't the graph on `I`.
fn rectified_on<B: Backend, I: Backend>(x: &Tensor<B, 4>, slope: f64) -> Option<Tensor<B, 4>> {
    if !is_graph_on::<B, I>() {
        return None;
    }
    Some(tensor(same(bent::<I>(same(primitive(x.clone()))?, slope))?))
}

fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// A value as what it is: `None` when the types differ.
fn same<A: Any, B: Any>(value: A) -> Option<B> {
    let value: Box<dyn Any> = Box::new(value);
    value.downcast().ok().map(|value| *value)
}

/// The convolution as a step of the graph; operands are input, weight and bias.
fn kept_side<B: Backend>([x, weight, bias]: [FloatTensor<Autodiff<B>>; 3]) -> FloatTensor<Autodiff<B>> {
    let nodes = [x.node.clone(), weight.node.clone(), bias.node.clone()];
    let out = convolution::<B>(
        tensor(x.primitive.clone()),
        tensor(weight.primitive.clone()),
        Some(tensor(bias.primitive)),
    );
    let out = primitive(out);
    match KeptSide.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((x.primitive, weight.primitive), out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    }
}

fn convolution<B: Backend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Option<Tensor<B, 1>>,
) -> Tensor<B, 4> {
    let pad = weight.dims()[2] / 2;
    conv2d(x, weight, bias, PaddedConvOptions::from(ConvOptions::new([1, 1], [pad, pad], [1, 1], 1)))
}

/// The step back of [`kept_side`].
#[derive(Debug)]
struct KeptSide;

impl<B: Backend> Backward<B, 3> for KeptSide {
    /// Input and weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [of_x, of_weight, of_bias] = ops.parents;
        let gradient: Tensor<B, 4> = tensor(gradients.consume::<B>(&ops.node));
        let (x, weight): (Tensor<B, 4>, Tensor<B, 4>) = (tensor(ops.state.0), tensor(ops.state.1));
        if let Some(node) = of_weight {
            let side = weight.dims()[2];
            gradients.register::<B>(node.id, primitive(weight_gradient(x, gradient.clone(), side)));
        }
        if let Some(node) = of_bias {
            let [_, n_out, _, _] = gradient.dims();
            let sum = gradient.clone().sum_dim(3).sum_dim(2).sum_dim(0).reshape([n_out]);
            gradients.register::<B>(node.id, primitive(sum));
        }
        if let Some(node) = of_x {
            // Every output pixel gives back what it took, by the filter turned around.
            let turned = weight.swap_dims(0, 1).flip([2, 3]);
            gradients.register::<B>(node.id, primitive(convolution(gradient, turned, None)));
        }
    }
}

/// The gradient of a filter `[out, in, side, side]`: at each of its places, the product of the output's gradient and the
/// input shifted to there, over all pixels.
fn weight_gradient<B: Backend>(x: Tensor<B, 4>, gradient: Tensor<B, 4>, side: usize) -> Tensor<B, 4> {
    let ([n, n_in, h, w], [_, n_out, _, _]) = (x.dims(), gradient.dims());
    let gradient = gradient.reshape([n, n_out, h * w]);
    let product = |shifted: Tensor<B, 4>| {
        let shifted = shifted.reshape([n, n_in, h * w]).swap_dims(1, 2);
        gradient.clone().matmul(shifted).sum_dim(0).reshape([n_out, n_in, 1])
    };
    if side == 1 {
        return product(x).reshape([n_out, n_in, 1, 1]);
    }
    let pad = side / 2;
    let padded = Tensor::zeros([n, n_in, h + 2 * pad, w + 2 * pad], &x.device());
    let padded = padded.slice_assign([0..n, 0..n_in, pad..pad + h, pad..pad + w], x);
    let columns: Vec<Tensor<B, 4>> =
        (0..side).map(|j| padded.clone().slice([0..n, 0..n_in, 0..h + 2 * pad, j..j + w])).collect();
    let place = |i: usize, j: usize| columns[j].clone().slice([0..n, 0..n_in, i..i + h, 0..w]);
    let places = (0..side * side).map(|k| product(place(k / side, k % side))).collect();
    Tensor::cat(places, 2).reshape([n_out, n_in, side, side])
}

/// The leaky rectifier as a step of the graph.
fn bent<B: Backend>(x: FloatTensor<Autodiff<B>>, slope: f64) -> FloatTensor<Autodiff<B>> {
    let values: Tensor<B, 4> = tensor(x.primitive);
    let out = primitive(values.clone().max_pair(values * slope));
    match (Bent { slope }).prepare::<NoCheckpointing>([x.node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(out.clone(), out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    }
}

/// The step back of [`bent`].
#[derive(Debug)]
struct Bent {
    slope: f64,
}

impl<B: Backend> Backward<B, 1> for Bent {
    /// The output, whose sign is that of the input.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [of_x] = ops.parents;
        let gradient: Tensor<B, 4> = tensor(gradients.consume::<B>(&ops.node));
        let Some(node) = of_x else { return };
        // 1 above 0, the slope below, their mean at 0.
        let sign: Tensor<B, 4> = tensor::<B, 4>(ops.state).sign();
        let slope = sign * (0.5 * (1.0 - self.slope)) + 0.5 * (1.0 + self.slope);
        gradients.register::<B>(node.id, primitive(gradient * slope));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;
    use crate::train::model::conv;

    type Graph = Autodiff<Flex>;

    fn largest(a: Tensor<Flex, 4>, b: Tensor<Flex, 4>) -> f32 {
        assert_eq!(a.dims(), b.dims());
        ((a - b.clone()).abs().max() / b.abs().max()).into_scalar()
    }

    #[test]
    fn outputs_and_gradients_are_those_of_the_framework() {
        let device = Default::default();
        Graph::seed(&device, 5);
        for (kernel, pad) in [(1, 0), (3, 1), (4, 3)] {
            let conv = conv::<Graph>(5, 7, kernel, pad, 1.0, &device);
            let x = Tensor::<Graph, 4>::random([3, 5, 6, 9], Distribution::Default, &device).require_grad();
            let run = |out: Tensor<Graph, 4>| {
                let weights = out.clone().detach().powi_scalar(2);
                let gradients = (out.clone() * weights).sum().backward();
                let of_bias = conv.bias.as_ref().expect("has one").val().grad(&gradients).expect("tracked");
                [
                    out.inner(),
                    x.grad(&gradients).expect("tracked"),
                    conv.weight.val().grad(&gradients).expect("tracked"),
                    of_bias.reshape([1, 1, 1, 7]),
                ]
            };
            let (ours, theirs) = (run(convolved(&conv, x.clone())), run(conv.forward(x.clone())));
            assert_eq!(convolved_on::<Graph, Flex>(&conv, &x).is_some(), kernel != 4);
            for (what, (a, b)) in ours.into_iter().zip(theirs).enumerate() {
                let error = largest(a, b);
                assert!(error < 1e-5, "kernel {kernel}, tensor {what}: {error}");
            }
        }
    }

    #[test]
    fn the_rectifier_and_its_gradient_are_those_of_the_framework() {
        let device = Default::default();
        let x =
            Tensor::<Graph, 4>::random([2, 3, 4, 5], Distribution::Normal(0.0, 1.0), &device).require_grad();
        let run = |out: Tensor<Graph, 4>| {
            let gradients = (out.clone() * out.clone().detach().powi_scalar(2)).sum().backward();
            [out.inner(), x.grad(&gradients).expect("tracked")]
        };
        assert!(rectified_on::<Graph, Flex>(&x, 0.2).is_some());
        let (ours, theirs) = (run(rectified(x.clone(), 0.2)), run(leaky_relu(x.clone(), 0.2)));
        for (a, b) in ours.into_iter().zip(theirs) {
            assert!(largest(a, b) < 1e-6);
        }
        // Without a graph it is the framework's own.
        assert!(rectified_on::<Flex, Flex>(&x.inner(), 0.2).is_none());
    }
}
