//! What only moved: scrolls and dragged windows.

use super::tiles::DirtyTiles;
use afterglow_wire::command::Command;
use afterglow_wire::framebuffer::Framebuffer;

/// The COPYs that bring `shown` nearer to `next`, to be applied in their
/// order.
pub fn find(_shown: &Framebuffer, _next: &Framebuffer, _dirty: &DirtyTiles) -> Vec<Command> {
    Vec::new()
}
