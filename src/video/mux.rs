//! The output's container: the new picture, and packet by packet everything else of the input.

use std::{
    ffi::{CStr, CString},
    path::{Path, PathBuf},
    ptr,
};

use ffmpeg_next::{
    self as ff, Dictionary, Packet, Rational, codec,
    ffi::{
        AVCodecParameters, AVFMT_GLOBALHEADER, AVFMT_NOFILE, AVIO_FLAG_WRITE, AVOutputFormat, AVRational,
        FF_COMPLIANCE_EXPERIMENTAL, av_bsf_alloc, av_bsf_free, av_bsf_get_by_name, av_bsf_init,
        av_guess_format, av_opt_set, avcodec_parameters_copy, avcodec_parameters_from_context,
        avformat_alloc_output_context2, avformat_query_codec, avio_closep, avio_flush, avio_open,
    },
    format::context::{Input, Output},
};

use super::{
    encode::{Encoder, Look},
    open,
    output::Partial,
    probe::Probe,
    streams::Copies,
    tracks::{OnUnsupported, Tracks},
    traits::{Packets, copy_traits},
    trim::Cut,
    turn::Turn,
};
use crate::{Error, Result};

/// Muxers of one file that holds sound and picture; by FFmpeg's names.
const CONTAINERS: [&str; 20] = [
    "mp4",
    "mov",
    "ipod",
    "3gp",
    "3g2",
    "matroska",
    "webm",
    "avi",
    "mpegts",
    "flv",
    "nut",
    "ogg",
    "mxf",
    "asf",
    "gif",
    "apng",
    "ivf",
    "yuv4mpegpipe",
    "h264",
    "hevc",
];

/// What players find again in MPEG's transport stream.
const IN_TRANSPORT_STREAMS: [codec::Id; 20] = [
    codec::Id::MPEG1VIDEO,
    codec::Id::MPEG2VIDEO,
    codec::Id::MPEG4,
    codec::Id::H264,
    codec::Id::HEVC,
    codec::Id::CAVS,
    codec::Id::DIRAC,
    codec::Id::VC1,
    codec::Id::MP2,
    codec::Id::MP3,
    codec::Id::AAC,
    codec::Id::AAC_LATM,
    codec::Id::AC3,
    codec::Id::EAC3,
    codec::Id::DTS,
    codec::Id::TRUEHD,
    codec::Id::OPUS,
    codec::Id::DVB_SUBTITLE,
    codec::Id::DVB_TELETEXT,
    codec::Id::HDMV_PGS_SUBTITLE,
];

/// The ending that the output of a video must have in place of its own, where that is of a container that isn't
/// written (MPEG's program stream, RealMedia, DV, ..) or of none that is known: Matroska's, which holds the same streams.
/// `None` where its own will do, or where it is a picture's.
pub fn ending_in_place_of_its_own(video: &Path) -> Option<&'static str> {
    let ending = video.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = CString::new(format!("a.{ending}")).ok()?;
    // SAFETY: the name outlives the call, and formats are constant.
    let format = unsafe { av_guess_format(ptr::null(), name.as_ptr(), ptr::null()).as_ref() };
    let is_known = match (format, ending.as_str()) {
        (_, "heic" | "heif" | "webp" | "avif" | "ico" | "fits") => true,
        (Some(format), _) => CONTAINERS.contains(&self::name(format)) || format.flags & AVFMT_NOFILE != 0,
        (None, _) => false,
    };
    (!is_known).then_some("mkv")
}

/// A container that is being written under a temporary name.
pub(super) struct Muxer {
    output: Output,
    partial: Partial,
    video: Option<VideoTrack>,
    copies: Option<Copies>,
    /// What the file says of itself.
    pub(super) label: Option<String>,
    /// How frames were turned before they come.
    pub(super) turn: Turn,
    /// How often moving pictures are played, 0 for ever; `None` where the input doesn't say.
    pub(super) loops: Option<u16>,
}

struct VideoTrack {
    index: usize,
    time_base: Rational,
}

