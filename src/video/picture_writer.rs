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
    picture::Picture,
    probe::Probe,
    scale::Scale,
    segments::Press,
    still,
    turn::Turn,
    write::Written,
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
    /// How players show the frames: pictures have no way to say so.
    turn: Turn,
    has_sound: bool,
    /// Number of the first picture.
    first: u64,
    /// The number that was asked for.
    wanted_first: Option<u64>,
    /// Whether frames lie a tick apart, as pictures do that are read at their own rate.
    ticks_are_frames: bool,
    /// The time of the first frame, where the input has numbers and frames lie a tick apart: one that is left out leaves
    /// its number free.
    first_pts: Option<i64>,
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
            turn: Turn::of(probe),
            has_sound: probe.n_audio > 0,
            first,
            wanted_first: settings.start_number,
            ticks_are_frames: i64::from(probe.time_base.0) * i64::from(probe.frame_rate.0)
                == i64::from(probe.time_base.1) * i64::from(probe.frame_rate.1),
            first_pts: None,
            number: first,
        }
    }

    /// Learns the number of the first frame among the input's own pictures: theirs are kept unless others are wanted.
    pub(super) fn begin(&mut self, number: Option<u64>, pts: i64) {
        self.first = self.wanted_first.or(number).unwrap_or(FIRST);
        self.first_pts = number.filter(|_| self.ticks_are_frames).map(|_| pts);
    }

    /// The number of frame `idx`, whose time is `pts`.
    fn number_of(&self, idx: u64, pts: i64) -> u64 {
        let passed = self.first_pts.and_then(|first| u64::try_from(pts - first).ok());
        self.first + passed.unwrap_or(idx)
    }

    /// Whether the picture that a packet stands for is as long as it was.
    pub(super) fn is_there(&self, packet: &Packet) -> bool {
        let noted = packet.data().and_then(|data| <[u8; 16]>::try_from(data).ok()).map(u128::from_le_bytes);
        noted.is_some_and(|noted| {
            let (number, length) = ((noted >> 64) as u64, noted as u64);
            self.pattern.path(number).metadata().is_ok_and(|found| found.is_file() && found.len() == length)
        })
    }

    /// Removes the pictures of a longer earlier run that follow the last one, unless a part was made, behind which others
    /// belong. Gives what there is to tell.
    ///
    /// # Errors
    /// [`Error::Io`] when one can't be removed.
    pub(super) fn finish(&self, written: &Written) -> Result<Vec<String>> {
        let is_part = self.wanted_first.is_some() || written.end.cut.end_s.is_some();
        let last = self.number_of(written.frames.saturating_sub(1), written.times.last);
        let n_surplus = if is_part { 0 } else { remove_surplus(&self.pattern, last + 1)? };
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
        let shown = |(width, height)| if self.turn.is_sideways() { (height, width) } else { (width, height) };
        let size = shown((own.width, own.height));
        let (width, height) = shown(self.scale.map_or(size, |scale| scale.size(size)));
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
        Ok(self.turn.picture(&picture).with_origin(origin))
    }
}

impl Press for PictureWriter {
    fn open_segment(&mut self) -> Result<()> {
        Ok(())
    }

    /// The packet says which picture was written, and how long it is.
    fn press(&mut self, idx: u64, picture: Picture, sink: Sink<'_>) -> Result<()> {
        let pts = picture.pts();
        self.number = self.number_of(idx, pts);
        let path = self.pattern.path(self.number);
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
}
