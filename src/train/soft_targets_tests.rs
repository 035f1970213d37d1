use super::*;

const STUDENT: [f64; 4] = [0.7, -1.2, 0.1, 0.4];
const TEACHER: [f64; 4] = [2.0, -0.5, -1.0, -0.5];

/// The gradient of `f` at `x` by central differences.
fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let at = |i: usize, by: f64| {
        let mut moved = x.to_vec();
        moved[i] += by;
        f(&moved)
    };
    (0..x.len()).map(|i| (at(i, step) - at(i, -step)) / (2.0 * step)).collect()
}

fn assert_near(a: &[f64], b: &[f64], within: f64) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= within), "{a:?}\n{b:?}");
}

#[test]
fn warmth_softens_and_large_logits_do_no_harm() {
    let cold = softmax(&TEACHER, 0.05);
    let warm = softmax(&TEACHER, 1e6);
    assert!(cold[0] > 0.999_999);
    assert_near(&warm, &[0.25; 4], 1e-5);
    // exp(1000) is no number, the probabilities are.
    assert_near(&softmax(&[1000.0, 1000.0 - 2_f64.ln()], 1.0), &[2.0 / 3.0, 1.0 / 3.0], 1e-12);
    assert_near(&softmax(&[3.0, 1.0], 2.0), &softmax(&[1.5, 0.5], 1.0), 1e-15);
    assert!((cross_entropy(&[0.0, 2000.0], &[1.0, 0.0], 1.0) - 2000.0).abs() < 1e-9);
}

#[test]
fn without_the_teacher_it_is_plain_cross_entropy() {
    let softness = Softness { temperature: 1.0, distill: 0.0, alpha: 1.0 };
    for label in 0..4 {
        let mut one_hot = [0.0; 4];
        one_hot[label] = 1.0;
        let loss = softness.loss(&STUDENT, &TEACHER, Some(label));
        assert!((loss - cross_entropy(&STUDENT, &one_hot, 1.0)).abs() < 1e-12);
        assert!((loss + softmax(&STUDENT, 1.0)[label].ln()).abs() < 1e-12);
    }
    // A teacher that is sure at T = 1 teaches as the label does.
    let sure = [0.0, 900.0, 0.0, 0.0];
    let taught = Softness { temperature: 1.0, distill: 1.0, alpha: 0.0 }.loss(&STUDENT, &sure, None);
    assert!((taught - student_loss(&STUDENT, 1)).abs() < 1e-9);
}

#[test]
fn the_sum_is_weighed_by_the_square_of_the_temperature() {
    let softness = Softness { temperature: 3.0, distill: 1.0, alpha: 0.4 };
    let want = 9.0 * distillation_loss(&STUDENT, &TEACHER, 3.0) + 0.4 * student_loss(&STUDENT, 2);
    assert!((softness.loss(&STUDENT, &TEACHER, Some(2)) - want).abs() < 1e-12);
    let unlabelled = 9.0 * distillation_loss(&STUDENT, &TEACHER, 3.0);
    assert!((softness.loss(&STUDENT, &TEACHER, None) - unlabelled).abs() < 1e-12);
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    for temperature in [0.5, 1.0, 4.0] {
        let found = distillation_gradient(&STUDENT, &TEACHER, temperature);
        let want = differences(&STUDENT, |z| distillation_loss(z, &TEACHER, temperature));
        assert_near(&found, &want, 1e-8);
    }
}

#[test]
fn at_high_temperatures_logits_are_matched() {
    // Both have a mean of 0. The error of the limit falls with 1 / T: a tenth for ten times the temperature.
    let (n, mut errors) = (4.0, Vec::new());
    assert!(STUDENT.iter().sum::<f64>().abs() < 1e-12 && TEACHER.iter().sum::<f64>().abs() < 1e-12);
    for t in [10.0, 100.0, 1000.0] {
        let found = distillation_gradient(&STUDENT, &TEACHER, t);
        let limit: Vec<f64> = STUDENT.iter().zip(TEACHER).map(|(z, v)| (z - v) / (n * t * t)).collect();
        let size = limit.iter().map(|g| g.abs()).fold(0.0, f64::max);
        errors.push(found.iter().zip(&limit).map(|(a, b)| (a - b).abs() / size).fold(0.0, f64::max));
        let matching = differences(&STUDENT, |z| logit_matching_loss(z, &TEACHER) / (t * t));
        assert_near(&matching, &limit, 1e-9);
    }
    assert!(errors[0] < 0.2 && errors[2] < 2e-3, "{errors:?}");
    assert!(errors.windows(2).all(|two| (two[0] / two[1] - 10.0).abs() < 3.0), "{errors:?}");
}

#[test]
fn the_players_gradients_are_those_of_the_value() {
    let discriminator = [0.3, -0.8, 1.4, -2.0];
    let game = Game {
        classifier: &STUDENT,
        teacher: &TEACHER,
        discriminator: &discriminator,
        label: 2,
        alpha: 0.3,
        beta: 0.7,
        gamma: 0.2,
    };
    let by_discriminator = differences(&discriminator, |d| Game { discriminator: d, ..game }.value());
    assert_near(&game.discriminator_gradient(), &by_discriminator, 1e-8);
    // Each lesson moves the one who learns alone.
    let by_classifier = differences(&STUDENT, |c| Game { classifier: c, gamma: 0.0, ..game }.value());
    assert_near(&game.classifier_gradient(), &by_classifier, 1e-8);
    let by_teacher = differences(&TEACHER, |t| Game { teacher: t, beta: 0.0, ..game }.value());
    assert_near(&game.teacher_gradient(), &by_teacher, 1e-8);
}

#[test]
fn a_soft_draw_hardens_and_follows_the_probabilities() {
    let logits = [1.0, 0.0, -1.0];
    let mut counts = [0.0; 3];
    let n = 4000;
    for k in 0..n {
        // An even cover of the cube by multiples of irrational numbers.
        let u = [0.819_172_513, 0.671_043_607, 0.549_700_478]
            .map(|a| (0.5 + a * f64::from(k)).fract().clamp(1e-9, 1.0 - 1e-9));
        let soft = gumbel_softmax(&logits, &u, 10.0);
        let hard = gumbel_softmax(&logits, &u, 1e-3);
        assert!(
            (soft.iter().sum::<f64>() - 1.0).abs() < 1e-9 && (hard.iter().sum::<f64>() - 1.0).abs() < 1e-9
        );
        let largest = |v: &[f64]| (0..3).max_by(|a, b| v[*a].total_cmp(&v[*b])).unwrap_or(0);
        assert_eq!(largest(&soft), largest(&hard));
        assert!(soft.iter().all(|p| *p < 0.9));
        counts[largest(&hard)] += 1.0 / f64::from(n);
    }
    assert_near(&counts, &softmax(&logits, 1.0), 0.02);
}
