//! What reading and painting promise, for every layout.

use ffmpeg_next::{
    ffi::{AVChromaLocation, AVColorRange, AVColorSpace},
    format::Pixel,
};
use ndarray::{Array3, s};
use proptest::prelude::*;

use super::{layout, picture::Picture};
use crate::frame::Rect;

const FORMATS: &[Pixel] = &[
    Pixel::YUV420P,
    Pixel::YUV422P,
    Pixel::YUV444P,
    Pixel::YUVJ420P,
    Pixel::YUV440P,
    Pixel::YUV411P,
    Pixel::YUV410P,
    Pixel::NV12,
    Pixel::NV21,
    Pixel::GRAY8,
    Pixel::YA8,
    Pixel::YUVA420P,
    Pixel::GBRP,
    Pixel::GBRAP,
    Pixel::YUV420P9LE,
    Pixel::YUV420P10LE,
    Pixel::YUV422P10LE,
    Pixel::YUV444P12LE,
    Pixel::YUV420P16LE,
    Pixel::YUVA444P10LE,
    Pixel::GRAY10LE,
    Pixel::GRAY16LE,
    Pixel::GBRP10LE,
    Pixel::GBRP16LE,
];

/// A picture whose samples are pseudo-random but legal, from a seed.
fn noise(format: Pixel, width: usize, height: usize, seed: u64) -> Picture {
    let mut picture = Picture::blank(format, width, height);
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let layout = *picture.layout();
    for c in layout.channels {
        for y in 0..height.div_ceil(1 << c.shift_y) {
            let n = width.div_ceil(1 << c.shift_x) * c.step;
            let (low, span) = (c.lowest as u32, (c.highest - c.lowest) as u32 + 1);
            if layout.wide {
                picture.row_mut::<u16>(c.plane, y, n).fill_with(|| (low + next() % span) as u16);
            } else {
                picture.row_mut::<u8>(c.plane, y, n).fill_with(|| (low + next() % span) as u8);
            }
        }
    }
    picture
}

/// Every sample of every channel's plane, with the place of its first pixel.
fn samples(picture: &Picture) -> Vec<(usize, usize, usize, u32)> {
    let (width, height) = picture.size_px();
    let mut all = Vec::new();
    for (i, c) in picture.layout().channels.iter().enumerate() {
        for y in 0..height.div_ceil(1 << c.shift_y) {
            let w = width.div_ceil(1 << c.shift_x);
            let row: Vec<u32> = if picture.layout().wide {
                picture.row::<u16>(c.plane, y, w * c.step).iter().map(|&s| s.into()).collect()
            } else {
                picture.row::<u8>(c.plane, y, w * c.step).iter().map(|&s| s.into()).collect()
            };
            let placed = |x: usize| (i, x << c.shift_x, y << c.shift_y, row[x * c.step + c.offset]);
            all.extend((0..w).map(placed));
        }
    }
    all
}

fn any_format() -> impl Strategy<Value = Pixel> {
    prop::sample::select(FORMATS)
}

/// A picture's size and a rectangle in it.
fn any_size_and_rect() -> impl Strategy<Value = ((usize, usize), Rect)> {
    (1_usize..40, 1_usize..40).prop_flat_map(|(w, h)| {
        (0..w, 0..h).prop_flat_map(move |(x0, y0)| {
            (x0 + 1..=w, y0 + 1..=h).prop_map(move |(x1, y1)| ((w, h), Rect { x0, y0, x1, y1 }))
        })
    })
}

fn ramp(rect: Rect, amplitude: f32) -> Array3<f32> {
    Array3::from_shape_fn((3, rect.height(), rect.width()), |(c, y, x)| {
        amplitude * (((c * 31 + y * 7 + x * 13) % 17) as f32 / 8.0 - 1.0)
    })
}

/// How many codes RGB may be off after painting: half a code of each channel, a whole one where 8 bits are dithered,
/// through the matrix.
fn n_codes_off(depth: u32) -> f32 {
    if depth > 8 { 1.6 } else { 3.2 }
}

