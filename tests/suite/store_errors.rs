//! Each way in which a store cannot be used: told in a line of its own, with a hint that fits.
//!
//! Promise: what is told is what stands in [`TOLD`], to the letter but for ports and names; nothing
//! is written to the store meanwhile, and a push that is let through afterwards finds all as it was.

use crate::support::link::{Link, add_small_night};
use crate::support::proxy::Fault;
use crate::support::servers::{Protocol, shared};
use crate::support::{Host, NIGHTS, Outcome, Run};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A request may take as long as the one and be tried for as long as the other.
const SHORT: [&str; 4] = ["--timeout", "2s", "--deadline", "3s"];
/// What both come to, and some time for a machine that is busy.
const SOON: Duration = Duration::from_secs(15);

const NEW_KEYS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile: \
                        --store 's3://bucket/prefix?profile=NAME'";
const NEW_PLACE: &str = "check the name and the endpoint in --store; sealift makes no buckets";
const NEW_REGION: &str =
    "name the bucket's region in the address: --store 's3://bucket/prefix?region=eu-west-1'";
const NEW_TIME: &str = "set the clock: timedatectl status";
const LATER: &str =
    "try again later: what was stored is not sent again; to wait longer: --deadline 30m";
const REACH: &str =
    "check the endpoint in --store, and the network; to wait longer: --deadline 30m";
const TRUST: &str =
    "check the endpoint in --store; for a certificate of your own authority: --ca-bundle FILE";
const ACCOUNT: &str = "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or: \
                       gcloud auth application-default login";

/// What is wrong, the error and the hint.
const TOLD: &[(&str, &str, &str)] = &[
    (
        "wrong key",
        "cannot list lazyit/archives in STORE: the credentials are wrong: NotSignedUp: \
         Your account is not signed up",
        NEW_KEYS,
    ),
    (
        "wrong secret",
        "cannot list lazyit/archives in STORE: the credentials are wrong: 403 Forbidden: \
         SignatureDoesNotMatch",
        NEW_KEYS,
    ),
    (
        "no credentials",
        "cannot list lazyit/archives in STORE: there are no credentials: no credentials \
         found in chain",
        NEW_KEYS,
    ),
    (
        "expired",
        "cannot list lazyit/archives in STORE: the credentials have expired: \
         ExpiredToken: The provided token has expired",
        "renew them: aws sso login, or set AWS_SESSION_TOKEN and its keys anew",
    ),
    (
        "no right to write",
        "cannot write lazyit/blobs/X in STORE: the credentials do not allow it: \
         AccessDenied: Access Denied",
        "see what they may do: sealift doctor",
    ),
    (
        "no bucket",
        "cannot list lazyit/archives in s3://absent/prefix?endpoint=http://127.0.0.1:X: \
         there is no such bucket: NoSuchBucket: The specified bucket does not exist",
        NEW_PLACE,
    ),
    (
        "no name for a bucket",
        "cannot list lazyit/archives in \
         s3://not_a_bucket/prefix?endpoint=http://127.0.0.1:X: there is no such bucket: \
         400 Bad Request: InvalidBucketName",
        NEW_PLACE,
    ),
    (
        "another region",
        "cannot list lazyit/archives in STORE: the bucket is in another region: \
         PermanentRedirect: The bucket you are attempting to access must be addressed \
         using the specified endpoint. Please send all future requests to this endpoint: \
         b.s3.eu-west-1.amazonaws.com",
        NEW_REGION,
    ),
    (
        "signed for another region",
        "cannot list lazyit/archives in STORE: the bucket is in another region: \
         AuthorizationHeaderMalformed: The authorization header is malformed; the region \
         'us-east-1' is wrong; expecting 'eu-west-1'",
        NEW_REGION,
    ),
    (
        "a region in a header",
        "cannot list lazyit/archives in STORE: the bucket is in another region: 301 Moved \
         Permanently: eu-west-1",
        NEW_REGION,
    ),
    (
        "moved",
        "cannot list lazyit/archives in STORE: the server is at another address: 308 \
         Permanent Redirect: https://store.example/",
        "give the address that the server names as the endpoint in --store",
    ),
    (
        "skewed",
        "cannot list lazyit/archives in STORE: the clocks of this host and of the store \
         are too far apart: RequestTimeTooSkewed: The difference between the request time \
         and the current time is too large",
        NEW_TIME,
    ),
    (
        "another date",
        "cannot list lazyit/archives in STORE: the clocks of this host and of the store \
         are too far apart: 403 Forbidden: SignatureDoesNotMatch",
        NEW_TIME,
    ),
    (
        "nobody listens",
        "cannot list lazyit/archives in STORE: the server cannot be reached: Connection \
         refused (os error 111)",
        REACH,
    ),
    (
        "nobody answers",
        "cannot list lazyit/archives in STORE: the transfer has stalled: nothing moved \
         for 2 s",
        "try again when the network is better, or be more patient: --timeout 5m",
    ),
    (
        "no such host",
        "cannot list lazyit/archives in s3://BUCKET/prefix?endpoint=http://name.invalid: \
         the server cannot be reached: failed to lookup address information: Name or \
         service not known",
        REACH,
    ),
    (
        "reset",
        "cannot list lazyit/archives in STORE: the connection broke off: Connection reset \
         by peer (os error 104)",
        LATER,
    ),
    (
        "overloaded",
        "cannot list lazyit/archives in STORE: the server is overloaded or broken: \
         SlowDown: Please reduce your request rate",
        LATER,
    ),
    (
        "broken",
        "cannot list lazyit/archives in STORE: the server is overloaded or broken: \
         InternalError: We encountered an internal error. Please try again",
        LATER,
    ),
    (
        "a page of the web",
        "cannot write lazyit/blobs/X in STORE: the answer makes no sense: ETag Header \
         missing from response",
        "check that the endpoint in --store is the service's own, and try again: sealift \
         doctor",
    ),
    (
        "unknown authority",
        "cannot list lazyit/archives in STORE: the server cannot be trusted: invalid peer \
         certificate: UnknownIssuer",
        TRUST,
    ),
    (
        "another name",
        "cannot list lazyit/archives in STORE: the server cannot be trusted: invalid peer \
         certificate: certificate not valid for name \"127.0.0.1\"; certificate is only \
         valid for DnsName(\"other.example\")",
        TRUST,
    ),
    (
        "no TLS",
        "cannot list lazyit/archives in STORE: no encrypted connection came about: \
         received corrupt message of type InvalidContentType",
        "check the endpoint in --store: a server without TLS takes http:// and \
         allow_http=true",
    ),
    (
        "plain HTTP",
        "the setting store: http://127.0.0.1:X is plain HTTP, which anybody on the way \
         can read and change",
        "use https://; or, on a network that is yours alone: --store \
         's3://bucket/prefix?endpoint=http://127.0.0.1:X&allow_http=true'",
    ),
    (
        "no account",
        "cannot use az://container/prefix: Account must be specified",
        "say which account it is, az://container/prefix?account=NAME, and set \
         AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY",
    ),
    (
        "no account file",
        "cannot use gs://bucket/prefix: Unable to open service account file from \
         HOST/account.json: No such file or directory (os error 2)",
        ACCOUNT,
    ),
    (
        "no JSON",
        "cannot use gs://bucket/prefix: Unable to decode service account file: expected \
         value at line 1 column 1 in HOST/account.json",
        ACCOUNT,
    ),
];

