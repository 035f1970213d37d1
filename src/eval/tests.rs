#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use super::*;
use crate::nn::RuntimeSettings;

/// The rendered truth clips, which aren't part of the repository.
fn truth_clips(k: usize) -> Option<(PathBuf, [String; 2])> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/synth/truth").join(k.to_string());
    let people = [["A", "B"], ["B", "A"], ["C", "D"], ["A", "B"]][k].map(String::from);
    if folder.is_dir() {
        return Some((folder, people));
    }
    println!("skipped: no {}", folder.display());
    None
}

#[test]
fn unchanged_clips_score_what_the_rendered_truths_say() {
    for (k, want) in [14.5, 13.9, 8.0, 13.9].into_iter().enumerate() {
        let Some((folder, [host, face])) = truth_clips(k) else { return };
        let open = |name: String| Reel::open(&folder.join(name)).unwrap();
        let mut target = open(format!("target_{host}.mp4"));
        let mut truth = open(format!("hybrid_{face}_face_on_{host}.mp4"));
        let mut region = open("region.mp4".into());
        let mut row = Row::default();
        while let (Some(target), Some(truth), Some(region)) =
            (target.next().unwrap(), truth.next().unwrap(), region.next().unwrap())
        {
            if target.idx % 4 == 0 {
                let area = Area::around(&grey_of(&region)).unwrap();
                let [target, truth] = [target, truth].map(|frame| frame.picture.rgb_rect(area.rect));
                row.compare(&target, &truth, &area.inside);
            }
        }
        let found = row.psnr_db.0 / row.psnr_db.1;
        println!("truth/{k}: {found:.2} dB, SSIM {:.4}", row.ssim.0 / row.ssim.1);
        assert!((found - want).abs() < 0.15, "truth/{k}: {found}, not {want}");
    }
}

#[test]
fn a_perfect_swap_scores_as_the_truth_and_the_target_as_unchanged() {
    let Some((folder, _)) = truth_clips(0) else { return };
    let path = |name: &str| folder.join(name);
    let settings = EvalSettings {
        output: path("truth_B.mp4"),
        target: path("target_A.mp4"),
        truth: path("hybrid_B_face_on_A.mp4"),
        region: Some(path("region.mp4")),
        reference: None,
        every: 20,
    };
    let Ok(runtime) = Runtime::load(&RuntimeSettings::default()) else {
        println!("skipped: no ONNX Runtime");
        return;
    };
    let report = eval(&settings, &runtime, None).unwrap();
    println!("{report}");
    assert_eq!((report.n_frames, report.n_scored, report.unchanged.n_faces), (100, 5, 5));
    let (output, unchanged, truth) = (&report.output, &report.unchanged, &report.truth);
    // README of the clips: truth itself 38.5 dB, unchanged 14.5; faces of the other person are 0.64 away.
    assert!(
        (output.psnr_face_db.unwrap() - 38.5).abs() < 1.0
            && (unchanged.psnr_face_db.unwrap() - 14.5).abs() < 0.5
    );
    assert_eq!((truth.psnr_face_db, unchanged.flicker_px), (Some(MAX_PSNR_DB), Some(0.0)));
    assert!((truth.ssim_face.unwrap() - 1.0).abs() < 1e-4 && output.ssim_face > unchanged.ssim_face);
    assert!(output.identity_distance < Some(0.52) && unchanged.identity_distance > Some(0.52), "{report}");
    assert!(output.identity_distance_to_target > Some(0.52), "{report}");
    assert!(output.flicker_px.unwrap() > 0.0 && output.jitter.unwrap() < 0.05);
}

#[test]
fn clips_of_other_lengths_or_sizes_are_refused_with_both_numbers() {
    let Some((folder, _)) = truth_clips(0) else { return };
    let (Some((short, _)), path) = (truth_clips(3), |name: &str| folder.join(name)) else { return };
    let settings = |output: PathBuf| EvalSettings {
        output,
        target: path("target_A.mp4"),
        truth: path("hybrid_B_face_on_A.mp4"),
        region: None,
        reference: None,
        every: 4,
    };
    let refused = |output: PathBuf| {
        let run = || {
            let mut reels = Reels::open(&settings(output))?;
            while reels.next()?.is_some() {}
            Ok(())
        };
        let result: Result<()> = run();
        result.unwrap_err().to_string()
    };
    let reason = refused(short.join("truth_B.mp4"));
    assert!(reason.contains("is 1024 x 1024") && reason.contains("is 512 x 512"), "{reason}");
    let longer = folder.join("../../train/A.mp4");
    let reason = refused(longer);
    assert!(reason.contains("has 508 frames") && reason.contains("has 100"), "{reason}");
}

#[test]
fn the_scored_area_is_the_box_of_the_inside_and_a_margin() {
    let mut inside = Array2::zeros((200, 300));
    inside.slice_mut(s![90..101, 250..281]).fill(0.9);
    let area = Area::around(&inside).unwrap();
    assert_eq!(area.rect, Rect { x0: 218, y0: 58, x1: 300, y1: 133 });
    assert!((area.inside.sum() - inside.sum()).abs() < 1e-3);
    assert!(Area::around(&Array2::zeros((20, 30))).is_none());
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
    [0.0, 1.0, 4.0].iter().for_each(|x| row.follow(Some(&face(*x)), false));
    assert!((row.jitter.mean().unwrap() - 0.2).abs() < 1e-9);
}

#[test]
fn the_table_names_every_row() {
    let scores = |v: f64| Scores { psnr_face_db: Some(v), ssim_face: Some(0.9), ..Scores::default() };
    let report = EvalReport {
        n_frames: 100,
        n_scored: 25,
        output: scores(24.25),
        unchanged: scores(14.5),
        hard_paste: None,
        truth: scores(100.0),
    };
    let table = report.to_string();
    assert!(table.contains("25 of 100 frames") && table.contains("output        24.25   0.900"), "{table}");
    assert!(!table.contains("hard paste") && table.lines().count() == 6, "{table}");
    let with = EvalReport { hard_paste: Some(scores(22.0)), ..report };
    assert!(with.to_string().contains("hard paste    22.00"), "{with}");
    let json = serde_json::to_value(&with).unwrap();
    assert_eq!(json["output"]["psnr_face_db"], 24.25);
    assert!(json["output"]["jitter"].is_null());
}
