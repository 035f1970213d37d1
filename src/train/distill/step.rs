//! The loop of a distillation on one backend.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use burn::{
    backend::{Flex, flex::FlexDevice},
    module::AutodiffModule,
    optim::{Adam, GradientsAccumulator, GradientsParams, Optimizer, adaptor::OptimizerAdaptor},
    tensor::backend::AutodiffBackend,
};
use serde::{Deserialize, Serialize};

use super::{
    DistillEvent, DistillProgress, DistillSettings, init,
    phases::{Lesson, Told},
    plan::{Phase, Plan},
    student::{Student, StudentConfig},
    teacher::Teacher,
    transfer::Transfer,
};
use crate::{
    Error, Result, line,
    train::{
        average,
        checkpoint::{self, Kept},
        critic::Critics,
        data::{Batch, n_loaders},
        model::{Comb, CombConfig},
        optimizer::adam,
        preview::tensor_from_array,
        seeded::seeded,
    },
};

/// Steps between two lines of the log.
const TELL_EVERY: u64 = 50;

/// Faces on which a student that begins with its teacher's weights is fitted.
const N_CALIBRATION: usize = 32;

/// The discriminator's rate as a share of the student's: the latter's is that of layers which begin from a fit.
const CRITIC_RATE: f64 = 0.2;

/// Checkpoints that are kept.
const N_KEPT: usize = 2;

/// The format of the checkpoints.
const SCHEMA: &str = "faceswap-distillation-1";

/// Who learns from what.
pub struct Material<'a> {
    /// Who is asked.
    pub teacher: &'a Teacher,
    /// The faces.
    pub transfer: &'a Transfer,
    /// The student's size.
    pub config: &'a CombConfig,
    /// What is learnt when.
    pub plan: &'a Plan,
    /// When this run began; its minutes are counted from here.
    pub begin: Instant,
}

/// Who learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// The student.
    Student,
    /// A network of the student's size that never sees the teacher: from chance, from the truth alone, in as many
    /// steps.
    Control,
}

impl Goal {
    /// The name of its folder and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Control => "control",
        }
    }
}

/// What is kept beside the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    schema: String,
    goal: Goal,
    teacher_sha256: [String; 2],
    student: StudentConfig,
    comb: CombConfig,
    phases: Vec<Phase>,
    n_steps: u64,
    batch: usize,
    #[serde(default)]
    adversarial: f64,
    seed: u64,
    /// Steps done.
    pub step: u64,
    /// Samples seen.
    pub n_samples: u64,
    /// Minutes of training so far.
    pub minutes: f64,
}

impl Kept for State {
    const SCHEMA: &'static str = SCHEMA;

    fn schema(&self) -> &str {
        &self.schema
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn score(&self) -> Option<(usize, f32)> {
        None
    }
}

/// A network that has learnt all it was meant to.
pub struct Done {
    /// Its average, with one decoder.
    pub comb: Comb<Flex>,
    /// How it came to be.
    pub state: State,
}

type Optim<B> = OptimizerAdaptor<Adam, Student<B>, B>;
type Trained<B> =
    checkpoint::Trained<Student<B>, Student<<B as AutodiffBackend>::InnerBackend>, Optim<B>, State>;

/// Trains the student, or goes on with it; `None` when there are steps left and the minutes are over or `stop` is set.
///
/// # Errors
/// [`Error::BadSetting`] when the folder holds another distillation, [`Error::Io`] when the last checkpoint can't be written,
/// [`Error::Device`] when the loss is not a number.
pub fn train_student<B: AutodiffBackend>(
    settings: &DistillSettings,
    material: &Material<'_>,
    goal: Goal,
    device: B::Device,
    tell: &mut dyn FnMut(&DistillEvent),
    stop: &AtomicBool,
) -> Result<Option<Done>> {
    let folder = settings.work.join(goal.name());
    let mut trainer = Trainer::<B>::start(settings, material, goal, folder, device)?;
    if trainer.trained.state.step < material.plan.n_steps {
        trainer.run(tell, stop)?;
    }
    let Trainer { folder, trained: Trained::<B> { state, .. }, .. } = trainer;
    if state.step < material.plan.n_steps {
        return Ok(None);
    }
    let path = checkpoint::newest(&folder)?.ok_or_else(|| Error::model(&folder, "holds no checkpoint"))?;
    let fresh = Student::<Flex>::new(
        material.config,
        material.teacher.config(),
        settings.student.projection,
        &FlexDevice,
    );
    let comb = checkpoint::average::<Flex, _>(&path, fresh, &FlexDevice)?.comb;
    Ok(Some(Done { comb, state }))
}

/// A distillation in progress.
struct Trainer<'a, B: AutodiffBackend> {
    settings: &'a DistillSettings,
    material: &'a Material<'a>,
    folder: PathBuf,
    device: B::Device,
    /// The teacher; gradients pass through it, and none reaches its weights.
    teacher: Comb<B>,
    trained: Trained<B>,
    /// One, where it is asked for.
    critics: Option<Critics<B>>,
}

