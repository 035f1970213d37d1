//! What a training needs to go on: weights, their average, the optimizer's state, the step.
//!
//! A checkpoint is a folder `checkpoints/STEP`; it is written under a temporary name and renamed when whole. The last
//! few are kept, and the best. What is drawn at random follows from seed and step, so there is no other state.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use burn::{
    module::{AutodiffModule, Module},
    optim::Optimizer,
    record::{FullPrecisionSettings, NamedMpkBytesRecorder, NamedMpkFileRecorder, Record, Recorder},
    tensor::backend::{AutodiffBackend, Backend},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    data::Alignment,
    model::{CombConfig, Stage},
};
use crate::{Error, Result};

/// The format that this version writes and reads.
const SCHEMA: &str = "faceswap-training-1";

/// What stands in a checkpoint beside the weights.
pub trait Kept: Serialize + DeserializeOwned {
    /// The format of the folder that this version writes and reads.
    const SCHEMA: &'static str;
    /// The format of the folder that it comes from.
    fn schema(&self) -> &str;
    /// Steps done.
    fn step(&self) -> u64;
    /// The level that it was scored at, and its loss there; `None` for one that can't be the best.
    fn score(&self) -> Option<(usize, f32)>;
}

impl Kept for State {
    const SCHEMA: &'static str = SCHEMA;

    fn schema(&self) -> &str {
        &self.schema
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn score(&self) -> Option<(usize, f32)> {
        let score = self.score.filter(|score| score.is_finite() && self.stage.alpha >= 1.0)?;
        Some((self.stage.level, score))
    }
}

/// What stands in the checkpoint of a comb beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Format of the folder.
    pub schema: String,
    /// The network's size.
    pub comb: CombConfig,
    /// Names of the identities in the order of the decoders.
    pub identities: Vec<String>,
    /// Faces of each identity.
    pub n_faces: Vec<usize>,
    /// How the faces were cut.
    pub alignment: Alignment,
    /// Steps done.
    pub step: u64,
    /// Samples seen, all identities together.
    pub n_samples: u64,
    /// Minutes of training so far.
    pub minutes: f64,
    /// What the last step trained.
    pub stage: Stage,
    /// Seed of everything random.
    pub seed: u64,
    /// Loss of the averaged weights on a few fixed faces, when the checkpoint was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
}

impl State {
    /// The format string of this version.
    pub fn schema() -> String {
        SCHEMA.into()
    }
}

/// Writes more into the folder of a checkpoint.
pub type Also<'a> = &'a dyn Fn(&Path) -> Result<()>;

type Reader = NamedMpkFileRecorder<FullPrecisionSettings>;

/// Everything that [`save`] and [`load`] carry: a network and its average on a backend without gradients, an optimizer,
/// and what stands beside them.
#[derive(Debug)]
pub struct Trained<M, A, O, S = State> {
    /// The weights that are trained.
    pub model: M,
    /// Their moving average, which is exported.
    pub average: A,
    /// The optimizer.
    pub optimizer: O,
    /// The rest.
    pub state: S,
}

fn folder(training: &Path) -> PathBuf {
    training.join("checkpoints")
}

/// The newest checkpoint of a training, if there is one.
///
/// # Errors
/// [`Error::Io`] when the folder can't be read.
pub fn newest(training: &Path) -> Result<Option<PathBuf>> {
    Ok(all(training)?.pop().map(|(_, path)| path))
}

/// The checkpoint with the best score: of those whose level is whole, at the highest level, the one of least loss.
///
/// # Errors
/// As [`newest`] and [`state`].
pub fn best<S: Kept>(training: &Path) -> Result<Option<PathBuf>> {
    let mut best: Option<(usize, f32, PathBuf)> = None;
    for (_, path) in all(training)? {
        // One that can't be read is nobody's best.
        let Ok(state) = state::<S>(&path) else { continue };
        let Some((level, score)) = state.score() else { continue };
        if best.as_ref().is_none_or(|(l, s, _)| level > *l || (level == *l && score <= *s)) {
            best = Some((level, score, path));
        }
    }
    Ok(best.map(|(.., path)| path))
}

/// The checkpoint of a step.
///
/// # Errors
/// As [`newest`].
pub fn of_step(training: &Path, step: u64) -> Result<Option<PathBuf>> {
    Ok(all(training)?.into_iter().find(|(found, _)| *found == step).map(|(_, path)| path))
}

/// All whole checkpoints by their step, the oldest first.
fn all(training: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let dir = folder(training);
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).map_err(Error::io(&dir))? {
        let path = entry.map_err(Error::io(&dir))?.path();
        let step = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        found.extend(step.map(|step| (step, path)));
    }
    found.sort();
    Ok(found)
}

/// Reads the part of a checkpoint that isn't weights.
///
/// # Errors
/// [`Error::BadModel`] for another format, [`Error::Io`] when it can't be read.
pub fn state<S: Kept>(checkpoint: &Path) -> Result<S> {
    let path = checkpoint.join("state.json");
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let state: S = serde_json::from_str(&text).map_err(|e| Error::model(&path, e.to_string()))?;
    if state.schema() != S::SCHEMA {
        let reason = format!("schema {}, this version reads {}", state.schema(), S::SCHEMA);
        return Err(Error::model(&path, reason));
    }
    Ok(state)
}

