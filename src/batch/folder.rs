//! A folder of files, and the state of that job on the disk.

use std::{
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
    video,
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
    /// Swaps every video and picture of `input`; what an earlier run made whole is left alone.
    pub(super) fn run_folder(
        &self,
        input: &Path,
        output: Option<&Path>,
        watch: &mut Watch<'_>,
        record: &mut Record,
    ) -> Result<Outcome> {
        let MediaFiles { files, n_links } = media_files(input, self.follow_symlinks)?;
        if n_links > 0 {
            watch.line(&format!("{n_links} symbolic links are left out (--follow-symlinks takes them)"));
        }
        if files.is_empty() {
            return Err(Error::input(input, "no video and no picture in this folder"));
        }
        let out_dir = self.made_out_dir(input, output)?;
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
    pub(super) fn out_dir(&self, input: &Path, output: Option<&Path>) -> PathBuf {
        output.map_or_else(|| sibling(input, &self.name()), Path::to_path_buf)
    }

    /// The same, made if it isn't there.
    fn made_out_dir(&self, input: &Path, output: Option<&Path>) -> Result<PathBuf> {
        let out_dir = self.out_dir(input, output);
        let refuse = |reason: &str| Err(Error::setting("--output", out_dir.display(), reason));
        if video::same_file(input, &out_dir) {
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
