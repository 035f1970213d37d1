//! Frames into numbered pictures.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ffmpeg_next::{Packet, format::Pixel};

use super::{
    coder::Sink,
    convert::{Converter, Shape},
    encode::EncodeSettings,
    layout,
    pattern::Pattern,
    picture::{Picture, Sample},
    probe::Probe,
    scale::Scale,
    segments::Press,
    still,
};
use crate::{Error, Result};

/// The number of the first picture, unless the input has numbers of its own or another is wanted.
const FIRST: u64 = 1;

/// Writes each frame into a file of its own, at 8 bits or at 16 where the source has more. Each has its name only when it
/// is whole, and is on the disk then.
pub(super) struct PictureWriter {
    pattern: Pattern,
    /// Where one lies until it is whole: a run that is killed leaves nothing among the others.
    work: PathBuf,
    converter: Converter,
    scale: Option<Scale>,
    label: Option<String>,
    /// Clockwise quarter turns that show the frames upright: pictures have no other way to say so.
    quarter_turns: u8,
    has_sound: bool,
    /// Number of the first picture.
    first: u64,
    /// The number that was asked for.
    wanted_first: Option<u64>,
    /// Number of the picture in hand.
    number: u64,
}

impl PictureWriter {
    /// A writer of the pictures of `pattern`, whose folder is there, from the frames of a clip. Frames that players turn are
    /// turned.
    pub(super) fn new(pattern: Pattern, work: &Path, settings: &EncodeSettings, probe: &Probe) -> Self {
        let first = settings.start_number.unwrap_or(FIRST);
        Self {
            pattern,
            work: work.into(),
            converter: Converter::new(),
            scale: settings.scale,
            label: settings.label.clone(),
            quarter_turns: probe.quarter_turns,
            has_sound: probe.n_audio > 0,
            first,
            wanted_first: settings.start_number,
            number: first,
        }
    }

    /// Learns the number of the first frame among the input's own pictures: theirs are kept unless others are wanted.
    pub(super) fn begin(&mut self, number: Option<u64>) {
        self.first = self.wanted_first.or(number).unwrap_or(FIRST);
    }

    /// Whether the picture that a packet stands for is as long as it was.
    pub(super) fn is_there(&self, packet: &Packet) -> bool {
        let noted = packet.data().and_then(|data| <[u8; 16]>::try_from(data).ok()).map(u128::from_le_bytes);
        noted.is_some_and(|noted| {
            let (number, length) = ((noted >> 64) as u64, noted as u64);
            self.pattern.path(number).metadata().is_ok_and(|found| found.is_file() && found.len() == length)
        })
    }

    /// Removes the pictures of a longer earlier run that follow the last of `n_written`. Gives what there is to tell.
    ///
    /// # Errors
    /// [`Error::Io`] when one can't be removed.
    pub(super) fn finish(&self, n_written: u64) -> Result<Vec<String>> {
        let n_surplus = remove_surplus(&self.pattern, self.first + n_written)?;
        let mut notes = Vec::new();
        if n_surplus > 0 {
            notes.push(format!("{n_surplus} pictures of a longer earlier run were removed"));
        }
        if self.has_sound {
            notes.push("pictures have no sound: it is left out".into());
        }
        if self.label.is_some() && !still::holds_label(&self.pattern.path(self.first)) {
            notes.push(super::NO_ROOM_FOR_LABEL.into());
        }
        Ok(notes)
    }

    /// The picture as RGB with all its depth.
    fn rgb(&mut self, picture: Picture, path: &Path) -> Result<Picture> {
        let origin = picture.origin();
        let (depth, has_alpha) = (picture.bit_depth(), picture.layout().alpha.is_some());
        let is_gray = picture.layout().n_channels == 1 && !has_alpha;
        let format = match (depth, is_gray, has_alpha) {
            (8, true, _) => Pixel::GRAY8,
            (_, true, _) => Pixel::GRAY16LE,
            (8, _, false) => Pixel::GBRP,
            (_, _, false) => Pixel::GBRP16LE,
            (8, _, true) => Pixel::GBRAP,
            (_, _, true) => Pixel::GBRAP16LE,
        };
        let frame = picture.into_frame();
        let own = Shape::of(&frame);
        let (width, height) =
            self.scale.map_or((own.width, own.height), |scale| scale.size((own.width, own.height)));
        let wanted = Shape { format, width, height };
        let frame = if own == wanted {
            frame
        } else {
            let made = self.converter.convert(&frame, wanted);
            made.map_err(|reason| Error::setting("--output", path.display(), reason))?
        };
        let picture = Picture::from_frame(frame, 0, 0).map_err(|frame| {
            let name = layout::name_and_depth(frame.format().into()).0;
            Error::setting("--output", path.display(), format!("{name} can't be written as a picture"))
        })?;
        Ok(turned(picture, format, self.quarter_turns).with_origin(origin))
    }
}

