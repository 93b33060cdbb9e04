//! When a picture rests, and what is to be done then: it is captured once
//! more, since the X server may have told too little of what changed, and told
//! block by block to the DTU, which compares.

use afterglow_wire::command::Rect;
use afterglow_wire::ids::Size;
use afterglow_wire::truth::{BlockDigest, blocks};
use std::collections::VecDeque;

/// A picture that has not changed for this long rests.
const RESTS_AFTER_MS: u64 = 300;
/// The DTU compares at most this often, whatever blinks on the screen.
const TOLD_EVERY_MS: u64 = 2_000;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until another frame is shown.
    Nothing,
    /// Nothing, until then.
    WaitUntil(u64),
    /// Capture everything once more, and encode it.
    Capture,
    /// Give the digest of this block of what the DTU has ([`Rest::digested`]).
    Digest(Rect),
    /// Tell the DTU all digests ([`Rest::told`]).
    Tell,
}

/// How far the picture of one attachment is with that.
#[derive(Debug, Default)]
pub struct Rest {
    /// The frame that is looked at: the last one that is shown.
    frame: u64,
    due_at_ms: u64,
    captured: bool,
    blocks_left: VecDeque<Rect>,
    digests: Vec<BlockDigest>,
    /// The last frame of which the DTU was told, and when.
    told: Option<(u64, u64)>,
}

impl Rest {
    /// What is to be done while nothing else is. `frame` is the last frame that
    /// was sent, and it is shown; `size` is its size. Times are milliseconds
    /// since some moment.
    pub fn next(&mut self, frame: u64, size: Size, now_ms: u64) -> Next {
        if self.told.is_some_and(|(told, _)| told == frame) {
            return Next::Nothing;
        }
        if self.frame != frame {
            let earliest_ms = self.told.map_or(0, |(_, at_ms)| at_ms + TOLD_EVERY_MS);
            *self = Rest {
                frame,
                due_at_ms: earliest_ms.max(now_ms + RESTS_AFTER_MS),
                blocks_left: blocks(size).collect(),
                told: self.told,
                ..Rest::default()
            };
        }
        if now_ms < self.due_at_ms {
            return Next::WaitUntil(self.due_at_ms);
        }
        if !std::mem::replace(&mut self.captured, true) {
            return Next::Capture;
        }
        self.blocks_left.front().map_or(Next::Tell, |block| Next::Digest(*block))
    }

    /// The digest of the block that was asked for.
    pub fn digested(&mut self, digest: BlockDigest) {
        self.blocks_left.pop_front();
        self.digests.push(digest);
    }

    /// The DTU is told now; gives what it is told.
    pub fn told(&mut self, now_ms: u64) -> Vec<BlockDigest> {
        self.told = Some((self.frame, now_ms));
        std::mem::take(&mut self.digests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> Size {
        Size::new(300, 200).unwrap()
    }

    /// Does what is wanted until there is nothing to do at this time.
    fn finish(rest: &mut Rest, frame: u64, now_ms: u64) -> Vec<BlockDigest> {
        let mut captures = 0;
        loop {
            match rest.next(frame, size(), now_ms) {
                Next::Capture => captures += 1,
                Next::Digest(_) => rest.digested([7; 8]),
                Next::Tell => {
                    assert_eq!(captures, 1);
                    return rest.told(now_ms);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_picture_that_rests_is_captured_once_more_and_told_once() {
        let mut rest = Rest::default();
        assert_eq!(rest.next(1, size(), 1000), Next::WaitUntil(1000 + RESTS_AFTER_MS));
        assert_eq!(rest.next(1, size(), 1100), Next::WaitUntil(1000 + RESTS_AFTER_MS));
        assert_eq!(finish(&mut rest, 1, 1000 + RESTS_AFTER_MS).len(), 2);
        assert_eq!(rest.next(1, size(), 9999), Next::Nothing);
    }

    #[test]
    fn a_frame_in_between_begins_it_anew() {
        let mut rest = Rest::default();
        rest.next(1, size(), 0);
        assert_eq!(rest.next(1, size(), 500), Next::Capture);
        assert!(matches!(rest.next(1, size(), 500), Next::Digest(_)));
        rest.digested([1; 8]);
        assert_eq!(rest.next(2, size(), 600), Next::WaitUntil(600 + RESTS_AFTER_MS));
        assert_eq!(finish(&mut rest, 2, 2000), [[7; 8]; 2]);
    }

    #[test]
    fn what_blinks_is_compared_now_and_then() {
        let mut rest = Rest::default();
        rest.next(1, size(), 0);
        finish(&mut rest, 1, 300);
        assert_eq!(rest.next(2, size(), 400), Next::WaitUntil(300 + TOLD_EVERY_MS));
        assert_eq!(rest.next(3, size(), 2500), Next::WaitUntil(2500 + RESTS_AFTER_MS));
    }
}
