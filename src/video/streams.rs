//! What is copied from the input: sound, subtitles, attachments, covers, chapters, tags.

use std::{
    path::{Path, PathBuf},
    ptr,
};

use ffmpeg_next::{
    self as ff, Dictionary, Packet, Rational, codec,
    ffi::{
        AV_DISPOSITION_ATTACHED_PIC, AVMediaType, AVPacketSideDataType, AVStream, av_codec_get_id,
        av_codec_get_tag2, av_dict_copy, av_dict_set, av_stream_new_side_data, avcodec_parameters_copy,
    },
    format::context::{Input, Output},
    media,
};
use serde::Serialize;

use super::{clock::JUMP_S, mux::write_error};
use crate::{Error, Result};

/// What became of the input's tracks beside the picture.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tracks {
    /// Packet by packet the same.
    pub copied: Vec<Track>,
    /// In another codec, since the container can't hold the old one.
    pub converted: Vec<Track>,
    /// Left out, since the container can't hold them.
    pub dropped: Vec<Track>,
}

/// A track of the input.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Track {
    /// Its number in the input, from 0.
    pub stream: usize,
    /// What it is: `sound`, `subtitles`, `cover`, ..
    pub kind: &'static str,
    /// FFmpeg's name of its codec in the input.
    pub codec: String,
    /// Its number in the output.
    pub to: Option<usize>,
    /// Presentation times of its first and last packet, seconds, as they ought to be in the output.
    pub times_s: Option<(f64, f64)>,
    /// Why it isn't copied.
    pub reason: Option<String>,
}

impl Tracks {
    /// What is left out, in words.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.dropped.iter().map(|track| {
            let Track { stream, kind, codec, reason, .. } = track;
            format!(
                "stream {stream} ({kind}, {codec}) is left out: {}",
                reason.as_deref().unwrap_or_default()
            )
        })
    }
}

/// The streams that are copied, and how far they are.
pub(super) struct Copies {
    input: Input,
    path: PathBuf,
    video: usize,
    /// For each stream of the input what happens to it.
    routes: Vec<Route>,
    ahead: Option<Packet>,
    ended: bool,
    /// For each stream of the input what it is, and how far it is.
    tracks: Vec<Track>,
}

#[derive(Debug, Clone, Copy)]
enum Route {
    /// Left out; or the picture, which is made anew.
    None,
    /// Packets are copied to this stream of the output.
    Packets { to: usize, from_base: Rational, to_base: Rational, shift: i64, next_dts: Option<i64> },
    /// All of it is in the header.
    Header,
    /// Will be one of the two above.
    Planned { as_attachment: bool },
}

impl Copies {
    /// Decides for each stream of `input` but number `video`. The container named `container` says by `holds`
    /// what it takes.
    ///
    /// # Errors
    /// Why sound would be lost, and the way out.
    pub(super) fn plan(
        input: Input,
        path: PathBuf,
        video: usize,
        container: &str,
        is_mov: bool,
        holds: impl Fn(codec::Id) -> bool,
    ) -> Result<Self, String> {
        let matroska = container == "matroska";
        let mut tracks = Vec::new();
        let mut routes = Vec::new();
        for stream in input.streams() {
            let (parameters, index) = (stream.parameters(), stream.index());
            let (kind, id) = (parameters.medium(), parameters.id());
            // SAFETY: the stream lives as long as `input`; plain numbers are read.
            let (tag, is_cover) = unsafe {
                let raw = &*stream.as_ptr();
                ((*raw.codecpar).codec_tag, raw.disposition & AV_DISPOSITION_ATTACHED_PIC != 0)
            };
            tracks.push(Track {
                stream: index,
                kind: kind_of(kind, is_cover),
                codec: id.name().to_owned(),
                ..Track::default()
            });
            let track = &mut tracks[index];
            let mut drop_it = || {
                track.reason = Some(format!("{container} can't hold it"));
                Route::None
            };
            routes.push(match kind {
                _ if index == video => Route::None,
                media::Type::Audio | media::Type::Subtitle if holds(id) => {
                    Route::Planned { as_attachment: false }
                }
                media::Type::Audio => {
                    let name = id.name();
                    return Err(format!(
                        "{container} can't hold the sound ({name}); give --output with .mkv"
                    ));
                }
                media::Type::Video if is_cover && matroska => Route::Planned { as_attachment: true },
                media::Type::Video if is_cover && is_mov => Route::Planned { as_attachment: false },
                media::Type::Video if !is_cover && holds(id) => Route::Planned { as_attachment: false },
                media::Type::Video => drop_it(),
                media::Type::Subtitle => drop_it(),
                media::Type::Attachment if matroska => Route::Planned { as_attachment: true },
                media::Type::Attachment => drop_it(),
                // Timecode and chapter tracks of MOV are made anew from tags and chapters.
                media::Type::Data if is_made_anew(tag) => Route::None,
                media::Type::Data if id != codec::Id::None && is_mov && holds(id) => {
                    Route::Planned { as_attachment: false }
                }
                _ => drop_it(),
            });
        }
        Ok(Self { input, path, video, routes, ahead: None, ended: false, tracks })
    }

