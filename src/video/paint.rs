//! Painting: RGB differences added to a picture, so that only what differs is touched.

use std::ops::Range;

use ndarray::{Array2, Array3};

use super::{
    layout::Channel,
    picture::{Picture, Sample},
};
use crate::{dispatch::dispatched, frame::Rect};

impl Picture {
    /// Adds an RGB difference, `[3, height, width]` of `rect`, to the picture.
    ///
    /// The difference goes through the picture's own matrix, and chroma takes the mean of it around each sample's
    /// position. A sample whose own difference is 0 keeps its bits; so does a chroma sample when all of its own
    /// pixels have none. Others are rounded, and clipped to the codes that the standard allows (or to where they
    /// were, if they were outside already). Samples that are shared with clones are copied first. What lies
    /// beyond the right or bottom edge is ignored.
    ///
    /// # Panics
    /// If `delta` hasn't the shape of `rect`.
    pub fn add_rgb(&mut self, rect: Rect, delta: &Array3<f32>) {
        assert_eq!(delta.dim(), (3, rect.height(), rect.width()), "the difference has the rectangle's shape");
        let delta = delta.as_standard_layout();
        self.add_rgb_part(rect, delta.as_slice().expect("standard layout is contiguous"), rect);
    }

    /// The same for the part `rect` of three planes over `whole`, which holds it.
    ///
    /// # Panics
    /// If the planes haven't that size.
    pub(crate) fn add_rgb_part(&mut self, rect: Rect, planes: &[f32], whole: Rect) {
        let (width, height) = self.size_px();
        let clipped = Rect { x1: rect.x1.min(width), y1: rect.y1.min(height), ..rect };
        if clipped.x0 >= clipped.x1 || clipped.y0 >= clipped.y1 {
            return;
        }
        assert_eq!(planes.len(), 3 * whole.width() * whole.height(), "three planes of the rectangle's size");
        let delta = Delta { planes, whole, rect: clipped };
        if delta.is_nothing() {
            return;
        }
        self.make_writable();
        if self.layout().wide { self.add_as::<u16>(&delta) } else { self.add_as::<u8>(&delta) }
    }

    /// Shows a map, `[height, width]`, 0 for black to 1 for white, in the place of all colours. Alpha stays as it is.
    ///
    /// # Panics
    /// If the map isn't as large as the picture.
    pub fn show_gray(&mut self, map: &Array2<f32>) {
        let (width, height) = self.size_px();
        assert_eq!(map.dim(), (height, width), "a map of the picture's size");
        self.make_writable();
        if self.layout().wide { self.show_gray_as::<u16>(map) } else { self.show_gray_as::<u8>(map) }
    }

    fn show_gray_as<T: Sample>(&mut self, map: &Array2<f32>) {
        let (layout, (width, height)) = (*self.layout(), self.size_px());
        for (i, channel) in layout.channels[..layout.n_channels].iter().enumerate() {
            let is_chroma = i > 0 && !layout.is_rgb;
            let n = width.div_ceil(1 << channel.shift_x) * channel.step;
            for y in 0..height.div_ceil(1 << channel.shift_y) {
                let row = self.row_mut::<T>(channel.plane, y, n);
                for (x, sample) in row.iter_mut().skip(channel.offset).step_by(channel.step).enumerate() {
                    let value = if is_chroma { 0.0 } else { map[[y, x]].clamp(0.0, 1.0) };
                    *sample = T::from_code((channel.zero + channel.gain * value).round());
                }
            }
        }
    }

    fn add_as<T: Sample>(&mut self, delta: &Delta) {
        let layout = *self.layout();
        for (i, channel) in layout.channels[..layout.n_channels].iter().enumerate() {
            let weights = layout.from_rgb[i];
            if channel.shift_x == 0 && channel.shift_y == 0 {
                self.add_full::<T>(channel, weights, delta);
            } else {
                self.add_sparse::<T>(channel, weights, delta, layout.siting);
            }
        }
    }

    /// A channel that has a sample for every pixel.
    fn add_full<T: Sample>(&mut self, channel: &Channel, weights: [f32; 3], delta: &Delta) {
        let (rect, n, dither) = (delta.rect, self.size_px().0 * channel.step, Dither::of(self.bit_depth()));
        let (mut row_delta, mut thresholds) = (vec![0.0; rect.width()], vec![0.5; rect.width()]);
        for y in rect.y0..rect.y1 {
            delta.row(y, weights, &mut row_delta);
            dither.row(rect.x0, y, &mut thresholds);
            let row =
                &mut self.row_mut::<T>(channel.plane, y, n)[rect.x0 * channel.step..rect.x1 * channel.step];
            if channel.step == 1 {
                add_row(row, &row_delta, &thresholds, channel);
            } else {
                let changes = row_delta.iter().zip(&thresholds);
                let row = row.iter_mut().skip(channel.offset).step_by(channel.step);
                row.zip(changes).for_each(|(s, (d, t))| add(s, *d, *t, channel));
            }
        }
    }

