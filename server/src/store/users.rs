//! Users and their tokens, as administrators configure them.

use super::absence::Access;
use super::error::Corrupt;
use super::row::{UserRow, json};
use super::{LISTED_MAX, Store, StoreError, text};
use afterglow_wire::ids::Token;
use sqlx::Row;

impl Store {
    /// All users by name; 4,096 at most.
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM users ORDER BY name LIMIT $1").bind(LISTED_MAX);
        Ok(self.valid(&self.read(query).await?, UserRow::read))
    }

    /// Makes a user, or configures the one of this name anew.
    pub async fn set_user(&self, user: &UserRow) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO users (name, account, home, desktop, catalogue, required, size)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (name) DO UPDATE SET account = excluded.account, home = excluded.home,
                 desktop = excluded.desktop, catalogue = excluded.catalogue,
                 required = excluded.required, size = excluded.size",
        )
        .bind(text(&user.name))
        .bind(user.account.as_deref().map(text))
        .bind(user.home.as_deref().map(text))
        .bind(user.desktop.as_deref().map(json))
        .bind(user.catalogue.as_deref().map(json))
        .bind(user.required.as_deref().map(json))
        .bind(user.size.map(|size| size.to_string()));
        self.write(query).await.map(|_| ())
    }

    /// Removes a user, whose tokens then are nobody's; false if there is none
    /// of this name. Running sessions go on.
    pub async fn remove_user(&self, name: &str) -> Result<bool, StoreError> {
        let name = text(name);
        self.in_time(Access::Write, async {
            let mut lease = self.lease().await?;
            let mut transaction = lease.begin().await?;
            let query = sqlx::query("UPDATE tokens SET user_name = NULL WHERE user_name = $1");
            query.bind(name.clone()).execute(&mut *transaction).await?;
            let query = sqlx::query("DELETE FROM users WHERE name = $1").bind(name.clone());
            let done = query.execute(&mut *transaction).await?;
            transaction.commit().await?;
            lease.give_back();
            Ok(done.rows_affected() == 1)
        })
        .await
    }

    /// Says whose a token is, whether it was inserted before or not; nobody's,
    /// if `None`. False if there is no such user, or no token to take from
    /// anybody.
    pub async fn bind_token(&self, token: &Token, user: Option<&str>) -> Result<bool, StoreError> {
        let token = token.as_str().to_owned();
        let query = match user {
            Some(user) => sqlx::query(
                "INSERT INTO tokens (token, user_name, connections)
                 SELECT $1, name, 0 FROM users WHERE name = $2
                 ON CONFLICT (token) DO UPDATE SET user_name = excluded.user_name",
            )
            .bind(token)
            .bind(text(user)),
            None => sqlx::query("UPDATE tokens SET user_name = NULL WHERE token = $1").bind(token),
        };
        self.write(query).await
    }

    /// A user's tokens; 4,096 at most.
    pub async fn tokens_of(&self, user: &str) -> Result<Vec<Token>, StoreError> {
        let query =
            sqlx::query("SELECT token FROM tokens WHERE user_name = $1 ORDER BY token LIMIT $2");
        let rows = self.read(query.bind(text(user)).bind(LISTED_MAX)).await?;
        Ok(self.valid(&rows, |row| {
            let text: String = row.try_get("token").unwrap_or_default();
            text.parse()
                .map_err(|_| Corrupt { row: format!("token {text:?}"), column: "token".into() })
        }))
    }
}
