//! Which parts of the picture differ, and their merging into few rectangles.

use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};
use afterglow_wire::ids::Size;

/// A tile's side, in pixels.
pub const TILE_PX: u16 = 32;

/// Blue, green, red, 0.
pub type Color = [u8; 4];

/// What a dirty tile is drawn by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// It has one colour.
    Uniform(Color),
    /// It has several.
    Changed,
    /// It has many, and changes like a video: it need not be exact.
    Playing,
}

/// How a framebuffer is cut into tiles, which are numbered row by row.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    size: Size,
    columns: usize,
}

impl Grid {
    /// That of a framebuffer of this size.
    pub fn new(size: Size) -> Self {
        Grid { size, columns: usize::from(size.width_px().div_ceil(TILE_PX)) }
    }

    /// How many tiles there are.
    pub fn tiles(&self) -> usize {
        self.columns * usize::from(self.size.height_px().div_ceil(TILE_PX))
    }

    /// A tile's rectangle; at the right and bottom edge it may be smaller.
    pub fn rect(&self, index: usize) -> Rect {
        let x_px = (index % self.columns) as u16 * TILE_PX;
        let y_px = (index / self.columns) as u16 * TILE_PX;
        let (width_px, height_px) = (self.size.width_px(), self.size.height_px());
        Rect::new(x_px, y_px, TILE_PX.min(width_px - x_px), TILE_PX.min(height_px - y_px))
    }

    /// A rectangle that fits, grown to whole tiles.
    pub fn covering(&self, rect: &Rect) -> Rect {
        let (x_px, y_px) = (rect.x_px / TILE_PX * TILE_PX, rect.y_px / TILE_PX * TILE_PX);
        let end = |end_px: u32, size_px: u16| {
            end_px.next_multiple_of(TILE_PX.into()).min(size_px.into()) as u16
        };
        let right_px = end(rect.right_px(), self.size.width_px());
        let bottom_px = end(rect.bottom_px(), self.size.height_px());
        Rect::new(x_px, y_px, right_px - x_px, bottom_px - y_px)
    }

    /// The tiles that touch a rectangle that fits.
    pub fn touching(&self, rect: &Rect) -> impl Iterator<Item = usize> + use<> {
        let tile = usize::from(TILE_PX);
        let columns = self.columns;
        let (left, right) =
            (usize::from(rect.x_px) / tile, (rect.right_px() as usize).div_ceil(tile));
        let (top, bottom) =
            (usize::from(rect.y_px) / tile, (rect.bottom_px() as usize).div_ceil(tile));
        (top..bottom).flat_map(move |row| (left..right).map(move |column| row * columns + column))
    }
}

/// The tiles of a framebuffer that differ from what the DTU has.
#[derive(Debug)]
pub struct DirtyTiles {
    grid: Grid,
    /// What each tile has, if it is dirty.
    tiles: Vec<Option<Tile>>,
    count: usize,
}

impl DirtyTiles {
    /// All tiles of a framebuffer, none of them dirty.
    pub fn new(size: Size) -> Self {
        let grid = Grid::new(size);
        DirtyTiles { grid, tiles: vec![None; grid.tiles()], count: 0 }
    }

    /// How many are dirty.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A tile is dirty, and this is what it has.
    pub fn mark(&mut self, index: usize, tile: Tile) {
        self.count += usize::from(self.tiles[index].replace(tile).is_none());
    }

    /// A tile that has several colours need not be exact.
    pub fn play(&mut self, index: usize) {
        if let Some(tile @ Tile::Changed) = &mut self.tiles[index] {
            *tile = Tile::Playing;
        }
    }

    /// A tile is not dirty.
    pub fn clear(&mut self, index: usize) {
        self.count -= usize::from(self.tiles[index].take().is_some());
    }

    /// How many tiles there are, dirty or not.
    pub fn total(&self) -> usize {
        self.tiles.len()
    }

    /// True if a tile is dirty.
    pub fn is_dirty(&self, index: usize) -> bool {
        self.tiles[index].is_some()
    }

    /// A tile's rectangle ([`Grid::rect`]).
    pub fn rect(&self, index: usize) -> Rect {
        self.grid.rect(index)
    }

    /// The first tile of a rectangle that fits.
    pub fn first(&self, rect: &Rect) -> usize {
        usize::from(rect.y_px / TILE_PX) * self.grid.columns + usize::from(rect.x_px / TILE_PX)
    }

    /// A rectangle, grown to whole tiles ([`Grid::covering`]).
    pub fn covering(&self, rect: &Rect) -> Rect {
        self.grid.covering(rect)
    }

    /// The tiles that touch a rectangle ([`Grid::touching`]).
    pub fn touching(&self, rect: &Rect) -> impl Iterator<Item = usize> + use<> {
        self.grid.touching(rect)
    }

