//! The 478 points of a face: where a network looks for them, how often, and what becomes of its answers.

use ndarray::{Array3, Array4, Axis, s};

use super::{
    detect::Detection,
    mesh,
    mesh_network::{LandmarkNetwork, MeshNetwork, SIDE},
    mirror,
    resample::{self, Interpolation},
};
use crate::{
    Result,
    frame::{CropPx, FoundFace, FramePx, Similarity},
    nn::{Provider, Runtime},
    video::Picture,
};

/// The region's side over the larger side of the face's box: what the network was trained with.
const ENLARGE: f64 = 1.5;

/// The turned square of the frame that the network looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Its middle.
    pub centre: FramePx,
    /// Its side in frame pixels.
    pub side: f64,
    /// The direction of its upper edge, clockwise in the picture, in radians: 0 for an upright face.
    pub angle: f64,
}

impl Region {
    /// From the box of a detection; the eyes become level.
    pub fn from_detection(detection: &Detection) -> Self {
        let [x0, y0, x1, y1] = detection.bounds;
        let (right, left) = (detection.points[0], detection.points[1]);
        Self {
            centre: FramePx { x: 0.5 * (x0 + x1), y: 0.5 * (y0 + y1) },
            side: ENLARGE * (x1 - x0).max(y1 - y0),
            angle: (left.y - right.y).atan2(left.x - right.x),
        }
    }

    /// From the points of a mesh; the outer corners of the eyes become level.
    pub fn from_points(points: &[FramePx]) -> Self {
        let [right, left] = mesh::OUTER_EYE_CORNERS.map(|i| points[i]);
        let angle = (left.y - right.y).atan2(left.x - right.x);
        let (sin, cos) = angle.sin_cos();
        let level = |p: &FramePx| FramePx { x: cos * p.x + sin * p.y, y: cos * p.y - sin * p.x };
        let [x0, y0, x1, y1] = mesh::bounds(&points.iter().map(level).collect::<Vec<_>>());
        let (x, y) = (0.5 * (x0 + x1), 0.5 * (y0 + y1));
        Self {
            centre: FramePx { x: cos * x - sin * y, y: sin * x + cos * y },
            side: ENLARGE * (x1 - x0).max(y1 - y0),
            angle,
        }
    }

    /// The same square, `factor` times as large.
    #[must_use]
    pub fn enlarged(self, factor: f64) -> Self {
        Self { side: factor * self.side, ..self }
    }

    /// From the frame to the network's picture.
    fn alignment(&self) -> Similarity {
        self.alignment_to(SIDE)
    }

    /// From the frame to a picture of `side_px` of the square.
    pub fn alignment_to(&self, side_px: usize) -> Similarity {
        let scale = side_px as f64 / self.side;
        let (a, b) = (scale * self.angle.cos(), -scale * self.angle.sin());
        let half = 0.5 * side_px as f64;
        let FramePx { x, y } = self.centre;
        Similarity { a, b, tx: half - (a * x - b * y), ty: half - (b * x + a * y) }
    }

    /// The region of sample `k` of `n`, and whether it is looked at in a mirror, as every other one is.
    ///
    /// The sizes are spread evenly over +-28 % of the region's own: the network errs with the size at which it is shown
    /// a face, in one pose to this side and in another to that, and the mean over sizes errs less (docs/faces.md). From
    /// the third on they are moved by up to 5 % as well (uniformly, beta = 0.05 in Naruniec et al. 2020). The numbers
    /// depend on `k` and `n` alone: the same little cloud of regions in every frame adds no tremor of its own.
    fn sample(&self, k: usize, n: usize) -> Sample {
        const ZOOM: f64 = 0.28;
        const BETA: f64 = 0.05;
        // The middles of n equal parts, from large to small.
        let zoom = ZOOM * (1.0 - (2 * k + 1) as f64 / n as f64);
        // A sequence of low discrepancy (Roberts' R2): even a few samples surround the region.
        let spread = |step: f64| if k < 2 { 0.0 } else { 2.0 * (0.5 + step * k as f64).fract() - 1.0 };
        let [x, y] = [0.754_877_666_2, 0.569_840_290_998].map(spread);
        let shift = BETA * self.side;
        let centre = FramePx { x: self.centre.x + shift * x, y: self.centre.y + shift * y };
        let region = Self { centre, side: self.side * (1.0 + zoom), angle: self.angle };
        Sample { region, is_mirrored: k % 2 == 1 }
    }

