//! Whole trainings, tiny ones: resumed, begun from what was exported, refused.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod plans;

use std::{fs, path::Path, sync::Mutex};

use burn::{
    backend::{Flex, flex::FlexDevice},
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};

use super::{
    faces_for_tests::{face_set, record, striped},
    *,
};

/// Four faces in one colour.
fn four_faces(dir: &Path, colour: [f32; 3]) -> PathBuf {
    face_set(dir, 1.3, (0..4).map(|frame| record(frame, striped(frame, colour))))
}

/// Four steps at 16 px, a checkpoint after each.
fn settings(dir: &Path, out: &str, names: [&str; 2]) -> TrainSettings {
    let colours = [[0.8, 0.5, 0.3], [0.3, 0.5, 0.8]];
    let faces = names.iter().zip(colours).map(|(name, colour)| {
        let set = dir.join("faces").join(name);
        ((*name).to_owned(), if set.exists() { set } else { four_faces(&set, colour) })
    });
    TrainSettings {
        faces: faces.collect(),
        out: dir.join(out),
        overrides: Overrides {
            side_px: Some(16),
            start_side_px: Some(16),
            batch: Some(2),
            n_steps: Some(4),
            ..Overrides::default()
        },
        save_every_minutes: 0.0,
        ..TrainSettings::default()
    }
}

fn run(settings: &TrainSettings) -> Vec<TrainEvent> {
    let told = Mutex::new(Vec::new());
    train(settings, &mut |event| told.lock().unwrap().push(event.clone()), &AtomicBool::new(false)).unwrap();
    told.into_inner().unwrap()
}

/// The averaged weights of the newest checkpoint, without the random names that the framework gives them.
fn weights(training: &TrainSettings) -> Vec<u32> {
    let path = checkpoint::newest(&training.out).unwrap().unwrap();
    let state = checkpoint::state::<checkpoint::State>(&path).unwrap();
    let fresh = Comb::<Flex>::new(&state.comb, state.identities.len(), &FlexDevice);
    let comb = checkpoint::average::<Flex, _>(&path, fresh, &FlexDevice).unwrap();
    let mut all = Bits(Vec::new());
    comb.visit(&mut all);
    all.0
}

struct Bits(Vec<u32>);

impl ModuleVisitor<Flex> for Bits {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Flex, D>>) {
        self.0.extend(param.val().into_data().iter::<f32>().map(f32::to_bits));
    }
}

