//! What a stream says of itself: tags, disposition, side data, attachments.

use std::ptr;

use ffmpeg_next::{
    self as ff, codec,
    ffi::{AVMediaType, AVPacketSideDataType, AVStream, av_dict_copy, av_dict_set, av_stream_new_side_data},
};

/// What becomes of a stream's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packets {
    Copied,
    /// Encoded anew.
    Made,
    /// The same of a picture that was turned upright, if it had to be.
    MadeUpright,
}

/// Tags, disposition and side data of a stream: what stays true of these packets.
pub(super) fn copy_traits(source: &AVStream, made: &mut AVStream, packets: Packets) {
    use AVPacketSideDataType as S;
    let remade = packets != Packets::Copied;
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
            let is_turn = data.type_ == S::AV_PKT_DATA_DISPLAYMATRIX;
            if remade && of_old_packets || packets == Packets::MadeUpright && is_turn {
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
pub(super) unsafe fn attach(source: &AVStream, made: &mut AVStream) {
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

/// Whether a track of MOV is one that the muxer makes by itself: timecode, and the text of chapters.
pub(super) fn is_made_anew(tag: u32) -> bool {
    [*b"tmcd", *b"text"].map(u32::from_le_bytes).contains(&tag)
}
