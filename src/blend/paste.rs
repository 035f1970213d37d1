//! One frame's new faces into its picture.

use std::borrow::Cow;

use ndarray::{Array2, Array3};

use super::{
    detail,
    mask::{Padding, Placed, placed},
    poisson,
    pyramid::{Blending, Floors},
    warp::{Quads, mask_to_frame, reach, shown},
};
use crate::{
    Error, Result,
    dispatch::dispatched,
    frame::{CropPx, Frame, FramePx, NewFace, Rect, Swapped},
    video::Picture,
};

/// Masks are made in squares whose sides are multiples of this..
const SIDE_STEP: usize = 16;
/// ..at least this..
const MIN_SIDE: usize = 64;
/// ..and at most this when they are hard..
const MAX_HARD_SIDE: usize = 512;
/// ..or this when they are soft: that is how finely [`super::mask`] measures distances.
const MAX_SOFT_SIDE: usize = 256;

/// The pyramid looks this far beyond the mask, share of the crop's side, so that the target's surroundings count in the
/// coarse bands as well.
const ROOM: f64 = 0.06;

/// How a face meets the picture around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum BlendMode {
    /// Each band of detail over its own width, with the finest detail matched to the target's.
    #[default]
    MultiBand,
    /// One soft edge for all. A baseline.
    Feather,
    /// The new face's gradients on the target's rim. A baseline.
    Poisson,
    /// Cut out and pasted. A baseline.
    Paste,
}

/// What the output shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum Shows {
    /// The frame with its new faces.
    #[default]
    Composite,
    /// How much of each pixel is a new face's, from black to white: for a composite of one's own.
    Matte,
}

/// How new faces are put into the picture.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct BlendSettings {
    /// How a face meets the picture around it.
    pub mode: BlendMode,
    /// Width of the mask's soft inner edge, share of the crop's side, 0..=0.5.
    pub feather: f64,
    /// What of the face's outline is left to the target.
    pub padding: Padding,
    /// How many of the coarsest bands keep the target's content everywhere, see [`super::pyramid`]. 2, as in the paper, is
    /// structures of 1/8 of the crop's side and more. That also keeps the target's dark sockets, beard and
    /// shadows under a new face that has none; where [`super::grade`] brings skin tone and light, 0 looks better.
    pub small_bands_from_target: usize,
    /// Whether the finest detail is matched to the target's in [`BlendMode::MultiBand`].
    pub match_detail: bool,
    /// What the output shows.
    pub shows: Shows,
}

impl Default for BlendSettings {
    fn default() -> Self {
        Self {
            mode: BlendMode::MultiBand,
            feather: 0.05,
            padding: Padding::default(),
            small_bands_from_target: 0,
            match_detail: true,
            shows: Shows::Composite,
        }
    }
}

/// The frame with its new faces in it, painted in their order; or their matte, where that is what is shown.
///
/// Samples that no mask reaches keep their bits; a frame without new faces comes back as it is.
///
/// # Errors
/// [`Error::BadModel`] when a new face isn't a square picture, or its mask isn't as large.
pub fn blend(swapped: Swapped, settings: &BlendSettings) -> Result<Frame> {
    if settings.shows == Shows::Matte {
        swapped.faces.iter().try_for_each(check)?;
        let alpha = alpha(&swapped, settings);
        let mut frame = swapped.frame;
        frame.picture.show_gray(&alpha);
        return Ok(frame);
    }
    let Swapped { mut frame, faces, .. } = swapped;
    for face in &faces {
        check(face)?;
        paste(&mut frame.picture, face, settings)?;
    }
    Ok(frame)
}

/// How much of each of the frame's pixels is the new faces', `[height, width]`, 0..=1: the mask of the finest band.
pub fn alpha(swapped: &Swapped, settings: &BlendSettings) -> Array2<f32> {
    let (width, height) = swapped.frame.picture.size_px();
    let mut alpha = Array2::zeros((height, width));
    for place in swapped.faces.iter().filter_map(|face| Place::of(face, settings, (width, height))) {
        for (i, m) in place.alpha().iter().enumerate() {
            let (x, y) = (place.rect.x0 + i % place.rect.width(), place.rect.y0 + i / place.rect.width());
            if let Some(a) = alpha.get_mut((y, x)) {
                *a = m.max(*a);
            }
        }
    }
    alpha
}