impl<'a, B: AutodiffBackend> Trainer<'a, B> {
    fn start(
        settings: &'a DistillSettings,
        material: &'a Material<'a>,
        goal: Goal,
        folder: PathBuf,
        device: B::Device,
    ) -> Result<Self> {
        let is_student = goal == Goal::Student;
        let state = State {
            schema: SCHEMA.into(),
            goal,
            teacher_sha256: material.teacher.sha256(),
            student: settings.student,
            comb: material.config.clone(),
            phases: if is_student { material.plan.phases.clone() } else { vec![Phase::Truth] },
            n_steps: material.plan.n_steps,
            batch: settings.batch,
            adversarial: settings.adversarial,
            seed: settings.seed,
            step: 0,
            n_samples: 0,
            minutes: 0.0,
        };
        let projection = settings.student.projection;
        let fresh = || Student::<B>::new(material.config, material.teacher.config(), projection, &device);
        let mut model = seeded(&device, settings.seed, fresh);
        if is_student && settings.student.from_teacher {
            let (side_px, augmentation) = (material.config.side_px(), &settings.augmentation);
            let (batch, _) =
                material.transfer.batch(0, settings.seed, N_CALIBRATION, side_px, augmentation, false);
            let faces = tensor_from_array::<B>(&batch.input, &device);
            model = init::begun(model, material.teacher, material.config, faces, &device);
        }
        let mut trained = Trained::<B> { average: model.valid(), model, optimizer: adam().init(), state };
        let mut critics = (settings.adversarial > 0.0).then(|| Critics::new(1, settings.seed, &device));
        if let Some(path) = checkpoint::newest(&folder)? {
            same_distillation(&path, &checkpoint::state(&path)?, &trained.state)?;
            trained = checkpoint::load::<B, _, _, _>(&path, trained, &device)?;
            critics = critics.map(|critics| critics.read(&path, &device)).transpose()?;
        }
        let teacher = material.teacher.comb::<B>(&device);
        Ok(Self { settings, material, folder, device, teacher, trained, critics })
    }

    /// Trains until the steps or the minutes are done, or `stop` is set; with a checkpoint at the end.
    fn run(&mut self, tell: &mut dyn FnMut(&DistillEvent), stop: &AtomicBool) -> Result<()> {
        let (settings, material) = (self.settings, self.material);
        let State { step: first, minutes: minutes_before, n_steps, goal, .. } = self.trained.state;
        let side_px = material.config.side_px();
        let run_start = Instant::now();
        let over = || {
            let minutes = material.begin.elapsed().as_secs_f64() / 60.0;
            settings.max_minutes.is_some_and(|most| minutes >= most)
        };
        let steps = (first..n_steps).take_while(|_| !stop.load(Ordering::Relaxed) && !over()).map(Ok);
        let draw = |step: u64| {
            let truth_only = goal == Goal::Control;
            let (n, seed) = (settings.batch, settings.seed);
            Ok((step, material.transfer.batch(step, seed, n, side_px, &settings.augmentation, truth_only)))
        };
        let (mut sums, mut told, mut saved) = (Vec::new(), Instant::now(), Instant::now());
        let mut n_summed = 0;
        line::run(|mut line| {
            let steps = line.source("steps", steps)?;
            let batches = line.parallel("batches", steps, vec![draw; n_loaders()])?;
            line.drain("step", batches, |(step, (batch, n_with_truth)): (u64, (Batch, usize))| {
                let phase = self.phase(step);
                let parts = self.step(step, phase, &batch, n_with_truth)?;
                add(&mut sums, &parts);
                n_summed += 1;
                let state = &mut self.trained.state;
                state.minutes = minutes_before + run_start.elapsed().as_secs_f64() / 60.0;
                let ends_phase = step + 1 == n_steps || self.phase(step + 1) != phase;
                if (step + 1).is_multiple_of(TELL_EVERY) || ends_phase {
                    let n_samples = (n_summed * settings.batch) as f64;
                    let per_s = n_samples / told.elapsed().as_secs_f64();
                    tell(&DistillEvent::Step(self.progress(phase, &sums, n_summed, per_s)));
                    (sums, n_summed, told) = (Vec::new(), 0, Instant::now());
                }
                if saved.elapsed().as_secs_f64() / 60.0 >= settings.save_every_minutes {
                    // A disk that is full now may not be so later; the last checkpoint is the one that must be written.
                    if let Err(e) = self.save() {
                        let text = format!("no checkpoint was written: {e}; training goes on");
                        tell(&DistillEvent::Note { text });
                    }
                    saved = Instant::now();
                }
                Ok(())
            })
        })?;
        self.save()
    }

