//! Recipients and identities of age: who a blob is sealed to, and who opens it.
//!
//! Promise: a recipient that is named is a recipient that is sealed to; a line that cannot be
//! parsed is an error, never skipped. Formats of the keys: C2SP age (`age1…`), and the SSH keys
//! that age takes (`ssh-ed25519 …`, `ssh-rsa …`). A plugin's recipient (`age1name1…`) is only
//! recognised here; the program behind it is found by the floor above.

use age::ssh;
use age::x25519;
use std::fmt;
use std::io::Cursor;

/// Something that wraps a file key, and may be used from any thread.
pub type Wrapper = Box<dyn age::Recipient + Send + Sync>;
/// Something that unwraps a file key, and may be used from any thread.
pub type Unwrapper = Box<dyn age::Identity + Send + Sync>;

/// What is wrong with a recipient or an identity.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is no recipient of a kind that is known.
    #[error("{0:?} is not a recipient (age1…, ssh-ed25519 … or ssh-rsa …)")]
    BadRecipient(String),
    /// The SSH key is of a kind that age cannot seal to.
    #[error("{0:?} is an SSH key of a kind that age cannot seal to (ed25519 and rsa work)")]
    UnsupportedSsh(String),
    /// The identity file holds something else.
    #[error("the identity file holds no identity that can be used: {0}")]
    BadIdentity(&'static str),
    /// The recipient is of a kind that came after the version of age that is used here.
    #[error("{0:?} is a post-quantum recipient, and this version of sealift takes none")]
    PostQuantum(String),
    /// A plugin is needed and cannot be had; this is its name, as in `age-plugin-NAME`.
    #[error("the age plugin {0} cannot be used: the program age-plugin-{0} is not in the PATH")]
    Plugin(String),
}

/// One parsed recipient.
pub enum Recipient {
    /// Sealed to without any help.
    Plain(Wrapper),
    /// Sealed to by the program `age-plugin-NAME`.
    Plugin(age::plugin::Recipient),
}

impl std::str::FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if let Ok(native) = text.parse::<x25519::Recipient>() {
            return Ok(Self::Plain(Box::new(native)));
        }
        if ["ssh-", "ecdsa-", "sk-"]
            .iter()
            .any(|kind| text.starts_with(kind))
        {
            return match text.parse::<ssh::Recipient>() {
                Ok(key) => Ok(Self::Plain(Box::new(key))),
                Err(ssh::ParseRecipientKeyError::Unsupported(_)) => {
                    Err(KeyError::UnsupportedSsh(cut(text)))
                }
                Err(_) => Err(KeyError::BadRecipient(cut(text))),
            };
        }
        // The name is taken from plugins, and no plugin can be asked for it.
        if text.starts_with("age1pq1") {
            return Err(KeyError::PostQuantum(text.chars().take(20).collect()));
        }
        match text.parse::<age::plugin::Recipient>() {
            Ok(plugin) => Ok(Self::Plugin(plugin)),
            Err(_) => Err(KeyError::BadRecipient(cut(text))),
        }
    }
}

/// A private key given by mistake must not come back in an error.
fn cut(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    if ["SECRET-KEY", "AGE-PLUGIN-", "PRIVATE"]
        .iter()
        .any(|mark| upper.contains(mark))
    {
        return "(a private key)".into();
    }
    text.chars().take(80).collect()
}

/// Everybody a class of blobs is sealed to: sorted, each once, never empty.
pub struct Recipients {
    names: Vec<String>,
    wrappers: Vec<Wrapper>,
}

impl Recipients {
    /// Puts recipients together; `None` if there is not one.
    #[must_use]
    pub fn new(mut named: Vec<(String, Wrapper)>) -> Option<Self> {
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.dedup_by(|a, b| a.0 == b.0);
        let (names, wrappers): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        (!names.is_empty()).then_some(Self { names, wrappers })
    }

    /// The recipients as they are written in a manifest.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The recipients as age takes them.
    pub(crate) fn wrappers(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.wrappers
            .iter()
            .map(|wrapper| &**wrapper as &dyn age::Recipient)
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.names).finish()
    }
}

/// A new X25519 identity: its secret line, wiped when dropped, and its recipient.
#[must_use]
pub fn generate_identity() -> (age::secrecy::SecretString, String) {
    let identity = x25519::Identity::generate();
    (identity.to_string(), identity.to_public().to_string())
}

