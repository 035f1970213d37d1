//! Seven common inputs on which programs of the field fail without a word; each as a user expects it.

use std::{fs, path::Path};

use crate::{
    media::{ffprobe, frame_sums, has_ffmpeg, make, packet_sums, presented_s, shown_sums},
    round_trip::pass_through,
};

const PICTURE: &str = "-f lavfi -i testsrc2=size=160x96:rate=30:duration=2";
const SOUND: &str = "-f lavfi -i sine=duration=2";
const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

/// The length of a kind of stream, seconds.
fn length_s(path: &Path, kind: &str) -> f64 {
    let entries = "-show_entries packet=pts_time,duration_time";
    let lines = ffprobe(path, &format!("-select_streams {kind} {entries}"));
    let end = |line: &String| {
        let mut numbers = line.split(',').map(|n| n.parse::<f64>().unwrap_or(0.0));
        Some(numbers.next()? + numbers.next()?)
    };
    lines.iter().filter_map(end).fold(0.0, f64::max)
}

fn done(input: &Path, output: &Path, more: &[&str], code: i32) -> serde_json::Value {
    let (found, told, report) = pass_through(input, output, more);
    assert_eq!(found, Some(code), "{}: {told}", input.display());
    report
}

#[test]
fn seven_of_seven() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let make = |name: &str, arguments: &str| make(dir.path(), name, arguments);
    let out = |name: &str| dir.path().join(name);
    let lossless = ["--output-video-encoder", "ffv1"];

    // 1. A phone clip that is stored sideways is shown as before.
    make("flat.mp4", &format!("{PICTURE} {SOUND} {H264} -c:a aac"));
    let phone = make("phone.mp4", "-i flat.mp4 -c copy -metadata:s:v:0 rotate=90");
    done(&phone, &out("1.mkv"), &lossless, 0);
    done(&phone, &out("1.mp4"), &[], 0);
    assert_eq!(shown_sums(&phone), frame_sums(&out("1.mkv")));
    let turn = "-select_streams v -show_entries stream=width,height:stream_side_data=rotation";
    assert_eq!(ffprobe(&phone, turn), ffprobe(&out("1.mp4"), turn));

    // 2. A variable rate stays one: as many frames, at their times.
    let select = "-vf select=lt(mod(n\\,7)\\,4)+gt(n\\,50) -fps_mode vfr";
    let vfr = make("vfr.mp4", &format!("{PICTURE} {select} {H264}"));
    done(&vfr, &out("2.mp4"), &[], 0);
    assert_eq!(presented_s(&vfr), presented_s(&out("2.mp4")));

    // 3. Sound that lasts longer is kept, and adds no frames.
    let long = make("long.mp4", &format!("{PICTURE} -f lavfi -i sine=duration=2.5 {H264} -c:a aac"));
    done(&long, &out("3.mp4"), &[], 0);
    assert_eq!(presented_s(&out("3.mp4")).len(), 60);
    assert_eq!(packet_sums(&long, "a"), packet_sums(&out("3.mp4"), "a"));

    // 4. Another rate takes the same time.
    let input = out("flat.mp4");
    done(&input, &out("4.mp4"), &["--output-video-fps", "15"], 0);
    assert_eq!(presented_s(&out("4.mp4")).len(), 30);
    for kind in ["v", "a"] {
        let (before, after) = (length_s(&input, kind), length_s(&out("4.mp4"), kind));
        assert!((before - after).abs() < 1e-3 && (after - 2.0).abs() < 0.03, "{kind}: {before} {after}");
    }

    // 5. A second part of one file doesn't depend on the first.
    for (name, start, end, n) in [("5a.mkv", "10", "27", 17), ("5b.mkv", "0", "60", 60)] {
        let more = ["--trim-frame-start", start, "--trim-frame-end", end, lossless[0], lossless[1]];
        done(&input, &out(name), &more, 0);
        let from: usize = start.parse().expect("a number");
        assert_eq!(frame_sums(&out(name)), frame_sums(&input)[from..from + n]);
    }

    // 6. A file that is cut in half keeps what is there, and says so.
    let whole = make("whole.mkv", &format!("{PICTURE} {SOUND} {H264} -g 10 -c:a aac"));
    let bytes = fs::read(&whole).expect("read");
    fs::write(out("half.mkv"), &bytes[..bytes.len() / 2]).expect("written");
    let report = done(&out("half.mkv"), &out("6.mkv"), &lossless, 3);
    let (all, kept) = (frame_sums(&whole), frame_sums(&out("6.mkv")));
    assert!(kept.len() > 15 && kept.len() < 45 && kept == all[..kept.len()], "{} frames", kept.len());
    assert!(!report["damage"].as_array().expect("a list").is_empty(), "{report}");
    assert!(length_s(&out("6.mkv"), "a") <= length_s(&out("6.mkv"), "v") + 0.03);

    // 7. HDR stays HDR.
    let hdr = make(
        "hdr.mp4",
        "-f lavfi -i testsrc2=size=160x96:rate=30:duration=0.3 -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le \
         -x265-params log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:\
         master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400",
    );
    done(&hdr, &out("7.mp4"), &[], 0);
    for facts in [
        "-select_streams v -show_entries stream=pix_fmt,color_space,color_transfer,color_primaries,color_range",
        "-read_intervals %+#1 -show_entries frame_side_data=red_x,green_y,max_luminance,max_content,max_average",
    ] {
        assert_eq!(ffprobe(&hdr, facts), ffprobe(&out("7.mp4"), facts));
    }
}
