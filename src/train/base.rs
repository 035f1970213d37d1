//! A training that begins with the networks of exported identities instead of chance.

use std::path::Path;

use burn::{
    module::Param,
    nn::conv::Conv2d,
    tensor::{Tensor, TensorData, backend::Backend},
};

use super::{
    data::Alignment,
    export::{decoder_onnx, encoder_onnx},
    filters::{Filter, convolutions, is_half, is_same_network},
    model::{Comb, CombConfig, Decoder, Encoder, Pair, side_of_level},
    onnx::Weights,
};
use crate::{
    Error, Result,
    swap::bundle::{Bundle, installed},
};

/// How the faces of an identity are cut and shown.
pub(super) fn alignment_of(bundle: &Bundle) -> Alignment {
    Alignment { template: bundle.template.name().into(), margin: bundle.margin, guides: bundle.guides }
}

/// One encoder and the decoders that were trained with it.
#[derive(Debug, Clone)]
pub struct Base {
    /// The network's size.
    pub config: CombConfig,
    /// How its faces were cut.
    pub alignment: Alignment,
    encoder: Vec<Filter>,
    decoders: Vec<(String, Vec<Filter>)>,
}

impl Base {
    /// Reads the identities in the folder `dir`, which must share their encoder; students and compressed copies of
    /// others are passed over, since each has an encoder of its own.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for a folder without identities, [`Error::BadModel`] for one that doesn't fit the others
    /// or wasn't written by `faceswap export`, else those of [`Bundle::load`].
    pub fn read(dir: &Path) -> Result<Self> {
        let mut found: Vec<Bundle> =
            installed(&[dir.into()]).into_iter().map(|entry| entry.bundle).collect::<Result<_>>()?;
        found.retain(|bundle| bundle.manifest.distilled.is_none() && bundle.manifest.compressed.is_none());
        if found.is_empty() {
            let reason = "holds no identities; give a folder of bundles, e.g. models/identities";
            return Err(Error::setting("--init", dir.display(), reason));
        }
        Self::of(&found)
    }

