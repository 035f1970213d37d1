//! Each term against a slow and plain reference, and MS-SSIM against another implementation's number.

use burn::{
    backend::{Autodiff, Flex},
    tensor::backend::AutodiffBackend,
};

use super::*;

type Graph = Autodiff<Flex>;

/// `[n][c][y][x]` as a function, and its sides.
struct Pictures<'a> {
    dims: [usize; 4],
    at: &'a dyn Fn(usize, usize, usize, usize) -> f64,
}

impl Pictures<'_> {
    fn tensor<B: Backend>(&self) -> Tensor<B, 4> {
        let [n, c, h, w] = self.dims;
        let index = |i: usize| (i / (c * h * w), i / (h * w) % c, i / w % h, i % w);
        let value = |i: usize| {
            let (n, c, y, x) = index(i);
            (self.at)(n, c, y, x) as f32
        };
        let values: Vec<f32> = (0..n * c * h * w).map(value).collect();
        Tensor::from_data(TensorData::new(values, self.dims), &Default::default())
    }
}

/// Waves on a slope: smooth, and with detail.
fn target(n: usize, c: usize, y: usize, x: usize) -> f64 {
    let (x, y, k) = (x as f64, y as f64, (n + 2 * c) as f64);
    0.5 + 0.2 * (0.31 * x + 0.1 * k).sin() * (0.17 * y).cos()
        + 0.1 * (0.9 * x - 0.7 * y + k).sin()
        + 0.0004 * (x - y)
}

/// The same, softer, brighter, with a pattern of its own.
fn output(n: usize, c: usize, y: usize, x: usize) -> f64 {
    let pattern = ((x * 7 + y * 13 + n * 5 + c * 3) % 17) as f64 / 17.0 - 0.5;
    0.85 * target(n, c, y, x) + 0.1 + 0.06 * pattern
}

fn weight(n: usize, _: usize, y: usize, x: usize) -> f64 {
    0.2 + ((x + 2 * y + n) % 5) as f64 * 0.3
}

/// Mean of `value` over a window of Gaussian weights whose left upper corner is (y, x).
fn window_mean(size: usize, y: usize, x: usize, value: &dyn Fn(usize, usize) -> f64) -> f64 {
    let middle = (size / 2) as f64;
    let (mut sum, mut norm) = (0.0, 0.0);
    for j in 0..size {
        for i in 0..size {
            let r2 = (j as f64 - middle).powi(2) + (i as f64 - middle).powi(2);
            let g = (-r2 / (2.0 * 1.5 * 1.5)).exp();
            sum += g * value(y + j, x + i);
            norm += g;
        }
    }
    sum / norm
}

/// Luminance and structure at every place, row by row, straight from the formula.
fn ssim_reference(
    size: usize,
    (h, w): (usize, usize),
    a: &dyn Fn(usize, usize) -> f64,
    b: &dyn Fn(usize, usize) -> f64,
) -> Vec<Vec<(f64, f64)>> {
    let (c1, c2) = (1e-4, 9e-4);
    let place = |y: usize, x: usize| {
        let (ma, mb) = (window_mean(size, y, x, a), window_mean(size, y, x, b));
        let va = window_mean(size, y, x, &|j, i| (a(j, i) - ma).powi(2));
        let vb = window_mean(size, y, x, &|j, i| (b(j, i) - mb).powi(2));
        let vab = window_mean(size, y, x, &|j, i| (a(j, i) - ma) * (b(j, i) - mb));
        ((2.0 * ma * mb + c1) / (ma * ma + mb * mb + c1), (2.0 * vab + c2) / (va + vb + c2))
    };
    (0..=h - size).map(|y| (0..=w - size).map(|x| place(y, x)).collect()).collect()
}

fn parts_of(n: usize, side_px: usize) -> LossParts {
    let at = |channels, at| Pictures { dims: [n, channels, side_px, side_px], at };
    let four = |n, c, y, x| if c < 3 { output(n, c, y, x) } else { 0.25 };
    let (_, parts) = loss::<Flex>(
        at(4, &four).tensor(),
        &at(3, &target).tensor(),
        at(1, &|_, _, _, _| 1.0).tensor(),
        &at(1, &weight).tensor(),
        &LossWeights::default(),
    );
    LossParts::from_values(&parts.into_data().to_vec::<f32>().expect("f32"))
}

