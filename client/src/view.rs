//! What the user sees, as data: the connection logic decides it, the window
//! draws it; and what the two tell each other.

use crate::diagnostics::LinkMeasured;
use afterglow_wire::command::Command;
use afterglow_wire::control::{RefusalCode, Stage};
use afterglow_wire::display::Spent;
use afterglow_wire::ids::{Epoch, GroupId, Keymap, ServerName, SessionId, Size};
use afterglow_wire::input::InputEvent;
use afterglow_wire::quality::Quality;
use afterglow_wire::service::ServiceStatus;
use afterglow_wire::sessions::{SessionEntry, SessionOrder};
use afterglow_wire::truth::Truth;

/// The whole of what the user sees.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The session's picture.
    pub picture: Picture,
    /// The on-screen display's panel, if one is up.
    pub panel: Option<Panel>,
    /// A small word at the edge that covers nothing important.
    pub badge: Option<Badge>,
}

/// How the session's picture is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// Not at all: black. Nothing of it is kept.
    Blank,
    /// As it is.
    Live,
    /// The last one, dimmed, while there is no link to the session.
    Dimmed,
}

/// A message in the middle of the screen, one for each state that a user can
/// meet. Times are milliseconds of the connection logic's clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Panel {
    /// No network interface is up.
    NoNetwork,
    /// Nobody is found yet.
    Searching {
        /// How long the search has gone on.
        for_ms: u64,
        /// Why the last attempt failed, if one did.
        trouble: Option<String>,
    },
    /// A server is found and the link to it is being opened.
    Connecting {
        /// Its name, or its address as long as that is all we know.
        server: String,
    },
    /// The group is not known to this DTU: shall it be trusted?
    FirstMeeting {
        /// Its fingerprint.
        group: GroupId,
        /// Who spoke for it.
        server: ServerName,
    },
    /// Nothing is in; waiting for a token.
    InsertCard {
        /// The server that waits with us.
        server: ServerName,
        /// What is with the reader, in words; `None` if all is well.
        reader: Option<String>,
        /// True if the user may use the DTU's own pseudo-token instead.
        pseudo_offered: bool,
    },
    /// An insert was sent.
    Inserting {
        /// Who works on it.
        server: ServerName,
        /// What it does about it, if it said.
        stage: Option<Stage>,
        /// The host that this is about.
        host: Option<ServerName>,
        /// How long that has gone on.
        for_ms: u64,
    },
    /// The insert leads nowhere.
    Refused {
        /// Who says so.
        server: ServerName,
        /// Why, for a program.
        code: RefusalCode,
        /// Why and what to do, for the user.
        text: String,
        /// True if it was about another session than the last one: the user
        /// can go back to that.
        back: bool,
        /// True if the server would tell the token's sessions.
        sessions: bool,
    },
    /// The session is on another server.
    Moving {
        /// Where we were.
        from: ServerName,
        /// Where we go.
        to: ServerName,
    },
    /// Neither the server nor the session answers.
    ServerSilent {
        /// The host.
        host: ServerName,
        /// The server that is tried in its place, or its address as long as
        /// that is all we know.
        trying: Option<String>,
        /// Since how long.
        for_ms: u64,
    },
    /// The session is being resumed.
    Resuming {
        /// Who does it.
        on: ServerName,
        /// The host that stopped answering.
        lost: Option<ServerName>,
        /// What it does about it, if it said.
        stage: Option<Stage>,
        /// How long ago the host stopped answering.
        for_ms: u64,
    },
    /// The session's display link is lost; its host still answers.
    SessionSilent {
        /// The host.
        host: ServerName,
        /// Since how long.
        for_ms: u64,
    },
    /// The programs were started again on another host; goes by itself.
    Restarted {
        /// Where.
        on: ServerName,
        /// What was lost.
        notice: String,
    },
    /// The session is over.
    Ended {
        /// Why.
        text: String,
    },
    /// The user signed off: the session runs on.
    SignedOff,
    /// The token's sessions, and what can be done with them.
    Sessions(Box<SessionPanel>),
    /// The server asks the user something.
    Question {
        /// The question's number.
        question: u64,
        /// What is asked.
        text: String,
    },
    /// Another DTU shows the session now.
    Elsewhere {
        /// What people call it.
        dtu: String,
    },
}

