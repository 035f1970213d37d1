use std::ops::Range;

use proptest::prelude::*;

use super::*;

fn disc(side: usize, radius: f64) -> Vec<f32> {
    let c = side as f64 / 2.0;
    let at = |i: usize| (i as f64 + 0.5 - c).powi(2);
    (0..side * side)
        .map(|i| (radius - (at(i % side) + at(i / side)).sqrt() + 0.5).clamp(0.0, 1.0) as f32)
        .collect()
}

#[test]
fn the_distance_is_that_of_the_nearest_outside_pixel() {
    let side = 23;
    let mask: Vec<f32> = (0..side * side).map(|i| f32::from(i * 2_654_435_761 % 97 > 4)).collect();
    let outside: Vec<(isize, isize)> = (-1..=side as isize)
        .flat_map(|y| (-1..=side as isize).map(move |x| (x, y)))
        .filter(|&(x, y)| {
            let inside = (0..side as isize).contains(&x) && (0..side as isize).contains(&y);
            !inside || mask[y as usize * side + x as usize] < 0.5
        })
        .collect();
    let found = distances(&mask, side);
    for (i, d) in found.iter().enumerate() {
        let (x, y) = ((i % side) as isize, (i / side) as isize);
        let nearest = outside.iter().map(|(a, b)| (a - x).pow(2) + (b - y).pow(2)).min().unwrap_or(0);
        let want = ((nearest as f32).sqrt() - 0.5).max(0.0);
        assert!((d - want).abs() < 1e-4, "({x}, {y}): {d}, not {want}");
    }
}

#[test]
fn a_disc_is_soft_inside_and_untouched_outside() {
    for side in [200, 256, 512, 700] {
        let radius = 0.35 * side as f64;
        let soft = feathered(&disc(side, radius), side, 0.1, &[]);
        let middle = &soft[side / 2 * side..][..side];
        for (x, v) in middle.iter().enumerate() {
            let inwards = (radius - (x as f64 + 0.5 - side as f64 / 2.0).abs()) / side as f64;
            assert!(inwards > 0.0 || *v == 0.0, "{side}: {v} at {inwards} outside");
            assert!(inwards < 0.105 || *v > 0.999, "{side}: {v} at {inwards} inside");
            assert!((0.0..=1.0001).contains(v));
        }
        let steepest = middle.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 40.0 / side as f32, "{side}: a step of {steepest}");
        let half = middle.iter().position(|v| *v > 0.5).unwrap_or(0) as f64 / side as f64;
        assert!((half - 0.15 - 0.05).abs() < 0.012, "{side}: half way at {half}");
    }
}

#[test]
fn padding_is_measured_on_the_face_and_not_on_the_crop() {
    // A face of 40 x 60 pixels from (10, 20) on.
    let side = 100;
    let is_face = |at: usize| (10..50).contains(&(at % side)) && (20..80).contains(&(at / side));
    let face: Vec<f32> = (0..side * side).map(|at| f32::from(u8::from(is_face(at)))).collect();
    let mut cut = face.clone();
    Padding { top: 0.1, right: 0.25, bottom: 0.5, left: 0.05 }.cut(&mut cut, side);
    for (at, m) in cut.iter().enumerate() {
        let is_left = (12..40).contains(&(at % side)) && (26..50).contains(&(at / side));
        assert!((m - f32::from(u8::from(is_left))).abs() < 1e-5, "({}, {})", at % side, at / side);
    }
    let mut whole = face.clone();
    Padding::default().cut(&mut whole, side);
    assert_eq!(whole, face);
    Padding { top: 0.6, bottom: 0.6, ..Padding::default() }.cut(&mut whole, side);
    assert!(whole.iter().all(|m| *m == 0.0), "nothing is left");
}

