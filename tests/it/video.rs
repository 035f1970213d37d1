//! Videos that pass through unchanged: pictures bit by bit, times, sound, subtitles, tags.

use faceswap::{
    frame::{Frame, Rect},
    video::{ClipWriter, DecodeSettings, Decoder, EncodeSettings, OnDamage, Picture, Scale, probe},
};
use ndarray::Array3;

use crate::media::{decode, ffprobe, has_ffmpeg, lossless, make, names, packets, pass, pixels, presented_s};

const PICTURE: &str = "-f lavfi -i testsrc2=size=160x96:rate=25:duration=1";
const SOUND: &str = "-f lavfi -i sine=frequency=440:duration=1";

/// Makes a clip, passes it through a lossless encoder, and compares all that is promised.
fn check(name: &str, arguments: &str) {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = make(dir.path(), name, arguments);
    let output = dir.path().join(format!("out_{name}"));
    let written = pass(&input, &output, &lossless(), |_| {}).expect("passes");
    let (before, after) = (decode(&input).expect("decodes"), decode(&output).expect("decodes"));
    assert_eq!((written.frames, before.len()), (before.len() as u64, after.len()), "frames");
    assert!(!before.is_empty());
    for (old, new) in before.iter().zip(&after) {
        assert_eq!((old.idx, old.picture.pts()), (new.idx, new.picture.pts()), "time of frame {}", old.idx);
        assert_eq!(old.picture.pixel_format(), new.picture.pixel_format());
        assert!(pixels(old) == pixels(new), "pixels of frame {}", old.idx);
    }
    assert_eq!(presented_s(&input), presented_s(&output), "what ffprobe sees");
    for kind in ["a", "s"] {
        assert_eq!(packets(&input, kind), packets(&output, kind), "packets of {kind}");
    }
    let facts = "-select_streams v:0 -show_entries stream=codec_name,width,height,sample_aspect_ratio,pix_fmt,\
        color_range,color_space,color_primaries,color_transfer,time_base,r_frame_rate,avg_frame_rate:\
        stream_side_data=rotation";
    assert_eq!(ffprobe(&input, facts), ffprobe(&output, facts));
    let light = "-select_streams v:0 -read_intervals %+#1 -show_entries frame_side_data=red_x,max_luminance,max_content";
    assert_eq!(ffprobe(&input, light), ffprobe(&output, light));
    assert_eq!(written.notes, Vec::<String>::new());
    assert_eq!(names(dir.path()).len(), 2, "nothing else is left: {:?}", names(dir.path()));
}

#[test]
fn constant_rate_b_frames_and_sound() {
    check("a.mp4", &format!("{PICTURE} {SOUND} -c:v libx264 -bf 3 -pix_fmt yuv420p -c:a aac"));
}

#[test]
fn variable_rate() {
    let select = "-vf select=lt(mod(n\\,10)\\,3)+gt(n\\,18) -fps_mode vfr";
    check("a.mp4", &format!("{PICTURE} {SOUND} {select} -c:v libx264 -pix_fmt yuv420p -c:a aac"));
    check("a.mkv", &format!("{PICTURE} {select} -c:v libx264 -pix_fmt yuv420p"));
}

#[test]
fn rate_of_ntsc() {
    check(
        "a.mov",
        "-f lavfi -i testsrc2=size=160x96:rate=30000/1001:duration=1 -c:v libx264 -pix_fmt yuv422p",
    );
}

#[test]
fn ten_bits_hevc() {
    let colour = "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -color_range tv";
    let params = "-x265-params log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)\
        WP(15635,16450)L(10000000,50):max-cll=1000,400";
    check(
        "a.mp4",
        &format!("{PICTURE} -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le {colour} {params}"),
    );
}

#[test]
fn ten_bits_h264() {
    check("a.mkv", &format!("{PICTURE} -c:v libx264 -preset ultrafast -pix_fmt yuv422p10le"));
}

#[test]
fn odd_sides_without_subsampling() {
    check("a.mp4", "-f lavfi -i testsrc2=size=161x97:rate=25:duration=1 -c:v libx264 -pix_fmt yuv444p");
}

#[test]
fn odd_sides_with_subsampling() {
    check(
        "a.webm",
        "-f lavfi -i testsrc2=size=161x97:rate=25:duration=1 -c:v libvpx-vp9 -cpu-used 8 -pix_fmt yuv420p",
    );
}

#[test]
fn tiny_pictures() {
    check("a.mp4", "-f lavfi -i testsrc2=size=2x2:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p");
}

#[test]
fn one_frame() {
    check("a.mp4", &format!("{PICTURE} -frames:v 1 -c:v libx264 -pix_fmt yuv420p"));
}

