use super::*;

/// A frame of one packed plane with counted bytes, and the planes that `to` makes of it.
fn planes(format: Pixel, bytes_per_row: usize, to: Pixel) -> (Vec<u8>, Picture) {
    let mut frame = Video::new(format, 8, 2);
    let mut all = Vec::new();
    for y in 0..2 {
        let row: Vec<u8> = (0..bytes_per_row).map(|i| (40 + 61 * y + 5 * i) as u8).collect();
        let stride = frame.stride(0);
        frame.data_mut(0)[y * stride..][..bytes_per_row].copy_from_slice(&row);
        all.extend(row);
    }
    let made = Converter::new().convert(&frame, Shape { format: to, width: 8, height: 2 }).expect("converts");
    (all, Picture::from_frame(made, 0, 0).ok().expect("handled"))
}

#[test]
fn unpacking_moves_bytes_and_changes_none() {
    let (packed, made) = planes(Pixel::YUYV422, 16, Pixel::YUV422P);
    for y in 0..2 {
        let row = &packed[16 * y..][..16];
        let every = |first, step| row.iter().copied().skip(first).step_by(step).collect::<Vec<u8>>();
        assert_eq!(made.row::<u8>(0, y, 8), every(0, 2));
        assert_eq!(made.row::<u8>(1, y, 4), every(1, 4));
        assert_eq!(made.row::<u8>(2, y, 4), every(3, 4));
    }
    for (format, step, order) in
        [(Pixel::RGB24, 3, [0, 1, 2]), (Pixel::BGR24, 3, [2, 1, 0]), (Pixel::BGRZ, 4, [2, 1, 0])]
    {
        let (packed, made) = planes(format, 8 * step, Pixel::GBRP);
        for (plane, channel) in [(2, 0), (0, 1), (1, 2)] {
            for y in 0..2 {
                let row = packed[8 * step * y..][..8 * step].iter().copied();
                let wanted: Vec<u8> = row.skip(order[channel]).step_by(step).collect();
                assert_eq!(made.row::<u8>(plane, y, 8), wanted, "{format:?}, channel {channel}");
            }
        }
    }
}

#[test]
fn shifted_samples_keep_their_numbers() {
    let mut frame = Video::new(Pixel::P010LE, 4, 2);
    for plane in 0..2 {
        frame.data_mut(plane).chunks_exact_mut(2).enumerate().for_each(|(i, sample)| {
            sample.copy_from_slice(&(((i as u16 * 37 + 11) % 1024) << 6).to_le_bytes());
        });
    }
    let shape = Shape { format: Pixel::YUV420P10LE, width: 4, height: 2 };
    let made = Converter::new().convert(&frame, shape).expect("converts");
    let made = Picture::from_frame(made, 0, 0).ok().expect("handled");
    assert_eq!(made.row::<u16>(0, 0, 4), [11, 48, 85, 122]);
    assert_eq!((made.row::<u16>(1, 0, 2), made.row::<u16>(2, 0, 2)), (&[11, 85][..], &[48, 122][..]));
}

/// The colours of a pixel of planar or packed 8-bit RGB.
fn colour(made: &Video, x: usize, y: usize) -> [u8; 3] {
    let at = |plane: usize, i: usize| made.data(plane)[y * made.stride(plane) + i];
    match made.format() {
        Pixel::GBRP | Pixel::GBRAP => [at(2, x), at(0, x), at(1, x)],
        Pixel::BGRA => [at(0, 4 * x + 2), at(0, 4 * x + 1), at(0, 4 * x)],
        other => panic!("{other:?}"),
    }
}

fn converted(frame: &Video, format: Pixel) -> Video {
    Converter::new().convert(frame, Shape { format, ..Shape::of(frame) }).expect("converts")
}

