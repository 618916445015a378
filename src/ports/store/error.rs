//! What goes wrong with a store, in words of ours.
//!
//! Promise: an error names the object and the store, and its source is the cause alone: the
//! messages of `object_store` repeat their sources, so the cause is dug out here.

use super::http::causes;
use super::refusal::{Answer, Refusal};
use super::url::StoreUrl;
use std::error::Error;
use std::io;

/// A store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store at the URL.
    #[error("there is no store at {0}")]
    Absent(String),
    /// The store showed archives before, and shows none at all now.
    #[error("{0} shows none of the archives that were there: is it mounted?")]
    Emptied(String),
    /// The object is not there.
    #[error("{object} is missing from {store}")]
    NotFound {
        /// The object's name.
        object: String,
        /// The store's URL.
        store: String,
    },
    /// The object was there already.
    #[error("{object} is in {store} already")]
    Exists {
        /// The object's name.
        object: String,
        /// The store's URL.
        store: String,
    },
    /// The object is smaller or larger than it can be.
    #[error("{object} in {store} is damaged: it has {bytes} bytes, which is not its size")]
    WrongSize {
        /// The object's name.
        object: String,
        /// The store's URL.
        store: String,
        /// The size it has.
        bytes: u64,
    },
    /// The store's address or credentials lack something, so that nothing was asked of it.
    #[error("cannot use {store}: {reason}")]
    Unusable {
        /// The store's URL.
        store: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// The store did not answer while others did.
    #[error("{0} does not answer, and others do")]
    Late(String),
    /// The store, or the way to it, refused.
    #[error("cannot {action} {object} in {store}: {refusal}")]
    Refused {
        /// What was tried, as `read`.
        action: &'static str,
        /// The object's name.
        object: String,
        /// The store's URL.
        store: String,
        /// Why.
        refusal: Refusal,
        /// What the server said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Anything else.
    #[error("cannot {action} {object} in {store}")]
    Failed {
        /// What was tried, as `read`.
        action: &'static str,
        /// The object's name.
        object: String,
        /// The store's URL.
        store: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// Why the store refused, if it did.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }

    /// Whether the same may well succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.refusal().is_some_and(Refusal::is_transient)
    }

    pub(super) fn from_object(
        action: &'static str,
        object: &str,
        store: &StoreUrl,
        error: object_store::Error,
    ) -> Self {
        let is_bucket = matches!(store, StoreUrl::Bucket(_));
        let (object, store) = (object.to_owned(), store.identity());
        if let Some(answer) = causes(&error).find_map(|cause| cause.downcast_ref::<Answer>()) {
            return Self::Refused {
                action,
                object,
                store,
                refusal: answer.refusal,
                source: answer.said.clone().into(),
            };
        }
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound { object, store },
            object_store::Error::AlreadyExists { .. } => Self::Exists { object, store },
            other => {
                let source = root_cause(&other);
                // What is left of a service are answers that cannot be read.
                let is_garbled = matches!(other, object_store::Error::Generic { .. }) && is_bucket;
                let garbled = is_garbled.then_some(Refusal::Garbled);
                match Refusal::of_deletion(&source.to_string()).or(garbled) {
                    None => Self::Failed {
                        action,
                        object,
                        store,
                        source,
                    },
                    Some(refusal) => Self::Refused {
                        action,
                        object,
                        store,
                        refusal,
                        source,
                    },
                }
            }
        }
    }

    pub(super) fn from_io(
        action: &'static str,
        object: &str,
        store: &StoreUrl,
        error: io::Error,
    ) -> Self {
        let (object, store) = (object.to_owned(), store.identity());
        Self::Failed {
            action,
            object,
            store,
            source: Box::new(error),
        }
    }
}

/// The innermost error: an operating system's error as it is, anything else as its text.
fn root_cause(error: &(dyn Error + 'static)) -> Box<dyn Error + Send + Sync> {
    let cause = causes(error).last().unwrap_or(error);
    match cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::raw_os_error)
    {
        Some(code) => Box::new(io::Error::from_raw_os_error(code)),
        None => cause.to_string().into(),
    }
}
