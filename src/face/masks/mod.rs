//! What of a face is in view: where a hand, a cup or anything else lies in front of it, the old picture stays.
//!
//! Each [`MaskType`] looks at its own part of the frame, most of them with a network. What they say is multiplied, on
//! one square grid over the crop of the new face.

mod hair;
mod hands;
mod lids;
mod mouth;
mod occlusion;
mod palm;
mod person;
mod ridge;
mod rims;
mod steady;

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3, ArrayD, s};

use self::{hands::Hands, occlusion::Occlusion, person::Person};
pub use self::{
    rims::Rims,
    steady::{Steadier, steadied},
};
use crate::{
    Error, Result,
    blend::{sample::linear, warp::way_through},
    curve::smooth_step,
    face::{DEFAULT_MARGIN, Template, align, crop, mesh},
    frame::{FramePx, Rect, Similarity, Swapped},
    nn::Runtime,
    video::Picture,
};

/// Side of the grid on which masks are joined.
const SIDE: usize = 256;

/// What limits the place of a new face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum MaskType {
    /// The outline of the face's points. It always does.
    Hull,
    /// Leaves out dark hair that hangs in from the outside.
    Hair,
    /// What belongs to a person, hands included: leaves out what lies behind the head, and things in front of it that
    /// the network tells from a person.
    Person,
    /// Hands, found by their palms and drawn from their joints.
    Hands,
    /// Leaves out whatever lies in front of the face.
    Occlusion,
    /// Leaves out the rims of glasses, however thin.
    Glasses,
    /// Leaves out eyes that are shut: the target's lids stay.
    Lids,
    /// Leaves out the inside of an open mouth where the new face shows a dark gap: the target's teeth and tongue stay.
    Mouth,
}

/// What limits the places of new faces, and with which networks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MaskSettings {
    /// The masks.
    pub types: Vec<MaskType>,
    /// The file of a network of `faceswap train-labels occlusion` for [`MaskType::Occlusion`], in place of the program's.
    pub occlusion_network: Option<PathBuf>,
}

impl Default for MaskSettings {
    fn default() -> Self {
        let types = vec![
            MaskType::Hull,
            MaskType::Hair,
            MaskType::Occlusion,
            MaskType::Glasses,
            MaskType::Lids,
            MaskType::Mouth,
        ];
        Self { types, occlusion_network: None }
    }
}

impl MaskSettings {
    /// The file of the occlusion network, where one is looked with that isn't the program's.
    pub fn own_network(&self) -> Option<&Path> {
        self.occlusion_network.as_deref().filter(|_| self.types.contains(&MaskType::Occlusion))
    }

    /// Their networks in the program, by the names of their files.
    pub(super) fn networks(&self) -> impl Iterator<Item = (&'static str, &'static [u8])> {
        let of_program = |kind: &&MaskType| **kind != MaskType::Occlusion || self.own_network().is_none();
        self.types.iter().filter(of_program).flat_map(|kind| kind.networks().iter().copied())
    }

    /// Whether anything but the outline limits them.
    pub fn looks(&self) -> bool {
        self.types.iter().any(|kind| *kind != MaskType::Hull)
    }
}

impl MaskType {
    /// `hull`, `hair`, `person`, `hands`, `occlusion`, `glasses`, `lids`, `mouth`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the choices.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "hull" => Ok(Self::Hull),
            "hair" => Ok(Self::Hair),
            "person" => Ok(Self::Person),
            "hands" => Ok(Self::Hands),
            "occlusion" => Ok(Self::Occlusion),
            "glasses" => Ok(Self::Glasses),
            "lids" => Ok(Self::Lids),
            "mouth" => Ok(Self::Mouth),
            _ => {
                let reason = "the choices are hull, hair, person, hands, occlusion, glasses, lids and mouth";
                Err(Error::setting("--face-mask-types", text, reason))
            }
        }
    }

    /// Its networks in the program, by the names of their files.
    fn networks(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Self::Person => &[(person::NAME, person::NETWORK)],
            Self::Hands => &[(palm::NAME, palm::NETWORK), (hands::NAME, hands::NETWORK)],
            Self::Occlusion => &[(occlusion::NAME, occlusion::NETWORK)],
            Self::Hull | Self::Hair | Self::Glasses | Self::Lids | Self::Mouth => &[],
        }
    }
}