#[test]
fn every_opacity_survives_and_so_does_what_is_told_of_a_frame() {
    // All values of each channel, each in another order.
    let value = |channel: usize, i: usize| (i * [1, 3, 7, 5][channel] + 11 * channel) as u8;
    for (format, places) in [
        (Pixel::RGBA, [0, 1, 2, 3]),
        (Pixel::BGRA, [2, 1, 0, 3]),
        (Pixel::ARGB, [1, 2, 3, 0]),
        (Pixel::ABGR, [3, 2, 1, 0]),
    ] {
        for is_upside_down in [false, true] {
            let mut frame = Video::new(format, 16, 16);
            frame.set_pts(Some(77));
            // SAFETY: the frame is ours, and has 16 rows of 16 times 4 bytes; plain fields are set.
            unsafe {
                let raw = &mut *frame.as_mut_ptr();
                (raw.sample_aspect_ratio.num, raw.sample_aspect_ratio.den) = (4, 3);
                if is_upside_down {
                    raw.data[0] = raw.data[0].offset(15 * raw.linesize[0] as isize);
                    raw.linesize[0] = -raw.linesize[0];
                }
                for i in 0..256 {
                    let row = raw.data[0].offset((i / 16) as isize * raw.linesize[0] as isize);
                    for (channel, place) in places.into_iter().enumerate() {
                        *row.add(4 * (i % 16) + place) = value(channel, i);
                    }
                }
            }
            let made = converted(&frame, Pixel::GBRAP);
            // SAFETY: the frame is alive, plain numbers are read.
            let aspect = unsafe { (*made.as_ptr()).sample_aspect_ratio };
            assert_eq!((made.pts(), aspect.num, aspect.den), (Some(77), 4, 3));
            for i in 0..256 {
                let (x, y) = (i % 16, i / 16);
                let [r, g, b] = colour(&made, x, y);
                let opacity = made.data(3)[y * made.stride(3) + x];
                let wanted = [0, 1, 2, 3].map(|channel| value(channel, i));
                assert_eq!([r, g, b, opacity], wanted, "{format:?}, pixel {i}");
            }
        }
    }
}

#[test]
fn a_palette_keeps_its_colours() {
    let parts = |i: usize| [i as u8, 255 - i as u8, (7 * i + 3) as u8, (3 * i) as u8];
    let mut frame = Video::new(Pixel::PAL8, 16, 16);
    // SAFETY: the frame is ours, and has 16 rows of 16 bytes and 256 colours of 4 bytes.
    unsafe {
        let raw = &mut *frame.as_mut_ptr();
        for i in 0..256 {
            let [r, g, b, opacity] = parts(i);
            *raw.data[0].offset((i / 16) as isize * raw.linesize[0] as isize).add(i % 16) = i as u8;
            let number = u32::from_be_bytes([opacity, r, g, b]).to_ne_bytes();
            ptr::copy_nonoverlapping(number.as_ptr(), raw.data[1].add(4 * i), 4);
        }
    }
    let made = converted(&frame, Pixel::GBRAP);
    for i in 0..256 {
        let [r, g, b] = colour(&made, i % 16, i / 16);
        let opacity = made.data(3)[i / 16 * made.stride(3) + i % 16];
        assert_eq!([r, g, b, opacity], parts(i), "colour {i}");
    }
}

#[test]
fn white_of_a_few_bits_is_white() {
    for (format, red_shift) in [(Pixel::RGB555LE, 10), (Pixel::RGB565LE, 11)] {
        // All grays whose red and blue are the same 5 bits.
        let mut frame = Video::new(format, 32, 2);
        let stride = frame.stride(0);
        for (i, bytes) in frame.data_mut(0).chunks_exact_mut(2).enumerate() {
            let level = (i % (stride / 2)) as u16 & 31;
            let green = if red_shift == 10 { level } else { 2 * level + level / 16 };
            bytes.copy_from_slice(&(level << red_shift | green << 5 | level).to_le_bytes());
        }
        let made = converted(&frame, Pixel::GBRP);
        assert_eq!((colour(&made, 0, 1), colour(&made, 31, 1)), ([0; 3], [255; 3]), "{format:?}");
        for level in 0..32 {
            let [red, _, blue] = colour(&made, level, 0);
            let wanted = (level as f32 / 31.0 * 255.0).round() as u8;
            assert!(red.abs_diff(wanted) < 2 && blue == red, "{format:?}, {level}: {red}, {blue}");
        }
    }
}

/// A frame of two rows of gray.
fn gray(codes: &[u8], range: AVColorRange) -> Video {
    let mut frame = Video::new(Pixel::GRAY8, codes.len() as u32, 2);
    let stride = frame.stride(0);
    (0..2).for_each(|y| frame.data_mut(0)[y * stride..][..codes.len()].copy_from_slice(codes));
    // SAFETY: a plain field of a frame that is ours.
    unsafe { (*frame.as_mut_ptr()).color_range = range };
    frame
}

