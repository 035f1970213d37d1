//! Following faces through a clip: stable numbers, short gaps filled, points held still, and the choice of who is
//! swapped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    association::{Pairs, Track},
    choose::{Chooser, Pick},
    follow::{Confirmed, Follower},
    memory::{Held, Memory},
    mesh,
    scene::SceneCuts,
    search::Effort,
    stabilise::{Stabilisation, stabilised},
    witness::Witness,
};
use crate::{
    Result,
    frame::{Face, Found, FoundFace, Frame, FramePx, Origin, Seen, Tracked},
    line::Stage,
    resume::Seams,
};

/// A track that ended in this scene goes on in a new face that is this like it.
const SAME_AGAIN: f64 = 0.45;

/// A face that is found late is followed back through this many frames that nobody searched, at most: those between two
/// careful searches where nobody is in view. So frames that are seldom searched don't pile up.
const MAX_UNSEARCHED: usize = 17;

/// How faces are followed.
#[derive(Debug, Clone, serde::Serialize)]
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

/// Gives faces their numbers, fills gaps, holds the points still, and keeps the faces that are picked.
///
/// It holds back as many frames as the stabilisation or the choice looks ahead, up to `max_gap` more while a face is
/// missing, and those that no detector has searched yet.
#[derive(Debug)]
pub struct Tracker {
    settings: TrackerSettings,
    tracks: Vec<Track>,
    n_tracks: u32,
    /// The first number that this scene may give.
    scene_start: u32,
    cuts: SceneCuts,
    /// Frames in the order of presentation. The first `n_done` were handed out; only their points are kept.
    window: VecDeque<Held>,
    n_done: usize,
    follower: Option<Follower>,
    witness: Option<Witness>,
    chooser: Chooser,
    /// Where its memory goes out with the frame.
    seams: Option<Seams>,
}

impl Tracker {
    /// A tracker for one clip in which every frame was searched. It has no network: people that cross are told apart
    /// by their ways alone, and every face is picked.
    pub fn new(settings: &TrackerSettings) -> Self {
        Self {
            settings: settings.clone(),
            tracks: Vec::new(),
            n_tracks: 0,
            scene_start: 0,
            cuts: SceneCuts::default(),
            window: VecDeque::new(),
            n_done: 0,
            follower: None,
            witness: None,
            chooser: Chooser::new(vec![Pick::All]),
            seams: None,
        }
    }

    /// Hands its memory out with the frames from which a later run may go on.
    #[must_use]
    pub fn remembering(mut self, seams: Seams) -> Self {
        self.seams = Some(seams);
        self
    }

    /// Goes on where another tracker of the same clip, with the same settings and picks, was with this memory.
    #[must_use]
    pub fn recalling(mut self, memory: Memory) -> Self {
        let Memory { tracks, n_tracks, scene_start, cuts, window, n_done, galleries, choices } = memory;
        (self.tracks, self.n_tracks, self.scene_start, self.cuts) = (tracks, n_tracks, scene_start, cuts);
        self.n_done = n_done.min(window.len());
        (self.window, self.chooser.state) = (window, choices);
        self.witness.iter_mut().for_each(|witness| witness.galleries.clone_from(&galleries));
        self
    }

    fn memory(&self) -> Memory {
        Memory {
            tracks: self.tracks.clone(),
            n_tracks: self.n_tracks,
            scene_start: self.scene_start,
            cuts: self.cuts.clone(),
            window: self.window.iter().map(Held::without_picture).collect(),
            n_done: self.n_done,
            galleries: self.witness.as_ref().map(|witness| witness.galleries.clone()).unwrap_or_default(),
            choices: self.chooser.state.clone(),
        }
    }

    /// A frame that waits without its picture, which only its memory brought here.
    fn recalled(&mut self) -> Option<&mut Held> {
        self.window.range_mut(self.n_done..).find(|held| held.frame.is_none())
    }

    /// Follows faces through frames that nobody searched.
    #[must_use]
    pub fn following(mut self, follower: Follower) -> Self {
        self.follower = Some(follower);
        self
    }

    /// Knows people by their looks.
    #[must_use]
    pub fn knowing(mut self, witness: Witness) -> Self {
        self.witness = Some(witness);
        self
    }

    /// For a clip that players turn clockwise by `quarter_turns`: what is left in it.
    #[must_use]
    pub fn turned(mut self, quarter_turns: u8) -> Self {
        self.chooser = self.chooser.turned(quarter_turns);
        self
    }

