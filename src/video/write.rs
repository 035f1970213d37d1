//! Frames into a file.

use std::{borrow::Cow, path::Path};

use ffmpeg_next::format::Pixel;

use super::{
    coder::{Coder, Sink},
    encode::{EncodeSettings, Look, SVT},
    loops,
    mux::Muxer,
    open,
    output::{Partial, same_file},
    pattern::Pattern,
    picture::Picture,
    picture_writer::PictureWriter,
    probe::Probe,
    scale::Scale,
    segments::{Place, Press, Segments, Stretch},
    tracks::Tracks,
    turn::Turn,
};
use crate::{
    Error, Result,
    frame::{Blended, Frame},
    report::{Tally, Times},
    resume::{End, Seams, Work},
};

/// Encoders whose frames need the first one, or whose packets are no bytes. Their segment is the whole clip.
const IN_ONE_PIECE: [&str; 3] = ["gif", "apng", "wrapped_avframe"];

/// Writes a video, or numbered pictures. Only [`Writer::commit`] gives a video its name; a picture has its own as soon as
/// it is whole.
///
/// The picture is encoded with the input's time base into segments on the disk, and each frame keeps its time and
/// duration. At the end the segments' packets are joined with sound, subtitles, attachments, covers, chapters and tags
/// of the input, which are copied as packets while the picture advances, so that memory doesn't grow with the length.
pub struct Writer {
    target: Target,
    segments: Segments,
    /// Of frames as they are written, pixels.
    size_px: (usize, usize),
    time_base: (i32, i32),
}

/// What the frames become.
enum Target {
    Film(Box<Film>),
    Pictures(Box<PictureWriter>),
}

impl Target {
    fn press(&mut self) -> &mut dyn Press {
        match self {
            Self::Film(film) => &mut **film,
            Self::Pictures(pictures) => &mut **pictures,
        }
    }

    /// How frames are turned here, and not by players.
    fn turn(&self, probe: &Probe) -> Turn {
        match self {
            Self::Film(film) => film.muxer.turn,
            Self::Pictures(_) => Turn::of(probe),
        }
    }
}

/// A container, and what encodes its picture.
struct Film {
    muxer: Muxer,
    coder: Coder,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Frames.
    pub frames: u64,
    /// Frames in which a face is new.
    pub swapped: u64,
    /// Who was replaced in them.
    pub tally: Tally,
    /// What became of the input's other tracks.
    pub tracks: Tracks,
    /// Times of the first and the last frame.
    pub times: Times,
    /// Size of the frames, pixels.
    pub size_px: (usize, usize),
    /// Number of the picture's stream in the file.
    pub stream: usize,
    /// What could not be kept, in words.
    pub notes: Vec<String>,
    /// The end of the clip as it was told.
    pub end: End,
}

impl Writer {
    /// A video from `input` under the name `output`, whose ending chooses the container, or the pictures of a [`Pattern`];
    /// made in `work`, with segments that `seams` divides.
    ///
    /// # Errors
    /// [`Error::Refused`] when both are the same file; [`Error::Io`] when the output can't be made;
    /// [`Error::BadSetting`] for an ending, encoder, quality or preset that won't do, or when the container can't hold
    /// the sound.
    pub fn create(
        input: &Path,
        output: &Path,
        probe: &Probe,
        settings: &EncodeSettings,
        work: Work,
        seams: Seams,
    ) -> Result<Self> {
        refuse_same(input, output)?;
        let mut segments = Segments::new(work, seams);
        let target = if let Some(pattern) = Pattern::parse(output) {
            let pictures = PictureWriter::new(pattern, segments.work.dir(), settings, probe);
            segments.keep_if(|packet| pictures.is_there(packet))?;
            Target::Pictures(Box::new(pictures))
        } else {
            let dir = segments.work.dir();
            let (muxer, coder) = prepare(input, || Partial::within(dir, output), probe, settings)?;
            Target::Film(Box::new(Film { muxer, coder }))
        };
        let (width, height) = probe.size_px;
        let is_sideways = target.turn(probe).is_sideways();
        let size_px = if is_sideways { (height, width) } else { (width, height) };
        let size_px = as_stored(settings, is_sideways, probe).scaled_px(size_px);
        Ok(Self { target, segments, size_px, time_base: probe.time_base })
    }

    /// Learns what the clip looks like from its first frame, which every run shows again, and what number that has among
    /// the input's pictures.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when no encoder takes it, [`Error::Media`] when the encoder isn't the one that made the
    /// segments that are there.
    pub fn begin(&mut self, first: &Picture, number: Option<u64>) -> Result<()> {
        match &mut self.target {
            Target::Film(film) => {
                let (encoder, _) = film.coder.begin(first, &film.muxer)?;
                let in_one_piece = IN_ONE_PIECE.contains(&encoder.name.as_str());
                let begun = self.segments.begin(in_one_piece, encoder.header());
                begun.map_err(|reason| film.coder.media_error(reason))
            }
            Target::Pictures(pictures) => {
                pictures.begin(number, first.pts());
                self.segments.begin(false, &[]).map_err(|reason| pictures.error(reason))
            }
        }
    }

