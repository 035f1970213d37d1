use super::*;
use crate::{
    Error,
    face::{Template, align, crop},
    frame::{Face, Frame, FramePx, Swapped, Tracked},
    line::Stage,
    nn::{Runtime, RuntimeSettings},
    swap::{Bundle, Swapper},
    video::Picture,
};

/// ONNX Runtime, where this machine has one.
fn runtime() -> Option<Runtime> {
    let runtime = Runtime::load(&RuntimeSettings { threads: 1, ..RuntimeSettings::default() });
    runtime.map_err(|e| eprintln!("skipped: {e}")).ok()
}

fn swapper(runtime: &Runtime, batch: usize) -> Swapper {
    let dir = tempfile::tempdir().unwrap();
    write_tiny(dir.path(), "tiny");
    Swapper::new(runtime, &Bundle::load(dir.path()).unwrap(), batch).unwrap()
}

/// A frame of 96 x 64 px, each with its own colours.
fn frame(idx: u64) -> Frame {
    let pixel = |i: u64| [(i * 5 + idx * 40) as u8, (idx * 23) as u8, (i / 96 * 3) as u8];
    let bytes: Vec<u8> = (0..96 * 64).flat_map(pixel).collect();
    Frame { idx, picture: Picture::from_rgb8(96, 64, &bytes) }
}

/// An upright face of about `size` px around (x, y): the corners of the eyes and of the mouth, the rest in the middle.
fn face(track: u32, x: f64, y: f64, size: f64) -> Face {
    let mut points = vec![FramePx { x, y }; 478];
    for (index, dx, dy) in [(33, -0.26, -0.17), (263, 0.26, -0.17), (61, -0.15, 0.23), (291, 0.15, 0.23)] {
        points[index] = FramePx { x: x + dx * size, y: y + dy * size };
    }
    Face::new(track, points, 1.0)
}

/// Frame `idx` with `n` faces.
fn tracked(idx: u64, n: u32) -> Tracked {
    let faces = (0..n).map(|i| face(i, 20.0 + 25.0 * f64::from(i), 30.0 + idx as f64, 24.0)).collect();
    Tracked { frame: frame(idx), faces, memory: None }
}

/// Every new face is the mean colour of the crop that it replaces.
fn check(swapped: &Swapped, n: u32) {
    assert_eq!(swapped.faces.len(), n as usize, "frame {}", swapped.frame.idx);
    let original = tracked(swapped.frame.idx, n);
    for (new, face) in swapped.faces.iter().zip(&original.faces) {
        let alignment = align(&face.points, &Template::default(), 1.3, SIDE_PX);
        assert_eq!((new.face.track, new.alignment), (face.track, alignment));
        assert_eq!(new.pixels.dim(), (3, SIDE_PX, SIDE_PX));
        let crop = crop(&original.frame.picture, &alignment, SIDE_PX);
        for c in 0..3 {
            let mean = crop.index_axis(ndarray::Axis(0), c).mean().unwrap();
            let worst = new
                .pixels
                .index_axis(ndarray::Axis(0), c)
                .iter()
                .map(|v| (v - mean).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-5, "frame {}, channel {c}: {worst}", swapped.frame.idx);
        }
        assert!(new.mask.as_ref().unwrap().iter().all(|v| (v - MASK).abs() < 1e-6));
    }
}

#[test]
fn frames_keep_their_order_and_their_faces_at_every_batch() {
    let Some(runtime) = runtime() else { return };
    let n_faces = [0, 0, 1, 0, 3, 1, 1, 0, 0, 2, 1, 1, 1, 5, 0, 0];
    for batch in [1, 2, 3, 4, 7, 64] {
        let mut swapper = swapper(&runtime, batch);
        let (mut out, mut most_held) = (Vec::new(), 0);
        for (idx, n) in n_faces.into_iter().enumerate() {
            let pushed = swapper.push(tracked(idx as u64, n)).unwrap();
            if idx < 2 {
                assert!(pushed.is_some(), "a frame without faces need not wait for anybody");
            }
            out.extend(pushed);
            most_held = most_held.max(idx + 1 - out.len());
        }
        while let Some(swapped) = swapper.finish().unwrap() {
            out.push(swapped);
        }
        assert!(
            most_held <= batch.min(8) && (batch == 1) == (most_held == 0),
            "batch {batch} held {most_held}"
        );
        assert!(out.iter().map(|s| s.frame.idx).eq(0..n_faces.len() as u64), "batch {batch}");
        for (swapped, n) in out.iter().zip(n_faces) {
            check(swapped, n);
        }
        assert!(swapper.finish().unwrap().is_none());
    }
}

