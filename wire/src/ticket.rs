//! Tickets: signed permissions that a DTU carries from one place to the next.
//!
//! | kind | to | good for | spares |
//! | --- | --- | --- | --- |
//! | attach | one session's display link | 10 s, one use | – |
//! | redirect | one server | 10 s, one use | a second challenge |
//! | resume | any server of the group | 60 s, renewed | the challenge after a failure |
//!
//! Every ticket is bound to one DTU's key, and names the token, the session
//! and its epoch. Whoever takes it knows its bearer's key from the TLS link,
//! and corrects the issuer's clock by what it knows of it.

use crate::codec::{DecodeError, Reader, Wire, put_bytes};
use crate::ids::{DtuId, Epoch, ServerName, SessionId, Token};
use crate::limits::TICKET_BYTES_MAX;
use crate::trust::{TicketSigner, TicketVerifier};
use bytes::{Bytes, BytesMut};

/// How long an attach or redirect ticket is good, in milliseconds.
pub const SHORT_LIFE_MS: u64 = 10_000;
/// How long a resume ticket is good, in milliseconds.
pub const RESUME_LIFE_MS: u64 = 60_000;
/// How far ahead of ours an issuer's corrected clock may be, in milliseconds.
pub const CLOCK_SLACK_MS: u64 = 5_000;

/// Put before the signed bytes, so that no other signature can be a ticket's.
const DOMAIN: &[u8] = b"afterglow ticket 1\0";
const SIGNATURE_BYTES: usize = 64;

/// A ticket as it travels: its fields and their signature. Nothing in it may
/// be believed before [`SealedTicket::open`].
#[derive(Clone, PartialEq, Eq)]
pub struct SealedTicket(Bytes);

impl std::fmt::Debug for SealedTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedTicket({} bytes)", self.0.len())
    }
}

impl Wire for SealedTicket {
    fn put(&self, out: &mut BytesMut) {
        put_bytes(out, &self.0);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        from.take_bytes("ticket", TICKET_BYTES_MAX).map(SealedTicket)
    }
}

wire_choice! {
    /// What a redirect's target is to do with the session that it names.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Plan {
        /// It is there: attach it, or refuse.
        Existing = 0,
        /// Start it, with this id.
        New = 1,
        /// Take it over.
        Takeover = 2,
    }
}

/// What a ticket permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// To attach to the session's display link.
    Attach,
    /// To be served by this server without a challenge.
    Redirect {
        /// The server.
        to: ServerName,
        /// What it is to do.
        plan: Plan,
    },
    /// To be served by any server of the group without a challenge.
    Resume,
}

impl Wire for Permit {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Permit::Attach => 0u8.put(out),
            Permit::Redirect { to, plan } => {
                1u8.put(out);
                to.put(out);
                plan.put(out);
            }
            Permit::Resume => 2u8.put(out),
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(Permit::Attach),
            1 => Ok(Permit::Redirect { to: ServerName::get(from)?, plan: Plan::get(from)? }),
            2 => Ok(Permit::Resume),
            _ => Err(DecodeError::Invalid("ticket kind")),
        }
    }
}

wire_struct! {
    /// A ticket's fields.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Ticket {
        /// What it permits.
        pub permit: Permit,
        /// Who signed it.
        pub issuer: ServerName,
        /// When it ends, by the issuer's clock: milliseconds since 1970.
        pub ends_ms: u64,
        /// Makes it one of a kind, for tickets of a single use.
        pub nonce: [u8; 16],
        /// The only DTU that may use it.
        pub dtu: DtuId,
        /// Whose session it is about.
        pub token: Token,
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
        /// The DTU's number of the insert that it belongs to.
        pub insert: u64,
        /// The session's count of connections when that insert came. Of two
        /// tickets to one session the one with the higher count is newer,
        /// whichever DTUs they belong to.
        pub connection: u64,
    }
}

/// Why a ticket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It is not a ticket, or not signed by the group.
    #[error("the ticket is not signed by this group")]
    Forged,
    /// Its time is over.
    #[error("the ticket's time is over")]
    Expired,
    /// It is from further in the future than a clock may be wrong.
    #[error("the ticket is from the future: its issuer's clock is wrong")]
    FromTheFuture,
    /// Another DTU carries it.
    #[error("the ticket belongs to another DTU")]
    OtherDtu,
}

impl Ticket {
    /// Signs it.
    pub fn seal(&self, signer: &TicketSigner) -> SealedTicket {
        let mut signed = BytesMut::from(DOMAIN);
        self.put(&mut signed);
        let signature = signer.sign(&signed);
        let mut sealed = signed.split_off(DOMAIN.len());
        sealed.extend_from_slice(&signature);
        SealedTicket(sealed.freeze())
    }

    fn life_ms(&self) -> u64 {
        match self.permit {
            Permit::Attach | Permit::Redirect { .. } => SHORT_LIFE_MS,
            Permit::Resume => RESUME_LIFE_MS,
        }
    }
}

impl SealedTicket {
    /// Checks signature, bearer and time, and gives the fields.
    ///
    /// `issuer_ahead_ms` tells by how much a server's clock is ahead of ours
    /// (`timeoff`); 0 where that is not known.
    pub fn open(
        &self,
        verifier: &TicketVerifier,
        bearer: DtuId,
        now_ms: u64,
        issuer_ahead_ms: impl FnOnce(&ServerName) -> i64,
    ) -> Result<Ticket, TicketError> {
        let body_len = self.0.len().checked_sub(SIGNATURE_BYTES).ok_or(TicketError::Forged)?;
        let (body, signature) = self.0.split_at(body_len);
        let mut signed = BytesMut::from(DOMAIN);
        signed.extend_from_slice(body);
        if !verifier.verify(&signed, signature) {
            return Err(TicketError::Forged);
        }
        let mut reader = Reader::new(self.0.slice(..body_len));
        let ticket = Ticket::get(&mut reader).map_err(|_| TicketError::Forged)?;
        reader.finish().map_err(|_| TicketError::Forged)?;
        if ticket.dtu != bearer {
            return Err(TicketError::OtherDtu);
        }
        let ends_ms = ticket.ends_ms.saturating_add_signed(-issuer_ahead_ms(&ticket.issuer));
        if now_ms >= ends_ms {
            return Err(TicketError::Expired);
        }
        if ends_ms - now_ms > ticket.life_ms() + CLOCK_SLACK_MS {
            return Err(TicketError::FromTheFuture);
        }
        Ok(ticket)
    }
}

/// Remembers tickets of a single use until their time is over. Bounded: when
/// it is full, nothing more is accepted until the oldest has ended.
#[derive(Debug)]
pub struct UsedTickets {
    used: std::collections::HashMap<[u8; 16], u64>,
    max: usize,
}

impl UsedTickets {
    /// An empty memory for at most `max` tickets.
    pub fn new(max: usize) -> Self {
        UsedTickets { used: std::collections::HashMap::new(), max }
    }

    /// Notes a use at `now_ms`; false if the ticket was used before, or if
    /// there is no room to remember it.
    pub fn take(&mut self, nonce: [u8; 16], now_ms: u64) -> bool {
        if self.used.len() >= self.max {
            self.used.retain(|_, forget_ms| *forget_ms > now_ms);
        }
        if self.used.len() >= self.max || self.used.contains_key(&nonce) {
            return false;
        }
        // Longer than any ticket of a single use can still be accepted.
        self.used.insert(nonce, now_ms + SHORT_LIFE_MS + CLOCK_SLACK_MS);
        true
    }
}
