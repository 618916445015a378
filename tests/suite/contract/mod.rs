//! What every store keeps: one list of checks, held against memory, a folder, and servers that speak
//! S3, Google Cloud Storage and Azure Blob.
//!
//! Promise: every check runs on every store, as a test of its own, in a place that nothing else has
//! written to. Where stores differ, the check says how, in one place: [`place::Kind`].
//!
//! A check on a bucket runs in a process of its own, which is this same program of tests, started for
//! one check: AWS's chain of credentials reads the environment of its process, and a test must not
//! change the environment that it shares with others. What such a process runs is the test
//! [`in_a_process_of_its_own`], which has nothing to do, and so succeeds, where nobody has given it a
//! check. That it did what it was started for, it says at the end; silence is a failure.

mod chain;
mod objects;
mod place;
mod probes;
mod refusals;

use crate::support::{Outcome, Run};
use place::{Kind, Place};
use std::path::Path;
use std::pin::Pin;
use std::process::Command;

/// The check that a process was started for, and what the store is.
const CHECK: &str = "CONTRACT_CHECK";
const KIND: &str = "CONTRACT_KIND";
const URL: &str = "CONTRACT_URL";

type Check = for<'a> fn(&'a Place) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// Hands the list of all checks to a macro.
macro_rules! all_checks {
    ($macro:ident, $($kind:ident)?) => {
        $macro! { $($kind)?;
            objects::what_is_written_is_read_back_byte_for_byte,
            objects::writing_twice_is_writing_once,
            objects::what_is_missing_is_not_found_and_named,
            objects::a_blob_of_another_size_is_refused,
            objects::what_is_deleted_is_gone_and_deleting_it_again_is_no_error,
            objects::more_blobs_than_fit_a_page_are_all_listed,
            objects::instances_of_one_store_do_not_see_each_other,
            objects::a_prefix_does_not_leak_into_a_longer_one,
            chain::a_manifest_takes_a_free_place_only,
            chain::of_several_at_once_one_gets_the_place,
            chain::a_listing_shows_the_chain_in_order_and_what_does_not_belong,
            probes::a_probe_finds_what_the_store_does,
            probes::a_manifest_shows_its_lock,
            probes::what_this_host_may_not_delete_is_kept,
            refusals::wrong_credentials_are_said_to_be_wrong,
            refusals::missing_credentials_are_said_to_be_missing,
            refusals::a_missing_bucket_is_not_a_missing_object,
        }
    };
}

macro_rules! tests {
    ($kind:ident; $($group:ident::$check:ident),* $(,)?) => {
        $(
            #[test]
            fn $check() -> crate::support::Outcome {
                super::hold(super::Kind::$kind, stringify!($check))
            }
        )*
    };
}

macro_rules! table {
    (; $($group:ident::$check:ident),* $(,)?) => {
        &[$((stringify!($check), |place| Box::pin($group::$check(place)))),*]
    };
}

const CHECKS: &[(&str, Check)] = all_checks!(table,);

mod memory {
    all_checks!(tests, Memory);
}

mod directory {
    all_checks!(tests, Directory);
}

mod moto {
    all_checks!(tests, Moto);
}

mod moto_with_versions {
    all_checks!(tests, MotoVersions);
}

mod moto_with_lock {
    all_checks!(tests, MotoLocked);
}

mod s3s_fs {
    all_checks!(tests, S3sFs);
}

mod gcs {
    all_checks!(tests, Gcs);
}

mod azure {
    all_checks!(tests, Azure);
}

/// Holds a store of this kind to one check.
fn hold(kind: Kind, check: &str) -> Outcome {
    let folder = tempfile::tempdir()?;
    let Some(bucket) = kind.bucket()? else {
        return run(check, &Place::here(kind, folder.path())?);
    };
    place::write_profiles(folder.path())?;
    let mut child = Command::new(std::env::current_exe()?);
    child
        .args(["--exact", "contract::in_a_process_of_its_own"])
        .arg("--nocapture")
        .current_dir(folder.path())
        .env_clear()
        .envs(place::environment(&bucket, folder.path()))
        .envs([(CHECK, check), (KIND, kind.name()), (URL, &bucket.url)]);
    let run = Run::of(&child.output()?).expect_code(0)?;
    // A name that no test has would be a success, too.
    if run.stdout.contains(&held(check)) {
        Ok(())
    } else {
        Err(format!("{check} did not run: {run:#?}").into())
    }
}

fn held(check: &str) -> String {
    format!("the contract was held: {check}")
}

#[test]
#[allow(clippy::print_stdout, reason = "the one who started it reads it")]
fn in_a_process_of_its_own() -> Outcome {
    let Ok(check) = std::env::var(CHECK) else {
        return Ok(());
    };
    let kind = Kind::named(&std::env::var(KIND)?)?;
    let url = std::env::var(URL)?.parse()?;
    run(&check, &Place::of(kind, url, Path::new("."))?)?;
    println!("{}", held(&check));
    Ok(())
}

fn run(check: &str, place: &Place) -> Outcome {
    let found = CHECKS.iter().find(|(name, _)| *name == check);
    let (_, check) = found.ok_or("no such check")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(check(place))
}