/// What the session panel shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionPanel {
    /// False until a server answered.
    pub listed: bool,
    /// The sessions, the last connected first; then earlier copies.
    pub sessions: Vec<SessionEntry>,
    /// The services of the session that is shown.
    pub services: Vec<ServiceStatus>,
    /// How exact its picture is; `None` if it did not say, and cannot be told.
    pub quality: Option<Quality>,
    /// Why something is missing; else empty.
    pub trouble: String,
}

/// A small word at the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Badge {
    /// The session goes on, but no server is in charge of this DTU.
    ControlLost {
        /// The server that stopped answering.
        server: ServerName,
    },
    /// Something that the server has to tell.
    Notice {
        /// What.
        text: String,
    },
    /// The session goes on under another server's care.
    CaredForBy {
        /// The caretaker.
        server: ServerName,
        /// The server that it stands in for.
        instead_of: ServerName,
    },
}

/// From the network to the window.
#[derive(Debug, Clone, PartialEq)]
pub enum ToWindow {
    /// Show this.
    View(View),
    /// A display link is up: a new picture begins, with a SIZE.
    Attached {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A whole frame: apply all of it, then present.
    Frame {
        /// Its number, to be returned in [`FromWindow::FrameShown`].
        number: u64,
        /// What to do, in this order.
        commands: Vec<Command>,
    },
    /// Compare the picture with this, and say what differs.
    Compare(Truth),
    /// What a frame cost the session, while the diagnostics are on.
    Spent(Spent),
    /// The link to the session was looked at, as [`FromWindow::Diagnose`] asks.
    LinkMeasured(LinkMeasured),
    /// Somebody is there who did nothing to the window: a card came or went.
    Used,
    /// Write the screenshot file now.
    Screenshot,
    /// Close the window and end.
    Quit,
}

/// From the window to the network.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWindow {
    /// The window is there, with this size and this keyboard layout.
    Ready {
        /// The window's inner size in physical pixels.
        size: Size,
        /// The layout.
        keymap: Keymap,
    },
    /// The user did something.
    Input(InputEvent),
    /// The window has a new size.
    Resized(Size),
    /// A frame is on the screen.
    FrameShown {
        /// Its number.
        number: u64,
    },
    /// The picture was compared.
    Compared {
        /// The session's frame, from [`ToWindow::Compare`].
        frame: u64,
        /// The blocks that differ, by their places.
        others: Vec<u16>,
    },
    /// A frame could not be applied.
    BadFrame {
        /// Why.
        text: String,
    },
    /// Nobody used the DTU for a while and the screen is dark, or it is no
    /// longer.
    Dark {
        /// Which of the two.
        dark: bool,
    },
    /// The user looks at the diagnostics, or no longer. It is said again each
    /// time that the link is to be looked at.
    Diagnose {
        /// Which of the two.
        on: bool,
    },
    /// A hot key, or a button of the OSD.
    Ask(Ask),
    /// The window is closed.
    Closed,
}

/// What the user asks of the DTU itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Insert or remove the soft card (Ctrl+Alt+Shift+C).
    ToggleCard,
    /// Trust this group of a first meeting, whose fingerprint was shown, and
    /// remember it.
    TrustGroup(GroupId),
    /// Do not trust it.
    RefuseGroup(GroupId),
    /// Use the DTU's own pseudo-token.
    UsePseudo,
    /// Try the insert again.
    TryAgain,
    /// Give up the other session that was wanted, and show the last one.
    GoBack,
    /// Open or close the session panel (Ctrl+Alt+Shift+P).
    TogglePanel,
    /// Show another of the token's sessions.
    Switch(SessionId),
    /// Start one more session.
    NewSession,
    /// Do something with one of the sessions.
    Manage {
        /// The session.
        session: SessionId,
        /// Its epoch, as it was listed.
        epoch: Epoch,
        /// What.
        order: SessionOrder,
    },
    /// Show the session that is shown with this quality.
    SetQuality(Quality),
    /// Take the session from this screen, and let it run on.
    SignOff,
    /// The answer to a question.
    Answer {
        /// The question's number.
        question: u64,
        /// True for yes.
        yes: bool,
    },
}
