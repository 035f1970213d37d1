//! Frames into numbered pictures.

use std::{fs, path::Path};

use ffmpeg_next::format::Pixel;

use super::{
    convert::{Converter, Shape},
    layout,
    pattern::Pattern,
    picture::Picture,
    scale::Scale,
    still,
};
use crate::{Error, Result, frame::Frame};

/// Writes each frame into a file of its own, at 8 bits or at 16 where the source has more. Each has its name only when it
/// is whole.
pub struct PictureWriter {
    pattern: Pattern,
    converter: Converter,
    scale: Option<Scale>,
    label: Option<String>,
    n_written: u64,
}

impl PictureWriter {
    /// A writer of the pictures of `pattern`, whose folder is made when it is missing. Numbers begin with 1.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be made.
    pub fn create(pattern: Pattern, scale: Option<Scale>, label: Option<&str>) -> Result<Self> {
        fs::create_dir_all(pattern.folder()).map_err(Error::io(pattern.folder()))?;
        let label = label.map(str::to_owned);
        Ok(Self { pattern, converter: Converter::new(), scale, label, n_written: 0 })
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be written, [`Error::BadSetting`] when the format can't hold it.
    pub fn write(&mut self, frame: Frame) -> Result<()> {
        let path = self.pattern.path(self.n_written + 1);
        // Where its source is a picture of its own, that one's colour profile is the new one's as well.
        let (_, file) = frame.picture.origin();
        let picture = self.rgb(frame.picture, &path)?;
        let source = file.as_deref().unwrap_or(Path::new(""));
        still::write_picture(&path, &picture, source, self.label.as_deref())?;
        self.n_written += 1;
        Ok(())
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
        Ok(picture.with_origin(origin))
    }

    /// Pictures so far.
    pub fn n_written(&self) -> u64 {
        self.n_written
    }
}
