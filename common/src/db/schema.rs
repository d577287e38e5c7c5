//! The migrations, compiled in, and their application.
//!
//! A file that is on the main branch never changes; a change of the schema is a new pair of files, and a new line here.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// One step, in the words of each database.
struct Step {
    version: i64,
    description: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! steps {
    ($($version:literal $description:literal $file:literal;)+) => {
        &[$(Step {
            version: $version,
            description: $description,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../../../migrations/postgres/", $file)),
        }),+]
    };
}

const STEPS: &[Step] = steps! {
    1 "initial" "0001_initial.sql";
    2 "types" "0002_types.sql";
    3 "keypairs_tags_locks" "0003_keypairs_tags_locks.sql";
    4 "server_groups" "0004_server_groups.sql";
    5 "listening" "0005_listening.sql";
    6 "access_and_disk_config" "0006_access_and_disk_config.sql";
    7 "hosts_and_requests" "0007_hosts_and_requests.sql";
    8 "quotas" "0008_quotas.sql";
    10 "identity" "0010_identity.sql";
    11 "host_approval" "0011_host_approval.sql";
    12 "fixed_ips" "0012_fixed_ips.sql";
    13 "failed_logins" "0013_failed_logins.sql";
    14 "aggregates" "0014_aggregates.sql";
    16 "images" "0016_images.sql";
    17 "network" "0017_network.sql";
    18 "soft_delete" "0018_soft_delete.sql";
    21 "requests" "0021_requests.sql";
    22 "ports_of_instances" "0022_ports_of_instances.sql";
    23 "image_stores" "0023_image_stores.sql";
    24 "request_spans" "0024_request_spans.sql";
    25 "instances_by_host" "0025_instances_by_host.sql";
};

/// The version of a database that has had every step.
pub(super) fn newest() -> i64 {
    STEPS.iter().map(|step| step.version).max().unwrap_or(0)
}

pub(super) fn sqlite() -> Migrator {
    migrator(|step| step.sqlite)
}

pub(super) fn postgres() -> Migrator {
    migrator(|step| step.postgres)
}

fn migrator(text: impl Fn(&Step) -> &'static str) -> Migrator {
    let migrations = STEPS
        .iter()
        .map(|step| {
            let (description, text) = (step.description.into(), text(step).into_sql_str());
            Migration::new(step.version, description, MigrationType::Simple, text, false)
        })
        .collect();
    Migrator::with_migrations(migrations)
}
