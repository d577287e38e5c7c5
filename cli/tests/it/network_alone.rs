//! `novella network`: Networking by itself, asked by a Compute elsewhere. All that Compute relies on holds over HTTP.

use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::support::{
    cloud::{PASSWORD, free_address},
    identity::wait_for_answer,
    process::{Process, novella},
};

#[path = "../../../neighbours/tests/suite/mod.rs"]
mod suite;

use suite::{elsewhere::elsewhere, world::World};

/// Networking and Identity, each in a process of its own.
async fn world() -> World {
    let folder = TempDir::with_prefix("novella-network-").unwrap();
    let database = format!("sqlite://{}", folder.path().join("network.db").display());
    let environment: BTreeMap<String, String> = [
        ("NOVELLA_DATABASE__URL", database.as_str()),
        ("NOVELLA_ADMIN_PASSWORD", PASSWORD),
        ("NOVELLA_DEMO_PASSWORD", PASSWORD),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let synced = novella().args(["db", "sync"]).envs(&environment).output().unwrap();
    assert!(synced.status.success(), "db sync: {}", String::from_utf8_lossy(&synced.stderr));
    let mut processes = Vec::new();
    let [identity, networking] = ["identity", "network"].map(|component| {
        let (address, management) = (free_address(), free_address());
        let arguments = [component, "--listen", &address, "--management", &management];
        processes.push(Process::start(component, &arguments, &environment, None, folder.path()));
        (address, management)
    });
    for (_, management) in [&identity, &networking] {
        wait_for_answer(&format!("http://{management}/readyz")).await;
    }
    let identity = format!("http://{}/identity/v3", identity.0);
    let networking = format!("http://{}/networking", networking.0);
    let networks = elsewhere(&identity, &networking, PASSWORD).await;
    World::new(networks, (&identity, &networking), PASSWORD, Box::new((processes, folder))).await
}

macro_rules! make_tests {
    ($($module:ident: $name:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                suite::$module::$name(world().await).await;
            }
        )*
    };
}
crate::for_each_behaviour!(make_tests);
