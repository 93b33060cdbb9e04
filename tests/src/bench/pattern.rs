//! What a service draws so that it can be told from outside: a random number
//! and the time of its start.

use crate::picture::Picture;
use crate::squares::Grid;
use anyhow::{Context, Result};
use std::io::Read;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ConnectionExt, CreateGCAux, CreateWindowAux, EventMask, ImageFormat, WindowClass,
};

const GRID: Grid = Grid { columns: 16, rows: 12, square_px: 8 };
/// The pattern's width and height.
pub const SIZE_PX: (u16, u16) = GRID.size_px();
const MAGIC: [u8; 4] = *b"glow";

/// What the pattern tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce {
    /// Drawn from the system's randomness when the service started.
    pub number: u64,
    /// When the service started, by CLOCK_MONOTONIC.
    pub started_us: u64,
}

/// A number that nobody has drawn before.
pub fn random() -> Result<u64> {
    let mut number = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut number)?;
    Ok(u64::from_ne_bytes(number))
}

impl Nonce {
    /// A fresh one.
    pub fn draw() -> Result<Self> {
        let started_us = crate::events::now_us();
        Ok(Nonce { number: random()?, started_us })
    }

    fn to_bytes(self) -> Vec<u8> {
        [&MAGIC[..], &self.number.to_be_bytes(), &self.started_us.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (number, started_us) = rest.split_first_chunk::<8>()?;
        Some(Nonce {
            number: u64::from_be_bytes(*number),
            started_us: u64::from_be_bytes(started_us.try_into().ok()?),
        })
    }

    /// Reads the pattern from a picture's upper left corner.
    pub fn read(picture: &Picture) -> Option<Self> {
        Nonce::from_bytes(&GRID.read(picture)?)
    }
}

/// Shows a fresh number on all of the display that the environment names, for
/// as long as that runs.
pub fn show() -> Result<()> {
    let nonce = Nonce::draw()?;
    let (connection, screen) = x11rb::connect(None).context("the session's display")?;
    let screen = &connection.setup().roots[screen];
    let (window, gc) = (connection.generate_id()?, connection.generate_id()?);
    let attributes = CreateWindowAux::new()
        .override_redirect(1)
        .background_pixel(screen.white_pixel)
        .event_mask(EventMask::EXPOSURE);
    connection.create_window(
        x11rb::COPY_DEPTH_FROM_PARENT,
        window,
        screen.root,
        0,
        0,
        screen.width_in_pixels,
        screen.height_in_pixels,
        0,
        WindowClass::INPUT_OUTPUT,
        x11rb::COPY_FROM_PARENT,
        &attributes,
    )?;
    connection.create_gc(gc, window, &CreateGCAux::new())?;
    connection.map_window(window)?;
    connection.flush()?;
    let pixels = GRID.draw(&nonce.to_bytes()).concat();
    let (width_px, height_px) = SIZE_PX;
    let depth = screen.root_depth;
    let format = ImageFormat::Z_PIXMAP;
    loop {
        if let Event::Expose(_) = connection.wait_for_event()? {
            connection
                .put_image(format, window, gc, width_px, height_px, 0, 0, 0, depth, &pixels)?;
            connection.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back() {
        let nonce = Nonce { number: 0x0123_4567_89ab_cdef, started_us: 42 };
        assert_eq!(nonce.to_bytes().len(), GRID.bytes());
        let (width_px, height_px) = (usize::from(SIZE_PX.0), usize::from(SIZE_PX.1));
        let pixels = GRID.draw(&nonce.to_bytes());
        assert_eq!(Nonce::read(&Picture { width_px, height_px, pixels }), Some(nonce));
    }
}
