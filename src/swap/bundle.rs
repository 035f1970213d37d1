//! The folder of an identity: `identity.toml` and two networks.
//!
//! What is checked on loading: the manifest and its consent, that the networks lie inside the folder and are the ones
//! that the manifest means (SHA-256), that they are plain ONNX in one file, and that their shapes fit each other and
//! the manifest.

use std::{
    fmt, fs,
    path::{Component, Path, PathBuf},
};

use super::{
    inspect::{self, Interface, Objection, Port},
    manifest::{FILE_NAME, Manifest, NetworkFile},
};
use crate::{Error, Result, digest::sha256, face::Template};

/// An identity, checked and ready to be swapped in.
#[derive(Clone)]
pub struct Bundle {
    /// What users call it.
    pub name: String,
    /// Side of the crop that the networks take and give, pixels.
    pub side_px: usize,
    /// What faces are aligned to.
    pub template: Template,
    /// Side of the crop over the larger side of the template's box.
    pub margin: f64,
    /// Whether the encoder is shown the mesh, painted over the crop.
    pub guides: bool,
    /// Whether the decoder says where its face is.
    pub has_mask: bool,
    /// All that the manifest says.
    pub manifest: Manifest,
    /// Its folder.
    pub dir: PathBuf,
    pub(crate) encoder: Vec<u8>,
    pub(crate) decoder: Vec<u8>,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("manifest", &self.manifest)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// One line for a person: name, side, whose face on what ground, licence, training.
impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { consent, licence, training, compressed, .. } = &self.manifest;
        write!(
            f,
            "{}  {} px  {} ({}, {})  {licence}",
            self.name, self.side_px, consent.subject, consent.basis, consent.date
        )?;
        if let Some(t) = training {
            write!(f, "  {} steps, {} samples, {:.0} min", t.steps, t.samples, t.minutes)?;
        }
        compressed.as_ref().map_or(Ok(()), |compressed| write!(f, "  {compressed}"))
    }
}

impl Bundle {
    /// Reads and checks the identity in the folder `dir`.
    ///
    /// # Errors
    /// [`Error::Refused`] without consent, for a path that leaves the folder, and for networks with parts outside
    /// their file; [`Error::BadModel`] when something doesn't fit; [`Error::Io`] when a file can't be read.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let manifest = Manifest::parse(&text, &path)?;
        let read = |network: &NetworkFile| {
            let path = path_inside(dir, &network.file)?;
            fs::read(&path).map_err(Error::io(&path))
        };
        let networks = [read(&manifest.networks.encoder)?, read(&manifest.networks.decoder)?];
        Self::of_parts(dir, manifest, networks)
    }

    /// The identity of a manifest and its two networks, encoder and decoder, wherever their bytes come from; `dir` is
    /// where they lie, or will lie.
    ///
    /// # Errors
    /// As [`Bundle::load`], but for those of files.
    pub(crate) fn of_parts(dir: &Path, manifest: Manifest, networks: [Vec<u8>; 2]) -> Result<Self> {
        let template = Template::by_name(&manifest.alignment.template).map_err(|e| {
            Error::model(dir.join(FILE_NAME), format!("{e}; a newer version of this program may know it"))
        })?;
        let [encoder, decoder] = networks;
        let encoder = Part::of(dir, &manifest.networks.encoder, encoder)?;
        let decoder = Part::of(dir, &manifest.networks.decoder, decoder)?;
        let has_mask = check_shapes(&encoder, &decoder, manifest.side_px)?;
        Ok(Self {
            name: manifest.name.clone(),
            side_px: manifest.side_px,
            template,
            margin: manifest.alignment.margin,
            guides: manifest.alignment.guides,
            has_mask,
            manifest,
            dir: dir.into(),
            encoder: encoder.bytes,
            decoder: decoder.bytes,
        })
    }
}

/// An identity that lies in a folder, whole or broken.
#[derive(Debug)]
pub struct Installed {
    /// Its name; the folder's where the manifest can't be read.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// The identity, or what is wrong with it.
    pub bundle: Result<Bundle>,
}

/// The identities of `dirs`: each sub-folder, or sub-folder of `identities`, that holds an `identity.toml`; sorted by
/// folder, in the order of `dirs`. Folders that can't be read have none. A hidden one is what an export that was killed
/// has left.
pub fn installed(dirs: &[PathBuf]) -> Vec<Installed> {
    candidates(dirs).map(|path| load_candidate(&path)).collect()
}

/// The identity `name`, looked for as in [`installed`]; the first one counts.
///
/// # Errors
/// [`Error::BadSetting`] with the known names and the folders that were searched, else those of [`Bundle::load`].
pub fn find(name: &str, dirs: &[PathBuf]) -> Result<Bundle> {
    let paths: Vec<PathBuf> = candidates(dirs).collect();
    if let Some(path) = paths.iter().find(|path| folder_name(path) == name) {
        return Bundle::load(path);
    }
    let mut known = Vec::new();
    for path in &paths {
        let entry = load_candidate(path);
        if entry.name == name {
            return entry.bundle;
        }
        if !known.contains(&entry.name) {
            known.push(entry.name);
        }
    }
    Err(Error::setting("--identity", name, unknown(name, &known, dirs)))
}

