//! Pictures as RGB: a rectangle at full size, or all of it reduced.

use ndarray::Array3;

use super::{
    layout::Channel,
    picture::{Picture, Sample},
};
use crate::{dispatch::dispatched, frame::Rect};

impl Picture {
    /// A rectangle as RGB, `[3, height, width]`, 0..=1 for legal codes (a little outside for codes below black or
    /// above white), by the picture's own matrix, range and depth. Chroma is bilinear between its sample
    /// positions. Beyond the right and bottom edge the last pixel is repeated.
    pub fn rgb_rect(&self, rect: Rect) -> Array3<f32> {
        if self.layout().wide { self.rect_as::<u16>(rect) } else { self.rect_as::<u8>(rect) }
    }

    /// The whole picture as RGB, `[3, height, width]`, area-filtered by the factor `max_side / long side` (never
    /// enlarged), sides rounded and at least 1.
    pub fn rgb_reduced(&self, max_side: usize) -> Array3<f32> {
        self.rgb_glance(max_side, usize::MAX)
    }

    /// The same from fewer samples: of the rows within each row of the result only `max_rows`, evenly spread, are read.
    pub fn rgb_glance(&self, max_side: usize, max_rows: usize) -> Array3<f32> {
        let (width, height) = self.size_px();
        let factor = max_side.max(1) as f64 / width.max(height) as f64;
        if factor >= 1.0 {
            return self.rgb_rect(Rect { x0: 0, y0: 0, x1: width, y1: height });
        }
        let cells = |full: usize| {
            let n = ((full as f64 * factor).round() as usize).max(1);
            Cells { start: 0.0, step: full as f32 / n as f32, n }
        };
        self.rgb_of_cells(cells(width), cells(height), max_rows)
    }

    /// A rectangle as RGB in means of `side` x `side` pixels, `[3, height / side, width / side]` rounded up: blocks that
    /// begin within the rectangle, cut off by the picture's edge alone.
    pub fn rgb_averaged(&self, rect: Rect, side: usize) -> Array3<f32> {
        let cells = |start: usize, length: usize| Cells {
            start: start as f32,
            step: side as f32,
            n: length.div_ceil(side),
        };
        self.rgb_of_cells(cells(rect.x0, rect.width()), cells(rect.y0, rect.height()), usize::MAX)
    }

    /// Area means over a grid of cells, from `max_rows` rows within each, at least 1.
    fn rgb_of_cells(&self, columns: Cells, rows: Cells, max_rows: usize) -> Array3<f32> {
        let n = columns.n * rows.n;
        let mut out = Array3::zeros((3, rows.n, columns.n));
        let Some(flat) = out.as_slice_mut().filter(|_| n > 0) else { return out };
        for (channel, to) in self.channels().zip(flat.chunks_exact_mut(n)) {
            if self.layout().wide {
                self.reduce::<u16>(channel, columns, rows, max_rows, to);
            } else {
                self.reduce::<u8>(channel, columns, rows, max_rows, to);
            }
        }
        self.to_rgb(flat, n);
        out
    }

    fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.layout().channels[..self.layout().n_channels].iter()
    }

    fn rect_as<T: Sample>(&self, rect: Rect) -> Array3<f32> {
        let (w, h) = (rect.width(), rect.height());
        let mut out = Array3::zeros((3, h, w));
        if w == 0 || h == 0 {
            return out;
        }
        let flat = out.as_slice_mut().expect("a new array is contiguous");
        for (channel, plane) in self.channels().zip(flat.chunks_exact_mut(w * h)) {
            let mut upsampler = Upsampler::new(self, channel, rect);
            for (y, row) in plane.chunks_exact_mut(w).enumerate() {
                upsampler.row::<T>(self, rect.y0 + y, row);
            }
        }
        self.to_rgb(flat, w * h);
        out
    }

    /// From normalised channels to RGB, in place. `planes` holds three planes of `n` values.
    fn to_rgb(&self, planes: &mut [f32], n: usize) {
        let (a, rest) = planes.split_at_mut(n);
        let (b, c) = rest.split_at_mut(n);
        if self.layout().n_channels == 1 {
            b.copy_from_slice(a);
            c.copy_from_slice(a);
            return;
        }
        let m = self.layout().to_rgb;
        if self.layout().is_rgb {
            return;
        }
        mix(a, b, c, m);
    }

    /// A channel, normalised, as area means over a grid of cells.
    fn reduce<T: Sample>(
        &self,
        channel: &Channel,
        columns: Cells,
        rows: Cells,
        max_rows: usize,
        to: &mut [f32],
    ) {
        let (width, height) = self.size_px();
        let (cw, ch) = (width.div_ceil(1 << channel.shift_x), height.div_ceil(1 << channel.shift_y));
        // Cells in the samples of this channel: a chroma sample covers 2^shift luma pixels around its place.
        let (x_offset, y_offset) = self.sample_origin(channel);
        let columns = columns.spans(channel.shift_x, x_offset, cw);
        let rows = rows.spans(channel.shift_y, y_offset, ch);
        let first = columns.iter().map(|span| span.first).min().unwrap_or(0);
        let last = columns.iter().map(|span| span.last).max().unwrap_or(0);
        let (begin, end) = (first * channel.step, (last + 1) * channel.step);
        let (mut whole, mut column_sums) = (vec![0_u32; end - begin], vec![0.0_f32; end - begin]);
        let narrow = Narrow::of(&columns).filter(|_| channel.step == 1);
        for (rows, out) in rows.iter().zip(to.chunks_exact_mut(columns.len())) {
            let samples = |y: usize| &self.row::<T>(channel.plane, y, end)[begin..];
            whole.fill(0);
            let inner = rows.first + 1..rows.last;
            let stride = inner.len().div_ceil(max_rows.max(1)).max(1);
            // Each row that is read stands for those that are not.
            let part = inner.len() as f32 / inner.len().div_ceil(stride).max(1) as f32;
            for y in inner.step_by(stride) {
                add_samples(&mut whole, samples(y));
            }
            let (top, bottom) = (samples(rows.first), samples(rows.last));
            let (row_share, zero) = (rows.share / channel.gain, channel.zero / channel.gain);
            add_edges(&mut column_sums, (&whole, part), (top, rows.first_weight), (bottom, rows.last_weight));
            if let Some(narrow) = &narrow {
                narrow.sum(&column_sums, out);
            } else {
                for (out, column) in out.iter_mut().zip(&columns) {
                    let (from, to) = (column.first - first, column.last - first);
                    let at = |x: usize| column_sums[x * channel.step + channel.offset];
                    let inner: f32 = if channel.step == 1 {
                        column_sums.get(from + 1..to).map_or(0.0, |s| s.iter().sum())
                    } else {
                        (from + 1..to).map(at).sum()
                    };
                    let sum = inner + column.first_weight * at(from) + column.last_weight * at(to);
                    *out = sum * column.share;
                }
            }
            out.iter_mut().for_each(|out| *out = *out * row_share - zero);
        }
    }

    /// Where the area of a channel's first sample begins, in luma pixels from the picture's edge.
    fn sample_origin(&self, channel: &Channel) -> (f32, f32) {
        let begin =
            |shift: usize, place: f32| if shift == 0 { 0.0 } else { place + 0.5 - (1 << shift) as f32 / 2.0 };
        let (sx, sy) = self.layout().siting;
        (begin(channel.shift_x, sx), begin(channel.shift_y, sy))
    }
}

dispatched! {
    /// Colours by a matrix, in place.
    fn mix as mix_plain(a: &mut [f32], b: &mut [f32], c: &mut [f32], m: [[f32; 3]; 3]) {
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            let (y, u, v) = (*a, *b, *c);
            *a = m[0][0] * y + m[0][1] * u + m[0][2] * v;
            *b = m[1][0] * y + m[1][1] * u + m[1][2] * v;
            *c = m[2][0] * y + m[2][1] * u + m[2][2] * v;
        }
    }
}

dispatched! {
    /// Adds a row of samples to the sums of its columns.
    fn add_samples as add_samples_plain<T: Sample>(sums: &mut [u32], samples: &[T]) {
        sums.iter_mut().zip(samples).for_each(|(sum, &s)| *sum += s.into());
    }
}

dispatched! {
    /// The sums of columns whose first and last rows count in part; each with its weight.
    fn add_edges as add_edges_plain<T: Sample>(
        sums: &mut [f32],
        whole: (&[u32], f32),
        top: (&[T], f32),
        bottom: (&[T], f32),
    ) {
        for (((sum, &w), &t), &b) in sums.iter_mut().zip(whole.0).zip(top.0).zip(bottom.0) {
            *sum = whole.1 * w as f32 + top.1 * t.code() + bottom.1 * b.code();
        }
    }
}

/// Equal cells along a side, in luma pixels.
#[derive(Clone, Copy)]
struct Cells {
    start: f32,
    step: f32,
    n: usize,
}

