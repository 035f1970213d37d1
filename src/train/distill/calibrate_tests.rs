use burn::{
    backend::{Flex, flex::FlexDevice},
    module::Module,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;
use crate::train::{distill::taps::decode, model::CombConfig, seeded::seeded};

/// The same for the same seed, whatever other tests draw meanwhile.
fn comb(config: &CombConfig, seed: u64) -> Comb<Flex> {
    seeded(&FlexDevice, seed, || Comb::new(config, 1, &FlexDevice))
}

fn faces() -> Tensor<Flex, 4> {
    let mut rng = SmallRng::seed_from_u64(9);
    let values: Vec<f32> = (0..24 * 3 * 16 * 16).map(|_| rng.random()).collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, [24, 3, 16, 16]), &FlexDevice)
}

fn noise(n: usize, m: usize, seed: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, m), |(i, j)| {
        let z = (i * 7919 + j * 104_729 + seed * 15_485_863).wrapping_mul(2_654_435_761) >> 7;
        (z % 10_007) as f64 / 10_007.0 - 0.5
    })
}

#[test]
fn conjugate_gradients_solve_what_has_a_solution() {
    let x = noise(200, 12, 1);
    let a = x.t().dot(&x);
    let wanted = noise(12, 3, 2);
    let found = solved(&a, &a.dot(&wanted), Array2::zeros((12, 3)));
    assert!((&found - &wanted).iter().all(|d| d.abs() < 1e-8), "{found}");
    // The second feature is never seen: its weight stays.
    let a = Array2::from_diag(&Array1::from_vec(vec![2.0, 0.0]));
    let b = Array2::from_shape_vec((2, 1), vec![6.0, 0.0]).expect("two");
    let found = solved(&a, &b, Array2::from_elem((2, 1), 5.0));
    assert_eq!(found.iter().copied().collect::<Vec<_>>(), [3.0, 5.0]);
}

#[test]
fn what_is_separable_is_found_from_another_start() {
    let (n_in, n_out, k) = (5, 4, 9);
    let x = noise(800, n_in * k, 3);
    let (kernels, mix) = (noise(n_in, k, 4), noise(n_out, n_in, 5));
    let y = Array2::from_shape_fn((800, n_out), |(p, o)| {
        let channel = |i: usize| (0..k).map(|f| kernels[[i, f]] * x[[p, i * k + f]]).sum::<f64>();
        0.7 + (0..n_in).map(|i| mix[[o, i]] * channel(i)).sum::<f64>()
    });
    let start = |values: Array2<f64>, dims: [usize; 4]| Filter {
        dims,
        weight: values.iter().map(|v| *v as f32).collect(),
        bias: vec![0.0; dims[0]],
    };
    let mut own = start(&kernels + &noise(n_in, k, 6), [n_in, 1, 3, 3]);
    let mut own_mix = start(noise(n_out, n_in, 7), [n_out, n_in, 1, 1]);
    Moments::of(&x, &y).fit_separable(&mut own, &mut own_mix);
    let given = |p: usize, o: usize| {
        let channel =
            |i: usize| (0..k).map(|f| f64::from(own.weight[i * k + f]) * x[[p, i * k + f]]).sum::<f64>();
        f64::from(own_mix.bias[o])
            + (0..n_in).map(|i| f64::from(own_mix.weight[o * n_in + i]) * channel(i)).sum::<f64>()
    };
    let missed: f64 = (0..800)
        .flat_map(|p| (0..n_out).map(move |o| (p, o)))
        .map(|(p, o)| (given(p, o) - y[[p, o]]).powi(2))
        .sum();
    let spread: f64 = (&y - &(y.sum_axis(Axis(0)) / 800.0)).iter().map(|v| v * v).sum();
    assert!(missed < 0.02 * spread, "{}", missed / spread);
}

