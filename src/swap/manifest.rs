//! `identity.toml`: what is true of an identity.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The format that this version writes and reads.
pub const SCHEMA: &str = "faceswap-identity-1";

/// The manifest's name in its folder.
pub const FILE_NAME: &str = "identity.toml";

/// The manifest of an identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the folder, [`SCHEMA`].
    pub schema: String,
    /// What users call the identity.
    pub name: String,
    /// Side of the crop that the networks take and give, pixels.
    pub side_px: usize,
    /// Order of the colours; always `rgb`.
    pub channel_order: String,
    /// Values of black and white; always 0 and 1.
    pub value_range: [f32; 2],
    /// Licence of the bundle (SPDX).
    pub licence: String,
    /// How a face has to be cut.
    pub alignment: Alignment,
    /// The networks.
    pub networks: Networks,
    /// Whose face it is, and on what ground it may be used.
    pub consent: Consent,
    /// Whose student it is, where it was distilled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
    /// What was taken away from its networks after training, where anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<Compressed>,
    /// Where the weights come from.
    pub training: Option<Training>,
}

/// How a face has to be cut and shown, the same in training and in swapping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alignment {
    /// Name of the template, see [`crate::face::Template`].
    pub template: String,
    /// Side of the crop over the larger side of the template's box.
    pub margin: f64,
    /// Whether the encoder is shown the mesh, painted over the crop (see [`crate::face::guides`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guides: bool,
}

/// The two halves of the autoencoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Networks {
    /// Face to latent code.
    pub encoder: NetworkFile,
    /// Latent code to face and mask.
    pub decoder: NetworkFile,
}

/// A network's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// Path inside the bundle's folder.
    pub file: String,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
}

/// The ground on which somebody's face may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// It is the face of whoever made the bundle.
    #[serde(rename = "self")]
    Own,
    /// There is a written consent.
    Written,
    /// The footage's licence allows it.
    Licence,
    /// Nobody has this face.
    Synthetic,
    /// The footage is in the public domain, and so is the right to the picture.
    PublicDomain,
}

impl Basis {
    const ALL: [Self; 5] = [Self::Own, Self::Written, Self::Licence, Self::Synthetic, Self::PublicDomain];

    /// The basis called `name`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the known names, under `--consent`.
    pub fn by_name(name: &str) -> Result<Self> {
        let known = || format!("must be {}", Self::known());
        Self::ALL
            .into_iter()
            .find(|basis| basis.name() == name)
            .ok_or_else(|| Error::setting("--consent", name, known()))
    }

    /// The name in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Written => "written",
            Self::Licence => "licence",
            Self::Synthetic => "synthetic",
            Self::PublicDomain => "public-domain",
        }
    }

    /// All names, for messages.
    fn known() -> String {
        let [first @ .., last] = Self::ALL.map(Self::name);
        format!("{} or {last}", first.join(", "))
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose face it is, and on what ground it may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Whose face it is.
    pub subject: String,
    /// The ground.
    pub basis: Basis,
    /// The consent's date, `YYYY-MM-DD`.
    pub date: String,
    /// Anything else, for example where the paper lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a distilled identity learnt from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distilled {
    /// The teacher's name.
    pub teacher: String,
    /// SHA-256 of the teacher's encoder, 64 hexadecimal digits.
    pub teacher_encoder_sha256: String,
    /// SHA-256 of the teacher's decoder.
    pub teacher_decoder_sha256: String,
    /// What makes the student smaller, for a person to read.
    pub student: String,
    /// What it was trained to do, in this order.
    pub stages: Vec<String>,
}

/// What was taken away from an identity's networks after training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compressed {
    /// The name of the identity that it was made from.
    pub from: String,
    /// SHA-256 of that one's encoder, 64 hexadecimal digits.
    pub from_encoder_sha256: String,
    /// SHA-256 of that one's decoder.
    pub from_decoder_sha256: String,
    /// Numbers that its networks hold: `fp32`, `fp16` (they compute in 32 bits), or `int8`.
    pub precision: String,
    /// Share of the channels that was to be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<f64>,
    /// Faces that the ranges of 8 bits, or the channels that are left, were fitted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated_on: Option<usize>,
    /// PSNR to the pictures of what it was made from, on faces that it wasn't fitted to, dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr_db: Option<f64>,
}

