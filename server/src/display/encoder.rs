//! Pictures in, display commands out; knows what the DTU has.

use super::motion;
use super::packing::Packer;
use super::picture::Picture;
use super::sampling;
use super::tiles::{Color, DirtyTiles, TILE_PX, Tile, changed_bounds, equal, uniform};
use super::video::Video;
use afterglow_wire::command::{Command, Rect};
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};
use afterglow_wire::ids::Size;
use afterglow_wire::limits::{FRAME_BYTES_MAX, SET_PIXELS_MAX};
use afterglow_wire::quality::Quality;

/// What one frame's payloads may come to. What is left waits for the next
/// frame, so no picture is too large.
const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX / 4;

/// How many things that moved at once are looked for.
const COPIES_MAX: usize = 2;

/// What a tile comes to.
const TILE_BYTES: usize = TILE_PX as usize * TILE_PX as usize * PIXEL_BYTES;

/// A screen whose pixels can be read.
pub trait Screen {
    /// Reads a rectangle that is inside the screen: `rect.pixels()` pixels of
    /// four bytes, row by row. The fourth byte of each means nothing. What is
    /// drawn meanwhile may be there in part; it is a change of its own.
    fn read(&self, rect: &Rect, pixels: &mut [u8]);
}

/// Turns what changes on a screen into display commands for one DTU.
pub struct Encoder {
    /// What the DTU has once it applied every command so far.
    shown: Picture,
    /// What it is to have: equal to `shown` but for the dirty tiles, and those
    /// that `video` knows it to have inexactly.
    next: Picture,
    dirty: DirtyTiles,
    video: Video,
    quality: Quality,
    /// The DTU knows nothing yet.
    fresh: bool,
    /// Some of what it has is not what we sent: nothing is copied from there.
    doubtful: bool,
    /// What the next picture has; the DTU hears of it with that picture.
    size: Size,
    packer: Packer,
    /// Room for a tile's pixels.
    tile: Box<[u8; TILE_BYTES]>,
    /// Room for luma and chroma.
    samples: Vec<u8>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({}, {} dirty tiles)", self.shown.size(), self.dirty.count())
    }
}

impl Encoder {
    /// For a DTU that knows nothing yet. Its first picture has to be whole.
    pub fn new(size: Size, quality: Quality) -> Self {
        Encoder {
            shown: Picture::new(size),
            next: Picture::new(size),
            dirty: DirtyTiles::new(size),
            video: Video::new(0),
            quality,
            fresh: true,
            doubtful: false,
            size,
            packer: Packer::new(),
            tile: Box::new([0; TILE_BYTES]),
            samples: Vec::new(),
        }
    }

    /// The framebuffer's size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// True if something that was captured is not sent yet, or is to be sent
    /// exactly by now ([`Encoder::refines_at_ms`]).
    pub fn is_behind(&self, now_ms: u64) -> bool {
        let unsent = self.fresh || self.size != self.shown.size() || self.dirty.count() > 0;
        unsent || self.refines_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// When something that the DTU has inexactly is to be sent exactly, unless
    /// it changes before; `None` if it has all that was sent exactly.
    pub fn refines_at_ms(&self) -> Option<u64> {
        let rests_at_ms = self.video.rests_at_ms()?;
        Some(if self.quality == Quality::Lossless { 0 } else { rests_at_ms })
    }

    /// How exact frames are from now on.
    pub fn set_quality(&mut self, quality: Quality) {
        self.quality = quality;
    }

    /// The framebuffer has a new size; the next picture has to be whole.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
    }

    /// What the DTU has.
    pub fn shown(&mut self) -> &Framebuffer {
        self.shown.write_all()
    }

    /// What the DTU has in this rectangle is not what it was sent: it gets it
    /// again. A rectangle that reaches outside is left out.
    pub fn distrust(&mut self, rect: &Rect) {
        if !rect.fits(self.shown.size()) || rect.is_empty() {
            return;
        }
        // No pixel is what it has to be, so that each is sent.
        let (shown, next) = (self.shown.write_rect(rect), self.next.write_rect(rect));
        copy_rect(next, shown, rect);
        for row in 0..rect.height_px {
            for pixel in shown.row_mut(rect, row).chunks_exact_mut(PIXEL_BYTES) {
                pixel[0] = !pixel[0];
            }
        }
        for index in self.dirty.touching(rect) {
            self.mark(index);
        }
        self.doubtful = true;
    }

