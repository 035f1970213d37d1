//! What is taught in each phase, from one batch.

use burn::{
    module::AutodiffModule,
    nn::conv::Conv2d,
    optim::GradientsParams,
    tensor::{
        Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

use super::{
    losses::{self, Parts},
    student::{Projection, Student},
    taps::{decode, encode},
};
use crate::train::{
    critic::{Critic, Duel},
    data::Batch,
    losses::{LossWeights, loss},
    model::{Comb, colours, halved, unshuffled},
    preview::tensor_from_array,
};

/// One batch, and who learns from whom.
pub struct Lesson<'a, B: AutodiffBackend> {
    /// Gradients pass through it, and none reaches its weights.
    pub teacher: &'a Comb<B>,
    /// Who learns.
    pub model: &'a Student<B>,
    /// What the student's activations are compared through.
    pub projection: Projection,
    /// The faces.
    pub batch: &'a Batch,
    /// Where.
    pub device: &'a B::Device,
}

/// What a lesson comes to.
pub struct Told<B: Backend> {
    /// What is made small.
    pub total: Tensor<B, 1>,
    /// Its parts, for the log.
    pub parts: Parts<B>,
    /// The student's pictures, and what they ought to be, where it is taught end to end: `[batch, 3, side, side]`.
    pictures: Option<[Tensor<B, 4>; 2]>,
}

impl<B: AutodiffBackend> Told<B> {
    /// Adds `weight` times what the critic finds wrong with the student's pictures inside of `mask`, and gives the
    /// critic's own gradients; nothing where there are no pictures. `draw` is as for [`Critic::duel`].
    pub fn judged(
        &mut self,
        critic: &Critic<B>,
        mask: &Tensor<B, 4>,
        weight: f64,
        draw: (u64, u64),
    ) -> Option<GradientsParams> {
        let [own, wanted] = self.pictures.as_ref()?;
        let Duel { decoder, critic } = critic.duel(own, wanted, mask, draw, 1.0);
        self.total = self.total.clone() + decoder.clone() * weight;
        self.parts.push(("adversarial", decoder));
        Some(critic)
    }
}

impl<B: AutodiffBackend> Lesson<'_, B> {
    /// Encoder and decoder apart: the decoder reads the teacher's codes, so neither waits for the other.
    pub fn projection(&self) -> Told<B> {
        let (x, weight) = (self.input(), self.tensor(&self.batch.weight));
        let teacher = self.teacher.valid();
        let taught = encode(&teacher.encoder, x.clone());
        let shown = decode(&teacher.decoders[0], taught.output.clone());
        let code = lifted::<B, 4>(taught.output);
        let encoded = encode(&self.model.comb.encoder, lifted::<B, 4>(x));
        let decoded = decode(&self.model.comb.decoders[0], code.clone());
        // A finest level on patches has half its teacher's side.
        let levels = |own: Vec<Tensor<B, 4>>, wanted: Vec<Taught<B>>, by: &[Conv2d<B>], view: fn(_) -> _| {
            let pairs = own.into_iter().zip(wanted).zip(by).map(|((own, wanted), conv)| {
                let wanted = if own.dims()[2..] == wanted.dims()[2..] { wanted } else { view(wanted) };
                (self.projection.project(conv, own), lifted::<B, 4>(wanted))
            });
            losses::missed_at_levels(pairs)
        };
        let mut parts = losses::picture(&decoded.output, &lifted::<B, 4>(shown.output), &weight);
        parts.push(("code", losses::missed(encoded.output, code)));
        parts.push((
            "encoder",
            levels(encoded.levels, taught.levels, &self.model.encoder_projections[..], halved),
        ));
        parts.push((
            "decoder",
            levels(decoded.levels, shown.levels, &self.model.decoder_projections[..], unshuffled),
        ));
        Told { total: losses::total(&parts), parts, pictures: None }
    }

    /// End to end: the teacher's picture, and what the teacher's encoder sees in it.
    pub fn perceptual(&self) -> Told<B> {
        let (x, weight) = (self.input(), self.tensor(&self.batch.weight));
        let wanted = self.taught(x.clone());
        let own = self.swapped(lifted::<B, 4>(x));
        let seen = encode(&self.teacher.valid().encoder, colours(&wanted));
        let own_seen = encode(&self.teacher.encoder, colours(&own));
        let wanted = lifted::<B, 4>(wanted);
        let mut parts = losses::picture(&own, &wanted, &weight);
        let pairs = own_seen.levels.into_iter().zip(seen.levels.into_iter().map(lifted::<B, 4>));
        let code = std::iter::once((own_seen.output, lifted::<B, 4>(seen.output)));
        parts.push(("perceptual", losses::missed_at_levels(pairs.chain(code))));
        Told { total: losses::total(&parts), parts, pictures: Some([colours(&own), colours(&wanted)]) }
    }

    /// End to end: the truth of the first `n_with_truth` faces, the teacher's picture of the others.
    pub fn truth(&self, n_with_truth: usize) -> Told<B> {
        let (mut target, mut mask) = (self.tensor(&self.batch.target), self.mask());
        if n_with_truth < self.batch.input.dim().0 {
            let others = self.batch.input.slice(ndarray::s![n_with_truth.., .., .., ..]).to_owned();
            let taught = self.taught(tensor_from_array::<B::InnerBackend>(&others, self.device));
            let replaced = |own: Tensor<B, 4>, taught: Tensor<B, 4>| match n_with_truth {
                0 => taught,
                _ => Tensor::cat(vec![own.narrow(0, 0, n_with_truth), taught], 0),
            };
            target = replaced(target, lifted::<B, 4>(colours(&taught)));
            mask = replaced(mask, lifted::<B, 4>(taught.narrow(1, 3, 1)));
        }
        let own = self.swapped(self.tensor(&self.batch.input));
        let pictures = Some([colours(&own), target.clone()]);
        let weight = self.tensor(&self.batch.weight);
        let (total, all) = loss(own, &target, mask, &weight, &LossWeights::default());
        let names = ["loss", "dssim", "l1", "gradient", "mask"].into_iter().enumerate();
        let parts = names.map(|(i, name)| (name, all.clone().narrow(0, i, 1))).collect();
        Told { total, parts, pictures }
    }

    /// Where there is face: `[batch, 1, side, side]`.
    pub fn mask(&self) -> Tensor<B, 4> {
        self.tensor(&self.batch.mask)
    }

    fn tensor(&self, array: &ndarray::Array4<f32>) -> Tensor<B, 4> {
        tensor_from_array::<B>(array, self.device)
    }

    /// What both networks see, without a graph.
    fn input(&self) -> Tensor<B::InnerBackend, 4> {
        tensor_from_array::<B::InnerBackend>(&self.batch.input, self.device)
    }

    /// The student's pictures and masks.
    fn swapped(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let comb = &self.model.comb;
        decode(&comb.decoders[0], encode(&comb.encoder, x).output).output
    }

    /// The teacher's pictures and masks.
    fn taught(&self, x: Tensor<B::InnerBackend, 4>) -> Tensor<B::InnerBackend, 4> {
        let teacher = self.teacher.valid();
        decode(&teacher.decoders[0], encode(&teacher.encoder, x).output).output
    }
}

/// What the teacher gives, without a graph.
type Taught<B> = Tensor<<B as AutodiffBackend>::InnerBackend, 4>;

/// A constant in a graph of gradients.
fn lifted<B: AutodiffBackend, const D: usize>(x: Tensor<B::InnerBackend, D>) -> Tensor<B, D> {
    Tensor::from_inner(x)
}
