#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use burn::{
    backend::{Autodiff, Flex, flex::FlexDevice},
    tensor::ElementConversion,
};

use super::*;

type Graph = Autodiff<Flex>;

const SIDE_PX: usize = 32;

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<Graph, D> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random()).collect();
    Tensor::from_data(TensorData::new(values, shape), &FlexDevice)
}

fn value(x: Tensor<Graph, 1>) -> f64 {
    x.into_scalar().elem()
}

/// Grey pictures with grain in them, and the same without.
fn sharp_and_blurred(seed: u64) -> [Tensor<Graph, 4>; 2] {
    let sharp = random([4, 3, SIDE_PX, SIDE_PX], seed);
    let blurred = sharp.clone().mean_dim(3).mean_dim(2).expand([4, 3, SIDE_PX, SIDE_PX]);
    [sharp, blurred]
}

fn everywhere() -> Tensor<Graph, 4> {
    Tensor::ones([4, 1, SIDE_PX, SIDE_PX], &FlexDevice)
}

#[test]
fn a_critic_learns_to_tell_blurred_from_sharp_and_says_so_to_the_decoder() {
    let mut critics = Critics::<Graph>::new(1, 1, &FlexDevice);
    let of = |critics: &Critics<Graph>, own: &Tensor<Graph, 4>, truth: &Tensor<Graph, 4>| {
        value(critics.all[0].duel(own, truth, &everywhere(), (1, 1), 1.0).decoder)
    };
    let [sharp, blurred] = sharp_and_blurred(100);
    let undecided = of(&critics, &sharp, &sharp);
    assert!((undecided - 2.0_f64.ln()).abs() < 0.1, "its first opinion is {undecided}");
    for step in 0..60 {
        let [truth, own] = sharp_and_blurred(step);
        let duel = critics.all[0].duel(&own, &truth, &everywhere(), (step, 1), 1.0);
        let mut gradients = GradientsAccumulator::new();
        gradients.accumulate(&critics.all, duel.critic);
        critics.descend(gradients, 3e-3);
    }
    let (of_sharp, of_blurred) = (of(&critics, &sharp, &sharp), of(&critics, &blurred, &sharp));
    assert!(of_blurred > of_sharp + 1.0, "blurred {of_blurred}, sharp {of_sharp}");
}

#[test]
fn the_decoder_is_told_about_the_face_alone_and_its_gradient_ends_in_its_pictures() {
    let critics = Critics::<Graph>::new(1, 3, &FlexDevice);
    let [truth, own] = sharp_and_blurred(7);
    let own = own.require_grad();
    let left = Tensor::ones([4, 1, SIDE_PX, SIDE_PX / 2], &FlexDevice);
    let mask = Tensor::cat(vec![left.clone(), left.zeros_like()], 3);
    let duel = critics.all[0].duel(&own, &truth, &mask, (1, 1), 1.0);
    let gradient = own.grad(&duel.decoder.backward()).unwrap();
    let half = |from: usize| gradient.clone().slice([0..4, 0..3, 0..SIDE_PX, from..from + SIDE_PX / 2]);
    let size = |x: Tensor<Flex, 4>| x.abs().sum().into_scalar();
    assert!(size(half(0)) > 0.0, "the face has no gradient");
    assert!(size(half(SIDE_PX / 2)) == 0.0, "what is outside of the face has one");
}

#[test]
fn random_directions_give_the_slope() {
    let critic = Critic::<Graph>::new(&FlexDevice);
    let picture = random([1, 3, 16, 16], 5).require_grad();
    // One patch's logit, its true slope, and what differences along random directions take it for.
    let logit = |x: Tensor<Graph, 4>| critic.judge(x).logits.slice([0..1, 0..1, 0..1, 0..1]).sum();
    let gradient = picture.grad(&logit(picture.clone()).backward()).unwrap();
    let wanted: f64 = gradient.powi_scalar(2).sum().into_scalar().elem();
    let n = 600;
    let squares = (0..n).map(|seed| {
        let moved = picture.clone() + signs(&picture, seed) * DIFFERENCE;
        ((value(logit(moved)) - value(logit(picture.clone()))) / DIFFERENCE).powi(2)
    });
    let found = squares.sum::<f64>() / n as f64;
    assert!((found / wanted - 1.0).abs() < 0.2, "{found}, not {wanted}");
}

#[test]
fn a_sure_critic_is_no_overflow() {
    let x = Tensor::<Graph, 4>::from_data([[[[-1e4, -1.0, 0.0, 1.0, 1e4]]]], &FlexDevice);
    let found = softplus(x).into_data().into_vec::<f32>().unwrap();
    for (found, wanted) in found.iter().zip([0.0, 0.313_261_7, std::f32::consts::LN_2, 1.313_261_7, 1e4]) {
        assert!((found - wanted).abs() <= 1e-6 * wanted.max(1.0), "{found}, not {wanted}");
    }
}

#[test]
fn pixels_are_rearranged_and_none_is_lost() {
    let x = Tensor::<Graph, 1, burn::tensor::Int>::arange(0..16, &FlexDevice).float().reshape([1, 1, 4, 4]);
    let found = unshuffled(x).into_data().into_vec::<f32>().unwrap();
    let wanted = [[0, 2, 8, 10], [1, 3, 9, 11], [4, 6, 12, 14], [5, 7, 13, 15]];
    assert_eq!(found, wanted.concat().iter().map(|i| *i as f32).collect::<Vec<_>>());
}
