//! What is trained, and what becomes of it.

use std::{path::PathBuf, sync::atomic::AtomicBool};

use super::{emit, runtime_settings, style};
use crate::{
    Error, Outcome, Result, cli,
    face_set::report::report,
    measure::identity::Embedder,
    nn::{Runtime, RuntimeSettings},
    progress::Watch,
    settings::{checked, checked_f64, n_hardware_threads},
    swap::manifest,
    train::{
        self, CompressSettings, Compression, Device, ExportSettings, Overrides, Precision, Preset, Source,
        TrainEvent, TrainSettings,
    },
};

/// Trains.
pub(super) fn train(args: cli::TrainArgs, stop: &AtomicBool) -> Result<Outcome> {
    let mut faces = Vec::new();
    for pair in &args.faces {
        let (name, dir) = pair
            .split_once('=')
            .filter(|(name, dir)| !name.is_empty() && !dir.is_empty())
            .ok_or_else(|| Error::setting("--faces", pair, "must be NAME=FOLDER, e.g. A=faces/A"))?;
        if !manifest::is_name(name) || name == cli::NO_IDENTITY {
            let reason = "the name must be a word without / and \\, and not `none`, which swaps nobody";
            return Err(Error::setting("--faces", pair, reason));
        }
        faces.push((name.to_owned(), PathBuf::from(dir)));
    }
    let device = Device::by_name(&args.device)?;
    let asked = args.threads.map(|n| checked("--threads", n, 1..=256)).transpose()?;
    let n_threads = match asked {
        // A GPU takes one thing after the other, and each thread would try its kernels anew.
        _ if device.is_gpu() => 1,
        Some(n) => n,
        // LibTorch shares the work out by itself.
        None if device == Device::Cpu => n_hardware_threads(),
        None => 1,
    };
    let budget = args.budget.as_deref().map(|text| minutes("--for", text)).transpose()?;
    let settings = TrainSettings {
        faces,
        out: args.output,
        init: args.init,
        config: args.config,
        preset: args.preset.as_deref().map(Preset::by_name).transpose()?,
        overrides: Overrides {
            side_px: args.side,
            start_side_px: args.start_side,
            n_steps: args.steps,
            levels: args.levels.iter().map(|text| text.parse()).collect::<Result<_>>()?,
            batch: args.batch.map(|n| checked("--batch", n, 1..=256)).transpose()?,
            learning_rate: args.learning_rate,
            encoder_rate: args.encoder_rate,
            accumulate: args.accumulate,
            balance: args.balance,
            guides: args.guides,
            adversarial: args.adversarial,
            flip: args.flip,
            warp: args.warp,
            seed: args.seed,
        },
        plan_minutes: budget,
        max_minutes: args.minutes.or(budget),
        device,
        n_threads,
        preview: args.preview,
        save_every_minutes: minutes("--save-every", &args.save_every)?,
        n_kept: checked("--keep", args.keep, 1..=1000)?,
    };
    let watch = Watch::new(style(&args.progress), stop);
    // Before any hour is spent.
    for text in warnings(&settings.faces)? {
        watch.event(&TrainEvent::Note { text: format!("warning: {text}") });
    }
    train::train(&settings, &mut |event| watch.event(event), stop)?;
    Ok(Outcome::Whole)
}

/// Faces of each set that are looked at before a training; `faceswap faces report` looks at all.
const N_LOOKED_AT: usize = 100;

/// What is wrong with the faces or missing among them, as far as a quick look says it. Where ONNX Runtime isn't
/// installed, nobody looks whose faces they are.
fn warnings(faces: &[(String, PathBuf)]) -> Result<Vec<String>> {
    let embedder = Runtime::load(&RuntimeSettings::default()).and_then(|runtime| Embedder::new(&runtime));
    report(faces, N_LOOKED_AT, embedder.ok().as_mut()).map(|report| report.warnings)
}

