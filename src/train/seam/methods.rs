//! The ways to teach, as loops.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use burn::{
    module::{AutodiffModule, Module},
    optim::{Adam, GradientsParams, Optimizer, adaptor::OptimizerAdaptor},
    tensor::{
        Distribution, Int, Tensor, TensorData,
        activation::{log_sigmoid, log_softmax, softmax},
        backend::{AutodiffBackend, Backend},
    },
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::Serialize;

use super::{
    SeamReport, SeamRow, SeamSettings,
    net::{Classifier, N_CLASSES, Shape},
    patches::Patches,
};
use crate::{
    Error, Result,
    train::{data::mixed, optimizer::adam, preview::tensor_from_array, seeded::seeded},
};

const TEACHER: Shape = Shape { widths: [16, 32, 64], depth: 2 };
const STUDENT: Shape = Shape { widths: [8, 16, 16], depth: 1 };
const DISCRIMINATOR: Shape = Shape { widths: [8, 16, 16], depth: 1 };

/// Adam's rate, as published for KDGAN, and the share of the steps after which it falls, down to a tenth.
const LEARNING_RATE: f64 = 1e-3;
const FALLS_AFTER: f64 = 0.6;
const FALLS_TO: f64 = 0.1;

/// Temperature of soft targets, and weight of the hard labels beside them.
const TEMPERATURE: f64 = 3.0;
const ALPHA: f64 = 1.0;

/// KDGAN: the classifier's share of the labels that are held against the true ones, and how much each player learns from
/// the other's logits.
const SHARE: f64 = 0.5;
const BETA: f64 = 0.1;
const GAMMA: f64 = 0.01;

/// Temperature of the Gumbel softmax: first, factor after each pass over the patches, last.
const TAU: (f64, f64, f64) = (10.0, 0.88, 0.1);

/// Share of the steps in which KDGAN's classifier learns from labels alone, before the game.
const BEFORE_THE_GAME: f64 = 1.0 / 3.0;

/// Patches that are scored at once.
const SCORED_AT_ONCE: usize = 200;

/// A way to teach a student, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The large network, from labels.
    Teacher,
    /// The small one, from labels.
    Baseline,
    /// Half the squared difference of its logits and the teacher's; no labels.
    Mimic,
    /// `T^2` times the cross entropy with the teacher's soft targets, and that with the labels.
    Distillation,
    /// Classifier, teacher and discriminator together.
    Kdgan,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Teacher => "teacher",
            Self::Baseline => "student, labels alone",
            Self::Mimic => "student, logit matching",
            Self::Distillation => "student, soft targets",
            Self::Kdgan => "student, KDGAN",
        })
    }
}

/// The methods in the order of the table.
const METHODS: [Method; 5] =
    [Method::Teacher, Method::Baseline, Method::Mimic, Method::Distillation, Method::Kdgan];

/// Trains everything on the device of `B`; see [`super::compare_seam_students`].
///
/// # Errors
/// As there.
pub(crate) fn run<B: AutodiffBackend>(
    settings: &SeamSettings,
    lesson: &Patches,
    exam: &Patches,
    device: &B::Device,
    tell: &mut dyn FnMut(&str),
    stop: &AtomicBool,
) -> Result<SeamReport> {
    let mut scores = METHODS.map(|_| Vec::new());
    let mut sizes = METHODS.map(|_| (0, 0.0));
    for seed in 1..=settings.n_seeds {
        let school = School::<B>::new(settings, lesson, device, seed, stop);
        let mut teacher = None;
        for (i, method) in METHODS.into_iter().enumerate() {
            let network = match (method, &teacher) {
                (Method::Teacher, _) | (_, None) => school.taught(TEACHER, &mut Ways::Labels)?,
                (Method::Baseline, _) => school.taught(STUDENT, &mut Ways::Labels)?,
                (Method::Mimic, Some(teacher)) => school.taught(STUDENT, &mut Ways::Logits(teacher))?,
                (Method::Distillation, Some(teacher)) => school.taught(STUDENT, &mut Ways::Soft(teacher))?,
                (Method::Kdgan, Some(teacher)) => {
                    let mut game = Ways::Game(Box::new(school.game(teacher)));
                    school.taught(STUDENT, &mut game)?
                }
            };
            let shape = if method == Method::Teacher { TEACHER } else { STUDENT };
            sizes[i] = (network.num_params(), shape.mmac());
            let right = accuracy(&network.valid(), exam, device);
            tell(&format!("seed {seed}/{}: {method}: {:.1} % right", settings.n_seeds, right * 100.0));
            scores[i].push(right);
            if method == Method::Teacher {
                teacher = Some(network);
            }
        }
    }
    let rows = METHODS.into_iter().zip(sizes).zip(scores);
    Ok(SeamReport {
        steps: settings.n_steps,
        batch: settings.batch,
        patches: [lesson.labels.len(), exam.labels.len()],
        rows: rows.map(|((method, size), scores)| SeamRow::new(method, size, scores)).collect(),
    })
}

