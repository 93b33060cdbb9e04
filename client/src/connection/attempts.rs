//! Attempts at a control link: open, prove, greet. Several may be under way;
//! the first server that greets is taken.

use super::control::{Target, Up};
use super::suspicion::Suspicion;
use super::{Action, Connection, LinkId, Logged, OPEN_TIMEOUT_MS};
use afterglow_wire::control::{Hello, Remove, VERSION, Welcome};
use afterglow_wire::ids::{GroupId, ServerName};
use std::net::SocketAddrV4;

/// A control link that is not in use yet.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) link: LinkId,
    pub(super) target: Target,
    pub(super) started_ms: u64,
    /// Who is there, once the link is open; it has to greet.
    pub(super) opened: Option<(GroupId, ServerName)>,
    deadline_ms: u64,
}

impl Connection {
    /// The only group that may be spoken to, if it is settled: the one that
    /// the user named, or the one that knows of the token that is in.
    fn only_group(&self) -> Option<GroupId> {
        self.config.group.or_else(|| self.present.as_ref()?.group)
    }

    fn is_trusted(&self, group: GroupId) -> bool {
        self.config.group == Some(group) || self.trusted.contains(&group)
    }

    pub(super) fn open_control(&mut self, target: Target) {
        let link = self.new_link();
        let (address, group) = (target.address, self.only_group());
        self.act(Action::OpenControl { link, address, group });
        let started_ms = self.now_ms;
        let deadline_ms = started_ms + OPEN_TIMEOUT_MS;
        self.control.attempts.push(Attempt { link, target, started_ms, opened: None, deadline_ms });
    }

    fn attempt(&mut self, link: LinkId) -> Option<&mut Attempt> {
        self.control.attempts.iter_mut().find(|attempt| attempt.link == link)
    }

    fn take_attempt(&mut self, link: LinkId) -> Option<Attempt> {
        let index = self.control.attempts.iter().position(|attempt| attempt.link == link)?;
        Some(self.control.attempts.remove(index))
    }

    /// Closes an attempt that is over.
    fn drop_attempt(&mut self, link: LinkId, reason: &'static str) -> Option<Attempt> {
        let attempt = self.take_attempt(link)?;
        self.act(Action::CloseControl { link, reason });
        Some(attempt)
    }

    /// Closes all attempts, without blaming anybody.
    pub(super) fn close_attempts(&mut self, reason: &'static str) {
        for attempt in std::mem::take(&mut self.control.attempts) {
            self.act(Action::CloseControl { link: attempt.link, reason });
        }
    }

    pub(super) fn control_opened(&mut self, link: LinkId, group: GroupId, server: ServerName) {
        let target = match self.attempt(link) {
            Some(Attempt { opened: None, target, .. }) => target.clone(),
            _ => return,
        };
        if self.only_group().is_some_and(|only| only != group) {
            self.drop_attempt(link, "another group");
            return self.refuse_server(&target, Some(&server));
        }
        if !self.is_trusted(group) {
            self.drop_attempt(link, "the group is not known");
            return self.meet_group(group, server, target.address);
        }
        // Only now: a stranger's certificate can bear any name.
        self.search.candidates.proved(target.address, server.clone());
        let hello = Hello { version: VERSION, dtu_name: self.config.dtu_name.clone() };
        self.act(Action::SendControl { link, message: hello.into() });
        let deadline_ms = self.now_ms + OPEN_TIMEOUT_MS;
        if let Some(attempt) = self.attempt(link) {
            attempt.opened = Some((group, server));
            attempt.deadline_ms = deadline_ms;
        }
    }

    /// Nothing is said to a server of an unknown group before the user agrees.
    fn meet_group(&mut self, group: GroupId, server: ServerName, address: SocketAddrV4) {
        self.search.candidates.hold(address);
        if self.distrusted.contains(&group) || self.meeting.is_some() {
            return;
        }
        self.log(Logged::FirstMeeting { server: server.to_string(), group: group.to_string() });
        self.meeting = Some((group, server, address));
    }

    /// The user saw this group's fingerprint and agreed to it, and to no other
    /// that may be asked about by now.
    pub(super) fn trust_group(&mut self, seen: GroupId) {
        let meeting = self.meeting.take_if(|(group, ..)| *group == seen);
        let Some((group, _, address)) = meeting else { return };
        self.trusted.push(group);
        self.act(Action::RememberGroup(group));
        self.search.candidates.release(Some(address));
    }

