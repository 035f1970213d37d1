//! Frames into a file.

use std::path::Path;

use ffmpeg_next::format::Pixel;

use super::{
    coder::Coder,
    encode::{EncodeSettings, Look, SVT},
    loops,
    mux::Muxer,
    open,
    output::{Partial, same_file},
    picture::Picture,
    probe::Probe,
    segments::{Place, Segments, Stretch},
    tracks::Tracks,
};
use crate::{
    Error, Result,
    frame::{Blended, Frame},
    report::{Tally, Times},
    resume::{End, Seams, Work},
};

/// Writes a video. Only [`Writer::commit`] gives it its name.
///
/// The picture is encoded with the input's time base into segments on the disk, and each frame keeps its time and
/// duration. At the end the segments' packets are joined with sound, subtitles, attachments, covers, chapters and tags
/// of the input, which are copied as packets while the picture advances, so that memory doesn't grow with the length.
pub struct Writer {
    muxer: Muxer,
    coder: Coder,
    segments: Segments,
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
    /// Length of the file.
    pub bytes: u64,
    /// The encoder's name.
    pub encoder: String,
    /// What became of the input's other tracks.
    pub tracks: Tracks,
    /// Times of the first and the last frame.
    pub times: Times,
    /// Number of the picture's stream in the file.
    pub stream: usize,
    /// What could not be kept, in words.
    pub notes: Vec<String>,
    /// The end of the clip as it was told.
    pub end: End,
}

impl Writer {
    /// A video from `input` under the name `output`, whose ending chooses the container, made in `work`, with segments
    /// that `seams` divides.
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
        let (muxer, coder) = prepare(input, || Partial::within(work.dir(), output), probe, settings)?;
        Ok(Self { muxer, coder, segments: Segments::new(work, seams) })
    }

    /// Learns what the clip looks like from its first frame, which every run shows again.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when no encoder takes it, [`Error::Media`] when the encoder isn't the one that made the
    /// segments that are there.
    pub fn begin(&mut self, first: &Picture) -> Result<()> {
        let (encoder, _) = self.coder.begin(first, &self.muxer)?;
        self.segments.begin(encoder).map_err(|reason| self.coder.media_error(reason))
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
        self.segments.add(blended, &mut self.coder, &self.muxer)
    }

    /// No more frames come: `n_decoded` were decoded.
    ///
    /// # Errors
    /// [`Error::Media`] when not all of them were written, [`Error::Io`] when the disk is full or the like.
    pub fn end(&mut self, n_decoded: u64, end: End) -> Result<()> {
        self.segments.end(end, &mut self.coder)?;
        let n_written = self.n_frames();
        if n_written == n_decoded {
            return Ok(());
        }
        Err(self.coder.media_error(format!("{n_decoded} frames were decoded, {n_written} written")))
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
        let journal = self.segments.work.journal();
        let ends = (journal.segments.values().next(), journal.segments.values().next_back());
        let (Some((encoder, look)), (Some(first), Some(last))) = (self.coder.encoder(), ends) else {
            return Err(self.coder.media_error("there are no frames to write"));
        };
        let times = Times { first: first.first_pts, last: last.last_pts, time_base: self.coder.time_base };
        let (frames, encoder_name) = (journal.n_frames(), encoder.name.clone());
        let swapped = journal.segments.values().map(|segment| segment.swapped).sum();
        let mut tally = Tally::default();
        journal.segments.values().for_each(|segment| tally.merge(&segment.tally));
        let end = journal.end.clone().unwrap_or_default();
        self.muxer.set_cut(end.cut);
        self.muxer.start(encoder, look, self.coder.time_base, self.coder.frame_rate)?;
        self.segments.join(&self.coder, &mut self.muxer)?;
        let stream = self.muxer.video_stream();
        let is_unlabelled = self.muxer.label.is_some() && !self.muxer.holds_label();
        let is_sideways = self.muxer.is_turned && !self.muxer.holds_turns();
        let (bytes, tracks) = self.muxer.finish()?;
        let mut notes: Vec<String> = self.coder.note.take().into_iter().collect();
        notes.extend(is_unlabelled.then(|| super::NO_ROOM_FOR_LABEL.to_owned()));
        notes.extend(is_sideways.then(|| super::NO_ROOM_FOR_TURNS.to_owned()));
        notes.extend(tracks.notes());
        self.segments.work.remove();
        Ok(Written {
            frames,
            swapped,
            tally,
            bytes,
            encoder: encoder_name,
            tracks,
            times,
            stream,
            notes,
            end,
        })
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
    let look = Look::expected(probe).map(|look| look.scaled(settings.scale));
    if let Some(look) = look.filter(|_| settings.encoder.as_deref() != Some(SVT)) {
        let (mut muxer, coder) = opened(input, partial()?, probe, settings)?;
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
    let coder = Coder::new(partial.dest(), settings, codec, probe.time_base, probe.frame_rate);
    let mut muxer = Muxer::create(partial)?;
    muxer.label.clone_from(&settings.label);
    muxer.is_turned = probe.quarter_turns != 0;
    muxer.loops = loops::of(input);
    if !probe.is_sequence() {
        let source = open::open_for_packets(input)?;
        muxer.copy_from(source, input.into(), probe.stream, settings.on_unsupported)?;
    }
    Ok((muxer, coder))
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
