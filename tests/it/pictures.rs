//! Single pictures: upright, at their depth, with their alpha; and those that won't do.

use std::{fs, path::Path};

use faceswap::{
    Error,
    frame::{Frame, Rect},
    video::{is_picture, read_picture, read_picture_within, write_picture},
};
use image::{
    ExtendedColorType, GrayImage, ImageBuffer, ImageEncoder, Luma, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::jpeg::JpegEncoder,
};
use ndarray::Array3;

use crate::media::names;

fn whole(frame: &Frame) -> Array3<f32> {
    let (x1, y1) = frame.picture.size_px();
    frame.picture.rgb_rect(Rect { x0: 0, y0: 0, x1, y1 })
}

fn pattern(x: u32, y: u32) -> [u8; 3] {
    [(x * 17 % 256) as u8, (y * 23 % 256) as u8, ((x + y) * 5 % 256) as u8]
}

#[test]
fn lossless_formats_come_back_bit_by_bit() {
    let dir = tempfile::tempdir().expect("a folder");
    let image = RgbImage::from_fn(31, 17, |x, y| Rgb(pattern(x, y)));
    for ending in ["png", "webp", "bmp", "tiff"] {
        let (from, to) = (dir.path().join(format!("a.{ending}")), dir.path().join(format!("b.{ending}")));
        image.save(&from).expect("saved");
        assert!(is_picture(&from), "{ending}");
        let frame = read_picture(&from).expect("read");
        let rgb = whole(&frame);
        assert!((rgb[[1, 5, 2]] * 255.0 - f32::from(pattern(2, 5)[1])).abs() < 1e-3);
        write_picture(&to, &frame.picture, &from, None).expect("written");
        assert_eq!(image::open(&to).expect("opens").into_rgb8(), image, "{ending}");
    }
    assert_eq!(names(dir.path()).len(), 8);
}

#[test]
fn jpeg_stays_close() {
    let dir = tempfile::tempdir().expect("a folder");
    let (from, to) = (dir.path().join("a.jpg"), dir.path().join("b.jpg"));
    RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 3) as u8, (y * 4) as u8, 90])).save(&from).expect("saved");
    let frame = read_picture(&from).expect("read");
    write_picture(&to, &frame.picture, &from, None).expect("written");
    let worst = (whole(&read_picture(&to).expect("read")) - whole(&frame))
        .iter()
        .fold(0.0_f32, |w, d| w.max(d.abs()));
    assert!(worst < 0.06, "{worst}");
}

#[test]
fn depth_alpha_and_gray_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let [from, to] = ["a.png", "b.png"].map(|name| dir.path().join(name));
    let deep =
        ImageBuffer::<Rgb<u16>, _>::from_fn(9, 7, |x, y| Rgb([(x * 7001) as u16, (y * 9001) as u16, 12345]));
    deep.save(&from).expect("saved");
    let frame = read_picture(&from).expect("read");
    assert_eq!(frame.picture.bit_depth(), 16);
    write_picture(&to, &frame.picture, &from, None).expect("written");
    assert_eq!(image::open(&to).expect("opens").into_rgb16(), deep);

    let clear = RgbaImage::from_fn(9, 7, |x, y| Rgba([x as u8, y as u8, 3, (x * y) as u8]));
    clear.save(&from).expect("saved");
    let frame = read_picture(&from).expect("read");
    write_picture(&to, &frame.picture, &from, None).expect("written");
    assert_eq!(image::open(&to).expect("opens").into_rgba8(), clear);
    let error = write_picture(&dir.path().join("b.jpg"), &frame.picture, &from, None)
        .expect_err("alpha would be lost");
    assert!(matches!(&error, Error::BadSetting { reason, .. } if reason.contains(".png")), "{error}");

    let gray = GrayImage::from_fn(9, 7, |x, y| Luma([(x * y) as u8]));
    gray.save(&from).expect("saved");
    let frame = read_picture(&from).expect("read");
    write_picture(&to, &frame.picture, &from, None).expect("written");
    assert_eq!(image::open(&to).expect("opens"), image::DynamicImage::ImageLuma8(gray));
    assert_eq!(names(dir.path()), ["a.png", "b.png"]);
}

/// A JPEG with an EXIF block that says nothing but its orientation.
fn save_turned(path: &Path, image: &RgbImage, orientation: u8) {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut file = fs::File::create(path).expect("made");
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 100);
    encoder.set_exif_metadata(exif).expect("JPEG has room");
    encoder.write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8).expect("written");
}

#[test]
fn pictures_are_turned_upright_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let [from, to] = ["a.jpg", "b.jpg"].map(|name| dir.path().join(name));
    // Left half white, right half black; orientation 6 is shown turned clockwise: white above.
    let image = RgbImage::from_fn(32, 16, |x, _| if x < 16 { Rgb([255; 3]) } else { Rgb([0; 3]) });
    for (orientation, size, white) in [(1, (32, 16), (4, 8)), (3, (32, 16), (27, 8)), (6, (16, 32), (8, 4))] {
        save_turned(&from, &image, orientation);
        let frame = read_picture(&from).expect("read");
        assert_eq!(frame.picture.size_px(), size, "{orientation}");
        assert!(whole(&frame)[[0, white.1, white.0]] > 0.9, "{orientation}");
        write_picture(&to, &frame.picture, &from, None).expect("written");
        let again = read_picture(&to).expect("read");
        assert_eq!(again.picture.size_px(), size, "turned twice after {orientation}");
        assert!(whole(&again)[[0, white.1, white.0]] > 0.9, "{orientation}");
    }
}

#[test]
fn pictures_that_will_not_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    RgbImage::from_fn(40, 30, |x, y| Rgb(pattern(x, y))).save(at("a.png")).expect("saved");
    let bytes = fs::read(at("a.png")).expect("there");
    fs::write(at("cut.png"), &bytes[..bytes.len() / 2]).expect("written");
    fs::write(at("zero.png"), b"").expect("written");
    fs::write(at("text.png"), b"not a picture").expect("written");
    // A header that claims 2^31 - 1 pixels a side.
    let mut lie = bytes.clone();
    lie[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    lie[29..33].copy_from_slice(&0x1906_5a07_u32.to_be_bytes());
    fs::write(at("lie.png"), lie).expect("written");
    for (name, words) in [("zero.png", "empty"), ("text.png", "not a picture"), ("cut.png", "cut off")] {
        let error = read_picture(&at(name)).expect_err(name);
        assert!(
            matches!(&error, Error::BadInput { reason, .. } if reason.contains(words)),
            "{name}: {error:?}"
        );
    }
    assert!(read_picture(&at("lie.png")).is_err());
    let error = read_picture_within(&at("a.png"), 1199).expect_err("too large");
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(read_picture_within(&at("a.png"), 1200).is_ok());
    let frame = read_picture(&at("a.png")).expect("read");
    for name in ["b.xyz", "b.gif"] {
        let error = write_picture(&at(name), &frame.picture, &at("a.png"), None).expect_err(name);
        assert!(matches!(error, Error::BadSetting { .. }), "{error:?}");
    }
    assert!(matches!(
        write_picture(&at("no/b.png"), &frame.picture, &at("a.png"), None),
        Err(Error::Io { .. })
    ));
    assert_eq!(names(dir.path()), ["a.png", "cut.png", "lie.png", "text.png", "zero.png"]);
    assert!(!is_picture(&at("text.png")) && !is_picture(&at("missing.png")));
}
