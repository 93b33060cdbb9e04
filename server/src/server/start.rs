//! A session's start: who waits for its order, its home, its keeper.
//!
//! A start may be made ready before it is wanted: then the keeper brings the X
//! server up, touches nothing of the user's, and waits for its order.

use super::keeper_process::Keeper;
use super::{Shared, keepers, lock, private_dir, warm};
use crate::core::{Event, Launch};
use afterglow_wire::ids::{Epoch, SessionId, Size};
use afterglow_wire::local::{CommandLine, Der, KeeperStart, SessionSpec, StartOrder};
use afterglow_wire::trust::Role;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a start is kept ready before it is given up.
const READY_TIME: Duration = Duration::from_secs(30);

/// The last attempt to start a copy.
#[derive(Debug)]
pub struct StartEntry {
    /// Its number among the attempts at this copy.
    attempt: u64,
    /// Takes the order, if it has not been given.
    order: Option<oneshot::Sender<StartOrder>>,
    /// Attempts at one copy use one directory, so each waits for the end of
    /// the one before.
    turn: Arc<tokio::sync::Mutex<()>>,
}

type Copy = (SessionId, Epoch);

/// Makes a session ready, as far as nothing of the user's is touched.
pub fn prepare(shared: &Arc<Shared>, launch: Launch) {
    let (order, ordered) = oneshot::channel();
    attempt(shared, launch, Some(order), Some(ordered));
}

/// Gives up what was made ready, if it was.
pub fn discard(shared: &Shared, copy: Copy) {
    give_order(shared, copy, StartOrder::Discard);
}

/// Starts a session, made ready or not.
pub fn start(shared: &Arc<Shared>, launch: Launch) {
    if !give_order(shared, (launch.row.id, launch.row.epoch), StartOrder::Go) {
        attempt(shared, launch, None, None);
    }
}

/// False if nothing that was made ready waits for an order.
fn give_order(shared: &Shared, copy: Copy, order: StartOrder) -> bool {
    let mut starts = lock(&shared.starts);
    let sender = starts.get_mut(&copy).and_then(|entry| entry.order.take());
    sender.is_some_and(|sender| sender.send(order).is_ok())
}

/// Begins an attempt. One before it that still waits for its order loses it,
/// and ends.
fn attempt(
    shared: &Arc<Shared>,
    launch: Launch,
    order: Option<oneshot::Sender<StartOrder>>,
    ordered: Option<oneshot::Receiver<StartOrder>>,
) {
    let copy = (launch.row.id, launch.row.epoch);
    let mut starts = lock(&shared.starts);
    let before = starts.remove(&copy).map(|entry| (entry.attempt, entry.turn));
    let (last, turn) = before.unwrap_or_default();
    let number = last + 1;
    starts.insert(copy, StartEntry { attempt: number, order, turn: turn.clone() });
    drop(starts);
    let shared = shared.clone();
    tokio::spawn(async move {
        let turn = turn.lock().await;
        run(&shared, number, launch, ordered).await;
        drop(turn);
    });
}

/// One attempt, from its directories to the news of its end.
async fn run(
    shared: &Arc<Shared>,
    number: u64,
    launch: Launch,
    ordered: Option<oneshot::Receiver<StartOrder>>,
) {
    let (session, epoch) = (launch.row.id, launch.row.epoch);
    let result = perform(shared, &launch, ordered).await;
    {
        let mut starts = lock(&shared.starts);
        if starts.get(&(session, epoch)).is_some_and(|last| last.attempt == number) {
            starts.remove(&(session, epoch));
        }
    }
    if let Some(result) = result.transpose() {
        shared.tell(Event::Started { session, epoch, result }).await;
    }
}

/// The display link's port; nothing if it was not wanted after all.
async fn perform(
    shared: &Arc<Shared>,
    launch: &Launch,
    ordered: Option<oneshot::Receiver<StartOrder>>,
) -> Result<Option<u16>, String> {
    let hold = ordered.is_some();
    let home = PathBuf::from(&launch.row.home);
    if !hold {
        make(&home)?;
    }
    let mut keeper = begin(shared, launch, hold).await?;
    if let Some(ordered) = ordered {
        let order = tokio::time::timeout(READY_TIME, ordered).await;
        let Ok(Ok(StartOrder::Go)) = order else {
            keeper.give_up().await;
            return Ok(None);
        };
        make(&home)?;
    }
    let started = async {
        let port = keeper.go(hold).await?;
        let dir = keeper.dir().to_owned();
        keepers::connect(shared, &dir, keepers::Expect::Started).await.map_err(|e| {
            format!("the session started, but its keeper does not answer at {}: {e}", dir.display())
        })?;
        Ok(Some(port))
    };
    let result = started.await;
    if result.is_err() {
        // Nothing of a session that did not come to be is left running.
        keeper.give_up().await;
    }
    result
}

/// A keeper for the session: a warm one, if one waits.
async fn begin(shared: &Arc<Shared>, launch: &Launch, hold: bool) -> Result<Keeper, String> {
    if let Some(mut warm) = warm::take(shared) {
        let dir = warm.dir().display().to_string();
        match warm.be(spec(shared, launch, dir, hold)?).await {
            Ok(()) => return Ok(warm),
            Err(e) => {
                tracing::warn!("a warm X server's keeper takes no session: {e}");
                warm.give_up().await;
            }
        }
    }
    Keeper::spawn(shared, |dir| {
        Ok(KeeperStart::Session(Box::new(spec(shared, launch, dir, hold)?)))
    })
    .await
}

fn make(path: &Path) -> Result<(), String> {
    private_dir(path).map_err(|e| format!("cannot make the directory {}: {e}", path.display()))
}

fn spec(
    shared: &Shared,
    launch: &Launch,
    runtime_dir: String,
    hold: bool,
) -> Result<SessionSpec, String> {
    let (config, row, screen) = (&shared.config, &launch.row, &launch.screen);
    let role = Role::Session { id: row.id, epoch: row.epoch };
    let credentials =
        shared.authority.issue(&role).map_err(|e| format!("no certificate for a session: {e}"))?;
    let certificate = credentials.chain.first().map(|c| c.to_vec()).unwrap_or_default();
    let (width, height) = (u32::from(screen.size.width_px()), u32::from(screen.size.height_px()));
    Ok(SessionSpec {
        session: row.id,
        epoch: row.epoch,
        server: config.name.clone(),
        token: row.token.clone(),
        runtime_dir,
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
        ticket_key: shared.ticket_key,
        clocks: launch.clocks.clone(),
        hold,
        services: launch.services.iter().cloned().collect(),
    })
}
