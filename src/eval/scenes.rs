//! The swap made again, frame by frame beside the clips, so that its masks are known and other composites of the same
//! faces can be scored.

use std::collections::VecDeque;

use super::{
    EvalSettings,
    reels::{Reels, Role, Step},
};
use crate::{
    Result,
    blend::{GradeSettings, Grader},
    face::{
        self, Finder, FinderSettings, MaskSettings, Masker, Steadier, Template, Tracker, TrackerSettings,
        search::Effort,
    },
    frame::{Face, Found, FoundFace, Frame, NewFace, Seen, Swapped, Tracked},
    line::{Stage, single},
    nn::Runtime,
    progress::Watch,
    swap::{Bundle, Gaze, Swapper},
};

/// Where new faces come from.
enum Source {
    /// The networks of an identity, and its eyes turned.
    Network(Box<(Swapper, Gaze)>),
    /// The same place in another clip, which isolates the composite from the networks; in the target itself when
    /// no such clip is given.
    Clip,
}

/// One frame of all clips, with the new faces.
pub(super) struct Scene {
    pub(super) step: Step,
    /// The largest face of the target, as it was found.
    pub(super) target_face: Option<FoundFace>,
    /// The new faces, once for each of the grades that were asked for.
    pub(super) swapped: Vec<Swapped>,
}

/// Frames that wait for what the stages look ahead at.
struct Waiting {
    step: Step,
    target_face: Option<FoundFace>,
}

/// The clips and the line that runs beside them.
pub(super) struct Scenes {
    pub(super) reels: Reels,
    finder: Finder,
    tracker: Tracker,
    source: Source,
    masker: Masker,
    steadier: Steadier,
    grades: Vec<(Grader, VecDeque<Swapped>)>,
    waiting: VecDeque<Waiting>,
    /// Of those that wait, how many have their new faces.
    n_swapped: usize,
    is_end: bool,
}

impl Scenes {
    pub(super) fn open(
        settings: &EvalSettings,
        runtime: &Runtime,
        bundle: Option<&Bundle>,
        grades: &[GradeSettings],
    ) -> Result<Self> {
        let reels = Reels::open(settings)?;
        let upright = FinderSettings::default().upright(reels.target.decoder.probe().quarter_turns);
        let source = match bundle {
            Some(bundle) if settings.rendered.is_none() => {
                Source::Network(Box::new((Swapper::new(runtime, bundle, 1)?, Gaze::new(runtime)?)))
            }
            _ => Source::Clip,
        };
        Ok(Self {
            reels,
            finder: Finder::new(runtime, &upright)?,
            tracker: Tracker::new(&TrackerSettings::default()),
            source,
            masker: Masker::new(runtime, &MaskSettings::default())?,
            steadier: Steadier::default(),
            grades: grades.iter().map(|grade| (Grader::new(grade), VecDeque::new())).collect(),
            waiting: VecDeque::new(),
            n_swapped: 0,
            is_end: false,
        })
    }

    /// The largest face of a frame.
    pub(super) fn largest(&mut self, frame: &Frame) -> Result<Option<FoundFace>> {
        Ok(self.finder.find(frame, Effort::Careful)?.into_iter().next())
    }

    /// The next frame, or `None` after the last.
    pub(super) fn next(&mut self, watch: &Watch<'_>) -> Result<Option<Scene>> {
        while self.grades.iter().any(|(_, ready)| ready.is_empty()) {
            if self.is_end {
                return Ok(None);
            }
            match self.reels.next(watch)? {
                Some(step) => self.take(step)?,
                None => self.end()?,
            }
        }
        let Some(Waiting { step, target_face }) = self.waiting.pop_front() else { return Ok(None) };
        self.n_swapped -= 1;
        let swapped = self.grades.iter_mut().filter_map(|(_, ready)| ready.pop_front()).collect();
        Ok(Some(Scene { step, target_face, swapped }))
    }

    fn take(&mut self, step: Step) -> Result<()> {
        let frame = step.target.clone();
        let faces = self.finder.find(&frame, Effort::Careful)?;
        self.waiting.push_back(Waiting { step, target_face: faces.first().cloned() });
        match self.tracker.push(Found { frame, seen: Seen::Faces(faces), is_thorough: true })? {
            Some(tracked) => self.swap(tracked),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<()> {
        self.is_end = true;
        while let Some(tracked) = self.tracker.finish()? {
            self.swap(tracked)?;
        }
        while let Some(swapped) = self.steadier.finish()? {
            self.grade(&swapped)?;
        }
        for (grader, ready) in &mut self.grades {
            while let Some(swapped) = grader.finish()? {
                ready.push_back(swapped);
            }
        }
        Ok(())
    }

    /// Computes the new faces of a frame, and what of them is in view, as a swap does by default.
    fn swap(&mut self, tracked: Tracked) -> Result<()> {
        let step = &self.waiting[self.n_swapped].step;
        let mut swapped = match &mut self.source {
            Source::Network(made) => {
                let (swapper, gaze) = &mut **made;
                single(gaze, single(swapper, tracked)?)?
            }
            Source::Clip => cut_out(tracked, step.get(Role::Rendered).unwrap_or(&step.target)),
        };
        self.n_swapped += 1;
        self.masker.look(&mut swapped)?;
        match self.steadier.push(swapped)? {
            Some(steady) => self.grade(&steady),
            None => Ok(()),
        }
    }

    fn grade(&mut self, swapped: &Swapped) -> Result<()> {
        for (grader, ready) in &mut self.grades {
            ready.extend(grader.push(swapped.clone())?);
        }
        Ok(())
    }
}

/// The faces of a frame cut out of another one, as fine as they are there.
fn cut_out(tracked: Tracked, from: &Frame) -> Swapped {
    let Tracked { frame, faces, memory } = tracked;
    let cut = |face: Face| {
        let unit = face::align(&face.points, &Template::default(), face::DEFAULT_MARGIN, 1);
        let side = ((1.0 / unit.scale()).ceil().clamp(16.0, 2048.0)) as usize;
        let alignment = unit.scaled(side as f64);
        NewFace {
            pixels: face::crop(&from.picture, &alignment, side),
            target: face::crop(&frame.picture, &alignment, side),
            mask: None,
            visible: None,
            rims: None,
            grade: None,
            alignment,
            face,
        }
    };
    Swapped { faces: faces.into_iter().map(cut).collect(), frame, memory }
}
