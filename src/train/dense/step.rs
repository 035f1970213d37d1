//! The loop of a training of labels on one backend.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use burn::{
    module::AutodiffModule,
    optim::{GradientsParams, Optimizer},
    tensor::{
        Tensor,
        activation::{log_sigmoid, sigmoid},
        backend::{AutodiffBackend, Backend},
    },
};
use image::{RgbImage, imageops};
use ndarray::{Array3, Axis};

use super::{
    LabelProgress, LabelSettings,
    data::{Batch, Faces},
    unet::{Logits, Unet, unet_onnx},
};
use crate::{
    Error, Result,
    face_set::rgb8_from_crop,
    line,
    resume::durable,
    train::{
        average,
        data::n_loaders,
        onnx::Weights,
        optimizer::adam,
        preview::{array_from_tensor, tensor_from_array},
        schedule::{Level, Schedule, not_finite},
        seeded::seeded,
    },
};

/// Steps between two lines of the log.
const TELL_EVERY: u64 = 10;

/// Lines of the log between two writes of the network.
const TELLS_PER_SAVE: u64 = 25;

/// Pictures, at least, by which the normalisations of a network that exists are set.
const LEAST_SETTLING: usize = 16;

/// Weight of the score's loss beside the map's.
const WEIGHT_SCORE: f64 = 0.3;

/// Pictures on the sheet.
const N_SHOWN: usize = 10;

/// Trains on the device of `B`; see [`super::train_labels`].
///
/// # Errors
/// As there.
pub fn run<B: AutodiffBackend>(
    settings: &LabelSettings,
    faces: &Faces,
    device: &B::Device,
    tell: &mut dyn FnMut(&LabelProgress),
    stop: &AtomicBool,
) -> Result<()> {
    let config = settings.task.config();
    let level = Level::new(config.side_px, settings.n_steps, settings.batch);
    let schedule = Schedule::new(vec![level], settings.learning_rate)?;
    let mut unet = seeded(device, settings.seed, || Unet::<B>::new(&config, device));
    if let Some(path) = &settings.init {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        unet = unet.planted(&bytes, device).map_err(|reason| Error::model(path, reason))?;
        let shown = faces.batch(settings.task, settings.batch.max(LEAST_SETTLING), 0, settings.seed);
        unet = unet.settled(tensor_from_array(&shown.pictures, device));
    }
    let mut average = unet.valid();
    let mut optimizer = adam().init::<B, Unet<B>>();
    let steps = (0..settings.n_steps).take_while(|_| !stop.load(Ordering::Relaxed)).map(Ok);
    let draw = |step| Ok((step, faces.batch(settings.task, settings.batch, step, settings.seed)));
    let (mut told, mut sums) = (Instant::now(), [0.0_f32; 4]);
    line::run(|mut line| {
        let steps = line.source("steps", steps)?;
        let batches = line.parallel("draw", steps, vec![draw; n_loaders()])?;
        line.drain("step", batches, |(step, batch): (u64, Batch)| {
            let logits = unet.forward(tensor_from_array(&batch.pictures, device));
            let (loss, parts) = loss(logits, &batch, device);
            if parts.iter().any(|part| !part.is_finite()) {
                return Err(not_finite(step, settings.learning_rate));
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &unet);
            unet = optimizer.step(schedule.rate(step), unet.clone(), gradients);
            average = average::follow(average.clone(), &unet.valid(), step);
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            let done = step + 1;
            if done.is_multiple_of(TELL_EVERY) || done == settings.n_steps {
                let n_steps = if done.is_multiple_of(TELL_EVERY) { TELL_EVERY } else { done % TELL_EVERY };
                tell(&LabelProgress {
                    step: done,
                    n_steps: settings.n_steps,
                    samples_per_s: (n_steps * settings.batch as u64) as f64 / told.elapsed().as_secs_f64(),
                    loss: sums[0] / n_steps as f32,
                    iou: sums[2] / sums[3].max(1.0),
                    score_loss: sums[1] / n_steps as f32,
                });
                (told, sums) = (Instant::now(), [0.0; 4]);
            }
            if done.is_multiple_of(TELL_EVERY * TELLS_PER_SAVE) {
                write(settings, &average)?;
            }
            Ok(())
        })
    })?;
    write(settings, &average)?;
    show(settings, &average, faces, device)
}

