//! The recovery kit: a folder that is enough, with a store, to get everything back.

use crate::cli::failure::Failure;
use crate::cli::settings_file::{addresses, quoted};
use sealift::{BucketUrl, Service, StoreUrl, create_private_folder, shell_word, write_new};
use std::path::PathBuf;

/// What goes into the kit.
pub struct Kit<'a> {
    /// The folder, which is not there yet.
    pub folder: PathBuf,
    /// The stores.
    pub stores: &'a [StoreUrl],
    /// The instance.
    pub instance: String,
    /// Whose archives are believed.
    pub signers: &'a str,
    /// The identity, if it was made for this kit.
    pub identity: Option<&'a str>,
    /// Who can open data, and secrets too unless they are sealed to others.
    pub recipients: &'a [String],
    /// Who can open secrets, if that is somebody else.
    pub secret_recipients: &'a [String],
}

/// Rebuilds the latest archive with standard tools only.
const RECOVER: &str = include_str!("recover.sh");

impl Kit<'_> {
    /// Writes the kit.
    ///
    /// # Errors
    /// A [`Failure`] that names the file.
    pub fn write(&self) -> Result<(), Failure> {
        create_private_folder(&self.folder)?;
        let write = |name: &str, mode, text: &str| {
            write_new(&self.folder.join(name), mode, text.as_bytes())
        };
        write("allowed_signers", 0o644, self.signers)?;
        write("sealift.toml", 0o644, &self.settings())?;
        write("recover.sh", 0o755, RECOVER)?;
        write("RECOVERY.md", 0o600, &self.page())?;
        if let Some(identity) = self.identity {
            let public = self.recipients.join(", ");
            let what = if self.secret_recipients.is_empty() {
                "the archives"
            } else {
                "data, not secrets, in the archives"
            };
            let text = format!(
                "# opens {what} of {}\n# public key: {public}\n{identity}\n",
                self.instance
            );
            write("identity.txt", 0o600, &text)?;
        }
        Ok(())
    }

    fn settings(&self) -> String {
        format!(
            "# Enough to fetch: sealift fetch --latest --identity identity.txt --out DIR\n\
             instance = {}\nstore = {}\ntrusted_signers = \"allowed_signers\"\n",
            quoted(&self.instance),
            addresses(self.stores)
        )
    }

    fn page(&self) -> String {
        let instance = &self.instance;
        let stores: Vec<String> = self.stores.iter().map(|url| format!("`{url}`")).collect();
        let store = stores.join(", ");
        format!(
            "# Recovery of {instance}\n\n\
             Store: {store}, instance `{instance}`.\n\n\
             ## With sealift\n\n\
             {before}In this folder, on any machine that reaches the store{access}:\n\n\
             ```sh\nsealift fetch --latest --identity identity.txt --out ../recovered\n```\n\n\
             Then follow `../recovered/RESTORE.md`.\n\n\
             ## Without sealift\n\n\
             With a copy of the store as a folder, and sha256sum, ssh-keygen, age, zstd, jq and tar:\n\n\
             ```sh\n{copies}sh recover.sh STORE_DIR identity.txt ../recovered\n```\n\n\
             ## What must not be lost\n\n\
             {identity}\n\n{openers}\n\
             The signers whose archives are believed:\n\n{signers}\n\
             ## Order of a restore\n\n\
             1. The env file, before anything starts: its master keys cannot be made again.\n\
             2. The volume zitadel_secrets; without it nobody can log in.\n\
             3. The zitadel database, then the application database.\n\
             4. The attachments. Then start everything, and sign in.\n\n\
             Never `down -v`. Never generate new keys.\n",
            before = self.before(),
            copies = self.copies(),
            access = self.access(),
            identity = self.identity(),
            openers = self.openers(),
            signers = indented(self.signers.lines()),
        )
    }

    /// What reaching the store takes, besides this kit.
    fn access(&self) -> &'static str {
        if self.stores.iter().all(|store| store.folder().is_some()) {
            return "";
        }
        " and has credentials that may read\nit (they are not in this kit: write down here where they are kept)"
    }

    /// The commands that copy a bucket into a folder; one of them is enough.
    fn copies(&self) -> String {
        let copies: Vec<String> = self.stores.iter().filter_map(copy_command).collect();
        let one = if copies.len() > 1 {
            "# ONE of these, with credentials of its service:\n"
        } else {
            ""
        };
        format!("{one}{}", copies.concat())
    }

    /// What must be done first, if `identity.txt` does not open everything.
    fn before(&self) -> &'static str {
        match (self.identity, self.secret_recipients) {
            (Some(_), []) => "",
            (Some(_), _) => {
                "`identity.txt` opens data, not secrets. First add the identity that opens secrets:\n\n\
                 ```sh\ncat SECRETS_IDENTITY >> identity.txt\n```\n\n\
                 (An SSH key cannot be added. Then fetch twice, with the `--identity` of each, and\n\
                 `--component` for each component that it opens.)\n\n"
            }
            (None, []) => "First put your identity here, as `identity.txt`.\n\n",
            (None, _) => {
                "First put your identities here, as `identity.txt`: that for data and that for secrets.\n\n"
            }
        }
    }

    fn identity(&self) -> String {
        let Some(identity) = self.identity else {
            return "The identity that opens the archives: yours. It is not part of this kit; keep \
                    it with this page."
                .into();
        };
        if self.secret_recipients.is_empty() {
            return format!(
                "The identity that opens the archives:\n\n    {identity}\n\n\
                 Whoever has this line and the store can read everything. Keep it in a safe."
            );
        }
        format!(
            "The identity that opens data:\n\n    {identity}\n\n\
             Whoever has this line and the store can read the dumps. Keep it in a safe. It does not\n\
             open secrets: the identity that does is yours, and not part of this kit. Keep it too;\n\
             without the env file, what is in the dumps cannot be used."
        )
    }

    fn openers(&self) -> String {
        let data = indented(self.recipients);
        if self.secret_recipients.is_empty() {
            return format!("Everything is sealed to:\n\n{data}");
        }
        format!(
            "Data (dumps, attachments, other includes) is sealed to:\n\n{data}\n\
             Secrets (the env file, zitadel-secrets, includes of the class secrets) are sealed to:\n\n{}",
            indented(self.secret_recipients)
        )
    }
}

