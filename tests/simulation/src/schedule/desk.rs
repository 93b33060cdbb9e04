//! Desktop units and their users, as scripts: what a desktop unit does about
//! the messages that it gets.

mod user;

use super::world::{Due, WALL_MS, World};
use afterglow_server::auth::LinkId;
use afterglow_server::core::Event;
use afterglow_wire::control::{
    Attach, Cause, ChallengeAnswer, Insert, Redirect, RefusalCode, Remove, Showing, ToDtu, ToServer,
};
use afterglow_wire::ids::{DtuId, Epoch, ServerName, SessionId, Size, Token};
use afterglow_wire::limits::REDIRECTS_MAX;
use afterglow_wire::sessions::{Consent, ListSessions, SessionEntry, Want};
use afterglow_wire::ticket::SealedTicket;
use std::collections::BTreeMap;

/// How long a desktop unit waits for a server that says nothing new.
const PATIENCE_MS: u64 = 15_000;

/// What happens to a desktop unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeskAct {
    /// Its user puts the card in.
    Insert,
    /// Somebody puts in the card of that number.
    InsertThat(usize),
    /// It asks again, since it lost its server or its session.
    Again,
    /// It has waited for long.
    Patience,
    /// Its user decides what to do next.
    Think,
    /// Its user asks for the list.
    List,
    /// Its user decides about the earlier copies in the list.
    DecideOlder,
}

/// A desktop unit.
#[derive(Debug)]
pub struct Desk {
    /// Which one it is, as its link proves it.
    pub id: DtuId,
    /// Whose card is in.
    pub card: Option<usize>,
    /// Its last insert.
    insert: u64,
    /// Counts what it does, so that what was meant for before is not done.
    turn: u64,
    link: Option<(LinkId, usize)>,
    /// The insert that it waits about.
    asked: Option<Insert>,
    /// The session that its user chose with it.
    chosen: Option<SessionId>,
    followed: u8,
    /// The copy on its screen.
    pub shown: Option<usize>,
    resume: Option<SealedTicket>,
    /// The highest epoch that it saw of each session.
    seen: BTreeMap<SessionId, Epoch>,
    list: Vec<SessionEntry>,
    unreachable: Vec<ServerName>,
    /// True once its session was taken to another screen.
    pub elsewhere: bool,
}

/// The token of a card.
pub fn token_of(card: usize) -> Token {
    format!("soft.user{card}").parse().unwrap_or_else(|_| unreachable!("a token"))
}

impl Desk {
    /// A desktop unit without a card.
    pub fn new(index: usize) -> Self {
        Desk {
            id: DtuId([index as u8 + 1; 32]),
            card: None,
            insert: 0,
            turn: 0,
            link: None,
            asked: None,
            chosen: None,
            followed: 0,
            shown: None,
            resume: None,
            seen: BTreeMap::new(),
            list: Vec::new(),
            unreachable: Vec::new(),
            elsewhere: false,
        }
    }
}

impl World {
    /// Something happens to a desktop unit.
    pub fn desk_acts(&mut self, desk: usize, turn: u64, act: DeskAct) {
        let stays = matches!(act, DeskAct::Again | DeskAct::Patience);
        if stays && self.desks[desk].turn != turn {
            return;
        }
        match act {
            DeskAct::Insert => self.put_in(desk, desk),
            DeskAct::InsertThat(card) if !self.calm => self.put_in(desk, card),
            DeskAct::InsertThat(_) => {}
            DeskAct::Again => self.ask_again(desk),
            DeskAct::Patience => {
                if let Some((link, _)) = self.desks[desk].link {
                    self.link_breaks(link);
                }
            }
            DeskAct::Think => self.think(desk),
            DeskAct::List => {
                let insert = self.desks[desk].insert;
                self.desk_says(desk, ListSessions { insert });
            }
            DeskAct::DecideOlder => self.decide_older(desk),
        }
    }

    fn soon(&mut self, desk: usize, ms: u64) {
        let turn = self.desks[desk].turn;
        self.after(ms, Due::Desk(desk, turn, DeskAct::Again));
    }

    fn desk_says(&mut self, desk: usize, message: impl Into<ToServer>) {
        let Some((link, server)) = self.desks[desk].link else { return };
        let message = message.into();
        self.note_said(link, &message);
        self.tell(server, Event::Link { link, message });
    }

    /// A user takes a card out.
    pub fn take_out(&mut self, desk: usize) {
        if self.desks[desk].card.take().is_none() {
            return;
        }
        let found = &mut self.desks[desk];
        found.turn += 1;
        (found.asked, found.resume, found.chosen) = (None, None, None);
        found.list.clear();
        let (insert, shown) = (found.insert, found.shown.take());
        if let Some(copy) = shown {
            self.detach(copy);
        }
        self.desk_says(desk, Remove { insert });
    }

    /// A user puts this card in.
    pub fn put_in(&mut self, desk: usize, card: usize) {
        self.take_out(desk);
        let found = &mut self.desks[desk];
        (found.card, found.elsewhere) = (Some(card), false);
        self.want(desk, Cause::Insert, Want::Last);
    }

