//! What a clip's faces are, before anything is swapped: who is in it, and how still they are held.
//!
//! [`people`] lists the people of a clip, [`jitter`] measures how their points tremble, [`occlusion`] how well what lies in
//! front of them is told, [`mod@audit`] which of them were put in; [`overlay`] draws all that is known of them into a second
//! video. All run the same analysis as a swap.

pub mod people;

pub mod jitter;
pub mod truth;

pub mod occlusion;

pub mod audit;

pub mod overlay;

mod canvas;
mod font;

use std::path::Path;

use crate::{
    Result,
    face::{Analysis, AnalysisSettings, Pick},
    frame::Tracked,
    line,
    nn::Runtime,
    pipeline::until_stopped,
    progress::Watch,
    video::{self, DecodeSettings, Decoder},
};

/// Runs the analysis of a swap over a clip or a picture.
#[derive(Debug)]
pub struct Survey<'a> {
    /// Where the networks run.
    pub runtime: &'a Runtime,
    /// How faces are found and followed.
    pub settings: &'a AnalysisSettings,
    /// Threads that search for faces.
    pub n_workers: usize,
    /// The faces that are kept.
    pub picks: Vec<Pick>,
    /// How clips are read.
    pub decode: DecodeSettings,
}

impl Survey<'_> {
    /// Hands every frame of `input` to `see`, with its faces.
    ///
    /// # Errors
    /// [`crate::Error::BadInput`] and [`crate::Error::Media`] for an input that can't be read, and those of `see`.
    pub fn run(
        &self,
        input: &Path,
        watch: &mut Watch<'_>,
        mut see: impl FnMut(Tracked) -> Result<()>,
    ) -> Result<()> {
        if video::is_picture(input) {
            let frame = video::read_picture(input)?;
            return see(self.analysis(0)?.single(frame)?);
        }
        let mut decoder = Decoder::open(input, &self.decode)?;
        let analysis = self.analysis(decoder.probe().quarter_turns)?;
        watch.start(input, decoder.probe());
        let mut n_frames = 0;
        line::run(|mut line| {
            let frames = line.source("decode", until_stopped(&mut decoder, watch.stop))?;
            let tracked = analysis.into_line(&mut line, frames)?;
            line.drain("survey", tracked, |tracked: Tracked| {
                n_frames += 1;
                watch.frame(n_frames, tracked.faces.len());
                see(tracked)
            })
        })?;
        watch.clear();
        Ok(())
    }

    fn analysis(&self, quarter_turns: u8) -> Result<Analysis> {
        let analysis = Analysis::new(self.runtime, self.settings, quarter_turns, self.n_workers)?;
        Ok(analysis.picking(self.picks.clone()))
    }
}