    fn is_usable(&self) -> bool {
        self.side.is_finite() && self.side >= 1.0 && self.centre.x.is_finite() && self.centre.y.is_finite()
    }

    /// Whether another region shows the face so differently that the network's answer may differ, too.
    fn is_far_from(&self, other: &Self) -> bool {
        let shift = (self.centre.x - other.centre.x).hypot(self.centre.y - other.centre.y) / self.side;
        let zoom = (self.side / other.side).ln().abs();
        let turn = (self.angle - other.angle).sin().abs();
        shift > 0.08 || zoom > 0.15 || turn > 0.15
    }
}

/// What the network is given of a region.
#[derive(Debug, Clone, Copy)]
struct Sample {
    region: Region,
    /// Right and left change places: what the network errs to one side, it then errs to the other.
    is_mirrored: bool,
}

impl From<Region> for Sample {
    fn from(region: Region) -> Self {
        Self { region, is_mirrored: false }
    }
}

/// When a face is measured a second time, in the region that its own points ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum Refine {
    /// When that region is quite another: a badly placed box. One face in ten.
    WhenFar,
    /// Always: the points tremble a fifth less and lie a tenth nearer to the truth, for 8 ms a face.
    #[default]
    Always,
}

/// How carefully faces are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LandmarkSettings {
    /// What measures.
    pub network: LandmarkNetwork,
    /// Second measurement.
    pub refine: Refine,
    /// Measurements that the points are the mean of, 1 or more, in regions of different sizes, every other one in a
    /// mirror. docs/faces.md says what they cost and bring.
    pub samples: usize,
}

impl Default for LandmarkSettings {
    fn default() -> Self {
        // Samples that are worth their time.
        Self { network: LandmarkNetwork::default(), refine: Refine::default(), samples: 2 }
    }
}

/// Measures faces.
#[derive(Debug)]
pub struct Landmarker {
    network: MeshNetwork,
    /// See [`LandmarkNetwork::scout`].
    scout: Option<MeshNetwork>,
    /// Pictures that a network is given at once.
    batch: usize,
}

/// Pictures at once on a CPU, whose nearest memory holds what the network keeps of one: two at once take a sixth longer than
/// one after the other.
const BATCH_ON_CPU: usize = 1;
/// The same on other devices, whose memory is no concern: enough for sixteen faces.
const BATCH: usize = 64;

/// How far a second look's points may lie from those of the first, in the mean, share of the region's side.
const ASTRAY: f64 = 0.1;

/// Mean distance of two measurements' points, pixels.
fn apart(a: &[FramePx], b: &[FramePx]) -> f64 {
    let distances = a.iter().zip(b).map(|(a, b)| (a.x - b.x).hypot(a.y - b.y));
    distances.sum::<f64>() / a.len().max(1) as f64
}

