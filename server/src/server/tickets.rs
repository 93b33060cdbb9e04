//! Signing tickets.

use super::{Shared, clock};
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::{DtuId, Token};
use afterglow_wire::ticket::{Permit, RESUME_LIFE_MS, SHORT_LIFE_MS, SealedTicket, Ticket};

/// Whom a ticket is for.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The DTU, as its link proved it.
    pub dtu: DtuId,
    /// The token, as it was authenticated.
    pub token: &'a Token,
    /// The DTU's number of the insert.
    pub insert: u64,
}

/// Signs a ticket about a session. A redirect ticket whose connection is 0
/// says that the connection is still to be counted.
pub fn sign(
    shared: &Shared,
    permit: Permit,
    whose: Whose<'_>,
    about: TokenSession,
) -> SealedTicket {
    let life_ms = match permit {
        Permit::Resume => RESUME_LIFE_MS,
        Permit::Attach | Permit::Redirect { .. } => SHORT_LIFE_MS,
    };
    Ticket {
        permit,
        issuer: shared.config.name.clone(),
        ends_ms: clock::wall_ms() + life_ms,
        nonce: clock::random(),
        dtu: whose.dtu,
        token: whose.token.clone(),
        session: about.session,
        epoch: about.epoch,
        insert: whose.insert,
        connection: about.connection,
    }
    .seal(&shared.signer)
}
