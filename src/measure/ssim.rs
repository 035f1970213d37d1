//! Structural similarity (Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
//! structural similarity", 2004): Gaussian window of 11 x 11, sigma 1.5, K1 = 0.01, K2 = 0.03, peak 1.

use ndarray::{Array2, Array3, Axis};

const RADIUS: usize = 5;
const SIGMA: f64 = 1.5;
const C1: f32 = 0.01 * 0.01;
const C2: f32 = 0.03 * 0.03;

/// Mean SSIM of the three channels over the pixels of `region` (everywhere when there is none), -1..=1; `None` when
/// there is nothing to compare. Beyond the border the pictures are mirrored.
///
/// # Panics
/// If the sizes differ.
pub fn ssim(a: &Array3<f32>, b: &Array3<f32>, region: Option<&Array2<f32>>) -> Option<f64> {
    terms(a, b, region).map(|(ssim, _)| ssim)
}

/// Multi-scale structural similarity (Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality
/// assessment", 2003): contrast and structure at up to five scales, all of it at the last, each to the power of its
/// weight. Pictures too small for five scales have fewer, their weights brought to the sum of 1.
///
/// # Panics
/// If the sizes differ.
pub fn ms_ssim(a: &Array3<f32>, b: &Array3<f32>, region: Option<&Array2<f32>>) -> Option<f64> {
    const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
    let (mut a, mut b, mut region) = (a.clone(), b.clone(), region.cloned());
    let smallest = a.dim().1.min(a.dim().2);
    let n_scales = (1..=WEIGHTS.len()).take_while(|k| smallest >> (k - 1) > 2 * RADIUS).last().unwrap_or(1);
    let total: f64 = WEIGHTS[..n_scales].iter().sum();
    let mut product = 1.0;
    for (k, weight) in WEIGHTS[..n_scales].iter().enumerate() {
        let (ssim, structure) = terms(&a, &b, region.as_ref())?;
        let term = if k + 1 == n_scales { ssim } else { structure };
        // What is negative is as unlike as can be.
        product *= term.max(0.0).powf(weight / total);
        (a, b) = (halved(&a), halved(&b));
        region = region.map(|region| halved(&region.insert_axis(Axis(0))).index_axis_move(Axis(0), 0));
    }
    Some(product)
}

/// Means of 2 x 2 pixels.
fn halved(planes: &Array3<f32>) -> Array3<f32> {
    let (c, h, w) = planes.dim();
    Array3::from_shape_fn((c, h / 2, w / 2), |(c, y, x)| {
        planes.slice(ndarray::s![c, 2 * y..2 * y + 2, 2 * x..2 * x + 2]).sum() / 4.0
    })
}

/// Mean SSIM, and mean of its contrast and structure alone.
fn terms(a: &Array3<f32>, b: &Array3<f32>, region: Option<&Array2<f32>>) -> Option<(f64, f64)> {
    assert_eq!(a.dim(), b.dim(), "pictures of one size");
    let (_, h, w) = a.dim();
    let window = window();
    let inside: Option<Vec<bool>> = region.map(|region| region.iter().map(|r| *r > 0.5).collect());
    let (mut sum, mut structures, mut n) = (0.0, 0.0, 0.0_f64);
    for (a, b) in a.outer_iter().zip(b.outer_iter()) {
        let (a, b): (Vec<f32>, Vec<f32>) = (a.iter().copied().collect(), b.iter().copied().collect());
        let product = |p: &[f32], q: &[f32]| p.iter().zip(q).map(|(p, q)| p * q).collect::<Vec<f32>>();
        let (aa, bb, ab) = (product(&a, &a), product(&b, &b), product(&a, &b));
        let [a, b, aa, bb, ab] = [a, b, aa, bb, ab].map(|plane| blurred(&plane, w, h, &window));
        for i in 0..w * h {
            if inside.as_ref().is_some_and(|inside| !inside[i]) {
                continue;
            }
            let (var_a, var_b, cov) = (aa[i] - a[i] * a[i], bb[i] - b[i] * b[i], ab[i] - a[i] * b[i]);
            let mean = (2.0 * a[i] * b[i] + C1) / (a[i] * a[i] + b[i] * b[i] + C1);
            let structure = (2.0 * cov + C2) / (var_a + var_b + C2);
            sum += f64::from(mean * structure);
            structures += f64::from(structure);
            n += 1.0;
        }
    }
    (n > 0.0).then(|| (sum / n, structures / n))
}

fn window() -> [f32; 2 * RADIUS + 1] {
    let weight = |i: usize| (-0.5 * ((i as f64 - RADIUS as f64) / SIGMA).powi(2)).exp();
    let sum: f64 = (0..=2 * RADIUS).map(weight).sum();
    std::array::from_fn(|i| (weight(i) / sum) as f32)
}

