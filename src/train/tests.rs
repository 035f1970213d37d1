//! Whole trainings, tiny ones: resumed, begun from what was exported, refused.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{fs, path::Path, sync::Mutex};

use ndarray::{Array2, Array3};

use super::*;
use crate::face_set::{FaceRecord, FaceSetHeader, FaceSetWriter};

/// A set of four faces of 24 px in one colour with stripes.
fn face_set(dir: &Path, colour: [f32; 3]) -> PathBuf {
    let mut set = FaceSetWriter::create(dir, &FaceSetHeader::new("mesh-inner-v1", 1.3, 24)).unwrap();
    for frame in 0..4 {
        let pixels = Array3::from_shape_fn((3, 24, 24), |(c, y, x)| {
            colour[c] * if (x + y + frame).is_multiple_of(5) { 0.7 } else { 1.0 }
        });
        set.append(&FaceRecord {
            pixels,
            target: None,
            mask: Array2::ones((24, 24)),
            source: "clip.mp4".into(),
            frame: frame as u64,
            points: vec![[12.0, 12.0]; 478],
            presence: 1.0,
        })
        .unwrap();
    }
    set.finish().unwrap();
    dir.into()
}

/// Four steps at 16 px, a checkpoint after each.
fn settings(dir: &Path, out: &str, names: [&str; 2]) -> TrainSettings {
    let colours = [[0.8, 0.5, 0.3], [0.3, 0.5, 0.8]];
    let faces = names.iter().zip(colours).map(|(name, colour)| {
        let set = dir.join("faces").join(name);
        ((*name).to_owned(), if set.exists() { set } else { face_set(&set, colour) })
    });
    TrainSettings {
        faces: faces.collect(),
        out: dir.join(out),
        side_px: 16,
        batch_per_identity: 2,
        max_steps: 4,
        save_every_minutes: 0.0,
        ..TrainSettings::default()
    }
}

fn run(settings: &TrainSettings) -> Vec<TrainProgress> {
    let told = Mutex::new(Vec::new());
    train(settings, &mut |progress| told.lock().unwrap().push(progress.clone()), &AtomicBool::new(false))
        .unwrap();
    told.into_inner().unwrap()
}

fn weights(out: &Path, step: u64) -> Vec<u8> {
    fs::read(out.join(format!("checkpoints/{step}/average.mpk"))).unwrap()
}

#[test]
fn a_training_that_was_killed_goes_on_to_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(dir.path(), "whole", ["A", "B"]);
    run(&whole);
    let once = weights(&whole.out, 4);
    // Killed in the middle of writing the last checkpoint.
    fs::remove_dir_all(whole.out.join("checkpoints/4")).unwrap();
    fs::create_dir(whole.out.join("checkpoints/.4.partial")).unwrap();
    fs::write(whole.out.join("checkpoints/.4.partial/model.mpk"), b"half").unwrap();
    run(&whole);
    assert!(weights(&whole.out, 4) == once, "the resumed training has other weights");
    let other = TrainSettings { seed: 2, ..settings(dir.path(), "other", ["A", "B"]) };
    run(&other);
    assert!(weights(&other.out, 4) != once, "another seed gives the same weights");
}

fn bundle(dir: &Path, training: &TrainSettings, name: &str, to: &str) -> PathBuf {
    let out = dir.join(to).join(name);
    export(&ExportSettings {
        training: training.out.clone(),
        identity: name.into(),
        out: out.clone(),
        subject: "nobody".into(),
        basis: "synthetic".into(),
        date: None,
        licence: "CC0-1.0".into(),
        half: true,
        overwrite: false,
    })
    .unwrap();
    out
}

#[test]
fn a_person_is_added_to_exported_identities_with_their_encoder_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let first = settings(dir.path(), "first", ["A", "B"]);
    run(&first);
    let exported = ["A", "B"].map(|name| bundle(dir.path(), &first, name, "identities"));
    let added = TrainSettings {
        init: Some(dir.path().join("identities")),
        encoder_rate: 0.0,
        ..settings(dir.path(), "added", ["new", "B"])
    };
    run(&added);
    let new = bundle(dir.path(), &added, "new", "later");
    let read = |dir: &Path, file: &str| fs::read(dir.join(file)).unwrap();
    assert!(read(&new, "encoder.onnx") == read(&exported[0], "encoder.onnx"), "the encoder has changed");
    assert!(read(&new, "decoder.onnx") != read(&exported[0], "decoder.onnx"), "the decoder learnt nothing");
    // The same with an encoder that learns: it doesn't stay.
    let both = TrainSettings { encoder_rate: 1.0, out: dir.path().join("both"), ..added.clone() };
    run(&both);
    let both = bundle(dir.path(), &both, "new", "both.identities");
    assert!(read(&both, "encoder.onnx") != read(&exported[0], "encoder.onnx"));
}

#[test]
fn what_training_cannot_begin_with_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let good = settings(dir.path(), "out", ["A", "B"]);
    let refusal = |settings: &TrainSettings| {
        train(settings, &mut |_| (), &AtomicBool::new(false)).unwrap_err().to_string()
    };
    let none = TrainSettings { init: Some(dir.path().join("faces")), ..good.clone() };
    assert!(refusal(&none).contains("holds no identities"), "{}", refusal(&none));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/identities");
    let small = TrainSettings { init: Some(shipped.clone()), ..good.clone() };
    assert!(refusal(&small).contains("must be 128 or more, the side of --init"), "{}", refusal(&small));
    // Two identities of different trainings have different encoders.
    run(&good);
    let mixed = dir.path().join("mixed");
    fs::create_dir_all(mixed.join("A")).unwrap();
    for file in fs::read_dir(shipped.join("A")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), mixed.join("A").join(file.file_name())).unwrap();
    }
    bundle(dir.path(), &good, "B", "mixed");
    let unlike = TrainSettings { init: Some(mixed), ..good.clone() };
    assert!(refusal(&unlike).contains("another encoder"), "{}", refusal(&unlike));
    let nobody = TrainSettings { faces: Vec::new(), ..good };
    assert!(refusal(&nobody).contains("NAME=FOLDER"));
}
