//! The 478 points of the face mesh by name.
//!
//! "Right" and "left" are the person's own; the right eye is on the left of an unmirrored picture.

use crate::frame::FramePx;

/// Points of a mesh: 468 on the skin, then 5 on each iris.
pub const N_POINTS: usize = 478;
/// Points on the skin.
pub const N_SKIN: usize = 468;
/// The outer corners of the eyes, right and left.
pub const OUTER_EYE_CORNERS: [usize; 2] = [33, 263];
/// The middles of the irises, right and left; four points of the edge follow each.
pub const IRISES: [usize; 2] = [N_SKIN, N_SKIN + 5];
/// The tip of the nose.
pub const NOSE_TIP: usize = 4;
/// Where the nose meets the upper lip.
pub const NOSE_BASE: usize = 2;
/// The corners of the right eye, then of the left, from left to right in the picture: outer and inner, inner and outer.
pub const EYE_CORNERS: [[usize; 2]; 2] = [[33, 133], [362, 263]];

/// The contour of the face, clockwise in the picture from the middle of the forehead.
pub const OVAL: [usize; 36] = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
];
/// The part of [`OVAL`] from temple to temple over the chin.
pub const OVAL_BELOW_BROWS: [usize; 25] = [
    389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132,
    93, 234, 127, 162,
];
/// Upper edges of the brows, right and left, from the outside inwards.
pub const BROWS_TOP: [[usize; 5]; 2] = [[70, 63, 105, 66, 107], [300, 293, 334, 296, 336]];
/// Lower edges of the brows, right and left, from the outside inwards.
pub const BROWS_BOTTOM: [[usize; 5]; 2] = [[46, 53, 52, 65, 55], [276, 283, 282, 295, 285]];
/// Contours of the eyelids without the corners, right and left.
pub const LIDS: [[usize; 14]; 2] = [
    [246, 161, 160, 159, 158, 157, 173, 155, 154, 153, 145, 144, 163, 7],
    [466, 388, 387, 386, 385, 384, 398, 382, 381, 380, 374, 373, 390, 249],
];
/// Bridge, tip, base and wings of the nose.
pub const NOSE: [usize; 18] = [168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 97, 326, 129, 358, 64, 294, 48, 278];
/// Corners of the mouth, right and left.
pub const MOUTH_CORNERS: [usize; 2] = [61, 291];
/// Outer edge of the upper lip, corners included.
pub const UPPER_LIP: [usize; 11] = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291];
/// Outer edge of the lower lip, corners left out.
pub const LOWER_LIP: [usize; 9] = [375, 321, 405, 314, 17, 84, 181, 91, 146];

/// Second contours of the eyelids, right and left, above and below the first.
pub const LID_CREASES: [[usize; 15]; 2] = [
    [247, 30, 29, 27, 28, 56, 190, 25, 110, 24, 23, 22, 26, 112, 243],
    [467, 260, 259, 257, 258, 286, 414, 255, 339, 254, 253, 252, 256, 341, 463],
];
/// Points in the middle of the cheeks, on the left and on the right of the picture.
pub const CHEEKS: [usize; 2] = [50, 280];
/// The inner edge of the lips, from the right corner over the upper one.
pub const MOUTH: [usize; 20] =
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95];
/// The lips inside their outer edge.
pub const INNER_LIPS: [usize; 60] = [
    76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77, 62, 183, 42,
    41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96, 78, 191, 80, 81, 82, 13,
    312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
];

/// What a face is known by: the contours of brows, eyes and lips.
pub fn features() -> impl Iterator<Item = usize> {
    let lists = [BROWS_TOP.as_flattened(), BROWS_BOTTOM.as_flattened(), LIDS.as_flattened()];
    let lips = UPPER_LIP.into_iter().chain(LOWER_LIP);
    lists.into_iter().flatten().copied().chain(EYE_CORNERS.into_iter().flatten()).chain(lips)
}

/// Whether a point may move far within a frame while the head is still: lids, lips and irises.
pub fn is_quick(point: usize) -> bool {
    IS_QUICK.get(point).copied().unwrap_or(true)
}

/// A table, since the question is asked of every point in every frame.
const IS_QUICK: [bool; N_POINTS] = {
    let lists: [&[usize]; 5] =
        [LIDS.as_flattened(), LID_CREASES.as_flattened(), &UPPER_LIP, &LOWER_LIP, &INNER_LIPS];
    let mut is_quick = [false; N_POINTS];
    let (mut list, mut point) = (0, N_SKIN);
    while point < N_POINTS {
        is_quick[point] = true;
        point += 1;
    }
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            is_quick[lists[list][i]] = true;
            i += 1;
        }
        list += 1;
    }
    is_quick
};

/// The smallest upright box `[x0, y0, x1, y1]` around the skin points (all points if there are fewer).
pub fn bounds(points: &[FramePx]) -> [f64; 4] {
    let start = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    points
        .iter()
        .take(N_SKIN)
        .fold(start, |b, p| [b[0].min(p.x), b[1].min(p.y), b[2].max(p.x), b[3].max(p.y)])
}

/// The longer side of that box: the height of a face, whichever side of the picture is up.
pub fn height_px(points: &[FramePx]) -> f64 {
    let [x0, y0, x1, y1] = bounds(points);
    (x1 - x0).max(y1 - y0)
}

/// The middle of an eye, halfway between its corners; 0 is the right eye, 1 the left.
pub fn eye_centre(points: &[FramePx], eye: usize) -> FramePx {
    let [a, b] = EYE_CORNERS[eye].map(|i| points[i]);
    FramePx { x: 0.5 * (a.x + b.x), y: 0.5 * (a.y + b.y) }
}

/// Pixels between the middles of the eyes.
pub fn interocular_px(points: &[FramePx]) -> f64 {
    let (right, left) = (eye_centre(points, 0), eye_centre(points, 1));
    (left.x - right.x).hypot(left.y - right.y)
}

/// Overlap of two boxes `[x0, y0, x1, y1]`: area of the intersection over that of the union, 0..=1.
pub fn iou(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |r: &[f64; 4]| (r[2] - r[0]).max(0.0) * (r[3] - r[1]).max(0.0);
    let both = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let both = area(&both);
    let union = area(a) + area(b) - both;
    if union > 0.0 { both / union } else { 0.0 }
}
