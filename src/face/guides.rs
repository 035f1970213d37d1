//! What a network is shown of a face whose people it has never seen: a schematic of its own mesh.
//!
//! An encoder that was trained on few people, or on rendered ones, reads strangers badly: lashes, spectacles, beards and
//! make-up aren't in its faces, and eyelids, gaze and mouth get lost. The mesh network reads them in anybody. So the crop
//! is blurred to what it tells of light and turn, and the features are painted over it where the mesh says that they
//! are: eyes with their irises, brows, lips, nose and contour. The mouth stays sharp inside, for teeth and tongue.
//!
//! Whether an identity's networks want faces like this says its manifest; training and swapping paint alike.

use ndarray::{Array2, Array3};

use super::{
    hull::coverage,
    mesh::{BROWS_BOTTOM, BROWS_TOP, EYE_CORNERS, IRISES, LIDS, LOWER_LIP, MOUTH, N_POINTS, OVAL, UPPER_LIP},
};
use crate::frame::CropPx;

/// Radius of the blur's three boxes over the crop's side: a standard deviation of about 0.035 sides.
const BLUR: f64 = 1.0 / 32.0;
/// Width of a line over the crop's side.
const LINE: f64 = 1.5 / 128.0;

/// The gap between the lids, see [`lid_gap`], of an eye that is shut, though the mesh still sees them apart..
pub const LIDS_SHUT: f64 = 0.085;
/// ..and from where on an eye is as far open as it is measured.
pub const LIDS_OPEN: f64 = 0.17;

/// From the root of the nose to its tip.
const BRIDGE: [usize; 6] = [168, 6, 197, 195, 5, 4];
/// Below the nose, from wing to wing.
const WINGS: [usize; 5] = [98, 97, 2, 326, 327];

// Colours that skin hasn't got, or that the feature has anyway.
const LIPS: [f32; 3] = [0.75, 0.25, 0.30];
const BROW: [f32; 3] = [0.15, 0.10, 0.08];
const WHITE: [f32; 3] = [0.95, 0.95, 0.95];
const IRIS: [f32; 3] = [0.10, 0.20, 0.60];
const LID: [f32; 3] = [0.10, 0.05, 0.05];
const CONTOUR: [f32; 3] = [0.20, 0.90, 0.20];
const NOSE: [f32; 3] = [0.20, 0.90, 0.90];

/// Paints over a square crop, `[3, side, side]`, RGB 0..=1, what the mesh of its face says. `points` are the 478 of the
/// mesh in pixels of the crop; with fewer nothing is painted.
pub fn paint(crop: &mut Array3<f32>, points: &[CropPx]) {
    if !is_mesh(points) {
        return;
    }
    let side = crop.dim().2;
    let sharp = crop.clone();
    let radius = ((side as f64 * BLUR).round() as usize).max(1);
    let mut blur = Blur::new(side, radius);
    if !crop.is_standard_layout() {
        *crop = crop.as_standard_layout().into_owned();
    }
    if let Some(values) = crop.as_slice_mut() {
        for plane in values.chunks_exact_mut(side * side) {
            for _ in 0..3 {
                blur.rows(plane);
                blur.columns(plane);
            }
        }
    }

    let mouth = mouth(points, side);
    mix(crop, &mouth, |c, at| sharp[[c, at.0, at.1]]);
    each_stroke(points, &mouth, |share, colour| mix(crop, share, |c, _| colour[c]));
}

/// How much of each pixel of a crop with this side is [`paint`], 0..=1, and no part of the face: `[side, side]`.
pub fn paint_share(points: &[CropPx], side: usize) -> Array2<f32> {
    let mut share = Array2::zeros([side, side]);
    if is_mesh(points) {
        each_stroke(points, &mouth(points, side), |stroke, _| {
            share.zip_mut_with(stroke, |all, one| *all += one * (1.0 - *all));
        });
    }
    share
}

fn is_mesh(points: &[CropPx]) -> bool {
    points.len() >= N_POINTS && points.iter().all(|p| p.x.is_finite() && p.y.is_finite())
}

