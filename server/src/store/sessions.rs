//! Sessions: reading them, and what their servers write about them.
//!
//! What counts a token's connections changes the token's row first, and so has
//! all of the token's sessions to itself until it is done, in both databases.

use super::absence::Access;
use super::error::Fault;
use super::row::{SessionRow, UserRow, Wish, json};
use super::{LISTED_MAX, Statement, Store, StoreError, first_number, number, text};
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use afterglow_wire::limits::SESSIONS_MAX;
use afterglow_wire::service::ServiceName;
use sqlx::AnyConnection;
use std::net::SocketAddrV4;

/// A copy of a session, as its server names it in a write.
pub(super) type Copy = (SessionId, Epoch);

impl Store {
    /// The token's live session that was connected last, or this one of them;
    /// and the token's user.
    pub async fn token_session(
        &self,
        token: &Token,
        session: Option<SessionId>,
    ) -> Result<(Option<SessionRow>, Option<UserRow>), StoreError> {
        let (sessions, users) = self
            .in_time(Access::Read, async {
                let mut lease = self.lease().await?;
                let query = match session {
                    Some(id) => sqlx::query(
                        "SELECT * FROM sessions WHERE token = $1 AND state = 'live' AND id = $2",
                    )
                    .bind(token.as_str().to_owned())
                    .bind(id.to_string()),
                    None => sqlx::query(
                        "SELECT * FROM sessions WHERE token = $1 AND state = 'live'
                         ORDER BY connection DESC, id LIMIT 1",
                    )
                    .bind(token.as_str().to_owned()),
                };
                let sessions = query.fetch_all(&mut *lease).await?;
                let query = sqlx::query(
                    "SELECT users.* FROM tokens JOIN users ON users.name = tokens.user_name
                     WHERE tokens.token = $1",
                );
                let query = query.bind(token.as_str().to_owned());
                let users = query.fetch_all(&mut *lease).await?;
                lease.give_back();
                Ok((sessions, users))
            })
            .await?;
        Ok((self.one(&sessions, SessionRow::read)?, self.one(&users, UserRow::read)?))
    }

    /// The token's live sessions, the last connected first.
    pub async fn sessions_of(&self, token: &Token) -> Result<Vec<SessionRow>, StoreError> {
        let query = sqlx::query(
            "SELECT * FROM sessions WHERE token = $1 AND state = 'live'
             ORDER BY connection DESC, id LIMIT $2",
        );
        let query = query.bind(token.as_str().to_owned()).bind(SESSIONS_MAX as i64);
        Ok(self.valid(&self.read(query).await?, SessionRow::read))
    }

