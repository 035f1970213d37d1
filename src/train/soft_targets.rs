//! Distillation of classifiers: losses over the logits of one sample (Hinton, Vinyals and Dean, "Distilling the
//! knowledge in a neural network", 2015), and the value of KDGAN's game (Wang, Zhang, Sun and Qi, "KDGAN: knowledge
//! distillation with generative adversarial networks", 2018).
//!
//! The networks of this program give pictures, which are compared directly ([`super::distill`]); these are the
//! functions for those that give classes.

/// Probabilities of logits at a temperature above 0: `softmax(x, T)_i = exp(x_i / T) / sum_j exp(x_j / T)`. The
/// warmer, the softer.
pub fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|x| ((x - largest) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Logarithms of [`softmax`], exact where a probability is too small for a number.
fn log_softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let scaled: Vec<f64> = logits.iter().map(|x| (x - largest) / temperature).collect();
    let log_sum = scaled.iter().map(|x| x.exp()).sum::<f64>().ln();
    scaled.into_iter().map(|x| x - log_sum).collect()
}

/// Cross entropy of a student's logits with the probabilities `wanted`, both at a temperature, in nats.
///
/// # Panics
/// If the lengths differ.
pub fn cross_entropy(student: &[f64], wanted: &[f64], temperature: f64) -> f64 {
    assert_eq!(student.len(), wanted.len(), "as many classes");
    -log_softmax(student, temperature).iter().zip(wanted).map(|(log, p)| log * p).sum::<f64>()
}

/// Cross entropy of a student's logits with its teacher's at one temperature; needs no label.
///
/// # Panics
/// If the lengths differ.
pub fn distillation_loss(student: &[f64], teacher: &[f64], temperature: f64) -> f64 {
    cross_entropy(student, &softmax(teacher, temperature), temperature)
}

/// The gradient of [`distillation_loss`] by the student's logits, `(q_i - p_i) / T`. Where the temperature is high
/// against the logits and these have a mean of 0, it tends to `(z_i - v_i) / (N T^2)`: logits are matched.
///
/// # Panics
/// If the lengths differ.
pub fn distillation_gradient(student: &[f64], teacher: &[f64], temperature: f64) -> Vec<f64> {
    assert_eq!(student.len(), teacher.len(), "as many classes");
    let (q, p) = (softmax(student, temperature), softmax(teacher, temperature));
    q.iter().zip(&p).map(|(q, p)| (q - p) / temperature).collect()
}

/// Plain cross entropy with the class that is right, at a temperature of 1.
///
/// # Panics
/// If there is no class `label`.
pub fn student_loss(student: &[f64], label: usize) -> f64 {
    -log_softmax(student, 1.0)[label]
}

/// How soft targets and hard labels are weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Softness {
    /// Temperature of the soft targets, above 0.
    pub temperature: f64,
    /// Weight of the distillation term: 1, or 0 to learn from labels alone.
    pub distill: f64,
    /// Weight of the hard labels.
    pub alpha: f64,
}

impl Softness {
    /// `T^2 * loss_distill + alpha * loss_student`. The square keeps the soft term's gradient as large as it was at
    /// T = 1. A sample without a label has no second term.
    ///
    /// # Panics
    /// If the lengths differ, or there is no class `label`.
    pub fn loss(&self, student: &[f64], teacher: &[f64], label: Option<usize>) -> f64 {
        let soft = self.temperature.powi(2) * distillation_loss(student, teacher, self.temperature);
        let hard = label.map_or(0.0, |label| student_loss(student, label));
        self.distill * soft + self.alpha * hard
    }
}

/// Half the mean squared difference of logits: what high temperatures tend to, scaled by `T^2`.
///
/// # Panics
/// If the lengths differ.
pub fn logit_matching_loss(student: &[f64], teacher: &[f64]) -> f64 {
    assert_eq!(student.len(), teacher.len(), "as many classes");
    let sum: f64 = student.iter().zip(teacher).map(|(z, v)| (z - v).powi(2)).sum();
    sum / (2.0 * student.len() as f64)
}

