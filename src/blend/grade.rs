//! Colour and contrast of the new faces, brought to the target's and held steady over time.
//!
//! What is measured in one frame alone trembles, and a face whose colours tremble is what users complain of first. So
//! each frame's correction is a fit over the frames around it, looking as far ahead as back:
//! a straight line in time, so that an even change of light is followed without lag, in which frames
//! with another correction count little, so that a lamp that is switched on isn't smeared in time. A track
//! ends at a cut, and nothing is carried from one track to another.

use std::{collections::VecDeque, ops::Range};

use wide::f32x4;

use super::{
    colour::{ColorTransfer, Nodes, Table, mean},
    contrast, lab,
    mask::outline,
    resample::{Filter, resize},
};
use crate::{
    Result,
    dispatch::dispatched,
    face::mesh,
    frame::{FramePx, NewFace, Swapped},
    line::Stage,
};

/// Side of the square on which a face is measured.
const SIDE: usize = 64;

/// Cheeks and nose alone, shares of the way from the corners of the eyes down to the base of the nose: below the eyes, above
/// nostrils, lips and beard. Skin tone is measured there: a beard in the mean makes the skin of a face without one grey, and
/// eyes and brows in the spread make it hard.
const SKIN: Range<f32> = 0.3..1.0;
/// Samples of it whose lightness is this many times further from the middle one than half of them are..
const UNUSUAL: f32 = 4.0;
/// ..and at least this far, units of L*a*b*, are no skin, or skin that shines.
const UNUSUAL_LIGHTNESS: f32 = 12.0;
/// Where less of it is seen than this many samples, the whole face is measured.
const MIN_SKIN: usize = 64;

/// Colours and contrast together spread lightness by this much at most: what is dark in a smooth new face, its eyes, would
/// become black holes where a bearded, wrinkled or hard-lit face is replaced.
const MAX_SPREAD: f32 = 1.4;

/// How new faces are brought to the target's colours and contrast.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct GradeSettings {
    /// How colours are transferred.
    pub transfer: ColorTransfer,
    /// How much of the transfer is carried out, 0..=1.
    pub strength: f32,
    /// Brings the contrast to the target's as well, see [`super::contrast`].
    pub match_contrast: bool,
    /// Frames that are looked at before and after, at most 16.
    pub radius: usize,
    /// Standard deviation of a frame's weight in time, frames.
    pub sigma_frames: f32,
    /// Standard deviation of a frame's weight in its difference from the middle one, units of L*a*b*.
    pub sigma_colour: f32,
}

impl Default for GradeSettings {
    fn default() -> Self {
        Self {
            transfer: ColorTransfer::default(),
            strength: 1.0,
            match_contrast: true,
            radius: 6,
            sigma_frames: 3.0,
            sigma_colour: 6.0,
        }
    }
}

impl GradeSettings {
    fn changes_nothing(&self) -> bool {
        !self.match_contrast && (self.transfer == ColorTransfer::None || self.strength == 0.0)
    }
}

/// The correction of one face.
#[derive(Debug, Clone, PartialEq)]
pub struct Grade {
    colours: Table,
    /// Mean colour after the table, RGB 0..=1.
    mean: [f32; 3],
    /// Deviations from it are scaled by this.
    contrast: f32,
}

impl Grade {
    /// Corrects three planes of `n` pixels: the plain form of `Correction::apply`.
    pub fn apply(&self, planes: &mut [f32], n: usize) {
        if self.colours.0.iter().any(|v| *v != 0.0) {
            self.colours.apply(planes, n);
        }
        if self.contrast != 1.0 {
            for (plane, mean) in planes.chunks_exact_mut(n).zip(self.mean) {
                plane.iter_mut().for_each(|v| *v = mean + self.contrast * (*v - mean));
            }
        }
    }

    /// How many times stronger the contrast gets.
    pub fn contrast(&self) -> f32 {
        self.contrast
    }

    /// The same, ready for many pixels.
    pub(super) fn correction(&self) -> Correction {
        let [r, g, b] = self.mean;
        Correction { nodes: Nodes::of(&self.colours), mean: [r, g, b, 0.0], contrast: self.contrast }
    }
}

/// A [`Grade`] made ready to be carried out.
pub(super) struct Correction {
    nodes: Option<Nodes>,
    mean: [f32; 4],
    contrast: f32,
}

impl Correction {
    /// Corrects pixels: red, green, blue and nothing.
    pub(super) fn apply(&self, pixels: &mut [[f32; 4]]) {
        if let Some(nodes) = &self.nodes {
            nodes.apply(pixels);
        }
        if self.contrast != 1.0 {
            stretch(pixels, self.mean, self.contrast);
        }
    }
}