/// The command of a service's own tool that copies a bucket into a folder.
fn copy_command(store: &StoreUrl) -> Option<String> {
    let StoreUrl::Bucket(bucket) = store else {
        return None;
    };
    let BucketUrl {
        service,
        bucket: name,
        prefix,
        options,
    } = &**bucket;
    let option = |flag: &str, value: &Option<String>| {
        let value = value
            .as_ref()
            .map(|value| format!(" {flag} {}", shell_word(value)));
        value.unwrap_or_default()
    };
    let place = shell_word(&format!("{name}/{prefix}"));
    Some(match service {
        Service::S3 => format!(
            "aws s3 sync s3://{place} STORE_DIR{}{}\n",
            option("--endpoint-url", &options.endpoint),
            option("--region", &options.region),
        ),
        Service::Gcs => format!("gcloud storage rsync --recursive gs://{place} STORE_DIR\n"),
        Service::Azure => {
            let account = options.account.as_deref().unwrap_or("ACCOUNT");
            let own = format!("https://{account}.blob.core.windows.net");
            let server = options.endpoint.as_ref().unwrap_or(&own);
            let folder = format!("{server}/{name}/{prefix}");
            let all = shell_word(&format!("{}/*", folder.trim_end_matches('/')));
            format!("azcopy copy {all} STORE_DIR --recursive\n")
        }
    })
}

fn indented(lines: impl IntoIterator<Item: std::fmt::Display>) -> String {
    let lines = lines.into_iter();
    lines.map(|line| format!("    {line}\n")).collect()
}
