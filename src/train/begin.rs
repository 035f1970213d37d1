//! How a training begins: from its seed, or with what a checkpoint holds.

use std::path::Path;

use burn::{
    module::AutodiffModule,
    optim::{Adam, adaptor::OptimizerAdaptor},
    tensor::backend::AutodiffBackend,
};

use super::{
    checkpoint::{self, State},
    critic::Critics,
    data::Identity,
    model::Comb,
    optimizer::adam,
    plan::Plan,
    seeded::seeded,
    step::Material,
};
use crate::{Error, Result};

type Optim<B> = OptimizerAdaptor<Adam, Comb<B>, B>;

/// The comb in training.
pub type Trained<B> = checkpoint::Trained<Comb<B>, Comb<<B as AutodiffBackend>::InnerBackend>, Optim<B>>;

/// All that learns, and is written to a checkpoint.
pub struct Learners<B: AutodiffBackend> {
    /// The encoder and the decoders.
    pub trained: Trained<B>,
    /// A critic of each identity, where the plan asks for them.
    pub critics: Option<Critics<B>>,
}

impl<B: AutodiffBackend> Learners<B> {
    /// Before the first step, from the plan's seed.
    pub fn begun(plan: &Plan, material: &Material<'_>, device: &B::Device) -> Self {
        let state = State {
            schema: State::schema(),
            identities: material.identities.iter().map(|i| i.name.clone()).collect(),
            n_faces: material.identities.iter().map(Identity::n_faces).collect(),
            alignment: material.alignment.clone(),
            step: 0,
            n_samples: 0,
            minutes: 0.0,
            stage: plan.schedule.stage(0),
            seed: plan.config.seed,
            comb: plan.config.network.clone(),
            score: None,
        };
        let has_critics = plan.schedule.levels().iter().any(|level| level.loss.adversarial > 0.0);
        Self {
            critics: has_critics.then(|| Critics::new(state.identities.len(), state.seed, device)),
            trained: fresh(plan, state, device),
        }
    }

    /// The same with what a checkpoint holds, if it is one of the same training.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when it isn't, [`Error::BadModel`] when a file is missing or broken.
    pub fn resumed(self, path: &Path, device: &B::Device) -> Result<Self> {
        Ok(Self {
            trained: resumed(path, self.trained, device)?,
            critics: self.critics.map(|critics| critics.read(path, device)).transpose()?,
        })
    }
}

/// A comb that hasn't learnt anything yet.
pub fn fresh<B: AutodiffBackend>(plan: &Plan, state: State, device: &B::Device) -> Trained<B> {
    let model = seeded(device, plan.config.seed, || plan.first_comb::<B>(&state.identities, device));
    Trained { average: model.valid(), model, optimizer: adam().init(), state }
}

/// `fresh` with the weights of a checkpoint, if it is one of the same training.
///
/// # Errors
/// [`Error::BadSetting`] when it isn't, [`Error::BadModel`] when a file is missing or broken.
pub fn resumed<B: AutodiffBackend>(path: &Path, fresh: Trained<B>, device: &B::Device) -> Result<Trained<B>> {
    let (wanted, found) = (fresh.state.clone(), checkpoint::state::<State>(path)?);
    let differs = |what: &str, found: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
        let reason =
            format!("holds a training with {what} {found:?}, asked for is {wanted:?}; give another folder");
        Err(Error::setting("--output", path.display(), reason))
    };
    if found.comb != wanted.comb {
        return differs("a network of", &found.comb, &wanted.comb);
    }
    if found.identities != wanted.identities {
        return differs("the identities", &found.identities, &wanted.identities);
    }
    if found.alignment != wanted.alignment {
        return differs("faces cut with", &found.alignment, &wanted.alignment);
    }
    let mut trained = checkpoint::load::<B, _, _, _>(path, fresh, device)?;
    trained.state.n_faces = wanted.n_faces;
    Ok(trained)
}
