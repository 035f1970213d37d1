use super::*;

const SIDE: usize = 128;

/// An eye of 40 px around (64, 50), leaning by `lean`, its iris `iris` to the right of the middle, open by `gap`.
fn eye(lean: f64, iris: f64, gap: f64) -> Eye {
    let mut points = vec![CropPx { x: 64.0, y: 50.0 }; mesh::N_POINTS];
    let (sin, cos) = lean.sin_cos();
    let at = |t: f64, h: f64| CropPx {
        x: 64.0 + 40.0 * (t * cos - h * sin),
        y: 50.0 + 40.0 * (t * sin + h * cos),
    };
    [points[33], points[133]] = [at(-0.5, 0.0), at(0.5, 0.0)];
    for (i, point) in mesh::LIDS[0].iter().enumerate() {
        let (step, sign) = if i < 7 { (i as f64 - 3.0, -1.0) } else { (10.0 - i as f64, 1.0) };
        points[*point] = at(step / 8.0, sign * 0.5 * gap);
    }
    points[468] = at(iris, 0.0);
    for (k, (t, h)) in [(0.18, 0.0), (0.0, -0.18), (-0.18, 0.0), (0.0, 0.18)].into_iter().enumerate() {
        points[469 + k] = at(iris + t, h);
    }
    Eye::of(&points, 0)
}

/// The face around that eye: a dark iris on white, skin beyond the lids.
fn picture(eye: &Eye) -> Array3<f32> {
    Array3::from_shape_fn((3, SIDE, SIDE), |(_, y, x)| {
        let [t, h] = eye.place(x as f64 + 0.5, y as f64 + 0.5);
        let [upper, lower] = eye.opening(t);
        if t.abs() > 0.5 || h < upper || h > lower {
            0.6
        } else if (t - eye.iris).hypot(h) < eye.radius {
            0.1
        } else {
            0.9
        }
    })
}

/// Where the dark pixels of a picture lie in an eye, and how many they are.
fn iris(eye: &Eye, picture: &Array3<f32>) -> (f64, f64) {
    let dark = picture.index_axis(Axis(0), 1).indexed_iter().fold((0.0, 0.0), |(sum, n), ((y, x), v)| {
        let weight = f64::from((0.5 - v).max(0.0));
        (sum + weight * eye.place(x as f64 + 0.5, y as f64 + 0.5)[0], n + weight)
    });
    (dark.0 / dark.1, dark.1)
}

#[test]
fn an_iris_goes_where_it_shall_and_stays_as_large_as_it_is() {
    for lean in [0.0, 0.3, -0.2] {
        for (from, to) in [(0.0, 0.2), (0.05, -0.2), (-0.1, 0.1), (0.0, 0.24)] {
            let eye = eye(lean, from, 0.4);
            let before = picture(&eye);
            let mut after = before.clone();
            eye.move_iris(from, to - from, &before, &mut after);
            let ((was, large), (is, now)) = (iris(&eye, &before), iris(&eye, &after));
            assert!((was - from).abs() < 0.01 && (is - to).abs() < 0.03, "{lean} {from} {to}: {was} {is}");
            assert!((now / large - 1.0).abs() < 0.12, "{lean} {from} {to}: {large} {now}");
        }
    }
}

#[test]
fn lids_and_skin_stay_where_they_are() {
    let eye = eye(0.1, 0.0, 0.3);
    let before = picture(&eye);
    let mut after = before.clone();
    eye.move_iris(0.0, 0.2, &before, &mut after);
    for ((c, y, x), v) in after.indexed_iter() {
        let [t, h] = eye.place(x as f64 + 0.5, y as f64 + 0.5);
        if t.abs() > END || h.abs() > 0.15 * HEIGHTS[1] {
            assert_eq!(*v, before[[c, y, x]], "{t} {h}");
        }
    }
    let mut same = before.clone();
    eye.move_iris(0.0, 0.0, &before, &mut same);
    assert_eq!(same, before);
}

#[test]
fn what_is_seen_never_folds_over() {
    for (from, to) in [(-0.24, 0.24), (0.24, -0.24), (0.0, 0.24), (-0.1, 0.2)] {
        let eye = eye(0.0, from, 0.4);
        let source = |i: i32| {
            let t = f64::from(i) / 500.0;
            t - eye.moved([t, 0.0], from, to - from)
        };
        assert!((-320..320).all(|i| source(i + 1) > source(i)), "{from} {to}");
    }
}

#[test]
fn shut_eyes_far_eyes_and_eyes_elsewhere_are_left_alone() {
    let open = || eye(0.0, 0.0, 0.3);
    assert!((strength([&open(), &open()], &open()) - 1.0).abs() < 1e-9);
    assert_eq!(strength([&eye(0.0, 0.0, 0.08), &open()], &open()), 0.0);
    assert_eq!(strength([&open(), &open()], &eye(0.0, 0.0, 0.08)), 0.0);
    let wide = Eye { width: 100.0, ..open() };
    assert_eq!(strength([&open(), &wide], &open()), 0.0);
    let elsewhere = Eye { middle: CropPx { x: 90.0, y: 50.0 }, ..open() };
    assert_eq!(strength([&open(), &open()], &elsewhere), 0.0);
    let none = Eye::of(&vec![CropPx { x: f64::NAN, y: 3.0 }; mesh::N_POINTS], 1);
    assert_eq!(strength([&none, &open()], &open()), 0.0);
}

#[test]
fn taps_give_back_a_plane_and_a_pixel() {
    let at = |x: f64, y: f64| Taps::at(x, y, 16).sum(|y, x| 2.0 * x as f32 + 3.0 * y as f32);
    assert!((at(5.5, 7.5) - 31.0).abs() < 1e-4 && (at(5.9, 7.2) - 30.9).abs() < 1e-4);
    assert_eq!(at(-40.0, 0.5), 0.0);
}
