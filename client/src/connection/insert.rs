//! The token: insert, challenge, redirect, attach, remove.
//!
//! Each time that the user presents a token it gets a higher number, and what
//! servers say about an older number is dropped. A number that a remove ended
//! never comes back.

use super::control::Target;
use super::refusal::Stop;
use super::{ANSWER_TIMEOUT_MS, Action, Connection, LinkId, Logged, STEADY_MS, Via};
use crate::token::Event as TokenEvent;
use crate::view::ToWindow;
use afterglow_wire::control::{
    Attach, Cause, Challenge, ChallengeAnswer, Insert, Origin, Progress, Redirect, RedirectPlan,
    RefusalCode, Stage,
};
use afterglow_wire::guard::Guard;
use afterglow_wire::ids::{GroupId, ServerName, Token};
use afterglow_wire::limits::{REDIRECTS_MAX, SERVERS_MAX};
use afterglow_wire::sessions::Want;
use afterglow_wire::ticket::SealedTicket;

/// How long to wait at most before an insert is sent again.
const ASK_AGAIN_MS_MAX: u64 = 4_000;

/// The token that is in, and how far its insert got.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) token: Token,
    /// Which of its sessions, until a server answered with one.
    pub(super) want: Want,
    /// The number of its insert.
    pub(super) number: u64,
    pub(super) since_ms: u64,
    pub(super) phase: Phase,
    /// The group that knows of the token.
    pub(super) group: Option<GroupId>,
    /// Servers that could not be reached since the insert.
    pub(super) unreachable: Vec<ServerName>,
    /// What the server does about the insert, and the host that it is about.
    pub(super) progress: Option<(Stage, Option<ServerName>)>,
    /// The redirect that is being followed.
    pub(super) redirect: Option<(ServerName, Redirect)>,
    /// What was refused last, while the insert is sent again.
    pub(super) refusal: Option<(ServerName, RefusalCode, String)>,
    /// How many redirects in a row it followed.
    pub(super) redirects: u8,
    /// Spares a challenge at the next server.
    pub(super) resume: Option<SealedTicket>,
    /// True once a server answered with a session.
    answered: bool,
    /// The server in charge stands in for the session's own.
    pub(super) cared_for_by: Option<ServerName>,
    challenge: Option<(LinkId, [u8; 32])>,
    /// When it was last sent, it told that the picture lives.
    pub(super) told_showing: bool,
    /// How often in a row it had to be sent again.
    pub(super) failures: u32,
    pub(super) refusals: u32,
}

/// How far an insert got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is to be sent from this time on.
    Wanted { at_ms: u64 },
    /// It was sent; its server last said something about it then.
    Asked { heard_ms: u64 },
    /// It was answered with a session.
    Answered,
    /// It led nowhere; nothing happens until the user asks for it.
    Stopped(Stop),
}

impl Connection {
    pub(super) fn token_event(&mut self, event: TokenEvent) {
        if matches!(event, TokenEvent::Inserted(_) | TokenEvent::Removed) {
            self.act(Action::ToWindow(ToWindow::Used));
        }
        match event {
            TokenEvent::Inserted(token) => self.put_token_in(token),
            TokenEvent::Removed => self.take_token_out(),
            TokenEvent::Trouble(trouble) => {
                if trouble != self.reader_trouble {
                    self.log(Logged::Reader { trouble: trouble.clone() });
                    self.reader_trouble = trouble;
                }
            }
            TokenEvent::ReadAgain(token) => self.answer_challenge(token),
        }
    }

    fn put_token_in(&mut self, token: Token) {
        if self.present.as_ref().is_some_and(|present| present.token == token) {
            return;
        }
        self.take_token_out();
        self.present_anew(token, Want::Last);
    }

    /// The token is in, with an insert of its own, for this session.
    pub(super) fn present_anew(&mut self, token: Token, want: Want) {
        self.close_panel();
        self.insert_number += 1;
        self.present = Some(Present {
            token,
            want,
            number: self.insert_number,
            since_ms: self.now_ms,
            phase: Phase::Wanted { at_ms: self.now_ms },
            group: None,
            unreachable: Vec::new(),
            progress: None,
            redirect: None,
            refusal: None,
            redirects: 0,
            resume: None,
            answered: false,
            cared_for_by: None,
            challenge: None,
            told_showing: false,
            failures: 0,
            refusals: 0,
        });
    }

    /// Detaches and blanks at once, whatever else is under way, and tells both
    /// links.
    pub(super) fn take_token_out(&mut self) {
        let Some(present) = self.present.take() else { return };
        self.close_panel();
        let insert = present.number;
        self.removed_through = insert;
        self.log(Logged::Removed { insert });
        self.send_display_remove(insert);
        self.drop_display("removed", "");
        self.forget_picture();
        // A server that was told nothing of the token needs no remove.
        if !self.tell_removed(insert) && present.group.is_some() {
            self.untold_remove = Some(insert);
        }
    }

