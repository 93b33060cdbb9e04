//! The sessions on this host, by the sockets of their keepers: found when the
//! server starts, followed while it runs.

use super::directories::{self, Minded};
use super::{Shared, lock};
use crate::core::Event;
use crate::keeper::ending;
use crate::keeper::session_dir::SOCKET;
use afterglow_link::stream::{MessageReader, MessageWriter, StreamError};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::local::{FromKeeper, Status, ToKeeper};
use rustix::fs::{Mode, OFlags};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// How long a keeper has to say how it stands.
const STATUS_TIME: Duration = Duration::from_secs(2);
/// How often directories that are not known are looked for.
const FIND_EVERY: Duration = Duration::from_secs(5);
/// A directory without a socket may be that of a session that is starting.
const YOUNG: Duration = Duration::from_secs(30);
/// The most messages that wait for a keeper.
const QUEUE_MAX: usize = 64;
/// A keeper whose link broke is tried again so often, with this pause.
const AGAIN_MAX: u32 = 4;
const AGAIN_PAUSE: Duration = Duration::from_millis(250);

/// One copy of a session.
type Copy = (SessionId, Epoch);

/// The way to a keeper.
#[derive(Debug, Clone)]
pub struct KeeperEntry {
    sender: mpsc::Sender<ToKeeper>,
    /// Where the session has its directory.
    directory: PathBuf,
}

/// Tells a keeper something; lost if it takes nothing.
pub fn tell(shared: &Shared, copy: Copy, message: ToKeeper) {
    if let Some(KeeperEntry { sender, .. }) = lock(&shared.keepers).get(&copy)
        && sender.try_send(message).is_err()
    {
        tracing::warn!("the keeper of session {:?} epoch {} takes no messages", copy.0, copy.1);
    }
}

/// What is known of a keeper before it spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// We started it just now.
    Started,
    /// It was there.
    Found,
}

/// Looks for sessions that run and are not known, and clears away what is left
/// of those that do not.
pub async fn find(shared: &Arc<Shared>) {
    let mut looks = tokio::task::JoinSet::new();
    for dir in directories::unminded(shared) {
        let shared = shared.clone();
        looks.spawn(async move { look(&shared, dir).await });
    }
    looks.join_all().await;
}

/// Goes on looking for as long as the server runs.
pub async fn keep_finding(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(FIND_EVERY).await;
        find(&shared).await;
    }
}

async fn look(shared: &Arc<Shared>, dir: Minded) {
    let path = dir.path();
    match connect(shared, dir, Expect::Found).await {
        Ok(_) => {}
        Err(StreamError::Io(e)) if is_dead(&e, &path) => clear_away(shared, &path).await,
        // A start that is under way, mostly, and younger than it may get.
        Err(StreamError::Io(e)) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => directories::complain(shared, &path, &format!("has no keeper that answers: {e}")),
    }
}

async fn clear_away(shared: &Shared, dir: &Path) {
    match ending::clear_away(dir).await {
        Ok(()) => tracing::info!("cleared away {}: nobody keeps it", dir.display()),
        Err(text) => directories::complain(shared, dir, &text),
    }
}

/// True if nothing listens there and nothing is about to.
fn is_dead(error: &std::io::Error, dir: &Path) -> bool {
    if ending::keeper_lives(dir) {
        // It is about to listen, or to end.
        return false;
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => true,
        ErrorKind::NotFound => {
            let age = std::fs::metadata(dir).and_then(|found| found.modified());
            let old = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > YOUNG));
            old || ending::keeper_is_gone(dir)
        }
        _ => false,
    }
}

/// Connects to a keeper, hears how it stands, and follows it from then on.
pub async fn connect(
    shared: &Arc<Shared>,
    dir: Minded,
    expect: Expect,
) -> Result<Status, StreamError> {
    let (mut reader, writer) = open(&dir.path()).await?;
    let first = tokio::time::timeout(STATUS_TIME, reader.next()).await;
    let status = match first.map_err(|_| std::io::Error::from(ErrorKind::TimedOut))?? {
        Some(FromKeeper::Status(status)) => status,
        _ => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
    };
    let copy = (status.session, status.epoch);
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let entry = KeeperEntry { sender, directory: dir.path() };
    if let Some(other) = enter(shared, copy, entry) {
        let text = format!("it says that it is the session of {}", other.display());
        return Err(std::io::Error::other(text).into());
    }
    shared
        .tell(match expect {
            Expect::Started => Event::KeeperStatus(status.clone()),
            Expect::Found => Event::KeeperFound(status.clone()),
        })
        .await;
    tokio::spawn(follow(shared.clone(), dir, copy, reader, writer, queue));
    Ok(status)
}

