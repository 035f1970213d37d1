//! Another number of frames in a second, over the same time.

use crate::{Error, Result, frame::Frame};

/// Frames per second as people type it: `25`, `29.97` (which means 30000/1001) or `30000/1001`.
///
/// # Errors
/// [`Error::BadSetting`] under `name` for anything else, and outside of 0.01 to 1000.
pub fn parse_rate(name: &str, text: &str) -> Result<(i32, i32)> {
    let wrong =
        || Error::setting(name, text, "must be frames per second, 0.01 to 1000, e.g. 25 or 30000/1001");
    let number = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0);
    let rate = if let Some((num, den)) = text.split_once('/') {
        (num.parse().map_err(|_| wrong())?, den.parse().map_err(|_| wrong())?)
    } else {
        let value = number(text).ok_or_else(wrong)?;
        let ntsc = (value * 1.001).round();
        if value.fract() != 0.0 && (ntsc / 1.001 - value).abs() < 0.005 {
            ((ntsc * 1000.0) as i32, 1001)
        } else {
            // Thousandths are as fine as anybody types it.
            let (num, den) = ((value * 1000.0).round() as i32, 1000);
            let g = gcd(num, den);
            (num / g.max(1), den / g.max(1))
        }
    };
    let (num, den) = rate;
    let fps = f64::from(num) / f64::from(den.max(1));
    if num > 0 && den > 0 && (0.01..=1000.0).contains(&fps) { Ok(rate) } else { Err(wrong()) }
}

fn gcd(a: i32, b: i32) -> i32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Shows at each tick of a new rate the frame that the input shows then: the clip lasts as long as before.
pub(super) struct Resampler {
    from_base: (i32, i32),
    rate: (i32, i32),
    /// The first frame's time and its place among the new ticks.
    origin: Option<(f64, i64)>,
    current: Option<Frame>,
    n_out: u64,
    next: Option<Frame>,
    ended: bool,
}

/// Ticks to a second, at least: what a time that isn't on the new grid is rounded to.
const FINEST: i32 = 10_000;

impl Resampler {
    pub(super) fn new(from_base: (i32, i32), rate: (i32, i32)) -> Self {
        Self { from_base, rate, origin: None, current: None, n_out: 0, next: None, ended: false }
    }

    /// Ticks of a frame, and the time base of what comes out.
    pub(super) fn grid((num, den): (i32, i32)) -> (i64, (i32, i32)) {
        let fine = (FINEST / num).max(1);
        (i64::from(den) * i64::from(fine), (1, num * fine))
    }

    /// The next frame, made from what `frames` yields.
    pub(super) fn pull(
        &mut self,
        frames: &mut impl FnMut() -> Option<Result<Frame>>,
    ) -> Option<Result<Frame>> {
        loop {
            if self.current.is_none() || (self.next.is_none() && !self.ended) {
                match frames() {
                    Some(Err(e)) => return Some(Err(e)),
                    None => self.ended = true,
                    Some(Ok(frame)) if self.current.is_none() => self.current = Some(frame),
                    Some(Ok(frame)) => self.next = Some(frame),
                }
                if self.current.is_none() && self.ended {
                    return None;
                }
                continue;
            }
            let current = self.current.as_ref()?;
            let origin_s = self.origin.map_or_else(|| self.seconds(current.picture.pts()), |(s, _)| s);
            let (step, base) = Self::grid(self.rate);
            let offset = (origin_s * f64::from(base.1)).round() as i64;
            self.origin = Some((origin_s, offset));
            let is_due = match &self.next {
                Some(next) => {
                    let until_s = self.seconds(next.picture.pts()) - origin_s;
                    self.time_s(self.n_out) < until_s - 0.01 * self.time_s(1)
                }
                None => self.n_out < self.n_wanted(current, origin_s),
            };
            if is_due {
                let picture = current.picture.clone().at(offset + self.n_out as i64 * step, step);
                self.n_out += 1;
                return Some(Ok(Frame { idx: self.n_out - 1, picture }));
            }
            self.current = self.next.take();
            self.current.as_ref()?;
        }
    }

    /// Frames up to the end of the last one.
    fn n_wanted(&self, last: &Frame, origin_s: f64) -> u64 {
        let ticks = last.picture.pts() + last.picture.duration();
        let frames = (self.seconds(ticks) - origin_s) / self.time_s(1);
        (frames.round() as u64).max(1)
    }

    fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.from_base.0) / f64::from(self.from_base.1)
    }

    /// The time of new frame number `n` after the first one, seconds.
    fn time_s(&self, n: u64) -> f64 {
        n as f64 * f64::from(self.rate.1) / f64::from(self.rate.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::Picture;

    /// Which input frame each output frame shows, and their times in seconds.
    fn resampled(times: &[i64], duration: i64, rate: (i32, i32)) -> (Vec<u8>, Vec<f64>) {
        let frame = |(i, pts): (usize, &i64)| {
            let picture = Picture::from_rgb8(1, 1, &[i as u8; 3]).at(*pts, duration);
            Ok(Frame { idx: i as u64, picture })
        };
        let mut frames = times.iter().enumerate().map(frame);
        let mut resampler = Resampler::new((1, 1000), rate);
        let base = Resampler::grid(rate).1;
        let mut out = (Vec::new(), Vec::new());
        while let Some(frame) = resampler.pull(&mut || frames.next()) {
            let picture = frame.expect("no error").picture;
            out.0.push(picture.row::<u8>(0, 0, 1)[0]);
            out.1.push(picture.pts() as f64 * f64::from(base.0) / f64::from(base.1));
        }
        out
    }

    #[test]
    fn half_and_double_the_rate_take_the_same_time() {
        let times: Vec<i64> = (0..10).map(|i| 500 + 40 * i).collect();
        let (shown, at_s) = resampled(&times, 40, (25, 2));
        assert_eq!(shown, [0, 2, 4, 6, 8]);
        assert_eq!((at_s[0], at_s[4]), (0.5, 0.82));
        let (shown, at_s) = resampled(&times, 40, (50, 1));
        assert_eq!(shown.len(), 20);
        assert!(shown.iter().enumerate().all(|(i, n)| usize::from(*n) == i / 2), "{shown:?}");
        assert!((at_s[19] - 0.88).abs() < 1e-9);
    }

    #[test]
    fn holes_of_a_variable_rate_are_filled() {
        let (shown, _) = resampled(&[0, 40, 400, 440], 40, (25, 1));
        assert_eq!(shown, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3]);
        assert_eq!(resampled(&[0], 0, (25, 1)).0, [0]);
    }

    #[test]
    fn rates_are_read_as_people_type_them() {
        for (text, wanted) in [
            ("25", (25, 1)),
            ("29.97", (30000, 1001)),
            ("23.976", (24000, 1001)),
            ("12.5", (25, 2)),
            ("30000/1001", (30000, 1001)),
        ] {
            assert_eq!(parse_rate("--output-video-fps", text).expect("a rate"), wanted, "{text}");
        }
        for text in ["0", "-1", "1/0", "fast", "2000", "nan"] {
            assert!(parse_rate("--output-video-fps", text).is_err(), "{text}");
        }
    }
}
