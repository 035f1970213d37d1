#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{fs, path::PathBuf};

use burn::backend::{Flex, flex::FlexDevice};

use super::*;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/identities")
}

#[test]
fn what_was_exported_comes_back_and_is_exported_again_to_the_byte() {
    let base = Base::read(&shipped()).unwrap();
    assert_eq!(base.decoders.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(base.side_px(), 256);
    let names = ["B".to_owned(), "new".to_owned()];
    let comb = base.plant(Comb::<Flex>::new(&base.config, 2, &FlexDevice), &names, &FlexDevice);
    let level = base.config.n_levels() - 1;
    let encoder = encoder_onnx(&comb.encoder, level, base.config.latent, Weights::Half);
    assert!(is_same_network(&encoder, &fs::read(shipped().join("A/encoder.onnx")).unwrap()));
    for (i, folder) in ["B", "A"].iter().enumerate() {
        let decoder = decoder_onnx(&comb.decoders[i], level, base.config.latent, Weights::Half);
        let file = fs::read(shipped().join(folder).join("decoder.onnx")).unwrap();
        assert!(is_same_network(&decoder, &file), "decoder {i} isn't {folder}'s");
        assert!(!is_same_network(&encoder, &file));
    }
}