/// Enters a keeper, if no other speaks for its copy: else gives the other's
/// directory.
fn enter(shared: &Shared, copy: Copy, entry: KeeperEntry) -> Option<PathBuf> {
    let mut keepers = lock(&shared.keepers);
    let other = keepers.get(&copy).map(|other| other.directory.clone());
    if other.is_none() {
        keepers.insert(copy, entry);
    }
    other
}

type KeeperReader = MessageReader<OwnedReadHalf, FromKeeper>;
type KeeperWriter = MessageWriter<OwnedWriteHalf, ToKeeper>;

async fn open(dir: &Path) -> std::io::Result<(KeeperReader, KeeperWriter)> {
    // A socket's path may have 107 bytes at most, a directory's more: the way
    // through the opened directory is always short.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened: OwnedFd = rustix::fs::open(dir, flags, Mode::empty())?;
    let us = rustix::process::geteuid().as_raw();
    let found = rustix::fs::fstat(&opened)?;
    if found.st_uid != us || found.st_mode & 0o022 != 0 {
        let text = "the directory is not ours alone";
        return Err(std::io::Error::new(ErrorKind::PermissionDenied, text));
    }
    let path = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
    let stream = UnixStream::connect(path).await?;
    if stream.peer_cred()?.uid() != us {
        let text = "another user's process listens there";
        return Err(std::io::Error::new(ErrorKind::PermissionDenied, text));
    }
    let (read, write) = stream.into_split();
    Ok((MessageReader::new(read), MessageWriter::new(write)))
}

/// How following a keeper came to an end.
enum Over {
    /// The session is over; why, for the user.
    Ended(String),
    /// The link broke.
    Broken,
}

async fn follow(
    shared: Arc<Shared>,
    dir: Minded,
    mut copy: Copy,
    mut reader: KeeperReader,
    mut writer: KeeperWriter,
    mut queue: mpsc::Receiver<ToKeeper>,
) {
    let path = dir.path();
    loop {
        let over = converse(&shared, &mut copy, &mut reader, &mut writer, &mut queue).await;
        if let Over::Ended(text) = over {
            return ended(&shared, copy, text, true).await;
        }
        match open_again(&path).await {
            Ok(again) => (reader, writer) = again,
            Err(e) => {
                // Its programs must not go on in a home where they are
                // started again.
                if is_dead(&e, &path) {
                    clear_away(&shared, &path).await;
                }
                break;
            }
        }
    }
    let text = "The session ended unexpectedly; insert again to start it anew.".to_owned();
    ended(&shared, copy, text, false).await;
}

async fn open_again(dir: &Path) -> std::io::Result<(KeeperReader, KeeperWriter)> {
    for _ in 1..AGAIN_MAX {
        tokio::time::sleep(AGAIN_PAUSE).await;
        if let Ok(opened) = open(dir).await {
            return Ok(opened);
        }
    }
    tokio::time::sleep(AGAIN_PAUSE).await;
    open(dir).await
}

async fn converse(
    shared: &Shared,
    copy: &mut Copy,
    reader: &mut KeeperReader,
    writer: &mut KeeperWriter,
    queue: &mut mpsc::Receiver<ToKeeper>,
) -> Over {
    loop {
        tokio::select! {
            message = reader.next() => match message {
                Ok(Some(FromKeeper::Status(status))) => {
                    became(shared, copy, (status.session, status.epoch));
                    shared.tell(Event::KeeperStatus(status)).await;
                }
                Ok(Some(FromKeeper::Ended(ended))) => return Over::Ended(ended.text),
                Ok(Some(FromKeeper::Unknown(_))) => {}
                Ok(None) => return Over::Broken,
                Err(e) => {
                    tracing::warn!("a session's keeper: {e}");
                    return Over::Broken;
                }
            },
            Some(message) = queue.recv() => {
                if writer.send(message).await.is_err() {
                    return Over::Broken;
                }
            }
        }
    }
}

/// A keeper says which copy it keeps: from now on it is known as that.
fn became(shared: &Shared, copy: &mut Copy, now: Copy) {
    if *copy == now {
        return;
    }
    let mut keepers = lock(&shared.keepers);
    if let Some(entry) = keepers.remove(copy) {
        let directory = entry.directory.display().to_string();
        tracing::info!("{directory}: session {:?} epoch {} is now {:?}", copy.0, copy.1, now.0);
        keepers.insert(now, entry);
    }
    *copy = now;
}

async fn ended(shared: &Arc<Shared>, (session, epoch): Copy, text: String, by_itself: bool) {
    lock(&shared.keepers).remove(&(session, epoch));
    shared.tell(Event::KeeperEnded { session, epoch, text, by_itself }).await;
}
