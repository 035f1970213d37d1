//! `faceswap bench`: frames and megapixels per second, stage by stage.

use std::{fmt, path::Path};

use crate::{
    Error, Result,
    cast::Cast,
    face::Pick,
    frame::Frame,
    nn::Runtime,
    pipeline::{Swap, swap_video},
    progress::Watch,
    report::Report,
    settings::{SwapSettings, n_hardware_threads},
    swap::Bundle,
    video::{ClipWriter, EncodeSettings, Picture},
};

/// The face of the clip that is made here: the shipped synthetic person A.
const FACE: &[u8] = include_bytes!("../assets/face.png");

/// Frame heights of the clips that are made here, 16:9.
const HEIGHTS_PX: [usize; 3] = [720, 1080, 2160];

/// Frames per second of the clips that are made here.
const FPS: i32 = 25;

/// What the machine reached.
#[derive(Debug, serde::Serialize)]
pub struct BenchReport {
    /// Version of the program.
    pub version: &'static str,
    /// Identity and side of its network.
    pub identity: String,
    /// Where the networks ran.
    pub provider: String,
    /// Hardware threads of the machine.
    pub n_threads: usize,
    /// One result for each clip.
    pub clips: Vec<ClipResult>,
}

/// The result of one clip.
#[derive(Debug, serde::Serialize)]
pub struct ClipResult {
    /// `1080p`, or the clip's name.
    pub clip: String,
    /// Frames per second of wall time.
    pub fps: f64,
    /// Output megapixels per second of wall time.
    pub mp_per_s: f64,
    /// Peak of the resident memory of this process so far, MB.
    pub peak_memory_mb: f64,
    /// The stage that works all the time sets the speed.
    pub limit: String,
    /// The whole report.
    pub report: Report,
}

/// Measures with `settings` on `clip`, or on clips of `n_frames` frames that it makes in a temporary folder.
///
/// # Errors
/// Those of [`swap_video`]; [`Error::Io`] when there is no room for the clips.
pub fn bench(
    clip: Option<&Path>,
    n_frames: u64,
    bundle: &Bundle,
    runtime: &Runtime,
    settings: &SwapSettings,
    watch: &mut Watch<'_>,
) -> Result<BenchReport> {
    let dir = std::env::temp_dir().join(format!("faceswap-bench-{}", std::process::id()));
    let cast = Cast::single(bundle.clone(), Pick::All);
    std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
    let result = measure_in(&dir, clip, n_frames, &Swap { cast: &cast, runtime }, settings, watch);
    // The folder holds nothing that anybody needs; a leftover is told by the system's own clean-up.
    let _ = std::fs::remove_dir_all(&dir);
    let clips = result?;
    Ok(BenchReport {
        version: env!("CARGO_PKG_VERSION"),
        identity: format!("{} ({} px)", bundle.name, bundle.side_px),
        provider: runtime.provider().to_string(),
        n_threads: n_hardware_threads(),
        clips,
    })
}

fn measure_in(
    dir: &Path,
    clip: Option<&Path>,
    n_frames: u64,
    swap: &Swap<'_>,
    settings: &SwapSettings,
    watch: &mut Watch<'_>,
) -> Result<Vec<ClipResult>> {
    let mut measure = |name: String, input: &Path| {
        let ending = input.extension().unwrap_or_default();
        let output = dir.join("out").with_extension(ending);
        let report = swap_video(input, &output, Some(*swap), settings, watch)?;
        // A clip is one segment, which the first wish to stop lets come to its end.
        if watch.is_stopped() {
            return Err(Error::Cancelled);
        }
        std::fs::remove_file(&output).map_err(Error::io(&output))?;
        let busiest = report.stages.iter().max_by(|a, b| a.busy.total_cmp(&b.busy));
        let limit = busiest.map_or(String::new(), |s| format!("{} ({:.0} % busy)", s.name, s.busy * 100.0));
        Ok(ClipResult {
            clip: name,
            fps: report.fps(),
            mp_per_s: report.mp_per_s(),
            peak_memory_mb: peak_memory_mb(),
            limit,
            report,
        })
    };
    if let Some(clip) = clip {
        return Ok(vec![measure(clip.display().to_string(), clip)?]);
    }
    let mut results = Vec::new();
    for height_px in HEIGHTS_PX {
        let path = dir.join(format!("{height_px}p.mp4"));
        make_clip(&path, height_px, n_frames)?;
        results.push(measure(format!("{height_px}p"), &path)?);
    }
    Ok(results)
}

/// Writes a clip of a face that wanders over a grey gradient; its face is a third of the frame's height.
///
/// # Errors
/// [`Error::Io`] and [`Error::Media`] when it can't be written.
pub fn make_clip(path: &Path, height_px: usize, n_frames: u64) -> Result<()> {
    let face = image::load_from_memory(FACE).map_err(|e| Error::Device(format!("the embedded face: {e}")))?;
    let side_px = (height_px / 3) as u32;
    let face = face.resize_exact(side_px, side_px, image::imageops::FilterType::CatmullRom).to_rgb8();
    let (w, h) = (height_px * 16 / 9 / 2 * 2, height_px);
    let mut background = vec![0; w * h * 3];
    for (i, rgb) in background.chunks_exact_mut(3).enumerate() {
        let (x, y) = (i % w, i / w);
        rgb.copy_from_slice(&[(64 + 96 * x / w) as u8, (72 + 64 * y / h) as u8, 112]);
    }
    let mut clip = ClipWriter::create(path, (w, h), (FPS, 1), &EncodeSettings::default())?;
    for idx in 0..n_frames {
        let t = idx as f64 / f64::from(FPS);
        let (x0, y0) = (wander(t * 0.9, w - side_px as usize), wander(t * 0.6 + 0.8, h - side_px as usize));
        let mut pixels = background.clone();
        for (row, line) in face.as_raw().chunks_exact(side_px as usize * 3).enumerate() {
            pixels[((y0 + row) * w + x0) * 3..][..line.len()].copy_from_slice(line);
        }
        clip.write(Frame { idx, picture: Picture::from_rgb8(w, h, &pixels) })?;
    }
    clip.commit().map(drop)
}

/// A place between 0 and `room`, around the middle.
fn wander(t: f64, room: usize) -> usize {
    (room as f64 * (0.5 + 0.3 * t.sin())) as usize
}

/// The most memory that this process had resident, MB; 0 where the system doesn't say.
pub fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "faceswap {}, identity {}, {}, {} threads",
            self.version, self.identity, self.provider, self.n_threads
        )?;
        for c in &self.clips {
            writeln!(
                f,
                "\n{}: {:.1} fps, {:.1} MP/s, peak memory {:.0} MB, limit: {}",
                c.clip, c.fps, c.mp_per_s, c.peak_memory_mb, c.limit
            )?;
            for s in &c.report.stages {
                writeln!(
                    f,
                    "  {:<8} {:>8.2} ms/frame x {} worker(s)  {:>3.0} % busy",
                    s.name,
                    s.ms_per_frame,
                    s.n_workers,
                    s.busy * 100.0
                )?;
            }
        }
        Ok(())
    }
}
