//! Stores as they are: throw-away servers that speak S3, Google Cloud Storage and Azure Blob.
//!
//! Promise: a [`Service`] listens on 127.0.0.1 and keeps what it holds in its own temporary folder.
//! Both are gone with the value, and at the latest with the test process, however that ends. Where
//! the servers cannot be had, a test fails and says why.

use super::installed;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What an S3 server and its client know: `s3s-fs` checks both, moto neither.
pub const ACCESS_KEY: &str = "sealift-tests";
pub const SECRET_KEY: &str = "no-secret-at-all-but-for-the-tests";

/// The account of everybody's Azurite, as its documentation has it.
pub const AZURE_ACCOUNT: &str = "devstoreaccount1";
pub const AZURE_KEY: &str = concat!(
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6",
    "IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
);

/// The right to create containers in that account until 2099, signed with its key: an account SAS
/// names no container and no server, so that it is the same for all.
const AZURE_SAS: &str = concat!(
    "sv=2021-08-06&ss=b&srt=c&sp=c&se=2099-01-01T00%3A00%3A00Z",
    "&sig=Zh%2BxoG0Tpd3TnXTdGJG46O1LhMyMs4WDRlN0HHN4VF4%3D"
);

/// What the Google shim takes as a bearer token, besides what its service account signs.
pub const GCS_TOKEN: &str = "token-for-the-tests";

/// The file of the shim's service account, in the server's folder.
const ACCOUNT: &str = "account.json";

/// How long a server may take to start: a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a server beside a pipe of the test process: when that is closed, which the system does if
/// nobody else does, the server ends and its folder goes. `$0` is the folder.
const KEEPER: &str = r#"
exec 3<&0
setpriv --pdeathsig=KILL -- "$@" > "$0/log" 2>&1 < /dev/null 3<&- &
server=$!
{ read -r _; kill -KILL "$server"; } <&3 &
wait "$server"
echo "The server has ended: $?." >> "$0/log"
wait
rm -rf "$0"
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// S3 with versions and object lock, where nothing is checked.
    Moto,
    /// S3 where signatures and sums are checked, without versions and object lock.
    S3sFs,
    /// Google Cloud Storage's XML API.
    Gcs,
    /// Azure Blob.
    Azure,
}

/// What a bucket is to do with what is overwritten or deleted.
#[derive(Clone, Copy)]
enum Keeps {
    Nothing,
    Versions,
    /// Versions that cannot be deleted for this many days.
    Locked(u32),
}

/// A server that runs.
pub struct Service {
    protocol: Protocol,
    port: u16,
    folder: PathBuf,
    keeper: Child,
    buckets: AtomicU32,
}

/// A fresh bucket: the store's URL as it is given to the program, and the environment to go with it.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub name: String,
    pub url: String,
    pub env: Vec<(String, String)>,
}

/// The one server of a protocol in this process, started when it is first asked for.
pub fn shared(protocol: Protocol) -> Result<&'static Service> {
    static STARTED: [OnceLock<std::result::Result<Service, String>>; 4] =
        [const { OnceLock::new() }; 4];
    let started = STARTED[protocol as usize]
        .get_or_init(|| Service::start(protocol).map_err(|error| error.to_string()));
    Ok(started.as_ref().map_err(Clone::clone)?)
}

/// Where a program of `tests/servers.sh` is, which installs it unless it is there.
fn program(name: &str) -> Result<PathBuf> {
    static LINES: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let lines = LINES.get_or_init(|| installed("servers").map_err(|error| error.to_string()));
    let lines = lines.as_ref().map_err(Clone::clone)?;
    let mut found = lines.lines().filter_map(|line| line.split_once(' '));
    let found = found.find(|(known, _)| *known == name);
    Ok(found.ok_or(format!("no {name}"))?.1.into())
}

