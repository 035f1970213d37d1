use proptest::prelude::*;

use super::{
    super::sample::{along_plain, linear_plain},
    *,
};

/// A smooth picture, the same whatever the grid: `p` in 0..1.
fn wave(x: f64, y: f64) -> [f32; 3] {
    [0, 1, 2].map(|c| (6.0 * x + f64::from(c) * y * 4.0).sin() as f32)
}

fn waves(side: usize) -> Vec<f32> {
    let at = |i: usize| (i as f64 + 0.5) / side as f64;
    (0..3).flat_map(|c| (0..side * side).map(move |i| wave(at(i % side), at(i / side))[c])).collect()
}

#[test]
fn a_picture_lands_where_the_alignment_says() {
    let side = 120;
    // Turned by 0.3 and 1.7 times larger than in the frame, or smaller.
    for scale in [1.7_f64, 1.0, 0.6] {
        let (a, b) = (scale * 0.3_f64.cos(), scale * 0.3_f64.sin());
        let alignment = Similarity { a, b, tx: -10.0 * scale, ty: -40.0 * scale };
        let rect = Rect { x0: 3, y0: 5, x1: 203, y1: 255 };
        let n = 200 * 250;
        let mut quads = Quads::from_planes(&waves(side), side);
        quads.blur_for(scale);
        let mut out = vec![9.0; 3 * n];
        quads.to_frame(&alignment, rect, &mut out);
        let (mut worst, mut n_inside) = (0.0_f32, 0);
        for i in 0..n {
            let p = FramePx { x: 3.5 + (i % 200) as f64, y: 5.5 + (i / 200) as f64 };
            let c = alignment.to_crop(p);
            if !(0.0..=120.0).contains(&c.x) || !(0.0..=120.0).contains(&c.y) {
                assert_eq!(out[i], 9.0, "{c:?} is left as it is");
                continue;
            }
            n_inside += 1;
            let want = wave(c.x / side as f64, c.y / side as f64);
            if (4.0..116.0).contains(&c.x) && (4.0..116.0).contains(&c.y) {
                let off = want.iter().enumerate().map(|(k, w)| (out[k * n + i] - w).abs());
                worst = off.fold(worst, f32::max);
            } else {
                assert!((out[i] - want[0]).abs() < 0.1, "{c:?}");
            }
        }
        assert!(worst < 0.005 && n_inside > 4000, "scale {scale}: {worst}, {n_inside} pixels");
    }
}

#[test]
fn a_strong_reduction_folds_nothing_back() {
    let side = 256;
    let stripes: Vec<f32> = (0..3 * side * side).map(|i| (i % 2) as f32).collect();
    let mut quads = Quads::from_planes(&stripes, side);
    quads.blur_for(3.0);
    let alignment = Similarity { a: 3.03, b: 0.0, tx: 0.0, ty: 0.0 };
    let mut out = vec![0.5; 3 * 120];
    quads.to_frame(&alignment, Rect { x0: 10, y0: 10, x1: 70, y1: 12 }, &mut out);
    assert!(out.iter().all(|v| (v - 0.5).abs() < 0.02), "{out:?}");
}

#[test]
fn the_reach_is_the_masks_box_clamped_to_the_frame() {
    let mut mask = vec![0.0; 100 * 100];
    mask[40 * 100 + 30] = 0.5;
    mask[59 * 100 + 69] = 0.5;
    let alignment = Similarity { a: 2.0, b: 0.0, tx: 0.0, ty: -20.0 };
    let rect = reach(&mask, 100, &alignment, (1000, 38));
    assert_eq!(rect, Some(Rect { x0: 14, y0: 29, x1: 36, y1: 38 }));
    assert_eq!(reach(&mask, 100, &alignment, (14, 38)), None, "all of it is right of the frame");
    assert_eq!(reach(&[0.0; 100], 10, &alignment, (50, 50)), None);
}