    /// All live sessions, ordered by token, the last connected first; 4,096
    /// at most.
    pub async fn all_sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        let query = sqlx::query(
            "SELECT * FROM sessions WHERE state = 'live'
             ORDER BY token, connection DESC, id LIMIT $1",
        );
        Ok(self.valid(&self.read(query.bind(LISTED_MAX)).await?, SessionRow::read))
    }

    /// The session with this id, live or not.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM sessions WHERE id = $1").bind(id.to_string());
        self.one(&self.read(query).await?, SessionRow::read)
    }

    /// Notes a new session, and its token's connection to it, which is given;
    /// `None` if its token has as many live ones as it may, or has one and it
    /// is to be the `only` one, or the id is taken.
    pub async fn create(
        &self,
        row: &SessionRow,
        only: bool,
        now_ms: u64,
    ) -> Result<Option<u64>, StoreError> {
        self.in_time(Access::Write, async {
            let mut lease = self.lease().await?;
            let mut transaction = lease.begin().await?;
            let made = create(&mut transaction, row, only, now_ms).await?;
            match made {
                Some(_) => transaction.commit().await?,
                None => transaction.rollback().await?,
            }
            lease.give_back();
            Ok(made)
        })
        .await
    }

    /// Counts a connection of its token to the session and gives the count;
    /// `None` if the store does not know this epoch of it as live.
    pub async fn connect(&self, (id, epoch): Copy, now_ms: u64) -> Result<Option<u64>, StoreError> {
        self.counted((id, epoch), now_ms, |count| {
            sqlx::query(
                "UPDATE sessions SET connection = $3
                 WHERE id = $1 AND epoch = $2 AND state = 'live'",
            )
            .bind(id.to_string())
            .bind(number(epoch.0))
            .bind(number(count))
        })
        .await
    }

    /// Takes the session over from the epoch `from`: makes `owner` its host
    /// and its epoch one higher; what was wanted of its old owner is over.
    /// Gives its count of connections, with one more of its token's if
    /// `count`; `None` if somebody was faster.
    pub async fn take_over(
        &self,
        (id, from): Copy,
        owner: &ServerName,
        count: bool,
        now_ms: u64,
    ) -> Result<Option<u64>, StoreError> {
        if count {
            return self
                .counted((id, from), now_ms, |count| {
                    sqlx::query(
                        "UPDATE sessions SET epoch = epoch + 1, owner = $3, endpoint = NULL,
                             wish = NULL, changed_ms = $4, connection = $5
                         WHERE id = $1 AND epoch = $2 AND state = 'live'",
                    )
                    .bind(id.to_string())
                    .bind(number(from.0))
                    .bind(owner.as_str().to_owned())
                    .bind(number(now_ms))
                    .bind(number(count))
                })
                .await;
        }
        let query = sqlx::query(
            "UPDATE sessions SET epoch = epoch + 1, owner = $3, endpoint = NULL, wish = NULL,
                 changed_ms = $4
             WHERE id = $1 AND epoch = $2 AND state = 'live' RETURNING connection",
        )
        .bind(id.to_string())
        .bind(number(from.0))
        .bind(owner.as_str().to_owned())
        .bind(number(now_ms));
        self.returning(query).await
    }

    /// Counts a connection of the session's token, and with the new count
    /// changes the session; neither if the other cannot be.
    async fn counted<'q>(
        &self,
        copy: Copy,
        now_ms: u64,
        change: impl FnOnce(u64) -> Statement<'q>,
    ) -> Result<Option<u64>, StoreError> {
        self.in_time(Access::Write, async {
            let mut lease = self.lease().await?;
            let mut transaction = lease.begin().await?;
            let mut count = count_token(&mut transaction, copy, now_ms).await?;
            if let Some(counted) = count {
                // The session may have been taken over before its token's row
                // was ours.
                let done = change(counted).execute(&mut *transaction).await?;
                count = count.filter(|_| done.rows_affected() == 1);
            }
            match count {
                Some(_) => transaction.commit().await?,
                None => transaction.rollback().await?,
            }
            lease.give_back();
            Ok(count)
        })
        .await
    }

    /// Notes where the session's display link is, or that it is lost; false
    /// if this epoch of it is not the server's.
    pub async fn set_endpoint(
        &self,
        copy: Copy,
        owner: &ServerName,
        endpoint: Option<SocketAddrV4>,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE sessions SET changed_ms = $4, endpoint = $5
             WHERE id = $1 AND epoch = $2 AND owner = $3 AND state = 'live'",
        );
        let query = owned(query, copy, owner, now_ms);
        self.write(query.bind(endpoint.map(|endpoint| endpoint.to_string()))).await
    }

    /// Notes which services of the session run; false if this epoch of it is
    /// not the server's.
    pub async fn set_services(
        &self,
        copy: Copy,
        owner: &ServerName,
        services: &[ServiceName],
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE sessions SET changed_ms = $4, services = $5
             WHERE id = $1 AND epoch = $2 AND owner = $3 AND state = 'live'",
        );
        self.write(owned(query, copy, owner, now_ms).bind(json(services))).await
    }

    /// Gives the session away: its epoch becomes one higher, and it is
    /// nowhere; false if this epoch of it is not the server's.
    pub async fn hand_over(
        &self,
        copy: Copy,
        owner: &ServerName,
        to: &ServerName,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE sessions SET changed_ms = $4, owner = $5, epoch = epoch + 1,
                 endpoint = NULL, wish = NULL
             WHERE id = $1 AND epoch = $2 AND owner = $3 AND state = 'live'",
        );
        self.write(owned(query, copy, owner, now_ms).bind(to.as_str().to_owned())).await
    }

    /// Notes that the session is over; false if this epoch of it is not the
    /// server's.
    pub async fn end(
        &self,
        copy: Copy,
        owner: &ServerName,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE sessions SET changed_ms = $4, state = 'ended', endpoint = NULL, wish = NULL
             WHERE id = $1 AND epoch = $2 AND owner = $3 AND state = 'live'",
        );
        self.write(owned(query, copy, owner, now_ms)).await
    }

    /// Calls the session something; false if this epoch of it is not live.
    pub async fn rename(&self, (id, epoch): Copy, name: &str) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE sessions SET name = $3 WHERE id = $1 AND epoch = $2 AND state = 'live'",
        );
        self.write(query.bind(id.to_string()).bind(number(epoch.0)).bind(text(name))).await
    }

    /// Notes what is wanted of the session's owner; false if this epoch of it
    /// is not live.
    pub async fn set_wish(
        &self,
        (id, epoch): Copy,
        wish: Option<&Wish>,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE sessions SET wish = $3 WHERE id = $1 AND epoch = $2 AND state = 'live'",
        );
        let query = query.bind(id.to_string()).bind(number(epoch.0));
        self.write(query.bind(wish.map(Wish::to_string))).await
    }
}

