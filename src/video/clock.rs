//! Times that rise from frame to frame, whatever the file says.

use serde::{Deserialize, Serialize};

/// A clock that goes back by more than this was set anew; by less, it stumbled. Seconds.
pub(super) const JUMP_S: f64 = 0.3;

/// What had to be done to a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tick {
    /// Nothing.
    True,
    /// It was before that of the frame before, and is moved behind it.
    Moved,
    /// The clock jumped back by so many seconds, as where recordings are joined; it goes on from the last frame.
    Joined(f64),
}

/// Joins that are kept; other tracks of a file with more of them go on by themselves.
const MAX_JOINS: usize = 1000;

/// Where two recordings are joined, so that the picture's clock jumped back. Positions are bytes from the begin of
/// the file: times don't tell which of the recordings a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// The position of the last packet of the picture before it.
    pub after: i64,
    /// The position of the first packet of the picture behind it.
    pub at: i64,
    /// What is added to all times of the picture from there on, seconds.
    pub shift_s: f64,
}

/// Gives each frame a time that is after that of the frame before.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    tick_s: f64,
    /// Ticks from frame to frame for streams without times.
    usual_ticks: i64,
    last: Option<i64>,
    last_ticks: i64,
    /// Added to all times since the clock jumped back.
    shift: i64,
    /// The position of the last packet so far; below 0 where the container doesn't tell.
    position: i64,
    joins: Vec<Join>,
}

impl Clock {
    /// For a time base and a usual rate of frames; (0, 1) when unknown.
    pub(super) fn new(time_base: (i32, i32), (num, den): (i32, i32)) -> Self {
        let tick_s = f64::from(time_base.0) / f64::from(time_base.1);
        let usual_ticks =
            if num > 0 { (f64::from(den) / f64::from(num) / tick_s).round().max(1.0) as i64 } else { 1 };
        Self { tick_s, usual_ticks, last: None, last_ticks: 0, shift: 0, position: -1, joins: Vec::new() }
    }

    /// The frame's own time if it is after the last one, else one that is. `position` is that of its packet in the
    /// file, below 0 where it isn't known.
    pub(super) fn next(&mut self, told: Option<i64>, duration: i64, position: i64) -> (i64, Tick) {
        let (pts, tick) = self.judge(told);
        (self.last, self.last_ticks) = (Some(pts), duration);
        if let Tick::Joined(_) = tick {
            self.join(position);
        }
        // Frames come in the order of presentation, their packets in that of decoding.
        self.position = self.position.max(position);
        (pts, tick)
    }

    /// Notes a join before the frame whose packet is at `position`.
    fn join(&mut self, position: i64) {
        if self.position >= 0 && self.joins.len() < MAX_JOINS {
            // A frame that stands in for a spoilt one has the position of another.
            let at = position.max(self.position + 1);
            self.joins.push(Join { after: self.position, at, shift_s: self.shift as f64 * self.tick_s });
        }
    }

    fn judge(&mut self, told: Option<i64>) -> (i64, Tick) {
        let Some(last) = self.last else { return (told.unwrap_or(0), Tick::True) };
        let next = last + self.last_or_usual();
        let Some(pts) = told.map(|pts| pts + self.shift) else { return (next, Tick::True) };
        if pts > last {
            return (pts, Tick::True);
        }
        let back_s = (last - pts) as f64 * self.tick_s;
        if back_s < JUMP_S {
            return (last + 1, Tick::Moved);
        }
        self.shift += next - pts;
        (next, Tick::Joined(back_s))
    }

    fn last_or_usual(&self) -> i64 {
        if self.last_ticks > 0 { self.last_ticks } else { self.usual_ticks }
    }

    /// Where the clock jumped back so far.
    pub(super) fn joins(&self) -> &[Join] {
        &self.joins
    }

    /// The end of the last frame, seconds.
    pub(super) fn end_s(&self) -> f64 {
        self.last.map_or(0.0, |last| (last + self.last_or_usual()) as f64 * self.tick_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_rise_and_joined_recordings_go_on() {
        let mut clock = Clock::new((1, 1000), (25, 1));
        assert_eq!(clock.next(Some(-40), 40, -1), (-40, Tick::True));
        assert_eq!(clock.next(None, 0, -1), (0, Tick::True));
        assert_eq!(clock.next(Some(90_000), 40, -1), (90_000, Tick::True));
        assert_eq!(clock.next(Some(89_990), 40, -1), (90_001, Tick::Moved));
        assert_eq!(clock.next(Some(0), 40, -1), (90_041, Tick::Joined(90.001)));
        assert_eq!(clock.next(Some(40), 40, -1), (90_081, Tick::True));
        assert!((clock.end_s() - 90.121).abs() < 1e-9);
        assert!(clock.joins().is_empty(), "nobody knows where it is");
    }

    #[test]
    fn joins_are_noted_with_their_positions() {
        let mut clock = Clock::new((1, 1000), (5, 2));
        // The last packet that is decoded isn't that of the last frame.
        for (told, position) in [(0, 100), (400, 300), (800, 200)] {
            assert_eq!(clock.next(Some(told), 400, position), (told, Tick::True));
        }
        assert!(clock.joins().is_empty());
        assert_eq!(clock.next(Some(0), 400, 500), (1200, Tick::Joined(0.8)));
        let first = Join { after: 300, at: 500, shift_s: 1.2 };
        assert_eq!(clock.joins(), [first]);
        assert_eq!(clock.next(Some(400), 400, 600), (1600, Tick::True));
        // The frame before stands in for the first one of the third recording.
        assert_eq!(clock.next(Some(0), 400, 600), (2000, Tick::Joined(0.4)));
        assert_eq!(clock.joins(), [first, Join { after: 600, at: 601, shift_s: 2.0 }]);
    }
}
