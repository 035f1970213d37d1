//! The binary as a user runs it: outputs, exit codes, messages, and what is left behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo.mp4");

fn faceswap(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faceswap")).args(args).output().expect("the binary starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// The first `n_frames` frames of the demo, with its sound, the packets untouched.
fn clip(dir: &Path, name: &str, n_frames: u32) -> PathBuf {
    let path = dir.join(name);
    let n = n_frames.to_string();
    ffmpeg(&[
        "-i",
        DEMO,
        "-frames:v",
        &n,
        "-t",
        &(f64::from(n_frames) / 25.0).to_string(),
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        "12",
        "-c:a",
        "copy",
        text(&path),
    ]);
    path
}

fn ffmpeg(args: &[&str]) {
    let out = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).output().expect("ffmpeg starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// What ffprobe says of every packet of one kind (`v` or `a`).
fn packets(path: &Path, kind: &str, fields: &str) -> String {
    let entries = format!("packet={fields}");
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", kind, "-show_entries", &entries, "-show_data_hash", "md5"])
        .args(["-of", "csv", text(path)])
        .output()
        .expect("ffprobe starts");
    assert!(out.status.success());
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_video_keeps_its_frames_times_and_sound() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (clip(dir.path(), "in.mp4", 12), dir.path().join("in_B.mp4"));
    let out = faceswap(&[text(&input), "--identity", "B", "--progress", "json"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(sorted(&packets(&input, "v", "pts,duration")), sorted(&packets(&output, "v", "pts,duration")));
    assert_eq!(
        packets(&input, "a", "pts,dts,duration,size,data_hash"),
        packets(&output, "a", "pts,dts,duration,size,data_hash")
    );
    let done = String::from_utf8_lossy(&out.stdout).lines().last().map(str::to_owned).expect("a last line");
    let done: serde_json::Value = serde_json::from_str(&done).expect("JSON lines");
    assert_eq!(done["event"], "done");
    assert_eq!(done["report"]["frames"]["decoded"], 12);
    assert_eq!(done["report"]["frames"]["written"], 12);
    assert_eq!(done["report"]["frames"]["swapped"], 12);
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format_tags=comment", "-of", "csv=p=0", text(&output)])
        .output()
        .expect("ffprobe starts");
    assert!(String::from_utf8_lossy(&probed.stdout).contains("AI-generated face"), "{probed:?}");
    let (before, after) = (first_frame(&input), first_frame(&output));
    assert_eq!(before.dimensions(), after.dimensions());
    let change = |x: u32, y: u32| {
        let (a, b) = (before.get_pixel(x, y).0, after.get_pixel(x, y).0);
        a.iter().zip(b).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0)
    };
    let n_changed = before.enumerate_pixels().filter(|(x, y, _)| change(*x, *y) > 24).count();
    assert!(n_changed > 2000, "{n_changed} pixels changed: the face is not new");
    assert!((0..1280).all(|x| change(x, 700) < 24), "the jumper is not a face");
}

#[test]
fn every_output_says_that_its_face_is_generated_or_that_it_cannot() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let input = clip(dir.path(), "in.mp4", 2);
    let pictures = dir.path().join("in");
    fs::create_dir(&pictures).expect("created");
    ffmpeg(&["-i", text(&input), text(&pictures.join("%03d.png"))]);
    let numbered = pictures.join("%03d.png");
    for (from, to, has_room) in [
        (&numbered, "a.mp4", true),
        (&numbered, "a.mkv", true),
        (&input, "a.ts", true),
        (&input, "a.avi", true),
        (&input, "a.gif", false),
        (&numbered, "out/%02d.png", true),
        (&numbered, "out/%02d.tif", false),
    ] {
        let output = dir.path().join(to);
        let out = faceswap(&[
            text(from),
            "-i",
            "B",
            "-o",
            text(&output),
            "--progress",
            "json",
            "--on-unsupported",
            "drop",
        ]);
        let told = [out.stdout, out.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(out.status.success(), "{to}: {told}");
        let file = dir.path().join(to.replace("%02d", "01"));
        let bytes = fs::read(&file).expect("written");
        assert_eq!(bytes.windows(17).any(|w| w == b"AI-generated face"), has_room, "{to}");
        assert_eq!(told.contains("no room for the label"), !has_room, "{to}: {told}");
    }
}

#[test]
fn a_run_under_nohup_ignores_the_end_of_its_terminal() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let input = clip(dir.path(), "in.mp4", 12);
    let script = format!(
        "trap '' HUP; exec '{}' '{}' -i B -q -o '{}'",
        env!("CARGO_BIN_EXE_faceswap"),
        text(&input),
        text(&dir.path().join("out.mp4"))
    );
    let mut child = Command::new("sh").args(["-c", &script]).spawn().expect("sh starts");
    let mask = |name: &str| {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned();
        u64::from_str_radix(&line, 16).ok()
    };
    let [hangup, terminate] = [1_u64, 15].map(|signal| 1 << (signal - 1));
    // When it listens to one signal it has decided on the others.
    let listens = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        mask("SigCgt:").is_some_and(|caught| caught & terminate != 0)
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    let ignored = mask("SigIgn:");
    child.kill().expect("killed");
    child.wait().expect("waited for");
    assert!(listens && ignored.is_some_and(|ignored| ignored & hangup != 0), "{ignored:?}");
}

fn first_frame(path: &Path) -> image::RgbImage {
    let png = path.with_extension("first.png");
    ffmpeg(&["-i", text(path), "-frames:v", "1", text(&png)]);
    image::open(&png).expect("a picture").to_rgb8()
}

#[test]
fn a_folder_goes_on_after_a_failure_and_tells_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir(&input).expect("created");
    fs::write(input.join("a.mp4"), b"this is no video").expect("written");
    clip(&input, "b.mp4", 3);
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/face.png"), input.join("c.png")).expect("copied");
    let out = faceswap(&[text(&input), "-i", "B", "-o", text(&output)]);
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(told.contains("1 of 3 files failed") && told.contains("a.mp4"), "{told}");
    let mut names: Vec<_> =
        fs::read_dir(&output).expect("exists").map(|e| e.expect("entry").file_name()).collect();
    names.sort();
    assert_eq!(names, [".faceswap", "b.mp4", "c.png"], "the state of the job, and what was made");
    let (before, after) =
        (fs::read(input.join("c.png")).expect("read"), fs::read(output.join("c.png")).expect("read"));
    assert_ne!(before, after);
    assert!(after.windows(17).any(|w| w == b"AI-generated face"), "the picture isn't labelled");
}

#[test]
fn errors_are_clear_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| dir.path().join(name);
    fs::write(path("zero.mp4"), b"").expect("written");
    fs::write(path("text.mp4"), b"this is no video, whatever its name says").expect("written");
    fs::write(path("exists.mp4"), b"x").expect("written");
    fs::create_dir(path("dir.mp4")).expect("created");
    let whole = fs::read(DEMO).expect("read");
    fs::write(path("cut.mp4"), &whole[..whole.len() / 2 - 7]).expect("written");
    ffmpeg(&["-i", DEMO, "-vn", "-c:a", "copy", "-t", "1", text(&path("sound.m4a"))]);
    let out = text(&path("out.mp4")).to_owned();
    // What is given, the exit code, and what the message must say.
    let row = |args: &[&str], code: i32, words: &[&'static str]| {
        (args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), code, words.to_vec())
    };
    let name = |name: &str| text(&path(name)).to_owned();
    let table = [
        row(&[&name("none.mp4"), "-i", "B", "-o", &out], 1, &["none.mp4", "no such file"]),
        row(&[&name("zero.mp4"), "-i", "B", "-o", &out], 1, &["zero.mp4", "empty"]),
        row(&[&name("text.mp4"), "-i", "B", "-o", &out], 1, &["text.mp4"]),
        row(&[&name("dir.mp4"), "-i", "B", "-o", &out], 1, &["dir.mp4", "no video"]),
        row(&[&name("sound.m4a"), "-i", "B", "-o", &out], 1, &["sound.m4a", "no video"]),
        row(&[DEMO, "-i", "Zaphod", "-o", &out], 2, &["Zaphod", "A", "B"]),
        row(&[DEMO, "-i", "B", "-o", DEMO], 2, &["is the input itself"]),
        row(&[DEMO, "-i", "B", "-o", &name("exists.mp4")], 2, &["exists.mp4", "--overwrite"]),
        row(&[DEMO, "-i", "B", "-o", &name("no/out.mp4")], 2, &["missing"]),
        row(&[DEMO, "-i", "B", "-o", "/proc/out.mp4"], 1, &["/proc"]),
        row(&[DEMO, "-i", "B", "-o", &out, "--batch", "0"], 2, &["--batch = 0", "1 to 64"]),
        row(&[DEMO, "-i", "B", "-o", &out, "--onnxruntime", &name("no.so")], 1, &["no.so"]),
        row(&[DEMO, "-i", "B", "-o", &out, "--execution-providers", "cuda"], 1, &["cuda"]),
        row(&[DEMO, "-i", "B", "-o", &out, "--execution-providers", "abacus"], 2, &["abacus", "cpu"]),
        row(&[DEMO, "-i", "B", "-o", &out, "--output-video-encoder", "none264"], 2, &["none264"]),
    ];
    for (args, code, words) in table {
        let result = faceswap(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let told = String::from_utf8_lossy(&result.stderr).to_lowercase();
        assert_eq!(result.status.code(), Some(code), "{args:?}: {told}");
        for word in words {
            assert!(told.contains(&word.to_lowercase()), "{args:?} must say `{word}`: {told}");
        }
        assert!(!told.contains("panicked"), "{told}");
    }
    let mut left: Vec<_> = fs::read_dir(dir.path())
        .expect("exists")
        .map(|e| e.expect("entry").file_name().into_string().expect("UTF-8"))
        .collect();
    left.sort();
    assert_eq!(left, ["cut.mp4", "dir.mp4", "exists.mp4", "sound.m4a", "text.mp4", "zero.mp4"]);
    assert_eq!(fs::read(path("exists.mp4")).expect("read"), b"x");
}

