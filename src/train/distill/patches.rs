//! A finest level that works on pixels, seen as one that works on patches of 2x2 of them, at half the side.
//!
//! All four pixels of a patch become channels of one place: what a convolution of 3x3 pixels gives is what one of 3x3
//! patches gives, whose filter is put together here. So a student whose finest level works on patches can begin with
//! its teacher's weights.

use crate::train::filters::Filter;

/// Pixels of a patch.
const N_PIXELS: usize = 4;

/// An encoder's convolutions in the order in which they run, the finest level on patches. What its second one of 3x3
/// gives is halved afterwards; here it gives the mean over each patch at once, which is the same but for the rectifier
/// in between.
pub fn encoder_in_patches(chain: &[Filter]) -> Vec<Filter> {
    let (from_rgb, a, b) = (&chain[0], &chain[1], on_patches(&chain[2], direct));
    let [n, n_in, ..] = from_rgb.dims;
    let colours = filter([n * N_PIXELS, n_in, 2, 2], |[o, i, y, x]| {
        if o % N_PIXELS == 2 * y + x { from_rgb.weight[o / N_PIXELS * n_in + i] } else { 0.0 }
    });
    let [n, n_in, h, w] = b.dims;
    let of_output = n_in * h * w;
    let mut mean = filter([n / N_PIXELS, n_in, h, w], |[o, i, y, x]| {
        let at = (i * h + y) * w + x;
        let sum: f32 = (0..N_PIXELS).map(|s| b.weight[(o * N_PIXELS + s) * of_output + at]).sum();
        sum / N_PIXELS as f32
    });
    mean.bias.clone_from(&chain[2].bias);
    let first = [Filter { bias: for_each_pixel(&from_rgb.bias), ..colours }, on_patches(a, direct), mean];
    first.into_iter().chain(chain[3..].iter().cloned()).collect()
}

/// A decoder's convolutions in the order in which they run, the finest level on patches; the doubling before it is part
/// of its first filter. The last one, 1x1, gives the colours of each patch as `unshuffled` orders them.
pub fn decoder_in_patches(chain: &[Filter]) -> Vec<Filter> {
    let (rest, finest) = chain.split_at(chain.len() - 3);
    let [a, b, to_rgb] = [&finest[0], &finest[1], &finest[2]];
    let [n, n_in, ..] = to_rgb.dims;
    let mut colours = filter([n * N_PIXELS, n_in * N_PIXELS, 1, 1], |[o, i, ..]| {
        if o % N_PIXELS == i % N_PIXELS { to_rgb.weight[o / N_PIXELS * n_in + i / N_PIXELS] } else { 0.0 }
    });
    colours.bias = for_each_pixel(&to_rgb.bias);
    let last = [on_patches(a, doubled), on_patches(b, direct), colours];
    rest.iter().cloned().chain(last).collect()
}

/// Where a pixel's value comes from: pairs of a place, in patches from the middle one, and how much of it is taken. For
/// a row or a column alone.
type Sources = Vec<(isize, usize, f32)>;

/// A pixel of patches: `at` pixels from the first one of the middle patch. Place, pixel within the patch, share.
fn direct(at: isize) -> Sources {
    vec![(at.div_euclid(2), at.rem_euclid(2) as usize, 1.0)]
}

/// The same of a picture of half the side that is doubled, bilinear with half-pixel centres: three quarters of the nearest
/// place, a quarter of the next.
fn doubled(at: isize) -> Sources {
    let (near, next) = (at.div_euclid(2), if at.rem_euclid(2) == 0 { -1 } else { 1 });
    vec![(near, 0, 0.75), (near + next, 0, 0.25)]
}

/// A filter of 3x3 pixels as one of 3x3 places, where a pixel's value is found as `sources` says.
fn on_patches(pixels: &Filter, sources: fn(isize) -> Sources) -> Filter {
    let [n, n_in, h, w] = pixels.dims;
    let per_place = if sources(0).len() == 1 { N_PIXELS } else { 1 };
    let dims @ [_, all_in, ..] = [n * N_PIXELS, n_in * per_place, 3, 3];
    let mut weight = vec![0.0; dims.iter().product()];
    for (o, s) in (0..n).flat_map(|o| (0..N_PIXELS).map(move |s| (o, s))) {
        for (ky, kx) in (0..h).flat_map(|ky| (0..w).map(move |kx| (ky, kx))) {
            let at = |s: usize, k: usize, side: usize| (s + k) as isize - (side / 2) as isize;
            let (rows, columns) = (sources(at(s / 2, ky, h)), sources(at(s % 2, kx, w)));
            for ((y, py, share_y), (x, px, share_x)) in
                rows.iter().flat_map(|row| columns.iter().map(move |column| (*row, *column)))
            {
                let place = (y + 1) as usize * 3 + (x + 1) as usize;
                for i in 0..n_in {
                    let input = i * per_place + 2 * py + px;
                    weight[((o * N_PIXELS + s) * all_in + input) * 9 + place] +=
                        share_y * share_x * pixels.weight[((o * n_in + i) * h + ky) * w + kx];
                }
            }
        }
    }
    Filter { dims, weight, bias: for_each_pixel(&pixels.bias) }
}

fn for_each_pixel(bias: &[f32]) -> Vec<f32> {
    bias.iter().flat_map(|b| [*b; N_PIXELS]).collect()
}

/// A filter by its values at output, input, row and column; without bias.
fn filter(dims: [usize; 4], value: impl Fn([usize; 4]) -> f32) -> Filter {
    let [n, n_in, h, w] = dims;
    let at = |k: usize| value([k / (n_in * h * w), k / (h * w) % n_in, k / w % h, k % w]);
    Filter { dims, weight: (0..n * n_in * h * w).map(at).collect(), bias: vec![0.0; n] }
}

#[cfg(test)]
#[path = "patches_tests.rs"]
mod tests;
