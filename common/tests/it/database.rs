//! The database: the same behaviours on SQLite and on PostgreSQL.

use std::collections::BTreeMap;

use jiff::Timestamp;
use novella_common::{
    config::{DatabaseConfig, SecretUrl},
    db::{
        Database, DbError, actions, allocations, compute_nodes,
        instances::{
            self,
            transitions::{self, Reported},
        },
        request_spans, services,
    },
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{
        ActionEvent, AllocationRatios, Binary, EventResult, Fault, Flavor, FreshSince, Instance, InstanceAction,
        Inventory, NetworkInfo, RequestSpec, Resources,
    },
    sql,
    traces::KeptSpan,
};

async fn open(url: &str) -> Database {
    let config = DatabaseConfig { url: SecretUrl::new(url), ..DatabaseConfig::default() };
    let database = Database::connect(&config).await.unwrap();
    database.migrate().await.unwrap();
    database
}

fn flavor() -> Flavor {
    Flavor {
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
        rxtx_factor: novella_common::models::RxtxFactor::default(),
    }
}

fn new_instance() -> Instance {
    let now = Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap();
    Instance {
        uuid: InstanceUuid::random(),
        project_id: "p".into(),
        user_id: "u".into(),
        name: "naïve ✓".into(),
        description: None,
        hostname: "naive".into(),
        image_ref: Some("image".into()),
        flavor: flavor(),
        metadata: BTreeMap::from([("k".into(), "v".into())]),
        requested_zone: None,
        user_data: None,
        key_name: None,
        config_drive: true,
        reservation_id: "r-1".into(),
        launch_index: 0,
        host: None,
        availability_zone: None,
        vm_state: VmState::Building,
        task_state: Some(TaskState::Scheduling),
        power_state: PowerState::NoState,
        task_id: Some(TaskId::random()),
        task_request_id: Some("req-1".into()),
        owner: None,
        report_seq: 0,
        attempts: 0,
        created_at: now,
        updated_at: now,
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

fn inventory(vcpus: i64) -> Inventory {
    Inventory {
        total: Resources { vcpus, memory_mb: 100_000, disk_gb: 1000 },
        reserved: Resources { vcpus: 0, memory_mb: 512, disk_gb: 0 },
        ratios: AllocationRatios { cpu: 1.0, ram: 1.0, disk: 1.0 },
        hypervisor_type: "fake".into(),
        hypervisor_version: 1_000_000,
        hypervisor_hostname: "host-1".into(),
        host_ip: "127.0.0.1".into(),
        cpu_info: serde_json::json!({"arch": "x86_64"}),
        availability_zone: "nova".into(),
    }
}

async fn a_new_instance_is_read_back_as_it_was_written(database: Database) {
    let written = [new_instance(), new_instance()];
    let mut tx = database.begin().await.unwrap();
    instances::insert(&mut tx, &written, &RequestSpec::default()).await.unwrap();
    tx.commit().await.unwrap();

    let mut connection = database.read().await.unwrap();
    for instance in &written {
        assert_eq!(instances::get(&mut connection, instance.uuid).await.unwrap().as_ref(), Some(instance));
    }
    let spec = instances::request_spec(&mut connection, written[0].uuid).await.unwrap();
    assert_eq!(spec, Some(RequestSpec::default()));
    let both = [written[0].uuid, written[1].uuid, InstanceUuid::random()];
    assert_eq!(instances::get_many(&mut connection, &both).await.unwrap().len(), 2);
}

async fn of_two_operations_that_begin_at_once_one_wins(database: Database) {
    let mut instance = new_instance();
    instance.vm_state = VmState::Active;
    instance.task_state = None;
    instance.task_id = None;
    let mut tx = database.begin().await.unwrap();
    instances::insert(&mut tx, std::slice::from_ref(&instance), &RequestSpec::default()).await.unwrap();
    tx.commit().await.unwrap();

    let begin = |task| {
        let (database, instance) = (database.clone(), instance.clone());
        tokio::spawn(async move {
            let mut tx = database.begin().await.unwrap();
            let won = instances::begin_task(&mut tx, &instance, task, TaskId::random(), "req-2").await.unwrap();
            tx.commit().await.unwrap();
            won
        })
    };
    let tries = [begin(TaskState::PoweringOff), begin(TaskState::Pausing), begin(TaskState::Suspending)];
    let mut winners = 0;
    for attempt in tries {
        winners += usize::from(attempt.await.unwrap());
    }
    assert_eq!(winners, 1);
}

async fn claims_from_many_sides_at_once_never_overcommit_and_add_up(database: Database) {
    let mut connection = database.write().await.unwrap();
    for host in ["host-1", "host-2"] {
        compute_nodes::upsert(&mut connection, host, &inventory(10)).await.unwrap();
    }
    drop(connection);
    let one = Resources { vcpus: 1, memory_mb: 10, disk_gb: 1 };
    let mut claims = Vec::new();
    for number in 0..40 {
        let database = database.clone();
        claims.push(tokio::spawn(async move {
            let instance = InstanceUuid::random();
            let host = if number % 2 == 0 { "host-1" } else { "host-2" };
            let mut tx = database.begin().await.unwrap();
            let won = allocations::claim(&mut tx, instance, host, one).await.unwrap();
            // Made twice, it counts once.
            if won {
                assert!(allocations::claim(&mut tx, instance, host, one).await.unwrap());
            }
            tx.commit().await.unwrap();
            won.then_some((instance, host))
        }));
    }
    let mut won = Vec::new();
    for claim in claims {
        won.extend(claim.await.unwrap());
    }
    assert_eq!(won.len(), 20);
    let mut connection = database.write().await.unwrap();
    assert_eq!(allocations::discrepancies(&mut connection).await.unwrap(), Vec::<String>::new());
    let node = compute_nodes::get(&mut connection, "host-1").await.unwrap().unwrap();
    assert_eq!((node.used.vcpus, node.instances, node.free().vcpus), (10, 10, 0));

    allocations::release(&mut connection, won[0].0, won[0].1).await.unwrap();
    let rest: Vec<_> = won[1..].iter().map(|(instance, _)| *instance).collect();
    allocations::release_all(&mut connection, &rest).await.unwrap();
    for node in compute_nodes::list(&mut connection).await.unwrap() {
        assert_eq!(node.used, Resources::default());
    }
    assert_eq!(allocations::discrepancies(&mut connection).await.unwrap(), Vec::<String>::new());
}

async fn a_heartbeat_makes_a_service_and_keeps_it_up(database: Database) {
    let mut connection = database.write().await.unwrap();
    let first = Incarnation::random();
    services::heartbeat(&mut connection, Binary::Compute, "host-1", "nova", first).await.unwrap();
    let second = Incarnation::random();
    services::heartbeat(&mut connection, Binary::Compute, "host-1", "nova", second).await.unwrap();
    let seen = services::find(&mut connection, Binary::Compute, "host-1").await.unwrap().unwrap();
    assert_eq!(seen.incarnation, second);
    let minute = std::time::Duration::from_secs(60);
    let begun = Timestamp::UNIX_EPOCH;
    let fresh_since = FreshSince::new(begun, Timestamp::now(), Timestamp::now(), minute);
    assert!(seen.is_up(&fresh_since));

    // A heartbeat of the run that is over must not keep it up; one of the present run does.
    services::compute_hosts_alive(&mut connection, &[("host-1".into(), first)]).await.unwrap();
    let unchanged = services::get(&mut connection, &seen.uuid).await.unwrap().unwrap();
    assert_eq!(unchanged.last_seen, seen.last_seen);
    services::compute_hosts_alive(&mut connection, &[("host-1".into(), second)]).await.unwrap();
    let later = services::get(&mut connection, &seen.uuid).await.unwrap().unwrap();
    assert!(later.last_seen > seen.last_seen);

    // Who says goodbye is given no work; who may be back in a moment is not lost. A goodbye of an earlier run says nothing.
    services::goodbye(&mut connection, Binary::Compute, &[("host-1".into(), first)]).await.unwrap();
    let later = services::get(&mut connection, &seen.uuid).await.unwrap().unwrap();
    assert!(later.is_up(&fresh_since));
    services::goodbye(&mut connection, Binary::Compute, &[("host-1".into(), second)]).await.unwrap();
    let stopped = services::get(&mut connection, &seen.uuid).await.unwrap().unwrap();
    assert!(!stopped.is_up(&fresh_since) && !stopped.is_lost(&fresh_since));
    services::heartbeat(&mut connection, Binary::Compute, "host-1", "nova", Incarnation::random()).await.unwrap();
    let again = services::get(&mut connection, &seen.uuid).await.unwrap().unwrap();
    assert!(again.is_up(&fresh_since));

    let down = services::ServiceChange {
        forced_down: Some(true),
        disabled: Some(true),
        disabled_reason: Some(Some("broken fan".into())),
    };
    assert!(services::update(&mut connection, &seen.uuid, &down).await.unwrap());
    let down = services::get(&mut connection, &seen.uuid).await.unwrap().unwrap();
    assert!(!down.is_up(&fresh_since) && down.is_lost(&fresh_since));
    assert_eq!(down.disabled_reason.as_deref(), Some("broken fan"));
}

async fn actions_keep_their_events_as_they_last_stood(database: Database) {
    let mut connection = database.write().await.unwrap();
    let instance = InstanceUuid::random();
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let action = |request: &str| InstanceAction {
        instance,
        request_id: request.into(),
        action: "stop".into(),
        user_id: Some("u".into()),
        project_id: None,
        start_time: now,
        updated_at: now,
        message: None,
    };
    actions::start(&mut connection, &[action("req-1"), action("req-2")]).await.unwrap();
    actions::start(&mut connection, &[action("req-1")]).await.unwrap();
    let event = |request: &str, result: Option<EventResult>| actions::EventOf {
        instance,
        request_id: request.into(),
        event: ActionEvent {
            event: "compute_stop_instance".into(),
            host: Some("host-1".into()),
            start_time: now,
            finish_time: result.map(|_| now),
            result,
            details: None,
        },
    };
    actions::record_events(&mut connection, &[event("req-1", None)]).await.unwrap();
    let batch =
        [event("req-1", Some(EventResult::Success)), event("req-2", None), event("req-2", Some(EventResult::Error))];
    actions::record_events(&mut connection, &batch).await.unwrap();

    let listed = actions::list(&mut connection, instance).await.unwrap();
    assert_eq!(listed.iter().map(|a| a.request_id.as_str()).collect::<Vec<_>>(), ["req-2", "req-1"]);
    assert_eq!(listed[0].message.as_deref(), Some("Error"));
    assert_eq!(listed[1].message, None);
    let (_, events) = actions::get(&mut connection, instance, "req-1").await.unwrap().unwrap();
    assert_eq!(events, [event("req-1", Some(EventResult::Success)).event]);
}

async fn the_newest_fault_of_each_instance_is_shown(database: Database) {
    let mut connection = database.write().await.unwrap();
    let (one, two) = (InstanceUuid::random(), InstanceUuid::random());
    let fault = |text: &str| Fault {
        code: 500,
        message: text.into(),
        details: None,
        created_at: Timestamp::from_second(1_700_000_000).unwrap(),
    };
    for (instance, text) in [(one, "first"), (two, "other"), (one, "second")] {
        instances::add_fault(&mut connection, instance, &fault(text)).await.unwrap();
    }
    let mut faults = instances::faults(&mut connection, &[one, two]).await.unwrap();
    faults.sort_by(|a, b| a.1.message.cmp(&b.1.message));
    assert_eq!(faults, [(two, fault("other")), (one, fault("second"))]);
}

async fn a_deleted_instance_is_only_found_among_the_deleted(database: Database) {
    let mut connection = database.write().await.unwrap();
    let instance = new_instance();
    instances::insert(&mut connection, std::slice::from_ref(&instance), &RequestSpec::default()).await.unwrap();
    instances::mark_deleted(&mut connection, &[instance.uuid]).await.unwrap();
    assert_eq!(instances::get(&mut connection, instance.uuid).await.unwrap(), None);
    let kept = instances::get_with_deleted(&mut connection, instance.uuid).await.unwrap().unwrap();
    assert_eq!((kept.vm_state, kept.task_state), (VmState::Deleted, None));
    assert!(kept.deleted_at.is_some());
}

/// A scheduler that notes what hosts have accepted, and a conductor that writes what they report, each of it for many
/// instances at once and in an order of its own.
async fn those_who_change_many_rows_at_once_do_not_wait_for_each_other_in_a_circle(database: Database) {
    const ROWS: usize = 40;
    const ROUNDS: usize = 50;
    // Among so many others that rows are found by their ids, in the order in which they were named.
    const OTHERS: usize = 400;
    let owner = Incarnation::random();
    let all: Vec<Instance> = (0..ROWS)
        .map(|_| Instance {
            vm_state: VmState::Building,
            task_state: Some(TaskState::Scheduling),
            task_id: Some(TaskId::random()),
            host: Some("host-1".into()),
            owner: Some(owner),
            ..new_instance()
        })
        .collect();
    instances::insert(&mut database.write().await.unwrap(), &all, &RequestSpec::default()).await.unwrap();
    for _ in 0..4 {
        let others: Vec<Instance> = (0..OTHERS).map(|_| new_instance()).collect();
        instances::insert(&mut database.write().await.unwrap(), &others, &RequestSpec::default()).await.unwrap();
    }
    sql!("ANALYZE instances").execute(&mut database.write().await.unwrap()).await.unwrap();
    let accepted: Vec<_> = all.iter().filter_map(|row| Some((row.uuid, row.task_id?))).collect();
    let scheduler = tokio::spawn({
        let database = database.clone();
        async move {
            for _ in 0..ROUNDS {
                let uuids: Vec<InstanceUuid> = accepted.iter().map(|(uuid, _)| *uuid).collect();
                let mut transaction = database.begin().await?;
                instances::lock_in_order(&mut transaction, &uuids).await?;
                transitions::hand_over(&mut transaction, &accepted, owner).await?;
                transaction.commit().await?;
            }
            Ok::<_, DbError>(())
        }
    });
    let conductor = tokio::spawn(async move {
        for round in 1..=ROUNDS {
            let reported: Vec<_> = all
                .iter()
                .rev()
                .map(|row| Reported {
                    instance: row.uuid,
                    host: "host-1".into(),
                    seen_task: row.task_id,
                    seq: i64::try_from(round).unwrap(),
                    vm_state: VmState::Building,
                    task_state: Some(TaskState::Spawning),
                    power_state: PowerState::NoState,
                    launched: false,
                })
                .collect();
            let uuids: Vec<InstanceUuid> = reported.iter().map(|new| new.instance).collect();
            let mut transaction = database.begin().await?;
            instances::lock_in_order(&mut transaction, &uuids).await?;
            assert_eq!(transitions::apply(&mut transaction, &reported).await?.len(), ROWS);
            transaction.commit().await?;
        }
        Ok::<_, DbError>(())
    });
    scheduler.await.unwrap().unwrap();
    conductor.await.unwrap().unwrap();
}

async fn the_latest_spans_are_kept_and_told_by_their_request(database: Database) {
    let span = |number: i64| KeptSpan {
        id: format!("{number:016x}"),
        parent: (number > 0).then(|| "0".repeat(16)),
        kind: "handler".into(),
        name: "naïve ✓".into(),
        service: "scheduler".into(),
        host: (number % 2 == 0).then(|| "scheduler-1".into()),
        peer: String::new(),
        sent: (number % 3 == 0).then_some(number),
        start: number,
        end: number + 1,
        error: (number % 5 == 0).then(|| "in vain".into()),
    };
    let spans: Vec<_> = (0..30).map(|number| (format!("req-{}", number % 2), span(number))).collect();
    let mut connection = database.write().await.unwrap();
    request_spans::insert(&mut connection, &[]).await.unwrap();
    assert_eq!(request_spans::keep_latest(&mut connection, 10).await.unwrap(), 0);
    request_spans::insert(&mut connection, &spans[..20]).await.unwrap();
    request_spans::insert(&mut connection, &spans[20..]).await.unwrap();
    let told = request_spans::of_request(&mut connection, "req-1", 100).await.unwrap();
    let odd: Vec<_> = spans.iter().filter(|(request, _)| request == "req-1").map(|(_, span)| span.clone()).collect();
    assert_eq!(told, odd);
    assert_eq!(request_spans::of_request(&mut connection, "req-1", 3).await.unwrap(), odd[..3]);
    assert_eq!(request_spans::keep_latest(&mut connection, 10).await.unwrap(), 20);
    assert_eq!(request_spans::of_request(&mut connection, "req-1", 100).await.unwrap(), odd[10..]);
}

/// Runs each behaviour on a database of its own.
macro_rules! behaviours {
    ($($behaviour:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() {
                let file = novella_testing::Database::sqlite();
                super::$behaviour(super::open(file.url()).await).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() {
                let server = novella_testing::Database::postgres().await;
                super::$behaviour(super::open(server.url()).await).await;
            })*
        }
    };
}

behaviours! {
    a_new_instance_is_read_back_as_it_was_written,
    of_two_operations_that_begin_at_once_one_wins,
    claims_from_many_sides_at_once_never_overcommit_and_add_up,
    a_heartbeat_makes_a_service_and_keeps_it_up,
    actions_keep_their_events_as_they_last_stood,
    the_newest_fault_of_each_instance_is_shown,
    a_deleted_instance_is_only_found_among_the_deleted,
    those_who_change_many_rows_at_once_do_not_wait_for_each_other_in_a_circle,
    the_latest_spans_are_kept_and_told_by_their_request,
}
