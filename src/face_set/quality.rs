//! How good the faces of a set are to learn from: sharpness, pose, and which of them are all but the same.

use image::{GrayImage, RgbImage, imageops};

use super::{FaceEntry, FaceSet};
use crate::{Result, face::Look};

/// Side of the small picture by which faces are compared, pixels.
const SMALL: u32 = 16;

/// What is measured of a face.
#[derive(Debug, Clone)]
pub struct Quality {
    /// Pose and expression, where the points are a mesh.
    pub look: Option<Look>,
    /// Detail of the face beside its contrast; the more the sharper.
    pub sharpness: f64,
    /// The face in grey, small, 0..=1.
    small: Vec<f32>,
}

impl Quality {
    /// Measures a face.
    ///
    /// # Errors
    /// [`crate::Error::BadInput`] when one of its pictures can't be read.
    pub fn of(set: &FaceSet, entry: &FaceEntry) -> Result<Self> {
        Ok(Self::of_pictures(&set.rgb(&entry.image)?, &set.gray(&entry.mask)?, Look::of_crop(&entry.points)))
    }

    fn of_pictures(picture: &RgbImage, mask: &GrayImage, look: Option<Look>) -> Self {
        let grey = imageops::grayscale(picture);
        let small = imageops::resize(&grey, SMALL, SMALL, imageops::FilterType::Triangle);
        Self {
            look,
            sharpness: sharpness(&grey, mask),
            small: small.pixels().map(|p| f32::from(p.0[0]) / 255.0).collect(),
        }
    }

    /// How unlike two faces are in grey, 0..=1: the mean difference of their small pictures.
    pub fn distance(&self, other: &Self) -> f64 {
        let n = self.small.len().max(1) as f64;
        self.small.iter().zip(&other.small).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / n
    }
}

/// Variance of the Laplacian over the variance of the values, inside the mask (Pech-Pacheco et al. 2000; beside the
/// contrast, so that a dark face isn't taken for a soft one).
fn sharpness(grey: &GrayImage, mask: &GrayImage) -> f64 {
    let (w, h) = grey.dimensions();
    let at = |x: u32, y: u32| f64::from(grey.get_pixel(x, y).0[0]);
    let (mut values, mut edges) = (Moments::default(), Moments::default());
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            if mask.get_pixel(x, y).0[0] > 127 {
                values.add(at(x, y));
                edges.add(at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y));
            }
        }
    }
    let contrast = values.variance();
    if contrast > 0.0 { edges.variance() / contrast } else { 0.0 }
}

#[derive(Default)]
struct Moments {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    fn variance(&self) -> f64 {
        if self.n > 0.0 { (self.squares / self.n - (self.sum / self.n).powi(2)).max(0.0) } else { 0.0 }
    }
}

/// The middle one of some values, 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// For each face whether it is blurred: sharper faces are more than `1 / share` times as sharp, in the median.
pub fn blurred(faces: &[Quality], share: f64) -> Vec<bool> {
    let limit = share * median(faces.iter().map(|face| face.sharpness).collect());
    faces.iter().map(|face| face.sharpness < limit).collect()
}

/// For each face the one before it that it is all but the same as, if there is one that isn't itself such a copy.
pub fn copies(faces: &[Quality], most: f64) -> Vec<Option<usize>> {
    let mut originals: Vec<usize> = Vec::new();
    let mut found = Vec::with_capacity(faces.len());
    for (i, face) in faces.iter().enumerate() {
        // The latest first: it is the neighbours of a film that are alike.
        let original = originals.iter().rev().find(|j| face.distance(&faces[**j]) < most).copied();
        if original.is_none() {
            originals.push(i);
        }
        found.push(original);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(period: u32, shade: f32) -> Quality {
        let picture = RgbImage::from_fn(64, 64, |x, y| {
            let stripe = if (x + y / 3) % period < period / 2 { 1.0 } else { 0.4 };
            image::Rgb([(200.0 * shade * stripe) as u8; 3])
        });
        Quality::of_pictures(&picture, &GrayImage::from_pixel(64, 64, image::Luma([255])), None)
    }

    #[test]
    fn blur_is_seen_in_the_dark_as_well() {
        let soft = |quality: f32| {
            let picture = RgbImage::from_fn(64, 64, |x, y| {
                image::Rgb(
                    [(quality * (100.0 + 60.0 * (x as f32 * 0.3).sin() * (y as f32 * 0.2).cos())) as u8; 3],
                )
            });
            Quality::of_pictures(&picture, &GrayImage::from_pixel(64, 64, image::Luma([255])), None)
        };
        let (bright, dark) = (face(6, 1.0), face(6, 0.3));
        assert!((bright.sharpness / dark.sharpness - 1.0).abs() < 0.1);
        assert_eq!(
            blurred(&[bright, dark, soft(1.0), face(8, 1.0), soft(0.4)], 0.3),
            [false, false, true, false, true]
        );
    }

    #[test]
    fn copies_point_to_the_first_of_them() {
        let faces = [face(6, 1.0), face(20, 0.5), face(6, 0.99), face(6, 1.0), face(20, 0.8)];
        assert_eq!(copies(&faces, 0.02), [None, None, Some(0), Some(0), None]);
        assert_eq!(copies(&[], 0.02), []);
    }

    #[test]
    fn a_picture_without_a_face_or_detail_is_not_sharp() {
        let grey = GrayImage::from_pixel(8, 8, image::Luma([9]));
        assert_eq!(sharpness(&grey, &GrayImage::from_pixel(8, 8, image::Luma([255]))), 0.0);
        assert_eq!(sharpness(&grey, &GrayImage::new(8, 8)), 0.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
