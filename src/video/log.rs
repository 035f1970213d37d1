//! What FFmpeg's parts have to say, kept for messages instead of printed.

use std::sync::Mutex;

use ffmpeg_next::codec;

/// Lines that are kept; a broken file can give thousands.
const MAX_LINES: usize = 8;

/// The errors that one codec wrote, the first few of them.
///
/// The codec holds the address of the lines, so that whoever has both must drop the codec first: a field that is
/// declared before the journal is.
#[derive(Debug, Default)]
pub(super) struct Journal(Box<Lines>);

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl Journal {
    /// Lets a codec that isn't open yet write into this journal.
    ///
    /// # Safety
    /// The journal must live longer than the codec.
    pub(super) unsafe fn attach(&self, context: &mut codec::Context) {
        // SAFETY: a plain field of a live context, which FFmpeg hands on to the codec's threads and never reads.
        unsafe { (*context.as_mut_ptr()).opaque = std::ptr::from_ref(&*self.0).cast_mut().cast() };
    }

    /// What was written since the last time.
    pub(super) fn take(&self) -> Vec<String> {
        self.0.0.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
    }
}

impl Lines {
    fn write(&self, line: &str) {
        if let Ok(mut lines) = self.0.lock()
            && lines.len() < MAX_LINES
            && !lines.iter().any(|old| old == line)
        {
            lines.push(line.to_owned());
        }
    }
}

/// Sends all of FFmpeg's log to the journals, and what has none to nowhere.
pub(super) fn install() {
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    // The list of arguments that the callback gets is another type on every other processor.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the callback is a function without state of its own.
    unsafe {
        ffmpeg_next::ffi::av_log_set_callback(Some(listen::listen));
    }
}

#[cfg(target_arch = "x86_64")]
mod listen {
    use std::ffi::{CStr, c_char, c_int, c_void};

    use ffmpeg_next::ffi::{__va_list_tag, AV_LOG_ERROR, AVClass, AVCodecContext, av_log_format_line2};

    use super::Lines;

    /// Called from any thread of FFmpeg's, for every line of every level.
    pub(super) unsafe extern "C" fn listen(
        source: *mut c_void,
        level: c_int,
        format: *const c_char,
        arguments: *mut __va_list_tag,
    ) {
        if level > AV_LOG_ERROR || source.is_null() {
            return;
        }
        // SAFETY: a source of log lines begins with a pointer to its class, as FFmpeg promises; classes and their names
        // are constant. A codec context's `opaque` is null or was set by `Journal::attach`, whose caller
        // keeps the journal. The line is written with its end within the buffer.
        unsafe {
            let Some(class) = source.cast::<*const AVClass>().read().as_ref() else { return };
            if class.class_name.is_null() || CStr::from_ptr(class.class_name) != c"AVCodecContext" {
                return;
            }
            let Some(lines) = (*source.cast::<AVCodecContext>()).opaque.cast::<Lines>().as_ref() else {
                return;
            };
            let (mut line, mut prefix) = ([0; 256], 0);
            let size = line.len() as c_int;
            av_log_format_line2(source, level, format, arguments, line.as_mut_ptr(), size, &raw mut prefix);
            lines.write(CStr::from_ptr(line.as_ptr()).to_string_lossy().trim());
        }
    }
}
