//! Which frames of the input are meant.

use crate::{
    Error, Result, cli,
    video::{OnDamage, OnUnsupported, Pattern, SourceSettings, Trim, parse_rate, parse_time},
};

/// Number of the first picture of the output.
pub(super) fn start_number(args: &cli::SwapArgs) -> Result<Option<u64>> {
    const MAX: u64 = 999_999_999_999;
    let Some(number) = args.start_number else { return Ok(None) };
    let wrong = |reason: &str| Error::setting("--start-number", number, reason);
    if args.output.as_deref().and_then(Pattern::parse).is_none() {
        return Err(wrong("is for numbered pictures as output, e.g. -o out/%05d.png"));
    }
    if number > MAX {
        return Err(wrong("must be at most 12 digits long"));
    }
    Ok(Some(number))
}

/// What is shown in the place of frames that can't be decoded.
pub(super) fn on_damage(choice: cli::DamageChoice) -> OnDamage {
    match choice {
        cli::DamageChoice::Repeat => OnDamage::Repeat,
        cli::DamageChoice::Skip => OnDamage::Skip,
        cli::DamageChoice::Stop => OnDamage::Stop,
    }
}

/// What becomes of tracks that the output can't hold.
pub(super) fn on_unsupported(choice: cli::UnsupportedChoice) -> OnUnsupported {
    match choice {
        cli::UnsupportedChoice::Drop => OnUnsupported::Drop,
        cli::UnsupportedChoice::Convert => OnUnsupported::Convert,
        cli::UnsupportedChoice::Fail => OnUnsupported::Fail,
    }
}

/// Which part of the input is wanted, at which rate.
pub(super) fn source_settings(args: &cli::PartArgs) -> Result<SourceSettings> {
    let time = |name, text: &Option<String>| text.as_deref().map(|t| parse_time(name, t)).transpose();
    let rate = |name, text: &Option<String>| text.as_deref().map(|t| parse_rate(name, t)).transpose();
    let trim = Trim {
        start_frame: args.trim_frame_start,
        end_frame: args.trim_frame_end,
        from_s: time("--from", &args.from)?,
        to_s: time("--to", &args.to)?,
    };
    Ok(SourceSettings {
        trim: trim.checked()?,
        rate: rate("--output-video-fps", &args.output_video_fps)?,
        deinterlace: args.deinterlace,
        sequence_rate: rate("--input-fps", &args.input_fps)?,
    })
}