    /// Takes the parts of the screen that changed, and gives the commands that
    /// bring the DTU up to it, in their order; none if nothing did. What
    /// reaches outside the framebuffer is left out. More than these parts may
    /// be read of the screen, but only whole tiles that they touch. `now_ms` is
    /// of a clock that only goes forward.
    pub fn encode(&mut self, changed: &[Rect], screen: &dyn Screen, now_ms: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        let resized = self.size != self.shown.size();
        if self.fresh || resized {
            self.follow_size();
            commands.push(Command::Size(self.size));
        }
        if std::mem::take(&mut self.fresh) {
            // Whatever the DTU had before, now it is black.
            commands.push(Command::Fill { rect: Rect::whole(self.size), color: [0; 4] });
        }
        let whole = Rect::whole(self.size);
        for rect in changed.iter().filter_map(|rect| rect.intersection(&whole)) {
            self.take(&rect, screen);
        }
        // With a new size hardly anything is where it was.
        if commands.is_empty() && !std::mem::take(&mut self.doubtful) {
            self.copy_what_moved(&mut commands);
        }
        // What moves as a whole is exact, so that it can be copied again.
        if commands.is_empty() && self.quality == Quality::Auto {
            // Tiles of several colours are written.
            self.video.watch(self.next.written(), &mut self.dirty, now_ms);
        }
        self.refine(now_ms);
        self.draw_what_is_left(&mut commands);
        commands
    }

    /// Does to our pictures what SIZE does to the DTU's.
    fn follow_size(&mut self) {
        for picture in [&mut self.shown, &mut self.next] {
            picture.resize(self.size);
        }
        self.dirty = DirtyTiles::new(self.size);
        self.video = Video::new(self.dirty.total());
        for index in self.dirty.touching(&Rect::whole(self.size)) {
            self.compare(index);
        }
    }

    /// Finds out whether a tile is dirty.
    fn compare(&mut self, index: usize) {
        let (shown, next) = (&self.shown, &self.next);
        let same = match (shown.noted(index), next.noted(index)) {
            (_, Some(color)) => shown.has(index, color),
            (Some(color), None) => next.has(index, color),
            (None, None) => equal(shown.written(), next.written(), &self.dirty.rect(index)),
        };
        match same {
            true => self.dirty.clear(index),
            false => self.mark(index),
        }
    }

    /// A tile is dirty.
    fn mark(&mut self, index: usize) {
        let rect = self.dirty.rect(index);
        let color = self.next.noted(index).or_else(|| uniform(self.next.written(), &rect));
        self.dirty.mark(index, color.map_or(Tile::Changed, Tile::Uniform));
    }

    /// Reads the tiles that a part of the screen touches, and takes those that
    /// differ. Each of them is read from far away once; the rest is done in
    /// the nearest cache.
    fn take(&mut self, changed: &Rect, screen: &dyn Screen) {
        for index in self.dirty.touching(changed) {
            let rect = self.dirty.rect(index);
            let bytes = rect.pixels() as usize * PIXEL_BYTES;
            let tile = &mut self.tile[..bytes];
            screen.read(&rect, tile);
            tile.chunks_exact_mut(PIXEL_BYTES).for_each(|pixel| pixel[3] = 0);
            // All pixels are the same if each is the same as the one after it.
            if tile[PIXEL_BYTES..] == tile[..bytes - PIXEL_BYTES] {
                let color = [tile[0], tile[1], tile[2], 0];
                if !self.next.has(index, color) {
                    self.next.note(index, color);
                    // What changed twice since the last frame may be back.
                    self.dirty.mark(index, Tile::Uniform(color));
                }
            } else {
                let known = self.next.noted(index).is_none();
                let next = self.next.overwrite(index);
                if !known || !holds(next, &rect, tile) {
                    next.set(&rect, tile);
                    self.dirty.mark(index, Tile::Changed);
                }
            }
        }
    }

    fn copy_what_moved(&mut self, commands: &mut Vec<Command>) {
        for _ in 0..COPIES_MAX {
            if !motion::is_likely(&self.dirty) {
                return;
            }
            let (shown, next) = (self.shown.write_all(), self.next.write_all());
            let Some(command) = motion::find(shown, next, &self.dirty) else { return };
            let Command::Copy { rect, from_x_px, from_y_px } = command else { return };
            shown.copy(&rect, from_x_px, from_y_px);
            for index in self.dirty.touching(&rect) {
                self.compare(index);
            }
            commands.push(command);
        }
    }

