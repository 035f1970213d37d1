//! Sound in another codec, for containers that can't hold the one it came in: decoded, and encoded at its own rate and
//! channels, each sample at its time.

use std::{collections::VecDeque, ptr, slice};

use ffmpeg_next::{
    self as ff, Packet, Rational, codec,
    ffi::{
        AV_CODEC_FLAG_GLOBAL_HEADER, AVChannelOrder, AVCodecParameters, AVSampleFormat,
        av_channel_layout_copy, av_channel_layout_default, av_frame_get_buffer,
        avcodec_parameters_from_context,
    },
    frame::Audio,
};

/// Codecs to try, in this order: what nearly every player of a container knows first.
const ENCODERS: [&str; 6] = ["aac", "libopus", "libvorbis", "libmp3lame", "ac3", "flac"];

/// Bits of a second of each channel that nobody tells from the source, for codecs with losses.
const BITS_PER_CHANNEL: i64 = 128_000;

/// A time that is off by more than this is a gap, by less it is rounding. Seconds.
const GAP_S: f64 = 0.02;
/// A gap that is longer than this, seconds, isn't filled with silence but stays a gap: a clock that jumps by hours would take
/// gigabytes.
const LONGEST_SILENCE_S: f64 = 1.0;

/// Decodes one stream of sound and encodes it anew.
pub(super) struct Sound {
    decoder: ff::decoder::Audio,
    encoder: ff::encoder::audio::Encoder,
    from_base: Rational,
    rate: i32,
    n_channels: usize,
    /// Samples of a packet.
    frame_len: usize,
    format: AVSampleFormat,
    /// Samples that wait to fill a packet, channel after channel.
    waiting: Vec<VecDeque<f32>>,
    /// Time of the first of them, in samples.
    at: Option<i64>,
}

// SAFETY: the contexts inside are owned and used by one thread at a time.
unsafe impl Send for Sound {}

impl Sound {
    /// The first encoder that the container holds and that takes the stream's rate.
    pub(super) fn encoder_for(stream: &ff::Stream, holds: impl Fn(codec::Id) -> bool) -> Option<ff::Codec> {
        // SAFETY: parameters live as long as the stream; a plain number is read.
        let rate = unsafe { (*stream.parameters().as_ptr()).sample_rate };
        ENCODERS.iter().filter_map(|name| ff::encoder::find_by_name(name)).find(|codec| {
            let takes_rate = codec
                .audio()
                .ok()
                .and_then(|audio| audio.rates())
                .is_none_or(|mut rates| rates.any(|known| known == rate));
            holds(codec.id()) && takes_rate && sample_format(*codec).is_some()
        })
    }

    pub(super) fn open(
        stream: &ff::Stream,
        codec: ff::Codec,
        global_header: bool,
    ) -> Result<Self, ff::Error> {
        let mut decoder = codec::context::Context::from_parameters(stream.parameters())?.decoder().audio()?;
        decoder.set_packet_time_base(stream.time_base());
        let format = sample_format(codec).ok_or(ff::Error::EncoderNotFound)?;
        let mut context = codec::context::Context::new_with_codec(codec);
        // SAFETY: both contexts are ours; plain fields are set before the encoder is opened.
        let (rate, n_channels) = unsafe {
            let (from, to) = (&*decoder.as_ptr(), &mut *context.as_mut_ptr());
            to.sample_rate = from.sample_rate;
            to.sample_fmt = format;
            to.time_base = Rational(1, from.sample_rate).into();
            to.bit_rate = BITS_PER_CHANNEL * i64::from(from.ch_layout.nb_channels);
            if from.ch_layout.order == AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC {
                // Nobody says which channel is where: the usual order for their number.
                av_channel_layout_default(&raw mut to.ch_layout, from.ch_layout.nb_channels);
            } else if av_channel_layout_copy(&raw mut to.ch_layout, &raw const from.ch_layout) < 0 {
                return Err(ff::Error::Bug);
            }
            if global_header {
                to.flags |= AV_CODEC_FLAG_GLOBAL_HEADER as i32;
            }
            (from.sample_rate, from.ch_layout.nb_channels as usize)
        };
        let encoder = context.encoder().audio()?.open()?;
        let frame_len = match encoder.frame_size() as usize {
            0 => 1024,
            n => n,
        };
        Ok(Self {
            decoder,
            encoder,
            from_base: stream.time_base(),
            rate,
            n_channels,
            frame_len,
            format,
            waiting: vec![VecDeque::new(); n_channels],
            at: None,
        })
    }

    /// A tick is a sample.
    pub(super) fn time_base(&self) -> Rational {
        Rational(1, self.rate)
    }

