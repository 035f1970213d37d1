//! Frames into a file.

use std::{collections::HashMap, path::Path};

use ffmpeg_next::{self as ff, Packet, format::Pixel, picture};

use super::{
    convert::{Converter, Shape},
    encode::{self, Demand, EncodeSettings, Encoder, Look, SVT},
    mux::Muxer,
    open,
    output::same_file,
    probe::Probe,
    streams::Tracks,
};
use crate::{Error, Result, frame::Frame, report::Times};

/// Writes a video. Only [`Writer::commit`] gives it its name; dropped before, it leaves nothing.
///
/// The picture is encoded with the input's time base, and each frame keeps its time and duration. Sound, subtitles,
/// attachments, covers, chapters and tags of the input are copied as packets while the picture advances, so that
/// memory doesn't grow with the length.
pub struct Writer {
    muxer: Muxer,
    settings: EncodeSettings,
    source_codec: Option<String>,
    time_base: (i32, i32),
    frame_rate: (i32, i32),
    encoder: Option<Encoder>,
    converter: Converter,
    /// Durations of the frames in the encoder, by their times.
    durations: HashMap<i64, i64>,
    first_pts: Option<i64>,
    last_pts: Option<i64>,
    n_frames: u64,
    notes: Vec<String>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Frames.
    pub frames: u64,
    /// Length of the file.
    pub bytes: u64,
    /// The encoder's name.
    pub encoder: String,
    /// What became of the input's other tracks.
    pub tracks: Tracks,
    /// Times of the first and the last frame.
    pub times: Times,
    /// What could not be kept, in words.
    pub notes: Vec<String>,
}

impl Writer {
    /// A video from `input` under the name `output`, whose ending chooses the container.
    ///
    /// # Errors
    /// [`Error::Refused`] when both are the same file; [`Error::Io`] when the output can't be made;
    /// [`Error::BadSetting`] for an ending, encoder, quality or preset that won't do, or when the container can't hold
    /// the sound.
    pub fn create(input: &Path, output: &Path, probe: &Probe, settings: &EncodeSettings) -> Result<Self> {
        if same_file(input, output) {
            let reason = "is the input itself; give another name".to_owned();
            return Err(Error::Refused { path: output.into(), reason });
        }
        let source = open::open(input, usize::MAX)?;
        let mut muxer = Muxer::create(output)?;
        muxer.label.clone_from(&settings.label);
        muxer.copy_from(source, input.into(), probe.stream)?;
        let writer = Self::new(muxer, settings, Some(probe.codec.clone()), probe.time_base, probe.frame_rate);
        if let Some(look) = Look::expected(probe).filter(|_| settings.encoder.as_deref() != Some(SVT)) {
            // Whatever the encoder dislikes is told before any work is done.
            writer.open_encoder(&look)?;
        }
        Ok(writer)
    }

