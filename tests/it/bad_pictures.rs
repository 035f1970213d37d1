//! Pictures that are odd, empty, damaged or huge, as input and as reference: the right result, or an error that names
//! the file, and nothing left under the output's name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use image::{DynamicImage, ImageBuffer, Luma, Rgb, RgbImage};

use crate::media::names;

const FACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/face.png");
/// The same face in the four inks of print, as Adobe's programs store it.
const CMYK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/face_cmyk.jpg");

fn faceswap(args: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faceswap")).args(args).output().expect("the binary starts")
}

fn swap(input: &Path, output: &Path) -> Output {
    faceswap(&[input, "--identity".as_ref(), "B".as_ref(), "-o".as_ref(), output])
}

fn errors(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The face of the tests.
fn face() -> RgbImage {
    image::open(FACE).expect("it is there").into_rgb8()
}

/// Mean difference of two pictures, codes of 8 bits.
fn distance(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

/// `bytes` of a JPEG whose header claims another size.
fn jpeg_of_size(mut bytes: Vec<u8>, width: u16, height: u16) -> Vec<u8> {
    let start = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline JPEG");
    bytes[start + 5..start + 7].copy_from_slice(&height.to_be_bytes());
    bytes[start + 7..start + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

/// A WebP of two frames, put together of the still ones that `image` writes.
fn animated_webp(dir: &Path) -> Vec<u8> {
    let path = dir.join("still.webp");
    face().save(&path).expect("saved");
    let still = fs::read(&path).expect("there");
    fs::remove_file(&path).expect("removed");
    let chunk = |name: &[u8], body: &[u8]| {
        [name, &(body.len() as u32).to_le_bytes(), body, if body.len() % 2 == 1 { &[0] } else { &[] }]
            .concat()
    };
    let side = [255, 0, 0, 255, 0, 0];
    let header = [&[2, 0, 0, 0][..], &side].concat();
    // Place, size, 40 ms, no blending; then the picture's own chunk as it stands in the file.
    let frame = [&[0; 6][..], &side, &[40, 0, 0, 0], &still[12..]].concat();
    let body =
        [&b"WEBP"[..], &chunk(b"VP8X", &header), &chunk(b"ANIM", &[0; 6]), &chunk(b"ANMF", &frame).repeat(2)];
    chunk(b"RIFF", &body.concat())
}

/// Files that are no picture of a face, and a word of what is said of each.
fn bad_files(dir: &Path) -> Vec<(PathBuf, &'static str)> {
    let jpeg = dir.join("whole.jpg");
    face().save(&jpeg).expect("saved");
    let (png, jpeg_bytes) = (fs::read(FACE).expect("there"), fs::read(&jpeg).expect("there"));
    fs::remove_file(jpeg).expect("removed");
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let files = [
        ("empty.png", Vec::new(), "empty"),
        ("cut.png", half(&png), "cut off"),
        ("header.png", png[..40].to_vec(), "cut off"),
        ("header.jpg", jpeg_bytes[..64].to_vec(), "cut off"),
        ("none.jpg", jpeg_of_size(jpeg_bytes.clone(), 0, 0), "none.jpg"),
        ("huge.jpg", jpeg_of_size(jpeg_bytes, 65500, 65500), "--max-pixels"),
        ("moving.webp", animated_webp(dir), "animated WebP"),
        ("text.png", b"not a picture at all".to_vec(), "text.png"),
    ];
    let write = |(name, bytes, word): (&str, Vec<u8>, &'static str)| {
        let path = dir.join(name);
        fs::write(&path, bytes).expect("written");
        (path, word)
    };
    files.map(write).into()
}

#[test]
fn what_is_no_picture_is_named_and_nothing_is_written() {
    let (dir, bad) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for (path, word) in bad_files(bad.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let as_input = swap(&path, &dir.path().join("out.png"));
        let as_reference = faceswap(&[
            FACE.as_ref(),
            "--identity".as_ref(),
            "B".as_ref(),
            "--reference".as_ref(),
            &path,
            "-o".as_ref(),
            &dir.path().join("out.png"),
        ]);
        let pick = format!("{}=B", path.display());
        let as_map = faceswap(&[
            FACE.as_ref(),
            "--map".as_ref(),
            pick.as_ref(),
            "-o".as_ref(),
            &dir.path().join("out.png"),
        ]);
        for (how, out) in [("input", as_input), ("reference", as_reference), ("map", as_map)] {
            let told = errors(&out);
            assert_eq!(out.status.code(), Some(1), "{name} as {how}: {told}");
            assert!(told.contains(name) && told.contains(word), "{name} as {how}: {told}");
            assert!(!told.contains("panicked"), "{name} as {how}: {told}");
        }
        assert_eq!(names(dir.path()), <[&str; 0]>::default(), "{name}");
    }
}

#[test]
fn a_picture_without_a_face_passes_as_input_and_is_refused_as_reference() {
    let dir = tempfile::tempdir().expect("a folder");
    let (dot, out) = (dir.path().join("dot.png"), dir.path().join("out.png"));
    for size in [(1, 1), (1, 300), (300, 1)] {
        let picture = RgbImage::from_pixel(size.0, size.1, Rgb([200, 10, 30]));
        picture.save(&dot).expect("saved");
        let done = swap(&dot, &out);
        assert!(done.status.success() && errors(&done).contains("no face was found"), "{}", errors(&done));
        assert_eq!(image::open(&out).expect("opens").into_rgb8(), picture);
        fs::remove_file(&out).expect("removed");
        let refused = faceswap(&[
            FACE.as_ref(),
            "--identity".as_ref(),
            "B".as_ref(),
            "--reference".as_ref(),
            &dot,
            "-o".as_ref(),
            &out,
        ]);
        assert!(!refused.status.success());
        assert!(
            errors(&refused).contains("dot.png") && errors(&refused).contains("no face"),
            "{}",
            errors(&refused)
        );
        assert!(!out.exists());
    }
}

#[test]
fn grey_of_16_bits_and_the_inks_of_print_are_swapped_like_any_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let [grey, as_grey, as_rgb] = ["grey.png", "as_grey.png", "as_rgb.png"].map(|name| dir.path().join(name));
    let deep = DynamicImage::ImageRgb8(face()).into_luma16();
    deep.save(&grey).expect("saved");
    assert!(swap(&grey, &as_grey).status.success());
    let swapped = image::open(&as_grey).expect("opens");
    let DynamicImage::ImageLuma16(swapped) = swapped else { panic!("{:?}", swapped.color()) };
    let changed =
        |a: &ImageBuffer<Luma<u16>, Vec<u16>>| a.iter().zip(deep.iter()).filter(|(a, b)| a != b).count();
    let share = changed(&swapped) as f64 / deep.len() as f64;
    assert!((0.05..0.5).contains(&share), "the face is new and the rest is not: {share}");

    let done = swap(CMYK.as_ref(), &as_rgb);
    assert!(done.status.success(), "{}", errors(&done));
    let from_png = dir.path().join("from_png.png");
    assert!(swap(FACE.as_ref(), &from_png).status.success());
    let [print, screen] = [&as_rgb, &from_png].map(|path| image::open(path).expect("opens").into_rgb8());
    let apart = distance(&print, &screen);
    assert!(apart < 6.0, "{apart} codes: the inks were taken for something else");
    // The same person is known by either.
    for picture in [&grey, Path::new(CMYK)] {
        let out = dir.path().join("known.png");
        let known = faceswap(&[
            FACE.as_ref(),
            "--identity".as_ref(),
            "B".as_ref(),
            "--reference".as_ref(),
            picture,
            "-o".as_ref(),
            &out,
        ]);
        assert!(known.status.success(), "{}", errors(&known));
        fs::remove_file(&out).expect("removed");
    }
}
