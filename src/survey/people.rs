//! `faceswap faces`: the people of a clip, so that one can pick whom to replace.

use std::{collections::BTreeMap, fmt, path::Path};

use super::{
    Survey,
    canvas::{COLOURS, Canvas},
};
use crate::{
    Error, Result,
    face::{
        self, Template,
        embedding::{Embedder, Embedding},
        mesh,
        witness::quality,
    },
    face_set::rgb8_from_crop,
    progress::Watch,
    video::DamagedFrames,
};

/// Side of a thumbnail, pixels.
const THUMBNAIL_PX: usize = 160;
/// A thumbnail's cell on the sheet, pixels.
const CELL_PX: (usize, usize) = (192, 216);
/// Cells in a row.
const N_COLUMNS: usize = 5;
/// Tracks whose faces are this like each other are one person's: nearer than two pictures of one person from anywhere,
/// since tracks of a clip share its light and its camera.
const SAME_IN_A_CLIP: f64 = 0.45;
/// A face must be better by this factor to become the new thumbnail.
const BETTER: f64 = 1.1;

/// Everybody in a clip.
#[derive(Debug, serde::Serialize)]
pub struct People {
    /// Name of the clip's file.
    pub clip: String,
    /// Frames of the clip.
    pub n_frames: u64,
    /// One entry for each track, in the order in which they begin.
    pub tracks: Vec<TrackEntry>,
    /// Frames of the clip that don't show what was filmed.
    pub damage: Vec<DamagedFrames>,
}

/// One track: somebody from when they appear until they leave, or the scene ends.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TrackEntry {
    /// Its number, for `--faces track:N`.
    pub track: u32,
    /// The person: tracks that show the same one have the same number.
    pub person: usize,
    /// The first frame that it is in, from 0.
    pub first_frame: u64,
    /// The last one.
    pub last_frame: u64,
    /// Frames that it is in.
    pub n_frames: u64,
    /// Smallest, mean and largest height of the face, pixels.
    pub height_px: [f64; 3],
    /// The frame of the thumbnail.
    pub best_frame: u64,
    /// The thumbnail on the sheet: left, top, side, pixels.
    pub thumbnail: [usize; 3],
}

/// What is gathered of one track.
struct Gathered {
    entry: TrackEntry,
    best: f64,
    thumbnail: image::RgbImage,
    embedding: Option<Embedding>,
}

/// Lists the people of `input`, and draws their faces on a sheet.
///
/// # Errors
/// Those of [`Survey::run`]; [`Error::BadInput`] when there is no face.
pub fn people(input: &Path, survey: &Survey<'_>, watch: &mut Watch<'_>) -> Result<(People, image::RgbImage)> {
    let mut embedder = Embedder::new(survey.runtime)?;
    let mut tracks: BTreeMap<u32, Gathered> = BTreeMap::new();
    let mut n_frames = 0;
    let damage = survey.run(input, watch, |tracked| {
        n_frames += 1;
        for face in &tracked.faces {
            let idx = tracked.frame.idx;
            let track = tracks.entry(face.track).or_insert_with(|| Gathered::new(face.track, idx));
            track.entry.see(idx, mesh::height_px(&face.points));
            let quality = quality(&face.measured) * f64::from(face.presence);
            if quality > BETTER * track.best || track.thumbnail.width() == 0 {
                let alignment = face::align(&face.points, &Template::default(), 1.5, THUMBNAIL_PX);
                track.thumbnail =
                    rgb8_from_crop(&face::crop(&tracked.frame.picture, &alignment, THUMBNAIL_PX));
                track.embedding = embedder.embed(&tracked.frame.picture, &face.points)?;
                (track.best, track.entry.best_frame) = (quality, idx);
            }
        }
        Ok(())
    })?;
    if tracks.is_empty() {
        return Err(Error::input(input, "no face was found"));
    }
    let mut gathered: Vec<Gathered> = tracks.into_values().collect();
    name_people(&mut gathered);
    let sheet = sheet(&mut gathered);
    let clip = input.file_name().unwrap_or(input.as_os_str()).to_string_lossy().into_owned();
    let tracks = gathered.into_iter().map(|track| track.entry).collect();
    Ok((People { clip, n_frames, tracks, damage }, sheet))
}

impl Gathered {
    fn new(track: u32, idx: u64) -> Self {
        let entry = TrackEntry {
            track,
            person: 0,
            first_frame: idx,
            last_frame: idx,
            n_frames: 0,
            height_px: [f64::INFINITY, 0.0, 0.0],
            best_frame: idx,
            thumbnail: [0; 3],
        };
        Self { entry, best: 0.0, thumbnail: image::RgbImage::new(0, 0), embedding: None }
    }
}