dispatched! {
    /// Deviations from `mean`, scaled.
    fn stretch as stretch_plain(pixels: &mut [[f32; 4]], mean: [f32; 4], scale: f32) {
        let (mean, scale) = (f32x4::new(mean), f32x4::splat(scale));
        for pixel in pixels {
            *pixel = (mean + scale * (f32x4::new(*pixel) - mean)).to_array();
        }
    }
}

/// What one frame alone says of one face.
#[derive(Debug, Clone)]
struct Measured {
    track: u32,
    /// The correction as one list of numbers that may be averaged: table, mean, logarithm of the contrast.
    values: Vec<f32>,
    /// How far the mean colour must move, L*a*b*.
    shift: [f32; 3],
}

/// Gives each new face its [`Grade`]. It holds back as many frames as it looks ahead.
#[derive(Debug)]
pub struct Grader {
    settings: GradeSettings,
    /// Frames in their order; of those that were handed out only what was measured is kept.
    window: VecDeque<Held>,
    n_done: usize,
}

#[derive(Debug)]
struct Held {
    swapped: Option<Swapped>,
    faces: Vec<Measured>,
}

impl Grader {
    /// A grader for one clip.
    pub fn new(settings: &GradeSettings) -> Self {
        Self { settings: settings.clone(), window: VecDeque::new(), n_done: 0 }
    }

    fn ready(&mut self, is_end: bool) -> Option<Swapped> {
        let n_waiting = self.window.len() - self.n_done;
        if n_waiting == 0 || (!is_end && n_waiting <= self.settings.radius) {
            return None;
        }
        let mut swapped = self.window[self.n_done].swapped.take()?;
        for i in 0..swapped.faces.len() {
            swapped.faces[i].grade = Some(self.steady(i));
        }
        self.n_done += 1;
        while self.n_done > self.settings.radius {
            self.window.pop_front();
            self.n_done -= 1;
        }
        Some(swapped)
    }

    /// The correction of a face of the frame that goes out next.
    fn steady(&self, face: usize) -> Grade {
        let now = &self.window[self.n_done].faces[face];
        let last = self.window.len().min(self.n_done + self.settings.radius + 1);
        let around: Vec<(f32, &Measured)> = (self.n_done.saturating_sub(self.settings.radius)..last)
            .filter_map(|i| {
                let same = self.window[i].faces.iter().find(|other| other.track == now.track)?;
                Some((i as f32 - self.n_done as f32, same))
            })
            .collect();
        let weights = line_weights(&around, now, &self.settings);
        let mut values = vec![0.0; now.values.len()];
        for (weight, (_, frame)) in weights.iter().zip(&around) {
            values.iter_mut().zip(&frame.values).for_each(|(sum, v)| *sum += weight * v);
        }
        let contrast = values.pop().map_or(1.0, f32::exp);
        let mean = values.split_off(values.len() - 3);
        Grade { colours: Table(values), mean: [mean[0], mean[1], mean[2]], contrast }
    }
}

/// The weight of each frame in the straight line's value at the middle one.
fn line_weights(around: &[(f32, &Measured)], now: &Measured, settings: &GradeSettings) -> Vec<f32> {
    let weight = |(time, frame): &(f32, &Measured)| {
        let distance: f32 = frame.shift.iter().zip(now.shift).map(|(a, b)| (a - b).powi(2)).sum();
        (-0.5 * (time / settings.sigma_frames).powi(2) - 0.5 * distance / settings.sigma_colour.powi(2)).exp()
    };
    let raw: Vec<f32> = around.iter().map(weight).collect();
    let moment = |power: i32| raw.iter().zip(around).map(|(w, (t, _))| w * t.powi(power)).sum::<f32>();
    let (s0, s1, s2) = (moment(0), moment(1), moment(2));
    let determinant = s0 * s2 - s1 * s1;
    // Where the frames say nothing of a slope (a lone frame, or all weight on one), the mean.
    let weigh = |(w, (t, _)): (&f32, &(f32, &Measured))| {
        if determinant > 0.05 * s0 * s0 { w * (s2 - s1 * t) / determinant } else { w / s0 }
    };
    raw.iter().zip(around).map(weigh).collect()
}

