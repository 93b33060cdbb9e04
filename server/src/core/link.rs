//! What becomes of a DTU's messages, and what it is told.

use super::{Action, CopyId, Level, LinkClose, ServerCore};
use crate::auth::{AuthError, LinkId, Verdict};
use crate::group::rate::Rate;
use crate::session::act::{Act, Attachment};
use crate::session::care::Cared;
use crate::session::notice::{Around, Notice};
use afterglow_wire::control::{
    Alive, Attach, Challenge, ChallengeAnswer, Insert, Origin, Redirect, RedirectPlan, RefusalCode,
    Refused, Server, Servers, SessionEnded, ToDtu, ToServer, VERSION, Welcome,
};
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::{DtuId, ServerName, Token};
use afterglow_wire::local::{DetachDtu, ToKeeper};
use afterglow_wire::ticket::{Permit, Plan, RESUME_LIFE_MS, SHORT_LIFE_MS, SealedTicket, Ticket};
use std::net::{Ipv4Addr, SocketAddrV4};

/// How often a server says that it lives, in milliseconds.
pub const ALIVE_EVERY_MS: u64 = 100;
/// How often a DTU gets a fresh resume ticket, in Alives.
const RESUME_EVERY: u64 = 100;
/// How many inserts a link may send at once, and a second in the long run. A
/// DTU needs one for each card, and a few more while servers come and go.
const INSERTS_AT_ONCE: u64 = 30;
const INSERTS_PER_S: u64 = 5;
/// How often a link may ask about its token's sessions, and manage them: at
/// once, and a second in the long run. A panel that is open asks once a second.
const LISTS_AT_ONCE: u64 = 20;
const LISTS_PER_S: u64 = 4;
/// How often the list of servers is looked at, in Alives.
const SERVERS_EVERY: u64 = 10;

/// A DTU that is connected.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) dtu: DtuId,
    pub(super) address: Ipv4Addr,
    /// The addresses that it says it has on other networks.
    others: Vec<Ipv4Addr>,
    /// The newest insert on this link.
    pub(super) insert: u64,
    /// The last insert that was sent to another server.
    sent_on: Option<u64>,
    /// How many more may come.
    inserts: Rate,
    /// How much more it may ask about its sessions.
    pub(super) lists: Rate,
    /// The session that it was attached to on this link.
    pub(super) current: Option<Current>,
    /// The servers as they were told last.
    servers: Vec<Server>,
    /// How many Alives there were; begins with the link's own number, so that
    /// what comes with every hundredth does not come for all links at once.
    beats: u64,
}

/// An attachment.
#[derive(Debug, Clone)]
pub(super) struct Current {
    insert: u64,
    token: Token,
    about: TokenSession,
}

impl ServerCore {
    pub(super) fn link_opened(
        &mut self,
        link: LinkId,
        dtu: DtuId,
        address: Ipv4Addr,
        dtu_name: &str,
    ) {
        self.log(Level::Info, || {
            format!("desktop unit {dtu:?} {dtu_name:?} is connected from {address}")
        });
        let older = self.links.iter().filter(|(_, other)| other.dtu == dtu).map(|(id, _)| *id);
        for older in older.collect::<Vec<_>>() {
            self.forget_link(older);
            self.actions.push(Action::CloseLink { link: older, why: LinkClose::Replaced });
        }
        if self.links.is_empty() {
            self.next_alive_ms = self.now.steady_ms + ALIVE_EVERY_MS;
        }
        let known = Link {
            dtu,
            address,
            others: Vec::new(),
            insert: 0,
            sent_on: None,
            inserts: Rate::new(INSERTS_PER_S, INSERTS_AT_ONCE),
            lists: Rate::new(LISTS_PER_S, LISTS_AT_ONCE),
            current: None,
            servers: Vec::new(),
            beats: link,
        };
        self.links.insert(link, known);
        let (server, alive_every_ms) = (self.me().clone(), ALIVE_EVERY_MS as u32);
        self.tell(link, Welcome { version: VERSION, server, alive_every_ms });
        self.tell_servers(link);
    }

    pub(super) fn link_closed(&mut self, link: LinkId) {
        if let Some(dtu) = self.links.get(&link).map(|known| known.dtu) {
            self.log(Level::Info, || format!("desktop unit {dtu:?} is gone"));
            self.forget_link(link);
        }
    }

