//! What is copied from the input: sound, subtitles, attachments, covers, chapters, tags.

use std::path::{Path, PathBuf};

use ffmpeg_next::{
    self as ff, Dictionary, Packet, Rational, codec,
    ffi::{
        AV_DISPOSITION_ATTACHED_PIC, AVFMT_GLOBALHEADER, AVStream, av_codec_get_id, av_codec_get_tag2,
        avcodec_parameters_copy, avformat_query_codec,
    },
    format::context::{Input, Output},
    media,
};

use super::{
    lane::Lane,
    mux::write_error,
    sound::Sound,
    tracks::{OnUnsupported, Track, Tracks, kind_of},
    traits::{Packets, attach, copy_traits, is_made_anew},
    trim::Cut,
};
use crate::{Error, Result};

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
    cut: Cut,
    /// The container takes times below 0 and hides what lies there.
    hides_negative: bool,
}

enum Route {
    /// Left out; or the picture, which is made anew.
    None,
    /// Packets go to a stream of the output.
    Packets(Box<Lane>),
    /// All of it is in the header.
    Header,
    /// Will be one of the two above.
    Planned { as_attachment: bool },
    /// Will be encoded anew.
    PlannedSound,
}

impl Copies {
    /// Decides for each stream of `input` but number `video`. The container named `container` says by `holds`
    /// what it takes; `policy` says what becomes of the rest.
    ///
    /// # Errors
    /// Why sound would be lost, and the way out.
    pub(super) fn plan(
        input: Input,
        path: PathBuf,
        video: usize,
        container: &str,
        is_mov: bool,
        policy: Option<OnUnsupported>,
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
            let policy = policy.unwrap_or(OnUnsupported::usual(track.kind));
            let mut drop_it = || {
                let reason = format!("{container} can't hold it");
                if policy == OnUnsupported::Fail {
                    let Track { stream, kind, codec, .. } = &*track;
                    // Whoever writes a clip to `out.png` means its frames.
                    let pictures = if container == "apng" { "out/%05d.png for its frames, " } else { "" };
                    return Err(format!(
                        "stream {stream} ({kind}, {codec}): {reason}; give --output with {pictures}.mkv, or \
                         --on-unsupported=convert or drop"
                    ));
                }
                track.reason = Some(reason);
                Ok(Route::None)
            };
            routes.push(match kind {
                _ if index == video => Route::None,
                media::Type::Audio | media::Type::Subtitle if holds(id) => {
                    Route::Planned { as_attachment: false }
                }
                media::Type::Audio if policy == OnUnsupported::Convert => {
                    if Sound::encoder_for(&stream, &holds).is_none() {
                        return Err(format!("no encoder of this FFmpeg makes sound for {container}"));
                    }
                    Route::PlannedSound
                }
                media::Type::Video if is_cover && matroska => Route::Planned { as_attachment: true },
                media::Type::Video if is_cover && is_mov => Route::Planned { as_attachment: false },
                media::Type::Video if !is_cover && holds(id) => Route::Planned { as_attachment: false },
                media::Type::Attachment if matroska => Route::Planned { as_attachment: true },
                media::Type::Audio | media::Type::Video | media::Type::Subtitle | media::Type::Attachment => {
                    drop_it()?
                }
                // Timecode and chapter tracks of MOV are made anew from tags and chapters.
                media::Type::Data if is_made_anew(tag) => Route::None,
                media::Type::Data if id != codec::Id::None && is_mov && holds(id) => {
                    Route::Planned { as_attachment: false }
                }
                _ => drop_it()?,
            });
        }
        Ok(Self {
            input,
            path,
            video,
            routes,
            ahead: None,
            ended: false,
            tracks,
            cut: Cut::default(),
            hides_negative: is_mov,
        })
    }

    /// The stream of the input whose picture is made anew.
    pub(super) fn video_stream(&self) -> &AVStream {
        // SAFETY: `video` counts a stream of the context, which lives as long as `self`.
        unsafe { &**(*self.input.as_ptr()).streams.add(self.video) }
    }

    /// Adds the planned streams that lie before the picture, or those behind it.
    pub(super) fn add_streams(&mut self, output: &mut Output, before: bool) -> Result<(), ff::Error> {
        for index in 0..self.routes.len() {
            if (index < self.video) != before {
                continue;
            }
            let as_attachment = match self.routes[index] {
                Route::Planned { as_attachment } => as_attachment,
                Route::PlannedSound => {
                    self.routes[index] = self.add_sound(index, output)?;
                    continue;
                }
                _ => continue,
            };
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
                copy_traits(source, made, Packets::Copied);
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
                Route::Packets(Box::new(Lane::new(to, base, None)))
            };
        }
        Ok(())
    }

    /// Adds a stream of sound that is encoded anew.
    fn add_sound(&mut self, index: usize, output: &mut Output) -> Result<Route, ff::Error> {
        let stream = self.input.stream(index).ok_or(ff::Error::StreamNotFound)?;
        // SAFETY: the format of an output is constant and there from the start.
        let (holds, global_header) = unsafe {
            let format = (*output.as_ptr()).oformat;
            let holds = move |id: codec::Id| {
                avformat_query_codec(format, id.into(), ff::ffi::FF_COMPLIANCE_NORMAL) == 1
            };
            (holds, (*format).flags & AVFMT_GLOBALHEADER != 0)
        };
        let codec = Sound::encoder_for(&stream, holds).ok_or(ff::Error::EncoderNotFound)?;
        let sound = Sound::open(&stream, codec, global_header)?;
        let base = stream.time_base();
        let mut made = output.add_stream(ff::encoder::find(codec::Id::None))?;
        let to = made.index();
        // SAFETY: both streams are alive; parameters come from the open encoder.
        unsafe {
            let made = &mut *made.as_mut_ptr();
            sound.describe(&mut *made.codecpar)?;
            made.time_base = sound.time_base().into();
            copy_traits(&**(*self.input.as_ptr()).streams.add(index), made, Packets::Made);
        }
        self.tracks[index].to = Some(to);
        self.tracks[index].converted_to = Some(codec.name().to_owned());
        Ok(Route::Packets(Box::new(Lane::new(to, base, Some(sound)))))
    }

    /// What is left out with the picture's begin and end. To be told before the header.
    pub(super) fn set_cut(&mut self, cut: Cut) {
        self.cut = cut;
    }

    /// Whether the file has tags of Apple's kind (make, model, place), which are written only when they are asked for.
    pub(super) fn has_quicktime_tags(&self) -> bool {
        self.input.metadata().iter().any(|(key, _)| key.starts_with("com."))
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
            let base = f64::from(chapter.time_base());
            let ticks = |s: f64| (s / base).round() as i64;
            let zero = self.cut.start_s.map_or(0, ticks);
            let last = self.cut.end_s.map_or(i64::MAX, ticks);
            let (start, end) = (chapter.start().max(zero), chapter.end().min(last));
            if start >= end && (zero > 0 || last < i64::MAX) {
                continue;
            }
            let (start, end) = (start - zero, end - zero);
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
            if let Route::Packets(lane) = route
                && let Some(stream) = output.stream(lane.to)
            {
                lane.to_base = stream.time_base();
            }
        }
        let wanted: Vec<bool> = self.routes.iter().map(|r| matches!(r, Route::Packets(_))).collect();
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
            let index = packet.stream();
            let Some(Route::Packets(lane)) = self.routes.get_mut(index) else { continue };
            let zero_s = self.cut.start_s.unwrap_or(0.0);
            if lane.time_s(&packet).is_some_and(|time_s| time_s - zero_s > until_s) {
                self.ahead = Some(packet);
                return Ok(());
            }
            let track = &mut self.tracks[index];
            lane.straighten(&mut packet, track.kind, &self.cut.joins);
            if !lane.fit(&mut packet, &self.cut, track.kind, self.hides_negative) {
                continue;
            }
            lane.pass(packet, track, output, &self.cut).map_err(|e| write_error(dest, e))?;
        }
    }

    /// After the last packet: what encoders of sound still hold.
    pub(super) fn flush(&mut self, output: &mut Output, dest: &Path) -> Result<()> {
        for (route, track) in self.routes.iter_mut().zip(&mut self.tracks) {
            if let Route::Packets(lane) = route {
                lane.flush(track, output).map_err(|e| write_error(dest, e))?;
            }
        }
        Ok(())
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
                Track { converted_to: Some(_), .. } => tracks.converted.push(track),
                Track { to: Some(_), .. } => tracks.copied.push(track),
                // The picture itself, and what the muxer makes anew.
                _ => {}
            }
        }
        tracks
    }
}
