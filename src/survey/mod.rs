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
mod footage;

use std::{
    io::{self, Cursor},
    path::Path,
};

use image::{ImageFormat, RgbImage};

use self::footage::Footage;
use crate::{
    Error, Result,
    face::{Analysis, AnalysisSettings, Pick},
    frame::Tracked,
    line,
    nn::Runtime,
    progress::Watch,
    resume::durable,
    video::{DamagedFrames, DecodeSettings, SourceSettings},
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
    /// Which frames are seen, as a swap takes them; `None` for all of a clip, woven ones as they are.
    pub part: Option<SourceSettings>,
}

impl Survey<'_> {
    /// Hands every frame of `input` to `see`, with its faces. Gives what is damaged of it.
    ///
    /// # Errors
    /// [`crate::Error::BadInput`] and [`crate::Error::Media`] for an input that can't be read, and those of `see`.
    pub fn run(
        &self,
        input: &Path,
        watch: &mut Watch<'_>,
        see: impl FnMut(Tracked) -> Result<()>,
    ) -> Result<Vec<DamagedFrames>> {
        self.run_over(self.open(input)?, input, watch, see)
    }

    /// Opens `input` for [`Survey::run_over`].
    fn open(&self, input: &Path) -> Result<Footage> {
        Footage::open(input, &self.decode, self.part.as_ref())
    }

    /// The same over an `input` that was opened, for those who must know first what its frames look like.
    fn run_over(
        &self,
        mut footage: Footage,
        input: &Path,
        watch: &mut Watch<'_>,
        mut see: impl FnMut(Tracked) -> Result<()>,
    ) -> Result<Vec<DamagedFrames>> {
        let Some(probe) = footage.probe() else {
            for frame in footage {
                see(self.analysis(0)?.single(frame?)?)?;
            }
            return Ok(Vec::new());
        };
        let analysis = self.analysis(probe.quarter_turns)?;
        watch.start(input, probe);
        let mut n_frames = 0;
        line::run(|mut line| {
            let frames = line.source("decode", footage.frames(watch.stop))?;
            let tracked = analysis.into_line(&mut line, frames)?;
            line.drain("survey", tracked, |tracked: Tracked| {
                n_frames += 1;
                watch.frame(n_frames, tracked.faces.len());
                see(tracked)
            })
        })?;
        watch.clear();
        Ok(footage.damage().to_vec())
    }

    fn analysis(&self, quarter_turns: u8) -> Result<Analysis> {
        let analysis = Analysis::new(self.runtime, self.settings, quarter_turns, self.n_workers)?;
        Ok(analysis.picking(self.picks.clone()))
    }
}

/// Writes a PNG that has its name only when it is whole.
///
/// # Errors
/// [`Error::Io`] when it can't be written.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| Error::Io { path: path.into(), source: io::Error::other(e) })?;
    durable::replace_file(path, bytes.get_ref())
}
