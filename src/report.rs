//! What happened to one file: the record that `--report` writes, and its short form on the terminal.

mod people;
mod record;

pub use people::{Person, Tally};
pub use record::Record;

use std::{collections::BTreeMap, fmt, path::Path};

use serde::Serialize;

use crate::{
    Error, Result,
    cast::Cast,
    digest::{sha256, sha256_file},
    face,
    settings::SwapSettings,
    swap::{Gaze, GazeOf, manifest},
    video::{DamagedFrames, Tracks},
};

/// The format of the record.
pub const SCHEMA: &str = "faceswap-report-1";

/// What is told of a swap that changed nothing.
pub const NO_FACE: &str =
    "no face was found that is to be replaced (`faceswap faces` lists who is found), so nothing is new";

/// What happened to one file.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Format of this record, [`SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// Frames, counted at both ends of the line.
    pub frames: FrameCounts,
    /// Who was replaced by whom, in the order in which they were given.
    pub people: Vec<Person>,
    /// Presentation times of the output's first and last frame.
    pub pts: Times,
    /// How well sound and picture of the output lie together, compared with the input.
    pub sync: Sync,
    /// What became of everything that is not the picture.
    pub tracks: Tracks,
    /// Frames of the output that don't show what was filmed; empty for a whole input.
    pub damage: Vec<DamagedFrames>,
    /// What the user ought to know beside: a scaled picture, a clock that was set anew.
    pub notes: Vec<String>,
    /// Width and height of the output, pixels.
    pub size_px: (usize, usize),
    /// Wall time from the first frame to the renamed output, seconds.
    pub seconds: f64,
    /// What each stage worked, in the order of the line.
    pub stages: Vec<StageTime>,
}

/// Frames, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FrameCounts {
    /// Frames that went into the line.
    pub decoded: u64,
    /// Frames that went into the output; equal to `decoded`, or the run has failed.
    pub written: u64,
    /// Frames in which at least one face was replaced.
    pub swapped: u64,
    /// Frames in which none was.
    pub without_face: u64,
    /// Frames of these that an interrupted run had left.
    pub resumed: u64,
}

/// Presentation times, in ticks of the time base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Of the first frame.
    pub first: i64,
    /// Of the last frame.
    pub last: i64,
    /// A tick in seconds, as a fraction.
    pub time_base: (i32, i32),
}

/// How far sound and picture of the output are from where the input has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Sync {
    /// The largest distance of any frame or copied packet, milliseconds: what the container's ticks round.
    pub max_skew_ms: f64,
}

/// The working time of one stage.
#[derive(Debug, Clone, Serialize)]
pub struct StageTime {
    /// The stage's name.
    pub name: String,
    /// Threads that share the work.
    pub n_workers: usize,
    /// Working time of a frame on one of them, milliseconds.
    pub ms_per_frame: f64,
    /// Working time as a share of the wall time times the workers, 0..=1.
    pub busy: f64,
}

impl Report {
    /// Frames of this run per second of wall time.
    pub fn fps(&self) -> f64 {
        (self.frames.written - self.frames.resumed) as f64 / self.seconds
    }

    /// Output megapixels per second of wall time.
    pub fn mp_per_s(&self) -> f64 {
        self.fps() * (self.size_px.0 * self.size_px.1) as f64 / 1e6
    }

    /// Whether the input was damaged.
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }
}

/// What the terminal shows: sync in one line, each of several people in one, damage in one.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tracks { copied, converted, dropped } = &self.tracks;
        write!(f, "sync: within {:.1} ms", self.sync.max_skew_ms)?;
        for (tracks, what) in [(copied, "copied"), (converted, "converted"), (dropped, "dropped")] {
            if !tracks.is_empty() {
                write!(
                    f,
                    ", {} {} {what}",
                    tracks.len(),
                    if tracks.len() == 1 { "track" } else { "tracks" }
                )?;
            }
        }
        if self.people.len() > 1 {
            self.people.iter().try_for_each(|person| write!(f, "\n{person}"))?;
        }
        if self.damage.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}", told_damage(&self.damage, Some("--report")))
    }
}

/// Damage in one line for the terminal; `list` is what has all of it, if anything has.
pub(crate) fn told_damage(damage: &[DamagedFrames], list: Option<&str>) -> String {
    let shown = 6;
    let ranges: Vec<String> = damage.iter().take(shown).map(ToString::to_string).collect();
    let more = match damage.len().saturating_sub(shown) {
        0 => String::new(),
        n => list.map_or(format!("; and {n} more"), |list| format!("; and {n} more ({list} lists them)")),
    };
    format!("damage: {}{more}", ranges.join("; "))
}

/// SHA-256 of all that a run depends on and of what it gave, in hexadecimal digits.
#[derive(Debug, Clone, Serialize)]
pub struct Sums {
    /// The input; `None` for a sequence of pictures.
    pub input: Option<String>,
    /// The output; `None` for a sequence of pictures.
    pub output: Option<String>,
    /// The identities' manifests, by name; none when nothing was swapped.
    pub bundle: BTreeMap<String, String>,
    /// The networks, by name.
    pub networks: BTreeMap<String, String>,
}

impl Sums {
    /// Reads both files once. `settings` are those of the swap.
    ///
    /// # Errors
    /// [`Error::Io`] when one can't be read.
    pub fn of(input: &Path, output: &Path, cast: Option<&Cast>, settings: &SwapSettings) -> Result<Self> {
        let file = |path: &Path| sha256_file(path).map_err(Error::io(path));
        let sum = |path: &Path| path.is_file().then(|| file(path)).transpose();
        let (mut bundles, mut networks) = (BTreeMap::new(), BTreeMap::new());
        for role in cast.iter().flat_map(|cast| cast.roles()) {
            let (name, parts) = (&role.bundle.name, &role.bundle.manifest.networks);
            networks.insert(format!("{name}/encoder"), parts.encoder.sha256.to_lowercase());
            networks.insert(format!("{name}/decoder"), parts.decoder.sha256.to_lowercase());
            bundles.insert(name.clone(), file(&role.bundle.dir.join(manifest::FILE_NAME))?);
        }
        if cast.is_some() {
            let (landmarks, masks) = (settings.faces.finder.landmarks.network, &settings.masks);
            let used = face::networks(landmarks, masks);
            let of_gaze = (settings.gaze == GazeOf::Target).then(Gaze::network);
            networks.extend(used.chain(of_gaze).map(|(name, bytes)| (name.into(), sha256(bytes))));
            if let Some(path) = masks.own_network() {
                networks.insert("occlusion".into(), file(path)?);
            }
        }
        Ok(Self { input: sum(input)?, output: sum(output)?, bundle: bundles, networks })
    }
}
