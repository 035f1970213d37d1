//! A set of faces on disk: aligned crops with a sidecar, written by `extract`, read by training.
//!
//! A set is a folder. `faces.jsonl` holds a header line ([`FaceSetHeader`]) and a line for each face
//! ([`FaceEntry`]); the pictures lie beside it: `NAME.png` (RGB, square), `NAME.mask.png` (grey, white = face) and,
//! for paired footage, `NAME.target.png`. A line is written after its pictures, so a set that was cut off is whole
//! up to its last line.

mod quality;
pub mod report;
pub mod sort;

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use image::{GrayImage, RgbImage};
use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The format that this version writes and reads.
const SCHEMA: &str = "faceswap-faces-1";

/// The name of the sidecar.
const SIDECAR: &str = "faces.jsonl";

/// What is true of every face of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceSetHeader {
    /// Format of the folder.
    pub schema: String,
    /// Alignment template, see [`crate::face::Template`].
    pub template: String,
    /// Side of the crop in extents of the template.
    pub margin: f64,
    /// Side of the pictures, pixels.
    pub side_px: usize,
}

impl FaceSetHeader {
    /// A header of this version's format.
    pub fn new(template: &str, margin: f64, side_px: usize) -> Self {
        Self { schema: SCHEMA.into(), template: template.into(), margin, side_px }
    }
}

/// One line of the sidecar. Paths are relative to the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceEntry {
    /// The aligned crop.
    pub image: String,
    /// Where the face is in it.
    pub mask: String,
    /// What a decoder shall give for it, where that is known (rendered truth).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Name of the file that it was cut from.
    pub source: String,
    /// Number of the frame in that file, from 0.
    pub frame: u64,
    /// Presence of a face, 0..=1.
    pub presence: f32,
    /// Why it is left out, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
    /// The 478 points of the mesh in pixels of the crop.
    pub points: Vec<[f32; 2]>,
}

impl FaceEntry {
    /// The number that its picture is called by; `None` for one that somebody has named.
    fn number(&self) -> Option<u64> {
        self.image.split('.').next()?.parse().ok()
    }
}

/// A face to be written.
#[derive(Debug, Clone)]
pub struct FaceRecord {
    /// The aligned crop, `[3, side, side]`.
    pub pixels: Array3<f32>,
    /// The paired crop, `[3, side, side]`.
    pub target: Option<Array3<f32>>,
    /// Where the face is, `[side, side]`.
    pub mask: Array2<f32>,
    /// Name of the file that it was cut from.
    pub source: String,
    /// Number of the frame in that file, from 0.
    pub frame: u64,
    /// The mesh in pixels of the crop.
    pub points: Vec<[f32; 2]>,
    /// Presence of a face, 0..=1.
    pub presence: f32,
}

/// A set that is being written.
#[derive(Debug)]
pub struct FaceSetWriter {
    dir: PathBuf,
    sidecar: BufWriter<File>,
    /// The number of the next face, above all that are in use.
    next: u64,
    /// Files and frames whose faces are there.
    known: HashSet<(String, u64)>,
}

