//! Arguments: their shape and their help. What they mean is decided by the settings.
#![allow(
    clippy::doc_markdown,
    rustdoc::invalid_html_tags,
    reason = "these comments are the help, shown on a terminal"
)]

pub mod retention;
pub mod sidecar;

use clap::{Parser, Subcommand};
use retention::RetentionArgs;
use sidecar::SidecarArgs;
use std::path::PathBuf;

/// Off-site backups for a lazyit instance: sealed, signed, and with a way back.
#[derive(Debug, Parser)]
#[command(name = "sealift", version, about, after_long_help = EXIT_CODES)]
pub struct Args {
    /// Print results as one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub settings: SettingsArgs,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  failed
    2  wrong arguments or settings
    3  archived (or inspected), but suspect
    4  archived, but not in every store
    5  verify, audit or replicate found violations, or prune would not work on what it found
    6  no such archive
  130  interrupted

Every setting can be given as a flag, as an environment variable or in sealift.toml; a flag
overrides the environment, which overrides the file. TZ counts only if none of them sets the
time zone.";

/// The settings, each of which is also an environment variable and a line of `sealift.toml`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// The settings file [env: SEALIFT_CONFIG] [default: ./sealift.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of the instance: the first folder in the store [env: SEALIFT_INSTANCE] [default: lazyit]
    #[arg(long, global = true, value_name = "NAME")]
    pub instance: Option<String>,
    /// Where archives are kept: the path of a folder, s3://bucket/prefix, gs://bucket/prefix or
    /// az://container/prefix; several, separated by commas, all get every archive. What is not as
    /// usual about a bucket is part of its address, as
    /// 's3://bucket/prefix?endpoint=https://minio.example:9000&region=eu-1' (quoted for the shell); options: endpoint, region,
    /// path_style, checksums, profile (s3), endpoint (gs), account, endpoint (az), allow_http (all)
    /// [env: SEALIFT_STORE]
    #[arg(
        long = "store",
        global = true,
        value_name = "URL",
        value_delimiter = ','
    )]
    pub stores: Vec<String>,
    /// Who can open dumps and attachments, as age1…, ssh-ed25519 … or ssh-rsa …; may be repeated,
    /// or separated by commas [env: SEALIFT_RECIPIENTS]
    #[arg(
        long,
        global = true,
        value_name = "RECIPIENT",
        value_delimiter = ',',
        visible_alias = "recipient"
    )]
    pub recipients: Vec<String>,
    /// Who can open the env file and other secrets, likewise [env: SEALIFT_SECRET_RECIPIENTS]
    /// [default: those of --recipients]
    #[arg(
        long,
        global = true,
        value_name = "RECIPIENT",
        value_delimiter = ',',
        visible_alias = "secret-recipient"
    )]
    pub secret_recipients: Vec<String>,
    /// The env file with the master keys [env: SEALIFT_ENV_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// The folder that dumps are written to [env: SEALIFT_BACKUPS] [default: ./backups]
    #[arg(long, global = true, value_name = "DIR")]
    pub backups: Option<PathBuf>,
    /// The folder for the index and the lock [env: SEALIFT_STATE] [default: sealift-state beside
    /// the settings file]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The key that signs archives: an OpenSSH ed25519 private key [env: SEALIFT_SIGNING_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
    /// Whose archives are believed: a file in the format of ssh-keygen's allowed_signers
    /// [env: SEALIFT_TRUSTED_SIGNERS] [default: the signing key alone]
    #[arg(long, global = true, value_name = "FILE")]
    pub trusted_signers: Option<PathBuf>,
    /// The age identity that opens archives; never kept on the host that pushes
    /// [env: SEALIFT_IDENTITY]
    #[arg(long, global = true, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// What else to archive, as NAME=PATH or NAME:CLASS=PATH, where CLASS is data or secrets; may
    /// be repeated [env: SEALIFT_INCLUDES, separated by commas]
    #[arg(long = "include", global = true, value_name = "NAME=PATH")]
    pub includes: Vec<String>,
    /// How people sign in: oidc (pairs of two dumps) or local (the app dump alone)
    /// [env: AUTH_MODE] [default: what the env file says, else oidc]
    #[arg(long, global = true, value_name = "MODE")]
    pub auth_mode: Option<String>,
    /// Time zone of the stamps in the names of dumps, as Europe/Vienna [env: SEALIFT_TIME_ZONE]
    /// [default: what TZ says, or UTC]
    #[arg(long, global = true, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Store data anew rather than refer to what was stored longer ago than this, as 30d
    /// [env: SEALIFT_REUSE_MAX_AGE] [default: half of the time that the store locks objects for, or
    /// no limit]
    #[arg(long, global = true, value_name = "TIME")]
    pub reuse_max_age: Option<String>,
    /// Look at the backups folder so often, even if nothing says that it changed: network file
    /// systems do not say [env: SEALIFT_POLL] [default: 60s]
    #[arg(long, global = true, value_name = "TIME")]
    pub poll: Option<String>,
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// The settings of the way to stores.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct NetworkArgs {
    /// Send so many bytes a second at most, to all stores together, as 500k or 2M
    /// [env: SEALIFT_LIMIT_UPLOAD]
    #[arg(long, global = true, value_name = "RATE")]
    pub limit_upload: Option<String>,
    /// Receive so many bytes a second at most, likewise [env: SEALIFT_LIMIT_DOWNLOAD]
    #[arg(long, global = true, value_name = "RATE")]
    pub limit_download: Option<String>,
    /// Give a request up when nothing has moved for so long [env: SEALIFT_TIMEOUT] [default: 60s]
    #[arg(long, global = true, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Go on trying a request that fails for so long [env: SEALIFT_DEADLINE] [default: 2m]
    #[arg(long, global = true, value_name = "TIME")]
    pub deadline: Option<String>,
    /// Trust the authorities in this file, too: certificates in PEM format [env: SEALIFT_CA_BUNDLE,
    /// or AWS_CA_BUNDLE]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set sealift up: settings, a signing key, and the recovery kit
    ///
    /// Writes sealift.toml, a signing key, the list of trusted signers and the folder recovery-kit
    /// into the current folder (or beside --config); settings that are given go into sealift.toml,
    /// and a key or list that is given is used rather than made. Without --recipients a new identity
    /// is made, which is in the kit alone: move the kit off this host.
    #[command(
        after_help = "Example:\n  sealift init --store /mnt/backup --env-file .env.prod --backups ./backups"
    )]
    Init,
    /// Archive the pairs that these dumps belong to; without a dump, every pair not archived yet
    ///
    /// This is what BACKUP_OFFSITE_CMD calls, which adds the dump. Prints one line for each pair,
    /// which ends in the archive's id.
    #[command(
        after_help = "Examples:\n  sealift push\n  sealift push backups/app-20260131-030000.dump\n  BACKUP_OFFSITE_CMD='sealift push'"
    )]
    Push(PushArgs),
    /// Read dumps to the last byte, and prove the keys of the env file on them
    ///
    /// Looks at no store and changes nothing. Dumps are taken by pairs, as their names say. Says of each dump whether it is whole, which
    /// pg_restore reads it and how it gets back into its server; and of each key in the env file
    /// whether it opens what is in the dumps: proven, unproven (there is nothing to try it on), or
    /// refuted. Exits with 3 if anything is wrong. Only gzip carries checksums: in
    /// any other dump a changed byte of a row may be found by nobody.
    #[command(
        after_help = "Example:\n  sealift inspect backups/app-20260131-030000.dump backups/zitadel-20260131-030000.dump --env-file .env.prod"
    )]
    Inspect(InspectArgs),
    /// Be the sidecar: dump on a schedule, archive, and remove old dumps that are off-site
    ///
    /// Dumps both databases (the app's alone where sign-in is local) by the pg_dump of each server's own
    /// major where that is installed, reads each dump to its last row before it gets its name, archives
    /// every pair that is not archived yet, and removes old dumps only once they are off-site. Runs
    /// that were missed while the host slept are caught up by one. A failure is a line on stderr that
    /// begins with '[lazyit-backup] FAILED run', a call of --on-failure, and a ping; the next run
    /// comes all the same.
    #[command(
        after_help = "Example:\n  BACKUP_CRON='0 3 * * *' BACKUP_RETENTION_DAYS=14 sealift run --env-file .env.prod"
    )]
    Run(SidecarArgs),
    /// Dump, archive and tidy up now, as `run` does at each tick
    #[command(after_help = "Example:\n  sealift dump --env-file .env.prod")]
    Dump(SidecarArgs),
    /// List the archives, newest first
    List,
    /// Show one archive in full: its components, its recipients, what was found
    #[command(after_help = "Example:\n  sealift show 3f9a")]
    Show(ShowArgs),
    /// Download, verify and decrypt an archive
    ///
    /// Writes the dumps byte for byte, .env.prod, the includes, and RESTORE.md with the commands
    /// that bring the instance back. After a failure there is no output at all.
    #[command(
        after_help = "Example:\n  cd recovery-kit && sealift fetch --latest --identity identity.txt --out ../recovered"
    )]
    Fetch(FetchArgs),
    /// Check signatures, the chain, and the presence and size of every blob
    ///
    /// With --read-data every blob is read, too, or a share of them: another one each time, until all
    /// were read. What was interrupted goes on where it was. With an identity (--identity, or wherever else it is
    /// set) every component is decrypted and compared with the digest it was archived with;
    /// nothing of it is written. Says which archives and components are damaged, and what can still be
    /// had back. Changes nothing in the store but with --heal-from.
    #[command(
        after_help = "Examples:\n  sealift verify --read-data=10%\n  sealift verify --read-data --heal-from /mnt/second-copy"
    )]
    Verify(VerifyArgs),
    /// Exempt an archive from retention, by a signed record in every store
    #[command(after_help = "Example:\n  sealift hold 3f9a --reason 'before the migration'")]
    Hold(HoldArgs),
    /// Let retention count for an archive again
    #[command(after_help = "Example:\n  sealift release 3f9a")]
    Release(HoldArgs),
    /// Show what retention keeps and why, and what it would remove; with --execute, remove it
    ///
    /// Reads and verifies every manifest in every store; if one cannot be, or one is missing without a
    /// record, nothing is removed. An archive goes by a signed retirement; what no archive needs any
    /// more is deleted once the grace period is over, so the space is free a day later. What
    /// is locked is tried again the next time. Without any rule everything is kept.
    #[command(
        after_help = "Example:\n  sealift prune --keep-daily 14 --keep-weekly 8 --keep-monthly 12\n  sealift prune --execute"
    )]
    Prune(PruneArgs),
    /// Hold the policy against the stores, and the stores against what this host remembers
    ///
    /// Says what there is, whether it is whole as far as names and sizes show, what the policy keeps and
    /// why, what was removed and by what right, and what is wrong, each with its remedy. Changes nothing.
    /// Exits with 5 if something is wrong.
    #[command(
        after_help = "Examples:\n  sealift audit --html audit.html\n  sealift audit --prometheus > /var/lib/node_exporter/sealift.prom"
    )]
    Audit(AuditArgs),
    /// Copy archives from the store to another one, without opening them
    ///
    /// Verifies every signature and every blob on the way. What is there already is not sent again,
    /// so it can be stopped at any time and repeated at will. Of several stores the first that can be
    /// read is copied.
    #[command(
        after_help = "Example:\n  sealift replicate --to 's3://second-bucket/lazyit?region=eu-1'"
    )]
    Replicate(ReplicateArgs),
    /// Archive pairs as they appear in the backups folder, until it is told to stop
    ///
    /// Starts with every pair that is not archived yet. A pair is archived once both halves have not
    /// changed for 5 seconds. While a store is down it tries again, after 30 seconds at first and
    /// after 15 minutes at most; a pair that cannot be archived is told of once, and tried
    /// again when it changes, or after an hour at most. Works beside the hook. With --json it prints one line of
    /// JSON for each push, as push does. SIGTERM and SIGINT end it at the next safe point, with 0.
    #[command(after_help = "Example:\n  sealift watch --poll 5m")]
    Watch,
    /// Say whether watch or run is alive and does its work; exits with 1 if not
    ///
    /// Looks at the heartbeats in the state folder, and at nothing else: for HEALTHCHECK in a
    /// container, or a monitor. Not well is also a service that cannot read the backups folder, or to
    /// which nothing has come to a good end for six hours.
    #[command(after_help = "Example:\n  HEALTHCHECK CMD [\"sealift\", \"health\"]")]
    Health,
    /// Check settings, keys, credentials, clock, and what each store really does
    ///
    /// Writes scratch objects under probe/ in each store, and deletes them where that is allowed.
    /// Exits with 1 if anything has to be mended.
    Doctor,
    /// Look after the index, the local cache of what the stores hold
    Index(IndexArgs),
    /// Run the whole cycle on sample data, in a folder of its own
    Demo(DemoArgs),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  sealift completions bash > /etc/bash_completion.d/sealift")]
    Completions(CompletionsArgs),
    /// Write the manual pages into a folder
    #[command(after_help = "Example:\n  sealift man --out man1 && man man1/sealift.1")]
    Man(ManArgs),
}

