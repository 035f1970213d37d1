//! Whole compressions of a tiny identity.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::atomic::Ordering;

use burn::backend::{Flex, flex::FlexDevice};
use burn::tensor::backend::Backend;

use super::*;
use crate::{
    swap::Basis,
    train::{
        base::Base,
        distill::Row,
        export::{decoder_onnx, encoder_onnx},
        faces_for_tests::{face_set, no_runtime, record, striped},
        filters::{convolutions, is_int8},
        model::{Comb, CombConfig},
    },
};

/// A set of `n` faces, each lighter than the one before.
fn faces_of(dir: &Path, n: usize, margin: f64) -> PathBuf {
    let colour = |frame| [0.8, 0.5, 0.3].map(|c| c * (frame + 1) as f32 / n as f32);
    face_set(dir, margin, (0..n).map(|frame| record(frame, striped(frame, colour(frame)))))
}

/// An identity of 16 px called B with random weights in 16 bits, and the faces of somebody.
struct Room {
    dir: tempfile::TempDir,
    identity: PathBuf,
    faces: PathBuf,
}

fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let config = CombConfig {
        latent: 32,
        encoder: vec![48, 32, 24],
        decoder: vec![48, 32, 24],
        ..CombConfig::default()
    };
    Flex::seed(&FlexDevice, 5);
    let comb = Comb::<Flex>::new(&config, 1, &FlexDevice);
    let files = [
        ("encoder.onnx", encoder_onnx(&comb.encoder, 2, 32, Weights::Half)),
        ("decoder.onnx", decoder_onnx(&comb.decoders[0], 2, 32, Weights::Half)),
    ];
    let text = format!(
        "schema = \"faceswap-identity-1\"\nname = \"B\"\nside_px = 16\nchannel_order = \"rgb\"\nvalue_range = [0.0, 1.0]\n\
         licence = \"CC0-1.0\"\n[alignment]\ntemplate = \"mesh-inner-v1\"\nmargin = 1.3\n\
         [networks.encoder]\nfile = \"encoder.onnx\"\nsha256 = \"{}\"\n\
         [networks.decoder]\nfile = \"decoder.onnx\"\nsha256 = \"{}\"\n\
         [consent]\nsubject = \"nobody\"\nbasis = \"written\"\ndate = \"2026-11-21\"\nnote = \"in the safe\"\n",
        sha256(&files[0].1),
        sha256(&files[1].1)
    );
    let identity = dir.path().join("identities/B");
    let manifest = Manifest::parse(&text, &identity).unwrap();
    export::write(&identity, &manifest, &files).unwrap();
    let faces = faces_of(&dir.path().join("faces"), 20, 1.3);
    Room { dir, identity, faces }
}

fn settings(room: &Room, out: &str) -> CompressSettings {
    CompressSettings {
        source: Source::Bundle { dir: room.identity.clone(), name: out.into() },
        out: room.dir.path().join("identities").join(out),
        precision: Precision::Int8,
        prune: 0.0,
        tune_steps: 4,
        device: Device::Cpu,
        calibrate: vec![room.faces.clone()],
        held_out: Vec::new(),
        runtime: RuntimeSettings::default(),
        overwrite: false,
    }
}

fn run(settings: &CompressSettings) -> Result<Option<Compression>> {
    compress(settings, &mut |_| (), &AtomicBool::new(false))
}

fn refusal(settings: &CompressSettings) -> String {
    run(settings).unwrap_err().to_string()
}

fn size(bundle: &Bundle) -> usize {
    bundle.encoder.len() + bundle.decoder.len()
}

