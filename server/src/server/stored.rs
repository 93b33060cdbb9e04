//! The core's questions to the store.

use super::clock;
use crate::core::{StoreAnswer, StoreOperation};
use crate::store::{Store, StoreError};

/// Asks the store. That one is away the store itself has logged, when it was
/// new; what else is wrong is logged here, and nowhere else.
pub async fn perform(store: &Store, operation: StoreOperation) -> StoreAnswer {
    match store.perform(&operation, clock::wall_ms()).await {
        Ok(answer) => answer,
        Err(e @ StoreError::Away { .. }) => {
            tracing::debug!("{e}");
            StoreAnswer::Down
        }
        Err(e) => {
            tracing::error!("{e}");
            StoreAnswer::Down
        }
    }
}
