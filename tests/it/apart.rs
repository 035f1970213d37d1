//! Decoding in a process of its own: what comes from there is what comes from here, and its death is an error.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use faceswap::{
    frame::Frame,
    video::{DecodeSettings, Decoder, OnDamage, Source, SourceSettings, Trim},
};

use crate::media::{frame_sums, has_ffmpeg, make, names, pixels};

const BINARY: &str = env!("CARGO_BIN_EXE_faceswap");

fn here() -> DecodeSettings {
    DecodeSettings { threads: 2, ..Default::default() }
}

fn apart() -> DecodeSettings {
    DecodeSettings { program: Some(BINARY.into()), ..here() }
}

/// All that is to be known of a frame. Whether it is sure isn't: in a torn file that depends on which of the codec's threads
/// complains first.
fn facts(frame: &Frame) -> (u64, i64, i64, &'static str, Vec<u32>) {
    let picture = &frame.picture;
    (frame.idx, picture.pts(), picture.duration(), picture.pixel_format(), pixels(frame))
}

/// Decodes a clip in both ways, side by side.
fn both_agree(path: &Path, on_damage: OnDamage) {
    let open = |settings: DecodeSettings| {
        Decoder::open(path, &DecodeSettings { on_damage: Some(on_damage), ..settings }).expect("opens")
    };
    let (mut here, mut apart) = (open(here()), open(apart()));
    assert_eq!(here.probe(), apart.probe());
    let mut n_frames = 0;
    loop {
        match (here.next(), apart.next()) {
            (None, None) => break,
            (Some(Ok(a)), Some(Ok(b))) => {
                assert!(facts(&a) == facts(&b), "frame {n_frames} of {}", path.display());
            }
            (Some(Err(a)), Some(Err(b))) => assert_eq!(a.to_string(), b.to_string()),
            _ => panic!("{} is longer in one of both", path.display()),
        }
        n_frames += 1;
        assert_eq!((here.damage(), here.notes()), (apart.damage(), apart.notes()), "after {n_frames}");
    }
    assert_eq!(here.is_cut(), apart.is_cut());
    assert!(
        n_frames > if on_damage == OnDamage::Stop { 0 } else { 5 },
        "{n_frames} frames of {}, {on_damage:?}",
        path.display()
    );
}

#[test]
fn a_decoder_apart_gives_what_one_here_gives() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let clip = "-f lavfi -i testsrc2=size=70x46:rate=25:duration=1";
    for (name, how) in [
        ("b.mp4", "-c:v libx264 -bf 3 -g 12 -pix_fmt yuv420p"),
        (
            "ten.mkv",
            "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le -color_range pc -colorspace bt2020nc",
        ),
        ("alpha.mov", "-c:v prores_ks -pix_fmt yuva444p10le"),
        ("rgb.mkv", "-c:v ffv1 -pix_fmt gbrp"),
        ("grey.mkv", "-c:v ffv1 -pix_fmt gray"),
        ("a.gif", ""),
        ("vfr.mp4", "-vf select=lt(mod(n\\,10)\\,7) -fps_mode vfr -c:v libx264 -pix_fmt yuv420p"),
    ] {
        both_agree(&make(dir.path(), name, &format!("{clip} {how}")), OnDamage::Repeat);
    }
    let whole = fs::read(dir.path().join("b.mp4")).expect("there");
    let mut torn = whole.clone();
    // The index is at the end, the pictures before it.
    let middle = torn.len() / 2;
    torn[middle..middle + 100].fill(0x5a);
    fs::write(dir.path().join("torn.mp4"), torn).expect("written");
    for on_damage in [OnDamage::Repeat, OnDamage::Skip, OnDamage::Stop] {
        both_agree(&dir.path().join("torn.mp4"), on_damage);
    }
    let cut = make(dir.path(), "whole.ts", &format!("{clip} -c:v libx264 -g 6 -pix_fmt yuv420p"));
    let bytes = fs::read(&cut).expect("there");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("written");
    both_agree(&cut, OnDamage::Repeat);
}

