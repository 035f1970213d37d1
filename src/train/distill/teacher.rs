//! The teacher: an exported identity, read back.

use std::path::Path;

use burn::tensor::backend::Backend;

use crate::{
    Error, Result,
    swap::{Bundle, Manifest},
    train::{
        base::Base,
        data::Alignment,
        filters::{Filter, is_int8},
        model::{Comb, CombConfig},
    },
};

/// An identity whose networks this program wrote.
#[derive(Debug)]
pub struct Teacher {
    /// The bundle as it lies on disk.
    pub bundle: Bundle,
    base: Base,
}

impl Teacher {
    /// Reads the bundle in the folder `dir`.
    ///
    /// # Errors
    /// [`Error::BadModel`] for networks of another topology than the export's, else those of [`Bundle::load`].
    pub fn open(dir: &Path) -> Result<Self> {
        Self::of(Bundle::load(dir)?)
    }

    /// The teacher that a bundle is.
    ///
    /// # Errors
    /// [`Error::BadModel`] for networks of another topology than the export's.
    pub fn of(bundle: Bundle) -> Result<Self> {
        let base = Base::of(std::slice::from_ref(&bundle)).map_err(|_| {
            let Manifest { distilled, compressed, .. } = &bundle.manifest;
            let reason = match (distilled, compressed) {
                (_, Some(compressed)) if is_int8(&bundle.decoder) => {
                    format!("is in int8, which has lost bits; take the identity that it was made from, {}", compressed.from)
                }
                (Some(distilled), _) => format!(
                    "is itself a student, with other layers than a comb of `faceswap train`; take its teacher, {}",
                    distilled.teacher
                ),
                _ => "is no comb that `faceswap export` of this version wrote: a teacher's layers must be known \
                         one by one; only such an identity can teach"
                    .into(),
            };
            Error::model(&bundle.dir, reason)
        })?;
        Ok(Self { bundle, base })
    }

    /// Its size.
    pub fn config(&self) -> &CombConfig {
        &self.base.config
    }

    /// How its faces are cut.
    pub fn alignment(&self) -> Alignment {
        self.base.alignment.clone()
    }

    /// Its convolutions in the order in which they run: encoder, decoder.
    pub fn filters(&self) -> [&[Filter]; 2] {
        self.base.filters()
    }

    /// Its networks in the training framework, frozen: no gradient reaches their weights.
    pub fn comb<B: Backend>(&self, device: &B::Device) -> Comb<B> {
        use burn::module::Module;
        let name = [self.bundle.name.clone()];
        self.base.plant(Comb::new(self.config(), 1, device), &name, device).no_grad()
    }

    /// SHA-256 of encoder and decoder: whoever learns from other networks learns something else.
    pub fn sha256(&self) -> [String; 2] {
        let networks = &self.bundle.manifest.networks;
        [networks.encoder.sha256.clone(), networks.decoder.sha256.clone()]
    }
}
