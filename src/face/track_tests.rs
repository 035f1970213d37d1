#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use super::*;
use crate::face::association::middle;
use crate::video::Picture;

/// A face of 20 x 30 px with its upper left corner at (x, y).
fn face(x: f64, y: f64) -> FoundFace {
    let point = |i: usize| FramePx {
        x: x + 20.0 * ((i * 7) % 23) as f64 / 22.0,
        y: y + 30.0 * ((i * 5) % 31) as f64 / 30.0,
    };
    FoundFace { points: (0..mesh::N_POINTS).map(point).collect(), presence: 0.9 }
}

fn found(idx: u64, grey: u8, faces: Vec<FoundFace>) -> Found {
    let frame = Frame { idx, picture: Picture::from_rgb8(8, 8, &[grey; 192]) };
    Found { frame, seen: Seen::Faces(faces), is_thorough: true }
}

/// Pushes everything and finishes.
fn run(settings: &TrackerSettings, items: Vec<Found>) -> Vec<Tracked> {
    let mut tracker = Tracker::new(settings);
    let mut out: Vec<Tracked> = items.into_iter().filter_map(|item| tracker.push(item).unwrap()).collect();
    while let Some(item) = tracker.finish().unwrap() {
        out.push(item);
    }
    assert!(tracker.finish().unwrap().is_none(), "an empty stage stays empty");
    out
}

fn ids(out: &[Tracked]) -> Vec<Vec<u32>> {
    out.iter().map(|item| item.faces.iter().map(|face| face.track).collect()).collect()
}

