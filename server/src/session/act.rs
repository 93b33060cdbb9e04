//! What a placement asks, what it is told, and how it ends.

use super::notice::Notice;
use crate::group::question::Answers;
use crate::store::SessionRow;
use afterglow_wire::control::{Origin, RefusalCode, Stage};
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::{Epoch, ServerName, SessionId};
use afterglow_wire::ticket::Plan;
use std::collections::BTreeSet;
use std::net::SocketAddrV4;

/// The copy of the token's session on this host that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCopy {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its highest known count of connections.
    pub connection: u64,
    /// Where its display link is; `None` while it starts.
    pub endpoint: Option<SocketAddrV4>,
    /// True if it may be believed without the store.
    pub verified: bool,
}

/// What the store says about a copy that is to be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// It is the session; this many connections, with the one that was to be
    /// counted.
    Right(u64),
    /// A higher epoch is known.
    Superseded(Epoch),
    /// The store knows nothing of it, or knows less than we.
    Unknown,
}

/// The store cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Down;

/// What a silent host's servers and sessions said in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Probed {
    /// What the server said, if it spoke.
    pub server: Option<Option<TokenSession>>,
    /// Which session the endpoint said it is, if it spoke.
    pub endpoint: Option<(SessionId, Epoch)>,
    /// True once the server was silent for so long that it counts as down.
    pub down: bool,
}

/// An answer to an [`Act`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Act::LookHere`].
    Here {
        /// The token's session on this host.
        copy: Option<LocalCopy>,
        /// True if one more may be started.
        room: bool,
    },
    /// To [`Act::AwaitStart`] and [`Act::Start`]: the endpoint, or what went
    /// wrong, for the user.
    Started(Result<SocketAddrV4, String>),
    /// To [`Act::Confirm`].
    Confirmed(Result<Confirmed, Down>),
    /// To [`Act::AskGroup`].
    Group(Answers),
    /// To [`Act::ReadStore`].
    Row(Result<Option<SessionRow>, Down>),
    /// To [`Act::ReadStore`]: what is stored is not valid; for the user.
    Corrupt(String),
    /// To [`Act::Probe`].
    Probed(Probed),
    /// To [`Act::Choose`].
    Chosen {
        /// The server; `None` if nobody has room.
        server: Option<ServerName>,
        /// The id of a session that is to be new.
        fresh: SessionId,
    },
    /// To [`Act::Create`]: false if the token has a live session by now.
    Created(Result<bool, Down>),
    /// To [`Act::TakeOver`]: the count of connections, if it succeeded.
    TookOver(Result<Option<u64>, Down>),
    /// To [`Act::TakeOver`]: not as long as the store says what it says; for
    /// the user.
    Distrusted(String),
    /// To [`Act::Wait`].
    Waited,
}

/// Where a DTU is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The host that it runs on.
    pub host: ServerName,
    /// Where its display link is.
    pub endpoint: SocketAddrV4,
    /// The insert's place among the session's connections.
    pub connection: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// What the user should know.
    pub notice: Notice,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Look at the sessions of this host.
    LookHere,
    /// Wait until this session here has started.
    AwaitStart {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Ask the store whether this copy is the session, and count the
    /// connection if that is wanted.
    Confirm {
        /// The session.
        session: SessionId,
        /// The copy's epoch.
        epoch: Epoch,
        /// True if this is one more connection.
        count: bool,
    },
    /// Ask the group, without waiting for these.
    AskGroup {
        /// Servers that the DTU could not reach.
        except: BTreeSet<ServerName>,
    },
    /// Read the token's live session that is wanted.
    ReadStore,
    /// Ask a host that was silent, for one round.
    Probe {
        /// Which round this is, from 1.
        round: u32,
        /// Its server, if that is to be asked.
        server: Option<ServerName>,
        /// The session's endpoint, if there is one.
        endpoint: Option<SocketAddrV4>,
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Choose the lightest server that takes sessions and that the DTU can
    /// reach.
    Choose {
        /// Servers that the DTU could not reach.
        except: BTreeSet<ServerName>,
        /// True if we have room ourselves.
        room: bool,
    },
    /// Note a new session in the store, with this id if there is one.
    Create {
        /// The id that a redirect named.
        id: Option<SessionId>,
        /// Only if the token has no live one.
        only: bool,
    },
    /// Take this session over in the store.
    TakeOver {
        /// As the store has it now.
        row: Box<SessionRow>,
        /// True if this is one more connection.
        count: bool,
    },
    /// Start the services of the session that was just created or taken over.
    Start,
    /// Wait.
    Wait {
        /// For so long.
        ms: u64,
    },
    /// Done: the DTU is attached.
    Attach(Attachment),
    /// Done: the DTU goes to another server.
    Redirect {
        /// The server.
        to: ServerName,
        /// What it is to do there.
        plan: Plan,
        /// What it has, or what it is to start or to take over.
        found: TokenSession,
        /// The connection that the insert is already counted as.
        connection: Option<u64>,
    },
    /// Done: the insert leads nowhere.
    Refuse {
        /// Why, for the DTU.
        code: RefusalCode,
        /// Why, and what to do, for the user.
        text: String,
    },
}

/// What to do next, and what to tell meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// For the user.
    pub progress: Option<(Stage, Option<ServerName>)>,
    /// A higher epoch of a session was seen: lower copies here are stale.
    pub seen: Option<(SessionId, Epoch)>,
    /// Next.
    pub act: Act,
}

impl Step {
    pub(super) fn on(stage: Stage, host: Option<ServerName>, act: Act) -> Self {
        Step { progress: Some((stage, host)), seen: None, act }
    }
}

impl From<Act> for Step {
    fn from(act: Act) -> Self {
        Step { progress: None, seen: None, act }
    }
}