/// Writes a checkpoint, and removes all but the last `n_kept` and the best. When there is no room for it, the oldest of
/// those that aren't needed makes some. `also` writes what else belongs into its folder.
///
/// # Errors
/// [`Error::Io`] when it can't be written; at least the one before it stays, and nothing half.
pub fn save<B, M, O, S>(
    training: &Path,
    trained: &Trained<M, M::InnerModule, O, S>,
    n_kept: usize,
    also: Also<'_>,
) -> Result<()>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
    O: Optimizer<M, B>,
    S: Kept,
{
    prune::<S>(training, n_kept.max(1))?;
    loop {
        let written = write::<B, M, O, S>(training, trained, also);
        if written.is_err() {
            // What is half would take the room that the next one needs.
            let _ = fs::remove_dir_all(partial(training, trained.state.step()));
            let spare = spares::<S>(training, 1)?;
            if let Some(oldest) = spare.first() {
                fs::remove_dir_all(oldest).map_err(Error::io(oldest))?;
                continue;
            }
        }
        written?;
        return prune::<S>(training, n_kept.max(1));
    }
}

fn partial(training: &Path, step: u64) -> PathBuf {
    folder(training).join(format!(".{step}.partial"))
}

fn write<B, M, O, S>(
    training: &Path,
    trained: &Trained<M, M::InnerModule, O, S>,
    also: Also<'_>,
) -> Result<()>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
    O: Optimizer<M, B>,
    S: Kept,
{
    let (dir, temporary) = (folder(training), partial(training, trained.state.step()));
    // A killed run may have left another one behind.
    remove_partials(&dir)?;
    fs::create_dir_all(&temporary).map_err(Error::io(&temporary))?;
    write_record::<B, _>(&temporary.join("model.mpk"), trained.model.clone().into_record())?;
    write_record::<B::InnerBackend, _>(
        &temporary.join("average.mpk"),
        trained.average.clone().into_record(),
    )?;
    write_record::<B, _>(&temporary.join("optimizer.mpk"), trained.optimizer.to_record())?;
    let path = temporary.join("state.json");
    let text =
        serde_json::to_string_pretty(&trained.state).map_err(|e| Error::model(&path, e.to_string()))?;
    write_whole(&path, text.as_bytes())?;
    also(&temporary)?;
    let path = dir.join(trained.state.step().to_string());
    if path.exists() {
        fs::remove_dir_all(&path).map_err(Error::io(&path))?;
    }
    fs::rename(&temporary, &path).map_err(Error::io(&path))?;
    File::open(&dir).and_then(|dir| dir.sync_all()).map_err(Error::io(&dir))
}

/// Writes weights, or an optimizer's state.
///
/// # Errors
/// [`Error::Io`] when all of it can't be written.
pub fn write_record<B: Backend, R: Record<B>>(path: &Path, record: R) -> Result<()> {
    write_whole(path, &bytes::<B, R>(path, record)?)
}

/// What the framework would write. It doesn't look whether all of it arrives: a full disk would go unnoticed.
fn bytes<B: Backend, R: Record<B>>(path: &Path, record: R) -> Result<Vec<u8>> {
    let recorder = NamedMpkBytesRecorder::<FullPrecisionSettings>::default();
    Recorder::<B>::record(&recorder, record, ())
        .map_err(|e| Error::Io { path: path.into(), source: std::io::Error::other(e.to_string()) })
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(Error::io(path))
}

fn remove_partials(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".partial") {
            fs::remove_dir_all(entry.path()).map_err(Error::io(entry.path()))?;
        }
    }
    Ok(())
}

/// The checkpoints beside the last `n_kept` and the best, the oldest first.
fn spares<S: Kept>(training: &Path, n_kept: usize) -> Result<Vec<PathBuf>> {
    let (found, best) = (all(training)?, best::<S>(training)?);
    let old = &found[..found.len().saturating_sub(n_kept)];
    Ok(old.iter().map(|(_, path)| path.clone()).filter(|path| Some(path) != best.as_ref()).collect())
}

fn prune<S: Kept>(training: &Path, n_kept: usize) -> Result<()> {
    spares::<S>(training, n_kept)?.iter().try_for_each(|old| fs::remove_dir_all(old).map_err(Error::io(old)))
}

/// Reads a checkpoint into `fresh`, whose shapes must be those of its state.
///
/// # Errors
/// [`Error::BadModel`] when a file is missing or broken.
pub fn load<B, M, O, S>(
    checkpoint: &Path,
    fresh: Trained<M, M::InnerModule, O, S>,
    device: &B::Device,
) -> Result<Trained<M, M::InnerModule, O, S>>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
    O: Optimizer<M, B>,
    S: Kept,
{
    let failed = |e: burn::record::RecorderError| {
        Error::model(checkpoint, format!("{e}; remove this folder to go on from the checkpoint before it"))
    };
    let file = Reader::new();
    let optimizer = Recorder::<B>::load(&file, checkpoint.join("optimizer"), device).map_err(failed)?;
    Ok(Trained {
        model: fresh.model.load_file(checkpoint.join("model"), &file, device).map_err(failed)?,
        average: average::<B::InnerBackend, _>(checkpoint, fresh.average, device)?,
        optimizer: fresh.optimizer.load_record(optimizer),
        state: state(checkpoint)?,
    })
}

/// Reads what [`write_record`] wrote.
///
/// # Errors
/// [`Error::BadModel`] when the file is missing or broken.
pub fn read_record<B: Backend, R: Record<B>>(path: &Path, device: &B::Device) -> Result<R> {
    // The recorder puts the ending back.
    Recorder::<B>::load(&Reader::new(), path.with_extension(""), device)
        .map_err(|e| Error::model(path, e.to_string()))
}

/// Reads the averaged weights alone.
///
/// # Errors
/// [`Error::BadModel`] when the file is missing or broken.
pub fn average<B: Backend, M: Module<B>>(checkpoint: &Path, fresh: M, device: &B::Device) -> Result<M> {
    fresh
        .load_file(checkpoint.join("average"), &Reader::new(), device)
        .map_err(|e| Error::model(checkpoint.join("average.mpk"), e.to_string()))
}
