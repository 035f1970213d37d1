//! From a frame to the meshes of its faces.

use std::f64::consts::FRAC_PI_2;

use super::{
    detect::{Detection, Detector, DetectorSettings},
    landmark::{LandmarkSettings, Landmarker, Refine, Region},
    mesh,
    search::{Angles, Effort, SmallFaces},
};
use crate::{
    Result,
    frame::{FoundFace, Frame},
    nn::Runtime,
};

/// What counts as a face.
#[derive(Debug, Clone, serde::Serialize)]
pub struct FinderSettings {
    /// Least score of the detector, 0..=1.
    pub detection_threshold: f64,
    /// Least presence that the mesh network gives, 0..=1.
    pub presence_threshold: f32,
    /// When to look for faces below a twelfth of the frame's long side.
    pub small_faces: SmallFaces,
    /// How heads may stand in the upright picture.
    pub angles: Angles,
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
            angles: Angles::default(),
            quarter_turns: 0,
            landmarks: LandmarkSettings::default(),
            max_faces: 16,
        }
    }
}

impl From<&FinderSettings> for DetectorSettings {
    fn from(settings: &FinderSettings) -> Self {
        Self {
            threshold: settings.detection_threshold,
            quarter_turns: settings.quarter_turns,
            angles: settings.angles.clone(),
            small_faces: settings.small_faces,
        }
    }
}

/// Finds faces in frames, each frame by itself, and measures them.
#[derive(Debug)]
pub struct Finder {
    detector: Detector,
    landmarker: Landmarker,
    settings: FinderSettings,
}

/// Cosine of the angle between what the mesh and what the detector says of a head's lean, below which the mesh is wrong: 25
/// degrees.
const HALF_WAY: f64 = 0.906;

impl Finder {
    /// Loads the networks, which lie in the program.
    ///
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime, settings: &FinderSettings) -> Result<Self> {
        Ok(Self {
            detector: Detector::new(runtime, settings.into())?,
            landmarker: Landmarker::new(runtime, settings.landmarks.network)?,
            settings: settings.clone(),
        })
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

    /// Whether the detector sees a face in `region` when it looks at it upright.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the network fails.
    pub fn sees(&mut self, frame: &Frame, region: &Region) -> Result<bool> {
        let around = self.detector.detect_around(&frame.picture, region)?;
        Ok(around.iter().any(|detection| is_there(detection, region)))
    }

    /// A face that was just found, the right way round: heads that stand upside down or lie on their side are now and
    /// then taken for upright ones. The detector looks at the face alone, enlarged, in all four ways; the surest
    /// decides. `None` when none of them shows a face.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn looked_at_closely(&mut self, frame: &Frame, face: FoundFace) -> Result<Option<FoundFace>> {
        let quarters = if self.settings.angles == Angles::Auto { 4 } else { 1 };
        let region = Region::from_points(&face.points);
        let mut surest: Option<(u8, Detection)> = None;
        for quarter in 0..quarters {
            let angle = region.angle + f64::from(quarter) * FRAC_PI_2;
            let around = self.detector.detect_around(&frame.picture, &Region { angle, ..region })?;
            let here = around.into_iter().filter(|detection| is_there(detection, &region));
            let Some(best) = here.max_by(|a, b| a.score.total_cmp(&b.score)) else { continue };
            if surest.as_ref().is_none_or(|(_, other)| best.score > other.score) {
                surest = Some((quarter, best));
            }
        }
        let Some((quarter, best)) = surest else { return Ok(None) };
        let turned = Region::from_detection(&best);
        // A mesh may come to rest half way round.
        if quarter == 0 && (turned.angle - region.angle).cos() > HALF_WAY {
            return Ok(Some(face));
        }
        let region = turned;
        let turned = self.landmarker.landmarks(&frame.picture, &[region], &self.settings.landmarks)?;
        let turned = turned.into_iter().next().filter(|t| t.presence > self.settings.presence_threshold);
        Ok(Some(turned.unwrap_or(face)))
    }

    /// The faces in a frame, the largest first.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn find(&mut self, frame: &Frame, effort: Effort) -> Result<Vec<FoundFace>> {
        self.find_near(frame, effort, &[])
    }

    /// The same, with another look around each of `places`, level with the face that a neighbouring frame shows there:
    /// what it misses otherwise are faces that are too small or turned too far.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn find_near(&mut self, frame: &Frame, effort: Effort, places: &[Region]) -> Result<Vec<FoundFace>> {
        let mut detections = self.detector.detect(&frame.picture, effort)?;
        for place in places {
            if !detections.iter().any(|detection| is_there(detection, place)) {
                let around = self.detector.detect_around(&frame.picture, place)?;
                detections.extend(around.into_iter().filter(|detection| is_there(detection, place)));
            }
        }
        let landmarks = self.settings.landmarks;
        self.measured(frame, &detections, &landmarks)
    }

    /// The faces that the detector saw, the largest first, measured roughly: who knows where they were, or follows them
    /// from here on, measures them with care.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the network fails.
    pub fn measured_roughly(&mut self, frame: &Frame, detections: &[Detection]) -> Result<Vec<FoundFace>> {
        let network = self.settings.landmarks.network;
        self.measured(frame, detections, &LandmarkSettings { network, refine: Refine::WhenFar, samples: 1 })
    }

    fn measured(
        &mut self,
        frame: &Frame,
        detections: &[Detection],
        settings: &LandmarkSettings,
    ) -> Result<Vec<FoundFace>> {
        let regions: Vec<Region> = detections.iter().map(Region::from_detection).collect();
        let mut faces = self.landmarker.landmarks(&frame.picture, &regions, settings)?;
        faces.retain(|face| face.presence > self.settings.presence_threshold);
        let mut faces = without_doubles(faces);
        faces.sort_by(|a, b| mesh::height_px(&b.points).total_cmp(&mesh::height_px(&a.points)));
        faces.truncate(self.settings.max_faces);
        Ok(faces)
    }
}

/// Whether a detection may be the face that was in a region a frame ago.
pub fn is_there(detection: &Detection, region: &Region) -> bool {
    let found = Region::from_detection(detection);
    let shift = (found.centre.x - region.centre.x).hypot(found.centre.y - region.centre.y);
    shift < 0.5 * region.side && (found.side / region.side).ln().abs() < 0.7
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
