//! One frame's new faces into its picture.

use ndarray::Array3;

use super::{
    contrast,
    mask::feathered,
    pyramid::multi_band,
    resample::{Filter, resize},
    warp::{Quads, reach},
};
use crate::{
    Error, Result, face,
    frame::{Frame, NewFace, Rect, Similarity, Swapped},
    video::Picture,
};

/// Sides of the square in which a face is blended are multiples of this, so that they halve evenly.
const SIDE_STEP: usize = 16;
/// The smallest of them: that of the pyramid's common floors.
const MIN_SIDE: usize = 64;
/// The largest of them: a 4K close-up; what is larger loses sharpness inside the mask.
const MAX_SIDE: usize = 1024;
/// A network's picture may be this much finer than the frame before it is reduced: what is finer can't be seen, but a
/// little more than the frame's own grid keeps what is seen sharp through two interpolations.
const MAX_OVERSAMPLING: f64 = 1.5;

/// How a face meets the picture around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum BlendMode {
    /// Each band of detail over its own width; light and skin tone are the target's.
    #[default]
    MultiBand,
    /// One soft edge for all. A baseline.
    Alpha,
    /// Cut out and pasted. A baseline.
    HardPaste,
}

/// How new faces are put into the picture.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct BlendSettings {
    /// How a face meets the picture around it.
    pub mode: BlendMode,
    /// Width of the mask's soft inner edge, share of the crop's side, 0..=0.5.
    pub feather: f64,
    /// How many of the coarsest bands keep the target's content everywhere, see [`super::pyramid`]. 2 is structures
    /// of 1/8 of the crop's side and more.
    pub small_bands_from_target: usize,
    /// Brings the new face's contrast to the target's, see [`super::contrast`]. Off by default: it is measured for
    /// each frame by itself, so it may flicker.
    pub match_contrast: bool,
}

impl Default for BlendSettings {
    fn default() -> Self {
        Self { mode: BlendMode::MultiBand, feather: 0.05, small_bands_from_target: 2, match_contrast: false }
    }
}

/// The frame with its new faces in it, painted in their order.
///
/// Samples that no mask reaches keep their bits; a frame without new faces comes back as it is.
///
/// # Errors
/// [`Error::BadModel`] when a new face isn't a square picture, or its mask isn't as large.
pub fn blend(swapped: Swapped, settings: &BlendSettings) -> Result<Frame> {
    let Swapped { mut frame, faces, .. } = swapped;
    for face in &faces {
        check(face)?;
        paste(&mut frame.picture, face, settings);
    }
    Ok(frame)
}

fn check(face: &NewFace) -> Result<()> {
    let (channels, height, width) = face.pixels.dim();
    let mask = face.mask.as_ref().map_or((height, width), ndarray::ArrayBase::dim);
    if channels == 3 && height == width && height > 0 && mask == (height, width) {
        return Ok(());
    }
    let reason =
        format!("gave a picture of [{channels}, {height}, {width}] and a mask of {mask:?}, not squares");
    Err(Error::model("the swapping network", reason))
}

/// Puts one face into the picture.
fn paste(picture: &mut Picture, face: &NewFace, settings: &BlendSettings) {
    if !face.alignment.scale().is_normal() {
        return; // A face without extent.
    }
    let from = face.pixels.dim().1;
    let side = work_side(from, &face.alignment);
    let alignment = face.alignment.scaled(side as f64 / from as f64);
    let outline = outline(face, &alignment, side);
    let feather = if settings.mode == BlendMode::HardPaste { 0.0 } else { settings.feather };
    let mask = feathered(&outline, side, feather);
    let Some(rect) = reach(&mask, side, &alignment, picture.size_px()) else { return };

    let target = face::crop(picture, &alignment, side);
    let target = target.as_standard_layout();
    let target = target.as_slice().expect("standard layout is contiguous");
    let pixels = face.pixels.as_standard_layout();
    let pixels = pixels.as_slice().expect("standard layout is contiguous");
    let mut new = resize(pixels, from, side, Filter::CatmullRom);
    if settings.match_contrast {
        contrast::matched(&mut new, target, &mask, side);
    }

    new.iter_mut().zip(target).for_each(|(y, x)| *y -= x);
    if settings.mode == BlendMode::MultiBand {
        multi_band(&mut new, &mask, side, settings.small_bands_from_target);
    }
    let mut quads = painted(&new, target, &mask, side, settings.mode);
    quads.blur_for(alignment.scale());
    let paint = quads.to_frame(&alignment, rect);
    let delta = difference(&paint, &picture.rgb_rect(rect), rect);
    picture.add_rgb(rect, &delta);
}

