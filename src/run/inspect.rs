//! The jobs that look at faces and change none: who is there, audit, and the measures of jitter and masks.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use super::{analysis_settings, blend, emit, everybody, json, runtime_settings, shelter, style};
use crate::{
    Error, Outcome, Result, cli,
    face::{MaskSettings, MaskType},
    nn::Runtime,
    progress::Watch,
    report,
    resume::durable,
    settings::{apart, free_output, replaceable},
    survey::{
        audit::{self, Limit},
        jitter, occlusion, people,
        truth::Truth,
        write_png,
    },
    video::DamagedFrames,
};

/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

pub(super) fn faces(args: &cli::FacesArgs, stop: &AtomicBool) -> Result<Outcome> {
    let Some(input) = &args.input else {
        return Err(Error::setting("CLIP", "", "give a video or a picture"));
    };
    let sheet_path = args.output.clone().unwrap_or_else(|| {
        let mut name = input.file_stem().unwrap_or_default().to_os_string();
        name.push("_faces.png");
        input.with_file_name(name)
    });
    let json_path = sheet_path.with_extension("json");
    must_be_png("--output", &sheet_path)?;
    for path in [&sheet_path, &json_path] {
        apart("--output", path, [&**input])?;
        free_output(path, args.overwrite)?;
    }
    let runtime = Runtime::load(&runtime_settings(&args.runtime)?)?;
    shelter::enter_for([input], [&sheet_path], &args.runtime, &runtime)?;
    let settings = analysis_settings(&args.analysis)?;
    let mut watch = Watch::new(style(&args.progress), stop);
    let survey = everybody(&runtime, &settings, &args.runtime);
    let (people, sheet) = people::people(input, &survey, &mut watch)?;
    write_png(&sheet_path, &sheet)?;
    durable::replace_file(&json_path, json(&people).as_bytes())?;
    if args.json {
        emit(&json(&people))?;
    } else {
        emit(&people.to_string())?;
        emit(&format!("contact sheet: {}", sheet_path.display()))?;
    }
    Ok(told(&people.damage, &watch))
}

pub(super) fn jitter(args: &cli::JitterArgs, stop: &AtomicBool) -> Result<Outcome> {
    if let Some(path) = &args.plot {
        must_be_png("--plot", path)?;
        apart("--plot", path, [&args.input].into_iter().chain(&args.truth).map(PathBuf::as_path))?;
        replaceable("--plot", path, PNG, "exists and is no PNG; give another name")?;
    }
    let runtime = Runtime::load(&runtime_settings(&args.runtime)?)?;
    shelter::enter_for([&args.input].into_iter().chain(&args.truth), &args.plot, &args.runtime, &runtime)?;
    let truth = args.truth.as_deref().map(Truth::read).transpose()?;
    let settings = analysis_settings(&args.analysis)?;
    let mut watch = Watch::new(style(&args.progress), stop);
    let survey = everybody(&runtime, &settings, &args.runtime);
    let report = jitter::jitter(&args.input, truth.as_ref(), &survey, &mut watch)?;
    args.plot.as_deref().map_or(Ok(()), |path| report.plot(path))?;
    emit(&if args.json { json(&report) } else { report.to_string() })?;
    Ok(told(&report.damage, &watch))
}

pub(super) fn audit(args: &cli::AuditArgs, stop: &AtomicBool) -> Result<Outcome> {
    let limit = args.fail_if.as_deref().map(str::parse::<Limit>).transpose()?;
    let is_stdout = args.json.as_deref() == Some(Path::new("-"));
    let json_path = args.json.as_deref().filter(|_| !is_stdout);
    let read = || [&args.input].into_iter().chain(&args.seam_network).map(PathBuf::as_path);
    if let Some(path) = &args.heatmap {
        apart("--heatmap", path, read())?;
        free_output(path, args.overwrite)?;
    }
    if let Some(path) = json_path {
        apart("--json", path, read().chain(args.heatmap.as_deref()))?;
        free_output(path, args.overwrite)?;
    }
    let runtime = Runtime::load(&runtime_settings(&args.runtime)?)?;
    let json_path = json_path.map(Path::to_path_buf);
    shelter::enter_for(
        [&args.input].into_iter().chain(&args.seam_network),
        args.heatmap.iter().chain(&json_path),
        &args.runtime,
        &runtime,
    )?;
    let settings = analysis_settings(&args.analysis)?;
    let mut watch = Watch::new(style(&args.progress), stop);
    let survey = everybody(&runtime, &settings, &args.runtime);
    let found = audit::audit(
        &args.input,
        args.seam_network.as_deref(),
        args.heatmap.as_deref(),
        &survey,
        &mut watch,
    )?;
    if let Some(path) = &json_path {
        durable::replace_file(path, json(&found).as_bytes())?;
    }
    emit(&if is_stdout { json(&found) } else { found.to_string() })?;
    let outcome = told(&found.damage, &watch);
    // What was asked for goes before what wasn't.
    let is_exceeded = limit.is_some_and(|limit| limit.is_exceeded_by(&found));
    Ok(if is_exceeded { Outcome::Exceeded } else { outcome })
}

pub(super) fn mask(args: &cli::MaskArgs, stop: &AtomicBool) -> Result<Outcome> {
    let types = blend::mask_types(&args.face_mask_types)?;
    if types.contains(&MaskType::Mouth) {
        let reason =
            "what it leaves out depends on the new face, and here is none; swap a clip and look at it";
        return Err(Error::setting("--face-mask-types", "mouth", reason));
    }
    let masks = MaskSettings { types, occlusion_network: args.occlusion_network.clone() };
    let inputs = [&args.input].into_iter().chain(&args.truth).chain(&args.occlusion_network);
    if let Some(path) = &args.sheet {
        must_be_png("--sheet", path)?;
        apart("--sheet", path, inputs.clone().map(PathBuf::as_path))?;
        free_output(path, args.overwrite)?;
    }
    let runtime = Runtime::load(&runtime_settings(&args.runtime)?)?;
    shelter::enter_for(inputs, &args.sheet, &args.runtime, &runtime)?;
    let settings = analysis_settings(&args.analysis)?;
    let mut watch = Watch::new(style(&args.progress), stop);
    let survey = everybody(&runtime, &settings, &args.runtime);
    let (report, sheet) = occlusion::mask(&args.input, args.truth.as_deref(), &masks, &survey, &mut watch)?;
    if let Some(path) = &args.sheet {
        write_png(path, &sheet)?;
    }
    emit(&if args.json { json(&report) } else { report.to_string() })?;
    Ok(told(&report.damage, &watch))
}

fn must_be_png(name: &str, path: &Path) -> Result<()> {
    let is_png = path.extension().is_some_and(|end| end == "png");
    if is_png { Ok(()) } else { Err(Error::setting(name, path.display(), "must end in .png")) }
}

/// Tells what is damaged of the input as a swap does, and what becomes of the exit code.
fn told(damage: &[DamagedFrames], watch: &Watch<'_>) -> Outcome {
    if damage.is_empty() {
        return Outcome::Whole;
    }
    watch.line(&report::told_damage(damage, Some("--json")));
    Outcome::Damaged
}
