//! One frame's new faces into its picture.

use std::borrow::Cow;

use ndarray::{Array2, Array3};

use super::{
    detail,
    mask::{Padding, placed},
    poisson,
    pyramid::{Floors, multi_band},
    warp::{Quads, mask_to_frame, reach},
};
use crate::{
    Error, Result,
    frame::{CropPx, Frame, FramePx, NewFace, Rect, Swapped},
    video::Picture,
};

/// Masks are made in squares whose sides are multiples of this..
const SIDE_STEP: usize = 16;
/// ..at least this..
const MIN_SIDE: usize = 64;
/// ..and at most this: they are smooth.
const MAX_SIDE: usize = 512;

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
}

impl Default for BlendSettings {
    fn default() -> Self {
        Self {
            mode: BlendMode::MultiBand,
            feather: 0.05,
            padding: Padding::default(),
            small_bands_from_target: 0,
            match_detail: true,
        }
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
        paste(&mut frame.picture, face, settings)?;
    }
    Ok(frame)
}

/// How much of each of the frame's pixels is the new faces', `[height, width]`, 0..=1: the mask of the finest band.
pub fn alpha(swapped: &Swapped, settings: &BlendSettings) -> Array2<f32> {
    let (width, height) = swapped.frame.picture.size_px();
    let mut alpha = Array2::zeros((height, width));
    for place in swapped.faces.iter().filter_map(|face| Place::of(face, settings, (width, height))) {
        for (i, m) in place.mask.iter().enumerate() {
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
    /// How much of each is the new face's.
    mask: Vec<f32>,
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
        let side = ((crop_px / SIDE_STEP as f64).ceil() as usize * SIDE_STEP).clamp(MIN_SIDE, MAX_SIDE);
        let alignment = face.alignment.scaled(side as f64 / from);
        let feather = if settings.mode == BlendMode::Paste { 0.0 } else { settings.feather };
        let mask = placed(face, side, feather, &settings.padding);
        let inner = reach(&mask, side, &alignment, size_px)?;
        let rect = match settings.mode {
            BlendMode::MultiBand => widened(inner, (ROOM * crop_px) as usize, Floors::step(crop_px)),
            _ => inner,
        };
        Some(Self {
            mask: mask_to_frame(&mask, side, &alignment, rect),
            rect,
            centre: face.alignment.to_frame(CropPx { x: 0.5 * from, y: 0.5 * from }),
            crop_px,
        })
    }
}

/// The rectangle with `room` around it, its edges on multiples of `step`.
fn widened(rect: Rect, room: usize, step: usize) -> Rect {
    let low = |v: usize| v.saturating_sub(room) / step * step;
    let high = |v: usize| (v + room).div_ceil(step) * step;
    Rect { x0: low(rect.x0), y0: low(rect.y0), x1: high(rect.x1), y1: high(rect.y1) }
}

/// Puts one face into the picture.
fn paste(picture: &mut Picture, face: &NewFace, settings: &BlendSettings) -> Result<()> {
    let Some(place) = Place::of(face, settings, picture.size_px()) else { return Ok(()) };
    let target = picture.rgb_rect(place.rect);
    let target = flat(&target);
    let mut change = in_frame(face, place.rect, &target);
    change.iter_mut().zip(&*target).for_each(|(y, x)| *y -= x);
    let n = place.mask.len();
    match settings.mode {
        BlendMode::Paste | BlendMode::Feather => weigh(&mut change, &place.mask, |m| m),
        BlendMode::Poisson => {
            let new: Vec<f32> = change.iter().zip(&*target).map(|(d, x)| d + x).collect();
            change = poisson::cloned(&new, &target, &place.mask, place.rect.width())?;
            // OpenCV knows 8 bits: what it left alone is what it was given.
            change
                .iter_mut()
                .zip(&*target)
                .for_each(|(v, x)| *v -= (x * 255.0).round().clamp(0.0, 255.0) / 255.0);
            weigh(&mut change, &place.mask, |m| if m > 0.0 { 1.0 } else { 0.0 });
        }
        BlendMode::MultiBand => {
            let floors = Floors::new(place.rect, place.centre, place.crop_px);
            let detail = if settings.match_detail {
                let network_px = place.crop_px / face.pixels.dim().1 as f64;
                detail::matched(&change, &target, &place.mask, &floors, network_px)
            } else {
                Vec::new()
            };
            multi_band(&mut change, &place.mask, &floors, settings.small_bands_from_target, &detail);
            // The bands are wider than the mask, the coarser the wider; this ends them before the mask's edge.
            weigh(&mut change, &place.mask, |m| 1.0 - (1.0 - m).powi(3));
        }
    }
    for (plane, target) in change.chunks_exact_mut(n).zip(target.chunks_exact(n)) {
        for (d, old) in plane.iter_mut().zip(target) {
            // No colour leaves 0..=1, or goes further out.
            *d = (old + *d).clamp(old.min(0.0), old.max(1.0)) - old;
        }
    }
    let shape = (3, place.rect.height(), place.rect.width());
    let change = Array3::from_shape_vec(shape, change).map_err(|e| Error::Device(e.to_string()))?;
    picture.add_rgb(place.rect, &change);
    Ok(())
}

fn weigh(planes: &mut [f32], mask: &[f32], weight: impl Fn(f32) -> f32) {
    for plane in planes.chunks_exact_mut(mask.len()) {
        plane.iter_mut().zip(mask).for_each(|(d, m)| *d *= weight(*m));
    }
}

/// The new face, graded, on the pixels of the frame; where its crop shows nothing, the target.
fn in_frame(face: &NewFace, rect: Rect, target: &[f32]) -> Vec<f32> {
    let side = face.pixels.dim().1;
    let mut pixels = flat(&face.pixels).into_owned();
    if let Some(grade) = &face.grade {
        grade.apply(&mut pixels, side * side);
    }
    let mut quads = Quads::from_planes(&pixels, side);
    quads.blur_for(face.alignment.scale());
    let mut new = target.to_vec();
    quads.to_frame(&face.alignment, rect, &mut new);
    new
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
