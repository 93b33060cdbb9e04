//! The sessions on this host, by the sockets of their keepers: found when the
//! server starts, followed while it runs.

use super::{Shared, clock, lock};
use crate::core::Event;
use afterglow_link::stream::{MessageReader, MessageWriter, StreamError};
use afterglow_wire::ids::{Epoch, SessionId, hex};
use afterglow_wire::local::{Become, Der, FromKeeper, Status, ToKeeper};
use afterglow_wire::trust::Role;
use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// The keeper's socket in its session's directory.
pub const SOCKET: &str = "keeper.sock";
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

/// The way to a keeper, and its session's directory.
#[derive(Debug, Clone)]
pub struct KeeperEntry {
    sender: mpsc::Sender<ToKeeper>,
    dir: PathBuf,
}

/// Lets an older copy go on as this new session.
pub fn adopt(shared: &Shared, copy: Copy, becomes: SessionId) {
    let (session, epoch) = (becomes, Epoch::FIRST);
    let credentials = match shared.authority.issue(&Role::Session { id: session, epoch }) {
        Ok(credentials) => credentials,
        Err(e) => return tracing::error!("no certificate for a session: {e}"),
    };
    let certificate = credentials.chain.first().map(|c| c.to_vec()).unwrap_or_default();
    let certificate_key = credentials.key.secret_pkcs8_der().to_vec();
    let (certificate, certificate_key) = (Der(certificate.into()), Der(certificate_key.into()));
    tell(shared, copy, Become { session, epoch, certificate, certificate_key }.into());
}

/// Tells a keeper something; lost if it takes nothing.
pub fn tell(shared: &Shared, copy: (SessionId, Epoch), message: ToKeeper) {
    if let Some(entry) = lock(&shared.keepers).get(&copy)
        && entry.sender.try_send(message).is_err()
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

/// A directory for a session that is about to start. Its name says nothing:
/// which session is in it, its keeper tells.
pub fn new_session_dir(runtime_dir: &Path) -> std::io::Result<PathBuf> {
    let dir = sessions_dir(runtime_dir).join(hex(&clock::random::<8>()));
    std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

fn sessions_dir(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("sessions")
}

/// Refuses a runtime directory that somebody else could put sessions into.
pub fn check_runtime_dir(runtime_dir: &Path) -> anyhow::Result<()> {
    let dir = sessions_dir(runtime_dir);
    super::private_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for dir in [runtime_dir, &dir] {
        let found = std::fs::symlink_metadata(dir)
            .with_context(|| format!("cannot look at {}", dir.display()))?;
        let us = rustix::process::geteuid().as_raw();
        let mode = found.permissions().mode() & 0o777;
        if !found.is_dir() || found.uid() != us || mode & 0o022 != 0 {
            bail!(
                "{} must be a directory of user {us} that nobody else can write (mode 0700); it \
                 is of user {} with mode {mode:04o}",
                dir.display(),
                found.uid()
            );
        }
    }
    Ok(())
}

/// Looks for sessions that run and are not known, and clears away what is left
/// of those that do not.
pub async fn find(shared: &Arc<Shared>) {
    let dir = sessions_dir(&shared.config.runtime_dir);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) => return tracing::warn!("{}: {e}", dir.display()),
    };
    let mut looks = tokio::task::JoinSet::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if !is_session_dir(&path) {
            // Not ours, or no directory: it is left alone.
            continue;
        }
        let starts = lock(&shared.starting_dirs).contains(&path);
        let known = starts || lock(&shared.keepers).values().any(|known| known.dir == path);
        if !known {
            let shared = shared.clone();
            looks.spawn(async move { look(&shared, &path).await });
        }
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

/// True if it is a directory of ours, by its name, its owner and its kind.
fn is_session_dir(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named = name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let us = rustix::process::geteuid().as_raw();
    let found = std::fs::symlink_metadata(path);
    named && found.is_ok_and(|found| found.is_dir() && found.uid() == us)
}

async fn look(shared: &Arc<Shared>, dir: &Path) {
    match connect(shared, dir, Expect::Found).await {
        Ok(_) => {}
        Err(StreamError::Io(e)) if is_dead(&e, dir) => match std::fs::remove_dir_all(dir) {
            Ok(()) => tracing::info!("cleared away {}: nothing runs there", dir.display()),
            Err(e) => tracing::warn!("{}: {e}", dir.display()),
        },
        Err(e) => tracing::warn!("{}: the keeper does not answer: {e}", dir.display()),
    }
}

/// True if nothing listens there and nothing is about to.
fn is_dead(error: &std::io::Error, dir: &Path) -> bool {
    match error.kind() {
        ErrorKind::ConnectionRefused => true,
        ErrorKind::NotFound => {
            let age = std::fs::metadata(dir).and_then(|found| found.modified());
            age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > YOUNG))
        }
        _ => false,
    }
}

