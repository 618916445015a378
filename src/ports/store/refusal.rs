//! Why a server, or the way to it, did not do what was asked: in words, whichever service it is.
//!
//! Source of the codes: the error lists of the S3, Cloud Storage (XML) and Blob Storage APIs.

use std::fmt;

/// Why a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credentials were found.
    NoCredentials,
    /// The credentials are not known, or their secret is wrong.
    WrongCredentials,
    /// The credentials were good once.
    Expired,
    /// The credentials are good, but not for this.
    Denied,
    /// There is no such bucket or container.
    NoBucket,
    /// The bucket is in another region, or the request was signed for another.
    WrongRegion,
    /// The server would rather be asked at another address.
    Moved,
    /// The clock of this host and that of the server are too far apart.
    ClockSkew,
    /// It would have to go over the network in the clear, which nobody has asked for.
    InTheClear,
    /// The object is locked: it cannot be deleted or replaced yet.
    Locked,
    /// The server does not have what was asked for, such as creating only what is not there.
    Unsupported,
    /// What arrived at the server is not what was sent.
    Corrupted,
    /// No connection: no such host, no route, nobody listening.
    Unreachable,
    /// The server is not who it should be, as far as its certificate goes.
    Untrusted,
    /// The server and this host do not come to an encrypted connection.
    NoTls,
    /// Nothing moved for too long.
    Stalled,
    /// The connection broke off.
    Interrupted,
    /// The server is overloaded or broken.
    Unavailable,
    /// Another request on the same object is under way.
    Busy,
    /// What was answered as a success cannot be read.
    Garbled,
    /// What was answered is not what the protocol calls for.
    Other,
}

impl Refusal {
    /// Whether the same request may well succeed a little later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Corrupted
                | Self::Unreachable
                | Self::Stalled
                | Self::Interrupted
                | Self::Unavailable
                | Self::Garbled
                | Self::Busy
        )
    }

    /// What an error answer means; `None` for those that say something of an object.
    pub(super) fn of(status: u16, code: &str) -> Option<Self> {
        Self::of_code(code).or(match status {
            304 | 404 | 409 | 412 | 416 => None,
            301 | 302 | 307 | 308 => Some(Self::Moved),
            401 => Some(Self::WrongCredentials),
            403 => Some(Self::Denied),
            408 => Some(Self::Stalled),
            429 | 500 | 502..=504 => Some(Self::Unavailable),
            501 => Some(Self::Unsupported),
            _ => Some(Self::Other),
        })
    }

    /// What Azure says of one object in a batch of deletions, which `object_store` passes on as text
    /// that ends in `(code: 403)`.
    pub(super) fn of_deletion(said: &str) -> Option<Self> {
        let (_, status) = said.strip_suffix(')')?.rsplit_once("(code: ")?;
        match status.parse().ok()? {
            409 => Some(Self::Locked),
            status => Self::of(status, ""),
        }
    }

    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "AuthenticationFailed"
            | "InvalidToken"
            | "NotSignedUp"
            | "InvalidAuthenticationInfo"
            | "invalid_grant"
            | "invalid_client"
            | "UnrecognizedClientException" => Self::WrongCredentials,
            "ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException" => Self::Expired,
            "NoSuchBucket"
            | "InvalidBucketName"
            | "ContainerNotFound"
            | "ContainerBeingDeleted"
            | "InvalidResourceName" => Self::NoBucket,
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException"
            | "InvalidRegion" => Self::WrongRegion,
            "RequestTimeTooSkewed" | "RequestExpired" => Self::ClockSkew,
            "ObjectLocked"
            | "BlobImmutableDueToPolicy"
            | "BlobImmutableDueToLegalHold"
            | "RetentionPolicyNotMet"
            | "ObjectUnderActiveHold"
            | "InvalidRequestObjectLocked" => Self::Locked,
            "NotImplemented" => Self::Unsupported,
            "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "InvalidDigest"
            | "Md5Mismatch"
            | "IncompleteBody" => Self::Corrupted,
            "RequestTimeout" => Self::Stalled,
            "SlowDown" | "ServiceUnavailable" | "ServerBusy" | "InternalError"
            | "OperationTimedOut" | "Throttling" => Self::Unavailable,
            "ConditionalRequestConflict" | "OperationAborted" => Self::Busy,
            "AccessDenied"
            | "AuthorizationPermissionMismatch"
            | "AuthorizationFailure"
            | "InsufficientAccountPermissions" => Self::Denied,
            _ => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCredentials => "there are no credentials",
            Self::WrongCredentials => "the credentials are wrong",
            Self::Expired => "the credentials have expired",
            Self::Denied => "the credentials do not allow it",
            Self::NoBucket => "there is no such bucket",
            Self::WrongRegion => "the bucket is in another region",
            Self::Moved => "the server is at another address",
            Self::ClockSkew => "the clocks of this host and of the store are too far apart",
            Self::InTheClear => "it is not to go over the network in the clear",
            Self::Locked => "the object is locked",
            Self::Unsupported => "the store cannot do that",
            Self::Corrupted => "it was damaged on its way",
            Self::Unreachable => "the server cannot be reached",
            Self::Untrusted => "the server cannot be trusted",
            Self::NoTls => "no encrypted connection came about",
            Self::Stalled => "the transfer has stalled",
            Self::Interrupted => "the connection broke off",
            Self::Unavailable => "the server is overloaded or broken",
            Self::Busy => "another request is under way",
            Self::Garbled => "the answer makes no sense",
            Self::Other => "the server answered something else",
        })
    }
}

/// An error answer, on its way through `object_store` to where it becomes an error of ours.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) refusal: Refusal,
    /// What the server said, in one line.
    pub(super) said: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for Answer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_more_than_its_status() {
        assert_eq!(Refusal::of(403, "AccessDenied"), Some(Refusal::Denied));
        assert_eq!(
            Refusal::of(403, "RequestTimeTooSkewed"),
            Some(Refusal::ClockSkew)
        );
        assert_eq!(Refusal::of(400, "ExpiredToken"), Some(Refusal::Expired));
        assert_eq!(Refusal::of(404, "NoSuchBucket"), Some(Refusal::NoBucket));
        assert_eq!(
            Refusal::of(409, "ConditionalRequestConflict"),
            Some(Refusal::Busy)
        );
        assert_eq!(Refusal::of(400, ""), Some(Refusal::Other));
    }

    #[test]
    fn a_deletion_in_a_batch_is_refused_in_text() {
        let said =
            |code| format!("Bulk delete request failed for key a (b): Sorry. (code: {code})");
        let of = |code| Refusal::of_deletion(&said(code));
        assert_eq!(of("403"), Some(Refusal::Denied));
        assert_eq!(of("409"), Some(Refusal::Locked));
        assert_eq!(of("503"), Some(Refusal::Unavailable));
        assert_eq!(of("x"), None);
        assert_eq!(Refusal::of_deletion("No such file (os error 2)"), None);
    }

    #[test]
    fn what_says_something_of_an_object_is_no_refusal() {
        for (status, code) in [
            (404, "NoSuchKey"),
            (404, ""),
            (412, "PreconditionFailed"),
            (409, "BlobAlreadyExists"),
        ] {
            assert_eq!(Refusal::of(status, code), None);
        }
    }
}
