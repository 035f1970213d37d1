//! `faceswap doctor`: what was found, and what to do about what is missing.

use std::fmt::Write;

use crate::{
    measure,
    nn::{Runtime, RuntimeSettings},
    sandbox,
    settings::{model_dirs, n_hardware_threads},
    swap::installed,
    video,
};

/// A report for a person; it never fails, a missing part is a line of it.
pub fn examine(settings: &RuntimeSettings, is_sandboxed: bool) -> String {
    let mut text =
        format!("faceswap {}, {} hardware threads\n", env!("CARGO_PKG_VERSION"), n_hardware_threads());
    // Writing to a String does not fail.
    let mut say = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    match Runtime::load(settings) {
        Ok(runtime) => {
            say(format!("ONNX Runtime  {}  {}", runtime.version(), runtime.dylib().display()));
            say(format!("  providers   {} (in use: {})", runtime.available().join(", "), runtime.provider()));
            if !runtime.available().iter().any(|name| name.contains("CUDA")) {
                say("  no GPU      install onnxruntime-gpu's library for CUDA and TensorRT, and build with --features cuda,tensorrt".into());
            }
        }
        Err(e) => say(format!("ONNX Runtime  MISSING\n  {}", e.to_string().replace('\n', "\n  "))),
    }
    say(format!("FFmpeg        {}", video::ffmpeg_version()));
    for (name, found) in video::encoders() {
        say(format!(
            "  {name:<11} {}",
            if found { "yes" } else { "no: install an FFmpeg that has it, or pick another encoder" }
        ));
    }
    say(format!("OpenCV        {}", measure::opencv_version()));
    if is_sandboxed {
        say(format!("sandbox       {}", sandbox::support()));
    } else {
        say("sandbox       off (--no-sandbox)".into());
    }
    if is_sandboxed && cfg!(target_os = "linux") {
        say("decoding      in a process of its own, inside a sandbox for that one file where there is one"
            .into());
    }
    let dirs = model_dirs(None);
    say(format!("identities    {}", installed(&dirs).len()));
    for dir in &dirs {
        let state = if dir.is_dir() { "" } else { "  (no such folder)" };
        say(format!("  searched    {}{state}", dir.display()));
    }
    text
}
