//! What a new cloud begins with.

use novella_common::config::Secret;
use novella_identity::seed::SeedConfig;
use novella_testing::Database;

use crate::support::{Cloud, On, connect, fill};

on_both! {
    async fn a_new_database_can_be_filled_by_several_at_once(cloud: Cloud) {
        let own = match cloud.on {
            On::Sqlite => Database::sqlite(),
            On::Postgres => Database::postgres().await,
        };
        let database = connect(own.url()).await;
        database.migrate().await.unwrap();
        let fill = || {
            let database = database.clone();
            let seeds = SeedConfig { admin_password: Some(Secret::new("pw")), ..SeedConfig::default() };
            tokio::spawn(async move { fill(&database, &seeds).await })
        };
        for filled in [fill(), fill(), fill()] {
            filled.await.unwrap();
        }
        database.close().await;
    }
}
