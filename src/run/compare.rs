//! `faceswap compare`

use std::{ffi::OsString, path::PathBuf, sync::atomic::AtomicBool};

use super::emit;
use crate::{
    Error, Outcome, Result, cli,
    compare::{self, CompareSettings},
    settings::{apart, checked, checked_f64, free_output},
    video,
};

/// Shows two videos to a person until all is answered.
pub(super) fn compare(args: cli::CompareArgs, stop: &AtomicBool) -> Result<Outcome> {
    let videos: [PathBuf; 2] = args
        .videos
        .try_into()
        .map_err(|videos: Vec<_>| Error::setting("A B", videos.len(), "give two videos"))?;
    let settings = CompareSettings {
        blind: args.blind,
        question: args.question,
        n_trials: checked("--trials", args.trials, 1..=10_000)?,
        seconds: checked_f64("--seconds", args.seconds, 0.2..=600.0)?,
        output: args.output.unwrap_or_else(|| default_output(&videos)),
        port: args.port,
        seed: args.seed,
        videos,
    };
    video::check_output(&settings.output)?;
    apart("--output", &settings.output, settings.videos.iter().map(PathBuf::as_path))?;
    free_output(&settings.output, args.overwrite)?;
    // Who can't read it there sees that nothing comes, and ends it.
    let tell =
        |address: &str| drop(emit(&format!("open {address} in a browser on this machine; Ctrl-C ends")));
    let verdict = compare::compare(&settings, &tell, stop)?;
    emit(&verdict.to_string())?;
    emit(&format!("answers: {}", settings.output.display()))?;
    Ok(Outcome::Whole)
}

/// `A_or_B.json` beside A.
fn default_output([a, b]: &[PathBuf; 2]) -> PathBuf {
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_os_string();
    let name = [stem(a), "_or_".into(), stem(b), ".json".into()].into_iter().collect::<OsString>();
    a.with_file_name(name)
}
