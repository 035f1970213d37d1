//! Pictures turned and mirrored, for what can't ask players to do it.

use ffmpeg_next::{
    ffi::{AVChromaLocation, AVPixelFormat, av_frame_copy_props},
    format::Pixel,
    frame::Video,
};

use super::{
    convert::{Converter, Shape},
    encode::Look,
    layout,
    picture::{Picture, Sample},
    probe::Probe,
};

/// How players show a stored picture: mirrored, left to right, and then turned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) is_mirrored: bool,
    /// Clockwise.
    pub(super) quarters: u8,
}

impl Turn {
    pub(super) fn of(probe: &Probe) -> Self {
        Self { is_mirrored: probe.is_mirrored, quarters: probe.quarter_turns % 4 }
    }

    fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Whether width and height change places.
    pub(super) fn is_sideways(self) -> bool {
        self.quarters % 2 == 1
    }

    /// What becomes of the shape of a pixel; one that isn't known has no numerator, and stays so.
    pub(super) fn aspect(self, (num, den): (i32, i32)) -> (i32, i32) {
        if self.is_sideways() && num > 0 { (den, num) } else { (num, den) }
    }

    /// What becomes of a look.
    pub(super) fn look(self, look: Look) -> Look {
        use AVChromaLocation as L;
        if self.is_none() {
            return look;
        }
        let format = Pixel::from(self.format(look.format.into()));
        if !self.is_sideways() {
            return Look { format, ..look };
        }
        let (width, height) = (look.height, look.width);
        let aspect = self.aspect(look.aspect);
        // Half a pixel to the side becomes half a pixel up or down.
        let location = match (look.location, self.quarters) {
            (L::AVCHROMA_LOC_LEFT, 1) => L::AVCHROMA_LOC_TOP,
            (L::AVCHROMA_LOC_LEFT, _) => L::AVCHROMA_LOC_BOTTOM,
            (other, _) => other,
        };
        Look { format, width, height, aspect, location, ..look }
    }

    /// What becomes of a frame; one whose chroma is wide or tall gets chroma for every pixel.
    ///
    /// # Errors
    /// What can't be converted, in words.
    pub(super) fn frame(self, frame: Video, converter: &mut Converter) -> Result<Video, String> {
        if self.is_none() {
            return Ok(frame);
        }
        let own = Shape::of(&frame);
        let wanted = Shape { format: self.format(own.format.into()).into(), ..own };
        let frame = if own == wanted { frame } else { converter.convert(&frame, wanted)? };
        let is_turnable = self.turns(frame.format().into());
        let picture =
            Some(frame).filter(|_| is_turnable).and_then(|frame| Picture::from_frame(frame, 0, 0).ok());
        let refusal = || format!("{} can't be turned", layout::name_and_depth(own.format.into()).0);
        Ok(self.picture(&picture.ok_or_else(refusal)?).into_frame())
    }

    /// Whether the planes of a format can be turned one by one.
    fn turns(self, format: AVPixelFormat) -> bool {
        layout::descriptor(format).is_some_and(|desc| {
            let bytes = if desc.comp[0].depth > 8 { 2 } else { 1 };
            let is_planar = desc.comp[..usize::from(desc.nb_components)].iter().all(|c| c.step == bytes);
            is_planar && (!self.is_sideways() || desc.log2_chroma_w == desc.log2_chroma_h)
        })
    }

    /// The format itself if it can be turned, else the next that loses nothing.
    fn format(self, format: AVPixelFormat) -> AVPixelFormat {
        if self.turns(format) {
            format
        } else if layout::is_yuvj(format) {
            // Full range by its name, which no other name stands for.
            AVPixelFormat::AV_PIX_FMT_YUVJ444P
        } else {
            layout::lossless_where(format, |target| self.turns(target)).unwrap_or(format)
        }
    }

