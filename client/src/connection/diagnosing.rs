//! The diagnostics: what the session and the link are asked for while the user
//! looks at them.

use super::{Action, Connection};
use crate::view::ToWindow;
use afterglow_wire::display::{Diagnose, Spent};

impl Connection {
    /// The user looks at the diagnostics, and the link is to be looked at; or
    /// no longer.
    pub(super) fn diagnose(&mut self, on: bool) {
        if std::mem::replace(&mut self.diagnosing, on) != on {
            self.send_live(Diagnose { on });
        }
        let live = self.display.as_ref().filter(|display| display.is_live());
        if let Some(link) = live.map(|display| display.link).filter(|_| on) {
            self.act(Action::MeasureLink { link });
        }
    }

    /// A session is attached, which knows nothing of it.
    pub(super) fn diagnose_anew(&mut self) {
        if self.diagnosing {
            self.send_live(Diagnose { on: true });
        }
    }

    /// The session tells what a frame cost it. What is not asked for may have
    /// been on its way; no frame is told of twice, so that this is no more
    /// often than there are frames.
    pub(super) fn spent(&mut self, spent: Spent) {
        let Some(display) = self.display.as_mut().filter(|_| self.diagnosing) else { return };
        if spent.frame > display.spent_through && display.came(spent.frame) {
            display.spent_through = spent.frame;
            self.act(Action::ToWindow(ToWindow::Spent(spent)));
        }
    }
}
