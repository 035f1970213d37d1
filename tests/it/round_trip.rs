//! `--identity none`: every frame passes as it is, and the report says what happened.

use std::{fs, path::Path, process::Command};

use faceswap::digest;
use serde_json::Value;

use crate::media::{ffprobe, frame_sums, has_ffmpeg, make, packet_sums};

/// Runs the program on `input` with `--identity none`; gives the exit code, its messages and its report.
pub fn pass_through(input: &Path, output: &Path, more: &[&str]) -> (Option<i32>, String, Value) {
    let record = output.with_extension("report.json");
    let _ = fs::remove_file(&record);
    let mut command = Command::new(env!("CARGO_BIN_EXE_faceswap"));
    command.args(["--identity", "none", "--overwrite", "--progress", "plain"]).args(more);
    command.arg("--report").arg(&record).arg("-o").arg(output).arg("--").arg(input);
    let done = command.output().expect("the program starts");
    let report = fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.code(), told, report.unwrap_or(Value::Null))
}

fn sum(path: &Path) -> String {
    digest::sha256_file(path).expect("readable")
}

#[test]
fn without_an_identity_all_comes_back_bit_by_bit() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = make(
        dir.path(),
        "a.mp4",
        "-f lavfi -i testsrc2=size=160x96:rate=30000/1001:duration=1 -f lavfi -i sine=duration=1 -vf \
         select=lt(mod(n\\,10)\\,7) -fps_mode vfr -c:v libx264 -bf 2 -pix_fmt yuv420p -c:a aac",
    );
    let output = dir.path().join("b.mkv");
    let (code, told, report) = pass_through(&input, &output, &["--output-video-encoder", "ffv1"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(frame_sums(&input), frame_sums(&output));
    assert_eq!(packet_sums(&input, "a"), packet_sums(&output, "a"));
    let n = ffprobe(&input, "-select_streams v -show_entries packet=pts").len();
    assert!(told.contains("sync: within") && !told.contains("damage:"), "{told}");
    assert_eq!(report["schema"], "faceswap-report-1");
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    for (field, wanted) in [("decoded", n), ("written", n), ("swapped", 0), ("without_face", n)] {
        assert_eq!(report["frames"][field], wanted, "{field}");
    }
    assert_eq!(report["pts"]["first"], 0);
    assert!(report["pts"]["last"].as_i64().is_some_and(|last| last > 0), "{report}");
    assert!(report["sync"]["max_skew_ms"].as_f64().is_some_and(|ms| ms <= 1.0), "{report}");
    assert_eq!(report["tracks"]["copied"][0]["codec"], "aac");
    assert_eq!(report["damage"].as_array().map(Vec::len), Some(0));
    assert_eq!(report["sha256"]["input"], sum(&input));
    assert_eq!(report["sha256"]["output"], sum(&output));
    assert_eq!(report["settings"]["encode"]["encoder"], "ffv1");
    assert!(report["stages"].as_array().is_some_and(|stages| stages.len() == 2), "{report}");
}

#[test]
fn a_report_of_a_folder_lists_its_files_and_their_errors() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = dir.path().join("in");
    fs::create_dir(&input).expect("made");
    make(&input, "a.mkv", "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.2 -c:v ffv1");
    fs::write(input.join("b.mp4"), "no video").expect("written");
    let (code, told, report) = pass_through(&input, &dir.path().join("out"), &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(report["files"][0]["frames"]["written"], 5);
    assert!(report["files"][1]["error"].as_str().is_some_and(|e| e.contains("not a video")), "{report}");
}
