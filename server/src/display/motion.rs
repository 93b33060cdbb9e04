//! What only moved: scrolled text, dragged windows.
//!
//! A few distinctive runs of pixels of the new picture are looked for in the
//! old one: first straight up, down and sideways, which is cheap, then
//! anywhere. The offset that most of them agree on is tried, and the largest
//! rectangle for which it is exactly right becomes a COPY. So a wrong guess
//! costs time, never a wrong picture.

use super::tiles::{DirtyTiles, uniform};
use afterglow_wire::command::{Command, Rect};
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};
use std::collections::HashMap;

/// Fewer changed tiles with more than one colour are not worth the search.
const TEXTURED_TILES_MIN: usize = 8;
/// How many runs are looked for, and how long they are.
const ANCHORS_MAX: usize = 32;
const ANCHOR_PX: u16 = 16;
/// How often neighbouring pixels of a run differ, at least.
const TRANSITIONS_MIN: usize = 4;
/// A run that is found more often says nothing.
const FOUND_MAX: usize = 8;
/// How many runs have to agree on an offset.
const VOTES_MIN: usize = 3;
/// In a larger area runs are looked for straight only.
const ANYWHERE_PX_MAX: u32 = 2_500_000;
/// The grid on which the moved rectangle is found.
const BLOCK_PX: u16 = 16;
/// How many changed blocks a COPY has to set right.
const BLOCKS_MIN: usize = 8;

/// Blue, green, red, 0.
type Pixel = [u8; PIXEL_BYTES];

/// From the old place of something to its new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Offset {
    x_px: i32,
    y_px: i32,
}

/// A run of pixels of the new picture.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    x_px: u16,
    y_px: u16,
}

impl Anchor {
    fn rect(&self) -> Rect {
        Rect::new(self.x_px, self.y_px, ANCHOR_PX, 1)
    }
}

/// False if [`find`] would find nothing, whatever the pictures are.
pub fn is_likely(dirty: &DirtyTiles) -> bool {
    dirty.textured().nth(TEXTURED_TILES_MIN - 1).is_some()
}

/// The COPY that brings `shown` nearest to `next`, if one is worth it.
pub fn find(shown: &Framebuffer, next: &Framebuffer, dirty: &DirtyTiles) -> Option<Command> {
    let area = dirty.bounds()?;
    let anchors = anchors(next, dirty);
    if anchors.len() < VOTES_MIN {
        return None;
    }
    let straight = vote(&anchors, |anchor, found| straight(shown, next, &area, anchor, found));
    if let Some(copy) = straight.and_then(|offset| moved(shown, next, &area, offset)) {
        return Some(copy);
    }
    if area.pixels() > ANYWHERE_PX_MAX {
        return None;
    }
    let index = anywhere(shown, next, &area, &anchors);
    let offset = vote(&anchors, |anchor, found| {
        let hash = hash_of(pixels(next.row(&anchor.rect(), 0)));
        found.extend(index.get(&hash).into_iter().flatten().map(|place| offset(place, anchor)));
    });
    offset.and_then(|offset| moved(shown, next, &area, offset))
}

/// Distinctive runs, from changed tiles all over the picture.
fn anchors(next: &Framebuffer, dirty: &DirtyTiles) -> Vec<Anchor> {
    let textured: Vec<Rect> = dirty
        .textured()
        .map(|index| dirty.rect(index))
        .filter(|rect| rect.width_px >= ANCHOR_PX)
        .collect();
    if textured.len() < TEXTURED_TILES_MIN {
        return Vec::new();
    }
    let step = textured.len().div_ceil(ANCHORS_MAX);
    textured.iter().step_by(step).filter_map(|tile| distinctive(next, tile)).collect()
}

