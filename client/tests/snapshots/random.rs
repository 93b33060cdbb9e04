//! Any commands whatever: the GPU does what the reference does.

use crate::picture::{Payloads, both_ways, copy, size};
use afterglow_wire::coding::planes::{Chroma, Planes};
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

/// A command before its payload is packed, which has to be done in order.
#[derive(Debug, Clone)]
enum Plan {
    Set(Rect, Coding, u8),
    Bitmap(Rect, Coding, [u8; 3], Option<[u8; 3]>),
    Cscs(Rect, Planes, Coding, u8),
    Other(Command),
}

impl Plan {
    fn pack(self, payloads: &mut Payloads) -> Command {
        match self {
            Plan::Set(rect, coding, seed) => payloads.set(rect, coding, seed),
            Plan::Bitmap(rect, coding, foreground, background) => {
                payloads.bitmap(rect, coding, foreground, background)
            }
            Plan::Cscs(rect, planes, coding, seed) => payloads.cscs(rect, planes, coding, seed),
            Plan::Other(command) => command,
        }
    }
}

fn any_planes() -> impl Strategy<Value = Planes> {
    let chroma = prop_oneof![Just(Chroma::Full), Just(Chroma::Half), Just(Chroma::Quarter)];
    (chroma, 1u16..50, 1u16..50).prop_map(|(chroma, width_px, height_px)| Planes {
        chroma,
        width_px,
        height_px,
    })
}

fn any_plan() -> impl Strategy<Value = Plan> {
    use Coding::{Palette, Predicted, Raw, Stream, Zstd};
    let one_of = |codings: &'static [Coding]| prop::sample::select(codings);
    let of_set = one_of(&[Raw, Zstd, Stream, Palette, Predicted]);
    let of_bitmap = one_of(&[Raw, Zstd, Stream]);
    let of_cscs = one_of(&[Raw, Zstd, Stream, Predicted]);
    let other = prop_oneof![
        4 => (any_rect(), any::<[u8; 4]>()).prop_map(|(rect, color)| Command::Fill { rect, color }),
        4 => (any_rect(), 0u16..40, 0u16..40).prop_map(|(rect, x, y)| copy(x, y, rect)),
        1 => any_size(),
    ];
    prop_oneof![
        4 => (any_rect(), of_set, any::<u8>()).prop_map(|(r, c, seed)| Plan::Set(r, c, seed)),
        4 => (any_rect(), of_bitmap, any::<[u8; 3]>(), any::<Option<[u8; 3]>>())
            .prop_map(|(r, c, foreground, background)| Plan::Bitmap(r, c, foreground, background)),
        4 => (any_rect(), any_planes(), of_cscs, any::<u8>())
            .prop_map(|(r, planes, c, seed)| Plan::Cscs(r, planes, c, seed)),
        9 => other.prop_map(Plan::Other),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 160,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_gpu_equals_the_reference(
        first in any_size(),
        frames in prop::collection::vec(prop::collection::vec(any_plan(), 0..12), 1..4),
    ) {
        let mut payloads = Payloads::new();
        let mut frames: Vec<Vec<Command>> = frames
            .into_iter()
            .map(|plans| plans.into_iter().map(|plan| plan.pack(&mut payloads)).collect())
            .collect();
        frames[0].insert(0, first);
        // An error is fine as long as both make the same of it.
        let _ = both_ways(&frames);
    }
}
