//! Puts the faces of a set into an order, and leaves out what teaches nothing. Pictures are never touched, only their lines
//! in the sidecar.

use std::{path::Path, str::FromStr};

use super::{
    FaceSet,
    quality::{Quality, blurred, copies},
};
use crate::{Error, Result};

/// What faces are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The sharpest first; what is much softer than the others is left out.
    Blur,
    /// From the left to the right of the picture, nodding within; nothing is left out.
    Pose,
    /// Like beside like; what is all but the same as a face before it is left out.
    Similarity,
}

impl FromStr for Order {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "blur" => Ok(Self::Blur),
            "pose" => Ok(Self::Pose),
            "similarity" => Ok(Self::Similarity),
            _ => Err(Error::setting("--by", name, "must be blur, pose or similarity")),
        }
    }
}

impl Order {
    /// Where faces begin to be left out: a share of the median's sharpness, or a mean difference of grey.
    pub fn usual_limit(self) -> f64 {
        match self {
            Self::Blur => 0.3,
            Self::Pose => 0.0,
            Self::Similarity => 0.012,
        }
    }
}

/// How many faces of a set are used, and how many this sorting has left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sorted {
    /// Faces that are used.
    pub n_kept: usize,
    /// Faces that were left out now.
    pub n_left_out: usize,
    /// Faces that had been left out before.
    pub n_before: usize,
}

/// Sorts the set in `dir`; `limit` says from where on faces are left out. The sidecar from before stays as
/// `faces.jsonl.bak`.
///
/// # Errors
/// [`Error::BadInput`] for a set that can't be read, [`Error::Io`] when its sidecar can't be written.
pub fn sort(dir: &Path, order: Order, limit: f64) -> Result<Sorted> {
    let mut set = FaceSet::open(dir)?;
    let faces: Vec<Quality> =
        set.entries.iter().map(|entry| Quality::of(&set, entry)).collect::<Result<_>>()?;
    let names: Vec<String> = set.entries.iter().map(|entry| entry.image.clone()).collect();
    let reasons: Vec<Option<String>> = match order {
        Order::Blur => blurred(&faces, limit).iter().map(|is| is.then(|| "blurred".into())).collect(),
        Order::Pose => vec![None; faces.len()],
        Order::Similarity => {
            let copies = copies(&faces, limit);
            copies.iter().map(|of| of.map(|i| format!("all but the same as {}", names[i]))).collect()
        }
    };
    let n_before = set.excluded.len();
    let mut entries: Vec<_> = std::mem::take(&mut set.entries).into_iter().map(Some).collect();
    for i in positions(&faces, order) {
        let Some(mut entry) = entries[i].take() else { continue };
        entry.excluded.clone_from(&reasons[i]);
        if entry.excluded.is_some() { set.excluded.push(entry) } else { set.entries.push(entry) }
    }
    if set.entries.is_empty() && !faces.is_empty() {
        return Err(Error::setting("--limit", limit, "would leave out every face; give a lower one"));
    }
    set.rewrite()?;
    let n_left_out = set.excluded.len() - n_before;
    Ok(Sorted { n_kept: set.entries.len(), n_left_out, n_before })
}

/// Takes back what was left out, and gives how many faces that were.
///
/// # Errors
/// As [`sort`].
pub fn restore(dir: &Path) -> Result<usize> {
    let mut set = FaceSet::open(dir)?;
    let n = set.excluded.len();
    for mut entry in std::mem::take(&mut set.excluded) {
        entry.excluded = None;
        set.entries.push(entry);
    }
    // The order in which they were cut.
    set.entries.sort_by(|a, b| a.image.cmp(&b.image));
    set.rewrite()?;
    Ok(n)
}

