//! The weights of an exported network, read back: the convolutions of a file that [`super::onnx`] wrote.

use half::f16;
use prost::Message;

use super::onnx::{FLOAT, FLOAT16, GraphProto, ModelProto, Node, TensorProto};

/// One convolution's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// `[out, in, k, k]`.
    pub dims: [usize; 4],
    /// Row by row.
    pub weight: Vec<f32>,
    /// One for each output channel.
    pub bias: Vec<f32>,
}

/// The convolutions of a network in the order in which they run.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn convolutions(bytes: &[u8]) -> Result<Vec<Filter>, String> {
    if is_int8(bytes) {
        return Err(
            "its weights have lost bits: it is in int8; take the identity that it was made from".into()
        );
    }
    let graph = graph(bytes)?;
    graph
        .node
        .iter()
        .filter(|node| node.op_type == "Conv")
        .map(|node| match &node.input[..] {
            [_, weight, bias] => Ok(Filter {
                dims: dims(stored(&graph, weight)?)?,
                weight: values(stored(&graph, weight)?)?,
                bias: values(stored(&graph, bias)?)?,
            }),
            inputs => Err(format!("{} has {} inputs, not 3", node.name, inputs.len())),
        })
        .collect()
}

/// Whether two files hold the same network, whichever version of the program wrote them.
pub fn is_same_network(one: &[u8], other: &[u8]) -> bool {
    matches!((graph(one), graph(other)), (Ok(a), Ok(b)) if a == b)
}

/// Whether the weights of a network are stored in 16 bits.
pub fn is_half(bytes: &[u8]) -> bool {
    graph(bytes).is_ok_and(|graph| graph.initializer.iter().any(|tensor| tensor.data_type == FLOAT16))
}

/// Whether any of a network's layers computes in 8 bits.
pub fn is_int8(bytes: &[u8]) -> bool {
    graph(bytes).is_ok_and(|graph| graph.node.iter().any(|node| node.op_type == "QuantizeLinear"))
}

fn graph(bytes: &[u8]) -> Result<GraphProto, String> {
    let model = ModelProto::decode(bytes).map_err(|e| format!("is no ONNX file: {e}"))?;
    model.graph.ok_or_else(|| "holds no graph".into())
}

/// The tensor behind a value, by way of the `Cast` that widens one of 16 bits.
pub(super) fn stored<'a>(graph: &'a GraphProto, name: &str) -> Result<&'a TensorProto, String> {
    let is_cast = |node: &&Node| node.op_type == "Cast" && node.output.iter().any(|out| out == name);
    let name = graph.node.iter().find(is_cast).and_then(|node| node.input.first()).map_or(name, |s| s);
    graph.initializer.iter().find(|tensor| tensor.name == name).ok_or_else(|| format!("lacks {name}"))
}

/// A filter's shape, `[out, in, k, k]`.
pub(super) fn dims(tensor: &TensorProto) -> Result<[usize; 4], String> {
    let dims: Vec<usize> = tensor.dims.iter().map(|n| *n as usize).collect();
    dims.try_into().map_err(|_| format!("{} has {} axes, a filter has 4", tensor.name, tensor.dims.len()))
}

/// A tensor's numbers in 32 bits.
pub(super) fn values(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    let bytes = &tensor.raw_data[..];
    let values: Vec<f32> = match tensor.data_type {
        FLOAT => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        FLOAT16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        other => return Err(format!("{} is of type {other}, not of 16 or 32 bits", tensor.name)),
    };
    let n: i64 = tensor.dims.iter().product();
    if values.len() as i64 == n {
        Ok(values)
    } else {
        Err(format!("{} holds {} numbers, its shape says {n}", tensor.name, values.len()))
    }
}
