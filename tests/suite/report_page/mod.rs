//! The audit's page in Chromium, and its metrics in the programs that read such.
//!
//! To look at the pages: `SEALIFT_LOOKS=FOLDER cargo test --test suite report_page`.

mod sample;

use crate::support::{Outcome, installed};
use jiff::tz::TimeZone;
use sealift::{AuditReport, audit_html, audit_prometheus};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A program or a folder of `tests/browser.sh`, which installs it unless it is there.
fn tool(name: &str) -> Result<PathBuf> {
    static LINES: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let lines = LINES.get_or_init(|| installed("browser").map_err(|error| error.to_string()));
    let lines = lines.as_ref().map_err(Clone::clone)?;
    let mut found = lines.lines().filter_map(|line| line.split_once(' '));
    let found = found.find(|(known, _)| *known == name);
    Ok(found.ok_or(format!("no {name}"))?.1.into())
}

fn page(report: &AuditReport) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    audit_html(report, &TimeZone::get("Europe/Berlin")?, &mut bytes)?;
    Ok(bytes)
}

/// What Chromium and axe say of some pages.
fn open(pages: &[(&str, AuditReport)]) -> Result<Value> {
    let temporary = tempfile::tempdir()?;
    let looks = std::env::var_os("SEALIFT_LOOKS");
    let folder = looks.as_ref().map_or(temporary.path(), Path::new);
    fs::create_dir_all(folder)?;
    let mut paths = Vec::new();
    for (name, report) in pages {
        let path = folder.join(format!("{name}.html"));
        fs::write(&path, page(report)?)?;
        paths.push(path);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/report_page/page.cjs");
    let output = Command::new(tool("node")?)
        .arg(script)
        .args([tool("modules")?, tool("chromium")?])
        .arg(looks.as_deref().unwrap_or_default())
        .args(paths)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    Ok(value[name]
        .as_array()
        .ok_or(format!("no {name}: {value}"))?)
}

#[test]
fn the_page_opens_in_chromium_at_every_width_in_light_and_dark_and_on_paper() -> Outcome {
    let found = open(&[
        ("troubled", sample::troubled(425)?),
        ("fine", sample::nights(25)?),
        ("empty", sample::empty()?),
        ("hostile", sample::hostile()?),
        ("large", sample::troubled(10_000)?),
    ])?;
    let looks = list(&found, "looks")?;
    assert_eq!(looks.len(), 2 * 5 + 3 * 2);
    let mut backgrounds: HashMap<&str, &Value> = HashMap::new();
    for look in looks {
        let nothing = Value::Array(vec![]);
        assert_eq!(look["asked"], nothing, "it asks for something: {look}");
        assert_eq!(look["said"], nothing, "{look}");
        assert_eq!(look["foreign"], 0, "{look}");
        for state in ["closed", "open"] {
            let widths = &look[state];
            assert_eq!(widths["inner"], look["width"], "{look}");
            assert_eq!(widths["scroll"], look["width"], "it is too wide: {look}");
            assert_eq!(widths["found"], nothing, "something is cut off: {look}");
        }
        if look["page"] != "large.html" {
            assert_eq!(look["axe"], nothing, "{look:#}");
        }
        let scheme = look["scheme"].as_str().unwrap_or_default();
        backgrounds.insert(scheme, &look["background"]);
    }
    assert_ne!(backgrounds["light"], backgrounds["dark"]);
    for print in list(&found, "prints")? {
        assert_eq!(print["hidden"], 0, "{print}");
        let sheets = print["sheets"].as_u64().ok_or("no sheets")?;
        let most = if print["page"] == "large.html" {
            60
        } else {
            12
        };
        assert!((1..=most).contains(&sheets), "{print}");
    }
    let closed = list(&found, "prints")?
        .iter()
        .find(|print| print["page"] == "large.html");
    assert!(closed.and_then(|print| print["months"].as_u64()) > Some(300));
    Ok(())
}

#[test]
fn ten_thousand_archives_are_a_page_that_every_browser_opens() -> Outcome {
    let page = page(&sample::troubled(10_000)?)?;
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    let text = String::from_utf8(page)?;
    assert!(text.contains("<code>sealift audit --json</code> has them all"));
    assert!(text.contains("Older</h3>"));
    Ok(())
}

#[test]
fn what_a_manifest_says_is_text_on_the_page() -> Outcome {
    let text = String::from_utf8(page(&sample::hostile()?)?)?;
    assert!(!text.contains("<script"), "{text}");
    assert!(!text.contains("<img"), "{text}");
    assert_eq!(text.matches("</style>").count(), 1);
    for hidden in ['\u{202e}', '\u{200f}', '\u{1b}'] {
        assert!(!text.contains(hidden), "{hidden:?}");
    }
    Ok(())
}

const PARSE: &str = r#"
import sys, json
from prometheus_client.parser import text_string_to_metric_families
found = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.type == "gauge" and family.documentation, family
    for sample in family.samples:
        labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
        assert (key := f"{sample.name}|{labels}") not in found, key
        found[key] = sample.value
print(json.dumps(found))
"#;

/// What a program says of some metrics.
fn told(program: &Path, args: &[&str], metrics: &[u8]) -> Result<(bool, String)> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(metrics)?;
    let output = child.wait_with_output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8(text)?))
}

