//! The comb: one encoder, a decoder for each identity (section 2 of the method; layout as in the published network).
//!
//! Level `k` works at `4 * 2^k` pixels. All levels of the finished network exist from the start; [`Stage`] says how
//! many are in use, and how far the newest has faded in.

use burn::{
    module::Module,
    nn::{
        Initializer, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig},
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

pub use super::comb::{CombConfig, Part, side_of_level};
use super::{
    comb::{Kind, N_OUT},
    quick::{convolved, rectified},
};

/// Slope of the leaky rectifier below zero.
pub const SLOPE: f64 = 0.2;

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
    /// 1x1 convolutions from RGB, one for each level; 2x2 with stride 2 for a level that works on patches.
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
    /// 1x1 convolutions to RGB and mask, one for each level that works on pixels.
    pub to_rgb: Vec<Conv2d<B>>,
    /// The same for a finest level that works on patches: a transposed convolution of 2x2 with stride 2.
    pub to_patches: Option<ConvTranspose2d<B>>,
}

/// Two 3x3 convolutions, each with a leaky rectifier. A depthwise-separable one is two: each channel by itself, 3x3
/// and without bias, then all channels pixel by pixel, 1x1; there is no rectifier in between (Chollet, "Xception",
/// 2017, found that one there hurts). Behind a doubling the first one may come the other way round: it mixes channels at
/// half the side, of which there are fewer afterwards, and then each is doubled and convolved by itself.
#[derive(Module, Debug)]
pub struct Pair<B: Backend> {
    /// The first, or its 1x1 part.
    pub a: Conv2d<B>,
    /// The second, or its 1x1 part.
    pub b: Conv2d<B>,
    /// The first one's part channel by channel; with a bias where it comes last. Checkpoints that know of none have none.
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

/// A convolution from the colours of patches of 2x2 pixels, with He's initial weights.
fn from_patches<B: Backend>(n_out: usize, device: &B::Device) -> Conv2d<B> {
    Conv2dConfig::new([3, n_out], [2, 2])
        .with_stride([2, 2])
        .with_initializer(Initializer::KaimingNormal { gain: rectifier_gain(), fan_out_only: false })
        .init(device)
}

/// He's gain for the leaky rectifier.
pub(super) fn rectifier_gain() -> f64 {
    (2.0 / (1.0 + SLOPE * SLOPE)).sqrt()
}

/// A 3x3 convolution of every channel by itself.
fn depthwise<B: Backend>(n: usize, has_bias: bool, device: &B::Device) -> Conv2d<B> {
    Conv2dConfig::new([n, n], [3, 3])
        .with_groups(n)
        .with_bias(has_bias)
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .with_initializer(Initializer::KaimingNormal { gain: 1.0, fan_out_only: false })
        .init(device)
}

impl<B: Backend> Pair<B> {
    fn new(widths: [usize; 3], kinds: [Kind; 2], device: &B::Device) -> Self {
        let [n_in, n_mid, n_out] = widths;
        let mixing = |kind: Kind, n_in: usize, n_out: usize| {
            let (kernel, pad) = if kind == Kind::Whole { (3, 1) } else { (1, 0) };
            conv(n_in, n_out, kernel, pad, rectifier_gain(), device)
        };
        let apart = |kind: Kind, n_in: usize, n_out: usize| match kind {
            Kind::Whole => None,
            Kind::Separable => Some(depthwise(n_in, false, device)),
            Kind::MixedFirst => Some(depthwise(n_out, true, device)),
        };
        Self {
            a: mixing(kinds[0], n_in, n_mid),
            b: mixing(kinds[1], n_mid, n_out),
            a_depthwise: apart(kinds[0], n_in, n_mid),
            b_depthwise: apart(kinds[1], n_mid, n_out),
        }
    }

    /// # Shapes
    /// `[batch, in, h, w]` to `[batch, out, h, w]`
    pub(super) fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        self.second(rectify(convolved(&self.a, apart(self.a_depthwise.as_ref(), x))))
    }

    /// The same of an activation that is doubled first.
    ///
    /// # Shapes
    /// `[batch, in, h, w]` to `[batch, out, 2 h, 2 w]`
    pub(super) fn forward_doubled(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        match self.mixed_first() {
            Some(depthwise) => self.second(rectify(convolved(depthwise, doubled(convolved(&self.a, x))))),
            None => self.forward(doubled(x)),
        }
    }

