#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use burn::{
    backend::{Autodiff, Flex, flex::FlexDevice},
    module::AutodiffModule as _,
    tensor::{activation::sigmoid, backend::Backend},
};
use ndarray::Array4;
use rand::SeedableRng;

use super::{
    unet::{Unet, unet_onnx},
    *,
};
use crate::{
    face_set::FaceRecord,
    nn::{Runtime, RuntimeSettings},
    train::{
        faces_for_tests::{face_set, record},
        onnx::Weights,
        preview::{array_from_tensor, tensor_from_array},
    },
};

const TASKS: [Task; 2] = [Task::Occlusion, Task::Seam];

/// A picture of the task from [`face`], with its negative as the stranger.
fn drawn(task: Task, side: usize, seed: u64) -> Labelled {
    let (face, mask) = face(side);
    let mut faces = [face.clone(), face.mapv(|v| 1.0 - v)].into_iter();
    task.draw(&mut |_| (faces.next().unwrap(), mask.clone()), &mut SmallRng::seed_from_u64(seed))
}

/// A face of bands of colour, and a round mask.
fn face(side: usize) -> (Array3<f32>, Array2<f32>) {
    let face = Array3::from_shape_fn((3, side, side), |(c, y, x)| {
        0.3 + 0.1 * c as f32 + 0.2 * ((x + 2 * y) as f32 / 9.0).sin()
    });
    let middle = side as f32 / 2.0;
    let mask = Array2::from_shape_fn([side, side], |(y, x)| {
        (middle * 0.7 - (x as f32 - middle).hypot(y as f32 - middle)).clamp(0.0, 1.0)
    });
    (face, mask)
}

#[test]
fn labels_say_where_pictures_were_changed() {
    for task in TASKS {
        let side = task.config().side_px;
        let mut n_marked = 0;
        for seed in 0..12 {
            let draw = || drawn(task, side, seed);
            let one = draw();
            assert_eq!(one.picture, draw().picture, "{task:?} {seed} isn't the same twice");
            assert_eq!(one.map.dim(), (task.config().map_px(), task.config().map_px()));
            let all = one.picture.iter().chain(&one.map).chain(one.score.as_ref());
            assert!(all.copied().all(|v| (0.0..=1.0).contains(&v)), "{task:?} {seed} leaves 0..=1");
            let is_marked = one.map.iter().any(|v| *v > 0.5);
            n_marked += usize::from(is_marked);
            if task == Task::Seam && one.score == Some(0.0) {
                assert!(one.map.iter().all(|v| *v == 0.0), "a real face has a seam");
            }
        }
        assert!((3..12).contains(&n_marked), "{task:?}: {n_marked} of 12 are marked");
    }
}

#[test]
fn a_wire_counts_more_than_the_same_area_of_a_hand() {
    let side = 64;
    let mask = Array2::ones([side, side]);
    let wire = Array2::from_shape_fn([side, side], |(y, _)| f32::from(u8::from(y == 32)));
    let hand = Array2::from_shape_fn([side, side], |(y, x)| f32::from(u8::from(y > 16 && x > 16)));
    let mean_weight =
        |covered: &Array2<f32>| (occluders::weight(&mask, covered) * covered).sum() / covered.sum();
    assert!(mean_weight(&wire) > 2.5 * mean_weight(&hand), "{} {}", mean_weight(&wire), mean_weight(&hand));
    let nothing = Array2::zeros([side, side]);
    assert!(occluders::weight(&mask, &nothing).iter().all(|w| *w == 1.0));
}

#[test]
fn what_covers_a_face_differs_from_it_and_the_rest_is_the_face() {
    let (face, _) = face(64);
    let (mut inside, mut outside) = ((0.0, 0.0), (0.0, 0.0));
    for seed in 0..24 {
        let one = drawn(Task::Occlusion, 64, seed);
        for ((y, x), covered) in one.map.indexed_iter() {
            let difference: f32 =
                (0..3).map(|c| (one.picture[[c, y, x]] - face[[c, y, x]]).abs()).sum::<f32>() / 3.0;
            let sum = if *covered > 0.5 { &mut inside } else { &mut outside };
            *sum = (sum.0 + difference, sum.1 + 1.0);
        }
    }
    let (inside, outside) = (inside.0 / inside.1, outside.0 / outside.1);
    assert!(inside > 2.0 * outside, "differences: {inside} where covered, {outside} elsewhere");
}

