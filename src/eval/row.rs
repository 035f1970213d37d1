//! What is gathered of one clip or composite.

use std::path::Path;

use ndarray::{Array2, Array3};
use serde::Serialize;

use crate::{
    Result,
    face::{self, forgery::SeamDetector},
    frame::{FoundFace, Frame, FramePx, Rect, Similarity},
    measure::{
        expression::{Expression, Reader, eye_opening, following, gaze_following, mesh_error},
        flicker::{Flow, flow, flow_difference, warp_error},
        identity::{Embedder, Embedding},
        jitter::Jitter,
        psnr::psnr,
        seam::seam,
        ssim::{ms_ssim, ssim},
    },
    nn::Runtime,
};

/// Equal pictures score this much instead of infinity, which JSON doesn't know.
const MAX_PSNR_DB: f64 = 100.0;

/// The scores of one clip; `None` where there was nothing to measure.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scores {
    /// PSNR to the truth inside the region, mean over frames, dB; at most 100.
    pub psnr_face_db: Option<f64>,
    /// SSIM to the truth inside the region, -1..=1.
    pub ssim_face: Option<f64>,
    /// Multi-scale SSIM to the truth inside the region, 0..=1.
    pub ms_ssim_face: Option<f64>,
    /// Distance of face embeddings to the wanted person (L2, mean over pairs of frames; one person is below 0.52).
    pub identity_distance: Option<f64>,
    /// Distance of face embeddings to the person who was replaced.
    pub identity_distance_to_target: Option<f64>,
    /// Share of the frames whose face is nearer to the wanted person than to any other that was given, 0..=1.
    pub identity_retrieval: Option<f64>,
    /// Distance of the mesh to the target's after it is laid on it, share of the distance between the eyes.
    pub pose_nme: Option<f64>,
    /// Mean difference of the 52 expression coefficients to the target's, 0..=1.
    pub expression_l1: Option<f64>,
    /// How far the eyes close when the target's do: 1 as far, 0 not at all; `None` where the target's hardly do.
    pub eyes_following: Option<f64>,
    /// How far the eyes look to the sides when the target's do: 1 as far, 0 not at all; `None` where the target's hardly do.
    pub gaze_following: Option<f64>,
    /// Tremble of the target's points, share of the distance between the eyes.
    pub jitter_in: Option<f64>,
    /// Tremble of this clip's points, in the same unit.
    pub jitter_out: Option<f64>,
    /// Difference of the optical flow to the target's inside the region (tOF), pixels a frame.
    pub flicker_tof: Option<f64>,
    /// What doesn't move along with the target, over the same of the target: 1 is as steady as the target.
    pub warp_error_ratio: Option<f64>,
    /// S1: gradient across the seam over that of the target; 1 is good, more is a visible edge, less is smeared.
    pub seam_s1: Option<f64>,
    /// S2: step of colour across the seam beyond the target's (L*a*b*, 95th percentile along it); 0 is good.
    pub seam_s2: Option<f64>,
    /// S3: |log| of the ratio of fine detail inside and outside the seam; 0 is good.
    pub seam_s3: Option<f64>,
    /// S4: how sure the learnt detector is that the face was put in, 0..=1; it sees no target and no mask.
    /// Left out when no face was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seam_s4: Option<f64>,
    /// Scored frames in which a face was found.
    pub n_faces: usize,
}

/// The scores of one frame.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameScores {
    pub(super) idx: u64,
    pub(super) psnr_db: Option<f64>,
    pub(super) ssim: Option<f64>,
    ms_ssim: Option<f64>,
    pose_nme: Option<f64>,
    expression_l1: Option<f64>,
    /// How far the target's eyes are open, and how far these are.
    eyes: Option<(f64, f64)>,
    /// How far to the side the target's look, and these.
    gaze: Option<(f64, f64)>,
    pub(super) tof: Option<f64>,
    pub(super) warp: Option<f64>,
    pub(super) s1: Option<f64>,
    pub(super) s2: Option<f64>,
    pub(super) s3: Option<f64>,
    pub(super) s4: Option<f64>,
}

/// Where open eyes look, see [`face::Look`].
fn gaze(points: &[FramePx]) -> Option<f64> {
    /// Behind lids that are nearer than this, in widths of an eye, irises are guessed.
    const OPEN: f64 = 0.1;
    face::Look::of(points).filter(|look| look.eyes > OPEN).map(|look| look.gaze)
}

