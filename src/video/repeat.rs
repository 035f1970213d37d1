//! The same bytes for the same frames, whatever lay in memory before.

use std::sync::{Mutex, PoisonError};

/// While one lives, all memory that the process asks for is zeroed.
///
/// libx264 (seen in version 164, with its tree of macroblocks and adaptive B-frames) looks at parts of its frames that it
/// never wrote. In a fresh process these are zeros; an encoder that comes after another one finds what that left, and
/// chooses other bytes each time. A segment must come out as it would have in another run, so its encoder always finds
/// zeros. glibc does that for its tests of programs, and the price is small while only the encoder is at work; other
/// C libraries don't, and give other bytes of the same quality.
pub(super) struct ZeroedMemory(());

/// How many there are: the switch is one for the whole process, and files may be worked on side by side.
static USERS: Mutex<usize> = Mutex::new(0);

impl ZeroedMemory {
    /// Switches it on for encoders that need it.
    pub(super) fn for_encoder(name: &str) -> Option<Self> {
        if !name.starts_with("libx264") {
            return None;
        }
        let mut n_users = USERS.lock().unwrap_or_else(PoisonError::into_inner);
        *n_users += 1;
        if *n_users == 1 {
            fill(0xff);
        }
        Some(Self(()))
    }
}

impl Drop for ZeroedMemory {
    fn drop(&mut self) {
        let mut n_users = USERS.lock().unwrap_or_else(PoisonError::into_inner);
        *n_users -= 1;
        if *n_users == 0 {
            fill(0);
        }
    }
}

/// What is asked for is filled with the complement of `byte`; 0 ends it.
fn fill(byte: i32) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets a number inside the allocator, which takes its own lock.
    unsafe {
        libc::mallopt(libc::M_PERTURB, byte);
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = byte;
}
