//! Pictures of at most 256 colours, as GIF has them.

use std::collections::HashMap;

/// A picture as numbers into a list of colours.
pub(super) struct Indexed {
    /// Blue, green, red and opacity of each colour, in this order.
    pub colours: Vec<[u8; 4]>,
    /// A colour's number for each pixel.
    pub pixels: Vec<u8>,
}

/// Numbers that a byte has.
const MAX_COLOURS: usize = 256;

/// Half opaque and above is opaque: a pixel of GIF is there or isn't.
const OPAQUE: u8 = 128;

/// The picture with its own colours if 256 are enough, else with the means of the 256 boxes that the median cut
/// (Heckbert 1982) makes of them. Transparent pixels are one colour.
pub(super) fn index(bgra: &[[u8; 4]]) -> Indexed {
    let plain = |p: &[u8; 4]| if p[3] < OPAQUE { [0; 4] } else { [p[0], p[1], p[2], 255] };
    let mut counts: HashMap<[u8; 4], u32> = HashMap::new();
    bgra.iter().for_each(|p| *counts.entry(plain(p)).or_default() += 1);
    let mut known: Vec<([u8; 4], u32)> = counts.into_iter().collect();
    known.sort_unstable();
    let colours =
        if known.len() <= MAX_COLOURS { known.iter().map(|(c, _)| *c).collect() } else { cut(known.clone()) };
    let numbers: HashMap<[u8; 4], u8> =
        known.iter().map(|(colour, _)| (*colour, nearest(&colours, *colour))).collect();
    let pixels = bgra.iter().map(|p| numbers.get(&plain(p)).copied().unwrap_or_default()).collect();
    Indexed { colours, pixels }
}

/// 256 colours that stand for all of `known`.
fn cut(mut known: Vec<([u8; 4], u32)>) -> Vec<[u8; 4]> {
    let mut colours = Vec::new();
    if known.first().is_some_and(|(colour, _)| colour[3] == 0) {
        colours.push(known.remove(0).0);
    }
    let mut boxes = vec![known];
    while boxes.len() + colours.len() < MAX_COLOURS {
        let spread = |b: &Vec<([u8; 4], u32)>| {
            let range = |i: usize| {
                let values = b.iter().map(|(c, _)| c[i]);
                values.clone().max().unwrap_or(0) - values.min().unwrap_or(0)
            };
            let widest = (0..3).max_by_key(|i| range(*i)).unwrap_or(0);
            (range(widest), widest)
        };
        let weight = |b: &Vec<([u8; 4], u32)>| b.iter().map(|(_, n)| u64::from(*n)).sum::<u64>();
        let score = |b: &Vec<([u8; 4], u32)>| u64::from(spread(b).0) * weight(b).isqrt();
        let Some(at) = (0..boxes.len()).max_by_key(|i| score(&boxes[*i])) else { break };
        let mut lower = boxes.swap_remove(at);
        if lower.len() < 2 {
            boxes.push(lower);
            break;
        }
        let channel = spread(&lower).1;
        lower.sort_unstable_by_key(|(colour, _)| colour[channel]);
        let half = weight(&lower) / 2;
        let mut sum = 0;
        let middle = lower.iter().position(|(_, n)| {
            sum += u64::from(*n);
            sum > half
        });
        let upper = lower.split_off(middle.unwrap_or(1).clamp(1, lower.len() - 1));
        boxes.extend([lower, upper]);
    }
    colours.extend(boxes.iter().map(|b| {
        let total: u64 = b.iter().map(|(_, n)| u64::from(*n)).sum::<u64>().max(1);
        let mean = |i: usize| {
            let sum: u64 = b.iter().map(|(c, n)| u64::from(c[i]) * u64::from(*n)).sum();
            ((sum + total / 2) / total) as u8
        };
        [mean(0), mean(1), mean(2), 255]
    }));
    colours
}

fn nearest(colours: &[[u8; 4]], wanted: [u8; 4]) -> u8 {
    let distance = |c: &[u8; 4]| -> i32 {
        (0..4).map(|i| (i32::from(c[i]) - i32::from(wanted[i])).pow(2) * if i == 3 { 16 } else { 1 }).sum()
    };
    (0..colours.len()).min_by_key(|i| distance(&colours[*i])).unwrap_or(0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_kept_and_many_are_near() {
        let few: Vec<[u8; 4]> = (0..1000_u32).map(|i| [(i % 16) as u8, 7, (i % 15) as u8, 255]).collect();
        let made = index(&few);
        for (pixel, number) in few.iter().zip(&made.pixels) {
            assert_eq!(made.colours[usize::from(*number)], *pixel);
        }
        let many: Vec<[u8; 4]> = (0..4096_u32)
            .map(|i| [(i % 16 * 17) as u8, (i / 16 % 16 * 17) as u8, (i / 256 * 17) as u8, 255])
            .chain([[9, 9, 9, 0]])
            .collect();
        let made = index(&many);
        assert_eq!(made.colours.len(), 256);
        for (pixel, number) in many.iter().zip(&made.pixels) {
            let colour = made.colours[usize::from(*number)];
            let far = (0..3).map(|i| pixel[i].abs_diff(colour[i])).max().expect("three");
            assert!(
                (far <= 48 && colour[3] == 255) || pixel[3] == 0 && colour[3] == 0,
                "{pixel:?} {colour:?}"
            );
        }
    }
}
