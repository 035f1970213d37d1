//! Where a face looks and what it does, as far as the points of a mesh in a picture say it.

use super::mesh;
use crate::frame::FramePx;

/// Pose and expression of a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Turn to the side, degrees, above 0 to the right of the picture.
    pub yaw_deg: f64,
    /// Nod, degrees, above 0 downwards.
    pub pitch_deg: f64,
    /// Opening between the lips, distances between the eyes.
    pub mouth: f64,
    /// Opening of the more open eye, widths of an eye.
    pub eyes: f64,
    /// Where the irises lie between the corners of their eyes, the mean of both: widths of an eye from the middle, above
    /// 0 to the right of the picture. A glance to the side is 0.1 to 0.3. 0 for a mesh without irises.
    pub gaze: f64,
}

/// How far the tip of the nose stands out before the outer corners of the eyes, distances between these. These four are
/// fitted to 300 rendered heads of seven people; yaw errs by 2.5 degrees then and pitch by 3.6 (means of the amount).
const NOSE_OUT: f64 = 0.591;
/// How far it lies below them.
const NOSE_DOWN: f64 = 0.302;
/// How far the corners of the mouth stand out before them.
const MOUTH_OUT: f64 = -0.071;
/// How far they lie below them.
const MOUTH_DOWN: f64 = 0.762;

/// Middle of the inner edges of the lips, upper and lower.
const INNER_LIPS: [usize; 2] = [13, 14];
/// Middle of the lids, upper and lower, right and left.
const LIDS: [[usize; 2]; 2] = [[159, 145], [386, 374]];

impl Look {
    /// From the points of a mesh in pixels of any picture; `None` when they are no mesh with two eyes.
    pub fn of(points: &[FramePx]) -> Option<Self> {
        if points.len() < mesh::N_SKIN {
            return None;
        }
        let [right, left] = mesh::OUTER_EYE_CORNERS.map(|i| points[i]);
        let (dx, dy) = (left.x - right.x, left.y - right.y);
        let apart = dx.hypot(dy);
        if !apart.is_finite() || apart <= 0.0 {
            return None;
        }
        // Along the line of the eyes and across it, in distances between the eyes' corners: roll is gone.
        let (ux, uy) = (dx / apart, dy / apart);
        let middle = |a: FramePx, b: FramePx| FramePx { x: 0.5 * (a.x + b.x), y: 0.5 * (a.y + b.y) };
        let eyes = middle(right, left);
        let along = |p: FramePx| ((p.x - eyes.x) * ux + (p.y - eyes.y) * uy) / apart;
        let across = |p: FramePx| ((p.y - eyes.y) * ux - (p.x - eyes.x) * uy) / apart;
        let nose = points[mesh::NOSE_TIP];
        let mouth = middle(points[mesh::MOUTH_CORNERS[0]], points[mesh::MOUTH_CORNERS[1]]);
        // An orthographic head: x = X cos + Z sin, with the corners of the eyes at X = -0.5 and 0.5, Z = 0.
        let yaw = (along(nose) / NOSE_OUT).atan();
        // y = Y cos + Z sin for nose and mouth: their ratio says the angle, whatever the scale.
        let ratio = across(nose) / across(mouth).max(1e-3);
        let pitch = ((ratio * MOUTH_DOWN - NOSE_DOWN) / (NOSE_OUT - ratio * MOUTH_OUT)).atan();
        let gap = |a: usize, b: usize| (points[a].x - points[b].x).hypot(points[a].y - points[b].y);
        let open = |eye: usize| {
            let [a, b] = mesh::EYE_CORNERS[eye];
            gap(LIDS[eye][0], LIDS[eye][1]) * yaw.cos() / gap(a, b).max(1e-6)
        };
        let glance = |eye: usize| {
            let [a, b] = mesh::EYE_CORNERS[eye].map(|i| along(points[i]));
            points.get(mesh::IRISES[eye]).map(|iris| (along(*iris) - 0.5 * (a + b)) / (a - b).abs().max(1e-6))
        };
        let look = Self {
            yaw_deg: yaw.to_degrees(),
            pitch_deg: pitch.to_degrees(),
            mouth: gap(INNER_LIPS[0], INNER_LIPS[1]) * yaw.cos() / apart,
            eyes: open(0).max(open(1)),
            gaze: glance(0).zip(glance(1)).map_or(0.0, |(right, left)| 0.5 * (right + left)),
        };
        [look.yaw_deg, look.pitch_deg, look.mouth, look.eyes, look.gaze]
            .iter()
            .all(|v| v.is_finite())
            .then_some(look)
    }

