//! Frames into packets, by one encoder or by several alike, one after the other.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use ffmpeg_next::{self as ff, Packet, format::Pixel, frame::Video, picture};

use super::{
    convert::{Converter, Shape},
    encode::{self, Demand, EncodeSettings, Encoder, Look},
    layout,
    mux::Muxer,
    picture::Picture,
    repeat::ZeroedMemory,
    turn::Turn,
};
use crate::{Error, Result};

/// What takes an encoder's packets.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&mut Packet) -> Result<()>;

/// Encodes frames in the input's time base; each keeps its time and duration.
pub(super) struct Coder {
    dest: PathBuf,
    settings: EncodeSettings,
    /// The input's codec; `None` for a clip that has no input.
    source_codec: Option<String>,
    pub(super) time_base: (i32, i32),
    pub(super) frame_rate: (i32, i32),
    /// What the encoder was told of the frames.
    look: Option<Look>,
    /// Of the frames that come in, which may be scaled on the way.
    size: (u32, u32),
    encoder: Option<Encoder>,
    converter: Converter,
    /// How every frame is turned, where the container can't ask players for it.
    turn: Turn,
    turner: Converter,
    /// Durations of the frames in the encoder, by their times.
    durations: HashMap<i64, i64>,
    last_pts: Option<i64>,
    n_frames: u64,
    /// What the encoder's pixel format loses.
    pub(super) note: Option<String>,
}

impl Coder {
    pub(super) fn new(
        dest: &Path,
        settings: &EncodeSettings,
        source_codec: Option<String>,
        time_base: (i32, i32),
        frame_rate: (i32, i32),
    ) -> Self {
        Self {
            dest: dest.into(),
            settings: settings.clone(),
            source_codec,
            time_base,
            frame_rate,
            look: None,
            size: (0, 0),
            encoder: None,
            converter: Converter::new(),
            turn: Turn::default(),
            turner: Converter::new(),
            durations: HashMap::new(),
            last_pts: None,
            n_frames: 0,
            note: None,
        }
    }

    /// The same with every frame turned.
    #[must_use]
    pub(super) fn turning(self, turn: Turn) -> Self {
        Self { turn, ..self }
    }

    /// What the encoder gets of frames of this look.
    pub(super) fn made_of(&self, look: Look) -> Look {
        let (space, height) = (look.space, look.height);
        let made = self.turn.look(look).scaled(self.settings.scale);
        // Where no matrix is told, players go by the size; another size must not mean other colours.
        let known = |height: u32| layout::known_space(space, height);
        if layout::is_rgb(made.format.into()) || known(height) == known(made.height) {
            return made;
        }
        Look { space: known(height), ..made }
    }

    /// An encoder for frames of this look, in `muxer`'s container.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with what the candidates lack.
    pub(super) fn open(&self, look: &Look, muxer: &Muxer) -> Result<Encoder> {
        let demand = Demand {
            settings: &self.settings,
            source_codec: self.source_codec.as_deref(),
            container_holds: &|id| muxer.holds(id),
            container_likes: muxer.likes(),
            global_header: muxer.wants_global_header(),
            time_base: self.time_base,
            frame_rate: self.frame_rate,
        };
        // Which one it will be isn't known yet.
        let _zeroed = ZeroedMemory::for_encoder("libx264");
        encode::open(&demand, look)
    }

    /// The encoder and what it was told, opened for what the first frame looks like. Once opened it stays, and
    /// [`Coder::renew`] follows the first frame, too.
    pub(super) fn begin(&mut self, first: &Picture, muxer: &Muxer) -> Result<(&Encoder, &Look)> {
        if self.encoder.is_none() {
            let look = match self.look.take() {
                Some(look) => look,
                None => self.look_of(first, muxer)?,
            };
            let (width, height) = first.size_px();
            self.size = (width as u32, height as u32);
            let encoder = self.open(&look, muxer)?;
            self.note.clone_from(&encoder.note);
            (self.encoder, self.look) = (Some(encoder), Some(look));
        }
        match (&self.encoder, &self.look) {
            (Some(encoder), Some(look)) => Ok((encoder, look)),
            _ => Err(self.media_error("no encoder")),
        }
    }

    fn look_of(&self, first: &Picture, muxer: &Muxer) -> Result<Look> {
        let look = self.made_of(Look::of(&first.clone().into_frame()));
        let encoder = self.open(&look, muxer)?;
        if layout::is_rgb(encoder.format.into()) == layout::is_rgb(look.format.into()) {
            return Ok(look);
        }
        // Converted on the way: tell players what it is then.
        let made = self.converted(look.format, encoder.format)?;
        Ok(Look { range: made.range, space: made.space, ..look })
    }