    /// Tells the container what comes.
    ///
    /// # Safety
    /// The parameters must be those of a live stream.
    pub(super) unsafe fn describe(&self, parameters: &mut AVCodecParameters) -> Result<(), ff::Error> {
        // SAFETY: as above; the encoder is open.
        match unsafe { avcodec_parameters_from_context(parameters, self.encoder.as_ptr()) } {
            code if code < 0 => Err(ff::Error::from(code)),
            _ => Ok(()),
        }
    }

    /// Decodes a packet, and gives the new packets that are full. Nothing before time 0 or after `end_s` is kept.
    pub(super) fn convert(&mut self, packet: &Packet, end_s: Option<f64>) -> Result<Vec<Packet>, ff::Error> {
        // A packet that can't be decoded leaves a gap, which is filled with silence.
        let _ = self.decoder.send_packet(packet);
        let mut packets = self.take(end_s)?;
        packets.extend(self.encode(false)?);
        Ok(packets)
    }

    /// After the last packet: all that is left.
    pub(super) fn finish(&mut self) -> Result<Vec<Packet>, ff::Error> {
        let _ = self.decoder.send_eof();
        let mut packets = self.take(None)?;
        packets.extend(self.encode(true)?);
        Ok(packets)
    }

    /// Takes what the decoder has, and gives the packets that end before a long gap.
    fn take(&mut self, end_s: Option<f64>) -> Result<Vec<Packet>, ff::Error> {
        let mut packets = Vec::new();
        let mut frame = Audio::empty();
        while self.decoder.receive_frame(&mut frame).is_ok() {
            let told = frame
                .timestamp()
                .or(frame.pts())
                .map(|pts| (pts as f64 * f64::from(self.from_base) * f64::from(self.rate)).round() as i64);
            let len = self.waiting.first().map_or(0, VecDeque::len) as i64;
            let mut next = self.at.map(|at| at + len);
            let start = match (told, next) {
                (Some(told), Some(next)) if (told - next).abs() as f64 > GAP_S * f64::from(self.rate) => told,
                (Some(told), None) => told,
                (_, next) => next.unwrap_or(0),
            };
            if next.is_some_and(|next| (start - next) as f64 > LONGEST_SILENCE_S * f64::from(self.rate)) {
                // All but the last packet of an encoder are full.
                let rest = len as usize % self.frame_len;
                let missing = if rest == 0 { 0 } else { self.frame_len - rest };
                self.waiting.iter_mut().for_each(|waiting| waiting.extend(std::iter::repeat_n(0.0, missing)));
                packets.extend(self.encode(false)?);
                (self.at, next) = (None, None);
            }
            // Samples before 0 are cut off, as are those that overlap what is there.
            let skip = (next.unwrap_or(0) - start).max(0) as usize;
            let silence = next.map_or(0, |next| (start - next).max(0)) as usize;
            let end =
                end_s.map_or(usize::MAX, |s| ((s * f64::from(self.rate)) as i64 - start).max(0) as usize);
            for (channel, waiting) in self.waiting.iter_mut().enumerate() {
                waiting.extend(std::iter::repeat_n(0.0, silence));
                let kept = skip.min(frame.samples())..end.clamp(skip.min(frame.samples()), frame.samples());
                waiting.extend(kept.map(|i| sample(&frame, channel, i, self.n_channels)));
            }
            if self.at.is_none() && skip < frame.samples() {
                self.at = Some(start + skip as i64);
            }
        }
        Ok(packets)
    }

    fn encode(&mut self, flush: bool) -> Result<Vec<Packet>, ff::Error> {
        let mut packets = Vec::new();
        while let Some(at) = self.at {
            let n = self.waiting.first().map_or(0, VecDeque::len);
            let len = n.min(self.frame_len);
            if len == 0 || (len < self.frame_len && !flush) {
                break;
            }
            let frame = self.frame(len, at)?;
            self.at = Some(at + len as i64);
            self.encoder.send_frame(&frame)?;
            self.receive(&mut packets);
        }
        if flush {
            let _ = self.encoder.send_eof();
            self.receive(&mut packets);
        }
        Ok(packets)
    }

