//! Any commands whatever: the GPU does what the reference does.

use crate::picture::{both_ways, copy, set, size};
use afterglow_wire::command::{Coding, Command, Rect};
use proptest::prelude::*;

/// Rectangles that mostly fit into pictures of [`any_size`].
fn any_rect() -> impl Strategy<Value = Rect> {
    let side = 1u16..30;
    (0u16..50, 0u16..50, side.clone(), side).prop_map(|(x, y, w, h)| Rect::new(x, y, w, h))
}

fn any_size() -> impl Strategy<Value = Command> {
    (40u16..90, 40u16..90).prop_map(|(w, h)| Command::Size(size(w, h)))
}

fn any_command() -> impl Strategy<Value = Command> {
    let coding = prop_oneof![Just(Coding::Raw), Just(Coding::Zstd)];
    prop_oneof![
        4 => (any_rect(), coding, any::<u8>()).prop_map(|(rect, coding, seed)| set(rect, coding, seed)),
        4 => (any_rect(), any::<[u8; 4]>()).prop_map(|(rect, color)| Command::Fill { rect, color }),
        4 => (any_rect(), 0u16..40, 0u16..40).prop_map(|(rect, x, y)| copy(x, y, rect)),
        1 => any_size(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_gpu_equals_the_reference(
        first in any_size(),
        frames in prop::collection::vec(prop::collection::vec(any_command(), 0..12), 1..4),
    ) {
        let mut frames = frames;
        frames[0].insert(0, first);
        // An error is fine as long as both make the same of it.
        let _ = both_ways(&frames);
    }
}
