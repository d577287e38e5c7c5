//! What Compute asks of the other components.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test support: whatever goes wrong here fails the test that asked, and says why"
)]

mod here;
mod images;
mod projects;
mod seed;
mod servers;
#[path = "../suite/mod.rs"]
mod suite;
mod support;

/// Each behaviour, for each kind of Networking.
macro_rules! make_tests {
    ($($module:ident: $name:ident,)*) => {
        make_tests! { here_on_sqlite, World::here(On::Sqlite); $($module: $name,)* }
        make_tests! { elsewhere_on_sqlite, World::elsewhere(On::Sqlite); $($module: $name,)* }
        mod on_postgres {
            make_tests! { here, World::here(On::Postgres); $($module: $name,)* }
            make_tests! { elsewhere, World::elsewhere(On::Postgres); $($module: $name,)* }
        }
    };
    ($kind:ident, $world:expr; $($module:ident: $name:ident,)*) => {
        mod $kind {
            #[allow(unused_imports, reason = "of each kind another one")]
            use crate::{support::On, suite::{self, world::World}};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    suite::$module::$name($world.await).await;
                }
            )*
        }
    };
}
for_each_behaviour!(make_tests);
