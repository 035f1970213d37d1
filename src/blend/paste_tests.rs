use ndarray::Array2;

use super::*;
use crate::{
    face::{self, mesh},
    frame::{Face, FramePx, Similarity},
};

/// A mesh whose outline is an ellipse around `(x, y)`; turned by `angle`.
pub(super) fn oval_mesh((x, y): (f64, f64), (rx, ry): (f64, f64), angle: f64) -> Vec<FramePx> {
    let (cos, sin) = (angle.cos(), angle.sin());
    let place =
        |u: f64, v: f64| FramePx { x: x + cos * rx * u - sin * ry * v, y: y + sin * rx * u + cos * ry * v };
    let mut points = vec![place(0.0, 0.0); mesh::N_POINTS];
    for (i, index) in mesh::OVAL.iter().enumerate() {
        let turn = std::f64::consts::TAU * i as f64 / mesh::OVAL.len() as f64;
        points[*index] = place(turn.sin(), -turn.cos());
    }
    for (side, out) in [(0, -1.0), (1, 1.0)] {
        mesh::EYE_CORNERS[side].iter().for_each(|i| points[*i] = place(0.4 * out, -0.2));
        for (i, index) in mesh::BROWS_TOP[side].iter().enumerate() {
            points[*index] = place(out * (0.7 - 0.14 * i as f64), -0.4);
        }
    }
    points
}

fn noise_picture(width: usize, height: usize) -> Picture {
    let pixels: Vec<u8> =
        (0..3 * width * height).map(|i| 60 + (i.wrapping_mul(2_654_435_761) >> 9 & 0x7f) as u8).collect();
    Picture::from_rgb8(width, height, &pixels)
}

fn smooth_picture(width: usize, height: usize) -> Picture {
    let at = |i: usize| {
        let (x, y, c) = ((i / 3 % width) as f64, (i / 3 / width) as f64, (i % 3) as f64);
        128.0 + 60.0 * (x / 17.0 + c).sin() * (y / 23.0 - c).cos()
    };
    Picture::from_rgb8(width, height, &(0..3 * width * height).map(|i| at(i) as u8).collect::<Vec<u8>>())
}

fn whole(picture: &Picture) -> Array3<f32> {
    let (x1, y1) = picture.size_px();
    picture.rgb_rect(Rect { x0: 0, y0: 0, x1, y1 })
}

/// A face in a frame of 200 x 160, turned by 0.2, in a crop of `side`.
fn new_face(side: usize, pixels: impl FnOnce(&Similarity) -> Array3<f32>) -> NewFace {
    let points = oval_mesh((104.0, 83.0), (38.0, 50.0), 0.2);
    let scale = side as f64 / 150.0;
    let (a, b) = (scale * 0.2_f64.cos(), -scale * 0.2_f64.sin());
    let middle = side as f64 / 2.0;
    let alignment =
        Similarity { a, b, tx: middle - (a * 104.0 - b * 83.0), ty: middle - (b * 104.0 + a * 83.0) };
    let face = Face::new(0, points, 1.0);
    let pixels = pixels(&alignment);
    let target = Array3::zeros(pixels.dim());
    NewFace { pixels, target, alignment, face, mask: None, visible: None, rims: None, grade: None }
}

fn blended(picture: &Picture, faces: Vec<NewFace>, settings: &BlendSettings) -> Array3<f32> {
    let frame = Frame { idx: 3, picture: picture.clone() };
    whole(&blend(Swapped { frame, faces, memory: None }, settings).expect("valid faces").picture)
}

fn modes() -> [BlendSettings; 4] {
    let mode = |mode| BlendSettings { mode, ..BlendSettings::default() };
    let paper = BlendSettings { small_bands_from_target: 2, ..BlendSettings::default() };
    [mode(BlendMode::MultiBand), mode(BlendMode::Feather), mode(BlendMode::Paste), paper]
}

