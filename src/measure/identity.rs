//! Whose face is it? Mean distances between embeddings.

pub use crate::face::embedding::{Embedder, Embedding, N_VALUES, SAME_PERSON};

/// Mean distance of `faces` to each of `people`; `None` when one of the lists is empty.
pub fn mean_distance(faces: &[Embedding], people: &[Embedding]) -> Option<f64> {
    let n = faces.len() * people.len();
    let sum: f64 = faces.iter().flat_map(|a| people.iter().map(|b| a.distance(b))).sum();
    (n > 0).then(|| sum / n as f64)
}

/// Mean distance between each two of `faces`; `None` when there are fewer than two.
pub fn mean_distance_within(faces: &[Embedding]) -> Option<f64> {
    let n = faces.len() as f64;
    // Every face is at 0 from itself.
    mean_distance(faces, faces).filter(|_| n > 1.0).map(|mean| mean * n / (n - 1.0))
}

/// The middle of some faces; `None` of none.
pub fn mean(people: &[Embedding]) -> Option<Embedding> {
    let n_values = people.first()?.values().len();
    let mut sum = vec![0.0; n_values];
    for face in people {
        sum.iter_mut().zip(face.values()).for_each(|(sum, v)| *sum += v / people.len() as f32);
    }
    Some(Embedding::from_values(sum))
}

/// The share of `faces` that are nearer to the middle of `wanted` than to that of any of `others`, 0..=1; `None` when
/// there are no faces or none to compare with.
pub fn retrieval<'a>(
    faces: &[Embedding],
    wanted: &[Embedding],
    others: impl Iterator<Item = &'a [Embedding]>,
) -> Option<f64> {
    let wanted = mean(wanted)?;
    let others: Vec<Embedding> = others.filter_map(mean).collect();
    if faces.is_empty() || others.is_empty() {
        return None;
    }
    let is_found =
        |face: &&Embedding| others.iter().all(|other| face.distance(&wanted) < face.distance(other));
    Some(faces.iter().filter(is_found).count() as f64 / faces.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_euclidean_and_averaged_over_pairs() {
        let face = |x: f32, y: f32| Embedding::from_values(vec![x, y]);
        assert!((face(0.0, 0.3).distance(&face(0.4, 0.0)) - 0.5).abs() < 1e-6);
        let mean = mean_distance(&[face(0.0, 0.0), face(0.0, 1.0)], &[face(0.0, 0.0), face(0.0, 3.0)]);
        assert!((mean.unwrap_or(0.0) - (0.0 + 3.0 + 1.0 + 2.0) / 4.0).abs() < 1e-6);
        assert_eq!(mean_distance(&[], &[face(0.0, 0.0)]), None);
        let within = mean_distance_within(&[face(0.0, 0.0), face(0.0, 1.0), face(0.0, 3.0)]);
        assert!((within.unwrap_or(0.0) - 2.0).abs() < 1e-6, "1, 2 and 3");
        assert_eq!(mean_distance_within(&[face(0.0, 0.0)]), None);
    }

    #[test]
    fn faces_are_found_that_lie_nearest_to_their_person() {
        let face = |x: f32| Embedding::from_values(vec![x, 0.0]);
        let (wanted, other) = (vec![face(0.9), face(1.1)], vec![face(0.0)]);
        let found =
            retrieval(&[face(0.9), face(0.6), face(0.3), face(2.0)], &wanted, [&other[..]].into_iter());
        assert_eq!(found, Some(0.75));
        assert_eq!(retrieval(&[], &wanted, [&other[..]].into_iter()), None);
        assert_eq!(retrieval(&[face(1.0)], &wanted, std::iter::empty()), None);
    }
}
