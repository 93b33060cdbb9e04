//! The control link in use: keep, suspect, lose.
//!
//! Silence makes the link suspected, and nothing more: the user sees a badge,
//! and another server is looked for. If the server speaks again before one is
//! found, all goes on as before. The link is given up when another server has
//! greeted, when it is closed, or after [`GIVEN_UP_MS`].

use super::attempts::Attempt;
use super::suspicion::Suspicion;
use super::{Action, Connection, LinkId, Logged};
use afterglow_wire::control::{Addresses, Remove, ToDtu, ToServer};
use afterglow_wire::ids::{GroupId, ServerName};
use std::net::SocketAddrV4;

/// After this silence a suspected link is closed, also if no other server is
/// there. The link's own timeout is as long.
const GIVEN_UP_MS: u64 = 3_000;

/// Before this silence no second link is opened to the very server that is
/// silent: mostly it is only late, and then the first one tells.
const SAME_SERVER_MS: u64 = 1_000;

/// Where a link goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddrV4,
    pub(super) server: Option<ServerName>,
}

/// The control link in use, if there is one, and those that may take its
/// place.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) up: Option<Up>,
    pub(super) attempts: Vec<Attempt>,
}

/// A control link in use.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) link: LinkId,
    pub(super) address: SocketAddrV4,
    pub(super) group: GroupId,
    pub(super) server: ServerName,
    pub(super) suspicion: Suspicion,
    /// It has been silent for too long.
    pub(super) suspected: bool,
}

impl Control {
    /// The addresses that are being tried.
    pub(super) fn tried(&self) -> Vec<SocketAddrV4> {
        self.attempts.iter().map(|attempt| attempt.target.address).collect()
    }

    /// The numbers of all links that there are.
    fn links(&self) -> impl Iterator<Item = LinkId> {
        let up = self.up.iter().map(|up| up.link);
        up.chain(self.attempts.iter().map(|attempt| attempt.link))
    }
}

impl Connection {
    /// The control link, if it is in use and not suspected.
    pub(super) fn up(&self) -> Option<&Up> {
        self.control.up.as_ref().filter(|up| !up.suspected)
    }

    /// Sends on the control link, if it is in use and not suspected.
    pub(super) fn send_control(&mut self, message: impl Into<ToServer>) -> bool {
        let Some(link) = self.up().map(|up| up.link) else { return false };
        self.act(Action::SendControl { link, message: message.into() });
        true
    }

    /// Tells that a token went, also where nobody may hear it. True if it was
    /// told to somebody who answers.
    pub(super) fn tell_removed(&mut self, insert: u64) -> bool {
        let Some(up) = &self.control.up else { return false };
        let (link, suspected) = (up.link, up.suspected);
        self.act(Action::SendControl { link, message: Remove { insert }.into() });
        !suspected
    }

    /// Closes everything that there is.
    pub(super) fn close_all_control(&mut self, reason: &'static str) {
        let links: Vec<LinkId> = self.control.links().collect();
        for link in links {
            self.act(Action::CloseControl { link, reason });
        }
        self.control = Control::default();
    }

    /// Leaves the control link for a redirect's target.
    pub(super) fn leave_control(&mut self) {
        self.search.begin(self.now_ms, &mut self.jitter);
        self.forget_question();
        self.close_all_control("redirected");
    }

    pub(super) fn control_closed(&mut self, link: LinkId, why: &str) {
        if self.control.up.as_ref().is_some_and(|up| up.link == link) {
            self.control_lost(why);
        } else {
            self.attempt_closed(link, why);
        }
    }

    /// The server in charge is silent: another one is looked for.
    fn suspect_control(&mut self) {
        let now_ms = self.now_ms;
        let Some(up) = &mut self.control.up else { return };
        up.suspected = true;
        let (address, server) = (up.address, up.server.clone());
        let (silent_ms, limit_ms) = (up.suspicion.silent_ms(now_ms), up.suspicion.limit_ms());
        let heard_ms = up.suspicion.heard_ms();
        self.log(Logged::Suspected {
            link: "control",
            server: server.to_string(),
            silent_ms,
            limit_ms,
        });
        self.lost_server = Some((server.clone(), heard_ms));
        self.search.begin(now_ms, &mut self.jitter);
        self.give_up(&Target { address, server: Some(server) }, "it does not answer any more");
        self.search.candidates.wait(address, heard_ms + SAME_SERVER_MS);
    }

