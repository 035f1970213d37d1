#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use ndarray::Array3;

use super::*;
use crate::{
    frame::Rect,
    video::{read_picture, read_picture_within, write_picture},
};

const SIDE: usize = 16;

/// Half floats of a ramp in all of half's range that matters: below 0, above 1, and no number at all.
fn ramp(at: usize) -> f16 {
    match at % 7 {
        0 => f16::from_f32(-0.25),
        1 => f16::from_f32(7.5),
        2 => f16::NAN,
        3 => f16::INFINITY,
        _ => f16::from_f32(at as f32 / 300.0),
    }
}

/// A file of colours in the second layer, whose green is in full floats, and of depth and numbers beside them.
fn file(dir: &Path) -> std::path::PathBuf {
    let halves = |shift: usize| FlatSamples::F16((0..SIDE * SIDE).map(|at| ramp(at + shift)).collect());
    let floats = FlatSamples::F32((0..SIDE * SIDE).map(|at| at as f32 * 0.003).collect());
    let numbers = FlatSamples::U32((0..(SIDE * SIDE) as u32).collect());
    let layer = |name: &str, channels: Vec<AnyChannel<FlatSamples>>, compression| {
        let attributes = LayerAttributes {
            software_name: Text::new_or_none("a renderer"),
            ..LayerAttributes::named(name)
        };
        let encoding = Encoding { compression, ..Encoding::default() };
        Layer::new((SIDE, SIDE), attributes, encoding, AnyChannels::sort(channels.into_iter().collect()))
    };
    let layers = vec![
        layer("data", vec![AnyChannel::new("id", numbers)], Compression::RLE),
        layer(
            "beauty",
            vec![
                AnyChannel::new("R", halves(0)),
                AnyChannel::new("G", floats.clone()),
                AnyChannel::new("B", halves(3)),
                AnyChannel::new("Z", floats),
            ],
            Compression::PIZ,
        ),
    ];
    let path = dir.join("in.exr");
    let image: FlatImage = Image::from_layers(ImageAttributes::with_size((SIDE, SIDE)), layers);
    image.write().to_file(&path).unwrap();
    path
}

fn flat(path: &Path) -> FlatImage {
    let reader =
        read().no_deep_data().largest_resolution_level().all_channels().all_layers().all_attributes();
    reader.from_file(path).unwrap()
}

/// The bits of all samples of a channel.
fn bits(image: &FlatImage, layer: usize, name: &str) -> Vec<u32> {
    let channels = &image.layer_data[layer].channel_data.list;
    let channel = channels.iter().find(|channel| channel.name.to_string() == name).unwrap();
    match &channel.sample_data {
        FlatSamples::F16(values) => values.iter().map(|v| u32::from(v.to_bits())).collect(),
        FlatSamples::F32(values) => values.iter().map(|v| v.to_bits()).collect(),
        FlatSamples::U32(values) => values.clone(),
    }
}

#[test]
fn what_is_not_painted_keeps_every_bit_and_what_is_changes_in_linear_light() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (file(dir.path()), dir.path().join("out.exr"));
    let mut picture = read_picture(&input).unwrap().picture;
    assert_eq!((picture.size_px(), picture.pixel_format()), ((SIDE, SIDE), "gbrp16le"));
    let rect = Rect { x0: 4, y0: 8, x1: 8, y1: 12 };
    picture.add_rgb(rect, &Array3::from_elem((3, 4, 4), 0.1));
    write_picture(&output, &picture, &input, Some("a label")).unwrap();

    let (before, after) = (flat(&input), flat(&output));
    assert_eq!(bits(&before, 0, "id"), bits(&after, 0, "id"));
    assert_eq!(bits(&before, 1, "Z"), bits(&after, 1, "Z"));
    for name in ["R", "G", "B"] {
        let (old, new) = (bits(&before, 1, name), bits(&after, 1, name));
        for at in
            (0..SIDE * SIDE).filter(|at| !((4..8).contains(&(at % SIDE)) && (8..12).contains(&(at / SIDE))))
        {
            assert_eq!(old[at], new[at], "{name} at {at}");
        }
    }
    // Green in the middle of what was painted, a tenth brighter on the screen.
    let at = 9 * SIDE + 5;
    let [old, new] = [&before, &after].map(|image| f32::from_bits(bits(image, 1, "G")[at]));
    let shown = |v: f32| f32::from(code_of(v)) / MOST;
    assert!((shown(new) - shown(old) - 0.1).abs() < 1e-4, "{old} {new}");
    let attributes = &after.layer_data[1].attributes;
    assert_eq!(attributes.comments.as_ref().unwrap().to_string(), "a label");
    assert_eq!(attributes.software_name, before.layer_data[1].attributes.software_name);
    assert_eq!(after.layer_data[1].encoding.compression, Compression::PIZ);
}

