//! The composites that are scored beside the output.

use std::path::{Path, PathBuf};

use super::EvalSettings;
use crate::{
    Error, Result,
    batch::{MediaFiles, files_of},
    blend::{BlendMode, BlendSettings, ColorTransfer, GradeSettings},
    progress::Watch,
};

/// The network's faces cut out and pasted.
pub(super) const HARD_PASTE: &str = "hard paste";
/// One soft edge.
pub(super) const FEATHER: &str = "feather";

/// A way to put the new faces into the picture.
#[derive(Debug, Clone)]
pub(super) struct Composite {
    pub(super) name: String,
    pub(super) blend: BlendSettings,
    pub(super) grade: GradeSettings,
    /// Whether it is one of the strategies that were asked for.
    pub(super) is_listed: bool,
}

/// All that are scored; the first is the swap itself. Without new faces there is nothing else to make.
pub(super) fn all(settings: &EvalSettings, has_faces: bool) -> Vec<Composite> {
    let composite = |name: &str, mode, grade: &GradeSettings, is_listed| Composite {
        name: name.into(),
        blend: BlendSettings { mode, ..settings.blend.clone() },
        grade: grade.clone(),
        is_listed,
    };
    let mut all = vec![composite("the swap", settings.blend.mode, &settings.grade, false)];
    if !has_faces {
        return all;
    }
    let plain =
        GradeSettings { transfer: ColorTransfer::None, match_contrast: false, ..settings.grade.clone() };
    all.push(composite(HARD_PASTE, BlendMode::Paste, &plain, false));
    all.push(composite(FEATHER, BlendMode::Feather, &plain, false));
    if !settings.all_strategies {
        return all;
    }
    all.push(composite("poisson", BlendMode::Poisson, &plain, true));
    let mut add = |name: &str, n_small: usize, grade: &GradeSettings, match_detail: bool| {
        let mut composite = composite(name, BlendMode::MultiBand, grade, true);
        composite.blend.small_bands_from_target = n_small;
        composite.blend.match_detail = match_detail;
        all.push(composite);
    };
    for n_small in 0..3 {
        add(&format!("multiband, {n_small} bands of the target"), n_small, &plain, false);
    }
    let contrast = GradeSettings { match_contrast: true, ..plain.clone() };
    add("multiband + detail", 0, &plain, true);
    add("multiband + detail + contrast", 0, &contrast, true);
    for (name, transfer) in [
        ("mean", ColorTransfer::Mean),
        ("reinhard", ColorTransfer::Reinhard),
        ("mkl", ColorTransfer::Mkl),
        ("sot", ColorTransfer::Sot),
    ] {
        let grade = GradeSettings { transfer, ..contrast.clone() };
        add(&format!("multiband + detail + contrast + {name}"), 0, &grade, true);
    }
    all
}

/// A file, or the files of a folder in the order of their names; links are left out, since whoever fills the folder shouldn't
/// choose files elsewhere, and the sandbox doesn't let them be read.
pub(super) fn footage(path: &Path, watch: &Watch<'_>) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let is_footage = |_: &Path, ending: &str| !["json", "jsonl", "toml", "txt"].contains(&ending);
    let MediaFiles { files, n_links } = files_of(path, false, is_footage)?;
    watch.links_left_out(path, n_links);
    if files.is_empty() {
        return Err(Error::input(path, "is a folder without files"));
    }
    Ok(files)
}
