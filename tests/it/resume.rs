//! Runs that are killed, stopped, starved and disturbed: what is left, and that the next one gives what one undisturbed
//! run gives, byte by byte.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use faceswap::resume::Journal;

use crate::media::{has_ffmpeg, make, names};

/// Frames of a segment in these tests.
const SEGMENT: u64 = 20;
const BINARY: &str = env!("CARGO_BIN_EXE_faceswap");

/// A folder with a clip of 400 small frames with sound, and what one undisturbed run makes of it.
struct Stage {
    dir: tempfile::TempDir,
    input: PathBuf,
    output: PathBuf,
    whole: Vec<u8>,
}

impl Stage {
    fn new() -> Option<Self> {
        if !has_ffmpeg() {
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let source =
            "-f lavfi -i testsrc2=size=320x180:rate=30000/1001:duration=13.34 -f lavfi -i sine=duration=13";
        let input = make(
            dir.path(),
            "in.mp4",
            &format!("{source} -c:v libx264 -preset ultrafast -g 60 -bf 2 -pix_fmt yuv420p -c:a aac"),
        );
        let stage = Self { input, output: dir.path().join("out.mp4"), whole: Vec::new(), dir };
        let out = stage.command(&[]).output().expect("starts");
        assert!(out.status.success(), "{}", told(&out));
        let whole = fs::read(&stage.output).expect("there");
        fs::remove_file(&stage.output).expect("removed");
        assert_eq!(names(stage.dir.path()), ["in.mp4"], "a whole output leaves nothing else");
        Some(Self { whole, ..stage })
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg(&self.input).arg("-o").arg(&self.output).args([
            "--identity",
            "none",
            "--progress",
            "plain",
        ]);
        command.args(["--segment-frames", &SEGMENT.to_string()]).args(more);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn run(&self, more: &[&str]) -> Output {
        self.command(more).output().expect("starts")
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join(".out.mp4.faceswap")
    }

    /// The journal, which can always be read; `None` when there is none yet.
    fn journal(&self) -> Option<Journal> {
        Journal::load(&self.work().join("journal")).expect("the journal can always be read")
    }

    /// Starts a run and waits until `n` segments are whole.
    fn start(&self, n: usize) -> Child {
        let child = self.command(&[]).spawn().expect("starts");
        let start = Instant::now();
        while self.journal().is_none_or(|journal| journal.segments.len() < n) {
            assert!(start.elapsed() < Duration::from_mins(2), "no segments come");
            assert!(!self.output.exists(), "the run is over before it was disturbed");
            sleep(Duration::from_millis(2));
        }
        child
    }

    /// Leaves a run behind that was killed with at least `n` whole segments.
    fn kill(&self, n: usize) {
        let mut child = self.start(n);
        child.kill().expect("killed");
        child.wait().expect("waited for");
        assert!(!self.output.exists());
    }

    /// The same command goes on, and gives what one run gives.
    fn goes_on(&self) {
        let n_kept = self.journal().map_or(0, |journal| journal.n_frames());
        let out = self.run(&[]);
        assert!(out.status.success(), "{}", told(&out));
        assert!(n_kept == 0 || told(&out).contains(&format!("{n_kept} frames are done")), "{}", told(&out));
        self.is_whole();
    }

    fn is_whole(&self) {
        assert!(
            fs::read(&self.output).expect("there") == self.whole,
            "another file than without a disturbance"
        );
        assert!(!self.work().exists(), "the work is cleared away");
        fs::remove_file(&self.output).expect("removed");
    }
}

fn told(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(done.expect("kill runs").success());
}

#[test]
fn killed_at_random_moments_nothing_is_lost() {
    let Some(stage) = Stage::new() else { return };
    let start = Instant::now();
    stage.goes_on();
    let usual = start.elapsed();
    let (mut n_killed, mut seed) = (0, 20_261_121_u64);
    while n_killed < 16 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = stage.command(&[]).spawn().expect("starts");
        sleep(usual.mul_f64((seed >> 40) as f64 / f64::from(1 << 24)));
        child.kill().expect("killed");
        n_killed += u32::from(!child.wait().expect("waited for").success());
        let n_frames = stage.journal().map_or(0, |journal| journal.n_frames());
        assert!(n_frames.is_multiple_of(SEGMENT) || n_frames == 400, "{n_frames} frames are kept");
        if stage.output.exists() {
            let whole = fs::read(&stage.output).expect("there") == stage.whole;
            assert!(whole, "a file under its final name is whole");
            fs::remove_file(&stage.output).expect("removed");
        }
    }
    stage.goes_on();
}

#[test]
fn the_first_signal_ends_a_segment_and_the_second_leaves_at_once() {
    let Some(stage) = Stage::new() else { return };
    for (n, name) in [(2, "INT"), (5, "TERM")] {
        let child = stage.start(n);
        signal(&child, name);
        let out = child.wait_with_output().expect("waited for");
        assert_eq!(out.status.code(), Some(130), "{}", told(&out));
        let kept = stage.journal().expect("a journal").n_frames();
        assert!(kept.is_multiple_of(SEGMENT) && kept >= n as u64 * SEGMENT, "{kept}");
        assert!(told(&out).contains(&format!("{kept} frames are kept")), "{}", told(&out));
        assert!(!stage.output.exists() && stage.work().exists());
    }
    stage.goes_on();
    let child = stage.start(3);
    signal(&child, "INT");
    signal(&child, "INT");
    let out = child.wait_with_output().expect("waited for");
    assert_eq!(out.status.code(), Some(130), "{}", told(&out));
    stage.goes_on();
}

#[test]
fn the_second_run_on_a_job_is_refused() {
    let Some(stage) = Stage::new() else { return };
    let mut first = stage.start(1);
    signal(&first, "STOP");
    let second = stage.run(&[]);
    assert_eq!(second.status.code(), Some(4), "{}", told(&second));
    assert!(told(&second).contains(&format!("process {} ", first.id())), "{}", told(&second));
    first.kill().expect("killed");
    first.wait().expect("waited for");
    stage.goes_on();
}

#[test]
fn another_job_is_told_apart() {
    let Some(stage) = Stage::new() else { return };
    stage.kill(3);
    let out = stage.run(&["--output-video-quality", "40"]);
    assert_eq!(out.status.code(), Some(2), "{}", told(&out));
    for words in ["encode.quality was null, is 40", "--no-resume"] {
        assert!(told(&out).contains(words), "{}", told(&out));
    }
    let kept = stage.journal().expect("nothing is lost").n_frames();
    assert!(kept >= 3 * SEGMENT, "{kept}");
    let out = stage.run(&["--no-resume"]);
    assert!(out.status.success() && !told(&out).contains("frames are done"), "{}", told(&out));
    stage.is_whole();
}

#[test]
fn damaged_parts_are_done_again_and_a_damaged_journal_is_told() {
    let Some(stage) = Stage::new() else { return };
    let flip = |name: &str| {
        let path = stage.work().join(name);
        let mut bytes = fs::read(&path).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 16;
        fs::write(&path, bytes).expect("written");
    };
    stage.kill(8);
    flip("000003.segment");
    flip("000005.segment");
    fs::write(stage.work().join("000000.segment"), b"").expect("written");
    let out = stage.run(&[]);
    assert!(out.status.success(), "{}", told(&out));
    for name in ["000000.segment", "000003.segment", "000005.segment"] {
        assert!(told(&out).contains(name), "{}", told(&out));
    }
    stage.is_whole();

    stage.kill(2);
    flip("journal");
    let out = stage.run(&[]);
    assert_eq!(out.status.code(), Some(1), "{}", told(&out));
    for words in ["journal", "checksum", "--no-resume"] {
        assert!(told(&out).contains(words), "{}", told(&out));
    }
    assert!(stage.work().join("000001.segment").exists(), "nothing is thrown away unasked");
    assert!(stage.run(&["--no-resume"]).status.success());
    stage.is_whole();
}

/// Runs the program with files of at most `blocks` times 512 bytes.
fn starved(stage: &Stage, blocks: usize) -> Output {
    let command = stage.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\""), BINARY]).args(command.get_args());
    shell.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("starts")
}

