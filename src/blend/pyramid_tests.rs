use proptest::prelude::*;

use super::*;

/// Values that look random, 0..1.
fn noise(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 7 & 0xffff) as f32 / 65535.0).collect()
}

/// A soft disc.
fn soft_disc(side: usize) -> Vec<f32> {
    let at = |i: usize| (i as f32 + 0.5) / side as f32 - 0.5;
    (0..side * side)
        .map(|i| ((0.35 - (at(i % side).powi(2) + at(i / side).powi(2)).sqrt()) * 12.0).clamp(0.0, 1.0))
        .collect()
}

fn mirrored_rows(planes: &[f32], side: usize) -> Vec<f32> {
    planes.chunks_exact(side).flat_map(|row| row.iter().rev().copied()).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The composite by the book, slowly: Laplacian pyramids of both pictures, a Gaussian one of the mask, two loops per
/// filter. The `n_small` smallest bands come from the target.
mod reference {
    use super::sides;

    pub fn composite(new: &[f32], target: &[f32], mask: &[f32], side: usize, n_small: usize) -> Vec<f32> {
        let (new, target, mask) = (gaussian(new, side), gaussian(target, side), gaussian(mask, side));
        let n = mask.len();
        let band = |pyramid: &[(usize, Vec<f32>)], k: usize| {
            let (side, floor) = &pyramid[k];
            let below =
                pyramid.get(k + 1).map_or(vec![0.0; side * side], |(half, below)| double(below, *half));
            floor.iter().zip(below).map(|(v, b)| v - b).collect::<Vec<f32>>()
        };
        let mut sum: Vec<f32> = Vec::new();
        for k in (0..n).rev() {
            let (y, x, m) = (band(&new, k), band(&target, k), &mask[k].1);
            let keep = |m: f32| if k + n_small >= n { 0.0 } else { m };
            let mixed = (0..y.len()).map(|i| keep(m[i]) * y[i] + (1.0 - keep(m[i])) * x[i]);
            let enlarged = if sum.is_empty() { vec![0.0; y.len()] } else { double(&sum, mask[k + 1].0) };
            sum = mixed.zip(enlarged).map(|(a, b)| a + b).collect();
        }
        sum
    }

    fn gaussian(picture: &[f32], side: usize) -> Vec<(usize, Vec<f32>)> {
        let mut floors = vec![(side, picture.to_vec())];
        for half in sides(side).into_iter().skip(1) {
            let last = &floors[floors.len() - 1];
            assert_eq!(last.0, 2 * half, "the reference knows powers of two");
            floors.push((half, halve(&last.1, last.0)));
        }
        floors
    }

    fn halve(picture: &[f32], side: usize) -> Vec<f32> {
        let at = |y: isize, x: isize| {
            let (y, x) = (y.clamp(0, side as isize - 1), x.clamp(0, side as isize - 1));
            picture[y as usize * side + x as usize]
        };
        let weights = [0.125, 0.375, 0.375, 0.125];
        let mut out = Vec::new();
        for y in 0..side as isize / 2 {
            for x in 0..side as isize / 2 {
                let mut sum = 0.0;
                for (j, wy) in (-1..).zip(weights) {
                    for (i, wx) in (-1..).zip(weights) {
                        sum += wy * wx * at(2 * y + j, 2 * x + i);
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    fn double(picture: &[f32], half: usize) -> Vec<f32> {
        let at = |y: isize, x: isize| {
            let (y, x) = (y.clamp(0, half as isize - 1), x.clamp(0, half as isize - 1));
            picture[y as usize * half + x as usize]
        };
        let mut out = Vec::new();
        for y in 0..2 * half as isize {
            for x in 0..2 * half as isize {
                let far = |i: isize| i / 2 + if i % 2 == 0 { -1 } else { 1 };
                let row = |y: isize| 0.75 * at(y, x / 2) + 0.25 * at(y, far(x));
                out.push(0.75 * row(y / 2) + 0.25 * row(far(y)));
            }
        }
        out
    }
}

#[test]
fn the_lower_floors_are_the_same_for_every_side() {
    assert_eq!(sides(1024), [1024, 512, 256, 128, 64, 32, 16, 8, 4]);
    assert_eq!(sides(400), [400, 200, 100, 64, 32, 16, 8, 4]);
    assert_eq!(sides(257), [257, 129, 65, 64, 32, 16, 8, 4]);
    assert_eq!((sides(64), sides(9), sides(3)), (vec![64, 32, 16, 8, 4], vec![9, 5, 4], vec![3]));
}

#[test]
fn the_composite_is_that_of_the_book() {
    for side in [64, 256] {
        let (new, target, mask) = (noise(side * side, 1), noise(side * side, 99_991), soft_disc(side));
        for n_small in 0..=sides(side).len() {
            let mut change: Vec<f32> = new.iter().zip(&target).map(|(y, x)| y - x).collect();
            multi_band(&mut change, &mask, side, n_small);
            let found: Vec<f32> = change.iter().zip(&target).map(|(d, x)| d + x).collect();
            let want = reference::composite(&new, &target, &mask, side, n_small);
            let worst = largest_difference(&found, &want);
            assert!(worst < 1e-5, "side {side}, {n_small} small bands: {worst}");
        }
    }
}

#[test]
fn a_full_mask_gives_the_new_face_but_for_the_small_bands() {
    for side in [64, 144, 250, 512] {
        let new = noise(3 * side * side, 5);
        let mut all = new.clone();
        multi_band(&mut all, &vec![1.0; side * side], side, 0);
        assert!(largest_difference(&all, &new) < 1e-5, "side {side}");
        // A constant colour is all in the residual.
        let mut flat = vec![0.4; side * side];
        multi_band(&mut flat, &vec![1.0; side * side], side, 1);
        assert!(largest_difference(&flat, &vec![0.0; side * side]) < 1e-5, "side {side}");
    }
}

#[test]
fn the_small_bands_mean_the_same_at_every_side() {
    // How much of a wave is the new face's, by waves per side.
    let strength = |side: usize, per_side: f32| {
        let wave = |i: usize| ((i % side) as f32 + 0.5) / side as f32 * per_side * std::f32::consts::TAU;
        let mut change: Vec<f32> = (0..side * side).map(|i| wave(i).sin()).collect();
        multi_band(&mut change, &vec![1.0; side * side], side, 2);
        (2.0 * change.iter().map(|v| v * v).sum::<f32>() / (side * side) as f32).sqrt()
    };
    for per_side in [1.0, 2.0, 3.0, 4.5, 8.0, 12.0] {
        let want = strength(1024, per_side);
        for side in [64, 80, 112, 128, 256, 272, 400, 512, 736] {
            let found = strength(side, per_side);
            assert!((found - want).abs() < 0.12, "{per_side} waves in {side}: {found}, in 1024: {want}");
        }
    }
    assert!(strength(512, 1.0) < 0.2 && strength(512, 4.0) > 0.8 && strength(512, 8.0) > 0.99);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_new_or_no_mask_or_no_bands_change_nothing(side in 1_usize..150, n_small in 0_usize..12, seed in 0_usize..1000) {
        let n = side * side;
        let mut nothing = vec![0.0; 3 * n];
        multi_band(&mut nothing, &noise(n, seed), side, n_small);
        prop_assert!(nothing.iter().all(|v| *v == 0.0));
        let mut unmasked = noise(n, seed);
        multi_band(&mut unmasked, &vec![0.0; n], side, n_small);
        prop_assert!(unmasked.iter().all(|v| *v == 0.0));
        let mut none = noise(n, seed);
        multi_band(&mut none, &vec![1.0; n], side, sides(side).len());
        prop_assert!(none.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn mirrored_input_gives_mirrored_output(side in 1_usize..300, n_small in 0_usize..4, seed in 0_usize..1000) {
        let (change, mask) = (noise(side * side, seed), noise(side * side, seed + 1));
        let (mut plain, mut mirror) = (change.clone(), mirrored_rows(&change, side));
        multi_band(&mut plain, &mask, side, n_small);
        multi_band(&mut mirror, &mirrored_rows(&mask, side), side, n_small);
        prop_assert!(largest_difference(&mirrored_rows(&plain, side), &mirror) < 1e-5);
    }
}
