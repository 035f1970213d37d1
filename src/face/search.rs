//! Where in a frame faces are looked for, and how often: what takes long is done in few frames.
//!
//! A search costs one look of the network (4.4 ms) or two. What it misses is looked for now and then: heads that lie on
//! their side or stand upside down, and faces below a twelfth of the frame's long side, which take tiles of a larger
//! picture, 4 to 8 for those down to about a thirtieth, 148 more for 24 pixels in a 4K frame. The tracker follows a face that
//! was found once with the mesh network, whatever its angle and size. Which frames are searched how depends on their
//! numbers alone, so that any thread may search any frame, and a run that goes on searches the same.

use super::detect::SIDE;
use crate::{Error, Result};

/// Every second searched frame is searched with care, every third for smaller faces, and every 24th in all sizes.
const CAREFUL_EVERY: u64 = 2;
const WIDE_EVERY: u64 = 3;
const WHOLE_EVERY: u64 = 24;
/// Least size of a face in the picture that the network looks at, pixels: 14 are found in 95 %, 16 always.
const LEAST_PX: f64 = 14.4;
/// Least size of a face in the frame that is looked for, pixels.
const SMALLEST_PX: f64 = 24.0;
/// How much of a larger picture than the coarsest is laid over each other, pixels: the largest face that it is for.
const OVERLAP: usize = 32;
/// The same of the coarsest one.
const COARSE_OVERLAP: usize = 48;

/// How carefully a frame is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// For what can be seen in the whole frame.
    Quick,
    /// When that is nothing, for heads at any angle.
    Careful,
    /// The same, and for faces down to about a thirtieth of the long side.
    Wide,
    /// For faces of any size and at any angle: where a scene begins, and once in a while.
    Whole,
}

impl Effort {
    /// That of frame `idx` where each frame is searched whose number `every` divides.
    pub fn at(idx: u64, every: u64) -> Self {
        let search = idx / every.max(1);
        if search.is_multiple_of(WHOLE_EVERY) {
            Self::Whole
        } else if search.is_multiple_of(WIDE_EVERY) {
            Self::Wide
        } else if search.is_multiple_of(CAREFUL_EVERY) {
            Self::Careful
        } else {
            Self::Quick
        }
    }
}

/// How heads may stand in the picture.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub enum Angles {
    /// Upright, up to 60 degrees to the side; any way where nothing is found or it looks doubtful.
    #[default]
    Auto,
    /// About these clockwise quarter turns, 0..=3, in every searched frame and at no others.
    Given(Vec<u8>),
}

impl Angles {
    /// `auto`, or some of 0, 90, 180 and 270 with commas between them.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the choices.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let quarter = |part: &str| match part.trim() {
            "0" => Some(0),
            "90" => Some(1),
            "180" => Some(2),
            "270" => Some(3),
            _ => None,
        };
        let mut quarters: Vec<u8> = text.split(',').map(quarter).collect::<Option<_>>().ok_or_else(|| {
            Error::setting(
                "--face-detector-angles",
                text,
                "must be auto or some of 0, 90, 180 and 270 (degrees clockwise) with commas, e.g. 0,180; a head that \
                 leans less than 60 degrees from one of them is found",
            )
        })?;
        quarters.sort_unstable();
        quarters.dedup();
        Ok(Self::Given(quarters))
    }
}

/// When to look for faces below a twelfth of the frame's long side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum SmallFaces {
    /// Never.
    Never,
    /// On the schedule, in frames that show no much larger face.
    #[default]
    Auto,
    /// In every frame that is searched, down to 24 pixels.
    Always,
}

impl SmallFaces {
    /// `auto`, `always`, `never`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the choices.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(Error::setting("--small-faces", text, "the choices are auto, always and never")),
        }
    }
}

/// A picture that is searched in tiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Its long side, pixels.
    pub long_side: usize,
    /// Pixels by which its tiles overlap.
    pub overlap: usize,
    /// Share of the frame's long side up to which another face leaves this level worth a look.
    up_to: f64,
}

impl Level {
    /// Whether it is worth a look when the largest face found so far takes this share of the frame's long side.
    pub fn is_wanted(&self, largest: f64) -> bool {
        largest <= self.up_to
    }
}

