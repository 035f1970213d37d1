//! What a training makes of its settings: planned, taken back, gone on with, refused.

use std::sync::atomic::Ordering;

use super::*;

#[test]
fn a_training_is_planned_into_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path(), "out", ["A", "B"]);
    settings.preset = Some(Preset::Tiny);
    settings.overrides.side_px = Some(32);
    settings.overrides.n_steps = Some(100_000);
    // A quarter of a minute, and nothing but the plan: at once stopped.
    settings.plan_minutes = Some(0.25);
    train(&settings, &mut |_| (), &AtomicBool::new(true)).unwrap();
    let planned = TrainConfig::read(&settings.out.join("train.toml")).unwrap();
    let steps: Vec<u64> = planned.levels.iter().map(|level| level.n_steps).collect();
    assert!(steps.iter().all(|n| *n < 20_000), "{steps:?}");
    // The shares of the levels are as they were: 40 000 and 60 000.
    assert!((steps[1] as f64 / steps[0] as f64 - 1.5).abs() < 0.3, "{steps:?}");
    // The same command goes on with its plan, with or without a time; another one does what it says.
    let steps_of = |settings: &TrainSettings| {
        train(settings, &mut |_| (), &AtomicBool::new(true)).unwrap();
        TrainConfig::read(&settings.out.join("train.toml")).unwrap().steps()
    };
    assert_eq!(steps_of(&settings), steps);
    settings.plan_minutes = None;
    assert_eq!(steps_of(&settings), steps);
    let mut bare = TrainSettings { preset: None, overrides: Overrides::default(), ..settings.clone() };
    assert_eq!(steps_of(&bare), steps, "nothing is said");
    assert_eq!(steps_of(&settings), steps, "the plan is forgotten where nothing is said");
    bare.config = Some(bare.out.join("train.toml"));
    assert_eq!(steps_of(&bare), steps, "its own configuration");
    settings.overrides.n_steps = Some(500);
    assert_eq!(steps_of(&settings), [200, 300]);
}

#[test]
fn a_loss_that_stays_no_number_ends_the_training() {
    let dir = tempfile::tempdir().unwrap();
    // Sixty steps as ever, and then such as nothing survives: more than lie between two lines of the log.
    let mut config = Preset::Tiny.config().unwrap();
    config.learning_rate = 1.0;
    config.levels =
        vec![Level { rate: 1e-3, ..Level::new(16, 60, 1) }, Level { rate: 100.0, ..Level::new(32, 200, 1) }];
    let path = dir.path().join("wild.toml");
    fs::write(&path, config.to_toml().unwrap()).unwrap();
    let wild = TrainSettings {
        config: Some(path),
        overrides: Overrides::default(),
        save_every_minutes: 1e3,
        ..settings(dir.path(), "out", ["A", "B"])
    };
    let (stop, mut n_taken_back) = (AtomicBool::new(false), 0);
    let mut tell = |event: &TrainEvent| {
        n_taken_back += u32::from(event.to_string().contains("not a number"));
        // A training that never ends would be no test.
        stop.store(n_taken_back > 5, Ordering::Relaxed);
    };
    let told = train(&wild, &mut tell, &stop).unwrap_err().to_string();
    assert!(told.contains("3 times in a row") && told.contains("--learning-rate 5e-1"), "{told}");
    assert_eq!(n_taken_back, 3);
    let step = told.split("at step ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    assert!(step.parse::<u64>().unwrap() > 60, "the calm steps are no trouble: {told}");
}

#[test]
fn a_seed_that_is_not_the_trainings_own_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut training = settings(dir.path(), "out", ["A", "B"]);
    training.overrides.seed = Some(7);
    run(&training);
    let seed = |training: &TrainSettings| TrainConfig::read(&training.out.join("train.toml")).unwrap().seed;
    // Nothing is said, or a preset, which has a seed as well.
    training.overrides.seed = None;
    for preset in [None, Some(Preset::Light)] {
        training.preset = preset;
        run(&training);
        assert_eq!(seed(&training), 7);
    }
    training.overrides.seed = Some(8);
    let told = train(&training, &mut |_| (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(told.starts_with("--seed") && told.contains("its own, 7"), "{told}");
    training.overrides.seed = Some(7);
    run(&training);
}

#[test]
fn faces_for_the_preview_are_cut_as_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let wide = face_set(&dir.path().join("wide"), 1.5, [record(0, striped(0, [0.5; 3]))]);
    let training = TrainSettings { preview: Some(wide), ..settings(dir.path(), "out", ["A", "B"]) };
    let told = train(&training, &mut |_| (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(told.contains("wide") && told.contains("extract it again"), "{told}");
}

#[test]
fn a_training_with_more_steps_than_are_left_is_done() {
    let done = |step| TrainEvent::Done { step, n_steps: 4, minutes: 1.0 }.to_string();
    assert_eq!([4, 6].map(done), ["done: 4 steps, 1.0 min", "done: 6 steps, 1.0 min"]);
    assert!(done(3).contains("stopped at step 3 of 4"));
}

#[test]
fn a_slash_behind_a_folder_changes_nothing_of_what_lies_beside_it() {
    for typed in ["models/B", "models/B/", "models/B//"] {
        assert_eq!(beside(Path::new(typed), ".distill").to_str(), Some("models/B.distill"));
        let settings = DistillSettings::new("models/A".into(), typed.into());
        assert_eq!(settings.work.to_str(), Some("models/B.distill"));
    }
}
