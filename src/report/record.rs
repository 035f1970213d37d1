//! The file of `--report`: what a run was told, and what happened to each of its files.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, SCHEMA, Sums};
use crate::{Error, Result, cast::Cast, settings::SwapSettings};

/// Collects the reports of a run. Without a path it is thrown away.
#[derive(Debug, Default)]
pub struct Record {
    path: Option<PathBuf>,
    settings: Value,
    files: Vec<Value>,
}

impl Record {
    /// A record for `path`, of a run with `settings`.
    pub fn new(path: Option<&Path>, settings: &impl Serialize) -> Self {
        let settings = serde_json::to_value(settings).unwrap_or(Value::Null);
        Self { path: path.map(Path::to_path_buf), settings, files: Vec::new() }
    }

    /// Notes what became of one file, with the sums of all that it depended on: the cast, and what the
    /// `settings` look at faces with. Names that aren't UTF-8 are told as well as they can be.
    ///
    /// # Errors
    /// [`Error::Io`] when the files can't be read for their sums.
    pub fn add(
        &mut self,
        input: &Path,
        output: &Path,
        cast: Option<&Cast>,
        settings: &SwapSettings,
        result: Result<&Report, &Error>,
    ) -> Result<()> {
        if self.path.is_none() {
            return Ok(());
        }
        let mut told = match result {
            Ok(report) => {
                let mut told = serde_json::to_value(report).unwrap_or(Value::Null);
                told["sha256"] = json!(Sums::of(input, output, cast, settings)?);
                told
            }
            Err(e) => {
                json!({"schema": SCHEMA, "version": env!("CARGO_PKG_VERSION"), "error": e.to_string()})
            }
        };
        told["input"] = json!(input.to_string_lossy());
        told["output"] = json!(output.to_string_lossy());
        self.files.push(told);
        Ok(())
    }

    /// Writes the record; it has its name only when it is whole. One file's record stands by itself, those of a
    /// folder are a list.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be written.
    pub fn write(mut self) -> Result<()> {
        let Some(path) = self.path.take() else { return Ok(()) };
        let mut told = match &mut self.files[..] {
            [one] => one.take(),
            _ => json!({"schema": SCHEMA, "version": env!("CARGO_PKG_VERSION"), "files": self.files}),
        };
        told["settings"] = self.settings;
        let mut temporary = path.clone().into_os_string();
        temporary.push(".partial");
        let mut text = serde_json::to_vec_pretty(&told).unwrap_or_default();
        text.push(b'\n');
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|e| {
            let _ = fs::remove_file(&temporary);
            Error::io(&path)(e)
        })
    }
}
