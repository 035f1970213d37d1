//! Which level is trained when, how far it has faded in, and how fast.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{critic, losses::LossWeights, model::Stage};
use crate::{Error, Result};

/// Share of a level's steps over which it fades in, where nothing else is said.
const FADE: f64 = 0.2;

/// How many times as long as any other level the last one is trained.
const LAST_LEVEL: f64 = 1.5;

/// Share of all steps after which the rate falls.
const DECAY_FROM: f64 = 0.6;

/// Share of the rate that is left at the end.
const DECAY_TO: f64 = 0.08;

/// Steps over which the rate rises at the start.
const WARM_UP: u64 = 200;

/// How the network is trained at one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Pixels, a power of two from 4.
    pub side_px: usize,
    /// Steps, the fade at its start among them.
    #[serde(rename = "steps")]
    pub n_steps: u64,
    /// Share of the steps over which the level fades in, 0..=1; the first level is there from the start.
    #[serde(default = "default_fade")]
    pub fade: f64,
    /// The rate as a share of the training's.
    #[serde(default = "one")]
    pub rate: f64,
    /// Samples of every identity in a step.
    pub batch: usize,
    /// How much each part of the loss counts.
    #[serde(default)]
    pub loss: LossWeights,
}

fn default_fade() -> f64 {
    FADE
}

fn one() -> f64 {
    1.0
}

impl Level {
    /// A level with what is usual.
    pub fn new(side_px: usize, n_steps: u64, batch: usize) -> Self {
        Self { side_px, n_steps, fade: FADE, rate: 1.0, batch, loss: LossWeights::default() }
    }

    /// What is wrong with it, if anything is.
    fn objection(&self) -> Option<String> {
        let LossWeights { dssim, l1, gradient, mask, adversarial } = self.loss;
        let weights = [dssim, l1, gradient, mask, adversarial];
        let wrong = if self.n_steps == 0 {
            "steps = 0: must be 1 or more".into()
        } else if !(0.0..=1.0).contains(&self.fade) {
            format!("fade = {}: must be 0 to 1", self.fade)
        } else if !(0.0..=100.0).contains(&self.rate) {
            format!("rate = {}: must be 0 to 100", self.rate)
        } else if !(1..=256).contains(&self.batch) {
            format!("batch = {}: must be 1 to 256", self.batch)
        } else if !weights.iter().all(|w| (0.0..=1000.0).contains(w)) || l1 + dssim <= 0.0 {
            format!("loss = {weights:?}: weights must be 0 to 1000, and dssim or l1 above 0")
        } else if adversarial > 0.0 && self.side_px < critic::LEAST_SIDE_PX {
            format!("loss.adversarial = {adversarial}: a critic judges from {} px on", critic::LEAST_SIDE_PX)
        } else {
            return None;
        };
        Some(format!("the level of {} px has {wrong}", self.side_px))
    }
}

/// A side and the steps at it, as typed: `SIDE:STEPS`, e.g. `64:4000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SideSteps {
    /// Pixels.
    pub side_px: usize,
    /// Steps.
    pub n_steps: u64,
}

impl FromStr for SideSteps {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split_once(':')
            .and_then(|(side, steps)| {
                Some(Self { side_px: side.parse().ok()?, n_steps: steps.parse().ok()? })
            })
            .filter(|level| level.n_steps > 0)
            .ok_or_else(|| Error::setting("--levels", text, "must be SIDE:STEPS, e.g. 64:4000"))
    }
}

/// The levels from `start_px` to `side_px` in `n_steps`: the last one takes longer, the others are equal.
///
/// # Errors
/// [`Error::BadSetting`] for a start that is no power of two or above the end, or for no steps.
pub fn even_levels(start_px: usize, side_px: usize, n_steps: u64) -> Result<Vec<SideSteps>> {
    if !start_px.is_power_of_two() || !(4..=side_px).contains(&start_px) {
        let reason = format!("must be a power of two, 4 to {side_px}");
        return Err(Error::setting("--start-side", start_px, reason));
    }
    if n_steps == 0 {
        return Err(Error::setting("--steps", 0, "must be 1 or more"));
    }
    let n_levels = u64::from(side_px.ilog2() - start_px.ilog2()) + 1;
    let share = (n_steps as f64 / ((n_levels - 1) as f64 + LAST_LEVEL)) as u64;
    let steps = |nth: u64| if nth + 1 < n_levels { share } else { n_steps - share * (n_levels - 1) };
    Ok((0..n_levels).map(|nth| SideSteps { side_px: start_px << nth, n_steps: steps(nth) }).collect())
}

/// The course of a training: every step's stage follows from its number, so that a resumed run does what an
/// uninterrupted one would have done.
#[derive(Debug, Clone)]
pub struct Schedule {
    levels: Vec<Level>,
    rate: f64,
}

impl Schedule {
    /// Through `levels`, each of twice the side of the one before.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for levels that don't double, or none.
    pub fn new(levels: Vec<Level>, rate: f64) -> Result<Self> {
        let sides: Vec<usize> = levels.iter().map(|level| level.side_px).collect();
        let doubles = sides.windows(2).all(|w| w[1] == 2 * w[0]);
        if sides.first().is_none_or(|px| *px < 4 || !px.is_power_of_two()) || !doubles {
            let reason = "each side must be twice the one before, the first a power of two from 4";
            return Err(Error::setting("--levels", format!("{sides:?}"), reason));
        }
        if let Some(objection) = levels.iter().find_map(Level::objection) {
            return Err(Error::setting("[[level]]", "", objection));
        }
        Ok(Self { levels, rate })
    }

    /// Steps in all.
    pub fn n_steps(&self) -> u64 {
        self.levels.iter().map(|level| level.n_steps).sum()
    }