#[test]
fn a_difference_of_less_than_a_code_is_there_on_average_and_zero_is_exact() {
    let (w, h) = (64, 48);
    let rect = Rect { x0: 0, y0: 0, x1: w, y1: h };
    let mut picture = Picture::from_rgb8(w, h, &vec![100; 3 * w * h]);
    let mut delta = Array3::from_elem((3, h, w), 0.3 / 255.0);
    delta.slice_mut(ndarray::s![.., .., ..16]).fill(0.0);
    picture.add_rgb(rect, &delta);
    let after = picture.rgb_rect(rect) * 255.0;
    assert!(after.slice(ndarray::s![.., .., ..16]).iter().all(|v| (v - 100.0).abs() < 1e-3));
    let painted = after.slice(ndarray::s![.., .., 16..]);
    let mean = painted.sum() / painted.len() as f32;
    assert!((mean - 100.3).abs() < 0.02, "{mean}");
    // A mixture of two neighbouring codes, evenly spread: each block of 8 x 8 has its share.
    for x in (0..48).step_by(8) {
        let block = painted.slice(ndarray::s![0, 8..16, x..x + 8]);
        let share = (block.sum() / 64.0 - 100.0) / 0.3;
        assert!((0.6..1.4).contains(&share), "{share}");
    }
}