    /// Keeps the faces of `picks` alone.
    #[must_use]
    pub fn picking(mut self, picks: Vec<Pick>) -> Self {
        self.chooser = Chooser::new(picks).turned(self.chooser.quarter_turns);
        self
    }

    /// The faces of a frame that has no neighbours.
    pub(super) fn search(&mut self, frame: &Frame, effort: Effort) -> Result<Vec<FoundFace>> {
        self.follower.as_mut().map_or_else(|| Ok(Vec::new()), |follower| follower.search(frame, effort, &[]))
    }

    /// Takes a frame in and decides which of its faces are known.
    fn take(&mut self, found: Found) -> Result<()> {
        let Found { frame, seen, is_thorough } = found;
        let is_start = self.seams.is_some_and(|seams| seams.is_start(frame.idx));
        let memory = is_start.then(|| Box::new(self.memory()));
        let is_cut = self.cuts.is_cut(&frame.picture);
        if is_cut {
            self.tracks.clear();
            self.scene_start = self.n_tracks;
        }
        for track in &mut self.tracks {
            track.n_missing += 1;
        }
        let held = Held { frame: None, memory, faces: Vec::new(), is_searched: true, is_cut };
        let held = match (seen, &mut self.follower) {
            (Seen::Nothing | Seen::Detections(_), None) => Held { is_searched: false, ..held },
            (Seen::Detections(seen), Some(follower)) => {
                let confirmed = if is_cut { None } else { follower.confirm(&frame, &self.tracks, &seen)? };
                let faces = if let Some(confirmed) = confirmed {
                    self.confirm(&frame, confirmed)?
                } else {
                    let mut found = follower.measured_roughly(&frame, &seen)?;
                    if is_cut && found.is_empty() {
                        // Where a scene begins there is nobody to be followed.
                        found = follower.search(&frame, Effort::Whole, &[])?;
                    }
                    self.name(&frame, found)?
                };
                // A quick search that shows somebody is as good as a careful one, which looks on only where nobody is.
                let shows_somebody = faces.iter().any(|face| face.origin == Origin::Found);
                Held { is_searched: is_thorough || is_cut || shows_somebody, faces, ..held }
            }
            (Seen::Faces(faces), _) => {
                Held { faces: self.name(&frame, faces)?, is_searched: is_thorough, ..held }
            }
            (Seen::Nothing, Some(follower)) => {
                if let Some(faces) = follower.follow(&frame, &self.tracks, is_cut)? {
                    let faces = self.tracks.iter_mut().zip(faces).map(|(track, face)| go_on(track, face));
                    Held { faces: faces.collect(), is_searched: false, ..held }
                } else {
                    let effort = if is_cut { Effort::Whole } else { Effort::Quick };
                    let faces = follower.search(&frame, effort, &self.tracks)?;
                    let is_searched = is_cut || !faces.is_empty();
                    Held { faces: self.name(&frame, faces)?, is_searched, ..held }
                }
            }
        };
        if let Some(witness) = &mut self.witness {
            for face in &held.faces {
                witness.see(face.track, &frame.picture, &face.measured)?;
            }
            let waiting = self.window.range(self.n_done..).chain([&held]).flat_map(|held| &held.faces);
            let here: BTreeSet<u32> =
                waiting.map(|face| face.track).chain(self.tracks.iter().map(|track| track.id)).collect();
            witness.keep_few(&here);
        }
        self.tracks.retain(|track| track.n_missing <= self.settings.max_gap);
        self.window.push_back(Held { frame: Some(frame), ..held });
        Ok(())
    }

    /// The faces of a frame in which a search confirmed those that are followed.
    fn confirm(&mut self, frame: &Frame, confirmed: Confirmed) -> Result<Vec<Face>> {
        let pairs = self.tracks.iter_mut().zip(confirmed.followed);
        let confirm = |(track, (face, is_seen)): (&mut Track, (FoundFace, bool))| {
            track.n_unseen = if is_seen { 0 } else { track.n_unseen + 1 };
            let face = go_on(track, face);
            if is_seen { Face { origin: Origin::Found, ..face } } else { face }
        };
        let mut faces: Vec<Face> = pairs.map(confirm).collect();
        if !confirmed.others.is_empty() {
            faces.extend(self.name(frame, confirmed.others)?);
        }
        Ok(faces)
    }