#[test]
fn a_student_with_all_channels_stays_its_teacher_and_a_spoilt_one_comes_back() {
    let config =
        CombConfig { latent: 6, encoder: vec![6, 5, 4], decoder: vec![7, 6, 5], ..CombConfig::default() };
    let teacher = comb(&config, 20);
    let faces = faces();
    let all = |n: usize| (0..n).collect::<Vec<_>>();
    let kept =
        Kept { encoder: [4, 4, 5, 5, 6].map(all).to_vec(), decoder: [7, 6, 6, 5, 5].map(all).to_vec() };
    let picture =
        |comb: &Comb<Flex>| decode(&comb.decoders[0], encode(&teacher.encoder, faces.clone()).output).output;
    let error = |comb: &Comb<Flex>| (picture(comb) - picture(&teacher)).abs().max().into_scalar();
    let same = calibrated(teacher.clone(), &teacher, &kept, faces.clone(), &FlexDevice);
    // Of values from 0 to 1; the least squares are solved in single precision.
    assert!(error(&same) < 2e-3, "{}", error(&same));
    let mut spoilt = teacher.clone();
    let fresh = comb(&config, 22);
    spoilt.decoders[0].levels.clone_from(&fresh.decoders[0].levels);
    let before = error(&spoilt);
    let back = calibrated(spoilt, &teacher, &kept, faces.clone(), &FlexDevice);
    assert!(error(&back) < 0.05 * before && before > 0.01, "{} of {before}", error(&back));
    assert_eq!(back.num_params(), teacher.num_params());
}

/// A decoder whose filters behind a doubling have one kernel for each output is one that mixes first.
#[test]
fn a_student_that_mixes_first_finds_a_teacher_who_could() {
    let config =
        CombConfig { latent: 6, encoder: vec![6, 5, 4], decoder: vec![7, 6, 5], ..CombConfig::default() };
    let mixed_first = CombConfig { mixed_first_px: Some(8), ..config.clone() };
    let (mut teacher, hidden) = (comb(&config, 6), comb(&mixed_first, 8));
    for (of_teacher, of_hidden) in teacher.decoders[0].levels.iter_mut().zip(&hidden.decoders[0].levels) {
        let (mixing, kernels) =
            (filter_of(&of_hidden.a), filter_of(of_hidden.mixed_first().expect("mixes first")));
        let [n_out, n_in, ..] = mixing.dims;
        let weight = (0..n_out * n_in)
            .flat_map(|oi| (0..9).map(move |k| (oi, oi / n_in * 9 + k)))
            .map(|(oi, ok)| mixing.weight[oi] * kernels.weight[ok])
            .collect();
        let whole = Filter { dims: [n_out, n_in, 3, 3], weight, bias: vec![0.1; n_out] };
        put(&mut of_teacher.a, &whole, &FlexDevice);
    }
    let faces = faces();
    let all = |n: usize| (0..n).collect::<Vec<_>>();
    let kept =
        Kept { encoder: [4, 4, 5, 5, 6].map(all).to_vec(), decoder: [7, 6, 6, 5, 5].map(all).to_vec() };
    let code = encode(&teacher.encoder, faces.clone()).output;
    let picture = |comb: &Comb<Flex>| decode(&comb.decoders[0], code.clone()).output;
    let error = |comb: &Comb<Flex>| (picture(comb) - picture(&teacher)).abs().max().into_scalar();
    let mut student = comb(&mixed_first, 9);
    student.encoder = teacher.encoder.clone();
    student.decoders[0].first = teacher.decoders[0].first.clone();
    let before = error(&student);
    let fitted = calibrated(student, &teacher, &kept, faces, &FlexDevice);
    assert!(error(&fitted) < 0.1 * before && before > 0.02, "{} of {before}", error(&fitted));
}

/// Whatever the side, or a layer would be fitted to a few columns alone.
#[test]
fn no_place_is_looked_at_twice() {
    for side in [4, 8, 16, 32, 64, 128, 256] {
        for n_faces in [3, 24, 32] {
            let n_all = n_faces * side * side;
            let n_places = n_all.min(MAX_PLACES);
            let places: std::collections::HashSet<usize> =
                (0..n_places).map(|nth| nth * stride(n_all) % n_all).collect();
            assert_eq!(places.len(), n_places, "{n_faces} faces of {side} px");
            let columns: std::collections::HashSet<usize> = places.iter().map(|place| place % side).collect();
            assert_eq!(columns.len(), side, "{n_faces} faces of {side} px");
        }
    }
}
