use proptest::prelude::*;

use super::{super::sample::subtract, *};

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

/// The floors over a rectangle around whose middle the crop lies.
fn floors(w: usize, h: usize, crop_px: f64) -> Floors {
    let rect = Rect { x0: 0, y0: 0, x1: w, y1: h };
    Floors::new(rect, FramePx { x: 0.5 * w as f64, y: 0.5 * h as f64 }, crop_px)
}

/// The same over a square.
fn square(side: usize, crop_px: f64) -> Floors {
    floors(side, side, crop_px)
}

fn mirrored_rows(planes: &[f32], side: usize) -> Vec<f32> {
    planes.chunks_exact(side).flat_map(|row| row.iter().rev().copied()).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Takes the enlarged floor below from a plane on floor `k`: what is left is the band.
fn take(floors: &Floors, plane: &mut [f32], below: &[f32], k: usize) {
    let mut low = floors.enlarging(below, k);
    for (y, row) in plane.chunks_exact_mut(floors.width(k)).enumerate() {
        subtract(row, low.row(y));
    }
}

/// The composite by the book: Laplacian pyramids of both pictures, a Gaussian one of the mask. The `n_small` smallest
/// bands come from the target.
fn by_the_book(new: &[f32], target: &[f32], mask: &[f32], floors: &Floors, n_small: usize) -> Vec<f32> {
    let n = floors.n_bands();
    let gaussian = |plane: &[f32]| {
        let mut all = vec![plane.to_vec()];
        all.extend(floors.gaussian(plane, n - 1));
        all
    };
    let enlarged = |below: &[f32], k: usize, len: usize| {
        let mut negative = vec![0.0; len];
        take(floors, &mut negative, below, k);
        negative.iter().map(|v| -v).collect::<Vec<f32>>()
    };
    let band = |pyramid: &[Vec<f32>], k: usize| {
        let mut band = pyramid[k].clone();
        if let Some(below) = pyramid.get(k + 1) {
            take(floors, &mut band, below, k);
        }
        band
    };
    let (new, target, mask) = (gaussian(new), gaussian(target), gaussian(mask));
    let mut sum: Vec<f32> = Vec::new();
    for k in (0..n).rev() {
        let (y, x) = (band(&new, k), band(&target, k));
        let keep = |m: f32| match k {
            _ if k + n_small >= n => 0.0,
            0 => m,
            _ => (2.0 * m - 1.0).max(0.0),
        };
        let mixed = (0..y.len()).map(|i| keep(mask[k][i]) * y[i] + (1.0 - keep(mask[k][i])) * x[i]);
        let below = if sum.is_empty() { vec![0.0; y.len()] } else { enlarged(&sum, k, y.len()) };
        sum = mixed.zip(below).map(|(a, b)| a + b).collect();
    }
    sum
}

#[test]
fn halving_and_enlarging_are_those_of_two_plain_loops() {
    let (w, h) = (14, 10);
    let plane = noise(w * h, 3);
    let at = |y: isize, x: isize| {
        plane[y.clamp(0, h as isize - 1) as usize * w + x.clamp(0, w as isize - 1) as usize]
    };
    let weights = [0.125, 0.375, 0.375, 0.125];
    for (i, found) in halved(&plane, w).iter().enumerate() {
        let (x, y) = (2 * (i % (w / 2)) as isize, 2 * (i / (w / 2)) as isize);
        let taps = (0..16)
            .map(|t| weights[t / 4] * weights[t % 4] * at(y + t as isize / 4 - 1, x + t as isize % 4 - 1));
        assert!((taps.sum::<f32>() - found).abs() < 1e-6, "({x}, {y})");
    }
    let (mut scratch, mut row) = (vec![0.0; w], vec![0.0; 2 * w]);
    for y in 0..2 * h {
        doubled_row(&plane, y, &mut scratch, &mut row);
        for (x, found) in row.iter().enumerate() {
            let far = |i: usize| (i / 2) as isize + if i.is_multiple_of(2) { -1 } else { 1 };
            let line = |y: isize| 0.75 * at(y, x as isize / 2) + 0.25 * at(y, far(x));
            let want = 0.75 * line(y as isize / 2) + 0.25 * line(far(y));
            assert!((want - found).abs() < 1e-6, "({x}, {y})");
        }
    }
}

#[test]
fn the_lower_floors_are_the_same_for_every_face() {
    let n_bands = |crop_px: f64| {
        let step = Floors::step(crop_px);
        floors(16 * step, 8 * step, crop_px).n_bands()
    };
    assert_eq!([40.0, 128.0, 256.0, 512.0, 1024.0].map(Floors::step), [1, 1, 2, 4, 8]);
    assert_eq!([40.0, 128.0, 256.0, 512.0, 1024.0].map(n_bands), [6, 6, 7, 8, 9]);
}

#[test]
fn the_composite_is_that_of_the_book() {
    for (side, crop_px) in [(64, 52.0), (208, 300.0)] {
        let floors = square(side, crop_px);
        let (new, target, mask) = (noise(side * side, 1), noise(side * side, 99_991), soft_disc(side));
        for n_small in 0..=floors.n_bands() {
            let mut change: Vec<f32> = new.iter().zip(&target).map(|(y, x)| y - x).collect();
            multi_band(&mut change, &mask, &floors, n_small, &[]);
            let found: Vec<f32> = change.iter().zip(&target).map(|(d, x)| d + x).collect();
            let want = by_the_book(&new, &target, &mask, &floors, n_small);
            let worst = largest_difference(&found, &want);
            assert!(worst < 1e-5, "side {side}, {n_small} small bands: {worst}");
        }
    }
}

#[test]
fn a_full_mask_gives_the_new_face_but_for_the_small_bands() {
    for (side, crop_px) in [(64, 70.0), (144, 170.0), (256, 300.0), (512, 600.0)] {
        let floors = square(side, crop_px);
        let new = noise(3 * side * side, 5);
        let mut all = new.clone();
        multi_band(&mut all, &vec![1.0; side * side], &floors, 0, &[]);
        assert!(largest_difference(&all, &new) < 1e-5, "side {side}");
        // A constant colour is all in the residual.
        let mut flat = vec![0.4; side * side];
        multi_band(&mut flat, &vec![1.0; side * side], &floors, 1, &[]);
        assert!(largest_difference(&flat, &vec![0.0; side * side]) < 1e-5, "side {side}");
    }
}

#[test]
fn the_small_bands_mean_the_same_for_every_face() {
    // How much of a wave is the new face's, by waves per side of the crop, in the middle of the rectangle.
    let strength = |crop_px: f64, per_side: f32| {
        let step = Floors::step(crop_px);
        let side = (1.4 * crop_px) as usize / step * step;
        let wave = |i: usize| ((i % side) as f32 + 0.5) / crop_px as f32 * per_side * std::f32::consts::TAU;
        let mut change: Vec<f32> = (0..side * side).map(|i| wave(i).sin()).collect();
        multi_band(&mut change, &vec![1.0; side * side], &square(side, crop_px), 2, &[]);
        let row = &change[side / 2 * side..][..side];
        let inner = &row[side / 7..side - side / 7];
        (2.0 * inner.iter().map(|v| v * v).sum::<f32>() / inner.len() as f32).sqrt()
    };
    for per_side in [1.0, 2.0, 3.0, 4.0, 8.0, 12.0] {
        let want = strength(1024.0, per_side);
        for crop_px in [64.0, 90.0, 128.0, 200.0, 272.0, 400.0, 730.0] {
            let found = strength(crop_px, per_side);
            assert!((found - want).abs() < 0.13, "{per_side} waves in {crop_px}: {found}, in 1024: {want}");
        }
    }
    assert!(strength(512.0, 1.0) < 0.25 && strength(512.0, 4.0) > 0.75 && strength(512.0, 8.0) > 0.97);
}

#[test]
fn detail_is_added_to_its_band_inside_the_mask_alone() {
    let (side, n) = (64, 64 * 64);
    let floors = square(side, 80.0);
    let mask: Vec<f32> = (0..n).map(|i| if i % side < 32 { 1.0 } else { 0.0 }).collect();
    let detail = vec![noise(n, 7)];
    let mut change = vec![0.0; n];
    multi_band(&mut change, &mask, &floors, 0, &detail);
    for (i, v) in change.iter().enumerate() {
        assert_eq!(*v, mask[i] * detail[0][i], "pixel {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_new_or_no_mask_or_no_bands_change_nothing(
        w in 1_usize..40, h in 1_usize..40, crop_px in 20.0_f64..900.0, n_small in 0_usize..12, seed in 0_usize..1000,
    ) {
        let step = Floors::step(crop_px);
        let (floors, n) = (floors(w * step, h * step, crop_px), w * h * step * step);
        let mut nothing = vec![0.0; 3 * n];
        multi_band(&mut nothing, &noise(n, seed), &floors, n_small, &[]);
        prop_assert!(nothing.iter().all(|v| *v == 0.0));
        let mut unmasked = noise(n, seed);
        multi_band(&mut unmasked, &vec![0.0; n], &floors, n_small, &[]);
        prop_assert!(unmasked.iter().all(|v| *v == 0.0));
        let mut none = noise(n, seed);
        multi_band(&mut none, &vec![1.0; n], &floors, floors.n_bands(), &[]);
        prop_assert!(none.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn mirrored_input_gives_mirrored_output(
        w in 1_usize..40, h in 1_usize..40, crop_px in 20.0_f64..900.0, n_small in 0_usize..4, seed in 0_usize..1000,
    ) {
        let step = Floors::step(crop_px);
        let (w, h) = (w * step, h * step);
        let floors = floors(w, h, crop_px);
        let (change, mask) = (noise(w * h, seed), noise(w * h, seed + 1));
        let (mut plain, mut mirror) = (change.clone(), mirrored_rows(&change, w));
        multi_band(&mut plain, &mask, &floors, n_small, &[]);
        multi_band(&mut mirror, &mirrored_rows(&mask, w), &floors, n_small, &[]);
        prop_assert!(largest_difference(&mirrored_rows(&plain, w), &mirror) < 2e-5);
    }

    #[test]
    fn floors_are_the_same_on_every_machine(half in 1_usize..150, seed in 0_usize..1000) {
        let rows: Vec<Vec<f32>> = (0..4).map(|i| noise(2 * half, seed + i)).collect();
        let rows = [&rows[0][..], &rows[1][..], &rows[2][..], &rows[3][..]];
        let (mut tall, mut short) = (vec![0.0; 2 * half], vec![0.0; half]);
        let (mut found, mut plain) = (short.clone(), short.clone());
        halved_row(rows, &mut tall, &mut found);
        halved_row_plain(rows, &mut tall, &mut plain);
        prop_assert_eq!(&found, &plain);
        let (mut wide, mut plain) = (vec![0.0; 2 * half], vec![0.0; 2 * half]);
        doubled(&rows[0][..half], &rows[1][..half], &mut short, &mut wide);
        doubled_plain(&rows[0][..half], &rows[1][..half], &mut short, &mut plain);
        prop_assert_eq!(&wide, &plain);
        keep(&mut wide, rows[0], rows[1], rows[2]);
        keep_plain(&mut plain, rows[0], rows[1], rows[2]);
        prop_assert_eq!(&wide, &plain);
        keep_with(&mut wide, rows[0], rows[1], rows[2], rows[3]);
        keep_with_plain(&mut plain, rows[0], rows[1], rows[2], rows[3]);
        prop_assert_eq!(&wide, &plain);
    }
}