#[test]
fn codes_and_values_go_there_and_back() {
    for code in 0..=u16::MAX {
        assert_eq!(code_of(value_of(code)), code);
    }
    // IEC 61966-2-1: mid grey.
    assert_eq!((code_of(0.214_041_14) + 64) / 128, (32768 + 64) / 128);
    assert_eq!((code_of(-1.0), code_of(f32::INFINITY), code_of(9.0)), (0, u16::MAX, u16::MAX));
}

#[test]
fn a_picture_of_another_kind_becomes_a_file_of_half_floats() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3 * 6 * 4).map(|i| (i * 3) as u8).collect();
    let picture = Picture::from_rgb8(6, 4, &bytes);
    let output = dir.path().join("new.exr");
    write_picture(&output, &picture, Path::new(""), None).unwrap();
    let again = read_picture(&output).unwrap().picture;
    let rect = Rect { x0: 0, y0: 0, x1: 6, y1: 4 };
    let worst = (again.rgb_rect(rect) - picture.rgb_rect(rect)).iter().fold(0.0_f32, |m, d| m.max(d.abs()));
    // Half a step of half floats, on the screen.
    assert!(worst < 4e-4, "{worst}");
    let png = dir.path().join("shown.png");
    write_picture(&png, &again, &output, None).unwrap();
    assert_eq!(read_picture(&png).unwrap().picture.bit_depth(), 16);
}

#[test]
fn files_that_cannot_be_shown_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let input = file(dir.path());
    let told = |path: &Path, max_pixels| read_picture_within(path, max_pixels).unwrap_err().to_string();
    assert!(told(&input, 255).contains("the limit is 255"), "{}", told(&input, 255));
    let whole = std::fs::read(&input).unwrap();
    for n in (8..whole.len()).step_by(97) {
        let cut = dir.path().join("cut.exr");
        std::fs::write(&cut, &whole[..n]).unwrap();
        assert!(told(&cut, 1 << 20).contains("damaged or cut off"), "{n}: {}", told(&cut, 1 << 20));
    }
    let depth =
        AnyChannels::sort([AnyChannel::new("Z", FlatSamples::F32(vec![0.5; 4]))].into_iter().collect());
    let image = Image::from_layers(
        ImageAttributes::with_size((2, 2)),
        vec![Layer::new((2, 2), LayerAttributes::default(), Encoding::default(), depth)],
    );
    let path = dir.path().join("depth.exr");
    image.write().to_file(&path).unwrap();
    assert!(told(&path, 64).contains("it has Z"), "{}", told(&path, 64));
}

#[test]
fn a_file_that_lacks_its_end_is_known_without_decoding_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    assert!(!is_cut(&path).unwrap());
    // One part, which is numbered nowhere.
    let plain = dir.path().join("plain.exr");
    write_picture(&plain, &Picture::from_rgb8(40, 40, &[90; 4800]), &plain, None).unwrap();
    assert!(!is_cut(&plain).unwrap());
    for path in [path, plain] {
        let bytes = std::fs::read(&path).unwrap();
        for n_kept in [6, 200, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..n_kept]).unwrap();
            assert!(is_cut(&path).unwrap(), "{n_kept} of {} bytes", bytes.len());
        }
    }
}
