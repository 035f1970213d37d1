//! Weights fitted layer by layer in closed form, before the first step: each of the student's convolutions gives, from
//! what the student's layers before it give, what the teacher's gives, in the sense of least squares over the pixels of
//! some faces (as He, Zhang and Sun, "Channel pruning for accelerating very deep neural networks", 2017, do after
//! pruning). A separable convolution is fitted in turns, mixing and kernels, each of which is linear.
//!
//! All sums over pixels are taken once, as covariances; the equations are solved by conjugate gradients from the weights
//! at hand, so that directions that no pixel tells anything about stay as they were.

use burn::{
    nn::conv::Conv2d,
    tensor::{Tensor, activation::leaky_relu, backend::Backend},
};
use ndarray::{Array1, Array2, Axis};

use super::{
    init::{put_kernels, put_patches},
    taps::encode,
};
use crate::train::{
    base::put,
    filters::Filter,
    model::{Comb, Pair, SLOPE, apart, doubled, halved, rectify, unshuffled},
    preview::array_from_tensor,
};

/// Pixels that a layer is fitted to, at most.
const MAX_PLACES: usize = 4096;

/// Steps of the conjugate gradients.
const N_STEPS: usize = 60;

/// Turns of mixing and kernels.
const N_TURNS: usize = 4;

/// Share of a feature's own variance that is added to it: what is nearly constant stays as it was.
const RIDGE: f64 = 1e-4;

/// The channels of the teacher that the student has, after each convolution in the order in which they run.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Of the encoder.
    pub encoder: Vec<Vec<usize>>,
    /// Of the decoder.
    pub decoder: Vec<Vec<usize>>,
}

/// `student`, whose channels are `kept` of the teacher's, fitted on `faces` `[batch, 3, side, side]`.
pub fn calibrated<B: Backend>(
    student: Comb<B>,
    teacher: &Comb<B>,
    kept: &Kept,
    faces: Tensor<B, 4>,
    device: &B::Device,
) -> Comb<B> {
    let Comb { mut encoder, mut decoders } = student;
    let finest = encoder.levels.len();
    let mut walk = Walk::<B> {
        wanted: rectify(teacher.encoder.from_rgb[finest].forward(faces.clone())),
        own: rectify(encoder.from_rgb[finest].forward(faces.clone())),
        device: device.clone(),
    };
    let patches = encoder.is_in_patches(finest);
    let levels = encoder.levels.iter_mut().zip(&teacher.encoder.levels).enumerate().rev();
    for ((i, (own, wanted)), kept) in levels.zip(kept.encoder[1..].chunks_exact(2)) {
        if patches && i + 1 == finest {
            walk.fit_pair(own, wanted, kept, [unshuffled, halved_before_rectifier]);
        } else {
            walk.fit_pair(own, wanted, kept, [same, same]);
            walk.own = halved(walk.own);
        }
        walk.wanted = halved(walk.wanted);
    }
    let code = encode(&teacher.encoder, faces).output;
    let (own, wanted) = (&mut decoders[0], &teacher.decoders[0]);
    walk.wanted = rectify(wanted.first.forward(code.clone()));
    walk.own = rectify(own.first.forward(code));
    if let (Some(own), Some(wanted)) = (&own.coarse, &wanted.coarse) {
        walk.step(own, None, wanted);
    }
    let first = 1 + usize::from(wanted.coarse.is_some());
    let levels = own.levels.iter_mut().zip(&wanted.levels).enumerate();
    for ((i, (own, wanted)), kept) in levels.zip(kept.decoder[first..].chunks_exact(2)) {
        walk.wanted = doubled(walk.wanted);
        if patches && i + 1 == finest {
            walk.fit_pair(own, wanted, kept, [unshuffled; 2]);
        } else if own.mixed_first().is_some() {
            walk.fit_pair_mixed_first(own, wanted, kept);
        } else {
            walk.own = doubled(walk.own);
            walk.fit_pair(own, wanted, kept, [same; 2]);
        }
    }
    let wanted = &wanted.to_rgb[finest];
    if let Some(to_patches) = &mut own.to_patches {
        let target = unshuffled(wanted.forward(walk.wanted.clone()));
        let [n_out, n_in] = [target.dims()[1], walk.own.dims()[1]];
        let mut filter =
            Filter { dims: [n_out, n_in, 1, 1], weight: vec![0.0; n_out * n_in], bias: vec![0.0; n_out] };
        Moments::of(&patches_of(&walk.own, 1), &patches_of(&target, 1)).fit(&mut filter);
        put_patches(to_patches, &filter, device);
    } else {
        let all: Vec<usize> = (0..wanted.weight.dims()[0]).collect();
        walk.fit(&mut own.to_rgb[finest], None, wanted, &all, same);
    }
    Comb { encoder, decoders }
}

