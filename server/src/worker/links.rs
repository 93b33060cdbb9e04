//! QUIC connections to the worker: accepted, bounded, read, written. What
//! their messages mean is [`super::core`]'s business.

use super::core::LinkId;
use afterglow_link::stream::{MessageReader, StreamError};
use afterglow_link::tls::{Peer, peer_of};
use afterglow_wire::codec::Message as _;
use afterglow_wire::display::{DisplayAlive, FromSession, InputDone, ToSession};
use afterglow_wire::ids::GroupId;
use bytes::Bytes;
use quinn::{Connection, Incoming, RecvStream, SendStream, WriteError};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// How many connections may be open that are not attached. One more sends the
/// oldest away: who means it attaches within milliseconds.
const STRANGERS_MAX: usize = 32;
/// From this many on, an address has to prove that it is not forged.
const STRANGERS_TRUSTED: usize = 8;
/// How long a connection has for its handshake and its first message.
const FIRST_MESSAGE: Duration = Duration::from_secs(5);
/// How long a peer has to read its last message and close.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the news that input was put in may wait for something that goes
/// the same way: a packet of its own is larger than most frames of text.
const INPUT_DONE_WAITS: Duration = Duration::from_millis(100);
/// Messages that may wait to be sent. Frames are at most two by their pacing;
/// the others are answers.
const OUTBOX_MAX: usize = 16;

/// What happens on connections.
#[derive(Debug)]
pub enum LinkEvent {
    /// The handshake is done and a stream is there.
    Opened(LinkId, Peer, Outbox),
    /// A message came.
    Message(LinkId, ToSession),
    /// Bytes came that are not a message.
    Garbage(LinkId, String),
    /// It is gone.
    Closed(LinkId, String),
}

/// The way to one peer.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    input_done: watch::Sender<Option<InputDone>>,
    alive: watch::Sender<Option<DisplayAlive>>,
}

#[derive(Debug)]
enum Outgoing {
    Parts(Vec<Bytes>),
    Farewell(Option<Bytes>),
}

/// The peer does not take what is sent to it.
#[derive(Debug, thiserror::Error)]
#[error("the peer does not take what is sent to it")]
pub struct Stuck;

impl Outbox {
    /// Sends a message.
    pub fn send(&self, message: &FromSession) -> Result<(), Stuck> {
        self.send_parts(vec![message.encode_framed()])
    }

    /// Sends encoded messages, one after the other.
    pub fn send_parts(&self, parts: Vec<Bytes>) -> Result<(), Stuck> {
        self.queue.try_send(Outgoing::Parts(parts)).map_err(|_| Stuck)
    }

    /// Tells which input was the last to be put in. Of several that wait only
    /// the latest is sent.
    pub fn input_done(&self, done: InputDone) {
        self.input_done.send_replace(Some(done));
    }

    /// Says that the session lives. It takes no place in the queue, and of
    /// several that wait only the latest is sent.
    pub fn alive(&self, alive: DisplayAlive) {
        self.alive.send_replace(Some(alive));
    }

    /// Sends a last message and closes.
    pub fn close(self, farewell: Option<FromSession>) -> Result<(), Stuck> {
        let farewell = farewell.map(|message| message.encode_framed());
        self.queue.try_send(Outgoing::Farewell(farewell)).map_err(|_| Stuck)
    }
}

/// All connections.
#[derive(Debug)]
pub struct Links {
    group: GroupId,
    events: mpsc::Sender<LinkEvent>,
    tasks: JoinSet<()>,
    strangers: VecDeque<(LinkId, AbortHandle)>,
    last_id: LinkId,
}

impl Links {
    /// None yet; what happens on them goes to `events`.
    pub fn new(group: GroupId, events: mpsc::Sender<LinkEvent>) -> Self {
        Links { group, events, tasks: JoinSet::new(), strangers: VecDeque::new(), last_id: 0 }
    }

    /// Takes a connection that somebody opens. Gives the one that had to go
    /// for it.
    pub fn accept(&mut self, incoming: Incoming) -> Option<LinkId> {
        while self.tasks.try_join_next().is_some() {}
        self.strangers.retain(|(_, task)| !task.is_finished());
        if self.strangers.len() >= STRANGERS_TRUSTED && !incoming.remote_address_validated() {
            // A failure means that it was validated after all.
            let _ = incoming.retry();
            return None;
        }
        let evicted = if self.strangers.len() >= STRANGERS_MAX {
            self.strangers.pop_front().map(|(link, task)| {
                task.abort();
                link
            })
        } else {
            None
        };
        self.last_id += 1;
        let link = Link { id: self.last_id, group: self.group, events: self.events.clone() };
        let task = self.tasks.spawn(link.run(incoming));
        self.strangers.push_back((self.last_id, task));
        evicted
    }

    /// This one is attached, and not to be sent away.
    pub fn admit(&mut self, link: LinkId) {
        self.strangers.retain(|(stranger, _)| *stranger != link);
    }

