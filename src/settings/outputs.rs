//! Where a run writes, and what it may not write over.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::{
    Error, Result, resume,
    video::{self, Pattern},
};

/// Where the swap of `input` goes: `output` if given (a folder, made where a slash at the end says that it is one, keeps the name), else `NAME_IDENTITY.EXT` beside it. A
/// container that isn't written becomes Matroska: `clip.mpg` gives `clip_B.mkv`, and `clip.mpg.mkv` in a folder.
///
/// # Errors
/// [`Error::BadSetting`] when the output is the input or takes names of its pictures, and as [`free_output`].
pub fn output_path(input: &Path, output: Option<&Path>, identity: &str, overwrite: bool) -> Result<PathBuf> {
    let path = match output {
        Some(dir) if dir.is_dir() => output_in(dir, input),
        Some(dir) if names_folder(dir) => {
            fs::create_dir_all(dir).map_err(Error::io(dir))?;
            output_in(dir, input)
        }
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
    if collide(&path, input) {
        let reason = if Pattern::parse(&path).is_some() {
            "would take names of the input's own pictures; give another folder or name"
        } else {
            "is the input itself; give another name"
        };
        return Err(Error::setting("--output", path.display(), reason));
    }
    free_output(&path, overwrite)?;
    Ok(path)
}

/// Whether a path is meant as a folder, be it there or not: by its last slash.
pub fn names_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/")
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
        if pattern.numbers().is_ok() && !overwrite && !resume::is_begun(path) {
            let reason = "has pictures already; give --overwrite or another name";
            return Err(Error::setting("--output", path.display(), reason));
        }
        // The folder of numbered pictures is made when it is missing.
        return Ok(());
    }
    let dir = folder(path);
    if !dir.is_dir() {
        return Err(Error::setting(
            "--output",
            path.display(),
            format!("the folder {} is missing", dir.display()),
        ));
    }
    Ok(())
}

/// Checks that what is written at `path`, which was given as `name`, is none of `others`: files that the same run reads or
/// writes.
///
/// # Errors
/// [`Error::BadSetting`] with the one that it is, or whose numbered pictures it would be one of.
pub fn apart<'a>(name: &str, path: &Path, others: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    match others.into_iter().find(|other| collide(path, other)) {
        None => Ok(()),
        Some(other) => {
            let reason =
                format!("is {}, which this run needs for something else; give another name", other.display());
            Err(Error::setting(name, path.display(), reason))
        }
    }
}

/// Checks that a file at `path`, if there is one, is such as this program writes there: that it begins with `head`, or holds
/// nothing. What looks like something else is somebody's, and a slip of the fingers shouldn't cost it.
///
/// # Errors
/// [`Error::BadSetting`] with `reason` for anything else.
pub fn replaceable(name: &str, path: &Path, head: &[u8], reason: &str) -> Result<()> {
    let wrong = |reason: &str| Err(Error::setting(name, path.display(), reason));
    match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(_) if path.is_dir() => return wrong("is a folder; give a file name"),
        Ok(_) => {}
    }
    // Opening a pipe would wait for somebody to write into it.
    let mut found = Vec::new();
    let mut read = || File::open(path)?.take(head.len() as u64).read_to_end(&mut found);
    let is_ours = path.is_file() && read().is_ok() && (found.is_empty() || found == head);
    if is_ours { Ok(()) } else { wrong(reason) }
}

/// Whether writing `output` would touch the file `other`, or a picture of the sequence `other`.
fn collide(output: &Path, other: &Path) -> bool {
    match (Pattern::parse(output), Pattern::parse(other)) {
        (None, None) => is_same_place(output, other),
        (Some(pattern), None) => is_one_of(&pattern, other),
        (None, Some(pattern)) => is_one_of(&pattern, output),
        (Some(pattern), Some(source)) => {
            // Whatever numbers the source has: the output's begin with 1, and how many there will be isn't known yet.
            let numbers = source.numbers().unwrap_or_default();
            numbers.into_iter().any(|n| is_one_of(&pattern, &source.path(n)))
        }
    }
}

/// Whether the file has, or leads to, a name of the pattern.
fn is_one_of(pattern: &Pattern, path: &Path) -> bool {
    let has_name = |path: &Path| {
        path.file_name().is_some_and(|name| pattern.number(name).is_some())
            && video::same_file(pattern.folder(), folder(path))
    };
    has_name(path) || (path.is_symlink() && path.canonicalize().is_ok_and(|real| has_name(&real)))
}

