#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use super::*;
use crate::{
    frame::{FramePx, Similarity},
    nn::RuntimeSettings,
    video::Picture,
};

/// Corners of the eyes, tip of the nose, corners of the mouth and chin in `tests/data/face.png`, from the mesh that
/// the picture was rendered from (frame 365 of the synthetic clip train/B, halved).
const TRUTH: [(usize, f64, f64); 8] = [
    (33, 111.8, 85.8),
    (133, 134.8, 88.8),
    (362, 164.2, 90.9),
    (263, 185.1, 90.9),
    (4, 153.3, 110.4),
    (61, 129.1, 136.4),
    (291, 166.8, 138.8),
    (152, 145.5, 173.0),
];

fn finder(settings: &FinderSettings) -> Option<Finder> {
    match Runtime::load(&RuntimeSettings { threads: 1, ..Default::default() }) {
        Ok(runtime) => Some(Finder::new(&runtime, settings).unwrap()),
        Err(e) => {
            eprintln!("skipped: {e}");
            None
        }
    }
}

fn face() -> image::RgbImage {
    image::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/face.png")).unwrap().into_rgb8()
}

fn frame(picture: &image::RgbImage) -> Frame {
    let (w, h) = picture.dimensions();
    Frame { idx: 0, picture: Picture::from_rgb8(w as usize, h as usize, picture.as_raw()) }
}

/// Mean distance in pixels to the truth, after `map` brings it into the tested picture.
fn error_px(points: &[FramePx], map: impl Fn(f64, f64) -> (f64, f64)) -> f64 {
    let distance = |(i, x, y): &(usize, f64, f64)| {
        let (x, y) = map(*x, *y);
        (points[*i].x - x).hypot(points[*i].y - y)
    };
    TRUTH.iter().map(distance).sum::<f64>() / TRUTH.len() as f64
}

#[test]
fn the_points_of_a_face_lie_right() {
    let Some(mut finder) = finder(&FinderSettings::default()) else { return };
    let faces = finder.find(&frame(&face()), Effort::Careful).unwrap();
    assert_eq!(faces.len(), 1);
    assert_eq!(faces[0].points.len(), mesh::N_POINTS);
    let error = error_px(&faces[0].points, |x, y| (x, y));
    assert!(error < 2.5, "{error} px");
}

#[test]
fn a_clip_stored_on_its_side_is_upright_inside() {
    let upright = face();
    let (w, h) = upright.dimensions();
    let cases = [
        (1, image::imageops::rotate270(&upright)),
        (2, image::imageops::rotate180(&upright)),
        (3, image::imageops::rotate90(&upright)),
    ];
    for (quarter_turns, stored) in cases {
        let Some(mut finder) = finder(&FinderSettings { quarter_turns, ..Default::default() }) else {
            return;
        };
        let faces = finder.find(&frame(&stored), Effort::Careful).unwrap();
        assert_eq!(faces.len(), 1, "{quarter_turns} turns");
        let (w, h) = (f64::from(w), f64::from(h));
        let error = error_px(&faces[0].points, |x, y| match quarter_turns {
            1 => (y, w - x),
            2 => (w - x, h - y),
            _ => (h - y, x),
        });
        assert!(error < 2.5, "{quarter_turns} turns: {error} px");
    }
}

/// `picture` turned clockwise by `angle` (radians) around its middle, the border going on outside.
fn leaning(picture: &image::RgbImage, angle: f64) -> image::RgbImage {
    let (sin, cos) = angle.sin_cos();
    let half = 0.5 * f64::from(picture.width());
    let turn = Similarity { a: cos, b: sin, tx: half - half * (cos - sin), ty: half - half * (sin + cos) };
    let crop = crate::face::crop(&frame(picture).picture, &turn, picture.width() as usize);
    crate::face_set::rgb8_from_crop(&crop)
}

#[test]
fn a_head_is_found_however_it_leans() {
    let Some(mut finder) = finder(&FinderSettings::default()) else { return };
    for degrees in (0..360).step_by(45) {
        let angle = f64::from(degrees).to_radians();
        let frame = frame(&leaning(&face(), angle));
        let mut faces = finder.find(&frame, Effort::Careful).unwrap();
        assert_eq!(faces.len(), 1, "{degrees} degrees");
        // One that lies on its side may be taken for an upright one at first: a track begins with a look around.
        let face = finder.looked_at_closely(&frame, faces.remove(0)).unwrap().expect("a face");
        let (sin, cos) = angle.sin_cos();
        let error = error_px(&face.points, |x, y| {
            let (x, y) = (x - 128.0, y - 128.0);
            (128.0 + cos * x - sin * y, 128.0 + sin * x + cos * y)
        });
        assert!(error < 3.0, "{degrees} degrees: {error} px");
    }
}

