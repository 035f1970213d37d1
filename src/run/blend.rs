//! How new faces are put into the picture, as it was typed.

use crate::{
    Error, Result,
    blend::{BlendMode, ColorTransfer, Padding, Shows},
    cli,
    face::MaskType,
    settings::{SwapSettings, checked, checked_f64},
    swap::GazeOf,
};

/// Writes what was typed of the composite into the settings.
pub(super) fn settle(args: &cli::BlendArgs, settings: &mut SwapSettings) -> Result<()> {
    if !args.face_mask_types.is_empty() {
        settings.masks.types = mask_types(&args.face_mask_types)?;
    }
    settings.gaze = match args.gaze {
        cli::GazeHow::Target => GazeOf::Target,
        cli::GazeHow::Network => GazeOf::Network,
    };
    settings.masks.occlusion_network.clone_from(&args.occlusion_network);
    if let Some(blur) = args.face_mask_blur {
        settings.blend.feather = checked_f64("--face-mask-blur", blur, 0.0..=0.5)?;
    }
    if !args.face_mask_padding.is_empty() {
        settings.blend.padding = padding(&args.face_mask_padding)?;
    }
    if let Some(n) = args.target_bands {
        settings.blend.small_bands_from_target = checked("--target-bands", n, 0..=4)?;
    }
    settings.blend.mode = match args.blend {
        cli::BlendHow::Paste => BlendMode::Paste,
        cli::BlendHow::Feather => BlendMode::Feather,
        cli::BlendHow::Poisson => BlendMode::Poisson,
        cli::BlendHow::Multiband => BlendMode::MultiBand,
    };
    settings.blend.shows = if args.matte { Shows::Matte } else { Shows::Composite };
    settings.blend.match_detail = args.match_detail == cli::Switch::On;
    settings.grade.transfer = match args.color_transfer {
        cli::ColorTransferHow::None => ColorTransfer::None,
        cli::ColorTransferHow::Mean => ColorTransfer::Mean,
        cli::ColorTransferHow::Reinhard => ColorTransfer::Reinhard,
        cli::ColorTransferHow::Mkl => ColorTransfer::Mkl,
        cli::ColorTransferHow::Sot => ColorTransfer::Sot,
    };
    settings.grade.match_contrast = args.match_contrast == cli::Switch::On;
    Ok(())
}

/// Masks by their names.
pub(super) fn mask_types(names: &[String]) -> Result<Vec<MaskType>> {
    names.iter().map(|name| MaskType::parse(name)).collect()
}

/// Four percentages.
fn padding(percent: &[f64]) -> Result<Padding> {
    const NAME: &str = "--face-mask-padding";
    let [top, right, bottom, left] = percent else {
        let given = percent.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        return Err(Error::setting(
            NAME,
            given,
            "must be four numbers: top, right, bottom, left, in percent",
        ));
    };
    let share = |percent: &f64| Ok(0.01 * checked_f64(NAME, *percent, 0.0..=100.0)?);
    Ok(Padding { top: share(top)?, right: share(right)?, bottom: share(bottom)?, left: share(left)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_four_percentages() {
        let wanted = Padding { top: 0.1, right: 0.0, bottom: 0.25, left: 1.0 };
        assert_eq!(padding(&[10.0, 0.0, 25.0, 100.0]).ok(), Some(wanted));
        for bad in [&[1.0, 2.0][..], &[0.0, 0.0, 101.0, 0.0], &[f64::NAN; 4], &[-1.0, 0.0, 0.0, 0.0]] {
            let told = padding(bad).expect_err("refused").to_string();
            assert!(told.starts_with("--face-mask-padding = "), "{told}");
        }
    }
}
