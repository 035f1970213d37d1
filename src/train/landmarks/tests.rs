#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use burn::{
    backend::{Flex, flex::FlexDevice},
    tensor::Tensor,
};
use ndarray::{Array2, Array3, Array4};

use super::{graph::Plan, *};
use crate::{
    face::{mesh, mesh_network},
    face_set::{FaceRecord, FaceSetHeader, FaceSetWriter},
    nn::{Runtime, RuntimeSettings},
    train::{filters::is_same_network, preview::tensor_from_array},
};

/// Faces that are none: a bright blob with points on it, a little elsewhere in each.
fn set(dir: &Path, margin: f64, n: usize) {
    let side_px = 96;
    let mut set = FaceSetWriter::create(dir, &FaceSetHeader::new("mesh-inner-v1", margin, side_px)).unwrap();
    for face in 0..n {
        let at = |i: usize| {
            let turn = i as f32 * 0.7 + face as f32 * 0.01;
            [48.0 + 14.0 * turn.cos() + face as f32, 48.0 + 18.0 * turn.sin()]
        };
        let pixels = Array3::from_shape_fn((3, side_px, side_px), |(c, y, x)| {
            let d = (x as f32 - 48.0 - face as f32).hypot(y as f32 - 48.0);
            (1.0 - d / 60.0).max(0.1) * (0.7 + 0.1 * c as f32)
        });
        let record = FaceRecord {
            pixels,
            target: None,
            mask: Array2::ones((side_px, side_px)),
            source: "blob.mp4".into(),
            frame: face as u64,
            points: (0..mesh::N_POINTS).map(at).collect(),
            presence: 1.0,
        };
        set.append(&record).unwrap();
    }
    set.finish().unwrap();
}

fn picture(n: usize) -> Array4<f32> {
    Array4::from_shape_fn((n, 3, 256, 256), |(i, c, y, x)| {
        0.5 + 0.4 * ((x * (c + 1) + 3 * y + 17 * i) as f32 * 0.05).sin()
    })
}

