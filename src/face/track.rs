//! Following faces through a clip: stable numbers, short gaps filled, points held still.

use std::collections::VecDeque;

use super::{
    align::fit_similarity,
    mesh,
    scene::SceneCuts,
    stabilise::{Stabilisation, stabilised},
};
use crate::{
    Result,
    frame::{Face, Found, FoundFace, Frame, FramePx, Tracked},
    line::Stage,
};

/// How faces are followed.
#[derive(Debug, Clone)]
pub struct TrackerSettings {
    /// Frames for which a face may be missing and keep its number; the gap is filled when it comes back.
    pub max_gap: usize,
    /// How its points are held still.
    pub stabilisation: Stabilisation,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self { max_gap: 5, stabilisation: Stabilisation::default() }
    }
}

/// Gives faces their numbers, fills gaps, and holds the points still.
///
/// It holds back as many frames as the stabilisation looks ahead, and up to `max_gap` more while a face is missing.
#[derive(Debug)]
pub struct Tracker {
    settings: TrackerSettings,
    tracks: Vec<Track>,
    n_tracks: u32,
    cuts: SceneCuts,
    /// Frames in the order of presentation. The first `n_done` were handed out; only their points are kept.
    window: VecDeque<Held>,
    n_done: usize,
}

/// A frame that waits, or the points of one that went.
#[derive(Debug)]
struct Held {
    frame: Option<Frame>,
    faces: Vec<Face>,
}

/// A face that is followed.
#[derive(Debug)]
struct Track {
    id: u32,
    /// Where it was seen last.
    last: Vec<FramePx>,
    /// How its middle moved in the frame before that, pixels.
    velocity: FramePx,
    /// Frames since then.
    n_missing: usize,
}

impl Tracker {
    /// A tracker for one clip.
    pub fn new(settings: &TrackerSettings) -> Self {
        Self {
            settings: settings.clone(),
            tracks: Vec::new(),
            n_tracks: 0,
            cuts: SceneCuts::default(),
            window: VecDeque::new(),
            n_done: 0,
        }
    }

    /// Takes a frame in and decides which of its faces are known.
    fn take(&mut self, found: Found) {
        if self.cuts.is_cut(&found.frame.picture) {
            self.tracks.clear();
        }
        for track in &mut self.tracks {
            track.n_missing += 1;
        }
        let owners = self.owners(&found.faces);
        let mut faces = Vec::with_capacity(found.faces.len());
        for (face, owner) in found.faces.into_iter().zip(owners) {
            let id = match owner {
                Some(i) => {
                    self.fill_gap(i, &face);
                    self.tracks[i].see(&face.points);
                    self.tracks[i].id
                }
                None => self.begin(&face.points),
            };
            faces.push(Face { track: id, points: face.points, presence: face.presence });
        }
        self.tracks.retain(|track| track.n_missing <= self.settings.max_gap);
        self.window.push_back(Held { frame: Some(found.frame), faces });
    }

    fn begin(&mut self, points: &[FramePx]) -> u32 {
        let id = self.n_tracks;
        self.n_tracks += 1;
        self.tracks.push(Track { id, last: points.to_vec(), velocity: FramePx::default(), n_missing: 0 });
        id
    }

