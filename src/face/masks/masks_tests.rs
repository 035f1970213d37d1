use super::*;

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
    assert!(MaskType::parse("box").expect_err("unknown").to_string().contains("hull, person"));
}
