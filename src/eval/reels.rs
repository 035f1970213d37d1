//! Clips that are read side by side.

use std::path::{Path, PathBuf};

use super::EvalSettings;
use crate::{
    Error, Result,
    frame::Frame,
    video::{DecodeSettings, Decoder},
};

/// One clip that is read to its end.
pub(super) struct Reel {
    pub(super) path: PathBuf,
    pub(super) decoder: Decoder,
    pub(super) n_frames: u64,
}

impl Reel {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.into(), decoder: Decoder::open(path, &DecodeSettings::default())?, n_frames: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>> {
        let frame = self.decoder.next().transpose()?;
        self.n_frames += u64::from(frame.is_some());
        Ok(frame)
    }

    /// Counts what is left.
    fn wind_on(&mut self) -> Result<()> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

/// The clips side by side.
pub(super) struct Reels {
    pub(super) target: Reel,
    pub(super) output: Reel,
    pub(super) truth: Reel,
    pub(super) region: Option<Reel>,
}

/// One frame of each.
pub(super) struct Step {
    pub(super) idx: u64,
    pub(super) target: Frame,
    pub(super) output: Frame,
    pub(super) truth: Frame,
    pub(super) region: Option<Frame>,
}

impl Reels {
    pub(super) fn open(settings: &EvalSettings) -> Result<Self> {
        let reels = Self {
            target: Reel::open(&settings.target)?,
            output: Reel::open(&settings.output)?,
            truth: Reel::open(&settings.truth)?,
            region: settings.region.as_deref().map(Reel::open).transpose()?,
        };
        let size = reels.target.decoder.probe().size_px;
        for other in [Some(&reels.output), Some(&reels.truth), reels.region.as_ref()].into_iter().flatten() {
            let (width, height) = other.decoder.probe().size_px;
            if (width, height) != size {
                let (path, (w, h)) = (settings.target.display(), size);
                let reason =
                    format!("is {width} x {height}, but {path} is {w} x {h}; give clips of one size");
                return Err(Error::input(&other.path, reason));
            }
        }
        Ok(reels)
    }

    /// The next frame of all clips, or `None` when all end together.
    pub(super) fn next(&mut self) -> Result<Option<Step>> {
        let idx = self.target.n_frames;
        let (target, output, truth) = (self.target.next()?, self.output.next()?, self.truth.next()?);
        let region = match &mut self.region {
            Some(reel) => Some(reel.next()?),
            None => None,
        };
        match (target, output, truth, region) {
            (Some(target), Some(output), Some(truth), None) => {
                Ok(Some(Step { idx, target, output, truth, region: None }))
            }
            (Some(target), Some(output), Some(truth), Some(Some(region))) => {
                Ok(Some(Step { idx, target, output, truth, region: Some(region) }))
            }
            (None, None, None, None | Some(None)) => Ok(None),
            _ => Err(self.unequal()?),
        }
    }

    /// Says how long the clips are.
    fn unequal(&mut self) -> Result<Error> {
        self.target.wind_on()?;
        let want = self.target.n_frames;
        for other in
            [Some(&mut self.output), Some(&mut self.truth), self.region.as_mut()].into_iter().flatten()
        {
            other.wind_on()?;
            if other.n_frames != want {
                let (path, n) = (self.target.path.display(), other.n_frames);
                let reason =
                    format!("has {n} frames, but {path} has {want}; give clips with the same frames");
                return Ok(Error::input(&other.path, reason));
            }
        }
        Ok(Error::input(&self.target.path, "ends before the other clips"))
    }
}