/// What a network learns from.
enum Ways<'a, B: AutodiffBackend> {
    Labels,
    Logits(&'a Classifier<B>),
    Soft(&'a Classifier<B>),
    Game(Box<Game<B>>),
}

/// The other two players of KDGAN's game.
struct Game<B: AutodiffBackend> {
    teacher: Classifier<B>,
    discriminator: Classifier<B>,
    optimizers: [Learner<B>; 2],
}

type Learner<B> = OptimizerAdaptor<Adam, Classifier<B>, B>;

/// One seed's lessons.
struct School<'a, B: AutodiffBackend> {
    settings: &'a SeamSettings,
    lesson: &'a Patches,
    device: &'a B::Device,
    seed: u64,
    stop: &'a AtomicBool,
}

impl<'a, B: AutodiffBackend> School<'a, B> {
    fn new(
        settings: &'a SeamSettings,
        lesson: &'a Patches,
        device: &'a B::Device,
        seed: u64,
        stop: &'a AtomicBool,
    ) -> Self {
        Self { settings, lesson, device, seed, stop }
    }

    fn learner() -> Learner<B> {
        adam().init()
    }

    fn game(&self, teacher: &Classifier<B>) -> Game<B> {
        Game {
            teacher: teacher.clone(),
            discriminator: seeded(self.device, mixed(&[self.seed, 3]), || {
                Classifier::new(DISCRIMINATOR, self.device)
            }),
            optimizers: [Self::learner(), Self::learner()],
        }
    }

    /// A network of this shape after all steps. All students of a seed begin with the same weights and see the same
    /// patches in the same order.
    fn taught(&self, shape: Shape, way: &mut Ways<'_, B>) -> Result<Classifier<B>> {
        let fresh = || Classifier::<B>::new(shape, self.device);
        let mut network = seeded(self.device, mixed(&[self.seed, 1]), fresh);
        let mut learner = Self::learner();
        let mut rng = SmallRng::seed_from_u64(mixed(&[self.seed, 2]));
        let n = self.lesson.labels.len();
        for step in 0..self.settings.n_steps {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let indices: Vec<usize> = (0..self.settings.batch).map(|_| rng.random_range(0..n)).collect();
            let (pixels, labels) = self.lesson.some(&indices);
            let x = tensor_from_array::<B>(&pixels, self.device);
            let wanted = one_hot::<B>(&labels, self.device);
            let share = step as f64 / self.settings.n_steps as f64;
            let fallen = ((share - FALLS_AFTER) / (1.0 - FALLS_AFTER)).max(0.0);
            let rate = LEARNING_RATE * (1.0 - fallen * (1.0 - FALLS_TO));
            let own = network.forward(x.clone());
            let loss = match way {
                Ways::Labels => cross_entropy(own, wanted, 1.0),
                Ways::Logits(teacher) => matching(own, teacher.valid().forward(x.inner())),
                Ways::Soft(teacher) => {
                    let soft = softmax(teacher.valid().forward(x.inner()) / TEMPERATURE, 1);
                    cross_entropy(own.clone(), Tensor::from_inner(soft), TEMPERATURE) * TEMPERATURE.powi(2)
                        + cross_entropy(own, wanted, 1.0) * ALPHA
                }
                Ways::Game(game) => {
                    if share < BEFORE_THE_GAME {
                        cross_entropy(own, wanted, 1.0)
                    } else {
                        let begin = self.settings.n_steps as f64 * BEFORE_THE_GAME;
                        let passes = (step as f64 - begin) * self.settings.batch as f64 / n as f64;
                        let tau = (TAU.0 * TAU.1.powf(passes.floor())).max(TAU.2);
                        game.play(&x, own, wanted, tau, rate)
                    }
                }
            };
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = learner.step(rate, network, gradients);
        }
        Ok(network)
    }
}