#[test]
fn outside_the_mask_every_pixel_keeps_its_bits_and_inside_it_changes() {
    let picture = noise_picture(200, 160);
    let before = whole(&picture);
    for side in [64, 128, 250] {
        for settings in modes() {
            let face =
                new_face(side, |_| Array3::from_shape_fn((3, side, side), |(_, y, x)| ((x ^ y) & 1) as f32));
            let frame = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
            let hull = face::hull_mask(&face.face.points, &frame, 200);
            let after = blended(&picture, vec![face], &settings);
            let (mut changed, mut inside) = (0.0, 0.0);
            for ((c, y, x), new) in after.indexed_iter() {
                let same = new.to_bits() == before[[c, y, x]].to_bits();
                // A hard edge is antialiased by the crop's pixels and the filter, so up to two of them beyond.
                let soft = settings.mode != BlendMode::Paste;
                let near = hull
                    .slice(ndarray::s![y.saturating_sub(5)..y + 6, x.saturating_sub(5)..(x + 6).min(200)]);
                let reached = if soft { hull[[y, x]] > 0.0 } else { near.iter().any(|m| *m > 0.0) };
                assert!(same || reached, "{settings:?} side {side}: pixel ({x}, {y}) changed");
                inside += hull[[y, x]];
                changed += if same { 0.0 } else { hull[[y, x]] };
            }
            assert!(changed > 0.6 * inside, "{settings:?} side {side}: {changed} of {inside}");
        }
    }
}

#[test]
fn a_frame_without_faces_comes_back_as_it_was() {
    let picture = noise_picture(40, 30);
    assert_eq!(blended(&picture, Vec::new(), &BlendSettings::default()), whole(&picture));
    let mut unseen = new_face(64, |_| Array3::ones((3, 64, 64)));
    unseen.mask = Some(Array2::zeros((64, 64)));
    assert_eq!(blended(&picture, vec![unseen], &BlendSettings::default()), whole(&picture));
}

#[test]
fn the_faces_own_crop_changes_next_to_nothing() {
    let picture = smooth_picture(200, 160);
    let before = whole(&picture);
    for settings in modes() {
        for side in [160, 240] {
            let face = new_face(side, |alignment| face::crop(&picture, alignment, side));
            let after = blended(&picture, vec![face], &settings);
            let worst = (&after - &before).mapv(f32::abs).fold(0.0_f32, |a, b| a.max(*b));
            assert!(worst < 2.5 / 255.0, "{settings:?} side {side}: {worst}");
        }
    }
}

#[test]
fn light_and_tone_stay_the_targets_and_detail_is_the_new_faces() {
    let picture = Picture::from_rgb8(200, 160, &vec![120; 3 * 200 * 160]);
    // Stripes of 6 pixels on a face that is much too green.
    let stripes = |_: &Similarity| {
        Array3::from_shape_fn((3, 150, 150), |(c, _, x)| {
            (if c == 1 { 0.8 } else { 0.3 }) + if x / 6 % 2 == 0 { -0.1 } else { 0.1 }
        })
    };
    let middle = |picture: &Array3<f32>, c: usize| {
        let part = picture.slice(ndarray::s![c, 70..96, 90..118]);
        let mean = part.sum() / part.len() as f32;
        (mean, part.mapv(|v| (v - mean).powi(2)).sum() / part.len() as f32)
    };
    let settings =
        BlendSettings { small_bands_from_target: 2, match_detail: false, ..BlendSettings::default() };
    let ours = blended(&picture, vec![new_face(150, stripes)], &settings);
    for c in 0..3 {
        let (mean, variance) = middle(&ours, c);
        assert!((mean - 120.0 / 255.0).abs() < 0.05, "channel {c}: tone {mean}");
        assert!(variance > 0.005 && variance < 0.012, "channel {c}: stripes of variance {variance}");
    }
}