fn ring(points: &[CropPx], indices: &[usize]) -> Vec<CropPx> {
    indices.iter().map(|index| points[*index]).collect()
}

/// How much of each pixel lies between the lips.
fn mouth(points: &[CropPx], side: usize) -> Array2<f32> {
    coverage(&ring(points, &MOUTH), side)
}

/// What is painted around a [`mouth`], in its order: how much of each pixel, and the colour.
fn each_stroke(points: &[CropPx], mouth: &Array2<f32>, mut put: impl FnMut(&Array2<f32>, [f32; 3])) {
    let side = mouth.dim().0;
    let ring = |indices: &[usize]| ring(points, indices);
    let lips: Vec<usize> = UPPER_LIP.iter().chain(&LOWER_LIP).copied().collect();
    let lips = coverage(&ring(&lips), side) - mouth;
    put(&lips.mapv(|v| v.max(0.0)), LIPS);
    let stroke = LINE * side as f64;
    let mut contour = ring(&OVAL);
    contour.push(contour[0]);
    put(&line(&contour, stroke, side), CONTOUR);
    for run in [&BRIDGE[..], &WINGS] {
        put(&line(&ring(run), stroke, side), NOSE);
    }
    for eye in 0..2 {
        let brow: Vec<usize> = BROWS_TOP[eye].iter().chain(BROWS_BOTTOM[eye].iter().rev()).copied().collect();
        put(&coverage(&ring(&brow), side), BROW);
        let [outer, inner] = [0, 1].map(|end| EYE_CORNERS[eye][if eye == 0 { end } else { 1 - end }]);
        let mut lids = closed_as_seen([points[outer], points[inner]], &ring(&LIDS[eye]));
        let opening = coverage(&lids, side);
        put(&opening, WHITE);
        let (middle, radius) = iris(points, eye);
        put(&(disc(middle, radius, side) * &opening), IRIS);
        lids.push(lids[0]);
        put(&line(&lids, stroke, side), LID);
    }
}

/// The middle of the iris of an eye, right (0) or left (1), and its radius.
pub fn iris(points: &[CropPx], eye: usize) -> (CropPx, f64) {
    let middle = points[IRISES[eye]];
    let edge = (1..5).map(|k| points[IRISES[eye] + k]);
    (middle, edge.map(|p| (p.x - middle.x).hypot(p.y - middle.y)).sum::<f64>() / 4.0)
}

/// The mean gap between the lids of an eye over its width, from its corners and its [`LIDS`].
pub fn lid_gap(corners: [CropPx; 2], lids: &[CropPx]) -> f64 {
    let distance = |a: CropPx, b: CropPx| (a.x - b.x).hypot(a.y - b.y);
    let (upper, lower) = lids.split_at(lids.len() / 2);
    // Beside the corners the lids meet anyway.
    let inner = upper.iter().zip(lower.iter().rev()).skip(1).take(upper.len().saturating_sub(2));
    let gap = inner.clone().map(|(u, l)| distance(*u, *l)).sum::<f64>() / inner.count().max(1) as f64;
    gap / distance(corners[0], corners[1]).max(1e-6)
}

/// The edge of an eye, around from its outer corner: `corners`, outer and inner, and `lids`, in the order of [`LIDS`].
///
/// Where real eyes are shut the mesh still sees a gap between the lids of 0.06 to 0.1 of the eye's width, which in
/// rendered people is an eye that looks through a slit. Lids that are that near are closed, and those in between drawn
/// together.
fn closed_as_seen(corners: [CropPx; 2], lids: &[CropPx]) -> Vec<CropPx> {
    let gap = lid_gap(corners, lids);
    let is_open = ((gap - LIDS_SHUT) / (LIDS_OPEN - LIDS_SHUT)).clamp(0.0, 1.0);
    let part = if gap < LIDS_OPEN { LIDS_OPEN * is_open / gap.max(1e-6) } else { 1.0 };
    let (upper, lower) = lids.split_at(lids.len() / 2);
    // The upper lid is the one that moves.
    let upper = upper
        .iter()
        .zip(lower.iter().rev())
        .map(|(u, l)| CropPx { x: l.x + part * (u.x - l.x), y: l.y + part * (u.y - l.y) });
    std::iter::once(corners[0]).chain(upper).chain([corners[1]]).chain(lower.iter().copied()).collect()
}