    /// A new insert.
    fn want(&mut self, desk: usize, cause: Cause, want: Want) {
        let found = &mut self.desks[desk];
        let Some(card) = found.card else { return };
        found.insert += 1;
        found.chosen = match want {
            Want::Session(session) => Some(session),
            Want::Last | Want::New => None,
        };
        found.unreachable.clear();
        let insert = Insert {
            insert: found.insert,
            token: token_of(card),
            want,
            cause,
            ticket: None,
            unreachable: Default::default(),
            redirects: 0,
            showing: None,
            screen: screen(),
            keymap: Default::default(),
        };
        found.followed = 0;
        self.ask(desk, insert, None);
    }

    /// Asks a server, which may be this one; else the one that it has, else
    /// any.
    fn ask(&mut self, desk: usize, insert: Insert, server: Option<usize>) {
        let found = &mut self.desks[desk];
        found.turn += 1;
        found.asked = Some(insert.clone());
        let turn = found.turn;
        let linked = found.link.map(|(_, server)| server);
        if linked.is_none() || server.is_some_and(|server| linked != Some(server)) {
            let up = (0..self.servers.len()).filter(|server| self.servers[*server].core.is_some());
            let up: Vec<usize> = up.filter(|server| !self.isolated.contains(server)).collect();
            let any = self.rng.pick(&up);
            if let Some((link, _)) = self.desks[desk].link.take() {
                self.link_breaks(link);
            }
            let Some(server) = server.or(any) else { return self.soon(desk, 500) };
            let Some(link) = self.open_link(desk, server) else {
                let name = self.servers[server].name.clone();
                self.desks[desk].unreachable.push(name);
                return self.soon(desk, 300);
            };
            self.desks[desk].link = Some((link, server));
        }
        self.desk_says(desk, insert);
        self.after(PATIENCE_MS, Due::Desk(desk, turn, DeskAct::Patience));
    }

    /// Asks again, for the session that it has or had.
    fn ask_again(&mut self, desk: usize) {
        let found = &mut self.desks[desk];
        let Some(card) = found.card.filter(|_| !found.elsewhere) else { return };
        let asked = found.asked.clone();
        if asked.is_none() && found.resume.is_none() {
            return self.want(desk, Cause::Insert, Want::Last);
        }
        let shown = found.shown.map(|copy| &self.copies[copy]);
        let showing = shown.map(|copy| Showing { session: copy.session, epoch: copy.epoch });
        let ticket = found.resume.clone();
        let want = asked.as_ref().map_or(Want::Last, |asked| asked.want);
        let cause = if ticket.is_some() { Cause::Failover } else { Cause::Insert };
        let insert = Insert {
            insert: found.insert,
            token: token_of(card),
            // What it had is what its ticket names.
            want: if ticket.is_some() { Want::Last } else { want },
            cause,
            unreachable: found.unreachable.iter().cloned().collect(),
            redirects: 0,
            showing,
            ticket,
            screen: screen(),
            keymap: Default::default(),
        };
        if insert.ticket.is_some() {
            found.chosen = None;
        }
        found.followed = 0;
        self.ask(desk, insert, None);
    }

    /// A desktop unit's link to a server is gone.
    pub fn desk_lost_server(&mut self, desk: usize, link: LinkId) {
        let found = &mut self.desks[desk];
        let Some((_, server)) = found.link.filter(|(own, _)| *own == link) else { return };
        found.link = None;
        found.unreachable = vec![self.servers[server].name.clone()];
        found.turn += 1;
        let ms = self.rng.range(100, 600);
        self.soon(desk, ms);
    }

    /// The copy on a desktop unit's screen is gone from it.
    pub fn desk_lost_display(&mut self, desk: usize, copy: usize) {
        let found = &mut self.desks[desk];
        if found.shown == Some(copy) {
            found.shown = None;
            if found.asked.is_none() {
                found.turn += 1;
                let ms = self.rng.range(100, 600);
                self.soon(desk, ms);
            }
        }
    }

    /// Another desktop unit shows the session now.
    pub fn desk_displaced(&mut self, desk: usize) {
        let found = &mut self.desks[desk];
        (found.shown, found.elsewhere, found.asked) = (None, true, None);
        found.turn += 1;
    }