#[test]
fn the_plan_computes_what_onnx_runtime_computes_and_goes_back_into_its_file() {
    let (plan, weights) = Plan::read::<Flex>(mesh_network::NETWORK, &FlexDevice).unwrap();
    assert!(is_same_network(&plan.written(&weights).unwrap(), mesh_network::NETWORK), "not what was read");
    let Ok(runtime) = Runtime::load(&RuntimeSettings::default()) else {
        eprintln!("skipped: no ONNX Runtime");
        return;
    };
    let mut network = runtime.network(mesh_network::NAME, mesh_network::NETWORK).unwrap();
    let input = picture(2);
    let theirs = network.run(&[("input", input.view().into_dyn())]).unwrap();
    let said = plan.end(&weights, plan.begin(&weights, tensor_from_array(&input, &FlexDevice)));
    let difference = |ours: Tensor<Flex, 2>, theirs: &ndarray::ArrayD<f32>| {
        let ours: Vec<f32> = ours.into_data().iter::<f32>().collect();
        assert_eq!(ours.len(), theirs.len());
        ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    // Points are up to 256.
    assert!(difference(said.points, &theirs[0]) < 1e-2);
    assert!(difference(said.presence, &theirs[1]) < 1e-2);
}

#[test]
fn what_is_no_network_of_this_kind_is_said() {
    let read = |bytes: &[u8]| Plan::read::<Flex>(bytes, &FlexDevice).err().unwrap();
    assert!(read(b"no network").contains("no ONNX file"));
    let other = include_bytes!("../../../models/face_blendshapes_52.onnx");
    assert!(read(other).contains("known here") || read(other).contains("side"), "{}", read(other));
}

#[test]
fn looks_follow_from_seed_and_step_and_points_lie_on_the_same_spots() {
    let room = tempfile::tempdir().unwrap();
    set(room.path(), 2.0, 3);
    let faces = Faces::read(&[room.path().into()]).unwrap();
    assert_eq!(faces.len(), 3);
    let (one, same, other) = (faces.batch(6, 4, 1), faces.batch(6, 4, 1), faces.batch(6, 5, 1));
    assert_eq!((&one.pictures, &one.points), (&same.pictures, &same.points));
    assert_ne!(one.points, other.points);
    // Every look at a face is centred on the box of its points, a mirrored one as well.
    let looks = faces.looks(0, 8, 2);
    for (points, counts) in looks.points.outer_iter().zip(looks.counts.outer_iter()) {
        assert_eq!(counts[0], 1.0);
        let of = |k: usize| points.iter().skip(k).step_by(2).copied();
        for k in 0..2 {
            let (least, most) = (of(k).fold(f32::MAX, f32::min), of(k).fold(f32::MIN, f32::max));
            assert!((0.5 * (least + most) - 128.0).abs() < 12.0, "{least} {most}");
        }
    }
    // The right eye's outer corner is on the left of the picture, mirrored or not.
    let [right, left] = mesh::OUTER_EYE_CORNERS;
    let is_mirrored: Vec<bool> = looks.points.outer_iter().map(|p| p[2 * right] > p[2 * left]).collect();
    assert!(is_mirrored.iter().all(|m| *m == is_mirrored[0]), "{is_mirrored:?}");
}

#[test]
fn a_set_without_room_around_its_faces_is_refused() {
    let room = tempfile::tempdir().unwrap();
    set(room.path(), 1.3, 1);
    let refusal = Faces::read(&[room.path().into()]).err().unwrap().to_string();
    assert!(refusal.contains("margin of 1.3") && refusal.contains("--margin 2"), "{refusal}");
}

#[test]
fn a_few_steps_bring_the_points_nearer_and_leave_the_rest_as_it_was() {
    let room = tempfile::tempdir().unwrap();
    set(&room.path().join("set"), 2.0, 2);
    let settings = LandmarkSettings {
        faces: vec![room.path().join("set")],
        held_out: vec![room.path().join("set")],
        out: room.path().join("out.onnx"),
        init: None,
        batch: 3,
        n_steps: 6,
        learning_rate: 1e-2,
        seed: 1,
        device: Device::Cpu,
    };
    let mut told = Vec::new();
    let report = distill_landmarks(&settings, &mut |p| told.push(p.clone()), &AtomicBool::new(false))
        .unwrap()
        .unwrap();
    let [student, before] = report.error_px;
    assert!(student < 0.97 * before, "{report}");
    assert_eq!(told.last().unwrap().step, 6);
    let written = std::fs::read(&settings.out).unwrap();
    assert!(!is_same_network(&written, mesh_network::NETWORK));
    // The finer layers stay as they are.
    let plan = |bytes: &[u8]| Plan::read::<Flex>(bytes, &FlexDevice).unwrap().0;
    let wild =
        LandmarkSettings { learning_rate: 1e30, out: room.path().join("wild.onnx"), ..settings.clone() };
    let told = distill_landmarks(&wild, &mut |_| (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(told.contains("--learning-rate 5e29") && !wild.out.exists(), "{told}");
    assert!(plan(&written).differs_in_what_learns(&plan(mesh_network::NETWORK)));
    // And on from there, where it stands.
    let on = LandmarkSettings {
        init: Some(settings.out.clone()),
        out: room.path().join("on.onnx"),
        ..settings.clone()
    };
    let stop = AtomicBool::new(true);
    let report = distill_landmarks(&on, &mut |_| (), &stop).unwrap().unwrap();
    // But for the 16 bits of the file.
    assert!((report.error_px[0] - student).abs() < 0.2 * (before - student), "{report}");
    let foreign = LandmarkSettings { init: Some("models/occlusion_128.onnx".into()), ..on };
    let refusal = distill_landmarks(&foreign, &mut |_| (), &stop).unwrap_err().to_string();
    assert!(refusal.contains("occlusion_128.onnx"), "{refusal}");
}
