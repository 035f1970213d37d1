//! The two networks of our own on the demo, whose person is rendered and wasn't trained on: what lies in front of the
//! face is told and a bare face isn't; an audit tells what it finds in every way that it can.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use faceswap::{
    face::{self, Finder, FinderSettings, MaskType, Masker, Template, forgery::SeamDetector, search::Effort},
    frame::{CropPx, Frame, FramePx, Rect, Similarity},
    nn::{Runtime, RuntimeSettings},
    video::{DecodeSettings, Decoder},
};
use ndarray::Array3;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo.mp4");
/// Side of the crops that are looked at, pixels.
const SIDE: usize = 256;

/// A frame of the demo with its face.
struct Scene {
    frame: Frame,
    points: Vec<FramePx>,
    alignment: Similarity,
}

fn runtime() -> Option<Runtime> {
    let runtime = Runtime::load(&RuntimeSettings { threads: 1, ..RuntimeSettings::default() });
    if runtime.is_err() {
        eprintln!("skipped: no ONNX Runtime");
    }
    runtime.ok()
}

/// Every 40th frame of the demo.
fn scenes(runtime: &Runtime) -> Vec<Scene> {
    let mut finder = Finder::new(runtime, &FinderSettings::default()).expect("the networks load");
    let frames = Decoder::open(Path::new(DEMO), &DecodeSettings::default()).expect("the demo opens");
    let frames = frames.map(|frame| frame.expect("the demo decodes")).filter(|frame| frame.idx % 40 == 0);
    let scene = |frame: Frame| {
        let points = finder.find(&frame, Effort::Quick).expect("the networks run").remove(0).points;
        let alignment = face::align(&points, &Template::default(), face::DEFAULT_MARGIN, SIDE);
        Scene { frame, points, alignment }
    };
    frames.map(scene).collect()
}

impl Scene {
    /// The frame with `colour` where `is_there` says so of a place in the aligned crop, shares of its side.
    fn painted(&self, colour: [f32; 3], is_there: impl Fn(f64, f64) -> bool) -> Frame {
        let mut frame = self.frame.clone();
        let (x1, y1) = frame.picture.size_px();
        let whole = Rect { x0: 0, y0: 0, x1, y1 };
        let old = frame.picture.rgb_rect(whole);
        let delta = Array3::from_shape_fn(old.dim(), |(c, y, x)| {
            let p = self.alignment.to_crop(FramePx { x: x as f64 + 0.5, y: y as f64 + 0.5 });
            let is_there = is_there(p.x / SIDE as f64, p.y / SIDE as f64);
            if is_there { colour[c] - old[[c, y, x]] } else { 0.0 }
        });
        frame.picture.add_rgb(whole, &delta);
        frame
    }

    /// The mean of what the masker leaves in view over the part of the face where `is_there`.
    fn in_view(&self, masker: &mut Masker, frame: &Frame, is_there: impl Fn(f64, f64) -> bool) -> f64 {
        let visible = masker.visible(&frame.picture, &self.points, &self.alignment).expect("runs");
        let visible = visible.expect("a masker that looks");
        let hull = face::hull_mask(&self.points, &self.alignment, SIDE);
        let (mut sum, mut n) = (0.0, 0.0);
        for ((y, x), hull) in hull.indexed_iter() {
            let p = CropPx { x: (x as f64 + 0.5) / SIDE as f64, y: (y as f64 + 0.5) / SIDE as f64 };
            if *hull > 0.5 && is_there(p.x, p.y) {
                (sum, n) = (sum + f64::from(visible[[y, x]]), n + 1.0);
            }
        }
        sum / f64::max(n, 1.0)
    }
}

#[test]
fn what_lies_in_front_of_a_face_is_told_and_a_bare_face_is_not() {
    let Some(runtime) = runtime() else { return };
    let mut masker = Masker::new(&runtime, &[MaskType::Occlusion]).expect("the network loads");
    // A bar across the mouth, wider than the face.
    let bar = |_: f64, y: f64| (0.6..0.74).contains(&y);
    for scene in scenes(&runtime) {
        let idx = scene.frame.idx;
        let bare = scene.in_view(&mut masker, &scene.frame, |_, _| true);
        assert!(bare > 0.97, "frame {idx}: of the bare face {bare} is in view");
        for colour in [[0.1, 0.25, 0.6], [0.05, 0.45, 0.15]] {
            let frame = scene.painted(colour, bar);
            let under = scene.in_view(&mut masker, &frame, |x, y| bar(x, y - 0.02) && bar(x, y + 0.02));
            let above = scene.in_view(&mut masker, &frame, |_, y| y < 0.56);
            assert!(
                under < 0.15 && above > 0.9,
                "frame {idx}, {colour:?}: {under} under the bar, {above} above"
            );
        }
    }
}

fn faceswap(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faceswap")).args(args).output().expect("the binary starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

#[test]
fn an_audit_tells_scores_in_words_in_json_and_by_its_exit_code() {
    if runtime().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let clip = path("clip.mp4");
    let cut = ["-v", "error", "-i", DEMO, "-frames:v", "6", "-an", text(&clip)];
    assert!(Command::new("ffmpeg").args(cut).status().expect("ffmpeg starts").success());
    let (heat, scores, small) = (path("heat.mp4"), path("scores.json"), path("small.mp4"));
    let halved = ["-v", "error", "-i", text(&clip), "-vf", "scale=640:360", text(&small)];
    assert!(Command::new("ffmpeg").args(halved).status().expect("ffmpeg starts").success());
    let out = faceswap(&["audit", text(&clip), "--heatmap", text(&heat), "--json", text(&scores), "-q"]);
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(told.starts_with("clip.mp4: seam 0.") && told.contains("faces in 6 of 6 frames"), "{told}");
    let scores: serde_json::Value =
        serde_json::from_slice(&fs::read(&scores).expect("written")).expect("JSON");
    let (seam, frames) = (scores["seam"].as_f64().expect("a number"), &scores["frames"]);
    assert_eq!(
        (frames.as_array().map(Vec::len), scores["tracks"][0]["n_frames"].as_u64()),
        (Some(6), Some(6))
    );
    let frames = Decoder::open(&heat, &DecodeSettings::default()).expect("a video");
    assert_eq!(frames.collect::<faceswap::Result<Vec<Frame>>>().expect("decodes").len(), 6);
    // A limit just below what was found, and one just above.
    for (limit, code) in [(seam * 0.99, 5), (seam * 1.01, 0)] {
        let out = faceswap(&["audit", text(&clip), "-q", "--fail-if", &format!("seam>{limit}")]);
        assert_eq!(out.status.code(), Some(code), "{seam} against {limit}");
    }
    let refused = [
        (vec!["audit", text(&clip), "--fail-if", "noise>0.5"], 2, "--fail-if"),
        (vec!["audit", text(&clip), "--heatmap", text(&clip)], 2, "the clip itself"),
        (vec!["audit", text(&clip), "--heatmap", text(&heat)], 2, "--overwrite"),
        (vec!["audit", "nowhere.mp4"], 1, "nowhere.mp4"),
        (vec!["measure", "mask", text(&clip), "--face-mask-types", "box"], 2, "occlusion"),
        (vec!["measure", "mask", text(&clip), "--truth", text(&small)], 1, "is 640 x 360"),
    ];
    for (args, code, word) in refused {
        let out = faceswap(&args);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(word), "{args:?} must say `{word}`: {told}");
    }
}
