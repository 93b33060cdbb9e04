//! What the notebook draws, many times a second: who it is, and how far it
//! got.

use crate::picture::Picture;
use crate::squares::Grid;

const GRID: Grid = Grid { columns: 22, rows: 16, square_px: 4 };
/// The width and the height of what tells it.
pub const SIZE_PX: (u16, u16) = GRID.size_px();
const MAGIC: [u8; 4] = *b"note";

/// One look at a notebook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    /// Drawn from the system's randomness when it started.
    pub instance: u64,
    /// Its process id.
    pub pid: u32,
    /// When this page was drawn, by CLOCK_MONOTONIC.
    pub drawn_us: u64,
    /// How many keys it received.
    pub keys: u32,
    /// The checksum of all characters that it received and holds in its memory
    /// alone.
    pub unsaved: u32,
    /// The last line that is safe in the user's home, from 1; the promise that
    /// a user relies on.
    pub saved: u32,
    /// How many lines could not be saved.
    pub failed: u32,
}

impl Page {
    /// The pixels that tell it.
    pub fn draw(&self) -> Vec<u8> {
        let bytes = [
            &MAGIC[..],
            &self.instance.to_be_bytes(),
            &self.pid.to_be_bytes(),
            &self.drawn_us.to_be_bytes(),
            &self.keys.to_be_bytes(),
            &self.unsaved.to_be_bytes(),
            &self.saved.to_be_bytes(),
            &self.failed.to_be_bytes(),
        ];
        GRID.draw(&bytes.concat()).concat()
    }

    /// Reads it from a picture's upper left corner.
    pub fn read(picture: &Picture) -> Option<Self> {
        let bytes = GRID.read(picture)?;
        let words = bytes.strip_prefix(&MAGIC)?.chunks_exact(4);
        let words: Vec<u32> =
            words.map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]])).collect();
        let [first, second, pid, third, fourth, keys, unsaved, saved, failed] = words[..] else {
            return None;
        };
        let long = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let (instance, drawn_us) = (long(first, second), long(third, fourth));
        Some(Page { instance, pid, drawn_us, keys, unsaved, saved, failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_back() {
        let page = Page {
            instance: u64::MAX - 1,
            pid: 17,
            drawn_us: 1 << 40,
            keys: 3,
            unsaved: 4,
            saved: 5,
            failed: 6,
        };
        let pixels = page.draw().chunks_exact(4).map(|p| [p[0], p[1], p[2], p[3]]).collect();
        let (width_px, height_px) = (SIZE_PX.0.into(), SIZE_PX.1.into());
        assert_eq!(Page::read(&Picture { width_px, height_px, pixels }), Some(page));
    }
}