impl Muxer {
    /// Opens the temporary file; the name's ending chooses the container.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for an ending that is no container, [`Error::Io`] when the file can't be written.
    pub(super) fn create(partial: Partial) -> Result<Self> {
        super::init();
        let dest = &partial.dest().to_path_buf();
        let url = open::url(partial.path())?;
        let mut context = ptr::null_mut();
        // The ending of moving pictures in PNG is that of still ones, too.
        let is_png = dest.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        let known = if is_png { c"apng".as_ptr() } else { ptr::null() };
        // SAFETY: the URL outlives the call; on success the context is ours and `Output` frees it.
        let mut output = unsafe {
            if avformat_alloc_output_context2(&raw mut context, ptr::null(), known, url.as_ptr()) < 0 {
                return Err(unknown_ending(dest));
            }
            Output::wrap(context)
        };
        let format = format(&output);
        if !CONTAINERS.contains(&name(format)) || format.flags & AVFMT_NOFILE != 0 {
            return Err(unknown_ending(dest));
        }
        // SAFETY: the context is ours and has no file yet; `finish` or `Output` closes it.
        let code = unsafe {
            // What the container holds by its own word it takes: FLAC in MP4 is said to be an experiment.
            (*output.as_mut_ptr()).strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
            avio_open(&raw mut (*output.as_mut_ptr()).pb, url.as_ptr(), AVIO_FLAG_WRITE)
        };
        if code < 0 {
            return Err(write_error(dest, ff::Error::from(code)));
        }
        Ok(Self {
            output,
            partial,
            video: None,
            copies: None,
            label: None,
            turn: Turn::default(),
            loops: None,
        })
    }

    /// Reads `input` a second time and copies all streams but number `video`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when the container can't hold the sound.
    pub(super) fn copy_from(
        &mut self,
        input: Input,
        path: PathBuf,
        video: usize,
        policy: Option<OnUnsupported>,
    ) -> Result<()> {
        let is_mov = self.is_mov();
        let copies =
            Copies::plan(input, path, video, name(format(&self.output)), is_mov, policy, |id| self.holds(id));
        self.copies =
            Some(copies.map_err(|reason| Error::setting("--output", self.partial.dest().display(), reason))?);
        Ok(())
    }

    /// Whether the container holds a codec. A container that doesn't know is believed to.
    pub(super) fn holds(&self, id: codec::Id) -> bool {
        let format = format(&self.output);
        // SAFETY: the format is constant.
        let answer = unsafe { avformat_query_codec(format, id.into(), FF_COMPLIANCE_EXPERIMENTAL) };
        match name(format) {
            // It has no list of what it holds, and takes anything for data.
            "mpegts" => IN_TRANSPORT_STREAMS.contains(&id),
            // Containers for one kind of stream that answer for their own only.
            "gif" | "apng" | "ivf" | "h264" | "hevc" => format.video_codec == id.into() || answer == 1,
            _ => answer != 0,
        }
    }

    /// The codec that the container likes best for video.
    pub(super) fn likes(&self) -> codec::Id {
        codec::Id::from(format(&self.output).video_codec)
    }

    pub(super) fn wants_global_header(&self) -> bool {
        format(&self.output).flags & AVFMT_GLOBALHEADER != 0
    }

    /// Number of the picture's stream; 0 before the start.
    pub(super) fn video_stream(&self) -> usize {
        self.video.as_ref().map_or(0, |video| video.index)
    }

    /// How frames must be turned before they come, since the container can't ask players for it.
    pub(super) fn turn_for(&self, probe: &Probe) -> Turn {
        if self.is_mov() { Turn::default() } else { Turn::of(probe) }
    }

    /// Whether the container has room for the label of the file.
    pub(super) fn holds_label(&self) -> bool {
        !matches!(
            name(format(&self.output)),
            "gif" | "apng" | "ivf" | "yuv4mpegpipe" | "h264" | "hevc" | "mxf"
        )
    }

    /// What is left out of the other tracks with the picture's begin and end; to be told before the start.
    pub(super) fn set_cut(&mut self, cut: Cut) {
        if let Some(copies) = &mut self.copies {
            copies.set_cut(cut);
        }
    }

    fn is_mov(&self) -> bool {
        matches!(name(format(&self.output)), "mp4" | "mov" | "ipod" | "3gp" | "3g2")
    }