fn distinctive(next: &Framebuffer, tile: &Rect) -> Option<Anchor> {
    let transitions = |anchor: &Anchor| {
        let row = pixels(next.row(&anchor.rect(), 0));
        row.windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    let last_x = tile.x_px + tile.width_px - ANCHOR_PX;
    (tile.y_px..tile.y_px + tile.height_px)
        .flat_map(|y_px| [tile.x_px, last_x].map(|x_px| Anchor { x_px, y_px }))
        .find(|anchor| transitions(anchor) >= TRANSITIONS_MIN)
}

/// The offset that most anchors agree on.
fn vote(anchors: &[Anchor], mut find: impl FnMut(&Anchor, &mut Vec<Offset>)) -> Option<Offset> {
    let mut votes: HashMap<Offset, usize> = HashMap::new();
    let mut found = Vec::new();
    for anchor in anchors {
        found.clear();
        find(anchor, &mut found);
        if found.len() <= FOUND_MAX {
            found.iter().for_each(|offset| *votes.entry(*offset).or_default() += 1);
        }
    }
    votes.remove(&Offset { x_px: 0, y_px: 0 });
    // Of equals the shorter way, so that the same pictures always give the
    // same commands.
    let way = |offset: &Offset| offset.x_px.abs() + offset.y_px.abs();
    votes
        .into_iter()
        .filter(|(_, votes)| *votes >= VOTES_MIN)
        .max_by_key(|(offset, votes)| (*votes, -way(offset), offset.x_px, offset.y_px))
        .map(|(offset, _)| offset)
}

fn offset(from: &Anchor, to: &Anchor) -> Offset {
    Offset {
        x_px: i32::from(to.x_px) - i32::from(from.x_px),
        y_px: i32::from(to.y_px) - i32::from(from.y_px),
    }
}

/// Looks for a run in its own column and in its own row.
fn straight(
    shown: &Framebuffer,
    next: &Framebuffer,
    area: &Rect,
    anchor: &Anchor,
    found: &mut Vec<Offset>,
) {
    let wanted = next.row(&anchor.rect(), 0);
    let bottom = area.y_px + area.height_px;
    let column = (area.y_px..bottom).map(|y_px| Anchor { y_px, ..*anchor });
    let right = (area.x_px + area.width_px).saturating_sub(ANCHOR_PX);
    let row = (area.x_px..=right).map(|x_px| Anchor { x_px, ..*anchor });
    for place in column.chain(row) {
        let there = shown.row(&place.rect(), 0);
        // Most differ in their first pixel.
        if there[..PIXEL_BYTES] == wanted[..PIXEL_BYTES] && there == wanted {
            found.push(offset(&place, anchor));
            if found.len() > FOUND_MAX {
                return;
            }
        }
    }
}

/// Where in the old picture runs with the anchors' hashes are.
fn anywhere(
    shown: &Framebuffer,
    next: &Framebuffer,
    area: &Rect,
    anchors: &[Anchor],
) -> HashMap<u64, Vec<Anchor>> {
    let mut index: HashMap<u64, Vec<Anchor>> = HashMap::new();
    // A small table that says "no" to almost every hash at once.
    let mut maybe = [false; 4096];
    for anchor in anchors {
        let hash = hash_of(pixels(next.row(&anchor.rect(), 0)));
        maybe[slot(hash)] = true;
        index.insert(hash, Vec::new());
    }
    let run = usize::from(ANCHOR_PX);
    let leaving = FACTOR.wrapping_pow(u32::from(ANCHOR_PX));
    for row in 0..area.height_px {
        let line = pixels(shown.row(area, row));
        if line.len() < run {
            return index;
        }
        let mut hash = hash_of(&line[..run]);
        for start in 0.. {
            if maybe[slot(hash)]
                && let Some(places) = index.get_mut(&hash)
                && places.len() <= FOUND_MAX
            {
                places.push(Anchor { x_px: area.x_px + start as u16, y_px: area.y_px + row });
            }
            let Some(entering) = line.get(start + run) else { break };
            hash = hash
                .wrapping_mul(FACTOR)
                .wrapping_add(mixed(*entering))
                .wrapping_sub(mixed(line[start]).wrapping_mul(leaving));
        }
    }
    index
}

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hash that can roll along a row: the sum of each pixel times a power.
fn hash_of(run: &[Pixel]) -> u64 {
    run.iter().fold(0, |hash, pixel| hash.wrapping_mul(FACTOR).wrapping_add(mixed(*pixel)))
}

fn mixed(pixel: Pixel) -> u64 {
    (u64::from(u32::from_le_bytes(pixel)) + 1).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

fn slot(hash: u64) -> usize {
    (hash >> 52) as usize
}

fn pixels(row: &[u8]) -> &[Pixel] {
    row.as_chunks().0
}

/// What is known of the blocks of an area under an offset.
struct Blocks {
    area: Rect,
    columns: usize,
    /// The block's new pixels are the old ones at the offset.
    right: Vec<bool>,
    /// And they are not the old ones in place.
    useful: Vec<bool>,
}

/// The COPY by this offset of the largest rectangle that it sets right.
fn moved(shown: &Framebuffer, next: &Framebuffer, area: &Rect, offset: Offset) -> Option<Command> {
    let blocks = Blocks::compare(shown, next, area, offset);
    let around = blocks.around_textured(next)?;
    let (columns, rows) = blocks.largest_right(around)?;
    let useful = rows
        .clone()
        .flat_map(|row| columns.clone().map(move |column| (row, column)))
        .filter(|(row, column)| blocks.useful[row * blocks.columns + column])
        .count();
    if useful < BLOCKS_MIN {
        return None;
    }
    let first = blocks.rect(rows.start, columns.start);
    let last = blocks.rect(rows.end - 1, columns.end - 1);
    let rect = grow(shown, next, area, first.union(&last), offset);
    let source = source_of(&rect, offset, shown)?;
    Some(Command::Copy { rect, from_x_px: source.x_px, from_y_px: source.y_px })
}

/// Where a rectangle's pixels were, if that is inside the framebuffer.
fn source_of(rect: &Rect, offset: Offset, shown: &Framebuffer) -> Option<Rect> {
    let x_px = u16::try_from(i32::from(rect.x_px) - offset.x_px).ok()?;
    let y_px = u16::try_from(i32::from(rect.y_px) - offset.y_px).ok()?;
    Some(Rect { x_px, y_px, ..*rect }).filter(|source| source.fits(shown.size()))
}

/// True if COPYing by the offset sets this rectangle right.
fn is_right(shown: &Framebuffer, next: &Framebuffer, rect: &Rect, offset: Offset) -> bool {
    source_of(rect, offset, shown).is_some_and(|source| {
        (0..rect.height_px).all(|row| shown.row(&source, row) == next.row(rect, row))
    })
}

/// Moves a rectangle's edges out, row by row and column by column, by less
/// than a block.
fn grow(
    shown: &Framebuffer,
    next: &Framebuffer,
    area: &Rect,
    mut rect: Rect,
    offset: Offset,
) -> Rect {
    for _ in 1..BLOCK_PX {
        let sides = [
            (rect.y_px > area.y_px).then(|| Rect {
                y_px: rect.y_px.wrapping_sub(1),
                height_px: 1,
                ..rect
            }),
            (rect.bottom_px() < area.bottom_px()).then(|| Rect {
                y_px: rect.bottom_px() as u16,
                height_px: 1,
                ..rect
            }),
        ];
        for side in sides.into_iter().flatten() {
            if is_right(shown, next, &side, offset) {
                rect = rect.union(&side);
            }
        }
        let sides = [
            (rect.x_px > area.x_px).then(|| Rect {
                x_px: rect.x_px.wrapping_sub(1),
                width_px: 1,
                ..rect
            }),
            (rect.right_px() < area.right_px()).then(|| Rect {
                x_px: rect.right_px() as u16,
                width_px: 1,
                ..rect
            }),
        ];
        for side in sides.into_iter().flatten() {
            if is_right(shown, next, &side, offset) {
                rect = rect.union(&side);
            }
        }
    }
    rect
}

impl Blocks {
    fn compare(shown: &Framebuffer, next: &Framebuffer, area: &Rect, offset: Offset) -> Self {
        let columns = usize::from(area.width_px.div_ceil(BLOCK_PX));
        let rows = usize::from(area.height_px.div_ceil(BLOCK_PX));
        let mut blocks = Blocks { area: *area, columns, right: Vec::new(), useful: Vec::new() };
        for row in 0..rows {
            for column in 0..columns {
                let rect = blocks.rect(row, column);
                let right = is_right(shown, next, &rect, offset);
                blocks.right.push(right);
                blocks.useful.push(right && !super::tiles::equal(shown, next, &rect));
            }
        }
        blocks
    }

    fn rect(&self, row: usize, column: usize) -> Rect {
        let (x, y) = (column as u16 * BLOCK_PX, row as u16 * BLOCK_PX);
        let width_px = BLOCK_PX.min(self.area.width_px - x);
        let height_px = BLOCK_PX.min(self.area.height_px - y);
        Rect::new(self.area.x_px + x, self.area.y_px + y, width_px, height_px)
    }

    /// The columns and rows around all useful blocks of more than one colour.
    /// Beyond them an offset is right by chance, in an even background.
    fn around_textured(
        &self,
        next: &Framebuffer,
    ) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
        let textured = |index: &usize| {
            self.useful[*index]
                && uniform(next, &self.rect(index / self.columns, index % self.columns)).is_none()
        };
        let places: Vec<(usize, usize)> = (0..self.useful.len())
            .filter(textured)
            .map(|index| (index / self.columns, index % self.columns))
            .collect();
        let columns = places.iter().map(|(_, column)| *column);
        let rows = places.iter().map(|(row, _)| *row);
        Some((columns.clone().min()?..columns.max()? + 1, rows.clone().min()?..rows.max()? + 1))
    }

    /// The largest rectangle of right blocks within some columns and rows.
    fn largest_right(
        &self,
        (columns, rows): (std::ops::Range<usize>, std::ops::Range<usize>),
    ) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
        let mut best = (0, None);
        // How many right blocks each column has, upwards from this row.
        let mut heights = vec![0; columns.len()];
        for row in rows {
            for (height, column) in heights.iter_mut().zip(columns.clone()) {
                *height = if self.right[row * self.columns + column] { *height + 1 } else { 0 };
            }
            for (left, width, height) in largest_under(&heights) {
                if width * height > best.0 {
                    let left = columns.start + left;
                    best = (width * height, Some((left..left + width, row + 1 - height..row + 1)));
                }
            }
        }
        best.1
    }
}