proptest! {
    #[test]
    fn a_difference_of_zero_keeps_every_bit(format in any_format(), (size, rect) in any_size_and_rect(), seed: u64) {
        let before = noise(format, size.0, size.1, seed);
        let mut after = before.clone();
        // One pixel differs, so that the whole path runs; it is put back before comparing.
        let mut delta = Array3::zeros((3, rect.height(), rect.width()));
        after.add_rgb(rect, &delta);
        prop_assert_eq!(samples(&before), samples(&after));
        delta[[1, 0, 0]] = 0.25;
        after.add_rgb(rect, &delta);
        for (old, new) in samples(&before).into_iter().zip(samples(&after)) {
            let own = old.1 <= rect.x0 && old.2 <= rect.y0 && old.1 + 4 > rect.x0 && old.2 + 4 > rect.y0;
            prop_assert!(old == new || own, "{old:?} became {new:?}, the changed pixel is ({}, {})", rect.x0, rect.y0);
        }
    }

    #[test]
    fn nothing_outside_the_rectangle_changes(format in any_format(), (size, rect) in any_size_and_rect(), seed: u64) {
        let before = noise(format, size.0, size.1, seed);
        let mut after = before.clone();
        after.add_rgb(rect, &ramp(rect, 0.3));
        let layout = *before.layout();
        for (old, new) in samples(&before).into_iter().zip(samples(&after)) {
            let c = layout.channels[old.0];
            let (right, bottom) = (old.1 + (1 << c.shift_x), old.2 + (1 << c.shift_y));
            let meets = old.1 < rect.x1 && right > rect.x0 && old.2 < rect.y1 && bottom > rect.y0;
            prop_assert!(old == new || meets, "{old:?} became {new:?} outside {rect:?}");
        }
    }

    #[test]
    fn what_is_added_is_read_back(
        format in prop::sample::select(&[Pixel::YUV444P, Pixel::YUV444P12LE, Pixel::GBRP, Pixel::GBRP16LE][..]),
        (size, rect) in any_size_and_rect(),
        seed: u64,
    ) {
        let mut picture = noise(format, size.0, size.1, seed);
        // Start from mid tones, so that nothing clips.
        let layout = *picture.layout();
        for c in layout.channels {
            for y in 0..size.1 {
                let shrink = |code: u32| (c.zero + (code as f32 - c.zero) * 0.05 + if c.lowest > 0.0 && c.zero > c.lowest { 0.0 } else { c.gain * 0.4 }).round();
                if layout.wide {
                    picture.row_mut::<u16>(c.plane, y, size.0).iter_mut().for_each(|s| *s = shrink(u32::from(*s)) as u16);
                } else {
                    picture.row_mut::<u8>(c.plane, y, size.0).iter_mut().for_each(|s| *s = shrink(u32::from(*s)) as u8);
                }
            }
        }
        let (before, delta) = (picture.rgb_rect(rect), ramp(rect, 0.05));
        picture.add_rgb(rect, &delta);
        let moved = picture.rgb_rect(rect) - before;
        let step = 1.0 / layout.channels[0].gain;
        let worst = (moved - &delta).iter().fold(0.0_f32, |worst, d| worst.max(d.abs()));
        prop_assert!(worst < n_codes_off(layout.depth) * step, "off by {worst}, a code is {step}");
    }

    #[test]
    fn an_even_difference_moves_every_layout_alike(format in any_format(), (size, _) in any_size_and_rect()) {
        let rect = Rect { x0: 0, y0: 0, x1: size.0, y1: size.1 };
        let mut picture = Picture::blank(format, size.0, size.1);
        let layout = *picture.layout();
        for c in layout.channels {
            let mid = if c.zero > c.gain * 0.3 { c.zero } else { (c.zero + c.gain * 0.5).round() };
            for y in 0..size.1.div_ceil(1 << c.shift_y) {
                let n = size.0.div_ceil(1 << c.shift_x) * c.step;
                if layout.wide { picture.row_mut::<u16>(c.plane, y, n).fill(mid as u16); }
                else { picture.row_mut::<u8>(c.plane, y, n).fill(mid as u8); }
            }
        }
        let gray = layout.n_channels == 1;
        let wanted = if gray { [0.1, 0.1, 0.1] } else { [0.1, -0.04, 0.06] };
        let delta = Array3::from_shape_fn((3, size.1, size.0), |(c, ..)| wanted[c]);
        let before = picture.rgb_rect(rect);
        picture.add_rgb(rect, &delta);
        let moved = picture.rgb_rect(rect) - before;
        for (c, wanted) in wanted.iter().enumerate() {
            for d in moved.index_axis(ndarray::Axis(0), c) {
                prop_assert!((d - wanted).abs() < n_codes_off(layout.depth) / layout.channels[0].gain, "{format:?} channel {c}: {d}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn a_rectangle_is_a_part_of_the_whole(format in any_format(), (size, rect) in any_size_and_rect(), seed: u64) {
        let picture = noise(format, size.0, size.1, seed);
        let whole = picture.rgb_rect(Rect { x0: 0, y0: 0, x1: size.0, y1: size.1 });
        let part = picture.rgb_rect(rect);
        let same = whole.slice(s![.., rect.y0..rect.y1, rect.x0..rect.x1]);
        let worst = (&part - &same).iter().fold(0.0_f32, |worst, d| worst.max(d.abs()));
        prop_assert!(worst < 1e-5, "{worst}");
    }

    #[test]
    fn blocks_are_the_means_of_their_pixels(format in any_format(), (size, rect) in any_size_and_rect(), side in 1_usize..9, seed: u64) {
        let picture = noise(format, size.0, size.1, seed);
        let blocks = picture.rgb_averaged(rect, side);
        prop_assert_eq!(blocks.dim(), (3, rect.height().div_ceil(side), rect.width().div_ceil(side)));
        let whole = picture.rgb_rect(Rect { x0: 0, y0: 0, x1: size.0, y1: size.1 });
        // Chroma between its samples is a matter of taste, luma is not.
        let m = picture.layout().from_rgb[0];
        let is_flat = picture.layout().is_rgb || picture.layout().n_channels == 1;
        let weights = if is_flat { [1.0, 0.0, 0.0] } else { m };
        for ((_, y, x), _) in blocks.slice(s![..1, .., ..]).indexed_iter() {
            let (top, left) = (rect.y0 + y * side, rect.x0 + x * side);
            let part = whole.slice(s![.., top..(top + side).min(size.1), left..(left + side).min(size.0)]);
            let want: f32 = (0..3).map(|c| weights[c] * part.index_axis(ndarray::Axis(0), c).mean().unwrap_or(f32::NAN)).sum();
            let have: f32 = (0..3).map(|c| weights[c] * blocks[[c, y, x]]).sum();
            prop_assert!((have - want).abs() < 2e-4, "{have} and {want} at ({x}, {y})");
        }
    }

    #[test]
    fn a_glance_at_even_columns_sees_all_of_them((size, _) in any_size_and_rect(), max_side in 1_usize..9, max_rows in 1_usize..5) {
        // Each row of the picture is the same, so that it makes no difference how many are read.
        let row: Vec<u8> = (0..size.0 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let picture = Picture::from_rgb8(size.0, size.1, &row.repeat(size.1));
        let (whole, glance) = (picture.rgb_reduced(max_side), picture.rgb_glance(max_side, max_rows));
        let worst = (&whole - &glance).iter().fold(0.0_f32, |worst, d| worst.max(d.abs()));
        prop_assert!(worst < 1e-5, "{worst}");
    }

    #[test]
    fn reducing_keeps_the_mean(format in any_format(), (size, _) in any_size_and_rect(), max_side in 1_usize..40, seed: u64) {
        let picture = noise(format, size.0, size.1, seed);
        let small = picture.rgb_reduced(max_side);
        let long = size.0.max(size.1);
        prop_assert!(small.dim().1.max(small.dim().2) == long.min(max_side));
        // Luma tells it exactly; chroma is sited, so that its mean leans on the edges.
        let luma = |rgb: &Array3<f32>| {
            let m = picture.layout().from_rgb[0];
            let [r, g, b] = [0, 1, 2].map(|c| rgb.index_axis(ndarray::Axis(0), c).mean().unwrap_or(f32::NAN));
            if picture.layout().n_channels == 1 { r } else { m[0] * r + m[1] * g + m[2] * b }
        };
        let whole = picture.rgb_rect(Rect { x0: 0, y0: 0, x1: size.0, y1: size.1 });
        if format != Pixel::GBRP && format != Pixel::GBRAP && format != Pixel::GBRP10LE && format != Pixel::GBRP16LE {
            prop_assert!((luma(&small) - luma(&whole)).abs() < 2e-4, "{} and {}", luma(&small), luma(&whole));
        }
    }
}

/// Known colours: 8-bit limited codes of pure red by the formulas of BT.709 and BT.601, and full range.
#[test]
fn known_codes_are_known_colours() {
    let cases = [
        (AVColorSpace::AVCOL_SPC_BT709, AVColorRange::AVCOL_RANGE_MPEG, [63, 102, 240], [1.0, 0.0, 0.0]),
        (AVColorSpace::AVCOL_SPC_BT470BG, AVColorRange::AVCOL_RANGE_MPEG, [81, 90, 240], [1.0, 0.0, 0.0]),
        (AVColorSpace::AVCOL_SPC_SMPTE170M, AVColorRange::AVCOL_RANGE_JPEG, [150, 44, 21], [0.0, 1.0, 0.0]),
        (AVColorSpace::AVCOL_SPC_BT2020_NCL, AVColorRange::AVCOL_RANGE_MPEG, [29, 240, 119], [0.0, 0.0, 1.0]),
        (
            AVColorSpace::AVCOL_SPC_UNSPECIFIED,
            AVColorRange::AVCOL_RANGE_UNSPECIFIED,
            [81, 90, 240],
            [1.0, 0.0, 0.0],
        ),
        (AVColorSpace::AVCOL_SPC_BT709, AVColorRange::AVCOL_RANGE_MPEG, [235, 128, 128], [1.0, 1.0, 1.0]),
    ];
    for (space, range, codes, rgb) in cases {
        let mut frame = Picture::blank(Pixel::YUV444P, 4, 4).into_frame();
        // SAFETY: plain fields of a frame that is ours.
        unsafe { ((*frame.as_mut_ptr()).colorspace, (*frame.as_mut_ptr()).color_range) = (space, range) };
        let mut picture = Picture::from_frame(frame, 0, 0).ok().expect("handled");
        for (plane, code) in codes.into_iter().enumerate() {
            (0..4).for_each(|y| picture.row_mut::<u8>(plane, y, 4).fill(code));
        }
        let read = picture.rgb_rect(Rect { x0: 1, y0: 1, x1: 2, y1: 2 });
        for (read, wanted) in read.iter().zip(rgb) {
            assert!(
                (read - wanted).abs() < 0.01,
                "{space:?} {range:?} {codes:?}: {read} instead of {wanted}"
            );
        }
    }
}

/// Left-sited 4:2:0: an even luma column lies on its chroma sample, an odd one half-way to the next.
#[test]
fn chroma_is_sited() {
    let read = |location| {
        let mut frame = Picture::blank(Pixel::YUV420P, 8, 2).into_frame();
        // SAFETY: a plain field of a frame that is ours.
        unsafe { (*frame.as_mut_ptr()).chroma_location = location };
        let mut picture = Picture::from_frame(frame, 0, 0).ok().expect("handled");
        (0..2).for_each(|y| picture.row_mut::<u8>(0, y, 8).fill(126));
        picture.row_mut::<u8>(1, 0, 4).fill(128);
        picture.row_mut::<u8>(2, 0, 4).copy_from_slice(&[128, 148, 168, 188]);
        let rgb = picture.rgb_rect(Rect { x0: 0, y0: 0, x1: 8, y1: 2 });
        let cr = |x: usize| (rgb[[0, 0, x]] - rgb[[2, 0, x]]) / picture.layout().to_rgb[0][2] * 224.0;
        (0..8).map(|x| cr(x).round() as i32).collect::<Vec<_>>()
    };
    assert_eq!(read(AVChromaLocation::AVCHROMA_LOC_LEFT), [0, 10, 20, 30, 40, 50, 60, 60]);
    assert_eq!(read(AVChromaLocation::AVCHROMA_LOC_CENTER), [0, 5, 15, 25, 35, 45, 55, 60]);
}

#[test]
fn clones_share_until_one_is_painted() {
    let first = noise(Pixel::YUV420P, 32, 32, 1);
    let before = samples(&first);
    let mut second = first.clone();
    let rect = Rect { x0: 3, y0: 3, x1: 20, y1: 20 };
    second.add_rgb(rect, &ramp(rect, 0.2));
    assert_eq!(samples(&first), before);
    assert_ne!(samples(&second), before);
}

#[test]
fn rgb_bytes_come_back() {
    let bytes: Vec<u8> = (0..3 * 5 * 3).map(|i| (i * 5) as u8).collect();
    let picture = Picture::from_rgb8(5, 3, &bytes);
    let rgb = picture.rgb_rect(Rect { x0: 0, y0: 0, x1: 5, y1: 3 });
    for (i, byte) in bytes.iter().enumerate() {
        let (pixel, channel) = (i / 3, i % 3);
        assert!((rgb[[channel, pixel / 5, pixel % 5]] * 255.0 - f32::from(*byte)).abs() < 1e-3);
    }
}

#[test]
fn pictures_that_are_made_here_say_that_they_are_full() {
    for (format, range) in [
        (Pixel::GRAY8, AVColorRange::AVCOL_RANGE_JPEG),
        (Pixel::GRAY16LE, AVColorRange::AVCOL_RANGE_JPEG),
        (Pixel::GBRP, AVColorRange::AVCOL_RANGE_JPEG),
        (Pixel::GBRAP16LE, AVColorRange::AVCOL_RANGE_JPEG),
        (Pixel::YUV420P, AVColorRange::AVCOL_RANGE_UNSPECIFIED),
    ] {
        let frame = Picture::blank(format, 4, 4).into_frame();
        // SAFETY: the frame is alive, plain numbers are read.
        let raw = unsafe { &*frame.as_ptr() };
        let is_rgb = raw.colorspace == AVColorSpace::AVCOL_SPC_RGB;
        assert_eq!((raw.color_range, is_rgb), (range, layout::is_rgb(format.into())), "{format:?}");
    }
}

#[test]
fn other_formats_have_a_target_that_loses_nothing() {
    let cases = [
        (Pixel::RGB24, "gbrp"),
        (Pixel::BGRA, "gbrap"),
        (Pixel::YUYV422, "yuv422p"),
        (Pixel::P010LE, "yuv420p10le"),
        (Pixel::RGB48BE, "gbrp16le"),
        (Pixel::GRAY16BE, "gray16le"),
        (Pixel::YUV420P10BE, "yuv420p10le"),
        (Pixel::MonoBlack, "gray"),
        (Pixel::RGB565LE, "gbrp"),
        (Pixel::NV12, "nv12"),
    ];
    for (format, wanted) in cases {
        let target = layout::lossless_target(format.into()).expect("a target");
        assert_eq!(layout::name_and_depth(target).0, wanted, "{format:?}");
    }
    assert_eq!(layout::lossless_target(Pixel::BAYER_RGGB8.into()), None);
}
