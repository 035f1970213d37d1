use super::*;
use crate::{
    face::{DEFAULT_MARGIN, Steadier, Template, align, crop, masks::tests::portrait},
    frame::{Face, Frame, NewFace, Swapped},
    line::Stage,
};

const SKIN: f64 = 190.0;

/// How far a point is from a rim around one of the eyes of the portrait, pixels.
fn from_rim(x: f64, y: f64, eye: f64) -> f64 {
    (((x - 100.0 - 28.0 * eye) / 22.0).hypot((y - 93.0) / 15.0) - 1.0).abs() * 18.0
}

/// Skin with brows, and with lines as much brighter as `rims` says around the right and the left eye and between them.
fn face([right, left]: [f64; 2], grain: f64) -> (Picture, Vec<FramePx>) {
    let (picture, mut points) = portrait(move |x, y| {
        let noise = ((x * 12.9898 + y * 78.233).sin() * 43_758.547).fract() * grain;
        let is_brow = (60.0..69.0).contains(&y) && (12.0..46.0).contains(&(x - 100.0).abs());
        let line = |off: f64, contrast: f64| contrast * (1.5 - off).clamp(0.0, 1.0);
        let bridge = if (x - 100.0).abs() < 6.0 { line((y - 90.0).abs(), right.min(left)) } else { 0.0 };
        let rims = line(from_rim(x, y, -1.0), right) + line(from_rim(x, y, 1.0), left);
        let skin = if is_brow { 60.0 } else { SKIN - 0.3 * (x - 100.0) };
        (skin + noise + rims + bridge).clamp(0.0, 255.0) as u8
    });
    // Room for glasses between eyes and brows.
    BROWS_TOP.iter().chain(&BROWS_BOTTOM).flatten().for_each(|i| points[*i].y -= 8.0);
    (picture, points)
}

fn found(contrast: [f64; 2], grain: f64) -> Option<Rims> {
    let (picture, points) = face(contrast, grain);
    look_in(&picture, &points)
}

/// What is in view at a place of the portrait.
fn seen(rims: &Rims, x: f64, y: f64) -> f32 {
    let place = rims.alignment.to_crop(FramePx { x, y });
    rims.visible[[place.y as usize, place.x as usize]]
}

#[test]
fn a_line_around_both_eyes_is_a_rim_and_nothing_else_is() {
    for contrast in [25.0, -25.0, -90.0] {
        let rims = found([contrast; 2], 8.0).expect("glasses");
        assert!(Rims::sureness(vec![rims.strength]) > 0.99, "{contrast}: {}", rims.strength);
        for turn in 0..24 {
            let (sin, cos) = (f64::from(turn) / 24.0 * std::f64::consts::TAU).sin_cos();
            for eye in [-28.0, 28.0] {
                let at = |far: f64| seen(&rims, 100.5 + eye + far * 22.0 * cos, 93.5 + far * 15.0 * sin);
                assert!(at(1.0) < 0.6, "{contrast}: the rim at {turn} of {eye}: {}", at(1.0));
                assert!(at(0.6) > 0.99, "{contrast}: within the rim at {turn} of {eye}");
            }
        }
        assert!(seen(&rims, 100.5, 90.5) < 0.3, "{contrast}: the bridge");
        for (x, y) in [(100.5, 120.5), (72.0, 130.0), (100.5, 70.0), (72.0, 92.0)] {
            assert!(seen(&rims, x, y) > 0.99, "{contrast}: nothing is at {x}, {y}");
        }
    }
    let strength = |contrast, grain| found(contrast, grain).map_or(0.0, |rims| rims.strength);
    for (who, strength) in [
        ("a bare face", strength([0.0; 2], 0.0)),
        ("a grainy one", strength([0.0; 2], 25.0)),
        ("a line around one eye", strength([-60.0, 0.0], 0.0)),
        ("what the eye hardly sees", strength([2.0; 2], 2.0)),
    ] {
        assert!(Rims::sureness(vec![strength]) == 0.0, "{who}: {strength}");
    }
}

#[test]
fn points_that_are_no_mesh_have_no_glasses() {
    let (picture, points) = face([-60.0; 2], 0.0);
    assert!(look_in(&picture, &points[..68]).is_none());
    let nowhere = vec![FramePx { x: f64::NAN, y: 0.0 }; mesh::N_POINTS];
    assert!(look_in(&picture, &nowhere).is_none());
    assert!(look_in(&picture, &vec![FramePx { x: 50.0, y: 50.0 }; mesh::N_POINTS]).is_none());
}

#[test]
fn a_crop_at_hand_says_the_same_as_the_picture() {
    let (picture, points) = face([-60.0; 2], 4.0);
    let fine = align(&points, &Template::default(), DEFAULT_MARGIN, 2 * SIDE);
    let from_crop = look(&picture, (&crop(&picture, &fine, 2 * SIDE), &fine), &points).expect("glasses");
    let from_picture = look_in(&picture, &points).expect("glasses");
    assert!((from_crop.strength - from_picture.strength).abs() < 0.01);
    // A crop of another side is of no use.
    let coarse = align(&points, &Template::default(), DEFAULT_MARGIN, 128);
    let again = look(&picture, (&crop(&picture, &coarse, 128), &coarse), &points).expect("glasses");
    assert_eq!(again.visible, from_picture.visible);
}

/// A frame with one new face, in front of which there may be rims of this contrast.
fn frame(idx: u64, contrast: f64, track: u32) -> Swapped {
    let (picture, points) = face([contrast; 2], 0.0);
    let alignment = align(&points, &Template::default(), DEFAULT_MARGIN, SIDE);
    let pixels = crop(&picture, &alignment, SIDE);
    let new = NewFace {
        rims: look(&picture, (&pixels, &alignment), &points),
        face: Face::new(track, points, 1.0),
        alignment,
        target: pixels.clone(),
        pixels,
        mask: None,
        visible: None,
        grade: None,
    };
    Swapped { frame: Frame { idx, picture }, faces: vec![new], memory: None }
}

/// For each frame with rims of these contrasts on these tracks whether a rim is left out of its face.
fn kept(frames: &[(f64, u32)]) -> Vec<bool> {
    let mut steadier = Steadier::default();
    let mut out = Vec::new();
    for (idx, (contrast, track)) in frames.iter().enumerate() {
        out.extend(steadier.push(frame(idx as u64, *contrast, *track)).expect("no device"));
    }
    out.extend(std::iter::from_fn(|| steadier.finish().expect("no device")));
    assert_eq!(out.len(), frames.len());
    let has_line = |face: &NewFace| face.visible.as_ref().is_some_and(|v| v.iter().any(|v| *v < 0.3));
    out.iter().map(|swapped| has_line(&swapped.faces[0])).collect()
}

#[test]
fn glasses_do_not_come_and_go() {
    // Blurred in two frames, and a face on which something looks like glasses in two.
    let (clear, faint, bare) = (-60.0, -5.0, 0.0);
    let contrasts = [clear, clear, clear, faint, faint, clear, clear, clear];
    assert_eq!(kept(&contrasts.map(|contrast| (contrast, 1))), [true; 8]);
    let contrasts = [bare, bare, bare, clear, clear, bare, bare, bare];
    assert_eq!(kept(&contrasts.map(|contrast| (contrast, 1))), [false; 8]);
    // Somebody else comes without.
    let people = [(clear, 1), (clear, 1), (clear, 1), (bare, 2), (bare, 2)];
    assert_eq!(kept(&people), [true, true, true, false, false]);
}
