//! The shell of a desktop unit: links, card reader, window.

use crate::fault::Fault;
use crate::links::CONTROL_PORT;
use crate::network::{dtu_ip, server_ip};
use crate::plan::{MS_US, Plan, SECOND_US};
use crate::queue::{Due, Origin, Process};
use crate::random::Rng;
use crate::stream::{Acceptor, Kind, Opener, Piece, Stream};
use crate::world::{GROUP, WALL_MS, World};
use afterglow_client::connection::{Action, Config, Connection, Event, LinkId, Via};
use afterglow_client::token::Event as TokenEvent;
use afterglow_client::view::{FromWindow, Panel, Picture, ToWindow};
use afterglow_wire::codec::Message;
use afterglow_wire::control::{Server, ToDtu, ToServer};
use afterglow_wire::display::FromSession;
use afterglow_wire::group::{GroupMessage, ServerQ};
use afterglow_wire::ids::{DtuId, Epoch, Keymap, SessionId, Size, Token, TokenKind};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How long a frame takes from the link to the screen.
const SHOW_US: u64 = 8 * MS_US;

/// What a window shows.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// How the picture is shown.
    pub picture: Option<Picture>,
    /// What covers it.
    pub panel: Option<Panel>,
    /// The copy that the picture belongs to.
    pub copy: Option<(SessionId, Epoch)>,
    /// When its last frame came.
    pub frame_us: u64,
}

/// A desktop unit.
pub struct Dtu {
    /// Who it is.
    pub id: DtuId,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its decisions, while it is switched on.
    pub connection: Option<Connection>,
    /// Counts how often it was switched on.
    pub life: u32,
    /// When it was switched on.
    pub started_us: u64,
    /// The number of the card that is in its reader.
    pub card: Option<usize>,
    /// What it shows.
    pub window: Window,
    /// The servers that its user listed.
    pub listed: Vec<usize>,
    /// The servers that it remembers.
    pub remembered: Vec<Server>,
    /// The highest number of an insert that it sent.
    pub last_insert: u64,
    /// The insert whose token is in, once it was sent.
    pub insert: Option<u64>,
    /// The streams of its links.
    pub links: BTreeMap<u64, u64>,
    /// By how much its calendar is ahead.
    pub offset_ms: i64,
    /// The highest epoch that it was told of each session.
    pub seen: BTreeMap<SessionId, Epoch>,
    /// When it last came to be attached, by its first frame.
    pub attached_us: Option<u64>,
    nonce: u64,
    tick_us: Option<u64>,
}

/// The token of the card with this number.
pub fn token_of(card: usize) -> Token {
    Token::new(TokenKind::Card, &format!("user{card}")).unwrap_or_else(|_| unreachable!("a token"))
}

impl Dtu {
    /// A desktop unit that is switched off.
    pub fn new(index: usize, plan: &Plan) -> Self {
        let mut rng = Rng::of(plan.seed, "dtu", index as u64);
        let mut id = [0; 32];
        rng.fill(&mut id);
        let listed = match rng.below(3) {
            0 => (0..plan.servers).filter(|_| rng.chance(500_000)).collect(),
            _ => Vec::new(),
        };
        Dtu {
            id: DtuId(id),
            ip: dtu_ip(index, plan.networks),
            connection: None,
            life: 0,
            started_us: 0,
            card: None,
            window: Window::default(),
            listed,
            remembered: Vec::new(),
            last_insert: 0,
            insert: None,
            links: BTreeMap::new(),
            offset_ms: if plan.meets(Fault::ClockJump) { rng.below(10_000) as i64 } else { 0 },
            seen: BTreeMap::new(),
            attached_us: None,
            nonce: rng.next(),
            tick_us: None,
        }
    }

    /// True if a session's picture is there, whole and live.
    pub fn is_attached(&self) -> bool {
        self.window.picture == Some(Picture::Live) && self.window.copy.is_some()
    }
}

