use ndarray::Array3;

use super::*;
use crate::{
    face::mesh,
    frame::{Face, Frame, FramePx, Similarity},
    video::Picture,
};

const CROP: usize = 48;

/// A face that fills a crop; both pictures are given by their colours at x, y in 0..1.
fn face(track: u32, new: impl Fn(f32, f32) -> [f32; 3], target: impl Fn(f32, f32) -> [f32; 3]) -> NewFace {
    let mut points = vec![FramePx { x: 24.0, y: 24.0 }; mesh::N_POINTS];
    for (i, index) in mesh::OVAL.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * i as f64 / mesh::OVAL.len() as f64).sin_cos();
        points[*index] = FramePx { x: 24.0 + 17.0 * sin, y: 24.0 - 20.0 * cos };
    }
    for (corner, x) in mesh::EYE_CORNERS.as_flattened().iter().zip([14.0, 21.0, 27.0, 34.0]) {
        points[*corner] = FramePx { x, y: 17.0 };
    }
    points[mesh::NOSE_BASE].y = 27.0;
    let picture = |colour: &dyn Fn(f32, f32) -> [f32; 3]| {
        Array3::from_shape_fn((3, CROP, CROP), |(c, y, x)| {
            colour((x as f32 + 0.5) / CROP as f32, (y as f32 + 0.5) / CROP as f32)[c]
        })
    };
    NewFace {
        face: Face::new(track, points, 1.0),
        alignment: Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 },
        pixels: picture(&new),
        target: picture(&target),
        mask: None,
        visible: None,
        rims: None,
        grade: None,
    }
}

fn frame(idx: u64, faces: Vec<NewFace>) -> Swapped {
    let picture = Picture::from_rgb8(CROP, CROP, &vec![128; 3 * CROP * CROP]);
    Swapped { frame: Frame { idx, picture }, faces, memory: None }
}

/// Skin of a lightness, with a little shape.
fn skin(light: f32) -> impl Fn(f32, f32) -> [f32; 3] {
    move |x, y| {
        let shape = 1.0 + 0.1 * (5.0 * x).sin() * (7.0 * y).cos();
        [0.8, 0.62, 0.52].map(|v| (v * light * shape).clamp(0.0, 1.0))
    }
}

#[test]
fn a_smooth_face_on_a_hard_lit_one_is_not_stretched_without_end() {
    // Skin with one dark spot, an eye; the target is half in shadow.
    let smooth = |x: f32, y: f32| {
        let eye = if (x - 0.4).hypot(y - 0.45) < 0.08 { 0.5 } else { 1.0 };
        [0.8, 0.7, 0.65].map(|v| v * eye * (1.0 + 0.05 * (9.0 * x).sin()))
    };
    let hard = |x: f32, y: f32| {
        [0.5, 0.4, 0.3].map(|v| v * if (9.0 * x).sin() * (9.0 * y).cos() > 0.0 { 1.7 } else { 0.3 })
    };
    let one = graded(&GradeSettings::default(), std::iter::once(vec![face(0, smooth, hard)])).remove(0);
    let new = &one.faces[0];
    let mut pixels = new.pixels.clone();
    new.grade.as_ref().expect("graded").apply(pixels.as_slice_mut().expect("in order"), CROP * CROP);
    let inside = outline(new, CROP);
    let lightness = |planes: &Array3<f32>| -> Vec<f32> {
        let at = |i: usize| [0, 1, 2].map(|c| planes[[c, i / CROP, i % CROP]]);
        (0..CROP * CROP).filter(|i| inside[*i] > 0.5).map(|i| lab::lightness(at(i))).collect()
    };
    let stretched = spread(&lightness(&pixels)) / spread(&lightness(&new.pixels));
    assert!((1.1..1.55).contains(&stretched), "{stretched}");
}

fn graded(settings: &GradeSettings, frames: impl Iterator<Item = Vec<NewFace>>) -> Vec<Swapped> {
    let mut grader = Grader::new(settings);
    let mut out = Vec::new();
    for (idx, faces) in (0..).zip(frames) {
        out.extend(grader.push(frame(idx, faces)).expect("squares"));
    }
    while let Some(last) = grader.finish().expect("squares") {
        out.push(last);
    }
    assert!(out.iter().enumerate().all(|(i, s)| s.frame.idx == i as u64), "in order, none lost");
    out
}

/// L*a*b* of the middle of a face after its grade.
fn middle(face: &NewFace) -> [f32; 3] {
    let mut pixels: Vec<f32> = face.pixels.iter().copied().collect();
    face.grade.as_ref().expect("a grade").apply(&mut pixels, CROP * CROP);
    let mean = |c: usize| {
        let plane = &pixels[c * CROP * CROP..][..CROP * CROP];
        let inner = (14..34).flat_map(|y| plane[y * CROP + 14..y * CROP + 34].iter());
        inner.sum::<f32>() / 400.0
    };
    lab::from_rgb([mean(0), mean(1), mean(2)])
}