    /// A clip of `size` pixels and `fps` frames per second (a fraction) that has no input. Frames are numbered as
    /// they come; RGB becomes BT.709 unless the encoder takes it as it is.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn new_clip(
        output: &Path,
        size: (usize, usize),
        fps: (i32, i32),
        settings: &EncodeSettings,
    ) -> Result<Self> {
        let writer = Self::new(Muxer::create(output)?, settings, None, (fps.1, fps.0), fps);
        if settings.encoder.as_deref() != Some(SVT) {
            writer.open_encoder(&Look::plain(Pixel::GBRP, size.0, size.1))?;
        }
        Ok(writer)
    }

    fn new(
        muxer: Muxer,
        settings: &EncodeSettings,
        source_codec: Option<String>,
        time_base: (i32, i32),
        frame_rate: (i32, i32),
    ) -> Self {
        Self {
            muxer,
            settings: settings.clone(),
            source_codec,
            time_base,
            frame_rate,
            encoder: None,
            converter: Converter::new(),
            durations: HashMap::new(),
            first_pts: None,
            last_pts: None,
            n_frames: 0,
            notes: Vec::new(),
        }
    }

    fn open_encoder(&self, look: &Look) -> Result<Encoder> {
        let demand = Demand {
            settings: &self.settings,
            source_codec: self.source_codec.as_deref(),
            container_holds: &|id| self.muxer.holds(id),
            container_likes: self.muxer.likes(),
            global_header: self.muxer.wants_global_header(),
            time_base: self.time_base,
            frame_rate: self.frame_rate,
        };
        encode::open(&demand, look)
    }

    /// Encodes one frame. Frames come in the order of presentation.
    ///
    /// # Errors
    /// [`Error::Media`] for a frame that doesn't fit its predecessors or that the encoder fails on, [`Error::Io`]
    /// when the disk is full or the like.
    pub fn write(&mut self, frame: Frame) -> Result<()> {
        let is_clip = self.source_codec.is_none();
        let (pts, duration) =
            if is_clip { (self.n_frames as i64, 1) } else { (frame.picture.pts(), frame.picture.duration()) };
        if let Some(last) = self.last_pts.filter(|last| pts <= *last) {
            return Err(
                self.media_error(format!("its time {pts} is not after {last}, that of the frame before"))
            );
        }
        let mut frame = frame.picture.into_frame();
        frame.set_pts(Some(pts));
        frame.set_kind(picture::Type::None);
        if self.encoder.is_none() {
            self.start(&Look::of(&frame))?;
        }
        let Some(encoder) = &mut self.encoder else { return Err(self.media_error("no encoder")) };
        let wanted = Shape {
            format: encoder.format,
            width: encoder.context.width(),
            height: encoder.context.height(),
        };
        let own = Shape::of(&frame);
        if (own.width, own.height) != (wanted.width, wanted.height) {
            let reason = format!("{} x {} after {} x {}", own.width, own.height, wanted.width, wanted.height);
            return Err(self.media_error(reason));
        }
        if own != wanted {
            frame = self.converter.convert(&frame, wanted).map_err(|reason| self.media_error(reason))?;
        }
        let Some(encoder) = &mut self.encoder else { return Err(self.media_error("no encoder")) };
        encoder.fed = true;
        let sent = encoder.context.send_frame(&frame);
        sent.map_err(|e| self.encoder_error(e))?;
        self.durations.insert(pts, duration);
        self.first_pts.get_or_insert(pts);
        (self.last_pts, self.n_frames) = (Some(pts), self.n_frames + 1);
        self.drain()
    }

    /// Opens the encoder for what the first frame looks like, and the file.
    fn start(&mut self, look: &Look) -> Result<()> {
        let mut look = look.clone();
        let mut encoder = self.open_encoder(&look)?;
        if encoder.format != look.format && super::layout::is_rgb(look.format.into()) {
            // Converted on the way: tell players what it is then.
            let mut probe = super::picture::Picture::blank(look.format, 2, 2).into_frame();
            probe.set_pts(None);
            let shape = Shape { format: encoder.format, width: 2, height: 2 };
            let made = Converter::new().convert(&probe, shape).map_err(|reason| self.media_error(reason))?;
            let made = Look::of(&made);
            look = Look { range: made.range, space: made.space, ..look };
            encoder = self.open_encoder(&look)?;
        }
        self.notes.extend(encoder.note.clone());
        self.muxer.start(&encoder, &look, self.time_base, self.frame_rate)?;
        self.encoder = Some(encoder);
        Ok(())
    }

    /// Hands what the encoder has ready to the file.
    fn drain(&mut self) -> Result<()> {
        let mut packet = Packet::empty();
        loop {
            let Some(encoder) = &mut self.encoder else { return Ok(()) };
            match encoder.context.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => return Ok(()),
                Err(e) => return Err(self.encoder_error(e)),
            }
            if let Some(duration) = packet.pts().and_then(|pts| self.durations.remove(&pts)) {
                packet.set_duration(duration);
            }
            self.muxer.write_video(&mut packet, self.time_base)?;
        }
    }

    /// Finishes the file and gives it its name.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full or the like, [`Error::Media`] when there were no frames; nothing is left
    /// then.
    pub fn commit(mut self) -> Result<Written> {
        let Some(encoder) = &mut self.encoder else {
            return Err(self.media_error("there are no frames to write"));
        };
        let name = encoder.name.clone();
        encoder.context.send_eof().map_err(|e| self.encoder_error(e))?;
        self.drain()?;
        let (bytes, tracks) = self.muxer.finish()?;
        self.notes.extend(tracks.notes());
        let (first, last) = (self.first_pts.unwrap_or(0), self.last_pts.unwrap_or(0));
        let times = Times { first, last, time_base: self.time_base };
        Ok(Written { frames: self.n_frames, bytes, encoder: name, tracks, times, notes: self.notes })
    }

    fn encoder_error(&self, error: ff::Error) -> Error {
        let lines = self.encoder.as_ref().map_or_else(Vec::new, |encoder| encoder.journal.take());
        let said = if lines.is_empty() { error.to_string() } else { lines.join(", ") };
        self.media_error(format!("can't be encoded ({said})"))
    }

    fn media_error(&self, reason: impl Into<String>) -> Error {
        Error::Media { path: self.muxer.dest().into(), frame: self.n_frames, reason: reason.into() }
    }
}
