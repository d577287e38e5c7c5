//! `novella network` and `novella image`: a component by itself, with the users of an Identity elsewhere.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::{
    cloud::{PASSWORD, free_address},
    identity::{IdentityAlone, wait_for_answer},
    process::{Process, novella},
};

/// A component in a process and with a database of its own.
pub struct ComponentAlone {
    /// Without the component's root.
    pub url: String,
    _process: Process,
    _folder: TempDir,
    _postgres: Option<novella_testing::Database>,
}

impl ComponentAlone {
    pub async fn on_sqlite(component: &str, identity: &IdentityAlone) -> Self {
        Self::started(component, identity, None).await
    }

    pub async fn on_postgres(component: &str, identity: &IdentityAlone) -> Self {
        Self::started(component, identity, Some(novella_testing::Database::postgres().await)).await
    }

    async fn started(component: &str, identity: &IdentityAlone, postgres: Option<novella_testing::Database>) -> Self {
        let folder = TempDir::with_prefix(format!("novella-{component}-")).unwrap();
        let database = match &postgres {
            Some(postgres) => postgres.url().to_owned(),
            None => format!("sqlite://{}", folder.path().join("component.db").display()),
        };
        let environment: BTreeMap<String, String> = [
            ("NOVELLA_DATABASE__URL", database.as_str()),
            ("NOVELLA_DATA", folder.path().to_str().unwrap()),
            ("NOVELLA_ADMIN_PASSWORD", PASSWORD),
            ("NOVELLA_NETWORK__DNS_DOMAIN", "example.org."),
            ("NOVELLA_API__IDENTITY_URL", &identity.url),
            ("NOVELLA_API__IDENTITY_USER", "admin"),
            ("NOVELLA_API__IDENTITY_PASSWORD", PASSWORD),
            ("NOVELLA_API__IDENTITY_PROJECT", "admin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let synced = novella().args(["db", "sync"]).envs(&environment).output().unwrap();
        assert!(synced.status.success(), "db sync: {}", String::from_utf8_lossy(&synced.stderr));
        let (address, management) = (free_address(), free_address());
        let arguments = [component, "--listen", &address, "--management", &management];
        let process = Process::start(component, &arguments, &environment, None, folder.path());
        wait_for_answer(&format!("http://{management}/readyz")).await;
        Self { url: format!("http://{address}"), _process: process, _folder: folder, _postgres: postgres }
    }
}
