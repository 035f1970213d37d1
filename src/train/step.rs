//! The loop of a training on one backend.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use burn::{
    module::AutodiffModule,
    optim::{GradientsParams, Optimizer},
    tensor::backend::AutodiffBackend,
};

use super::{
    LossParts, TrainEvent, TrainProgress, TrainSettings, average,
    begin::{Learners, Trained},
    checkpoint::{self, State},
    config,
    critic::{Critic, Critics},
    data::{Alignment, Batch, Identity, n_loaders},
    losses::loss,
    memory,
    model::{Comb, side_of_level},
    pass::{Learnt, Pass, Sums, Task, backward, parts_of, with_own_leaves},
    plan::{Plan, pace},
    plot, preview,
    schedule::Level,
};
use crate::{
    Error, Result,
    line::{self, side_by_side},
    resume::durable,
    settings::n_hardware_threads,
};

/// Steps between two lines of the log.
const TELL_EVERY: u64 = 50;

/// Roll-backs without a new checkpoint in between before a training gives up.
const MAX_ROLL_BACKS: u32 = 3;

/// Steps that are measured at each level to plan a training into a time, after one that warms up.
const N_MEASURED: u64 = 3;

/// Share of the time that such a plan fills: checkpoints and previews take some, too.
const PLANNED: f64 = 0.95;

/// Faces of each identity that a checkpoint's score is taken on.
const N_SCORED: usize = 16;

/// Bytes of batches that are drawn ahead, at most, as long as two steps aren't more.
const DRAWN_BYTES: u64 = 2 << 30;

/// What is trained on.
pub struct Material<'a> {
    /// The identities in the order of their decoders.
    pub identities: &'a [Identity],
    /// How their faces were cut.
    pub alignment: Alignment,
    /// Faces for the preview alone.
    pub strangers: Option<&'a Identity>,
}

/// Tells what happens, to a person or a program, and to the log.
pub type Tell<'a> = &'a mut dyn FnMut(&TrainEvent);

