//! Broken, odd and hostile inputs, row by row as the fault table numbers them: what each must give.

use std::{
    ffi::OsStr,
    fs,
    net::TcpListener,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    media::{ffprobe, frame_sums, has_ffmpeg, make, packet_sums, presented_s, shown_sums},
    round_trip::pass_through,
};

const PICTURE: &str = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=2";
const SOUND: &str = "-f lavfi -i sine=frequency=440:duration=2";
const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

/// A folder with a sound clip in it, and what the program makes of its neighbours.
struct Bench {
    dir: tempfile::TempDir,
    base: PathBuf,
}

/// What a run gave: exit code, messages, report, output.
struct Done {
    code: Option<i32>,
    told: String,
    report: Value,
    output: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let arguments = format!("{PICTURE} {SOUND} {H264} -g 12 -bf 2 -c:a aac -movflags +faststart");
        let base = make(dir.path(), "base.mp4", &arguments);
        Self { dir, base }
    }

    fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.dir.path().join(Path::new(name.as_ref()))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).expect("written");
        self.path(name)
    }

    fn make(&self, name: &str, arguments: &str) -> PathBuf {
        make(self.dir.path(), name, arguments)
    }

    fn run(&self, input: &Path, output: &str, more: &[&str]) -> Done {
        let output = self.path(output);
        let _ = fs::remove_file(&output);
        let (code, told, report) = pass_through(input, &output, more);
        Done { code, told, report, output }
    }

    /// Refused with these words, and nothing is left.
    fn refused(&self, input: &Path, code: i32, words: &str) {
        let done = self.run(input, "refused.mp4", &[]);
        assert_eq!(done.code, Some(code), "{}: {}", input.display(), done.told);
        assert!(done.told.contains(words), "{}: {}", input.display(), done.told);
        assert!(!done.output.exists() && !done.told.contains("panicked"), "{}", done.told);
    }

    /// Passes through ffv1 with all frames and times.
    fn passes(&self, input: &Path) -> Done {
        let done = self.run(input, "passed.mkv", &["--output-video-encoder", "ffv1"]);
        assert_eq!(done.code, Some(0), "{}: {}", input.display(), done.told);
        let (before, after) = (frame_sums(input), frame_sums(&done.output));
        assert!(!before.is_empty() && before == after, "{}: frames", input.display());
        same_times(&presented_s(input), &presented_s(&done.output), 1.1e-3);
        done
    }

    fn damaged(&self, input: &Path) -> Done {
        let done = self.run(input, "mended.mp4", &[]);
        assert_eq!(done.code, Some(3), "{}: {}", input.display(), done.told);
        assert!(done.told.contains("damage: frame"), "{}", done.told);
        assert!(done.report["damage"].as_array().is_some_and(|ranges| !ranges.is_empty()));
        done
    }
}

/// Equal up to one shift, as where a container can't begin before 0.
fn same_times(before: &[f64], after: &[f64], slack_s: f64) {
    assert_eq!(before.len(), after.len());
    let shift = after[0] - before[0];
    for (old, new) in before.iter().zip(after) {
        assert!((new - old - shift).abs() < slack_s, "{old} became {new}");
    }
}

fn facts(path: &Path, entries: &str) -> Vec<String> {
    ffprobe(path, &format!("-select_streams v:0 -show_entries {entries}"))
}

fn empty_and_unfinished(b: &Bench) {
    b.refused(&b.write("zero.mp4", b""), 1, "empty file");
    let slow = b.make("slow.mp4", "-i base.mp4 -c copy");
    let bytes = fs::read(slow).expect("read");
    b.refused(&b.write("nomoov.mp4", &bytes[..bytes.len() / 2]), 1, "index (moov) is missing");
    b.refused(&b.write("header.mp4", &bytes[..32]), 1, "header.mp4");
}

