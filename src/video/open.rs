//! Opening a file for reading: only what is a self-contained recording on this disk, with words for what isn't.

use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::Path,
    ptr,
};

use ffmpeg_next::{
    self as ff, Dictionary,
    ffi::{
        AV_DISPOSITION_ATTACHED_PIC, AV_DISPOSITION_DEFAULT, AV_DISPOSITION_STILL_IMAGE,
        AV_DISPOSITION_TIMED_THUMBNAILS, AVDiscard, AVPROBE_PADDING_SIZE, AVProbeData, av_dict_free,
        av_dict_set, av_probe_input_format2, avformat_find_stream_info, avformat_open_input,
    },
    format::context::Input,
    media,
};

use crate::{Error, Result};

/// Containers that hold all of their own data. Playlists (hls, dash, concat, ..) name other files and hosts, and
/// `image2` takes the name for a pattern: none of them is here. Sound alone is here so that it can be told as such.
const CONTAINERS: &str = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,obu,ivf,vc1,cavsvideo,dirac,\
    mjpeg,mjpeg_2000,flv,live_flv,ogg,asf,gif,apng,mxf,mxf_opatom,gxf,rm,wtv,dv,nut,yuv4mpegpipe,swf,roq,bink,smk,\
    flic,amv,nsv,film_cpk,dnxhd,ffm,h261,h263,ipmovie,mv,vmd,rpl,thp,\
    mp3,wav,flac,aac,ac3,eac3,aiff,au,caf,w64,wv,tta,ape,dts,truehd,amr";

/// Streams of one file: a film with sound and subtitles in all languages has less, and each one takes buffers for its
/// probing, index and parser.
const MAX_STREAMS: usize = 128;

/// Formats that name other files.
const PLAYLISTS: [&str; 7] = ["hls", "concat", "dash", "imf", "sdp", "rtsp", "webm_dash_manifest"];

/// Opens a recording and reads enough of it to know its streams.
///
/// # Errors
/// [`Error::BadInput`] when it isn't a recording, [`Error::Io`] when it can't be read, [`Error::Refused`] when a
/// picture would have more than `max_pixels`.
pub(super) fn open(path: &Path, max_pixels: usize) -> Result<Input> {
    open_by(path, max_pixels, true)
}

/// The same for one who only wants packets: no picture is decoded for what the container doesn't say of it.
///
/// # Errors
/// As [`open`].
pub(super) fn open_for_packets(path: &Path) -> Result<Input> {
    open_by(path, usize::MAX, false)
}

fn open_by(path: &Path, max_pixels: usize, decodes: bool) -> Result<Input> {
    super::init();
    check_file(path)?;
    let url = url(path)?;
    let options = Dictionary::from_iter([("protocol_whitelist", "file"), ("format_whitelist", CONTAINERS)]);
    let mut context = ptr::null_mut();
    // SAFETY: the URL and the options outlive the call; on failure nothing is left behind, on success the
    // context is ours and `Input` closes it.
    let mut input = unsafe {
        let mut options = options.disown();
        let code = avformat_open_input(&raw mut context, url.as_ptr(), ptr::null(), &raw mut options);
        av_dict_free(&raw mut options);
        if code < 0 {
            return Err(diagnose(path, ff::Error::from(code)));
        }
        Input::wrap(context)
    };
    check_streams(&input, path, max_pixels)?;
    let code = find_streams(&mut input, max_pixels, decodes);
    check_streams(&input, path, max_pixels)?;
    if code < 0 {
        return Err(diagnose(path, ff::Error::from(code)));
    }
    Ok(input)
}

/// The stream that is the picture: not a cover, marked as default if one is, else the largest, else the first.
pub(super) fn video_stream(input: &Input, path: &Path) -> Result<usize> {
    const NOT_MOVING: i32 =
        AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_STILL_IMAGE | AV_DISPOSITION_TIMED_THUMBNAILS;
    let videos = input.streams().filter(|s| s.parameters().medium() == media::Type::Video).filter_map(|s| {
        // SAFETY: the stream and its parameters live as long as `input`; plain numbers are read.
        let (disposition, width, height) = unsafe {
            let raw = &*s.as_ptr();
            (raw.disposition, (*raw.codecpar).width, (*raw.codecpar).height)
        };
        let rank = (disposition & AV_DISPOSITION_DEFAULT, i64::from(width) * i64::from(height));
        (disposition & NOT_MOVING == 0).then_some((rank, s.index()))
    });
    let best = videos.max_by_key(|&(rank, index)| (rank, std::cmp::Reverse(index)));
    best.map(|(_, index)| index).ok_or_else(|| {
        let sound = input.streams().any(|s| s.parameters().medium() == media::Type::Audio);
        Error::input(path, if sound { "only sound, no video stream" } else { "no video stream" })
    })
}

/// `file:` and the path's own bytes, so that nothing in a name is taken for a protocol.
pub(super) fn url(path: &Path) -> Result<CString> {
    let bytes = [b"file:", path.as_os_str().as_bytes()].concat();
    CString::new(bytes).map_err(|_| Error::input(path, "a zero byte in the name"))
}

fn check_file(path: &Path) -> Result<()> {
    let metadata = match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::input(path, "no such file")),
        other => other.map_err(Error::io(path))?,
    };
    let kind = metadata.file_type();
    let reason = if kind.is_dir() {
        "a folder, not a video"
    } else if kind.is_fifo() {
        "a pipe: write it to a file first, it is read twice"
    } else if kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        "a device, not a file"
    } else if metadata.len() == 0 {
        "empty file"
    } else {
        return File::open(path).map(drop).map_err(Error::io(path));
    };
    Err(Error::input(path, reason))
}

