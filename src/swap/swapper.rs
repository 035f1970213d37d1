//! The stage that makes new faces: align, crop, encode, decode.

use std::{collections::VecDeque, fmt};

use ndarray::{Array3, Array4, ArrayD, Axis, CowArray, Ix3, Ix4, stack};

use super::Bundle;
use crate::{
    Error, Result,
    cast::Cast,
    face::{self, Memory, Template},
    frame::{Face, Frame, NewFace, Similarity, Swapped, Tracked},
    line::Stage,
    nn::{Network, Runtime},
};

/// Frames that may wait for a full batch: each one of 4K is 12 MB.
const MAX_WAITING: usize = 8;

/// Least pixels of the crop per pixel of the frame: below, a "face" is larger than any frame.
const MIN_SCALE: f64 = 1e-4;

/// Replaces the faces of frames by the identities of a cast. It owns the networks: a line has one of it.
///
/// Faces of several frames go through the networks together, `batch` at a time; frames come out in their order, and
/// at most 8 of them, or `batch` if that is less, are held back.
pub struct Swapper {
    /// By role.
    actors: Vec<Actor>,
    batch: usize,
    waiting: VecDeque<Waiting>,
    ready: VecDeque<Swapped>,
}

/// The networks of one identity.
struct Actor {
    name: String,
    encoder: Network,
    decoder: Network,
    template: Template,
    margin: f64,
    guides: bool,
    side_px: usize,
}

impl fmt::Debug for Swapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swapper")
            .field("names", &self.actors.iter().map(|actor| &actor.name).collect::<Vec<_>>())
            .field("batch", &self.batch)
            .field("n_waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

/// A frame whose faces are cut out.
struct Waiting {
    frame: Frame,
    memory: Option<Box<Memory>>,
    cut: Vec<Cut>,
}

/// A face in its crop.
struct Cut {
    face: Face,
    alignment: Similarity,
    /// `[3, side, side]`
    pixels: Array3<f32>,
}

impl Actor {
    fn new(runtime: &Runtime, bundle: &Bundle) -> Result<Self> {
        let file = |file: &str| bundle.dir.join(file).display().to_string();
        let networks = &bundle.manifest.networks;
        Ok(Self {
            name: bundle.name.clone(),
            encoder: runtime.network(&file(&networks.encoder.file), &bundle.encoder)?,
            decoder: runtime.network(&file(&networks.decoder.file), &bundle.decoder)?,
            template: bundle.template,
            margin: bundle.margin,
            guides: bundle.guides,
            side_px: bundle.side_px,
        })
    }

    fn cut(&self, frame: &Frame, face: Face) -> Option<Cut> {
        let alignment = face::align(&face.points, &self.template, self.margin, self.side_px);
        // NaN is not above the limit either.
        let is_sound = alignment.scale() > MIN_SCALE && alignment.tx.is_finite() && alignment.ty.is_finite();
        is_sound.then(|| Cut {
            pixels: face::crop(&frame.picture, &alignment, self.side_px),
            face,
            alignment,
        })
    }

    /// What the encoder is shown of a face.
    fn seen<'a>(&self, cut: &'a Cut) -> CowArray<'a, f32, Ix3> {
        if !self.guides {
            return cut.pixels.view().into();
        }
        let points: Vec<_> = cut.face.points.iter().map(|point| cut.alignment.to_crop(*point)).collect();
        let mut pixels = cut.pixels.clone();
        face::guides::paint(&mut pixels, &points);
        pixels.into()
    }

    fn new_faces(&mut self, cuts: &[&Cut]) -> Result<Vec<NewFace>> {
        let seen: Vec<_> = cuts.iter().map(|cut| self.seen(cut)).collect();
        let views: Vec<_> = seen.iter().map(|pixels| pixels.view()).collect();
        let input =
            stack(Axis(0), &views).map_err(|e| Error::Device(format!("crops differ in size: {e}")))?;
        let (pixels, masks) = self.swap(&input)?;
        let new_face = |(i, cut): (usize, &&Cut)| NewFace {
            face: cut.face.clone(),
            alignment: cut.alignment,
            pixels: pixels.index_axis(Axis(0), i).to_owned(),
            target: cut.pixels.clone(),
            grade: None,
            mask: masks.as_ref().map(|masks| masks.index_axis(Axis(0), i).index_axis(Axis(0), 0).to_owned()),
            visible: None,
            rims: None,
        };
        Ok(cuts.iter().enumerate().map(new_face).collect())
    }

    /// The same in halves where a device fails at all of them at once: it may have memory for fewer.
    fn new_faces_in_parts(&mut self, cuts: &[&Cut]) -> Result<Vec<NewFace>> {
        match self.new_faces(cuts) {
            Err(Error::Device(_)) if cuts.len() > 1 => {
                let (left, right) = cuts.split_at(cuts.len() / 2);
                let mut faces = self.new_faces_in_parts(left)?;
                faces.extend(self.new_faces_in_parts(right)?);
                Ok(faces)
            }
            done => done,
        }
    }

    /// See [`Swapper::swap`].
    fn swap(&mut self, input: &Array4<f32>) -> Result<(Array4<f32>, Option<Array4<f32>>)> {
        let (n, side) = (input.dim().0, self.side_px);
        let latent = run(&mut self.encoder, input.view().into_dyn())?;
        let latent = latent.into_iter().next().ok_or_else(|| self.wrong("the encoder gives nothing"))?;
        let outputs = run(&mut self.decoder, latent.view())?;
        let mut arrays = Vec::new();
        for (output, channels) in outputs.into_iter().zip([3, 1]) {
            let shape = output.shape().to_vec();
            let array = output
                .into_dimensionality::<Ix4>()
                .ok()
                .filter(|array| array.dim() == (n, channels, side, side))
                .ok_or_else(|| {
                    self.wrong(&format!("the decoder gives {shape:?}, the manifest says side_px = {side}"))
                })?;
            if !array.iter().all(|v| v.is_finite()) {
                return Err(
                    self.wrong("the decoder gives values that are no numbers; train or export it again")
                );
            }
            arrays.push(array.mapv_into(|v| v.clamp(0.0, 1.0)));
        }
        let mut arrays = arrays.into_iter();
        let pixels = arrays.next().ok_or_else(|| self.wrong("the decoder gives nothing"))?;
        Ok((pixels, arrays.next()))
    }

    fn wrong(&self, reason: &str) -> Error {
        Error::model(&self.name, reason)
    }
}

