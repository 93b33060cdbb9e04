//! The control endpoint: takes connections within limits, and says goodbye to
//! those that do not say who they are.

use super::{Shared, close, complain, dtu_link};
use afterglow_link::stream::{MessageReader, MessageWriter, StreamError};
use afterglow_link::tls::{Peer, peer_of};
use afterglow_wire::control::{Hello, ToServer, VERSION};
use afterglow_wire::ids::DtuId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The most connections that have not said hello.
const STRANGERS_MAX: usize = 512;
/// With so many, who comes has to show first that its address is its own.
const STRANGERS_RETRY: usize = 64;
/// The most links.
const LINKS_MAX: usize = 16 * 1024;
/// How long a connection has for its handshake and its hello.
const HELLO_TIME: Duration = Duration::from_secs(5);

/// Why a connection did not become a link.
enum Stranger {
    /// It closed by itself, or never completed its handshake.
    Gone(String),
    /// We close it.
    Closed(close::Close),
}

/// Takes connections for as long as the server runs.
pub async fn run(shared: Arc<Shared>, endpoint: quinn::Endpoint) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    let links = Arc::new(Semaphore::new(LINKS_MAX));
    let next_link = AtomicU64::new(1);
    while let Some(incoming) = endpoint.accept().await {
        let from = incoming.remote_address().ip();
        let known = STRANGERS_MAX - strangers.available_permits();
        if known >= STRANGERS_RETRY && incoming.may_retry() {
            if incoming.retry().is_err() {
                complain(&shared, from, "a connection attempt that could not be checked");
            }
            continue;
        }
        let (Ok(stranger), Ok(link)) =
            (strangers.clone().try_acquire_owned(), links.clone().try_acquire_owned())
        else {
            complain(&shared, from, close::TOO_MANY.reason);
            incoming.refuse();
            continue;
        };
        let shared = shared.clone();
        let id = next_link.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let _link = link;
            let Some(hello) = meet(&shared, incoming, from).await else { return };
            drop(stranger);
            dtu_link::serve(shared, id, hello).await;
        });
    }
}

/// A DTU that said hello.
pub struct Met {
    /// Its connection.
    pub connection: quinn::Connection,
    /// What it sends.
    pub reader: MessageReader<quinn::RecvStream, ToServer>,
    /// What it gets.
    pub writer: MessageWriter<quinn::SendStream, afterglow_wire::control::ToDtu>,
    /// Who it is.
    pub dtu: DtuId,
    /// What it said.
    pub hello: Hello,
}

async fn meet(shared: &Shared, incoming: quinn::Incoming, from: std::net::IpAddr) -> Option<Met> {
    let connection = async {
        let connecting = incoming.accept().map_err(|e| e.to_string())?;
        connecting.await.map_err(|e| e.to_string())
    };
    let began = tokio::time::Instant::now();
    let connection = match tokio::time::timeout_at(began + HELLO_TIME, connection).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(e)) => {
            complain(shared, from, &format!("no control link: {e}"));
            return None;
        }
        Err(_) => {
            complain(shared, from, "no control link: the handshake took too long");
            return None;
        }
    };
    let met = greet(shared, connection.clone());
    let silent = Err(Stranger::Closed(close::SILENT));
    match tokio::time::timeout_at(began + HELLO_TIME, met).await.unwrap_or(silent) {
        Ok(met) => Some(met),
        Err(Stranger::Gone(why)) => {
            complain(shared, from, &format!("the control link ended before its hello: {why}"));
            None
        }
        Err(Stranger::Closed(why)) => {
            complain(shared, from, &format!("control link closed: {}", why.reason));
            why.apply(&connection);
            None
        }
    }
}

async fn greet(shared: &Shared, connection: quinn::Connection) -> Result<Met, Stranger> {
    let Some(Peer::Dtu(dtu)) = peer_of(&connection, shared.group_id) else {
        return Err(Stranger::Closed(close::NOT_A_DTU));
    };
    let stream = connection.accept_bi().await;
    let (send, receive) = stream.map_err(|e| Stranger::Gone(e.to_string()))?;
    let mut reader = MessageReader::new(receive);
    let hello = loop {
        match reader.next().await {
            Ok(Some(ToServer::Hello(hello))) => break hello,
            Ok(Some(ToServer::Unknown(_))) => {}
            Ok(Some(_)) | Err(StreamError::Decode(_)) => {
                return Err(Stranger::Closed(close::PROTOCOL));
            }
            Ok(None) => return Err(Stranger::Gone("the stream ended".into())),
            Err(StreamError::Io(e)) => return Err(Stranger::Gone(e.to_string())),
        }
    };
    if hello.version != VERSION {
        return Err(Stranger::Closed(close::VERSION));
    }
    Ok(Met { connection, reader, writer: MessageWriter::new(send), dtu, hello })
}