/// The beginning of every write that only the session's owner may make.
fn owned<'q>(
    query: Statement<'q>,
    (id, epoch): Copy,
    owner: &ServerName,
    now_ms: u64,
) -> Statement<'q> {
    query
        .bind(id.to_string())
        .bind(number(epoch.0))
        .bind(owner.as_str().to_owned())
        .bind(number(now_ms))
}

/// Counts a connection of the session's token, if this epoch of it is live.
async fn count_token(
    connection: &mut AnyConnection,
    (id, epoch): Copy,
    now_ms: u64,
) -> Result<Option<u64>, Fault> {
    let query = sqlx::query(
        "UPDATE tokens SET connections = connections + 1, last_seen_ms = $3
         WHERE token = (SELECT token FROM sessions
             WHERE id = $1 AND epoch = $2 AND state = 'live')
         RETURNING connections",
    )
    .bind(id.to_string())
    .bind(number(epoch.0))
    .bind(number(now_ms));
    first_number(&query.fetch_all(connection).await?)
}

/// Notes a new session, or does what has to be undone.
async fn create(
    connection: &mut AnyConnection,
    row: &SessionRow,
    only: bool,
    now_ms: u64,
) -> Result<Option<u64>, Fault> {
    let query = sqlx::query(
        "INSERT INTO tokens (token, connections, first_seen_ms, last_seen_ms)
         VALUES ($1, 1, $2, $2)
         ON CONFLICT (token) DO UPDATE SET connections = tokens.connections + 1,
             first_seen_ms = COALESCE(tokens.first_seen_ms, excluded.first_seen_ms),
             last_seen_ms = excluded.last_seen_ms
         RETURNING connections",
    )
    .bind(row.token.as_str().to_owned())
    .bind(number(now_ms));
    let count = first_number(&query.fetch_all(&mut *connection).await?)?;
    let query = sqlx::query("SELECT COUNT(*) FROM sessions WHERE token = $1 AND state = 'live'");
    let query = query.bind(row.token.as_str().to_owned());
    let live = first_number(&query.fetch_all(&mut *connection).await?)?.unwrap_or_default();
    let (Some(count), true) = (count, live < SESSIONS_MAX as u64 && !(only && live > 0)) else {
        return Ok(None);
    };
    let query = sqlx::query(
        "INSERT INTO sessions (id, token, owner, epoch, connection, home, desktop, size, name,
             services, state, created_ms, changed_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'live', $11, $12)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(row.id.to_string())
    .bind(row.token.as_str().to_owned())
    .bind(row.owner.as_str().to_owned())
    .bind(number(row.epoch.0))
    .bind(number(count))
    .bind(text(&row.home))
    .bind(json(&row.desktop))
    .bind(row.size.to_string())
    .bind(text(&row.name))
    .bind(json(&row.services))
    .bind(number(row.created_ms))
    .bind(number(row.changed_ms));
    let done = query.execute(connection).await?;
    Ok(Some(count).filter(|_| done.rows_affected() == 1))
}
