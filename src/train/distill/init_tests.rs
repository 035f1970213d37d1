use super::*;

fn filter(dims: [usize; 4], value: impl Fn(usize, usize, usize) -> f32) -> Filter {
    let [n_out, n_in, h, w] = dims;
    let at = |k: usize| value(k / (n_in * h * w), k / (h * w) % n_in, k % (h * w));
    Filter {
        dims,
        weight: (0..n_out * n_in * h * w).map(at).collect(),
        bias: (0..n_out).map(|o| o as f32).collect(),
    }
}

#[test]
fn a_filter_that_is_a_product_is_taken_apart_without_loss() {
    let product = |o: usize, i: usize, k: usize| (o as f32 - 1.5) * (1.0 + i as f32) * (k as f32 * 0.7).cos();
    let whole = filter([4, 3, 3, 3], product);
    let (kernels, mixing) = separated(&whole);
    assert_eq!((kernels.dims, mixing.dims), ([3, 1, 3, 3], [4, 3, 1, 1]));
    for o in 0..4 {
        for i in 0..3 {
            for k in 0..9 {
                let found = kernels.weight[i * 9 + k] * mixing.weight[o * 3 + i];
                assert!((found - product(o, i, k)).abs() < 1e-5, "{o} {i} {k}: {found}");
            }
        }
    }
    assert_eq!(mixing.bias, whole.bias);
}

#[test]
fn a_filter_with_one_kernel_for_each_output_is_taken_apart_without_loss() {
    let product =
        |o: usize, i: usize, k: usize| (1.0 + i as f32 - o as f32) * ((o + 1) as f32 * k as f32 * 0.3).cos();
    let whole = filter([4, 3, 3, 3], product);
    let (mixing, kernels) = separated_mixed_first(&whole);
    assert_eq!((mixing.dims, kernels.dims), ([4, 3, 1, 1], [4, 1, 3, 3]));
    for (o, i, k) in (0..4).flat_map(|o| (0..3).flat_map(move |i| (0..9).map(move |k| (o, i, k)))) {
        let found = mixing.weight[o * 3 + i] * kernels.weight[o * 9 + k];
        assert!((found - product(o, i, k)).abs() < 1e-5, "{o} {i} {k}: {found}");
    }
    assert_eq!((&kernels.bias, &mixing.bias[..]), (&whole.bias, &[0.0; 4][..]));
}

#[test]
fn of_two_directions_the_longer_one_is_kept() {
    // Rows along two axes: 3 and 4 long on the first, 2 on the second.
    let direction = first_singular(&[3.0, 0.0, 0.0, 2.0, -4.0, 0.0], 2);
    assert!((direction[0].abs() - 1.0).abs() < 1e-4 && direction[1].abs() < 1e-2, "{direction:?}");
    assert_eq!(first_singular(&[0.0; 6], 3), [0.0, 1.0, 0.0]);
}

#[test]
fn the_channels_that_weigh_most_stay_in_their_order() {
    // Of four channels in between, 0 is made weakly, 2 is read weakly.
    let made = [0.1, 2.0, 3.0, 1.0];
    let read = [5.0, 1.0, 0.01, 1.0];
    let chain =
        [filter([4, 3, 1, 1], |o, _, _| made[o]), filter([2, 4, 3, 3], |o, i, _| read[i] * (1.0 + o as f32))];
    let narrow = narrowed(&chain, &[2, usize::MAX]);
    assert_eq!(narrow.kept, [vec![1, 3]]);
    assert_eq!((narrow.filters[0].dims, narrow.filters[1].dims), ([2, 3, 1, 1], [2, 2, 3, 3]));
    assert_eq!(narrow.filters[0].bias, [1.0, 3.0]);
    assert_eq!(narrow.filters[0].weight, [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]);
    assert_eq!(narrow.filters[1].weight[..18], [[1.0; 9], [1.0; 9]].concat());
    assert_eq!(narrow.filters[1].bias, [0.0, 1.0]);
    // Nothing is lost where there is room for all.
    let whole = narrowed(&chain, &[9, usize::MAX]);
    assert!(whole.filters == chain, "changed");
}
