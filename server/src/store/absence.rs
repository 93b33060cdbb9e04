//! Whether the store is away: since when, why, and that it is back.

use super::Store;
use crate::config::StoreLocation;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a store that is away is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(1_000);

/// How often one that is there is asked, so that a server without sessions can
/// tell its administrator, too, that it went.
const ASK_EVERY: Duration = Duration::from_millis(5_000);

/// That the store is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What it last said, or that it says nothing; for users.
    pub why: String,
}

/// What an operation does; a store may still read where it cannot write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Looks.
    Read,
    /// Changes something.
    Write,
}

/// What is known of the store's presence.
#[derive(Debug, Default)]
pub(super) struct Presence {
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    absence: Absence,
    began: Instant,
    /// True if it was a write that failed: then only a write shows that it is
    /// back.
    for_writes: bool,
}

impl Presence {
    /// Why and since when it is away, if it is.
    pub fn absence(&self) -> Option<Absence> {
        self.state().as_ref().map(|state| state.absence.clone())
    }

    /// An operation failed because of the store.
    pub fn failed(&self, store: &StoreLocation, access: Access, why: String) {
        let mut state = self.state();
        match &mut *state {
            Some(state) => {
                state.absence.why = why;
                state.for_writes |= access == Access::Write;
            }
            None => {
                tracing::warn!(
                    "the store {store} is away: {why}; sessions go on, take-overs and new \
                     sessions wait for it"
                );
                let absence = Absence { since_ms: wall_ms(), why };
                let for_writes = access == Access::Write;
                *state = Some(State { absence, began: Instant::now(), for_writes });
            }
        }
    }

    /// An operation was done.
    pub fn succeeded(&self, store: &StoreLocation, access: Access) {
        let mut state = self.state();
        let shown = |state: &State| access == Access::Write || !state.for_writes;
        if state.as_ref().is_some_and(shown)
            && let Some(state) = state.take()
        {
            let away_ms = state.began.elapsed().as_millis();
            tracing::info!("the store {store} is back after {away_ms} ms");
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for a store that is away, so that its return is known before anybody
/// needs it, and now and then whether it went. Ends with the store.
pub(super) async fn look_for(store: Weak<super::Inner>) {
    let mut asked = Instant::now();
    while let Some(inner) = store.upgrade() {
        let is_away = inner.presence.absence().is_some();
        let store = Store { inner };
        // What comes of it is noted where it happens.
        if is_away {
            let _ = store.try_out(wall_ms()).await;
        } else if asked.elapsed() >= ASK_EVERY {
            let _ = store.ask().await;
            asked = Instant::now();
        }
        drop(store);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