#[test]
fn the_metrics_are_read_by_prometheus_and_its_python_client() -> Outcome {
    let mut reports = vec![sample::troubled(425)?, sample::hostile()?, sample::empty()?];
    for (report, name) in reports.iter_mut().zip(["one", "two", "three"]) {
        report.instance = name.parse()?;
    }
    let mut metrics = Vec::new();
    audit_prometheus(&reports, &mut metrics)?;
    let (fine, said) = told(&tool("promtool")?, &["check", "metrics"], &metrics)?;
    assert!(fine && said.is_empty(), "{said}");
    let (fine, said) = told(&tool("python")?, &["-c", PARSE], &metrics)?;
    assert!(fine, "{said}");
    let found: HashMap<String, f64> = serde_json::from_str(&said)?;
    let value = |key: &str| found.get(key).copied();
    assert_eq!(value("sealift_audit_ok|instance=one"), Some(0.0));
    assert_eq!(value("sealift_audit_ok|instance=three"), Some(1.0));
    assert_eq!(
        value("sealift_audit_violations|code=blob-missing,instance=one"),
        Some(23.0)
    );
    let newest = reports[0].newest_sound.ok_or("none")?.as_second();
    let key = "sealift_newest_sound_archive_timestamp_seconds|instance=";
    assert_eq!(
        value(&format!("{key}one")),
        Some(f64::from(u32::try_from(newest)?))
    );
    assert_eq!(value(&format!("{key}three")), Some(0.0));
    let store = "instance=one,store=file:///mnt/offsite/lazyit";
    assert_eq!(
        value(&format!("sealift_store_archives_behind|{store}")),
        Some(1.0)
    );
    assert_eq!(value(&format!("sealift_store_read_ratio|{store}")), None);
    Ok(())
}

#[test]
fn the_metrics_are_those_of_the_document() -> Outcome {
    let mut metrics = Vec::new();
    audit_prometheus(&[sample::troubled(425)?], &mut metrics)?;
    let metrics = String::from_utf8(metrics)?;
    let heads = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let written: BTreeSet<&str> = heads.filter_map(|head| head.split(' ').next()).collect();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FORMAT.md");
    let document = fs::read_to_string(document)?;
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| `sealift_"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let named: BTreeSet<&str> = cells
        .flat_map(|cell| cell.split('`').filter(|name| name.starts_with("sealift_")))
        .collect();
    assert_eq!(written, named);
    Ok(())
}
