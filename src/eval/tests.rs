#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use ndarray::s;

use super::*;
use crate::{
    face,
    frame::{FoundFace, FramePx, Rect},
};

#[test]
fn the_scored_area_is_the_box_of_the_inside_and_a_margin() {
    let mut inside = Array2::zeros((200, 300));
    inside.slice_mut(s![90..101, 250..281]).fill(0.9);
    let area = Area::around(&inside, &[]).unwrap();
    assert_eq!(area.rect, Rect { x0: 218, y0: 58, x1: 300, y1: 133 });
    assert!((area.inside.sum() - inside.sum()).abs() < 1e-3);
    let mut mask = Array2::zeros((200, 300));
    mask[[199, 100]] = 0.1;
    let area = Area::around(&inside, &[mask]).unwrap();
    assert_eq!(area.rect, Rect { x0: 68, y0: 58, x1: 300, y1: 200 }, "the composite's mask is in it as well");
    assert!(Area::around(&Array2::zeros((20, 30)), &[]).is_none());
}

#[test]
fn a_gap_ends_a_track() {
    let mut row = Row::default();
    let face = |x: f64| {
        let mut points = vec![FramePx { x, y: 0.0 }; face::mesh::N_POINTS];
        face::mesh::EYE_CORNERS[1].iter().for_each(|i| points[*i].x += 10.0);
        FoundFace { points, presence: 1.0 }
    };
    for (x, anew) in [(0.0, false), (1.0, false), (9.0, true), (2.0, false)] {
        row.follow(Some(&face(x)), anew);
    }
    row.follow(None, false);
    assert_eq!(row.jitter.mean(), None, "no three frames followed each other");
    for x in [0.0, 1.0, 4.0] {
        row.follow(Some(&face(x)), false);
    }
    assert!((row.jitter.mean().unwrap() - 0.2).abs() < 1e-9);
}

#[test]
fn the_table_names_every_row() {
    let scores = |v: f64| Scores { psnr_face_db: Some(v), ssim_face: Some(0.9), ..Scores::default() };
    let report = EvalReport {
        n_frames: 100,
        n_scored: 25,
        output: scores(24.25),
        baselines: Baselines { unchanged: scores(14.5), hard_paste: None, feather: None },
        truth: Some(scores(100.0)),
        strategies: Vec::new(),
    };
    let table = report.to_string();
    assert!(table.contains("25 of 100 frames") && table.contains("output      24.25  0.900"), "{table}");
    assert!(!table.contains("hard paste") && table.lines().count() == 6, "{table}");
    let baselines = Baselines { hard_paste: Some(scores(22.0)), ..report.baselines };
    let strategies = vec![Strategy { name: "poisson".into(), scores: scores(23.0) }];
    let with = EvalReport { baselines, strategies, ..report };
    assert!(
        with.to_string().contains("hard paste   22.00") && with.to_string().contains("poisson"),
        "{with}"
    );
    let json = serde_json::to_value(&with).unwrap();
    assert_eq!(json["psnr_face_db"], 24.25);
    assert_eq!(json["baselines"]["hard_paste"]["psnr_face_db"], 22.0);
    assert_eq!(json["strategies"][0]["name"], "poisson");
    assert!(json["jitter_out"].is_null() && json["baselines"]["feather"].is_null());
}
