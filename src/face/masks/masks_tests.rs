use proptest::prelude::*;

use super::*;
use crate::frame::CropPx;

/// What a map says at a point of its grid, by the formula.
fn by_the_formula(values: &Array2<f32>, CropPx { x, y }: CropPx) -> f64 {
    let end = values.dim().0 as f64 - 1.0;
    let (x, y) = ((x - 0.5).clamp(0.0, end), (y - 0.5).clamp(0.0, end));
    let at = |y: f64, x: f64| f64::from(values[[y.min(end) as usize, x.min(end) as usize]]);
    let (left, top) = (x.floor(), y.floor());
    let row = |y: f64| at(y, left) + (x - left) * (at(y, left + 1.0) - at(y, left));
    row(top) + (y - top) * (row(top + 1.0) - row(top))
}

proptest! {
    #[test]
    fn a_map_is_multiplied_as_by_the_formula(
        side in 1_usize..30, (width, height) in (1_usize..90, 1_usize..20), scale in 0.05_f64..4.0,
        angle in -3.2_f64..3.2, (tx, ty) in (-20.0_f64..20.0, -20.0_f64..20.0),
    ) {
        let values = Array2::from_shape_fn((side, side), |(y, x)| ((7 * y + 3 * x) % 11) as f32 / 10.0);
        let of_map = Similarity { a: scale * angle.cos(), b: scale * angle.sin(), tx, ty };
        let of_grid = Similarity { a: 0.7, b: -0.4, tx: ty, ty: tx };
        let mut grid = Array2::from_elem((height, width), 0.5);
        Map { values: values.clone(), alignment: of_map }.multiply(&mut grid, &of_grid);
        for ((y, x), found) in grid.indexed_iter() {
            let p = of_map.to_crop(of_grid.to_frame(CropPx { x: x as f64 + 0.5, y: y as f64 + 0.5 }));
            // How far inside the map; what lies on its edge may go either way.
            let inside = p.x.min(p.y).min(side as f64 - p.x.max(p.y));
            if inside.abs() > 1e-6 {
                let want = if inside > 0.0 { 0.5 * by_the_formula(&values, p) } else { 0.5 };
                prop_assert!((f64::from(*found) - want).abs() < 1e-4, "{p:?}: {found}, not {want}");
            }
        }
    }
}

#[test]
fn a_map_lies_over_the_crop_where_the_frame_says() {
    // A map of 20 x 20 over the frame's square from (10, 10) on, dark in its left half; a crop of the whole frame.
    let values = Array2::from_shape_fn((20, 20), |(_, x)| if x < 10 { 0.0 } else { 1.0 });
    let map = Map { values, alignment: Similarity { a: 1.0, b: 0.0, tx: -10.0, ty: -10.0 } };
    let mut grid = Array2::from_elem((40, 40), 0.5);
    map.multiply(&mut grid, &Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 });
    assert_eq!((grid[[15, 12]], grid[[15, 25]]), (0.0, 0.5));
    assert_eq!((grid[[15, 2]], grid[[35, 12]]), (0.5, 0.5), "outside the map nothing changes");
    // The same, a crop that is half as fine and turned by a quarter: its x is the frame's y.
    let mut grid = Array2::ones((20, 20));
    map.multiply(&mut grid, &Similarity { a: 0.0, b: -0.5, tx: 0.0, ty: 20.0 });
    assert_eq!((grid[[14, 7]], grid[[6, 7]]), (0.0, 1.0));
}

#[test]
fn doubt_is_decided() {
    assert_eq!((decided(0.1, 0.5, 0.6), decided(0.9, 0.5, 0.6)), (0.0, 1.0));
    assert!((decided(0.5, 0.5, 0.6) - 0.5).abs() < 1e-6);
}

#[test]
fn mask_types_are_known_by_name() {
    assert_eq!(MaskType::parse("hands").ok(), Some(MaskType::Hands));
    assert_eq!(MaskType::parse("occlusion").ok(), Some(MaskType::Occlusion));
    assert!(MaskType::parse("box").expect_err("unknown").to_string().contains("hull, hair, person"));
}

/// A face of light skin that fills most of a picture of 200 x 200, and the colour of each of its pixels.
pub(super) fn portrait(colour: impl Fn(f64, f64) -> u8) -> (Picture, Vec<FramePx>) {
    use crate::face::mesh;
    let bytes: Vec<u8> =
        (0..200 * 200).flat_map(|i| [colour(f64::from(i % 200), f64::from(i / 200)); 3]).collect();
    let mut points = vec![FramePx { x: 100.0, y: 110.0 }; mesh::N_POINTS];
    for (i, index) in mesh::OVAL.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * i as f64 / mesh::OVAL.len() as f64).sin_cos();
        points[*index] = FramePx { x: 100.0 + 62.0 * sin, y: 110.0 - 78.0 * cos };
    }
    // Brows, eyes, cheeks and mouth in their places, on both sides.
    for (side, sign) in [(0, -1.0), (1, 1.0)] {
        let mut put = |index: usize, x: f64, y: f64| points[index] = FramePx { x: 100.0 + sign * x, y };
        for k in 0..5 {
            let x = 45.0 - 8.0 * k as f64;
            put(mesh::BROWS_TOP[side][k], x, 72.0);
            put(mesh::BROWS_BOTTOM[side][k], x, 78.0);
        }
        for (k, index) in mesh::LIDS[side].into_iter().enumerate() {
            let turn = std::f64::consts::TAU * k as f64 / 14.0;
            put(index, 28.0 + 12.0 * turn.cos(), 90.0 + 5.0 * turn.sin());
        }
        let [outer, inner] = if side == 0 { [33, 133] } else { [263, 362] };
        put(outer, 41.0, 90.0);
        put(inner, 15.0, 90.0);
        put([50, 280][side], 35.0, 120.0);
        put([61, 291][side], 22.0, 145.0);
    }
    (Picture::from_rgb8(200, 200, &bytes), points)
}

#[test]
fn dark_hair_at_the_rim_is_left_out_and_nothing_else_is() {
    let seen = |colour: &dyn Fn(f64, f64) -> u8, x: f64, y: f64| {
        let (picture, points) = portrait(colour);
        let map = hair::look_in(&picture, &points).expect("a mesh");
        let at = map.alignment.to_crop(FramePx { x, y });
        map.values[[at.y as usize, at.x as usize]]
    };
    // A strand over the temple on the left, and a dark spot in the middle of the cheek on the right.
    let strand = |x: f64, y: f64| {
        if x < 56.0 && y < 130.0 {
            30
        } else if (x - 135.0).hypot(y - 125.0) < 8.0 {
            40
        } else {
            190
        }
    };
    assert!(seen(&strand, 47.0, 105.0) < 0.1);
    assert!(seen(&strand, 153.0, 105.0) > 0.99, "the other side is bare");
    assert!(seen(&strand, 133.0, 118.0) > 0.99, "inside of the face there is none");
    // A half of the face in shadow is no hair, nor is a beard.
    let shadow = |x: f64, _: f64| if x < 100.0 { 80 } else { 190 };
    assert!(seen(&shadow, 47.0, 105.0) > 0.99);
    let beard = |_: f64, y: f64| if y > 150.0 { 30 } else { 190 };
    assert!(seen(&beard, 100.0, 180.0) > 0.99);
    // Brows stay the new face's.
    let brow = |x: f64, y: f64| if (70.0..80.0).contains(&y) && (52.0..92.0).contains(&x) { 30 } else { 190 };
    assert!(seen(&brow, 60.0, 75.0) > 0.99);
}
