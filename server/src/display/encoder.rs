//! Pictures in, display commands out; knows what the DTU has.

use super::motion;
use super::packing::Packer;
use super::picture::Picture;
use super::sampling;
use super::tiles::{Color, DirtyTiles, TILE_PX, Tile, changed_bounds, equal, uniform};
use super::turns::Turns;
use super::video::Video;
use afterglow_wire::command::{Command, Rect};
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};
use afterglow_wire::ids::Size;
use afterglow_wire::limits::{FRAME_BYTES_MAX, SET_PIXELS_MAX};
use afterglow_wire::quality::Quality;

/// What one frame's payloads may come to, whatever the link takes. What is left
/// waits for the next frame, so no picture is too large.
const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX / 4;
/// What a command comes to without its payload, about.
const COMMAND_BYTES: usize = 16;

/// How many things that moved at once are looked for.
const COPIES_MAX: usize = 2;

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
    /// What the next frame's commands may come to, about.
    frame_bytes_max: usize,
    turns: Turns,
    /// Room for the pixels of a row of tiles.
    band: Vec<u8>,
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
            frame_bytes_max: PAYLOAD_BYTES_MAX,
            turns: Turns::new(0),
            band: Vec::new(),
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

    /// What the next frame may come to, in bytes. It is kept to within a few
    /// tiles; what there is no room for follows with the frames
    /// after it.
    pub fn set_frame_bytes_max(&mut self, bytes: usize) {
        self.frame_bytes_max = bytes.min(PAYLOAD_BYTES_MAX);
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
        self.turns.begin();
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
        self.turns = Turns::new(self.dirty.total());
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
    /// differ. The screen is far away: each row of it is read once and at one
    /// go, and the rest is done in near caches.
    fn take(&mut self, changed: &Rect, screen: &dyn Screen) {
        let part = self.dirty.covering(changed);
        let stride = usize::from(part.width_px) * PIXEL_BYTES;
        let mut band = std::mem::take(&mut self.band);
        for top_px in (part.y_px..part.bottom_px() as u16).step_by(TILE_PX.into()) {
            let height_px = TILE_PX.min(part.bottom_px() as u16 - top_px);
            let rect = Rect { y_px: top_px, height_px, ..part };
            band.resize(usize::from(height_px) * stride, 0);
            screen.read(&rect, &mut band);
            for index in self.dirty.touching(&rect) {
                let left = usize::from(self.dirty.rect(index).x_px - part.x_px) * PIXEL_BYTES;
                self.take_tile(index, &mut band[left..], stride);
            }
        }
        self.band = band;
    }

    /// Takes a tile, of which the rows begin so many bytes after each other.
    fn take_tile(&mut self, index: usize, pixels: &mut [u8], stride: usize) {
        let rect = self.dirty.rect(index);
        let len = usize::from(rect.width_px) * PIXEL_BYTES;
        if let Some(color) = one_color(pixels.chunks(stride).map(|row| &row[..len])) {
            if !self.next.has(index, color) {
                self.next.note(index, color);
                // What changed twice since the last frame may be back.
                self.dirty.mark(index, Tile::Uniform(color));
                self.turns.changed(index);
            }
            return;
        }
        let mut differs = self.next.noted(index).is_some();
        let next = self.next.overwrite(index);
        for (row, new) in (0..rect.height_px).zip(pixels.chunks_mut(stride)) {
            let (old, new) = (next.row_mut(&rect, row), &mut new[..len]);
            new.chunks_exact_mut(PIXEL_BYTES).for_each(|pixel| pixel[3] = 0);
            if old != new {
                old.copy_from_slice(new);
                differs = true;
            }
        }
        if differs {
            self.dirty.mark(index, Tile::Changed);
            self.turns.changed(index);
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
        let (half, mut bytes) = (self.frame_bytes_max / 2, 0);
        for age in self.turns.ages() {
            let Some(room) = half.checked_sub(bytes) else { break };
            let urgent = self.dirty.merged(|index| self.turns.is_of_age(index, age));
            bytes += self.draw_all(urgent, 0, room, commands).0;
        }
        let room = self.frame_bytes_max.saturating_sub(bytes);
        let all = self.dirty.merged(|_| true);
        let (_, stopped_at) = self.draw_all(all, self.turns.first(), room, commands);
        self.turns.stopped(stopped_at);
    }

    /// Draws rectangles of whole tiles, from this tile on and around, until
    /// there is no room any more; gives how many bytes they came to, and the
    /// first tile for which there was none.
    fn draw_all(
        &mut self,
        rects: Vec<(Rect, Tile)>,
        from: usize,
        room: usize,
        commands: &mut Vec<Command>,
    ) -> (usize, Option<usize>) {
        let cut = |(rect, tile)| self.bands(&rect, tile).map(move |band| (band, tile));
        let mut bands: Vec<(Rect, Tile)> = rects.into_iter().flat_map(cut).collect();
        bands.sort_by_key(|(band, _)| self.dirty.first(band));
        let before = bands.partition_point(|(band, _)| self.dirty.first(band) < from);
        bands.rotate_left(before);
        let mut bytes = 0;
        for (band, tile) in bands {
            if bytes > room {
                return (bytes, Some(self.dirty.first(&band)));
            }
            bytes += COMMAND_BYTES + self.draw(&band, tile, commands);
        }
        (bytes, None)
    }

    /// Draws a rectangle of whole tiles of one kind; gives how many bytes of
    /// payload that takes.
    fn draw(&mut self, rect: &Rect, tile: Tile, commands: &mut Vec<Command>) -> usize {
        // The user may have switched since it was seen to play.
        let exact = tile != Tile::Playing || self.quality == Quality::Lossless;
        let bytes = match tile {
            Tile::Uniform(color) => {
                self.fill(*rect, color, commands);
                0
            }
            _ if exact => self.set(rect, commands),
            _ => self.cscs(rect, commands),
        };
        self.clean(rect, exact);
        bytes
    }

    /// Cuts a rectangle of whole tiles into such that a command may have, and
    /// that leave a frame room for others. A colour is not cut.
    fn bands(&self, rect: &Rect, tile: Tile) -> impl Iterator<Item = Rect> + use<> {
        let (rect, side) = (*rect, u32::from(TILE_PX));
        // A pixel of a photograph takes up to two bytes.
        let pixels =
            SET_PIXELS_MAX.min(u32::try_from(self.frame_bytes_max / 8).unwrap_or(u32::MAX));
        let whole_tiles = |px: u32, len_px: u16| match tile {
            Tile::Uniform(_) => len_px,
            _ => (px / side * side).max(side).min(len_px.into()) as u16,
        };
        let width_px = whole_tiles(pixels / side, rect.width_px);
        let height_px = whole_tiles(pixels / u32::from(width_px), rect.height_px);
        let tops = (0..rect.height_px).step_by(height_px.into());
        tops.flat_map(move |top| {
            (0..rect.width_px).step_by(width_px.into()).map(move |left| {
                let (width_px, height_px) =
                    (width_px.min(rect.width_px - left), height_px.min(rect.height_px - top));
                Rect::new(rect.x_px + left, rect.y_px + top, width_px, height_px)
            })
        })
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

/// The colour of pixels that all have it, whatever their fourth bytes are.
fn one_color<'a>(mut rows: impl Iterator<Item = &'a [u8]>) -> Option<Color> {
    const MASK: u32 = 0x00ff_ffff;
    let words = |row: &'a [u8]| row.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    let mut first = None;
    let even = rows.all(|row| {
        let color = *first.get_or_insert_with(|| words(row).next().unwrap_or(0));
        words(row).fold(0, |sum, word| sum | ((word ^ color) & MASK)) == 0
    });
    first.filter(|_| even).map(|color| (color & MASK).to_le_bytes())
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

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