impl World {
    /// A desktop unit is switched on.
    pub fn power_on(&mut self, dtu: usize) {
        let (seed, offset_ms) = (self.plan.seed, self.dtus[dtu].offset_ms);
        let wall_ms = (WALL_MS + self.now_us / MS_US).saturating_add_signed(offset_ms);
        let found = &mut self.dtus[dtu];
        if found.connection.is_some() {
            return;
        }
        found.life += 1;
        let mut rng = Rng::of(seed, "jitter", ((dtu as u64) << 16) | u64::from(found.life));
        found.connection = Some(Connection::new(Config {
            dtu_name: format!("desk{dtu}"),
            group: None,
            known_groups: vec![GROUP],
            remembered: found.remembered.clone(),
            servers_listed: !found.listed.is_empty(),
            pseudo_offered: false,
            insert_base: wall_ms.max(found.last_insert),
            jitter_seed: rng.next(),
            guards: self.plan.guards,
        }));
        found.started_us = self.now_us;
        found.window = Window::default();
        found.links.clear();
        found.tick_us = None;
        self.trace.say(self.now_us, || format!("desk{dtu} is switched on"));
        let size = Size::new(640, 480).unwrap_or_else(|| unreachable!("a size"));
        let ready = FromWindow::Ready { size, keymap: Keymap::default() };
        self.tell_dtu(dtu, Event::Window(ready));
        if let Some(card) = self.dtus[dtu].card {
            self.tell_dtu(dtu, Event::Token(TokenEvent::Inserted(token_of(card))));
        }
    }

    /// A desktop unit is switched off, without a word.
    pub fn power_off(&mut self, dtu: usize) {
        let found = &mut self.dtus[dtu];
        found.connection = None;
        found.window = Window::default();
        found.insert = None;
        found.seen.clear();
        let life = found.life;
        self.stalls.remove(&Process::Dtu(dtu));
        self.ends_vanish(true, |stream| {
            matches!(stream.opener, Opener::Dtu { dtu: d, life: l, .. } if (d, l) == (dtu, life))
        });
    }

    /// Tells a desktop unit what happened, and does what it decides.
    pub fn tell_dtu(&mut self, dtu: usize, event: Event) {
        self.trace.say(self.now_us, || {
            let text: String = format!("{event:?}").chars().take(200).collect();
            match &event {
                Event::Control { message: ToDtu::Alive(_), .. } | Event::Tick => String::new(),
                _ => format!("desk{dtu} <- {text}"),
            }
        });
        let found = &mut self.dtus[dtu];
        let now_ms = (self.now_us - found.started_us) / MS_US;
        let Some(connection) = found.connection.as_mut() else { return };
        let actions = connection.handle(now_ms, event);
        for action in actions {
            self.dtu_does(dtu, action);
        }
        self.dtu_wakes(dtu);
    }

    fn dtu_wakes(&mut self, dtu: usize) {
        let found = &mut self.dtus[dtu];
        let Some(wake_ms) = found.connection.as_ref().and_then(Connection::wake_ms) else { return };
        if wake_ms == u64::MAX {
            return;
        }
        let at_us = (found.started_us + wake_ms * MS_US).max(self.now_us + MS_US / 2);
        if found.tick_us.is_none_or(|set_us| at_us < set_us) {
            found.tick_us = Some(at_us);
            self.queue.push(at_us, Due::Tick(Process::Dtu(dtu)));
        }
    }

    /// A desktop unit's timer.
    pub fn dtu_tick(&mut self, dtu: usize) {
        let found = &mut self.dtus[dtu];
        if found.tick_us.is_none_or(|set_us| set_us > self.now_us) {
            return;
        }
        found.tick_us = None;
        let now_ms = (self.now_us - found.started_us.min(self.now_us)) / MS_US;
        let due = found.connection.as_ref().and_then(Connection::wake_ms);
        if due.is_some_and(|wake_ms| wake_ms <= now_ms) {
            self.trace.note(self.now_us, "dtu tick", dtu as u64, &[]);
            self.tell_dtu(dtu, Event::Tick);
        }
        self.dtu_wakes(dtu);
    }

    /// A datagram is at a desktop unit: an answer to its question.
    pub fn dtu_hears(&mut self, dtu: usize, bytes: &[u8]) {
        let Ok(received) = GroupMessage::parse(bytes, None) else { return };
        if let GroupMessage::ServerR(answer) = received.message
            && answer.nonce == self.dtus[dtu].nonce
        {
            let address = SocketAddrV4::new(answer.addr, answer.port);
            let event = Event::ServerFound { address, server: Some(answer.host), via: Via::Answer };
            self.tell_dtu(dtu, event);
        }
    }

