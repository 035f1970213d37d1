//! The pass forward and back of one batch, and several of them side by side.

use std::time::Instant;

use burn::{
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
use crate::{Result, line};

/// A batch of one identity, and whose it is.
pub type Task<'b> = (usize, &'b Batch);

/// What a backward pass of one identity's batch gives: gradients of encoder and decoder, and the losses.
pub type Backward = (GradientsParams, GradientsParams, LossParts);

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

/// `work` on all of `tasks`, at most `n_threads` at once; results in the order of the tasks.
///
/// # Errors
/// When a thread can't be started.
pub fn side_by_side<T: Send, O: Send>(
    tasks: Vec<T>,
    n_threads: usize,
    work: &(impl Fn(T) -> O + Sync),
) -> Result<Vec<O>> {
    let n_threads = n_threads.min(tasks.len());
    if n_threads <= 1 {
        return Ok(tasks.into_iter().map(work).collect());
    }
    let mut results = Vec::with_capacity(tasks.len());
    line::run(|mut line| {
        let tasks = line.source("tasks", tasks.into_iter().map(Ok))?;
        let workers = (0..n_threads).map(|_| |task: T| Ok(work(task))).collect();
        let done = line.parallel("backward", tasks, workers)?;
        line.drain("merge", done, |result: O| {
            results.push(result);
            Ok(())
        })
    })?;
    Ok(results)
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
