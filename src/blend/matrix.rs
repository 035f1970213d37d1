//! Vectors and matrices of three.

/// Rows of a matrix.
pub(super) type Matrix = [[f32; 3]; 3];

const ONE: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

pub(super) fn add(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(super) fn subtract(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn times(m: Matrix, v: [f32; 3]) -> [f32; 3] {
    m.map(|row| dot(row, v))
}

pub(super) fn product(a: Matrix, b: Matrix) -> Matrix {
    a.map(|row| [0, 1, 2].map(|j| row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]))
}

/// The matrix with `v` more on its diagonal.
pub(super) fn with_diagonal(mut m: Matrix, v: f32) -> Matrix {
    (0..3).for_each(|i| m[i][i] += v);
    m
}

/// A turn by an angle of this sine and cosine in the plane of two axes.
pub(super) fn turn((sin, cos): (f32, f32), (p, q): (usize, usize)) -> Matrix {
    let mut m = ONE;
    (m[p][p], m[p][q], m[q][p], m[q][q]) = (cos, -sin, sin, cos);
    m
}

/// A function of a symmetric matrix, by Jacobi rotations.
pub(super) fn of_eigenvalues(mut a: Matrix, f: impl Fn(f32) -> f32) -> Matrix {
    let mut vectors = ONE;
    for _ in 0..8 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[p][q].abs() < 1e-9 {
                continue;
            }
            let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
            let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
            let c = 1.0 / (t * t + 1.0).sqrt();
            let s = t * c;
            let turn = turn((-s, c), (p, q));
            a = product(product(transposed(turn), a), turn);
            vectors = product(vectors, turn);
        }
    }
    let mut scaled = vectors;
    for row in &mut scaled {
        for (j, v) in row.iter_mut().enumerate() {
            *v *= f(a[j][j]);
        }
    }
    product(scaled, transposed(vectors))
}

fn transposed(m: Matrix) -> Matrix {
    [0, 1, 2].map(|i| [m[0][i], m[1][i], m[2][i]])
}