#[test]
fn a_face_lands_in_its_place_and_its_mask_is_obeyed() {
    let picture = Picture::from_rgb8(200, 160, &vec![120; 3 * 200 * 160]);
    let hard = BlendSettings { mode: BlendMode::Paste, ..BlendSettings::default() };
    // White where the person's right half of the face is, black elsewhere; the lower half is masked out.
    let mut face =
        new_face(120, |_| Array3::from_shape_fn((3, 120, 120), |(_, _, x)| if x < 60 { 1.0 } else { 0.0 }));
    face.mask = Some(Array2::from_shape_fn((120, 120), |(y, _)| if y < 60 { 1.0 } else { 0.0 }));
    let after = blended(&picture, vec![face], &hard);
    // Along the face's own axes, turned by 0.2 about (104, 83).
    let at = |u: f64, v: f64| {
        let (x, y) =
            (104.0 + 0.2_f64.cos() * u - 0.2_f64.sin() * v, 83.0 + 0.2_f64.sin() * u + 0.2_f64.cos() * v);
        after[[0, y as usize, x as usize]]
    };
    assert!(at(-10.0, -10.0) > 0.99 && at(10.0, -10.0) < 0.01);
    assert!((at(-10.0, 12.0) - 120.0 / 255.0).abs() < 1e-3 && (at(10.0, 12.0) - 120.0 / 255.0).abs() < 1e-3);
}

#[test]
fn a_thin_thing_in_front_of_a_face_leaves_the_face_around_it_alone() {
    let picture = smooth_picture(200, 160);
    let skin = |_: &Similarity| Array3::from_elem((3, 128, 128), 0.3);
    let bare = blended(&picture, vec![new_face(128, skin)], &BlendSettings::default());
    // A wire across the face, through its middle.
    let mut visible = Array2::ones((256, 256));
    visible.slice_mut(ndarray::s![126..130, ..]).fill(0.0);
    let covered = NewFace { visible: Some(visible), ..new_face(128, skin) };
    let along = covered.alignment;
    let wired = blended(&picture, vec![covered], &BlendSettings::default());
    let old = whole(&picture);
    let (mut n_on, mut n_beside) = (0, 0);
    for ((c, y, x), value) in wired.indexed_iter() {
        let place = along.to_crop(FramePx { x: x as f64 + 0.5, y: y as f64 + 0.5 });
        // Pixels of a crop of 128, in which the wire is two wide.
        let off = (place.y - 64.0).abs();
        if (40.0..88.0).contains(&place.x) && off < 0.3 {
            assert_eq!(*value, old[[c, y, x]], "on the wire at {x}, {y}");
            n_on += 1;
        } else if off > 2.6 {
            let change = (value - bare[[c, y, x]]).abs();
            assert!(change < 1.6 / 255.0, "{change} beside the wire at {x}, {y}");
            n_beside += usize::from((value - old[[c, y, x]]).abs() > 0.02);
        }
    }
    assert!(n_on > 20 && n_beside > 5000, "{n_on} {n_beside}");
}

#[test]
fn the_second_face_is_painted_over_the_first() {
    let picture = noise_picture(200, 160);
    let hard = BlendSettings { mode: BlendMode::Paste, ..BlendSettings::default() };
    let grey = |v: f32| new_face(128, |_| Array3::from_elem((3, 128, 128), v));
    let middle = |faces: Vec<NewFace>| blended(&picture, faces, &hard)[[1, 83, 104]];
    assert!((middle(vec![grey(0.2), grey(0.7)]) - 0.7).abs() < 0.01);
    assert!((middle(vec![grey(0.7), grey(0.2)]) - 0.2).abs() < 0.01);
}

#[test]
fn a_face_at_the_frames_edge_is_cut_off_there() {
    let picture = noise_picture(60, 50);
    let mut face = new_face(128, |_| Array3::from_elem((3, 128, 128), 0.5));
    let before = whole(&picture);
    // The face's middle is on the frame's right edge, then far outside, then nowhere.
    for (shift, changes) in [(44.0, true), (4000.0, false), (f64::NAN, false)] {
        let mut moved = face.clone();
        moved.face.points.iter_mut().for_each(|p| (p.x, p.y) = (p.x - shift, p.y - 50.0));
        moved.alignment.tx += face.alignment.a * shift - face.alignment.b * 50.0;
        moved.alignment.ty += face.alignment.b * shift + face.alignment.a * 50.0;
        let after = blended(&picture, vec![moved], &BlendSettings::default());
        assert_eq!(after != before, changes, "shift {shift}");
    }
    face.alignment = Similarity { a: 0.0, b: 0.0, tx: 0.0, ty: 0.0 };
    assert_eq!(
        blended(&picture, vec![face], &BlendSettings::default()),
        before,
        "an alignment without extent"
    );
}

