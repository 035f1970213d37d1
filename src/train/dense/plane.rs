//! Square planes of numbers, and what is done to them: blurring, resampling, mixing.
#![expect(clippy::needless_pass_by_value, reason = "views are made for the call")]

use ndarray::{Array2, Array3, ArrayView2, Axis, Zip};

/// Blurs `passes` times with a box of `2 radius + 1` pixels; three passes come near a Gaussian of
/// `sigma = sqrt(passes radius (radius + 1) / 3)`. The border is repeated.
pub fn box_blurred(plane: ArrayView2<'_, f32>, radius: usize, passes: usize) -> Array2<f32> {
    let mut out = plane.to_owned();
    if radius == 0 {
        return out;
    }
    for _ in 0..passes {
        for axis in [0, 1] {
            for mut lane in out.lanes_mut(Axis(axis)) {
                let n = lane.len() as isize;
                let old: Vec<f32> = lane.iter().copied().collect();
                let at = |i: isize| old[i.clamp(0, n - 1) as usize];
                let r = radius as isize;
                let mut sum: f32 = (-r..=r).map(at).sum();
                for i in 0..n {
                    lane[i as usize] = sum / (2 * r + 1) as f32;
                    sum += at(i + r + 1) - at(i - r);
                }
            }
        }
    }
    out
}

/// [`box_blurred`] with three passes and about this standard deviation, pixels.
pub fn blurred(plane: ArrayView2<'_, f32>, sigma: f32) -> Array2<f32> {
    // radius (radius + 1) = sigma^2
    let radius = ((4.0 * sigma * sigma + 1.0).sqrt() - 1.0) / 2.0;
    box_blurred(plane, radius.round() as usize, 3)
}

/// [`blurred`] for each channel of `[channels, side, side]`.
pub fn blurred_picture(picture: &Array3<f32>, sigma: f32) -> Array3<f32> {
    let mut out = picture.clone();
    for (mut to, from) in out.outer_iter_mut().zip(picture.outer_iter()) {
        to.assign(&blurred(from, sigma));
    }
    out
}

/// A similarity about the middle: where an output pixel comes from.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    /// Times as large.
    pub scale: f32,
    /// Turned by, radians.
    pub angle: f32,
    /// Moved by, share of the side.
    pub shift: [f32; 2],
}

impl Move {
    /// The plane moved, bilinear, the border repeated.
    pub fn apply(&self, plane: ArrayView2<'_, f32>) -> Array2<f32> {
        let side = plane.nrows();
        let middle = side as f32 / 2.0;
        let (sin, cos) = self.angle.sin_cos();
        Array2::from_shape_fn([side, side], |(row, column)| {
            let x = column as f32 + 0.5 - middle - self.shift[0] * side as f32;
            let y = row as f32 + 0.5 - middle - self.shift[1] * side as f32;
            let (x, y) = ((cos * x + sin * y) / self.scale, (cos * y - sin * x) / self.scale);
            sampled(&plane, x + middle - 0.5, y + middle - 0.5)
        })
    }

    /// [`Move::apply`] for each channel.
    pub fn apply_picture(&self, picture: &Array3<f32>) -> Array3<f32> {
        let mut out = picture.clone();
        for (mut to, from) in out.outer_iter_mut().zip(picture.outer_iter()) {
            to.assign(&self.apply(from));
        }
        out
    }
}

/// A value between pixels, bilinear, the border repeated.
pub fn sampled(plane: &ArrayView2<'_, f32>, x: f32, y: f32) -> f32 {
    let (h, w) = plane.dim();
    let (x, y) = (x.clamp(0.0, w as f32 - 1.001), y.clamp(0.0, h as f32 - 1.001));
    let (i, j) = (x as usize, y as usize);
    let (u, v) = (x - i as f32, y - j as f32);
    let top = plane[[j, i]] * (1.0 - u) + plane[[j, i + 1]] * u;
    let bottom = plane[[j + 1, i]] * (1.0 - u) + plane[[j + 1, i + 1]] * u;
    top * (1.0 - v) + bottom * v
}

/// `to = to (1 - alpha) + over alpha`, channel by channel.
pub fn lay_over(to: &mut Array3<f32>, over: &Array3<f32>, alpha: &Array2<f32>) {
    for (mut to, over) in to.outer_iter_mut().zip(over.outer_iter()) {
        Zip::from(&mut to).and(&over).and(alpha).for_each(|to, over, a| *to += a * (over - *to));
    }
}

/// The plane at `1 / 2^halvings` of its side, each pixel the mean of those that it covers.
pub fn reduced(plane: &Array2<f32>, halvings: usize) -> Array2<f32> {
    let step = 1 << halvings;
    let side = plane.nrows() / step;
    Array2::from_shape_fn([side, side], |(j, i)| {
        plane
            .slice(ndarray::s![j * step..(j + 1) * step, i * step..(i + 1) * step])
            .mean()
            .unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_the_sum_and_a_still_move_keeps_the_plane() {
        let mut plane = Array2::zeros([16, 16]);
        plane[[8, 8]] = 1.0;
        let soft = box_blurred(plane.view(), 2, 2);
        assert!((soft.sum() - 1.0).abs() < 1e-5 && (soft[[8, 8]] - 0.04).abs() < 1e-5, "{}", soft[[8, 8]]);
        let still = Move { scale: 1.0, angle: 0.0, shift: [0.0; 2] };
        assert!((still.apply(plane.view()) - &plane).iter().all(|d| d.abs() < 1e-2));
        assert!((reduced(&plane, 2).sum() - 1.0 / 16.0).abs() < 1e-6);
    }
}
