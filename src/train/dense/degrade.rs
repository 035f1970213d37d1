//! What cameras and codecs do to a picture; done to labelled pictures of every kind alike, so that no label can be
//! told from it.

use std::io::Cursor;

use image::{ExtendedColorType, ImageFormat, codecs::jpeg::JpegEncoder};
use ndarray::{Array2, Array3, ArrayViewMut3};
use rand::{Rng, rngs::SmallRng};

use super::plane::blurred_picture;
use crate::face_set::rgb8_from_crop;

/// Changes colour, sharpness, size, noise and compression of a picture, each now and then.
pub fn degrade(picture: &mut Array3<f32>, rng: &mut SmallRng) {
    tint(picture, rng, 0.2);
    if rng.random_bool(0.3) {
        let side = picture.dim().1 as f32;
        *picture = blurred_picture(picture, side * rng.random_range(0.004..0.014));
    }
    if rng.random_bool(0.4) {
        grain(picture, rng.random_range(0.0..0.05), rng);
    }
    if rng.random_bool(0.4) {
        compress(&mut picture.view_mut(), rng.random_range(50..95));
    }
    // The running sums of a blur may end a hair outside.
    picture.mapv_inplace(|v| v.clamp(0.0, 1.0));
}

/// Gain, gamma and saturation, each within `reach` of none.
pub fn tint(picture: &mut Array3<f32>, rng: &mut SmallRng, reach: f32) {
    let mut near = |reach: f32| 1.0 + rng.random_range(-reach..=reach);
    let (all, gamma, saturation) = (near(reach), near(reach), near(reach));
    let gain = [0; 3].map(|_| all * near(reach * 0.5));
    let (_, h, w) = picture.dim();
    for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
        let rgb = [0, 1, 2].map(|c| gain[c] * picture[[c, y, x]].max(0.0).powf(gamma));
        let luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        for c in 0..3 {
            picture[[c, y, x]] = (luma + saturation * (rgb[c] - luma)).clamp(0.0, 1.0);
        }
    }
}

/// Adds noise of this standard deviation; half the time of 2-pixel grain.
pub fn grain(picture: &mut Array3<f32>, sigma: f32, rng: &mut SmallRng) {
    let (_, h, w) = picture.dim();
    let is_coarse = rng.random_bool(0.5);
    let is_grey = rng.random_bool(0.5);
    let mut noise = || -> Array2<f32> {
        Array2::from_shape_fn([h, w], |_| {
            // The sum of four even values has a variance of a third.
            (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 1.73
        })
    };
    let grey = noise();
    for mut channel in picture.outer_iter_mut() {
        let own = if is_grey { grey.clone() } else { noise() };
        channel.indexed_iter_mut().for_each(|((y, x), v)| {
            let n = if is_coarse { own[[y / 2 * 2, x / 2 * 2]] } else { own[[y, x]] };
            *v = (*v + sigma * n).clamp(0.0, 1.0);
        });
    }
}

/// Through JPEG of this quality and back; a picture that can't be coded stays as it is.
pub fn compress(picture: &mut ArrayViewMut3<'_, f32>, quality: u8) {
    let coded = rgb8_from_crop(&picture.to_owned());
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(Cursor::new(&mut bytes), quality);
    let (w, h) = coded.dimensions();
    let written = image::ImageEncoder::write_image(encoder, coded.as_raw(), w, h, ExtendedColorType::Rgb8);
    let Ok(read) = written.and_then(|()| image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg))
    else {
        return;
    };
    for (x, y, pixel) in read.to_rgb8().enumerate_pixels() {
        for c in 0..3 {
            picture[[c, y as usize, x as usize]] = f32::from(pixel.0[c]) / 255.0;
        }
    }
}
