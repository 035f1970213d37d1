//! `--gaze` through the whole program: the target's turns the new eyes and nothing else.

use std::{fs, path::Path, process::Command};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo.mp4");

/// The third frame of the demo, swapped, and its report.
fn swapped(dir: &Path, gaze: &str) -> (image::RgbImage, serde_json::Value) {
    let [out, report] = ["%02d.png", "report.json"].map(|name| dir.join(format!("{gaze}.{name}")));
    let text = |path: &Path| path.to_str().expect("test paths are UTF-8").to_owned();
    let args = [
        DEMO,
        "-i",
        "B",
        "--to",
        "0.12",
        "-q",
        // Measured by the other network, so that the gaze's own is told for the gaze alone.
        "--landmarks",
        "full",
        "--gaze",
        gaze,
        "-o",
        &text(&out),
        "--report",
        &text(&report),
    ];
    let done = Command::new(env!("CARGO_BIN_EXE_faceswap")).args(args).output().expect("the binary starts");
    assert!(done.status.success(), "{gaze}: {}", String::from_utf8_lossy(&done.stderr));
    let picture = image::open(dir.join(format!("{gaze}.02.png"))).expect("a frame").into_rgb8();
    let report = fs::read(report).expect("a report");
    (picture, serde_json::from_slice(&report).expect("JSON"))
}

#[test]
fn the_targets_gaze_moves_the_new_eyes_alone() {
    if let Err(error) = faceswap::nn::Runtime::load(&faceswap::nn::RuntimeSettings::default()) {
        return eprintln!("skipped: {error}");
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [(target, with), (network, without)] = ["target", "network"].map(|gaze| swapped(dir.path(), gaze));
    let is_there = |report: &serde_json::Value| {
        let stages = report["stages"].as_array().expect("stages");
        let is_stage = stages.iter().any(|stage| stage["name"] == "gaze");
        [is_stage, report.to_string().contains("face_mesh_fast_256.onnx")]
    };
    assert_eq!((is_there(&with), is_there(&without)), ([true; 2], [false; 2]));
    let differs = |(a, b): (&image::Rgb<u8>, &image::Rgb<u8>)| {
        a.0.iter().zip(b.0).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0) > 16
    };
    let n = target.pixels().zip(network.pixels()).filter(|pair| differs(*pair)).count();
    let share = n as f64 / f64::from(target.width() * target.height());
    assert!(n > 20 && share < 0.01, "{n} pixels differ, a share of {share}");
}