fn cut_in_half(b: &Bench) {
    let bytes = fs::read(&b.base).expect("read");
    let done = b.damaged(&b.write("half.mp4", &bytes[..bytes.len() / 2]));
    let (whole, kept) = (presented_s(&b.base), presented_s(&done.output));
    assert!(kept.len() > 10 && kept.len() < whole.len());
    same_times(&whole[..kept.len()], &kept, 1e-6);
    let sound = ffprobe(&done.output, "-select_streams a -show_entries packet=pts_time");
    let last: f64 = sound.last().and_then(|l| l.split(',').next()?.parse().ok()).expect("sound");
    assert!(last <= kept[kept.len() - 1] + 0.04, "sound at {last} s, picture to {:?}", kept.last());
}

fn torn_in_the_middle(b: &Bench) {
    let mut bytes = fs::read(&b.base).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2048].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37 % 251) as u8);
    let done = b.damaged(&b.write("torn.mp4", &bytes));
    same_times(&presented_s(&b.base), &presented_s(&done.output), 1e-6);
}

fn noisy_and_dropped(b: &Bench) {
    let noisy = b.make("noisy.mp4", "-i base.mp4 -c copy -bsf:v noise=amount=200");
    let dropped = b.make("dropped.mp4", "-i base.mp4 -c copy -bsf:v noise=drop=not(mod(n\\,10))");
    b.damaged(&noisy);
    b.damaged(&dropped);
}

fn no_videos(b: &Bench) {
    b.refused(&b.write("text.mp4", b"not a video\n"), 1, "not a video");
    let noise: Vec<u8> = (0..50_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    b.refused(&b.write("noise.mp4", &noise), 1, "not a video");
    let exr = b.make("a.exr", "-i base.mp4 -frames:v 1 -pix_fmt gbrpf32le");
    assert_eq!(b.run(&exr, "out.exr", &[]).code, Some(0), "a picture's way, too");
    let whole = fs::read(&exr).expect("read");
    b.refused(&b.write("cut.exr", &whole[..whole.len() / 2]), 1, "damaged or cut off");
    b.refused(&b.write("head.exr", &whole[..40]), 1, "damaged or cut off");
    let jpeg = b.make("a.jpg", "-i base.mp4 -frames:v 1");
    fs::rename(jpeg, b.path("jpeg.mp4")).expect("renamed");
    assert_eq!(b.run(&b.path("jpeg.mp4"), "out.jpg", &[]).code, Some(0), "a picture's way");
}

fn lying_tables(b: &Bench) {
    let mut bytes = fs::read(&b.base).expect("read");
    let at = bytes.windows(4).position(|w| w == b"stsz").expect("a table of sizes");
    bytes[at + 12..at + 16].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    let lie = b.write("lie.mp4", &bytes);
    // Three hundred megabytes of memory are enough to say no.
    let limited = Command::new("sh")
        .args(["-c", "ulimit -d 300000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_faceswap"), "-i", "none"])
        .arg(&lie)
        .arg("-o")
        .arg(b.path("lie_out.mp4"))
        .output()
        .expect("sh runs");
    assert_eq!(limited.status.code(), Some(1), "{limited:?}");
}

fn nothing_for_eight_gigabytes(b: &Bench) {
    let file = fs::File::create(b.path("sparse.mp4")).expect("made");
    file.set_len(8 << 30).expect("sparse");
    b.refused(&b.path("sparse.mp4"), 1, "not a video");
}

fn variable_rate(b: &Bench) {
    let select = "-vf select=lt(mod(n\\,10)\\,3)+gt(n\\,40) -fps_mode vfr";
    b.passes(&b.make("vfr.mp4", &format!("{PICTURE} {select} {H264}")));
}

