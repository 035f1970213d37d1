//! Distillation: a small student learns to do what an exported identity does.
//!
//! Three phases, each a share of the steps (feature projection as in F. Perazzi's "Knowledge Distillation of
//! Convolutional Neural Networks", 2022):
//! 1. *projection*: encoder and decoder apart, the decoder on the teacher's codes. Output to output, and at each level
//!    the teacher's activation to a projection of the student's, which is thrown away in the end.
//! 2. *perceptual*: end to end. The teacher's picture is the target, by pixels and by what the teacher's own encoder
//!    sees in both.
//! 3. *truth*: end to end, with the true picture as the target where there is one, else the teacher's.
//!
//! In all of them the faces are mostly other people's: the swap itself is what is learnt.

mod bundle;
mod calibrate;
mod cost;
mod html;
mod init;
mod losses;
mod measure;
mod patches;
mod phases;
mod plan;
mod report;
mod step;
mod student;
mod taps;
mod teacher;
mod transfer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Instant,
};

pub use measure::{Parts, Row};
pub use plan::Phase;
pub use report::Report;
pub use student::{Convolution, Projection, StudentConfig};

pub(super) use self::{
    bundle::networks,
    measure::{Bench, Contestant},
    step::{Done, Goal, Material, train_student},
    teacher::Teacher,
    transfer::{HeldFace, Truth, held_face, opened, split},
};
use self::{plan::Plan, transfer::Transfer};
use super::{Augmentation, Device, beside, device, export, log::Log};
use crate::{
    Error, Result,
    nn::RuntimeSettings,
    resume::Lock,
    swap::{Bundle, manifest},
};

/// Who learns what from whom, and for how long.
#[derive(Debug, Clone)]
pub struct DistillSettings {
    /// Folder of the teacher's bundle.
    pub teacher: PathBuf,
    /// Face sets of anybody: the transfer set.
    pub faces: Vec<PathBuf>,
    /// Face sets of the teacher's own person, whose truth is the face itself.
    pub own: Vec<PathBuf>,
    /// Face sets that are never trained on, for the report; empty to keep the last tenth of each set out of the
    /// training.
    pub held_out: Vec<PathBuf>,
    /// Folder of the student's bundle; its name is the student's.
    pub out: PathBuf,
    /// Folder of the checkpoints and of the report; one that exists is resumed.
    pub work: PathBuf,
    /// What the student is.
    pub student: StudentConfig,
    /// What it learns, in this order; empty for all, the truth where the faces have one.
    pub phases: Vec<Phase>,
    /// Whether a second student learns from the truth alone, in as many steps.
    pub control: bool,
    /// Other bundles that stand in the report's table.
    pub beside: Vec<PathBuf>,
    /// Samples in a step.
    pub batch: usize,
    /// Steps in all.
    pub max_steps: u64,
    /// Minutes after which this run ends; the next one goes on.
    pub max_minutes: Option<f64>,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Weight of what an image discriminator finds wrong with the student's pictures; 0 for none.
    pub adversarial: f64,
    /// What is done to a face before both networks see it.
    pub augmentation: Augmentation,
    /// Seed of everything random.
    pub seed: u64,
    /// Where it is trained.
    pub device: Device,
    /// ONNX Runtime, which the report measures.
    pub runtime: RuntimeSettings,
    /// Store the weights in 16 bits instead of 32.
    pub half: bool,
    /// Replace a student that exists.
    pub overwrite: bool,
    /// Minutes between two checkpoints.
    pub save_every_minutes: f64,
}

impl DistillSettings {
    /// Settings of a student that learns in the usual way; the rest is as usual.
    pub fn new(teacher: PathBuf, out: PathBuf) -> Self {
        Self {
            teacher,
            faces: Vec::new(),
            own: Vec::new(),
            held_out: Vec::new(),
            work: beside(&out, ".distill"),
            out,
            student: StudentConfig::default(),
            phases: Vec::new(),
            control: false,
            beside: Vec::new(),
            batch: 8,
            max_steps: 6_000,
            max_minutes: None,
            learning_rate: 1e-3,
            adversarial: 0.0,
            augmentation: Augmentation { flip: 0.0, warp: 0.003, ..Augmentation::default() },
            seed: 1,
            device: Device::Cpu,
            runtime: RuntimeSettings::default(),
            half: true,
            overwrite: false,
            save_every_minutes: 3.0,
        }
    }
}

/// Something that happened in a distillation; its `Display` is a line for a person.
#[derive(Debug, Clone)]
pub enum DistillEvent {
    /// Where it stands.
    Step(DistillProgress),
    /// Something that a person should know.
    Note {
        /// In words.
        text: String,
    },
}

impl fmt::Display for DistillEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(progress) => progress.fmt(f),
            Self::Note { text } => f.write_str(text),
        }
    }
}

/// Where a distillation stands; its `Display` is a line for a person, its JSON a line of `log.jsonl`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DistillProgress {
    /// Who learns: `student` or `control`.
    pub goal: &'static str,
    /// What it learns.
    pub phase: Phase,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub n_steps: u64,
    /// Minutes of training so far.
    pub minutes: f64,
    /// Samples a second.
    pub samples_per_s: f64,
    /// The parts of the loss by name, means since the line before.
    pub losses: Vec<(&'static str, f32)>,
}

