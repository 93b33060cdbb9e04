//! The picture that rests: the window compares it with what the session says
//! that it is, and what differs is asked for again.
//!
//! Nothing should ever differ. If something does, it is repaired, counted and
//! logged.

use super::{Action, Connection, Logged};
use crate::view::ToWindow;
use afterglow_wire::truth::{Differs, Truth};

impl Connection {
    /// The session tells what the window shows, after its last frame.
    pub(super) fn truth(&mut self, truth: Truth) {
        let Some(display) = &mut self.display else { return };
        if !display.shows_all_through(truth.frame) {
            let why = "the session tells of a frame that is not the last";
            return self.display_refused("protocol", why);
        }
        display.comparing = Some(truth.frame);
        self.act(Action::ToWindow(ToWindow::Compare(truth)));
    }

    /// The window has compared: these blocks are others than they should be.
    pub(super) fn compared(&mut self, frame: u64, others: Vec<u16>) {
        let Some(display) = &mut self.display else { return };
        // What is not asked for any more is about an earlier link's picture.
        if display.comparing.take_if(|comparing| *comparing == frame).is_none() {
            return;
        }
        self.log(Logged::Compared { frame, blocks_differing: others.len() });
        if !others.is_empty() {
            self.send_live(Differs { frame, blocks: others.into_iter().collect() });
        }
    }
}
