//! What is written beside the output, or in place of something: never over a source, whole, and of the same frames.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    media::{ffprobe, frame_sums, has_ffmpeg, has_runtime, make, names},
    round_trip::pass_through,
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo.mp4");
const FACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/face.png");
const PICTURES: &str = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1";

/// Exit code and messages of the program.
fn faceswap(args: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_faceswap")).args(args).output().expect("the binary starts");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON")
}

/// Names and bytes of all files of a folder.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    names(dir).into_iter().map(|name| (name.clone(), fs::read(dir.join(name)).expect("a file"))).collect()
}

#[test]
fn source_pictures_and_other_files_of_a_run_are_never_written_over() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    make(dir.path(), "%03d.png", &format!("{PICTURES} -frames:v 3 -start_number 5"));
    make(dir.path(), "a.mp4", &format!("{PICTURES} -frames:v 3"));
    fs::copy(FACE, at("face.png")).expect("copied");
    fs::write(at("notes.png"), b"somebody's").expect("written");
    let before = contents(dir.path());
    let [pattern, clip, face, notes, out, sixth, small] =
        ["%03d.png", "a.mp4", "face.png", "notes.png", "out.mkv", "006.png", "small.png"]
            .map(|name| text(&at(name)).to_owned());
    let swap = ["-i", "none"];
    let rows: [(&[&str], &str); 9] = [
        (&[&pattern, "--overwrite", "-o", &pattern], "--output"),
        (&[&clip, "-o", &out, "--report", &clip], "--report"),
        (&[&clip, "-o", &out, "--report", &clip, "--overwrite"], "--report"),
        (&[&clip, "-o", &out, "--report", &out, "--overwrite"], "--report"),
        (&[&clip, "-o", &out, "--report", &notes], "--report"),
        (&[&pattern, "-o", &out, "--report", &sixth, "--overwrite"], "--report"),
        (&[&clip, "-o", &out, "--debug-overlay", &out], "--debug-overlay"),
        (&[&clip, "-o", &out, "--report", &clip, "--debug-overlay", &clip, "--overwrite"], "--report"),
        (&[&face, "-o", &small, "--output-video-scale", "0.5"], "--output-video-scale"),
    ];
    for (args, flag) in rows {
        let (code, told) = faceswap(&[&swap[..], args].concat());
        assert!(code == Some(2) && told.contains(flag), "{args:?}: {code:?} {told}");
        assert!(contents(dir.path()) == before, "{args:?}: {:?}", names(dir.path()));
    }
    let rows: [&[&str]; 7] = [
        &["eval", "--target", &clip, "--output", &clip, "--html", &clip],
        &["eval", "--target", &clip, "--output", &clip, "--html", &notes],
        &["measure", "jitter", &face, "--plot", &face],
        &["measure", "jitter", &clip, "--plot", &notes],
        &["faces", &face, "-o", &face, "--overwrite"],
        &["audit", &face, "--heatmap", &face, "--overwrite"],
        &["audit", &clip, "--heatmap", &out, "--json", &out],
    ];
    for args in rows {
        let (code, told) = faceswap(args);
        assert!(code == Some(2), "{args:?}: {code:?} {told}");
        assert!(contents(dir.path()) == before, "{args:?}: {:?}", names(dir.path()));
    }
}

#[test]
fn a_report_is_replaced_and_pictures_of_a_longer_run_go() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let pattern = dir.path().join("out/%02d.png");
    let run = |n_frames: usize| {
        let input = make(
            dir.path(),
            &format!("{n_frames}.mkv"),
            &format!("{PICTURES} -c:v ffv1 -frames:v {n_frames}"),
        );
        let (code, told, report) = pass_through(&input, &pattern, &[]);
        assert_eq!(code, Some(0), "{told}");
        report
    };
    assert_eq!(run(9)["notes"], serde_json::json!([]));
    let report = run(4);
    assert!(report["notes"].to_string().contains("5 pictures of a longer earlier run"), "{report}");
    let mut left = names(&dir.path().join("out"));
    left.retain(|name| !name.starts_with('%'));
    assert_eq!(left, ["01.png", "02.png", "03.png", "04.png"]);
}

#[test]
fn a_second_run_on_a_folder_records_what_it_left_alone() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir(&input).expect("made");
    ["a.mkv", "b.mkv"].iter().for_each(|name| drop(make(&input, name, &format!("{PICTURES} -frames:v 2"))));
    for left_alone in [Value::Null, Value::Bool(true)] {
        let (code, told, report) = pass_through(&input, &output, &[]);
        assert_eq!(code, Some(0), "{told}");
        let files = report["files"].as_array().expect("a list");
        assert_eq!(files.len(), 2, "{report}");
        for (file, name) in files.iter().zip(["a.mkv", "b.mkv"]) {
            assert_eq!(file["left_alone"], left_alone, "{report}");
            assert_eq!(file["input"], text(&input.join(name)));
            assert_eq!(file["output"], text(&output.join(name)));
        }
        if left_alone == Value::Bool(true) {
            assert_eq!(files[0]["is_damaged"], false);
        }
    }
}

