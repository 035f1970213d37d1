//! The pass forward and back of one batch, and several of them side by side.

use std::time::Instant;

use burn::{
    module::{Module, ModuleMapper, Param},
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{
        ElementConversion, Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

use super::{
    LossParts,
    critic::{Critic, Critics, Duel},
    data::Batch,
    losses::{LossWeights, loss},
    model::{Comb, Decoder, Encoder, Stage, colours},
    preview,
};

/// A batch of one identity, and whose it is.
pub type Task<'b> = (usize, &'b Batch);

/// What a backward pass of one identity's batch gives.
pub struct Backward {
    /// Gradients of the encoder.
    pub encoder: GradientsParams,
    /// Gradients of the identity's decoder.
    pub decoder: GradientsParams,
    /// Gradients of the identity's critic, where it has one.
    pub critic: Option<GradientsParams>,
    /// The losses.
    pub losses: LossParts,
}

/// What is the same for all passes of a step.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// How much of the network is in use.
    pub stage: Stage,
    /// How much each part of the loss counts.
    pub weights: LossWeights,
    /// What each pass counts.
    pub share: f64,
    /// Whether the encoder isn't trained.
    pub keeps_encoder: bool,
    /// Number and seed, from which all that is random follows.
    pub draw: (u64, u64),
}

/// The same network, whose weights are leaves that no other graph knows.
///
/// [`Module::fork`] does so by way of an operation on the old leaves. The framework keeps that for as long as its leaf:
/// where a weight isn't trained yet, as those of the levels to come, one more with every pass, and goes through all of
/// them after every pass.
pub fn with_own_leaves<B: AutodiffBackend, M: Module<B>>(model: M) -> M {
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
    critic: Option<&Critic<B>>,
    (who, batch): Task<'_>,
    pass: &Pass,
    device: &B::Device,
) -> Backward {
    let Pass { stage, weights, share, keeps_encoder, draw } = *pass;
    let tensor = |array| preview::tensor_from_array::<B>(array, device);
    let latent = model.encoder.forward(tensor(&batch.input), stage);
    let latent = if keeps_encoder { latent.detach() } else { latent };
    let output = model.decoders[who].forward(latent, stage);
    let (target, mask) = (tensor(&batch.target), tensor(&batch.mask));
    let duel = critic.map(|critic| critic.duel(&colours(&output), &target, &mask, draw, share));
    let (mut total, parts) = loss(output, &target, mask, &tensor(&batch.weight), &weights);
    let mut losses = parts_of(parts);
    let mut of_critic = None;
    if let Some(Duel { decoder, critic }) = duel {
        losses.adversarial = decoder.clone().into_scalar().elem();
        losses.total += weights.adversarial as f32 * losses.adversarial;
        total = total + decoder * weights.adversarial;
        of_critic = Some(critic);
    }
    let mut gradients = (total * share).backward();
    Backward {
        encoder: GradientsParams::from_module(&mut gradients, &model.encoder),
        decoder: GradientsParams::from_module(&mut gradients, &model.decoders[who]),
        critic: of_critic,
        losses,
    }
}

/// What the passes of a step come to: the sums of their gradients, in the order of the passes, and of their losses.
pub struct Learnt<B: AutodiffBackend> {
    /// Gradients of the encoder.
    pub of_encoder: GradientsAccumulator<Encoder<B>>,
    /// Gradients of the decoders.
    pub of_decoders: GradientsAccumulator<Vec<Decoder<B>>>,
    /// Gradients of the critics.
    pub of_critics: GradientsAccumulator<Vec<Critic<B>>>,
    /// Losses of each identity.
    pub losses: Vec<LossParts>,
}

impl<B: AutodiffBackend> Learnt<B> {
    /// Nothing yet.
    pub fn nothing(n_identities: usize) -> Self {
        Self {
            of_encoder: GradientsAccumulator::new(),
            of_decoders: GradientsAccumulator::new(),
            of_critics: GradientsAccumulator::new(),
            losses: vec![LossParts::default(); n_identities],
        }
    }

    /// Adds a pass of the identity `who`.
    pub fn add(&mut self, who: usize, pass: Backward, model: &Comb<B>, critics: Option<&Critics<B>>) {
        self.of_encoder.accumulate(&model.encoder, pass.encoder);
        self.of_decoders.accumulate(&model.decoders, pass.decoder);
        if let (Some(critics), Some(of_critic)) = (critics, pass.critic) {
            self.of_critics.accumulate(&critics.all, of_critic);
        }
        self.losses[who].add(&pass.losses);
    }
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
