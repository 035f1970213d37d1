#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{fs, path::Path};

use ndarray::{Array2, Array3};

use super::*;
use crate::{
    face::mesh,
    face_set::{FaceRecord, FaceSetHeader, FaceSetWriter},
};

/// Points of a face turned by its nose, with mouth and eyes this far open.
fn points(nose_x: f32, nose_y: f32, mouth: f32, eyes: f32) -> Vec<[f32; 2]> {
    let mut points = vec![[32.0, 32.0]; mesh::N_POINTS];
    for (i, x, y) in [
        (33, 12.0, 24.0),
        (133, 24.0, 24.0),
        (362, 40.0, 24.0),
        (263, 52.0, 24.0),
        (4, nose_x, nose_y),
        (61, 22.0, 54.0),
        (291, 42.0, 54.0),
        (13, 32.0, 54.0 - mouth / 2.0),
        (14, 32.0, 54.0 + mouth / 2.0),
        (159, 18.0, 24.0 - eyes / 2.0),
        (145, 18.0, 24.0 + eyes / 2.0),
        (386, 46.0, 24.0 - eyes / 2.0),
        (374, 46.0, 24.0 + eyes / 2.0),
    ] {
        points[i] = [x, y];
    }
    points
}

/// A face that looks ahead, with its irises `by` px to the right of the middles of their eyes, which are 20 px wide.
fn glance(by: f32) -> Vec<[f32; 2]> {
    let mut points = points(32.0, 36.0, 0.5, 5.0);
    for (i, x) in [(133, 32.0), (362, 32.0), (468, 22.0 + by), (473, 42.0 + by)] {
        points[i] = [x, 24.0];
    }
    points
}

fn set(dir: &Path, faces: &[Vec<[f32; 2]>]) {
    let mut set = FaceSetWriter::create(dir, &FaceSetHeader::new("t", 1.3, 64)).unwrap();
    for (frame, points) in faces.iter().enumerate() {
        let pixels = Array3::from_shape_fn((3, 64, 64), |(_, y, x)| {
            let noise = (x * 7919 + y * 104_729 + frame * 31_337) ^ (x * y * 31 + frame * 7);
            (noise % 101) as f32 / 101.0 * (0.5 + frame as f32 / faces.len() as f32 / 2.0)
        });
        set.append(&FaceRecord {
            pixels,
            target: None,
            mask: Array2::ones((64, 64)),
            source: "clip.mp4".into(),
            frame: frame as u64,
            points: points.clone(),
            presence: 1.0,
        })
        .unwrap();
    }
    set.finish().unwrap();
}

fn told(sets: &[(&str, &Path)]) -> Vec<String> {
    let sets: Vec<_> = sets.iter().map(|(name, dir)| ((*name).to_owned(), dir.to_path_buf())).collect();
    report(&sets, 8, None).unwrap().warnings
}

#[test]
fn what_is_missing_is_said_and_what_is_there_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (all, frontal) = (dir.path().join("all"), dir.path().join("frontal"));
    // 40 px lie between the corners of the eyes: the nose at 32 px is straight, at 42 px turned by 23 degrees.
    let mut faces = vec![points(32.0, 36.0, 0.5, 5.0); 200];
    faces[1] = points(42.0, 36.0, 0.5, 5.0);
    faces[2] = points(22.0, 36.0, 0.5, 5.0);
    faces[3] = points(32.0, 30.0, 8.0, 5.0);
    faces[4] = points(32.0, 46.0, 8.0, 0.5);
    faces[5] = points(32.0, 36.0, 9.0, 5.0);
    (6..9).for_each(|i| faces[i] = glance(4.0));
    (9..12).for_each(|i| faces[i] = glance(-4.0));
    set(&all, &faces);
    set(&frontal, &vec![glance(0.0); 3]);
    assert_eq!(
        told(&[("A", &all), ("A", &all)]),
        ["only A is given; what a swap carries over is learnt from two people and more"]
    );
    let told = told(&[("A", &all), ("B", &frontal)]);
    assert!(!told.iter().any(|text| text.starts_with("A:")), "{told:?}");
    for wanted in [
        "only 3 faces",
        "20 degrees turned to the left of the picture (at most 0)",
        "20 degrees turned to the right",
        "10 degrees looking up",
        "10 degrees looking down",
        "open mouth",
        "closed eyes",
        "eyes that look to the left",
        "eyes that look to the right",
        "200 faces of one person and 3 of another",
    ] {
        assert!(told.iter().any(|text| text.contains(wanted)), "{wanted} isn't among {told:#?}");
    }
}

#[test]
fn the_page_holds_everything_and_needs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    set(dir.path(), &vec![points(32.0, 36.0, 0.5, 5.0); 5]);
    let report = report(&[("A<".into(), dir.path().into())], 8, None).unwrap();
    assert!(report.to_string().starts_with("A<: 5 faces, 64 px\nwarning: only A< is given"));
    let page = report.page();
    assert_eq!((page.matches("<svg").count(), page.matches("data:image/jpeg;base64,").count()), (4, 5));
    assert!(page.contains("A&lt;") && !page.contains("http:") && !page.contains("NaN"));
    fs::write(dir.path().join("000003.png"), b"no picture").unwrap();
    let broken = super::report(&[("A".into(), dir.path().into())], 8, None).unwrap_err().to_string();
    assert!(broken.contains("000003.png"), "{broken}");
}

#[test]
fn two_groups_of_faces_are_told_from_one() {
    let face = |x: f32, y: f32| Embedding::from_values(vec![x, y]);
    let one: Vec<_> = (0..20).map(|i| face(0.01 * i as f32, 0.0)).collect();
    assert!(halves(&one).unwrap().0 < 0.2);
    let mut two = one.clone();
    two.extend((0..10).map(|i| face(0.01 * i as f32, 0.5)));
    let (distance, share) = halves(&two).unwrap();
    assert!((distance - 0.5).abs() < 0.05 && (share - 1.0 / 3.0).abs() < 1e-9, "{distance} {share}");
    // A stray face is no second person.
    let mut stray = one;
    stray.push(face(0.0, 0.9));
    assert_eq!(halves(&stray), None);
    assert_eq!(halves(&[]), None);
    assert_eq!(halves(&[face(0.0, 0.0)]), None);
}

#[test]
fn places_are_spread_over_the_whole() {
    assert_eq!(spread(10, 3).collect::<Vec<_>>(), [0, 3, 6]);
    assert_eq!(spread(2, 5).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(spread(0, 5).count(), 0);
}
