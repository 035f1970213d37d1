//! What must hold of our own parsers whatever bytes they get: they answer and never panic. Driven by `mutation.rs` with
//! mutated inputs, and by the targets under `tests/fuzz` with inputs that libFuzzer chooses.

// Each fuzz target uses one of these.
#![allow(dead_code)]

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use faceswap::{
    digest::sha256,
    resume::Journal,
    swap::{Manifest, inspect},
    video::{Pattern, parse_rate, parse_time},
};

/// The manifest of an identity.
pub fn manifest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(manifest) = Manifest::parse(&text, Path::new("identity.toml")) {
        assert!(manifest.side_px > 0);
    }
}

/// The journal of a run.
pub fn journal(bytes: &[u8]) {
    assert!(Journal::parse(bytes).is_err(), "without its checksum nothing is a journal");
    // Behind a checksum that fits, so that the parser itself is reached.
    if let Ok(journal) = Journal::parse(&framed(bytes)) {
        let _ = (journal.n_frames(), journal.missing());
        assert!(Journal::parse(&journal.to_bytes()).is_ok());
    }
}

/// The body of a journal behind the line that it begins with.
pub fn framed(body: &[u8]) -> Vec<u8> {
    [format!("faceswap-journal-2 {}\n", sha256(body)).as_bytes(), body].concat()
}

/// An ONNX file, before ONNX Runtime sees it.
pub fn network(bytes: &[u8]) {
    drop(inspect::interface(bytes));
}

/// Names of numbered pictures, times, rates.
pub fn names(bytes: &[u8]) {
    let name: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let path = PathBuf::from("/nowhere").join(OsString::from_vec(name));
    if let Some(pattern) = Pattern::parse(&path) {
        for n in [0, 7, 99_999, 12_345_678_901] {
            let made = pattern.path(n);
            let name = made.file_name().map(OsStr::to_os_string).unwrap_or_default();
            assert_eq!(pattern.number(&name), Some(n), "{}", name.as_bytes().escape_ascii());
        }
    }
    let text = String::from_utf8_lossy(bytes);
    assert!(parse_time("--from", &text).is_ok_and(|s| s >= 0.0) || parse_time("--from", &text).is_err());
    assert!(
        parse_rate("--fps", &text).is_ok_and(|(num, den)| num > 0 && den > 0)
            || parse_rate("--fps", &text).is_err()
    );
}
