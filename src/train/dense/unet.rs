//! A small U-Net: a picture in, a map of probabilities out, and one number for the whole picture.

use burn::{
    module::{Module, Param},
    nn::{BatchNorm, BatchNormConfig, conv::Conv2d},
    tensor::{Tensor, backend::Backend},
};

use crate::train::{
    base::put,
    export::{conv as write_conv, leaky as write_leaky},
    filters::convolutions,
    model::{conv, doubled, halved, rectifier_gain, rectify},
    onnx::{GraphWriter, Weights},
    quick::{convolved, normalised},
};

/// The size of a U-Net.
#[derive(Debug, Clone, PartialEq)]
pub struct UnetConfig {
    /// Side of the picture, pixels.
    pub side_px: usize,
    /// Channels at the picture's side, at half of it, and so on down.
    pub widths: Vec<usize>,
    /// The level at which the map comes out: 0 at the picture's side, 1 at half of it.
    pub map_level: usize,
    /// How much stronger than in the picture its finest detail (what half its side can't show) comes in.
    pub sharpening: f64,
}

impl UnetConfig {
    /// Side of the map, pixels.
    pub fn map_px(&self) -> usize {
        self.side_px >> self.map_level
    }
}

/// Going down, two 3x3 convolutions at each level; coming up, what was there on the way down is added.
#[derive(Module, Debug)]
pub struct Unet<B: Backend> {
    /// 3x3 from RGB.
    first: Layer<B>,
    /// Two for each level below the first.
    down: Vec<[Layer<B>; 2]>,
    /// 1x1 to the channels of the level above, from the lowest level up.
    narrow: Vec<Conv2d<B>>,
    /// 3x3 after the sum, in the same order.
    up: Vec<Layer<B>>,
    /// 1x1 to the map's logit.
    to_map: Conv2d<B>,
    /// 1x1 from the lowest level's means to the picture's logit.
    to_score: Conv2d<B>,
    /// As in [`UnetConfig`].
    sharpening: f64,
}

/// A 3x3 convolution, a normalisation over the batch, and a leaky rectifier. The export folds the normalisation into the convolution.
#[derive(Module, Debug)]
pub struct Layer<B: Backend> {
    conv: Conv2d<B>,
    norm: BatchNorm<B>,
}

/// What does a layer's work in a pass.
type Through<'a, B> = dyn FnMut(&Layer<B>, Tensor<B, 4>) -> Tensor<B, 4> + 'a;

/// Logits of a picture.
#[derive(Debug)]
pub struct Logits<B: Backend> {
    /// `[batch, 1, map, map]`.
    pub map: Tensor<B, 4>,
    /// `[batch, 1, 1, 1]`.
    pub score: Tensor<B, 4>,
}

impl<B: Backend> Layer<B> {
    /// With He's initial weights.
    pub fn new(n_in: usize, n_out: usize, device: &B::Device) -> Self {
        Self {
            conv: conv(n_in, n_out, 3, 1, rectifier_gain(), device),
            norm: BatchNormConfig::new(n_out).init(device),
        }
    }

    /// `[batch, in, h, w]` to `[batch, out, h, w]`.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        rectify(normalised(&self.norm, convolved(&self.conv, x)))
    }

    /// The convolution that does what convolution and normalisation do together.
    fn folded(&self) -> Conv2d<B> {
        let (mut conv, norm) = (self.conv.clone(), &self.norm);
        let scale = norm.gamma.val() / (norm.running_var.value() + norm.epsilon).sqrt();
        let (n, mean) = (scale.dims()[0], norm.running_mean.value());
        let bias = match &self.conv.bias {
            Some(bias) => bias.val() - mean,
            None => mean.neg(),
        };
        conv.weight = Param::from_tensor(self.conv.weight.val() * scale.clone().reshape([n, 1, 1, 1]));
        conv.bias = Some(Param::from_tensor(bias * scale + norm.beta.val()));
        conv
    }
}

/// Pictures whose finest detail (what half the side can't show) is stronger by `amount`.
pub fn sharpened<B: Backend>(x: Tensor<B, 4>, amount: f64) -> Tensor<B, 4> {
    let soft = doubled(halved(x.clone()));
    x * (1.0 + amount) - soft * amount
}

impl<B: Backend> Unet<B> {
    /// A network with He's initial weights.
    pub fn new(config: &UnetConfig, device: &B::Device) -> Self {
        let w = &config.widths;
        let lowest = w[w.len() - 1];
        let climbs = || (config.map_level..w.len() - 1).rev();
        Self {
            first: Layer::new(3, w[0], device),
            down: w.windows(2).map(|two| [two[0], two[1]].map(|n| Layer::new(n, two[1], device))).collect(),
            narrow: climbs().map(|level| conv(w[level + 1], w[level], 1, 0, 1.0, device)).collect(),
            up: climbs().map(|level| Layer::new(w[level], w[level], device)).collect(),
            to_map: conv(w[config.map_level], 1, 1, 0, 1.0, device),
            to_score: conv(lowest, 1, 1, 0, 1.0, device),
            sharpening: config.sharpening,
        }
    }

    /// Pictures to logits.
    ///
    /// # Shapes
    /// - input: `[batch, 3, side, side]`, RGB 0..=1
    pub fn forward(&self, x: Tensor<B, 4>) -> Logits<B> {
        self.walked(x, &mut |layer, h| layer.forward(h))
    }

