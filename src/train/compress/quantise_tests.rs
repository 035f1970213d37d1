//! Whole numbers against a slow reference, and against what ONNX Runtime makes of them.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;

use ndarray::{Array4, ArrayD, IxDyn};

use super::*;
use crate::{
    nn::{Runtime, RuntimeSettings},
    train::{
        compress::rewrite::{Form, Ranges, rewritten, worth_int8},
        onnx::{GraphWriter, Weights},
    },
};

/// Numbers from -1 to 1 that follow from a seed.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let mixed = crate::train::data::mixed(&[seed, i]);
            (mixed >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// The nearest whole number, the even one of two, digit by digit.
fn nearest_even(v: f64) -> i64 {
    let below = v.floor() as i64;
    match (v - below as f64).partial_cmp(&0.5).unwrap() {
        std::cmp::Ordering::Less => below,
        std::cmp::Ordering::Greater => below + 1,
        std::cmp::Ordering::Equal => below + below.rem_euclid(2),
    }
}

#[test]
fn ranges_always_hold_zero_and_steps_meet_it() {
    let range = Range::default().with(&[0.25, f32::NAN, 1.5, f32::INFINITY]);
    assert_eq!(range, Range { low: 0.0, high: 1.5 });
    let range = range.with(&[-0.5, 0.1]);
    assert_eq!(range, Range { low: -0.5, high: 1.5 });
    let Steps { scale, zero } = Steps::over(range);
    assert_eq!((scale, zero), (2.0 / 255.0, 64));
    assert_eq!(Steps::over(Range { low: -3.0, high: 0.0 }).zero, 255);
    // A tensor of nothing but zeros.
    let Steps { scale, zero } = Steps::over(Range::default());
    assert!(scale > 0.0 && zero == 0);
}

#[test]
fn weights_are_the_nearest_steps_of_their_channel() {
    let dims = [5, 3, 3, 3];
    let mut weight = noise(5 * 27, 1);
    // Channels of very different size, one of nothing, one that ends in the middle between two steps.
    for (channel, factor) in [1.0, 1e-3, 40.0, 0.0, 1.0].into_iter().enumerate() {
        weight[channel * 27..(channel + 1) * 27].iter_mut().for_each(|v| *v *= factor);
    }
    weight[4 * 27..4 * 27 + 5].copy_from_slice(&[64.0, 0.5, 1.5, -0.5, -2.5]);
    let filter = Filter { dims, weight: weight.clone(), bias: vec![0.3, -1e-4, 12.0, 2.0, 0.0] };
    let whole = WholeFilter::of(&filter, 0.01);
    for channel in 0..5 {
        let own = &weight[channel * 27..(channel + 1) * 27];
        let scale = f64::from(whole.scales[channel]);
        if channel != 3 {
            let largest = own.iter().fold(0.0_f64, |max, v| max.max(f64::from(*v).abs()));
            assert!((scale * 64.0 / largest - 1.0).abs() < 1e-6, "channel {channel}: {scale}");
        }
        for (v, step) in own.iter().zip(&whole.weight[channel * 27..]) {
            let wanted = nearest_even(f64::from(*v / whole.scales[channel])).clamp(-64, 64);
            assert_eq!(i64::from(*step), wanted, "channel {channel}: {v}");
            assert!((f64::from(*v) - scale * f64::from(*step)).abs() <= 0.500_001 * scale);
        }
        let bias = f64::from(whole.bias[channel]) * f64::from(whole.bias_scales[channel]);
        let wanted = f64::from(filter.bias[channel]);
        assert!((bias - wanted).abs() <= wanted.abs() * 1e-6 + f64::from(whole.bias_scales[channel]));
        assert_eq!(whole.bias_scales[channel], whole.scales[channel] * 0.01);
    }
    assert_eq!(whole.weight[4 * 27..4 * 27 + 5], [64, 0, 2, 0, -2]);
    // Nothing but a bias, which fits all the same.
    assert!(whole.weight[3 * 27..4 * 27].iter().all(|v| *v == 0) && whole.bias[3] > 1 << 28);
}

/// A network of one convolution, 3x3 over 24 channels.
fn one_conv(weight: &[f32], bias: &[f32]) -> Vec<u8> {
    let mut graph = GraphWriter::new("one", Weights::Full);
    let x = graph.input("x", &[24, 6, 6]);
    let y = graph.conv(x, [24, 24, 3, 3], weight, bias, 1);
    graph.output("y", y, &[24, 6, 6]);
    graph.finish()
}

/// The same in whole numbers, as slowly as can be: quantise, sum in 64 bits, scale, quantise, and back to values.
fn slow(filter: &Filter, x: &Array4<f32>, ranges: &Ranges) -> Array4<f32> {
    let (input, output) = (Steps::over(ranges.input), Steps::over(ranges.output));
    let step = |v: f32, steps: Steps| {
        (nearest_even(f64::from(v / steps.scale)) + i64::from(steps.zero)).clamp(0, 255)
    };
    let whole = WholeFilter::of(filter, input.scale);
    Array4::from_shape_fn((1, 24, 6, 6), |(_, o, y, x0)| {
        let mut sum = i64::from(whole.bias[o]);
        for (c, (ky, kx)) in (0..24).flat_map(|c| (0..9).map(move |k| (c, (k / 3, k % 3)))) {
            // Around the picture stands 0.
            if let Some(v) = x.get([0, c, (y + ky).wrapping_sub(1), (x0 + kx).wrapping_sub(1)]) {
                let weight = whole.weight[((o * 24 + c) * 3 + ky) * 3 + kx];
                sum += (step(*v, input) - i64::from(input.zero)) * i64::from(weight);
            }
        }
        let value = sum as f32 * whole.bias_scales[o];
        output.scale * (step(value, output) - i64::from(output.zero)) as f32
    })
}

#[test]
fn onnx_runtime_computes_what_the_slow_way_computes() {
    let Ok(runtime) = Runtime::load(&RuntimeSettings::default()) else {
        eprintln!("skipped: no ONNX Runtime");
        return;
    };
    // The second case is the worst there is for sums of 16 bits: everything at its most.
    let cases = [
        (noise(24 * 24 * 9, 2), noise(24, 3), noise(24 * 36, 4)),
        (vec![1.0; 24 * 24 * 9], vec![-100.0; 24], vec![1.0; 24 * 36]),
    ];
    for (weight, bias, x) in cases {
        let bytes = one_conv(&weight, &bias);
        assert_eq!(worth_int8(&bytes).unwrap(), [0]);
        let x = Array4::from_shape_vec((1, 24, 6, 6), x).unwrap();
        let run = |bytes: &[u8]| -> Vec<ArrayD<f32>> {
            runtime.network("one", bytes).unwrap().run(&[("x", x.view().into_dyn())]).unwrap()
        };
        let exposed = run(&rewritten(&bytes, Form::Exposed(&[0])).unwrap());
        let [float, input, output] = &exposed[..] else { panic!("{} outputs", exposed.len()) };
        assert_eq!(*input, x.clone().into_dyn());
        assert_eq!(float, output);
        let ranges = Ranges { input: Range::default().with(input), output: Range::default().with(output) };
        let int8 = rewritten(&bytes, Form::Int8(&BTreeMap::from([(0, ranges)]))).unwrap();
        let got = run(&int8).remove(0);
        let filter = Filter { dims: [24, 24, 3, 3], weight, bias };
        let wanted = slow(&filter, &x, &ranges);
        let step = Steps::over(ranges.output).scale;
        assert_eq!(got.shape(), wanted.shape());
        for ((at, got), wanted) in got.indexed_iter().zip(&wanted) {
            let at: &IxDyn = &at;
            // The scale of a sum is rounded in another place: one step at most, and that seldom.
            assert!((got - wanted).abs() < 1.01 * step, "{at:?}: {got}, not {wanted}; a step is {step}");
        }
        let n_off = got.iter().zip(&wanted).filter(|(a, b)| (*a - *b).abs() > 0.01 * step).count();
        assert!(n_off < 10, "{n_off} of {} values differ", got.len());
        // Near the floats, too: half a step of 256, and what 64 steps of a weight lose.
        let worst = got.iter().zip(float).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 4.0 * step, "{worst}, a step is {step}");
    }
}