impl FaceSetWriter {
    /// Makes the folder `dir`, or goes on with the set in it. A last line that was cut off is taken away: its pictures may
    /// be half.
    ///
    /// # Errors
    /// [`Error::BadInput`] when the set in it was cut otherwise, [`Error::Io`] when it can't be written.
    pub fn create(dir: &Path, header: &FaceSetHeader) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let path = dir.join(SIDECAR);
        let (mut next, mut known) = (0, HashSet::new());
        let is_new = !path.exists() || whole_lines(&path)? == 0;
        if !is_new {
            let set = FaceSet::open(dir)?;
            if set.header != *header {
                let reason = format!(
                    "holds faces cut with {:?}, these are {header:?}; give another folder",
                    set.header
                );
                return Err(Error::input(dir, reason));
            }
            // Not how many there are: somebody may have removed a line.
            let numbers = set.entries.iter().chain(&set.excluded).filter_map(FaceEntry::number);
            next = numbers.max().map_or(0, |last| last + 1);
            let all = set.entries.into_iter().chain(set.excluded);
            known.extend(all.map(|entry| (entry.source, entry.frame)));
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io(&path))?;
        let mut writer = Self { dir: dir.into(), sidecar: BufWriter::new(file), next, known };
        if is_new {
            writer.line(header)?;
        }
        Ok(writer)
    }

    /// Whether the set was found with a face of this frame of a file of this name, left out or not.
    pub fn had(&self, source: &str, frame: u64) -> bool {
        self.known.contains(&(source.to_owned(), frame))
    }

    /// Adds a face.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be written.
    pub fn append(&mut self, face: &FaceRecord) -> Result<()> {
        let name = format!("{:06}", self.next);
        let entry = FaceEntry {
            image: format!("{name}.png"),
            mask: format!("{name}.mask.png"),
            target: face.target.as_ref().map(|_| format!("{name}.target.png")),
            source: face.source.clone(),
            frame: face.frame,
            presence: face.presence,
            excluded: None,
            points: face.points.clone(),
        };
        self.save(&entry.image, &rgb8_from_crop(&face.pixels))?;
        self.save(&entry.mask, &gray8_from_mask(&face.mask))?;
        if let (Some(target), Some(path)) = (&face.target, &entry.target) {
            self.save(path, &rgb8_from_crop(target))?;
        }
        self.line(&entry)?;
        self.next += 1;
        Ok(())
    }

    /// Ends the set.
    ///
    /// # Errors
    /// [`Error::Io`] when the rest can't be written.
    pub fn finish(mut self) -> Result<()> {
        self.sidecar.flush().map_err(Error::io(self.dir.join(SIDECAR)))
    }

    fn save<P>(&self, name: &str, picture: &image::ImageBuffer<P, Vec<u8>>) -> Result<()>
    where
        P: image::Pixel<Subpixel = u8> + image::PixelWithColorType,
    {
        let path = self.dir.join(name);
        picture.save(&path).map_err(|e| Error::Io { path: path.clone(), source: std::io::Error::other(e) })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let path = self.dir.join(SIDECAR);
        let text = serde_json::to_string(value).map_err(|e| Error::input(&path, e.to_string()))?;
        writeln!(self.sidecar, "{text}").and_then(|()| self.sidecar.flush()).map_err(Error::io(&path))
    }
}

/// Cuts a sidecar off behind its last whole line, and gives its length in bytes.
fn whole_lines(path: &Path) -> Result<u64> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole == bytes.len() {
        return Ok(whole as u64);
    }
    let mut file = OpenOptions::new().write(true).open(path).map_err(Error::io(path))?;
    // Editors leave the end of the last line out; what was cut off in the middle is no JSON.
    if serde_json::from_slice::<serde_json::Value>(&bytes[whole..]).is_ok() {
        let ended = file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(b"\n"));
        return ended.map(|()| bytes.len() as u64 + 1).map_err(Error::io(path));
    }
    file.set_len(whole as u64).map(|()| whole as u64).map_err(Error::io(path))
}

/// A set that can be read.
#[derive(Debug)]
pub struct FaceSet {
    /// Its folder.
    pub dir: PathBuf,
    /// What is true of every face.
    pub header: FaceSetHeader,
    /// The faces.
    pub entries: Vec<FaceEntry>,
    /// Those that are left out.
    pub excluded: Vec<FaceEntry>,
}

