//! Holding the points of a followed face still without delaying or blurring what really moves.
//!
//! Two-sided and symmetric in time, so nothing lags: the point of a frame becomes a weighted mean over the frames
//! around it. A frame's weight falls with its distance in time and with how far the point really moved (a bilateral
//! filter), so that tremor is averaged away while a blink or a turn stays. Motion is split first: the head's motion
//! (a similarity fit of the mesh to its mean shape over the window) and each point's motion on the head are filtered
//! apart, and all distances are fractions of the distance between the eyes, so that a face's size makes no difference.
//!
//! Where something hides a part of the face the network guesses, and its guesses jump farther than a face moves. A point
//! that trembles like this is averaged over longer ways, and the head with it when most of its points do. What tells a
//! tremor from a motion are third differences *on the head*: a shaken camera has none there, however wild it is.
//!
//! Time is counted in frames that show something new: much footage of 15 to 25 frames a second lies in files of 30, with
//! frames that repeat the one before. Its motion is uneven by the file's clock, and a face that moved evenly would slide
//! over a head that stands still for a frame.

use super::{align::fit_similarity, mesh};
use crate::frame::{CropPx, FramePx, Similarity};

/// How strongly points are held still.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Stabilisation {
    /// Frames that are looked at before and after; 0 leaves the points as they were found.
    pub radius: usize,
    /// Standard deviation of the weight in time, frames.
    pub sigma_frames: f64,
    /// How far a point may move on the head and still be averaged (standard deviation of the weight, in distances
    /// between the eyes).
    pub sigma_point: f64,
    /// The same for lids, lips and irises, whose quick motion must stay: a blink closes a lid by 0.08 within a frame
    /// or two.
    pub sigma_quick: f64,
    /// How far the head may leave its even motion and still be averaged, in the same unit.
    pub sigma_head: f64,
    /// How much farther a point may move that trembles, in deviations of its tremor; lids, lips and irises may not.
    pub tremors_of_point: f64,
    /// How much farther the head may leave its way, in deviations of the tremor in the middle of its points.
    pub tremors_of_head: f64,
}

impl Default for Stabilisation {
    fn default() -> Self {
        // Tuned on five synthetic clips with known points and two frozen frames with noise; docs/faces.md has what
        // comes of it. A head that may leave its way by 0.015 instead of 0.04 trembles a tenth more; one that may leave it
        // by eight of its tremors slides when a camera is shaken, whose pictures are blurred.
        Self {
            radius: 3,
            sigma_frames: 1.5,
            sigma_point: 0.025,
            sigma_quick: 0.012,
            sigma_head: 0.04,
            tremors_of_point: 6.0,
            tremors_of_head: 2.0,
        }
    }
}

/// The held points of the frame in the middle of a window.
///
/// `window` holds the track's points in the frames around `middle` in order, `None` where the face is not there; only
/// the unbroken stretch around `middle` counts. Gives the points of `middle` back unchanged when there is nothing to
/// average with.
pub fn stabilised(window: &[Option<&[FramePx]>], middle: usize, settings: &Stabilisation) -> Vec<FramePx> {
    let Some(points) = window.get(middle).copied().flatten() else { return Vec::new() };
    let eyes = if points.len() < mesh::N_SKIN { 0.0 } else { mesh::interocular_px(points) };
    if eyes.is_nan() || eyes <= 0.0 {
        return points.to_vec();
    }
    let poses = Poses::around(window, middle, settings.radius, eyes);
    if poses.frames.len() < 2 {
        return points.to_vec();
    }
    let now = &poses.frames[poses.now];
    let tremors = poses.tremors(eyes);
    let to_frame = poses.held(settings, eyes, tremor_of_head(&tremors));
    (0..points.len())
        .map(|i| {
            let p = now.on_head[i];
            let sigma = if mesh::is_quick(i) {
                settings.sigma_quick
            } else {
                settings.sigma_point.hypot(settings.tremors_of_point * tremors[i])
            };
            let near = poses.frames.iter().map(|frame| {
                let q = frame.on_head[i];
                let weight =
                    frame.share * weight(frame.time, (q - p).square() / (eyes * eyes), sigma, settings);
                (frame.time, q, weight)
            });
            to_frame.apply(if mesh::is_quick(i) { crest(near) } else { mean(near) })
        })
        .collect()
}

