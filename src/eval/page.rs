//! What pages are made of that need nothing but themselves.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};

/// The style of all pages.
pub(crate) const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2em .6em;text-align:right;\
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}tr.own{background:#eef6ee}\
figure{display:inline-block;margin:.5em 1em .5em 0}figcaption{color:#555}img{max-width:100%}\
.pair{position:relative;display:inline-block}.pair img+img{position:absolute;left:0;top:0;clip-path:inset(0 50% 0 0)}\
.pair+input{display:block;width:100%}svg{background:#fafafa;border:1px solid #ddd;margin:.3em}\
.enlarged{image-rendering:pixelated}";

/// A picture inside the page.
pub(crate) fn data_url(picture: &RgbImage, format: ImageFormat) -> String {
    let mut bytes = Cursor::new(Vec::new());
    if picture.write_to(&mut bytes, format).is_err() {
        return String::new(); // Writing to memory fails for pictures without pixels alone.
    }
    format!("data:{};base64,{}", format.to_mime_type(), base64(bytes.get_ref()))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// A text in which nothing is a tag.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, want) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), want);
        }
    }
}
