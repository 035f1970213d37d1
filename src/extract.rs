//! Footage in, a set of aligned faces out: the material to train on.

use std::{
    fs::File,
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ndarray::Array3;
use serde::Deserialize;

use crate::{
    Error, Result,
    batch::media_files,
    face::{self, Analysis, AnalysisSettings, Template, mesh},
    face_set::{FaceRecord, FaceSetHeader, FaceSetWriter},
    frame::{Frame, FramePx, Tracked},
    line,
    nn::Runtime,
    pipeline::until_stopped,
    progress::Watch,
    report::told_damage,
    video::{self, DamagedFrames, DecodeSettings, Decoder},
};

/// What is extracted, and how.
#[derive(Debug, Clone)]
pub struct ExtractSettings {
    /// Videos, pictures, or folders of them.
    pub footage: Vec<PathBuf>,
    /// For each of the footage's files, in order, a file that shows frame by frame what its swap shall look
    /// like; empty for ordinary footage.
    pub truth: Vec<PathBuf>,
    /// For each of the footage's files, in order, one that says where its face's points really are, as JSON lines; empty
    /// for ordinary footage.
    pub true_points: Vec<PathBuf>,
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

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extracted {
    /// Faces that were written.
    pub n_faces: u64,
    /// Whether some of the footage was damaged.
    pub is_damaged: bool,
}

/// Extracts the largest face of every frame. Frames that repeat another one, since they can't be decoded, are left out:
/// many equal faces are no material.
///
/// Frames are followed and held still exactly as in a swap, so that training sees what swapping will see.
///
/// # Errors
/// [`Error::BadInput`] for footage that can't be read, [`Error::Io`] for a folder that can't be written.
pub fn extract(settings: &ExtractSettings, runtime: &Runtime, watch: &mut Watch<'_>) -> Result<Extracted> {
    let files = listed(&settings.footage, watch)?;
    let truth = listed(&settings.truth, watch)?;
    for (flag, given) in [("--truth", &truth), ("--true-points", &settings.true_points)] {
        if !given.is_empty() && given.len() != files.len() {
            let reason =
                format!("{} files for {} files of footage; one each is needed", given.len(), files.len());
            return Err(Error::setting(flag, given[0].display(), reason));
        }
    }
    let template = Template::default();
    let header = FaceSetHeader::new(template.name(), settings.margin, settings.side_px);
    let mut set = FaceSetWriter::create(&settings.output, &header)?;
    let (mut cut, mut is_damaged) = (Cut::default(), false);
    for (i, file) in files.iter().enumerate() {
        if watch.is_stopped() {
            return Err(Error::Cancelled);
        }
        let cutter = Cutter {
            settings,
            template: &template,
            file,
            truth: truth.get(i).map(PathBuf::as_path),
            true_points: settings.true_points.get(i).map(PathBuf::as_path),
        };
        let of_file = if video::is_picture(file) {
            cutter.cut_picture(runtime, &mut set)?
        } else {
            let (of_file, damage) = cutter.cut_video(runtime, &mut set, watch)?;
            watch.clear();
            if !damage.is_empty() {
                is_damaged = true;
                watch.line(&format!("{}: {}", file.display(), told_damage(&damage, None)));
            }
            of_file
        };
        if of_file.n_known > 0 {
            let Cut { n_known, .. } = of_file;
            watch.line(&format!(
                "{}: {n_known} faces of a file of this name are there already, and stay as they are",
                file.display()
            ));
        }
        cut.n_new += of_file.n_new;
        cut.n_known += of_file.n_known;
    }
    set.finish()?;
    if cut.n_new + cut.n_known == 0 {
        return Err(Error::input(&settings.footage[0], "no face was found in this footage"));
    }
    Ok(Extracted { n_faces: cut.n_new, is_damaged })
}

/// Files as they are, folders as their videos and pictures; links in folders are left out, as a swap does.
fn listed(paths: &[PathBuf], watch: &Watch<'_>) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = media_files(path, false)?;
        watch.links_left_out(path, found.n_links);
        files.extend(found.files);
    }
    if files.is_empty() && !paths.is_empty() {
        return Err(Error::input(&paths[0], "no video and no picture in this folder"));
    }
    Ok(files)
}

/// How many faces there were.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    /// That the set hadn't.
    n_new: u64,
    /// That it had, from a run before.
    n_known: u64,
}

impl Cut {
    fn count(&mut self, face: Option<bool>) {
        self.n_new += u64::from(face == Some(true));
        self.n_known += u64::from(face == Some(false));
    }
}

