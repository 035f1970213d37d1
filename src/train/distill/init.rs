//! A student that begins with what fits of its teacher's weights.
//!
//! Narrower: of each layer's channels the ones that weigh most, by the norm of the filter that makes a channel times
//! that of the weights that read it. Separable: of each 3x3 filter the nearest product of a kernel for every input
//! channel and a mixing of channels, which is the first singular pair of the channel's kernels (Eckart and Young, 1936).

use burn::{
    module::Param,
    nn::conv::{Conv2d, ConvTranspose2d},
    tensor::{Tensor, TensorData, backend::Backend},
};

use super::{
    calibrate::{Kept, calibrated},
    patches::{decoder_in_patches, encoder_in_patches},
    student::Student,
    teacher::Teacher,
};
use crate::train::{
    base::put,
    filters::Filter,
    model::{CombConfig, Decoder, Encoder, Pair},
};

/// Steps of the power iteration; the first singular value is far above the second in trained filters.
const N_POWER_STEPS: usize = 30;

/// `student` with the teacher's weights, fitted on `faces` `[batch, 3, side, side]`, and projections that put each kept
/// channel back in its place.
pub fn begun<B: Backend>(
    student: Student<B>,
    teacher: &Teacher,
    config: &CombConfig,
    faces: Tensor<B, 4>,
    device: &B::Device,
) -> Student<B> {
    let [encoder, decoder] = teacher.filters();
    let [encoder, decoder] = if config.patches {
        [encoder_in_patches(encoder), decoder_in_patches(decoder)]
    } else {
        [encoder.to_vec(), decoder.to_vec()]
    };
    let encoder = narrowed(&encoder, &encoder_widths(config));
    let decoder = narrowed(&decoder, &decoder_widths(config));
    let Student { mut comb, encoder_projections, decoder_projections } = student;
    let own = comb.decoders.remove(0);
    comb.encoder = filled_encoder(comb.encoder, &encoder.filters, device);
    comb.decoders = vec![filled_decoder(own, &decoder.filters, device)];
    let kept = Kept { encoder: encoder.kept.clone(), decoder: decoder.kept.clone() };
    let comb = calibrated(comb, &teacher.comb(device), &kept, faces, device);
    let projections = |projections: Vec<Conv2d<B>>, kept: &[Vec<usize>]| -> Vec<Conv2d<B>> {
        projections.into_iter().zip(kept).map(|(conv, kept)| restoring(conv, kept, device)).collect()
    };
    // The level's activation is what its second convolution gives.
    let of_encoder: Vec<_> = encoder.kept.iter().skip(2).step_by(2).cloned().collect();
    let first = usize::from(config.coarse);
    let of_decoder: Vec<_> = decoder.kept.iter().skip(first).step_by(2).cloned().collect();
    Student {
        comb,
        encoder_projections: projections(encoder_projections, &of_encoder),
        decoder_projections: projections(decoder_projections, &of_decoder),
    }
}

/// Output channels of an encoder's convolutions in the order in which they run.
fn encoder_widths(config: &CombConfig) -> Vec<usize> {
    let c = &config.encoder;
    let pairs = c.windows(2).rev().flat_map(|w| [w[1], w[0]]);
    let coarse = config.coarse.then_some(c[0]);
    c.last().copied().into_iter().chain(pairs).chain(coarse).chain([config.latent]).collect()
}

/// The same of a decoder's, up to the picture, whose channels are all needed.
fn decoder_widths(config: &CombConfig) -> Vec<usize> {
    let c = &config.decoder;
    let coarse = config.coarse.then_some(c[0]);
    c.first()
        .copied()
        .into_iter()
        .chain(coarse)
        .chain(c[1..].iter().flat_map(|n| [*n, *n]))
        .chain([usize::MAX])
        .collect()
}

/// Convolutions with fewer channels between them.
struct Narrowed {
    filters: Vec<Filter>,
    /// The channels that are left after each convolution but the last, by their old numbers.
    kept: Vec<Vec<usize>>,
}

/// A chain of convolutions with at most `widths` channels after each.
fn narrowed(chain: &[Filter], widths: &[usize]) -> Narrowed {
    let kept: Vec<Vec<usize>> = chain
        .windows(2)
        .zip(widths)
        .map(|(two, width)| {
            let weight = |c: &usize| norm(row(&two[0], *c)) * norm(column(&two[1], *c));
            let mut order: Vec<usize> = (0..two[0].dims[0]).collect();
            order.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
            order.truncate(*width);
            order.sort_unstable();
            order
        })
        .collect();
    let all = |n: usize| (0..n).collect::<Vec<_>>();
    let (last, first) = (all(chain[chain.len() - 1].dims[0]), all(chain[0].dims[1]));
    let inputs = std::iter::once(&first).chain(&kept);
    let outputs = kept.iter().chain([&last]);
    let filters = chain.iter().zip(inputs.zip(outputs)).map(|(f, (i, o))| cut(f, i, o)).collect();
    Narrowed { filters, kept }
}

