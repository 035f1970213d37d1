//! What is said when a library crashes: decoders and drivers are C, and the files that they read come from anywhere.
//!
//! A crash ends the process; it can't be mended from inside. It ends with a message that names the file, and an exit code,
//! in place of the shell's "Segmentation fault". Segments that are whole and the journal are on the disk.

use std::{
    ffi::CString,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// The file that is worked on, for a handler that is given nothing but a number: bytes that end with 0 and are never freed, since a handler may be reading them.
static FILE: AtomicPtr<libc::c_char> = AtomicPtr::new(ptr::null_mut());

/// Makes crashes end with a message and exit code 1.
pub fn tell_crashes() {
    let told: extern "C" fn(libc::c_int) = tell;
    for signal in [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        // SAFETY: the structure is valid when all its bytes are 0, and the handler calls nothing but what handlers may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = told as libc::sighandler_t;
            // Each thread has a second stack for when its first one has overflowed.
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// Remembers the file for the message: from now on it is the one that is worked on.
pub fn working_on(path: &Path) {
    if let Ok(name) = CString::new(path.as_os_str().as_bytes()) {
        // A few bytes for each file of a run.
        FILE.store(name.into_raw(), Ordering::Release);
    }
}

extern "C" fn tell(signal: libc::c_int) {
    const MEMORY: &[u8] = b"error: no memory is left, or a library gave up";
    const CRASH: &[u8] = b"error: a library crashed";
    const WHERE: &[u8] = b" while working on ";
    const KEPT: &[u8] = b"; what is done is kept, and the same command goes on from there\n";
    let say = |bytes: &[u8]| {
        // SAFETY: writes bytes that are alive, as handlers may.
        unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
    };
    say(if signal == libc::SIGABRT { MEMORY } else { CRASH });
    let file = FILE.load(Ordering::Acquire);
    if !file.is_null() {
        say(WHERE);
        // SAFETY: the bytes end with 0 and are never freed; `strlen` only reads.
        unsafe { libc::write(libc::STDERR_FILENO, file.cast(), libc::strlen(file)) };
    }
    say(KEPT);
    // SAFETY: ends the process; nothing else is run.
    unsafe { libc::_exit(1) };
}