fn target_middle(face: &NewFace) -> [f32; 3] {
    let still = Grade { colours: Table::still(), mean: [0.0; 3], contrast: 1.0 };
    middle(&NewFace { pixels: face.target.clone(), grade: Some(still), ..face.clone() })
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

fn settings(transfer: ColorTransfer) -> GradeSettings {
    GradeSettings { transfer, strength: 1.0, ..GradeSettings::default() }
}

const TRANSFERS: [ColorTransfer; 4] =
    [ColorTransfer::Mean, ColorTransfer::Reinhard, ColorTransfer::Mkl, ColorTransfer::Sot];

/// The frames of a light of which the network, at worst, notices nothing.
fn lit(light: &[f32]) -> impl Iterator<Item = Vec<NewFace>> {
    light.iter().map(|light| vec![face(0, skin(0.5), skin(*light))])
}

#[test]
fn a_light_that_changes_by_two_stops_within_a_second_is_followed_without_lag() {
    // Linear light falls to a quarter between frames 8 and 33; displayed values fall to about 0.53.
    let light: Vec<f32> =
        (0..44).map(|i| 0.25_f32.powf(((i as f32 - 8.0) / 25.0).clamp(0.0, 1.0) / 2.2)).collect();
    for transfer in TRANSFERS {
        for swapped in graded(&settings(transfer), lit(&light)) {
            let face = &swapped.faces[0];
            let off = distance(middle(face), target_middle(face));
            assert!(off < 2.5, "{transfer:?}, frame {}: {off}", swapped.frame.idx);
        }
    }
}

#[test]
fn a_tremble_of_what_is_measured_is_averaged_away() {
    // The target's light trembles by some 1.5 units of L*a*b* from frame to frame.
    let light: Vec<f32> = (0..40_usize).map(|i| 0.8 + 0.03 * ((i * 7919 % 13) as f32 / 6.0 - 1.0)).collect();
    let unrest = |radius: usize| {
        let settings = GradeSettings { radius, ..settings(ColorTransfer::Mean) };
        let lightness: Vec<f32> =
            graded(&settings, lit(&light)).iter().map(|s| middle(&s.faces[0])[0]).collect();
        lightness.windows(2).map(|w| (w[1] - w[0]).abs()).sum::<f32>() / 39.0
    };
    assert!(unrest(6) < 0.4 * unrest(0), "{} {}", unrest(6), unrest(0));
}

#[test]
fn a_lamp_that_is_switched_on_and_a_cut_leave_no_ghost_of_the_old_colour() {
    let switched: Vec<f32> = (0..30).map(|i| if i < 15 { 0.45 } else { 0.95 }).collect();
    let cut =
        switched.iter().enumerate().map(|(i, light)| vec![face((i / 15) as u32, skin(0.5), skin(*light))]);
    let off = |s: &Swapped| distance(middle(&s.faces[0]), target_middle(&s.faces[0]));
    for swapped in graded(&settings(ColorTransfer::Reinhard), lit(&switched)) {
        assert!(off(&swapped) < 1.5, "lamp, frame {}: {}", swapped.frame.idx, off(&swapped));
    }
    for swapped in graded(&settings(ColorTransfer::Reinhard), cut) {
        assert!(off(&swapped) < 1.0, "cut, frame {}: {}", swapped.frame.idx, off(&swapped));
    }
}

#[test]
fn a_face_half_in_shadow_keeps_its_shadow() {
    let half = |x: f32, _: f32| {
        let light = if x < 0.5 { 0.35 } else { 0.9 };
        [0.8, 0.62, 0.52].map(|v| v * light)
    };
    // A network that sees the shadow, in its own skin tone.
    let pale = move |x: f32, y: f32| half(x, y).map(|v| v + 0.05);
    for transfer in TRANSFERS {
        let out = graded(&settings(transfer), (0..5).map(|_| vec![face(0, pale, half)]));
        let face = &out[2].faces[0];
        let mut pixels: Vec<f32> = face.pixels.iter().copied().collect();
        face.grade.as_ref().expect("a grade").apply(&mut pixels, CROP * CROP);
        let worst =
            (8..40).map(|x| (pixels[24 * CROP + x] - face.target[[0, 24, x]]).abs()).fold(0.0, f32::max);
        assert!(worst < 0.06, "{transfer:?}: {worst}");
    }
}

/// Skin with brows, or whatever is dark above the eyes, and a beard from the mouth down.
fn bearded(light: f32) -> impl Fn(f32, f32) -> [f32; 3] {
    let skin = skin(light);
    move |x, y| if (0.42..0.58).contains(&y) { skin(x, y) } else { [0.16, 0.14, 0.13] }
}

#[test]
fn a_beard_does_not_dim_the_skin_of_a_face_without_one() {
    for transfer in TRANSFERS {
        let one =
            graded(&settings(transfer), std::iter::once(vec![face(0, skin(0.6), bearded(0.9))])).remove(0);
        let mut pixels: Vec<f32> = one.faces[0].pixels.iter().copied().collect();
        one.faces[0].grade.as_ref().expect("a grade").apply(&mut pixels, CROP * CROP);
        let at = |pixels: &[f32], y: usize| {
            let mean = |c: usize| pixels[(c * CROP + y) * CROP..][16..32].iter().sum::<f32>() / 16.0;
            lab::from_rgb([mean(0), mean(1), mean(2)])
        };
        let target: Vec<f32> = one.faces[0].target.iter().copied().collect();
        let off = distance(at(&pixels, 24), at(&target, 24));
        assert!(off < 3.0, "{transfer:?}: cheeks are off by {off}");
        let chin = at(&pixels, 34);
        assert!(chin[0] > at(&pixels, 24)[0] - 12.0, "{transfer:?}: {chin:?} is no skin");
    }
}

#[test]
fn blue_eyes_stay_blue_under_a_tan() {
    let pale = |x: f32, y: f32| {
        let is_eye = (x - 0.4).hypot(y - 0.36) < 0.05;
        if is_eye { [0.15, 0.3, 0.6] } else { [0.85, 0.72, 0.68].map(|v| v * (1.0 + 0.05 * (9.0 * x).sin())) }
    };
    let tanned = |x: f32, _: f32| [0.85, 0.72, 0.5].map(|v| v * (1.0 + 0.05 * (9.0 * x).sin()));
    for transfer in [ColorTransfer::Reinhard, ColorTransfer::Mkl] {
        // A target without eyes has less contrast, which isn't what is looked at.
        let settings = GradeSettings { match_contrast: false, ..settings(transfer) };
        let one = graded(&settings, std::iter::once(vec![face(0, pale, tanned)])).remove(0);
        let mut pixels: Vec<f32> = one.faces[0].pixels.iter().copied().collect();
        one.faces[0].grade.as_ref().expect("a grade").apply(&mut pixels, CROP * CROP);
        let at = |pixels: &[f32], x: usize, y: usize| {
            lab::from_rgb([0, 1, 2].map(|c| pixels[(c * CROP + y) * CROP + x]))
        };
        let before: Vec<f32> = one.faces[0].pixels.iter().copied().collect();
        let target: Vec<f32> = one.faces[0].target.iter().copied().collect();
        let moved = |x: usize, y: usize| at(&pixels, x, y)[2] - at(&before, x, y)[2];
        let (eye, cheek) = (moved(19, 17), moved(24, 24));
        assert!(
            cheek > 10.0 && eye < 0.5 * cheek,
            "{transfer:?}: the eye is {eye} yellower, the cheek {cheek}"
        );
        let off = distance(at(&pixels, 24, 24), at(&target, 24, 24));
        assert!(off < 3.0, "{transfer:?}: the cheek is off by {off}");
    }
}

#[test]
fn two_people_are_graded_apart() {
    let frames = (0..20).map(|i| {
        let pair = vec![face(4, skin(0.5), skin(0.9)), face(9, skin(0.9), skin(0.4))];
        if i % 2 == 0 { pair } else { pair.into_iter().rev().collect() }
    });
    for swapped in graded(&settings(ColorTransfer::Mean), frames) {
        for face in &swapped.faces {
            assert!(distance(middle(face), target_middle(face)) < 1.0, "track {}", face.face.track);
        }
    }
}

#[test]
fn a_run_that_starts_later_comes_to_the_same_grades() {
    let light: Vec<f32> = (0..60_usize).map(|i| 0.6 + 0.3 * (i as f32 * 0.21).sin()).collect();
    let all = graded(&settings(ColorTransfer::Mkl), lit(&light));
    let later = graded(&settings(ColorTransfer::Mkl), lit(&light[8..]));
    for (a, b) in all[40..].iter().zip(&later[32..]) {
        assert_eq!(a.faces[0].grade, b.faces[0].grade);
    }
}

#[test]
fn contrast_is_brought_to_the_targets_and_nothing_to_do_is_nothing_done() {
    let wave =
        |strength: f32| move |x: f32, y: f32| [0.5 + strength * (60.0 * x).sin() * (50.0 * y).cos(); 3];
    let plain = GradeSettings { transfer: ColorTransfer::None, ..GradeSettings::default() };
    let frames = || (0..9).map(|_| vec![face(0, wave(0.1), wave(0.13))]);
    for swapped in graded(&plain, frames()) {
        let contrast = swapped.faces[0].grade.as_ref().map_or(0.0, Grade::contrast);
        assert!((contrast - 1.3).abs() < 0.04, "{contrast}");
    }
    let off = GradeSettings { match_contrast: false, ..plain };
    let mut grader = Grader::new(&off);
    let through = grader.push(frame(0, frames().next().expect("a frame"))).expect("a square");
    assert!(through.is_some_and(|s| s.faces[0].grade.is_none()), "without delay");
    let same = graded(&settings(ColorTransfer::Mean), (0..3).map(|_| vec![face(0, skin(0.7), skin(0.7))]));
    let mut pixels: Vec<f32> = same[1].faces[0].pixels.iter().copied().collect();
    same[1].faces[0].grade.as_ref().expect("a grade").apply(&mut pixels, CROP * CROP);
    assert!(pixels.iter().zip(&same[1].faces[0].pixels).all(|(a, b)| (a - b).abs() < 1e-6));
}