    /// What the DTU has inexactly, and that rests by now, has to be sent.
    fn refine(&mut self, now_ms: u64) {
        if self.refines_at_ms().is_none_or(|at_ms| at_ms > now_ms) {
            return;
        }
        for index in 0..self.dirty.total() {
            let rests = self.quality == Quality::Lossless || self.video.rests(index, now_ms);
            if rests && self.video.take_inexact(index) && !self.dirty.is_dirty(index) {
                self.compare(index);
            }
        }
    }

    fn draw_what_is_left(&mut self, commands: &mut Vec<Command>) {
        let mut payload_bytes = 0;
        for (rect, tile) in self.dirty.merged() {
            match tile {
                Tile::Uniform(color) => {
                    self.fill(rect, color, commands);
                    self.clean(&rect, true);
                }
                Tile::Changed | Tile::Playing => {
                    // The user may have switched since it was seen to play.
                    let exact = tile == Tile::Changed || self.quality == Quality::Lossless;
                    for band in bands(&rect) {
                        if payload_bytes > PAYLOAD_BYTES_MAX {
                            return;
                        }
                        payload_bytes += match exact {
                            true => self.set(&band, commands),
                            false => self.cscs(&band, commands),
                        };
                        self.clean(&band, exact);
                    }
                }
            }
        }
    }

    /// The DTU has what was to be sent of a rectangle, exactly or not.
    fn clean(&mut self, rect: &Rect, exact: bool) {
        for index in self.dirty.touching(rect) {
            self.dirty.clear(index);
            self.video.sent(index, exact);
        }
    }

    fn fill(&mut self, rect: Rect, color: Color, commands: &mut Vec<Command>) {
        let mut tiles = self.dirty.touching(&rect);
        if tiles.all(|index| self.shown.has(index, color)) {
            return;
        }
        for index in self.dirty.touching(&rect) {
            self.shown.note(index, color);
        }
        commands.push(Command::Fill { rect, color });
    }

    /// Sends a rectangle's pixels, and gives how many bytes they came to.
    fn set(&mut self, rect: &Rect, commands: &mut Vec<Command>) -> usize {
        let (shown, next) = (self.shown.write_rect(rect), self.next.write_rect(rect));
        let Some(rect) = changed_bounds(shown, next, rect) else { return 0 };
        copy_rect(next, shown, &rect);
        let command = self.packer.pack(next, &rect);
        let bytes = command.payload_bytes();
        commands.push(command);
        bytes
    }

    /// Likewise, but not exactly: the DTU then has what the samples become.
    fn cscs(&mut self, rect: &Rect, commands: &mut Vec<Command>) -> usize {
        let (shown, next) = (self.shown.write_rect(rect), self.next.write_rect(rect));
        let planes = sampling::sample(next, rect, &mut self.samples);
        shown.cscs(rect, &planes, &self.samples);
        let command = self.packer.cscs(rect, planes, &self.samples);
        let bytes = command.payload_bytes();
        commands.push(command);
        bytes
    }
}

/// True if a rectangle of a picture has these pixels.
fn holds(picture: &Framebuffer, rect: &Rect, pixels: &[u8]) -> bool {
    let rows = pixels.chunks_exact(usize::from(rect.width_px) * PIXEL_BYTES);
    (0..rect.height_px).zip(rows).all(|(row, pixels)| picture.row(rect, row) == pixels)
}

fn copy_rect(from: &Framebuffer, to: &mut Framebuffer, rect: &Rect) {
    let stride = to.stride();
    let len = usize::from(rect.width_px) * PIXEL_BYTES;
    let mut start = usize::from(rect.y_px) * stride + usize::from(rect.x_px) * PIXEL_BYTES;
    for row in 0..rect.height_px {
        to.pixels_mut()[start..start + len].copy_from_slice(from.row(rect, row));
        start += stride;
    }
}

/// Cuts a rectangle of whole tiles into such that a SET may have.
fn bands(rect: &Rect) -> impl Iterator<Item = Rect> + use<> {
    let rect = *rect;
    let tiles = SET_PIXELS_MAX / u32::from(rect.width_px) / u32::from(TILE_PX);
    let rows = tiles.clamp(1, u32::from(u16::MAX / TILE_PX)) as u16 * TILE_PX;
    (0..rect.height_px).step_by(usize::from(rows)).map(move |top| {
        Rect::new(rect.x_px, rect.y_px + top, rect.width_px, rows.min(rect.height_px - top))
    })
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