fn odd_starts(b: &Bench) {
    for (name, arguments) in [
        ("neg.mp4", "-i base.mp4 -c copy -output_ts_offset -1 -avoid_negative_ts disabled -use_editlist 1"),
        ("edit.mp4", "-ss 0.7 -i base.mp4 -c copy"),
        ("late.mkv", "-i base.mp4 -c copy -output_ts_offset 3600 -avoid_negative_ts disabled"),
    ] {
        let input = b.make(name, arguments);
        let done = b.passes(&input);
        let skew = done.report["sync"]["max_skew_ms"].as_f64().expect("a number");
        assert!(skew <= 1.0, "{name}: {skew} ms");
        // The same container, the same times.
        let output = format!("same_{name}");
        let done = b.run(&input, &output, &[]);
        assert_eq!(done.code, Some(0), "{}", done.told);
        same_times(&presented_s(&input), &presented_s(&done.output), 1e-6);
        assert_eq!(packet_sums(&input, "a"), packet_sums(&done.output, "a"), "{name}");
    }
}

/// Sound that a container of pictures alone, or one with rules of its own, doesn't take: told before any work.
fn containers_that_refuse(b: &Bench) {
    for name in ["sound.y4m", "sound.mxf"] {
        let done = b.run(&b.base, name, &[]);
        assert_eq!(done.code, Some(2), "{name}: {}", done.told);
        assert!(done.told.contains("--output") && done.told.contains(".mkv"), "{name}: {}", done.told);
        assert!(!done.output.exists(), "{name}");
    }
}

fn late_and_long_sound(b: &Bench) {
    let late = b.make("late.mp4", "-i base.mp4 -itsoffset 1.5 -i base.mp4 -map 0:v -map 1:a -c copy");
    let long = b.make("long.mp4", &format!("{PICTURE} -f lavfi -i sine=duration=4 {H264} -c:a aac"));
    for input in [late, long] {
        let done = b.run(&input, "sound.mp4", &[]);
        assert_eq!(done.code, Some(0), "{}", done.told);
        assert_eq!(packet_sums(&input, "a"), packet_sums(&done.output, "a"));
        let start = |path: &Path| ffprobe(path, "-select_streams a -show_entries stream=start_time");
        assert_eq!(start(&input), start(&done.output));
    }
}

/// Two recordings in one file, of which the first one's sound goes on for a tenth of a second into the second.
fn overlapping_sound(b: &Bench) {
    let part = |name: &str, offset: u32| {
        let picture = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=1 -f lavfi -i sine=duration=1.1";
        let clock = format!("-muxdelay 0 -muxpreload 0 -output_ts_offset {offset}");
        fs::read(b.make(name, &format!("{picture} {H264} -g 12 -bf 0 -c:a aac {clock}"))).expect("read")
    };
    let both = b.write("both.ts", &[part("one.ts", 0), part("two.ts", 1)].concat());
    for name in ["joined.ts", "joined.mp4", "joined.mkv"] {
        let done = b.run(&both, name, &[]);
        assert!(matches!(done.code, Some(0 | 3)), "{name}: {:?} {}", done.code, done.told);
        assert!(done.report["notes"].to_string().contains("step back"), "{name}: {}", done.report["notes"]);
        assert_eq!(packet_sums(&both, "a").len(), packet_sums(&done.output, "a").len(), "{name}");
        assert_eq!(frame_sums(&both).len(), frame_sums(&done.output).len(), "{name}");
    }
}

/// A recording whose sound ends long before its picture, three times in one file: each time the sound begins as far from
/// the picture as the first time.
fn joined_recordings(b: &Bench) {
    let picture = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=1 -f lavfi -i sine=duration=0.6";
    let part = fs::read(b.make("part.ts", &format!("{picture} {H264} -g 12 -bf 2 -c:a aac"))).expect("read");
    let done = b.run(&b.write("thrice.ts", &part.repeat(3)), "thrice.mkv", &[]);
    assert_eq!(done.code, Some(0), "{}", done.told);
    let frames = presented_s(&done.output);
    assert_eq!(frames.len(), 75);
    let lines = ffprobe(&done.output, "-select_streams a -show_entries packet=pts_time");
    let sound = lines.iter().map(|line| line.split(',').next().and_then(|s| s.parse().ok()).expect("a time"));
    let sound: Vec<f64> = sound.collect();
    let gaps = sound.windows(2).filter(|pair| pair[1] - pair[0] > 0.2).map(|pair| pair[1]);
    let starts: Vec<f64> = std::iter::once(sound[0]).chain(gaps).collect();
    assert_eq!(starts.len(), 3, "{starts:?}");
    for (n, start) in starts.iter().enumerate() {
        let moved = start - frames[25 * n] - (starts[0] - frames[0]);
        assert!(moved.abs() < 2.1e-3, "part {n}: {moved} s");
    }
}

