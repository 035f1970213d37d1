//! Does the output move as the input does?
//!
//! tOF (Chu, Xie, Mayer, Leal-Taixe and Thuerey, "Learning Temporal Coherence via Self-Supervision for GAN-based Video
//! Generation", 2020): the mean difference between the optical flows of two clips. The flow is Farneback's, as OpenCV
//! computes it.

use ndarray::{Array2, Array3};
use opencv::{
    core::{Mat, Vec2f},
    prelude::{MatTraitConst, MatTraitConstManual},
    video::calc_optical_flow_farneback,
};

use crate::{Error, Result};

/// OpenCV's version, as the library says.
pub fn opencv_version() -> String {
    opencv::core::get_version_string().unwrap_or_else(|e| format!("unknown ({e})"))
}

/// The motion from one frame to the next, pixels: `[h, w]` of `[to the right, downwards]`.
pub type Flow = Array2<[f32; 2]>;

/// The optical flow between two pictures of one size, on their grey values (Farneback: pyramid scale 0.5, 3 levels,
/// window 15, 3 iterations, polynomial 5 and 1.2).
///
/// # Errors
/// [`Error::Device`] with OpenCV's own words.
pub fn flow(before: &Array3<f32>, after: &Array3<f32>) -> Result<Flow> {
    let (before, after) = (grey(before)?, grey(after)?);
    let mut flow = Mat::default();
    calc_optical_flow_farneback(&before, &after, &mut flow, 0.5, 3, 15, 3, 5, 1.2, 0).map_err(failed)?;
    let pixels = flow.data_typed::<Vec2f>().map_err(failed)?;
    let size = (flow.rows() as usize, flow.cols() as usize);
    Array2::from_shape_vec(size, pixels.iter().map(|v| [v[0], v[1]]).collect())
        .map_err(|e| Error::Device(format!("OpenCV's flow: {e}")))
}

/// Sum of |a - b| over the pixels of `region` (everywhere when there is none), pixels, and how many there are.
///
/// # Panics
/// If the sizes differ.
pub fn flow_difference(a: &Flow, b: &Flow, region: Option<&Array2<f32>>) -> (f64, f64) {
    assert_eq!(a.dim(), b.dim(), "flows of one size");
    let (mut sum, mut n) = (0.0, 0.0);
    for ((i, a), b) in a.indexed_iter().zip(b) {
        if region.is_none_or(|region| region[i] > 0.5) {
            sum += f64::from((a[0] - b[0]).hypot(a[1] - b[1]));
            n += 1.0;
        }
    }
    (sum, n)
}

/// Sum of |after, moved back along `flow`, - before| over the pixels of `region` and the channels, 0..=1 each, and how
/// many there are: what doesn't move as `flow` says. Pixels that come from outside the picture don't count.
///
/// # Panics
/// If the sizes differ.
pub fn warp_error(
    before: &Array3<f32>,
    after: &Array3<f32>,
    flow: &Flow,
    region: Option<&Array2<f32>>,
) -> (f64, f64) {
    let (n_channels, h, w) = before.dim();
    assert!(before.dim() == after.dim() && flow.dim() == (h, w), "pictures and flow of one size");
    let (mut sum, mut n) = (0.0, 0.0);
    for ((y, x), v) in flow.indexed_iter() {
        let (u, v) = (x as f32 + v[0], y as f32 + v[1]);
        let is_inside = u >= 0.0 && v >= 0.0 && u < (w - 1) as f32 && v < (h - 1) as f32;
        if !is_inside || region.is_some_and(|region| region[[y, x]] <= 0.5) {
            continue;
        }
        let (left, top) = (u as usize, v as usize);
        let (fx, fy) = (u - left as f32, v - top as f32);
        for c in 0..n_channels {
            let row = |y: usize| (1.0 - fx) * after[[c, y, left]] + fx * after[[c, y, left + 1]];
            let moved = (1.0 - fy) * row(top) + fy * row(top + 1);
            sum += f64::from((moved - before[[c, y, x]]).abs());
            n += 1.0;
        }
    }
    (sum, n)
}

fn grey(picture: &Array3<f32>) -> Result<Mat> {
    let (_, h, w) = picture.dim();
    let at = |y: usize, x: usize| {
        let [r, g, b] = [0, 1, 2].map(|c| picture[[c, y, x]]);
        ((0.299 * r + 0.587 * g + 0.114 * b) * 255.0).round().clamp(0.0, 255.0) as u8
    };
    let pixels: Vec<u8> = (0..h * w).map(|i| at(i / w, i % w)).collect();
    let rows: Vec<&[u8]> = pixels.chunks_exact(w).collect();
    Mat::from_slice_2d(&rows).map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: opencv::Error) -> Error {
    Error::Device(format!("OpenCV: {error}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;

    /// A pattern of blobs, moved.
    fn blobs(dx: f32, dy: f32) -> Array3<f32> {
        Array3::from_shape_fn((3, 90, 120), |(_, y, x)| {
            let (x, y) = (x as f32 - dx, y as f32 - dy);
            0.5 + 0.2 * (x * 0.31).sin() * (y * 0.27).cos() + 0.2 * (x * 0.11 + y * 0.17).sin()
        })
    }

    #[test]
    fn a_shift_is_found() {
        let flow = flow(&blobs(0.0, 0.0), &blobs(1.5, -0.8)).unwrap();
        let middle = flow.slice(ndarray::s![30..60, 40..80]);
        let mean = |c: usize| middle.iter().map(|v| v[c]).sum::<f32>() / middle.len() as f32;
        assert!((mean(0) - 1.5).abs() < 0.1 && (mean(1) + 0.8).abs() < 0.1, "{} {}", mean(0), mean(1));
    }

    #[test]
    fn a_clip_that_moves_alike_has_no_flicker_and_a_still_one_has_the_motion() {
        let moving = flow(&blobs(0.0, 0.0), &blobs(1.5, 0.0)).unwrap();
        let brighter = flow(&(blobs(0.0, 0.0) * 0.9), &(blobs(1.5, 0.0) * 0.9)).unwrap();
        let still = flow(&blobs(0.0, 0.0), &blobs(0.0, 0.0)).unwrap();
        let middle = Array2::from_shape_fn((90, 120), |(y, x)| {
            f32::from((30..60).contains(&y) && (40..80).contains(&x))
        });
        let mean = |(sum, n): (f64, f64)| sum / n;
        assert!(mean(flow_difference(&moving, &brighter, Some(&middle))) < 0.05);
        assert!((mean(flow_difference(&moving, &still, Some(&middle))) - 1.5).abs() < 0.1);
        assert_eq!(flow_difference(&moving, &still, Some(&Array2::zeros((90, 120)))), (0.0, 0.0));
    }

    #[test]
    fn what_moves_along_has_no_warp_error_and_what_flickers_has() {
        let (before, after) = (blobs(0.0, 0.0), blobs(1.5, -0.8));
        let along = Array2::from_elem((90, 120), [1.5, -0.8]);
        let mean = |(sum, n): (f64, f64)| sum / n;
        assert!(mean(warp_error(&before, &after, &along, None)) < 0.005);
        let still = Array2::from_elem((90, 120), [0.0, 0.0]);
        assert!(mean(warp_error(&before, &after, &still, None)) > 0.04);
        assert!((mean(warp_error(&before, &(after + 0.1), &along, None)) - 0.1).abs() < 0.01);
    }

    #[test]
    fn the_library_says_its_version() {
        let version = opencv_version();
        assert!(version.split('.').count() >= 3 && version.starts_with(char::is_numeric), "{version}");
    }
}
