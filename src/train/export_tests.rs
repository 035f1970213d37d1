#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use burn::tensor::TensorData;
use ndarray::{Array4, ArrayD};

use super::*;
use crate::{
    nn::{Runtime, RuntimeSettings},
    train::model::{CombConfig, Stage},
};

fn config() -> CombConfig {
    CombConfig {
        latent: 24,
        encoder: vec![16, 12, 8, 6],
        decoder: vec![20, 16, 12, 8],
        coarse: true,
        ..CombConfig::default()
    }
}

/// Faces of noise, each with its own brightness.
fn faces(n: usize, side: usize) -> Array4<f32> {
    Array4::from_shape_fn((n, 3, side, side), |(i, c, y, x)| {
        let noise = (i * 7919 + c * 104_729 + y * 31 + x * 17) % 101;
        (noise as f32 / 101.0 + i as f32) / n as f32
    })
}

fn tensor(array: &Array4<f32>) -> Tensor<Flex, 4> {
    let data = TensorData::new(array.iter().copied().collect::<Vec<_>>(), array.shape().to_vec());
    Tensor::from_data(data, &FlexDevice)
}

fn difference(ours: Tensor<Flex, 4>, theirs: &ArrayD<f32>) -> f32 {
    assert_eq!(ours.dims(), theirs.shape());
    values(ours).iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn onnx_runtime_gives_what_the_framework_gives() {
    let Ok(runtime) = Runtime::load(&RuntimeSettings::default()) else {
        eprintln!("skipped: no ONNX Runtime");
        return;
    };
    Flex::seed(&FlexDevice, 3);
    let plain = config();
    let mixed = CombConfig { separable: true, whole_px: [0, 8], patches: true, ..config() };
    let mixed_first = CombConfig { mixed_first_px: Some(8), ..mixed.clone() };
    for (config, level) in [(&plain, 2), (&plain, 3), (&mixed, 3), (&mixed_first, 3)] {
        let comb = Comb::<Flex>::new(config, 2, &FlexDevice);
        let stage = Stage { level, alpha: 1.0 };
        for (weights, limit) in [(Weights::Full, 1e-4), (Weights::Half, 1e-2)] {
            let encoder = encoder_onnx(&comb.encoder, level, 24, weights);
            let decoder = decoder_onnx(&comb.decoders[1], level, 24, weights);
            let mut encoder = runtime.network("encoder", &encoder).unwrap();
            let mut decoder = runtime.network("decoder", &decoder).unwrap();
            for n in [1, 3] {
                let input = faces(n, side_of_level(level));
                let latent = encoder.run(&[("face", input.view().into_dyn())]).unwrap().remove(0);
                let out = decoder.run(&[("latent", latent.view())]).unwrap();
                let ours = comb.encoder.forward(tensor(&input), stage);
                let of_latent = difference(ours.clone(), &latent);
                let ours = comb.decoders[1].forward(ours, stage);
                let of_face = difference(ours.clone().slice([0..n, 0..3]), &out[0]);
                let of_mask = difference(ours.slice([0..n, 3..4]), &out[1]);
                eprintln!(
                    "level {level}, {weights:?}, batch {n}: latent {of_latent:e}, face {of_face:e}, mask {of_mask:e}"
                );
                assert!(of_latent < limit && of_face < limit && of_mask < limit);
            }
        }
    }
}

#[test]
fn the_calendar_has_its_leap_days() {
    let cases = [
        (0, "1970-01-01"),
        (11_016, "2000-02-29"),
        (11_017, "2000-03-01"),
        (20_454, "2026-01-01"),
        (47_541, "2100-03-01"),
    ];
    for (days, date) in cases {
        assert_eq!(day(days), date);
    }
    assert!(manifest::is_date(&today()));
}

/// A training's folder with one checkpoint at `stage`.
fn training(dir: &Path, stage: Stage) {
    use burn::{
        backend::Autodiff,
        module::AutodiffModule,
        optim::{Adam, AdamConfig, adaptor::OptimizerAdaptor},
    };
    type B = Autodiff<Flex>;
    let model = Comb::<B>::new(&config(), 2, &FlexDevice);
    let optimizer: OptimizerAdaptor<Adam, Comb<B>, B> = AdamConfig::new().init();
    let state = State {
        schema: State::schema(),
        comb: config(),
        identities: vec!["A".into(), "B".into()],
        n_faces: vec![10, 20],
        alignment: serde_json::from_str(r#"{"template": "mesh-inner-v1", "margin": 1.3}"#).unwrap(),
        step: 5,
        n_samples: 80,
        minutes: 0.26,
        stage,
        seed: 1,
        score: None,
    };
    let trained = checkpoint::Trained { average: model.valid(), model, optimizer, state };
    checkpoint::save::<B, _, _, _>(dir, &trained, 2, &|_| Ok(())).unwrap();
}

fn settings(dir: &Path) -> ExportSettings {
    ExportSettings {
        checkpoint: Checkpoint::Last,
        training: dir.join("training"),
        identity: "B".into(),
        out: dir.join("models/B"),
        subject: "nobody".into(),
        basis: "synthetic".into(),
        date: None,
        licence: "CC0-1.0".into(),
        draw_back: None,
        precision: Precision::Fp16,
        overwrite: false,
    }
}

#[test]
fn a_bundle_holds_what_was_trained_and_is_replaced_on_demand_only() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    training(&settings.training, Stage { level: 3, alpha: 1.0 });
    let bundle = export(&settings).unwrap();
    assert_eq!((bundle.name.as_str(), bundle.side_px, bundle.margin, bundle.has_mask), ("B", 32, 1.3, true));
    let facts = bundle.manifest.training.as_ref().unwrap();
    assert_eq!((facts.steps, facts.samples, facts.minutes), (5, 80, 0.3));
    assert_eq!((&facts.identities[..], &facts.n_faces[..]), (&["A".into(), "B".into()][..], &[10, 20][..]));
    assert_eq!(bundle.manifest.consent.basis, Basis::Synthetic);

    let refused = export(&settings).unwrap_err().to_string();
    assert!(refused.contains("--overwrite"), "{refused}");
    let full = ExportSettings { precision: Precision::Fp32, overwrite: true, ..settings.clone() };
    let size = |bundle: &Bundle| fs::metadata(bundle.dir.join("decoder.onnx")).unwrap().len();
    let half_size = size(&bundle);
    assert!(size(&export(&full).unwrap()) > half_size * 17 / 10);
    let left: Vec<_> = fs::read_dir(dir.path().join("models")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let a = ExportSettings { identity: "A".into(), out: dir.path().join("models/A"), ..settings };
    let a = export(&a).unwrap().manifest;
    let hash = |manifest: &Manifest| manifest.training.as_ref().unwrap().encoder_weights_sha256.clone();
    assert_eq!(hash(&a), hash(&bundle.manifest));
    assert_ne!(a.networks.decoder, bundle.manifest.networks.decoder);
}

#[test]
fn a_bundle_that_cannot_be_written_leaves_the_one_before_it_and_nothing_half() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    training(&settings.training, Stage { level: 3, alpha: 1.0 });
    let bundle = export(&settings).unwrap();
    let models = dir.path().join("models");
    let is_as_before = || {
        let left: Vec<_> = fs::read_dir(&models).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["B"]);
        assert!(Bundle::load(&settings.out).unwrap().manifest == bundle.manifest);
    };
    // As on a disk that is full after the first file.
    let files = [("encoder.onnx", bundle.encoder.clone()), ("nowhere/decoder.onnx", bundle.decoder.clone())];
    assert!(matches!(write(&settings.out, &bundle.manifest, &files), Err(Error::Io { .. })));
    is_as_before();
    let (gone, old) = (models.join("gone"), models.join(".B.old"));
    assert!(matches!(put_in_place(&gone, &settings.out, &old), Err(Error::Io { .. })));
    is_as_before();
}