/// That of the point in the middle of those which don't move by themselves.
fn tremor_of_head(tremors: &[f64]) -> f64 {
    let mut slow: Vec<f64> =
        tremors.iter().enumerate().filter(|(i, _)| !mesh::is_quick(*i)).map(|(_, t)| *t).collect();
    let middle = slow.len() / 2;
    if slow.is_empty() { 0.0 } else { *slow.select_nth_unstable_by(middle, f64::total_cmp).1 }
}

/// The weighted mean of (time, place, weight).
fn mean(near: impl Iterator<Item = (f64, Complex, f64)>) -> Complex {
    let (sum, total) = near
        .fold((Complex::default(), 0.0), |(sum, total), (_, q, weight)| (sum + q * weight, total + weight));
    sum * (1.0 / total)
}

/// The same for what comes and goes within a few frames: the middle of the parabola through the places (least
/// squares), since a mean would cut the top off every opening of the mouth (91 % of its height was left in the worst
/// clip; 98 % with the parabola).
fn crest(near: impl Iterator<Item = (f64, Complex, f64)>) -> Complex {
    let (mut moments, mut sums) = ([0.0; 3], [Complex::default(); 2]);
    for (time, q, weight) in near {
        let square = time * time;
        for (moment, power) in moments.iter_mut().zip([1.0, square, square * square]) {
            *moment += weight * power;
        }
        sums = [sums[0] + q * weight, sums[1] + q * (weight * square)];
    }
    let [zeroth, second, fourth] = moments;
    let determinant = zeroth * fourth - second * second;
    if determinant < 1e-6 * zeroth * fourth || determinant <= 0.0 {
        return sums[0] * (1.0 / zeroth); // One frame alone, or next to it.
    }
    (sums[0] * fourth - sums[1] * second) * (1.0 / determinant)
}

/// Falls with time and with distance, whose square is given; 1 for the frame itself.
fn weight(time: f64, square: f64, sigma: f64, settings: &Stabilisation) -> f64 {
    (-0.5 * (time / settings.sigma_frames).powi(2) - 0.5 * square / (sigma * sigma)).exp()
}

/// A point or a motion as a complex number, in which a similarity is `z -> turn * z + shift`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Complex {
    re: f64,
    im: f64,
}

impl Complex {
    fn abs(self) -> f64 {
        self.square().sqrt()
    }

    /// Of its distance to 0.
    fn square(self) -> f64 {
        self.re * self.re + self.im * self.im
    }
}

impl From<FramePx> for Complex {
    fn from(p: FramePx) -> Self {
        Self { re: p.x, im: p.y }
    }
}

impl std::ops::Add for Complex {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl std::ops::Sub for Complex {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }
}

impl std::ops::Mul<f64> for Complex {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self { re: self.re * factor, im: self.im * factor }
    }
}

/// From the head to the frame: where the window's mean shape lies in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pose {
    turn: Complex,
    shift: Complex,
}

impl Pose {
    fn apply(&self, z: Complex) -> FramePx {
        FramePx {
            x: self.turn.re * z.re - self.turn.im * z.im + self.shift.re,
            y: self.turn.im * z.re + self.turn.re * z.im + self.shift.im,
        }
    }
}

/// The way from one pose to another: logarithm of the scale and angle (the parts of a complex logarithm), and shift.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Step {
    turn: Complex,
    shift: Complex,
}

impl Step {
    fn between(from: &Pose, to: &Pose) -> Self {
        let (a, b) = (from.turn, to.turn);
        // b / a, up to the square of |a|.
        let (re, im) = (b.re * a.re + b.im * a.im, b.im * a.re - b.re * a.im);
        let turn = Complex { re: (b.abs() / a.abs()).ln(), im: im.atan2(re) };
        Self { turn, shift: to.shift - from.shift }
    }

    fn from(self, pose: &Pose) -> Pose {
        let (sin, cos) = self.turn.im.sin_cos();
        let scale = self.turn.re.exp();
        let Complex { re, im } = pose.turn;
        let turn = Complex { re: scale * (cos * re - sin * im), im: scale * (sin * re + cos * im) };
        Pose { turn, shift: pose.shift + self.shift }
    }
}

impl std::ops::Add for Step {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { turn: self.turn + other.turn, shift: self.shift + other.shift }
    }
}

impl std::ops::Sub for Step {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { turn: self.turn - other.turn, shift: self.shift - other.shift }
    }
}

