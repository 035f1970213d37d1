//! The adversarial part of the loss: for each identity a critic that learns to tell true pictures of it from the
//! decoder's, patch by patch, and whose opinion the decoder is trained to change (Goodfellow et al. 2014; patches: Isola
//! et al. 2017).
//!
//! What differences of pixels punish least is blur: it is the mean of everything that might be there. A critic sees blur
//! at once. It looks at some 36 pixels at a time, inside of the face, so it judges skin, lashes and lips and not where
//! they are, which the rest of the loss does.
//!
//! The logits' loss is the logistic one. What holds the critic in check is the penalty R1 on its slope at true pictures
//! (Mescheder et al. 2018), taken from finite differences along random directions, since the framework has no gradients of
//! gradients. The decoder is asked as well to make the critic feel as it does at the true picture, layer by layer (feature
//! matching, Wang et al. 2018), which keeps it from inventing.

use std::path::Path;

use burn::{
    module::Module,
    nn::conv::Conv2d,
    optim::{Adam, GradientsAccumulator, GradientsParams, Optimizer, adaptor::OptimizerAdaptor},
    tensor::{
        Tensor, TensorData,
        backend::{AutodiffBackend, Backend},
    },
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    checkpoint,
    data::mixed,
    model::{conv, halved, rectifier_gain, rectify, unshuffled},
    optimizer::adam,
    quick::convolved,
    seeded::seeded,
};
use crate::Result;

/// Channels at a half, a quarter and an eighth of the side.
const WIDTHS: [usize; 3] = [16, 32, 64];

/// Smallest side that it judges: below, there is no patch to speak of.
pub const LEAST_SIDE_PX: usize = 16;

/// How much the likeness of the critic's layers counts beside its logits.
const MATCHING: f64 = 4.0;

/// Half the weight of the penalty on the slope (gamma / 2 of R1), for each patch.
const PENALTY: f64 = 0.1;

/// The penalty is taken in every so many-th step, and counts as much more (lazy regularisation, Karras et al. 2020).
const PENALTY_EVERY: u64 = 8;

/// Length of the finite difference that gives the slope, in pixels' values of 0..=1: below what is seen.
const DIFFERENCE: f64 = 0.01;

/// The names of its files in a checkpoint.
const MODEL_NAME: &str = "critics.mpk";
/// See [`MODEL_NAME`].
const OPTIMIZER_NAME: &str = "critics-optimizer.mpk";

/// Pictures to one logit for each patch, above 0 where it takes the patch for a true one.
#[derive(Module, Debug)]
pub struct Critic<B: Backend> {
    layers: Vec<Conv2d<B>>,
    last: Conv2d<B>,
}

/// What a critic makes of pictures.
struct Opinion<B: Backend> {
    /// `[batch, 1, side / 8, side / 8]`
    logits: Tensor<B, 4>,
    /// What each layer gives, the finest first.
    layers: Vec<Tensor<B, 4>>,
}

/// What one batch teaches both sides.
pub struct Duel<B: AutodiffBackend> {
    /// What the decoder makes small: `[1]`, with a graph to the pictures that it gave.
    pub decoder: Tensor<B, 1>,
    /// Gradients of `share` times the critic's loss.
    pub critic: GradientsParams,
}

impl<B: Backend> Critic<B> {
    fn new(device: &B::Device) -> Self {
        let n_in = std::iter::once(4 * 3).chain(WIDTHS);
        let layer = |(n_in, n_out)| conv(n_in, n_out, 3, 1, rectifier_gain(), device);
        // Begins undecided: its first opinions shall not shake the decoder.
        let last = conv(WIDTHS[WIDTHS.len() - 1], 1, 1, 0, 0.1, device);
        Self { layers: n_in.zip(WIDTHS).map(layer).collect(), last }
    }

    /// # Shapes
    /// - rgb: `[batch, 3, side, side]`, RGB 0..=1; side divisible by 8
    fn judge(&self, rgb: Tensor<B, 4>) -> Opinion<B> {
        // What a convolution of stride 2 would look at, for the kernels that keep the side.
        let mut h = unshuffled(rgb * 2.0 - 1.0);
        let mut layers = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                h = halved(h);
            }
            h = rectify(convolved(layer, h));
            layers.push(h.clone());
        }
        Opinion { logits: convolved(&self.last, h), layers }
    }
}

