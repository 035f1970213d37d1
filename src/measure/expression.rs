//! Does the new face do what the old one did? Expression coefficients and the shape of the mesh.

use ndarray::Array3;

use crate::{
    Result,
    face::{fit_similarity, mesh},
    frame::FramePx,
    nn::{Network, Runtime},
};

/// Coefficients of an expression: how far the jaw is open, a lid closed, a brow raised, each 0..=1.
pub const N_COEFFICIENTS: usize = 52;

/// The points of the mesh that the network looks at (MediaPipe, `face_blendshapes_graph.cc`).
#[rustfmt::skip]
const POINTS: [usize; 146] = [
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81,
    82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154,
    155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263,
    267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321,
    323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
    388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
];

/// An expression, [`N_COEFFICIENTS`] numbers 0..=1.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression(Vec<f32>);

impl Expression {
    /// Mean difference of the coefficients.
    pub fn distance(&self, other: &Self) -> f64 {
        let sum: f64 = self.0.iter().zip(&other.0).map(|(a, b)| f64::from((a - b).abs())).sum();
        sum / self.0.len().max(1) as f64
    }
}

/// The network that reads an expression from a mesh.
#[derive(Debug)]
pub struct Reader {
    network: Network,
}

impl Reader {
    /// Loads the network, which lies in the program.
    ///
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(runtime: &Runtime) -> Result<Self> {
        let bytes = include_bytes!("../../models/face_blendshapes_52.onnx");
        Ok(Self { network: runtime.network("face_blendshapes_52", bytes)? })
    }

    /// The expression of a mesh; `None` when it has too few points.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the network fails.
    pub fn read(&mut self, points: &[FramePx]) -> Result<Option<Expression>> {
        if points.len() < mesh::N_POINTS {
            return Ok(None);
        }
        let at = |(_, i, axis): (usize, usize, usize)| {
            let p = points[POINTS[i]];
            (if axis == 0 { p.x } else { p.y }) as f32
        };
        let input = Array3::from_shape_fn((1, POINTS.len(), 2), at);
        let outputs = self.network.run(&[("input", input.view().into_dyn())])?;
        Ok(outputs.into_iter().next().map(|values| Expression(values.iter().copied().collect())))
    }
}

/// Mean distance of a mesh's skin points to another's after it is laid on that, share of the distance between the eyes
/// (normalised mean error); `None` for meshes without eyes.
pub fn mesh_error(mesh: &[FramePx], other: &[FramePx]) -> Option<f64> {
    if mesh.len() < mesh::N_SKIN || mesh.len() != other.len() {
        return None;
    }
    let unit = mesh::interocular_px(other);
    if unit.is_nan() || unit <= 0.0 {
        return None;
    }
    let pairs = || mesh.iter().zip(other).take(mesh::N_SKIN);
    let onto = fit_similarity(pairs().map(|(p, q)| (*p, *q, 1.0)));
    let distance = |(p, q): (&FramePx, &FramePx)| {
        let p = onto.to_crop(*p);
        (p.x - q.x).hypot(p.y - q.y)
    };
    Some(pairs().map(distance).sum::<f64>() / (mesh::N_SKIN as f64 * unit))
}

/// How far the eyes are open: the mean gap between the lids, over the width of the eyes; `None` for meshes without eyes.
pub fn eye_opening(points: &[FramePx]) -> Option<f64> {
    if points.len() < mesh::N_SKIN {
        return None;
    }
    let distance = |a: usize, b: usize| (points[a].x - points[b].x).hypot(points[a].y - points[b].y);
    let (mut gaps, mut width) = (0.0, 0.0);
    for (lids, corners) in mesh::LIDS.iter().zip(mesh::EYE_CORNERS) {
        let (upper, lower) = lids.split_at(lids.len() / 2);
        gaps += upper.iter().zip(lower.iter().rev()).map(|(u, l)| distance(*u, *l)).sum::<f64>()
            / upper.len() as f64;
        width += distance(corners[0], corners[1]);
    }
    (width > 0.0).then(|| gaps / width).filter(|opening| opening.is_finite())
}

/// How far something that opens and closes follows something else, from pairs of what is wanted and what is there, frame
/// by frame: 1 when it closes as far, 0 when it stays as it is. `None` where the wanted one hardly moves.
///
/// Both are measured by their medians, so that larger eyes are no wider open; the slope of the regression through these.
pub fn following(pairs: &[(f64, f64)]) -> Option<f64> {
    /// Least root mean square of the motion, in medians: a blink in two seconds.
    const MOVES: f64 = 0.1;
    let median = |values: Vec<f64>| {
        let mut values = values;
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().filter(|median| *median > 0.0)
    };
    let wanted = median(pairs.iter().map(|pair| pair.0).collect())?;
    let there = median(pairs.iter().map(|pair| pair.1).collect())?;
    slope(pairs.iter().map(|(a, b)| (a / wanted - 1.0, b / there - 1.0)), MOVES)
}

