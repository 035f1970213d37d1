//! Teacher and students side by side: what they cost, how fast they are, how near they come.

use std::time::Instant;

use ndarray::{Array3, Array4, Axis, Ix4};
use serde::Serialize;

use super::{
    cost::{Cost, cost},
    transfer::HeldFace,
};
use crate::{
    Error, Result,
    face::{Finder, FinderSettings, Region},
    face_set::rgb8_from_crop,
    frame::{Frame, FramePx},
    measure::{
        expression::{Expression, Reader},
        identity::{Embedder, Embedding, mean_distance},
        psnr::SquaredError,
        ssim::ssim,
    },
    nn::{Network, Runtime, RuntimeSettings},
    video::Picture,
};

/// Threads that are timed.
const THREADS: [usize; 2] = [1, 2];

/// Runs whose middle is the time of a network.
const N_RUNS: usize = 31;

/// Runs of which the least is, where a few percent matter.
const N_RUNS_OF_LEAST: usize = 100;

/// Runs before them.
const N_WARM_UP: usize = 3;

/// Equal pictures score this much instead of infinity, which JSON doesn't know.
const MAX_PSNR_DB: f64 = 100.0;

/// Encoder and decoder.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Parts<T> {
    /// Face to code.
    pub encoder: T,
    /// Code to face.
    pub decoder: T,
}

/// One who is measured.
pub struct Contestant {
    /// What the table calls it.
    pub name: String,
    /// Its networks, ONNX files.
    pub networks: Parts<Vec<u8>>,
    /// Steps of its training, where they are known.
    pub steps: Option<u64>,
    /// Minutes of its training.
    pub minutes: Option<f64>,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Who.
    pub name: String,
    /// Steps of its training.
    pub steps: Option<u64>,
    /// Minutes of its training.
    pub minutes: Option<f64>,
    /// Weights and biases of both networks.
    pub n_parameters: u64,
    /// Multiplications with addition for one face, millions.
    pub mmac: Parts<f64>,
    /// One face through ONNX Runtime on one thread, milliseconds: the middle of 31 runs, or the least of 100.
    pub ms_one_thread: Parts<f64>,
    /// The same on two.
    pub ms_two_threads: Parts<f64>,
    /// How many times as fast as the teacher on one thread, both networks together.
    pub speed_up: f64,
    /// PSNR to the teacher's pictures in the face, dB; at most 100.
    pub psnr_teacher_db: Option<f64>,
    /// SSIM to the teacher's pictures in the face.
    pub ssim_teacher: Option<f64>,
    /// PSNR to the truth in the face, dB.
    pub psnr_truth_db: Option<f64>,
    /// SSIM to the truth in the face.
    pub ssim_truth: Option<f64>,
    /// Distance of face embeddings to the truth's (L2, mean over pairs; one person is below 0.52).
    pub identity_distance: Option<f64>,
    /// Mean difference of the 52 expression coefficients to those of the face that was swapped.
    pub expression_l1: Option<f64>,
}

/// The table and the pictures that belong to it.
pub struct Measured {
    /// In the order of the contestants; the teacher comes first.
    pub rows: Vec<Row>,
    /// What each made of each face, `[faces, 3, side, side]`.
    pub pictures: Vec<Array4<f32>>,
}

/// What measures: ONNX Runtime, on one thread and on two.
pub struct Bench {
    runtimes: [Runtime; 2],
    n_runs: usize,
    /// The time of a network out of those of all its runs.
    time_of: fn(Vec<f64>) -> f64,
}

impl Bench {
    /// Loads ONNX Runtime.
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub fn load(settings: &RuntimeSettings) -> Result<Self> {
        let [one, two] =
            THREADS.map(|threads| Runtime::load(&RuntimeSettings { threads, ..settings.clone() }));
        Ok(Self { runtimes: [one?, two?], n_runs: N_RUNS, time_of: middle })
    }

    /// Takes the least of many runs for a network's time: whatever else the machine does only ever adds to it.
    #[must_use]
    pub fn exact(self) -> Self {
        Self { n_runs: N_RUNS_OF_LEAST, time_of: least, ..self }
    }

    /// The one that computes on one thread.
    pub fn runtime(&self) -> &Runtime {
        &self.runtimes[0]
    }