    /// The levels.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The level of a step and the number of its first step.
    fn at(&self, step: u64) -> (usize, u64) {
        let (mut nth, mut first) = (0, 0);
        while nth + 1 < self.levels.len() && step >= first + self.levels[nth].n_steps {
            first += self.levels[nth].n_steps;
            nth += 1;
        }
        (nth, first)
    }

    /// The level of a step.
    pub fn level(&self, step: u64) -> &Level {
        &self.levels[self.at(step).0]
    }

    /// What is trained in a step. The first level doesn't fade in; the others do, and then hold.
    pub fn stage(&self, step: u64) -> Stage {
        let (nth, first) = self.at(step);
        let Level { side_px, n_steps, fade, .. } = &self.levels[nth];
        let into = (step - first) as f64 / *n_steps as f64;
        let alpha = if nth == 0 || into >= *fade { 1.0 } else { into / fade };
        Stage { level: side_px.ilog2() as usize - 2, alpha }
    }

    /// Adam's rate in a step: up at the start, constant, then down along a cosine; times that of the level.
    pub fn rate(&self, step: u64) -> f64 {
        let warm = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
        let late = ((step as f64 / self.n_steps() as f64 - DECAY_FROM) / (1.0 - DECAY_FROM)).clamp(0.0, 1.0);
        let left = DECAY_TO + (1.0 - DECAY_TO) * 0.5 * (1.0 + (late * std::f64::consts::PI).cos());
        self.rate * self.level(step).rate * warm * left
    }
}

/// What a training without checkpoints ends with, in place of a network that says nothing.
pub fn not_finite(step: u64, rate: f64) -> Error {
    Error::Device(format!(
        "the loss is not a number at step {step}; begin again with --learning-rate {:e}",
        rate / 2.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(start_px: usize, side_px: usize, n_steps: u64) -> Schedule {
        levels(&even_levels(start_px, side_px, n_steps).expect("valid")).expect("valid")
    }

    fn levels(of: &[SideSteps]) -> Result<Schedule> {
        Schedule::new(of.iter().map(|l| Level::new(l.side_px, l.n_steps, 4)).collect(), 1e-3)
    }

    #[test]
    fn levels_come_in_order_and_fade_in() {
        let schedule = schedule(64, 128, 1000);
        assert_eq!(schedule.n_steps(), 1000);
        assert_eq!(schedule.stage(0), Stage { level: 4, alpha: 1.0 });
        assert_eq!(schedule.stage(399), Stage { level: 4, alpha: 1.0 });
        let fading = schedule.stage(460);
        assert!(fading.level == 5 && (fading.alpha - 0.5).abs() < 0.01, "{fading:?}");
        assert_eq!(schedule.stage(999), Stage { level: 5, alpha: 1.0 });
    }

    #[test]
    fn levels_are_data() {
        let schedule = levels(&["16:5", "32:10"].map(|text| text.parse().expect("valid"))).expect("doubles");
        assert_eq!((schedule.n_steps(), schedule.stage(4).level, schedule.stage(5).level), (15, 2, 3));
        for bad in ["64", "64:", "64:0", ":3", "a:b", "64:-1"] {
            assert!(bad.parse::<SideSteps>().is_err(), "{bad}");
        }
        for sides in [&[][..], &[64, 64], &[64, 256], &[48, 96], &[2, 4]] {
            let sides: Vec<_> = sides.iter().map(|px| SideSteps { side_px: *px, n_steps: 9 }).collect();
            assert!(levels(&sides).is_err(), "{sides:?}");
        }
        let good = Level::new(16, 9, 4);
        for bad in [
            Level { n_steps: 0, ..good.clone() },
            Level { fade: 1.5, ..good.clone() },
            Level { rate: f64::NAN, ..good.clone() },
            Level { batch: 0, ..good.clone() },
            Level { loss: LossWeights { l1: 0.0, dssim: 0.0, ..LossWeights::default() }, ..good.clone() },
            Level { loss: LossWeights { adversarial: -0.1, ..LossWeights::default() }, ..good.clone() },
            Level { side_px: 8, loss: LossWeights { adversarial: 0.1, ..good.loss }, ..good.clone() },
        ] {
            assert!(Schedule::new(vec![bad.clone()], 1e-3).is_err(), "{bad:?}");
        }
        let judged = Level { loss: LossWeights { adversarial: 0.1, ..good.loss }, ..good };
        assert!(Schedule::new(vec![judged], 1e-3).is_ok(), "a critic at 16 px");
    }

    #[test]
    fn each_level_has_its_own_fade_and_rate() {
        let levels = vec![
            Level::new(16, 1000, 4),
            Level { fade: 0.5, rate: 0.25, ..Level::new(32, 1000, 2) },
            Level { fade: 0.0, ..Level::new(64, 1000, 1) },
        ];
        let schedule = Schedule::new(levels, 1e-3).expect("doubles");
        assert_eq!(schedule.stage(1250), Stage { level: 3, alpha: 0.5 });
        assert_eq!(schedule.stage(2000), Stage { level: 4, alpha: 1.0 }, "no fade at all");
        assert!((schedule.rate(1000) - 0.25e-3).abs() < 1e-9 && (schedule.rate(999) - 1e-3).abs() < 1e-9);
        assert_eq!([999, 1000, 2999].map(|step| schedule.level(step).batch), [4, 2, 1]);
    }

    #[test]
    fn the_rate_rises_holds_and_falls() {
        let schedule = schedule(64, 64, 10_000);
        assert!(schedule.rate(0) < 1e-5);
        assert!((schedule.rate(5000) - 1e-3).abs() < 1e-9);
        assert!((schedule.rate(9999) - 8e-5).abs() < 1e-6);
    }
}
