//! The core's questions to the store, and their answers.

use super::{Store, StoreError};
use crate::core::{StoreAnswer, StoreOperation};

impl Store {
    /// Does one thing, as [`super::model::StoreModel`] would.
    pub async fn perform(
        &self,
        operation: &StoreOperation,
        now_ms: u64,
    ) -> Result<StoreAnswer, StoreError> {
        Ok(match operation {
            StoreOperation::TokenSession { token, session } => {
                let (row, user) = self.token_session(token, *session).await?;
                StoreAnswer::Token { row: row.map(Box::new), user: user.map(Box::new) }
            }
            StoreOperation::SessionsOf(token) => StoreAnswer::Sessions {
                rows: self.sessions_of(token).await?,
                copies: self.copies_of(token).await?,
            },
            StoreOperation::Session(id) => StoreAnswer::Row(self.session(*id).await?.map(Box::new)),
            StoreOperation::CopiesAt(owner) => StoreAnswer::Copies(self.copies_at(owner).await?),
            StoreOperation::Connect { .. }
            | StoreOperation::Create { .. }
            | StoreOperation::TakeOver { .. } => {
                StoreAnswer::Count(self.perform_count(operation, now_ms).await?)
            }
            _ => StoreAnswer::Done(self.perform_write(operation, now_ms).await?),
        })
    }

    async fn perform_count(
        &self,
        operation: &StoreOperation,
        now_ms: u64,
    ) -> Result<Option<u64>, StoreError> {
        match operation {
            StoreOperation::Connect { session, epoch } => {
                self.connect((*session, *epoch), now_ms).await
            }
            StoreOperation::Create { row, only } => self.create(row, *only, now_ms).await,
            StoreOperation::TakeOver { session, from, owner, count } => {
                self.take_over((*session, *from), owner, *count, now_ms).await
            }
            _ => Ok(None),
        }
    }

    async fn perform_write(
        &self,
        operation: &StoreOperation,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        match operation {
            StoreOperation::SetEndpoint { session, epoch, owner, endpoint } => {
                self.set_endpoint((*session, *epoch), owner, *endpoint, now_ms).await
            }
            StoreOperation::SetServices { session, epoch, owner, services } => {
                self.set_services((*session, *epoch), owner, services, now_ms).await
            }
            StoreOperation::Rename { session, epoch, name } => {
                self.rename((*session, *epoch), name).await
            }
            StoreOperation::Wish { session, epoch, wish } => {
                self.set_wish((*session, *epoch), wish.as_ref()).await
            }
            StoreOperation::HandOver { session, epoch, owner, to } => {
                self.hand_over((*session, *epoch), owner, to, now_ms).await
            }
            StoreOperation::End { session, epoch, owner } => {
                self.end((*session, *epoch), owner, now_ms).await
            }
            StoreOperation::NoteCopy(copy) => self.note_copy(copy).await,
            StoreOperation::WishCopy { session, epoch, wish } => {
                self.set_copy_wish((*session, *epoch), wish).await
            }
            StoreOperation::ForgetCopy { session, epoch, owner } => {
                self.forget_copy((*session, *epoch), owner).await
            }
            // The rest has other answers, and goes other ways.
            StoreOperation::TokenSession { .. }
            | StoreOperation::SessionsOf(_)
            | StoreOperation::Session(_)
            | StoreOperation::CopiesAt(_)
            | StoreOperation::Connect { .. }
            | StoreOperation::Create { .. }
            | StoreOperation::TakeOver { .. } => Ok(false),
        }
    }
}