    /// Sends the insert, if it is due and there is a server to send it to.
    pub(super) fn send_insert(&mut self) {
        let (now_ms, showing) = (self.now_ms, self.showing());
        let (Some(screen), Some(up)) = (self.screen.clone(), self.up()) else { return };
        let (group, server) = (up.group, up.server.clone());
        let Some(present) = &mut self.present else { return };
        if !matches!(present.phase, Phase::Wanted { at_ms } if at_ms <= now_ms) {
            return;
        }
        let (cause, ticket) = match present.redirect.take() {
            Some((_, redirect)) => (Cause::Redirect, Some(redirect.ticket)),
            None if present.answered => (Cause::Failover, present.resume.clone()),
            None if present.want != Want::Last => (Cause::Switch, None),
            None => (Cause::Insert, None),
        };
        present.phase = Phase::Asked { heard_ms: now_ms };
        present.group = Some(group);
        present.progress = None;
        present.challenge = None;
        present.told_showing = showing.is_some();
        let insert = Insert {
            insert: present.number,
            token: present.token.clone(),
            want: present.want,
            cause,
            ticket,
            unreachable: present.unreachable.iter().cloned().collect(),
            redirects: present.redirects,
            showing,
            screen: screen.size,
            keymap: screen.keymap,
        };
        self.log(Logged::Inserted {
            server: server.to_string(),
            cause: match cause {
                Cause::Insert => "insert",
                Cause::Redirect => "redirect",
                Cause::Failover => "failover",
                Cause::Switch => "switch",
            },
            token_kind: insert.token.kind().as_str(),
            insert: insert.insert,
        });
        self.send_control(insert);
    }

    /// The insert that a server speaks of, if it is the one that is in and
    /// still wants an answer.
    pub(super) fn present_for(&mut self, insert: u64, what: &'static str) -> Option<&mut Present> {
        let checked = self.config.guards.make(Guard::DtuRemoveEndsInsert);
        let why = match &self.present {
            Some(_) if !checked => return self.present.as_mut(),
            _ if insert <= self.removed_through => "the token was removed",
            None => "no token is in",
            Some(present) if present.number != insert => "it is about another insert",
            Some(Present { phase: Phase::Stopped(_), .. }) => "the insert came to its end",
            Some(_) => return self.present.as_mut(),
        };
        self.log(Logged::Dropped { what, why });
        None
    }

    pub(super) fn challenged(&mut self, challenge: &Challenge) {
        let Some(up) = self.up() else { return };
        let (link, server) = (up.link, up.server.to_string());
        let now_ms = self.now_ms;
        let Some(present) = self.present_for(challenge.insert, "challenge") else { return };
        present.challenge = Some((link, challenge.nonce));
        if let Phase::Asked { heard_ms } = &mut present.phase {
            *heard_ms = now_ms;
        }
        self.log(Logged::Challenged { server });
        self.act(Action::ReadTokenAgain);
    }

    fn answer_challenge(&mut self, token: Option<Token>) {
        let link = self.up().map(|up| up.link);
        let Some(present) = &mut self.present else { return };
        let Some((asked_on, nonce)) = present.challenge.take() else { return };
        // Another token, or none, is news that the token source tells itself.
        if link != Some(asked_on) || token.as_ref() != Some(&present.token) {
            return;
        }
        let (insert, token) = (present.number, present.token.clone());
        self.send_control(ChallengeAnswer { insert, nonce, token });
    }

    pub(super) fn progress(&mut self, progress: &Progress) {
        let now_ms = self.now_ms;
        let Some(present) = self.present_for(progress.insert, "progress") else { return };
        let told = Some((progress.stage, progress.host.clone()));
        let is_news = std::mem::replace(&mut present.progress, told.clone()) != told;
        if let Phase::Asked { heard_ms } = &mut present.phase {
            *heard_ms = now_ms;
        }
        if is_news {
            self.log_progress(progress);
        }
    }

    pub(super) fn new_resume_ticket(&mut self, ticket: SealedTicket) {
        if let Some(present) = &mut self.present
            && present.phase == Phase::Answered
        {
            present.resume = Some(ticket);
        }
    }

    pub(super) fn attach(&mut self, attach: Attach) {
        let Some(up) = self.up() else { return };
        let server = up.server.clone();
        if self.present_for(attach.insert, "attach").is_none() {
            return;
        }
        let older = self.highest_epoch(attach.session).is_some_and(|known| attach.epoch < known);
        if older && self.config.guards.make(Guard::DtuHighestEpoch) {
            self.log(Logged::Dropped { what: "attach", why: "a newer epoch is known" });
            return self.ask_again();
        }
        self.note_epoch(attach.session, attach.epoch);
        // A link that is silent while its session answers others is opened anew.
        let goes_on =
            self.display_is_of(attach.session, attach.epoch) && !self.display_is_suspected();
        let Some(present) = &mut self.present else { return };
        present.phase = Phase::Answered;
        present.answered = true;
        present.want = Want::Last;
        present.redirects = 0;
        present.refusals = 0;
        present.refusal = None;
        present.resume = Some(attach.resume.clone());
        let caretaken = attach.origin == Origin::Caretaken;
        present.cared_for_by = caretaken.then(|| server.clone());
        // While the picture goes on, and somebody else cares for it, its own
        // server is silent still: if the picture stops, too, nobody is to wait
        // for that server's word.
        present.unreachable.retain(|name| goes_on && caretaken && *name == attach.host);
        if goes_on {
            if self.is_live() {
                self.log(Logged::Resumed {
                    server: server.to_string(),
                    session: attach.session.to_string(),
                    epoch: attach.epoch.0,
                });
            }
            return;
        }
        if attach.origin == Origin::TakenOver {
            self.log(Logged::TakenOver {
                on: attach.host.to_string(),
                session: attach.session.to_string(),
                epoch: attach.epoch.0,
            });
        }
        self.open_display(attach);
    }

