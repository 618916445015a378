//! Pings of a run, and addresses that cannot be told.

use crate::support::listener::Listener;
use crate::support::{Host, Outcome};

#[test]
fn an_address_that_is_none_is_refused_at_the_start_and_not_shown() -> Outcome {
    let host = Host::with_settings("store", &["--auth-mode", "local"])?;
    for address in [
        "hc-ping.example/secret",
        "https://",
        "https:///",
        "https://ping example/secret",
        "https://ping.example:secret/1",
        "https://[::1/secret",
    ] {
        let run = host.run(&["run", "--ping-url", address])?;
        let run = run.expect_code(2)?;
        assert!(
            run.stderr
                .contains("the setting ping_url: it is no http:// or https:// address"),
            "{address}: {run:?}"
        );
        assert!(!format!("{run:?}").contains("secret"), "{run:?}");
    }
    Ok(())
}

#[test]
fn a_redirect_is_told_as_one_and_not_tried_again() -> Outcome {
    let host = Host::with_settings("store", &["--auth-mode", "local"])?;
    let listener = Listener::start(&[301])?;
    let url = listener.url("/secret");
    // There is no server to dump, which is of no matter here.
    let run = host.run(&["dump", "--postgres-host", "/nowhere", "--ping-url", &url])?;
    let run = run.expect_code(1)?;
    let warning = "127.0.0.1 answers a ping with 301, a redirect, which is not followed: \
                   set the address that it leads to";
    assert_eq!(run.stderr.matches(warning).count(), 2, "{run:?}");
    assert!(!format!("{run:?}").contains("secret"), "{run:?}");
    let requests = listener.requests();
    let paths: Vec<&str> = requests.iter().map(|ping| ping.path.as_str()).collect();
    assert_eq!(paths, ["/secret/start", "/secret/fail"]);
    Ok(())
}
