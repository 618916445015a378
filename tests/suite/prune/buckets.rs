//! Prune in a bucket, on a real server.

use super::{AT_ONCE, ONE, Result, wait};
use crate::support::link::add_small_night;
use crate::support::proxy::{Fault, Proxy, Request};
use crate::support::servers::{Bucket, Protocol, shared};
use crate::support::{Host, NIGHTS, Outcome, Run};
use serde_json::{Value, json};

fn run(host: &Host, bucket: &Bucket, args: &[&str]) -> Result<Run> {
    let args = [args, &["--store", &bucket.url]].concat();
    let mut command = host.command(&args);
    command
        .envs(bucket.env.clone())
        .env("AWS_EC2_METADATA_DISABLED", "true");
    Ok(Run::of(&command.output()?))
}

fn prune(host: &Host, bucket: &Bucket) -> Result<Value> {
    let args = [&ONE[..], &AT_ONCE, &["--execute", "--json"]].concat();
    Ok(run(host, bucket, &args)?.expect_code(0)?.json()?["stores"][0].clone())
}

fn filled(bucket: &Bucket) -> Result<Host> {
    let host = Host::new()?;
    for night in NIGHTS {
        let dump = add_small_night(&host, night)?;
        run(&host, bucket, &["push", &dump])?.expect_code(0)?;
    }
    Ok(host)
}

#[test]
fn a_bucket_is_pruned_and_what_is_left_is_whole() -> Outcome {
    for protocol in [Protocol::Moto, Protocol::Azure, Protocol::Gcs] {
        let bucket = shared(protocol)?.bucket()?;
        let host = filled(&bucket)?;
        let done = prune(&host, &bucket)?;
        assert_eq!(done["retired"], json!([1, 2]), "{protocol:?}");
        wait();
        let done = prune(&host, &bucket)?;
        assert!(done["blobs"].as_u64() > Some(0), "{protocol:?}: {done}");
        assert_eq!(
            (&done["kept"], &done["failed"]),
            (&json!([]), &json!([])),
            "{protocol:?}"
        );
        let list = run(&host, &bucket, &["list", "--json"])?
            .expect_code(0)?
            .json()?;
        assert_eq!(
            list["archives"].as_array().map(Vec::len),
            Some(1),
            "{protocol:?}"
        );
        let fetch = [
            &["fetch", "--latest", "--out", "out"][..],
            &crate::support::KIT,
        ]
        .concat();
        run(&host, &bucket, &fetch)?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn many_objects_are_deleted_with_one_request() -> Outcome {
    let server = shared(Protocol::Moto)?.address();
    let bucket = shared(Protocol::Moto)?.bucket()?;
    let host = filled(&bucket)?;
    prune(&host, &bucket)?;
    wait();
    let proxy = Proxy::start(&server, |_| Fault::Pass)?;
    let seen = Bucket {
        url: bucket.url.replace(&server, &proxy.url()),
        ..bucket.clone()
    };
    // Through the proxy it is another store, whose way of creating is found out first.
    let done = prune(&host, &seen)?;
    assert!(done["blobs"].as_u64() > Some(1), "{done}");
    let requests = proxy.requests();
    let bulk = requests
        .iter()
        .filter(|it| it.method == "POST" && it.path.ends_with("?delete"));
    assert_eq!(bulk.count(), 1, "{requests:?}");
    let mut alone = requests.iter().filter(|it| it.method == "DELETE");
    assert!(alone.all(|it| it.path.contains("/probe/")), "{requests:?}");
    Ok(())
}

#[test]
fn what_this_host_may_not_delete_is_told_and_tried_again() -> Outcome {
    let server = shared(Protocol::Moto)?.address();
    let bucket = shared(Protocol::Moto)?.bucket()?;
    let host = filled(&bucket)?;
    let denies = |request: &Request| match request.method.as_str() {
        "DELETE" if !request.path.contains("/probe/") => Fault::Answer {
            status: 403,
            body: "<Error><Code>AccessDenied</Code></Error>".into(),
        },
        "POST" => Fault::Answer {
            status: 403,
            body: "<Error><Code>AccessDenied</Code></Error>".into(),
        },
        _ => Fault::Pass,
    };
    let proxy = Proxy::start(&server, denies)?;
    let refused = Bucket {
        url: bucket.url.replace(&server, &proxy.url()),
        ..bucket.clone()
    };
    for _ in 0..2 {
        let kept = prune(&host, &refused)?;
        let kept = kept["kept"].as_array().ok_or("nothing is kept")?;
        assert!(
            kept.contains(&json!("lazyit/archives/00000001.json")),
            "{kept:?}"
        );
        // It counts as gone all the same.
        let list = run(&host, &refused, &["list", "--json"])?
            .expect_code(0)?
            .json()?;
        assert_eq!(list["archives"].as_array().map(Vec::len), Some(1));
    }
    assert_eq!(prune(&host, &bucket)?["finished"], json!([1, 2]));
    Ok(())
}

#[test]
fn in_a_bucket_that_keeps_versions_what_is_retired_is_not_seen_any_more() -> Outcome {
    let moto = shared(Protocol::Moto)?;
    for bucket in [moto.bucket_versioned()?, moto.bucket_locked(30)?] {
        let host = filled(&bucket)?;
        prune(&host, &bucket)?;
        let list = run(&host, &bucket, &["list", "--json"])?
            .expect_code(0)?
            .json()?;
        assert_eq!(list["archives"].as_array().map(Vec::len), Some(1));
        wait();
        prune(&host, &bucket)?;
        let last = prune(&host, &bucket)?;
        assert_eq!(
            (&last["retired"], &last["finished"]),
            (&json!([]), &json!([]))
        );
    }
    Ok(())
}
