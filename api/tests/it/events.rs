//! What changes, as it changes.

use http::StatusCode;
use novella_api::ApiConfig;
use novella_common::{db::instances, ids::InstanceUuid, models::RequestSpec};
use serde_json::{Value, json};

use crate::support::{Cloud, On, create};

on_both! {
    async fn a_change_is_told_to_its_project_and_to_administrators_who_follow_everything(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (mut own, mut foreign) = (demo.events("", None).await, admin.events("", None).await);
        let mut all = admin.events("?all_projects=1", None).await;
        let hello = own.until("hello", |_| true).await;
        assert_eq!(hello, json!({"all_projects": false, "resumed": false}));
        assert_eq!(all.until("host", |_| true).await["hypervisor_hostname"], "host-1");
        all.until("service", |service| service["binary"] == "nova-compute" && service["state"] == "up").await;

        let uuid = cloud.active_server(&demo, "<b>s</b>", "host-1").await;
        let is = |status: &'static str| move |server: &Value| server["id"] == json!(uuid) && server["status"] == status;
        let told = own.until("server", is("ACTIVE")).await;
        assert_eq!((&told["name"], &told["flavor"]["original_name"]), (&json!("<b>s</b>"), &json!("m1.tiny")));
        // Where a server is, is for administrators.
        assert_eq!(told.get("OS-EXT-SRV-ATTR:host"), None);
        assert_eq!(all.until("server", is("ACTIVE")).await["OS-EXT-SRV-ATTR:host"], "host-1");
        assert_eq!(demo.delete(&format!("/compute/v2.1/servers/{uuid}")).await.status, 204);
        assert_eq!(own.until("server", |it| it["OS-EXT-STS:task_state"] == "deleting").await["id"], json!(uuid));

        // The administrator's own project has seen nothing of it, and sees its own.
        let mine = admin.post("/compute/v2.1/servers", &create("mine")).await;
        let (event, data) = loop {
            let (event, data) = foreign.next().await.unwrap();
            if event != "hello" {
                break (event, data);
            }
        };
        assert_eq!((event.as_str(), &data["id"]), ("server", &mine.body["server"]["id"]));
    }

    async fn who_comes_back_is_told_what_was_missed_by_whatever_process_is_asked(cloud: Cloud) {
        let demo = cloud.demo().await;
        let mut events = demo.events("", None).await;
        let first = cloud.new_server(&demo, "first").await;
        events.until("server", |server| server["id"] == json!(first)).await;
        let last = events.last_id.clone();
        drop(events);
        let second = cloud.new_server(&demo, "second").await;
        assert_eq!(demo.delete(&format!("/compute/v2.1/servers/{first}")).await.status, 204);

        let other = cloud.another_process().await;
        let mut events = demo.via(&other).events("", Some(&last)).await;
        assert_eq!(events.until("hello", |_| true).await["resumed"], true);
        events.until("server", |server| server["id"] == json!(second)).await;
        events.until("server", |server| server["id"] == json!(first) && server["status"] == "DELETED").await;
        let third = cloud.new_server(&demo, "third").await;
        events.until("server", |server| server["id"] == json!(third)).await;
        assert!(events.last_id > last, "{} {last}", events.last_id);
        for wrong in ["x", "-1", ""] {
            assert_eq!(demo.open_events("", Some(wrong)).await.status(), StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    async fn who_has_missed_too_much_is_told_to_read_the_lists_again(cloud: Cloud) {
        let demo = cloud.demo().await;
        let mut events = demo.events("", None).await;
        let first = cloud.new_server(&demo, "first").await;
        events.until("server", |server| server["id"] == json!(first)).await;
        let last = events.last_id.clone();
        drop(events);
        let pattern = cloud.instance(first).await.unwrap();
        let mut transaction = cloud.database.begin().await.unwrap();
        for _ in 0..26 {
            let many: Vec<_> = (0..200)
                .map(|_| {
                    let mut instance = pattern.clone();
                    instance.uuid = InstanceUuid::random();
                    instance.updated_at = jiff::Timestamp::now();
                    instance
                })
                .collect();
            instances::insert(&mut transaction, &many, &RequestSpec::default()).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let mut events = demo.events("", Some(&last)).await;
        events.until("lost", |_| true).await;
        let next = cloud.new_server(&demo, "next").await;
        events.until("server", |server| server["id"] == json!(next)).await;
    }

    async fn a_stream_ends_with_its_token(cloud: Cloud) {
        let demo = cloud.demo().await;
        let mut events = demo.events("", None).await;
        events.until("hello", |_| true).await;
        let token = demo.token.clone().unwrap();
        let gone = demo
            .send_with(http::Method::DELETE, "/identity/v3/auth/tokens", axum::body::Body::empty(), &[("x-subject-token", &token)])
            .await;
        assert_eq!(gone.status, 204);
        events.until("end", |_| true).await;
        assert_eq!(events.next().await, None);
        assert_eq!(demo.open_events("", None).await.status(), StatusCode::UNAUTHORIZED);
    }

    async fn everything_is_for_administrators(cloud: Cloud) {
        let demo = cloud.demo().await;
        let denied = demo.get("/cloud/v1/events?all_projects=1").await;
        assert_eq!(denied.status, 403);
        assert!(denied.message().contains("cloud:events:all_projects"), "{:?}", denied.body);
        assert_eq!(demo.get("/cloud/v1/events?nonsense=1").await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_streams_are_followed_and_no_more() {
    let config = ApiConfig { max_event_streams: 2, ..ApiConfig::default() };
    let cloud = Cloud::without_services(On::Sqlite, config).await;
    let demo = cloud.demo().await;
    let mut first = demo.events("", None).await;
    first.until("hello", |_| true).await;
    // Half of them for one address.
    assert_eq!(demo.open_events("", None).await.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    let mut again = demo.events("", None).await;
    again.until("hello", |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slower_than_the_others_is_told_from_the_rows_and_nothing_is_kept_for_it() {
    let cloud = Cloud::new(On::Sqlite).await;
    let demo = cloud.demo().await;
    let (mut slow, mut quick) = (demo.events("", None).await, demo.events("", None).await);
    slow.until("hello", |_| true).await;
    let changing = cloud.new_server(&demo, "changing").await;
    let once = cloud.new_server(&demo, "once").await;
    quick.until("server", |server| server["id"] == json!(once)).await;
    // More looks than batches are kept, each with something new.
    for turn in 0..70 {
        let name = format!("turn-{turn}");
        let body = json!({"server": {"name": name}});
        assert_eq!(demo.put(&format!("/compute/v2.1/servers/{changing}"), &body).await.status, 200);
        quick.until("server", |server| server["name"] == json!(name)).await;
    }
    // Neither the one that changed once, long ago, nor the last state of the other is missed.
    let mut told = Vec::new();
    while told.len() < 2 {
        let server = slow.until("server", |server| server["name"] == "once" || server["name"] == "turn-69").await;
        told.push(server["name"].clone());
        told.dedup();
    }
    assert_eq!(told, [json!("once"), json!("turn-69")]);
}
