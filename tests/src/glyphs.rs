//! A word as xterm draws it: the bitmap of an X core font, drawn by an X
//! server.

use anyhow::{Context, Result, ensure};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, CreateGCAux, ImageFormat, Rectangle};
use x11rb::rust_connection::RustConnection;

/// xterm's font unless told otherwise (Debian's xfonts-base).
pub const XTERM_FONT: &str = "fixed";

/// A word's bitmap.
#[derive(Debug, Clone)]
pub struct Word {
    /// Its width.
    pub width_px: usize,
    /// Its height.
    pub height_px: usize,
    dots: Vec<bool>,
}

impl Word {
    /// Draws the word (of ISO 8859-1 characters) with a core font of this X
    /// server.
    pub fn drawn(connection: &RustConnection, font_name: &str, text: &str) -> Result<Self> {
        let latin: Vec<u8> = text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).context("a character of ISO 8859-1"))
            .collect::<Result<_>>()?;
        ensure!(!latin.is_empty(), "a word has a character");
        let root = connection.setup().roots[0].root;
        let (font, pixmap, gc) =
            (connection.generate_id()?, connection.generate_id()?, connection.generate_id()?);
        connection.open_font(font, font_name.as_bytes())?.check().context("the font")?;
        let metrics = connection.query_font(font)?.reply()?;
        let width_px = metrics.max_bounds.character_width as u16 * latin.len() as u16;
        let height_px = (metrics.font_ascent + metrics.font_descent) as u16;
        connection.create_pixmap(1, pixmap, root, width_px, height_px)?.check()?;
        let colors = CreateGCAux::new().foreground(0).background(0).font(font);
        connection.create_gc(gc, pixmap, &colors)?.check()?;
        let all = Rectangle { x: 0, y: 0, width: width_px, height: height_px };
        connection.poly_fill_rectangle(pixmap, gc, &[all])?;
        let ink = x11rb::protocol::xproto::ChangeGCAux::new().foreground(1);
        connection.change_gc(gc, &ink)?;
        connection.image_text8(pixmap, gc, 0, metrics.font_ascent, &latin)?.check()?;
        let image = connection
            .get_image(ImageFormat::Z_PIXMAP, pixmap, 0, 0, width_px, height_px, !0)?
            .reply()?;
        connection.free_pixmap(pixmap)?;
        connection.free_gc(gc)?;
        connection.close_font(font)?;
        let stride = image.data.len() / usize::from(height_px);
        let lsb_first = u8::from(connection.setup().bitmap_format_bit_order) == 0;
        let dots = (0..usize::from(height_px))
            .flat_map(|y| (0..usize::from(width_px)).map(move |x| (x, y)))
            .map(|(x, y)| {
                let byte = image.data[y * stride + x / 8];
                let bit = if lsb_first { x % 8 } else { 7 - x % 8 };
                byte & (1 << bit) != 0
            })
            .collect();
        let word = Word { width_px: width_px.into(), height_px: height_px.into(), dots };
        ensure!(word.dots.contains(&true), "{text:?} has no visible character in {font_name}");
        Ok(word)
    }

    /// Every dot: where it is, and whether it is set.
    pub fn dots(&self) -> impl Iterator<Item = (usize, usize, bool)> {
        let width = self.width_px;
        self.dots.iter().enumerate().map(move |(at, set)| (at % width, at / width, *set))
    }

    /// Where the first dot is that is set, or not set.
    pub(crate) fn first(&self, set: bool) -> (usize, usize) {
        let at = self.dots.iter().position(|dot| *dot == set).unwrap_or(0);
        (at % self.width_px, at / self.width_px)
    }
}
