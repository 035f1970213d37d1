//! The ranges of activations: the network is run on faces with what goes into its convolutions and comes out of them as
//! outputs.
//!
//! The range is that of all values seen, least to greatest.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayD, Axis};

use super::{
    Parts,
    rewrite::{Form, Ranges, rewritten, worth_int8},
};
use crate::{
    Error, Result,
    nn::{Network, Runtime},
};

/// Encoder and decoder with the convolutions in 8 bits that gain by it, fitted on `faces`, each `[3, side, side]` as the
/// encoder sees it.
///
/// # Errors
/// [`Error::BadModel`] for networks that this program didn't write or whose convolutions are all too small,
/// [`Error::Device`] when ONNX Runtime fails.
pub fn in_int8(
    name: &str,
    networks: &Parts<Vec<u8>>,
    faces: &[Array3<f32>],
    runtime: &Runtime,
) -> Result<Parts<Vec<u8>>> {
    let inputs = faces.iter().map(|face| face.view().insert_axis(Axis(0)).into_dyn().to_owned());
    let (encoder, codes) = one_in_int8(name, &networks.encoder, inputs.collect(), runtime)?;
    let (decoder, _) = one_in_int8(name, &networks.decoder, codes, runtime)?;
    if encoder.is_none() && decoder.is_none() {
        let reason = "its convolutions have too few channels to gain anything by int8; take fp16";
        return Err(Error::model(name, reason));
    }
    let stored = |bytes: &[u8]| {
        let form = Form::Stored(crate::train::onnx::Weights::Half);
        rewritten(bytes, form).map_err(|reason| Error::model(name, reason))
    };
    Ok(Parts {
        encoder: encoder.map_or_else(|| stored(&networks.encoder), Ok)?,
        decoder: decoder.map_or_else(|| stored(&networks.decoder), Ok)?,
    })
}

/// One network in 8 bits, where any part of it gains by it, and its first output for each of the inputs.
fn one_in_int8(
    name: &str,
    bytes: &[u8],
    inputs: Vec<ArrayD<f32>>,
    runtime: &Runtime,
) -> Result<(Option<Vec<u8>>, Vec<ArrayD<f32>>)> {
    let of_file = |reason: String| Error::model(name, reason);
    let chosen = worth_int8(bytes).map_err(of_file)?;
    let exposed = rewritten(bytes, Form::Exposed(&chosen)).map_err(of_file)?;
    let (ranges, outputs) = ranges(&mut runtime.network(name, &exposed)?, &chosen, inputs)?;
    let bytes =
        if chosen.is_empty() { None } else { Some(rewritten(bytes, Form::Int8(&ranges)).map_err(of_file)?) };
    Ok((bytes, outputs))
}

/// The ranges of the convolutions `exposed` by a network, and its first output for each input.
fn ranges(
    network: &mut Network,
    exposed: &[usize],
    inputs: Vec<ArrayD<f32>>,
) -> Result<(BTreeMap<usize, Ranges>, Vec<ArrayD<f32>>)> {
    let mut ranges: BTreeMap<usize, Ranges> = exposed.iter().map(|nth| (*nth, Ranges::default())).collect();
    let name = network.inputs()[0].name.clone();
    let n_own = network.outputs().len() - 2 * exposed.len();
    let mut first = Vec::new();
    for input in inputs {
        let mut outputs = network.run(&[(&name, input.view())])?;
        for (nth, pair) in exposed.iter().zip(outputs[n_own..].chunks_exact(2)) {
            let ranges = ranges.entry(*nth).or_default();
            ranges.input = ranges.input.with(&pair[0]);
            ranges.output = ranges.output.with(&pair[1]);
        }
        first.push(outputs.swap_remove(0));
    }
    Ok((ranges, first))
}
