//! Can the edge of the new face be seen? Three measures on a composite C, its target T and the alpha M between them.
//!
//! They look at the band B = 4 M (1 - M) where both pictures meet. A composite that is its own target scores
//! `edge` = 1, `step` = 0; a hard paste of another face scores worst.

use ndarray::{Array2, Array3};

use crate::blend::lab;

/// Directions from the mask's middle in which the seam is crossed.
const N_NORMALS: usize = 256;

/// The scores of one picture's seam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seam {
    /// S1, gradient excess: the gradient of C across the seam over that of T. 1 is good, more is a visible edge, less
    /// is smeared.
    pub edge: f64,
    /// S2, band step: the colour difference (CIE L*a*b*, D65) between inside and outside, C's minus T's; 95th
    /// percentile along the seam. 0 is good.
    pub step: f64,
    /// S3, noise mismatch: |log of the ratio of the fine detail's variance just inside and just outside|. 0 is good.
    pub noise: f64,
}

/// Scores the seam of `composite`; `None` when `alpha` has no soft or hard edge within the picture.
///
/// # Panics
/// If the sizes differ.
pub fn seam(composite: &Array3<f32>, target: &Array3<f32>, alpha: &Array2<f32>) -> Option<Seam> {
    assert!(composite.dim() == target.dim() && composite.dim().1 == alpha.dim().0, "pictures of one size");
    assert_eq!(composite.dim().2, alpha.dim().1, "pictures of one size");
    Some(Seam {
        edge: gradient_excess(composite, target, alpha)?,
        step: band_step(composite, target, alpha)?,
        noise: noise_mismatch(composite, alpha)?,
    })
}

/// Central differences, half that at the border.
fn gradient(get: impl Fn(usize, usize) -> f32, (h, w): (usize, usize), y: usize, x: usize) -> (f32, f32) {
    let dx = get(y, (x + 1).min(w - 1)) - get(y, x.saturating_sub(1));
    let dy = get((y + 1).min(h - 1), x) - get(y.saturating_sub(1), x);
    (0.5 * dx, 0.5 * dy)
}

fn gradient_excess(composite: &Array3<f32>, target: &Array3<f32>, alpha: &Array2<f32>) -> Option<f64> {
    let size = alpha.dim();
    let (mut of_composite, mut of_target) = (0.0, 0.0);
    for ((y, x), _) in alpha.indexed_iter() {
        let (nx, ny) = gradient(|y, x| alpha[[y, x]], size, y, x);
        let length = nx.hypot(ny);
        if length < 1e-6 {
            continue;
        }
        // A hard edge lies between pixels: there the gradient, not the value, says that this is the seam.
        let m = alpha[[y, x]];
        let band = (4.0 * m * (1.0 - m)).max((2.0 * length).min(1.0));
        for c in 0..3 {
            let across = |picture: &Array3<f32>| {
                let (dx, dy) = gradient(|y, x| picture[[c, y, x]], size, y, x);
                f64::from(band * ((dx * nx + dy * ny) / length).abs())
            };
            of_composite += across(composite);
            of_target += across(target);
        }
    }
    (of_target > 0.0).then(|| of_composite / of_target)
}

fn band_step(composite: &Array3<f32>, target: &Array3<f32>, alpha: &Array2<f32>) -> Option<f64> {
    let mut steps: Vec<f64> = steps(composite, target, alpha).into_iter().map(|(step, _)| step).collect();
    if steps.is_empty() {
        return None;
    }
    steps.sort_by(f64::total_cmp);
    Some(steps[(0.95 * (steps.len() - 1) as f64).round() as usize])
}

/// Where on the seam the composite's step of colour is largest beside the target's: x and y.
///
/// # Panics
/// If the sizes differ.
pub fn worst_place(
    composite: &Array3<f32>,
    target: &Array3<f32>,
    alpha: &Array2<f32>,
) -> Option<(usize, usize)> {
    let steps = steps(composite, target, alpha);
    steps.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, place)| place)
}