    /// The networks of `found`, one bundle or more, which must share their encoder.
    ///
    /// # Errors
    /// [`Error::BadModel`] for a bundle that doesn't fit the others or wasn't written by `faceswap export`.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(found: &[Bundle]) -> Result<Self> {
        let first = &found[0];
        let mut base = Self {
            config: CombConfig::default(),
            alignment: alignment_of(first),
            encoder: filters(first, "encoder", &first.encoder)?,
            decoders: Vec::new(),
        };
        for bundle in found {
            let alignment = alignment_of(bundle);
            if bundle.encoder != first.encoder || alignment != base.alignment {
                let reason = format!(
                    "has another encoder than {}; identities of one training are needed",
                    first.dir.display()
                );
                return Err(Error::model(&bundle.dir, reason));
            }
            base.decoders.push((bundle.name.clone(), filters(bundle, "decoder", &bundle.decoder)?));
        }
        base.config = base.config_of_filters(first)?;
        for bundle in found {
            base.check(bundle)?;
        }
        Ok(base)
    }

    /// The convolutions of its encoder, and of its first decoder, in the order in which they run.
    pub fn filters(&self) -> [&[Filter]; 2] {
        [&self.encoder, &self.decoders[0].1]
    }

    /// Side of its networks, pixels.
    pub fn side_px(&self) -> usize {
        self.config.side_px()
    }

    /// `comb`, which has the base's levels or more, with the base's weights: each identity's own decoder, and for a
    /// new identity a copy of the first one. (A mean of decoders would be no face: each has its channels in another
    /// order.)
    #[must_use]
    pub fn plant<B: Backend>(&self, comb: Comb<B>, names: &[String], device: &B::Device) -> Comb<B> {
        let plant_one = |(decoder, name): (Decoder<B>, &String)| {
            let own = self.decoders.iter().find(|(known, _)| known == name).or(self.decoders.first());
            match own {
                Some((_, filters)) => planted_decoder(decoder, filters, device),
                None => decoder,
            }
        };
        Comb {
            encoder: planted_encoder(comb.encoder, &self.encoder, device),
            decoders: comb.decoders.into_iter().zip(names).map(plant_one).collect(),
        }
    }

    /// Moves the weights of `comb` a `share` (0..=1) of the way back to the base's, from which they were trained on: what
    /// was learnt beyond the faces of the training stays, and most of what was won is kept (Wortsman et al., "Robust
    /// fine-tuning of zero-shot models", 2022).
    ///
    /// # Errors
    /// [`Error::BadSetting`] for a network of another size, and where the base lacks one of the identities `names`.
    pub fn drawn_back<B: Backend>(
        &self,
        mut comb: Comb<B>,
        (config, names): (&CombConfig, &[String]),
        share: f64,
        device: &B::Device,
    ) -> Result<Comb<B>> {
        if *config != self.config {
            let (own, base) = (config.side_px(), self.side_px());
            let reason =
                format!("holds networks of {base} px and another shape; the training's have {own} px");
            return Err(Error::setting("--towards", "", reason));
        }
        let level = config.n_levels() - 1;
        let back = |convs: Vec<&mut Conv2d<B>>, filters: &[Filter]| {
            for (conv, filter) in convs.into_iter().zip(filters) {
                let (own, base) = (conv.clone(), conv);
                put(base, filter, device);
                base.weight = Param::from_tensor(between(own.weight.val(), base.weight.val(), share));
                let biases = own.bias.as_ref().zip(base.bias.as_ref());
                base.bias =
                    biases.map(|(own, base)| Param::from_tensor(between(own.val(), base.val(), share)));
            }
        };
        back(convs_of_encoder(&mut comb.encoder, level), &self.encoder);
        for (decoder, name) in comb.decoders.iter_mut().zip(names) {
            let Some((_, filters)) = self.decoders.iter().find(|(known, _)| known == name) else {
                let reason = format!("holds no identity {name}, which was trained on");
                return Err(Error::setting("--towards", "", reason));
            };
            back(convs_of_decoder(decoder, level), filters);
        }
        Ok(comb)
    }

    /// The size that filters of these shapes have together.
    fn config_of_filters(&self, bundle: &Bundle) -> Result<CombConfig> {
        let (encoder, decoder) = (&self.encoder, &self.decoders[0].1);
        // An odd number has the 3x3 convolution at 4 px among them.
        let (n_levels, coarse) = (encoder.len() / 2, encoder.len() % 2 == 1);
        if n_levels == 0 || decoder.len() != encoder.len() {
            return Err(foreign(bundle));
        }
        // The output channels of the first convolution, and of the second one of each pair from `second` on.
        let widths = |filters: &[Filter], second: usize| -> Vec<usize> {
            let seconds = filters[second..].iter().step_by(2).take(n_levels - 1);
            std::iter::once(&filters[0]).chain(seconds).map(|filter| filter.dims[0]).collect()
        };
        // The encoder runs from the finest level to the coarsest.
        let mut of_encoder = widths(encoder, 2.min(encoder.len()));
        of_encoder.reverse();
        let of_decoder = widths(decoder, (2 + usize::from(coarse)).min(decoder.len()));
        let latent = encoder[encoder.len() - 1].dims[0];
        Ok(CombConfig { latent, encoder: of_encoder, decoder: of_decoder, coarse, ..CombConfig::default() })
    }

    /// That the bundle's networks are exactly what the export writes for these weights.
    fn check(&self, bundle: &Bundle) -> Result<()> {
        type B = burn::backend::Flex;
        let device = burn::backend::flex::FlexDevice;
        let name = [bundle.name.clone()];
        let fits = self.has_shapes_of(&self.config) && bundle.side_px == self.side_px() && {
            let comb = self.plant(Comb::<B>::new(&self.config, 1, &device), &name, &device);
            let weights = |bytes: &[u8]| if is_half(bytes) { Weights::Half } else { Weights::Full };
            let (level, latent) = (self.config.n_levels() - 1, self.config.latent);
            let encoder = encoder_onnx(&comb.encoder, level, latent, weights(&bundle.encoder));
            let decoder = decoder_onnx(&comb.decoders[0], level, latent, weights(&bundle.decoder));
            is_same_network(&encoder, &bundle.encoder) && is_same_network(&decoder, &bundle.decoder)
        };
        if fits { Ok(()) } else { Err(foreign(bundle)) }
    }

    /// Whether every filter has the shape that it has in a comb of this size.
    fn has_shapes_of(&self, config: &CombConfig) -> bool {
        let device = burn::backend::flex::FlexDevice;
        let mut comb = Comb::<burn::backend::Flex>::new(config, 1, &device);
        let level = config.n_levels() - 1;
        let fits = |convs: Vec<&mut Conv2d<_>>, filters: &[Filter]| {
            let shapes = convs.iter().map(|conv| conv.weight.dims());
            shapes.eq(filters.iter().map(|filter| filter.dims))
        };
        fits(convs_of_encoder(&mut comb.encoder, level), &self.encoder)
            && self
                .decoders
                .iter()
                .all(|(_, filters)| fits(convs_of_decoder(&mut comb.decoders[0], level), filters))
    }
}

