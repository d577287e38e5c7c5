//! Live migrations whose ends die or lose each other: never two running copies, never none for good.

use std::time::Duration;

use novella_common::{
    ids::InstanceUuid,
    lifecycle::{Action, TaskState, VmState},
    reports::MigrationOutcome,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    cloud::{Row, ctx, instant},
    pair::{Pair, RESTLESS, SLOW_SWITCH, paced},
};

#[tokio::test]
async fn a_source_that_dies_while_it_copies_keeps_the_guest() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let migration = pair.begin(instance).await;
    pair.copying(instance).await;
    let pair = pair.restart_source(paced()).await;
    let MigrationOutcome::Failed { message } = pair.outcome(instance).await else { panic!("it must fail") };
    assert!(message.contains("restarted"), "{message}");
    assert!(!pair.undo(&migration).await);
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_destination_that_dies_while_it_is_copied_to_leaves_the_guest_at_the_source() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let migration = pair.begin(instance).await;
    pair.copying(instance).await;
    let pair = pair.restart_destination(paced()).await;
    assert!(matches!(pair.outcome(instance).await, MigrationOutcome::Failed { .. }));
    assert!(!pair.undo(&migration).await);
    assert!(pair.here.held_instances("dest").await.is_empty());
    pair.stops_on("source", instance).await;
}

/// Waits until the guest stands still at the source.
async fn switching(pair: &Pair, instance: InstanceUuid) {
    let copied = |row: &Row| !row.progress.is_empty();
    pair.here.until(instance, "is about to switch", copied).await;
    // The stillness is four seconds long; there is no event to wait for on the way into it.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_source_that_dies_while_the_guest_switches_holds_it_until_the_destination_was_asked() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", SLOW_SWITCH).await;
    let migration = pair.begin(instance).await;
    switching(&pair, instance).await;
    let pair = pair.restart_source(instant()).await;
    let MigrationOutcome::Failed { message } = pair.outcome(instance).await else { panic!("it must fail") };
    assert!(message.contains("switched"), "{message}");
    // Held: not even a person can make it run here before the conductor has asked the destination.
    let start = novella_compute::rpcapi::OperationId { instance, task_id: novella_common::ids::TaskId::random() };
    pair.here.edit(instance, |row| row.task = Some((TaskState::PoweringOn, start.task_id)));
    pair.here.compute("source").perform_action(&ctx(), start, Action::Start, Default::default()).await.unwrap();
    let row = pair.here.until(instance, "was refused", |row| row.failure.is_some()).await;
    assert!(row.failure.unwrap().0.contains("being moved"));
    pair.here.edit(instance, |row| row.failure = None);

    assert!(!pair.undo(&migration).await);
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_destination_that_dies_while_the_guest_stands_still_leaves_it_at_the_source() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", SLOW_SWITCH).await;
    let migration = pair.begin(instance).await;
    switching(&pair, instance).await;
    let pair = pair.restart_destination(instant()).await;
    assert!(matches!(pair.outcome(instance).await, MigrationOutcome::Failed { .. }));
    assert!(!pair.undo(&migration).await);
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_held_guest_runs_on_when_its_host_learns_that_the_migration_was_undone_without_it() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", SLOW_SWITCH).await;
    let migration = pair.begin(instance).await;
    switching(&pair, instance).await;
    let Pair { here, there, source, destination } = pair;
    drop(source);
    here.live_migration("dest").rollback_live_migration_at_destination(&ctx(), migration).await.unwrap();
    here.edit(instance, |row| row.task = None);
    let source = here.start("source", instant()).await;
    here.reconcile("source").await;
    assert_eq!(here.row(instance).vm_state, VmState::Active);
    Pair { here, there, source, destination }.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_guest_whose_switch_was_not_heard_of_at_the_source_goes_on_at_the_destination() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let (migration, mut data) = pair.prepare(instance).await;
    let door = data.0["incoming"]["address"].as_str().unwrap().to_owned();
    data.0["incoming"]["address"] = deaf_proxy(door).await.into();
    pair.here.live_migration("source").live_migration(&ctx(), migration.clone(), data).await.unwrap();
    let MigrationOutcome::Failed { message } = pair.outcome(instance).await else { panic!("it must fail") };
    assert!(message.contains("did not answer the switch"), "{message}");
    assert!(pair.undo(&migration).await, "the destination runs it");
    pair.complete(&migration).await;
    assert!(pair.here.held_instances("source").await.is_empty());
    pair.stops_on("dest", instance).await;
}

/// Passes everything on, up to the answer to the switch, which it swallows together with the connection.
async fn deaf_proxy(to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut source, _) = listener.accept().await.unwrap();
        let mut destination = TcpStream::connect(to).await.unwrap();
        while let Some(frame) = frame(&mut source).await {
            destination.write_all(&frame).await.unwrap();
            let answer = self::frame(&mut destination).await.unwrap();
            if String::from_utf8_lossy(&frame).contains("Switch") {
                return;
            }
            source.write_all(&answer).await.unwrap();
        }
    });
    address
}

async fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await.ok()?;
    frame.extend(body);
    Some(frame)
}
