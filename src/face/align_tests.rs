use proptest::prelude::*;

use super::*;

/// The mesh of a frontal face with the template's points in place, moved by `to_frame`; other points at the middle.
fn mesh_at(to_crop: &Similarity, margin: f64, side: f64) -> Vec<FramePx> {
    let mut points = vec![to_crop.to_frame(CropPx { x: side / 2.0, y: side / 2.0 }); mesh::N_POINTS];
    for &(index, x, y, _) in MESH_INNER_V1.points {
        let p = CropPx { x: side * (0.5 + x / margin), y: side * (0.5 + y / margin) };
        points[usize::from(index)] = to_crop.to_frame(p);
    }
    points
}

proptest! {
    #[test]
    fn a_known_similarity_is_recovered(
        scale in 0.05..20.0_f64, angle in -3.1..3.1_f64, tx in -900.0..900.0_f64, ty in -900.0..900.0_f64,
        margin in 1.0..2.0_f64,
    ) {
        let known = Similarity { a: scale * angle.cos(), b: scale * angle.sin(), tx, ty };
        let found = align(&mesh_at(&known, margin, 256.0), &MESH_INNER_V1, margin, 256);
        for (x, y) in [(known.a, found.a), (known.b, found.b), (known.tx, found.tx), (known.ty, found.ty)] {
            prop_assert!((x - y).abs() < 1e-6 * (1.0 + x.abs()), "{known:?} {found:?}");
        }
    }
}

#[test]
fn a_larger_crop_is_the_same_alignment_scaled() {
    let known = Similarity { a: 0.7, b: 0.2, tx: 11.0, ty: -5.0 };
    let points = mesh_at(&known, 1.3, 128.0);
    let (small, large) = (align(&points, &MESH_INNER_V1, 1.3, 128), align(&points, &MESH_INNER_V1, 1.3, 512));
    assert!((small.scaled(4.0).tx - large.tx).abs() < 1e-9 && (small.scaled(4.0).a - large.a).abs() < 1e-12);
}

#[test]
fn too_few_points_do_not_panic() {
    for points in [vec![], vec![FramePx::default(); 3], vec![FramePx { x: 4.0, y: 5.0 }; mesh::N_POINTS]] {
        let alignment = align(&points, &MESH_INNER_V1, 1.3, 64);
        assert!(alignment.scale() > 0.0 && alignment.tx.is_finite());
        assert_eq!(hull_mask(&points, &alignment, 64).dim(), (64, 64));
    }
    assert!(Template::by_name("mesh-inner-v1").is_ok());
    assert!(Template::by_name("ffhq").is_err_and(|e| e.to_string().contains("mesh-inner-v1")));
}

/// A picture whose red grows to the right and whose green grows downwards, `step` codes a pixel.
fn gradient(width: usize, height: usize, step: usize) -> Picture {
    let pixel = |i: usize| [(step * (i % width)) as u8, (step * (i / width)) as u8, 77];
    Picture::from_rgb8(width, height, &(0..width * height).flat_map(pixel).collect::<Vec<_>>())
}

#[test]
fn a_crop_of_a_gradient_is_exact() {
    let picture = gradient(120, 100, 2);
    for (scale, angle) in [(1.0, 0.0_f64), (2.3, 0.4), (0.61, -0.3), (0.3, 2.0), (0.24, 0.1)] {
        let (a, b) = (scale * angle.cos(), scale * angle.sin());
        let (side, middle) = (16_usize, (60.0, 50.0));
        let half = side as f64 / 2.0;
        let alignment = Similarity {
            a,
            b,
            tx: half - a * middle.0 + b * middle.1,
            ty: half - b * middle.0 - a * middle.1,
        };
        let pixels = crop(&picture, &alignment, side);
        for ((c, y, x), value) in pixels.indexed_iter() {
            let p = alignment.to_frame(CropPx { x: x as f64 + 0.5, y: y as f64 + 0.5 });
            let want = [2.0 * (p.x - 0.5) / 255.0, 2.0 * (p.y - 0.5) / 255.0, 77.0 / 255.0][c];
            assert!((f64::from(*value) - want).abs() < 2e-3, "scale {scale}: {value} {want} at {c} {y} {x}");
        }
    }
}

#[test]
fn the_identity_is_bit_exact() {
    let picture = gradient(20, 20, 9);
    let identity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
    let pixels = crop(&picture, &identity, 20);
    let want = picture.rgb_rect(crate::frame::Rect { x0: 0, y0: 0, x1: 20, y1: 20 });
    assert_eq!(pixels, want);
}

#[test]
fn a_reducing_crop_averages_fine_detail() {
    let (w, h) = (96, 96);
    let checks = |i: usize| [if (i % w + i / w).is_multiple_of(2) { 255 } else { 0 }; 3];
    let picture = Picture::from_rgb8(w, h, &(0..w * h).flat_map(checks).collect::<Vec<_>>());
    for reduction in [2.0, 2.7, 3.0, 5.5] {
        let a = 1.0 / reduction;
        let pixels = crop(&picture, &Similarity { a, b: 0.0, tx: 0.3, ty: 0.7 }, 16);
        let worst = pixels.iter().map(|v| (v - 0.5).abs()).fold(0.0, f32::max);
        assert!(worst < 0.08, "reduction {reduction}: {worst}");
    }
}

#[test]
fn outside_the_frame_the_border_goes_on() {
    let picture = gradient(50, 40, 5);
    let far = Similarity { a: 1.0, b: 0.0, tx: 500.0, ty: 0.0 };
    let all_near = |alignment: &Similarity, channel: usize, want: f32| {
        let pixels = crop(&picture, alignment, 8);
        pixels.index_axis(ndarray::Axis(0), channel).iter().all(|value| (value - want).abs() < 1e-6)
    };
    assert!(all_near(&far, 0, 0.0));
    let below = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: -4000.0 };
    assert!(all_near(&below, 1, 195.0 / 255.0));
}

#[test]
fn the_hull_lies_between_brows_and_chin() {
    // A round face: the contour on a circle of radius 40 around (50, 50), the brows at y = 30, the eyes at y = 40.
    let mut points = vec![FramePx { x: 50.0, y: 50.0 }; mesh::N_POINTS];
    for (k, i) in mesh::OVAL.iter().enumerate() {
        let turn = std::f64::consts::TAU * k as f64 / 36.0;
        points[*i] = FramePx { x: 50.0 + 40.0 * turn.sin(), y: 50.0 - 40.0 * turn.cos() };
    }
    for (side, x) in [(0, 35.0), (1, 65.0)] {
        mesh::BROWS_TOP[side].iter().for_each(|i| points[*i] = FramePx { x, y: 30.0 });
        mesh::EYE_CORNERS[side].iter().for_each(|i| points[*i] = FramePx { x, y: 40.0 });
    }
    let identity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
    let mask = hull_mask(&points, &identity, 100);
    assert_eq!((mask[[50, 50]], mask[[88, 50]], mask[[95, 50]]), (1.0, 1.0, 0.0));
    let edge = (mask[[23, 50]], mask[[20, 50]]);
    assert_eq!(edge, (1.0, 0.0), "the upper edge is as far above the brows as most of the way to the eyes");
    assert!(hull_mask_to(&points, &identity, 100, HullTop::Forehead)[[12, 50]] > 0.99);
}