    /// Waits until all are closed, or the time of a farewell is over.
    pub async fn finish(&mut self) {
        for (_, task) in self.strangers.drain(..) {
            task.abort();
        }
        let _ = timeout(FAREWELL, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

struct Link {
    id: LinkId,
    group: GroupId,
    events: mpsc::Sender<LinkEvent>,
}

impl Link {
    async fn run(self, incoming: Incoming) {
        let why = match timeout(FIRST_MESSAGE, self.open(incoming)).await {
            Err(_) => "no message within 5 s".to_owned(),
            Ok(Err(why)) => why,
            Ok(Ok(open)) => self.serve(open).await,
        };
        // The worker ends if it does not listen any more.
        let _ = self.events.send(LinkEvent::Closed(self.id, why)).await;
    }

    async fn open(&self, incoming: Incoming) -> Result<Open, String> {
        let connection = incoming.await.map_err(|e| e.to_string())?;
        let peer = peer_of(&connection, self.group).ok_or("the peer has no usable certificate")?;
        let (sending, receiving) = connection.accept_bi().await.map_err(|e| e.to_string())?;
        let mut reader = MessageReader::new(receiving);
        let first = reader.next().await.map_err(|e| e.to_string())?;
        let first = first.ok_or("the peer said nothing")?;
        Ok(Open { connection, peer, sending, reader, first })
    }

    async fn serve(&self, open: Open) -> String {
        let Open { connection, peer, sending, mut reader, first } = open;
        let (queue, outgoing) = mpsc::channel(OUTBOX_MAX);
        let (input_done, done) = watch::channel(None);
        let (alive, lives) = watch::channel(None);
        let outbox = Outbox { queue, input_done, alive };
        if self.events.send(LinkEvent::Opened(self.id, peer, outbox)).await.is_err()
            || self.events.send(LinkEvent::Message(self.id, first)).await.is_err()
        {
            return "the worker ends".to_owned();
        }
        let why = tokio::select! {
            why = self.read(&mut reader) => why,
            why = write(&connection, sending, outgoing, done, lives) => why,
        };
        connection.close(0u32.into(), b"");
        why
    }

    async fn read(&self, reader: &mut MessageReader<RecvStream, ToSession>) -> String {
        loop {
            let event = match reader.next().await {
                Ok(Some(message)) => LinkEvent::Message(self.id, message),
                Ok(None) => return "the peer finished".to_owned(),
                Err(StreamError::Io(error)) => return error.to_string(),
                Err(error @ StreamError::Decode(_)) => {
                    let _ = self.events.send(LinkEvent::Garbage(self.id, error.to_string())).await;
                    // The writer still has to say why; it ends the link.
                    return std::future::pending().await;
                }
            };
            if self.events.send(event).await.is_err() {
                return "the worker ends".to_owned();
            }
        }
    }
}

/// A connection whose peer has said something.
struct Open {
    connection: Connection,
    peer: Peer,
    sending: SendStream,
    reader: MessageReader<RecvStream, ToSession>,
    first: ToSession,
}

async fn write(
    connection: &Connection,
    mut stream: SendStream,
    mut outgoing: mpsc::Receiver<Outgoing>,
    mut done: watch::Receiver<Option<InputDone>>,
    mut lives: watch::Receiver<Option<DisplayAlive>>,
) -> String {
    // What opens the conversation comes before the rest.
    let mut begun = false;
    // Until when the news of input waits for company.
    let mut waits: Option<Instant> = None;
    loop {
        let alone = async {
            match waits {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let sent = tokio::select! {
            biased;
            Ok(()) = lives.changed(), if begun => {
                let alive = *lives.borrow_and_update();
                write_latest(&mut stream, alive).await
            }
            next = outgoing.recv() => match next {
                Some(Outgoing::Parts(mut parts)) => {
                    begun = true;
                    stream.write_all_chunks(&mut parts).await
                }
                Some(Outgoing::Farewell(farewell)) => {
                    let _ = timeout(FAREWELL, say_farewell(connection, &mut stream, farewell)).await;
                    return "closed by us".to_owned();
                }
                None => return "given up by us".to_owned(),
            },
            Ok(()) = done.changed(), if begun && waits.is_none() => {
                waits = Some(Instant::now() + INPUT_DONE_WAITS);
                continue;
            }
            () = alone => Ok(()),
        };
        let sent = match (sent, waits.take()) {
            (Ok(()), Some(_)) => {
                let done = *done.borrow_and_update();
                write_latest(&mut stream, done).await
            }
            (sent, _) => sent,
        };
        if let Err(error) = sent {
            return error.to_string();
        }
    }
}

async fn write_latest(
    stream: &mut SendStream,
    message: Option<impl Into<FromSession>>,
) -> Result<(), WriteError> {
    match message {
        Some(message) => stream.write_all(&message.into().encode_framed()).await,
        None => Ok(()),
    }
}

async fn say_farewell(connection: &Connection, stream: &mut SendStream, farewell: Option<Bytes>) {
    if let Some(farewell) = farewell
        && stream.write_all(&farewell).await.is_err()
    {
        return;
    }
    // Closing at once could come before the peer has read what it was told;
    // it closes when it has.
    if stream.finish().is_ok() {
        connection.closed().await;
    }
}
