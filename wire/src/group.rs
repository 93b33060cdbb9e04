//! The group's messages: one UDP datagram of `key=value` pairs, as the patent
//! writes them, so that a person can read them off the wire.
//!
//! The first key tells the kind: `host`, `serverQ`, `serverR`, `tokenQ`,
//! `tokenR`. Unknown keys are ignored; a known key that comes twice, where
//! only `interface`, `ip`, `mask` and `bcast` may, spoils the message. The
//! last pair is `sig=sha1:` and the HMAC-SHA1 over every byte before `sig=`.

use crate::ids::{Epoch, ServerName, SessionId, hex, unhex};
use crate::limits::{
    GROUP_DATAGRAM_BYTES_MAX, GROUP_PAIRS_MAX, INTERFACES_MAX, SERVER_Q_BYTES_MIN,
};
use crate::trust::MessageKey;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Where host messages and serverQs go by multicast, on every interface: an
/// address of the organisation's own (RFC 2365), so it leaves no site.
pub const MULTICAST: Ipv4Addr = Ipv4Addr::new(239, 255, 70, 9);
/// The port of all group messages, unless it is configured otherwise.
pub const PORT: u16 = 7009;

/// Why a datagram is not a group message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupMessageError {
    /// It is longer than a datagram of the group may be.
    #[error("a datagram of {0} bytes is longer than a group message may be")]
    TooLong(usize),
    /// It is not text, or not `key=value` pairs.
    #[error("the datagram is not a text of key=value pairs")]
    NotPairs,
    /// It has more pairs or interfaces than a message may have.
    #[error("the message has too many pairs")]
    TooMany,
    /// Its first key is none that we know.
    #[error("the message is of an unknown kind")]
    UnknownKind,
    /// A pair is missing, comes twice, or has no valid value.
    #[error("the message's {0} is missing, doubled or not valid")]
    Field(&'static str),
    /// A serverQ is shorter than its answer may be.
    #[error("a serverQ of {0} bytes is too short to be answered")]
    ShortQuestion(usize),
}

/// A network interface of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, as the kernel has it.
    pub name: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its netmask.
    pub mask: Ipv4Addr,
    /// Its broadcast address.
    pub bcast: Ipv4Addr,
}

impl Interface {
    /// True if the address lies in this interface's network.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.ip.to_bits() & self.mask.to_bits() == address.to_bits() & self.mask.to_bits()
    }
}

/// The bits of a host message's `flags`.
pub mod flags {
    /// The server is taking leave: it gets no new sessions.
    pub const DRAINING: u32 = 1;
    /// The server runs as root, so that sessions are separated from it.
    pub const ROOT: u32 = 4;
}

/// A server's periodic word about itself (patent, "Self Discovery").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMessage {
    /// `host`: its name.
    pub host: ServerName,
    /// `addr`: its primary address.
    pub addr: Ipv4Addr,
    /// `time`: its clock, in milliseconds since 1970. The patent has seconds;
    /// the milliseconds travel as `ms`.
    pub time_ms: u64,
    /// `flags`: see [`flags`].
    pub flags: u32,
    /// `cpus`: how many processors it has.
    pub cpus: u32,
    /// `clock`: how fast they are, in MHz.
    pub clock_mhz: u32,
    /// `boot`: grows with each start of the server.
    pub boot: u64,
    /// `seq`: grows with each message of one boot.
    pub seq: u64,
    /// `port`: where it takes DTUs.
    pub port: u16,
    /// `load`: its load average times 100.
    pub load_percent: u32,
    /// `sessions`: how many it hosts.
    pub sessions: u32,
    /// `memory`: how much of it is free for programs, in MiB; 0 if it is not
    /// known. A message without the key says 0.
    pub memory_mib: u32,
    /// `version`: of its software.
    pub version: String,
    /// `home`: the first bytes of the SHA-256 of what it wrote into its home
    /// root, by which others see whether they share that. Without the key it
    /// does not tell.
    pub home: Option<[u8; 8]>,
    /// `part`: which part of how many this is, from 1; (1, 1) if it is whole.
    pub part: (u8, u8),
    /// `interface ip mask bcast`, once for each.
    pub interfaces: Vec<Interface>,
}

