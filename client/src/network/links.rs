//! The tasks that hold the links: open, read, write, close.
//!
//! A link's queue towards its peer is bounded, and so is the one towards the
//! connection logic: who does not read is dropped, who sends too much waits.

use crate::connection::{Event, LinkId};
use afterglow_link::quic::LinkError;
use afterglow_link::stream::{MessageReader, StreamError};
use afterglow_link::tls::server_of;
use afterglow_wire::codec::Message;
use afterglow_wire::control::{ToDtu, ToServer};
use afterglow_wire::display::{FromSession, ToSession};
use std::future::Future;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The most messages that wait for a peer that does not read.
const OUTGOING_MAX: usize = 1024;
/// How long a link may take to send its last messages.
const FAREWELL: Duration = Duration::from_millis(300);

/// What is particular to a link.
pub(super) trait Kind: 'static {
    /// Messages to the peer.
    type Up: Message + Send + 'static;
    /// Messages from the peer.
    type Down: Message + Send + 'static;
    /// It is open.
    fn opened(link: LinkId, connection: &quinn::Connection) -> Event;
    /// It could not be opened.
    fn failed(link: LinkId, error: &LinkError) -> Event;
    /// It is closed.
    fn closed(link: LinkId, why: String) -> Event;
    /// The peer says something.
    fn message(link: LinkId, message: Self::Down) -> Event;
}

/// To a server.
pub(super) enum ControlLink {}

impl Kind for ControlLink {
    type Up = ToServer;
    type Down = ToDtu;

    fn opened(link: LinkId, connection: &quinn::Connection) -> Event {
        match server_of(connection) {
            Some((group, server)) => Event::ControlOpened { link, group, server },
            None => Event::ControlFailed {
                link,
                why: "it has no certificate of a server".into(),
                other_group: false,
            },
        }
    }

    fn failed(link: LinkId, error: &LinkError) -> Event {
        Event::ControlFailed { link, why: in_words(error), other_group: is_other_group(error) }
    }

    fn closed(link: LinkId, why: String) -> Event {
        Event::ControlClosed { link, why }
    }

    fn message(link: LinkId, message: ToDtu) -> Event {
        Event::Control { link, message }
    }
}

/// To a session.
pub(super) enum DisplayLink {}

impl Kind for DisplayLink {
    type Up = ToSession;
    type Down = FromSession;

    fn opened(link: LinkId, _: &quinn::Connection) -> Event {
        Event::DisplayOpened { link }
    }

    fn failed(link: LinkId, error: &LinkError) -> Event {
        Event::DisplayClosed { link, why: in_words(error) }
    }

    fn closed(link: LinkId, why: String) -> Event {
        Event::DisplayClosed { link, why }
    }

    fn message(link: LinkId, message: FromSession) -> Event {
        Event::Display { link, message }
    }
}

/// One link's near end. The link closes when this is dropped.
pub(super) struct LinkHandle<U> {
    outgoing: mpsc::Sender<U>,
    reason: Option<oneshot::Sender<&'static str>>,
}