impl Cells {
    /// Their samples in a channel of `n_samples` whose first one begins at `offset` and covers 2^`shift` pixels.
    fn spans(self, shift: usize, offset: f32, n_samples: usize) -> Vec<Span> {
        let edge = |i: usize| {
            let luma = self.start + i as f32 * self.step;
            ((luma - offset) / (1 << shift) as f32).clamp(0.0, n_samples as f32)
        };
        (0..self.n).map(|i| Span::new(edge(i), edge(i + 1), n_samples)).collect()
    }
}

/// A stretch of samples, the first and last of them in part.
struct Span {
    first: usize,
    last: usize,
    first_weight: f32,
    last_weight: f32,
    /// That of one whole sample, 0..=1.
    share: f32,
}

impl Span {
    /// From `begin` to `end` on samples `0..n`, where sample i covers `[i, i + 1)`.
    fn new(begin: f32, end: f32, n: usize) -> Self {
        let first = (begin as usize).min(n - 1);
        let last = (end.ceil() as usize).clamp(first + 1, n) - 1;
        if first == last {
            return Self { first, last, first_weight: 1.0, last_weight: 0.0, share: 1.0 };
        }
        let (first_weight, last_weight) = ((first + 1) as f32 - begin, end - last as f32);
        let length = first_weight + (last - first - 1) as f32 + last_weight;
        Self { first, last, first_weight, last_weight, share: 1.0 / length }
    }
}

/// Spans of a few samples each as a table of weights, the same number for every span, so that no loop of unknown length
/// stands in the way.
struct Narrow(Vec<(usize, [f32; Narrow::MOST])>);

impl Narrow {
    /// Samples of the longest span that is worth it.
    const MOST: usize = 4;

    /// The table for spans that lie close together, the first of all at sample 0; `None` when one is too long.
    fn of(spans: &[Span]) -> Option<Self> {
        let start = spans.iter().map(|span| span.first).min()?;
        let end = spans.iter().map(|span| span.last).max()? + 1 - start;
        let row = |span: &Span| {
            if span.last - span.first >= Self::MOST || end < Self::MOST {
                return None;
            }
            // At the row's end the table begins earlier, with weights of 0.
            let (first, last) = (span.first - start, span.last - start);
            let begin = first.min(end - Self::MOST);
            let mut weights = [0.0; Self::MOST];
            weights[first - begin..=last - begin].fill(span.share);
            weights[first - begin] *= span.first_weight;
            if last > first {
                weights[last - begin] *= span.last_weight;
            }
            Some((begin, weights))
        };
        spans.iter().map(row).collect::<Option<_>>().map(Self)
    }

    /// The means of the spans over `samples`.
    fn sum(&self, samples: &[f32], to: &mut [f32]) {
        for (out, (begin, weights)) in to.iter_mut().zip(&self.0) {
            let s = &samples[*begin..begin + Self::MOST];
            *out = (s[0] * weights[0] + s[1] * weights[1]) + (s[2] * weights[2] + s[3] * weights[3]);
        }
    }
}

/// Gives rows of one channel at luma resolution, normalised.
struct Upsampler<'a> {
    channel: &'a Channel,
    rect: Rect,
    /// Per luma column (row) of a chroma sample: weights of the sample before, of the sample itself and of the next.
    taps_x: Vec<[f32; 3]>,
    taps_y: Vec<[f32; 3]>,
    /// First sample of the row that is needed, and the rows of samples under work with one more at each end.
    first: usize,
    buffer: Vec<f32>,
    /// Samples in a row of the channel, rows of it.
    size: (usize, usize),
}

impl<'a> Upsampler<'a> {
    fn new(picture: &Picture, channel: &'a Channel, rect: Rect) -> Self {
        let (width, height) = picture.size_px();
        let (sx, sy) = picture.layout().siting;
        let size = (width.div_ceil(1 << channel.shift_x), height.div_ceil(1 << channel.shift_y));
        let first = rect.x0 >> channel.shift_x;
        let n = ((rect.x1 - 1) >> channel.shift_x) - first + 1;
        let (taps_x, taps_y) = (taps(channel.shift_x, sx), taps(channel.shift_y, sy));
        Self { channel, rect, taps_x, taps_y, first, buffer: vec![0.0; n + 2], size }
    }

