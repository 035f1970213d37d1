//! Small detectors of seams, taught by a larger one in each of the known ways, in one table.
//!
//! The task is the smallest honest one: a patch of a face, and whether a seam of a composite runs through it. What the
//! ways are worth is a question of chance as much as of method, so that each is tried with several seeds.

mod methods;
mod net;
mod patches;

use std::{fmt, path::PathBuf, sync::atomic::AtomicBool};

use serde::Serialize;

pub use self::methods::Method;
pub(super) use self::{methods::run, patches::Patches};
use super::{Device, dense::Faces, device};
use crate::{Error, Result};

/// What is compared, on what, for how long.
#[derive(Debug, Clone)]
pub struct SeamSettings {
    /// Face sets that patches are cut from.
    pub faces: Vec<PathBuf>,
    /// Face sets of other people, for the score.
    pub held_out: Vec<PathBuf>,
    /// Patches to learn from.
    pub n_patches: usize,
    /// Patches for the score.
    pub n_tests: usize,
    /// Steps of each network.
    pub n_steps: u64,
    /// Patches in a step.
    pub batch: usize,
    /// How often everything is tried.
    pub n_seeds: u64,
    /// Where it runs.
    pub device: Device,
}

/// The table.
#[derive(Debug, Clone, Serialize)]
pub struct SeamReport {
    /// Steps of each network.
    pub steps: u64,
    /// Patches in a step.
    pub batch: usize,
    /// Patches that were learnt from, and those that were kept for the score.
    pub patches: [usize; 2],
    /// A row for each method.
    pub rows: Vec<SeamRow>,
}

/// What one method gave.
#[derive(Debug, Clone, Serialize)]
pub struct SeamRow {
    /// The method.
    pub method: Method,
    /// Parameters of the network.
    pub parameters: usize,
    /// Multiplications with addition in convolutions for a patch, millions.
    pub mmac: f64,
    /// Share of the held-out patches that are told rightly, for each seed.
    pub accuracy: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (of the sample).
    pub deviation: f64,
}

impl SeamRow {
    fn new(method: Method, (parameters, mmac): (usize, f64), accuracy: Vec<f64>) -> Self {
        let n = accuracy.len() as f64;
        let mean = accuracy.iter().sum::<f64>() / n;
        let sum: f64 = accuracy.iter().map(|a| (a - mean).powi(2)).sum();
        let deviation = if accuracy.len() > 1 { (sum / (n - 1.0)).sqrt() } else { 0.0 };
        Self { method, parameters, mmac, accuracy, mean, deviation }
    }
}

/// A table in Markdown.
impl fmt::Display for SeamReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| network | parameters | MMAC | right, % | each seed |\n|---|---|---|---|---|")?;
        for SeamRow { method, parameters, mmac, accuracy, mean, deviation } in &self.rows {
            let each: Vec<String> = accuracy.iter().map(|a| format!("{:.1}", a * 100.0)).collect();
            let (mean, deviation, each) = (mean * 100.0, deviation * 100.0, each.join(" "));
            writeln!(f, "| {method} | {parameters} | {mmac:.2} | {mean:.1} ± {deviation:.1} | {each} |")?;
        }
        Ok(())
    }
}

/// Trains a teacher and its students, each in every way and with every seed, and gives the table.
///
/// # Errors
/// [`Error::BadInput`] for face sets that can't be read, [`Error::BadSetting`] when they hold no face,
/// [`Error::Device`] for a device that isn't compiled in, [`Error::Cancelled`] when `stop` is set.
pub fn compare_seam_students(
    settings: &SeamSettings,
    tell: &mut dyn FnMut(&str),
    stop: &AtomicBool,
) -> Result<SeamReport> {
    if settings.held_out.is_empty() {
        return Err(Error::setting("--held-out", "", "give face sets of people who aren't in --faces"));
    }
    let cut =
        |dirs: &[PathBuf], n: usize, seed: u64| Faces::read(dirs).map(|faces| Patches::cut(&faces, n, seed));
    let lesson = cut(&settings.faces, settings.n_patches, 1)?;
    let exam = cut(&settings.held_out, settings.n_tests, 2)?;
    device::seams_on(settings, &lesson, &exam, tell, stop)
}

#[cfg(test)]
mod tests;