    /// A channel that has fewer samples than pixels: each takes the mean over a box around its position.
    fn add_sparse<T: Sample>(
        &mut self,
        channel: &Channel,
        weights: [f32; 3],
        delta: &Delta,
        (place_x, place_y): (f32, f32),
    ) {
        let (rect, (width, height), dither) = (delta.rect, self.size_px(), Dither::of(self.bit_depth()));
        let (shift_x, shift_y) = (channel.shift_x, channel.shift_y);
        let (box_x, box_y) = (box_taps(shift_x, place_x), box_taps(shift_y, place_y));
        let first_step = box_x.first().map_or(0, |(step, _)| *step);
        let (first, last) = (rect.x0 >> shift_x, (rect.x1 - 1) >> shift_x);
        let mut row_delta = vec![0.0; rect.width()];
        let (mut sums, mut own) = (vec![0.0_f32; rect.width()], vec![0.0_f32; rect.width()]);
        let pairs = Pairs::of(rect, shift_x, &box_x, width).filter(|_| channel.step == 1);
        let mut thresholds = vec![0.5; last + 1 - first];
        for sample_y in rect.y0 >> shift_y..=(rect.y1 - 1) >> shift_y {
            sums.fill(0.0);
            own.fill(0.0);
            let mut total = 0.0;
            for &(step, weight) in &box_y {
                let Some(y) = (sample_y << shift_y).checked_add_signed(step).filter(|y| *y < height) else {
                    continue;
                };
                total += weight;
                if !(rect.y0..rect.y1).contains(&y) {
                    continue;
                }
                delta.row(y, weights, &mut row_delta);
                let is_own = if y >> shift_y == sample_y { 1.0 } else { 0.0 };
                gather(&row_delta, weight, is_own, &mut sums, &mut own);
            }
            let row = self.row_mut::<T>(channel.plane, sample_y, width.div_ceil(1 << shift_x) * channel.step);
            let mut one_by_one = [first..last + 1, 0..0];
            if let Some(Pairs { samples, taps, start }) = &pairs {
                let thresholds = &mut thresholds[..samples.len()];
                dither.row(samples.start, sample_y, thresholds);
                let sums = (&sums[*start..], *taps, 1.0 / total);
                add_pairs(&mut row[samples.clone()], sums, &own[*start + 1..], thresholds, channel);
                one_by_one = [first..samples.start, samples.end..last + 1];
            }
            for sample_x in one_by_one.into_iter().flatten() {
                let x0 = sample_x << shift_x;
                let pixels = x0.max(rect.x0) - rect.x0..(x0 + (1 << shift_x)).min(rect.x1) - rect.x0;
                if own[pixels].iter().all(|d| *d == 0.0) {
                    continue;
                }
                let (begin, end) =
                    (x0 as isize + first_step, x0 as isize + first_step + box_x.len() as isize);
                let (mut sum, mut total_x) = (0.0, 1.0);
                if begin >= rect.x0 as isize && end <= rect.x1 as isize {
                    // All of the box is inside, as most are.
                    let inside = &sums[begin as usize - rect.x0..];
                    box_x.iter().zip(inside).for_each(|((_, weight), d)| sum += weight * d);
                } else {
                    total_x = 0.0;
                    for &(step, weight) in &box_x {
                        let Some(x) = x0.checked_add_signed(step).filter(|x| *x < width) else { continue };
                        total_x += weight;
                        if (rect.x0..rect.x1).contains(&x) {
                            sum += weight * sums[x - rect.x0];
                        }
                    }
                }
                let threshold = dither.at(sample_x, sample_y);
                add(
                    &mut row[sample_x * channel.step + channel.offset],
                    sum / (total * total_x),
                    threshold,
                    channel,
                );
            }
        }
    }
}

/// An RGB difference, planes over `whole`, and the part of it that is painted, inside the picture.
struct Delta<'a> {
    planes: &'a [f32],
    whole: Rect,
    rect: Rect,
}

