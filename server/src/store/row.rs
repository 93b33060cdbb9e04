//! A session as the store holds it.

use super::StoreError;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Size, Token};
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
    /// True if it is over.
    pub ended: bool,
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