/// Whether two paths are one file, be it there already or not.
fn is_same_place(a: &Path, b: &Path) -> bool {
    let has_name = a.file_name().is_some() && a.file_name() == b.file_name();
    a == b || video::same_file(a, b) || (has_name && video::same_file(folder(a), folder(b)))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
        fs::write(&input, b"1").expect("written");
        fs::write(&output, b"2").expect("written");
        let told = |r: Result<PathBuf>| r.expect_err("refused").to_string();
        assert!(told(output_path(&input, Some(&output), "B", false)).contains("--overwrite"));
        assert!(output_path(&input, Some(&output), "B", true).is_ok());
        assert!(told(output_path(&input, Some(&input), "B", true)).contains("is the input itself"));
        assert!(
            told(output_path(&input, Some(&dir.path().join("no/out.mp4")), "B", false)).contains("missing")
        );
    }

    /// Empty files of these names in a new folder.
    fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        names.iter().for_each(|name| fs::write(dir.path().join(name), b"x").expect("written"));
        dir
    }

    #[test]
    fn numbered_pictures_are_not_written_over_those_that_are_read() {
        let dir = folder_of(&["100.png", "1000.png", "a7.png"]);
        let other = folder_of(&[]);
        std::os::unix::fs::symlink(dir.path().join("100.png"), other.path().join("5.png")).expect("linked");
        let goes = |input: &Path, output: &Path| output_path(input, Some(output), "B", true);
        let at = |name: &str| dir.path().join(name);
        // Numbers with more digits than zeros are filled to have the same name in both.
        for (input, output) in [
            (at("%03d.png"), at("%03d.png")),
            (at("%03d.png"), at("%04d.png")),
            (at("%03d.png"), at("../").join(dir.path().file_name().expect("a name")).join("%03d.png")),
            (other.path().join("%d.png"), at("%03d.png")),
            (at("a7.png"), at("a%d.png")),
            (at("%03d.png"), at("100.png")),
        ] {
            let told = goes(&input, &output).expect_err("refused").to_string();
            assert!(told.contains("another"), "{} to {}: {told}", input.display(), output.display());
        }
        for (input, output) in [
            (at("%03d.png"), at("b%03d.png")),
            (at("%03d.png"), at("%05d.png")),
            (at("%03d.png"), other.path().join("%03d.png")),
            (at("a7.png"), at("b%d.png")),
        ] {
            goes(&input, &output).expect("nothing is in the way");
        }
    }

    #[test]
    fn a_file_beside_the_output_is_neither_an_input_nor_another_output() {
        let dir = folder_of(&["in.mp4", "001.png"]);
        let at = |name: &str| dir.path().join(name);
        let refused = |path: &str, other: &str| apart("--report", &at(path), [&*at("else"), &*at(other)]);
        std::os::unix::fs::symlink(at("in.mp4"), at("link")).expect("linked");
        for (path, other) in
            [("in.mp4", "in.mp4"), ("link", "in.mp4"), ("new.json", "new.json"), ("001.png", "%03d.png")]
        {
            let told = refused(path, other).expect_err("refused").to_string();
            assert!(told.contains("--report") && told.contains(other), "{told}");
        }
        refused("in.json", "in.mp4").expect("another name");
        // Two ways to a file that isn't there yet.
        let twice = dir.path().join("../").join(dir.path().file_name().expect("a name")).join("new.json");
        assert!(apart("--report", &twice, [&*at("new.json")]).is_err());
    }

    #[test]
    fn only_what_this_program_wrote_is_replaced_without_asking() {
        let dir = folder_of(&["in.mp4"]);
        let at = |name: &str| dir.path().join(name);
        fs::write(at("old.json"), b"{\"schema\": 1}").expect("written");
        fs::write(at("empty"), b"").expect("written");
        let check = |name: &str| replaceable("--report", &at(name), b"{", "exists and is no report");
        for name in ["old.json", "empty", "new.json"] {
            check(name).expect("may be replaced");
        }
        let told = check("in.mp4").expect_err("somebody's").to_string();
        assert!(told.contains("--report") && told.contains("is no report"), "{told}");
        assert!(check(".").is_err(), "a folder");
    }
}
