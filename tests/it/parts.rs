//! Parts, rates, sizes and containers of choice: what is asked for comes out, in time.

use std::{fs, path::Path};

use crate::{
    media::{ffprobe, frame_sums, has_ffmpeg, make, packet_sums, presented_s},
    round_trip::pass_through,
};

const CLIP: &str = "-f lavfi -i testsrc2=size=160x96:rate=25:duration=2 -f lavfi -i sine=duration=2 -c:v libx264 \
    -preset ultrafast -pix_fmt yuv420p -bf 2";
const LOSSLESS: [&str; 2] = ["--output-video-encoder", "ffv1"];

fn done(input: &Path, output: &Path, more: &[&str]) -> serde_json::Value {
    let (code, told, report) = pass_through(input, output, more);
    assert_eq!(code, Some(0), "{more:?}: {told}");
    report
}

/// First and last time of a kind of packet, seconds.
fn span_s(path: &Path, kind: &str) -> (f64, f64) {
    let lines = ffprobe(path, &format!("-select_streams {kind} -show_entries packet=pts_time"));
    let times = lines.iter().filter_map(|line| line.split(',').next()?.parse::<f64>().ok());
    times.fold((f64::MAX, f64::MIN), |(low, high), t| (low.min(t), high.max(t)))
}

#[test]
fn a_part_has_its_frames_and_its_sound() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let out = |name: &str| dir.path().join(name);
    let input = make(dir.path(), "a.mp4", &format!("{CLIP} -c:a aac"));
    let all = frame_sums(&input);
    for (name, more, frames) in [
        ("frames.mkv", ["--trim-frame-start", "10", "--trim-frame-end", "35"], 10..35),
        ("times.mkv", ["--from", "0:00.8", "--to", "1.6"], 20..40),
        ("both.mkv", ["--from", "1", "--trim-frame-end", "45"], 25..45),
    ] {
        let report = done(&input, &out(name), &[&more[..], &LOSSLESS].concat());
        assert_eq!(frame_sums(&out(name)), all[frames.clone()], "{name}");
        let length_s = frames.len() as f64 / 25.0;
        let ((video, _), (sound, last)) = (span_s(&out(name), "v"), span_s(&out(name), "a"));
        // Matroska can't hide a part of a packet: up to one, 23 ms, is left out.
        assert!(
            (0.0..=0.024).contains(&(sound - video)) && last < length_s,
            "{name}: {sound} {video} {last}"
        );
        assert!(report["sync"]["max_skew_ms"].as_f64().is_some_and(|ms| ms <= 1.0), "{report}");
    }
    // MP4 hides it: the sound begins with the picture.
    let more = ["--trim-frame-start", "10", "--trim-frame-end", "35"];
    done(&input, &out("exact.mp4"), &more);
    let starts = ffprobe(&out("exact.mp4"), "-show_entries stream=start_time");
    assert!(starts.iter().all(|s| s.parse::<f64>().is_ok_and(|s| s.abs() < 1e-3)), "{starts:?}");
    let packets = packet_sums(&input, "a");
    let kept = packet_sums(&out("exact.mp4"), "a");
    let at = packets.windows(kept.len()).position(|window| window == kept);
    assert!(at.is_some() && kept.len() >= 43, "copied packets: {}", kept.len());
    let (code, told, _) = pass_through(&input, &out("none.mp4"), &["--trim-frame-start", "500"]);
    assert!(code == Some(1) && told.contains("no frame lies"), "{told}");
}

#[test]
fn another_rate_and_size_last_as_long() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let out = |name: &str| dir.path().join(name);
    let input = make(dir.path(), "a.mp4", &format!("{CLIP} -c:a aac"));
    let all = frame_sums(&input);
    for (rate, n) in [("12.5", 25), ("50", 100), ("30000/1001", 60)] {
        let name = format!("rate{n}.mkv");
        done(&input, &out(&name), &[&["--output-video-fps", rate][..], &LOSSLESS].concat());
        let (sums, times) = (frame_sums(&out(&name)), presented_s(&out(&name)));
        assert_eq!(sums.len(), n, "{rate}");
        assert_eq!((&sums[0], &sums[n - 1]), (&all[0], &all[if n == 25 { 48 } else { 49 }]), "{rate}");
        let step = 2.0 / n as f64;
        assert!((times[n - 1] - times[0] - (n - 1) as f64 * step).abs() < 0.04, "{times:?}");
        assert_eq!(packet_sums(&input, "a"), packet_sums(&out(&name), "a"));
    }
    done(&input, &out("small.mp4"), &["--output-video-scale", "0.5"]);
    done(&input, &out("wide.mp4"), &["--output-video-scale", "200x96"]);
    let size = "-select_streams v -show_entries stream=width,height,sample_aspect_ratio";
    assert_eq!(ffprobe(&out("small.mp4"), size), ["80,48,1:1"]);
    assert_eq!(ffprobe(&out("wide.mp4"), size), ["200,96,4:5"]);
    assert_eq!(presented_s(&out("wide.mp4")), presented_s(&input));
}