#[test]
fn parts_of_a_clip_are_the_same_parts() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let clip = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=4 -c:v libx264 -g 24 -bf 3 -pix_fmt yuv420p";
    let input = make(dir.path(), "a.mp4", clip);
    let trim = Trim { start_frame: Some(61), end_frame: Some(70), ..Trim::default() };
    let settings = SourceSettings { trim, ..Default::default() };
    let mut parts = [here(), apart()].map(|decode| {
        let mut source = Source::open(&input, &decode, &settings).expect("opens");
        let mut frames = vec![source.next().expect("a frame").expect("decoded")];
        source.skip_to(4).expect("skips");
        frames.extend(source.by_ref().map(|frame| frame.expect("decoded")));
        let facts: Vec<_> = frames.iter().map(facts).collect();
        (source.cut(), source.n_skipped(), facts)
    });
    let (cut, n_skipped, frames) = parts[1].clone();
    assert_eq!((&parts[0].0, parts[0].1), (&cut, n_skipped));
    assert!(std::mem::take(&mut parts[0].2) == frames);
    assert_eq!(frames.len() as u64 + n_skipped, 9);
}

#[test]
fn errors_are_those_of_a_decoder_here() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("text.mp4"), "no video").expect("written");
    for name in ["text.mp4", "missing.mp4", "."] {
        let path = dir.path().join(name);
        let told = |settings| Decoder::open(&path, &settings).err().expect("no video").to_string();
        assert_eq!(told(apart()), told(here()), "{name}");
    }
    let nowhere = DecodeSettings { program: Some(dir.path().join("no such program")), ..here() };
    let error = Decoder::open(&dir.path().join("text.mp4"), &nowhere).err().expect("can't be started");
    assert!(error.to_string().contains("--no-sandbox"), "{error}");
    // A program that knows nothing of what it is asked for.
    let other = DecodeSettings { program: Some("/bin/true".into()), ..here() };
    assert!(Decoder::open(&dir.path().join("text.mp4"), &other).is_err());
}

/// A folder with a clip of 1500 frames.
fn stage() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let clip = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=50 -c:v libx264 -preset ultrafast -g 60";
    let input = make(dir.path(), "in.mp4", &format!("{clip} -pix_fmt yuv420p"));
    (dir, input)
}

fn start(input: &Path, output: &Path) -> Child {
    let mut command = Command::new(BINARY);
    command.args(["--identity", "none", "--segment-frames", "30", "-o"]).arg(output).arg(input);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
}

/// The process that decodes for `owner`, once there is one and something is done.
fn decoder_of(owner: &Child, work: &Path) -> String {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_mins(2), "no process decodes");
        let processes = fs::read_dir("/proc").expect("there").flatten().map(|entry| entry.path());
        let is_child = |process: &Path| {
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            // Behind the name, which may hold anything: state, parent.
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
            parent == Some(&owner.id().to_string())
        };
        if let Some(process) = processes.into_iter().find(|process| is_child(process))
            && fs::read_dir(work).is_ok_and(|entries| entries.count() > 3)
        {
            return process.file_name().expect("a number").to_string_lossy().into_owned();
        }
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_crash_of_the_decoder_is_an_error_and_the_same_command_goes_on() {
    if !has_ffmpeg() {
        return;
    }
    let (dir, input) = stage();
    let (output, work) = (dir.path().join("out.mp4"), dir.path().join(".out.mp4.faceswap"));
    let run = start(&input, &output);
    let decoder = decoder_of(&run, &work);
    // Not SIGSEGV: the standard library handles the first one and lets the next one kill, and two
    // that are sent at once may arrive as one.
    Command::new("kill").args(["-ABRT", &decoder]).status().expect("kill runs");
    let out = run.wait_with_output().expect("waited for");
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(told.contains("in.mp4") && told.contains("the decoder crashed (signal 6)"), "{told}");
    assert!(!output.exists() && work.exists());
    let out = start(&input, &output).wait_with_output().expect("waited for");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(frame_sums(&output).len(), 1500);
    assert_eq!(names(dir.path()), ["in.mp4", "out.mp4"]);
}

#[test]
fn the_decoder_ends_with_its_owner() {
    if !has_ffmpeg() {
        return;
    }
    let (dir, input) = stage();
    let mut run = start(&input, &dir.path().join("out.mp4"));
    let decoder = decoder_of(&run, &dir.path().join(".out.mp4.faceswap"));
    run.kill().expect("killed");
    run.wait().expect("waited for");
    let start = Instant::now();
    while Path::new("/proc").join(&decoder).exists() {
        assert!(start.elapsed() < Duration::from_mins(1), "process {decoder} goes on");
        sleep(Duration::from_millis(5));
    }
}
