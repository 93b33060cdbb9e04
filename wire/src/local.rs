//! The local link: a server and the keepers of the sessions on its host, over
//! a Unix socket in a directory of the server's.
//!
//! The server hands a new keeper its [`SessionSpec`] on the standard input;
//! the keeper answers on its standard output ([`Started`]). A keeper that is
//! told to hold brings up only what nobody can see, and waits for a
//! [`StartOrder`]. Once the session runs servers come and go on the socket,
//! and the keeper tells each of them how things stand ([`Status`]) and what
//! changes.

use crate::codec::{DecodeError, Message, Reader, Wire, put_bytes, put_list};
use crate::control::BoundedList;
use crate::ids::{DtuId, Epoch, Keymap, ServerName, SessionId, Size, Token};
use crate::limits::{
    CERTIFICATE_BYTES_MAX, COMMAND_WORDS_MAX, LOCAL_MESSAGE_BYTES_MAX, SERVERS_MAX, SERVICES_MAX,
};
use crate::quality::Quality;
use crate::service::{ServiceName, ServiceOrder, ServiceSpec, ServiceStatus};
use bytes::{Bytes, BytesMut};
use std::net::SocketAddrV4;

wire_messages! {
    /// From the server to a keeper, and on to its worker.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ToKeeper max LOCAL_MESSAGE_BYTES_MAX; {
        /// The token went: detach.
        1 => Detach(DetachDtu),
        /// End the session and everything in it.
        2 => End(End),
        /// What is known of the servers' clocks.
        3 => Clocks(Clocks),
        /// Start, stop or restart a service.
        4 => Service(ServiceOrder),
        /// The session was taken over elsewhere: freeze.
        5 => Freeze(Freeze),
        /// Go on, as a session of your own.
        6 => Become(Become),
    }
}

wire_messages! {
    /// From a keeper to the server.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum FromKeeper max LOCAL_MESSAGE_BYTES_MAX; {
        /// How things stand; the first message, and after each change.
        1 => Status(Status),
        /// The session is over; the last message.
        2 => Ended(Ended),
    }
}

/// Bytes of a certificate or a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Der(pub Bytes);

impl std::fmt::Debug for Der {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Der({} bytes)", self.0.len())
    }
}

impl Wire for Der {
    fn put(&self, out: &mut BytesMut) {
        put_bytes(out, &self.0);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        from.take_bytes("certificate", CERTIFICATE_BYTES_MAX).map(Der)
    }
}

/// A command line: the program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

impl Wire for CommandLine {
    fn put(&self, out: &mut BytesMut) {
        put_list(out, &self.0);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        from.take_list("command line", COMMAND_WORDS_MAX).map(CommandLine)
    }
}

wire_struct! {
    /// Everything that a keeper has to know to bring a session up.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SessionSpec {
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
        /// The host that it runs on.
        pub server: ServerName,
        /// Whose session it is.
        pub token: Token,
        /// The session's own directory: socket, cookie, logs. Exists.
        pub runtime_dir: String,
        /// The user's home directory. Exists.
        pub home_dir: String,
        /// The desktop.
        pub desktop: CommandLine,
        /// The X server's largest size.
        pub size_max: Size,
        /// The size to begin with.
        pub size: Size,
        /// The keyboard layout to begin with.
        pub keymap: Keymap,
        /// The address that the display link listens on.
        pub listen: SocketAddrV4,
        /// The last port to try, if the port of `listen` and those after it
        /// are taken.
        pub port_last: u16,
        /// The session's certificate.
        pub certificate: Der,
        /// The certificate's key (PKCS #8).
        pub certificate_key: Der,
        /// The group authority's certificate.
        pub authority: Der,
        /// The group's public ticket key.
        pub ticket_key: [u8; 32],
        /// What is known of the servers' clocks.
        pub clocks: Clocks,
        /// Bring up only what nobody can see, then wait for a [`StartOrder`].
        pub hold: bool,
        /// The catalogue. With the session run those that are `required`, and
        /// those with `start`; in a later epoch those in `ran` instead.
        pub services: BoundedList<ServiceSpec, SERVICES_MAX>,
        /// The services that ran in the copy before this one, those of the
        /// user's own too; without a meaning in a first epoch.
        pub ran: BoundedList<ServiceName, SERVICES_MAX>,
        /// How exact its picture is until the user switches it.
        pub quality: Quality,
    }
}

wire_struct! {
    /// Everything that a keeper has to know to bring an X server up before
    /// anybody wants it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct WarmSpec {
        /// The directory of the session that it will be. Exists.
        pub runtime_dir: String,
        /// The X server's largest size.
        pub size_max: Size,
        /// The address that the display link will listen on.
        pub listen: SocketAddrV4,
        /// The last port to try.
        pub port_last: u16,
    }
}

impl SessionSpec {
    /// What its X server has to know.
    pub fn warm(&self) -> WarmSpec {
        let SessionSpec { runtime_dir, size_max, listen, port_last, .. } = self;
        let runtime_dir = runtime_dir.clone();
        WarmSpec { runtime_dir, size_max: *size_max, listen: *listen, port_last: *port_last }
    }
}

/// A keeper's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeeperStart {
    /// Bring this session up.
    Session(Box<SessionSpec>),
    /// Bring an X server up, and wait for [`StartOrder::Be`].
    Warm(WarmSpec),
}

