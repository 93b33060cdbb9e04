//! The diagnostics: what the window itself does is timed, and the figures go
//! onto the window and into the event log.

use super::App;
use super::shown::Turn;
use crate::diagnostics::Figures;
use crate::event_log::Event;
use crate::view::FromWindow;

impl App {
    /// The overlay comes up, at once and without figures yet, or goes.
    pub(super) fn toggle_diagnostics(&mut self) {
        let on = self.diagnostics.toggle(self.now_us());
        self.outbox.send(FromWindow::Diagnose { on });
        if let Some(shown) = &mut self.shown {
            let facts = shown.facts();
            shown.show_figures(on.then(|| Figures { facts, ..Figures::default() }));
        }
    }

    /// Tells the figures if they are due, and has the link looked at for the
    /// next ones.
    pub(super) fn diagnose_on_time(&mut self) {
        let now_us = self.now_us();
        let Some(shown) = &mut self.shown else { return };
        let Some(figures) = self.diagnostics.figures(|| shown.facts(), now_us) else { return };
        self.options.present.event_log.log(&Event::Diagnostics(figures.clone()));
        shown.show_figures(Some(figures));
        self.outbox.send(FromWindow::Diagnose { on: true });
    }

    /// Notes what a turn of the loop took.
    pub(super) fn note_times(&mut self, turn: &Turn) {
        let now_us = self.now_us();
        if let Some(apply_us) = turn.apply_us {
            self.diagnostics.applied(apply_us);
        }
        if let Some(present_us) = turn.present_us {
            self.diagnostics.presented(present_us, turn.frames_shown.len(), now_us);
        }
    }
}
