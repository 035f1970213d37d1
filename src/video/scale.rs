//! Another size for the output.

use serde::Serialize;

use crate::{Error, Result};

/// How large the output is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Scale {
    /// Width and height times this.
    Factor(f64),
    /// Width and height, pixels; what is shown keeps its shape.
    Size(u32, u32),
}

/// The longest side that is made.
const MAX_SIDE: f64 = 16_384.0;

impl Scale {
    /// A factor (`0.5`) or a size (`1280x720`).
    ///
    /// # Errors
    /// [`Error::BadSetting`] under `name` for anything else.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let wrong =
            || Error::setting(name, text, "must be a factor of 0.01 to 16 or a size, e.g. 0.5 or 1280x720");
        if let Some((width, height)) = text.split_once('x') {
            let side = |text: &str| {
                text.parse::<u32>().ok().filter(|side| (2..=MAX_SIDE as u32).contains(side)).ok_or_else(wrong)
            };
            return Ok(Self::Size(side(width)?, side(height)?));
        }
        let factor = text.parse::<f64>().ok().filter(|factor| (0.01..=16.0).contains(factor));
        factor.map(Self::Factor).ok_or_else(wrong)
    }

    /// The same of a picture that is stored on its side.
    #[must_use]
    pub(super) fn turned(self) -> Self {
        match self {
            Self::Size(width, height) => Self::Size(height, width),
            factor @ Self::Factor(_) => factor,
        }
    }

    /// The new size of a picture: even sides, so that every pixel format fits.
    pub fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        let even = |side: f64| ((side.clamp(2.0, MAX_SIDE) / 2.0).round() as u32) * 2;
        match self {
            Self::Factor(factor) => (even(f64::from(width) * factor), even(f64::from(height) * factor)),
            Self::Size(width, height) => (even(width.into()), even(height.into())),
        }
    }

    /// The shape of a pixel after it, so that the picture is shown in its old shape. Sizes that are only rounded to
    /// even sides leave it as it was.
    pub(super) fn aspect(self, (num, den): (i32, i32), (width, height): (u32, u32)) -> (i32, i32) {
        let Self::Size(..) = self else { return (num, den) };
        let (new_width, new_height) = self.size((width, height));
        let (num, den) = if num > 0 && den > 0 { (num, den) } else { (1, 1) };
        let (a, b) = (
            u64::from(num.unsigned_abs()) * u64::from(width) * u64::from(new_height),
            u64::from(den.unsigned_abs()) * u64::from(height) * u64::from(new_width),
        );
        let divisor = gcd(a, b);
        let (a, b) = (a / divisor, b / divisor);
        // Less than a pixel's difference is the rounding of sides.
        if a.abs_diff(b) * u64::from(new_width.max(new_height)) < b * 2 {
            (1, 1)
        } else {
            (a as i32, b as i32)
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_even_and_shapes_are_kept() {
        let scale = |text| Scale::parse("--output-video-scale", text).expect("a scale");
        assert_eq!(scale("0.5").size((1920, 1080)), (960, 540));
        assert_eq!(scale("0.5").size((321, 241)), (160, 120));
        assert_eq!(scale("1280x720").size((1920, 1080)), (1280, 720));
        assert_eq!(scale("1280x720").aspect((1, 1), (1920, 1080)), (1, 1));
        assert_eq!(scale("720x576").aspect((0, 1), (1024, 576)), (64, 45));
        for text in ["", "0", "-1", "17", "x", "1280x", "1280x99999", "half"] {
            assert!(Scale::parse("--output-video-scale", text).is_err(), "{text}");
        }
    }
}
