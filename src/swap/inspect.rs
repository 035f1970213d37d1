//! A look into the bytes of an ONNX file before ONNX Runtime may have them.
//!
//! A bundle comes from anywhere. A network may name other files to read its weights from, and operators that only a
//! native plug-in provides; neither is allowed. This walks the few fields of `onnx.proto` (field numbers as published
//! there) that decide it, and gives the shapes of the graph's inputs and outputs.

use std::fmt;

/// Operators' domains that ONNX Runtime has built in under these names.
const DOMAINS: [&str; 2] = ["", "ai.onnx"];

/// Graphs inside graphs (branches, loops) that are followed.
const MAX_DEPTH: usize = 16;

/// What goes into a graph and what comes out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Inputs that aren't weights, in the graph's order.
    pub inputs: Vec<Port>,
    /// Outputs in the graph's order.
    pub outputs: Vec<Port>,
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The length of every axis, `None` where any length will do.
    pub shape: Vec<Option<u64>>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<_> = self.shape.iter().map(|n| n.map_or("any".into(), |n| n.to_string())).collect();
        write!(f, "{} [{}]", self.name, axes.join(", "))
    }
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It isn't ONNX, or it is cut off.
    Broken(String),
    /// It wants something that a bundle may not have.
    Forbidden(String),
}

/// The interface of the network in `bytes`.
///
/// # Errors
/// [`Objection`]: broken bytes, weights outside the file, operators outside ONNX.
pub fn interface(bytes: &[u8]) -> Result<Interface, Objection> {
    let mut found = None;
    for field in Fields(bytes) {
        if let (7, Value::Bytes(graph)) = field? {
            found = Some(walk_graph(graph, 0)?);
        }
    }
    found.ok_or_else(|| broken("has no graph"))
}

fn broken(reason: &str) -> Objection {
    Objection::Broken(format!("{reason}: not an ONNX file, or a damaged one"))
}

/// `GraphProto`.
fn walk_graph(bytes: &[u8], depth: usize) -> Result<Interface, Objection> {
    if depth > MAX_DEPTH {
        return Err(Objection::Forbidden(format!("graphs are nested more than {MAX_DEPTH} deep")));
    }
    let (mut interface, mut weights) = (Interface::default(), Vec::new());
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(node)) => walk_node(node, depth)?,
            (5, Value::Bytes(tensor)) => weights.push(walk_tensor(tensor)?),
            (15, Value::Bytes(sparse)) => walk_sparse(sparse)?,
            (11, Value::Bytes(info)) => interface.inputs.push(port(info)?),
            (12, Value::Bytes(info)) => interface.outputs.push(port(info)?),
            _ => {}
        }
    }
    // Until ONNX 1.4, weights had to be listed among the inputs.
    interface.inputs.retain(|input| !weights.contains(&input.name));
    Ok(interface)
}

/// `NodeProto`.
fn walk_node(bytes: &[u8], depth: usize) -> Result<(), Objection> {
    let (mut domain, mut operator) = (String::new(), String::new());
    for field in Fields(bytes) {
        match field? {
            (4, Value::Bytes(text)) => operator = string(text),
            (7, Value::Bytes(text)) => domain = string(text),
            (5, Value::Bytes(attribute)) => walk_attribute(attribute, depth)?,
            _ => {}
        }
    }
    if DOMAINS.contains(&domain.as_str()) {
        return Ok(());
    }
    Err(Objection::Forbidden(format!(
        "uses the operator {operator} of {domain}; only ONNX's own operators are allowed"
    )))
}

/// `AttributeProto`.
fn walk_attribute(bytes: &[u8], depth: usize) -> Result<(), Objection> {
    for field in Fields(bytes) {
        match field? {
            (5 | 10, Value::Bytes(tensor)) => drop(walk_tensor(tensor)?),
            (6 | 11, Value::Bytes(graph)) => drop(walk_graph(graph, depth + 1)?),
            (22 | 23, Value::Bytes(sparse)) => walk_sparse(sparse)?,
            _ => {}
        }
    }
    Ok(())
}

/// `SparseTensorProto`.
fn walk_sparse(bytes: &[u8]) -> Result<(), Objection> {
    for field in Fields(bytes) {
        if let (1 | 2, Value::Bytes(tensor)) = field? {
            walk_tensor(tensor)?;
        }
    }
    Ok(())
}

/// `TensorProto`; gives its name.
fn walk_tensor(bytes: &[u8]) -> Result<String, Objection> {
    let (mut name, mut is_external) = (String::new(), false);
    for field in Fields(bytes) {
        match field? {
            (8, Value::Bytes(text)) => name = string(text),
            (13, _) => is_external = true,
            (14, Value::Number(location)) => is_external |= location != 0,
            _ => {}
        }
    }
    if is_external {
        let reason = format!("the weights {name:?} lie in another file; a network must be one file");
        return Err(Objection::Forbidden(reason));
    }
    Ok(name)
}

/// `ValueInfoProto` with the shape of its `TypeProto.Tensor`.
fn port(bytes: &[u8]) -> Result<Port, Objection> {
    let mut port = Port::default();
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(text)) => port.name = string(text),
            (2, Value::Bytes(kind)) => {
                // TypeProto.tensor_type = 1, Tensor.shape = 2, TensorShapeProto.dim = 1
                for dim in at_path(kind, &[1, 2, 1])? {
                    port.shape.push(axis(dim)?);
                }
            }
            _ => {}
        }
    }
    Ok(port)
}

/// `TensorShapeProto.Dimension`: a number, or a name for any.
fn axis(bytes: &[u8]) -> Result<Option<u64>, Objection> {
    for field in Fields(bytes) {
        if let (1, Value::Number(n)) = field? {
            return Ok(Some(n));
        }
    }
    Ok(None)
}

/// All messages that lie at a path of field numbers.
fn at_path<'a>(bytes: &'a [u8], path: &[u64]) -> Result<Vec<&'a [u8]>, Objection> {
    let [number, rest @ ..] = path else { return Ok(vec![bytes]) };
    let mut found = Vec::new();
    for field in Fields(bytes) {
        if let (n, Value::Bytes(inner)) = field?
            && n == *number
        {
            found.extend(at_path(inner, rest)?);
        }
    }
    Ok(found)
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A field's value in protobuf's wire format.
enum Value<'a> {
    /// A varint.
    Number(u64),
    /// Text, a message, packed numbers.
    Bytes(&'a [u8]),
    /// A fixed 32- or 64-bit value, which nothing here needs.
    Fixed,
}

/// The fields of a protobuf message, one after the other; ends after the first error.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Objection>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| broken("ends in the middle of a field")))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let n = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(n)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for i in 0..10 {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7F).checked_shl(7 * i)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}
