//! The invariants of the architecture that can be read off the source; see the map in `src/lib.rs`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The Rust files of the library with their paths from `src`, test modules left out.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
                files.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("source is UTF-8");
        (path.strip_prefix(&src).expect("lies in src").to_path_buf(), text)
    };
    files.into_iter().map(read).collect()
}

/// Whether a file holds tests alone: `tests.rs`, `NAME_tests.rs`, `tests/NAME.rs`.
fn is_test(path: &Path) -> bool {
    let in_tests = path.parent().is_some_and(|dir| dir.ends_with("tests"));
    in_tests || path.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("tests"))
}

/// Whether `line` holds `word`, and not as the end of a longer name.
fn holds(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Lines of code, comments left out.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

/// The files in which a line of code holds one of `words`.
fn naming(words: &[&str]) -> Vec<PathBuf> {
    let hit = |text: &str| code_lines(text).any(|line| words.iter().any(|word| holds(line, word)));
    sources().into_iter().filter(|(_, text)| hit(text)).map(|(path, _)| path).collect()
}

fn assert_only(words: &[&str], allowed: &[&str]) {
    let outside: Vec<_> =
        naming(words).into_iter().filter(|path| !allowed.iter().any(|dir| path.starts_with(dir))).collect();
    assert!(outside.is_empty(), "{words:?} belongs in {allowed:?} alone, and is named in {outside:?}");
}

#[test]
fn each_heavy_crate_has_one_home() {
    assert_only(&["ort::", "use ort"], &["nn.rs"]);
    assert_only(&["ffmpeg_next", "ff::"], &["video"]);
    assert_only(&["burn::", "use burn"], &["train"]);
    assert_only(&["clap::", "use clap"], &["cli.rs", "cli", "main.rs"]);
    assert_only(&["indicatif::", "use indicatif"], &["progress.rs"]);
    let opencv = naming(&["opencv::", "use opencv"]);
    assert!(opencv.len() <= 2, "OpenCV is named in {opencv:?}");
}

#[test]
fn threads_and_channels_live_in_the_line() {
    let words =
        ["thread::scope", "thread::spawn", "Builder::new().name", "crossbeam_channel", "mpsc::", "rayon::"];
    assert_only(&words, &["line.rs"]);
}

#[test]
fn nothing_above_uses_training() {
    assert_only(&["crate::train", "train::"], &["train", "run.rs", "run"]);
}

#[test]
fn no_global_changes() {
    assert_only(&["static mut", "lazy_static", "thread_local!"], &[]);
    // The one flag that a signal sets, and once-only initialisations of C libraries.
    assert_only(&["AtomicBool::new"], &["main.rs"]);
}

#[test]
fn constructors_and_algorithms_print_nothing() {
    assert_only(&["println!", "eprintln!", "print!(", "dbg!("], &["main.rs"]);
}

#[test]
fn no_room_for_leftovers() {
    for (path, text) in sources() {
        for folder in ["utils", "helpers", "common", "core", "manager", "processor", "misc"] {
            let named =
                path.components().any(|c| c.as_os_str().to_string_lossy().trim_end_matches(".rs") == folder);
            assert!(!named, "{} says nothing of what it holds", path.display());
        }
        for word in ["todo!(", "unimplemented!(", "FIXME", "TODO"] {
            assert!(!text.contains(word), "{} holds `{word}`", path.display());
        }
        assert!(
            text.lines().count() <= 450,
            "{} is longer than 450 lines: two rooms in one?",
            path.display()
        );
    }
}

#[test]
fn the_map_names_every_room() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = fs::read_to_string(src.join("lib.rs")).expect("lib.rs is readable");
    for entry in fs::read_dir(&src).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        let name = path.file_stem().expect("has a name").to_string_lossy().into_owned();
        if name != "lib" && name != "main" {
            assert!(map.contains(&format!("mod {name};")), "{name} stands on no line of lib.rs");
            assert!(
                map.contains(&format!("`{name}`")) || map.contains(&format!("[`mod@{name}`]")),
                "the map in lib.rs says nothing of {name}"
            );
        }
    }
}
