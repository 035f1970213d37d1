//! Numbered pictures as a clip.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    damage::{Damage, DamagedFrames},
    decode::DecodeSettings,
    mend::OnDamage,
    openexr,
    pattern::Pattern,
    picture::Picture,
    probe::Probe,
    reel::{Misfit, Shaper},
    still,
};
use crate::{Error, Result, frame::Frame};

/// Reads the pictures of a sequence in the order of their numbers, at a steady rate.
pub(super) struct Sequence {
    pattern: Pattern,
    /// What is left to read: numbers, with holes between them.
    numbers: VecDeque<u64>,
    next: u64,
    policy: OnDamage,
    max_pixels: usize,
    shaper: Shaper,
    last: Option<Picture>,
    n_seen: u64,
    n_frames: u64,
    damage: Damage,
}

impl Sequence {
    /// Opens the sequence, shown at `rate` frames per second. Unless something else is asked, a hole or a cut picture is
    /// an error that names all of them.
    ///
    /// # Errors
    /// [`Error::BadInput`] for holes and pictures that are cut off, [`Error::Io`] when the folder can't be read.
    pub(super) fn open(
        path: &Path,
        pattern: Pattern,
        rate: (i32, i32),
        settings: &DecodeSettings,
    ) -> Result<(Self, Probe)> {
        let numbers = pattern.numbers()?;
        let policy = settings.on_damage.unwrap_or(OnDamage::Stop);
        if policy == OnDamage::Stop {
            check(path, &pattern, &numbers)?;
        }
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        let readable = numbers.iter().find_map(|n| read(&pattern, *n, settings.max_pixels).ok());
        // When none can be read, the first one says why.
        let picture = match readable {
            Some(picture) => picture,
            None => read(&pattern, first, settings.max_pixels)?,
        };
        let probe = Probe {
            path: path.into(),
            size_px: picture.size_px(),
            display_size_px: picture.size_px(),
            quarter_turns: 0,
            is_mirrored: false,
            time_base: (rate.1, rate.0),
            frame_rate: rate,
            n_frames_hint: Some(last - first + 1),
            duration_s: Some((last - first + 1) as f64 * f64::from(rate.1) / f64::from(rate.0)),
            container: Probe::SEQUENCE.into(),
            codec: Probe::SEQUENCE.into(),
            pixel_format: picture.pixel_format().into(),
            bit_depth: picture.bit_depth(),
            interlaced: false,
            stream: 0,
            n_other_video: 0,
            n_audio: 0,
            n_subtitle: 0,
        };
        let sequence = Self {
            pattern,
            next: first,
            numbers: numbers.into(),
            policy,
            max_pixels: settings.max_pixels,
            shaper: Shaper::default(),
            // What stands for pictures before the first that can be read.
            last: Some(picture),
            n_seen: 0,
            n_frames: 0,
            damage: Damage::default(),
        };
        Ok((sequence, probe))
    }

    pub(super) fn damage(&self) -> &[DamagedFrames] {
        self.damage.ranges()
    }

    /// Number of the picture that was read last.
    pub(super) fn number(&self) -> u64 {
        self.next - 1
    }

    /// Goes on with frame number `frame`, as the pictures are counted, where none of them can be left out or missing. Gives
    /// the number of the next one.
    pub(super) fn skip_to(&mut self, frame: u64) -> u64 {
        if self.policy == OnDamage::Stop && frame > self.n_frames {
            let n_passed = (frame - self.n_frames).min(self.numbers.len() as u64);
            self.numbers.drain(..n_passed as usize);
            for count in [&mut self.next, &mut self.n_seen, &mut self.n_frames] {
                *count += n_passed;
            }
        }
        self.n_frames
    }

