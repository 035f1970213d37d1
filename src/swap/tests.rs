//! Bundles with tiny networks whose results can be told by hand, and what must hold of bundle and swapper.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{fs, path::Path};

use crate::digest::sha256;

#[cfg(not(feature = "train"))]
#[path = "../train/onnx.rs"]
#[allow(
    clippy::duplicate_mod,
    dead_code,
    unreachable_pub,
    reason = "the writer is the exporter's; tests need a part of it"
)]
mod onnx;

mod bundle;
mod inspect;
mod swapper;

#[cfg(feature = "train")]
use crate::train::onnx;
use onnx::{GraphWriter, Weights};

/// Side of the tiny networks' pictures.
const SIDE_PX: usize = 16;

/// What the tiny decoder says everywhere of its mask.
const MASK: f32 = 0.75;

/// Faces of any batch to the mean colour of each: `[batch, 3, 16, 16]` to `[batch, 3, 1, 1]`.
fn tiny_encoder() -> Vec<u8> {
    let mut graph = GraphWriter::new("encoder", Weights::Full);
    let mut h = graph.input("face", &[3, SIDE_PX, SIDE_PX]);
    h = graph.halved(h);
    h = graph.halved(h);
    let mut weight = vec![0.0; 3 * 3 * 16];
    for c in 0..3 {
        weight[(c * 3 + c) * 16..][..16].fill(1.0 / 16.0);
    }
    h = graph.conv(h, [3, 3, 4, 4], &weight, &[0.0; 3], 0);
    graph.output("latent", h, &[3, 1, 1]);
    graph.finish()
}

/// A colour to a face that has nothing else, and a mask of 0.75; `bias` is added to all of it.
fn tiny_decoder(side_px: usize, bias: f32) -> Vec<u8> {
    let mut graph = GraphWriter::new("decoder", Weights::Half);
    let mut h = graph.input("latent", &[3, 1, 1]);
    let mut weight = vec![0.0; 4 * 3 * 16];
    for c in 0..3 {
        weight[(c * 3 + c) * 16..][..16].fill(1.0);
    }
    h = graph.conv(h, [4, 3, 4, 4], &weight, &[bias, bias, bias, MASK + bias], 3);
    for _ in 0..side_px.ilog2() - 2 {
        h = graph.doubled(h);
    }
    let face = graph.channels(h.clone(), 0, 3);
    let mask = graph.channels(h, 3, 4);
    graph.output("face", face, &[3, side_px, side_px]);
    graph.output("mask", mask, &[1, side_px, side_px]);
    graph.finish()
}

fn manifest(name: &str, encoder: &[u8], decoder: &[u8]) -> String {
    let (encoder, decoder) = (sha256(encoder), sha256(decoder));
    format!(
        r#"schema = "faceswap-identity-1"
name = "{name}"
side_px = 16
channel_order = "rgb"
value_range = [0.0, 1.0]
licence = "CC0-1.0"

[alignment]
template = "mesh-inner-v1"
margin = 1.3

[networks.encoder]
file = "encoder.onnx"
sha256 = "{encoder}"

[networks.decoder]
file = "decoder.onnx"
sha256 = "{decoder}"

[consent]
subject = "nobody"
basis = "synthetic"
date = "2026-11-21"
"#
    )
}

fn write_bundle(dir: &Path, name: &str, encoder: &[u8], decoder: &[u8]) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("encoder.onnx"), encoder).unwrap();
    fs::write(dir.join("decoder.onnx"), decoder).unwrap();
    fs::write(dir.join("identity.toml"), manifest(name, encoder, decoder)).unwrap();
}

/// A bundle called `name` whose faces are the mean colour of what they replace.
fn write_tiny(dir: &Path, name: &str) {
    write_bundle(dir, name, &tiny_encoder(), &tiny_decoder(SIDE_PX, 0.0));
}
