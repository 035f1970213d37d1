//! The whole program on one screen: how a video becomes a swapped video.
//!
//! Threads and channels are hidden in [`crate::line`]; each stage is a value that a test can drive by hand.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use crate::{
    Error, Result,
    blend::blend,
    cast::Cast,
    face::Analysis,
    frame::{Frame, Swapped},
    line::{self, Meter},
    nn::Runtime,
    progress::Watch,
    settings::SwapSettings,
    swap::Swapper,
    video::{self, Decoder, Writer},
};

/// What happened to one file.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Report {
    /// Frames that came out of the decoder.
    pub frames_decoded: u64,
    /// Frames that went into the output; equal to `frames_decoded`, or the run has failed.
    pub frames_written: u64,
    /// Frames in which at least one face was replaced.
    pub frames_swapped: u64,
    /// Width and height of the output, pixels.
    pub size_px: (usize, usize),
    /// Wall time from the first frame to the renamed output, seconds.
    pub seconds: f64,
    /// What each stage worked, in the order of the line.
    pub stages: Vec<StageTime>,
    /// What the user ought to know: dropped tracks, a truncated end.
    pub notes: Vec<String>,
    /// What is wrong with the input: the output holds everything before it.
    pub damage: Option<String>,
}

/// The working time of one stage.
#[derive(Debug, Clone, serde::Serialize)]
pub struct StageTime {
    /// The stage's name.
    pub name: String,
    /// Threads that share the work.
    pub n_workers: usize,
    /// Working time of a frame on one of them, milliseconds.
    pub ms_per_frame: f64,
    /// Working time as a share of the wall time times the workers, 0..=1.
    pub busy: f64,
}

impl Report {
    /// Frames per second of wall time.
    pub fn fps(&self) -> f64 {
        self.frames_written as f64 / self.seconds
    }

    /// Output megapixels per second of wall time.
    pub fn mp_per_s(&self) -> f64 {
        self.fps() * (self.size_px.0 * self.size_px.1) as f64 / 1e6
    }
}

/// Swaps the faces of the video `input` that `cast` picks for its identities, and keeps everything else.
///
/// `output` gets its name only when it is whole.
///
/// # Errors
/// [`Error::BadInput`] and [`Error::Media`] for a video that can't be read, [`Error::Io`] for an output that
/// can't be written, [`Error::Cancelled`] when the user asked to stop.
pub fn swap_video(
    input: &Path,
    output: &Path,
    cast: &Cast,
    runtime: &Runtime,
    settings: &SwapSettings,
    watch: &mut Watch<'_>,
) -> Result<Report> {
    let probe = video::probe(input)?;
    let mut decoder = Decoder::open(input, &settings.decode)?;
    let mut file = Writer::create(input, output, &probe, &settings.encode)?;
    let analysis = Analysis::new(runtime, &settings.faces, probe.quarter_turns, settings.n_workers)?;
    let analysis = analysis.picking(cast.picks());
    let swapper = Swapper::for_cast(runtime, cast, settings.batch)?;
    let (mut n_written, mut n_swapped) = (0, 0);
    watch.start(input, &probe);
    let start = Instant::now();

    let meters = line::run(|mut line| {
        let frames = line.source("decode", until_stopped(&mut decoder, watch.stop))?;
        let tracked = analysis.into_line(&mut line, frames)?;
        let swapped = line.stage("swap", tracked, swapper)?;
        let blended = line.parallel("blend", swapped, blenders(settings))?;
        line.drain("encode", blended, |(frame, n_faces): (Frame, usize)| {
            file.write(frame)?;
            n_written += 1;
            n_swapped += u64::from(n_faces > 0);
            watch.frame(n_written, n_faces);
            Ok(())
        })
    })?;

    let n_decoded = meters[1].n_items();
    if n_written != n_decoded {
        let reason = format!("{n_decoded} frames were decoded, {n_written} written; the output is discarded");
        return Err(Error::Media { path: input.into(), frame: n_written, reason });
    }
    let damage = decoder.damage();
    let written = file.commit()?;
    Ok(Report {
        frames_decoded: n_decoded,
        frames_written: n_written,
        frames_swapped: n_swapped,
        size_px: probe.size_px,
        seconds: start.elapsed().as_secs_f64(),
        stages: stage_times(&meters, start.elapsed().as_secs_f64()),
        notes: written.notes,
        damage,
    })
}

/// Ends `frames` with [`Error::Cancelled`] once `stop` is set.
pub(crate) fn until_stopped<'a>(
    frames: impl Iterator<Item = Result<Frame>> + Send + 'a,
    stop: &'a AtomicBool,
) -> impl Iterator<Item = Result<Frame>> + Send + 'a {
    frames.map(|frame| if stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { frame })
}

/// The workers of the blend stage; each gives the finished frame and how many faces are new in it.
fn blenders(settings: &SwapSettings) -> Vec<impl FnMut(Swapped) -> Result<(Frame, usize)> + use<>> {
    let blend_settings = settings.blend.clone();
    vec![
        move |swapped: Swapped| {
            let n_faces = swapped.faces.len();
            Ok((blend(swapped, &blend_settings)?, n_faces))
        };
        settings.n_workers
    ]
}

fn stage_times(meters: &[Arc<Meter>], wall_s: f64) -> Vec<StageTime> {
    let per_stage = |meter: &Arc<Meter>| {
        let busy_s = meter.busy().as_secs_f64();
        StageTime {
            name: meter.name().into(),
            n_workers: meter.n_workers(),
            ms_per_frame: busy_s * 1e3 / meter.n_items().max(1) as f64,
            busy: busy_s / (wall_s * meter.n_workers() as f64),
        }
    };
    meters.iter().map(per_stage).collect()
}
