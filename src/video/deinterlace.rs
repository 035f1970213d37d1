//! Whole frames out of frames that are woven from two fields.
//!
//! The field that was filmed first stays as it is. The lines of the other one are made anew: what stands still is taken
//! from that field, what moves from the lines above and below, along the edge that runs through them. In between, the
//! spatial value may leave the temporal one by as much as the picture moves there, the rule that Yadif made known.

use std::collections::VecDeque;

use super::picture::{Picture, Sample};
use crate::frame::Frame;

/// Holds back one frame, since it looks at the ones before and after.
#[derive(Default)]
pub(super) struct Deinterlacer {
    window: VecDeque<Frame>,
    /// Whether the first of `window` was given already.
    has_past: bool,
}

impl Deinterlacer {
    /// Takes a frame and gives back the one before it.
    pub(super) fn push(&mut self, frame: Frame) -> Option<Frame> {
        self.window.push_back(frame);
        if self.window.len() < 2 + usize::from(self.has_past) {
            return None;
        }
        let done = self.make(usize::from(self.has_past), true);
        if self.has_past {
            self.window.pop_front();
        }
        self.has_past = true;
        Some(done)
    }

    /// After the last frame: that one.
    pub(super) fn finish(&mut self) -> Option<Frame> {
        let done = (self.window.len() > usize::from(self.has_past))
            .then(|| self.make(usize::from(self.has_past), false));
        self.window.clear();
        self.has_past = false;
        done
    }

    fn make(&self, at: usize, has_next: bool) -> Frame {
        let frame = &self.window[at];
        let before = if at > 0 { &self.window[at - 1] } else { frame };
        let after = if has_next { &self.window[at + 1] } else { frame };
        let mut picture = frame.picture.clone();
        let Some(top_first) = picture.top_field_first() else { return frame.clone() };
        picture.make_writable();
        for (plane, width, height) in picture.planes() {
            let around = [&before.picture, &frame.picture, &after.picture];
            // The rows that were filmed second.
            for y in (usize::from(top_first)..height).step_by(2) {
                if picture.layout().wide {
                    fill::<u16>(&mut picture, around, plane, y, (width, height));
                } else {
                    fill::<u8>(&mut picture, around, plane, y, (width, height));
                }
            }
        }
        picture.set_progressive();
        Frame { idx: frame.idx, picture }
    }
}

/// Makes row `y` of a plane, which the first field hasn't got.
fn fill<T: Sample>(
    out: &mut Picture,
    [before, now, after]: [&Picture; 3],
    plane: usize,
    y: usize,
    (width, height): (usize, usize),
) {
    let (above, below) = (if y > 0 { y - 1 } else { y + 1 }, if y + 1 < height { y + 1 } else { y - 1 });
    if height < 2 {
        return;
    }
    let row = |picture: &Picture, y: usize| -> Vec<i32> {
        picture.row::<T>(plane, y, width).iter().map(|s| (*s).into() as i32).collect()
    };
    let (top, bottom) = (row(now, above), row(now, below));
    // The other field, half a frame before and half a frame after.
    let (past, future) = (row(before, y), row(now, y));
    let still = [(row(before, above), row(before, below)), (row(after, above), row(after, below))];
    let made: Vec<i32> = (0..width)
        .map(|x| {
            let (a, b) = (top[x], bottom[x]);
            let temporal = (past[x] + future[x] + 1) >> 1;
            let moved = |(t, b2): &(Vec<i32>, Vec<i32>)| ((t[x] - a).abs() + (b2[x] - b).abs()) >> 1;
            let motion = ((past[x] - future[x]).abs() >> 1).max(moved(&still[0])).max(moved(&still[1]));
            let spatial = along_edge(&top, &bottom, x);
            spatial.clamp(temporal - motion, temporal + motion)
        })
        .collect();
    for (to, value) in out.row_mut::<T>(plane, y, width).iter_mut().zip(made) {
        *to = T::from_code(value as f32);
    }
}

/// The mean of the samples above and below, along the direction in which they are most alike.
fn along_edge(top: &[i32], bottom: &[i32], x: usize) -> i32 {
    const REACH: isize = 2;
    let at = |row: &[i32], x: isize| row[x.clamp(0, row.len() as isize - 1) as usize];
    let x = x as isize;
    let unlike = |d: isize| -> i32 {
        (-1..=1).map(|k| (at(top, x + d + k) - at(bottom, x - d + k)).abs()).sum::<i32>()
    };
    let mut best = (unlike(0) - 1, 0);
    for d in (1..=REACH).flat_map(|d| [-d, d]) {
        best = best.min((unlike(d), d));
    }
    let d = best.1;
    (at(top, x + d) + at(bottom, x - d) + 1) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (32, 16);

    /// Gray by a function of column, row and time in fields; woven top field first.
    fn woven(idx: u64, gray: impl Fn(usize, usize, u64) -> u8) -> Frame {
        let mut pixels = Vec::new();
        for y in 0..SIZE.1 {
            for x in 0..SIZE.0 {
                pixels.extend([gray(x, y, 2 * idx + (y % 2) as u64); 3]);
            }
        }
        let mut picture = Picture::from_rgb8(SIZE.0, SIZE.1, &pixels).at(idx as i64, 1);
        picture.set_woven(true);
        Frame { idx, picture }
    }

    fn run(frames: Vec<Frame>) -> Vec<Frame> {
        let mut deinterlacer = Deinterlacer::default();
        let mut out: Vec<Frame> = frames.into_iter().filter_map(|frame| deinterlacer.push(frame)).collect();
        out.extend(deinterlacer.finish());
        out
    }

    #[test]
    fn what_stands_still_stays_bit_by_bit() {
        let gray = |x: usize, y: usize, _| (x * 37 + y * 91) as u8;
        let frames: Vec<Frame> = (0..4).map(|i| woven(i, gray)).collect();
        let done = run(frames.clone());
        assert_eq!(done.len(), 4);
        for (old, new) in frames.iter().zip(&done) {
            assert_eq!((old.idx, old.picture.pts()), (new.idx, new.picture.pts()));
            assert_eq!(new.picture.top_field_first(), None, "no longer woven");
            for y in 0..SIZE.1 {
                assert_eq!(old.picture.row::<u8>(0, y, SIZE.0), new.picture.row::<u8>(0, y, SIZE.0));
            }
        }
    }

    #[test]
    fn a_moving_edge_has_no_comb() {
        // A bright bar that moves 4 pixels from field to field.
        let gray = |x: usize, _, t: u64| if (x as u64 + 64 - 4 * t) % 32 < 8 { 200 } else { 40 };
        let done = run((0..5).map(|i| woven(i, gray)).collect());
        for frame in &done[1..4] {
            for y in 1..SIZE.1 - 1 {
                let (row, above) =
                    (frame.picture.row::<u8>(0, y, SIZE.0), frame.picture.row::<u8>(0, y - 1, SIZE.0));
                assert_eq!(row, above, "frame {}, row {y}", frame.idx);
            }
        }
    }
}
