//! What a training is going to be: the network's size, its schedule, and what it begins with.

use burn::tensor::backend::Backend;

use super::{
    TrainSettings,
    base::{Base, grown},
    checkpoint::{self, State},
    config::{self, Preset, TrainConfig},
    data::Alignment,
    model::Comb,
    schedule::{Level, Schedule},
};
use crate::{Error, Result};

/// Whether the encoder is to be shown the meshes: as typed, else as the configuration says, else as the base was.
///
/// # Errors
/// Those of [`TrainConfig::read`] and [`Base::read`].
pub fn wants_guides(settings: &TrainSettings) -> Result<bool> {
    if let Some(guides) = settings.overrides.guides {
        return Ok(guides);
    }
    let saved = settings.out.join(config::FILE_NAME);
    let of_base = || settings.init.as_deref().map_or(Ok(false), |dir| Ok(Base::read(dir)?.alignment.guides));
    match (&settings.config, settings.preset) {
        (Some(path), _) => Ok(TrainConfig::read(path)?.guides),
        (None, None) if saved.exists() => Ok(TrainConfig::read(&saved)?.guides),
        _ => of_base(),
    }
}

/// The plan that follows from the settings.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything that makes the training what it is.
    pub config: TrainConfig,
    /// Which level when, and how fast.
    pub schedule: Schedule,
    base: Option<Base>,
}

impl Plan {
    /// Reads the configuration and the base, if there is one, and checks that everything goes together.
    ///
    /// A configuration is that of a file or a preset; where neither is given, that of the training in the settings'
    /// folder; else the light preset. What was typed overrides it.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for sides that can't be and for a base whose faces were cut unlike `alignment`, else
    /// those of [`TrainConfig::read`] and [`Base::read`].
    pub fn of(settings: &TrainSettings, alignment: &Alignment) -> Result<Self> {
        let base = settings.init.as_deref().map(Base::read).transpose()?;
        if let Some(base) = &base
            && (Alignment { guides: alignment.guides, ..base.alignment.clone() }) != *alignment
        {
            let reason = format!(
                "was trained on faces cut with {:?}, --faces holds {alignment:?}; extract them again",
                base.alignment
            );
            let dir = settings.init.as_deref().unwrap_or(&settings.out);
            return Err(Error::setting("--init", dir.display(), reason));
        }
        let saved = settings.out.join(config::FILE_NAME);
        let base_px = base.as_ref().map(Base::side_px);
        let (config, start_px) = match (&settings.config, settings.preset) {
            (Some(path), _) => (TrainConfig::read(path)?, None),
            (None, Some(preset)) => (preset.config()?, base_px),
            (None, None) if saved.exists() => (TrainConfig::read(&saved)?, None),
            (None, None) => (Preset::Light.config()?, base_px),
        };
        let mut config = config.overridden(&settings.overrides, start_px)?;
        config.guides = alignment.guides;
        if let Some(base) = &base {
            config.network = grown(base, &config.network)?;
            config.levels = begun_at(base.side_px(), config.levels);
        }
        config = resumed(settings, config)?;
        let schedule = Schedule::new(config.levels.clone(), config.learning_rate)?;
        Ok(Self { config, schedule, base })
    }

    /// The network before its first step, with a decoder for each of `names`.
    pub fn first_comb<B: Backend>(&self, names: &[String], device: &B::Device) -> Comb<B> {
        let comb = Comb::new(&self.config.network, names.len(), device);
        match &self.base {
            None => comb,
            Some(base) => base.plant(comb, names, device),
        }
    }

    /// Gives every level more or fewer steps, by one factor for all, so that together they take `seconds`.
    /// `step_s` are the seconds of a step at each level.
    ///
    /// # Errors
    /// None: a level keeps at least one step.
    pub fn fit_into(&mut self, seconds: f64, step_s: &[f64]) -> Result<()> {
        let whole: f64 = self.config.levels.iter().zip(step_s).map(|(l, s)| l.n_steps as f64 * s).sum();
        let factor = seconds / whole.max(1e-9);
        self.config.planned_from = self.config.steps();
        let scaled = |level: &Level| Level {
            n_steps: ((level.n_steps as f64 * factor).round() as u64).max(1),
            ..level.clone()
        };
        self.config.levels = self.config.levels.iter().map(scaled).collect();
        self.schedule = Schedule::new(self.config.levels.clone(), self.config.learning_rate)?;
        Ok(())
    }
}

/// Seconds of a step in the line, when its batches take one thread `draw_s` to draw and its passes take `n_threads` at
/// once `pass_s`: as long as the slower of the two stages, or as all of the work keeps all cores busy.
pub fn pace(draw_s: f64, pass_s: f64, n_threads: usize, n_loaders: usize, n_cores: usize) -> f64 {
    let work_s = draw_s + pass_s * n_threads as f64;
    pass_s.max(draw_s / n_loaders as f64).max(work_s / n_cores as f64)
}

/// `levels`, begun at the side of a base with a step, and with half as many steps as the first one's for each side in
/// between: what is new fades in then, where a first level would throw colours of chance at what has been learnt.
fn begun_at(base_px: usize, levels: Vec<Level>) -> Vec<Level> {
    let Some(first) = levels.first().cloned() else { return levels };
    let missing =
        std::iter::successors(Some(base_px), |px| Some(2 * px)).take_while(|px| *px < first.side_px);
    let n_steps = |side_px| if side_px == base_px { 1 } else { (first.n_steps / 2).max(1) };
    missing
        .map(|side_px| Level { side_px, n_steps: n_steps(side_px), ..first.clone() })
        .chain(levels.clone())
        .collect()
}

/// `config` as the training in the settings' folder goes on with it, if there is one: of that training's size where the side
/// is the wanted one, since it may have begun from a base that isn't there any more; with its seed, and its plan.
///
/// # Errors
/// [`Error::BadSetting`] for another seed, else those of [`checkpoint::state`].
fn resumed(settings: &TrainSettings, mut config: TrainConfig) -> Result<TrainConfig> {
    let Some(path) = checkpoint::newest(&settings.out)? else {
        return Ok(TrainConfig { planned_from: Vec::new(), ..config });
    };
    let found = checkpoint::state::<State>(&path)?;
    if found.comb.side_px() == config.network.side_px() {
        config.network = found.comb;
    }
    // A file that can't be read is written anew, unless it is what is trained.
    let saved = TrainConfig::read(&settings.out.join(config::FILE_NAME)).ok();
    // The checkpoint's own seed is another one after it was taken back to.
    config.seed = saved.as_ref().map_or(found.seed, |saved| saved.seed);
    if let Some(asked) = settings.overrides.seed.filter(|asked| *asked != config.seed) {
        let reason = format!(
            "the training in {} goes on with its own, {}; leave it out, or give another folder",
            settings.out.display(),
            config.seed
        );
        return Err(Error::setting("--seed", asked, reason));
    }
    Ok(saved.map_or(config.clone(), |saved| config.planned_as(&saved)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_as_long_as_what_holds_it_up() {
        // A GPU that waits for nothing; for the loaders; a machine of two cores whose passes take both.
        assert_eq!(pace(0.3, 0.05, 1, 12, 16), 0.05);
        assert_eq!(pace(1.5, 0.05, 1, 12, 16), 0.125);
        assert_eq!(pace(1.0, 2.0, 2, 2, 2), 2.5);
    }
}
