//! What each job of the command line may reach, before it reads what strangers made.

use std::path::{Path, PathBuf};

use crate::{
    Error, Result, cli,
    nn::{Provider, Runtime},
    sandbox::Sandbox,
    settings::{model_dirs, names_folder},
    video::{DecodeSettings, Pattern},
};

/// This program, whatever became of its file since it was started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Takes from this thread, and so from all that it starts, what the swap doesn't need.
///
/// # Errors
/// [`Error::Device`] when the kernel has the means and refuses them.
pub(super) fn enter_for_swap(args: &cli::SwapArgs, runtime: Option<&Runtime>) -> Result<()> {
    let who = args.who.map.iter().filter_map(|pair| Some(pair.rsplit_once('=')?.0));
    let identities = args.who.map.iter().filter_map(|pair| Some(pair.rsplit_once('=')?.1));
    let named = args.identity.as_deref().into_iter().chain(identities).chain(who).map(PathBuf::from);
    let mut sandbox = args.input.iter().fold(Sandbox::default(), |sandbox, input| reading(sandbox, input));
    for path in args.who.reference.iter().chain(&args.blend.occlusion_network).cloned().chain(named) {
        // Names of identities and choices of faces are no paths, and are left out as such.
        sandbox = sandbox.reading(path);
    }
    for dir in model_dirs(args.models.models.as_deref()) {
        // Identities may be linked in from elsewhere; whoever may write there is the user.
        sandbox =
            linked_from(&dir).chain(linked_from(&dir.join("identities"))).fold(sandbox, Sandbox::reading);
        sandbox = sandbox.reading(dir);
    }
    if args.follow_symlinks {
        sandbox = args.input.iter().flat_map(|input| linked_from(input)).fold(sandbox, Sandbox::reading);
    }
    sandbox = match (args.output.as_deref(), &args.input[..]) {
        (Some(file), [input]) if !names_folder(file) && !input.is_dir() => sandbox.writing(file),
        (Some(folder), _) => sandbox.writing_in(folder),
        // Beside the input, whatever way leads there.
        (None, [folder]) if folder.is_dir() => {
            sandbox.writing(&folder.canonicalize().unwrap_or_else(|_| folder.clone()))
        }
        (None, inputs) => inputs.iter().fold(sandbox, |sandbox, input| sandbox.writing(input)),
    };
    for file in args.report.iter().chain(&args.debug_overlay) {
        sandbox = sandbox.writing(file);
    }
    enter(sandbox, &args.runtime, runtime)
}

/// The same for a job that reads `inputs` and writes `outputs`, files or folders.
///
/// # Errors
/// As [`enter_for_swap`].
pub(super) fn enter_for<'a>(
    inputs: impl IntoIterator<Item = &'a PathBuf>,
    outputs: impl IntoIterator<Item = &'a PathBuf>,
    args: &cli::RuntimeArgs,
    runtime: &Runtime,
) -> Result<()> {
    let sandbox = inputs.into_iter().fold(Sandbox::default(), |sandbox, path| reading(sandbox, path));
    let sandbox = outputs.into_iter().fold(sandbox, |sandbox, path| {
        if path.is_dir() { sandbox.writing_in(path) } else { sandbox.writing(path) }
    });
    enter(sandbox, args, Some(runtime))
}

/// What the symbolic links in a folder lead to.
fn linked_from(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_symlink())
        .filter_map(|path| path.canonicalize().ok())
}

fn reading(sandbox: Sandbox, input: &Path) -> Sandbox {
    match Pattern::parse(input) {
        Some(pattern) => sandbox.reading(pattern.folder()),
        None => sandbox.reading(input),
    }
}

/// How videos are read: in a process of its own where there is a sandbox.
pub(super) fn decode_settings(args: &cli::RuntimeArgs) -> DecodeSettings {
    DecodeSettings { program: (!args.no_sandbox).then(|| THIS_PROGRAM.into()), ..DecodeSettings::default() }
}

fn enter(mut sandbox: Sandbox, args: &cli::RuntimeArgs, runtime: Option<&Runtime>) -> Result<()> {
    if args.no_sandbox {
        return Ok(());
    }
    sandbox = sandbox.starting(Path::new(THIS_PROGRAM));
    if let Some(runtime) = runtime {
        // Its providers are libraries of their own beside it.
        sandbox = runtime.dylib().parent().into_iter().fold(sandbox, Sandbox::reading);
        if runtime.provider() != Provider::Cpu {
            sandbox = sandbox.with_gpu();
        }
    }
    let refused =
        |e| Error::Device(format!("the sandbox can't be entered ({e}); --no-sandbox goes on without"));
    sandbox.enter().map(drop).map_err(refused)
}
