//! Cutting a rotated square out of a picture: pre-filter, then interpolate.

use ndarray::Array3;

use crate::{
    blend::sample::interleave,
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
    let image = Image::interleaved(&pixels);
    let image = if taps.len() > 1 { image.blurred(&taps) } else { image };
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

/// A picture, row by row.
struct Image {
    pixels: Vec<Pixel>,
    width: usize,
    height: usize,
}

impl Image {
    /// From planes `[3, height, width]`.
    fn interleaved(planes: &Array3<f32>) -> Self {
        let (_, height, width) = planes.dim();
        let n = width * height;
        let mut pixels = vec![[0.0; 4]; n];
        let planes = planes.as_slice().expect("a picture that was just read is contiguous");
        interleave(&planes[..n], &planes[n..2 * n], &planes[2 * n..], &mut pixels);
        Self { pixels, width, height }
    }

    /// Convolves columns, then rows, with the border pixels going on outside.
    fn blurred(&self, taps: &[f32]) -> Self {
        let (w, h, radius) = (self.width, self.height, taps.len() / 2);
        let mut pixels = vec![[0.0; 4]; w * h];
        let mut long = vec![[0.0; 4]; w + 2 * radius];
        for (y, result) in pixels.chunks_mut(w).enumerate() {
            long.fill([0.0; 4]);
            for (k, tap) in taps.iter().enumerate() {
                let start = (y + k).saturating_sub(radius).min(h - 1) * w;
                add(&mut long[radius..radius + w], &self.pixels[start..start + w], *tap);
            }
            let (first, last) = (long[radius], long[radius + w - 1]);
            long[..radius].fill(first);
            long[radius + w..].fill(last);
            for (k, tap) in taps.iter().enumerate() {
                add(result, &long[k..], *tap);
            }
        }
        Self { pixels, width: w, height: h }
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
        let size = (self.width, self.height);
        let start = alignment.to_frame(CropPx { x: 0.5, y: 0.5 });
        let next = alignment.to_frame(CropPx { x: 1.5, y: 0.5 });
        let (dx, dy) = ((next.x - start.x) / factor, (next.y - start.y) / factor);
        let (x0, y0) = ((start.x - origin.x) / factor - 0.5, (start.y - origin.y) / factor - 0.5);
        let at = |cx: f64, cy: f64| (x0 + dx * cx - dy * cy, y0 + dy * cx + dx * cy);
        let end = side_px as f64 - 1.0;
        // A similarity maps the square to a square: it lies inside when its corners do.
        let is_inside = [(0.0, 0.0), (end, 0.0), (0.0, end), (end, end)].iter().all(|(cx, cy)| {
            let (x, y) = at(*cx, *cy);
            x > 0.01 && y > 0.01 && x < self.width as f64 - 1.01 && y < self.height as f64 - 1.01
        });
        let mut result = Array3::zeros([3, side_px, side_px]);
        let Some(planes) = result.as_slice_mut() else { return result };
        if is_inside && interpolation == Interpolation::Bilinear {
            bilinear_inside(&self.pixels, self.width, ((x0, y0), (dx, dy)), side_px, planes);
            return result;
        }
        let sample = |cx: f64, cy: f64| {
            let (sx, sy) = at(cx, cy);
            // Far outside, all is border: clamping keeps the whole numbers small.
            let sx = sx.clamp(-3.0, self.width as f64 + 2.0);
            let sy = sy.clamp(-3.0, self.height as f64 + 2.0);
            // Rounds down without a library call: `as` cuts towards zero, and the numbers are above -4.
            let (left, top) = ((sx + 4.0) as isize - 4, (sy + 4.0) as isize - 4);
            let (fx, fy) = ((sx - left as f64) as f32, (sy - top as f64) as f32);
            match interpolation {
                Interpolation::Bilinear => {
                    Taps::at(size, (left, top), [1.0 - fx, fx], [1.0 - fy, fy]).sum(&self.pixels)
                }
                Interpolation::Bicubic => {
                    let taps = Taps::at(size, (left - 1, top - 1), catmull_rom(fx), catmull_rom(fy));
                    taps.sum(&self.pixels).map(|value| value.clamp(0.0, 1.0))
                }
            }
        };
        let (red, rest) = planes.split_at_mut(side_px * side_px);
        let (green, blue) = rest.split_at_mut(side_px * side_px);
        let rows = red.chunks_exact_mut(side_px).zip(green.chunks_exact_mut(side_px));
        for (cy, ((red, green), blue)) in rows.zip(blue.chunks_exact_mut(side_px)).enumerate() {
            for (cx, ((red, green), blue)) in red.iter_mut().zip(green).zip(blue).enumerate() {
                [*red, *green, *blue, _] = sample(cx as f64, cy as f64);
            }
        }
        result
    }
}

dispatched! {
    /// Samples of a turned square that lies inside of the picture, its borders out of reach: what [`Taps`] gives there. The
    /// square's first sample and its step to the right are `place`, in pixels; `planes` is `[3, side_px, side_px]`.
    fn bilinear_inside as bilinear_inside_plain(
        pixels: &[Pixel],
        width: usize,
        place: ((f64, f64), (f64, f64)),
        side_px: usize,
        planes: &mut [f32],
    ) {
        let ((x0, y0), (dx, dy)) = place;
        let (red, rest) = planes.split_at_mut(side_px * side_px);
        let (green, blue) = rest.split_at_mut(side_px * side_px);
        let rows = red.chunks_exact_mut(side_px).zip(green.chunks_exact_mut(side_px));
        for (cy, ((red, green), blue)) in rows.zip(blue.chunks_exact_mut(side_px)).enumerate() {
            let (row_x, row_y) = (x0 - dy * cy as f64, y0 + dx * cy as f64);
            for (cx, ((red, green), blue)) in red.iter_mut().zip(green).zip(blue).enumerate() {
                let cx = f64::from(cx as u32);
                let (sx, sy) = (row_x + dx * cx, row_y + dy * cx);
                // Pictures have less than 2^31 pixels a side, and a cast to 32 bits is one instruction.
                let (left, top) = (sx as i32, sy as i32);
                let (fx, fy) = ((sx - f64::from(left)) as f32, (sy - f64::from(top)) as f32);
                let start = top as usize * width + left as usize;
                let (upper, lower) = (&pixels[start..start + 2], &pixels[start + width..start + width + 2]);
                let [r, g, b, _]: Pixel = std::array::from_fn(|k| {
                    let above = upper[0][k] + fx * (upper[1][k] - upper[0][k]);
                    let below = lower[0][k] + fx * (lower[1][k] - lower[0][k]);
                    above + fy * (below - above)
                });
                (*red, *green, *blue) = (r, g, b);
            }
        }
    }
}

dispatched! {
    /// `sums += factor * values`, element by element.
    fn add as add_plain(sums: &mut [Pixel], values: &[Pixel], factor: f32) {
        let (sums, values) = (sums.as_flattened_mut(), values.as_flattened());
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
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

/// The N x N pixels that make one sample, and their weights.
struct Taps<const N: usize> {
    /// Where the rows start in the plane.
    rows: [usize; N],
    /// The columns, and whether they are neighbours.
    columns: [usize; N],
    is_inside: bool,
    wx: [f32; N],
    wy: [f32; N],
}

impl<const N: usize> Taps<N> {
    /// The pixels from `(x0, y0)` on, border pixels going on outside.
    #[inline]
    fn at((w, h): (usize, usize), (x0, y0): (isize, isize), wx: [f32; N], wy: [f32; N]) -> Self {
        let clamped = |i: isize, length: usize| i.clamp(0, length as isize - 1) as usize;
        Self {
            rows: std::array::from_fn(|j| clamped(y0 + j as isize, h) * w),
            columns: std::array::from_fn(|i| clamped(x0 + i as isize, w)),
            is_inside: x0 >= 0 && x0 + N as isize <= w as isize,
            wx,
            wy,
        }
    }

    #[inline]
    fn sum(&self, pixels: &[Pixel]) -> Pixel {
        let mut sum = [0.0; 4];
        for (row, wy) in self.rows.iter().zip(self.wy) {
            if self.is_inside {
                let start = row + self.columns[0];
                for (pixel, wx) in pixels[start..start + N].iter().zip(self.wx) {
                    weigh(&mut sum, pixel, wx * wy);
                }
            } else {
                for (column, wx) in self.columns.iter().zip(self.wx) {
                    weigh(&mut sum, &pixels[row + column], wx * wy);
                }
            }
        }
        sum
    }
}

#[inline]
fn weigh(sum: &mut Pixel, pixel: &Pixel, weight: f32) {
    for c in 0..4 {
        sum[c] += weight * pixel[c];
    }
}

/// Catmull and Rom's cubic (Keys 1981 with a = -1/2) for the pixels at -1, 0, 1, 2 around a sample at `t` in 0..1.
fn catmull_rom(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        0.5 * (-t3 + 2.0 * t2 - t),
        0.5 * (3.0 * t3 - 5.0 * t2 + 2.0),
        0.5 * (-3.0 * t3 + 4.0 * t2 + t),
        0.5 * (t3 - t2),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_way_inside_a_picture_gives_what_the_careful_one_does() {
        let (width, height) = (23, 19);
        let value = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7 & 0xff) as f32 / 255.0;
        let pixels: Vec<Pixel> =
            (0..width * height).map(|i| [value(3 * i), value(3 * i + 1), value(3 * i + 2), 0.0]).collect();
        let image = Image { pixels, width, height };
        // Four samples to two pixels, turned by 30 degrees, around the picture's middle.
        let (sin, cos) = 30.0_f64.to_radians().sin_cos();
        let (a, b) = (2.0 * cos, -2.0 * sin);
        let alignment = Similarity { a, b, tx: 8.0 - (a * 11.5 - b * 9.5), ty: 8.0 - (b * 11.5 + a * 9.5) };
        let got = image.interpolated(FramePx::default(), 1.0, &alignment, 16, Interpolation::Bilinear);
        for (cy, cx) in (0..16).flat_map(|y| (0..16).map(move |x| (y, x))) {
            let p = alignment.to_frame(CropPx { x: cx as f64 + 0.5, y: cy as f64 + 0.5 });
            let (x, y) = (p.x - 0.5, p.y - 0.5);
            assert!(x > 0.0 && y > 0.0 && x < 22.0 && y < 18.0, "the sample lies inside");
            let (fx, fy) = (x.fract() as f32, y.fract() as f32);
            let taps = Taps::at((width, height), (x as isize, y as isize), [1.0 - fx, fx], [1.0 - fy, fy]);
            let want = taps.sum(&image.pixels);
            for c in 0..3 {
                assert!((got[[c, cy, cx]] - want[c]).abs() < 1e-5, "{c} at ({cx}, {cy})");
            }
        }
    }
}
