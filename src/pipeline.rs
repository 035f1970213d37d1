//! The whole program on one screen: how a video becomes a swapped video.
//!
//! Threads and channels are hidden in [`crate::line`]; each stage is a value that a test can drive by hand.

use std::{
    iter::once,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use crate::{
    Error, Result,
    blend::{Grader, blend},
    cast::Cast,
    face::{Analysis, Masker, Steadier},
    frame::{Blended, Frame, Swapped},
    line::{self, Line, Meter, Receiver},
    nn::Runtime,
    progress::Watch,
    report::{self, FrameCounts, Report, StageTime, Sync},
    resume::{End, Seams, Task, Work},
    settings::SwapSettings,
    swap::{Gaze, GazeOf, Swapper},
    video::{self, Place, Source, Stretch, Writer},
};

/// What swapping takes: who is replaced by whom, and where the networks run.
#[derive(Debug, Clone, Copy)]
pub struct Swap<'a> {
    /// The parts.
    pub cast: &'a Cast,
    /// ONNX Runtime.
    pub runtime: &'a Runtime,
}

/// Swaps the faces of the video or the numbered pictures `input` that the cast picks for its identities, and keeps
/// everything else. Without a swap every frame passes as it is, which is how the way there and back is checked.
///
/// `output` gets its name only when it is whole; numbered pictures get theirs one by one. What an interrupted run has
/// left of it is taken up, see [`crate::resume`].
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
    let open = || Source::open(input, &settings.decode, &settings.source);
    let opened = open()?;
    let probe = opened.probe().clone();
    let mut opened = Some(opened);
    let task = Task::new(input, swap.map(|swap| swap.cast), settings)?;
    let work = Work::open(output, &task, settings.resume)?;
    let seams = Seams::every(settings.segment_frames_of(output));
    let mut file = Writer::create(input, output, &probe, &settings.encode, work, seams)?;
    watch.start(input, &probe);
    watch.resume(file.work());
    let (start, mut meters) = (Instant::now(), Vec::new());

    loop {
        let mut source = opened.take().map_or_else(&open, Ok)?;
        let first = source.next().ok_or_else(|| Error::input(input, "no frames"))??;
        file.begin(&first.picture, source.first_number())?;
        let Some(stretch) = file.next_stretch()? else { break };
        let (begin, end) = (stretch.start, stretch.end);
        if file.is_sure() {
            source.skip_to(begin)?;
        }
        let stages = swap
            .map(|swap| swap_stages(swap, settings, probe.quarter_turns, file.seams(), stretch))
            .transpose()?;
        let (mut n_decoded, mut is_interrupted) = (0, false);
        meters = line::run(|mut line| {
            let frames = once(Ok(first)).chain(&mut source);
            let frames = starting_at(begin, frames, &mut n_decoded, watch.stop);
            let finished = finish(stages, &mut line, frames, settings)?;
            line.drain_while("encode", finished, |blended: Blended| {
                let (idx, n_faces) = (blended.frame.idx, blended.replaced.len());
                let place = file.add(blended)?;
                watch.frame(idx + 1, n_faces);
                if place == Place::Within && watch.is_stopped() {
                    watch.stopping(idx + 1, file.seams().frames_to_go(idx));
                }
                is_interrupted = place == Place::Seam && watch.is_stopped();
                Ok(place != Place::End && !is_interrupted)
            })
        })?;
        if is_interrupted {
            return Err(Error::Cancelled);
        }
        if end.is_none() {
            let (damage, notes) = (source.damage().to_vec(), source.notes().to_vec());
            file.end(
                n_decoded + source.n_skipped(),
                End { damage, notes, cut: source.cut(), ..End::default() },
            )?;
            break;
        }
    }

    let n_kept = file.work().n_kept();
    let written = file.commit()?;
    let seconds = start.elapsed().as_secs_f64();
    let no_face = (swap.is_some() && written.swapped == 0).then(|| report::NO_FACE.to_owned());
    Ok(Report {
        schema: report::SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        frames: FrameCounts {
            decoded: written.frames,
            written: written.frames,
            swapped: written.swapped,
            without_face: written.frames - written.swapped,
            resumed: n_kept,
        },
        people: written.tally.people(swap.map(|swap| swap.cast)),
        pts: written.times,
        sync: Sync {
            max_skew_ms: video::max_skew_ms(output, written.stream, &written.tracks, &written.times)?,
        },
        tracks: written.tracks,
        damage: written.end.damage,
        notes: [written.end.notes, written.notes, no_face.into_iter().collect()].concat(),
        size_px: written.size_px,
        seconds,
        stages: stage_times(&meters, seconds),
    })
}