/// The maximal rectangles under a skyline: left edge, width, height.
fn largest_under(heights: &[usize]) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    // Rising heights and where each of them began.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (index, height) in heights.iter().copied().chain([0]).enumerate() {
        let mut start = index;
        while let Some((begun, top)) = open.last().copied().filter(|(_, top)| *top > height) {
            found.push((begun, index - begun, top));
            start = begun;
            open.pop();
        }
        if height > 0 && open.last().is_none_or(|(_, top)| *top < height) {
            open.push((start, height));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_rectangle_under_a_skyline_is_among_those_found() {
        let best = |heights: &[usize]| {
            largest_under(heights).into_iter().map(|(_, width, height)| width * height).max()
        };
        assert_eq!(best(&[2, 1, 5, 6, 2, 3]), Some(10));
        assert_eq!(best(&[3, 3, 3]), Some(9));
        assert_eq!(best(&[0, 0]), None);
        assert_eq!(largest_under(&[1, 2, 2, 1]), [(1, 2, 2), (0, 4, 1)]);
    }

    #[test]
    fn the_hash_rolls() {
        let line: Vec<Pixel> = (0..40u32).map(|i| (i * i * 7919).to_le_bytes()).collect();
        let run = usize::from(ANCHOR_PX);
        let leaving = FACTOR.wrapping_pow(u32::from(ANCHOR_PX));
        let rolled = hash_of(&line[..run])
            .wrapping_mul(FACTOR)
            .wrapping_add(mixed(line[run]))
            .wrapping_sub(mixed(line[0]).wrapping_mul(leaving));
        assert_eq!(rolled, hash_of(&line[1..=run]));
    }
}
