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
}
