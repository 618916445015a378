//! A bucket of many instances.

use super::{Result, host_with};
use crate::support::{Host, NIGHTS, Outcome};
use serde_json::Value;
use std::fs;

/// A host whose store has its own instance and two more, which its signers are believed for.
fn three_instances() -> Result<Host> {
    let host = host_with(1)?;
    for instance in ["berlin", "vienna"] {
        let stamp = super::hours_ago(2);
        let dump = super::add_night_as(&host, NIGHTS[0], &stamp)?;
        let push = ["push", &dump, "--instance", instance, "--state", instance];
        host.run(&push)?.expect_code(0)?;
    }
    Ok(host)
}

fn fleet(host: &Host, args: &[&str], code: i32) -> Result<Vec<(String, bool)>> {
    let args = [&["audit", "--json", "--all-instances"][..], args].concat();
    let document = host.run(&args)?.expect_code(code)?.json()?;
    assert_eq!(document["ok"], code == 0, "{document:#}");
    let instances = document["instances"].as_array().ok_or("no instances")?;
    let each = |one: &Value| {
        let name = one["instance"].as_str().unwrap_or_default().to_owned();
        (name, one["ok"] == true)
    };
    Ok(instances.iter().map(each).collect())
}

fn expect(expected: [(&str, bool); 3]) -> Vec<(String, bool)> {
    expected.map(|(name, ok)| (name.to_owned(), ok)).into()
}

#[test]
fn each_instance_of_a_bucket_has_a_line_and_what_is_wrong_with_one_is_said_of_it() -> Outcome {
    let host = three_instances()?;
    let all = expect([("berlin", true), ("lazyit", true), ("vienna", true)]);
    assert_eq!(fleet(&host, &[], 0)?, all);
    let lines = host.run(&["audit", "--all-instances"])?.expect_code(0)?;
    assert_eq!(lines.stdout.lines().count(), 3, "{lines:#?}");
    let manifest = host.path("store/vienna/archives/00000001.json");
    fs::write(manifest, "{}")?;
    let all = expect([("berlin", true), ("lazyit", true), ("vienna", false)]);
    assert_eq!(fleet(&host, &[], 5)?, all);
    let lines = host.run(&["audit", "--all-instances"])?.expect_code(5)?;
    let wrong = lines.stdout.lines().filter(|line| line.contains("FAILED"));
    let wrong: Vec<&str> = wrong.collect();
    assert!(
        wrong.len() == 1 && wrong[0].starts_with("vienna: "),
        "{lines:#?}"
    );
    let metrics = host.run(&["audit", "--all-instances", "--prometheus"])?;
    let metrics = metrics.expect_code(5)?.stdout;
    for (instance, ok) in [("berlin", 1), ("vienna", 0)] {
        let line = format!("sealift_audit_ok{{instance=\"{instance}\"}} {ok}\n");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    Ok(())
}

#[test]
fn a_bucket_that_lost_an_instance_or_all_of_them_is_no_health() -> Outcome {
    let host = three_instances()?;
    fs::remove_dir_all(host.path("store/lazyit"))?;
    let all = expect([("berlin", true), ("lazyit", false), ("vienna", true)]);
    assert_eq!(fleet(&host, &[], 5)?, all);
    fs::create_dir(host.path("empty"))?;
    let own = fleet(&host, &["--store", "empty"], 5)?;
    assert_eq!(own, [("lazyit".to_owned(), false)]);
    Ok(())
}

#[test]
fn of_two_buckets_one_of_which_cannot_be_listed_the_other_is_audited() -> Outcome {
    let host = three_instances()?;
    let all = expect([("berlin", false), ("lazyit", false), ("vienna", false)]);
    assert_eq!(fleet(&host, &["--store", "store,none"], 5)?, all);
    Ok(())
}