    /// For every face the track that it continues: the best pair first, each track once.
    fn owners(&self, faces: &[FoundFace]) -> Vec<Option<usize>> {
        let mut pairs = Vec::new();
        for (i, track) in self.tracks.iter().enumerate() {
            pairs
                .extend(faces.iter().enumerate().filter_map(|(j, face)| Some((track.distance(face)?, i, j))));
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut owners = vec![None; faces.len()];
        for (_, i, j) in pairs {
            if owners[j].is_none() && !owners.contains(&Some(i)) {
                owners[j] = Some(i);
            }
        }
        owners
    }

    /// Puts a face that comes back into the frames where it was missing, on a straight way.
    fn fill_gap(&mut self, track: usize, face: &FoundFace) {
        let Track { id, last, n_missing, .. } = &self.tracks[track];
        let n_gap = n_missing - 1;
        let n_held = self.window.len();
        for k in 1..=n_gap.min(n_held) {
            let part = (n_gap + 1 - k) as f64 / *n_missing as f64;
            let points = last.iter().zip(&face.points).map(|(a, b)| between(*a, *b, part)).collect();
            let faces = &mut self.window[n_held - k].faces;
            faces.push(Face { track: *id, points, presence: face.presence });
        }
    }

    /// The oldest frame that waits, when all that it needs is known.
    fn ready(&mut self, is_end: bool) -> Option<Tracked> {
        let radius = self.settings.stabilisation.radius;
        let n_waiting = self.window.len() - self.n_done;
        // The gap of a face that may come back could still be filled in the frames that this one looks at.
        let longest_gap = self.tracks.iter().map(|track| track.n_missing).max().unwrap_or(0);
        if n_waiting == 0 || (!is_end && n_waiting <= radius + longest_gap) {
            return None;
        }
        let held = &mut self.window[self.n_done];
        let frame = held.frame.take()?;
        let mut faces: Vec<Face> = (0..held.faces.len()).map(|i| self.held_still(i)).collect();
        faces.sort_by(|a, b| height(b).total_cmp(&height(a)));
        self.n_done += 1;
        while self.n_done > radius {
            self.window.pop_front();
            self.n_done -= 1;
        }
        Some(Tracked { frame, faces })
    }

    /// A face of the frame that goes out next, stabilised.
    fn held_still(&self, face: usize) -> Face {
        let Stabilisation { radius, .. } = self.settings.stabilisation;
        let face = &self.window[self.n_done].faces[face];
        let of_track = |held: &'_ Held| held.faces.iter().position(|other| other.track == face.track);
        let start = self.n_done.saturating_sub(radius);
        let window: Vec<Option<&[FramePx]>> = self
            .window
            .range(start..self.window.len().min(self.n_done + radius + 1))
            .map(|held| of_track(held).map(|i| &held.faces[i].points[..]))
            .collect();
        let points = stabilised(&window, self.n_done - start, &self.settings.stabilisation);
        Face { points, ..face.clone() }
    }
}

impl Stage for Tracker {
    type In = Found;
    type Out = Tracked;

    fn push(&mut self, item: Found) -> Result<Option<Tracked>> {
        self.take(item);
        Ok(self.ready(false))
    }

    fn finish(&mut self) -> Result<Option<Tracked>> {
        Ok(self.ready(true))
    }
}

impl Track {
    fn see(&mut self, points: &[FramePx]) {
        let (then, now) = (middle(&self.last), middle(points));
        let n = self.n_missing.max(1) as f64;
        self.velocity = FramePx { x: (now.x - then.x) / n, y: (now.y - then.y) / n };
        self.last = points.to_vec();
        self.n_missing = 0;
    }

    /// How unlike this track's face `face` is, or `None` when it can't be the same: too far away or of another size.
    fn distance(&self, face: &FoundFace) -> Option<f64> {
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

/// The middle of a mesh's box.
fn middle(points: &[FramePx]) -> FramePx {
    let [x0, y0, x1, y1] = mesh::bounds(points);
    FramePx { x: 0.5 * (x0 + x1), y: 0.5 * (y0 + y1) }
}

/// The side of a square as large as a mesh's box; at least a pixel.
fn size(points: &[FramePx]) -> f64 {
    let [x0, y0, x1, y1] = mesh::bounds(points);
    ((x1 - x0) * (y1 - y0)).sqrt().max(1.0)
}

fn height(face: &Face) -> f64 {
    let [_, y0, _, y1] = mesh::bounds(&face.points);
    y1 - y0
}

/// What is left after one mesh is laid on the other: root mean square, as a fraction of the face's size.
fn shape_distance(a: &[FramePx], b: &[FramePx]) -> f64 {
    let onto = fit_similarity(a.iter().zip(b).map(|(p, q)| (*p, *q, 1.0)));
    let squares = a.iter().zip(b).map(|(p, q)| {
        let p = onto.to_crop(*p);
        (p.x - q.x).powi(2) + (p.y - q.y).powi(2)
    });
    (squares.sum::<f64>() / a.len().max(1) as f64).sqrt() / size(b)
}

/// The point at `part` (0..=1) of the way from `a` to `b`.
fn between(a: FramePx, b: FramePx, part: f64) -> FramePx {
    FramePx { x: a.x + part * (b.x - a.x), y: a.y + part * (b.y - a.y) }
}

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
