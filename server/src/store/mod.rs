//! What must outlive any server: tokens, users, sessions and their earlier
//! copies, in SQLite for one host or in PostgreSQL for a group.
//!
//! | module | what it holds |
//! | --- | --- |
//! | this | the store, and the time that each operation has |
//! | [`model`] | what it does, as a plain state machine |
//! | `perform` | the core's questions, and their answers |
//! | `sessions`, `copies`, `users` | the queries, the same for both databases |
//! | `row` | rows, and what in them is not valid |
//! | `open` | opening, and bringing the tables up to date |
//! | `connections` | the connections to the database |
//! | `absence` | since when and why the store is away |
//! | `error` | what can be wrong with it |
//!
//! A server that writes about a session names the epoch it believes in; if the
//! store knows a higher one the write changes nothing and says so. That is what
//! keeps a server that slept through a take-over from speaking for the session.
//!
//! What a write answers is read to the end of the database's answer: the rows
//! that it returns come before it is on the disk, or on the standby's.

mod absence;
mod connections;
mod copies;
mod error;
pub mod model;
mod open;
mod perform;
mod row;
mod sessions;
mod users;

pub use absence::Absence;
pub use error::StoreError;
pub use row::{CopyRow, SessionRow, UserRow, Wish};

use crate::config::StoreLocation;
use absence::{Access, Presence};
use afterglow_wire::ids::ServerName;
use connections::{Connections, Lease};
use error::{Corrupt, Fault};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How long an operation may take before the store counts as away.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(3_000);
/// Likewise, while it does.
const AWAY_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How many rows a listing has at most.
const LISTED_MAX: i64 = 4_096;
/// How many corrupt rows are told of in the log, each once.
const TOLD_MAX: usize = 256;

/// The store. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    location: StoreLocation,
    connections: Arc<Connections>,
    presence: Presence,
    /// Who we are, once it is known: whose row is written to try the store.
    server: OnceLock<ServerName>,
    /// The corrupt rows that the log has.
    told: Mutex<BTreeSet<Corrupt>>,
}

type Statement<'q> = Query<'q, Any, AnyArguments>;

impl Store {
    /// A boot number for this start: higher than all before, and not lower
    /// than the clock, so that it grows even after a lost disk.
    pub async fn next_boot(&self, server: &ServerName, now_ms: u64) -> Result<u64, StoreError> {
        let query = sqlx::query(
            "INSERT INTO boots (server, boot, tried_ms) VALUES ($1, $2, $2)
             ON CONFLICT (server) DO UPDATE SET boot = CASE
                 WHEN boots.boot + 1 > excluded.boot THEN boots.boot + 1
                 ELSE excluded.boot END
             RETURNING boot",
        )
        .bind(server.as_str().to_owned())
        .bind(number(now_ms));
        let boot = self.returning(query).await?;
        // The first name stays.
        let _ = self.inner.server.set(server.clone());
        Ok(boot.unwrap_or(now_ms))
    }

    /// Why and since when the store is away, if it is; of its reading and
    /// writing, or of its writing alone. While it is away it is looked for
    /// every second.
    pub fn health(&self) -> Option<Absence> {
        self.inner.presence.absence()
    }

    /// Closes the store, after what was begun.
    pub async fn close(&self) {
        self.inner.connections.close().await;
    }

    /// Tries whether the store can be used, and notes what comes of it.
    async fn try_out(&self, now_ms: u64) -> Result<(), StoreError> {
        match self.inner.server.get() {
            Some(server) => {
                let query = sqlx::query("UPDATE boots SET tried_ms = $2 WHERE server = $1");
                let query = query.bind(server.as_str().to_owned()).bind(number(now_ms));
                self.write(query).await.map(|_| ())
            }
            None => self.ask().await,
        }
    }

    /// Asks the store something, and notes what comes of it.
    async fn ask(&self) -> Result<(), StoreError> {
        self.read(sqlx::query("SELECT 1 FROM boots LIMIT 1")).await.map(|_| ())
    }

    /// What a query finds.
    async fn read(&self, query: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        self.in_time(Access::Read, async {
            let mut lease = self.lease().await?;
            let rows = query.fetch_all(&mut *lease).await?;
            lease.give_back();
            Ok(rows)
        })
        .await
    }

    /// Changes one row, or none: true if it did.
    async fn write(&self, query: Statement<'_>) -> Result<bool, StoreError> {
        self.in_time(Access::Write, async {
            let mut lease = self.lease().await?;
            let done = query.execute(&mut *lease).await?;
            lease.give_back();
            Ok(done.rows_affected() == 1)
        })
        .await
    }

    /// Changes one row, or none; gives the number that it returns.
    async fn returning(&self, query: Statement<'_>) -> Result<Option<u64>, StoreError> {
        self.in_time(Access::Write, async {
            let mut lease = self.lease().await?;
            let rows = query.fetch_all(&mut *lease).await?;
            lease.give_back();
            first_number(&rows)
        })
        .await
    }

    async fn lease(&self) -> Result<Lease, Fault> {
        self.inner.connections.lease().await
    }

    /// Does it in the time that there is, and notes how the store is.
    async fn in_time<T>(
        &self,
        access: Access,
        operation: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        let Inner { location, connections, presence, .. } = &*self.inner;
        let limit = presence.absence().map_or(OPERATION_TIMEOUT, |_| AWAY_TIMEOUT);
        let result = timeout(limit, operation).await.unwrap_or(Err(Fault::Slow));
        match result.map_err(|fault| fault.of(location)) {
            Ok(done) => {
                presence.succeeded(location, access);
                Ok(done)
            }
            Err(StoreError::Away { store, why }) => {
                connections.throw_away();
                presence.failed(location, access, why.clone());
                Err(StoreError::Away { store, why })
            }
            Err(e) => Err(e),
        }
    }

    /// Those rows that are valid; the others are told of.
    fn valid<T>(&self, rows: &[AnyRow], read: impl Fn(&AnyRow) -> Result<T, Corrupt>) -> Vec<T> {
        let rows = rows.iter().map(read);
        rows.filter_map(|row| row.map_err(|corrupt| self.tell(corrupt)).ok()).collect()
    }

    /// One row, which has to be valid.
    fn one<T>(
        &self,
        rows: &[AnyRow],
        read: impl Fn(&AnyRow) -> Result<T, Corrupt>,
    ) -> Result<Option<T>, StoreError> {
        let row = rows.first().map(read).transpose();
        row.map_err(|corrupt| {
            self.tell(corrupt.clone());
            Fault::Corrupt(corrupt).of(&self.inner.location)
        })
    }

    fn tell(&self, corrupt: Corrupt) {
        let mut told = self.inner.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX && told.insert(corrupt.clone()) {
            let error = Fault::Corrupt(corrupt).of(&self.inner.location);
            tracing::error!("{error}; until then it is as if it could not be read");
        }
    }
}

/// The number in the first row, if there is one.
fn first_number(rows: &[AnyRow]) -> Result<Option<u64>, Fault> {
    let number = rows.first().map(|row| row.try_get::<i64, _>(0)).transpose()?;
    Ok(number.map(|number| u64::try_from(number).unwrap_or_default()))
}

/// The databases' integers are signed; ours never come near their end.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Text that a person or another program chose. PostgreSQL knows no NUL in a
/// text.
fn text(text: &str) -> String {
    text.replace('\0', "")
}