    pub(super) fn redirected(&mut self, redirect: Redirect) {
        let Some(up) = self.up() else { return };
        let from = up.server.clone();
        let live = self.is_live();
        let Some(present) = self.present_for(redirect.insert, "redirect") else { return };
        if present.redirects >= REDIRECTS_MAX {
            let text = format!(
                "The servers sent this DTU from one to the next {REDIRECTS_MAX} times, \
                 and at last to {}. Try again, or tell the administrator.",
                redirect.to.name
            );
            // A picture that is there is worth more than the right server.
            if live {
                present.redirects = 0;
                self.log(Logged::Dropped { what: "redirect", why: "too many" });
                return self.ask_again();
            }
            return self.stop_refused(from, RefusalCode::TooManyRedirects, text);
        }
        present.redirects += 1;
        present.progress = None;
        present.phase = Phase::Wanted { at_ms: 0 };
        let (to, plan) = (redirect.to.clone(), redirect.plan);
        present.redirect = Some((from.clone(), redirect));
        self.log(Logged::Redirected {
            from: from.to_string(),
            to: to.name.to_string(),
            plan: match plan {
                RedirectPlan::Existing => "existing",
                RedirectPlan::New => "new",
                RedirectPlan::Takeover => "takeover",
            },
        });
        let chance = (self.now_ms, &mut self.jitter);
        self.search.candidates.found(to.address, Some(to.name), Via::Group, chance);
        self.leave_control();
    }

    /// Where the redirect that is being followed leads.
    pub(super) fn redirect_target(&self) -> Option<Target> {
        let (_, redirect) = self.present.as_ref()?.redirect.as_ref()?;
        Some(Target { address: redirect.to.address, server: Some(redirect.to.name.clone()) })
    }

    /// A server could not be reached: it is not to be chosen for this insert,
    /// and a redirect to it leads nowhere.
    pub(super) fn unreachable(&mut self, server: Option<ServerName>) {
        let (Some(present), Some(server)) = (&mut self.present, server) else { return };
        if present.redirect.as_ref().is_some_and(|(_, redirect)| redirect.to.name == server) {
            present.redirect = None;
        }
        if !present.unreachable.contains(&server) && present.unreachable.len() < SERVERS_MAX {
            present.unreachable.push(server);
        }
    }

    /// Sends the insert again, later each time in a row.
    pub(super) fn ask_again(&mut self) {
        let Some(failures) = self.present.as_ref().map(|present| present.failures) else { return };
        let wait_ms = self.jitter.steady_wait_ms(failures, ASK_AGAIN_MS_MAX);
        if let Some(present) = &mut self.present
            && !matches!(present.phase, Phase::Stopped(_))
        {
            present.failures = failures.saturating_add(1);
            present.phase = Phase::Wanted { at_ms: self.now_ms + wait_ms };
        }
    }

    /// The control link is gone: the insert is sent again to the next server.
    pub(super) fn ask_again_elsewhere(&mut self) {
        if let Some(present) = &mut self.present
            && !matches!(present.phase, Phase::Stopped(_))
        {
            present.phase = Phase::Wanted { at_ms: self.now_ms };
            present.progress = None;
            present.refusals = 0;
        }
    }

    /// A display link is lost after it was live this long.
    pub(super) fn display_failed_after(&mut self, live_ms: u64) {
        if let Some(present) = &mut self.present
            && live_ms >= STEADY_MS
        {
            present.failures = 0;
        }
        // What was asked without counting on the link is asked already.
        let asked = self.present.as_ref().is_some_and(|present| {
            matches!(present.phase, Phase::Asked { .. }) && !present.told_showing
        });
        if !asked {
            self.ask_again();
        }
    }

    pub(super) fn insert_on_time(&mut self) {
        let Some(Present { phase: Phase::Asked { heard_ms }, .. }) = &self.present else { return };
        if self.now_ms >= heard_ms + ANSWER_TIMEOUT_MS {
            self.control_is_stuck();
        }
    }

    pub(super) fn insert_deadline_ms(&self) -> Option<u64> {
        match self.present.as_ref()?.phase {
            Phase::Wanted { at_ms } if self.up().is_some() && self.screen.is_some() => Some(at_ms),
            Phase::Asked { heard_ms } if self.up().is_some() => Some(heard_ms + ANSWER_TIMEOUT_MS),
            _ => None,
        }
    }
}
