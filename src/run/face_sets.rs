//! What is done with face sets.

use std::path::{Path, PathBuf};

use super::{emit, runtime_settings};
use crate::{
    Error, Outcome, Result, cli,
    face_set::{
        report::report,
        sort::{restore, sort},
    },
    measure::identity::Embedder,
    nn::Runtime,
    settings::{checked_f64, free_output},
};

pub(super) fn run(command: cli::FaceSetCommand) -> Result<Outcome> {
    match command {
        cli::FaceSetCommand::Report(args) => tell(&args),
        cli::FaceSetCommand::Sort(args) => order(&args),
    }
}

fn tell(args: &cli::ReportArgs) -> Result<Outcome> {
    if let Some(path) = &args.output {
        free_output(path, args.overwrite)?;
    }
    let sets: Vec<(String, PathBuf)> = args.sets.iter().map(|text| named(text)).collect();
    let mut embedder = Embedder::new(&Runtime::load(&runtime_settings(&args.runtime)?)?)?;
    let report = report(&sets, usize::MAX, Some(&mut embedder))?;
    if let Some(path) = &args.output {
        std::fs::write(path, report.page()).map_err(Error::io(path))?;
    }
    emit(&report.to_string());
    Ok(Outcome::Whole)
}

/// `NAME=DIR`, or a folder that is called by its own name.
fn named(text: &str) -> (String, PathBuf) {
    if let Some((name, dir)) = text.split_once('=')
        && !name.is_empty()
        && !Path::new(text).exists()
    {
        return (name.into(), dir.into());
    }
    let dir = PathBuf::from(text);
    let name = dir.file_name().map_or_else(|| text.into(), |name| name.to_string_lossy().into_owned());
    (name, dir)
}

fn order(args: &cli::SortArgs) -> Result<Outcome> {
    let dir = args.set.display();
    let Some(by) = &args.by else {
        emit(&format!("{dir}: {} faces are back", restore(&args.set)?));
        return Ok(Outcome::Whole);
    };
    let by = by.parse::<crate::face_set::sort::Order>()?;
    let limit = checked_f64("--limit", args.limit.unwrap_or(by.usual_limit()), 0.0..=10.0)?;
    let sorted = sort(&args.set, by, limit)?;
    emit(&format!(
        "{dir}: {} faces, {} left out now and {} before; --restore takes them back",
        sorted.n_kept, sorted.n_left_out, sorted.n_before
    ));
    Ok(Outcome::Whole)
}