#[test]
fn given_angles_are_the_only_ones_and_are_looked_at_in_every_search() {
    let on_its_head = leaning(&face(), std::f64::consts::PI);
    for (angles, effort, n_faces) in [
        (Angles::Given(vec![2]), Effort::Quick, 1),
        (Angles::Given(vec![0, 2]), Effort::Quick, 1),
        (Angles::Given(vec![0]), Effort::Whole, 0),
        (Angles::Auto, Effort::Quick, 0),
        (Angles::Auto, Effort::Careful, 1),
    ] {
        let told = format!("{angles:?} {effort:?}");
        let Some(mut finder) = finder(&FinderSettings { angles, ..Default::default() }) else { return };
        let faces = finder.find(&frame(&on_its_head), effort).unwrap();
        assert_eq!(faces.len(), n_faces, "{told}");
        for face in faces {
            let error = error_px(&face.points, |x, y| (256.0 - x, 256.0 - y));
            assert!(error < 3.0, "{told}: {error} px");
        }
    }
}

#[test]
fn a_close_up_and_two_faces_are_found() {
    let Some(mut finder) = finder(&FinderSettings::default()) else { return };
    // The face alone fills the frame.
    let close = image::imageops::crop_imm(&face(), 78, 8, 134, 176).to_image();
    let close = image::imageops::resize(&close, 536, 704, image::imageops::FilterType::CatmullRom);
    let faces = finder.find(&frame(&close), Effort::Careful).unwrap();
    assert_eq!(faces.len(), 1);
    let error = error_px(&faces[0].points, |x, y| (4.0 * (x - 78.0), 4.0 * (y - 8.0)));
    assert!(error < 10.0, "{error} px");
    // One small and one large face side by side: the large one comes first.
    let mut both = image::RgbImage::from_pixel(512, 256, image::Rgb([90, 90, 90]));
    let small = image::imageops::resize(&face(), 128, 128, image::imageops::FilterType::Triangle);
    image::imageops::overlay(&mut both, &small, 60, 60);
    image::imageops::overlay(&mut both, &face(), 256, 0);
    let faces = finder.find(&frame(&both), Effort::Careful).unwrap();
    assert_eq!(faces.len(), 2);
    assert!(error_px(&faces[0].points, |x, y| (x + 256.0, y)) < 2.5);
    assert!(error_px(&faces[1].points, |x, y| (0.5 * x + 60.0, 0.5 * y + 60.0)) < 2.0);
}

#[test]
fn a_small_face_in_a_large_frame_is_found() {
    let mut wide = image::RgbImage::from_pixel(1920, 1080, image::Rgb([90, 100, 110]));
    let small = image::imageops::resize(&face(), 192, 192, image::imageops::FilterType::CatmullRom);
    image::imageops::overlay(&mut wide, &small, 1300, 500);
    for (small_faces, n_faces) in [(SmallFaces::Never, 0), (SmallFaces::Auto, 1), (SmallFaces::Always, 1)] {
        let Some(mut finder) = finder(&FinderSettings { small_faces, ..Default::default() }) else { return };
        let faces = finder.find(&frame(&wide), Effort::Wide).unwrap();
        assert_eq!(faces.len(), n_faces, "{small_faces:?}");
        for face in faces {
            let error = error_px(&face.points, |x, y| (0.75 * x + 1300.0, 0.75 * y + 500.0));
            assert!(error < 2.0, "{small_faces:?}: {error} px");
        }
    }
}

#[test]
fn faces_of_32_pixels_are_found_in_a_large_frame() {
    let Some(mut finder) = finder(&FinderSettings::default()) else { return };
    let mut wide = image::RgbImage::from_pixel(3840, 2160, image::Rgb([90, 100, 110]));
    // The face is 140 of the picture's 256 pixels high.
    let side = 256 * 32 / 140;
    let small = image::imageops::resize(&face(), side, side, image::imageops::FilterType::CatmullRom);
    let places = [(7_u32, 9_u32), (1900, 1050), (3780, 2100), (1010, 333)];
    for (x, y) in places {
        image::imageops::overlay(&mut wide, &small, i64::from(x), i64::from(y));
    }
    let faces = finder.find(&frame(&wide), Effort::Whole).unwrap();
    assert_eq!(faces.len(), places.len());
    for (x, y) in places {
        let scale = f64::from(side) / 256.0;
        let error = |face: &FoundFace| {
            error_px(&face.points, |u, v| (f64::from(x) + scale * u, f64::from(y) + scale * v))
        };
        let nearest = faces.iter().map(error).fold(f64::INFINITY, f64::min);
        assert!(nearest < 1.5, "{nearest} px at ({x}, {y})");
    }
    let quick = finder.find(&frame(&wide), Effort::Wide).unwrap();
    assert_eq!(quick.len(), 0, "smaller than a wide search looks for");
}

