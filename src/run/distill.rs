//! A student of an identity.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{emit, json, runtime_settings, style};
use crate::{
    Error, Outcome, Result, cli,
    progress::Watch,
    settings::{checked, checked_f64, free_output},
    train::{
        self, Convolution, Device, DistillSettings, Ending, LandmarkProgress, LandmarkSettings, Phase,
        Projection, SeamSettings, StudentConfig,
    },
};

/// What a specialist's encoder has of its student's channels.
const SPECIALIST: f64 = 0.5;

/// Distils, and prints the table.
pub(super) fn distill(args: cli::DistillArgs, stop: &AtomicBool) -> Result<Outcome> {
    let usual = DistillSettings::new(args.teacher, args.output);
    let convolution = match args.student_conv {
        Some(cli::ConvolutionChoice::Full) => Convolution::Full,
        Some(cli::ConvolutionChoice::Dws) => Convolution::Dws,
        None if args.student_width < 1.0 => Convolution::Full,
        Some(cli::ConvolutionChoice::Mixed) | None => Convolution::Mixed,
    };
    // Who names a shape gets that shape and nothing else.
    let is_usual = args.student_conv.is_none() && args.student_width >= 1.0;
    let patches = args.student_finest.map_or(is_usual, |finest| finest == cli::FinestChoice::Patches);
    let settings = DistillSettings {
        faces: args.faces,
        own: args.own,
        held_out: args.held_out,
        work: args.work.unwrap_or(usual.work),
        student: StudentConfig {
            width: args.student_width,
            encoder_width: if args.specialist { SPECIALIST } else { 1.0 },
            convolution,
            patches,
            projection: Projection::by_name(&args.projection)?,
            from_teacher: args.student_start == cli::StartChoice::Teacher,
        },
        phases: args.stages.iter().map(|name| Phase::by_name(name)).collect::<Result<_>>()?,
        control: args.control,
        beside: args.beside,
        batch: checked("--batch", args.batch, 1..=256)?,
        max_steps: args.steps,
        max_minutes: args.minutes,
        learning_rate: checked_f64("--learning-rate", args.learning_rate, 1e-7..=1.0)?,
        adversarial: checked_f64("--adversarial", args.adversarial, 0.0..=1000.0)?,
        seed: args.seed,
        device: Device::by_name(&args.device)?,
        runtime: runtime_settings(&args.runtime)?,
        half: !args.full_precision,
        overwrite: args.overwrite,
        ..usual
    };
    let watch = Watch::new(style(&args.progress), stop);
    match train::distill(&settings, &mut |progress| watch.line(&progress.to_string()), stop)? {
        Ending::Whole(report) => {
            emit(&report.to_string())?;
            emit(&format!("\n{}", settings.out.display()))?;
            emit(&settings.work.join("report.html").display().to_string())?;
            Ok(Outcome::Whole)
        }
        Ending::Unfinished if watch.is_stopped() => Err(Error::Cancelled),
        Ending::Unfinished => {
            watch.line("the minutes are over before the steps: the same command goes on");
            Ok(Outcome::Whole)
        }
    }
}

/// Teaches the landmark network, and prints how it does on the faces that are held out.
pub(super) fn distill_landmarks(args: cli::DistillLandmarksArgs, stop: &AtomicBool) -> Result<Outcome> {
    free_output(&args.output, args.overwrite)?;
    let settings = LandmarkSettings {
        faces: args.faces,
        held_out: args.held_out,
        out: args.output,
        init: args.init,
        batch: checked("--batch", args.batch, 1..=1024)?,
        n_steps: checked("--steps", args.steps as usize, 1..=10_000_000)? as u64,
        learning_rate: checked_f64("--learning-rate", args.learning_rate, 1e-7..=1.0)?,
        seed: args.seed,
        device: Device::by_name(&args.device)?,
    };
    let watch = Watch::new(style(&args.progress), stop);
    let mut tell = |progress: &LandmarkProgress| watch.line(&progress.to_string());
    if let Some(report) = train::distill_landmarks(&settings, &mut tell, stop)? {
        emit(&report.to_string())?;
    }
    emit(&settings.out.display().to_string())?;
    if stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(Outcome::Whole) }
}

/// Compares the ways to teach a detector of seams, and prints the table.
pub(super) fn distill_seam(args: cli::DistillSeamArgs, stop: &AtomicBool) -> Result<Outcome> {
    let settings = SeamSettings {
        faces: args.faces,
        held_out: args.held_out,
        n_patches: checked("--patches", args.patches, 2..=1_000_000)?,
        n_tests: checked("--tests", args.tests, 2..=1_000_000)?,
        n_steps: checked("--steps", args.steps as usize, 1..=10_000_000)? as u64,
        batch: checked("--batch", args.batch, 2..=1024)?,
        n_seeds: checked("--seeds", args.seeds as usize, 1..=100)? as u64,
        device: Device::by_name(&args.device)?,
    };
    let watch = Watch::new(style(&args.progress), stop);
    let report = train::compare_seam_students(&settings, &mut |line| watch.line(line), stop)?;
    emit(&if args.json { json(&report) } else { report.to_string() })?;
    Ok(Outcome::Whole)
}