    /// The stream of the input whose picture is made anew.
    pub(super) fn video_stream(&self) -> &AVStream {
        // SAFETY: `video` counts a stream of the context, which lives as long as `self`.
        unsafe { &**(*self.input.as_ptr()).streams.add(self.video) }
    }

    /// Adds the planned streams that lie before the picture, or those behind it.
    pub(super) fn add_streams(&mut self, output: &mut Output, before: bool) -> Result<(), ff::Error> {
        for index in 0..self.routes.len() {
            let Route::Planned { as_attachment } = self.routes[index] else { continue };
            if (index < self.video) != before {
                continue;
            }
            // SAFETY: `index` counts a stream of the input, which lives as long as `self`.
            let source = unsafe { &**(*self.input.as_ptr()).streams.add(index) };
            let mut stream = output.add_stream(ff::encoder::find(codec::Id::None))?;
            let to = stream.index();
            let base = Rational::from(source.time_base);
            // SAFETY: both streams are alive; the parameters of the new one are its own.
            unsafe {
                let made = &mut *stream.as_mut_ptr();
                let code = avcodec_parameters_copy(made.codecpar, source.codecpar);
                if code < 0 {
                    return Err(ff::Error::from(code));
                }
                made.time_base = source.time_base;
                copy_traits(source, made, false);
                if as_attachment {
                    attach(source, made);
                } else {
                    let tags = (*(*output.as_ptr()).oformat).codec_tag;
                    let (par, mut other) = (&mut *made.codecpar, 0);
                    // Keep the input's tag where it means the same, let the muxer choose where it has its own.
                    let keep = tags.is_null()
                        || av_codec_get_id(tags, par.codec_tag) == par.codec_id
                        || av_codec_get_tag2(tags, par.codec_id, &raw mut other) == 0;
                    par.codec_tag = if keep { par.codec_tag } else { 0 };
                }
            }
            self.tracks[index].to = Some(to);
            self.routes[index] = if as_attachment {
                Route::Header
            } else {
                Route::Packets { to, from_base: base, to_base: base, shift: 0, next_dts: None }
            };
        }
        Ok(())
    }