impl FaceSet {
    /// Reads the sidecar of the set in `dir`; the pictures stay on disk.
    ///
    /// # Errors
    /// [`Error::BadInput`] naming the line that can't be read.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(SIDECAR);
        let file = File::open(&path).map_err(|e| {
            Error::input(
                &path,
                format!("{e}; make the set with `faceswap extract FOOTAGE -o {}`", dir.display()),
            )
        })?;
        let mut lines = BufReader::new(file).lines();
        let first = lines.next().transpose().map_err(Error::io(&path))?.unwrap_or_default();
        let header: FaceSetHeader = serde_json::from_str(&first)
            .map_err(|e| Error::input(&path, format!("line 1 is no header: {e}")))?;
        if header.schema != SCHEMA {
            return Err(Error::input(
                &path,
                format!("schema {}, this version reads {SCHEMA}", header.schema),
            ));
        }
        let (mut entries, mut excluded) = (Vec::new(), Vec::new());
        for (i, line) in lines.enumerate() {
            let line = line.map_err(Error::io(&path))?;
            let entry: FaceEntry = serde_json::from_str(&line)
                .map_err(|e| Error::input(&path, format!("line {}: {e}", i + 2)))?;
            if entry.excluded.is_some() { excluded.push(entry) } else { entries.push(entry) }
        }
        Ok(Self { dir: dir.into(), header, entries, excluded })
    }

    /// Writes the sidecar anew, the faces first, those that are left out last; the one before it stays as
    /// `faces.jsonl.bak`. No picture is touched.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be written; the sidecar is then as it was.
    pub fn rewrite(&self) -> Result<()> {
        let (path, temporary) = (self.dir.join(SIDECAR), self.dir.join(".faces.jsonl.partial"));
        let line = |value: serde_json::Result<String>| value.map_err(|e| Error::input(&path, e.to_string()));
        let mut text = line(serde_json::to_string(&self.header))? + "\n";
        for entry in self.entries.iter().chain(&self.excluded) {
            text += &line(serde_json::to_string(entry))?;
            text.push('\n');
        }
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        if let Err(e) = written {
            let _ = fs::remove_file(&temporary);
            return Err(Error::io(&temporary)(e));
        }
        let backup = self.dir.join("faces.jsonl.bak");
        fs::copy(&path, &backup).map_err(Error::io(&backup))?;
        fs::rename(&temporary, &path).map_err(Error::io(&path))
    }

    /// A picture of the set in RGB, 8 bits.
    ///
    /// # Errors
    /// [`Error::BadInput`] when it can't be read or has another side than the header says.
    pub fn rgb(&self, name: &str) -> Result<RgbImage> {
        Ok(self.picture(name)?.to_rgb8())
    }

    /// A mask of the set, 8 bits.
    ///
    /// # Errors
    /// As for [`FaceSet::rgb`].
    pub fn gray(&self, name: &str) -> Result<GrayImage> {
        Ok(self.picture(name)?.to_luma8())
    }

    fn picture(&self, name: &str) -> Result<image::DynamicImage> {
        let path = self.dir.join(name);
        let picture = image::open(&path).map_err(|e| Error::input(&path, e.to_string()))?;
        let side = self.header.side_px as u32;
        if (picture.width(), picture.height()) != (side, side) {
            let reason =
                format!("is {} x {}, the set says {side} x {side}", picture.width(), picture.height());
            return Err(Error::input(&path, reason));
        }
        Ok(picture)
    }
}

/// `[3, h, w]`, 0..=1, as 8-bit RGB.
pub fn rgb8_from_crop(crop: &Array3<f32>) -> RgbImage {
    let (_, h, w) = crop.dim();
    RgbImage::from_fn(w as u32, h as u32, |x, y| {
        image::Rgb([0, 1, 2].map(|c| byte(crop[[c, y as usize, x as usize]])))
    })
}

/// `[h, w]`, 0..=1, as 8-bit grey.
pub fn gray8_from_mask(mask: &Array2<f32>) -> GrayImage {
    let (h, w) = mask.dim();
    GrayImage::from_fn(w as u32, h as u32, |x, y| image::Luma([byte(mask[[y as usize, x as usize]])]))
}

