//! `eval` against numbers that are known: the rendered truth clips come with their own calibration. They aren't part of
//! the repository; without them these tests say so and pass.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use faceswap::{
    Error,
    eval::{EvalReport, EvalSettings, eval},
    nn::{Runtime, RuntimeSettings},
    progress::{Style, Watch},
};

/// The folder of the truth clips `k`, and whose face goes onto whom.
fn truth_clips(k: usize) -> Option<(PathBuf, &'static str, &'static str)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/synth/truth").join(k.to_string());
    let (host, face) = [("A", "B"), ("B", "A"), ("C", "D"), ("A", "B")][k];
    if folder.is_dir() {
        return Some((folder, host, face));
    }
    eprintln!("skipped: no {}", folder.display());
    None
}

fn runtime() -> Option<Runtime> {
    let runtime = Runtime::load(&RuntimeSettings { threads: 1, ..RuntimeSettings::default() });
    if runtime.is_err() {
        eprintln!("skipped: no ONNX Runtime");
    }
    runtime.ok()
}

/// The face's owner with her own head, frame by frame in the target's pose, scored as if it were a swap.
fn scored(k: usize, every: usize) -> Option<EvalReport> {
    let (folder, host, face) = truth_clips(k)?;
    let settings = EvalSettings {
        output: Some(folder.join(format!("truth_{face}.mp4"))),
        target: folder.join(format!("target_{host}.mp4")),
        truth: Some(folder.join(format!("hybrid_{face}_face_on_{host}.mp4"))),
        region: Some(folder.join("region.mp4")),
        every,
        ..EvalSettings::default()
    };
    let stop = AtomicBool::new(false);
    let report =
        eval(&settings, &runtime()?, None, &Watch::new(Style::Quiet, &stop)).expect("the clips fit together");
    eprintln!("truth/{k}: {report}");
    Some(report)
}

#[test]
fn the_truth_clips_score_what_their_calibration_says() {
    // PSNR of the unchanged target and of the other person's clip, every 4th frame, from the clips' README.
    for (k, unchanged, other) in [(0, 14.5, 38.5), (2, 8.0, 36.8)] {
        let Some(report) = scored(k, 4) else { return };
        let off = |found: Option<f64>, want: f64| (found.expect("frames were scored") - want).abs();
        assert!(off(report.baselines.unchanged.psnr_face_db, unchanged) < 0.15, "truth/{k}: {report}");
        // Near-equal pictures tell how chroma was brought to full size, so the other decoder's number is up to 1 dB off.
        assert!(off(report.output.psnr_face_db, other) < 1.0, "truth/{k}: {report}");
        assert_eq!(report.truth.as_ref().and_then(|s| s.psnr_face_db), Some(100.0), "equal pictures");
        assert!(
            off(report.truth.as_ref().and_then(|s| s.ssim_face), 1.0) < 1e-4
                && report.output.ssim_face > report.baselines.unchanged.ssim_face
        );
        // The same person is nearer than the other one, and what doesn't move like the target is told.
        let (output, unchanged) = (&report.output, &report.baselines.unchanged);
        assert!(output.identity_distance < unchanged.identity_distance, "truth/{k}: {report}");
        assert!(
            output.identity_distance_to_target > unchanged.identity_distance_to_target,
            "truth/{k}: {report}"
        );
        assert!(
            off(output.flicker_tof, 0.0) > 0.01 && unchanged.flicker_tof == Some(0.0),
            "truth/{k}: {report}"
        );
        assert!(off(output.jitter_out, 0.0) < 0.05, "truth/{k}: {report}");
        assert_eq!(report.n_scored, 25);
    }
}

#[test]
fn clips_of_other_lengths_or_sizes_are_refused_with_both_numbers() {
    let (Some((folder, ..)), Some((large, ..))) = (truth_clips(0), truth_clips(3)) else { return };
    let Some(runtime) = runtime() else { return };
    let refused = |output: PathBuf| {
        let settings = EvalSettings {
            output: Some(output),
            target: folder.join("target_A.mp4"),
            truth: Some(folder.join("hybrid_B_face_on_A.mp4")),
            every: 50,
            ..EvalSettings::default()
        };
        let stop = AtomicBool::new(false);
        let watch = Watch::new(Style::Quiet, &stop);
        eval(&settings, &runtime, None, &watch).expect_err("clips that don't fit").to_string()
    };
    let reason = refused(large.join("truth_B.mp4"));
    assert!(reason.contains("is 1024 x 1024") && reason.contains("is 512 x 512"), "{reason}");
    let reason = refused(folder.join("../../train/A.mp4"));
    assert!(reason.contains("has 508 frames") && reason.contains("has 100"), "{reason}");
}

#[test]
fn a_wish_to_stop_is_heard() {
    let Some(runtime) = runtime() else { return };
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo.mp4");
    let settings =
        EvalSettings { output: Some(demo.clone()), target: demo, every: 50, ..EvalSettings::default() };
    let stop = AtomicBool::new(true);
    let ended = eval(&settings, &runtime, None, &Watch::new(Style::Quiet, &stop));
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
}