/// What is gathered of one clip.
#[derive(Default)]
pub(super) struct Row {
    pub(super) frames: Vec<FrameScores>,
    pub(super) faces: Vec<Embedding>,
    pub(super) jitter: Jitter,
    /// The points of up to two frames before.
    points: Vec<Vec<FramePx>>,
}

impl Row {
    /// Takes the face of a frame; `anew` when it doesn't follow the one before.
    pub(super) fn follow(&mut self, face: Option<&FoundFace>, anew: bool) {
        let Some(face) = face else { return self.points.clear() };
        if anew {
            self.points.clear();
        }
        if let [before, now] = &self.points[..] {
            self.jitter.add(before, now, &face.points);
            self.points.remove(0);
        }
        self.points.push(face.points.clone());
    }

    /// The mean of one score over the frames that have it.
    pub(super) fn mean(&self, score: impl Fn(&FrameScores) -> Option<f64>) -> Option<f64> {
        let (sum, n) =
            self.frames.iter().filter_map(score).fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
        (n > 0.0).then(|| sum / n)
    }

    /// All but what needs other rows: identities and the ratio of warp errors.
    pub(super) fn scores(&self) -> Scores {
        Scores {
            psnr_face_db: self.mean(|f| f.psnr_db),
            ssim_face: self.mean(|f| f.ssim),
            ms_ssim_face: self.mean(|f| f.ms_ssim),
            pose_nme: self.mean(|f| f.pose_nme),
            expression_l1: self.mean(|f| f.expression_l1),
            eyes_following: following(&self.frames.iter().filter_map(|f| f.eyes).collect::<Vec<_>>()),
            gaze_following: gaze_following(&self.frames.iter().filter_map(|f| f.gaze).collect::<Vec<_>>()),
            jitter_out: self.jitter.mean(),
            flicker_tof: self.mean(|f| f.tof),
            seam_s1: self.mean(|f| f.s1),
            seam_s2: self.mean(|f| f.s2),
            seam_s3: self.mean(|f| f.s3),
            seam_s4: self.mean(|f| f.s4),
            n_faces: self.faces.len(),
            ..Scores::default()
        }
    }
}

/// The networks that look at faces.
pub(super) struct Look {
    embedder: Embedder,
    reader: Reader,
    detector: SeamDetector,
}

/// A face as they see it.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) points: Option<Vec<FramePx>>,
    pub(super) embedding: Option<Embedding>,
    expression: Option<Expression>,
    /// S4.
    seam: Option<f64>,
}

impl Look {
    pub(super) fn new(runtime: &Runtime, seam_network: Option<&Path>) -> Result<Self> {
        Ok(Self {
            embedder: Embedder::new(runtime)?,
            reader: Reader::new(runtime)?,
            detector: SeamDetector::new(runtime, seam_network)?,
        })
    }

    pub(super) fn at(&mut self, frame: &Frame, face: Option<&FoundFace>) -> Result<Seen> {
        let Some(face) = face else { return Ok(Seen::default()) };
        let seam = Some(self.detector.look(&frame.picture, &face.points)?.score);
        Ok(Seen {
            seam,
            embedding: self.embedder.embed(&frame.picture, &face.points)?,
            expression: self.reader.read(&face.points)?,
            points: Some(face.points.clone()),
        })
    }
}

/// The part of the frame that is scored.
pub(super) struct Area {
    pub(super) rect: Rect,
    /// In it, more than 0.5 inside.
    pub(super) inside: Array2<f32>,
}

impl Area {
    /// Pixels around that are cut out as well, so that windows and flow have something to look at.
    const MARGIN: usize = 32;

    /// The box of what is inside, and of the composites' masks, with a margin; `None` when nothing is inside.
    pub(super) fn around(inside: &Array2<f32>, masks: &[Array2<f32>]) -> Option<Self> {
        let (h, w) = inside.dim();
        if !inside.iter().any(|v| *v > 0.5) {
            return None;
        }
        let (mut x0, mut x1, mut y0, mut y1) = (w, 0, h, 0);
        for (mask, least) in std::iter::once((inside, 0.5)).chain(masks.iter().map(|mask| (mask, 0.0))) {
            for ((y, x), _) in mask.indexed_iter().filter(|(_, v)| **v > least) {
                (x0, x1, y0, y1) = (x0.min(x), x1.max(x + 1), y0.min(y), y1.max(y + 1));
            }
        }
        let (x0, y0) = (x0.saturating_sub(Self::MARGIN), y0.saturating_sub(Self::MARGIN));
        let rect = Rect { x0, y0, x1: (x1 + Self::MARGIN).min(w), y1: (y1 + Self::MARGIN).min(h) };
        Some(Self { rect, inside: part(inside, rect) })
    }

