//! The core's questions to the store.

use super::clock;
use crate::core::{StoreAnswer, StoreOperation};
use crate::store::{Store, StoreError};

/// Asks the store. One that does not answer is logged here, and nowhere else.
pub async fn perform(store: &Store, operation: StoreOperation) -> StoreAnswer {
    match ask(store, operation).await {
        Ok(answer) => answer,
        Err(e) => {
            tracing::warn!("{e}");
            StoreAnswer::Down
        }
    }
}

async fn ask(store: &Store, operation: StoreOperation) -> Result<StoreAnswer, StoreError> {
    let now_ms = clock::wall_ms();
    Ok(match operation {
        StoreOperation::TokenSession { token, .. } => {
            StoreAnswer::Token { row: store.session_of(&token).await?.map(Box::new), user: None }
        }
        StoreOperation::Session(id) => StoreAnswer::Row(store.session(id).await?.map(Box::new)),
        StoreOperation::Connect { session, epoch } => {
            StoreAnswer::Count(store.connect(session, epoch, now_ms).await?)
        }
        StoreOperation::Create { row, .. } => {
            StoreAnswer::Done(store.create(&row, now_ms).await?.is_ok())
        }
        StoreOperation::TakeOver { session, from, owner, count } => {
            StoreAnswer::Count(store.take_over(session, from, &owner, count, now_ms).await?)
        }
        StoreOperation::SetEndpoint { session, epoch, owner, endpoint } => {
            StoreAnswer::Done(store.set_endpoint(session, epoch, &owner, endpoint, now_ms).await?)
        }
        StoreOperation::End { session, epoch, owner } => {
            StoreAnswer::Done(store.end(session, epoch, &owner, now_ms).await?)
        }
        _ => StoreAnswer::Down,
    })
}