    /// Copies the file's tags and chapters, and adds `label` to its comment.
    pub(super) fn describe_file(&self, output: &mut Output, is_mov: bool, label: Option<&str>) {
        let own =
            |key: &str| matches!(key, "major_brand" | "minor_version" | "compatible_brands" | "encoder");
        let tags = self.input.metadata();
        let mut kept = tags.iter().filter(|(key, _)| is_mov || !own(key)).collect::<Dictionary>();
        if let Some(label) = label {
            // Matroska's own spelling is in capitals.
            let key = if kept.get("COMMENT").is_some() { "COMMENT" } else { "comment" };
            let before = kept.get(key).filter(|before| !before.contains(label));
            let comment = before.map_or(label.to_owned(), |before| format!("{before}; {label}"));
            kept.set(key, &comment);
        }
        output.set_metadata(kept);
        for chapter in self.input.chapters() {
            let title = chapter.metadata().get("title").unwrap_or_default().to_owned();
            let (start, end) = (chapter.start(), chapter.end());
            // A chapter that ends before it begins, or memory so short that more important things fail next.
            let Ok(mut made) = output.add_chapter(chapter.id(), chapter.time_base(), start, end, title)
            else {
                continue;
            };
            for (key, value) in chapter.metadata().iter() {
                made.set_metadata(key, value);
            }
        }
    }

    /// After the header: learns the time bases that the container chose.
    pub(super) fn started(&mut self, output: &Output) {
        for route in &mut self.routes {
            if let Route::Packets { to, to_base, .. } = route
                && let Some(stream) = output.stream(*to)
            {
                *to_base = stream.time_base();
            }
        }
        let wanted: Vec<bool> = self.routes.iter().map(|r| matches!(r, Route::Packets { .. })).collect();
        super::open::read_only(&mut self.input, |index| wanted.get(index).is_some_and(|w| *w));
    }

    /// Copies all packets up to a time in seconds.
    pub(super) fn write_until(&mut self, until_s: f64, output: &mut Output, dest: &Path) -> Result<()> {
        loop {
            let mut packet = match self.ahead.take() {
                Some(packet) => packet,
                None => match self.read()? {
                    Some(packet) => packet,
                    None => return Ok(()),
                },
            };
            let Some(Route::Packets { to, from_base, to_base, shift, next_dts }) =
                self.routes.get_mut(packet.stream())
            else {
                continue;
            };
            let time = packet.dts().or(packet.pts()).map(|time| time + *shift);
            if time.is_some_and(|time| time as f64 * f64::from(*from_base) > until_s) {
                self.ahead = Some(packet);
                return Ok(());
            }
            if let (Some(time), Some(next)) = (time, *next_dts)
                && (next - time) as f64 * f64::from(*from_base) > JUMP_S
            {
                // The clock was set anew: go on from here, as the picture does.
                *shift += next - time;
            }
            packet.set_dts(packet.dts().map(|dts| dts + *shift));
            packet.set_pts(packet.pts().map(|pts| pts + *shift));
            *next_dts = packet.dts().map(|dts| dts + packet.duration());
            if let Some(pts) = packet.pts().map(|pts| pts as f64 * f64::from(*from_base)) {
                let track = &mut self.tracks[packet.stream()];
                let (first, last) = track.times_s.unwrap_or((pts, pts));
                track.times_s = Some((first.min(pts), last.max(pts)));
            }
            packet.rescale_ts(*from_base, *to_base);
            packet.set_stream(*to);
            packet.set_position(-1);
            if packet.size() == 0 && packet.side_data().len() == 0 {
                continue;
            }
            packet.write_interleaved(output).map_err(|e| write_error(dest, e))?;
        }
    }

    fn read(&mut self) -> Result<Option<Packet>> {
        let mut packet = Packet::empty();
        while !self.ended {
            match packet.read(&mut self.input) {
                Ok(()) => return Ok(Some(packet)),
                Err(ff::Error::Other { errno: libc::EAGAIN }) => {}
                Err(ff::Error::Other { errno }) if errno != libc::EINVAL => {
                    return Err(Error::io(&self.path)(std::io::Error::from_raw_os_error(errno)));
                }
                // A cut tail, of which the decoder tells.
                Err(_) => self.ended = true,
            }
        }
        Ok(None)
    }

