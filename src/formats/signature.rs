//! Signatures: SSHSIG over a manifest's bytes, with an ed25519 OpenSSH key.
//!
//! Promise: [`TrustedSigners::verify`] says yes only to a signature made in the namespace
//! `sealift`, over exactly these bytes, by a key that the operator listed for it. Formats: OpenSSH
//! PROTOCOL.sshsig and PROTOCOL.key, and the `allowed_signers` of ssh-keygen(1), so that
//! `ssh-keygen -Y verify` reaches the same answer.

use crate::formats::chunk::{ChunkKey, SecretDigestKey};
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
pub struct TrustedSigners(Vec<PublicKey>);

impl TrustedSigners {
    /// Reads a list in the format of ssh-keygen's `allowed_signers`.
    ///
    /// # Errors
    /// [`SignatureError::BadSigners`] at the first line that is not understood: an option that is
    /// ignored would be a restriction that is not kept. [`SignatureError::NoSigners`] for an empty list.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let mut keys = Vec::new();
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
            let key = strip_namespaces(rest.trim_start()).map_err(bad)?;
            if let Some(key) = key {
                keys.push(
                    PublicKey::from_openssh(key).map_err(|_| bad("not an OpenSSH public key"))?,
                );
            }
        }
        if keys.is_empty() {
            Err(SignatureError::NoSigners)
        } else {
            Ok(Self(keys))
        }
    }

    /// Checks a signature over some bytes and says who made it (the key's SHA-256 fingerprint).
    ///
    /// # Errors
    /// [`SignatureError::Malformed`], [`SignatureError::UnknownSigner`] or
    /// [`SignatureError::Mismatch`].
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<String, SignatureError> {
        let signature = SshSig::from_pem(signature).map_err(|_| SignatureError::Malformed)?;
        let signer = signature
            .public_key()
            .fingerprint(HashAlg::Sha256)
            .to_string();
        let key = self
            .0
            .iter()
            .find(|key| key.key_data() == signature.public_key());
        let Some(key) = key else {
            return Err(SignatureError::UnknownSigner(signer));
        };
        key.verify(NAMESPACE, bytes, &signature)
            .map_err(|_| SignatureError::Mismatch)?;
        Ok(signer)
    }

    /// Whether what this key signs is believed.
    #[must_use]
    pub fn trusts(&self, key: &SigningKey) -> bool {
        let own = key.0.public_key().key_data();
        self.0.iter().any(|key| key.key_data() == own)
    }

    /// Whether a signer with this fingerprint is trusted now.
    #[must_use]
    pub fn contains(&self, fingerprint: &str) -> bool {
        self.0
            .iter()
            .any(|key| key.fingerprint(HashAlg::Sha256).to_string() == fingerprint)
    }
}

/// The key of a line after its options; `None` if its namespaces leave sealift out.
fn strip_namespaces(rest: &str) -> Result<Option<&str>, &'static str> {
    let Some(quoted) = rest.strip_prefix("namespaces=\"") else {
        let starts_with_key = rest.starts_with("ssh-") || rest.starts_with("sk-");
        return if starts_with_key {
            Ok(Some(rest))
        } else {
            Err("only the option namespaces is known")
        };
    };
    let (namespaces, key) = quoted.split_once('"').ok_or("a quote is not closed")?;
    let key = key
        .strip_prefix(' ')
        .ok_or("only the option namespaces is known")?;
    Ok(namespaces
        .split(',')
        .any(|name| name == NAMESPACE)
        .then_some(key.trim_start()))
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
        let trusted = TrustedSigners::parse(&key.allowed_signers_line()?)?;
        let signature = key.sign(b"manifest")?;
        let signer = trusted.verify(b"manifest", signature.as_bytes())?;
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
            TrustedSigners::parse(&git),
            Err(SignatureError::NoSigners)
        ));
        let both = line.replace("namespaces=\"sealift\"", "namespaces=\"git,sealift\"");
        assert!(TrustedSigners::parse(&both).is_ok());
        Ok(())
    }

    #[test]
    fn an_option_that_is_not_kept_is_refused() -> Outcome {
        let line = SigningKey::generate("host")?.allowed_signers_line()?;
        let dated = line.replace("namespaces", "valid-before=\"20200101\",namespaces");
        let parsed = TrustedSigners::parse(&format!("# comment\n{dated}"));
        assert!(matches!(
            parsed,
            Err(SignatureError::BadSigners { line: 2, .. })
        ));
        Ok(())
    }
}