/// Cuts the faces out of one file.
struct Cutter<'a> {
    settings: &'a ExtractSettings,
    template: &'a Template,
    file: &'a Path,
    truth: Option<&'a Path>,
    true_points: Option<&'a Path>,
}

impl Cutter<'_> {
    fn cut_picture(&self, runtime: &Runtime, set: &mut FaceSetWriter) -> Result<Cut> {
        let frame = video::read_picture(self.file)?;
        let tracked = Analysis::new(runtime, &self.analysis(), 0, 1)?.single(frame)?;
        let truth = self.truth.map(video::read_picture).transpose()?;
        let true_points = self.true_points.map(TruePoints::open).transpose()?;
        let points = true_points.map(|mut points| points.of_next_frame()).transpose()?;
        let mut cut = Cut::default();
        cut.count(self.write(&tracked, (truth.as_ref(), points.as_deref()), set)?);
        Ok(cut)
    }

    /// As in a swap, but for what the settings say of it.
    fn analysis(&self) -> AnalysisSettings {
        let mut settings = AnalysisSettings::default();
        settings.finder.landmarks.samples = self.settings.landmark_samples;
        settings
    }

    /// Gives how many faces there are, and what is damaged.
    fn cut_video(
        &self,
        runtime: &Runtime,
        set: &mut FaceSetWriter,
        watch: &mut Watch<'_>,
    ) -> Result<(Cut, Vec<DamagedFrames>)> {
        let open = |path| Decoder::open(path, &self.settings.decode);
        let (mut decoder, mut truth) = (open(self.file)?, self.truth.map(open).transpose()?);
        let mut true_points = self.true_points.map(TruePoints::open).transpose()?;
        let settings = self.analysis();
        let analysis =
            Analysis::new(runtime, &settings, decoder.probe().quarter_turns, self.settings.n_workers)?;
        let (mut n_frames, mut cut) = (0, Cut::default());
        watch.start(self.file, decoder.probe());
        let damage = Mutex::new(Vec::new());
        let mut repeats = Repeats::default();
        line::run(|mut line| {
            let telling = Telling { decoder: &mut decoder, damage: &damage };
            let frames = line.source("decode", until_stopped(telling, watch.stop))?;
            let tracked = analysis.into_line(&mut line, frames)?;
            line.drain("write", tracked, |tracked: Tracked| {
                let truth = truth.as_mut().map(|truth| self.truth_frame(truth, n_frames)).transpose()?;
                let points = true_points.as_mut().map(TruePoints::of_next_frame).transpose()?;
                let is_new =
                    repeats.is_new(&tracked.frame, &damage.lock().unwrap_or_else(PoisonError::into_inner));
                if is_new && n_frames.is_multiple_of(self.settings.every as u64) {
                    cut.count(self.write(&tracked, (truth.as_ref(), points.as_deref()), set)?);
                }
                n_frames += 1;
                watch.frame(n_frames, tracked.faces.len());
                repeats.last = Some(tracked.frame);
                Ok(())
            })
        })?;
        Ok((cut, damage.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    fn truth_frame(&self, truth: &mut Decoder, n_before: u64) -> Result<Frame> {
        truth.next().unwrap_or_else(|| {
            let path = self.truth.unwrap_or(self.file);
            Err(Error::input(path, format!("ends after {n_before} frames, before {}", self.file.display())))
        })
    }

    /// Writes the largest face of a frame, and says whether it is new to the set; `None` without a face.
    fn write(
        &self,
        tracked: &Tracked,
        (truth, true_points): (Option<&Frame>, Option<&[Option<FramePx>]>),
        set: &mut FaceSetWriter,
    ) -> Result<Option<bool>> {
        let Some(face) = tracked.faces.first() else { return Ok(None) };
        let source = self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy().into_owned();
        if set.had(&source, tracked.frame.idx) {
            return Ok(Some(false));
        }
        let side_px = self.settings.side_px;
        let alignment = face::align(&face.points, self.template, self.settings.margin, side_px);
        let cut = |frame: &Frame| -> Array3<f32> { face::crop(&frame.picture, &alignment, side_px) };
        let point = |(i, measured): (usize, &FramePx)| {
            let known = true_points.and_then(|points| points[i]).unwrap_or(*measured);
            let p = alignment.to_crop(known);
            [p.x as f32, p.y as f32]
        };
        set.append(&FaceRecord {
            pixels: cut(&tracked.frame),
            target: truth.map(cut),
            mask: face::hull_mask(&face.points, &alignment, side_px),
            source,
            frame: tracked.frame.idx,
            points: face.points.iter().enumerate().map(point).collect(),
            presence: face.presence,
        })?;
        Ok(Some(true))
    }
}

/// Hands on the frames of a decoder, and what it says is damaged so far: that of a frame is known before the frame comes.
struct Telling<'a> {
    decoder: &'a mut Decoder,
    damage: &'a Mutex<Vec<DamagedFrames>>,
}

impl Iterator for Telling<'_> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.decoder.next();
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if *damage != self.decoder.damage() {
            *damage = self.decoder.damage().to_vec();
        }
        frame
    }
}

