//! Earlier copies of sessions, frozen where they were.

use super::row::{CopyRow, Wish};
use super::sessions::Copy;
use super::{LISTED_MAX, Statement, Store, StoreError, number, text};
use afterglow_wire::ids::{ServerName, Token};
use afterglow_wire::limits::SESSIONS_MAX;

impl Store {
    /// Notes that an earlier copy is frozen; false if it is known, or its
    /// session has no higher epoch.
    pub async fn note_copy(&self, copy: &CopyRow) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "INSERT INTO copies (session, epoch, owner, token, name, since_ms)
             SELECT id, $2, $3, $4, $5, $6 FROM sessions WHERE id = $1 AND epoch > $2
             ON CONFLICT (session, epoch) DO NOTHING",
        )
        .bind(copy.session.to_string())
        .bind(number(copy.epoch.0))
        .bind(copy.owner.as_str().to_owned())
        .bind(copy.token.as_str().to_owned())
        .bind(text(&copy.name))
        .bind(number(copy.since_ms));
        self.write(query).await
    }

    /// The earlier copies of a token's sessions, as many as a token may have
    /// sessions.
    pub async fn copies_of(&self, token: &Token) -> Result<Vec<CopyRow>, StoreError> {
        let query =
            sqlx::query("SELECT * FROM copies WHERE token = $1 ORDER BY session, epoch LIMIT $2");
        let mut copies = self.copies(query.bind(token.as_str().to_owned())).await?;
        copies.truncate(SESSIONS_MAX);
        Ok(copies)
    }

    /// The earlier copies on a server's host; 4,096 at most.
    pub async fn copies_at(&self, owner: &ServerName) -> Result<Vec<CopyRow>, StoreError> {
        let query =
            sqlx::query("SELECT * FROM copies WHERE owner = $1 ORDER BY session, epoch LIMIT $2");
        self.copies(query.bind(owner.as_str().to_owned())).await
    }

    /// All earlier copies; 4,096 at most.
    pub async fn all_copies(&self) -> Result<Vec<CopyRow>, StoreError> {
        self.copies(sqlx::query("SELECT * FROM copies ORDER BY session, epoch LIMIT $1")).await
    }

    async fn copies(&self, query: Statement<'_>) -> Result<Vec<CopyRow>, StoreError> {
        let rows = self.read(query.bind(LISTED_MAX)).await?;
        let mut copies = self.valid(&rows, CopyRow::read);
        // However the database sorts text.
        copies.sort_by_key(|copy| (copy.session, copy.epoch));
        Ok(copies)
    }

    /// Notes what is wanted of an earlier copy's owner; false if there is no
    /// such copy.
    pub async fn set_copy_wish(
        &self,
        (session, epoch): Copy,
        wish: &Wish,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query("UPDATE copies SET wish = $3 WHERE session = $1 AND epoch = $2");
        let query = query.bind(session.to_string()).bind(number(epoch.0));
        self.write(query.bind(wish.to_string())).await
    }

    /// Forgets an earlier copy; false if there is no such copy of this owner.
    pub async fn forget_copy(
        &self,
        (session, epoch): Copy,
        owner: &ServerName,
    ) -> Result<bool, StoreError> {
        let query =
            sqlx::query("DELETE FROM copies WHERE session = $1 AND epoch = $2 AND owner = $3");
        let query = query.bind(session.to_string()).bind(number(epoch.0));
        self.write(query.bind(owner.as_str().to_owned())).await
    }
}
