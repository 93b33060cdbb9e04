//! Where the session's picture is on the window, and which of its pixels is
//! beneath the pointer.

/// What is done about a picture that has not the window's size
/// (`--scale fit|1:1|integer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Scale {
    /// As large as fits, its proportions kept.
    #[default]
    Fit,
    /// Pixel for pixel; what is larger than the window is cut off at all sides.
    #[value(name = "1:1")]
    Unscaled,
    /// The largest whole multiple that fits, with sharp pixels; like fit where
    /// not even one fits.
    Integer,
}

/// Where a picture is on the window, in the window's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The left edge; negative if it is cut off.
    pub x_px: i32,
    /// The top edge, likewise.
    pub y_px: i32,
    /// The width.
    pub width_px: u32,
    /// The height.
    pub height_px: u32,
    /// True if each pixel becomes a square of its own, rather than to be
    /// blended with its neighbours.
    pub sharp: bool,
}

impl Placement {
    /// In the middle of the window. Sizes are width and height in pixels.
    pub fn of(scale: Scale, picture_px: (u32, u32), window_px: (u32, u32)) -> Self {
        let (picture_w, picture_h) = picture_px;
        let times = |factor: u32| (picture_w * factor, picture_h * factor);
        let factor = match scale {
            Scale::Fit => 0,
            Scale::Unscaled => 1,
            Scale::Integer => (window_px.0 / picture_w.max(1)).min(window_px.1 / picture_h.max(1)),
        };
        let (width_px, height_px) =
            if factor > 0 { times(factor) } else { fitting(picture_px, window_px) };
        let (width_px, height_px) = (width_px.max(1), height_px.max(1));
        Placement {
            x_px: (window_px.0 as i32 - width_px as i32) / 2,
            y_px: (window_px.1 as i32 - height_px as i32) / 2,
            width_px,
            height_px,
            sharp: factor > 0,
        }
    }

    /// True if each of the picture's pixels is one of the window's.
    pub fn is_unscaled(&self, picture_px: (u32, u32)) -> bool {
        (self.width_px, self.height_px) == picture_px
    }

    /// The picture's pixel at a place of the window, or the nearest one.
    pub fn picture_pixel(
        &self,
        picture_px: (u32, u32),
        window_x: f64,
        window_y: f64,
    ) -> (u16, u16) {
        let map = |at: f64, start: i32, length: u32, pixels: u32| {
            let inside = (at - f64::from(start)) * f64::from(pixels) / f64::from(length);
            inside.floor().clamp(0.0, f64::from(pixels.saturating_sub(1))) as u16
        };
        (
            map(window_x, self.x_px, self.width_px, picture_px.0),
            map(window_y, self.y_px, self.height_px, picture_px.1),
        )
    }
}

/// The largest size that fits with the proportions kept.
fn fitting(picture_px: (u32, u32), window_px: (u32, u32)) -> (u32, u32) {
    let ((picture_w, picture_h), (window_w, window_h)) = (picture_px, window_px);
    let (wide, high) =
        (u64::from(window_w) * u64::from(picture_h), u64::from(window_h) * u64::from(picture_w));
    if wide <= high {
        (window_w, (wide / u64::from(picture_w.max(1))) as u32)
    } else {
        ((high / u64::from(picture_h.max(1))) as u32, window_h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(x_px: i32, y_px: i32, width_px: u32, height_px: u32, sharp: bool) -> Placement {
        Placement { x_px, y_px, width_px, height_px, sharp }
    }

    #[test]
    fn a_picture_of_the_windows_size_covers_it() {
        for scale in [Scale::Fit, Scale::Unscaled, Scale::Integer] {
            let place = Placement::of(scale, (800, 600), (800, 600));
            assert_eq!(place, placed(0, 0, 800, 600, scale != Scale::Fit));
            assert!(place.is_unscaled((800, 600)));
            assert_eq!(place.picture_pixel((800, 600), 799.9, 0.2), (799, 0));
            assert_eq!(place.picture_pixel((800, 600), -5.0, 900.0), (0, 599));
        }
    }

    #[test]
    fn other_sizes_keep_their_proportions_in_the_middle() {
        let wide = Placement::of(Scale::Fit, (200, 100), (800, 600));
        assert_eq!(wide, placed(0, 100, 800, 400, false));
        let high = Placement::of(Scale::Fit, (100, 200), (800, 600));
        assert_eq!(high, placed(250, 0, 300, 600, false));
        assert_eq!(wide.picture_pixel((200, 100), 400.0, 300.0), (100, 50));
        assert_eq!(Placement::of(Scale::Fit, (8192, 16), (20, 20)).height_px, 1);
    }

    #[test]
    fn an_unscaled_picture_is_centred_and_cut_off_where_it_is_larger() {
        let smaller = Placement::of(Scale::Unscaled, (200, 100), (301, 300));
        assert_eq!(smaller, placed(50, 100, 200, 100, true));
        assert_eq!(smaller.picture_pixel((200, 100), 50.0, 199.9), (0, 99));
        let larger = Placement::of(Scale::Unscaled, (400, 100), (300, 300));
        assert_eq!(larger, placed(-50, 100, 400, 100, true));
        assert_eq!(larger.picture_pixel((400, 100), 0.0, 100.0), (50, 0));
        assert_eq!(larger.picture_pixel((400, 100), 299.0, 100.0), (349, 0));
    }

    #[test]
    fn a_whole_multiple_is_taken_where_one_fits() {
        let twice = Placement::of(Scale::Integer, (200, 100), (599, 300));
        assert_eq!(twice, placed(99, 50, 400, 200, true));
        assert_eq!(twice.picture_pixel((200, 100), 99.0 + 3.0, 50.0 + 2.0), (1, 1));
        let none = Placement::of(Scale::Integer, (200, 100), (199, 300));
        assert_eq!(none, Placement::of(Scale::Fit, (200, 100), (199, 300)));
    }
}
