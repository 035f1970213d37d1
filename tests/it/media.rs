//! The vocabulary of the tests of media: little clips, what is in them, and a walk through the decoder and writer.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use faceswap::{
    Result,
    frame::{Blended, Frame, Rect},
    resume::{End, Resume, Seams, Task, Work},
    video::{DecodeSettings, Decoder, EncodeSettings, Writer, Written, probe},
};

/// Whether FFmpeg's programs are here; says so when not.
pub fn has_ffmpeg() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok()
        && Command::new("ffprobe").arg("-version").output().is_ok();
    if !found {
        eprintln!("skipped: this test needs the programs ffmpeg and ffprobe");
    }
    found
}

/// Whether networks can run here.
pub fn has_runtime() -> bool {
    let loaded = faceswap::nn::Runtime::load(&faceswap::nn::RuntimeSettings::default());
    loaded.inspect_err(|error| eprintln!("skipped: {error}")).is_ok()
}

/// Runs `ffmpeg` with arguments that are separated by spaces, and gives the path of what it made.
pub fn make(dir: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = dir.join(name);
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .current_dir(dir);
    let done = command.output().expect("ffmpeg runs");
    assert!(done.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    path
}

/// What `ffprobe` says of a file, as lines.
pub fn ffprobe(path: &Path, arguments: &str) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "fatal", "-of", "csv=p=0"]).args(arguments.split_whitespace()).arg(path);
    let done = command.output().expect("ffprobe runs");
    assert!(done.status.success(), "ffprobe {arguments} {}", path.display());
    let lines = String::from_utf8_lossy(&done.stdout).into_owned();
    lines.lines().map(|line| line.trim_end_matches(',').to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Times and contents of all packets of a kind of stream (`a`, `s`, `d`), in the order of their times.
pub fn packets(path: &Path, kind: &str) -> Vec<String> {
    let entries = "-show_data_hash md5 -show_entries packet=stream_index,pts,dts,size,data_hash";
    let mut lines = ffprobe(path, &format!("-select_streams {kind} {entries}"));
    lines.sort();
    lines
}

/// What is in the packets of a kind of stream, in their order.
pub fn packet_sums(path: &Path, kind: &str) -> Vec<String> {
    let lines =
        ffprobe(path, &format!("-select_streams {kind} -show_data_hash md5 -show_entries packet=data_hash"));
    lines.into_iter().filter_map(|line| Some(line.split_once("MD5:")?.1.get(..32)?.to_owned())).collect()
}

/// Times of the frames that a player presents, in seconds.
pub fn presented_s(path: &Path) -> Vec<f64> {
    let lines = ffprobe(path, "-select_streams v:0 -show_entries frame=best_effort_timestamp_time");
    lines.iter().map(|line| line.split(',').next().unwrap_or_default().parse().expect("a time")).collect()
}

/// The MD5 of each decoded frame, by `ffmpeg`.
pub fn frame_sums(path: &Path) -> Vec<String> {
    sums(path, &["-noautorotate"])
}

/// The same of the frames as players show them.
pub fn shown_sums(path: &Path) -> Vec<String> {
    sums(path, &[])
}

fn sums(path: &Path, options: &[&str]) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "fatal"]).args(options).arg("-i").arg(path);
    command.args(["-map", "0:V:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let done = command.output().expect("ffmpeg runs");
    assert!(done.status.success(), "{}", path.display());
    let lines = String::from_utf8_lossy(&done.stdout).into_owned();
    let sums =
        lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit(", ").next());
    sums.map(str::to_owned).collect()
}

/// All frames of a file.
pub fn decode(path: &Path) -> Result<Vec<Frame>> {
    Decoder::open(path, &DecodeSettings { threads: 2, ..Default::default() })?.collect()
}

/// A frame's whole picture, bit by bit.
pub fn pixels(frame: &Frame) -> Vec<u32> {
    let (width, height) = frame.picture.size_px();
    let rgb = frame.picture.rgb_rect(Rect { x0: 0, y0: 0, x1: width, y1: height });
    rgb.iter().map(|value| value.to_bits()).collect()
}

/// An encoder that loses nothing, so that what is handed to it can be read back.
pub fn lossless() -> EncodeSettings {
    EncodeSettings { quality: Some(100), threads: 2, ..Default::default() }
}

/// A writer of short segments, so that whatever is tested goes over their seams.
pub fn writer(input: &Path, output: &Path, settings: &EncodeSettings) -> Result<Writer> {
    let work = Work::open(output, &Task::default(), Resume::GoOn)?;
    Writer::create(input, output, &probe(input)?, settings, work, Seams::every(10))
}

/// Decodes and writes, each frame passing through `change`.
pub fn pass(
    input: &Path,
    output: &Path,
    settings: &EncodeSettings,
    mut change: impl FnMut(&mut Frame),
) -> Result<Written> {
    let mut writer = writer(input, output, settings)?;
    let decoder = Decoder::open(input, &DecodeSettings { threads: 2, ..Default::default() })?;
    let mut n_frames = 0;
    for frame in decoder {
        let mut frame = frame?;
        change(&mut frame);
        if frame.idx == 0 {
            writer.begin(&frame.picture, None)?;
            writer.next_stretch()?;
        }
        n_frames += 1;
        writer.add(Blended { frame, replaced: Vec::new(), memory: None })?;
    }
    writer.end(n_frames, End::default())?;
    writer.commit()
}

/// Names in a folder.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
