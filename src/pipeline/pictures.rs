//! The same line with numbered pictures at its end: each is a whole file of its own, so that there is nothing to join.

use std::{fs, io, path::Path, time::Instant};

use super::{Swap, finish, stage_times, swap_stages, until_stopped};
use crate::{
    Error, Result,
    frame::Blended,
    line,
    progress::Watch,
    report::{self, FrameCounts, Report, Sync, Tally, Times},
    resume::Seams,
    settings::SwapSettings,
    video::{self, Pattern, PictureWriter, Source, Stretch, Tracks},
};

/// As [`super::swap_video`], into the pictures of `pattern`, numbered from 1. Sound and the like are left out, which
/// the report tells. Pictures of a longer earlier run, whose numbers follow the last one's, are removed.
///
/// # Errors
/// As [`super::swap_video`].
pub(super) fn swap_to_pictures(
    input: &Path,
    pattern: &Pattern,
    swap: Option<Swap<'_>>,
    settings: &SwapSettings,
    watch: &mut Watch<'_>,
) -> Result<Report> {
    let mut source = Source::open(input, &settings.decode, &settings.source)?;
    let probe = source.probe().clone();
    let encode = &settings.encode;
    let holds_label = video::holds_label(&pattern.path(1));
    let mut writer =
        PictureWriter::create(pattern.clone(), encode.scale, encode.label.as_deref(), probe.quarter_turns)?;
    let whole = Stretch { first: 0, end: None, start: 0, memory: None };
    let stages = swap
        .map(|swap| swap_stages(swap, settings, probe.quarter_turns, Seams::never(), whole))
        .transpose()?;
    watch.start(input, &probe);
    let (start, mut n_swapped, mut tally, mut times) = (Instant::now(), 0, Tally::default(), None);
    let mut n_decoded = 0;
    let meters = line::run(|mut line| {
        let frames = until_stopped(&mut source, watch.stop);
        let frames = frames.inspect(|frame| n_decoded += u64::from(frame.is_ok()));
        let finished = finish(stages, &mut line, frames, settings)?;
        line.drain("write", finished, |Blended { frame, replaced, .. }| {
            let (idx, pts) = (frame.idx, frame.picture.pts());
            times = Some((times.map_or(pts, |(first, _)| first), pts));
            writer.write(frame)?;
            n_swapped += u64::from(!replaced.is_empty());
            tally.add(&replaced);
            watch.frame(idx + 1, replaced.len());
            Ok(())
        })
    })?;
    let (first, last) = times.ok_or_else(|| Error::input(input, "no frames"))?;
    let (written, seconds) = (writer.n_written(), start.elapsed().as_secs_f64());
    if n_decoded != written {
        let reason = format!("{n_decoded} frames were decoded, {written} written");
        return Err(Error::Media { path: input.into(), frame: written, reason });
    }
    let n_surplus = remove_surplus(pattern, written)?;
    let mut notes = source.notes().to_vec();
    if n_surplus > 0 {
        notes.push(format!("{n_surplus} pictures of a longer earlier run were removed"));
    }
    if probe.n_audio > 0 {
        notes.push("pictures have no sound: it is left out".into());
    }
    if encode.label.is_some() && !holds_label {
        notes.push(video::NO_ROOM_FOR_LABEL.into());
    }
    let size_px = encode.scaled_px(probe.size_px);
    Ok(Report {
        schema: report::SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        frames: FrameCounts {
            decoded: written,
            written,
            swapped: n_swapped,
            without_face: written - n_swapped,
            resumed: 0,
        },
        people: tally.people(swap.map(|swap| swap.cast)),
        pts: Times { first, last, time_base: probe.time_base },
        sync: Sync::default(),
        tracks: Tracks::default(),
        damage: source.damage().to_vec(),
        notes,
        size_px: if probe.quarter_turns % 2 == 1 { (size_px.1, size_px.0) } else { size_px },
        seconds,
        stages: stage_times(&meters, seconds),
    })
}

/// Removes the pictures whose numbers follow `last` without a hole, and says how many: what reads the sequence would take
/// them for its end. The run was allowed to replace what has these names.
fn remove_surplus(pattern: &Pattern, last: u64) -> Result<u64> {
    let mut n_removed = 0;
    loop {
        let path = pattern.path(last + 1 + n_removed);
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(n_removed),
            removed => removed.map_err(Error::io(&path))?,
        }
        n_removed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_longer_run_left_behind_the_last_picture_goes() {
        let dir = tempfile::tempdir().expect("a folder");
        let names = ["01.png", "02.png", "03.png", "04.png", "06.png", "a03.png"];
        names.iter().for_each(|name| fs::write(dir.path().join(name), b"x").expect("written"));
        let pattern = Pattern::parse(&dir.path().join("%02d.png")).expect("a pattern");
        assert_eq!(remove_surplus(&pattern, 2).expect("removed"), 2);
        let left: Vec<&str> = names.into_iter().filter(|name| dir.path().join(name).exists()).collect();
        assert_eq!(left, ["01.png", "02.png", "06.png", "a03.png"]);
    }
}