fn odd_rates(b: &Bench) {
    let lavfi =
        |rate: &str, more: &str| format!("-f lavfi -i testsrc2=size=160x120:rate={rate}{more} {H264}");
    for (name, arguments) in [
        ("ntsc.mp4", lavfi("30000/1001", ":duration=2")),
        ("slow.mp4", lavfi("1/2", ":duration=8")),
        ("one.mp4", format!("{PICTURE} -frames:v 1 {H264}")),
    ] {
        let input = b.make(name, &arguments);
        b.passes(&input);
        let output = b.run(&input, "rate.mp4", &[]).output;
        assert_eq!(facts(&input, "stream=r_frame_rate"), facts(&output, "stream=r_frame_rate"), "{name}");
    }
}

fn odd_sizes(b: &Bench) {
    let lavfi = |size: &str| format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=0.4");
    b.passes(&b.make("odd.mp4", &format!("{} -c:v libx264 -pix_fmt yuv444p", lavfi("161x121"))));
    b.passes(&b.make("odd.webm", &format!("{} -c:v libvpx -pix_fmt yuv420p", lavfi("161x121"))));
}

fn tiny_sizes(b: &Bench) {
    for size in ["16x16", "2x2"] {
        let input =
            b.make("tiny.mp4", &format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=1 {H264}"));
        assert_eq!(b.passes(&input).report["frames"]["swapped"], 0);
    }
}

fn rotated(b: &Bench) {
    let input = b.make("rot.mp4", "-i base.mp4 -c copy -metadata:s:v:0 rotate=90");
    let done = b.run(&input, "rot_out.mp4", &[]);
    let turn = "stream_side_data=rotation:stream=width,height";
    assert_eq!(facts(&input, turn), facts(&done.output, turn));
    assert!(facts(&input, turn).iter().any(|line| line.contains("90")));
    // What can't ask players to turn the picture gets it upright: the frames that players show stay the same.
    let wide = b.make("rot_wide.mp4", &format!("{PICTURE} {H264} -vf setsar=16/11"));
    let wide =
        b.make("rot_wide_270.mp4", &format!("-i {} -c copy -metadata:s:v:0 rotate=270", wide.display()));
    for (input, aspect) in [(&input, "1:1"), (&wide, "11:16")] {
        let done = b.run(input, "rot_out.mkv", &["--output-video-encoder", "ffv1"]);
        assert_eq!(done.report["size_px"], serde_json::json!([120, 160]), "{}", done.told);
        assert_eq!(done.report["notes"], serde_json::json!([]));
        let told = facts(&done.output, "stream_side_data=rotation:stream=width,height,sample_aspect_ratio");
        assert_eq!(told.join(","), format!("120,160,{aspect}"));
        assert_eq!(shown_sums(input), frame_sums(&done.output));
    }
    let done = b.run(&input, "turned/%02d.png", &[]);
    assert_eq!(done.report["size_px"], serde_json::json!([120, 160]), "{}", done.told);
    assert_eq!(image::image_dimensions(b.path("turned/01.png")).expect("a picture"), (120, 160));
}

fn wide_pixels(b: &Bench) {
    let input = b.make("wide.mp4", &format!("{PICTURE} {H264} -vf setsar=16/11"));
    let done = b.run(&input, "wide_out.mp4", &[]);
    let shape = "stream=sample_aspect_ratio,display_aspect_ratio";
    assert_eq!(facts(&input, shape), facts(&done.output, shape));
}

fn size_changes(b: &Bench) {
    for (name, size) in [("a.ts", "160x120"), ("b.ts", "320x240")] {
        let input = format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=1");
        b.make(name, &format!("{input} {H264} -f mpegts"));
    }
    let both = [fs::read(b.path("a.ts")).expect("read"), fs::read(b.path("b.ts")).expect("read")].concat();
    let done = b.run(&b.write("both.ts", &both), "both.mkv", &["--output-video-encoder", "ffv1"]);
    assert_eq!(done.code, Some(0), "{}", done.told);
    assert!(done.told.contains("scaled to the first size"), "{}", done.told);
    assert_eq!(frame_sums(&done.output).len(), 50);
}

fn depths_and_colours(b: &Bench) {
    let x265 = "-c:v libx265 -preset ultrafast -x265-params";
    let light = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400";
    let hdr = format!(
        "{x265} log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:{light} \
         -pix_fmt yuv420p10le"
    );
    let short = PICTURE.replace("duration=2", "duration=0.4");
    for (name, arguments) in [
        ("hdr.mp4", hdr),
        ("hlg.mp4", format!("{x265} log-level=none:transfer=arib-std-b67 -pix_fmt yuv422p10le")),
        ("p12.mp4", format!("{x265} log-level=none -pix_fmt yuv420p12le")),
        ("y422.mov", "-c:v prores_ks -profile:v 3".into()),
        ("full.mp4", "-c:v libx264 -pix_fmt yuvj420p -color_range pc".into()),
        (
            "bt601.mp4",
            format!("{H264} -colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m"),
        ),
    ] {
        let input = b.make(name, &format!("{short} {arguments}"));
        b.passes(&input);
        let done = b.run(&input, &format!("own_{name}"), &[]);
        assert_eq!(done.code, Some(0), "{name}: {}", done.told);
        let colour = "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries,chroma_location";
        assert_eq!(facts(&input, colour), facts(&done.output, colour), "{name}");
        let light = "frame_side_data=red_x,max_luminance,max_content -read_intervals %+#1";
        assert_eq!(facts(&input, light), facts(&done.output, light), "{name}");
    }
}

fn interlaced(b: &Bench) {
    let woven =
        "-f lavfi -i testsrc2=size=160x120:rate=50:duration=1 -vf interlace=scan=tff -flags +ilme+ildct";
    let input = b.make("woven.mp4", &format!("{woven} {H264}"));
    b.refused(&input, 4, "--deinterlace");
    let done = b.run(&input, "whole.mkv", &["--deinterlace", "--output-video-encoder", "ffv1"]);
    assert_eq!(done.code, Some(0), "{}", done.told);
    assert_eq!(frame_sums(&done.output).len(), frame_sums(&input).len());
    assert!(facts(&done.output, "frame=interlaced_frame").iter().all(|line| line.starts_with('0')));
}

fn transparent(b: &Bench) {
    let source = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=0.4,format=yuva444p10le";
    let mov = b.make("alpha.mov", &format!("{source} -c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le"));
    let webm = b.make("alpha.webm", &format!("{source} -c:v libvpx-vp9 -cpu-used 8 -pix_fmt yuva420p"));
    for (input, output, mode) in
        [(mov, "o.mov", "pix_fmt"), (webm, "o.webm", "pix_fmt:stream_tags=alpha_mode")]
    {
        let done = b.run(&input, output, &[]);
        assert_eq!(done.code, Some(0), "{}", done.told);
        let mode = format!("stream={mode}");
        assert!(facts(&done.output, &mode) == facts(&input, &mode), "{output}: alpha is kept");
    }
    let refused = b.run(&b.path("alpha.mov"), "alpha.mp4", &["--output-video-encoder", "libx264"]);
    assert!(refused.code == Some(2) && refused.told.contains("alpha"), "{}", refused.told);
}

fn gray_and_rgb(b: &Bench) {
    for format in ["gray", "bgr0", "gbrp16le"] {
        b.passes(&b.make("plain.mkv", &format!("{PICTURE} -c:v ffv1 -pix_fmt {format}")));
    }
}

fn other_tracks(b: &Bench) {
    b.write("s.srt", b"1\n00:00:00,500 --> 00:00:01,500\nHello\n");
    b.write("ch.txt", b";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=one\n");
    b.make("cover.png", "-f lavfi -i testsrc=size=64x64 -frames:v 1");
    b.refused(&b.make("sound.m4a", &format!("{SOUND} -c:a aac")), 1, "only sound");
    let two = "-map 0:v -map 0:a -map 1:a -c:v copy -c:a:0 copy -c:a:1 flac -metadata:s:a:1 language=fra";
    let cover = "-map 0 -map 1 -c copy -c:v:1 png -disposition:v:1 attached_pic";
    for (name, arguments) in [
        ("none.mp4", "-i base.mp4 -c copy -an".into()),
        ("two.mkv", format!("-i base.mp4 {SOUND} {two}")),
        ("pcm.mov", format!("-i base.mp4 {SOUND} -map 0:v -map 1:a -c:v copy -c:a pcm_s24le")),
        (
            "subs.mkv",
            "-i base.mp4 -i s.srt -map 0 -map 1 -c copy -c:s srt -metadata:s:s:0 language=eng".into(),
        ),
        ("subs.mp4", "-i base.mp4 -i s.srt -map 0 -map 1 -c copy -c:s mov_text".into()),
        ("cover.mp4", format!("-i base.mp4 -i cover.png {cover}")),
        ("attach.mkv", "-i base.mp4 -c copy -attach s.srt -metadata:s:t mimetype=text/plain".into()),
        ("chapters.mp4", "-i base.mp4 -i ch.txt -map_metadata 1 -map_chapters 1 -c copy".into()),
        ("timecode.mov", "-i base.mp4 -c copy -timecode 01:00:00:00".into()),
    ] {
        let input = b.make(name, &arguments);
        let done = b.run(&input, &format!("kept_{name}"), &[]);
        assert_eq!(done.code, Some(0), "{name}: {}", done.told);
        for kind in ["a", "s"] {
            assert_eq!(packet_sums(&input, kind), packet_sums(&done.output, kind), "{name}: {kind}");
        }
        for entries in [
            "-show_entries stream=codec_type,codec_name:stream_disposition=default,attached_pic:\
             stream_tags=language,mimetype,timecode",
            "-show_entries chapter=start_time,end_time:chapter_tags=title",
        ] {
            assert_eq!(ffprobe(&input, entries), ffprobe(&done.output, entries), "{name}");
        }
    }
}

fn two_pictures(b: &Bench) {
    let second = "-f lavfi -i testsrc=size=80x60:rate=25:duration=2";
    let input = b.make("two.mkv", &format!("{PICTURE} {second} -map 0 -map 1 {H264}"));
    let done = b.passes(&input);
    assert_eq!(done.report["tracks"]["copied"][0]["kind"], "another video");
}

fn streams_and_animations(b: &Bench) {
    let count = |path: &Path| -> usize {
        let lines = ffprobe(path, "-count_frames -select_streams v:0 -show_entries stream=nb_read_frames");
        lines[0].trim().parse().expect("a number")
    };
    let live = b.make("live.ts", "-i base.mp4 -c copy -f mpegts");
    let bytes = fs::read(&live).expect("read");
    let late = b.write("join.ts", &bytes[bytes.len() / 2 + 1..]);
    let parts =
        b.make("frag.mp4", "-i base.mp4 -c copy -movflags frag_keyframe+empty_moov+default_base_moof");
    for input in [live, late, parts] {
        let done = b.run(&input, "stream.mkv", &[]);
        assert_eq!(done.code, Some(0), "{}: {}", input.display(), done.told);
        assert_eq!(count(&done.output), count(&input), "{}", input.display());
    }
    let short = PICTURE.replace("duration=2", "duration=0.4");
    for (name, coded) in [("a.gif", ""), ("b.png", "-f apng")] {
        let input = b.make(name, &format!("{short} {coded}"));
        let done = b.run(&input, &format!("moving_{name}"), &[]);
        assert_eq!(done.code, Some(0), "{name}: {}", done.told);
        assert_eq!(count(&done.output), count(&input), "{name}");
        let rgb = |path: &Path| {
            let raw = path.with_extension("rgb");
            b.make(&raw.display().to_string(), &format!("-i {} -f rawvideo -pix_fmt rgba", path.display()));
            fs::read(raw).expect("read")
        };
        assert!(rgb(&input) == rgb(&done.output), "{name}: pixels");
    }
}

fn too_large(b: &Bench) {
    let large = b.make("large.mkv", "-f lavfi -i color=black:size=400x300:rate=1:duration=1 -c:v ffv1");
    let done = b.run(&large, "large.mp4", &["--max-pixels", "100000"]);
    assert!(done.code == Some(4) && done.told.contains("--max-pixels"), "{}", done.told);
    assert_eq!(b.run(&large, "large.mp4", &["--max-pixels", "120000"]).code, Some(0));
    // A picture of 2^31 x 2^31 in a hundred bytes.
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x06\0\0\0".to_vec();
    png.extend(crc32(&png[12..29]).to_be_bytes());
    b.refused(&b.write("lie.png", &png), 4, "--max-pixels");
    // More tracks than any film has.
    let many = " -map 0:a".repeat(130);
    b.refused(&b.make("many.mkv", &format!("-i base.mp4 -map 0:v{many} -c copy")), 4, "131 streams");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

fn holes_in_a_sequence(b: &Bench) {
    fs::create_dir(b.path("seq")).expect("made");
    b.make("seq/%03d.png", "-i base.mp4 -frames:v 8");
    fs::remove_file(b.path("seq/003.png")).expect("removed");
    let bytes = fs::read(b.path("seq/006.png")).expect("read");
    fs::write(b.path("seq/006.png"), &bytes[..bytes.len() / 2]).expect("written");
    let pattern = b.path("seq/%03d.png");
    let done = b.run(&pattern, "seq.mkv", &[]);
    assert_eq!(done.code, Some(1), "{}", done.told);
    assert!(
        done.told.contains("003.png is missing") && done.told.contains("006.png is cut off"),
        "{}",
        done.told
    );
    for (policy, n) in [("repeat", 8), ("skip", 6)] {
        let more = ["--on-damage", policy, "--output-video-encoder", "ffv1"];
        let done = b.run(&pattern, "seq.mkv", &more);
        assert_eq!(done.code, Some(3), "{}", done.told);
        let sums = frame_sums(&done.output);
        assert_eq!(sums.len(), n);
        assert!(policy == "skip" || (sums[1] == sums[2] && sums[4] == sums[5]), "{sums:?}");
        assert_eq!(done.report["damage"].as_array().map(Vec::len), Some(2));
    }
}

fn odd_names(b: &Bench) {
    let names: [&[u8]; 6] = [
        b"-dash name; rm -rf $HOME.mp4",
        b"new\nline.mp4",
        b"%d%05d pattern.mp4",
        b"%05d.mp4",
        b"bad\xff.mp4",
        "\u{fc}n\u{ef} \u{1f3ac}.mp4".as_bytes(),
    ];
    fs::create_dir(b.path("o")).expect("made");
    for name in names {
        let name = OsStr::from_bytes(name);
        fs::copy(&b.base, b.path(name)).expect("copied");
        let output = b.path("o").join(name);
        let (code, told, _) = pass_through(&b.path(name), &output, &["--output-video-encoder", "libx264"]);
        assert_eq!(code, Some(0), "{}: {told}", name.display());
        assert!(output.is_file(), "{}", name.display());
    }
}

fn no_files(b: &Bench) {
    std::os::unix::fs::symlink("/etc/passwd", b.path("link.mp4")).expect("linked");
    let fifo = std::ffi::CString::new(b.path("fifo.mp4").as_os_str().as_bytes()).expect("no zero");
    // SAFETY: makes a named pipe from a valid string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    fs::create_dir(b.path("dir.mp4")).expect("made");
    for (name, words) in [("link.mp4", "not a video"), ("fifo.mp4", "a pipe"), ("dir.mp4", "no video")] {
        b.refused(&b.path(name), 1, words);
    }
    let same = b.run(&b.base, "no/such/folder.mp4", &[]);
    assert!(same.code == Some(2) && same.told.contains("missing"), "{}", same.told);
    let (code, told, _) = pass_through(&b.base, &b.base, &[]);
    assert!(code == Some(2) && told.contains("is the input itself"), "{told}");
    let (code, told, _) = pass_through(&b.base, Path::new("/proc/out.mp4"), &[]);
    assert!(code == Some(1), "{told}");
}

fn playlists(b: &Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("set");
    let url = format!("http://{}/x.ts", listener.local_addr().expect("an address"));
    let secret = b.make("secret.ts", "-i base.mp4 -c copy -f mpegts");
    for (name, entry) in [("file", format!("file://{}", secret.display())), ("net", url)] {
        let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{entry}\n#EXT-X-ENDLIST\n");
        let concat = format!("ffconcat version 1.0\nfile '{entry}'\n");
        for (ending, text) in [("m3u8", &hls), ("mp4", &hls), ("ffconcat", &concat), ("mkv", &concat)] {
            b.refused(&b.write(&format!("{name}.{ending}"), text.as_bytes()), 1, "playlist");
        }
    }
    assert!(listener.accept().is_err(), "somebody asked the network");
}

type Row = (&'static str, fn(&Bench));

/// The rows of the table that are driven here, with what drives them. Rows 29 to 35 are about resuming, disks and
/// networks and have tests of their own.
const ROWS: [Row; 30] = [
    ("1, 2, 4", empty_and_unfinished),
    ("3", cut_in_half),
    ("5", torn_in_the_middle),
    ("6", noisy_and_dropped),
    ("7", no_videos),
    ("8", lying_tables),
    ("9", nothing_for_eight_gigabytes),
    ("10", variable_rate),
    ("11", odd_starts),
    ("12", late_and_long_sound),
    ("12b", overlapping_sound),
    ("12c", containers_that_refuse),
    ("12d", joined_recordings),
    ("13", odd_rates),
    ("14", odd_sizes),
    ("15", tiny_sizes),
    ("16", rotated),
    ("17", wide_pixels),
    ("18", size_changes),
    ("19", depths_and_colours),
    ("20", interlaced),
    ("21", transparent),
    ("22", gray_and_rgb),
    ("23", other_tracks),
    ("23b", two_pictures),
    ("24", streams_and_animations),
    ("25", too_large),
    ("26", holes_in_a_sequence),
    ("27", odd_names),
    ("28", no_files),
];

#[test]
fn every_fault_gives_what_the_table_says() {
    if !has_ffmpeg() {
        return;
    }
    let rows = ROWS.into_iter().chain([("36", playlists as fn(&Bench))]);
    let mut failed = Vec::new();
    let mut n = 0;
    for (row, drive) in rows {
        n += 1;
        let bench = Bench::new();
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drive(&bench))).is_err() {
            failed.push(row);
        }
    }
    println!("fault table: {} of {n} groups of rows hold", n - failed.len());
    assert!(failed.is_empty(), "rows {failed:?} fail");
}