#[test]
fn every_frame_comes_out_once_and_in_order() {
    for n in 0..20 {
        for max_gap in [0, 5] {
            let settings = TrackerSettings { max_gap, ..Default::default() };
            // Faces come and go, so that frames are held back for a while.
            let faces = |i: u64| if i % 5 < 2 { vec![] } else { vec![face(10.0, 10.0)] };
            let out = run(&settings, (0..n).map(|i| found(i, 90, faces(i))).collect());
            assert_eq!(out.iter().map(|item| item.frame.idx).collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
        }
    }
}

#[test]
fn no_more_frames_are_held_than_said() {
    let settings = TrackerSettings::default();
    let limit = settings.stabilisation.radius + settings.max_gap;
    let mut tracker = Tracker::new(&settings);
    let (mut n_in, mut n_out) = (0_usize, 0);
    for i in 0..60 {
        let faces = if i % 9 == 0 { vec![face(10.0, 10.0)] } else { vec![] };
        n_in += 1;
        n_out += usize::from(tracker.push(found(i, 90, faces)).unwrap().is_some());
        assert!(n_in - n_out <= limit, "{} frames wait after {n_in}", n_in - n_out);
        assert!(tracker.window.len() <= limit + settings.stabilisation.radius);
    }
}

#[test]
fn frames_that_are_seldom_searched_do_not_pile_up() {
    let settings = TrackerSettings::default();
    let limit = settings.stabilisation.radius + MAX_UNSEARCHED;
    let mut tracker = Tracker::new(&settings);
    let (mut n_in, mut n_out) = (0_usize, 0);
    for i in 0..100 {
        n_in += 1;
        let item = Found { is_thorough: false, ..found(i, 90, vec![]) };
        n_out += usize::from(tracker.push(item).unwrap().is_some());
        assert!(n_in - n_out <= limit, "{} frames wait after {n_in}", n_in - n_out);
    }
    assert_eq!(n_in - n_out, limit);
}

#[test]
fn two_faces_keep_their_numbers_while_they_move() {
    let items = (0..12).map(|i| {
        let t = i as f64;
        // Listed in changing order: the place decides, not the order.
        let mut faces = vec![face(10.0 + 4.0 * t, 10.0), face(120.0 - 3.0 * t, 20.0)];
        if i % 2 == 1 {
            faces.reverse();
        }
        found(i, 90, faces)
    });
    for item in run(&TrackerSettings::default(), items.collect()) {
        let left =
            item.faces.iter().min_by(|a, b| middle(&a.points).x.total_cmp(&middle(&b.points).x)).unwrap();
        assert_eq!(left.track, 0);
        assert_eq!(item.faces.len(), 2);
    }
}

#[test]
fn a_gap_is_filled_on_a_straight_way() {
    let items: Vec<Found> = (0..14)
        .map(|i| {
            found(i, 90, if (4..8).contains(&i) { vec![] } else { vec![face(10.0 + 2.0 * i as f64, 10.0)] })
        })
        .collect();
    let out = run(&TrackerSettings::default(), items);
    assert!(ids(&out).iter().all(|ids| ids == &[0]), "{:?}", ids(&out));
    for item in &out {
        let x = middle(&item.faces[0].points).x;
        assert!((x - (20.0 + 2.0 * item.frame.idx as f64)).abs() < 1e-6, "frame {}: {x}", item.frame.idx);
    }
}

#[test]
fn a_long_gap_ends_the_track() {
    let items =
        (0..16).map(|i| found(i, 90, if (4..10).contains(&i) { vec![] } else { vec![face(10.0, 10.0)] }));
    let out = ids(&run(&TrackerSettings::default(), items.collect()));
    assert_eq!(out[3], [0]);
    assert!(out[4..10].iter().all(Vec::is_empty), "{out:?}");
    assert_eq!(out[10], [1]);
}

#[test]
fn a_cut_ends_all_tracks() {
    let items = (0..10).map(|i| found(i, if i < 5 { 20 } else { 220 }, vec![face(10.0, 10.0)]));
    let out = ids(&run(&TrackerSettings::default(), items.collect()));
    assert_eq!(out, [vec![vec![0]; 5], vec![vec![1]; 5]].concat());
}

#[test]
fn a_face_elsewhere_or_of_another_size_is_another_one() {
    let mut big = face(10.0, 10.0);
    big.points.iter_mut().for_each(|p| (p.x, p.y) = (2.0 * p.x - 20.0, 2.0 * p.y - 25.0));
    let out = run(
        &TrackerSettings::default(),
        vec![
            found(0, 90, vec![face(10.0, 10.0)]),
            found(1, 90, vec![face(90.0, 10.0)]),
            found(2, 90, vec![big]),
        ],
    );
    assert_eq!(ids(&out), [[0], [1], [2]]);
}

#[test]
fn the_largest_face_comes_first() {
    let mut big = face(60.0, 10.0);
    big.points.iter_mut().for_each(|p| p.y *= 2.0);
    let out = run(&TrackerSettings::default(), vec![found(0, 90, vec![face(10.0, 10.0), big])]);
    assert_eq!(ids(&out), [[1, 0]]);
}

/// Faces that wander, vanish for a while and come back, cross, and cuts: whatever makes a tracker remember.
fn story(n: u64) -> Vec<Found> {
    let item = |i: u64| {
        let t = i as f64;
        let mut faces = vec![face(60.0 + 50.0 * (t * 0.05).sin(), 10.0 + 3.0 * (t * 0.7).cos())];
        if i % 11 < 8 {
            faces.push(face(60.0 - 50.0 * (t * 0.04).sin(), 40.0));
        }
        if i % 37 > 20 {
            faces.push(face(150.0, 12.0 + 0.5 * (i % 7) as f64));
        }
        found(i, if (i / 53).is_multiple_of(2) { 40 } else { 200 }, faces)
    };
    (0..n).map(item).collect()
}

#[test]
fn a_recalled_memory_gives_what_one_go_gives() {
    let (settings, n_frames) = (TrackerSettings::default(), 300);
    for (segment_frames, picks) in
        [(20, vec![Pick::All]), (61, vec![Pick::Largest]), (100, vec![Pick::LeftToRight(2), Pick::All])]
    {
        let seams = Seams::every(segment_frames);
        let tracker = || Tracker::new(&settings).picking(picks.clone()).remembering(seams);
        let drive = |mut tracker: Tracker, first: u64| -> Vec<Tracked> {
            let items = story(n_frames).into_iter().skip(first as usize);
            let mut out: Vec<Tracked> = items.filter_map(|item| tracker.push(item).unwrap()).collect();
            out.extend(std::iter::from_fn(|| tracker.finish().unwrap()));
            out
        };
        let whole = drive(tracker(), 0);
        for start in (0..n_frames).filter(|idx| seams.is_start(*idx)) {
            let memory = whole[start as usize].memory.as_ref().expect("a memory where a run may start");
            let stored = postcard::to_stdvec(memory).unwrap();
            let memory: Memory = postcard::from_bytes(&stored).unwrap();
            let first = start - memory.n_waiting();
            let again = drive(tracker().recalling(memory), first);
            assert_eq!(again[0].frame.idx, first);
            for (old, new) in whole[first as usize..].iter().zip(&again) {
                assert_eq!(old.frame.idx, new.frame.idx);
                assert_eq!(old.faces, new.faces, "frame {} after a start at {start}", old.frame.idx);
                let stored = |item: &Tracked| item.memory.as_ref().map(|m| postcard::to_stdvec(m).unwrap());
                assert!(old.frame.idx < start || stored(old) == stored(new), "frame {}", old.frame.idx);
            }
        }
        assert!(whole.iter().all(|item| item.memory.is_some() == seams.is_start(item.frame.idx)));
    }
}