impl Landmarker {
    /// Side of the network's picture.
    pub(crate) const SIDE: usize = SIDE;

    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime, network: LandmarkNetwork) -> Result<Self> {
        let batch = if runtime.provider() == Provider::Cpu { BATCH_ON_CPU } else { BATCH };
        let scout = network.scout().map(|scout| MeshNetwork::new(runtime, scout)).transpose()?;
        Ok(Self { network: MeshNetwork::new(runtime, network)?, scout, batch })
    }

    /// One that measures crops of faces that were found, and no regions.
    ///
    /// # Errors
    /// As [`Runtime::network`].
    pub(crate) fn of_crops(runtime: &Runtime, network: LandmarkNetwork) -> Result<Self> {
        Ok(Self { network: MeshNetwork::new(runtime, network)?, scout: None, batch: 1 })
    }

    /// The faces in `regions`, in one batch and in the same order, each with the presence that the network gives it.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the network fails.
    pub fn landmarks(
        &mut self,
        picture: &Picture,
        regions: &[Region],
        settings: &LandmarkSettings,
    ) -> Result<Vec<FoundFace>> {
        let regions: Vec<Region> = regions.iter().copied().filter(Region::is_usable).collect();
        let samples: Vec<Sample> = regions.iter().copied().map(Sample::from).collect();
        let scout = self.scout.as_mut().unwrap_or(&mut self.network);
        let mut faces = scout.measured(picture, &samples, self.batch)?;
        let (numbers, better): (Vec<usize>, Vec<Region>) = faces
            .iter()
            .map(|face| Region::from_points(&face.points))
            .enumerate()
            .filter(|(i, better)| {
                let wanted = settings.samples > 1 || settings.refine == Refine::Always;
                better.is_usable() && (wanted || better.is_far_from(&regions[*i]))
            })
            .unzip();
        let again = self.means(picture, &better, settings.samples)?;
        for (i, face) in numbers.into_iter().zip(again) {
            // A second look that loses the face, or finds it elsewhere, has turned to something else: a head that lies on
            // its side in a region that stands is one that the taught network doesn't know.
            let is_there = apart(&face.points, &faces[i].points) < ASTRAY * regions[i].side;
            if is_there && face.presence > faces[i].presence.min(0.5) {
                faces[i] = face;
            }
        }
        Ok(faces)
    }

    /// The faces in regions that lie right already, such as those of the frame before: each is measured once more
    /// only when it has moved far from its region.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the network fails.
    pub fn landmarks_around(
        &mut self,
        picture: &Picture,
        regions: &[Region],
        settings: &LandmarkSettings,
    ) -> Result<Vec<FoundFace>> {
        let regions: Vec<Region> = regions.iter().copied().filter(Region::is_usable).collect();
        let mut faces = self.means(picture, &regions, settings.samples)?;
        let (numbers, better): (Vec<usize>, Vec<Region>) = faces
            .iter()
            .map(|face| Region::from_points(&face.points))
            .enumerate()
            .filter(|(i, better)| better.is_usable() && better.is_far_from(&regions[*i]))
            .unzip();
        let again = self.means(picture, &better, settings.samples)?;
        for (i, face) in numbers.into_iter().zip(again) {
            faces[i] = face;
        }
        Ok(faces)
    }

    /// The face of each region as the mean over `n_samples` perturbed ones, in one batch.
    fn means(&mut self, picture: &Picture, regions: &[Region], n_samples: usize) -> Result<Vec<FoundFace>> {
        let n_samples = n_samples.max(1);
        let samples: Vec<Sample> =
            regions.iter().flat_map(|region| (0..n_samples).map(|k| region.sample(k, n_samples))).collect();
        Ok(self.network.measured(picture, &samples, self.batch)?.chunks(n_samples).map(mean).collect())
    }

    /// The points of the face that fills a crop, `[3, SIDE, SIDE]`, in its pixels, and its presence.
    ///
    /// # Errors
    /// [`Error::Device`] when the network fails.
    pub(crate) fn points_in(&mut self, crop: Array3<f32>) -> Result<(Vec<CropPx>, f32)> {
        let (points, presence) = self.network.answers(&crop.insert_axis(Axis(0)))?;
        let at = |i: usize| CropPx { x: points[[0, i, 0]].into(), y: points[[0, i, 1]].into() };
        let presence = presence.first().map_or(0.0, |logit| logistic(*logit));
        Ok(((0..mesh::N_POINTS).map(at).collect(), presence))
    }
}

impl MeshNetwork {
    /// The face of each sample, `batch` of them at once.
    fn measured(&mut self, picture: &Picture, samples: &[Sample], batch: usize) -> Result<Vec<FoundFace>> {
        let mut faces = Vec::with_capacity(samples.len());
        for samples in samples.chunks(batch) {
            faces.extend(self.run_batch(picture, samples)?);
        }
        Ok(faces)
    }

    fn run_batch(&mut self, picture: &Picture, samples: &[Sample]) -> Result<Vec<FoundFace>> {
        let look = |sample: &Sample| look(picture, &sample.region, sample.is_mirrored);
        let input = if let [sample] = samples {
            look(sample).insert_axis(Axis(0))
        } else {
            let mut input = Array4::zeros([samples.len(), 3, SIDE, SIDE]);
            samples.iter().zip(input.outer_iter_mut()).for_each(|(sample, mut to)| to.assign(&look(sample)));
            input
        };
        let (points, presence) = self.answers(&input)?;
        let faces =
            samples.iter().zip(points.outer_iter()).zip(presence.iter()).map(|((sample, points), logit)| {
                let alignment = sample.region.alignment();
                let to_frame = |i: usize| {
                    let at = |i: usize| (f64::from(points[[i, 0]]), f64::from(points[[i, 1]]));
                    let (x, y) = match mirror::PARTNERS.get(i) {
                        Some(partner) if sample.is_mirrored => {
                            let (x, y) = at(usize::from(*partner));
                            (SIDE as f64 - x, y)
                        }
                        _ => at(i),
                    };
                    alignment.to_frame(CropPx { x, y })
                };
                FoundFace { points: (0..mesh::N_POINTS).map(to_frame).collect(), presence: logistic(*logit) }
            });
        Ok(faces.collect())
    }
}

