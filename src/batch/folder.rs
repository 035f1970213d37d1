//! A folder of files, and the state of that job on the disk.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{Job, MediaFiles, Outcome, ledger::Ledger, media_files};
use crate::{
    Error, Result, line,
    progress::Watch,
    report::{Record, Report},
    resume::Task,
    settings::{apart, free_output, output_in},
    video::{self, Pattern},
};

/// What became of one file.
enum Fate {
    /// It was made.
    Made(Box<Report>),
    /// An earlier run had made it of the same; whether its input is damaged.
    LeftAlone { is_damaged: bool },
}

impl Fate {
    fn is_damaged(&self) -> bool {
        match self {
            Self::Made(report) => report.is_damaged(),
            Self::LeftAlone { is_damaged } => *is_damaged,
        }
    }
}

impl Job<'_> {
    /// The files of a folder, or those that are named.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a folder among several inputs, and for two files of one name.
    pub(super) fn files(&self, inputs: &[PathBuf]) -> Result<MediaFiles> {
        if let [folder] = inputs {
            return media_files(folder, self.follow_symlinks);
        }
        let mut names = HashSet::new();
        for input in inputs {
            if input.is_dir() {
                return Err(Error::input(input, "is a folder among other inputs; give it alone"));
            }
            if Pattern::parse(input).is_some() {
                return Err(Error::input(input, "are numbered pictures among other inputs; give them alone"));
            }
            if !names.insert(output_in(Path::new(""), input)) {
                return Err(Error::input(
                    input,
                    "has the name of another input, which both outputs can't have",
                ));
            }
        }
        Ok(MediaFiles { files: inputs.to_vec(), n_links: 0 })
    }

    /// Swaps every video and picture of a folder, or of several; what an earlier run made whole is left alone.
    pub(super) fn run_folder(
        &self,
        inputs: &[PathBuf],
        output: Option<&Path>,
        watch: &mut Watch<'_>,
        record: &mut Record,
    ) -> Result<Outcome> {
        let MediaFiles { files, n_links } = self.files(inputs)?;
        if n_links > 0 {
            watch.line(&format!("{n_links} symbolic links are left out (--follow-symlinks takes them)"));
        }
        if files.is_empty() {
            let folder = inputs.first().map_or(Path::new(""), |input| input);
            return Err(Error::input(folder, "no video and no picture in this folder"));
        }
        if let Some(pattern) = sequence(&files) {
            watch.line(&format!(
                "note: each of these {} numbered pictures is swapped by itself; for the frames of a film give {}",
                files.len(),
                pattern.display()
            ));
        }
        let out_dir = self.made_out_dir(inputs, output)?;
        let ledger = Mutex::new(Ledger::open(&out_dir, self.settings.resume)?);
        let (mut fates, settings) = (Vec::new(), self.settings);
        let mut take = |file: PathBuf, fate: Result<Fate>| {
            let output = output_in(&out_dir, &file);
            match &fate {
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(e) => record.add(&file, &output, self.cast(), settings, Err(e))?,
                Ok(Fate::Made(report)) => record.add(&file, &output, self.cast(), settings, Ok(report))?,
                Ok(Fate::LeftAlone { is_damaged }) => record.add_left_alone(&file, &output, *is_damaged),
            }
            fates.push((file, fate));
            Ok(())
        };
        if self.n_jobs == 1 {
            for file in files {
                let fate = self.run_one(&file, &out_dir, &ledger, watch);
                take(file, fate)?;
            }
        } else {
            line::run(|mut line| {
                let files = line.source("files", files.into_iter().map(Ok))?;
                let worker = || {
                    let (mut watch, out_dir, ledger) = (watch.beside(), &out_dir, &ledger);
                    move |file: PathBuf| {
                        let fate = self.run_one(&file, out_dir, ledger, &mut watch);
                        Ok((file, fate))
                    }
                };
                let fates = line.parallel("swap", files, (0..self.n_jobs).map(|_| worker()).collect())?;
                line.drain("tell", fates, |(file, fate)| take(file, fate))
            })?;
        }
        summary(&fates, watch);
        let n_failed = fates.iter().filter(|(_, fate)| fate.is_err()).count();
        if n_failed > 0 {
            return Err(Error::SomeFailed { n_failed, n_files: fates.len() });
        }
        let is_damaged = fates.iter().any(|(_, fate)| fate.as_ref().is_ok_and(Fate::is_damaged));
        Ok(if is_damaged { Outcome::Damaged } else { Outcome::Whole })
    }

    /// The folder for the outputs.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for several files without one.
    pub(super) fn out_dir(&self, inputs: &[PathBuf], output: Option<&Path>) -> Result<PathBuf> {
        match (output, inputs) {
            (Some(dir), _) => Ok(dir.into()),
            (None, [folder]) => Ok(sibling(folder, &self.name())),
            (None, _) => Err(Error::setting(
                "--output",
                "",
                "is missing; several inputs need a folder for their outputs",
            )),
        }
    }

    /// The same, made if it isn't there.
    fn made_out_dir(&self, inputs: &[PathBuf], output: Option<&Path>) -> Result<PathBuf> {
        let out_dir = self.out_dir(inputs, output)?;
        let refuse = |reason: &str| Err(Error::setting("--output", out_dir.display(), reason));
        if inputs.iter().any(|input| video::same_file(input, &out_dir)) {
            return refuse("is the input folder; give another one");
        }
        if out_dir.is_file() {
            return refuse("is a file; a folder needs a folder");
        }
        std::fs::create_dir_all(&out_dir).map_err(Error::io(&out_dir))?;
        Ok(out_dir)
    }

    fn run_one(
        &self,
        file: &Path,
        out_dir: &Path,
        ledger: &Mutex<Ledger>,
        watch: &mut Watch<'_>,
    ) -> Result<Fate> {
        if watch.is_stopped() {
            return Err(Error::Cancelled);
        }
        let output = output_in(out_dir, file);
        // A worker that panicked has left the ledger whole: it is changed in one go.
        let ledger = || ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let mut make = || {
            let task = Task::new(file, self.cast(), self.settings)?;
            if let Some(is_damaged) = ledger().whole(&output, &task) {
                return Ok(Fate::LeftAlone { is_damaged });
            }
            // A followed link may lead to where it would be written.
            apart("--output", &output, [file])?;
            free_output(&output, self.overwrite)?;
            ledger().begin(&output, &task)?;
            let report = self.run_shielded(file, &output, watch)?;
            ledger().finish(&output, &task, report.is_damaged())?;
            Ok(Fate::Made(Box::new(report)))
        };
        let fate = make();
        watch.clear();
        if let Err(e) = &fate
            && !matches!(e, Error::Cancelled)
        {
            watch.line(&format!("error: {e}"));
        }
        fate
    }
}