/// Mean of `value(n, c, y, x)` over `rows` x `columns`, weighted by the weight at (y + margin, x + margin).
fn mean_reference(dims: [usize; 4], margin: usize, value: &dyn Fn(usize, usize, usize, usize) -> f64) -> f64 {
    let [n, c, h, w] = dims;
    let (mut sum, mut norm) = (0.0, 0.0);
    for i in 0..n {
        for y in 0..h {
            for x in 0..w {
                let g = weight(i, 0, y + margin, x + margin);
                sum += g * (0..c).map(|k| value(i, k, y, x)).sum::<f64>() / c as f64;
                norm += g;
            }
        }
    }
    sum / norm
}

#[test]
fn every_term_is_that_of_the_slow_reference() {
    for side in [4, 8, 10, 16, 32] {
        let parts = parts_of(2, side);
        let d = |n, c, y, x| output(n, c, y, x) - target(n, c, y, x);
        let l1 = mean_reference([2, 3, side, side], 0, &|n, c, y, x| d(n, c, y, x).abs());
        let mut gradient = 0.0;
        let mut dssim = 0.0;
        if side > 8 {
            gradient = mean_reference([2, 3, side, side - 1], 0, &|n, c, y, x| {
                (d(n, c, y, x + 1) - d(n, c, y, x)).abs()
            }) + mean_reference([2, 3, side - 1, side], 0, &|n, c, y, x| {
                (d(n, c, y + 1, x) - d(n, c, y, x)).abs()
            });
            let size = if side < 11 { side - 1 } else { 11 };
            let maps: Vec<_> = (0..6)
                .map(|i| {
                    let (n, c) = (i / 3, i % 3);
                    ssim_reference(size, (side, side), &|y, x| output(n, c, y, x), &|y, x| target(n, c, y, x))
                })
                .collect();
            let inner = side + 1 - size;
            dssim = mean_reference([2, 3, inner, inner], size / 2, &|n, c, y, x| {
                let (luminance, structure) = maps[n * 3 + c][y][x];
                1.0 - luminance * structure
            });
        }
        for (name, have, want) in [
            ("l1", parts.l1, l1),
            ("gradient", parts.gradient, gradient),
            ("dssim", parts.dssim, dssim),
            ("mask", parts.mask, 0.75),
            ("total", parts.total, dssim + 2.0 * l1 + gradient + 0.3 * 0.75),
        ] {
            assert!((f64::from(have) - want).abs() < 2e-5, "{side} px: {name} is {have}, not {want}");
        }
    }
}

/// MS-SSIM of one plane with weights, scale by scale.
fn ms_ssim_reference(
    side: usize,
    a: &dyn Fn(usize, usize) -> f64,
    b: &dyn Fn(usize, usize) -> f64,
    weight: &dyn Fn(usize, usize) -> f64,
) -> f64 {
    let plane = |f: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
        (0..side).map(|y| (0..side).map(|x| f(y, x)).collect()).collect()
    };
    let half = |p: &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        let mean = |y: usize, x: usize| {
            (p[2 * y][2 * x] + p[2 * y][2 * x + 1] + p[2 * y + 1][2 * x] + p[2 * y + 1][2 * x + 1]) / 4.0
        };
        (0..p.len() / 2).map(|y| (0..p.len() / 2).map(|x| mean(y, x)).collect()).collect()
    };
    let (mut a, mut b, mut weight) = (plane(a), plane(b), plane(weight));
    let mut product = 1.0;
    for (scale, power) in SCALE_POWERS.iter().enumerate() {
        let side = a.len();
        let maps = ssim_reference(11, (side, side), &|y, x| a[y][x], &|y, x| b[y][x]);
        let (mut sum, mut norm) = (0.0, 0.0);
        for (y, row) in maps.iter().enumerate() {
            for (x, (luminance, structure)) in row.iter().enumerate() {
                let g = weight[y + 5][x + 5];
                sum += g * structure * if scale == 4 { *luminance } else { 1.0 };
                norm += g;
            }
        }
        product *= (sum / norm).powf(f64::from(*power));
        (a, b, weight) = (half(&a), half(&b), half(&weight));
    }
    product
}