impl Press for PictureWriter {
    fn open_segment(&mut self) -> Result<()> {
        Ok(())
    }

    /// The packet says which picture was written, and how long it is.
    fn press(&mut self, idx: u64, picture: Picture, sink: Sink<'_>) -> Result<()> {
        self.number = self.first + idx;
        let (path, pts) = (self.pattern.path(self.number), picture.pts());
        // Where its source is a picture of its own, that one's colour profile is the new one's as well.
        let (_, file) = picture.origin();
        let picture = self.rgb(picture, &path)?;
        let source = file.as_deref().unwrap_or(Path::new(""));
        still::write_picture_within(&self.work, &path, &picture, source, self.label.as_deref())?;
        let length = path.metadata().map_err(Error::io(&path))?.len();
        let mut packet = Packet::copy(&(u128::from(self.number) << 64 | u128::from(length)).to_le_bytes());
        packet.set_pts(Some(pts));
        packet.set_dts(Some(pts));
        sink(&mut packet)
    }

    fn close_segment(&mut self, _: Sink<'_>) -> Result<()> {
        Ok(())
    }

    fn error(&self, reason: String) -> Error {
        Error::Media { path: self.pattern.path(self.number), frame: self.number - self.first, reason }
    }
}

/// Removes the pictures whose numbers begin with `next` and follow without a hole, and says how many: what reads the
/// sequence would take them for its end. The run was allowed to replace what has these names.
fn remove_surplus(pattern: &Pattern, next: u64) -> Result<u64> {
    let mut n_removed = 0;
    loop {
        let path = pattern.path(next + n_removed);
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(n_removed),
            removed => removed.map_err(Error::io(&path))?,
        }
        n_removed += 1;
    }
}

/// A picture in a `format` of whole planes, turned clockwise.
fn turned(picture: Picture, format: Pixel, quarter_turns: u8) -> Picture {
    match (quarter_turns % 4, picture.layout().wide) {
        (0, _) => picture,
        (quarters, false) => turned_as::<u8>(&picture, format, quarters),
        (quarters, true) => turned_as::<u16>(&picture, format, quarters),
    }
}

fn turned_as<T: Sample>(picture: &Picture, format: Pixel, quarters: u8) -> Picture {
    let (width, height) = picture.size_px();
    let (to_width, to_height) = if quarters == 2 { (width, height) } else { (height, width) };
    let mut turned = Picture::blank(format, to_width, to_height);
    for (plane, ..) in picture.planes() {
        for y in 0..to_height {
            for (x, to) in turned.row_mut::<T>(plane, y, to_width).iter_mut().enumerate() {
                let (from_x, from_y) = match quarters {
                    1 => (y, height - 1 - x),
                    2 => (width - 1 - x, height - 1 - y),
                    _ => (width - 1 - y, x),
                };
                *to = picture.row::<T>(plane, from_y, width)[from_x];
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_longer_run_left_behind_the_last_picture_goes() {
        let dir = tempfile::tempdir().expect("a folder");
        let names = ["01.png", "02.png", "03.png", "04.png", "06.png", "a03.png"];
        names.iter().for_each(|name| fs::write(dir.path().join(name), b"x").expect("written"));
        let pattern = Pattern::parse(&dir.path().join("%02d.png")).expect("a pattern");
        assert_eq!(remove_surplus(&pattern, 3).expect("removed"), 2);
        let left: Vec<&str> = names.into_iter().filter(|name| dir.path().join(name).exists()).collect();
        assert_eq!(left, ["01.png", "02.png", "06.png", "a03.png"]);
    }

    #[test]
    fn pictures_are_turned_clockwise() {
        // Two columns, three rows: red says which pixel it is.
        let pixels: Vec<u8> = (1..=6).flat_map(|i| [i, 10 * i, 100]).collect();
        let red = |quarter_turns: u8| {
            let picture = turned(Picture::from_rgb8(2, 3, &pixels), Pixel::GBRP, quarter_turns);
            let (width, height) = picture.size_px();
            let plane = picture.layout().channels[0].plane;
            (0..height).map(|y| picture.row::<u8>(plane, y, width).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(red(0), [[1, 2], [3, 4], [5, 6]]);
        assert_eq!(red(1), [[5, 3, 1], [6, 4, 2]]);
        assert_eq!(red(2), [[6, 5], [4, 3], [2, 1]]);
        assert_eq!(red(3), [[2, 4, 6], [1, 3, 5]]);
        assert_eq!(red(5), red(1));
    }
}