/// The pictures that a frame of this long side is searched in, beside the whole one, the coarsest first: each is about
/// twice as large as the one before it, the last shows a face of 24 frame pixels in 14.
pub fn levels(long_side: usize, effort: Effort, small_faces: SmallFaces) -> Vec<Level> {
    let is_always = small_faces == SmallFaces::Always;
    if small_faces == SmallFaces::Never || (effort < Effort::Wide && !is_always) {
        return Vec::new();
    }
    let finest = LEAST_PX / SMALLEST_PX * long_side as f64;
    let halved = std::iter::successors(Some(finest), |side| Some(0.5 * side));
    let mut sides: Vec<usize> =
        halved.take_while(|side| *side > 1.5 * SIDE as f64).map(|side| side.round() as usize).collect();
    sides.reverse();
    if effort != Effort::Whole && !is_always {
        sides.truncate(1);
    }
    let level = |(i, side): (usize, &usize)| Level {
        long_side: *side,
        overlap: if i == 0 { COARSE_OVERLAP } else { OVERLAP },
        // Faces beside one three times as large as the largest that this level is for are the crowd behind it.
        up_to: if is_always { f64::INFINITY } else { 3.0 * OVERLAP as f64 / *side as f64 },
    };
    sides.iter().enumerate().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_follows_from_the_number_of_the_frame() {
        let efforts: Vec<Effort> = (0..5).map(|i| Effort::at(6 * i, 6)).collect();
        assert_eq!(efforts, [Effort::Whole, Effort::Quick, Effort::Careful, Effort::Wide, Effort::Careful]);
        assert_eq!(
            (Effort::at(144, 6), Effort::at(24, 1), Effort::at(25, 1)),
            (Effort::Whole, Effort::Whole, Effort::Quick)
        );
    }

    #[test]
    fn every_size_of_face_is_covered_by_some_level() {
        for long_side in [640, 1280, 1920, 3840, 7680] {
            let whole = levels(long_side, Effort::Whole, SmallFaces::Auto);
            // The sizes of faces, pixels, that each look finds for certain: from the least it sees to its overlap, the
            // whole frame up to any.
            let mut ranges = vec![(LEAST_PX / SIDE as f64 * long_side as f64, f64::INFINITY)];
            let frame_px = |px: f64, level: &Level| px * long_side as f64 / level.long_side as f64;
            ranges.extend(whole.iter().map(|l| (frame_px(LEAST_PX, l), frame_px(l.overlap as f64, l))));
            for size in 24..400 {
                let size = f64::from(size);
                assert!(
                    ranges.iter().any(|(a, b)| (a - 0.1..=*b).contains(&size)),
                    "{size} px of {long_side}: {ranges:?}"
                );
            }
            assert!(whole.iter().all(|level| level.long_side < long_side), "nothing is enlarged");
            assert_eq!(levels(long_side, Effort::Wide, SmallFaces::Auto).as_slice(), &whole[..1]);
            assert_eq!(levels(long_side, Effort::Careful, SmallFaces::Auto), []);
            assert_eq!(levels(long_side, Effort::Quick, SmallFaces::Always).len(), whole.len());
            assert_eq!(levels(long_side, Effort::Quick, SmallFaces::Auto), []);
            assert_eq!(levels(long_side, Effort::Whole, SmallFaces::Never), []);
        }
        assert_eq!(levels(320, Effort::Whole, SmallFaces::Always), [], "a small frame shows all in one look");
    }

    #[test]
    fn a_portrait_is_not_searched_for_the_crowd_behind_it() {
        let [coarse, .., fine] = levels(3840, Effort::Whole, SmallFaces::Auto)[..] else {
            panic!("three levels")
        };
        assert!(coarse.is_wanted(0.0) && coarse.is_wanted(0.1) && !coarse.is_wanted(0.3));
        assert!(fine.is_wanted(0.02) && !fine.is_wanted(0.1));
        let [always, ..] = levels(3840, Effort::Whole, SmallFaces::Always)[..] else {
            panic!("three levels")
        };
        assert!(always.is_wanted(0.9));
    }

    #[test]
    fn what_is_typed_is_an_angle_or_an_error_with_the_choices() {
        assert_eq!(Angles::parse("auto").ok(), Some(Angles::Auto));
        assert_eq!(Angles::parse("270, 0,90,0").ok(), Some(Angles::Given(vec![0, 1, 3])));
        for bad in ["", "45", "0;90", "-90", "90,", "360"] {
            let told = Angles::parse(bad).expect_err("refused").to_string();
            assert!(told.contains("--face-detector-angles") && told.contains("0, 90, 180 and 270"), "{told}");
        }
        assert_eq!(SmallFaces::parse("always").ok(), Some(SmallFaces::Always));
        assert!(
            SmallFaces::parse("yes").expect_err("refused").to_string().contains("auto, always and never")
        );
    }
}
