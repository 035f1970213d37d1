//! The comb: one encoder, a decoder for each identity (section 2 of the method; layout as in the published network).
//!
//! Level `k` works at `4 * 2^k` pixels. All levels of the finished network exist from the start; [`Stage`] says how
//! many are in use, and how far the newest has faded in.

use burn::{
    module::Module,
    nn::{
        Initializer, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        pool::{AvgPool2d, AvgPool2dConfig},
    },
    tensor::{
        Tensor,
        activation::sigmoid,
        backend::Backend,
        module::{avg_pool2d, interpolate},
        ops::{InterpolateMode, InterpolateOptions},
    },
};
use serde::{Deserialize, Serialize};

use super::quick::{convolved, rectified};
use crate::{Error, Result};

/// Slope of the leaky rectifier below zero.
pub const SLOPE: f64 = 0.2;

/// Channels of a decoder's output: red, green, blue, mask.
const N_OUT: usize = 4;

/// The size of a comb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whether both parts have a 3x3 convolution at 4 pixels as well, as the published network does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub coarse: bool,
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
        Ok(Self { latent: 256, encoder, decoder, coarse: false, separable: false })
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
            separable: false,
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
        Ok(Self { encoder: cut(&self.encoder), decoder: cut(&self.decoder), ..self.clone() })
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
        let [e, d] = [&self.encoder, &self.decoder];
        let coarse = |n: usize| if self.coarse { conv(n, n, 3) } else { 0 };
        let encoder = e.windows(2).map(|w| conv(w[1], w[1], 3) + conv(w[1], w[0], 3)).sum::<u64>()
            + e.iter().map(|n| conv(3, *n, 1)).sum::<u64>()
            + conv(e[0], self.latent, 4);
        let decoder = d.windows(2).map(|w| conv(w[0], w[1], 3) + conv(w[1], w[1], 3)).sum::<u64>()
            + d.iter().map(|n| conv(*n, N_OUT, 1)).sum::<u64>()
            + conv(self.latent, d[0], 4);
        [encoder + coarse(e[0]), decoder + coarse(d[0])]
    }

    /// Multiplications of one face through the finished encoder and through a decoder, zeros at the border counted.
    pub fn n_multiplications(&self) -> [u64; 2] {
        let conv = |n_in: usize, n_out: usize, kernel: usize, side_px: usize| {
            (n_in * n_out * kernel * kernel * side_px * side_px) as u64
        };
        let pairs = |widths: &[usize], pair: &dyn Fn(usize, usize, usize) -> u64| -> u64 {
            widths.windows(2).enumerate().map(|(i, w)| pair(w[0], w[1], side_of_level(i + 1))).sum()
        };
        let [e, d] = [&self.encoder, &self.decoder];
        let (top, px) = (self.n_levels() - 1, self.side_px());
        let coarse = |n: usize| if self.coarse { conv(n, n, 3, 4) } else { 0 };
        let encoder = pairs(e, &|below, own, px| conv(own, own, 3, px) + conv(own, below, 3, px))
            + conv(3, e[top], 1, px);
        let decoder = pairs(d, &|below, own, px| conv(below, own, 3, px) + conv(own, own, 3, px))
            + conv(d[top], N_OUT, 1, px);
        [
            encoder + conv(e[0], self.latent, 4, 1) + coarse(e[0]),
            decoder + conv(self.latent, d[0], 4, 4) + coarse(d[0]),
        ]
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

/// How much of the network is in use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The newest level, from 0.
    pub level: usize,
    /// How far it has faded in, 0..=1.
    pub alpha: f64,
}

/// The whole: one encoder, a decoder for each identity.
#[derive(Module, Debug)]
pub struct Comb<B: Backend> {
    /// Shared by all identities.
    pub encoder: Encoder<B>,
    /// In the order of the identities.
    pub decoders: Vec<Decoder<B>>,
}

/// Picture to latent.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    /// 1x1 convolutions from RGB, one for each level.
    pub from_rgb: Vec<Conv2d<B>>,
    /// Two 3x3 convolutions for each level above the first, and the step down in channels.
    pub levels: Vec<Pair<B>>,
    /// 3x3 at 4 pixels, in networks that have it.
    pub coarse: Option<Conv2d<B>>,
    /// 4x4 to 1x1.
    pub last: Conv2d<B>,
    down: AvgPool2d,
}

