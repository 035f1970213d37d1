use burn::{
    backend::{Flex, flex::FlexDevice},
    module::Module,
    tensor::Distribution,
};

use super::*;
use crate::train::{distill::taps::decode, model::CombConfig};

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
    Flex::seed(&FlexDevice, 5);
    let teacher = Comb::<Flex>::new(&config, 1, &FlexDevice);
    let faces = Tensor::random([24, 3, 16, 16], Distribution::Uniform(0.0, 1.0), &FlexDevice);
    let all = |n: usize| (0..n).collect::<Vec<_>>();
    let kept =
        Kept { encoder: [4, 4, 5, 5, 6].map(all).to_vec(), decoder: [7, 6, 6, 5, 5].map(all).to_vec() };
    let picture =
        |comb: &Comb<Flex>| decode(&comb.decoders[0], encode(&teacher.encoder, faces.clone()).output).output;
    let error = |comb: &Comb<Flex>| (picture(comb) - picture(&teacher)).abs().max().into_scalar();
    let same = calibrated(teacher.clone(), &teacher, &kept, faces.clone(), &FlexDevice);
    // Of values from 0 to 1; the least squares are solved in single precision.
    assert!(error(&same) < 5e-3, "{}", error(&same));
    let mut spoilt = teacher.clone();
    let fresh = Comb::<Flex>::new(&config, 1, &FlexDevice);
    spoilt.decoders[0].levels.clone_from(&fresh.decoders[0].levels);
    let before = error(&spoilt);
    let back = calibrated(spoilt, &teacher, &kept, faces.clone(), &FlexDevice);
    assert!(error(&back) < 0.1 * before && before > 0.01, "{} of {before}", error(&back));
    assert_eq!(back.num_params(), teacher.num_params());
}