pub(super) fn check(face: &NewFace) -> Result<()> {
    let (channels, height, width) = face.pixels.dim();
    let mask = face.mask.as_ref().map_or((height, width), ndarray::ArrayBase::dim);
    let is_square = channels == 3 && height == width && height > 0;
    if is_square && mask == (height, width) && face.target.dim() == face.pixels.dim() {
        return Ok(());
    }
    let reason =
        format!("gave a picture of [{channels}, {height}, {width}] and a mask of {mask:?}, not squares");
    Err(Error::model("the swapping network", reason))
}

/// Where a new face goes.
struct Place {
    /// Pixels of the frame, beyond its right and bottom edge perhaps.
    rect: Rect,
    /// The part of it that the mask reaches, within the frame.
    reached: Rect,
    /// How much of each of the rectangle's pixels is the new face's, thin things in front of it aside.
    mask: Vec<f32>,
    /// What these leave of it, if there are any.
    beside_thin: Option<Vec<f32>>,
    /// The middle of the crop, and its side, pixels of the frame.
    centre: FramePx,
    crop_px: f64,
}

impl Place {
    /// `None` when no pixel of the frame is reached.
    fn of(face: &NewFace, settings: &BlendSettings, size_px: (usize, usize)) -> Option<Self> {
        let (from, scale) = (face.pixels.dim().1 as f64, face.alignment.scale());
        if !scale.is_normal() || !(from / scale).is_finite() {
            return None; // A face without extent.
        }
        let crop_px = from / scale;
        let feather = if settings.mode == BlendMode::Paste { 0.0 } else { settings.feather };
        let max_side = if feather > 0.0 { MAX_SOFT_SIDE } else { MAX_HARD_SIDE };
        let side = ((crop_px / SIDE_STEP as f64).ceil() as usize * SIDE_STEP).clamp(MIN_SIDE, max_side);
        let alignment = face.alignment.scaled(side as f64 / from);
        let Placed { mask, beside_thin } = placed(face, side, feather, &settings.padding);
        let reached = reach(&mask, side, &alignment, size_px)?;
        let rect = match settings.mode {
            BlendMode::MultiBand => {
                widened(reached, (ROOM * crop_px) as usize, Floors::step(crop_px), size_px)
            }
            _ => reached,
        };
        // Where the frame cuts a face off, its mask goes on over the rectangle's last cells: a mask that ended there would
        // fade the coarse bands towards the frame's edge.
        let beyond = |end: usize, frame: usize, rect: usize| if end == frame { rect } else { end };
        let masked = Rect {
            x1: beyond(reached.x1, size_px.0, rect.x1),
            y1: beyond(reached.y1, size_px.1, rect.y1),
            ..reached
        };
        let to_frame = |mask: &[f32]| mask_to_frame(mask, side, &alignment, rect, masked);
        Some(Self {
            mask: to_frame(&mask),
            beside_thin: beside_thin.map(|beside| to_frame(&beside)),
            reached,
            rect,
            centre: face.alignment.to_frame(CropPx { x: 0.5 * from, y: 0.5 * from }),
            crop_px,
        })
    }

    /// How much of each of the rectangle's pixels is the new face's in the end.
    fn alpha(&self) -> Cow<'_, [f32]> {
        match &self.beside_thin {
            None => Cow::Borrowed(&self.mask),
            Some(beside) => self.mask.iter().zip(beside).map(|(m, beside)| m * beside).collect(),
        }
    }
}

/// The rectangle with as much of the frame around it as there is, up to `room`, its edges on multiples of `step`.
fn widened(rect: Rect, room: usize, step: usize, (width, height): (usize, usize)) -> Rect {
    let low = |v: usize| v.saturating_sub(room) / step * step;
    let high = |v: usize, end: usize| (v + room).min(end).div_ceil(step) * step;
    Rect { x0: low(rect.x0), y0: low(rect.y0), x1: high(rect.x1, width), y1: high(rect.y1, height) }
}

