//! Face sets in memory, and the batches that training draws from them.

use image::GrayImage;
use ndarray::{Array3, Array4, ArrayViewMut3, Axis, s};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    augment::{Augmentation, Geometry, keep, sample_rgb, sample_weight},
    balance::rarity,
    tone::Tone,
};
use crate::{
    Error, Result,
    face::{Look, guides, mesh::N_POINTS},
    face_set::{FaceEntry, FaceSet, rgb8_from_crop},
    frame::CropPx,
    line::side_by_side,
    settings::n_hardware_threads,
};

/// Weight of what is not face: enough that the surroundings come out roughly right.
const OUTSIDE: f32 = 0.05;

/// Steps of a stored weight from 0 to 1.
const WEIGHT_SCALE: f32 = 24.0;

/// Points of the mesh around the image's left eye, its right eye and the mouth, and the extra weight in the middle: the
/// points' means and extents say where the loss looks harder. Eyes are small, and nothing is looked at more.
const FEATURES: [(&[usize], f32); 3] =
    [(&[33, 133, 159, 145], 9.0), (&[362, 263, 386, 374], 9.0), (&[61, 291, 0, 17], 4.0)];

/// Threads that draw batches: so many that a GPU needn't wait, and some cores less than there are.
pub fn n_loaders() -> usize {
    (n_hardware_threads() * 3 / 4).clamp(2, 16)
}

/// A face in memory: 8 bits, rows of RGB.
pub struct Sample {
    image: Vec<u8>,
    /// How much of each pixel of the image is paint, of 255; none without guides.
    paint: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    mask: Vec<u8>,
    weight: Vec<u8>,
    /// Above 0, 1 for the rarest face of its folder.
    rarity: f32,
}

/// All faces of one identity, folder by folder.
pub struct Identity {
    /// The identity's name.
    pub name: String,
    guides: bool,
    folders: Vec<Vec<Sample>>,
    side_px: usize,
}

/// What all face sets of a training have in common.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Alignment {
    /// The template's name.
    pub template: String,
    /// Side of the crop in extents of the template.
    pub margin: f64,
    /// Whether the encoder is shown the mesh, painted over the crop (see [`crate::face::guides`]).
    #[serde(default)]
    pub guides: bool,
}

impl Alignment {
    /// That of a face set, and whether the mesh is painted over its faces.
    pub fn of(set: &FaceSet, guides: bool) -> Self {
        Self { template: set.header.template.clone(), margin: set.header.margin, guides }
    }
}

/// One step's samples of one identity. Shapes `[batch, channels, side, side]`.
pub struct Batch {
    /// What the encoder sees, RGB.
    pub input: Array4<f32>,
    /// What the decoder shall give, RGB.
    pub target: Array4<f32>,
    /// Where the face is, one channel.
    pub mask: Array4<f32>,
    /// How much each pixel counts, one channel.
    pub weight: Array4<f32>,
}

impl Batch {
    /// Bytes of a face of `side_px`.
    pub fn n_bytes(side_px: usize) -> usize {
        (3 + 3 + 1 + 1) * side_px * side_px * size_of::<f32>()
    }

    /// The `nth` of `n` equal parts.
    pub fn part(&self, nth: usize, n: usize) -> Self {
        let size = self.input.dim().0 / n;
        let cut = |all: &Array4<f32>| all.slice(s![nth * size..(nth + 1) * size, .., .., ..]).to_owned();
        Self {
            input: cut(&self.input),
            target: cut(&self.target),
            mask: cut(&self.mask),
            weight: cut(&self.weight),
        }
    }
}

impl Identity {
    /// An identity without faces, and whether the encoder is shown their meshes.
    pub fn new(name: &str, guides: bool) -> Self {
        Self { name: name.into(), guides, folders: Vec::new(), side_px: 0 }
    }

