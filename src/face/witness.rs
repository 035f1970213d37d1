//! What the people of a clip look like: a few good faces of each track, embedded once in a while.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    embedding::{Embedder, Embedding},
    mesh,
};
use crate::{Result, frame::FramePx, video::Picture};

/// Faces that are kept of a track.
const N_FACES: usize = 5;
/// Ages of a track, in frames, at which it is looked at. The first four lie within the look-ahead of a choice.
const AGES: [u32; 12] = [0, 2, 4, 7, 12, 20, 33, 54, 88, 143, 232, 376];

/// Galleries that are kept, so that a long clip takes no more memory than a short one.
const N_REMEMBERED: usize = 64;

/// The best faces of one track.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gallery {
    /// How well each shows the person, 0..=1, and the embedding; the best first.
    best: Vec<(f64, Embedding)>,
    /// Frames in which the track was seen.
    age: u32,
}

impl Gallery {
    /// The faces, the best first.
    pub fn faces(&self) -> impl Iterator<Item = &Embedding> {
        self.best.iter().map(|(_, embedding)| embedding)
    }

    /// Mean distance of a face to those of the gallery; `None` for an empty one.
    pub fn distance(&self, face: &Embedding) -> Option<f64> {
        let n = self.best.len();
        (n > 0).then(|| self.faces().map(|other| other.distance(face)).sum::<f64>() / n as f64)
    }

    /// Mean distance between the faces of two galleries; `None` when one is empty.
    pub fn distance_to(&self, other: &Self) -> Option<f64> {
        let distances: Vec<f64> = other.faces().filter_map(|face| self.distance(face)).collect();
        (!distances.is_empty()).then(|| distances.iter().sum::<f64>() / distances.len() as f64)
    }

    /// Adds a face, and drops the worst when there are too many.
    pub fn add(&mut self, quality: f64, embedding: Embedding) {
        let place = self.best.partition_point(|(q, _)| *q >= quality);
        self.best.insert(place, (quality, embedding));
        self.best.truncate(N_FACES);
    }
}

/// Looks at faces and remembers them by track.
#[derive(Debug)]
pub struct Witness {
    embedder: Embedder,
    /// What it remembers.
    pub galleries: BTreeMap<u32, Gallery>,
}

impl Witness {
    /// A witness that has seen nobody.
    pub fn new(embedder: Embedder) -> Self {
        Self { embedder, galleries: BTreeMap::new() }
    }

    /// The embedding of a face; `None` when its points are no mesh.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the network fails.
    pub fn look(&mut self, picture: &Picture, points: &[FramePx]) -> Result<Option<Embedding>> {
        self.embedder.embed(picture, points)
    }

    /// A track is seen in one more frame; now and then its face is remembered.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the network fails.
    pub fn see(&mut self, track: u32, picture: &Picture, points: &[FramePx]) -> Result<()> {
        let gallery = self.galleries.entry(track).or_default();
        let age = gallery.age;
        gallery.age += 1;
        if !AGES.contains(&age) {
            return Ok(());
        }
        let quality = quality(points);
        let is_wanted = gallery.best.len() < N_FACES || gallery.best.iter().any(|(q, _)| *q < quality);
        if is_wanted && let Some(embedding) = self.embedder.embed(picture, points)? {
            gallery.add(quality, embedding);
        }
        Ok(())
    }

    /// Forgets whom it saw for the shortest time when it remembers too many; those who are `here` stay.
    pub fn keep_few(&mut self, here: &BTreeSet<u32>) {
        if self.galleries.len() > N_REMEMBERED {
            let gone = self.galleries.iter().filter(|(id, _)| !here.contains(id));
            let shortest = gone.min_by_key(|(_, gallery)| gallery.age).map(|(id, _)| *id);
            shortest.map(|id| self.galleries.remove(&id));
        }
    }
}

/// How well a face shows who it is, 0..=1: large (eyes 40 px apart count in full) and frontal (the tip of the nose
/// between the eyes).
pub fn quality(points: &[FramePx]) -> f64 {
    if points.len() < mesh::N_SKIN {
        return 0.0;
    }
    let (right, left, nose) =
        (mesh::eye_centre(points, 0), mesh::eye_centre(points, 1), points[mesh::NOSE_TIP]);
    let (dx, dy) = (left.x - right.x, left.y - right.y);
    let square = dx * dx + dy * dy;
    if square <= 0.0 || !square.is_finite() {
        return 0.0;
    }
    // Where the nose lies along the line of the eyes: 0 at the right eye, 0.5 in the middle.
    let along = ((nose.x - right.x) * dx + (nose.y - right.y) * dy) / square;
    let frontal = (1.0 - 2.0 * (along - 0.5).abs()).clamp(0.0, 1.0);
    frontal * (square.sqrt() / 40.0).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gallery_keeps_its_best_faces() {
        let mut gallery = Gallery::default();
        for i in 0..9_u8 {
            gallery.add(f64::from(i % 7), Embedding::from_values(vec![f32::from(i)]));
        }
        let qualities: Vec<f64> = gallery.best.iter().map(|(q, _)| *q).collect();
        assert_eq!(qualities, [6.0, 5.0, 4.0, 3.0, 2.0]);
        let mean = gallery.distance(&Embedding::from_values(vec![4.0])).expect("faces");
        assert!((mean - (2.0 + 1.0 + 0.0 + 1.0 + 2.0) / 5.0).abs() < 1e-6, "{mean}");
    }

    #[test]
    fn a_large_frontal_face_is_the_best() {
        let face = |eyes: f64, nose: f64| {
            let mut points = vec![FramePx::default(); mesh::N_POINTS];
            for (eye, x) in [(0, 0.0), (1, eyes)] {
                mesh::EYE_CORNERS[eye].iter().for_each(|i| points[*i] = FramePx { x, y: 0.0 });
            }
            points[mesh::NOSE_TIP] = FramePx { x: nose * eyes, y: 0.5 * eyes };
            quality(&points)
        };
        assert!((face(60.0, 0.5) - 1.0).abs() < 1e-9);
        assert!((face(20.0, 0.5) - 0.5).abs() < 1e-9);
        assert!((face(60.0, 0.75) - 0.5).abs() < 1e-9);
        assert_eq!(face(60.0, 1.3), 0.0);
        assert_eq!(quality(&[]), 0.0);
    }
}