#[test]
fn onnx_runtime_gives_what_the_framework_gives_and_training_goes_on_from_it() {
    let runtime = Runtime::load(&RuntimeSettings::default()).ok();
    for task in TASKS {
        let config = task.config();
        Flex::seed(&FlexDevice, 3);
        let unet = Unet::<Flex>::new(&config, &FlexDevice);
        let bytes = unet_onnx(&unet, &config, task.map_name(), Weights::Full);
        let again = Unet::<Flex>::new(&config, &FlexDevice).planted(&bytes, &FlexDevice).unwrap();
        let folded = unet_onnx(&again, &config, task.map_name(), Weights::Full);
        let other = if task == Task::Seam { Task::Occlusion } else { Task::Seam };
        let unlike = Unet::<Flex>::new(&other.config(), &FlexDevice);
        assert!(unlike.planted(&bytes, &FlexDevice).unwrap_err().contains("another shape"));
        let Some(runtime) = &runtime else { continue };
        let (face, _) = face(config.side_px);
        let input: Array4<f32> = face.insert_axis(ndarray::Axis(0));
        let logits = again.forward(tensor_from_array(&input, &FlexDevice));
        let mut network = runtime.network("labels", &folded).unwrap();
        let said = network.run(&[("face", input.view().into_dyn())]).unwrap();
        for (ours, theirs) in [logits.map, logits.score].into_iter().zip(&said) {
            let ours = array_from_tensor(sigmoid(ours)).into_dyn();
            assert_eq!(ours.shape(), theirs.shape());
            let most = (&ours - theirs).iter().fold(0.0_f32, |most, d| most.max(d.abs()));
            assert!(most < 1e-4, "{task:?} differs by {most}");
        }
    }
}

/// What a file has learnt isn't lost at the first step: its folded normalisations are found again.
#[test]
fn a_network_that_goes_on_does_in_training_what_it_did() {
    type Graph = Autodiff<Flex>;
    let task = Task::Occlusion;
    let config = task.config();
    Flex::seed(&FlexDevice, 5);
    let pictures = Array4::from_shape_fn((4, 3, config.side_px, config.side_px), |(n, c, y, x)| {
        0.5 + 0.4 * ((0.07 * (y * (n + 1)) as f32).sin() * (0.05 * (x * (c + 2)) as f32).cos())
    });
    let shown = || tensor_from_array::<Graph>(&pictures, &FlexDevice);
    // One whose normalisations have learnt: settled on brighter pictures, so that each has its own scale and shift.
    let unet = Unet::<Graph>::new(&config, &FlexDevice).settled(shown() * 1.7 - 0.2);
    let bytes = unet_onnx(&unet.valid(), &config, task.map_name(), Weights::Full);
    let planted = Unet::<Graph>::new(&config, &FlexDevice).planted(&bytes, &FlexDevice).unwrap();
    let wanted = array_from_tensor(planted.valid().forward(shown().inner()).map);
    let missed = |unet: &Unet<Graph>| {
        let said = array_from_tensor(unet.forward(shown()).map.inner());
        (&said - &wanted).iter().fold(0.0_f32, |most, d| most.max(d.abs()))
    };
    let spread = wanted.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    assert!(missed(&planted) > 0.1 * spread, "as planted it is another one: {}", missed(&planted));
    let settled = planted.settled(shown());
    assert!(missed(&settled) < 1e-3 * spread, "{} of {spread}", missed(&settled));
}

/// Ten steps on three faces in the folder `dir`.
fn settings(dir: &std::path::Path) -> LabelSettings {
    let (pixels, mask) = face(64);
    let one = |frame| FaceRecord { mask: mask.clone(), ..record(frame, pixels.clone()) };
    let faces = face_set(&dir.join("faces"), 1.3, (0..3).map(one));
    LabelSettings {
        task: Task::Occlusion,
        faces: vec![faces],
        out: dir.join("occlusion.onnx"),
        init: None,
        batch: 2,
        n_steps: 10,
        learning_rate: 1e-2,
        seed: 1,
        device: Device::Cpu,
    }
}

#[test]
fn a_training_that_comes_to_nothing_is_said_and_writes_no_network() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LabelSettings { learning_rate: 1e30, ..settings(dir.path()) };
    let told = train_labels(&settings, &mut |_| (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(told.contains("not a number") && told.contains("--learning-rate 5e29"), "{told}");
    assert!(!settings.out.exists());
}

#[test]
fn a_training_writes_a_network_and_its_loss_falls() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let faces = Faces::read(&settings.faces).unwrap();
    let mut losses = Vec::new();
    let stop = AtomicBool::new(false);
    let mut longer = LabelSettings { n_steps: 20, ..settings };
    run::<Autodiff<Flex>>(&longer, &faces, &FlexDevice, &mut |p| losses.push(p.loss), &stop).unwrap();
    assert!(losses.len() == 2 && losses[1] < losses[0], "{losses:?}");
    // The last line's means are those of its own steps.
    let (mut last, shorter) = (None, LabelSettings { n_steps: 1, ..longer.clone() });
    run::<Autodiff<Flex>>(&shorter, &faces, &FlexDevice, &mut |p| last = Some(p.loss), &stop).unwrap();
    assert!(last.unwrap() > 0.3, "the cross-entropy of a network from chance: {last:?}");
    assert!(longer.out.exists() && longer.out.with_extension("png").exists());
    longer.out = dir.path().join("nowhere/occlusion.onnx");
    let refusal = train_labels(&longer, &mut |_| (), &stop).unwrap_err().to_string();
    assert!(refusal.contains("no such folder"), "{refusal}");
    longer.faces.clear();
    assert!(Faces::read(&longer.faces).is_err());
}
