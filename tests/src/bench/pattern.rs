//! What a service draws so that it can be told from outside: a random number
//! and the time of its start, as black and white squares.

use crate::picture::Picture;
use anyhow::{Context, Result};
use std::io::Read;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ConnectionExt, CreateGCAux, CreateWindowAux, EventMask, Rectangle, WindowClass,
};

/// The pattern's width and height.
pub const SIZE_PX: (u16, u16) = (COLUMNS as u16 * SQUARE_PX as u16, ROWS as u16 * SQUARE_PX as u16);
const SQUARE_PX: usize = 8;
const COLUMNS: usize = 16;
const ROWS: usize = BYTES * 8 / COLUMNS;
/// Magic, number, time, checksum.
const BYTES: usize = 4 + 8 + 8 + 4;
const MAGIC: [u8; 4] = *b"glow";
const BLACK: [u8; 4] = [0; 4];
const WHITE: [u8; 4] = [0xff, 0xff, 0xff, 0];

/// What the pattern tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce {
    /// Drawn from the system's randomness when the service started.
    pub number: u64,
    /// When the service started, by CLOCK_MONOTONIC.
    pub started_us: u64,
}

impl Nonce {
    /// A fresh one.
    pub fn draw() -> Result<Self> {
        let started_us = crate::events::now_us();
        let mut number = [0; 8];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut number)?;
        Ok(Nonce { number: u64::from_ne_bytes(number), started_us })
    }

    fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..12].copy_from_slice(&self.number.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.started_us.to_be_bytes());
        let checksum = checksum(&bytes[..20]);
        bytes[20..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(bytes[at..at + 8].try_into().ok()?));
        let right = bytes[..4] == MAGIC && bytes[20..] == checksum(&bytes[..20]).to_be_bytes();
        right.then_some(Nonce { number: number(4)?, started_us: number(12)? })
    }

    /// Reads the pattern from a picture's upper left corner. Every pixel of it
    /// must be black or white: a dimmed picture shows none.
    pub fn read(picture: &Picture) -> Option<Self> {
        if picture.width_px < SIZE_PX.0.into() || picture.height_px < SIZE_PX.1.into() {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (index, (x_px, y_px)) in squares().enumerate() {
            let color = picture.at(x_px, y_px);
            let inside = (0..SQUARE_PX).flat_map(|y| (0..SQUARE_PX).map(move |x| (x, y)));
            let even = inside.into_iter().all(|(x, y)| picture.at(x_px + x, y_px + y) == color);
            match color {
                WHITE if even => bytes[index / 8] |= 0x80 >> (index % 8),
                BLACK if even => {}
                _ => return None,
            }
        }
        Nonce::from_bytes(&bytes)
    }
}

/// The upper left corner of each bit's square.
fn squares() -> impl Iterator<Item = (usize, usize)> {
    (0..ROWS).flat_map(|y| (0..COLUMNS).map(move |x| (x * SQUARE_PX, y * SQUARE_PX)))
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Shows a fresh number on all of the display that the environment names, for
/// as long as that runs.
pub fn show() -> Result<()> {
    let nonce = Nonce::draw()?;
    let (connection, screen) = x11rb::connect(None).context("the session's display")?;
    let screen = &connection.setup().roots[screen];
    let (window, black, white) =
        (connection.generate_id()?, connection.generate_id()?, connection.generate_id()?);
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
    connection.create_gc(black, window, &CreateGCAux::new().foreground(screen.black_pixel))?;
    connection.create_gc(white, window, &CreateGCAux::new().foreground(screen.white_pixel))?;
    connection.map_window(window)?;
    connection.flush()?;
    let bytes = nonce.to_bytes();
    let (ones, zeros): (Vec<_>, Vec<_>) = squares()
        .enumerate()
        .map(|(index, (x, y))| {
            let size = SQUARE_PX as u16;
            let square = Rectangle { x: x as i16, y: y as i16, width: size, height: size };
            (bytes[index / 8] & (0x80 >> (index % 8)) != 0, square)
        })
        .partition(|(one, _)| *one);
    let only = |squares: Vec<(bool, Rectangle)>| squares.into_iter().map(|(_, square)| square);
    let (ones, zeros): (Vec<_>, Vec<_>) = (only(ones).collect(), only(zeros).collect());
    loop {
        if let Event::Expose(_) = connection.wait_for_event()? {
            connection.poly_fill_rectangle(window, white, &ones)?;
            connection.poly_fill_rectangle(window, black, &zeros)?;
            connection.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(nonce: Nonce) -> Picture {
        let (width_px, height_px) = (usize::from(SIZE_PX.0), usize::from(SIZE_PX.1));
        let mut picture =
            Picture { width_px, height_px, pixels: vec![BLACK; width_px * height_px] };
        let bytes = nonce.to_bytes();
        for (index, (x, y)) in squares().enumerate() {
            if bytes[index / 8] & (0x80 >> (index % 8)) != 0 {
                for row in y..y + SQUARE_PX {
                    picture.pixels[row * width_px + x..][..SQUARE_PX].fill(WHITE);
                }
            }
        }
        picture
    }

    #[test]
    fn a_number_is_read_back_and_a_changed_pixel_is_noticed() {
        let nonce = Nonce { number: 0x0123_4567_89ab_cdef, started_us: 42 };
        let picture = drawn(nonce);
        assert_eq!(Nonce::read(&picture), Some(nonce));
        for at in [0, 77, picture.pixels.len() - 1] {
            let mut changed = picture.clone();
            changed.pixels[at] = [1, 2, 3, 0];
            assert_eq!(Nonce::read(&changed), None);
        }
        let mut dimmed = picture;
        for pixel in &mut dimmed.pixels {
            *pixel = pixel.map(|value| value / 2);
        }
        assert_eq!(Nonce::read(&dimmed), None);
    }
}
