//! The start of a session: its place in the table, its row in the store, its
//! directories, its keeper.
//!
//! A start that has begun goes on when the DTU that wanted it goes: the next
//! one finds it.

use super::placing::{Screen, down};
use super::{Shared, clock, keepers, lock, private_dir};
use crate::session::act::Down;
use crate::store::SessionRow;
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_wire::ids::{Epoch, SessionId, Size, Token, hex};
use afterglow_wire::local::{ClockAhead, Clocks, CommandLine, Der, SessionSpec, Started};
use afterglow_wire::trust::Role;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a keeper has to bring its session up.
const START_TIME: Duration = Duration::from_secs(10);
/// How long the store may take to note where a session is before its DTU is
/// attached all the same.
const NOTE_TIME: Duration = Duration::from_millis(500);

/// How a start ends; nothing as long as it has not.
pub type Outcome = watch::Receiver<Option<Result<SocketAddrV4, String>>>;

/// A start that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The insert's place among its connections.
    pub connection: u64,
    /// How it ends.
    pub outcome: Outcome,
}

/// Waits until a start has ended.
pub async fn wait(outcome: Option<Outcome>) -> Result<SocketAddrV4, String> {
    let gone = || "the session's start came to nothing; insert again".to_owned();
    let Some(mut outcome) = outcome else { return Err(gone()) };
    match outcome.wait_for(Option::is_some).await {
        Ok(ended) => ended.clone().unwrap_or_else(|| Err(gone())),
        Err(_) => Err(gone()),
    }
}

/// Notes a new session for the token and begins to start it; `None` if the
/// token has one by now.
pub async fn create(
    shared: Arc<Shared>,
    token: Token,
    id: Option<SessionId>,
    screen: Screen,
) -> Result<Option<Begun>, Down> {
    let row = SessionRow {
        id: id.unwrap_or_else(|| SessionId(clock::random())),
        home: home_of(&shared, &token).display().to_string(),
        owner: shared.config.name.clone(),
        endpoint: None,
        epoch: Epoch::FIRST,
        connection: 1,
        desktop: shared.config.desktop.clone(),
        size: screen.size,
        ended: false,
        token,
    };
    let note = {
        let (shared, row) = (shared.clone(), row.clone());
        async move {
            let made = shared.store.create(&row, clock::wall_ms()).await;
            down(made).map(|made| made.is_ok().then_some(row.connection))
        }
    };
    detached(begin(shared, row, screen, note)).await
}

/// Takes a session over in the store and begins to start it here; `None` if
/// somebody was faster.
pub async fn take_over(
    shared: Arc<Shared>,
    old: SessionRow,
    count: bool,
    screen: Screen,
) -> Result<Option<Begun>, Down> {
    let owner = shared.config.name.clone();
    let row =
        SessionRow { owner: owner.clone(), epoch: old.epoch.next(), endpoint: None, ..old.clone() };
    let note = {
        let shared = shared.clone();
        async move {
            let now_ms = clock::wall_ms();
            down(shared.store.take_over(old.id, old.epoch, &owner, count, now_ms).await)
        }
    };
    detached(begin(shared, row, screen, note)).await
}

/// Runs to its end whether or not somebody still waits for it.
async fn detached(
    begin: impl Future<Output = Result<Option<Begun>, Down>> + Send + 'static,
) -> Result<Option<Begun>, Down> {
    tokio::spawn(begin).await.unwrap_or(Ok(None))
}

/// Takes a place for the session before the store is told, so that no server
/// hears "not here" from us about a session that the store says is ours.
async fn begin(
    shared: Arc<Shared>,
    mut row: SessionRow,
    screen: Screen,
    note: impl Future<Output = Result<Option<u64>, Down>>,
) -> Result<Option<Begun>, Down> {
    let (session, epoch) = (row.id, row.epoch);
    let hash = shared.group_key.token_hash(&row.token);
    let placed =
        lock(&shared.table).reserve(session, epoch, row.token.clone(), hash, row.connection);
    if placed.is_err() {
        return Ok(None);
    }
    let (sender, outcome) = watch::channel(None);
    lock(&shared.starts).insert((session, epoch), outcome.clone());
    let noted = note.await;
    let Ok(Some(connection)) = noted else {
        forget(&shared, session, epoch);
        return noted.map(|_| None);
    };
    row.connection = connection;
    super::placing::note_seen(&shared, session, epoch);
    lock(&shared.table).counted(session, epoch, connection);
    tokio::spawn(async move {
        let ended = perform(&shared, &row, &screen).await;
        if let Err(text) = &ended {
            tracing::error!("session {session:?} epoch {epoch} did not start: {text}");
            lock(&shared.table).remove(session, epoch);
            // What was never there is over. What was taken over is lost, and
            // the next insert tries again.
            if epoch == Epoch::FIRST {
                let owner = &shared.config.name;
                let _ = down(shared.store.end(session, epoch, owner, clock::wall_ms()).await);
            }
        }
        // Nobody may wait for it any more.
        let _ = sender.send(Some(ended));
        lock(&shared.starts).remove(&(session, epoch));
    });
    Ok(Some(Begun { session, epoch, connection, outcome }))
}

fn forget(shared: &Shared, session: SessionId, epoch: Epoch) {
    lock(&shared.table).remove(session, epoch);
    lock(&shared.starts).remove(&(session, epoch));
}

