//! The session's pointer shape, drawn by the window system: at once at any
//! latency, and never part of the picture.

use afterglow_wire::command::CursorShape;
use winit::window::{CustomCursor, CustomCursorSource};

/// The shape as the window system wants it; `None` if it has no pixel, or is
/// none that the window system could draw.
pub fn source(shape: &CursorShape) -> Option<CustomCursorSource> {
    if shape.width_px == 0 || shape.height_px == 0 {
        return None;
    }
    let rgba = straight_rgba(&shape.pixels);
    let made = CustomCursor::from_rgba(
        rgba,
        shape.width_px,
        shape.height_px,
        shape.hot_x_px,
        shape.hot_y_px,
    );
    made.inspect_err(|error| tracing::warn!(%error, "the session's pointer cannot be drawn")).ok()
}

/// Premultiplied blue, green, red, alpha as straight red, green, blue, alpha.
fn straight_rgba(pixels: &[u8]) -> Vec<u8> {
    let straight = |part: u8, alpha: u8| {
        let rounded = (u32::from(part) * 255 + u32::from(alpha) / 2).checked_div(alpha.into());
        rounded.unwrap_or(0).min(255) as u8
    };
    pixels
        .chunks_exact(4)
        .flat_map(|p| [straight(p[2], p[3]), straight(p[1], p[3]), straight(p[0], p[3]), p[3]])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_straightened() {
        assert_eq!(straight_rgba(&[10, 20, 30, 255]), [30, 20, 10, 255]);
        assert_eq!(straight_rgba(&[0, 64, 128, 128]), [255, 128, 0, 128]);
        // More colour than its alpha allows, and no alpha at all.
        assert_eq!(straight_rgba(&[0, 0, 200, 100, 9, 9, 9, 0]), [255, 0, 0, 100, 0, 0, 0, 0]);
    }

    #[test]
    fn a_pointer_without_pixels_is_hidden() {
        let mut shape = CursorShape {
            width_px: 0,
            height_px: 0,
            hot_x_px: 0,
            hot_y_px: 0,
            pixels: bytes::Bytes::new(),
        };
        assert!(source(&shape).is_none());
        (shape.width_px, shape.height_px) = (1, 1);
        shape.pixels = bytes::Bytes::from_static(&[1, 2, 3, 255]);
        assert!(source(&shape).is_some());
    }
}
