//! What a network says of a square of the frame.

use ndarray::{ArrayD, Axis};

use super::resample::{self, Interpolation};
use crate::{Result, frame::Similarity, nn::Network, video::Picture};

/// Shows a network of one input, `[batch, 3, side, side]`, RGB 0..=1, the square of `side_px` that `alignment` brings
/// the frame to, and gives all its outputs in the graph's order.
///
/// # Errors
/// As [`Network::run`].
pub fn look(
    network: &mut Network,
    picture: &Picture,
    alignment: &Similarity,
    side_px: usize,
) -> Result<Vec<ArrayD<f32>>> {
    let crop = resample::cut(picture, alignment, side_px, Interpolation::Bilinear).insert_axis(Axis(0));
    let input = network.inputs().first().map_or_else(String::new, |input| input.name.clone());
    network.run(&[(&input, crop.view().into_dyn())])
}
