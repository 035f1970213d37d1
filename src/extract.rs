//! Footage in, a set of aligned faces out: the material to train on.

use std::path::{Path, PathBuf};

use ndarray::Array3;

use crate::{
    Error, Result,
    batch::media_files,
    face::{self, Analysis, AnalysisSettings, Template},
    face_set::{FaceRecord, FaceSetHeader, FaceSetWriter},
    frame::{Frame, Tracked},
    line,
    nn::Runtime,
    pipeline::until_stopped,
    progress::Watch,
    video::{self, DecodeSettings, Decoder},
};

/// What is extracted, and how.
#[derive(Debug, Clone)]
pub struct ExtractSettings {
    /// Videos, pictures, or folders of them.
    pub footage: Vec<PathBuf>,
    /// For each of the footage's files, in order, a file that shows frame by frame what its swap shall look
    /// like; empty for ordinary footage.
    pub truth: Vec<PathBuf>,
    /// Folder of the face set; one that exists grows.
    pub output: PathBuf,
    /// Side of a face picture, pixels.
    pub side_px: usize,
    /// Side of a face picture in extents of the template, 1 or more.
    pub margin: f64,
    /// Measurements that each face's points are the mean of, 1 or more.
    pub landmark_samples: usize,
    /// Every Nth frame is taken.
    pub every: usize,
    /// Threads that look for faces.
    pub n_workers: usize,
    /// How videos are read.
    pub decode: DecodeSettings,
}

/// Extracts the largest face of every frame, and says how many were written.
///
/// Frames are followed and held still exactly as in a swap, so that training sees what swapping will see.
///
/// # Errors
/// [`Error::BadInput`] for footage that can't be read, [`Error::Io`] for a folder that can't be written.
pub fn extract(settings: &ExtractSettings, runtime: &Runtime, watch: &mut Watch<'_>) -> Result<u64> {
    let files = listed(&settings.footage)?;
    let truth = listed(&settings.truth)?;
    if !truth.is_empty() && truth.len() != files.len() {
        let reason =
            format!("{} files for {} files of footage; one each is needed", truth.len(), files.len());
        return Err(Error::setting("--truth", settings.truth[0].display(), reason));
    }
    let template = Template::default();
    let header = FaceSetHeader::new(template.name(), settings.margin, settings.side_px);
    let mut set = FaceSetWriter::create(&settings.output, &header)?;
    let mut n_faces = 0;
    for (i, file) in files.iter().enumerate() {
        let cutter =
            Cutter { settings, template: &template, file, truth: truth.get(i).map(PathBuf::as_path) };
        n_faces += if video::is_picture(file) {
            cutter.cut_picture(runtime, &mut set)?
        } else {
            cutter.cut_video(runtime, &mut set, watch)?
        };
        watch.clear();
    }
    set.finish()?;
    if n_faces == 0 {
        return Err(Error::input(&settings.footage[0], "no face was found in this footage"));
    }
    Ok(n_faces)
}

/// Files as they are, folders as their videos and pictures.
fn listed(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { files.extend(media_files(path, true)?.files) } else { files.push(path.clone()) }
    }
    Ok(files)
}

/// Cuts the faces out of one file.
struct Cutter<'a> {
    settings: &'a ExtractSettings,
    template: &'a Template,
    file: &'a Path,
    truth: Option<&'a Path>,
}

impl Cutter<'_> {
    fn cut_picture(&self, runtime: &Runtime, set: &mut FaceSetWriter) -> Result<u64> {
        let frame = video::read_picture(self.file)?;
        let tracked = Analysis::new(runtime, &self.analysis(), 0, 1)?.single(frame)?;
        let truth = self.truth.map(video::read_picture).transpose()?;
        self.write(&tracked, truth.as_ref(), set)
    }

    /// As in a swap, but for what the settings say of it.
    fn analysis(&self) -> AnalysisSettings {
        let mut settings = AnalysisSettings::default();
        settings.finder.landmarks.samples = self.settings.landmark_samples;
        settings
    }

    fn cut_video(&self, runtime: &Runtime, set: &mut FaceSetWriter, watch: &mut Watch<'_>) -> Result<u64> {
        let open = |path| Decoder::open(path, &self.settings.decode);
        let (mut decoder, mut truth) = (open(self.file)?, self.truth.map(open).transpose()?);
        let settings = self.analysis();
        let analysis =
            Analysis::new(runtime, &settings, decoder.probe().quarter_turns, self.settings.n_workers)?;
        let (mut n_frames, mut n_faces) = (0, 0);
        watch.start(self.file, decoder.probe());
        line::run(|mut line| {
            let frames = line.source("decode", until_stopped(&mut decoder, watch.stop))?;
            let tracked = analysis.into_line(&mut line, frames)?;
            line.drain("write", tracked, |tracked: Tracked| {
                let truth = truth.as_mut().map(|truth| self.truth_frame(truth, n_frames)).transpose()?;
                if n_frames.is_multiple_of(self.settings.every as u64) {
                    n_faces += self.write(&tracked, truth.as_ref(), set)?;
                }
                n_frames += 1;
                watch.frame(n_frames, tracked.faces.len());
                Ok(())
            })
        })?;
        Ok(n_faces)
    }

    fn truth_frame(&self, truth: &mut Decoder, n_before: u64) -> Result<Frame> {
        truth.next().unwrap_or_else(|| {
            let path = self.truth.unwrap_or(self.file);
            Err(Error::input(path, format!("ends after {n_before} frames, before {}", self.file.display())))
        })
    }

    /// Writes the largest face of a frame, and says whether there was one.
    fn write(&self, tracked: &Tracked, truth: Option<&Frame>, set: &mut FaceSetWriter) -> Result<u64> {
        let Some(face) = tracked.faces.first() else { return Ok(0) };
        let side_px = self.settings.side_px;
        let alignment = face::align(&face.points, self.template, self.settings.margin, side_px);
        let cut = |frame: &Frame| -> Array3<f32> { face::crop(&frame.picture, &alignment, side_px) };
        let points =
            face.points.iter().map(|p| alignment.to_crop(*p)).map(|p| [p.x as f32, p.y as f32]).collect();
        set.append(&FaceRecord {
            pixels: cut(&tracked.frame),
            target: truth.map(cut),
            mask: face::hull_mask(&face.points, &alignment, side_px),
            source: self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy().into_owned(),
            frame: tracked.frame.idx,
            points,
            presence: face.presence,
        })?;
        Ok(1)
    }
}