impl Swapper {
    /// Loads the networks of one identity; `batch` faces, at least 1, go through them at once.
    ///
    /// # Errors
    /// [`Error::BadModel`] when ONNX Runtime doesn't take them, [`Error::Device`] when the device fails.
    pub fn new(runtime: &Runtime, bundle: &Bundle, batch: usize) -> Result<Self> {
        Ok(Self::of_actors(vec![Actor::new(runtime, bundle)?], batch))
    }

    /// The same for all identities of a cast.
    ///
    /// # Errors
    /// As [`Swapper::new`].
    pub fn for_cast(runtime: &Runtime, cast: &Cast, batch: usize) -> Result<Self> {
        let actors = cast.roles().iter().map(|role| Actor::new(runtime, &role.bundle));
        Ok(Self::of_actors(actors.collect::<Result<_>>()?, batch))
    }

    fn of_actors(actors: Vec<Actor>, batch: usize) -> Self {
        Self { actors, batch: batch.max(1), waiting: VecDeque::new(), ready: VecDeque::new() }
    }

    fn cut(&self, frame: &Frame, face: Face) -> Option<Cut> {
        self.actors.get(face.role)?.cut(frame, face)
    }

    /// The networks of the first identity alone.
    ///
    /// # Shapes
    /// - input: `[n, 3, side, side]`, RGB 0..=1, n from 1
    /// - output: the faces, `[n, 3, side, side]`, and their masks, `[n, 1, side, side]`, 0..=1
    ///
    /// # Errors
    /// [`Error::BadModel`] when a network gives another shape or no numbers, [`Error::Device`] when the device fails.
    pub fn swap(&mut self, input: &Array4<f32>) -> Result<(Array4<f32>, Option<Array4<f32>>)> {
        self.actors[0].swap(input)
    }

    /// Computes the new faces of all frames that wait.
    fn compute(&mut self) -> Result<()> {
        let (frames, cuts): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).map(|w| ((w.frame, w.memory), w.cut)).unzip();
        let n_faces: Vec<usize> = cuts.iter().map(Vec::len).collect();
        let cuts: Vec<Cut> = cuts.into_iter().flatten().collect();
        let mut new: Vec<Option<NewFace>> = cuts.iter().map(|_| None).collect();
        for (role, actor) in self.actors.iter_mut().enumerate() {
            let of_role: Vec<usize> = (0..cuts.len()).filter(|i| cuts[*i].face.role == role).collect();
            for chunk in of_role.chunks(self.batch) {
                let faces = actor.new_faces_in_parts(&chunk.iter().map(|i| &cuts[*i]).collect::<Vec<_>>())?;
                chunk.iter().zip(faces).for_each(|(i, face)| new[*i] = Some(face));
            }
        }
        let mut new = new.into_iter().flatten();
        for ((frame, memory), n) in frames.into_iter().zip(n_faces) {
            self.ready.push_back(Swapped { frame, faces: new.by_ref().take(n).collect(), memory });
        }
        Ok(())
    }
}

/// Runs a network of one input, whatever its name.
fn run(network: &mut Network, input: ndarray::ArrayViewD<'_, f32>) -> Result<Vec<ArrayD<f32>>> {
    let name = network.inputs().first().map(|info| info.name.clone()).unwrap_or_default();
    network.run(&[(&name, input)])
}

impl Stage for Swapper {
    type In = Tracked;
    type Out = Swapped;

    fn push(&mut self, tracked: Tracked) -> Result<Option<Swapped>> {
        let Tracked { frame, faces, memory } = tracked;
        if memory.is_some() {
            // A run that is taken up here begins a batch: so does this one, since the numbers that a network gives may
            // depend in their last bits on what else it is given.
            self.compute()?;
        }
        let cut: Vec<Cut> = faces.into_iter().filter_map(|face| self.cut(&frame, face)).collect();
        self.waiting.push_back(Waiting { frame, memory, cut });
        let n_faces: usize = self.waiting.iter().map(|w| w.cut.len()).sum();
        // With nothing ready, one frame in and none out: this bounds what is held back.
        let is_full = n_faces >= self.batch || self.waiting.len() >= self.batch.min(MAX_WAITING);
        if is_full || n_faces == 0 {
            self.compute()?;
        }
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<Option<Swapped>> {
        if self.ready.is_empty() {
            self.compute()?;
        }
        Ok(self.ready.pop_front())
    }
}