    /// What became of each stream but the picture.
    pub(super) fn into_tracks(self) -> Tracks {
        let mut tracks = Tracks::default();
        for track in self.tracks {
            match track {
                Track { reason: Some(_), .. } => tracks.dropped.push(track),
                Track { to: Some(_), .. } => tracks.copied.push(track),
                // The picture itself, and what the muxer makes anew.
                _ => {}
            }
        }
        tracks
    }
}

/// Tags, disposition and side data of a stream. Of the picture that is made anew (`remade`), only what stays true.
pub(super) fn copy_traits(source: &AVStream, made: &mut AVStream, remade: bool) {
    use AVPacketSideDataType as S;
    made.disposition = source.disposition;
    made.id = source.id;
    // SAFETY: both streams are alive; tags are copied into the new one's own dictionary, side data into memory
    // that is asked for in its size.
    unsafe {
        av_dict_copy(&raw mut made.metadata, source.metadata, 0);
        if remade {
            // Statistics of the old packets, and who made them.
            for key in [c"encoder", c"BPS", c"NUMBER_OF_FRAMES", c"NUMBER_OF_BYTES", c"BPS-eng", c"DURATION"]
            {
                av_dict_set(&raw mut made.metadata, key.as_ptr(), ptr::null(), 0);
            }
        } else {
            made.avg_frame_rate = source.avg_frame_rate;
            made.r_frame_rate = source.r_frame_rate;
            made.sample_aspect_ratio = source.sample_aspect_ratio;
        }
        for i in 0..source.nb_side_data as usize {
            let data = &*source.side_data.add(i);
            let of_old_packets = matches!(
                data.type_,
                S::AV_PKT_DATA_CPB_PROPERTIES | S::AV_PKT_DATA_DOVI_CONF | S::AV_PKT_DATA_NEW_EXTRADATA
            );
            if remade && of_old_packets {
                continue;
            }
            let room = av_stream_new_side_data(made, data.type_, data.size);
            if !room.is_null() {
                ptr::copy_nonoverlapping(data.data, room, data.size);
            }
        }
    }
}

/// Makes an attachment of a stream: Matroska keeps covers so.
///
/// # Safety
/// Both streams must be alive, and `made` must have its own parameters.
unsafe fn attach(source: &AVStream, made: &mut AVStream) {
    const KEEP_OLD: i32 = ff::ffi::AV_DICT_DONT_OVERWRITE;
    // SAFETY: as above; the picture's bytes are copied into padded memory that the parameters then own.
    unsafe {
        let par = &mut *made.codecpar;
        made.disposition = 0;
        par.codec_type = AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
        par.codec_tag = 0;
        if par.extradata_size > 0 || source.attached_pic.size <= 0 {
            return;
        }
        let size = source.attached_pic.size as usize;
        let room = ff::ffi::av_mallocz(size + ff::ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize).cast::<u8>();
        if !room.is_null() {
            ptr::copy_nonoverlapping(source.attached_pic.data, room, size);
            (par.extradata, par.extradata_size) = (room, size as i32);
        }
        let (name, mime) = match codec::Id::from(par.codec_id) {
            codec::Id::PNG => (c"cover.png", c"image/png"),
            _ => (c"cover.jpg", c"image/jpeg"),
        };
        av_dict_set(&raw mut made.metadata, c"filename".as_ptr(), name.as_ptr(), KEEP_OLD);
        av_dict_set(&raw mut made.metadata, c"mimetype".as_ptr(), mime.as_ptr(), KEEP_OLD);
    }
}

/// What a track is, in a word.
fn kind_of(kind: media::Type, is_cover: bool) -> &'static str {
    match kind {
        media::Type::Audio => "sound",
        media::Type::Subtitle => "subtitles",
        media::Type::Video if is_cover => "cover",
        media::Type::Video => "another video",
        media::Type::Attachment => "attachment",
        _ => "data",
    }
}

/// Whether a track of MOV is one that the muxer makes by itself: timecode, and the text of chapters.
fn is_made_anew(tag: u32) -> bool {
    [*b"tmcd", *b"text"].map(u32::from_le_bytes).contains(&tag)
}