impl Wire for KeeperStart {
    fn put(&self, out: &mut BytesMut) {
        match self {
            KeeperStart::Session(spec) => {
                0u8.put(out);
                spec.put(out);
            }
            KeeperStart::Warm(spec) => {
                1u8.put(out);
                spec.put(out);
            }
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(KeeperStart::Session(Box::new(SessionSpec::get(from)?))),
            1 => Ok(KeeperStart::Warm(WarmSpec::get(from)?)),
            _ => Err(DecodeError::Invalid("keeper start")),
        }
    }
}

impl Message for KeeperStart {
    const BYTES_MAX: usize = LOCAL_MESSAGE_BYTES_MAX;
}

impl Message for SessionSpec {
    const BYTES_MAX: usize = LOCAL_MESSAGE_BYTES_MAX;
}

/// What becomes of a start that is held. It comes on the keeper's standard
/// input after the [`KeeperStart`], at any time; the end of the input before it
/// means [`StartOrder::Discard`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartOrder {
    /// To a warm keeper: be this session, in the directory that you have; held
    /// or not, as it says.
    Be(Box<SessionSpec>),
    /// Bring the session up.
    Go,
    /// End, and leave nothing behind.
    Discard,
}

impl Wire for StartOrder {
    fn put(&self, out: &mut BytesMut) {
        match self {
            StartOrder::Go => 0u8.put(out),
            StartOrder::Discard => 1u8.put(out),
            StartOrder::Be(spec) => {
                2u8.put(out);
                spec.put(out);
            }
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(StartOrder::Go),
            1 => Ok(StartOrder::Discard),
            2 => Ok(StartOrder::Be(Box::new(SessionSpec::get(from)?))),
            _ => Err(DecodeError::Invalid("start order")),
        }
    }
}

impl Message for StartOrder {
    const BYTES_MAX: usize = LOCAL_MESSAGE_BYTES_MAX;
}

/// How a keeper's start went: the last report is `Ready` or `Failed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The start is held: all is up that may be before [`StartOrder::Go`], or
    /// before [`StartOrder::Be`].
    /// Told once, before `Ready`, also if the order was there already.
    Prepared,
    /// The X server and the display link are up, on this port.
    Ready {
        /// The display link's port.
        port: u16,
    },
    /// It did not work; why, for the user.
    Failed {
        /// What happened, to what, and what to do.
        text: String,
    },
}

impl Wire for Started {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Started::Ready { port } => {
                0u8.put(out);
                port.put(out);
            }
            Started::Failed { text } => {
                1u8.put(out);
                text.put(out);
            }
            Started::Prepared => 2u8.put(out),
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(Started::Ready { port: u16::get(from)? }),
            1 => Ok(Started::Failed { text: String::get(from)? }),
            2 => Ok(Started::Prepared),
            _ => Err(DecodeError::Invalid("start report")),
        }
    }
}

impl Message for Started {
    const BYTES_MAX: usize = LOCAL_MESSAGE_BYTES_MAX;
}

wire_struct! {
    /// By how much a server's clock is ahead of this host's.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ClockAhead {
        /// The server.
        pub server: ServerName,
        /// Milliseconds; negative if it is behind.
        pub ahead_ms: i64,
    }
}

wire_struct! {
    /// What is known of the servers' clocks (`timeoff`).
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Clocks {
        /// At most [`SERVERS_MAX`].
        pub ahead: BoundedList<ClockAhead, SERVERS_MAX>,
    }
}

impl Clocks {
    /// By how much this server's clock is ahead of ours; 0 if not known.
    pub fn ahead_ms(&self, server: &ServerName) -> i64 {
        self.ahead.iter().find(|clock| clock.server == *server).map_or(0, |clock| clock.ahead_ms)
    }
}

wire_struct! {
    /// The token went from this DTU: if it shows the session, detach it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DetachDtu {
        /// The DTU.
        pub dtu: DtuId,
        /// The DTU's number of the insert that is over.
        pub insert: u64,
    }
}

wire_struct! {
    /// End the session and everything in it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct End {
        /// Why, for the user.
        pub text: String,
    }
}

wire_struct! {
    /// How a session stands.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Status {
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
        /// Whose session it is.
        pub token: Token,
        /// The display link's port.
        pub port: u16,
        /// The DTU that shows it, if one does.
        pub shown_on: Option<DtuId>,
        /// The count of connections of the present or last attachment.
        pub connection: u64,
        /// Its services, and how they stand; the desktop aside.
        pub services: BoundedList<ServiceStatus, SERVICES_MAX>,
        /// True while it is frozen.
        pub frozen: bool,
        /// What its user should know, such as a worker that dies again and
        /// again; else empty.
        pub trouble: String,
    }
}

wire_struct! {
    /// The session was taken over elsewhere: stop all that its programs do,
    /// but end nothing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Freeze {
        /// The epoch by which it was taken over.
        pub by: Epoch,
    }
}

wire_struct! {
    /// Go on, if frozen, as this session; in the same directory, at the same
    /// port.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Become {
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
        /// Its certificate.
        pub certificate: Der,
        /// The certificate's key (PKCS #8).
        pub certificate_key: Der,
    }
}

wire_struct! {
    /// The session is over.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Ended {
        /// Why, for the user.
        pub text: String,
    }
}
