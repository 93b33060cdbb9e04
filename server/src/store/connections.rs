//! The connections to the database: few, tried before use, and thrown away at
//! the first doubt.
//!
//! A connection that was cut keeps whoever uses it waiting for as long as TCP
//! sends again, which after a minute's cut is most of another minute. So
//! everything here has its own time, a connection is asked for a sign of life
//! before anything depends on it, and after any failure all of them are left
//! for new ones.

use super::error::Fault;
use crate::config::StoreLocation;
use sqlx::any::AnyConnectOptions;
use sqlx::{Any, AnyConnection, ConnectOptions, Connection, Row, Transaction};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many there are at a time.
const CONNECTIONS_MAX: usize = 6;
/// How long a new one may take, with TLS and the password.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How long an old one may take to show that it lives.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// What a connection to SQLite begins with. FULL, because with WAL alone a
/// crash of the host would lose an epoch that was announced.
const SQLITE_BEGINS: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";

/// What a connection to PostgreSQL begins with. Whoever is cut off in the
/// middle of something must not keep others from a row for long; and what is
/// acknowledged must be on its disk, and on its standby's if it has one.
const POSTGRES_BEGINS: &str = "
    SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED;
    SET statement_timeout = 3000;
    SET idle_in_transaction_session_timeout = 5000;
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') IN ('off', 'local');";

const POSTGRES_READ_ONLY: &str = "SELECT CASE
    WHEN pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'
    THEN 1 ELSE 0 END";

/// The connections to one database.
#[derive(Debug)]
pub(super) struct Connections {
    options: AnyConnectOptions,
    kind: Kind,
    permits: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

#[derive(Debug, Default)]
struct Idle {
    /// Grows whenever all are thrown away: who holds one then does not give
    /// it back.
    generation: u64,
    connections: Vec<AnyConnection>,
}

/// A connection that is used. Unless it is given back it is closed, and the
/// database undoes what was not committed.
#[derive(Debug)]
pub(super) struct Lease {
    connection: AnyConnection,
    generation: u64,
    kind: Kind,
    home: Arc<Connections>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// Of the database there; none is made yet.
    pub fn new(location: &StoreLocation) -> Result<Arc<Self>, Fault> {
        sqlx::any::install_default_drivers();
        let (url, kind) = match location {
            StoreLocation::Sqlite(path) => (sqlite_url(path)?, Kind::Sqlite),
            StoreLocation::Postgres(url) => (url.0.clone(), Kind::Postgres),
        };
        let options: AnyConnectOptions = url.parse()?;
        Ok(Arc::new(Connections {
            options: options.disable_statement_logging(),
            kind,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            idle: Mutex::default(),
        }))
    }

    /// A connection that was alive a moment ago.
    pub async fn lease(self: &Arc<Self>) -> Result<Lease, Fault> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Fault::Database(sqlx::Error::PoolClosed))?;
        let (generation, old) = {
            let mut idle = self.idle();
            (idle.generation, idle.connections.pop())
        };
        if let Some(mut connection) = old {
            if self.lives(&mut connection).await {
                return Ok(self.leased(connection, generation, permit));
            }
            self.throw_away();
        }
        let generation = self.idle().generation;
        let connection = match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(connection) => connection?,
            Err(_) => return Err(Fault::Slow),
        };
        Ok(self.leased(connection, generation, permit))
    }

    fn leased(
        self: &Arc<Self>,
        connection: AnyConnection,
        generation: u64,
        permit: OwnedSemaphorePermit,
    ) -> Lease {
        let (kind, home) = (self.kind, self.clone());
        Lease { connection, generation, kind, home, _permit: permit }
    }

    async fn lives(&self, connection: &mut AnyConnection) -> bool {
        // A file does not go away.
        self.kind == Kind::Sqlite
            || timeout(PING_TIMEOUT, connection.ping()).await.is_ok_and(|pong| pong.is_ok())
    }

    async fn connect(&self) -> Result<AnyConnection, Fault> {
        let mut connection = self.options.connect().await?;
        match self.kind {
            Kind::Sqlite => {
                sqlx::raw_sql(SQLITE_BEGINS).execute(&mut connection).await?;
            }
            Kind::Postgres => {
                sqlx::raw_sql(POSTGRES_BEGINS).execute(&mut connection).await?;
                let rows = sqlx::query(POSTGRES_READ_ONLY).fetch_all(&mut connection).await?;
                let read_only = rows.first().map_or(Ok(0), |row| row.try_get::<i32, _>(0))?;
                if read_only != 0 {
                    return Err(Fault::ReadOnly);
                }
            }
        }
        Ok(connection)
    }

    /// Throws all connections away, those in use once they are done with.
    pub fn throw_away(&self) {
        let mut idle = self.idle();
        idle.generation += 1;
        idle.connections.clear();
    }

    /// Lets nobody have one any more.
    pub async fn close(&self) {
        self.permits.close();
        let connections = {
            let mut idle = self.idle();
            idle.generation += 1;
            std::mem::take(&mut idle.connections)
        };
        for connection in connections {
            // What is closed in disorder is closed all the same.
            let _ = timeout(PING_TIMEOUT, connection.close()).await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Begins what is to be done whole or not at all, and at once reserves
    /// SQLite's one right to write, which cannot be had later without a
    /// conflict.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Any>, Fault> {
        Ok(match self.kind {
            Kind::Sqlite => self.connection.begin_with("BEGIN IMMEDIATE").await?,
            Kind::Postgres => self.connection.begin().await?,
        })
    }

    /// True if the database is a file, where a migration has no lock of its
    /// own.
    pub fn is_file(&self) -> bool {
        self.kind == Kind::Sqlite
    }

    /// Nothing went wrong: somebody else may have it.
    pub fn give_back(self) {
        let Lease { connection, generation, home, .. } = self;
        let mut idle = home.idle();
        if idle.generation == generation && !home.permits.is_closed() {
            idle.connections.push(connection);
        }
    }
}

impl Deref for Lease {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}

/// The file's URL, which is made if it is not there. What means something in
/// a URL is escaped.
fn sqlite_url(path: &std::path::Path) -> Result<String, Fault> {
    let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
    let Some(text) = path.to_str() else {
        let why = format!("{} is not UTF-8", path.display());
        return Err(sqlx::Error::Configuration(why.into()).into());
    };
    let mut url = String::from("sqlite://");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(url + "?mode=rwc")
}
