use super::*;
use crate::frame::{FramePx, Rect};

const SIDE: usize = 320;

/// Values that look random, -1..1.
fn noise(i: usize) -> f32 {
    ((i.wrapping_mul(2_654_435_761) >> 8) & 0xffff) as f32 / 32768.0 - 1.0
}

/// Grey skin with grain, and dark strokes as lids and lips have.
fn skin(grain: f32, strokes: f32) -> Vec<f32> {
    let plane: Vec<f32> = (0..SIDE * SIDE)
        .map(|i| {
            let (x, y) = (i % SIDE, i / SIDE);
            let stroke = if (y + x / 4) % 80 < 3 { strokes } else { 0.0 };
            0.55 + 0.05 * (x as f32 / 50.0).sin() + grain * noise(i) - stroke
        })
        .collect();
    plane.repeat(3)
}

fn floors() -> Floors {
    let rect = Rect { x0: 0, y0: 0, x1: SIDE, y1: SIDE };
    Floors::new(rect, FramePx { x: 160.0, y: 160.0 }, 512.0)
}

/// What is added to each band when `new` lies on `target`.
fn added(new: &[f32], target: &[f32], network_px: f64) -> Vec<Vec<f32>> {
    let difference: Vec<f32> = new.iter().zip(target).map(|(y, x)| y - x).collect();
    matched(&difference, target, &vec![1.0; SIDE * SIDE], &floors(), network_px)
}

fn strength(band: &[f32]) -> f32 {
    (band.iter().map(|v| v * v).sum::<f32>() / band.len() as f32).sqrt()
}

fn finest(picture: &[f32]) -> Vec<f32> {
    let mut all = pictures(lightness(picture, SIDE * SIDE), &floors(), 1);
    let below = all.swap_remove(1);
    let (mut nothing, nothing_below) = (vec![0.0; SIDE * SIDE], vec![0.0; below.len()]);
    split(&mut all[0], &mut nothing, (&below, &nothing_below), &floors(), 0);
    all.swap_remove(0)
}

#[test]
fn a_smooth_face_in_a_grainy_frame_gets_its_grain() {
    let target = skin(0.04, 0.0);
    let detail = added(&skin(0.0, 0.0), &target, 4.0);
    let (found, wanted) = (strength(&detail[0]), strength(&finest(&target)));
    assert!((found / wanted - 1.0).abs() < 0.12, "{found} {wanted}");
    // Of bands much coarser than the network's pixels nothing is taken, and there is nothing to be amplified.
    let coarse = added(&skin(0.0, 0.0), &target, 1.0);
    let shares =
        [(&coarse[0], wanted), (&coarse[2], strength(&detail[2]))].map(|(band, of)| strength(band) / of);
    assert!(shares[0] > 0.9 && shares[1] < 0.3, "{shares:?}");
}

#[test]
fn the_strokes_of_the_old_face_do_not_come_along() {
    let target = skin(0.01, 0.35);
    let detail = added(&skin(0.0, 0.0), &target, 4.0);
    let band = finest(&target);
    let at = |values: &[f32], stroke: bool| {
        let of = |i: usize| ((i / SIDE + i % SIDE / 4) % 80 < 3) == stroke;
        let part: Vec<f32> = values.iter().enumerate().filter(|(i, _)| of(*i)).map(|(_, v)| *v).collect();
        strength(&part)
    };
    assert!(at(&detail[0], true) < 0.1 * at(&band, true), "{} {}", at(&detail[0], true), at(&band, true));
    assert!(at(&detail[0], false) > 0.4 * 0.01 * 0.577, "{}", at(&detail[0], false));
}

#[test]
fn a_sharp_face_in_a_soft_frame_is_softened() {
    let new = skin(0.05, 0.0);
    let detail = added(&new, &skin(0.02, 0.0), 1.0);
    let band = finest(&new);
    let left: Vec<f32> = band.iter().zip(&detail[0]).map(|(v, d)| v + d).collect();
    let ratio = strength(&left) / strength(&band);
    assert!((ratio - 0.4).abs() < 0.06, "{ratio}");
}

