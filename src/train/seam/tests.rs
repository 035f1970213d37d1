use burn::{
    backend::{Autodiff, Flex},
    tensor::{Tensor, TensorData},
};

use ndarray::{Array2, Array3};

use super::{
    methods::{cross_entropy, matching},
    *,
};
use crate::{
    face_set::FaceRecord,
    train::{
        faces_for_tests::{face_set, record},
        soft_targets::{Softness, logit_matching_loss},
    },
};

type Graph = Autodiff<Flex>;

#[test]
fn losses_are_those_of_the_reference() {
    let device = Default::default();
    let (student, teacher) = ([[0.3_f64, -1.2], [2.0, 0.5]], [[1.5, -0.5], [-0.2, 0.9]]);
    let tensor = |rows: [[f64; 2]; 2]| -> Tensor<Graph, 2> {
        let values: Vec<f32> = rows.concat().into_iter().map(|v| v as f32).collect();
        Tensor::from_data(TensorData::new(values, [2, 2]), &device)
    };
    let number = |tensor: Tensor<Graph, 1>| f64::from(tensor.into_data().iter::<f32>().next().expect("one"));
    let soft = |temperature: f64| {
        let wanted = burn::tensor::activation::softmax(tensor(teacher) / temperature, 1);
        number(cross_entropy(tensor(student), wanted, temperature)) * temperature.powi(2)
    };
    for temperature in [1.0, 3.0, 8.0] {
        let softness = Softness { temperature, distill: 1.0, alpha: 0.0 };
        let each = student.iter().zip(&teacher).map(|(s, t)| softness.loss(s, t, None));
        let mean = each.sum::<f64>() / 2.0;
        assert!((soft(temperature) - mean).abs() < 1e-4, "T = {temperature}: {} {mean}", soft(temperature));
    }
    let each = student.iter().zip(&teacher).map(|(s, t)| logit_matching_loss(s, t));
    let mean = each.sum::<f64>() / 2.0;
    assert!((number(matching(tensor(student), tensor(teacher).inner())) - mean).abs() < 1e-5);
}

/// A set of smooth faces, the grain of which is what a seam shows in.
fn faces(dir: &std::path::Path) -> PathBuf {
    let face = |frame: usize| {
        let grain = |y: usize, x: usize| ((x * 7919) ^ (y * 104_729) ^ (frame * 31)) % 23;
        let pixels = Array3::from_shape_fn((3, 128, 128), |(c, y, x)| {
            0.3 + 0.1 * c as f32 + y as f32 / 600.0 + grain(y, x) as f32 / 300.0
        });
        let mask = Array2::from_shape_fn((128, 128), |(y, x)| {
            f32::from(u8::from((x as f32 - 64.0).hypot(y as f32 - 64.0) < 42.0))
        });
        FaceRecord { mask, ..record(frame, pixels) }
    };
    face_set(dir, 1.3, (0..4).map(face))
}

#[test]
fn patches_are_half_with_a_seam_and_the_same_for_the_same_seed() {
    let dir = tempfile::tempdir().expect("a folder");
    let faces = Faces::read(&[faces(&dir.path().join("faces"))]).expect("read");
    let patches = Patches::cut(&faces, 41, 3);
    assert_eq!(patches.labels.iter().sum::<usize>(), 21);
    assert_eq!(patches.pixels.dim().0, 41);
    let again = Patches::cut(&faces, 41, 3);
    assert!(again.pixels == patches.pixels && again.labels == patches.labels);
    assert!(Patches::cut(&faces, 41, 4).pixels != patches.pixels);
}

#[test]
fn every_way_gives_a_row() {
    let dir = tempfile::tempdir().expect("a folder");
    let set = faces(&dir.path().join("faces"));
    let settings = SeamSettings {
        faces: vec![set.clone()],
        held_out: vec![set],
        n_patches: 64,
        n_tests: 40,
        n_steps: 6,
        batch: 8,
        n_seeds: 2,
        device: Device::Cpu,
    };
    let stop = AtomicBool::new(false);
    let mut told = Vec::new();
    let report =
        compare_seam_students(&settings, &mut |line| told.push(line.to_owned()), &stop).expect("made");
    assert_eq!((report.rows.len(), told.len()), (5, 10));
    for row in &report.rows {
        assert!(row.accuracy.len() == 2 && row.accuracy.iter().all(|a| (0.0..=1.0).contains(a)), "{row:?}");
        assert_eq!(row.parameters > 10_000, row.method == Method::Teacher);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(compare_seam_students(&settings, &mut |_| (), &stop), Err(Error::Cancelled)));
    let nobody = SeamSettings { held_out: Vec::new(), ..settings };
    assert!(compare_seam_students(&nobody, &mut |_| (), &stop).is_err());
}