/// Measures a face alone.
fn measured(face: &NewFace, settings: &GradeSettings) -> Measured {
    let side = face.pixels.dim().1;
    let small = |picture: &ndarray::Array3<f32>| {
        let picture = picture.as_standard_layout();
        resize(picture.as_slice().unwrap_or_default(), side, SIDE, Filter::Linear)
    };
    let (mut new, target, inside) = (small(&face.pixels), small(&face.target), outline(face, SIDE));
    let n = SIDE * SIDE;
    let inner: Vec<usize> = (0..n).filter(|i| inside[*i] > 0.5).collect();
    let colour = |planes: &[f32], i: usize| [0, 1, 2].map(|c| planes[c * n + i]);
    let skin = skin(&inner, skin_rows(face), |i| lab::lightness(colour(&target, i)));
    let skin = if skin.len() < MIN_SKIN { &inner } else { &skin };
    let samples = |planes: &[f32]| -> Vec<[f32; 3]> {
        skin.iter().map(|i| lab::from_rgb(colour(planes, *i))).collect()
    };
    let (of_new, of_target) = (samples(&new), samples(&target));
    let mut colours = Table::between(&of_new, &of_target, settings.transfer);
    colours.0.iter_mut().for_each(|v| *v *= settings.strength);
    let spread = |planes: &[f32]| -> f32 {
        spread(&inner.iter().map(|i| lab::lightness(colour(planes, *i))).collect::<Vec<_>>())
    };
    let before = settings.match_contrast.then(|| spread(&new));
    colours.apply(&mut new, n);
    let ratio = before.map_or(1.0, |before| {
        contrast::ratio(&new, &target, &inside, SIDE).min(MAX_SPREAD * before / spread(&new))
    });
    let weight = inside.iter().sum::<f32>().max(1e-6);
    let middle = |plane: &[f32]| plane.iter().zip(&inside).map(|(v, m)| v * m).sum::<f32>() / weight;
    let mut values = colours.0;
    values.extend(new.chunks_exact(n).map(middle));
    values.push(ratio.ln());
    let (from, to) = (mean(&of_new), mean(&of_target));
    Measured { track: face.face.track, values, shift: [0, 1, 2].map(|i| to[i] - from[i]) }
}

/// The rows of the square with [`SKIN`].
fn skin_rows(face: &NewFace) -> Range<f32> {
    let alignment = face.alignment_at(SIDE);
    let row = |point: FramePx| alignment.to_crop(point).y as f32;
    let points = &face.face.points;
    let eyes = 0.5 * (row(mesh::eye_centre(points, 0)) + row(mesh::eye_centre(points, 1)));
    let way = row(points[mesh::NOSE_BASE]) - eyes;
    eyes + SKIN.start * way..eyes + SKIN.end * way
}

/// Those of the samples that lie in the rows of cheeks and nose and aren't by far darker or brighter than most of these: not
/// a sideburn, nor a shine. A shadow that is large enough counts, since it widens what most of them are.
fn skin(inside: &[usize], rows: Range<f32>, lightness: impl Fn(usize) -> f32) -> Vec<usize> {
    let middle_of_row = |i: usize| (i / SIDE) as f32 + 0.5;
    let mut samples: Vec<(usize, f32)> =
        inside.iter().filter(|i| rows.contains(&middle_of_row(**i))).map(|i| (*i, lightness(*i))).collect();
    let middle = median(samples.iter().map(|(_, l)| *l).collect());
    let usual = median(samples.iter().map(|(_, l)| (l - middle).abs()).collect());
    samples.retain(|(_, l)| (l - middle).abs() <= (UNUSUAL * usual).max(UNUSUAL_LIGHTNESS));
    samples.into_iter().map(|(i, _)| i).collect()
}

fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(middle, f32::total_cmp).1 }
}

/// Standard deviation of lightness, with a floor of a unit of L*a*b*.
fn spread(lightness: &[f32]) -> f32 {
    let n = lightness.len().max(1) as f32;
    let middle = lightness.iter().sum::<f32>() / n;
    let sum: f32 = lightness.iter().map(|l| (l - middle).powi(2)).sum();
    (sum / n).sqrt().max(1.0)
}

impl Stage for Grader {
    type In = Swapped;
    type Out = Swapped;

    fn push(&mut self, swapped: Swapped) -> Result<Option<Swapped>> {
        if self.settings.changes_nothing() {
            return Ok(Some(swapped));
        }
        for face in &swapped.faces {
            super::paste::check(face)?;
        }
        let faces = swapped.faces.iter().map(|face| measured(face, &self.settings)).collect();
        self.window.push_back(Held { swapped: Some(swapped), faces });
        Ok(self.ready(false))
    }

    fn finish(&mut self) -> Result<Option<Swapped>> {
        Ok(self.ready(true))
    }
}

#[cfg(test)]
#[path = "grade_tests.rs"]
mod tests;
