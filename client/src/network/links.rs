//! The tasks that hold the links: open, read, write, close.
//!
//! A link's queue towards its peer is bounded, and so is the one towards the
//! connection logic: who does not read is dropped, who sends too much waits.

use crate::connection::{Event, LinkId};
use crate::diagnostics::LinkMeasured;
use afterglow_link::quic::LinkError;
use afterglow_link::stream::{MessageReader, StreamError};
use afterglow_link::tls::server_of;
use afterglow_wire::codec::Message;
use afterglow_wire::control::{ToDtu, ToServer};
use afterglow_wire::display::{FromSession, ToSession};
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The most messages that wait for a peer that does not read.
const OUTGOING_MAX: usize = 1024;
/// How long a link may take to send its last messages.
const FAREWELL: Duration = Duration::from_millis(300);
/// How often a message that takes its time is looked at.
const PROGRESS: Duration = Duration::from_millis(50);

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
    /// What the peer says is no message: our side closes it.
    fn garbage(link: LinkId, why: String) -> Event {
        Self::closed(link, why)
    }
    /// The peer says something.
    fn message(link: LinkId, message: Self::Down) -> Event;
    /// The peer is saying something long.
    fn progress(link: LinkId) -> Option<Event>;
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

    fn progress(_: LinkId) -> Option<Event> {
        None
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

    fn garbage(link: LinkId, why: String) -> Event {
        Event::DisplayGarbage { link, why }
    }

    fn message(link: LinkId, message: FromSession) -> Event {
        Event::Display { link, message }
    }

    fn progress(link: LinkId) -> Option<Event> {
        Some(Event::DisplayHeard { link })
    }
}

/// One link's near end. The link closes when this is dropped.
pub(super) struct LinkHandle<U> {
    outgoing: mpsc::Sender<U>,
    reason: Option<oneshot::Sender<&'static str>>,
    /// The connection, once it is open.
    connection: Arc<OnceLock<quinn::Connection>>,
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

