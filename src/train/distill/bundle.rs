//! A student as a bundle like any other.

use super::{
    DistillSettings,
    step::{Done, Material},
};
use crate::{
    Result,
    digest::sha256,
    swap::{
        Bundle, Consent, Manifest,
        manifest::{self, Distilled, NetworkFile, Networks, Training},
    },
    train::{
        export::{self, decoder_onnx, encoder_onnx, today},
        onnx::Weights,
    },
};

/// The two networks of a finished comb, as files: encoder and decoder.
pub fn networks(done: &Done, weights: Weights) -> [Vec<u8>; 2] {
    let comb = &done.comb;
    let level = comb.encoder.levels.len();
    let latent = comb.encoder.last.weight.dims()[0];
    [
        encoder_onnx(&comb.encoder, level, latent, weights),
        decoder_onnx(&comb.decoders[0], level, latent, weights),
    ]
}

/// Writes the student called `name` under the consent of its teacher, and reads it back.
///
/// # Errors
/// [`crate::Error::Io`] when the bundle can't be written.
pub fn write(settings: &DistillSettings, name: &str, material: &Material<'_>, done: &Done) -> Result<Bundle> {
    let teacher = &material.teacher.bundle.manifest;
    let weights = if settings.half { Weights::Half } else { Weights::Full };
    let [encoder, decoder] = networks(done, weights);
    let [full, _] = networks(done, Weights::Full);
    let files = [("encoder.onnx", encoder), ("decoder.onnx", decoder)];
    let [encoder, decoder] =
        [0, 1].map(|i| NetworkFile { file: files[i].0.into(), sha256: sha256(&files[i].1) });
    let [teacher_encoder_sha256, teacher_decoder_sha256] = material.teacher.sha256();
    let note = format!("distilled from the identity {}, whose consent this is", teacher.name);
    let note = teacher.consent.note.as_ref().map_or(note.clone(), |old| format!("{old}; {note}"));
    let manifest = Manifest {
        schema: manifest::SCHEMA.into(),
        name: name.into(),
        networks: Networks { encoder, decoder },
        consent: Consent { note: Some(note), ..teacher.consent.clone() },
        distilled: Some(Distilled {
            teacher: teacher.name.clone(),
            teacher_encoder_sha256,
            teacher_decoder_sha256,
            student: settings.student.to_string(),
            stages: material.plan.phases.iter().map(ToString::to_string).collect(),
        }),
        compressed: None,
        training: Some(Training {
            version: env!("CARGO_PKG_VERSION").into(),
            date: today(),
            steps: done.state.step,
            samples: done.state.n_samples,
            minutes: (done.state.minutes * 10.0).round() / 10.0,
            encoder_weights_sha256: sha256(&full),
            identities: vec![teacher.name.clone()],
            n_faces: vec![material.transfer.n_faces()],
            config: None,
            drawn_back: None,
        }),
        ..teacher.clone()
    };
    export::write(&settings.out, &manifest, &files)?;
    Bundle::load(&settings.out)
}