/// A few words for a person: `int8 of B, 30 % pruned`.
impl fmt::Display for Compressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.precision, self.from)?;
        match self.pruned {
            Some(share) => write!(f, ", {:.0} % pruned", share * 100.0),
            None => Ok(()),
        }
    }
}

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Version of this program that trained.
    pub version: String,
    /// Day of the export, `YYYY-MM-DD`.
    pub date: String,
    /// Steps of the optimizer.
    pub steps: u64,
    /// Samples seen, all identities together.
    pub samples: u64,
    /// Minutes of training.
    pub minutes: f64,
    /// All identities that the encoder was trained on, in the order of their decoders.
    pub identities: Vec<String>,
    /// Faces of each of them.
    pub n_faces: Vec<usize>,
    /// SHA-256 of the encoder's 32-bit weights: equal in bundles of one training. One that begins with exported weights
    /// and keeps their encoder has another, where they were rounded to 16 bits; the files are the same.
    pub encoder_weights_sha256: String,
    /// How it was trained: the network, the levels, the rates, as in the training's `train.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<toml::Table>,
    /// The share of the way that the weights went back, at the export, to those which the training began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn_back: Option<f64>,
}

impl Manifest {
    /// Reads and checks a manifest; `path` stands in messages.
    ///
    /// # Errors
    /// [`Error::Refused`] without a consent that holds; [`Error::BadModel`] for anything else that is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let table: toml::Table = toml::from_str(text).map_err(|e| Error::model(path, e.to_string()))?;
        // The schema comes first: what another version calls its fields is no mistake of the user.
        match table.get("schema").and_then(toml::Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => {
                let reason =
                    format!("schema is {other:?}, this version reads {SCHEMA:?}; export the identity again");
                return Err(Error::model(path, reason));
            }
            None => return Err(Error::model(path, format!("has no schema = {SCHEMA:?}: not an identity"))),
        }
        check_consent(&table, path)?;
        let manifest: Self = toml::from_str(text).map_err(|e| Error::model(path, e.to_string()))?;
        manifest.check(path)?;
        Ok(manifest)
    }

    #[expect(clippy::float_cmp, reason = "these two values are written exactly or not at all")]
    fn check(&self, path: &Path) -> Result<()> {
        let bad = |reason: String| Err(Error::model(path, reason));
        if !is_name(&self.name) {
            return bad(format!("name = {:?} must be a word without / \\ and control characters", self.name));
        }
        if !(8..=4096).contains(&self.side_px) {
            return bad(format!("side_px = {} must be 8 to 4096", self.side_px));
        }
        if self.channel_order != "rgb" {
            return bad(format!("channel_order = {:?} must be \"rgb\"", self.channel_order));
        }
        if self.value_range != [0.0, 1.0] {
            return bad(format!("value_range = {:?} must be [0.0, 1.0]", self.value_range));
        }
        if !(0.5..=4.0).contains(&self.alignment.margin) {
            return bad(format!("margin = {} must be 0.5 to 4", self.alignment.margin));
        }
        for network in [&self.networks.encoder, &self.networks.decoder] {
            let sum = &network.sha256;
            if sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit()) {
                return bad(format!("sha256 = {sum:?} of {} must be 64 hexadecimal digits", network.file));
            }
        }
        Ok(())
    }
}

/// Whether `name` can be the name of an identity and of its folder.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.trim() == name
        && !name.starts_with('.')
        && !name.chars().any(|c| c.is_control() || "/\\".contains(c))
}

/// Whether `date` looks like a day, `YYYY-MM-DD`.
pub fn is_date(date: &str) -> bool {
    let parts: Vec<&str> = date.split('-').collect();
    let number = |i: usize, len: usize, range: std::ops::RangeInclusive<u32>| {
        let digits = |part: &&&str| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        parts.get(i).filter(digits).and_then(|part| part.parse().ok()).is_some_and(|n| range.contains(&n))
    };
    parts.len() == 3 && number(0, 4, 1900..=9999) && number(1, 2, 1..=12) && number(2, 2, 1..=31)
}

/// A consent that is missing or says nothing is refused with the lines that are wanted.
fn check_consent(table: &toml::Table, path: &Path) -> Result<()> {
    let refused = |reason: String| Err(Error::Refused { path: path.into(), reason });
    let Some(consent) = table.get("consent").and_then(toml::Value::as_table) else {
        return refused(format!(
            "nobody's consent is told. If you may use this face, add these lines and fill them in truthfully:\n\n\
             [consent]\nsubject = \"whose face it is\"\nbasis = \"written\" # {}\ndate = \"YYYY-MM-DD\"\n",
            Basis::known()
        ));
    };
    let text = |key: &str| consent.get(key).and_then(toml::Value::as_str).map(str::trim).unwrap_or_default();
    if text("subject").is_empty() {
        return refused(
            "the consent names nobody: under [consent] add subject = \"whose face it is\"".into(),
        );
    }
    if Basis::by_name(text("basis")).is_err() {
        let basis = text("basis");
        return refused(format!(
            "basis = {basis:?} is no ground to use a face: under [consent] it must be {}",
            Basis::known()
        ));
    }
    if !is_date(text("date")) {
        return refused(format!("date = {:?} under [consent] must be a day, \"YYYY-MM-DD\"", text("date")));
    }
    Ok(())
}
