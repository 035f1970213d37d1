//! From what was typed to what is done: one function for each job of the command line.

mod beside;
mod blend;
mod compare;
mod face_sets;
mod inspect;
#[cfg(feature = "train")]
mod distill;
mod part;
mod shelter;
#[cfg(feature = "train")]
mod train;

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use crate::{
    Error, Outcome, Result,
    batch::{Job, single_file},
    bench,
    blend::Shows,
    cast::{Cast, Role},
    cli, doctor, eval, extract,
    face::{AnalysisSettings, Angles, DetectEvery, LandmarkNetwork, Pick, Reference, SmallFaces},
    nn::{Provider, Runtime, RuntimeSettings},
    pipeline::Swap,
    progress::{Style, Watch},
    report::Record,
    resume::Resume,
    settings::{SwapSettings, apart, checked, checked_f64, model_dirs, n_hardware_threads, replaceable},
    survey::{self, Survey},
    swap::{Bundle, find, installed},
    video::{Pattern, Scale},
};

/// Does what the command line asks for. `stop` ends it cleanly once it is set.
///
/// # Errors
/// Whatever the job says; see [`Error`] for what each kind asks of the user.
pub fn run(cli: cli::Cli, stop: &AtomicBool) -> Result<Outcome> {
    use cli::Command;
    match cli.command {
        None => swap(&cli.swap, stop),
        Some(Command::Extract(args)) => extract(&args, stop),
        #[cfg(feature = "train")]
        Some(Command::Train(args)) => train::train(args, stop),
        #[cfg(feature = "train")]
        Some(Command::TrainLabels(args)) => train_labels(args, stop),
        #[cfg(feature = "train")]
        Some(Command::Export(args)) => train::export(args, stop),
        #[cfg(feature = "train")]
        Some(Command::Distill(args)) => distill::distill(args, stop),
        #[cfg(feature = "train")]
        Some(Command::DistillSeam(args)) => distill::distill_seam(args, stop),
        #[cfg(feature = "train")]
        Some(Command::DistillLandmarks(args)) => distill::distill_landmarks(args, stop),
        Some(Command::Faces(cli::FacesArgs { command: Some(command), .. })) => face_sets::run(command),
        Some(Command::Faces(args)) => inspect::faces(&args, stop),
        Some(Command::Measure(cli::MeasureCommand::Jitter(args))) => inspect::jitter(&args, stop),
        Some(Command::Measure(cli::MeasureCommand::Mask(args))) => inspect::mask(&args, stop),
        Some(Command::Audit(args)) => inspect::audit(&args, stop),
        Some(Command::Eval(args)) => eval(args, stop),
        Some(Command::Compare(args)) => compare::compare(args, stop),
        Some(Command::Bench(args)) => bench(&args, stop),
        Some(Command::Identities(args)) => identities(&args),
        Some(Command::Doctor(args)) => {
            emit(&doctor::examine(&runtime_settings(&args)?, !args.no_sandbox))?;
            Ok(Outcome::Whole)
        }
    }
}