    fn second(&self, h: Tensor<B, 4>) -> Tensor<B, 4> {
        rectify(convolved(&self.b, apart(self.b_depthwise.as_ref(), h)))
    }

    /// The first one's part channel by channel, where it comes behind the mixing.
    pub(super) fn mixed_first(&self) -> Option<&Conv2d<B>> {
        self.a_depthwise.as_ref().filter(|depthwise| depthwise.bias.is_some())
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
        let from_rgb = |(level, n): (usize, &usize)| {
            if config.is_in_patches(level) {
                from_patches(*n, device)
            } else {
                conv(3, *n, 1, 0, gain, device)
            }
        };
        let pair = |(i, w): (usize, &[usize])| {
            Pair::new([w[1], w[1], w[0]], config.kinds(Part::Encoder, i + 1), device)
        };
        Self {
            from_rgb: c.iter().enumerate().map(from_rgb).collect(),
            levels: c.windows(2).enumerate().map(pair).collect(),
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
            h = self.stepped_down(level, self.levels[level - 1].forward(h));
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

    /// What the level below sees of a level's activation: half the side, unless patches have it already.
    pub(super) fn stepped_down(&self, level: usize, h: Tensor<B, 4>) -> Tensor<B, 4> {
        if self.is_in_patches(level) { h } else { self.down.forward(h) }
    }

    /// Whether a level works on patches.
    pub(super) fn is_in_patches(&self, level: usize) -> bool {
        self.from_rgb[level].stride == [2, 2]
    }
}

impl<B: Backend> Decoder<B> {
    fn new(config: &CombConfig, device: &B::Device) -> Self {
        let c = &config.decoder;
        let (finest, pixels) = if config.patches { (c.last(), &c[..c.len() - 1]) } else { (None, &c[..]) };
        let to_patches = |n: &usize| {
            ConvTranspose2dConfig::new([*n, N_OUT], [2, 2])
                .with_stride([2, 2])
                .with_initializer(Initializer::KaimingNormal { gain: 1.0, fan_out_only: false })
                .init(device)
        };
        let pair = |(i, w): (usize, &[usize])| {
            Pair::new([w[0], w[1], w[1]], config.kinds(Part::Decoder, i + 1), device)
        };
        Self {
            first: conv(config.latent, c[0], 4, 3, rectifier_gain(), device),
            coarse: config.coarse.then(|| conv(c[0], c[0], 3, 1, rectifier_gain(), device)),
            levels: c.windows(2).enumerate().map(pair).collect(),
            to_rgb: pixels.iter().map(|n| conv(*n, N_OUT, 1, 0, 1.0, device)).collect(),
            to_patches: finest.map(to_patches),
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
            return self.picture(0, h);
        };
        for pair in &self.levels[..newest] {
            h = pair.forward_doubled(h);
        }
        let new = self.picture(stage.level, self.stepped_up(stage.level, h.clone()));
        if stage.alpha >= 1.0 {
            return new;
        }
        let old = doubled(self.picture(newest, h));
        new * stage.alpha + old * (1.0 - stage.alpha)
    }

    /// What a level, from 1, makes of the activation below it: at twice the side, unless it works on patches.
    pub(super) fn stepped_up(&self, level: usize, h: Tensor<B, 4>) -> Tensor<B, 4> {
        let pair = &self.levels[level - 1];
        if self.is_in_patches(level) { pair.forward(h) } else { pair.forward_doubled(h) }
    }

    /// Colours and mask of a level's activation.
    pub(super) fn picture(&self, level: usize, h: Tensor<B, 4>) -> Tensor<B, 4> {
        sigmoid(match &self.to_patches {
            Some(to_patches) if self.is_in_patches(level) => to_patches.forward(h),
            _ => convolved(&self.to_rgb[level], h),
        })
    }

    /// Whether a level works on patches.
    pub(super) fn is_in_patches(&self, level: usize) -> bool {
        self.to_patches.is_some() && level == self.levels.len()
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

/// Half the side and four times the channels: channel `c` of the pixel in row `y` and column `x` of a patch of 2x2 is channel
/// `4 c + 2 y + x`.
///
/// # Shapes
/// `[batch, channels, h, w]` to `[batch, 4 channels, h / 2, w / 2]`
pub(super) fn unshuffled<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    let [n, c, h, w] = x.dims();
    let apart = x.reshape([n, c, h / 2, 2, w / 2, 2]).permute([0, 1, 3, 5, 2, 4]);
    apart.reshape([n, 4 * c, h / 2, w / 2])
}