impl std::ops::Mul<f64> for Step {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self { turn: self.turn * factor, shift: self.shift * factor }
    }
}

/// One frame of the window, taken apart.
struct Posed {
    /// New frames after the middle, negative before.
    time: f64,
    /// One by the number of frames of this time.
    share: f64,
    pose: Pose,
    /// The points with the pose undone, in pixels of the middle frame around the middle of the face.
    on_head: Vec<Complex>,
}

struct Poses {
    frames: Vec<Posed>,
    /// The middle frame's place in `frames`.
    now: usize,
}

impl Poses {
    /// Takes the unbroken stretch around `middle` apart, as far before as behind: what has no partner on the other
    /// side of time would pull the face along its path.
    fn around(window: &[Option<&[FramePx]>], middle: usize, radius: usize, eyes: f64) -> Self {
        let there = |i: usize| window.get(i).is_some_and(Option::is_some);
        let before = (1..=radius.min(middle)).take_while(|k| there(middle - k)).count();
        let after = (1..=radius).take_while(|k| there(middle + k)).count();
        let meshes: Vec<&[FramePx]> =
            window[middle - before..=middle + after].iter().copied().flatten().collect();
        let times = times(&meshes, before, eyes);
        // Frames that repeat each other look at the same ones, so that they come out alike.
        let repeats = |range: std::ops::RangeInclusive<usize>| {
            times[range].iter().filter(|time| **time == 0.0).count() - 1
        };
        let (earlier, later) = (repeats(0..=before), repeats(before..=before + after));
        let (first, last) =
            ((before + later).saturating_sub(radius), (before + radius - earlier).min(before + after));
        let reach = (-times[first]).min(times[last]);
        let first = times.iter().take_while(|time| **time < -reach).count();
        let end = times.iter().take_while(|time| **time <= reach).count();
        let (meshes, times, now) = (&meshes[first..end], &times[first..end], before - first);
        let shape = mean_shape(meshes, now, eyes);
        let frames = meshes.iter().enumerate().map(|(i, points)| {
            let to_head = fit(points, &shape, eyes);
            let undo = |p: &FramePx| {
                let p = to_head.to_crop(*p);
                Complex { re: p.x, im: p.y }
            };
            // The inverse of z -> m z + t is z -> z / m - t / m.
            let square = to_head.a * to_head.a + to_head.b * to_head.b;
            let turn = Complex { re: to_head.a / square, im: -to_head.b / square };
            let shift = to_head.to_frame(CropPx::default()).into();
            Posed {
                time: times[i],
                share: 1.0 / times.iter().filter(|time| **time == times[i]).count() as f64,
                pose: Pose { turn, shift },
                on_head: points.iter().map(undo).collect(),
            }
        });
        Self { frames: frames.collect(), now }
    }

    /// How strongly each point trembles on the head, a standard deviation in distances between the eyes: the middle of
    /// its third differences, which a motion that is even, quickens or turns hardly has.
    fn tremors(&self, eyes: f64) -> Vec<f64> {
        /// What they are of independent noise with a deviation of 1: the square root of 1 + 9 + 9 + 1.
        const OF_NOISE: f64 = 4.472_135_954_999_58;
        let mut moments: Vec<&Posed> = self.frames.iter().collect();
        moments.dedup_by_key(|frame| frame.time);
        let mut thirds: Vec<f64> = Vec::new();
        let n_points = moments.first().map_or(0, |frame| frame.on_head.len());
        let tremor = |i: usize| {
            thirds.clear();
            thirds.extend(moments.windows(4).map(|four| {
                let [a, b, c, d] = [0, 1, 2, 3].map(|k| four[k].on_head[i]);
                ((d - a) + (b - c) * 3.0).abs()
            }));
            thirds.sort_by(f64::total_cmp);
            let n = thirds.len();
            let middle = if n == 0 { 0.0 } else { 0.5 * (thirds[(n - 1) / 2] + thirds[n / 2]) };
            middle / (OF_NOISE * eyes)
        };
        (0..n_points).map(tremor).collect()
    }

