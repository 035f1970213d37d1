//! Loops over pixels, compiled twice: for every processor, and for those that have AVX2.
//!
//! The compiler may use eight lanes in place of four, and nothing else changes: it neither reorders a sum nor fuses a
//! product with it, so that both give the same bits, and a frame comes out the same on every machine.
//!
//! A closure in such a loop may stay a function of its own, compiled for any processor and called for each element
//! (`std::array::from_fn` took the bilinear samples three times as long): the bodies are plain loops.

/// Defines a function, `NAME`, whose loops use what the processor has, and `PLAIN`, which is the same for any.
///
/// ```text
/// dispatched! {
///     /// Doubles numbers.
///     fn doubled as doubled_plain(values: &mut [f32]) { values.iter_mut().for_each(|v| *v *= 2.0) }
/// }
/// ```
macro_rules! dispatched {
    (
        $(#[$doc:meta])*
        $vis:vis fn $name:ident as $plain:ident $(<$kind:ident: $bound:ident>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$doc])*
        $vis fn $name $(<$kind: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn with_avx2 $(<$kind: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
                    $plain($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has what the function was compiled for.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            $plain($($arg),*)
        }

        // Its copies are compiled for what their callers have.
        #[inline(always)]
        $vis fn $plain $(<$kind: $bound>)? ($($arg: $ty),*) $(-> $ret)? $body
    };
}
pub(crate) use dispatched;
