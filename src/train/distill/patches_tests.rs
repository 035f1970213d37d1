use burn::{
    backend::{Flex, flex::FlexDevice},
    nn::conv::{Conv2dConfig, ConvTranspose2dConfig},
    tensor::{Distribution, Tensor, TensorData},
};

use super::{super::init::put_patches, *};
use crate::train::{
    base::put,
    model::{doubled as doubled_picture, halved, unshuffled},
};

fn random(dims: [usize; 4]) -> Tensor<Flex, 4> {
    Tensor::random(dims, Distribution::Uniform(-1.0, 1.0), &FlexDevice)
}

fn random_filter(dims: [usize; 4]) -> Filter {
    let numbers = |dims| random(dims).into_data().iter::<f32>().collect();
    Filter { dims, weight: numbers(dims), bias: numbers([1, 1, 1, dims[0]]) }
}

/// What a filter gives, with zeros around where it is 3x3.
fn convolved(filter: &Filter, x: Tensor<Flex, 4>) -> Tensor<Flex, 4> {
    let [n, n_in, h, w] = filter.dims;
    let pad = usize::from(h == 3);
    let stride = if h == 2 { 2 } else { 1 };
    let mut conv = Conv2dConfig::new([n_in, n], [h, w])
        .with_stride([stride; 2])
        .with_padding(burn::nn::PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .init(&FlexDevice);
    put(&mut conv, filter, &FlexDevice);
    conv.forward(x)
}

/// The largest difference, `margin` places within the border.
fn difference(a: Tensor<Flex, 4>, b: Tensor<Flex, 4>, margin: usize) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let [n, c, h, w] = a.dims();
    let inner = [0..n, 0..c, margin..h - margin, margin..w - margin];
    (a - b).slice(inner).abs().max().into_scalar()
}

#[test]
fn the_pixels_of_a_patch_are_channels_of_one_place() {
    let numbers = TensorData::new((0..16_u8).map(f32::from).collect::<Vec<_>>(), [1, 1, 4, 4]);
    let places = unshuffled(Tensor::<Flex, 4>::from_data(numbers, &FlexDevice));
    assert_eq!(places.dims(), [1, 4, 2, 2]);
    let found: Vec<f32> = places.into_data().iter::<f32>().collect();
    assert_eq!(found[..4], [0.0, 2.0, 8.0, 10.0]);
    assert_eq!(found[12..], [5.0, 7.0, 13.0, 15.0]);
}

#[test]
fn an_encoder_on_patches_gives_what_it_gives_on_pixels() {
    let chain = [[6, 3, 1, 1], [6, 6, 3, 3], [5, 6, 3, 3], [7, 5, 3, 3]].map(random_filter);
    let patches = encoder_in_patches(&chain);
    assert_eq!(patches[0].dims, [24, 3, 2, 2]);
    assert_eq!((patches[1].dims, patches[2].dims), ([24, 24, 3, 3], [5, 24, 3, 3]));
    assert_eq!(patches[3], chain[3]);
    let x = random([2, 3, 12, 12]);
    let (pixels, places) = (convolved(&chain[0], x.clone()), convolved(&patches[0], x));
    assert!(difference(unshuffled(pixels.clone()), places.clone(), 0) < 1e-5);
    let (pixels, places) = (convolved(&chain[1], pixels), convolved(&patches[1], places));
    assert!(difference(unshuffled(pixels.clone()), places.clone(), 0) < 1e-4);
    let (pixels, places) = (convolved(&chain[2], pixels), convolved(&patches[2], places));
    assert!(difference(halved(pixels), places, 0) < 1e-3);
}

#[test]
fn a_decoder_on_patches_gives_what_it_gives_on_pixels() {
    let chain = [[5, 9, 4, 4], [6, 5, 3, 3], [6, 6, 3, 3], [4, 6, 1, 1]].map(random_filter);
    let patches = decoder_in_patches(&chain);
    assert_eq!(patches[0], chain[0]);
    assert_eq!(patches[1].dims, [24, 5, 3, 3]);
    assert_eq!((patches[2].dims, patches[3].dims), ([24, 24, 3, 3], [16, 24, 1, 1]));
    let x = random([2, 5, 8, 8]);
    let (pixels, places) = (convolved(&chain[1], doubled_picture(x.clone())), convolved(&patches[1], x));
    // Beyond its border a doubled picture repeats, and a filter sees zeros.
    assert!(difference(unshuffled(pixels.clone()), places.clone(), 1) < 1e-4);
    let (pixels, places) = (convolved(&chain[2], pixels), convolved(&patches[2], places));
    assert!(difference(unshuffled(pixels.clone()), places.clone(), 2) < 1e-3);
    let (pixels, of_patches) = (convolved(&chain[3], pixels), convolved(&patches[3], places.clone()));
    assert!(difference(unshuffled(pixels.clone()), of_patches, 2) < 1e-2);
    // As the layer of a decoder, which gives pixels again.
    let mut layer = ConvTranspose2dConfig::new([24, 4], [2, 2]).with_stride([2, 2]).init(&FlexDevice);
    put_patches(&mut layer, &patches[3], &FlexDevice);
    assert!(difference(pixels, layer.forward(places), 4) < 1e-2);
}