/// Latent to picture and mask.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    /// 1x1 to 4x4.
    pub first: Conv2d<B>,
    /// 3x3 at 4 pixels, in networks that have it.
    pub coarse: Option<Conv2d<B>>,
    /// Two 3x3 convolutions for each level above the first.
    pub levels: Vec<Pair<B>>,
    /// 1x1 convolutions to RGB and mask, one for each level.
    pub to_rgb: Vec<Conv2d<B>>,
}

/// Two 3x3 convolutions, each with a leaky rectifier. A depthwise-separable one is two: each channel by itself, 3x3
/// and without bias, then all channels pixel by pixel, 1x1; there is no rectifier in between (Chollet, "Xception",
/// 2017, found that one there hurts).
#[derive(Module, Debug)]
pub struct Pair<B: Backend> {
    /// The first, or its 1x1 part.
    pub a: Conv2d<B>,
    /// The second, or its 1x1 part.
    pub b: Conv2d<B>,
    /// The first one's part channel by channel. Checkpoints that know of none have none.
    pub a_depthwise: Option<Conv2d<B>>,
    /// The second one's.
    pub b_depthwise: Option<Conv2d<B>>,
}

/// A convolution with He's initial weights of that gain.
pub(super) fn conv<B: Backend>(
    n_in: usize,
    n_out: usize,
    kernel: usize,
    pad: usize,
    gain: f64,
    device: &B::Device,
) -> Conv2d<B> {
    Conv2dConfig::new([n_in, n_out], [kernel, kernel])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_initializer(Initializer::KaimingNormal { gain, fan_out_only: false })
        .init(device)
}

/// He's gain for the leaky rectifier.
pub(super) fn rectifier_gain() -> f64 {
    (2.0 / (1.0 + SLOPE * SLOPE)).sqrt()
}

/// A 3x3 convolution of every channel by itself.
fn depthwise<B: Backend>(n: usize, device: &B::Device) -> Conv2d<B> {
    Conv2dConfig::new([n, n], [3, 3])
        .with_groups(n)
        .with_bias(false)
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .with_initializer(Initializer::KaimingNormal { gain: 1.0, fan_out_only: false })
        .init(device)
}

impl<B: Backend> Pair<B> {
    fn new(widths: [usize; 3], is_separable: bool, device: &B::Device) -> Self {
        let (gain, [n_in, n_mid, n_out]) = (rectifier_gain(), widths);
        let (kernel, pad) = if is_separable { (1, 0) } else { (3, 1) };
        Self {
            a: conv(n_in, n_mid, kernel, pad, gain, device),
            b: conv(n_mid, n_out, kernel, pad, gain, device),
            a_depthwise: is_separable.then(|| depthwise(n_in, device)),
            b_depthwise: is_separable.then(|| depthwise(n_mid, device)),
        }
    }

    /// # Shapes
    /// `[batch, in, h, w]` to `[batch, out, h, w]`
    pub(super) fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let h = rectify(convolved(&self.a, apart(self.a_depthwise.as_ref(), x)));
        rectify(convolved(&self.b, apart(self.b_depthwise.as_ref(), h)))
    }

    /// Both, in the order in which they run, without what is channel by channel.
    pub(super) fn convs(&mut self) -> [&mut Conv2d<B>; 2] {
        [&mut self.a, &mut self.b]
    }
}

/// Each channel by itself, where there is a convolution for that.
pub(super) fn apart<B: Backend>(depthwise: Option<&Conv2d<B>>, x: Tensor<B, 4>) -> Tensor<B, 4> {
    match depthwise {
        Some(depthwise) => convolved(depthwise, x),
        None => x,
    }
}

/// The leaky rectifier.
pub(super) fn rectify<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    rectified(x, SLOPE)
}

impl<B: Backend> Encoder<B> {
    fn new(config: &CombConfig, device: &B::Device) -> Self {
        let c = &config.encoder;
        let gain = rectifier_gain();
        Self {
            from_rgb: c.iter().map(|n| conv(3, *n, 1, 0, gain, device)).collect(),
            levels: c.windows(2).map(|w| Pair::new([w[1], w[1], w[0]], config.separable, device)).collect(),
            coarse: config.coarse.then(|| conv(c[0], c[0], 3, 1, gain, device)),
            last: conv(c[0], config.latent, 4, 0, gain, device),
            down: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        }
    }

