//! Tags of servers: put on, read, found by, taken off.

use axum::body::Body;
use http::Method;
use serde_json::json;

use crate::support::{Cloud, create};

const SERVERS: &str = "/compute/v2.1/servers";

on_both! {
    async fn tags_are_put_on_a_server_and_taken_off(cloud: Cloud) {
        let demo = cloud.demo().await.at("2.26");
        let tags = format!("{SERVERS}/{}/tags", cloud.active_server(&demo, "s", "host-1").await);
        let put = async |tag: &str| demo.send(Method::PUT, &format!("{tags}/{tag}"), Body::empty()).await;
        let added = put("blue").await;
        assert_eq!((added.status, added.header("location").is_some()), (201, true));
        assert_eq!(put("blue").await.status, 204);
        assert_eq!(put("a,b").await.status, 400);
        assert_eq!(put(&"x".repeat(61)).await.status, 400);
        assert_eq!(demo.get(&format!("{tags}/blue")).await.status, 204);
        assert_eq!(demo.get(&format!("{tags}/red")).await.status, 404);
        let replaced = demo.put(&tags, &json!({"tags": ["red", "green", "red"]})).await;
        assert_eq!((replaced.status, replaced.body), (200, json!({"tags": ["green", "red"]})));
        assert_eq!(demo.get(&tags).await.body, json!({"tags": ["green", "red"]}));
        let many: Vec<_> = (0..51).map(|number| number.to_string()).collect();
        assert_eq!(demo.put(&tags, &json!({"tags": many})).await.status, 400);
        demo.put(&tags, &json!({"tags": many[..50]})).await;
        let one_more = put("one-more").await;
        assert_eq!(one_more.status, 400);
        assert!(one_more.message().contains("50"), "{}", one_more.message());
        assert_eq!(demo.delete(&format!("{tags}/1")).await.status, 204);
        assert_eq!(demo.delete(&format!("{tags}/1")).await.status, 404);
        assert_eq!(demo.delete(&tags).await.status, 204);
        assert_eq!(demo.get(&tags).await.body, json!({"tags": []}));
        assert_eq!(demo.at("2.25").get(&tags).await.status, 404);
    }

    async fn servers_are_found_by_their_tags(cloud: Cloud) {
        let demo = cloud.demo().await.at("2.52");
        for (name, tags) in [("rb", json!(["red", "blue"])), ("r", json!(["red"])), ("none", json!([]))] {
            let mut body = create(name);
            body["server"]["tags"] = tags;
            body["server"]["networks"] = json!("none");
            assert_eq!(demo.post(SERVERS, &body).await.status, 202, "{name}");
        }
        let found = async |query: &str| {
            let answer = demo.get(&format!("{SERVERS}?sort_key=display_name&sort_dir=asc&{query}")).await;
            let names: Vec<_> = answer.body["servers"]
                .as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect();
            names.join(" ")
        };
        assert_eq!(found("tags=red").await, "r rb");
        assert_eq!(found("tags=red,blue").await, "rb");
        assert_eq!(found("tags-any=blue,green").await, "rb");
        assert_eq!(found("not-tags=red,blue").await, "none r");
        assert_eq!(found("not-tags-any=red,blue").await, "none");
        let detail = demo.get(&format!("{SERVERS}/detail?tags=blue")).await;
        assert_eq!(detail.body["servers"][0]["tags"], json!(["blue", "red"]));
    }
}
