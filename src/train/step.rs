//! The loop of a training on one backend.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use burn::{
    grad_clipping::GradientClippingConfig,
    module::AutodiffModule,
    optim::{Adam, AdamConfig, GradientsParams, Optimizer, adaptor::OptimizerAdaptor},
    tensor::backend::AutodiffBackend,
};

use super::{
    LossParts, TrainProgress, TrainSettings, average,
    checkpoint::{self, State},
    data::{Alignment, Batch, Identity},
    losses::loss,
    model::{Comb, side_of_level},
    plan::Plan,
    preview,
};
use crate::{Error, Result, line};

/// Steps between two lines of the log.
const TELL_EVERY: u64 = 50;

/// Most a gradient may be, as the norm of one parameter's.
const MAX_GRADIENT: f32 = 1.0;

/// Roll-backs without a finite loss in between before a training gives up.
const MAX_ROLL_BACKS: u32 = 3;

/// What is trained on.
pub struct Material<'a> {
    /// The identities in the order of their decoders.
    pub identities: &'a [Identity],
    /// How their faces were cut.
    pub alignment: Alignment,
    /// Faces for the preview alone.
    pub strangers: Option<&'a Identity>,
}

type Optim<B> = OptimizerAdaptor<Adam, Comb<B>, B>;
type Trained<B> = checkpoint::Trained<Comb<B>, Comb<<B as AutodiffBackend>::InnerBackend>, Optim<B>>;

/// A training in progress.
pub struct Trainer<'a, B: AutodiffBackend> {
    settings: &'a TrainSettings,
    material: &'a Material<'a>,
    plan: Plan,
    device: B::Device,
    trained: Trained<B>,
}

/// How the line of batches ended.
enum Ending {
    /// All steps are done, the minutes are over, or somebody said stop.
    Done,
    /// A loss was not a number.
    NotFinite,
}

impl<'a, B: AutodiffBackend> Trainer<'a, B> {
    /// Begins a training, or goes on with the one in the settings' folder.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when that one has another size or other identities.
    pub fn start(settings: &'a TrainSettings, material: &'a Material<'a>, device: B::Device) -> Result<Self> {
        let plan = Plan::of(settings, &material.alignment)?;
        let state = State {
            schema: State::schema(),
            identities: material.identities.iter().map(|i| i.name.clone()).collect(),
            n_faces: material.identities.iter().map(Identity::n_faces).collect(),
            alignment: material.alignment.clone(),
            step: 0,
            n_samples: 0,
            minutes: 0.0,
            stage: plan.schedule.stage(0),
            seed: settings.seed,
            comb: plan.comb.clone(),
        };
        B::seed(&device, settings.seed);
        let mut trained = fresh::<B>(&plan, state, &device);
        if let Some(path) = checkpoint::newest(&settings.out)? {
            trained = resumed(&path, trained, &device)?;
        }
        Ok(Self { settings, material, plan, device, trained })
    }

    /// Trains; see [`super::train`].
    ///
    /// # Errors
    /// [`Error::Io`] when a checkpoint can't be written, [`Error::Device`] when the loss stays not a number.
    pub fn run(
        mut self,
        tell: &mut dyn FnMut(&TrainProgress) -> Result<()>,
        stop: &AtomicBool,
    ) -> Result<()> {
        let start = Instant::now();
        let mut n_roll_backs = 0;
        loop {
            let before = self.trained.state.step;
            match self.run_until_trouble(start, tell, stop)? {
                Ending::Done => return self.save(),
                Ending::NotFinite => {
                    n_roll_backs =
                        if self.trained.state.step > before + TELL_EVERY { 1 } else { n_roll_backs + 1 };
                    self.roll_back(n_roll_backs)?;
                }
            }
        }
    }

    /// Goes on from the last checkpoint with other random draws.
    fn roll_back(&mut self, n_roll_backs: u32) -> Result<()> {
        let step = self.trained.state.step;
        if n_roll_backs > MAX_ROLL_BACKS {
            let rate = self.settings.learning_rate;
            return Err(Error::Device(format!(
                "the loss is not a number at step {step}, {MAX_ROLL_BACKS} times in a row; try --learning-rate {:e}",
                rate / 2.0
            )));
        }
        let mut again = fresh::<B>(&self.plan, self.trained.state.clone(), &self.device);
        again.state.step = 0;
        self.trained = match checkpoint::newest(&self.settings.out)? {
            Some(path) => checkpoint::load::<B, _, _, _>(&path, again, &self.device)?,
            None => again,
        };
        self.trained.state.seed = self.trained.state.seed.wrapping_add(1);
        Ok(())
    }