/// A training in progress.
pub struct Trainer<'a, B: AutodiffBackend> {
    settings: &'a TrainSettings,
    material: &'a Material<'a>,
    plan: Plan,
    device: B::Device,
    trained: Trained<B>,
    critics: Option<Critics<B>>,
    /// In how many parts each batch goes through at least, for the sake of the device's memory.
    n_parts: usize,
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
    /// [`Error::BadSetting`] when that one has another size or other identities, else those of [`Plan::of`].
    pub fn start(
        settings: &'a TrainSettings,
        material: &'a Material<'a>,
        device: B::Device,
        tell: Tell<'_>,
    ) -> Result<Self> {
        let plan = Plan::of(settings, &material.alignment)?;
        let begun = Learners::begun(&plan, material, &device);
        let newest = checkpoint::newest(&settings.out)?;
        let is_new = newest.is_none();
        let Learners { trained, critics } = match newest {
            Some(path) => begun.resumed(&path, &device)?,
            None => begun,
        };
        let mut trainer = Self { settings, material, plan, device, trained, critics, n_parts: 1 };
        if let Some(minutes) = settings.plan_minutes.filter(|_| is_new) {
            let step_s = trainer.measured(tell)?;
            trainer.plan.fit_into(minutes * 60.0 * PLANNED, &step_s)?;
            // Measuring has moved the weights.
            Learners { trained: trainer.trained, critics: trainer.critics } =
                Learners::begun(&trainer.plan, material, &trainer.device);
        }
        let path = settings.out.join(config::FILE_NAME);
        // A full disk must not take away what the training was until now.
        durable::replace_file(&path, trainer.plan.config.to_toml()?.as_bytes())?;
        tell(&TrainEvent::Config { text: trainer.plan.config.to_string(), step: trainer.trained.state.step });
        Ok(trainer)
    }

    /// Seconds of a step at each level of the plan.
    fn measured(&mut self, tell: Tell<'_>) -> Result<Vec<f64>> {
        let (levels, mut first, mut step_s) = (self.plan.config.levels.clone(), 0, Vec::new());
        for level in &levels {
            // The last steps of a level: whole, where the first ones fade in.
            let last = first + level.n_steps - 1;
            let (mut draw_s, mut pass_s) = (0.0, 0.0);
            for nth in 0..=N_MEASURED {
                let start = Instant::now();
                let batches = drawn(&self.plan, self.material, last, nth);
                let drawn = Instant::now();
                self.step(last, &batches, tell)?;
                if nth > 0 {
                    draw_s += (drawn - start).as_secs_f64() / N_MEASURED as f64;
                    pass_s += drawn.elapsed().as_secs_f64() / N_MEASURED as f64;
                }
            }
            let n_slots = n_slots(&self.plan, self.material);
            step_s.push(pace(draw_s, pass_s, self.settings.n_threads, n_slots, n_hardware_threads()));
            first += level.n_steps;
            let text =
                format!("measured: {} px, {:.0} ms a step", level.side_px, step_s[step_s.len() - 1] * 1e3);
            tell(&TrainEvent::Note { text });
        }
        Ok(step_s)
    }

    /// Trains; see [`super::train`].
    ///
    /// # Errors
    /// [`Error::Io`] when the last checkpoint can't be written, [`Error::Device`] when the loss stays not a number.
    pub fn run(mut self, tell: Tell<'_>, stop: &AtomicBool) -> Result<()> {
        let start = Instant::now();
        // To the same checkpoint, or to an earlier one: a later one alone is progress.
        let (mut n_roll_backs, mut furthest) = (0, None);
        loop {
            match self.run_until_trouble(start, tell, stop)? {
                Ending::Done => {
                    self.save(tell)?;
                    let State { step, minutes, .. } = self.trained.state;
                    let n_steps = self.plan.schedule.n_steps();
                    tell(&TrainEvent::Done { step, n_steps, minutes });
                    return Ok(());
                }
                Ending::NotFinite => {
                    let step = self.trained.state.step;
                    let back_to = self.roll_back()?;
                    n_roll_backs = if Some(back_to) > furthest { 1 } else { n_roll_backs + 1 };
                    furthest = furthest.max(Some(back_to));
                    if n_roll_backs > MAX_ROLL_BACKS {
                        let rate = self.plan.config.learning_rate / 2.0;
                        return Err(Error::Device(format!(
                            "the loss is not a number at step {step}, {MAX_ROLL_BACKS} times in a row; try \
                             --learning-rate {rate:e}"
                        )));
                    }
                    let text = format!(
                        "the loss is not a number at step {step}; going on from step {back_to} with other draws"
                    );
                    tell(&TrainEvent::Note { text });
                }
            }
        }
    }

    /// Goes back to the last checkpoint, from where other faces are drawn, and gives its step.
    fn roll_back(&mut self) -> Result<u64> {
        // Not the checkpoint's seed and one more, which would draw the same again after every roll-back to it.
        let seed = self.trained.state.seed.wrapping_add(1);
        let begun = Learners::begun(&self.plan, self.material, &self.device);
        Learners { trained: self.trained, critics: self.critics } =
            match checkpoint::newest(&self.settings.out)? {
                Some(path) => begun.resumed(&path, &self.device)?,
                None => begun,
            };
        self.trained.state.seed = seed;
        Ok(self.trained.state.step)
    }

    fn run_until_trouble(&mut self, start: Instant, tell: Tell<'_>, stop: &AtomicBool) -> Result<Ending> {
        let (first, minutes_before) = (self.trained.state.step, self.trained.state.minutes);
        let (settings, material, plan) = (self.settings, self.material, self.plan.clone());
        let (n_steps, seed) = (plan.schedule.n_steps(), self.trained.state.seed);
        let run_start = Instant::now();
        let over = || settings.max_minutes.is_some_and(|most| start.elapsed().as_secs_f64() / 60.0 >= most);
        let steps = (first..n_steps).take_while(|_| !stop.load(Ordering::Relaxed) && !over()).map(Ok);
        let loader = |step: u64| Ok((step, drawn(&plan, material, step, seed)));
        let mut sums = Sums::new(material.identities.len());
        let (mut saved, mut idle_since) = (Instant::now(), Instant::now());
        let mut ending = Ending::Done;
        let result = line::run(|mut line| {
            let steps = line.source("steps", steps)?;
            let batches = line.parallel("batches", steps, vec![loader; n_slots(&plan, material)])?;
            line.drain("step", batches, |(step, batches): (u64, Vec<Vec<Batch>>)| {
                sums.waited_s += idle_since.elapsed().as_secs_f64();
                let parts = self.step(step, &batches, tell)?;
                if parts.iter().any(|p| !p.total.is_finite()) {
                    ending = Ending::NotFinite;
                    return Err(Error::Cancelled);
                }
                let state = &mut self.trained.state;
                state.minutes = minutes_before + run_start.elapsed().as_secs_f64() / 60.0;
                let n_samples = batches.iter().flatten().map(|batch| batch.input.dim().0 as u64).sum();
                state.n_samples += n_samples;
                sums.add(&parts, n_samples);
                if state.step.is_multiple_of(TELL_EVERY) || state.step == n_steps {
                    tell(&TrainEvent::Step(self.progress(&sums)));
                    sums = Sums::new(material.identities.len());
                }
                if saved.elapsed().as_secs_f64() / 60.0 >= settings.save_every_minutes {
                    // A disk that is full now may not be so later; the last checkpoint is the one that must be written.
                    if let Err(e) = self.save(tell) {
                        tell(&TrainEvent::Note {
                            text: format!("no checkpoint was written: {e}; training goes on"),
                        });
                    }
                    saved = Instant::now();
                }
                idle_since = Instant::now();
                Ok(())
            })
        });
        match (result, &ending) {
            (Ok(_), _) | (Err(Error::Cancelled), Ending::NotFinite) => Ok(ending),
            (Err(e), _) => Err(e),
        }
    }

    /// One step: batches of every identity, a backward pass for each, one step of Adam, one of the average. Gives the
    /// mean losses of every identity.
    fn step(&mut self, step: u64, batches: &[Vec<Batch>], tell: Tell<'_>) -> Result<Vec<LossParts>> {
        let (n, mut learnt) = loop {
            let batch = self.plan.schedule.level(step).batch;
            let n_parts = memory::n_parts(batch, self.n_parts).unwrap_or(batch);
            let parts = (n_parts > 1).then(|| memory::split(batches, n_parts));
            let batches = parts.as_deref().unwrap_or(batches);
            if let Some(learnt) = self.passes(step, batches)? {
                break (batches.len(), learnt);
            }
            self.divide(step, n_parts, tell)?;
        };
        let rate = self.plan.schedule.rate(step);
        self.descend(learnt.of_encoder.grads(), learnt.of_decoders.grads(), rate);
        if let Some(critics) = &mut self.critics {
            let rate = self.plan.config.learning_rate * self.plan.schedule.level(step).rate;
            critics.descend(learnt.of_critics, rate);
        }
        let weights = self.trained.model.valid();
        self.trained.average = average::follow(self.trained.average.clone(), &weights, step);
        let state = &mut self.trained.state;
        (state.step, state.stage) = (step + 1, self.plan.schedule.stage(step));
        Ok(learnt.losses.into_iter().map(|sum| sum.over(n as f32)).collect())
    }

    /// The backward passes of one step; `None` when the device hasn't the memory for them.
    fn passes(&self, step: u64, batches: &[Vec<Batch>]) -> Result<Option<Learnt<B>>> {
        let pass = Pass {
            stage: self.plan.schedule.stage(step),
            weights: self.plan.schedule.level(step).loss,
            share: 1.0 / batches.len() as f64,
            keeps_encoder: self.plan.config.encoder_rate == 0.0,
            draw: (step, self.trained.state.seed),
        };
        let critics = self.critics.as_ref().filter(|_| pass.weights.adversarial > 0.0);
        let work = |(model, critic, task): (Comb<B>, Option<Critic<B>>, Task<'_>)| {
            memory::attempt(|| backward(&model, critic.as_ref(), task, &pass, &self.device))
        };
        let mut learnt = Learnt::nothing(self.material.identities.len());
        let all: Vec<Task<'_>> = batches.iter().flat_map(|batches| batches.iter().enumerate()).collect();
        // The gradients of so many as are worked on at once are held beside their sum, and no more.
        for tasks in all.chunks(self.settings.n_threads.max(1)) {
            // Weights that graphs of two threads had in common would join these graphs, and the framework's locks of joined
            // graphs wait for each other. So each pass has leaves of its own; their values are shared.
            let own = tasks.iter().map(|task| {
                let critic = critics.map(|critics| with_own_leaves(critics.all[task.0].clone()));
                (with_own_leaves(self.trained.model.clone()), critic, *task)
            });
            let results = side_by_side(own.collect(), self.settings.n_threads, &work)?;
            for (result, (who, _)) in results.into_iter().zip(tasks) {
                let Ok(pass) = result else { return Ok(None) };
                learnt.add(*who, pass, &self.trained.model, self.critics.as_ref());
            }
        }
        Ok(Some(learnt))
    }

    /// More parts for each batch than `n_parts`, which were too large.
    fn divide(&mut self, step: u64, n_parts: usize, tell: Tell<'_>) -> Result<()> {
        let Level { batch, side_px, .. } = *self.plan.schedule.level(step);
        let Some(more) = memory::n_parts(batch, n_parts + 1) else {
            let reason =
                "hasn't the memory for one face at a time; take a smaller --side or a narrower network";
            return Err(Error::Device(format!("the device {reason} ({side_px} px, step {step})")));
        };
        self.n_parts = more;
        let text = format!(
            "the device hasn't the memory for {} faces of {side_px} px at once: each batch of {batch} goes through in {more} \
             parts from here on",
            batch / n_parts
        );
        tell(&TrainEvent::Note { text });
        Ok(())
    }

    /// One step of Adam, the encoder's at its own share of the rate.
    fn descend(&mut self, of_encoder: GradientsParams, of_decoders: GradientsParams, rate: f64) {
        let Trained { model, optimizer, .. } = &mut self.trained;
        let mut step = |rate: f64, gradients: GradientsParams| {
            *model = optimizer.step(rate, model.clone(), gradients);
        };
        step(rate * self.plan.config.encoder_rate, of_encoder);
        step(rate, of_decoders);
    }

    fn progress(&self, sums: &Sums) -> TrainProgress {
        let state = &self.trained.state;
        let seconds = sums.since.elapsed().as_secs_f64().max(1e-9);
        let mean = |(name, sum): (&String, &LossParts)| (name.clone(), sum.over(sums.n_steps as f32));
        TrainProgress {
            step: state.step,
            n_steps: self.plan.schedule.n_steps(),
            minutes: state.minutes,
            side_px: side_of_level(state.stage.level),
            alpha: state.stage.alpha,
            rate: self.plan.schedule.rate(state.step),
            samples_per_s: sums.n_samples as f64 / seconds,
            waited: (sums.waited_s / seconds).min(1.0),
            losses: state.identities.iter().zip(&sums.parts).map(mean).collect(),
        }
    }

    /// Writes a checkpoint; then what shows where the training stands, as far as that is possible. Weights that give no
    /// number aren't written: a training that is taken back to them would never get away.
    fn save(&mut self, tell: Tell<'_>) -> Result<()> {
        let score = self.score();
        if !score.is_finite() {
            let step = self.trained.state.step;
            return Err(Error::Device(format!("the weights of step {step} give no number")));
        }
        self.trained.state.score = Some(score);
        let also = |dir: &Path| self.critics.as_ref().map_or(Ok(()), |critics| critics.write(dir));
        checkpoint::save::<B, _, _, _>(&self.settings.out, &self.trained, self.settings.n_kept, &also)?;
        let State { stage, step, .. } = self.trained.state;
        let (out, comb, material) = (&self.settings.out, &self.trained.average, self.material);
        let draw = || preview::sheet(comb, stage, material.identities, material.strangers, &self.device);
        let shown = memory::attempt(draw)
            .map_err(|_| Error::Device("the device hasn't the memory for it".into()))
            .and_then(|sheet| sheet.write(out, &self.plan.config))
            .and_then(|()| plot::write(out, &self.plan.config));
        if let Err(e) = shown {
            tell(&TrainEvent::Note { text: format!("no preview was written: {e}") });
        }
        tell(&TrainEvent::Saved { step, score });
        Ok(())
    }

    /// Loss of the averaged weights on the same few faces each time, as they are.
    fn score(&self) -> f32 {
        let n_at_once = preview::n_at_once(side_of_level(self.trained.state.stage.level), N_SCORED);
        memory::attempt(|| self.score_of(n_at_once)).unwrap_or_else(|_| self.score_of(1))
    }

    /// The same, so many faces at once, of which [`N_SCORED`] is a multiple.
    fn score_of(&self, n_at_once: usize) -> f32 {
        let stage = self.trained.state.stage;
        let weights = self.plan.schedule.level(self.trained.state.step.saturating_sub(1)).loss;
        let tensor = |array: &_| preview::tensor_from_array::<B::InnerBackend>(array, &self.device);
        let loss_of = |who: usize, batch: &Batch| {
            let output = self.trained.average.forward(tensor(&batch.input), who, stage);
            let (target, mask, weight) = (tensor(&batch.target), tensor(&batch.mask), tensor(&batch.weight));
            parts_of(loss(output, &target, mask, &weight, &weights).1).total
        };
        let n_parts = N_SCORED / n_at_once;
        let score = |(who, identity): (usize, &Identity)| {
            let batch = identity.plain(N_SCORED, side_of_level(stage.level));
            let parts = (0..n_parts).map(|nth| loss_of(who, &batch.part(nth, n_parts)));
            parts.sum::<f32>() / n_parts as f32
        };
        let identities = self.material.identities;
        identities.iter().enumerate().map(score).sum::<f32>() / identities.len() as f32
    }
}

/// The batches of a step, `accumulate` of each identity: the same for the same plan, seed and step.
fn drawn(plan: &Plan, material: &Material<'_>, step: u64, seed: u64) -> Vec<Vec<Batch>> {
    let (level, config) = (plan.schedule.level(step), &plan.config);
    let draw = |nth: u64, (who, identity): (usize, &Identity)| {
        let nth = step * config.accumulate as u64 + nth;
        identity.batch(who, nth, seed, (level.batch, level.side_px), (&config.augmentation, config.balance))
    };
    let of_all = |nth: u64| material.identities.iter().enumerate().map(|one| draw(nth, one)).collect();
    (0..config.accumulate as u64).map(of_all).collect()
}

/// Threads that draw steps, each of which holds a whole one: fewer where steps of many batches would fill the memory.
fn n_slots(plan: &Plan, material: &Material<'_>) -> usize {
    let n_faces = |level: &Level| level.batch * plan.config.accumulate * material.identities.len();
    let step_bytes = |level: &Level| (n_faces(level) * Batch::n_bytes(level.side_px)) as u64;
    let most = plan.schedule.levels().iter().map(step_bytes).max().unwrap_or(0);
    n_loaders().min((DRAWN_BYTES / most.max(1)) as usize).max(2)
}
