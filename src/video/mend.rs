//! What is shown in the place of frames that can't be.

use std::collections::VecDeque;

use ffmpeg_next::{ffi::av_frame_ref, frame::Video};
use serde::{Deserialize, Serialize};

use super::{damage::Damage, feed::Shown};

/// What to do about frames that can't be decoded, or that are built on such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDamage {
    /// Shows the last good frame once more (before the first good one: that one), so that length and sync hold.
    #[default]
    Repeat,
    /// Leaves them out; the frames around them keep their times.
    Skip,
    /// Ends with an error.
    Stop,
}

/// Fills the place of spoilt frames.
pub(super) struct Mender {
    policy: OnDamage,
    /// Whether good frames are kept for what may come; costs a copy of each that is painted on.
    keeps: bool,
    last: Option<Video>,
    spoilt: Vec<Spoilt>,
    n_seen: u64,
}

struct Spoilt {
    number: u64,
    pts: Option<i64>,
    duration: i64,
    reason: String,
}

/// Tells the number of the frame and what is wrong with it.
pub(super) struct Stopped(pub u64, pub String);

impl Mender {
    pub(super) fn new(policy: OnDamage, keeps: bool) -> Self {
        Self { policy, keeps, last: None, spoilt: Vec::new(), n_seen: 0 }
    }

    /// Takes what the codec shows, and queues what is to be seen.
    pub(super) fn take(
        &mut self,
        shown: Shown,
        damage: &mut Damage,
        queue: &mut VecDeque<Video>,
    ) -> Result<(), Stopped> {
        self.n_seen += 1;
        match shown {
            Shown::Spoilt { reason, .. } if self.policy == OnDamage::Stop => {
                return Err(Stopped(self.n_seen - 1, reason));
            }
            // Whether it is in the middle or at a cut end shows later.
            Shown::Spoilt { pts, duration, reason } => {
                self.spoilt.push(Spoilt { number: self.n_seen - 1, pts, duration, reason });
            }
            Shown::Whole(frame) => {
                self.fill(&frame, damage, queue);
                self.last = self.keeps.then(|| shared(&frame));
                queue.push_back(frame);
            }
        }
        Ok(())
    }

    /// After the last frame. Spoilt frames at the end of a whole file are filled as any others; those before a cut
    /// are the cut. Returns the number of the first frame that is missing then, and how many are.
    pub(super) fn finish(
        &mut self,
        is_cut: bool,
        damage: &mut Damage,
        queue: &mut VecDeque<Video>,
    ) -> (u64, u64) {
        let n_spoilt = self.spoilt.len() as u64;
        if is_cut {
            self.spoilt.clear();
            return (self.n_seen - n_spoilt, n_spoilt);
        }
        if let Some(last) = self.last.take() {
            self.fill(&last, damage, queue);
        }
        (self.n_seen, 0)
    }

    /// Why there was no whole frame at all.
    pub(super) fn reason(&self) -> Option<&str> {
        self.spoilt.first().map(|spoilt| spoilt.reason.as_str())
    }

    /// Fills the places before `next`.
    fn fill(&mut self, next: &Video, damage: &mut Damage, queue: &mut VecDeque<Video>) {
        for Spoilt { number, pts, duration, reason } in self.spoilt.drain(..) {
            if self.policy == OnDamage::Repeat {
                let mut frame = shared(self.last.as_ref().unwrap_or(next));
                // SAFETY: the frame is alive and ours; plain fields are set.
                unsafe {
                    let raw = &mut *frame.as_mut_ptr();
                    raw.pts = pts.unwrap_or(ffmpeg_next::ffi::AV_NOPTS_VALUE);
                    raw.best_effort_timestamp = raw.pts;
                    raw.pkt_duration = duration;
                }
                queue.push_back(frame);
            }
            damage.note(number, reason);
        }
    }
}

/// The same frame once more, its samples shared.
fn shared(frame: &Video) -> Video {
    let mut copy = Video::empty();
    // SAFETY: a new frame takes references to the buffers of a live one.
    let code = unsafe { av_frame_ref(copy.as_mut_ptr(), frame.as_ptr()) };
    assert!(code >= 0, "no memory for a reference to a picture");
    copy
}