/// The kernels that make an output channel, one after the other.
fn row(filter: &Filter, output: usize) -> impl Iterator<Item = f32> {
    let n = filter.weight.len() / filter.dims[0];
    filter.weight[output * n..(output + 1) * n].iter().copied()
}

/// The kernels that read an input channel, one after the other.
fn column(filter: &Filter, input: usize) -> impl Iterator<Item = f32> {
    let [_, n_in, h, w] = filter.dims;
    filter.weight.chunks_exact(h * w).skip(input).step_by(n_in).flatten().copied()
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

/// A filter's share between some of its input and output channels.
fn cut(filter: &Filter, inputs: &[usize], outputs: &[usize]) -> Filter {
    let [_, n_in, h, w] = filter.dims;
    let kernel = |o: usize, i: usize| &filter.weight[(o * n_in + i) * h * w..(o * n_in + i + 1) * h * w];
    Filter {
        dims: [outputs.len(), inputs.len(), h, w],
        weight: outputs.iter().flat_map(|o| inputs.iter().flat_map(|i| kernel(*o, *i))).copied().collect(),
        bias: outputs.iter().map(|o| filter.bias[*o]).collect(),
    }
}

/// A filter as the nearest pair of one kernel for each input channel, `[in, 1, h, w]`, and a mixing, `[out, in, 1, 1]`.
fn separated(filter: &Filter) -> (Filter, Filter) {
    let [n_out, n_in, h, w] = filter.dims;
    let mut kernels = Vec::with_capacity(n_in * h * w);
    let mut mixing = vec![0.0; n_out * n_in];
    for i in 0..n_in {
        let rows: Vec<f32> = column(filter, i).collect();
        let kernel = first_singular(&rows, h * w);
        for (o, row) in rows.chunks_exact(h * w).enumerate() {
            mixing[o * n_in + i] = row.iter().zip(&kernel).map(|(a, b)| a * b).sum();
        }
        kernels.extend(kernel);
    }
    (
        Filter { dims: [n_in, 1, h, w], weight: kernels, bias: vec![0.0; n_in] },
        Filter { dims: [n_out, n_in, 1, 1], weight: mixing, bias: filter.bias.clone() },
    )
}

/// A filter as the nearest pair of a mixing, `[out, in, 1, 1]`, and one kernel for each output channel, `[out, 1, h, w]`, which
/// has the bias.
fn separated_mixed_first(filter: &Filter) -> (Filter, Filter) {
    let [n_out, n_in, h, w] = filter.dims;
    let mut kernels = Vec::with_capacity(n_out * h * w);
    let mut mixing = Vec::with_capacity(n_out * n_in);
    for o in 0..n_out {
        let rows: Vec<f32> = row(filter, o).collect();
        let kernel = first_singular(&rows, h * w);
        let along = |row: &[f32]| row.iter().zip(&kernel).map(|(a, b)| a * b).sum::<f32>();
        mixing.extend(rows.chunks_exact(h * w).map(along));
        kernels.extend(kernel);
    }
    (
        Filter { dims: [n_out, n_in, 1, 1], weight: mixing, bias: vec![0.0; n_out] },
        Filter { dims: [n_out, 1, h, w], weight: kernels, bias: filter.bias.clone() },
    )
}

/// The direction, of length 1, along which `rows` of `n` numbers are longest.
fn first_singular(rows: &[f32], n: usize) -> Vec<f32> {
    let longest =
        rows.chunks_exact(n).max_by(|a, b| norm(a.iter().copied()).total_cmp(&norm(b.iter().copied())));
    let mut direction = longest.map_or_else(|| vec![0.0; n], <[f32]>::to_vec);
    for _ in 0..N_POWER_STEPS {
        let mut next = vec![0.0; n];
        for row in rows.chunks_exact(n) {
            let along: f32 = row.iter().zip(&direction).map(|(a, b)| a * b).sum();
            next.iter_mut().zip(row).for_each(|(sum, v)| *sum += along * v);
        }
        let length = norm(next.iter().copied()) as f32;
        if length <= f32::MIN_POSITIVE {
            // A channel that nobody reads: any direction will do.
            next = vec![0.0; n];
            next[n / 2] = 1.0;
            return next;
        }
        direction = next.into_iter().map(|v| v / length).collect();
    }
    direction
}

/// An encoder with these filters, taken apart where it is separable.
fn filled_encoder<B: Backend>(mut encoder: Encoder<B>, filters: &[Filter], device: &B::Device) -> Encoder<B> {
    let (first, last) = (&filters[0], &filters[filters.len() - 1]);
    put(&mut encoder.from_rgb[filters.len() / 2 - 1], first, device);
    for (pair, two) in encoder.levels.iter_mut().rev().zip(filters[1..].chunks_exact(2)) {
        put_pair(pair, two, device);
    }
    if let Some(coarse) = &mut encoder.coarse {
        put(coarse, &filters[filters.len() - 2], device);
    }
    put(&mut encoder.last, last, device);
    encoder
}

/// As [`filled_encoder`].
fn filled_decoder<B: Backend>(mut decoder: Decoder<B>, filters: &[Filter], device: &B::Device) -> Decoder<B> {
    let (first, last) = (&filters[0], &filters[filters.len() - 1]);
    put(&mut decoder.first, first, device);
    let mut rest = &filters[1..];
    if let (Some(coarse), [filter, after @ ..]) = (&mut decoder.coarse, rest) {
        put(coarse, filter, device);
        rest = after;
    }
    for (pair, two) in decoder.levels.iter_mut().zip(rest.chunks_exact(2)) {
        put_pair(pair, two, device);
    }
    match &mut decoder.to_patches {
        Some(to_patches) => put_patches(to_patches, last, device),
        None => put(&mut decoder.to_rgb[filters.len() / 2 - 1], last, device),
    }
    decoder
}

fn put_pair<B: Backend>(pair: &mut Pair<B>, two: &[Filter], device: &B::Device) {
    let is_mixed_first = pair.mixed_first().is_some();
    let Pair { a, b, a_depthwise, b_depthwise } = pair;
    if let (Some(depthwise), true) = (a_depthwise.as_mut(), is_mixed_first) {
        let (mixing, kernels) = separated_mixed_first(&two[0]);
        put(a, &mixing, device);
        put(depthwise, &kernels, device);
    } else {
        put_apart(a, a_depthwise.as_mut(), &two[0], device);
    }
    put_apart(b, b_depthwise.as_mut(), &two[1], device);
}

/// Gives a convolution a filter; in two parts where it is separable.
fn put_apart<B: Backend>(
    conv: &mut Conv2d<B>,
    depthwise: Option<&mut Conv2d<B>>,
    filter: &Filter,
    device: &B::Device,
) {
    let Some(depthwise) = depthwise else { return put(conv, filter, device) };
    let (kernels, mixing) = separated(filter);
    put(conv, &mixing, device);
    put_kernels(depthwise, &kernels, device);
}

/// Gives a convolution without bias its weights.
pub(super) fn put_kernels<B: Backend>(depthwise: &mut Conv2d<B>, kernels: &Filter, device: &B::Device) {
    let weight = TensorData::new(kernels.weight.clone(), kernels.dims);
    depthwise.weight = Param::from_tensor(Tensor::from_data(weight, device));
}

/// Gives a transposed convolution the weights of a 1x1 filter, `[4 colours, in, 1, 1]`, that gives patches. It has one
/// bias for all four pixels of a patch: their mean.
pub(super) fn put_patches<B: Backend>(conv: &mut ConvTranspose2d<B>, filter: &Filter, device: &B::Device) {
    let [_, n_in, ..] = filter.dims;
    let dims @ [_, n_out, ..] = conv.weight.dims();
    let turned = (0..n_in).flat_map(|i| (0..n_out * 4).map(move |o| filter.weight[o * n_in + i]));
    let weight = TensorData::new(turned.collect::<Vec<f32>>(), dims);
    conv.weight = Param::from_tensor(Tensor::from_data(weight, device));
    let bias: Vec<f32> = filter.bias.chunks_exact(4).map(|four| four.iter().sum::<f32>() / 4.0).collect();
    conv.bias = Some(Param::from_tensor(Tensor::from_data(TensorData::new(bias, [n_out]), device)));
}

/// A projection that puts channel `i` at the place `kept[i]`, and nothing anywhere else.
fn restoring<B: Backend>(mut conv: Conv2d<B>, kept: &[usize], device: &B::Device) -> Conv2d<B> {
    let dims @ [n_out, n_in, h, w] = conv.weight.dims();
    let mut filter = Filter { dims, weight: vec![0.0; n_out * n_in * h * w], bias: vec![0.0; n_out] };
    for (i, o) in kept.iter().enumerate() {
        filter.weight[(o * n_in + i) * h * w + h * w / 2] = 1.0;
    }
    put(&mut conv, &filter, device);
    conv
}

#[cfg(test)]
#[path = "init_tests.rs"]
mod tests;