    /// A listed server's address was looked up.
    pub fn resolved(&mut self, dtu: usize, life: u32) {
        if self.dtus[dtu].life != life {
            return;
        }
        for server in self.dtus[dtu].listed.clone() {
            let network = (dtu % usize::from(self.plan.networks)) as u8;
            let address = SocketAddrV4::new(server_ip(server, network), CONTROL_PORT);
            self.tell_dtu(dtu, Event::ServerFound { address, server: None, via: Via::Listed });
        }
    }

    /// The reader has read the card that is in now.
    pub fn read_token(&mut self, dtu: usize, life: u32) {
        if self.dtus[dtu].life == life {
            let token = self.dtus[dtu].card.map(token_of);
            self.tell_dtu(dtu, Event::Token(TokenEvent::ReadAgain(token)));
        }
    }

    /// The reader says something.
    pub fn token_event(&mut self, dtu: usize, life: u32, event: TokenEvent) {
        if self.dtus[dtu].life == life {
            self.tell_dtu(dtu, Event::Token(event));
        }
    }

    /// A frame is on the screen.
    pub fn frame_shown(&mut self, dtu: usize, life: u32, number: u64) {
        if self.dtus[dtu].life == life {
            self.tell_dtu(dtu, Event::Window(FromWindow::FrameShown { number }));
        }
    }

    fn is_link(&self, dtu: usize, link: LinkId) -> bool {
        self.dtus[dtu].links.contains_key(&link.0)
    }

    /// A link of a desktop unit is open.
    pub fn dtu_link_open(&mut self, dtu: usize, link: LinkId, kind: Kind, acceptor: Acceptor) {
        if !self.is_link(dtu, link) {
            return;
        }
        match (kind, acceptor) {
            (Kind::Control, Acceptor::Server(life)) => {
                let server = self.servers[life.server].name.clone();
                self.tell_dtu(dtu, Event::ControlOpened { link, group: GROUP, server });
            }
            (Kind::Display(..), _) => self.tell_dtu(dtu, Event::DisplayOpened { link }),
            (Kind::Control, _) => {}
        }
    }

    /// A link of a desktop unit is over.
    pub fn dtu_link_over(
        &mut self,
        dtu: usize,
        life: u32,
        link: LinkId,
        kind: Kind,
        open: bool,
        why: &str,
    ) {
        if self.dtus[dtu].life != life || self.dtus[dtu].links.remove(&link.0).is_none() {
            return;
        }
        let why = why.to_owned();
        let event = match kind {
            Kind::Control if open => Event::ControlClosed { link, why },
            Kind::Control => Event::ControlFailed { link, why, other_group: false },
            Kind::Display(..) => Event::DisplayClosed { link, why },
        };
        self.tell_dtu(dtu, event);
    }

    /// A message is at a desktop unit.
    pub fn dtu_hears_link(&mut self, dtu: usize, link: LinkId, number: u64, body: Bytes) {
        if !self.is_link(dtu, link) {
            return;
        }
        let Some(stream) = self.streams.get(&number) else { return };
        let event = match stream.kind {
            Kind::Control => match ToDtu::decode(body) {
                Ok(message) => {
                    self.note_to_dtu(dtu, &message);
                    Event::Control { link, message }
                }
                Err(error) => return self.dtu_cannot_read(dtu, link, number, &error.to_string()),
            },
            Kind::Display(..) => match FromSession::decode(body) {
                Ok(message) => Event::Display { link, message },
                Err(error) => return self.dtu_cannot_read(dtu, link, number, &error.to_string()),
            },
        };
        self.tell_dtu(dtu, event);
    }

    fn dtu_cannot_read(&mut self, dtu: usize, link: LinkId, number: u64, why: &str) {
        let Some(stream) = self.streams.get(&number) else { return };
        let (kind, life) = (stream.kind, self.dtus[dtu].life);
        self.opener_closes(number);
        self.dtu_link_over(dtu, life, link, kind, true, why);
    }

