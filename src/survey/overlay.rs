//! `--debug-overlay`: what is known of a clip's faces, drawn into a second video. What a user sends with a report.

use std::path::Path;

use super::{
    Survey,
    canvas::{COLOURS, Canvas, draw_on},
};
use crate::{
    Result,
    face::{self, MaskSettings, Masker, Template, mesh},
    frame::{Face, Frame, FramePx, Origin, Tracked},
    progress::Watch,
    video::{self, ClipWriter, EncodeSettings, Probe},
};

/// Colour of the points as they were measured.
const MEASURED: [u8; 3] = [235, 60, 60];
/// What the masks say lies in front of a face is tinted with this.
const COVERED: [f32; 3] = [255.0, 40.0, 40.0];
/// Side of the crop in which masks are asked for, pixels.
const MASK_PX: usize = 256;
/// The axes of the head: to its left, down, forwards.
const AXES: [[u8; 3]; 3] = [[255, 80, 80], [80, 255, 80], [90, 140, 255]];

/// Writes `input` with its faces' boxes, numbers, points, axes, outlines, tremor, and what the `masks` say
/// lies in front of them drawn in; sound and timestamps stay as they are. Frames are those of the survey's part, which has
/// no sound when it isn't all of the clip.
///
/// # Errors
/// Those of [`Survey::run`] and of [`ClipWriter`].
pub fn overlay(
    input: &Path,
    output: &Path,
    settings: &EncodeSettings,
    masks: &MaskSettings,
    survey: &Survey<'_>,
    watch: &mut Watch<'_>,
) -> Result<()> {
    let mut before: Vec<Face> = Vec::new();
    let mut masker = Masker::new(survey.runtime, masks)?;
    let mut drawn = |tracked: Tracked| -> Result<Frame> {
        let Tracked { mut frame, faces, .. } = tracked;
        draw(&mut frame, &faces, &before, &mut masker)?;
        before = faces;
        Ok(frame)
    };
    let footage = survey.open(input)?;
    let Some(mut probe) = footage.probe().cloned() else {
        survey.run_over(footage, input, watch, |tracked| {
            video::write_picture(output, &drawn(tracked)?.picture, input, settings.label.as_deref())
        })?;
        return Ok(());
    };
    if survey.part.is_some_and(|part| part.trim.cuts_start() || part.trim.cuts_end()) {
        // Where the sound would have to be cut is known only after the last frame, so none comes along.
        probe.container = Probe::SEQUENCE.into();
    }
    let mut file = ClipWriter::copying(input, output, &probe, settings)?;
    survey.run_over(footage, input, watch, |tracked| file.write(drawn(tracked)?))?;
    file.commit().map(drop)
}

/// Draws the faces of a frame; `before` are those of the frame before it.
fn draw(frame: &mut Frame, faces: &[Face], before: &[Face], masker: &mut Masker) -> Result<()> {
    if faces.is_empty() {
        return Ok(());
    }
    let (w, h) = frame.picture.size_px();
    let scale = (h.min(w) / 360).max(1);
    draw_on(frame, |canvas, frame| {
        for face in faces {
            tint_covered(canvas, frame, face, masker)?;
            draw_face(canvas, face, before.iter().find(|other| other.track == face.track), scale);
        }
        Ok(())
    })
}

/// Tints what lies in front of a face within its outline.
fn tint_covered(canvas: &mut Canvas, frame: &Frame, face: &Face, masker: &mut Masker) -> Result<()> {
    let alignment = face::align(&face.points, &Template::default(), face::DEFAULT_MARGIN, MASK_PX);
    let Some(visible) = masker.visible(&frame.picture, &face.points, &alignment)? else { return Ok(()) };
    let hull = face::hull_mask(&face.points, &alignment, MASK_PX);
    let (w, h) = canvas.image.dimensions();
    let [x0, y0, x1, y1] = mesh::bounds(&face.points).map(|v| v.max(0.0) as u32);
    for y in y0..y1.min(h) {
        for x in x0..x1.min(w) {
            let p = alignment.to_crop(FramePx { x: f64::from(x) + 0.5, y: f64::from(y) + 0.5 });
            let place = [p.y.max(0.0) as usize, p.x.max(0.0) as usize];
            let (Some(hull), Some(visible)) = (hull.get(place), visible.get(place)) else { continue };
            let part = 0.6 * hull * (1.0 - visible);
            let pixel = &mut canvas.image.get_pixel_mut(x, y).0;
            for (value, tint) in pixel.iter_mut().zip(COVERED) {
                *value = (f32::from(*value) * (1.0 - part) + tint * part) as u8;
            }
        }
    }
    Ok(())
}

fn draw_face(canvas: &mut Canvas, face: &Face, before: Option<&Face>, scale: usize) {
    let colour = COLOURS[face.track as usize % COLOURS.len()];
    let bounds = mesh::bounds(&face.points);
    canvas.frame(bounds, scale, colour);
    let outline: Vec<FramePx> = mesh::OVAL.iter().map(|i| face.points[*i]).collect();
    for (i, p) in outline.iter().enumerate() {
        canvas.line(*p, outline[(i + 1) % outline.len()], scale, colour);
    }
    for (measured, held) in face.measured.iter().zip(&face.points) {
        canvas.dot(*measured, scale, MEASURED);
        canvas.dot(*held, scale, colour);
    }
    for (axis, colour) in axes(&face.points).into_iter().zip(AXES) {
        let start = face.points[mesh::NOSE_TIP];
        canvas.line(start, FramePx { x: start.x + axis.x, y: start.y + axis.y }, scale + 1, colour);
    }
    let origin = match face.origin {
        Origin::Found => "found",
        Origin::Followed => "followed",
        Origin::Filled => "filled",
    };
    let eyes = mesh::interocular_px(&face.points).max(1e-9);
    let percent = |a: &[FramePx], b: &[FramePx]| {
        let sum: f64 = a.iter().zip(b).map(|(p, q)| (p.x - q.x).hypot(p.y - q.y)).sum();
        100.0 * sum / a.len().max(1) as f64 / eyes
    };
    let moved = before.map_or(0.0, |before| percent(&before.points, &face.points));
    let lines = [
        format!("track:{} role {} {origin} {:.2}", face.track, face.role, face.presence),
        format!("moved {moved:.2}% held back {:.2}%", percent(&face.measured, &face.points)),
    ];
    for (k, line) in lines.iter().enumerate() {
        let y = bounds[3] + (4 + 9 * k * scale) as f64 + scale as f64;
        canvas.text(line, bounds[0], y, scale, colour);
    }
}

/// The head's axes in the picture: to its left, down the face, forwards. Lengths are about half a face.
fn axes(points: &[FramePx]) -> [FramePx; 3] {
    let middle = |a: FramePx, b: FramePx| FramePx { x: 0.5 * (a.x + b.x), y: 0.5 * (a.y + b.y) };
    let way = |a: FramePx, b: FramePx, k: f64| FramePx { x: k * (b.x - a.x), y: k * (b.y - a.y) };
    let (right, left) = (mesh::eye_centre(points, 0), mesh::eye_centre(points, 1));
    let [mouth_right, mouth_left] = mesh::MOUTH_CORNERS;
    let (eyes, mouth) = (middle(right, left), middle(points[mouth_right], points[mouth_left]));
    // The tip of the nose stands before the middle of the face: where it is seen tells where the face looks.
    let root = middle(eyes, mouth);
    [way(right, left, 0.5), way(eyes, mouth, 0.5), way(root, points[mesh::NOSE_TIP], 2.0)]
}
