//! One DTU's link, from its hello to its end: bytes to events, and back.

use super::control::Met;
use super::{Shared, close, complain, lock};
use crate::auth::LinkId;
use crate::core::Event;
use afterglow_link::stream::{MessageReader, MessageWriter, StreamError};
use afterglow_wire::control::{ToDtu, ToServer};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long one message may take to be taken.
const SEND_TIME: Duration = Duration::from_secs(5);
/// The most messages that wait for one link.
const QUEUE_MAX: usize = 256;

/// For a DTU's link.
#[derive(Debug, Clone)]
pub enum ToLink {
    /// Tell the DTU this.
    Tell(ToDtu),
    /// Close it.
    Close(close::Close),
}

/// How a link ended.
enum End {
    /// The DTU went, or the connection broke.
    Gone,
    /// We close it.
    Close(close::Close),
}

impl From<StreamError> for End {
    fn from(e: StreamError) -> Self {
        match e {
            StreamError::Io(_) => End::Gone,
            StreamError::Decode(_) => End::Close(close::PROTOCOL),
        }
    }
}

/// Serves a DTU until its link ends.
pub async fn serve(shared: Arc<Shared>, link: LinkId, met: Met) {
    let Met { connection, reader, writer, dtu, hello } = met;
    let IpAddr::V4(address) = connection.remote_address().ip() else { return };
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    lock(&shared.links).insert(link, sender);
    let dtu_name = hello.dtu_name;
    shared.tell(Event::LinkOpened { link, dtu, address, dtu_name }).await;
    let end = tokio::select! {
        end = hear(&shared, link, reader) => end,
        end = speak(writer, queue) => end,
    };
    lock(&shared.links).remove(&link);
    shared.tell(Event::LinkClosed { link }).await;
    if let End::Close(why) = end {
        complain(&shared, address.into(), &format!("control link closed: {}", why.reason));
        why.apply(&connection);
    }
}

async fn hear(
    shared: &Shared,
    link: LinkId,
    mut reader: MessageReader<quinn::RecvStream, ToServer>,
) -> End {
    loop {
        match reader.next().await {
            Ok(Some(message)) => shared.tell(Event::Link { link, message }).await,
            Ok(None) => return End::Gone,
            Err(e) => return e.into(),
        }
    }
}

async fn speak(
    mut writer: MessageWriter<quinn::SendStream, ToDtu>,
    mut queue: mpsc::Receiver<ToLink>,
) -> End {
    loop {
        match queue.recv().await {
            Some(ToLink::Tell(message)) => {
                match tokio::time::timeout(SEND_TIME, writer.send(message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => return e.into(),
                    Err(_) => return End::Close(close::STUCK),
                }
            }
            Some(ToLink::Close(why)) => return End::Close(why),
            // The queue was full.
            None => return End::Close(close::STUCK),
        }
    }
}
