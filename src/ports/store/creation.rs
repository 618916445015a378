//! Creation: how an object is written where nothing is, by one writer of several.

use super::error::StoreError;
use super::objects::Size;
use super::{Creation, Exclusivity, Store};
use crate::words::ids::Digest;
use crate::words::limits::MANIFEST_MAX;
use bytes::Bytes;
use object_store::PutMode;

impl Store {
    /// Writes an object where nothing is. A reply that was lost can make a success look like a loss, so
    /// what is there with these very bytes is ours.
    pub(super) async fn create(
        &self,
        object: &str,
        bytes: Vec<u8>,
        exclusivity: Exclusivity,
    ) -> Result<Creation, StoreError> {
        let id = Digest::of(&bytes);
        let bytes = Bytes::from(bytes);
        let mode = match exclusivity {
            Exclusivity::ByStore => PutMode::Create,
            Exclusivity::ByCheck => PutMode::Overwrite,
        };
        let mut attempts = self.network.attempts();
        loop {
            if exclusivity == Exclusivity::ByCheck
                && let Some(creation) = self.creation(object, id).await?
            {
                return Ok(creation);
            }
            let error = match self.put_once(object, bytes.clone(), mode.clone()).await {
                Ok(()) if exclusivity == Exclusivity::ByStore => return Ok(Creation::Created),
                Ok(()) => {
                    let there = self.creation(object, id).await?;
                    return Ok(there.unwrap_or(Creation::Taken));
                }
                Err(error) => error,
            };
            let may_be_there = matches!(error, StoreError::Exists { .. }) || error.is_transient();
            if !may_be_there {
                return Err(error);
            }
            if let Some(creation) = self.creation(object, id).await? {
                return Ok(creation);
            }
            if !attempts.another(&error).await {
                return Err(error);
            }
        }
    }

    /// Who has created an object; `None` if nobody has.
    async fn creation(&self, object: &str, id: Digest) -> Result<Option<Creation>, StoreError> {
        let mut again = true;
        loop {
            match self.get(object, Size::AtMost(MANIFEST_MAX), 0).await {
                Ok(there) if Digest::of(&there) == id => return Ok(Some(Creation::Created)),
                // Ours, damaged on its way, must not pass for another's.
                Ok(_) if again => again = false,
                Ok(_) => return Ok(Some(Creation::Taken)),
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