    /// A message is at a desktop unit.
    pub fn desk_hears(&mut self, link: LinkId, message: ToDtu) {
        let Some((desk, _)) = self.links.get(&link).copied() else { return };
        if self.desks[desk].link.is_none_or(|(own, _)| own != link) {
            return;
        }
        let current = self.desks[desk].insert;
        let asks = self.desks[desk].asked.is_some() && self.desks[desk].card.is_some();
        match message {
            ToDtu::Challenge(challenge) if asks && challenge.insert == current => {
                let token = token_of(self.desks[desk].card.unwrap_or(0));
                let (insert, nonce) = (challenge.insert, challenge.nonce);
                self.desk_says(desk, ChallengeAnswer { insert, nonce, token });
            }
            ToDtu::Redirect(redirect) if redirect.insert == current => self.follow(desk, redirect),
            ToDtu::Attach(attach) if asks && attach.insert == current => self.turn_to(desk, attach),
            ToDtu::Refused(refused) if asks && refused.insert == current => {
                self.refused(desk, refused.code);
            }
            // Somebody else's word about the screen: it asks anew.
            ToDtu::SessionEnded(_) if self.desks[desk].card.is_some() && !asks => {
                self.desks[desk].resume = None;
                self.desks[desk].turn += 1;
                self.soon(desk, 700);
            }
            ToDtu::Alive(alive) => {
                if let Some(resume) = alive.resume.filter(|_| self.desks[desk].shown.is_some()) {
                    self.desks[desk].resume = Some(resume);
                }
            }
            ToDtu::Sessions(sessions) if sessions.insert == current => {
                self.judge_list(desk, &sessions);
                self.desks[desk].list = sessions.sessions.into_vec();
            }
            ToDtu::Question(question) if question.insert == current => {
                let yes = self.rng.chance(600_000);
                let consent = Consent { insert: current, question: question.question, yes };
                self.desk_says(desk, consent);
            }
            _ => {}
        }
    }

    fn follow(&mut self, desk: usize, redirect: Redirect) {
        if self.desks[desk].card.is_none() {
            return;
        }
        self.count("redirects");
        let (to, ticket) = (self.named(&redirect.to.name), Some(redirect.ticket));
        let found = &mut self.desks[desk];
        let card = found.card.unwrap_or(0);
        let Some(to) = to else { return };
        found.followed += 1;
        let followed = found.followed;
        let asked = found.asked.clone();
        // A session that moves sends its screen along.
        let redirects = asked.as_ref().map_or(0, |asked| asked.redirects) + 1;
        let insert = Insert {
            insert: found.insert,
            token: token_of(card),
            want: asked.as_ref().map_or(Want::Last, |asked| asked.want),
            cause: Cause::Redirect,
            ticket,
            unreachable: found.unreachable.iter().cloned().collect(),
            redirects,
            showing: None,
            screen: screen(),
            keymap: Default::default(),
        };
        if followed > REDIRECTS_MAX {
            return self
                .violated(|| format!("an insert of desk{desk} follows redirect {followed}"));
        }
        self.ask(desk, insert, Some(to));
    }

    fn turn_to(&mut self, desk: usize, attach: Attach) {
        self.count("attachments");
        let (session, epoch) = (attach.session, attach.epoch);
        let found = &mut self.desks[desk];
        let (chosen, card) = (found.chosen, found.card.unwrap_or(0));
        if let Some(chosen) = chosen.filter(|chosen| *chosen != session) {
            self.violated(|| format!("desk{desk} chose {chosen:?} and is attached to {session:?}"));
        }
        let found = &mut self.desks[desk];
        if chosen.is_some() {
            *self.counts.entry("switched").or_default() += 1;
        }
        let seen = found.seen.entry(session).or_insert(epoch);
        if epoch < *seen {
            // It knows better, and asks again.
            found.asked = None;
            return self.soon(desk, 1_000);
        }
        *seen = epoch;
        (found.asked, found.chosen, found.followed) = (None, None, 0);
        found.turn += 1;
        found.unreachable.clear();
        found.resume = Some(attach.resume);
        let ticket = attach.ticket.open(&self.verifier, found.id, WALL_MS + self.now_ms, |_| 0);
        let insert = found.insert;
        let before = found.shown.take();
        let copy = self.copy_at(attach.endpoint).filter(|copy| {
            self.copies[*copy].is((session, epoch))
                && !self.isolated.contains(&self.copies[*copy].host)
        });
        if let Some(before) = before.filter(|before| Some(*before) != copy) {
            self.detach(before);
        }
        let (Some(copy), Ok(ticket)) = (copy, ticket) else {
            return self.soon(desk, 500);
        };
        if self.copies[copy].token != token_of(card) {
            self.violated(|| format!("desk{desk} with card {card} is attached to copy {copy}"));
        }
        self.desks[desk].shown = Some(copy);
        self.show(copy, desk, insert, ticket.connection);
    }

    fn refused(&mut self, desk: usize, code: RefusalCode) {
        self.say(|| format!("desk{desk} is refused: {code:?}"));
        self.count("refused");
        let found = &mut self.desks[desk];
        found.turn += 1;
        let over = matches!(code, RefusalCode::NotHere | RefusalCode::TicketRefused);
        if over || found.chosen.is_some() || found.resume.is_none() {
            (found.resume, found.asked, found.chosen) = (None, None, None);
        }
        found.unreachable.clear();
        let ms = self.rng.range(500, 2_000);
        self.soon(desk, ms);
    }

    /// Faults have ended: the user takes out whatever card is in, and puts
    /// his own in.
    pub fn settle(&mut self, desk: usize) {
        self.take_out(desk);
        let ms = 1_500 + self.rng.below(1_000);
        self.after(ms, Due::Desk(desk, 0, DeskAct::Insert));
    }
}

fn screen() -> Size {
    Size::new(800, 600).unwrap_or_else(|| unreachable!("a size"))
}
