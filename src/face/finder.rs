//! From a frame to the meshes of its faces.

use super::{
    detect::{Detector, SmallFaces},
    landmark::{LandmarkSettings, Landmarker, Refine, Region},
    mesh,
};
use crate::{
    Result,
    frame::{Found, FoundFace, Frame},
    nn::Runtime,
};

/// What counts as a face.
#[derive(Debug, Clone, serde::Serialize)]
pub struct FinderSettings {
    /// Least score of the detector, 0..=1.
    pub detection_threshold: f64,
    /// Least presence that the mesh network gives, 0..=1.
    pub presence_threshold: f32,
    /// When to look for faces below a tenth of the frame's long side.
    pub small_faces: SmallFaces,
    /// Clockwise quarter turns that show the stored picture upright, 0..=3, from the probe.
    pub quarter_turns: u8,
    /// How carefully faces are measured.
    pub landmarks: LandmarkSettings,
    /// The largest faces of a frame that are kept.
    pub max_faces: usize,
}

impl FinderSettings {
    /// The same settings for a clip that players turn clockwise by `quarter_turns`.
    #[must_use]
    pub fn upright(&self, quarter_turns: u8) -> Self {
        Self { quarter_turns: quarter_turns % 4, ..self.clone() }
    }
}

impl Default for FinderSettings {
    fn default() -> Self {
        Self {
            detection_threshold: 0.5,
            presence_threshold: 0.5,
            small_faces: SmallFaces::default(),
            quarter_turns: 0,
            landmarks: LandmarkSettings::default(),
            max_faces: 16,
        }
    }
}

/// Finds faces in frames, each frame by itself: a finder has no memory, so several may share a clip.
#[derive(Debug)]
pub struct Finder {
    detector: Detector,
    landmarker: Landmarker,
    settings: FinderSettings,
}

impl Finder {
    /// Loads the networks, which lie in the program.
    ///
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime, settings: &FinderSettings) -> Result<Self> {
        Ok(Self {
            detector: Detector::new(runtime, settings.detection_threshold, settings.small_faces)?,
            landmarker: Landmarker::new(runtime)?,
            settings: settings.clone(),
        })
    }

    /// The finder as a worker of the line that searches every frame whose number `every` divides. It measures each
    /// face once: the tracker behind it measures with care.
    pub fn into_worker(mut self, every: u64) -> impl FnMut(Frame) -> Result<Found> + Send {
        self.settings.landmarks = LandmarkSettings { refine: Refine::WhenFar, samples: 1 };
        move |frame| {
            let is_due = frame.idx.is_multiple_of(every.max(1));
            Ok(Found { faces: is_due.then(|| self.find(&frame)).transpose()?, frame })
        }
    }

    /// What counts as a face.
    pub fn settings(&self) -> &FinderSettings {
        &self.settings
    }

    /// The meshes in `regions` of a frame that a frame beside it showed faces in, in the same order, however faint
    /// they are.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn measure_again(&mut self, frame: &Frame, regions: &[Region]) -> Result<Vec<FoundFace>> {
        self.landmarker.landmarks_around(&frame.picture, regions, &self.settings.landmarks)
    }

    /// The faces in a frame, the largest first.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn find(&mut self, frame: &Frame) -> Result<Vec<FoundFace>> {
        let detections = self.detector.detect(&frame.picture, self.settings.quarter_turns)?;
        let regions: Vec<Region> = detections.iter().map(Region::from_detection).collect();
        let mut faces = self.landmarker.landmarks(&frame.picture, &regions, &self.settings.landmarks)?;
        faces.retain(|face| face.presence > self.settings.presence_threshold);
        let mut faces = without_doubles(faces);
        faces.sort_by(|a, b| height(b).total_cmp(&height(a)));
        faces.truncate(self.settings.max_faces);
        Ok(faces)
    }
}

fn height(face: &FoundFace) -> f64 {
    let [_, y0, _, y1] = mesh::bounds(&face.points);
    y1 - y0
}

/// Keeps the more certain of two meshes that lie on the same face.
fn without_doubles(mut faces: Vec<FoundFace>) -> Vec<FoundFace> {
    faces.sort_by(|a, b| b.presence.total_cmp(&a.presence));
    let mut kept: Vec<FoundFace> = Vec::new();
    for face in faces {
        let bounds = mesh::bounds(&face.points);
        if kept.iter().all(|other| mesh::iou(&bounds, &mesh::bounds(&other.points)) < 0.5) {
            kept.push(face);
        }
    }
    kept
}

#[cfg(test)]
#[path = "finder_tests.rs"]
mod tests;
