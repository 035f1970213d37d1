#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use super::*;
use crate::{face::embedding::Embedding, frame::FramePx};

fn face(track: u32, x: f64, height: f64) -> Face {
    let point = |i: usize| FramePx { x: x + (i % 2) as f64 * height, y: (i / 2 % 2) as f64 * height };
    Face::new(track, (0..mesh::N_POINTS).map(point).collect(), 1.0)
}

/// The places of faces that stay where they are.
fn places(faces: &[Face]) -> Vec<Place> {
    let place = |face: &Face| {
        let [x0, y0, x1, y1] = mesh::bounds(&face.points);
        Place { track: face.track, x: 0.5 * (x0 + x1), height_px: y1 - y0 }
    };
    faces.iter().map(place).collect()
}

fn chosen(chooser: &mut Chooser, idx: u64, faces: Vec<Face>) -> Vec<(u32, usize)> {
    let around = places(&faces);
    let chosen = chooser.choose(idx, faces, &around, &BTreeMap::new());
    chosen.iter().map(|face| (face.track, face.role)).collect()
}

#[test]
fn picks_are_typed_as_they_are_told() {
    for text in ["all", "largest", "left-to-right:2", "right-to-left:1", "track:0"] {
        assert_eq!(Pick::parse("--faces", text).unwrap().to_string(), text);
    }
    for bad in ["", "one", "track", "track:-1", "left-to-right:0", "largest:2", "track:x"] {
        let told = Pick::parse("--faces", bad).expect_err("refused").to_string();
        assert!(told.contains("left-to-right:N"), "{told}");
    }
}

#[test]
fn left_is_left_as_players_show_the_picture() {
    // One face in the left upper corner of the stored picture, one in the right lower corner.
    let corner = |track, at: f64| {
        let mut face = face(track, at, 50.0);
        face.points.iter_mut().for_each(|p| p.y += 0.5 * at);
        face
    };
    let faces = [corner(0, 0.0), corner(1, 400.0)];
    let left = [0, 1, 1, 0]; // Turned clockwise the lower edge comes to the left.
    for (quarter_turns, left) in (0..4).zip(left) {
        let places = super::places(&[&faces], quarter_turns);
        let first = holder(&Pick::LeftToRight(1), None, 0, &places);
        let last = holder(&Pick::RightToLeft(1), None, 0, &places);
        assert_eq!((first, last), (Some(left), Some(1 - left)), "{quarter_turns}");
        assert!(places.iter().all(|place| (place.height_px - 50.0).abs() < 1e-9));
    }
    let turned = Chooser::new(vec![Pick::LeftToRight(1)]).turned(3);
    assert_eq!(turned.quarter_turns, 3);
}

#[test]
fn the_largest_stays_until_another_is_clearly_larger() {
    let mut chooser = Chooser::new(vec![Pick::Largest]);
    let of = |a: f64, b: f64| vec![face(0, 0.0, a), face(1, 500.0, b)];
    assert_eq!(chosen(&mut chooser, 0, of(100.0, 90.0)), [(0, 0)]);
    assert_eq!(chosen(&mut chooser, 1, of(100.0, 110.0)), [(0, 0)], "a tenth larger is not enough");
    assert_eq!(chosen(&mut chooser, 2, of(100.0, 120.0)), [(1, 0)]);
    assert_eq!(chosen(&mut chooser, 3, of(110.0, 100.0)), [(1, 0)]);
    assert_eq!(chosen(&mut chooser, 4, vec![face(0, 0.0, 50.0)]), [(0, 0)], "the other one has left");
}

#[test]
fn a_place_belongs_to_a_person_until_the_scene_ends() {
    let mut chooser = Chooser::new(vec![Pick::LeftToRight(1)]);
    assert_eq!(chosen(&mut chooser, 0, vec![face(7, 300.0, 50.0), face(4, 20.0, 50.0)]), [(4, 0)]);
    // They change sides.
    assert_eq!(chosen(&mut chooser, 1, vec![face(7, 10.0, 50.0), face(4, 400.0, 50.0)]), [(4, 0)]);
    // Away for a moment: nobody else takes the place.
    assert_eq!(chosen(&mut chooser, 2, vec![face(7, 10.0, 50.0)]), []);
    assert_eq!(chosen(&mut chooser, 3, vec![face(7, 10.0, 50.0), face(4, 400.0, 50.0)]), [(4, 0)]);
    chooser.cut();
    assert_eq!(chosen(&mut chooser, 4, vec![face(9, 10.0, 50.0), face(8, 400.0, 50.0)]), [(9, 0)]);
    let mut last = Chooser::new(vec![Pick::RightToLeft(2)]);
    let three = vec![face(0, 0.0, 50.0), face(1, 100.0, 50.0), face(2, 200.0, 50.0)];
    assert_eq!(chosen(&mut last, 0, three), [(1, 0)]);
}

