//! What a swap reads and writes beside its input and output: checked before anything is read, since what is written over is
//! gone, and a night's work is too late to tell.

use std::path::{Path, PathBuf};

use crate::{
    Error, Result, cli,
    settings::{apart, free_output, replaceable},
    video::{self, Pattern},
};

/// Checks that no file of the run takes the place of another one. `pairs` are its inputs and their outputs.
///
/// # Errors
/// [`Error::BadSetting`] with the option whose file it is.
pub(super) fn check(args: &cli::SwapArgs, pairs: &[(PathBuf, PathBuf)]) -> Result<()> {
    let of_map = args.who.map.iter().filter_map(|pair| Some(Path::new(pair.rsplit_once('=')?.0)));
    let read = args.who.reference.iter().chain(&args.blend.occlusion_network).map(PathBuf::as_path);
    let read: Vec<&Path> = read.chain(of_map.filter(|path| path.is_file())).collect();
    for (_, output) in pairs {
        apart("--output", output, read.iter().copied())?;
    }
    let sources = pairs.iter().flat_map(|(input, output)| [&**input, &**output]);
    let taken = || sources.clone().chain(read.iter().copied());
    if let Some(path) = &args.report {
        apart("--report", path, taken())?;
        if !args.overwrite {
            let reason = "exists and is no report; give --overwrite or another name";
            replaceable("--report", path, b"{", reason)?;
        }
    }
    if let Some(path) = &args.debug_overlay {
        apart("--debug-overlay", path, taken().chain(args.report.as_deref()))?;
        let is_picture = pairs.iter().any(|(input, _)| video::is_picture(input));
        if Pattern::parse(path).is_some() && !is_picture {
            let reason = "is a video; numbered pictures aren't written here";
            return Err(Error::setting("--debug-overlay", path.display(), reason));
        }
        free_output(path, args.overwrite)?;
    }
    Ok(())
}