    /// The middle frame's pose, averaged with its neighbours' along the head's even motion: as angle, logarithm of
    /// the scale, and shift, each by itself. `tremor` is that of the head's points.
    fn held(&self, settings: &Stabilisation, eyes: f64, tremor: f64) -> Pose {
        let sigma = settings.sigma_head.hypot(settings.tremors_of_head * tremor);
        let now = self.frames[self.now].pose;
        let step = |frame: &Posed| Step::between(&now, &frame.pose);
        let at = |time: f64| {
            let frames = self.frames.iter().filter(|frame| frame.time == time);
            frames.fold(Step::default(), |sum, frame| sum + step(frame) * frame.share)
        };
        let velocity = (at(1.0) - at(-1.0)) * 0.5;
        let (mut sum, mut total) = (Step::default(), 0.0);
        for frame in &self.frames {
            let even = step(frame) - velocity * frame.time;
            // What the difference moves: the middle of the face, and by its turn a point one eye distance away.
            let distance = even.shift.abs() / eyes + even.turn.abs();
            let weight = frame.share * weight(frame.time, distance * distance, sigma, settings);
            (sum, total) = (sum + even * weight, total + weight);
        }
        (sum * (1.0 / total)).from(&now)
    }
}

/// When each of some frames is, counted from the one at `middle` in frames that show something new.
fn times(meshes: &[&[FramePx]], middle: usize, eyes: f64) -> Vec<f64> {
    /// A frame repeats the one before if its points move less than this share of what they do in the frames around..
    const REPEATS: f64 = 0.2;
    /// ..as long as that is more than the network's own tremor, in distances between the eyes.
    const MOVES: f64 = 0.008;
    /// How far around.
    const NEAR: usize = 2;
    let moved = |two: &[&[FramePx]]| {
        let squares = two[0].iter().zip(two[1]).map(|(p, q)| (p.x - q.x).powi(2) + (p.y - q.y).powi(2));
        (squares.sum::<f64>() / two[0].len() as f64).sqrt() / eyes
    };
    let moved: Vec<f64> = meshes.windows(2).map(moved).collect();
    let passes = |i: usize| {
        let near = &moved[i.saturating_sub(NEAR)..(i + NEAR + 1).min(moved.len())];
        let most = near.iter().copied().fold(0.0, f64::max);
        if most > MOVES && moved[i] < REPEATS * most { 0.0 } else { 1.0 }
    };
    let mut times = vec![0.0; meshes.len()];
    for i in middle + 1..meshes.len() {
        times[i] = times[i - 1] + passes(i - 1);
    }
    for i in (0..middle).rev() {
        times[i] = times[i + 1] - passes(i);
    }
    times
}

/// The mean of all meshes after each is laid on the one at `middle`, around the middle of the face.
fn mean_shape(meshes: &[&[FramePx]], middle: usize, eyes: f64) -> Vec<FramePx> {
    let target = meshes[middle];
    let mut shape = vec![FramePx::default(); target.len()];
    for points in meshes {
        let onto = fit(points, target, eyes);
        for (sum, p) in shape.iter_mut().zip(*points) {
            let p = onto.to_crop(*p);
            (sum.x, sum.y) = (sum.x + p.x / meshes.len() as f64, sum.y + p.y / meshes.len() as f64);
        }
    }
    let n = shape.len().max(1) as f64;
    let (x, y) = shape.iter().fold((0.0, 0.0), |(x, y), p| (x + p.x / n, y + p.y / n));
    shape.iter().map(|p| FramePx { x: p.x - x, y: p.y - y }).collect()
}

/// Lays the skin points of one mesh on another. What moves by itself, such as lids and lips, gets little weight
/// (Cauchy's), so that a blink doesn't pull the head down.
fn fit(from: &[FramePx], to: &[FramePx], eyes: f64) -> Similarity {
    /// Distance at which a point counts half, in distances between the eyes: a little more than the network's noise.
    const SCALE: f64 = 0.01;
    const N_ROUNDS: usize = 2;
    let mut pairs: Vec<(FramePx, FramePx, f64)> =
        from.iter().zip(to).take(mesh::N_SKIN).map(|(p, q)| (*p, *q, 1.0)).collect();
    let mut onto = fit_similarity(pairs.iter().copied());
    let per_square = 1.0 / (SCALE * eyes).powi(2);
    for _ in 0..N_ROUNDS {
        for (p, q, weight) in &mut pairs {
            let laid = onto.to_crop(*p);
            let (x, y) = (laid.x - q.x, laid.y - q.y);
            *weight = 1.0 / (1.0 + (x * x + y * y) * per_square);
        }
        onto = fit_similarity(pairs.iter().copied());
    }
    onto
}

#[cfg(test)]
#[path = "stabilise_tests.rs"]
mod tests;