    pub(super) fn picture(&self, frame: &Frame) -> Array3<f32> {
        frame.picture.rgb_rect(self.rect)
    }
}

pub(super) fn part(mask: &Array2<f32>, rect: Rect) -> Array2<f32> {
    mask.slice(ndarray::s![rect.y0..rect.y1, rect.x0..rect.x1]).to_owned()
}

pub(super) fn grey_of(region: &Frame) -> Array2<f32> {
    let (x1, y1) = region.picture.size_px();
    region.picture.rgb_rect(Rect { x0: 0, y0: 0, x1, y1 }).index_axis_move(ndarray::Axis(0), 0)
}

pub(super) fn hull_of(frame: &Frame, face: Option<&FoundFace>) -> Array2<f32> {
    let (w, h) = frame.picture.size_px();
    let in_place = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
    let points = face.map_or(&[][..], |face| &face.points);
    face::hull_mask(points, &in_place, w.max(h)).slice(ndarray::s![..h, ..w]).to_owned()
}

/// What a picture is compared with.
pub(super) struct Beside<'a> {
    pub(super) idx: u64,
    pub(super) area: &'a Area,
    pub(super) target: &'a Array3<f32>,
    pub(super) target_seen: &'a Seen,
    pub(super) truth: Option<&'a Array3<f32>>,
}

impl Beside<'_> {
    /// The scores of a picture whose seam is where `alpha` says.
    pub(super) fn scores(&self, picture: &Array3<f32>, seen: &Seen, alpha: &Array2<f32>) -> FrameScores {
        let inside = Some(&self.area.inside);
        let seam = seam(picture, self.target, alpha);
        let both = || self.target_seen.points.as_deref().zip(seen.points.as_deref());
        FrameScores {
            idx: self.idx,
            psnr_db: self.truth.and_then(|t| psnr(picture, t, inside)).map(|db| db.min(MAX_PSNR_DB)),
            ssim: self.truth.and_then(|t| ssim(picture, t, inside)),
            ms_ssim: self.truth.and_then(|t| ms_ssim(picture, t, inside)),
            pose_nme: both().and_then(|(target, face)| mesh_error(face, target)),
            eyes: both().and_then(|(target, face)| eye_opening(target).zip(eye_opening(face))),
            gaze: both().and_then(|(target, face)| gaze(target).zip(gaze(face))),
            expression_l1: seen
                .expression
                .as_ref()
                .zip(self.target_seen.expression.as_ref())
                .map(|(a, b)| a.distance(b)),
            tof: None,
            warp: None,
            s1: seam.map(|s| s.edge),
            s2: seam.map(|s| s.step),
            s3: seam.map(|s| s.noise),
            s4: seen.seam,
        }
    }
}

/// A scored frame whose motion is known when the next one comes.
pub(super) struct Pending {
    pub(super) area: Area,
    pub(super) before: Vec<Array3<f32>>,
}

impl Pending {
    pub(super) fn finish(self, frames: &[Frame], rows: &mut [Row]) -> Result<()> {
        let after: Vec<Array3<f32>> = frames.iter().map(|frame| self.area.picture(frame)).collect();
        let wanted: Flow = flow(&self.before[0], &after[0])?;
        let inside = Some(&self.area.inside);
        let mean = |(sum, n): (f64, f64)| (n > 0.0).then(|| sum / n);
        for (i, row) in rows.iter_mut().enumerate() {
            let Some(last) = row.frames.last_mut() else { continue };
            // The target moves as itself.
            let tof = if i == 0 {
                (0.0, 1.0)
            } else {
                flow_difference(&flow(&self.before[i], &after[i])?, &wanted, inside)
            };
            last.tof = mean(tof);
            last.warp = mean(warp_error(&self.before[i], &after[i], &wanted, inside));
        }
        Ok(())
    }
}
