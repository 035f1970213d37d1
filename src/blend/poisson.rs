//! Blending of gradients (Perez, Gangnet and Blake, "Poisson Image Editing", 2003), as OpenCV does it: a strategy to
//! compare with.

use opencv::{
    core::{CV_8UC1, CV_8UC3, Mat, Point, Scalar},
    photo::{NORMAL_CLONE, seamless_clone},
    prelude::*,
};

use crate::{Error, Result};

/// Room around the mask, so that it never touches the border, where OpenCV fails.
const BORDER: usize = 3;

/// The new face cloned into the target: three planes of rows of `width` each, 0..=1. Both come as they are, in 8 bits.
///
/// # Errors
/// [`Error::Device`] with OpenCV's own words.
pub(super) fn cloned(new: &[f32], target: &[f32], mask: &[f32], width: usize) -> Result<Vec<f32>> {
    let (n, height) = (mask.len(), mask.len() / width);
    let inside = |i: usize| mask[i] > 0.5;
    let columns = || (0..width).filter(|x| (0..height).any(|y| inside(y * width + x)));
    let rows = || (0..height).filter(|y| (0..width).any(|x| inside(y * width + x)));
    let (Some(x0), Some(x1), Some(y0), Some(y1)) =
        (columns().min(), columns().max(), rows().min(), rows().max())
    else {
        return Ok(target.to_vec());
    };
    let (source, into, stencil) =
        (picture(new, width, height)?, picture(target, width, height)?, stencil(mask, width, height)?);
    // OpenCV puts the middle of the mask's box here, rounded down: where it is.
    let (box_width, box_height) = (x1 - x0 + 1, y1 - y0 + 1);
    let place = Point::new((BORDER + x0 + box_width / 2) as i32, (BORDER + y0 + box_height / 2) as i32);
    let mut out = Mat::default();
    seamless_clone(&source, &into, &stencil, place, &mut out, NORMAL_CLONE).map_err(failed)?;
    let bytes = out.data_bytes().map_err(failed)?;
    let stride = 3 * (width + 2 * BORDER);
    let at = |i: usize, c: usize| {
        let (x, y) = (i % width + BORDER, i / width + BORDER);
        f32::from(bytes[y * stride + 3 * x + c]) / 255.0
    };
    Ok((0..3).flat_map(|c| (0..n).map(move |i| (i, c))).map(|(i, c)| at(i, c)).collect())
}

fn picture(planes: &[f32], width: usize, height: usize) -> Result<Mat> {
    let n = width * height;
    filled(CV_8UC3, width, height, |i, out| {
        for c in 0..3 {
            out[c] = (planes[c * n + i] * 255.0).round().clamp(0.0, 255.0) as u8;
        }
    })
}

fn stencil(mask: &[f32], width: usize, height: usize) -> Result<Mat> {
    filled(CV_8UC1, width, height, |i, out| out[0] = if mask[i] > 0.5 { 255 } else { 0 })
}

/// A picture with a black border.
fn filled(kind: i32, width: usize, height: usize, mut pixel: impl FnMut(usize, &mut [u8])) -> Result<Mat> {
    let (full_width, full_height) = (width + 2 * BORDER, height + 2 * BORDER);
    let mut mat =
        Mat::new_rows_cols_with_default(full_height as i32, full_width as i32, kind, Scalar::all(0.0))
            .map_err(failed)?;
    let n_channels = if kind == CV_8UC3 { 3 } else { 1 };
    let bytes = mat.data_bytes_mut().map_err(failed)?;
    for i in 0..width * height {
        let at = ((i / width + BORDER) * full_width + i % width + BORDER) * n_channels;
        pixel(i, &mut bytes[at..at + n_channels]);
    }
    Ok(mat)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: opencv::Error) -> Error {
    Error::Device(format!("OpenCV: {error}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;

    #[test]
    fn gradients_are_the_new_faces_and_the_tone_is_the_targets() {
        let (w, h) = (60, 50);
        let n = w * h;
        let wave = |i: usize| 0.05 * ((i % w) as f32 * 0.7).sin();
        let new: Vec<f32> = (0..3 * n).map(|i| 0.7 + wave(i % n)).collect();
        let target = vec![0.4; 3 * n];
        let inside = |i: usize| (12..48).contains(&(i % w)) && (10..40).contains(&(i / w));
        let mask: Vec<f32> = (0..n).map(|i| if inside(i) { 1.0 } else { 0.0 }).collect();
        let out = cloned(&new, &target, &mask, w).unwrap();
        for (i, v) in out[..n].iter().enumerate() {
            if inside(i) {
                assert!((v - 0.4 - wave(i)).abs() < 0.06, "pixel {i}: {v}");
            } else {
                assert!((v - 0.4).abs() < 0.003, "pixel {i} is outside: {v}");
            }
        }
        assert_eq!(cloned(&new, &target, &vec![0.0; n], w).unwrap(), target);
    }
}
