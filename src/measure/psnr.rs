//! Peak signal-to-noise ratio.

use ndarray::{Array2, Array3, Zip};

/// Squared differences gathered over one frame or many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SquaredError {
    sum: f64,
    n: f64,
}

impl SquaredError {
    /// Of all samples of `a` and `b` in `region` (everywhere when there is none).
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn between(a: &Array3<f32>, b: &Array3<f32>, region: Option<&Array2<f32>>) -> Self {
        assert_eq!(a.dim(), b.dim(), "pictures of one size");
        let mut total = Self::default();
        for (a, b) in a.outer_iter().zip(b.outer_iter()) {
            let mut add = |a: &f32, b: &f32, inside: bool| {
                if inside {
                    total.sum += f64::from(a - b).powi(2);
                    total.n += 1.0;
                }
            };
            match region {
                Some(region) => Zip::from(a).and(b).and(region).for_each(|a, b, r| add(a, b, *r > 0.5)),
                None => Zip::from(a).and(b).for_each(|a, b| add(a, b, true)),
            }
        }
        total
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, n: self.n + other.n }
    }

    /// dB of a peak of 1: infinite for equal pictures, `None` when there was nothing to compare.
    pub fn psnr_db(self) -> Option<f64> {
        (self.n > 0.0).then(|| -10.0 * (self.sum / self.n).log10())
    }
}

/// PSNR of two pictures in a region, dB; see [`SquaredError::psnr_db`].
///
/// # Panics
/// If the sizes differ.
pub fn psnr(a: &Array3<f32>, b: &Array3<f32>, region: Option<&Array2<f32>>) -> Option<f64> {
    SquaredError::between(a, b, region).psnr_db()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_difference_has_a_known_value() {
        let a = Array3::from_elem((3, 20, 30), 0.25);
        assert_eq!(psnr(&a, &a, None), Some(f64::INFINITY));
        let b = Array3::from_elem((3, 20, 30), 0.35);
        assert!((psnr(&a, &b, None).unwrap_or(0.0) - 20.0).abs() < 1e-4);
        // Uniform noise of +-0.1 has the variance 0.1^2 / 3.
        let noisy = Array3::from_shape_fn((3, 200, 300), |(c, y, x)| {
            let i = (c * 60_000 + y * 300 + x).wrapping_mul(2_654_435_761) >> 8 & 0xffff;
            0.25 + 0.2 * (i as f32 / 65535.0 - 0.5)
        });
        let found = psnr(&noisy, &Array3::from_elem((3, 200, 300), 0.25), None).unwrap_or(0.0);
        assert!((found - 10.0 * (3.0_f64 / 0.01).log10()).abs() < 0.05, "{found}");
    }

    #[test]
    fn only_the_region_counts() {
        let a = Array3::zeros((3, 4, 4));
        let mut b = a.clone();
        b.slice_mut(ndarray::s![.., .., 2..]).fill(1.0);
        let left = Array2::from_shape_fn((4, 4), |(_, x)| if x < 2 { 1.0 } else { 0.5 });
        assert_eq!(psnr(&a, &b, Some(&left)), Some(f64::INFINITY));
        assert!((psnr(&a, &b, None).unwrap_or(0.0) - 10.0 * 2.0_f64.log10()).abs() < 1e-9);
        assert_eq!(psnr(&a, &b, Some(&Array2::zeros((4, 4)))), None);
    }

    #[test]
    fn frames_add_up_by_their_pixels() {
        let zero = Array3::zeros((3, 2, 2));
        let (one, tenth) = (Array3::ones((3, 2, 2)), Array3::from_elem((3, 2, 2), 0.1));
        let both = SquaredError::between(&zero, &one, None).and(SquaredError::between(&zero, &tenth, None));
        assert!((both.psnr_db().unwrap_or(0.0) + 10.0 * 0.505_f64.log10()).abs() < 1e-4);
    }
}
