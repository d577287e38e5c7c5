//! How the databases go about the queries: each takeover, list and claim query finds its rows by an index.
//!
//! The plans are taken while the queries run, so that what is looked at is what runs. PostgreSQL is told not to read a
//! whole table where it can help it: these tables are small.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use novella_testing::Database as TestDatabase;
use sqlx::AssertSqlSafe;

use super::{
    Connection, Database, DbError, Row, Sql, actions, aggregates, allocations, capacities, changes, compute_nodes,
    connect::Raw,
    flavors,
    instances::{
        self,
        transitions::{self as builds, FailedBuild, Placement, Reported, RescheduledBuild, RevertedAttempt},
    },
    list::{Condition, Direction, List, SortKey},
    migrations::{self, transitions},
    quotas, request_spans,
    server_groups::{self, Groups},
    services, takeover,
};
use crate::{
    config::{DatabaseConfig, SecretUrl},
    db::instances::{network_refresh, ports},
    ids::{Incarnation, InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{PowerState, VmState},
    models::{
        Binary, Fault, Flavor, Instance, Migration, MigrationProgress, MigrationStatus, NetworkInfo, RequestSpec,
        Resources, RxtxFactor,
    },
    sql,
};

/// A query and what its database would do.
#[derive(Debug)]
pub(super) struct Plan {
    query: String,
    steps: Vec<String>,
}

impl Plan {
    /// The tables that are read from end to end, without an index.
    fn scans(&self) -> Vec<&str> {
        // SQLite keeps a table in the order of its number: a list in that order is read as far as it is wanted.
        let in_order = self.query.contains(" ORDER BY id ") && !self.steps.iter().any(|step| step.contains("B-TREE"));
        self.steps
            .iter()
            .filter_map(|step| {
                let step = step.trim_start_matches([' ', '-', '>']);
                // SQLite's "SCAN t" without "USING INDEX", and PostgreSQL's "Seq Scan on t".
                let table = step.strip_prefix("Seq Scan on ").or_else(|| {
                    step.strip_prefix("SCAN ").filter(|rest| !rest.contains("USING") && !rest.contains("CONSTANT ROW"))
                })?;
                table.split_whitespace().next()
            })
            // What the query itself brings along.
            .filter(|table| !matches!(*table, "v" | "u" | "(subquery" | "json_each"))
            .filter(|_| !in_order)
            .collect()
    }
}

impl Sql {
    /// Keeps the query's plan, if the connection keeps plans.
    pub(super) async fn explain(&self, connection: &mut Connection) -> Result<(), DbError> {
        let Some(mut plans) = connection.plans.take() else { return Ok(()) };
        match connection.raw()? {
            // Each with its lists in both forms.
            Raw::Sqlite(connection) => {
                for few in [0, usize::MAX] {
                    let (text, arguments) = self.clone().for_sqlite(few)?;
                    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
                    let rows = sqlx::query_with(explain, arguments).fetch_all(&mut *connection).await?;
                    let read = |row| {
                        let mut row = Row::sqlite(row);
                        row.read::<(i64, i64, i64, String)>().map(|(_, _, _, step)| step)
                    };
                    plans.push(Plan { query: text, steps: rows.iter().map(read).collect::<Result<_, _>>()? });
                }
            }
            Raw::Postgres(connection) => {
                // Within alternatives a long list is found by no index. These have lists of states alone, which are never long.
                let alternatives = self.clone().for_postgres(usize::MAX)?.0.contains("(source = $1 AND status = ANY");
                let forms = if alternatives { &[usize::MAX][..] } else { &[0, usize::MAX] };
                for few in forms {
                    let (text, arguments) = self.clone().for_postgres(*few)?;
                    let explain = AssertSqlSafe(format!("EXPLAIN {text}"));
                    let rows = sqlx::query_with(explain, arguments).fetch_all(&mut *connection).await?;
                    let steps = rows.iter().map(|row| Row::postgres(row).read()).collect::<Result<_, _>>()?;
                    plans.push(Plan { query: text, steps });
                }
            }
        }
        connection.plans = Some(plans);
        Ok(())
    }
}

async fn connection(url: &str) -> super::PooledConnection {
    let config = DatabaseConfig { url: SecretUrl::new(url), ..DatabaseConfig::default() };
    let database = Database::connect(&config).await.unwrap();
    database.migrate().await.unwrap();
    let mut connection = database.write().await.unwrap();
    if let Ok(Raw::Postgres(_)) = connection.raw() {
        for setting in ["SET enable_seqscan = off", "SET enable_bitmapscan = off", "SET enable_sort = off"] {
            Sql::new(setting).execute(&mut connection).await.unwrap();
        }
    }
    connection.plans = Some(Vec::new());
    connection
}

fn assert_indexed(connection: &mut Connection, except: &[&str]) {
    let plans = connection.plans.replace(Vec::new()).unwrap();
    assert!(!plans.is_empty());
    for plan in plans {
        let scans: Vec<_> = plan.scans().into_iter().filter(|table| !except.contains(table)).collect();
        assert!(scans.is_empty(), "{scans:?} without an index:\n{}\n{}", plan.query, plan.steps.join("\n"));
    }
}

async fn takeovers_find_work_by_an_index(connection: &mut Connection) {
    let now = Timestamp::now();
    takeover::is_gone(connection, Incarnation::random(), now).await.unwrap();
    takeover::retire(connection, Incarnation::random()).await.unwrap();
    takeover::release_orphans(connection, now, now).await.unwrap();
    takeover::waiting_builds(connection, now, 10).await.unwrap();
    takeover::builds_on_dead_hosts(connection, now).await.unwrap();
    takeover::deletions_without_host(connection, now).await.unwrap();
    takeover::orphaned_migrations(connection, now, now, Incarnation::random()).await.unwrap();
    takeover::lost_migrations(connection, now, now).await.unwrap();
    takeover::lost_tasks(connection, now).await.unwrap();
    takeover::soft_deleted(connection, now).await.unwrap();
    takeover::untold_hosts(connection, now, now).await.unwrap();
    takeover::abandoned_events(connection, now).await.unwrap();
    migrations::force_complete_untold(connection).await.unwrap();
    changes::instances(connection, now, 10).await.unwrap();
    changes::migrations(connection, now, 10).await.unwrap();
    actions::of_request(connection, "req-1", 10).await.unwrap();
    takeover::sources_of_queued(connection).await.unwrap();
    assert_indexed(connection, &[]);
    // Looks at each claim; what may justify it is found by an index.
    takeover::orphaned_allocations(connection, now).await.unwrap();
    assert_indexed(connection, &["a", "allocations"]);
}

async fn claims_and_placements_find_their_rows_by_an_index(connection: &mut Connection) {
    let (instance, owner, task) = (InstanceUuid::random(), Incarnation::random(), TaskId::random());
    let one = Resources { vcpus: 1, memory_mb: 1, disk_gb: 1 };
    allocations::claim(connection, instance, "host-1", one).await.unwrap();
    allocations::release(connection, instance, "host-1").await.unwrap();
    allocations::release_all(connection, &[instance, InstanceUuid::random()]).await.unwrap();
    let placement = Placement {
        instance,
        seen_task: None,
        seen_owner: Some(owner),
        host: "host-1".into(),
        zone: "nova".into(),
        attempt: task,
    };
    builds::builds(connection, &[instance]).await.unwrap();
    builds::place(connection, std::slice::from_ref(&placement), owner).await.unwrap();
    builds::revert_placements(connection, &[&placement]).await.unwrap();
    builds::hand_over(connection, &[(instance, task)], owner).await.unwrap();
    let groups = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    server_groups::join(connection, groups[0], &[instance]).await.unwrap();
    server_groups::members(connection, groups).await.unwrap();
    server_groups::of(connection, instance).await.unwrap();
    server_groups::lock(connection, groups[0]).await.unwrap();
    server_groups::claims(connection, groups).await.unwrap();
    Groups::locked(connection, &[instance]).await.unwrap();
    builds::adopt(connection, instance, task, owner, owner).await.unwrap();
    builds::reported_rows(connection, &[instance]).await.unwrap();
    let reported = Reported {
        instance,
        host: "host-1".into(),
        seen_task: None,
        seq: 1,
        vm_state: VmState::Active,
        task_state: None,
        power_state: PowerState::Running,
        launched: true,
    };
    builds::apply(connection, &[reported]).await.unwrap();
    builds::hosts_of(connection, &[instance]).await.unwrap();
    instances::mark_deleted(connection, &[instance]).await.unwrap();
    let allocated = ports::Allocated { instance, attempt: task, network_info: NetworkInfo::default() };
    ports::allocated(connection, &[allocated], owner).await.unwrap();
    ports::swap(connection, instance, &NetworkInfo::default(), &NetworkInfo::default()).await.unwrap();
    ports::to_give_back(connection, Timestamp::now(), 10).await.unwrap();
    ports::of_gone(connection, &[instance]).await.unwrap();
    ports::leave_host(connection, &[instance]).await.unwrap();
    ports::left_hosts(connection, &[instance]).await.unwrap();
    ports::none_left(connection, &[instance]).await.unwrap();
    ports::given_back(connection, &[instance], Timestamp::now()).await.unwrap();
    assert_indexed(connection, &[]);
}

async fn migrations_are_admitted_and_moved_on_by_an_index(connection: &mut Connection) {
    let (uuid, owner) = (MigrationUuid::random(), Incarnation::random());
    transitions::admit(connection, "host-1", 1, owner).await.unwrap();
    transitions::set_destination(connection, uuid, owner, MigrationStatus::Queued, "host-2").await.unwrap();
    transitions::run(connection, uuid, owner, MigrationStatus::Preparing, MigrationStatus::Running, "{}")
        .await
        .unwrap();
    let progressed = transitions::Progressed { migration: uuid, seq: 1, progress: MigrationProgress::default() };
    transitions::progress(connection, &[progressed]).await.unwrap();
    transitions::set_status(connection, uuid, MigrationStatus::Running, MigrationStatus::Finishing, owner, None)
        .await
        .unwrap();
    transitions::finish(connection, uuid, owner, MigrationStatus::Completed, None).await.unwrap();
    transitions::under_way_of(connection, &[InstanceUuid::random()]).await.unwrap();
    transitions::under_way_on(connection, "host-1").await.unwrap();
    migrations::request_abort(connection, uuid).await.unwrap();
    assert_indexed(connection, &[]);
}

async fn lists_are_read_by_an_index(connection: &mut Connection) {
    const CREATED_AT: SortKey = SortKey::time("created_at");
    let servers = || List::<Instance>::all().filter(Condition::is_null("deleted_at", true)).limit(10);
    for wanted in [
        servers().filter(Condition::equal("project_id", "p")).sort(CREATED_AT, Direction::Descending),
        servers().filter(Condition::equal("host", "host-1")).sort(CREATED_AT, Direction::Descending),
        servers().filter(Condition::equal("(flavor ->> 'id')", "1")).sort(CREATED_AT, Direction::Descending),
        servers()
            .filter(Condition::at_least("updated_at", &Timestamp::now()))
            .sort(SortKey::time("updated_at"), Direction::Descending),
        servers().sort(CREATED_AT, Direction::Descending),
    ] {
        wanted.page(connection).await.unwrap();
    }
    quotas::limits(connection, "p", Some("u")).await.unwrap();
    quotas::given_to_users(connection, "p").await.unwrap();
    quotas::of_class(connection, quotas::DEFAULT_CLASS).await.unwrap();
    quotas::set(connection, "p", None, &[("cores", 1)]).await.unwrap();
    quotas::clear(connection, "p", Some("u")).await.unwrap();
    instances::list::load_by_host(connection, &["host-1", "host-2"]).await.unwrap();
    instances::list::on_hosts(connection, &["host-1", "host-2"]).await.unwrap();
    instances::on_host(connection, "host-1").await.unwrap();
    instances::faults(connection, &[InstanceUuid::random()]).await.unwrap();
    let instance = InstanceUuid::random();
    migrations::under_way(connection, Some(instance)).await.unwrap();
    migrations::finished_of(connection, instance).await.unwrap();
    migrations::finished_before(connection, Timestamp::now()).await.unwrap();
    migrations::under_way(connection, None).await.unwrap();
    let moves = || List::<Migration>::all().sort(SortKey::int("id"), Direction::Descending).limit(10);
    let of_host = Condition::raw(sql!("source = 'host-1' OR destination = 'host-1'"));
    let running = Condition::equal("status", &MigrationStatus::Running);
    for wanted in [moves(), moves().filter(of_host), moves().filter(running)] {
        wanted.page(connection).await.unwrap();
    }
    List::<Instance>::all()
        .filter(Condition::raw(sql!(
            "launched_at IS NOT NULL AND launched_at < " (Timestamp::now())
            " AND (terminated_at IS NULL OR terminated_at > " (Timestamp::now()) ")"
        )))
        .sort(SortKey::text("project_id"), Direction::Ascending)
        .limit(10)
        .page(connection)
        .await
        .unwrap();
    let hosts = ["host-1".to_owned(), "host-2".to_owned()];
    for after in [None, Some((hosts[0].clone(), instance))] {
        network_refresh::at_rest_after(connection, &hosts, after.as_ref(), 10).await.unwrap();
    }
    aggregates::hosts(connection, [1, 2]).await.unwrap();
    aggregates::zones_of(connection, &hosts).await.unwrap();
    aggregates::write_zones(connection, &hosts).await.unwrap();
    aggregates::instances_on(connection, &hosts).await.unwrap();
    aggregates::forget_host(connection, "host-1").await.unwrap();
    flavors::access(connection, "1").await.unwrap();
    instances::list::io_ops_by_host(connection).await.unwrap();
    actions::list(connection, instance).await.unwrap();
    actions::get(connection, instance, "req-1").await.unwrap();
    request_spans::of_request(connection, "req-1", 100).await.unwrap();
    request_spans::keep_latest(connection, 1000).await.unwrap();
    services::list(connection, None, None).await.unwrap();
    services::find(connection, Binary::Compute, "host-1").await.unwrap();
    compute_nodes::list(connection).await.unwrap();
    services::of_compute_hosts(connection, &["host-1", "host-2"]).await.unwrap();
    List::<Flavor>::all().limit(10).page(connection).await.unwrap();
    flavors::named(connection, "m1.tiny").await.unwrap();
    for key in [CREATED_AT, SortKey::text("name").nullable(), SortKey::text("id")] {
        let images: List<String> = List::select("id", "images", SortKey::text("id"));
        images.sort(key, Direction::Descending).limit(10).page(connection).await.unwrap();
    }
    for table in ["projects", "users"] {
        let directory: List<String> = List::select("id", table, SortKey::text("id"));
        directory.sort(SortKey::text("name"), Direction::Ascending).limit(10).page(connection).await.unwrap();
    }
    sql!("DELETE FROM tokens WHERE expires_at <= "(Timestamp::now())).execute(connection).await.unwrap();
    assert_indexed(connection, &[]);
    // All hosts are wanted.
    capacities::list(connection).await.unwrap();
    aggregates::metadata_by_host(connection).await.unwrap();
    assert_indexed(connection, &["n", "a", "h"]);
}

fn instance() -> Instance {
    let flavor = Flavor {
        id: "1".into(),
        name: "m1.tiny".into(),
        vcpus: 1,
        memory_mb: 512,
        disk_gb: 1,
        ephemeral_gb: 0,
        swap_mb: 0,
        is_public: true,
        description: None,
        extra_specs: BTreeMap::new(),
        rxtx_factor: RxtxFactor::default(),
    };
    Instance {
        uuid: InstanceUuid::random(),
        project_id: "p".into(),
        user_id: "u".into(),
        name: "server".into(),
        description: None,
        hostname: "server".into(),
        image_ref: None,
        flavor,
        metadata: BTreeMap::new(),
        requested_zone: None,
        user_data: None,
        key_name: None,
        config_drive: false,
        reservation_id: "r-1".into(),
        launch_index: 0,
        host: None,
        availability_zone: None,
        vm_state: VmState::Active,
        task_state: None,
        power_state: PowerState::Running,
        task_id: None,
        task_request_id: None,
        owner: None,
        report_seq: 0,
        attempts: 0,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        launched_at: None,
        terminated_at: None,
        deleted_at: None,
        locked_by: None,
        locked_reason: None,
        network_info: NetworkInfo::default(),
        has_ports: false,
        access_ip_v4: None,
        access_ip_v6: None,
        auto_disk_config: false,
        trusted_certs: Vec::new(),
    }
}

/// A next page is beyond the marker in an index, and not cut from all that comes before.
async fn a_page_in_the_middle_of_a_projects_servers_is_found_by_an_index(connection: &mut Connection) {
    let instance = instance();
    instances::insert(connection, std::slice::from_ref(&instance), &RequestSpec::default()).await.unwrap();
    let wanted = List::<Instance>::all()
        .visible(Condition::equal("project_id", &instance.project_id))
        .filter(Condition::is_null("deleted_at", true))
        .sort(SortKey::time("created_at"), Direction::Descending)
        .marker(Some(&instance.uuid))
        .limit(10);
    connection.plans = Some(Vec::new());
    wanted.page(connection).await.unwrap();
    let plans = connection.plans.as_ref().unwrap();
    let steps = plans.last().unwrap().steps.join("\n");
    assert!(steps.contains("instances_by_project"), "{steps}");
    assert!(!steps.contains("Sort") && !steps.contains("B-TREE"), "{steps}");
    assert_indexed(connection, &[]);
}

/// Many wait for a host or are under way, and PostgreSQL believes that none does, since it has counted when none did.
async fn swaps_find_their_rows_by_their_keys_whatever_the_statistics_say(connection: &mut Connection) {
    const ROWS: usize = 2000;
    let at_rest = || Instance { host: Some("host-1".into()), ..instance() };
    let instances: Vec<_> = std::iter::repeat_with(at_rest).take(ROWS).collect();
    connection.plans = None;
    for some in instances.chunks(500) {
        instances::insert(connection, some, &RequestSpec::default()).await.unwrap();
    }
    Sql::new("ANALYZE").execute(connection).await.unwrap();
    connection.plans = Some(Vec::new());
    let (owner, task) = (Incarnation::random(), TaskId::random());
    let uuids = || instances.iter().map(|instance| instance.uuid).take(10);
    let place = |instance| Placement {
        instance,
        seen_task: None,
        seen_owner: Some(owner),
        host: "host-2".into(),
        zone: "nova".into(),
        attempt: task,
    };
    let placements: Vec<_> = uuids().map(place).collect();
    builds::place(connection, &placements, owner).await.unwrap();
    builds::revert_placements(connection, &placements.iter().collect::<Vec<_>>()).await.unwrap();
    builds::hand_over(connection, &uuids().map(|uuid| (uuid, task)).collect::<Vec<_>>(), owner).await.unwrap();
    let report = |instance| Reported {
        instance,
        host: "host-2".into(),
        seen_task: None,
        seq: 1,
        vm_state: VmState::Active,
        task_state: None,
        power_state: PowerState::Running,
        launched: true,
    };
    builds::apply(connection, &uuids().map(report).collect::<Vec<_>>()).await.unwrap();
    let allocate = |instance| ports::Allocated { instance, attempt: task, network_info: NetworkInfo::default() };
    ports::allocated(connection, &uuids().map(allocate).collect::<Vec<_>>(), owner).await.unwrap();
    let (instance, host) = (instances[0].uuid, String::from("host-2"));
    builds::adopt(connection, instance, task, owner, owner).await.unwrap();
    builds::switch_host(connection, instance, &host, "host-3", "nova").await.unwrap();
    let spec = RequestSpec::default();
    let reverted = RevertedAttempt { instance, attempt: task, host: host.clone(), spec: spec.clone(), counts: true };
    builds::revert_attempt(connection, &reverted, owner).await.unwrap();
    builds::reschedule(connection, &RescheduledBuild { instance, host, attempt: task, spec }).await.unwrap();
    let message = "No valid host was found.".to_owned();
    let fault = Fault { code: 500, message, details: None, created_at: Timestamp::now() };
    let failed = FailedBuild { instance, seen_task: None, seen_owner: None, fault };
    builds::fail_build(connection, &failed).await.unwrap();
    let plans = connection.plans.replace(Vec::new()).unwrap();
    assert!(plans.len() >= 10);
    for plan in plans {
        let steps = plan.steps.join("\n");
        let keys = ["instances_pkey", "sqlite_autoindex_instances_1", "PRIMARY KEY"];
        assert!(keys.iter().any(|key| steps.contains(key)), "{}\n{steps}", plan.query);
        assert!(!steps.contains("instances_by") && !steps.contains("instances_under"), "{}\n{steps}", plan.query);
    }
}

/// No row is read, however large the project.
async fn a_projects_servers_are_counted_by_an_index_alone(connection: &mut Connection) {
    let instance = instance();
    instances::insert(connection, std::slice::from_ref(&instance), &RequestSpec::default()).await.unwrap();
    connection.plans = Some(Vec::new());
    quotas::servers_in_use(connection, &instance.project_id, &instance.user_id).await.unwrap();
    let steps = connection.plans.as_ref().unwrap().last().unwrap().steps.join("\n");
    let alone = ["COVERING INDEX instances_by_project", "Index Only Scan using instances_by_project"];
    assert!(alone.iter().any(|how| steps.contains(how)), "{steps}");
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $name() {
                let database = super::TestDatabase::sqlite();
                let mut connection = super::connection(database.url()).await;
                super::$name(&mut connection).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $name() {
                let database = super::TestDatabase::postgres().await;
                let mut connection = super::connection(database.url()).await;
                super::$name(&mut connection).await;
            })*
        }
    };
}

on_both! {
    takeovers_find_work_by_an_index,
    claims_and_placements_find_their_rows_by_an_index,
    migrations_are_admitted_and_moved_on_by_an_index,
    lists_are_read_by_an_index,
    a_page_in_the_middle_of_a_projects_servers_is_found_by_an_index,
    a_projects_servers_are_counted_by_an_index_alone,
    swaps_find_their_rows_by_their_keys_whatever_the_statistics_say,
}

#[test]
fn a_scan_without_an_index_is_seen() {
    for (step, scans) in [
        ("SCAN instances", vec!["instances"]),
        ("SCAN instances USING INDEX instances_by_time", vec![]),
        ("SEARCH instances USING INDEX instances_by_host (host=?)", vec![]),
        ("        ->  Seq Scan on services s  (cost=1 rows=1 width=1)", vec!["services"]),
        ("  ->  Index Scan using instances_pkey on instances", vec![]),
    ] {
        let plan = Plan { query: String::new(), steps: vec![step.into()] };
        assert_eq!(plan.scans(), scans, "{step}");
    }
}
