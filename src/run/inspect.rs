//! The jobs that look at faces and change none: audit, and the measures of masks.

use std::{path::Path, sync::atomic::AtomicBool};

use super::{analysis_settings, blend, emit, everybody, json, runtime_settings, shelter, style};
use crate::{
    Error, Outcome, Result, cli,
    face::{MaskSettings, MaskType},
    nn::Runtime,
    progress::Watch,
    settings::free_output,
    survey::{
        audit::{self, Limit},
        occlusion,
    },
    video,
};

pub(super) fn audit(args: &cli::AuditArgs, stop: &AtomicBool) -> Result<Outcome> {
    let limit = args.fail_if.as_deref().map(str::parse::<Limit>).transpose()?;
    let is_stdout = args.json.as_deref() == Some(Path::new("-"));
    let json_path = args.json.as_deref().filter(|_| !is_stdout);
    for (name, path) in [("--heatmap", args.heatmap.as_deref()), ("--json", json_path)] {
        let Some(path) = path else { continue };
        if video::same_file(&args.input, path) {
            return Err(Error::setting(name, path.display(), "is the clip itself; give another name"));
        }
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
        std::fs::write(path, json(&found)).map_err(Error::io(path))?;
    }
    emit(&if is_stdout { json(&found) } else { found.to_string() });
    let is_exceeded = limit.is_some_and(|limit| limit.is_exceeded_by(&found));
    Ok(if is_exceeded { Outcome::Exceeded } else { Outcome::Whole })
}

pub(super) fn mask(args: &cli::MaskArgs, stop: &AtomicBool) -> Result<Outcome> {
    let types = blend::mask_types(&args.face_mask_types)?;
    if types.contains(&MaskType::Mouth) {
        let reason =
            "what it leaves out depends on the new face, and here is none; swap a clip and look at it";
        return Err(Error::setting("--face-mask-types", "mouth", reason));
    }
    let masks = MaskSettings { types, occlusion_network: args.occlusion_network.clone() };
    if let Some(path) = &args.sheet {
        if path.extension().is_none_or(|end| end != "png") {
            return Err(Error::setting("--sheet", path.display(), "must end in .png"));
        }
        free_output(path, args.overwrite)?;
    }
    let runtime = Runtime::load(&runtime_settings(&args.runtime)?)?;
    let inputs = [&args.input].into_iter().chain(&args.truth).chain(&args.occlusion_network);
    shelter::enter_for(inputs, &args.sheet, &args.runtime, &runtime)?;
    let settings = analysis_settings(&args.analysis)?;
    let mut watch = Watch::new(style(&args.progress), stop);
    let survey = everybody(&runtime, &settings, &args.runtime);
    let (report, sheet) = occlusion::mask(&args.input, args.truth.as_deref(), &masks, &survey, &mut watch)?;
    if let Some(path) = &args.sheet {
        sheet.save(path).map_err(|e| Error::Io { path: path.clone(), source: std::io::Error::other(e) })?;
    }
    emit(&if args.json { json(&report) } else { report.to_string() });
    Ok(Outcome::Whole)
}
