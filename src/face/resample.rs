//! Cutting a rotated square out of a picture: pre-filter, then interpolate.

use ndarray::Array3;

use crate::{
    blend::sample::{Way, along, between, interleave, repeat_edges},
    dispatch::dispatched,
    frame::{CropPx, FramePx, Rect, Similarity},
    video::Picture,
};

/// How samples between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// 2x2 samples; soft and fast, for networks that were made with it.
    Bilinear,
    /// 4x4 samples, Catmull-Rom; sharp, for pictures that are looked at.
    Bicubic,
}

/// The square `[3, side_px, side_px]` that `alignment` maps the picture to. The border pixels go on outside.
///
/// When the crop is smaller than what it shows, the picture is first averaged over whole pixels, then blurred by a
/// Gaussian for what is left of the factor, so that nothing folds back.
pub fn cut(
    picture: &Picture,
    alignment: &Similarity,
    side_px: usize,
    interpolation: Interpolation,
) -> Array3<f32> {
    let reduction = (1.0 / alignment.scale()).max(1.0);
    // What lies so far outside or is so small that it shows no single pixel has no scale worth keeping.
    let reduction = if reduction.is_finite() { reduction.min(1e4) } else { 1.0 };
    let factor = reduction as usize;
    let sigma = 0.5 * ((reduction / factor as f64).powi(2) - 1.0).max(0.0).sqrt();
    let taps = taps(sigma);
    let rect = source_rect(picture.size_px(), alignment, side_px, factor, taps.len() / 2);
    let pixels = if factor > 1 { picture.rgb_averaged(rect, factor) } else { picture.rgb_rect(rect) };
    let image = Image::blurred(&pixels, &taps);
    let origin = FramePx { x: rect.x0 as f64, y: rect.y0 as f64 };
    image.interpolated(origin, factor as f64, alignment, side_px, interpolation)
}

/// The whole pixels of the frame that the crop needs, with room for the filters. At least one pixel.
fn source_rect(
    size_px: (usize, usize),
    alignment: &Similarity,
    side_px: usize,
    factor: usize,
    taps: usize,
) -> Rect {
    let side = side_px as f64;
    let corners = [(0.0, 0.0), (side, 0.0), (0.0, side), (side, side)];
    let corners = corners.map(|(x, y)| alignment.to_frame(CropPx { x, y }));
    let room = ((3 + taps) * factor) as f64;
    let range = |values: [f64; 4], length: usize| {
        let (least, most) =
            values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        // `as` saturates and sends NaN to 0, so the range below is inside the frame whatever comes in.
        let start = ((least - room).floor().max(0.0) as usize).min(length - 1);
        let end = ((most + room).ceil().max(0.0) as usize).clamp(start + 1, length);
        (start, end)
    };
    let (x0, x1) = range(corners.map(|p| p.x), size_px.0);
    let (y0, y1) = range(corners.map(|p| p.y), size_px.1);
    Rect { x0, y0, x1, y1 }
}

/// Red, green, blue and nothing, so that the four are computed at once.
type Pixel = [f32; 4];

/// Pixels around a picture that repeat its edge: as many as a cubic reaches.
const PAD: usize = 2;

/// A picture, row by row, with its border.
struct Image {
    pixels: Vec<Pixel>,
    /// Pixels of a row, its border among them.
    stride: usize,
}