#[test]
fn a_run_without_memory_ends_and_goes_on_later() {
    let Some(stage) = Stage::new() else { return };
    let mut n_failed = 0;
    // From too little to begin with to enough, kilobytes of address space.
    for kilobytes in (200_000..=1_000_000).step_by(100_000) {
        let command = stage.command(&[]);
        let mut shell = Command::new("timeout");
        let limited = format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\"");
        shell.args(["60", "sh", "-c", &limited, BINARY]).args(command.get_args());
        let out = shell.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("starts");
        if out.status.success() {
            stage.is_whole();
            break;
        }
        // 127: not even the libraries could be loaded.
        assert!(
            matches!(out.status.code(), Some(1 | 127)),
            "{kilobytes} kB: {:?} {}",
            out.status,
            told(&out)
        );
        assert!(!told(&out).is_empty() && !stage.output.exists(), "{kilobytes} kB");
        n_failed += u32::from(out.status.code() == Some(1));
        stage.journal();
    }
    assert!(n_failed > 0, "memory was never short");
    let done = stage.run(&[]);
    assert!(done.status.success(), "{}", told(&done));
    stage.is_whole();
}

#[test]
fn a_full_disk_stops_a_run_that_goes_on_later() {
    let Some(stage) = Stage::new() else { return };
    let source = fs::read(&stage.input).expect("there");
    // Too little for the first segment, and enough for each of them but not for the whole.
    let whole_blocks = stage.whole.len() / 512;
    for blocks in [2, whole_blocks / 2] {
        let out = starved(&stage, blocks);
        assert_eq!(out.status.code(), Some(1), "{blocks} blocks: {}", told(&out));
        assert!(told(&out).contains("File too large") && told(&out).contains("out.mp4"), "{}", told(&out));
        assert!(!stage.output.exists(), "nothing has the final name");
    }
    assert_eq!(stage.journal().expect("all but the join is done").n_frames(), 400);
    stage.goes_on();
    assert!(fs::read(&stage.input).expect("there") == source, "the source is untouched");

    let disk = stage.dir.path().join("disk");
    fs::create_dir(&disk).expect("made");
    let mount = |size: &str| {
        let options = format!("{size},size={}", stage.whole.len() * 3 / 2);
        Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&disk).output()
    };
    if !mount("mode=700").is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: a small disk needs the right to mount one");
        return;
    }
    let small = Stage {
        output: disk.join("out.mp4"),
        whole: stage.whole.clone(),
        input: stage.input.clone(),
        ..stage
    };
    let out = small.run(&[]);
    let grown = Command::new("mount").args(["-o", "remount,size=100m"]).arg(&disk).status();
    let left = names(&disk);
    let again = small.run(&[]);
    let same = fs::read(&small.output).is_ok_and(|bytes| bytes == small.whole);
    let unmounted = Command::new("umount").arg(&disk).status();
    assert_eq!(out.status.code(), Some(1), "{}", told(&out));
    assert!(told(&out).contains("No space left") && told(&out).contains("out.mp4"), "{}", told(&out));
    assert_eq!(left, [".out.mp4.faceswap"]);
    assert!(grown.is_ok_and(|s| s.success()) && unmounted.is_ok_and(|s| s.success()));
    assert!(again.status.success() && same, "{}", told(&again));
}

