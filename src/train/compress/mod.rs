//! Compression beside distillation: an identity with its weights in 16 bits, with its convolutions in 8, or without the
//! channels that weigh least; measured beside what it was made from.
//!
//! 8 bits need faces whose ranges they are fitted to; pruning needs faces on which the layers that are left are fitted to
//! those that were there, and trained for a short while.

mod calibrate;
mod faces;
mod quantise;
mod report;
mod rewrite;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::atomic::AtomicBool,
};

pub use self::report::CompressReport;
use self::{
    faces::Faces,
    rewrite::{Form, rewritten},
};
use super::{
    Device,
    base::alignment_of,
    beside,
    distill::{
        Bench, Contestant, Convolution, DistillEvent, DistillSettings, Goal, Parts, StudentConfig, Teacher,
        networks, pruned,
    },
    export::{self, ExportSettings},
    onnx::Weights,
};
use crate::{
    Error, Result,
    digest::sha256,
    nn::RuntimeSettings,
    resume::Lock,
    swap::{
        Bundle, Consent, Manifest,
        manifest::{self, Compressed, NetworkFile, Networks},
    },
};

/// How the folder of the fine-tune's checkpoints ends, which is there while it lasts.
const WORK: &str = ".prune";

/// The numbers that an identity's networks hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits.
    Fp32,
    /// 16 bits that are widened when a network is loaded: half the size, the same speed, an error of at most 2^-11 of each
    /// weight.
    #[default]
    Fp16,
    /// The convolutions that gain by it in 8 bits, weights and activations, and computed so.
    Int8,
}

impl Precision {
    const ALL: [Self; 3] = [Self::Fp32, Self::Fp16, Self::Int8];
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|precision| precision.to_string() == text);
        known.ok_or_else(|| Error::setting("--precision", text, "must be fp32, fp16 or int8"))
    }
}

/// What is compressed.
#[derive(Debug, Clone)]
pub enum Source {
    /// An identity of a training, which has no bundle yet.
    Training(Box<ExportSettings>),
    /// A bundle; the new one keeps its consent, its licence and its origin.
    Bundle {
        /// Its folder.
        dir: PathBuf,
        /// What the new one is called.
        name: String,
    },
}

/// What is taken away from an identity.
#[derive(Debug, Clone)]
pub struct CompressSettings {
    /// Of whom.
    pub source: Source,
    /// Folder of the new bundle.
    pub out: PathBuf,
    /// Its numbers.
    pub precision: Precision,
    /// Share of the channels that is left out, 0 to 0.9; what is left is rounded up to whole blocks of eight.
    pub prune: f64,
    /// Steps of the fine-tune after pruning, at least 2.
    pub tune_steps: u64,
    /// Where it is trained.
    pub device: Device,
    /// Face sets that ranges and remaining layers are fitted to.
    pub calibrate: Vec<PathBuf>,
    /// Face sets that are measured on; empty to keep the last tenth of each of the others for it.
    pub held_out: Vec<PathBuf>,
    /// ONNX Runtime, which finds the ranges and is measured.
    pub runtime: RuntimeSettings,
    /// Replace a bundle that exists.
    pub overwrite: bool,
}

impl CompressSettings {
    /// That everything is there which is needed.
    fn check(&self) -> Result<()> {
        if !(0.0..=0.9).contains(&self.prune) {
            return Err(Error::setting("--prune", self.prune, "must be 0 to 0.9, a share of the channels"));
        }
        let needs = match self.precision {
            Precision::Int8 => "int8 takes its ranges from faces",
            _ if self.prune > 0.0 => "the layers that pruning leaves are fitted on faces",
            _ => return Ok(()),
        };
        if self.calibrate.is_empty() {
            let reason = format!("{needs}: give a folder that `faceswap extract` cut");
            return Err(Error::setting("--calibrate", "", reason));
        }
        Ok(())
    }
}

/// What was made.
#[derive(Debug)]
pub struct Compression {
    /// The new identity.
    pub bundle: Bundle,
    /// What it cost, where there were faces to measure it on.
    pub report: Option<CompressReport>,
}

