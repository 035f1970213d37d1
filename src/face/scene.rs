//! Scene cuts: where one shot ends and another begins.

use ndarray::{Array3, Zip};
use serde::{Deserialize, Serialize};

use crate::video::Picture;

/// Long side of the picture that is compared.
const SIDE_PX: usize = 32;
/// Rows of the frame that each of its rows is made of at most: no cut hides between them.
const N_ROWS: usize = 8;
/// Brightness levels of the histograms.
const LEVELS: usize = 8;
/// Mean difference of the pixels, 0..=1, below which nothing was cut.
const PIXELS: f32 = 0.08;
/// Share of the pixels that must have changed their level (total variation of the colour histograms, 0..=1).
const HISTOGRAM: f32 = 0.3;

/// Compares each frame with the one before it.
///
/// A cut changes the picture and its colours at once: a moving camera changes the pixels but keeps the histogram.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SceneCuts {
    last: Option<Small>,
}

/// The reduced picture, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "((usize, usize, usize), Vec<f32>)", into = "((usize, usize, usize), Vec<f32>)")]
struct Small(Array3<f32>);

impl From<Small> for ((usize, usize, usize), Vec<f32>) {
    fn from(Small(picture): Small) -> Self {
        (picture.dim(), picture.into_iter().collect())
    }
}

impl TryFrom<((usize, usize, usize), Vec<f32>)> for Small {
    type Error = ndarray::ShapeError;

    fn try_from((dim, values): ((usize, usize, usize), Vec<f32>)) -> Result<Self, Self::Error> {
        Array3::from_shape_vec(dim, values).map(Small)
    }
}

impl SceneCuts {
    /// Whether `picture` begins a new scene. The first picture doesn't.
    pub fn is_cut(&mut self, picture: &Picture) -> bool {
        let now = picture.rgb_glance(SIDE_PX, N_ROWS).mapv(|v| v.clamp(0.0, 1.0));
        let is_cut = self.last.as_ref().is_some_and(|Small(last)| {
            last.dim() != now.dim()
                || (pixel_distance(last, &now) > PIXELS && histogram_distance(last, &now) > HISTOGRAM)
        });
        self.last = Some(Small(now));
        is_cut
    }
}

fn pixel_distance(a: &Array3<f32>, b: &Array3<f32>) -> f32 {
    Zip::from(a).and(b).fold(0.0, |sum, a, b| sum + (a - b).abs()) / a.len().max(1) as f32
}

/// Half the sum of the differences between the histograms of the three channels, mean over the channels.
fn histogram_distance(a: &Array3<f32>, b: &Array3<f32>) -> f32 {
    let histogram = |picture: &Array3<f32>| {
        let mut counts = [[0.0_f32; LEVELS]; 3];
        for ((channel, _, _), value) in picture.indexed_iter() {
            // Every value counts for its two nearest levels, so that a faint change of light is a faint difference.
            let place = value * (LEVELS - 1) as f32;
            let level = (place as usize).min(LEVELS - 2);
            counts[channel][level] += 1.0 - (place - level as f32);
            counts[channel][level + 1] += place - level as f32;
        }
        counts
    };
    let (x, y) = (histogram(a), histogram(b));
    let difference: f32 = x.as_flattened().iter().zip(y.as_flattened()).map(|(x, y)| (x - y).abs()).sum();
    0.5 * difference / a.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(colour: impl Fn(usize, usize) -> u8) -> Picture {
        let (w, h) = (64, 48);
        let bytes: Vec<u8> = (0..w * h).flat_map(|i| [colour(i % w, i / w), 90, 30]).collect();
        Picture::from_rgb8(w, h, &bytes)
    }

    #[test]
    fn a_new_picture_is_a_cut_and_motion_is_not() {
        let stripes =
            |shift: usize| picture(move |x, _| if ((x + shift) / 8).is_multiple_of(2) { 220 } else { 60 });
        let mut cuts = SceneCuts::default();
        assert!(!cuts.is_cut(&stripes(0)), "the first picture");
        assert!(!cuts.is_cut(&stripes(8)), "all pixels changed, the colours are the same");
        assert!(
            !cuts.is_cut(&picture(|x, _| if (x / 8).is_multiple_of(2) { 50 } else { 210 })),
            "a little darker"
        );
        let other = Picture::from_rgb8(64, 48, &[[10, 200, 250]; 64 * 48].concat());
        assert!(cuts.is_cut(&other));
        assert!(!cuts.is_cut(&other));
    }
}
