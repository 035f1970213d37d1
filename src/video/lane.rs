//! The way of one stream's packets from the input to the output: their times.

use ffmpeg_next::{self as ff, Packet, Rational, ffi::AVFMT_TS_NONSTRICT, format::context::Output};

use super::{clock::JUMP_S, sound::Sound, tracks::Track, trim::Cut};

/// The way of one stream's packets.
pub(super) struct Lane {
    pub(super) to: usize,
    from_base: Rational,
    pub(super) to_base: Rational,
    /// Added to all times since the stream's clock jumped back.
    shift: i64,
    next_dts: Option<i64>,
    /// When the last one that was written is decoded, on the output's clock.
    last_dts: Option<i64>,
    /// Packets are decoded and encoded on the way.
    sound: Option<Sound>,
}

impl Lane {
    pub(super) fn new(to: usize, base: Rational, sound: Option<Sound>) -> Self {
        Self { to, from_base: base, to_base: base, shift: 0, next_dts: None, last_dts: None, sound }
    }

    /// When a packet is decoded, on the input's clock.
    pub(super) fn time_s(&self, packet: &Packet) -> Option<f64> {
        packet.dts().or(packet.pts()).map(|time| (time + self.shift) as f64 * f64::from(self.from_base))
    }

    /// Makes times go on where the clock was set anew, as the picture does.
    pub(super) fn straighten(&mut self, packet: &mut Packet) {
        let time = packet.dts().or(packet.pts()).map(|time| time + self.shift);
        if let (Some(time), Some(next)) = (time, self.next_dts)
            && (next - time) as f64 * f64::from(self.from_base) > JUMP_S
        {
            self.shift += next - time;
        }
        packet.set_dts(packet.dts().map(|dts| dts + self.shift));
        packet.set_pts(packet.pts().map(|pts| pts + self.shift));
        self.next_dts = packet.dts().map(|dts| dts + packet.duration());
    }

    /// Moves a packet by what is cut off; false for one that is left out. Sound is cut at the borders of its packets
    /// unless it is encoded anew or the container hides what lies before 0.
    pub(super) fn fit(&self, packet: &mut Packet, cut: &Cut, kind: &str, hides_negative: bool) -> bool {
        let base = f64::from(self.from_base);
        // A cover has no time.
        let Some(pts) = packet.pts().or(packet.dts()).filter(|_| kind != Track::COVER) else { return true };
        let end = pts + packet.duration().max(1);
        if cut.end_s.is_some_and(|end_s| pts as f64 * base >= end_s) {
            return false;
        }
        if let Some(end_s) = cut.end_s.filter(|_| kind != Track::SOUND) {
            // Words that are on the screen when the part ends.
            let left = ((end_s / base).round() as i64 - pts).max(1);
            packet.set_duration(packet.duration().min(left));
        }
        let Some(start_s) = cut.start_s else { return true };
        let zero = (start_s / base).round() as i64;
        let from = if hides_negative || self.sound.is_some() || kind != Track::SOUND { end - 1 } else { pts };
        if from < zero {
            return false;
        }
        let mut first = pts - zero;
        if kind != Track::SOUND && first < 0 {
            // Words that are on the screen when the part begins.
            packet.set_duration(packet.duration() + first);
            first = 0;
        }
        packet.set_dts(packet.dts().map(|dts| first - (pts - dts)));
        packet.set_pts(Some(first));
        true
    }

    pub(super) fn pass(
        &mut self,
        mut packet: Packet,
        track: &mut Track,
        output: &mut Output,
        cut: &Cut,
    ) -> Result<(), ff::Error> {
        if let Some(sound) = &mut self.sound {
            let end_s = cut.end_s.map(|end_s| end_s - cut.start_s.unwrap_or(0.0));
            let packets = sound.convert(&packet, end_s)?;
            let base = sound.time_base();
            return packets.into_iter().try_for_each(|packet| self.write(packet, base, track, output));
        }
        if packet.size() == 0 && packet.side_data().len() == 0 {
            return Ok(());
        }
        packet.set_position(-1);
        self.write(packet, self.from_base, track, output)
    }

    pub(super) fn flush(&mut self, track: &mut Track, output: &mut Output) -> Result<(), ff::Error> {
        let Some(sound) = &mut self.sound else { return Ok(()) };
        let (packets, base) = (sound.finish()?, sound.time_base());
        packets.into_iter().try_for_each(|packet| self.write(packet, base, track, output))
    }

    /// Containers take times that rise. What steps back a little, as where two recordings were joined that overlap, is
    /// moved to just behind the packet before it: nothing is left out.
    fn write(
        &mut self,
        mut packet: Packet,
        base: Rational,
        track: &mut Track,
        output: &mut Output,
    ) -> Result<(), ff::Error> {
        if let Some(pts_s) = packet.pts().map(|pts| pts as f64 * f64::from(base)) {
            let (first, last) = track.times_s.unwrap_or((pts_s, pts_s));
            track.times_s = Some((first.min(pts_s), last.max(pts_s)));
        }
        packet.rescale_ts(base, self.to_base);
        if let (Some(time), Some(last)) = (packet.dts().or(packet.pts()), self.last_dts) {
            // SAFETY: an output context has its format from the start, and formats are constant.
            let may_repeat = unsafe { (*(*output.as_ptr()).oformat).flags } & AVFMT_TS_NONSTRICT != 0;
            let least = if may_repeat { last } else { last + 1 };
            if time < least {
                packet.set_dts(Some(least));
                packet.set_pts(packet.pts().map(|pts| pts.max(least)));
                track.n_moved += 1;
            }
        }
        self.last_dts = packet.dts().or(packet.pts()).or(self.last_dts);
        packet.set_stream(self.to);
        packet.write_interleaved(output)
    }
}
