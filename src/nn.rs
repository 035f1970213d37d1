//! Neural networks through ONNX Runtime; the only module that names `ort`.
//!
//! The library is loaded at run time, so that one program serves the CPU and the GPU builds of it. A [`Runtime`] is
//! the loaded library with its settings, a [`Network`] is one session in it.

mod locate;

use std::{
    error::Error as _,
    ffi::CStr,
    fmt,
    path::{Path, PathBuf},
    ptr,
    sync::{Mutex, PoisonError},
};

use ndarray::{ArrayD, ArrayViewD};
use ort::{
    ErrorCode, LoadDynamicError,
    environment::Environment,
    ep::ExecutionProviderDispatch,
    ortsys,
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};

use crate::{Error, Result};

/// Where networks are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The processor; always there.
    Cpu,
    /// NVIDIA GPUs through CUDA and cuDNN.
    Cuda,
    /// NVIDIA GPUs through TensorRT. Fastest, but it compiles every network for minutes on first use.
    TensorRt,
}

impl Provider {
    /// The provider of that [`name`](Self::name).
    ///
    /// # Errors
    /// [`Error::BadSetting`] for any other name.
    pub fn by_name(name: &str) -> Result<Self> {
        [Self::Cpu, Self::Cuda, Self::TensorRt]
            .into_iter()
            .find(|provider| provider.name() == name)
            .ok_or_else(|| {
                Error::setting("--execution-providers", name, "the choices are cpu, cuda and tensorrt")
            })
    }

    /// The name that users type: `cpu`, `cuda` or `tensorrt`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// The name that ONNX Runtime uses.
    fn ort_name(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::TensorRt => "TensorrtExecutionProvider",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How to load and run ONNX Runtime.
#[derive(Debug, Clone, Default)]
pub struct RuntimeSettings {
    /// Providers in the order of preference, each of which must work. Empty: CUDA where it works, else the CPU.
    pub providers: Vec<Provider>,
    /// The library's file, or the folder that holds it. `None`: searched for, see [`Runtime::load`].
    pub dylib: Option<PathBuf>,
    /// Threads inside one operator; 0 is ONNX Runtime's choice, one per core.
    pub threads: usize,
}

/// The loaded library. Cheap to clone; every clone is the same library.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    dylib: PathBuf,
    providers: Vec<Provider>,
    threads: usize,
}

/// ONNX Runtime allows one library and one environment per process, and `ort` can't make a second one even after the
/// first is gone; so the first stays. This is the one global of the crate, and it only ever goes from `None` to `Some`.
static LOADED: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

impl Runtime {
    /// Loads the library once per process and checks that a provider works by running a network of one node on it.
    ///
    /// The library is looked for in: the setting or `ORT_DYLIB_PATH` (if one of them is given, nowhere else); the
    /// executable's folder and `../lib`; `vendor/onnxruntime` of the repository; `faceswap/ort` in the user's data
    /// folder; the active Python environment; the system's library path.
    ///
    /// # Errors
    /// [`Error::Device`] when no library can be loaded (with every place that was tried and the way to install it),
    /// when a provider asked for by name does not work, or when another library is loaded already.
    pub fn load(settings: &RuntimeSettings) -> Result<Self> {
        let (environment, dylib) = environment(settings.dylib.as_deref())?;
        let mut runtime = Self { environment, dylib, providers: Vec::new(), threads: settings.threads };
        if settings.providers.is_empty() {
            // TensorRT is never a silent default: it compiles for minutes.
            let works = |provider: &Provider| runtime.check(*provider).is_ok();
            runtime.providers = vec![[Provider::Cuda].into_iter().find(works).unwrap_or(Provider::Cpu)];
        } else {
            settings.providers.iter().try_for_each(|provider| runtime.check(*provider))?;
            runtime.providers.clone_from(&settings.providers);
        }
        Ok(runtime)
    }

    /// The provider that computes what it can; the CPU does the rest.
    pub fn provider(&self) -> Provider {
        self.providers[0]
    }

    /// Sessions of one network that are worth having where `n_workers` threads could use one each. A GPU computes one after
    /// the other in any case, and plans every convolution anew for each session: on an H100, eight detectors and eight
    /// maskers were ready after 40 s.
    pub fn n_sessions(&self, n_workers: usize) -> usize {
        if self.provider() == Provider::Cpu { n_workers.max(1) } else { 1 }
    }

    /// The library that was loaded.
    pub fn dylib(&self) -> &Path {
        &self.dylib
    }

    /// The library's version: `1.31.1` where its file name tells, else `1.31`.
    pub fn version(&self) -> String {
        let real = self.dylib.canonicalize().unwrap_or_else(|_| self.dylib.clone());
        let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.split_once(".so.") {
            Some((_, version)) if version.contains('.') => version.into(),
            _ => ort::util::probe(&self.dylib).map_or_else(|| "unknown".into(), |minor| format!("1.{minor}")),
        }
    }

    /// The execution providers that the library was built with, by ONNX Runtime's names. A GPU provider in this list
    /// may still lack its driver or libraries.
    pub fn available(&self) -> Vec<String> {
        available().unwrap_or_default()
    }

