//! What a tracker knows, written down so that another one can go on.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{association::Track, choose::Choices, scene::SceneCuts, witness::Gallery};
use crate::frame::{Face, Frame};

/// All that a tracker knows of the past of its clip.
///
/// A tracker that recalls the memory from before frame N, and gets the [`Memory::n_waiting`] frames before N again and
/// all after them, gives out the very faces that the first one gave from there on. Whatever a tracker keeps belongs in
/// here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Memory {
    pub(super) tracks: Vec<Track>,
    pub(super) n_tracks: u32,
    pub(super) scene_start: u32,
    pub(super) cuts: SceneCuts,
    pub(super) window: VecDeque<Held>,
    pub(super) n_done: usize,
    pub(super) galleries: BTreeMap<u32, Gallery>,
    pub(super) choices: Choices,
}

impl Memory {
    /// Frames whose pictures are needed again.
    pub fn n_waiting(&self) -> u64 {
        self.window.len().saturating_sub(self.n_done) as u64
    }
}

/// A frame that waits, or the points of one that went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Held {
    #[serde(skip)]
    pub(super) frame: Option<Frame>,
    /// What was known before this frame, at the seams.
    #[serde(skip)]
    pub(super) memory: Option<Box<Memory>>,
    pub(super) faces: Vec<Face>,
    /// Whether the whole frame was searched for faces, and thoroughly.
    pub(super) is_searched: bool,
    /// Whether a scene begins with it.
    pub(super) is_cut: bool,
}

impl Held {
    /// What is kept of it in a memory.
    pub(super) fn without_picture(&self) -> Self {
        Self { frame: None, memory: None, faces: self.faces.clone(), ..*self }
    }
}