fn filters(bundle: &Bundle, what: &str, bytes: &[u8]) -> Result<Vec<Filter>> {
    convolutions(bytes).map_err(|reason| Error::model(bundle.dir.join(what), reason))
}

fn foreign(bundle: &Bundle) -> Error {
    let reason = "wasn't written by `faceswap export`, or by another version, or is no comb of whole convolutions on pixels; \
                  training can't start from it";
    Error::model(&bundle.dir, reason)
}

/// The encoder's convolutions up to `level` in the order of the export, from the finest on down.
fn convs_of_encoder<B: Backend>(encoder: &mut Encoder<B>, level: usize) -> Vec<&mut Conv2d<B>> {
    let mut convs = vec![&mut encoder.from_rgb[level]];
    convs.extend(encoder.levels[..level].iter_mut().rev().flat_map(Pair::convs));
    convs.extend(&mut encoder.coarse);
    convs.push(&mut encoder.last);
    convs
}

/// As [`convs_of_encoder`], from 4 px up.
fn convs_of_decoder<B: Backend>(decoder: &mut Decoder<B>, level: usize) -> Vec<&mut Conv2d<B>> {
    let mut convs = vec![&mut decoder.first];
    convs.extend(&mut decoder.coarse);
    convs.extend(decoder.levels[..level].iter_mut().flat_map(Pair::convs));
    convs.push(&mut decoder.to_rgb[level]);
    convs
}

/// The encoder with `filters` in the order of the export, from its level on down.
pub(super) fn planted_encoder<B: Backend>(
    mut encoder: Encoder<B>,
    filters: &[Filter],
    device: &B::Device,
) -> Encoder<B> {
    let convs = convs_of_encoder(&mut encoder, filters.len() / 2 - 1);
    convs.into_iter().zip(filters).for_each(|(conv, filter)| put(conv, filter, device));
    encoder
}

/// As [`planted_encoder`], from 4 px up.
pub(super) fn planted_decoder<B: Backend>(
    mut decoder: Decoder<B>,
    filters: &[Filter],
    device: &B::Device,
) -> Decoder<B> {
    let convs = convs_of_decoder(&mut decoder, filters.len() / 2 - 1);
    convs.into_iter().zip(filters).for_each(|(conv, filter)| put(conv, filter, device));
    decoder
}

/// `share` of the way from `own` to `base`. What is the same on both sides stays so to the bit, and so do both ends.
fn between<B: Backend, const D: usize>(own: Tensor<B, D>, base: Tensor<B, D>, share: f64) -> Tensor<B, D> {
    if share < 1.0 { own.clone() + (base - own) * share } else { base }
}

/// Gives a convolution the weights of a filter of its shape.
pub(super) fn put<B: Backend>(conv: &mut Conv2d<B>, filter: &Filter, device: &B::Device) {
    let weight = TensorData::new(filter.weight.clone(), filter.dims);
    conv.weight = Param::from_tensor(Tensor::from_data(weight, device));
    let bias = TensorData::new(filter.bias.clone(), [filter.bias.len()]);
    conv.bias = Some(Param::from_tensor(Tensor::from_data(bias, device)));
}

/// The size of a training that starts from `base`: levels above the base's are those of `wanted`.
///
/// # Errors
/// [`Error::BadSetting`] where `wanted` ends below the base's side.
pub fn grown(base: &Base, wanted: &CombConfig) -> Result<CombConfig> {
    let n = base.config.n_levels();
    if wanted.n_levels() < n {
        let reason = format!("must be {} or more, the side of --init", side_of_level(n - 1));
        return Err(Error::setting("--side", wanted.side_px(), reason));
    }
    let join = |own: &[usize], wanted: &[usize]| own.iter().chain(&wanted[n..]).copied().collect();
    Ok(CombConfig {
        encoder: join(&base.config.encoder, &wanted.encoder),
        decoder: join(&base.config.decoder, &wanted.decoder),
        ..base.config.clone()
    })
}

#[cfg(test)]
#[path = "base_tests.rs"]
mod tests;
