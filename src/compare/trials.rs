//! Which moment is shown where, and what the answers mean.

use serde::Serialize;

use crate::digest::sha256;

/// The 97.5 % quantile of the standard normal distribution: an interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// What somebody chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// What stood on the left.
    Left,
    /// What stood on the right.
    Right,
}

impl Choice {
    /// The choice called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "left" => Some(Self::Left),
            "right" => Some(Self::Right),
            _ => None,
        }
    }
}

/// One showing.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// Its number from 0.
    pub nth: usize,
    /// Where in the clips it begins, seconds.
    pub start_s: f64,
    /// Whether the first video stands on the left.
    pub first_is_left: bool,
    /// What was chosen.
    pub choice: Option<Choice>,
}

/// All showings.
#[derive(Debug)]
pub struct Trials {
    all: Vec<Trial>,
    n_answered: usize,
    /// Seconds that each shows.
    pub seconds: f64,
    /// What the places follow from.
    pub seed: u64,
}

impl Trials {
    /// `n` moments spread over a clip of `length_s`, in random order. The first video stands on the left in half of
    /// them, so that a preference for a side can't pass for one of a video.
    pub fn new(n: usize, length_s: f64, seconds: f64, seed: u64) -> Self {
        let step = (length_s - seconds) / (n.max(2) - 1) as f64;
        let places = shuffled(n, seed, "place");
        let all =
            shuffled(n, seed, "moment").into_iter().zip(places).enumerate().map(|(nth, (moment, place))| {
                Trial { nth, start_s: moment as f64 * step, first_is_left: place % 2 == 0, choice: None }
            });
        Self { all: all.collect(), n_answered: 0, seconds, seed }
    }

    /// The one that waits for an answer.
    pub fn current(&self) -> Option<&Trial> {
        self.all.get(self.n_answered)
    }

    /// The trial of that number.
    pub fn nth(&self, nth: usize) -> Option<&Trial> {
        self.all.get(nth)
    }

    /// Takes the answer to trial `nth`, and says whether it was the one that waited. `as_named` notes that the
    /// first video stood on the left whatever was drawn.
    pub fn answer(&mut self, nth: usize, choice: Choice, as_named: bool) -> bool {
        let Some(trial) = self.all.get_mut(self.n_answered).filter(|trial| trial.nth == nth) else {
            return false;
        };
        trial.first_is_left |= as_named;
        trial.choice = Some(choice);
        self.n_answered += 1;
        true
    }

    /// Whether nothing is left to ask.
    pub fn is_done(&self) -> bool {
        self.n_answered == self.all.len()
    }

    /// Those that were answered.
    pub fn answered(&self) -> &[Trial] {
        &self.all[..self.n_answered]
    }

    /// What the answers so far say.
    pub fn verdict(&self) -> Verdict {
        let first =
            self.answered().iter().filter(|t| (t.choice == Some(Choice::Left)) == t.first_is_left).count();
        Verdict::of(first, self.n_answered)
    }
}

/// What the answers say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Answers.
    pub n: usize,
    /// Answers for the first video.
    pub n_first: usize,
    /// Their share; one half where nobody can tell.
    pub share_first: f64,
    /// Interval that holds the true share with 95 % confidence (Wilson 1927).
    pub interval_95: [f64; 2],
    /// How probable a share as far from one half is when nobody can tell: the exact two-sided binomial test.
    pub p_value: f64,
}

impl Verdict {
    /// From `n_first` answers of `n` for the first video.
    pub fn of(n_first: usize, n: usize) -> Self {
        if n == 0 {
            return Self { n, n_first, share_first: 0.5, interval_95: [0.0, 1.0], p_value: 1.0 };
        }
        let (count, p) = (n as f64, n_first as f64 / n as f64);
        let z2 = Z * Z / count;
        let middle = (p + z2 / 2.0) / (1.0 + z2);
        let reach = Z * (p * (1.0 - p) / count + z2 / (4.0 * count)).sqrt() / (1.0 + z2);
        let interval_95 = [(middle - reach).max(0.0), (middle + reach).min(1.0)];
        Self { n, n_first, share_first: p, interval_95, p_value: binomial_p(n_first, n) }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n, n_first, share_first, interval_95: [low, high], p_value } = self;
        let percent = share_first * 100.0;
        write!(f, "the first was chosen {n_first} times of {n}: {percent:.0} % ")?;
        write!(f, "(95 % interval {:.0} to {:.0} %, p = {p_value:.3}): ", low * 100.0, high * 100.0)?;
        f.write_str(match (*p_value < 0.05, *share_first > 0.5) {
            (false, _) => "no difference is shown",
            (true, true) => "the first is preferred",
            (true, false) => "the second is preferred",
        })
    }
}

/// Twice the smaller tail of a fair coin's binomial distribution, at most 1.
fn binomial_p(k: usize, n: usize) -> f64 {
    let tail = k.min(n - k);
    // Logarithms: 2^-n alone leaves the range of f64 above a thousand trials.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for i in 0..=tail {
        sum += log_term.exp();
        log_term += ((n - i) as f64 / (i + 1) as f64).ln();
    }
    (2.0 * sum).min(1.0)
}

/// The numbers 0..n in an order that follows from seed and purpose.
fn shuffled(n: usize, seed: u64, purpose: &str) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_cached_key(|i| sha256(format!("{seed} {purpose} {i}").as_bytes()));
    order
}