    /// Gives the faces that were found in a frame their numbers.
    fn name(&mut self, frame: &Frame, mut found: Vec<FoundFace>) -> Result<Vec<Face>> {
        let owners = self.owners(frame, &found)?;
        if let Some(follower) = &mut self.follower {
            // Where a face was searched for has its own bias: points that come from a search now and then would jump.
            let guess = |(face, owner): (&FoundFace, &Option<usize>)| match owner.map(|i| &self.tracks[i]) {
                Some(track) if track.n_missing == 1 => track.last.clone(),
                _ => face.points.clone(),
            };
            let guesses = found.iter().zip(&owners).map(guess).collect();
            follower.measure_again(frame, guesses, &mut found)?;
        }
        let mut faces = Vec::with_capacity(found.len());
        for (mut face, owner) in found.into_iter().zip(owners) {
            let id = if let Some(i) = owner {
                self.fill_gap(i, &face);
                self.tracks[i].see(&face.points);
                self.tracks[i].n_unseen = 0;
                self.tracks[i].id
            } else {
                if let Some(follower) = &mut self.follower {
                    match follower.looked_at_closely(frame, face)? {
                        Some(closer) => face = closer,
                        None => continue,
                    }
                }
                self.begin(frame, &face)?
            };
            faces.push(Face::new(id, face.points, face.presence));
        }
        self.keep_unseen(frame, &mut faces)?;
        Ok(faces)
    }

    /// Adds the faces that were there a frame ago and that the detector alone has lost.
    fn keep_unseen(&mut self, frame: &Frame, faces: &mut Vec<Face>) -> Result<()> {
        let Some(follower) = &mut self.follower else { return Ok(()) };
        for track in self.tracks.iter_mut().filter(|track| track.n_missing > 0) {
            let others: Vec<&[FramePx]> = faces.iter().map(|face| &face.measured[..]).collect();
            if let Some((face, is_seen)) = follower.follow_unseen(frame, track, &others)? {
                track.see(&face.points);
                track.n_unseen = if is_seen { 0 } else { track.n_unseen + 1 };
                let face = Face::new(track.id, face.points, face.presence);
                faces.push(Face { origin: Origin::Followed, ..face });
            }
        }
        Ok(())
    }

    /// For every face the track that it continues.
    fn owners(&mut self, frame: &Frame, faces: &[FoundFace]) -> Result<Vec<Option<usize>>> {
        let mut pairs = Pairs::new(&self.tracks, faces);
        if let Some(witness) = &mut self.witness {
            for face in pairs.doubtful() {
                if let Some(embedding) = witness.look(&frame.picture, &faces[face].points)? {
                    pairs.weigh(face, &embedding, |track, embedding| {
                        witness.galleries.get(&self.tracks[track].id)?.distance(embedding)
                    });
                }
            }
        }
        Ok(pairs.owners(faces.len()))
    }

    /// A face that no track goes on to: somebody who was here before, or somebody new. In frames that nobody searched
    /// it is followed back.
    fn begin(&mut self, frame: &Frame, face: &FoundFace) -> Result<u32> {
        let id = if let Some(id) = self.known_again(frame, face)? {
            id
        } else {
            self.n_tracks += 1;
            self.n_tracks - 1
        };
        self.tracks.push(Track::new(id, &face.points));
        self.follow_back(id, face)?;
        Ok(id)
    }

