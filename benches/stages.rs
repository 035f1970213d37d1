//! How long single steps take on one core: `cargo bench --bench stages`.

use criterion::{Criterion, criterion_group, criterion_main};
use faceswap::{
    blend::{self, BlendSettings, mask, pyramid},
    face::mesh,
    frame::{Face, Frame, FramePx, NewFace, Rect, Similarity, Swapped},
    video::Picture,
};
use ndarray::{Array2, Array3};
use std::hint::black_box;

/// Values that look random, 0..1.
fn noise(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f32 / 65535.0).collect()
}

/// A face whose crop of `side` covers as many pixels of a 1080p frame.
fn swapped(side: usize, network_side: usize) -> Swapped {
    let pixels: Vec<u8> = noise(3 * 1920 * 1080).iter().map(|v| (v * 255.0) as u8).collect();
    let middle = FramePx { x: 960.0, y: 540.0 };
    let mut points = vec![middle; mesh::N_POINTS];
    for (i, index) in mesh::OVAL.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * i as f64 / mesh::OVAL.len() as f64).sin_cos();
        points[*index] = FramePx { x: 960.0 + 0.33 * side as f64 * sin, y: 540.0 - 0.4 * side as f64 * cos };
    }
    let scale = network_side as f64 / side as f64;
    let half = network_side as f64 / 2.0;
    let alignment = Similarity { a: scale, b: 0.0, tx: half - scale * middle.x, ty: half - scale * middle.y };
    let new = noise(3 * network_side * network_side);
    let new_face = NewFace {
        face: Face::new(0, points, 1.0),
        alignment,
        target: Array3::from_elem((3, network_side, network_side), 0.5),
        pixels: Array3::from_shape_vec((3, network_side, network_side), new).expect("three squares"),
        mask: Some(Array2::ones((network_side, network_side))),
        visible: None,
        grade: None,
    };
    Swapped {
        frame: Frame { idx: 0, picture: Picture::from_rgb8(1920, 1080, &pixels) },
        faces: vec![new_face],
        memory: None,
    }
}

fn blending(c: &mut Criterion) {
    let mut group = c.benchmark_group("blend");
    group.sample_size(20);
    for (side, network_side) in [(256, 128), (512, 256), (1024, 512)] {
        let swapped = swapped(side, network_side);
        group.bench_function(format!("face of {side} px, network of {network_side}"), |b| {
            b.iter(|| blend::blend(black_box(swapped.clone()), &BlendSettings::default()));
        });
    }
    let outline: Vec<f32> = vec![1.0; 512 * 512];
    group.bench_function("mask, 512 px", |b| b.iter(|| mask::feathered(black_box(&outline), 512, 0.08)));
    let difference = noise(3 * 512 * 512);
    let rect = Rect { x0: 0, y0: 0, x1: 512, y1: 512 };
    let floors = pyramid::Floors::new(rect, FramePx { x: 256.0, y: 256.0 }, 640.0);
    group.bench_function("bands, 512 px", |b| {
        b.iter(|| pyramid::multi_band(black_box(&mut difference.clone()), &outline, &floors, 2, &[]));
    });
    group.finish();
}

mod groups {
    //! The macro makes a public function without docs.
    use super::{blending, criterion_group};
    criterion_group!(benches, blending);
}
use groups::benches;
criterion_main!(benches);
