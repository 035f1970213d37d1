//! `faceswap audit`: which faces of a clip were put into it, and where. Neither a target nor a mask is needed.

use std::{collections::BTreeMap, fmt, path::Path, str::FromStr};

use serde::Serialize;

use super::{
    Survey,
    canvas::{COLOURS, Canvas, draw_on},
};
use crate::{
    Error, Result,
    face::{
        forgery::{SeamDetector, Verdict},
        mesh,
    },
    frame::{Face, FramePx, Tracked},
    progress::Watch,
    video::{self, ClipWriter, DamagedFrames, EncodeSettings},
};

/// Seams are tinted with this.
const SEAM: [f32; 3] = [255.0, 30.0, 60.0];
/// From this score on a face is marked as put in.
const SUSPECT: f64 = 0.5;

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Audit {
    /// Name of the clip's file.
    pub clip: String,
    /// Frames of the clip.
    pub n_frames: u64,
    /// Frames with at least one face.
    pub n_with_face: u64,
    /// S4 of the clip: the highest mean score of a track, 0..=1; `None` without a face.
    pub seam: Option<f64>,
    /// The highest score of a face in a single frame, 0..=1.
    pub peak: Option<f64>,
    /// Each track, in the order of their numbers.
    pub tracks: Vec<TrackVerdict>,
    /// Each frame with a face.
    pub frames: Vec<FrameVerdict>,
    /// Frames of the clip that don't show what was filmed.
    pub damage: Vec<DamagedFrames>,
}

/// The verdict on one track.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackVerdict {
    /// Its number.
    pub track: u32,
    /// Frames that it is in.
    pub n_frames: u64,
    /// The mean of its scores.
    pub seam: f64,
    /// The highest one.
    pub peak: f64,
    /// The frame of the highest one.
    pub peak_frame: u64,
}

/// The verdict on one frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrameVerdict {
    /// Its number, from 0.
    pub frame: u64,
    /// Its faces, the largest first.
    pub faces: Vec<FaceVerdict>,
}

/// The verdict on one face of one frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaceVerdict {
    /// The number of its track.
    pub track: u32,
    /// S4: how sure the network is that the face was put in, 0..=1.
    pub seam: f64,
    /// The face's box: left, top, right, bottom, pixels.
    pub bounds_px: [f64; 4],
}

/// Looks at every face of `input` with a `network` of `faceswap train-labels seam` or the program's, and writes a video in which seams glow, if a `heatmap` is wanted.
///
/// # Errors
/// Those of [`SeamDetector::new`], of [`Survey::run`] and of [`ClipWriter`].
pub fn audit(
    input: &Path,
    network: Option<&Path>,
    heatmap: Option<&Path>,
    survey: &Survey<'_>,
    watch: &mut Watch<'_>,
) -> Result<Audit> {
    let mut detector = SeamDetector::new(survey.runtime, network)?;
    let clip = input.file_name().unwrap_or(input.as_os_str()).to_string_lossy().into_owned();
    let mut audit = Audit { clip, ..Audit::default() };
    let footage = survey.open(input)?;
    let mut file = match heatmap.zip(footage.probe()) {
        Some((path, probe)) => Some(ClipWriter::copying(input, path, probe, &EncodeSettings::default())?),
        None => None,
    };
    audit.damage = survey.run_over(footage, input, watch, |tracked| {
        let Tracked { mut frame, faces, .. } = tracked;
        let look = |face: &Face| detector.look(&frame.picture, &face.points);
        let verdicts = faces.iter().map(look).collect::<Result<Vec<Verdict>>>()?;
        audit.add(frame.idx, &faces, &verdicts);
        if heatmap.is_some() && !faces.is_empty() {
            let (width, height) = frame.picture.size_px();
            let scale = (height.min(width) / 360).max(1);
            draw_on(&mut frame, |canvas, _| {
                faces.iter().zip(&verdicts).for_each(|(face, verdict)| draw(canvas, face, verdict, scale));
                Ok(())
            })?;
        }
        match (&mut file, heatmap) {
            (Some(file), _) => file.write(frame),
            (None, Some(path)) => video::write_picture(path, &frame.picture, input, None),
            (None, None) => Ok(()),
        }
    })?;
    if let Some(file) = file {
        file.commit()?;
    }
    audit.conclude();
    Ok(audit)
}

impl Audit {
    fn add(&mut self, frame: u64, faces: &[Face], verdicts: &[Verdict]) {
        self.n_frames += 1;
        self.n_with_face += u64::from(!faces.is_empty());
        let faces = faces.iter().zip(verdicts).map(|(face, verdict)| FaceVerdict {
            track: face.track,
            seam: verdict.score,
            bounds_px: mesh::bounds(&face.points),
        });
        let faces: Vec<FaceVerdict> = faces.collect();
        if !faces.is_empty() {
            self.frames.push(FrameVerdict { frame, faces });
        }
    }