/// Writes a compressed copy of an identity, and says what it cost; `None` when `stop` was set: the same call goes on.
///
/// # Errors
/// [`Error::BadSetting`] and [`Error::BadInput`] for settings and face sets that can't be; [`Error::BadModel`] for
/// networks that `faceswap export` didn't write, or that are in int8 already; [`Error::Device`] when ONNX Runtime is
/// missing or fails; [`Error::Io`] when the bundle can't be written.
pub fn compress(
    settings: &CompressSettings,
    tell: &mut dyn FnMut(&DistillEvent),
    stop: &AtomicBool,
) -> Result<Option<Compression>> {
    settings.check()?;
    if let Source::Bundle { dir, .. } = &settings.source
        && let (Ok(from), Ok(to)) = (dir.canonicalize(), settings.out.canonicalize())
        && from == to
    {
        let reason = "is the identity itself, of which nothing would be left; give another folder";
        return Err(Error::setting("--output", settings.out.display(), reason));
    }
    export::check_out(&settings.out, settings.overwrite)?;
    let (source, name) = opened(&settings.source)?;
    let of_source = |reason: String| Error::model(&source.dir, reason);
    let written = |networks: &Parts<Vec<u8>>, weights: Weights| -> Result<Parts<Vec<u8>>> {
        let one = |bytes: &[u8]| rewritten(bytes, Form::Stored(weights)).map_err(of_source);
        Ok(Parts { encoder: one(&networks.encoder)?, decoder: one(&networks.decoder)? })
    };
    let stored = Parts { encoder: source.encoder.clone(), decoder: source.decoder.clone() };
    let whole = written(&stored, Weights::Full)?;
    let faces = Faces::read(settings, &alignment_of(&source), source.side_px)?;
    let bench = faces.as_ref().map(|_| Ok(Bench::load(&settings.runtime)?.exact())).transpose()?;

    let left = if settings.prune > 0.0 {
        let Some(left) = without_channels(settings, &source, tell, stop)? else { return Ok(None) };
        left
    } else {
        whole.clone()
    };
    let made = match (settings.precision, &faces, &bench) {
        (Precision::Fp32, ..) => left.clone(),
        (Precision::Int8, Some(faces), Some(bench)) => {
            calibrate::in_int8(&source.name, &left, &faces.calibration, bench.runtime())?
        }
        _ => written(&left, Weights::Half)?,
    };

    let mut contestants = vec![contestant("fp32", whole.clone())];
    if settings.precision != Precision::Fp32 || settings.prune > 0.0 {
        contestants.push(contestant("fp16", written(&whole, Weights::Half)?));
    }
    let what = what(settings);
    if contestants.iter().all(|one| one.name != what) {
        contestants.push(contestant(&what, made.clone()));
    }
    let report = match (&faces, &bench) {
        (Some(faces), Some(bench)) => {
            let rows = bench.measure(&contestants, &faces.held_out)?.rows;
            Some(CompressReport::new(&what, &contestants, rows, faces, bench.runtime()))
        }
        _ => None,
    };
    let manifest = manifest_of(settings, &source, name, (&left, &made), (&faces, &report));
    let files = [("encoder.onnx", made.encoder), ("decoder.onnx", made.decoder)];
    export::write(&settings.out, &manifest, &files)?;
    if settings.prune > 0.0 {
        let work = beside(&settings.out, WORK);
        let checkpoints = work.join(Goal::Student.name());
        fs::remove_dir_all(&checkpoints).map_err(Error::io(&checkpoints))?;
        let _ = fs::remove_file(work.join(Lock::FILE_NAME));
        // Whatever else lies there is somebody else's.
        let _ = fs::remove_dir(work);
    }
    Ok(Some(Compression { bundle: Bundle::load(&settings.out)?, report }))
}