impl Delta<'_> {
    /// One channel's difference along a row of the picture.
    fn row(&self, y: usize, weights: [f32; 3], to: &mut [f32]) {
        weigh(self.rows(y), weights, to);
    }

    /// Red, green and blue along a row of the picture.
    fn rows(&self, y: usize) -> [&[f32]; 3] {
        let (n, width) = (self.whole.width() * self.whole.height(), self.whole.width());
        let start = (y - self.whole.y0) * width + self.rect.x0 - self.whole.x0;
        [0, 1, 2].map(|plane| &self.planes[plane * n + start..][..self.rect.width()])
    }

    fn is_nothing(&self) -> bool {
        let mut rows = (self.rect.y0..self.rect.y1).flat_map(|y| self.rows(y));
        rows.all(|row| row.iter().all(|d| *d == 0.0))
    }
}

dispatched! {
    /// Red, green and blue, weighed.
    fn weigh as weigh_plain(rows: [&[f32]; 3], weights: [f32; 3], to: &mut [f32]) {
        let [r, g, b] = rows;
        for (((out, r), g), b) in to.iter_mut().zip(r).zip(g).zip(b) {
            *out = weights[0] * r + weights[1] * g + weights[2] * b;
        }
    }
}

/// Where the border between two codes is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Dither {
    /// In the middle.
    Off,
    /// Elsewhere for each sample, in a pattern without visible structure that stays where it is from frame to frame:
    /// what is between two codes becomes a mixture of both, so that soft gradients don't break into steps.
    Pattern,
}

impl Dither {
    /// Steps can be seen in 8 bits, and not beyond.
    fn of(bit_depth: u8) -> Self {
        if bit_depth > 8 { Self::Off } else { Self::Pattern }
    }

    /// How much a code is raised before it is cut, 0..1 without the ends.
    ///
    /// Interleaved gradient noise (Jimenez, "Next Generation Post Processing in Call of Duty: Advanced Warfare", 2014).
    fn at(self, x: usize, y: usize) -> f32 {
        match self {
            Self::Off => 0.5,
            Self::Pattern => pattern(x as f32, y as f32),
        }
    }

    /// The same for samples of one row from `x0` on.
    fn row(self, x0: usize, y: usize, to: &mut [f32]) {
        if self == Self::Pattern {
            pattern_row(x0 as i32, y as i32, to);
        }
    }
}

dispatched! {
    fn pattern_row as pattern_row_plain(x0: i32, y: i32, to: &mut [f32]) {
        for (i, out) in to.iter_mut().enumerate() {
            *out = pattern((x0 + i as i32) as f32, y as f32);
        }
    }
}

fn pattern(x: f32, y: f32) -> f32 {
    let place = fraction(0.067_110_56 * x + 0.005_837_15 * y);
    0.01 + 0.98 * fraction(52.982_918 * place)
}

/// The chroma samples of a row that have two pixels of their own and a box that reaches at most one pixel further on
/// both sides, all within a rectangle of the picture.
struct Pairs {
    samples: Range<usize>,
    /// Weights of the pixel before, of its own two and of the next.
    taps: [f32; 4],
    /// Where in a row of the rectangle the first one's box begins.
    start: usize,
}

impl Pairs {
    fn of(rect: Rect, shift: usize, box_x: &[(isize, f32)], width: usize) -> Option<Self> {
        let mut taps = [0.0; 4];
        for (step, weight) in box_x {
            *taps.get_mut(usize::try_from(step + 1).ok()?)? = *weight;
        }
        let samples = (rect.x0 + 1).div_ceil(2)..(rect.x1.min(width) - 1) / 2;
        let is_some = shift == 1 && samples.start < samples.end;
        is_some.then(|| Self { start: 2 * samples.start - 1 - rect.x0, samples, taps })
    }
}

dispatched! {
    /// Adds a row's share to sums, and the size of what belongs to the samples themselves.
    fn gather as gather_plain(row: &[f32], weight: f32, is_own: f32, sums: &mut [f32], own: &mut [f32]) {
        for ((sum, own), d) in sums.iter_mut().zip(own).zip(row) {
            *sum += weight * d;
            *own += is_own * d.abs();
        }
    }
}

dispatched! {
    /// [`add`] for a row of samples.
    fn add_row as add_row_plain<T: Sample>(row: &mut [T], delta: &[f32], thresholds: &[f32], channel: &Channel) {
        for ((sample, d), t) in row.iter_mut().zip(delta).zip(thresholds) {
            add(sample, *d, *t, channel);
        }
    }
}