/// The composite's step of colour minus the target's, and its place, on rays from the mask's middle.
fn steps(composite: &Array3<f32>, target: &Array3<f32>, alpha: &Array2<f32>) -> Vec<(f64, (usize, usize))> {
    let (h, w) = alpha.dim();
    let (mut sum, mut mx, mut my) = (0.0, 0.0, 0.0);
    for ((y, x), m) in alpha.indexed_iter() {
        let m = f64::from(*m);
        (sum, mx, my) = (sum + m, mx + m * x as f64, my + m * y as f64);
    }
    let mut steps = Vec::with_capacity(N_NORMALS);
    if sum <= 0.0 {
        return steps;
    }
    let (mx, my) = (mx / sum, my / sum);
    for i in 0..N_NORMALS {
        let (dy, dx) = (std::f64::consts::TAU * i as f64 / N_NORMALS as f64).sin_cos();
        let at = |r: f64| {
            let (x, y) = ((mx + r * dx).round(), (my + r * dy).round());
            let inside = x >= 0.0 && y >= 0.0 && x < w as f64 && y < h as f64;
            inside.then_some((y as usize, x as usize))
        };
        // The outermost crossing from inside (M near 1) to outside (M near 0) on this ray.
        let values: Vec<(usize, usize)> = (0..h + w).map_while(|r| at(r as f64)).collect();
        let Some(inner) = values.iter().rposition(|p| alpha[*p] > 0.95) else { continue };
        let Some(outer) = values[inner..].iter().position(|p| alpha[*p] < 0.05) else { continue };
        // Two pixels further on both sides, so that the patches lie on one side of the edge each.
        let outer = (inner + outer + 2).min(values.len() - 1);
        let (y, x) = values[usize::midpoint(inner, outer)];
        let (inner, outer) = (values[inner.saturating_sub(2)], values[outer]);
        let length = |picture: &Array3<f32>| {
            let (a, b) = (lab_around(picture, inner), lab_around(picture, outer));
            [0, 1, 2].map(|i| (a[i] - b[i]).powi(2)).iter().sum::<f64>().sqrt()
        };
        steps.push((length(composite) - length(target), (x, y)));
    }
    steps
}

/// L*a*b* of the mean colour of the 3 x 3 pixels around.
fn lab_around(picture: &Array3<f32>, (y, x): (usize, usize)) -> [f64; 3] {
    let (_, h, w) = picture.dim();
    let part = ndarray::s![.., y.saturating_sub(1)..(y + 2).min(h), x.saturating_sub(1)..(x + 2).min(w)];
    let part = picture.slice(part);
    let n = (part.len() / 3) as f64;
    let mean = |c: usize| part.index_axis(ndarray::Axis(0), c).iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    lab::from_rgb([0, 1, 2].map(|c| mean(c) as f32)).map(f64::from)
}

