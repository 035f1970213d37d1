//! The file of `--report`: what a run was told, and what happened to each of its files.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, SCHEMA, Sums};
use crate::{Error, Result, cast::Cast, resume::durable, settings::SwapSettings};

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

    /// Notes a file of a folder whose output an earlier run had made of the same; whether its input is damaged was noted
    /// then.
    pub fn add_left_alone(&mut self, input: &Path, output: &Path, is_damaged: bool) {
        self.files.push(json!({
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "left_alone": true,
            "is_damaged": is_damaged,
            "input": input.to_string_lossy(),
            "output": output.to_string_lossy(),
        }));
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
        let mut text = serde_json::to_vec_pretty(&told).unwrap_or_default();
        text.push(b'\n');
        durable::replace_file(&path, &text)
    }
}
