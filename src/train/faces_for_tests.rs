//! Small face sets for tests.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3};

use crate::{
    face_set::{FaceRecord, FaceSetHeader, FaceSetWriter},
    nn::{Runtime, RuntimeSettings},
};

/// Side of the striped faces, pixels.
pub const SIDE_PX: usize = 24;

/// A set of `faces`, which are squares of one size, in the folder `dir`; it may be empty.
pub fn face_set(dir: &Path, margin: f64, faces: impl IntoIterator<Item = FaceRecord>) -> PathBuf {
    let mut faces = faces.into_iter().peekable();
    let side_px = faces.peek().map_or(SIDE_PX, |face| face.pixels.dim().1);
    let header = FaceSetHeader::new("mesh-inner-v1", margin, side_px);
    let mut set = FaceSetWriter::create(dir, &header).expect("a new folder");
    faces.for_each(|face| set.append(&face).expect("a written face"));
    set.finish().expect("a written set");
    dir.into()
}

/// A picture as the face of a frame: all of it, with points spread over it and no truth.
pub fn record(frame: usize, pixels: Array3<f32>) -> FaceRecord {
    let side = pixels.dim().1;
    let at = |cell: usize| (side / 4 + cell) as f32;
    FaceRecord {
        pixels,
        target: None,
        mask: Array2::ones((side, side)),
        source: "clip.mp4".into(),
        frame: frame as u64,
        points: (0..478).map(|i| [at(i % 12), at(i / 40)]).collect(),
        presence: 1.0,
    }
}

/// Stripes in one colour, which move from frame to frame.
pub fn striped(frame: usize, colour: [f32; 3]) -> Array3<f32> {
    Array3::from_shape_fn((3, SIDE_PX, SIDE_PX), |(c, y, x)| {
        colour[c] * if (x + y + frame).is_multiple_of(5) { 0.7 } else { 1.0 }
    })
}

/// Says that a test is skipped where ONNX Runtime is missing.
pub fn no_runtime() -> bool {
    let missing = Runtime::load(&RuntimeSettings::default()).is_err();
    if missing {
        eprintln!("skipped: no ONNX Runtime");
    }
    missing
}
