//! `sealift verify`: signatures, chain, and every blob; its bytes and what is in it, if asked for.

use crate::cli::args::VerifyArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::session::{Session, Stores};
use crate::cli::settings::{Settings, temporary_folder};
use crate::cli::values::parse_store;
use crate::cli::verify_output::{Document, text};
use sealift::{
    Context, HostLock, NoSuchArchive, Opening, Share, Standing, VerifyError, VerifyOptions,
    VerifyReport, count, restorable, verify_with, with_cause,
};
use std::path::Path;
use std::sync::Arc;

/// Verifies the stores.
///
/// # Errors
/// A [`Failure`] of the settings or the store.
pub async fn run(session: &Session, args: VerifyArgs, output: &Output) -> Result<Exit, Failure> {
    let settings = session.settings()?;
    let read = args.read_data.as_deref().map(share).transpose()?;
    let open = match &settings.identity {
        Some(_) => Some(Opening {
            identities: Arc::new(settings.identities()?),
            scratch: scratch(&settings),
        }),
        None => None,
    };
    let (stores, source, _lock) = stores(session, &settings, args.heal_from.as_deref()).await?;
    let options = VerifyOptions {
        read,
        open,
        heal_from: source,
    };
    let mut document = Document::new(stores.contexts.len());
    for out in stores.left_out {
        let store = out.store.to_string();
        document.add(&store, "store-unreachable", None, out.reason);
    }
    let several = stores.contexts.len() > 1;
    let mut reports: Vec<VerifyReport> = Vec::new();
    for context in &stores.contexts {
        let store = context.store.url().to_string();
        match verify_with(context, &options).await {
            Ok(mut report) => {
                document.report(&store, &mut report);
                reports.push(report);
            }
            Err(VerifyError::Store(error)) if several && !session.cancel.is_cancelled() => {
                document.add(&store, "store-unreachable", None, with_cause(&error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if several {
        compare(&mut document, &Standing::read(&stores.contexts).await?);
    }
    if document.checked.archives == 0 && document.ok {
        // A slip in a path must not look like health for ever.
        return Err(NoSuchArchive::None(settings.instance.to_string()).into());
    }
    document.restorable = restorable(&reports).into();
    output.result(&document, || text(&document))?;
    Ok(if document.ok {
        Exit::Done
    } else {
        Exit::Violations
    })
}

/// The stores, and the one that good copies come from; then with the host's lock.
async fn stores(
    session: &Session,
    settings: &Settings,
    heal_from: Option<&str>,
) -> Result<(Stores, Option<Context>, Option<HostLock>), Failure> {
    let Some(url) = heal_from else {
        return Ok((session.reading(settings).await?, None, None));
    };
    let url = parse_store("heal-from", url)?;
    let url = url.resolve(Path::new(&std::path::absolute(".")?));
    let mut healed = settings.stores()?;
    healed.retain(|store| store.identity() != url.identity());
    if healed.is_empty() {
        let message = format!("{url} is the only store, so there is nothing to heal from it");
        return Err(Failure::usage(message).hint("name the store that is healed: --store URL"));
    }
    let lock = session.lock(settings).await?;
    let stores = session.reading_from(settings, &healed).await?;
    let sources = session.reading_from(settings, &[url]).await?;
    Ok((stores, sources.contexts.into_iter().next(), Some(lock)))
}

/// The share that is read, as `10%` or `10`.
fn share(text: &str) -> Result<Share, Failure> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number.and_then(Share::percent).ok_or_else(|| {
        let message = format!("--read-data: {text:?} is not a share as 10%, from 1% to 100%");
        Failure::usage(message).hint("sealift verify --read-data=10%")
    })
}

/// Where components come together: the state folder, which this command does not make.
fn scratch(settings: &Settings) -> std::path::PathBuf {
    if settings.state.is_dir() {
        settings.state.clone()
    } else {
        temporary_folder()
    }
}

/// What one store has, the others should have.
fn compare(document: &mut Document, standing: &Standing) {
    let merged = standing.merged();
    for reached in &standing.reached {
        let store = reached.context.store.url().to_string();
        if let Some(place) = reached.is_at_odds(&merged) {
            let message = format!(
                "{store} has another archive {place} than the store that was named first; find out \
                 which host wrote it"
            );
            document.add(&store, "store-at-odds", Some(place), message);
        }
        let lacks = reached.lacks(&merged);
        if lacks > 0 {
            let lacks = count(lacks, "archive");
            let message = format!("{store} lacks {lacks} that another store has; sealift push");
            document.add(&store, "store-behind", None, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_whole_number_of_percent() {
        for (text, percent) in [("10%", 10), ("1", 1), ("100%", 100)] {
            assert_eq!(share(text).ok(), Share::percent(percent), "{text}");
        }
        for text in ["", "%", "0%", "101%", "1.5%", "-1%", "10 %", "a tenth"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
