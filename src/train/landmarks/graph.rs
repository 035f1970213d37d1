//! A network of another's making as layers whose weights can learn: the operators that the landmark network has, read
//! from its ONNX file and written back into it.

use std::collections::{HashMap, HashSet};

use burn::{
    module::{Module, Param},
    nn::{
        PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{
        Tensor, TensorData,
        activation::relu,
        backend::{AutodiffBackend, Backend},
        module::max_pool2d,
    },
};
use prost::Message;

use crate::train::{
    base::put,
    filters::{Filter, dims, stored, values},
    onnx::{Attribute, FLOAT16, GraphProto, ModelProto, Node, TensorProto, halves},
    quick::convolved,
};

/// From the first layer on whose output is at most this wide, the weights learn. What is finer takes most of the time.
const LEARNS_FROM_PX: usize = 32;

/// The weights.
#[derive(Module, Debug)]
pub struct Weights<B: Backend> {
    /// Of the convolutions.
    convs: Vec<Conv2d<B>>,
    /// Of what only scales each channel, `[1, channels, 1, 1]`.
    scales: Vec<Param<Tensor<B, 4>>>,
}

/// What is done with them, in order.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    /// The first step whose weights learn.
    split: usize,
    /// Points and presence.
    outputs: [usize; 2],
    /// The file.
    model: ModelProto,
    /// The names of the weights in it: each convolution's weight and bias, then the scales'.
    names: (Vec<[String; 2]>, Vec<String>),
}

#[derive(Debug)]
struct Step {
    kind: Kind,
    inputs: Vec<usize>,
    output: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Conv(usize),
    Scale(usize),
    Relu,
    Add,
    /// Half the side, each pixel the largest of four.
    MaxPool,
    /// So many more channels, of zeros.
    PadChannels(usize),
}

/// Values that have been computed, by their numbers; the input is 0.
type Values<B> = HashMap<usize, Tensor<B, 4>>;

/// What the network says of pictures.
pub struct Said<B: Backend> {
    /// `[batch, 3 points]`: x, y and depth of each in turn, pixels of the picture.
    pub points: Tensor<B, 2>,
    /// `[batch, 1]`: the logit of a face's presence.
    pub presence: Tensor<B, 2>,
}

impl Plan {
    /// The network of a file, and its weights.
    ///
    /// # Errors
    /// What is wrong with the file, in words: an operator that isn't known here, say.
    pub fn read<B: Backend>(bytes: &[u8], device: &B::Device) -> Result<(Self, Weights<B>), String> {
        let model = ModelProto::decode(bytes).map_err(|e| format!("is no ONNX file: {e}"))?;
        let graph = model.graph.clone().ok_or("holds no graph")?;
        let mut reader = Reader::<B>::new(&graph, device)?;
        for node in &graph.node {
            reader.node(node)?;
        }
        let Reader { known, steps, sides, weights, names, .. } = reader;
        let output = |name: &str| known.get(name).copied().ok_or_else(|| format!("has no output {name}"));
        let outputs = [output("points")?, output("presence")?];
        let is_coarse = |step: &Step| sides.get(&step.output).is_some_and(|side| *side <= LEARNS_FROM_PX);
        let split = steps.iter().position(is_coarse).unwrap_or(steps.len());
        Ok((Self { steps, split, outputs, model, names }, weights))
    }

    /// What the layers that stay as they are make of pictures, `[batch, 3, side, side]`, RGB 0..=1.
    pub fn begin<B: Backend>(&self, weights: &Weights<B>, pictures: Tensor<B, 4>) -> Values<B> {
        self.run(weights, 0..self.split, HashMap::from([(0, pictures)]))
    }

    /// The rest of the way.
    pub fn end<B: Backend>(&self, weights: &Weights<B>, begun: Values<B>) -> Said<B> {
        let mut values = self.run(weights, self.split..self.steps.len(), begun);
        let [points, presence] = self.outputs.map(|at| values.remove(&at));
        // Both are outputs of steps, which `read` has looked up.
        let flat = |value: Option<Tensor<B, 4>>| match value {
            Some(value) => value.flatten(1, 3),
            None => unreachable!("an output that no step gives"),
        };
        Said { points: flat(points), presence: flat(presence) }
    }

    /// What was begun without a graph, for layers with one.
    pub fn with_graph<B: AutodiffBackend>(begun: &Values<B::InnerBackend>) -> Values<B> {
        begun.iter().map(|(at, value)| (*at, Tensor::from_inner(value.clone()))).collect()
    }

