//! A reading that is stopped goes on where it was.

use super::{blobs, flip, verify};
use crate::support::{Host, NIGHTS, Outcome, Run};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many blobs the index of a host says were read.
fn remembered(host: &Host) -> u64 {
    let index = host.path("sealift-state/index.sqlite");
    let Ok(sealift::Opened::Whole(index)) = sealift::Index::open(&index, sealift::Repair::Leave)
    else {
        return 0;
    };
    let key = format!("file://{}#lazyit", host.path("store").display());
    let mut count = 0;
    let asked = index.each_read(&key, |_, _| count += 1);
    asked.map_or(0, |()| count)
}

#[test]
fn a_reading_that_is_interrupted_goes_on_behind_what_it_has_read() -> Outcome {
    let host = Host::new()?;
    let dump = host.add_large_night(NIGHTS[0], 80, 1)?;
    host.run(&["push", &dump])?.expect_code(0)?;
    let all = blobs(&host)?;
    // So slow that there is time to see it at work: ten seconds or more for all of it.
    let args = ["verify", "--read-data", "--limit-download", "8M"];
    let mut child = host
        .command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let started = Instant::now();
    while remembered(&host) == 0 {
        if child.try_wait()?.is_some() || started.elapsed() > Duration::from_mins(3) {
            child.kill()?;
            let run = Run::of(&child.wait_with_output()?);
            return Err(format!("nothing was remembered in time: {run:#?}").into());
        }
        sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status()?;
    let run = Run::of(&child.wait_with_output()?).expect_code(130)?;
    assert!(run.stderr.contains("interrupted"), "{run:#?}");
    assert!(run.stdout.is_empty(), "{run:#?}");
    let read = remembered(&host);
    assert!(
        read > 0 && read < all.len() as u64,
        "{read} of {}",
        all.len()
    );

    // A share is another one than what was read, and counts towards the round.
    let share = verify(&host, &["--read-data=1%"], 0)?;
    let more = share["checked"]["blobs_read"].as_u64().ok_or("no count")?;
    assert!(more >= 1, "{share}");
    let read = read + more;
    assert_eq!(remembered(&host), read);
    // The rerun reads what is left, and what is damaged among it is found.
    let left = all.len() as u64 - read;
    let rest = verify(&host, &["--read-data"], 0)?;
    assert_eq!(rest["checked"]["blobs_read"], left, "{rest}");
    assert_eq!(rest["checked"]["read_before"], read, "{rest}");
    assert_eq!(remembered(&host), all.len() as u64);
    // The round is over: the next begins anew, and relies on nothing that is remembered.
    flip(&all[0].1)?;
    let again = verify(&host, &["--read-data"], 5)?;
    assert_eq!(again["checked"]["blobs_read"], all.len(), "{again}");
    assert_eq!(again["checked"]["read_before"], 0, "{again}");
    assert_eq!(remembered(&host), all.len() as u64 - 1);
    Ok(())
}

#[test]
fn without_an_index_every_run_reads_and_says_the_same() -> Outcome {
    let host = super::three_nights()?;
    let all = blobs(&host)?;
    std::fs::remove_dir_all(host.path("sealift-state"))?;
    for _ in 0..2 {
        let found = verify(&host, &["--read-data"], 0)?;
        assert_eq!(found["checked"]["blobs_read"], all.len(), "{found}");
    }
    let one = verify(&host, &["--read-data=30%"], 0)?;
    assert!(
        one["checked"]["blobs_read"]
            .as_u64()
            .is_some_and(|read| read > 0),
        "{one}"
    );
    assert!(
        !host.path("sealift-state").exists(),
        "verify makes no state"
    );
    Ok(())
}
