//! A person as a picture shows them.

use std::path::Path;

use super::{
    analysis::{Analysis, AnalysisSettings},
    embedding::{Embedder, Embedding},
    mesh,
    witness::Gallery,
};
use crate::{Error, Result, frame::Face, nn::Runtime, video};

/// Eyes nearer to each other than this say little about who it is.
const MIN_EYES_PX: f64 = 12.0;

/// A person to be found in a clip, and how like them a face has to be.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The picture's file name.
    pub name: String,
    /// Largest distance at which a face passes for this person's (L2 of embeddings, 0..2).
    pub max_distance: f64,
    embeddings: Vec<Embedding>,
}

impl Reference {
    /// A person whose faces look like `embeddings`.
    pub fn new(name: &str, embeddings: Vec<Embedding>, max_distance: f64) -> Self {
        Self { name: name.into(), max_distance, embeddings }
    }

    /// The one person in the pictures of `paths`.
    ///
    /// # Errors
    /// [`Error::BadInput`] when a picture can't be read or shows no face, several, or one that is too small.
    pub fn read(paths: &[&Path], max_distance: f64, runtime: &Runtime) -> Result<Self> {
        let mut embedder = Embedder::new(runtime)?;
        let mut embeddings = Vec::new();
        for path in paths {
            let frame = video::read_picture(path)?;
            let tracked = Analysis::new(runtime, &AnalysisSettings::default(), 0, 1)?.single(frame)?;
            let face = only_face(path, &tracked.faces)?;
            let embedding = embedder.embed(&tracked.frame.picture, &face.points)?;
            embeddings.extend(embedding);
        }
        let names = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        Ok(Self::new(&names.join(", "), embeddings, max_distance))
    }

    /// How far a track's faces are from this person: the mean over its faces of the distance to the nearest picture.
    pub fn distance(&self, gallery: &Gallery) -> Option<f64> {
        let nearest =
            |face: &Embedding| self.embeddings.iter().map(|e| e.distance(face)).min_by(f64::total_cmp);
        let distances: Vec<f64> = gallery.faces().filter_map(nearest).collect();
        (!distances.is_empty()).then(|| distances.iter().sum::<f64>() / distances.len() as f64)
    }

    /// How far apart two people are: the nearest two of their pictures. Infinite without pictures.
    pub fn distance_to(&self, other: &Self) -> f64 {
        let pairs = self.embeddings.iter().flat_map(|a| other.embeddings.iter().map(|b| a.distance(b)));
        pairs.fold(f64::INFINITY, f64::min)
    }
}

/// The face of a picture that shows one person.
fn only_face<'a>(path: &Path, faces: &'a [Face]) -> Result<&'a Face> {
    let [first, others @ ..] = faces else {
        return Err(Error::input(
            path,
            "shows no face; give a picture in which the person's face is plain to see",
        ));
    };
    if !others.is_empty() {
        let boxes: Vec<String> = faces
            .iter()
            .map(|face| {
                let [x0, y0, x1, y1] = mesh::bounds(&face.points);
                format!("{:.0} x {:.0} px at ({x0:.0}, {y0:.0})", x1 - x0, y1 - y0)
            })
            .collect();
        let reason =
            format!("shows {} faces: {}; cut the one that is meant out of it", faces.len(), boxes.join(", "));
        return Err(Error::input(path, reason));
    }
    let eyes_px = mesh::interocular_px(&first.points);
    if eyes_px < MIN_EYES_PX {
        let reason = format!(
            "the face is too small to know the person by: its eyes are {eyes_px:.0} px apart, at least \
             {MIN_EYES_PX} are needed"
        );
        return Err(Error::input(path, reason));
    }
    Ok(first)
}
