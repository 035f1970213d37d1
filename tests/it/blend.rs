//! Blended pixels against a stored picture: what comes out must not change unnoticed.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it blend` stores what comes out now; look at the picture before committing it.

use std::path::Path;

use faceswap::{
    blend::{BlendMode, BlendSettings, blend},
    face::mesh,
    frame::{Face, Frame, FramePx, NewFace, Rect, Similarity, Swapped},
    video::Picture,
};
use image::RgbImage;
use ndarray::{Array2, Array3};

const SIZE: (usize, usize) = (160, 144);

/// Machines may round differently in the last bits of a float: this much of 255 is allowed at most, and on average.
const TOLERANCE: (u8, f64) = (1, 0.02);

/// A warm, softly lit wall with stripes.
fn scene() -> Picture {
    let at = |x: f64, y: f64, c: usize| {
        let light = 0.62 + 0.2 * (x / 60.0).sin() * (y / 80.0).cos();
        let stripe = if (x + 0.5 * y).rem_euclid(12.0) < 2.0 { 0.85 } else { 1.0 };
        255.0 * light * stripe * [1.0, 0.78, 0.62][c]
    };
    let (w, h) = SIZE;
    let pixels: Vec<u8> =
        (0..3 * w * h).map(|i| at((i / 3 % w) as f64, (i / 3 / w) as f64, i % 3) as u8).collect();
    Picture::from_rgb8(w, h, &pixels)
}

/// A cool face of blobs and fine lines, turned by 0.15 around the middle of the scene, in a crop of 96.
fn new_face() -> NewFace {
    let (angle, middle) = (0.15_f64, FramePx { x: 83.0, y: 70.0 });
    let (sin, cos) = angle.sin_cos();
    let place = |u: f64, v: f64| FramePx { x: middle.x + cos * u - sin * v, y: middle.y + sin * u + cos * v };
    let mut points = vec![middle; mesh::N_POINTS];
    for (i, index) in mesh::OVAL.iter().enumerate() {
        let turn = std::f64::consts::TAU * i as f64 / mesh::OVAL.len() as f64;
        points[*index] = place(40.0 * turn.sin(), -54.0 * turn.cos());
    }
    for (eye, out) in [(0, -1.0), (1, 1.0)] {
        mesh::EYE_CORNERS[eye].iter().for_each(|i| points[*i] = place(out * 16.0, -12.0));
        for (i, index) in mesh::BROWS_TOP[eye].iter().enumerate() {
            points[*index] = place(out * (28.0 - 5.0 * i as f64), -24.0);
        }
    }
    let scale = 96.0 / 140.0;
    let (a, b) = (scale * cos, -scale * sin);
    let alignment = Similarity {
        a,
        b,
        tx: 48.0 - (a * middle.x - b * middle.y),
        ty: 48.0 - (b * middle.x + a * middle.y),
    };
    let pixels = Array3::from_shape_fn((3, 96, 96), |(c, y, x)| {
        let (x, y) = (x as f32, y as f32);
        let blob = 0.12 * (x / 7.0 + c as f32).sin() * (y / 9.0).cos();
        let line = if (x - y).rem_euclid(8.0) < 1.0 { 0.15 } else { 0.0 };
        [0.45, 0.5, 0.6][c] + blob - line
    });
    // The network doesn't see its face in the lower left corner.
    let mask = Array2::from_shape_fn((96, 96), |(y, x)| if y > 40 + x { 0.0 } else { 1.0 });
    NewFace {
        face: Face::new(0, points, 1.0),
        alignment,
        target: Array3::zeros(pixels.dim()),
        pixels,
        mask: Some(mask),
        visible: None,
        rims: None,
        grade: None,
    }
}

/// The scene blended in four ways, side by side.
fn picture_now() -> RgbImage {
    let (w, h) = SIZE;
    let mode = |mode| BlendSettings { mode, ..BlendSettings::default() };
    let paper = BlendSettings { small_bands_from_target: 2, ..BlendSettings::default() };
    let ways = [mode(BlendMode::MultiBand), paper, mode(BlendMode::Feather), mode(BlendMode::Paste)];
    let mut all = RgbImage::new((ways.len() * w) as u32, h as u32);
    for (i, way) in ways.iter().enumerate() {
        let swapped =
            Swapped { frame: Frame { idx: 0, picture: scene() }, faces: vec![new_face()], memory: None };
        let blended = blend(swapped, way).expect("a valid face");
        let pixels = blended.picture.rgb_rect(Rect { x0: 0, y0: 0, x1: w, y1: h });
        for (x, y) in (0..w).flat_map(|x| (0..h).map(move |y| (x, y))) {
            let rgb = [0, 1, 2].map(|c| (pixels[[c, y, x]] * 255.0).round() as u8);
            all.put_pixel((i * w + x) as u32, y as u32, image::Rgb(rgb));
        }
    }
    all
}

#[test]
fn blended_pixels_are_those_of_the_golden_picture() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/blend.png");
    let now = picture_now();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        now.save(&path).expect("the golden picture can be written");
        return;
    }
    let golden = image::open(&path).expect("tests/golden/blend.png is there").into_rgb8();
    assert_eq!(now.dimensions(), golden.dimensions(), "the size changed");
    let (mut worst, mut at, mut sum) = (0, (0, 0), 0.0);
    for (x, y, pixel) in now.enumerate_pixels() {
        for (a, b) in pixel.0.iter().zip(golden.get_pixel(x, y).0) {
            let difference = a.abs_diff(b);
            sum += f64::from(difference);
            if difference > worst {
                (worst, at) = (difference, (x, y));
            }
        }
    }
    let mean = sum / f64::from(3 * now.width() * now.height());
    let way = ["multi-band", "with two bands of the target", "feather", "hard paste"][at.0 as usize / SIZE.0];
    let place = (at.0 as usize % SIZE.0, at.1);
    assert!(
        worst <= TOLERANCE.0 && mean <= TOLERANCE.1,
        "{way} moved most: by {worst} of 255 at {place:?}; mean over all {mean:.4}. If that is what you want, look at \
         the result of UPDATE_GOLDEN=1 and commit it."
    );
}
