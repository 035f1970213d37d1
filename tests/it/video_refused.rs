//! Inputs and outputs that won't do: the right error, its words, and nothing left in the folder.

use std::{ffi::CString, fs, os::unix::ffi::OsStrExt, path::Path};

use faceswap::{
    Error, Result,
    frame::{Blended, Frame},
    video::{DecodeSettings, Decoder, EncodeSettings, Place, Writer, Written, probe, probe_within},
};

use crate::media::{decode, has_ffmpeg, lossless, make, names, pass, writer};

const CLIP: &str = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p";

fn told(path: &Path) -> String {
    match probe(path) {
        Err(Error::BadInput { path: of, reason }) if of == path => reason,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn files_that_are_no_videos() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let write = |name: &str, bytes: &[u8]| fs::write(at(name), bytes).expect("written");
    write("zero.mp4", b"");
    write("text.mp4", b"not a video\n");
    write(
        "head.mp4",
        b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41\0\0\x08\0mdat and then the battery was empty",
    );
    write(
        "noise.mp4",
        &(0..50_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>(),
    );
    write("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n");
    write(
        "list.mp4",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
    );
    write("concat.mp4", b"ffconcat version 1.0\nfile 'zero.mp4'\n");
    fs::create_dir(at("folder.mp4")).expect("made");
    let fifo = CString::new(at("fifo.mp4").as_os_str().as_bytes()).expect("no zero");
    // SAFETY: makes a named pipe from a valid string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let cases = [
        ("missing.mp4", "no such file"),
        ("zero.mp4", "empty file"),
        ("text.mp4", "not a video"),
        ("noise.mp4", "not a video"),
        ("head.mp4", "not finished"),
        ("list.m3u8", "playlist"),
        ("list.mp4", "playlist"),
        ("concat.mp4", "playlist"),
        ("folder.mp4", "folder"),
        ("fifo.mp4", "pipe"),
    ];
    for (name, words) in cases {
        let reason = told(&at(name));
        assert!(reason.contains(words), "{name}: {reason}");
        assert!(Decoder::open(&at(name), &DecodeSettings::default()).is_err());
    }
    assert!(told(Path::new("/dev/null")).contains("device"));
}

#[test]
fn recordings_without_a_picture() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let sound = make(dir.path(), "sound.m4a", "-f lavfi -i sine=duration=1 -c:a aac");
    assert!(told(&sound).contains("only sound"));
    let jpeg = make(dir.path(), "picture.jpg", "-f lavfi -i testsrc2=size=64x48 -frames:v 1");
    let misnamed = dir.path().join("picture.mp4");
    fs::rename(jpeg, &misnamed).expect("renamed");
    assert!(told(&misnamed).contains("a picture (jpeg)"));
    make(dir.path(), "cover.png", "-f lavfi -i color=red:size=32x32 -frames:v 1");
    let arguments =
        "-f lavfi -i sine=duration=1 -i cover.png -map 0 -map 1 -c:v copy -disposition:v attached_pic";
    let song = make(dir.path(), "song.m4a", arguments);
    assert!(told(&song).contains("only sound"), "a cover is no video");
}

#[test]
fn pictures_that_are_too_large() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = make(dir.path(), "a.mkv", CLIP);
    for (limit, fits) in [(64 * 48, true), (64 * 48 - 1, false)] {
        let settings = DecodeSettings { max_pixels: limit, ..Default::default() };
        assert_eq!(probe_within(&input, limit).is_ok(), fits);
        match Decoder::open(&input, &settings) {
            Ok(_) => assert!(fits),
            Err(Error::Refused { reason, .. }) => {
                assert!(!fits && reason.contains("--max-pixels"), "{reason}");
            }
            Err(e) => panic!("{e:?}"),
        }
    }
}

#[test]
fn odd_names_are_only_names() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let plain = make(dir.path(), "plain.mp4", CLIP);
    let odd: [&[u8]; 6] = [
        b"-i.mp4",
        b"new\nline.mp4",
        b"%d%05d.mp4",
        b"bad\xff.mp4",
        "\u{1f3ac}.mp4".as_bytes(),
        b"http:__a|b.mp4",
    ];
    for name in odd {
        let name = std::ffi::OsStr::from_bytes(name);
        let (input, output) = (dir.path().join(name), dir.path().join("o").join(name));
        fs::create_dir_all(dir.path().join("o")).expect("made");
        fs::copy(&plain, &input).expect("copied");
        pass(&input, &output, &EncodeSettings::default(), |_| {}).expect("passes");
        assert_eq!(decode(&output).expect("decodes").len(), 25);
    }
}