    fn forget_link(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.drop_course_of(link);
        self.care.release(link);
        self.auth.close(link);
    }

    pub(super) fn tell(&mut self, link: LinkId, message: impl Into<ToDtu>) {
        self.actions.push(Action::SendLink { link, message: message.into() });
    }

    pub(super) fn link_message(&mut self, link: LinkId, message: ToServer) {
        let Some(dtu) = self.links.get(&link).map(|known| known.dtu) else { return };
        match message {
            ToServer::Hello(_) => {
                self.forget_link(link);
                self.actions.push(Action::CloseLink { link, why: LinkClose::Protocol });
            }
            ToServer::Insert(insert) => self.insert(link, dtu, insert),
            ToServer::ChallengeAnswer(answer) => self.challenge_answer(link, &answer),
            ToServer::Remove(remove) => self.remove(link, dtu, remove.insert),
            ToServer::Addresses(told) => {
                if let Some(known) = self.links.get_mut(&link) {
                    known.others = told.addresses.into_vec();
                }
            }
            ToServer::ListSessions(list) => self.list_sessions(link, list.insert),
            ToServer::Manage(manage) => self.manage(link, manage),
            ToServer::Consent(consent) => self.consented(link, consent),
            ToServer::Unknown(kind) => self.log(Level::Debug, || {
                format!("desktop unit {dtu:?}: message of unknown kind {kind}")
            }),
        }
    }

