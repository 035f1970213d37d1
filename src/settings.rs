//! What was meant: settings that are checked and resolved. Every error names the value and the way out.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use crate::{
    Error, Result,
    blend::{BlendSettings, GradeSettings},
    face::{AnalysisSettings, MaskSettings},
    resume::Resume,
    swap::GazeOf,
    video::{self, DecodeSettings, EncodeSettings, Pattern, SourceSettings},
};

/// Everything that a swap needs to know beside its files and its identity.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SwapSettings {
    /// How the input is read.
    pub decode: DecodeSettings,
    /// What becomes of its frames before anything else.
    pub source: SourceSettings,
    /// How faces are found and followed.
    pub faces: AnalysisSettings,
    /// Faces that the network takes at once, of one frame or of several; at least 1.
    pub batch: usize,
    /// Where new eyes look.
    pub gaze: GazeOf,
    /// What limits the place of a new face.
    pub masks: MaskSettings,
    /// How new faces are brought to the target's colours and contrast.
    pub grade: GradeSettings,
    /// How new faces are put into the picture.
    pub blend: BlendSettings,
    /// How the output is written.
    pub encode: EncodeSettings,
    /// Frames of a segment, which is what an interruption can cost at most; at least 1.
    pub segment_frames: u64,
    /// What becomes of the work of an interrupted run.
    pub resume: Resume,
    /// Threads for each of the stages without memory (detect, blend); at least 1.
    pub n_workers: usize,
}

impl SwapSettings {
    /// The defaults for a machine with `n_threads` hardware threads.
    pub fn for_threads(n_threads: usize) -> Self {
        Self {
            decode: DecodeSettings::default(),
            source: SourceSettings::default(),
            faces: AnalysisSettings::default(),
            batch: 4,
            gaze: GazeOf::default(),
            masks: MaskSettings::default(),
            grade: GradeSettings::default(),
            blend: BlendSettings::default(),
            encode: EncodeSettings::default(),
            segment_frames: 250,
            resume: Resume::default(),
            n_workers: n_threads.div_ceil(2).clamp(1, 8),
        }
    }
}

/// Hardware threads of this machine, 1 when nobody knows.
pub fn n_hardware_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `value` as a whole number in `range`.
///
/// # Errors
/// [`Error::BadSetting`] with the range.
pub fn checked(name: &str, value: usize, range: std::ops::RangeInclusive<usize>) -> Result<usize> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Error::setting(name, value, format!("must be {} to {}", range.start(), range.end())))
}

/// `value` as a number in `range`.
///
/// # Errors
/// [`Error::BadSetting`] with the range; not-a-number is in no range.
pub fn checked_f64(name: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<f64> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Error::setting(name, value, format!("must be {} to {}", range.start(), range.end())))
}

/// Folders in which identities are looked for, in this order: `given`, `$XDG_DATA_HOME/faceswap/models`
/// (default `~/.local/share`), `models` beside the executable, `models` of the repository it was built in.
/// A folder's identities are its sub-folders, or those of its `identities`.
pub fn model_dirs(given: Option<&Path>) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = given.map(Path::to_path_buf).into_iter().collect();
    let data_home = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    dirs.extend(data_home.or(home).map(|dir| dir.join("faceswap/models")));
    if let Ok(exe) = std::env::current_exe() {
        // target/release/faceswap lies three folders below the repository.
        dirs.extend(exe.ancestors().skip(1).take(4).map(|dir| dir.join("models")).filter(|dir| dir.is_dir()));
    }
    dirs.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
    let mut seen = Vec::new();
    dirs.retain(|dir| {
        let real = dir.canonicalize().unwrap_or_else(|_| dir.clone());
        let new = !seen.contains(&real);
        seen.push(real);
        new
    });
    dirs
}

/// Where the swap of `input` goes: `output` if given (a folder keeps the name), else `NAME_IDENTITY.EXT` beside it. A
/// container that isn't written becomes Matroska: `clip.mpg` gives `clip_B.mkv`, and `clip.mpg.mkv` in a folder.
///
/// # Errors
/// [`Error::BadSetting`] when the output is the input; [`Error::Io`] through [`free_output`].
pub fn output_path(input: &Path, output: Option<&Path>, identity: &str, overwrite: bool) -> Result<PathBuf> {
    let path = match output {
        Some(dir) if dir.is_dir() => output_in(dir, input),
        Some(path) => path.to_path_buf(),
        None => {
            let mut name = input.file_stem().map(OsString::from).unwrap_or_default();
            name.push(format!("_{identity}"));
            if let Some(extension) = other_ending(input).map(OsStr::new).or(input.extension()) {
                name.push(".");
                name.push(extension);
            }
            input.with_file_name(name)
        }
    };
    if video::same_file(input, &path) {
        return Err(Error::setting("--output", path.display(), "is the input itself; give another name"));
    }
    free_output(&path, overwrite)?;
    Ok(path)
}

