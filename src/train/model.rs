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
        activation::{leaky_relu, sigmoid},
        backend::Backend,
        module::{avg_pool2d, interpolate},
        ops::{InterpolateMode, InterpolateOptions},
    },
};
use serde::{Deserialize, Serialize};

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
}

impl CombConfig {
    /// A light comb whose finished side is `side_px`: a fraction of the published widths that two cores can train.
    ///
    /// # Errors
    /// [`Error::BadSetting`] unless the side is 16, 32, .. 1024.
    pub fn light(side_px: usize) -> Result<Self> {
        if !(16..=1024).contains(&side_px) || !side_px.is_power_of_two() {
            return Err(Error::setting("--side", side_px, "must be 16, 32, 64, 128, 256, 512 or 1024"));
        }
        let n_levels = side_px.ilog2() as usize - 1;
        //             4    8   16  32  64 128 256 512 1024
        let encoder = [128, 128, 64, 32, 16, 8, 8, 8, 8];
        let decoder = [160, 128, 96, 48, 24, 16, 12, 8, 8];
        Ok(Self {
            latent: 256,
            encoder: encoder[..n_levels].to_vec(),
            decoder: decoder[..n_levels].to_vec(),
            separable: false,
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
    /// 4x4 to 1x1.
    pub last: Conv2d<B>,
    down: AvgPool2d,
}

/// Latent to picture and mask.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    /// 1x1 to 4x4.
    pub first: Conv2d<B>,
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
        let h = rectify(self.a.forward(apart(self.a_depthwise.as_ref(), x)));
        rectify(self.b.forward(apart(self.b_depthwise.as_ref(), h)))
    }
}

/// Each channel by itself, where there is a convolution for that.
pub(super) fn apart<B: Backend>(depthwise: Option<&Conv2d<B>>, x: Tensor<B, 4>) -> Tensor<B, 4> {
    match depthwise {
        Some(depthwise) => depthwise.forward(x),
        None => x,
    }
}

/// The leaky rectifier.
pub(super) fn rectify<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    leaky_relu(x, SLOPE)
}

impl<B: Backend> Encoder<B> {
    fn new(config: &CombConfig, device: &B::Device) -> Self {
        let c = &config.encoder;
        let gain = rectifier_gain();
        Self {
            from_rgb: c.iter().map(|n| conv(3, *n, 1, 0, gain, device)).collect(),
            levels: c.windows(2).map(|w| Pair::new([w[1], w[1], w[0]], config.separable, device)).collect(),
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
        let mut h = rectify(self.from_rgb[level].forward(x.clone()));
        if level > 0 {
            h = self.down.forward(self.levels[level - 1].forward(h));
            level -= 1;
            if stage.alpha < 1.0 {
                let old = rectify(self.from_rgb[level].forward(self.down.forward(x)));
                h = h * stage.alpha + old * (1.0 - stage.alpha);
            }
        }
        for pair in self.levels[..level].iter().rev() {
            h = self.down.forward(pair.forward(h));
        }
        rectify(self.last.forward(h))
    }
}

impl<B: Backend> Decoder<B> {
    fn new(config: &CombConfig, device: &B::Device) -> Self {
        let c = &config.decoder;
        Self {
            first: conv(config.latent, c[0], 4, 3, rectifier_gain(), device),
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
        let mut h = rectify(self.first.forward(latent));
        let Some(newest) = stage.level.checked_sub(1) else {
            return sigmoid(self.to_rgb[0].forward(h));
        };
        for pair in &self.levels[..newest] {
            h = pair.forward(doubled(h));
        }
        let new = sigmoid(self.to_rgb[stage.level].forward(self.levels[newest].forward(doubled(h.clone()))));
        if stage.alpha >= 1.0 {
            return new;
        }
        let old = doubled(sigmoid(self.to_rgb[newest].forward(h)));
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

/// Half the side, each pixel the mean of four.
pub(super) fn halved<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    avg_pool2d(x, [2, 2], [2, 2], [0, 0], false, false)
}
