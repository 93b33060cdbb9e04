//! X servers that wait for a session, so that its first picture does not wait
//! for one: each with a keeper that has yet to hear which session it keeps.
//!
//! They are brought up one at a time while no session is being started, so
//! that nobody waits for them. One ends when this server does.

use super::keeper_process::KeeperProcess;
use super::{Shared, lock};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// How long nothing must have been started before one is brought up.
const QUIET: Duration = Duration::from_secs(2);
/// How often it is looked whether those that wait still live.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait after one that could not be brought up; twice as long
/// after each more.
const AGAIN_FIRST: Duration = Duration::from_secs(10);
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// Those that wait.
#[derive(Default)]
pub struct Pool {
    waiting: Mutex<Vec<KeeperProcess>>,
    taken: Notify,
}

/// Takes one, if one waits.
pub fn take(shared: &Shared) -> Option<KeeperProcess> {
    let mut waiting = lock(&shared.warm.waiting);
    let found = std::iter::from_fn(|| waiting.pop()).find_map(|mut keeper| {
        let lives = keeper.lives();
        lives.then_some(keeper)
    });
    shared.warm.taken.notify_one();
    found
}

/// Keeps as many waiting as are wanted, for as long as the server runs.
pub async fn keep_waiting(shared: Arc<Shared>) {
    let wanted = shared.config.warm_x_servers;
    if wanted == 0 {
        return std::future::pending().await;
    }
    let mut again = AGAIN_FIRST;
    loop {
        let missing = {
            let mut waiting = lock(&shared.warm.waiting);
            waiting.retain_mut(KeeperProcess::lives);
            waiting.len() < wanted
        };
        if !missing {
            // Somebody takes one, or one dies.
            let _ = tokio::time::timeout(LOOK_EVERY, shared.warm.taken.notified()).await;
            continue;
        }
        if !is_quiet(&shared).await {
            continue;
        }
        match bring_up(&shared).await {
            Ok(keeper) => {
                lock(&shared.warm.waiting).push(keeper);
                again = AGAIN_FIRST;
            }
            Err(text) => {
                tracing::warn!("no X server waits for sessions: {text}; next try in {again:?}");
                tokio::time::sleep(again).await;
                again = (again * 2).min(AGAIN_MAX);
            }
        }
    }
}

/// True if nothing is being started, and nothing was for a while.
async fn is_quiet(shared: &Shared) -> bool {
    let starts = || !lock(&shared.starts).is_empty();
    if starts() {
        tokio::time::sleep(QUIET).await;
        return false;
    }
    // The programs of the session that took the last one are starting now.
    let taken = tokio::time::timeout(QUIET, shared.warm.taken.notified()).await;
    taken.is_err() && !starts()
}

async fn bring_up(shared: &Arc<Shared>) -> Result<KeeperProcess, String> {
    let mut keeper = KeeperProcess::new(shared)?;
    match keeper.warm(shared).await {
        Ok(()) => Ok(keeper),
        Err(text) => {
            keeper.give_up().await;
            Err(text)
        }
    }
}