/// What is wanted follows from ITU-T H.273, clause 8.3: 219 codes from 16 on are the 255 of the full range.
#[test]
fn gray_is_full_unless_it_says_otherwise() {
    use AVColorRange as R;

    for (range, codes, wanted) in [
        (R::AVCOL_RANGE_UNSPECIFIED, [32_u8, 64, 128, 224], [32_u8, 64, 128, 224]),
        (R::AVCOL_RANGE_JPEG, [32, 64, 128, 224], [32, 64, 128, 224]),
        (R::AVCOL_RANGE_MPEG, [16, 60, 126, 235], [0, 51, 128, 255]),
    ] {
        for format in [Pixel::GBRP, Pixel::GBRAP, Pixel::BGRA] {
            let made = converted(&gray(&codes, range), format);
            let read = [0, 1, 2, 3].map(|x| colour(&made, x, 1));
            assert_eq!(read, wanted.map(|code| [code; 3]), "{range:?} to {format:?}");
        }
    }
    // YUV that says nothing is limited.
    let codes = [0_u8, 64, 128, 255];
    for (range, wanted) in [
        (R::AVCOL_RANGE_UNSPECIFIED, [16, 71, 126, 235]),
        (R::AVCOL_RANGE_JPEG, codes),
        (R::AVCOL_RANGE_MPEG, codes),
    ] {
        let made = converted(&gray(&codes, range), Pixel::YUV420P);
        assert_eq!(&made.data(0)[..4], wanted, "{range:?}");
    }
}

#[test]
fn white_of_deeper_gray_is_white() {
    use AVColorRange as R;

    for (range, white, wanted) in [
        (R::AVCOL_RANGE_UNSPECIFIED, 1023_u16, 65535_u16),
        (R::AVCOL_RANGE_JPEG, 1023, 65535),
        (R::AVCOL_RANGE_MPEG, 940, 60160),
    ] {
        let mut frame = Video::new(Pixel::GRAY10LE, 16, 2);
        frame.data_mut(0).chunks_exact_mut(2).for_each(|code| code.copy_from_slice(&white.to_le_bytes()));
        // SAFETY: a plain field of a frame that is ours.
        unsafe { (*frame.as_mut_ptr()).color_range = range };
        let made = converted(&frame, Pixel::GRAY16LE);
        let made = Picture::from_frame(made, 0, 0).ok().expect("handled");
        assert!(made.row::<u16>(0, 1, 16).iter().all(|code| *code == wanted), "{range:?}");
    }
}

/// 200, 60, 40 is 92, 105, 190 by the formulas of BT.709 (ITU-T H.273: kr 0.2126, kb 0.0722, limited), and these are
/// 187, 47, 42 by those of BT.601 (0.299, 0.114).
#[test]
fn yuv_without_a_matrix_has_that_of_its_size() {
    use AVColorSpace as S;

    let (by_709, by_601) = ([200_u8, 60, 40], [187_u8, 47, 42]);
    for (space, height, wanted) in [
        (S::AVCOL_SPC_UNSPECIFIED, 720, by_709),
        (S::AVCOL_SPC_RESERVED, 720, by_709),
        (S::AVCOL_SPC_UNSPECIFIED, 577, by_709),
        (S::AVCOL_SPC_UNSPECIFIED, 576, by_601),
        (S::AVCOL_SPC_BT709, 576, by_709),
        (S::AVCOL_SPC_SMPTE170M, 720, by_601),
    ] {
        let mut picture = Picture::blank(Pixel::YUV444P, 16, height);
        for (plane, code) in [92, 105, 190].into_iter().enumerate() {
            (0..height).for_each(|y| picture.row_mut::<u8>(plane, y, 16).fill(code));
        }
        let mut frame = picture.into_frame();
        // SAFETY: a plain field of a frame that is ours.
        unsafe { (*frame.as_mut_ptr()).colorspace = space };
        for format in [Pixel::GBRP, Pixel::BGRA] {
            let read = colour(&converted(&frame, format), 7, height - 1);
            let is_near = read.iter().zip(wanted).all(|(read, wanted)| read.abs_diff(wanted) < 2);
            assert!(is_near, "{space:?}, {height} rows, {format:?}: {read:?}");
        }
    }
}
