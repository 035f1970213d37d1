//! Where ONNX Runtime's library may lie.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The command that installs the library where it will be found.
pub const INSTALL: &str = "pip download --no-deps --only-binary=:all: onnxruntime==1.31.1 && unzip -jo \
    onnxruntime-1.31.1-*.whl 'onnxruntime/capi/libonnxruntime.so*' -d ~/.local/share/faceswap/ort";

/// A place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    /// A file, or a bare name for the system's loader.
    Library(PathBuf),
    /// A file that is not there, or a folder without the library.
    Missing(PathBuf),
}

/// Whether `setting` (a file or a folder) means the library at `dylib`.
pub fn is_same(setting: &Path, dylib: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    real(setting) == real(dylib) || dylib.parent().is_some_and(|folder| real(folder) == real(setting))
}

/// All candidates in the order of preference. Who says where the library lies, gets that one or none.
pub fn candidates(setting: Option<&Path>) -> Vec<Candidate> {
    let named = setting.map(Path::to_path_buf).or_else(|| variable("ORT_DYLIB_PATH"));
    if let Some(path) = named {
        return if path.is_dir() {
            in_folder(&path)
        } else if path.exists() || path.components().count() == 1 {
            vec![Candidate::Library(path)]
        } else {
            vec![Candidate::Missing(path)]
        };
    }
    let mut list: Vec<Candidate> = folders().iter().flat_map(|folder| in_folder(folder)).collect();
    list.extend(NAMES.iter().map(|name| Candidate::Library(name.into())));
    list
}

/// Names for the system's loader.
#[cfg(target_os = "windows")]
const NAMES: [&str; 1] = ["onnxruntime.dll"];
/// Names for the system's loader.
#[cfg(target_os = "macos")]
const NAMES: [&str; 1] = ["libonnxruntime.dylib"];
/// Names for the system's loader.
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const NAMES: [&str; 2] = ["libonnxruntime.so", "libonnxruntime.so.1"];

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let executable = env::current_exe().ok().map(|path| path.canonicalize().unwrap_or(path));
    if let Some(folder) = executable.as_deref().and_then(Path::parent) {
        folders.push(folder.to_path_buf());
        folders.push(folder.join("../lib"));
        // A program under `target/` belongs to the repository above it.
        folders
            .extend(folder.ancestors().skip(1).map(|a| a.join("vendor/onnxruntime")).filter(|v| v.is_dir()));
    }
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/onnxruntime"));
    if let Some(data) =
        variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")))
    {
        folders.push(data.join("faceswap/ort"));
    }
    if let Some(python) = variable("VIRTUAL_ENV") {
        let versions = fs::read_dir(python.join("lib")).into_iter().flatten().flatten();
        let mut packages: Vec<_> =
            versions.map(|entry| entry.path().join("site-packages/onnxruntime/capi")).collect();
        packages.retain(|folder| folder.is_dir());
        packages.sort();
        folders.extend(packages);
    }
    let mut seen = Vec::new();
    folders.retain(|folder| {
        let is_new = !seen.contains(folder);
        seen.push(folder.clone());
        is_new
    });
    folders
}

/// The libraries in a folder or in its `lib`: the plain name first, then the highest version.
fn in_folder(folder: &Path) -> Vec<Candidate> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = Vec::new();
    for place in [folder.to_path_buf(), folder.join("lib")] {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            if let Some(version) = version_of(&entry.file_name().to_string_lossy()) {
                found.push((version, entry.path()));
            }
        }
    }
    if found.is_empty() {
        return vec![Candidate::Missing(folder.join(NAMES[0]))];
    }
    found.sort_by(|(a, at), (b, bt)| {
        a.is_empty().cmp(&b.is_empty()).reverse().then(b.cmp(a)).then(at.cmp(bt))
    });
    found.into_iter().map(|(_, path)| Candidate::Library(path)).collect()
}

/// The numbers in a library's name, none for the plain name; `None` for any other file.
fn version_of(name: &str) -> Option<Vec<u32>> {
    let numbers = match name {
        "libonnxruntime.so" | "libonnxruntime.dylib" | "onnxruntime.dll" => return Some(Vec::new()),
        _ => name
            .strip_prefix("libonnxruntime.so.")
            .or_else(|| name.strip_prefix("libonnxruntime.").and_then(|rest| rest.strip_suffix(".dylib")))?,
    };
    numbers.split('.').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;

    #[test]
    fn plain_name_comes_first_then_the_highest_version() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.1", "libonnxruntime_providers_shared.so"]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |folder: &Path| -> Vec<String> {
            let name = |candidate| match candidate {
                Candidate::Library(path) => path.file_name().unwrap().to_string_lossy().into_owned(),
                Candidate::Missing(path) => format!("missing {}", path.display()),
            };
            in_folder(folder).into_iter().map(name).collect()
        };
        assert_eq!(names(folder.path()), ["libonnxruntime.so.1.31.1", "libonnxruntime.so.1.9.0"]);
        fs::write(folder.path().join("libonnxruntime.so"), "").unwrap();
        assert_eq!(names(folder.path())[0], "libonnxruntime.so");
    }

    #[test]
    fn a_named_place_is_the_only_one() {
        let nowhere = Path::new("/nowhere/libonnxruntime.so");
        assert_eq!(candidates(Some(nowhere)), [Candidate::Missing(nowhere.into())]);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            candidates(Some(folder.path())),
            [Candidate::Missing(folder.path().join("libonnxruntime.so"))]
        );
    }
}
