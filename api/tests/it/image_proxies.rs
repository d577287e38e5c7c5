//! Images by way of Compute, as Nova passes them on until 2.35.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Cloud, IMAGE};

const PROXY: &str = "/compute/v2.1/images";
const IMAGES: &str = "/image/v2/images";

fn said(answer: &Answer) -> (u16, &str) {
    let fault = answer.body.as_object().and_then(|body| body.values().next());
    (answer.status, fault.and_then(|fault| fault["message"].as_str()).unwrap_or_default())
}

async fn new_image(client: &Client<'_>, more: Value) -> String {
    let mut body = json!({"name": "mine", "disk_format": "raw", "container_format": "bare"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = client.post(IMAGES, &body).await;
    answer.body["id"].as_str().unwrap_or_else(|| panic!("{:?}", answer.body)).to_owned()
}

async fn names(client: &Client<'_>, query: &str) -> Vec<String> {
    let answer = client.get(&format!("{PROXY}{query}")).await;
    let images = answer.body["images"].as_array().unwrap_or_else(|| panic!("{query}: {:?}", answer.body)).clone();
    let mut names: Vec<_> = images.iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

on_both! {
    async fn images_are_shown_as_nova_shows_them_until_2_35(cloud: Cloud) {
        let demo = cloud.demo().await;
        let server = "5e9f0000-0000-4000-8000-000000000001";
        let snapshot = new_image(&demo, json!({
            "name": "of a server", "min_ram": 64, "min_disk": 2, "instance_uuid": server, "image_type": "snapshot",
            "auto_disk_config": "True", "block_device_mapping": "[{\"boot_index\": 0}]",
        })).await;
        let mut shown = demo.get(&format!("{PROXY}/{snapshot}")).await.body["image"].clone();
        for time in ["created", "updated"] {
            assert!(shown[time].take().as_str().unwrap().ends_with('Z'));
        }
        let at = |path: &str| format!("http://cloud.test{path}");
        assert_eq!(shown, json!({
            "id": snapshot, "name": "of a server", "minRam": 64, "minDisk": 2, "status": "SAVING", "progress": 25,
            "created": null, "updated": null, "OS-EXT-IMG-SIZE:size": 0, "OS-DCF:diskConfig": "AUTO",
            "metadata": {
                "instance_uuid": server, "image_type": "snapshot", "auto_disk_config": "True",
                "block_device_mapping": [{"boot_index": 0}],
            },
            "server": {"id": server, "links": [
                {"rel": "self", "href": at(&format!("/compute/v2.1/servers/{server}"))},
                {"rel": "bookmark", "href": at(&format!("/compute/servers/{server}"))},
            ]},
            "links": [
                {"rel": "self", "href": at(&format!("{PROXY}/{snapshot}"))},
                {"rel": "bookmark", "href": at(&format!("/compute/images/{snapshot}"))},
                {"rel": "alternate", "type": "application/vnd.openstack.image", "href": at(&format!("/image/images/{snapshot}"))},
            ],
        }));
        assert_eq!(demo.get(&format!("{PROXY}/{IMAGE}")).await.body["image"]["status"], "ACTIVE");
        assert_eq!(said(&demo.get(&format!("{PROXY}/nonsense")).await), (404, "Image not found."));

        assert_eq!(names(&demo, "").await, ["cirros", "cirros-alt", "debian-12", "of a server"]);
        for (query, found) in [
            ("?name=cirros", "cirros"), ("?status=SAVING", "of a server"), ("?status=queued", "of a server"), ("?minRam=64", "of a server"),
            ("?minDisk=2", "of a server"), ("?type=snapshot", "of a server"), ("?property-image_type=snapshot", "of a server"),
        ] {
            // `SAVING` is Glance's `saving`, which no image is.
            let expected = if query == "?status=SAVING" { vec![] } else { vec![found] };
            assert_eq!(names(&demo, query).await, expected, "{query}");
        }
        assert_eq!(names(&demo, &format!("?server=http://cloud.test/servers/{server}")).await, ["of a server"]);
        assert_eq!(names(&demo, "?changes-since=2126-01-01T00:00:00Z").await, [""; 0]);
        for bad in ["?changes-since=x", "?limit=-1", "?page_size=x", "?marker=5e9f0000-0000-4000-8000-00000000dead"] {
            assert_eq!(demo.get(&format!("{PROXY}{bad}")).await.status, 400, "{bad}");
        }
        let first = demo.get(&format!("{PROXY}/detail?limit=1&name=cirros")).await.body;
        assert_eq!(first["images"][0]["metadata"], json!({}));
        let next = first["images_links"][0]["href"].as_str().unwrap().strip_prefix("http://cloud.test").unwrap();
        assert_eq!(demo.get(next).await.body, json!({"images": []}));

        for path in ["", "/detail", &format!("/{IMAGE}")] {
            assert_eq!(demo.at("2.35").get(&format!("{PROXY}{path}")).await.status, 200, "{path}");
            assert_eq!(demo.at("2.36").get(&format!("{PROXY}{path}")).await.status, 404, "{path}");
        }
        assert_eq!(cloud.anonymous().get(PROXY).await.status, 401);
    }

    async fn images_are_changed_and_deleted_by_images_own_rules(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let id = new_image(&demo, json!({"a": "1", "b": "2"})).await;
        let all = format!("{PROXY}/{id}/metadata");
        let properties = async || demo.at("2.38").get(&all).await.body["metadata"].clone();
        assert_eq!(properties().await, json!({"a": "1", "b": "2"}));
        let merged = demo.post(&all, &json!({"metadata": {"b": "3", "c": "4"}})).await;
        assert_eq!((merged.status, &merged.body["metadata"]), (200, &json!({"a": "1", "b": "3", "c": "4"})));
        assert_eq!(demo.get(&format!("{all}/c")).await.body, json!({"meta": {"c": "4"}}));
        let one = demo.put(&format!("{all}/c"), &json!({"meta": {"c": "5"}})).await;
        assert_eq!((one.status, one.body), (200, json!({"meta": {"c": "5"}})));
        assert_eq!(properties().await, json!({"a": "1", "b": "3", "c": "5"}));
        assert_eq!(demo.delete(&format!("{all}/a")).await.status, 204);
        assert_eq!(said(&demo.delete(&format!("{all}/a")).await), (404, "Invalid metadata key"));
        assert_eq!(demo.get(&format!("{all}/a")).await.status, 404);
        let replaced = demo.put(&all, &json!({"metadata": {"d": "6"}})).await;
        assert_eq!((replaced.status, replaced.body), (200, json!({"metadata": {"d": "6"}})));
        assert_eq!(properties().await, json!({"d": "6"}));
        assert_eq!(demo.get(&format!("{IMAGES}/{id}")).await.body["d"], "6");

        assert_eq!(said(&demo.put(&format!("{all}/c"), &json!({"meta": {"x": "5"}})).await), (400, "Request body and URI mismatch"));
        for bad in [json!({"metadata": {"a": 5}}), json!({"metadata": {"": "x"}}), json!({"metadata": {"a": "x".repeat(256)}}), json!({})] {
            assert_eq!(demo.post(&all, &bad).await.status, 400, "{bad}");
        }
        // A property that would hide what an image is, or that Image sets itself.
        for name in ["status", "owner", "name", "os_glance_import_task", "location"] {
            let refused = demo.post(&all, &json!({"metadata": {name: "x"}})).await;
            assert_eq!(said(&refused), (403, format!("Not authorized for image {id}.").as_str()), "{name}");
        }
        let many: serde_json::Map<String, Value> = (0..129).map(|n| (format!("p{n}"), json!("x"))).collect();
        assert_eq!(said(&demo.post(&all, &json!({"metadata": many})).await), (403, "Image metadata limit exceeded"));
        assert_eq!(properties().await, json!({"d": "6"}));
        assert_eq!(demo.at("2.39").get(&all).await.status, 404);

        // What is public is seen, and changed by nobody else.
        let others = format!("{PROXY}/{IMAGE}");
        assert_eq!(demo.post(&format!("{others}/metadata"), &json!({"metadata": {"a": "1"}})).await.status, 403);
        assert_eq!(said(&demo.delete(&others).await), (403, "You are not allowed to delete the image."));
        // What is private is not there.
        let private = new_image(&admin, json!({"visibility": "private"})).await;
        for (method, path) in [(Method::GET, ""), (Method::DELETE, ""), (Method::GET, "/metadata"), (Method::DELETE, "/metadata/a")] {
            let answer = demo.send(method, &format!("{PROXY}/{private}{path}"), axum::body::Body::empty()).await;
            assert_eq!(said(&answer), (404, "Image not found."), "{path}");
        }
        let protected = new_image(&demo, json!({"protected": true})).await;
        assert_eq!(demo.delete(&format!("{PROXY}/{protected}")).await.status, 403);
        assert_eq!(demo.delete(&format!("{PROXY}/{id}")).await.status, 204);
        assert_eq!(demo.get(&format!("{IMAGES}/{id}")).await.status, 404);
    }
}
