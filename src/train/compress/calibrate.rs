//! The ranges of activations: the network is run on faces with what goes into its convolutions and comes out of them as
//! outputs.
//!
//! The range is that of all values seen, least to greatest. (Of the shipped B, ranges without the outermost 0.001 % of the
//! values on either side come 0.3 dB nearer to fp32, without 0.01 % they go 0.4 dB further away: not worth a histogram.)

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayD, Axis};

use super::{
    Parts,
    rewrite::{Form, Ranges, rewritten, worth_int8},
};
use crate::{Error, Result, nn::Runtime};

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
    let encoder = fitted(name, &networks.encoder, inputs.collect(), runtime)?;
    let decoder = fitted(name, &networks.decoder, encoder.outputs, runtime)?;
    if !encoder.gains && !decoder.gains {
        let reason = "its convolutions have too few channels to gain anything by int8; take fp16";
        return Err(Error::model(name, reason));
    }
    Ok(Parts { encoder: encoder.bytes, decoder: decoder.bytes })
}

/// A network in 8 bits.
struct Fitted {
    bytes: Vec<u8>,
    /// Whether any of it is in 8 bits.
    gains: bool,
    /// Its first output for each input, as it was before.
    outputs: Vec<ArrayD<f32>>,
}

fn fitted(name: &str, bytes: &[u8], inputs: Vec<ArrayD<f32>>, runtime: &Runtime) -> Result<Fitted> {
    let of_file = |reason: String| Error::model(name, reason);
    let chosen = worth_int8(bytes).map_err(of_file)?;
    let exposed = rewritten(bytes, Form::Exposed(&chosen)).map_err(of_file)?;
    let mut network = runtime.network(name, &exposed)?;
    let input_name = network.inputs()[0].name.clone();
    let n_own = network.outputs().len() - 2 * chosen.len();
    let mut ranges: BTreeMap<usize, Ranges> = chosen.iter().map(|nth| (*nth, Ranges::default())).collect();
    let mut first = Vec::new();
    for input in inputs {
        let mut outputs = network.run(&[(&input_name, input.view())])?;
        for (ranges, pair) in ranges.values_mut().zip(outputs[n_own..].chunks_exact(2)) {
            ranges.input = ranges.input.with(&pair[0]);
            ranges.output = ranges.output.with(&pair[1]);
        }
        first.push(outputs.swap_remove(0));
    }
    let bytes = rewritten(bytes, Form::Int8(&ranges)).map_err(of_file)?;
    Ok(Fitted { bytes, gains: !chosen.is_empty(), outputs: first })
}
