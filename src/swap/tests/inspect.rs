use proptest::prelude::*;

use super::*;
use crate::swap::inspect::{Objection, interface};

/// A field of bytes in protobuf's wire format, up to 16 KB.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let n = bytes.len();
    assert!(number < 16 && n < 1 << 14);
    let mut out = vec![number << 3 | 2, (n & 0x7F) as u8 | 0x80, (n >> 7) as u8];
    out.extend(bytes);
    out
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// A model whose graph has these fields.
fn model(graph: &[u8]) -> Vec<u8> {
    field(7, graph)
}

fn forbidden(bytes: &[u8]) -> String {
    match interface(bytes).unwrap_err() {
        Objection::Forbidden(reason) => reason,
        Objection::Broken(reason) => panic!("{reason}"),
    }
}

#[test]
fn the_interface_is_read() {
    let decoder = interface(&tiny_decoder(16, 0.0)).unwrap();
    let ports: Vec<_> = decoder.inputs.iter().chain(&decoder.outputs).map(ToString::to_string).collect();
    assert_eq!(ports, ["latent [any, 3, 1, 1]", "face [any, 3, 16, 16]", "mask [any, 1, 16, 16]"]);
}

#[test]
fn weights_in_another_file_are_refused_wherever_they_hide() {
    let name = field(8, b"w1");
    let location = [name.clone(), number(14, 1)].concat();
    let entry = [name, field(13, b"x")].concat();
    for tensor in [location, entry] {
        let in_node = |attribute: &[u8]| field(1, &field(5, attribute));
        let graphs = [
            field(5, &tensor),
            field(15, &field(1, &tensor)),
            field(15, &field(2, &tensor)),
            in_node(&field(5, &tensor)),
            in_node(&field(10, &tensor)),
            in_node(&field(6, &field(5, &tensor))),
            in_node(&field(11, &field(5, &tensor))),
        ];
        for graph in graphs {
            let reason = forbidden(&model(&graph));
            assert!(reason.contains("\"w1\"") && reason.contains("another file"), "{reason}");
        }
    }
}

#[test]
fn operators_of_other_domains_are_refused() {
    let node = |domain: &[u8]| field(1, &[field(4, b"Evil"), field(7, domain)].concat());
    assert!(interface(&model(&node(b""))).is_ok());
    assert!(interface(&model(&node(b"ai.onnx"))).is_ok());
    let inside = field(1, &field(5, &field(6, &node(b"com.evil"))));
    for graph in [node(b"com.evil"), inside] {
        let reason = forbidden(&model(&graph));
        assert!(reason.contains("Evil of com.evil"), "{reason}");
    }
}

#[test]
fn graphs_cannot_be_nested_without_end() {
    let mut graph = Vec::new();
    for _ in 0..20 {
        graph = field(1, &field(5, &field(6, &graph)));
    }
    assert!(forbidden(&model(&graph)).contains("nested"));
}

#[test]
fn a_file_that_is_cut_off_is_broken_at_every_length() {
    let bytes = tiny_encoder();
    for n in 0..bytes.len() {
        if let Err(objection) = interface(&bytes[..n]) {
            assert!(matches!(objection, Objection::Broken(_)), "{n}: {objection:?}");
        }
    }
    assert!(interface(&bytes[..bytes.len() / 2]).is_err());
    assert!(interface(b"").is_err());
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = interface(&bytes);
        let _ = interface(&model(&bytes));
    }
}