#[test]
fn the_overlay_shows_the_frames_of_the_swap() {
    if !has_ffmpeg() || !has_runtime() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    make(dir.path(), "%02d.png", &format!("-i {DEMO} -frames:v 3"));
    let pictures = dir.path().join("%02d.png");
    let part: &[&str] = &["--from", "0.4", "--to", "0.52"];
    for (input, more) in [(DEMO, part), (text(&pictures), &[])] {
        let [out, overlay] = ["out.mkv", "overlay.mkv"].map(|name| dir.path().join(name));
        let args = ["-i", "B", "-q", "--overwrite", "-o", text(&out), "--debug-overlay", text(&overlay)];
        let (code, told) = faceswap(&[&[input][..], &args, more].concat());
        assert_eq!(code, Some(0), "{input}: {told}");
        let times = "-select_streams v -show_entries packet=pts_time";
        let mut shown = [&out, &overlay].map(|path| ffprobe(path, times));
        shown.iter_mut().for_each(|times| times.sort());
        assert!(shown[0].len() == 3 && shown[0] == shown[1], "{input}: {shown:?}");
    }
}

/// The first frames of the demo, and the same with some bytes of the picture torn.
fn whole_and_torn(dir: &Path) -> [PathBuf; 2] {
    let encoder = "-an -c:v libx264 -preset ultrafast -crf 12 -g 6";
    let whole = make(dir, "whole.mp4", &format!("-i {DEMO} -frames:v 12 {encoder}"));
    let mut bytes = fs::read(&whole).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37 % 251) as u8);
    let torn = dir.join("torn.mp4");
    fs::write(&torn, bytes).expect("written");
    [whole, torn]
}

#[test]
fn damage_is_told_by_all_that_look_at_a_clip_and_extracted_once() {
    if !has_ffmpeg() || !has_runtime() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let [whole, torn] = whole_and_torn(dir.path());
    let at = |name: &str| dir.path().join(name);
    let [scores, seams, sheet] = ["audit.json", "seams.mkv", "sheet.png"].map(at);
    let audit = ["audit", text(&torn), "--json", text(&scores), "--heatmap", text(&seams)];
    let faces = ["faces", text(&torn), "-o", text(&sheet)];
    for (args, found) in [(&audit[..], "audit.json"), (&faces, "sheet.json")] {
        let (code, told) = faceswap(args);
        assert!(code == Some(3) && told.contains("damage: frame"), "{args:?}: {code:?} {told}");
        assert!(json(&at(found))["damage"][0]["reason"].is_string(), "{found}");
    }
    assert_eq!(frame_sums(&seams).len(), 12);
    let damage = json(&scores)["damage"].clone();
    let ranges = damage.as_array().expect("a list").iter();
    let n_damaged: u64 = ranges
        .map(|range| range["last"].as_u64().expect("known") - range["first"].as_u64().expect("known") + 1)
        .sum();
    let n_faces = |clip: &Path, code: i32| {
        let set = clip.with_extension("faces");
        let (found, told) = faceswap(&["extract", text(clip), "-o", text(&set), "--progress", "plain"]);
        assert_eq!(found, Some(code), "{told}");
        let line = told.lines().last().expect("a line").to_owned();
        assert!(code == 0 || told.contains("torn.mp4: damage: frame"), "{told}");
        line.rsplit(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number of faces")
    };
    assert_eq!((n_faces(&whole, 0), n_faces(&torn, 3)), (12, 12 - n_damaged));
}

#[test]
fn links_in_a_folder_of_footage_are_left_out_and_told() {
    if !has_runtime() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (folder, elsewhere) = (dir.path().join("footage"), tempfile::tempdir().expect("a folder"));
    fs::create_dir(&folder).expect("made");
    fs::copy(FACE, folder.join("a.png")).expect("copied");
    fs::copy(FACE, elsewhere.path().join("b.png")).expect("copied");
    std::os::unix::fs::symlink(elsewhere.path().join("b.png"), folder.join("b.png")).expect("linked");
    let set = dir.path().join("set");
    let (code, told) = faceswap(&["extract", text(&folder), "-o", text(&set)]);
    assert!(code == Some(0) && told.contains("1 symbolic links are left out"), "{told}");
    assert!(told.contains(": 1 faces"), "{told}");
}
