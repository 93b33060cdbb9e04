//! Which tiles change like a video does, and which of them the DTU has
//! inexactly.
//!
//! A tile plays if it changed again and again without a pause, if it looks
//! like a photograph, and if enough others do so with it. What is drawn (text
//! on an even ground, lines, few colours) never does, however often it changes.

use super::tiles::DirtyTiles;
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};

/// So many changes make a video.
const CHANGES_MIN: u8 = 4;
/// As long as each comes so soon after the one before. A slow link has few
/// frames a second, and needs this the most.
const PAUSE_MS_MAX: u64 = 500;
/// A tile that has not changed for this long rests, and becomes exact.
const RESTS_AFTER_MS: u64 = 200;
/// Fewer tiles that play cost little as they are.
const TILES_MIN: usize = 16;
/// Of so many rows one is looked at to tell a photograph.
const LOOKED_AT_ROWS: usize = 4;
/// A photograph has more colours than this among the pixels looked at...
const COLORS_MIN: u32 = 32;
/// ...and of so many neighbours fewer than one are alike.
const ALIKE_ONE_OF: usize = 3;

/// What is known of each tile.
#[derive(Debug)]
pub struct Video {
    tiles: Vec<History>,
    /// How many the DTU has inexactly.
    inexact: usize,
    /// Room for those that may play.
    playing: Vec<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct History {
    /// When it changed last.
    changed_at_ms: u64,
    /// How often it did so without a pause.
    changes: u8,
    inexact: bool,
}

impl Video {
    /// Of so many tiles nothing is known.
    pub fn new(tiles: usize) -> Self {
        Video { tiles: vec![History::default(); tiles], inexact: 0, playing: Vec::new() }
    }

    /// Notes that the dirty tiles changed, and finds those that play.
    pub fn watch(&mut self, next: &Framebuffer, dirty: &mut DirtyTiles, now_ms: u64) {
        self.playing.clear();
        for index in dirty.textured() {
            let tile = &mut self.tiles[index];
            let goes_on = now_ms.saturating_sub(tile.changed_at_ms) <= PAUSE_MS_MAX;
            tile.changes = if goes_on { tile.changes.saturating_add(1) } else { 1 };
            tile.changed_at_ms = now_ms;
            if tile.changes >= CHANGES_MIN && is_photographic(next, &dirty.rect(index)) {
                self.playing.push(index);
            }
        }
        if self.playing.len() >= TILES_MIN {
            self.playing.iter().for_each(|index| dirty.play(*index));
        }
    }

    /// Notes that the DTU has been sent a tile, exactly or not.
    pub fn sent(&mut self, index: usize, exact: bool) {
        let before = std::mem::replace(&mut self.tiles[index].inexact, !exact);
        self.inexact = self.inexact + usize::from(!exact) - usize::from(before);
    }

    /// True if a tile has not changed for a while.
    pub fn rests(&self, index: usize, now_ms: u64) -> bool {
        self.tiles[index].changed_at_ms + RESTS_AFTER_MS <= now_ms
    }

    /// True if the DTU has a tile inexactly, which is to end now: it has to
    /// change as often as any other before it plays again.
    pub fn take_inexact(&mut self, index: usize) -> bool {
        let inexact = self.tiles[index].inexact;
        if inexact {
            self.sent(index, true);
            self.tiles[index].changes = 0;
        }
        inexact
    }

    /// When the first of the tiles that the DTU has inexactly rests.
    pub fn rests_at_ms(&self) -> Option<u64> {
        if self.inexact == 0 {
            return None;
        }
        let inexact = self.tiles.iter().filter(|tile| tile.inexact);
        inexact.map(|tile| tile.changed_at_ms + RESTS_AFTER_MS).min()
    }
}

/// True if a rectangle has many colours, and few pixels like the ones beside
/// them. Colours are counted by a hash: never more than there are.
fn is_photographic(picture: &Framebuffer, rect: &Rect) -> bool {
    let mut seen = [0_u64; 16];
    let (mut alike, mut looked_at) = (0, 0);
    for row in (0..rect.height_px).step_by(LOOKED_AT_ROWS) {
        let mut before = None;
        for pixel in picture.row(rect, row).as_chunks::<PIXEL_BYTES>().0 {
            let bits = u32::from_le_bytes(*pixel).wrapping_mul(0x9e37_79b1) >> 22;
            seen[(bits >> 6) as usize] |= 1 << (bits & 63);
            alike += usize::from(before == Some(pixel));
            before = Some(pixel);
        }
        looked_at += usize::from(rect.width_px);
    }
    let colors: u32 = seen.iter().map(|bits| bits.count_ones()).sum();
    colors > COLORS_MIN && alike * ALIKE_ONE_OF < looked_at
}
