//! Audits and occlusion masks with networks of `train-labels`. Most of the tests that run one train it, for a single step:
//! what they test is the way of the network's answers, not how good they are.

use std::{
    path::Path,
    process::{Command, Output},
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo.mp4");

fn faceswap(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faceswap")).args(args).output().expect("the binary starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

#[test]
fn what_needs_a_network_says_how_to_train_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("out.mp4");
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/models/palm_detection_192.onnx");
    let swap = [DEMO, "-i", "B", "-o", text(&out), "--face-mask-types", "hull,occlusion"];
    let with = |more: &[&'static str]| [&swap[..], more].concat();
    let refused = [
        (vec!["audit", DEMO, "--seam-network", "nowhere.onnx"], 1, "train-labels seam"),
        (vec!["audit", DEMO, "--seam-network", other], 1, "is no network for seam"),
        (vec!["audit", DEMO, "--seam-network", other, "--fail-if", "noise>0.5"], 2, "--fail-if"),
        (with(&["--occlusion-network", "nowhere.onnx"]), 1, "train-labels occlusion"),
        (with(&["--occlusion-network", other]), 1, "is no network for occlusion"),
        (vec!["measure", "mask", DEMO, "--face-mask-types", "box"], 2, "occlusion"),
        (vec!["measure", "mask", DEMO, "--face-mask-types", "hull,mouth"], 2, "depends on the new face"),
    ];
    for (args, code, word) in refused {
        let result = faceswap(&args);
        let told = String::from_utf8_lossy(&result.stderr).into_owned();
        assert_eq!(result.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(word) && !out.exists(), "{args:?} must say `{word}`: {told}");
    }
}

#[cfg(feature = "train")]
mod trained {
    use std::{fs, path::PathBuf};

    use faceswap::{
        face_set::{FaceRecord, FaceSetHeader, FaceSetWriter},
        video::{DecodeSettings, Decoder},
    };
    use ndarray::{Array2, Array3};

    use super::*;

    /// The first frames of the demo, scaled.
    fn cut(path: &Path, scale: &str) {
        let args = ["-v", "error", "-i", DEMO, "-frames:v", "6", "-an", "-vf", scale, text(path)];
        assert!(Command::new("ffmpeg").args(args).status().expect("ffmpeg starts").success());
    }

    /// A network of one step.
    fn network(dir: &Path, task: &str) -> PathBuf {
        let (faces, path) = (dir.join("faces"), dir.join(format!("{task}.onnx")));
        if !faces.exists() {
            let header = FaceSetHeader::new("mesh-inner-v1", 1.3, 64);
            let mut set = FaceSetWriter::create(&faces, &header).expect("made");
            let pixels = Array3::from_shape_fn((3, 64, 64), |(c, y, x)| ((c + y * x) % 7) as f32 / 7.0);
            let face = FaceRecord {
                pixels,
                target: None,
                mask: Array2::ones([64, 64]),
                source: "clip.mp4".into(),
                frame: 0,
                points: vec![[32.0, 32.0]; 478],
                presence: 1.0,
            };
            set.append(&face).expect("written");
            set.finish().expect("written");
        }
        let args = ["train-labels", task, "--faces", text(&faces), "-o", text(&path), "--steps", "1"];
        let out = faceswap(&[&args[..], &["--batch", "1", "-q"]].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        path
    }

    #[test]
    fn the_programs_own_network_tells_a_pasted_face_from_a_whole_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let [clip, swapped] = ["clip.mp4", "swapped.mp4"].map(|name| dir.path().join(name));
        cut(&clip, "null");
        let swap = [text(&clip), "-i", "B", "--blend", "paste", "-o", text(&swapped), "-q"];
        assert!(faceswap(&swap).status.success());
        let seam = |clip: &Path| {
            let out = faceswap(&["audit", text(clip), "-q", "--json", "-"]);
            let scores: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
            scores["seam"].as_f64().expect("a number")
        };
        let (whole, pasted) = (seam(&clip), seam(&swapped));
        assert!(whole < 0.5 && pasted > whole + 0.1, "{whole} {pasted}");
    }

    #[test]
    fn an_audit_tells_scores_in_words_in_json_and_by_its_exit_code() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| -> PathBuf { dir.path().join(name) };
        let (clip, heat, scores) = (path("clip.mp4"), path("heat.mp4"), path("scores.json"));
        cut(&clip, "null");
        let network = network(dir.path(), "seam");
        let audit = ["audit", text(&clip), "--seam-network", text(&network), "-q"];
        let with = |more: &[&str]| faceswap(&[&audit[..], more].concat());
        let out = with(&["--heatmap", text(&heat), "--json", text(&scores)]);
        let told = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(told.starts_with("clip.mp4: seam 0.") && told.contains("faces in 6 of 6 frames"), "{told}");
        let scores: serde_json::Value =
            serde_json::from_slice(&fs::read(&scores).expect("written")).expect("JSON");
        assert_eq!(scores["frames"].as_array().map(Vec::len), Some(6));
        assert_eq!(scores["tracks"][0]["n_frames"], 6);
        let frames = Decoder::open(&heat, &DecodeSettings::default()).expect("a video");
        assert_eq!(frames.collect::<faceswap::Result<Vec<_>>>().expect("decodes").len(), 6);
        // A limit just below what was found, and one just above.
        let seam = scores["seam"].as_f64().expect("a number");
        for (limit, code) in [(seam * 0.99, 5), (seam * 1.01, 0)] {
            let out = with(&["--fail-if", &format!("seam>{limit}")]);
            assert_eq!(out.status.code(), Some(code), "{seam} against {limit}");
        }
        for (more, word) in [([text(&clip)], "needs for something else"), ([text(&heat)], "--overwrite")] {
            let out = with(&["--heatmap", more[0]]);
            let told = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.code() == Some(2) && told.contains(word), "{told}");
        }
    }

    #[test]
    fn a_mask_is_measured_against_a_truth_of_the_same_frames() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| -> PathBuf { dir.path().join(name) };
        let (clip, black, small, sheet) =
            (path("clip.mp4"), path("black.mp4"), path("small.mp4"), path("sheet.png"));
        cut(&clip, "null");
        cut(&black, "drawbox=color=black:thickness=fill");
        cut(&small, "scale=640:360");
        let network = network(dir.path(), "occlusion");
        let measure = ["measure", "mask", text(&clip), "--face-mask-types", "occlusion", "-q", "--json"];
        let measure = [&measure[..], &["--occlusion-network", text(&network)]].concat();
        let out = faceswap(&[&measure[..], &["--truth", text(&black), "--sheet", text(&sheet)]].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let told: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
        // Nothing covers the face: all that is masked is masked by mistake.
        assert_eq!(told["n_frames"].as_u64(), Some(6));
        assert!(told["true_change"].as_f64().is_some_and(|change| change < 1e-6), "{told}");
        let (bare, most) = (told["masked_bare"].as_f64(), told["most_masked_bare"][0].as_f64());
        assert!(bare.zip(most).is_some_and(|(bare, most)| bare <= most && most <= 1.0), "{told}");
        assert_eq!(image::open(&sheet).expect("a picture").height(), 256);
        let out = faceswap(&[&measure[..], &["--truth", text(&small)]].concat());
        assert!(String::from_utf8_lossy(&out.stderr).contains("is 640 x 360"), "sizes differ");
    }

    #[test]
    fn a_swap_with_an_occlusion_network_has_its_sum_in_the_report() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        // Not where the swap writes, and may read for that.
        let elsewhere = tempfile::tempdir().expect("a temporary folder");
        let network = network(elsewhere.path(), "occlusion");
        let (out, report) = (dir.path().join("out.png"), dir.path().join("report.json"));
        let face = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/face.png");
        let swap = [face, "-i", "B", "-o", text(&out), "--report", text(&report), "-q"];
        let masks = ["--face-mask-types", "hull,person,occlusion", "--occlusion-network", text(&network)];
        let result = faceswap(&[&swap[..], &masks].concat());
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
        let told: serde_json::Value =
            serde_json::from_slice(&fs::read(&report).expect("written")).expect("JSON");
        let networks = told["sha256"]["networks"].as_object().expect("sums");
        for name in ["occlusion", "selfie_segmentation_256.onnx", "face_id_dlib_150.onnx"] {
            assert!(networks.contains_key(name), "{name} is missing: {networks:?}");
        }
        let sum = faceswap::digest::sha256(&fs::read(&network).expect("read"));
        assert_eq!(networks["occlusion"], sum);
        assert!(
            !networks.contains_key("occlusion_128.onnx"),
            "the program's isn't looked with: {networks:?}"
        );
    }
}