#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// Dumps; both halves of a pair may be given, in any order and more than once
    #[arg(value_name = "DUMP")]
    pub dumps: Vec<PathBuf>,
    /// Archive a dump whose other half is missing; the archive is suspect
    #[arg(long)]
    pub allow_half: bool,
    /// Take keys that changed for the right ones: a new instance took the place of the old one
    #[arg(long)]
    pub accept_new_keys: bool,
}

#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// Dumps, as pg_dump -Fc writes them; best both halves of a pair
    #[arg(value_name = "DUMP", required = true)]
    pub dumps: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The archive's id, or the first four digits of it or more
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Debug, clap::Args)]
pub struct FetchArgs {
    #[command(flatten)]
    pub which: WhichArgs,
    /// The folder for the files: new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Fetch this component alone, as app, zitadel, env or an include; may be repeated
    #[arg(long = "component", value_name = "NAME")]
    pub components: Vec<String>,
    /// Take the newest archive (with --latest or --at) even if it is suspect
    #[arg(long)]
    pub allow_suspect: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct WhichArgs {
    /// The newest sound archive
    #[arg(long)]
    pub latest: bool,
    /// The newest sound archive captured at this time or before, as 2026-01-31T03:00:00Z
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The archive with this id; its first four digits or more will do
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Read blobs to their last byte and compare them with their names: all of them, or a share
    #[arg(
        long,
        value_name = "N%",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100%"
    )]
    pub read_data: Option<String>,
    /// Put in place of what is missing or damaged what this store has, which is verified first; an
    /// address as that of --store
    #[arg(long, value_name = "URL")]
    pub heal_from: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct ReplicateArgs {
    /// The other store, whose address is as that of --store
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Fill a store that is empty now though it held archives: a new disk in place of the old one
    #[arg(long)]
    pub refill: bool,
}