#[test]
fn holes_within_the_hull_are_closed_and_bays_are_left() {
    let side = 40;
    let place = |at: usize| (at % side, at / side);
    let within = |(x, y): (usize, usize), columns: Range<usize>, rows: Range<usize>| {
        columns.contains(&x) && rows.contains(&y)
    };
    let hull: Vec<f32> =
        (0..side * side).map(|at| f32::from(u8::from(within(place(at), 4..36, 4..36)))).collect();
    // An eye with a soft rim, and a lock of hair that hangs in from above.
    let is_bay = |at| within(place(at), 24..30, 4..20);
    let seen = |at: usize| match place(at) {
        p if within(p, 11..15, 15..18) => 0.0,
        p if within(p, 10..16, 14..19) => 0.7,
        _ if is_bay(at) => 0.1,
        _ => 1.0,
    };
    let mut contour: Vec<f32> = (0..side * side).map(|at| hull[at] * seen(at)).collect();
    fill_holes(&mut contour, &hull, side);
    for (at, c) in contour.iter().enumerate() {
        let want = if is_bay(at) { 0.1 } else { hull[at] };
        assert!((c - want).abs() < 1e-6, "{:?}: {c}, not {want}", place(at));
    }
}

#[test]
fn nothing_comes_from_nothing_and_a_full_square_ends_at_its_border() {
    assert!(feathered(&[0.0; 64 * 64], 64, 0.1, &[]).iter().all(|v| *v == 0.0));
    let full = feathered(&[1.0; 64 * 64], 64, 0.1, &[]);
    assert!(full[..64].iter().all(|v| *v == 0.0) && full[32 * 64 + 32] > 0.9999);
    let hard = disc(64, 20.0);
    assert_eq!(feathered(&hard, 64, 0.0, &[]), hard);
}

proptest! {
    #[test]
    fn outside_stays_outside(holes in prop::collection::vec((0_usize..96, 0_usize..96, 1_usize..30), 1..6)) {
        let mut mask = vec![1.0; 96 * 96];
        for (x, y, size) in holes {
            for i in y..(y + size).min(96) {
                mask[i * 96 + x..i * 96 + (x + size).min(96)].fill(0.0);
            }
        }
        let soft = feathered(&mask, 96, 0.08, &[]);
        prop_assert!(soft.iter().zip(&mask).all(|(s, m)| (0.0..=1.0001).contains(s) && (*m > 0.0 || *s == 0.0)));
    }
}

#[test]
fn a_feature_within_the_soft_rim_is_covered_and_the_rest_of_the_rim_stays_soft() {
    for side in [256, 512] {
        let (radius, share) = (0.35 * side as f64, side as f64 / 256.0);
        let mask = disc(side, radius);
        let middle = side as f64 / 2.0;
        // On the right, a third of the rim's width inside the edge.
        let feature = CropPx { x: middle + radius - 0.033 * side as f64, y: middle };
        let (plain, covered) = (feathered(&mask, side, 0.1, &[]), feathered(&mask, side, 0.1, &[feature]));
        let at = |mask: &[f32], x: f64, y: f64| mask[y as usize * side + x as usize];
        assert!(at(&plain, feature.x, feature.y) < 0.3, "{side}: covered anyway");
        let there = at(&covered, feature.x, feature.y);
        assert!(there > 0.9, "{side}: {there} on the feature");
        let outside = mask.iter().zip(&covered).filter(|(m, _)| **m <= 0.0);
        assert!(outside.into_iter().all(|(_, c)| *c == 0.0), "{side}: something outside is touched");
        for (plain, covered) in plain.iter().zip(&covered) {
            assert!(covered >= &(plain - 1e-6) && *covered <= 1.0001);
        }
        // Above and on the left, far from it, all is as it was.
        for (x, y) in [(middle, middle - radius + 8.0 * share), (middle - radius + 8.0 * share, middle)] {
            assert!((at(&plain, x, y) - at(&covered, x, y)).abs() < 1e-6, "{side}: changed at ({x}, {y})");
        }
    }
}

#[test]
fn features_outside_of_everything_are_no_harm() {
    let mask = disc(256, 90.0);
    let far = [(-1e9, 3.0), (f64::NAN, f64::NAN), (1e300, -4.0), (0.0, 0.0), (255.9, 255.9)];
    let far = far.map(|(x, y)| CropPx { x, y });
    assert_eq!(feathered(&mask, 256, 0.1, &far), feathered(&mask, 256, 0.1, &[]));
}