/// Connects to a keeper, hears how it stands, and follows it from then on.
pub async fn connect(
    shared: &Arc<Shared>,
    dir: &Path,
    expect: Expect,
) -> Result<Status, StreamError> {
    let (mut reader, writer) = open(dir).await?;
    let first = tokio::time::timeout(STATUS_TIME, reader.next()).await;
    let status = match first.map_err(|_| std::io::Error::from(ErrorKind::TimedOut))?? {
        Some(FromKeeper::Status(status)) => status,
        _ => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
    };
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    lock(&shared.keepers)
        .insert((status.session, status.epoch), KeeperEntry { sender, dir: dir.to_owned() });
    shared
        .tell(match expect {
            Expect::Started => Event::KeeperStatus(status.clone()),
            Expect::Found => Event::KeeperFound(status.clone()),
        })
        .await;
    let task = follow(shared.clone(), dir.to_owned(), status.clone(), reader, writer, queue);
    tokio::spawn(task);
    Ok(status)
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

/// One copy of a session.
type Copy = (SessionId, Epoch);

/// How following a keeper came to an end.
enum Over {
    /// The session is over; why, for the user.
    Ended(String),
    /// The link broke.
    Broken,
}

async fn follow(
    shared: Arc<Shared>,
    dir: PathBuf,
    status: Status,
    mut reader: KeeperReader,
    mut writer: KeeperWriter,
    mut queue: mpsc::Receiver<ToKeeper>,
) {
    let mut copy = (status.session, status.epoch);
    loop {
        let over = converse(&shared, &mut copy, (&mut reader, &mut writer), &mut queue).await;
        if let Over::Ended(text) = over {
            return ended(&shared, copy, text, true).await;
        }
        let Some(again) = open_again(&dir).await else { break };
        (reader, writer) = again;
    }
    let text = "The session ended unexpectedly; insert again to start it anew.".to_owned();
    ended(&shared, copy, text, false).await;
}

async fn open_again(dir: &Path) -> Option<(KeeperReader, KeeperWriter)> {
    for _ in 0..AGAIN_MAX {
        tokio::time::sleep(AGAIN_PAUSE).await;
        if let Ok(opened) = open(dir).await {
            return Some(opened);
        }
    }
    None
}

async fn converse(
    shared: &Shared,
    copy: &mut Copy,
    (reader, writer): (&mut KeeperReader, &mut KeeperWriter),
    queue: &mut mpsc::Receiver<ToKeeper>,
) -> Over {
    loop {
        tokio::select! {
            message = reader.next() => match message {
                Ok(Some(FromKeeper::Status(status))) => {
                    is_now(shared, copy, (status.session, status.epoch));
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

/// An older copy that goes on is another session from now on.
fn is_now(shared: &Shared, copy: &mut Copy, now: Copy) {
    if *copy != now {
        let mut keepers = lock(&shared.keepers);
        if let Some(entry) = keepers.remove(copy) {
            keepers.insert(now, entry);
        }
        *copy = now;
    }
}

async fn ended(shared: &Arc<Shared>, copy: Copy, text: String, by_itself: bool) {
    let (session, epoch) = copy;
    lock(&shared.keepers).remove(&copy);
    shared.tell(Event::KeeperEnded { session, epoch, text, by_itself }).await;
}