impl Image {
    /// From planes `[3, height, width]`, whose columns and rows are convolved with `taps`, the border pixels going on outside.
    fn blurred(planes: &Array3<f32>, taps: &[f32]) -> Self {
        let (_, height, width) = planes.dim();
        let (n, radius) = (width * height, taps.len() / 2);
        let stride = width + 2 * PAD;
        let mut pixels = vec![[0.0; 4]; stride * (height + 2 * PAD)];
        let planes = planes.as_slice().expect("a picture that was just read is contiguous");
        // Only as many rows as the convolution looks at lie side by side, so that they stay in the nearest memory.
        let mut near = vec![vec![[0.0; 4]; width]; taps.len()];
        let mut long = vec![[0.0; 4]; width + 2 * radius];
        let mut n_near = 0;
        for y in 0..height {
            while n_near < height.min(y + radius + 1) {
                let [red, green, blue] = [0, 1, 2].map(|c| &planes[c * n + n_near * width..][..width]);
                interleave(red, green, blue, &mut near[n_near % taps.len()]);
                n_near += 1;
            }
            let around = |k: usize| (y + k).saturating_sub(radius).min(height - 1) % taps.len();
            let rows: Vec<&[f32]> = (0..taps.len()).map(|k| near[around(k)].as_flattened()).collect();
            mix(&rows, taps, long[radius..radius + width].as_flattened_mut());
            let (first, last) = (long[radius], long[radius + width - 1]);
            long[..radius].fill(first);
            long[radius + width..].fill(last);
            let shifted: Vec<&[f32]> = (0..taps.len()).map(|k| long[k..k + width].as_flattened()).collect();
            let start = (y + PAD) * stride + PAD;
            mix(&shifted, taps, pixels[start..start + width].as_flattened_mut());
        }
        repeat_edges(&mut pixels, stride, PAD);
        Self { pixels, stride }
    }

