//! Parts and resumed runs that don't decode what comes before: the frames are those of an undisturbed walk.

use std::path::Path;

use faceswap::{
    frame::Frame,
    video::{DecodeSettings, Source, SourceSettings, Trim},
};

use crate::media::{has_ffmpeg, make, pixels};

fn source(path: &Path, trim: Trim) -> Source {
    let settings = SourceSettings { trim, ..Default::default() };
    let decode = DecodeSettings { threads: 2, ..Default::default() };
    Source::open(path, &decode, &settings).expect("opens")
}

/// Number, time, duration and every sample of each frame.
fn walk(frames: impl Iterator<Item = faceswap::Result<Frame>>) -> Vec<(u64, i64, i64, Vec<u32>)> {
    let facts = |frame: faceswap::Result<Frame>| {
        let frame = frame.expect("decoded");
        (frame.idx, frame.picture.pts(), frame.picture.duration(), pixels(&frame))
    };
    frames.map(facts).collect()
}

const CLIP: &str = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=5";

/// Name, how it is made, and whether a key frame before the wanted one is known to be enough.
const CLIPS: [(&str, &str, bool); 10] = [
    ("closed.mp4", "-c:v libx264 -g 24 -bf 3 -pix_fmt yuv420p", true),
    ("closed.mkv", "-c:v libx264 -g 24 -bf 3 -pix_fmt yuv420p", true),
    ("closed.ts", "-c:v libx264 -g 24 -bf 3 -pix_fmt yuv420p", true),
    // Key frames of H.264 that aren't IDR promise nothing about what comes after them.
    ("open.mkv", "-c:v libx264 -g 24 -bf 3 -x264-params open-gop=1 -pix_fmt yuv420p", false),
    (
        "open_hevc.mp4",
        "-c:v libx265 -x265-params log-level=none:open-gop=1:keyint=24:min-keyint=24:bframes=4 -pix_fmt yuv420p",
        true,
    ),
    (
        "vfr.mp4",
        "-vf select=lt(mod(n\\,10)\\,7) -fps_mode vfr -c:v libx264 -g 20 -bf 3 -pix_fmt yuv420p",
        true,
    ),
    ("intra.mov", "-c:v prores_ks", true),
    ("intra.avi", "-c:v mjpeg -q:v 3", true),
    ("lossless.mkv", "-c:v ffv1 -g 10", true),
    ("one.mp4", "-c:v libx264 -g 500 -keyint_min 500 -sc_threshold 0 -pix_fmt yuv420p", false),
];

#[test]
fn what_is_not_decoded_is_not_missed() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut clips: Vec<_> = CLIPS
        .into_iter()
        .map(|(name, how, skips)| (make(dir.path(), name, &format!("{CLIP} {how}")), skips))
        .collect();
    // Cut between two key frames: what comes before 0 is decoded and not shown.
    clips.push((make(dir.path(), "edit.mp4", "-ss 0.7 -i closed.mp4 -c copy"), true));
    clips.push((make(dir.path(), "late.mkv", "-i closed.mp4 -c copy -output_ts_offset 3600"), true));
    for (path, skips) in clips {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let all = walk(source(&path, Trim::default()));
        assert!(all.len() > 60, "{name}");
        let first = all[0].1;
        let mut n_skipped = 0;
        for start in [1, 23, 24, 25, 47, 60, all.len() as u64 - 1] {
            // A part begins at 0.
            let begin = &all[start as usize];
            let trimmed = walk(source(&path, Trim { start_frame: Some(start), ..Trim::default() }));
            let wanted: Vec<_> = all[start as usize..]
                .iter()
                .map(|(idx, pts, duration, samples)| (idx - start, pts - begin.1, *duration, samples.clone()))
                .collect();
            assert!(trimmed == wanted, "{name}: from frame {start} on");
            let mut resumed = source(&path, Trim::default());
            let head = resumed.next().expect("a frame").expect("decoded");
            resumed.skip_to(start).expect("opens again");
            let rest = walk(resumed.by_ref());
            n_skipped += resumed.n_skipped();
            assert_eq!(head.idx, 0);
            assert!(rest[0].0 <= start, "{name}: begins with {} for {start}", rest[0].0);
            assert!(rest == all[rest[0].0 as usize..], "{name}: resumed at {start}");
        }
        assert_eq!(n_skipped > 0, skips, "{name}: {n_skipped} frames were skipped");
        let probe = source(&path, Trim::default()).probe().time_base;
        let from_s = (all[40].1 - first) as f64 * f64::from(probe.0) / f64::from(probe.1);
        let timed = walk(source(&path, Trim { from_s: Some(from_s), ..Trim::default() }));
        assert_eq!(timed.len(), all.len() - 40, "{name}: from {from_s} s on");
        assert!(timed[0].3 == all[40].3, "{name}");
    }
}

#[test]
fn what_comes_after_a_doubt_is_decoded_from_the_start() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let noisy = "-c:v libx264 -g 12 -bf 2 -pix_fmt yuv420p -bsf:v noise=drop=eq(mod(n\\,5)\\,1)*lt(n\\,30)";
    let path = make(dir.path(), "noisy.mkv", &format!("{CLIP} {noisy}"));
    let mut whole = source(&path, Trim::default());
    let all = walk(whole.by_ref());
    assert!(!whole.damage().is_empty());
    // Nothing is known of the file yet, so that the caller's word is taken; all frames behind are the same.
    let mut resumed = source(&path, Trim::default());
    resumed.next().expect("a frame").expect("decoded");
    resumed.skip_to(60).expect("opens again");
    let rest = walk(resumed);
    assert!(rest == all[rest[0].0 as usize..]);
    // Read up to the damage and beyond, it is known, and nothing is passed over any more.
    let mut doubting = source(&path, Trim::default());
    let head = walk(doubting.by_ref().take(20));
    doubting.skip_to(60).expect("stays");
    assert_eq!(doubting.n_skipped(), 0);
    assert!(walk(doubting) == all[head.len()..]);
}