    /// From points as they stand in a face set.
    pub fn of_crop(points: &[[f32; 2]]) -> Option<Self> {
        let points: Vec<FramePx> =
            points.iter().map(|[x, y]| FramePx { x: (*x).into(), y: (*y).into() }).collect();
        Self::of(&points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of the constants above, turned, nodding and rolled.
    fn head(yaw_deg: f64, pitch_deg: f64, roll_deg: f64) -> Vec<FramePx> {
        let (yaw, pitch, roll) = (yaw_deg.to_radians(), pitch_deg.to_radians(), roll_deg.to_radians());
        let place = |x: f64, y: f64, z: f64| {
            // Nod, turn, roll; y downwards, z towards the camera, 100 px between the corners of the eyes.
            let (y, z) = (y * pitch.cos() + z * pitch.sin(), z * pitch.cos() - y * pitch.sin());
            let x = x * yaw.cos() + z * yaw.sin();
            FramePx {
                x: 300.0 + 100.0 * (x * roll.cos() - y * roll.sin()),
                y: 200.0 + 100.0 * (x * roll.sin() + y * roll.cos()),
            }
        };
        let mut points = vec![place(0.0, 0.0, 0.0); mesh::N_POINTS];
        for (i, (x, y, z)) in [
            (33, (-0.5, 0.0, 0.0)),
            (133, (-0.2, 0.0, 0.0)),
            (362, (0.2, 0.0, 0.0)),
            (263, (0.5, 0.0, 0.0)),
            (4, (0.0, NOSE_DOWN, NOSE_OUT)),
            (61, (-0.3, MOUTH_DOWN, MOUTH_OUT)),
            (291, (0.3, MOUTH_DOWN, MOUTH_OUT)),
            (13, (0.0, MOUTH_DOWN - 0.1, MOUTH_OUT)),
            (14, (0.0, MOUTH_DOWN + 0.1, MOUTH_OUT)),
            (159, (-0.35, -0.03, 0.0)),
            (145, (-0.35, 0.03, 0.0)),
            // Irises a fifth and two fifths of an eye's width to the right of its middle.
            (468, (-0.29, 0.0, 0.0)),
            (473, (0.47, 0.0, 0.0)),
        ] {
            points[i] = place(x, y, z);
        }
        points
    }

    #[test]
    fn a_head_is_seen_as_it_is_turned() {
        for (yaw, pitch, roll) in
            [(0.0, 0.0, 0.0), (25.0, 0.0, 10.0), (-40.0, 0.0, -20.0), (0.0, 20.0, 5.0), (0.0, -15.0, 0.0)]
        {
            let look = Look::of(&head(yaw, pitch, roll)).expect("a mesh");
            assert!(
                (look.yaw_deg - yaw).abs() < 1e-6 && (look.pitch_deg - pitch).abs() < 1e-6,
                "{yaw} {pitch}: {look:?}"
            );
        }
        let look = Look::of(&head(0.0, 0.0, 12.0)).expect("a mesh");
        assert!((look.mouth - 0.2).abs() < 1e-9 && (look.eyes - 0.2).abs() < 1e-9, "{look:?}");
        for yaw in [0.0, 30.0] {
            let look = Look::of(&head(yaw, 0.0, -12.0)).expect("a mesh");
            assert!((look.gaze - 0.3).abs() < 1e-9, "{look:?}");
        }
        let skin = &head(0.0, 0.0, 0.0)[..mesh::N_SKIN];
        assert_eq!(Look::of(skin).expect("a mesh").gaze, 0.0);
    }

    #[test]
    fn points_that_are_no_face_have_no_look() {
        assert_eq!(Look::of(&[]), None);
        assert_eq!(Look::of(&vec![FramePx { x: 3.0, y: 3.0 }; mesh::N_POINTS]), None);
    }
}