    /// Makes the streams in the order of the input, and writes the header.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be written, [`Error::BadSetting`] when the container won't take the streams.
    pub(super) fn start(
        &mut self,
        encoder: &Encoder,
        look: &Look,
        time_base: (i32, i32),
        frame_rate: (i32, i32),
    ) -> Result<()> {
        let is_mov = self.is_mov();
        let base = Rational(time_base.0, time_base.1);
        let mut copies = self.copies.take();
        let before = copies.as_mut().map_or(Ok(()), |copies| copies.add_streams(&mut self.output, true));
        let index = self.output.nb_streams() as usize;
        let added = before.and_then(|()| self.add_video(encoder, look, base, frame_rate, copies.as_ref()));
        let after =
            added.and_then(|()| copies.as_mut().map_or(Ok(()), |c| c.add_streams(&mut self.output, false)));
        let dest = self.partial.dest().to_path_buf();
        after.map_err(|e| write_error(&dest, e))?;
        let mut options = Dictionary::new();
        if is_mov {
            // The index in front, so that players on a network start at once; the input's own ticks.
            let is_quicktime = copies.as_ref().is_some_and(Copies::has_quicktime_tags);
            let flags = if is_quicktime { "+faststart+use_metadata_tags" } else { "+faststart" };
            options.set("movflags", flags);
            options.set("video_track_timescale", &time_base.1.to_string());
        }
        match (name(format(&self.output)), self.loops) {
            // There it is how often they are played again.
            ("gif", Some(1)) => options.set("loop", "-1"),
            ("gif", Some(n)) => options.set("loop", &n.saturating_sub(1).to_string()),
            ("apng", n) => options.set("plays", &n.unwrap_or(0).to_string()),
            _ => {}
        }
        match (&copies, &self.label) {
            (Some(copies), label) => copies.describe_file(&mut self.output, is_mov, label.as_deref()),
            (None, Some(label)) => {
                self.output.set_metadata(Dictionary::from_iter([("comment", label.as_str())]));
            }
            (None, None) => {}
        }
        if let (Some(label), "mpegts") = (&self.label, name(format(&self.output))) {
            // The one tag that a transport stream has room for, beside its language.
            let mut tags = self.output.metadata().to_owned();
            tags.set("service_provider", label);
            self.output.set_metadata(tags);
        }
        self.output.write_header_with(options).map(drop).map_err(|e| match e {
            // Muxers that dislike a stream say so in other ways than a disk does.
            ff::Error::Other { errno } if ![libc::EINVAL, libc::EPERM, libc::EIO].contains(&errno) => {
                write_error(&dest, e)
            }
            e => {
                let reason = format!("the container doesn't take these streams ({e}); .mkv takes most");
                Error::setting("--output", dest.display(), reason)
            }
        })?;
        let time_base = self.output.stream(index).map_or(base, |s| s.time_base());
        self.video = Some(VideoTrack { index, time_base });
        if let Some(copies) = &mut copies {
            copies.started(&self.output);
        }
        self.copies = copies;
        Ok(())
    }

    fn add_video(
        &mut self,
        encoder: &Encoder,
        look: &Look,
        base: Rational,
        (num, den): (i32, i32),
        copies: Option<&Copies>,
    ) -> Result<(), ff::Error> {
        let is_mov = self.is_mov();
        let mut stream = self.output.add_stream(ff::encoder::find(codec::Id::None))?;
        // SAFETY: the new stream and the open encoder are alive; parameters are copied between them.
        unsafe {
            let raw = &mut *stream.as_mut_ptr();
            let code = avcodec_parameters_from_context(raw.codecpar, encoder.context.as_ptr());
            if code < 0 {
                return Err(ff::Error::from(code));
            }
            raw.time_base = base.into();
            raw.avg_frame_rate = Rational(num, den.max(1)).into();
            // The rate of the source's grid, of which frames of a variable rate leave out some.
            let source = copies.map(Copies::video_stream);
            // Another time base means another rate.
            let same = source.filter(|source| Rational::from(source.time_base) == base);
            let grid = same.map_or(raw.avg_frame_rate, |source| source.r_frame_rate);
            let sane = grid.num > 0 && grid.den > 0 && grid.num / grid.den <= 1000;
            raw.r_frame_rate = if sane { grid } else { raw.avg_frame_rate };
            raw.sample_aspect_ratio = (*raw.codecpar).sample_aspect_ratio;
            if encoder.context.id() == codec::Id::H264 && raw.r_frame_rate.num > 0 {
                set_h264_clock(&mut *raw.codecpar, raw.r_frame_rate);
            }
            if is_mov && encoder.context.id() == codec::Id::HEVC {
                // The spelling that Apple's players want; others take both.
                (*raw.codecpar).codec_tag = u32::from_le_bytes(*b"hvc1");
            }
            if let Some(copies) = copies {
                let packets = if is_mov { Packets::Made } else { Packets::MadeUpright };
                copy_traits(copies.video_stream(), raw, packets);
                if raw.sample_aspect_ratio.num == 0 {
                    let shape = copies.video_stream().sample_aspect_ratio;
                    let (num, den) = self.turn.aspect((shape.num, shape.den));
                    raw.sample_aspect_ratio = Rational(num, den).into();
                    (*raw.codecpar).sample_aspect_ratio = raw.sample_aspect_ratio;
                }
            }
            look.hdr.add_to(raw);
        }
        Ok(())
    }

