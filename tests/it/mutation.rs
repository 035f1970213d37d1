//! Our own parsers under bytes that nobody would write: whatever comes, they answer, and never panic.
//!
//! Each parser gets inputs that are made from whole ones by flipping, cutting, doubling and mixing; `FACESWAP_MUTATIONS`
//! says how many (2000 by default). The same number gives the same inputs.

use std::path::Path;

use faceswap::{digest::sha256, resume::Journal, swap::inspect};

use crate::parsers;

/// Numbers that look like chance: xorshift64* (Vigna 2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.roll() % n as u64) as usize }
    }

    /// A stretch of `bytes`, of 1 to 32.
    fn stretch(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        start..(start + 1 + self.below(32)).min(length)
    }
}

/// Bytes at which numbers change their length or sign, and what texts are made of.
const TELLING: &[u8] = b"\0\x01\x7f\x80\xff\n\"\\[]{}=%#0-9a\xc3";

/// A whole input after one to eight changes.
fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(8) {
        let at = dice.below(bytes.len());
        match dice.below(7) {
            _ if bytes.is_empty() => bytes.push(dice.roll() as u8),
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = TELLING[dice.below(TELLING.len())],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(dice.stretch(bytes.len()))),
            4 => {
                let again = bytes[dice.stretch(bytes.len())].to_vec();
                drop(bytes.splice(at..at, again));
            }
            5 => bytes.insert(at, dice.roll() as u8),
            _ => {
                let other = &seeds[dice.below(seeds.len())];
                let part = other[dice.stretch(other.len())].to_vec();
                drop(bytes.splice(at..at, part));
            }
        }
    }
    bytes
}

/// Hands `parse` as many mutated inputs as are asked for.
fn endure(name: &str, seeds: &[Vec<u8>], mut parse: impl FnMut(&[u8])) {
    let n = std::env::var("FACESWAP_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000_u64);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for i in 0..n {
        let bytes = mutated(seeds, &mut dice);
        let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| parse(&bytes)));
        assert!(parsed.is_ok(), "{name}: input {i} makes it panic: {}", bytes.escape_ascii());
    }
}

fn shipped(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("shipped")
}

#[test]
fn manifests() {
    let seeds = ["A", "B"].map(|name| shipped(&format!("models/identities/{name}/identity.toml")));
    endure("manifest", &seeds, parsers::manifest);
}

#[test]
fn journals() {
    let segment = |n: u64| {
        format!(
            "\"{n}\": {{\"frames\": 250, \"swapped\": 3, \"tally\": {{\"0\": {{\"frames\": 3, \"tracks\": {{\"1\": 3}}}}}}, \
             \"first_pts\": -5, \"last_pts\": 99, \"reorder\": 2, \
             \"bytes\": 1048576, \"sha256\": \"{}\"}}",
            sha256(&n.to_le_bytes())
        )
    };
    let text = |end: &str| {
        format!(
            "{{\"task\": {{\"a\": \"b\"}}, \"header\": null, \"segments\": {{{}, {}}}, \"end\": {end}}}",
            segment(0),
            segment(7)
        )
    };
    let end = "{\"segments\": 9, \"damage\": [{\"first\": 3, \"last\": null, \"reason\": \"cut\"}], \"notes\": [], \
        \"cut\": {\"start_s\": 0.5, \"end_s\": null}}";
    let seeds = [text("null").into_bytes(), text(end).into_bytes()];
    for seed in &seeds {
        Journal::parse(&parsers::framed(seed)).expect("a journal");
    }
    endure("journal", &seeds, parsers::journal);
}

#[test]
fn networks() {
    // The last and the first kilobytes: graph, nodes and ports lie around the weights.
    let heads = ["models/face_blendshapes_52.onnx", "models/palm_detection_192.onnx"].map(|path| {
        let bytes = shipped(path);
        inspect::interface(&bytes).expect("a network");
        bytes[..bytes.len().min(8192)].to_vec()
    });
    // A small whole one: a graph with a node that has a graph of its own, a weight, an input and an output.
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let shape = field(2, &field(1, &field(2, &field(1, &[8, 3]))));
    let port = [field(1, b"input"), shape].concat();
    let inner = field(6, &field(1, &field(4, b"Relu")));
    let graph = [
        field(1, &[field(4, b"If"), field(5, &inner)].concat()),
        field(5, &field(8, b"weight")),
        field(11, &port),
        field(12, &port),
    ];
    let small = field(7, &graph.concat());
    assert_eq!(inspect::interface(&small).expect("a network").inputs[0].shape, [Some(3)]);
    let seeds = [heads.to_vec(), vec![small]].concat();
    endure("network", &seeds, parsers::network);
}

#[test]
fn patterns_and_numbers() {
    let names = [
        "frames/%05d.png",
        "a%db.tif",
        "%%03d.jpg",
        "x%019d.png",
        "a%03d%04d.webp",
        "75.5",
        "1:15.5",
        "30000/1001",
    ];
    let seeds = names.map(|name| name.as_bytes().to_vec());
    endure("pattern", &seeds, parsers::names);
}
