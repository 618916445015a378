//! What to do when a store refuses.

use crate::cli::failure::io_hint;
use crate::cli::values::plain_http;
use sealift::{Refusal, StoreError};

/// The hint for an error of a store.
pub fn store_hint(error: &StoreError) -> Option<String> {
    let folder = |store: &str| store.trim_start_matches("file://").to_owned();
    match error {
        StoreError::Absent(store) => Some(format!(
            "mount it, or say where it is: --store PATH; for a new store: mkdir -p {}",
            folder(store)
        )),
        StoreError::NotFound { .. } | StoreError::WrongSize { .. } => Some("sealift verify".into()),
        StoreError::Failed { store, source, .. } => io_hint(&**source, &folder(store)),
        StoreError::Emptied(store) if store.starts_with("file://") => Some(format!(
            "mountpoint {0}; if it is a new disk, fill it from another store: sealift replicate --refill --to {0}; \
             to begin anew in an empty store, give another --state folder",
            folder(store)
        )),
        StoreError::Emptied(store) => Some(format!(
            "see what is there: sealift doctor; from another store: sealift replicate --refill --to '{store}'"
        )),
        StoreError::Exists { .. } => None,
        StoreError::Unusable { store, .. } if store.starts_with("az://") => Some(
            "say which account it is, az://container/prefix?account=NAME, and set \
                 AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY"
                .into(),
        ),
        StoreError::Unusable { store, .. } if store.starts_with("gs://") => {
            Some(credentials("gs").into())
        }
        StoreError::Unusable { reason, .. } if reason.contains("plain HTTP") => {
            Some(plain_http("http://HOST:PORT"))
        }
        StoreError::Unusable { .. } | StoreError::Late(_) => Some("sealift doctor".into()),
        StoreError::Refused { store, refusal, .. } => Some(refusal_hint(*refusal, store)),
    }
}

/// What to do about a refusal of a store.
pub fn refusal_hint(refusal: Refusal, store: &str) -> String {
    let (service, _) = store.split_once("://").unwrap_or((store, ""));
    let hint = match refusal {
        Refusal::NoCredentials | Refusal::WrongCredentials => credentials(service),
        Refusal::Expired => match service {
            "s3" => "renew them: aws sso login, or set AWS_SESSION_TOKEN and its keys anew",
            "gs" => "renew them: gcloud auth application-default login",
            _ => "set AZURE_STORAGE_SAS_KEY, or the credentials that you use, anew",
        },
        // Azure says the same of a key that is wrong and of a host that the account keeps out.
        Refusal::Denied if service == "az" => {
            "check the key, what it may do, and whom the account's firewall lets in: sealift doctor"
        }
        Refusal::Denied => "see what they may do: sealift doctor",
        Refusal::NoBucket => "check the name and the endpoint in --store; sealift makes no buckets",
        Refusal::WrongRegion => {
            "name the bucket's region in the address: --store 's3://bucket/prefix?region=eu-west-1'"
        }
        Refusal::Moved => "give the address that the server names as the endpoint in --store",
        Refusal::ClockSkew => "set the clock: timedatectl status",
        Refusal::InTheClear => {
            "use https://; or, on a network that is yours alone, add allow_http=true to the address"
        }
        Refusal::Locked => "wait until the lock has ended",
        Refusal::Garbled => {
            "check that the endpoint in --store is the service's own, and try again: sealift doctor"
        }
        Refusal::Unsupported | Refusal::Other => "see what the store can do: sealift doctor",
        Refusal::Corrupted => {
            "use https, on which nothing can be damaged unseen; if it is used: sealift doctor"
        }
        Refusal::Unreachable => {
            "check the endpoint in --store, and the network; to wait longer: --deadline 30m"
        }
        Refusal::Untrusted => {
            "check the endpoint in --store; for a certificate of your own authority: --ca-bundle FILE"
        }
        Refusal::NoTls => {
            "check the endpoint in --store: a server without TLS takes http:// and allow_http=true"
        }
        Refusal::Stalled => {
            "try again when the network is better, or be more patient: --timeout 5m"
        }
        Refusal::Interrupted | Refusal::Unavailable | Refusal::Busy => {
            "try again later: what was stored is not sent again; to wait longer: --deadline 30m"
        }
    };
    hint.into()
}

fn credentials(service: &str) -> &'static str {
    match service {
        "s3" => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile: --store 's3://bucket/prefix?profile=NAME'"
        }
        "gs" => {
            "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or: gcloud auth application-default login"
        }
        _ => {
            "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_KEY"
        }
    }
}