#[test]
fn full_range_and_bt601() {
    check("a.mp4", &format!("{PICTURE} -c:v libx264 -pix_fmt yuvj420p -colorspace bt470bg -color_range pc"));
}

/// What is told by nothing but the size is told in words where the size changes.
#[test]
fn another_size_means_no_other_matrix() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let source = make(dir.path(), "a.mkv", &format!("{PICTURE} -c:v ffv1 -pix_fmt yuv420p"));
    let space = |path: &std::path::Path| ffprobe(path, "-select_streams v -show_entries stream=color_space");
    for (size, wanted) in [("1280x720", "smpte170m"), ("320x192", "unknown")] {
        let scale = Scale::parse("--output-video-scale", size).expect("a size");
        let output = dir.path().join(format!("{size}.mkv"));
        pass(&source, &output, &EncodeSettings { scale: Some(scale), ..lossless() }, |_| {}).expect("passes");
        assert_eq!(space(&output), [wanted], "{size}");
    }
}

#[test]
fn gray_and_rgb_without_loss() {
    check("a.mkv", &format!("{PICTURE} -c:v ffv1 -pix_fmt gray"));
    check("b.mkv", &format!("{PICTURE} -c:v ffv1 -pix_fmt bgr0"));
    check("c.mkv", &format!("{PICTURE} -c:v ffv1 -pix_fmt yuva420p"));
    check("d.mkv", &format!("{PICTURE} -c:v ffv1 -pix_fmt gbrp16le"));
}

#[test]
fn wide_pixels() {
    check("a.mp4", &format!("{PICTURE} -vf setsar=16/11 -c:v libx264 -pix_fmt yuv420p"));
}

#[test]
fn two_sounds_and_subtitles() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let text = "1\n00:00:00,100 --> 00:00:00,500\nHello\n\n2\n00:00:00,600 --> 00:00:00,900\nthere\n";
    std::fs::write(dir.path().join("t.srt"), text).expect("written");
    let subtitles = dir.path().join("t.srt").display().to_string();
    let streams = "-map 0:v -map 1:a -map 1:a -map 2:s -c:v libx264 -pix_fmt yuv420p -c:a:0 aac -c:a:1 flac";
    check("a.mkv", &format!("{PICTURE} {SOUND} -i {subtitles} {streams} -c:s srt"));
    check(
        "a.mp4",
        &format!("{PICTURE} {SOUND} -i {subtitles} -c:v libx264 -pix_fmt yuv420p -c:a aac -c:s mov_text"),
    );
}

#[test]
fn sound_that_starts_late_or_lasts_longer() {
    let video = "-c:v libx264 -pix_fmt yuv420p -c:a aac";
    check("a.mp4", &format!("{PICTURE} -itsoffset 0.5 {SOUND} {video}"));
    check("a.mkv", &format!("{PICTURE} -f lavfi -i sine=duration=3 {video}"));
}

#[test]
fn rotation_is_kept_and_told() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let flat =
        make(dir.path(), "flat.mp4", &format!("{PICTURE} {SOUND} -c:v libx264 -pix_fmt yuv420p -c:a aac"));
    // `rotate` makes players turn the picture against the clock, i.e. it was stored turned clockwise.
    for (tag, quarter_turns) in [("90", 3), ("180", 2), ("270", 1)] {
        let turned = make(
            dir.path(),
            &format!("{tag}.mp4"),
            &format!("-i {} -c copy -metadata:s:v:0 rotate={tag}", flat.display()),
        );
        let output = dir.path().join("out.mp4");
        pass(&turned, &output, &lossless(), |_| {}).expect("passes");
        for path in [&turned, &output] {
            let probe = probe(path).expect("probed");
            assert_eq!((probe.size_px, probe.quarter_turns), ((160, 96), quarter_turns), "{tag}");
            let upright = if quarter_turns == 2 { (160, 96) } else { (96, 160) };
            assert_eq!(probe.display_size_px, upright);
        }
        assert_eq!(packets(&turned, "a"), packets(&output, "a"));
    }
}

