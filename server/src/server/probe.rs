//! Does a session still answer, whose server does not?

use super::{Shared, clock};
use afterglow_link::quic::{Liveness, connect_as};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_link::tls::Accept;
use afterglow_wire::display::{ALPN, FromSession, Probe, ToSession};
use afterglow_wire::ids::{Epoch, SessionId};
use std::net::SocketAddrV4;

/// Asks the endpoint once. Its certificate must be that of this copy of this
/// session, so that nobody else can speak for it.
pub async fn probe(
    shared: &Shared,
    endpoint: SocketAddrV4,
    id: SessionId,
    epoch: Epoch,
) -> Option<(SessionId, Epoch)> {
    let accept = Accept::Session { group: shared.group_id, id, epoch };
    let connection =
        connect_as(&shared.prober, endpoint, &shared.credentials, accept, ALPN, Liveness::PROBE)
            .await
            .ok()?;
    let nonce = u64::from_ne_bytes(clock::random());
    let (send, receive) = connection.open_bi().await.ok()?;
    let mut writer = MessageWriter::<_, ToSession>::new(send);
    let mut reader = MessageReader::<_, FromSession>::new(receive);
    writer.send(Probe { nonce }).await.ok()?;
    while let Some(message) = reader.next().await.ok()? {
        if let FromSession::ProbeAnswer(answer) = message
            && answer.nonce == nonce
        {
            connection.close(0u32.into(), b"thank you");
            return Some((answer.session, answer.epoch));
        }
    }
    None
}