fn byte(v: f32) -> u8 {
    (v.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(value: f32) -> FaceRecord {
        FaceRecord {
            pixels: Array3::from_elem((3, 8, 8), value),
            target: Some(Array3::from_elem((3, 8, 8), 1.0 - value)),
            mask: Array2::from_elem((8, 8), 1.0),
            source: "clip.mp4".into(),
            frame: 7,
            points: vec![[1.5, 2.0]; 478],
            presence: 0.9,
        }
    }

    #[test]
    fn a_set_that_was_written_is_read_back_and_grows() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let header = FaceSetHeader::new("t", 1.3, 8);
        for n in 1..=2 {
            let mut set = FaceSetWriter::create(dir.path(), &header).expect("made");
            assert_eq!(
                [("clip.mp4", 7), ("clip.mp4", 8), ("a.mp4", 7)].map(|(f, i)| set.had(f, i)),
                [n > 1, false, false]
            );
            set.append(&face(0.2)).expect("written");
            set.finish().expect("written");
            let set = FaceSet::open(dir.path()).expect("read");
            assert_eq!(set.entries.len(), n);
            assert_eq!(set.rgb(&set.entries[n - 1].image).expect("read").get_pixel(3, 3).0, [51; 3]);
            assert_eq!(
                set.rgb(set.entries[n - 1].target.as_deref().expect("paired"))
                    .expect("read")
                    .get_pixel(0, 0)
                    .0,
                [204; 3]
            );
        }
        let other = FaceSetHeader::new("t", 1.4, 8);
        assert!(
            FaceSetWriter::create(dir.path(), &other)
                .expect_err("refused")
                .to_string()
                .contains("another folder")
        );
    }

    /// The grey of each face's picture, in the order of the lines.
    fn greys(dir: &Path) -> Vec<u8> {
        let set = FaceSet::open(dir).expect("read");
        let grey = |entry: &FaceEntry| set.rgb(&entry.image).expect("read").get_pixel(3, 3).0[0];
        set.entries.iter().chain(&set.excluded).map(grey).collect()
    }

    /// Adds faces of these greys to the set in `dir`.
    fn add(dir: &Path, greys: &[u8]) {
        let mut set = FaceSetWriter::create(dir, &FaceSetHeader::new("t", 1.3, 8)).expect("made");
        greys.iter().for_each(|grey| set.append(&face(f32::from(*grey) / 255.0)).expect("written"));
        set.finish().expect("written");
    }

    /// The sidecar of the set in `dir` as `change` makes it.
    fn rewritten(dir: &Path, change: impl Fn(String) -> String) {
        let path = dir.join(SIDECAR);
        let text = change(fs::read_to_string(&path).expect("read"));
        fs::write(&path, text).expect("written");
    }

    #[test]
    fn a_set_that_lost_a_line_grows_without_touching_the_other_faces() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        add(dir.path(), &[10, 20, 30]);
        rewritten(dir.path(), |text| {
            let lines = text.split_inclusive('\n').enumerate().filter(|(i, _)| *i != 1);
            lines.map(|(_, line)| line).collect()
        });
        let mut set = FaceSet::open(dir.path()).expect("read");
        let mut last = set.entries.pop().expect("two are left");
        last.excluded = Some("blurred".into());
        set.excluded.push(last);
        set.rewrite().expect("written");
        add(dir.path(), &[40]);
        assert_eq!(greys(dir.path()), [20, 40, 30]);
    }

    #[test]
    fn a_sidecar_that_was_cut_off_goes_on_from_its_last_whole_line() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        add(dir.path(), &[10, 20]);
        rewritten(dir.path(), |text| text[..text.len() - 9].into());
        add(dir.path(), &[30]);
        assert_eq!(greys(dir.path()), [10, 30]);
        // Who edited it by hand may have left out the last line's end.
        rewritten(dir.path(), |text| text.trim_end().into());
        add(dir.path(), &[40]);
        assert_eq!(greys(dir.path()), [10, 30, 40]);
        // Cut off in its header, or before it.
        for left in [9, 0] {
            rewritten(dir.path(), |text| text[..left].into());
            add(dir.path(), &[50]);
            assert_eq!(greys(dir.path()), [50]);
        }
    }
}