fn swap(args: &cli::SwapArgs, stop: &AtomicBool) -> Result<Outcome> {
    let inputs = &args.input[..];
    let is_missing = |input: &&PathBuf| !input.exists() && Pattern::parse(input).is_none();
    if let Some(input) = inputs.iter().find(is_missing) {
        return Err(Error::input(input, "no such file or folder"));
    }
    let mut settings = SwapSettings::for_threads(n_hardware_threads());
    settings.batch = checked("--batch", args.batch, 1..=64)?;
    let n_jobs = checked("--jobs", args.jobs, 1..=64)?;
    settings.n_workers = (settings.n_workers / n_jobs).max(1);
    settings.segment_frames = checked("--segment-frames", args.segment_frames, 8..=1_000_000)? as u64;
    settings.resume = if args.no_resume { Resume::Anew } else { Resume::GoOn };
    settings.faces = analysis_settings(&args.analysis)?;
    blend::settle(&args.blend, &mut settings)?;
    settings.decode = shelter::decode_settings(&args.runtime);
    settings.decode.max_pixels = checked("--max-pixels", args.max_pixels, 1..=usize::MAX >> 8)?;
    settings.decode.on_damage = args.on_damage.map(part::on_damage);
    settings.source = part::source_settings(&args.part)?;
    settings.encode.scale =
        args.output_video_scale.as_deref().map(|t| Scale::parse("--output-video-scale", t)).transpose()?;
    settings.encode.on_unsupported = args.on_unsupported.map(part::on_unsupported);
    settings.encode.encoder.clone_from(&args.output_video_encoder);
    settings.encode.preset.clone_from(&args.output_video_preset);
    settings.encode.quality = args
        .output_video_quality
        .map(|q| checked("--output-video-quality", q.into(), 0..=100))
        .transpose()?
        .map(|q| q as u8);
    settings.encode.start_number = part::start_number(args)?;
    let swaps = args.identity.as_deref() != Some(cli::NO_IDENTITY);
    if args.blend.matte && !swaps {
        return Err(Error::setting(
            "--matte",
            "",
            "shows where a face is new; give an identity other than none",
        ));
    }
    let runtime = swaps.then(|| Runtime::load(&runtime_settings(&args.runtime)?)).transpose()?;
    // Everything up to here was read from the command line or is our own.
    shelter::enter_for_swap(args, runtime.as_ref())?;
    let networks = if let Some(runtime) = runtime {
        let cast = cast(args.identity.as_deref(), &args.who, args.models.models.as_deref(), &runtime)?;
        // A matte shows nobody.
        settings.encode.label = (settings.blend.shows == Shows::Composite).then(|| label(&cast));
        Some((cast, runtime))
    } else {
        None
    };
    let swap = networks.as_ref().map(|(cast, runtime)| Swap { cast, runtime });
    let job = Job {
        swap,
        settings: &settings,
        overwrite: args.overwrite,
        follow_symlinks: args.follow_symlinks,
        n_jobs,
    };
    let mut watch = Watch::new(style(&args.progress), stop);
    beside::check(args, &job.pairs(inputs, args.output.as_deref())?)?;
    let overlay = args.debug_overlay.as_deref();
    let single = single_file(inputs).filter(|_| networks.is_some());
    if let (Some(path), None) = (overlay, single) {
        let reason = "shows the swap of one file; give one video or picture as input, and an identity";
        return Err(Error::setting("--debug-overlay", path.display(), reason));
    }
    let mut record = Record::new(args.report.as_deref(), &settings);
    let outcome = job.run(inputs, args.output.as_deref(), &mut watch, &mut record);
    watch.clear();
    let recorded = record.write();
    // Why a run failed is worth more than why that could not be noted.
    let outcome = outcome.and_then(|outcome| recorded.map(|()| outcome));
    if let (Some(path), Some(input), Ok(_), Some((cast, runtime))) = (overlay, single, &outcome, &networks) {
        let survey = Survey {
            picks: cast.picks(),
            decode: settings.decode.clone(),
            part: Some(settings.source),
            ..everybody(runtime, &settings.faces, &args.runtime)
        };
        survey::overlay::overlay(input, path, &settings.encode, &settings.masks, &survey, &mut watch)?;
    }
    outcome
}

/// What the output says of itself in its metadata: that it is a fake, and of whom.
fn label(cast: &Cast) -> String {
    let name = cast.name();
    format!("AI-generated face: replaced by the identity {name} with faceswap {}", env!("CARGO_PKG_VERSION"))
}

/// Who is replaced by whom.
fn cast(
    identity: Option<&str>,
    who: &cli::WhoArgs,
    models: Option<&Path>,
    runtime: &Runtime,
) -> Result<Cast> {
    let max_distance = checked_f64("--reference-distance", who.reference_distance, 0.0..=2.0)?;
    let Some(identity) = identity else {
        let role = |pair: &String| {
            let (who, name) = pair
                .rsplit_once('=')
                .filter(|(who, name)| !who.is_empty() && !name.is_empty())
                .ok_or_else(|| Error::setting("--map", pair, "must be WHO=IDENTITY, e.g. anna.jpg=B"))?;
            let bundle = open_bundle(name, models)?;
            // A picture is a file; anything else must be one of the choices.
            let pick = if Path::new(who).is_file() {
                Pick::Person(Reference::read(&[Path::new(who)], max_distance, runtime)?)
            } else {
                Pick::parse("--map", who)
                    .map_err(|e| Error::setting("--map", who, format!("is no file, and else {e}")))?
            };
            Ok(Role { bundle, pick })
        };
        return Cast::new(who.map.iter().map(role).collect::<Result<_>>()?);
    };
    let bundle = open_bundle(identity, models)?;
    let pick = if who.reference.is_empty() {
        Pick::parse("--faces", who.faces.as_deref().unwrap_or("all"))?
    } else {
        let pictures: Vec<&Path> = who.reference.iter().map(PathBuf::as_path).collect();
        Pick::Person(Reference::read(&pictures, max_distance, runtime)?)
    };
    Ok(Cast::single(bundle, pick))
}

