//! The sheet that shows where a training stands.
//!
//! For each identity three rows: its faces, their reconstruction, their swap to the next identity. Faces of people
//! who are never trained follow, each in the original and as every identity.

use std::{fs, path::Path};

use burn::tensor::{Tensor, TensorData, backend::Backend};
use image::{RgbImage, imageops};
use ndarray::{Array4, Axis};

use super::{
    config::TrainConfig,
    data::Identity,
    model::{Comb, Stage, side_of_level},
};
use crate::{Error, Result, face_set::rgb8_from_crop};

/// Faces in a row.
const N_COLUMNS: usize = 10;

/// The sheet's name in the training's folder.
pub const FILE_NAME: &str = "preview.png";

/// The folder of the sheets of all checkpoints: the pictures of a film.
const FILM: &str = "timelapse";

/// Largest side of a face in the film, pixels.
const FILM_SIDE_PX: u32 = 128;

/// Side above which faces go through one by one, pixels: a row of larger ones takes more memory than a step of training.
const MOST_AT_ONCE_PX: usize = 256;

/// How many of `n` faces go through at once.
pub fn n_at_once(side_px: usize, n: usize) -> usize {
    if side_px > MOST_AT_ONCE_PX { 1 } else { n }
}

/// What is shown.
pub struct Sheet {
    picture: RgbImage,
    n_rows: u32,
}

/// Draws the sheet.
pub fn sheet<B: Backend>(
    comb: &Comb<B>,
    stage: Stage,
    identities: &[Identity],
    strangers: Option<&Identity>,
    device: &B::Device,
) -> Sheet {
    let side_px = side_of_level(stage.level);
    let mut rows = Vec::new();
    let swap = |input: &Array4<f32>, who: usize| -> Array4<f32> {
        let (n, _, h, w) = input.dim();
        let mut row = Array4::zeros((n, 4, h, w));
        let n_at_once = n_at_once(side_px, n);
        let parts =
            row.axis_chunks_iter_mut(Axis(0), n_at_once).zip(input.axis_chunks_iter(Axis(0), n_at_once));
        for (mut to, from) in parts {
            let input = tensor_from_array(&from.to_owned(), device);
            to.assign(&array_from_tensor(comb.forward(input, who, stage)));
        }
        row
    };
    for (who, identity) in identities.iter().enumerate() {
        let batch = identity.plain(N_COLUMNS, side_px);
        rows.push(batch.target.clone());
        rows.push(swap(&batch.input, who));
        rows.push(swap(&batch.input, (who + 1) % identities.len()));
    }
    if let Some(strangers) = strangers {
        let batch = strangers.plain(N_COLUMNS, side_px);
        rows.push(batch.input.clone());
        rows.extend((0..identities.len()).map(|who| swap(&batch.input, who)));
    }
    let (side, n_rows) = (side_px as u32, rows.len() as u32);
    let mut picture = RgbImage::new(side * N_COLUMNS as u32, side * n_rows);
    for (j, row) in rows.iter().enumerate() {
        for (i, face) in row.axis_iter(Axis(0)).enumerate() {
            let tile = rgb8_from_crop(&face.slice(ndarray::s![..3, .., ..]).to_owned());
            imageops::replace(&mut picture, &tile, i64::from(side) * i as i64, i64::from(side) * j as i64);
        }
    }
    Sheet { picture, n_rows }
}

impl Sheet {
    /// Writes the sheet to the training's folder `out`, and adds it to its film, where every level has one size.
    ///
    /// # Errors
    /// [`Error::Io`] when one of them can't be written.
    pub fn write(&self, out: &Path, config: &TrainConfig) -> Result<()> {
        save(&self.picture, &out.join(FILE_NAME))?;
        let film = out.join(FILM);
        fs::create_dir_all(&film).map_err(Error::io(&film))?;
        let frames = fs::read_dir(&film).map_err(Error::io(&film))?.flatten();
        let number = |name: &str| name.strip_suffix(".png")?.parse::<u64>().ok();
        let last = frames.filter_map(|entry| number(entry.file_name().to_str()?)).max().unwrap_or(0);
        let side_px = FILM_SIDE_PX.min(config.side_px() as u32);
        let (w, h) = (side_px * N_COLUMNS as u32, side_px * self.n_rows);
        let frame = imageops::resize(&self.picture, w, h, imageops::FilterType::Triangle);
        save(&frame, &film.join(format!("{:06}.png", last + 1)))
    }
}

/// Writes a picture by way of a temporary name.
fn save(picture: &RgbImage, path: &Path) -> Result<()> {
    let temporary = path.with_extension("partial.png");
    let saved = picture
        .save(&temporary)
        .map_err(|e| Error::Io { path: temporary.clone(), source: std::io::Error::other(e) })
        .and_then(|()| fs::rename(&temporary, path).map_err(Error::io(path)));
    if saved.is_err() {
        // Half a picture is no use, and the disk may be full.
        let _ = fs::remove_file(&temporary);
    }
    saved
}

/// An array of ours as a tensor of the framework.
pub fn tensor_from_array<B: Backend>(array: &Array4<f32>, device: &B::Device) -> Tensor<B, 4> {
    let (n, c, h, w) = array.dim();
    let values: Vec<f32> = array.iter().copied().collect();
    Tensor::from_data(TensorData::new(values, [n, c, h, w]), device)
}

/// A tensor of the framework as an array of ours.
///
/// # Panics
/// Never: a tensor's data has as many values as its shape says.
pub fn array_from_tensor<B: Backend>(tensor: Tensor<B, 4>) -> Array4<f32> {
    let shape = tensor.dims();
    let values: Vec<f32> = tensor.into_data().convert::<f32>().into_vec().unwrap_or_default();
    Array4::from_shape_vec(shape, values).unwrap_or_else(|_| Array4::zeros(shape))
}
