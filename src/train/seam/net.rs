//! Classifiers of patches: 3x3 convolutions, half the side after each level, the mean over what is left.

use burn::{
    module::Module,
    nn::conv::Conv2d,
    tensor::{Tensor, backend::Backend},
};

use super::patches::SIDE_PX;
use crate::train::{
    dense::{Layer, sharpened},
    model::{conv, halved},
};

/// How much stronger than in the patch its finest detail comes in: a seam shows in the grain first.
const SHARPENING: f64 = 6.0;

/// Seam and no seam.
pub(super) const N_CLASSES: usize = 2;

/// Channels of each level, and convolutions in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub widths: [usize; 3],
    pub depth: usize,
}

impl Shape {
    /// Inputs and outputs of each convolution, and the side that it works on.
    fn convolutions(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let levels = (0..self.widths.len()).flat_map(move |level| (0..self.depth).map(move |i| (level, i)));
        levels.map(move |(level, i)| {
            let n_in = match (level, i) {
                (0, 0) => 3,
                (_, 0) => self.widths[level - 1],
                _ => self.widths[level],
            };
            (n_in, self.widths[level], SIDE_PX >> level)
        })
    }

    /// Multiplications with addition for a patch, millions.
    pub(super) fn mmac(self) -> f64 {
        self.convolutions().map(|(n_in, n_out, side)| (9 * n_in * n_out * side * side) as f64 / 1e6).sum()
    }
}

/// A classifier.
#[derive(Module, Debug)]
pub(super) struct Classifier<B: Backend> {
    levels: Vec<Vec<Layer<B>>>,
    head: Conv2d<B>,
}

impl<B: Backend> Classifier<B> {
    /// A network with He's initial weights.
    pub(super) fn new(shape: Shape, device: &B::Device) -> Self {
        let layers: Vec<Layer<B>> =
            shape.convolutions().map(|(n_in, n_out, _)| Layer::new(n_in, n_out, device)).collect();
        let mut layers = layers.into_iter();
        Self {
            levels: shape.widths.iter().map(|_| layers.by_ref().take(shape.depth).collect()).collect(),
            head: conv(shape.widths[shape.widths.len() - 1], N_CLASSES, 1, 0, 1.0, device),
        }
    }

    /// Patches `[batch, 3, SIDE_PX, SIDE_PX]`, RGB 0..=1, to logits `[batch, N_CLASSES]`.
    pub(super) fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 2> {
        let n = x.dims()[0];
        let mut h = sharpened(x * 2.0 - 1.0, SHARPENING);
        for (i, level) in self.levels.iter().enumerate() {
            if i > 0 {
                h = halved(h);
            }
            for layer in level {
                h = layer.forward(h);
            }
        }
        self.head.forward(h.mean_dim(3).mean_dim(2)).reshape([n, N_CLASSES])
    }
}