/// Finds what lies in front of faces. It belongs to one thread.
#[derive(Debug)]
pub struct Masker {
    types: Vec<MaskType>,
    person: Option<Person>,
    hands: Option<Hands>,
    occlusion: Option<Occlusion>,
}

/// A map over a square of the frame, `[side, side]`, 0..=1 in each of its pixels.
#[derive(Debug)]
struct Map {
    values: Array2<f32>,
    /// From the frame to its pixels.
    alignment: Similarity,
}

impl Masker {
    /// Loads the networks of the masks.
    ///
    /// # Errors
    /// [`Error::BadModel`] for a file that isn't what it should be.
    pub fn new(runtime: &Runtime, settings: &MaskSettings) -> Result<Self> {
        let has = |kind: MaskType| settings.types.contains(&kind);
        Ok(Self {
            types: settings.types.clone(),
            person: has(MaskType::Person).then(|| Person::new(runtime)).transpose()?,
            hands: has(MaskType::Hands).then(|| Hands::new(runtime)).transpose()?,
            occlusion: has(MaskType::Occlusion)
                .then(|| Occlusion::new(runtime, settings.own_network()))
                .transpose()?,
        })
    }

    fn sees(&self, kind: MaskType) -> bool {
        self.types.contains(&kind)
    }

    /// The masker as a worker of the line.
    pub fn into_worker(mut self) -> impl FnMut(Swapped) -> Result<Swapped> + Send {
        move |mut swapped| {
            self.look(&mut swapped)?;
            Ok(swapped)
        }
    }

    /// Says of all new faces of a frame what of the old ones is in view, and what may be the rims of glasses: whether it
    /// is one the [`Steadier`] decides.
    ///
    /// # Errors
    /// [`Error::Device`] when a network fails.
    pub fn look(&mut self, swapped: &mut Swapped) -> Result<()> {
        for face in &mut swapped.faces {
            let side = face.pixels.dim().1.max(1) as f64;
            let alignment = face.alignment.scaled(SIDE as f64 / side);
            let points = &face.face.points;
            let hair = if self.sees(MaskType::Hair) {
                hair::look(&face.target, &face.alignment, points)
            } else {
                None
            };
            if self.sees(MaskType::Glasses) {
                face.rims = rims::look(&swapped.frame.picture, (&face.target, &face.alignment), points);
            }
            let mouth = if self.sees(MaskType::Mouth) { mouth::look(face) } else { None };
            let maps = hair.into_iter().chain(mouth).collect();
            face.visible = self.joined(&swapped.frame.picture, points, &alignment, maps)?;
        }
        Ok(())
    }

    /// What of a face is in view, `[256, 256]`, 0..=1, over the crop of `alignment`, for all that this frame alone says, the
    /// mouth of the face aside, which takes a new one; `None` when nobody looks.
    ///
    /// # Errors
    /// [`Error::Device`] when a network fails.
    pub fn visible(
        &mut self,
        picture: &Picture,
        points: &[FramePx],
        alignment: &Similarity,
    ) -> Result<Option<Array2<f32>>> {
        let hair = if self.sees(MaskType::Hair) { hair::look_in(picture, points) } else { None };
        let visible = self.joined(picture, points, alignment, Vec::from_iter(hair))?;
        let rims = if self.sees(MaskType::Glasses) { rims::look_in(picture, points) } else { None };
        Ok(without_rims(visible, rims.as_ref(), rims.iter().map(Rims::strength).collect(), alignment))
    }

    /// What `maps` and all networks say.
    fn joined(
        &mut self,
        picture: &Picture,
        points: &[FramePx],
        alignment: &Similarity,
        mut maps: Vec<Map>,
    ) -> Result<Option<Array2<f32>>> {
        if let Some(person) = &mut self.person {
            maps.push(person.look(picture, points)?);
        }
        if let Some(occlusion) = &mut self.occlusion {
            maps.push(occlusion.look(picture, points)?);
        }
        let hands = match &mut self.hands {
            Some(hands) => Some(hands.look(picture, points)?),
            None => None,
        };
        if self.sees(MaskType::Lids) {
            maps.extend(lids::look(points, alignment));
        }
        if maps.is_empty() && hands.is_none() {
            return Ok(None);
        }
        let mut visible = Array2::ones([SIDE, SIDE]);
        for map in maps {
            map.multiply(&mut visible, alignment);
        }
        for hand in hands.iter().flatten() {
            hand.cover(&mut visible, alignment);
        }
        Ok(Some(visible))
    }
}

