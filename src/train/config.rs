//! A training as data: the network, the levels, the rates. Presets are such data; `train.toml` holds it.

use std::{fmt, fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    augment::Augmentation,
    model::CombConfig,
    schedule::{Level, Schedule, SideSteps, even_levels},
};
use crate::{Error, Result, settings::checked_f64};

/// The format that this version writes and reads.
const SCHEMA: &str = "faceswap-train-1";

/// The name of the configuration in a training's folder.
pub const FILE_NAME: &str = "train.toml";

/// A configuration for a machine and a purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 16 to 32 px in seconds: to see that everything works.
    Tiny,
    /// 64 to 128 px with a fraction of the published channels: two cores in hours. What is done when nothing is said.
    Light,
    /// Up to 256 px with a quarter of the published channels: many cores, or a small GPU.
    Laptop,
    /// Up to 512 px with half of the published channels: a GPU.
    Studio,
    /// Up to 1024 px, the published network: a large GPU for days.
    Cinema,
}

impl Preset {
    const ALL: [Self; 5] = [Self::Tiny, Self::Light, Self::Laptop, Self::Studio, Self::Cinema];

    /// The preset called `name`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the known names.
    pub fn by_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.to_string() == name)
            .ok_or_else(|| Error::setting("--preset", name, "must be tiny, light, laptop, studio or cinema"))
    }

    /// Its network with another finished side.
    ///
    /// # Errors
    /// [`Error::BadSetting`] unless the side is 16, 32, .. 1024.
    pub fn network(self, side_px: usize) -> Result<CombConfig> {
        match self {
            Self::Tiny => CombConfig::published(side_px, 1.0 / 16.0),
            Self::Light => CombConfig::light(side_px),
            Self::Laptop => CombConfig::published(side_px, 0.25),
            Self::Studio => CombConfig::published(side_px, 0.5),
            Self::Cinema => CombConfig::published(side_px, 1.0),
        }
    }

    /// Where it starts and ends, pixels, and its steps.
    fn course(self) -> (usize, usize, u64) {
        match self {
            Self::Tiny => (16, 32, 400),
            Self::Light => (64, 128, 30_000),
            Self::Laptop => (16, 256, 60_000),
            Self::Studio => (8, 512, 200_000),
            Self::Cinema => (4, 1024, 400_000),
        }
    }

    /// Samples of an identity that fit at once at a level of `side_px`.
    fn batch(self, side_px: usize) -> usize {
        match self {
            Self::Tiny => 4,
            Self::Light => 8,
            Self::Laptop => (1024 / side_px).clamp(4, 8),
            Self::Studio | Self::Cinema => (4096 / side_px).clamp(4, 16),
        }
    }

    /// The configuration.
    ///
    /// # Errors
    /// None that a preset of this version gives.
    pub fn config(self) -> Result<TrainConfig> {
        let (start_px, side_px, n_steps) = self.course();
        let levels = even_levels(start_px, side_px, n_steps)?;
        let level = |l: &SideSteps| Level::new(l.side_px, l.n_steps, self.batch(l.side_px));
        let learning_rate = match self {
            Self::Tiny => 1e-3,
            Self::Light | Self::Laptop => 2e-4,
            // Wide layers take smaller steps.
            Self::Studio | Self::Cinema => 1e-4,
        };
        Ok(TrainConfig {
            schema: SCHEMA.into(),
            preset: self.to_string(),
            learning_rate,
            encoder_rate: 1.0,
            accumulate: 1,
            balance: 0.5,
            guides: false,
            seed: 1,
            planned_from: Vec::new(),
            network: self.network(side_px)?,
            augmentation: Augmentation::default(),
            levels: levels.iter().map(level).collect(),
        })
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tiny => "tiny",
            Self::Light => "light",
            Self::Laptop => "laptop",
            Self::Studio => "studio",
            Self::Cinema => "cinema",
        })
    }
}

/// Everything that makes a training what it is, but its faces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Format of the file.
    pub schema: String,
    /// The preset that it began as.
    pub preset: String,
    /// Adam's rate.
    pub learning_rate: f64,
    /// The encoder's rate as a share of it, 0..=1; at 0 the encoder stays as it is.
    pub encoder_rate: f64,
    /// Batches whose gradients are added up for one step of Adam.
    pub accumulate: usize,
    /// How much more often rare poses and expressions are drawn, 0 (as often as they are) to 1 (as often as any other).
    pub balance: f64,
    /// Whether the encoder is shown the mesh, painted over the crop (see [`crate::face::guides`]).
    #[serde(default)]
    pub guides: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// The levels' steps as they were before they were planned into a time; empty where they weren't.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planned_from: Vec<u64>,
    /// The network's size.
    pub network: CombConfig,
    /// What is done to a face before the encoder sees it.
    pub augmentation: Augmentation,
    /// What is trained one after the other.
    #[serde(rename = "level")]
    pub levels: Vec<Level>,
}