    /// Sums the frames up.
    fn conclude(&mut self) {
        let mut tracks: BTreeMap<u32, TrackVerdict> = BTreeMap::new();
        for frame in &self.frames {
            for FaceVerdict { track, seam, .. } in &frame.faces {
                let entry = tracks.entry(*track).or_insert(TrackVerdict {
                    track: *track,
                    n_frames: 0,
                    seam: 0.0,
                    peak: -1.0,
                    peak_frame: 0,
                });
                entry.n_frames += 1;
                entry.seam += (seam - entry.seam) / entry.n_frames as f64;
                if *seam > entry.peak {
                    (entry.peak, entry.peak_frame) = (*seam, frame.frame);
                }
            }
        }
        self.tracks = tracks.into_values().collect();
        self.seam = self.tracks.iter().map(|track| track.seam).reduce(f64::max);
        self.peak = self.tracks.iter().map(|track| track.peak).reduce(f64::max);
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(seam), Some(peak)) = (self.seam, self.peak) else {
            return write!(f, "{}: no face in {} frames", self.clip, self.n_frames);
        };
        write!(
            f,
            "{}: seam {seam:.3}, highest {peak:.3}, faces in {} of {} frames",
            self.clip, self.n_with_face, self.n_frames
        )?;
        for track in &self.tracks {
            let TrackVerdict { track, n_frames, seam, peak, peak_frame } = track;
            write!(
                f,
                "\n  track:{track:<4} seam {seam:.3}, highest {peak:.3} (frame {peak_frame}), {n_frames} frames"
            )?;
        }
        Ok(())
    }
}

/// What an audit is failed for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Whether it is the clip's highest single score, not its worst track's mean.
    is_peak: bool,
    /// What may not be exceeded, 0..=1.
    most: f64,
}

impl FromStr for Limit {
    type Err = Error;

    /// Reads `seam>0.5` or `peak>0.9`.
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('>').and_then(|(name, most)| {
            let is_peak = match name.trim() {
                "seam" => false,
                "peak" => true,
                _ => return None,
            };
            let most = most.trim().parse().ok().filter(|most| (0.0..=1.0).contains(most))?;
            Some(Self { is_peak, most })
        });
        parts.ok_or_else(|| {
            let reason = "must be seam>X (the mean score of a track) or peak>X (the score of one frame), X from 0 to 1, \
                          in quotes for the shell, e.g. \"seam>0.5\"";
            Error::setting("--fail-if", text, reason)
        })
    }
}

impl Limit {
    /// Whether an audit exceeds it; one without a face doesn't.
    pub fn is_exceeded_by(&self, audit: &Audit) -> bool {
        let value = if self.is_peak { audit.peak } else { audit.seam };
        value.is_some_and(|value| value > self.most)
    }
}

/// Tints the seam of a face, and writes its score above.
fn draw(canvas: &mut Canvas, face: &Face, verdict: &Verdict, scale: usize) {
    let corners = verdict.corners();
    let (width, height) = canvas.image.dimensions();
    let range = |values: [f64; 4], length: u32| {
        let (least, most) =
            values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        least.max(0.0) as u32..(most.max(0.0).ceil() as u32).min(length)
    };
    for y in range(corners.map(|p| p.y), height) {
        for x in range(corners.map(|p| p.x), width) {
            let part = 0.8 * verdict.at(FramePx { x: f64::from(x) + 0.5, y: f64::from(y) + 0.5 });
            let pixel = &mut canvas.image.get_pixel_mut(x, y).0;
            for (value, tint) in pixel.iter_mut().zip(SEAM) {
                *value = (f32::from(*value) * (1.0 - part) + tint * part) as u8;
            }
        }
    }
    let is_suspect = verdict.score >= SUSPECT;
    let colour = if is_suspect { SEAM.map(|v| v as u8) } else { COLOURS[0] };
    let bounds = mesh::bounds(&face.points);
    canvas.frame(bounds, scale, colour);
    let line = format!("track:{} seam {:.2}", face.track, verdict.score);
    canvas.text(&line, bounds[0], bounds[1] - 9.0 * scale as f64, scale, colour);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(scores: &[&[(u32, f64)]]) -> Audit {
        let mut audit = Audit { clip: "clip.mp4".into(), n_frames: scores.len() as u64, ..Audit::default() };
        for (frame, faces) in scores.iter().enumerate() {
            let face =
                |(track, seam): &(u32, f64)| FaceVerdict { track: *track, seam: *seam, bounds_px: [0.0; 4] };
            audit.frames.push(FrameVerdict { frame: frame as u64, faces: faces.iter().map(face).collect() });
        }
        audit.conclude();
        audit
    }

    #[test]
    fn a_clip_is_as_bad_as_its_worst_track() {
        let audit = audit(&[&[(0, 0.1), (3, 0.9)], &[(0, 0.95), (3, 0.7)], &[(0, 0.0)]]);
        assert!((audit.seam.expect("faces") - 0.8).abs() < 1e-9);
        assert_eq!(audit.peak, Some(0.95));
        let first = &audit.tracks[0];
        assert_eq!((first.track, first.n_frames, first.peak_frame), (0, 3, 1));
        assert!(audit.to_string().contains("track:3    seam 0.800, highest 0.900 (frame 0), 2 frames"));
    }

    #[test]
    fn limits_are_read_and_kept() {
        let audit = audit(&[&[(0, 0.2)], &[(0, 0.8)]]);
        let exceeded = |text: &str| text.parse::<Limit>().expect("valid").is_exceeded_by(&audit);
        assert_eq!(
            (exceeded("seam>0.49"), exceeded("seam>0.5"), exceeded("peak > 0.7")),
            (true, false, true)
        );
        assert!(!"seam>0".parse::<Limit>().expect("valid").is_exceeded_by(&Audit::default()), "no face");
        for bad in ["", "seam", "seam<0.5", "seam>2", "seam>NaN", "s3>0.5", "0.5"] {
            let told = bad.parse::<Limit>().expect_err(bad).to_string();
            assert!(told.starts_with("--fail-if") && told.contains("seam>0.5"), "{told}");
        }
    }
}
