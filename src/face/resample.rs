//! Cutting a rotated square out of a picture: pre-filter, then interpolate.

use ndarray::{Array2, Array3, ArrayView2, Axis, s};

use crate::{
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
    let pixels = picture.rgb_rect(rect);
    let planes: Vec<Array2<f32>> = pixels
        .axis_iter(Axis(0))
        .map(|plane| if factor > 1 { averaged(plane, factor) } else { plane.to_owned() })
        .map(|plane| if taps.len() > 1 { blurred(plane, &taps) } else { plane })
        .collect();
    let origin = FramePx { x: rect.x0 as f64, y: rect.y0 as f64 };
    interpolate(&planes, origin, factor as f64, alignment, side_px, interpolation)
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

/// Averages blocks of `factor` x `factor` pixels; the last blocks may be cut off.
fn averaged(plane: ArrayView2<'_, f32>, factor: usize) -> Array2<f32> {
    let (h, w) = plane.dim();
    Array2::from_shape_fn([h.div_ceil(factor), w.div_ceil(factor)], |(y, x)| {
        let (y, x) = (y * factor, x * factor);
        let block = plane.slice(s![y..(y + factor).min(h), x..(x + factor).min(w)]);
        block.sum() / block.len() as f32
    })
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

/// Convolves rows, then columns, with the border pixels going on outside.
fn blurred(plane: Array2<f32>, taps: &[f32]) -> Array2<f32> {
    let pass = |plane: &Array2<f32>, axis: Axis| {
        let (radius, last) = (taps.len() / 2, plane.len_of(axis) - 1);
        let mut result = Array2::zeros(plane.dim());
        for (i, mut line) in result.axis_iter_mut(axis).enumerate() {
            for (k, tap) in taps.iter().enumerate() {
                line.scaled_add(*tap, &plane.index_axis(axis, (i + k).saturating_sub(radius).min(last)));
            }
        }
        result
    };
    pass(&pass(&plane, Axis(0)), Axis(1))
}

/// Samples of `planes`, whose pixels are `factor` frame pixels wide and start at `origin`.
fn interpolate(
    planes: &[Array2<f32>],
    origin: FramePx,
    factor: f64,
    alignment: &Similarity,
    side_px: usize,
    interpolation: Interpolation,
) -> Array3<f32> {
    let mut result = Array3::zeros([planes.len(), side_px, side_px]);
    let Some((h, w)) = planes.first().map(Array2::dim) else { return result };
    let planes: Vec<&[f32]> = planes.iter().filter_map(|plane| plane.as_slice()).collect(); // all made in standard layout
    let start = alignment.to_frame(CropPx { x: 0.5, y: 0.5 });
    let next = alignment.to_frame(CropPx { x: 1.5, y: 0.5 });
    let (dx, dy) = ((next.x - start.x) / factor, (next.y - start.y) / factor);
    let (x0, y0) = ((start.x - origin.x) / factor - 0.5, (start.y - origin.y) / factor - 0.5);
    for y in 0..side_px {
        for x in 0..side_px {
            let (cx, cy) = (x as f64, y as f64);
            // Far outside, all is border: clamping keeps the whole numbers small.
            let sx = (x0 + dx * cx - dy * cy).clamp(-3.0, w as f64 + 2.0);
            let sy = (y0 + dy * cx + dx * cy).clamp(-3.0, h as f64 + 2.0);
            let (left, top) = (sx.floor(), sy.floor());
            let (fx, fy) = ((sx - left) as f32, (sy - top) as f32);
            let (left, top) = (left as isize, top as isize);
            for (channel, plane) in planes.iter().enumerate() {
                result[[channel, y, x]] = match interpolation {
                    Interpolation::Bilinear => {
                        gather(plane, (w, h), (left, top), [1.0 - fx, fx], [1.0 - fy, fy])
                    }
                    Interpolation::Bicubic => {
                        let (wx, wy) = (catmull_rom(fx), catmull_rom(fy));
                        gather(plane, (w, h), (left - 1, top - 1), wx, wy).clamp(0.0, 1.0)
                    }
                };
            }
        }
    }
    result
}

/// The weighted sum of N x N pixels from `corner` on.
fn gather<const N: usize>(
    pixels: &[f32],
    (w, h): (usize, usize),
    (x0, y0): (isize, isize),
    wx: [f32; N],
    wy: [f32; N],
) -> f32 {
    let n = N as isize;
    let mut sum = 0.0;
    if x0 >= 0 && y0 >= 0 && x0 + n <= w as isize && y0 + n <= h as isize {
        for (j, wy) in wy.iter().enumerate() {
            let start = (y0 as usize + j) * w + x0 as usize;
            sum += wy * pixels[start..start + N].iter().zip(wx).map(|(p, wx)| p * wx).sum::<f32>();
        }
        return sum;
    }
    let clamped = |i: isize, length: usize| i.clamp(0, length as isize - 1) as usize;
    for (j, wy) in wy.iter().enumerate() {
        let row = clamped(y0 + j as isize, h) * w;
        for (i, wx) in wx.iter().enumerate() {
            sum += wy * wx * pixels[row + clamped(x0 + i as isize, w)];
        }
    }
    sum
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
