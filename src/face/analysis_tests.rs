#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use super::*;
use crate::{
    face::{self, mesh},
    frame::{Face, FramePx, Origin, Similarity},
    line::Stage,
    nn::RuntimeSettings,
    video::Picture,
};

/// Side of the frames, pixels.
const SIDE: usize = 320;
/// Corners of the eyes, tip of the nose and corners of the mouth in `tests/data/face.png`, from the mesh that it was
/// rendered from.
const TRUTH: [(usize, f64, f64); 5] =
    [(33, 111.8, 85.8), (263, 185.1, 90.9), (4, 153.3, 110.4), (61, 129.1, 136.4), (291, 166.8, 138.8)];

/// The test picture brought into a frame by `place` (from the picture to the frame).
fn shown(idx: u64, place: &Similarity) -> Frame {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/face.png");
    let face = image::open(path).unwrap().into_rgb8();
    let picture = Picture::from_rgb8(256, 256, face.as_raw());
    let crop = crate::face_set::rgb8_from_crop(&face::crop(&picture, place, SIDE));
    Frame { idx, picture: Picture::from_rgb8(SIDE, SIDE, crop.as_raw()) }
}

/// A turn by `degrees` clockwise and a scale around the middle of the face, which goes to the middle of the frame.
fn turned(degrees: f64, scale: f64) -> Similarity {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (a, b) = (scale * cos, scale * sin);
    let (x, y, middle) = (148.0, 115.0, SIDE as f64 / 2.0);
    Similarity { a, b, tx: middle - (a * x - b * y), ty: middle - (b * x + a * y) }
}

fn empty(idx: u64) -> Frame {
    Frame { idx, picture: Picture::from_rgb8(SIDE, SIDE, &vec![110; SIDE * SIDE * 3]) }
}

/// Mean distance of a face's points to the truth, pixels of the picture.
fn error_px(face: &Face, place: &Similarity) -> f64 {
    let distance = |(i, x, y): &(usize, f64, f64)| {
        let want = place.to_crop(FramePx { x: *x, y: *y });
        (face.points[*i].x - want.x).hypot(face.points[*i].y - want.y)
    };
    TRUTH.iter().map(distance).sum::<f64>() / TRUTH.len() as f64 / place.scale()
}

/// All frames through search and tracker, as the line would pass them on; `None` without ONNX Runtime.
fn run(frames: impl Iterator<Item = Frame>) -> Option<Vec<Tracked>> {
    let runtime = match Runtime::load(&RuntimeSettings { threads: 1, ..Default::default() }) {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("skipped: {e}");
            return None;
        }
    };
    let Analysis { mut detectors, every, mut tracker } =
        Analysis::new(&runtime, &AnalysisSettings::default(), 0, 1).unwrap();
    let mut search = detectors.remove(0).into_worker(every);
    let mut out: Vec<Tracked> =
        frames.filter_map(|frame| tracker.push(search(frame).unwrap()).unwrap()).collect();
    while let Some(tracked) = tracker.finish().unwrap() {
        out.push(tracked);
    }
    Some(out)
}

#[test]
fn a_head_that_turns_all_the_way_round_is_followed() {
    let place = |idx: u64| turned(7.5 * idx as f64, 1.0);
    let Some(out) = run((0..48).map(|idx| shown(idx, &place(idx)))) else { return };
    assert_eq!(out.len(), 48);
    for tracked in out {
        let idx = tracked.frame.idx;
        assert_eq!(tracked.faces.iter().map(|face| face.track).collect::<Vec<_>>(), [0], "frame {idx}");
        let error = error_px(&tracked.faces[0], &place(idx));
        assert!(error < 3.5, "frame {idx}: {error} px");
    }
}

#[test]
fn a_head_on_its_side_is_found_where_it_appears_and_kept() {
    for degrees in [90.0, 180.0, 225.0] {
        let place = turned(degrees, 1.0);
        let first = 11;
        let frames = (0..40).map(|idx| if idx < first { empty(idx) } else { shown(idx, &place) });
        let Some(out) = run(frames) else { return };
        for tracked in out {
            let idx = tracked.frame.idx;
            assert_eq!(tracked.faces.len(), usize::from(idx >= first), "frame {idx}, {degrees} degrees");
            for face in &tracked.faces {
                let error = error_px(face, &place);
                assert!(error < 3.5 && face.origin != Origin::Filled, "frame {idx}: {error} px");
            }
        }
    }
}

#[test]
fn a_face_too_small_for_a_quick_search_is_kept_between_the_others() {
    // The face is 140 of the picture's pixels high: 25 of the 1280 that the frame is wide.
    let place = turned(0.0, 0.18);
    let large = |idx: u64| {
        let small = shown(idx, &place).picture;
        let inner = small.rgb_rect(crate::frame::Rect { x0: 0, y0: 0, x1: SIDE, y1: SIDE });
        let mut pixels = vec![110; 1280 * 720 * 3];
        for ((channel, y, x), value) in inner.indexed_iter() {
            pixels[((y + 200) * 1280 + x + 500) * 3 + channel] = (255.0 * value).round() as u8;
        }
        Frame { idx, picture: Picture::from_rgb8(1280, 720, &pixels) }
    };
    let Some(out) = run((0..40).map(large)) else { return };
    for tracked in out {
        let Tracked { frame, faces, .. } = tracked;
        assert_eq!(faces.len(), 1, "frame {}", frame.idx);
        let [x0, y0, x1, y1] = mesh::bounds(&faces[0].points);
        let (x, y) = (0.5 * (x0 + x1) - 660.0, 0.5 * (y0 + y1) - 360.0);
        assert!(x.hypot(y) < 4.0 && (y1 - y0 - 25.0).abs() < 5.0, "frame {}: {x0} {y0} {x1} {y1}", frame.idx);
    }
}