dispatched! {
    /// [`add`] for [`Pairs`]: `sums` are a row's, its taps and their factor; `own` says which pixels changed at all.
    fn add_pairs as add_pairs_plain<T: Sample>(
        row: &mut [T],
        sums: (&[f32], [f32; 4], f32),
        own: &[f32],
        thresholds: &[f32],
        channel: &Channel,
    ) {
        let (sums, taps, factor) = sums;
        let (before, own) = (sums.as_chunks::<2>().0, own.as_chunks::<2>().0);
        let after = sums.get(2..).unwrap_or_default().as_chunks::<2>().0;
        let samples = row.iter_mut().zip(thresholds).zip(own);
        for (((sample, threshold), own), (a, b)) in samples.zip(before.iter().zip(after)) {
            let sum = (taps[0] * a[0] + taps[1] * a[1]) + (taps[2] * b[0] + taps[3] * b[1]);
            let delta = if own[0] + own[1] > 0.0 { sum * factor } else { 0.0 };
            add(sample, delta, *threshold, channel);
        }
    }
}

/// What follows the point of a number, 0 to 4 million, by additions alone, which all processors do in rows.
fn fraction(v: f32) -> f32 {
    // From here on numbers are whole, so that the sum is rounded.
    const WHOLE: f32 = 8_388_608.0;
    let rest = v - (v + WHOLE - WHOLE);
    if rest < 0.0 { rest + 1.0 } else { rest }
}

/// Adds a normalised difference to a sample.
fn add<T: Sample>(sample: &mut T, delta: f32, threshold: f32, channel: &Channel) {
    let old = sample.code();
    let (low, high) = (channel.lowest.min(old), channel.highest.max(old));
    // Not `clamp`, which asks whether the limits are in order for every sample.
    let new = (old + delta * channel.gain).max(low).min(high);
    // `old` itself is whole, so that a difference of 0 is cut back to it.
    *sample = T::from_code(new + threshold);
}

/// The box around a chroma sample that sits at `place`: steps from its first luma pixel, and their weights.
fn box_taps(shift: usize, place: f32) -> Vec<(isize, f32)> {
    if shift == 0 {
        return vec![(0, 1.0)];
    }
    let half = (1 << shift) as f32 / 2.0;
    let overlap = |step: isize| {
        let (low, high) = (step as f32 - 0.5, step as f32 + 0.5);
        (high.min(place + half) - low.max(place - half)).max(0.0)
    };
    let span = 1_isize << shift;
    (-span..2 * span).map(|step| (step, overlap(step) / (2.0 * half))).filter(|(_, w)| *w > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_those_of_the_standard_library() {
        for i in 0..200_000 {
            let v = i as f32 * 0.067_110_56;
            assert_eq!(fraction(v).to_bits(), v.fract().to_bits(), "{v}");
        }
        assert_eq!(
            [0.0, 0.5, 1.0, 1.5, 2.5, 0.999_999_94].map(fraction),
            [0.0, 0.5, 0.0, 0.5, 0.5, 0.999_999_94]
        );
    }

    #[test]
    fn a_map_is_shown_in_the_codes_of_every_kind_of_format() {
        use ffmpeg_next::format::Pixel;

        let map = Array2::from_shape_fn((4, 6), |(y, x)| if y > 2 { 1.5 } else { x as f32 / 5.0 });
        // White, two fifths, and chroma, or the blue of two fifths.
        for (format, white, middle, third) in [
            (Pixel::YUV420P, 235, 104, 128),
            (Pixel::YUVJ444P, 255, 102, 128),
            (Pixel::YUV422P10LE, 940, 414, 512),
            (Pixel::GBRP12LE, 4095, 1638, 1638),
            (Pixel::GRAY8, 255, 102, 102),
            (Pixel::NV12, 235, 104, 128),
        ] {
            let mut picture = Picture::blank(format, 6, 4);
            picture.show_gray(&map);
            let layout = *picture.layout();
            let code = |channel: &Channel, x: usize, y: usize| -> u32 {
                let (n, at) = ((x + 1) * channel.step, x * channel.step + channel.offset);
                if layout.wide {
                    picture.row::<u16>(channel.plane, y, n)[at].into()
                } else {
                    picture.row::<u8>(channel.plane, y, n)[at].into()
                }
            };
            let [first, .., last] = layout.channels;
            assert_eq!([code(&first, 0, 3), code(&first, 2, 0)], [white, middle], "{format:?}");
            assert_eq!(code(&last, 2, 0), third, "{format:?}");
        }
    }
}
