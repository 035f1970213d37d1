//! The size of a comb, and what it costs.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Channels of a decoder's output: red, green, blue, mask.
pub(super) const N_OUT: usize = 4;

/// The two parts of a comb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Picture to latent.
    Encoder,
    /// Latent to picture.
    Decoder,
}

/// What a 3x3 convolution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of all channels.
    Whole,
    /// Each channel by itself, then all pixel by pixel.
    Separable,
    /// All channels pixel by pixel at half the side, then, doubled, each by itself.
    MixedFirst,
}

/// The size of a comb.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CombConfig {
    /// Numbers between encoder and decoder.
    pub latent: usize,
    /// Channels of the encoder at 4, 8, 16, .. pixels.
    pub encoder: Vec<usize>,
    /// Channels of the decoders at 4, 8, 16, .. pixels.
    pub decoder: Vec<usize>,
    /// Whether its 3x3 convolutions are depthwise-separable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub separable: bool,
    /// Sides of the levels up to which the 3x3 convolutions of encoder and decoder are whole in a separable network.
    #[serde(default, skip_serializing_if = "is_none")]
    pub whole_px: [usize; 2],
    /// Side of the level from which on the first convolution behind a doubling mixes channels before it, pixels. It doesn't ask for `separable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed_first_px: Option<usize>,
    /// Whether the finest level works on patches: its channels stand for 2x2 pixels, at half the side. A convolution over
    /// few channels of many places costs far more than one over many channels of few.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub patches: bool,
    /// Whether both parts have a 3x3 convolution at 4 pixels as well, as the published network does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub coarse: bool,
}

fn is_none(whole_px: &[usize; 2]) -> bool {
    *whole_px == [0; 2]
}

/// Channels of the published network at 4, 8, 16, .. 1024 pixels, and of its latent.
const PUBLISHED: [usize; 9] = [512, 512, 512, 512, 256, 128, 64, 32, 16];
/// See [`PUBLISHED`].
const PUBLISHED_LATENT: usize = 512;

impl CombConfig {
    /// A light comb whose finished side is `side_px`: a fraction of the published widths that two cores can train.
    ///
    /// # Errors
    /// [`Error::BadSetting`] unless the side is 16, 32, .. 1024.
    pub fn light(side_px: usize) -> Result<Self> {
        let n_levels = n_levels_of(side_px)?;
        //             4    8   16  32  64 128 256 512 1024
        let encoder = [128, 128, 64, 32, 16, 8, 8, 8, 8];
        let decoder = [160, 128, 96, 48, 24, 16, 12, 8, 8];
        let (encoder, decoder) = (encoder[..n_levels].to_vec(), decoder[..n_levels].to_vec());
        Ok(Self { latent: 256, encoder, decoder, ..Self::default() })
    }

    /// The published comb at `width` times its channels, whose finished side is `side_px`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] unless the side is 16, 32, .. 1024.
    pub fn published(side_px: usize, width: f64) -> Result<Self> {
        let of = |n: usize| ((n as f64 * width).round() as usize).max(4);
        let widths: Vec<usize> = PUBLISHED[..n_levels_of(side_px)?].iter().map(|n| of(*n)).collect();
        Ok(Self {
            latent: of(PUBLISHED_LATENT),
            encoder: widths.clone(),
            decoder: widths,
            coarse: true,
            ..Self::default()
        })
    }

    /// The same network up to a lower side.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for a side that isn't one of its levels.
    pub fn cut(&self, side_px: usize) -> Result<Self> {
        let n_levels = n_levels_of(side_px)?;
        if n_levels > self.n_levels() {
            let reason = format!("is above the configured network, which ends at {} px", self.side_px());
            return Err(Error::setting("--side", side_px, reason));
        }
        let cut = |widths: &[usize]| widths[..n_levels].to_vec();
        let patches = self.patches && n_levels == self.n_levels();
        Ok(Self { encoder: cut(&self.encoder), decoder: cut(&self.decoder), patches, ..self.clone() })
    }

    /// What is wrong with a size that somebody wrote down, if anything is.
    pub fn objection(&self) -> Option<String> {
        let (n, all) = (self.n_levels(), [&self.encoder[..], &self.decoder, &[self.latent]].concat());
        if n != self.decoder.len() || !(3..=9).contains(&n) {
            let (encoder, decoder) = (self.encoder.len(), self.decoder.len());
            return Some(format!(
                "encoder and decoder must list the channels at 4, 8, 16, .. px alike, 3 to 9 of them; they list {encoder} and {decoder}"
            ));
        }
        let bad = all.iter().find(|n| !(1..=4096).contains(*n));
        bad.map(|n| format!("{n} channels; must be 1 to 4096"))
    }

