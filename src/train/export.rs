//! From a checkpoint to the bundle of one identity: two ONNX networks and the manifest.
//!
//! Exported is the moving average of the weights, at the side that the training has reached.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use burn::{
    backend::{Flex, flex::FlexDevice},
    nn::conv::{Conv2d, ConvTranspose2d},
    tensor::{Tensor, backend::Backend},
};

use super::{
    base::Base,
    checkpoint::{self, State},
    compress::Precision,
    config::{self, TrainConfig},
    model::{Comb, Decoder, Encoder, Pair, SLOPE, side_of_level},
    onnx::{GraphWriter, Value, Weights},
};
use crate::{
    Error, Result,
    digest::sha256,
    swap::{
        Basis, Bundle, Consent, Manifest,
        manifest::{self, Alignment, NetworkFile, Networks, Training},
    },
};

/// Which of a training's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpoint {
    /// The newest.
    #[default]
    Last,
    /// The one with the best score.
    Best,
    /// That of a step.
    Step(u64),
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "last" => Ok(Self::Last),
            "best" => Ok(Self::Best),
            _ => text
                .parse()
                .map(Self::Step)
                .map_err(|_| Error::setting("--checkpoint", text, "must be last, best or a step")),
        }
    }
}

impl Checkpoint {
    fn of(self, training: &Path) -> Result<PathBuf> {
        let found = match self {
            Self::Last => checkpoint::newest(training)?,
            Self::Best => checkpoint::best::<State>(training)?,
            Self::Step(step) => checkpoint::of_step(training, step)?,
        };
        found.ok_or_else(|| match self {
            Self::Last => Error::model(training, "holds no checkpoint; train first"),
            Self::Best => Error::model(training, "holds no checkpoint with a score; give --checkpoint last"),
            Self::Step(step) => Error::model(
                training,
                format!("holds no checkpoint of step {step}; see its folder checkpoints"),
            ),
        })
    }
}

/// What is exported, and on what ground.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// Folder of the training.
    pub training: PathBuf,
    /// Which of its checkpoints.
    pub checkpoint: Checkpoint,
    /// Which of its identities.
    pub identity: String,
    /// Folder of the bundle.
    pub out: PathBuf,
    /// Whose face it is.
    pub subject: String,
    /// On what ground it may be used, see [`Basis`].
    pub basis: String,
    /// Date of the consent, `YYYY-MM-DD`; today by default.
    pub date: Option<String>,
    /// Licence of the bundle (SPDX).
    pub licence: String,
    /// A share, 0..=1, of the way back to the identities in a folder, from which the training went on.
    pub draw_back: Option<(f64, PathBuf)>,
    /// How the weights are stored: fp32 or fp16. For int8 see [`compress`](super::compress()).
    pub precision: Precision,
    /// Replace a bundle that exists.
    pub overwrite: bool,
}

/// Writes the bundle of one identity of a training, and reads it back.
///
/// # Errors
/// [`Error::BadSetting`] for a name, consent or folder that can't be; [`Error::BadModel`] for a training without
/// checkpoint or in the middle of fading in a level; [`Error::Io`] when the bundle can't be written.
pub fn export(settings: &ExportSettings) -> Result<Bundle> {
    check_out(&settings.out, settings.overwrite)?;
    let bundle = in_memory(settings)?;
    let files = [("encoder.onnx", bundle.encoder), ("decoder.onnx", bundle.decoder)];
    write(&settings.out, &bundle.manifest, &files)?;
    Bundle::load(&settings.out)
}

