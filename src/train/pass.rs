//! The pass forward and back of one batch, and several of them side by side.

use std::time::Instant;

use burn::{
    module::{Module, ModuleMapper, Param},
    optim::GradientsParams,
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

use super::{
    LossParts,
    data::Batch,
    losses::{LossWeights, loss},
    model::{Comb, Stage},
    preview,
};

/// A batch of one identity, and whose it is.
pub type Task<'b> = (usize, &'b Batch);

/// What a backward pass of one identity's batch gives: gradients of encoder and decoder, and the losses.
pub type Backward = (GradientsParams, GradientsParams, LossParts);

/// The same network, whose weights are leaves that no other graph knows.
///
/// [`Module::fork`] does so by way of an operation on the old leaves. The framework keeps that for as long as its leaf:
/// where a weight isn't trained yet, as those of the levels to come, one more with every pass, and goes through all of
/// them after every pass.
pub fn with_own_leaves<B: AutodiffBackend>(model: Comb<B>) -> Comb<B> {
    model.map(&mut OwnLeaves)
}

struct OwnLeaves;

impl<B: AutodiffBackend> ModuleMapper<B> for OwnLeaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param.map(|shared| {
            let own = Tensor::from_inner(shared.clone().inner());
            if shared.is_require_grad() { own.require_grad() } else { own }
        })
    }
}

/// The losses of one identity's batch, and the gradients of `share` times their sum.
pub fn backward<B: AutodiffBackend>(
    model: &Comb<B>,
    (who, batch): Task<'_>,
    stage: Stage,
    weights: &LossWeights,
    share: f64,
    keeps_encoder: bool,
    device: &B::Device,
) -> Backward {
    let tensor = |array| preview::tensor_from_array::<B>(array, device);
    let latent = model.encoder.forward(tensor(&batch.input), stage);
    let latent = if keeps_encoder { latent.detach() } else { latent };
    let output = model.decoders[who].forward(latent, stage);
    let (total, parts) =
        loss(output, &tensor(&batch.target), tensor(&batch.mask), &tensor(&batch.weight), weights);
    let mut gradients = (total * share).backward();
    let of_encoder = GradientsParams::from_module(&mut gradients, &model.encoder);
    let of_decoder = GradientsParams::from_module(&mut gradients, &model.decoders[who]);
    (of_encoder, of_decoder, parts_of(parts))
}

/// The values that [`loss`] gives for the log.
pub fn parts_of<B: Backend>(parts: Tensor<B, 1>) -> LossParts {
    LossParts::from_values(&parts.into_data().convert::<f32>().into_vec().unwrap_or_default())
}

/// Losses, samples and waiting since the last line of the log.
pub struct Sums {
    /// Of each identity.
    pub parts: Vec<LossParts>,
    /// Steps.
    pub n_steps: u64,
    /// Faces.
    pub n_samples: u64,
    /// Seconds without a batch.
    pub waited_s: f64,
    /// Since when.
    pub since: Instant,
}

impl Sums {
    /// Nothing yet.
    pub fn new(n_identities: usize) -> Self {
        let parts = vec![LossParts::default(); n_identities];
        Self { parts, n_steps: 0, n_samples: 0, waited_s: 0.0, since: Instant::now() }
    }

    /// Adds a step.
    pub fn add(&mut self, parts: &[LossParts], n_samples: u64) {
        self.parts.iter_mut().zip(parts).for_each(|(sum, part)| sum.add(part));
        self.n_steps += 1;
        self.n_samples += n_samples;
    }
}