    /// Writes an encoded packet of the picture, whose times are in `time_base`, and what belongs before it.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full or the like.
    pub(super) fn write_video(&mut self, packet: &mut Packet, time_base: (i32, i32)) -> Result<()> {
        let Some(track) = &self.video else { return Ok(()) };
        let base = Rational(time_base.0, time_base.1);
        let now_s = packet.dts().map_or(f64::NEG_INFINITY, |dts| dts as f64 * f64::from(base));
        if let Some(copies) = &mut self.copies {
            copies.write_until(now_s, &mut self.output, self.partial.dest())?;
        }
        packet.rescale_ts(base, track.time_base);
        packet.set_stream(track.index);
        packet.set_position(-1);
        packet.write_interleaved(&mut self.output).map_err(|e| write_error(self.partial.dest(), e))
    }

    /// Writes what is left to copy and the index, brings the file to the disk and gives it its name. Returns
    /// what became of the other tracks.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full or the like; the file is removed then.
    pub(super) fn finish(mut self) -> Result<Tracks> {
        let dest = self.partial.dest().to_path_buf();
        let mut tracks = Tracks::default();
        if let Some(mut copies) = self.copies.take() {
            copies.write_until(f64::INFINITY, &mut self.output, &dest)?;
            copies.flush(&mut self.output, &dest)?;
            tracks = copies.into_tracks();
        }
        self.output.write_trailer().map_err(|e| write_error(&dest, e))?;
        // SAFETY: the file of the context is open since `create`; it is closed here and set to null, which
        // the context's destructor accepts.
        let code = unsafe {
            let raw = &mut *self.output.as_mut_ptr();
            avio_flush(raw.pb);
            let (flushed, closed) = ((*raw.pb).error, avio_closep(&raw mut raw.pb));
            if flushed < 0 { flushed } else { closed }
        };
        if code < 0 {
            return Err(write_error(&dest, ff::Error::from(code)));
        }
        drop(self.output);
        self.partial.commit()?;
        Ok(tracks)
    }
}

/// Puts the frame rate into the header of H.264. The encoder writes its time base there, which is the container's
/// ticks, and players that believe it show 7680 frames per second. A stream without the right filter keeps that.
fn set_h264_clock(parameters: &mut AVCodecParameters, rate: AVRational) {
    // The unit of that clock is a field: half a frame.
    let rate = CString::new(format!("{}/{}", i64::from(rate.num) * 2, rate.den)).unwrap_or_default();
    // SAFETY: the filter's context is made, used and freed here; parameters are copied in and out of it.
    unsafe {
        let filter = av_bsf_get_by_name(c"h264_metadata".as_ptr());
        let mut context = ptr::null_mut();
        if filter.is_null() || av_bsf_alloc(filter, &raw mut context) < 0 {
            return;
        }
        let raw = &mut *context;
        let ready = avcodec_parameters_copy(raw.par_in, parameters) >= 0
            && av_opt_set(raw.priv_data, c"tick_rate".as_ptr(), rate.as_ptr(), 0) >= 0
            && av_bsf_init(raw) >= 0;
        if ready {
            avcodec_parameters_copy(parameters, raw.par_out);
        }
        av_bsf_free(&raw mut context);
    }
}

fn format(output: &Output) -> &AVOutputFormat {
    // SAFETY: an output context has its format from the start, and formats are constant.
    unsafe { &*(*output.as_ptr()).oformat }
}

fn name(format: &AVOutputFormat) -> &'static str {
    // SAFETY: names of formats are constant C strings.
    unsafe { CStr::from_ptr(format.name) }.to_str().unwrap_or_default()
}

fn unknown_ending(dest: &Path) -> Error {
    let reason = "the ending must be a video's: .mp4, .mov, .mkv, .webm, .avi, .ts, ..";
    Error::setting("--output", dest.display(), reason)
}

/// What writing gave, as an error of the file.
pub(super) fn write_error(dest: &Path, error: ff::Error) -> Error {
    match error {
        ff::Error::Other { errno } => Error::io(dest)(std::io::Error::from_raw_os_error(errno)),
        e => Error::io(dest)(std::io::Error::other(e.to_string())),
    }
}
