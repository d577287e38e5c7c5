//! Operations that nobody works on: whatever their state and whoever had them, they come to an end.

use jiff::{SignedDuration, Timestamp};
use novella_common::{
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{Keeper, TaskState, VmState},
    sql,
};
use serde_json::json;

use crate::support::cloud::{Cloud, Settings};

fn quick() -> Settings {
    Settings { environment: vec![("NOVELLA_COMPUTE__LOST_BUILD_AFTER", "0.5".into())], ..Settings::default() }
}

async fn an_operation_that_nobody_works_on_comes_to_its_end_whatever_its_state_and_whoever_had_it(cloud: Cloud) {
    let client = cloud.client().await;
    let mut servers = Vec::new();
    for state in TaskState::ALL {
        for owner in [None, Some(Incarnation::random())] {
            servers.push((*state, owner, client.create(&format!("{state}"), json!({})).await));
        }
    }
    for (_, _, id) in &servers {
        client.wait_for_status(id, "ACTIVE").await;
    }
    let database = cloud.database().await;
    let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
    for (state, owner, id) in &servers {
        let uuid: InstanceUuid = id.parse().unwrap();
        let vm_state = if state.keeper() == Keeper::Build { VmState::Building } else { VmState::Active };
        sql!(
            "UPDATE instances SET vm_state = " (vm_state) ", task_state = " (state) ", task_id = " (TaskId::random())
            ", owner = " (owner) ", updated_at = " (yesterday) " WHERE uuid = " (uuid)
        )
        .execute(&mut database.write().await.unwrap())
        .await
        .unwrap();
    }
    database.close().await;
    for (state, _, id) in &servers {
        if *state == TaskState::Deleting {
            client.wait_until_gone(id).await;
            continue;
        }
        let settled = client.wait_until_settled(id).await;
        assert_ne!(settled["status"], "ERROR", "{settled}");
    }
    cloud.assert_claims_add_up().await;
}

behaviours! {
    quick();
    an_operation_that_nobody_works_on_comes_to_its_end_whatever_its_state_and_whoever_had_it,
}
