//! Numbered pictures as output: they go on after an interruption, and have the numbers of the input's.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use faceswap::resume::Journal;

use crate::media::{has_ffmpeg, make, names};

const BINARY: &str = env!("CARGO_BIN_EXE_faceswap");

fn told(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// A job from numbered pictures to numbered pictures.
struct Plates {
    dir: tempfile::TempDir,
    n: usize,
}

impl Plates {
    fn new(n: usize) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let source = "-f lavfi -i testsrc2=size=64x48:rate=25 -vf noise=alls=40:allf=t";
        let source = format!("{source} -frames:v {n} -start_number 1001");
        fs::create_dir(dir.path().join("in")).expect("made");
        make(&dir.path().join("in"), "plate.%04d.png", &source);
        Self { dir, n }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg(self.dir.path().join("in/plate.%04d.png"));
        command.arg("-o").arg(self.dir.path().join("out/new.%04d.png"));
        command.args(["--identity", "none", "--progress", "plain", "--segment-frames", "8"]).args(more);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn picture(&self, n: usize) -> PathBuf {
        self.dir.path().join(format!("out/new.{n:04}.png"))
    }

    /// Bytes of all pictures, whose numbers begin with `first`; nothing else is there.
    fn all(&self, first: usize) -> Vec<Vec<u8>> {
        let wanted: Vec<String> = (first..first + self.n).map(|n| format!("new.{n:04}.png")).collect();
        assert_eq!(names(&self.dir.path().join("out")), wanted);
        (first..first + self.n).map(|n| fs::read(self.picture(n)).expect("readable")).collect()
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("out/.new.%04d.png.faceswap/journal")
    }
}

#[test]
fn numbered_pictures_go_on_and_keep_their_numbers() {
    if !has_ffmpeg() {
        return;
    }
    let plates = Plates::new(300);
    assert!(plates.command(&[]).output().expect("starts").status.success());
    let whole = plates.all(1001);
    assert!(whole.iter().zip(&whole[1..]).all(|(a, b)| a != b), "each frame is another");

    // Pictures that are there are nobody's leave to replace them.
    let refused = plates.command(&[]).output().expect("starts");
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    fs::remove_dir_all(plates.dir.path().join("out")).expect("removed");

    let journal = || Journal::load(&plates.work()).expect("the journal can always be read");
    let mut child = plates.command(&[]).spawn().expect("starts");
    let start = Instant::now();
    while journal().is_none_or(|journal| journal.segments.len() < 4) {
        assert!(start.elapsed() < Duration::from_mins(2), "no segments come");
        sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    let kept = journal().expect("a journal").n_frames();
    assert!((32..300).contains(&kept), "the run was not interrupted: {kept} frames");

    // One that is done is gone, and one was cut: their segments are made again.
    fs::remove_file(plates.picture(1003)).expect("there");
    let cut = fs::OpenOptions::new().write(true).open(plates.picture(1020)).expect("there");
    cut.set_len(10).expect("cut");
    let out = plates.command(&[]).output().expect("starts");
    assert!(out.status.success(), "{}", told(&out));
    assert!(told(&out).contains(&format!("{kept} frames are done")), "{}", told(&out));
    assert_eq!(told(&out).matches("8 frames of it are gone or changed").count(), 2, "{}", told(&out));
    assert!(plates.all(1001) == whole, "other pictures than without a disturbance");

    // Another number for the first.
    fs::remove_dir_all(plates.dir.path().join("out")).expect("removed");
    let out = plates.command(&["--start-number", "7"]).output().expect("starts");
    assert!(out.status.success() && plates.all(7) == whole, "{}", told(&out));
}

#[test]
fn a_part_of_numbered_pictures_keeps_its_numbers() {
    if !has_ffmpeg() {
        return;
    }
    let plates = Plates { n: 10, ..Plates::new(40) };
    let part = ["--trim-frame-start", "20", "--trim-frame-end", "30"];
    let out = plates.command(&part).output().expect("starts");
    assert!(out.status.success(), "{}", told(&out));
    plates.all(1021);
    let video = Command::new(BINARY)
        .arg(plates.dir.path().join("in/plate.%04d.png"))
        .args(["-i", "none", "--start-number", "3", "-o"])
        .arg(plates.dir.path().join("out.mkv"))
        .output()
        .expect("starts");
    assert_eq!(video.status.code(), Some(2));
    assert!(told(&video).contains("numbered pictures"), "{}", told(&video));
}

#[test]
fn a_part_made_again_takes_nothing_with_it_and_a_hole_stays_one() {
    if !has_ffmpeg() {
        return;
    }
    let plates = Plates::new(12);
    let run = |more: &[&str]| {
        let out = plates.command(more).output().expect("starts");
        assert!(out.status.success() || out.status.code() == Some(3), "{}", told(&out));
    };
    run(&[]);
    let whole = plates.all(1001);
    run(&["--overwrite", "--trim-frame-start", "2", "--trim-frame-end", "4"]);
    assert!(plates.all(1001) == whole, "those behind the part are there");
    fs::remove_file(plates.dir.path().join("in/plate.1005.png")).expect("there");
    fs::remove_dir_all(plates.dir.path().join("out")).expect("there");
    run(&["--on-damage", "skip"]);
    for (n, wanted) in (1001..1013).zip(&whole) {
        let found = fs::read(plates.picture(n)).ok();
        assert!(found.as_ref() == Some(wanted).filter(|_| n != 1005), "picture {n}");
    }
}

#[test]
fn at_another_rate_numbers_follow_each_other() {
    if !has_ffmpeg() {
        return;
    }
    for (rate, n) in [("50", 12), ("12.5", 3)] {
        let plates = Plates { n, ..Plates::new(6) };
        let out = plates.command(&["--output-video-fps", rate]).output().expect("starts");
        assert!(out.status.success(), "{}", told(&out));
        plates.all(1001);
    }
}
