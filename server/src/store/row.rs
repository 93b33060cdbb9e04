//! A session as the store holds it.

use super::StoreError;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Size, Token};
use afterglow_wire::service::ServiceName;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::net::SocketAddrV4;
use std::str::FromStr;

/// A session as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The session.
    pub id: SessionId,
    /// Whose session it is.
    pub token: Token,
    /// The server on whose host it runs.
    pub owner: ServerName,
    /// Where its display link is; `None` while it starts, and when it is lost.
    pub endpoint: Option<SocketAddrV4>,
    /// Its epoch.
    pub epoch: Epoch,
    /// How often a token was inserted for it.
    pub connection: u64,
    /// The user's home directory.
    pub home: String,
    /// The desktop's command line.
    pub desktop: Vec<String>,
    /// The size to begin with.
    pub size: Size,
    /// What its user calls it; may be empty.
    pub name: String,
    /// Its services that ran when its server last told, the desktop aside.
    pub services: Vec<ServiceName>,
    /// What is wanted of its owner, by somebody who cannot tell it directly.
    pub wish: Option<Wish>,
    /// When it was new, in milliseconds since 1970.
    pub created_ms: u64,
    /// When its owner last wrote about it, in milliseconds since 1970.
    pub changed_ms: u64,
    /// True if it is over.
    pub ended: bool,
}

/// What somebody wants of a session's owner, by way of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// End the session; of an earlier copy, that copy.
    End,
    /// Let another server start its services again.
    Move(ServerName),
    /// Of an earlier copy: go on, as a session of its own.
    Continue,
}

/// An earlier copy of a session that was taken over. It is frozen where it
/// was, until its user decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRow {
    /// The session.
    pub session: SessionId,
    /// The copy's epoch.
    pub epoch: Epoch,
    /// The server on whose host it is.
    pub owner: ServerName,
    /// Whose session it is.
    pub token: Token,
    /// What its user called it.
    pub name: String,
    /// When it was frozen, in milliseconds since 1970.
    pub since_ms: u64,
    /// What its user wants.
    pub wish: Option<Wish>,
}

/// A user, and how the sessions of his tokens are configured. `None` is the
/// server's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// What administrators call the user.
    pub name: String,
    /// The Unix account that the sessions run as, where the server is root.
    pub account: Option<String>,
    /// The home directory.
    pub home: Option<String>,
    /// The desktop's command line.
    pub desktop: Option<Vec<String>>,
    /// Which services of the catalogue the user has.
    pub catalogue: Option<Vec<ServiceName>>,
    /// Which of them have to run.
    pub required: Option<Vec<ServiceName>>,
    /// The size to begin with.
    pub size: Option<Size>,
}

impl SessionRow {
    pub(super) fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let endpoint: Option<String> = row.try_get("endpoint")?;
        let desktop: String = row.try_get("desktop")?;
        let state: String = row.try_get("state")?;
        Ok(SessionRow {
            id: parsed(row, "id")?,
            token: parsed(row, "token")?,
            owner: parsed(row, "owner")?,
            endpoint: match endpoint {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| StoreError::Corrupt("endpoint"))?),
            },
            epoch: Epoch(row.try_get::<i64, _>("epoch")? as u64),
            connection: row.try_get::<i64, _>("connection")? as u64,
            home: row.try_get("home")?,
            desktop: serde_json::from_str(&desktop).map_err(|_| StoreError::Corrupt("desktop"))?,
            size: parsed(row, "size")?,
            name: String::new(),
            services: Vec::new(),
            wish: None,
            created_ms: 0,
            changed_ms: 0,
            ended: state == "ended",
        })
    }

    pub(super) fn desktop_json(&self) -> String {
        serde_json::Value::from(self.desktop.clone()).to_string()
    }
}

fn parsed<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    row.try_get::<&str, _>(column)?.parse().map_err(|_| StoreError::Corrupt(column))
}