/// A link with an archive behind it, and a night that is to follow.
struct Bench {
    link: Link,
    dump: String,
    listed: String,
}

impl Bench {
    fn new() -> Result<Self> {
        let mut link = Link::new(Protocol::S3sFs)?;
        let first = add_small_night(&link.host, NIGHTS[0])?;
        link.run(&["push", &first])?.expect_code(0)?;
        let dump = add_small_night(&link.host, NIGHTS[1])?;
        let listed = link.run(&["list", "--json"])?.expect_code(0)?.stdout;
        link.save(vec![first])?;
        Ok(Self { link, dump, listed })
    }

    /// The push that is to fail.
    fn push(&self, store: &str) -> Command {
        let args = [&["push", self.dump.as_str()], &SHORT[..]].concat();
        self.link.command_at(store, &args)
    }

    /// It fails as it is known to, and has changed nothing.
    fn fails(&self, name: &str, mut push: Command, code: i32) -> Outcome {
        let start = Instant::now();
        let run = Run::of(&push.output()?).expect_code(code)?;
        assert!(start.elapsed() < SOON, "{name}: {:?}", start.elapsed());
        self.check_told(name, &run)?;
        self.link.check_saved()?;
        self.link.heal();
        let listed = self.link.run(&["list", "--json"])?.expect_code(0)?;
        assert_eq!(listed.stdout, self.listed, "{name}");
        Ok(())
    }

