//! How long the composite and its parts take on one core: `cargo bench --bench stages`.
//!
//! Faces lie in frames of 8-bit 4:2:0 video, and each is a little brighter and grainier than what it replaces, so that no
//! part finds nothing to do.

use std::{cell::RefCell, hint::black_box};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use faceswap::{
    bench::make_clip,
    blend::{self, BlendSettings, GradeSettings, Grader, contrast, detail, mask, pyramid, warp},
    face::{self, mesh},
    frame::{Face, Frame, FramePx, NewFace, Rect, Similarity, Swapped},
    line::Stage,
    video::{DecodeSettings, Source, SourceSettings},
};
use ndarray::{Array2, Array3};

/// Values that look random, 0..1.
fn noise(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f32 / 65535.0).collect()
}

/// A decoded frame of a video of `height_px` rows, 16:9.
fn decoded(height_px: usize) -> Frame {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("clip.mp4");
    make_clip(&path, height_px, 1).expect("a clip is encoded");
    let source = Source::open(&path, &DecodeSettings::default(), &SourceSettings::default());
    source.expect("it opens").next().expect("it has a frame").expect("which is decoded")
}

/// A face, slightly turned, whose crop of `side` of the frame's pixels lies in the middle of the frame.
fn new_face(frame: &Frame, side: f64, network_px: usize) -> NewFace {
    let (width, height) = frame.picture.size_px();
    let middle = FramePx { x: width as f64 / 2.0, y: height as f64 / 2.0 };
    let (tilt_sin, tilt_cos) = 0.1_f64.sin_cos();
    let place = |u: f64, v: f64| FramePx {
        x: middle.x + side * (tilt_cos * u - tilt_sin * v),
        y: middle.y + side * (tilt_sin * u + tilt_cos * v),
    };
    let mut points = vec![middle; mesh::N_POINTS];
    for (i, index) in mesh::OVAL.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * i as f64 / mesh::OVAL.len() as f64).sin_cos();
        points[*index] = place(0.33 * sin, -0.4 * cos);
    }
    let (scale, half) = (network_px as f64 / side, network_px as f64 / 2.0);
    let (a, b) = (scale * tilt_cos, -scale * tilt_sin);
    let (tx, ty) = (half - (a * middle.x - b * middle.y), half - (b * middle.x + a * middle.y));
    let alignment = Similarity { a, b, tx, ty };
    let target = face::crop(&frame.picture, &alignment, network_px);
    let grain = Array3::from_shape_vec(target.dim(), noise(target.len())).expect("as many values");
    NewFace {
        face: Face::new(0, points, 1.0),
        alignment,
        pixels: target.mapv(|v| 0.1 + 0.85 * v) + 0.03 * grain,
        target,
        mask: Some(Array2::ones((network_px, network_px))),
        visible: None,
        rims: None,
        grade: None,
    }
}

/// The same with its grade.
fn graded(frame: &Frame, side: f64, network_px: usize) -> NewFace {
    let faces = vec![new_face(frame, side, network_px)];
    let mut grader = Grader::new(&GradeSettings::default());
    grader.push(Swapped { frame: frame.clone(), faces, memory: None }).expect("a square");
    grader.finish().expect("a square").expect("the frame").faces.remove(0)
}

/// The blend of a frame that nobody else holds, as in the line.
fn whole(c: &mut Criterion, name: &str, frame: Frame, faces: &[NewFace; 2]) {
    let settings = BlendSettings::default();
    // The two faces in turn, so that the frame never shows the face already.
    let (frame, mut turn) = (RefCell::new(Some(frame)), 0);
    c.bench_function(name, |b| {
        b.iter_batched(
            || {
                turn = 1 - turn;
                let frame = frame.borrow_mut().take().expect("the last one is back");
                Swapped { frame, faces: vec![faces[turn].clone()], memory: None }
            },
            |swapped| {
                *frame.borrow_mut() = Some(blend::blend(black_box(swapped), &settings).expect("a square"));
            },
            BatchSize::PerIteration,
        );
    });
}

fn wholes(c: &mut Criterion) {
    for (name, height_px, side, network_px) in [
        ("blend: frame of 720p, crop of 300 px, network of 128", 720, 300.0, 128),
        ("blend: frame of 1080p, crop of 450 px, network of 128", 1080, 450.0, 128),
        ("blend: crop of 1024 px, network of 128", 1080, 1024.0, 128),
        ("blend: crop of 1024 px, network of 1024", 1080, 1024.0, 1024),
        ("blend: frame of 2160p, face of 1000 px, network of 512", 2160, 1250.0, 512),
    ] {
        let frame = decoded(height_px);
        let face = graded(&frame, side, network_px);
        let darker = NewFace { pixels: face.pixels.mapv(|v| 0.8 * v), ..face.clone() };
        whole(c, name, frame, &[face, darker]);
    }
}

