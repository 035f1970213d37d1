//! Steps whose batches go through in parts where a device's memory isn't enough for the whole.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::data::Batch;

/// What is said when memory is missing, in small letters: by CUDA and LibTorch, by LibTorch on a CPU, by CubeCL.
const SAYINGS: [&str; 4] =
    ["out of memory", "can't allocate memory", "can't allocate buffer", "out_of_memory"];

/// The device has no memory left for it.
#[derive(Debug, PartialEq, Eq)]
pub struct NotEnough;

/// What `work` gives, unless it panics for want of memory, which is how the frameworks tell. Other panics go on their
/// way.
///
/// # Errors
/// [`NotEnough`].
pub fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, NotEnough> {
    // What a pass leaves half done is dropped with it: weights change later.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        if !is_want_of_memory(&*panic) {
            resume_unwind(panic);
        }
        NotEnough
    })
}

fn is_want_of_memory(panic: &(dyn Any + Send)) -> bool {
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    said.is_some_and(|said| {
        let said = said.to_lowercase();
        SAYINGS.iter().any(|saying| said.contains(saying))
    })
}

/// The smallest number of equal parts of a batch of `n` faces that is `least` or more; `None` above one for each face.
pub fn n_parts(n: usize, least: usize) -> Option<usize> {
    (least..=n).find(|parts| n.is_multiple_of(*parts))
}

/// Each batch in `n` equal parts: what was one pass of every identity becomes `n`. Mean losses and gradients stay near what
/// they were: what is weighed over a whole batch, by how much face there is in it, is weighed over each part instead.
pub fn split(batches: &[Vec<Batch>], n: usize) -> Vec<Vec<Batch>> {
    let parts = |of_all: &Vec<Batch>| -> Vec<Vec<Batch>> {
        (0..n).map(|nth| of_all.iter().map(|batch| batch.part(nth, n)).collect()).collect()
    };
    batches.iter().flat_map(parts).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    #[test]
    fn want_of_memory_is_told_from_other_panics() {
        assert_eq!(attempt(|| 3), Ok(3));
        for said in [
            "called `Result::unwrap()` on an `Err` value: Torch(\"CUDA out of memory. Tried to allocate 2 GiB\")",
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
            "CUDA_ERROR_OUT_OF_MEMORY",
        ] {
            assert_eq!(attempt(|| -> u8 { panic!("{said}") }), Err(NotEnough), "{said}");
        }
        let other = catch_unwind(|| attempt(|| -> u8 { panic!("index out of bounds") }));
        assert_eq!(other.expect_err("goes on its way").downcast_ref::<&str>(), Some(&"index out of bounds"));
    }

    #[test]
    fn batches_are_split_into_equal_parts_with_every_face_once() {
        assert_eq!(
            [1, 2, 3, 4, 7].map(|least| n_parts(6, least)),
            [Some(1), Some(2), Some(3), Some(6), None]
        );
        let of = |who: f32| {
            let planes = |c| Array4::from_shape_fn((4, c, 2, 2), |(n, ..)| 10.0 * who + n as f32);
            Batch { input: planes(3), target: planes(3), mask: planes(1), weight: planes(1) }
        };
        let parts = split(&[vec![of(1.0), of(2.0)]], 2);
        let first = |batch: &Batch| -> Vec<f32> { batch.mask.outer_iter().map(|m| m[[0, 0, 0]]).collect() };
        let all: Vec<Vec<Vec<f32>>> = parts.iter().map(|pass| pass.iter().map(first).collect()).collect();
        assert_eq!(all, [[[10.0, 11.0], [20.0, 21.0]], [[12.0, 13.0], [22.0, 23.0]]]);
        assert!(parts.iter().flatten().all(|batch| batch.input.dim() == (2, 3, 2, 2)));
    }
}
