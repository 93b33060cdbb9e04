//! Servers that write all the time and remember what was acknowledged.

use crate::place::{row, token};
use afterglow_server::store::Store;
use afterglow_wire::ids::SessionId;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

const WRITERS: u8 = 4;
/// How often each session is connected.
const CONNECTIONS: u64 = 4;

/// The writers.
pub struct Load {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    failures: AtomicU64,
    /// Each session that was acknowledged, with the highest count of
    /// connections that was.
    acknowledged: Mutex<BTreeMap<SessionId, (String, u64)>>,
}

impl Load {
    pub fn start(store: &Store) -> Self {
        let shared = Arc::<Shared>::default();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(store.clone(), writer, shared.clone()));
        }
        Load { shared, writers }
    }

    /// How many sessions were acknowledged.
    pub fn sessions(&self) -> usize {
        self.shared.acknowledged().len()
    }

    /// Waits for more of them.
    pub async fn go_on(&self, sessions: usize) -> Result<Duration> {
        let wanted = self.sessions() + sessions;
        let what = format!("{sessions} more sessions");
        crate::place::until(&what, Duration::from_secs(20), async || self.sessions() >= wanted)
            .await
    }

    /// Ends it, and checks that nothing is missing; gives how many sessions
    /// there are, and how many writes failed.
    pub async fn check(mut self, store: &Store) -> Result<(usize, u64)> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.writers.join_next().await {
            ended?;
        }
        let acknowledged = std::mem::take(&mut *self.shared.acknowledged());
        for (id, (of, count)) in &acknowledged {
            let found = store.session(*id).await?;
            let found = found.with_context(|| format!("the session of {of} is lost"))?;
            ensure!(found.connection >= *count, "{of}: {} is below {count}", found.connection);
            // What was not acknowledged was done whole, or not at all.
            ensure!(found.connection <= CONNECTIONS, "{of}: {}", found.connection);
            let (of_token, _) = store.token_session(&token(of), None).await?;
            ensure!(of_token == Some(found));
        }
        Ok((acknowledged.len(), self.shared.failures.load(Ordering::Relaxed)))
    }
}

impl Shared {
    fn acknowledged(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, (String, u64)>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(store: Store, writer: u8, shared: Arc<Shared>) {
    for number in 0_u64.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let of = format!("soft.w{writer}-{number}");
        let mut row = row(writer, &of, "mud");
        row.id.0[8..].copy_from_slice(&number.to_be_bytes());
        let mut answer = store.create(&row, true, 1).await;
        for _ in 1..=CONNECTIONS {
            match answer {
                Ok(Some(count)) => {
                    shared.acknowledged().insert(row.id, (of.clone(), count));
                }
                // It may have been done all the same.
                Ok(None) => panic!("{of}: nobody else writes about it"),
                Err(_) => {
                    shared.failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    break;
                }
            }
            if shared.acknowledged().get(&row.id).is_some_and(|(_, count)| *count < CONNECTIONS) {
                answer = store.connect((row.id, row.epoch), 2).await;
            }
        }
    }
}