    /// Reads a face set into memory.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a set that is empty, can't be read, or was cut unlike `alignment` or the sets before.
    pub fn add(&mut self, set: &FaceSet, alignment: &mut Option<Alignment>) -> Result<()> {
        let cut = Alignment::of(set, self.guides);
        let first = alignment.get_or_insert_with(|| cut.clone());
        if *first != cut {
            let reason = format!("was cut with {cut:?}, the others with {first:?}; extract it again");
            return Err(Error::input(&set.dir, reason));
        }
        if self.side_px != 0 && self.side_px != set.header.side_px {
            let reason = format!(
                "has pictures of {} px, {}'s other sets {} px; extract one of them again with another --side",
                set.header.side_px, self.name, self.side_px
            );
            return Err(Error::input(&set.dir, reason));
        }
        if set.entries.is_empty() {
            let reason = match set.excluded.len() {
                0 => "holds no faces; add some with `faceswap extract FOOTAGE -o` this folder".into(),
                n => format!(
                    "all of its {n} faces are left out; `faceswap faces sort --restore` takes them back"
                ),
            };
            return Err(Error::input(&set.dir, reason));
        }
        self.side_px = set.header.side_px;
        let rarity =
            rarity(&set.entries.iter().map(|entry| Look::of_crop(&entry.points)).collect::<Vec<_>>());
        let read = |(entry, rarity)| Sample::read(set, entry, rarity, self.guides);
        let samples = side_by_side(set.entries.iter().zip(rarity).collect(), n_hardware_threads(), &read)?;
        self.folders.push(samples.into_iter().collect::<Result<_>>()?);
        Ok(())
    }

    /// Faces in all folders.
    pub fn n_faces(&self) -> usize {
        self.folders.iter().map(Vec::len).sum()
    }

    /// A batch of `n` faces for a step: the same for the same seed, step and identity, whatever was drawn before.
    /// `balance` is how much more often rare poses and expressions are drawn, 0 to 1.
    pub fn batch(
        &self,
        who: usize,
        step: u64,
        seed: u64,
        (n, side_px): (usize, usize),
        (augmentation, balance): (&Augmentation, f64),
    ) -> Batch {
        self.batch_from(step.wrapping_mul(n as u64), (who, step, seed), (n, side_px), (augmentation, balance))
    }

    /// The same where the steps before have drawn `n_before` faces and not `n` each.
    pub fn batch_from(
        &self,
        n_before: u64,
        (who, step, seed): (usize, u64, u64),
        (n, side_px): (usize, usize),
        (augmentation, balance): (&Augmentation, f64),
    ) -> Batch {
        let mut batch = Batch::zeros(n, side_px);
        for i in 0..n {
            let mut rng = SmallRng::seed_from_u64(mixed(&[seed, step, who as u64, i as u64]));
            // Folder after folder, on from where the step before stopped: more folders than samples is no loss.
            let nth = (n_before as usize).wrapping_add(i);
            let folder = &self.folders[nth % self.folders.len()];
            let sample = pick(folder, balance, &mut rng);
            self.fill(&mut batch, i, sample, &augmentation.draw(&mut rng, self.side_px, side_px));
        }
        batch
    }

    /// `n` faces spread over all folders, as they are.
    pub fn plain(&self, n: usize, side_px: usize) -> Batch {
        let mut batch = Batch::zeros(n, side_px);
        let as_is = Augmentation::none().draw(&mut SmallRng::seed_from_u64(0), self.side_px, side_px);
        for i in 0..n {
            let folder = &self.folders[i % self.folders.len()];
            self.fill(&mut batch, i, &folder[(folder.len() - 1) * i / n.max(1)], &as_is);
        }
        batch
    }

