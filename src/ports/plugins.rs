//! age plugins: recipients that a program `age-plugin-NAME` seals to.
//!
//! Promise: every recipient named is sealed to or the whole list is an error. Plugins are asked
//! nothing: a push runs unattended, and one that needs a person fails.

use crate::formats::recipients::{KeyError, Recipient, Recipients, Wrapper};

/// Makes a list of recipients, finding the programs of those that need one.
///
/// # Errors
/// [`KeyError`] for the first recipient that cannot be parsed or whose plugin is not installed.
pub fn resolve(names: &[String]) -> Result<Option<Recipients>, KeyError> {
    let mut named = Vec::new();
    for name in names {
        let wrapper: Wrapper = match name.parse()? {
            Recipient::Plain(wrapper) => wrapper,
            Recipient::Plugin(recipient) => Box::new(connect(&recipient)?),
        };
        named.push((name.trim().to_owned(), wrapper));
    }
    Ok(Recipients::new(named))
}

fn connect(
    recipient: &age::plugin::Recipient,
) -> Result<age::plugin::RecipientPluginV1<age::NoCallbacks>, KeyError> {
    let name = recipient.plugin();
    age::plugin::RecipientPluginV1::new(
        name,
        std::slice::from_ref(recipient),
        &[],
        age::NoCallbacks,
    )
    .map_err(|_| KeyError::Plugin(name.into()))
}