    /// A session for the network in `bytes` (an ONNX file). `name` stands in error messages.
    ///
    /// # Errors
    /// [`Error::BadModel`] when the bytes are no network that this library can run, [`Error::Device`] when the
    /// device fails, for example for want of memory.
    pub fn network(&self, name: &str, bytes: &[u8]) -> Result<Network> {
        let session = self.session(&self.providers, bytes).map_err(|e| match e.code() {
            ErrorCode::ExecutionProviderFailure | ErrorCode::EngineError | ErrorCode::DeviceReset => {
                device_error(name, &e)
            }
            _ if is_out_of_memory(e.message()) => device_error(name, &e),
            _ => Error::model(name, format!("not a network that ONNX Runtime can load: {}", e.message())),
        })?;
        let inputs =
            session.inputs().iter().map(|outlet| tensor_info(name, outlet)).collect::<Result<_>>()?;
        let outputs =
            session.outputs().iter().map(|outlet| tensor_info(name, outlet)).collect::<Result<_>>()?;
        Ok(Network { name: name.into(), session, inputs, outputs })
    }

    fn session(&self, providers: &[Provider], bytes: &[u8]) -> ort::Result<Session> {
        let mut builder = Session::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            // Threads that spin while they wait burn 30 to 50 % of a pipeline's CPU time.
            .with_intra_op_spinning(false)?;
        for provider in providers.iter().filter_map(|provider| dispatch(*provider)) {
            builder = builder.with_execution_providers([provider.error_on_failure()])?;
        }
        builder.commit_from_memory(bytes)
    }

    /// Runs a network of one node on `provider`.
    fn check(&self, provider: Provider) -> Result<()> {
        if provider == Provider::Cpu {
            return Ok(());
        }
        let feature = provider.name();
        if dispatch(provider).is_none() {
            return Err(Error::Device(format!(
                "{provider} was asked for, but this program was built without it: build with --features {feature}"
            )));
        }
        let available = self.available();
        if !available.iter().any(|name| name == provider.ort_name()) {
            return Err(Error::Device(format!(
                "{provider} was asked for, but {} was built without it (it has {}): install the GPU build, \
                 onnxruntime-gpu, of ONNX Runtime",
                self.dylib.display(),
                available.join(", ")
            )));
        }
        let run = || -> ort::Result<()> {
            let mut session = self.session(&[provider], ONE_NODE)?;
            session.run(ort::inputs!["x" => TensorRef::from_array_view(([1_usize], &[1.0_f32][..]))?])?;
            Ok(())
        };
        run().map_err(|e| {
            Error::Device(format!(
                "{provider} was asked for, but it does not work: {} (are the driver, and the libraries that this \
                 build of ONNX Runtime wants, on the library path?)",
                e.message()
            ))
        })
    }
}

/// An ONNX file with one node, y = relu(x), for x of shape [1].
const ONE_NODE: &[u8] =
    b"\x08\x08:3\n\x0c\n\x01x\x12\x01y\"\x04Relu\x12\x01pZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\
    \x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x10";

/// The process's environment: the one that is loaded, or a new one.
fn environment(setting: Option<&Path>) -> Result<(Environment, PathBuf)> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((environment, dylib)) = &*loaded {
        return match setting {
            Some(other) if !locate::is_same(other, dylib) => Err(Error::Device(format!(
                "{} was asked for, but this process runs {}, and ONNX Runtime can be loaded only once",
                other.display(),
                dylib.display()
            ))),
            _ => Ok((environment.clone(), dylib.clone())),
        };
    }
    let mut tried = Vec::new();
    for candidate in locate::candidates(setting) {
        let failure = match candidate {
            locate::Candidate::Missing(place) => format!("{}: not there", place.display()),
            locate::Candidate::Library(path) => match ort::init_from(&path) {
                Ok(builder) => {
                    let environment = builder
                        .with_name("faceswap")
                        .with_telemetry(false)
                        .build()
                        .map_err(|e| Error::Device(format!("{}: {}", path.display(), e.message())))?;
                    *loaded = Some((environment.clone(), path.clone()));
                    return Ok((environment, path));
                }
                Err(e) => format!("{}: {}", path.display(), why_not_loaded(&e)),
            },
        };
        tried.push(failure);
    }
    Err(Error::Device(format!(
        "ONNX Runtime 1.{} or newer was not found. Tried:\n  {}\nTo install it: {}",
        ort::MINOR_VERSION,
        tried.join("\n  "),
        locate::INSTALL
    )))
}

fn why_not_loaded(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => {
            // What the system's loader said hides one step down.
            error.source().map_or_else(|| error.to_string(), ToString::to_string)
        }
        LoadDynamicError::MissingApi { .. } => "is a library, but not ONNX Runtime".into(),
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("is version {version_str}, which is too old")
        }
        LoadDynamicError::InvalidVersionString => error.to_string(),
    }
}