    /// A picture of whole planes as players show it.
    pub(super) fn picture(self, picture: &Picture) -> Picture {
        match (self.is_none(), picture.layout().wide) {
            (true, _) => picture.clone(),
            (_, false) => self.picture_as::<u8>(picture),
            (_, true) => self.picture_as::<u16>(picture),
        }
    }

    fn picture_as<T: Sample>(self, picture: &Picture) -> Picture {
        let source = picture.clone().into_frame();
        let (width, height) = picture.size_px();
        let (to_width, to_height) = if self.is_sideways() { (height, width) } else { (width, height) };
        let mut frame = Picture::blank(source.format(), to_width, to_height).into_frame();
        // SAFETY: both frames are alive; properties, which hold no samples, are copied into the one that is ours alone.
        unsafe {
            let raw = &mut *frame.as_mut_ptr();
            let _ = av_frame_copy_props(raw, source.as_ptr());
            // Lines that were filmed apart are columns now, or the other way round.
            raw.interlaced_frame = 0;
            let shape = &mut raw.sample_aspect_ratio;
            (shape.num, shape.den) = self.aspect((shape.num, shape.den));
        }
        let made = Picture::from_frame(frame, picture.pts(), picture.duration());
        let mut made = made.ok().expect("of the format of a picture").with_origin(picture.origin());
        for ((plane, width, height), (_, to_width, to_height)) in
            picture.planes().into_iter().zip(made.planes())
        {
            let rows: Vec<&[T]> = (0..height).map(|y| picture.row(plane, y, width)).collect();
            for y in 0..to_height {
                let to = made.row_mut::<T>(plane, y, to_width);
                // Row or column of the source, and whether it is read backwards.
                let (at, is_backwards) = match (self.quarters, self.is_mirrored) {
                    (0, mirrored) => (y, mirrored),
                    (1, false) => (y, true),
                    (1, true) => (width - 1 - y, true),
                    (2, mirrored) => (height - 1 - y, !mirrored),
                    (_, false) => (width - 1 - y, false),
                    (_, true) => (y, false),
                };
                match (self.is_sideways(), is_backwards) {
                    (false, false) => to.copy_from_slice(rows[at]),
                    (false, true) => {
                        to.iter_mut().zip(rows[at].iter().rev()).for_each(|(to, from)| *to = *from);
                    }
                    (true, false) => to.iter_mut().zip(&rows).for_each(|(to, row)| *to = row[at]),
                    (true, true) => to.iter_mut().zip(rows.iter().rev()).for_each(|(to, row)| *to = row[at]),
                }
            }
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(quarters: u8) -> Turn {
        Turn { quarters, ..Turn::default() }
    }

    #[test]
    fn pictures_are_mirrored_and_turned_clockwise() {
        // Two columns, three rows: red says which pixel it is.
        let pixels: Vec<u8> = (1..=6).flat_map(|i| [i, 10 * i, 100]).collect();
        let red = |quarters: u8, is_mirrored: bool| {
            let turn = Turn { is_mirrored, quarters };
            let picture = turn.picture(&Picture::from_rgb8(2, 3, &pixels).at(7, 2));
            assert_eq!((picture.pts(), picture.duration()), (7, 2));
            let (width, height) = picture.size_px();
            let plane = picture.layout().channels[0].plane;
            (0..height).map(|y| picture.row::<u8>(plane, y, width).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(red(0, false), [[1, 2], [3, 4], [5, 6]]);
        assert_eq!(red(1, false), [[5, 3, 1], [6, 4, 2]]);
        assert_eq!(red(2, false), [[6, 5], [4, 3], [2, 1]]);
        assert_eq!(red(3, false), [[2, 4, 6], [1, 3, 5]]);
        // Mirrored first: [[2, 1], [4, 3], [6, 5]].
        assert_eq!(red(0, true), [[2, 1], [4, 3], [6, 5]]);
        assert_eq!(red(1, true), [[6, 4, 2], [5, 3, 1]]);
        assert_eq!(red(2, true), [[5, 6], [3, 4], [1, 2]]);
        assert_eq!(red(3, true), [[1, 3, 5], [2, 4, 6]]);
    }

    #[test]
    fn four_quarters_give_the_picture_back_in_every_kind_of_format() {
        // Odd sides, whose chroma planes are rounded up.
        let (width, height) = (7, 5);
        for format in [Pixel::YUV420P, Pixel::YUV444P10LE, Pixel::GRAY8, Pixel::YUVA420P, Pixel::GBRP12LE] {
            let mut picture = Picture::blank(format, width, height);
            for (plane, width, height) in picture.planes() {
                for y in 0..height {
                    let code = |x: usize| 16 + 9 * x + 23 * y + 5 * plane;
                    if picture.layout().wide {
                        let row = picture.row_mut::<u16>(plane, y, width);
                        row.iter_mut().enumerate().for_each(|(x, to)| *to = code(x) as u16);
                    } else {
                        let row = picture.row_mut::<u8>(plane, y, width);
                        row.iter_mut().enumerate().for_each(|(x, to)| *to = code(x) as u8);
                    }
                }
            }
            let mut frame = picture.clone().into_frame();
            let mut converter = Converter::new();
            for k in 1..=4 {
                frame = turn(1).frame(frame, &mut converter).expect("turned");
                let size = (frame.width() as usize, frame.height() as usize);
                assert_eq!(size, if k % 2 == 1 { (height, width) } else { (width, height) }, "{format:?}");
            }
            assert_eq!(frame.format(), format);
            let back = Picture::from_frame(frame, 0, 0).ok().expect("handled");
            for (plane, width, height) in picture.planes() {
                for y in 0..height {
                    let is_same = if picture.layout().wide {
                        picture.row::<u16>(plane, y, width) == back.row::<u16>(plane, y, width)
                    } else {
                        picture.row::<u8>(plane, y, width) == back.row::<u8>(plane, y, width)
                    };
                    assert!(is_same, "{format:?}, row {y} of plane {plane}");
                }
            }
        }
    }

    #[test]
    fn wide_chroma_becomes_chroma_for_every_pixel_and_pixels_keep_their_shape() {
        let look = Look { aspect: (4, 3), ..Look::plain(Pixel::YUV422P10LE, 64, 48) };
        let look = Look { location: AVChromaLocation::AVCHROMA_LOC_LEFT, ..look };
        let quarter = turn(1).look(look.clone());
        assert_eq!((quarter.format, quarter.width, quarter.height), (Pixel::YUV444P10LE, 48, 64));
        assert_eq!((quarter.aspect, quarter.location), ((3, 4), AVChromaLocation::AVCHROMA_LOC_TOP));
        let half = turn(2).look(look.clone());
        assert_eq!((half.format, half.width, half.aspect), (Pixel::YUV422P10LE, 64, (4, 3)));
        for (format, wanted) in [
            (Pixel::NV12, Pixel::YUV420P),
            (Pixel::YUVJ422P, Pixel::YUVJ444P),
            (Pixel::YUVJ420P, Pixel::YUVJ420P),
        ] {
            assert_eq!(turn(3).look(Look { format, ..look.clone() }).format, wanted);
            let frame = Picture::blank(format, 6, 4).into_frame();
            let made = turn(3).frame(frame, &mut Converter::new()).expect("turned");
            assert_eq!(Shape::of(&made), Shape { format: wanted, width: 4, height: 6 });
        }
        assert_eq!(turn(0).look(look.clone()), look);
        let frame = Picture::blank(Pixel::YUV422P10LE, 64, 48).into_frame();
        let made = turn(3).frame(frame, &mut Converter::new()).expect("turned");
        assert_eq!(Shape::of(&made), Shape { format: Pixel::YUV444P10LE, width: 48, height: 64 });
    }
}