    /// What becomes of a picture's look on the way to another format.
    fn converted(&self, from: Pixel, to: Pixel) -> Result<Look> {
        let mut probe = Picture::blank(from, 2, 2).into_frame();
        probe.set_pts(None);
        let shape = Shape { format: to, width: 2, height: 2 };
        let made = Converter::new().convert(&probe, shape).map_err(|reason| self.media_error(reason))?;
        Ok(Look::of(&made))
    }

    /// The open encoder, and what it was told of the frames.
    pub(super) fn encoder(&self) -> Option<(&Encoder, &Look)> {
        Some((self.encoder.as_ref()?, self.look.as_ref()?))
    }

    /// Puts a fresh encoder, told the same, in place of one that has ended.
    pub(super) fn renew(&mut self, muxer: &Muxer) -> Result<()> {
        let Some(look) = &self.look else { return Ok(()) };
        if self.encoder.as_ref().is_none_or(|encoder| encoder.fed) {
            self.encoder = None;
            self.encoder = Some(self.open(look, muxer)?);
        }
        Ok(())
    }

    /// Encodes one frame. Frames come in the order of presentation, after [`Coder::begin`].
    ///
    /// # Errors
    /// [`Error::Media`] for a frame that doesn't fit its predecessors or that the encoder fails on, and those of
    /// `sink`.
    pub(super) fn encode(&mut self, frame: Video, pts: i64, duration: i64, sink: Sink<'_>) -> Result<()> {
        if let Some(last) = self.last_pts.filter(|last| pts <= *last) {
            return Err(
                self.media_error(format!("its time {pts} is not after {last}, that of the frame before"))
            );
        }
        let mut frame = self.fitting(frame)?;
        frame.set_pts(Some(pts));
        frame.set_kind(picture::Type::None);
        let Some(encoder) = &mut self.encoder else { return Err(self.media_error("no encoder")) };
        encoder.fed = true;
        let _zeroed = ZeroedMemory::for_encoder(&encoder.name);
        let sent = encoder.context.send_frame(&frame);
        sent.map_err(|e| self.encoder_error(e))?;
        self.durations.insert(pts, duration);
        (self.last_pts, self.n_frames) = (Some(pts), self.n_frames + 1);
        self.drain(sink)
    }

    /// The frame in the encoder's format.
    fn fitting(&mut self, frame: Video) -> Result<Video> {
        let Some(encoder) = &self.encoder else { return Err(self.media_error("no encoder")) };
        let (format, width, height) = (encoder.format, encoder.context.width(), encoder.context.height());
        let (own, wanted) = (Shape::of(&frame), Shape { format, width, height });
        if (own.width, own.height) != self.size {
            let reason = format!("{} x {} after {} x {}", own.width, own.height, self.size.0, self.size.1);
            return Err(self.media_error(reason));
        }
        let turned = self.turn.frame(frame, &mut self.turner);
        let frame = turned.map_err(|reason| self.media_error(reason))?;
        if Shape::of(&frame) == wanted {
            return Ok(frame);
        }
        self.converter.convert(&frame, wanted).map_err(|reason| self.media_error(reason))
    }

    /// Hands out all that the encoder still holds; it takes no more frames then.
    ///
    /// # Errors
    /// As [`Coder::encode`].
    pub(super) fn flush(&mut self, sink: Sink<'_>) -> Result<()> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let _zeroed = ZeroedMemory::for_encoder(&encoder.name);
        encoder.context.send_eof().map_err(|e| self.encoder_error(e))?;
        self.drain(sink)
    }

    /// Hands out what the encoder has ready.
    fn drain(&mut self, sink: Sink<'_>) -> Result<()> {
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
            sink(&mut packet)?;
        }
    }

    fn encoder_error(&self, error: ff::Error) -> Error {
        let lines = self.encoder.as_ref().map_or_else(Vec::new, |encoder| encoder.journal.take());
        let said = if lines.is_empty() { error.to_string() } else { lines.join(", ") };
        self.media_error(format!("can't be encoded ({said})"))
    }

    pub(super) fn media_error(&self, reason: impl Into<String>) -> Error {
        Error::Media { path: self.dest.clone(), frame: self.n_frames, reason: reason.into() }
    }
}