fn available() -> ort::Result<Vec<String>> {
    let (mut names, mut n_names) = (ptr::null_mut(), 0);
    ortsys![unsafe GetAvailableProviders(&raw mut names, &raw mut n_names)?];
    // SAFETY: ONNX Runtime gave `n_names` NUL-terminated strings, which live until the release below.
    let list = (0..n_names as usize)
        .map(|i| unsafe { CStr::from_ptr(*names.add(i)) }.to_string_lossy().into_owned())
        .collect();
    ortsys![unsafe ReleaseAvailableProviders(names, n_names)?];
    Ok(list)
}

/// What registers a provider with a session; `None` for the CPU, which is always there, and for what this program was
/// built without.
fn dispatch(provider: Provider) -> Option<ExecutionProviderDispatch> {
    match provider {
        Provider::Cpu => None,
        #[cfg(feature = "cuda")]
        // The default search times every algorithm for every new batch size; the heuristic starts at once.
        Provider::Cuda => Some(
            ort::ep::CUDA::default()
                .with_conv_algorithm_search(ort::ep::cuda::ConvAlgorithmSearch::Heuristic)
                .build(),
        ),
        #[cfg(feature = "tensorrt")]
        Provider::TensorRt => Some(ort::ep::TensorRT::default().build()),
        #[allow(unreachable_patterns, reason = "reachable without the features above")]
        _ => None,
    }
}

/// An input or output of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// The length of every axis, `None` where any length will do.
    pub shape: Vec<Option<usize>>,
}

impl TensorInfo {
    fn admits(&self, shape: &[usize]) -> bool {
        self.shape.len() == shape.len()
            && self
                .shape
                .iter()
                .zip(shape)
                .all(|(want, have)| *have > 0 && want.is_none_or(|want| want == *have))
    }
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes = self.shape.iter().map(|n| n.map_or_else(|| "any".into(), |n| n.to_string()));
        write!(f, "{} [{}]", self.name, axes.collect::<Vec<_>>().join(", "))
    }
}

fn tensor_info(network: &str, outlet: &Outlet) -> Result<TensorInfo> {
    match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => {
            let shape = shape.iter().map(|n| usize::try_from(*n).ok()).collect();
            Ok(TensorInfo { name: outlet.name().into(), shape })
        }
        other => {
            let reason =
                format!("{} is {other:?}; inputs and outputs must be 32-bit float tensors", outlet.name());
            Err(Error::model(network, reason))
        }
    }
}

/// One network, ready to run. It belongs to one stage: running takes `&mut`.
pub struct Network {
    name: String,
    session: Session,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("name", &self.name)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// The inputs in the graph's order.
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// The outputs in the graph's order.
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// Computes all outputs, in the graph's order, from named inputs.
    ///
    /// # Shapes
    /// As in [`Network::inputs`]; an axis without a fixed length, such as the batch, may have any length but 0.
    ///
    /// # Errors
    /// [`Error::BadModel`] when a name or a shape is not what the network takes, [`Error::Device`] when the device
    /// fails, for example for want of memory.
    pub fn run(&mut self, inputs: &[(&str, ArrayViewD<'_, f32>)]) -> Result<Vec<ArrayD<f32>>> {
        self.check(inputs)?;
        let arrays: Vec<_> = inputs.iter().map(|(name, array)| (*name, array.as_standard_layout())).collect();
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(arrays.len());
        for (name, array) in &arrays {
            let tensor =
                TensorRef::from_array_view(array.view()).map_err(|e| device_error(&self.name, &e))?;
            values.push((name, tensor.into()));
        }
        let outputs = self.session.run(values).map_err(|e| device_error(&self.name, &e))?;
        let copy =
            |value: &ort::value::DynValue| value.try_extract_array::<f32>().map(|array| array.to_owned());
        (0..outputs.len()).map(|i| copy(&outputs[i]).map_err(|e| device_error(&self.name, &e))).collect()
    }

    fn check(&self, inputs: &[(&str, ArrayViewD<'_, f32>)]) -> Result<()> {
        let fits = self.inputs.len() == inputs.len()
            && self.inputs.iter().all(|info| {
                inputs.iter().any(|(name, array)| *name == info.name && info.admits(array.shape()))
            });
        if fits {
            return Ok(());
        }
        let want: Vec<_> = self.inputs.iter().map(ToString::to_string).collect();
        let have: Vec<_> = inputs.iter().map(|(name, array)| format!("{name} {:?}", array.shape())).collect();
        let reason = format!("takes the inputs {}, was given {}", want.join(", "), have.join(", "));
        Err(Error::model(&self.name, reason))
    }
}

fn is_out_of_memory(message: &str) -> bool {
    ["Failed to allocate", "out of memory", "bad_alloc", "BFCArena"].iter().any(|part| message.contains(part))
}

fn device_error(network: &str, error: &ort::Error) -> Error {
    let message = error.message();
    if is_out_of_memory(message) {
        return Error::Device(format!(
            "{network}: out of memory; take a smaller batch or close other programs ({message})"
        ));
    }
    Error::Device(format!("{network}: ONNX Runtime failed: {message}"))
}

#[cfg(test)]
mod tests;
