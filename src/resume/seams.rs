//! Where a video is cut into segments, and how far before a cut the line has to start again.

/// Frames that go through the line again before the first one of a stretch, so that every stage behind the tracker
/// that looks back sees what it saw the first time: two windows of 16 frames, one behind the other. The tracker itself
/// gets its memory back.
pub const WARM_UP_FRAMES: u64 = 32;

/// The cuts of one job. They stand at fixed numbers of frames, so that a run that was interrupted encodes the same
/// segments as one that wasn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seams {
    segment_frames: u64,
}

impl Seams {
    /// A cut every `segment_frames` frames, at least 1.
    pub fn every(segment_frames: u64) -> Self {
        Self { segment_frames: segment_frames.max(1) }
    }

    /// No cut at all: the whole clip is one segment.
    pub fn never() -> Self {
        Self::every(u64::MAX)
    }

    /// Whether there is no cut.
    pub fn is_never(&self) -> bool {
        self.segment_frames == u64::MAX
    }

    /// Number of the segment that holds a frame.
    pub fn segment_of(&self, frame: u64) -> u64 {
        frame / self.segment_frames
    }

    /// The first frame of a segment.
    pub fn first_frame(&self, segment: u64) -> u64 {
        segment.saturating_mul(self.segment_frames)
    }

    /// Frames behind this one in its segment.
    pub fn frames_to_go(&self, frame: u64) -> u64 {
        self.segment_frames - 1 - frame % self.segment_frames
    }

    /// The frame at which the line starts again so that a segment comes out as in one go.
    pub fn warm_up(&self, segment: u64) -> u64 {
        self.first_frame(segment).saturating_sub(WARM_UP_FRAMES)
    }

    /// Whether a later run may start at this frame, and so needs to know what the tracker knew before it. At the very
    /// first nothing was known.
    pub fn is_start(&self, frame: u64) -> bool {
        frame > 0 && self.warm_up(self.segment_of(frame + WARM_UP_FRAMES)) == frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_has_a_start() {
        for length in [1, 7, WARM_UP_FRAMES, 250] {
            let seams = Seams::every(length);
            for segment in 0..40 {
                let (first, start) = (seams.first_frame(segment), seams.warm_up(segment));
                assert_eq!(
                    (seams.segment_of(first), seams.segment_of(first + length - 1)),
                    (segment, segment)
                );
                assert!(start == 0 || (seams.is_start(start) && first - start == WARM_UP_FRAMES));
            }
            let starts: Vec<u64> = (0..20 * length).filter(|frame| seams.is_start(*frame)).collect();
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == length), "{length}: {starts:?}");
        }
        assert!(!Seams::every(250).is_start(0));
    }
}
