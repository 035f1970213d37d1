//! Which level is trained when, how far it has faded in, and how fast.

use super::model::Stage;
use crate::{Error, Result};

/// Share of a level's steps over which it fades in.
const FADE: f64 = 0.2;

/// How many times as long as any other level the last one is trained.
const LAST_LEVEL: f64 = 1.5;

/// Share of all steps after which the rate falls.
const DECAY_FROM: f64 = 0.6;

/// Share of the rate that is left at the end.
const DECAY_TO: f64 = 0.08;

/// Steps over which the rate rises at the start.
const WARM_UP: u64 = 200;

/// The plan of a training: every step's stage follows from its number, so that a resumed run does what an
/// uninterrupted one would have done.
#[derive(Debug, Clone)]
pub struct Schedule {
    first_level: usize,
    last_level: usize,
    n_steps: u64,
    rate: f64,
}

impl Schedule {
    /// From `start_px` to `side_px`, each a power of two from 4, in `n_steps`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for a start that is no power of two or above the end, or for no steps.
    pub fn new(start_px: usize, side_px: usize, n_steps: u64, rate: f64) -> Result<Self> {
        if !start_px.is_power_of_two() || !(4..=side_px).contains(&start_px) {
            return Err(Error::setting(
                "--start-side",
                start_px,
                format!("must be a power of two, 4 to {side_px}"),
            ));
        }
        if n_steps == 0 {
            return Err(Error::setting("--steps", 0, "must be 1 or more"));
        }
        let level = |px: usize| px.ilog2() as usize - 2;
        Ok(Self { first_level: level(start_px), last_level: level(side_px), n_steps, rate })
    }

    /// What is trained in a step. The first level doesn't fade in; the others do, and then hold.
    pub fn stage(&self, step: u64) -> Stage {
        let n_levels = self.last_level - self.first_level + 1;
        let share = self.n_steps as f64 / ((n_levels - 1) as f64 + LAST_LEVEL);
        let nth = ((step as f64 / share) as usize).min(n_levels - 1);
        let into = (step as f64 - nth as f64 * share) / share;
        let alpha = if nth == 0 { 1.0 } else { (into / FADE).min(1.0) };
        Stage { level: self.first_level + nth, alpha }
    }

    /// Adam's rate in a step: up at the start, constant, then down along a cosine.
    pub fn rate(&self, step: u64) -> f64 {
        let warm = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
        let late = ((step as f64 / self.n_steps as f64 - DECAY_FROM) / (1.0 - DECAY_FROM)).clamp(0.0, 1.0);
        let left = DECAY_TO + (1.0 - DECAY_TO) * 0.5 * (1.0 + (late * std::f64::consts::PI).cos());
        self.rate * warm * left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_come_in_order_and_fade_in() {
        let schedule = Schedule::new(64, 128, 1000, 1e-3).expect("valid");
        assert_eq!(schedule.stage(0), Stage { level: 4, alpha: 1.0 });
        assert_eq!(schedule.stage(399), Stage { level: 4, alpha: 1.0 });
        let fading = schedule.stage(440);
        assert!(fading.level == 5 && (fading.alpha - 0.5).abs() < 0.01, "{fading:?}");
        assert_eq!(schedule.stage(999), Stage { level: 5, alpha: 1.0 });
    }

    #[test]
    fn the_rate_rises_holds_and_falls() {
        let schedule = Schedule::new(64, 64, 10_000, 1e-3).expect("valid");
        assert!(schedule.rate(0) < 1e-5);
        assert!((schedule.rate(5000) - 1e-3).abs() < 1e-9);
        assert!((schedule.rate(9999) - 8e-5).abs() < 1e-6);
    }
}
