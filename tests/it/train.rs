//! A training as a user starts it at night: killed, out of room, asked in JSON, given bad faces.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use faceswap::face_set::{FaceRecord, FaceSetHeader, FaceSetWriter};
use ndarray::{Array2, Array3};

const PROGRAM: &str = env!("CARGO_BIN_EXE_faceswap");

/// A set of `n` striped faces of `side_px` in one colour.
fn face_set(dir: &Path, n: usize, side_px: usize, colour: [f32; 3]) -> PathBuf {
    let mut set =
        FaceSetWriter::create(dir, &FaceSetHeader::new("mesh-inner-v1", 1.3, side_px)).expect("made");
    for frame in 0..n {
        let pixels = Array3::from_shape_fn((3, side_px, side_px), |(c, y, x)| {
            colour[c] * if (x + y + frame).is_multiple_of(5) { 0.7 } else { 1.0 }
        });
        let face = FaceRecord {
            pixels,
            target: None,
            mask: Array2::ones((side_px, side_px)),
            source: "clip.mp4".into(),
            frame: frame as u64,
            points: vec![[12.0, 12.0]; 478],
            presence: 1.0,
        };
        set.append(&face).expect("written");
    }
    set.finish().expect("written");
    dir.into()
}

/// A training of two people in seconds.
struct Night {
    dir: tempfile::TempDir,
}