impl TrackEntry {
    fn see(&mut self, idx: u64, height_px: f64) {
        self.last_frame = idx;
        self.n_frames += 1;
        let [least, mean, most] = &mut self.height_px;
        *least = least.min(height_px);
        *mean += (height_px - *mean) / self.n_frames as f64;
        *most = most.max(height_px);
    }
}

/// Gives tracks that show the same person the same number. Who is in one frame with somebody is somebody else.
fn name_people(tracks: &mut [Gathered]) {
    let mut n_people = 0;
    for i in 0..tracks.len() {
        let (before, rest) = tracks.split_at_mut(i);
        let track = &mut rest[0];
        let is_free = |person: usize| {
            let of_person = before.iter().filter(|other| other.entry.person == person);
            of_person.into_iter().all(|other| {
                other.entry.last_frame < track.entry.first_frame
                    || track.entry.last_frame < other.entry.first_frame
            })
        };
        let distances = before.iter().filter(|other| is_free(other.entry.person)).filter_map(|other| {
            Some((other.embedding.as_ref()?.distance(track.embedding.as_ref()?), other.entry.person))
        });
        let nearest = distances.min_by(|a, b| a.0.total_cmp(&b.0)).filter(|(d, _)| *d < SAME_IN_A_CLIP);
        track.entry.person = nearest.map_or(n_people, |(_, person)| person);
        n_people = n_people.max(track.entry.person + 1);
    }
}

/// All thumbnails with their numbers.
fn sheet(tracks: &mut [Gathered]) -> image::RgbImage {
    let n_rows = tracks.len().div_ceil(N_COLUMNS);
    let mut canvas = Canvas::new(CELL_PX.0 * N_COLUMNS.min(tracks.len()), CELL_PX.1 * n_rows, [16, 16, 20]);
    for (i, track) in tracks.iter_mut().enumerate() {
        let (x, y) = (CELL_PX.0 * (i % N_COLUMNS) + 16, CELL_PX.1 * (i / N_COLUMNS) + 8);
        image::imageops::replace(&mut canvas.image, &track.thumbnail, x as i64, y as i64);
        let entry = &mut track.entry;
        entry.thumbnail = [x, y, THUMBNAIL_PX];
        let colour = COLOURS[entry.person % COLOURS.len()];
        let lines = [
            format!("track:{}  person {}", entry.track, entry.person),
            format!("frames {}-{}", entry.first_frame, entry.last_frame),
            format!("face {:.0} px", entry.height_px[1]),
        ];
        for (k, line) in lines.iter().enumerate() {
            canvas.text(line, x as f64, (y + THUMBNAIL_PX + 4 + 12 * k) as f64, 1, colour);
        }
    }
    canvas.image
}

impl fmt::Display for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} frames", self.clip, self.n_frames)?;
        writeln!(f, "pick      person  frames            seen in  face px (least, mean, most)")?;
        for t in &self.tracks {
            let span = format!("{} to {}", t.first_frame, t.last_frame);
            let [least, mean, most] = t.height_px;
            writeln!(
                f,
                "{:8}  {:>6}  {span:16}  {:>7}  {least:.0}, {mean:.0}, {most:.0}",
                format!("track:{}", t.track),
                t.person,
                t.n_frames
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(id: u32, frames: std::ops::RangeInclusive<u64>, looks: f32) -> Gathered {
        let mut track = Gathered::new(id, *frames.start());
        frames.for_each(|idx| track.entry.see(idx, 50.0 + idx as f64));
        Gathered { embedding: Some(Embedding::from_values(vec![looks])), ..track }
    }

    #[test]
    fn tracks_of_one_person_share_a_number() {
        let mut tracks =
            [track(0, 0..=9, 0.0), track(1, 0..=9, 0.1), track(2, 10..=12, 0.12), track(5, 13..=14, 3.0)];
        name_people(&mut tracks);
        let people: Vec<usize> = tracks.iter().map(|t| t.entry.person).collect();
        assert_eq!(people, [0, 1, 1, 2], "two faces of one frame are two people, however alike");
        assert_eq!(tracks[2].entry.height_px, [60.0, 61.0, 62.0]);
        assert_eq!((tracks[2].entry.first_frame, tracks[2].entry.last_frame), (10, 12));
    }
}
