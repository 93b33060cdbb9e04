//! An insert that leads nowhere: what was refused, and the ways out of it.
//!
//! Some refusals are a matter of moments: the insert is sent again, later each
//! time, and the user sees why. Others stop it until the user does something.

use super::insert::{Phase, Present};
use super::{Connection, Logged};
use afterglow_wire::control::{RefusalCode, Refused, SessionEnded};
use afterglow_wire::ids::ServerName;
use afterglow_wire::sessions::Want;

/// How often a refusal that may be a matter of moments is answered by asking
/// again.
const REFUSALS_MAX: u32 = 3;

/// Why an insert led nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// A server refused it.
    Refused { server: ServerName, code: RefusalCode, text: String },
    /// Another DTU shows the session now.
    Elsewhere { dtu: String },
    /// The session is over.
    Ended { text: String },
    /// The user signed off.
    SignedOff,
}

impl Present {
    /// True if another session than the last one is wanted, and did not come
    /// yet.
    pub(super) fn wants_another(&self) -> bool {
        self.want != Want::Last
    }
}

impl Connection {
    pub(super) fn refused(&mut self, refused: Refused) {
        let Some(up) = self.up() else { return };
        let server = up.server.clone();
        let live = self.is_live();
        let Some(present) = self.present_for(refused.insert, "refusal") else { return };
        if present.phase == Phase::Answered {
            return self.log(Logged::Dropped { what: "refusal", why: "the insert was answered" });
        }
        present.refusals += 1;
        if refused.code == RefusalCode::TicketRefused {
            present.resume = None;
        }
        // Who was out of reach may be within it by the next time.
        if refused.code == RefusalCode::Unresolved {
            present.unreachable.clear();
        }
        let at_once = matches!(refused.code, RefusalCode::TicketRefused | RefusalCode::NotHere);
        if !at_once {
            present.failures = present.failures.max(1);
        }
        let again = match refused.code {
            RefusalCode::TicketRefused | RefusalCode::NotHere => present.refusals <= REFUSALS_MAX,
            RefusalCode::Full | RefusalCode::StoreUnavailable | RefusalCode::Unresolved => true,
            RefusalCode::TokenNotAccepted
            | RefusalCode::ChallengeFailed
            | RefusalCode::SessionFailed
            | RefusalCode::TooManyRedirects => false,
        };
        present.refusal = Some((server.clone(), refused.code, refused.text.clone()));
        self.log(Logged::Refused {
            server: server.to_string(),
            code: code_name(refused.code),
            text: refused.text.clone(),
        });
        // While the picture is live a refusal only says who is not in charge.
        if again || live {
            self.ask_again();
        } else {
            self.stop_refused(server, refused.code, refused.text);
        }
    }

    pub(super) fn stop_refused(&mut self, server: ServerName, code: RefusalCode, text: String) {
        if code == RefusalCode::TooManyRedirects {
            self.log(Logged::Refused {
                server: server.to_string(),
                code: code_name(code),
                text: text.clone(),
            });
        }
        self.stop(Stop::Refused { server, code, text }, "refused");
    }

    /// The insert leads nowhere (any more): nothing is shown until the user
    /// does something.
    pub(super) fn stop(&mut self, stop: Stop, reason: &'static str) {
        let text = match &stop {
            Stop::Refused { text, .. } | Stop::Ended { text } => text.clone(),
            Stop::Elsewhere { dtu } => dtu.clone(),
            Stop::SignedOff => String::new(),
        };
        self.drop_display(reason, &text);
        if matches!(stop, Stop::Ended { .. }) {
            self.log(Logged::SessionEnded { text });
        }
        self.forget_picture();
        if let Some(present) = &mut self.present {
            present.phase = Phase::Stopped(stop);
            present.resume = None;
            present.redirect = None;
            present.cared_for_by = None;
        }
    }

    pub(super) fn session_ended(&mut self, ended: &SessionEnded) {
        if self.shown_session() == Some(ended.session) {
            self.stop(Stop::Ended { text: ended.text.clone() }, "ended");
        }
    }

    /// The user wants another attempt: a token that stays in is presented anew,
    /// for the session that was refused, or else for the last one.
    pub(super) fn try_again(&mut self) {
        let now_ms = self.now_ms;
        let Some(present) = &mut self.present else {
            self.distrusted.clear();
            return self.search.candidates.release(None);
        };
        let want = match present.phase {
            Phase::Stopped(Stop::Refused { .. }) => present.want,
            Phase::Stopped(_) => Want::Last,
            // It is tried again by itself, and now at once.
            Phase::Wanted { .. } if present.refusal.is_some() => {
                present.phase = Phase::Wanted { at_ms: now_ms };
                return;
            }
            Phase::Wanted { .. } | Phase::Asked { .. } | Phase::Answered => return,
        };
        let token = present.token.clone();
        self.take_token_out();
        self.present_anew(token, want);
    }

    /// The user gives up the other session that was wanted, for the last one.
    pub(super) fn go_back(&mut self) {
        let wanted = self.present.as_ref().filter(|present| present.wants_another());
        let Some(token) = wanted.map(|present| present.token.clone()) else { return };
        self.take_token_out();
        self.present_anew(token, Want::Last);
    }
}

fn code_name(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::TokenNotAccepted => "token_not_accepted",
        RefusalCode::ChallengeFailed => "challenge_failed",
        RefusalCode::TicketRefused => "ticket_refused",
        RefusalCode::SessionFailed => "session_failed",
        RefusalCode::NotHere => "not_here",
        RefusalCode::TooManyRedirects => "too_many_redirects",
        RefusalCode::Full => "full",
        RefusalCode::StoreUnavailable => "store_unavailable",
        RefusalCode::Unresolved => "unresolved",
    }
}
