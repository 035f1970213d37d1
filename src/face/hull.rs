//! Filling an outline with soft edges.

use ndarray::Array2;

use crate::frame::CropPx;

/// Rows of samples per pixel row; along a row the edge is exact.
const SUB_ROWS: usize = 8;

/// The convex hull of `points`, counter-clockwise in a picture whose y grows downwards (Andrew's monotone chain).
pub fn convex_hull(points: &[CropPx]) -> Vec<CropPx> {
    let mut sorted: Vec<CropPx> =
        points.iter().copied().filter(|p| p.x.is_finite() && p.y.is_finite()).collect();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let chain = |points: &mut dyn Iterator<Item = CropPx>| {
        let mut chain: Vec<CropPx> = Vec::new();
        for p in points {
            while let [.., a, b] = chain[..] {
                if (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop(); // the other chain starts with it
        chain
    };
    let mut hull = chain(&mut sorted.iter().copied());
    hull.extend(chain(&mut sorted.iter().rev().copied()));
    hull
}

/// A polygon that is larger or smaller around its middle.
pub fn scaled(polygon: &[CropPx], factor: f64) -> Vec<CropPx> {
    let n = polygon.len().max(1) as f64;
    let (x, y) = polygon.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.x / n, sum.1 + p.y / n));
    polygon.iter().map(|p| CropPx { x: x + factor * (p.x - x), y: y + factor * (p.y - y) }).collect()
}

/// How much of each pixel lies in a polygon, 0..=1, `[side_px, side_px]`. Where it crosses itself, every second part
/// counts as outside.
pub fn coverage(polygon: &[CropPx], side_px: usize) -> Array2<f32> {
    let mut mask = Array2::zeros([side_px, side_px]);
    if polygon.len() < 3 {
        return mask;
    }
    let mut ends = Vec::new();
    let lowest = polygon.iter().fold(f64::INFINITY, |low, p| low.min(p.y)).max(0.0) as usize;
    let highest = polygon.iter().fold(f64::NEG_INFINITY, |high, p| high.max(p.y)).ceil().max(0.0) as usize;
    let rows = mask.as_slice_mut().unwrap_or_default().chunks_exact_mut(side_px.max(1)).enumerate();
    for (y, row) in rows.take(highest).skip(lowest) {
        for sub in 0..SUB_ROWS {
            let level = y as f64 + (sub as f64 + 0.5) / SUB_ROWS as f64;
            crossings(polygon, level, &mut ends);
            for pair in ends.chunks_exact(2) {
                let [left, right] = [pair[0], pair[1]].map(|x| x.clamp(0.0, side_px as f64));
                add_span(row, left, right);
            }
        }
        row.iter_mut().for_each(|v: &mut f32| *v = v.min(1.0));
    }
    mask
}

/// Adds what a row of samples from `left` to `right` covers of each pixel.
fn add_span(row: &mut [f32], left: f64, right: f64) {
    let share = |x: usize| {
        let part = (right.min(x as f64 + 1.0) - left.max(x as f64)).max(0.0);
        part as f32 / SUB_ROWS as f32
    };
    let (first, end) = (left as usize, right.ceil() as usize);
    if end <= first {
        return;
    }
    // All pixels between the two ends are covered as wide as they are.
    row[first] += share(first);
    if end - first > 1 {
        row[first + 1..end - 1].iter_mut().for_each(|v| *v += 1.0 / SUB_ROWS as f32);
        row[end - 1] += share(end - 1);
    }
}

/// Where the line at height `y` enters and leaves the polygon, in turns, from the left.
fn crossings(polygon: &[CropPx], y: f64, ends: &mut Vec<f64>) {
    ends.clear();
    for (i, a) in polygon.iter().enumerate() {
        let b = &polygon[(i + 1) % polygon.len()];
        if (a.y <= y) != (b.y <= y) {
            ends.push(a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
        }
    }
    ends.sort_by(f64::total_cmp);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(x: f64, y: f64) -> CropPx {
        CropPx { x, y }
    }

    #[test]
    fn the_area_of_a_triangle_is_kept() {
        let triangle = convex_hull(&[p(2.25, 3.0), p(17.5, 5.5), p(8.0, 18.75), p(9.0, 9.0)]);
        assert_eq!(triangle.len(), 3, "the inner point is dropped");
        let area = 0.5 * ((17.5 - 2.25) * (18.75 - 3.0) - (5.5 - 3.0) * (8.0 - 2.25));
        let mask = coverage(&triangle, 20);
        assert!((f64::from(mask.sum()) - area).abs() < 0.05, "{} {area}", mask.sum());
        assert!((mask[[9, 9]] - 1.0).abs() < 1e-6 && mask[[0, 0]] == 0.0);
    }

    #[test]
    fn what_a_hollow_outline_leaves_open_stays_open() {
        let horseshoe = [
            p(0.0, 0.0),
            p(9.0, 0.0),
            p(9.0, 9.0),
            p(6.0, 9.0),
            p(6.0, 3.0),
            p(3.0, 3.0),
            p(3.0, 9.0),
            p(0.0, 9.0),
        ];
        let mask = coverage(&horseshoe, 9);
        assert!((mask.sum() - 63.0).abs() < 1e-3);
        assert_eq!((mask[[6, 1]], mask[[6, 4]], mask[[6, 7]], mask[[1, 4]]), (1.0, 0.0, 1.0, 1.0));
    }

    #[test]
    fn spans_are_those_of_one_pixel_after_the_other() {
        for i in 0..2000 {
            let (left, right) = (f64::from(i % 40) * 0.21, f64::from(i / 40) * 0.17);
            let (mut row, mut want) = ([0.25_f32; 9], [0.25_f32; 9]);
            add_span(&mut row, left, right);
            for (x, v) in want.iter_mut().enumerate() {
                let part = (right.min(x as f64 + 1.0) - left.max(x as f64)).max(0.0);
                *v += part as f32 / SUB_ROWS as f32;
            }
            assert_eq!(row, want, "{left}..{right}");
        }
    }

    #[test]
    fn whole_pixels_are_exact_and_the_outside_is_cut_off() {
        let mask = coverage(&convex_hull(&[p(-5.0, 1.0), p(3.5, 1.0), p(3.5, 9.0), p(-5.0, 9.0)]), 4);
        let row = [1.0, 1.0, 1.0, 0.5];
        assert_eq!(mask, ndarray::arr2(&[[0.0; 4], row, row, row]));
    }

    #[test]
    fn too_few_points_cover_nothing() {
        for points in [vec![], vec![p(1.0, 1.0)], vec![p(1.0, 1.0), p(2.0, 2.0)], vec![p(f64::NAN, 1.0); 5]] {
            assert!(coverage(&convex_hull(&points), 3).iter().all(|part| part.abs() < f32::EPSILON));
        }
    }
}