    fn run<B: Backend>(
        &self,
        weights: &Weights<B>,
        steps: std::ops::Range<usize>,
        mut values: Values<B>,
    ) -> Values<B> {
        for (nth, step) in self.steps[steps.clone()].iter().enumerate() {
            let now = steps.start + nth;
            let mut inputs = step.inputs.iter().filter_map(|at| values.get(at).cloned());
            let (Some(x), second) = (inputs.next(), inputs.next()) else { continue };
            let out = match (step.kind, second) {
                (Kind::Conv(i), _) => convolved(&weights.convs[i], x),
                (Kind::Scale(i), _) => x * weights.scales[i].val(),
                (Kind::Relu, _) => relu(x),
                (Kind::Add, Some(other)) => x + other,
                (Kind::Add, None) => x,
                (Kind::MaxPool, _) => max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], false),
                (Kind::PadChannels(n), _) => {
                    let [batch, _, h, w] = x.dims();
                    let zeros = Tensor::zeros([batch, n, h, w], &x.device());
                    Tensor::cat(vec![x, zeros], 1)
                }
            };
            values.insert(step.output, out);
            // What nobody reads any more needs no memory.
            let is_read_later = |at: &usize| {
                self.outputs.contains(at) || self.steps[now + 1..].iter().any(|step| step.inputs.contains(at))
            };
            for at in step.inputs.iter().filter(|at| !is_read_later(at)) {
                values.remove(at);
            }
        }
        values
    }

    /// Whether another file is the same but for weights that learn.
    pub fn differs_in_what_learns(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.model.graph, &other.model.graph) else { return false };
        let learn = self.learning();
        let are_alike = |(a, b): (&TensorProto, &TensorProto)| {
            let is_shaped_alike = (&a.name, &a.dims, a.data_type) == (&b.name, &b.dims, b.data_type);
            is_shaped_alike && (a.raw_data == b.raw_data || learn.contains(a.name.as_str()))
        };
        a.node == b.node
            && a.initializer.len() == b.initializer.len()
            && a.initializer.iter().zip(&b.initializer).all(are_alike)
    }

    /// The names of the weights that learn.
    fn learning(&self) -> HashSet<&str> {
        let of = |step: &Step| match step.kind {
            Kind::Conv(i) => self.names.0[i].iter().map(String::as_str).collect(),
            Kind::Scale(i) => vec![self.names.1[i].as_str()],
            _ => Vec::new(),
        };
        self.steps[self.split..].iter().flat_map(of).collect()
    }

    /// The file with these weights.
    ///
    /// # Errors
    /// The name of a weight that the file lacks.
    pub fn written<B: Backend>(&self, weights: &Weights<B>) -> Result<Vec<u8>, String> {
        let mut model = self.model.clone();
        let graph = model.graph.as_mut().ok_or("holds no graph")?;
        let mut new: HashMap<&str, Vec<f32>> = HashMap::new();
        let numbers = |data: TensorData| data.iter::<f32>().collect::<Vec<f32>>();
        for (conv, [weight, bias]) in weights.convs.iter().zip(&self.names.0) {
            new.insert(weight, numbers(conv.weight.val().into_data()));
            if let Some(values) = &conv.bias {
                new.insert(bias, numbers(values.val().into_data()));
            }
        }
        for (scale, name) in weights.scales.iter().zip(&self.names.1) {
            new.insert(name, numbers(scale.val().into_data()));
        }
        for tensor in &mut graph.initializer {
            let Some(values) = new.remove(tensor.name.as_str()) else { continue };
            tensor.raw_data = if tensor.data_type == FLOAT16 {
                halves(&values)
            } else {
                values.iter().flat_map(|v| v.to_le_bytes()).collect()
            };
        }
        match new.keys().next() {
            Some(name) => Err(format!("lacks {name}")),
            None => Ok(model.encode_to_vec()),
        }
    }
}

/// A graph on its way into a plan.
struct Reader<'a, B: Backend> {
    graph: &'a GraphProto,
    device: &'a B::Device,
    known: HashMap<&'a str, usize>,
    /// The sides of the values.
    sides: HashMap<usize, usize>,
    steps: Vec<Step>,
    weights: Weights<B>,
    names: (Vec<[String; 2]>, Vec<String>),
}

impl<'a, B: Backend> Reader<'a, B> {
    fn new(graph: &'a GraphProto, device: &'a B::Device) -> Result<Self, String> {
        let input = graph.input.first().ok_or("has no input")?;
        let shape = input
            .kind
            .as_ref()
            .and_then(|kind| kind.tensor.as_ref())
            .and_then(|tensor| tensor.shape.as_ref());
        let side = shape.and_then(|shape| shape.dim.last()).and_then(|dim| dim.value);
        let side = side.and_then(|side| usize::try_from(side).ok()).ok_or("has an input without a side")?;
        Ok(Self {
            graph,
            device,
            known: HashMap::from([(input.name.as_str(), 0)]),
            sides: HashMap::from([(0, side)]),
            steps: Vec::new(),
            weights: Weights { convs: Vec::new(), scales: Vec::new() },
            names: (Vec::new(), Vec::new()),
        })
    }