/// How far a gaze follows another, from pairs of what is wanted and what is there, frame by frame, as in
/// [`crate::face::Look`]: 1 when it goes as far to the sides, 0 when it stays where it is, below 0 when it goes the other
/// way. `None` where the wanted one hardly moves.
pub fn gaze_following(pairs: &[(f64, f64)]) -> Option<f64> {
    /// Least standard deviation of the motion, widths of an eye.
    const MOVES: f64 = 0.02;
    let n = pairs.len() as f64;
    let (wanted, there) = pairs.iter().fold((0.0, 0.0), |(a, b), pair| (a + pair.0 / n, b + pair.1 / n));
    slope(pairs.iter().map(|(a, b)| (a - wanted, b - there)), MOVES)
}

/// The slope of the regression of motions on others, through 0; `None` where the others' root mean square is `least` or less.
fn slope(moves: impl ExactSizeIterator<Item = (f64, f64)>, least: f64) -> Option<f64> {
    let n = moves.len() as f64;
    let (both, square) = moves.fold((0.0, 0.0), |(both, square), (a, b)| (both + a * b, square + a * a));
    (square > least * least * n).then(|| both / square)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gaze_that_goes_half_as_far_follows_by_half() {
        let wanted = [-0.2, 0.1, 0.0, 0.25, -0.1];
        for share in [-0.5, 0.0, 0.5, 1.0] {
            let pairs = wanted.map(|w| (w, 0.03 + share * w));
            assert!((gaze_following(&pairs).unwrap_or(9.0) - share).abs() < 1e-9, "{share}");
        }
        assert_eq!((gaze_following(&[(0.1, 0.2), (0.11, 0.3)]), gaze_following(&[])), (None, None));
    }

    #[test]
    fn eyes_that_close_half_as_far_follow_by_half() {
        let wanted = [0.3, 0.3, 0.3, 0.1, 0.02, 0.2, 0.3, 0.3];
        let pairs = |share: f64| wanted.map(|w| (w, 2.0 * (0.3 + share * (w - 0.3))));
        for share in [0.0, 0.5, 1.0] {
            assert!((following(&pairs(share)).unwrap_or(-1.0) - share).abs() < 1e-9, "{share}");
        }
        assert_eq!((following(&[(0.3, 0.2); 9]), following(&[])), (None, None));
    }

    #[test]
    fn an_eye_is_open_by_its_gap_over_its_width() {
        let mut points = vec![FramePx::default(); mesh::N_POINTS];
        for (lids, corners) in mesh::LIDS.iter().zip(mesh::EYE_CORNERS) {
            (points[corners[0]].x, points[corners[1]].x) = (0.0, 40.0);
            lids[..7].iter().for_each(|i| points[*i] = FramePx { x: 20.0, y: -12.0 });
            lids[7..].iter().for_each(|i| points[*i] = FramePx { x: 20.0, y: 0.0 });
        }
        assert!((eye_opening(&points).unwrap_or(0.0) - 0.3).abs() < 1e-9);
        assert_eq!((eye_opening(&[]), eye_opening(&vec![FramePx::default(); mesh::N_POINTS])), (None, None));
    }

    /// Points on a spiral, with eyes.
    fn spiral(turn: f64, size: f64) -> Vec<FramePx> {
        let at = |i: usize| {
            let (angle, r) = (turn + 0.3 * i as f64, size * (i as f64).sqrt());
            FramePx { x: 50.0 + r * angle.cos(), y: 80.0 + r * angle.sin() }
        };
        (0..mesh::N_POINTS).map(at).collect()
    }

    #[test]
    fn a_mesh_that_is_turned_moved_and_larger_is_the_same() {
        assert!(mesh_error(&spiral(0.4, 3.0), &spiral(0.0, 1.0)).unwrap_or(1.0) < 1e-9);
        let mut other = spiral(0.0, 1.0);
        let unit = mesh::interocular_px(&other);
        // One of 468 points moves by half the distance between the eyes; the fit spreads a little of it over all.
        other[300].x += 0.5 * unit;
        let found = mesh_error(&spiral(0.0, 1.0), &other).unwrap_or(0.0) * mesh::N_SKIN as f64;
        assert!((0.45..1.3).contains(&found), "{found}");
        assert_eq!(mesh_error(&[], &other), None);
    }

    #[test]
    fn expressions_differ_by_the_mean_of_their_coefficients() {
        let (a, b) = (Expression(vec![0.0, 0.5]), Expression(vec![0.4, 0.7]));
        assert!((a.distance(&b) - 0.3).abs() < 1e-6);
    }
}
