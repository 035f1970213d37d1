//! CIE L*a*b* (white D65) of sRGB colours, and back.
//!
//! Both ways go on smoothly outside 0..=1, so that a colour that is moved out of the gamut and back is the same again.

use std::sync::LazyLock;

/// L*a*b* of an sRGB colour, 0..=1: L 0..=100, a and b about -100..=100.
pub fn from_rgb(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(linear);
    let xyz = [
        (0.412_456 * r + 0.357_576 * g + 0.180_437 * b) / 0.950_47,
        luminance([r, g, b]),
        (0.019_334 * r + 0.119_192 * g + 0.950_304 * b) / 1.088_83,
    ];
    let [x, y, z] = xyz.map(root);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// L alone.
pub fn lightness(rgb: [f32; 3]) -> f32 {
    116.0 * root(luminance(rgb.map(linear))) - 16.0
}

fn luminance([r, g, b]: [f32; 3]) -> f32 {
    0.212_673 * r + 0.715_152 * g + 0.072_175 * b
}

fn root(t: f32) -> f32 {
    if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 }
}

/// The sRGB colour of L*a*b*; outside 0..=1 when it is out of the gamut.
pub fn to_rgb(lab: [f32; 3]) -> [f32; 3] {
    let y = (lab[0] + 16.0) / 116.0;
    let [x, y, z] = [y + lab[1] / 500.0, y, y - lab[2] / 200.0]
        .map(|t| if t > 0.206_893 { t * t * t } else { (t - 16.0 / 116.0) / 7.787 });
    let (x, z) = (x * 0.950_47, z * 1.088_83);
    [
        3.240_454 * x - 1.537_139 * y - 0.498_531 * z,
        -0.969_266 * x + 1.876_011 * y + 0.041_556 * z,
        0.055_643 * x - 0.204_026 * y + 1.057_225 * z,
    ]
    .map(encoded)
}

/// Steps of the table of [`linear`]: straight lines between them are nearly as close as floats are.
const N_STEPS: usize = 4096;

static LINEAR: LazyLock<Vec<f32>> =
    LazyLock::new(|| (0..=N_STEPS).map(|i| linear_by_formula(i as f32 / N_STEPS as f32)).collect());

/// From displayed values to light.
fn linear(v: f32) -> f32 {
    let place = v * N_STEPS as f32;
    let low = place as usize;
    match LINEAR.get(low..).and_then(<[f32]>::first_chunk) {
        Some([a, b]) if v >= 0.0 => a + (place - low as f32) * (b - a),
        _ => linear_by_formula(v),
    }
}

fn linear_by_formula(v: f32) -> f32 {
    let (sign, v) = (v.signum(), v.abs());
    sign * if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

fn encoded(v: f32) -> f32 {
    let (sign, v) = (v.signum(), v.abs());
    sign * if v <= 0.003_130_8 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_colours_have_known_values() {
        assert!((from_rgb([1.0; 3])[0] - 100.0).abs() < 0.01);
        let red = from_rgb([1.0, 0.0, 0.0]);
        assert!((red[0] - 53.24).abs() < 0.1 && (red[1] - 80.1).abs() < 0.2 && (red[2] - 67.2).abs() < 0.2);
    }

    #[test]
    fn the_table_gives_what_the_formula_does() {
        for i in 0..100_000 {
            let v = i as f32 / 90_000.0 - 0.05;
            // Near 1 a place in the table is known to 2^-12 of a step, which is 1.3e-7; the power has its own error.
            assert!((linear(v) - linear_by_formula(v)).abs() < 5e-7, "{v}");
        }
        assert!(linear(f32::NAN).is_nan());
        assert_eq!(lightness([0.2, 0.5, 0.9]), from_rgb([0.2, 0.5, 0.9])[0]);
    }

    #[test]
    fn there_and_back_is_the_same_colour_even_out_of_the_gamut() {
        for i in 0..343 {
            let rgb = [i % 7, i / 7 % 7, i / 49].map(|v| v as f32 * 0.25 - 0.25);
            let back = to_rgb(from_rgb(rgb));
            assert!(rgb.iter().zip(back).all(|(a, b)| (a - b).abs() < 2e-3), "{rgb:?} {back:?}");
        }
    }
}
