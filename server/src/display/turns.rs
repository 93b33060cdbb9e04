//! Whose turn it is when a frame has no room for all that changed.
//!
//! What changed just now, and does not change all the time, is what somebody
//! waits for: a letter that was typed, a menu that opened. Beside a video that
//! a slow link cannot follow it goes first. Half of a frame is for that, so
//! that the rest has its turn as well: from where the last frame stopped, over
//! the picture and around.

/// So many captures are remembered, the latest one in the lowest bit.
const REMEMBERED: u32 = u8::BITS;
/// What changed in more of them changes all the time. A slow link has about ten
/// captures a second, and nobody types so quickly.
const CHANGES_MAX: u32 = 3;

/// When the tiles changed, and where the last frame stopped.
#[derive(Debug)]
pub struct Turns {
    changes: Vec<u8>,
    stopped_at: Option<usize>,
}

impl Turns {
    /// For so many tiles, of which nothing is known.
    pub fn new(tiles: usize) -> Self {
        Turns { changes: vec![0; tiles], stopped_at: None }
    }

    /// Another capture begins.
    pub fn begin(&mut self) {
        for changes in &mut self.changes {
            *changes <<= 1;
        }
    }

    /// A tile changed with it.
    pub fn changed(&mut self, tile: usize) {
        self.changes[tile] |= 1;
    }

    /// How many captures ago a tile changed, unless it changes all the time or
    /// was at rest for as long as is remembered.
    fn age(&self, tile: usize) -> Option<u32> {
        let changes = self.changes[tile];
        (changes != 0 && changes.count_ones() <= CHANGES_MAX).then(|| changes.trailing_zeros())
    }

    /// The ages that go before the rest, the most urgent first: none unless the
    /// last frame left something over.
    pub fn ages(&self) -> std::ops::Range<u32> {
        0..if self.stopped_at.is_some() { REMEMBERED } else { 0 }
    }

    /// True if a tile is of this age.
    pub fn is_of_age(&self, tile: usize, age: u32) -> bool {
        self.age(tile) == Some(age)
    }

    /// The tile that the rest begins with.
    pub fn first(&self) -> usize {
        self.stopped_at.unwrap_or(0)
    }

    /// The frame had no room from this tile on, or for all.
    pub fn stopped(&mut self, at: Option<usize>) {
        self.stopped_at = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urgent(turns: &Turns, tile: usize) -> Option<u32> {
        turns.ages().find(|age| turns.is_of_age(tile, *age))
    }

    #[test]
    fn what_changed_just_now_goes_before_what_changes_all_the_time() {
        let mut turns = Turns::new(3);
        turns.stopped(Some(2));
        for capture in 0..20 {
            turns.begin();
            turns.changed(0);
            if capture % 3 == 1 {
                turns.changed(1);
            }
        }
        assert_eq!(
            (0..3).map(|tile| urgent(&turns, tile)).collect::<Vec<_>>(),
            [None, Some(0), None]
        );
        turns.begin();
        assert_eq!(urgent(&turns, 1), Some(1));
        for _ in 0..REMEMBERED {
            turns.begin();
        }
        assert_eq!(urgent(&turns, 1), None, "by now it is one of the rest");
    }

    #[test]
    fn nothing_goes_first_where_there_is_room_for_all() {
        let mut turns = Turns::new(1);
        turns.begin();
        turns.changed(0);
        assert_eq!((urgent(&turns, 0), turns.first()), (None, 0));
        turns.stopped(Some(0));
        assert_eq!((urgent(&turns, 0), turns.first()), (Some(0), 0));
    }
}
