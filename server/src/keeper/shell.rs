//! How a keeper begins and ends: its description, the signals, and the report
//! of how the start went.

use super::minding::Keeper;
use super::noted::{self, Part};
use super::preparing::NotStarted;
use super::{ending, session_dir, start_link};
use afterglow_wire::local::{KeeperStart, Started};
use anyhow::Context as _;
use std::path::PathBuf;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Keeps one session until it is over. Its description comes on the standard
/// input; how the start went is told on the standard output.
pub fn run() -> anyhow::Result<()> {
    // Fails only for the leader of a group, which has a session already.
    let _ = rustix::process::setsid();
    let start = start_link::read_start().context("cannot read the session's description")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(keep(start))
}

async fn keep(start: KeeperStart) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let dir = PathBuf::from(match &start {
        KeeperStart::Session(spec) => &spec.runtime_dir,
        KeeperStart::Warm(spec) => &spec.runtime_dir,
    });
    noted::note(&dir, Part::Keeper, rustix::process::getpid());
    let keeper = match Keeper::start(start, &mut signals).await {
        Ok(keeper) => keeper,
        Err(why) => {
            ending::kill_marked(&session_dir::mark(&dir)).await;
            if let Err(text) = ending::remove_dir(&dir) {
                tracing::warn!("{text}");
            }
            return not_started(why);
        }
    };
    let told = start_link::report(&Started::Ready { port: keeper.port() });
    if let Err(error) = told.and_then(|()| Ok(start_link::let_go()?)) {
        // A server that comes back finds the session by its directory.
        tracing::warn!("the server went away during the start: {error:#}");
    }
    keeper.keep(signals).await;
    Ok(())
}

/// What is said once nothing is left of a start.
fn not_started(why: NotStarted) -> anyhow::Result<()> {
    match why {
        NotStarted::GivenUp(why) => {
            tracing::info!("the session's start is given up: {why}");
            Ok(())
        }
        NotStarted::Failed(text) => {
            tracing::error!("the session cannot start: {text}");
            start_link::report(&Started::Failed { text })?;
            // The report and the log say it; this is how it ends.
            std::process::exit(1);
        }
    }
}

/// The signals that mean something to a keeper.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Taken and ignored: a keeper has no terminal to lose.
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until one says that the session is to end. Safe to cancel.
    pub async fn end(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {}
            }
        }
    }
}
