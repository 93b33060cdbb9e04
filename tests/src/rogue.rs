//! A server and its one session, played by a test: the links and certificates
//! are real, and what the session says over them is whatever the test wants.

use crate::scripted::in_time;
use afterglow_link::certificates::Authority;
use afterglow_link::quic::{Liveness, accepting_endpoint, bind_udp};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_link::tls::server_config;
use afterglow_wire::codec::Message as _;
use afterglow_wire::command::Command;
use afterglow_wire::control::{self, Alive, Attach, Origin, ToDtu, ToServer, Welcome};
use afterglow_wire::display::{self, Attached, FramePart, FromSession, ToSession};
use afterglow_wire::ids::{DtuId, Epoch, GroupId, ServerName, SessionId, Size};
use afterglow_wire::ticket::{Permit, SealedTicket, Ticket};
use afterglow_wire::trust::{GroupKey, Role};
use anyhow::{Context, Result, bail};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::task::JoinHandle;

const SESSION: SessionId = SessionId([7; 16]);
const EPOCH: Epoch = Epoch(1);
const ALIVE_EVERY: Duration = Duration::from_millis(100);

/// The server, which lets every DTU attach to the session.
pub struct Rogue {
    group: GroupId,
    control: SocketAddrV4,
    display: Endpoint,
    attachments: u64,
    serving: JoinHandle<()>,
}

impl Rogue {
    /// On loopback. To be called within a tokio runtime.
    pub fn start() -> Result<Self> {
        let key = GroupKey::from_file_content(&[7; 32])?;
        let authority = Authority::of_group(&key)?;
        let host: ServerName = "mud".parse()?;
        let role = Role::Server(host.clone());
        let (control, address) = endpoint(&authority, &role, control::ALPN, Liveness::CONTROL)?;
        let role = Role::Session { id: SESSION, epoch: EPOCH };
        let (display, at) = endpoint(&authority, &role, display::ALPN, Liveness::DISPLAY)?;
        let ticket = ticket(&key, &host)?;
        let attach = Attach {
            insert: 0,
            session: SESSION,
            epoch: EPOCH,
            host,
            endpoint: at,
            ticket: ticket.clone(),
            resume: ticket,
            origin: Origin::Existing,
            notice: String::new(),
        };
        let group = authority.group_id()?;
        let serving = tokio::spawn(serve(control, attach));
        Ok(Rogue { group, control: address, display, attachments: 0, serving })
    }

    /// The group's fingerprint.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Where it takes DTUs.
    pub fn control_address(&self) -> SocketAddrV4 {
        self.control
    }

    /// The next display link, up to its Attached.
    pub async fn attached(&mut self) -> Result<Attachment> {
        let incoming = in_time("a display link is opened", self.display.accept()).await?;
        let connection = incoming.context("the endpoint is gone")?.await?;
        let (down, receive) = in_time("a stream opens", connection.accept_bi()).await??;
        let mut up = MessageReader::new(receive);
        let first = in_time("the DTU attaches", up.next()).await??;
        let Some(ToSession::Attach(attach)) = first else { bail!("not an Attach: {first:?}") };
        self.attachments += 1;
        let (attachment, size) = (self.attachments, attach.screen);
        let mut link = Attachment { connection, up, down, size };
        let (session, epoch) = (SESSION, EPOCH);
        let attached = Attached { session, epoch, attachment, size, resumes: None };
        link.send(&FromSession::from(attached).encode_framed()).await?;
        Ok(link)
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A DTU that shows the session.
pub struct Attachment {
    connection: Connection,
    up: MessageReader<RecvStream, ToSession>,
    down: SendStream,
    /// The DTU's window.
    pub size: Size,
}

impl Attachment {
    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.down.write_all(bytes).await?)
    }

    /// Sends a frame, and waits until it is shown.
    pub async fn show(&mut self, number: u64, commands: Vec<Command>) -> Result<()> {
        self.send(&frame(number, commands)).await?;
        loop {
            match in_time("the frame is shown", self.up.next()).await?? {
                Some(ToSession::FrameShown(shown)) if shown.number == number => return Ok(()),
                Some(_) => {}
                None => bail!("the DTU ended the stream"),
            }
        }
    }

    /// Waits until the DTU closes the link; gives the reason that it says.
    pub async fn refused(&self) -> Result<String> {
        match in_time("the DTU closes the link", self.connection.closed()).await? {
            ConnectionError::ApplicationClosed(close) => {
                Ok(String::from_utf8_lossy(&close.reason).into_owned())
            }
            other => bail!("closed without a word: {other}"),
        }
    }
}

/// A whole frame's message.
pub fn frame(number: u64, commands: Vec<Command>) -> Vec<u8> {
    FromSession::from(FramePart { number, last: true, commands }).encode_framed().to_vec()
}

fn endpoint(
    authority: &Authority,
    role: &Role,
    alpn: &[u8],
    liveness: Liveness,
) -> Result<(Endpoint, SocketAddrV4)> {
    let tls = server_config(&authority.issue(role)?, alpn)?;
    let socket = bind_udp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let endpoint = accepting_endpoint(socket, tls, liveness, None)?;
    match endpoint.local_addr()? {
        SocketAddr::V4(address) => Ok((endpoint, address)),
        SocketAddr::V6(address) => bail!("bound to {address}"),
    }
}

/// A ticket that nobody here looks at.
fn ticket(key: &GroupKey, issuer: &ServerName) -> Result<SealedTicket> {
    let ticket = Ticket {
        permit: Permit::Attach,
        issuer: issuer.clone(),
        ends_ms: 0,
        nonce: [0; 16],
        dtu: DtuId([0; 32]),
        token: "soft.ada".parse()?,
        session: SESSION,
        epoch: EPOCH,
        insert: 0,
        connection: 0,
    };
    Ok(ticket.seal(&key.ticket_signer()))
}

async fn serve(control: Endpoint, attach: Attach) {
    while let Some(incoming) = control.accept().await {
        let attach = attach.clone();
        // A DTU that goes ends its own link only.
        tokio::spawn(async move { serve_dtu(incoming.await?, attach).await });
    }
}

/// Lives, and answers every insert.
async fn serve_dtu(connection: Connection, attach: Attach) -> Result<()> {
    let (send, receive) = connection.accept_bi().await?;
    let mut up = MessageReader::<_, ToServer>::new(receive);
    let mut down = MessageWriter::<_, ToDtu>::new(send);
    let mut beat = tokio::time::interval(ALIVE_EVERY);
    let (mut greeted, mut seq) = (false, 0);
    loop {
        tokio::select! {
            message = up.next() => match message?.context("the DTU is gone")? {
                ToServer::Hello(_) => {
                    let (version, server) = (control::VERSION, attach.host.clone());
                    let alive_every_ms = ALIVE_EVERY.as_millis() as u32;
                    down.send(Welcome { version, server, alive_every_ms }).await?;
                    greeted = true;
                }
                ToServer::Insert(insert) => {
                    down.send(Attach { insert: insert.insert, ..attach.clone() }).await?;
                }
                _ => {}
            },
            _ = beat.tick(), if greeted => {
                seq += 1;
                down.send(Alive { seq, resume: None }).await?;
            }
        }
    }
}
