use super::*;

/// A face of `side` pixels with its upper left corner at (x, y).
fn mesh_at(x: f64, y: f64, side: f64) -> Vec<FramePx> {
    let corner = |i: usize| FramePx { x: x + side * (i % 2) as f64, y: y + side * (i / 2 % 2) as f64 };
    (0..mesh::N_POINTS).map(corner).collect()
}

#[test]
fn a_face_goes_no_further_than_half_its_size_in_a_frame() {
    let then = mesh_at(100.0, 50.0, 40.0);
    assert!(is_near(&then, &mesh_at(118.0, 50.0, 40.0)));
    assert!(!is_near(&then, &mesh_at(121.0, 50.0, 40.0)));
    assert!(is_near(&then, &mesh_at(95.0, 45.0, 50.0)));
    assert!(!is_near(&then, &mesh_at(90.0, 40.0, 60.0)), "half as large again");
}

#[test]
fn the_schedule_is_typed_as_a_number_or_auto() {
    assert_eq!(DetectEvery::parse("auto").ok(), Some(DetectEvery::Auto));
    assert_eq!(DetectEvery::parse("7").ok(), Some(DetectEvery::Frames(7)));
    for bad in ["0", "-1", "1001", "often", ""] {
        let told = DetectEvery::parse(bad).expect_err("refused").to_string();
        assert!(told.contains("1 to 1000"), "{told}");
    }
    assert_eq!((DetectEvery::Auto.n_frames(), DetectEvery::Frames(7).n_frames()), (6, 7));
}
