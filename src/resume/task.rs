//! What makes two runs the same job: input, identities, settings, program.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, Result,
    cast::Cast,
    digest::{sha256, sha256_file},
    settings::SwapSettings,
    video::{self, Pattern},
};

/// Bytes at either end of the input that are compared.
const END_BYTES: u64 = 1 << 20;

/// Settings that change how long a run takes and not what it gives.
const PACE: [&str; 4] = ["batch", "threads", "n_workers", "resume"];

/// All that the frames of an output depend on, as names and values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task(BTreeMap<String, String>);

impl Task {
    /// The swap of `input`; without a cast its frames are passed as they are.
    ///
    /// # Errors
    /// [`Error::Io`] when the input can't be read.
    pub fn new(input: &Path, cast: Option<&Cast>, settings: &SwapSettings) -> Result<Self> {
        let mut facts = BTreeMap::from([
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            // Other versions number what packets carry beside their bytes in another way.
            ("FFmpeg".to_owned(), video::ffmpeg_version()),
        ]);
        let io = || Error::io(input);
        let pattern = Pattern::parse(input);
        let first = match &pattern {
            Some(pattern) => {
                let numbers = pattern.numbers()?;
                facts.insert("pictures".into(), pictures(pattern, &numbers)?);
                pattern.path(numbers[0])
            }
            None => input.to_path_buf(),
        };
        let mut file = File::open(&first).map_err(io())?;
        let metadata = file.metadata().map_err(io())?;
        let mut ends = Vec::new();
        file.by_ref().take(END_BYTES).read_to_end(&mut ends).map_err(io())?;
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(END_BYTES))).map_err(io())?;
        file.take(END_BYTES).read_to_end(&mut ends).map_err(io())?;
        facts.insert("input size".into(), metadata.len().to_string());
        facts.insert("input modified".into(), format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec()));
        facts.insert("input content".into(), sha256(&ends));
        for (i, role) in cast.iter().flat_map(|cast| cast.roles()).enumerate() {
            let manifest = format!("{:?}", role.bundle.manifest);
            let name = format!("{} {}", role.bundle.name, &sha256(manifest.as_bytes())[..16]);
            facts.insert(format!("identity {}", i + 1), name);
            let looks = sha256(format!("{:?}", role.pick).as_bytes());
            facts.insert(format!("face {}", i + 1), format!("{} {}", role.pick, &looks[..16]));
        }
        // One that is missing is told where it is loaded, with how to make it.
        let own_network = settings.masks.own_network().filter(|path| cast.is_some() && path.is_file());
        if let Some(path) = own_network {
            // Its name stands among the settings; what it says may have changed.
            let sum = sha256_file(path).map_err(Error::io(path))?;
            facts.insert("occlusion network".into(), sum);
        }
        let settings = serde_json::to_value(settings).unwrap_or(Value::Null);
        flatten("", &settings, &mut facts);
        Ok(Self(facts))
    }

    /// What `now` has otherwise, in words.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let nothing = || "nothing".to_owned();
        let names = self.0.keys().chain(now.0.keys().filter(|name| !self.0.contains_key(*name)));
        names
            .filter(|name| self.0.get(*name) != now.0.get(*name))
            .map(|name| {
                let value = |task: &Self| task.0.get(name).cloned().unwrap_or_else(nothing);
                format!("{name} was {}, is {}", value(self), value(now))
            })
            .collect()
    }

    /// One number for all of it.
    pub fn sha256(&self) -> String {
        sha256(format!("{:?}", self.0).as_bytes())
    }
}

/// The sum over number, length and time of change of every numbered picture: frames of a sequence that was rendered anew must
/// not be joined with those of the old one.
fn pictures(pattern: &Pattern, numbers: &[u64]) -> Result<String> {
    let look = |number: &u64| {
        let path = pattern.path(*number);
        let found = path.metadata().map_err(Error::io(&path))?;
        Ok((*number, found.len(), found.mtime(), found.mtime_nsec()))
    };
    let looks = numbers.iter().map(look).collect::<Result<Vec<_>>>()?;
    Ok(sha256(format!("{looks:?}").as_bytes()))
}

/// Every value in a tree under its path.
fn flatten(path: &str, value: &Value, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !PACE.contains(&name.as_str())) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, facts);
            }
        }
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                flatten(&format!("{path}.{i}"), value, facts);
            }
        }
        value => {
            facts.insert(path.into(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_the_pace_makes_no_difference() {
        let dir = tempfile::tempdir().expect("a folder");
        let input = dir.path().join("in.mp4");
        std::fs::write(&input, b"not read as a video here").expect("written");
        let settings = SwapSettings::for_threads(2);
        let task = |settings: &SwapSettings| Task::new(&input, None, settings).expect("readable");
        let old = task(&settings);
        let mut other = SwapSettings { n_workers: 7, batch: 1, ..settings.clone() };
        other.encode.threads = 5;
        assert_eq!(old.differences(&task(&other)), Vec::<String>::new());
        assert_eq!(old.sha256(), task(&other).sha256());
        other.encode.quality = Some(80);
        assert_eq!(old.differences(&task(&other)), ["encode.quality was null, is 80"]);
        std::fs::write(&input, b"other bytes of that length").expect("written");
        let told = old.differences(&task(&settings)).join("; ");
        assert!(told.contains("input content"), "{told}");
    }

    #[test]
    fn a_picture_in_the_middle_of_a_sequence_that_was_made_anew_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |n: u32| dir.path().join(format!("{n:03}.png"));
        (1..=3).for_each(|n| std::fs::write(at(n), b"a picture").expect("written"));
        let settings = SwapSettings::for_threads(2);
        let task = || Task::new(&dir.path().join("%03d.png"), None, &settings).expect("readable");
        let old = task();
        assert_eq!(old.differences(&task()), Vec::<String>::new());
        let changes: [(&[u8], u64); 2] = [(b"another picture", 0), (b"a picture", 60)];
        for (bytes, later_s) in changes {
            std::fs::write(at(2), bytes).expect("written");
            let file = File::options().write(true).open(at(2)).expect("there");
            let then = std::time::SystemTime::now() + std::time::Duration::from_secs(later_s);
            file.set_modified(then).expect("set");
            let told = old.differences(&task());
            assert!(told.len() == 1 && told[0].starts_with("pictures was"), "{told:?}");
        }
    }
}