/// Puts `colour(channel, (row, column))` over a crop, as much as `share` says.
fn mix(crop: &mut Array3<f32>, share: &Array2<f32>, colour: impl Fn(usize, (usize, usize)) -> f32) {
    // Most shapes leave most rows alone.
    let rows = share.outer_iter().enumerate().filter(|(_, row)| row.iter().any(|share| *share > 0.0));
    for (y, row) in rows {
        for (x, share) in row.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            for c in 0..3 {
                let value = &mut crop[[c, y, x]];
                *value += share * (colour(c, (y, x)) - *value);
            }
        }
    }
}

/// How much of each pixel a line through `points` covers.
fn line(points: &[CropPx], width: f64, side: usize) -> Array2<f32> {
    let mut share = Array2::<f32>::zeros([side, side]);
    let half = 0.5 * width + 0.5;
    for pair in points.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let (dx, dy) = (b.x - a.x, b.y - a.y);
        let length2 = (dx * dx + dy * dy).max(1e-12);
        for row in pixels(a.y.min(b.y) - half, a.y.max(b.y) + half, side) {
            for column in pixels(a.x.min(b.x) - half, a.x.max(b.x) + half, side) {
                let (x, y) = (column as f64 + 0.5 - a.x, row as f64 + 0.5 - a.y);
                let along = ((x * dx + y * dy) / length2).clamp(0.0, 1.0);
                let (x, y) = (x - along * dx, y - along * dy);
                let distance = (x * x + y * y).sqrt();
                let here = &mut share[[row, column]];
                *here = here.max((half - distance).clamp(0.0, 1.0) as f32);
            }
        }
    }
    share
}

/// How much of each pixel a disc covers.
fn disc(middle: CropPx, radius: f64, side: usize) -> Array2<f32> {
    let mut share = Array2::zeros([side, side]);
    let half = radius + 0.5;
    for row in pixels(middle.y - half, middle.y + half, side) {
        for column in pixels(middle.x - half, middle.x + half, side) {
            let distance = (column as f64 + 0.5 - middle.x).hypot(row as f64 + 0.5 - middle.y);
            share[[row, column]] = (half - distance).clamp(0.0, 1.0) as f32;
        }
    }
    share
}

/// The pixels of a side between two places on it.
fn pixels(from: f64, to: f64, side: usize) -> std::ops::Range<usize> {
    let inside = |v: f64| v.clamp(0.0, side as f64) as usize;
    inside(from.floor())..inside(to.ceil())
}

/// Means over `2 radius + 1` pixels of a square plane; the border is repeated.
struct Blur {
    side: usize,
    radius: usize,
    /// A row with the pixels beyond its ends, or a plane that is averaged.
    from: Vec<f32>,
    /// What the places of a row sum up to.
    sums: Vec<f32>,
}

impl Blur {
    fn new(side: usize, radius: usize) -> Self {
        Self { side, radius, from: Vec::new(), sums: vec![0.0; side] }
    }

    fn n(&self) -> f32 {
        (2 * self.radius + 1) as f32
    }

    fn rows(&mut self, plane: &mut [f32]) {
        let (radius, n) = (self.radius, self.n());
        for row in plane.chunks_exact_mut(self.side) {
            let [Some(first), Some(last)] = [row.first().copied(), row.last().copied()] else { return };
            self.from.clear();
            self.from.extend(std::iter::repeat_n(first, radius));
            self.from.extend_from_slice(row);
            self.from.extend(std::iter::repeat_n(last, radius + 1));
            let mut sum: f32 = self.from[..=2 * radius].iter().sum();
            let steps = self.from.iter().zip(&self.from[2 * radius + 1..]);
            for (value, (left, entered)) in row.iter_mut().zip(steps) {
                *value = sum / n;
                sum += entered - left;
            }
        }
    }

