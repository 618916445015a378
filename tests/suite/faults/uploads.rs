//! Pushes over a link on which things happen.

use super::{
    Bench, PATIENT, Result, always, broken, every, is_read, is_write, of, resets, slow_down, times,
};
use crate::support::proxy::Fault;
use crate::support::servers::Protocol;
use crate::support::{NIGHTS, Outcome};
use std::fs;
use std::time::Duration;

fn bench() -> Result<Bench> {
    Bench::new(Protocol::S3sFs)
}

#[test]
fn a_server_that_is_busy_or_broken_for_a_while_is_asked_again() -> Outcome {
    let mut bench = bench()?;
    bench.gets_over("busy", times(1, every, slow_down()))?;
    bench.gets_over("broken", times(1, every, broken()))?;
    bench.gets_over("busy for long", times(4, is_write, slow_down()))
}

#[test]
fn a_server_that_stays_busy_or_broken_is_given_up_and_named() -> Outcome {
    let mut bench = bench()?;
    for (method, kind, object) in [
        ("GET", "list-type", "lazyit/archives"),
        ("PUT", "/blobs/", "lazyit/blobs/"),
        ("PUT", "/signatures/", "lazyit/signatures/"),
        ("PUT", "/archives/", "lazyit/archives/00000002.json"),
    ] {
        bench.gives_up("busy", object, always(of(method, kind), slow_down()))?;
    }
    let blobs = of("PUT", "/blobs/");
    bench.gives_up("broken", "lazyit/blobs/", always(blobs, broken()))
}

#[test]
fn a_link_that_loses_a_fifth_of_all_requests_or_replies_is_enough() -> Outcome {
    let mut bench = bench()?;
    for seed in 1..=5 {
        bench.gets_over(&format!("seed {seed}"), resets(seed))?;
    }
    Ok(())
}

#[test]
fn answers_that_are_cut_short_or_changed_do_no_harm() -> Outcome {
    let mut bench = bench()?;
    bench.gets_over("cut", times(1, every, Fault::TruncateResponse(3)))?;
    // First it is not there, and then it is what was just written.
    let own = of("GET", "/00000002.json");
    bench.gets_over("changed, own", times(2, own, Fault::CorruptResponse))?;
    bench.gets_over("changed", times(1, is_read, Fault::CorruptResponse))
}

#[test]
fn an_archive_that_came_damaged_is_read_again_before_another_follows_it() -> Outcome {
    let mut bench = bench()?;
    for object in ["/archives/", "/signatures/"] {
        bench.link.restore()?;
        // What the host knows of the store would do instead.
        let state = bench.link.host.path("sealift-state");
        fs::remove_dir_all(&state)?;
        fs::create_dir(&state)?;
        let damage = times(1, of("GET", object), Fault::CorruptResponse);
        bench.link.plan(damage);
        let run = bench.run(&["push", &bench.dump], &PATIENT)?;
        bench.link.heal();
        run.expect_code(0)?;
        bench
            .check_whole()
            .map_err(|error| format!("{object}: {error}"))?;
    }
    Ok(())
}

#[test]
fn what_is_changed_or_cut_on_its_way_to_the_server_is_sent_again() -> Outcome {
    let mut bench = bench()?;
    bench.gets_over("changed", times(1, every, Fault::CorruptRequest))?;
    bench.gets_over("cut", times(1, every, Fault::TruncateRequest))?;
    for (kind, object) in [
        ("/blobs/", "lazyit/blobs/"),
        ("/signatures/", "lazyit/signatures/"),
        ("/archives/", "lazyit/archives/00000002.json"),
    ] {
        let puts = of("PUT", kind);
        bench.gives_up(
            "changed for ever",
            object,
            always(puts, Fault::CorruptRequest),
        )?;
        bench.gives_up("cut for ever", object, always(puts, Fault::TruncateRequest))?;
    }
    Ok(())
}

#[test]
fn a_stall_is_sat_out_or_got_over_and_one_that_lasts_is_named() -> Outcome {
    let mut bench = bench()?;
    let moment = Duration::from_millis(300);
    bench.gets_over(
        "a moment before",
        times(1, every, Fault::StallBefore(moment)),
    )?;
    bench.gets_over(
        "a moment within",
        times(1, every, Fault::StallResponse(moment)),
    )?;
    let age = Duration::from_mins(1);
    let before = [
        ("PUT", "/blobs/", "lazyit/blobs/"),
        ("GET", "list-type", "lazyit/archives"),
    ];
    for (method, kind, object) in before {
        let meant = of(method, kind);
        let once = times(1, meant, Fault::StallBefore(age));
        let settings = ["--timeout", "2s", "--deadline", "20s"];
        bench.push(once, &settings)?.expect_code(0)?;
        bench.check_whole()?;
        bench.gives_up(
            "an age before",
            object,
            always(meant, Fault::StallBefore(age)),
        )?;
    }
    let lists = of("GET", "list-type");
    let within = always(lists, Fault::StallResponse(age));
    bench.gives_up("an age within", "lazyit/archives", within)
}

#[test]
fn what_arrives_twice_counts_once() -> Outcome {
    // This one refuses the second manifest.
    let mut bench = Bench::new(Protocol::Moto)?;
    bench.gets_over("twice, refused", always(every, Fault::Duplicate))?;
    let asked = bench.push(always(is_write, Fault::Duplicate), &[])?;
    assert!(!asked.stderr.contains("does not refuse"), "{asked:?}");
    let mut bench = self::bench()?;
    bench.gets_over("twice, taken", always(every, Fault::Duplicate))?;
    assert_eq!(bench.link.archives()?[1].1, NIGHTS[1]);
    Ok(())
}
