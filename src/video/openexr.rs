//! OpenEXR: pictures in scene-linear floating point, as films are worked on.
//!
//! The line works on what a screen shows. So a picture is read as the 16-bit sRGB code of each of its values (IEC
//! 61966-2-1, from 0 to 1), and the file itself is kept beside. Where the code of a value is still the same at the end, the
//! file's own value goes out, bit by bit; where a face was painted, the new code's linear value does, in the channel's
//! own type. All else that the file holds goes out as it came: other layers and channels, windows, attributes.
//! Compression that would change values is replaced by ZIP.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

use exr::prelude::{
    AnyChannel, AnyChannels, Compression, Encoding, FlatImage, FlatSamples, Image, ImageAttributes, Layer,
    LayerAttributes, MetaData, ReadChannels, ReadLayers, Text, Vec2, WritableImage, f16, read,
};
use ffmpeg_next::format::Pixel;

use super::picture::Picture;
use crate::{Error, Result};

/// The first bytes of such a file.
pub(super) const MAGIC: [u8; 4] = [0x76, 0x2f, 0x31, 0x01];

/// The largest code.
const MOST: f32 = 65535.0;

/// Planes of GBR frames in the order R, G, B, and of alpha.
const PLANES: [usize; 3] = [2, 0, 1];
const ALPHA_PLANE: usize = 3;

/// The file that a picture was read from, all of it.
pub(super) struct Original {
    image: FlatImage,
    place: Place,
}

/// Where the colours are: the number of the layer, and those of its channels R, G, B (or three times Y).
struct Place {
    layer: usize,
    rgb: [usize; 3],
    alpha: Option<usize>,
}

impl Original {
    /// The size of the layer that is shown, pixels.
    pub(super) fn size_px(&self) -> (usize, usize) {
        let Vec2(width, height) = self.image.layer_data[self.place.layer].size;
        (width, height)
    }

    fn channel(&self, index: usize) -> &FlatSamples {
        &self.image.layer_data[self.place.layer].channel_data.list[index].sample_data
    }

    /// The file with the colours of `picture`, which must have its size.
    fn painted(&self, picture: &Picture) -> FlatImage {
        let mut image = self.image.clone();
        let width = self.size_px().0;
        let layer = &mut image.layer_data[self.place.layer];
        for (index, plane) in self.place.rgb.into_iter().zip(PLANES) {
            let put = |at: usize, old: f32| {
                let code = picture.row::<u16>(plane, at / width, width)[at % width];
                (code != code_of(old)).then(|| value_of(code))
            };
            match &mut layer.channel_data.list[index].sample_data {
                FlatSamples::F16(values) => values.iter_mut().enumerate().for_each(|(at, value)| {
                    *value = put(at, value.to_f32()).map_or(*value, f16::from_f32);
                }),
                FlatSamples::F32(values) => values.iter_mut().enumerate().for_each(|(at, value)| {
                    *value = put(at, *value).unwrap_or(*value);
                }),
                FlatSamples::U32(_) => {}
            }
        }
        image
    }
}

/// Reads a picture, and the file with it.
///
/// # Errors
/// [`Error::Io`] when it can't be read, [`Error::Refused`] for more than `max_pixels`, [`Error::BadInput`] for a
/// damaged file and for one without colours.
pub(super) fn read_within(path: &Path, max_pixels: usize) -> Result<Picture> {
    let open = || File::open(path).map(BufReader::new).map_err(Error::io(path));
    let meta = MetaData::read_from_buffered(open()?, false).map_err(|e| bad(path, e))?;
    for header in &meta.headers {
        let Vec2(width, height) = header.layer_size;
        let n_samples = width.saturating_mul(height);
        if n_samples > max_pixels {
            let reason = format!("{width} x {height} pixels, the limit is {max_pixels} (--max-pixels)");
            return Err(Error::Refused { path: path.into(), reason });
        }
        if header.deep || n_samples.saturating_mul(header.channels.list.len()) > max_pixels.saturating_mul(8)
        {
            let reason =
                "deep pixels, or more than eight channels for each pixel that is allowed (--max-pixels)";
            return Err(Error::Refused { path: path.into(), reason: reason.into() });
        }
    }
    let reader =
        read().no_deep_data().largest_resolution_level().all_channels().all_layers().all_attributes();
    let image = reader.non_parallel().from_buffered(open()?).map_err(|e| bad(path, e))?;
    let place = place(&image).ok_or_else(|| {
        let names: Vec<String> = image
            .layer_data
            .iter()
            .flat_map(|layer| layer.channel_data.list.iter().map(|channel| channel.name.to_string()))
            .collect();
        Error::input(path, format!("OpenEXR without channels R, G and B, or Y; it has {}", names.join(", ")))
    })?;
    Ok(coded(Original { image, place }))
}