/// Rows, then columns; mirrored about the border pixels' edges.
fn blurred(plane: &[f32], w: usize, h: usize, window: &[f32]) -> Vec<f32> {
    let mirrored = |i: isize, n: usize| {
        let i = i.rem_euclid(2 * n as isize) as usize;
        if i < n { i } else { 2 * n - 1 - i }
    };
    let mut wide = vec![0.0; w + 2 * RADIUS];
    let mut rows = vec![0.0; plane.len()];
    for (row, out) in plane.chunks_exact(w).zip(rows.chunks_exact_mut(w)) {
        for (i, v) in wide.iter_mut().enumerate() {
            *v = row[mirrored(i as isize - RADIUS as isize, w)];
        }
        for (k, weight) in window.iter().enumerate() {
            out.iter_mut().zip(&wide[k..]).for_each(|(out, v)| *out += weight * v);
        }
    }
    let mut out = vec![0.0; plane.len()];
    for (y, out) in out.chunks_exact_mut(w).enumerate() {
        for (k, weight) in window.iter().enumerate() {
            let from = mirrored((y + k) as isize - RADIUS as isize, h) * w;
            out.iter_mut().zip(&rows[from..from + w]).for_each(|(out, v)| *out += weight * v);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(shift: usize) -> Array3<f32> {
        Array3::from_shape_fn((3, 40, 50), |(c, y, x)| {
            0.5 + 0.3 * ((x + shift) as f32 * 0.8 + c as f32).sin() * (y as f32 * 0.5).cos()
        })
    }

    fn close(found: Option<f64>, want: f64, within: f64) -> bool {
        found.is_some_and(|found| (found - want).abs() < within)
    }

    #[test]
    fn the_same_is_one_and_a_shift_lowers_it_step_by_step() {
        let scores: Vec<f64> = (0..4).filter_map(|shift| ssim(&pattern(0), &pattern(shift), None)).collect();
        assert!((scores[0] - 1.0).abs() < 1e-5, "{scores:?}");
        assert!(scores.windows(2).all(|pair| pair[1] < pair[0] - 0.1), "{scores:?}");
        assert!(scores[3] < 0.0, "half a wave off is the negative: {scores:?}");
    }

    #[test]
    fn flat_pictures_differ_by_their_means_alone() {
        let (a, b) = (Array3::from_elem((3, 9, 9), 0.2_f32), Array3::from_elem((3, 9, 9), 0.6));
        let want = (2.0 * 0.2 * 0.6 + f64::from(C1)) / (0.04 + 0.36 + f64::from(C1));
        assert!(close(ssim(&a, &b, None), want, 1e-4));
    }

    #[test]
    fn half_the_contrast_is_known() {
        // Around a mean of 0.5 and finer than the window: only the contrast term is left, 2ab / (a^2 + b^2).
        let checks = |amplitude: f32| {
            Array3::from_shape_fn((3, 32, 32), |(_, y, x)| {
                0.5 + if (x + y) % 2 == 0 { amplitude } else { -amplitude }
            })
        };
        let (var, half) = (0.16_f64, 0.04);
        let want = (2.0 * 0.4 * 0.2 + f64::from(C2)) / (var + half + f64::from(C2));
        assert!(close(ssim(&checks(0.4), &checks(0.2), None), want, 2e-3));
    }

    #[test]
    fn several_scales_forgive_fine_noise_and_not_coarse_shading() {
        let flat = Array3::from_elem((3, 180, 180), 0.5_f32);
        let base = Array3::from_shape_fn((3, 180, 180), |(_, y, x)| {
            0.5 + 0.2 * (x as f32 * 0.12).sin() * (y as f32 * 0.1).cos()
        });
        assert!(close(ms_ssim(&base, &base, None), 1.0, 1e-5));
        let noisy = Array3::from_shape_fn(base.dim(), |(c, y, x)| {
            base[[c, y, x]] + if (x + y) % 2 == 0 { 0.1 } else { -0.1 }
        });
        let fine = ms_ssim(&base, &noisy, None).unwrap_or(0.0);
        assert!(fine > 0.85 && ssim(&base, &noisy, None) < Some(0.6), "{fine}");
        assert!(ms_ssim(&base, &flat, None) < Some(0.4));
        // Too small for five scales, yet not for one.
        assert!(close(ms_ssim(&pattern(0), &pattern(0), None), 1.0, 1e-5));
        assert_eq!(ms_ssim(&base, &flat, Some(&Array2::zeros((180, 180)))), None);
    }

    #[test]
    fn only_the_region_counts() {
        let (a, mut b) = (pattern(0), pattern(0));
        b.slice_mut(ndarray::s![.., .., 30..]).fill(0.0);
        let left = Array2::from_shape_fn((40, 50), |(_, x)| if x < 24 { 1.0 } else { 0.0 });
        assert!(close(ssim(&a, &b, Some(&left)), 1.0, 1e-5));
        assert!(ssim(&a, &b, None) < Some(0.8));
        assert_eq!(ssim(&a, &b, Some(&Array2::zeros((40, 50)))), None);
    }
}
