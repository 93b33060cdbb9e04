//! The rules under virtual time: a DTU, and a script that plays its servers,
//! its sessions, its user and its network.

mod attach;
mod diagnosing;
mod failover;
mod first_meeting;
mod frames;
mod panel;
mod races;
mod reconnect;
mod refusal;
mod silence;
mod sizing;
mod truth;

use super::*;
use crate::token;
use crate::view::{Badge, Panel, Picture};
use afterglow_wire::command::{Command, Rect};
use afterglow_wire::control::*;
use afterglow_wire::display::*;
use afterglow_wire::ids::{DtuId, TokenKind};
use afterglow_wire::input::{InputEvent, KeyAction};
use afterglow_wire::ticket::{Permit, SealedTicket, Ticket};
use afterglow_wire::trust::GroupKey;

const GROUP: GroupId = GroupId([1; 32]);
const OTHER_GROUP: GroupId = GroupId([2; 32]);
const SESSION: SessionId = SessionId([5; 16]);

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn address(server: &str) -> SocketAddrV4 {
    let last = match server {
        "mud" => 1,
        "host05" => 2,
        _ => 3,
    };
    SocketAddrV4::new([10, 0, 0, last].into(), 7010)
}

fn server(text: &str) -> Server {
    Server { name: name(text), address: address(text) }
}

fn token(id: &str) -> Token {
    Token::new(TokenKind::Card, id).unwrap()
}

use afterglow_wire::ids::Token;

/// A ticket that differs from all others.
fn ticket(number: u8) -> SealedTicket {
    let ticket = Ticket {
        permit: Permit::Resume,
        issuer: name("mud"),
        ends_ms: 0,
        nonce: [number; 16],
        dtu: DtuId([0; 32]),
        token: token("aa"),
        session: SESSION,
        epoch: Epoch(1),
        insert: 1,
        connection: 1,
    };
    let key = GroupKey::from_file_content(&[3; 32]).unwrap();
    ticket.seal(&key.ticket_signer())
}

fn size() -> Size {
    Size::new(640, 480).unwrap()
}

fn key(scancode: u8, action: KeyAction) -> InputEvent {
    InputEvent::Key { scancode, action }
}

/// A DTU under virtual time, and everything that it did.
struct Dtu {
    connection: Connection,
    now_ms: u64,
    /// What it did since the script last looked.
    done: Vec<Action>,
    /// What the window shows.
    view: Option<View>,
    /// Everything that it ever logged.
    logged: Vec<Logged>,
    /// The link that was opened last, of each kind.
    control: LinkId,
    display: LinkId,
    /// True while a display link is open that was not closed again.
    display_open: bool,
    attachments: u64,
    /// The session of the display link that was opened last.
    opened: Option<(SessionId, Epoch)>,
    /// When the server says `Alive` next, if it is alive.
    alive_ms: u64,
    /// The session says that it lives whenever the server does.
    session_alive: bool,
}