/// What stands between the decoder and the blending.
struct Stages {
    analysis: Analysis,
    swapper: Swapper,
    /// None where eyes look as the network draws them.
    gaze: Option<Gaze>,
    /// None where nobody looks for what is in front of a face.
    maskers: Vec<Masker>,
}

/// The stages of a stretch when faces are swapped.
fn swap_stages(
    Swap { cast, runtime }: Swap<'_>,
    settings: &SwapSettings,
    quarter_turns: u8,
    seams: Seams,
    stretch: Stretch,
) -> Result<Stages> {
    let mut analysis = Analysis::new(runtime, &settings.faces, quarter_turns, settings.n_workers)?;
    analysis = analysis.picking(cast.picks());
    analysis.tracker = analysis.tracker.remembering(seams);
    if let Some(memory) = stretch.memory {
        analysis.tracker = analysis.tracker.recalling(*memory);
    }
    // Where nobody looks for what is in front of a face, the frames needn't wait there either.
    let n_maskers = if settings.masks.looks() { runtime.n_sessions(settings.n_workers) } else { 0 };
    let maskers = (0..n_maskers).map(|_| Masker::new(runtime, &settings.masks));
    Ok(Stages {
        analysis,
        swapper: Swapper::for_cast(runtime, cast, settings.batch)?,
        gaze: (settings.gaze == GazeOf::Target).then(|| Gaze::new(runtime)).transpose()?,
        maskers: maskers.collect::<Result<_>>()?,
    })
}

/// From the frames of a source to those that are ready for the encoder.
fn finish<'scope>(
    stages: Option<Stages>,
    line: &mut Line<'scope, '_>,
    frames: impl Iterator<Item = Result<Frame>> + Send + 'scope,
    settings: &SwapSettings,
) -> Result<Receiver<Blended>> {
    let Some(Stages { analysis, swapper, gaze, maskers }) = stages else {
        let untouched = |frame| Blended { frame, replaced: Vec::new(), memory: None };
        return line.source("decode", frames.map(move |frame| frame.map(untouched)));
    };
    let frames = line.source("decode", frames)?;
    let tracked = analysis.into_line(line, frames)?;
    let mut swapped = line.stage("swap", tracked, swapper)?;
    if let Some(gaze) = gaze {
        swapped = line.stage("gaze", swapped, gaze)?;
    }
    if !maskers.is_empty() {
        let maskers = maskers.into_iter().map(Masker::into_worker).collect();
        swapped = line.parallel("mask", swapped, maskers)?;
        swapped = line.stage("steady", swapped, Steadier::default())?;
    }
    let graded = line.stage("grade", swapped, Grader::new(&settings.grade))?;
    line.parallel("blend", graded, blenders(settings))
}

/// Leaves out what lies before frame `start`, and counts all. A wish to stop is heard here only as long as nothing
/// would be lost.
fn starting_at<'a>(
    start: u64,
    frames: impl Iterator<Item = Result<Frame>> + Send + 'a,
    n_decoded: &'a mut u64,
    stop: &'a AtomicBool,
) -> impl Iterator<Item = Result<Frame>> + Send + 'a {
    frames.filter_map(move |frame| {
        *n_decoded += u64::from(frame.is_ok());
        match frame {
            Ok(frame) if frame.idx < start => stop.load(Ordering::Relaxed).then_some(Err(Error::Cancelled)),
            frame => Some(frame),
        }
    })
}

/// Ends `frames` with [`Error::Cancelled`] once `stop` is set.
pub(crate) fn until_stopped<'a>(
    frames: impl Iterator<Item = Result<Frame>> + Send + 'a,
    stop: &'a AtomicBool,
) -> impl Iterator<Item = Result<Frame>> + Send + 'a {
    frames.map(|frame| if stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { frame })
}

/// The workers of the blend stage.
fn blenders(settings: &SwapSettings) -> Vec<impl FnMut(Swapped) -> Result<Blended> + use<>> {
    let blend_settings = settings.blend.clone();
    vec![
        move |mut swapped: Swapped| {
            let replaced = swapped.faces.iter().map(|new| new.face.replaced()).collect();
            let memory = swapped.memory.take();
            Ok(Blended { frame: blend(swapped, &blend_settings)?, replaced, memory })
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
