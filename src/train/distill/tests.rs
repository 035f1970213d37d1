//! Whole distillations, tiny ones: begun, resumed, refused.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    fs,
    sync::{Mutex, atomic::Ordering},
};

use super::*;
use crate::{
    face_set::FaceRecord,
    train::{
        Checkpoint, ExportSettings, Overrides, Precision, TrainSettings, export as export_bundle,
        faces_for_tests::{face_set, no_runtime, record, striped},
        train,
    },
};

/// A set of `n` faces in one colour; with `target`, each has a truth of that colour.
fn faces_of(dir: &Path, n: usize, colour: [f32; 3], target: Option<[f32; 3]>) -> PathBuf {
    let face = |frame| FaceRecord {
        target: target.map(|colour| striped(frame, colour)),
        ..record(frame, striped(frame, colour))
    };
    face_set(dir, 1.3, (0..n).map(face))
}

/// A teacher of 16 px called B, trained for four steps, and the faces of somebody.
struct Room {
    dir: tempfile::TempDir,
    teacher: PathBuf,
    faces: PathBuf,
    own: PathBuf,
}

fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let own = faces_of(&dir.path().join("faces/B"), 12, [0.3, 0.5, 0.8], None);
    let faces = faces_of(&dir.path().join("faces/A"), 12, [0.8, 0.5, 0.3], None);
    let training = TrainSettings {
        faces: vec![("A".into(), faces.clone()), ("B".into(), own.clone())],
        out: dir.path().join("training"),
        overrides: Overrides {
            side_px: Some(16),
            start_side_px: Some(16),
            batch: Some(2),
            n_steps: Some(4),
            ..Overrides::default()
        },
        ..TrainSettings::default()
    };
    train(&training, &mut |_| (), &AtomicBool::new(false)).unwrap();
    let teacher = dir.path().join("identities/B");
    export_bundle(&ExportSettings {
        training: training.out,
        checkpoint: Checkpoint::Last,
        identity: "B".into(),
        out: teacher.clone(),
        subject: "nobody".into(),
        basis: "synthetic".into(),
        date: None,
        licence: "CC0-1.0".into(),
        draw_back: None,
        precision: Precision::Fp16,
        overwrite: false,
    })
    .unwrap();
    Room { dir, teacher, faces, own }
}

fn settings(room: &Room, out: &str) -> DistillSettings {
    DistillSettings {
        faces: vec![room.faces.clone()],
        own: vec![room.own.clone()],
        // At 16 px a mixed one is whole.
        student: StudentConfig { convolution: Convolution::Dws, ..StudentConfig::default() },
        batch: 2,
        max_steps: 5,
        save_every_minutes: 0.0,
        ..DistillSettings::new(room.teacher.clone(), room.dir.path().join("identities").join(out))
    }
}

fn run(settings: &DistillSettings) -> Result<Ending> {
    distill(settings, &mut |_| (), &AtomicBool::new(false))
}

/// What a line of the log says of the losses.
fn losses(event: &DistillEvent) -> Option<Vec<(&'static str, f32)>> {
    match event {
        DistillEvent::Step(progress) => Some(progress.losses.clone()),
        DistillEvent::Note { .. } => None,
    }
}

fn refusal(settings: &DistillSettings) -> String {
    run(settings).unwrap_err().to_string()
}