/// How the student ought to see what the teacher's convolution gives.
type View<B> = fn(Tensor<B, 4>) -> Tensor<B, 4>;

fn same<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    x
}

/// What gives, behind the leaky rectifier, the half of what `x` gives.
fn halved_before_rectifier<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    leaky_relu(halved(rectify(x)), 1.0 / SLOPE)
}

/// Teacher and student side by side on their way through the layers.
struct Walk<B: Backend> {
    /// The teacher's activation.
    wanted: Tensor<B, 4>,
    /// The student's.
    own: Tensor<B, 4>,
    device: B::Device,
}

impl<B: Backend> Walk<B> {
    fn fit_pair(&mut self, own: &mut Pair<B>, wanted: &Pair<B>, kept: &[Vec<usize>], views: [View<B>; 2]) {
        self.fit(&mut own.a, own.a_depthwise.as_mut(), &wanted.a, &kept[0], views[0]);
        self.step(&own.a, own.a_depthwise.as_ref(), &wanted.a);
        self.fit(&mut own.b, own.b_depthwise.as_mut(), &wanted.b, &kept[1], views[1]);
        self.step(&own.b, own.b_depthwise.as_ref(), &wanted.b);
    }

    /// As [`fit_pair`](Self::fit_pair) at twice the student's side, where its first convolution mixes before the doubling.
    fn fit_pair_mixed_first(&mut self, own: &mut Pair<B>, wanted: &Pair<B>, kept: &[Vec<usize>]) {
        let Pair { a, a_depthwise: Some(depthwise), .. } = own else { return };
        let target = patches_of(&wanted.a.forward(self.wanted.clone()), 1).select(Axis(1), &kept[0]);
        let kernel = depthwise.kernel_size[0];
        let (mut mixing, mut kernels) = (filter_of(a), filter_of(depthwise));
        let seen = patches_of(&doubled(self.own.clone()), kernel);
        Moments::of(&seen, &target).fit_mixed_first(&mut mixing, &mut kernels);
        put(a, &mixing, &self.device);
        put(depthwise, &kernels, &self.device);
        self.own = rectify(depthwise.forward(doubled(a.forward(self.own.clone()))));
        self.wanted = rectify(wanted.a.forward(self.wanted.clone()));
        self.fit(&mut own.b, own.b_depthwise.as_mut(), &wanted.b, &kept[1], same);
        self.step(&own.b, own.b_depthwise.as_ref(), &wanted.b);
    }

    fn step(&mut self, own: &Conv2d<B>, depthwise: Option<&Conv2d<B>>, wanted: &Conv2d<B>) {
        self.own = rectify(own.forward(apart(depthwise, self.own.clone())));
        self.wanted = rectify(wanted.forward(self.wanted.clone()));
    }

    /// Fits a convolution to what the teacher's gives before its rectifier, in the channels that are kept.
    fn fit(
        &self,
        own: &mut Conv2d<B>,
        depthwise: Option<&mut Conv2d<B>>,
        wanted: &Conv2d<B>,
        kept: &[usize],
        view: View<B>,
    ) {
        let kernel = depthwise.as_ref().map_or(own.kernel_size[0], |depthwise| depthwise.kernel_size[0]);
        let target = view(wanted.forward(self.wanted.clone()));
        let moments =
            Moments::of(&patches_of(&self.own, kernel), &patches_of(&target, 1).select(Axis(1), kept));
        let mut filter = filter_of(own);
        if let Some(depthwise) = depthwise {
            let mut kernels = filter_of(depthwise);
            moments.fit_separable(&mut kernels, &mut filter);
            put_kernels(depthwise, &kernels, &self.device);
        } else {
            moments.fit(&mut filter);
        }
        put(own, &filter, &self.device);
    }
}

/// A convolution's weights.
fn filter_of<B: Backend>(conv: &Conv2d<B>) -> Filter {
    let dims = conv.weight.dims();
    let bias = conv.bias.as_ref().map(|bias| bias.val().into_data().iter::<f32>().collect());
    Filter {
        dims,
        weight: conv.weight.val().into_data().iter::<f32>().collect(),
        bias: bias.unwrap_or_else(|| vec![0.0; dims[0]]),
    }
}

