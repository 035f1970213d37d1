//! A network that this program wrote, written once more: with weights stored otherwise, with some convolutions in 8 bits,
//! or with what goes into them and comes out of them as outputs.

use std::collections::{BTreeMap, HashMap};

use prost::Message;

use super::quantise::{Range, Steps, WholeFilter};
use crate::train::{
    filters::{Filter, dims, is_int8, stored, values},
    onnx::{
        FLOAT, FLOAT16, GraphProto, GraphWriter, INT8, INT32, ModelProto, Node, PRODUCER, TensorType,
        TypeProto, UINT8, Value, ValueInfo, Weights, int,
    },
};

/// Channels that a convolution takes from which on it is worth the way into 8 bits and back. Of the shipped B, whose finest
/// levels have 8 and 16, those take nearly as long in 8 bits as in floats, and cost two decibels of its nearness to fp32.
const MIN_IN: usize = 24;

/// Channels that it gives, likewise. With 24, the step from 24 to 16 channels at B's finest level would stay in floats: a
/// tenth slower, and one decibel nearer to fp32.
const MIN_OUT: usize = 16;

/// What a convolution takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ranges {
    /// Before it.
    pub input: Range,
    /// After it, before its rectifier.
    pub output: Range,
}

/// How a network is written once more. Convolutions go by their number in the order in which they run.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// The same with its weights stored so.
    Stored(Weights),
    /// In 32 bits, with inputs and outputs of these convolutions as outputs, behind the network's own.
    Exposed(&'a [usize]),
    /// These convolutions in 8 bits, the weights of the others in 16.
    Int8(&'a BTreeMap<usize, Ranges>),
}

/// The convolutions that gain by 8 bits: those with enough channels. The ones that read and write colours
/// aren't among them, which keeps most of the quality. Nor are those that work channel by channel or pixel by pixel: of a
/// separable student, all in 8 bits takes more than twice the time of floats.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn worth_int8(bytes: &[u8]) -> Result<Vec<usize>, String> {
    let graph = own_graph(bytes)?;
    let mut found = Vec::new();
    for (nth, node) in graph.node.iter().filter(|node| node.op_type == "Conv").enumerate() {
        let [n_out, n_in, height, width] = filter(&graph, node)?.dims;
        let is_grouped = node.attribute.iter().any(|a| a.name == "group" && a.i != 1);
        if !is_grouped && height * width > 1 && n_in >= MIN_IN && n_out >= MIN_OUT {
            found.push(nth);
        }
    }
    Ok(found)
}

/// The network in `bytes` in another form.
///
/// # Errors
/// What is wrong with the file, in words: not this program's, or in 8 bits already.
pub fn rewritten(bytes: &[u8], form: Form<'_>) -> Result<Vec<u8>, String> {
    let graph = own_graph(bytes)?;
    let weights = match form {
        Form::Stored(weights) => weights,
        Form::Exposed(_) => Weights::Full,
        Form::Int8(_) => Weights::Half,
    };
    let mut writer = GraphWriter::new(&graph.name, weights);
    writer.graph.input.clone_from(&graph.input);
    writer.graph.output.clone_from(&graph.output);
    let own = graph.input.iter().map(|input| (input.name.clone(), Value(input.name.clone())));
    let mut copy = Copy { graph: &graph, writer, known: own.collect(), exposed: Vec::new(), n_convs: 0 };
    for node in &graph.node {
        copy.node(node, form)?;
    }
    let Copy { mut writer, exposed, .. } = copy;
    writer.graph.output.extend(exposed);
    Ok(writer.finish())
}

/// The graph of a file that this program wrote: of another's, parts might be lost that [`ModelProto`] doesn't know.
fn own_graph(bytes: &[u8]) -> Result<GraphProto, String> {
    let model = ModelProto::decode(bytes).map_err(|e| format!("is no ONNX file: {e}"))?;
    if model.producer_name != PRODUCER {
        return Err(format!("was written by {:?}, not by `faceswap export`", model.producer_name));
    }
    if is_int8(bytes) {
        return Err("is in int8 already; take the identity that it was made from".into());
    }
    model.graph.ok_or_else(|| "holds no graph".into())
}

fn filter(graph: &GraphProto, node: &Node) -> Result<Filter, String> {
    let [_, weight, bias] = &node.input[..] else {
        return Err(format!("{} has {} inputs, not 3", node.name, node.input.len()));
    };
    let (weight, bias) = (stored(graph, weight)?, stored(graph, bias)?);
    let filter = Filter { dims: dims(weight)?, weight: values(weight)?, bias: values(bias)? };
    if filter.bias.len() == filter.dims[0] && !filter.weight.is_empty() {
        Ok(filter)
    } else {
        Err(format!("{} has weights of {:?} and {} biases", node.name, filter.dims, filter.bias.len()))
    }
}

/// A graph on its way into another file.
struct Copy<'a> {
    graph: &'a GraphProto,
    writer: GraphWriter,
    /// The new names of values that have been computed.
    known: HashMap<String, Value>,
    /// Outputs beside the graph's own.
    exposed: Vec<ValueInfo>,
    /// Convolutions that were copied.
    n_convs: usize,
}

