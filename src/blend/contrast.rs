//! The new face's contrast brought to the target's.
//!
//! Measured by the global contrast factor (Matkovic, Neumann, Neumann, Psik and Purgathofer, "Global Contrast Factor",
//! Computational Aesthetics 2005): the mean difference of perceived lightness between neighbours, over superpixels of
//! growing size, weighed by how much each size counts to viewers.

/// Sides of the superpixels.
const SCALES: [usize; 9] = [1, 2, 4, 8, 16, 25, 50, 100, 200];

/// The ratio is kept within this range: a flat or a noisy face isn't a measure, nor is a bearded one. (The paper's own
/// limits, 0.5 and 2, turn eyes into black holes where a beard is replaced.)
const RATIO: (f32, f32) = (0.7, 1.4);

/// Linear light is looked up in this many steps.
const N_STEPS: usize = 1024;

/// Contrast of `target` over that of `new` inside the mask, clipped to 0.7..=1.4; 1 when one of them has none.
pub fn ratio(new: &[f32], target: &[f32], mask: &[f32], side: usize) -> f32 {
    let lut: Vec<f32> = (0..=N_STEPS).map(|i| (i as f32 / N_STEPS as f32).powf(2.2)).collect();
    let (wanted, had) = (contrast(target, mask, side, &lut), contrast(new, mask, side, &lut));
    if wanted < 1e-3 || had < 1e-3 { 1.0 } else { (wanted / had).clamp(RATIO.0, RATIO.1) }
}

/// The global contrast factor inside the mask. Superpixels that the mask fills by less than half don't count, and
/// sizes of which no two neighbours are left count as 0.
fn contrast(picture: &[f32], mask: &[f32], side: usize, lut: &[f32]) -> f32 {
    let n = side * side;
    let linear: Vec<f32> = (0..n)
        .map(|i| {
            let grey = 0.2126 * picture[i] + 0.7152 * picture[n + i] + 0.0722 * picture[2 * n + i];
            lut[(grey.clamp(0.0, 1.0) * N_STEPS as f32) as usize]
        })
        .collect();
    let mut sum = 0.0;
    for (i, scale) in (1..).zip(SCALES) {
        let share = i as f32 / 9.0;
        let weight = (-0.406_385 * share + 0.334_573) * share + 0.087_752_6;
        sum += weight * local_contrast(&linear, mask, side, scale);
    }
    sum
}

/// Mean difference of lightness between neighbouring superpixels.
fn local_contrast(linear: &[f32], mask: &[f32], side: usize, scale: usize) -> f32 {
    let cells = side / scale;
    let lightness: Vec<Option<f32>> = (0..cells * cells)
        .map(|i| {
            let (x, y) = (i % cells * scale, i / cells * scale);
            let (mut light, mut weight) = (0.0, 0.0);
            for row in y..y + scale {
                let row = row * side + x..row * side + x + scale;
                for (l, m) in linear[row.clone()].iter().zip(&mask[row]) {
                    light += l * m;
                    weight += m;
                }
            }
            (weight >= 0.5 * (scale * scale) as f32).then(|| 100.0 * (light / weight).sqrt())
        })
        .collect();
    // The mean over cells of the mean over their neighbours.
    let (mut sum, mut n) = (0.0, 0.0_f32);
    for (i, own) in lightness.iter().enumerate() {
        let Some(own) = own else { continue };
        let (x, y) = (i % cells, i / cells);
        let near = [
            (x > 0).then(|| i - 1),
            (x + 1 < cells).then_some(i + 1),
            (y > 0).then(|| i - cells),
            (y + 1 < cells).then_some(i + cells),
        ];
        let (mut steps, mut n_steps) = (0.0, 0.0);
        for other in near.into_iter().flatten().filter_map(|j| lightness[j]) {
            steps += (own - other).abs();
            n_steps += 1.0;
        }
        if n_steps > 0.0 {
            sum += steps / n_steps;
            n += 1.0;
        }
    }
    sum / n.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(side: usize, amplitude: f32) -> Vec<f32> {
        let plane = (0..side * side).map(|i| 0.5 + amplitude * ((i * 7919 % 1009) as f32 / 504.5 - 1.0));
        let plane: Vec<f32> = plane.collect();
        plane.repeat(3)
    }

    #[test]
    fn a_checkerboard_has_the_contrast_of_the_formula() {
        // Neighbours differ by 100 at scale 1; every larger even superpixel is flat, and so is 25 nearly.
        let side = 64;
        let board: Vec<f32> = (0..side * side).map(|i| ((i % side + i / side) % 2) as f32).collect();
        let lut: Vec<f32> = (0..=N_STEPS).map(|i| (i as f32 / N_STEPS as f32).powf(2.2)).collect();
        let found = contrast(&board.repeat(3), &vec![1.0; side * side], side, &lut);
        let first = (-0.406_385 / 9.0 + 0.334_573) / 9.0 + 0.087_752_6;
        assert!((found - 100.0 * first).abs() < 0.2, "{found}");
    }

    #[test]
    fn a_face_of_less_contrast_wants_more_within_limits() {
        let ratio = |target: f32| ratio(&noise(64, 0.1), &noise(64, target), &vec![1.0; 64 * 64], 64);
        assert!((ratio(0.13) - 1.3).abs() < 0.03, "{}", ratio(0.13));
        assert!((ratio(0.3) - 1.4).abs() < 1e-6 && (ratio(0.01) - 0.7).abs() < 1e-6);
    }

    #[test]
    fn flat_faces_and_empty_masks_change_nothing() {
        let flat = vec![0.3; 3 * 64 * 64];
        assert!((ratio(&flat, &noise(64, 0.2), &vec![1.0; 64 * 64], 64) - 1.0).abs() < 1e-6);
        assert!((ratio(&noise(64, 0.1), &noise(64, 0.2), &vec![0.0; 64 * 64], 64) - 1.0).abs() < 1e-6);
    }
}
