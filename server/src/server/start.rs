//! The processes of a session that is started: its directories, its keeper.
//!
//! A start may be made ready before it is wanted: then the keeper brings the X
//! server up, touches nothing of the user's, and waits for its order.

use super::{Shared, keepers, lock, private_dir};
use crate::core::{Event, Launch};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_wire::ids::{Epoch, SessionId, Size};
use afterglow_wire::local::{CommandLine, Der, SessionSpec, StartOrder, Started};
use afterglow_wire::trust::Role;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::oneshot;

/// How long a keeper has to bring its session up, once that is wanted.
const START_TIME: Duration = Duration::from_secs(10);
/// How long a keeper has to clear away what it made ready.
const GIVE_UP_TIME: Duration = Duration::from_secs(5);
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
    let row = &launch.row;
    let dir = keepers::session_dir(&shared.config.runtime_dir, row.id, row.epoch);
    // The epoch is new, so what is there can only be a failed attempt's.
    if let Err(e) = std::fs::remove_dir_all(&dir)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(format!("cannot clear the directory {}: {e}", dir.display()));
    }
    make(&dir)?;
    let hold = ordered.is_some();
    let home = PathBuf::from(&row.home);
    if !hold {
        make(&home)?;
    }
    let mut keeper = Keeper::spawn(shared, spec(shared, launch, &dir, hold)?, &dir).await?;
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

fn make(path: &Path) -> Result<(), String> {
    private_dir(path).map_err(|e| format!("cannot make the directory {}: {e}", path.display()))
}

fn spec(shared: &Shared, launch: &Launch, dir: &Path, hold: bool) -> Result<SessionSpec, String> {
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
        ticket_key: shared.ticket_key,
        clocks: launch.clocks.clone(),
        hold,
        services: launch.services.iter().cloned().collect(),
    })
}

/// A keeper that is being started, and its log.
struct Keeper {
    process: Option<Child>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    log: PathBuf,
}

impl Keeper {
    /// Starts the keeper and hands it the spec.
    async fn spawn(shared: &Shared, spec: SessionSpec, dir: &Path) -> Result<Self, String> {
        let program = shared.config.session_program.display();
        let log = dir.join("keeper.log");
        let log_file = std::fs::File::create(&log)
            .map_err(|e| format!("cannot make the log {}: {e}", log.display()))?;
        let mut process = tokio::process::Command::new(&shared.config.session_program)
            .arg("keeper")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // A signal from our terminal is not for it.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot run {program}: {e}; see session_program"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(format!("{program} has no pipes"));
        };
        let mut writer = MessageWriter::<_, SessionSpec>::new(&mut stdin);
        if let Err(e) = writer.send(spec).await {
            return Err(format!("the session's keeper took no description: {e}"));
        }
        Ok(Keeper { process: Some(process), stdin: Some(stdin), stdout, log })
    }

    /// Lets it clear away what it started, and waits until it has.
    async fn give_up(mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Without an order its standard input closes, and that is one too;
        // once it has its order a signal ends it.
        self.stdin = None;
        let pid = process.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
        if let Some(pid) = pid {
            // It may have ended by itself already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(GIVE_UP_TIME, process.wait()).await.is_err() {
            // It may have ended by itself just now.
            let _ = process.kill().await;
        }
    }

    /// Lets it go on, if it holds, and waits for its report.
    async fn go(&mut self, holds: bool) -> Result<u16, String> {
        let talk = async {
            if let Some(stdin) = self.stdin.as_mut().filter(|_| holds) {
                let mut writer = MessageWriter::<_, StartOrder>::new(stdin);
                writer.send(StartOrder::Go).await.map_err(|e| e.to_string())?;
            }
            let mut reader = MessageReader::<_, Started>::new(&mut self.stdout);
            loop {
                match reader.next().await.map_err(|e| e.to_string())? {
                    Some(Started::Prepared) => {}
                    report => return Ok::<_, String>(report),
                }
            }
        };
        let report = tokio::time::timeout(START_TIME, talk).await;
        let see = format!("see {}", self.log.display());
        match report {
            Ok(Ok(Some(Started::Ready { port }))) => Ok(port),
            Ok(Ok(Some(Started::Failed { text }))) => Err(text),
            Ok(Ok(_)) => Err(format!("the session's keeper ended before it was ready; {see}")),
            Ok(Err(e)) => Err(format!("the session's keeper gave no report: {e}; {see}")),
            Err(_) => {
                Err(format!("the session was not ready in {} s; {see}", START_TIME.as_secs()))
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // As long as we are here, we are its parent and have to hear of its
        // end.
        if let Some(mut process) = self.process.take() {
            tokio::spawn(async move { process.wait().await });
        }
    }
}
