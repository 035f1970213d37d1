//! The command line: parse, run, exit code.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::Parser;
use faceswap::{Error, Outcome, cli::Cli, crash, run::run, video};

/// Set by the first Ctrl-C; the second leaves at once.
static STOP: AtomicBool = AtomicBool::new(false);

/// The exit code after an interruption, as shells have it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    keep_freed_memory();
    // SAFETY: no handler is installed. Writing beyond the limit of a file's size gives an error then, as a full disk does.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|arg| arg == video::SERVE_FRAMES) {
        return serve_frames();
    }
    crash::tell_crashes();
    let cli = Cli::parse();
    let ignores_hangup = ignores_hangup();
    let listening = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            // SAFETY: ends the process; nothing else is run, since other threads are in the midst of their work.
            unsafe { libc::_exit(INTERRUPTED.into()) };
        }
    });
    if ignores_hangup {
        // SAFETY: the disposition that was there before is set again.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    }
    if let Err(e) = listening {
        eprintln!("warning: Ctrl-C will not end cleanly: {e}");
    }
    match std::panic::catch_unwind(|| run(cli, &STOP)) {
        Ok(Ok(Outcome::Whole)) => ExitCode::SUCCESS,
        Ok(Ok(Outcome::Damaged)) => ExitCode::from(3),
        Ok(Ok(Outcome::Exceeded)) => ExitCode::from(5),
        Ok(Err(e)) => {
            eprintln!("error: {e}");
            exit_code(&e)
        }
        // What it was about is on the terminal already.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Whether whoever started the run had it ignore the end of their terminal, as `nohup` does for what is to go on without one.
fn ignores_hangup() -> bool {
    // SAFETY: the present disposition is read into memory of our own, and nothing is set.
    unsafe {
        let mut now = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(libc::SIGHUP, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
    }
}

/// The process that decodes for another one. When that is gone, so is whoever might want to read why.
#[cfg(target_os = "linux")]
fn serve_frames() -> ExitCode {
    match video::serve_frames() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {} is for faceswap itself: {e}", video::SERVE_FRAMES);
            ExitCode::from(2)
        }
    }
}

/// Tells the C library to hold on to what is freed. A frame takes megabytes in every stage, and a training as much for
/// every layer; giving them back to the system each time costs a seventh of a run in page faults (measured at 720p and
/// 1080p; memory grows by 3 %).
fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets two numbers inside the allocator, before any other thread exists.
    unsafe {
        // No piece from the system for itself alone, which goes back when it is freed. A threshold does not do: the largest
        // that glibc takes is 32 MB, and a plane of 2160p in floats has 33.
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 512 << 20);
    }
}

/// 1: failed, no output; 2: a setting that can't be; 4: refused; 130: interrupted.
fn exit_code(error: &Error) -> ExitCode {
    match error {
        Error::BadSetting { .. } => ExitCode::from(2),
        Error::Refused { .. } => ExitCode::from(4),
        Error::Cancelled => ExitCode::from(INTERRUPTED),
        _ => ExitCode::FAILURE,
    }
}
