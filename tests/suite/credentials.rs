//! Credentials for S3, from every place where AWS's own tools look.
//!
//! The server that checks signatures has one key, so whatever gives out that key is seen to work;
//! the temporary keys that STS makes up are known to moto alone, which makes them. What a cloud
//! gives its machines over HTTP is played by a server of a few lines.

use crate::support::servers::{ACCESS_KEY, Bucket, Protocol, SECRET_KEY, shared};
use crate::support::{Host, NIGHTS, Outcome, Run};
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A host whose environment has what is needed to find the credentials, and nothing else.
struct Case {
    host: Host,
    bucket: Bucket,
    env: Vec<(String, String)>,
}

impl Case {
    fn new(protocol: Protocol) -> Result<Self> {
        let host = Host::new()?;
        host.add_night(NIGHTS[0])?;
        let home = host.path("home");
        fs::create_dir_all(home.join(".aws/sso/cache"))?;
        let mut case = Self {
            host,
            bucket: shared(protocol)?.bucket()?,
            env: Vec::new(),
        };
        case.set("HOME", &home.display().to_string());
        case.set("AWS_EC2_METADATA_DISABLED", "true");
        Ok(case)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(set, _)| set != name);
        self.env.push((name.into(), value.into()));
    }

    fn write(&self, name: &str, text: &str) -> Outcome {
        Ok(fs::write(self.host.path("home/.aws").join(name), text)?)
    }

    fn push(&self, option: &str) -> Result<Run> {
        let url = format!("{}{option}", self.bucket.url);
        let mut command = self
            .host
            .command(&["push", "--deadline", "5s", "--store", &url]);
        command.envs(self.env.iter().cloned());
        Ok(Run::of(&command.output()?))
    }
}

fn keys() -> String {
    format!("aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
}

fn json(key: &str, secret: &str) -> String {
    format!(
        r#"{{"Version": 1, "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
            "AccessKeyId": "{ACCESS_KEY}", "{key}": "{SECRET_KEY}", "{secret}": "token",
            "Expiration": "2099-01-01T00:00:00Z"}}"#
    )
}

/// A server of a cloud that gives out credentials: it answers a path that ends so with a text.
fn cloud(answers: Vec<(&'static str, String)>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away is the client's affair.
            let _ = answer(client, &answers);
        }
    });
    Ok(address)
}

fn answer(mut client: TcpStream, answers: &[(&str, String)]) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let found = answers.iter().find(|(end, _)| path.ends_with(end));
    let (status, body) = found.map_or((404, ""), |(_, body)| (200, body));
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status} Fine\r\nContent-Length: {length}\r\nConnection: close\r\n\
         x-aws-ec2-metadata-token-ttl-seconds: 600\r\n\r\n{body}"
    )?;
    client.shutdown(std::net::Shutdown::Write)?;
    reader.take(1).read_to_end(&mut Vec::new()).map(drop)
}

#[test]
fn the_environment_gives_them() -> Outcome {
    let mut case = Case::new(Protocol::S3sFs)?;
    case.set("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    case.set("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    case.push("")?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_profile_gives_them_by_name_or_by_default() -> Outcome {
    let mut case = Case::new(Protocol::S3sFs)?;
    case.write("credentials", &format!("[default]\n{0}[mine]\n{0}", keys()))?;
    case.push("")?.expect_code(0)?;
    case.push("&profile=mine")?.expect_code(0)?;
    case.set("AWS_PROFILE", "mine");
    case.push("")?.expect_code(0)?;
    let run = case.push("&profile=absent")?.expect_code(1)?;
    assert!(
        run.stderr
            .contains("(the address names the profile \"absent\")"),
        "{run:?}"
    );
    Ok(())
}

#[test]
fn a_program_gives_them() -> Outcome {
    let case = Case::new(Protocol::S3sFs)?;
    let answer = case.host.path("answer.json");
    fs::write(&answer, json("SecretAccessKey", "SessionToken"))?;
    let config = format!("[default]\ncredential_process = cat {}\n", answer.display());
    case.write("config", &config)?;
    case.push("")?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_container_and_an_instance_are_given_them_by_their_cloud() -> Outcome {
    let mut case = Case::new(Protocol::S3sFs)?;
    let container = cloud(vec![("/credentials", json("SecretAccessKey", "Token"))])?;
    case.set(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        &format!("{container}/credentials"),
    );
    case.push("")?.expect_code(0)?;

    let mut case = Case::new(Protocol::S3sFs)?;
    let instance = cloud(vec![
        ("/latest/api/token", "a-token".into()),
        ("/security-credentials/", "a-role".into()),
        ("/security-credentials-extended/", "a-role".into()),
        ("/a-role", json("SecretAccessKey", "Token")),
    ])?;
    case.set("AWS_EC2_METADATA_DISABLED", "false");
    case.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance);
    case.push("")?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_role_is_assumed_with_a_profile_or_with_a_token() -> Outcome {
    let role = "arn:aws:iam::123456789012:role/backup";
    let mut case = Case::new(Protocol::Moto)?;
    case.set("AWS_ENDPOINT_URL_STS", &shared(Protocol::Moto)?.address());
    case.set("AWS_REGION", "us-east-1");
    case.write("credentials", &format!("[source]\n{}", keys()))?;
    let config = format!("[profile mine]\nrole_arn = {role}\nsource_profile = source\n");
    case.write("config", &config)?;
    case.push("&profile=mine")?.expect_code(0)?;

    let token = case.host.path("token");
    fs::write(&token, "a.web.token")?;
    let mut case = Case {
        bucket: shared(Protocol::Moto)?.bucket()?,
        ..case
    };
    case.set("AWS_WEB_IDENTITY_TOKEN_FILE", &token.display().to_string());
    case.set("AWS_ROLE_ARN", role);
    case.push("")?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_single_sign_on_that_has_ended_is_said_to_have() -> Outcome {
    let case = Case::new(Protocol::S3sFs)?;
    let config = "[profile mine]\nsso_session = office\nsso_account_id = 123456789012\n\
                  sso_role_name = backup\n[sso-session office]\nsso_region = us-east-1\n\
                  sso_start_url = https://office.example/start\n";
    case.write("config", config)?;
    let token =
        r#"{"accessToken": "old", "expiresAt": "2020-01-01T00:00:00Z", "region": "us-east-1"}"#;
    case.write(&format!("sso/cache/{}.json", sha1("office")?), token)?;
    let run = case.push("&profile=mine")?.expect_code(1)?;
    assert!(
        run.stderr.contains("the credentials have expired"),
        "{run:?}"
    );
    assert!(
        run.stderr.contains("hint: renew them: aws sso login"),
        "{run:?}"
    );
    Ok(())
}

/// What AWS's own tools name the file of a session's token after.
fn sha1(text: &str) -> Result<String> {
    let sum = Command::new("sh")
        .args(["-c", "printf %s \"$0\" | sha1sum | cut -d' ' -f1", text])
        .output()?;
    Ok(String::from_utf8(sum.stdout)?.trim().to_owned())
}