/// The bundle that [`export`] would write, of which nothing lies on disk.
///
/// # Errors
/// As [`export`], but for those of writing.
pub(super) fn in_memory(settings: &ExportSettings) -> Result<Bundle> {
    let consent = consent(settings)?;
    let checkpoint = settings.checkpoint.of(&settings.training)?;
    let state: State = checkpoint::state(&checkpoint)?;
    let who = position(&state, &settings.identity)?;
    if state.stage.alpha < 1.0 {
        let (side, percent) = (side_of_level(state.stage.level), state.stage.alpha * 100.0);
        let reason = format!(
            "the level of {side} px has faded in to {percent:.0} % only; train on, or give --checkpoint best"
        );
        return Err(Error::model(&checkpoint, reason));
    }
    let device = FlexDevice;
    let fresh = Comb::<Flex>::new(&state.comb, state.identities.len(), &device);
    let mut comb = checkpoint::average::<Flex, _>(&checkpoint, fresh, &device)?;
    if let Some((share, dir)) = &settings.draw_back {
        let sizes = (&state.comb, &state.identities[..]);
        comb = Base::read(dir)
            .and_then(|base| base.drawn_back(comb, sizes, *share, &device))
            .map_err(|e| told_of_draw_back(e, dir))?;
    }
    let weights = match settings.precision {
        Precision::Fp32 => Weights::Full,
        Precision::Fp16 => Weights::Half,
        Precision::Int8 => {
            return Err(Error::setting("--precision", "int8", "needs faces: give --calibrate FOLDER"));
        }
    };
    let (level, latent) = (state.stage.level, state.comb.latent);
    let files = [
        ("encoder.onnx", encoder_onnx(&comb.encoder, level, latent, weights)),
        ("decoder.onnx", decoder_onnx(&comb.decoders[who], level, latent, weights)),
    ];
    let [encoder, decoder] =
        [0, 1].map(|i| NetworkFile { file: files[i].0.into(), sha256: sha256(&files[i].1) });
    let manifest = Manifest {
        schema: manifest::SCHEMA.into(),
        name: settings.identity.clone(),
        side_px: side_of_level(level),
        channel_order: "rgb".into(),
        value_range: [0.0, 1.0],
        licence: settings.licence.clone(),
        alignment: Alignment {
            template: state.alignment.template.clone(),
            margin: state.alignment.margin,
            guides: state.alignment.guides,
        },
        networks: Networks { encoder, decoder },
        consent,
        distilled: None,
        compressed: None,
        training: Some(Training {
            version: env!("CARGO_PKG_VERSION").into(),
            date: today(),
            steps: state.step,
            samples: state.n_samples,
            // A tenth of a minute is as much as anybody wants to read.
            minutes: (state.minutes * 10.0).round() / 10.0,
            encoder_weights_sha256: sha256(&encoder_onnx(&comb.encoder, level, latent, Weights::Full)),
            identities: state.identities,
            n_faces: state.n_faces,
            config: configuration(&settings.training)?,
            drawn_back: settings.draw_back.as_ref().map(|(share, _)| *share),
        }),
    };
    Bundle::of_parts(&settings.out, manifest, files.map(|(_, bytes)| bytes))
}

/// The same error, told of the flag that names the folder.
fn told_of_draw_back(error: Error, dir: &Path) -> Error {
    match error {
        Error::BadSetting { reason, .. } => Error::setting("--towards", dir.display(), reason),
        other => other,
    }
}

