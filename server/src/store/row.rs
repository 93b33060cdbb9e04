//! Sessions, their earlier copies and users as the store holds them, and what
//! in a row is not valid.

use super::error::Corrupt;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Size, Token};
use afterglow_wire::limits::{COMMAND_WORDS_MAX, SERVICES_MAX, SESSION_NAME_CHARS_MAX};
use afterglow_wire::service::ServiceName;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::fmt::Display;
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
    /// Its token's count of connections, when it was last connected.
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
    pub(super) fn read(row: &AnyRow) -> Result<Self, Corrupt> {
        let row = Columns::of(row, "session", &["id"]);
        Ok(SessionRow {
            id: row.parsed("id")?,
            token: row.parsed("token")?,
            owner: row.parsed("owner")?,
            endpoint: row.optional("endpoint")?,
            epoch: Epoch(row.number("epoch")?),
            connection: row.number("connection")?,
            home: row.parsed("home")?,
            desktop: row.list("desktop", COMMAND_WORDS_MAX)?,
            size: row.parsed("size")?,
            name: row.name()?,
            services: row.list("services", SERVICES_MAX)?,
            wish: row.optional("wish")?,
            created_ms: row.number("created_ms")?,
            changed_ms: row.number("changed_ms")?,
            ended: row.text("state")? == "ended",
        })
    }
}

impl CopyRow {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Corrupt> {
        let row = Columns::of(row, "copy", &["session", "epoch"]);
        Ok(CopyRow {
            session: row.parsed("session")?,
            epoch: Epoch(row.number("epoch")?),
            owner: row.parsed("owner")?,
            token: row.parsed("token")?,
            name: row.name()?,
            since_ms: row.number("since_ms")?,
            wish: row.optional("wish")?,
        })
    }
}

impl UserRow {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Corrupt> {
        let row = Columns::of(row, "user", &["name"]);
        Ok(UserRow {
            name: row.parsed("name")?,
            account: row.optional("account")?,
            home: row.optional("home")?,
            desktop: row.optional_list("desktop", COMMAND_WORDS_MAX)?,
            catalogue: row.optional_list("catalogue", SERVICES_MAX)?,
            required: row.optional_list("required", SERVICES_MAX)?,
            size: row.optional("size")?,
        })
    }
}

/// As it is stored: `end`, `continue`, or `move` and the server.
impl Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wish::End => f.write_str("end"),
            Wish::Continue => f.write_str("continue"),
            Wish::Move(server) => write!(f, "move {server}"),
        }
    }
}

/// What is no wish.
#[derive(Debug, thiserror::Error)]
#[error("this is no wish: it is 'end', 'continue' or 'move SERVER'")]
pub struct InvalidWish;

impl FromStr for Wish {
    type Err = InvalidWish;
    fn from_str(text: &str) -> Result<Self, InvalidWish> {
        match text {
            "end" => Ok(Wish::End),
            "continue" => Ok(Wish::Continue),
            _ => {
                let server = text.strip_prefix("move ").ok_or(InvalidWish)?;
                server.parse().map(Wish::Move).map_err(|_| InvalidWish)
            }
        }
    }
}

/// A list as it is stored.
pub(super) fn json<T: Display>(list: &[T]) -> String {
    let words: Vec<String> = list.iter().map(T::to_string).collect();
    serde_json::Value::from(words).to_string()
}

/// A row's columns, and what to call it.
struct Columns<'r> {
    row: &'r AnyRow,
    table: &'static str,
    keys: &'static [&'static str],
}

impl<'r> Columns<'r> {
    fn of(row: &'r AnyRow, table: &'static str, keys: &'static [&'static str]) -> Self {
        Columns { row, table, keys }
    }

    fn corrupt(&self, column: &str) -> Corrupt {
        let key = |key: &&str| {
            let text = self.row.try_get::<String, _>(*key).ok();
            let number = || self.row.try_get::<i64, _>(*key).ok().map(|number| number.to_string());
            text.or_else(number).unwrap_or_else(|| "?".into())
        };
        let keys: Vec<String> = self.keys.iter().map(key).collect();
        let row = format!("{} {}", self.table, keys.join(" ").escape_debug());
        Corrupt { row, column: column.into() }
    }

    fn text(&self, column: &'static str) -> Result<&'r str, Corrupt> {
        self.row.try_get::<&str, _>(column).map_err(|_| self.corrupt(column))
    }

    fn optional_text(&self, column: &'static str) -> Result<Option<&'r str>, Corrupt> {
        self.row.try_get::<Option<&str>, _>(column).map_err(|_| self.corrupt(column))
    }

    fn number(&self, column: &'static str) -> Result<u64, Corrupt> {
        let number = self.row.try_get::<i64, _>(column).ok();
        number.and_then(|number| number.try_into().ok()).ok_or_else(|| self.corrupt(column))
    }

    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, Corrupt> {
        self.text(column)?.parse().map_err(|_| self.corrupt(column))
    }

    fn optional<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, Corrupt> {
        let value = self.optional_text(column)?.map(str::parse).transpose();
        value.map_err(|_| self.corrupt(column))
    }

    /// What a user calls it. One that is too long for the wire is cut: nothing
    /// depends on it.
    fn name(&self) -> Result<String, Corrupt> {
        Ok(self.text("name")?.chars().take(SESSION_NAME_CHARS_MAX).collect())
    }

    fn list<T: FromStr>(&self, column: &'static str, max: usize) -> Result<Vec<T>, Corrupt> {
        self.optional_list(column, max)?.ok_or_else(|| self.corrupt(column))
    }

    fn optional_list<T: FromStr>(
        &self,
        column: &'static str,
        max: usize,
    ) -> Result<Option<Vec<T>>, Corrupt> {
        let Some(text) = self.optional_text(column)? else { return Ok(None) };
        let words: Vec<String> = serde_json::from_str(text).map_err(|_| self.corrupt(column))?;
        if words.len() > max {
            return Err(self.corrupt(column));
        }
        let list = words.iter().map(|word| word.parse()).collect::<Result<_, _>>();
        list.map(Some).map_err(|_| self.corrupt(column))
    }
}
