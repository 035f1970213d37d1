//! Forward passes of a finished comb that also give what the levels say.

use burn::tensor::{Tensor, backend::Backend};

use crate::train::{
    model::{Decoder, Encoder, rectify},
    quick::convolved,
};

/// An output, and the activations on the way to it.
pub struct Tapped<B: Backend> {
    /// What the network gives.
    pub output: Tensor<B, 4>,
    /// After each level's pair, in the order in which they are computed.
    pub levels: Vec<Tensor<B, 4>>,
}

/// As [`Encoder::forward`] at its finished side; levels from the finest to that of 8 px, each before it is halved.
///
/// # Shapes
/// - x: `[batch, 3, side, side]`, RGB 0..=1
/// - output: `[batch, latent, 1, 1]`
pub fn encode<B: Backend>(encoder: &Encoder<B>, x: Tensor<B, 4>) -> Tapped<B> {
    let finest = encoder.levels.len();
    let mut h = rectify(convolved(&encoder.from_rgb[finest], x));
    let mut levels = Vec::with_capacity(finest);
    for (i, pair) in encoder.levels.iter().enumerate().rev() {
        h = pair.forward(h);
        levels.push(h.clone());
        h = encoder.stepped_down(i + 1, h);
    }
    if let Some(coarse) = &encoder.coarse {
        h = rectify(convolved(coarse, h));
    }
    Tapped { output: rectify(convolved(&encoder.last, h)), levels }
}

/// As [`Decoder::forward`] at its finished side; levels from 4 px to the finest.
///
/// # Shapes
/// - latent: `[batch, latent, 1, 1]`
/// - output: `[batch, 4, side, side]`: red, green, blue, mask, 0..=1
pub fn decode<B: Backend>(decoder: &Decoder<B>, latent: Tensor<B, 4>) -> Tapped<B> {
    let mut h = rectify(convolved(&decoder.first, latent));
    if let Some(coarse) = &decoder.coarse {
        h = rectify(convolved(coarse, h));
    }
    let mut levels = vec![h.clone()];
    for level in 1..=decoder.levels.len() {
        h = decoder.stepped_up(level, h);
        levels.push(h.clone());
    }
    Tapped { output: decoder.picture(decoder.levels.len(), h), levels }
}

#[cfg(test)]
mod tests {
    use burn::{
        backend::{Flex, flex::FlexDevice},
        tensor::Distribution,
    };

    use super::*;
    use crate::train::model::{Comb, CombConfig, Stage};

    #[test]
    fn tapping_changes_nothing_and_gives_every_level() {
        for (coarse, separable, patches, mixed_first_px) in [
            (false, false, false, None),
            (false, true, false, None),
            (true, true, false, Some(16)),
            (false, true, true, Some(8)),
        ] {
            let config = CombConfig {
                latent: 12,
                encoder: vec![9, 8, 6],
                decoder: vec![10, 7, 5],
                whole_px: [0, 8],
                coarse,
                separable,
                mixed_first_px,
                patches,
            };
            let comb = Comb::<Flex>::new(&config, 1, &FlexDevice);
            let x = Tensor::random([2, 3, 16, 16], Distribution::Uniform(0.0, 1.0), &FlexDevice);
            let stage = Stage { level: 2, alpha: 1.0 };
            let encoded = encode(&comb.encoder, x.clone());
            let decoded = decode(&comb.decoders[0], encoded.output.clone());
            let plain = comb.encoder.forward(x, stage);
            let difference = |a: Tensor<Flex, 4>, b: Tensor<Flex, 4>| (a - b).abs().max().into_scalar();
            assert_eq!(difference(encoded.output, plain.clone()), 0.0);
            assert_eq!(difference(decoded.output, comb.decoders[0].forward(plain, stage)), 0.0);
            let shapes = |levels: &[Tensor<Flex, 4>]| levels.iter().map(Tensor::dims).collect::<Vec<_>>();
            let finest = if patches { 8 } else { 16 };
            assert_eq!(shapes(&encoded.levels), [[2, 8, finest, finest], [2, 9, 8, 8]]);
            assert_eq!(shapes(&decoded.levels), [[2, 10, 4, 4], [2, 7, 8, 8], [2, 5, finest, finest]]);
        }
    }
}
