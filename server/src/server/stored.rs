//! The core's questions to the store.

use super::clock;
use crate::core::{StoreAnswer, StoreOperation};
use crate::store::{Store, StoreError};

/// Asks the store. That it is away, or has a corrupt row, the store itself has
/// logged, when it was new; what else is wrong is logged here, and nowhere else.
pub async fn perform(store: &Store, operation: StoreOperation) -> StoreAnswer {
    match store.perform(&operation, clock::wall_ms()).await {
        Ok(answer) => answer,
        Err(e @ StoreError::Away { .. }) => {
            tracing::debug!("{e}");
            StoreAnswer::Down
        }
        Err(e @ StoreError::Corrupt { .. }) => StoreAnswer::Corrupt(e.to_string()),
        Err(e) => {
            tracing::error!("{e}");
            StoreAnswer::Down
        }
    }
}