#[test]
fn a_blurred_face_in_a_sharp_frame_is_sharpened_within_limits() {
    let (new, target) = (skin(0.03, 0.0), skin(0.045, 0.0));
    // As if the network's pixels were far smaller than the frame's, so that no grain is added.
    let ratio = |new: &[f32]| {
        let band = finest(new);
        let sharper: Vec<f32> = band.iter().zip(&added(new, &target, 0.3)[0]).map(|(v, d)| v + d).collect();
        strength(&sharper) / strength(&band)
    };
    assert!((ratio(&new) - 1.5).abs() < 0.05, "{}", ratio(&new));
    assert!((ratio(&skin(0.01, 0.0)) - MOST).abs() < 0.01);
}

#[test]
fn what_sharpening_leaves_wanting_grain_makes_up() {
    let target = skin(0.045, 0.0);
    // Grain of its own, which has nothing to do with the target's.
    let own = |i: usize| 0.01 * noise(i.wrapping_mul(i) >> 3);
    let new: Vec<f32> = skin(0.0, 0.0).iter().enumerate().map(|(i, v)| v + own(i % (SIDE * SIDE))).collect();
    let whole: Vec<f32> =
        finest(&new).iter().zip(&added(&new, &target, 1.0)[0]).map(|(v, d)| v + d).collect();
    let ratio = strength(&whole) / strength(&finest(&target));
    assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
}

#[test]
fn equal_faces_get_nothing() {
    let target = skin(0.03, 0.2);
    for band in added(&target, &target, 4.0) {
        assert!(band.iter().all(|v| *v == 0.0));
    }
}

#[test]
fn halfway_between_two_grains_there_is_as_much_of_it() {
    let target = skin(0.03, 0.0);
    let other = |i: usize| 0.03 * noise(i.wrapping_mul(i) >> 3);
    let new: Vec<f32> =
        skin(0.0, 0.0).iter().enumerate().map(|(i, v)| v + other(i % (SIDE * SIDE))).collect();
    let difference: Vec<f32> = new.iter().zip(&target).map(|(y, x)| y - x).collect();
    let ramp: Vec<f32> = (0..SIDE * SIDE).map(|i| ((i % SIDE) as f32 / 250.0).min(1.0)).collect();
    let detail = &matched(&difference, &target, &ramp, &floors(), 1.0)[0];
    let (old, new) = (finest(&target), finest(&new));
    let strength_where = |range: std::ops::Range<f32>, value: &dyn Fn(usize) -> f32| {
        let inside = (0..SIDE * SIDE).filter(|i| range.contains(&ramp[*i]));
        strength(&inside.map(value).collect::<Vec<f32>>())
    };
    let mixed = |i: usize| old[i] + ramp[i] * (new[i] - old[i] + detail[i]);
    let plain = |i: usize| old[i] + ramp[i] * (new[i] - old[i]);
    let whole = strength_where(0.0..0.01, &mixed);
    for range in [0.1..0.3, 0.4..0.6, 0.7..0.9] {
        let ratio = strength_where(range.clone(), &mixed) / whole;
        assert!((ratio - 1.0).abs() < 0.06, "{range:?}: {ratio}");
    }
    let faded = strength_where(0.4..0.6, &plain) / whole;
    assert!((faded - 0.71).abs() < 0.03, "{faded}");
}

#[test]
fn what_is_no_number_stays_where_it_is() {
    let (mut target, new) = (skin(0.03, 0.0), skin(0.01, 0.1));
    target[SIDE * 100 + 150] = f32::NAN;
    let difference: Vec<f32> = new.iter().zip(&target).map(|(y, x)| y - x).collect();
    let ramp: Vec<f32> = (0..SIDE * SIDE).map(|i| ((i % SIDE) as f32 / 250.0).min(1.0)).collect();
    let detail = matched(&difference, &target, &ramp, &floors(), 1.0);
    let n_lost = detail[0].iter().filter(|v| v.is_nan()).count();
    assert!(n_lost < 200, "{n_lost} of {}", SIDE * SIDE);
}