/// What the command line changes of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Side of the finished network, pixels.
    pub side_px: Option<usize>,
    /// Side at which training starts, pixels.
    pub start_side_px: Option<usize>,
    /// Steps in all.
    pub n_steps: Option<u64>,
    /// The sides and their steps, one by one, in place of the three above.
    pub levels: Vec<SideSteps>,
    /// Samples of every identity in a step.
    pub batch: Option<usize>,
    /// See [`TrainConfig::learning_rate`].
    pub learning_rate: Option<f64>,
    /// See [`TrainConfig::encoder_rate`].
    pub encoder_rate: Option<f64>,
    /// See [`TrainConfig::accumulate`].
    pub accumulate: Option<usize>,
    /// See [`TrainConfig::balance`].
    pub balance: Option<f64>,
    /// See [`Augmentation::flip`].
    pub flip: Option<f64>,
    /// See [`Augmentation::warp`].
    pub warp: Option<f64>,
    /// See [`TrainConfig::guides`].
    pub guides: Option<bool>,
    /// Weight of the adversarial part of the loss at the last level.
    pub adversarial: Option<f64>,
    /// See [`TrainConfig::seed`].
    pub seed: Option<u64>,
}

impl TrainConfig {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`Error::BadInput`] naming what is wrong, [`Error::Io`] when it can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let config: Self = toml::from_str(&text).map_err(|e| Error::input(path, e.to_string()))?;
        if config.schema != SCHEMA {
            return Err(Error::input(path, format!("schema {}, this version reads {SCHEMA}", config.schema)));
        }
        config.checked().map_err(|e| Error::input(path, e.to_string()))
    }

    /// The configuration as a file's text.
    ///
    /// # Errors
    /// None that a checked configuration gives.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Device(format!("the configuration can't be written: {e}")))
    }

    /// That everything is in its range, and the levels are those of the network.
    ///
    /// # Errors
    /// [`Error::BadSetting`] naming what isn't.
    pub fn checked(self) -> Result<Self> {
        checked_f64("learning_rate", self.learning_rate, 1e-7..=1.0)?;
        checked_f64("encoder_rate", self.encoder_rate, 0.0..=1.0)?;
        checked_f64("balance", self.balance, 0.0..=1.0)?;
        checked_f64("augmentation.flip", self.augmentation.flip, 0.0..=1.0)?;
        checked_f64("augmentation.warp", self.augmentation.warp, 0.0..=0.1)?;
        checked_f64("augmentation.shade", self.augmentation.shade, 0.0..=2.0)?;
        checked_f64("augmentation.jpeg", self.augmentation.jpeg, 0.0..=1.0)?;
        let Augmentation { rotation_deg, scale, shift, light, colour, noise, .. } = self.augmentation;
        checked_f64("augmentation.rotation_deg", rotation_deg, 0.0..=180.0)?;
        for (name, value) in
            [("scale", scale), ("shift", shift), ("light", light), ("colour", colour), ("noise", noise)]
        {
            checked_f64(&format!("augmentation.{name}"), value, 0.0..=0.9)?;
        }
        crate::settings::checked("accumulate", self.accumulate, 1..=1024)?;
        if let Some(objection) = self.network.objection() {
            return Err(Error::setting("network", "", objection));
        }
        let schedule = Schedule::new(self.levels.clone(), self.learning_rate)?;
        let (ends, side_px) = (schedule.levels().last().map_or(0, |l| l.side_px), self.network.side_px());
        if ends != side_px {
            let reason = format!("the last one must be that of the network, {side_px} px");
            return Err(Error::setting("[[level]]", format!("{ends} px"), reason));
        }
        Ok(self)
    }

    /// The levels' steps.
    pub fn steps(&self) -> Vec<u64> {
        self.levels.iter().map(|level| level.n_steps).collect()
    }

    /// The configuration with the steps that the training of `saved` was planned with, where it is what they were planned
    /// from: the same command goes on. Whoever asks for other steps or sides gets these.
    #[must_use]
    pub fn planned_as(mut self, saved: &Self) -> Self {
        let sides = |of: &Self| -> Vec<usize> { of.levels.iter().map(|level| level.side_px).collect() };
        let has_same_sides = sides(&self) == sides(saved);
        if has_same_sides && self.steps() == saved.planned_from {
            self.levels.iter_mut().zip(&saved.levels).for_each(|(level, of)| level.n_steps = of.n_steps);
        }
        let is_same = has_same_sides && self.steps() == saved.steps();
        self.planned_from = if is_same { saved.planned_from.clone() } else { Vec::new() };
        self
    }

    /// Side of the finished network, pixels.
    pub fn side_px(&self) -> usize {
        self.levels.last().map_or_else(|| self.network.side_px(), |level| level.side_px)
    }

    /// The configuration with what was typed instead, `start_px` being where it starts where nobody says.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for what can't be.
    pub fn overridden(mut self, by: &Overrides, start_px: Option<usize>) -> Result<Self> {
        let levels = self.wanted_levels(by, start_px)?;
        if let Some(levels) = levels {
            self.levels = levels.iter().map(|level| self.level_like(*level)).collect();
            let side_px = self.side_px();
            if side_px != self.network.side_px() {
                self.network = match Preset::by_name(&self.preset) {
                    // A preset says what its network looks like at any side, unless somebody has changed it.
                    Ok(preset) if preset.network(self.network.side_px())? == self.network => {
                        preset.network(side_px)?
                    }
                    _ => self.network.cut(side_px)?,
                };
            }
        }
        if let Some(batch) = by.batch {
            self.levels.iter_mut().for_each(|level| level.batch = batch);
        }
        self.learning_rate = by.learning_rate.unwrap_or(self.learning_rate);
        self.encoder_rate = by.encoder_rate.unwrap_or(self.encoder_rate);
        self.accumulate = by.accumulate.unwrap_or(self.accumulate);
        self.balance = by.balance.unwrap_or(self.balance);
        self.augmentation.flip = by.flip.unwrap_or(self.augmentation.flip);
        self.augmentation.warp = by.warp.unwrap_or(self.augmentation.warp);
        self.guides = by.guides.unwrap_or(self.guides);
        if let (Some(weight), Some(last)) = (by.adversarial, self.levels.last_mut()) {
            last.loss.adversarial = weight;
        }
        self.seed = by.seed.unwrap_or(self.seed);
        self.checked()
    }

    /// Sides and steps where somebody wants other ones than the configuration's.
    fn wanted_levels(&self, by: &Overrides, start_px: Option<usize>) -> Result<Option<Vec<SideSteps>>> {
        if !by.levels.is_empty() {
            return Ok(Some(by.levels.clone()));
        }
        let own_start_px = self.levels.first().map_or(4, |level| level.side_px);
        let is_as_it_is = by.side_px.is_none()
            && by.start_side_px.is_none()
            && by.n_steps.is_none()
            && start_px.is_none_or(|px| px == own_start_px);
        if is_as_it_is {
            return Ok(None);
        }
        let side_px = by.side_px.unwrap_or_else(|| self.side_px().max(start_px.unwrap_or(0)));
        // A start above the end is the base's fault, and is told as such.
        let start_px = by.start_side_px.unwrap_or(start_px.unwrap_or(own_start_px).min(side_px));
        let own_steps = self.levels.iter().map(|level| level.n_steps).sum();
        even_levels(start_px, side_px, by.n_steps.unwrap_or(own_steps)).map(Some)
    }

    /// A level with the steps that are wanted, else like the configuration's of that side or the nearest to it.
    fn level_like(&self, SideSteps { side_px, n_steps }: SideSteps) -> Level {
        let distance = |level: &&Level| level.side_px.max(1).ilog2().abs_diff(side_px.max(1).ilog2());
        match self.levels.iter().min_by_key(distance) {
            Some(level) => Level { side_px, n_steps, ..level.clone() },
            None => Level::new(side_px, n_steps, 8),
        }
    }
}