/// A step through `n_all` places that comes to each once before it comes to any again, and soon everywhere: next to the golden
/// section of them, with no divisor in common.
fn stride(n_all: usize) -> usize {
    let begin = (0.618 * n_all as f64) as usize;
    (begin.max(1)..=n_all).find(|step| gcd(*step, n_all) == 1).unwrap_or(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What a kernel sees at places spread over all pictures, zeros beyond the border: `[places, channels * k * k]`.
fn patches_of<B: Backend>(x: &Tensor<B, 4>, kernel: usize) -> Array2<f64> {
    let x = array_from_tensor(x.clone());
    let (n, channels, h, w) = x.dim();
    // The same places for all layers of a side.
    let (n_places, stride) = ((n * h * w).min(MAX_PLACES), stride(n * h * w));
    let reach = (kernel / 2) as isize;
    let inside = |v: isize, n: usize| usize::try_from(v).ok().filter(|v| *v < n);
    Array2::from_shape_fn((n_places, channels * kernel * kernel), |(nth, feature)| {
        let place = nth * stride % (n * h * w);
        let (i, y, x0) = (place / (h * w), place / w % h, place % w);
        let (c, k) = (feature / (kernel * kernel), feature % (kernel * kernel));
        let row = inside((y + k / kernel) as isize - reach, h);
        let column = inside((x0 + k % kernel) as isize - reach, w);
        row.zip(column).map_or(0.0, |(row, column)| f64::from(x[[i, c, row, column]]))
    })
}

/// All that least squares need to know of features and targets.
struct Moments {
    /// Covariance of the features, `[features, features]`.
    features: Array2<f64>,
    /// Covariance of features and targets, `[features, targets]`.
    both: Array2<f64>,
    feature_mean: Array1<f64>,
    target_mean: Array1<f64>,
}

impl Moments {
    /// Of features `[places, features]` and targets `[places, targets]`.
    fn of(features: &Array2<f64>, targets: &Array2<f64>) -> Self {
        let n = features.nrows().max(1) as f64;
        let (feature_mean, target_mean) = (features.sum_axis(Axis(0)) / n, targets.sum_axis(Axis(0)) / n);
        let (x, y) = (features - &feature_mean, targets - &target_mean);
        let mut covariance = x.t().dot(&x) / n;
        covariance.diag_mut().mapv_inplace(|v| v * (1.0 + RIDGE));
        Self { features: covariance, both: x.t().dot(&y) / n, feature_mean, target_mean }
    }

    /// Fits a whole convolution.
    fn fit(&self, filter: &mut Filter) {
        let n_out = filter.dims[0];
        let n_features = self.feature_mean.len();
        let start =
            Array2::from_shape_fn((n_features, n_out), |(f, o)| f64::from(filter.weight[o * n_features + f]));
        let fitted = solved(&self.features, &self.both, start);
        let bias = &self.target_mean - &fitted.t().dot(&self.feature_mean);
        filter.weight = fitted.t().iter().map(|v| *v as f32).collect();
        filter.bias = bias.iter().map(|v| *v as f32).collect();
    }

    /// Fits kernels, `[in, 1, k, k]`, and the mixing of what they give, `[out, in, 1, 1]`.
    fn fit_separable(&self, kernels: &mut Filter, mixing: &mut Filter) {
        let [n_out, n_in, ..] = mixing.dims;
        let k = kernels.weight.len() / n_in;
        let mut kernel: Array1<f64> = kernels.weight.iter().map(|v| f64::from(*v)).collect();
        let mut mix = Array2::from_shape_fn((n_in, n_out), |(i, o)| f64::from(mixing.weight[o * n_in + i]));
        mix = self.fitted_mixing(&kernel, k, mix);
        for _ in 0..N_TURNS {
            kernel = self.fitted_kernels(kernel, k, &mix);
            for (i, mut own) in kernel.exact_chunks_mut(k).into_iter().enumerate() {
                let length = own.iter().map(|v| v * v).sum::<f64>().sqrt();
                if length > 0.0 {
                    own /= length;
                    mix.row_mut(i).mapv_inplace(|v| v * length);
                }
            }
            mix = self.fitted_mixing(&kernel, k, mix);
        }
        let seen: Array1<f64> = (0..n_in)
            .map(|i| (0..k).map(|f| kernel[i * k + f] * self.feature_mean[i * k + f]).sum::<f64>())
            .collect();
        let bias = &self.target_mean - &mix.t().dot(&seen);
        kernels.weight = kernel.iter().map(|v| *v as f32).collect();
        mixing.weight = mix.t().iter().map(|v| *v as f32).collect();
        mixing.bias = bias.iter().map(|v| *v as f32).collect();
    }

    /// Fits a mixing, `[out, in, 1, 1]`, and a kernel for each channel that it gives, `[out, 1, k, k]`, channel by channel.
    fn fit_mixed_first(&self, mixing: &mut Filter, kernels: &mut Filter) {
        let [n_out, n_in, ..] = mixing.dims;
        let k = kernels.weight.len() / n_out;
        let (mut all_mixes, mut all_kernels) =
            (Vec::with_capacity(n_out * n_in), Vec::with_capacity(n_out * k));
        for o in 0..n_out {
            let of = |filter: &Filter, n: usize| -> Array1<f64> {
                filter.weight[o * n..(o + 1) * n].iter().map(|v| f64::from(*v)).collect()
            };
            let (mut mix, mut kernel) = (of(mixing, n_in), of(kernels, k));
            for _ in 0..N_TURNS {
                mix = self.fitted_factor(o, mix, |f| (f / k, kernel[f % k]));
                kernel = self.fitted_factor(o, kernel, |f| (f % k, mix[f / k]));
            }
            let seen: f64 = (0..n_in * k).map(|f| mix[f / k] * kernel[f % k] * self.feature_mean[f]).sum();
            kernels.bias[o] = (self.target_mean[o] - seen) as f32;
            all_mixes.extend(mix.iter().map(|v| *v as f32));
            all_kernels.extend(kernel.iter().map(|v| *v as f32));
        }
        mixing.bias.fill(0.0);
        (mixing.weight, kernels.weight) = (all_mixes, all_kernels);
    }

    /// The best numbers for target `o` where feature `f` counts for one of them, `of(f).0`, times `of(f).1`.
    fn fitted_factor(&self, o: usize, start: Array1<f64>, of: impl Fn(usize) -> (usize, f64)) -> Array1<f64> {
        let n = start.len();
        let factors: Vec<(usize, f64)> = (0..self.feature_mean.len()).map(of).collect();
        let mut covariance = Array2::zeros((n, n));
        let mut both = Array2::zeros((n, 1));
        for (row, (i, a)) in factors.iter().enumerate() {
            both[[*i, 0]] += a * self.both[[row, o]];
            for (covariance_of, (j, b)) in self.features.row(row).iter().zip(&factors) {
                covariance[[*i, *j]] += a * b * covariance_of;
            }
        }
        solved(&covariance, &both, start.insert_axis(Axis(1))).remove_axis(Axis(1))
    }

    /// The best mixing, `[in, out]`, of what the kernels of `k` numbers give.
    fn fitted_mixing(&self, kernel: &Array1<f64>, k: usize, start: Array2<f64>) -> Array2<f64> {
        let n_in = start.nrows();
        let weighed = &self.features * kernel * kernel.view().insert_axis(Axis(1));
        let covariance = Array2::from_shape_fn((n_in, n_in), |(i, j)| {
            weighed.slice(ndarray::s![i * k..(i + 1) * k, j * k..(j + 1) * k]).sum()
        });
        let weighed = &self.both * &kernel.view().insert_axis(Axis(1));
        let both = Array2::from_shape_fn(start.dim(), |(i, o)| {
            weighed.slice(ndarray::s![i * k..(i + 1) * k, o]).sum()
        });
        solved(&covariance, &both, start)
    }

    /// The best kernels under a mixing.
    fn fitted_kernels(&self, start: Array1<f64>, k: usize, mix: &Array2<f64>) -> Array1<f64> {
        let shared = mix.dot(&mix.t());
        let n = start.len();
        let covariance =
            Array2::from_shape_fn((n, n), |(a, b)| shared[[a / k, b / k]] * self.features[[a, b]]);
        let both = Array2::from_shape_fn((n, 1), |(a, _)| self.both.row(a).dot(&mix.row(a / k)));
        solved(&covariance, &both, start.insert_axis(Axis(1))).remove_axis(Axis(1))
    }
}

/// The solution `x` of `a x = b`, column by column, by conjugate gradients from `start` with the diagonal as
/// preconditioner (Hestenes and Stiefel, 1952). `a` is symmetric and has no negative eigenvalue.
fn solved(a: &Array2<f64>, b: &Array2<f64>, start: Array2<f64>) -> Array2<f64> {
    let diagonal = a.diag().mapv(|v| if v > 0.0 { 1.0 / v } else { 0.0 }).insert_axis(Axis(1));
    let mut x = start;
    let mut residual = b - &a.dot(&x);
    let mut direction = &residual * &diagonal;
    let dots = |p: &Array2<f64>, q: &Array2<f64>| (p * q).sum_axis(Axis(0));
    let mut size = dots(&residual, &direction);
    for _ in 0..N_STEPS {
        let along = a.dot(&direction);
        let curvature = dots(&direction, &along);
        // A column that is solved has no direction left.
        let step = Array1::from_shape_fn(size.len(), |i| {
            if curvature[i] > f64::MIN_POSITIVE { size[i] / curvature[i] } else { 0.0 }
        });
        x += &(&direction * &step);
        residual -= &(&along * &step);
        let preconditioned = &residual * &diagonal;
        let next = dots(&residual, &preconditioned);
        let keep = Array1::from_shape_fn(size.len(), |i| {
            if size[i] > f64::MIN_POSITIVE { next[i] / size[i] } else { 0.0 }
        });
        direction = preconditioned + &(direction * &keep);
        size = next;
    }
    x
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
