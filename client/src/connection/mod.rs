//! The DTU's decisions: where to connect, what to insert, what to show.
//!
//! No sockets, no clock, no randomness of its own: [`Connection::handle`] takes
//! what happened and when, and gives what is to be done about it.
//!
//! | module | what it decides |
//! | --- | --- |
//! | `events` | nothing: it is what comes in and what goes out |
//! | `suspicion` | how long a peer may be silent before it is suspected |
//! | `jitter` | how long to wait after a failure, so that not all come at once |
//! | `candidates` | which servers are known, and who is next |
//! | `search` | how many servers are tried at a time, and when to look for more |
//! | `attempts` | a control link that is not in use yet: open, prove, greet |
//! | `control` | the control link in use: keep, suspect, lose |
//! | `insert` | the token: insert, challenge, redirect, attach, remove |
//! | `refusal` | an insert that leads nowhere, and the ways out of it |
//! | `display` | the display link: attach, frames, loss |
//! | `sizing` | whether the session follows the window's size |
//! | `truth` | the picture that rests: compare, ask again for what differs |
//! | `diagnosing` | what is asked for while the user looks at the diagnostics |
//! | `gap` | whether the picture still has its session: silence, suspicion |
//! | `input` | what of the user's input is sent, kept and sent again |
//! | `panel` | the session panel, notices and questions |
//! | `view` | what the user sees of all that |
//!
//! What always holds: at most one session is shown, and of its copies only the
//! highest epoch that was seen; a removed token detaches and blanks at once,
//! in whatever order events race; nothing of a token is told to a group that
//! the user did not confirm.

mod attempts;
mod candidates;
mod control;
mod diagnosing;
mod display;
mod events;
mod gap;
mod input;
mod insert;
mod jitter;
mod panel;
mod refusal;
mod search;
mod sizing;
mod suspicion;
mod truth;
mod view;

#[cfg(test)]
mod tests;

use crate::event_log::Event as Logged;
use crate::view::{Ask, FromWindow, ToWindow, View};
use afterglow_wire::control::Server;
use afterglow_wire::ids::{Epoch, GroupId, Keymap, ServerName, SessionId, Size};
use control::Control;
use display::{DisplayLink, Shown};
use input::InputBuffer;
use insert::Present;
use jitter::Jitter;
use panel::PanelState;
use search::Search;
use std::net::{Ipv4Addr, SocketAddrV4};

pub use candidates::Via;
pub use events::{Action, Config, Event, LinkId};
pub use suspicion::{LIMIT_MS_MAX, Suspicion};

/// How long a server may take to accept a link, and again to greet.
const OPEN_TIMEOUT_MS: u64 = 1_500;
/// How long a session may take to accept a link, and again to attach.
const DISPLAY_OPEN_TIMEOUT_MS: u64 = 1_500;
/// How long a server may work on an insert without a word about it.
const ANSWER_TIMEOUT_MS: u64 = 20_000;
/// How long a lost display link goes without a word on the screen, since most
/// are back by then. What is typed meanwhile is kept for the session.
const GRACE_MS: u64 = 400;
/// How long the user is told that programs were started again.
const RESTARTED_SHOWN_MS: u64 = 6_000;
/// A display link that lived this long is no part of a series of failures.
const STEADY_MS: u64 = 2_000;
/// The most sessions whose highest epoch is remembered.
const EPOCHS_MAX: usize = 64;

/// The window, once it is there.
#[derive(Debug, Clone)]
struct Screen {
    size: Size,
    keymap: Keymap,
}

