//! What a training is going to be: the network's size, its schedule, and what it begins with.

use burn::tensor::backend::Backend;

use super::{
    TrainSettings,
    base::{Base, grown},
    checkpoint::{self, State},
    data::Alignment,
    model::{Comb, CombConfig},
    schedule::{Schedule, even_levels},
};
use crate::{Error, Result};

/// Side at which a training from chance starts, pixels.
const START_SIDE_PX: usize = 64;

/// The plan that follows from the settings.
#[derive(Debug)]
pub struct Plan {
    /// The network's size.
    pub comb: CombConfig,
    /// Which level when, and how fast.
    pub schedule: Schedule,
    base: Option<Base>,
}

impl Plan {
    /// Reads the base, if there is one, and checks that everything goes together.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for sides that can't be and for a base whose faces were cut unlike `alignment`, else
    /// those of [`Base::read`].
    pub fn of(settings: &TrainSettings, alignment: &Alignment) -> Result<Self> {
        let base = settings.init.as_deref().map(Base::read).transpose()?;
        let side_px = settings.levels.last().map_or(settings.side_px, |level| level.side_px);
        let (comb, start) = match &base {
            None => (CombConfig::light(side_px)?, START_SIDE_PX.min(side_px)),
            Some(base) => (grown(base, side_px)?, base.side_px()),
        };
        if let Some(base) = &base
            && base.alignment != *alignment
        {
            let reason = format!(
                "was trained on faces cut with {:?}, --faces holds {alignment:?}; extract them again",
                base.alignment
            );
            let dir = settings.init.as_deref().unwrap_or(&settings.out);
            return Err(Error::setting("--init", dir.display(), reason));
        }
        let levels = match &settings.levels[..] {
            [] => even_levels(settings.start_side_px.unwrap_or(start), side_px, settings.max_steps)?,
            levels => levels.to_vec(),
        };
        let schedule = Schedule::new(levels, settings.learning_rate)?;
        Ok(Self { comb: checkpointed(settings, comb)?, schedule, base })
    }

    /// The network before its first step, with a decoder for each of `names`.
    pub fn first_comb<B: Backend>(&self, names: &[String], device: &B::Device) -> Comb<B> {
        let comb = Comb::new(&self.comb, names.len(), device);
        match &self.base {
            None => comb,
            Some(base) => base.plant(comb, names, device),
        }
    }
}

/// The size of the training in the settings' folder, if there is one of the wanted side; else `comb`. One that began
/// from a base goes on without it.
fn checkpointed(settings: &TrainSettings, comb: CombConfig) -> Result<CombConfig> {
    let Some(path) = checkpoint::newest(&settings.out)? else { return Ok(comb) };
    let found = checkpoint::state::<State>(&path)?.comb;
    Ok(if found.side_px() == comb.side_px() { found } else { comb })
}
