//! The control link: a DTU and an `afterglow-server` (ALPN
//! [`ALPN`], one stream that the DTU opens).
//!
//! The DTU says [`Hello`], the server says [`Welcome`]; then inserts and
//! removes go up, and challenges, permissions and news come down. An insert is
//! numbered by its DTU, and what the server says about it repeats the number,
//! so that an answer to an older insert can be told and dropped.

use crate::ids::{Epoch, Keymap, ServerName, SessionId, Size, Token};
use crate::limits::{CONTROL_MESSAGE_BYTES_MAX, DTU_ADDRESSES_MAX, SERVERS_MAX};
use crate::sessions::{Consent, ListSessions, Manage, Notice, Question, Sessions, Want};
use crate::ticket::SealedTicket;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"afterglow-control/1";
/// The version that [`Hello`] and [`Welcome`] tell.
pub const VERSION: u16 = 1;

wire_messages! {
    /// From the DTU to the server.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ToServer max CONTROL_MESSAGE_BYTES_MAX; {
        /// The first message.
        1 => Hello(Hello),
        /// A token came.
        2 => Insert(Insert),
        /// The answer to a challenge.
        3 => ChallengeAnswer(ChallengeAnswer),
        /// The token went.
        4 => Remove(Remove),
        /// Where else the DTU can be.
        5 => Addresses(Addresses),
        /// What sessions does the token have?
        6 => ListSessions(ListSessions),
        /// Do something with one of them.
        7 => Manage(Manage),
        /// The user's answer to a question.
        8 => Consent(Consent),
    }
}

wire_messages! {
    /// From the server to the DTU.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ToDtu max CONTROL_MESSAGE_BYTES_MAX; {
        /// The first message.
        1 => Welcome(Welcome),
        /// Prove the token.
        2 => Challenge(Challenge),
        /// Show this session.
        3 => Attach(Attach),
        /// Go to another server.
        4 => Redirect(Redirect),
        /// The insert leads nowhere.
        5 => Refused(Refused),
        /// The server lives.
        6 => Alive(Alive),
        /// What the server is doing about the insert.
        7 => Progress(Progress),
        /// The servers of the group that the DTU may go to.
        8 => Servers(Servers),
        /// The session that the DTU shows is over.
        9 => SessionEnded(SessionEnded),
        /// The token's sessions.
        10 => Sessions(Sessions),
        /// Something that the user should know.
        11 => Notice(Notice),
        /// Something that the user has to agree to.
        12 => Question(Question),
    }
}

wire_struct! {
    /// The DTU's first message.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Hello {
        /// [`VERSION`].
        pub version: u16,
        /// What people call this DTU: its host's name.
        pub dtu_name: String,
    }
}

wire_struct! {
    /// All addresses of a DTU that has several: it reaches what any of its
    /// networks reaches. Only a hint about which of a server's addresses it is
    /// told; the link's own address is the one that is proven.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Addresses {
        /// At most [`DTU_ADDRESSES_MAX`].
        pub addresses: BoundedList<Ipv4Addr, DTU_ADDRESSES_MAX>,
    }
}

wire_choice! {
    /// Why an insert is sent.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Cause {
        /// The user presented the token.
        Insert = 0,
        /// Another server sent the DTU here.
        Redirect = 1,
        /// The server that the DTU had stopped answering.
        Failover = 2,
        /// The user chose another of the token's sessions. Good without a
        /// challenge on a link that proved the token since it came.
        Switch = 3,
    }
}

wire_struct! {
    /// The session that a DTU's live display link shows.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Showing {
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
    }
}

wire_struct! {
    /// A token came (or is still in, and its DTU comes from elsewhere).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Insert {
        /// The DTU's number of this insert; each is higher than the one
        /// before. A redirect or a failover keeps the number of the insert
        /// that it continues.
        pub insert: u64,
        /// Whose session is wanted.
        pub token: Token,
        /// Which of the token's sessions; a redirect or resume ticket names
        /// it itself.
        pub want: Want,
        /// Why it is sent.
        pub cause: Cause,
        /// A redirect or resume ticket, which spares the challenge.
        pub ticket: Option<SealedTicket>,
        /// Servers that this DTU tried for this insert and could not reach;
        /// it is not sent to them.
        pub unreachable: ServerNames,
        /// How many redirects this insert followed already.
        pub redirects: u8,
        /// What the DTU's display link shows, if it has a live one.
        pub showing: Option<Showing>,
        /// The DTU's window, for a session that has to be started.
        pub screen: Size,
        /// The DTU's keyboard layout, likewise.
        pub keymap: Keymap,
    }
}

/// A list of server names of at most [`SERVERS_MAX`].
pub type ServerNames = BoundedList<ServerName, SERVERS_MAX>;

/// A list that is refused on the wire if it has more than `MAX` elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundedList<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for BoundedList<T, MAX> {
    fn default() -> Self {
        BoundedList(Vec::new())
    }
}

impl<T, const MAX: usize> FromIterator<T> for BoundedList<T, MAX> {
    /// Takes the first `MAX` elements; what is beyond them is left out.
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        BoundedList(elements.into_iter().take(MAX).collect())
    }
}

