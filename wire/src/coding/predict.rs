//! What is left of a byte once its neighbours are known: mostly next to
//! nothing, which is what makes pictures small.
//!
//! A row is a number of channels for each pixel, one after the other. All
//! sums are modulo 256; beyond the left edge and above the first row all is 0.

use super::COLOR_BYTES;
use crate::framebuffer::PIXEL_BYTES;

/// What a byte is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predictor {
    /// 0.
    Zero = 0,
    /// The byte of this channel to the left.
    Left = 1,
    /// The one above.
    Up = 2,
    /// The middle one of left, above, and left + above - the one between them:
    /// the right one along edges of either direction, and where it is smooth.
    Median = 3,
}

impl Predictor {
    /// By its number on the wire, if there is one of that number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Predictor::Zero,
            1 => Predictor::Left,
            2 => Predictor::Up,
            3 => Predictor::Median,
            _ => return None,
        })
    }
}

fn median(left: u8, above: u8, between: u8) -> u8 {
    let (low, high) = (left.min(above), left.max(above));
    if between >= high {
        low
    } else if between <= low {
        high
    } else {
        left.wrapping_add(above).wrapping_sub(between)
    }
}

/// Writes a row's residuals. `above` and `out` are as long as the row, which
/// has at least one pixel.
pub fn residuals<const CHANNELS: usize>(
    predictor: Predictor,
    above: &[u8],
    row: &[u8],
    out: &mut [u8],
) {
    match predictor {
        Predictor::Zero => out.copy_from_slice(row),
        Predictor::Left => {
            out[..CHANNELS].copy_from_slice(&row[..CHANNELS]);
            for ((out, byte), left) in out[CHANNELS..].iter_mut().zip(&row[CHANNELS..]).zip(row) {
                *out = byte.wrapping_sub(*left);
            }
        }
        Predictor::Up => {
            for ((out, byte), above) in out.iter_mut().zip(row).zip(above) {
                *out = byte.wrapping_sub(*above);
            }
        }
        Predictor::Median => {
            for ((out, byte), above) in out.iter_mut().zip(row).zip(above).take(CHANNELS) {
                *out = byte.wrapping_sub(*above);
            }
            let len = row.len() - CHANNELS;
            let (lefts, betweens) = (&row[..len], &above[..len]);
            let (bytes, aboves) = (&row[CHANNELS..], &above[CHANNELS..]);
            for (index, out) in out[CHANNELS..].iter_mut().enumerate() {
                let expected = median(lefts[index], aboves[index], betweens[index]);
                *out = bytes[index].wrapping_sub(expected);
            }
        }
    }
}

/// Turns a row's residuals into the row.
pub fn restore<const CHANNELS: usize>(predictor: Predictor, above: &[u8], row: &mut [u8]) {
    match predictor {
        Predictor::Zero => {}
        Predictor::Left => {
            let mut left = [0; CHANNELS];
            for pixel in row.chunks_exact_mut(CHANNELS) {
                for (byte, left) in pixel.iter_mut().zip(&mut left) {
                    *byte = byte.wrapping_add(*left);
                    *left = *byte;
                }
            }
        }
        Predictor::Up => {
            for (byte, above) in row.iter_mut().zip(above) {
                *byte = byte.wrapping_add(*above);
            }
        }
        Predictor::Median => {
            let (mut left, mut between) = ([0; CHANNELS], [0; CHANNELS]);
            for (pixel, above) in row.chunks_exact_mut(CHANNELS).zip(above.chunks_exact(CHANNELS)) {
                for channel in 0..CHANNELS {
                    let expected = median(left[channel], above[channel], between[channel]);
                    pixel[channel] = pixel[channel].wrapping_add(expected);
                    left[channel] = pixel[channel];
                    between[channel] = above[channel];
                }
            }
        }
    }
}

/// Writes pixels of four bytes as three that have less in common: green,
/// red - green, blue - green.
pub fn split_colors(pixels: &[u8], out: &mut [u8]) {
    for (pixel, out) in pixels.chunks_exact(PIXEL_BYTES).zip(out.chunks_exact_mut(COLOR_BYTES)) {
        let (blue, green, red) = (pixel[0], pixel[1], pixel[2]);
        out.copy_from_slice(&[green, red.wrapping_sub(green), blue.wrapping_sub(green)]);
    }
}

/// The reverse of [`split_colors`]; fourth bytes become 0.
pub fn join_colors(split: &[u8], pixels: &mut [u8]) {
    for (split, pixel) in split.chunks_exact(COLOR_BYTES).zip(pixels.chunks_exact_mut(PIXEL_BYTES))
    {
        let (green, red, blue) = (split[0], split[1], split[2]);
        let pixel_bytes = [blue.wrapping_add(green), green, red.wrapping_add(green), 0];
        pixel.copy_from_slice(&pixel_bytes);
    }
}
