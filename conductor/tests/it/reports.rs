//! What compute hosts say, and what becomes of it.

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{
        compute_nodes,
        host_admission::{self, Approval, Refusal},
        instances, listening, services,
    },
    ids::{HostIdentity, Incarnation, InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{ActionEvent, Binary, EventResult, Instance},
    reports::{Fact, InstanceReport, OperationProgress, TOPIC},
    sql,
};
use novella_fakes::Building;
use novella_messaging::Notifier;

use crate::support::{Cloud, big, building, idle, size, waiting};

fn report(instance: InstanceUuid, task_id: Option<TaskId>, seq: i64, progress: OperationProgress) -> InstanceReport {
    InstanceReport { instance, seq, task_id, request_id: None, power_state: PowerState::Running, progress, event: None }
}

fn done(vm_state: VmState) -> OperationProgress {
    OperationProgress::Done { vm_state }
}

fn doing(task_state: TaskState) -> OperationProgress {
    OperationProgress::Doing { task_state }
}

fn failed(reschedule: bool) -> OperationProgress {
    OperationProgress::Failed {
        vm_state: Some(VmState::Error),
        message: "Build of the instance aborted.".into(),
        details: Some("no disk".into()),
        reschedule,
    }
}

/// Says something that comes after all else, and waits until it is written: then all else is.
async fn all_is_written(cloud: &Cloud, host: &str) {
    let last = cloud.active(host).await;
    let mut said = report(last, None, cloud.hosts.seq(), done(VmState::Stopped));
    said.power_state = PowerState::Shutdown;
    cloud.hosts.report(host, Fact::Instance(said)).await;
    cloud.until(last, |instance| instance.vm_state == VmState::Stopped).await;
}