/// A DTU looks for servers. Unsigned: a DTU has no group key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerQ {
    /// The answer repeats it.
    pub nonce: u64,
}

/// A server answers a DTU. Unsigned: TLS proves the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerR {
    /// From the question.
    pub nonce: u64,
    /// Who answers.
    pub host: ServerName,
    /// Its address on the DTU's network.
    pub addr: Ipv4Addr,
    /// Where it takes DTUs.
    pub port: u16,
}

/// A server asks the others for a token's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenQ {
    /// The answer repeats it.
    pub nonce: u64,
    /// Who asks.
    pub host: ServerName,
    /// The keyed hash that stands for the token.
    pub hash: [u8; 32],
    /// `want`: the session, if a certain one of the token's is meant. A server
    /// that does not know the key tells of the most recent.
    pub session: Option<SessionId>,
}

/// What a server has for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSession {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its count of connections: the highest is the most recent.
    pub connection: u64,
}

/// A server answers a tokenQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenR {
    /// From the question.
    pub nonce: u64,
    /// Who answers.
    pub host: ServerName,
    /// Its most recent session for the token, if it has one.
    pub session: Option<TokenSession>,
}

/// One datagram of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupMessage {
    /// About a server.
    Host(HostMessage),
    /// A DTU asks.
    ServerQ(ServerQ),
    /// A server answers.
    ServerR(ServerR),
    /// A server asks.
    TokenQ(TokenQ),
    /// A server answers.
    TokenR(TokenR),
}

/// A parsed datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What it says.
    pub message: GroupMessage,
    /// True if it is signed with our group's key (TRUSTED).
    pub trusted: bool,
}

impl GroupMessage {
    /// The datagram, signed if it is of a kind that is; serverQ and serverR
    /// never are.
    pub fn to_datagram(&self, key: &MessageKey) -> Vec<u8> {
        let mut text = self.pairs();
        match self {
            GroupMessage::ServerQ(q) => return q.to_datagram(),
            GroupMessage::ServerR(_) => {}
            GroupMessage::Host(_) | GroupMessage::TokenQ(_) | GroupMessage::TokenR(_) => {
                text.push(' ');
                let signature = key.sign(text.as_bytes());
                let _ = write!(text, "sig=sha1:{}", hex(&signature));
            }
        }
        text.into_bytes()
    }

    fn pairs(&self) -> String {
        match self {
            GroupMessage::Host(host) => host.pairs(),
            GroupMessage::ServerQ(q) => q.pairs(),
            GroupMessage::ServerR(r) => format!(
                "serverR={:016x} host={} addr={:08x} port={}",
                r.nonce,
                r.host,
                r.addr.to_bits(),
                r.port
            ),
            GroupMessage::TokenQ(q) => {
                let want = q.session.map(|id| format!(" want={id}")).unwrap_or_default();
                format!("tokenQ={:016x} host={} hash={}{want}", q.nonce, q.host, hex(&q.hash))
            }
            GroupMessage::TokenR(r) => {
                let mut text = format!("tokenR={:016x} host={}", r.nonce, r.host);
                if let Some(s) = r.session {
                    let _ = write!(
                        text,
                        " session={} epoch={} connection={}",
                        s.session, s.epoch, s.connection
                    );
                }
                text
            }
        }
    }

    /// Parses a datagram and checks its signature. A wrong signature is not
    /// an error: the message is then not `trusted`.
    pub fn parse(datagram: &[u8], key: Option<&MessageKey>) -> Result<Received, GroupMessageError> {
        if datagram.len() > GROUP_DATAGRAM_BYTES_MAX {
            return Err(GroupMessageError::TooLong(datagram.len()));
        }
        let text = std::str::from_utf8(datagram).map_err(|_| GroupMessageError::NotPairs)?;
        let pairs = split_pairs(text)?;
        let trusted = key.is_some_and(|key| signature_is_right(text, key));
        let fields = Fields { pairs: &pairs };
        let message = match pairs[0].0 {
            "host" => GroupMessage::Host(HostMessage::from_pairs(&fields)?),
            "serverQ" if datagram.len() < SERVER_Q_BYTES_MIN => {
                return Err(GroupMessageError::ShortQuestion(datagram.len()));
            }
            "serverQ" => GroupMessage::ServerQ(ServerQ { nonce: fields.hex_u64("serverQ")? }),
            "serverR" => GroupMessage::ServerR(ServerR {
                nonce: fields.hex_u64("serverR")?,
                host: fields.parsed("host")?,
                addr: fields.address("addr")?,
                port: fields.parsed("port")?,
            }),
            "tokenQ" => GroupMessage::TokenQ(TokenQ {
                nonce: fields.hex_u64("tokenQ")?,
                host: fields.parsed("host")?,
                hash: unhex(fields.one("hash")?).ok_or(GroupMessageError::Field("hash"))?,
                session: match fields.optional("want")? {
                    None => None,
                    Some(_) => Some(fields.parsed("want")?),
                },
            }),
            "tokenR" => GroupMessage::TokenR(TokenR {
                nonce: fields.hex_u64("tokenR")?,
                host: fields.parsed("host")?,
                session: fields.token_session()?,
            }),
            _ => return Err(GroupMessageError::UnknownKind),
        };
        Ok(Received { message, trusted })
    }
}