#[test]
fn the_reach_holds_all_of_the_mask() {
    let mut mask = vec![0.0; 64 * 64];
    (20..41).for_each(|y| mask[y * 64 + 11..y * 64 + 50].fill(1.0));
    let alignment = Similarity { a: 0.8, b: -0.5, tx: 4.0, ty: 31.0 };
    let rect = reach(&mask, 64, &alignment, (300, 300)).unwrap_or_default();
    let all = Rect { x0: 0, y0: 0, x1: 300, y1: 300 };
    let out = mask_to_frame(&mask, 64, &alignment, all, rect);
    for (i, m) in out.iter().enumerate() {
        let (x, y) = (i % 300, i / 300);
        let inside = (rect.x0..rect.x1).contains(&x) && (rect.y0..rect.y1).contains(&y);
        assert!(inside || *m == 0.0, "({x}, {y}) of {rect:?}");
        let c = alignment.to_crop(FramePx { x: x as f64 + 0.5, y: y as f64 + 0.5 });
        let deep = (12.0..49.0).contains(&c.x) && (21.0..40.0).contains(&c.y);
        assert!(!deep || *m > 0.999, "({x}, {y}): {m}");
    }
}

/// Catmull-Rom by its formula at a point of a square of quads that goes on outside, in pixels from its first centre.
fn by_the_formula(planes: &[f32], side: usize, (u, v): (f64, f64)) -> [f64; 3] {
    let kernel = |x: f64| match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    };
    let near = |at: f64| {
        (at.floor() as isize - 1..=at.floor() as isize + 2).map(move |i| (i, kernel(at - i as f64)))
    };
    let inside = |i: isize| i.clamp(0, side as isize - 1) as usize;
    [0, 1, 2].map(|c| {
        let value = |x, y| f64::from(planes[(c * side + inside(y)) * side + inside(x)]);
        near(v).map(|(y, wy)| near(u).map(|(x, wx)| wx * value(x, y)).sum::<f64>() * wy).sum()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rows_are_those_of_the_formula_and_the_same_on_every_machine(
        side in 4_usize..90, scale in 0.2_f64..1.0, angle in -3.2_f64..3.2, (width, height) in (1_usize..200, 1_usize..9),
        (tx, ty) in (-30.0_f64..90.0, -30.0_f64..90.0),
    ) {
        let planes: Vec<f32> =
            (0..3 * side * side).map(|i| (i.wrapping_mul(2_654_435_761) >> 8 & 0xff) as f32 / 255.0).collect();
        let alignment = Similarity { a: scale * angle.cos(), b: scale * angle.sin(), tx, ty };
        let rect = Rect { x0: 7, y0: 3, x1: 7 + width, y1: 3 + height };
        let (n, part) = (width * height, shown(&alignment, rect, side));
        let quads = Quads::graded(&planes, side, part, None);
        let mut found = vec![9.0; 3 * n];
        quads.to_frame(&alignment, rect, &mut found);
        let less = quads.difference(&alignment, rect, &vec![0.25; 3 * n]);
        for y in 0..height {
            let Some((row, way)) = quads.way(&alignment, rect, y) else { continue };
            let mut plain = vec![0.0; 3 * row.len()];
            let (red, rest) = plain.split_at_mut(row.len());
            let (green, blue) = rest.split_at_mut(row.len());
            along_plain(&quads.pixels, quads.stride(), way, [red, green, blue]);
            for (i, at) in row.clone().enumerate() {
                let p = FramePx { x: 7.5 + (at % width) as f64, y: 3.5 + y as f64 };
                let CropPx { x, y } = alignment.to_crop(p);
                let want = by_the_formula(&planes, side, (x - 0.5, y - 0.5));
                for c in 0..3 {
                    let value = found[c * n + at];
                    prop_assert!((f64::from(value) - want[c]).abs() < 2e-4, "{p:?} {c}: {value}, not {}", want[c]);
                    prop_assert_eq!(value.to_bits(), plain[c * row.len() + i].to_bits());
                    prop_assert_eq!(less[c * n + at], value - 0.25);
                }
            }
        }
    }

    #[test]
    fn a_mask_is_the_same_on_every_machine(side in 2_usize..70, angle in -3.2_f64..3.2, width in 1_usize..200) {
        let mask: Vec<f32> = (0..side * side).map(|i| (i.wrapping_mul(40_503) >> 3 & 0xff) as f32 / 255.0).collect();
        let way = Way { start: (0.3 * side as f64, 0.4 * side as f64), step: (0.37 * angle.cos(), 0.37 * angle.sin()) };
        let (mut found, mut plain) = (vec![0.0; width], vec![0.0; width]);
        linear(&mask, side, way, &mut found);
        linear_plain(&mask, side, way, &mut plain);
        prop_assert_eq!(found, plain);
    }
}
