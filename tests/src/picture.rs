//! Pixels: taking them from an X server, comparing them, finding a word in
//! them, writing them down.

use crate::glyphs::Word;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, Drawable, ImageFormat};

/// A picture: rows of blue, green, red, 0.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its width.
    pub width_px: usize,
    /// Its height.
    pub height_px: usize,
    /// Its pixels, row by row from the top.
    pub pixels: Vec<[u8; 4]>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width_px, self.height_px)
    }
}

impl Picture {
    /// What a window or a screen shows (GetImage).
    pub fn of(
        connection: &impl Connection,
        drawable: Drawable,
        width_px: u16,
        height_px: u16,
    ) -> Result<Self> {
        let image = connection
            .get_image(ImageFormat::Z_PIXMAP, drawable, 0, 0, width_px, height_px, !0)?
            .reply()
            .context("GetImage")?;
        ensure!(image.depth == 24, "the drawable has depth {}, not 24", image.depth);
        let pixels = image.data.chunks_exact(4).map(|p| [p[0], p[1], p[2], 0]).collect();
        Ok(Picture { width_px: width_px.into(), height_px: height_px.into(), pixels })
    }

    /// The pixel at this place.
    pub fn at(&self, x_px: usize, y_px: usize) -> [u8; 4] {
        self.pixels[y_px * self.width_px + x_px]
    }

    /// Where the word stands: all its pixels in one colour, all around it in
    /// another.
    pub fn find(&self, word: &Word) -> Option<(usize, usize)> {
        let last_x = self.width_px.checked_sub(word.width_px)?;
        let last_y = self.height_px.checked_sub(word.height_px)?;
        (0..=last_y)
            .flat_map(|y| (0..=last_x).map(move |x| (x, y)))
            .find(|(x, y)| self.shows_at(word, *x, *y))
    }

    fn shows_at(&self, word: &Word, x_px: usize, y_px: usize) -> bool {
        let (ink_x, ink_y) = word.first(true);
        let (paper_x, paper_y) = word.first(false);
        let ink = self.at(x_px + ink_x, y_px + ink_y);
        let paper = self.at(x_px + paper_x, y_px + paper_y);
        ink != paper
            && word
                .dots()
                .all(|(x, y, set)| self.at(x_px + x, y_px + y) == if set { ink } else { paper })
    }

    /// True if every pixel has this one's colour.
    pub fn is_of_one_color(&self) -> bool {
        self.pixels.iter().all(|pixel| *pixel == self.pixels[0])
    }

    /// How many pixels differ from another picture of the same size.
    pub fn differing_pixels(&self, other: &Picture) -> Option<usize> {
        ((self.width_px, self.height_px) == (other.width_px, other.height_px)).then(|| {
            self.pixels.iter().zip(&other.pixels).filter(|(ours, theirs)| ours != theirs).count()
        })
    }

    /// By how much the channel differs that differs most from that of another
    /// picture of the same size.
    pub fn worst_difference(&self, other: &Picture) -> Option<u8> {
        let worst = |one: &[u8; 4], other: &[u8; 4]| {
            one.iter().zip(other).map(|(one, other)| one.abs_diff(*other)).max().unwrap_or(0)
        };
        ((self.width_px, self.height_px) == (other.width_px, other.height_px)).then(|| {
            let pixels = self.pixels.iter().zip(&other.pixels);
            pixels.map(|(one, other)| worst(one, other)).max().unwrap_or(0)
        })
    }

    /// The mean of all channels, 0 to 255.
    pub fn brightness(&self) -> f64 {
        let sum: u64 =
            self.pixels.iter().flat_map(|p| &p[..3]).map(|channel| u64::from(*channel)).sum();
        sum as f64 / (self.pixels.len() * 3) as f64
    }

    /// How many pixels are nearly white, as the OSD's letters are and nothing
    /// of a dimmed picture is.
    pub fn bright_pixels(&self) -> usize {
        self.to_rgb().pixels().filter(|pixel| pixel.0.iter().all(|value| *value > 230)).count()
    }

    /// As `image` knows it.
    pub fn to_rgb(&self) -> image::RgbImage {
        image::RgbImage::from_fn(self.width_px as u32, self.height_px as u32, |x, y| {
            let [blue, green, red, _] = self.at(x as usize, y as usize);
            image::Rgb([red, green, blue])
        })
    }

    /// Writes it to a PNG file.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.to_rgb().save(path).with_context(|| format!("cannot write {}", path.display()))
    }
}
