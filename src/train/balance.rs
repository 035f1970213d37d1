//! How rare a face is among the others of its set: rare poses and expressions are drawn more often.

use crate::face::Look;

/// Most that a face is worth more than the commonest one.
const MOST: f32 = 8.0;

/// Where one bin ends and the next begins: yaw and pitch in degrees, opening of mouth and eyes and the gaze
/// as in [`Look`].
const YAW_DEG: [f64; 8] = [-45.0, -30.0, -18.0, -6.0, 6.0, 18.0, 30.0, 45.0];
const PITCH_DEG: [f64; 6] = [-25.0, -15.0, -5.0, 5.0, 15.0, 25.0];
const MOUTH: [f64; 4] = [0.04, 0.12, 0.25, 0.45];
const EYES: [f64; 4] = [0.1, 0.18, 0.26, 0.36];
const GAZE: [f64; 6] = [-0.18, -0.11, -0.04, 0.04, 0.11, 0.18];

/// What of a face is counted.
type Trait = fn(&Look) -> f64;

/// For each face a number of 1 / 8 to 1: 1 for the rarest. A face is as rare as its rarest trait (histogram over yaw,
/// pitch, mouth, eyes and gaze); one whose points say nothing is common.
pub fn rarity(looks: &[Option<Look>]) -> Vec<f32> {
    let traits: [(Trait, &[f64]); 5] = [
        (|look| look.yaw_deg, &YAW_DEG),
        (|look| look.pitch_deg, &PITCH_DEG),
        (|look| look.mouth, &MOUTH),
        (|look| look.eyes, &EYES),
        (|look| look.gaze, &GAZE),
    ];
    let mut worth = vec![0.0_f32; looks.len()];
    for (value, edges) in traits {
        let bin = |look: &Option<Look>| look.map(|look| edges.partition_point(|edge| *edge < value(&look)));
        let mut counts = vec![0_usize; edges.len() + 1];
        looks.iter().filter_map(bin).for_each(|bin| counts[bin] += 1);
        let most = counts.iter().copied().max().unwrap_or(1) as f32;
        for (worth, bin) in worth.iter_mut().zip(looks.iter().map(bin)) {
            *worth = worth.max(bin.map_or(1.0, |bin| most / counts[bin] as f32).min(MOST));
        }
    }
    let highest = worth.iter().copied().fold(1.0, f32::max);
    worth.iter().map(|worth| worth / highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(yaw_deg: f64) -> Look {
        Look { yaw_deg, pitch_deg: 0.0, mouth: 0.0, eyes: 0.3, gaze: 0.0 }
    }

    #[test]
    fn rare_faces_are_worth_more_and_none_too_much() {
        let mut looks = vec![Some(turned(0.0)); 40];
        looks.extend([Some(turned(40.0)); 10]);
        looks.push(Some(turned(-60.0)));
        looks.push(None);
        let rarity = rarity(&looks);
        assert!((rarity[0] - 1.0 / 8.0).abs() < 1e-6, "{}", rarity[0]);
        assert!((rarity[40] - 4.0 / 8.0).abs() < 1e-6, "10 of 40: {}", rarity[40]);
        assert_eq!((rarity[50], rarity[51]), (1.0, rarity[0]), "1 of 40 counts as 1 of 8");
    }

    #[test]
    fn equal_faces_are_worth_the_same() {
        assert_eq!(rarity(&[0.0, 1.0].map(turned).map(Some)), [1.0, 1.0]);
        assert!(rarity(&[]).is_empty());
    }
}