fn logistic(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// What the network is given of a region, `[3, SIDE, SIDE]`: RGB, 0..=1.
pub(crate) fn look(picture: &Picture, region: &Region, is_mirrored: bool) -> Array3<f32> {
    let crop = resample::cut(picture, &region.alignment(), SIDE, Interpolation::Bilinear);
    if is_mirrored { crop.slice_move(s![.., .., ..;-1]) } else { crop }
}

/// The mean of several measurements of one face, with the first one's presence.
fn mean(group: &[FoundFace]) -> FoundFace {
    let part = 1.0 / group.len() as f64;
    let mut points = vec![FramePx::default(); group[0].points.len()];
    for face in group {
        for (sum, p) in points.iter_mut().zip(&face.points) {
            (sum.x, sum.y) = (sum.x + part * p.x, sum.y + part * p.y);
        }
    }
    FoundFace { points, presence: group[0].presence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_networks_go_by_name() {
        let of = LandmarkNetwork::by_name;
        assert_eq!(of("full").expect("known"), LandmarkNetwork::Full);
        assert_eq!(of("fast").expect("known"), LandmarkSettings::default().network);
        assert_eq!(of("slow").expect_err("unknown").to_string(), "--landmarks = slow: must be full or fast");
        let [full, fast] = [LandmarkNetwork::Full, LandmarkNetwork::Fast].map(LandmarkNetwork::file);
        assert!(full.0 != fast.0 && full.1 != fast.1);
    }

    #[test]
    fn samples_surround_the_region_and_every_other_is_mirrored() {
        let region = Region { centre: FramePx { x: 50.0, y: 80.0 }, side: 40.0, angle: 0.3 };
        for n in [1, 2, 3, 4, 9, 16] {
            let samples: Vec<Sample> = (0..n).map(|k| region.sample(k, n)).collect();
            let mean_side = samples.iter().map(|sample| sample.region.side).sum::<f64>() / n as f64;
            assert!((mean_side - 40.0).abs() < 1e-9, "{n}: {mean_side}");
            for (k, Sample { region: moved, is_mirrored }) in samples.iter().enumerate() {
                assert_eq!(*is_mirrored, k % 2 == 1);
                assert!((moved.side / 40.0 - 1.0).abs() < 0.28 && (moved.angle - 0.3).abs() < 1e-12);
                let (x, y) = (moved.centre.x - 50.0, moved.centre.y - 80.0);
                assert!(x.abs() <= 2.0 && y.abs() <= 2.0 && (k > 1 || (x == 0.0 && y == 0.0)), "{k} of {n}");
            }
        }
        assert_eq!(region.sample(0, 1).region, region);
    }

    #[test]
    fn the_region_of_a_turned_face_is_level_in_its_own_picture() {
        // A face box of 40 x 60 around (200, 100), turned by 30 degrees.
        let (sin, cos) = 30.0_f64.to_radians().sin_cos();
        let at = |x: f64, y: f64| FramePx { x: 200.0 + cos * x - sin * y, y: 100.0 + sin * x + cos * y };
        let mut points = vec![at(0.0, 0.0); mesh::N_POINTS];
        points[mesh::OUTER_EYE_CORNERS[0]] = at(-15.0, -10.0);
        points[mesh::OUTER_EYE_CORNERS[1]] = at(15.0, -10.0);
        (points[0], points[1], points[2], points[3]) =
            (at(-20.0, 0.0), at(20.0, 0.0), at(0.0, -30.0), at(0.0, 30.0));
        let region = Region::from_points(&points);
        assert!((region.angle.to_degrees() - 30.0).abs() < 1e-9);
        assert!((region.side - 90.0).abs() < 1e-9);
        assert!((region.centre.x - 200.0).abs() < 1e-9 && (region.centre.y - 100.0).abs() < 1e-9);
        let alignment = region.alignment();
        let [right, left] = mesh::OUTER_EYE_CORNERS.map(|i| alignment.to_crop(points[i]));
        assert!((right.y - left.y).abs() < 1e-9 && left.x > right.x);
        let middle = alignment.to_crop(region.centre);
        assert!((middle.x - 128.0).abs() < 1e-9 && (middle.y - 128.0).abs() < 1e-9);
    }
}