#[test]
fn a_face_too_small_and_turned_too_far_is_found_where_it_was() {
    let Some(mut finder) = finder(&FinderSettings::default()) else { return };
    let mut wide = image::RgbImage::from_pixel(1920, 1080, image::Rgb([90, 100, 110]));
    let small = image::imageops::resize(&face(), 96, 96, image::imageops::FilterType::CatmullRom);
    image::imageops::overlay(&mut wide, &image::imageops::rotate180(&small), 1300, 500);
    let wide = frame(&wide);
    // Where it was a frame ago: a tenth of its size away.
    let then = Region { centre: FramePx { x: 1350.0, y: 555.0 }, side: 80.0, angle: 3.0 };
    assert_eq!(finder.find(&wide, Effort::Quick).unwrap().len(), 0);
    let faces = finder.find_near(&wide, Effort::Quick, &[then]).unwrap();
    assert_eq!(faces.len(), 1);
    let error = error_px(&faces[0].points, |x, y| (1396.0 - 0.375 * x, 596.0 - 0.375 * y));
    assert!(error < 2.0, "{error} px");
    assert!(finder.sees(&wide, &then).unwrap());
    let elsewhere = Region { centre: FramePx { x: 300.0, y: 300.0 }, ..then };
    assert!(!finder.sees(&wide, &elsewhere).unwrap());
}

#[test]
fn a_face_that_was_taken_the_wrong_way_round_is_turned() {
    let Some(mut finder) = finder(&FinderSettings::default()) else { return };
    for quarter in 0..4_u8 {
        let picture = leaning(&face(), f64::from(quarter) * FRAC_PI_2);
        let (sin, cos) = (f64::from(quarter) * FRAC_PI_2).sin_cos();
        let place = |x: f64, y: f64| {
            let (x, y) = (x - 128.0, y - 128.0);
            (128.0 + cos * x - sin * y, 128.0 + sin * x + cos * y)
        };
        // What a search gave that took it for an upright face: the mean face's place, upright.
        let upright = finder.find(&frame(&face()), Effort::Careful).unwrap().remove(0);
        let middle = place(148.0, 112.0);
        let moved = |p: &FramePx| FramePx { x: p.x + middle.0 - 148.0, y: p.y + middle.1 - 112.0 };
        let wrong = FoundFace { points: upright.points.iter().map(moved).collect(), ..upright };
        let right = finder.looked_at_closely(&frame(&picture), wrong).unwrap().expect("a face");
        let error = error_px(&right.points, place);
        assert!(error < 3.0, "{quarter} quarter turns: {error} px");
    }
}

#[test]
fn what_a_closer_look_shows_to_be_no_face_is_none() {
    let Some(mut finder) = finder(&FinderSettings::default()) else { return };
    let found = finder.find(&frame(&face()), Effort::Quick).unwrap().remove(0);
    let grey = image::RgbImage::from_fn(256, 256, |x, y| image::Rgb([(x / 2) as u8, (y / 2) as u8, 128]));
    assert_eq!(finder.looked_at_closely(&frame(&grey), found.clone()).unwrap(), None);
    assert_eq!(finder.looked_at_closely(&frame(&face()), found.clone()).unwrap(), Some(found));
}

#[test]
fn pictures_without_a_face_have_none() {
    let Some(mut finder) = finder(&FinderSettings::default()) else { return };
    for (w, h) in [(1, 1), (640, 2), (3, 480), (320, 240)] {
        let picture = image::RgbImage::from_fn(w, h, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, 128]));
        assert_eq!(finder.find(&frame(&picture), Effort::Careful).unwrap().len(), 0, "{w} x {h}");
    }
}

#[test]
fn of_two_meshes_on_one_face_the_more_certain_stays() {
    let face = |x: f64, side: f64, presence| {
        let corner = |i: usize| FramePx { x: x + side * (i % 2) as f64, y: side * (i / 2 % 2) as f64 };
        FoundFace { points: (0..mesh::N_POINTS).map(corner).collect(), presence }
    };
    let kept = without_doubles(vec![face(0.0, 10.0, 0.7), face(1.0, 10.0, 0.9), face(30.0, 20.0, 0.6)]);
    assert_eq!(kept.iter().map(|f| f.presence).collect::<Vec<_>>(), [0.9, 0.6]);
}
