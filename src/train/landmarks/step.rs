//! The loop on one backend, and the figures afterwards.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use burn::{
    module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    optim::{GradientsParams, Optimizer},
    tensor::{
        Tensor, TensorData,
        backend::{AutodiffBackend, Backend},
    },
};
use ndarray::Array2;

use super::{
    LandmarkProgress, LandmarkReport, LandmarkSettings,
    data::{Faces, Looks},
    graph::{Plan, Said, Weights},
};
use crate::{
    Error, Result,
    face::{mesh, mesh_network},
    line,
    resume::durable,
    train::{
        average,
        data::n_loaders,
        optimizer::adam,
        preview::tensor_from_array,
        schedule::{Level, Schedule, not_finite},
    },
};

/// Steps between two lines of the log.
const TELL_EVERY: u64 = 20;

/// Lines of the log between two writes of the network.
const TELLS_PER_SAVE: u64 = 10;

/// How much the points of brows, eyes and lips count, beside the others.
const WEIGHT_FEATURES: f32 = 2.0;

/// Weight of the depths' loss, whose labels are the teacher's.
const WEIGHT_DEPTH: f64 = 0.3;

/// Weight of the presence's loss, likewise.
const WEIGHT_PRESENCE: f64 = 0.2;

/// Faces that are measured on, at most, and looks at each.
const N_MEASURED: (usize, usize) = (100, 8);

/// Trains on the device of `B`; see [`super::distill_landmarks`].
///
/// # Errors
/// As there.
pub fn run<B: AutodiffBackend>(
    settings: &LandmarkSettings,
    lesson: &Faces,
    exam: Option<&Faces>,
    device: &B::Device,
    tell: &mut dyn FnMut(&LandmarkProgress),
    stop: &AtomicBool,
) -> Result<Option<LandmarkReport>> {
    let wrong = |reason: String| Error::model(mesh_network::NAME, reason);
    let (plan, own) = Plan::read::<B>(mesh_network::NETWORK, device).map_err(wrong)?;
    let teacher = own.valid();
    let mut student = match &settings.init {
        Some(path) => begun::<B>(path, &plan, device)?,
        None => own,
    };
    let mut average = student.valid();
    let mut optimizer = adam().init::<B, Weights<B>>();
    let level = Level::new(mesh_network::SIDE, settings.n_steps, settings.batch);
    let schedule = Schedule::new(vec![level], settings.learning_rate)?;
    let weights = feature_weights::<B>(device);
    let paces = Paces::of(&average);
    let write = |weights: &Weights<B::InnerBackend>| {
        let bytes = plan.written(weights).map_err(wrong)?;
        durable::replace_file(&settings.out, &bytes)
    };
    let steps = (0..settings.n_steps).take_while(|_| !stop.load(Ordering::Relaxed)).map(Ok);
    let draw = |step| Ok((step, lesson.batch(settings.batch, step, settings.seed)));
    let (mut told, mut sums) = (Instant::now(), [0.0; 3]);
    line::run(|mut line| {
        let steps = line.source("steps", steps)?;
        let batches = line.parallel("draw", steps, vec![draw; n_loaders()])?;
        line.drain_while("step", batches, |(step, looks): (u64, Looks)| {
            let begun = plan.begin(&teacher, tensor_from_array(&looks.pictures, device));
            let said = plan.end(&student, Plan::with_graph(&begun));
            let before = plan.end(&teacher, begun);
            let targets = Targets::<B>::new(&looks, &before, device);
            let loss = targets.loss(&said, &weights);
            if !number(loss.clone().inner()).is_finite() {
                return Err(not_finite(step, settings.learning_rate));
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &student);
            let stepped = optimizer.step(schedule.rate(step), student.clone(), gradients);
            let pace = |id| paces.0.get(&id).copied().unwrap_or(0.0);
            let paced = average::towards(student.valid(), &stepped.valid(), pace);
            student = Weights::from_inner(paced).map(&mut Learning);
            average = average::follow(average.clone(), &student.valid(), step);
            let (n, distances) = targets.distances([said.points.inner(), before.points]);
            sums = [sums[0] + n, sums[1] + distances[0], sums[2] + distances[1]];
            let done = step + 1;
            if done.is_multiple_of(TELL_EVERY) || done == settings.n_steps {
                let n_steps = if done.is_multiple_of(TELL_EVERY) { TELL_EVERY } else { done % TELL_EVERY };
                tell(&LandmarkProgress {
                    step: done,
                    n_steps: settings.n_steps,
                    samples_per_s: (n_steps * settings.batch as u64) as f64 / told.elapsed().as_secs_f64(),
                    student_px: sums[1] / sums[0].max(1.0),
                    teacher_px: sums[2] / sums[0].max(1.0),
                });
                (told, sums) = (Instant::now(), [0.0; 3]);
            }
            if done.is_multiple_of(TELL_EVERY * TELLS_PER_SAVE) {
                write(&average)?;
            }
            // Those drawn ahead are not waited for.
            Ok(!stop.load(Ordering::Relaxed))
        })
    })?;
    write(&average)?;
    Ok(exam.map(|faces| measured(&plan, [&average, &teacher], faces, settings.seed, device)))
}

/// The weights of an earlier training, whose finer layers must be those of the program's network, `own`.
fn begun<B: AutodiffBackend>(path: &Path, own: &Plan, device: &B::Device) -> Result<Weights<B>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let (plan, weights) = Plan::read::<B>(&bytes, device).map_err(|reason| Error::model(path, reason))?;
    if plan.differs_in_what_learns(own) {
        Ok(weights)
    } else {
        Err(Error::model(path, "is no network that `faceswap distill-landmarks` wrote"))
    }
}