    fn read_next(&mut self) -> Result<Option<Picture>> {
        loop {
            let Some(known) = self.numbers.front().copied() else { return Ok(None) };
            let (number, path) = (self.n_seen, self.pattern.path(self.next));
            let result = if known == self.next {
                self.numbers.pop_front();
                read(&self.pattern, known, self.max_pixels)
            } else {
                Err(Error::input(&path, "missing"))
            };
            self.next += 1;
            self.n_seen += 1;
            match result {
                Ok(picture) => {
                    self.last = Some(picture.clone());
                    return Ok(Some(picture));
                }
                Err(e @ (Error::BadInput { .. } | Error::Io { .. })) => match self.policy {
                    OnDamage::Stop => return Err(e),
                    OnDamage::Skip => self.damage.note(number, e.to_string()),
                    OnDamage::Repeat => {
                        self.damage.note(number, e.to_string());
                        return Ok(self.last.clone());
                    }
                },
                Err(e) => return Err(e),
            }
        }
    }

    fn deliver(&mut self, picture: Picture) -> Result<Frame> {
        // Pictures that were left out leave their time to the one before.
        let (idx, pts) = (self.n_frames, self.n_seen as i64 - 1);
        let path = self.pattern.path(self.next - 1);
        let origin = picture.origin();
        let (frame, note) = self.shaper.shaped(picture.into_frame()).map_err(|e| match e {
            Misfit::Unsupported(reason) | Misfit::Failed(reason) => Error::input(&path, reason),
        })?;
        if let Some(note) = note {
            return Err(Error::input(&path, format!("{note}: pictures of a sequence have one size")));
        }
        let picture = Picture::from_frame(frame, pts, 1)
            .map_err(|_| Error::input(&path, "a picture whose samples can't be read"))?
            .with_origin(origin);
        self.n_frames += 1;
        Ok(Frame { idx, picture })
    }
}

impl Iterator for Sequence {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_next().and_then(|p| p.map(|picture| self.deliver(picture)).transpose());
        if next.is_err() {
            self.numbers.clear();
        }
        next.transpose()
    }
}

fn read(pattern: &Pattern, n: u64, max_pixels: usize) -> Result<Picture> {
    let path = pattern.path(n);
    still::read_picture_within(&path, max_pixels).map(|frame| frame.picture.of_file(&path))
}

/// Names all holes and all pictures that are cut off.
fn check(path: &Path, pattern: &Pattern, numbers: &[u64]) -> Result<()> {
    const SHOWN: usize = 8;
    let mut wrong = Vec::new();
    for pair in numbers.windows(2) {
        match pair[1] - pair[0] {
            1 => {}
            2 => wrong.push(format!("{} is missing", name(&pattern.path(pair[0] + 1)))),
            _ => {
                let (first, last) = (pattern.path(pair[0] + 1), pattern.path(pair[1] - 1));
                wrong.push(format!("{} to {} are missing", name(&first), name(&last)));
            }
        }
    }
    for n in numbers {
        let path = pattern.path(*n);
        if is_cut(&path).map_err(Error::io(&path))? {
            wrong.push(format!("{} is cut off", name(&path)));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(SHOWN);
    wrong.truncate(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let reason = format!("{}{more}; --on-damage=repeat or skip goes on", wrong.join(", "));
    Err(Error::input(path, reason))
}

fn name(path: &Path) -> String {
    PathBuf::from(path.file_name().unwrap_or_default()).display().to_string()
}

/// Whether a picture lacks its end: PNG, JPEG and OpenEXR say where it is.
fn is_cut(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = [0; 4];
    if length < 32 {
        return Ok(true);
    }
    file.read_exact(&mut head)?;
    let mut tail = vec![0; length.min(1024) as usize];
    file.seek(SeekFrom::End(-(tail.len() as i64)))?;
    file.read_exact(&mut tail)?;
    let holds = |end: &[u8]| tail.windows(end.len()).any(|bytes| bytes == end);
    Ok(match head {
        [0x89, b'P', b'N', b'G'] => !holds(b"IEND"),
        [0xff, 0xd8, 0xff, _] => !holds(&[0xff, 0xd9]),
        openexr::MAGIC => openexr::is_cut(path)?,
        _ => false,
    })
}