    /// The same with every layer's work done by `through`, in the order of [`Unet::layers_mut`].
    fn walked(&self, x: Tensor<B, 4>, through: &mut Through<'_, B>) -> Logits<B> {
        let mut h = x * 2.0 - 1.0;
        if self.sharpening > 0.0 {
            h = sharpened(h, self.sharpening);
        }
        h = through(&self.first, h);
        let mut kept = Vec::new();
        for [a, b] in &self.down {
            kept.push(h.clone());
            h = through(a, halved(h));
            h = through(b, h);
        }
        let score = self.to_score.forward(h.clone().mean_dim(3).mean_dim(2));
        for ((narrow, up), beside) in self.narrow.iter().zip(&self.up).zip(kept.into_iter().rev()) {
            h = through(up, doubled(convolved(narrow, h)) + beside);
        }
        Logits { map: convolved(&self.to_map, h), score }
    }
}

impl<B: Backend> Unet<B> {
    /// Layers with a normalisation, in the order of the pass.
    fn layers_mut(&mut self) -> impl Iterator<Item = &mut Layer<B>> {
        std::iter::once(&mut self.first).chain(self.down.iter_mut().flatten()).chain(&mut self.up)
    }

    /// The network with normalisations that give back, for the pictures `x` (shape as for [`Unet::forward`]), what they
    /// take out: in training it does then what its convolutions do alone, as in a file that has them folded in.
    #[must_use]
    pub fn settled(mut self, x: Tensor<B, 4>) -> Self {
        let mut moments = Vec::new();
        self.walked(x, &mut |layer, h| {
            let h = convolved(&layer.conv, h);
            let [n, channels, height, width] = h.dims();
            let flat = h.clone().swap_dims(0, 1).reshape([channels, n * height * width]);
            let mean = flat.clone().mean_dim(1);
            let variance = (flat - mean.clone()).powi_scalar(2).mean_dim(1);
            moments.push([mean, variance].map(|moment| moment.reshape([channels]).detach()));
            rectify(h)
        });
        for (layer, [mean, variance]) in self.layers_mut().zip(moments) {
            let norm = &mut layer.norm;
            norm.gamma = Param::from_tensor((variance.clone() + norm.epsilon).sqrt());
            norm.beta = Param::from_tensor(mean.clone());
            norm.running_mean.update(mean);
            norm.running_var.update(variance);
        }
        self
    }

    /// The network with the weights of the ONNX file in `bytes`; its normalisations begin anew, see [`Unet::settled`].
    ///
    /// # Errors
    /// What is wrong with the file, in words.
    pub fn planted(mut self, bytes: &[u8], device: &B::Device) -> Result<Self, String> {
        let filters = convolutions(bytes)?;
        let mut convs: Vec<&mut Conv2d<B>> = vec![&mut self.first.conv];
        convs.extend(self.down.iter_mut().flatten().map(|layer| &mut layer.conv));
        convs
            .extend(self.narrow.iter_mut().zip(&mut self.up).flat_map(|(narrow, up)| [narrow, &mut up.conv]));
        convs.extend([&mut self.to_map, &mut self.to_score]);
        let fits = convs.len() == filters.len()
            && convs.iter().zip(&filters).all(|(conv, filter)| conv.weight.dims() == filter.dims);
        if !fits {
            return Err("is a network of another shape; training can't go on from it".into());
        }
        convs.into_iter().zip(&filters).for_each(|(conv, filter)| put(conv, filter, device));
        Ok(self)
    }
}

/// The network as ONNX: `face` `[batch, 3, side, side]`, RGB 0..=1, to `map_name` `[batch, 1, map, map]` and `score`
/// `[batch, 1, 1, 1]`, probabilities.
pub fn unet_onnx<B: Backend>(
    unet: &Unet<B>,
    config: &UnetConfig,
    map_name: &str,
    weights: Weights,
) -> Vec<u8> {
    let mut graph = GraphWriter::new(map_name, weights);
    let face = graph.input("face", &[3, config.side_px, config.side_px]);
    let mut h = graph.scaled(face, 2.0, -1.0);
    if config.sharpening > 0.0 {
        let gain = config.sharpening as f32;
        let soft = graph.halved(h.clone());
        let soft = graph.doubled(soft);
        let soft = graph.scaled(soft, -gain, 0.0);
        h = graph.scaled(h, 1.0 + gain, 0.0);
        h = graph.add(h, soft);
    }
    h = write_leaky(&mut graph, h, &unet.first.folded(), 1);
    let mut kept = Vec::new();
    for [a, b] in &unet.down {
        kept.push(h.clone());
        h = graph.halved(h);
        h = write_leaky(&mut graph, h, &a.folded(), 1);
        h = write_leaky(&mut graph, h, &b.folded(), 1);
    }
    let score = graph.mean(h.clone());
    for ((narrow, up), beside) in unet.narrow.iter().zip(&unet.up).zip(kept.into_iter().rev()) {
        h = write_conv(&mut graph, h, narrow, 0);
        h = graph.doubled(h);
        h = graph.add(h, beside);
        h = write_leaky(&mut graph, h, &up.folded(), 1);
    }
    let map = write_conv(&mut graph, h, &unet.to_map, 0);
    let map = graph.sigmoid(map);
    let score = write_conv(&mut graph, score, &unet.to_score, 0);
    let score = graph.sigmoid(score);
    graph.output(map_name, map, &[1, config.map_px(), config.map_px()]);
    graph.output("score", score, &[1, 1, 1]);
    graph.finish()
}
