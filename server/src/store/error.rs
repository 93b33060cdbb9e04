//! What can be wrong with the store, and whether it may pass.

use crate::config::StoreLocation;

/// Why the store does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened, and trying again will not help.
    #[error(
        "the store {store} cannot be opened: {why}; check where 'store' points, and whether this server may use it"
    )]
    Open {
        /// The store.
        store: StoreLocation,
        /// What the database said.
        why: String,
    },
    /// Its tables cannot be brought up to date.
    #[error("the store {store} cannot be brought up to date: {why}")]
    Migrate {
        /// The store.
        store: StoreLocation,
        /// What the database said.
        why: String,
    },
    /// Its tables are those of a newer version.
    #[error(
        "the store {store} was made by a newer Afterglow (its schema is {found}, this version knows up to {known}); upgrade this server"
    )]
    Newer {
        /// The store.
        store: StoreLocation,
        /// A schema that it has.
        found: i64,
        /// The newest schema that we know.
        known: i64,
    },
    /// It cannot be reached, or cannot be written to, or does not answer in
    /// time. What was asked may have happened all the same.
    #[error("the store {store} is away: {why}")]
    Away {
        /// The store.
        store: StoreLocation,
        /// What the database said.
        why: String,
    },
    /// It will not take what it was given.
    #[error("the store {store} refuses a value: {why}")]
    Refused {
        /// The store.
        store: StoreLocation,
        /// What the database said.
        why: String,
    },
    /// It holds what is not valid.
    #[error(
        "the store {store} has a corrupt row: {row}: its {column} is not valid; mend or delete that row"
    )]
    Corrupt {
        /// The store.
        store: StoreLocation,
        /// The row's table and key.
        row: String,
        /// The column.
        column: String,
    },
}

/// What went wrong in an operation, before the store's name is added to it.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database said so.
    Database(sqlx::Error),
    /// It took too long.
    Slow,
    /// It answers, and cannot be written to.
    ReadOnly,
    /// A row makes no sense.
    Corrupt(Corrupt),
}

/// A row that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Corrupt {
    /// Its table and key.
    pub row: String,
    /// The column.
    pub column: String,
}

impl From<sqlx::Error> for Fault {
    fn from(e: sqlx::Error) -> Self {
        Fault::Database(e)
    }
}

impl From<Corrupt> for Fault {
    fn from(corrupt: Corrupt) -> Self {
        Fault::Corrupt(corrupt)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Database(sqlx::Error::Io(e)) => e.fmt(f),
            Fault::Database(sqlx::Error::Database(e)) => f.write_str(e.message()),
            Fault::Database(e) => e.fmt(f),
            Fault::Slow => f.write_str("it does not answer in time"),
            Fault::ReadOnly => f.write_str("it is a standby, or read-only: nothing can be written"),
            Fault::Corrupt(Corrupt { row, column }) => write!(f, "{row}: its {column}"),
        }
    }
}

impl Fault {
    /// The error, of this store.
    pub fn of(self, store: &StoreLocation) -> StoreError {
        let store = store.clone();
        match self {
            Fault::Corrupt(Corrupt { row, column }) => StoreError::Corrupt { store, row, column },
            fault if fault.is_about_a_value() => {
                StoreError::Refused { store, why: fault.to_string() }
            }
            fault => StoreError::Away { store, why: fault.to_string() },
        }
    }

    /// True if the database is well, and what it was given or has is not:
    /// SQLSTATE classes 22 and 23, or a value that is no text at all.
    fn is_about_a_value(&self) -> bool {
        match self {
            Fault::Database(sqlx::Error::Database(e)) => {
                e.code().is_some_and(|code| is_state(&code, &["22", "23"]))
            }
            Fault::Database(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => true,
            _ => false,
        }
    }

    /// True if the same attempt to open the store may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Fault::Slow | Fault::ReadOnly => true,
            Fault::Corrupt(_) => false,
            Fault::Database(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            Fault::Database(sqlx::Error::Database(e)) => e.code().is_some_and(|code| {
                // Busy and locked, in SQLite's words; connections, resources,
                // an operator's doing and read-only, in PostgreSQL's; two
                // servers that make the same thing at once, in both.
                is_state(&code, &["08", "53", "55", "57", "25", "40", "23", "42P07", "42710"])
                    || is_busy(&code)
            }),
            Fault::Database(_) => false,
        }
    }
}

/// True if it is SQLite's number for busy or locked, in its lowest byte. Its
/// numbers have four digits at most.
fn is_busy(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

/// True if an SQLSTATE, which has five characters, begins with one of these.
fn is_state(code: &str, beginnings: &[&str]) -> bool {
    code.len() == 5 && beginnings.iter().any(|beginning| code.starts_with(beginning))
}
