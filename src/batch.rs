//! Files and folders: many swaps one after the other, or side by side. One failure is told and remembered, the rest go
//! on.

mod folder;
mod ledger;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Instant,
};

use crate::{
    Error, Result,
    blend::{Grader, Shows, blend},
    cast::Cast,
    crash,
    face::{Analysis, Masker, Steadier},
    frame::Swapped,
    line::single,
    pipeline::{self, Swap},
    progress::Watch,
    report::{self, FrameCounts, Record, Report, Sync, Tally, Times},
    resume,
    settings::{SwapSettings, output_in, output_path},
    swap::{Gaze, GazeOf, Swapper},
    video,
};

/// Endings of the files that a folder is searched for, beside what is a picture by its content.
const ENDINGS: [&str; 34] = [
    "mp4", "mov", "m4v", "mkv", "webm", "avi", "ts", "m2ts", "mts", "mxf", "mpg", "mpeg", "m2v", "vob",
    "m2p", "tod", "wmv", "asf", "flv", "f4v", "ogv", "3gp", "3g2", "dv", "rm", "rmvb", "gif", "png", "jpg",
    "jpeg", "webp", "bmp", "tif", "tiff",
];

/// What is to be done, the files aside.
#[derive(Debug)]
pub struct Job<'a> {
    /// Who is replaced by whom; `None` passes every picture as it is.
    pub swap: Option<Swap<'a>>,
    /// How.
    pub settings: &'a SwapSettings,
    /// Existing outputs are replaced.
    pub overwrite: bool,
    /// Files of a folder that are symbolic links are taken, too.
    pub follow_symlinks: bool,
    /// Files of a folder that are worked on at once; at least 1.
    pub n_jobs: usize,
}

impl Job<'_> {
    /// Swaps `inputs`: a file, a folder, or several files. `output` is a file for the one file, else a folder.
    ///
    /// # Errors
    /// Those of the one file, or [`Error::SomeFailed`] after several; see [`pipeline::swap_video`].
    pub fn run(
        &self,
        inputs: &[PathBuf],
        output: Option<&Path>,
        watch: &mut Watch<'_>,
        record: &mut Record,
    ) -> Result<Outcome> {
        let Some(input) = single_file(inputs) else {
            return self.run_folder(inputs, output, watch, record);
        };
        let output = output_path(input, output, &self.name(), self.overwrite)?;
        let result = self.run_file(input, &output, watch);
        record.add(input, &output, self.cast(), self.settings, result.as_ref())?;
        Ok(if result?.is_damaged() { Outcome::Damaged } else { Outcome::Whole })
    }

    /// What [`Job::run`] is going to read, and where each of it goes.
    ///
    /// # Errors
    /// As [`output_path`] and [`media_files`].
    pub fn pairs(&self, inputs: &[PathBuf], output: Option<&Path>) -> Result<Vec<(PathBuf, PathBuf)>> {
        if let Some(input) = single_file(inputs) {
            let output = output_path(input, output, &self.name(), self.overwrite)?;
            return Ok(vec![(input.into(), output)]);
        }
        let out_dir = self.out_dir(inputs, output)?;
        let files = self.files(inputs)?.files;
        Ok(files.into_iter().map(|file| (file.clone(), output_in(&out_dir, &file))).collect())
    }

    fn cast(&self) -> Option<&Cast> {
        self.swap.map(|swap| swap.cast)
    }

    /// What is added to the names of outputs.
    fn name(&self) -> String {
        let name = self.cast().map_or("none".into(), Cast::name);
        if self.settings.blend.shows == Shows::Matte { name + "_matte" } else { name }
    }

    fn run_file(&self, input: &Path, output: &Path, watch: &mut Watch<'_>) -> Result<Report> {
        crash::working_on(input);
        let report = if video::is_picture(input) {
            self.swap_picture(input, output)?
        } else {
            let done = pipeline::swap_video(input, output, self.swap, self.settings, watch);
            done.inspect_err(|error| tell_kept(output, error, watch))?
        };
        watch.done(output, &report);
        Ok(report)
    }

    /// A picture is a clip of one frame that nothing follows.
    fn swap_picture(&self, input: &Path, output: &Path) -> Result<Report> {
        if self.settings.encode.scale.is_some() {
            let reason = "is for videos and numbered pictures; a single picture keeps its size";
            return Err(Error::setting("--output-video-scale", input.display(), reason));
        }
        let start = Instant::now();
        let frame = video::read_picture_within(input, self.settings.decode.max_pixels)?;
        let (frame, replaced) = match self.swap {
            None => (frame, Vec::new()),
            Some(Swap { cast, runtime }) => {
                let analysis = Analysis::new(runtime, &self.settings.faces, 0, 1)?;
                let tracked = analysis.picking(cast.picks()).single(frame)?;
                let mut swapper = Swapper::for_cast(runtime, cast, self.settings.batch)?;
                let mut swapped: Swapped = single(&mut swapper, tracked)?;
                if self.settings.gaze == GazeOf::Target {
                    swapped = single(&mut Gaze::new(runtime)?, swapped)?;
                }
                Masker::new(runtime, &self.settings.masks)?.look(&mut swapped)?;
                let swapped = single(&mut Steadier::default(), swapped)?;
                let swapped = single(&mut Grader::new(&self.settings.grade), swapped)?;
                let replaced = swapped.faces.iter().map(|new| new.face.replaced()).collect();
                (blend(swapped, &self.settings.blend)?, replaced)
            }
        };
        // What shows no new face is no fake.
        let label = self.settings.encode.label.as_deref().filter(|_| !replaced.is_empty());
        video::write_picture(output, &frame.picture, input, label)?;
        let mut tally = Tally::default();
        tally.add(&replaced);
        let n_swapped = u64::from(!replaced.is_empty());
        let no_face = self.swap.is_some() && replaced.is_empty();
        let is_unlabelled = label.is_some() && !video::holds_label(output);
        let notes = [
            (no_face, report::NO_FACE),
            (video::holds_more(input), video::MORE_PICTURES),
            (is_unlabelled, video::NO_ROOM_FOR_LABEL),
        ];
        Ok(Report {
            schema: report::SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            frames: FrameCounts {
                decoded: 1,
                written: 1,
                swapped: n_swapped,
                without_face: 1 - n_swapped,
                resumed: 0,
            },
            people: tally.people(self.cast()),
            pts: Times { first: 0, last: 0, time_base: (1, 1) },
            sync: Sync::default(),
            tracks: video::Tracks::default(),
            damage: Vec::new(),
            notes: notes.into_iter().filter(|(holds, _)| *holds).map(|(_, note)| note.into()).collect(),
            size_px: frame.picture.size_px(),
            seconds: start.elapsed().as_secs_f64(),
            stages: Vec::new(),
        })
    }

    /// A bug that one file brings to light must not end the night's work.
    fn run_shielded(&self, input: &Path, output: &Path, watch: &mut Watch<'_>) -> Result<Report> {
        let result = catch_unwind(AssertUnwindSafe(|| self.run_file(input, output, watch)));
        result.unwrap_or_else(|_| {
            Err(Error::input(input, "a bug in this program; please report it with this file"))
        })
    }
}

