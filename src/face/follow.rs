//! Following faces by their own points, without the detector.
//!
//! The mesh network measures a face well in the place where the frame before it showed one, so the detector is needed
//! only for faces that appear. The place is that of the frame before and no guess at where the face goes: the network
//! bears a shift well, but a guess trembles, and the points with it (measured: a tenth to a fifth more). What could go wrong is checked in every frame ([`Follower::follow`]), and the detector
//! comes back the moment something looks wrong.

use super::{
    association::{Track, middle, size},
    detect::Detection,
    finder::{Finder, is_there},
    landmark::Region,
    mesh,
    search::Effort,
};
use crate::{
    Error, Result,
    frame::{FoundFace, Frame, FramePx},
};

/// Farthest way of a face between two frames, in sizes of the face.
const MAX_SHIFT: f64 = 0.5;
/// Largest change of size between two frames, as a logarithm.
const MAX_ZOOM: f64 = 0.3;
/// Two meshes that overlap more than this lie on the same face.
const SAME_FACE_IOU: f64 = 0.4;
/// Least presence in a frame where the detector sees no face.
const ALONE: f32 = 0.8;
/// Searched frames in a row in which a face may be followed that the detector doesn't see; then it is asked to look at
/// this face alone, upright and enlarged.
const MAX_UNSEEN: usize = 3;

/// How often the detector searches a whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum DetectEvery {
    /// Every sixth frame.
    #[default]
    Auto,
    /// Every Nth frame, from 1. Which ones depends on their numbers alone.
    Frames(u64),
}

impl DetectEvery {
    /// `auto` or a number from 1 to 1000.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the choices.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse().ok().filter(|n| (1..=1000).contains(n));
        number
            .map(Self::Frames)
            .ok_or_else(|| Error::setting("--detect-every", text, "must be auto or a number from 1 to 1000"))
    }

    /// The number of frames from one search to the next.
    pub fn n_frames(self) -> u64 {
        match self {
            Self::Auto => 6,
            Self::Frames(n) => n.max(1),
        }
    }
}

/// What is known of a frame when a search has shown the faces that are followed in their places.
#[derive(Debug)]
pub struct Confirmed {
    /// The faces of the tracks, in their order, and whether the detector saw each.
    pub followed: Vec<(FoundFace, bool)>,
    /// Faces that no track goes on to.
    pub others: Vec<FoundFace>,
}

/// Measures faces where they were a frame ago, and searches a frame when that fails.
#[derive(Debug)]
pub struct Follower {
    finder: Finder,
}

impl Follower {
    /// A follower that measures and searches with `finder`.
    pub fn new(finder: Finder) -> Self {
        Self { finder }
    }