/// Both networks without the channels that weigh least, in fp32; `None` when `stop` was set.
fn without_channels(
    settings: &CompressSettings,
    source: &Bundle,
    tell: &mut dyn FnMut(&DistillEvent),
    stop: &AtomicBool,
) -> Result<Option<Parts<Vec<u8>>>> {
    let teacher = Teacher::of(source.clone())?;
    let tuning = DistillSettings {
        faces: settings.calibrate.clone(),
        held_out: settings.held_out.clone(),
        work: beside(&settings.out, WORK),
        student: StudentConfig {
            width: 1.0 - settings.prune,
            convolution: Convolution::Full,
            patches: false,
            ..StudentConfig::default()
        },
        max_steps: settings.tune_steps,
        device: settings.device,
        ..DistillSettings::new(source.dir.clone(), settings.out.clone())
    };
    let done = pruned(&tuning, &teacher, tell, stop)?;
    Ok(done.map(|done| {
        let [encoder, decoder] = networks(&done, Weights::Full);
        Parts { encoder, decoder }
    }))
}

/// The identity as it is before anything is taken away, and what the new one is called.
fn opened(source: &Source) -> Result<(Bundle, String)> {
    match source {
        Source::Training(settings) => {
            let whole = ExportSettings { precision: Precision::Fp32, ..(**settings).clone() };
            Ok((export::in_memory(&whole)?, settings.identity.clone()))
        }
        Source::Bundle { dir, name } => {
            if manifest::is_name(name) {
                return Ok((Bundle::load(dir)?, name.clone()));
            }
            let reason = "must end in the new identity's name, a word such as B.int8, or give --identity";
            Err(Error::setting("--output", name, reason))
        }
    }
}

fn contestant(name: &str, networks: Parts<Vec<u8>>) -> Contestant {
    Contestant { name: name.into(), networks, steps: None, minutes: None }
}

/// What the table calls the result: `int8`, or `int8, 30 % pruned`.
fn what(settings: &CompressSettings) -> String {
    if settings.prune > 0.0 {
        format!("{}, {:.0} % pruned", settings.precision, settings.prune * 100.0)
    } else {
        settings.precision.to_string()
    }
}

/// The manifest of networks whose weights were `left` and which were `made` out of them.
fn manifest_of(
    settings: &CompressSettings,
    source: &Bundle,
    name: String,
    (left, made): (&Parts<Vec<u8>>, &Parts<Vec<u8>>),
    (faces, report): (&Option<Faces>, &Option<CompressReport>),
) -> Manifest {
    let old = &source.manifest;
    let file = |file: &str, bytes: &[u8]| NetworkFile { file: file.into(), sha256: sha256(bytes) };
    let is_fitted = settings.precision == Precision::Int8 || settings.prune > 0.0;
    let mut new = Manifest {
        name,
        networks: Networks {
            encoder: file("encoder.onnx", &made.encoder),
            decoder: file("decoder.onnx", &made.decoder),
        },
        compressed: Some(Compressed {
            from: old.name.clone(),
            from_encoder_sha256: old.networks.encoder.sha256.clone(),
            from_decoder_sha256: old.networks.decoder.sha256.clone(),
            precision: settings.precision.to_string(),
            pruned: (settings.prune > 0.0).then_some(settings.prune),
            calibrated_on: faces.as_ref().filter(|_| is_fitted).map(Faces::n_calibration),
            psnr_db: report.as_ref().and_then(CompressReport::psnr_db),
        }),
        ..old.clone()
    };
    if let Source::Bundle { .. } = settings.source {
        let note = format!("a compressed copy of the identity {}, whose consent this is", old.name);
        let note = old.consent.note.as_ref().map_or(note.clone(), |old| format!("{old}; {note}"));
        new.consent = Consent { note: Some(note), ..old.consent.clone() };
    }
    if let Some(training) = &mut new.training
        && is_fitted
    {
        // Nobody shares an encoder that was fitted to faces.
        let encoder = if settings.precision == Precision::Int8 { &made.encoder } else { &left.encoder };
        training.encoder_weights_sha256 = sha256(encoder);
    }
    new
}

/// Whether the folder `dir` holds an identity, whole or broken.
pub fn is_bundle(dir: &Path) -> bool {
    dir.join(manifest::FILE_NAME).exists()
}

#[cfg(test)]
mod tests;