    /// Where the picture is cut; known after [`Writer::begin`].
    pub fn seams(&self) -> Seams {
        self.segments.seams()
    }

    /// The frames to make next; `None` when all are there.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::BadInput`] when what the last run left can't be read.
    pub fn next_stretch(&mut self) -> Result<Option<Stretch>> {
        self.segments.next_stretch()
    }

    /// Whether an earlier run found the input to be whole up to the begin of the stretch, so that nothing is missed
    /// when the frames before it aren't decoded.
    pub fn is_sure(&self) -> bool {
        self.segments.is_sure()
    }

    /// Encodes one frame of the stretch. Frames come in the order of presentation.
    ///
    /// # Errors
    /// [`Error::Media`] for a frame that doesn't fit its predecessors or that the encoder fails on, [`Error::Io`]
    /// when the disk is full or the like.
    pub fn add(&mut self, blended: Blended) -> Result<Place> {
        self.segments.add(blended, self.target.press())
    }

    /// No more frames come: `n_decoded` were decoded.
    ///
    /// # Errors
    /// [`Error::Media`] when not all of them were written, [`Error::Io`] when the disk is full or the like.
    pub fn end(&mut self, n_decoded: u64, end: End) -> Result<()> {
        self.segments.end(end, self.target.press())?;
        let n_written = self.n_frames();
        if n_written == n_decoded {
            return Ok(());
        }
        Err(self.target.press().error(format!("{n_decoded} frames were decoded, {n_written} written")))
    }

    /// Frames in whole segments.
    pub fn n_frames(&self) -> u64 {
        self.segments.work.journal().n_frames()
    }

    /// The work that was found and done.
    pub fn work(&self) -> &Work {
        &self.segments.work
    }

    /// Joins the segments, finishes the file and gives it its name.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full or the like, [`Error::Media`] when there were no frames. The segments are
    /// kept then.
    pub fn commit(mut self) -> Result<Written> {
        let segments = &self.segments.work.journal().segments;
        let (Some(first), Some(last)) = (segments.values().next(), segments.values().next_back()) else {
            return Err(self.target.press().error("there are no frames to write".into()));
        };
        let mut tally = Tally::default();
        segments.values().for_each(|segment| tally.merge(&segment.tally));
        let mut written = Written {
            frames: self.n_frames(),
            swapped: segments.values().map(|segment| segment.swapped).sum(),
            tally,
            tracks: Tracks::default(),
            times: Times { first: first.first_pts, last: last.last_pts, time_base: self.time_base },
            size_px: self.size_px,
            stream: 0,
            notes: Vec::new(),
            end: self.segments.work.journal().end.clone().unwrap_or_default(),
        };
        match self.target {
            Target::Film(film) => film.commit(&self.segments, &mut written)?,
            Target::Pictures(pictures) => written.notes = pictures.finish(&written)?,
        }
        self.segments.work.remove();
        Ok(written)
    }
}

impl Film {
    fn commit(self, segments: &Segments, written: &mut Written) -> Result<()> {
        let Self { mut muxer, mut coder } = self;
        let Some((encoder, look)) = coder.encoder() else {
            return Err(coder.media_error("there are no frames to write"));
        };
        if written.swapped == 0 {
            // What shows no new face is no fake.
            muxer.label = None;
        }
        muxer.set_cut(written.end.cut.clone());
        muxer.start(encoder, look, coder.time_base, coder.frame_rate)?;
        segments.join(&coder, &mut muxer)?;
        written.stream = muxer.video_stream();
        let is_unlabelled = muxer.label.is_some() && !muxer.holds_label();
        written.tracks = muxer.finish()?;
        written.notes.extend(coder.note.take());
        written.notes.extend(is_unlabelled.then(|| super::NO_ROOM_FOR_LABEL.to_owned()));
        written.notes.extend(written.tracks.notes());
        Ok(())
    }
}

impl Press for Film {
    fn open_segment(&mut self) -> Result<()> {
        self.coder.renew(&self.muxer)
    }

    fn press(&mut self, _: u64, picture: Picture, sink: Sink<'_>) -> Result<()> {
        let (pts, duration) = (picture.pts(), picture.duration());
        self.coder.encode(picture.into_frame(), pts, duration, sink)
    }

    fn close_segment(&mut self, sink: Sink<'_>) -> Result<()> {
        self.coder.flush(sink)
    }

    fn error(&self, reason: String) -> Error {
        self.coder.media_error(reason)
    }
}

fn refuse_same(input: &Path, output: &Path) -> Result<()> {
    if same_file(input, output) {
        let reason = "is the input itself; give another name".to_owned();
        return Err(Error::Refused { path: output.into(), reason });
    }
    Ok(())
}