    /// Pictures to latents.
    ///
    /// # Shapes
    /// - input: `[batch, 3, side, side]`, RGB 0..=1, side of `stage.level`
    /// - output: `[batch, latent, 1, 1]`
    pub fn forward(&self, x: Tensor<B, 4>, stage: Stage) -> Tensor<B, 4> {
        let mut level = stage.level;
        let mut h = rectify(convolved(&self.from_rgb[level], x.clone()));
        if level > 0 {
            h = self.down.forward(self.levels[level - 1].forward(h));
            level -= 1;
            if stage.alpha < 1.0 {
                let old = rectify(convolved(&self.from_rgb[level], self.down.forward(x)));
                h = h * stage.alpha + old * (1.0 - stage.alpha);
            }
        }
        for pair in self.levels[..level].iter().rev() {
            h = self.down.forward(pair.forward(h));
        }
        if let Some(coarse) = &self.coarse {
            h = rectify(convolved(coarse, h));
        }
        rectify(convolved(&self.last, h))
    }
}

impl<B: Backend> Decoder<B> {
    fn new(config: &CombConfig, device: &B::Device) -> Self {
        let c = &config.decoder;
        Self {
            first: conv(config.latent, c[0], 4, 3, rectifier_gain(), device),
            coarse: config.coarse.then(|| conv(c[0], c[0], 3, 1, rectifier_gain(), device)),
            levels: c.windows(2).map(|w| Pair::new([w[0], w[1], w[1]], config.separable, device)).collect(),
            to_rgb: c.iter().map(|n| conv(*n, N_OUT, 1, 0, 1.0, device)).collect(),
        }
    }

    /// Latents to pictures and masks.
    ///
    /// # Shapes
    /// - input: `[batch, latent, 1, 1]`
    /// - output: `[batch, 4, side, side]`: red, green, blue, mask, 0..=1
    pub fn forward(&self, latent: Tensor<B, 4>, stage: Stage) -> Tensor<B, 4> {
        let mut h = rectify(convolved(&self.first, latent));
        if let Some(coarse) = &self.coarse {
            h = rectify(convolved(coarse, h));
        }
        let Some(newest) = stage.level.checked_sub(1) else {
            return sigmoid(convolved(&self.to_rgb[0], h));
        };
        for pair in &self.levels[..newest] {
            h = pair.forward(doubled(h));
        }
        let new =
            sigmoid(convolved(&self.to_rgb[stage.level], self.levels[newest].forward(doubled(h.clone()))));
        if stage.alpha >= 1.0 {
            return new;
        }
        let old = doubled(sigmoid(convolved(&self.to_rgb[newest], h)));
        new * stage.alpha + old * (1.0 - stage.alpha)
    }
}

impl<B: Backend> Comb<B> {
    /// A comb with He's initial weights.
    pub fn new(config: &CombConfig, n_identities: usize, device: &B::Device) -> Self {
        Self {
            encoder: Encoder::new(config, device),
            decoders: (0..n_identities).map(|_| Decoder::new(config, device)).collect(),
        }
    }

    /// Pictures as identity `who`: shapes as in the forward passes of `Encoder` and `Decoder`.
    pub fn forward(&self, x: Tensor<B, 4>, who: usize, stage: Stage) -> Tensor<B, 4> {
        self.decoders[who].forward(self.encoder.forward(x, stage), stage)
    }
}

/// Twice the side, bilinear with half-pixel centres: nearest would leave blocks.
pub(super) fn doubled<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    let [_, _, h, w] = x.dims();
    let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
    interpolate(x, [h * 2, w * 2], options)
}

/// The colours of a decoder's output, `[batch, 4, side, side]`, without its mask.
pub(super) fn colours<B: Backend>(output: &Tensor<B, 4>) -> Tensor<B, 4> {
    output.clone().narrow(1, 0, 3)
}

/// Half the side, each pixel the mean of four.
pub(super) fn halved<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    avg_pool2d(x, [2, 2], [2, 2], [0, 0], false, false)
}
