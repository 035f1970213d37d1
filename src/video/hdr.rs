//! What a mastering screen could show: data that HDR players want, and encoders forget.

use std::fmt::Write;

use ffmpeg_next::{
    ffi::{AVPacketSideDataType, AVStream, av_stream_get_side_data, av_stream_new_side_data},
    frame::{Video, side_data::Type},
};

/// Mastering display (SMPTE ST 2086) and content light level (CTA-861.3) as FFmpeg keeps them with a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hdr {
    mastering: Option<Vec<u8>>,
    light: Option<Vec<u8>>,
}

impl Hdr {
    pub(super) fn of(frame: &Video) -> Self {
        let data = |kind| frame.side_data(kind).map(|data| data.data().to_vec());
        Self { mastering: data(Type::MasteringDisplayMetadata), light: data(Type::ContentLightLevel) }
    }

    /// In the words of libx265, each after a colon.
    pub(super) fn x265_params(&self) -> String {
        let numbers = |bytes: &Option<Vec<u8>>| -> Vec<i32> {
            let words = bytes.iter().flat_map(|b| b.chunks_exact(4));
            words.map(|w| i32::from_ne_bytes([w[0], w[1], w[2], w[3]])).collect()
        };
        // Writing into a string can't fail.
        let mut params = String::new();
        // Ten fractions (x, y of red, green, blue, white; least and most luminance), and which of them are known.
        if let [fractions @ .., 1, 1] = &numbers(&self.mastering)[..]
            && fractions.len() == 20
        {
            let scaled = |i: usize, unit: f64| {
                let value = f64::from(fractions[2 * i]) / f64::from(fractions[2 * i + 1].max(1));
                (value * unit).round() as i64
            };
            let xy = |i: usize| format!("({},{})", scaled(2 * i, 50_000.0), scaled(2 * i + 1, 50_000.0));
            let (red, green, blue, white) = (xy(0), xy(1), xy(2), xy(3));
            let (least, most) = (scaled(8, 10_000.0), scaled(9, 10_000.0));
            let _ = write!(params, ":master-display=G{green}B{blue}R{red}WP{white}L({most},{least})");
        }
        if let [content, average, ..] = numbers(&self.light)[..] {
            let _ = write!(params, ":max-cll={content},{average}");
        }
        params
    }

    /// Gives a stream what it hasn't got from the input's container already.
    pub(super) fn add_to(&self, stream: &mut AVStream) {
        let both = [
            (AVPacketSideDataType::AV_PKT_DATA_MASTERING_DISPLAY_METADATA, &self.mastering),
            (AVPacketSideDataType::AV_PKT_DATA_CONTENT_LIGHT_LEVEL, &self.light),
        ];
        for (kind, data) in both.into_iter().filter_map(|(kind, data)| Some((kind, data.as_ref()?))) {
            // SAFETY: the stream is alive; the new memory is as long as what is copied into it.
            unsafe {
                if av_stream_get_side_data(stream, kind, std::ptr::null_mut()).is_null() {
                    let room = av_stream_new_side_data(stream, kind, data.len());
                    if !room.is_null() {
                        std::ptr::copy_nonoverlapping(data.as_ptr(), room, data.len());
                    }
                }
            }
        }
    }
}
