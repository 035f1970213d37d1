//! Curves that several places share.

use std::ops::{Mul, Sub};

/// 0 up to 0, 1 from 1 on, and a step without corners between: t^2 (3 - 2 t). What is no number stays none.
pub(crate) fn smooth_step<T>(t: T) -> T
where
    T: Copy + PartialOrd + From<f32> + Mul<Output = T> + Sub<Output = T>,
{
    let [zero, one, two, three] = [0.0, 1.0, 2.0, 3.0].map(T::from);
    let t = if t < zero { zero } else { t };
    let t = if t > one { one } else { t };
    t * t * (three - two * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_from_nothing_to_all_and_its_halves_are_alike() {
        assert_eq!([-3.0, 0.0, 0.5, 1.0, 7.0].map(smooth_step), [0.0, 0.0, 0.5, 1.0, 1.0]);
        assert!(smooth_step(f32::NAN).is_nan());
        for i in 0..100 {
            let t = f64::from(i) / 100.0;
            assert!(smooth_step(t) < smooth_step(t + 0.01));
            assert!((smooth_step(t) + smooth_step(1.0 - t) - 1.0).abs() < 1e-12);
        }
    }
}
