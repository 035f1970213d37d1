//! What may be named as input and output, and what is told of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::media::{ffprobe, has_ffmpeg, has_runtime, make, names};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo.mp4");
const FACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/face.png");
const PICTURES: &str = "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v";

/// Exit code and messages of the program in the folder `dir`.
fn faceswap(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faceswap"));
    let out = command.current_dir(dir).args(args).args(["--progress", "plain"]).output().expect("starts");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn several_files_and_folders_that_are_not_there_yet() {
    if !has_ffmpeg() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    let dir = room.path();
    fs::create_dir_all(dir.join("more")).expect("made");
    for name in ["a.mkv", "b.mkv", "more/a.mkv"] {
        make(dir, name, &format!("{PICTURES} 3 -c:v ffv1"));
    }
    let run = |args: &[&str]| faceswap(dir, &[args, &["-i", "none"]].concat());
    for (args, code, words) in [
        (&["a.mkv", "--matte"][..], 2, "--matte: shows where a face is new"),
        (&["a.mkv", "b.mkv"], 2, "--output: is missing; several inputs need a folder"),
        (&["a.mkv", "more/a.mkv", "-o", "out"], 1, "has the name of another input"),
        (&["a.mkv", "more", "-o", "out"], 1, "is a folder among other inputs"),
        (&["a.mkv", "c.mkv", "-o", "out"], 1, "c.mkv: no such file or folder"),
    ] {
        let (found, told) = run(args);
        assert!(found == Some(code) && told.contains(words), "{args:?}: {found:?} {told}");
        assert!(!dir.join("out").exists(), "{args:?}");
    }
    let (code, told) = run(&["a.mkv", "b.mkv", "-o", "out"]);
    assert!(code == Some(0) && told.contains("b.mkv  ok"), "{told}");
    let (code, told) = run(&["a.mkv", "b.mkv", "-o", "out"]);
    assert!(code == Some(0) && told.contains("was there"), "a second run does what is missing: {told}");
    let (code, told) = run(&["a.mkv", "-o", "new/folder/"]);
    assert_eq!(code, Some(0), "{told}");
    let films = |folder: &str| {
        let mut names = names(&dir.join(folder));
        names.retain(|name| !name.starts_with('.'));
        names
    };
    assert_eq!(
        (films("out"), films("new/folder")),
        (vec!["a.mkv".into(), "b.mkv".into()], vec!["a.mkv".into()])
    );
}

#[test]
fn numbered_pictures_in_a_folder_are_told_how_they_become_a_film() {
    if !has_ffmpeg() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    let dir = room.path();
    fs::create_dir_all(dir.join("in")).expect("made");
    make(&dir.join("in"), "p.%04d.png", &format!("{PICTURES} 10 -start_number 996"));
    let (code, told) = faceswap(dir, &["in", "-i", "none", "-o", "out"]);
    assert!(code == Some(0) && told.contains("give in/p.%04d.png"), "{told}");
    let (code, told) = faceswap(dir, &["in/p.####.png", "-i", "none", "-o", "film/q.####.png"]);
    assert_eq!(code, Some(0), "{told}");
    let wanted: Vec<String> = (996..1006).map(|n| format!("q.{n:04}.png")).collect();
    assert_eq!(names(&dir.join("film")), wanted);
}

#[test]
fn clips_that_are_turned_in_other_ways_are_not_compared() {
    if !has_ffmpeg() || !has_runtime() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    make(room.path(), "flat.mp4", &format!("{PICTURES} 3 -c:v libx264 -pix_fmt yuv420p"));
    make(room.path(), "turned.mp4", "-i flat.mp4 -c copy -metadata:s:v:0 rotate=180");
    let mut command = Command::new(env!("CARGO_BIN_EXE_faceswap"));
    command.current_dir(room.path()).args(["eval", "--output", "flat.mp4", "--target", "turned.mp4"]);
    let out = command.output().expect("starts");
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && told.contains("upright.mkv"), "{told}");
}

#[test]
fn what_is_no_identity_is_told_with_the_way_out() {
    if !has_runtime() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    for (identity, words) in
        [(FACE, "an identity is trained"), ("b", "B is"), ("nobody", "known: A, B, B.fast;")]
    {
        let (code, told) = faceswap(room.path(), &[FACE, "-i", identity, "-o", "out.png"]);
        assert!(code == Some(2) && told.contains(words), "{identity}: {code:?} {told}");
    }
}

#[test]
fn a_clip_without_a_face_is_no_fake() {
    if !has_ffmpeg() || !has_runtime() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    let comment = |name: &str| ffprobe(&room.path().join(name), "-show_entries format_tags=comment");
    let empty = make(room.path(), "empty.mkv", &format!("{PICTURES} 3 -c:v ffv1"));
    let (code, told) = faceswap(room.path(), &[empty.to_str().expect("a name"), "-i", "B", "-o", "a.mkv"]);
    assert!(code == Some(0) && told.contains("note: no face was found"), "{told}");
    assert_eq!(comment("a.mkv"), Vec::<String>::new());
    let (code, told) = faceswap(room.path(), &[DEMO, "-i", "B", "--trim-frame-end", "2", "-o", "b.mkv"]);
    assert!(code == Some(0) && !told.contains("no face was found"), "{told}");
    assert!(comment("b.mkv").join("").contains("AI-generated face"), "{:?}", comment("b.mkv"));
}

/// The greatest value within two pixels of each one.
fn around(matte: &image::GrayImage, x: u32, y: u32) -> u8 {
    let near = |v: u32, end: u32| v.saturating_sub(2)..(v + 3).min(end);
    let rows = near(y, matte.height());
    rows.flat_map(|y| near(x, matte.width()).map(move |x| matte.get_pixel(x, y).0[0])).max().unwrap_or(0)
}

#[test]
fn a_matte_is_white_where_the_frame_is_new_and_black_where_it_keeps_its_bits() {
    if !has_ffmpeg() || !has_runtime() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    let shown = |name: &str, more: &[&str]| -> image::DynamicImage {
        let output = format!("{name}/%02d.png");
        let (code, told) =
            faceswap(room.path(), &[&[DEMO, "--trim-frame-end", "2", "-o", &output], more].concat());
        assert_eq!(code, Some(0), "{told}");
        let path: PathBuf = room.path().join(name).join("02.png");
        image::open(path).expect("a picture")
    };
    let matte = shown("matte", &["-i", "B", "--matte"]).to_luma8();
    let (new, old) = (shown("new", &["-i", "B"]).to_rgb8(), shown("old", &["-i", "none"]).to_rgb8());
    let (mut n_white, mut n_changed) = (0, 0);
    for (x, y, pixel) in new.enumerate_pixels() {
        let is_changed = pixel != old.get_pixel(x, y);
        assert!(!is_changed || around(&matte, x, y) > 0, "changed at {x}, {y}, where the matte is black");
        let is_white = matte.get_pixel(x, y).0[0] == 255;
        n_white += u32::from(is_white);
        n_changed += u32::from(is_white && is_changed);
    }
    assert!(n_white > 2000 && n_changed > n_white * 9 / 10, "{n_changed} of {n_white}");
}
