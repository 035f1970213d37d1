//! What was meant: settings that are checked and resolved. Every error names the value and the way out.

mod outputs;

pub use outputs::{apart, free_output, names_folder, output_in, output_path, replaceable};

use std::path::{Path, PathBuf};

use crate::{
    Error, Result,
    blend::{BlendSettings, GradeSettings},
    face::{AnalysisSettings, MaskSettings},
    resume::Resume,
    swap::GazeOf,
    video::{DecodeSettings, EncodeSettings, Pattern, SourceSettings},
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

    /// Frames of a segment of `output`: each of numbered pictures is a file of its own, so that short ones cost nothing.
    pub fn segment_frames_of(&self, output: &Path) -> u64 {
        const OF_PICTURES: u64 = 25;
        if Pattern::parse(output).is_some() {
            self.segment_frames.min(OF_PICTURES)
        } else {
            self.segment_frames
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_name_the_range() {
        let told = checked("--batch", 0, 1..=64).expect_err("0 is too few").to_string();
        assert_eq!(told, "--batch = 0: must be 1 to 64");
        assert!(checked_f64("--face-mask-blur", f64::NAN, 0.0..=0.5).is_err());
    }
}