/// The token's home: its name is a hash, so that a listing gives no token
/// away.
fn home_of(shared: &Shared, token: &Token) -> PathBuf {
    let hash = shared.group_key.token_hash(token);
    shared.config.home_root.join(hex(&hash[..16]))
}

async fn perform(
    shared: &Arc<Shared>,
    row: &SessionRow,
    screen: &Screen,
) -> Result<SocketAddrV4, String> {
    let dir = keepers::session_dir(&shared.config.runtime_dir, row.id, row.epoch);
    let home = PathBuf::from(&row.home);
    let make = |path: &Path| {
        private_dir(path).map_err(|e| format!("cannot make the directory {}: {e}", path.display()))
    };
    // The epoch is new, so what is there can only be a failed attempt's.
    if let Err(e) = std::fs::remove_dir_all(&dir)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(format!("cannot clear the directory {}: {e}", dir.display()));
    }
    make(&dir)?;
    make(&home)?;
    let spec = spec(shared, row, screen, &dir)?;
    let port = spawn_keeper(shared, spec, &dir).await?;
    let endpoint = SocketAddrV4::new(shared.advertise, port);
    keepers::connect(shared, &dir, keepers::Expect::Started).await.map_err(|e| {
        format!("the session started, but its keeper cannot be reached at {}: {e}", dir.display())
    })?;
    let (id, epoch) = (row.id, row.epoch);
    // Before a DTU is told, so that another server can care for it from its
    // first moment on. A store that is slow does not hold it up for long.
    let noted = tokio::spawn(keepers::note_endpoint(shared.clone(), id, epoch, endpoint));
    let _ = tokio::time::timeout(NOTE_TIME, noted).await;
    tracing::info!("session {id:?} epoch {epoch} runs at {endpoint}");
    Ok(endpoint)
}

fn spec(
    shared: &Shared,
    row: &SessionRow,
    screen: &Screen,
    dir: &Path,
) -> Result<SessionSpec, String> {
    let config = &shared.config;
    let role = Role::Session { id: row.id, epoch: row.epoch };
    let credentials =
        shared.authority.issue(&role).map_err(|e| format!("no certificate for a session: {e}"))?;
    let certificate = credentials.chain.first().map(|c| c.to_vec()).unwrap_or_default();
    let clocks = lock(&shared.group.manager)
        .topology()
        .hosts()
        .map(|host| ClockAhead { server: host.message.host.clone(), ahead_ms: host.ahead_ms })
        .collect();
    let (width, height) = (u32::from(screen.size.width_px()), u32::from(screen.size.height_px()));
    Ok(SessionSpec {
        session: row.id,
        epoch: row.epoch,
        server: config.name.clone(),
        token: row.token.clone(),
        runtime_dir: dir.display().to_string(),
        home_dir: row.home.clone(),
        desktop: CommandLine(row.desktop.clone()),
        size_max: config.size_max,
        size: Size::clamped(width, height, config.size_max),
        keymap: screen.keymap.clone(),
        listen: SocketAddrV4::new(config.listen, config.session_ports.0),
        port_last: config.session_ports.1,
        certificate: Der(certificate.into()),
        certificate_key: Der(credentials.key.secret_pkcs8_der().to_vec().into()),
        authority: Der(shared.authority.certificate().to_vec().into()),
        ticket_key: shared.signer.verifier().0,
        clocks: Clocks { ahead: clocks },
        hold: false,
    })
}

/// Starts the keeper, hands it the spec and waits for its report.
async fn spawn_keeper(shared: &Shared, spec: SessionSpec, dir: &Path) -> Result<u16, String> {
    let program = shared.config.session_program.display();
    let log = dir.join("keeper.log");
    let log_file = std::fs::File::create(&log)
        .map_err(|e| format!("cannot make the log {}: {e}", log.display()))?;
    let mut keeper = tokio::process::Command::new(&shared.config.session_program)
        .arg("keeper")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log_file)
        // A signal from our terminal is not for it.
        .process_group(0)
        .spawn()
        .map_err(|e| format!("cannot run {program}: {e}; see session_program"))?;
    let (stdin, stdout) = (keeper.stdin.take(), keeper.stdout.take());
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(format!("{program} has no pipes"));
    };
    let talk = async {
        let mut writer = MessageWriter::<_, SessionSpec>::new(stdin);
        writer.send(spec).await.map_err(|e| e.to_string())?;
        // Its end of the pipe closes only when it goes.
        drop(writer);
        let mut reader = MessageReader::<_, Started>::new(stdout);
        reader.next().await.map_err(|e| e.to_string())
    };
    let report = tokio::time::timeout(START_TIME, talk).await;
    let see = format!("see {}", log.display());
    let result = match report {
        Ok(Ok(Some(Started::Ready { port }))) => Ok(port),
        Ok(Ok(Some(Started::Prepared))) => Err(format!("the session's start was held; {see}")),
        Ok(Ok(Some(Started::Failed { text }))) => Err(text),
        Ok(Ok(None)) => Err(format!("the session's keeper ended before it was ready; {see}")),
        Ok(Err(e)) => Err(format!("the session's keeper gave no report: {e}; {see}")),
        Err(_) => Err(format!("the session was not ready in {} s; {see}", START_TIME.as_secs())),
    };
    if result.is_err() {
        // It may have ended by itself already.
        let _ = keeper.start_kill();
    }
    // As long as we are here, we are its parent and have to hear of its end.
    tokio::spawn(async move { keeper.wait().await });
    result
}