#[test]
fn sound_that_does_not_fit_is_told_converted_or_dropped() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let out = |name: &str| dir.path().join(name);
    // A second of silence, then a tone: where it begins is what must not move.
    let source = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -f lavfi -i \
        aevalsrc=gte(t\\,1)*sin(2000*t):duration=2:sample_rate=48000";
    let input = make(dir.path(), "a.mkv", &format!("{source} -c:v ffv1 -c:a pcm_s24le"));
    let h264 = ["--output-video-encoder", "libx264"];
    let (code, told, _) = pass_through(&input, &out("no.mp4"), &h264);
    assert!(code == Some(2) && told.contains("pcm_s24le") && told.contains("--on-unsupported"), "{told}");
    let report = done(&input, &out("drop.mp4"), &[&h264[..], &["--on-unsupported", "drop"]].concat());
    assert_eq!(report["tracks"]["dropped"][0]["codec"], "pcm_s24le");
    assert!(ffprobe(&out("drop.mp4"), "-select_streams a -show_entries stream=codec_name").is_empty());
    for (name, codec, more) in [
        ("aac.mp4", "aac", vec!["--on-unsupported", "convert"]),
        ("part.mp4", "aac", vec!["--on-unsupported", "convert", "--from", "0.48"]),
    ] {
        let report = done(&input, &out(name), &[&h264[..], &more].concat());
        assert_eq!(report["tracks"]["converted"][0]["converted_to"], codec);
        let raw = out("tone.raw");
        make(dir.path(), "tone.raw", &format!("-i {name} -f s16le -ac 1 -ar 48000"));
        let samples: Vec<i16> =
            fs::read(raw).expect("read").chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        let begins = samples.iter().position(|s| s.unsigned_abs() > 8000).expect("a tone");
        let wanted = if more.len() > 2 { 0.52 } else { 1.0 };
        let at_s = begins as f64 / 48_000.0;
        assert!((at_s - wanted).abs() < 1e-3, "{name}: the tone begins at {at_s} s");
    }
}

#[test]
fn a_clock_of_sound_that_jumps_by_hours_leaves_a_gap_and_no_hours_of_silence() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let source =
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -f lavfi -i sine=duration=2:sample_rate=48000";
    let jump = "-af asetpts=PTS+gte(T\\,1)*10800/TB";
    let input = make(dir.path(), "jump.mkv", &format!("{source} {jump} -c:v ffv1 -c:a pcm_s16le"));
    let output = dir.path().join("jump.mp4");
    done(&input, &output, &["--output-video-encoder", "libx264", "--on-unsupported", "convert"]);
    let times = ffprobe(&output, "-select_streams a -show_entries packet=pts_time");
    let times: Vec<f64> = times.iter().filter_map(|line| line.split(',').next()?.parse().ok()).collect();
    assert!(times.len() < 120, "{} packets of sound", times.len());
    let after = times.iter().position(|time| *time > 100.0).expect("sound behind the gap");
    assert!(
        (0.9..1.1).contains(&times[after - 1]) && (10_800.9..10_801.1).contains(&times[after]),
        "{times:?}"
    );
}

#[test]
fn numbered_pictures_go_out_and_come_back() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let out = |name: &str| dir.path().join(name);
    for format in ["gbrp", "gbrp16le", "gray", "gbrap"] {
        let source = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.2";
        let input = make(dir.path(), "a.mkv", &format!("{source} -c:v ffv1 -pix_fmt {format}"));
        let pictures = out(&format!("{format}/f%03d.png"));
        let report = done(&input, &pictures, &[]);
        assert_eq!(report["frames"]["written"], 5);
        assert_eq!(fs::read_dir(out(format)).expect("a folder").count(), 5 + 1, "pictures and the report");
        let (code, told, _) = pass_through(&pictures, &out("back.mkv"), &LOSSLESS);
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(frame_sums(&input), frame_sums(&out("back.mkv")), "{format}");
        assert_eq!(presented_s(&input), presented_s(&out("back.mkv")), "{format}");
    }
}