#[test]
fn a_copy_in_int8_is_near_small_and_under_the_same_consent() {
    if no_runtime() {
        return;
    }
    let room = room();
    let int8 = settings(&room, "B.int8");
    let Compression { bundle, report } = run(&int8).unwrap().unwrap();
    let report = report.unwrap();
    let names: Vec<&str> = report.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["fp32", "fp16", "int8"]);
    assert_eq!((report.n_calibration, report.n_held_out), (18, 2));
    // Two steps of 256 or so: random layers, whose errors add up as those of trained ones do.
    let psnr_db = report.psnr_db().unwrap();
    assert!(psnr_db > 36.0, "{report}");
    assert!(report.rows[1].psnr_teacher_db.unwrap() > 70.0, "{report}");
    assert_eq!(report.rows[2].n_parameters, report.rows[0].n_parameters);
    assert_eq!(report.rows[2].mmac, report.rows[0].mmac);

    let whole = Bundle::load(&room.identity).unwrap();
    assert!(is_int8(&bundle.encoder) && is_int8(&bundle.decoder));
    assert!(size(&bundle) < size(&whole) * 7 / 10, "{} of {}", size(&bundle), size(&whole));
    let (new, old) = (&bundle.manifest, &whole.manifest);
    assert_eq!((new.name.as_str(), &new.licence, &new.alignment), ("B.int8", &old.licence, &old.alignment));
    assert_eq!((new.consent.subject.as_str(), new.consent.basis), ("nobody", Basis::Written));
    assert_eq!(new.consent.date, old.consent.date);
    let note = new.consent.note.as_deref().unwrap();
    assert!(note.starts_with("in the safe; ") && note.contains("copy of the identity B"), "{note}");
    let compressed = new.compressed.as_ref().unwrap();
    assert_eq!(compressed.from_decoder_sha256, old.networks.decoder.sha256);
    assert_eq!((compressed.precision.as_str(), compressed.calibrated_on), ("int8", Some(18)));
    assert_eq!((compressed.psnr_db, compressed.pruned), (Some(psnr_db), None));
    assert!(bundle.to_string().ends_with("int8 of B"), "{bundle}");

    // What lost its bits is nobody's teacher, and a folder of identities stays one that a training can begin with.
    let again = CompressSettings {
        source: Source::Bundle { dir: int8.out.clone(), name: "C".into() },
        ..settings(&room, "C")
    };
    assert!(refusal(&again).contains("int8 already"), "{}", refusal(&again));
    let refused = Teacher::open(&int8.out).unwrap_err().to_string();
    assert!(refused.contains("in int8") && refused.ends_with("made from, B"), "{refused}");
    assert_eq!(Base::read(&room.dir.path().join("identities")).unwrap().side_px(), 16);
    assert!(refusal(&int8).contains("--overwrite"));
}

#[test]
fn storage_is_all_that_fp32_and_fp16_change() {
    let room = room();
    let no_faces = |out: &str, from: &Path, precision| CompressSettings {
        source: Source::Bundle { dir: from.into(), name: out.into() },
        precision,
        calibrate: Vec::new(),
        ..settings(&room, out)
    };
    let wide = no_faces("B.fp32", &room.identity, Precision::Fp32);
    let Compression { bundle: fp32, report } = run(&wide).unwrap().unwrap();
    assert!(report.is_none());
    let old = Bundle::load(&room.identity).unwrap();
    assert!(size(&fp32) > size(&old) * 17 / 10);
    assert_eq!(convolutions(&fp32.decoder).unwrap(), convolutions(&old.decoder).unwrap());
    // It is what the export writes: such a bundle can teach.
    Teacher::open(&wide.out).unwrap();
    let narrow = no_faces("B.fp16", &wide.out, Precision::Fp16);
    let fp16 = run(&narrow).unwrap().unwrap().bundle;
    assert!(fp16.encoder == old.encoder && fp16.decoder == old.decoder, "the same bytes");
}

#[test]
fn pruned_channels_are_gone_and_the_rest_is_tuned() {
    if no_runtime() {
        return;
    }
    let room = room();
    let half = CompressSettings { precision: Precision::Fp16, prune: 0.5, ..settings(&room, "B.half") };
    let stop = AtomicBool::new(true);
    assert!(compress(&half, &mut |_| (), &stop).unwrap().is_none());
    assert!(!half.out.exists() && beside(&half.out, WORK).exists());
    stop.store(false, Ordering::Relaxed);
    let Compression { bundle, report } = compress(&half, &mut |_| (), &stop).unwrap().unwrap();
    let report = report.unwrap();
    assert_eq!(report.what, "fp16, 50 % pruned");
    let widths = |bytes: &[u8]| convolutions(bytes).unwrap().iter().map(|f| f.dims[0]).collect::<Vec<_>>();
    assert_eq!(widths(&bundle.encoder), [16, 16, 16, 16, 24, 32]);
    assert_eq!(widths(&bundle.decoder), [24, 16, 16, 16, 16, 4]);
    assert!(report.rows[2].mmac.decoder < 0.5 * report.rows[0].mmac.decoder && report.psnr_db().is_some());
    assert_eq!(bundle.manifest.compressed.as_ref().unwrap().pruned, Some(0.5));
    assert!(bundle.to_string().ends_with("fp16 of B, 50 % pruned"), "{bundle}");
    assert!(!beside(&half.out, WORK).exists());
    Teacher::open(&half.out).unwrap();
    let none = CompressSettings { prune: 0.01, ..half.clone() };
    let none = CompressSettings { out: room.dir.path().join("none"), ..none };
    assert!(refusal(&none).contains("leaves no channel out"), "{}", refusal(&none));
}