    /// Samples, `[3, side_px, side_px]`, where a pixel is `factor` frame pixels wide and the first starts at `origin`.
    fn interpolated(
        &self,
        origin: FramePx,
        factor: f64,
        alignment: &Similarity,
        side_px: usize,
        interpolation: Interpolation,
    ) -> Array3<f32> {
        let start = alignment.to_frame(CropPx { x: 0.5, y: 0.5 });
        let next = alignment.to_frame(CropPx { x: 1.5, y: 0.5 });
        let (dx, dy) = ((next.x - start.x) / factor, (next.y - start.y) / factor);
        let place = |at: f64, origin: f64| (at - origin) / factor - 0.5 + PAD as f64;
        let (x0, y0) = (place(start.x, origin.x), place(start.y, origin.y));
        let mut result = Array3::zeros([3, side_px, side_px]);
        let Some(planes) = result.as_slice_mut() else { return result };
        let (red, rest) = planes.split_at_mut(side_px * side_px);
        let (green, blue) = rest.split_at_mut(side_px * side_px);
        let rows = red.chunks_exact_mut(side_px).zip(green.chunks_exact_mut(side_px));
        for (cy, ((red, green), blue)) in rows.zip(blue.chunks_exact_mut(side_px)).enumerate() {
            let cy = cy as f64;
            let way = Way { start: (x0 - dy * cy, y0 + dx * cy), step: (dx, dy) };
            match interpolation {
                Interpolation::Bilinear => between(&self.pixels, self.stride, way, [red, green, blue]),
                Interpolation::Bicubic => along(&self.pixels, self.stride, way, [red, green, blue]),
            }
        }
        if interpolation == Interpolation::Bicubic {
            // A cubic goes beyond the values that it lies between.
            planes.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        result
    }
}

dispatched! {
    /// Rows added up, each with its weight.
    fn mix as mix_plain(rows: &[&[f32]], weights: &[f32], out: &mut [f32]) {
        if let ([row], [1.0]) = (rows, weights) {
            return out.copy_from_slice(row);
        }
        if let ([a, b, c], [x, y, z]) = (rows, weights) {
            for (((out, a), b), c) in out.iter_mut().zip(*a).zip(*b).zip(*c) {
                *out = x * a + y * b + z * c;
            }
            return;
        }
        out.fill(0.0);
        for (row, weight) in rows.iter().zip(weights) {
            out.iter_mut().zip(*row).for_each(|(out, value)| *out += weight * value);
        }
    }
}

/// Weights of a Gaussian, an odd number of them with sum 1; a single 1 when `sigma` is too small to matter.
fn taps(sigma: f64) -> Vec<f32> {
    if sigma < 0.2 {
        return vec![1.0];
    }
    let radius = (3.0 * sigma).ceil() as i32;
    let weight = |i: i32| (-0.5 * (f64::from(i) / sigma).powi(2)).exp();
    let sum: f64 = (-radius..=radius).map(weight).sum();
    (-radius..=radius).map(|i| (weight(i) / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys' cubic with a = -1/2 at the distance `t`.
    fn cubic(t: f64) -> f64 {
        let t = t.abs();
        match t {
            _ if t < 1.0 => 1.0 + t * t * (1.5 * t - 2.5),
            _ if t < 2.0 => 2.0 + t * (-4.0 + t * (2.5 - 0.5 * t)),
            _ => 0.0,
        }
    }

    fn tent(t: f64) -> f64 {
        (1.0 - t.abs()).max(0.0)
    }

    #[test]
    fn samples_are_weighted_sums_of_the_pixels_around_them() {
        let (width, height) = (23, 19);
        let value = |(c, y, x): (usize, usize, usize)| {
            ((c * 437 + y * 23 + x).wrapping_mul(2_654_435_761) >> 7 & 0xff) as f32 / 255.0
        };
        let planes = Array3::from_shape_fn((3, height, width), value);
        let image = Image::blurred(&planes, &[1.0]);
        // Two samples to a pixel, turned, around a place: within the picture, out of it on some sides and on all, far out.
        for (degrees, side_px, (x, y)) in [
            (30.0_f64, 16, (11.5, 9.5)),
            (0.0, 16, (11.5, 9.5)),
            (30.0, 80, (11.5, 9.5)),
            (90.0, 40, (2.0, 17.0)),
            (10.0, 8, (-300.0, 9.5)),
        ] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let (a, b, half) = (2.0 * cos, -2.0 * sin, side_px as f64 / 2.0);
            let alignment = Similarity { a, b, tx: half - (a * x - b * y), ty: half - (b * x + a * y) };
            for (interpolation, kernel) in
                [(Interpolation::Bilinear, tent as fn(f64) -> f64), (Interpolation::Bicubic, cubic)]
            {
                let got = image.interpolated(FramePx::default(), 1.0, &alignment, side_px, interpolation);
                for ((c, cy, cx), got) in got.indexed_iter() {
                    let p = alignment.to_frame(CropPx { x: cx as f64 + 0.5, y: cy as f64 + 0.5 });
                    // Outside it goes on as it is at the edge.
                    let x = (p.x - 0.5).clamp(-1.0, width as f64);
                    let y = (p.y - 0.5).clamp(-1.0, height as f64);
                    let (left, top) = (x.floor() as isize, y.floor() as isize);
                    let mut want = 0.0;
                    for (i, j) in (top - 1..top + 3).flat_map(|i| (left - 1..left + 3).map(move |j| (i, j))) {
                        let row = i.clamp(0, height as isize - 1) as usize;
                        let column = j.clamp(0, width as isize - 1) as usize;
                        let weight = kernel(y - i as f64) * kernel(x - j as f64);
                        want += weight * f64::from(planes[[c, row, column]]);
                    }
                    let error = (f64::from(*got) - want.clamp(0.0, 1.0)).abs();
                    assert!(
                        error < 1e-4,
                        "{interpolation:?}, {degrees}: {c} at ({cx}, {cy}) is off by {error}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_single_pixel_is_a_picture() {
        let image = Image::blurred(&Array3::from_elem((3, 1, 1), 0.25), &[0.25, 0.5, 0.25]);
        let alignment = Similarity { a: 4.0, b: 1.0, tx: 0.0, ty: 0.0 };
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            let got = image.interpolated(FramePx::default(), 1.0, &alignment, 5, interpolation);
            assert!(got.iter().all(|v| (v - 0.25).abs() < 1e-6), "{got}");
        }
    }
}