/// Refuses what would take the machine's memory before anything of it is decoded.
fn check_streams(input: &Input, path: &Path, max_pixels: usize) -> Result<()> {
    let n_streams = input.nb_streams() as usize;
    if n_streams > MAX_STREAMS {
        let reason =
            format!("{n_streams} streams, the limit is {MAX_STREAMS}; a remuxed copy may hold fewer");
        return Err(Error::Refused { path: path.into(), reason });
    }
    for stream in input.streams().filter(|s| s.parameters().medium() == media::Type::Video) {
        // SAFETY: parameters live as long as `input`; plain numbers are read.
        let (width, height) = unsafe {
            let raw = &*stream.parameters().as_ptr();
            (raw.width.max(0) as u64, raw.height.max(0) as u64)
        };
        if width * height > max_pixels as u64 {
            let reason = format!("{width} x {height} pixels, the limit is {max_pixels} (--max-pixels)");
            return Err(Error::Refused { path: path.into(), reason });
        }
    }
    Ok(())
}

/// Reads packets until the streams are known. The decoders that this opens have the limit, too, and those of pictures
/// aren't opened unless it `decodes`.
fn find_streams(input: &mut Input, max_pixels: usize, decodes: bool) -> i32 {
    let value = CString::new(max_pixels.min(i32::MAX as usize).to_string()).unwrap_or_default();
    let mut options = vec![ptr::null_mut(); input.nb_streams() as usize];
    let is_video: Vec<bool> =
        input.streams().map(|s| s.parameters().medium() == media::Type::Video).collect();
    // SAFETY: one dictionary for each stream that there is at the call, as the function wants; freed after it.
    unsafe {
        for (option, is_video) in options.iter_mut().zip(is_video) {
            av_dict_set(option, c"max_pixels".as_ptr(), value.as_ptr(), 0);
            if is_video && !decodes {
                // Those that may be opened: none has this name.
                av_dict_set(option, c"codec_whitelist".as_ptr(), c"none".as_ptr(), 0);
            }
        }
        let code = avformat_find_stream_info(input.as_mut_ptr(), options.as_mut_ptr());
        for option in &mut options {
            av_dict_free(option);
        }
        code
    }
}

/// Says what a file is that could not be opened.
fn diagnose(path: &Path, error: ff::Error) -> Error {
    if let ff::Error::Other { errno } = error
        && !matches!(errno, libc::EINVAL | libc::ENOMEM | libc::EPERM)
    {
        return Error::io(path)(io::Error::from_raw_os_error(errno));
    }
    let reason = match sniff(path) {
        Some(name) if PLAYLISTS.contains(&name.as_str()) => {
            format!("a playlist ({name}) that names other files: give the video itself")
        }
        Some(name) if name.ends_with("_pipe") || name == "image2" => {
            format!("a picture ({}), not a video", name.trim_end_matches("_pipe"))
        }
        _ => match lacks_index(path) {
            Ok(true) => {
                "the index (moov) is missing: the recording was not finished or the copy is cut off; a repair tool \
                 such as untrunc may help"
                    .into()
            }
            _ => format!("not a video ({error})"),
        },
    };
    Error::input(path, reason)
}

/// The name that FFmpeg's probing finds for the first bytes, when it is sure enough.
fn sniff(path: &Path) -> Option<String> {
    const HEAD: u64 = 64 << 10;
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    let length = head.len();
    head.resize(length + AVPROBE_PADDING_SIZE as usize, 0);
    let data = AVProbeData {
        filename: c"".as_ptr(),
        buf: head.as_mut_ptr(),
        buf_size: length as i32,
        mime_type: ptr::null(),
    };
    let mut score = 24;
    // SAFETY: the buffer is padded as the function wants and outlives the call; names are constant C strings.
    unsafe {
        let format = av_probe_input_format2(&raw const data, 1, &raw mut score).as_ref()?;
        Some(CStr::from_ptr(format.name).to_string_lossy().into_owned())
    }
}

/// Whether this is an MP4 or MOV file whose index, written last, never came.
fn lacks_index(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    let (mut at, mut is_mov) = (0_u64, false);
    // More boxes than this on the top level only has a fragmented file, which has its index in the first few.
    for _ in 0..1000 {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        if end - at < 8 || file.read_exact(&mut head[..8]).is_err() {
            break;
        }
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = head;
        is_mov |= matches!(&kind, b"ftyp" | b"mdat" | b"wide");
        if matches!(&kind, b"moov" | b"moof") || !is_mov {
            return Ok(false);
        }
        let size = match u32::from_be_bytes([a, b, c, d]) {
            1 => {
                file.read_exact(&mut head[8..])?;
                u64::from_be_bytes(head[8..].try_into().unwrap_or_default())
            }
            size => size.into(),
        };
        match at.checked_add(size) {
            Some(next) if size >= 8 && next < end => at = next,
            _ => break,
        }
    }
    Ok(is_mov)
}

/// Lets the container skip the packets of all streams but those that `wanted` names by number.
pub(super) fn read_only(input: &mut Input, wanted: impl Fn(usize) -> bool) {
    for index in 0..input.nb_streams() as usize {
        // SAFETY: `index` counts the context's streams, which are alive; a plain field is set.
        unsafe {
            let stream = *(*input.as_mut_ptr()).streams.add(index);
            (*stream).discard =
                if wanted(index) { AVDiscard::AVDISCARD_DEFAULT } else { AVDiscard::AVDISCARD_ALL };
        }
    }
}
