//! The socket on which servers come and go: each is told how the session
//! stands, and may say what is to happen.

use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_wire::local::{Ended, FromKeeper, Status, ToKeeper};
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};

/// How many servers may be connected at a time.
const CONNECTIONS_MAX: usize = 8;
/// A server that does not take a message within this time is let go.
const TAKES_WITHIN: Duration = Duration::from_secs(5);

/// What servers are told.
#[derive(Debug, Clone)]
pub struct Standing {
    /// How the session stands.
    pub status: Status,
    /// Why it is over, if it is.
    pub ended: Option<String>,
}

/// Listens on the socket, which only our own user can open.
pub fn listen(path: &Path) -> std::io::Result<UnixListener> {
    // The directory is the session's own, so what is there is left over.
    let _ = std::fs::remove_file(path);
    let listener = bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Binds by way of the opened directory: a socket's path may have 107 bytes at
/// most, and a session's directory may lie deeper than that.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return UnixListener::bind(path);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, flags, Mode::empty())?;
    UnixListener::bind(Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}

/// Serves the socket for ever.
pub async fn serve(
    listener: UnixListener,
    standing: watch::Receiver<Standing>,
    said: mpsc::Sender<ToKeeper>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly: others may be given back.
                tracing::warn!("cannot accept a server: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if !may_connect(&stream) {
            tracing::warn!("a connection of another user was refused");
            continue;
        }
        let Ok(permit) = room.clone().try_acquire_owned() else {
            tracing::warn!("a server was refused: {CONNECTIONS_MAX} are connected");
            continue;
        };
        let (standing, said) = (standing.clone(), said.clone());
        tokio::spawn(async move {
            connection(stream, standing, said).await;
            drop(permit);
        });
    }
}

/// The same user, or root.
fn may_connect(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn connection(
    stream: UnixStream,
    mut standing: watch::Receiver<Standing>,
    said: mpsc::Sender<ToKeeper>,
) {
    let (reading, writing) = stream.into_split();
    let mut reader = MessageReader::<_, ToKeeper>::new(reading);
    let mut writer = MessageWriter::<_, FromKeeper>::new(writing);
    standing.mark_changed();
    loop {
        tokio::select! {
            changed = standing.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = standing.borrow_and_update().clone();
                let message = match now.ended {
                    Some(text) => FromKeeper::Ended(Ended { text }),
                    None => FromKeeper::Status(now.status),
                };
                let last = matches!(message, FromKeeper::Ended(_));
                let sent = tokio::time::timeout(TAKES_WITHIN, writer.send(message)).await;
                if last || !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            message = reader.next() => match message {
                Ok(Some(message)) => {
                    if said.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!("a server was let go: {error}");
                    return;
                }
            },
        }
    }
}
