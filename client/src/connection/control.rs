//! The control link: open, greet, suspect, lose.

use super::{Action, Connection, LinkId, Logged, OPEN_TIMEOUT_MS, SUSPECT_AFTER_MS};
use afterglow_wire::control::{Hello, Remove, ToDtu, ToServer, VERSION, Welcome};
use afterglow_wire::ids::{GroupId, ServerName};
use std::net::SocketAddrV4;

/// By how much a suspicion may come late before it is our own process that
/// stood still, and the server gets another chance to be heard.
const STALL_MS: u64 = 300;
/// However rarely a server promises to speak, it is suspected after this.
const SILENCE_MS_MAX: u64 = 10_000;

/// Where a link goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddrV4,
    pub(super) server: Option<ServerName>,
}

/// The control link.
#[derive(Debug)]
pub(super) enum Control {
    /// There is none.
    Down,
    /// It is being opened.
    Opening { link: LinkId, target: Target, deadline_ms: u64 },
    /// It is open; the server has to greet.
    Greeting { link: LinkId, target: Target, group: GroupId, server: ServerName, deadline_ms: u64 },
    /// It is in use.
    Up(Up),
}

/// A control link in use.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) link: LinkId,
    pub(super) address: SocketAddrV4,
    pub(super) group: GroupId,
    pub(super) server: ServerName,
    /// When the server last said anything.
    heard_ms: u64,
    /// How long it may be silent.
    silence_ms_max: u64,
}

impl Control {
    /// The link's number, if there is a link.
    pub(super) fn link(&self) -> Option<LinkId> {
        match self {
            Control::Down => None,
            Control::Opening { link, .. } | Control::Greeting { link, .. } => Some(*link),
            Control::Up(up) => Some(up.link),
        }
    }
}

impl Connection {
    /// The control link, if it is in use.
    pub(super) fn up(&self) -> Option<&Up> {
        match &self.control {
            Control::Up(up) => Some(up),
            Control::Down | Control::Opening { .. } | Control::Greeting { .. } => None,
        }
    }