    /// The row at luma height `y`, from the rectangle's left to its right edge.
    fn row<T: Sample>(&mut self, picture: &Picture, y: usize, to: &mut [f32]) {
        let c = self.channel;
        if c.shift_x == 0 && c.shift_y == 0 {
            return self.copy_row::<T>(picture, y, to);
        }
        let scale = 1.0 / c.gain;
        let sample_y = y >> c.shift_y;
        let weights = self.taps_y[y & ((1 << c.shift_y) - 1)];
        self.buffer.fill(-c.zero * scale);
        for (i, weight) in weights.into_iter().enumerate().filter(|(_, w)| *w != 0.0) {
            let sample_y = (sample_y + i).saturating_sub(1).min(self.size.1 - 1);
            let row = picture.row::<T>(c.plane, sample_y, self.size.0 * c.step);
            add_row(row, c, self.first, self.size.0, weight * scale, &mut self.buffer);
        }
        self.spread(to);
    }

    /// From the samples in `buffer` to a row of luma columns.
    fn spread(&self, to: &mut [f32]) {
        let shift = self.channel.shift_x;
        let (mask, skip) = ((1 << shift) - 1, self.rect.x0 - (self.first << shift));
        if shift == 0 {
            to.copy_from_slice(&self.buffer[1..=to.len()]);
        } else if shift == 1 {
            let [even, odd] = [self.taps_x[0], self.taps_x[1]];
            let at = |t: [f32; 3], s: &[f32]| t[0] * s[0] + t[1] * s[1] + t[2] * s[2];
            let (lead, to) = to.split_at_mut(skip);
            lead.iter_mut().for_each(|out| *out = at(odd, &self.buffer));
            for (pair, s) in to.chunks_mut(2).zip(self.buffer[skip..].windows(3)) {
                pair[0] = at(even, s);
                if let [_, second] = pair {
                    *second = at(odd, s);
                }
            }
        } else {
            for (x, out) in to.iter_mut().enumerate() {
                let x = x + skip;
                let (t, s) = (self.taps_x[x & mask], &self.buffer[x >> shift..][..3]);
                *out = t[0] * s[0] + t[1] * s[1] + t[2] * s[2];
            }
        }
    }

    fn copy_row<T: Sample>(&self, picture: &Picture, y: usize, to: &mut [f32]) {
        let (c, (w, h)) = (self.channel, self.size);
        let row = picture.row::<T>(c.plane, y.min(h - 1), w * c.step);
        let scale = 1.0 / c.gain;
        let x1 = self.rect.x1.min(w).max(self.rect.x0);
        let inside = (x1 - self.rect.x0).min(to.len());
        if c.step == 1 {
            let row = &row[self.rect.x0.min(w)..x1.min(w)];
            to.iter_mut().zip(row).for_each(|(out, s)| *out = (s.code() - c.zero) * scale);
        } else {
            for (out, x) in to.iter_mut().zip(self.rect.x0..x1) {
                *out = (row[x * c.step + c.offset].code() - c.zero) * scale;
            }
        }
        let last = (row[(w - 1) * c.step + c.offset].code() - c.zero) * scale;
        to[inside..].fill(last);
    }
}

/// Adds `weight` times samples `first - 1 ..` of a row to `to`, edges repeated.
fn add_row<T: Sample>(row: &[T], c: &Channel, first: usize, n: usize, weight: f32, to: &mut [f32]) {
    let at = |x: usize| row[x.min(n - 1) * c.step + c.offset].code() * weight;
    let last = to.len() - 1;
    to[0] += at(first.saturating_sub(1));
    // Whatever lies beyond the row's end is done one by one, the rest in one go.
    let inside = n.saturating_sub(first).min(last);
    if c.step == 1 {
        let row = row.get(first..first + inside).unwrap_or_default();
        to[1..].iter_mut().zip(row).for_each(|(out, s)| *out += s.code() * weight);
    } else {
        let row = row.get(first * c.step..(first + inside) * c.step).unwrap_or_default();
        to[1..]
            .iter_mut()
            .zip(row.chunks_exact(c.step))
            .for_each(|(out, s)| *out += s[c.offset].code() * weight);
    }
    for x in inside..last {
        to[x + 1] += at(first + x);
    }
}

/// Weights of the sample before, itself and the next, for each luma column of a chroma sample that sits at `place`.
fn taps(shift: usize, place: f32) -> Vec<[f32; 3]> {
    if shift == 0 {
        return vec![[0.0, 1.0, 0.0]];
    }
    let distance = |p: usize| (p as f32 - place) / (1 << shift) as f32;
    (0..1 << shift).map(distance).map(|d| [(-d).max(0.0), 1.0 - d.abs(), d.max(0.0)]).collect()
}