    /// The number of somebody who left this scene and looks like this face.
    fn known_again(&mut self, frame: &Frame, face: &FoundFace) -> Result<Option<u32>> {
        let Some(witness) = &mut self.witness else { return Ok(None) };
        let left = |id: u32| id >= self.scene_start && self.tracks.iter().all(|track| track.id != id);
        if !witness.galleries.keys().any(|id| left(*id)) {
            return Ok(None);
        }
        let Some(embedding) = witness.look(&frame.picture, &face.points)? else { return Ok(None) };
        let nearest = witness
            .galleries
            .iter()
            .filter(|(id, _)| left(**id))
            .filter_map(|(id, gallery)| Some((gallery.distance(&embedding)?, *id)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        Ok(nearest.filter(|(distance, _)| *distance < SAME_AGAIN).map(|(_, id)| id))
    }

    /// Looks for a new face in the frames before it that nobody searched, so that it begins when it appears.
    fn follow_back(&mut self, id: u32, face: &FoundFace) -> Result<()> {
        let Some(follower) = &mut self.follower else { return Ok(()) };
        let mut points = face.points.clone();
        for held in self.window.range_mut(self.n_done..).rev() {
            let Some(frame) = held.frame.as_ref().filter(|_| !held.is_searched) else { break };
            let others: Vec<&[FramePx]> = held.faces.iter().map(|face| &face.measured[..]).collect();
            let Some(face) = follower.follow_one(frame, &points, &others)? else { break };
            points.clone_from(&face.points);
            let face = Face::new(id, face.points, face.presence);
            held.faces.push(Face { origin: Origin::Followed, ..face });
            if held.is_cut {
                break;
            }
        }
        Ok(())
    }

    /// Puts a face that comes back into the frames where it was missing, on a straight way.
    fn fill_gap(&mut self, track: usize, face: &FoundFace) {
        let Track { id, last, n_missing, .. } = &self.tracks[track];
        let n_gap = n_missing - 1;
        let n_held = self.window.len();
        for k in 1..=n_gap.min(n_held) {
            let part = (n_gap + 1 - k) as f64 / *n_missing as f64;
            let points = last.iter().zip(&face.points).map(|(a, b)| a.towards(*b, part)).collect();
            let faces = &mut self.window[n_held - k].faces;
            faces.push(Face { origin: Origin::Filled, ..Face::new(*id, points, face.presence) });
        }
    }

    /// The oldest frame that waits, when all that it needs is known.
    fn ready(&mut self, is_end: bool) -> Option<Tracked> {
        let radius = self.settings.stabilisation.radius;
        let look_ahead = radius.max(self.chooser.look_ahead());
        let n_waiting = self.window.len() - self.n_done;
        // The gap of a face that may come back could still be filled in the frames that this one looks at, and a face
        // that is found later may be followed back into those that nobody searched.
        let longest_gap = self.tracks.iter().map(|track| track.n_missing).max().unwrap_or(0);
        let unsearched = self.window.iter().rev().take(MAX_UNSEARCHED).take_while(|held| !held.is_searched);
        let n_unsearched = unsearched.count();
        if n_waiting == 0 || (!is_end && n_waiting <= look_ahead + longest_gap.max(n_unsearched)) {
            return None;
        }
        let held = &mut self.window[self.n_done];
        let (frame, memory) = (held.frame.take()?, held.memory.take());
        let n_faces = held.faces.len();
        if held.is_cut {
            self.chooser.cut();
            self.forget();
        }
        let faces: Vec<Face> = (0..n_faces).map(|i| self.held_still(i)).collect();
        let nobody = BTreeMap::new();
        let galleries = self.witness.as_ref().map_or(&nobody, |witness| &witness.galleries);
        let around = self.chooser.around(self.window.range(self.n_done..));
        let mut faces = self.chooser.choose(frame.idx, faces, &around, galleries);
        faces.sort_by(|a, b| mesh::height_px(&b.points).total_cmp(&mesh::height_px(&a.points)));
        self.n_done += 1;
        while self.n_done > radius {
            self.window.pop_front();
            self.n_done -= 1;
        }
        Some(Tracked { frame, faces, memory })
    }

    /// Drops the looks of people whose scene has gone out.
    fn forget(&mut self) {
        let Some(witness) = &mut self.witness else { return };
        let waiting = self.window.range(self.n_done..).flat_map(|held| &held.faces);
        let first = waiting.map(|face| face.track).min().unwrap_or(self.scene_start).min(self.scene_start);
        witness.galleries.retain(|id, _| *id >= first);
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
            .map(|held| of_track(held).map(|i| &held.faces[i].measured[..]))
            .collect();
        let points = stabilised(&window, self.n_done - start, &self.settings.stabilisation);
        Face { points, ..face.clone() }
    }
}

impl Stage for Tracker {
    type In = Found;
    type Out = Tracked;

    fn push(&mut self, item: Found) -> Result<Option<Tracked>> {
        if let Some(held) = self.recalled() {
            held.frame = Some(item.frame);
            return Ok(None);
        }
        self.take(item)?;
        Ok(self.ready(false))
    }

    fn finish(&mut self) -> Result<Option<Tracked>> {
        let last = self.ready(true);
        if last.is_none() {
            self.chooser.verdict()?;
        }
        Ok(last)
    }
}

/// A track's face in the next frame, measured in its own place.
fn go_on(track: &mut Track, face: FoundFace) -> Face {
    track.see(&face.points);
    Face { origin: Origin::Followed, ..Face::new(track.id, face.points, face.presence) }
}

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