/// The faces in their new order, by their places in the old one.
fn positions(faces: &[Quality], order: Order) -> Vec<usize> {
    let mut places: Vec<usize> = (0..faces.len()).collect();
    match order {
        Order::Blur => places.sort_by(|a, b| faces[*b].sharpness.total_cmp(&faces[*a].sharpness)),
        Order::Pose => {
            let key = |i: usize| faces[i].look.map_or((f64::MAX, 0.0), |look| (look.yaw_deg, look.pitch_deg));
            places.sort_by(|a, b| {
                let (a, b) = (key(*a), key(*b));
                a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
            });
        }
        Order::Similarity => {
            // From one to the nearest that is left.
            for i in 1..places.len() {
                let before = &faces[places[i - 1]];
                let nearest = (i..places.len()).min_by(|a, b| {
                    before.distance(&faces[places[*a]]).total_cmp(&before.distance(&faces[places[*b]]))
                });
                places.swap(i, nearest.unwrap_or(i));
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

    use std::fs;

    use ndarray::{Array2, Array3};

    use super::*;
    use crate::face_set::{FaceRecord, FaceSetHeader, FaceSetWriter};

    /// Stripes of these periods (0 for a soft slope), each in a shade.
    fn set(dir: &Path, faces: &[(usize, f32)]) {
        let mut set = FaceSetWriter::create(dir, &FaceSetHeader::new("t", 1.3, 32)).unwrap();
        for (frame, (period, shade)) in faces.iter().enumerate() {
            let value = |x: usize| match period {
                0 => x as f32 / 32.0,
                period => f32::from(x % period < period / 2),
            };
            let pixels = Array3::from_shape_fn((3, 32, 32), |(_, _, x)| shade * (0.3 + 0.7 * value(x)));
            set.append(&FaceRecord {
                pixels,
                target: None,
                mask: Array2::ones((32, 32)),
                source: "clip.mp4".into(),
                frame: frame as u64,
                points: vec![[1.0, 1.0]; 478],
                presence: 1.0,
            })
            .unwrap();
        }
        set.finish().unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        FaceSet::open(dir).unwrap().entries.into_iter().map(|entry| entry.image).collect()
    }

    #[test]
    fn what_is_blurred_is_left_out_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), &[(4, 1.0), (0, 1.0), (4, 0.5), (2, 0.9)]);
        let before = fs::read(dir.path().join("faces.jsonl")).unwrap();
        let sorted = sort(dir.path(), Order::Blur, 0.3).unwrap();
        assert_eq!(sorted, Sorted { n_kept: 3, n_left_out: 1, n_before: 0 });
        assert_eq!(names(dir.path())[0], "000003.png", "the finest stripes come first");
        assert_eq!(fs::read(dir.path().join("faces.jsonl.bak")).unwrap(), before);
        assert!(dir.path().join("000001.png").exists(), "no picture is touched");
        // What is added later gets a number of its own.
        let more = FaceSetWriter::create(dir.path(), &FaceSetHeader::new("t", 1.3, 32));
        drop(more.unwrap());
        assert_eq!(sort(dir.path(), Order::Blur, 0.3).unwrap().n_before, 1);
        assert_eq!(restore(dir.path()).unwrap(), 1);
        assert_eq!(fs::read(dir.path().join("faces.jsonl")).unwrap(), before);
    }

    #[test]
    fn copies_are_left_out_and_say_of_what() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), &[(8, 1.0), (0, 0.9), (8, 0.995), (8, 0.6)]);
        assert_eq!(sort(dir.path(), Order::Similarity, 0.012).unwrap().n_left_out, 1);
        let set = FaceSet::open(dir.path()).unwrap();
        assert_eq!(set.excluded[0].image, "000002.png");
        assert_eq!(set.excluded[0].excluded.as_deref(), Some("all but the same as 000000.png"));
        let told = sort(dir.path(), Order::Blur, 1e9).unwrap_err().to_string();
        assert!(told.contains("every face"), "{told}");
        assert_eq!(names(dir.path()).len(), 3, "a refusal changes nothing");
    }

    #[test]
    fn orders_have_names() {
        for (name, order) in [("blur", Order::Blur), ("pose", Order::Pose), ("similarity", Order::Similarity)]
        {
            assert_eq!(name.parse::<Order>().unwrap(), order);
        }
        assert!("size".parse::<Order>().unwrap_err().to_string().contains("similarity"));
    }
}
