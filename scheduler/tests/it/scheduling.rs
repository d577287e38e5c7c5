//! Schedulers at work: real databases, a bus in this process, hosts that do as they are told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use novella_common::{
    RequestContext,
    db::{actions, instances},
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{TaskState, VmState},
    models::{EventResult, RequestSpec},
};
use novella_fakes::Building;
use novella_messaging::CallError;
use novella_scheduler::{
    SchedulerConfig,
    rpcapi::{DestinationRequest, SchedulerError},
};

use crate::support::{Cloud, On, on_both, size};

on_both! {
    async fn a_server_gets_a_host_and_a_claim_there_and_is_the_hosts(cloud: Cloud) {
        let host = cloud.start_host("host-1", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(uuid).await;

        let instance = cloud.settled(uuid).await;
        assert_eq!(instance.host.as_deref(), Some("host-1"));
        assert_eq!(instance.availability_zone.as_deref(), Some("nova"));
        assert_eq!((instance.vm_state, instance.task_state), (VmState::Building, Some(TaskState::Scheduling)));
        assert_eq!(instance.attempts, 1);
        let builds = host.builds();
        assert_eq!(builds.len(), 1);
        assert_eq!(Some(builds[0].task_id), instance.task_id);
        assert_eq!(builds[0].spec.uuid, uuid);
        assert_eq!(cloud.nodes().await["host-1"].used, size(1, 512, 1));
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn a_message_that_comes_twice_builds_once(cloud: Cloud) {
        let host = cloud.start_host("host-1", size(64, 65536, 640), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        cloud.start_scheduler("s2", SchedulerConfig::default()).await;
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(cloud.write_instance(RequestSpec::default()).await);
        }
        for uuid in all.iter().chain(&all).chain(&all) {
            cloud.build(*uuid).await;
        }
        for uuid in &all {
            assert_eq!(cloud.settled(*uuid).await.attempts, 1);
        }
        // One more, behind all the copies.
        let last = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(last).await;
        cloud.settled(last).await;
        assert_eq!(host.builds().len(), 11);
        assert_eq!(cloud.nodes().await["host-1"].instances, 11);
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn many_schedulers_at_once_fill_the_hosts_and_never_overcommit(cloud: Cloud) {
        // Room for 40 in all; 60 are asked for. A small claim (memory) is the narrow one.
        for index in 0..4 {
            cloud.start_host(&format!("host-{index}"), size(64, 512 * 10, 640), Building::Accept).await;
        }
        for index in 0..6 {
            cloud.start_scheduler(&format!("s{index}"), SchedulerConfig::default()).await;
        }
        let mut all = Vec::new();
        for _ in 0..60 {
            all.push(cloud.write_instance(RequestSpec::default()).await);
        }
        for uuid in &all {
            cloud.build(*uuid).await;
        }
        let mut placed = BTreeMap::<String, i64>::new();
        let mut failed = 0;
        for uuid in &all {
            let instance = cloud.settled(*uuid).await;
            match instance.host {
                Some(host) => *placed.entry(host).or_default() += 1,
                None => failed += 1,
            }
        }
        assert_eq!(failed, 20);
        assert_eq!(placed.into_values().collect::<Vec<_>>(), vec![10, 10, 10, 10]);
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn a_burst_spreads_evenly_over_equal_hosts(cloud: Cloud) {
        for index in 0..8 {
            cloud.start_host(&format!("host-{index}"), size(1000, 512_000, 10_000), Building::Accept).await;
        }
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let mut all = Vec::new();
        for _ in 0..200 {
            all.push(cloud.write_instance(RequestSpec::default()).await);
        }
        for uuid in &all {
            cloud.build(*uuid).await;
        }
        for uuid in &all {
            cloud.settled(*uuid).await;
        }
        let spread: Vec<i64> = cloud.nodes().await.values().map(|node| node.instances).collect();
        assert_eq!(spread, vec![25; 8]);
        cloud.stop().await;
    }

    async fn a_host_that_refuses_is_left_for_another_one_and_its_claim_is_given_back(cloud: Cloud) {
        // The bigger host is the better one, until it refuses.
        let bad = cloud.start_host("bad", size(64, 65536, 640), Building::Refuse).await;
        let good = cloud.start_host("good", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        assert_eq!(instance.host.as_deref(), Some("good"));
        assert_eq!(instance.attempts, 2);
        assert_eq!((bad.calls(), good.builds().len()), (1, 1));
        assert_eq!(cloud.nodes().await["bad"].instances, 0);
        cloud.assert_sums().await;

        // What it has learnt holds for the next one: the host that takes builds comes first.
        let next = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(next).await;
        assert_eq!(cloud.settled(next).await.host.as_deref(), Some("good"));
        assert_eq!(bad.calls(), 1);
        cloud.stop().await;
    }

    async fn a_host_whose_handler_breaks_or_that_nobody_serves_is_left_for_another_one(cloud: Cloud) {
        cloud.start_host("breaks", size(64, 65536, 640), Building::Panic).await;
        cloud.write_host("nobody", "nova", size(64, 65536, 640)).await;
        cloud.start_host("good", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        assert_eq!(instance.host.as_deref(), Some("good"));
        assert_eq!(instance.attempts, 3);
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn after_max_attempts_the_server_is_in_error_with_the_last_failure(cloud: Cloud) {
        for index in 0..5 {
            cloud.start_host(&format!("host-{index}"), size(4, 4096, 40), Building::Refuse).await;
        }
        cloud.start_scheduler("s1", SchedulerConfig { max_attempts: 2, ..SchedulerConfig::default() }).await;
        let uuid = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        assert_eq!(instance.vm_state, VmState::Error);
        assert_eq!((instance.host, instance.attempts, instance.task_state), (None, 2, None));
        let mut connection = cloud.database.read().await.unwrap();
        let (_, fault) = instances::faults(&mut connection, &[uuid]).await.unwrap().remove(0);
        assert_eq!(fault.code, 500);
        assert!(fault.message.starts_with("No valid host was found. Exceeded maximum number of retries."), "{fault:?}");
        assert!(fault.details.unwrap().contains("Insufficient compute resources"));
        drop(connection);
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn without_room_anywhere_the_server_is_in_error_and_its_action_says_why(cloud: Cloud) {
        cloud.start_host("small", size(1, 256, 1), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        assert_eq!(instance.vm_state, VmState::Error);
        let mut connection = cloud.database.read().await.unwrap();
        let (_, fault) = instances::faults(&mut connection, &[uuid]).await.unwrap().remove(0);
        assert_eq!(fault.message, "No valid host was found. There are not enough hosts available.");
        assert!(fault.details.unwrap().contains("CapacityFilter"));
        let (action, events) =
            actions::get(&mut connection, uuid, &format!("req-{uuid}")).await.unwrap().unwrap();
        assert_eq!(action.message.as_deref(), Some("Error"));
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event, "scheduler_build_instance");
        assert_eq!(events[0].result, Some(EventResult::Error));
        drop(connection);
        cloud.stop().await;
    }

    async fn a_server_deleted_while_its_host_is_asked_is_left_alone(cloud: Cloud) {
        let database = cloud.database.clone();
        let deletes = Building::After(Arc::new(move |build| {
            let database = database.clone();
            Box::pin(async move {
                let mut connection = database.write().await.unwrap();
                let instance = instances::get(&mut connection, build.spec.uuid).await.unwrap().unwrap();
                let begun = instances::begin_task(
                    &mut connection, &instance, TaskState::Deleting, TaskId::random(), "req-delete",
                ).await.unwrap();
                assert!(begun);
                drop(connection);
                panic!("and the host breaks");
            })
        }));
        let host = cloud.start_host("host-1", size(4, 4096, 40), deletes).await;
        cloud.start_host("host-2", size(2, 2048, 20), Building::Accept).await;
        cloud.write_host("host-2", "elsewhere", size(2, 2048, 20)).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(uuid).await;
        let instance = cloud
            .until(uuid, |instance| instance.task_state == Some(TaskState::Deleting) && instance.owner.is_none())
            .await;
        // A second message finds nothing to do; what is behind it in the queue shows that it has been read.
        cloud.build(uuid).await;
        let elsewhere = RequestSpec { availability_zone: Some("elsewhere".into()), ..RequestSpec::default() };
        let other = cloud.write_instance(elsewhere).await;
        cloud.build(other).await;
        cloud.settled(other).await;
        assert_eq!(cloud.instance(uuid).await.task_id, instance.task_id);
        assert_eq!(cloud.instance(uuid).await.host.as_deref(), Some("host-1"));
        assert_eq!(host.calls(), 1);
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn what_a_dead_scheduler_had_claimed_for_is_offered_to_the_same_host_again(cloud: Cloud) {
        let host = cloud.start_host("host-1", size(4, 4096, 40), Building::Accept).await;
        let uuid = cloud.write_instance(RequestSpec::default()).await;
        let attempt = TaskId::random();
        let dead = Incarnation::random();
        {
            let mut transaction = cloud.database.begin().await.unwrap();
            let seen = instances::get(&mut transaction, uuid).await.unwrap().unwrap();
            let placement = instances::transitions::Placement {
                instance: uuid,
                seen_task: seen.task_id,
                seen_owner: None,
                host: "host-1".into(),
                zone: "nova".into(),
                attempt,
            };
            assert_eq!(instances::transitions::place(&mut transaction, &[placement], dead).await.unwrap().len(), 1);
            let resources = seen.flavor.resources();
            assert!(novella_common::db::allocations::claim(&mut transaction, uuid, "host-1", resources).await.unwrap());
            transaction.commit().await.unwrap();
        }
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        assert_eq!((instance.task_id, instance.attempts), (Some(attempt), 1));
        assert_eq!(host.builds()[0].task_id, attempt);
        assert_eq!(cloud.nodes().await["host-1"].instances, 1);
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn hints_and_zones_are_obeyed(cloud: Cloud) {
        for name in ["host-1", "host-2", "host-3"] {
            cloud.start_host(name, size(64, 65536, 640), Building::Accept).await;
        }
        cloud.write_host("host-3", "elsewhere", size(64, 65536, 640)).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let spec = |zone: Option<&str>, hint: Option<(&str, serde_json::Value)>| RequestSpec {
            availability_zone: zone.map(ToOwned::to_owned),
            hints: hint.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..RequestSpec::default()
        };
        let built = async |spec: RequestSpec| -> (InstanceUuid, Option<String>) {
            let uuid = cloud.write_instance(spec).await;
            cloud.build(uuid).await;
            (uuid, cloud.settled(uuid).await.host)
        };
        let (_, host) = built(spec(Some("elsewhere"), None)).await;
        assert_eq!(host.as_deref(), Some("host-3"));
        let (first, first_host) = built(spec(Some("nova"), None)).await;
        let first_host = first_host.unwrap();
        for _ in 0..3 {
            let (_, host) = built(spec(None, Some(("same_host", first.to_string().into())))).await;
            assert_eq!(host.as_ref(), Some(&first_host));
            let different = spec(Some("nova"), Some(("different_host", vec![first.to_string()].into())));
            let (_, host) = built(different).await;
            assert!(host.is_some_and(|host| host != first_host && host != "host-3"));
        }
        let (_, host) = built(spec(Some("nowhere"), None)).await;
        assert_eq!(host, None);
        cloud.stop().await;
    }

    async fn destinations_are_listed_best_first_without_a_claim(cloud: Cloud) {
        cloud.write_host("source", "nova", size(64, 65536, 640)).await;
        cloud.write_host("big", "nova", size(32, 32768, 320)).await;
        cloud.write_host("middle", "nova", size(16, 16384, 160)).await;
        cloud.write_host("small", "nova", size(2, 2048, 20)).await;
        cloud.write_host("full", "nova", size(0, 0, 0)).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let request = DestinationRequest {
            instance: cloud.write_instance(RequestSpec::default()).await,
            project_id: "project".into(),
            resources: size(1, 512, 1),
            spec: RequestSpec::default(),
            ignore_hosts: vec!["source".into()],
            only_host: None,
        };
        let ctx = RequestContext::internal();
        let names = |found: Vec<novella_scheduler::rpcapi::Destination>| -> Vec<String> {
            found.into_iter().map(|destination| destination.host).collect()
        };
        let found = cloud.client.select_destinations(&ctx, request.clone()).await.unwrap();
        assert_eq!(names(found), ["big", "middle", "small"]);
        let only = DestinationRequest { only_host: Some("small".into()), ..request.clone() };
        assert_eq!(names(cloud.client.select_destinations(&ctx, only).await.unwrap()), ["small"]);
        for (only_host, word) in [("source", "source"), ("full", "CapacityFilter"), ("unheard-of", "unheard-of")] {
            let only = DestinationRequest { only_host: Some(only_host.into()), ..request.clone() };
            match cloud.client.select_destinations(&ctx, only).await {
                Err(CallError::Remote(SchedulerError::NoValidHost { reason })) => {
                    assert!(reason.contains(word), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(cloud.nodes().await.values().all(|node| node.instances == 0));
        cloud.stop().await;
    }

    async fn room_that_has_just_become_free_is_seen_before_a_server_is_given_up(cloud: Cloud) {
        // A picture that is kept for long: only the second look can show the room.
        let config = SchedulerConfig { host_state_max_age: Duration::from_secs(3600), ..SchedulerConfig::default() };
        cloud.start_host("host-1", size(1, 512, 1), Building::Accept).await;
        cloud.start_scheduler("s1", config).await;
        let first = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(first).await;
        cloud.settled(first).await;
        {
            let mut transaction = cloud.database.begin().await.unwrap();
            instances::mark_deleted(&mut transaction, &[first]).await.unwrap();
            novella_common::db::allocations::release_all(&mut transaction, &[first]).await.unwrap();
            transaction.commit().await.unwrap();
        }
        let second = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(second).await;
        assert_eq!(cloud.settled(second).await.host.as_deref(), Some("host-1"));
        cloud.assert_sums().await;
        cloud.stop().await;
    }
}

mod on_sqlite_only {
    use super::*;

    #[tokio::test]
    async fn an_unknown_filter_stops_the_start_and_the_text_lists_those_there_are() {
        let cloud = Cloud::new(On::Sqlite).await;
        let config = SchedulerConfig { enabled_filters: vec!["NoSuchFilter".into()], ..SchedulerConfig::default() };
        let identity = novella_common::service::ServiceIdentity::new(novella_common::models::Binary::Scheduler, "s1");
        let result = novella_scheduler::SchedulerService::start(
            cloud.database.clone(),
            cloud.transport.clone(),
            cloud.networks.clone(),
            identity,
            config,
            novella_common::config::ServiceConfig::default(),
            &cloud.shutdown,
        )
        .await;
        let text = result.err().unwrap().to_string();
        assert!(text.contains("NoSuchFilter") && text.contains("ComputeFilter"), "{text}");
    }

    /// Takes as long as the contract lets a host take for its answer.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_that_does_not_answer_is_left_and_its_late_yes_changes_nothing() {
        let cloud = Cloud::new(On::Sqlite).await;
        let too_late = std::sync::Arc::new(tokio::sync::Notify::new());
        let waits = std::sync::Arc::clone(&too_late);
        let late = Building::After(Arc::new(move |_| {
            let waits = Arc::clone(&waits);
            Box::pin(async move { waits.notified().await })
        }));
        let slow = cloud.start_host("slow", size(64, 65536, 640), late).await;
        let good = cloud.start_host("good", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(RequestSpec::default()).await;
        cloud.build(uuid).await;
        let instance = cloud.until(uuid, |row| row.host.as_deref() == Some("good") && row.owner.is_none()).await;
        too_late.notify_one();
        while slow.builds().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_ne!(Some(slow.builds()[0].task_id), instance.task_id);
        assert_eq!(good.builds().len(), 1);
        assert_eq!(cloud.instance(uuid).await, instance);
        assert_eq!(cloud.nodes().await["slow"].instances, 0);
        cloud.assert_sums().await;
        cloud.stop().await;
    }
}