    fn check_told(&self, name: &str, run: &Run) -> Outcome {
        let told = self.plain(&run.stderr);
        let lines = |mark| told.lines().filter_map(move |line| line.strip_prefix(mark));
        let (errors, hints): (Vec<_>, Vec<_>) =
            (lines("error: ").collect(), lines("hint: ").collect());
        let known = TOLD.iter().find(|(known, ..)| *known == name);
        let (_, error, hint) = known.ok_or(format!("{name}: {told}"))?;
        assert_eq!(
            (&errors[..], &hints[..]),
            (&[*error][..], &[*hint][..]),
            "{name}"
        );
        Ok(())
    }

    /// A text without what differs from run to run.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.link.bucket.name, "BUCKET");
        let text = text.replace(&self.link.host.folder.path().display().to_string(), "HOST");
        let text = cut_after(&text, "127.0.0.1:", |letter| letter.is_ascii_digit());
        let text = cut_after(&text, "/blobs/", |letter| letter != ' ');
        let address = |scheme| format!("s3://BUCKET/prefix?endpoint={scheme}://127.0.0.1:X");
        let text = text.replace(&address("http"), "STORE");
        text.replace(&address("https"), "STORE")
    }

    /// The store answers every request so.
    fn answers(&self, name: &str, status: u16, error: &str) -> Outcome {
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{error}</Error>");
        self.meets(name, Fault::Answer { status, body })
    }

    fn meets(&self, name: &str, fault: Fault) -> Outcome {
        self.link.plan(move |_, _| fault.clone());
        self.fails(name, self.push(&self.link.url()), 1)
    }

    /// Another server is asked, by this address.
    fn asks(&self, name: &str, endpoint: &str) -> Outcome {
        self.fails(name, self.push(&self.link.through(endpoint)), 1)
    }

    /// The same push gets through now, and only what it wrote is there besides.
    fn recovers(&self) -> Outcome {
        self.link.heal();
        self.link.run(&["push", &self.dump])?.expect_code(0)?;
        self.link.run(&["verify"])?.expect_code(0)?;
        self.link.check_latest(NIGHTS[1])?;
        self.link.check_named()
    }
}

/// A text in which what follows a mark is replaced by one letter.
fn cut_after(text: &str, mark: &str, is_cut: fn(char) -> bool) -> String {
    let mut parts = text.split(mark);
    let mut cut = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        cut += &format!("{mark}X{}", part.trim_start_matches(is_cut));
    }
    cut
}

/// A server that gives every request one answer.
fn server(answer: &'static str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away is the client's affair.
            let _ = reply(client, answer);
        }
    });
    Ok(address)
}

fn reply(mut client: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    write!(client, "HTTP/1.1 {answer}")
}

/// A server with a certificate of its own making, for another name.
struct Tls {
    child: Child,
    /// It would end with its listener.
    _stdout: BufReader<ChildStdout>,
    endpoint: String,
}