    fn fill(
        &self,
        batch: &mut Batch,
        i: usize,
        sample: &Sample,
        (geometry, warped, both, input): &(Geometry, Geometry, Tone, Tone),
    ) {
        let side_px = self.side_px;
        let rgb = |pixels: &[u8], geometry: &Geometry, tones: &[&Tone], to: ArrayViewMut3<'_, f32>| {
            sample_rgb(pixels, side_px, geometry, tones, to);
        };
        let mut face = batch.input.index_axis_mut(Axis(0), i);
        rgb(&sample.image, warped, &[], face.view_mut());
        let clean = sample.paint.as_ref().map(|paint| (paint, face.to_owned()));
        [both, input].into_iter().for_each(|tone| tone.apply(&mut face));
        if let Some((paint, clean)) = clean {
            // In a swap the paint has its own colours, whatever the light: so it has here.
            let mut share = Array3::zeros((1, face.dim().1, face.dim().2));
            sample_weight(paint, side_px, warped, 255.0, share.view_mut());
            keep(&share.index_axis(Axis(0), 0), &clean.view(), &mut face);
        }
        let target = sample.target.as_ref().unwrap_or(&sample.image);
        rgb(target, geometry, &[both], batch.target.index_axis_mut(Axis(0), i));
        sample_weight(&sample.mask, side_px, geometry, 255.0, batch.mask.index_axis_mut(Axis(0), i));
        sample_weight(
            &sample.weight,
            side_px,
            geometry,
            WEIGHT_SCALE,
            batch.weight.index_axis_mut(Axis(0), i),
        );
    }
}

/// A face of `folder`, by its rarity to the power of `balance`.
fn pick<'a>(folder: &'a [Sample], balance: f64, rng: &mut SmallRng) -> &'a Sample {
    loop {
        let sample = &folder[rng.random_range(0..folder.len())];
        // Common faces are put back now and then; the rarest never is, so this ends.
        if balance == 0.0 || rng.random::<f32>() < sample.rarity.powf(balance as f32) {
            return sample;
        }
    }
}

impl Batch {
    fn zeros(n: usize, side_px: usize) -> Self {
        let zeros = |channels| Array4::zeros((n, channels, side_px, side_px));
        Self { input: zeros(3), target: zeros(3), mask: zeros(1), weight: zeros(1) }
    }
}

impl Sample {
    fn read(set: &FaceSet, entry: &FaceEntry, rarity: f32, guides: bool) -> Result<Self> {
        let mask = set.gray(&entry.mask)?;
        if entry.points.len() < N_POINTS {
            return Err(Error::input(
                set.dir.join(&entry.image),
                format!("{} points, a mesh has 478", entry.points.len()),
            ));
        }
        let image = set.rgb(&entry.image)?;
        let target = entry.target.as_ref().map(|name| set.rgb(name)).transpose()?;
        let (image, paint, target) = if guides {
            let (painted, share) = painted(&image, &entry.points);
            (painted, Some(share), Some(target.unwrap_or(image)))
        } else {
            (image, None, target)
        };
        Ok(Self {
            image: image.into_raw(),
            paint,
            target: target.map(image::RgbImage::into_raw),
            rarity,
            weight: weight_map(&mask, &entry.points),
            mask: mask.into_raw(),
        })
    }
}

/// A face with its mesh painted over it, and how much of each pixel is paint, of 255.
fn painted(image: &image::RgbImage, points: &[[f32; 2]]) -> (image::RgbImage, Vec<u8>) {
    let (w, h) = image.dimensions();
    let mut crop = Array3::from_shape_fn([3, h as usize, w as usize], |(c, y, x)| {
        f32::from(image.get_pixel(x as u32, y as u32).0[c]) / 255.0
    });
    let points: Vec<CropPx> =
        points.iter().map(|[x, y]| CropPx { x: f64::from(*x), y: f64::from(*y) }).collect();
    guides::paint(&mut crop, &points);
    let share = guides::paint_share(&points, w as usize);
    (rgb8_from_crop(&crop), share.iter().map(|share| (share * 255.0).round() as u8).collect())
}

