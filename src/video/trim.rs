//! Which part of a clip is wanted, and what is cut off with it.

use serde::{Deserialize, Serialize};

use super::clock::Join;
use crate::{Error, Result, frame::Frame};

/// The wanted part of a clip, in frames or in times; all limits that are given hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Trim {
    /// The first frame, counted from 0 as the input presents them.
    pub start_frame: Option<u64>,
    /// The first frame that is not wanted any more.
    pub end_frame: Option<u64>,
    /// Frames from this time on, seconds after the first frame.
    pub from_s: Option<f64>,
    /// Frames before this time, seconds after the first frame.
    pub to_s: Option<f64>,
}

impl Trim {
    /// Whether the begin of the clip is left out.
    pub fn cuts_start(&self) -> bool {
        self.start_frame.is_some() || self.from_s.is_some()
    }

    /// Whether its end is.
    pub fn cuts_end(&self) -> bool {
        self.end_frame.is_some() || self.to_s.is_some()
    }

    /// Checks that a part is left.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when the end is not after the start.
    pub fn checked(self) -> Result<Self> {
        if let (Some(start), Some(end)) = (self.start_frame, self.end_frame)
            && end <= start
        {
            return Err(Error::setting("--trim-frame-end", end, format!("must be above {start}, the start")));
        }
        if let (Some(from), Some(to)) = (self.from_s, self.to_s)
            && to <= from
        {
            return Err(Error::setting("--to", to, format!("must be above {from}, the value of --from")));
        }
        Ok(self)
    }

    /// Where a frame lies that is `since_first_s` after the first one.
    pub(super) fn place(&self, frame: &Frame, since_first_s: f64) -> Place {
        if self.end_frame.is_some_and(|end| frame.idx >= end)
            || self.to_s.is_some_and(|to| since_first_s > to - SLACK_S)
        {
            Place::Behind
        } else if self.start_frame.is_some_and(|start| frame.idx < start)
            || self.from_s.is_some_and(|from| since_first_s < from - SLACK_S)
        {
            Place::Before
        } else {
            Place::Within
        }
    }
}

/// Times that are typed are rounded; half a millisecond is less than any frame. Seconds.
pub(super) const SLACK_S: f64 = 5e-4;

/// Where a frame lies, seen from the wanted part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Before,
    Within,
    Behind,
}

/// What the other tracks have to lose, so that they begin and end with the picture, and where its clock jumped back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Seconds on the input's clock that become 0; everything before is left out.
    pub start_s: Option<f64>,
    /// Seconds on the input's clock; everything after is left out.
    pub end_s: Option<f64>,
    /// Where the picture's clock was set back; the times above are those after its shifts.
    #[serde(default)]
    pub joins: Vec<Join>,
}

/// A time as people type it: `75`, `75.5`, `1:15.5` or `0:01:15.5`, in seconds.
///
/// # Errors
/// [`Error::BadSetting`] under `name` for anything else.
pub fn parse_time(name: &str, text: &str) -> Result<f64> {
    let wrong = || Error::setting(name, text, "must be seconds or [H:]MM:SS, e.g. 75.5 or 1:15.5");
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    for part in parts {
        let plain = part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value = part.parse::<f64>().ok().filter(|v| plain && v.is_finite()).ok_or_else(wrong)?;
        seconds = seconds * 60.0 + value;
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_type_them() {
        for (text, wanted) in [("75.5", 75.5), ("1:15.5", 75.5), ("0:01:15.5", 75.5), ("2:00:00", 7200.0)] {
            assert_eq!(parse_time("--from", text).expect("a time"), wanted);
        }
        for text in ["", "-1", "1:2:3:4", "soon", "1:", "inf", "1e3"] {
            assert!(parse_time("--from", text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_part_is_refused() {
        let trim = Trim { start_frame: Some(10), end_frame: Some(10), ..Trim::default() };
        assert!(trim.checked().is_err());
        let trim = Trim { from_s: Some(1.0), to_s: Some(0.5), ..Trim::default() };
        assert!(trim.checked().expect_err("empty").to_string().contains("--from"));
    }
}