#[test]
fn a_frame_without_faces_keeps_every_sample() {
    let Some(runtime) = runtime() else { return };
    let out = swapper(&runtime, 4).push(tracked(3, 0)).unwrap().unwrap();
    let all = crate::frame::Rect { x0: 0, y0: 0, x1: 96, y1: 64 };
    assert_eq!(out.frame.picture.rgb_rect(all), frame(3).picture.rgb_rect(all));
}

#[test]
fn a_face_that_is_none_is_left_alone() {
    let Some(runtime) = runtime() else { return };
    let mut broken = tracked(0, 1);
    broken.faces[0].points.fill(FramePx { x: f64::NAN, y: 0.0 });
    broken.faces.push(face(7, 40.0, 30.0, 20.0));
    let out = swapper(&runtime, 1).push(broken).unwrap().unwrap();
    assert_eq!(out.faces.iter().map(|new| new.face.track).collect::<Vec<_>>(), [7]);
}

#[test]
fn values_out_of_range_are_clipped_and_no_numbers_are_an_error() {
    let Some(runtime) = runtime() else { return };
    let dir = tempfile::tempdir().unwrap();
    let with_bias = |bias: f32| {
        write_bundle(dir.path(), "tiny", &tiny_encoder(), &tiny_decoder(SIDE_PX, bias));
        let bundle = Bundle::load(dir.path()).unwrap();
        Swapper::new(&runtime, &bundle, 1).unwrap().push(tracked(0, 1))
    };
    let out = with_bias(9.0).unwrap().unwrap();
    assert!(out.faces[0].pixels.iter().all(|v| (v - 1.0).abs() < f32::EPSILON));
    let error = with_bias(f32::NAN).unwrap_err();
    assert!(matches!(error, Error::BadModel { .. }) && error.to_string().contains("no numbers"), "{error}");
}

#[test]
fn an_encoder_that_wants_the_mesh_is_shown_it_and_nobody_else_is() {
    let Some(runtime) = runtime() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_tiny(dir.path(), "tiny");
    let path = dir.path().join("identity.toml");
    let plain = fs::read_to_string(&path).unwrap();
    fs::write(&path, plain.replace("margin = 1.3", "margin = 1.3\nguides = true")).unwrap();
    let bundle = Bundle::load(dir.path()).unwrap();
    let mut original = tracked(1, 1);
    for (i, point) in original.faces[0].points.iter_mut().enumerate() {
        *point = FramePx { x: 30.0 + 9.0 * (i as f64).cos(), y: 30.0 + 9.0 * (1.7 * i as f64).sin() };
    }
    let pushed = Tracked { frame: frame(1), faces: original.faces.clone(), memory: None };
    let out = Swapper::new(&runtime, &bundle, 1).unwrap().push(pushed).unwrap().unwrap();
    let alignment = align(&original.faces[0].points, &Template::default(), 1.3, SIDE_PX);
    let crop = crop(&original.frame.picture, &alignment, SIDE_PX);
    let mut painted = crop.clone();
    let points: Vec<_> = original.faces[0].points.iter().map(|point| alignment.to_crop(*point)).collect();
    crate::face::guides::paint(&mut painted, &points);
    let means = |pixels: &ndarray::Array3<f32>| {
        [0, 1, 2].map(|c| pixels.index_axis(ndarray::Axis(0), c).mean().unwrap())
    };
    let (with, without) = (means(&painted), means(&crop));
    assert!(with.iter().zip(without).any(|(a, b)| (a - b).abs() > 2e-3), "{with:?} {without:?}");
    for (c, mean) in with.into_iter().enumerate() {
        assert!((out.faces[0].pixels[[c, 5, 5]] - mean).abs() < 1e-4, "channel {c}");
    }
    assert_eq!(out.faces[0].target, crop, "what is blended with is the face itself");
}