fn noise_mismatch(composite: &Array3<f32>, alpha: &Array2<f32>) -> Option<f64> {
    const RING: usize = 12;
    let (h, w) = alpha.dim();
    let is_inside = alpha.mapv(|m| m > 0.5);
    // Pixels within RING of the other side, by rows and columns: near enough to a distance for a ring.
    let near = |y: usize, x: usize| {
        let own = is_inside[[y, x]];
        let row = (x.saturating_sub(RING)..(x + RING + 1).min(w)).any(|x| is_inside[[y, x]] != own);
        row || (y.saturating_sub(RING)..(y + RING + 1).min(h)).any(|y| is_inside[[y, x]] != own)
    };
    let mut sums = [[0.0; 2]; 2];
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            // The ring leaves the edge itself out.
            let block = is_inside.slice(ndarray::s![y - 1..y + 2, x - 1..x + 2]);
            if block.iter().any(|inside| *inside != is_inside[[y, x]]) || !near(y, x) {
                continue;
            }
            let side = &mut sums[usize::from(is_inside[[y, x]])];
            for c in 0..3 {
                let part = composite.slice(ndarray::s![c, y - 1..y + 2, x - 1..x + 2]);
                let high = f64::from(composite[[c, y, x]] - part.sum() / 9.0);
                side[0] += high * high;
                side[1] += 1.0;
            }
        }
    }
    let [outside, inside] = sums.map(|[sum, n]| (n > 0.0).then(|| sum / n + 1e-9));
    Some((inside? / outside?).ln().abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (120, 140);

    fn noise(i: usize) -> f32 {
        (i.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f32 / 65535.0 - 0.5
    }

    fn picture(tone: [f32; 3], grain: f32, phase: f32) -> Array3<f32> {
        Array3::from_shape_fn((3, SIZE.0, SIZE.1), |(c, y, x)| {
            tone[c]
                + 0.05 * (x as f32 * 0.2 + y as f32 * 0.13 + phase).sin()
                + grain * noise((y * 140 + x) * 3 + c)
        })
    }

    fn disc(feather: f32) -> Array2<f32> {
        Array2::from_shape_fn(SIZE, |(y, x)| {
            let r = (x as f32 - 70.0).hypot(y as f32 - 60.0);
            ((45.0 - r) / feather).clamp(0.0, 1.0)
        })
    }

    fn mixed(new: &Array3<f32>, target: &Array3<f32>, alpha: &Array2<f32>) -> Array3<f32> {
        target + &((new - target) * alpha)
    }

    #[test]
    fn a_target_is_its_own_perfect_composite() {
        let target = picture([0.5, 0.4, 0.35], 0.02, 0.0);
        let found = seam(&target, &target, &disc(10.0)).expect("a seam");
        assert!((found.edge - 1.0).abs() < 1e-9 && found.step.abs() < 1e-9 && found.noise < 0.1, "{found:?}");
        assert_eq!(seam(&target, &target, &Array2::zeros(SIZE)), None);
        assert_eq!(seam(&target, &target, &Array2::ones(SIZE)), None);
    }

    #[test]
    fn a_softer_edge_scores_better_and_a_hard_one_worst() {
        let (target, new) = (picture([0.5, 0.4, 0.35], 0.0, 0.0), picture([0.3, 0.25, 0.2], 0.0, 1.5));
        let score = |feather: f32| {
            let alpha = disc(feather);
            seam(&mixed(&new, &target, &alpha), &target, &alpha).expect("a seam")
        };
        let scores = [0.5, 4.0, 8.0, 16.0, 32.0].map(score);
        assert!(scores.windows(2).all(|pair| pair[1].edge < pair[0].edge), "{scores:?}");
        assert!(scores[0].edge > 2.0 && scores.iter().all(|s| s.step > 5.0), "{scores:?}");
    }

    #[test]
    fn a_step_is_measured_in_lab() {
        let (target, new) = (Array3::from_elem((3, 120, 140), 0.5), Array3::from_elem((3, 120, 140), 0.6));
        let alpha = disc(0.5);
        let found = band_step(&mixed(&new, &target, &alpha), &target, &alpha).unwrap_or(0.0);
        let want = f64::from(lab::from_rgb([0.6; 3])[0] - lab::from_rgb([0.5; 3])[0]);
        assert!((found - want).abs() < 0.01, "{found} {want}");
    }

    #[test]
    fn a_face_without_grain_in_a_grainy_frame_is_told() {
        let (target, smooth) = (picture([0.5; 3], 0.04, 0.0), picture([0.5; 3], 0.0, 0.0));
        let coarse = picture([0.5; 3], 0.08, 0.0);
        let alpha = disc(0.5);
        let score = |new| noise_mismatch(&mixed(new, &target, &alpha), &alpha).unwrap_or(0.0);
        assert!(score(&smooth) > 2.0, "{}", score(&smooth));
        // Twice the amplitude is four times the variance.
        assert!((score(&coarse) - 4.0_f64.ln()).abs() < 0.15, "{}", score(&coarse));
    }
}