#[test]
fn a_student_is_a_bundle_under_its_teachers_consent_with_a_report() {
    if no_runtime() {
        return;
    }
    let room = room();
    let settings = DistillSettings { control: true, ..settings(&room, "B.fast") };
    let Ending::Whole(report) = run(&settings).unwrap() else { panic!("unfinished") };
    let names: Vec<&str> = report.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["B", "from scratch", "B.fast"]);
    assert_eq!((report.n_faces, report.n_held_out, report.n_with_truth), (22, 2, 1));
    let [teacher, control, student] = &report.rows[..] else { panic!("three rows") };
    assert!(student.mmac.decoder < 0.5 * teacher.mmac.decoder && control.mmac == student.mmac);
    assert!(teacher.psnr_teacher_db.is_none() && student.psnr_teacher_db.is_some());
    // Four steps of training are no teacher, yet a student that begins with its weights is nearer than one from chance.
    assert!(student.psnr_teacher_db > control.psnr_teacher_db, "{report}");
    assert_eq!((control.steps, student.steps), (Some(5), Some(5)));

    let (teacher, student) =
        (Bundle::load(&room.teacher).unwrap().manifest, Bundle::load(&settings.out).unwrap().manifest);
    assert_eq!(student.name, "B.fast");
    let note = student.consent.note.as_deref().unwrap();
    assert!(note.contains("distilled from the identity B"), "{note}");
    assert_eq!(
        (student.consent.subject, student.consent.basis),
        (teacher.consent.subject, teacher.consent.basis)
    );
    let distilled = student.distilled.unwrap();
    assert_eq!(distilled.teacher_encoder_sha256, teacher.networks.encoder.sha256);
    assert_eq!(distilled.stages, ["projection", "perceptual", "truth"]);
    let dirs = [room.dir.path().to_path_buf()];
    assert_eq!(crate::swap::find("B.fast", &dirs).unwrap().dir, settings.out);

    let page = fs::read_to_string(settings.work.join("report.html")).unwrap();
    assert!(page.matches("<img src=\"data:image/jpeg").count() == 2 * 4 + 1 && !page.contains("http"));
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(settings.work.join("report.json")).unwrap()).unwrap();
    assert_eq!(json["rows"][2]["n_parameters"], report.rows[2].n_parameters);
    // A folder of identities stays one that a training can begin with: the student is passed over.
    assert_eq!(crate::train::base::Base::read(&room.dir.path().join("identities")).unwrap().side_px(), 16);
    assert!(refusal(&settings).contains("--overwrite"));
    let again = DistillSettings { teacher: settings.out.clone(), ..self::settings(&room, "C") };
    assert!(refusal(&again).contains("take its teacher, B"), "{}", refusal(&again));
}

#[test]
fn every_projection_and_width_learns() {
    if no_runtime() {
        return;
    }
    let room = room();
    for (i, projection) in ["3x3", "1x1", "1x1-lrelu", "1x1-sine"].into_iter().enumerate() {
        let student = StudentConfig {
            width: 0.5,
            convolution: if i == 0 { Convolution::Full } else { Convolution::Dws },
            patches: i == 3,
            projection: Projection::by_name(projection).unwrap(),
            from_teacher: false,
            ..StudentConfig::default()
        };
        let told = Mutex::new(Vec::new());
        let settings = DistillSettings {
            student,
            phases: vec![Phase::Projection],
            max_steps: 60,
            learning_rate: 4e-3,
            ..settings(&room, &format!("B.{i}"))
        };
        distill(&settings, &mut |event| told.lock().unwrap().extend(losses(event)), &AtomicBool::new(false))
            .unwrap();
        let told = told.into_inner().unwrap();
        let level = |losses: &[(&str, f32)]| losses.iter().find(|(name, _)| *name == "decoder").unwrap().1;
        assert!(level(&told[1]) < level(&told[0]), "{projection}: {told:?}");
    }
}

#[test]
fn a_distillation_that_was_stopped_goes_on_to_the_same_weights() {
    if no_runtime() {
        return;
    }
    let room = room();
    goes_on_to_the_same_weights(&settings(&room, "whole"), &settings(&room, "killed"));
    // The same with a discriminator, which is kept beside the student.
    let [whole, killed] = ["judged", "judged and killed"]
        .map(|out| DistillSettings { adversarial: 0.5, ..settings(&room, out) });
    goes_on_to_the_same_weights(&whole, &killed);
    let [plain, judged] = ["whole", "judged"].map(|out| {
        let bundle = room.dir.path().join("identities").join(out);
        fs::read(bundle.join("decoder.onnx")).unwrap()
    });
    assert!(plain != judged, "a discriminator changes nothing");
}