/// The container with all that is copied of `input`, and what will encode its picture. Whatever they dislike is told before
/// any work is done: a header is written into a file that nobody keeps. `partial` makes the files.
fn prepare(
    input: &Path,
    partial: impl Fn() -> Result<Partial>,
    probe: &Probe,
    settings: &EncodeSettings,
) -> Result<(Muxer, Coder)> {
    if let Some(look) = Look::expected(probe).filter(|_| settings.encoder.as_deref() != Some(SVT)) {
        let (mut muxer, coder) = opened(input, partial()?, probe, settings)?;
        let look = coder.made_of(look);
        let encoder = coder.open(&look, &muxer)?;
        muxer.start(&encoder, &look, coder.time_base, coder.frame_rate)?;
    }
    opened(input, partial()?, probe, settings)
}

fn opened(
    input: &Path,
    partial: Partial,
    probe: &Probe,
    settings: &EncodeSettings,
) -> Result<(Muxer, Coder)> {
    let codec = Some(probe.codec.clone());
    let dest = partial.dest().to_path_buf();
    let mut muxer = Muxer::create(partial)?;
    let turn = muxer.turn_for(probe);
    muxer.turn = turn;
    let stored = as_stored(settings, turn.is_sideways(), probe);
    let coder = Coder::new(&dest, &stored, codec, probe.time_base, probe.frame_rate).turning(turn);
    muxer.label.clone_from(&settings.label);
    muxer.loops = loops::of(input);
    if !probe.is_sequence() {
        let source = open::open_for_packets(input)?;
        muxer.copy_from(source, input.into(), probe.stream, settings.on_unsupported)?;
    }
    Ok((muxer, coder))
}

/// The settings with the size that is asked for, which is that of the shown picture, as the size of the stored one.
fn as_stored<'a>(
    settings: &'a EncodeSettings,
    is_turned_sideways: bool,
    probe: &Probe,
) -> Cow<'a, EncodeSettings> {
    if is_turned_sideways == Turn::of(probe).is_sideways() {
        return Cow::Borrowed(settings);
    }
    Cow::Owned(EncodeSettings { scale: settings.scale.map(Scale::turned), ..settings.clone() })
}

/// Writes a clip straight into its file: a short one, that is quickly made again. Only [`ClipWriter::commit`] gives it
/// its name; dropped before, it leaves nothing.
pub struct ClipWriter {
    muxer: Muxer,
    coder: Coder,
    /// Frames have the times of the input's.
    has_times: bool,
    n_frames: u64,
}

impl ClipWriter {
    /// A clip of `size` pixels and `fps` frames per second (a fraction). Frames are numbered as they come; RGB becomes
    /// BT.709 unless the encoder takes it as it is.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn create(
        output: &Path,
        size: (usize, usize),
        fps: (i32, i32),
        settings: &EncodeSettings,
    ) -> Result<Self> {
        let muxer = Muxer::create(Partial::create(output)?)?;
        let coder = Coder::new(output, settings, None, (fps.1, fps.0), fps);
        if settings.encoder.as_deref() != Some(SVT) {
            coder.open(&Look::plain(Pixel::GBRP, size.0, size.1), &muxer)?;
        }
        Ok(Self { muxer, coder, has_times: false, n_frames: 0 })
    }

    /// A clip that takes all but the picture, and the picture's times, from `input`.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn copying(input: &Path, output: &Path, probe: &Probe, settings: &EncodeSettings) -> Result<Self> {
        refuse_same(input, output)?;
        let (muxer, coder) = prepare(input, || Partial::create(output), probe, settings)?;
        Ok(Self { muxer, coder, has_times: true, n_frames: 0 })
    }

    /// Encodes one frame.
    ///
    /// # Errors
    /// As [`Writer::add`].
    pub fn write(&mut self, frame: Frame) -> Result<()> {
        let (coder, muxer) = (&mut self.coder, &mut self.muxer);
        let (time_base, frame_rate) = (coder.time_base, coder.frame_rate);
        if self.n_frames == 0 {
            coder.begin(&frame.picture, muxer)?;
            if let Some((encoder, look)) = coder.encoder() {
                muxer.start(encoder, look, time_base, frame_rate)?;
            }
        }
        let picture = frame.picture;
        let (pts, duration) =
            if self.has_times { (picture.pts(), picture.duration()) } else { (self.n_frames as i64, 1) };
        self.n_frames += 1;
        coder.encode(picture.into_frame(), pts, duration, &mut |packet| muxer.write_video(packet, time_base))
    }

    /// Finishes the file and gives it its name. Gives the number of frames.
    ///
    /// # Errors
    /// As [`Writer::commit`]; nothing is left then.
    pub fn commit(mut self) -> Result<u64> {
        if self.n_frames == 0 {
            return Err(self.coder.media_error("there are no frames to write"));
        }
        let (muxer, time_base) = (&mut self.muxer, self.coder.time_base);
        self.coder.flush(&mut |packet| muxer.write_video(packet, time_base))?;
        self.muxer.finish()?;
        Ok(self.n_frames)
    }
}