#[derive(Debug, clap::Args)]
pub struct HoldArgs {
    /// The archive's id, the first four digits of it or more, or its number
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why, in a line; it is public, and signed
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    /// Do it; without this, the plan is shown and nothing is changed
    #[arg(long)]
    pub execute: bool,
    /// What no archive needs any more stays for so long; less than a day only if no other host pushes
    /// [default: 24h]
    #[arg(long, value_name = "TIME")]
    pub grace: Option<String>,
    #[command(flatten)]
    pub retention: RetentionArgs,
}

#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// Write the report as a page to this file, too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print metrics in the format of Prometheus instead
    #[arg(long, conflicts_with = "journal")]
    pub prometheus: bool,
    /// Print this host's journal instead, a line of JSON for each entry
    #[arg(long, conflicts_with_all = ["html", "all_instances"])]
    pub journal: bool,
    /// Audit every instance in the stores, in a line each
    #[arg(long, conflicts_with = "html")]
    pub all_instances: bool,
    #[command(flatten)]
    pub retention: RetentionArgs,
}

#[derive(Debug, clap::Args)]
pub struct IndexArgs {
    #[command(subcommand)]
    pub command: IndexCommand,
}

/// What to do with the index.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Make a new index from the stores alone
    ///
    /// Reads and verifies every archive. With an identity (and the signing key) it also reads the data
    /// of the newest three archives, so that the next push knows what is in the stores; without one, that push
    /// stores everything once more. The journal is kept, if it can be read. The old index stays
    /// as it is until the new one is complete, and for good if anything fails.
    #[command(
        after_help = "Example:\n  sealift index rebuild --identity recovery-kit/identity.txt"
    )]
    Rebuild,
}

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// A new or empty folder to leave everything in, to look at [default: a temporary one, removed
    /// at the end]
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The folder for the pages
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