fn analysis_settings(args: &cli::AnalysisArgs) -> Result<AnalysisSettings> {
    let mut settings = AnalysisSettings::default();
    let network = LandmarkNetwork::by_name(&args.landmarks)?;
    settings.finder.landmarks.network = network;
    settings.finder.landmarks.samples = checked("--landmark-samples", args.landmark_samples, 1..=16)?;
    settings.detect_every = DetectEvery::parse(&args.detect_every)?;
    settings.finder.angles = Angles::parse(&args.face_detector_angles)?;
    settings.finder.small_faces = SmallFaces::parse(&args.small_faces)?;
    Ok(settings)
}

/// A bundle by name, or by its folder if `identity` looks like a path.
fn open_bundle(identity: &str, models: Option<&Path>) -> Result<Bundle> {
    let path = Path::new(identity);
    let is_elsewhere = path.components().count() > 1 && !path.is_file();
    if is_elsewhere || path.join("identity.toml").is_file() {
        return Bundle::load(path);
    }
    find(identity, &model_dirs(models))
}

fn extract(args: &cli::ExtractArgs, stop: &AtomicBool) -> Result<Outcome> {
    let settings = extract::ExtractSettings {
        footage: args.footage.clone(),
        truth: args.truth.clone(),
        true_points: args.true_points.clone(),
        output: args.output.clone(),
        side_px: checked("--side", args.side, 32..=1024)?,
        margin: checked_f64("--margin", args.margin, 1.0..=4.0)?,
        landmark_samples: checked("--landmark-samples", args.landmark_samples, 1..=16)?,
        every: checked("--every", args.every, 1..=1_000_000)?,
        n_workers: n_hardware_threads().div_ceil(2).clamp(1, 8),
        decode: shelter::decode_settings(&args.runtime),
    };
    let runtime = Runtime::load(&runtime_settings(&args.runtime)?)?;
    let read = args.footage.iter().chain(&args.truth).chain(&args.true_points);
    shelter::enter_for(read, [&args.output], &args.runtime, &runtime)?;
    let mut watch = Watch::new(style(&args.progress), stop);
    let extract::Extracted { n_faces, is_damaged } = extract::extract(&settings, &runtime, &mut watch)?;
    watch.clear();
    watch.line(&format!("{}: {n_faces} faces", args.output.display()));
    Ok(if is_damaged { Outcome::Damaged } else { Outcome::Whole })
}

/// A survey of all faces.
fn everybody<'a>(
    runtime: &'a Runtime,
    settings: &'a AnalysisSettings,
    args: &cli::RuntimeArgs,
) -> Survey<'a> {
    let n_workers = n_hardware_threads().div_ceil(2).clamp(1, 8);
    let decode = shelter::decode_settings(args);
    Survey { runtime, settings, n_workers, picks: vec![Pick::All], decode, part: None }
}

fn eval(args: cli::EvalArgs, stop: &AtomicBool) -> Result<Outcome> {
    if let Some(page) = &args.html {
        let read = [&args.output, &args.truth, &args.region, &args.reference, &args.rendered];
        let read =
            read.into_iter().flatten().chain([&args.target]).chain(&args.others).chain(&args.seam_network);
        apart("--html", page, read.map(PathBuf::as_path))?;
        replaceable("--html", page, b"<!doctype html>", "exists and is no page; give another name")?;
    }
    let runtime = Runtime::load(&runtime_settings(&args.runtime)?)?;
    let bundle =
        args.identity.map(|identity| open_bundle(&identity, args.models.models.as_deref())).transpose()?;
    let footage =
        [&args.output, &args.truth, &args.region, &args.reference, &args.rendered, &args.seam_network];
    let inputs = footage.into_iter().flatten().chain([&args.target]).chain(&args.others);
    shelter::enter_for(inputs, &args.html, &args.runtime, &runtime)?;
    let settings = eval::EvalSettings {
        decode: shelter::decode_settings(&args.runtime),
        output: args.output,
        target: args.target,
        truth: args.truth,
        region: args.region,
        reference: args.reference,
        others: args.others,
        rendered: args.rendered,
        every: checked("--every", args.every, 1..=1_000_000)?,
        all_strategies: args.strategies,
        html: args.html,
        seam_network: args.seam_network,
        ..eval::EvalSettings::default()
    };
    let watch = Watch::new(Style::Auto, stop);
    let report = eval::eval(&settings, &runtime, bundle.as_ref(), &watch)?;
    if args.json {
        emit(&json(&report))?;
    } else {
        emit(&report.to_string())?;
    }
    Ok(Outcome::Whole)
}