    fn receive(&mut self, packets: &mut Vec<Packet>) {
        let mut packet = Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            packets.push(std::mem::replace(&mut packet, Packet::empty()));
        }
    }

    /// The next `len` samples as a frame of the encoder's kind.
    fn frame(&mut self, len: usize, at: i64) -> Result<Audio, ff::Error> {
        use AVSampleFormat as F;
        let mut frame = Audio::empty();
        // SAFETY: the frame is ours and gets its buffers here, of `len` samples for each channel in the format that is
        // set; what is written lies within them.
        unsafe {
            let raw = &mut *frame.as_mut_ptr();
            raw.nb_samples = len as i32;
            raw.format = self.format as i32;
            raw.sample_rate = self.rate;
            raw.pts = at;
            let encoder = &*self.encoder.as_ptr();
            if av_channel_layout_copy(&raw mut raw.ch_layout, &raw const encoder.ch_layout) < 0
                || av_frame_get_buffer(raw, 0) < 0
            {
                return Err(ff::Error::from(-libc::ENOMEM));
            }
            for (c, waiting) in self.waiting.iter_mut().enumerate() {
                for (i, value) in waiting.drain(..len).enumerate() {
                    let whole = (value * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
                    let woven = i * self.n_channels + c;
                    let put = |plane: usize, i: usize, value: &[u8]| {
                        let to = (*raw.extended_data.add(plane)).add(i * value.len());
                        ptr::copy_nonoverlapping(value.as_ptr(), to, value.len());
                    };
                    match self.format {
                        F::AV_SAMPLE_FMT_FLTP => put(c, i, &value.to_ne_bytes()),
                        F::AV_SAMPLE_FMT_FLT => put(0, woven, &value.to_ne_bytes()),
                        F::AV_SAMPLE_FMT_S16P => put(c, i, &whole.to_ne_bytes()),
                        _ => put(0, woven, &whole.to_ne_bytes()),
                    }
                }
            }
        }
        Ok(frame)
    }
}

/// The encoder's format among those that [`Sound::frame`] writes.
fn sample_format(codec: ff::Codec) -> Option<AVSampleFormat> {
    use AVSampleFormat as F;
    let mut known = Vec::new();
    // SAFETY: the codec is constant, its list of formats ends with NONE.
    unsafe {
        let mut format = (*codec.as_ptr()).sample_fmts;
        while let Some(&found) = format.as_ref().filter(|f| **f != F::AV_SAMPLE_FMT_NONE) {
            known.push(found);
            format = format.add(1);
        }
    }
    [F::AV_SAMPLE_FMT_FLTP, F::AV_SAMPLE_FMT_FLT, F::AV_SAMPLE_FMT_S16, F::AV_SAMPLE_FMT_S16P]
        .into_iter()
        .find(|format| known.contains(format))
}

/// Sample `i` of a channel, -1..=1; silence for formats that no decoder gives.
fn sample(frame: &Audio, channel: usize, i: usize, n_channels: usize) -> f32 {
    use AVSampleFormat as F;
    // SAFETY: the frame is alive; `i` counts its samples and `channel` its channels, whose planes hold as many of the
    // type that the format names.
    unsafe {
        let raw = &*frame.as_ptr();
        if raw.ch_layout.nb_channels as usize != n_channels || raw.extended_data.is_null() {
            return 0.0;
        }
        let at = |planar: bool, bytes: usize| -> *const u8 {
            let (plane, index) = if planar { (channel, i) } else { (0, i * n_channels + channel) };
            let plane = *raw.extended_data.add(plane);
            if plane.is_null() { ptr::null() } else { plane.add(index * bytes) }
        };
        let bytes = |planar: bool, n: usize| slice::from_raw_parts(at(planar, n), n);
        let i32_of = |b: &[u8]| i32::from_ne_bytes([b[0], b[1], b[2], b[3]]);
        let format = std::mem::transmute::<i32, F>(raw.format);
        let planar = matches!(
            format,
            F::AV_SAMPLE_FMT_U8P
                | F::AV_SAMPLE_FMT_S16P
                | F::AV_SAMPLE_FMT_S32P
                | F::AV_SAMPLE_FMT_FLTP
                | F::AV_SAMPLE_FMT_DBLP
        );
        match format {
            F::AV_SAMPLE_FMT_U8 | F::AV_SAMPLE_FMT_U8P => (f32::from(bytes(planar, 1)[0]) - 128.0) / 128.0,
            F::AV_SAMPLE_FMT_S16 | F::AV_SAMPLE_FMT_S16P => {
                let b = bytes(planar, 2);
                f32::from(i16::from_ne_bytes([b[0], b[1]])) / 32768.0
            }
            F::AV_SAMPLE_FMT_S32 | F::AV_SAMPLE_FMT_S32P => {
                (f64::from(i32_of(bytes(planar, 4))) / 2_147_483_648.0) as f32
            }
            F::AV_SAMPLE_FMT_FLT | F::AV_SAMPLE_FMT_FLTP => f32::from_bits(i32_of(bytes(planar, 4)) as u32),
            F::AV_SAMPLE_FMT_DBL | F::AV_SAMPLE_FMT_DBLP => {
                let b = bytes(planar, 8);
                f64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32
            }
            _ => 0.0,
        }
    }
}