    /// All faces of a frame. Those of `tracks` that nothing else shows are looked for around their last places.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn search(&mut self, frame: &Frame, effort: Effort, tracks: &[Track]) -> Result<Vec<FoundFace>> {
        let places: Vec<Region> = tracks.iter().map(|track| Region::from_points(&track.last)).collect();
        self.finder.find_near(frame, effort, &places)
    }

    /// The faces that the detector saw in a frame, measured roughly.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn measured_roughly(&mut self, frame: &Frame, detections: &[Detection]) -> Result<Vec<FoundFace>> {
        self.finder.measured_roughly(frame, detections)
    }

    /// A face that would begin a track, the right way round; `None` when a closer look shows that it is none.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn looked_at_closely(&mut self, frame: &Frame, face: FoundFace) -> Result<Option<FoundFace>> {
        self.finder.looked_at_closely(frame, face)
    }

    /// The faces of `tracks` in the frame after their last, in the same order; `None` when the frame must be
    /// searched: a scene begins, a face is missing, faint or elsewhere, or two tracks run into each other.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn follow(
        &mut self,
        frame: &Frame,
        tracks: &[Track],
        is_cut: bool,
    ) -> Result<Option<Vec<FoundFace>>> {
        if is_cut || tracks.iter().any(|track| track.n_missing > 1) {
            return Ok(None);
        }
        let lasts: Vec<&[FramePx]> = tracks.iter().map(|track| &track.last[..]).collect();
        let Some(faces) = self.measured(frame, tracks.iter().map(|track| track.last.clone()))? else {
            return Ok(None);
        };
        let is_sound = |(face, last): (&FoundFace, &&[FramePx])| {
            face.presence > self.finder.settings().presence_threshold && is_near(last, &face.points)
        };
        let are_apart = faces.iter().enumerate().all(|(i, a)| {
            let bounds = mesh::bounds(&a.points);
            faces[i + 1..].iter().all(|b| mesh::iou(&bounds, &mesh::bounds(&b.points)) < SAME_FACE_IOU)
        });
        Ok((are_apart && faces.iter().zip(&lasts).all(is_sound)).then_some(faces))
    }

    /// The same for a frame in which the detector saw faces, where there is no doubt which of these are the tracks': they
    /// are measured in their tracks' places alone. A track that none of them shows is followed as by
    /// [`Follower::follow_unseen`]. `None` where there is doubt.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn confirm(
        &mut self,
        frame: &Frame,
        tracks: &[Track],
        detections: &[Detection],
    ) -> Result<Option<Confirmed>> {
        if tracks.is_empty() {
            return Ok(None);
        }
        let Some(faces) = self.follow(frame, tracks, false)? else { return Ok(None) };
        let places: Vec<Region> = faces.iter().map(|face| Region::from_points(&face.points)).collect();
        let mut is_seen = vec![false; faces.len()];
        let mut rest = Vec::new();
        for detection in detections {
            let mut owners = (0..places.len()).filter(|i| is_there(detection, &places[*i]));
            match (owners.next(), owners.next()) {
                (None, _) => rest.push(detection.clone()),
                (Some(owner), None) if !is_seen[owner] => is_seen[owner] = true,
                _ => return Ok(None),
            }
        }
        if faces.len() + rest.len() > self.finder.settings().max_faces {
            return Ok(None); // Which of them are kept is for all of them to settle.
        }
        for ((face, track), (is_seen, place)) in faces.iter().zip(tracks).zip(is_seen.iter_mut().zip(&places))
        {
            if *is_seen {
                continue;
            }
            *is_seen = track.n_unseen >= MAX_UNSEEN;
            if face.presence <= ALONE || (*is_seen && !self.finder.sees(frame, place)?) {
                return Ok(None);
            }
        }
        let mut others = self.finder.measured_roughly(frame, &rest)?;
        others.retain(|other| {
            let bounds = mesh::bounds(&other.points);
            faces.iter().all(|face| mesh::iou(&bounds, &mesh::bounds(&face.points)) < SAME_FACE_IOU)
        });
        Ok(Some(Confirmed { followed: faces.into_iter().zip(is_seen).collect(), others }))
    }

    /// Measures faces that the detector found in the places of `guesses`, as if they had been followed; where that
    /// shows another face, the one that was found stays.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn measure_again(
        &mut self,
        frame: &Frame,
        guesses: Vec<Vec<FramePx>>,
        found: &mut [FoundFace],
    ) -> Result<()> {
        let Some(faces) = self.measured(frame, guesses.into_iter())? else { return Ok(()) };
        for (found, face) in found.iter_mut().zip(faces) {
            let overlap = mesh::iou(&mesh::bounds(&face.points), &mesh::bounds(&found.points));
            if overlap > SAME_FACE_IOU && face.presence > self.finder.settings().presence_threshold {
                *found = face;
            }
        }
        Ok(())
    }

    /// The face of a track in a frame where the detector doesn't see it, if it is plain to the mesh network, and whether
    /// the detector has seen it after all: too long without it, and it looks closely.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn follow_unseen(
        &mut self,
        frame: &Frame,
        track: &Track,
        others: &[&[FramePx]],
    ) -> Result<Option<(FoundFace, bool)>> {
        if track.n_missing > 1 {
            return Ok(None);
        }
        let Some(face) = self.follow_one(frame, &track.last, others)? else { return Ok(None) };
        if track.n_unseen < MAX_UNSEEN {
            return Ok(Some((face, false)));
        }
        let is_seen = self.finder.sees(frame, &Region::from_points(&face.points))?;
        Ok(is_seen.then_some((face, true)))
    }

    /// The face that a neighbouring frame shows at `points`; `None` when it isn't there, or is one of `others`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn follow_one(
        &mut self,
        frame: &Frame,
        points: &[FramePx],
        others: &[&[FramePx]],
    ) -> Result<Option<FoundFace>> {
        let face = self
            .measured(frame, std::iter::once(points.to_vec()))?
            .and_then(|faces| faces.into_iter().next());
        Ok(face.filter(|face| {
            let bounds = mesh::bounds(&face.points);
            let is_free = others.iter().all(|other| mesh::iou(&bounds, &mesh::bounds(other)) < SAME_FACE_IOU);
            is_free && face.presence > ALONE && is_near(points, &face.points)
        }))
    }

    /// The meshes around `guesses`; `None` when one of these has no extent.
    fn measured(
        &mut self,
        frame: &Frame,
        guesses: impl Iterator<Item = Vec<FramePx>>,
    ) -> Result<Option<Vec<FoundFace>>> {
        let regions: Vec<Region> = guesses.map(|points| Region::from_points(&points)).collect();
        let faces = self.finder.measure_again(frame, &regions)?;
        Ok((faces.len() == regions.len()).then_some(faces))
    }
}

/// Whether a face can have come from one place to another within a frame.
fn is_near(then: &[FramePx], now: &[FramePx]) -> bool {
    let (a, b) = (middle(then), middle(now));
    let (old, new) = (size(then), size(now));
    (a.x - b.x).hypot(a.y - b.y) < MAX_SHIFT * old.max(new) && (new / old).ln().abs() < MAX_ZOOM
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
