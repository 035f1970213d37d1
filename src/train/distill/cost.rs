//! What a network costs: parameters, and multiplications with addition for one picture.

use std::collections::HashMap;

use prost::Message;

use crate::train::onnx::{Attribute, GraphProto, ModelProto, ValueInfo};

/// The cost of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Weights and biases.
    pub n_parameters: u64,
    /// Multiplications with addition in convolutions, for one picture.
    pub n_macs: u64,
}

/// The cost of a network that this program wrote. Biases, rectifiers, means and doublings aren't counted among the
/// multiplications, as is usual.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn cost(bytes: &[u8]) -> Result<Cost, String> {
    let model = ModelProto::decode(bytes).map_err(|e| format!("is no ONNX file: {e}"))?;
    let graph = model.graph.ok_or("holds no graph")?;
    let dims: HashMap<&str, Vec<u64>> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor.dims.iter().map(|n| *n as u64).collect()))
        .collect();
    // Weights of 16 bits come through a `Cast`, those of 8 bits through a `DequantizeLinear`.
    let mut behind: HashMap<&str, &str> = HashMap::new();
    let mut sides: HashMap<&str, u64> = inputs(&graph);
    let mut cost = Cost::default();
    for node in &graph.node {
        let [Some(input), Some(output)] = [node.input.first(), node.output.first()] else { continue };
        let is_stored = node.op_type == "DequantizeLinear" && dims.contains_key(input.as_str());
        if is_stored || node.op_type == "Cast" {
            behind.insert(output, input);
            continue;
        }
        let side = sides.get(input.as_str()).copied().ok_or_else(|| format!("{} has no side", node.name))?;
        let shape = |i: usize| -> Option<&Vec<u64>> {
            let name = node.input.get(i)?.as_str();
            dims.get(behind.get(name).copied().unwrap_or(name))
        };
        let side = match node.op_type.as_str() {
            "Conv" => {
                let weight =
                    shape(1).filter(|dims| dims.len() == 4).ok_or("a convolution without weights")?;
                let first =
                    |name: &str, usual: u64| ints(&node.attribute, name).first().copied().unwrap_or(usual);
                let (pad, stride) = (first("pads", 0), first("strides", 1).max(1));
                let steps =
                    (side + 2 * pad).checked_sub(weight[2]).ok_or("a kernel larger than its input")?;
                let side = steps / stride + 1;
                let n_weights: u64 = weight.iter().product();
                cost.n_parameters += n_weights + shape(2).map_or(0, |bias| bias.iter().product());
                cost.n_macs += n_weights * side * side;
                side
            }
            // Patches side by side: every place of the input is multiplied by all weights.
            "ConvTranspose" => {
                let weight = shape(1).ok_or("a convolution without weights")?;
                let n_weights: u64 = weight.iter().product();
                cost.n_parameters += n_weights + shape(2).map_or(0, |bias| bias.iter().product());
                cost.n_macs += n_weights * side * side;
                side * weight.get(2).copied().unwrap_or(1)
            }
            "AveragePool" => side / 2,
            "Resize" => side * 2,
            _ => side,
        };
        sides.insert(output, side);
    }
    Ok(cost)
}

/// The sides of the inputs.
fn inputs(graph: &GraphProto) -> HashMap<&str, u64> {
    let side = |input: &ValueInfo| {
        let last = input.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?.dim.last()?.value?;
        u64::try_from(last).ok()
    };
    graph.input.iter().filter_map(|input| Some((input.name.as_str(), side(input)?))).collect()
}

fn ints(attributes: &[Attribute], name: &str) -> Vec<u64> {
    let found = attributes.iter().find(|attribute| attribute.name == name);
    found.map(|attribute| attribute.ints.iter().map(|n| *n as u64).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use burn::backend::{Flex, flex::FlexDevice};

    use super::*;
    use crate::train::{
        export::{decoder_onnx, encoder_onnx},
        model::{Comb, CombConfig},
        onnx::Weights,
    };

    #[test]
    fn costs_are_those_that_one_counts_by_hand() {
        for weights in [Weights::Full, Weights::Half] {
            let of = |separable: bool| {
                let config = CombConfig {
                    latent: 6,
                    encoder: vec![4, 2],
                    decoder: vec![5, 3],
                    separable,
                    ..CombConfig::default()
                };
                let comb = Comb::<Flex>::new(&config, 1, &FlexDevice);
                let encoder = cost(&encoder_onnx(&comb.encoder, 1, 6, weights)).expect("ours");
                (encoder, cost(&decoder_onnx(&comb.decoders[0], 1, 6, weights)).expect("ours"))
            };
            let (encoder, decoder) = of(false);
            // 1x1 from RGB at 8 px; two 3x3 at 8 px; 4x4 to one place.
            let weights = [2 * 3, 2 * 2 * 9, 4 * 2 * 9, 6 * 4 * 16];
            assert_eq!(encoder.n_parameters, weights.iter().sum::<u64>() + 2 + 2 + 4 + 6);
            assert_eq!(encoder.n_macs, 64 * (weights[0] + weights[1] + weights[2]) + weights[3]);
            // 1x1 to 4 px through a kernel of 4x4; two 3x3 at 8 px; 1x1 to colours and mask.
            let weights = [5 * 6 * 16, 3 * 5 * 9, 3 * 3 * 9, 4 * 3];
            assert_eq!(decoder.n_macs, 16 * weights[0] + 64 * (weights[1] + weights[2] + weights[3]));
            let (_, separable) = of(true);
            let weights = [5 * 6 * 16, 5 * 9 + 3 * 5, 3 * 9 + 3 * 3, 4 * 3];
            assert_eq!(separable.n_macs, 16 * weights[0] + 64 * (weights[1] + weights[2] + weights[3]));
        }
        assert!(cost(b"no network").is_err());
        // What a size says about itself, without the unused steps from and to RGB.
        let light = CombConfig::light(32).expect("a side");
        for config in [
            CombConfig {
                patches: true,
                separable: true,
                whole_px: [0, 8],
                mixed_first_px: Some(8),
                ..light.clone()
            },
            light,
        ] {
            let comb = Comb::<Flex>::new(&config, 1, &FlexDevice);
            let encoder = cost(&encoder_onnx(&comb.encoder, 3, 256, Weights::Half)).expect("ours");
            let decoder = cost(&decoder_onnx(&comb.decoders[0], 3, 256, Weights::Half)).expect("ours");
            assert_eq!([encoder.n_macs, decoder.n_macs], config.n_multiplications());
        }
    }
}