/// How much each pixel counts, in units of `1 / WEIGHT_SCALE`: little outside the mask, most in eyes and mouth.
fn weight_map(mask: &GrayImage, points: &[[f32; 2]]) -> Vec<u8> {
    let blobs = FEATURES.map(|(of, gain)| {
        let n = of.len() as f32;
        let (x, y) = of.iter().fold((0.0, 0.0), |s, i| (s.0 + points[*i][0] / n, s.1 + points[*i][1] / n));
        let reach = of.iter().map(|i| (points[*i][0] - x).hypot(points[*i][1] - y)).fold(0.0, f32::max);
        // Profiles shorten an eye; its weight stays at least a tenth of the crop wide.
        (x, y, (0.75 * reach).max(0.05 * mask.width() as f32), gain)
    });
    let weight = mask.enumerate_pixels().map(|(px, py, m)| {
        let inside = f32::from(m.0[0]) / 255.0;
        let near = blobs.iter().map(|(x, y, r, gain)| {
            let (dx, dy) = (px as f32 + 0.5 - x, py as f32 + 0.5 - y);
            gain * (-(dx * dx + dy * dy) / (2.0 * r * r)).exp()
        });
        let feature = near.fold(0.0, f32::max);
        ((OUTSIDE + (1.0 - OUTSIDE) * inside + feature * inside) * WEIGHT_SCALE).round() as u8
    });
    weight.collect()
}

/// One number out of several (the finaliser of splitmix64, Steele et al. 2014).
pub(super) fn mixed(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |h, part| {
        let mut z = (h ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::config::{Preset, TrainConfig};

    /// An identity with folders of one grey face each: the first of value 10, the second of value 20, and so on.
    fn identity(n_folders: u8) -> Identity {
        let sample = |value: u8| Sample {
            image: vec![value; 8 * 8 * 3],
            paint: None,
            target: None,
            mask: vec![255; 64],
            weight: vec![64; 64],
            rarity: if value == 10 { 1.0 } else { 0.25 },
        };
        let folders = (1..=n_folders).map(|nth| vec![sample(nth * 10)]).collect();
        Identity { name: "A".into(), guides: false, folders, side_px: 8 }
    }

    fn config(balance: f64) -> TrainConfig {
        let config = Preset::Tiny.config().expect("a preset");
        TrainConfig { balance, augmentation: Augmentation::none(), ..config }
    }

    #[test]
    fn rare_faces_are_drawn_as_much_more_often_as_they_should() {
        // One folder of a rare face and three common ones, which are a quarter as much worth each.
        let mut identity = identity(4);
        identity.folders = vec![identity.folders.drain(..).flatten().collect()];
        for (balance, wanted) in [(0.0, 0.25), (0.5, 0.4), (1.0, 4.0 / 7.0)] {
            let config = config(balance);
            let n_rare: usize = (0..500)
                .map(|step| {
                    let batch = identity.batch(0, step, 1, (4, 8), (&config.augmentation, config.balance));
                    batch.target.outer_iter().filter(|face| (face[[0, 4, 4]] * 255.0).round() == 10.0).count()
                })
                .sum();
            let share = n_rare as f64 / 2000.0;
            assert!((share - wanted).abs() < 0.04, "balance {balance}: {share}, not {wanted}");
        }
    }

    #[test]
    fn every_folder_has_its_turn_also_when_a_batch_is_smaller() {
        let identity = identity(7);
        let mut drawn: Vec<u8> = (0..7)
            .flat_map(|step| {
                let batch = identity.batch(0, step, 1, (2, 8), (&Augmentation::none(), 0.5));
                batch
                    .target
                    .outer_iter()
                    .map(|face| (face[[0, 4, 4]] * 255.0).round() as u8)
                    .collect::<Vec<_>>()
            })
            .collect();
        drawn.sort_unstable();
        let twice: Vec<u8> = (1..=7).flat_map(|nth| [nth * 10, nth * 10]).collect();
        assert_eq!(drawn, twice);
    }

    #[test]
    fn a_batch_follows_from_seed_step_and_identity_alone() {
        let config = TrainConfig { augmentation: Augmentation::default(), ..config(0.5) };
        let identity = identity(3);
        let draw = |who, step, seed| {
            identity.batch(who, step, seed, (2, 8), (&config.augmentation, config.balance)).input
        };
        assert_eq!(draw(0, 5, 1), draw(0, 5, 1));
        assert!(
            draw(0, 5, 1) != draw(1, 5, 1)
                && draw(0, 5, 1) != draw(0, 5, 2)
                && draw(0, 5, 1) != draw(0, 8, 1)
        );
    }
}