impl<B: AutodiffBackend> Critic<B> {
    /// Lets the critic see true pictures and the decoder's, where `mask` says that there is face.
    ///
    /// # Shapes
    /// - own, truth: `[batch, 3, side, side]`, RGB 0..=1; mask: `[batch, 1, side, side]`
    pub fn duel(
        &self,
        own: &Tensor<B, 4>,
        truth: &Tensor<B, 4>,
        mask: &Tensor<B, 4>,
        (step, seed): (u64, u64),
        share: f64,
    ) -> Duel<B> {
        let inside = |x: &Tensor<B, 4>| x.clone() * mask.clone();
        let (own, truth) = (inside(own), inside(truth));
        // Of each layer's places.
        let weights: Vec<Tensor<B, 4>> =
            std::iter::successors(Some(halved(mask.clone())), |finer| Some(halved(finer.clone())))
                .take(WIDTHS.len())
                .collect();
        let patches = &weights[WIDTHS.len() - 1];
        let on_truth = self.judge(truth.clone());
        let on_own = self.judge(own.clone().detach());
        let mut loss =
            mean(softplus(on_truth.logits.clone().neg()), patches) + mean(softplus(on_own.logits), patches);
        if step.is_multiple_of(PENALTY_EVERY) {
            let moved = truth.clone() + signs(&truth, mixed(&[seed, step])) * mask.clone() * DIFFERENCE;
            let slope = (self.judge(moved).logits - on_truth.logits.clone()) / DIFFERENCE;
            loss = loss + mean(slope.powi_scalar(2), patches) * (PENALTY * PENALTY_EVERY as f64);
        }
        let mut gradients = (loss * share).backward();
        let critic = GradientsParams::from_module(&mut gradients, self);
        // For the decoder it is a judge that doesn't learn.
        let opinion = self.clone().no_grad().judge(own);
        let mut decoder = mean(softplus(opinion.logits.neg()), patches);
        for ((own, truth), weight) in opinion.layers.into_iter().zip(on_truth.layers).zip(&weights) {
            let unlike = (own - truth.detach()).abs().mean_dim(1);
            decoder = decoder + mean(unlike, weight) * (MATCHING / WIDTHS.len() as f64);
        }
        Duel { decoder, critic }
    }
}

/// The critics of all identities, and what trains them.
pub struct Critics<B: AutodiffBackend> {
    /// In the order of the identities.
    pub all: Vec<Critic<B>>,
    optimizer: OptimizerAdaptor<Adam, Vec<Critic<B>>, B>,
}

impl<B: AutodiffBackend> Critics<B> {
    /// Critics that have seen nothing, the same for the same seed.
    pub fn new(n: usize, seed: u64, device: &B::Device) -> Self {
        Self {
            all: seeded(device, mixed(&[seed, n as u64]), || (0..n).map(|_| Critic::new(device)).collect()),
            optimizer: adam().with_beta_1(0.5).with_beta_2(0.99).init(),
        }
    }

    /// One step of Adam.
    pub fn descend(&mut self, mut gradients: GradientsAccumulator<Vec<Critic<B>>>, rate: f64) {
        self.all = self.optimizer.step(rate, self.all.clone(), gradients.grads());
    }

    /// Writes them into the folder of a checkpoint.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn write(&self, checkpoint: &Path) -> Result<()> {
        checkpoint::write_record::<B, _>(&checkpoint.join(MODEL_NAME), self.all.clone().into_record())?;
        checkpoint::write_record::<B, _>(&checkpoint.join(OPTIMIZER_NAME), self.optimizer.to_record())
    }

    /// Those of a checkpoint; as they are where it was written without any.
    ///
    /// # Errors
    /// [`crate::Error::BadModel`] when a file is broken.
    pub fn read(self, checkpoint: &Path, device: &B::Device) -> Result<Self> {
        let path = checkpoint.join(MODEL_NAME);
        if !path.exists() {
            return Ok(self);
        }
        let all = self.all.load_record(checkpoint::read_record::<B, _>(&path, device)?);
        let optimizer = checkpoint::read_record::<B, _>(&checkpoint.join(OPTIMIZER_NAME), device)?;
        Ok(Self { all, optimizer: self.optimizer.load_record(optimizer) })
    }
}

/// Mean weighted by place.
fn mean<B: Backend>(x: Tensor<B, 4>, weight: &Tensor<B, 4>) -> Tensor<B, 1> {
    (x * weight.clone()).sum() / (weight.clone().sum() + 1e-6)
}

/// ln(1 + e^x), which doesn't overflow.
fn softplus<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    x.clone().clamp_min(0.0) + x.abs().neg().exp().add_scalar(1.0).log()
}

/// A random direction for each picture of `x`: 1 or -1 for each of its values.
fn signs<B: Backend>(x: &Tensor<B, 4>, seed: u64) -> Tensor<B, 4> {
    let (shape, mut rng) = (x.dims(), SmallRng::seed_from_u64(seed));
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
    Tensor::from_data(TensorData::new(values, shape), &x.device())
}

#[cfg(test)]
#[path = "critic_tests.rs"]
mod tests;
