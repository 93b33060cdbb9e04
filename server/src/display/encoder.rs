//! Pictures in, display commands out; knows what the DTU has.

use super::motion;
use super::packing::Packer;
use super::sampling;
use super::tiles::{Color, DirtyTiles, TILE_PX, Tile, changed_bounds, equal};
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

/// A part of the screen as it was captured: rows of four-byte pixels, of
/// which the fourth byte means nothing.
#[derive(Debug, Clone, Copy)]
pub struct Patch<'a> {
    /// Where it is.
    pub rect: Rect,
    /// `rect.pixels()` pixels.
    pub pixels: &'a [u8],
}

/// Turns what changes on a screen into display commands for one DTU.
pub struct Encoder {
    /// What the DTU has once it applied every command so far.
    shown: Framebuffer,
    /// What it is to have: equal to `shown` but for the dirty tiles, and those
    /// that `video` knows it to have inexactly.
    next: Framebuffer,
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
            shown: Framebuffer::new(size),
            next: Framebuffer::new(size),
            dirty: DirtyTiles::new(size),
            video: Video::new(0),
            quality,
            fresh: true,
            doubtful: false,
            size,
            packer: Packer::new(),
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
    pub fn shown(&self) -> &Framebuffer {
        &self.shown
    }

    /// What the DTU has in this rectangle is not what it was sent: it gets it
    /// again. A rectangle that reaches outside is left out.
    pub fn distrust(&mut self, rect: &Rect) {
        if !rect.fits(self.shown.size()) || rect.is_empty() {
            return;
        }
        // No pixel is what it has to be, so that each is sent.
        copy_rect(&self.next, &mut self.shown, rect);
        for row in 0..rect.height_px {
            for pixel in self.shown.row_mut(rect, row).chunks_exact_mut(PIXEL_BYTES) {
                pixel[0] = !pixel[0];
            }
        }
        for index in self.dirty.touching(rect) {
            self.dirty.mark(index, &self.next);
        }
        self.doubtful = true;
    }

    /// Takes what was captured and gives the commands that bring the DTU up
    /// to it, in their order; none if nothing changed. Patches that reach
    /// outside the framebuffer are left out. `now_ms` is of a clock that only
    /// goes forward.
    pub fn encode(&mut self, patches: &[Patch<'_>], now_ms: u64) -> Vec<Command> {
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
        for patch in patches {
            let bytes = patch.rect.pixels() as usize * PIXEL_BYTES;
            let fits = patch.rect.fits(self.size) && !patch.rect.is_empty();
            if fits && patch.pixels.len() == bytes {
                self.take(patch);
            }
        }
        // With a new size hardly anything is where it was.
        if commands.is_empty() && !std::mem::take(&mut self.doubtful) {
            self.copy_what_moved(&mut commands);
        }
        // What moves as a whole is exact, so that it can be copied again.
        if commands.is_empty() && self.quality == Quality::Auto {
            self.video.watch(&self.next, &mut self.dirty, now_ms);
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
        match equal(&self.shown, &self.next, &self.dirty.rect(index)) {
            true => self.dirty.clear(index),
            false => self.dirty.mark(index, &self.next),
        }
    }

    /// Compares a patch with the picture and copies what differs, in one pass.
    fn take(&mut self, patch: &Patch<'_>) {
        let patch_stride = usize::from(patch.rect.width_px) * PIXEL_BYTES;
        let stride = self.next.stride();
        for index in self.dirty.touching(&patch.rect) {
            let Some(part) = self.dirty.rect(index).intersection(&patch.rect) else { continue };
            let len = usize::from(part.width_px) * PIXEL_BYTES;
            let mut source = usize::from(part.y_px - patch.rect.y_px) * patch_stride
                + usize::from(part.x_px - patch.rect.x_px) * PIXEL_BYTES;
            let mut target = usize::from(part.y_px) * stride + usize::from(part.x_px) * PIXEL_BYTES;
            let mut changed = false;
            for _ in 0..part.height_px {
                let new = &patch.pixels[source..source + len];
                let old = &mut self.next.pixels_mut()[target..target + len];
                changed |= take_row(old, new);
                source += patch_stride;
                target += stride;
            }
            if changed {
                // What changed twice since the last frame may be back.
                self.dirty.mark(index, &self.next);
            }
        }
    }

    fn copy_what_moved(&mut self, commands: &mut Vec<Command>) {
        for _ in 0..COPIES_MAX {
            let found = motion::find(&self.shown, &self.next, &self.dirty);
            let Some(command) = found else { return };
            let Command::Copy { rect, from_x_px, from_y_px } = command else { return };
            self.shown.copy(&rect, from_x_px, from_y_px);
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
        if equal(&self.shown, &self.next, &rect) {
            return;
        }
        for row in 0..rect.height_px {
            let row = self.shown.row_mut(&rect, row);
            row.chunks_exact_mut(PIXEL_BYTES).for_each(|pixel| pixel.copy_from_slice(&color));
        }
        commands.push(Command::Fill { rect, color });
    }

    /// Sends a rectangle's pixels, and gives how many bytes they came to.
    fn set(&mut self, rect: &Rect, commands: &mut Vec<Command>) -> usize {
        let Some(rect) = changed_bounds(&self.shown, &self.next, rect) else { return 0 };
        copy_rect(&self.next, &mut self.shown, &rect);
        let command = self.packer.pack(&self.next, &rect);
        let bytes = command.payload_bytes();
        commands.push(command);
        bytes
    }

    /// Likewise, but not exactly: the DTU then has what the samples become.
    fn cscs(&mut self, rect: &Rect, commands: &mut Vec<Command>) -> usize {
        let planes = sampling::sample(&self.next, rect, &mut self.samples);
        self.shown.cscs(rect, &planes, &self.samples);
        let command = self.packer.cscs(rect, planes, &self.samples);
        let bytes = command.payload_bytes();
        commands.push(command);
        bytes
    }
}

/// Copies a row's pixels without their fourth bytes; true if one differed.
fn take_row(old: &mut [u8], new: &[u8]) -> bool {
    const MASK: u32 = 0x00ff_ffff;
    let pixel = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let pairs = old.chunks_exact(PIXEL_BYTES).zip(new.chunks_exact(PIXEL_BYTES));
    let differs = pairs.fold(0, |sum, (old, new)| sum | ((pixel(old) ^ pixel(new)) & MASK)) != 0;
    if differs {
        for (old, new) in old.chunks_exact_mut(PIXEL_BYTES).zip(new.chunks_exact(PIXEL_BYTES)) {
            old.copy_from_slice(&(pixel(new) & MASK).to_le_bytes());
        }
    }
    differs
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