#[test]
fn what_cannot_be_compressed_is_said() {
    let room = room();
    let good = settings(&room, "B.int8");
    let refused = "int4".parse::<Precision>().unwrap_err().to_string();
    assert_eq!(refused, "--precision = int4: must be fp32, fp16 or int8");
    for prune in [-0.1, 0.91, f64::NAN] {
        let odd = CompressSettings { prune, ..good.clone() };
        assert!(refusal(&odd).contains("0 to 0.9"), "{}", refusal(&odd));
    }
    let faceless = CompressSettings { calibrate: Vec::new(), ..good.clone() };
    assert!(refusal(&faceless).contains("int8 takes its ranges from faces"), "{}", refusal(&faceless));
    let faceless = CompressSettings { precision: Precision::Fp16, prune: 0.3, ..faceless };
    assert!(refusal(&faceless).contains("pruning"), "{}", refusal(&faceless));
    let with = |calibrate: PathBuf| CompressSettings { calibrate: vec![calibrate], ..good.clone() };
    let at = |name: &str| room.dir.path().join(name);
    let missing = with(at("missing"));
    assert!(refusal(&missing).contains("missing"), "{}", refusal(&missing));
    let empty = with(faces_of(&at("empty"), 0, 1.3));
    assert!(refusal(&empty).contains("holds no faces"), "{}", refusal(&empty));
    let few = with(faces_of(&at("few"), 3, 1.3));
    assert!(refusal(&few).contains("--held-out"), "{}", refusal(&few));
    let wide = with(faces_of(&at("wide"), 3, 1.5));
    assert!(refusal(&wide).contains("extract it again"), "{}", refusal(&wide));
    let used = CompressSettings { out: room.faces.clone(), overwrite: true, ..good.clone() };
    assert!(refusal(&used).contains("is no identity"), "{}", refusal(&used));
    let itself = CompressSettings { out: room.identity.clone(), overwrite: true, ..good.clone() };
    assert!(refusal(&itself).contains("the identity itself"), "{}", refusal(&itself));
    let unnamed = CompressSettings {
        source: Source::Bundle { dir: room.identity.clone(), name: String::new() },
        ..good.clone()
    };
    assert!(refusal(&unnamed).contains("the new identity's name"), "{}", refusal(&unnamed));

    // A network that somebody else wrote, and a damaged one.
    let path = room.identity.join("decoder.onnx");
    let whole = fs::read(&path).unwrap();
    let mut foreign = whole.clone();
    let at = foreign.windows(8).position(|w| w == b"faceswap").unwrap();
    foreign[at..at + 8].copy_from_slice(b"somebody");
    fs::write(&path, &foreign).unwrap();
    assert!(refusal(&good).contains("changed or damaged"), "{}", refusal(&good));
    let manifest = room.identity.join(manifest::FILE_NAME);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace(&sha256(&whole), &sha256(&foreign))).unwrap();
    assert!(refusal(&good).contains("\"somebody\", not by"), "{}", refusal(&good));
    assert!(!good.out.exists());
}

#[test]
fn who_chooses_what_is_slower_here_is_told() {
    let row = |name: &str, ms: f64| Row {
        name: name.into(),
        steps: None,
        minutes: None,
        n_parameters: 1,
        mmac: Parts::default(),
        ms_one_thread: Parts { encoder: ms, decoder: 2.0 * ms },
        ms_two_threads: Parts { encoder: 1.0, decoder: 1.0 },
        speed_up: 1.0,
        psnr_teacher_db: Some(40.0),
        ssim_teacher: None,
        psnr_truth_db: Some(20.0),
        ssim_truth: None,
        identity_distance: None,
        expression_l1: None,
    };
    let report = |what: &str, ms: f64| CompressReport {
        what: what.into(),
        rows: vec![row("fp32", 4.0), row(what, ms)],
        n_bytes: vec![4, 1],
        n_calibration: 1,
        n_held_out: 1,
        runtime: "ONNX Runtime on this machine's cpu".into(),
    };
    let told = report("int8", 5.0).warnings();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("int8 is slower than fp32") && told[0].contains("15.0 ms"), "{told:?}");
    assert!(told[0].contains("one thread, fp32 takes 12.0 ms"), "{told:?}");
    assert!(report("int8", 3.0).warnings().is_empty());
    // It is the same network once it is loaded: whatever was measured is the machine's unrest.
    assert!(report("fp16", 5.0).warnings().is_empty());
}
