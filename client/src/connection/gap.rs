//! Whether the picture on the screen still has its session: silence on the
//! display link, suspicion, and what of it the user is told.
//!
//! A silent display link is suspected and not closed: whatever arrives on it
//! makes it live again, as if nothing had happened. Until then no server is
//! told that the picture lives.
//!
//! | silent | what happens |
//! | --- | --- |
//! | the display link alone | after [`GRACE_MS`] the picture dims; after [`GIVEN_UP_MS`], or twice its limit, the link is closed and the server in charge is asked |
//! | the host altogether | the picture dims at once, and whoever is in charge by then is asked at once |

use super::insert::Phase;
use super::suspicion::Suspicion;
use super::{Connection, GRACE_MS, LinkId, Logged};

/// After this silence, and not before twice its limit, a suspected display
/// link is closed.
const GIVEN_UP_MS: u64 = 1_500;

/// A display link that is lost, or is suspected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    /// When the session was last heard.
    pub(super) since_ms: u64,
    /// When this DTU noticed.
    pub(super) known_ms: u64,
    /// It fell silent, and nobody closed it.
    pub(super) silent: bool,
    /// The user was told.
    pub(super) told: bool,
}

/// Whether the picture on the screen still has its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GapView {
    /// It has, or there is none.
    None,
    /// It lost it just now; nobody needs to know yet.
    Grace {
        /// Until then.
        until_ms: u64,
    },
    /// It lost it.
    Long {
        /// When it was last heard.
        since_ms: u64,
    },
}

fn given_up_ms(suspicion: &Suspicion) -> u64 {
    suspicion.heard_ms() + GIVEN_UP_MS.max(2 * suspicion.limit_ms())
}

impl Connection {
    /// True if the display link is open and silent for too long.
    pub(super) fn display_is_suspected(&self) -> bool {
        self.display.as_ref().is_some_and(|display| display.suspected.is_some())
    }

    /// The session says something: a suspicion was wrong.
    pub(super) fn display_heard(&mut self, link: LinkId) {
        let now_ms = self.now_ms;
        let display = self.display.as_mut().filter(|display| display.link == link);
        let Some(display) = display.filter(|display| display.is_live()) else { return };
        let silent_ms = display.suspicion.silent_ms(now_ms);
        display.suspicion.heard(now_ms);
        if display.suspected.take().is_none() {
            return;
        }
        let server = display.host().to_string();
        let limit_ms = display.suspicion.limit_ms();
        self.log(Logged::FalseAlarm { link: "display", server, silent_ms, limit_ms });
        // A server that was told that there is no picture hears that there is
        // one, before it concludes anything from that.
        if let Some(present) = &mut self.present
            && matches!(present.phase, Phase::Asked { .. })
            && !present.told_showing
        {
            present.phase = Phase::Wanted { at_ms: now_ms };
        }
    }

    /// The session says that it lives.
    pub(super) fn display_alive(&mut self) {
        let now_ms = self.now_ms;
        if let Some(display) = &mut self.display {
            display.suspicion.regular_word(now_ms);
            display.says_alive = true;
        }
    }

    pub(super) fn silence_on_time(&mut self) {
        let now_ms = self.now_ms;
        let Some(display) = self.display.as_mut().filter(|display| display.says_alive) else {
            return;
        };
        if display.suspected.is_some() {
            if now_ms >= given_up_ms(&display.suspicion) {
                self.display_lost("silent", "the session does not answer any more");
            }
        } else if display.suspicion.look(now_ms) {
            self.suspect_display();
        }
    }

    pub(super) fn silence_deadline_ms(&self) -> Option<u64> {
        let display = self.display.as_ref().filter(|display| display.says_alive)?;
        Some(match display.suspected {
            Some(_) => given_up_ms(&display.suspicion),
            None => display.suspicion.deadline_ms(),
        })
    }

    fn suspect_display(&mut self) {
        let now_ms = self.now_ms;
        let Some(display) = &mut self.display else { return };
        let since_ms = display.suspicion.heard_ms();
        let lost = Lost { since_ms, known_ms: now_ms, silent: true, told: false };
        display.suspected = Some(lost);
        let server = display.host().to_string();
        let silent_ms = display.suspicion.silent_ms(now_ms);
        let limit_ms = display.suspicion.limit_ms();
        self.log(Logged::Suspected { link: "display", server, silent_ms, limit_ms });
        self.withdraw_showing();
    }

    /// The display link is silent, though the server in charge may count on it
    /// or never knew better than that it lives: it is told at once.
    fn withdraw_showing(&mut self) {
        if self.up().is_none() {
            return;
        }
        let now_ms = self.now_ms;
        let Some(present) = &mut self.present else { return };
        let counted_on = match present.phase {
            Phase::Asked { .. } => present.told_showing,
            Phase::Answered => present.cared_for_by.is_some(),
            Phase::Wanted { .. } | Phase::Stopped(_) => false,
        };
        if counted_on {
            present.phase = Phase::Wanted { at_ms: now_ms };
        }
    }

    /// The loss that the picture on the screen suffers from.
    fn loss(&mut self) -> Option<&mut Lost> {
        match self.shown.as_mut()?.lost.as_mut() {
            Some(lost) => Some(lost),
            None => self.display.as_mut()?.suspected.as_mut(),
        }
    }

    /// How the picture that is on the screen relates to its session.
    pub(super) fn gap(&self) -> GapView {
        let suspected = || self.display.as_ref()?.suspected;
        let Some(shown) = &self.shown else { return GapView::None };
        let Some(lost) = shown.lost.or_else(suspected) else { return GapView::None };
        let until_ms = lost.known_ms + GRACE_MS;
        if lost.told || self.now_ms >= until_ms || self.host_is_lost(lost) {
            return GapView::Long { since_ms: lost.since_ms };
        }
        GapView::Grace { until_ms }
    }

    /// True if there is nothing to hope for in a moment: the session's host
    /// does not answer on the control link either.
    fn host_is_lost(&self, lost: Lost) -> bool {
        if self.redirect_target().is_some() {
            return false;
        }
        let host = self.shown.as_ref().map(|shown| &shown.host);
        match self.up() {
            None => true,
            Some(up) => lost.silent && host != Some(&up.server),
        }
    }

    /// The user is told of the gap: it stays told until it is over.
    pub(super) fn note_gap(&mut self) {
        if matches!(self.gap(), GapView::Long { .. })
            && let Some(lost) = self.loss()
        {
            lost.told = true;
        }
    }
}