#[test]
fn tags_chapters_covers_and_attachments() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let tags = ";FFMETADATA1\ntitle=A title\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n\
        [CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=Two\n";
    std::fs::write(dir.path().join("tags.txt"), tags).expect("written");
    std::fs::write(dir.path().join("font.ttf"), b"not really").expect("written");
    make(dir.path(), "cover.png", "-f lavfi -i color=red:size=32x32 -frames:v 1");
    let coded = "-c:v:0 libx264 -pix_fmt yuv420p -c:a aac -metadata:s:a:0 language=fra";
    let mp4 = make(
        dir.path(),
        "a.mp4",
        &format!(
            "{PICTURE} {SOUND} -i cover.png -i tags.txt -map 0 -map 1 -map 2 -map_metadata 3 {coded} -c:v:1 copy \
            -disposition:v:1 attached_pic"
        ),
    );
    let mkv = make(
        dir.path(),
        "a.mkv",
        &format!(
            "{PICTURE} {SOUND} -i tags.txt -map_metadata 2 {coded} -attach font.ttf -metadata:s:t \
            mimetype=application/x-truetype-font"
        ),
    );
    let facts = [
        "-show_entries chapter=start_time,end_time:chapter_tags=title",
        "-show_entries format_tags=title",
        "-show_entries stream=codec_type,codec_name:stream_disposition=default,attached_pic:\
            stream_tags=language,filename,mimetype",
    ];
    for input in [mp4, mkv] {
        let output = input.with_file_name(format!("out_{}", input.file_name().expect("a name").display()));
        let written = pass(&input, &output, &lossless(), |_| {}).expect("passes");
        for facts in facts {
            assert_eq!(ffprobe(&input, facts), ffprobe(&output, facts), "{}", input.display());
        }
        assert_eq!(written.notes, Vec::<String>::new());
    }
    // From MP4 to Matroska the cover becomes an attachment, which is how Matroska keeps covers.
    let (input, output) = (dir.path().join("a.mp4"), dir.path().join("cover.mkv"));
    pass(&input, &output, &lossless(), |_| {}).expect("passes");
    let attached = ffprobe(&output, "-show_entries stream=codec_name:stream_disposition=attached_pic");
    assert!(attached.iter().any(|line| line == "png,1"), "{attached:?}");
}

#[test]
fn what_the_container_cannot_hold_is_told() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("t.srt"), "1\n00:00:00,100 --> 00:00:00,500\nHello\n").expect("written");
    let coded = "-c:v libx264 -pix_fmt yuv420p";
    let input =
        make(dir.path(), "a.mkv", &format!("{PICTURE} {SOUND} -i t.srt {coded} -c:a pcm_s16le -c:s srt"));
    let told = pass(&input, &dir.path().join("o.mp4"), &lossless(), |_| {}).expect_err("refused").to_string();
    assert!(told.contains("pcm_s16le") && told.contains(".mkv"), "{told}");
    let input = make(dir.path(), "b.mkv", &format!("{PICTURE} {SOUND} -i t.srt {coded} -c:a aac -c:s srt"));
    let written = pass(&input, &dir.path().join("o.mp4"), &lossless(), |_| {}).expect("passes");
    assert!(matches!(&written.notes[..], [note] if note.contains("subrip")), "{:?}", written.notes);
    assert_eq!(names(dir.path()), ["a.mkv", "b.mkv", "o.mp4", "t.srt"]);
}

#[test]
fn only_the_painted_rectangle_of_the_painted_frame_changes() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = make(dir.path(), "a.mp4", &format!("{PICTURE} -c:v libx264 -bf 2 -pix_fmt yuv420p"));
    let output = dir.path().join("o.mp4");
    let rect = Rect { x0: 40, y0: 20, x1: 72, y1: 60 };
    let delta = Array3::from_elem((3, rect.height(), rect.width()), 0.2);
    let paint = |frame: &mut Frame| {
        if frame.idx == 12 {
            frame.picture.add_rgb(rect, &delta);
        }
    };
    pass(&input, &output, &lossless(), paint).expect("passes");
    for (old, new) in decode(&input).expect("decodes").iter().zip(&decode(&output).expect("decodes")) {
        assert_eq!(pixels(old) == pixels(new), old.idx != 12, "frame {}", old.idx);
        let whole = Rect { x0: 0, y0: 0, x1: 160, y1: 96 };
        let (old, new) = (old.picture.rgb_rect(whole), new.picture.rgb_rect(whole));
        // Gray was added, so that chroma stays, and with it every pixel outside.
        let outside = |rgb: &Array3<f32>| -> Vec<u32> {
            let kept = rgb
                .indexed_iter()
                .filter(|((_, y, x), _)| !((rect.x0..rect.x1).contains(x) && (rect.y0..rect.y1).contains(y)));
            kept.map(|(_, value)| value.to_bits()).collect()
        };
        assert!(outside(&old) == outside(&new));
    }
}

