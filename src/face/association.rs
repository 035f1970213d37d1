//! Which face of a frame continues which track.

use serde::{Deserialize, Serialize};

use super::{align::fit_similarity, embedding::Embedding, mesh};
use crate::frame::{FoundFace, FramePx};

/// Two tracks that could go on in one face, and whose costs differ by less, are told apart by what the people look
/// like.
const CLOSE: f64 = 0.4;
/// Weight of the distance of embeddings (0.3 for the same person, 0.65 for two) beside the other costs.
const LOOKS: f64 = 4.0;
/// The distance that says nothing: half way between one person and two.
const NO_OPINION: f64 = 0.5;

/// A face that is followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Its number.
    pub id: u32,
    /// Where it was seen last.
    pub last: Vec<FramePx>,
    /// How its middle moved in the frame before that, pixels.
    velocity: FramePx,
    /// Frames since then.
    pub n_missing: usize,
    /// Searched frames since the detector saw it.
    pub n_unseen: usize,
}

impl Track {
    /// A track that begins.
    pub fn new(id: u32, points: &[FramePx]) -> Self {
        Self { id, last: points.to_vec(), velocity: FramePx::default(), n_missing: 0, n_unseen: 0 }
    }

    /// The face is seen again.
    pub fn see(&mut self, points: &[FramePx]) {
        let (then, now) = (middle(&self.last), middle(points));
        let n = self.n_missing.max(1) as f64;
        self.velocity = FramePx { x: (now.x - then.x) / n, y: (now.y - then.y) / n };
        self.last = points.to_vec();
        self.n_missing = 0;
    }

    /// How unlike this track's face `face` is, or `None` when it can't be the same: too far away or of another size.
    fn cost(&self, face: &FoundFace) -> Option<f64> {
        let (old, new) = (size(&self.last), size(&face.points));
        let side = old.max(new);
        let (then, now) = (middle(&self.last), middle(&face.points));
        let n = self.n_missing as f64;
        // A shaken camera turns back as often as it goes on, so both the place and the way on are good guesses.
        let stays = (now.x - then.x).hypot(now.y - then.y);
        let goes_on = (now.x - then.x - n * self.velocity.x).hypot(now.y - then.y - n * self.velocity.y);
        let shift = stays.min(goes_on) / side;
        let zoom = (new / old).ln().abs();
        let is_possible = shift < 0.8 && zoom < 0.5;
        is_possible.then(|| shift + zoom + 2.0 * shape_distance(&self.last, &face.points))
    }
}

/// A face that may go on a track.
#[derive(Debug, Clone, Copy)]
struct Pair {
    track: usize,
    face: usize,
    cost: f64,
}

/// The pairs of tracks and faces that are possible.
#[derive(Debug)]
pub struct Pairs(Vec<Pair>);

impl Pairs {
    /// All that are possible by place, size and shape. A track whose face is known in this frame already has no other.
    pub fn new(tracks: &[Track], faces: &[FoundFace]) -> Self {
        let of_track = |(i, track): (usize, &Track)| {
            let pair = |(j, face)| track.cost(face).map(|cost| Pair { track: i, face: j, cost });
            faces.iter().enumerate().filter_map(pair).collect::<Vec<_>>()
        };
        let missing = |(_, track): &(usize, &Track)| track.n_missing > 0;
        Self(tracks.iter().enumerate().filter(missing).flat_map(of_track).collect())
    }

    /// Faces that several tracks could go on in: people that cross.
    pub fn doubtful(&self) -> Vec<usize> {
        let mut doubtful: Vec<usize> = Vec::new();
        for (k, a) in self.0.iter().enumerate() {
            let is_close = |b: &&Pair| b.face == a.face && (a.cost - b.cost).abs() < CLOSE;
            if !doubtful.contains(&a.face) && self.0[k + 1..].iter().any(|b| is_close(&b)) {
                doubtful.push(a.face);
            }
        }
        doubtful
    }

    /// Adds what a doubtful face's looks say: `distance` gives that of a track's faces to it.
    pub fn weigh(
        &mut self,
        face: usize,
        embedding: &Embedding,
        distance: impl Fn(usize, &Embedding) -> Option<f64>,
    ) {
        for pair in self.0.iter_mut().filter(|pair| pair.face == face) {
            let looks = distance(pair.track, embedding).unwrap_or(NO_OPINION);
            pair.cost += LOOKS * (looks - NO_OPINION);
        }
    }

    /// For each of `n_faces` faces the track that it continues: the best pair first, each track once.
    pub fn owners(mut self, n_faces: usize) -> Vec<Option<usize>> {
        self.0.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        let mut owners = vec![None; n_faces];
        for pair in self.0 {
            if owners[pair.face].is_none() && !owners.contains(&Some(pair.track)) {
                owners[pair.face] = Some(pair.track);
            }
        }
        owners
    }
}

/// The middle of a mesh's box.
pub fn middle(points: &[FramePx]) -> FramePx {
    let [x0, y0, x1, y1] = mesh::bounds(points);
    FramePx { x: 0.5 * (x0 + x1), y: 0.5 * (y0 + y1) }
}

/// The side of a square as large as a mesh's box; at least a pixel.
pub fn size(points: &[FramePx]) -> f64 {
    let [x0, y0, x1, y1] = mesh::bounds(points);
    ((x1 - x0) * (y1 - y0)).sqrt().max(1.0)
}

/// What is left after one mesh is laid on the other: root mean square, as a fraction of the face's size.
pub fn shape_distance(a: &[FramePx], b: &[FramePx]) -> f64 {
    let onto = fit_similarity(a.iter().zip(b).map(|(p, q)| (*p, *q, 1.0)));
    let squares = a.iter().zip(b).map(|(p, q)| {
        let p = onto.to_crop(*p);
        (p.x - q.x).powi(2) + (p.y - q.y).powi(2)
    });
    (squares.sum::<f64>() / a.len().max(1) as f64).sqrt() / size(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_whose_face_is_known_has_no_other() {
        let points: Vec<FramePx> =
            (0..mesh::N_POINTS).map(|i| FramePx { x: (i % 20) as f64, y: (i / 20) as f64 }).collect();
        let mut tracks = [Track::new(0, &points), Track::new(1, &points)];
        tracks[1].n_missing = 1;
        let face = FoundFace { points, presence: 0.9 };
        assert_eq!(Pairs::new(&tracks, std::slice::from_ref(&face)).owners(1), [Some(1)]);
        assert_eq!(Pairs::new(&tracks[..1], &[face]).owners(1), [None]);
    }
}