impl Dtu {
    fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            dtu_name: "desk".into(),
            group: None,
            known_groups: vec![GROUP],
            remembered: Vec::new(),
            servers_listed: true,
            pseudo_offered: true,
            insert_base: 100,
            jitter_seed: 1,
            guards: afterglow_wire::guard::Guards::ALL,
        };
        change(&mut config);
        let mut dtu = Dtu {
            connection: Connection::new(config),
            now_ms: 0,
            done: Vec::new(),
            view: None,
            logged: Vec::new(),
            control: LinkId(0),
            display: LinkId(0),
            display_open: false,
            attachments: 0,
            opened: None,
            alive_ms: 0,
            session_alive: false,
        };
        dtu.event(Event::Window(FromWindow::Ready { size: size(), keymap: Keymap::default() }));
        dtu
    }

    /// With `mud` and `host05` in its list.
    fn new() -> Self {
        let mut dtu = Dtu::configured(|_| ());
        dtu.found("mud");
        dtu.found("host05");
        dtu
    }

    fn found(&mut self, server: &str) {
        let address = address(server);
        self.event(Event::ServerFound { address, server: None, via: Via::Listed });
    }

    fn event(&mut self, event: Event) {
        for action in self.connection.handle(self.now_ms, event) {
            match &action {
                Action::ToWindow(ToWindow::View(view)) => self.view = Some(view.clone()),
                Action::Log(event) => self.logged.push(event.clone()),
                Action::OpenControl { link, .. } => self.control = *link,
                Action::OpenDisplay { link, session, epoch, .. } => {
                    assert!(!self.display_open, "two sessions at a time");
                    self.opened = Some((*session, *epoch));
                    (self.display, self.display_open) = (*link, true);
                }
                Action::CloseDisplay { link, .. } if *link == self.display => {
                    self.display_open = false;
                }
                _ => {}
            }
            self.done.push(action);
        }
        self.check();
    }

    /// What always holds.
    fn check(&self) {
        let view = self.view.as_ref().expect("a view from the start");
        if self.connection.present.is_none() {
            assert_eq!(view.picture, Picture::Blank, "no token, and yet a picture");
            assert!(!self.display_open, "no token, and yet a display link");
        }
        let seen = matches!(view.panel, Some(Panel::Sessions(_) | Panel::Question { .. }));
        assert!(seen || !self.connection.panel_is_open(), "open, and yet hidden");
    }

    /// Lets time pass, with ticks when they are due, while the server says
    /// `Alive` every 100 ms if `alive`, and the session if it is told to.
    fn pass(&mut self, ms: u64, alive: bool) {
        let end_ms = self.now_ms + ms;
        self.alive_ms = self.alive_ms.clamp(self.now_ms, self.now_ms + 100);
        while self.now_ms < end_ms {
            let wake_ms = self.connection.wake_ms().unwrap_or(end_ms).max(self.now_ms + 1);
            let beats = alive || self.session_alive;
            let beat_ms = if beats { self.alive_ms.max(self.now_ms + 1) } else { end_ms };
            self.now_ms = wake_ms.min(beat_ms).min(end_ms);
            let beat = beats && self.now_ms >= self.alive_ms;
            if beat {
                self.alive_ms = self.now_ms + 100;
            }
            if beat && alive {
                self.control(Alive { seq: 0, resume: None });
            }
            if beat && self.session_alive {
                self.display(DisplayAlive { seq: 0 });
            }
            self.event(Event::Tick);
        }
    }

    fn control(&mut self, message: impl Into<ToDtu>) {
        self.event(Event::Control { link: self.control, message: message.into() });
    }

    fn display(&mut self, message: impl Into<FromSession>) {
        self.event(Event::Display { link: self.display, message: message.into() });
    }

    /// What it did since the last call.
    fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.done)
    }

    fn sent_control(&mut self) -> Vec<ToServer> {
        let sent = |action| match action {
            Action::SendControl { message, .. } => Some(message),
            _ => None,
        };
        self.take().into_iter().filter_map(sent).collect()
    }

    fn sent_display(&mut self) -> Vec<ToSession> {
        let sent = |action| match action {
            Action::SendDisplay { message, .. } => Some(message),
            _ => None,
        };
        self.take().into_iter().filter_map(sent).collect()
    }

    /// The inserts that were sent since the last look.
    fn inserts(&mut self) -> Vec<Insert> {
        let insert = |message| match message {
            ToServer::Insert(insert) => Some(insert),
            _ => None,
        };
        self.sent_control().into_iter().filter_map(insert).collect()
    }

    /// Attached, and both links were heard for a while on a quiet network.
    fn settled() -> Self {
        let mut dtu = Dtu::attached();
        dtu.session_alive = true;
        dtu.pass(3_000, true);
        assert_eq!((dtu.logged("suspected"), dtu.badge()), (0, None));
        dtu.take();
        dtu
    }

    fn logged(&self, name: &str) -> usize {
        let names = self.logged.iter().map(|event| serde_json::to_value(event).unwrap());
        names.filter(|event| event["event"] == name).count()
    }

    /// The server to which a control link was opened last, if it did not
    /// answer yet.
    fn opening(&self) -> Option<SocketAddrV4> {
        let attempts = &self.connection.control.attempts;
        let latest = attempts.iter().rfind(|attempt| attempt.opened.is_none());
        latest.map(|attempt| attempt.target.address)
    }

    /// The server, which is being tried, answers and greets.
    fn greet(&mut self, server: &str) {
        let attempts = &self.connection.control.attempts;
        let to = attempts.iter().find(|attempt| attempt.target.address == address(server));
        self.control = to.unwrap_or_else(|| panic!("{server} is not tried: {attempts:?}")).link;
        self.greet_of(server, GROUP);
    }

    fn greet_of(&mut self, server: &str, group: GroupId) {
        let link = self.control;
        self.event(Event::ControlOpened { link, group, server: name(server) });
        let version = VERSION;
        self.control(Welcome { version, server: name(server), alive_every_ms: 100 });
    }

    fn insert(&mut self, id: &str) {
        self.event(Event::Token(token::Event::Inserted(token(id))));
    }

    fn remove(&mut self) {
        self.event(Event::Token(token::Event::Removed));
    }

    fn ask(&mut self, ask: Ask) {
        self.event(Event::Window(FromWindow::Ask(ask)));
    }

    fn type_key(&mut self, scancode: u8, action: KeyAction) {
        self.event(Event::Window(FromWindow::Input(key(scancode, action))));
    }

    /// The session answers, attaches, and its first frame is shown.
    fn session_comes(&mut self, resumes: Option<InputDone>) {
        self.event(Event::DisplayOpened { link: self.display });
        self.session_attaches(resumes);
        self.frame(1);
        self.show_frames();
    }

    fn session_attaches(&mut self, resumes: Option<InputDone>) {
        self.attachments += 1;
        let (session, epoch) = self.opened_session();
        let attachment = self.attachments;
        self.display(Attached { session, epoch, attachment, size: size(), resumes });
    }

    fn opened_session(&self) -> (SessionId, Epoch) {
        self.opened.expect("a display link was opened")
    }

    fn frame(&mut self, number: u64) {
        let fill = Command::Fill { rect: Rect::new(0, 0, 1, 1), color: [1, 2, 3, 0] };
        let commands = match number {
            1 => vec![Command::Size(size()), fill],
            _ => vec![fill],
        };
        self.display(FramePart { number, last: true, commands });
    }

    /// The window shows all the frames that it has.
    fn show_frames(&mut self) {
        let number = self.connection.window_frames;
        self.event(Event::Window(FromWindow::FrameShown { number }));
    }

    /// From nothing to a live session on `mud`.
    fn attached() -> Self {
        let mut dtu = Dtu::new();
        dtu.greet("mud");
        dtu.control(Servers { servers: ["mud", "host05"].map(server).into_iter().collect() });
        dtu.insert("aa");
        dtu.control(attach(101, "mud", 1, Origin::New));
        dtu.session_comes(None);
        assert_eq!(dtu.picture(), Picture::Live);
        dtu.take();
        dtu
    }

    fn picture(&self) -> Picture {
        self.view.as_ref().unwrap().picture
    }

    fn panel(&self) -> Option<&Panel> {
        self.view.as_ref().unwrap().panel.as_ref()
    }

    fn badge(&self) -> Option<&Badge> {
        self.view.as_ref().unwrap().badge.as_ref()
    }

    fn control_dies(&mut self) {
        let link = self.control;
        self.event(Event::ControlClosed { link, why: "it does not answer".into() });
    }

    fn control_fails(&mut self) {
        let link = self.control;
        let why = "it does not answer".into();
        self.event(Event::ControlFailed { link, why, other_group: false });
    }

    fn display_dies(&mut self) {
        let link = self.display;
        self.event(Event::DisplayClosed { link, why: "it does not answer".into() });
        self.display_open = false;
    }
}

fn attach(insert: u64, host: &str, epoch: u64, origin: Origin) -> Attach {
    Attach {
        insert,
        session: SESSION,
        epoch: Epoch(epoch),
        host: name(host),
        endpoint: SocketAddrV4::new(*address(host).ip(), 7100),
        ticket: ticket(epoch as u8),
        resume: ticket(100),
        origin,
        notice: String::new(),
    }
}

fn redirect(insert: u64, to: &str, plan: RedirectPlan) -> Redirect {
    Redirect { insert, to: server(to), ticket: ticket(50), plan }
}