    fn phase(&self, step: u64) -> Phase {
        match self.trained.state.goal {
            Goal::Student => self.material.plan.phase(step),
            Goal::Control => Phase::Truth,
        }
    }

    /// One step: the losses of the phase, one step of Adam, one of the average.
    fn step(
        &mut self,
        step: u64,
        phase: Phase,
        batch: &Batch,
        n_with_truth: usize,
    ) -> Result<Vec<(&'static str, f32)>> {
        let model = &self.trained.model;
        let projection = self.settings.student.projection;
        let lesson = Lesson { teacher: &self.teacher, model, projection, batch, device: &self.device };
        let mut told = match phase {
            Phase::Projection => lesson.projection(),
            Phase::Perceptual => lesson.perceptual(),
            Phase::Truth => lesson.truth(n_with_truth),
        };
        let draw = (step, self.settings.seed);
        let of_critic = self.critics.as_ref().and_then(|critics| {
            told.judged(&critics.all[0], &lesson.mask(), self.settings.adversarial, draw)
        });
        let Told { total, parts, .. } = told;
        let values: Vec<(&'static str, f32)> = parts
            .into_iter()
            .map(|(name, part)| {
                let value = part.detach().into_data().convert::<f32>().into_vec::<f32>();
                (name, value.ok().and_then(|v| v.first().copied()).unwrap_or(f32::NAN))
            })
            .collect();
        if values.iter().any(|(_, value)| !value.is_finite()) {
            let rate = self.settings.learning_rate / 2.0;
            return Err(Error::Device(format!(
                "the loss is not a number at step {step}; go on from the last checkpoint in {} with \
                 --learning-rate {rate:e}",
                self.folder.display()
            )));
        }
        let checkpoint::Trained { model, optimizer, average, state } = &mut self.trained;
        let gradients = GradientsParams::from_grads(total.backward(), &*model);
        *model = optimizer.step(self.material.plan.rate(step), model.clone(), gradients);
        *average = average::follow(average.clone(), &model.valid(), step);
        if let (Some(critics), Some(gradients)) = (&mut self.critics, of_critic) {
            let mut all = GradientsAccumulator::new();
            all.accumulate(&critics.all, gradients);
            critics.descend(all, self.settings.learning_rate * CRITIC_RATE);
        }
        state.step = step + 1;
        state.n_samples += batch.input.dim().0 as u64;
        Ok(values)
    }

    fn progress(&self, phase: Phase, sums: &[(&'static str, f32)], n: usize, per_s: f64) -> DistillProgress {
        let state = &self.trained.state;
        DistillProgress {
            goal: state.goal.name(),
            phase,
            step: state.step,
            n_steps: state.n_steps,
            minutes: state.minutes,
            samples_per_s: per_s,
            losses: sums.iter().map(|(name, sum)| (*name, sum / n as f32)).collect(),
        }
    }

    fn save(&self) -> Result<()> {
        let also = |dir: &Path| self.critics.as_ref().map_or(Ok(()), |critics| critics.write(dir));
        checkpoint::save::<B, _, _, _>(&self.folder, &self.trained, N_KEPT, &also)
    }
}

/// Adds values by name; a new phase with other names begins anew.
fn add(sums: &mut Vec<(&'static str, f32)>, values: &[(&'static str, f32)]) {
    if sums.len() != values.len() {
        *sums = values.iter().map(|(name, _)| (*name, 0.0)).collect();
    }
    sums.iter_mut().zip(values).for_each(|(sum, value)| sum.1 += value.1);
}

/// That a checkpoint is one of the wanted distillation.
fn same_distillation(path: &Path, found: &State, wanted: &State) -> Result<()> {
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let differences = [
        ("teacher", text(&found.teacher_sha256), text(&wanted.teacher_sha256)),
        ("student", text(&(found.student, &found.comb)), text(&(wanted.student, &wanted.comb))),
        ("stages", text(&found.phases), text(&wanted.phases)),
        ("number of steps", text(&found.n_steps), text(&wanted.n_steps)),
        ("batch", text(&found.batch), text(&wanted.batch)),
        ("weight of the discriminator", text(&found.adversarial), text(&wanted.adversarial)),
        ("seed", text(&found.seed), text(&wanted.seed)),
    ];
    for (what, found, wanted) in differences {
        if found != wanted {
            let reason = format!(
                "holds a distillation with another {what}, {found}; asked for is {wanted}; give another folder with \
                 --work, or remove this one"
            );
            return Err(Error::setting("--work", path.display(), reason));
        }
    }
    Ok(())
}