#[test]
fn files_are_on_the_disk_before_they_get_their_names() {
    let Some(stage) = Stage::new() else { return };
    let trace = stage.dir.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o"]).arg(&trace);
    let traced = command.arg(BINARY).args(stage.command(&[]).get_args()).output();
    if !traced.is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: this test needs strace");
        return;
    }
    let lines = fs::read_to_string(&trace).expect("a trace");
    // What was done to which file, in order.
    let steps: Vec<(&str, String)> = lines
        .lines()
        .filter_map(|line| {
            let call = line.split_whitespace().nth(1)?;
            let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
            if call.starts_with("fsync(") {
                Some(("fsync", name(line.split_once('<')?.1.split_once('>')?.0)))
            } else if call.starts_with("rename") {
                Some(("rename", name(line.split('"').nth(1)?)))
            } else {
                None
            }
        })
        .collect();
    let folder = stage.dir.path().file_name().expect("a name").to_string_lossy().into_owned();
    let mut n_renamed = 0;
    for (i, (call, name)) in steps.iter().enumerate().filter(|(_, (call, _))| *call == "rename") {
        let holder = if name == "journal.new" { ".out.mp4.faceswap" } else { &folder };
        assert!(
            steps[..i].contains(&("fsync", name.clone())),
            "{call} of {name} before it was synced: {steps:?}"
        );
        assert_eq!(steps[i + 1], ("fsync", holder.into()), "after the {call} of {name}");
        n_renamed += 1;
    }
    // 20 segments, the end of the clip, and the output.
    assert_eq!(n_renamed, 400 / SEGMENT + 2);
    for n in 0..400 / SEGMENT {
        let segment = steps.iter().position(|step| *step == ("fsync", format!("{n:06}.segment")));
        let noted = steps.iter().enumerate().filter(|(_, step)| *step == &("rename", "journal.new".into()));
        let noted = noted.map(|(i, _)| i).nth(n as usize);
        assert!(segment.is_some() && segment < noted, "segment {n} is noted before it is on the disk");
    }
}