/// What the training's folder says of how it was trained; one of an earlier version says nothing.
fn configuration(training: &Path) -> Result<Option<toml::Table>> {
    let path = training.join(config::FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    let text = TrainConfig::read(&path)?.to_toml()?;
    toml::from_str(&text).map(Some).map_err(|e| Error::model(&path, e.to_string()))
}

fn consent(settings: &ExportSettings) -> Result<Consent> {
    let basis = Basis::by_name(&settings.basis)?;
    let subject = settings.subject.trim().to_owned();
    if subject.is_empty() {
        return Err(Error::setting("--subject", &settings.subject, "say whose face it is"));
    }
    let date = settings.date.clone().unwrap_or_else(today);
    if !manifest::is_date(&date) {
        return Err(Error::setting("--date", date, "must be a day, YYYY-MM-DD"));
    }
    if !manifest::is_name(&settings.identity) {
        return Err(Error::setting("--identity", &settings.identity, "must be a word without / and \\"));
    }
    Ok(Consent { subject, basis, date, note: None })
}

fn position(state: &State, name: &str) -> Result<usize> {
    state.identities.iter().position(|identity| identity == name).ok_or_else(|| {
        let known = state.identities.join(", ");
        Error::setting("--identity", name, format!("is not in this training, which has {known}"))
    })
}

/// Only a bundle is ever replaced, whatever `overwrite` says: the folder might be somebody's home.
pub(super) fn check_out(out: &Path, overwrite: bool) -> Result<()> {
    let refused = |reason: &str| Err(Error::setting("--output", out.display(), reason));
    if out.join(manifest::FILE_NAME).exists() {
        return if overwrite {
            Ok(())
        } else {
            refused("holds an identity; give --overwrite or another folder")
        };
    }
    let is_used = out.symlink_metadata().is_ok()
        && !fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if is_used { refused("exists and is no identity; give another folder") } else { Ok(()) }
}

/// Writes the folder under a temporary name, and renames it when it is whole.
///
/// # Errors
/// [`Error::Io`] when it can't be written; what was there before is there then, and nothing half.
pub(super) fn write(out: &Path, manifest: &Manifest, files: &[(&str, Vec<u8>)]) -> Result<()> {
    let text = toml::to_string_pretty(manifest).map_err(|e| Error::model(out, e.to_string()))?;
    let text = format!("# An identity for faceswap. Both networks belong to it; change neither.\n\n{text}");
    let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let [partial, old] =
        ["partial", "old"].map(|end| parent.join(format!(".{name}.{}.{end}", std::process::id())));
    let all =
        files.iter().map(|(name, bytes)| (*name, &bytes[..])).chain([(manifest::FILE_NAME, text.as_bytes())]);
    let put = fill(&partial, all).and_then(|()| put_in_place(&partial, out, &old));
    if put.is_err() {
        // What is half would take the room that the next one needs.
        let _ = fs::remove_dir_all(&partial);
    }
    put
}

/// Makes the folder `dir` of whole files.
fn fill<'a>(dir: &Path, files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::write(&path, bytes).map_err(Error::io(&path))?;
        fs::File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path))?;
    }
    Ok(())
}

/// Renames the folder `new` to `out`; one that is there is called `old` for the moment in between.
fn put_in_place(new: &Path, out: &Path, old: &Path) -> Result<()> {
    let is_replaced = out.exists();
    if is_replaced {
        fs::rename(out, old).map_err(Error::io(out))?;
    }
    if let Err(e) = fs::rename(new, out) {
        if is_replaced {
            // What can't be put back lies there under its other name.
            let _ = fs::rename(old, out);
        }
        return Err(Error::io(out)(e));
    }
    if is_replaced {
        fs::remove_dir_all(old).map_err(Error::io(old))?;
    }
    Ok(())
}

/// The encoder at `level`: `face` `[batch, 3, side, side]` to `latent` `[batch, latent, 1, 1]`.
pub fn encoder_onnx<B: Backend>(
    encoder: &Encoder<B>,
    level: usize,
    latent: usize,
    weights: Weights,
) -> Vec<u8> {
    let mut graph = GraphWriter::new("encoder", weights);
    let side = side_of_level(level);
    let mut h = graph.input("face", &[3, side, side]);
    h = leaky(&mut graph, h, &encoder.from_rgb[level], 0);
    for (i, levels) in encoder.levels[..level].iter().enumerate().rev() {
        h = pair(&mut graph, h, levels);
        if !encoder.is_in_patches(i + 1) {
            h = graph.halved(h);
        }
    }
    if let Some(coarse) = &encoder.coarse {
        h = leaky(&mut graph, h, coarse, 1);
    }
    h = leaky(&mut graph, h, &encoder.last, 0);
    graph.output("latent", h, &[latent, 1, 1]);
    graph.finish()
}

