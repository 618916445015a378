//! Why a file cannot sign archives unattended, and what would help.

use crate::cli::failure::Failure;
use ssh_key::{Algorithm, PrivateKey};
use std::path::Path;

/// What is wrong with a file that is no signing key.
pub fn unusable(path: &Path, text: &[u8]) -> Failure {
    let path = path.display();
    let wrong = |what: &str| Failure::usage(format!("the signing key {path} {what}"));
    match PrivateKey::from_openssh(text) {
        Ok(key) if key.algorithm() != Algorithm::Ed25519 => wrong(&format!(
            "is an {} key; what signs must be an ed25519 key",
            key.algorithm()
        ))
        .hint(another(&path.to_string())),
        // There is nobody to ask for a passphrase at night.
        Ok(_) => {
            wrong("is locked with a passphrase").hint(format!("ssh-keygen -p -N '' -f {path}"))
        }
        Err(ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. }) => {
            wrong("is of a kind that cannot be used; what signs must be an ed25519 key")
                .hint(another(&path.to_string()))
        }
        Err(_) if text.starts_with(b"-----BEGIN OPENSSH") => {
            wrong("is damaged").hint(format!("ssh-keygen -y -f {path}"))
        }
        // Keys in the formats of others can be rewritten.
        Err(_) if text.starts_with(b"-----BEGIN") => {
            wrong("is not an OpenSSH private key").hint(format!("ssh-keygen -p -N '' -f {path}"))
        }
        Err(_) if text.starts_with(b"ssh-") => {
            let private = path.to_string();
            let private = private
                .strip_suffix(".pub")
                .unwrap_or("sealift-signing-key");
            wrong("is not an OpenSSH private key, but a public one")
                .hint(format!("--signing-key {private}"))
        }
        Err(_) => wrong("is not an OpenSSH private key").hint(format!("file {path}")),
    }
}

/// A new key is believed only once its public half is on the list.
fn another(path: &str) -> String {
    format!(
        "ssh-keygen -t ed25519 -N '' -f {path}-ed25519; then push with --signing-key {path}-ed25519"
    )
}