    /// Measures all contestants on the same faces; the first one is the teacher.
    ///
    /// # Errors
    /// [`Error::BadModel`] for networks of another side, [`Error::Device`] when one fails.
    pub fn measure(&self, contestants: &[Contestant], faces: &[HeldFace]) -> Result<Measured> {
        let mut pictures = Vec::new();
        for contestant in contestants {
            let mut networks = Pair::load(&self.runtimes[0], contestant)?;
            let new: Vec<_> = faces.iter().map(|face| networks.swap(&face.input)).collect::<Result<_>>()?;
            let views: Vec<_> = new.iter().map(|face| face.view()).collect();
            let stacked = ndarray::stack(Axis(0), &views);
            pictures.push(stacked.map_err(|e| Error::model(&contestant.name, e.to_string()))?);
        }
        let mut look = Look::new(&self.runtimes[0])?;
        let wanted = look.wanted(faces)?;
        let ms = self.times(contestants, &faces[0].input)?;
        let mut rows = Vec::new();
        for (i, contestant) in contestants.iter().enumerate() {
            let cost = costs(contestant)?;
            let mut row = Row {
                name: contestant.name.clone(),
                steps: contestant.steps,
                minutes: contestant.minutes,
                n_parameters: cost.encoder.n_parameters + cost.decoder.n_parameters,
                mmac: Parts {
                    encoder: cost.encoder.n_macs as f64 / 1e6,
                    decoder: cost.decoder.n_macs as f64 / 1e6,
                },
                ms_one_thread: ms[0][i],
                ms_two_threads: ms[1][i],
                speed_up: sum(ms[0][0]) / sum(ms[0][i]),
                psnr_teacher_db: None,
                ssim_teacher: None,
                psnr_truth_db: None,
                ssim_truth: None,
                identity_distance: None,
                expression_l1: None,
            };
            if i > 0 {
                let teacher = |k: usize| Some(pictures[0].index_axis(Axis(0), k).to_owned());
                (row.psnr_teacher_db, row.ssim_teacher) = nearness(&pictures[i], teacher, faces);
            }
            let truth = |k: usize| faces[k].truth.clone();
            (row.psnr_truth_db, row.ssim_truth) = nearness(&pictures[i], truth, faces);
            (row.identity_distance, row.expression_l1) = look.compare(&pictures[i], faces, &wanted)?;
            rows.push(row);
        }
        Ok(Measured { rows, pictures })
    }

    /// Milliseconds by number of threads and contestant. All take turns, so that a busy machine is busy for all.
    fn times(&self, contestants: &[Contestant], face: &Array3<f32>) -> Result<[Vec<Parts<f64>>; 2]> {
        let of_runtime = |runtime: &Runtime| -> Result<Vec<Parts<f64>>> {
            let mut networks: Vec<Pair> =
                contestants.iter().map(|one| Pair::load(runtime, one)).collect::<Result<_>>()?;
            let mut times = vec![(Vec::new(), Vec::new()); networks.len()];
            for nth in 0..N_WARM_UP + self.n_runs {
                for (pair, (encoder, decoder)) in networks.iter_mut().zip(&mut times) {
                    let start = Instant::now();
                    let code = pair.encode(face)?;
                    let middle = Instant::now();
                    pair.decode(&code)?;
                    if nth >= N_WARM_UP {
                        encoder.push((middle - start).as_secs_f64() * 1e3);
                        decoder.push(middle.elapsed().as_secs_f64() * 1e3);
                    }
                }
            }
            Ok(times
                .into_iter()
                .map(|(encoder, decoder)| Parts {
                    encoder: (self.time_of)(encoder),
                    decoder: (self.time_of)(decoder),
                })
                .collect())
        };
        let [one, two] = [0, 1].map(|i| of_runtime(&self.runtimes[i]));
        Ok([one?, two?])
    }
}

fn sum(parts: Parts<f64>) -> f64 {
    parts.encoder + parts.decoder
}

/// The median.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn least(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

fn costs(contestant: &Contestant) -> Result<Parts<Cost>> {
    let of = |bytes: &[u8]| cost(bytes).map_err(|reason| Error::model(&contestant.name, reason));
    Ok(Parts { encoder: of(&contestant.networks.encoder)?, decoder: of(&contestant.networks.decoder)? })
}

/// A contestant's networks, loaded.
struct Pair {
    name: String,
    encoder: Network,
    decoder: Network,
}

impl Pair {
    fn load(runtime: &Runtime, contestant: &Contestant) -> Result<Self> {
        let Contestant { name, networks, .. } = contestant;
        Ok(Self {
            name: name.clone(),
            encoder: runtime.network(name, &networks.encoder)?,
            decoder: runtime.network(name, &networks.decoder)?,
        })
    }

