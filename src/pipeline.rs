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
    report::{self, FrameCounts, Report, StageTime, Sync},
    settings::SwapSettings,
    swap::Swapper,
    video::{self, Decoder, Writer},
};

/// What swapping takes: who is replaced by whom, and where the networks run.
#[derive(Debug, Clone, Copy)]
pub struct Swap<'a> {
    /// The parts.
    pub cast: &'a Cast,
    /// ONNX Runtime.
    pub runtime: &'a Runtime,
}

/// Swaps the faces of the video `input` that the cast picks for its identities, and keeps everything else. Without a
/// swap every frame passes as it is, which is how the way there and back is checked.
///
/// `output` gets its name only when it is whole.
///
/// # Errors
/// [`Error::BadInput`] and [`Error::Media`] for a video that can't be read, [`Error::Io`] for an output that
/// can't be written, [`Error::Cancelled`] when the user asked to stop.
pub fn swap_video(
    input: &Path,
    output: &Path,
    swap: Option<Swap<'_>>,
    settings: &SwapSettings,
    watch: &mut Watch<'_>,
) -> Result<Report> {
    let probe = video::probe_within(input, settings.decode.max_pixels)?;
    let mut decoder = Decoder::open(input, &settings.decode)?;
    let mut file = Writer::create(input, output, &probe, &settings.encode)?;
    let stages = swap.map(|swap| swap_stages(swap, settings, probe.quarter_turns)).transpose()?;
    let (mut n_written, mut n_swapped) = (0, 0);
    watch.start(input, &probe);
    let start = Instant::now();

    let meters = line::run(|mut line| {
        let frames = line.source("decode", until_stopped(&mut decoder, watch.stop))?;
        let finished = match stages {
            None => line.parallel("pass", frames, vec![|frame| Ok((frame, 0))])?,
            Some((analysis, swapper)) => {
                let tracked = analysis.into_line(&mut line, frames)?;
                let swapped = line.stage("swap", tracked, swapper)?;
                line.parallel("blend", swapped, blenders(settings))?
            }
        };
        line.drain("encode", finished, |(frame, n_faces): (Frame, usize)| {
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
    let written = file.commit()?;
    let seconds = start.elapsed().as_secs_f64();
    let mut notes = decoder.notes().to_vec();
    notes.extend(written.notes);
    Ok(Report {
        schema: report::SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        frames: FrameCounts {
            decoded: n_decoded,
            written: n_written,
            swapped: n_swapped,
            without_face: n_written - n_swapped,
        },
        pts: written.times,
        sync: Sync { max_skew_ms: video::max_skew_ms(output, &written.tracks, &written.times)? },
        tracks: written.tracks,
        damage: decoder.damage().to_vec(),
        notes,
        size_px: probe.size_px,
        seconds,
        stages: stage_times(&meters, seconds),
    })
}

/// What stands between the decoder and the blending when faces are swapped.
fn swap_stages(
    Swap { cast, runtime }: Swap<'_>,
    settings: &SwapSettings,
    quarter_turns: u8,
) -> Result<(Analysis, Swapper)> {
    let analysis = Analysis::new(runtime, &settings.faces, quarter_turns, settings.n_workers)?;
    Ok((analysis.picking(cast.picks()), Swapper::for_cast(runtime, cast, settings.batch)?))
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
