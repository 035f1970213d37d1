//! Shapes of things that get in front of a face, as distance fields. Coordinates are shares of the crop's side, x to
//! the right, y downwards; distances are negative inside.

use std::f32::consts::PI;

use ndarray::Array2;
use rand::{Rng, rngs::SmallRng};

type Point = [f32; 2];

/// The parts that shapes are made of.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// A rod with round ends, from one radius to another.
    Rod { from: Point, to: Point, radii: [f32; 2] },
    /// An ellipse, turned by an angle.
    Ellipse { at: Point, radii: [f32; 2], angle: f32 },
    /// A rectangle with round corners, turned by an angle.
    Slab { at: Point, half: [f32; 2], angle: f32, corner: f32 },
    /// The rim of an ellipse.
    Rim { at: Point, radii: [f32; 2], thickness: f32 },
    /// The rim of a slab.
    Frame { at: Point, half: [f32; 2], angle: f32, corner: f32, thickness: f32 },
    /// A blob: a circle whose radius swings `waves` times.
    Blob { at: Point, radius: f32, swing: f32, waves: f32, phase: f32 },
}

/// A shape: the union of parts.
#[derive(Debug, Clone)]
pub struct Shape {
    parts: Vec<Part>,
    /// How far joints are filled up, share of the side.
    fillet: f32,
    /// What it may be made of.
    pub surface: Surface,
}

/// What a shape may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Skin, mostly.
    Hand,
    /// Metal or plastic of one colour, mostly.
    Glasses,
    /// Anything.
    Any,
}

impl Part {
    fn distance(&self, [x, y]: Point) -> f32 {
        match *self {
            Self::Rod { from, to, radii } => {
                let (bx, by) = (to[0] - from[0], to[1] - from[1]);
                let (px, py) = (x - from[0], y - from[1]);
                let t = ((px * bx + py * by) / (bx * bx + by * by).max(1e-9)).clamp(0.0, 1.0);
                (px - t * bx).hypot(py - t * by) - (radii[0] + t * (radii[1] - radii[0]))
            }
            Self::Ellipse { at, radii, angle } => {
                let (px, py) = turned([x - at[0], y - at[1]], angle);
                ((px / radii[0]).hypot(py / radii[1]) - 1.0) * radii[0].min(radii[1])
            }
            Self::Slab { at, half, angle, corner } => {
                let (px, py) = turned([x - at[0], y - at[1]], angle);
                let (dx, dy) = (px.abs() - half[0] + corner, py.abs() - half[1] + corner);
                dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - corner
            }
            Self::Rim { at, radii, thickness } => {
                let r = ((x - at[0]) / radii[0]).hypot((y - at[1]) / radii[1]);
                ((r - 1.0) * radii[0].min(radii[1])).abs() - thickness
            }
            Self::Frame { at, half, angle, corner, thickness } => {
                Self::Slab { at, half, angle, corner }.distance([x, y]).abs() - thickness
            }
            Self::Blob { at, radius, swing, waves, phase } => {
                let (px, py) = (x - at[0], y - at[1]);
                let bulge = (py.atan2(px) * waves + phase).sin() + 0.5 * (py.atan2(px) * 2.0 - phase).sin();
                px.hypot(py) - radius * (1.0 + swing * bulge)
            }
        }
    }
}

fn turned([x, y]: Point, angle: f32) -> (f32, f32) {
    let (sin, cos) = angle.sin_cos();
    (cos * x + sin * y, cos * y - sin * x)
}

fn along(from: Point, angle: f32, length: f32) -> Point {
    [from[0] + angle.cos() * length, from[1] + angle.sin() * length]
}

impl Shape {
    /// Draws one of the kinds.
    pub fn draw(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..100) {
            0..39 => hand(rng),
            39..51 => chain(rng),
            51..61 => bar(rng),
            61..71 => cup(rng),
            71..79 => microphone(rng),
            79..85 => strands(rng),
            85..97 => blob(rng),
            _ => letters(rng),
        }
    }

    /// Distance from every pixel's centre, `[side, side]`, shares of the side, to what its rims surround.
    pub fn lenses(&self, side: usize) -> Array2<f32> {
        let filled = self.parts.iter().filter_map(|part| match *part {
            Part::Rim { at, radii, .. } => Some(Part::Ellipse { at, radii, angle: 0.0 }),
            Part::Frame { at, half, angle, corner, .. } => Some(Part::Slab { at, half, angle, corner }),
            _ => None,
        });
        Self { parts: filled.collect(), ..*self }.distances(side)
    }

    /// Distance from every pixel's centre, `[side, side]`, shares of the side.
    pub fn distances(&self, side: usize) -> Array2<f32> {
        Array2::from_shape_fn([side, side], |(row, column)| {
            let p = [(column as f32 + 0.5) / side as f32, (row as f32 + 0.5) / side as f32];
            let join = |a: f32, b: f32| {
                // Polynomial smooth minimum (I. Quilez).
                let h = (self.fillet - (a - b).abs()).max(0.0);
                a.min(b) - if self.fillet > 0.0 { h * h / (4.0 * self.fillet) } else { 0.0 }
            };
            self.parts.iter().map(|part| part.distance(p)).fold(f32::MAX, join)
        })
    }
}