    fn insert(&mut self, link: LinkId, dtu: DtuId, insert: Insert) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let number = insert.insert;
        if !known.inserts.take(self.now.steady_ms) {
            self.log(Level::Warn, || format!("desktop unit {dtu:?} inserts too often"));
            self.forget_link(link);
            return self.actions.push(Action::CloseLink { link, why: LinkClose::TooOften });
        }
        if number < known.insert {
            return self.log(Level::Debug, || format!("desktop unit {dtu:?}: an older insert"));
        }
        known.insert = number;
        self.drop_course_of(link);
        self.care.release(link);
        let (token, cause) = (insert.token.clone(), insert.cause);
        self.log(Level::Info, || {
            format!("desktop unit {dtu:?} inserts {token:?}, cause {cause:?}")
        });
        let nonce = self.random();
        let topology = self.group.topology();
        let ahead_ms = |issuer: &_| topology.host(issuer).map_or(0, |host| host.ahead_ms);
        match self.auth.insert(link, dtu, insert, nonce, self.now, ahead_ms) {
            Ok(Verdict::Admit(admitted)) => self.begin_course(link, &admitted),
            Ok(Verdict::Challenge) => self.tell(link, Challenge { insert: number, nonce }),
            Err(e) => self.refuse_token(link, number, &e),
        }
    }

    fn challenge_answer(&mut self, link: LinkId, answer: &ChallengeAnswer) {
        if self.links.get(&link).is_none_or(|known| known.insert != answer.insert) {
            return;
        }
        match self.auth.answer(link, answer, self.now) {
            Ok(admitted) => self.begin_course(link, &admitted),
            Err(e) => self.refuse_token(link, answer.insert, &e),
        }
    }

    fn refuse_token(&mut self, link: LinkId, insert: u64, why: &AuthError) {
        self.log(Level::Info, || format!("the insert of link {link} is refused: {why}"));
        self.tell(link, Refused { insert, code: why.code(), text: why.to_string() });
    }

    /// The token went: whatever is under way for it ends, and its session is
    /// told, in case the display link's own word is late.
    fn remove(&mut self, link: LinkId, dtu: DtuId, insert: u64) {
        self.auth.remove(link, dtu, insert, self.now);
        let Some(known) = self.links.get_mut(&link) else { return };
        if insert < known.insert {
            return;
        }
        let current = known.current.take();
        self.drop_course_of(link);
        self.care.release(link);
        let Some(Current { token, about, .. }) = current else { return };
        self.log(Level::Info, || format!("desktop unit {dtu:?} removes {token:?}"));
        let (session, epoch) = (about.session, about.epoch);
        if self.table.get(session, epoch).is_some() {
            let message = ToKeeper::Detach(DetachDtu { dtu, insert });
            self.actions.push(Action::TellKeeper { session, epoch, message });
        }
    }

    /// An insert's course is over.
    pub(super) fn conclude(&mut self, link: LinkId, token: &Token, act: Act) {
        let Some(insert) = self.links.get(&link).map(|known| known.insert) else { return };
        match act {
            Act::Attach(attachment) => self.attach(link, token, attachment),
            Act::Redirect { to, plan, found, connection } => {
                let found = TokenSession { connection: connection.unwrap_or(0), ..found };
                if plan != Plan::Existing {
                    self.group.note_sent(&to);
                }
                self.redirect(link, insert, token, (to, plan, found));
            }
            Act::Refuse { code, text } => {
                self.log(Level::Warn, || format!("the insert of link {link} is refused: {text}"));
                self.tell(link, Refused { insert, code, text });
            }
            _ => {}
        }
    }

    fn attach(&mut self, link: LinkId, token: &Token, attachment: Attachment) {
        let Attachment { session, epoch, host, endpoint, connection, origin, notice } = attachment;
        let Some((dtu, insert)) = self.links.get(&link).map(|known| (known.dtu, known.insert))
        else {
            return;
        };
        let notice = self.notice_words((session, epoch), &notice);
        let endpoint = self.endpoint_for(link, &host, endpoint);
        self.log(Level::Info, || {
            format!(
                "desktop unit {dtu:?} is attached to session {session:?} epoch {epoch} on {host} \
                 ({origin:?}) at {endpoint}"
            )
        });
        let about = TokenSession { session, epoch, connection };
        let ticket = self.ticket(Permit::Attach, (dtu, insert), token, about);
        let resume = self.ticket(Permit::Resume, (dtu, insert), token, about);
        if origin == Origin::Caretaken {
            let (owner, token) = (host.clone(), token.clone());
            let cared = Cared { owner, token, session, epoch, connection, insert };
            self.care.take(link, cared);
        }
        if let Some(known) = self.links.get_mut(&link) {
            known.current = Some(Current { insert, token: token.clone(), about });
        }
        self.tell(
            link,
            Attach { insert, session, epoch, host, endpoint, ticket, resume, origin, notice },
        );
    }

    /// What a user is told about a session that was just started.
    fn notice_words(&self, copy: CopyId, notice: &Notice) -> String {
        let resumed = self.services_told.get(&copy).cloned().unwrap_or_default();
        let (me, wall_ms) = (self.me(), self.now.wall_ms);
        let home_is_shared = match notice {
            Notice::Restarted(row) => self.group.homes_shared(&row.owner) != Some(false),
            _ => true,
        };
        notice.words(Around { me, wall_ms, resumed: &resumed, home_is_shared })
    }

    /// The copy that a link was attached to.
    pub(super) fn shown_at(&self, link: LinkId) -> Option<CopyId> {
        let current = self.links.get(&link)?.current.as_ref()?;
        Some((current.about.session, current.about.epoch))
    }

    /// The links that were attached to a copy, with their inserts.
    pub(super) fn viewers(&self, copy: CopyId) -> Vec<(LinkId, u64)> {
        let of_copy = |link: &&LinkId| self.shown_at(**link) == Some(copy);
        let insert = |link: &LinkId| self.links.get(link).map(|known| (*link, known.insert));
        self.links.keys().filter(of_copy).filter_map(insert).collect()
    }

    /// True if a link's newest insert leads, or led, to what it will show.
    pub(super) fn is_led(&self, link: LinkId) -> bool {
        let sent = |known: &Link| known.sent_on == Some(known.insert);
        self.links.get(&link).is_some_and(sent) || self.is_under_way(link)
    }

    /// All addresses of a DTU, that of its link first.
    pub(super) fn addresses_of(&self, link: LinkId) -> Vec<Ipv4Addr> {
        let Some(known) = self.links.get(&link) else { return Vec::new() };
        std::iter::once(known.address).chain(known.others.iter().copied()).collect()
    }

    /// The address by which a DTU reaches a server: from its link's network,
    /// else from another that it is on.
    pub(super) fn way_to(&self, server: &ServerName, link: LinkId) -> Option<SocketAddrV4> {
        self.addresses_of(link).into_iter().find_map(|address| self.group.reaches(server, address))
    }

    /// Where a DTU reaches a host's session: at the host's address on the
    /// DTU's own network, if it has one there.
    fn endpoint_for(
        &self,
        link: LinkId,
        host: &ServerName,
        endpoint: SocketAddrV4,
    ) -> SocketAddrV4 {
        let Some(dtu) = self.links.get(&link).map(|known| known.address) else { return endpoint };
        let near = match host == self.me() {
            true => Some(self.group.own_address(dtu)),
            false => self.way_to(host, link).map(|address| *address.ip()),
        };
        SocketAddrV4::new(near.unwrap_or(*endpoint.ip()), endpoint.port())
    }

    /// Sends a DTU to another server, with a ticket. A connection of 0 says
    /// that it is still to be counted.
    pub(super) fn redirect(
        &mut self,
        link: LinkId,
        insert: u64,
        token: &Token,
        (to, plan, about): (ServerName, Plan, TokenSession),
    ) {
        let Some(dtu) = self.links.get(&link).map(|known| known.dtu) else { return };
        let Some(address) = self.way_to(&to, link) else {
            let code = RefusalCode::Unresolved;
            let text = format!("your session runs on {to}, which this screen cannot reach");
            return self.tell(link, Refused { insert, code, text });
        };
        self.log(Level::Info, || format!("desktop unit {dtu:?} goes to {to} ({plan:?})"));
        if let Some(known) = self.links.get_mut(&link) {
            known.sent_on = Some(insert);
        }
        let permit = Permit::Redirect { to: to.clone(), plan };
        let ticket = self.ticket(permit, (dtu, insert), token, about);
        let plan = match plan {
            Plan::Existing => RedirectPlan::Existing,
            Plan::New => RedirectPlan::New,
            Plan::Takeover => RedirectPlan::Takeover,
        };
        self.tell(link, Redirect { insert, to: Server { name: to, address }, ticket, plan });
    }

    /// Signs a ticket for a DTU's insert, about a session.
    fn ticket(
        &mut self,
        permit: Permit,
        (dtu, insert): (DtuId, u64),
        token: &Token,
        about: TokenSession,
    ) -> SealedTicket {
        let life_ms = match permit {
            Permit::Resume => RESUME_LIFE_MS,
            Permit::Attach | Permit::Redirect { .. } => SHORT_LIFE_MS,
        };
        Ticket {
            permit,
            issuer: self.me().clone(),
            ends_ms: self.now.wall_ms + life_ms,
            nonce: self.random(),
            dtu,
            token: token.clone(),
            session: about.session,
            epoch: about.epoch,
            insert,
            connection: about.connection,
        }
        .seal(&self.signer)
    }

    /// One beat for every link.
    pub(super) fn say_alive(&mut self) {
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            let Some(known) = self.links.get_mut(&link) else { continue };
            known.beats += 1;
            let seq = known.beats;
            let due = known.current.clone().filter(|_| seq.is_multiple_of(RESUME_EVERY));
            let dtu = known.dtu;
            let resume = due.map(|current| {
                let whose = (dtu, current.insert);
                self.ticket(Permit::Resume, whose, &current.token, current.about)
            });
            self.tell(link, Alive { seq, resume });
            if seq.is_multiple_of(SERVERS_EVERY) {
                self.tell_servers(link);
            }
        }
    }

    /// Tells the list of servers if it changed.
    fn tell_servers(&mut self, link: LinkId) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let servers = self.group.servers_for(known.address);
        if servers != known.servers {
            known.servers.clone_from(&servers);
            self.tell(link, Servers { servers: servers.into_iter().collect() });
        }
    }

    /// Tells the DTUs that were attached to a copy that it is over.
    pub(super) fn tell_ended(&mut self, copy: CopyId, text: &str) {
        let of_copy = |current: &mut Current| (current.about.session, current.about.epoch) == copy;
        let ended: Vec<LinkId> = self
            .links
            .iter_mut()
            .filter_map(|(id, link)| link.current.take_if(of_copy).map(|_| *id))
            .collect();
        for link in ended {
            self.tell(link, SessionEnded { session: copy.0, text: text.into() });
        }
    }
}