on_both! {
    // Its scheduler could not write down that the host had accepted.
    async fn a_build_that_its_host_reports_of_is_no_schedulers(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let new = Instance { owner: Some(Incarnation::random()), ..building("host-1") };
        cloud.write(&new).await;
        let said = report(new.uuid, new.task_id, cloud.hosts.seq(), doing(TaskState::Networking));
        cloud.hosts.report("host-1", Fact::Instance(said)).await;
        let row = cloud.until(new.uuid, |row| row.task_state == Some(TaskState::Networking)).await;
        assert_eq!(row.owner, None);
        cloud.stop().await;
    }

    async fn a_build_is_written_down_step_by_step(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let new = building("host-1");
        cloud.write(&new).await;
        let started = Timestamp::now();
        let event = |finished: Option<EventResult>| ActionEvent {
            event: "compute__do_build_and_run_instance".into(),
            host: Some("host-1".into()),
            start_time: started,
            finish_time: finished.map(|_| Timestamp::now()),
            result: finished,
            details: None,
        };
        let say = async |progress: OperationProgress, finished: Option<EventResult>| {
            let mut said = report(new.uuid, new.task_id, cloud.hosts.seq(), progress);
            said.request_id.clone_from(&new.task_request_id);
            said.event = Some(event(finished));
            cloud.hosts.report("host-1", Fact::Instance(said)).await;
        };
        say(doing(TaskState::Networking), None).await;
        let row = cloud.until(new.uuid, |row| row.task_state == Some(TaskState::Networking)).await;
        assert_eq!((row.vm_state, row.task_id, row.launched_at), (VmState::Building, new.task_id, None));
        say(doing(TaskState::Spawning), None).await;
        say(done(VmState::Active), Some(EventResult::Success)).await;
        let row = cloud.until_idle(new.uuid).await;
        assert_eq!((row.vm_state, row.power_state), (VmState::Active, PowerState::Running));
        assert_eq!((row.task_id, row.task_request_id, row.owner), (None, None, None));
        assert!(row.launched_at.is_some());
        let (action, events) = cloud.action(new.uuid, new.task_request_id.as_deref().unwrap()).await;
        assert_eq!(action.message, None);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].result, Some(EventResult::Success));
        cloud.stop().await;
    }

    async fn what_is_out_of_date_is_dropped(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_host("host-2", big()).await;
        cloud.start_conductor().await;
        let new = building("host-1");
        cloud.write(&new).await;
        let late = cloud.hosts.seq();
        let seq = cloud.hosts.seq();
        cloud.hosts.report("host-1", Fact::Instance(report(new.uuid, new.task_id, seq, doing(TaskState::Spawning)))).await;
        let active = || done(VmState::Active);
        for (host, task_id, number, what) in [
            ("host-1", new.task_id, late, "an older report"),
            ("host-1", new.task_id, seq, "the same number again"),
            ("host-2", new.task_id, cloud.hosts.seq(), "another host"),
            ("host-1", Some(TaskId::random()), cloud.hosts.seq(), "another operation"),
            ("host-1", None, cloud.hosts.seq(), "no operation, while one is under way"),
        ] {
            cloud.hosts.report(host, Fact::Instance(report(new.uuid, task_id, number, active()))).await;
            all_is_written(&cloud, "host-1").await;
            let row = cloud.instance(new.uuid).await;
            assert_eq!((row.vm_state, row.task_state), (VmState::Building, Some(TaskState::Spawning)), "{what}");
            assert_eq!(row.report_seq, seq, "{what}");
        }
        cloud.stop().await;
    }

    async fn the_same_batch_twice_comes_to_the_same(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let new = building("host-1");
        cloud.write(&new).await;
        let reports: Vec<_> = [doing(TaskState::Networking), doing(TaskState::Spawning), done(VmState::Active)]
            .into_iter()
            .map(|progress| report(new.uuid, new.task_id, cloud.hosts.seq(), progress))
            .collect();
        // They wait in the queue, so that a conductor finds them all at once.
        for said in reports.iter().chain(&reports) {
            cloud.hosts.report("host-1", Fact::Instance(said.clone())).await;
        }
        cloud.start_conductor().await;
        let row = cloud.until_idle(new.uuid).await;
        for said in &reports {
            cloud.hosts.report("host-1", Fact::Instance(said.clone())).await;
        }
        all_is_written(&cloud, "host-1").await;
        assert_eq!(cloud.instance(new.uuid).await, row);
        assert_eq!(row.vm_state, VmState::Active);
        cloud.stop().await;
    }

    async fn a_guest_that_changes_by_itself_is_seen_and_an_operation_goes_before_it(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let uuid = cloud.active("host-1").await;
        let mut crashed = report(uuid, None, cloud.hosts.seq(), done(VmState::Stopped));
        crashed.power_state = PowerState::Crashed;
        cloud.hosts.report("host-1", Fact::Instance(crashed)).await;
        let row = cloud.until(uuid, |row| row.vm_state == VmState::Stopped).await;
        assert_eq!(row.power_state, PowerState::Crashed);
        cloud.stop().await;
    }

    async fn a_deletion_ends_with_no_claim(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let mut all = Vec::new();
        for _ in 0..5 {
            let uuid = cloud.active("host-1").await;
            let task_id = cloud.begin(uuid, TaskState::Deleting).await;
            all.push((uuid, task_id));
        }
        assert_eq!(cloud.claims(&["host-1"]).await, [5]);
        for (uuid, task_id) in &all {
            let said = report(*uuid, Some(*task_id), cloud.hosts.seq(), OperationProgress::Gone);
            cloud.hosts.report("host-1", Fact::Instance(said)).await;
        }
        for (uuid, _) in &all {
            let row = cloud.until(*uuid, |row| row.deleted_at.is_some()).await;
            assert_eq!((row.vm_state, row.task_state), (VmState::Deleted, None));
            assert!(row.terminated_at.is_some());
        }
        assert_eq!(cloud.claims(&["host-1"]).await, [0]);
        cloud.stop().await;
    }

    async fn a_guest_that_vanishes_unasked_is_in_error_and_not_deleted(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let uuid = cloud.active("host-1").await;
        cloud.hosts.report("host-1", Fact::Instance(report(uuid, None, cloud.hosts.seq(), OperationProgress::Gone))).await;
        let row = cloud.until(uuid, |row| row.vm_state == VmState::Error).await;
        assert_eq!(row.deleted_at, None);
        assert_eq!(cloud.fault(uuid).await.unwrap().message, "Host host-1 no longer has the server.");
        assert_eq!(cloud.claims(&["host-1"]).await, [1]);
        cloud.stop().await;
    }

    async fn an_operation_that_fails_leaves_the_state_and_a_fault(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let uuid = cloud.active("host-1").await;
        let task_id = cloud.begin(uuid, TaskState::PoweringOff).await;
        let progress =
            OperationProgress::Failed { vm_state: None, message: "It hangs.".into(), details: None, reschedule: true };
        cloud.hosts.report("host-1", Fact::Instance(report(uuid, Some(task_id), cloud.hosts.seq(), progress))).await;
        let row = cloud.until_idle(uuid).await;
        assert_eq!((row.vm_state, row.host.as_deref()), (VmState::Active, Some("host-1")));
        assert_eq!(cloud.fault(uuid).await.unwrap().message, "It hangs.");
        cloud.stop().await;
    }

    async fn a_build_that_can_succeed_nowhere_is_in_error_at_once(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_host("host-2", big()).await;
        cloud.start_scheduler().await;
        cloud.start_conductor().await;
        let new = building("host-1");
        cloud.write(&new).await;
        let said = report(new.uuid, new.task_id, cloud.hosts.seq(), failed(false));
        cloud.hosts.report("host-1", Fact::Instance(said)).await;
        let row = cloud.until_idle(new.uuid).await;
        assert_eq!((row.vm_state, row.host.as_deref()), (VmState::Error, Some("host-1")));
        let fault = cloud.fault(new.uuid).await.unwrap();
        assert_eq!((fault.code, fault.message.as_str()), (500, "Build of the instance aborted."));
        assert_eq!(fault.details.as_deref(), Some("no disk"));
        assert_eq!(cloud.hosts.calls("build_and_run_instance"), 0);
        cloud.stop().await;
    }

    async fn a_build_that_fails_on_one_host_succeeds_on_another(cloud: Cloud) {
        cloud.start_host("bad", big()).await;
        cloud.start_host("good", size(2, 1024, 2)).await;
        cloud.hosts.build_by("bad", Building::FailReschedulable);
        cloud.start_scheduler().await;
        cloud.start_conductor().await;
        let new = building("bad");
        cloud.write(&new).await;
        let mut said = report(new.uuid, new.task_id, cloud.hosts.seq(), failed(true));
        said.request_id.clone_from(&new.task_request_id);
        said.event = Some(ActionEvent {
            event: "compute__do_build_and_run_instance".into(),
            host: Some("bad".into()),
            start_time: Timestamp::now(),
            finish_time: Some(Timestamp::now()),
            result: Some(EventResult::Error),
            details: None,
        });
        cloud.hosts.report("bad", Fact::Instance(said)).await;
        let row = cloud.until_idle(new.uuid).await;
        assert_eq!((row.vm_state, row.host.as_deref(), row.attempts), (VmState::Active, Some("good"), 2));
        assert_eq!(cloud.claims(&["bad", "good"]).await, [0, 1]);
        let mut connection = cloud.database.read().await.unwrap();
        let spec = instances::request_spec(&mut connection, new.uuid).await.unwrap().unwrap();
        assert_eq!(spec.excluded_hosts, ["bad"]);
        drop(connection);
        // The attempt has failed, the action has not.
        let (action, events) = cloud.action(new.uuid, new.task_request_id.as_deref().unwrap()).await;
        assert_eq!((action.message, events.len()), (None, 1));
        cloud.stop().await;
    }

    async fn a_build_that_fails_on_every_host_ends_after_the_last_attempt(cloud: Cloud) {
        for host in ["host-1", "host-2", "host-3", "host-4", "host-5"] {
            cloud.start_host(host, big()).await;
            cloud.hosts.build_by(host, Building::FailReschedulable);
        }
        cloud.start_scheduler().await;
        cloud.start_conductor().await;
        let new = waiting();
        cloud.write(&new).await;
        let scheduler = novella_scheduler::rpcapi::SchedulerClient::new(&cloud.transport);
        scheduler.build_instance(&RequestContext::internal(), new.uuid).await.unwrap();
        let row = cloud.until_idle(new.uuid).await;
        assert_eq!((row.vm_state, row.host, row.attempts), (VmState::Error, None, 3));
        let fault = cloud.fault(new.uuid).await.unwrap();
        assert!(fault.message.starts_with("No valid host was found. Exceeded maximum number of retries."), "{fault:?}");
        assert!(fault.details.unwrap().contains("no disk"));
        assert_eq!(cloud.hosts.calls("build_and_run_instance"), 3);
        let nodes = cloud.nodes().await;
        assert!(nodes.values().all(|node| node.instances == 0));
        cloud.stop().await;
    }

    async fn what_is_no_report_does_not_stop_the_others(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let new = building("host-1");
        cloud.write(&new).await;
        let notifier = Notifier::new(&cloud.transport, TOPIC, "somebody");
        let ctx = RequestContext::internal();
        notifier.info(&ctx, "compute.instance", &serde_json::json!({ "no": "report" })).await.unwrap();
        let said = report(new.uuid, new.task_id, cloud.hosts.seq(), done(VmState::Active));
        cloud.hosts.report("host-1", Fact::Instance(said)).await;
        notifier.info(&ctx, "nonsense", &serde_json::json!([1, 2])).await.unwrap();
        cloud.start_conductor().await;
        cloud.until_idle(new.uuid).await;
        all_is_written(&cloud, "host-1").await;
        cloud.stop().await;
    }

    async fn another_conductor_goes_on_with_the_reports_when_one_dies(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let first = cloud.conductor("conductor-1").await;
        let second = cloud.conductor("conductor-2").await;
        all_is_written(&cloud, "host-1").await;
        first.crash().await;
        all_is_written(&cloud, "host-1").await;
        second.service.stop().await;
        cloud.stop().await;
    }

    async fn a_hello_with_another_identity_is_refused_until_the_host_is_said_to_be_replaced(cloud: Cloud) {
        cloud.write_host("host-1", big()).await;
        cloud.start_conductor().await;
        let (own, other) = (HostIdentity::random(), HostIdentity::random());
        let known = cloud.hosts.incarnation("host-1");
        cloud.hosts.hello_as("host-1", known, big(), Some(own)).await;
        let uuid = cloud.active("host-1").await;
        let said = report(uuid, None, cloud.hosts.seq(), done(VmState::Active));
        cloud.hosts.report("host-1", Fact::Instance(said)).await;
        cloud.until(uuid, |instance| instance.report_seq > 0).await;

        for identity in [Some(other), None] {
            cloud.hosts.hello_as("host-1", Incarnation::random(), size(1, 1, 1), identity).await;
        }
        cloud.hosts.hello_as("host-1", Incarnation::random(), size(1, 1, 1), Some(other)).await;
        all_is_written(&cloud, "host-1").await;
        let mut connection = cloud.database.write().await.unwrap();
        let service = services::find(&mut connection, Binary::Compute, "host-1").await.unwrap().unwrap();
        assert_eq!(service.incarnation, known);
        assert_eq!(compute_nodes::get(&mut connection, "host-1").await.unwrap().unwrap().inventory.total, big());
        let refused = host_admission::refused(&mut connection).await.unwrap();
        let [refused] = &refused[..] else { panic!("{refused:?}") };
        assert_eq!((refused.host.as_str(), refused.identity, refused.reason), ("host-1", Some(other), Refusal::Identity));
        drop(connection);

        let mut transaction = cloud.database.begin().await.unwrap();
        assert!(host_admission::replace(&mut transaction, "host-1").await.unwrap());
        assert!(!host_admission::replace(&mut transaction, "host-1").await.unwrap());
        transaction.commit().await.unwrap();
        // Its numbers begin anew, and the old one is the stranger now.
        assert_eq!(cloud.instance(uuid).await.report_seq, 0);
        let new = Incarnation::random();
        cloud.hosts.hello_as("host-1", new, big(), Some(other)).await;
        cloud.hosts.hello_as("host-1", known, size(1, 1, 1), Some(own)).await;
        all_is_written(&cloud, "host-1").await;
        let mut connection = cloud.database.write().await.unwrap();
        let service = services::find(&mut connection, Binary::Compute, "host-1").await.unwrap().unwrap();
        assert_eq!(service.incarnation, new);
        assert_eq!(host_admission::refused(&mut connection).await.unwrap()[0].identity, Some(own));
        drop(connection);
        cloud.stop().await;
    }

    async fn a_hello_makes_a_host_known_and_a_heartbeat_keeps_it_up(cloud: Cloud) {
        cloud.hosts.start("new").await;
        cloud.start_conductor().await;
        // Not heard before its hello: a heartbeat alone says nothing of what it has.
        cloud.hosts.report("new", Fact::Alive { incarnation: cloud.hosts.incarnation("new") }).await;
        cloud.hosts.hello("new", size(4, 4096, 40)).await;
        cloud.hosts.called("reconcile", 1).await;
        let nodes = cloud.nodes().await;
        assert_eq!(nodes["new"].capacity, size(4, 4096, 40));
        cloud.silence("new").await;
        cloud.hosts.report("new", Fact::Alive { incarnation: cloud.hosts.incarnation("new") }).await;
        let uuid = idle().uuid;
        cloud.write(&Instance { uuid, host: Some("new".into()), ..idle() }).await;
        all_is_written(&cloud, "new").await;
        let mut connection = cloud.database.read().await.unwrap();
        let service = services::find(&mut connection, Binary::Compute, "new").await.unwrap().unwrap();
        let minute = std::time::Duration::from_secs(60);
        let fresh_since = listening::fresh_since(&mut connection, minute).await.unwrap();
        assert!(service.is_up(&fresh_since));
        assert_eq!(service.zone, "nova");
        drop(connection);
        cloud.stop().await;
    }

    async fn a_host_is_told_what_it_ought_to_hold_and_what_is_none_of_its_business(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_host("host-2", big()).await;
        let runs = cloud.active("host-1").await;
        let stops = cloud.active("host-1").await;
        let task_id = cloud.begin(stops, TaskState::PoweringOff).await;
        let builds = building("host-1");
        cloud.write(&builds).await;
        // A scheduler is about to hand this one over; it is nobody else's matter.
        let handed_over = Instance { owner: Some(novella_common::ids::Incarnation::random()), ..building("host-1") };
        let in_hand = handed_over.uuid;
        {
            // Its scheduler is up.
            let mut connection = cloud.database.write().await.unwrap();
            let owner = handed_over.owner.unwrap();
            services::heartbeat(&mut connection, Binary::Scheduler, "other", "internal", owner).await.unwrap();
        }
        cloud.write(&handed_over).await;

        let deleted = cloud.active("host-1").await;
        let elsewhere = cloud.active("host-2").await;
        let arrives = cloud.active("host-2").await;
        let waits = waiting();
        cloud.write(&waits).await;
        let unknown = InstanceUuid::random();
        let migration = cloud.begin_migration(arrives, Some("host-1")).await;
        {
            let mut connection = cloud.database.write().await.unwrap();
            instances::mark_deleted(&mut connection, &[deleted]).await.unwrap();
            sql!("UPDATE migrations SET destination = 'host-1', status = 'running' WHERE uuid = " (migration.uuid))
                .execute(&mut connection)
                .await
                .unwrap();
        }
        for held in [elsewhere, arrives, waits.uuid, unknown] {
            cloud.hosts.hold_besides("host-1", held);
        }
        cloud.start_conductor().await;
        cloud.hosts.hello("host-1", big()).await;
        cloud.hosts.called("reconcile", 1).await;
        let told = cloud.hosts.reconciliations("host-1").remove(0);
        let mut remove = told.remove;
        remove.sort();
        let mut expected = vec![deleted, elsewhere];
        expected.sort();
        assert_eq!(remove, expected);
        let mut desired: Vec<_> = told.desired.iter().map(|desired| (desired.spec.uuid, desired.task)).collect();
        desired.sort_by_key(|(uuid, _)| *uuid);
        let mut expected = vec![
            (runs, None),
            (stops, Some((TaskState::PoweringOff, task_id))),
            (builds.uuid, Some((TaskState::Scheduling, builds.task_id.unwrap()))),
        ];
        expected.sort_by_key(|(uuid, _)| *uuid);
        assert_eq!(desired, expected);
        assert!(!desired.iter().any(|(uuid, _)| *uuid == in_hand));
        cloud.stop().await;
    }
    async fn hosts_that_answer_nothing_hold_up_the_reconciliation_of_no_other(cloud: Cloud) {
        const SILENT: usize = 64;
        cloud.start_conductor().await;
        for number in 0..SILENT {
            let name = format!("silent-{number}");
            cloud.hosts.start(&name).await;
            cloud.hosts.answer_nothing(&name);
            cloud.hosts.hello(&name, big()).await;
        }
        cloud.hosts.called("list_instances", SILENT).await;
        cloud.hosts.start("healthy").await;
        cloud.hosts.hello("healthy", big()).await;
        cloud.hosts.called("reconcile", 1).await;
        assert_eq!(cloud.hosts.reconciliations("healthy").len(), 1);
    }

    async fn a_report_with_a_number_from_the_future_is_not_believed_and_its_host_is_reconciled(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let id = cloud.active("host-1").await;
        cloud.hosts.report("host-1", Fact::Instance(report(id, None, i64::MAX, done(VmState::Stopped)))).await;
        cloud.hosts.called("reconcile", 1).await;
        all_is_written(&cloud, "host-1").await;
        let row = cloud.instance(id).await;
        assert_eq!((row.vm_state, row.report_seq), (VmState::Active, 0));
        cloud.stop().await;
    }

    async fn a_number_that_no_report_can_reach_holds_up_no_operation(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let (deleted, reset) = (cloud.active("host-1").await, cloud.active("host-1").await);
        {
            let mut connection = cloud.database.write().await.unwrap();
            sql!("UPDATE instances SET report_seq = "(i64::MAX)).execute(&mut connection).await.unwrap();
        }
        let task_id = cloud.begin(deleted, TaskState::Deleting).await;
        let gone = report(deleted, Some(task_id), cloud.hosts.seq(), OperationProgress::Gone);
        cloud.hosts.report("host-1", Fact::Instance(gone)).await;
        cloud.until(deleted, |row| row.deleted_at.is_some()).await;
        {
            let row = cloud.instance(reset).await;
            let mut connection = cloud.database.write().await.unwrap();
            assert!(instances::edits::reset_state(&mut connection, &row, VmState::Active).await.unwrap());
        }
        let mut stopped = report(reset, None, cloud.hosts.seq(), done(VmState::Stopped));
        stopped.power_state = PowerState::Shutdown;
        cloud.hosts.report("host-1", Fact::Instance(stopped)).await;
        cloud.until(reset, |row| row.vm_state == VmState::Stopped).await;
        cloud.stop().await;
    }

    async fn a_capacity_that_no_host_can_have_is_not_written_down(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let before = cloud.nodes().await["host-1"].capacity;
        cloud.hosts.hello("host-1", size(i64::MAX, 1024, 10)).await;
        all_is_written(&cloud, "host-1").await;
        assert_eq!(cloud.nodes().await["host-1"].capacity, before);
        cloud.stop().await;
    }
    async fn a_new_host_and_one_that_has_more_than_before_wait_for_an_operator(mut cloud: Cloud) {
        cloud.config.auto_approve = false;
        cloud.start_host("host-1", big()).await;
        cloud.start_conductor().await;
        let (identity, more) = (Some(HostIdentity::random()), big().plus(&size(1, 0, 0)));
        let hello = async |host: &str, resources| {
            cloud.hosts.hello_as(host, cloud.hosts.incarnation(host), resources, identity).await;
        };
        hello("new", big()).await;
        hello("host-1", more).await;
        all_is_written(&cloud, "host-1").await;
        let nodes = cloud.nodes().await;
        assert_eq!((nodes.len(), nodes["host-1"].inventory.total), (1, big()));
        let mut transaction = cloud.database.begin().await.unwrap();
        assert!(services::find(&mut transaction, Binary::Compute, "new").await.unwrap().is_none());
        let waiting: Vec<_> = host_admission::refused(&mut transaction).await.unwrap();
        let waiting: Vec<_> = waiting.iter().map(|it| (it.host.as_str(), it.reason)).collect();
        assert_eq!(waiting, [("host-1", Refusal::Capacity), ("new", Refusal::New)]);
        for host in ["host-1", "new"] {
            let approval = host_admission::approve(&mut transaction, host).await.unwrap();
            assert!(matches!(approval, Approval::Approved(_)), "{approval:?}");
            let again = host_admission::approve(&mut transaction, host).await.unwrap();
            assert_eq!(again, Approval::NobodyWaits);
        }
        transaction.commit().await.unwrap();

        hello("new", big()).await;
        // Less is taken as it is said.
        let less = big().less(&size(0, 0, 1));
        hello("host-1", less).await;
        all_is_written(&cloud, "host-1").await;
        let nodes = cloud.nodes().await;
        assert_eq!((nodes.len(), nodes["host-1"].inventory.total), (2, less));
        let mut connection = cloud.database.write().await.unwrap();
        assert!(services::find(&mut connection, Binary::Compute, "new").await.unwrap().is_some());
        assert_eq!(host_admission::refused(&mut connection).await.unwrap(), []);
        drop(connection);
        cloud.stop().await;
    }
}