    /// What the connection is like now, if it is open.
    pub(super) fn measure(&self) -> Option<LinkMeasured> {
        let stats = self.connection.get()?.stats();
        let round_trip_us = stats.path.rtt.as_micros() as u64;
        Some(LinkMeasured { round_trip_us, received_bytes: stats.udp_rx.bytes })
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
    let connection = Arc::new(OnceLock::new());
    let opened = connection.clone();
    let connecting = async move {
        let connection = connecting.await?;
        Ok(opened.get_or_init(|| connection).clone())
    };
    tasks.spawn(async move {
        if let Some(last) = run::<K>(link, connecting, to_send, closing, &events).await {
            let _ = events.send(last).await;
        }
    });
    LinkHandle { outgoing, reason: Some(reason), connection }
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
            let (why, ended) = why?;
            connection.close(1u32.into(), why.as_bytes());
            return Some(ended(link, why));
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

/// What is to be told of a link that ended, and why it did.
type Ended = (String, fn(LinkId, String) -> Event);

/// Reads until the link ends, and tells why; `None` if nobody listens.
///
/// A frame may take longer over a slow network than silence may last, so parts
/// of a message that come are told too.
async fn read_all<K: Kind>(
    link: LinkId,
    connection: &quinn::Connection,
    receive: quinn::RecvStream,
    events: &mpsc::Sender<Event>,
) -> Option<Ended> {
    let mut reader = MessageReader::<_, K::Down>::new(receive);
    let mut look = tokio::time::interval(PROGRESS);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut parts = 0;
    loop {
        let next = tokio::select! {
            biased;
            next = reader.next() => next,
            _ = look.tick() => {
                let before = std::mem::replace(&mut parts, parts_read(connection));
                if parts != before && let Some(event) = K::progress(link) {
                    events.send(event).await.ok()?;
                }
                continue;
            }
        };
        match next {
            Ok(Some(message)) => {
                events.send(K::message(link, message)).await.ok()?;
                parts = parts_read(connection);
            }
            Ok(None) => return Some(("the other end closed the link".into(), K::closed)),
            Err(StreamError::Decode(error)) => {
                return Some((format!("the other end broke the protocol: {error}"), K::garbage));
            }
            Err(StreamError::Io(error)) => {
                return Some((broken(connection, &error.to_string()), K::closed));
            }
        }
    }
}

/// How many parts of a stream have come, in whatever order.
fn parts_read(connection: &quinn::Connection) -> u64 {
    connection.stats().frame_rx.stream
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

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_link::certificates::{Authority, dtu_credentials, generate_dtu_key};
    use afterglow_link::quic::{
        Liveness, accepting_endpoint, bind_udp, connect_as, opening_endpoint,
    };
    use afterglow_link::tls::{Accept, server_config};
    use afterglow_wire::control::{ALPN, Alive, Remove};
    use afterglow_wire::ids::GroupId;
    use afterglow_wire::trust::{GroupKey, Role};
    use std::net::{Ipv4Addr, SocketAddrV4};
    use tokio::task::JoinSet;

    const LINK: LinkId = LinkId(1);

    /// A server on loopback, and a DTU's link to it.
    struct Pair {
        server: quinn::Endpoint,
        link: LinkHandle<ToServer>,
        events: mpsc::Receiver<Event>,
        _tasks: JoinSet<()>,
    }

    impl Pair {
        /// The DTU accepts the server's own group, or only the one given.
        fn new(only: Option<GroupId>) -> Self {
            Pair::of::<ControlLink>(only)
        }

        fn of<K: Kind<Up = ToServer>>(only: Option<GroupId>) -> Self {
            let key = GroupKey::from_file_content(&[7; 32]).unwrap();
            let authority = Authority::of_group(&key).unwrap();
            let role = Role::Server("mud".parse().unwrap());
            let tls = server_config(&authority.issue(&role).unwrap(), ALPN).unwrap();
            let socket = bind_udp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
            let server = accepting_endpoint(socket, tls, Liveness::CONTROL, None).unwrap();
            let address = match server.local_addr().unwrap() {
                std::net::SocketAddr::V4(address) => address,
                other => panic!("{other}"),
            };
            let connecting = async move {
                let endpoint = opening_endpoint()?;
                let key = generate_dtu_key().expect("a key");
                let (_, credentials) = dtu_credentials(&key).expect("a certificate");
                let accept = Accept::AnyServer { group: only };
                connect_as(&endpoint, address, &credentials, accept, ALPN, Liveness::CONTROL).await
            };
            let mut tasks = JoinSet::new();
            let (sender, events) = mpsc::channel(4);
            let link = open::<K>(&mut tasks, LINK, connecting, sender);
            Pair { server, link, events, _tasks: tasks }
        }

        async fn accept(&self) -> quinn::Connection {
            self.server.accept().await.unwrap().await.unwrap()
        }
    }

    #[tokio::test]
    async fn what_is_said_before_the_close_arrives_before_the_close() {
        let mut pair = Pair::new(None);
        let connection = pair.accept().await;
        assert!(matches!(pair.events.recv().await, Some(Event::ControlOpened { .. })));
        for insert in 1..=3 {
            assert!(pair.link.send(Remove { insert }.into()));
        }
        pair.link.close("the DTU ends");
        let (_, receive) = connection.accept_bi().await.unwrap();
        let mut reader = MessageReader::<_, ToServer>::new(receive);
        for insert in 1..=3 {
            let message = reader.next().await.unwrap();
            assert_eq!(message, Some(Remove { insert }.into()));
        }
        assert_eq!(reader.next().await.unwrap(), None);
        let quinn::ConnectionError::ApplicationClosed(close) = connection.closed().await else {
            panic!("closed without a word");
        };
        assert_eq!(&close.reason[..], b"the DTU ends");
    }

    #[tokio::test]
    async fn a_server_of_another_group_is_told_from_one_that_is_not_there() {
        let mut pair = Pair::new(Some(GroupId([9; 32])));
        let server = pair.server.clone();
        tokio::spawn(async move { server.accept().await?.await.ok() });
        let event = pair.events.recv().await;
        assert!(
            matches!(event, Some(Event::ControlFailed { link: LINK, other_group: true, .. })),
            "{event:?}"
        );
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_found_out_and_one_that_floods_waits() {
        let mut pair = Pair::new(None);
        let connection = pair.accept().await;
        assert!(matches!(pair.events.recv().await, Some(Event::ControlOpened { .. })));
        assert!(pair.link.send(Remove { insert: 0 }.into()));
        let (mut send, _unread) = connection.accept_bi().await.unwrap();
        let mut sent = 0;
        while pair.link.send(ToServer::Unknown(9)) {
            sent += 1;
            assert!(sent < 10_000_000, "nothing stops the queue");
            if sent % 512 == 0 {
                tokio::task::yield_now().await;
            }
        }
        // The other way: nobody takes the events, so the flood stops.
        let alive = ToDtu::Alive(Alive { seq: 1, resume: None }).encode_framed();
        let flood = async {
            loop {
                send.write_all(&alive.repeat(1000)).await.unwrap();
            }
        };
        let flooded = tokio::time::timeout(Duration::from_secs(1), flood).await;
        assert!(flooded.is_err(), "the flood was taken without end");
    }

    #[tokio::test]
    async fn a_message_that_takes_its_time_is_heard_in_parts() {
        use afterglow_wire::control::SessionEnded;
        use afterglow_wire::ids::SessionId;
        /// A link whose messages are long, whatever they say.
        enum Slow {}
        impl Kind for Slow {
            type Up = ToServer;
            type Down = ToDtu;
            fn opened(link: LinkId, connection: &quinn::Connection) -> Event {
                ControlLink::opened(link, connection)
            }
            fn failed(link: LinkId, error: &LinkError) -> Event {
                ControlLink::failed(link, error)
            }
            fn closed(link: LinkId, why: String) -> Event {
                ControlLink::closed(link, why)
            }
            fn message(link: LinkId, message: ToDtu) -> Event {
                ControlLink::message(link, message)
            }
            fn progress(link: LinkId) -> Option<Event> {
                DisplayLink::progress(link)
            }
        }
        let mut pair = Pair::of::<Slow>(None);
        let connection = pair.accept().await;
        assert!(matches!(pair.events.recv().await, Some(Event::ControlOpened { .. })));
        assert!(pair.link.send(Remove { insert: 0 }.into()));
        let (mut send, _receive) = connection.accept_bi().await.unwrap();
        let text = "its programs ended".to_owned();
        let ended = ToDtu::from(SessionEnded { session: SessionId([5; 16]), text }).encode_framed();
        let (head, tail) = ended.split_at(ended.len() / 2);
        send.write_all(head).await.unwrap();
        let event = pair.events.recv().await;
        assert!(matches!(event, Some(Event::DisplayHeard { link: LINK })), "{event:?}");
        send.write_all(tail).await.unwrap();
        loop {
            match pair.events.recv().await {
                Some(Event::DisplayHeard { .. }) => {}
                Some(Event::Control { message: ToDtu::SessionEnded(_), .. }) => break,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_breaks_the_protocol_is_closed_and_told() {
        let mut pair = Pair::new(None);
        let connection = pair.accept().await;
        assert!(matches!(pair.events.recv().await, Some(Event::ControlOpened { .. })));
        assert!(pair.link.send(Remove { insert: 0 }.into()));
        let (mut send, _receive) = connection.accept_bi().await.unwrap();
        send.write_all(&[0xFF; 64]).await.unwrap();
        let event = pair.events.recv().await;
        assert!(
            matches!(&event, Some(Event::ControlClosed { why, .. }) if why.contains("protocol")),
            "{event:?}"
        );
    }
}
