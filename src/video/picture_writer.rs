//! Frames into numbered pictures.

use std::{fs, path::Path};

use ffmpeg_next::format::Pixel;

use super::{
    convert::{Converter, Shape},
    layout,
    pattern::Pattern,
    picture::{Picture, Sample},
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
    /// Clockwise quarter turns that show the frames upright: pictures have no other way to say so.
    quarter_turns: u8,
    n_written: u64,
}

impl PictureWriter {
    /// A writer of the pictures of `pattern`, whose folder is made when it is missing. Numbers begin with 1. Frames that
    /// players turn clockwise by `quarter_turns` are turned.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be made.
    pub fn create(
        pattern: Pattern,
        scale: Option<Scale>,
        label: Option<&str>,
        quarter_turns: u8,
    ) -> Result<Self> {
        fs::create_dir_all(pattern.folder()).map_err(Error::io(pattern.folder()))?;
        let label = label.map(str::to_owned);
        Ok(Self { pattern, converter: Converter::new(), scale, label, quarter_turns, n_written: 0 })
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
        Ok(turned(picture, format, self.quarter_turns).with_origin(origin))
    }

    /// Pictures so far.
    pub fn n_written(&self) -> u64 {
        self.n_written
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