/// How a run without errors ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of every input is in its output.
    Whole,
    /// An input was damaged; its output holds what could be read.
    Damaged,
    /// An audit found more than its limit allows.
    Exceeded,
}

/// Says what a run that failed has left, unless it never began.
fn tell_kept(output: &Path, error: &Error, watch: &mut Watch<'_>) {
    if matches!(error, Error::Refused { .. } | Error::BadSetting { .. }) {
        return;
    }
    watch.clear();
    if let Some(kept) = resume::kept(output) {
        watch.line(&kept);
    }
}

/// The one file, or the numbered pictures, that are the only input; `None` for a folder and for several.
pub fn single_file(inputs: &[PathBuf]) -> Option<&Path> {
    match inputs {
        [input] if !input.is_dir() => Some(input),
        _ => None,
    }
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct MediaFiles {
    /// Its videos and pictures in the order of their names.
    pub files: Vec<PathBuf>,
    /// Symbolic links that were left out.
    pub n_links: usize,
}

/// The videos and pictures of a folder; hidden files are left out, and symbolic links unless they are to be followed:
/// whoever fills the folder shouldn't choose files elsewhere.
///
/// # Errors
/// [`Error::Io`] when the folder can't be read.
pub fn media_files(dir: &Path, follow_symlinks: bool) -> Result<MediaFiles> {
    files_of(dir, follow_symlinks, |path, ending| ENDINGS.contains(&ending) || video::is_picture(path))
}

/// The files of a folder that are `wanted`, which is asked with their endings in small letters; links and hidden files as in
/// [`media_files`].
pub(crate) fn files_of(
    dir: &Path,
    follow_symlinks: bool,
    wanted: impl Fn(&Path, &str) -> bool,
) -> Result<MediaFiles> {
    let (mut files, mut n_links) = (Vec::new(), 0);
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        if !follow_symlinks && path.is_symlink() {
            n_links += 1;
            continue;
        }
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if !hidden && path.is_file() && wanted(&path, &ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(MediaFiles { files, n_links })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_files_are_sorted_and_others_left_out() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["b.mp4", "a.MKV", "notes.txt", ".c.mp4", "d.png", "e"] {
            std::fs::write(dir.path().join(name), b"x").expect("written");
        }
        std::fs::create_dir(dir.path().join("f.mp4")).expect("created");
        std::os::unix::fs::symlink("b.mp4", dir.path().join("g.mp4")).expect("linked");
        let names = |follow| {
            let found = media_files(dir.path(), follow).expect("readable");
            let name = |f: PathBuf| f.file_name().expect("a name").to_string_lossy().into_owned();
            (found.files.into_iter().map(name).collect::<Vec<_>>(), found.n_links)
        };
        assert_eq!(names(false), (["a.MKV", "b.mp4", "d.png"].map(String::from).into(), 1));
        assert_eq!(names(true), (["a.MKV", "b.mp4", "d.png", "g.mp4"].map(String::from).into(), 0));
    }
}
