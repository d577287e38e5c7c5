//! `novella identity`: Identity by itself, for a Compute elsewhere.

use std::{collections::BTreeMap, time::Instant};

use tempfile::TempDir;

use super::{
    cloud::{LIMIT, PASSWORD, free_address},
    process::{Process, novella},
};

/// Identity in a process and with a database of its own.
pub struct IdentityAlone {
    /// With the version.
    pub url: String,
    pub process: Process,
    _folder: TempDir,
    _postgres: Option<novella_testing::Database>,
}

impl IdentityAlone {
    pub async fn on_sqlite() -> Self {
        Self::started(None).await
    }

    pub async fn on_postgres() -> Self {
        Self::started(Some(novella_testing::Database::postgres().await)).await
    }

    async fn started(postgres: Option<novella_testing::Database>) -> Self {
        let folder = TempDir::with_prefix("novella-identity-").unwrap();
        let database = match &postgres {
            Some(postgres) => postgres.url().to_owned(),
            None => format!("sqlite://{}", folder.path().join("identity.db").display()),
        };
        let environment: BTreeMap<String, String> = [
            ("NOVELLA_DATABASE__URL", database.as_str()),
            ("NOVELLA_ADMIN_PASSWORD", PASSWORD),
            ("NOVELLA_DEMO_PASSWORD", PASSWORD),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let synced = novella().args(["db", "sync"]).envs(&environment).output().unwrap();
        assert!(synced.status.success(), "db sync: {}", String::from_utf8_lossy(&synced.stderr));
        let (address, management) = (free_address(), free_address());
        let arguments = ["identity", "--listen", &address, "--management", &management];
        let process = Process::start("identity", &arguments, &environment, None, folder.path());
        wait_for_answer(&format!("http://{management}/readyz")).await;
        Self { url: format!("http://{address}/identity/v3"), process, _folder: folder, _postgres: postgres }
    }
}

/// Waits until something answers there that all is well.
pub async fn wait_for_answer(url: &str) {
    let (begun, http) = (Instant::now(), reqwest::Client::new());
    while !http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
        assert!(begun.elapsed() < LIMIT, "{url} does not answer");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