/// The players' logits for one sample: classifier and teacher say which label, the discriminator whether a label is a
/// true one.
#[derive(Debug, Clone, Copy)]
pub struct Game<'a> {
    /// The classifier's logits by label.
    pub classifier: &'a [f64],
    /// The teacher's.
    pub teacher: &'a [f64],
    /// The discriminator's logit of "true" by label.
    pub discriminator: &'a [f64],
    /// The true label.
    pub label: usize,
    /// How much the classifier's labels count against the teacher's, 0..=1.
    pub alpha: f64,
    /// Weight of the teacher's lesson to the classifier.
    pub beta: f64,
    /// Weight of the classifier's lesson to the teacher.
    pub gamma: f64,
}

impl Game<'_> {
    /// The value that the discriminator makes large and the other two make small:
    /// `log D(y) + alpha E_c[log(1 - D)] + (1 - alpha) E_t[log(1 - D)] + beta L(c, t) + gamma L(t, c)`, with the
    /// lessons as half squared differences of logits, each of which moves the one who learns alone. The expectation over
    /// labels is a sum here; a sampler needs the Gumbel trick in its place.
    ///
    /// # Panics
    /// If the lengths differ, or there is no class `label`.
    pub fn value(&self) -> f64 {
        let fooled = |player: &[f64]| -> f64 {
            softmax(player, 1.0).iter().zip(self.discriminator).map(|(p, d)| p * log_sigmoid(-d)).sum()
        };
        log_sigmoid(self.discriminator[self.label])
            + self.alpha * fooled(self.classifier)
            + (1.0 - self.alpha) * fooled(self.teacher)
            + (self.beta + self.gamma) * logit_matching_loss(self.classifier, self.teacher)
    }

    /// The gradient of [`Self::value`] by the discriminator's logits.
    pub fn discriminator_gradient(&self) -> Vec<f64> {
        let (c, t) = (softmax(self.classifier, 1.0), softmax(self.teacher, 1.0));
        (0..self.discriminator.len())
            .map(|i| {
                let d = sigmoid(self.discriminator[i]);
                let fake = self.alpha * c[i] + (1.0 - self.alpha) * t[i];
                f64::from(u8::from(i == self.label)) * (1.0 - d) - fake * d
            })
            .collect()
    }

    /// The gradient by the classifier's logits of what moves it: the game, and the teacher's lesson.
    pub fn classifier_gradient(&self) -> Vec<f64> {
        self.player_gradient(self.classifier, self.teacher, self.alpha, self.beta)
    }

    /// The same for the teacher.
    pub fn teacher_gradient(&self) -> Vec<f64> {
        self.player_gradient(self.teacher, self.classifier, 1.0 - self.alpha, self.gamma)
    }

    fn player_gradient(&self, own: &[f64], other: &[f64], share: f64, lesson: f64) -> Vec<f64> {
        let p = softmax(own, 1.0);
        let reward: Vec<f64> = self.discriminator.iter().map(|d| log_sigmoid(-d)).collect();
        let mean: f64 = p.iter().zip(&reward).map(|(p, r)| p * r).sum();
        let n = own.len() as f64;
        (0..own.len()).map(|i| share * p[i] * (reward[i] - mean) + lesson * (own[i] - other[i]) / n).collect()
    }
}

/// A soft draw of a label (Gumbel softmax; Jang, Gu and Poole, 2017): `softmax((log p - log(-log u)) / tau)` with
/// `uniform` in 0..1, one number for each class. It tends to the draw itself as `tau` falls.
///
/// # Panics
/// If the lengths differ.
pub fn gumbel_softmax(logits: &[f64], uniform: &[f64], tau: f64) -> Vec<f64> {
    assert_eq!(logits.len(), uniform.len(), "a number for each class");
    let noisy: Vec<f64> =
        log_softmax(logits, 1.0).iter().zip(uniform).map(|(log, u)| log - (-u.ln()).ln()).collect();
    softmax(&noisy, tau)
}

fn sigmoid(x: f64) -> f64 {
    log_sigmoid(x).exp()
}

fn log_sigmoid(x: f64) -> f64 {
    -(-x.abs()).exp().ln_1p() + x.min(0.0)
}

#[cfg(test)]
#[path = "soft_targets_tests.rs"]
mod tests;
