//! The part of the line that finds and follows faces, put together in one place for swaps, pictures and extraction.

use super::{
    choose::Pick,
    detect::Detector,
    embedding::Embedder,
    finder::{Finder, FinderSettings},
    follow::{DetectEvery, Follower},
    search::Effort,
    track::{Tracker, TrackerSettings},
    witness::Witness,
};
use crate::{
    Result,
    frame::{Found, Frame, Seen, Tracked},
    line::{self, Line, Receiver},
    nn::Runtime,
};

/// How faces are found and followed.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct AnalysisSettings {
    /// What counts as a face.
    pub finder: FinderSettings,
    /// How often whole frames are searched.
    pub detect_every: DetectEvery,
    /// How faces are followed and held still.
    pub tracker: TrackerSettings,
}

/// Detectors for as many threads as are wanted, and the tracker behind them.
#[derive(Debug)]
pub struct Analysis {
    detectors: Vec<Detector>,
    every: u64,
    /// The stage with memory.
    pub tracker: Tracker,
}

impl Analysis {
    /// The analysis of one clip that players turn clockwise by `quarter_turns`, with `n_workers` threads for the
    /// search. Every face is picked.
    ///
    /// # Errors
    /// As [`Runtime::network`].
    pub fn new(
        runtime: &Runtime,
        settings: &AnalysisSettings,
        quarter_turns: u8,
        n_workers: usize,
    ) -> Result<Self> {
        let finder = settings.finder.upright(quarter_turns);
        let detectors = (0..runtime.n_sessions(n_workers))
            .map(|_| Detector::new(runtime, (&finder).into()))
            .collect::<Result<_>>()?;
        let tracker = Tracker::new(&settings.tracker)
            .turned(quarter_turns)
            .following(Follower::new(Finder::new(runtime, &finder)?))
            .knowing(Witness::new(Embedder::new(runtime)?));
        let every = settings.detect_every.n_frames();
        Ok(Self { detectors, every, tracker })
    }

    /// The same for the faces of `picks` alone.
    #[must_use]
    pub fn picking(mut self, picks: Vec<Pick>) -> Self {
        self.tracker = self.tracker.picking(picks);
        self
    }

    /// Adds the two stages to a line.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn into_line(self, line: &mut Line<'_, '_>, frames: Receiver<Frame>) -> Result<Receiver<Tracked>> {
        let workers = self.detectors.into_iter().map(|detector| detector.into_worker(self.every)).collect();
        let found = line.parallel("detect", frames, workers)?;
        line.stage("track", found, self.tracker)
    }

    /// The faces of a single picture, which nothing follows.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when a network fails.
    pub fn single(mut self, frame: Frame) -> Result<Tracked> {
        let seen = Seen::Faces(self.tracker.search(&frame, Effort::Whole)?);
        let tracked = line::single(&mut self.tracker, Found { frame, seen, is_thorough: true })?;
        // The end of the clip: whether everybody who is picked was there.
        line::Stage::finish(&mut self.tracker)?;
        Ok(tracked)
    }
}

#[cfg(test)]
#[path = "analysis_tests.rs"]
mod tests;