impl ServerQ {
    /// The datagram, padded so that its answer is never the longer. It needs
    /// no key, and a DTU has none.
    pub fn to_datagram(&self) -> Vec<u8> {
        let mut text = self.pairs();
        text.push_str(" pad=");
        while text.len() < SERVER_Q_BYTES_MIN {
            text.push('.');
        }
        text.into_bytes()
    }

    fn pairs(&self) -> String {
        format!("serverQ={:016x}", self.nonce)
    }
}

fn split_pairs(text: &str) -> Result<Vec<(&str, &str)>, GroupMessageError> {
    let mut pairs = Vec::new();
    for word in text.split(' ') {
        if pairs.len() == GROUP_PAIRS_MAX {
            return Err(GroupMessageError::TooMany);
        }
        let (key, value) = word.split_once('=').ok_or(GroupMessageError::NotPairs)?;
        let plain = |s: &str| s.bytes().all(|b| b.is_ascii_graphic());
        if key.is_empty() || !plain(key) || !plain(value) {
            return Err(GroupMessageError::NotPairs);
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// True if the last pair is the right signature over all before it.
fn signature_is_right(text: &str, key: &MessageKey) -> bool {
    let Some(at) = text.rfind(" sig=sha1:") else { return false };
    let signed = &text[..at + 1];
    match unhex::<20>(&text[at + " sig=sha1:".len()..]) {
        Some(signature) => key.verify(signed.as_bytes(), &signature),
        None => false,
    }
}

impl HostMessage {
    fn pairs(&self) -> String {
        let mut text = format!(
            "host={} addr={:08x} time={} ms={} numifs={} flags={:x} cpus={} clock={} boot={} \
             seq={} port={} load={} sessions={} memory={} version={} part={}/{}",
            self.host,
            self.addr.to_bits(),
            self.time_ms / 1000,
            self.time_ms % 1000,
            self.interfaces.len(),
            self.flags,
            self.cpus,
            self.clock_mhz,
            self.boot,
            self.seq,
            self.port,
            self.load_percent,
            self.sessions,
            self.memory_mib,
            self.version,
            self.part.0,
            self.part.1,
        );
        if let Some(home) = &self.home {
            let _ = write!(text, " home={}", hex(home));
        }
        for interface in &self.interfaces {
            let _ = write!(
                text,
                " interface={} ip={:08x} mask={:08x} bcast={:08x}",
                interface.name,
                interface.ip.to_bits(),
                interface.mask.to_bits(),
                interface.bcast.to_bits()
            );
        }
        text
    }

    fn from_pairs(fields: &Fields<'_>) -> Result<Self, GroupMessageError> {
        let interfaces = fields.interfaces()?;
        if fields.parsed::<usize>("numifs")? != interfaces.len() {
            return Err(GroupMessageError::Field("numifs"));
        }
        let seconds: u64 = fields.parsed("time")?;
        let ms = match fields.optional("ms")? {
            None => 0,
            Some(text) => text
                .parse::<u64>()
                .ok()
                .filter(|ms| *ms < 1000)
                .ok_or(GroupMessageError::Field("ms"))?,
        };
        let part = fields.one("part")?.split_once('/').and_then(|(part, parts)| {
            let (part, parts) = (part.parse().ok()?, parts.parse().ok()?);
            (1 <= part && part <= parts).then_some((part, parts))
        });
        Ok(HostMessage {
            host: fields.parsed("host")?,
            addr: fields.address("addr")?,
            time_ms: seconds
                .checked_mul(1000)
                .and_then(|t| t.checked_add(ms))
                .ok_or(GroupMessageError::Field("time"))?,
            flags: u32::from_str_radix(fields.one("flags")?, 16)
                .map_err(|_| GroupMessageError::Field("flags"))?,
            cpus: fields.parsed("cpus")?,
            clock_mhz: fields.parsed("clock")?,
            boot: fields.parsed("boot")?,
            seq: fields.parsed("seq")?,
            port: fields.parsed("port")?,
            load_percent: fields.parsed("load")?,
            sessions: fields.parsed("sessions")?,
            memory_mib: match fields.optional("memory")? {
                None => 0,
                Some(text) => text.parse().map_err(|_| GroupMessageError::Field("memory"))?,
            },
            version: fields.short("version")?,
            home: match fields.optional("home")? {
                None => None,
                Some(text) => Some(unhex(text).ok_or(GroupMessageError::Field("home"))?),
            },
            part: part.ok_or(GroupMessageError::Field("part"))?,
            interfaces,
        })
    }
}

/// The pairs of a message, asked for by key.
struct Fields<'a> {
    pairs: &'a [(&'a str, &'a str)],
}

impl<'a> Fields<'a> {
    fn optional(&self, key: &'static str) -> Result<Option<&'a str>, GroupMessageError> {
        let mut values = self.pairs.iter().filter(|pair| pair.0 == key);
        let first = values.next().map(|pair| pair.1);
        match values.next() {
            Some(_) => Err(GroupMessageError::Field(key)),
            None => Ok(first),
        }
    }

    fn one(&self, key: &'static str) -> Result<&'a str, GroupMessageError> {
        self.optional(key)?.ok_or(GroupMessageError::Field(key))
    }

    fn parsed<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, GroupMessageError> {
        self.one(key)?.parse().map_err(|_| GroupMessageError::Field(key))
    }

    fn short(&self, key: &'static str) -> Result<String, GroupMessageError> {
        let text = self.one(key)?;
        if text.len() > 32 { Err(GroupMessageError::Field(key)) } else { Ok(text.to_owned()) }
    }

    fn hex_u64(&self, key: &'static str) -> Result<u64, GroupMessageError> {
        unhex(self.one(key)?).map(u64::from_be_bytes).ok_or(GroupMessageError::Field(key))
    }

    fn address(&self, key: &'static str) -> Result<Ipv4Addr, GroupMessageError> {
        address(self.one(key)?).ok_or(GroupMessageError::Field(key))
    }

    fn token_session(&self) -> Result<Option<TokenSession>, GroupMessageError> {
        if self.optional("session")?.is_none() {
            return Ok(None);
        }
        Ok(Some(TokenSession {
            session: self.parsed("session")?,
            epoch: Epoch(self.parsed("epoch")?),
            connection: self.parsed("connection")?,
        }))
    }

    /// Each `interface` and the `ip`, `mask` and `bcast` that follow it.
    fn interfaces(&self) -> Result<Vec<Interface>, GroupMessageError> {
        let mut interfaces = Vec::new();
        let mut pairs = self.pairs.iter();
        while let Some((key, name)) = pairs.next() {
            if *key != "interface" {
                continue;
            }
            let mut next = |key: &'static str| match pairs.next() {
                Some((found, value)) if *found == key => {
                    address(value).ok_or(GroupMessageError::Field(key))
                }
                _ => Err(GroupMessageError::Field(key)),
            };
            let (ip, mask, bcast) = (next("ip")?, next("mask")?, next("bcast")?);
            if interfaces.len() == INTERFACES_MAX {
                return Err(GroupMessageError::TooMany);
            }
            if name.len() > 32 {
                return Err(GroupMessageError::Field("interface"));
            }
            interfaces.push(Interface { name: (*name).to_owned(), ip, mask, bcast });
        }
        Ok(interfaces)
    }
}

fn address(text: &str) -> Option<Ipv4Addr> {
    unhex(text).map(|bytes| Ipv4Addr::from_bits(u32::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests;