    /// Sends on the control link, if it is in use.
    pub(super) fn send_control(&mut self, message: impl Into<ToServer>) -> bool {
        let Some(link) = self.up().map(|up| up.link) else { return false };
        self.act(Action::SendControl { link, message: message.into() });
        true
    }

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
        let deadline_ms = self.now_ms + OPEN_TIMEOUT_MS;
        self.control = Control::Opening { link, target, deadline_ms };
    }

    pub(super) fn control_opened(&mut self, link: LinkId, group: GroupId, server: ServerName) {
        let target = match &self.control {
            Control::Opening { link: opening, target, .. } if *opening == link => target.clone(),
            _ => return,
        };
        self.search.found(target.address, Some(server.clone()), super::Via::Remembered);
        if self.only_group().is_some_and(|only| only != group) {
            self.close_control("another group");
            return self.refuse_server(&target, Some(&server));
        }
        if !self.is_trusted(group) {
            return self.meet_group(group, server, target.address);
        }
        if let Some(present) = &mut self.present {
            present.unreachable.retain(|name| *name != server);
        }
        let hello = Hello { version: VERSION, dtu_name: self.config.dtu_name.clone() };
        self.act(Action::SendControl { link, message: hello.into() });
        let deadline_ms = self.now_ms + OPEN_TIMEOUT_MS;
        self.control = Control::Greeting { link, target, group, server, deadline_ms };
    }

    /// Nothing is said to a server of an unknown group before the user agrees.
    fn meet_group(&mut self, group: GroupId, server: ServerName, address: SocketAddrV4) {
        self.close_control("the group is not known");
        self.search.hold(address);
        if self.distrusted.contains(&group) || self.meeting.is_some() {
            return;
        }
        self.log(Logged::FirstMeeting { server: server.to_string(), group: group.to_string() });
        self.meeting = Some((group, server, address));
    }

    pub(super) fn trust_group(&mut self) {
        let Some((group, _, address)) = self.meeting.take() else { return };
        self.trusted.push(group);
        self.act(Action::RememberGroup(group));
        self.search.release(Some(address));
    }

    pub(super) fn refuse_group(&mut self) {
        let Some((group, server, _)) = self.meeting.take() else { return };
        self.distrusted.push(group);
        self.search.trouble = Some(format!("you did not trust the group of {server}"));
        self.search.release(None);
    }

    fn close_control(&mut self, reason: &'static str) {
        if let Some(link) = self.control.link() {
            self.act(Action::CloseControl { link, reason });
        }
        self.control = Control::Down;
    }

    pub(super) fn control_failed(&mut self, link: LinkId, why: &str, other_group: bool) {
        let target = match &self.control {
            Control::Opening { link: opening, target, .. } if *opening == link => target.clone(),
            _ => return,
        };
        self.control = Control::Down;
        if other_group {
            return self.refuse_server(&target, None);
        }
        self.give_up(&target, why);
    }

    /// The server belongs to another group than the only one accepted.
    fn refuse_server(&mut self, target: &Target, server: Option<&ServerName>) {
        let who = match server.or(target.server.as_ref()) {
            Some(name) => format!("{name} ({})", target.address),
            None => target.address.to_string(),
        };
        let given = match self.config.group {
            Some(_) => "than the one given with --group",
            None => "than your session",
        };
        let text = format!("{who} belongs to another group {given}");
        let logged = Logged::Refused { server: who, code: "other_group", text: text.clone() };
        // Once for each time that this server failed would fill the log.
        if self.search.failures(target.address) == 0 {
            self.log(logged);
        }
        self.search.trouble = Some(text);
        self.attempt_failed(target);
        self.unreachable(target.server.clone());
    }

    fn give_up(&mut self, target: &Target, why: &str) {
        let who = match &target.server {
            Some(name) => format!("{name} ({})", target.address),
            None => target.address.to_string(),
        };
        self.search.trouble = Some(format!("{who}: {why}"));
        self.attempt_failed(target);
        self.unreachable(target.server.clone());
    }

    pub(super) fn control_closed(&mut self, link: LinkId, why: &str) {
        match &self.control {
            Control::Opening { link: opening, target, .. }
            | Control::Greeting { link: opening, target, .. }
                if *opening == link =>
            {
                let target = target.clone();
                self.control = Control::Down;
                self.give_up(&target, why);
            }
            Control::Up(up) if up.link == link => self.control_lost(why),
            _ => {}
        }
    }

    /// The server that was in charge does not answer any more, or took leave.
    fn control_lost(&mut self, why: &str) {
        let Control::Up(up) = std::mem::replace(&mut self.control, Control::Down) else { return };
        let display_alive = self.is_live();
        self.log(Logged::ServerLost {
            server: up.server.to_string(),
            silent_ms: self.now_ms.saturating_sub(up.heard_ms),
            display_alive,
        });
        self.lost_server = Some((up.server.clone(), self.now_ms));
        self.search.begin(self.now_ms);
        self.give_up(&Target { address: up.address, server: Some(up.server) }, why);
        self.ask_again_elsewhere();
    }

    /// Leaves the control link for a redirect's target.
    pub(super) fn leave_control(&mut self) {
        self.search.begin(self.now_ms);
        self.close_control("redirected");
    }

    pub(super) fn control_message(&mut self, link: LinkId, message: ToDtu) {
        match &mut self.control {
            Control::Greeting { link: greeting, .. } if *greeting == link => {
                if let ToDtu::Welcome(welcome) = message {
                    self.welcomed(&welcome);
                }
                return;
            }
            Control::Up(up) if up.link == link => up.heard_ms = self.now_ms,
            _ => return,
        }
        match message {
            ToDtu::Alive(alive) => {
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
            ToDtu::Welcome(_) | ToDtu::Unknown(_) => {}
        }
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        let Control::Greeting { link, target, group, server, .. } =
            std::mem::replace(&mut self.control, Control::Down)
        else {
            return;
        };
        if welcome.version != VERSION {
            self.act(Action::CloseControl { link, reason: "another version" });
            let why = format!(
                "it speaks version {} of the protocol, this DTU version {VERSION}; \
                 update the older of the two",
                welcome.version
            );
            return self.give_up(&target, &why);
        }
        self.search.reached(target.address);
        self.search.trouble = None;
        self.meeting = None;
        self.log(Logged::Connected {
            server: server.to_string(),
            address: target.address.to_string(),
        });
        self.control = Control::Up(Up {
            link,
            address: target.address,
            group,
            server,
            heard_ms: self.now_ms,
            silence_ms_max: (u64::from(welcome.alive_every_ms) * 3)
                .clamp(SUSPECT_AFTER_MS, SILENCE_MS_MAX),
        });
        if let Some(insert) = self.untold_remove.take() {
            self.send_control(Remove { insert });
        }
    }

    pub(super) fn control_on_time(&mut self) {
        match &mut self.control {
            Control::Down => {}
            Control::Opening { deadline_ms, target, .. }
            | Control::Greeting { deadline_ms, target, .. } => {
                if self.now_ms >= *deadline_ms {
                    let target = target.clone();
                    self.close_control("too slow");
                    self.give_up(&target, "it does not answer");
                }
            }
            Control::Up(up) => {
                let deadline_ms = up.heard_ms + up.silence_ms_max;
                if self.now_ms > deadline_ms + STALL_MS {
                    up.heard_ms = self.now_ms - up.silence_ms_max / 2;
                } else if self.now_ms >= deadline_ms {
                    let link = up.link;
                    self.act(Action::CloseControl { link, reason: "silent" });
                    self.control_lost("it does not answer any more");
                }
            }
        }
    }

    /// Gives up a server that works on an insert without end.
    pub(super) fn control_is_stuck(&mut self) {
        if let Some(link) = self.up().map(|up| up.link) {
            self.act(Action::CloseControl { link, reason: "no answer to an insert" });
            self.control_lost("it gave no answer");
        }
    }

    pub(super) fn control_deadline_ms(&self) -> Option<u64> {
        match &self.control {
            Control::Down => None,
            Control::Opening { deadline_ms, .. } | Control::Greeting { deadline_ms, .. } => {
                Some(*deadline_ms)
            }
            Control::Up(up) => Some(up.heard_ms + up.silence_ms_max),
        }
    }
}