/// Where the swap of `input` goes in the folder `dir`: to its own name, with `.mkv` behind it where its container isn't
/// written, so that no two files get the same.
pub fn output_in(dir: &Path, input: &Path) -> PathBuf {
    let mut name = input.file_name().unwrap_or(input.as_os_str()).to_os_string();
    if let Some(ending) = other_ending(input) {
        name.push(".");
        name.push(ending);
    }
    dir.join(name)
}

fn other_ending(input: &Path) -> Option<&'static str> {
    if video::is_picture(input) { None } else { video::ending_in_place_of_its_own(input) }
}

/// Checks that a file may be written at `path`.
///
/// # Errors
/// [`Error::BadSetting`] when it exists and may not be overwritten, is a folder, or lies in no folder.
pub fn free_output(path: &Path, overwrite: bool) -> Result<()> {
    if path.is_dir() {
        return Err(Error::setting("--output", path.display(), "is a folder; give a file name"));
    }
    if path.symlink_metadata().is_ok() && !overwrite {
        return Err(Error::setting("--output", path.display(), "exists; give --overwrite or another name"));
    }
    if let Some(pattern) = Pattern::parse(path) {
        if pattern.numbers().is_ok() && !overwrite {
            let reason = "has pictures already; give --overwrite or another name";
            return Err(Error::setting("--output", path.display(), reason));
        }
        // The folder of numbered pictures is made when it is missing.
        return Ok(());
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !dir.is_dir() {
        return Err(Error::setting(
            "--output",
            path.display(),
            format!("the folder {} is missing", dir.display()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_output_lies_beside_the_input() {
        let path =
            output_path(Path::new("/tmp/a clip.mp4"), None, "B", false).expect("nothing is in the way");
        assert_eq!(path, Path::new("/tmp/a clip_B.mp4"));
    }

    #[test]
    fn what_no_muxer_writes_becomes_matroska() {
        let beside =
            |name: &str| output_path(Path::new(name), None, "B", false).expect("nothing is in the way");
        for name in [
            "/tmp/x.mpg",
            "/tmp/x.MPEG",
            "/tmp/x.vob",
            "/tmp/x.MOD",
            "/tmp/x.dv",
            "/tmp/x.m2v",
            "/tmp/x.rm",
            "/tmp/x",
        ] {
            assert_eq!(beside(name), Path::new("/tmp/x_B.mkv"), "{name}");
        }
        for ending in [
            "mp4", "MOV", "mkv", "webm", "avi", "ts", "mxf", "wmv", "flv", "gif", "png", "exr", "webp",
            "heic",
        ] {
            assert_eq!(beside(&format!("/tmp/x.{ending}")), PathBuf::from(format!("/tmp/x_B.{ending}")));
        }
        assert_eq!(output_in(Path::new("/tmp/out"), Path::new("a/x.mpg")), Path::new("/tmp/out/x.mpg.mkv"));
        assert_eq!(output_in(Path::new("/tmp/out"), Path::new("a/x.mp4")), Path::new("/tmp/out/x.mp4"));
    }

    #[test]
    fn an_existing_output_and_the_input_itself_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (input, output) = (dir.path().join("in.mp4"), dir.path().join("out.mp4"));
        std::fs::write(&input, b"1").expect("written");
        std::fs::write(&output, b"2").expect("written");
        let told = |r: Result<PathBuf>| r.expect_err("refused").to_string();
        assert!(told(output_path(&input, Some(&output), "B", false)).contains("--overwrite"));
        assert!(output_path(&input, Some(&output), "B", true).is_ok());
        assert!(told(output_path(&input, Some(&input), "B", true)).contains("is the input itself"));
        assert!(
            told(output_path(&input, Some(&dir.path().join("no/out.mp4")), "B", false)).contains("missing")
        );
    }

    #[test]
    fn numbers_out_of_range_name_the_range() {
        let told = checked("--batch", 0, 1..=64).expect_err("0 is too few").to_string();
        assert_eq!(told, "--batch = 0: must be 1 to 64");
        assert!(checked_f64("--face-mask-blur", f64::NAN, 0.0..=0.5).is_err());
    }
}
