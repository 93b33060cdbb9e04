//! Bytes as black and white squares: what a program draws so that it can be
//! read from a window's pixels.
//!
//! The bytes go from the left to the right and from the top to the bottom, the
//! high bit first; the last four are a checksum. A picture that is torn,
//! dimmed or covered is not read.

use crate::picture::Picture;

const BLACK: [u8; 4] = [0; 4];
const WHITE: [u8; 4] = [0xff, 0xff, 0xff, 0];
const CHECKSUM_BYTES: usize = 4;

/// How the squares lie: in the upper left corner, without a gap.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// How many are side by side.
    pub columns: usize,
    /// How many rows there are; all squares together are whole bytes.
    pub rows: usize,
    /// How wide and high each is.
    pub square_px: usize,
}

impl Grid {
    /// The width and the height of all of them.
    pub const fn size_px(self) -> (u16, u16) {
        ((self.columns * self.square_px) as u16, (self.rows * self.square_px) as u16)
    }

    /// How many bytes it tells.
    pub const fn bytes(self) -> usize {
        self.columns * self.rows / 8 - CHECKSUM_BYTES
    }

    /// The pixels that tell these bytes, row by row; missing ones are zero.
    pub fn draw(self, told: &[u8]) -> Vec<[u8; 4]> {
        let mut bytes = told.to_vec();
        bytes.resize(self.bytes(), 0);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        let (width_px, height_px) = (self.columns * self.square_px, self.rows * self.square_px);
        let color = |x_px: usize, y_px: usize| {
            let index = y_px / self.square_px * self.columns + x_px / self.square_px;
            match bytes[index / 8] & (0x80 >> (index % 8)) != 0 {
                true => WHITE,
                false => BLACK,
            }
        };
        (0..height_px)
            .flat_map(|y| (0..width_px).map(move |x| (x, y)))
            .map(|(x, y)| color(x, y))
            .collect()
    }

    /// Reads the bytes from a picture's upper left corner, if every pixel is as
    /// it was drawn.
    pub fn read(self, picture: &Picture) -> Option<Vec<u8>> {
        let (width_px, height_px) = self.size_px();
        if picture.width_px < width_px.into() || picture.height_px < height_px.into() {
            return None;
        }
        let mut bytes = vec![0; self.bytes() + CHECKSUM_BYTES];
        for index in 0..self.columns * self.rows {
            let x_px = index % self.columns * self.square_px;
            let y_px = index / self.columns * self.square_px;
            let color = picture.at(x_px, y_px);
            let inside = (0..self.square_px).flat_map(|y| (0..self.square_px).map(move |x| (x, y)));
            let even = inside.into_iter().all(|(x, y)| picture.at(x_px + x, y_px + y) == color);
            match color {
                WHITE if even => bytes[index / 8] |= 0x80 >> (index % 8),
                BLACK if even => {}
                _ => return None,
            }
        }
        let told = bytes[bytes.len() - CHECKSUM_BYTES..].to_vec();
        bytes.truncate(self.bytes());
        (told == checksum(&bytes).to_be_bytes()).then_some(bytes)
    }
}

/// FNV-1a.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { columns: 10, rows: 8, square_px: 3 };

    #[test]
    fn bytes_are_read_back_and_a_changed_pixel_is_noticed() {
        let told = *b"glow\x81\0";
        let (width_px, height_px) = (usize::from(GRID.size_px().0), usize::from(GRID.size_px().1));
        let picture = Picture { width_px, height_px, pixels: GRID.draw(&told) };
        assert_eq!(GRID.read(&picture).as_deref(), Some(&told[..]));
        for at in [0, 77, picture.pixels.len() - 1] {
            let mut changed = picture.clone();
            changed.pixels[at] = [1, 2, 3, 0];
            assert_eq!(GRID.read(&changed), None);
        }
        let mut dimmed = picture.clone();
        for pixel in &mut dimmed.pixels {
            *pixel = pixel.map(|value| value / 2);
        }
        assert_eq!(GRID.read(&dimmed), None);
        // Every square in order, but two of them changed places.
        let mut torn = picture;
        torn.pixels.rotate_left(width_px * GRID.square_px);
        assert_eq!(GRID.read(&torn), None);
    }
}