impl Service {
    /// A server of its own, for a test that would be in the way of others.
    pub fn start(protocol: Protocol) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()?;
        fs::create_dir(folder.path().join("data"))?;
        let command = command(protocol, folder.path())?;
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER])
            .arg(folder.path())
            .args(command)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
            .envs([("LC_ALL", "C"), ("TZ", "UTC"), ("RUST_LOG", "info")])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to all processes of the tests must not hit the one that cleans up after them.
            .process_group(0);
        let keeper = keeper.spawn()?;
        let mut service = Self {
            protocol,
            port: 0,
            folder: folder.keep(),
            keeper,
            buckets: AtomicU32::new(0),
        };
        service.wait_until_ready()?;
        Ok(service)
    }

    /// Waits for the port, which the system has chosen and the server has told its log.
    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let told = log.split_once("http://127.0.0.1:").and_then(|(_, rest)| {
                let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
                rest[..end].parse().ok()
            });
            if let Some(port) = told {
                self.port = port;
                if self.request("GET", "/", &[], "").is_ok() {
                    return Ok(());
                }
            }
            if log.contains("The server has ended") || start.elapsed() > PATIENCE {
                return Err(format!("{:?} does not start:\n{log}", self.protocol).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The server's address, as a URL without a path.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder of everything that the server has written, its log among it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A fresh bucket that keeps nothing of what is overwritten or deleted.
    pub fn bucket(&self) -> Result<Bucket> {
        self.make_bucket(Keeps::Nothing)
    }

    /// A fresh bucket that keeps all versions: moto's only.
    pub fn bucket_versioned(&self) -> Result<Bucket> {
        self.make_bucket(Keeps::Versions)
    }

    /// A fresh bucket with object lock, in compliance mode for this many days: moto's only.
    pub fn bucket_locked(&self, days: u32) -> Result<Bucket> {
        self.make_bucket(Keeps::Locked(days))
    }

    fn make_bucket(&self, keeps: Keeps) -> Result<Bucket> {
        let number = self.buckets.fetch_add(1, Ordering::Relaxed);
        // A server may serve another protocol's buckets too: moto does.
        let name = format!("{:?}-{number}", self.protocol).to_lowercase();
        match (self.protocol, keeps) {
            (Protocol::Moto, keeps) => self.make_moto_bucket(&name, keeps)?,
            (Protocol::Gcs, Keeps::Nothing) => {
                shared(Protocol::Moto)?.make_moto_bucket(&name, keeps)?;
            }
            (Protocol::S3sFs, Keeps::Nothing) => {
                fs::create_dir(self.folder.join("data").join(&name))?;
            }
            (Protocol::Azure, Keeps::Nothing) => {
                let path = format!("/{AZURE_ACCOUNT}/{name}?restype=container&{AZURE_SAS}");
                self.expect("PUT", &path, &[], "", 201)?;
            }
            (protocol, _) => return Err(format!("{protocol:?} keeps no versions").into()),
        }
        let url = self.url(&name);
        let env = self.environment();
        Ok(Bucket { name, url, env })
    }

    /// Moto takes requests that nobody has signed.
    fn make_moto_bucket(&self, name: &str, keeps: Keeps) -> Result<()> {
        let lock: &[&str] = match keeps {
            Keeps::Locked(_) => &["x-amz-bucket-object-lock-enabled: true"],
            Keeps::Versions | Keeps::Nothing => &[],
        };
        self.expect("PUT", &format!("/{name}"), lock, "", 200)?;
        let (path, body) = match keeps {
            Keeps::Nothing => return Ok(()),
            Keeps::Versions => (
                format!("/{name}?versioning"),
                "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
                    .to_owned(),
            ),
            Keeps::Locked(days) => (
                format!("/{name}?object-lock"),
                format!(
                    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>\
                     <DefaultRetention><Mode>COMPLIANCE</Mode><Days>{days}</Days>\
                     </DefaultRetention></Rule></ObjectLockConfiguration>"
                ),
            ),
        };
        self.expect("PUT", &path, &[], &body, 200)?;
        Ok(())
    }

    fn url(&self, bucket: &str) -> String {
        let (scheme, path, rest) = match self.protocol {
            Protocol::Moto | Protocol::S3sFs => ("s3", "", "&region=us-east-1&path_style=true"),
            Protocol::Gcs => ("gs", "", ""),
            Protocol::Azure => ("az", "/devstoreaccount1", ""),
        };
        let address = self.address();
        format!("{scheme}://{bucket}/prefix?endpoint={address}{path}{rest}&allow_http=true")
    }

    fn environment(&self) -> Vec<(String, String)> {
        let account = self.folder.join(ACCOUNT).display().to_string();
        let variables = match self.protocol {
            Protocol::Moto | Protocol::S3sFs => vec![
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ],
            Protocol::Gcs => vec![("GOOGLE_APPLICATION_CREDENTIALS", account.as_str())],
            Protocol::Azure => vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
            ],
        };
        let variables = variables.into_iter();
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn expect(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
        status: u16,
    ) -> Result<()> {
        let (found, answer) = self.request(method, path, headers, body)?;
        if found == status {
            return Ok(());
        }
        Err(format!("{:?} to {method} {path}:\n{answer}", self.protocol).into())
    }

    /// What the server answers to a request without a signature: the status, and all of it.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> Result<(u16, String)> {
        let mut server = TcpStream::connect(("127.0.0.1", self.port))?;
        server.set_read_timeout(Some(PATIENCE))?;
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            self.port,
            body.len()
        );
        server.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).ok_or("no status")?.parse()?;
        Ok((status, answer))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A server's program and arguments, with its data in this folder.
fn command(protocol: Protocol, folder: &Path) -> Result<Vec<String>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let text = |path: PathBuf| path.display().to_string();
    let data = text(folder.join("data"));
    let (name, arguments) = match protocol {
        Protocol::Moto => ("python", vec![text(tests.join("moto_s3.py"))]),
        Protocol::S3sFs => {
            let keys = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY];
            let place = ["--host", "127.0.0.1", "--port", "0", &data];
            ("s3s-fs", owned(&[&keys[..], &place].concat()))
        }
        Protocol::Gcs => {
            let shim = text(tests.join("gcs_shim.py"));
            let moto = shared(Protocol::Moto)?.address();
            let account = text(folder.join(ACCOUNT));
            let given = ["--token", GCS_TOKEN, "--account", &account];
            let given = [&[&shim, "--upstream", &moto], &given[..]].concat();
            ("python", owned(&given))
        }
        Protocol::Azure => {
            let place = ["--blobHost", "127.0.0.1", "--blobPort", "0"];
            let rest = ["--skipApiVersionCheck", "--disableTelemetry"];
            let given = [&place[..], &rest, &["--location", &data]].concat();
            ("azurite", owned(&given))
        }
    };
    let mut command = vec![text(program(name)?)];
    command.extend(arguments);
    Ok(command)
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_server_ends_with_its_value_and_leaves_nothing() -> Result<()> {
    let service = Service::start(Protocol::S3sFs)?;
    let (folder, port) = (service.folder().to_owned(), service.port);
    assert!(folder.join("log").exists());
    drop(service);
    assert!(!folder.exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    Ok(())
}