/// The pattern of files that are nothing but pictures, numbered without a gap: the frames of a film, probably.
fn sequence(files: &[PathBuf]) -> Option<PathBuf> {
    /// Fewer are no film.
    const LEAST: usize = 10;
    let first = files.first().filter(|_| files.len() >= LEAST)?;
    let name = first.file_name()?.to_str()?;
    let (stem, ending) = name.rsplit_once('.')?;
    let n_digits = stem.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (before, digits) = stem.split_at(stem.len() - n_digits);
    let number: u64 = digits.parse().ok()?;
    let path = first.with_file_name(format!("{before}%0{n_digits}d.{ending}"));
    let pattern = Pattern::parse(&path)?;
    let is_next = |(i, file): (usize, &PathBuf)| *file == pattern.path(number + i as u64);
    files.iter().enumerate().all(is_next).then_some(path)
}

/// `clips` and `B` give `clips_B`.
fn sibling(dir: &Path, identity: &str) -> PathBuf {
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let mut name = real.file_name().unwrap_or_default().to_os_string();
    name.push(format!("_{identity}"));
    real.with_file_name(name)
}

fn summary(fates: &[(PathBuf, Result<Fate>)], watch: &Watch<'_>) {
    let name = |file: &Path| file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let width = fates.iter().map(|(file, _)| name(file).chars().count()).max().unwrap_or(0);
    for (file, fate) in fates {
        let damage = if fate.as_ref().is_ok_and(Fate::is_damaged) { ", damaged" } else { "" };
        let told = match fate {
            Ok(Fate::Made(report)) => format!(
                "ok      {:>6} frames {:>6} swapped {:>7.1} s{damage}",
                report.frames.written, report.frames.swapped, report.seconds
            ),
            Ok(Fate::LeftAlone { .. }) => {
                format!("ok      was there, made of the same input with the same settings{damage}")
            }
            Err(e) => format!("FAILED  {e}"),
        };
        watch.line(&format!("{:width$}  {told}", name(file)));
    }
}