fn spot(rng: &mut SmallRng) -> Point {
    [rng.random_range(0.2..0.8), rng.random_range(0.25..0.95)]
}

fn any_angle(rng: &mut SmallRng) -> f32 {
    rng.random_range(-3.1..3.1)
}

fn hand(rng: &mut SmallRng) -> Shape {
    let (at, size, turn) = (spot(rng), rng.random_range(0.09..0.2), any_angle(rng));
    let stretch = rng.random_range(0.8..1.3);
    let mut parts = vec![Part::Ellipse { at, radii: [size * stretch, size], angle: turn }];
    let n_fingers = rng.random_range(0..=5);
    let spread = rng.random_range(0.05..0.35);
    for i in 0..n_fingers {
        let angle = turn + (i as f32 - (n_fingers - 1) as f32 / 2.0) * spread;
        let root = along(at, angle, size * 0.8);
        let thick = size * rng.random_range(0.16..0.28);
        let bend = angle + rng.random_range(-0.5..0.5);
        let knuckle = along(root, angle, size * rng.random_range(0.4..0.9));
        let tip = along(knuckle, bend, size * rng.random_range(0.3..0.9));
        parts.push(Part::Rod { from: root, to: knuckle, radii: [thick, thick] });
        parts.push(Part::Rod { from: knuckle, to: tip, radii: [thick, thick * 0.8] });
    }
    if rng.random_bool(0.7) {
        let wrist = along(at, turn + PI, 1.0);
        parts.push(Part::Rod { from: at, to: wrist, radii: [size * rng.random_range(0.5..0.85); 2] });
    }
    Shape { parts, fillet: size * 0.15, surface: Surface::Hand }
}

/// Round things in a row: spoons, lollipops, sausages, balls, an arm without a hand.
fn chain(rng: &mut SmallRng) -> Shape {
    let (mut at, mut angle) = (spot(rng), any_angle(rng));
    let mut parts = Vec::new();
    for _ in 0..rng.random_range(1..=4) {
        let radii = [rng.random_range(0.04..0.22), rng.random_range(0.03..0.14)];
        parts.push(Part::Ellipse { at, radii, angle });
        at = along(at, angle, radii[0] * rng.random_range(0.8..1.9));
        angle += rng.random_range(-0.4..0.4);
    }
    let surface = if rng.random_bool(0.6) { Surface::Hand } else { Surface::Any };
    Shape { parts, fillet: 0.0, surface }
}

fn bar(rng: &mut SmallRng) -> Shape {
    let (at, angle, thick) = (spot(rng), any_angle(rng), rng.random_range(0.008..0.07));
    let (from, to) =
        (along(at, angle, rng.random_range(0.1..1.2)), along(at, angle + PI, rng.random_range(0.1..1.2)));
    Shape { parts: vec![Part::Rod { from, to, radii: [thick; 2] }], fillet: 0.0, surface: Surface::Any }
}

fn cup(rng: &mut SmallRng) -> Shape {
    let (at, angle) = (spot(rng), rng.random_range(-0.6..0.6));
    let half = [rng.random_range(0.06..0.2), rng.random_range(0.08..0.26)];
    let slab = Part::Slab { at, half, angle, corner: half[0] * rng.random_range(0.0..0.6) };
    let handle = Part::Rim {
        at: [at[0] + half[0] * 1.1, at[1]],
        radii: [half[0] * 0.6, half[1] * 0.5],
        thickness: 0.015,
    };
    let parts = if rng.random_bool(0.4) { vec![slab, handle] } else { vec![slab] };
    Shape { parts, fillet: 0.0, surface: Surface::Any }
}

fn microphone(rng: &mut SmallRng) -> Shape {
    let at = [rng.random_range(0.25..0.75), rng.random_range(0.55..0.95)];
    let (size, angle) = (rng.random_range(0.05..0.13), rng.random_range(0.6..2.5));
    let to = along(at, angle, 1.0);
    let parts = vec![
        Part::Ellipse { at, radii: [size, size * rng.random_range(1.0..1.3)], angle: angle - 1.57 },
        Part::Rod { from: at, to, radii: [size * 0.55, size * 0.4] },
    ];
    Shape { parts, fillet: 0.0, surface: Surface::Any }
}

