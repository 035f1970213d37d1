//! What a training needs to go on: weights, their average, the optimizer's state, the step.
//!
//! A checkpoint is a folder `checkpoints/STEP`; it is written under a temporary name and renamed when whole, and the
//! last two are kept. What is drawn at random follows from seed and step, so there is no other state.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::{
    module::{AutodiffModule, Module},
    optim::Optimizer,
    record::{FullPrecisionSettings, NamedMpkFileRecorder, Recorder},
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

/// Checkpoints that are kept.
const N_KEPT: usize = 2;

/// What stands in a checkpoint beside the weights.
pub trait Kept: Serialize + DeserializeOwned {
    /// The format of the folder that this version writes and reads.
    const SCHEMA: &'static str;
    /// The format of the folder that it comes from.
    fn schema(&self) -> &str;
    /// Steps done.
    fn step(&self) -> u64;
}

impl Kept for State {
    const SCHEMA: &'static str = SCHEMA;

    fn schema(&self) -> &str {
        &self.schema
    }

    fn step(&self) -> u64 {
        self.step
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
}

impl State {
    /// The format string of this version.
    pub fn schema() -> String {
        SCHEMA.into()
    }
}

type File = NamedMpkFileRecorder<FullPrecisionSettings>;

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

/// Writes a checkpoint, and removes all but the last two.
///
/// # Errors
/// [`Error::Io`] when it can't be written; the ones before it stay.
pub fn save<B, M, O, S>(training: &Path, trained: &Trained<M, M::InnerModule, O, S>) -> Result<()>
where
    B: AutodiffBackend,
    M: AutodiffModule<B>,
    O: Optimizer<M, B>,
    S: Kept,
{
    let (dir, step) = (folder(training), trained.state.step());
    let temporary = dir.join(format!(".{step}.partial"));
    fs::create_dir_all(&temporary).map_err(Error::io(&temporary))?;
    let failed = |e: burn::record::RecorderError| Error::Io {
        path: temporary.clone(),
        source: std::io::Error::other(e.to_string()),
    };
    let file = File::new();
    trained.model.clone().save_file(temporary.join("model"), &file).map_err(failed)?;
    trained.average.clone().save_file(temporary.join("average"), &file).map_err(failed)?;
    Recorder::<B>::record(&file, trained.optimizer.to_record(), temporary.join("optimizer"))
        .map_err(failed)?;
    let path = temporary.join("state.json");
    let text =
        serde_json::to_string_pretty(&trained.state).map_err(|e| Error::model(&path, e.to_string()))?;
    fs::write(&path, text).map_err(Error::io(&path))?;
    for entry in fs::read_dir(&temporary).map_err(Error::io(&temporary))? {
        let path = entry.map_err(Error::io(&temporary))?.path();
        fs::File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path))?;
    }
    let path = dir.join(step.to_string());
    if path.exists() {
        fs::remove_dir_all(&path).map_err(Error::io(&path))?;
    }
    fs::rename(&temporary, &path).map_err(Error::io(&path))?;
    fs::File::open(&dir).and_then(|dir| dir.sync_all()).map_err(Error::io(&dir))?;
    let found = all(training)?;
    for (_, old) in &found[..found.len().saturating_sub(N_KEPT)] {
        fs::remove_dir_all(old).map_err(Error::io(old))?;
    }
    Ok(())
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
    let file = File::new();
    let optimizer = Recorder::<B>::load(&file, checkpoint.join("optimizer"), device).map_err(failed)?;
    Ok(Trained {
        model: fresh.model.load_file(checkpoint.join("model"), &file, device).map_err(failed)?,
        average: average::<B::InnerBackend, _>(checkpoint, fresh.average, device)?,
        optimizer: fresh.optimizer.load_record(optimizer),
        state: state(checkpoint)?,
    })
}

/// Reads the averaged weights alone.
///
/// # Errors
/// [`Error::BadModel`] when the file is missing or broken.
pub fn average<B: Backend, M: Module<B>>(checkpoint: &Path, fresh: M, device: &B::Device) -> Result<M> {
    fresh
        .load_file(checkpoint.join("average"), &File::new(), device)
        .map_err(|e| Error::model(checkpoint.join("average.mpk"), e.to_string()))
}