    fn encode(&mut self, face: &Array3<f32>) -> Result<ndarray::ArrayD<f32>> {
        let name = self.encoder.inputs()[0].name.clone();
        let out = self.encoder.run(&[(name.as_str(), face.view().insert_axis(Axis(0)).into_dyn())])?;
        out.into_iter().next().ok_or_else(|| Error::model(&self.name, "the encoder gives nothing"))
    }

    fn decode(&mut self, code: &ndarray::ArrayD<f32>) -> Result<ndarray::ArrayD<f32>> {
        let name = self.decoder.inputs()[0].name.clone();
        let out = self.decoder.run(&[(name.as_str(), code.view())])?;
        out.into_iter().next().ok_or_else(|| Error::model(&self.name, "the decoder gives nothing"))
    }

    /// The new face, `[3, side, side]`, for one of the same shape.
    fn swap(&mut self, face: &Array3<f32>) -> Result<Array3<f32>> {
        let code = self.encode(face)?;
        let face = self.decode(&code)?.into_dimensionality::<Ix4>();
        let face = face.map_err(|e| Error::model(&self.name, e.to_string()))?;
        Ok(face.index_axis_move(Axis(0), 0).mapv_into(|v| v.clamp(0.0, 1.0)))
    }
}

/// PSNR over all faces, and mean SSIM, to what `wanted` gives for a face.
fn nearness(
    own: &Array4<f32>,
    wanted: impl Fn(usize) -> Option<Array3<f32>>,
    faces: &[HeldFace],
) -> (Option<f64>, Option<f64>) {
    let (mut error, mut ssims) = (SquaredError::default(), Vec::new());
    for (k, face) in faces.iter().enumerate() {
        let Some(wanted) = wanted(k) else { continue };
        let own = own.index_axis(Axis(0), k).to_owned();
        error = error.and(SquaredError::between(&own, &wanted, Some(&face.mask)));
        ssims.extend(ssim(&own, &wanted, Some(&face.mask)));
    }
    (error.psnr_db().map(|db| db.min(MAX_PSNR_DB)), mean(&ssims))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The networks that look at faces.
struct Look {
    finder: Finder,
    embedder: Embedder,
    reader: Reader,
}

/// What is compared with.
struct Wanted {
    /// Whose faces they ought to be.
    people: Vec<Embedding>,
    /// What each swapped face does.
    expressions: Vec<Option<Expression>>,
}

impl Look {
    fn new(runtime: &Runtime) -> Result<Self> {
        Ok(Self {
            finder: Finder::new(runtime, &FinderSettings::default())?,
            embedder: Embedder::new(runtime)?,
            reader: Reader::new(runtime)?,
        })
    }

    fn wanted(&mut self, faces: &[HeldFace]) -> Result<Wanted> {
        let (mut people, mut expressions) = (Vec::new(), Vec::new());
        for face in faces {
            if let Some(truth) = &face.truth {
                people.extend(self.embedder.embed(&picture(truth), &face.points)?);
            }
            expressions.push(self.expression(&face.face, &face.points)?);
        }
        Ok(Wanted { people, expressions })
    }

    /// The expression in a crop, by the mesh measured around where one is known to be.
    fn expression(&mut self, crop: &Array3<f32>, points: &[FramePx]) -> Result<Option<Expression>> {
        let frame = Frame { idx: 0, picture: picture(crop) };
        let found = self.finder.measure_again(&frame, &[Region::from_points(points)])?;
        found.first().map_or(Ok(None), |face| self.reader.read(&face.points))
    }

    /// Distance to the wanted person, and difference of the expressions.
    fn compare(
        &mut self,
        own: &Array4<f32>,
        faces: &[HeldFace],
        wanted: &Wanted,
    ) -> Result<(Option<f64>, Option<f64>)> {
        let (mut embeddings, mut differences) = (Vec::new(), Vec::new());
        for (k, face) in faces.iter().enumerate() {
            let crop = own.index_axis(Axis(0), k).to_owned();
            // A swap keeps pose and place: the eyes are where they were.
            embeddings.extend(self.embedder.embed(&picture(&crop), &face.points)?);
            if let (Some(a), Some(b)) = (self.expression(&crop, &face.points)?, &wanted.expressions[k]) {
                differences.push(a.distance(b));
            }
        }
        Ok((mean_distance(&embeddings, &wanted.people), mean(&differences)))
    }
}

/// A crop as a picture.
fn picture(crop: &Array3<f32>) -> Picture {
    let rgb = rgb8_from_crop(crop);
    let (w, h) = rgb.dimensions();
    Picture::from_rgb8(w as usize, h as usize, rgb.as_raw())
}