    fn run_until_trouble(
        &mut self,
        start: Instant,
        tell: &mut dyn FnMut(&TrainProgress) -> Result<()>,
        stop: &AtomicBool,
    ) -> Result<Ending> {
        let (first, minutes_before) = (self.trained.state.step, self.trained.state.minutes);
        let (settings, material, schedule) = (self.settings, self.material, self.plan.schedule.clone());
        let (n, seed) = (settings.batch_per_identity, self.trained.state.seed);
        let n_steps = schedule.n_steps();
        let augmentation = &settings.augmentation;
        let run_start = Instant::now();
        let over = || settings.max_minutes.is_some_and(|most| start.elapsed().as_secs_f64() / 60.0 >= most);
        // Batches are drawn one step ahead on a thread of their own.
        let batches = (first..n_steps).map(|step| {
            let side_px = side_of_level(schedule.stage(step).level);
            let draw = |(who, identity): (usize, &Identity)| {
                identity.batch(who, step, seed, n, side_px, augmentation)
            };
            Ok((step, material.identities.iter().enumerate().map(draw).collect::<Vec<Batch>>()))
        });
        let (mut sums, mut n_summed, mut told) =
            (vec![LossParts::default(); material.identities.len()], 0, Instant::now());
        let mut saved = Instant::now();
        let mut ending = Ending::Done;
        let result = line::run(|mut line| {
            let batches =
                line.source("batches", batches.take_while(|_| !stop.load(Ordering::Relaxed) && !over()))?;
            line.drain("step", batches, |(step, batches): (u64, Vec<Batch>)| {
                let parts = self.step(step, &batches)?;
                if parts.iter().any(|p| !p.total().is_finite()) {
                    ending = Ending::NotFinite;
                    return Err(Error::Cancelled);
                }
                let state = &mut self.trained.state;
                state.minutes = minutes_before + run_start.elapsed().as_secs_f64() / 60.0;
                for (sum, part) in sums.iter_mut().zip(&parts) {
                    sum.add(part);
                }
                n_summed += 1;
                if state.step.is_multiple_of(TELL_EVERY) || state.step == n_steps {
                    tell(&self.progress(&sums, n_summed, told))?;
                    (sums, n_summed, told) = (vec![LossParts::default(); sums.len()], 0, Instant::now());
                }
                if saved.elapsed().as_secs_f64() / 60.0 >= settings.save_every_minutes {
                    self.save()?;
                    saved = Instant::now();
                }
                Ok(())
            })
        });
        match (result, &ending) {
            (Ok(_), _) | (Err(Error::Cancelled), Ending::NotFinite) => Ok(ending),
            (Err(e), _) => Err(e),
        }
    }

    /// One step: a batch of every identity, one backward pass, one step of Adam, one of the average.
    fn step(&mut self, step: u64, batches: &[Batch]) -> Result<Vec<LossParts>> {
        let stage = self.plan.schedule.stage(step);
        let mut total = None;
        let mut parts = Vec::new();
        for (who, batch) in batches.iter().enumerate() {
            let tensor = |array| preview::tensor_from_array::<B>(array, &self.device);
            let latent = self.trained.model.encoder.forward(tensor(&batch.input), stage);
            let latent = if self.settings.encoder_rate > 0.0 { latent } else { latent.detach() };
            let output = self.trained.model.decoders[who].forward(latent, stage);
            let (one, four) =
                loss(output, &tensor(&batch.target), tensor(&batch.mask), &tensor(&batch.weight));
            total = Some(match total {
                None => one,
                Some(sum) => sum + one,
            });
            parts.push(four.detach());
        }
        let total = total.ok_or_else(|| Error::setting("--faces", "", "no identity to train"))?;
        self.descend(total.backward(), self.plan.schedule.rate(step));
        let weights = self.trained.model.valid();
        self.trained.average = average::follow(self.trained.average.clone(), &weights, step);
        let state = &mut self.trained.state;
        state.step = step + 1;
        state.stage = stage;
        state.n_samples += (batches.len() * self.settings.batch_per_identity) as u64;
        Ok(parts
            .into_iter()
            .map(|four| {
                LossParts::from_values(&four.into_data().convert::<f32>().into_vec().unwrap_or_default())
            })
            .collect())
    }

    /// One step of Adam, the encoder's at its own share of the rate.
    fn descend(&mut self, mut gradients: B::Gradients, rate: f64) {
        let Trained { model, optimizer, .. } = &mut self.trained;
        let of_encoder = GradientsParams::from_module(&mut gradients, &model.encoder);
        let of_decoders = GradientsParams::from_module(&mut gradients, &model.decoders);
        let mut step = |rate: f64, gradients: GradientsParams| {
            *model = optimizer.step(rate, model.clone(), gradients);
        };
        step(rate * self.settings.encoder_rate, of_encoder);
        step(rate, of_decoders);
    }

    fn progress(&self, sums: &[LossParts], n: u64, since: Instant) -> TrainProgress {
        let state = &self.trained.state;
        let n_samples = n * (sums.len() * self.settings.batch_per_identity) as u64;
        let mean = |(name, sum): (&String, &LossParts)| (name.clone(), sum.over(n as f32));
        TrainProgress {
            step: state.step,
            n_steps: self.plan.schedule.n_steps(),
            minutes: state.minutes,
            side_px: side_of_level(state.stage.level),
            alpha: state.stage.alpha,
            rate: self.plan.schedule.rate(state.step),
            samples_per_s: n_samples as f64 / since.elapsed().as_secs_f64(),
            losses: state.identities.iter().zip(sums).map(mean).collect(),
        }
    }

    /// Writes a checkpoint and the preview.
    fn save(&self) -> Result<()> {
        checkpoint::save::<B, _, _, _>(&self.settings.out, &self.trained)?;
        let (path, state) = (self.settings.out.join("preview.png"), &self.trained.state);
        let (comb, material) = (&self.trained.average, self.material);
        preview::write(&path, comb, state.stage, material.identities, material.strangers, &self.device)
    }
}

/// A training that hasn't begun.
fn fresh<B: AutodiffBackend>(plan: &Plan, state: State, device: &B::Device) -> Trained<B> {
    let model = plan.first_comb::<B>(&state.identities, device);
    let clipping = GradientClippingConfig::Norm(MAX_GRADIENT);
    // The method's Adam: betas .9 and .999; an epsilon of 1e-8 where the framework has 1e-5.
    let optimizer = AdamConfig::new().with_epsilon(1e-8).with_grad_clipping(Some(clipping)).init();
    Trained { average: model.valid(), model, optimizer, state }
}

/// `fresh` with the weights of a checkpoint, if it is one of the same training.
fn resumed<B: AutodiffBackend>(path: &Path, fresh: Trained<B>, device: &B::Device) -> Result<Trained<B>> {
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