/// What is in view where lines may be rims, whose strengths in the frames around are `strengths`.
fn without_rims(
    visible: Option<Array2<f32>>,
    rims: Option<&Rims>,
    strengths: Vec<f32>,
    alignment: &Similarity,
) -> Option<Array2<f32>> {
    let sureness = Rims::sureness(strengths);
    let Some(rims) = rims.filter(|_| sureness > 0.0) else { return visible };
    let mut visible = visible.unwrap_or_else(|| Array2::ones([SIDE, SIDE]));
    rims.map(sureness).multiply(&mut visible, alignment);
    Some(visible)
}

impl Map {
    /// Multiplies a map over the crop of `alignment` by this one; what lies outside this one is left alone.
    fn multiply(&self, grid: &mut Array2<f32>, alignment: &Similarity) {
        let (values, (height, width)) = (self.values.as_standard_layout(), grid.dim());
        let (Some(values), Some(grid)) = (values.as_slice(), grid.as_slice_mut()) else { return };
        let (side, from_grid) = (self.values.dim().0, self.alignment.after(alignment));
        let all = Rect { x0: 0, y0: 0, x1: width, y1: height };
        let mut shares = vec![0.0; width];
        for (y, row) in grid.chunks_exact_mut(width.max(1)).enumerate() {
            let Some((seen, way)) = way_through(&from_grid, all, y, side) else { continue };
            let shares = &mut shares[seen.clone()];
            linear(values, side, way, shares);
            row[seen].iter_mut().zip(shares).for_each(|(v, share)| *v *= *share);
        }
    }
}

/// The first of a network's outputs as a plane, if it is one of this side.
fn plane(outputs: &[ArrayD<f32>], side: usize) -> Option<Array2<f32>> {
    let values = outputs.first().filter(|output| output.shape().ends_with(&[side, side]))?;
    values.to_shape((side, side)).ok().map(|plane| plane.to_owned())
}

/// The crop of `side` around a face, and the way into it; `None` for points that are no mesh or have no extent.
fn cut_out(picture: &Picture, points: &[FramePx], side: usize) -> Option<(Array3<f32>, Similarity)> {
    if points.len() < mesh::N_POINTS {
        return None;
    }
    let alignment = align(points, &Template::default(), DEFAULT_MARGIN, side);
    let is_sound = alignment.scale() > 1e-4 && alignment.tx.is_finite() && alignment.ty.is_finite();
    is_sound.then(|| (crop(picture, &alignment, side), alignment))
}

/// Luma in means of `factor` x `factor` pixels.
fn luma(pixels: &Array3<f32>, factor: usize) -> Array2<f32> {
    let (pixels, side) = (pixels.as_standard_layout(), pixels.dim().2 / factor);
    let mut luma = Array2::zeros([side, side]);
    let mut sums = vec![[0.0_f32; 3]; side];
    for (y, mut luma) in luma.outer_iter_mut().enumerate() {
        sums.fill([0.0; 3]);
        for (c, y) in (0..3).flat_map(|c| (0..factor).map(move |dy| (c, y * factor + dy))) {
            let row = pixels.slice(s![c, y, ..]);
            let row = row.as_slice().expect("a row of the standard layout");
            for (sum, block) in sums.iter_mut().zip(row.chunks_exact(factor)) {
                block.iter().for_each(|v| sum[c] += v);
            }
        }
        for (luma, [r, g, b]) in luma.iter_mut().zip(&sums) {
            *luma = (0.2126 * r + 0.7152 * g + 0.0722 * b) / (factor * factor) as f32;
        }
    }
    luma
}

/// A step from 0 to 1 around `middle`, `width` wide, so that a faint doubt leaves no ghost.
fn decided(v: f32, middle: f32, width: f32) -> f32 {
    smooth_step((v - middle) / width + 0.5)
}

#[cfg(test)]
#[path = "masks_tests.rs"]
mod tests;