    /// The server speaks: if it was suspected, it is in charge as before.
    fn control_heard(&mut self) {
        let now_ms = self.now_ms;
        let Some(up) = &mut self.control.up else { return };
        let silent_ms = up.suspicion.silent_ms(now_ms);
        up.suspicion.heard(now_ms);
        if !std::mem::take(&mut up.suspected) {
            return;
        }
        let (address, server) = (up.address, up.server.clone());
        let limit_ms = up.suspicion.limit_ms();
        self.close_attempts("the server answers again");
        self.search.candidates.reached(address);
        self.search.trouble = None;
        if let Some(present) = &mut self.present {
            present.unreachable.retain(|name| *name != server);
        }
        let server = server.to_string();
        self.log(Logged::FalseAlarm { link: "control", server, silent_ms, limit_ms });
        if let Some(insert) = self.untold_remove.take() {
            self.send_control(Remove { insert });
        }
    }

    /// The server that was in charge is given up: it does not answer any more,
    /// took leave, or another one is in charge.
    pub(super) fn control_lost(&mut self, why: &str) {
        let Some(up) = self.control.up.take() else { return };
        self.log(Logged::ServerLost {
            server: up.server.to_string(),
            silent_ms: up.suspicion.silent_ms(self.now_ms),
            display_alive: self.showing().is_some(),
        });
        self.panel_lost_control(&up);
        if !up.suspected {
            self.lost_server = Some((up.server.clone(), self.now_ms));
            self.search.begin(self.now_ms, &mut self.jitter);
            self.give_up(&Target { address: up.address, server: Some(up.server) }, why);
        }
        self.ask_again_elsewhere();
    }

    /// Tells where else this DTU can be reached, if it has several addresses.
    pub(super) fn tell_addresses(&mut self) {
        if self.addresses.len() > 1 {
            let addresses = self.addresses.iter().copied().collect();
            self.send_control(Addresses { addresses });
        }
    }

    pub(super) fn control_message(&mut self, link: LinkId, message: ToDtu) {
        if self.control.up.as_ref().is_none_or(|up| up.link != link) {
            if let ToDtu::Welcome(welcome) = message {
                self.welcomed(link, &welcome);
            }
            return;
        }
        self.control_heard();
        match message {
            ToDtu::Alive(alive) => {
                if let Some(up) = &mut self.control.up {
                    up.suspicion.regular_word(self.now_ms);
                }
                if let Some(ticket) = alive.resume {
                    self.new_resume_ticket(ticket);
                }
            }
            ToDtu::Servers(servers) => self.servers_told(servers.servers.into_vec()),
            ToDtu::Challenge(challenge) => self.challenged(&challenge),
            ToDtu::Attach(attach) => self.attach(attach),
            ToDtu::Redirect(redirect) => self.redirected(redirect),
            ToDtu::Refused(refused) => self.refused(refused),
            ToDtu::Progress(progress) => self.progress(&progress),
            ToDtu::SessionEnded(ended) => self.session_ended(&ended),
            ToDtu::Sessions(sessions) => self.sessions_listed(sessions),
            ToDtu::Notice(notice) => self.noticed(notice),
            ToDtu::Question(question) => self.questioned(question),
            ToDtu::Welcome(_) | ToDtu::Unknown(_) => {}
        }
    }

    pub(super) fn control_on_time(&mut self) {
        self.attempts_on_time();
        let now_ms = self.now_ms;
        let Some(up) = &mut self.control.up else { return };
        if up.suspected {
            if up.suspicion.silent_ms(now_ms) >= GIVEN_UP_MS {
                self.close_up("silent", "it does not answer any more");
            }
        } else if up.suspicion.look(now_ms) {
            self.suspect_control();
        }
    }

    /// Gives up a server that works on an insert without end.
    pub(super) fn control_is_stuck(&mut self) {
        if self.up().is_some() {
            self.close_up("no answer to an insert", "it gave no answer");
        }
    }

    /// Closes the link in use; `reason` is for the server.
    pub(super) fn close_up(&mut self, reason: &'static str, why: &str) {
        if let Some(link) = self.control.up.as_ref().map(|up| up.link) {
            self.act(Action::CloseControl { link, reason });
        }
        self.control_lost(why);
    }

    pub(super) fn control_deadline_ms(&self) -> Option<u64> {
        let up_ms = self.control.up.as_ref().map(|up| match up.suspected {
            true => up.suspicion.heard_ms() + GIVEN_UP_MS,
            false => up.suspicion.deadline_ms(),
        });
        self.attempts_deadline_ms().into_iter().chain(up_ms).min()
    }
}
