//! ONNX files, written: the part of `onnx.proto` that the export needs (field numbers as published there), and a
//! builder that adds one operator after the other.

use half::f16;
use prost::Message;

/// Operator set of the files; every ONNX Runtime since 1.12 has it.
const OPSET: i64 = 17;
/// Version of the file format that belongs to it.
const IR_VERSION: i64 = 8;
/// Who wrote a file, by its own word.
pub(super) const PRODUCER: &str = "faceswap";
/// `TensorProto.DataType`.
pub(super) const FLOAT: i32 = 1;
pub(super) const UINT8: i32 = 2;
pub(super) const INT8: i32 = 3;
pub(super) const INT32: i32 = 6;
const INT64: i32 = 7;
pub(super) const FLOAT16: i32 = 10;
/// `AttributeProto.AttributeType`.
const ATTR_FLOAT: i32 = 1;
const ATTR_INT: i32 = 2;
const ATTR_STRING: i32 = 3;
const ATTR_INTS: i32 = 7;

/// Declares messages of protobuf without a page of attributes for each.
macro_rules! message {
    ($name:ident { $($(#[$meta:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        #[derive(Clone, PartialEq, Message)]
        pub(super) struct $name { $($(#[$meta])* pub(super) $field: $kind),* }
    };
}

message!(ModelProto {
    #[prost(int64, tag = "1")] ir_version: i64,
    #[prost(string, tag = "2")] producer_name: String,
    #[prost(string, tag = "3")] producer_version: String,
    #[prost(message, optional, tag = "7")] graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")] opset_import: Vec<OperatorSet>,
});
message!(OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
});
message!(GraphProto {
    #[prost(message, repeated, tag = "1")] node: Vec<Node>,
    #[prost(string, tag = "2")] name: String,
    #[prost(message, repeated, tag = "5")] initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")] input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")] output: Vec<ValueInfo>,
});
message!(Node {
    #[prost(string, repeated, tag = "1")] input: Vec<String>,
    #[prost(string, repeated, tag = "2")] output: Vec<String>,
    #[prost(string, tag = "3")] name: String,
    #[prost(string, tag = "4")] op_type: String,
    #[prost(message, repeated, tag = "5")] attribute: Vec<Attribute>,
    #[prost(string, tag = "7")] domain: String,
});
message!(Attribute {
    #[prost(string, tag = "1")] name: String,
    #[prost(float, tag = "2")] f: f32,
    #[prost(int64, tag = "3")] i: i64,
    #[prost(bytes = "vec", tag = "4")] s: Vec<u8>,
    #[prost(int64, repeated, tag = "8")] ints: Vec<i64>,
    #[prost(int32, tag = "20")] kind: i32,
});
message!(TensorProto {
    #[prost(int64, repeated, tag = "1")] dims: Vec<i64>,
    #[prost(int32, tag = "2")] data_type: i32,
    #[prost(string, tag = "8")] name: String,
    #[prost(bytes = "vec", tag = "9")] raw_data: Vec<u8>,
});
message!(ValueInfo {
    #[prost(string, tag = "1")] name: String,
    #[prost(message, optional, tag = "2")] kind: Option<TypeProto>,
});
message!(TypeProto { #[prost(message, optional, tag = "1")] tensor: Option<TensorType> });
message!(TensorType {
    #[prost(int32, tag = "1")] elem_type: i32,
    #[prost(message, optional, tag = "2")] shape: Option<Shape>,
});
message!(Shape { #[prost(message, repeated, tag = "1")] dim: Vec<Dim> });
message!(Dim {
    #[prost(int64, optional, tag = "1")] value: Option<i64>,
    #[prost(string, optional, tag = "2")] param: Option<String>,
});

/// How weights are stored. Computed is always in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// 32 bits.
    Full,
    /// 16 bits behind a `Cast`: half the size, an error of at most 2^-11 of each weight.
    Half,
}

/// The name of a value in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(pub(super) String);

/// A graph that is being written.
#[derive(Debug)]
pub struct GraphWriter {
    pub(super) graph: GraphProto,
    weights: Weights,
    n_values: usize,
}

impl GraphWriter {
    /// An empty graph.
    pub fn new(name: &str, weights: Weights) -> Self {
        Self { graph: GraphProto { name: name.into(), ..GraphProto::default() }, weights, n_values: 0 }
    }

    /// An input with any batch, `[batch, ..dims]`.
    pub fn input(&mut self, name: &str, dims: &[usize]) -> Value {
        self.graph.input.push(value_info(name, dims));
        Value(name.into())
    }

    /// Makes `value` an output with any batch, `[batch, ..dims]`, called `name`.
    pub fn output(&mut self, name: &str, value: Value, dims: &[usize]) {
        self.graph.output.push(value_info(name, dims));
        let node = Node {
            input: vec![value.0],
            output: vec![name.into()],
            name: format!("{name}_out"),
            op_type: "Identity".into(),
            ..Node::default()
        };
        self.graph.node.push(node);
    }

    /// Convolution with stride 1 and `pad` zeros around. `weight` is `[out, in, k, k]`, `bias` `[out]`.
    pub fn conv(&mut self, x: Value, dims: [usize; 4], weight: &[f32], bias: &[f32], pad: usize) -> Value {
        self.grouped_conv(x, dims, weight, bias, pad, 1)
    }

    /// The same in groups of channels that don't see each other. `weight` is `[out, in / groups, k, k]`.
    pub fn grouped_conv(
        &mut self,
        x: Value,
        dims: [usize; 4],
        weight: &[f32],
        bias: &[f32],
        pad: usize,
        groups: usize,
    ) -> Value {
        let operands = [self.weight(&dims, weight), self.weight(&dims[..1], bias)];
        let mut attributes = window([dims[2], dims[3]], pad, 1);
        if groups > 1 {
            attributes.push(int("group", groups as i64));
        }
        self.node("Conv", [vec![x], operands.into()].concat(), attributes)
    }

    /// Convolution of patches side by side: stride and kernel are one. `weight` is `[out, in, k, k]`.
    pub fn patches_to_channels(&mut self, x: Value, dims: [usize; 4], weight: &[f32], bias: &[f32]) -> Value {
        let operands = [self.weight(&dims, weight), self.weight(&dims[..1], bias)];
        let attributes = window([dims[2], dims[3]], 0, dims[2]);
        self.node("Conv", [vec![x], operands.into()].concat(), attributes)
    }

    /// Transposed convolution whose patches lie side by side: stride and kernel are one. `weight` is `[in, out, k, k]`.
    pub fn channels_to_patches(&mut self, x: Value, dims: [usize; 4], weight: &[f32], bias: &[f32]) -> Value {
        let operands = [self.weight(&dims, weight), self.weight(&dims[1..2], bias)];
        let attributes = window([dims[2], dims[3]], 0, dims[2]);
        self.node("ConvTranspose", [vec![x], operands.into()].concat(), attributes)
    }

    /// LeakyReLU.
    pub fn leaky_relu(&mut self, x: Value, slope: f32) -> Value {
        self.node(
            "LeakyRelu",
            vec![x],
            vec![Attribute { name: "alpha".into(), f: slope, kind: ATTR_FLOAT, ..Attribute::default() }],
        )
    }

    /// Half the side, each pixel the mean of four.
    pub fn halved(&mut self, x: Value) -> Value {
        self.node("AveragePool", vec![x], vec![ints("kernel_shape", &[2; 2]), ints("strides", &[2; 2])])
    }

    /// Twice the side, bilinear with half-pixel centres.
    pub fn doubled(&mut self, x: Value) -> Value {
        let scales = self.initializer(
            &[4],
            FLOAT,
            [1.0_f32, 1.0, 2.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect(),
        );
        let none = Value(String::new());
        let attributes = vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")];
        self.node("Resize", vec![x, none, scales], attributes)
    }

    /// The sum of two values of one shape.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.node("Add", vec![a, b], Vec::new())
    }

    /// The mean of each channel, `[batch, channels, 1, 1]`.
    pub fn mean(&mut self, x: Value) -> Value {
        self.node("GlobalAveragePool", vec![x], Vec::new())
    }

    /// `scale * x + shift`.
    pub fn scaled(&mut self, x: Value, scale: f32, shift: f32) -> Value {
        let [scale, shift] = [scale, shift].map(|n| self.initializer(&[1], FLOAT, n.to_le_bytes().to_vec()));
        let scaled = self.node("Mul", vec![x, scale], Vec::new());
        self.add(scaled, shift)
    }

    /// Logistic function.
    pub fn sigmoid(&mut self, x: Value) -> Value {
        self.node("Sigmoid", vec![x], Vec::new())
    }

    /// Channels `from..to` of `[batch, channels, h, w]`.
    pub fn channels(&mut self, x: Value, from: usize, to: usize) -> Value {
        let [starts, ends, axes] =
            [from, to, 1].map(|n| self.initializer(&[1], INT64, (n as i64).to_le_bytes().to_vec()));
        self.node("Slice", vec![x, starts, ends, axes], Vec::new())
    }

    /// The file's bytes.
    pub fn finish(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: PRODUCER.into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        };
        model.encode_to_vec()
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.n_values += 1;
        format!("{stem}_{}", self.n_values)
    }

    pub(super) fn node(&mut self, operator: &str, inputs: Vec<Value>, attribute: Vec<Attribute>) -> Value {
        let output = self.fresh(&operator.to_lowercase());
        self.graph.node.push(Node {
            input: inputs.into_iter().map(|value| value.0).collect(),
            output: vec![output.clone()],
            name: format!("{output}_node"),
            op_type: operator.into(),
            attribute,
            domain: String::new(),
        });
        Value(output)
    }

    pub(super) fn initializer(&mut self, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> Value {
        let name = self.fresh("constant");
        let dims = dims.iter().map(|n| *n as i64).collect();
        self.graph.initializer.push(TensorProto { dims, data_type, name: name.clone(), raw_data });
        Value(name)
    }

    pub(super) fn weight(&mut self, dims: &[usize], values: &[f32]) -> Value {
        match self.weights {
            Weights::Full => {
                self.initializer(dims, FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
            Weights::Half => {
                let bytes = halves(values);
                let stored = self.initializer(dims, FLOAT16, bytes);
                self.node("Cast", vec![stored], vec![int("to", FLOAT.into())])
            }
        }
    }
}

/// Numbers in 16 bits. What is too small for them becomes 0, and never -0: a training that leaves a weight as it is adds 0
/// to it, and that makes -0 a 0, so that an encoder that was kept would no longer be the same to the bit.
pub(super) fn halves(values: &[f32]) -> Vec<u8> {
    let half = |value: &f32| {
        let half = f16::from_f32(*value);
        if half == f16::ZERO { f16::ZERO } else { half }
    };
    values.iter().flat_map(|value| half(value).to_le_bytes()).collect()
}

pub(super) fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, kind: ATTR_INT, ..Attribute::default() }
}

fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|n| *n as i64).collect();
    Attribute { name: name.into(), ints, kind: ATTR_INTS, ..Attribute::default() }
}

/// How a kernel moves over a picture.
fn window(kernel: [usize; 2], pad: usize, stride: usize) -> Vec<Attribute> {
    vec![ints("kernel_shape", &kernel), ints("pads", &[pad; 4]), ints("strides", &[stride; 2])]
}

fn text(name: &str, value: &str) -> Attribute {
    Attribute { name: name.into(), s: value.into(), kind: ATTR_STRING, ..Attribute::default() }
}

fn value_info(name: &str, dims: &[usize]) -> ValueInfo {
    let batch = Dim { value: None, param: Some("batch".into()) };
    let fixed = dims.iter().map(|n| Dim { value: Some(*n as i64), param: None });
    let shape = Shape { dim: std::iter::once(batch).chain(fixed).collect() };
    ValueInfo {
        name: name.into(),
        kind: Some(TypeProto { tensor: Some(TensorType { elem_type: FLOAT, shape: Some(shape) }) }),
    }
}