    fn columns(&mut self, plane: &mut [f32]) {
        let (side, radius, n) = (self.side, self.radius as isize, self.n());
        self.from.clear();
        self.from.extend_from_slice(plane);
        let row = |y: isize| {
            let y = y.clamp(0, side as isize - 1) as usize;
            &self.from[y * side..(y + 1) * side]
        };
        self.sums.fill(0.0);
        for y in -radius..=radius {
            self.sums.iter_mut().zip(row(y)).for_each(|(sum, value)| *sum += value);
        }
        for (y, to) in plane.chunks_exact_mut(side).enumerate() {
            let steps = row(y as isize - radius).iter().zip(row(y as isize + radius + 1));
            for ((value, sum), (left, entered)) in to.iter_mut().zip(&mut self.sums).zip(steps) {
                *value = *sum / n;
                *sum += entered - left;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 128;

    /// A mesh whose right eye is a lozenge around (40, 50), with its iris `look` pixels to the right; all other points
    /// lie in a corner.
    fn mesh(look: f64) -> Vec<CropPx> {
        let mut points = vec![CropPx { x: 1.0, y: 1.0 }; N_POINTS];
        let ring: Vec<usize> =
            [33].iter().chain(&LIDS[0][..7]).chain(&[133]).chain(&LIDS[0][7..]).copied().collect();
        for (i, index) in ring.iter().enumerate() {
            let angle = std::f64::consts::PI * (1.0 + i as f64 / 8.0);
            points[*index] = CropPx { x: 40.0 + 12.0 * angle.cos(), y: 50.0 + 6.0 * angle.sin() };
        }
        for k in 0..5 {
            let angle = f64::from(k) * std::f64::consts::FRAC_PI_2;
            let reach = if k == 0 { 0.0 } else { 4.0 };
            points[IRISES[0] + k as usize] =
                CropPx { x: 40.0 + look + reach * angle.cos(), y: 50.0 + reach * angle.sin() };
        }
        points
    }

    #[test]
    fn an_eye_is_painted_where_it_is_and_looks_where_it_looks() {
        for look in [-4.0, 0.0, 4.0] {
            let mut crop = Array3::from_elem((3, SIDE, SIDE), 0.5);
            paint(&mut crop, &mesh(look));
            let pixel = |x: f64, y: usize| [0, 1, 2].map(|c| crop[[c, y, x as usize]]);
            let is = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.02);
            assert!(is(pixel(40.0 + look, 50), IRIS), "{look}: {:?}", pixel(40.0 + look, 50));
            assert!(is(pixel(40.0 - 1.5 * look.signum() * 4.0, 50), WHITE) || look == 0.0);
            let lid = pixel(40.0, 43).iter().sum::<f32>();
            assert!(lid < 0.8 && is(pixel(100.0, 100), [0.5; 3]), "{lid}");
        }
    }

    #[test]
    fn the_share_of_paint_is_what_the_crop_has_no_part_in() {
        let points = mesh(2.0);
        let share = paint_share(&points, SIDE);
        let [black, white] = [0.0, 1.0].map(|value| {
            let mut crop = Array3::from_elem((3, SIDE, SIDE), value);
            paint(&mut crop, &points);
            crop
        });
        for ((c, y, x), white) in white.indexed_iter() {
            assert!((1.0 - (white - black[[c, y, x]]) - share[[y, x]]).abs() < 1e-4, "{c} {y} {x}");
        }
        assert!(share[[50, 42]] > 0.99 && share[[100, 100]] == 0.0);
        assert!(paint_share(&points[..68], 16).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn lids_that_are_nearly_shut_are_closed_and_open_ones_stay() {
        let corners = [CropPx { x: 0.0, y: 50.0 }, CropPx { x: 80.0, y: 50.0 }];
        let lids = |gap: f64| -> Vec<CropPx> {
            let upper = (1..8).map(|i| CropPx { x: 10.0 * f64::from(i), y: 50.0 - 80.0 * gap });
            upper.chain((1..8).rev().map(|i| CropPx { x: 10.0 * f64::from(i), y: 50.0 })).collect()
        };
        let mut last = -1.0;
        for gap in [0.0, 0.05, 0.085, 0.1, 0.13, 0.169, 0.17, 0.3] {
            let ring = closed_as_seen(corners, &lids(gap));
            assert_eq!((ring.len(), ring[0], ring[8]), (16, corners[0], corners[1]));
            assert!(ring[9..].iter().all(|p| p.y == 50.0) && ring[4].x == 40.0);
            let painted = (50.0 - ring[4].y) / 80.0;
            let wanted = if gap <= 0.085 {
                0.0
            } else if gap >= 0.17 {
                gap
            } else {
                2.0 * (gap - 0.085)
            };
            assert!((painted - wanted).abs() < 1e-9 && painted >= last, "{gap}: {painted}");
            last = painted;
        }
    }

    #[test]
    fn light_stays_and_detail_goes() {
        let stripes = |c: usize, x: usize| 0.2 * c as f32 + if x.is_multiple_of(2) { 0.2 } else { 0.4 };
        let mut crop = Array3::from_shape_fn((3, SIDE, SIDE), |(c, _, x)| stripes(c, x));
        paint(&mut crop, &mesh(0.0));
        for c in 0..3 {
            let (mean, reach) = (0.2 * c as f32 + 0.3, 0.01);
            assert!((60..120).all(|x| (crop[[c, 90, x]] - mean).abs() < reach));
        }
    }

    #[test]
    fn a_crop_is_painted_however_it_lies_in_memory() {
        let straight =
            Array3::from_shape_fn((3, SIDE, SIDE), |(c, y, x)| ((7 * x + 3 * y + c) % 11) as f32 / 11.0);
        let mut turned = straight.clone().permuted_axes([0, 2, 1]).as_standard_layout().into_owned();
        turned = turned.permuted_axes([0, 2, 1]);
        assert!(turned == straight && !turned.is_standard_layout());
        let mut wanted = straight;
        paint(&mut wanted, &mesh(0.0));
        paint(&mut turned, &mesh(0.0));
        assert_eq!(turned, wanted);
    }

    #[test]
    fn the_inside_of_the_mouth_stays_as_it_is() {
        let mut points = mesh(0.0);
        for (i, index) in MOUTH.iter().enumerate() {
            let angle = std::f64::consts::PI * (1.0 + i as f64 / 10.0);
            points[*index] = CropPx { x: 64.0 + 15.0 * angle.cos(), y: 100.0 + 10.0 * angle.sin() };
        }
        let crop = Array3::from_shape_fn((3, SIDE, SIDE), |(_, y, x)| ((x + y) % 2) as f32);
        let mut painted = crop.clone();
        paint(&mut painted, &points);
        assert_eq!(painted[[0, 100, 64]], crop[[0, 100, 64]]);
        assert_eq!(painted[[2, 103, 60]], crop[[2, 103, 60]]);
        assert!((painted[[0, 80, 64]] - 0.5).abs() < 0.1);
    }

    #[test]
    fn points_that_are_no_mesh_change_nothing_and_far_ones_break_nothing() {
        let crop = Array3::from_elem((3, 16, 16), 0.25);
        for points in [vec![], vec![CropPx::default(); 68], vec![CropPx { x: f64::NAN, y: 0.0 }; N_POINTS]] {
            let mut painted = crop.clone();
            paint(&mut painted, &points);
            assert_eq!(painted, crop);
        }
        let mut painted = crop.clone();
        paint(&mut painted, &vec![CropPx { x: -1e9, y: 1e9 }; N_POINTS]);
        assert!(painted.iter().all(|v| (0.0..=1.0).contains(v)));
    }
}
