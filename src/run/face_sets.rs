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
    let sets = named(&args.sets);
    let mut embedder = Embedder::new(&Runtime::load(&runtime_settings(&args.runtime)?)?)?;
    let report = report(&sets, usize::MAX, Some(&mut embedder))?;
    if let Some(path) = &args.output {
        std::fs::write(path, report.page()).map_err(Error::io(path))?;
    }
    emit(&report.to_string())?;
    Ok(Outcome::Whole)
}

/// The sets by the names of their people: `NAME=DIR`, or a folder that is called by its own name. Where another folder
/// has that name, too, nobody has said that they are one person's: it is called as it was typed.
fn named(texts: &[String]) -> Vec<(String, PathBuf)> {
    let typed: Vec<(Option<&str>, PathBuf)> = texts.iter().map(|text| parted(text)).collect();
    let own_name = |dir: &Path| dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned();
    let wanted: Vec<String> =
        typed.iter().map(|(name, dir)| name.map_or_else(|| own_name(dir), Into::into)).collect();
    let called = |((name, dir), own): (&(Option<&str>, PathBuf), &String)| {
        let mut others = typed.iter().zip(&wanted).filter(|((_, other), _)| other != dir);
        let is_shared = name.is_none() && others.any(|(_, of_other)| of_other == own);
        (if is_shared { dir.display().to_string() } else { own.clone() }, dir.clone())
    };
    typed.iter().zip(&wanted).map(called).collect()
}

/// `NAME=DIR` in its parts, or a folder alone.
fn parted(text: &str) -> (Option<&str>, PathBuf) {
    match text.split_once('=') {
        Some((name, dir)) if !name.is_empty() && !Path::new(text).exists() => (Some(name), dir.into()),
        _ => (None, text.into()),
    }
}

fn order(args: &cli::SortArgs) -> Result<Outcome> {
    let dir = args.set.display();
    let Some(by) = &args.by else {
        emit(&format!("{dir}: {} faces are back", restore(&args.set)?))?;
        return Ok(Outcome::Whole);
    };
    let by = by.parse::<crate::face_set::sort::Order>()?;
    let limit = checked_f64("--limit", args.limit.unwrap_or(by.usual_limit()), 0.0..=10.0)?;
    let sorted = sort(&args.set, by, limit)?;
    emit(&format!(
        "{dir}: {} faces, {} left out now and {} before; --restore takes them back",
        sorted.n_kept, sorted.n_left_out, sorted.n_before
    ))?;
    Ok(Outcome::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_one_persons_where_somebody_says_so_alone() {
        let names = |texts: &[&str]| -> Vec<String> {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            named(&texts).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&["sets/anna", "sets/ben"]), ["anna", "ben"]);
        assert_eq!(names(&["anna/faces", "ben/faces", "carl"]), ["anna/faces", "ben/faces", "carl"]);
        assert_eq!(names(&["anna=anna/faces", "anna=more/faces"]), ["anna", "anna"]);
        assert_eq!(names(&["anna=one/faces", "two/anna"]), ["anna", "two/anna"]);
        // One folder, typed in two ways.
        assert_eq!(names(&["sets/anna", "sets/anna/"]), ["anna", "anna"]);
        assert_eq!(names(&[".."]), [".."]);
    }
}
