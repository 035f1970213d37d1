//! What is learnt when, and how fast.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DistillSettings;
use crate::{Error, Result};

/// Steps over which the rate rises at the start.
const WARM_UP: u64 = 100;

/// Share of the rate that is left at the end.
const RATE_LEFT: f64 = 0.03;

/// What is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Part by part and level by level, through projections.
    Projection,
    /// End to end from the teacher's pictures.
    Perceptual,
    /// End to end from the truth.
    Truth,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Projection, Self::Perceptual, Self::Truth];

    /// The phase called `name`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the known names.
    pub fn by_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|phase| phase.to_string() == name);
        found.ok_or_else(|| Error::setting("--stages", name, "must be projection, perceptual or truth"))
    }

    /// How much of the steps it gets, beside the others.
    fn share(self) -> u64 {
        match self {
            Self::Projection | Self::Perceptual => 2,
            Self::Truth => 1,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Projection => "projection",
            Self::Perceptual => "perceptual",
            Self::Truth => "truth",
        })
    }
}

/// The plan of a distillation: every step's phase and rate follow from its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The phases in their order.
    pub phases: Vec<Phase>,
    /// Steps in all.
    pub n_steps: u64,
    rate: f64,
}

impl Plan {
    /// The plan that follows from the settings.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for phases out of order, fewer steps than phases, and truth or a control where no face
    /// has a truth.
    pub fn new(settings: &DistillSettings, has_truth: bool) -> Result<Self> {
        let mut phases = settings.phases.clone();
        let names = || phases.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        if phases.windows(2).any(|two| two[0] as u8 >= two[1] as u8) {
            let reason = "must be some of projection,perceptual,truth in this order";
            return Err(Error::setting("--stages", names(), reason));
        }
        if !has_truth && (settings.control || phases.contains(&Phase::Truth)) {
            let (name, value) =
                if settings.control { ("--control", String::new()) } else { ("--stages", names()) };
            let reason = "needs faces whose truth is known: --own FOLDER with the identity's own faces, or sets that \
                          `extract --truth` made";
            return Err(Error::setting(name, value, reason));
        }
        if phases.is_empty() {
            phases = Phase::ALL.into_iter().filter(|phase| has_truth || *phase != Phase::Truth).collect();
        }
        let n_steps = settings.max_steps;
        if n_steps < phases.len() as u64 {
            return Err(Error::setting("--steps", n_steps, format!("must be {} or more", phases.len())));
        }
        Ok(Self { phases, n_steps, rate: settings.learning_rate })
    }

    /// What is learnt in a step.
    pub fn phase(&self, step: u64) -> Phase {
        let all: u64 = self.phases.iter().map(|phase| phase.share()).sum();
        let mut end = 0;
        for phase in &self.phases {
            end += phase.share();
            if step * all < end * self.n_steps {
                return *phase;
            }
        }
        self.phases[self.phases.len() - 1]
    }

    /// Adam's rate in a step: up at the start, then down along a cosine.
    pub fn rate(&self, step: u64) -> f64 {
        let warm = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
        let done = step as f64 / self.n_steps as f64;
        let left = RATE_LEFT + (1.0 - RATE_LEFT) * 0.5 * (1.0 + (done * std::f64::consts::PI).cos());
        self.rate * warm * left
    }
}

#[cfg(test)]
mod tests {
    use Phase::{Perceptual, Projection, Truth};

    use super::*;

    fn plan(phases: &[Phase], max_steps: u64, has_truth: bool) -> Result<Plan> {
        let settings = DistillSettings::new("B".into(), "B.fast".into());
        Plan::new(&DistillSettings { phases: phases.to_vec(), max_steps, ..settings }, has_truth)
    }

    #[test]
    fn phases_come_in_order_and_share_the_steps() {
        let three = plan(&[], 1000, true).expect("valid");
        let phases: Vec<Phase> = [0, 399, 400, 799, 800, 999].map(|step| three.phase(step)).to_vec();
        assert_eq!(phases, [Projection, Projection, Perceptual, Perceptual, Truth, Truth]);
        let two = plan(&[], 1000, false).expect("valid");
        assert_eq!((two.phase(499), two.phase(500)), (Projection, Perceptual));
        let one = plan(&[Truth], 10, true).expect("valid");
        assert_eq!((one.phase(0), one.phase(9)), (Truth, Truth));
        assert!(three.rate(0) < 1e-4 && three.rate(200) > 8e-4 && three.rate(999) < 4e-5);
    }

    #[test]
    fn plans_that_cannot_be_are_said() {
        let refusal = |phases: &[Phase], n, truth| plan(phases, n, truth).expect_err("no plan").to_string();
        assert!(refusal(&[Truth, Projection], 10, true).contains("in this order"));
        assert!(refusal(&[Truth, Truth], 10, true).contains("in this order"));
        assert!(refusal(&[Truth], 10, false).contains("--own"));
        assert!(refusal(&[], 2, true).contains("3 or more"));
        assert!(Phase::by_name("fast").is_err());
    }
}
