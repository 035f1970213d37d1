//! Drawing on pictures: lines, boxes, dots, letters.

use image::{Rgb, RgbImage};
use ndarray::Array3;

use super::font;
use crate::{
    Result,
    face_set::rgb8_from_crop,
    frame::{Frame, FramePx, Rect},
};

/// A colour.
pub type Colour = [u8; 3];

/// Colours of the first tracks; they come round again.
pub const COLOURS: [Colour; 6] =
    [[80, 220, 120], [255, 170, 60], [90, 170, 255], [255, 110, 180], [240, 230, 80], [170, 130, 255]];

/// A picture that is drawn on. What lies outside of it is left out.
#[derive(Debug)]
pub struct Canvas {
    /// The picture.
    pub image: RgbImage,
}

/// Draws on a frame: `draw` gets its picture and the frame as it was. What isn't drawn on keeps its bits.
///
/// # Errors
/// Those of `draw`.
pub fn draw_on(frame: &mut Frame, draw: impl FnOnce(&mut Canvas, &Frame) -> Result<()>) -> Result<()> {
    let (x1, y1) = frame.picture.size_px();
    let whole = Rect { x0: 0, y0: 0, x1, y1 };
    let old = frame.picture.rgb_rect(whole);
    let mut canvas = Canvas { image: rgb8_from_crop(&old) };
    let blank = canvas.image.clone();
    draw(&mut canvas, frame)?;
    let delta = Array3::from_shape_fn(old.dim(), |(c, y, x)| {
        let (new, was) = (canvas.image.get_pixel(x as u32, y as u32), blank.get_pixel(x as u32, y as u32));
        if new == was { 0.0 } else { f32::from(new.0[c]) / 255.0 - old[[c, y, x]] }
    });
    frame.picture.add_rgb(whole, &delta);
    Ok(())
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: usize, height: usize, colour: Colour) -> Self {
        Self { image: RgbImage::from_pixel(width as u32, height as u32, Rgb(colour)) }
    }

    /// A square dot of `side` pixels around a point.
    pub fn dot(&mut self, p: FramePx, side: usize, colour: Colour) {
        if !(p.x.is_finite() && p.y.is_finite()) {
            return;
        }
        let start = |v: f64| (v - 0.5 * (side as f64 - 1.0)).floor() as i64;
        let (x0, y0) = (start(p.x), start(p.y));
        let side = side as i64;
        for y in y0.max(0)..(y0 + side).min(i64::from(self.image.height())) {
            for x in x0.max(0)..(x0 + side).min(i64::from(self.image.width())) {
                self.image.put_pixel(x as u32, y as u32, Rgb(colour));
            }
        }
    }

    /// A straight line, `thickness` pixels wide.
    pub fn line(&mut self, from: FramePx, to: FramePx, thickness: usize, colour: Colour) {
        let length = (to.x - from.x).hypot(to.y - from.y);
        // Steps of half a pixel leave no gaps; what is longer than any picture isn't worth the time.
        let n_steps = if length < 1e5 { (2.0 * length).ceil() as usize } else { 0 };
        for i in 0..=n_steps {
            let t = i as f64 / n_steps.max(1) as f64;
            let p = FramePx { x: from.x + t * (to.x - from.x), y: from.y + t * (to.y - from.y) };
            self.dot(p, thickness, colour);
        }
    }

    /// A frame `[x0, y0, x1, y1]`.
    pub fn frame(&mut self, [x0, y0, x1, y1]: [f64; 4], thickness: usize, colour: Colour) {
        let corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)].map(|(x, y)| FramePx { x, y });
        for i in 0..4 {
            self.line(corners[i], corners[(i + 1) % 4], thickness, colour);
        }
    }

    /// A line of letters, `scale` pixels a dot, its upper left corner at (x, y), on a dark ground.
    pub fn text(&mut self, text: &str, x: f64, y: f64, scale: usize, colour: Colour) {
        let step = scale as f64;
        for (i, letter) in text.chars().enumerate() {
            let left = x + 6.0 * step * i as f64;
            for (row, dots) in font::rows(letter).into_iter().enumerate() {
                for column in 0..6 {
                    let is_set = column < 5 && dots >> (4 - column) & 1 == 1;
                    let p =
                        FramePx { x: left + step * (column as f64 + 0.5), y: y + step * (row as f64 + 0.5) };
                    self.dot(p, scale, if is_set { colour } else { [16, 16, 20] });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_lies_where_it_was_asked_for_and_the_outside_is_left_out() {
        let mut canvas = Canvas::new(20, 10, [0; 3]);
        canvas.line(FramePx { x: -5.0, y: 4.5 }, FramePx { x: 40.0, y: 4.5 }, 1, [255; 3]);
        let lit = |canvas: &Canvas| canvas.image.pixels().filter(|p| p.0 == [255; 3]).count();
        assert_eq!(lit(&canvas), 20);
        assert_eq!(canvas.image.get_pixel(7, 4).0, [255; 3]);
        canvas.dot(FramePx { x: f64::NAN, y: 1.0 }, 3, [255; 3]);
        canvas.line(FramePx { x: 0.0, y: 0.0 }, FramePx { x: f64::INFINITY, y: 0.0 }, 1, [9; 3]);
        assert_eq!(lit(&canvas), 20);
        let mut canvas = Canvas::new(12, 7, [0; 3]);
        canvas.text("L1", 0.0, 0.0, 1, [255; 3]);
        assert_eq!(
            (0..7).filter(|y| canvas.image.get_pixel(0, *y).0 == [255; 3]).count(),
            7,
            "the stem of L"
        );
        assert_eq!(lit(&canvas), 7 + 4 + 7 + 1 + 2, "L and 1");
    }
}
