//! Signatures: SSHSIG over a manifest's bytes, with an ed25519 OpenSSH key.
//!
//! Promise: [`TrustedSigners::verify`] says yes only to a signature made in the namespace
//! `sealift`, over exactly these bytes, by a key that the operator listed for it; and who signed is
//! told only to those who say when ([`Signed::at`]), so that no period of a key is forgotten. Formats:
//! OpenSSH PROTOCOL.sshsig and PROTOCOL.key, and the `allowed_signers` of ssh-keygen(1), so that
//! `ssh-keygen -Y verify` reaches the same answer.

mod options;

use crate::formats::chunk::{ChunkKey, SecretDigestKey};
use crate::words::clock::Timestamp;
use jiff::tz::TimeZone;
use options::Period;
use ssh_key::private::KeypairData;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use zeroize::Zeroizing;

/// The namespace of every signature that sealift makes.
pub const NAMESPACE: &str = "sealift";

/// What is wrong with a key, a list of signers or a signature.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The text is no OpenSSH private key.
    #[error("the signing key is not an OpenSSH private key")]
    BadKey(#[source] ssh_key::Error),
    /// The key cannot be used to sign unattended.
    #[error("the signing key must be an ed25519 key without a passphrase")]
    UnusableKey,
    /// Signing failed.
    #[error("cannot sign")]
    Sign(#[source] ssh_key::Error),
    /// A line of the list of signers is not understood.
    #[error("line {line} of the trusted signers: {reason}")]
    BadSigners {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The list of signers has nobody in it.
    #[error("the list of trusted signers names nobody")]
    NoSigners,
    /// The signature is not an SSHSIG.
    #[error("the signature is not an SSH signature")]
    Malformed,
    /// Whoever signed is not trusted.
    #[error("signed by {0}, who is not a trusted signer")]
    UnknownSigner(String),
    /// The bytes are not the ones that were signed.
    #[error("the signature does not fit the bytes")]
    Mismatch,
    /// The key is trusted, but not for what was signed then.
    #[error("signed by {signer} at {at}, when that key was not valid")]
    OutsidePeriod {
        /// The key's fingerprint.
        signer: String,
        /// When it was signed, as the signed bytes say.
        at: Timestamp,
    },
}

/// The private key that signs manifests. Its memory is wiped when it is dropped.
pub struct SigningKey(PrivateKey);

impl SigningKey {
    /// Makes a new key, with a comment that says whose it is.
    ///
    /// # Errors
    /// [`SignatureError::Sign`] if the machine gives no randomness.
    pub fn generate(comment: &str) -> Result<Self, SignatureError> {
        let mut key =
            PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(SignatureError::Sign)?;
        key.set_comment(comment);
        Ok(Self(key))
    }

    /// Reads an OpenSSH private key.
    ///
    /// # Errors
    /// [`SignatureError::BadKey`] or [`SignatureError::UnusableKey`].
    pub fn parse(text: &[u8]) -> Result<Self, SignatureError> {
        let key = PrivateKey::from_openssh(text).map_err(SignatureError::BadKey)?;
        match key.key_data() {
            KeypairData::Ed25519(_) => Ok(Self(key)),
            _ => Err(SignatureError::UnusableKey),
        }
    }

    /// The key as an OpenSSH private key file.
    ///
    /// # Errors
    /// [`SignatureError::BadKey`] if it cannot be encoded.
    pub fn to_openssh(&self) -> Result<Zeroizing<String>, SignatureError> {
        self.0
            .to_openssh(LineEnding::LF)
            .map_err(SignatureError::BadKey)
    }

    /// The line for a list of trusted signers.
    ///
    /// # Errors
    /// [`SignatureError::BadKey`] if it cannot be encoded.
    pub fn allowed_signers_line(&self) -> Result<String, SignatureError> {
        let public = self
            .0
            .public_key()
            .to_openssh()
            .map_err(SignatureError::BadKey)?;
        Ok(format!("{NAMESPACE} namespaces=\"{NAMESPACE}\" {public}\n"))
    }

    /// What the key is called where it has signed: the public half's SHA-256 fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Signs bytes; the result is the text of a `.sig` file.
    ///
    /// # Errors
    /// [`SignatureError::Sign`].
    pub fn sign(&self, bytes: &[u8]) -> Result<String, SignatureError> {
        self.0
            .sign(NAMESPACE, HashAlg::Sha512, bytes)
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map_err(SignatureError::Sign)
    }

    /// The key of chunk identities that goes with this key.
    ///
    /// # Errors
    /// [`SignatureError::UnusableKey`]; it was checked when the key was made.
    pub fn chunk_key(&self) -> Result<ChunkKey, SignatureError> {
        self.seed().map(|seed| ChunkKey::derive(&seed))
    }

    /// The key of secrets' digests that goes with this key.
    ///
    /// # Errors
    /// [`SignatureError::UnusableKey`]; it was checked when the key was made.
    pub fn secret_digest_key(&self) -> Result<SecretDigestKey, SignatureError> {
        self.seed().map(|seed| SecretDigestKey::derive(&seed))
    }

    fn seed(&self) -> Result<Zeroizing<[u8; 32]>, SignatureError> {
        match self.0.key_data() {
            KeypairData::Ed25519(pair) => Ok(Zeroizing::new(pair.private.to_bytes())),
            _ => Err(SignatureError::UnusableKey),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.0.fingerprint(HashAlg::Sha256))
    }
}

/// Whose signatures are believed.
#[derive(Clone, Debug)]
pub struct TrustedSigners(Vec<Trusted>);

/// A line of the list.
#[derive(Clone, Debug)]
struct Trusted {
    key: PublicKey,
    period: Period,
}

/// A signature that fits the bytes and whose key is listed, though perhaps not for that time.
#[derive(Clone, Debug)]
#[must_use = "the key may not have been valid when it signed"]
pub struct Signed {
    signer: String,
    periods: Vec<Period>,
}

impl Signed {
    /// Who signed (the key's SHA-256 fingerprint), if the key was valid then. When that was, the signed
    /// bytes say, and so the signer: a key that was stolen can sign for any time in its period.
    ///
    /// # Errors
    /// [`SignatureError::OutsidePeriod`].
    pub fn at(self, at: Timestamp) -> Result<String, SignatureError> {
        let signer = self.signer;
        if self.periods.iter().any(|period| period.has(at)) {
            Ok(signer)
        } else {
            Err(SignatureError::OutsidePeriod { signer, at })
        }
    }
}

impl TrustedSigners {
    /// Reads a list in the format of ssh-keygen's `allowed_signers`. Times that are not in UTC are
    /// those of the zone.
    ///
    /// # Errors
    /// [`SignatureError::BadSigners`] at the first line that is not understood: an option that is
    /// ignored would be a restriction that is not kept. [`SignatureError::NoSigners`] for an empty list.
    pub fn parse(text: &str, zone: Option<&TimeZone>) -> Result<Self, SignatureError> {
        let mut trusted = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |reason| SignatureError::BadSigners {
                line: number + 1,
                reason,
            };
            let (_principals, rest) = line.split_once(' ').ok_or(bad("it has no key"))?;
            let (options, key) = options::read(rest.trim_start(), zone).map_err(bad)?;
            if options.has_namespace() {
                let key = PublicKey::from_openssh(key);
                trusted.push(Trusted {
                    key: key.map_err(|_| bad("not an OpenSSH public key"))?,
                    period: options.period,
                });
            }
        }
        if trusted.is_empty() {
            Err(SignatureError::NoSigners)
        } else {
            Ok(Self(trusted))
        }
    }

    /// Checks a signature over some bytes. A key that is listed more than once is valid in each of its
    /// periods.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`], [`SignatureError::UnknownSigner`] or
    /// [`SignatureError::Mismatch`].
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<Signed, SignatureError> {
        let signature = SshSig::from_pem(signature).map_err(|_| SignatureError::Malformed)?;
        let signer = signature
            .public_key()
            .fingerprint(HashAlg::Sha256)
            .to_string();
        let is_signer = |line: &&Trusted| line.key.key_data() == signature.public_key();
        let lines: Vec<&Trusted> = self.0.iter().filter(is_signer).collect();
        let Some(first) = lines.first() else {
            return Err(SignatureError::UnknownSigner(signer));
        };
        first
            .key
            .verify(NAMESPACE, bytes, &signature)
            .map_err(|_| SignatureError::Mismatch)?;
        let periods = lines.iter().map(|line| line.period).collect();
        Ok(Signed { signer, periods })
    }

    /// Whether what this key signs at a time is believed.
    #[must_use]
    pub fn trusts(&self, key: &SigningKey, at: Timestamp) -> bool {
        let own = key.0.public_key().key_data();
        self.0
            .iter()
            .any(|line| line.key.key_data() == own && line.period.has(at))
    }

    /// Whether a signer with this fingerprint is listed.
    #[must_use]
    pub fn contains(&self, fingerprint: &str) -> bool {
        self.0
            .iter()
            .any(|line| line.key.fingerprint(HashAlg::Sha256).to_string() == fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), SignatureError>;

    #[test]
    fn a_signature_holds_for_its_bytes_and_signer_only() -> Outcome {
        let (key, stranger) = (
            SigningKey::generate("host")?,
            SigningKey::generate("stranger")?,
        );
        let trusted = TrustedSigners::parse(&key.allowed_signers_line()?, None)?;
        let signature = key.sign(b"manifest")?;
        let signed = trusted.verify(b"manifest", signature.as_bytes())?;
        let signer = signed.at(Timestamp::UNIX_EPOCH)?;
        assert!(trusted.contains(&signer));
        let other_bytes = trusted.verify(b"manifesT", signature.as_bytes());
        assert!(matches!(other_bytes, Err(SignatureError::Mismatch)));
        let other_key = trusted.verify(b"manifest", stranger.sign(b"manifest")?.as_bytes());
        assert!(matches!(other_key, Err(SignatureError::UnknownSigner(_))));
        assert!(matches!(
            trusted.verify(b"manifest", b"junk"),
            Err(SignatureError::Malformed)
        ));
        Ok(())
    }

    #[test]
    fn a_key_file_is_read_back_with_the_same_chunk_key() -> Outcome {
        let key = SigningKey::generate("host")?;
        let again = SigningKey::parse(key.to_openssh()?.as_bytes())?;
        assert_eq!(
            key.chunk_key()?.identify(b"x"),
            again.chunk_key()?.identify(b"x")
        );
        assert!(matches!(
            SigningKey::parse(b"junk"),
            Err(SignatureError::BadKey(_))
        ));
        Ok(())
    }

    #[test]
    fn a_signer_for_other_namespaces_is_not_trusted() -> Outcome {
        let line = SigningKey::generate("host")?.allowed_signers_line()?;
        let git = line.replace("namespaces=\"sealift\"", "namespaces=\"git\"");
        assert!(matches!(
            TrustedSigners::parse(&git, None),
            Err(SignatureError::NoSigners)
        ));
        let both = line.replace("namespaces=\"sealift\"", "namespaces=\"git,sealift\"");
        assert!(TrustedSigners::parse(&both, None).is_ok());
        Ok(())
    }

    #[test]
    fn an_option_that_is_not_kept_is_refused() -> Outcome {
        let line = SigningKey::generate("host")?.allowed_signers_line()?;
        let restricted = line.replace("namespaces", "cert-authority,namespaces");
        let parsed = TrustedSigners::parse(&format!("# comment\n{restricted}"), None);
        assert!(matches!(
            parsed,
            Err(SignatureError::BadSigners { line: 2, .. })
        ));
        Ok(())
    }

    #[test]
    fn a_key_counts_in_each_of_its_periods_and_in_no_other() -> Outcome {
        let key = SigningKey::generate("host")?;
        let line = key.allowed_signers_line()?;
        let of = |after: &str, before: &str| {
            let period = format!("valid-after=\"{after}Z\",valid-before=\"{before}Z\",namespaces");
            line.replace("namespaces", &period)
        };
        let list = of("20260101", "20260201") + &of("20260301", "20260401");
        let trusted = TrustedSigners::parse(&list, None)?;
        let signature = key.sign(b"manifest")?;
        for (time, is_valid) in [
            ("2025-12-31T00:00:00Z", false),
            ("2026-01-15T00:00:00Z", true),
            ("2026-02-15T00:00:00Z", false),
            ("2026-03-15T00:00:00Z", true),
            ("2026-04-15T00:00:00Z", false),
        ] {
            let at: Timestamp = time.parse().unwrap_or_default();
            let believed = trusted.verify(b"manifest", signature.as_bytes())?.at(at);
            assert_eq!(believed.is_ok(), is_valid, "{time}");
            assert_eq!(trusted.trusts(&key, at), is_valid, "{time}");
        }
        Ok(())
    }
}