/// The connection logic's state.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    /// When the event that is being handled happened.
    now_ms: u64,
    /// What is to be done about it, so far.
    actions: Vec<Action>,
    jitter: Jitter,
    links: u64,
    network_up: bool,
    /// The addresses of this machine.
    addresses: Vec<Ipv4Addr>,
    /// The window; inserts wait for it.
    screen: Option<Screen>,
    trusted: Vec<GroupId>,
    /// Groups that the user refused in this run.
    distrusted: Vec<GroupId>,
    /// An unknown group that the user is asked about, and who spoke for it.
    meeting: Option<(GroupId, ServerName, SocketAddrV4)>,
    search: Search,
    control: Control,
    /// The server that the last control link was to, and when it was lost.
    lost_server: Option<(ServerName, u64)>,
    servers_remembered: Vec<Server>,
    /// The token that is in.
    present: Option<Present>,
    /// The number of the last insert.
    insert_number: u64,
    /// The number of the last insert that a remove ended.
    removed_through: u64,
    /// A remove that no server was told yet.
    untold_remove: Option<u64>,
    reader_trouble: Option<String>,
    panel: PanelState,
    display: Option<DisplayLink>,
    /// The session whose picture is on the screen, live or not.
    shown: Option<Shown>,
    /// Until when the user is told that programs were started again.
    restarted: Option<(ServerName, String, u64)>,
    input: InputBuffer,
    /// Frames are numbered for the window across all display links.
    window_frames: u64,
    /// The highest epoch seen of each session, the last seen last.
    epochs: Vec<(SessionId, Epoch)>,
    last_view: Option<View>,
    /// The user looks at the diagnostics.
    diagnosing: bool,
    ended: bool,
}

impl Connection {
    /// At the start of the DTU.
    pub fn new(config: Config) -> Self {
        let mut search = Search::default();
        let mut jitter = Jitter::new(config.jitter_seed);
        for Server { name, address } in &config.remembered {
            let (name, chance) = (Some(name.clone()), (0, &mut jitter));
            search.candidates.found(*address, name, Via::Remembered, chance);
        }
        Connection {
            now_ms: 0,
            actions: Vec::new(),
            jitter,
            links: 0,
            network_up: true,
            addresses: Vec::new(),
            screen: None,
            trusted: config.known_groups.clone(),
            distrusted: Vec::new(),
            meeting: None,
            search,
            control: Control::default(),
            lost_server: None,
            servers_remembered: config.remembered.clone(),
            present: None,
            insert_number: config.insert_base,
            removed_through: config.insert_base,
            untold_remove: None,
            reader_trouble: None,
            panel: PanelState::default(),
            display: None,
            shown: None,
            restarted: None,
            input: InputBuffer::default(),
            window_frames: 0,
            epochs: Vec::new(),
            last_view: None,
            diagnosing: false,
            ended: false,
            config,
        }
    }

