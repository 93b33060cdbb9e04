//! The start of a session: its directories, its keeper, its place among those
//! on this host.
//!
//! A start may be made ready before it is wanted: then the keeper brings the X
//! server up, touches nothing of the user's, and waits for its order.

use super::keeper_process::KeeperProcess;
use super::{Shared, keepers, lock, private_dir, warm};
use crate::core::{Event, Launch};
use afterglow_wire::ids::{Epoch, SessionId, Size};
use afterglow_wire::local::{Become, CommandLine, Der, SessionSpec, StartOrder, ToKeeper};
use afterglow_wire::trust::Role;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
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
    /// Attempts at one copy must not bring two up, so each waits for the end
    /// of the one before.
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
    let began = Instant::now();
    let hold = ordered.is_some();
    let home = PathBuf::from(&launch.row.home);
    if !hold {
        make_home(&home)?;
    }
    let ready = warm::take(shared);
    let was_warm = ready.is_some();
    let mut keeper = match ready {
        Some(keeper) => keeper,
        None => KeeperProcess::new(shared)?,
    };
    let ready = match spec(shared, launch, keeper.path(), hold) {
        Ok(spec) => keeper.be(spec).await,
        Err(text) => Err(text),
    };
    if let Err(text) = ready {
        keeper.give_up().await;
        return Err(text);
    }
    if let Some(ordered) = ordered {
        let order = tokio::time::timeout(READY_TIME, ordered).await;
        let Ok(Ok(StartOrder::Go)) = order else {
            keeper.give_up().await;
            return Ok(None);
        };
        if let Err(text) = make_home(&home) {
            keeper.give_up().await;
            return Err(text);
        }
    }
    let started = async {
        let port = keeper.go(hold).await?;
        let dir = keeper.let_go()?;
        let path = dir.path();
        keepers::connect(shared, dir, keepers::Expect::Started).await.map_err(|e| {
            let place = path.display();
            format!("the session started, but its keeper does not answer at {place}: {e}")
        })?;
        Ok(Some(port))
    };
    let result = started.await;
    match &result {
        // Nothing of a session that did not come to be is left running.
        Err(_) => keeper.give_up().await,
        Ok(_) => tracing::info!(
            "session {:?} epoch {} started in {:.0?}{}",
            launch.row.id,
            launch.row.epoch,
            began.elapsed(),
            if was_warm { ", with an X server that waited" } else { "" },
        ),
    }
    result
}

fn make_home(home: &Path) -> Result<(), String> {
    private_dir(home).map_err(|e| {
        format!(
            "the home directory {} is not there and cannot be made: {e}; its file system has to \
             be mounted and writable",
            home.display()
        )
    })
}

fn spec(shared: &Shared, launch: &Launch, dir: &Path, hold: bool) -> Result<SessionSpec, String> {
    let (config, row, screen) = (&shared.config, &launch.row, &launch.screen);
    let (certificate, certificate_key) = certificate(shared, row.id, row.epoch)?;
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
        certificate,
        certificate_key,
        authority: Der(shared.authority.certificate().to_vec().into()),
        ticket_key: shared.ticket_key,
        clocks: launch.clocks.clone(),
        hold,
        services: launch.services.iter().cloned().collect(),
        ran: row.services.iter().cloned().collect(),
        quality: config.quality,
    })
}

/// Lets an earlier copy on this host go on as a session of its own.
pub fn adopt(shared: &Shared, copy: Copy, becomes: SessionId) {
    let epoch = Epoch::FIRST;
    match certificate(shared, becomes, epoch) {
        Ok((certificate, certificate_key)) => {
            let message = Become { session: becomes, epoch, certificate, certificate_key };
            keepers::tell(shared, copy, ToKeeper::Become(message));
        }
        Err(text) => tracing::error!("{text}"),
    }
}

/// A session's certificate, and its key.
fn certificate(shared: &Shared, id: SessionId, epoch: Epoch) -> Result<(Der, Der), String> {
    let issued = shared.authority.issue(&Role::Session { id, epoch });
    let credentials = issued.map_err(|e| format!("no certificate for a session: {e}"))?;
    let certificate = credentials.chain.first().map(|c| c.to_vec()).unwrap_or_default();
    let key = credentials.key.secret_pkcs8_der().to_vec();
    Ok((Der(certificate.into()), Der(key.into())))
}