#[test]
fn a_bundle_that_was_changed_or_has_no_consent_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/identities/B");
    let bundle = dir.path().join("X");
    let fresh = || {
        let _ = fs::remove_dir_all(&bundle);
        fs::create_dir(&bundle).expect("created");
        for entry in fs::read_dir(&shipped).expect("B is shipped") {
            let path = entry.expect("entry").path();
            fs::copy(&path, bundle.join(path.file_name().expect("a name"))).expect("copied");
        }
    };
    let told = || {
        let out = faceswap(&[DEMO, "-i", text(&bundle), "-o", text(&dir.path().join("out.mp4"))]);
        assert!(!out.status.success() && !dir.path().join("out.mp4").exists());
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };

    fresh();
    let network = bundle.join("decoder.onnx");
    let mut bytes = fs::read(&network).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&network, bytes).expect("written");
    let (code, message) = told();
    assert!(
        code == Some(1) && message.contains("decoder.onnx") && message.contains("sha256"),
        "{code:?} {message}"
    );

    fresh();
    let manifest = fs::read_to_string(bundle.join("identity.toml")).expect("read");
    let start = manifest.find("[consent]").expect("a consent record");
    let end = manifest[start + 1..].find("\n[").map_or(manifest.len(), |i| start + 1 + i);
    fs::write(bundle.join("identity.toml"), format!("{}{}", &manifest[..start], &manifest[end..]))
        .expect("written");
    let (code, message) = told();
    assert!(
        code == Some(4) && message.contains("consent") && message.contains("basis"),
        "{code:?} {message}"
    );
}