impl<U> LinkHandle<U> {
    /// Sends a message; false if the peer reads so slowly that too many wait.
    pub(super) fn send(&self, message: U) -> bool {
        match self.outgoing.try_send(message) {
            Ok(()) => true,
            // The task has ended and said so; its news is on the way.
            Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }

    /// Sends what waits, then closes.
    pub(super) fn close(mut self, reason: &'static str) {
        if let Some(tell) = self.reason.take() {
            let _ = tell.send(reason);
        }
    }
}

/// Starts a link's task.
pub(super) fn open<K: Kind>(
    tasks: &mut tokio::task::JoinSet<()>,
    link: LinkId,
    connecting: impl Future<Output = Result<quinn::Connection, LinkError>> + Send + 'static,
    events: mpsc::Sender<Event>,
) -> LinkHandle<K::Up> {
    let (outgoing, to_send) = mpsc::channel(OUTGOING_MAX);
    let (reason, closing) = oneshot::channel();
    tasks.spawn(async move {
        if let Some(last) = run::<K>(link, connecting, to_send, closing, &events).await {
            let _ = events.send(last).await;
        }
    });
    LinkHandle { outgoing, reason: Some(reason) }
}

/// A link's life; gives its last news, unless our own side closed it.
async fn run<K: Kind>(
    link: LinkId,
    connecting: impl Future<Output = Result<quinn::Connection, LinkError>>,
    to_send: mpsc::Receiver<K::Up>,
    mut closing: oneshot::Receiver<&'static str>,
    events: &mpsc::Sender<Event>,
) -> Option<Event> {
    let connection = tokio::select! {
        connected = connecting => match connected {
            Ok(connection) => connection,
            Err(error) => return Some(K::failed(link, &error)),
        },
        _ = &mut closing => return None,
    };
    let (send, receive) = match connection.open_bi().await {
        Ok(stream) => stream,
        Err(error) => return Some(K::failed(link, &error.into())),
    };
    events.send(K::opened(link, &connection)).await.ok()?;
    let mut writing = std::pin::pin!(write_all(send, to_send));
    let reason = tokio::select! {
        why = read_all::<K>(link, &connection, receive, events) => {
            let why = why?;
            connection.close(1u32.into(), why.as_bytes());
            return Some(K::closed(link, why));
        }
        written = &mut writing => match written {
            // Our side has dropped the link's near end.
            Ok(()) => closing.await.unwrap_or("dropped"),
            Err(error) => {
                return Some(K::closed(link, broken(&connection, &error.to_string())));
            }
        },
        reason = &mut closing => {
            let _ = tokio::time::timeout(FAREWELL, &mut writing).await;
            reason.unwrap_or("dropped")
        }
    };
    connection.close(0u32.into(), reason.as_bytes());
    None
}

/// Reads until the link ends, and tells why; `None` if nobody listens.
async fn read_all<K: Kind>(
    link: LinkId,
    connection: &quinn::Connection,
    receive: quinn::RecvStream,
    events: &mpsc::Sender<Event>,
) -> Option<String> {
    let mut reader = MessageReader::<_, K::Down>::new(receive);
    loop {
        match reader.next().await {
            Ok(Some(message)) => events.send(K::message(link, message)).await.ok()?,
            Ok(None) => return Some("the other end closed the link".into()),
            Err(StreamError::Decode(error)) => {
                return Some(format!("the other end broke the protocol: {error}"));
            }
            Err(StreamError::Io(error)) => return Some(broken(connection, &error.to_string())),
        }
    }
}

/// Writes until our own side drops the link, and then waits until the last
/// message, such as a remove, has arrived.
async fn write_all<U: Message>(
    mut send: quinn::SendStream,
    mut messages: mpsc::Receiver<U>,
) -> Result<(), quinn::WriteError> {
    while let Some(message) = messages.recv().await {
        send.write_all(&message.encode_framed()).await?;
    }
    if send.finish().is_ok() {
        let _ = tokio::time::timeout(FAREWELL, send.stopped()).await;
    }
    Ok(())
}

/// Why a link broke: what the other end said, if it said anything.
fn broken(connection: &quinn::Connection, otherwise: &str) -> String {
    match connection.close_reason() {
        Some(error) => in_words(&error.into()),
        None => otherwise.to_owned(),
    }
}

fn in_words(error: &LinkError) -> String {
    use quinn::ConnectionError;
    match error {
        LinkError::Connection(ConnectionError::TimedOut) => "it does not answer".into(),
        LinkError::Connection(ConnectionError::Reset) => "it was started again".into(),
        LinkError::Connection(ConnectionError::ApplicationClosed(close)) => {
            let reason = String::from_utf8_lossy(&close.reason);
            format!("it closed the link: {}", printable(&reason))
        }
        LinkError::Connection(ConnectionError::TransportError(_)) if is_other_group(error) => {
            "it does not belong to the group".into()
        }
        other => other.to_string(),
    }
}

/// A peer's words, short and without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// True if TLS refused the other end's certificate (alert `unknown_ca`).
fn is_other_group(error: &LinkError) -> bool {
    const UNKNOWN_CA: u8 = 48;
    match error {
        LinkError::Connection(quinn::ConnectionError::TransportError(error)) => {
            error.code == quinn::TransportErrorCode::crypto(UNKNOWN_CA)
        }
        _ => false,
    }
}