/// Puts one face into the picture.
fn paste(picture: &mut Picture, face: &NewFace, settings: &BlendSettings) -> Result<()> {
    let Some(place) = Place::of(face, settings, picture.size_px()) else { return Ok(()) };
    let mut alpha = place.alpha();
    let Place { rect, reached, mask, beside_thin, centre, crop_px } = &place;
    let (rect, reached, centre, crop_px) = (*rect, *reached, *centre, *crop_px);
    let (n, width) = (mask.len(), rect.width());
    let (rows, columns) =
        (reached.y0 - rect.y0..reached.y1 - rect.y0, reached.x0 - rect.x0..reached.x1 - rect.x0);
    let target = picture.rgb_rect(rect);
    let target = flat(&target);
    let mut change = difference(face, rect, &target);
    match settings.mode {
        BlendMode::Paste | BlendMode::Feather => {}
        BlendMode::Poisson => {
            let new: Vec<f32> = change.iter().zip(&*target).map(|(d, x)| d + x).collect();
            change = poisson::cloned(&new, &target, &alpha, rect.width())?;
            // OpenCV knows 8 bits: what it left alone is what it was given.
            change
                .iter_mut()
                .zip(&*target)
                .for_each(|(v, x)| *v -= (x * 255.0).round().clamp(0.0, 255.0) / 255.0);
            alpha.to_mut().iter_mut().for_each(|m| *m = if *m > 0.0 { 1.0 } else { 0.0 });
        }
        BlendMode::MultiBand => {
            let floors = Floors::new(rect, centre, crop_px);
            let detail = if settings.match_detail {
                let network_px = crop_px / face.pixels.dim().1 as f64;
                detail::matched(&change, &target, mask, &floors, network_px)
            } else {
                Vec::new()
            };
            let n_small = settings.small_bands_from_target;
            let blending = Blending { mask, floors: &floors, n_small, detail: &detail };
            let mut weights = vec![0.0; columns.len()];
            blending.carry_out(&mut change, rows, |first, row| {
                let at = first + columns.start..first + columns.end;
                // The bands are wider than the mask, the coarser the wider; this ends them before the mask's edge.
                let of_row = at.start % n..at.start % n + columns.len();
                end_with(&mask[of_row.clone()], &mut weights);
                if let Some(beside) = beside_thin {
                    weights.iter_mut().zip(&beside[of_row]).for_each(|(weight, beside)| *weight *= beside);
                }
                settle(&mut row[columns.clone()], &target[at], &weights);
            });
            picture.add_rgb_part(reached, &change, rect);
            return Ok(());
        }
    }
    for (change, target) in change.chunks_exact_mut(n).zip(target.chunks_exact(n)) {
        for y in rows.clone() {
            let at = y * width + columns.start..y * width + columns.end;
            settle(&mut change[at.clone()], &target[at.clone()], &alpha[at]);
        }
    }
    picture.add_rgb_part(reached, &change, rect);
    Ok(())
}

dispatched! {
    /// From a mask to what its pixels keep of a sum of bands: nearly all, but nothing where the mask ends.
    fn end_with as end_with_plain(mask: &[f32], weights: &mut [f32]) {
        for (weight, m) in weights.iter_mut().zip(mask) {
            let rest = 1.0 - m;
            *weight = 1.0 - rest * rest * rest;
        }
    }
}

dispatched! {
    /// Weighs changes, and cuts them so that no colour leaves 0..=1, or goes further out.
    fn settle as settle_plain(change: &mut [f32], target: &[f32], weights: &[f32]) {
        for ((d, old), weight) in change.iter_mut().zip(target).zip(weights) {
            *d = (old + *d * weight).max(old.min(0.0)).min(old.max(1.0)) - old;
        }
    }
}

/// The new face, graded, on the pixels of the frame, less the target; 0 where its crop shows nothing.
fn difference(face: &NewFace, rect: Rect, target: &[f32]) -> Vec<f32> {
    let side = face.pixels.dim().1;
    let part = shown(&face.alignment, rect, side);
    let mut quads = Quads::graded(&flat(&face.pixels), side, part, face.grade.as_ref());
    quads.blur_for(face.alignment.scale());
    quads.difference(&face.alignment, rect, target)
}

fn flat(picture: &Array3<f32>) -> Cow<'_, [f32]> {
    match picture.as_slice() {
        Some(flat) => Cow::Borrowed(flat),
        None => Cow::Owned(picture.iter().copied().collect()),
    }
}

#[cfg(test)]
#[path = "paste_tests.rs"]
mod tests;