    /// Takes what happened at `now_ms`, a clock that only goes forward, and
    /// gives what is to be done, in this order.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        if self.ended {
            return Vec::new();
        }
        self.now_ms = self.now_ms.max(now_ms);
        match event {
            Event::Network { up } => self.network(up),
            Event::Addresses(addresses) => self.now_at(addresses),
            Event::ServerFound { address, server, via } => self.server_found(address, server, via),
            Event::LookupFailed { text } => self.search.trouble = Some(text),
            Event::ControlOpened { link, group, server } => {
                self.control_opened(link, group, server);
            }
            Event::ControlFailed { link, why, other_group } => {
                self.control_failed(link, &why, other_group);
            }
            Event::ControlClosed { link, why } => self.control_closed(link, &why),
            Event::Control { link, message } => self.control_message(link, message),
            Event::DisplayOpened { link } => self.display_opened(link),
            Event::DisplayHeard { link } => self.display_heard(link),
            Event::DisplayClosed { link, why } => self.display_closed(link, &why),
            Event::DisplayGarbage { link, why } => self.display_garbage(link, &why),
            Event::Display { link, message } => self.display_message(link, message),
            Event::Token(event) => self.token_event(event),
            Event::Window(event) => self.window_event(event),
            Event::Tick => self.on_time(),
            Event::Quit { reason } => self.quit(reason),
        }
        self.advance();
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn wake_ms(&self) -> Option<u64> {
        if self.ended {
            return None;
        }
        [
            self.control_deadline_ms(),
            self.search_deadline_ms(),
            self.insert_deadline_ms(),
            self.display_deadline_ms(),
            self.view_deadline_ms(),
            self.panel_deadline_ms(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What is due by time alone. Only called when nothing else waits to be
    /// handled, so that a late call finds nobody silent who has spoken.
    fn on_time(&mut self) {
        self.control_on_time();
        self.insert_on_time();
        self.display_on_time();
        self.ask_for_list();
    }

    /// What follows from the state, whatever led to it.
    fn advance(&mut self) {
        if self.ended {
            return;
        }
        self.search_on();
        self.send_insert();
        self.close_unseen_panel();
        self.tell_view();
    }

    fn network(&mut self, up: bool) {
        if up && !self.network_up {
            self.search.begin(self.now_ms, &mut self.jitter);
        }
        self.network_up = up;
    }

    /// The server is told of several addresses, and of those only.
    fn now_at(&mut self, addresses: Vec<Ipv4Addr>) {
        if addresses != self.addresses {
            self.addresses = addresses;
            self.tell_addresses();
        }
    }

    fn window_event(&mut self, event: FromWindow) {
        match event {
            FromWindow::Ready { size, keymap } => {
                let relaid = self.screen.as_ref().is_some_and(|screen| screen.keymap != keymap);
                self.screen = Some(Screen { size, keymap: keymap.clone() });
                if relaid {
                    self.send_live(afterglow_wire::display::Layout { keymap });
                }
                self.send_size();
            }
            FromWindow::Resized(size) => {
                if let Some(screen) = &mut self.screen {
                    screen.size = size;
                }
                self.send_size();
            }
            FromWindow::Input(event) => self.user_input(event),
            FromWindow::FrameShown { number } => self.frame_shown(number),
            FromWindow::Compared { frame, others } => self.compared(frame, others),
            FromWindow::BadFrame { text } => self.display_refused("bad_frame", &text),
            FromWindow::Diagnose { on } => self.diagnose(on),
            FromWindow::Dark { dark } => self.log(Logged::Dark { dark }),
            FromWindow::Ask(ask) => self.asked(ask),
            FromWindow::Closed => self.quit("window"),
        }
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::ToggleCard => self.act(Action::ToggleCard),
            Ask::UsePseudo => {
                if self.config.pseudo_offered {
                    self.act(Action::UsePseudo);
                }
            }
            Ask::TrustGroup(group) => self.trust_group(group),
            Ask::RefuseGroup(group) => self.refuse_group(group),
            Ask::TryAgain => self.try_again(),
            Ask::GoBack => self.go_back(),
            ask => self.panel_asked(ask),
        }
    }

    fn quit(&mut self, reason: &'static str) {
        self.take_token_out();
        self.tell_view();
        self.close_all_control("the DTU ends");
        self.log(Logged::Closed { reason });
        self.act(Action::ToWindow(ToWindow::Quit));
        self.act(Action::Quit);
        self.ended = true;
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn log(&mut self, event: Logged) {
        self.actions.push(Action::Log(event));
    }

    fn new_link(&mut self) -> LinkId {
        self.links += 1;
        LinkId(self.links)
    }

    /// The highest epoch that this DTU has seen of a session.
    fn highest_epoch(&self, session: SessionId) -> Option<Epoch> {
        self.epochs.iter().find(|(known, _)| *known == session).map(|(_, epoch)| *epoch)
    }

    fn note_epoch(&mut self, session: SessionId, epoch: Epoch) {
        let highest = self.highest_epoch(session).map_or(epoch, |known| known.max(epoch));
        self.epochs.retain(|(known, _)| *known != session);
        if self.epochs.len() >= EPOCHS_MAX {
            self.epochs.remove(0);
        }
        self.epochs.push((session, highest));
    }
}