impl<B: AutodiffBackend> Game<B> {
    /// One move of discriminator and teacher. Gives the classifier's loss: what the discriminator tells from true
    /// labels, and the teacher's lesson. The terms are those of [`Game::value`](crate::train::soft_targets::Game::value),
    /// the expectation over labels being a soft draw.
    fn play(
        &mut self,
        x: &Tensor<B, 4>,
        classifier: Tensor<B, 2>,
        wanted: Tensor<B, 2>,
        tau: f64,
        rate: f64,
    ) -> Tensor<B, 1> {
        let teacher = self.teacher.forward(x.clone());
        let by_classifier = soft_draw(classifier.clone(), tau);
        let by_teacher = soft_draw(teacher.clone(), tau);
        let believed = |logits: Tensor<B, 2>, label: Tensor<B, 2>| (logits * label).sum_dim(1);
        let refused = |logits, label| log_sigmoid(believed(logits, label).neg()).mean();

        let judged = self.discriminator.forward(x.clone());
        let value = log_sigmoid(believed(judged.clone(), wanted)).mean()
            + refused(judged.clone(), by_classifier.clone().detach()) * SHARE
            + refused(judged.clone(), by_teacher.clone().detach()) * (1.0 - SHARE);
        let gradients = GradientsParams::from_grads(value.neg().backward(), &self.discriminator);
        self.discriminator = self.optimizers[0].step(rate, self.discriminator.clone(), gradients);

        let judged = judged.detach();
        let of_teacher = refused(judged.clone(), by_teacher) * (1.0 - SHARE)
            + matching(teacher.clone(), classifier.clone().inner()) * GAMMA;
        let gradients = GradientsParams::from_grads(of_teacher.backward(), &self.teacher);
        self.teacher = self.optimizers[1].step(rate, self.teacher.clone(), gradients);

        refused(judged, by_classifier) * SHARE + matching(classifier, teacher.inner()) * BETA
    }
}

/// A soft draw of a label, [`gumbel_softmax`](crate::train::soft_targets::gumbel_softmax) on tensors.
fn soft_draw<B: AutodiffBackend>(logits: Tensor<B, 2>, tau: f64) -> Tensor<B, 2> {
    let even = Distribution::Uniform(1e-6, 1.0 - 1e-6);
    let noise = Tensor::<B, 2>::random(logits.dims(), even, &logits.device()).log().neg().log().neg();
    softmax((log_softmax(logits, 1) + noise) / tau, 1)
}

/// Cross entropy with probabilities, both at a temperature; mean over the batch.
pub(super) fn cross_entropy<B: Backend>(
    logits: Tensor<B, 2>,
    wanted: Tensor<B, 2>,
    temperature: f64,
) -> Tensor<B, 1> {
    (log_softmax(logits / temperature, 1) * wanted).sum_dim(1).mean().neg()
}

/// Half the mean squared difference of logits to those of the one who teaches.
pub(super) fn matching<B: AutodiffBackend>(
    logits: Tensor<B, 2>,
    taught: Tensor<B::InnerBackend, 2>,
) -> Tensor<B, 1> {
    (logits - Tensor::from_inner(taught)).powi_scalar(2).mean() * 0.5
}

fn one_hot<B: Backend>(labels: &[usize], device: &B::Device) -> Tensor<B, 2> {
    let values: Vec<f32> =
        labels.iter().flat_map(|label| (0..N_CLASSES).map(|i| f32::from(u8::from(i == *label)))).collect();
    Tensor::from_data(TensorData::new(values, [labels.len(), N_CLASSES]), device)
}

/// Share of the patches whose label is the network's.
fn accuracy<B: Backend>(network: &Classifier<B>, exam: &Patches, device: &B::Device) -> f64 {
    let n = exam.labels.len();
    let indices: Vec<usize> = (0..n).collect();
    let mut n_right = 0;
    for some in indices.chunks(SCORED_AT_ONCE) {
        let (pixels, labels) = exam.some(some);
        let said: Tensor<B, 2, Int> = network.forward(tensor_from_array(&pixels, device)).argmax(1);
        let said = said.into_data();
        n_right += said.iter::<i64>().zip(labels).filter(|(said, label)| *said == *label as i64).count();
    }
    n_right as f64 / n as f64
}