/// Whether a file ends before its last block of pixels, or lacks one; nothing is decoded. What is wrong in another way is
/// for the reading to tell.
///
/// # Errors
/// What the system says.
pub(super) fn is_cut(path: &Path) -> io::Result<bool> {
    let mut file = BufReader::new(File::open(path)?);
    let length = file.get_ref().metadata()?.len();
    let meta = match MetaData::read_from_buffered(&mut file, false) {
        Ok(meta) => meta,
        Err(exr::error::Error::Io(e)) => return Err(e),
        // Of a header that isn't whole the reader says that it is invalid, too: then all of the file was read.
        Err(_) => return file.fill_buf().map(<[u8]>::is_empty),
    };
    // Behind the headers stands where each block begins; a block that was never written begins at 0.
    let is_multipart = meta.requirements.is_multilayer();
    let mut last = (0, 0);
    for header in &meta.headers {
        // Number of the part, place of the block (a row, or a tile and its level), then its bytes.
        let before_size = 4 * u64::from(is_multipart) + if header.blocks.has_tiles() { 16 } else { 4 };
        for _ in 0..header.chunk_count {
            let mut start = [0; 8];
            if file.read_exact(&mut start).is_err() {
                return Ok(true);
            }
            let start = u64::from_le_bytes(start);
            if start == 0 {
                return Ok(true);
            }
            last = last.max((start, before_size));
        }
    }
    let (start, before_size) = last;
    let mut size = [0; 4];
    file.seek(SeekFrom::Start(start.saturating_add(before_size)))?;
    let has_size = file.read_exact(&mut size).is_ok();
    let end = start.saturating_add(before_size + 4).saturating_add(u32::from_le_bytes(size).into());
    Ok(!has_size || end > length)
}

fn bad(path: &Path, error: exr::error::Error) -> Error {
    match error {
        exr::error::Error::Io(e) if e.raw_os_error().is_some() => Error::io(path)(e),
        exr::error::Error::NotSupported(what) => Error::input(
            path,
            format!(
                "OpenEXR: {what} isn't supported; save it with ZIP, e.g. oiiotool in.exr --compression zip -o out.exr"
            ),
        ),
        e => Error::input(path, format!("damaged or cut off: {e}")),
    }
}

/// The first layer with channels called R, G and B, whatever stands before a point in their names, or with one called Y.
fn place(image: &FlatImage) -> Option<Place> {
    image.layer_data.iter().enumerate().find_map(|(layer, data)| {
        let is_float =
            |channel: &AnyChannel<FlatSamples>| !matches!(channel.sample_data, FlatSamples::U32(_));
        let find = |prefix: &str, name: &str| {
            data.channel_data.list.iter().position(|channel| {
                is_float(channel)
                    && channel.sampling == Vec2(1, 1)
                    && channel.name.to_string() == format!("{prefix}{name}")
            })
        };
        let mut prefixes = vec![String::new()];
        prefixes.extend(data.channel_data.list.iter().filter_map(|channel| {
            let name = channel.name.to_string();
            name.strip_suffix('R').filter(|prefix| prefix.ends_with('.')).map(str::to_owned)
        }));
        prefixes.iter().find_map(|prefix| {
            let [r, g, b, y] = ["R", "G", "B", "Y"].map(|name| find(prefix, name));
            let rgb = match (r, g, b, y) {
                (Some(r), Some(g), Some(b), _) => [r, g, b],
                (None, None, None, Some(y)) => [y; 3],
                _ => return None,
            };
            Some(Place { layer, rgb, alpha: find(prefix, "A") })
        })
    })
}

