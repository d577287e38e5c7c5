//! Servers that are put aside, to be deleted later.

use std::time::Duration;

use novella_common::{
    db::takeover,
    lifecycle::{TaskState, VmState},
};
use serde_json::json;

use crate::support::Cloud;

const SERVERS: &str = "/compute/v2.1/servers";
const LATER: Duration = Duration::from_secs(3600);

on_both! {
    async fn a_deleted_server_is_put_aside_and_brought_back(cloud: Cloud) {
        let cloud = cloud.keeping_deleted(LATER);
        cloud.start_host("host-1").await;
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let one = format!("{SERVERS}/{uuid}");
        let early = demo.action(uuid, &json!({"restore": null})).await;
        assert_eq!(early.message(), format!("Cannot 'restore' instance {uuid} while it is in vm_state active"));
        assert_eq!(demo.delete(&one).await.status, 204);
        let cast = cloud.casts(2).await[1].clone();
        assert_eq!((cast.to.as_str(), cast.method.as_str()), ("compute.host-1", "soft_delete_instance"));
        assert_eq!(cloud.states(uuid).await.1, Some(TaskState::SoftDeleting));

        cloud.place(uuid, "host-1", "soft-delete", 4).await;
        assert_eq!(demo.get(&one).await.body["server"]["status"], "SOFT_DELETED");
        let listed = async |client: &crate::support::Client<'_>, query: &str| {
            client.get(&format!("{SERVERS}?{query}")).await.body["servers"].as_array().unwrap().len()
        };
        assert_eq!((listed(&demo, "").await, listed(&demo, "status=SOFT_DELETED").await), (0, 1));
        let all = "all_tenants=1";
        assert_eq!((listed(&admin, all).await, listed(&admin, &format!("{all}&soft_deleted=True")).await), (0, 1));
        assert_eq!(listed(&admin, &format!("{all}&deleted=True")).await, 1);
        // Once more changes nothing.
        assert_eq!(demo.delete(&one).await.status, 204);
        assert_eq!(cloud.states(uuid).await.1, None);
        assert_eq!(demo.action(uuid, &json!({"os-start": null})).await.status, 409);

        assert_eq!(demo.action(uuid, &json!({"restore": null})).await.status, 202);
        assert_eq!(cloud.casts(3).await[2].method, "restore_instance");
        assert_eq!(cloud.states(uuid).await.1, Some(TaskState::Restoring));
        cloud.place(uuid, "host-1", "active", 1).await;
        assert_eq!(listed(&demo, "").await, 1);
        // What was brought back is not deleted later.
        let mut connection = cloud.database.read().await.unwrap();
        let due = takeover::soft_deleted(&mut connection, jiff::Timestamp::now() + LATER).await.unwrap();
        assert_eq!(due, []);
    }

    async fn what_is_put_aside_is_deleted_when_its_time_has_come_or_by_force(cloud: Cloud) {
        let cloud = cloud.keeping_deleted(LATER);
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let (first, second) = (cloud.active_server(&demo, "a", "host-1").await, cloud.active_server(&demo, "b", "host-1").await);
        for uuid in [first, second] {
            assert_eq!(demo.delete(&format!("{SERVERS}/{uuid}")).await.status, 204);
            cloud.place(uuid, "host-1", "soft-delete", 4).await;
        }
        let now = jiff::Timestamp::now();
        let mut connection = cloud.database.read().await.unwrap();
        assert_eq!(takeover::soft_deleted(&mut connection, now - LATER).await.unwrap(), []);
        let mut due = takeover::soft_deleted(&mut connection, now + Duration::from_secs(1)).await.unwrap();
        drop(connection);
        due.sort_unstable();
        let mut both = vec![first, second];
        both.sort_unstable();
        assert_eq!(due, both);
        assert_eq!(demo.action(first, &json!({"forceDelete": null})).await.status, 202);
        assert_eq!(cloud.states(first).await.1, Some(TaskState::Deleting));
        // What never ran has nothing to be brought back.
        let new = cloud.new_server(&demo, "new").await;
        assert_eq!(demo.delete(&format!("{SERVERS}/{new}")).await.status, 204);
        assert_eq!(cloud.states(new).await.0, VmState::Deleted);
    }

    async fn a_server_is_deleted_at_once_unless_that_is_configured(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let (first, second) = (cloud.active_server(&demo, "a", "host-1").await, cloud.active_server(&demo, "b", "host-1").await);
        assert_eq!(demo.delete(&format!("{SERVERS}/{first}")).await.status, 204);
        assert_eq!(demo.action(second, &json!({"forceDelete": null})).await.status, 202);
        for uuid in [first, second] {
            assert_eq!(cloud.states(uuid).await.1, Some(TaskState::Deleting));
        }
        assert_eq!(demo.action(second, &json!({"restore": null})).await.status, 409);
    }
}
