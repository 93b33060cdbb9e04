//! X servers that wait for a session, so that its first picture does not wait
//! for one.
//!
//! Each has a keeper that is nobody's yet. It ends with its server, whose end
//! of its standard input it hears of.

use super::keeper_process::Keeper;
use super::{Shared, lock};
use afterglow_wire::local::{KeeperStart, WarmSpec};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

/// How long a new one waits after a session started, which has better use for
/// the processors.
const AFTER_START: Duration = Duration::from_millis(1_500);
/// How long to wait after one could not be started.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Takes one, if there is one.
pub fn take(shared: &Shared) -> Option<Keeper> {
    let keeper = lock(&shared.warm).pop();
    if keeper.is_some() {
        shared.warm_taken.notify_one();
    }
    keeper
}

/// Keeps as many as are configured, for as long as the server runs.
pub async fn keep(shared: Arc<Shared>) {
    loop {
        if lock(&shared.warm).len() < shared.config.warm_x_servers {
            if !lock(&shared.starts).is_empty() {
                tokio::time::sleep(AFTER_START).await;
                continue;
            }
            match start(&shared).await {
                Ok(keeper) => lock(&shared.warm).push(keeper),
                Err(text) => {
                    tracing::warn!("no X server can be kept warm: {text}");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        } else {
            shared.warm_taken.notified().await;
            tokio::time::sleep(AFTER_START).await;
        }
    }
}

async fn start(shared: &Arc<Shared>) -> Result<Keeper, String> {
    let config = &shared.config;
    let mut keeper = Keeper::spawn(shared, |runtime_dir| {
        Ok(KeeperStart::Warm(WarmSpec {
            runtime_dir,
            size_max: config.size_max,
            listen: SocketAddrV4::new(config.listen, config.session_ports.0),
            port_last: config.session_ports.1,
        }))
    })
    .await?;
    match keeper.prepared().await {
        Ok(()) => Ok(keeper),
        Err(text) => {
            keeper.give_up().await;
            Err(text)
        }
    }
}