#[test]
fn several_picks_share_the_faces() {
    let mut chooser = Chooser::new(vec![Pick::Track(3), Pick::All]);
    assert_eq!(chosen(&mut chooser, 0, vec![face(1, 0.0, 50.0), face(3, 100.0, 40.0)]), [(1, 1), (3, 0)]);
    let mut chooser = Chooser::new(vec![Pick::Largest, Pick::LeftToRight(1)]);
    let two = || vec![face(1, 0.0, 90.0), face(3, 100.0, 40.0)];
    assert_eq!(
        chosen(&mut chooser, 0, two()),
        [(1, 0), (3, 1)],
        "the largest is taken, the other is the first"
    );
}

/// A person on an axis: embeddings at `x`, pictures within 0.5.
fn person(name: &str, x: f32) -> Pick {
    Pick::Person(Reference::new(name, vec![Embedding::from_values(vec![x, 0.0])], 0.5))
}

fn gallery(x: f32) -> Gallery {
    let mut gallery = Gallery::default();
    gallery.add(1.0, Embedding::from_values(vec![x, 0.0]));
    gallery
}

#[test]
fn people_are_known_by_their_pictures() {
    let mut chooser = Chooser::new(vec![person("anna.jpg", 0.0), person("ben.jpg", 0.8)]);
    let galleries = BTreeMap::from([(0, gallery(0.7)), (1, gallery(0.3)), (2, gallery(2.0))]);
    let faces = vec![face(0, 0.0, 50.0), face(1, 100.0, 50.0), face(2, 200.0, 50.0)];
    let roles = chooser.choose(0, faces, &[], &galleries);
    assert_eq!(roles.iter().map(|face| (face.track, face.role)).collect::<Vec<_>>(), [(0, 1), (1, 0)]);
    chooser.verdict().unwrap();
}

#[test]
fn a_decision_is_not_taken_back_for_a_trifle() {
    let mut chooser = Chooser::new(vec![person("anna.jpg", 0.0)]);
    let mut with = |x: f32| {
        let galleries = BTreeMap::from([(0, gallery(x))]);
        !chooser.choose(0, vec![face(0, 0.0, 50.0)], &[], &galleries).is_empty()
    };
    assert!(with(0.49));
    assert!(with(0.52), "the same person still");
    assert!(!with(0.54));
    assert!(!with(0.49), "somebody else still");
    assert!(with(0.46));
}

#[test]
fn who_is_not_in_the_clip_is_an_error_that_shows_the_choices() {
    let mut chooser = Chooser::new(vec![Pick::Track(5)]);
    for idx in 0..3 {
        assert_eq!(chosen(&mut chooser, idx, vec![face(0, 0.0, 50.0), face(1, 100.0, 80.0)]), []);
    }
    let told = chooser.verdict().expect_err("track 5 is missing").to_string();
    assert!(told.starts_with("--faces = track:5: nobody in this clip"), "{told}");
    assert!(told.contains("track:1  frames 0 to 2  face 80 px"), "{told}");
    let mut chooser = Chooser::new(vec![person("anna.jpg", 0.0)]);
    chooser.choose(0, vec![face(4, 0.0, 50.0)], &[], &BTreeMap::from([(4, gallery(0.7))]));
    let told = chooser.verdict().expect_err("anna is missing").to_string();
    assert!(
        told.contains("anna.jpg") && told.contains("track:4") && told.contains("distance 0.70"),
        "{told}"
    );
    Chooser::new(vec![Pick::All]).verdict().unwrap();
}

#[test]
fn what_a_chooser_knows_can_be_written_down() {
    let mut chooser = Chooser::new(vec![Pick::Largest, person("anna.jpg", 0.0)]);
    let galleries = BTreeMap::from([(1, gallery(0.1))]);
    let faces = vec![face(0, 0.0, 50.0), face(1, 100.0, 50.0)];
    let around = places(&faces);
    chooser.choose(3, faces, &around, &galleries);
    let text = serde_json::to_string(&chooser.state).unwrap();
    assert_eq!(serde_json::from_str::<Choices>(&text).unwrap(), chooser.state);
}