/// Tells the frames that stand in for others. Damaged and yet new are those whose time alone was wrong.
#[derive(Default)]
struct Repeats {
    last: Option<Frame>,
    /// Whether that was damaged.
    was_damaged: bool,
}

impl Repeats {
    /// Long side at which frames are compared, pixels: two that were filmed differ at any size, by their noise.
    const SIDE_PX: usize = 160;

    /// Whether a frame shows something else than the last one, unless neither of them is in `damage`.
    fn is_new(&mut self, frame: &Frame, damage: &[DamagedFrames]) -> bool {
        let holds = |range: &DamagedFrames| {
            range.first <= frame.idx && range.last.is_some_and(|last| frame.idx <= last)
        };
        let is_damaged = damage.iter().any(holds);
        let may_repeat = std::mem::replace(&mut self.was_damaged, is_damaged) || is_damaged;
        let small = |frame: &Frame| frame.picture.rgb_reduced(Self::SIDE_PX);
        !self.last.as_ref().is_some_and(|last| may_repeat && small(last) == small(frame))
    }
}

/// Where the points of the largest face of each frame really are, as a renderer knows.
///
/// JSON lines, one for each frame: `{"points": [[x, y], null, ..]}`, all 478 of the mesh in pixels of the frame, whose upper
/// left corner is 0, 0; `null` for a point that isn't known. Lines without points, such as a header, are left out.
struct TruePoints {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    /// Lines read.
    n_lines: usize,
}

#[derive(Deserialize)]
struct TruePointsLine {
    points: Option<Vec<Option<[f64; 2]>>>,
}

impl TruePoints {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::input(path, e.to_string()))?;
        Ok(Self { path: path.into(), lines: BufReader::new(file).lines(), n_lines: 0 })
    }

    fn of_next_frame(&mut self) -> Result<Vec<Option<FramePx>>> {
        for line in self.lines.by_ref() {
            self.n_lines += 1;
            let wrong = |what: String| Error::input(&self.path, format!("line {}: {what}", self.n_lines));
            let line = line.map_err(Error::io(&self.path))?;
            let line: TruePointsLine = serde_json::from_str(&line).map_err(|e| wrong(e.to_string()))?;
            let Some(points) = line.points else { continue };
            if points.len() != mesh::N_POINTS {
                return Err(wrong(format!("{} points, not {}", points.len(), mesh::N_POINTS)));
            }
            return Ok(points.into_iter().map(|p| p.map(|[x, y]| FramePx { x, y })).collect());
        }
        let reason = format!("ends after {} lines, before its footage", self.n_lines);
        Err(Error::input(&self.path, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (tempfile::TempDir, TruePoints) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("points.jsonl");
        std::fs::write(&path, text).expect("written");
        let points = TruePoints::open(&path).expect("opened");
        (dir, points)
    }

    #[test]
    fn true_points_come_frame_by_frame_and_may_be_unknown() {
        let all = vec!["[1.5,2.5]"; 476].join(",");
        let line = format!("{{\"points\":[null,[3,4],{all}]}}");
        let (_dir, mut points) = read(&format!("{{\"header\":1}}\n{line}\n"));
        let first = points.of_next_frame().expect("a frame");
        assert_eq!(first[..3], [None, Some(FramePx { x: 3.0, y: 4.0 }), Some(FramePx { x: 1.5, y: 2.5 })]);
        let told = points.of_next_frame().expect_err("the end").to_string();
        assert!(told.contains("points.jsonl") && told.contains("2 lines"), "{told}");
    }

    #[test]
    fn what_holds_no_points_is_named_with_its_line() {
        for (text, what) in [("{\"points\":[[1,2]]}", "1 points, not 478"), ("{}\nface", "line 2")] {
            let (_dir, mut points) = read(text);
            let told = points.of_next_frame().expect_err("refused").to_string();
            assert!(told.contains("points.jsonl") && told.contains(what), "{told}");
        }
    }
}
