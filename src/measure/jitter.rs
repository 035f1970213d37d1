//! How much a face's points tremble.

use crate::{face::mesh, frame::FramePx};

/// Second differences of points gathered over a track.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Jitter {
    sum: f64,
    n: f64,
}

impl Jitter {
    /// Adds three frames in a row of one face's points: for each point |p(t+1) - 2 p(t) + p(t-1)| in units of the
    /// distance between the eyes in the middle frame. Meshes without eyes or of unequal length count nothing.
    pub fn add(&mut self, before: &[FramePx], now: &[FramePx], after: &[FramePx]) {
        if now.len() < mesh::N_SKIN || before.len() != now.len() || after.len() != now.len() {
            return;
        }
        let unit = mesh::interocular_px(now);
        if unit <= 0.0 || !unit.is_finite() {
            return;
        }
        for ((a, b), c) in before.iter().zip(now).zip(after) {
            self.sum += (c.x - 2.0 * b.x + a.x).hypot(c.y - 2.0 * b.y + a.y) / unit;
            self.n += 1.0;
        }
    }

    /// Adds what another track gathered.
    pub fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.n += other.n;
    }

    /// The mean, `None` when fewer than three frames followed each other.
    pub fn mean(self) -> Option<f64> {
        (self.n > 0.0).then(|| self.sum / self.n)
    }
}

/// The jitter of a track without gaps, its points frame by frame.
pub fn jitter(track: &[Vec<FramePx>]) -> Option<f64> {
    let mut jitter = Jitter::default();
    for triple in track.windows(3) {
        jitter.add(&triple[0], &triple[1], &triple[2]);
    }
    jitter.mean()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mesh with its eyes 50 px apart, moved to the right.
    fn moved(by: f64) -> Vec<FramePx> {
        let mut points = vec![FramePx { x: 100.0 + by, y: 80.0 }; mesh::N_POINTS];
        for (eye, x) in [(0, 75.0), (1, 125.0)] {
            mesh::EYE_CORNERS[eye].iter().for_each(|i| points[*i].x = x + by);
        }
        points
    }

    #[test]
    fn even_motion_is_no_jitter_and_a_zigzag_is() {
        let track = |step: fn(i32) -> f64| (0..9).map(|i| moved(step(i))).collect::<Vec<_>>();
        assert!(jitter(&track(|i| 3.0 * f64::from(i))).unwrap_or(1.0) < 1e-12);
        // +-1 px in turn: second differences of 4 px on a unit of 50.
        let zigzag = jitter(&track(|i| if i % 2 == 0 { 1.0 } else { -1.0 })).unwrap_or(0.0);
        assert!((zigzag - 0.08).abs() < 1e-9, "{zigzag}");
        // A parabola 0.5 a t^2 has the second difference a.
        let fall = jitter(&track(|i| 0.25 * f64::from(i * i))).unwrap_or(0.0);
        assert!((fall - 0.01).abs() < 1e-9, "{fall}");
    }

    #[test]
    fn short_tracks_and_lone_points_count_nothing() {
        assert_eq!(jitter(&[moved(0.0), moved(1.0)]), None);
        assert_eq!(jitter(&[vec![], vec![], vec![]]), None);
    }
}
