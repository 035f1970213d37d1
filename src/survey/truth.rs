//! Where the points of a rendered face really are, and how far off the measured ones are.
//!
//! The truth comes as JSON lines, one for each frame, with the 68 points of the Multi-PIE scheme under `lm68`. Their
//! places on the head and those of the mesh are not quite the same, so each point's mean offset over the clip (on the
//! head: turned with the eyes, in eye distances) is taken out before the error is measured.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use serde::Deserialize;

use crate::{Error, Result, face::mesh, frame::FramePx};

/// Points that both schemes have: Multi-PIE, mesh. Corners of the eyes and the mouth, tip of the nose.
const PAIRS: [(usize, usize); 7] = [(36, 33), (39, 133), (42, 362), (45, 263), (48, 61), (54, 291), (30, 4)];
/// Largest shift in time that is tried, frames.
const MAX_LAG: i32 = 3;

#[derive(Deserialize)]
struct TruthLine {
    lm68: Option<Vec<[f64; 2]>>,
}

/// The true points of the frames of a clip.
#[derive(Debug)]
pub struct Truth {
    frames: Vec<Vec<FramePx>>,
}

impl Truth {
    /// Reads a file of JSON lines; lines without points, such as the header, are left out.
    ///
    /// # Errors
    /// [`Error::BadInput`] naming the line that can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::input(path, e.to_string()))?;
        let mut frames = Vec::new();
        for (i, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(Error::io(path))?;
            let line: TruthLine = serde_json::from_str(&line)
                .map_err(|e| Error::input(path, format!("line {} is no frame: {e}", i + 1)))?;
            let Some(points) = line.lm68 else { continue };
            if points.len() != 68 {
                let reason = format!("line {}: {} points, not 68", i + 1, points.len());
                return Err(Error::input(path, reason));
            }
            frames.push(points.iter().map(|p| FramePx { x: p[0], y: p[1] }).collect());
        }
        Ok(Self { frames })
    }

    /// How far `clip` (mesh points frame by frame, `None` without a face) is from the truth; `None` when they share
    /// no frame.
    pub fn accuracy(&self, clip: &[Option<Vec<FramePx>>]) -> Option<Accuracy> {
        let frames: Vec<(&[FramePx], &[FramePx])> = clip
            .iter()
            .zip(&self.frames)
            .filter_map(|(points, truth)| Some((&points.as_ref()?[..], &truth[..])))
            .filter(|(points, _)| points.len() > mesh::N_SKIN)
            .collect();
        let n = frames.len() as f64;
        if frames.is_empty() {
            return None;
        }
        let mut error = 0.0;
        for (true_index, mesh_index) in PAIRS {
            let offsets: Vec<[f64; 2]> = frames
                .iter()
                .map(|(points, truth)| on_head(truth, truth[true_index], points[mesh_index]))
                .collect();
            let mean = [0, 1].map(|c| offsets.iter().map(|o| o[c]).sum::<f64>() / n);
            error += offsets.iter().map(|o| (o[0] - mean[0]).hypot(o[1] - mean[1])).sum::<f64>() / n;
        }
        Some(Accuracy {
            n_frames: frames.len(),
            error_percent: 100.0 * error / PAIRS.len() as f64,
            lag_frames: self.lag(clip),
        })
    }

    /// The shift in time at which the measured way fits the true one best (correlation of the velocities).
    fn lag(&self, clip: &[Option<Vec<FramePx>>]) -> i32 {
        let middle = |points: &[FramePx], indices: &dyn Fn(&(usize, usize)) -> usize| {
            let n = PAIRS.len() as f64;
            PAIRS
                .iter()
                .map(indices)
                .fold([0.0; 2], |sum, i| [sum[0] + points[i].x / n, sum[1] + points[i].y / n])
        };
        let measured: Vec<Option<[f64; 2]>> =
            clip.iter().map(|points| points.as_ref().map(|points| middle(points, &|pair| pair.1))).collect();
        let truth: Vec<[f64; 2]> = self.frames.iter().map(|points| middle(points, &|pair| pair.0)).collect();
        let velocity = |t: i32| -> Option<[f64; 2]> {
            let (a, b) = (measured.get(t as usize).copied()??, measured.get(t as usize + 1).copied()??);
            Some([b[0] - a[0], b[1] - a[1]])
        };
        let fit = |lag: i32| -> f64 {
            let (mut sum, mut square_a, mut square_b) = (0.0, 1e-12, 1e-12);
            for t in MAX_LAG..truth.len() as i32 - MAX_LAG - 1 {
                let Some(v) = velocity(t + lag) else { continue };
                let (a, b) = (truth[t as usize], truth[t as usize + 1]);
                for c in 0..2 {
                    let u = b[c] - a[c];
                    sum += u * v[c];
                    square_a += u * u;
                    square_b += v[c] * v[c];
                }
            }
            sum / (square_a * square_b).sqrt()
        };
        (-MAX_LAG..=MAX_LAG).max_by(|a, b| fit(*a).total_cmp(&fit(*b))).unwrap_or(0)
    }
}

/// How far measured points are from the truth.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Accuracy {
    /// Frames that were compared.
    pub n_frames: usize,
    /// Mean distance of the corners of eyes and mouth and of the tip of the nose to the truth, each point's constant
    /// offset taken out, percent of the distance between the outer corners of the eyes.
    pub error_percent: f64,
    /// Frames by which the measured points come late; 0 is none.
    pub lag_frames: i32,
}

/// The way from a true point to a measured one on the head: turned so that the eyes are level, in distances between
/// the outer corners of the eyes.
fn on_head(truth: &[FramePx], from: FramePx, to: FramePx) -> [f64; 2] {
    let (right, left) = (truth[36], truth[45]);
    let (dx, dy) = (left.x - right.x, left.y - right.y);
    let square = (dx * dx + dy * dy).max(1e-12);
    let (x, y) = (to.x - from.x, to.y - from.y);
    [(x * dx + y * dy) / square, (y * dx - x * dy) / square]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head that goes along a curve, seen by a mesh `late` frames late with a constant offset.
    fn clip(late: usize) -> (Truth, Vec<Option<Vec<FramePx>>>) {
        let place = |t: usize| 100.0 + 30.0 * (t as f64 * 0.4).sin();
        let truth = (0..60).map(|t| {
            let mut points = vec![FramePx { x: place(t), y: 50.0 }; 68];
            points[36].x -= 20.0;
            points[45].x += 20.0;
            points
        });
        let mesh = (0..60_usize).map(|t| {
            let x = place(t.saturating_sub(late));
            let mut points = vec![FramePx { x: x + 1.0, y: 52.0 }; 478];
            points[33].x -= 20.0;
            points[263].x += 20.0;
            Some(points)
        });
        (Truth { frames: truth.collect() }, mesh.collect())
    }

    #[test]
    fn a_constant_offset_is_no_error() {
        let (truth, mesh) = clip(0);
        let accuracy = truth.accuracy(&mesh).expect("shared frames");
        assert!(accuracy.error_percent < 1e-9, "{accuracy:?}");
        assert_eq!((accuracy.n_frames, accuracy.lag_frames), (60, 0));
    }

    #[test]
    fn what_comes_late_is_told() {
        let (truth, mesh) = clip(2);
        let accuracy = truth.accuracy(&mesh).expect("shared frames");
        assert_eq!(accuracy.lag_frames, 2);
        assert!(accuracy.error_percent > 10.0);
        assert!(truth.accuracy(&vec![None; 60]).is_none());
    }
}