impl Copy<'_> {
    fn node(&mut self, node: &Node, form: Form<'_>) -> Result<(), String> {
        let [output] = &node.output[..] else {
            return Err(format!("{} has {} outputs, not 1", node.name, node.output.len()));
        };
        let is_weight = |name: &String| self.graph.initializer.iter().any(|tensor| tensor.name == *name);
        match node.op_type.as_str() {
            // Narrow weights are widened where they are read.
            "Cast" if node.input.iter().all(is_weight) => {}
            // An output keeps its name.
            "Identity" => {
                let input = node
                    .input
                    .iter()
                    .map(|name| Ok(self.input(name, false)?.0))
                    .collect::<Result<_, String>>()?;
                self.writer.graph.node.push(Node { input, ..node.clone() });
            }
            "Conv" => {
                let value = self.conv(node, form)?;
                self.known.insert(output.clone(), value);
            }
            operator => {
                let inputs =
                    node.input.iter().map(|name| self.input(name, false)).collect::<Result<_, _>>()?;
                let value = self.writer.node(operator, inputs, node.attribute.clone());
                self.known.insert(output.clone(), value);
            }
        }
        Ok(())
    }

    /// A value that was computed, or a constant of the old graph in the new one.
    fn input(&mut self, name: &str, is_weight: bool) -> Result<Value, String> {
        if name.is_empty() {
            return Ok(Value(String::new()));
        }
        if let Some(value) = self.known.get(name) {
            return Ok(value.clone());
        }
        let tensor = stored(self.graph, name)?;
        let dims: Vec<usize> = tensor.dims.iter().map(|n| *n as usize).collect();
        if is_weight || tensor.data_type == FLOAT16 {
            return Ok(self.writer.weight(&dims, &values(tensor)?));
        }
        Ok(self.writer.initializer(&dims, tensor.data_type, tensor.raw_data.clone()))
    }

    fn conv(&mut self, node: &Node, form: Form<'_>) -> Result<Value, String> {
        let filter = filter(self.graph, node)?;
        let x = self.input(&node.input[0], false)?;
        let nth = self.n_convs;
        self.n_convs += 1;
        if let Form::Int8(chosen) = form
            && let Some(ranges) = chosen.get(&nth)
        {
            return Ok(self.int8_conv(node, x, &filter, ranges));
        }
        let weight = self.input(&node.input[1], true)?;
        let bias = self.input(&node.input[2], true)?;
        let y = self.writer.node("Conv", vec![x.clone(), weight, bias], node.attribute.clone());
        if let Form::Exposed(chosen) = form
            && chosen.contains(&nth)
        {
            self.exposed.extend([output(&x), output(&y)]);
        }
        Ok(y)
    }

    /// A convolution between steps and values: ONNX Runtime computes what stands between them in whole numbers.
    fn int8_conv(&mut self, node: &Node, x: Value, filter: &Filter, ranges: &Ranges) -> Value {
        let input = Steps::over(ranges.input);
        let x = self.counted(x, input);
        let WholeFilter { weight, scales, bias, bias_scales } = WholeFilter::of(filter, input.scale);
        let n_out = &filter.dims[..1];
        let weight = self.writer.initializer(&filter.dims, INT8, weight.iter().map(|v| *v as u8).collect());
        let zeros = self.writer.initializer(n_out, INT8, vec![0; n_out[0]]);
        let weight = self.valued(weight, &scales, zeros);
        let bias = self.writer.initializer(n_out, INT32, bias.iter().flat_map(|v| v.to_le_bytes()).collect());
        let zeros = self.writer.initializer(n_out, INT32, vec![0; 4 * n_out[0]]);
        let bias = self.valued(bias, &bias_scales, zeros);
        let y = self.writer.node("Conv", vec![x, weight, bias], node.attribute.clone());
        self.counted(y, Steps::over(ranges.output))
    }

    /// Activations to steps and back.
    fn counted(&mut self, x: Value, Steps { scale, zero }: Steps) -> Value {
        let scale = self.writer.initializer(&[], FLOAT, scale.to_le_bytes().to_vec());
        let zero = self.writer.initializer(&[], UINT8, vec![zero]);
        let steps = self.writer.node("QuantizeLinear", vec![x, scale.clone(), zero.clone()], Vec::new());
        self.writer.node("DequantizeLinear", vec![steps, scale, zero], Vec::new())
    }

    /// Whole numbers to values, channel by channel.
    fn valued(&mut self, whole: Value, scales: &[f32], zeros: Value) -> Value {
        let bytes = scales.iter().flat_map(|v| v.to_le_bytes()).collect();
        let scales = self.writer.initializer(&[scales.len()], FLOAT, bytes);
        self.writer.node("DequantizeLinear", vec![whole, scales, zeros], vec![int("axis", 0)])
    }
}

/// An output of any shape.
fn output(value: &Value) -> ValueInfo {
    let tensor = TensorType { elem_type: FLOAT, shape: None };
    ValueInfo { name: value.0.clone(), kind: Some(TypeProto { tensor: Some(tensor) }) }
}