#[test]
fn ms_ssim_is_that_of_the_slow_reference_and_of_another_implementation() {
    let side = 192;
    let at = |channels, at| Pictures { dims: [1, channels, side, side], at };
    let reference =
        ms_ssim_reference(side, &|y, x| output(0, 1, y, x), &|y, x| target(0, 1, y, x), &|y, x| {
            weight(0, 0, y, x)
        });
    let [one, other] =
        [output as fn(_, _, _, _) -> _, target].map(|f: fn(usize, usize, usize, usize) -> f64| {
            Pictures { dims: [1, 1, side, side], at: &|n, _, y, x| f(n, 1, y, x) }.tensor::<Flex>()
        });
    let have: f32 = ms_ssim(one, other, at(1, &weight).tensor()).into_scalar();
    assert!((f64::from(have) - reference).abs() < 2e-5, "{have}, not {reference}");
    let even = at(1, &|_, _, _, _| 1.0).tensor();
    let have: f32 = ms_ssim::<Flex>(at(3, &output).tensor(), at(3, &target).tensor(), even).into_scalar();
    assert!((have - OTHER_MS_SSIM).abs() < 2e-5, "{have}, not {OTHER_MS_SSIM}");
    assert!((parts_of(1, side).dssim - (1.0 - have)).abs() < 0.02, "from 176 px on it is in the loss");
}

/// The mean over the three channels by Python's sewar 0.4.10: its `ssim` (Gaussian, sigma 1.5, 11 pixels) gives structure
/// and SSIM of each scale, with the means of 2x2 pixels in between.
const OTHER_MS_SSIM: f32 = 0.986_924_6;

#[test]
fn a_blur_in_strips_is_a_blur() {
    let (h, w) = (9, 300);
    let tensor = Pictures { dims: [2, 1, h, w], at: &output }.tensor::<Flex>();
    let blurred = blurred(tensor, 5).into_data().to_vec::<f32>().expect("f32");
    for (i, have) in blurred.iter().enumerate() {
        let (n, y, x) = (i / (5 * 296), i / 296 % 5, i % 296);
        let want = window_mean(5, y, x, &|y, x| output(n, 0, y, x));
        assert!((f64::from(*have) - want).abs() < 1e-5, "{n} {y} {x}: {have}, not {want}");
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for side in [8, 16, 176] {
        let at = |channels, at| Pictures { dims: [1, channels, side, side], at };
        let run = |pictures: Tensor<Graph, 4>| {
            loss(
                pictures,
                &at(3, &target).tensor(),
                at(1, &|_, _, _, _| 1.0).tensor(),
                &at(1, &weight).tensor(),
                &LossWeights::default(),
            )
            .0
        };
        let four = |n, c, y, x| if c < 3 { output(n, c, y, x) } else { 0.25 };
        let pictures = at(4, &four).tensor::<Graph>().require_grad();
        let gradients = run(pictures.clone()).backward();
        let gradient = pictures.grad(&gradients).expect("the picture has a gradient");
        // Along the gradient's own direction the loss must change by its squared norm. A step moves values by 2e-4 in
        // the mean: far less than they differ, far more than they are rounded.
        let gradient: Tensor<<Graph as AutodiffBackend>::InnerBackend, 4> = gradient;
        let norm2: f32 = (gradient.clone() * gradient.clone()).sum().into_scalar();
        let step = 2e-4 * (2 * side) as f32 / norm2.sqrt();
        let shifted = |by: f32| -> f64 {
            let pictures = pictures.clone().inner() + gradient.clone() * by;
            f64::from(run(Tensor::from_inner(pictures)).into_scalar())
        };
        let slope = (shifted(step) - shifted(-step)) / f64::from(2.0 * step);
        let ratio = slope / f64::from(norm2);
        assert!((ratio - 1.0).abs() < 0.03, "{side} px: {ratio}");
    }
}

#[test]
fn a_picture_is_like_itself() {
    for side in [16, 176] {
        let picture = Pictures { dims: [1, 3, side, side], at: &target }.tensor::<Flex>();
        let ones = Tensor::ones([1, 1, side, side], &Default::default());
        let output = Tensor::cat(vec![picture.clone(), ones.clone()], 1);
        let (total, _) = loss(output, &picture, ones.clone(), &ones, &LossWeights::default());
        assert!(total.into_scalar().abs() < 1e-5);
    }
}
