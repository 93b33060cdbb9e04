//! The proof that the home folders are shared, on the disk and in time: writes
//! our file, reads the others', and tells the core what
//! [`crate::group::homes`] makes of it.
//!
//! The file system may be another host's, and hang. So whatever touches it has
//! a thread of its own, one at a time: while one hangs there is no second, and
//! what it was to find is not known.

mod proof;

use super::driver::Query;
use super::{Shared, clock};
use crate::core::Event;
use crate::group::homes::{Found, Homes, KnownHomes, Mark, Sharing};
use proof::Proofs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often there is a look at what is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often our file is written anew, in milliseconds.
const WRITE_EVERY_MS: u64 = 600_000;
/// How often it is tried again, where that fails.
const WRITE_AGAIN_MS: u64 = 30_000;
/// How long the file system may take.
const HAND_TIME: Duration = Duration::from_secs(5);

/// Goes on for as long as the server runs.
pub async fn keep(shared: Arc<Shared>) {
    let config = &shared.config;
    let mut keeper = Keeper {
        proofs: Proofs::new(&config.home_root, &config.name),
        hand: Hand::new(HAND_TIME),
        homes: Homes::default(),
        own: None,
        trouble: String::new(),
        write_at_ms: 0,
        shared: shared.clone(),
    };
    let mut told = KnownHomes::default();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        keeper.write_if_due().await;
        keeper.read_those_that_are_due().await;
        let known = KnownHomes { own: keeper.own, others: keeper.homes.others() };
        if known != told {
            shared.tell(Event::Homes(known.clone())).await;
            told = known;
        }
    }
}

struct Keeper {
    shared: Arc<Shared>,
    proofs: Proofs,
    hand: Hand,
    homes: Homes,
    own: Option<Mark>,
    /// Why our file could not be written, if the log has that.
    trouble: String,
    write_at_ms: u64,
}

impl Keeper {
    async fn write_if_due(&mut self) {
        let now_ms = self.shared.clock.now().steady_ms;
        if now_ms < self.write_at_ms {
            return;
        }
        let (proofs, nonce) = (self.proofs.clone(), clock::random::<32>());
        let written = self.hand.does(move || proofs.write(&nonce)).await;
        let written = written.unwrap_or_else(Err);
        self.own = written.as_ref().ok().copied();
        let again_ms = if self.own.is_some() { WRITE_EVERY_MS } else { WRITE_AGAIN_MS };
        self.write_at_ms = now_ms.saturating_add(again_ms);
        let trouble = written.err().unwrap_or_default();
        if trouble != self.trouble && !trouble.is_empty() {
            tracing::warn!("home_root: {trouble}; other servers cannot see whether they share it");
        }
        self.trouble = trouble;
    }

    async fn read_those_that_are_due(&mut self) {
        let (to, heard) = oneshot::channel();
        let _ = self.shared.queries.send(Query::Homes(to)).await;
        let Ok(heard) = heard.await else { return };
        let now_ms = self.shared.clock.now().steady_ms;
        self.homes.keep(|name| heard.known.contains(name));
        self.homes.hear(&heard.up, now_ms);
        while let Some(server) = self.homes.next(&heard.up, now_ms) {
            let (proofs, whose) = (self.proofs.clone(), server.clone());
            let found = self.hand.does(move || proofs.read(&whose)).await;
            let found = found.unwrap_or_else(Found::Failed);
            let now_ms = self.shared.clock.now().steady_ms;
            match self.homes.found(&server, found, now_ms) {
                Some(Sharing::Shared) => tracing::info!("home_root is shared with {server}"),
                Some(Sharing::NotShared(text)) => tracing::warn!(
                    "home_root is not shared with {server}: {text}. A session that is taken over \
                     from there finds none of its user's files; let home_root be the same file \
                     system on all servers of the group"
                ),
                Some(Sharing::Unknown(text)) => {
                    tracing::warn!(
                        "it is not known whether home_root is shared with {server}: {text}"
                    );
                }
                None => {}
            }
        }
    }
}

/// What touches the file system: one thread at a time.
struct Hand {
    busy: Arc<AtomicBool>,
    /// How long it may take.
    limit: Duration,
}

impl Hand {
    fn new(limit: Duration) -> Self {
        Hand { busy: Arc::default(), limit }
    }

    /// What comes of the work; else why nothing does.
    async fn does<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err("the file system still hangs".into());
        }
        let (to, done) = oneshot::channel();
        let busy = self.busy.clone();
        // Not one of the runtime's threads: those it may wait for when it ends.
        let begun = std::thread::Builder::new().name("home-root".into()).spawn(move || {
            let result = work();
            busy.store(false, Ordering::Release);
            // Nobody waits for what comes too late.
            let _ = to.send(result);
        });
        if let Err(e) = begun {
            self.busy.store(false, Ordering::Release);
            return Err(format!("cannot start a thread: {e}"));
        }
        match tokio::time::timeout(self.limit, done).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => {
                self.busy.store(false, Ordering::Release);
                Err("the look at it failed".into())
            }
            Err(_) => Err(format!("the file system gives no answer in {:?}", self.limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_one_thread_hangs_there_is_no_second() {
        let mut hand = Hand::new(HAND_TIME);
        assert_eq!(hand.does(|| 7).await, Ok(7));
        let (go_on, hangs) = std::sync::mpsc::channel::<()>();
        let (went, ended) = oneshot::channel();
        hand.limit = Duration::from_millis(20);
        let late = hand.does(move || {
            let _ = hangs.recv();
            let _ = went.send(());
        });
        assert!(late.await.expect_err("late").contains("no answer in 20ms"));
        hand.limit = HAND_TIME;
        assert_eq!(hand.does(|| 7).await, Err("the file system still hangs".into()));
        drop(go_on);
        ended.await.expect("it ends");
        // The flag falls a moment after.
        while hand.busy.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert_eq!(hand.does(|| 7).await, Ok(7));
    }
}
