//! A DTU without a window: it speaks both links itself, so that it can count
//! every frame, and misbehave.

use crate::wait::PATIENCE;
use afterglow_link::certificates::{Credentials, dtu_credentials, generate_dtu_key};
use afterglow_link::quic::{Liveness, connect_as, opening_endpoint};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_link::tls::Accept;
use afterglow_wire::codec::Message;
use afterglow_wire::control::{
    self, Attach, Cause, ChallengeAnswer, Hello, Insert, ServerNames, ToDtu, ToServer, Welcome,
};
use afterglow_wire::display::{
    self, AttachDisplay, Attached, FramePart, FrameShown, FromSession, ToSession,
};
use afterglow_wire::ids::{DtuId, GroupId, Keymap, Size, Token};
use anyhow::{Context, Result, bail};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use std::future::Future;
use std::net::SocketAddrV4;
use std::time::Duration;

/// The DTU's identity, and the group that it trusts.
pub struct ScriptedDtu {
    endpoint: Endpoint,
    credentials: Credentials,
    id: DtuId,
    group: GroupId,
}

/// One link: messages up and down, and the connection below them.
pub struct Link<Up, Down> {
    /// The QUIC connection.
    pub connection: Connection,
    up: MessageWriter<SendStream, Up>,
    down: MessageReader<RecvStream, Down>,
}

/// A control link.
pub type ControlLink = Link<ToServer, ToDtu>;
/// A display link.
pub type DisplayLink = Link<ToSession, FromSession>;

impl<Up: Message, Down: Message> Link<Up, Down> {
    /// Opens the one stream of a connection.
    pub async fn open(connection: Connection) -> Result<Self> {
        let (send, receive) = in_time("a stream opens", connection.open_bi()).await??;
        let (up, down) = (MessageWriter::new(send), MessageReader::new(receive));
        Ok(Link { connection, up, down })
    }

    /// Sends a message.
    pub async fn send(&mut self, message: impl Into<Up>) -> Result<()> {
        Ok(self.up.send(message).await?)
    }

    /// The next message.
    pub async fn next(&mut self) -> Result<Down> {
        in_time("a message comes", self.down.next()).await??.context("the peer ended the stream")
    }

    /// The next message within this time, if one comes.
    pub async fn next_within(&mut self, time: Duration) -> Result<Option<Down>> {
        match tokio::time::timeout(time, self.down.next()).await {
            Err(_) => Ok(None),
            Ok(message) => Ok(Some(message?.context("the peer ended the stream")?)),
        }
    }
}

/// Gives a future [`PATIENCE`] to come to its end.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, future).await.with_context(|| format!("waited in vain: {what}"))
}

impl ScriptedDtu {
    /// A DTU with a fresh key. To be called within a tokio runtime.
    pub fn new(group: GroupId) -> Result<Self> {
        let (id, credentials) = dtu_credentials(&generate_dtu_key()?)?;
        Ok(ScriptedDtu { endpoint: opening_endpoint()?, credentials, id, group })
    }

    /// Who it is.
    pub fn id(&self) -> DtuId {
        self.id
    }

    /// What its connections go through; it must live as long as they.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// A QUIC connection of this protocol, and nothing on it yet.
    pub async fn connection(
        &self,
        address: SocketAddrV4,
        accept: Accept,
        alpn: &[u8],
        liveness: Liveness,
    ) -> Result<Connection> {
        let opening =
            connect_as(&self.endpoint, address, &self.credentials, accept, alpn, liveness);
        Ok(in_time("a connection opens", opening).await??)
    }

    /// A QUIC connection to a server, and nothing on it yet.
    pub async fn server_connection(&self, address: SocketAddrV4) -> Result<Connection> {
        let accept = Accept::AnyServer { group: Some(self.group) };
        self.connection(address, accept, control::ALPN, Liveness::CONTROL).await
    }

    /// A control link, up to the server's Welcome.
    pub async fn meet(&self, address: SocketAddrV4) -> Result<(ControlLink, Welcome)> {
        let mut link = ControlLink::open(self.server_connection(address).await?).await?;
        let dtu_name = "a script".to_owned();
        link.send(Hello { version: control::VERSION, dtu_name }).await?;
        match link.next().await? {
            ToDtu::Welcome(welcome) => Ok((link, welcome)),
            other => bail!("a Welcome comes first, not {other:?}"),
        }
    }

    /// Inserts a token; the server's permission to attach.
    pub async fn insert(
        &self,
        link: &mut ControlLink,
        token: &Token,
        insert: u64,
    ) -> Result<Attach> {
        link.send(first_insert(token, insert)).await?;
        loop {
            match link.next().await? {
                ToDtu::Challenge(challenge) => {
                    let nonce = challenge.nonce;
                    link.send(ChallengeAnswer { insert, nonce, token: token.clone() }).await?;
                }
                ToDtu::Attach(attach) => return Ok(attach),
                ToDtu::Refused(refused) => bail!("refused: {refused:?}"),
                _ => {}
            }
        }
    }

    /// A display link to the session, up to its Attached.
    pub async fn attach(&self, attach: &Attach) -> Result<(DisplayLink, Attached)> {
        let accept = Accept::Session { group: self.group, id: attach.session, epoch: attach.epoch };
        let connection =
            self.connection(attach.endpoint, accept, display::ALPN, Liveness::DISPLAY).await?;
        let mut link = DisplayLink::open(connection).await?;
        link.send(AttachDisplay {
            ticket: attach.ticket.clone(),
            dtu_name: "a script".to_owned(),
            screen: screen(),
            keymap: Keymap::default(),
        })
        .await?;
        match link.next().await? {
            FromSession::Attached(attached) => Ok((link, attached)),
            other => bail!("an Attached comes first, not {other:?}"),
        }
    }
}

/// Takes frames, acknowledges each as a DTU that shows it would, and checks
/// that none is missing. Gives the next frame's number.
pub async fn show_frames(
    link: &mut DisplayLink,
    first: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<u64> {
    let mut number = first;
    while go_on(number) {
        let part = next_part(link).await?;
        if part.number != number {
            bail!("frame {} came where {number} was due", part.number);
        }
        if part.last {
            link.send(FrameShown { number }).await?;
            number += 1;
        }
    }
    Ok(number)
}

async fn next_part(link: &mut DisplayLink) -> Result<FramePart> {
    loop {
        match link.next().await? {
            FromSession::Frame(part) => return Ok(part),
            FromSession::Detached(detached) => bail!("detached: {detached:?}"),
            _ => {}
        }
    }
}

fn screen() -> Size {
    Size::new(400, 300).unwrap_or_else(|| unreachable!("it is within the limits"))
}

/// A person's insert of this token.
pub fn first_insert(token: &Token, insert: u64) -> Insert {
    Insert {
        insert,
        token: token.clone(),
        want: afterglow_wire::sessions::Want::Last,
        cause: Cause::Insert,
        ticket: None,
        unreachable: ServerNames::default(),
        redirects: 0,
        showing: None,
        screen: screen(),
        keymap: Keymap::default(),
    }
}
