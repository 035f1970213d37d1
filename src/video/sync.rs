//! Where sound and picture of a finished file lie, compared with where they ought to be.

use std::path::Path;

use ffmpeg_next::{Packet, Rational, format::context::Input};

use super::{
    open,
    tracks::{Track, Tracks},
};
use crate::{Result, report::Times};

/// First and last presentation time of a stream, seconds.
type Span = (f64, f64);

/// The largest distance of a copied track from its place beside the picture, milliseconds, at its begin and its
/// end, read from the finished file `output`; 0 when there is but the picture. `times` are those of the picture, whose stream
/// is number `video`.
///
/// # Errors
/// As [`probe`](super::probe()).
pub fn max_skew_ms(output: &Path, video: usize, tracks: &Tracks, times: &Times) -> Result<f64> {
    // Subtitles aren't heard: containers begin them at 0 with nothing, and fill the time between them.
    let timed =
        || tracks.copied.iter().chain(&tracks.converted).filter(|track| track.kind != Track::SUBTITLES);
    if timed().all(|track| track.times_s.is_none()) {
        return Ok(0.0);
    }
    // No codec is opened: other pictures than the new ones were copied as they are.
    let mut input = open::open_for_packets(output)?;
    let spans = spans(&mut input);
    let Some(Some(picture)) = spans.get(video) else { return Ok(0.0) };
    let tick_s = f64::from(times.time_base.0) / f64::from(times.time_base.1);
    let wanted = (times.first as f64 * tick_s, times.last as f64 * tick_s);
    let moved = picture.0 - wanted.0;
    let mut worst = (picture.1 - wanted.1 - moved).abs();
    for track in timed() {
        let (Some((first, last)), Some(Some(found))) = (track.times_s, track.to.and_then(|to| spans.get(to)))
        else {
            continue;
        };
        worst = worst.max((found.0 - first - moved).abs()).max((found.1 - last - moved).abs());
    }
    Ok(worst * 1e3)
}

fn spans(input: &mut Input) -> Vec<Option<Span>> {
    let mut spans = vec![None; input.nb_streams() as usize];
    let bases: Vec<Rational> = input.streams().map(|stream| stream.time_base()).collect();
    loop {
        // Reading overwrites a packet and forgets what it held: begin with an empty one.
        let mut packet = Packet::empty();
        if packet.read(input).is_err() {
            return spans;
        }
        let index = packet.stream();
        let (Some(pts), Some(base)) = (packet.pts(), bases.get(index)) else { continue };
        let time = pts as f64 * f64::from(*base);
        if let Some(span) = spans.get_mut(index) {
            let (first, last) = span.unwrap_or((time, time));
            *span = Some((first.min(time), last.max(time)));
        }
    }
}