#[test]
fn a_crash_of_a_library_is_a_message_that_names_the_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let output = dir.path().join("out.mp4");
    let mut child = Command::new(env!("CARGO_BIN_EXE_faceswap"))
        .args([DEMO, "-i", "B", "--progress", "plain", "-o", text(&output)])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    // In the middle of the work: its folder is there.
    let begun = || fs::read_dir(dir.path()).expect("a folder").next().is_some();
    while !begun() && child.try_wait().expect("a child").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let sent = Command::new("kill").args(["-SEGV", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let out = child.wait_with_output().expect("ends");
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(told.contains("a library crashed while working on") && told.contains(DEMO), "{told}");
    assert!(!output.exists());
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_length() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let peak_kb = |n_frames: u32| {
        let input = dir.path().join(format!("{n_frames}.mp4"));
        ffmpeg(&[
            "-stream_loop",
            "-1",
            "-i",
            DEMO,
            "-frames:v",
            &n_frames.to_string(),
            "-an",
            "-vf",
            "scale=1920:1080",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            text(&input),
        ]);
        let output = dir.path().join("out.mp4");
        let script = r#""$0" "$@" & pid=$!
            while kill -0 $pid 2>/dev/null; do
                kb=$(awk '/VmHWM/ {print $2}' /proc/$pid/status 2>/dev/null); peak=${kb:-$peak}; sleep 0.05
            done
            wait $pid && echo $peak"#;
        let out = Command::new("sh")
            .args([
                "-c",
                script,
                env!("CARGO_BIN_EXE_faceswap"),
                text(&input),
                "-i",
                "B",
                "--quiet",
                "--overwrite",
            ])
            .args(["--output-video-preset", "ultrafast", "-o", text(&output)])
            .output()
            .expect("sh starts");
        let kb: f64 = String::from_utf8_lossy(&out.stdout).trim().parse().expect("a number of kB");
        kb
    };
    let (short, long) = (peak_kb(25), peak_kb(100));
    assert!(long < 1e6, "{long} kB is over a gigabyte");
    assert!(long < short * 1.15, "{short} kB for 25 frames, {long} kB for 100");
}