impl fmt::Display for DistillProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { goal, phase, step, n_steps, minutes, samples_per_s, losses } = self;
        write!(f, "{goal}: step {step}/{n_steps} ({phase}), {minutes:.1} min, {samples_per_s:.1} samples/s")?;
        losses.iter().try_for_each(|(name, value)| write!(f, ", {name} {value:.4}"))
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Ending {
    /// The student is written and measured.
    Whole(Box<Report>),
    /// The minutes are over, or somebody said stop; the same call goes on.
    Unfinished,
}

/// Distils, writes the student's bundle, and measures it beside its teacher.
///
/// # Errors
/// [`Error::BadSetting`] and [`Error::BadInput`] for settings and face sets that can't be; [`Error::BadModel`] for a
/// teacher that `faceswap export` didn't write; [`Error::Io`] when something can't be written; [`Error::Refused`] while
/// another process works on it; [`Error::Device`] when the loss is not a number, or ONNX Runtime is missing.
pub fn distill(
    settings: &DistillSettings,
    tell: &mut dyn FnMut(&DistillEvent),
    stop: &AtomicBool,
) -> Result<Ending> {
    let name = student_name(&settings.out)?;
    export::check_out(&settings.out, settings.overwrite)?;
    let teacher = Teacher::open(&settings.teacher)?;
    let config = settings.student.comb(teacher.config())?;
    let beside = opened_beside(&settings.beside, &teacher)?;
    let transfer = Transfer::read(settings, &teacher.alignment())?;
    let plan = Plan::new(settings, transfer.has_truth())?;
    // What the report needs is better missed now than after hours.
    let bench = Bench::load(&settings.runtime)?;

    let _lock = Lock::on(&settings.work, &settings.work)?;
    let mut log = Log::open(&settings.work)?;
    let mut tell_and_log = |event: &DistillEvent| {
        tell(event);
        if let DistillEvent::Step(progress) = event
            && let Some(text) = log.add(progress)
        {
            tell(&DistillEvent::Note { text });
        }
    };
    let material = Material {
        teacher: &teacher,
        transfer: &transfer,
        config: &config,
        plan: &plan,
        begin: Instant::now(),
    };
    let mut train = |goal| device::distill_on(settings, &material, goal, &mut tell_and_log, stop);
    let Some(student) = train(Goal::Student)? else { return Ok(Ending::Unfinished) };
    let control = if settings.control { train(Goal::Control)? } else { None };
    if settings.control && control.is_none() {
        return Ok(Ending::Unfinished);
    }
    let bundle = bundle::write(settings, &name, &material, &student)?;
    let students = (&student, control.as_ref());
    let report = report::write(settings, &material, &bundle, students, &beside, &bench)?;
    Ok(Ending::Whole(Box::new(report)))
}

/// The teacher without a share of its channels, those that weigh least: what is left is fitted to it and then trained for
/// the settings' steps, end to end, on their faces. `None` when somebody said stop; the same call goes on.
///
/// # Errors
/// [`Error::BadSetting`] where no channel would go, else those of [`distill`].
pub(super) fn pruned(
    settings: &DistillSettings,
    teacher: &Teacher,
    tell: &mut dyn FnMut(&DistillEvent),
    stop: &AtomicBool,
) -> Result<Option<Done>> {
    let config = settings.student.comb(teacher.config()).map_err(|_| {
        let reason = "leaves no channel out: what is left comes in whole blocks of eight; take more";
        Error::setting("--prune", 1.0 - settings.student.width, reason)
    })?;
    let transfer = Transfer::read(settings, &teacher.alignment())?;
    let mut phases = vec![Phase::Perceptual];
    phases.extend(transfer.has_truth().then_some(Phase::Truth));
    let plan = Plan::new(&DistillSettings { phases, ..settings.clone() }, transfer.has_truth())?;
    let _lock = Lock::on(&settings.work, &settings.work)?;
    let material =
        Material { teacher, transfer: &transfer, config: &config, plan: &plan, begin: Instant::now() };
    device::distill_on(settings, &material, Goal::Student, tell, stop)
}

/// The student's name, which is that of its folder.
fn student_name(out: &Path) -> Result<String> {
    let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if manifest::is_name(&name) {
        return Ok(name);
    }
    let reason = "must end in the student's name, a word such as B.fast";
    Err(Error::setting("--output", out.display(), reason))
}

/// The bundles that stand in the table, which must take the same faces.
fn opened_beside(dirs: &[PathBuf], teacher: &Teacher) -> Result<Vec<Bundle>> {
    let wanted = (teacher.bundle.side_px, teacher.alignment());
    let open = |dir: &PathBuf| {
        let bundle = Bundle::load(dir)?;
        let alignment = super::base::alignment_of(&bundle);
        if (bundle.side_px, alignment) != wanted {
            let reason = format!("takes other faces than {}: they can't be compared", teacher.bundle.name);
            return Err(Error::setting("--beside", dir.display(), reason));
        }
        Ok(bundle)
    };
    dirs.iter().map(open).collect()
}

#[cfg(test)]
mod tests;
