use super::*;

#[test]
fn pictures_and_points_turn_alike() {
    // A 5 x 3 picture with one bright pixel, as stored.
    let (w, h, bright) = (5, 3, (3, 1));
    let mut stored = Array3::<f32>::zeros([3, h, w]);
    stored[[0, bright.1, bright.0]] = 1.0;
    for quarter_turns in 0..4 {
        let upright = turned(stored.clone(), quarter_turns);
        let (_, uh, uw) = upright.dim();
        assert_eq!((uw, uh), if quarter_turns % 2 == 1 { (h, w) } else { (w, h) });
        let (at, _) = upright.indexed_iter().find(|(_, v)| **v > 0.5).expect("the bright pixel is kept");
        let p = FramePx { x: at.2 as f64 + 0.5, y: at.1 as f64 + 0.5 };
        let back = turned_back(p, quarter_turns, (uw, uh));
        assert_eq!(
            back,
            FramePx { x: bright.0 as f64 + 0.5, y: bright.1 as f64 + 0.5 },
            "{quarter_turns} turns"
        );
    }
    // One clockwise turn brings the stored left edge to the top.
    let once = turned(stored, 1);
    assert!(once[[0, bright.0, h - 1 - bright.1]] > 0.5);
}

#[test]
fn tiles_cover_a_side_and_overlap() {
    for overlap in [32, 48, 96] {
        for length in [1, 2, 96, 191, 192, 193, 216, 288, 384, 1152, 1296, 2304] {
            let starts: Vec<isize> = starts(length, overlap).collect();
            let mut covered = vec![false; length];
            for start in &starts {
                let (from, to, n) = shared(*start, length);
                assert!(to + n <= SIDE && n > 0, "{length} {start}");
                covered[from..from + n].fill(true);
            }
            assert!(covered.iter().all(|is| *is), "{length}: {starts:?}");
            let step = (SIDE - overlap) as isize;
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] <= step), "{length}: {starts:?}");
            assert_eq!(starts.len() == 1, length <= SIDE);
        }
    }
}

#[test]
fn an_answer_in_a_turned_square_lies_where_the_square_does() {
    // A face in the middle of the first cell, one pixel to the right of the anchor, 20 x 30 pixels.
    let mut boxes = ndarray::Array2::<f32>::zeros([GRID * GRID, 16]);
    boxes.row_mut(0).assign(&ndarray::arr1(&[
        1.0, 0.0, 20.0, 30.0, -3.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    ]));
    let mut logits = ndarray::Array2::<f32>::from_elem([GRID * GRID, 1], -9.0);
    logits[[0, 0]] = 3.0;
    // Two frame pixels per network pixel, turned by a quarter: right in the square is down in the frame.
    let region =
        Region { centre: FramePx { x: 500.0, y: 300.0 }, side: 384.0, angle: 0.5 * std::f64::consts::PI };
    let cut = Placed::Cut(region.alignment_to(SIDE));
    let found = decoded(&boxes.view(), &logits.view(), 0.5, cut);
    assert_eq!(found.len(), 1);
    // The cell's middle is (2, 2): 94 to the left of and above the square's centre.
    let [x0, y0, x1, y1] = found[0].bounds;
    assert!(
        (0.5 * (x0 + x1) - 688.0).abs() < 1e-9 && (0.5 * (y0 + y1) - 114.0).abs() < 1e-9,
        "{:?}",
        found[0]
    );
    assert!((x1 - x0 - 40.0).abs() < 1e-9 && (y1 - y0 - 60.0).abs() < 1e-9);
    let [right, left] = [found[0].points[0], found[0].points[1]];
    assert!((left.x - right.x).abs() < 1e-9 && (left.y - right.y - 16.0).abs() < 1e-9, "{right:?} {left:?}");
    assert!((Region::from_detection(&found[0]).angle - region.angle).abs() < 1e-9);
}

#[test]
fn of_two_turns_of_one_face_the_more_certain_stays() {
    let faces = apart(vec![detection(0.0, 0.56), detection(1.0, 0.8), detection(50.0, 0.6)]);
    assert_eq!(faces.iter().map(|face| face.score).collect::<Vec<_>>(), [0.8, 0.6]);
    assert!((faces[0].bounds[0] - 1.0).abs() < 1e-12, "no mean of two turns");
}

fn detection(x: f64, score: f64) -> Detection {
    Detection { bounds: [x, 0.0, x + 10.0, 10.0], points: [FramePx { x, y: 1.0 }; 6], score }
}

#[test]
fn overlapping_answers_become_their_weighted_mean() {
    let faces = merged(vec![detection(0.0, 0.6), detection(1.0, 0.9), detection(50.0, 0.7)]);
    assert_eq!(faces.len(), 2);
    assert!((faces[0].bounds[0] - 0.6).abs() < 1e-12 && (faces[0].points[0].x - 0.6).abs() < 1e-12);
    assert_eq!((faces[0].score, faces[1].score), (0.9, 0.7));
    assert_eq!(merged(vec![]), vec![]);
}

#[test]
fn answers_without_extent_end() {
    let point = Detection { bounds: [1.0; 4], ..detection(1.0, 0.8) };
    assert_eq!(merged(vec![point.clone(), point]).len(), 1);
}