/// Reads an identity file: age identities and plugin identities, or one SSH private key.
///
/// # Errors
/// [`KeyError::BadIdentity`] if the file is none of these, or is locked with a passphrase;
/// [`KeyError::Plugin`] if the plugin it needs is not installed.
pub fn read_identities(text: &[u8]) -> Result<Vec<Unwrapper>, KeyError> {
    let shown = String::from_utf8_lossy(&text[..text.len().min(64)]);
    if shown.starts_with("-----BEGIN AGE") || shown.starts_with("age-encryption.org/") {
        return Err(KeyError::BadIdentity("it is locked with a passphrase"));
    }
    if shown.trim_start().starts_with("-----BEGIN") {
        return read_ssh_identity(text);
    }
    let file = age::IdentityFile::from_buffer(Cursor::new(text))
        .map_err(|_| KeyError::BadIdentity(unknown_line(text)))?;
    let identities = file
        .into_identities()
        .map_err(|error| KeyError::Plugin(plugin_of(&error)))?;
    if identities.is_empty() {
        return Err(KeyError::BadIdentity("it is empty"));
    }
    Ok(identities)
}

/// Why there is a line in an identity file that is not understood.
fn unknown_line(text: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(text).to_ascii_uppercase();
    if text.contains("AGE-SECRET-KEY-PQ-1") {
        "it holds a post-quantum identity, and this version of sealift takes none"
    } else {
        "it has a line that is no identity"
    }
}

/// The name of the plugin that is missing.
fn plugin_of(error: &age::DecryptError) -> String {
    match error {
        age::DecryptError::PluginResolve(age::plugin::ResolveError::MissingPlugin {
            binary_name,
        }) => binary_name.trim_start_matches("age-plugin-").to_owned(),
        age::DecryptError::PluginResolve(age::plugin::ResolveError::InvalidPluginName { name }) => {
            name.clone()
        }
        _ => "NAME".into(),
    }
}

fn read_ssh_identity(text: &[u8]) -> Result<Vec<Unwrapper>, KeyError> {
    match ssh::Identity::from_buffer(Cursor::new(text), None) {
        Ok(ssh::Identity::Unencrypted(key)) => Ok(vec![Box::new(ssh::Identity::from(key))]),
        Ok(ssh::Identity::Encrypted(_)) => Err(KeyError::BadIdentity(
            "the SSH key is locked with a passphrase",
        )),
        Ok(ssh::Identity::Unsupported(_)) => Err(KeyError::BadIdentity(
            "the SSH key is of a kind that age cannot use",
        )),
        Err(_) => Err(KeyError::BadIdentity("it is no SSH private key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret;

    #[test]
    fn a_generated_identity_is_read_back() {
        let (secret, recipient) = generate_identity();
        let file = format!("# made by a test\n{}\n", secret.expose_secret());
        assert_eq!(
            read_identities(file.as_bytes())
                .map(|found| found.len())
                .ok(),
            Some(1)
        );
        assert!(matches!(recipient.parse(), Ok(Recipient::Plain(_))));
    }

    #[test]
    fn a_private_key_given_as_a_recipient_is_not_repeated() {
        let (secret, _) = generate_identity();
        let error = secret
            .expose_secret()
            .parse::<Recipient>()
            .err()
            .map(|e| e.to_string());
        let error = error.unwrap_or_default();
        assert!(error.contains("a private key"), "{error}");
        assert!(!error.contains(secret.expose_secret()));
    }

    #[test]
    fn recipients_are_sorted_and_each_once() {
        let wrapper = || -> Wrapper { Box::new(x25519::Identity::generate().to_public()) };
        let named = vec![
            ("b".into(), wrapper()),
            ("a".into(), wrapper()),
            ("b".into(), wrapper()),
        ];
        let recipients = Recipients::new(named);
        assert_eq!(
            recipients.map(|r| r.names),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(Recipients::new(Vec::new()).is_none());
    }

    #[test]
    fn the_missing_plugin_of_an_identity_is_named() {
        let error = read_identities(b"AGE-PLUGIN-NO-SUCH-1CDSXTU\n").err();
        assert!(
            matches!(&error, Some(KeyError::Plugin(name)) if name == "no-such"),
            "{error:?}"
        );
    }

    #[test]
    fn post_quantum_keys_are_refused_as_what_they_are() {
        let recipient = format!("age1pq1{}", "q".repeat(1900)).parse::<Recipient>();
        assert!(matches!(recipient.err(), Some(KeyError::PostQuantum(_))));
        let identity = read_identities(b"AGE-SECRET-KEY-PQ-1QQQQ\n");
        assert!(
            matches!(identity.err(), Some(KeyError::BadIdentity(why)) if why.contains("quantum"))
        );
    }

    #[test]
    fn what_is_no_identity_says_so() {
        for bad in [
            "",
            "hello\n",
            "-----BEGIN AGE ENCRYPTED FILE-----\n",
            "-----BEGIN X-----\n",
        ] {
            assert!(
                read_identities(bad.as_bytes()).is_err(),
                "{bad:?} was taken"
            );
        }
    }
}