    /// Weights and biases of the encoder and of one decoder, those of all levels' steps from and to RGB included.
    pub fn n_parameters(&self) -> [u64; 2] {
        let conv = |n_in: usize, n_out: usize, kernel: usize| ((n_in * kernel * kernel + 1) * n_out) as u64;
        let coarse = |n: usize| if self.coarse { conv(n, n, 3) } else { 0 };
        let [e, d] = [&self.encoder, &self.decoder];
        let pixels = self.n_levels() - usize::from(self.patches);
        let of_pairs = |part: Part| -> u64 {
            let of = |(_, kind, [n_in, n_out]): (usize, Kind, [usize; 2])| {
                let [below, at_side] = weights(kind, n_in, n_out);
                // The part channel by channel has a bias where it comes last.
                let n_biases = if kind == Kind::MixedFirst { 2 * n_out } else { n_out };
                (below + at_side + n_biases) as u64
            };
            self.three_by_threes(part).map(of).sum()
        };
        let encoder = of_pairs(Part::Encoder)
            + e[..pixels].iter().map(|n| conv(3, *n, 1)).sum::<u64>()
            + e[pixels..].iter().map(|n| conv(3, *n, 2)).sum::<u64>()
            + conv(e[0], self.latent, 4)
            + coarse(e[0]);
        let decoder = of_pairs(Part::Decoder)
            + d[..pixels].iter().map(|n| conv(*n, N_OUT, 1)).sum::<u64>()
            + d[pixels..].iter().map(|n| ((n * 4 + 1) * N_OUT) as u64).sum::<u64>()
            + conv(self.latent, d[0], 4)
            + coarse(d[0]);
        [encoder, decoder]
    }

    /// Multiplications of one face through the finished encoder and through a decoder, zeros at the border counted.
    pub fn n_multiplications(&self) -> [u64; 2] {
        let places = |side_px: usize| (side_px * side_px) as u64;
        let [e, d] = [&self.encoder, &self.decoder];
        let top = self.n_levels() - 1;
        let coarse = |n: usize| if self.coarse { (n * n * 9) as u64 * places(4) } else { 0 };
        let of_pairs = |part: Part| -> u64 {
            let of = |(level, kind, [n_in, n_out]): (usize, Kind, [usize; 2])| {
                let ([below, at_side], px) = (weights(kind, n_in, n_out), self.computed_px(level));
                below as u64 * places(px / 2) + at_side as u64 * places(px)
            };
            self.three_by_threes(part).map(of).sum()
        };
        // Between colours and channels every pixel has its own weights, in patches as one by one.
        let rgb = |n: usize, n_colours: usize| (n * n_colours) as u64 * places(self.side_px());
        [
            of_pairs(Part::Encoder) + rgb(e[top], 3) + (e[0] * self.latent * 16) as u64 + coarse(e[0]),
            of_pairs(Part::Decoder)
                + rgb(d[top], N_OUT)
                + (self.latent * d[0] * 16) as u64 * places(4)
                + coarse(d[0]),
        ]
    }

    /// What the two 3x3 convolutions of a level, from 1, are.
    pub(super) fn kinds(&self, part: Part, level: usize) -> [Kind; 2] {
        let px = side_of_level(level);
        let is_separable = self.separable && px > self.whole_px[part as usize];
        let kind = if is_separable { Kind::Separable } else { Kind::Whole };
        let is_doubled = part == Part::Decoder && !self.is_in_patches(level);
        let is_mixed_first = is_doubled && self.mixed_first_px.is_some_and(|from| px >= from);
        [if is_mixed_first { Kind::MixedFirst } else { kind }, kind]
    }

    /// Whether a level, from 0, works on patches.
    pub fn is_in_patches(&self, level: usize) -> bool {
        self.patches && level + 1 == self.n_levels()
    }

    /// The side at which a level's convolutions run, pixels.
    fn computed_px(&self, level: usize) -> usize {
        side_of_level(level) >> usize::from(self.is_in_patches(level))
    }

    /// The 3x3 convolutions above 4 px: level, kind, and channels in and out.
    fn three_by_threes(&self, part: Part) -> impl Iterator<Item = (usize, Kind, [usize; 2])> {
        let widths = match part {
            Part::Encoder => &self.encoder,
            Part::Decoder => &self.decoder,
        };
        widths.windows(2).enumerate().flat_map(move |(i, w)| {
            let pair = match part {
                Part::Encoder => [[w[1], w[1]], [w[1], w[0]]],
                Part::Decoder => [[w[0], w[1]], [w[1], w[1]]],
            };
            let [a, b] = self.kinds(part, i + 1);
            [(i + 1, a, pair[0]), (i + 1, b, pair[1])]
        })
    }

    /// Levels of the finished network.
    pub fn n_levels(&self) -> usize {
        self.encoder.len()
    }

    /// Side of the finished network, pixels.
    pub fn side_px(&self) -> usize {
        side_of_level(self.n_levels() - 1)
    }
}

/// Weights of a 3x3 convolution that are used at half the side, before a doubling, and at the side itself.
fn weights(kind: Kind, n_in: usize, n_out: usize) -> [usize; 2] {
    match kind {
        Kind::Whole => [0, n_in * 9 * n_out],
        Kind::Separable => [0, n_in * (9 + n_out)],
        Kind::MixedFirst => [n_in * n_out, 9 * n_out],
    }
}

/// Levels of a network with this finished side.
fn n_levels_of(side_px: usize) -> Result<usize> {
    if !(16..=1024).contains(&side_px) || !side_px.is_power_of_two() {
        return Err(Error::setting("--side", side_px, "must be 16, 32, 64, 128, 256, 512 or 1024"));
    }
    Ok(side_px.ilog2() as usize - 1)
}

/// Pixels per side at a level.
pub fn side_of_level(level: usize) -> usize {
    4 << level
}
