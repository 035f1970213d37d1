//! The way of one stream's packets from the input to the output: their times.

use ffmpeg_next::{self as ff, Packet, Rational, ffi::AVFMT_TS_NONSTRICT, format::context::Output};

use super::{
    clock::{JUMP_S, Join},
    sound::Sound,
    tracks::Track,
    trim::Cut,
};

/// The way of one stream's packets.
pub(super) struct Lane {
    pub(super) to: usize,
    from_base: Rational,
    pub(super) to_base: Rational,
    /// Added to all times since the stream's clock jumped back.
    shift: i64,
    /// When the last packet is decoded, and when it ends, on the input's clock.
    last: Option<(i64, i64)>,
    /// The position of the last packet that tells it, bytes from the begin of the file.
    position: i64,
    /// Joins of the picture that lie behind.
    n_joins: usize,
    /// When the last one that was written is decoded, on the output's clock.
    last_dts: Option<i64>,
    /// Packets are decoded and encoded on the way.
    sound: Option<Sound>,
}

impl Lane {
    pub(super) fn new(to: usize, base: Rational, sound: Option<Sound>) -> Self {
        Self {
            to,
            from_base: base,
            to_base: base,
            shift: 0,
            last: None,
            position: -1,
            n_joins: 0,
            last_dts: None,
            sound,
        }
    }

    /// When a packet is decoded, on the input's clock.
    pub(super) fn time_s(&self, packet: &Packet) -> Option<f64> {
        packet.dts().or(packet.pts()).map(|time| (time + self.shift) as f64 * f64::from(self.from_base))
    }

    /// Makes times go on where the clock was set anew, as the picture does: at `joins` of the picture by as much as
    /// there, so that a track keeps its distance to it, and from its own end where only the track's clock jumped.
    pub(super) fn straighten(&mut self, packet: &mut Packet, kind: &str, joins: &[Join]) {
        // Of packets that lie together, parsers tell the position of the first.
        self.position = self.position.max(packet.position() as i64);
        if let Some(time) = packet.dts().or(packet.pts()) {
            self.shift = self.shift_at(time, kind == Track::SOUND, joins);
        }
        self.last = packet.dts().map(|dts| (dts, dts + packet.duration()));
        packet.set_dts(packet.dts().map(|dts| dts + self.shift));
        packet.set_pts(packet.pts().map(|pts| pts + self.shift));
    }

    /// What is to be added to `time`, that of the next packet, and to those that follow.
    fn shift_at(&mut self, time: i64, is_sound: bool, joins: &[Join]) -> i64 {
        let base = f64::from(self.from_base);
        let (mut jumps_back, mut goes_on, mut shift) = (false, false, self.shift);
        if let Some((last, end)) = self.last {
            // Packets of sound follow each other; words come while others are still on the screen.
            let earliest = if is_sound { end } else { last };
            jumps_back = (earliest - time) as f64 * base > JUMP_S;
            goes_on = is_sound && time >= last && (time - end) as f64 * base < JUMP_S;
            shift += if jumps_back { end - time } else { 0 };
        }
        // In the file, sound may end behind the first picture of the next recording, or begin before it.
        while let Some(join) = joins.get(self.n_joins)
            && (jumps_back && self.position > join.after || !goes_on && self.position >= join.at)
        {
            shift = (join.shift_s / base).round() as i64;
            self.n_joins += 1;
        }
        shift
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of packets after [`Lane::straighten`], milliseconds; each is given as time, duration and position.
    fn straightened(kind: &str, joins: &[Join], packets: &[(i64, i64, isize)]) -> Vec<i64> {
        let mut lane = Lane::new(0, Rational(1, 1000), None);
        let times = packets.iter().map(|&(time, duration, position)| {
            let mut packet = Packet::empty();
            packet.set_dts(Some(time));
            packet.set_pts(Some(time + 5));
            packet.set_duration(duration);
            packet.set_position(position);
            lane.straighten(&mut packet, kind, joins);
            assert_eq!(packet.pts(), packet.dts().map(|dts| dts + 5));
            packet.dts().expect("one as before")
        });
        times.collect()
    }

    /// Two joins of recordings whose pictures last a second.
    const JOINS: [Join; 2] =
        [Join { after: 90, at: 110, shift_s: 1.0 }, Join { after: 190, at: 210, shift_s: 2.0 }];

    #[test]
    fn words_that_overlap_keep_their_times() {
        let words = [(100, 1400, -1), (300, 500, -1), (700, 500, -1), (1600, 500, -1)];
        assert_eq!(straightened(Track::SUBTITLES, &[], &words), [100, 300, 700, 1600]);
        // A clock that was set back.
        let words = [(100, 1000, -1), (5000, 1000, -1), (200, 1000, -1), (700, 500, -1)];
        assert_eq!(straightened(Track::SUBTITLES, &[], &words), [100, 5000, 6000, 6500]);
    }

    #[test]
    fn sound_goes_on_from_its_end_where_its_clock_alone_is_set_back() {
        let sound = [(0, 200, -1), (200, 200, -1), (0, 200, -1), (200, 200, -1), (300, 200, -1)];
        assert_eq!(straightened(Track::SOUND, &[], &sound), [0, 200, 400, 600, 700]);
        // At a join of the picture it's as far from it as in the file again.
        let sound = [(0, 200, 20), (200, 200, 30), (0, 200, 40), (200, 200, 50), (10, 200, 120)];
        assert_eq!(straightened(Track::SOUND, &JOINS, &sound), [0, 200, 400, 600, 1010]);
    }

    #[test]
    fn sound_keeps_its_distance_to_the_picture_where_recordings_are_joined() {
        let sound = [(10, 300, 20), (310, 300, -1), (10, 300, 120), (310, 300, -1), (10, 300, 220)];
        assert_eq!(straightened(Track::SOUND, &JOINS, &sound), [10, 310, 1010, 1310, 2010]);
        // The first one's sound ends behind the second one's first picture in the file, and the third one's begins
        // before its picture.
        let sound = [(0, 600, 20), (600, 600, 115), (0, 600, 130), (0, 600, 200), (600, 600, 220)];
        assert_eq!(straightened(Track::SOUND, &JOINS, &sound), [0, 600, 1000, 2000, 2600]);
    }

    #[test]
    fn a_track_that_is_silent_in_a_recording_is_right_in_the_next() {
        let sound = [(0, 600, 20), (0, 600, 220), (600, 600, 230)];
        assert_eq!(straightened(Track::SOUND, &JOINS, &sound), [0, 2000, 2600]);
        assert_eq!(straightened(Track::SOUND, &JOINS, &[(0, 600, 120)]), [1000]);
        // Nothing steps back here.
        let words = [(200, 500, 30), (500, 300, 130), (900, 900, 230)];
        assert_eq!(straightened(Track::SUBTITLES, &JOINS, &words), [200, 1500, 2900]);
    }
}