/// A decoder at `level`: `latent` `[batch, latent, 1, 1]` to `face` `[batch, 3, side, side]` and `mask`
/// `[batch, 1, side, side]`.
pub fn decoder_onnx<B: Backend>(
    decoder: &Decoder<B>,
    level: usize,
    latent: usize,
    weights: Weights,
) -> Vec<u8> {
    let mut graph = GraphWriter::new("decoder", weights);
    let side = side_of_level(level);
    let mut h = graph.input("latent", &[latent, 1, 1]);
    h = leaky(&mut graph, h, &decoder.first, 3);
    if let Some(coarse) = &decoder.coarse {
        h = leaky(&mut graph, h, coarse, 1);
    }
    for (i, levels) in decoder.levels[..level].iter().enumerate() {
        let is_doubled = !decoder.is_in_patches(i + 1);
        if let (Some(depthwise), true) = (levels.mixed_first(), is_doubled) {
            let mixed = conv(&mut graph, h, &levels.a, 0);
            let doubled = graph.doubled(mixed);
            let first = leaky(&mut graph, doubled, depthwise, 1);
            h = three_by_three(&mut graph, first, &levels.b, levels.b_depthwise.as_ref());
        } else {
            if is_doubled {
                h = graph.doubled(h);
            }
            h = pair(&mut graph, h, levels);
        }
    }
    h = match &decoder.to_patches {
        Some(c) if decoder.is_in_patches(level) => patches(&mut graph, h, c),
        _ => conv(&mut graph, h, &decoder.to_rgb[level], 0),
    };
    h = graph.sigmoid(h);
    let face = graph.channels(h.clone(), 0, 3);
    let mask = graph.channels(h, 3, 4);
    graph.output("face", face, &[3, side, side]);
    graph.output("mask", mask, &[1, side, side]);
    graph.finish()
}

/// A transposed convolution of 2x2 with stride 2. ONNX Runtime 1.31 takes longer for the same sums as a 1x1 convolution to all
/// pixels of a patch and a `DepthToSpace`.
fn patches<B: Backend>(graph: &mut GraphWriter, x: Value, c: &ConvTranspose2d<B>) -> Value {
    let (weight, bias) = (c.weight.val(), c.bias.as_ref().map(|bias| values(bias.val())));
    let dims = weight.dims();
    let bias = bias.unwrap_or_else(|| vec![0.0; dims[1]]);
    graph.channels_to_patches(x, dims, &values(weight), &bias)
}

fn pair<B: Backend>(graph: &mut GraphWriter, x: Value, pair: &Pair<B>) -> Value {
    let h = three_by_three(graph, x, &pair.a, pair.a_depthwise.as_ref());
    three_by_three(graph, h, &pair.b, pair.b_depthwise.as_ref())
}

/// One of a pair with its rectifier; in two where it is separable.
fn three_by_three<B: Backend>(
    graph: &mut GraphWriter,
    x: Value,
    c: &Conv2d<B>,
    depthwise: Option<&Conv2d<B>>,
) -> Value {
    match depthwise {
        None => leaky(graph, x, c, 1),
        Some(depthwise) => {
            let h = conv(graph, x, depthwise, 1);
            leaky(graph, h, c, 0)
        }
    }
}

/// A convolution with the leaky rectifier after it.
pub(super) fn leaky<B: Backend>(graph: &mut GraphWriter, x: Value, c: &Conv2d<B>, pad: usize) -> Value {
    let h = conv(graph, x, c, pad);
    graph.leaky_relu(h, SLOPE as f32)
}

/// A convolution.
pub(super) fn conv<B: Backend>(graph: &mut GraphWriter, x: Value, c: &Conv2d<B>, pad: usize) -> Value {
    let weight = c.weight.val();
    let dims = weight.dims();
    let bias = c.bias.as_ref().map_or_else(|| vec![0.0; dims[0]], |bias| values(bias.val()));
    match c.groups {
        1 if c.stride != [1, 1] => graph.patches_to_channels(x, dims, &values(weight), &bias),
        1 => graph.conv(x, dims, &values(weight), &bias, pad),
        groups => graph.grouped_conv(x, dims, &values(weight), &bias, pad, groups),
    }
}

/// A tensor's numbers, row by row.
fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The day in UTC, `YYYY-MM-DD`.
pub(super) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    day((seconds / 86_400) as i64)
}

/// The day that is `days` after 1970-01-01, in the Gregorian calendar (H. Hinnant, `civil_from_days`).
fn day(days: i64) -> String {
    // Eras of 400 years from 0000-03-01: a leap day then ends its year.
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