/// Binary cross-entropy of map and score, and the map's Dice loss; and for the log both losses, and the sizes of intersection and union.
fn loss<B: AutodiffBackend>(
    logits: Logits<B>,
    batch: &Batch,
    device: &B::Device,
) -> (Tensor<B, 1>, [f32; 4]) {
    let tensor = |array| tensor_from_array::<B>(array, device);
    let (maps, weights) = (tensor(&batch.maps), tensor(&batch.weights));
    let (said, meant) =
        (logits.map.clone().greater_elem(0.0).float(), maps.clone().greater_elem(0.5).float());
    let both = (said.clone() * meant.clone()).sum();
    let any = (said + meant).sum() - both.clone();
    let of_map = (entropy(logits.map.clone(), maps.clone()) * weights.clone()).sum() / weights.clone().sum();
    let overlap = dice(&sigmoid(logits.map), &maps, &weights);
    let of_score = match &batch.scores {
        Some(scores) => entropy(logits.score, tensor(scores)).mean(),
        None => Tensor::zeros([1], device),
    };
    let number = |tensor: Tensor<B, 1>| tensor.into_data().iter::<f32>().next().unwrap_or(f32::NAN);
    let parts = [of_map.clone().detach(), of_score.clone().detach(), both, any].map(number);
    (of_map + overlap + of_score * WEIGHT_SCORE, parts)
}

/// One less Dice's overlap of a map with its label, over the whole batch: what is labelled counts as much as the
/// larger rest. Zero when they are the same (the squares are those of Milletari et al. 2016).
fn dice<B: Backend>(said: &Tensor<B, 4>, meant: &Tensor<B, 4>, weights: &Tensor<B, 4>) -> Tensor<B, 1> {
    let sum = |a: &Tensor<B, 4>, b: &Tensor<B, 4>| (a.clone() * b.clone() * weights.clone()).sum();
    ((sum(said, meant) * 2.0 + 1.0) / (sum(said, said) + sum(meant, meant) + 1.0)).neg() + 1.0
}

/// Cross-entropy of probabilities with these logits and the label `p`, pixel by pixel.
fn entropy<B: Backend>(logits: Tensor<B, 4>, p: Tensor<B, 4>) -> Tensor<B, 4> {
    let against = log_sigmoid(logits.clone().neg()) * (p.clone().neg() + 1.0);
    (log_sigmoid(logits) * p + against).neg()
}

/// Writes the network.
fn write<B: Backend>(settings: &LabelSettings, unet: &Unet<B>) -> Result<()> {
    let config = settings.task.config();
    let bytes = unet_onnx(unet, &config, settings.task.map_name(), Weights::Half);
    durable::replace_file(&settings.out, &bytes)
}

/// The sheet: pictures, what the map shall be, what it is.
fn show<B: Backend>(
    settings: &LabelSettings,
    unet: &Unet<B>,
    faces: &Faces,
    device: &B::Device,
) -> Result<()> {
    let config = settings.task.config();
    let batch = faces.batch(settings.task, N_SHOWN, 0, settings.seed.wrapping_add(1));
    let logits = unet.forward(tensor_from_array::<B>(&batch.pictures, device));
    let said = array_from_tensor(sigmoid(logits.map));
    let (side, map) = (config.side_px as u32, config.map_px() as u32);
    let mut sheet = RgbImage::new(side * N_SHOWN as u32, side + 2 * map);
    for i in 0..N_SHOWN {
        let grey = |maps: &ndarray::Array4<f32>| -> RgbImage {
            let plane = maps.index_axis(Axis(0), i);
            let [_, h, w] = [plane.shape()[0], plane.shape()[1], plane.shape()[2]];
            rgb8_from_crop(&Array3::from_shape_fn((3, h, w), |(_, y, x)| plane[[0, y, x]]))
        };
        let x = i64::from(side) * i as i64;
        let picture = rgb8_from_crop(&batch.pictures.index_axis(Axis(0), i).to_owned());
        imageops::replace(&mut sheet, &picture, x, 0);
        imageops::replace(&mut sheet, &grey(&batch.maps), x, i64::from(side));
        imageops::replace(&mut sheet, &grey(&said), x, i64::from(side + map));
    }
    let path = settings.out.with_extension("png");
    sheet.save(&path).map_err(|e| Error::Io { path: path.clone(), source: std::io::Error::other(e) })
}