/// The picture that a screen shows, with the file kept beside. Alpha is shown where something is transparent.
fn coded(original: Original) -> Picture {
    let (width, height) = original.size_px();
    let alpha =
        original.place.alpha.filter(|index| original.channel(*index).values_as_f32().any(|a| a < 1.0));
    let format = if alpha.is_some() { Pixel::GBRAP16LE } else { Pixel::GBRP16LE };
    let mut picture = Picture::blank(format, width, height);
    for (index, plane) in original.place.rgb.into_iter().zip(PLANES) {
        fill(&mut picture, plane, original.channel(index), code_of);
    }
    if let Some(index) = alpha {
        fill(&mut picture, ALPHA_PLANE, original.channel(index), |a| {
            (a.clamp(0.0, 1.0) * MOST).round() as u16
        });
    }
    picture.keep_original(original);
    picture
}

fn fill(picture: &mut Picture, plane: usize, samples: &FlatSamples, code: impl Fn(f32) -> u16) {
    let (width, height) = picture.size_px();
    let mut values = samples.values_as_f32();
    for y in 0..height {
        let row = picture.row_mut::<u16>(plane, y, width);
        row.iter_mut().zip(values.by_ref()).for_each(|(to, value)| *to = code(value));
    }
}

/// Writes a picture of 16-bit RGB: as the file that it was read from, if it was and has kept its size, else as a new one
/// of half floats. `label` is added to the comments.
///
/// # Errors
/// What failed, in words.
pub(super) fn write(to: impl Write + Seek, picture: &Picture, label: Option<&str>) -> Result<(), String> {
    let original = picture.original().filter(|original| original.size_px() == picture.size_px());
    let (mut image, layer) = match original {
        Some(original) => (original.painted(picture), original.place.layer),
        None => (new_image(picture), 0),
    };
    for layer in &mut image.layer_data {
        if layer.encoding.compression.may_loose_data() {
            layer.encoding.compression = Compression::ZIP16;
        }
    }
    if let Some(label) = label {
        let comments = &mut image.layer_data[layer].attributes.comments;
        let text = comments.as_ref().map_or(label.to_owned(), |old| format!("{old}\n{label}"));
        *comments = Text::new_or_none(text);
    }
    image.write().non_parallel().to_buffered(to).map_err(|e| e.to_string())
}

fn new_image(picture: &Picture) -> FlatImage {
    let (width, height) = picture.size_px();
    let channel = |name: &str, plane: usize, value: fn(u16) -> f32| {
        let rows = (0..height).flat_map(|y| picture.row::<u16>(plane, y, width));
        let samples = rows.map(|code| f16::from_f32(value(*code))).collect();
        AnyChannel::new(name, FlatSamples::F16(samples))
    };
    let mut channels: Vec<_> =
        ["R", "G", "B"].into_iter().zip(PLANES).map(|(name, plane)| channel(name, plane, value_of)).collect();
    if let Some(alpha) = picture.layout().alpha {
        channels.push(channel("A", alpha.plane, |code| f32::from(code) / MOST));
    }
    let channels = AnyChannels::sort(channels.into_iter().collect());
    let encoding = Encoding { compression: Compression::ZIP16, ..Encoding::default() };
    let layer = Layer::new((width, height), LayerAttributes::default(), encoding, channels);
    Image::from_layers(ImageAttributes::with_size((width, height)), vec![layer])
}

/// The 16-bit sRGB code of a linear value; what lies outside 0..=1, or is no number, has that of the nearer end.
fn code_of(linear: f32) -> u16 {
    let v = linear.clamp(0.0, 1.0);
    let shown = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
    (shown * MOST).round() as u16
}

/// The linear value of a 16-bit sRGB code.
fn value_of(code: u16) -> f32 {
    let v = f32::from(code) / MOST;
    if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
#[path = "openexr_tests.rs"]
mod tests;