    fn node(&mut self, node: &'a Node) -> Result<(), String> {
        let (Some(first), Some(output)) = (node.input.first(), node.output.first()) else {
            return Err(format!("{} has no input or no output", node.name));
        };
        match node.op_type.as_str() {
            // Weights, on their way from 16 bits.
            "Cast" => return Ok(()),
            // The outputs: the same numbers in another shape.
            "Reshape" => {
                let at = self.value(first)?;
                self.known.insert(output, at);
                return Ok(());
            }
            _ => {}
        }
        let x = self.value(first)?;
        let side = self.sides[&x];
        let (kind, inputs, side) = match node.op_type.as_str() {
            "Conv" => {
                let (kind, side) = self.conv(node, side)?;
                (kind, vec![x], side)
            }
            "Relu" => (Kind::Relu, vec![x], side),
            "Add" => {
                let other = node.input.get(1).ok_or_else(|| format!("{} adds nothing", node.name))?;
                (Kind::Add, vec![x, self.value(other)?], side)
            }
            "MaxPool" if ints(node, "kernel_shape") == [2, 2] && ints(node, "strides") == [2, 2] => {
                (Kind::MaxPool, vec![x], side / 2)
            }
            "Pad" => (Kind::PadChannels(self.padded_channels(node)?), vec![x], side),
            other => return Err(format!("{} is a {other} of a kind that isn't known here", node.name)),
        };
        let at = self.steps.len() + 1;
        self.steps.push(Step { kind, inputs, output: at });
        self.sides.insert(at, side);
        self.known.insert(output, at);
        Ok(())
    }

    fn value(&self, name: &str) -> Result<usize, String> {
        self.known.get(name).copied().ok_or_else(|| format!("{name} is read before it is computed"))
    }

    /// A convolution, and the side of what it gives.
    fn conv(&mut self, node: &Node, side: usize) -> Result<(Kind, usize), String> {
        let weight = node.input.get(1).ok_or_else(|| format!("{} has no weights", node.name))?;
        let weight = stored(self.graph, weight)?;
        let (shape, numbers) = (dims(weight)?, values(weight)?);
        let [n_out, n_in, h, w] = shape;
        let groups = node.attribute.iter().find(|a| a.name == "group").map_or(1, |a| a.i as usize);
        let Some(bias) = node.input.get(2) else {
            if groups != n_out || [n_in, h, w] != [1, 1, 1] {
                return Err(format!("{} has no bias", node.name));
            }
            let scale = Tensor::from_data(TensorData::new(numbers, [1, n_out, 1, 1]), self.device);
            self.weights.scales.push(Param::from_tensor(scale));
            self.names.1.push(weight.name.clone());
            return Ok((Kind::Scale(self.weights.scales.len() - 1), side));
        };
        let bias = stored(self.graph, bias)?;
        let or =
            |found: Vec<usize>, usual: usize, n: usize| if found.is_empty() { vec![usual; n] } else { found };
        let (stride, pads) = (or(ints(node, "strides"), 1, 2), or(ints(node, "pads"), 0, 4));
        let ([sy, sx], [top, left, bottom, right]) = (&stride[..], &pads[..]) else {
            return Err(format!("{} has {} strides and {} pads", node.name, stride.len(), pads.len()));
        };
        let mut conv = Conv2dConfig::new([n_in * groups, n_out], [h, w])
            .with_stride([*sy, *sx])
            .with_groups(groups)
            .with_padding(PaddingConfig2d::Explicit(*top, *left, *bottom, *right))
            .init(self.device);
        let filter = Filter { dims: shape, weight: numbers, bias: values(bias)? };
        put(&mut conv, &filter, self.device);
        self.weights.convs.push(conv);
        self.names.0.push([weight.name.clone(), bias.name.clone()]);
        let room = side + top + bottom;
        let side = room.checked_sub(h).ok_or_else(|| format!("{} is larger than its input", node.name))?
            / sy.max(&1)
            + 1;
        Ok((Kind::Conv(self.weights.convs.len() - 1), side))
    }

    /// The channels that a `Pad` adds behind those of its input.
    fn padded_channels(&self, node: &Node) -> Result<usize, String> {
        let pads = node.input.get(1).ok_or_else(|| format!("{} has no pads", node.name))?;
        let pads = self.graph.initializer.iter().find(|tensor| tensor.name == *pads);
        let pads = pads.ok_or_else(|| format!("{} has no stored pads", node.name))?;
        let numbers: Vec<i64> = pads
            .raw_data
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
            .collect();
        match numbers[..] {
            [0, 0, 0, 0, 0, n, 0, 0] if n >= 0 => Ok(n as usize),
            _ => Err(format!("{} pads more than channels", node.name)),
        }
    }
}

fn ints(node: &Node, name: &str) -> Vec<usize> {
    let found: Option<&Attribute> = node.attribute.iter().find(|attribute| attribute.name == name);
    found.map(|attribute| attribute.ints.iter().map(|n| *n as usize).collect()).unwrap_or_default()
}