/// What a person reads at the start of a training.
impl fmt::Display for TrainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [encoder, decoder] = self.network.n_parameters().map(|n| n as f64 / 1e6);
        let giga = self.network.n_multiplications().iter().sum::<u64>() as f64 / 1e9;
        writeln!(
            f,
            "network: {} px, {encoder:.1} M parameters in the encoder and {decoder:.1} M in each decoder, {giga:.2} GMAC a swap",
            self.network.side_px()
        )?;
        for level in &self.levels {
            let Level { side_px, n_steps, batch, .. } = level;
            let fade = if level.side_px == self.levels[0].side_px { 0.0 } else { level.fade * 100.0 };
            writeln!(
                f,
                "level:   {side_px} px, {n_steps} steps ({fade:.0} % fading in), {batch} faces of each, rate {:.1e}{}",
                level.rate * self.learning_rate,
                match level.loss.adversarial {
                    0.0 => String::new(),
                    weight => format!(", adversarial {weight}"),
                }
            )?;
        }
        let Self { accumulate, encoder_rate, balance, seed, .. } = self;
        let Augmentation { flip, warp, .. } = self.augmentation;
        write!(
            f,
            "steps of {accumulate} batches, the encoder at {encoder_rate} of the rate, flip {flip}, warp {warp}, balance {balance}, seed {seed}{}",
            if self.guides { ", guided by the mesh" } else { "" }
        )
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
