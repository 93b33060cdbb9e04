//! Opening the store, and bringing its tables up to date.

use super::connections::Connections;
use super::error::Fault;
use super::{Inner, Store, StoreError, absence};
use crate::config::StoreLocation;
use sqlx::AnyConnection;
use sqlx::migrate::{MigrateError, Migrator};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The tables, version by version.
static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// How long a server that starts waits for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it tries meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(300);
/// How long bringing the tables up to date may take, or waiting for another
/// server that does.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why it was not opened.
enum Failure {
    /// The database's doing.
    Fault(Fault),
    /// What no time will mend.
    Final(StoreError),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

impl Store {
    /// Opens the store and brings its tables up to date; a file is made if it
    /// is not there. A store that does not answer is waited for, half a
    /// minute at most.
    pub async fn open(location: &StoreLocation) -> Result<Self, StoreError> {
        Store::open_within(location, PATIENCE).await
    }

    /// Likewise, with this patience.
    pub async fn open_within(
        location: &StoreLocation,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let began = Instant::now();
        let mut told = false;
        let open_error =
            |fault: Fault| StoreError::Open { store: location.clone(), why: fault.to_string() };
        let connections = Connections::new(location).map_err(open_error)?;
        loop {
            match prepare(location, &connections).await {
                Ok(()) => break,
                Err(Failure::Final(e)) => return Err(e),
                Err(Failure::Fault(fault)) => {
                    if !fault.may_pass() {
                        return Err(open_error(fault));
                    }
                    if began.elapsed() >= patience {
                        return Err(fault.of(location));
                    }
                    if !told {
                        let seconds = patience.as_secs();
                        tracing::warn!(
                            "the store {location} is away: {fault}; waiting for it, {seconds} s \
                             at most"
                        );
                        told = true;
                    }
                }
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        let inner = Arc::new(Inner {
            location: location.clone(),
            connections,
            presence: Default::default(),
            server: Default::default(),
            told: Default::default(),
        });
        tokio::spawn(absence::look_for(Arc::downgrade(&inner)));
        Ok(Store { inner })
    }
}

/// One attempt.
async fn prepare(location: &StoreLocation, connections: &Arc<Connections>) -> Result<(), Failure> {
    let mut lease = connections.lease().await?;
    let migrated = timeout(MIGRATE_TIMEOUT, async {
        if !lease.is_file() {
            return migrate(location, &mut lease).await;
        }
        // SQLite has no lock for this but the one for writing.
        let mut transaction = lease.begin().await?;
        migrate(location, &mut transaction).await?;
        transaction.commit().await.map_err(Fault::Database)?;
        Ok(())
    });
    migrated.await.unwrap_or(Err(Fault::Slow.into()))?;
    lease.give_back();
    Ok(())
}

async fn migrate(location: &StoreLocation, connection: &mut AnyConnection) -> Result<(), Failure> {
    let store = location.clone();
    MIGRATOR.run(connection).await.map_err(|e| match e {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => {
            let fault = Fault::Database(e);
            if fault.may_pass() {
                return fault.into();
            }
            Failure::Final(StoreError::Migrate { store, why: fault.to_string() })
        }
        MigrateError::VersionMissing(found) => {
            let known = MIGRATOR.iter().map(|migration| migration.version).max();
            Failure::Final(StoreError::Newer { store, found, known: known.unwrap_or_default() })
        }
        e => Failure::Final(StoreError::Migrate { store, why: e.to_string() }),
    })
}
