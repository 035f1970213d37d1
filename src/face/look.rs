//! What a network says of a square of the frame.

use std::{fs, path::Path};

use ndarray::{ArrayD, Axis};

use super::resample::{self, Interpolation};
use crate::{
    Error, Result,
    frame::Similarity,
    nn::{Network, Runtime, TensorInfo},
    video::Picture,
};

/// The network in the file `path`, as `faceswap train-labels TASK` writes it: a crop of `side_px` to a map of `map_px`
/// and a score. Without a file it is the program's `own`, by its name.
///
/// # Errors
/// [`Error::BadModel`] when it can't be read or is another network, with the way to make one; as [`Runtime::network`].
pub fn open(
    runtime: &Runtime,
    path: Option<&Path>,
    own: (&str, &[u8]),
    task: &str,
    (side_px, map_px): (usize, usize),
) -> Result<Network> {
    let Some(path) = path else { return runtime.network(own.0, own.1) };
    let hint = format!("train one with `faceswap train-labels {task} --faces DIR -o {task}.onnx`");
    let bytes = fs::read(path).map_err(|e| Error::model(path, format!("{e}; {hint}")))?;
    let network = runtime.network(&path.to_string_lossy(), &bytes)?;
    let is_of = |info: &TensorInfo, side: usize| info.shape.ends_with(&[Some(side); 2]);
    let fits = match (network.inputs(), network.outputs()) {
        ([face], [map, _score]) => is_of(face, side_px) && is_of(map, map_px),
        _ => false,
    };
    if fits { Ok(network) } else { Err(Error::model(path, format!("is no network for {task}; {hint}"))) }
}

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