/// Around where an aligned crop has its eyes: round or square lenses, dark or clear, rims from a wire of half a pixel to
/// horn, some with a bar above, and some with nothing below it.
pub fn glasses(rng: &mut SmallRng) -> Shape {
    let middle = [0.5 + rng.random_range(-0.04..0.04), 0.37 + rng.random_range(-0.03..0.05)];
    let (half, tilt) = (rng.random_range(0.11..0.17), rng.random_range(-0.08..0.08_f32));
    let radii = [rng.random_range(0.08..0.13), rng.random_range(0.05..0.11)];
    let (is_dark, is_square) = (rng.random_bool(0.2), rng.random_bool(0.6));
    let corner = radii[1] * rng.random_range(0.2..0.9);
    let thickness = 0.002 * rng.random_range(1.0..7.0_f32);
    let has_bar = rng.random_bool(0.4);
    let rim = if has_bar { thickness * rng.random_range(0.25..1.0) } else { thickness };
    let mut parts = Vec::new();
    for sign in [-1.0, 1.0] {
        let at = [middle[0] + sign * half, middle[1] + sign * half * tilt];
        parts.push(match (is_dark, is_square) {
            (true, true) => Part::Slab { at, half: radii, angle: tilt, corner },
            (true, false) => Part::Ellipse { at, radii, angle: tilt },
            (false, true) => Part::Frame { at, half: radii, angle: tilt, corner, thickness: rim },
            (false, false) => Part::Rim { at, radii, thickness: rim },
        });
        if has_bar {
            let (inner, outer) = (at[0] - sign * radii[0] * 0.8, at[0] + sign * radii[0]);
            let [from, to] = [inner, outer].map(|x| [x, at[1] - radii[1]]);
            parts.push(Part::Rod { from, to, radii: [thickness * rng.random_range(1.0..2.0); 2] });
        }
        let hinge = [at[0] + sign * radii[0], at[1] - radii[1] * rng.random_range(0.0..0.8)];
        let ear = [hinge[0] + sign * 0.3, hinge[1] + rng.random_range(-0.05..0.05)];
        parts.push(Part::Rod { from: hinge, to: ear, radii: [thickness; 2] });
    }
    let (inner, above) = ((half - radii[0]).abs(), radii[1] * rng.random_range(-0.1..0.7));
    let [from, to] = [-inner, inner].map(|x| [middle[0] + x, middle[1] - above]);
    parts.push(Part::Rod { from, to, radii: [thickness; 2] });
    Shape { parts, fillet: 0.0, surface: Surface::Glasses }
}

/// Locks of hair that hang down from above or from a side.
fn strands(rng: &mut SmallRng) -> Shape {
    let root = [rng.random_range(0.1..0.9), rng.random_range(-0.05..0.2)];
    let lean = rng.random_range(1.0..2.2);
    let mut parts = Vec::new();
    for _ in 0..rng.random_range(3..16) {
        let mut from = [root[0] + rng.random_range(-0.12..0.12), root[1]];
        let mut angle: f32 = lean + rng.random_range(-0.25..0.25);
        let thick = rng.random_range(0.003..0.012);
        for _ in 0..4 {
            let to = along(from, angle, rng.random_range(0.06..0.2));
            parts.push(Part::Rod { from, to, radii: [thick; 2] });
            from = to;
            angle += rng.random_range(-0.3..0.3);
        }
    }
    Shape { parts, fillet: 0.0, surface: Surface::Any }
}

fn blob(rng: &mut SmallRng) -> Shape {
    let at = [rng.random_range(-0.1..1.1), rng.random_range(-0.1..1.1)];
    let part = Part::Blob {
        at,
        radius: rng.random_range(0.05..0.4),
        swing: rng.random_range(0.0..0.3),
        waves: rng.random_range(2..7) as f32,
        phase: any_angle(rng),
    };
    Shape { parts: vec![part], fillet: 0.0, surface: Surface::Any }
}

/// Upright and level strokes in a row, as of letters.
fn letters(rng: &mut SmallRng) -> Shape {
    let (left, base) = (rng.random_range(-0.1..0.5), rng.random_range(0.1..0.95));
    let (height, stroke) = (rng.random_range(0.05..0.16), rng.random_range(0.006..0.016));
    let mut parts = Vec::new();
    for letter in 0..rng.random_range(3..9) {
        let x = left + letter as f32 * height * 0.8;
        for _ in 0..rng.random_range(2..5) {
            let mut corner = || {
                [
                    x + rng.random_range(0..3) as f32 * height * 0.28,
                    base - rng.random_range(0..3) as f32 * height * 0.5,
                ]
            };
            let (from, to) = (corner(), corner());
            parts.push(Part::Rod { from, to, radii: [stroke; 2] });
        }
    }
    Shape { parts, fillet: 0.0, surface: Surface::Any }
}