impl Tls {
    fn start(host: &Host) -> Result<Self> {
        let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
                    -subj /CN=other.example -addext subjectAltName=DNS:other.example \
                    -addext basicConstraints=critical,CA:FALSE -keyout tls-key.pem -out tls.pem";
        let mut openssl = Command::new("sh");
        openssl.args(["-c", make]).current_dir(host.folder.path());
        Run::of(&openssl.output()?).expect_code(0)?;
        let mut serve = Command::new("openssl");
        serve
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "tls.pem"])
            .args(["-key", "tls-key.pem", "-www"])
            .current_dir(host.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = serve.spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        while !line.starts_with("ACCEPT 127.0.0.1:") {
            line.clear();
            if stdout.read_line(&mut line)? == 0 {
                return Err("openssl does not say where it listens".into());
            }
        }
        let endpoint = format!("https://{}", line.trim_start_matches("ACCEPT ").trim());
        Ok(Self {
            child,
            _stdout: stdout,
            endpoint,
        })
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn credentials_that_are_no_good_are_told_apart() -> Outcome {
    let bench = Bench::new()?;
    let with = |name, value| {
        let mut push = bench.push(&bench.link.url());
        push.env(name, value);
        push
    };
    bench.fails("wrong key", with("AWS_ACCESS_KEY_ID", "other"), 1)?;
    bench.fails("wrong secret", with("AWS_SECRET_ACCESS_KEY", "other"), 1)?;
    let mut push = bench.push(&bench.link.url());
    push.env_remove("AWS_ACCESS_KEY_ID");
    push.env_remove("AWS_SECRET_ACCESS_KEY");
    bench.fails("no credentials", push, 1)?;
    let message = "<Message>The provided token has expired.</Message>";
    bench.answers(
        "expired",
        400,
        &format!("<Code>ExpiredToken</Code>{message}"),
    )?;
    let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    bench.link.plan(move |_, request| match &*request.method {
        "PUT" => Fault::Answer {
            status: 403,
            body: body.to_owned(),
        },
        _ => Fault::Pass,
    });
    bench.fails("no right to write", bench.push(&bench.link.url()), 1)?;
    bench.recovers()
}

#[test]
fn a_bucket_that_is_not_there_is_told_from_one_that_is_elsewhere() -> Outcome {
    let bench = Bench::new()?;
    let moto = shared(Protocol::Moto)?.bucket()?;
    let absent = moto.url.replace(&moto.name, "absent");
    bench.fails("no bucket", bench.push(&absent), 1)?;
    let link = &bench.link;
    let impossible = link.bucket.url.replace(&link.bucket.name, "not_a_bucket");
    bench.fails("no name for a bucket", bench.push(&impossible), 1)?;
    bench.answers(
        "another region",
        301,
        "<Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be \
         addressed using the specified endpoint. Please send all future requests to this \
         endpoint.</Message><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint><Bucket>b</Bucket>",
    )?;
    bench.answers(
        "signed for another region",
        400,
        "<Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; \
         the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region>",
    )?;
    // As it is answered where there can be no body.
    let head = "301 Moved Permanently\r\nx-amz-bucket-region: eu-west-1\r\nContent-Length: 0\r\n\
                Connection: close\r\n\r\n";
    bench.asks("a region in a header", &server(head)?)?;
    let head = "308 Permanent Redirect\r\nLocation: https://store.example/\r\nContent-Length: 0\r\n\
                Connection: close\r\n\r\n";
    bench.asks("moved", &server(head)?)?;
    bench.recovers()
}

#[test]
fn a_clock_that_is_off_is_told_even_if_the_store_calls_it_something_else() -> Outcome {
    let bench = Bench::new()?;
    bench.answers(
        "skewed",
        403,
        "<Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and \
         the current time is too large.</Message>",
    )?;
    let head = "403 Forbidden\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 53\r\n\
                Connection: close\r\n\r\n<Error><Code>SignatureDoesNotMatch</Code></Error>    ";
    bench.asks("another date", &server(head)?)?;
    bench.recovers()
}

#[test]
fn what_stands_in_the_way_to_a_store_is_told() -> Outcome {
    let bench = Bench::new()?;
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    bench.asks("nobody listens", &format!("http://{closed}"))?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    bench.asks(
        "nobody answers",
        &format!("http://{}", silent.local_addr()?),
    )?;
    bench.asks("no such host", "http://name.invalid")?;
    bench.meets("reset", Fault::ResetBefore)?;
    bench.answers(
        "overloaded",
        503,
        "<Code>SlowDown</Code><Message>Please reduce your request rate.</Message>",
    )?;
    bench.answers(
        "broken",
        500,
        "<Code>InternalError</Code><Message>We encountered an internal error. Please try \
         again.</Message>",
    )?;
    let page = "200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n<html>Welcome</html>";
    bench.asks("a page of the web", &server(page)?)?;
    bench.recovers()
}

#[test]
fn a_server_that_cannot_prove_its_name_is_told() -> Outcome {
    let bench = Bench::new()?;
    let tls = Tls::start(&bench.link.host)?;
    bench.asks("unknown authority", &tls.endpoint)?;
    let mut push = bench.push(&bench.link.through(&tls.endpoint));
    push.args(["--ca-bundle", "tls.pem"]);
    bench.fails("another name", push, 1)?;
    let encrypted = bench.link.bucket.url.replace("=http://", "=https://");
    bench.fails("no TLS", bench.push(&encrypted), 1)?;
    bench.recovers()
}

#[test]
fn settings_of_a_store_that_cannot_do_are_told_before_anything_is_asked() -> Outcome {
    let bench = Bench::new()?;
    let plain = "s3://bucket/prefix?endpoint=http://127.0.0.1:9000";
    bench.fails("plain HTTP", bench.push(plain), 2)?;
    bench.fails("no account", bench.push("az://container/prefix"), 2)?;
    let file = bench.link.host.path("account.json");
    let google = || {
        let mut push = bench.push("gs://bucket/prefix");
        push.env("GOOGLE_APPLICATION_CREDENTIALS", &file);
        push
    };
    bench.fails("no account file", google(), 2)?;
    fs::write(&file, "a key")?;
    bench.fails("no JSON", google(), 2)?;
    bench.recovers()
}

#[test]
fn no_two_errors_read_alike() {
    let errors: BTreeSet<_> = TOLD.iter().map(|(_, error, _)| error).collect();
    assert_eq!(errors.len(), TOLD.len());
}