#[test]
fn what_cannot_be_exported_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let good = settings(dir.path());
    let refusal = |settings: &ExportSettings| export(settings).unwrap_err().to_string();
    assert!(refusal(&good).contains("train first"));
    training(&good.training, Stage { level: 3, alpha: 0.4 });
    assert!(refusal(&good).contains("faded in to 40 %"));
    let none = ExportSettings { identity: "C".into(), ..good.clone() };
    assert!(refusal(&none).contains("which has A, B"));
    let basis = ExportSettings { basis: "maybe".into(), ..good.clone() };
    assert!(refusal(&basis).contains("self, written, licence, synthetic or public-domain"));
    let subject = ExportSettings { subject: " ".into(), ..good.clone() };
    assert!(refusal(&subject).contains("whose face"));
    let date = ExportSettings { date: Some("2026-13-01".into()), ..good.clone() };
    assert!(refusal(&date).contains("YYYY-MM-DD"));
    let used = ExportSettings { out: dir.path().into(), overwrite: true, ..good };
    assert!(refusal(&used).contains("is no identity"));
    assert!(dir.path().join("training").exists());
}

#[test]
fn halves_round_and_know_no_minus_zero() {
    let bytes = crate::train::onnx::halves(&[1.0, -0.5, 0.0, -0.0, -1e-9, 1e-9]);
    let halves: Vec<u16> = bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    assert_eq!(halves, [0x3c00, 0xb800, 0, 0, 0, 0]);
}
