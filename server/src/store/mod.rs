//! What must outlive any server: tokens and sessions, in SQLite.
//!
//! A server that writes about a session names the epoch it believes in; if the
//! store knows a higher one the write changes nothing and says so. That is what
//! keeps a server that slept through a take-over from speaking for the session.

pub mod model;
mod row;

pub use row::{CopyRow, SessionRow, UserRow, Wish};

use crate::config::StoreLocation;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqlitePool};
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

/// How long a write waits for another server's.
const BUSY_TIMEOUT: Duration = Duration::from_millis(2_000);
/// How long an operation may take before the store counts as unreachable.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(3_000);
/// How often opening is tried again, and after which pause.
const OPEN_ATTEMPTS: u32 = 4;
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// Why the store does not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("the store {path} cannot be opened: {source}; check the path and its permissions")]
    Open {
        /// The file.
        path: String,
        /// What the database said.
        source: Box<sqlx::Error>,
    },
    /// Its tables cannot be brought up to date.
    #[error("the store {path} cannot be brought up to date: {source}")]
    Migrate {
        /// The file.
        path: String,
        /// What the database said.
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// It cannot be reached.
    #[error("the store cannot be reached: {0}")]
    Unreachable(Box<sqlx::Error>),
    /// It did not answer in time.
    #[error("the store did not answer in {} ms", OPERATION_TIMEOUT.as_millis())]
    Slow,
    /// It holds what is not valid.
    #[error("the store's {0} is not valid")]
    Corrupt(&'static str),
}

impl From<sqlx::Error> for StoreError {
    fn from(e: sqlx::Error) -> Self {
        StoreError::Unreachable(Box::new(e))
    }
}

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the store, which is made if it is not there.
    pub async fn open(location: &StoreLocation) -> Result<Self, StoreError> {
        let StoreLocation::Sqlite(path) = location else {
            return Err(StoreError::Corrupt("location"));
        };
        // Servers that start together on a new file get into each other's way
        // while it is made; the second look finds it done.
        for _ in 0..OPEN_ATTEMPTS {
            if let Ok(store) = Store::open_once(path).await {
                return Ok(store);
            }
            tokio::time::sleep(OPEN_PAUSE).await;
        }
        Store::open_once(path).await
    }

    async fn open_once(path: &Path) -> Result<Self, StoreError> {
        let name = || path.display().to_string();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With WAL a crash of the host may lose the last writes but spoils
            // nothing; FULL keeps an epoch that was announced.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(OPERATION_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(|e| StoreError::Open { path: name(), source: Box::new(e) })?;
        sqlx::migrate!("./migrations")
            .run(&pool)
            .await
            .map_err(|e| StoreError::Migrate { path: name(), source: Box::new(e) })?;
        Ok(Store { pool })
    }

    /// A boot number for this start: higher than all before, and not lower
    /// than the clock, so that it grows even after a lost disk.
    pub async fn next_boot(&self, server: &ServerName, now_ms: u64) -> Result<u64, StoreError> {
        in_time(async {
            let row = sqlx::query(
                "INSERT INTO boots (server, boot) VALUES (?1, ?2)
                 ON CONFLICT (server) DO UPDATE SET boot = max(boot + 1, excluded.boot)
                 RETURNING boot",
            )
            .bind(server.as_str())
            .bind(number(now_ms))
            .fetch_one(&self.pool)
            .await?;
            Ok(row.get::<i64, _>(0) as u64)
        })
        .await
    }

    /// The token's live session.
    pub async fn session_of(&self, token: &Token) -> Result<Option<SessionRow>, StoreError> {
        in_time(async {
            sqlx::query("SELECT * FROM sessions WHERE token = ?1 AND state = 'live'")
                .bind(token.as_str())
                .fetch_optional(&self.pool)
                .await?
                .map(|row| SessionRow::read(&row))
                .transpose()
        })
        .await
    }

    /// The session with this id, whatever its state.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        in_time(async {
            sqlx::query("SELECT * FROM sessions WHERE id = ?1")
                .bind(id.to_string())
                .fetch_optional(&self.pool)
                .await?
                .map(|row| SessionRow::read(&row))
                .transpose()
        })
        .await
    }

    /// Notes a new session, if its token has no live one; else gives that.
    pub async fn create(
        &self,
        row: &SessionRow,
        now_ms: u64,
    ) -> Result<Result<(), SessionRow>, StoreError> {
        let made = in_time(async {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query(
                "INSERT INTO tokens (token, first_seen_ms, last_seen_ms) VALUES (?1, ?2, ?2)
                 ON CONFLICT (token) DO UPDATE SET last_seen_ms = excluded.last_seen_ms",
            )
            .bind(row.token.as_str())
            .bind(number(now_ms))
            .execute(&mut *transaction)
            .await?;
            let made = sqlx::query(
                "INSERT INTO sessions (id, token, owner, endpoint, epoch, connection, home,
                     desktop, size, state, created_ms, connected_ms, changed_ms)
                 VALUES (?1, ?2, ?3, NULL, ?4, ?5, ?6, ?7, ?8, 'live', ?9, ?9, ?9)
                 ON CONFLICT DO NOTHING",
            )
            .bind(row.id.to_string())
            .bind(row.token.as_str())
            .bind(row.owner.as_str())
            .bind(number(row.epoch.0))
            .bind(number(row.connection))
            .bind(&row.home)
            .bind(row.desktop_json())
            .bind(row.size.to_string())
            .bind(number(now_ms))
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(made.rows_affected() == 1)
        })
        .await?;
        if made {
            return Ok(Ok(()));
        }
        match self.session_of(&row.token).await? {
            Some(found) => Ok(Err(found)),
            // The id is taken by a session that has ended, or the live one
            // ended just now.
            None => Err(StoreError::Corrupt("session id")),
        }
    }

    /// Counts a connection to the session and gives the count; `None` if the
    /// store does not know this epoch of it as live.
    pub async fn connect(
        &self,
        id: SessionId,
        epoch: Epoch,
        now_ms: u64,
    ) -> Result<Option<u64>, StoreError> {
        in_time(async {
            let row = sqlx::query(
                "UPDATE sessions SET connection = connection + 1, connected_ms = ?3,
                     changed_ms = ?3
                 WHERE id = ?1 AND epoch = ?2 AND state = 'live' RETURNING connection",
            )
            .bind(id.to_string())
            .bind(number(epoch.0))
            .bind(number(now_ms))
            .fetch_optional(&self.pool)
            .await?;
            Ok(row.map(|row| row.get::<i64, _>(0) as u64))
        })
        .await
    }

    /// Takes the session over from the epoch `from`: makes `owner` its host
    /// and its epoch one higher. Gives its count of connections, with one
    /// more if `count`; `None` if somebody was faster.
    pub async fn take_over(
        &self,
        id: SessionId,
        from: Epoch,
        owner: &ServerName,
        count: bool,
        now_ms: u64,
    ) -> Result<Option<u64>, StoreError> {
        in_time(async {
            let row = sqlx::query(
                "UPDATE sessions SET epoch = epoch + 1, owner = ?3, endpoint = NULL,
                     connection = connection + ?4, connected_ms = ?5, changed_ms = ?5
                 WHERE id = ?1 AND epoch = ?2 AND state = 'live' RETURNING connection",
            )
            .bind(id.to_string())
            .bind(number(from.0))
            .bind(owner.as_str())
            .bind(i64::from(count))
            .bind(number(now_ms))
            .fetch_optional(&self.pool)
            .await?;
            Ok(row.map(|row| row.get::<i64, _>(0) as u64))
        })
        .await
    }

    /// Notes where the session's display link is, or that it is lost; false
    /// if this epoch of it is not the server's.
    pub async fn set_endpoint(
        &self,
        id: SessionId,
        epoch: Epoch,
        owner: &ServerName,
        endpoint: Option<SocketAddrV4>,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        in_time(async {
            let done = sqlx::query(
                "UPDATE sessions SET endpoint = ?4, changed_ms = ?5
                 WHERE id = ?1 AND epoch = ?2 AND owner = ?3 AND state = 'live'",
            )
            .bind(id.to_string())
            .bind(number(epoch.0))
            .bind(owner.as_str())
            .bind(endpoint.map(|endpoint| endpoint.to_string()))
            .bind(number(now_ms))
            .execute(&self.pool)
            .await?;
            Ok(done.rows_affected() == 1)
        })
        .await
    }

    /// Notes that the session is over; false if this epoch of it is not the
    /// server's.
    pub async fn end(
        &self,
        id: SessionId,
        epoch: Epoch,
        owner: &ServerName,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        in_time(async {
            let done = sqlx::query(
                "UPDATE sessions SET state = 'ended', endpoint = NULL, changed_ms = ?4
                 WHERE id = ?1 AND epoch = ?2 AND owner = ?3 AND state = 'live'",
            )
            .bind(id.to_string())
            .bind(number(epoch.0))
            .bind(owner.as_str())
            .bind(number(now_ms))
            .execute(&self.pool)
            .await?;
            Ok(done.rows_affected() == 1)
        })
        .await
    }

    /// Closes the store, after what was begun.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn in_time<T>(
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(OPERATION_TIMEOUT, operation).await.unwrap_or(Err(StoreError::Slow))
}

/// SQLite's integers are signed; ours never come near their end.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