fn bench(args: &cli::BenchArgs, stop: &AtomicBool) -> Result<Outcome> {
    let bundle = open_bundle(&args.identity, args.models.models.as_deref())?;
    let runtime = Runtime::load(&runtime_settings(&args.runtime)?)?;
    let n_frames = checked("--frames", args.frames as usize, 1..=1_000_000)? as u64;
    let mut watch = Watch::new(Style::Quiet, stop);
    let settings = SwapSettings {
        faces: analysis_settings(&args.analysis)?,
        ..SwapSettings::for_threads(n_hardware_threads())
    };
    let report = bench::bench(args.clip.as_deref(), n_frames, &bundle, &runtime, &settings, &mut watch)?;
    if args.json {
        emit(&json(&report))?;
    } else {
        emit(&report.to_string())?;
    }
    Ok(Outcome::Whole)
}

fn identities(args: &cli::ModelArgs) -> Result<Outcome> {
    let dirs = model_dirs(args.models.as_deref());
    let found = installed(&dirs);
    for entry in &found {
        match &entry.bundle {
            Ok(bundle) => emit(&bundle.to_string())?,
            Err(e) => emit(&format!("{}  BROKEN: {e}", entry.name))?,
        }
        emit(&format!("    {}", entry.path.display()))?;
    }
    if found.is_empty() {
        emit("no identity is installed; searched:")?;
        dirs.iter().try_for_each(|dir| emit(&format!("    {}", dir.display())))?;
    }
    Ok(Outcome::Whole)
}

#[cfg(feature = "train")]
fn train_labels(args: cli::TrainLabelsArgs, stop: &AtomicBool) -> Result<Outcome> {
    use crate::{
        settings::free_output,
        train::{self, Device, LabelSettings},
    };
    free_output(&args.output, args.overwrite)?;
    free_output(&args.output.with_extension("png"), args.overwrite)?;
    let settings = LabelSettings {
        task: args.task.parse()?,
        faces: args.faces,
        out: args.output,
        init: args.init,
        batch: checked("--batch", args.batch, 1..=256)?,
        n_steps: checked("--steps", args.steps as usize, 1..=10_000_000)? as u64,
        learning_rate: checked_f64("--learning-rate", args.learning_rate, 1e-7..=1.0)?,
        seed: args.seed,
        device: Device::by_name(&args.device)?,
    };
    let watch = Watch::new(style(&args.progress), stop);
    train::train_labels(&settings, &mut |progress| watch.line(&progress.to_string()), stop)?;
    Ok(Outcome::Whole)
}

fn runtime_settings(args: &cli::RuntimeArgs) -> Result<RuntimeSettings> {
    let providers =
        args.execution_providers.iter().map(|name| Provider::by_name(name)).collect::<Result<_>>()?;
    let threads = match args.threads {
        Some(n) => checked("--threads", n, 1..=256)?,
        None => n_hardware_threads().div_ceil(2),
    };
    Ok(RuntimeSettings { providers, dylib: args.onnxruntime.clone(), threads })
}

fn style(args: &cli::ProgressArgs) -> Style {
    match args.progress {
        _ if args.quiet => Style::Quiet,
        cli::ProgressStyle::Auto => Style::Auto,
        cli::ProgressStyle::Plain => Style::Plain,
        cli::ProgressStyle::Json => Style::Json,
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"))
}

/// Prints a result; who closed standard output doesn't want to read it.
///
/// # Errors
/// [`Error::Io`] when it can't be written for another reason, such as a full disk.
fn emit(text: &str) -> Result<()> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout(), "{text}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output")(e)),
        _ => Ok(()),
    }
}