fn parts(c: &mut Criterion) {
    const SIDE: usize = 1024;
    let frame = decoded(1080);
    let ungraded = new_face(&frame, SIDE as f64, SIDE);
    c.bench_function("part: colour statistics and contrast", |b| {
        b.iter_batched(
            || Swapped { frame: frame.clone(), faces: vec![ungraded.clone()], memory: None },
            |swapped| {
                let mut grader = Grader::new(&GradeSettings::default());
                grader.push(swapped).expect("a square");
                grader.finish()
            },
            BatchSize::PerIteration,
        );
    });
    let (small, inside) = (noise(3 * 64 * 64), vec![1.0; 64 * 64]);
    c.bench_function("part: contrast", |b| {
        b.iter(|| contrast::ratio(&small, black_box(&small), &inside, 64));
    });
    let face = graded(&frame, SIDE as f64, SIDE);
    let flat: Vec<f32> = face.pixels.iter().copied().collect();
    let grade = face.grade.as_ref().expect("a grade");
    c.bench_function("part: grade, 1024 px", |b| {
        b.iter_batched_ref(|| flat.clone(), |flat| grade.apply(flat, SIDE * SIDE), BatchSize::PerIteration);
    });
    c.bench_function("part: crop, 256 px", |b| {
        let alignment = new_face(&frame, 900.0, 256).alignment;
        b.iter(|| face::crop(black_box(&frame.picture), &alignment, 256));
    });
    c.bench_function("part: guides, 256 px", |b| {
        let face = new_face(&frame, 900.0, 256);
        let points: Vec<_> = face.face.points.iter().map(|p| face.alignment.to_crop(*p)).collect();
        b.iter_batched_ref(
            || face.target.clone(),
            |crop| face::guides::paint(crop, &points),
            BatchSize::PerIteration,
        );
    });
    let outline: Vec<f32> = vec![1.0; 512 * 512];
    c.bench_function("part: mask, 512 px", |b| {
        b.iter(|| mask::feathered(black_box(&outline), 512, 0.05, &[]));
    });
    let rect = Rect { x0: 600, y0: 72, x1: 1320, y1: 968 };
    let n = rect.width() * rect.height();
    c.bench_function("part: warp, 720 x 896 px", |b| {
        let mut out = vec![0.0; 3 * n];
        b.iter(|| {
            let quads = warp::Quads::from_planes(black_box(&flat), SIDE);
            quads.to_frame(&face.alignment, rect, &mut out);
        });
    });
    let floors = pyramid::Floors::new(rect, FramePx { x: 960.0, y: 540.0 }, SIDE as f64);
    let (target, difference) = (noise(3 * n), noise(3 * n).iter().rev().copied().collect::<Vec<f32>>());
    let soft: Vec<f32> = (0..n).map(|i| ((i % rect.width()) as f32 / 100.0).min(1.0)).collect();
    c.bench_function("part: detail, 720 x 896 px", |b| {
        b.iter(|| detail::matched(black_box(&difference), &target, &soft, &floors, 2.0));
    });
    c.bench_function("part: pyramid, 720 x 896 px", |b| {
        b.iter_batched_ref(
            || difference.clone(),
            |difference| pyramid::multi_band(difference, &soft, &floors, 0, &[]),
            BatchSize::PerIteration,
        );
    });
    c.bench_function("part: read, 720 x 896 px", |b| b.iter(|| black_box(&frame).picture.rgb_rect(rect)));
    let change = Array3::from_shape_fn((3, rect.height(), rect.width()), |(c, y, x)| {
        0.02 * ((x + y + c) as f32 * 0.1).sin()
    });
    let mut picture = frame.picture.clone();
    c.bench_function("part: paste, 720 x 896 px", |b| b.iter(|| picture.add_rgb(rect, black_box(&change))));
}

mod groups {
    //! The macro makes a public function without docs.
    use super::{Criterion, criterion_group, parts, wholes};
    criterion_group!(name = benches; config = Criterion::default().sample_size(20); targets = wholes, parts);
}
use groups::benches;
criterion_main!(benches);
