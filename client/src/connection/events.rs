//! What the connection logic is told, and what it wants done.

use super::candidates::Via;
use crate::event_log::Event as Logged;
use crate::token;
use crate::view::{FromWindow, ToWindow};
use afterglow_wire::control::{Server, ToDtu, ToServer};
use afterglow_wire::display::{FromSession, ToSession};
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::{Epoch, GroupId, ServerName, SessionId};
use std::net::{Ipv4Addr, SocketAddrV4};

/// What the connection logic is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// What people call this DTU.
    pub dtu_name: String,
    /// The only group to be accepted, if the user named one.
    pub group: Option<GroupId>,
    /// The groups that the user confirmed before.
    pub known_groups: Vec<GroupId>,
    /// The servers of the last run.
    pub remembered: Vec<Server>,
    /// True if the user listed servers.
    pub servers_listed: bool,
    /// True if the DTU's own token may be used in place of a card.
    pub pseudo_offered: bool,
    /// Inserts are numbered from the number after this.
    pub insert_base: u64,
    /// Spreads the DTUs' retries.
    pub jitter_seed: u64,
    /// Which checks are made; all, but in a simulation that has to notice.
    pub guards: Guards,
}

/// A number for each link that is opened, so that news of an old one can be
/// told from news of the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkId(pub u64);

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A network interface that can reach servers is up, or none is.
    Network {
        /// Which of the two.
        up: bool,
    },
    /// The addresses of this machine.
    Addresses(Vec<Ipv4Addr>),
    /// A server is known.
    ServerFound {
        /// Where it takes DTUs.
        address: SocketAddrV4,
        /// Its name, if that is known.
        server: Option<ServerName>,
        /// How it is known.
        via: Via,
    },
    /// A listed server's name leads nowhere.
    LookupFailed {
        /// Which and why.
        text: String,
    },
    /// A control link is open.
    ControlOpened {
        /// Which.
        link: LinkId,
        /// The group whose authority vouches for the server.
        group: GroupId,
        /// The server's name, by its certificate.
        server: ServerName,
    },
    /// A control link could not be opened.
    ControlFailed {
        /// Which.
        link: LinkId,
        /// Why.
        why: String,
        /// True if the server belongs to another group than the one asked for.
        other_group: bool,
    },
    /// A control link is closed.
    ControlClosed {
        /// Which.
        link: LinkId,
        /// Why.
        why: String,
    },
    /// A server says something.
    Control {
        /// On which link.
        link: LinkId,
        /// What.
        message: ToDtu,
    },
    /// A display link is open.
    DisplayOpened {
        /// Which.
        link: LinkId,
    },
    /// A part of a session's message came, and the rest takes its time: the
    /// session lives.
    DisplayHeard {
        /// On which link.
        link: LinkId,
    },
    /// A display link could not be opened, or is closed.
    DisplayClosed {
        /// Which.
        link: LinkId,
        /// Why.
        why: String,
    },
    /// What a session says is no message, and its link is closed for that.
    DisplayGarbage {
        /// Which link.
        link: LinkId,
        /// What is wrong with it.
        why: String,
    },
    /// A session says something.
    Display {
        /// On which link.
        link: LinkId,
        /// What.
        message: FromSession,
    },
    /// The token source says something.
    Token(token::Event),
    /// The window says something.
    Window(FromWindow),
    /// The time that [`super::Connection::wake_ms`] named has come, and nothing else
    /// waits to be handled.
    Tick,
    /// The DTU is to end.
    Quit {
        /// Why.
        reason: &'static str,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Find the addresses of the listed servers.
    Resolve,
    /// Ask the site for servers: its DNS record and the DHCP lease.
    AskSite,
    /// Ask the network for servers, and listen for host messages for a while.
    SendServerQ,
    /// Open a control link.
    OpenControl {
        /// Its number.
        link: LinkId,
        /// Where.
        address: SocketAddrV4,
        /// The only group to accept there; any if `None`.
        group: Option<GroupId>,
    },
    /// Send what is still to be sent, then close.
    CloseControl {
        /// Which.
        link: LinkId,
        /// Why.
        reason: &'static str,
    },
    /// Say something to a server.
    SendControl {
        /// On which link.
        link: LinkId,
        /// What.
        message: ToServer,
    },
    /// Open a display link.
    OpenDisplay {
        /// Its number.
        link: LinkId,
        /// Where.
        endpoint: SocketAddrV4,
        /// Whose authority must vouch for the session.
        group: GroupId,
        /// The session to accept there.
        session: SessionId,
        /// The epoch to accept there.
        epoch: Epoch,
    },
    /// Send what is still to be sent, then close.
    CloseDisplay {
        /// Which.
        link: LinkId,
        /// Why.
        reason: &'static str,
    },
    /// Say something to a session.
    SendDisplay {
        /// On which link.
        link: LinkId,
        /// What.
        message: ToSession,
    },
    /// Look at a display link, and tell the window.
    MeasureLink {
        /// Which.
        link: LinkId,
    },
    /// Tell the window.
    ToWindow(ToWindow),
    /// Log it.
    Log(Logged),
    /// Trust this group in later runs.
    RememberGroup(GroupId),
    /// Know these servers in later runs.
    RememberServers(Vec<Server>),
    /// Read the token where it is, and answer with `token::Event::ReadAgain`.
    ReadTokenAgain,
    /// Insert or remove what has no reader.
    ToggleCard,
    /// Use the DTU's own token.
    UsePseudo,
    /// End, once the links are closed.
    Quit,
}
