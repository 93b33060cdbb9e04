//! Where a test's store is, and what it is filled with.

use afterglow_server::config::{DatabaseUrl, StoreLocation};
use afterglow_server::store::{SessionRow, Store};
use afterglow_tests::postgres::Postgres;
use afterglow_tests::scratch::Scratch;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Size, Token};
use anyhow::{Context, Result, ensure};
use sqlx::{AnyConnection, Connection};
use std::path::Path;
use std::time::{Duration, Instant};

/// Which database a test is run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A new and empty store.
pub struct Place {
    pub location: StoreLocation,
    url: String,
    _postgres: Option<Postgres>,
}

impl Place {
    pub fn new(kind: Kind, directory: &Path) -> Result<Self> {
        Ok(match kind {
            Kind::Sqlite => {
                // What means something in a URL is a path like any other.
                let path = directory.join("the store?mode=ro%20.db");
                let url = format!("sqlite://{}/the%20store%3Fmode=ro%2520.db", directory.display());
                Place { location: StoreLocation::Sqlite(path), url, _postgres: None }
            }
            Kind::Postgres => {
                let postgres = Postgres::start(directory)?;
                let (url, location) = (postgres.url(), location(postgres.url()));
                Place { location, url, _postgres: Some(postgres) }
            }
        })
    }

    pub async fn open(&self) -> Result<Store> {
        Ok(Store::open(&self.location).await?)
    }

    /// Does something to the database behind the store's back.
    pub async fn sql(&self, sql: &str) -> Result<()> {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&self.url).await?;
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.context("SQL of the test's own")?;
        Ok(connection.close().await?)
    }
}

pub fn location(url: String) -> StoreLocation {
    StoreLocation::Postgres(DatabaseUrl(url))
}

/// Runs a test over one of the databases, with a directory of its own.
pub fn over(
    kind: Kind,
    name: &str,
    test: impl AsyncFnOnce(&mut Place) -> Result<()>,
) -> Result<()> {
    let scratch = Scratch::new(&format!("store_{name}_{kind:?}"))?;
    let mut place = Place::new(kind, scratch.path())?;
    runtime()?.block_on(test(&mut place))?;
    drop(place);
    scratch.passed()
}

pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Runs a test over PostgreSQL alone.
pub fn over_postgres(
    name: &str,
    test: impl AsyncFnOnce(&mut Postgres, &Path) -> Result<()>,
) -> Result<()> {
    let scratch = Scratch::new(&format!("store_{name}"))?;
    let mut postgres = Postgres::start(scratch.path())?;
    runtime()?.block_on(test(&mut postgres, scratch.path()))?;
    drop(postgres);
    scratch.passed()
}

/// Asks until it is so, at most for `timeout`; gives how long that took.
pub async fn until(
    what: &str,
    timeout: Duration,
    mut ask: impl AsyncFnMut() -> bool,
) -> Result<Duration> {
    let began = Instant::now();
    while !ask().await {
        ensure!(began.elapsed() < timeout, "waited {timeout:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(began.elapsed())
}

/// Makes two tests of one: over SQLite, and over PostgreSQL.
macro_rules! over_both {
    ($name:ident, $test:path) => {
        mod $name {
            #[test]
            fn over_sqlite() -> anyhow::Result<()> {
                $crate::place::over($crate::place::Kind::Sqlite, stringify!($name), $test)
            }

            #[test]
            fn over_postgresql() -> anyhow::Result<()> {
                $crate::place::over($crate::place::Kind::Postgres, stringify!($name), $test)
            }
        }
    };
}
pub(crate) use over_both;

pub fn token(text: &str) -> Token {
    text.parse().expect("a token")
}

pub fn server(text: &str) -> ServerName {
    text.parse().expect("a server's name")
}

/// A session as a server would note it.
pub fn row(id: u8, of: &str, owner: &str) -> SessionRow {
    SessionRow {
        id: SessionId([id; 16]),
        token: token(of),
        owner: server(owner),
        endpoint: None,
        epoch: Epoch::FIRST,
        connection: 1,
        home: "/homes/ä x".into(),
        desktop: vec!["openbox".into(), "--startup".into(), "sh -c 'a & \"b\"'".into()],
        size: Size::new(1280, 720).expect("a size"),
        name: "Büro \u{1f4bb}".into(),
        services: vec!["mail".parse().expect("a service")],
        wish: None,
        created_ms: 1_000,
        changed_ms: 1_000,
        ended: false,
    }
}