/// Writes an identity of a training, or a compressed copy of one that exists.
pub(super) fn export(args: cli::ExportArgs, stop: &AtomicBool) -> Result<Outcome> {
    let precision = if args.full_precision { Precision::Fp32 } else { args.precision.parse()? };
    let source = if train::is_bundle(&args.source) { copied(&args)? } else { trained(&args, precision)? };
    let is_plain = precision != Precision::Int8 && args.prune == 0.0 && args.calibrate.is_empty();
    if let Source::Training(settings) = &source
        && is_plain
        && args.held_out.is_empty()
    {
        emit(&train::export(settings)?.to_string())?;
        return Ok(Outcome::Whole);
    }
    let settings = CompressSettings {
        source,
        out: args.output,
        precision,
        prune: args.prune,
        tune_steps: checked("--tune-steps", args.tune_steps as usize, 2..=10_000_000)? as u64,
        device: Device::by_name(&args.device)?,
        calibrate: args.calibrate,
        held_out: args.held_out,
        runtime: runtime_settings(&args.runtime)?,
        overwrite: args.overwrite,
    };
    let watch = Watch::new(style(&args.progress), stop);
    let done = train::compress(&settings, &mut |progress| watch.line(&progress.to_string()), stop)?;
    let Some(Compression { bundle, report }) = done else { return Err(Error::Cancelled) };
    emit(&bundle.to_string())?;
    if let Some(report) = report {
        emit(&format!("\n{report}\n"))?;
        report.warnings().iter().try_for_each(|text| emit(&format!("warning: {text}")))?;
    }
    Ok(Outcome::Whole)
}

/// An identity of a training, on the ground that was typed.
fn trained(args: &cli::ExportArgs, precision: Precision) -> Result<Source> {
    let needed = |flag: &'static str, value: &Option<String>, what: &str| {
        let reason = || format!("{what}: {} is a training", args.source.display());
        value.clone().ok_or_else(|| Error::setting(flag, "", reason()))
    };
    let usual = ("last".to_owned(), "LicenseRef-Proprietary".to_owned());
    Ok(Source::Training(Box::new(ExportSettings {
        training: args.source.clone(),
        checkpoint: args.checkpoint.as_ref().unwrap_or(&usual.0).parse()?,
        identity: needed("--identity", &args.identity, "say which of its identities is exported")?,
        out: args.output.clone(),
        subject: needed("--subject", &args.subject, "say whose face it is")?,
        basis: needed("--consent", &args.consent, "say on what ground the face may be used")?,
        date: args.date.clone(),
        licence: args.licence.clone().unwrap_or(usual.1),
        draw_back: match (args.draw_back, &args.towards) {
            (Some(share), Some(dir)) => Some((checked_f64("--draw-back", share, 0.0..=1.0)?, dir.clone())),
            _ => None,
        },
        precision,
        overwrite: args.overwrite,
    })))
}

/// A bundle, whose consent, licence and origin are no matter of choice.
fn copied(args: &cli::ExportArgs) -> Result<Source> {
    let fixed = [
        ("--checkpoint", &args.checkpoint),
        ("--subject", &args.subject),
        ("--consent", &args.consent),
        ("--date", &args.date),
        ("--licence", &args.licence),
    ];
    if let Some((flag, Some(value))) = fixed.into_iter().find(|(_, value)| value.is_some()) {
        let reason = format!("{} is an identity, and its copy keeps what it says", args.source.display());
        return Err(Error::setting(flag, value, reason));
    }
    if let Some(share) = args.draw_back {
        let reason =
            format!("{} is an identity; only what a training made can be drawn back", args.source.display());
        return Err(Error::setting("--draw-back", share, reason));
    }
    let folder = args.output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Source::Bundle { dir: args.source.clone(), name: args.identity.clone().unwrap_or(folder) })
}

/// A time such as `8h`, `90m`, `1h30m` or `45s`, in minutes.
fn minutes(name: &str, text: &str) -> Result<f64> {
    let bad = || Error::setting(name, text, "must be a time, e.g. 8h, 90m, 1h30m or 45s");
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
        let number: f64 = rest[..end].parse().map_err(|_| bad())?;
        let unit = match &rest[end..=end] {
            "h" => 60.0,
            "m" => 1.0,
            "s" => 1.0 / 60.0,
            _ => return Err(bad()),
        };
        total += number * unit;
        rest = &rest[end + 1..];
    }
    if total > 0.0 && total < 1e7 { Ok(total) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_others_refused() {
        for (text, want) in [("8h", 480.0), ("90m", 90.0), ("1h30m", 90.0), ("30s", 0.5), ("1.5h", 90.0)] {
            assert_eq!(minutes("--for", text).expect("a time"), want, "{text}");
        }
        for text in ["", "8", "h", "8 h", "-1h", "1d", "0m", "1h30", "NaNh", "infh"] {
            let told = minutes("--for", text).expect_err("no time").to_string();
            assert!(told.contains("--for") && told.contains("1h30m"), "{told}");
        }
    }
}