#[test]
fn a_face_that_the_frame_cuts_off_is_as_new_on_its_right_as_on_its_left() {
    const SIDE: usize = 64;
    let (width, height) = (330, 310); // No multiples of a cell.
    let picture = Picture::from_rgb8(width, height, &vec![102; 3 * width * height]);
    // How much of another tone arrives at the frame's edge, and a little inside, in the middle of the face.
    let share = |(x, y): (f64, f64), angle: f64| {
        let (scale, half) = (SIDE as f64 / 400.0, 0.5 * SIDE as f64);
        let (a, b) = (scale * angle.cos(), -scale * angle.sin());
        let face = NewFace {
            alignment: Similarity { a, b, tx: half - (a * x - b * y), ty: half - (b * x + a * y) },
            face: Face::new(0, oval_mesh((x, y), (150.0, 190.0), angle), 1.0),
            ..new_face(SIDE, |_| Array3::from_elem((3, SIDE, SIDE), 0.6))
        };
        let after = blended(&picture, vec![face], &BlendSettings::default());
        let at = |x: usize, y: usize| (after[[1, y, x]] - 0.4) / 0.2;
        let (x, y) = ((x as usize).min(width - 1), (y as usize).min(height - 1));
        let inside = |v: usize, n: usize| match v {
            0 => 40,
            v if v == n - 1 => n - 41,
            v => v,
        };
        [at(x, y), at(inside(x, width), inside(y, height))]
    };
    // Upright and at the sides, then lying and at the top and the bottom: what the frame cuts off is half of it.
    let lying = std::f64::consts::FRAC_PI_2;
    for (low, high, angle) in [((0.0, 155.0), (330.0, 155.0), 0.0), ((165.0, 0.0), (165.0, 310.0), lying)] {
        let (low, high) = (share(low, angle), share(high, angle));
        assert!(low[0] > 0.7 && low[1] > 0.6, "{low:?}");
        assert!(low.iter().zip(high).all(|(low, high)| (low - high).abs() < 0.04), "{low:?} {high:?}");
    }
}

#[test]
fn pictures_that_are_no_squares_are_refused() {
    let frame = Frame { idx: 0, picture: noise_picture(60, 50) };
    let good = new_face(64, |_| Array3::zeros((3, 64, 64)));
    let shapes = [((3, 64, 60), None), ((1, 64, 64), None), ((3, 0, 0), None), ((3, 64, 64), Some((32, 32)))];
    for (picture, mask) in shapes {
        let face = NewFace { pixels: Array3::zeros(picture), mask: mask.map(Array2::zeros), ..good.clone() };
        let result = blend(
            Swapped { frame: frame.clone(), faces: vec![face], memory: None },
            &BlendSettings::default(),
        );
        let Err(Error::BadModel { reason, .. }) = result else { panic!("{picture:?} {mask:?} was taken") };
        assert!(reason.contains(&picture.1.to_string()), "{reason}");
    }
}

#[test]
fn the_rectangle_holds_the_mask_and_room_for_the_bands() {
    let face = new_face(128, |_| Array3::zeros((3, 128, 128)));
    let place = |mode| {
        let settings = BlendSettings { mode, ..BlendSettings::default() };
        Place::of(&face, &settings, (200, 160)).expect("it is in the frame")
    };
    let (wide, tight) = (place(BlendMode::MultiBand), place(BlendMode::Paste));
    assert!((wide.crop_px - 150.0).abs() < 1e-9 && (wide.centre.x - 104.0).abs() < 1e-9);
    let room = 0.05 * 150.0;
    assert!(wide.rect.x0 as f64 + room < tight.rect.x0 as f64 + 8.0 && wide.rect.y1 > tight.rect.y1);
    let of_mask = alpha(
        &Swapped {
            frame: Frame { idx: 0, picture: noise_picture(200, 160) },
            faces: vec![face.clone()],
            memory: None,
        },
        &BlendSettings::default(),
    );
    assert_eq!(of_mask.dim(), (160, 200));
    assert!(of_mask[[83, 104]] > 0.999 && of_mask[[5, 5]] == 0.0);
}