#[test]
fn a_clip_from_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = dir.path().join("clip.mp4");
    let mut writer =
        ClipWriter::create(&output, (64, 48), (30000, 1001), &EncodeSettings::default()).expect("made");
    let colour = |idx: u64| [200, 40 + 10 * idx as u8, 60];
    for idx in 0..7 {
        let pixels: Vec<u8> = colour(idx).into_iter().cycle().take(3 * 64 * 48).collect();
        writer.write(Frame { idx, picture: Picture::from_rgb8(64, 48, &pixels) }).expect("written");
        assert!(!output.exists(), "it has no name before it is whole");
    }
    assert_eq!(writer.commit().expect("whole"), 7);
    let frames = decode(&output).expect("decodes");
    assert_eq!(frames.len(), 7);
    assert_eq!(frames[0].picture.pixel_format(), "yuv420p");
    for frame in &frames {
        let rgb = frame.picture.rgb_rect(Rect { x0: 20, y0: 20, x1: 21, y1: 21 });
        for (channel, wanted) in colour(frame.idx).into_iter().enumerate() {
            let told = rgb[[channel, 0, 0]] * 255.0;
            assert!((told - f32::from(wanted)).abs() < 4.0, "frame {}: {told} for {wanted}", frame.idx);
        }
    }
    assert_eq!(probe(&output).expect("probed").frame_rate, (30000, 1001));
}

#[test]
fn a_cut_tail_is_told_and_the_rest_is_kept() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let coded = "-c:v libx264 -g 12 -pix_fmt yuv420p -c:a aac -movflags +faststart";
    let whole = make(dir.path(), "whole.mp4", &format!("{PICTURE} {SOUND} {coded}"));
    let bytes = std::fs::read(&whole).expect("readable");
    let cut = dir.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).expect("written");
    let mut decoder = Decoder::open(&cut, &DecodeSettings::default()).expect("opens");
    let frames: Vec<Frame> = decoder.by_ref().collect::<Result<_, _>>().expect("no error");
    assert!((5..25).contains(&frames.len()), "{}", frames.len());
    let [damage] = decoder.damage() else { panic!("{:?}", decoder.damage()) };
    assert!(damage.first == frames.len() as u64 && damage.reason.contains("cut off"), "{damage}");
    for (old, new) in decode(&whole).expect("decodes").iter().zip(&frames).take(frames.len() - 1) {
        assert!(pixels(old) == pixels(new), "frame {}", old.idx);
    }
}

#[test]
fn damage_in_the_middle_is_mended_as_asked() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = make(
        dir.path(),
        "a.mp4",
        &format!("{PICTURE} -c:v libx264 -g 5 -pix_fmt yuv420p -movflags +faststart"),
    );
    let whole = dir.path().join("whole.mp4");
    std::fs::copy(&input, &whole).expect("copied");
    let mut bytes = std::fs::read(&input).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 3000].iter_mut().enumerate().for_each(|(i, b)| *b = (i * 37 % 251) as u8);
    std::fs::write(&input, bytes).expect("written");
    let whole = decode(&whole).expect("decodes");
    let read = |on_damage| {
        let settings = DecodeSettings { on_damage: Some(on_damage), ..Default::default() };
        let mut decoder = Decoder::open(&input, &settings).expect("opens");
        let frames = decoder.by_ref().collect::<Result<Vec<Frame>, _>>();
        (frames, decoder.damage().to_vec())
    };
    let (Err(error), _) = read(OnDamage::Stop) else { panic!("damaged") };
    assert!(matches!(error, faceswap::Error::Media { frame: 1.., .. }), "{error:?}");
    let (repeated, damage) = read(OnDamage::Repeat);
    let (skipped, same_damage) = read(OnDamage::Skip);
    assert_eq!(damage, same_damage);
    let is_damaged = |n: u64| damage.iter().any(|d| (d.first..=d.last.expect("a range")).contains(&n));
    let n_damaged = (0..25).filter(|n| is_damaged(*n)).count();
    assert!((1..15).contains(&n_damaged), "{damage:?}");
    // What is shown was filmed: each frame is whole, or the last whole one once more.
    let repeated = repeated.expect("mended");
    assert_eq!(repeated.len(), 25);
    let mut last = &whole[0];
    for (new, old) in repeated.iter().zip(&whole) {
        if !is_damaged(old.idx) {
            last = old;
        }
        assert_eq!(new.picture.pts(), old.picture.pts());
        assert!(pixels(new) == pixels(last), "frame {}", old.idx);
    }
    let kept: Vec<i64> =
        whole.iter().filter(|frame| !is_damaged(frame.idx)).map(|frame| frame.picture.pts()).collect();
    let skipped: Vec<i64> = skipped.expect("mended").iter().map(|frame| frame.picture.pts()).collect();
    assert_eq!(skipped, kept);
}
