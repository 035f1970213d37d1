//! The sheet that shows where a training stands.
//!
//! For each identity three rows: its faces, their reconstruction, their swap to the next identity. Faces of people
//! who are never trained follow, each in the original and as every identity.

use std::path::Path;

use burn::tensor::{Tensor, TensorData, backend::Backend};
use image::{RgbImage, imageops};
use ndarray::{Array4, Axis};

use super::{
    data::Identity,
    model::{Comb, Stage, side_of_level},
};
use crate::{Error, Result, face_set::rgb8_from_crop};

/// Faces in a row.
const N_COLUMNS: usize = 10;

/// Draws the sheet and writes it to `path` by way of a temporary name.
///
/// # Errors
/// [`Error::Io`] when it can't be written.
pub fn write<B: Backend>(
    path: &Path,
    comb: &Comb<B>,
    stage: Stage,
    identities: &[Identity],
    strangers: Option<&Identity>,
    device: &B::Device,
) -> Result<()> {
    let side_px = side_of_level(stage.level);
    let mut rows = Vec::new();
    let swap = |input: &Array4<f32>, who: usize| -> Array4<f32> {
        array_from_tensor(comb.forward(tensor_from_array(input, device), who, stage))
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
    let side = side_px as u32;
    let mut sheet = RgbImage::new(side * N_COLUMNS as u32, side * rows.len() as u32);
    for (j, row) in rows.iter().enumerate() {
        for (i, face) in row.axis_iter(Axis(0)).enumerate() {
            let tile = rgb8_from_crop(&face.slice(ndarray::s![..3, .., ..]).to_owned());
            imageops::replace(&mut sheet, &tile, i64::from(side) * i as i64, i64::from(side) * j as i64);
        }
    }
    let temporary = path.with_extension("partial.png");
    sheet
        .save(&temporary)
        .map_err(|e| Error::Io { path: temporary.clone(), source: std::io::Error::other(e) })?;
    std::fs::rename(&temporary, path).map_err(Error::io(path))
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
