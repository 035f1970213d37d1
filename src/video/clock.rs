//! Times that rise from frame to frame, whatever the file says.

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
}

impl Clock {
    /// For a time base and a usual rate of frames; (0, 1) when unknown.
    pub(super) fn new(time_base: (i32, i32), (num, den): (i32, i32)) -> Self {
        let tick_s = f64::from(time_base.0) / f64::from(time_base.1);
        let usual_ticks =
            if num > 0 { (f64::from(den) / f64::from(num) / tick_s).round().max(1.0) as i64 } else { 1 };
        Self { tick_s, usual_ticks, last: None, last_ticks: 0, shift: 0 }
    }

    /// The frame's own time if it is after the last one, else one that is.
    pub(super) fn next(&mut self, told: Option<i64>, duration: i64) -> (i64, Tick) {
        let (pts, tick) = self.judge(told);
        (self.last, self.last_ticks) = (Some(pts), duration);
        (pts, tick)
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
        assert_eq!(clock.next(Some(-40), 40), (-40, Tick::True));
        assert_eq!(clock.next(None, 0), (0, Tick::True));
        assert_eq!(clock.next(Some(90_000), 40), (90_000, Tick::True));
        assert_eq!(clock.next(Some(89_990), 40), (90_001, Tick::Moved));
        assert_eq!(clock.next(Some(0), 40), (90_041, Tick::Joined(90.001)));
        assert_eq!(clock.next(Some(40), 40), (90_081, Tick::True));
        assert!((clock.end_s() - 90.121).abs() < 1e-9);
    }
}