    fn dtu_does(&mut self, dtu: usize, action: Action) {
        let life = self.dtus[dtu].life;
        match action {
            Action::Resolve => self.after(3 * MS_US, Due::Resolved { dtu, life }),
            Action::SendServerQ => {
                let question = ServerQ { nonce: self.dtus[dtu].nonce }.to_datagram();
                let ip = self.dtus[dtu].ip;
                let from = SocketAddrV4::new(ip, 40_000);
                self.trace.note(self.now_us, "serverQ", dtu as u64, &question);
                self.send_datagram(from, Ipv4Addr::BROADCAST, &question, Origin::Genuine);
            }
            Action::OpenControl { link, address, .. } => {
                self.open_link(dtu, link, Kind::Control, address);
            }
            Action::OpenDisplay { link, endpoint, session, epoch, .. } => {
                self.note_opens_display(dtu, session, epoch);
                self.open_link(dtu, link, Kind::Display(session, epoch), endpoint);
            }
            Action::CloseControl { link, .. } | Action::CloseDisplay { link, .. } => {
                if let Some(number) = self.dtus[dtu].links.remove(&link.0) {
                    self.opener_closes(number);
                }
            }
            Action::SendControl { link, message } => {
                self.note_dtu_says(dtu, &message);
                if let Some(number) = self.dtus[dtu].links.get(&link.0).copied() {
                    self.send_piece(number, true, Piece::Message(message.encode_framed()));
                }
            }
            Action::SendDisplay { link, message } => {
                if let Some(number) = self.dtus[dtu].links.get(&link.0).copied() {
                    self.send_piece(number, true, Piece::Message(message.encode_framed()));
                }
            }
            Action::ToWindow(message) => self.window_hears(dtu, message),
            Action::RememberServers(servers) => self.dtus[dtu].remembered = servers,
            Action::ReadTokenAgain => {
                let wait_us = self.rng.range(MS_US, 25 * MS_US);
                self.after(wait_us, Due::ReadToken { dtu, life });
            }
            Action::Log(event) => {
                self.trace.say(self.now_us, || format!("desk{dtu} logs {event:?}"));
            }
            // The site has no record of servers.
            Action::AskSite
            | Action::MeasureLink { .. }
            | Action::RememberGroup(_)
            | Action::ToggleCard
            | Action::UsePseudo
            | Action::Quit => {}
        }
    }

    fn open_link(&mut self, dtu: usize, link: LinkId, kind: Kind, address: SocketAddrV4) {
        let found = &self.dtus[dtu];
        let opener = Opener::Dtu { dtu, life: found.life, link };
        let stream = Stream::new(kind, opener, found.ip, address);
        let number = self.open_stream(stream);
        self.dtus[dtu].links.insert(link.0, number);
    }

    fn note_dtu_says(&mut self, dtu: usize, message: &ToServer) {
        if let ToServer::Insert(insert) = message {
            let found = &mut self.dtus[dtu];
            found.last_insert = found.last_insert.max(insert.insert);
            found.insert = Some(insert.insert);
            self.judge_insert_sent(dtu, insert);
        }
    }

    fn window_hears(&mut self, dtu: usize, message: ToWindow) {
        match message {
            ToWindow::View(view) => {
                let window = &mut self.dtus[dtu].window;
                window.picture = Some(view.picture);
                window.panel = view.panel;
                if view.picture == Picture::Blank {
                    window.copy = None;
                }
            }
            ToWindow::Attached { session, epoch } => {
                self.dtus[dtu].window.copy = Some((session, epoch));
                self.dtus[dtu].attached_us = Some(self.now_us);
            }
            ToWindow::Frame { number, commands } => {
                self.dtus[dtu].window.frame_us = self.now_us;
                self.judge_frame(dtu, &commands);
                let life = self.dtus[dtu].life;
                self.after(SHOW_US, Due::FrameShown { dtu, life, number });
            }
            ToWindow::Compare(_)
            | ToWindow::Spent(_)
            | ToWindow::LinkMeasured(_)
            | ToWindow::Used
            | ToWindow::Screenshot
            | ToWindow::Quit => {}
        }
    }
}

/// How often a user thinks about what to do next, at most.
pub const THINK_US: u64 = 2 * SECOND_US;
