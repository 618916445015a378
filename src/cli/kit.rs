//! The recovery kit: a folder that is enough, with a store, to get everything back.

use crate::cli::failure::Failure;
use crate::cli::settings_file::quoted;
use sealift::{create_private_folder, write_new};
use std::path::PathBuf;

/// What goes into the kit.
pub struct Kit<'a> {
    /// The folder, which is not there yet.
    pub folder: PathBuf,
    /// The store's URL.
    pub store: String,
    /// The instance.
    pub instance: String,
    /// Whose archives are believed.
    pub signers: String,
    /// The identity, if it was made for this kit.
    pub identity: Option<&'a str>,
    /// Who can open archives.
    pub recipients: &'a [String],
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
        write("allowed_signers", 0o644, &self.signers)?;
        write("sealift.toml", 0o644, &self.settings())?;
        write("recover.sh", 0o755, RECOVER)?;
        write("RECOVERY.md", 0o600, &self.page())?;
        if let Some(identity) = self.identity {
            let public = self.recipients.join(", ");
            let text = format!(
                "# opens the archives of {}\n# public key: {public}\n{identity}\n",
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
            quoted(&self.store)
        )
    }

    fn page(&self) -> String {
        let Self {
            instance,
            store,
            signers,
            ..
        } = self;
        let identity = match self.identity {
            Some(identity) => format!(
                "    {identity}\n\nWhoever has this line and the store can read everything. Keep it in a safe."
            ),
            None => "    (yours: it is not part of this kit. Keep it with this page.)".into(),
        };
        let recipients: String = self
            .recipients
            .iter()
            .map(|name| format!("    {name}\n"))
            .collect();
        format!(
            "# Recovery of {instance}\n\n\
             Store: `{store}`, instance `{instance}`.\n\n\
             ## With sealift\n\n\
             In this folder, on any machine that reaches the store:\n\n\
             ```sh\nsealift fetch --latest --identity identity.txt --out ../recovered\n```\n\n\
             Then follow `../recovered/RESTORE.md`.\n\n\
             ## Without sealift\n\n\
             With a copy of the store as a folder, and sha256sum, ssh-keygen, age, zstd, jq and tar:\n\n\
             ```sh\nsh recover.sh STORE_DIR identity.txt ../recovered\n```\n\n\
             ## What must not be lost\n\n\
             The identity that opens the archives:\n\n{identity}\n\n\
             Its public side:\n\n{recipients}\n\
             The signers whose archives are believed:\n\n    {signers}\n\
             ## Order of a restore\n\n\
             1. The env file, before anything starts: its master keys cannot be made again.\n\
             2. The volume zitadel_secrets; without it nobody can log in.\n\
             3. The zitadel database, then the application database.\n\
             4. The attachments. Then start everything, and sign in.\n\n\
             Never `down -v`. Never generate new keys.\n"
        )
    }
}
