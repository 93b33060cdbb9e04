//! A picture of which some tiles are only known to have one colour.
//!
//! To fill a screen is the commonest of large changes, and all that it costs is
//! memory: each time its pixels are written or read is most of a millisecond.
//! So a tile of one colour is noted, and written when its pixels are needed.

use super::tiles::{Color, Grid};
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::Framebuffer;
use afterglow_wire::ids::Size;

/// The picture.
#[derive(Debug)]
pub struct Picture {
    pixels: Framebuffer,
    grid: Grid,
    /// The colour of each tile whose pixels are not written yet.
    noted: Vec<Option<Color>>,
    count: usize,
}

impl Picture {
    /// A black one.
    pub fn new(size: Size) -> Self {
        let grid = Grid::new(size);
        let noted = vec![None; grid.tiles()];
        Picture { pixels: Framebuffer::new(size), grid, noted, count: 0 }
    }

    /// Its size.
    pub fn size(&self) -> Size {
        self.pixels.size()
    }

    /// Gives it another size: what is inside both stays, the rest is black.
    pub fn resize(&mut self, size: Size) {
        self.write_all();
        self.pixels.resize(size);
        self.grid = Grid::new(size);
        self.noted = vec![None; self.grid.tiles()];
    }

    /// Gives a tile one colour.
    pub fn note(&mut self, index: usize, color: Color) {
        self.count += usize::from(self.noted[index].replace(color).is_none());
    }

    /// The colour of a tile, if that is all that is known of it.
    pub fn noted(&self, index: usize) -> Option<Color> {
        self.noted[index]
    }

    /// True if a tile has this colour everywhere.
    pub fn has(&self, index: usize, color: Color) -> bool {
        match self.noted[index] {
            Some(noted) => noted == color,
            None => {
                let rect = self.grid.rect(index);
                let row_has =
                    |row| self.pixels.row(&rect, row).as_chunks().0.iter().all(|p| *p == color);
                (0..rect.height_px).all(row_has)
            }
        }
    }

    /// The pixels, as far as they are written.
    pub fn written(&self) -> &Framebuffer {
        &self.pixels
    }

    /// The pixels, to write all of a tile's.
    pub fn overwrite(&mut self, index: usize) -> &mut Framebuffer {
        self.count -= usize::from(self.noted[index].take().is_some());
        &mut self.pixels
    }

    /// Writes the pixels of a tile, if that was not done yet.
    pub fn write(&mut self, index: usize) {
        if let Some(color) = self.noted[index] {
            let rect = self.grid.rect(index);
            self.overwrite(index).fill(&rect, color);
        }
    }

    /// All of its pixels that touch a rectangle are written.
    pub fn write_rect(&mut self, rect: &Rect) -> &mut Framebuffer {
        if self.count > 0 {
            for index in self.grid.touching(rect) {
                self.write(index);
            }
        }
        &mut self.pixels
    }

    /// All of its pixels.
    pub fn write_all(&mut self) -> &mut Framebuffer {
        if self.count > 0 {
            (0..self.noted.len()).for_each(|index| self.write(index));
        }
        &mut self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noted_tiles_are_written_when_they_are_needed_and_not_before() {
        let size = Size::new(80, 40).unwrap();
        let mut picture = Picture::new(size);
        picture.note(0, [1; 4]);
        picture.note(5, [2; 4]);
        assert!(picture.has(0, [1; 4]) && !picture.has(0, [0; 4]));
        assert!(picture.has(1, [0; 4]) && !picture.has(1, [1; 4]));
        assert!(picture.written().pixels().iter().all(|byte| *byte == 0));
        let pixels = picture.write_rect(&Rect::new(31, 31, 1, 1));
        assert_eq!(pixels.row(&Rect::new(31, 31, 2, 1), 0), [1, 1, 1, 1, 0, 0, 0, 0]);
        assert_eq!((picture.noted(0), picture.noted(5)), (None, Some([2; 4])));
        picture.note(0, [3; 4]);
        picture.resize(Size::new(70, 50).unwrap());
        let mut expected = Framebuffer::new(picture.size());
        expected.fill(&Rect::new(0, 0, 32, 32), [3; 4]);
        // Of the tile at the right and bottom edges six columns are left.
        expected.fill(&Rect::new(64, 32, 6, 8), [2; 4]);
        assert!(*picture.write_all() == expected);
    }
}