/// The side of the square in which a face is blended: not coarser than the frame, so that the target stays sharp in
/// the soft edge, and as fine as the network's picture unless that is wasted on the frame.
fn work_side(network_side: usize, alignment: &Similarity) -> usize {
    let footprint = network_side as f64 / alignment.scale();
    let side = (network_side as f64).max(footprint).min(MAX_OVERSAMPLING * footprint);
    (side / SIDE_STEP as f64).ceil().clamp((MIN_SIDE / SIDE_STEP) as f64, (MAX_SIDE / SIDE_STEP) as f64)
        as usize
        * SIDE_STEP
}

/// Where both the face's points and the network see the face.
fn outline(face: &NewFace, alignment: &Similarity, side: usize) -> Vec<f32> {
    let (mut outline, _) = face::hull_mask(&face.face.points, alignment, side).into_raw_vec_and_offset();
    if let Some(mask) = &face.mask {
        let from = mask.dim().0;
        let mask = mask.as_standard_layout();
        let seen =
            resize(mask.as_slice().expect("standard layout is contiguous"), from, side, Filter::Linear);
        outline.iter_mut().zip(&seen).for_each(|(o, s)| *o *= s.clamp(0.0, 1.0));
    }
    outline
}

/// What is painted, premultiplied: `gate * change + mask * target` and the mask.
///
/// The frame gets `warped(this) - warped(mask) * frame`. That is the change, plus one more band of the pyramid that
/// only the frame's own grid can hold: what the crop lost of the frame's finest detail is taken out where the mask
/// says that the detail is the new face's, and stays where it says that it is the target's.
///
/// The bands of [`multi_band`] are wider than the mask, the coarser the wider; the gate ends them smoothly before the
/// mask's edge.
fn painted(change: &[f32], target: &[f32], mask: &[f32], side: usize, mode: BlendMode) -> Quads {
    let n = side * side;
    let (mut quads, mut gates) = (Quads::zero(side), vec![0.0; side]);
    for y in 0..side {
        let mask = &mask[y * side..][..side];
        if mask.iter().all(|m| *m <= 0.0) {
            continue;
        }
        let gate =
            mask.iter().map(|m| if mode == BlendMode::MultiBand { 1.0 - (1.0 - m).powi(3) } else { *m });
        gates.iter_mut().zip(gate).for_each(|(to, gate)| *to = gate);
        let out = quads.row_mut(y);
        for c in 0..3 {
            let (change, target) = (&change[c * n + y * side..][..side], &target[c * n + y * side..][..side]);
            for ((((out, m), g), e), x) in out.iter_mut().zip(mask).zip(&gates).zip(change).zip(target) {
                out[c] = g * e + m * x;
            }
        }
        out.iter_mut().zip(mask).for_each(|(out, m)| out[3] = *m);
    }
    quads
}

/// What brings the frame's pixels to what is painted; clipped so that no colour leaves 0..=1 (or goes further out).
fn difference(paint: &[[f32; 4]], source: &Array3<f32>, rect: Rect) -> Array3<f32> {
    let mut delta = Array3::zeros(source.dim());
    let source = source.as_standard_layout();
    let source = source.as_slice().expect("standard layout is contiguous");
    let n = rect.width() * rect.height();
    let planes = delta.as_slice_mut().expect("a new array is contiguous").chunks_exact_mut(n);
    for (c, (plane, source)) in planes.zip(source.chunks_exact(n)).enumerate() {
        for ((out, paint), old) in plane.iter_mut().zip(paint).zip(source) {
            let new = old + (paint[c] - paint[3] * old);
            let (low, high) = (old.min(0.0), old.max(1.0));
            *out = if paint.iter().all(|v| *v == 0.0) { 0.0 } else { new.clamp(low, high) - old };
        }
    }
    delta
}

#[cfg(test)]
#[path = "paste_tests.rs"]
mod tests;
