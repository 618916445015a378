//! What is stored again although it is in the store, and what is not: blobs that are too old to be
//! referred to are, those that a push has left which was killed are not.

use crate::support::link::{Link, add_small_night};
use crate::support::proxy::{Fault, Proxy, Request};
use crate::support::servers::{Protocol, shared};
use crate::support::{Host, NIGHTS, Outcome, Run};
use rusqlite::Connection;
use std::error::Error;

/// Makes the index believe that everything was stored so many days earlier than it was.
pub fn age(host: &Host, days: i64) -> Result<usize, Box<dyn Error>> {
    let index = Connection::open(host.path("sealift-state/index.sqlite"))?;
    let update = "UPDATE blobs SET created_at = created_at - ?1 * 86400";
    Ok(index.execute(update, [days])?)
}

#[test]
fn old_blobs_are_not_used_again() -> Outcome {
    for (days, settings, is_reused) in [
        (29, &["--reuse-max-age", "30d"][..], true),
        (31, &["--reuse-max-age", "30d"], false),
        (3000, &[], true),
    ] {
        let host = Host::new()?;
        host.push_night(NIGHTS[0])?;
        assert!(age(&host, days)? > 0);
        let dump = host.add_night(NIGHTS[1])?;
        let run = host.run(&[&["push", "--json", &dump], settings].concat())?;
        let pushed = run.expect_code(0)?.json()?;
        let (new, plain) = (
            &pushed["archives"][0]["new_bytes"],
            &pushed["archives"][0]["plain_bytes"],
        );
        assert_eq!(
            new != plain,
            is_reused,
            "{days} days with {settings:?}: {pushed}"
        );
        host.fetch_latest("out")?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn in_a_bucket_that_locks_objects_they_are_used_again_for_half_of_the_lock() -> Outcome {
    for (days, is_reused) in [(14, true), (16, false)] {
        let host = Host::new()?;
        let bucket = shared(Protocol::Moto)?.bucket_locked(30)?;
        let run = |args: &[&str]| -> Result<Run, Box<dyn Error>> {
            let mut command = host.command(&[args, &["--store", &bucket.url]].concat());
            command.envs(bucket.env.iter().cloned());
            Ok(Run::of(&command.output()?))
        };
        let doctor = run(&["doctor", "--json"])?.json()?;
        let checks = doctor["checks"].as_array().ok_or("no checks")?;
        let of = |code: &str| checks.iter().find(|check| check["code"] == code);
        let lock = of("object-lock").ok_or("no lock")?["message"].as_str();
        let lock = lock.unwrap_or_default();
        assert!(
            lock.contains("30 days (COMPLIANCE)") && lock.contains("15 days at least"),
            "{lock}"
        );
        run(&["push", &host.add_night(NIGHTS[0])?])?.expect_code(0)?;
        assert!(age(&host, days)? > 0);
        let pushed = run(&["push", "--json", &host.add_night(NIGHTS[1])?])?.expect_code(0)?;
        let pushed = &pushed.json()?["archives"][0];
        assert_eq!(
            pushed["new_bytes"] != pushed["plain_bytes"],
            is_reused,
            "{days}: {pushed}"
        );
    }
    Ok(())
}

#[test]
fn what_a_locked_bucket_keeps_of_a_push_that_was_cut_off_is_no_failure() -> Outcome {
    let host = Host::new()?;
    let bucket = shared(Protocol::Moto)?.bucket_locked(30)?;
    // The link dies once blobs are there, and before the manifest is.
    let dies = |request: &Request| match request.method.as_str() {
        "PUT" if request.path.contains("/signatures/") => Fault::Answer {
            status: 403,
            body: "<Error><Code>AccessDenied</Code></Error>".into(),
        },
        _ => Fault::Pass,
    };
    let proxy = Proxy::start(&shared(Protocol::Moto)?.address(), dies)?;
    let dead = bucket
        .url
        .replace(&shared(Protocol::Moto)?.address(), &proxy.url());
    let push = |url: &str, dump: &str| -> Result<Run, Box<dyn Error>> {
        let mut command = host.command(&["push", dump, "--store", url]);
        command.envs(bucket.env.iter().cloned());
        Ok(Run::of(&command.output()?))
    };
    let first = host.add_night(NIGHTS[0])?;
    push(&dead, &first)?.expect_code(1)?;
    // Another pair, which uses little of what was left behind.
    let run = push(&bucket.url, &host.add_night(NIGHTS[2])?)?.expect_code(0)?;
    assert!(!run.stderr.contains("left behind"), "{run:?}");
    Ok(())
}

/// Whether a request brings a blob.
fn is_blob(request: &Request) -> bool {
    request.method == "PUT" && request.path.contains("/blobs/")
}

#[test]
fn what_arrived_before_a_push_was_killed_is_not_sent_again() -> Outcome {
    let link = Link::new(Protocol::S3sFs)?;
    link.run(&["push", &add_small_night(&link.host, NIGHTS[0])?])?
        .expect_code(0)?;
    let before = link.objects()?;
    let dump = link.host.add_large_night(NIGHTS[1], 48, 1)?;
    let mut blobs = 0;
    let is_second = move |_, request: &Request| {
        blobs += usize::from(is_blob(request));
        blobs == 2 && is_blob(request)
    };
    let push = link.command_at(&link.url(), &["push", &dump]);
    let killed = link.start_to_be_killed_when(push, is_second, true)?;
    assert_eq!(killed.wait()?, None);
    let arrived = link.objects()?;
    let blobs = |requests: Vec<Request>| -> Vec<Request> {
        let blobs = requests.into_iter().filter(is_blob);
        blobs.collect()
    };
    let has_arrived = |blob: &Request| {
        let name = blob.path.rsplit("/lazyit/").next().unwrap_or_default();
        arrived.contains_key(name) && !before.contains_key(name)
    };
    let mut first = blobs(link.asked());
    first.retain(has_arrived);
    assert!(first.len() >= 2, "{first:?}");
    link.heal();
    link.run(&["push", &dump])?.expect_code(0)?;
    let rest = blobs(link.asked());
    assert!(!rest.iter().any(has_arrived), "{rest:?}");
    let bytes = |blobs: &[Request]| blobs.iter().map(|blob| blob.bytes).sum::<usize>();
    let (first, rest) = (bytes(&first), bytes(&rest));
    assert!(
        first > 20 << 20 && first + rest < 49 << 20,
        "{first} and {rest}"
    );
    link.run(&["verify"])?.expect_code(0)?;
    link.check_latest(NIGHTS[1])?;
    link.check_named()
}