    pub(super) fn refuse_group(&mut self, seen: GroupId) {
        let meeting = self.meeting.take_if(|(group, ..)| *group == seen);
        let Some((group, server, _)) = meeting else { return };
        self.distrusted.push(group);
        self.search.trouble = Some(format!("you did not trust the group of {server}"));
        self.search.candidates.release(None);
    }

    pub(super) fn control_failed(&mut self, link: LinkId, why: &str, other_group: bool) {
        let Some(attempt) = self.take_attempt(link) else { return };
        if other_group {
            return self.refuse_server(&attempt.target, None);
        }
        self.give_up(&attempt.target, why);
    }

    pub(super) fn attempt_closed(&mut self, link: LinkId, why: &str) {
        if let Some(attempt) = self.take_attempt(link) {
            self.give_up(&attempt.target, why);
        }
    }

    /// The server belongs to another group than the only one accepted.
    fn refuse_server(&mut self, target: &Target, server: Option<&ServerName>) {
        let who = in_words(target, server);
        let given = match self.config.group {
            Some(_) => "than the one given with --group",
            None => "than your session",
        };
        let text = format!("{who} belongs to another group {given}");
        let logged = Logged::Refused { server: who, code: "other_group", text: text.clone() };
        // Once for each time that this server failed would fill the log.
        if self.search.candidates.failures(target.address) == 0 {
            self.log(logged);
        }
        self.search.trouble = Some(text);
        self.out_of_reach(target);
    }

    pub(super) fn give_up(&mut self, target: &Target, why: &str) {
        self.search.trouble = Some(format!("{}: {why}", in_words(target, None)));
        self.out_of_reach(target);
    }

    fn out_of_reach(&mut self, target: &Target) {
        self.attempt_failed(target);
        let redirect = self.redirect_target().filter(|to| to.address == target.address);
        let proven = || self.search.candidates.proven_name(target.address);
        let server = redirect.and_then(|to| to.server).or_else(proven);
        self.unreachable(server);
    }

    /// The server greets: it is in charge from now on.
    pub(super) fn welcomed(&mut self, link: LinkId, welcome: &Welcome) {
        let Some(Attempt { opened: Some(_), .. }) = self.attempt(link) else { return };
        let Some(attempt) = self.take_attempt(link) else { return };
        let Some((group, server)) = attempt.opened else { return };
        let address = attempt.target.address;
        if welcome.version != VERSION {
            self.act(Action::CloseControl { link, reason: "another version" });
            let why = format!(
                "it speaks version {} of the protocol, this DTU version {VERSION}; \
                 update the older of the two",
                welcome.version
            );
            return self.give_up(&attempt.target, &why);
        }
        self.close_attempts("another server was quicker");
        if self.control.up.is_some() {
            self.close_up("silent", "it does not answer any more");
        }
        self.search.candidates.reached(address);
        self.search.trouble = None;
        self.meeting = None;
        if let Some(present) = &mut self.present {
            present.unreachable.retain(|name| *name != server);
        }
        let connected =
            Logged::Connected { server: server.to_string(), address: address.to_string() };
        self.log(connected);
        let suspicion = Suspicion::new(welcome.alive_every_ms.into(), self.now_ms);
        self.control.up = Some(Up { link, address, group, server, suspicion, suspected: false });
        self.tell_addresses();
        if let Some(insert) = self.untold_remove.take() {
            self.send_control(Remove { insert });
        }
    }

    pub(super) fn attempts_on_time(&mut self) {
        let now_ms = self.now_ms;
        let late = |attempt: &&Attempt| now_ms >= attempt.deadline_ms;
        let late: Vec<LinkId> =
            self.control.attempts.iter().filter(late).map(|attempt| attempt.link).collect();
        for link in late {
            if let Some(attempt) = self.drop_attempt(link, "too slow") {
                self.give_up(&attempt.target, "it does not answer");
            }
        }
    }

    pub(super) fn attempts_deadline_ms(&self) -> Option<u64> {
        self.control.attempts.iter().map(|attempt| attempt.deadline_ms).min()
    }
}

fn in_words(target: &Target, server: Option<&ServerName>) -> String {
    match server.or(target.server.as_ref()) {
        Some(name) => format!("{name} ({})", target.address),
        None => target.address.to_string(),
    }
}
