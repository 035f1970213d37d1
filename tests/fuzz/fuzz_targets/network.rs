#![no_main]

#[path = "../../it/parsers.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::network(bytes));
