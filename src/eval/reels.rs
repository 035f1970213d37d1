//! Clips that are read side by side.

use std::path::{Path, PathBuf};

use super::EvalSettings;
use crate::{Error, Result, frame::Frame, progress::Watch, video::Decoder};

/// One clip that is read to its end.
pub(super) struct Reel {
    pub(super) path: PathBuf,
    pub(super) decoder: Decoder,
    pub(super) n_frames: u64,
}

impl Reel {
    pub(super) fn open(path: &Path, settings: &EvalSettings) -> Result<Self> {
        Ok(Self { path: path.into(), decoder: Decoder::open(path, &settings.decode)?, n_frames: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>> {
        let frame = self.decoder.next().transpose()?;
        self.n_frames += u64::from(frame.is_some());
        Ok(frame)
    }

    /// Counts what is left.
    fn wind_on(&mut self, watch: &Watch<'_>) -> Result<()> {
        while self.next()?.is_some() {
            if watch.is_stopped() {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }
}

/// The clips side by side.
pub(super) struct Reels {
    pub(super) target: Reel,
    /// In the order of [`Role`]; `None` for those that weren't given.
    others: [Option<Reel>; 4],
}

/// What a clip beside the target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Output,
    Truth,
    Region,
    Rendered,
}

/// One frame of each clip.
pub(super) struct Step {
    pub(super) target: Frame,
    others: [Option<Frame>; 4],
}

impl Step {
    pub(super) fn get(&self, role: Role) -> Option<&Frame> {
        self.others[role as usize].as_ref()
    }
}

impl Reels {
    pub(super) fn open(settings: &EvalSettings) -> Result<Self> {
        let open =
            |path: &Option<PathBuf>| path.as_deref().map(|path| Reel::open(path, settings)).transpose();
        let reels = Self {
            target: Reel::open(&settings.target, settings)?,
            others: [
                open(&settings.output)?,
                open(&settings.truth)?,
                open(&settings.region)?,
                open(&settings.rendered)?,
            ],
        };
        let target = reels.target.decoder.probe();
        let (size, turn) = (target.size_px, (target.quarter_turns, target.is_mirrored));
        for other in reels.others.iter().flatten() {
            let probe = other.decoder.probe();
            if (probe.quarter_turns, probe.is_mirrored) != turn {
                let reason = format!(
                    "is stored turned in another way than {0}; `faceswap {0} -i none -o upright.mkv` turns a clip upright",
                    settings.target.display()
                );
                return Err(Error::input(&other.path, reason));
            }
            let (width, height) = probe.size_px;
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
    pub(super) fn next(&mut self, watch: &Watch<'_>) -> Result<Option<Step>> {
        let target = self.target.next()?;
        let mut others = [const { None }; 4];
        let mut is_even = true;
        for (frame, reel) in others.iter_mut().zip(&mut self.others) {
            if let Some(reel) = reel {
                *frame = reel.next()?;
                is_even &= frame.is_some() == target.is_some();
            }
        }
        if !is_even {
            return Err(self.unequal(watch)?);
        }
        Ok(target.map(|target| Step { target, others }))
    }

    /// Says how long the clips are.
    fn unequal(&mut self, watch: &Watch<'_>) -> Result<Error> {
        self.target.wind_on(watch)?;
        let want = self.target.n_frames;
        for other in self.others.iter_mut().flatten() {
            other.wind_on(watch)?;
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