/// Passes `input` on to `output`, which must fail, and checks that the folder is as before.
fn refused(input: &Path, output: &Path, settings: &EncodeSettings) -> Error {
    let dir = output.parent().filter(|dir| dir.is_dir()).map(Path::to_path_buf);
    let before = dir.as_deref().map(names);
    let done: Result<Written> = pass(input, output, settings, |_| {});
    assert_eq!(dir.as_deref().map(names), before, "nothing is left behind");
    done.expect_err("refused")
}

#[test]
fn outputs_that_will_not_do() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = make(dir.path(), "a.mp4", CLIP);
    let at = |name: &str| dir.path().join(name);
    std::os::unix::fs::symlink(&input, at("soft.mp4")).expect("linked");
    fs::hard_link(&input, at("hard.mp4")).expect("linked");
    fs::create_dir(at("folder.mp4")).expect("made");
    for same in ["a.mp4", "soft.mp4", "hard.mp4"] {
        let error = refused(&input, &at(same), &lossless());
        assert!(matches!(error, Error::Refused { .. }), "{same}: {error:?}");
    }
    for (name, words) in [("no/b.mp4", "no such folder"), ("folder.mp4", "is a folder")] {
        let error = refused(&input, &at(name), &lossless());
        assert!(matches!(error, Error::Io { .. }) && error.to_string().contains(words), "{name}: {error}");
    }
    let device = refused(&input, Path::new("/dev/full"), &lossless());
    assert!(matches!(device, Error::Io { .. }), "{device:?}");
    for name in ["b.xyz", "b", "b.m3u8", "b.jpg"] {
        let error = refused(&input, &at(name), &lossless());
        assert!(matches!(&error, Error::BadSetting { name, .. } if name == "--output"), "{name}: {error}");
    }
}

#[test]
fn encoders_that_will_not_do() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = make(dir.path(), "a.mkv", &CLIP.replace("yuv420p", "yuv420p10le"));
    let output = dir.path().join("b.mkv");
    let with = |encoder: Option<&str>, preset: Option<&str>, quality| EncodeSettings {
        encoder: encoder.map(Into::into),
        preset: preset.map(Into::into),
        quality,
        threads: 1,
        ..EncodeSettings::default()
    };
    let cases = [
        (with(Some("no-such"), None, None), "--output-video-encoder", "not in this FFmpeg"),
        (with(Some("aac"), None, None), "--output-video-encoder", "no video"),
        (with(Some("mpeg4"), None, None), "--output-video-encoder", "bits of depth"),
        (with(None, Some("warp"), None), "--output-video-preset", "warp"),
        (with(None, None, Some(101)), "--output-video-quality", "0 to 100"),
    ];
    for (settings, option, words) in cases {
        let error = refused(&input, &output, &settings);
        assert!(matches!(&error, Error::BadSetting { name, .. } if name == option), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_writer_that_is_given_up_leaves_nothing() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let input = make(dir.path(), "a.mp4", CLIP);
    let output = dir.path().join("b.mp4");
    fs::write(&output, b"older").expect("written");
    let frames = decode(&input).expect("decodes");
    let mut writer = writer(&input, &output, &lossless()).expect("made");
    writer.begin(&frames[0].picture, None).expect("an encoder");
    let add = |writer: &mut Writer, frame: &Frame| {
        writer.add(Blended { frame: frame.clone(), replaced: Vec::new(), memory: None })
    };
    frames
        .iter()
        .take(3)
        .for_each(|frame| assert_eq!(add(&mut writer, frame).expect("written"), Place::Within));
    assert_eq!(names(dir.path()), [".b.mp4.faceswap", "a.mp4", "b.mp4"], "the work is beside it");
    let error = add(&mut writer, &frames[0]).expect_err("time goes backwards");
    assert!(matches!(error, Error::Media { frame: 3, .. }), "{error:?}");
    drop(writer);
    assert_eq!(names(dir.path()), ["a.mp4", "b.mp4"]);
    assert_eq!(fs::read(&output).expect("there"), b"older");
    let writer = self::writer(&input, &output, &lossless()).expect("made");
    assert!(matches!(writer.commit(), Err(Error::Media { .. })), "no frames, no file");
    assert_eq!(names(dir.path()), ["a.mp4", "b.mp4"]);
}