/// How far each parameter goes in a step: by its root mean square. Those of the network differ a hundredfold in size, since
/// its batch norms are folded into them, and what is a small step for one would be the end of another.
struct Paces(HashMap<ParamId, f64>);

impl Paces {
    fn of<B: Backend>(weights: &Weights<B>) -> Self {
        let mut paces = Self(HashMap::new());
        weights.visit(&mut paces);
        paces
    }
}

impl<B: Backend> ModuleVisitor<B> for Paces {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let square: Tensor<B, 1> = param.val().powi_scalar(2).mean();
        self.0.insert(param.id, number(square).sqrt());
    }
}

/// Weights that came from a backend without gradients want them again.
struct Learning;

impl<B: AutodiffBackend> ModuleMapper<B> for Learning {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param.map(Tensor::require_grad)
    }
}

/// How much each coordinate counts, `[1, 2 points]`.
fn feature_weights<B: Backend>(device: &B::Device) -> Tensor<B, 2> {
    let mut weights = vec![1.0_f32; mesh::N_POINTS];
    mesh::features().chain(mesh::N_SKIN..mesh::N_POINTS).for_each(|point| weights[point] = WEIGHT_FEATURES);
    let both: Vec<f32> = weights.iter().flat_map(|w| [*w, *w]).collect();
    let n = both.len();
    Tensor::from_data(TensorData::new(both, [1, n]), device)
}

/// What shall be said.
struct Targets<B: AutodiffBackend> {
    points: Tensor<B, 2>,
    counts: Tensor<B, 2>,
    depths: Tensor<B, 2>,
    presence: Tensor<B, 2>,
}

impl<B: AutodiffBackend> Targets<B> {
    fn new(looks: &Looks, before: &Said<B::InnerBackend>, device: &B::Device) -> Self {
        Self {
            points: tensor(&looks.points, device),
            counts: tensor(&looks.counts, device),
            depths: Tensor::from_inner(split(before.points.clone()).1),
            presence: Tensor::from_inner(before.presence.clone()),
        }
    }

    /// Mean distances of coordinates, pixels, rounded off below one (Charbonnier); those of presence in logits.
    fn loss(&self, said: &Said<B>, weights: &Tensor<B, 2>) -> Tensor<B, 1> {
        let (points, depths) = split(said.points.clone());
        let distance = |d: Tensor<B, 2>| (d.powi_scalar(2) + 1.0).sqrt() - 1.0;
        let of_points = distance(points - self.points.clone()) * weights.clone() * self.counts.clone();
        let of_depths = distance(depths - self.depths.clone()) * self.counts.clone();
        let of_presence = distance(said.presence.clone() - self.presence.clone());
        of_points.mean() + of_depths.mean() * WEIGHT_DEPTH + of_presence.mean() * WEIGHT_PRESENCE
    }

    /// The looks that count, and the sums over them of the mean distance of each's points to their labels, pixels.
    fn distances(&self, points: [Tensor<B::InnerBackend, 2>; 2]) -> (f64, [f64; 2]) {
        let (labels, counts) = (self.points.clone().inner(), self.counts.clone().inner());
        let sum = |points| {
            let d = distances(split(points).0, labels.clone());
            number((d.mean_dim(1) * counts.clone()).sum())
        };
        (number(counts.clone().sum()), points.map(sum))
    }
}

/// Coordinates in the picture, `[batch, 2 points]`, and depths, `[batch, points]`.
fn split<B: Backend>(points: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let [batch, n] = points.dims();
    let apart = points.reshape([batch, n / 3, 3]);
    let flat = apart.clone().narrow(2, 0, 2).reshape([batch, n / 3 * 2]);
    (flat, apart.narrow(2, 2, 1).reshape([batch, n / 3]))
}

/// Distances of points, `[batch, points]`, of coordinates `[batch, 2 points]`.
fn distances<B: Backend>(a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    let [batch, n] = a.dims();
    let squares = (a - b).powi_scalar(2).reshape([batch, n / 2, 2]).sum_dim(2);
    squares.reshape([batch, n / 2]).sqrt()
}

fn tensor<B: Backend>(array: &Array2<f32>, device: &B::Device) -> Tensor<B, 2> {
    let shape = [array.nrows(), array.ncols()];
    Tensor::from_data(TensorData::new(array.iter().copied().collect::<Vec<_>>(), shape), device)
}

fn number<B: Backend>(tensor: Tensor<B, 1>) -> f64 {
    tensor.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}

/// Both networks on looks at faces that lie as near as in a swap.
fn measured<B: Backend>(
    plan: &Plan,
    networks: [&Weights<B>; 2],
    faces: &Faces,
    seed: u64,
    device: &B::Device,
) -> LandmarkReport {
    let (most, n_looks) = N_MEASURED;
    let n = faces.len().min(most);
    let mut report = LandmarkReport { error_px: [0.0; 2], spread_px: [0.0; 2] };
    for i in 0..n {
        let looks = faces.looks(i * faces.len() / n, n_looks, seed);
        let labels = tensor::<B>(&looks.points, device);
        for (network, weights) in networks.into_iter().enumerate() {
            let pictures = tensor_from_array(&looks.pictures, device);
            let points = split(plan.end(weights, plan.begin(weights, pictures)).points).0;
            // Looks lie differently: what is left after their labels is what they have in common.
            let off = points.clone() - labels.clone();
            let common = off.clone().mean_dim(0);
            report.error_px[network] += number(distances(points, labels.clone()).mean()) / n as f64;
            let zeros = off.zeros_like();
            report.spread_px[network] += number(distances(off - common, zeros).mean()) / n as f64;
        }
    }
    report
}