fn goes_on_to_the_same_weights(whole: &DistillSettings, killed: &DistillSettings) {
    let stop = AtomicBool::new(true);
    // Both begin with one student: the tests draw first weights side by side, from one source.
    assert!(matches!(distill(whole, &mut |_| (), &stop).unwrap(), Ending::Unfinished));
    let [from, to] = [whole, killed].map(|settings| settings.work.join("student/checkpoints/0"));
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).unwrap().map(std::result::Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    run(whole).unwrap();
    // Stopped before its first step, then cut off in the middle of writing a checkpoint.
    assert!(matches!(distill(killed, &mut |_| (), &stop).unwrap(), Ending::Unfinished));
    assert!(!killed.out.exists());
    stop.store(false, Ordering::Relaxed);
    distill(killed, &mut |_| (), &stop).unwrap();
    fs::remove_dir_all(&killed.out).unwrap();
    fs::remove_dir_all(killed.work.join("student/checkpoints/5")).unwrap();
    fs::create_dir(killed.work.join("student/checkpoints/.5.partial")).unwrap();
    distill(killed, &mut |_| (), &stop).unwrap();
    for file in ["encoder.onnx", "decoder.onnx"] {
        let [one, other] = [whole, killed].map(|settings| fs::read(settings.out.join(file)).unwrap());
        assert!(one == other, "{file} differs");
    }
    // Another student in the same folder is another distillation.
    let killed = DistillSettings { overwrite: true, ..killed.clone() };
    for (other, wanted) in [
        (DistillSettings { seed: 2, ..killed.clone() }, "another seed"),
        (DistillSettings { max_steps: 6, ..killed.clone() }, "another number of steps"),
        (DistillSettings { adversarial: 0.7, ..killed.clone() }, "another weight of the discriminator"),
        (
            DistillSettings {
                student: StudentConfig { encoder_width: 0.5, ..killed.student },
                ..killed.clone()
            },
            "another student",
        ),
    ] {
        let told = refusal(&other);
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn what_cannot_be_distilled_is_said() {
    let room = room();
    let good = settings(&room, "B.fast");
    let empty = DistillSettings { faces: Vec::new(), own: Vec::new(), ..good.clone() };
    assert!(refusal(&empty).contains("the transfer set is empty"), "{}", refusal(&empty));
    let small = faces_of(&room.dir.path().join("small"), 3, [0.5; 3], None);
    let small = DistillSettings { faces: vec![small], own: Vec::new(), ..good.clone() };
    assert!(refusal(&small).contains("--held-out"), "{}", refusal(&small));
    let blind = DistillSettings { own: Vec::new(), phases: vec![Phase::Truth], ..good.clone() };
    assert!(refusal(&blind).contains("--own"), "{}", refusal(&blind));
    let used = DistillSettings { out: room.teacher.clone(), ..good.clone() };
    assert!(refusal(&used).contains("holds an identity"), "{}", refusal(&used));
    let full = DistillSettings { out: room.dir.path().join("faces"), overwrite: true, ..good.clone() };
    assert!(refusal(&full).contains("is no identity"), "{}", refusal(&full));
    let unnamed = DistillSettings { out: room.dir.path().join(".."), ..good.clone() };
    assert!(refusal(&unnamed).contains("the student's name"), "{}", refusal(&unnamed));
    let held = Lock::on(&good.work, &good.work).unwrap();
    assert!(refusal(&good).contains("is working on it"), "{}", refusal(&good));
    drop(held);
    let other_cut = face_set(&room.dir.path().join("wide"), 1.5, []);
    let wide = DistillSettings { faces: vec![other_cut], ..good.clone() };
    assert!(refusal(&wide).contains("extract it again"), "{}", refusal(&wide));
    // A damaged network, and one of another topology.
    let decoder = room.teacher.join("decoder.onnx");
    let whole = fs::read(&decoder).unwrap();
    fs::write(&decoder, &whole[..whole.len() - 9]).unwrap();
    assert!(refusal(&good).contains("changed or damaged"), "{}", refusal(&good));
    let mut graph = crate::train::onnx::GraphWriter::new("decoder", crate::train::onnx::Weights::Full);
    let mut h = graph.input("latent", &[256, 1, 1]);
    h = graph.conv(h, [4, 256, 1, 1], &[0.0; 1024], &[0.0; 4], 0);
    for _ in 0..4 {
        h = graph.doubled(h);
    }
    let (face, mask) = (graph.channels(h.clone(), 0, 3), graph.channels(h, 3, 4));
    graph.output("face", face, &[3, 16, 16]);
    graph.output("mask", mask, &[1, 16, 16]);
    let other = graph.finish();
    fs::write(&decoder, &other).unwrap();
    let manifest = room.teacher.join(manifest::FILE_NAME);
    let text = fs::read_to_string(&manifest).unwrap();
    let sha256 = crate::digest::sha256;
    fs::write(&manifest, text.replace(&sha256(&whole), &sha256(&other))).unwrap();
    assert!(refusal(&good).contains("only such an identity can teach"), "{}", refusal(&good));
}