impl<T, const MAX: usize> std::ops::Deref for BoundedList<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> BoundedList<T, MAX> {
    /// The elements.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T: crate::codec::Wire, const MAX: usize> crate::codec::Wire for BoundedList<T, MAX> {
    fn put(&self, out: &mut bytes::BytesMut) {
        crate::codec::put_list(out, &self.0);
    }
    fn get(from: &mut crate::codec::Reader) -> Result<Self, crate::codec::DecodeError> {
        from.take_list("list", MAX).map(BoundedList)
    }
}

wire_struct! {
    /// The answer to a [`Challenge`].
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ChallengeAnswer {
        /// The insert that it belongs to.
        pub insert: u64,
        /// The challenge's nonce.
        pub nonce: [u8; 32],
        /// The token, read again from where it is after the challenge came,
        /// so that a token which is no longer there is not let in.
        pub token: Token,
    }
}

wire_struct! {
    /// The token went.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Remove {
        /// The insert that it ends, and with it all older ones.
        pub insert: u64,
    }
}

wire_struct! {
    /// A server of the group and where it takes DTUs.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Server {
        /// Its name.
        pub name: ServerName,
        /// Its control address.
        pub address: SocketAddrV4,
    }
}

wire_struct! {
    /// The server's first message.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Welcome {
        /// [`VERSION`].
        pub version: u16,
        /// Who speaks.
        pub server: ServerName,
        /// How often it says [`Alive`], in milliseconds.
        pub alive_every_ms: u32,
    }
}

wire_struct! {
    /// The servers of the group that are up, the speaker among them.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Servers {
        /// At most [`SERVERS_MAX`].
        pub servers: BoundedList<Server, SERVERS_MAX>,
    }
}

wire_struct! {
    /// Prove that the token is there.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Challenge {
        /// The insert that it belongs to.
        pub insert: u64,
        /// Fresh randomness, good for one answer on this link.
        pub nonce: [u8; 32],
    }
}

wire_choice! {
    /// Where the session that a DTU is to show comes from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Origin {
        /// It runs on the server that speaks.
        Existing = 0,
        /// It was started just now.
        New = 1,
        /// Its host was lost; its services were started again, here.
        TakenOver = 2,
        /// It runs on a host whose own server does not answer.
        Caretaken = 3,
    }
}

wire_struct! {
    /// Show this session.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Attach {
        /// The insert that it belongs to.
        pub insert: u64,
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
        /// The host that it runs on.
        pub host: ServerName,
        /// Where its display link is.
        pub endpoint: SocketAddrV4,
        /// Lets this DTU in there.
        pub ticket: SealedTicket,
        /// Lets this DTU in at any server of the group if this one stops.
        pub resume: SealedTicket,
        /// Where it comes from.
        pub origin: Origin,
        /// What the user should know, such as what was lost; may be empty.
        pub notice: String,
    }
}

wire_choice! {
    /// What a redirect's target is expected to do.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RedirectPlan {
        /// The session is there.
        Existing = 0,
        /// Start a new one there, with the id that the ticket names.
        New = 1,
        /// Take it over there.
        Takeover = 2,
    }
}

wire_struct! {
    /// Go to another server.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Redirect {
        /// The insert that it belongs to.
        pub insert: u64,
        /// The server to go to, and where it takes DTUs.
        pub to: Server,
        /// Lets this DTU in there.
        pub ticket: SealedTicket,
        /// What is expected there.
        pub plan: RedirectPlan,
    }
}

wire_choice! {
    /// Why an insert leads nowhere, for a program; the text is for people.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RefusalCode {
        /// The policy does not accept this token.
        TokenNotAccepted = 0,
        /// The challenge was answered wrongly or too late.
        ChallengeFailed = 1,
        /// A ticket is wrong, old, or was used before.
        TicketRefused = 2,
        /// The session could not be started.
        SessionFailed = 3,
        /// A redirect named a session that is not here.
        NotHere = 4,
        /// The insert was redirected too often.
        TooManyRedirects = 5,
        /// The server has no room.
        Full = 6,
        /// The store cannot be reached.
        StoreUnavailable = 7,
        /// Neither the session nor proof of its death can be had; try again.
        Unresolved = 8,
    }
}

wire_struct! {
    /// The insert leads nowhere.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Refused {
        /// The insert that it belongs to.
        pub insert: u64,
        /// Why, for the DTU.
        pub code: RefusalCode,
        /// Why, and what to do, for the user.
        pub text: String,
    }
}

wire_struct! {
    /// The server lives.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Alive {
        /// Counts up.
        pub seq: u64,
        /// A newer resume ticket, now and then while the card is in.
        pub resume: Option<SealedTicket>,
    }
}

wire_choice! {
    /// What a server is doing about an insert.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Stage {
        /// Asks the group for the token's session.
        Looking = 0,
        /// Asks whether the session's own host still answers.
        Probing = 1,
        /// Starts a new session.
        Starting = 2,
        /// Takes the session over and starts its services again.
        Restarting = 3,
        /// Cannot go on before the store can be reached.
        WaitingForStore = 4,
    }
}

wire_struct! {
    /// What the server is doing about the insert, for the OSD.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Progress {
        /// The insert that it belongs to.
        pub insert: u64,
        /// What it does.
        pub stage: Stage,
        /// The host that it is about, if it is about one.
        pub host: Option<ServerName>,
    }
}

wire_struct! {
    /// The session that the DTU shows is over.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SessionEnded {
        /// The session.
        pub session: SessionId,
        /// Why, for the user.
        pub text: String,
    }
}