    /// The dirty tiles.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.tiles.len()).filter(|index| self.tiles[*index].is_some())
    }

    /// Those of them that have several colours.
    pub fn textured(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.tiles.len()).filter(|index| self.tiles[*index] == Some(Tile::Changed))
    }

    /// The smallest rectangle that covers every dirty tile.
    pub fn bounds(&self) -> Option<Rect> {
        self.iter().map(|index| self.rect(index)).reduce(|a, b| a.union(&b))
    }

    /// Merges those dirty tiles of a kind that are wanted into rectangles: runs
    /// along a row, and equal runs of rows below each other.
    pub fn merged(&self, wanted: impl Fn(usize) -> bool) -> Vec<(Rect, Tile)> {
        let mut done: Vec<(Rect, Tile)> = Vec::new();
        // The runs of the row above, which may go on: index into `done`.
        let mut above: Vec<usize> = Vec::new();
        for row in 0..self.tiles.len() / self.grid.columns {
            let mut here = Vec::new();
            for (rect, tile) in self.runs(row, &wanted) {
                let grown = above.iter().copied().find(|index| {
                    let (upper, kind) = &done[*index];
                    *kind == tile
                        && upper.x_px == rect.x_px
                        && upper.width_px == rect.width_px
                        && upper.bottom_px() == u32::from(rect.y_px)
                });
                let index = grown.unwrap_or(done.len());
                match grown {
                    Some(index) => done[index].0.height_px += rect.height_px,
                    None => done.push((rect, tile)),
                }
                here.push(index);
            }
            above = here;
        }
        done
    }

    fn runs(&self, row: usize, wanted: impl Fn(usize) -> bool) -> Vec<(Rect, Tile)> {
        let mut runs: Vec<(Rect, Tile)> = Vec::new();
        for index in row * self.grid.columns..(row + 1) * self.grid.columns {
            let Some(tile) = self.tiles[index].filter(|_| wanted(index)) else { continue };
            let rect = self.rect(index);
            match runs.last_mut() {
                Some((run, kind)) if *kind == tile && run.right_px() == u32::from(rect.x_px) => {
                    run.width_px += rect.width_px;
                }
                _ => runs.push((rect, tile)),
            }
        }
        runs
    }
}

/// The colour of a rectangle that has only one.
pub fn uniform(picture: &Framebuffer, rect: &Rect) -> Option<Color> {
    let color = *picture.row(rect, 0).first_chunk::<PIXEL_BYTES>()?;
    let first = picture.row(rect, 0);
    let one_color = first.chunks_exact(PIXEL_BYTES).all(|pixel| *pixel == color);
    (one_color && (1..rect.height_px).all(|row| picture.row(rect, row) == first)).then_some(color)
}

/// True if two pictures of one size agree on a rectangle.
pub fn equal(a: &Framebuffer, b: &Framebuffer, rect: &Rect) -> bool {
    (0..rect.height_px).all(|row| a.row(rect, row) == b.row(rect, row))
}

/// The smallest part of a rectangle outside which two pictures agree.
pub fn changed_bounds(a: &Framebuffer, b: &Framebuffer, rect: &Rect) -> Option<Rect> {
    let differs = |row: &u16| a.row(rect, *row) != b.row(rect, *row);
    let top = (0..rect.height_px).find(differs)?;
    let bottom = (0..rect.height_px).rev().find(differs)? + 1;
    let (mut left, mut right) = (usize::from(rect.width_px), 0);
    for row in top..bottom {
        let (a, b) = (a.row(rect, row), b.row(rect, row));
        let pixels = || a.chunks_exact(PIXEL_BYTES).zip(b.chunks_exact(PIXEL_BYTES));
        if let Some(first) = pixels().take(left).position(|(a, b)| a != b) {
            left = first;
        }
        let beyond = pixels().skip(right).rev().position(|(a, b)| a != b);
        if let Some(beyond) = beyond {
            right = usize::from(rect.width_px) - beyond;
        }
    }
    let (left, right) = (left as u16, right as u16);
    Some(Rect::new(rect.x_px + left, rect.y_px + top, right - left, bottom - top))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(size: Size, dots: &[(u16, u16)]) -> Framebuffer {
        let mut picture = Framebuffer::new(size);
        for (x, y) in dots {
            picture.set(&Rect::new(*x, *y, 1, 1), &[9, 9, 9, 0]);
        }
        picture
    }

    #[test]
    fn changed_bounds_are_tight() {
        let size = Size::new(100, 80).unwrap();
        let black = Framebuffer::new(size);
        let dots = picture(size, &[(30, 20), (50, 10), (41, 33)]);
        let whole = Rect::whole(size);
        assert_eq!(changed_bounds(&black, &dots, &whole), Some(Rect::new(30, 10, 21, 24)));
        assert_eq!(changed_bounds(&black, &black, &whole), None);
        let dot = picture(size, &[(99, 79)]);
        assert_eq!(changed_bounds(&black, &dot, &whole), Some(Rect::new(99, 79, 1, 1)));
    }

    #[test]
    fn tiles_of_one_kind_merge() {
        let size = Size::new(100, 100).unwrap();
        let mut tiles = DirtyTiles::new(size);
        for index in tiles.touching(&Rect::whole(size)) {
            tiles.mark(index, Tile::Uniform([0; 4]));
        }
        assert_eq!((tiles.count(), tiles.textured().count()), (16, 0));
        assert_eq!(tiles.merged(|_| true), vec![(Rect::whole(size), Tile::Uniform([0; 4]))]);
        tiles.mark(15, Tile::Changed);
        assert_eq!(tiles.textured().collect::<Vec<_>>(), [15]);
        let merged = tiles.merged(|_| true);
        let area: u32 = merged.iter().map(|(rect, _)| rect.pixels()).sum();
        assert_eq!(area, 100 * 100);
        assert!(merged.contains(&(Rect::new(96, 96, 4, 4), Tile::Changed)));
        (0..16).for_each(|index| tiles.clear(index));
        assert_eq!((tiles.count(), tiles.merged(|_| true)), (0, vec![]));
    }

    #[test]
    fn touching_covers_the_edges() {
        let tiles = DirtyTiles::new(Size::new(100, 100).unwrap());
        assert_eq!(tiles.touching(&Rect::new(31, 31, 2, 1)).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(tiles.touching(&Rect::new(99, 99, 1, 1)).collect::<Vec<_>>(), [15]);
        let grid = Grid::new(Size::new(100, 100).unwrap());
        assert_eq!(grid.covering(&Rect::new(31, 32, 2, 1)), Rect::new(0, 32, 64, 32));
        assert_eq!(grid.covering(&Rect::new(99, 99, 1, 1)), Rect::new(96, 96, 4, 4));
    }
}