impl Night {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        face_set(&dir.path().join("A"), 6, 40, [0.8, 0.5, 0.3]);
        face_set(&dir.path().join("B"), 6, 40, [0.3, 0.5, 0.8]);
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        let faces = |name: &str| format!("{name}={}", self.path(name).display());
        command.args(["train", "--preset", "tiny", "--batch", "2", "--threads", "1"]);
        command.args(["--faces", &faces("A"), "--faces", &faces("B")]);
        command.arg("-o").arg(self.path(out)).args(more);
        command
    }

    /// The networks of identity A as exported in full precision.
    fn networks(&self, training: &str) -> [Vec<u8>; 2] {
        let out = self.path(&format!("{training}.A"));
        let exported = Command::new(PROGRAM)
            .arg("export")
            .arg(self.path(training))
            .args(["-i", "A", "--subject", "nobody", "--consent", "synthetic", "--full-precision", "-o"])
            .arg(&out)
            .output()
            .expect("the program starts");
        assert!(exported.status.success(), "{}", said(&exported));
        ["encoder.onnx", "decoder.onnx"].map(|file| fs::read(out.join(file)).expect("exported"))
    }

    fn newest(&self, training: &str) -> u64 {
        let folder = fs::read_dir(self.path(training).join("checkpoints"));
        let step = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        folder.into_iter().flatten().filter_map(step).max().unwrap_or(0)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_training_that_is_killed_at_any_moment_goes_on_to_the_same_weights() {
    const LEVELS: [&str; 2] = ["--levels", "16:150,32:150"];
    let night = Night::new();
    let whole = night.command("whole", &LEVELS).output().expect("the program starts");
    assert!(whole.status.success(), "{}", said(&whole));

    let mut random = 0x9e37_79b9_u32;
    for _ in 0..5 {
        let before = night.newest("killed");
        let more = [&LEVELS[..], &["--save-every", "0.03s", "-q"]].concat();
        let mut child =
            night.command("killed", &more).stderr(Stdio::null()).spawn().expect("the program starts");
        let start = Instant::now();
        while night.newest("killed") == before && start.elapsed() < Duration::from_mins(2) {
            sleep(Duration::from_millis(2));
        }
        // Some moment in the steps and checkpoints that follow.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        sleep(Duration::from_millis(u64::from(random >> 16) % 60));
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(night.newest("killed") > before, "nothing was saved");
    }
    let last = night.command("killed", &LEVELS).output().expect("the program starts");
    assert!(last.status.success() && said(&last).contains("going on from step"), "{}", said(&last));
    assert_eq!((night.newest("whole"), night.newest("killed")), (300, 300));
    assert!(night.networks("whole") == night.networks("killed"), "the weights differ");
}

#[test]
fn an_identity_is_exported_small_and_what_is_missing_is_said() {
    let night = Night::new();
    let trained = night.command("out", &["--levels", "16:4"]).output().expect("the program starts");
    assert!(trained.status.success(), "{}", said(&trained));
    let export = |from: &str, out: &str, more: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("export").arg(night.path(from)).arg("-o").arg(night.path(out)).args(more);
        command.output().expect("the program starts")
    };
    let consent = ["-i", "A", "--subject", "nobody", "--consent", "synthetic"];
    let with = |more: &[&'static str]| [&consent[..], more].concat();
    for (more, wanted) in [
        (consent[2..].to_vec(), "--identity"),
        ([&consent[..2], &consent[4..]].concat(), "--subject"),
        (consent[..4].to_vec(), "--consent"),
        (with(&["--precision", "int9"]), "must be fp32, fp16 or int8"),
        (with(&["--precision", "int8"]), "--calibrate"),
        (with(&["--prune", "2"]), "0 to 0.9"),
    ] {
        let refused = export("out", "kept/A", &more);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(wanted), "{}", said(&refused));
    }
    let exported = export("out", "kept/A", &consent);
    assert!(exported.status.success(), "{}", said(&exported));
    let refused = export("kept/A", "kept/A.fp32", &["--subject", "somebody else"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("keeps what it says"), "{}", said(&refused));

    // Of the bundle, and of the training: the same numbers.
    let faces = night.path("B").display().to_string();
    let int8 = ["--precision", "int8", "--calibrate", &faces, "--held-out", &faces];
    let copied = export("kept/A", "kept/A.int8", &int8);
    assert!(copied.status.success(), "{}", said(&copied));
    let told = String::from_utf8_lossy(&copied.stdout).into_owned();
    assert!(told.starts_with("A.int8") && told.contains("int8 of A"), "{told}");
    assert!(told.contains("| fp32 |") && told.contains("| fp16 |") && told.contains("| int8 |"), "{told}");
    let direct = export("out", "kept/direct", &[&consent[..], &int8].concat());
    assert!(direct.status.success(), "{}", said(&direct));
    let text = |out: &str| fs::read_to_string(night.path(out).join("identity.toml")).expect("written");
    for out in ["kept/A.int8", "kept/direct"] {
        let manifest = text(out);
        assert!(
            manifest.contains("precision = \"int8\"") && manifest.contains("subject = \"nobody\""),
            "{manifest}"
        );
    }
}

#[test]
fn a_full_disk_ends_no_training_and_leaves_nothing_half() {
    let night = Night::new();
    let first = night.command("out", &["--levels", "16:4"]).output().expect("the program starts");
    assert!(first.status.success(), "{}", said(&first));
    // No file may be longer than the largest of the weights but one: the optimizer's state doesn't fit.
    let weights = fs::metadata(night.path("out/checkpoints/4/model.mpk")).expect("there").len();
    let more = night.command("out", &["--levels", "16:40", "--save-every", "0.05s"]);
    let args: Vec<_> = more.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let full = Command::new("bash")
        .args(["-c", &format!("ulimit -f {}; exec \"$0\" \"$@\"", weights / 1024 + 8), PROGRAM])
        .args(&args)
        .output()
        .expect("bash starts");
    let told = said(&full);
    assert_eq!(full.status.code(), Some(1), "{told}");
    assert!(told.contains("no checkpoint was written") && told.contains("training goes on"), "{told}");
    assert!(told.contains("optimizer.mpk") && told.contains("step 40/40"), "{told}");
    let left: Vec<_> = fs::read_dir(night.path("out/checkpoints"))
        .expect("there")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(left, ["4"], "the checkpoint from before, and nothing half");
    let again = night.command("out", &["--levels", "16:40"]).output().expect("the program starts");
    assert!(again.status.success() && said(&again).contains("going on from step 4"), "{}", said(&again));
    assert_eq!(night.newest("out"), 40);
}

#[test]
fn a_program_reads_what_happens() {
    let night = Night::new();
    let out = night.command("out", &["--levels", "16:60", "--progress", "json"]).output().expect("starts");
    assert!(out.status.success(), "{}", said(&out));
    let events: Vec<serde_json::Value> = String::from_utf8_lossy(&out.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    assert!(of("config")[0]["text"].as_str().is_some_and(|text| text.contains("16 px, 60 steps")));
    let steps = of("step");
    assert_eq!(steps.iter().map(|step| step["step"].as_u64()).collect::<Vec<_>>(), [Some(50), Some(60)]);
    let loss = |step: &serde_json::Value| step["losses"][0][1]["total"].as_f64().expect("a number");
    assert!(loss(steps[1]) < loss(steps[0]), "the loss falls");
    assert!(steps[0]["waited"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)));
    assert_eq!((of("saved")[0]["step"].as_u64(), of("done")[0]["n_steps"].as_u64()), (Some(60), Some(60)));
    assert!(events.iter().any(|e| e["text"].as_str().is_some_and(|text| text.contains("only 6 faces"))));
    // The previews are the pictures of a film.
    let film = night.path("film.mp4");
    let joined = Command::new(PROGRAM)
        .arg(night.path("out/timelapse/%06d.png"))
        .args(["-i", "none", "--input-fps", "10", "-q", "-o"])
        .arg(&film)
        .output()
        .expect("the program starts");
    assert!(joined.status.success() && film.exists(), "{}", said(&joined));
}

#[test]
fn bad_faces_are_told_before_any_hour_is_spent() {
    let night = Night::new();
    let at = |name: &str| night.path(name);
    let edit = |name: &str, edit: &dyn Fn(String) -> String| {
        let path = face_set(&at(name), 3, 40, [0.5; 3]).join("faces.jsonl");
        fs::write(&path, edit(fs::read_to_string(&path).expect("written"))).expect("written");
    };
    face_set(&at("none"), 0, 40, [0.5; 3]);
    face_set(&at("other size"), 3, 48, [0.5; 3]);
    face_set(&at("one"), 1, 40, [0.5; 3]);
    face_set(&at("three"), 3, 40, [0.5; 3]);
    edit("garbage", &|_| "{\"a\": 1}\n".into());
    edit("cut off", &|text| text[..text.len() - 40].into());
    edit("old", &|text| text.replace("faceswap-faces-1", "faceswap-faces-0"));
    edit("cut otherwise", &|text| text.replace("\"margin\":1.3", "\"margin\":1.5"));
    edit("no picture", &|text| text.replace("000001.png", "000009.png"));
    edit("all left out", &|text| text.replace("\"presence\":1.0", "\"presence\":1.0,\"excluded\":\"x\""));
    face_set(&at("odd"), 3, 40, [0.5; 3]);
    fs::copy(at("other size/000001.png"), at("odd/000001.png")).expect("copied");

    let train = |faces: &[(&str, &str)]| {
        let mut command = Command::new(PROGRAM);
        command.args(["train", "--preset", "tiny", "--levels", "16:2", "--threads", "1"]);
        for (name, set) in faces {
            command.args(["--faces", &format!("{name}={}", at(set).display())]);
        }
        command.arg("-o").arg(at("out")).output().expect("the program starts")
    };
    for (set, wanted) in [
        ("missing", "make the set with `faceswap extract"),
        ("none", "holds no faces"),
        ("garbage", "line 1 is no header"),
        ("cut off", "line 4"),
        ("old", "this version reads faceswap-faces-1"),
        ("cut otherwise", "extract it again"),
        ("no picture", "000009.png"),
        ("odd", "is 48 x 48, the set says 40 x 40"),
        ("all left out", "--restore"),
    ] {
        let out = train(&[("A", "A"), ("B", set)]);
        assert_eq!(out.status.code(), Some(1), "{set}: {}", said(&out));
        assert!(said(&out).contains(wanted) && said(&out).contains(set), "{set}: {}", said(&out));
        assert!(!at("out").join("checkpoints").exists(), "{set}: nothing was trained");
    }
    let mixed = train(&[("A", "A"), ("A", "other size")]);
    assert!(said(&mixed).contains("extract one of them again with another --side"), "{}", said(&mixed));
    // These can be trained with, and are warned of.
    let few = train(&[("A", "one"), ("B", "three")]);
    assert!(few.status.success(), "{}", said(&few));
    assert!(
        said(&few).contains("A: only 1 face;") && said(&few).contains("B: only 3 faces;"),
        "{}",
        said(&few)
    );
    let lonely = train(&[("A", "A")]);
    assert!(said(&lonely).contains("only A is given"), "{}", said(&lonely));
}

#[test]
fn one_person_under_two_names_is_noticed() {
    let night = Night::new();
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo.mp4");
    for (name, every) in [("anna", "25"), ("anne", "30")] {
        let cut = Command::new(PROGRAM)
            .args(["extract", demo, "--side", "96", "--every", every, "-q", "-o"])
            .arg(night.path(name))
            .output()
            .expect("the program starts");
        assert!(cut.status.success(), "{}", said(&cut));
    }
    let report = |sets: &[&str]| {
        let page = night.path("page.html");
        let out = Command::new(PROGRAM)
            .args(["faces", "report", "--overwrite", "-o"])
            .arg(&page)
            .args(sets.iter().map(|name| night.path(name)))
            .output()
            .expect("the program starts");
        assert!(out.status.success() && page.exists(), "{}", said(&out));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let told = report(&["anna", "anne"]);
    assert!(told.contains("anna and anne may be one person under two names"), "{told}");
    assert!(!told.contains("two people"), "{told}");
    // Left out and taken back by the program itself.
    let sort = |more: &[&str]| {
        let out = Command::new(PROGRAM)
            .args(["faces", "sort"])
            .arg(night.path("anna"))
            .args(more)
            .output()
            .expect("starts");
        assert!(out.status.success(), "{}", said(&out));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(sort(&["--by", "similarity", "--limit", "0.5"]).contains(" 1 faces, "));
    assert!(sort(&["--restore"]).contains("faces are back"));
}