/// Why no identity of this name was found, and what to do.
fn unknown(name: &str, known: &[String], dirs: &[PathBuf]) -> String {
    if Path::new(name).is_file() {
        return "is a file, and an identity is trained: one picture doesn't show how a face moves; docs/train.md says how \
                (a few minutes of footage)"
            .into();
    }
    if let Some(other) = known.iter().find(|other| other.eq_ignore_ascii_case(name)) {
        return format!("is not installed; {other} is");
    }
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    let searched: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    format!("is not installed; known: {known}; searched: {}", searched.join(", "))
}

fn candidates(dirs: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    dirs.iter().flat_map(|dir| [dir.clone(), dir.join("identities")]).flat_map(|dir| {
        let mut paths: Vec<PathBuf> = fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| !folder_name(path).starts_with('.') && path.join(FILE_NAME).is_file())
            .collect();
        paths.sort();
        paths
    })
}

fn folder_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn load_candidate(path: &Path) -> Installed {
    let bundle = Bundle::load(path);
    let name = bundle.as_ref().map_or_else(|_| folder_name(path), |bundle| bundle.name.clone());
    Installed { name, path: path.into(), bundle }
}

/// A network's file that is what the manifest means.
struct Part {
    path: PathBuf,
    bytes: Vec<u8>,
    interface: Interface,
}

impl Part {
    fn of(dir: &Path, network: &NetworkFile, bytes: Vec<u8>) -> Result<Self> {
        let path = dir.join(&network.file);
        let sum = sha256(&bytes);
        if !sum.eq_ignore_ascii_case(&network.sha256) {
            let reason = format!(
                "its sha256 is {sum}, {FILE_NAME} says {}: the file was changed or damaged; install the identity again",
                network.sha256
            );
            return Err(Error::model(&path, reason));
        }
        let interface = inspect::interface(&bytes).map_err(|objection| match objection {
            Objection::Broken(reason) => Error::model(&path, reason),
            Objection::Forbidden(reason) => Error::Refused { path: path.clone(), reason },
        })?;
        Ok(Self { path, bytes, interface })
    }

    /// That `port` has these axes; `None` admits any length.
    fn check(&self, what: &str, port: &Port, want: [Option<u64>; 4]) -> Result<()> {
        let fits = port.shape.len() == 4
            && port
                .shape
                .iter()
                .zip(want)
                .all(|(have, want)| have.is_none() || want.is_none() || *have == want);
        if fits && port.shape[0].is_none() {
            return Ok(());
        }
        let axes = want.map(|n| n.map_or("any".into(), |n| n.to_string())).join(", ");
        Err(Error::model(
            &self.path,
            format!("the network's {what} is {port}, by the manifest it must be [{axes}]"),
        ))
    }
}

/// `file` in `dir`, if it really lies there.
fn path_inside(dir: &Path, file: &str) -> Result<PathBuf> {
    let path = dir.join(file);
    let refused = || Error::Refused {
        path: dir.join(FILE_NAME),
        reason: format!("file = {file:?} leads out of the identity's folder; its networks must lie inside"),
    };
    let is_plain =
        !file.is_empty() && Path::new(file).components().all(|c| matches!(c, Component::Normal(_)));
    if !is_plain {
        return Err(refused());
    }
    // A symbolic link can lead out too.
    let (real, real_dir) =
        (path.canonicalize().map_err(Error::io(&path))?, dir.canonicalize().map_err(Error::io(dir))?);
    if real.starts_with(real_dir) { Ok(path) } else { Err(refused()) }
}

/// That encoder and decoder fit each other and the manifest; gives whether there is a mask.
fn check_shapes(encoder: &Part, decoder: &Part, side_px: usize) -> Result<bool> {
    let side = Some(side_px as u64);
    let ports = |part: &Part| {
        let Interface { inputs, outputs } = &part.interface;
        match (&inputs[..], &outputs[..]) {
            ([input], [output, rest @ ..]) if rest.len() < 2 => {
                Ok((input.clone(), output.clone(), rest.first().cloned()))
            }
            _ => {
                let reason = format!(
                    "the network has {} inputs and {} outputs, wanted are 1 and 1 or 2",
                    inputs.len(),
                    outputs.len()
                );
                Err(Error::model(&part.path, reason))
            }
        }
    };
    let (face, latent, _) = ports(encoder)?;
    encoder.check("input", &face, [None, Some(3), side, side])?;
    encoder.check("output", &latent, [None, None, Some(1), Some(1)])?;
    let (code, face, mask) = ports(decoder)?;
    decoder.check("input", &code, [None, latent.shape[1], Some(1), Some(1)])?;
    decoder.check("output", &face, [None, Some(3), side, side])?;
    if let Some(mask) = &mask {
        decoder.check("second output", mask, [None, Some(1), side, side])?;
    }
    Ok(mask.is_some())
}