/// Begins the training `to` with a checkpoint of `from`: the first weights are drawn from one source for all tests.
fn fork(from: &TrainSettings, step: u64, to: &TrainSettings) {
    let [from, to] = [from, to].map(|settings| settings.out.join(format!("checkpoints/{step}")));
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_training_that_was_killed_goes_on_to_the_same_weights() {
    goes_on_to_the_same_weights(None);
}

#[test]
fn so_does_one_with_critics() {
    goes_on_to_the_same_weights(Some(0.5));
}

fn goes_on_to_the_same_weights(adversarial: Option<f64>) {
    let dir = tempfile::tempdir().unwrap();
    let settings = |dir: &Path, out: &str, names| {
        let mut settings = settings(dir, out, names);
        settings.overrides.adversarial = adversarial;
        settings
    };
    let whole = TrainSettings { n_kept: 4, ..settings(dir.path(), "whole", ["A", "B"]) };
    let told = run(&whole);
    let loss = told.iter().rev().find_map(|event| match event {
        TrainEvent::Step(progress) => Some(progress.losses[0].1),
        _ => None,
    });
    assert_eq!(loss.unwrap().adversarial > 0.0, adversarial.is_some());
    let once = weights(&whole);
    // Neither does it matter how many work on it.
    let threads = TrainSettings { n_threads: 2, ..settings(dir.path(), "threads", ["A", "B"]) };
    fork(&whole, 1, &threads);
    run(&threads);
    assert!(weights(&threads) == once, "two threads give other weights");
    // Killed in the middle of writing the last checkpoint.
    fs::remove_dir_all(whole.out.join("checkpoints/4")).unwrap();
    fs::create_dir(whole.out.join("checkpoints/.4.partial")).unwrap();
    fs::write(whole.out.join("checkpoints/.4.partial/model.mpk"), b"half").unwrap();
    assert!(weights(&whole) != once, "a step changes nothing");
    run(&whole);
    assert!(weights(&whole) == once, "the resumed training has other weights");
}

fn bundle(dir: &Path, training: &TrainSettings, name: &str, to: &str) -> PathBuf {
    let out = dir.join(to).join(name);
    export(&export_settings(training, name, &out)).unwrap();
    out
}

fn export_settings(training: &TrainSettings, name: &str, out: &Path) -> ExportSettings {
    ExportSettings {
        training: training.out.clone(),
        checkpoint: Checkpoint::Last,
        identity: name.into(),
        out: out.into(),
        subject: "nobody".into(),
        basis: "synthetic".into(),
        date: None,
        licence: "CC0-1.0".into(),
        draw_back: None,
        precision: Precision::Fp16,
        overwrite: false,
    }
}

#[test]
fn an_export_goes_some_of_the_way_back_to_what_the_training_began_with() {
    let dir = tempfile::tempdir().unwrap();
    let first = settings(dir.path(), "first", ["A", "B"]);
    run(&first);
    let exported = ["A", "B"].map(|name| bundle(dir.path(), &first, name, "identities"));
    let mut later = settings(dir.path(), "later", ["A", "B"]);
    later.init = Some(dir.path().join("identities"));
    later.overrides.encoder_rate = Some(0.0);
    run(&later);
    let decoder = |dir: &Path| fs::read(dir.join("decoder.onnx")).unwrap();
    let plain = bundle(dir.path(), &later, "B", "later.identities");
    let back = |share: f64, towards: PathBuf| ExportSettings {
        draw_back: Some((share, towards)),
        overwrite: true,
        ..export_settings(&later, "B", &dir.path().join("back/B"))
    };
    let drawn = |share: f64| export(&back(share, dir.path().join("identities"))).unwrap();
    let half = drawn(0.5);
    assert_eq!(half.manifest.training.unwrap().drawn_back, Some(0.5));
    let half = half.decoder;
    assert!(half != decoder(&plain) && half != decoder(&exported[1]));
    assert!(drawn(0.0).decoder == decoder(&plain), "no step back changes something");
    let whole = drawn(1.0);
    assert!(whole.decoder == decoder(&exported[1]), "all of the way back isn't the beginning");
    assert!(
        whole.encoder == fs::read(exported[0].join("encoder.onnx")).unwrap(),
        "an encoder that was kept has changed"
    );
    // Folders that the training didn't begin with.
    let others = settings(dir.path(), "others", ["C", "A"]);
    run(&others);
    bundle(dir.path(), &others, "C", "others.identities");
    for (towards, wanted) in [("others.identities", "holds no identity A"), ("faces", "holds no identities")]
    {
        let told = export(&back(0.5, dir.path().join(towards))).unwrap_err().to_string();
        assert!(told.contains(wanted) && told.starts_with("--towards"), "{told}");
    }
}

#[test]
fn critics_may_join_a_training_that_had_none() {
    let dir = tempfile::tempdir().unwrap();
    let plain = settings(dir.path(), "plain", ["A", "B"]);
    run(&plain);
    let mut judged = plain.clone();
    (judged.overrides.adversarial, judged.overrides.n_steps) = (Some(0.5), Some(6));
    run(&judged);
    let path = checkpoint::newest(&judged.out).unwrap().unwrap();
    assert!(path.ends_with("6") && path.join("critics.mpk").exists());
    fs::write(path.join("critics.mpk"), b"half").unwrap();
    judged.overrides.n_steps = Some(8);
    let told = train(&judged, &mut |_| (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(told.contains("critics.mpk"), "{told}");
}

#[test]
fn a_person_is_added_to_exported_identities_with_their_encoder_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let first = settings(dir.path(), "first", ["A", "B"]);
    run(&first);
    let exported = ["A", "B"].map(|name| bundle(dir.path(), &first, name, "identities"));
    let mut added = settings(dir.path(), "added", ["new", "B"]);
    added.init = Some(dir.path().join("identities"));
    added.overrides.encoder_rate = Some(0.0);
    run(&added);
    let new = bundle(dir.path(), &added, "new", "later");
    let read = |dir: &Path, file: &str| fs::read(dir.join(file)).unwrap();
    assert!(read(&new, "encoder.onnx") == read(&exported[0], "encoder.onnx"), "the encoder has changed");
    assert!(read(&new, "decoder.onnx") != read(&exported[0], "decoder.onnx"), "the decoder learnt nothing");
    // The same with an encoder that learns: it doesn't stay.
    let mut both = TrainSettings { out: dir.path().join("both"), ..added.clone() };
    both.overrides.encoder_rate = Some(1.0);
    run(&both);
    let both = bundle(dir.path(), &both, "new", "both.identities");
    assert!(read(&both, "encoder.onnx") != read(&exported[0], "encoder.onnx"));
}

#[test]
fn a_larger_side_fades_in_over_what_a_base_has_learnt() {
    let dir = tempfile::tempdir().unwrap();
    let first = settings(dir.path(), "first", ["A", "B"]);
    run(&first);
    for name in ["A", "B"] {
        bundle(dir.path(), &first, name, "identities");
    }
    let mut larger = settings(dir.path(), "larger", ["A", "B"]);
    larger.init = Some(dir.path().join("identities"));
    larger.overrides.side_px = Some(64);
    larger.overrides.start_side_px = Some(64);
    let alignment = Alignment { template: "mesh-inner-v1".into(), margin: 1.3, guides: false };
    let plan = plan::Plan::of(&larger, &alignment).unwrap();
    let sides: Vec<_> = plan.schedule.levels().iter().map(|level| (level.side_px, level.n_steps)).collect();
    assert_eq!(sides, [(16, 1), (32, 2), (64, 4)]);
    // Each new side has faded in before the next begins.
    let alphas: Vec<_> = (1..4).map(|step| plan.schedule.stage(step).alpha).collect();
    assert!(alphas[0] < 0.1 && alphas[1] == 1.0 && alphas[2] < 0.1, "{alphas:?}");
    // A level that the base has begins as ever.
    larger.overrides.start_side_px = Some(16);
    assert_eq!(plan::Plan::of(&larger, &alignment).unwrap().schedule.levels()[0].side_px, 16);
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
    assert!(refusal(&small).contains("must be 256 or more, the side of --init"), "{}", refusal(&small));
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
    let held = Lock::on(&good.out, &good.out).unwrap();
    assert!(refusal(&good).contains("is working on it"), "{}", refusal(&good));
    drop(held);
    let nobody = TrainSettings { faces: Vec::new(), ..good };
    assert!(refusal(&nobody).contains("NAME=FOLDER"));
}

#[test]
fn a_folder_goes_on_with_its_own_configuration_and_exports_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = settings(dir.path(), "out", ["A", "B"]);
    first.overrides.learning_rate = Some(3e-4);
    first.overrides.accumulate = Some(2);
    run(&first);
    let saved = TrainConfig::read(&first.out.join("train.toml")).unwrap();
    assert_eq!((saved.learning_rate, saved.accumulate, saved.levels[0].batch), (3e-4, 2, 2));
    // Nothing is typed the second time but more steps.
    let mut again = TrainSettings { overrides: Overrides::default(), ..first.clone() };
    again.overrides.n_steps = Some(6);
    let told = run(&again);
    let TrainEvent::Config { step: 4, text } = &told[0] else { panic!("{told:?}") };
    assert!(text.contains("16 px, 6 steps") && text.contains("steps of 2 batches"), "{text}");
    let saved = TrainConfig::read(&first.out.join("train.toml")).unwrap();
    assert_eq!((saved.learning_rate, saved.levels[0].n_steps), (3e-4, 6));
    let bundle = crate::swap::Bundle::load(&bundle(dir.path(), &again, "A", "identities")).unwrap();
    let record = bundle.manifest.training.unwrap();
    let config: TrainConfig = record.config.unwrap().try_into().unwrap();
    assert_eq!((config, record.steps, record.samples), (saved, 6, 4 * 2 * 4 + 2 * 2 * 4));
}

#[test]
fn a_training_guided_by_the_mesh_gives_bundles_that_want_it_and_goes_on_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut guided = settings(dir.path(), "guided", ["A", "B"]);
    guided.overrides.guides = Some(true);
    run(&guided);
    let exported = bundle(dir.path(), &guided, "A", "identities");
    assert!(crate::swap::Bundle::load(&exported).unwrap().guides);
    // Nobody says so any more: in the same folder, and on the base of what was exported.
    let mut again = guided.clone();
    again.overrides = Overrides { n_steps: Some(5), ..Overrides::default() };
    assert!(matches!(run(&again)[..], [TrainEvent::Config { step: 4, .. }, ..]));
    let mut later = settings(dir.path(), "later", ["A", "B"]);
    later.init = Some(dir.path().join("identities"));
    run(&later);
    assert!(TrainConfig::read(&later.out.join("train.toml")).unwrap().guides);
    // A folder whose faces were shown plainly can't change its mind.
    let plain = settings(dir.path(), "plain", ["A", "B"]);
    run(&plain);
    assert!(!crate::swap::Bundle::load(&bundle(dir.path(), &plain, "A", "others")).unwrap().guides);
    let mut turned = plain.clone();
    turned.overrides.guides = Some(true);
    let refusal = train(&turned, &mut |_| (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(refusal.contains("guides: false"), "{refusal}");
}

#[test]
fn two_half_batches_make_the_step_of_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let of = |out: &str, batch, accumulate| {
        let mut settings = TrainSettings { n_kept: 9, ..settings(dir.path(), out, ["A", "B"]) };
        settings.overrides.batch = Some(batch);
        settings.overrides.accumulate = Some(accumulate);
        settings.overrides.n_steps = Some(2);
        settings
    };
    let loss_of = |settings: &TrainSettings| {
        let step = run(settings).into_iter().find_map(|event| match event {
            TrainEvent::Step(progress) => Some(progress.losses[0].1.total),
            _ => None,
        });
        step.unwrap()
    };
    let (one, two, again) = (of("one", 8, 1), of("two", 4, 2), of("again", 4, 2));
    let (whole, halves) = (loss_of(&one), loss_of(&two));
    assert!((whole - halves).abs() < 0.3 * whole, "the losses are means: {whole} and {halves}");
    fork(&two, 1, &again);
    run(&again);
    assert!(weights(&again) == weights(&two), "the same to the bit");
}

#[test]
fn the_last_checkpoints_are_kept_and_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let settings = TrainSettings { n_kept: 2, ..settings(dir.path(), "out", ["A", "B"]) };
    run(&settings);
    let steps = || {
        let mut steps: Vec<u64> = fs::read_dir(settings.out.join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().parse().unwrap())
            .collect();
        steps.sort_unstable();
        steps
    };
    assert!(steps().ends_with(&[3, 4]) && steps().len() <= 3, "{:?}", steps());
    // An old one that is better than all others stays.
    let path = settings.out.join("checkpoints/3/state.json");
    let state = fs::read_to_string(&path).unwrap();
    let score = checkpoint::state::<checkpoint::State>(path.parent().unwrap()).unwrap().score.unwrap();
    assert!(state.contains("\"score\""));
    let better = state.replace(&format!("\"score\": {score}"), "\"score\": 0.0001");
    assert_ne!(better, state, "{state}");
    fs::write(&path, better).unwrap();
    let mut longer = settings.clone();
    longer.overrides.n_steps = Some(8);
    run(&longer);
    assert_eq!(steps(), [3, 7, 8]);
    let best = checkpoint::best::<checkpoint::State>(&settings.out).unwrap().unwrap();
    assert!(best.ends_with("checkpoints/3"), "{best:?}");
    assert!(longer.out.join("timelapse/000001.png").exists() && longer.out.join("loss.html").exists());
}