#[test]
fn a_swap_goes_on_with_the_same_faces() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo.mp4");
    let cut = "-frames:v 66 -an -vf scale=480:270 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let input = make(dir.path(), "in.mp4", &format!("-i {} {cut}", demo.display()));
    let swap = |output: &Path| {
        let mut command = Command::new(BINARY);
        command.arg(&input).arg("-o").arg(output).args(["-i", "B", "--faces", "largest", "--quiet"]);
        command.args(["--segment-frames", "11", "--output-video-preset", "ultrafast"]);
        command
    };
    let (whole, output) = (dir.path().join("whole.mp4"), dir.path().join("out.mp4"));
    assert!(swap(&whole).status().expect("starts").success());
    let journal = dir.path().join(".out.mp4.faceswap/journal");
    for n in [2, 4, 5] {
        let mut child = swap(&output).spawn().expect("starts");
        while Journal::load(&journal).expect("readable").is_none_or(|journal| journal.segments.len() < n) {
            assert!(child.try_wait().expect("asked").is_none(), "it ended before it was killed");
            sleep(Duration::from_millis(5));
        }
        child.kill().expect("killed");
        child.wait().expect("waited for");
    }
    assert!(swap(&output).status().expect("starts").success());
    assert!(fs::read(&whole).expect("there") == fs::read(&output).expect("there"), "the files differ");
}

#[test]
fn a_folder_job_does_only_what_is_missing() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir(&input).expect("made");
    let clip = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p";
    for name in ["a.mp4", "b.mp4", "c.mkv"] {
        make(&input, name, clip);
    }
    let run = |more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg(&input).arg("-o").arg(&output).args(["--identity", "none"]).args(more);
        let out = command.output().expect("starts");
        (out.status.code(), told(&out))
    };
    let made = |name: &str| fs::metadata(output.join(name)).and_then(|m| m.modified()).expect("there");
    let alone = |told: &str| told.matches("was there").count();
    let (code, first) = run(&["--jobs", "2"]);
    assert_eq!((code, alone(&first)), (Some(0), 0), "{first}");
    let times = ["a.mp4", "b.mp4", "c.mkv"].map(made);
    let (code, second) = run(&[]);
    assert_eq!((code, alone(&second)), (Some(0), 3), "{second}");
    assert_eq!(["a.mp4", "b.mp4", "c.mkv"].map(made), times, "left alone");

    // One is gone and one was made of something else: the first is made, the second needs the word.
    fs::remove_file(output.join("a.mp4")).expect("removed");
    make(&input, "b.mp4", &clip.replace("duration=1", "duration=2"));
    let (code, told) = run(&["--jobs", "3"]);
    assert_eq!((code, alone(&told)), (Some(1), 1), "{told}");
    assert!(told.contains("b.mp4") && told.contains("--overwrite"), "{told}");
    assert_eq!((made("b.mp4"), made("c.mkv")), (times[1], times[2]));
    assert!(made("a.mp4") > times[0]);
    let (code, told) = run(&["--overwrite"]);
    assert_eq!((code, alone(&told)), (Some(0), 2), "{told}");
    assert!(made("b.mp4") > times[1]);
    let (code, told) = run(&["--overwrite", "--output-video-quality", "70"]);
    assert_eq!((code, alone(&told)), (Some(0), 0), "{told}");
    let left = names(&output);
    assert_eq!(left, [".faceswap", "a.mp4", "b.mp4", "c.mkv"]);
}
